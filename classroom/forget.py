"""All that is kept of one student, deleted."""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
import sqlite3
from pathlib import Path

from .course import Course, write_whole
from .handin import Person, delimiter
from .table import as_csv, cell


def forget(who: str, course: Course) -> list[str]:
    """Delete all that is kept of one student, on the roster or not any more; what was deleted.

    ValueError if nothing is kept of anybody with that id.
    """
    from nbgrader.api import Gradebook, MissingEntry

    person, gone = Person(who), list[str]()
    for step in ("submitted", "autograded", "feedback"):
        if (course.root / step / person.safe).exists():
            shutil.rmtree(course.root / step / person.safe)
            gone.append(f"{step}/{person.safe}")
    for path in sorted((course.root / "results").glob(f"*/{person.safe}.*")):
        path.unlink()
        gone.append(path.relative_to(course.root).as_posix())
    if (course.root / "gradebook.db").exists():
        with Gradebook(course.database) as book, contextlib.suppress(MissingEntry):
            book.remove_student(person.safe)
            gone.append("the rows of the gradebook")
        with contextlib.closing(sqlite3.connect(course.root / "gradebook.db")) as database:
            database.execute("VACUUM")  # else the bytes of deleted rows stay
    for path in [*sorted((course.root / "grades").glob("*.csv")), course.root / "roster.csv"]:
        if path.exists() and _without(path, who):
            gone.append(f"a line of {path.name}")
    for path in sorted((course.root / "grades").glob("*.look.txt")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        write_whole(path, "".join(line for line in lines if not line.startswith(f"{who}: ")))
    if not gone:
        raise ValueError(f"nothing is kept of anybody with the id {who!r}")
    return gone


def _without(path: Path, who: str) -> bool:
    """Take a student's lines out of a table with a column "id"; whether there was one."""
    text = path.read_text(encoding="utf-8-sig")
    mark = delimiter(text)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark))
    columns = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "id" not in columns:
        return False
    at = columns.index("id")
    kept = [row for row in rows if len(row) <= at or row[at].strip() not in (who, cell(who))]
    if len(kept) == len(rows):
        return False
    write_whole(path, as_csv(kept, mark))
    return True
