"""The book is built once from nothing, and a real browser opens it: both are shared by all tests here."""

from __future__ import annotations

import json
import sys

import pytest
from filelock import FileLock
from the_book import ROOT, Built, build_into, shared

sys.path.insert(0, str(ROOT / "book" / "_ext"))


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The book, built from nothing by the first worker that asks."""
    folder = shared(tmp_path_factory)
    record = folder / "book.json"
    with FileLock(folder / "book.lock", timeout=900):
        if record.exists():
            return Built(**json.loads(record.read_text()))
        built = build_into(folder / "book")
        record.write_text(json.dumps(built.__dict__))
    return built
