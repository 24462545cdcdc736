"""Grade a class: collect, run, judge, write gradebook, feedback and table. Doing it again gives the same."""

from __future__ import annotations

import ctypes
import faulthandler
import hashlib
import json
import multiprocessing
import os
import re
import resource
import signal
import time
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from .assignment import grade_id, role, written_answer
from .clean import clean
from .course import Course, write_whole
from .feedback import page
from .handin import Person, Unreadable, collect, read_notebook, readable
from .marking import mark
from .outside import Limits
from .sandbox import NoSandbox, Sandbox
from .table import write_table

UNDATED = datetime(1981, 1, 1, tzinfo=UTC)  # archives without times say 1980
STEPS = ("source", "release", "submitted", "autograded", "feedback", "results", "grades", "rubrics")
OWN_MEMORY = 700 << 20  # bytes that a trusted process may take for one answer


@dataclass
class Result:
    """What is known of one student's hand-in."""

    person: Person
    status: str = "missing"
    handed_in: datetime | None = None
    late: float = 0.0  # hours
    points: dict[str, float | None] = field(default_factory=dict)  # None while a person must mark it
    says: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    notebook: NotebookNode | None = None
    comments: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> float | None:
        """The sum of what is marked; None if there is nothing that could be."""
        return None if not self.points else sum(points or 0.0 for points in self.points.values())


# -- one submission, in a worker

_worker: dict[str, Any] = {}


def _begin(master: str, key: str, name: str, limits: Limits, trusted: bool, warm: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hear
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # and its end is ours
    import sympy  # noqa: F401  what the checks need is there before the limit is drawn
    import torch  # noqa: F401

    status = Path("/proc/self/status").read_text() if Path("/proc/self/status").exists() else ""
    held = re.search(r"VmData:\s*(\d+) kB", status)
    most = (int(held[1]) << 10 if held else 1 << 30) + OWN_MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    notebook = nbformat.reads(master, as_version=4)
    sandbox = Sandbox(limits, trusted=trusted, warm=warm)
    silent = open(os.devnull, "w")  # noqa: SIM115
    _worker.update(master=notebook, key=key, name=name, sandbox=sandbox, silent=silent)


def _judge(data: bytes) -> dict[str, Any]:
    """Everything about one submission as plain JSON."""
    try:
        handed = read_notebook(data)
    except Unreadable as error:
        return {"status": "unreadable", "notes": [str(error)]}
    limit, begun = _worker["sandbox"].limits.seconds, time.monotonic()
    # Whatever hangs out here ends this process; the submission is then tried alone.
    faulthandler.dump_traceback_later(2 * limit + 60, exit=True, file=_worker["silent"])
    try:
        found = mark(_worker["master"], handed, _worker["sandbox"], key=_worker["key"], name=_worker["name"])
    finally:
        faulthandler.cancel_dump_traceback_later()
    return {
        "status": found.status,
        "seconds": round(time.monotonic() - begun - found.starting, 3),
        "notes": found.notes,
        "verdicts": {it: asdict(verdict) for it, verdict in found.verdicts.items()},
        "notebook": nbformat.writes(clean(found.notebook)),
    }


# -- all of them


def fingerprint(*parts: bytes) -> str:
    """One name for a class, a master and the grader's own code."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def judged(
    name: str,
    course: Course,
    data: dict[str, bytes],
    *,
    limits: Limits,
    trusted: bool,
    warm: bool,
    workers: int,
    tell: Callable[[int, int], None],
) -> dict[str, dict[str, Any]]:
    """The verdict on each submission: from the last time where nothing has changed, else from the sandbox.

    Each is kept as soon as it is there, so a run that is broken off goes on where it was.
    """
    master = course.master(name).read_text()
    folder = course.root / "results" / name
    folder.mkdir(parents=True, exist_ok=True)
    ground = fingerprint(course.key.encode(), master.encode()).encode()
    marks = {it: hashlib.sha256(ground + content).hexdigest() for it, content in data.items()}
    found: dict[str, dict[str, Any]] = {}
    for it, mark_ in marks.items():
        try:
            kept = json.loads((folder / f"{it}.json").read_text())
        except (OSError, ValueError):
            continue
        enough = kept.get("status") != "timeout" or kept.get("limit", 0) >= limits.seconds
        if kept.get("fingerprint") == mark_ and enough:
            found[it] = kept
    todo = [it for it in data if it not in found]
    tell(len(found), len(data))
    tries = {it: 0 for it in todo}
    while todo:
        pool = ProcessPoolExecutor(
            min(workers, len(todo)), multiprocessing.get_context("spawn"), _begin,
            (master, course.key, name, limits, trusted, warm),
        )  # fmt: skip
        try:
            running = {pool.submit(_judge, data[it]): it for it in todo}
            for future in as_completed(running):
                it = running[future]
                try:
                    said = future.result() | {"fingerprint": marks[it], "limit": limits.seconds}
                except BrokenExecutor:
                    raise
                except Exception as error:  # our own fault: not kept, the next run tries again
                    why = f"the grader stumbled, grade again: {type(error).__name__}: {error}"
                    found[it] = {"status": "crashed", "notes": [why]}
                else:
                    found[it] = said
                    write_whole(folder / f"{it}.json", json.dumps(said))
                tell(len(found), len(data))
        except BrokenExecutor:  # a trusted process died: what it may have died of is tried alone
            pass
        except BaseException:  # Ctrl-C: nothing more is begun
            for process in list((pool._processes or {}).values()):
                process.kill()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        todo = [it for it in todo if it not in found]
        if todo:
            workers = 1
            tries[todo[0]] += 1
            if tries[todo[0]] > 1:
                why = "the grader's own process died of it, twice; it is tried again the next time"
                found[todo[0]] = {"status": "crashed", "notes": [why]}
                todo = todo[1:]
            if sum(tries.values()) > 8 and not any(said.get("status") == "ok" for said in found.values()):
                raise NoSandbox("the grader's processes end as soon as they begin: is there memory enough?")
    return found


def grade(
    name: str,
    course: Course,
    source: Path,
    *,
    deadline: datetime | None = None,
    limits: Limits | None = None,
    trusted: bool = False,
    warm: bool = True,
    workers: int = 2,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> list[Result]:
    """Grade everything that was handed in for an assignment; a result for everybody on the roster.

    Parameters
    ----------
    source
        A folder or a zip. Who is not in it but has handed in before keeps that.
    deadline
        After it a hand-in is stamped late; nothing is taken off. Without one that of the last run holds.
    tell
        Called with how many of how many are judged.
    """
    if not course.master(name).exists():
        known = sorted(path.name for path in (course.root / "source").glob("*")) or ["nothing yet"]
        raise ValueError(
            f"{name} has not been released for this class (released: {', '.join(known)}); release first"
        )
    here, there = course.root.resolve(), source.resolve()
    if (
        there == here
        or there in here.parents
        or (here in there.parents and there.relative_to(here).parts[0] in STEPS)
    ):
        raise ValueError(f"FROM must be what was collected; {source} holds the class's own files")
    people = course.people
    deadline = deadline or _deadline(name, course)
    collected = collect(source, people, name)
    results = {person.id: Result(person) for person in people}
    data: dict[str, bytes] = {}
    for person in people:
        earlier = course.place("submitted", name, person.safe) / f"{name}.ipynb"
        new = collected.files.get(person.id)
        if new is None and not earlier.exists():
            _recall(name, course, results[person.id])
            continue
        if earlier.exists():
            stamp = datetime.fromtimestamp(earlier.stat().st_mtime, UTC)
            broken = new is not None and not readable(new[0])
            older = new is not None and UNDATED < new[1] < stamp
            if new is not None and (broken or older):
                what = "the new file cannot be read" if broken else "an older file than the one graded before"
                collected.note(person, f"{what}; that one counts")
            if new is None or broken or older:
                collected.files[person.id] = earlier.read_bytes(), stamp
        content, when = collected.files[person.id]
        result = results[person.id]
        result.notes += collected.notes.get(person.id, [])
        result.handed_in = when
        result.late = max((when - deadline).total_seconds() / 3600, 0.0) if deadline else 0.0
        if isinstance(content, Unreadable):
            result.status, result.notes = "unreadable", [*result.notes, str(content)]
        else:
            data[person.safe] = content
    found = judged(
        name, course, data,
        limits=limits or Limits(), trusted=trusted, warm=warm, workers=workers, tell=tell,
    )  # fmt: skip
    for person in people:
        said = found.get(person.safe)
        if said is None:
            continue
        result = results[person.id]
        result.status, result.notes = said["status"], [*result.notes, *said["notes"]]
        if "notebook" in said:
            result.notebook = nbformat.reads(said["notebook"], as_version=4)
            for it, verdict in said["verdicts"].items():
                result.points[it], result.says[it] = verdict["points"], verdict["says"]
    for result in results.values():
        if result.status != "missing":
            _recall(name, course, result, remember=True)
    _store(name, course, list(results.values()), data, deadline)
    write_table(name, course, list(results.values()), collected.unclaimed)
    return list(results.values())


# -- nbgrader's gradebook and folders


def _recall(name: str, course: Course, result: Result, remember: bool = False) -> None:
    """Keep, and find again, that somebody's file could not be read: it may not be in the next collection."""
    path = course.root / "results" / name / f"{result.person.safe}.unreadable"
    if remember and result.status == "unreadable" and result.handed_in:
        write_whole(path, json.dumps([result.handed_in.isoformat(), result.late, result.notes]))
    elif remember:
        path.unlink(missing_ok=True)
    elif path.exists():
        when, result.late, result.notes = json.loads(path.read_text())
        result.status, result.handed_in = "unreadable", datetime.fromisoformat(when)


def _store(
    name: str, course: Course, results: list[Result], data: dict[str, bytes], deadline: datetime | None
) -> None:
    """Write verdicts into the gradebook, keep manual marks, and read them back into the results."""
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SAWarning

    master = nbformat.read(course.master(name), as_version=4)
    written = {grade_id(cell): cell for cell in master.cells if role(cell) == "written"}
    memories: list[Callable[[], object]] = []
    warnings.filterwarnings("ignore", "Object of type .* not in session", category=SAWarning)
    with Gradebook(course.database) as book:
        due = {"duedate": deadline.astimezone(UTC).replace(tzinfo=None)} if deadline else {}
        book.update_or_create_assignment(name, **due)
        for result in results:
            person = result.person
            # Formgrader puts names into its pages as they are.
            shown = re.sub(r"[<>&\"']", "", person.name or person.safe)
            first, _, last = shown.rpartition(" ")
            book.update_or_create_student(
                person.safe,
                first_name=first,
                last_name=last,
                email=person.email,
                lms_user_id=re.sub(r"[<>&\"']", "", person.id),
            )
            if result.notebook is None:
                continue
            handed = write_whole(
                course.place("submitted", name, person.safe) / f"{name}.ipynb", data[person.safe]
            )
            if result.handed_in:
                os.utime(handed, (result.handed_in.timestamp(),) * 2)
            executed = course.place("autograded", name, person.safe) / f"{name}.ipynb"
            write_whole(executed, nbformat.writes(result.notebook))
            stamp = result.handed_in.replace(tzinfo=None) if result.handed_in else None
            submission = book.update_or_create_submission(name, person.safe, timestamp=stamp)
            for grade_row in submission.notebooks[0].grades:
                it = grade_row.name
                if it in written:
                    answer = written_answer(result.notebook, written[it])
                    changed, remember = _changed(course, name, person, answer)
                    memories.append(remember)
                    _by_hand(grade_row, not answer, changed)
                    result.says[it] = "" if answer else "No answer yet."
                    result.points[it] = None if grade_row.needs_manual_grade else _score(grade_row)
                else:
                    grade_row.auto_score = result.points.get(it) or 0.0
                    grade_row.needs_manual_grade = False
                    result.points[it] = _score(grade_row)
            for comment in submission.notebooks[0].comments:
                if comment.comment:
                    result.comments[comment.name] = comment.comment
        book.db.commit()
    for remember in memories:
        remember()
    for result in results:
        if result.notebook is not None:
            path = course.place("feedback", name, result.person.safe) / f"{name}.html"
            write_whole(path, page(name, result, master))


def _by_hand(row: Any, empty: bool, changed: bool) -> None:
    """A written answer waits for a person, unless it is empty, or marked already and unchanged."""
    if empty and row.manual_score is None:
        row.auto_score, row.needs_manual_grade = 0.0, False
    else:
        row.auto_score = None
        row.needs_manual_grade = row.manual_score is None or (row.needs_manual_grade or changed)


def _score(row: Any) -> float:
    """What a question earns: a mark given by hand goes before the grader's."""
    found = row.auto_score if row.manual_score is None else row.manual_score
    return float(found or 0.0) + float(row.extra_credit or 0.0)


def _changed(course: Course, name: str, person: Person, source: str) -> tuple[bool, Callable[[], object]]:
    """Whether a written answer is another than the last time; and what remembers this one."""
    path = course.root / "results" / name / f"{person.safe}.written"
    now = hashlib.sha256(source.encode()).hexdigest()
    before = path.read_text() if path.exists() else now
    return before != now, lambda: write_whole(path, now)


def _deadline(name: str, course: Course) -> datetime | None:
    """The deadline of an earlier run."""
    from nbgrader.api import Gradebook, MissingEntry

    with Gradebook(course.database) as book:
        try:
            due = book.find_assignment(name).duedate
        except MissingEntry:
            return None
    return due.replace(tzinfo=UTC) if due else None
