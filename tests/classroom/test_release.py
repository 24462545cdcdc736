"""What may be handed out, and what is refused: each refusal is provoked by a planted defect."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from classroom.assignment import Assignment, SourceError, leaks, public, tokens
from classroom.course import Course
from classroom.release import Refused, blank, faults, release
from classroom.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("bubblewrap")
KEY = "a key for the tests"


@pytest.fixture(scope="module")
def sandbox(bubblewrap: str):  # type: ignore[no-untyped-def]
    with Sandbox() as made:
        yield made


@pytest.fixture
def copy(tiny: Assignment, tmp_path: Path) -> Assignment:
    """The small assignment, to be spoilt."""
    shutil.copytree(tiny.folder / tiny.name, tmp_path / tiny.name)
    return Assignment(tiny.name, tmp_path)


def spoil(assignment: Assignment, cell: str, change: Callable[[str], str]) -> None:
    path = assignment.folder / assignment.name / "assignment.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for it in notebook.cells:
        if it.id == cell:
            assert change(it.source) != it.source
            it.source = change(it.source)
    nbformat.write(notebook, path)


def test_the_small_assignment_is_released(tiny: Assignment, sandbox: Sandbox, tmp_path: Path) -> None:
    course = Course(tmp_path / "class")
    path = release(tiny, course, sandbox)
    shown = nbformat.read(path, as_version=4)
    text = path.read_text()
    values = tiny.variant(course.key)
    assert values["ratio"] in text and values["answer_word"] not in text and values["hidden_word"] not in text
    assert "raise NotImplementedError()" in text and "BEGIN" not in text
    assert [c.source for c in shown.cells] == [
        public(c) for c in tiny.fill(course.key).cells
    ]  # two readings agree
    assert (course.root / "class.key").stat().st_mode & 0o077 == 0 and course.root.stat().st_mode & 0o077 == 0
    again = release(tiny, course, sandbox)
    assert again.read_text() == text


@pytest.mark.parametrize(
    ("cell", "change", "words"),
    [
        ("mix", lambda s: s.replace("RATIO * a + b", "RATIO * a - b"), "the reference answer fails mix_test"),
        ("mix_test", lambda s: "mix", "a blank answer passes mix_test"),
        ("mix_test", lambda s: "expect(mix(1, 0), RATIO)", "is accepted"),
        ("mix_test", lambda s: s.replace("RATIO belongs to a.", "No."), "is told"),
        ("fold_test", lambda s: s + "\nneed(abs(mix(0, 1) - 1) < 1e-9, 'no')", "also costs fold_test"),
    ],
)
def test_a_spoilt_assignment_is_refused(
    cell: str, change: Callable[[str], str], words: str, copy: Assignment, sandbox: Sandbox, tmp_path: Path
) -> None:
    spoil(copy, cell, change)
    with pytest.raises(Refused, match=words):
        release(copy, Course(tmp_path / "class"), sandbox)
    assert not (tmp_path / "class" / "release").exists()


def test_three_planted_answers_are_needed(copy: Assignment, sandbox: Sandbox) -> None:
    path = copy.folder / copy.name / "planted.py"
    path.write_text(path.read_text() + "\nPLANTED = [p for p in PLANTED if p.question != 'fold'][:2]\n")
    found = list(faults(copy, KEY, sandbox))
    assert "fold: 0 planted wrong answers, three are needed" in found


@pytest.mark.parametrize(
    "leak",
    [
        lambda s: s + "\n# zq_secret = 7",
        lambda s: s + '\n"""{{hidden_word}}"""',
    ],
)
def test_one_word_of_an_answer_is_a_leak(leak: Callable[[str], str], tiny: Assignment) -> None:
    master = tiny.fill(KEY)
    shown = blank(master)
    assert not leaks(master, shown)
    master.cells[4].source = master.cells[4].source.replace("blended =", "zq_secret = blended =")
    shown.cells[0].source = leak(shown.cells[0].source).replace(
        "{{hidden_word}}", tiny.variant(KEY)["hidden_word"]
    )
    assert len(leaks(master, shown)) == 1


def test_a_leak_in_outputs_or_tags_counts(tiny: Assignment) -> None:
    master = tiny.fill(KEY)
    word = tiny.variant(KEY)["answer_word"]
    for place in ("outputs", "tags"):
        shown = blank(master)
        cell = next(c for c in shown.cells if c.cell_type == "code")
        if place == "outputs":
            cell.outputs = [nbformat.v4.new_output("stream", text=word)]
        else:
            cell.metadata["tags"] = [word]
        assert leaks(master, shown) == {word}


@pytest.mark.parametrize(
    ("cell", "change", "words"),
    [
        ("mix", lambda s: s.replace("    ### END SOLUTION", ""), "1 regions begin and 0 end"),
        ("mix", lambda s: s.replace("def mix", "def def"), "is no Python"),
        ("mix_text", lambda s: s + " {{nonsense}}", "is no name of the variant"),
    ],
)
def test_a_wrong_source_says_where(
    cell: str, change: Callable[[str], str], words: str, copy: Assignment
) -> None:
    spoil(copy, cell, change)
    with pytest.raises(SourceError, match=words):
        copy.fill(KEY)


def test_the_key_makes_the_variant(tiny: Assignment) -> None:
    one, two = tiny.fill("key number one...."), tiny.fill("key number two....")
    assert [c.source for c in one.cells] == [c.source for c in tiny.fill("key number one....").cells]
    assert [c.source for c in one.cells] != [c.source for c in two.cells]


def test_a_class_inside_a_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(SourceError, match="outside any repository"):
        Course(tmp_path / "class").prepare(create=True)


def test_words_are_words_and_numbers() -> None:
    assert tokens("a_b = 3.25e-7 + x1 # 张三") == {"a_b", "3.25e-7", "x1", "张三"}
