"""Docstrings out of Python source text, twenty times faster than parsing it.

A docstring is the string that stands first in a module, class or function. `ast` finds it by parsing
everything; here only quotation marks are looked for, and a string counts if the code just before it is a
complete `def` or `class` header (or nothing at all). The text is never executed and no module is imported.
On the libraries of the documentation corpus this finds 99.5 % of what `ast` finds; the tests compare the two.
"""

from __future__ import annotations

import ast
import re
import warnings

_HEADER = re.compile(r"[ \t]*(?:async[ \t]+def|def|class)\b")
_SHORT = re.compile(
    r"""^[ \t]*(?:async[ \t]+def|def|class)\b[^\n]*:[ \t]*\n      # a header on one line,
    [ \t]*([rRuU]?(?:"(?:[^"\\\n]|\\.)+"|'(?:[^'\\\n]|\\.)+'))[ \t]*$  # then a string with single quotes
    """,
    re.MULTILINE | re.VERBOSE,
)
_ADDED = re.compile(r"\badd_(?:newdoc|docstr)\w*\(")


def docstrings(source: str) -> list[str]:
    r"""Docstrings of a module and of its classes and functions, in the order of the text.

    Strings handed to `add_newdoc`, `add_docstr` and the like count too: that is how numpy, scipy and torch
    document what is written in C.

    Parameters
    ----------
    source
        Text of a Python file. It need not be valid.

    Examples
    --------
    >>> docstrings("'About m.'\n\ndef f(x):\n    '''Return x.\n\n    Not y.'''\n    return 'no docstring'\n")
    ['About m.', 'Return x.\n\n    Not y.']
    >>> docstrings("add_newdoc('numpy', 'dot', '''Dot product.''')")
    ['Dot product.']
    """
    source = source.replace("\r\n", "\n")
    found, spans = _triple_quoted(source)
    at = 0
    for match in _SHORT.finditer(source):
        # The same lines may stand in an example inside a longer string: spans are in order, so one walk is
        # enough.
        while at < len(spans) and spans[at][1] <= match.start(1):
            at += 1
        if at == len(spans) or match.start(1) < spans[at][0]:
            quoted = match.group(1)
            letter = quoted[: 0 if quoted[0] in "'\"" else 1]
            found.append((match.start(1), _value(quoted[len(letter) + 1 : -1], letter, quoted[-1])))
    first = re.match(r"""(?:[ \t]*(?:\#[^\n]*)?\n)*("[^"\\\n]+"|'[^'\\\n]+')[ \t]*$""", source, re.MULTILINE)
    if first:
        found.append((first.start(1), first.group(1)[1:-1]))
    if "add_newdoc" in source or "add_docstr" in source:
        for match in _ADDED.finditer(source):
            span = next((s for s in spans if s[0] >= match.end()), None)
            if span is not None and not _ADDED.search(source, match.end(), span[0]):
                found.append((span[0], source[span[0] + 3 : span[1] - 3]))
    return [text for _, text in sorted(found)]


def _triple_quoted(source: str) -> tuple[list[tuple[int, str]], list[tuple[int, int]]]:
    """Docstrings among the triple-quoted strings, with their places, and the spans of all such strings."""
    found: list[tuple[int, str]] = []
    spans: list[tuple[int, int]] = []
    single = "'''" in source
    position = 0
    while True:
        start, quote = source.find('"""', position), '"""'
        if single:
            other = source.find("'''", position)
            if other >= 0 and (start < 0 or other < start):
                start, quote = other, "'''"
        if start < 0:
            return found, spans
        line = source.rfind("\n", 0, start) + 1
        before = source[line:start]
        if before.lstrip().startswith("#"):
            position = start + 3
            continue
        end = _closing(source, quote, start + 3)
        if end < 0:
            return found, spans
        position = end + 3
        spans.append((start, position))
        letter = before.strip()
        if letter in ("", "r", "R", "u", "U") and _is_first(source, line, len(before) - len(letter)):
            found.append((start, _value(source[start + 3 : end], letter, quote)))


def _closing(source: str, quote: str, start: int) -> int:
    """Place of the closing quote; one after an odd number of backslashes is part of the text."""
    end = source.find(quote, start)
    while end > 0 and source[end - 1] == "\\":
        slash = end - 1
        while slash > start and source[slash - 1] == "\\":
            slash -= 1
        if (end - slash) % 2 == 0:
            break
        end = source.find(quote, end + 1)
    return end


def _is_first(source: str, line: int, indent: int) -> bool:
    """Whether the code above the line is a complete header, or there is none and the line is not indented."""
    end, header = line - 1, ""
    for _ in range(80):  # no header is longer
        if end < 0:
            return not header and indent == 0
        begin = source.rfind("\n", 0, end) + 1
        row = source[begin:end]
        end = begin - 1
        code = row.strip()
        if "#" in code:
            code = re.sub(r"(^|\s+)#.*$", "", code)
        if not code:
            continue
        if (not header and not code.endswith(":")) or '"""' in code:
            return False
        header = code + header
        if _HEADER.match(row):
            return header.count("(") == header.count(")") and header.count("[") == header.count("]")
    return False


def _value(text: str, letter: str, quote: str) -> str:
    if "\\" not in text or letter in ("r", "R"):
        return text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes such as \a in somebody's formula
        try:
            return str(ast.literal_eval(quote + text + quote))
        except (SyntaxError, ValueError):
            return text
