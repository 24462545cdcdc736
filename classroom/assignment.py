"""An assignment as its author wrote it: source notebook, what the class key changes, planted wrong answers.

The source is a notebook in nbgrader's format with ``{{names}}``; :func:`Assignment.fill` puts a class's
values there, the result is the *master*: with answers and hidden tests. :func:`public` is what students see
of a cell.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import hmac
import importlib.util
import io
import itertools
import json
import random
import re
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

import nbformat
from nbformat import NotebookNode

from .planted import Planted

ASSIGNMENTS = Path(__file__).resolve().parent / "assignments"
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
TEXT_STUB = "YOUR ANSWER HERE"
WIDTH = 110  # characters of a line
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_REGION = re.compile(r"^(?P<indent>[ \t]*)### BEGIN (?P<kind>SOLUTION|HIDDEN TESTS)[^\n]*\n"
                     r".*?### END (?P=kind)[^\n]*$\n?",
                     re.M | re.S)  # fmt: skip


class SourceError(ValueError):
    """An assignment's source is wrong; the text says where and what is expected."""


def names() -> list[str]:
    """The assignments there are, in the order of the chapters."""
    return sorted(path.parent.name for path in ASSIGNMENTS.glob("*/assignment.ipynb"))


def role(cell: NotebookNode) -> str:
    """What a cell is: "answer", "test", "written" (an answer marked by hand), "given" or "free".

    >>> role(nbformat.v4.new_markdown_cell("a note"))
    'free'
    """
    mark = cell.metadata.get("nbgrader")
    if not mark:
        return "free"
    if mark.get("solution") or mark.get("task"):
        return "written" if mark.get("grade") or mark.get("task") else "answer"
    return "test" if mark.get("grade") else "given"


def grade_id(cell: NotebookNode) -> str:
    """The name by which the gradebook knows a cell, or the empty string."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def graded(notebook: NotebookNode) -> dict[str, float]:
    """What earns points, by grade_id and in order, and how many."""
    cells = [cell for cell in notebook.cells if role(cell) in ("test", "written")]
    return {grade_id(cell): float(cell.metadata.nbgrader["points"]) for cell in cells}


def public(cell: NotebookNode) -> str:
    """The source of a cell without answers and hidden tests.

    >>> body = "    ### BEGIN SOLUTION\\n    return 1\\n    ### END SOLUTION"
    >>> cell = nbformat.v4.new_code_cell(f"def f():\\n{body}")
    >>> cell.metadata["nbgrader"] = {"solution": True, "grade": False, "grade_id": "f"}
    >>> print(public(cell))
    def f():
        # YOUR CODE HERE
        raise NotImplementedError()
    """
    stub = STUB if cell.cell_type == "code" else TEXT_STUB

    def replaced(found: re.Match[str]) -> str:
        if found["kind"] == "HIDDEN TESTS":
            return ""
        return "".join(f"{found['indent']}{line}\n" for line in stub.splitlines())

    text, count = _REGION.subn(replaced, cell.source)
    if role(cell) in ("answer", "written") and not count:
        return stub
    return text.rstrip("\n")


def with_own_cells(cells: list[NotebookNode], at: int) -> slice:
    """The place of a cell and of a student's own cells on both sides of it."""
    first, last = at, at + 1
    while first > 0 and role(cells[first - 1]) == "free":
        first -= 1
    while last < len(cells) and role(cells[last]) == "free":
        last += 1
    return slice(first, last)


def written_answer(notebook: NotebookNode, question: NotebookNode) -> str:
    """All that a student wrote for a written question; empty if it is nothing.

    Their own cells beside it count: many write into a new cell, or photograph a sheet of paper.
    """
    at = [grade_id(cell) for cell in notebook.cells].index(grade_id(question))
    written = notebook.cells[at].source.strip()
    parts = [] if written in ("", public(question).strip()) else [written]
    for cell in notebook.cells[with_own_cells(notebook.cells, at)]:
        if role(cell) == "free":
            parts += [cell.source, *(str(output.get("data", "")) for output in cell.get("outputs", []))]
    return "\n".join(parts)


@dataclass(frozen=True)
class Assignment:
    """One assignment, in its folder.

    >>> Assignment("no_such")
    Traceback (most recent call last):
    classroom.assignment.SourceError: there is no assignment 'no_such'; ...
    """

    name: str
    folder: Path = ASSIGNMENTS

    def __post_init__(self) -> None:
        if not (self.folder / self.name / "assignment.ipynb").is_file():
            raise SourceError(
                f"there is no assignment {self.name!r}; there are: {', '.join(names()) or 'none yet'}"
            )

    @cached_property
    def source(self) -> NotebookNode:
        """The notebook with its placeholders."""
        notebook = nbformat.read(self.folder / self.name / "assignment.ipynb", as_version=4)
        nbformat.validate(notebook)
        return notebook

    @cached_property
    def planted(self) -> list[Planted]:
        """The wrong answers that must be rejected."""
        return list(self._module("planted").PLANTED)

    def variant(self, key: str) -> dict[str, str]:
        """What the class key changes, as text for cells; with ``checks``, the code of the checks."""
        made: Callable[[random.Random], dict[str, object]] = self._module("variant").variant
        values = {name: str(value) for name, value in made(random.Random(derived(key, self.name))).items()}
        return values | {"checks": checks_source()}

    def fill(self, key: str) -> NotebookNode:
        """The master of a class: the source with its values."""
        master = nbformat.from_dict(self.source)
        values = self.variant(key)
        for cell in master.cells:
            cell.source = filled(cell.source, values)
            if cell.cell_type == "code":
                cell.source = laid_out(cell.source)
                cell.outputs, cell.execution_count = [], None
        check_master(master, self.name)
        return master

    def rubric(self, key: str) -> str:
        """What earns how many points in the written answer, for the marker alone."""
        path = self.folder / self.name / "rubric.md"
        if not path.is_file():
            raise SourceError(f"{self.name}: rubric.md is missing")
        return filled(path.read_text(encoding="utf-8"), self.variant(key))

    def _module(self, name: str) -> ModuleType:
        path = self.folder / self.name / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"classroom_{self.name}_{name}", path)
        if spec is None or spec.loader is None or not path.is_file():
            raise SourceError(f"{self.name}: {name}.py is missing")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def derived(key: str, *purpose: str) -> int:
    """A number that only the class key gives, for one purpose.

    >>> derived("k", "a") == derived("k", "a") != derived("k", "b")
    True
    """
    digest = hmac.new(key.encode(), "/".join(purpose).encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big")


def filled(text: str, values: dict[str, str]) -> str:
    """A text with its ``{{names}}`` replaced.

    >>> filled("L = {{ length }}", {"length": "3"})
    'L = 3'
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise SourceError(f"{{{{{found[1]}}}}} is no name of the variant; there are {sorted(values)}")
        return values[found[1]]

    return _PLACE.sub(value, text)


def laid_out(source: str) -> str:
    """Python with no line longer than a page where a comma allows it: numbers of a variant may be long.

    >>> print(laid_out("    f([" + ", ".join(["0.12345678"] * 12) + "])").count("\\n"))
    1
    """
    made = []
    for number, line in enumerate(source.splitlines(), start=1):
        margin = " " * (len(line) - len(line.lstrip()) + 4)
        cuts = [0, *(_commas(source, number) if len(line) > WIDTH else []), len(line)]
        now = ""
        for start, end in itertools.pairwise(cuts):
            piece = line[start:end]
            if now and len(now + piece) > WIDTH:
                made.append(now)
                now = margin + piece.lstrip()
            else:
                now += piece
        made.append(now)
    return "\n".join(made)


def _commas(source: str, number: int) -> list[int]:
    """Where a line may be broken: behind the commas that are Python's and stand in brackets."""
    found, depth = [], 0
    with contextlib.suppress(tokenize.TokenError, IndentationError):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
            if token.start[0] == number and token.string == "," and depth:
                found.append(token.end[1])
    return found


def checks_source() -> str:
    """The code of `checks.py` as an assignment holds it: without examples and the module's docstring."""
    source = (Path(__file__).parent / "checks.py").read_text()
    body = source.split('"""', 2)[2].strip()
    body = re.sub(r'\n[ \t]*\n?[ \t]*>>> .*?(?=[ \t]*""")', "\n", body, flags=re.S)
    return "# How the checks speak; nothing in here is to be changed.\n" + body


def check_master(master: NotebookNode, name: str) -> None:
    """Refuse a master whose cells cannot be graded: a SourceError says which."""
    seen: set[str] = set()
    for cell in master.cells:
        it = grade_id(cell)
        if not it:
            raise SourceError(f"{name}: a cell has no grade_id: {cell.source[:60]!r}")
        if it in seen:
            raise SourceError(f"{name}: two cells are called {it!r}")
        if cell.get("id") != it:
            raise SourceError(f"{name}: the cell {it!r} must have its name as id, got {cell.get('id')!r}")
        seen.add(it)
        opened, closed = (
            len(re.findall(rf"### {word} (?:SOLUTION|HIDDEN TESTS)", cell.source))
            for word in ("BEGIN", "END")
        )
        if opened != closed:
            raise SourceError(f"{name}: in {it!r} {opened} regions begin and {closed} end")
        if cell.cell_type == "code":
            try:
                ast.parse(cell.source)
            except SyntaxError as error:
                raise SourceError(f"{name}: {it!r} is no Python: {error}") from None
    answers = {grade_id(cell) for cell in master.cells if role(cell) == "answer"}
    tests = {grade_id(cell).removesuffix("_test") for cell in master.cells if role(cell) == "test"}
    if answers != tests:
        raise SourceError(
            f"{name}: answers {sorted(answers)} and tests {sorted(tests)} do not belong together"
        )


def defined(source: str) -> dict[str, bool]:
    """The names that a cell defines at its top level, and whether each is a function.

    >>> defined("def f(x):\\n    return x\\na = b = 2")
    {'f': True, 'a': False, 'b': False}
    """
    found: dict[str, bool] = {}
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return found
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = True
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                found |= {leaf.id: False for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}
    return found


def tokens(text: str) -> set[str]:
    """The words and numbers of a text: what must not leak.

    >>> sorted(tokens("x = scale * 2.5  # note"))
    ['2.5', 'note', 'scale', 'x']
    """
    return set(re.findall(r"[^\W\d]\w*|\d+(?:\.\d+)?(?:e-?\d+)?", text))


_NBGRADERS = ("nbgrader", "deletable", "editable")  # what nbgrader itself writes into a cell's metadata


def leaks(master: NotebookNode, release: NotebookNode) -> set[str]:
    """Words of answers and hidden tests that a release shows though no visible part of the master has them.

    What is visible is worked out here, apart from nbgrader, which made the release: each watches the other.
    """
    visible = set[str]()
    for cell in master.cells:
        visible |= tokens(public(cell)) | tokens(grade_id(cell))
    shown = set[str]()
    for cell in release.cells:
        shown |= tokens(cell.source) | tokens(str(cell.get("outputs", "")))
        shown |= tokens(str(cell.get("attachments", "")))
        shown |= tokens(json.dumps({k: v for k, v in cell.metadata.items() if k not in _NBGRADERS}))
    shown |= tokens(json.dumps(release.metadata))  # true and false of JSON are nobody's True and False
    secret = set[str]()
    for cell in master.cells:
        secret |= tokens(cell.source) - tokens(public(cell))
    return (shown & secret) - visible - tokens(STUB) - tokens(TEXT_STUB)
