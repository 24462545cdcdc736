"""Every link inside the book leads to a place that exists, and nothing is taken from elsewhere."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from the_book import ROOT, Built

from kexue_lite import (
    claims,
    classifiers,
    ddpm,
    embeddings,
    extrema,
    gradients,
    networks,
    ogan,
    vq_attention,
)

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ROOMS = (extrema, classifiers, networks, embeddings, gradients, ogan, ddpm, vq_attention)


@cache
def soup(path: Path) -> BeautifulSoup:
    text = path.read_text(encoding="utf-8")
    return BeautifulSoup(re.sub(r' (d|transform|style)="[^"]*"', "", text), "html.parser")  # no coordinates


def chapter_page(book: Built, notebook: Path) -> BeautifulSoup:
    return soup(book.html / "notebooks" / f"{notebook.stem}.html")


def test_every_internal_link_and_anchor_resolves(book: Built) -> None:
    ids = {page: {tag["id"] for tag in soup(book.html / page).find_all(id=True)} for page in book.pages}
    broken, checked = [], 0
    for page in book.pages:
        for tag in soup(book.html / page).find_all(["a", "link", "script", "img", "use"]):
            for address in (tag.get("href"), tag.get("src"), tag.get("xlink:href")):
                if not address or urlsplit(address).scheme in (
                    "http",
                    "https",
                    "mailto",
                    "data",
                    "javascript",
                ):
                    continue
                parts = urlsplit(address)
                checked += 1
                if not parts.path:
                    target, name = book.html / page, page
                else:
                    target = ((book.html / page).parent / unquote(parts.path)).resolve()
                    name = target.relative_to(book.html.resolve()).as_posix() if target.exists() else ""
                if not target.is_file():
                    broken.append(f"{page}: {address}")
                elif parts.fragment and name in ids and unquote(parts.fragment) not in ids[name]:
                    broken.append(f"{page}: {address} (no such anchor)")
    assert not broken, broken[:20]
    assert checked > 1000


def test_ids_are_unique_on_every_page(book: Built) -> None:
    for page in book.pages:
        found = [tag["id"] for tag in soup(book.html / page).find_all(id=True)]
        twice = {name for name in found if found.count(name) > 1}
        # The theme has its search box and its theme switch twice, for narrow and for wide screens.
        assert not {name for name in twice if not name.startswith(("pst-", "search"))}, (page, twice)


def test_no_page_or_style_sheet_names_a_foreign_resource(book: Built) -> None:
    foreign = []
    for page in book.pages:
        for tag in soup(book.html / page).find_all(True):
            if tag.name == "a":
                continue
            for name in ("src", "href", "srcset", "data", "poster", "xlink:href", "action"):
                value = str(tag.get(name, ""))
                if re.match(r"\s*(https?:)?//", value) and "rel" not in tag.attrs.get("typeof", ""):
                    foreign.append(f"{page}: <{tag.name} {name}={value}>")
    for sheet in book.html.rglob("*.css"):
        for value in re.findall(
            r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", sheet.read_text("utf-8")
        ):
            if re.match(r"(https?:)?//", "".join(value)):
                foreign.append(f"{sheet.name}: {value}")
    assert not foreign, foreign[:20]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_downloaded_from_its_page_as_it_is(book: Built, notebook: Path) -> None:
    page = book.html / "notebooks" / f"{notebook.stem}.html"
    links = [a["href"] for a in soup(page).find_all("a", href=True) if a["href"].endswith(".ipynb")]
    stored = {(page.parent / link).resolve() for link in links if "_sources" in link}
    assert len(stored) == 1
    assert stored.pop().read_bytes() == notebook.read_bytes()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_are_numbered_one_after_another_with_words_and_pictures(book: Built, notebook: Path) -> None:
    chapter = int(notebook.stem.split("_")[0])
    figures = chapter_page(book, notebook).select("figure.kexue-figure")
    assert [figure["id"] for figure in figures] == [f"figure-{chapter}-{k + 1}" for k in range(len(figures))]
    assert len(figures) >= 3
    for k, figure in enumerate(figures):
        caption = figure.find("figcaption")
        assert isinstance(caption, Tag)
        assert caption.get_text().strip().startswith(f"Figure {chapter}.{k + 1}.")
        assert len(caption.get_text().split()) > 6
        assert figure.find("svg"), figure["id"]
    cells = json.loads(notebook.read_text())["cells"]
    pictures = sum(
        "image/svg+xml" in output.get("data", {})
        or "kexue-animation" in "".join(output["data"].get("text/html", ""))
        for cell in cells
        for output in cell.get("outputs", [])
        if "data" in output
    )
    assert len(figures) == pictures


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_references_in_the_text_are_links(book: Built, notebook: Path) -> None:
    article = copy.copy(chapter_page(book, notebook)).select_one("article")
    assert article is not None
    numbered = {tag["id"] for tag in article.find_all(id=re.compile(r"^(figure|equation)-\d"))}
    for tag in article.select(".output, pre, figcaption > p > strong, .math, script, h1, h2, h3, a, code"):
        tag.extract()
    words = article.get_text()
    for kind, pattern in (("figure", r"Figure (\d+\.\d+)"), ("equation", r"\((\d+\.\d+)\)")):
        unlinked = {f"{kind}-{number.replace('.', '-')}" for number in re.findall(pattern, words)}
        assert not unlinked & numbered


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_ledger_is_complete_and_says_what_the_notebook_says(book: Built, notebook: Path) -> None:
    number = int(notebook.stem.split("_")[0])
    section = soup(book.html / "book" / "ledger.html").select_one(f"#ledger-{number}")
    assert section is not None
    rows = {row["data-claim"]: row for row in section.select("tr[data-claim]")}
    stored = {claim.name: claim for claim in claims.from_notebook(notebook)}
    assert rows.keys() == stored.keys() and stored
    for name, claim in stored.items():
        text = rows[name].get_text()
        for part in (
            claim.statement,
            claim.verdict,
            claim.bound,
            claim.source,
            claim.finding,
            claim.condition,
        ):
            assert re.sub(r"[`*]", "", part) in text.replace("*", ""), (name, part)
        link = rows[name].find("a")
        assert isinstance(link, Tag) and f"{notebook.stem}.html#claim-" in str(link["href"])
    total = soup(book.html / "book" / "ledger.html").select_one(".kexue-total")
    every = [
        claim.name for path in NOTEBOOKS for claim in {c.name: c for c in claims.from_notebook(path)}.values()
    ]
    assert total is not None and total.get_text() == f"{len(every)} claims"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapters_and_api_entries_link_to_each_other(book: Built, notebook: Path) -> None:
    article = chapter_page(book, notebook).select_one("article")
    assert article is not None
    public = {name for room in ROOMS for name in room.__all__}
    there = 0
    for code in article.find_all("code"):
        name = code.get_text().removesuffix("()")
        link = code.find_parent("a", class_="kexue-link")
        if link is None:
            heading = code.find_parent(
                ["h1", "h2", "h3", "a", "div"], class_=lambda c: c is None or "kexue" in c
            )
            plain = code.find_parent("p") and heading is None
            assert not (plain and (name in public or name.startswith("kexue_lite."))), f"`{name}` is no link"
            continue
        target, _, anchor = str(link["href"]).partition("#")
        entry = soup((book.html / "notebooks" / target).resolve()).find(id=anchor)
        assert entry is not None, link["href"]
        if anchor.startswith("module-"):
            continue
        there += 1
        section = code.find_parent("section")
        back = entry.find_parent("dl").find(class_="kexue-way-back")
        assert back is not None, f"{name} has no way back"
        assert f"{notebook.stem}.html#{section['id']}" in {
            a["href"].rsplit("/", 1)[-1] for a in back.find_all("a")
        }
    assert there >= 3


def test_cover_has_a_card_with_a_picture_for_each_chapter_that_is_there(book: Built) -> None:
    cards = soup(book.html / "index.html").select("a.kexue-card")
    assert [card["href"] for card in cards] == [f"notebooks/{path.stem}.html" for path in NOTEBOOKS]
    for card in cards:
        assert card.find("svg"), card["href"]
        line = card.select_one(".kexue-card-line")
        assert line is not None and len(line.get_text().split()) > 5


def test_no_stored_result_floods_the_page_of_benchmarks(book: Built) -> None:
    said = soup(book.html / "book" / "benchmarks.html").find_all("p", class_="kexue-circumstances")
    assert len(said) >= 10 and max(len(tag.get_text()) for tag in said) < 10_000


def test_no_page_shows_the_marks_of_a_table_in_the_place_of_one(book: Built) -> None:
    for page in book.pages:
        assert not soup(book.html / page).find(string=re.compile(r"\|-{3,}\|")), page
