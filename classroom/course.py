"""A class: one folder outside the repository with its key, its roster, nbgrader's folders and the gradebook.

class.key       what makes the variants of this class; keep it, and keep it to yourself
roster.csv      id, name, email
nbgrader_config.py, gradebook.db, source/ release/ submitted/ autograded/ feedback/    nbgrader's own layout
grades/         a CSV and a list of what to look at, for each assignment
results/        what the grader found, one file for each submission: why grading again is quick
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .assignment import SourceError
from .handin import Person, read_roster

SETTINGS = '''"""nbgrader's settings of this class. The execution step is the book's sandboxed grader."""

from pathlib import Path

import classroom
import nbgrader

root = Path(__file__).parent
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = {course!r}
c.CourseDirectory.root = str(root)
c.Autograde.sanitize_preprocessors = []
c.Autograde.autograde_preprocessors = [
    "classroom.steps.SandboxedExecute",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
]
# The marker's page: nothing of a student's becomes HTML, formulas are MathML, nothing is fetched.
c.HTMLExporter.preprocessors = ["classroom.steps.MarkersPage"]
c.HTMLExporter.filters = {{"markdown2html": "classroom.feedback.rendered"}}
c.HTMLExporter.extra_template_basedirs = [
    str(Path(classroom.__file__).parent / "pages"),
    str(Path(nbgrader.__file__).parent / "server_extensions/formgrader/templates"),
]
c.Exchange.root = str(root / ".exchange")  # nbgrader complains without one; nothing goes through it
'''


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file so that it is there whole or not at all; text as UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(part, path)
    return path


@dataclass(frozen=True)
class Course:
    """The folder of a class."""

    root: Path

    @property
    def key(self) -> str:
        """The class key; made when it is first asked for, and readable by its owner alone."""
        path = self.root / "class.key"
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(16) + "\n")
        key = path.read_text().strip()
        if len(key) < 16:
            raise ValueError(f"{path} must hold a key of at least 16 letters, got {len(key)}")
        return key

    @property
    def people(self) -> list[Person]:
        """The roster."""
        path = self.root / "roster.csv"
        if not path.exists():
            raise ValueError(
                f"there is no roster: write {path} with a column 'id' (and 'name', 'email' if you like)"
            )
        return read_roster(path)

    def prepare(self, *, create: bool = False) -> None:
        """See that this is the folder of a class; make it if ``create``.

        ValueError if it is none, SourceError if it lies in a repository.
        """
        programs = str(Path(sys.executable).parent)  # nbgrader starts alembic by its name alone
        if programs not in os.environ.get("PATH", "").split(os.pathsep):
            os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
        inside = self.root.resolve()
        for parent in [inside, *inside.parents]:
            if (parent / ".git").exists():
                raise SourceError(f"the folder of a class must lie outside any repository; {parent} is one")
        if not (self.root / "class.key").exists():
            if not create:
                raise ValueError(f"there is no class in {self.root}: release makes one. Is --class misspelt?")
            there = {path.name for path in self.root.iterdir()} if self.root.exists() else set()
            foreign = sorted(name for name in there if "roster" not in name and name != ".DS_Store")
            if foreign:
                raise ValueError(
                    f"{self.root} is no class and not empty ({foreign[0]!r} is in it): name a new folder"
                )
            self.root.mkdir(parents=True, exist_ok=True)
            os.chmod(self.root, 0o700)  # answers and marks are nobody else's
        _ = self.key
        settings = self.root / "nbgrader_config.py"
        if not settings.exists():
            course = re.sub(r"[^A-Za-z0-9_-]+", "-", inside.name) or "class"
            (inside / ".exchange").mkdir(exist_ok=True)
            os.chmod(inside / ".exchange", 0o777)
            settings.write_text(SETTINGS.format(course=course))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One at a time; ValueError if somebody else is at work."""
        try:
            with FileLock(self.root / ".lock", timeout=1):
                yield
        except Timeout:
            raise ValueError(f"another command is at work in {self.root}; wait until it is done") from None

    @property
    def database(self) -> str:
        """Where the gradebook is, for SQLAlchemy."""
        return f"sqlite:///{(self.root / 'gradebook.db').resolve()}"

    def place(self, step: str, name: str, who: str = ".") -> Path:
        """nbgrader's folder of a step (source, release, submitted, ...) for an assignment and a student."""
        return self.root / step / who / name

    def rubric(self, name: str) -> Path:
        """The rubric of the written answer, with this class's values; never beside what is handed out."""
        return self.root / "rubrics" / f"{name}.md"

    def master(self, name: str) -> Path:
        """The notebook with the answers, as nbgrader keeps it."""
        return self.place("source", name) / f"{name}.ipynb"
