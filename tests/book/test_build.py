"""The book builds from nothing without a warning, and a second build does nothing needless."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from kexue_book.footer import build_line
from the_book import ROOT, Built, build_into


def test_builds_without_warnings(book: Built) -> None:
    assert book.status == 0, book.output[-3000:]
    assert not re.search(r"WARNING|ERROR", book.output.replace("0 ERROR", "")), book.output[-3000:]


def test_every_page_of_the_contents_is_there_and_the_cover_is_the_index(book: Built) -> None:
    listed = re.findall(r"^\s*- file: (\S+)", (ROOT / "_toc.yml").read_text(), flags=re.MULTILINE)
    assert len(listed) >= 12
    assert {f"{name}.html" for name in listed} <= set(book.pages)
    cover = (book.html / "index.html").read_text()
    assert "kexue-card" in cover and "http-equiv" not in cover.lower().split("</head>")[0].replace("x-ua", "")


def test_second_build_changes_nothing(book: Built, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(book.folder, copy)  # stamps of time are kept
    again = build_into(copy)
    assert again.status == 0
    assert "0 added, 0 changed, 0 removed" in again.output
    assert "no targets are out of date" in again.output
    assert again.seconds < 15


def test_foot_of_every_page_names_version_commit_and_date(book: Built) -> None:
    # Another process may commit while the tests run; then the commit differs, but one must stand there.
    commit = r"commit [0-9a-f]{7,} of \d{4}-\d\d-\d\d( with later changes)?"
    expected = re.compile(rf"kexue_lite \d+\.\d+\.\d+ · ({commit}|unknown commit)")
    assert expected.fullmatch(build_line(ROOT))
    lines = set()
    for page in book.pages:
        found = re.search(r'<p class="kexue-build">(.*?)</p>', (book.html / page).read_text())
        assert found, page
        lines.add(found.group(1))
    assert len(lines) == 1 and expected.fullmatch(lines.pop())


def test_copy_without_git_says_unknown_commit(tmp_path: Path) -> None:
    assert build_line(tmp_path).endswith("unknown commit")
    assert build_line(ROOT / "book").endswith("unknown commit")  # a folder in a repository is not the book
