"""What each page holds, kept in Sphinx's environment from build to build.

A page is read once and written when it, or something it points to, has changed. So that a link can point from
any page to any other, each page leaves a record of its numbered things when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from kexue_lite import claims


@dataclass(frozen=True)
class Mention:
    """A name of the package that a section speaks of: the name as written, the section's title and anchor."""

    name: str
    section: str
    anchor: str


@dataclass
class Record:
    """One page: `numbered` maps keys such as ``"figure 1.2"`` to anchors, `used` are those it refers to."""

    numbered: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    mentions: list[Mention] = field(default_factory=list)
    claim_sections: dict[str, Mention] = field(default_factory=dict)


def record_of(env: BuildEnvironment, docname: str) -> Record:
    """The record of a page, made empty if it has none yet."""
    return all_records(env).setdefault(docname, Record())


def all_records(env: BuildEnvironment) -> dict[str, Record]:
    """The records of all pages, by page."""
    if not hasattr(env, "kexue_records"):
        env.kexue_records = {}  # type: ignore[attr-defined]
    records: dict[str, Record] = env.kexue_records  # type: ignore[attr-defined]
    return records


def find_numbered(env: BuildEnvironment, key: str) -> tuple[str, str] | None:
    """Page and anchor of ``"figure 1.2"``, ``"equation 1.3"`` or ``"section 1.4"``."""
    for docname in sorted(all_records(env)):
        anchor = all_records(env)[docname].numbered.get(key)
        if anchor is not None:
            return docname, anchor
    return None


@dataclass(frozen=True)
class Chapter:
    """A notebook of the table of contents."""

    docname: str
    path: Path
    title: str

    @property
    def number(self) -> str:
        """``"1"`` for ``notebooks/01_extrema``."""
        return str(int(Path(self.docname).name.split("_")[0]))

    @property
    def claims(self) -> list[claims.Claim]:
        """The claims in the stored outputs, one for each name: a later one replaces an earlier."""
        return list({claim.name: claim for claim in claims.from_notebook(self.path)}.values())


def chapters(env: BuildEnvironment) -> Iterator[Chapter]:
    """The chapters that are there, in order."""
    for docname in sorted(env.found_docs):
        path = Path(env.doc2path(docname))
        if path.suffix == ".ipynb" and path.name[:2].isdigit():
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            heads = [
                line[2:].strip()
                for cell in cells
                if cell["cell_type"] == "markdown"
                for line in "".join(cell["source"]).splitlines()
                if line.startswith("# ")
            ]
            yield Chapter(docname, path, heads[0].split(". ", 1)[-1] if heads else docname)


def section_of(node: nodes.Node) -> nodes.section | None:
    """The innermost section around a node."""
    parent = node.parent
    while parent is not None and not isinstance(parent, nodes.section):
        parent = parent.parent
    return parent


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    all_records(env).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: Any) -> None:
    for docname in docnames:
        if docname in all_records(other):
            all_records(env)[docname] = all_records(other)[docname]


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
