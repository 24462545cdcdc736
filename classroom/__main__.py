"""The commands of a teacher: release, grade, mark, try, forget, demonstration."""

from __future__ import annotations

import argparse
import csv
import os
import sqlite3
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from .assignment import ASSIGNMENTS, Assignment, SourceError, names
from .course import Course
from .forget import forget
from .grade import grade
from .outside import Limits
from .release import Refused, faults, release
from .sandbox import NoSandbox, standing

CLASS = Path("~/kexue_class").expanduser()
BANNER = """
!!  --trusted-students: submissions run WITHOUT walls, as you, with your files and your network.
!!  Right for people whom you would lend this account; for nobody else.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="kexue-classroom",
        description="Assignments that grade themselves: hand out, collect and grade, in two commands.",
        epilog="The class's folder holds key, roster.csv (id, name, email), gradebook, feedback and tables.",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="command")
    own = "where your own assignments are"
    a = f"which assignment: {', '.join(names()) or 'none yet'}"

    def command(name: str, about: str, runs: bool = True) -> argparse.ArgumentParser:
        new = commands.add_parser(name, help=about, description=about)
        new.add_argument("--class", dest="course", type=Path, default=CLASS, metavar="FOLDER",
                         help="its folder, outside any repository (default: ~/kexue_class)")  # fmt: skip
        if runs:
            new.add_argument("--trusted-students", action="store_true",
                             help="grade without a sandbox: submissions run as you. Deliberate.")  # fmt: skip
        new.set_defaults(trusted_students=False)
        return new

    new = command("release", "make the students' version, after proving that the assignment grades rightly")
    new.add_argument("assignment", help=a)
    new.add_argument("--again", action="store_true", help="replace a version that was handed in already")
    new.add_argument("--assignments", type=Path, default=ASSIGNMENTS, metavar="FOLDER", help=own)
    new = command("try", "run an assignment's reference, blank and planted answers, and say what is wrong")
    new.add_argument("assignment", help=a)
    new.add_argument("--assignments", type=Path, default=ASSIGNMENTS, metavar="FOLDER", help=own)
    new.add_argument("--question", default="", help="the planted answers of one question alone")
    new.add_argument("--key", default="a key to try with", help="another class's variant")
    new = command("grade", "grade a folder or zip of submissions; again is quick and keeps manual marks")
    new.add_argument("assignment", help=a)
    new.add_argument("source", type=Path, metavar="FROM", help="the folder or zip that was collected")
    new.add_argument("--deadline", type=_when, metavar="WHEN", help="such as 2027-01-31T23:59 (local time)")
    new.add_argument(
        "--workers", type=_count, default=min(os.cpu_count() or 1, 8), help="submissions at once"
    )
    new.add_argument(
        "--seconds", type=_seconds, default=Limits.seconds, help="for one submission (default: %(default)g)"
    )
    new.add_argument(
        "--fresh", action="store_true", help="new walls for each submission instead of a server that forks"
    )
    new = command("mark", "open formgrader, where written answers are marked", runs=False)
    new.add_argument("--port", type=_port, default=8888)
    new.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    new = command("forget", "delete all that is kept of one student", runs=False)
    new.add_argument("student", help="the id on the roster")
    new = command("demonstration", "make a class of ten with submissions of every kind, ready to grade")
    return made


def _when(text: str) -> datetime:
    try:
        whole_day = "" if "T" in text or " " in text else "T23:59:59"
        return datetime.fromisoformat(text + whole_day).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write 2027-01-31T23:59") from None


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"workers must be 1 to 64, got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"port must be 1 to 65535, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 1 <= found <= 3600:
        raise argparse.ArgumentTypeError(f"seconds must be 1 to 3600, got {text!r}")
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    asked = parser().parse_args(words)
    try:
        return _run(asked)
    except (SourceError, Refused, NoSandbox, ValueError, OSError, csv.Error) as error:
        print(f"kexue-classroom: {error}", file=sys.stderr)
        return 2
    except (sqlite3.Error, SQLAlchemyError) as error:
        print(f"kexue-classroom: the gradebook cannot be used: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; what is graded is kept, the same command goes on.", file=sys.stderr)
        return 130


def _run(asked: argparse.Namespace) -> int:
    course = Course(asked.course.expanduser())
    if asked.trusted_students:
        print(BANNER, file=sys.stderr)
    if asked.command == "mark":
        from .formgrader import serve

        serve(course, port=asked.port, browser=not asked.no_browser)
    if asked.command == "forget":
        course.prepare()
        with course.locked():
            print("\n".join(["Deleted:", *forget(asked.student, course)]))
        return 0
    with standing(trusted=asked.trusted_students) as sandbox:
        if asked.command == "grade":
            return _grade(asked, course, warm=sandbox.warm and not asked.fresh)
        if asked.command == "try":
            assignment = Assignment(asked.assignment, asked.assignments)
            questions = sorted({planted.question for planted in assignment.planted})
            if asked.question and asked.question not in questions:
                raise ValueError(f"{asked.assignment} has no question {asked.question!r}; it has {questions}")
            found = list(faults(assignment, asked.key, sandbox, progress=_bar, only=asked.question))
            print("\n".join(found) or f"{asked.assignment}: nothing wrong was found")
            return 1 if found else 0
        if asked.command == "demonstration":
            from .demonstration import build

            print(f"Ten students and what nine of them handed in: {build(course, sandbox, progress=_bar)}")
            return 0
        path = release(
            Assignment(asked.assignment, asked.assignments), course, sandbox, progress=_bar, again=asked.again
        )
    print(f"Hand this file out: {path}")
    return 0


def _bar(things: Iterable[Any]) -> Iterable[Any]:
    return tqdm(things, desc="planted answers", unit="", leave=False, disable=None)


def _grade(asked: argparse.Namespace, course: Course, warm: bool) -> int:
    course.prepare()
    limits = Limits(seconds=asked.seconds, step=min(Limits.step, asked.seconds / 3))
    with course.locked(), tqdm(desc="submissions", unit="", disable=None) as bar:

        def tell(done: int, of: int) -> None:
            bar.total, bar.n = of, done
            bar.refresh()

        results = grade(
            asked.assignment, course, asked.source.expanduser(),
            deadline=asked.deadline, limits=limits, trusted=asked.trusted_students,
            warm=warm, workers=asked.workers, tell=tell,
        )  # fmt: skip
    counts = {
        status: sum(r.status == status for r in results)
        for status in dict.fromkeys(r.status for r in results)
    }
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    folder = course.root / "grades"
    print(f"Table:     {folder / asked.assignment}.csv")
    print(f"Feedback:  {course.root / 'feedback'}")
    look = (folder / f"{asked.assignment}.look.txt").read_text(encoding="utf-8").splitlines()
    waiting = sum(None in r.points.values() for r in results)
    if look:
        more = (
            [f"... and {len(look) - 20} more in {folder / asked.assignment}.look.txt"]
            if len(look) > 20
            else []
        )
        print("Look at:" + textwrap.indent("".join(f"\n{line[:160]}" for line in [*look[:20], *more]), "  "))
    if waiting:
        print(f"{waiting} written answers wait for you in formgrader: make mark CLASS={course.root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
