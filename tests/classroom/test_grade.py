"""A class is graded: again gives the same, marks by hand stay, a killed run goes on, nobody is lost."""

from __future__ import annotations

import csv
import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from the_class import NAME, ROOT, STAMP, Here, by_hand, hand_in, right, roster, table

from classroom import grade as grading
from classroom.assignment import Assignment
from classroom.course import Course
from classroom.forget import forget
from classroom.grade import grade
from classroom.release import Refused, release
from classroom.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("bubblewrap", "quick")


def test_points_statuses_and_stamps(own: Course) -> None:
    roster(own, "ada", "ben", "cho", "zoe")
    hand_in(own, "ada")
    hand_in(own, "ben", mix="def mix(a, b):\n    return a + b")
    (own.root / "in" / "cho").mkdir()
    (own.root / "in" / "cho" / "work.ipynb").write_text('{"cells": [')
    results = grade(NAME, own, own.root / "in", deadline=datetime(2026, 11, 1, 10, 30, tzinfo=UTC))
    assert [r.status for r in results] == ["ok", "ok", "unreadable", "missing"]
    rows = table(own)
    assert [rows["ada"][c] for c in ("mix", "centred", "fold", "largest", "slope", "why")] == [
        "2",
        "2",
        "2",
        "1",
        "1",
        "",
    ]
    assert rows["ada"]["total"] == "8" and rows["ada"]["of"] == "10" and rows["ada"]["to_mark"] == "why"
    assert rows["ben"]["mix"] == "0" and rows["ben"]["total"] == "6"
    assert rows["ada"]["late_hours"] == "1.5" and rows["ada"]["handed_in_utc"] == "2026-11-01 12:00:00"
    for who in ("cho", "zoe"):  # never a plain 0
        assert rows[who]["total"] == rows[who]["mix"] == ""
    look = (own.root / "grades" / f"{NAME}.look.txt").read_text()
    assert "cho: unreadable" in look and "cut off" in look and "ada:" not in look
    said = next(r for r in results if r.person.id == "ben").says["mix_test"]
    assert "RATIO belongs to a." in said


def test_again_is_the_same_and_marks_by_hand_stay(own: Course) -> None:
    roster(own, "ada", "ben")
    hand_in(own, "ada")
    folder = hand_in(own, "ben")
    grade(NAME, own, folder)
    first = (own.root / "grades" / f"{NAME}.csv").read_bytes()
    grade(NAME, own, folder)
    assert (own.root / "grades" / f"{NAME}.csv").read_bytes() == first
    by_hand(own, "ada", 1.5, "Why **linear**?")
    grade(NAME, own, folder)
    grade(NAME, own, folder)
    rows = table(own)
    assert rows["ada"]["why"] == "1.5" and rows["ada"]["total"] == "9.5" and rows["ada"]["to_mark"] == ""
    assert rows["ben"]["to_mark"] == "why"
    page = (own.root / "feedback" / "ada" / NAME / f"{NAME}.html").read_text()
    assert "1.5 of 2" in page and "Why <strong>linear</strong>?" in page


def test_a_changed_written_answer_waits_again_and_keeps_its_mark(own: Course) -> None:
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada"))
    by_hand(own, "ada", 2.0, "good")
    folder = hand_in(own, "ada", mix="def mix(a, b):\n    return 0")
    grade(NAME, own, folder)  # another question: the mark stands
    assert table(own)["ada"]["why"] == "2" and table(own)["ada"]["mix"] == "0"
    grade(NAME, own, hand_in(own, "ada", why="Something else."))
    assert table(own)["ada"]["to_mark"] == "why"
    grade(NAME, own, own.root / "in")
    assert table(own)["ada"]["to_mark"] == "why"  # still, until a person has looked
    by_hand(own, "ada", 1.0, "less good")
    grade(NAME, own, own.root / "in")
    assert table(own)["ada"]["why"] == "1" and table(own)["ada"]["to_mark"] == ""


def test_an_empty_or_deleted_written_answer_waits_for_nobody(own: Course) -> None:
    roster(own, "ada", "ben")
    hand_in(own, "ada", why="YOUR ANSWER HERE")
    less = right(own)
    less.cells = [cell for cell in less.cells if cell.id != "why"]
    grade(NAME, own, hand_in(own, "ben", less))
    for who in ("ada", "ben"):
        assert table(own)[who]["why"] == "0" and table(own)[who]["to_mark"] == ""


def test_only_what_has_changed_is_run_again(own: Course) -> None:
    roster(own, "ada", "ben")
    hand_in(own, "ada")
    folder = hand_in(own, "ben")
    told: list[tuple[int, int]] = []
    grade(NAME, own, folder, tell=lambda done, of: told.append((done, of)))
    assert told[0] == (0, 2) and told[-1] == (2, 2)
    hand_in(own, "ben", slope="def slope():\n    return '1'")
    told.clear()
    grade(NAME, own, folder, tell=lambda done, of: told.append((done, of)))
    assert told[0] == (1, 2)
    kept = own.root / "results" / NAME / "ada.json"
    before = (own.root / "grades" / f"{NAME}.csv").read_bytes()
    kept.write_text(kept.read_text()[:100])  # the disk was full
    told.clear()
    grade(NAME, own, folder, tell=lambda done, of: told.append((done, of)))
    assert told[0] == (1, 2) and (own.root / "grades" / f"{NAME}.csv").read_bytes() == before


def test_a_killed_run_goes_on_and_gives_the_same(own: Course, tmp_path: Path) -> None:
    people = [f"s{i}" for i in range(6)]
    roster(own, *people)
    for who in people[:-1]:
        folder = hand_in(own, who)
    slow = "import time\ntime.sleep(4)\nlargest = 1"
    hand_in(own, people[-1], largest=slow)  # the run is not over too soon
    shutil.copytree(own.root, tmp_path / "twin")
    command = [sys.executable, "-m", "classroom", "grade", NAME, str(folder), "--class", str(own.root)]
    run = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    kept = own.root / "results" / NAME
    until = time.monotonic() + 240
    while not list(kept.glob("*.json")) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    there = len(list(kept.glob("*.json")))
    assert 0 < there < 6 and not (own.root / "grades").exists()
    told: list[tuple[int, int]] = []
    grade(NAME, own, folder, tell=lambda done, of: told.append((done, of)))
    twin = Course(tmp_path / "twin")
    grade(NAME, twin, twin.root / "in")
    assert told[0][0] == there
    assert (own.root / "grades" / f"{NAME}.csv").read_text() == (
        twin.root / "grades" / f"{NAME}.csv"
    ).read_text()


def dying(data: bytes) -> dict[str, Any]:
    """In the place of the judge: its process dies of one submission, and another fills its memory."""
    if b"deadly" in data:
        os._exit(3)
    if b"greedy" in data:
        bytearray(2 * grading.OWN_MEMORY)
    return {"status": "ok", "notes": [], "verdicts": {}}


@pytest.mark.processes
def test_a_submission_that_kills_the_grader_costs_its_author_alone(
    own: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grading, "_judge", dying)
    people = ["ada", "ben", "cho", "dan"]
    roster(own, *people)
    for who in people:
        folder = hand_in(own, who, mix={"ben": "# deadly", "dan": "# greedy"}.get(who, "# harmless"))
    results = grade(NAME, own, folder)
    assert [r.status for r in results] == ["ok", "crashed", "ok", "crashed"]
    assert "MemoryError" in results[3].notes[0]


def test_names_are_no_formulas_and_no_paths(own: Course) -> None:
    people = ["=cmd|' /C calc'!A1", "+1", "@x", "-2+3", "../../up", "-5"]
    (own.root / "roster.csv").write_text("id,name\n" + "".join(f'"{p}","<b>{p}</b>"\n' for p in people))
    before = {p for p in own.root.parent.rglob("*") if own.root not in p.parents}
    grade(NAME, own, hand_in(own, "=cmd|' ")) if os.name == "nt" else grade(NAME, own, hand_in(own, "@x"))
    with (own.root / "grades" / f"{NAME}.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [row[0] for row in csv.reader(file)][1:]
    assert cells == ["'=cmd|' /C calc'!A1", "'+1", "'@x", "'-2+3", "../../up", "-5"]
    assert {p for p in own.root.parent.rglob("*") if own.root not in p.parents} == before
    import sqlite3

    with sqlite3.connect(own.root / "gradebook.db") as book:
        names = [first + last for first, last in book.execute("select first_name, last_name from student")]
    assert names and not any("<" in name for name in names)


def test_an_assignment_that_was_not_released_and_a_missing_roster_say_so(own: Course) -> None:
    folder = hand_in(own, "ada")
    with pytest.raises(ValueError, match="there is no roster"):
        grade(NAME, own, folder)
    with pytest.raises(ValueError, match="has not been released"):
        grade("01_extrema", own, folder)


def test_a_later_collection_adds_to_the_first(own: Course) -> None:
    roster(own, "ada", "ben")
    grade(NAME, own, hand_in(own, "ada"), deadline=datetime(2026, 11, 1, 11, tzinfo=UTC))
    shutil.rmtree(own.root / "in")
    grade(NAME, own, hand_in(own, "ben"))
    rows = table(own)
    assert [rows[who]["total"] for who in ("ada", "ben")] == ["8", "8"]
    assert [rows[who]["late_hours"] for who in ("ada", "ben")] == ["1", "1"]  # the deadline is remembered
    assert rows["ada"]["handed_in_utc"] == "2026-11-01 12:00:00"


def test_a_broken_file_later_does_not_hide_the_earlier_one(own: Course) -> None:
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada"))
    (own.root / "in" / "ada" / "work.ipynb").write_text('{"cells": [')
    results = grade(NAME, own, own.root / "in")
    assert table(own)["ada"]["total"] == "8" and "cannot be read; that one counts" in results[0].notes[0]


def test_an_older_file_does_not_replace_a_newer_one(own: Course) -> None:
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada"))
    folder = hand_in(own, "ada", mix="def mix(a, b):\n    return 0")
    for days, total in ((-1, "8"), (1, "6")):
        stamp = (STAMP + timedelta(days=days)).timestamp()
        os.utime(folder / "ada" / "work.ipynb", (stamp, stamp))
        grade(NAME, own, folder)
        assert table(own)["ada"]["total"] == total


def test_an_unreadable_file_is_remembered(own: Course) -> None:
    roster(own, "ada", "ben")
    hand_in(own, "ada").joinpath("ada", "work.ipynb").write_text('{"cells": [')
    grade(NAME, own, own.root / "in")
    first = table(own)["ada"]
    shutil.rmtree(own.root / "in")
    grade(NAME, own, hand_in(own, "ben"))
    assert table(own)["ada"] == first and first["status"] == "unreadable"
    grade(NAME, own, hand_in(own, "ada"))
    assert table(own)["ada"]["status"] == "ok"


def test_a_cell_that_cannot_be_read_as_python_says_so(own: Course) -> None:
    roster(own, "ada")
    results = grade(NAME, own, hand_in(own, "ada", mix="def mix(a, b:\n    return 1"))
    assert results[0].says["mix_test"].startswith("The cell of your answer stopped with SyntaxError")


def test_one_questions_huge_value_costs_no_other(own: Course) -> None:
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada", largest="largest = list(range(3_000_000))"))
    row = table(own)["ada"]
    assert [row[c] for c in ("mix", "centred", "fold", "largest", "slope")] == ["2", "2", "2", "0", "1"]


def test_a_change_in_place_is_seen_and_never_comes_back(own: Course) -> None:
    roster(own, "ada", "ben")
    hand_in(own, "ada", centred="def centred(x):\n    x -= x.mean(axis=0)\n    return x")
    folder = hand_in(own, "ben", fold="def fold(t):\n    t.zero_()\n    return t")
    results = grade(NAME, own, folder)
    assert [results[0].says["centred_test"], results[1].says["fold_test"]] == [
        "What centred was given was changed in place: work on a copy.",
        "What fold was given was changed in place: work on a copy.",
    ]


def stumbling(data: bytes) -> dict[str, Any]:
    """In the place of the judge: the disk is full."""
    raise OSError(28, "No space left on device")


def test_the_graders_own_stumbling_is_not_kept(own: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    roster(own, "ada")
    folder = hand_in(own, "ada")
    with monkeypatch.context() as broken:
        broken.setattr(grading, "_judge", stumbling)
        assert grade(NAME, own, folder)[0].status == "crashed"
    assert grade(NAME, own, folder)[0].status == "ok"


def test_a_check_that_hangs_out_here_ends_its_process(own: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda after, **how: told.append((after, how)))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: told.append("cancelled"))
    monkeypatch.setattr(grading, "mark", lambda *args, **kwargs: told.append("marking") or 1 / 0)
    roster(own, "ada")
    assert "ZeroDivisionError" in grade(NAME, own, hand_in(own, "ada"))[0].notes[0]
    (after, how), *rest = told
    assert rest == ["marking", "cancelled"] and how["exit"] is True
    assert 2 * Here.sandbox.limits.seconds < after < 200


def test_a_student_is_forgotten_whole(own: Course) -> None:
    roster(own, "ada", "ben")
    hand_in(own, "ada", why="zq_personal")
    grade(NAME, own, hand_in(own, "ben"))
    by_hand(own, "ada", 1.0, "zq_personal remark")
    shutil.rmtree(own.root / "in")
    assert "a line of roster.csv" in forget("ada", own)
    left = [
        p
        for p in own.root.rglob("*")
        if p.is_file() and (b"zq_personal" in p.read_bytes() or "ada" in p.name)
    ]
    assert left == [] and list(table(own)) == ["ben"]
    assert b"ada the student" not in (own.root / "gradebook.db").read_bytes()
    with pytest.raises(ValueError, match="nothing is kept"):
        forget("ada", own)
    assert table(own)["ben"]["total"] == "8"


def test_another_version_does_not_replace_what_was_handed_in(
    own: Course, tiny: Assignment, walls: Sandbox
) -> None:
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada"))
    (own.root / "class.key").write_text("quite another key\n")
    with pytest.raises(Refused, match="handed in already"):
        release(tiny, own, walls)
    release(tiny, own, walls, again=True)


def test_results_are_plain_json(own: Course) -> None:
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada"))
    kept = json.loads((own.root / "results" / NAME / "ada.json").read_text())
    assert kept["status"] == "ok" and kept["verdicts"]["mix_test"] == {"points": 2.0, "most": 2.0, "says": ""}
    assert 0 < kept["seconds"] < 30
