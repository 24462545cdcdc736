"""The book's own Sphinx extension: everything the built pages need beyond Jupyter Book, one idea a module.

===============  ====================================================================================
`offline`        mathematics from a local file, no script from elsewhere
`records`        what each page holds (figures, equations, sections, names), kept between builds
`figures`        stored figures put into the page, in the colours of the theme, with their captions
`links`          names of the package become links to its API page, and the way back; "(1.3)", "Figure 1.2"
`ledger`         the page of all claims; the chapters' cards on the cover; the map of chapters
`tables`         the data sets and the stored measurements as tables
`docstrings`     the package's docstrings made ready for the API pages
`search`         a search that finds Chinese without spaces, and works from a file
`footer`         version, commit and date at the foot of each page
===============  ====================================================================================
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from . import docstrings, figures, footer, ledger, links, offline, records, search, tables


def setup(app: Sphinx) -> dict[str, Any]:
    """Hand each module to Sphinx."""
    for module in (offline, records, figures, links, ledger, tables, docstrings, search, footer):
        module.setup(app)
    # What it made of the pages is stale once the extension has changed: its sources are the version.
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return {
        "version": "1",
        "env_version": zlib.crc32(sources),
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
