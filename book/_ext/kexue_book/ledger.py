"""What the book knows about its chapters as a whole: the ledger of claims, the cards of the cover, the map.

All three are made at build time from the notebooks that the table of contents names; a chapter that is not
there is not spoken of. A page that uses one of these directives is read again whenever a notebook changes.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from kexue_lite.claims import Claim, Verdict, format_value, marked_up
from kexue_lite.plotting import themed

from .records import Chapter, all_records, chapters

VERDICTS: dict[Verdict, str] = {"confirmed": "✓", "conditional": "◐", "refuted": "✗"}


class overview(nodes.General, nodes.Element):
    """A place on a page where one of `_MAKERS` puts its HTML."""


class Overview(SphinxDirective):
    """The directives of `_MAKERS`; cards and map take lines "number: words"."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Leave a place, and depend on every notebook and on the table of contents."""
        for chapter in chapters(self.env):
            self.env.note_dependency(str(chapter.path))
        self.env.note_dependency(str(self.config.external_toc_path))
        words = dict(line.split(":", 1) for line in self.content if ":" in line)
        return [
            overview("", maker=self.name, words={key.strip(): value.strip() for key, value in words.items()})
        ]


class FillOverviews(SphinxPostTransform):
    """Put the HTML in: only now are the anchors of all pages known."""

    default_priority = 5

    def run(self, **options: Any) -> None:
        """Do it for one page."""
        for node in list(self.document.findall(overview)):
            made = _MAKERS[node["maker"]](self, list(chapters(self.env)), node["words"])
            node.replace_self(nodes.raw("", made, format="html"))

    def link(self, docname: str, anchor: str = "") -> str:
        """The address of a page or of a place in it, seen from the page being written."""
        builder = self.app.builder
        if docname == self.env.docname:
            return f"#{anchor}"
        return builder.get_relative_uri(self.env.docname, docname) + (f"#{anchor}" if anchor else "")


def _ledger(at: FillOverviews, found: list[Chapter], words: dict[str, str]) -> str:
    every = [claim for chapter in found for claim in chapter.claims]
    counts = Counter(claim.verdict for claim in every)
    buttons = "".join(
        f'<button type="button" data-verdict="{verdict}" aria-pressed="false" class="kexue-{verdict}">'
        f"{mark} {counts[verdict]} {verdict}</button>"
        for verdict, mark in VERDICTS.items()
    )
    head = (
        f'<div class="kexue-filter" role="group" aria-label="Show only one verdict">'
        f'<span class="kexue-total">{len(every)} claims</span>{buttons}</div>'
    )
    return head + "".join(_ledger_of(at, chapter) for chapter in found)


def _against(at: FillOverviews, found: list[Chapter], words: dict[str, str]) -> str:
    """The claims of others that were refuted or hold on a condition only."""
    parts = []
    for chapter in found:
        claims = [c for c in chapter.claims if c.verdict != "confirmed" and c.source != "ours"]
        if claims:
            link = f'<a href="{at.link(chapter.docname)}">Chapter {chapter.number}</a>'
            parts.append(f"<p><b>{link}</b></p>{_claims_table(at, chapter, claims)}")
    return "".join(parts)


def _ledger_of(at: FillOverviews, chapter: Chapter) -> str:
    counts = Counter(claim.verdict for claim in chapter.claims)
    summary = ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v])
    return (
        f'<section id="ledger-{chapter.number}"><h2><a href="{at.link(chapter.docname)}">{chapter.number}. '
        f'{html.escape(chapter.title)}</a></h2><p class="kexue-summary">{summary}</p>'
        f"{_claims_table(at, chapter, chapter.claims)}</section>"
    )


def _claims_table(at: FillOverviews, chapter: Chapter, claims: list[Claim]) -> str:
    rows = "".join(_row(at, chapter, claim) for claim in claims)
    return (
        '<div class="kexue-scroll"><table class="kexue-claims kexue-ledger">'
        "<thead><tr><th>verdict</th><th>claim</th><th>measured (bound)</th><th>whose</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(at: FillOverviews, chapter: Chapter, claim: Claim) -> str:
    esc = marked_up
    place = all_records(at.env)[chapter.docname].claim_sections[claim.name]
    finding = f"<br><small>{esc(claim.finding)}</small>" if claim.finding else ""
    measured = f"<b>{esc(format_value(claim.measured))}</b> ({esc(claim.bound_in_words)})"
    if claim.without is not None:
        measured += f" if {esc(claim.condition)}; <b>{esc(format_value(claim.without))}</b> otherwise"
    return (
        f'<tr class="kexue-{claim.verdict}" data-claim="{esc(claim.name)}">'
        f'<td><b class="kexue-verdict">{VERDICTS[claim.verdict]} {claim.verdict}</b></td>'
        f"<td>{esc(claim.statement)}{finding}<br>"
        f'<small><a href="{at.link(chapter.docname, place.anchor)}">{esc(place.section)}</a></small></td>'
        f"<td>{measured}</td><td>{esc(claim.source)}</td></tr>"
    )


def _cards(at: FillOverviews, found: list[Chapter], words: dict[str, str]) -> str:
    cards = []
    for chapter in found:
        counts = Counter(claim.verdict for claim in chapter.claims)
        tally = " · ".join(f"{mark} {counts[v]} {v}" for v, mark in VERDICTS.items() if counts[v])
        cards.append(
            f'<a class="kexue-card" href="{at.link(chapter.docname)}">{_first_picture(chapter)}'
            f'<span class="kexue-card-number">Chapter {chapter.number}</span>'
            f'<span class="kexue-card-title">{html.escape(chapter.title)}</span>'
            f'<span class="kexue-card-line">{html.escape(words.get(chapter.number, ""))}</span>'
            f'<span class="kexue-card-claims">{tally}</span></a>'
        )
    return f'<div class="kexue-cards">{"".join(cards)}</div>'


def _first_picture(chapter: Chapter) -> str:
    for cell in json.loads(chapter.path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/svg+xml" in data:
                return themed("".join(data["image/svg+xml"]), f"card-{chapter.number}")
            animation = "".join(data.get("text/html", ""))
            if 'class="kexue-animation"' in animation:  # its first frame, themed when it was made
                return animation[animation.index("<svg") : animation.index("</svg>") + len("</svg>")]
    return ""


def _map(at: FillOverviews, found: list[Chapter], words: dict[str, str]) -> str:
    """Chapters as rows, needs as arcs at their left; then the same in words."""
    row = {chapter.number: 26 + 48 * place for place, chapter in enumerate(found)}
    arcs, items = [], []
    for chapter in found:
        needs = [n for n in re.findall(r"\d+", words.get(chapter.number, "").split("|")[0]) if n in row]
        for need in needs:
            top, bottom = row[need], row[chapter.number]
            reach = 96 - 14 - min(60.0, (bottom - top) / 3)
            arcs.append(
                f'<path d="M 90 {bottom} C {reach} {bottom}, {reach} {top}, 86 {top}" '
                'marker-end="url(#map-arrow)"/>'
            )
        why = words.get(chapter.number, "").split("|")[-1].strip()
        items.append(f"<li><b>Chapter {chapter.number}</b> needs {html.escape(why)}</li>")
    rows = "".join(
        f'<a href="{at.link(chapter.docname)}"><circle cx="102" cy="{row[chapter.number]}" r="11"/>'
        f'<text x="102" y="{row[chapter.number] + 4}" class="kexue-map-number">{chapter.number}</text>'
        f"{_in_lines(chapter.title, row[chapter.number] + 5)}</a>"
        for chapter in found
    )
    alt = "Map of the chapters: " + "; ".join(re.sub("<.*?>", "", item) for item in items)
    return (
        f'<svg class="kexue-map" role="img" aria-label="{html.escape(alt)}" '
        f'viewBox="0 0 560 {48 * len(found) + 6}">'
        '<defs><marker id="map-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M 0 0 L 8 4 L 0 8 z"/></marker></defs>{"".join(arcs)}{rows}</svg>'
        f"<ul>{''.join(items)}</ul>"
    )


def _in_lines(title: str, y: int) -> str:
    """A title of the map, in two lines if it would not fit into one."""
    lines = textwrap.wrap(title, 52)
    first = y - 10 * (len(lines) - 1)
    return "".join(
        f'<text x="124" y="{first + 20 * n}">{html.escape(line)}</text>' for n, line in enumerate(lines)
    )


_Maker = Callable[[FillOverviews, list[Chapter], dict[str, str]], str]
_MAKERS: dict[str, _Maker] = {
    "claims-ledger": _ledger,
    "claims-against": _against,
    "chapter-cards": _cards,
    "chapter-map": _map,
}


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.add_node(overview)
    for name in _MAKERS:
        app.add_directive(name, Overview)
    app.add_post_transform(FillOverviews)
