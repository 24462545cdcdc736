"""What earlier tests let through: each test here fails for a defect that was planted and not found."""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from nbformat import NotebookNode
from the_class import NAME, hand_in, roster, table

from classroom import grade as grading
from classroom import marking
from classroom import release as releasing
from classroom.assignment import Assignment, SourceError, grade_id, leaks, public
from classroom.carry import EXTRA, SOURCE, carry
from classroom.clean import PICTURES, PRINTED, clean
from classroom.course import Course
from classroom.grade import grade
from classroom.handin import LARGEST_FILE, Person, Unreadable, collect, read_notebook
from classroom.marking import Marked, mark
from classroom.outside import Gone, Limits, Shown, StudentError
from classroom.release import Refused, blank, release
from classroom.sandbox import Sandbox

KEY = "a key for the tests"
NOTEBOOK = nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")])).encode()


# -- whose it is, and when it came


def test_of_two_people_of_one_name_nobody_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "Wei Wang_1.ipynb").write_bytes(NOTEBOOK)
    found = collect(tmp_path, [Person("w1", "Wei Wang"), Person("w2", "Wei Wang")], "a")
    assert not found.files and found.unclaimed == ["Wei Wang_1.ipynb"]


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "ada.ipynb").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    content, _ = collect(tmp_path, [Person("ada")], "a").files["ada"]
    assert isinstance(content, Unreadable) and "20 MB" in str(content)


def test_the_time_in_an_archive_is_that_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        file.writestr(zipfile.ZipInfo("ada.ipynb", (2026, 11, 1, 20, 0, 0)), NOTEBOOK)
    found = collect(tmp_path / "in.zip", [Person("ada")], "a")
    monkeypatch.undo()
    time.tzset()
    assert found.files["ada"][1] == datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_a_stamp_has_whole_seconds(tmp_path: Path) -> None:
    (tmp_path / "ada.ipynb").write_bytes(NOTEBOOK)
    os.utime(tmp_path / "ada.ipynb", (1_700_000_000.75, 1_700_000_000.75))
    assert collect(tmp_path, [Person("ada")], "a").files["ada"][1].microsecond == 0


def test_a_strange_file_name_is_noted_and_windows_lines_are_lines(tmp_path: Path) -> None:
    (tmp_path / "ada.ipynb.txt").write_bytes(NOTEBOOK)
    assert "ada.ipynb.txt" in collect(tmp_path, [Person("ada")], "a").notes["ada"][0]
    cells = [{"cell_type": "code", "source": ["x = 1\r\n", "y = 2\r\n"]}]
    assert read_notebook(json.dumps({"cells": cells}).encode()).cells[0].source == "x = 1\ny = 2\n"


# -- a master of one's own, and a student without walls


def cell(kind: str, it: str, source: str, points: float = 0) -> NotebookNode:
    """A cell of a master: "given", "answer" or "test"."""
    made = nbformat.v4.new_code_cell(source, id=it)
    made.metadata["nbgrader"] = {
        "grade_id": it, "solution": kind == "answer", "grade": kind == "test", "points": points,
        "locked": kind != "answer", "schema_version": 3, "task": False,
    }  # fmt: skip
    return made


def solution(source: str) -> str:
    return f"### BEGIN SOLUTION\n{source}\n### END SOLUTION"


def a_master(*tests: str) -> NotebookNode:
    """One answer f0, f1, ... and one test of one point for each."""
    cells = []
    for i, test in enumerate(tests):
        cells.append(cell("answer", f"f{i}", solution(f"def f{i}():\n    return {i}")))
        cells.append(cell("test", f"f{i}_test", test, 1))
    return nbformat.v4.new_notebook(cells=cells)


class Pretended:
    """In the place of a Student: the names live here, `die` ends it, `late` is interrupted."""

    def __init__(self, limits: Limits) -> None:
        self.left, self.interrupted, self.names, self.ran, self.gone = limits.seconds, False, {}, [], False

    def _do(self, work: Callable[[], Any]) -> Any:
        if self.gone:
            raise Gone("crashed")
        self.left -= 1
        try:
            return work()
        except Gone:
            self.gone = True
            raise
        except Exception as error:
            raise StudentError(f"{type(error).__name__}: {error}", "") from None

    def run(self, source: str) -> list[str]:
        def die(why: str = "timeout") -> None:
            raise Gone(why)

        self.names.setdefault("die", die)
        self.ran.append(source)
        self.interrupted = self.interrupted or "late" in source
        self._do(lambda: exec(source, self.names))
        return []

    def call(self, name: str, *args: Any) -> Any:
        return self._do(lambda: self.names[name](*args))

    def get(self, name: str) -> Any:
        return self._do(lambda: self.names[name])

    def shown(self) -> Shown:
        return Shown()

    def end(self) -> None:
        self.gone = True


class NoWalls:
    """In the place of a Sandbox."""

    def __init__(self, seconds: float = 30) -> None:
        self.limits, self.students = Limits(seconds=seconds), list[Pretended]()

    def start(self) -> Pretended:
        self.students.append(Pretended(self.limits))
        return self.students[-1]


def marked(master: NotebookNode, sandbox: NoWalls | None = None, key: str = KEY, **answers: str) -> Marked:
    """A hand-in with these answers, judged without walls."""
    handed = nbformat.from_dict(master)
    for it in handed.cells:
        it.source = answers.get(grade_id(it), it.source)
    return mark(master, handed, sandbox or NoWalls(), key=key, name="a")  # type: ignore[arg-type]


def test_a_process_that_dies_costs_its_question_alone() -> None:
    master, walls = a_master("assert f0() == 0", "assert f1() == 1", "assert f2() == 2"), NoWalls()
    found = marked(master, walls, f1="def f1():\n    die()")
    assert [v.points for v in found.verdicts.values()] == [1, 0, 1] and found.status == "timeout"
    assert "longer than allowed" in found.verdicts["f1_test"].says and found.notes
    first, second = walls.students
    assert second.ran[:2] == first.ran and first.gone
    assert second.left < first.left  # the time goes on


def test_a_process_is_started_anew_a_limited_number_of_times() -> None:
    n = marking.RESTARTS + 4
    walls = NoWalls(10_000)
    found = marked(
        a_master(*(f"f{i}()" for i in range(n))), walls,
        **{f"f{i}": f"def f{i}():\n    die('memory')" for i in range(n)},
    )  # fmt: skip
    assert not any(v.points for v in found.verdicts.values())
    assert len(walls.students) == marking.RESTARTS + 1 and found.status == "crashed"


def test_no_time_is_given_twice() -> None:
    walls = NoWalls(8)
    marked(
        a_master(*(f"f{i}()" for i in range(6))), walls, **{f"f{i}": f"def f{i}(): die()" for i in range(6)}
    )
    assert len(walls.students) < 5  # six restarts of up to five cells would be within eight seconds each


def test_an_interrupted_cell_is_a_timeout() -> None:
    assert marked(a_master("assert f0() == 0"), f0="late = 1\ndef f0():\n    return 0").status == "timeout"
    assert marked(a_master("assert f0() == 0")).status == "ok"


@pytest.mark.parametrize("test", ["f0() + 'x'", "assert f0() == 1", "raise RecursionError", "{}[f0()]"])
def test_a_test_that_stops_gives_no_point_and_a_sentence(test: str) -> None:
    verdict = marked(a_master(test)).verdicts["f0_test"]
    assert verdict.points == 0 and verdict.most == 1 and len(verdict.says) > 8


def test_a_test_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "TEST_SECONDS", 0.2)
    loop = "import time\nuntil = time.monotonic() + 5\nwhile time.monotonic() < until: pass"
    found = marked(a_master(loop, "assert f1() == 1"))
    assert [v.points for v in found.verdicts.values()] == [0, 1]
    assert "too long" in found.verdicts["f0_test"].says


def test_random_numbers_come_from_key_and_test_alone() -> None:
    say = "import random, torch, numpy as np\nraise AssertionError(str((secret.random(), random.random(), "
    say += "np.random.rand(), torch.rand(1).item())))"
    one, again, other = (marked(a_master(say, say), key=k).verdicts for k in (KEY, KEY, "another key"))
    said = [v.says for found in (one, again, other) for v in found.values()]
    assert said[:2] == said[2:4] and len(set(said)) == 4
    numbers = np.array([json.loads(s.replace("(", "[").replace(")", "]")) for s in said])
    for column in numbers.T:
        assert len(set(column)) == 4  # each kind of number, each test, each key


def test_a_notebook_that_was_judged_holds_no_hidden_test() -> None:
    hidden = "f0()\n### BEGIN HIDDEN TESTS\nassert f0() == 0  # zq_hidden\n### END HIDDEN TESTS"
    assert "zq_hidden" not in nbformat.writes(marked(a_master(hidden)).notebook)


# -- answers find their places


def test_the_name_of_an_answer_goes_before_the_id_of_its_cell() -> None:
    master = a_master("f0()", "f1()")
    handed = nbformat.from_dict(master)
    handed.cells[0]["id"], handed.cells[2]["id"] = "f1", "f0"
    order, _ = carry(master, handed)
    assert [source for cell_, source in order if grade_id(cell_) == "f0"] == [master.cells[0].source]


def test_of_several_nameless_cells_none_is_guessed() -> None:
    master = a_master("f0()", "f1()")
    master.cells[2].source = solution("x = 1")
    handed = nbformat.from_dict(master)
    handed.cells[2:3] = [nbformat.v4.new_code_cell(f"print({i})") for i in range(2)]
    order, notes = carry(master, handed)
    assert notes == ["the answer f1 is missing"] and {"print(0)", "print(1)"} < {s for _, s in order}


def test_additions_and_their_length_have_a_limit() -> None:
    master = a_master("f0()")
    handed = nbformat.from_dict(master)
    handed.cells += [nbformat.v4.new_code_cell("y" * (SOURCE + 9)) for _ in range(EXTRA + 9)]
    order, _ = carry(master, handed)
    assert len(order) == len(master.cells) + EXTRA and max(len(source) for _, source in order) == SOURCE


# -- what may be handed out


def test_a_number_and_an_attachment_are_leaks(tiny: Assignment) -> None:
    master = tiny.fill(KEY)
    word = tiny.variant(KEY)["answer_word"]
    master.cells[4].source = master.cells[4].source.replace("blended =", "blended = 0.8125 *")
    shown = blank(master)
    shown.cells[0].source += " 0.8125"
    shown.cells[3]["attachments"] = {f"{word}.png": {}}
    assert leaks(master, shown) == {"0.8125", word}


def test_a_leak_keeps_the_students_version_back(
    tiny: Assignment, walls: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(releasing, "faults", lambda *a, **k: [])
    monkeypatch.setattr(releasing, "leaks", lambda *a: {"zq_word"})
    with pytest.raises(Refused, match="zq_word"):
        release(tiny, Course(tmp_path / "class"), walls)
    assert not list((tmp_path / "class" / "release").rglob("*.ipynb"))


def test_two_planted_answers_are_too_few(tiny: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releasing, "mark", lambda master, *a, **k: Marked(nbformat.v4.new_notebook(), "ok"))
    few = Assignment(tiny.name, tiny.folder)
    few.__dict__["planted"] = [p for p in tiny.planted if p.slip != "no ratio"]
    found = list(releasing.faults(few, KEY, None))  # type: ignore[arg-type]
    assert found == [f"{q}: 2 planted wrong answers, three are needed" for q in ("mix", "fold")]


def test_two_assignments_of_a_class_have_numbers_of_their_own(tiny: Assignment, tmp_path: Path) -> None:
    shutil.copytree(tiny.folder / tiny.name, tmp_path / "other")
    assert Assignment("other", tmp_path).variant(KEY)["table"] != tiny.variant(KEY)["table"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[4].update(id="else"), "must have its name as id"),
        (lambda c: c[4].metadata.nbgrader.update(grade_id="fold"), "must have its name as id|two cells"),
        (lambda c: c.append(c[4]), "two cells are called 'mix'"),
        (lambda c: c[4].metadata.pop("nbgrader"), "has no grade_id"),
    ],
)
def test_cells_without_a_name_of_their_own_are_refused(
    change: Callable[[list], None], words: str, tiny: Assignment, tmp_path: Path
) -> None:
    shutil.copytree(tiny.folder / tiny.name, tmp_path / tiny.name)
    copy = Assignment(tiny.name, tmp_path)
    change(copy.source.cells)
    with pytest.raises(SourceError, match=words):
        copy.fill(KEY)


# -- a class


@pytest.mark.usefixtures("bubblewrap", "quick")
def test_each_thing_that_a_verdict_hangs_on_is_judged_again(own: Course) -> None:
    roster(own, "ada")
    folder = hand_in(own, "ada")
    told: list[tuple[int, int]] = []

    def again(**settings: Any) -> bool:
        """Whether ada was judged anew."""
        told.clear()
        grade(NAME, own, folder, tell=lambda done, of: told.append((done, of)), **settings)
        return told[0] == (0, 1)

    assert again() and not again()
    assert not again(limits=Limits(seconds=20))  # who was ready in time needs no more of it
    (own.root / "class.key").write_text("quite another key\n")
    assert again() and not again()
    master = own.master(NAME)
    master.write_text(master.read_text().replace("In one sentence", "In a sentence"))
    assert again() and not again()
    hand_in(own, "ada", largest="largest = 0.0")
    assert again() and table(own)["ada"]["largest"] == "0"


@pytest.mark.usefixtures("bubblewrap")
def test_more_time_is_given_to_whom_it_failed(own: Course) -> None:
    roster(own, "ada")
    folder = hand_in(own, "ada", largest="import time\ntime.sleep(1.5)\nlargest = float(TABLE.max())")
    short, long = (Limits(seconds=s, step=s) for s in (1.0, 20.0))
    assert grade(NAME, own, folder, limits=short, workers=1)[0].status == "timeout"
    assert grade(NAME, own, folder, limits=short, workers=1)[0].status == "timeout"
    assert grade(NAME, own, folder, limits=long, workers=1)[0].status == "ok"
    assert grade(NAME, own, folder, limits=short, workers=1)[0].status == "ok"


@pytest.mark.usefixtures("bubblewrap", "quick")
def test_a_mark_by_hand_goes_before_the_graders_and_stays(own: Course) -> None:
    from nbgrader.api import Gradebook

    roster(own, "ada")
    folder = hand_in(own, "ada", mix="def mix(a, b):\n    return 0")
    grade(NAME, own, folder)
    with Gradebook(own.database) as book:
        book.find_grade("mix_test", NAME, NAME, "ada").manual_score = 1.5
        book.find_grade("fold_test", NAME, NAME, "ada").extra_credit = 0.5
        book.db.commit()
    for _ in range(2):
        grade(NAME, own, folder)
        assert [table(own)["ada"][q] for q in ("mix", "fold", "total")] == ["1.5", "2.5", "8"]


@pytest.mark.usefixtures("bubblewrap", "quick")
def test_a_deadline_keeps_its_zone_and_early_is_not_late(own: Course) -> None:
    roster(own, "ada", "ben")
    hand_in(own, "ada")
    early = hand_in(own, "ben") / "ben" / "work.ipynb"
    stamp = datetime(2026, 11, 1, 8, tzinfo=UTC).timestamp()
    os.utime(early, (stamp, stamp))
    (own.root / "in" / "mystery.ipynb").write_bytes(NOTEBOOK)
    deadline = datetime(2026, 11, 1, 18, tzinfo=timezone(timedelta(hours=8)))  # ten o'clock in UTC
    for due in (deadline, None):
        results = grade(NAME, own, own.root / "in", deadline=due)
        assert [r.late for r in results] == [2.0, 0.0]
        assert table(own)["ada"]["late_hours"] == "2"
    look = (own.root / "grades" / f"{NAME}.look.txt").read_text()
    assert look == "nobody on the roster: 'mystery.ipynb'\n"


@pytest.mark.usefixtures("bubblewrap", "quick")
def test_what_is_kept_of_a_submission_is_clean(own: Course, tiny: Assignment) -> None:
    roster(own, "ada")
    grade(NAME, own, hand_in(own, "ada", why="<b>bold</b>"))
    text = (own.root / "autograded" / "ada" / NAME / f"{NAME}.ipynb").read_text()
    assert "<b>" not in text and tiny.variant(own.key)["hidden_word"] not in text
    assert "<b>" in (own.root / "submitted" / "ada" / NAME / f"{NAME}.ipynb").read_text()


def test_a_roomful_of_pictures_and_print_is_cut() -> None:
    import base64

    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * (PICTURES["image/png"] // 4)).decode()
    code = nbformat.v4.new_code_cell("1")
    for _ in range(9):
        code.outputs.append(nbformat.v4.new_output("display_data", {"image/png": picture}))
        code.outputs.append(nbformat.v4.new_output("stream", text="x" * (PRINTED // 2)))
    text = nbformat.v4.new_markdown_cell("![](attachment:a)", attachments={"a": {"text/html": "<b>"}})
    made = clean(nbformat.v4.new_notebook(cells=[code, text]))
    outputs = made.cells[0].outputs
    shown = "".join(o.data["image/png"] for o in outputs if o.output_type == "display_data")
    assert len(shown) <= PICTURES["image/png"]
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert printed.count("x") == PRINTED and "(cut)" in printed
    assert "attachments" not in made.cells[1]


def test_public_is_what_students_see() -> None:
    test = cell("test", "a_test", "a()\n### BEGIN HIDDEN TESTS\nb()\n### END HIDDEN TESTS", 1)
    assert public(test) == "a()"
    assert grading.fingerprint(b"a", b"b") != grading.fingerprint(b"ab", b"")


def test_a_setup_cell_changes_nothing_beyond_its_submission() -> None:
    master = a_master("assert f0() == 0")
    setting = (
        "import torch\ntorch.set_default_dtype(torch.float64)\nassert torch.ones(1).dtype == torch.float64"
    )
    master.cells.insert(0, cell("given", "setup", setting))
    before = torch.get_default_dtype()
    marked(master)
    assert torch.get_default_dtype() == before == torch.float32
