"""What a teacher takes away: a table with a row for everybody, and a short list of what to look at."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from .assignment import graded
from .course import Course, write_whole

if TYPE_CHECKING:
    from .grade import Result


def cell(value: object) -> str:
    """A value for a spreadsheet: a text that a program would take for a formula is only text.

    >>> cell("=1+1")
    "'=1+1"
    """
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return (
        f"'{text}"
        if text[:1] in ("=", "+", "@", "\t", "\r") or (text[:1] == "-" and not _is_number(text))
        else text
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_table(name: str, course: Course, results: list[Result], unclaimed: list[str]) -> Path:
    """The CSV with a row for everybody and a column for each question; beside it what to look at."""
    most = graded(nbformat.read(course.master(name), as_version=4))
    questions = [it.removesuffix("_test") for it in most]
    rows: list[list[object]] = [
        ["id", "name", "email", "status", "handed_in_utc", "late_hours", *questions, "total", "of", "to_mark"]
    ]
    for result in results:
        person = result.person
        when = f"{result.handed_in:%Y-%m-%d %H:%M:%S}" if result.handed_in else ""
        open_ = [it for it in most if it in result.points and result.points[it] is None]
        rows.append(
            [person.id, person.name, person.email, result.status, when, round(result.late, 2) or None]
        )
        rows[-1] += [*map(result.points.get, most), result.total, sum(most.values()), " ".join(open_)]
    look = "".join(f"{line}\n" for line in to_look_at(results, unclaimed))
    write_whole(course.root / "grades" / f"{name}.look.txt", look)
    return write_whole(course.root / "grades" / f"{name}.csv", as_csv([map(cell, row) for row in rows]))


def as_csv(rows: Iterable[Iterable[object]], delimiter: str = ",") -> bytes:
    """A table as spreadsheets read it: UTF-8, with a mark at its beginning that says so."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def to_look_at(results: list[Result], unclaimed: list[str]) -> Iterator[str]:
    """What a teacher should look at, a line each."""
    for result in results:
        if result.status not in ("ok", "missing") or result.notes:
            yield f"{result.person.id}: {result.status}" + "".join(f"; {note}" for note in result.notes)
    for path in unclaimed:
        yield f"nobody on the roster: {path[:200]!r}"
