"""Every page in a real browser: two widths, two themes, from a file and a server, nothing from elsewhere."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from audit import AUDIT, CONTRAST, READY
from playwright.sync_api import Browser, BrowserContext, Page, Request
from playwright.sync_api import TimeoutError as BrowserTimeout
from the_book import QUIET, Built

WIDTHS = {"phone": 390, "desk": 1280}


def listen(context: BrowserContext, heard: list[str], allowed: str) -> None:
    """Write down errors, warnings and every request that does not begin with `allowed`."""

    def asked(url: str) -> None:
        if not url.startswith((allowed, "data:", "blob:", "about:")):
            heard.append(f"asked for {url}")

    context.on("request", lambda request: asked(request.url))

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # that is the next page being opened
            heard.append(f"not had: {request.url} ({request.failure})")

    context.on("requestfailed", failed)
    context.on("weberror", lambda error: heard.append(f"error: {error.error}"))
    context.on(
        "console",
        lambda line: heard.append(f"console: {line.text}") if line.type in ("error", "warning") else None,
    )


def opened(page: Page, address: str) -> None:
    page.goto(address)
    with contextlib.suppress(BrowserTimeout):  # the audit says what is missing
        page.wait_for_function(READY, timeout=20_000)


def set_theme(page: Page, theme: str) -> None:
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_well_at_this_width_in_both_themes(book: Built, browser: Browser, width: str) -> None:
    found: dict[str, list[str]] = {}
    context = browser.new_context(viewport={"width": WIDTHS[width], "height": 900})
    heard: list[str] = []
    listen(context, heard, "file:")
    page = context.new_page()
    for name in book.pages:
        heard.clear()
        opened(page, (book.html / name).as_uri())
        for theme in ("light", "dark"):
            set_theme(page, theme)
            problems = [
                f"{theme}: {problem}" for problem in [*page.evaluate(AUDIT), *page.evaluate(CONTRAST)]
            ]
            found.setdefault(name, []).extend(problems)
        found[name].extend(heard)
    context.close()
    assert len(found) >= 20
    every = [f"{name}: {problem}" for name, problems in found.items() for problem in problems]
    assert not every, "\n".join([f"{len(every)} problems", *every[:60]])


@pytest.fixture(scope="module")
def server(book: Built) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(book.html))
    ) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()


def test_every_page_from_a_server_asks_that_server_alone(book: Built, browser: Browser, server: str) -> None:
    context = browser.new_context()
    heard: list[str] = []
    listen(context, heard, server)
    context.on("response", lambda r: heard.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page = context.new_page()
    for name in book.pages:
        page.goto(f"{server}/{name}", wait_until="load")
    context.close()
    assert not heard, heard[:20]


def requests_of_pages(log: Path) -> list[str]:
    """The addresses that pages asked for, out of the log; the browser's own errands have no origin."""
    written = json.loads(log.read_text(errors="replace"))
    started = written["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event.get("params", {}) for event in written["events"] if event["type"] == started]
    return [a["url"] for a in asked if a.get("url") and a.get("initiator") != "not an origin"]


def test_network_log_of_the_browser_knows_no_foreign_request(
    book: Built, browser: Browser, program: str, tmp_path: Path
) -> None:
    """The browser's own log, below all that a page could hide; it is whole once the browser is closed."""
    logs = {}
    (tmp_path / "foreign.html").write_text('<img src="http://example.invalid/picture.png" alt="not there">')
    for name, pages in {
        "book": [f"{book.html.as_uri()}/{page}" for page in book.pages if not page.startswith("_modules/")],
        "control": [(tmp_path / "foreign.html").as_uri()],
    }.items():
        log = tmp_path / f"{name}.json"
        own = browser.browser_type.launch(executable_path=program, args=[*QUIET, f"--log-net-log={log}"])
        page = own.new_page()
        for address in pages:
            page.goto(address, wait_until="load")
        own.close()
        logs[name] = requests_of_pages(log)
    assert logs["control"] == ["http://example.invalid/picture.png"]  # the log does see what a page asks for
    assert logs["book"] == []


def test_theme_switch_changes_the_colours_of_page_and_figures(book: Built, browser: Browser) -> None:
    name = next(name for name in book.pages if name.startswith("notebooks/"))
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    opened(page, (book.html / name).as_uri())
    paint = """() => [getComputedStyle(document.body).backgroundColor,
      getComputedStyle([...document.querySelectorAll('.kexue-figure svg path')].find(
        p => (p.getAttribute('style') || '').includes('--kexue-blue'))).stroke]"""
    seen = set()
    for _ in range(3):  # the button goes round: by the system, light, dark
        seen.add(tuple(page.evaluate(paint)))
        page.locator("button.theme-switch-button:visible").first.click()
        page.wait_for_timeout(100)
    context.close()
    assert len({body for body, _ in seen}) == 2
    assert len({line for _, line in seen}) == 2
