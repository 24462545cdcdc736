"""The pages that students and markers see: harmless, complete with the network off, small, legible."""

from __future__ import annotations

import base64
import html
import re
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser

from classroom.assignment import Assignment, grade_id, role
from classroom.clean import clean, is_picture, plain_markdown
from classroom.feedback import LARGEST, page, rendered
from classroom.grade import Result
from classroom.handin import Person
from classroom.release import blank

KEY = "a key for the tests"
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63f8cfc0f01f"
        "000501013f5eb1e1e60000000049454e44ae426082"
    )
).decode()
PAYLOADS = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "<svg onload='window.ran = 1'>",
    "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "[proof](javascript:window.ran=1)",
    "[proof]( JaVaScRiPt:window.ran=1 )",
    "[proof][1]\n\n[1]: javascript:window.ran=1",
    "<javascript:window.ran=1>",
    "![x](https://tracker.example/x.png)",
    "[x](evil.html)",
    "$\\href{javascript:window.ran=1}{x}$",
    "$\\text{<img src=x onerror=window.ran=1>}$",
    "$$\\unicode{x3c}script>$$",
    "```mermaid\ngraph TD; A-->B[<img src=x onerror=window.ran=1>]\n```",
    "<div id='derivation' style='position:fixed;inset:0'>",
    "&lt;script&gt;window.ran = 1&lt;/script&gt;",
    "# <b onmouseover=window.ran=1>title</b>",
]


def submission(tiny: Assignment, **sources: str) -> NotebookNode:
    made = blank(tiny.fill(KEY))
    for cell in made.cells:
        cell.source = sources.get(grade_id(cell), cell.source)
    return made


def result(notebook: NotebookNode) -> Result:
    points: dict[str, float | None] = {
        f"{q}_test": 1.0 for q in ("mix", "centred", "fold", "largest", "slope")
    }
    says = {"centred_test": "the answer is not right yet. <i>It is</i> the mean of each row."}
    return Result(
        Person("ada", "Ada <b>Lovelace</b>"), "ok", datetime(2026, 11, 1, 12, tzinfo=UTC), 1.5,
        points | {"why": None, "centred_test": 0.0}, says, ["a note <script>"], clean(notebook),
        {"mix": "well done"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tiny: Assignment) -> Result:
    notebook = submission(
        tiny, why="\n\n".join(PAYLOADS), mix=f"# {PAYLOADS[0]}\ndef mix(a, b):\n    return 0"
    )
    for cell in notebook.cells:
        if cell.id == "mix":
            cell.outputs = [
                nbformat.v4.new_output("stream", name="stdout", text=PAYLOADS[0] + "\x1b[31mred"),
                nbformat.v4.new_output("display_data", {"text/html": PAYLOADS[0], "image/png": PIXEL}),
                nbformat.v4.new_output("display_data", {"image/svg+xml": PAYLOADS[2]}),
                nbformat.v4.new_output("display_data", {"application/javascript": "window.ran = 1"}),
                nbformat.v4.new_output("display_data", {"image/png": "x' onerror='window.ran=1"}),
                nbformat.v4.new_output("error", ename="<b>", evalue=PAYLOADS[1], traceback=[PAYLOADS[1]]),
            ]
    return result(notebook)


def test_the_page_says_what_became_of_it(tiny: Assignment) -> None:
    text = page(tiny.name, result(submission(tiny, why="Since $\\bar{x}$ is linear.")), tiny.fill(KEY))
    shown = re.sub(r"<[^>]+>", " ", text)
    for words in (
        "4 of 8 points so far; 2 are still to be marked",
        "to be marked",
        "1.5 hours late",
        "mean of each row",
        "well done",
        "A person reads",
    ):
        assert words in shown, words
    assert "<math" in text and text.count("://") == text.count('xmlns="http')
    secret = tiny.variant(KEY)
    assert secret["hidden_word"] not in text and secret["answer_word"] not in text


def test_nothing_of_a_student_runs_or_is_fetched(
    tiny: Assignment, hostile: Result, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    text = page(tiny.name, hostile, tiny.fill(KEY))
    # without the page's own policy, so that the text alone is tried
    path.write_text(re.sub(r"<meta http-equiv.*?>", "", text), encoding="utf-8")
    context = browser.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened = context.new_page()
    opened.goto(path.as_uri())
    for link in opened.locator("a").all():
        href = link.get_attribute("href") or ""
        assert href.startswith("#"), href
    assert opened.evaluate("window.ran === undefined && document.scripts.length === 0")
    assert (
        opened.evaluate("document.querySelectorAll('[onerror], [onload], iframe, svg, [style]').length") == 0
    )
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert opened.locator("img").count() == 1  # the honest picture
    context.close()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_formgrader_shows_is_harmless(payload: str, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(f"<body>{rendered(plain_markdown(payload))}</body>", encoding="utf-8")
    context = browser.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened = context.new_page()
    opened.goto(path.as_uri())
    for link in opened.locator("a").all():
        link.click(timeout=2000, no_wait_after=True)
    assert opened.evaluate("window.ran === undefined")
    assert (
        opened.evaluate(
            "document.querySelectorAll('script, img, svg, iframe, [id], [style], [onerror]').length"
        )
        == 0
    )
    assert [url for url in asked if url != path.as_uri() and not url.startswith("file:")] == []
    context.close()


def test_honest_formulas_survive() -> None:
    text = (
        "$a<b$ and $x > y$, $$\\begin{aligned} a &= b \\\\ c &< d \\end{aligned}$$\n\n"
        "\\begin{align} p &= q \\end{align}\n\n`x<y` and $\\nonsense{$"
    )
    made = rendered(plain_markdown(text))
    assert made.count("<math") >= 4 and made.count("<mtable") == 2
    plain = re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]+>", "", made)))
    assert plain.startswith("a<bandx>y,a=bc<d") and "p=q" in plain and "x<y" in plain


def test_a_page_is_small_whatever_was_printed(tiny: Assignment) -> None:
    drawn = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 60_000).decode()
    notebook = submission(tiny, why="x" * 39_000, mix="y = '" + "<" * 39_000 + "'")
    for cell in notebook.cells:
        if cell.cell_type == "code" and role(cell) == "answer":
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="<&>" * 30_000)]
            cell.outputs.append(nbformat.v4.new_output("display_data", {"image/png": drawn}))
    made = page(tiny.name, result(notebook), tiny.fill(KEY))
    assert len(made.encode()) <= LARGEST and "mean of each row" in made and 'id="why"' in made


def test_pictures_are_png_or_nothing() -> None:
    assert is_picture(PIXEL)
    for other in (
        "PHN2Zz48L3N2Zz4=",
        PIXEL + "'",
        "data:image/png",
        7,
        None,
        base64.b64encode(b"GIF89a").decode(),
    ):
        assert not is_picture(other)


def test_cleaning_twice_is_cleaning_once(hostile: Result) -> None:
    assert hostile.notebook is not None
    once = nbformat.from_dict(hostile.notebook)
    assert clean(nbformat.from_dict(once)) == once


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_is_legible(
    tiny: Assignment, browser: Browser, width: int, scheme: str, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        page(tiny.name, result(submission(tiny, why="$$\\int_0^1 x\\,dx$$")), tiny.fill(KEY)),
        encoding="utf-8",
    )
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = context.new_page()
    opened.goto(path.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
    ink, paper = (
        opened.evaluate(f"getComputedStyle(document.body).{p}") for p in ("color", "backgroundColor")
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert abs(light[0] - light[1]) > 500
    assert (
        opened.evaluate("document.querySelector('math[display=block]').getBoundingClientRect().height") > 15
    )
    context.close()


def test_questions_are_called_by_their_headings(tiny: Assignment) -> None:
    master = tiny.fill(KEY)
    for cell in master.cells:
        if grade_id(cell) == "mix_text":
            cell.source = f"## 1. A mixture (2 points, by hand)\n\n{cell.source}"
    table = page(tiny.name, result(submission(tiny)), master).split("</table>")[0]
    assert re.findall(r"<a [^>]*>(.*?)</a>", table)[:2] == ["1. A mixture", "centred"]
