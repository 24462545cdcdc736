"""The book is built once from nothing, and a real browser opens it: both are shared by all tests here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from the_book import ROOT, Built, build_into

sys.path.insert(0, str(ROOT / "book" / "_ext"))


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The book, built from nothing by the first worker that asks."""
    shared = _shared(tmp_path_factory)
    record = shared / "book.json"
    with FileLock(shared / "book.lock", timeout=900):
        if record.exists():
            return Built(**json.loads(record.read_text()))
        built = build_into(shared / "book")
        record.write_text(json.dumps(built.__dict__))
    return built
