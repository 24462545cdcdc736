"""What moves: the search, the animations, the buttons of the ledger."""

from __future__ import annotations

import doctest
import importlib

import pytest
from kexue_book.search import BookSearch
from playwright.sync_api import Browser, Page
from the_book import Built


@pytest.fixture
def page(browser: Browser) -> Page:
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    yield page
    context.close()


def search(page: Page, book: Built, words: str) -> list[str]:
    page.goto(f"{(book.html / 'search.html').as_uri()}?q={words}")
    page.wait_for_function(
        "() => document.querySelector('.search-summary')?.innerText.trim()", timeout=15_000
    )
    return page.eval_on_selector_all(
        "ul.search li a", "links => links.map(link => link.getAttribute('href'))"
    )


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("词向量", "book/glossary.html"),
        ("变分", "book/glossary.html"),
        ("最速降线", "book/glossary.html"),
        ("catenary", "book/glossary.html"),
        ("increments", "book/notation.html"),  # the page says "increment"
        ("fermat_point", "book/api/extrema.html"),
        ("brachistochrone", "notebooks/01_extrema.html"),
    ],
)
def test_search_finds_a_word_from_a_file(book: Built, page: Page, words: str, wanted: str) -> None:
    assert wanted in {hit.split("#")[0] for hit in search(page, book, words)}


def test_hits_show_the_passage_that_was_found(book: Built, page: Page) -> None:
    for words in ("变分", "hanging chain"):
        search(page, book, words)
        passages = page.locator("ul.search li p.context")
        passages.first.wait_for()
        marked = page.locator("ul.search li p.context mark").all_inner_texts()
        assert words in {text.lower() for text in marked}


@pytest.mark.parametrize("words", ["量向词", "xylophone"])
def test_search_finds_nothing_that_is_not_there(book: Built, page: Page, words: str) -> None:
    assert search(page, book, words) == []


@pytest.mark.parametrize(
    "query", ["词向量 embedding", "变", "singular values (SVD)", "Δx 与 fermat_point", "a-b 1.5"]
)
def test_browser_splits_a_query_as_the_index_was_split(book: Built, page: Page, query: str) -> None:
    page.goto((book.html / "search.html").as_uri())
    pieces = page.evaluate("query => splitQuery(query)", query)
    indexed = BookSearch({}).split(query)
    assert set(pieces) <= set(indexed)
    # What the index has and the query leaves out are the single characters of longer Chinese runs.
    assert all(
        len(word) == 1 and any(word in piece for piece in pieces) for word in set(indexed) - set(pieces)
    )


def test_slider_and_button_of_every_animation_change_its_picture(book: Built, page: Page) -> None:
    moved = 0
    for name in [name for name in book.pages if name.startswith("notebooks/")]:
        page.goto((book.html / name).as_uri())
        for box in page.locator(".kexue-animation").all():
            slider, text = box.locator("input[type=range]"), box.locator("output")
            before, label = box.locator("svg").inner_html(), text.inner_text()
            slider.focus()
            page.keyboard.press("End")
            assert box.locator("svg").inner_html() != before
            assert text.inner_text() != label
            page.keyboard.press("Home")
            assert text.inner_text() == label
            box.locator("button").click()
            page.wait_for_function("box => +box.querySelector('input').value > 0", arg=box.element_handle())
            box.locator("button").click()
            moved += 1
    assert moved >= 1


def test_ledger_shows_one_verdict_when_asked(book: Built, page: Page) -> None:
    page.goto((book.html / "book" / "ledger.html").as_uri())
    rows = page.locator("tr[data-claim]")
    everything = rows.count()
    for verdict in ("confirmed", "conditional", "refuted"):
        button = page.locator(f".kexue-filter button[data-verdict={verdict}]")
        button.click()
        shown = [row for row in rows.all() if row.is_visible()]
        assert len(shown) == page.locator(f"tr.kexue-{verdict}[data-claim]").count()
        assert f" {len(shown)} " in button.inner_text()
        button.click()
        assert sum(row.is_visible() for row in rows.all()) == everything


@pytest.mark.parametrize("module", ["docstrings", "footer", "search"])
def test_examples_of_the_extension_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"kexue_book.{module}"))
    assert result.attempted and not result.failed
