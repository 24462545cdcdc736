"""From a submission to its verdicts: the student's cells run inside the walls, the tests out here.

The master is the skeleton: answers are carried over into it (`carry.py`), so missing cells are
restored, copies dropped and additions kept. Then the cells run in the master's order: a given cell on both
sides, an answer inside alone, a test out here alone. In a test the names that the reference answer defines
are proxies (:class:`Proxy`).
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import nbformat
import numpy as np
from nbformat import NotebookNode

from .assignment import SourceError, defined, derived, grade_id, public, role
from .carry import carry
from .clean import is_picture
from .outside import Gone, Shown, Student, StudentError
from .pasted import UNSEEN, picture_cells
from .sandbox import Sandbox

TEST_SECONDS = 20.0  # of one test cell, out here, the student's answers included
MESSAGE = 1_000  # characters of a diagnosis
RESTARTS = 8  # of a student's process that died
_TURTLES = "lists too deep in one another, or a number too large"


@dataclass
class Verdict:
    """What became of one test: its points, and what to say."""

    points: float
    most: float
    says: str = ""


@dataclass
class Marked:
    """A submission, executed and judged."""

    notebook: NotebookNode
    status: str  # "ok", "timeout", "crashed"
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    starting: float = 0.0  # seconds that its processes took to start


# -- running it


class TooLong(BaseException):
    """A test has used its time. No ordinary `except` takes it for something else."""


class Proxy:
    """A function of the student's, as a test sees it."""

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._name = run, name
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run.call(self._name, *args, **kwargs)


class Run:
    """One submission on its way through the cells.

    If the process dies in a call, it is started anew without the tests that were, once for each question:
    one question's endless loop does not cost the others.
    """

    def __init__(self, sandbox: Sandbox, key: str, name: str) -> None:
        self.sandbox, self.key, self.name = sandbox, key, name
        self.trusted: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        begun = time.monotonic()
        self.student: Student | None = sandbox.start()
        self.starting = time.monotonic() - begun  # seconds spent on starting processes: not the student's
        self.left = sandbox.limits.seconds
        self.done: list[str] = []  # cells that have run inside
        self.broken: dict[str, str] = {}  # answers whose cell raised, and what
        self.starts = 1
        self.status = "ok"
        self.why = ""

    def close(self) -> None:
        """End the student's process."""
        if self.student is not None:
            self.left = self.student.left
            self.student.end()
        self.student = None

    def _inside(self) -> Student:
        """The student's process; a new one if it is gone and there is time left."""
        if self.student is None:
            if self.left < 1 or self.starts > RESTARTS:
                raise Gone("timeout")
            begun = time.monotonic()
            self.student = self.sandbox.start()
            self.starts += 1
            self.starting += time.monotonic() - begun
            self.student.left = self.left - (time.monotonic() - begun)
            try:
                for source in self.done:
                    with contextlib.suppress(StudentError):
                        self.student.run(source)
            except Gone as gone:
                self._lost(gone)
                raise
            self.student.shown()
        return self.student

    def _lost(self, gone: Gone) -> None:
        self.status = "timeout" if gone.why == "timeout" else "crashed"
        self.why = self.why or str(gone)
        self.close()

    def cell(self, source: str) -> tuple[Shown, str]:
        """Run a student's cell inside; what it showed, and what it raised."""
        try:
            student = self._inside()
        except Gone as gone:
            return Shown(), f"not run: {gone}"
        raised, shown = "", Shown()
        try:
            shown.pictures = student.run(source)
        except StudentError as error:
            raised = "\n".join(str(part) for part in error.args if part)
        except Gone as gone:
            self._lost(gone)
            return Shown(), str(gone)
        shown.text = student.shown().text
        if student.interrupted:
            self.status, student.interrupted = "timeout", False
        else:
            self.done.append(source)
        return shown, raised

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a student's function."""
        return self._asked(lambda student: student.call(name, *args, **kwargs))

    def get(self, name: str) -> Any:
        """A value that the student's cells have defined."""
        return self._asked(lambda student: student.get(name))

    def picture(self, data: str) -> str:
        """A pasted picture, made small; empty if it cannot be shown."""
        small = ""
        with contextlib.suppress(StudentError, Gone):
            small = str(self._asked(lambda student: student.picture(data)))
        return small if is_picture(small) else ""

    def _asked(self, ask: Callable[[Student], Any]) -> Any:
        student = self._inside()
        try:
            return ask(student)
        except Gone as gone:
            self._lost(gone)
            raise
        finally:
            if student.interrupted:
                self.status, student.interrupted = "timeout", False

    def given(self, it: str, source: str) -> None:
        """Run a cell of the teacher's out here."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(source, "<given>", "exec"), self.trusted)
        except Exception as error:
            what = f"{self.name}: the given cell {it} fails ({error})"
            raise SourceError(f"{what}; given cells run before and without any answer") from error

    def test(self, it: str, source: str, names: dict[str, bool]) -> str:
        """Run a test out here; what is wrong, or the empty string."""
        names_out = dict(self.trusted)
        names_out["secret"] = np.random.default_rng(derived(self.key, self.name, it, "secret"))
        _seed(derived(self.key, self.name, it, "seed"))
        try:
            for name, is_function in names.items():
                names_out[name] = Proxy(self, name) if is_function else self.get(name)
            with contextlib.redirect_stdout(io.StringIO()), time_limit(TEST_SECONDS):
                exec(compile(source, "<test>", "exec"), names_out)
        except AssertionError as error:
            return str(error)[:MESSAGE] or "not right yet."
        except StudentError as error:
            broken = self.broken.get(it.removesuffix("_test"), "")
            if broken and str(error.args[0]).startswith("NameError"):
                return f"The cell of your answer stopped with {broken}"[:MESSAGE]
            return _plain(error)
        except Gone as gone:
            return str(gone)
        except TooLong:
            self.close()  # it may be in the middle of an answer
            return "What came back kept the check busy for too long."
        except RecursionError:
            return f"What came back cannot be checked: {_TURTLES}."
        except Exception as error:
            kind = type(error).__name__
            return f"What came back cannot be checked ({kind}): is it of the kind that the text asks for?"
        return ""


def _plain(error: StudentError) -> str:
    text = str(error.args[0])
    if text.startswith("NotImplementedError"):
        return "No answer yet."
    trace = error.args[1] if len(error.args) > 1 else ""
    if not text.startswith("It took"):
        text = f"It stopped with {text}"
    return text[:MESSAGE] + (f"\n{trace}" if trace else "")


def _seed(number: int) -> None:
    """One state of all generators before each test, whatever was before."""
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002
    import torch

    torch.manual_seed(number % 2**63)


@contextlib.contextmanager
def default_dtype_kept() -> Iterator[None]:
    """Put torch's default type back: a setup cell may have set it for its own assignment."""
    import torch

    before = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TooLong after so many seconds, and again each second; in the main thread alone, elsewhere no limit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def mark(master: NotebookNode, handed: NotebookNode, sandbox: Sandbox, *, key: str, name: str) -> Marked:
    """Execute a submission and judge it.

    Parameters
    ----------
    master
        The assignment of this class, with answers and hidden tests.
    handed
        What was handed in: any notebook that nbformat reads.
    sandbox
        Starts the student's process.
    key, name
        The class key and the assignment's name: from them come the random numbers of hidden tests.
    """
    order, notes = carry(master, handed)
    names: dict[str, bool] = {}
    for cell in master.cells:
        if role(cell) == "answer":
            names |= {n: f for n, f in defined(cell.source).items() if not n.startswith("_")}
    marked = Marked(nbformat.v4.new_notebook(metadata={"kernelspec": dict(_KERNEL)}), "ok", notes=notes)
    run = Run(sandbox, key, name)
    try:
        with default_dtype_kept():
            # Before a line of the student's runs: nothing of theirs has a say in what comes back.
            pictures = [run.picture(data) for data in handed.metadata.get("pictures", [])]
            for cell, source in order:
                made = _one(run, marked, cell, source, names)
                if cell.cell_type == "markdown" and role(cell) != "given":
                    marked.notebook.cells += picture_cells(source, pictures)
                marked.notebook.cells.append(made)
    finally:
        run.close()
    marked.notes += [f"picture {n}: {UNSEEN}" for n, data in enumerate(pictures, 1) if not data]
    marked.status, marked.starting = run.status, run.starting
    if run.why:
        marked.notes.append(run.why)
    return marked


_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def _one(run: Run, marked: Marked, cell: NotebookNode, source: str, names: dict[str, bool]) -> NotebookNode:
    """Run one cell where it belongs; the cell as it is kept."""
    kind, it = role(cell) if grade_id(cell) else "free", grade_id(cell)
    if cell.cell_type != "code":
        made = nbformat.v4.new_markdown_cell(
            source if cell.cell_type == "markdown" else f"```\n{source}\n```"
        )
    elif kind == "test":
        most = float(cell.metadata.nbgrader["points"])
        wanted = {n: f for n, f in names.items() if re.search(rf"\b{re.escape(n)}\b", cell.source)}
        says = run.test(it, cell.source, wanted)
        marked.verdicts[it] = Verdict(0.0 if says else most, most, says)
        made = nbformat.v4.new_code_cell(public(cell))
        made.outputs = [
            _failed(says) if says else nbformat.v4.new_output("stream", name="stdout", text="right\n")
        ]
    else:
        if kind == "given":
            run.given(it, cell.source)
        shown, raised = run.cell(source)
        if raised and kind == "answer" and not raised.startswith("NotImplementedError"):
            run.broken[it] = raised
        made = nbformat.v4.new_code_cell(source)
        made.outputs = [nbformat.v4.new_output("display_data", {"image/png": p}) for p in shown.pictures]
        if shown.text:
            made.outputs.insert(0, nbformat.v4.new_output("stream", name="stdout", text=shown.text))
        if raised and not raised.startswith("NotImplementedError"):
            made.outputs.append(_failed(raised))
    if it and kind != "free":
        made.id = it
        made.metadata["nbgrader"] = dict(cell.metadata.nbgrader)
    return made


def _failed(says: str) -> NotebookNode:
    """What nbgrader takes for a test that failed."""
    return nbformat.v4.new_output("error", ename="Check", evalue=says, traceback=[says])
