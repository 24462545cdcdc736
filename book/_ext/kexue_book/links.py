"""Links that the chapters do not have to write.

* `` `fermat_point` `` in a text becomes a link to the API entry of that name; the entry lists the sections
  that speak of it, or import it.
* `` {claim}`these words <catenary-free>` `` becomes a link to the claim of that name; there must be one.
* "(1.3)", "Figure 1.2" and "section 1.4" become links to the equation with that tag, the figure, the section.

Names and numbers are looked up when a page is written, so a page is also written anew when what one of its
links leads to has changed (`_changed_links`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole
from sphinx.util.nodes import make_refnode

from .figures import kexue_number
from .records import Mention, all_records, find_numbered, record_of, section_of

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*(\(\))?")
_TAG = re.compile(r"\\tag\{(\d+\.\d+[a-z]?)\}")
_SECTION = re.compile(r"(\d+\.\d+)\.? ")
_REFERENCE = re.compile(
    r"\((?P<equation>\d+\.\d+[a-z]?)\)"
    r"|[Ff]igure (?P<figure>\d+\.\d+)"
    r"|[Ss]ection (?P<section>\d+\.\d+)"
    r"|Chapter (?P<chapter>\d+), section (?P<part>\d+)(?![.\d])"
)
_NOT_IN = (
    nodes.literal,
    nodes.literal_block,
    nodes.reference,
    nodes.title,
    nodes.raw,
    nodes.math,
    nodes.math_block,
)


class pending_link(nodes.Inline, nodes.TextElement):
    """Text that becomes a link if its `key` is found: ``"name fermat_point"``, ``"equation 1.3"``, ..."""


class ClaimRole(ReferenceRole):
    """``{claim}`words <name>```."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Mark the words."""
        key = f"claim {self.target}"
        record_of(self.env, self.env.docname).used.add(key)
        return [pending_link("", self.title, key=key)], []


class MarkLinks(SphinxTransform):
    """Record what the page offers, and mark what in it may become a link."""

    default_priority = 420

    def apply(self, **options: Any) -> None:
        """Do both for one page."""
        self.record = record_of(self.env, self.env.docname)
        self.in_chapter = str(self.env.doc2path(self.env.docname)).endswith(".ipynb")
        self._record_numbers()
        if self.in_chapter:
            for name, node in _imports(self.document):
                self._mention(name, node)
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext()
            if _NAME.fullmatch(text) and not _inside(literal, (nodes.reference, nodes.title)):
                self._mention(text, literal)
                self._wrap(literal, f"name {text}", literal.deepcopy())
        for text_node in list(self.document.findall(nodes.Text)):
            if not _inside(text_node, (*_NOT_IN, kexue_number)):
                self._mark_numbers(text_node)

    def _record_numbers(self) -> None:
        if not self.in_chapter:
            return
        for section in self.document.findall(nodes.section):
            match = _SECTION.match(section.next_node(nodes.title).astext())
            if match:
                self.record.numbered.setdefault(f"section {match.group(1)}", section["ids"][0])
        for block in self.document.findall(nodes.math_block):
            tags = _TAG.findall(block.astext())
            if tags:  # Sphinx would wrap several lines in "split", where MathJax allows no tag
                block["nowrap"] = True
                text = rf"\[{block.astext().strip()}\]"
                block.clear()
                block.append(nodes.Text(text))
            for tag in tags:
                anchor = "equation-" + tag.replace(".", "-")
                if f"equation {tag}" not in self.record.numbered:
                    block["ids"].append(anchor)
                    self.record.numbered[f"equation {tag}"] = anchor

    def _mention(self, name: str, node: nodes.Node) -> None:
        section = section_of(node)
        if self.in_chapter and section is not None:
            title = section.next_node(nodes.title).astext()
            mention = Mention(name.removesuffix("()"), title, section["ids"][0])
            if mention not in self.record.mentions:
                self.record.mentions.append(mention)

    def _mark_numbers(self, node: nodes.Text) -> None:
        text, parts, end = node.astext(), [], 0
        for match in _REFERENCE.finditer(text):
            kind, number = match.lastgroup, match[match.lastgroup or 0]
            if kind == "part":
                kind, number = "section", f"{match['chapter']}.{number}"
            if kind == "equation" and not (self.in_chapter or self.env.docname.startswith("book/api")):
                continue
            key = f"{kind} {number}"
            self.record.used.add(key)
            parts += [nodes.Text(text[end : match.start()]), pending_link("", match.group(), key=key)]
            end = match.end()
        if parts:
            node.parent.replace(node, [*parts, nodes.Text(text[end:])])

    def _wrap(self, node: nodes.Element, key: str, inner: nodes.Node) -> None:
        self.record.used.add(key)
        node.replace_self(pending_link("", "", inner, key=key))


class ResolveLinks(SphinxPostTransform):
    """Turn marked text into links, or back into plain text, and add the ways back to the API entries."""

    default_priority = 8

    def run(self, **options: Any) -> None:
        """Do it for one page."""
        docname = self.env.docname
        for node in list(self.document.findall(pending_link)):
            target = resolve(self.env, node["key"])
            if target is None:
                if node["key"].startswith("claim "):
                    _log.warning("there is no %s in any chapter", node["key"], location=docname)
                node.replace_self(node.children)
            else:
                page, anchor = target
                link = make_refnode(self.app.builder, docname, page, anchor, list(node.children), node["key"])
                link["classes"].append("kexue-link")
                del link["reftitle"]
                node.replace_self(link)
        for entry in list(self.document.findall(addnodes.desc)):
            if entry.get("domain") == "py":
                self._add_way_back(entry)

    def _add_way_back(self, entry: addnodes.desc) -> None:
        signature = entry.next_node(addnodes.desc_signature)
        if signature is None or not signature["ids"]:
            return
        sections = ways_back(self.env).get(signature["ids"][0])
        if not sections:
            return
        line = nodes.paragraph("", "In the book: ", classes=["kexue-way-back"])
        for number, (page, mention) in enumerate(sections):
            line += nodes.Text(", " if number else "")
            line += make_refnode(
                self.app.builder, self.env.docname, page, mention.anchor, nodes.Text(mention.section)
            )
        (content,) = (child for child in entry.children if isinstance(child, addnodes.desc_content))
        below = [
            i for i, child in enumerate(content.children) if isinstance(child, addnodes.desc | addnodes.index)
        ]
        content.insert(below[0] if below else len(content.children), line)


def resolve(env: BuildEnvironment, key: str) -> tuple[str, str] | None:
    """Page and anchor that a key leads to, if any."""
    kind, _, rest = key.partition(" ")
    if kind != "name":
        return find_numbered(env, key)
    full = full_name(env, rest)
    return None if full is None else (_objects(env)[full].docname, _objects(env)[full].node_id)


def full_name(env: BuildEnvironment, name: str) -> str | None:
    """The documented object that a short name means, if just one; modules only by their full name."""
    objects = _objects(env)
    name = name.removesuffix("()")
    if name in objects:
        return name
    depth = name.count(".")
    found = [
        full
        for full, entry in objects.items()
        if full.endswith("." + name)
        and not entry.aliased  # a class is listed a second time under the file in which it stands
        and entry.objtype != "module"
        and (depth or entry.objtype in ("function", "class", "exception", "data"))
    ]
    rooms = [
        full for full in found if ".exercises." not in full
    ]  # a checker may bear the name of what it checks
    return rooms[0] if len(rooms) == 1 else None


def ways_back(env: BuildEnvironment) -> dict[str, list[tuple[str, Mention]]]:
    """For each documented object the sections of the chapters that speak of it, in the book's order."""
    found: dict[str, list[tuple[str, Mention]]] = {}
    for docname in sorted(all_records(env)):
        seen = set()
        for mention in all_records(env)[docname].mentions:
            full = full_name(env, mention.name)
            if full is not None and (full, mention.anchor) not in seen:
                seen.add((full, mention.anchor))
                found.setdefault(full, []).append((docname, mention))
    return found


def _objects(env: BuildEnvironment) -> Any:
    return env.domains["py"].objects


def _imports(document: nodes.document) -> Iterator[tuple[str, nodes.Node]]:
    """Names that the code cells import from the package, each with the cell."""
    for block in document.findall(nodes.literal_block):
        for line in re.findall(r"^from kexue_lite[^\n(]*(?:\([^)]*\))?", block.astext(), flags=re.MULTILINE):
            try:
                statement = ast.parse(line).body[0]
            except SyntaxError:
                continue
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    yield f"{statement.module}.{alias.name}", block


def _inside(node: nodes.Node, kinds: tuple[type[nodes.Node], ...]) -> bool:
    parent = node.parent
    while parent is not None:
        if isinstance(parent, (*kinds, pending_link)):
            return True
        parent = parent.parent
    return False


def _changed_links(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Pages whose links lead elsewhere than when they were last written."""
    back: dict[str, list[tuple[str, str, str]]] = {}
    for full, sections in ways_back(env).items():
        entry = _objects(env)[full]
        back.setdefault(entry.docname, []).extend((full, doc, repr(mention)) for doc, mention in sections)
    now = {
        docname: (
            sorted((key, str(resolve(env, key))) for key in all_records(env)[docname].used),
            sorted(back.get(docname, [])),
        )
        for docname in all_records(env)
    }
    before = getattr(env, "kexue_links", {})
    env.kexue_links = now  # type: ignore[attr-defined]
    return [docname for docname, links in now.items() if before.get(docname, links) != links]


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.add_node(pending_link)
    app.add_role("claim", ClaimRole())
    app.add_transform(MarkLinks)
    app.add_post_transform(ResolveLinks)
    app.connect("env-updated", _changed_links)
