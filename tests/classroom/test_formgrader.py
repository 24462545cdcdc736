"""The marker's way in a real browser: list, submission, points, comment, the next one; no network."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from the_class import NAME, open_class

from classroom.assignment import Assignment
from classroom.course import Course
from classroom.demonstration import solved
from classroom.formgrader import command
from classroom.grade import grade
from classroom.handin import read_notebook

WHO = ["ada", "ben", "cho"]


def sheet() -> str:
    """A sheet of paper, in base64."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "ivory").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def course(tiny: Assignment, bubblewrap: str, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A class of three, graded but for the written answer."""
    made = open_class(tiny, tmp_path_factory.mktemp("formgrader") / "class")
    made.rubric(NAME).parent.mkdir()
    made.rubric(NAME).write_text("**Rubric**: two points for $\\bar{x}$.")
    (made.root / "roster.csv").write_text("id\n" + "\n".join(WHO))
    released = nbformat.read(made.place("release", NAME) / f"{NAME}.ipynb", as_version=4)
    work = solved(released, nbformat.read(made.master(NAME), as_version=4))
    for who in WHO:
        for cell in work.cells:
            if cell.id == "why":
                cell.source = (
                    f"{who}: <script>window.ran = 1</script> since $a<b$, $$\\int_0^1 x\\,dx = \\tfrac12.$$"
                    "\n\n![my sheet](attachment:sheet.png)"
                )
                cell.attachments = {"sheet.png": {"image/png": sheet()}}
        path = made.root / "in" / f"{who}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(work, path)
    grade(NAME, made, made.root / "in", workers=1)
    return made


@pytest.fixture(scope="module")
def site(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Formgrader, served as `make mark` serves it, with a home folder in which nothing may be written."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words, environment = command(course, port, browser=False)
    log = (course.root / "server.log").open("w")
    server = subprocess.Popen(
        [*words, "--IdentityProvider.token=tested"],
        env=environment | {"HOME": str(home)}, cwd=course.root, stdout=log, stderr=log,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/formgrader/api/status?token=tested", timeout=2)
            break
        assert server.poll() is None, (course.root / "server.log").read_text()[-2000:]
        time.sleep(0.2)
    yield address
    server.terminate()
    server.wait(30)
    assert list(home.rglob("*")) == []


@pytest.fixture
def opened(site: str, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    outside: list[str] = []
    errors: list[str] = []
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda request: outside.append(request.url) if not request.url.startswith((site, "data:")) else None,
    )
    page.goto(f"{site}/?token=tested")
    yield page
    shots = os.environ.get("KEXUE_SHOTS")
    if shots:
        page.screenshot(path=str(Path(shots) / "formgrader.png"), full_page=True)
    context.close()
    assert outside == [] and errors == []


def submission(url: str) -> str:
    """Which submission a page shows: what follows in the address changes with every box that is entered."""
    return url.partition("?")[0]


@contextlib.contextmanager
def saved(page: Page, what: str) -> Iterator[None]:
    """What is done inside sends this to the server, which takes it."""
    with page.expect_response(lambda r: f"/api/{what}/" in r.url and r.request.method == "PUT") as answer:
        yield
    assert answer.value.ok, answer.value.status


def marks(course: Course) -> list[tuple[float | None, int]]:
    """Points by hand and whether a person must look, for every written answer."""
    with sqlite3.connect(f"file:{course.root}/gradebook.db?mode=ro", uri=True) as book:
        return book.execute(
            "select manual_score, needs_manual_grade from grade join base_cell on base_cell.id = cell_id "
            "where base_cell.name = 'why' order by manual_score desc"
        ).fetchall()


def test_a_marker_marks_two_of_three(course: Course, site: str, opened: Page) -> None:
    assert "/formgrader/gradebook" in opened.url  # where `make mark` leads
    opened.goto(f"{site}/formgrader/gradebook/{NAME}/{NAME}")
    opened.locator("#main-table td.needs-manual-grade .glyphicon-ok").first.wait_for()
    assert opened.locator("#main-table td.needs-manual-grade .glyphicon-ok").count() == 3
    opened.get_by_role("link", name="Submission #1", exact=True).click()
    # A box answers once its view is there, which sets the hint of the box beside it; a page that still
    # scrolls can move a button away from under a click.
    ready = (
        "window.formgrader?.comments?.loaded "
        "&& document.querySelector('#why_extra_credit')?.placeholder && !$(':animated').length"
    )
    opened.wait_for_function(ready)
    assert opened.locator("math").count() >= 3 and opened.get_by_text("Rubric").count() == 1
    assert opened.evaluate("window.ran === undefined")
    sheets = opened.locator("img[src^='data:image/jpeg']")
    sizes = sheets.evaluate_all("all => all.map(one => [one.naturalWidth, one.naturalHeight])")
    assert sizes == [[40, 30]]
    rubric, photograph, answer = (
        opened.locator(where).bounding_box()
        for where in ("text=two points for", "img[src^='data:image/jpeg']", ".nbgrader_cell:has(#why)")
    )
    assert rubric and photograph and answer and rubric["y"] < photograph["y"] < answer["y"]
    text = opened.content()
    assert "zq_hidden" not in text
    with saved(opened, "grade"):
        opened.fill("#why", "1.5")
        opened.press("#why", "Tab")
    with saved(opened, "comment"):
        opened.fill("#why-comment", "Why is it linear?")
        opened.locator("#why-comment").blur()
    first = submission(opened.url)
    opened.get_by_role("link", name="Next").click()
    opened.wait_for_url(lambda url: "/submissions/" in url and submission(url) != first)
    opened.wait_for_function(ready)
    with saved(opened, "grade"):
        box = opened.locator(".nbgrader_cell", has=opened.locator("#why"))
        box.get_by_role("button", name="Full credit").click()
    second = submission(opened.url)
    opened.keyboard.press("Escape")
    opened.keyboard.press("Control+.")  # the shortcuts live, though MathJax is not there
    opened.wait_for_url(lambda url: "/submissions/" in url and submission(url) not in (first, second))
    assert marks(course) == [(2.0, 0), (1.5, 0), (None, 1)]
    grade(NAME, course, course.root / "in", workers=1)
    pages = [(course.root / "feedback" / who / NAME / f"{NAME}.html").read_text() for who in WHO]
    assert sum("Why is it linear?" in page for page in pages) == 1
    assert sum("9.5 of 10" in re.sub(r"<[^>]+>", "", page) for page in pages) == 1


def test_the_autograde_button_uses_the_walls(course: Course, site: str, opened: Page) -> None:
    folder = course.root / "autograded" / "cho"
    before = (folder / NAME / f"{NAME}.ipynb").read_text()
    shutil.rmtree(folder)
    done = opened.request.post(
        f"{site}/formgrader/api/submission/{NAME}/cho/autograde",
        headers={"Authorization": "token tested"}, timeout=120_000,
    )  # fmt: skip
    assert done.ok and done.json()["success"], done.text()
    again = nbformat.read(folder / NAME / f"{NAME}.ipynb", as_version=4)
    first = nbformat.reads(before, as_version=4)
    assert [c.source for c in again.cells] == [c.source for c in first.cells]
    assert [c.get("outputs") for c in again.cells] == [c.get("outputs") for c in first.cells]
    assert "zq_hidden" not in before and "zq_hidden" not in (folder / NAME / f"{NAME}.ipynb").read_text()


def test_in_the_lab_the_menu_leads_there(site: str, opened: Page) -> None:
    opened.goto(f"{site}/lab?token=tested")
    opened.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
    opened.locator(".lm-Menu-itemLabel", has_text=re.compile("^Formgrader$")).click()
    opened.frame_locator("iframe").get_by_role("link", name="Manual Grading").wait_for()


def test_a_sheet_pasted_in_the_lab_is_found(course: Course, site: str, opened: Page) -> None:
    answer = nbformat.v4.new_markdown_cell("Your answer here")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path = course.root / "pasted.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[answer], metadata=kernel), path)
    opened.goto(f"{site}/lab/tree/pasted.ipynb?token=tested")
    opened.get_by_text("| Idle").wait_for()
    opened.locator(".jp-RenderedMarkdown").dblclick()
    box = opened.locator(".jp-MarkdownCell.jp-mod-active .cm-content")
    box.click()
    opened.keyboard.press("ControlOrMeta+a")
    opened.keyboard.type("On paper: ")
    box.evaluate(
        """(box, data) => {
            const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
            const files = new DataTransfer();
            files.items.add(new File([bytes], "my sheet (1).png", {type: "image/png"}));
            box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: files, bubbles: true}));
        }""",
        sheet(),
    )
    opened.get_by_text("attachment:").wait_for()
    opened.keyboard.press("ControlOrMeta+s")
    until = time.monotonic() + 30
    while "attachment:" not in path.read_text() and time.monotonic() < until:
        time.sleep(0.1)
    found = read_notebook(path.read_bytes())
    assert found.cells[0].source == "On paper: (picture 1)" and found.metadata["pictures"] == [sheet()]
