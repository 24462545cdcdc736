"""A derivation on paper, photographed and pasted: the marker sees it, and nothing else happens."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import nbformat
import numpy as np
import pytest
from hostile import white_png
from nbformat import NotebookNode
from PIL import Image
from the_class import NAME, by_hand, hand_in, right, roster, table

from classroom.assignment import grade_id
from classroom.course import Course
from classroom.feedback import LARGEST
from classroom.grade import grade
from classroom.handin import read_notebook
from classroom.inside import LARGEST_PHOTO, LONGEST_SIDE, shrunk
from classroom.marking import Marked, Run, mark
from classroom.outside import Student
from classroom.pasted import MOST, take_pictures
from classroom.sandbox import Sandbox


def photograph(kind: str = "JPEG", seed: int = 0, **options: Any) -> str:
    """A sheet of 3,000 by 2,000 pixels, grainy as a telephone makes them, its left half black; base64."""
    rng = np.random.default_rng(seed)
    sheet = 200 + rng.integers(-40, 40, (200, 300, 3))
    sheet[:, :150] = rng.integers(0, 20, (200, 150, 3))
    image = Image.fromarray(sheet.astype(np.uint8)).resize((3000, 2000))
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def pixels(data: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.format == "JPEG"
    return np.asarray(image.convert("L")).astype(float)


def with_answer(made: NotebookNode, source: str, attachments: dict[str, Any] | None = None) -> NotebookNode:
    made = nbformat.from_dict(made)
    for cell in made.cells:
        if grade_id(cell) == "why":
            cell.source = source
            if attachments:
                cell.attachments = attachments
    return made


def photographs(notebook: NotebookNode) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data["image/jpeg"] for output in outputs if "image/jpeg" in output.get("data", {})]


# -- out of the text


@pytest.mark.parametrize(
    ("source", "text", "pictures"),
    [
        ("a ![x](attachment:b.png) c", "a (picture 1) c", ["B"]),
        ("a ![x](<attachment:b.png>) c", "a (picture 1) c", ["B"]),
        ('a ![x](attachment:b.png "my sheet") c', "a (picture 1) c", ["B"]),
        ("a ![](attachment:my%20sheet%20%281%29.jpg) c", "a (picture 1) c", ["S"]),
        ('a <img width="300" src="attachment:b.png" alt="x"/> c', "a (picture 1) c", ["B"]),
        ("a <img src=attachment:b.png> c", "a (picture 1) c", ["B"]),
        ("a ![x](data:image/png;base64,C) c", "a (picture 1) c", ["C"]),
        ("a <img src='data:image/jpeg;base64,C'> c", "a (picture 1) c", ["C"]),
        ("![x](attachment:b.png)![y](attachment:b.png)", "(picture 1)(picture 1)", ["B"]),
        ("![x](attachment:b.png)\n![y](data:image/png;base64,B)", "(picture 1)\n(picture 1)", ["B"]),
        ("![](attachment:b.png) ![](data:image/png;base64,C)", "(picture 1) (picture 2)", ["B", "C"]),
        ("![x](attachment:c.png)", "(a picture that is lost)", []),
        ("![x](attachment:empty)", "(a picture that is lost)", []),
        ("![x](attachment:odd)", "(a picture that is lost)", []),
        ("the attachment:b.png of [mine](attachment:b.png)", None, []),
        ("![x](https://tracker.example/x.png) <img src='//tracker.example'>", None, []),
        ("data:text/html;base64,B ![x](data:text/html;base64,B)", None, []),
    ],
)
def test_what_is_a_picture_is_taken(source: str, text: str | None, pictures: list[str]) -> None:
    attachments = {
        "b.png": {"image/png": ["B\n", ""]},
        "my sheet (1).jpg": {"image/jpeg": "S"},
        "empty": {},
        "odd": {"image/png": 7},
    }
    taken: list[str] = []
    assert take_pictures(source, attachments, taken) == (source if text is None else text)
    assert taken == pictures


@pytest.mark.parametrize("attachments", [None, [], "x", {"b.png": "x"}, {"b.png": ["x"]}, {"b.png": None}])
def test_attachments_that_are_none(attachments: object) -> None:
    taken: list[str] = []
    assert take_pictures("![x](attachment:b.png)", attachments, taken) == "(a picture that is lost)"
    assert taken == []


def test_no_more_than_the_first_pictures() -> None:
    attachments = {str(k): {"image/png": f"x{k}"} for k in range(MOST + 2)}
    taken: list[str] = []
    text = take_pictures("".join(f"![](attachment:{k})" for k in range(MOST + 2)), attachments, taken)
    assert len(taken) == MOST and text.count("left out") == 2 and f"(picture {MOST})" in text


@pytest.mark.parametrize(
    "piece", ["![", "<img ", "attachment:", "![x](attachment:a ", "data:image/png;base64,"]
)
def test_a_text_made_to_take_for_ever_does_not(piece: str) -> None:
    taken: list[str] = []
    assert take_pictures(piece * 200_000, {}, taken).endswith(piece) and taken == []


# -- made small


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_photograph_is_made_small(kind: str) -> None:
    small = shrunk(photograph(kind))
    assert len(base64.b64decode(small)) <= LARGEST_PHOTO
    seen = pixels(small)
    high, wide = seen.shape
    assert LONGEST_SIDE / 4 < wide <= LONGEST_SIDE and abs(wide / high - 1.5) < 0.01
    assert seen[:, : wide // 2 - 9].mean() < 30 and seen[:, wide // 2 + 9 :].mean() > 170


def test_a_small_one_stays_as_large_as_it_is() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32), "white").save(buffer, "PNG")
    assert pixels(shrunk(base64.b64encode(buffer.getvalue()).decode())).shape == (32, 64)


def test_a_large_one_is_as_wide_as_a_page() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 2000), "white").save(buffer, "JPEG")
    seen = pixels(shrunk(base64.b64encode(buffer.getvalue()).decode()))
    assert seen.shape == (LONGEST_SIDE // 2, LONGEST_SIDE)


def test_a_telephone_held_upright_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise: the left half is above then
    seen = pixels(shrunk(photograph(exif=exif)))
    high, wide = seen.shape
    assert high > wide and seen[: high // 2 - 9].mean() < 30 and seen[high // 2 + 9 :].mean() > 170


def test_ink_on_nothing_stands_on_white() -> None:
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (40, 40, 60, 60))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    seen = pixels(shrunk(base64.b64encode(buffer.getvalue()).decode()))
    assert seen[:30].min() > 240 and seen[45:55, 45:55].max() < 15


# -- through the walls


@pytest.fixture
def work(course: Course) -> NotebookNode:
    return right(course)


def marked(course: Course, handed: NotebookNode, walls: Sandbox) -> Marked:
    read = read_notebook(nbformat.writes(handed).encode())
    return mark(nbformat.read(course.master(NAME), as_version=4), read, walls, key=course.key, name=NAME)


def test_it_stands_above_its_text(course: Course, work: NotebookNode, walls: Sandbox) -> None:
    sheet = {"sheet.jpg": {"image/jpeg": photograph()}}
    found = marked(course, with_answer(work, "See ![sheet](attachment:sheet.jpg).", sheet), walls)
    names = [grade_id(cell) for cell in found.notebook.cells]
    answer = names.index("why")
    assert found.notebook.cells[answer].source == "See (picture 1)."
    above = found.notebook.cells[answer - 1]
    assert above.source == "# picture 1 of the text below" and grade_id(above) == ""
    assert pixels(above.outputs[0].data["image/jpeg"]).mean() > 80
    assert found.status == "ok" and found.notes == [] and all(v.points for v in found.verdicts.values())


def test_what_cannot_be_shown_is_said(course: Course, work: NotebookNode, walls: Sandbox) -> None:
    sheets = {
        "a.heic": {"image/heic": "AAAA"}, "b.svg": {"image/svg+xml": base64.b64encode(b"<svg/>").decode()},
        "c.png": {"image/png": "no base64!"}, "d.jpg": {"image/jpeg": photograph()[:2000]},
    }  # fmt: skip
    text = " ".join(f"![]({'attachment:' + name})" for name in sheets)
    found = marked(course, with_answer(work, text, sheets), walls)
    assert [note.split(":")[0] for note in found.notes] == [f"picture {k}" for k in (1, 2, 3, 4)]
    assert all("PNG or JPEG" in note for note in found.notes)
    cells = [cell for cell in found.notebook.cells if cell.source.startswith("# picture")]
    assert len(cells) == 4 and not any(cell.outputs for cell in cells)
    assert found.status == "ok" and all(v.points for v in found.verdicts.values())


@pytest.mark.parametrize(("side", "rows"), [(8_000, 8_000), (13_000, 13_000), (60_000, 1)])
def test_a_bomb_costs_its_own_picture(
    course: Course, work: NotebookNode, walls: Sandbox, side: int, rows: int
) -> None:
    sheets = {
        "bomb": {"image/png": base64.b64encode(white_png(side, rows)).decode()},
        "sheet": {"image/jpeg": photograph()},
    }
    handed = with_answer(work, "![](attachment:bomb) ![](attachment:sheet)", sheets)
    found = marked(course, handed, walls)
    assert any(note.startswith("picture 1:") for note in found.notes)
    assert len(photographs(found.notebook)) == 1
    assert all(verdict.points for verdict in found.verdicts.values())


def test_a_patched_library_has_no_say(course: Course, work: NotebookNode, walls: Sandbox) -> None:
    vandal = nbformat.v4.new_code_cell(
        "import PIL.Image\ndef open(*args, **kwargs):\n    raise KeyboardInterrupt\nPIL.Image.open = open"
    )
    sheet = {"sheet": {"image/jpeg": photograph()}}
    handed = with_answer(work, "![](attachment:sheet)", sheet)
    handed.cells.insert(0, vandal)
    found = marked(course, handed, walls)
    assert len(photographs(found.notebook)) == 1


def test_what_comes_back_and_is_no_picture_is_not_shown(
    walls: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Student, "picture", lambda student, data: data)
    run = Run(walls, "a key for the tests", NAME)
    try:
        sent = ["PHNjcmlwdD4=", base64.b64encode(b"\xff\xd8\xff a JPEG").decode()]
        assert [run.picture(data) for data in sent] == ["", sent[1]]
    finally:
        run.close()


# -- in a class


@pytest.mark.usefixtures("quick")
class TestInAClass:
    def test_a_photograph_waits_for_a_person_and_a_new_one_again(self, own: Course) -> None:
        roster(own, "ada", "ben")
        for who, seed in (("ada", 0), ("ben", 0)):
            sheet = {"s": {"image/jpeg": photograph(seed=seed)}}
            hand_in(own, who, with_answer(right(own), "![](attachment:s)", sheet))
        grade(NAME, own, own.root / "in")
        assert [table(own)[who]["to_mark"] for who in ("ada", "ben")] == ["why", "why"]
        for who in ("ada", "ben"):
            by_hand(own, who, 1.5, "the last step lacks a reason")
        grade(NAME, own, own.root / "in")
        assert [table(own)[who]["why"] for who in ("ada", "ben")] == ["1.5", "1.5"]
        sheet = {"s": {"image/jpeg": photograph(seed=1)}}
        hand_in(own, "ada", with_answer(right(own), "![](attachment:s)", sheet))
        grade(NAME, own, own.root / "in")
        rows = table(own)
        assert (
            rows["ada"]["to_mark"] == "why" and rows["ben"]["to_mark"] == "" and rows["ben"]["why"] == "1.5"
        )

    def test_feedback_has_the_words_and_not_the_photograph(self, own: Course) -> None:
        roster(own, "ada")
        sheets = {str(k): {"image/jpeg": photograph(seed=k)} for k in range(MOST)}
        text = "My sheets: " + " ".join(f"![](attachment:{k})" for k in range(MOST))
        hand_in(own, "ada", with_answer(right(own), text, sheets))
        grade(NAME, own, own.root / "in")
        page = (own.place("feedback", NAME, "ada") / f"{NAME}.html").read_text()
        assert len(page) <= LARGEST and "image/jpeg" not in page and f"(picture {MOST})" in page
        assert "of the text below" not in page
        kept = nbformat.read(own.place("autograded", NAME, "ada") / f"{NAME}.ipynb", as_version=4)
        assert len(photographs(kept)) == MOST

    @pytest.mark.parametrize("kind", ["markdown", "code"])
    def test_an_answer_in_a_cell_of_its_own_is_not_nothing(self, own: Course, kind: str) -> None:
        roster(own, "ada", "ben")
        released = nbformat.read(own.place("release", NAME) / f"{NAME}.ipynb", as_version=4)
        hand_in(own, "ben", released)
        more = nbformat.from_dict(released)
        at = [grade_id(cell) for cell in more.cells].index("why")
        make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        more.cells.insert(at + 1, make("'Because of the mirror image.'"))
        hand_in(own, "ada", more)
        grade(NAME, own, own.root / "in")
        rows = table(own)
        assert rows["ada"]["to_mark"] == "why" and rows["ben"]["to_mark"] == "" and rows["ben"]["why"] == "0"
        pages = {who: (own.place("feedback", NAME, who) / f"{NAME}.html").read_text() for who in rows}
        said = {who: page.split('id="why"')[1] for who, page in pages.items()}
        assert "A person reads this." in said["ada"] and "No answer yet." not in said["ada"]
        assert "No answer yet." in said["ben"] and "A person reads this." not in said["ben"]
        assert json.loads((own.root / "results" / NAME / "ada.json").read_text())["status"] == "ok"
