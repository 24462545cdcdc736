"""The package's docstrings are written to be read in a terminal; here they are made ready for a page."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx


def escape_bars(lines: list[str]) -> list[str]:
    """Escape the bars of |x|, which the markup would take for a substitution; code keeps its own.

    Examples
    --------
    >>> escape_bars(["|x| is not ``|x|``", ">>> a | b | c", "7", "", "|y| ≤ 1"])
    ['\\\\|x\\\\| is not ``|x|``', '>>> a | b | c', '7', '', '\\\\|y\\\\| ≤ 1']
    """
    result: list[str] = []
    in_code, margin = "", 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        ended = not line.strip() if in_code == "doctest" else line.strip() and indent <= margin
        if ended:
            in_code = ""
        if line.lstrip().startswith(">>>"):
            in_code = "doctest"
        if in_code:
            result.append(line)
        else:
            pieces = re.split(r"(`+[^`]*`+)", line)
            result.append("".join(p if p.startswith("`") else p.replace("|", r"\|") for p in pieces))
        if not in_code and line.rstrip().endswith("::"):
            in_code, margin = "block", indent
    return result


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = escape_bars(lines)


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon
