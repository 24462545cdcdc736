"""A student's answers in the teacher's notebook, whatever an editor or a student has done to the file."""

from __future__ import annotations

import re

import nbformat
from nbformat import NotebookNode

from .assignment import STUB, defined, grade_id, public, role

SOURCE = 40_000  # characters of one cell of a student's that are kept
EXTRA = 60  # cells that a student may add


def carry(master: NotebookNode, handed: NotebookNode) -> tuple[list[tuple[NotebookNode, str]], list[str]]:
    """Each cell of the master with the source that the student gave it, additions in their places; and notes.

    An answer is found by its grade_id, by the cell's id, by the function that it defines, or by standing
    between the same neighbours, in this order: another editor may have stripped any of them.
    """
    notes: list[str] = []
    wanted = {grade_id(cell): cell for cell in master.cells}
    answers = {name: cell for name, cell in wanted.items() if role(cell) in ("answer", "written")}
    found: dict[str, NotebookNode] = {}
    place: dict[int, str] = {}  # cell of the student -> name in the master
    for k, cell in enumerate(handed.cells):
        name = next((n for n in (_marked(cell), str(cell.get("id", ""))) if n in wanted), "")
        if not name:
            continue
        if name in found and name in answers:
            # Of two copies the one that says something counts, of two that do the later one.
            notes.append(f"the cell {name} came twice")
            if _blank(cell, answers[name]) or cell.source == found[name].source:
                place[k] = name
                continue
            if not _blank(found[name], answers[name]):  # a cell that was split: both halves run
                wanted_names = set(defined(answers[name].source))
                if not wanted_names & set(_NAMED.findall(cell.source[:SOURCE])):
                    continue
                place = {at: n for at, n in place.items() if n != name}
        if cell.cell_type == wanted[name].cell_type or name in answers:
            found[name], place[k] = cell, name
    given = {_squeezed(public(cell)): name for name, cell in wanted.items() if name not in answers}
    for k, cell in enumerate(handed.cells):
        if k not in place and _squeezed(cell.source) in given:
            place[k] = given[_squeezed(cell.source)]
    by_name: list[str] = []
    for k, cell in enumerate(handed.cells):  # by what it defines
        if k in place or cell.cell_type != "code":
            continue
        names = set(_NAMED.findall(cell.source[:SOURCE]))
        for name, its in answers.items():
            if name not in found and its.cell_type == "code" and names & set(defined(its.source)):
                found[name], place[k] = cell, name
                by_name.append(name)
                break
    if by_name:
        notes.append(f"found by what they define: {', '.join(by_name)}")
    _between(master, handed, answers, found, place, notes)
    missing = [name for name in answers if name not in found]
    notes += [f"the answer {name} is missing" for name in missing]
    extras: dict[str, list[NotebookNode]] = {}
    after, kept = "", 0
    for k, cell in enumerate(handed.cells):
        if k in place:
            after = place[k]
        elif cell.source.strip() and kept < EXTRA:
            # Its metadata may claim anything, and is left behind.
            make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
            extras.setdefault(after, []).append(make(cell.source))
            kept += 1
    order: list[tuple[NotebookNode, str]] = [(cell, cell.source) for cell in extras.get("", [])]
    for cell in master.cells:
        name = grade_id(cell)
        source = found[name].source if name in found and name in answers else public(cell)
        order += [(cell, source)] + [(extra, extra.source) for extra in extras.get(name, [])]
    return [(cell, source[:SOURCE]) for cell, source in order], notes


_NAMED = re.compile(r"^(?:def\s+)?(\w+)\s*[(=:]", re.M)  # no parser: a text may be made to cost it gigabytes


def _marked(cell: NotebookNode) -> str:
    mark = cell.get("metadata", {}).get("nbgrader")
    return str(mark.get("grade_id", "")) if isinstance(mark, dict) else ""


def _squeezed(source: str) -> str:
    return re.sub(r"\s+", "", source)


def _blank(cell: NotebookNode, master: NotebookNode) -> bool:
    return _squeezed(cell.source) in ("", _squeezed(STUB), _squeezed(public(master)))


def _between(
    master: NotebookNode,
    handed: NotebookNode,
    answers: dict[str, NotebookNode],
    found: dict[str, NotebookNode],
    place: dict[int, str],
    notes: list[str],
) -> None:
    """Answers whose names are lost altogether: the one unknown cell between two known ones."""
    order = [grade_id(cell) for cell in master.cells]
    for name, its in answers.items():
        if name in found:
            continue
        i = order.index(name)
        before = {k for k, n in place.items() if n in order[:i]}
        behind = {k for k, n in place.items() if n in order[i + 1 :]}
        low, high = (
            max(before, default=-1),
            min((k for k in behind if k > max(before, default=-1)), default=len(handed.cells)),
        )
        unknown = [
            k for k in range(low + 1, high)
            if k not in place
            and handed.cells[k].cell_type == its.cell_type
            and handed.cells[k].source.strip()
        ]  # fmt: skip
        if len(unknown) == 1 or (unknown and its.cell_type == "markdown"):
            found[name], place[unknown[-1]] = handed.cells[unknown[-1]], name
            notes.append(f"the answer {name} was found by its place")
