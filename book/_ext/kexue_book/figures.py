"""The stored figures of the chapters, in the page itself and in the colours of its theme.

A figure is two outputs of a cell: a picture (SVG, or an animation in HTML) and its caption in Markdown,
which begins "**Figure 1.2.**". The picture is put into the page with its colours as variables of the style
sheet, both are framed as one figure with an anchor, and the figure is recorded so that text can link to it.
Claims get anchors too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from kexue_lite.claims import MIME
from kexue_lite.plotting import themed

from .records import Mention, Record, record_of, section_of

_log = logging.getLogger(__name__)
_NUMBER = re.compile(r"Figure (\d+\.\d+)\.?")


class kexue_figure(nodes.General, nodes.Element):
    """Picture and caption."""


class kexue_caption(nodes.General, nodes.Element):
    """The caption of a figure."""


class kexue_number(nodes.strong):
    """The number at the head of a caption."""


class FrameFigures(SphinxTransform):
    """Turn each picture and the caption after it into a figure."""

    default_priority = 400  # after parsing, before Sphinx collects the image files

    def apply(self, **options: Any) -> None:
        """Go through the outputs of all cells."""
        record = record_of(self.env, self.env.docname)
        for output in list(self.document.findall(lambda n: _is(n, "cell_code_output"))):
            for child in list(output.children):
                if _is(child, "mime_bundle"):
                    self._frame(child, record)

    def _frame(self, bundle: nodes.Element, record: Record) -> None:
        picture = self._picture(bundle)
        if picture is None:
            return
        following = bundle.next_node(descend=False, siblings=True)
        match = _NUMBER.match(following.astext()) if _has_markdown(following) else None
        if match is None:
            _log.warning("a figure without a caption that begins '**Figure N.M.**'", location=bundle)
            return
        assert isinstance(following, nodes.Element)
        number = match.group(1)
        anchor = "figure-" + number.replace(".", "-")
        caption = kexue_caption("", *_markdown_of(following).children)
        for label in list(caption.findall(nodes.strong))[:1]:  # its own number is no link to itself
            label.replace_self(kexue_number("", "", *label.children))
        text = picture.replace("kexue-unique", anchor)
        figure = kexue_figure("", nodes.raw("", text, format="html"), caption, ids=[anchor])
        record.numbered[f"figure {number}"] = anchor
        following.parent.remove(following)
        bundle.replace_self(figure)

    def _picture(self, bundle: nodes.Element) -> str | None:
        for holder in bundle.children:
            assert isinstance(holder, nodes.Element)
            if holder["mime_type"] == "image/svg+xml":
                (image,) = holder.findall(nodes.image)
                svg = (Path(self.env.srcdir) / image["uri"].lstrip("/")).read_text(encoding="utf-8")
                return themed(svg, "kexue-unique")
            if holder["mime_type"] == "text/html" and 'class="kexue-animation"' in holder.astext():
                return holder.astext()
        return None


class AnchorClaims(SphinxTransform):
    """Give each claim shown in a chapter the anchor ``claim-<name>``, and record its section."""

    default_priority = 401

    def apply(self, **options: Any) -> None:
        """Match the claims of the page with those stored in the notebook, cell by cell."""
        path = Path(self.env.doc2path(self.env.docname))
        if path.suffix != ".ipynb":
            return
        record = record_of(self.env, self.env.docname)
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for holder in list(self.document.findall(lambda n: _is(n, "cell_code"))):
            outputs = cells[holder["cell_index"]].get("outputs", [])
            names = [o["data"][MIME]["name"] for o in outputs if MIME in o.get("data", {})]
            shown = [raw for raw in holder.findall(nodes.raw) if 'class="kexue-claim ' in raw.astext()]
            for name, raw in zip(names, shown, strict=True):
                anchor = f"claim-{nodes.make_id(name)}"
                text = re.sub("`([^`<>]+)`", r"<code>\1</code>", raw.astext())
                new = nodes.raw("", text.replace("<div ", f'<div id="{anchor}" ', 1), format="html")
                raw.replace_self(new)
                section = section_of(holder)
                title = section.next_node(nodes.title).astext() if section else ""
                record.numbered[f"claim {name}"] = anchor
                record.claim_sections[name] = Mention(name, title, anchor)


def _is(node: nodes.Node, element: str) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == element


def _has_markdown(node: nodes.Node | None) -> bool:
    return node is not None and _is(node, "mime_bundle") and _markdown_of(node) is not None


def _markdown_of(bundle: Any) -> Any:
    return next((h for h in bundle.children if h["mime_type"] == "text/markdown"), None)


def _visit_figure(self: Any, node: nodes.Element) -> None:
    self.body.append(self.starttag(node, "figure", CLASS="kexue-figure"))


def _depart_figure(self: Any, node: nodes.Element) -> None:
    self.body.append("</figure>\n")


def _visit_caption(self: Any, node: nodes.Element) -> None:
    self.body.append("<figcaption>\n")


def _depart_caption(self: Any, node: nodes.Element) -> None:
    self.body.append("</figcaption>\n")


def _visit_number(self: Any, node: nodes.Element) -> None:
    self.body.append('<strong class="kexue-number">')


def _depart_number(self: Any, node: nodes.Element) -> None:
    self.body.append("</strong>")


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.add_node(kexue_figure, html=(_visit_figure, _depart_figure))
    app.add_node(kexue_caption, html=(_visit_caption, _depart_caption))
    app.add_node(kexue_number, html=(_visit_number, _depart_number))
    app.add_transform(FrameFigures)
    app.add_transform(AnchorClaims)
