"""What a teacher takes away: a table with a row for everybody, and a short list of what to look at."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from .assignment import grade_id, role
from .course import Course

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


def questions(course: Course, name: str) -> dict[str, float]:
    """The questions and their points, in order."""
    master = nbformat.read(course.master(name), as_version=4)
    graded = [cell for cell in master.cells if role(cell) in ("test", "written")]
    return {grade_id(cell): float(cell.metadata.nbgrader.points) for cell in graded}


def write_table(name: str, course: Course, results: list[Result], unclaimed: list[str]) -> Path:
    """The CSV with a row for everybody and a column for each question; beside it what to look at."""
    folder = course.root / "grades"
    folder.mkdir(parents=True, exist_ok=True)
    most = questions(course, name)
    path = folder / f"{name}.csv"
    with path.with_suffix(".part").open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file)
        columns = [it.removesuffix("_test") for it in most]
        table.writerow(
            [
                "id",
                "name",
                "email",
                "status",
                "handed_in_utc",
                "late_hours",
                *columns,
                "total",
                "of",
                "to_mark",
            ]
        )
        for result in results:
            person = result.person
            when = f"{result.handed_in:%Y-%m-%d %H:%M:%S}" if result.handed_in else ""
            points = [result.points.get(it) for it in most]
            open_ = [it for it in most if it in result.points and result.points[it] is None]
            row = [
                person.id,
                person.name,
                person.email,
                result.status,
                when,
                round(result.late, 2) or None,
                *points,
            ]
            table.writerow(map(cell, [*row, result.total, float(sum(most.values())), " ".join(open_)]))
    os.replace(path.with_suffix(".part"), path)
    lines = list(to_look_at(results, unclaimed))
    (folder / f"{name}.look.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def to_look_at(results: list[Result], unclaimed: list[str]) -> Iterator[str]:
    """What a teacher should look at, a line each."""
    for result in results:
        if result.status not in ("ok", "missing") or result.notes:
            yield f"{result.person.id}: {result.status}" + "".join(f"; {note}" for note in result.notes)
    for path in unclaimed:
        yield f"nobody on the roster: {path[:200]!r}"
