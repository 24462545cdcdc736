"""A small class in a folder of its own: what several tests need of it."""

from __future__ import annotations

from pathlib import Path

import nbformat

from classroom.assignment import Assignment, leaks
from classroom.course import Course
from classroom.release import generate

ROOT = Path(__file__).resolve().parents[2]
NAME = "00_tiny"


def open_class(tiny: Assignment, root: Path) -> Course:
    """A class in which the small assignment was handed out (that it grades rightly has its own test)."""
    course = Course(root)
    course.prepare(create=True)
    master = tiny.fill(course.key)
    released = generate(master, NAME, course)
    assert not leaks(master, nbformat.read(released, as_version=4))
    return course
