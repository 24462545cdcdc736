"""Tables made at build time: the data sets of the package, the measurements in ``benchmarks/results``."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import kexue_lite.data.registry as registry
from kexue_lite.claims import format_value, marked_up

LONGEST = 4000  # characters: pictures and points that a chapter draws stay in their file


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table that scrolls inside itself; the cells are HTML already."""
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return (
        '<div class="kexue-scroll"><table class="kexue-table">'
        f"<thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table></div>"
    )


class DataRegistry(SphinxDirective):
    """``{data-registry}``: names, contents, terms, addresses and checksums of the data sets."""

    def run(self) -> list[nodes.Node]:
        """One row for each file."""
        self.env.note_dependency(str(registry.__file__))
        rows = [
            (
                f'<a href="{html.escape(entry.address)}"><code>{html.escape(name)}</code></a>',
                html.escape(entry.about),
                html.escape(entry.terms),
                f'<code class="kexue-hash">{entry.sha256}</code>',
            )
            for name, entry in registry.REGISTRY.items()
        ]
        made = table(("file", "what it is", "terms", "SHA-256"), rows)
        return [nodes.raw("", made, format="html")]


class BenchmarkTables(SphinxDirective):
    """``{benchmark-tables}``: one section of tables for each stored result, or a word if there is none."""

    def run(self) -> list[nodes.Node]:
        """Read all results, depend on each and on the folder."""
        folder = Path(self.env.srcdir) / "benchmarks" / "results"
        results = sorted(folder.glob("*.json")) if folder.is_dir() else []
        read = [path.name for path in results]
        self.env.kexue_results = (self.env.docname, read)  # type: ignore[attr-defined]
        for path in results:
            self.env.note_dependency(str(path))
        made = "".join(_result(path) for path in results) or "<p>No result is stored yet.</p>"
        links = "".join(
            f'<li><a href="#{nodes.make_id(path.stem)}">{marked_up(_title(path))}</a></li>'
            for path in results
        )
        return [nodes.raw("", f"<ul>{links}</ul>{made}" if results else made, format="html")]


def _outdated(app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """The page is to be read again if a result came or went; that one changed, Sphinx sees by itself."""
    docname, read = getattr(env, "kexue_results", ("", []))
    now = sorted(path.name for path in (Path(app.srcdir) / "benchmarks" / "results").glob("*.json"))
    return [docname] if docname in env.all_docs and now != read else []


def _result(path: Path) -> str:
    """A stored result: what is said in words, then each list of rows as a table, then the circumstances."""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    parts = [f'<section id="{nodes.make_id(path.stem)}"><h2>{marked_up(_title(path))}</h2>']
    parts += [
        f"<p>{marked_up(str(stored[key]))}</p>" for key in ("question", "text", "about") if key in stored
    ]
    circumstances = []
    for key, value in stored.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            names = list(dict.fromkeys(name for row in value for name in row))
            heads = [name.replace("_", " ") for name in names]
            parts.append(table(heads, [[_cell(row.get(name, "")) for name in names] for row in value]))
        elif key not in ("title", "question", "text", "about") and len(said := _cell(value)) <= LONGEST:
            circumstances.append(f"<b>{html.escape(key.replace('_', ' '))}</b>: {said}")
    parts.append(f'<p class="kexue-circumstances">{" · ".join(circumstances)}</p></section>')
    return "".join(parts)


def _title(path: Path) -> str:
    return str(json.loads(path.read_text(encoding="utf-8")).get("title") or path.stem.replace("_", " "))


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{html.escape(str(k))} {_cell(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, int | float | bool):
        return html.escape(format_value(value))
    return "" if value is None else html.escape(str(value))


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.add_directive("data-registry", DataRegistry)
    app.add_directive("benchmark-tables", BenchmarkTables)
    app.connect("env-get-outdated", _outdated)
