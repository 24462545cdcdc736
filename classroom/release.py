"""Make the students' version of an assignment, and refuse to if anything about it is wrong."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from .assignment import STUB, Assignment, filled, grade_id, graded, leaks, public, role
from .course import Course, write_whole
from .marking import Marked, mark
from .sandbox import Sandbox

Progress = Callable[[Iterable[Any]], Iterable[Any]]


class Refused(ValueError):
    """The assignment must not be handed out; one line for each reason."""

    def __init__(self, name: str, reasons: list[str]) -> None:
        super().__init__(f"{name} is not released:\n" + "\n".join(f"  - {reason}" for reason in reasons))
        self.reasons = reasons


def blank(master: NotebookNode) -> NotebookNode:
    """The notebook as a student gets it, by our own reading of the marks."""
    made = nbformat.from_dict(master)
    for cell in made.cells:
        cell.source = public(cell)
    return made


def with_answer(master: NotebookNode, question: str, answer: str) -> NotebookNode:
    """The reference submission with one answer in the place of another."""
    made = nbformat.from_dict(master)
    for cell in made.cells:
        if grade_id(cell) == question:
            cell.source = answer
    return made


def faults(
    assignment: Assignment, key: str, sandbox: Sandbox, *, progress: Progress = iter, only: str = ""
) -> Iterator[str]:
    """What keeps an assignment from being handed out: reference, blank and planted answers are tried.

    ``only`` tries the planted answers of one question alone.
    """
    master = assignment.fill(key)

    def run(handed: NotebookNode) -> Marked:
        return mark(master, handed, sandbox, key=key, name=assignment.name)

    reference = run(master)
    for it, verdict in reference.verdicts.items():
        if verdict.says:
            yield f"the reference answer fails {it}: {verdict.says}"
    for it, verdict in run(blank(master)).verdicts.items():
        if not verdict.says:
            yield f"a blank answer passes {it}"
    counted = {grade_id(cell): 0 for cell in master.cells if role(cell) == "answer"}
    values = assignment.variant(key)
    planted = [p for p in assignment.planted if only in ("", p.question)]
    for wrong in progress(planted):
        if wrong.question not in counted:
            yield f"planted {wrong.slip!r}: there is no question {wrong.question!r}"
            continue
        counted[wrong.question] += 1
        found = run(with_answer(master, wrong.question, filled(wrong.answer, values)))
        for it, verdict in found.verdicts.items():
            own = it == f"{wrong.question}_test"
            if own and not verdict.says:
                yield f"{wrong.question}: the wrong answer {wrong.slip!r} is accepted"
            elif own and wrong.says.lower() not in verdict.says.lower():
                yield f"{wrong.question}: {wrong.slip!r} is told {verdict.says!r}, without {wrong.says!r}"
            elif not own and verdict.says:
                yield f"{wrong.question}: {wrong.slip!r} also costs {it}: {verdict.says}"
    for question, number in counted.items():
        if number < 3 and only in ("", question):
            yield f"{question}: {number} planted wrong answers, three are needed"


@contextmanager
def quiet() -> Iterator[None]:
    """nbgrader tells each step; what matters comes back as a result."""
    logger = logging.getLogger("traitlets")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def release(
    assignment: Assignment,
    course: Course,
    sandbox: Sandbox,
    *,
    progress: Progress = iter,
    again: bool = False,
) -> Path:
    """Make the students' version; its path.

    Raises
    ------
    Refused
        The reference answer does not score full, a blank one scores, a planted wrong answer is accepted or
        told the wrong thing, or a word of an answer or a hidden test is left in the students' version.
    """
    name = assignment.name
    course.prepare(create=True)
    master = assignment.fill(course.key)
    rubric = assignment.rubric(course.key)
    reasons = list(_replaced(master, name, course, again)) or list(
        faults(assignment, course.key, sandbox, progress=progress)
    )
    if reasons:
        raise Refused(name, reasons)
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # another class, so that a failure leaves this one as it was
        trial = Course(Path(folder) / "trial")
        trial.prepare(create=True)
        left = leaks(master, nbformat.read(generate(master, name, trial), as_version=4))
    if left:
        shown = f"the students' version shows words of answers or hidden tests: {sorted(left)[:10]}"
        raise Refused(name, [shown])
    write_whole(course.rubric(name), rubric)
    return generate(master, name, course)


def _replaced(master: NotebookNode, name: str, course: Course, again: bool) -> Iterator[str]:
    """Why a version that was handed in already may not be replaced by this one."""
    source = course.master(name)
    if not source.exists() or not any((course.root / "results" / name).glob("*.json")):
        return
    before = nbformat.read(source, as_version=4)
    if list(graded(before)) != list(graded(master)):
        there = ", ".join(graded(before))
        yield f"it is handed in already, with other questions ({there}); give the new one another name"
    elif not again and [(c.source, c.metadata) for c in before.cells] != [
        (c.source, c.metadata) for c in master.cells
    ]:
        yield "another version is handed in already; --again replaces it all the same"


def generate(master: NotebookNode, name: str, course: Course) -> Path:
    """nbgrader's own step: the students' version, and the questions into the gradebook."""
    source = course.master(name)
    source.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(master, source)
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    settings = Config()
    settings.CourseDirectory.root = str(course.root.resolve())
    settings.CourseDirectory.db_url = course.database
    settings.ClearSolutions.code_stub = {"python": STUB}
    with quiet():
        done = NbGraderAPI(config=settings).generate_assignment(name, force=True, create=True)
    path = course.place("release", name) / f"{name}.ipynb"
    if not done["success"] or not path.exists():
        raise Refused(name, [f"nbgrader could not make the students' version: {done.get('log')}"])
    return path
