"""A small class in a folder of its own: what several tests need of it."""

from __future__ import annotations

import csv
import os
import sys
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from classroom import grade as grading
from classroom.assignment import Assignment, grade_id, leaks
from classroom.course import Course
from classroom.demonstration import solved
from classroom.release import generate
from classroom.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
NAME = "00_tiny"
STAMP = datetime(2026, 11, 1, 12, tzinfo=UTC)


def open_class(tiny: Assignment, root: Path) -> Course:
    """A class in which the small assignment was handed out (that it grades rightly has its own test)."""
    course = Course(root)
    course.prepare(create=True)
    master = tiny.fill(course.key)
    released = generate(master, NAME, course)
    assert not leaks(master, nbformat.read(released, as_version=4))
    return course


class Here(Executor):
    """In the place of a pool of processes: this one, with walls that stand already."""

    sandbox: Sandbox

    def __init__(self, workers: int, context: object, begin: object, settings: tuple) -> None:
        master, key, name = settings[:3]
        master = nbformat.reads(master, as_version=4)
        grading._worker.update(master=master, key=key, name=name, sandbox=self.sandbox, silent=sys.stderr)

    def submit(self, judge: Any, data: bytes) -> Future:  # type: ignore[override]
        done: Future = Future()
        try:
            done.set_result(judge(data))
        except Exception as error:
            done.set_exception(error)
        return done


def right(course: Course) -> NotebookNode:
    path = course.place("release", NAME) / f"{NAME}.ipynb"
    return solved(nbformat.read(path, as_version=4), nbformat.read(course.master(NAME), as_version=4))


def hand_in(course: Course, who: str, notebook: NotebookNode | None = None, **answers: str) -> Path:
    """Write a student's file, with some answers of its own; the folder of all."""
    made = nbformat.from_dict(notebook if notebook is not None else right(course))
    for cell in made.cells:
        cell.source = answers.get(grade_id(cell), cell.source)
    path = course.root / "in" / who / "work.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(made))
    os.utime(path, (STAMP.timestamp(), STAMP.timestamp()))
    return course.root / "in"


def roster(course: Course, *people: str) -> None:
    (course.root / "roster.csv").write_text("id,name\n" + "".join(f"{p},{p} the student\n" for p in people))


def table(course: Course) -> dict[str, dict[str, str]]:
    text = (course.root / "grades" / f"{NAME}.csv").read_text(encoding="utf-8-sig")
    return {row["id"]: row for row in csv.DictReader(text.splitlines())}


def by_hand(course: Course, who: str, points: float, comment: str) -> None:
    """Mark the written answer as a person does in formgrader."""
    from nbgrader.api import Gradebook

    with Gradebook(course.database) as book:
        row = book.find_grade("why", NAME, NAME, who)
        row.manual_score, row.needs_manual_grade = points, False
        book.find_comment("why", NAME, NAME, who).manual_comment = comment
        book.db.commit()
