"""The page that a student gets back: answers, verdicts, points, comments. One file, no network, no script.

Formulas are MathML, which browsers draw themselves; of a student's text nothing becomes HTML.
"""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import latex2mathml.converter
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from .assignment import grade_id, graded, public, role

if TYPE_CHECKING:
    from .grade import Result

LARGEST = 300_000  # bytes of a page
LONGEST, ALL = 6_000, 100_000  # letters of a student's cell, and of all of them, that a page shows
FORMULA = 1_500  # letters of a formula
# The heading of a question, without its points.
_HEADING = re.compile(r"^##+ +(.*?)(?: *\([^()]*\bpoints?\b[^()]*\))?$", re.M)


def _formula(text: str, options: dict[str, Any]) -> str:
    if len(text) > FORMULA:
        return f"<code>{html.escape(text)}</code>"
    display = "block" if options.get("display_mode") else "inline"
    text = re.sub(r"\\(begin|end)\{aligned\}", r"\\\1{align*}", text)  # the converter's name for it
    try:
        made = str(latex2mathml.converter.convert(text, display=display))
    except Exception:
        made = "&"
    if re.search(r"&(?!#|\w+;)", made):  # what cannot be read is shown as it was typed
        return f"<code>{html.escape(text)}</code>"
    return made


def _environment(text: str) -> str:
    """A formula that stands alone, without dollars."""
    inner = re.sub(r"\\(begin|end)\{equation\*?\}", "", text)
    return _formula(inner, {"display_mode": True})


@cache
def _markdown() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    reader.validateLink = lambda url: bool(re.match(r"(https?://|mailto:|#)", url))  # type: ignore[method-assign]
    return reader.use(dollarmath_plugin, renderer=_formula, double_inline=True).use(
        amsmath_plugin, renderer=_environment
    )


def rendered(text: str) -> str:
    """Markdown with formulas as HTML; tags in it are shown, not obeyed.

    >>> rendered("<b>$x$</b>")[:12]
    '<p>&lt;b&gt;'
    """
    return str(_markdown().render(text))


def coloured(source: str) -> str:
    """Python with colours."""
    return str(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)))


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "pages")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(markdown=rendered, python=coloured)
    environment.globals["colours"] = HtmlFormatter().get_style_defs("pre")
    return environment.get_template("feedback.html.j2")


def page(name: str, result: Result, master: NotebookNode) -> str:
    """The page of one student."""
    locked = {grade_id(cell): cell for cell in master.cells}
    parts = [_part(cell, locked, result) for cell in (result.notebook.cells if result.notebook else [])]
    shown = [part for part in parts if part is not None]
    left, title = ALL, ""
    for part in shown:
        if part["kind"] == "given" and (heading := _HEADING.search(part["source"])):
            title = heading[1]
        if part["kind"] in ("test", "written"):
            part["title"], title = title or part["id"], ""
        if part["kind"] != "given":
            short = part["source"][: min(LONGEST, max(left, 0))]
            left -= len(short)
            part["source"] = short + ("" if len(short) == len(part["source"]) else "\n...")
    waiting = sum(part["most"] for part in shown if part.get("most") and part["points"] is None)
    most = sum(graded(master).values())
    text = _template().render(name=name, result=result, parts=shown, most=most, waiting=waiting)
    if len(text.encode()) > LARGEST:  # the student's own text is the only thing that can be as long
        for part in shown:
            part["source"], part["printed"], part["pictures"] = (
                part["source"][:2000],
                part["printed"][:1000],
                [],
            )
        text = _template().render(name=name, result=result, parts=shown, most=most, waiting=waiting)
    return (
        text
        if len(text.encode()) <= LARGEST
        else _template().render(name=name, result=result, parts=[], most=most, waiting=0)
    )


def _part(cell: NotebookNode, locked: dict[str, NotebookNode], result: Result) -> dict[str, Any] | None:
    """What the template needs of one cell."""
    it = grade_id(cell)
    kind = role(locked[it]) if it in locked else "free"
    if it in ("checks", "setup") or (kind == "given" and cell.cell_type == "code"):
        return None
    outputs = cell.get("outputs", [])
    if any("image/jpeg" in output.get("data", {}) for output in outputs):
        return None  # a photograph is for the marker; the student has it, and a page is short
    part = {
        "kind": kind,
        "id": it.removesuffix("_test"),
        "markdown": cell.cell_type == "markdown",
        "source": public(locked[it]) if kind == "given" else cell.source,
        "printed": "".join(o.get("text", "") for o in outputs if o.output_type == "stream"),
        "raised": "\n".join(o.get("evalue", "") for o in outputs if o.output_type == "error"),
        "pictures": [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})],
        "comment": result.comments.get(it, ""),
    }
    if kind in ("test", "written"):
        part |= {"points": result.points.get(it), "most": float(locked[it].metadata.nbgrader.points)}
        part["says"] = result.says.get(it, "")
    return part
