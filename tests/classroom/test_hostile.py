"""One batch of hostile, broken and honest submissions, graded by the command that a teacher gives.

With ``KEXUE_HOSTILE=full`` (``make hostile``) it is graded twice more, slower attacks included: with the
limits of everyday, and with new walls for each. One test grades without walls what harms canaries alone.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import html
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import psutil
import pytest
from hostile import ATTACKS, FULL, HOLE, HONEST, LINGER, NEIGHBOUR, Submission, Target
from the_class import NAME, ROOT, open_class

from classroom.assignment import Assignment
from classroom.clean import is_picture
from classroom.course import Course
from classroom.handin import Person

EVERYTHING = os.environ.get("KEXUE_HOSTILE") == "full"
SECONDS = 6.0  # for one submission
WAYS = [("walls", [], SECONDS)]
if EVERYTHING:
    WAYS += [("everyday", [], 30.0), ("fresh", ["--fresh"], 15.0)]


@dataclass
class Graded:
    """What a batch left behind."""

    submissions: list[Submission]
    course: Course
    home: Path
    canary: Path
    token: str
    seconds: float
    status: int
    said: str
    wall: float
    rows: dict[str, dict[str, str]]
    before: dict[str, str]
    after: dict[str, str]
    left: list[str]  # processes that were still there
    memory: int = 0  # most bytes of the grader's own processes together
    people: dict[str, Person] = field(default_factory=dict)

    def safe(self, it: str) -> str:
        """The name of a submission's files."""
        return self.people[it].safe

    def result(self, it: str) -> dict:
        """What the grader keeps of one submission."""
        path = self.course.root / "results" / NAME / f"{self.safe(it)}.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def papers(self, it: str) -> dict[str, str]:
        """Everything written for one student."""
        folders = [self.course.place(step, NAME, self.safe(it)) for step in ("feedback", "autograded")]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        files.append(self.course.root / "results" / NAME / f"{self.safe(it)}.json")
        return {path.name: path.read_text(errors="replace") for path in files if path.exists()}

    def holes(self, it: str) -> list[str]:
        """What a submission reports to have got away with."""
        found = [re.findall(re.escape(HOLE) + r"[^\n\"<\\]*", text) for text in self.papers(it).values()]
        return sorted({hole for holes in found for hole in holes})


def fingerprints(*folders: Path) -> dict[str, str]:
    """A hash of every file, of what tools do not write as they run."""
    passing = {".git", "__pycache__", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", "_build",
               ".ipynb_checkpoints", "kexue_lite.egg-info"}  # fmt: skip
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and not passing & set(path.parts):
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class Watch(threading.Thread):
    """Follows a process and all that it starts, and how much memory the grader's own take."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.mother, self.seen, self.memory = psutil.Process(pid), dict[int, psutil.Process](), 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            own = 0
            try:
                family = [self.mother, *self.mother.children(recursive=True)]
            except psutil.Error:
                continue
            for process in family:
                self.seen[process.pid] = process
                try:
                    if self.mother.pid in (process.pid, process.ppid()) and "bwrap" not in process.name():
                        own += process.memory_info().rss
                except psutil.Error:
                    pass
            self.memory = max(self.memory, own)

    def left(self) -> list[str]:
        """Processes of its family that outlived it, and those that carry the mark of the ones that try to."""
        found = []
        until = time.monotonic() + 3
        while time.monotonic() < until:
            found = [p for p in self.seen.values() if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
            found += [p for p in psutil.process_iter() if LINGER in " ".join(_command(p))]
            if not found:
                break
            time.sleep(0.2)
        names = [" ".join(_command(p))[:80] for p in found]
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        return names


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def hand_in(folder: Path, target: Target, submissions: list[Submission]) -> list[Person]:
    """Lay the files out as a learning platform does, write the roster."""
    people = [Person(one.name, one.person, f"{one.name}@example.org") for one in submissions]
    people.append(Person("absent", "Hands in nothing"))
    for one in submissions:
        place = folder / one.name
        place.mkdir(parents=True)
        (place / one.file).write_bytes(one.build(target))
        for name, text in one.beside.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
    with (target.course / "roster.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "name", "email"])
        rows.writerows([p.id, p.name, p.email] for p in people)
    return people


def graded(
    root: Path, tiny: Assignment, submissions: list[Submission], seconds: float, *words: str
) -> Graded:
    """Grade a batch by the command, in an environment with canaries."""
    course = open_class(tiny, root / "class")
    home, canary, token = root / "home", root / "canary", secrets.token_hex(8)
    for folder in (home, canary):
        folder.mkdir()
        for name in ("thesis.txt", "photo.jpg", ".secret"):
            (folder / name).write_text(f"zq_canary_{token}")
    listener, abstract = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    port = listener.getsockname()[1]
    abstract.bind(f"\0zq_abstract_{port}")
    abstract.listen()
    target = Target(course.place("release", NAME) / f"{NAME}.ipynb", course.root, home, canary, port)
    people = hand_in(root / "handed_in", target, submissions)
    looked = (
        home,
        canary,
        root / "handed_in",
        *(ROOT / name for name in ("classroom", "kexue_lite", "notebooks")),
    )
    before = fingerprints(*looked)
    command = [
        sys.executable,
        "-m",
        "classroom",
        "grade",
        NAME,
        str(root / "handed_in"),
        "--class",
        str(course.root),
    ]
    command += ["--workers", "2", "--seconds", str(seconds), *words]
    environment = {
        **os.environ,
        "HOME": str(home),
        "KEXUE_CANARY": f"zq_canary_{token}",
        "PYTHONPATH": str(ROOT),
    }
    begun = time.monotonic()
    with (root / "said.txt").open("w") as terminal, listener, abstract:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=terminal, stderr=terminal)
        watch = Watch(process.pid)
        watch.start()
        try:
            status = process.wait(timeout=1500)
        finally:
            process.kill()
        wall = time.monotonic() - begun
        watch.over.set()
        watch.join()
    table = course.root / "grades" / f"{NAME}.csv"
    rows = (
        {row["id"]: row for row in csv.DictReader(table.open(encoding="utf-8-sig"))} if table.exists() else {}
    )
    said = (root / "said.txt").read_text()
    return Graded(submissions, course, home, canary, token, seconds, status, said, wall, rows,
                  before, fingerprints(*looked), watch.left(), watch.memory,
                  {person.id: person for person in people})  # fmt: skip


@pytest.fixture(scope="module", params=WAYS, ids=[way[0] for way in WAYS])
def batch(request: pytest.FixtureRequest, bubblewrap: str, tiny: Assignment,
          tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graded]:  # fmt: skip
    """All submissions, graded behind walls."""
    _, words, seconds = request.param
    chosen = [one for one in [*ATTACKS, *HONEST] if EVERYTHING or not one.slow]
    yield graded(tmp_path_factory.mktemp("hostile"), tiny, chosen, seconds, *words)


def test_the_run_ends_well_and_has_a_row_for_everybody(batch: Graded) -> None:
    assert batch.status == 0, batch.said[-3000:]
    assert list(batch.rows) == [*(one.name for one in batch.submissions), "absent"]
    assert batch.rows["absent"]["status"] == "missing"


def test_honest_work_gets_what_it_deserves(batch: Graded) -> None:
    got = {one.name: (batch.rows[one.name]["status"], float(batch.rows[one.name]["total"])) for one in HONEST}
    assert got == {one.name: ("ok", one.most) for one in HONEST}


def test_no_attack_gets_more_than_it_deserves_and_right_answers_beside_it_count(batch: Graded) -> None:
    off = {}
    for one in [one for one in batch.submissions if one not in HONEST]:
        row = batch.rows[one.name]
        total = float(row["total"] or 0)
        if not one.least <= total <= one.most or row["status"] not in one.statuses:
            off[one.name] = (row["status"], total, "deserves", one.statuses, one.least, one.most)
    assert not off


def test_no_attack_gets_through(batch: Graded) -> None:
    assert {one.name: holes for one in batch.submissions if (holes := batch.holes(one.name))} == {}


def test_nothing_but_the_class_folder_is_changed(batch: Graded) -> None:
    changed = {path for path in batch.before.keys() | batch.after.keys()
               if batch.before.get(path) != batch.after.get(path)}  # fmt: skip
    assert not changed


def test_no_process_is_left(batch: Graded) -> None:
    assert batch.left == []


def test_nothing_secret_is_in_any_paper(batch: Graded, tiny: Assignment) -> None:
    variant = tiny.variant(batch.course.key)
    secret = [
        batch.course.key,
        batch.token,
        variant["hidden_word"],
        variant["answer_word"],
        "BEGIN HIDDEN",
        "SQLite format",
    ]
    spoken = [(batch.course.root / "grades", ""), (batch.course.place("release", NAME), "")]
    texts = {
        path.name: path.read_text(errors="replace")
        for folder, _ in spoken
        for path in folder.rglob("*")
        if path.is_file()
    }
    texts["the terminal"] = batch.said
    for one in batch.submissions:
        texts |= {f"{one.name}/{name}": text for name, text in batch.papers(one.name).items()}
    assert [(name, word) for name, text in texts.items() for word in secret if word in text] == []
    assert {name.split("/")[0] for name, text in texts.items() if NEIGHBOUR in text} == {"writes"}


def test_papers_are_small(batch: Graded) -> None:
    pages = list((batch.course.root / "feedback").rglob("*.html"))
    assert len(pages) >= len(HONEST) + 50
    assert {
        page.parent.parent.name: page.stat().st_size for page in pages if page.stat().st_size > 300_000
    } == {}


def test_an_attack_costs_no_more_time_than_its_limit(batch: Graded) -> None:
    took = {one.name: batch.result(one.name).get("seconds", 0.0) for one in batch.submissions}
    assert any(took.values()), "results do not say how long they took"
    assert {
        name: t for name, t in took.items() if t > batch.seconds + 2 + 2
    } == {}  # 2 more: the machine may be busy


def test_the_grader_keeps_below_two_gigabytes(batch: Graded) -> None:
    assert batch.memory < 2e9


TAGS = """html head meta title style body h1 h2 h3 h4 h5 h6 p b table thead tbody tr th td a div pre span img
code em strong ul ol li blockquote hr br math"""


class Tags(HTMLParser):
    """What a page would do."""

    ALLOWED = frozenset(TAGS.split())

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        mathml = tag.startswith(("m", "annotation", "semantics"))
        if tag not in self.ALLOWED and not mathml:
            self.bad.append(tag)
        for name, value in attrs:
            link = re.sub(r"[\x00-\x20]", "", value or "").lower()
            if name.startswith("on") or (mathml and name in ("href", "xlink:href", "style", "actiontype")):
                self.bad.append(f"{tag} {name}")
            if name in ("href", "src", "action", "data") and not link.startswith(
                ("#", "http", "mailto:", "data:image/png;")
            ):
                self.bad.append(f"{tag} {name}={link[:60]}")
            if name == "src" and not link.startswith("data:image/png;"):
                self.bad.append(f"{tag} fetches {link[:60]}")


def test_pages_obey_no_student(batch: Graded) -> None:
    bad = {}
    for page in (batch.course.root / "feedback").rglob("*.html"):
        tags = Tags()
        tags.feed(page.read_text())
        if tags.bad:
            bad[page.parent.parent.name] = tags.bad
    assert bad == {}


def test_notebooks_for_the_marker_hold_nothing_that_runs(batch: Graded) -> None:
    bad = {}
    for path in (batch.course.root / "autograded").rglob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            who = path.parent.parent.name
            if cell.cell_type == "markdown" and re.search(
                r"<[A-Za-z/!?]|!\[|\\(href|class|style|cssId|unicode|require|def)\b", cell.source
            ):
                bad[who] = cell.source[:80]
            for output in cell.get("outputs", []):
                known = output.output_type in ("stream", "error", "display_data")
                if not known or set(output.get("data", {})) - {"image/png", "image/jpeg"}:
                    bad[who] = str(output)[:80]
                if not all(is_picture(data) for data in output.get("data", {}).values()):
                    bad[who] = "a picture that is none"
            if "attachments" in cell or set(cell.metadata) - {"nbgrader"}:
                bad[who] = "attachments or metadata"
    assert bad == {}


def test_the_table_is_no_program(batch: Graded) -> None:
    cells = [value for row in batch.rows.values() for value in row.values() if value]
    assert [
        value for value in cells if value[0] in "=+@\t\r" or (value[0] == "-" and not value[1:2].isdigit())
    ] == []


def test_without_walls_the_attacks_get_through(
    tiny: Assignment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The tests above would see it if the walls were not there."""
    chosen = [one for one in ATTACKS if one.open_air and one.name in OPEN] + HONEST[:3]
    found = graded(tmp_path_factory.mktemp("open"), tiny, chosen, 60.0, "--trusted-students")
    assert "WITHOUT walls" in found.said
    assert [found.rows[one.name]["total"] for one in HONEST[:3]] == ["8", "0", "8"]
    said = " ".join(html.unescape(hole) for one in chosen for hole in found.holes(one.name))
    papers = "".join(text for one in chosen for text in found.papers(one.name).values())
    fallen = {
        "files of the class": "can read class.key" in said,
        "work of others": re.search(r"can read [a-z-]+\.json", said) is not None,
        "files of the home": re.search(r"can read /.*home", said) is not None,
        "the gradebook": "changed the gradebook" in said,
        "results": "changed a result" in said,
        "the environment": "has the teacher's environment" in said,
        "other processes": "sees other processes" in said,
        "the network": "connects to" in said,
        "sockets of the machine": "reaches a socket" in said,
        "rights": "may gain rights" in said,
        "files of the account": any(found.after.get(path) != was for path, was in found.before.items()),
        "background": found.left != [],
        "the key in a paper": found.course.key in papers,
        "the canary in a paper": found.token in papers,
        "hidden tests in a paper": tiny.variant(found.course.key)["hidden_word"] in papers,
    }
    assert sum(fallen.values()) >= 10, fallen


OPEN = {"reads-the-course", "reads-the-environment", "reads-the-home", "harms-the-canary", "network",
        "raises-its-rights", "lingers", "writes-the-gradebook"}  # fmt: skip


def test_the_small_assignment_can_be_handed_out(bubblewrap: str, tiny: Assignment) -> None:
    from classroom.release import faults
    from classroom.sandbox import Sandbox

    with Sandbox() as sandbox:
        assert list(faults(tiny, "k" * 16, sandbox)) == []
    assert sum(c.metadata.nbgrader.get("points", 0) for c in tiny.source.cells) - 2 == FULL
