"""Answers find their places in the teacher's notebook, whatever was done to the file."""

from __future__ import annotations

import json
from collections.abc import Callable

import nbformat
import pytest
from nbformat import NotebookNode

from classroom.assignment import Assignment, grade_id, public, role
from classroom.carry import carry
from classroom.demonstration import solved
from classroom.handin import read_notebook
from classroom.release import blank

KEY = "a key for the tests"


@pytest.fixture(scope="module")
def master(tiny: Assignment) -> NotebookNode:
    return tiny.fill(KEY)


@pytest.fixture(scope="module")
def clean(master: NotebookNode) -> NotebookNode:
    """A hand-in in which everything is in order."""
    return solved(blank(master), master)


def answers(master: NotebookNode, handed: NotebookNode) -> dict[str, str]:
    """What each answer is taken to be."""
    order, _ = carry(master, read_notebook(json.dumps(handed).encode()))
    return {grade_id(cell): source for cell, source in order if role(cell) in ("answer", "written")}


def changed(notebook: NotebookNode, change: Callable[[list], list]) -> NotebookNode:
    made = json.loads(nbformat.writes(notebook))
    made["cells"] = change(made["cells"])
    return nbformat.from_dict(made)


def stripped(cells: list) -> list:
    return [{**cell, "metadata": {}} for cell in cells]


def nameless(cells: list) -> list:
    return [{**cell, "metadata": {}, "id": f"n{i}"} for i, cell in enumerate(cells)]


def with_notes(cells: list) -> list:
    note = {"cell_type": "markdown", "metadata": {}, "source": "my note"}
    return [part for i, cell in enumerate(cells) for part in ({**note, "id": f"note{i}"}, cell)]


CHANGES: dict[str, Callable[[list], list]] = {
    "nothing": lambda cells: cells,
    "metadata stripped": stripped,
    "ids and metadata stripped": nameless,
    "reordered": lambda cells: cells[::-1],
    "notes between": with_notes,
    "tests and texts deleted": lambda cells: [c for c in cells if not c["metadata"]["nbgrader"]["locked"]],
    "tests deleted, names lost": lambda cells: nameless([c for c in cells if not c["id"].endswith("_test")]),
    "each cell twice": lambda cells: [part for cell in cells for part in (cell, dict(cell))],
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_answers_are_those_of_the_clean_file(
    name: str, master: NotebookNode, clean: NotebookNode
) -> None:
    expected = answers(master, clean)
    assert "linear" in expected["why"] and "x.mean" in expected["centred"]
    assert answers(master, changed(clean, CHANGES[name])) == expected


@pytest.mark.parametrize("first", [True, False])
def test_of_two_copies_the_one_that_says_something_counts(
    first: bool, master: NotebookNode, clean: NotebookNode
) -> None:
    empty = {cell["id"]: cell for cell in json.loads(nbformat.writes(blank(master)))["cells"]}
    both = changed(
        clean, lambda cells: [p for c in cells for p in ((c, empty[c["id"]])[:: 1 if first else -1])]
    )
    assert answers(master, both) == answers(master, clean)


def test_a_deleted_answer_is_restored_empty_and_noted(master: NotebookNode, clean: NotebookNode) -> None:
    less = changed(clean, lambda cells: [c for c in cells if c["id"] not in ("mix", "why")])
    order, notes = carry(master, less)
    found = {grade_id(cell): source for cell, source in order}
    assert found["mix"] == public(next(c for c in master.cells if c.id == "mix"))
    assert "the answer mix is missing" in notes and "the answer why is missing" in notes


def test_locked_cells_are_the_teachers(master: NotebookNode, clean: NotebookNode) -> None:
    mine = changed(
        clean,
        lambda cells: [{**c, "source": "1"} if c["metadata"]["nbgrader"]["locked"] else c for c in cells],
    )
    order, _ = carry(master, mine)
    for cell, source in order:
        if role(cell) in ("given", "test"):
            assert source == public(cell)


def test_additions_are_kept_in_place_and_may_claim_nothing(master: NotebookNode, clean: NotebookNode) -> None:
    forged = {"grade": True, "points": 100, "grade_id": "bonus", "solution": False, "locked": True}

    def added(cells: list) -> list:
        at = next(i for i, c in enumerate(cells) if c["id"] == "mix")
        new = {"cell_type": "code", "id": "bonus", "source": "y = 1", "outputs": [], "execution_count": None}
        return [*cells[: at + 1], {**new, "metadata": {"nbgrader": forged}}, *cells[at + 1 :]]

    order, _ = carry(master, read_notebook(json.dumps(changed(clean, added)).encode()))
    at = next(i for i, (cell, _) in enumerate(order) if grade_id(cell) == "mix")
    assert order[at + 1][1] == "y = 1" and not order[at + 1][0].metadata
    assert len(order) == len(master.cells) + 1
