"""Pictures that a student pasted into a text: a derivation on paper, photographed.

A picture is taken out of the text when a file is read, made small inside the walls, and stands above its
text on the marker's page. Nothing out here ever decodes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode

MOST = 8  # pictures of a submission
UNSEEN = "it cannot be shown; a PNG or JPEG of ordinary size can"
_LINKS = 200  # places in a text that are looked at
_LINK = re.compile(r"attachment:([^)>\"'\n]{1,300})|data:image/[a-z.+-]{1,20};base64,([A-Za-z0-9+/=]*)")
_BEFORE = re.compile(r"(?:!\[[^\]\n]*\]\(\s*<?|<img\b[^<>]*\bsrc\s*=\s*[\"']?)$")
_AROUND = 300  # letters before and behind the address that may belong to the picture


def take_pictures(source: str, attachments: object, taken: list[str]) -> str:
    """A text with "(picture 1)" where a picture stood; the pictures' base64 is added to ``taken``.

    Attachments (JupyterLab, VS Code) and addresses that hold the picture itself (Colab), in Markdown or as
    ``<img>``. Addresses elsewhere are left: nothing is fetched.

    >>> seen = []
    >>> take_pictures("See ![sheet](attachment:a.png).", {"a.png": {"image/png": "aGk="}}, seen), seen
    ('See (picture 1).', ['aGk='])
    """
    parts, done = [], 0
    for count, link in enumerate(_LINK.finditer(source)):
        if count == _LINKS:
            break
        before = _BEFORE.search(source[max(done, link.start() - _AROUND) : link.start()])
        if link.start() < done or not before:
            continue
        close = ">" if before[0].startswith("<img") else ")"
        end = source.find(close, link.end(), link.end() + _AROUND) + 1 or link.end()
        data = link[2] or _attached(attachments, link[1] or "")
        if data in taken or (data and len(taken) < MOST):
            if data not in taken:
                taken.append(data)
            said = f"(picture {taken.index(data) + 1})"
        else:
            said = f"(a picture beyond the first {MOST}: left out)" if data else "(a picture that is lost)"
        parts += [source[done : link.start() - len(before[0])], said]
        done = end
    return "".join([*parts, source[done:]])


def _attached(attachments: object, name: str) -> str:
    """The base64 of an attachment, its name as it is or as an address writes it; empty if none is there."""
    for key in (name.strip(), unquote(name.strip())):
        bundle = attachments.get(key) if isinstance(attachments, Mapping) else None
        for data in bundle.values() if isinstance(bundle, Mapping) else ():
            text = "".join(map(str, data)) if isinstance(data, list) else data
            if isinstance(text, str):
                return re.sub(r"\s+", "", text)
    return ""


def picture_cells(text: str, pictures: Sequence[str]) -> Iterator[NotebookNode]:
    """A cell for each picture that a text names, with its JPEG in base64; empty is what cannot be shown."""
    for number in dict.fromkeys(int(found) for found in re.findall(r"\(picture (\d{1,2})\)", text)):
        if not 0 < number <= len(pictures):
            continue
        data = pictures[number - 1]
        said = f"# picture {number} of the text below" + ("" if data else f": {UNSEEN}")
        cell = nbformat.v4.new_code_cell(said)
        if data:
            cell.outputs = [nbformat.v4.new_output("display_data", {"image/jpeg": data})]
        yield cell
