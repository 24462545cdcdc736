"""What a student wrote, made harmless for the page on which a teacher marks it.

Nothing of a student's may become HTML, fetch anything, or run: a page of formgrader runs in the teacher's
session.
"""

from __future__ import annotations

import base64
import binascii
import re

import nbformat
from nbformat import NotebookNode

PICTURES = {"image/png": 120_000, "image/jpeg": 900_000}  # bytes of base64 of all figures, of all photographs
PRINTED = 60_000  # characters of everything printed
_COMMANDS = re.compile(
    r"\\(href|url|require|unicode|class|style|cssId|bbox|html\w*|data\w*|mmlToken|begingroup|let|def|gdef|edef|"
    r"newcommand|renewcommand|newenvironment|includegraphics)\b"
)


def plain_markdown(text: str) -> str:
    r"""Markdown without tags, pictures, and commands of MathJax that do more than set a formula.

    >>> plain_markdown("<script>alert(1)</script> a<b ![x](http://y)")
    '< script>alert(1)< /script> a< b !\\[x](http://y)'
    >>> plain_markdown(r"$\href{javascript:alert(1)}{x}$")
    '$\\mathrm{href}{javascript:alert(1)}{x}$'
    """
    text = re.sub(r"<(?=[A-Za-z/!?])", "< ", text)
    text = text.replace("![", "!\\[")
    text = (
        re.sub(r"(?i)\b(javascript|vbscript|data)\s*:", r"\1&#58;", text)
        if "](" in text or "]:" in text
        else text
    )
    return _COMMANDS.sub(r"\\mathrm{\1}", text)


def is_picture(data: object) -> bool:
    """Whether a text is the base64 of something that begins like a PNG or a JPEG.

    >>> is_picture("PHNjcmlwdD4=")
    False
    """
    if not isinstance(data, str) or len(data) > 400_000:
        return False
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    return raw.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


def clean(notebook: NotebookNode) -> NotebookNode:
    """Keep of an executed submission what a marker needs, within a size that a page can carry.

    Text, PNG and JPEG alone; no metadata but nbgrader's, no attachment, no raw cell.
    """
    notebook.metadata = nbformat.from_dict({"language_info": {"name": "python"}})
    left, printed = dict(PICTURES), PRINTED
    for cell in notebook.cells:
        mark = cell.metadata.get("nbgrader")
        known = isinstance(mark, dict) and re.fullmatch(r"[\w-]{1,100}", str(mark.get("grade_id", "")))
        cell.metadata = nbformat.from_dict({"nbgrader": mark} if known else {})
        cell.pop("attachments", None)
        if cell.cell_type == "raw":
            cell.cell_type = "markdown"
        if cell.cell_type == "markdown":
            if not (known and mark.get("locked")):
                cell.source = plain_markdown(cell.source)
            continue
        kept = []
        for output in cell.outputs:
            if output.output_type == "error":
                kept.append(output)
                continue
            text = output.get("text", output.get("data", {}).get("text/plain", ""))
            pictures = {kind: data for kind, data in output.get("data", {}).items() if kind in PICTURES}
            kind, picture = next(iter(pictures.items()), ("", ""))
            if is_picture(picture) and len(picture) <= left[kind]:
                left[kind] -= len(picture)
                kept.append(nbformat.v4.new_output("display_data", {kind: picture}))
            elif text:
                short = text[: max(printed, 0)]
                printed -= len(text)
                short += "" if len(short) == len(text) else "\n... (cut)\n"
                kept.append(nbformat.v4.new_output("stream", name="stdout", text=short))
        cell.outputs = kept
    return notebook
