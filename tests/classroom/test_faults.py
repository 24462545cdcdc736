"""Faults that a review found; each test fails until its fault is mended."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from test_survivors import KEY, NOTEBOOK, NoWalls, a_master, cell, marked, solution
from the_class import NAME, Here, by_hand, hand_in, roster, table

from classroom import grade as grading
from classroom.__main__ import main
from classroom.assignment import Assignment, SourceError, leaks
from classroom.course import Course
from classroom.forget import forget
from classroom.grade import grade
from classroom.handin import Person, collect, read_roster
from classroom.inside import Notebook
from classroom.outside import Gone
from classroom.release import blank
from classroom.values import encode


def test_a_value_that_is_too_large_costs_its_question_alone() -> None:
    master = a_master("assert f0 == 0", "assert f1() == 1")
    master.cells[0].source = solution("f0 = 0")
    walls = NoWalls()
    begin = walls.start

    def start() -> Any:
        student = begin()
        plain = student.get

        def get(name: str) -> Any:
            if plain(name) == "huge":
                student.gone = True
                raise Gone("too large")
            return plain(name)

        student.get = get  # type: ignore[method-assign]
        return student

    walls.start = start  # type: ignore[method-assign]
    found = marked(master, walls, f0="f0 = 'huge'")
    assert [v.points for v in found.verdicts.values()] == [0, 1] and found.status == "crashed"


def test_a_change_in_place_is_seen_in_arguments_with_names_too() -> None:
    notebook = Notebook()
    notebook.run("def f(x):\n    x += 1\n    return x")
    assert notebook.call("f", [], [["x", encode(np.zeros(2))]])["changed"]


@pytest.mark.parametrize("swap", [False, True])
def test_an_answer_that_was_split_keeps_both_halves(swap: bool) -> None:
    master = a_master("assert f0() == 0")
    halves = [
        cell("answer", "f0", s) for s in ("def helper():\n    return 0", "def f0():\n    return helper()")
    ]
    halves[1]["id"] = "other"
    handed = nbformat.v4.new_notebook(cells=[*(halves[::-1] if swap else halves), master.cells[1]])
    from classroom.marking import mark

    found = mark(master, handed, NoWalls(), key=KEY, name="a")  # type: ignore[arg-type]
    assert [v.points for v in found.verdicts.values()] == [1] and any("f0" in note for note in found.notes)


def test_a_given_cell_that_needs_an_answer_is_the_authors_fault() -> None:
    master = a_master("f0()")
    master.cells.append(cell("given", "plot", "f0()"))
    with pytest.raises(SourceError, match="plot"):
        marked(master)


def test_a_leak_in_metadata_counts(tiny: Assignment) -> None:
    master, shown = tiny.fill(KEY), blank(tiny.fill(KEY))
    word = tiny.variant(KEY)["answer_word"]
    shown.cells[0].metadata["note"] = word
    assert leaks(master, shown) == {word}
    del shown.cells[0].metadata["note"]
    shown.metadata["authors"] = [{"name": word}]
    assert leaks(master, shown) == {word}


@pytest.mark.parametrize("path", ["Zed Zebra_4711_file/01_extrema.ipynb", "Zed Zebra/01 extrema (2).ipynb"])
def test_a_number_in_the_assignments_name_is_nobodys_id(path: str, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_bytes(NOTEBOOK)
    found = collect(tmp_path, [Person("01"), Person("2"), Person("file7")], "01_extrema")
    assert not found.files and found.unclaimed == [path]


def test_an_archive_in_an_archive_is_opened(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("work.ipynb", NOTEBOOK)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.writestr("ada/mine.zip", inner.getvalue())
    assert collect(tmp_path / "all.zip", [Person("ada")], "a").files["ada"][0] == NOTEBOOK


def test_of_downloads_of_one_time_the_later_copy_counts(tmp_path: Path) -> None:
    for name, source in (("a.ipynb", "1"), ("a (1).ipynb", "2")):
        path = tmp_path / "ada" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source}]}))
        os.utime(path, (1e9, 1e9))
    assert b'"2"' in collect(tmp_path, [Person("ada")], "a").files["ada"][0]  # type: ignore[operator]


@pytest.mark.parametrize("line", ['ada,"Ada\nben,Ben\n', "ada," + "x" * 200_000 + "\nben,Ben\n"])
def test_a_damaged_roster_loses_nobody_silently(line: str, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("id,name\n" + line)
    with pytest.raises(ValueError, match=r"roster\.csv"):
        read_roster(tmp_path / "roster.csv")


def test_an_odd_sign_in_a_name_makes_no_student(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("id,name\nada,Ada\u2028L\n", encoding="utf-8")
    assert [p.id for p in read_roster(tmp_path / "roster.csv")] == ["ada"]


def test_a_folder_that_is_no_class_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "letters.txt").write_text("dear")
    with pytest.raises(ValueError, match="home"):
        Course(home).prepare()
    assert home.stat().st_mode & 0o777 == 0o755 and [p.name for p in home.iterdir()] == ["letters.txt"]


def test_a_class_that_was_moved_has_settings_of_its_place(tmp_path: Path) -> None:
    Course(tmp_path / "old").prepare(create=True)
    (tmp_path / "old").rename(tmp_path / "new")
    Course(tmp_path / "new").prepare()
    assert str(tmp_path / "old") not in (tmp_path / "new" / "nbgrader_config.py").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["grade", NAME, "nowhere.zip", "--workers", "0"],
        ["grade", NAME, "nowhere.zip", "--seconds", "0"],
        ["grade", NAME, "nowhere.zip", "--seconds", "nan"],
        ["mark", "--port", "99999"],
    ],
)
def test_a_number_or_date_that_makes_no_sense_is_refused(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--class", str(tmp_path / "class")])


def test_a_question_that_is_not_there_is_no_success(tiny: Assignment, capsys: pytest.CaptureFixture) -> None:
    words = ["try", NAME, "--assignments", str(tiny.folder), "--question", "mixx", "--trusted-students"]
    assert main(words) != 0
    assert "mixx" in "".join(capsys.readouterr())


pytest_walls = pytest.mark.usefixtures("bubblewrap", "quick")


@pytest_walls
def test_a_fault_of_ours_is_tried_again(own: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    roster(own, "ada")
    folder = hand_in(own, "ada")

    def submit(self: Here, judge: Any, data: bytes) -> Future:
        done: Future = Future()
        done.set_exception(OSError(28, "No space left on device"))
        return done

    with monkeypatch.context() as full:
        full.setattr(Here, "submit", submit)
        with contextlib.suppress(Exception):  # a clear message would be right, too
            grade(NAME, own, folder)
    assert grade(NAME, own, folder)[0].status == "ok"


@pytest_walls
def test_an_unreadable_file_does_not_hide_an_earlier_collection(own: Course) -> None:
    roster(own, "ada")
    folder = hand_in(own, "ada")
    grade(NAME, own, folder)
    (folder / "ada" / "work.ipynb").write_text('{"cells": [')
    result = grade(NAME, own, folder)[0]
    assert result.status == "ok" and any("cannot be read" in note for note in result.notes)


@pytest_walls
def test_the_class_itself_is_no_collection(own: Course) -> None:
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada"))
    before = (own.place("submitted", NAME, "ada") / f"{NAME}.ipynb").read_bytes()
    for place in (own.root, own.root.parent, own.root / "autograded"):
        with pytest.raises(ValueError, match="class"):
            grade(NAME, own, place)
    assert (own.place("submitted", NAME, "ada") / f"{NAME}.ipynb").read_bytes() == before


@pytest_walls
def test_who_has_left_can_be_forgotten_and_foreign_tables_do_no_harm(own: Course) -> None:
    roster(own, "ada", "ben")
    hand_in(own, "ada")
    grade(NAME, own, hand_in(own, "ben"))
    roster(own, "ben")
    (own.root / "grades" / "mine.csv").write_text("who;marks\nada;1\n")
    assert "submitted/ada" in forget("ada", own)
    assert not (own.root / "submitted" / "ada").exists()


@pytest_walls
def test_a_run_killed_before_the_gradebook_is_written_forgets_no_change(
    own: Course, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada"))
    by_hand(own, "ada", 2.0, "good")
    folder = hand_in(own, "ada", why="Something else.")

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(grading, "_by_hand", killed)
        with pytest.raises(KeyboardInterrupt):
            grade(NAME, own, folder)
    grade(NAME, own, folder)
    assert table(own)["ada"]["to_mark"] == "why"
