"""Tables made at build time from the stored measurements, ``benchmarks/results/*.json``."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
