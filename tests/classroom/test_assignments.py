"""The eight assignments: form, what the class key changes, every planted wrong answer inside the walls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from classroom.assignment import ASSIGNMENTS, Assignment, grade_id, graded, leaks, names, public, role, tokens
from classroom.course import Course
from classroom.release import blank, faults, generate
from classroom.sandbox import Sandbox

CHAPTERS = [path.stem for path in sorted((ASSIGNMENTS.parents[1] / "notebooks").glob("[0-9]*.ipynb"))]
KEYS = ["a key for the tests", "another key for them"]


@pytest.fixture(scope="module")
def sandbox(bubblewrap: str) -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def test_there_is_one_for_each_chapter() -> None:
    assert names() == CHAPTERS and len(CHAPTERS) == 8


@pytest.mark.parametrize("name", CHAPTERS)
def test_it_grades_rightly(name: str, sandbox: Sandbox) -> None:
    """Reference full, blank nothing, each planted answer rejected in the right words, alone."""
    assert list(faults(Assignment(name), KEYS[0], sandbox)) == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_its_form(name: str) -> None:
    assignment = Assignment(name)
    master = assignment.fill(KEYS[0])
    kinds = [role(cell) for cell in master.cells]
    assert 5 <= kinds.count("answer") == kinds.count("test") <= 8 and kinds.count("written") == 1
    points = graded(master)
    assert 18 <= sum(points.values()) <= 24 and points["derivation"] >= 3
    assert [grade_id(c) for c in master.cells][:3] == ["title", "checks", "setup"]
    for cell in master.cells:
        locked = role(cell) in ("given", "test")
        assert bool(cell.metadata.nbgrader.locked) == locked, grade_id(cell)
        if cell.cell_type == "code":
            assert max(map(len, public(cell).splitlines())) <= 110, grade_id(cell)
            if role(cell) == "test":
                assert cell.metadata.jupyter.source_hidden, grade_id(
                    cell
                )  # its literals are no reading matter
            if locked:
                assert "kexue_lite" not in cell.source, grade_id(cell)
    assert "½" in assignment.rubric(KEYS[0]) or re.search(r"\d", assignment.rubric(KEYS[0]))
    assert not leaks(master, blank(master))


@pytest.mark.parametrize("name", CHAPTERS)
def test_nbgrader_hands_out_what_students_may_see(name: str, tmp_path: Path) -> None:
    course = Course(tmp_path / "class")
    course.prepare(create=True)
    for key in KEYS:
        master = Assignment(name).fill(key)
        shown = nbformat.read(generate(master, name, course), as_version=4)
        assert leaks(master, shown) == set()
        assert [cell.source.rstrip() for cell in shown.cells] == [public(cell) for cell in master.cells]


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_class_key_changes_at_least_three_questions(name: str) -> None:
    one, two = (Assignment(name).fill(key) for key in KEYS)
    texts = {grade_id(a) for a, b in zip(one.cells, two.cells, strict=True) if public(a) != public(b)}
    questions = {grade_id(cell) for cell in one.cells if role(cell) == "answer"}
    constants = set()
    if "setup" in texts:  # a constant of the class counts where a question uses it
        first, second = (next(c.source for c in nb.cells if grade_id(c) == "setup") for nb in (one, two))
        lines = set(first.splitlines()) ^ set(second.splitlines())
        constants = {word for line in lines for word in tokens(line.split("=")[0])}
    changed = {
        q
        for q in questions
        if {q, f"{q}_text", f"{q}_test"} & texts
        or any(grade_id(c) in (q, f"{q}_test") and constants & tokens(c.source) for c in one.cells)
    }
    assert len(changed) >= 3, changed


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_sections_that_it_names_exist(name: str) -> None:
    chapter = (ASSIGNMENTS.parents[1] / "notebooks" / f"{name}.ipynb").read_text()
    headings = set(re.findall(r"## (\d\.\d+)", chapter))
    text = "\n".join(public(cell) for cell in Assignment(name).fill(KEYS[0]).cells)
    named = set(re.findall(r"[Ss]ections? (\d\.\d+)", text))
    assert named and named <= headings


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_answer_is_ever_evaluated(name: str) -> None:
    """The tests run where the gradebook is: what came from a student is never code there."""
    for cell in Assignment(name).fill(KEYS[0]).cells:
        if cell.cell_type == "code" and role(cell) != "answer" and grade_id(cell) != "checks":
            called = {
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for node in ast.walk(ast.parse(cell.source))
                if isinstance(node, ast.Call)
            }
            forbidden = {
                "eval",
                "exec",
                "sympify",
                "parse_expr",
                "loads",
                "load",
                "system",
                "__import__",
                "compile",
            }
            assert not called & forbidden, (grade_id(cell), called & forbidden)


def test_the_checks_of_a_student_need_numpy_alone(tmp_path: Path) -> None:
    source = Assignment(CHAPTERS[0]).variant(KEYS[0])["checks"]
    imported = {
        alias.name for node in ast.parse(source).body if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported == {"ast", "re", "numpy"} and ">>>" not in source and len(source.splitlines()) < 150
