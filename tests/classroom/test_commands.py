"""What a teacher types: each mistake gets a sentence and not a traceback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from the_class import ROOT

from classroom.__main__ import main
from classroom.course import Course


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """A command's exit status and everything it printed."""
    try:
        status = main(words)
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out + err


@pytest.mark.parametrize("command", ["", "release", "grade", "mark", "try", "forget", "demonstration"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, *command.split(), "--help")
    assert status == 0 and "kexue-classroom" in text
    assert ("--trusted-students" in text) == (command not in ("", "mark", "forget")) and (
        "01_extrema" in text
    ) == (command in ("release", "grade", "try"))


def test_the_console_script_is_the_same() -> None:
    program = Path(sys.executable).with_name("kexue-classroom")
    done = subprocess.run([program, "--help"], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0 and "release" in done.stdout


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["release", "09_nothing"], "there is no assignment '09_nothing'; there are: 01_extrema"),
        (["try", ".."], "there is no assignment"),
        (["grade", "01_extrema", "nowhere"], "there is no class in"),
        (["try", "01_extrema", "--question", "typo"], "has no question 'typo'; it has ['bracket'"),
        (["grade", "01_extrema", "nowhere", "--deadline", "tomorrow"], "is no date; write 2027-01-31T23:59"),
        (["grade", "01_extrema", "nowhere", "--seconds", "-1"], "seconds"),
        (["grade", "01_extrema", "nowhere", "--workers", "0"], "workers"),
        (["mark"], "there is no class in"),
        (["forget", "ada"], "there is no class in"),
        (["grade", "01_extrema", "nowhere", "--deadline", "0001-01-01"], "is no date"),
        (["frobnicate"], "invalid choice"),
    ],
)
def test_a_wrong_word_gets_an_answer(
    words: list[str], answer: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, bubblewrap: str
) -> None:
    at = [] if words == ["frobnicate"] else ["--class", str(tmp_path / "class")]
    status, text = said(capsys, *words, *at)
    assert status == 2 and answer in text and "Traceback" not in text


def test_without_walls_nothing_is_graded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    status, text = said(capsys, "try", "01_extrema", "--class", str(tmp_path / "class"))
    assert status == 2 and "apt install bubblewrap" in text and "--trusted-students" in text


def test_the_deliberate_way_round_is_loud(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, text = said(
        capsys, "grade", "01_extrema", "x", "--trusted-students", "--class", str(tmp_path / "c")
    )
    assert status == 2 and "WITHOUT walls" in text


def test_a_demonstration_replaces_no_class(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, bubblewrap: str
) -> None:
    (tmp_path / "roster.csv").write_text("id\nada\n")
    status, text = said(capsys, "demonstration", "--class", str(tmp_path))
    assert status == 2 and "is no demonstration class" in text and (tmp_path / "roster.csv").exists()


def test_no_folder_but_a_class_is_touched(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    tmp_path.chmod(0o755)
    for words in (["grade", "01_extrema", "x", "--trusted-students"], ["forget", "ada"], ["mark"]):
        assert said(capsys, *words, "--class", str(tmp_path))[0] == 2
    with pytest.raises(ValueError, match="is no class and not empty"):
        Course(tmp_path).prepare(create=True)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"] and tmp_path.stat().st_mode & 0o777 == 0o755


def test_two_graders_do_not_meet(tmp_path: Path) -> None:
    course = Course(tmp_path / "class")
    course.prepare(create=True)
    with (
        course.locked(),
        pytest.raises(ValueError, match="another command is at work"),
        Course(course.root).locked(),
    ):
        pass


def test_a_class_in_this_repository_is_refused(capsys: pytest.CaptureFixture[str], bubblewrap: str) -> None:
    status, text = said(capsys, "release", "03_networks", "--class", str(ROOT / "my_class"))
    assert status == 2 and "outside any repository" in text and not (ROOT / "my_class").exists()
