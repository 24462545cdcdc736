"""What students hand in: a folder or zip of notebooks, from any learning platform, in any state.

:func:`collect` finds whose each file is and copies it to a safe name; nothing in an archive or a name leads
outside the folder, one bad file costs nobody else, and nobody is lost: who cannot be matched is listed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from .assignment import names
from .pasted import take_pictures

LARGEST_FILE = 20 << 20  # bytes of a notebook; one with answers has some tens of thousands
MOST_FILES = 20_000  # in an archive


class Unreadable(ValueError):
    """A file that is no notebook; the text says why, in words for its author."""


@dataclass(frozen=True)
class Person:
    """A student of the roster. ``safe`` is the name of files and of the gradebook's rows."""

    id: str
    name: str = ""
    email: str = ""

    @property
    def safe(self) -> str:
        """The id where it can be a file's name, otherwise what is left of it and a hash.

        >>> Person("s17").safe
        's17'
        >>> Person("..").safe
        'student-5ec1f7e7'
        """
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", self.id):
            return self.id
        left = re.sub(r"[^A-Za-z0-9]+", "-", self.id).strip("-")[:30] or "student"
        return f"{left}-{hashlib.sha256(self.id.encode()).hexdigest()[:8]}"


@dataclass
class Collected:
    """What was found for a class."""

    files: dict[str, tuple[bytes | Unreadable, datetime]] = field(default_factory=dict)  # by Person.id
    notes: dict[str, list[str]] = field(default_factory=dict)
    unclaimed: list[str] = field(default_factory=list)  # files whose author is not known

    def note(self, person: Person, words: str) -> None:
        """Remember something to look at."""
        self.notes.setdefault(person.id, []).append(words)


def read_roster(path: Path) -> list[Person]:
    """The students of a CSV file with a column ``id`` and, if there are any, ``name`` and ``email``.

    ValueError names the line of a roster that cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not UTF-8: save it as 'CSV UTF-8'") from None
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter(text), strict=True)
    try:
        people = _people(path.name, rows)
    except csv.Error as error:
        raise ValueError(
            f"{path.name}, near line {rows.line_num}: {error}; is a quotation mark left open?"
        ) from None
    if not people:
        raise ValueError(f"{path.name} has no student")
    return people


def delimiter(text: str) -> str:
    """What parts the columns of a table: a semicolon in many a spreadsheet.

    >>> delimiter("id;name")
    ';'
    """
    head = text.partition("\n")[0]
    return ";" if head.count(";") > head.count(",") else ","


def _people(name: str, rows: csv.DictReader) -> list[Person]:
    columns = {column.strip().lower(): column for column in rows.fieldnames or []}
    if "id" not in columns:
        raise ValueError(
            f"{name} needs a column 'id' (and, if you like, 'name', 'email'); it has {sorted(columns)}"
        )
    people: list[Person] = []
    taken = set[str]()
    for row in rows:
        it = Person(*((row.get(columns.get(c, ""), "") or "").strip() for c in ("id", "name", "email")))
        if not it.id and not it.name:
            continue
        if not it.id:
            raise ValueError(f"{name}, line {rows.line_num}: {it.name!r} has no id")
        if it.safe.lower() in taken:
            raise ValueError(f"{name}, line {rows.line_num}: the id {it.id[:60]!r} is there twice")
        taken.add(it.safe.lower())
        people.append(it)
    return people


def collect(source: Path, people: list[Person], name: str) -> Collected:
    """Match every notebook of a folder or zip to the roster.

    A file is a student's if one of the folders it lies in, or its own name, is or contains the student's
    id, name or e-mail address as a whole word. Of several the one handed in last counts. Files
    with the name of another assignment are left alone.
    """
    found = Collected()
    words = {person.id: _words_of(person) for person in people}
    others = [other for other in names() if other != name]
    for path, data, when in _files(source, found.unclaimed):
        if name not in path and any(other in path for other in others):
            continue
        owner = _owner(path, people, words, name)
        if owner is None:
            found.unclaimed.append(path)
            continue
        if owner.id in found.files:
            before, then = found.files[owner.id]
            newer, older = ((data, when), (before, then)) if when >= then else ((before, then), (data, when))
            use = older if not readable(newer[0]) and readable(older[0]) else newer
            why = (
                "the last one counts"
                if use is newer
                else "the last one cannot be read, the one before it counts"
            )
            found.note(owner, f"several files; {why} ({use[1]:%Y-%m-%d %H:%M})")
            data, when = use
        if not path.lower().endswith(".ipynb"):
            found.note(owner, f"the file is called {Path(path).name[:60]!r}")
        found.files[owner.id] = data, when
    return found


def _files(source: Path, odd: list[str]) -> Iterator[tuple[str, bytes | Unreadable, datetime]]:
    """Every candidate: its path inside, its bytes, when it was handed in; always in the same order."""
    if not source.exists():
        raise ValueError(f"there is no file or folder {str(source)!r} to grade")
    if source.is_dir():
        for path in sorted(source.rglob("*"), key=lambda path: _order(path.as_posix())):
            inside = path.relative_to(source).as_posix()
            if path.is_symlink() or not path.is_file() or not _is_candidate(inside):
                continue
            when = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
            if path.suffix.lower() == ".zip":
                yield from _members(path, odd, inside)
            elif path.stat().st_size > LARGEST_FILE:
                yield inside, Unreadable(f"the file has {path.stat().st_size >> 20} MB"), when
            else:
                try:
                    yield inside, path.read_bytes(), when
                except OSError as error:
                    yield inside, Unreadable(f"the file cannot be read: {error.strerror}"), when
    elif zipfile.is_zipfile(source):
        yield from _members(source, odd, "")
    else:
        raise ValueError(f"FROM must be a folder or a zip of submissions, got {source.name!r}")


def _members(
    path: Path | io.BytesIO, odd: list[str], before: str, depth: int = 1
) -> Iterator[tuple[str, bytes | Unreadable, datetime]]:
    """The notebooks of an archive, read in memory: no name in it ever becomes a path of ours."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError):
        if before:
            odd.append(before)
        return
    with archive:
        if len(archive.infolist()) > MOST_FILES:
            odd.append(f"{before or 'the archive'}: more than {MOST_FILES:,} files, the rest is left out")
        for member in sorted(archive.infolist()[:MOST_FILES], key=lambda m: _order(m.filename)):
            inside = "/".join(part for part in (before, member.filename) if part)
            link = stat.S_ISLNK(member.external_attr >> 16)
            if member.is_dir() or link or not _is_candidate(member.filename):
                continue
            try:
                when = datetime(*member.date_time).astimezone(UTC)  # an archive knows no zone: this machine's
            except ValueError:
                when = datetime(1980, 1, 1, tzinfo=UTC)
            try:
                with archive.open(member) as file:
                    data = file.read(LARGEST_FILE + 1)
                if member.filename.lower().endswith(".zip") and depth:
                    yield from _members(io.BytesIO(data), odd, inside, depth - 1)
                    continue
                yield inside, data if len(data) <= LARGEST_FILE else Unreadable("the file is too large"), when
            except Exception as error:  # a bad member costs its author alone
                yield inside, Unreadable(f"damaged in the archive ({type(error).__name__})"), when


def _order(path: str) -> tuple[str, int]:
    """Names in order; of the copies that a browser numbers the last one last."""
    number = re.search(r"\((\d{1,4})\)(?=\.[^/]*$)", path)
    return re.sub(r"\s*\(\d{1,4}\)(?=\.[^/]*$)", "", path), int(number[1]) if number else 0


def _is_candidate(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    if any(part in ("__MACOSX", ".ipynb_checkpoints", ".git") or part.startswith("._") for part in parts):
        return False
    return bool(re.search(r"\.(ipynb|json|zip)(\.txt|\.json)?$", parts[-1], re.I))


def _plain(text: str) -> str:
    """Letters and digits of any script, in one form, small; all else becomes a space."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w]|_", " ", text).split())


def _words_of(person: Person) -> list[str]:
    names = [person.id, person.name, person.email]
    parts = _plain(person.name).split()
    if len(parts) > 1:
        names += [" ".join(reversed(parts)), "".join(parts), "".join(reversed(parts))]
    return [word for word in dict.fromkeys(map(_plain, names)) if word]


def _owner(path: str, people: list[Person], words: dict[str, list[str]], name: str) -> Person | None:
    """Whose a file is: by the raw id of a folder or file first, then by whole words."""
    parts = path.replace("\\", "/").split("/")
    stem = re.sub(r"(\.ipynb|\.json|\.txt|\.zip)+$", "", parts[-1], flags=re.I)
    for part in [*(part for part in parts[:-1] if part not in (".", "..")), stem]:
        exact = [p for p in people if part == p.id or part == p.safe]
        if exact:
            return exact[0]
    text = re.sub(r"\(\d+\)", " ", " / ".join([*parts[:-1], stem]))  # "(1)": what browsers add
    text = f" {_plain(text)} ".replace(f" {_plain(name)} ", " ")
    fits = [(len(word), p) for p in people for word in words[p.id] if f" {word} " in text]
    if not fits:
        return None
    longest = max(length for length, _ in fits)
    best = {p.id: p for length, p in fits if length == longest}
    return next(iter(best.values())) if len(best) == 1 else None


def readable(data: bytes | Unreadable) -> bool:
    """Whether a file is a notebook.

    >>> readable(b"{}")
    False
    """
    try:
        return isinstance(data, bytes) and bool(read_notebook(data))
    except Unreadable:
        return False


def read_notebook(data: bytes) -> NotebookNode:
    """The cells of a handed-in file: kind, source, id and grade_id alone; Unreadable says why there are none.

    Pictures pasted into texts are in the metadata, as base64.

    >>> read_notebook(b"")
    Traceback (most recent call last):
    classroom.handin.Unreadable: the file is empty
    """
    if not data.strip():
        raise Unreadable("the file is empty")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = (
            data.decode("utf-16", "replace")
            if data[:2] in (b"\xff\xfe", b"\xfe\xff")
            else data.decode("latin-1")
        )
    try:
        said = json.loads(text)
    except RecursionError:
        raise Unreadable("the file is no notebook") from None
    except ValueError:
        cut = "it seems to be cut off" if text.lstrip().startswith("{") else "it holds no JSON"
        raise Unreadable(f"the file is no notebook: {cut}") from None
    sheets = said.get("worksheets") if isinstance(said, dict) else None
    raw = (
        sheets[0].get("cells")
        if isinstance(sheets, list) and sheets and isinstance(sheets[0], dict)
        else None
    )
    raw = raw if raw is not None else said.get("cells") if isinstance(said, dict) else None
    if not isinstance(raw, list):
        raise Unreadable("the file is no notebook: it has no list of cells")
    notebook = nbformat.v4.new_notebook(metadata={"pictures": []})
    cells = (_cell(part, notebook.metadata["pictures"]) for part in raw[:2000])
    notebook.cells = [cell for cell in cells if cell is not None]
    return notebook


def _cell(raw: Any, pictures: list[str]) -> NotebookNode | None:
    """A cell of which nothing is believed; what is pasted into its text is added to the pictures."""
    if not isinstance(raw, dict):
        return None
    source = raw.get("source", raw.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str):
        return None
    source = source.replace("\r\n", "\n").replace("\x00", "").encode("utf-8", "replace").decode()
    make = nbformat.v4.new_code_cell if raw.get("cell_type") == "code" else nbformat.v4.new_markdown_cell
    if raw.get("cell_type") == "markdown":
        source = take_pictures(source, raw.get("attachments"), pictures)
    cell = make(source)
    cell["id"] = raw["id"] if isinstance(raw.get("id"), str) else ""
    mark = raw.get("metadata")
    mark = mark.get("nbgrader") if isinstance(mark, dict) else None
    name = mark.get("grade_id") if isinstance(mark, dict) else None
    if isinstance(name, str):
        cell.metadata["nbgrader"] = {"grade_id": name}
    return cell
