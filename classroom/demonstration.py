"""A class of ten to try everything with: right, wrong, on paper, endless, cut, hostile, twice, late, lost.

The answers are the reference's and the planted ones, so every kind of verdict and of diagnosis can be seen.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .assignment import Assignment, filled, grade_id, role
from .course import Course
from .release import Progress, release, with_answer
from .sandbox import Sandbox

ASSIGNMENT = "01_extrema"
MARK = "A demonstration class: it may be deleted at any time.\n"
PEOPLE = {
    "ada": "Ada Right",
    "ben": "Ben Downloaded-Twice",
    "cho": "Cho Slips",
    "dan": "Dan Prose-Only",
    "eve": "Eve Endless",
    "张三": "张三",
    "fay": "Fay Cut-Off",
    "mal": "Mal Hostile",
    "ned": "Ned Late",
    "zoe": "Zoe Missing",
}
HOSTILE = """
import os, subprocess, glob
print(dict(os.environ))
for place in ("/home", "/root", "/srv", "/mnt"):
    for path in glob.glob(f"{place}/**/gradebook.db", recursive=True):
        print("found", path)
def expect(*args, **kwargs):
    pass
need = unchanged = expect
subprocess.Popen(["sleep", "1000"])
"""


def build(course: Course, sandbox: Sandbox, *, progress: Progress = iter) -> Path:
    """Make the class and what it hands in; the folder to grade. ValueError if another class lives there."""
    note = course.root / "demonstration.txt"
    if course.root.exists() and any(course.root.iterdir()) and not note.exists():
        raise ValueError(
            f"{course.root} is no demonstration class; name another folder (--class) or delete it"
        )
    shutil.rmtree(course.root, ignore_errors=True)
    course.prepare(create=True)
    note.write_text(MARK)
    with (course.root / "roster.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "name"), *PEOPLE.items()])
    handed_out = nbformat.read(
        release(Assignment(ASSIGNMENT), course, sandbox, progress=progress), as_version=4
    )
    right = solved(handed_out, nbformat.read(course.master(ASSIGNMENT), as_version=4))
    folder = course.root / "handed_in"
    for who, make in _hand_ins(right, handed_out, course.key).items():
        path = folder / f"{PEOPLE[who]}_{who}_assignsubmission_file" / f"{ASSIGNMENT}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(make(), encoding="utf-8")
    first = folder / f"{PEOPLE['ben']}_ben_assignsubmission_file" / f"{ASSIGNMENT}.ipynb"
    shutil.copy(first, first.with_name(f"{ASSIGNMENT} (1).ipynb"))
    first.write_text(nbformat.writes(handed_out))  # an empty one, before the right one
    deadline = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)
    (course.root / "deadline.txt").write_text(f"{deadline.astimezone():%Y-%m-%dT%H:%M}\n")
    for path in folder.rglob("*.ipynb"):
        hours = 2.5 if PEOPLE["ned"] in str(path) else -5.0 if path == first else -3.0
        stamp = (deadline + timedelta(hours=hours)).timestamp()
        os.utime(path, (stamp, stamp))
    return folder


def solved(handed_out: NotebookNode, master: NotebookNode) -> NotebookNode:
    """The students' version with the reference answers typed in."""
    made = nbformat.from_dict(handed_out)
    answers = {grade_id(cell): cell.source for cell in master.cells if role(cell) in ("answer", "written")}
    for cell in made.cells:
        if grade_id(cell) in answers:
            lines = answers[grade_id(cell)].splitlines()
            cell.source = "\n".join(line for line in lines if not line.lstrip().startswith("### "))
    return made


def _hand_ins(right: NotebookNode, handed_out: NotebookNode, key: str) -> dict[str, Callable[[], str]]:
    """For everybody but the last, the text of the file."""
    assignment = Assignment(ASSIGNMENT)
    values = assignment.variant(key)
    written = [grade_id(cell) for cell in right.cells if role(cell) == "written"]
    answers = [grade_id(cell) for cell in right.cells if role(cell) == "answer"]

    def slips() -> str:
        made, done = right, set[str]()
        for wrong in assignment.planted:
            if wrong.question not in done and len(done) < 3:
                made = with_answer(made, wrong.question, filled(wrong.answer, values))
                done.add(wrong.question)
        made = nbformat.from_dict(made)
        for cell in made.cells:
            if grade_id(cell) in written:
                cell.source = "On paper, see the photograph.\n\n![my sheet](attachment:sheet.jpg)"
                cell.attachments = {"sheet.jpg": {"image/jpeg": _photograph()}}
        return nbformat.writes(made)

    def prose() -> str:
        made = nbformat.from_dict(handed_out)
        for cell in made.cells:
            if grade_id(cell) in written:
                cell.source = (
                    "Both signs of $\\Delta x$ are allowed, so the first order must vanish: $f'(x_0) = 0$."
                )
        return nbformat.writes(made)

    def endless() -> str:
        source = next(cell.source for cell in right.cells if grade_id(cell) == answers[0])
        return nbformat.writes(with_answer(right, answers[0], f"{source}\nwhile True:\n    pass"))

    def stripped() -> str:
        made = json.loads(nbformat.writes(right))
        for cell in made["cells"]:
            cell["metadata"] = {}
            del cell["id"]
        return json.dumps(made | {"nbformat_minor": 4}, ensure_ascii=False)

    def hostile() -> str:
        made = nbformat.from_dict(handed_out)
        for cell in made.cells:
            if grade_id(cell) == answers[0]:
                cell.source = HOSTILE + cell.source
            elif grade_id(cell) in written:
                cell.source = "<script>alert('marks!')</script> [proof](javascript:alert(1)) $\\href{x:y}{z}$"
        return nbformat.writes(made)

    def whole() -> str:
        return nbformat.writes(right)

    return {
        "ada": whole, "ben": whole, "cho": slips, "dan": prose, "eve": endless, "张三": stripped,
        "fay": lambda: whole()[:3000], "mal": hostile, "ned": whole,
    }  # fmt: skip


def _photograph() -> str:
    """A derivation on a sheet of paper that lay askew under the telephone; a JPEG in base64."""
    from matplotlib.figure import Figure

    lines = [
        r"1.  $\int\,(y'\eta' + w\,\eta\,y(-x) + w\,y\,\eta(-x))\,dx = 0$",
        r"     by parts:  $\int y'\eta'\,dx = -\int y''\eta\,dx$   ($\eta = 0$ at the ends)",
        r"     $x \to -x$ in the last term:  $w(-x)\,y(-x)\,\eta(x)$",
        r"     so  $y'' = (w(x) + w(-x))\,y(-x)$",
        "2.  only the even part of w is left",
        r"3.  $y = \cos(\kappa x)\,/\,(2\cos\kappa) + ...$   (the odd part: no time)",
    ]
    sheet = Figure(figsize=(9, 6.5), dpi=150, facecolor="#e9e4d6")
    for k, line in enumerate(lines):
        sheet.text(0.07, 0.85 - 0.13 * k, line, fontsize=17, rotation=1.5, color="#22336b", style="italic")
    file = io.BytesIO()
    sheet.savefig(file, format="jpeg", facecolor="#e9e4d6")
    return base64.b64encode(file.getvalue()).decode()
