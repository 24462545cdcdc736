"""Whose file is it: every name that a learning platform, a browser or a student makes of it."""

from __future__ import annotations

import io
import json
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from classroom.handin import Person, Unreadable, collect, read_notebook, read_roster

ADA, ALAN, ZHANG = (
    Person("ada17", "Ada Lovelace", "ada@uni.edu"),
    Person("alan", "Alan Turing"),
    Person("张三"),
)
CLASS = [
    ADA,
    ALAN,
    ZHANG,
    Person("..", "Dots"),
    Person("a/b", "Slash"),
    Person("🐍", "Emoji"),
    Person("x" * 300, "Long"),
]
NOTEBOOK = nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])).encode()


def owner(path: str, tmp_path: Path) -> list[str]:
    """Whose a file of this name is, in a folder and in a zip alike."""
    folder = tmp_path / "in"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(NOTEBOOK)
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(path, NOTEBOOK)
    found = [list(collect(source, CLASS, "a").files) for source in (folder, archive)]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("ada17/01_extrema.ipynb", ADA),
        ("ada17.ipynb", ADA),
        ("ada17 (1).ipynb", ADA),
        ("Ada Lovelace_8231_assignsubmission_file_/01_extrema.ipynb", ADA),
        ("Lovelace Ada_8231_assignsubmission_file_/01 extrema (2).ipynb", ADA),
        ("lovelaceada_8231_99_extrema.ipynb", ADA),
        ("ada@uni.edu/a.ipynb", ADA),
        ("ADA17_final_FINAL.ipynb", ADA),
        ("Alan Turing/a.ipynb.txt", ALAN),
        ("张三_1234/a.ipynb", ZHANG),
        ("ada17x/a.ipynb", None),
        ("alanah.ipynb", None),
        ("ada17 and alan.ipynb", ADA),  # the longer word
        ("__MACOSX/ada17/._a.ipynb", None),
        ("ada17/.ipynb_checkpoints/a-checkpoint.ipynb", None),
        ("🐍/a.ipynb", Person("🐍")),
    ],
)
def test_a_file_finds_its_author(path: str, who: Person | None, tmp_path: Path) -> None:
    assert owner(path, tmp_path) == ([who.id] if who else [])


def test_no_name_is_ever_a_path() -> None:
    for person in CLASS:
        assert Path(person.safe).name == person.safe and len(person.safe) <= 60 and person.safe.isascii()
    assert len({person.safe.lower() for person in CLASS}) == len(CLASS)


def test_nothing_in_an_archive_leads_outside(tmp_path: Path) -> None:
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("../../ada17.ipynb", "/etc/alan.ipynb", "..\\..\\alan.ipynb"):
            file.writestr(name, NOTEBOOK)
        link = zipfile.ZipInfo("张三.ipynb")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    found = collect(archive, CLASS, "a")
    assert set(found.files) == {"ada17", "alan"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.zip"]


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(NOTEBOOK)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada17.ipynb").symlink_to(secret)
    assert not collect(tmp_path / "in", CLASS, "a").files


def test_a_damaged_member_costs_its_author_alone(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("ada17.ipynb", NOTEBOOK * 50)
        file.writestr("alan.ipynb", NOTEBOOK)
    data = bytearray(buffer.getvalue())
    data[60:80] = b"\xff" * 20
    (tmp_path / "in.zip").write_bytes(data)
    found = collect(tmp_path / "in.zip", CLASS, "a").files
    assert isinstance(found["ada17"][0], Unreadable) and found["alan"][0] == NOTEBOOK


def test_an_archive_in_a_folder_and_a_bomb(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "all.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("ada17.ipynb", b" " * (300 << 20))
        file.writestr("alan.ipynb", NOTEBOOK)
    (tmp_path / "in" / "broken.zip").write_bytes(b"PK no")
    found = collect(tmp_path / "in", CLASS, "a")
    assert str(found.files["ada17"][0]) == "the file is too large" and found.files["alan"][0] == NOTEBOOK
    assert found.unclaimed == ["broken.zip"]


def test_the_last_of_several_files_counts(tmp_path: Path) -> None:
    for name, hour, content in (
        ("ada17/a.ipynb", 9, b"old"),
        ("ada17/b.ipynb", 11, NOTEBOOK),
        ("ada17.ipynb", 10, b"mid"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        stamp = datetime(2026, 11, 1, hour, tzinfo=UTC).timestamp()
        os.utime(path, (stamp, stamp))
    found = collect(tmp_path, CLASS, "a")
    assert found.files["ada17"] == (NOTEBOOK, datetime(2026, 11, 1, 11, tzinfo=UTC))
    assert "several files" in found.notes["ada17"][0]


def test_an_unreadable_file_does_not_hide_the_readable_one_before_it(tmp_path: Path) -> None:
    for name, hour, content in (("ada17/a.ipynb", 9, NOTEBOOK), ("ada17/b.ipynb", 11, b'{"cells": [')):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        stamp = datetime(2026, 11, 1, hour, tzinfo=UTC).timestamp()
        os.utime(path, (stamp, stamp))
    found = collect(tmp_path, CLASS, "a")
    assert found.files["ada17"][0] == NOTEBOOK
    assert any("cannot be read" in note for note in found.notes["ada17"])


def test_another_assignment_in_the_same_folder_is_left_alone(tmp_path: Path) -> None:
    for name in ("01_extrema", "08_vq_attention"):
        (tmp_path / "ada17" / name).mkdir(parents=True)
        (tmp_path / "ada17" / name / f"{name}.ipynb").write_bytes(
            NOTEBOOK if name == "01_extrema" else b"other"
        )
    found = collect(tmp_path, CLASS, "01_extrema")
    assert found.files["ada17"][0] == NOTEBOOK and not found.notes and not found.unclaimed


def test_unknown_files_are_listed_and_nobody_is_lost(tmp_path: Path) -> None:
    (tmp_path / "mystery.ipynb").write_bytes(NOTEBOOK)
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    assert collect(tmp_path, CLASS, "a").unclaimed == ["mystery.ipynb"]
    with pytest.raises(ValueError, match="folder or a zip"):
        collect(tmp_path / "notes.pdf", CLASS, "a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,email\nAda,a@x\n", "needs a column 'id'"),
        ("id,name\nada,A\nADA,B\n", "twice"),
        ("id,name\n,Nobody\n", "has no id"),
        ("id\n", "has no student"),
    ],
)
def test_a_roster_that_cannot_be_used_says_why(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_roster(tmp_path / "roster.csv")


def test_a_roster_from_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_bytes(
        "ID; Name ;EMAIL\r\nada17;Ada Lovelace;ada@uni.edu\r\n;;\r\n".encode("utf-8-sig")
    )
    assert read_roster(tmp_path / "roster.csv") == [ADA]
    (tmp_path / "roster.csv").write_bytes("id\nMüller\n".encode("latin-1"))
    with pytest.raises(ValueError, match="UTF-8"):
        read_roster(tmp_path / "roster.csv")


@pytest.mark.parametrize(
    "wrap", [lambda b: b, lambda b: b"\xef\xbb\xbf" + b, lambda b: b.decode().encode("utf-16")]
)
def test_a_notebook_in_any_encoding(wrap) -> None:  # type: ignore[no-untyped-def]
    assert read_notebook(wrap(NOTEBOOK)).cells[0].source == "x = 1"


def test_an_old_notebook_and_one_with_sources_as_lists() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1\n", "y = 2"]}]}], "nbformat": 3}
    assert read_notebook(json.dumps(old).encode()).cells[0].source == "x = 1\ny = 2"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (NOTEBOOK[:60], "cut off"),
        (b"\x00\x01\x02PNG", "no JSON"),
        (b"[1, 2]", "no list of cells"),
        (b'{"cells": null}', "no list of cells"),
        (b"[" * 100_000, "no"),
    ],
)
def test_what_is_no_notebook_says_so(data: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read_notebook(data)


def test_cells_that_are_none_are_left_out() -> None:
    cells = [
        None,
        3,
        {"cell_type": "code", "source": 5},
        {"cell_type": "code", "source": "x"},
        {"cell_type": "raw"},
    ]
    assert [c.source for c in read_notebook(json.dumps({"cells": cells}).encode()).cells] == ["x", ""]
