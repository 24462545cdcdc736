"""What the variants of all assignments share: examples in which every slip can be told from the others.

`variant.py` of an assignment draws a small example, works out what is right and what each slip gives, and
draws again while two of these are alike: otherwise a wrong answer could pass, or be told the wrong thing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Example = tuple[
    dict[str, object], object, dict[str, object]
]  # what is given, what is right, slips and their values


def apart(values: Iterable[Any], least: float) -> bool:
    """Whether any two values differ, in shape or somewhere by more than ``least``.

    >>> apart([[1, 2], [1, 2.5], 3], least=0.1), apart([[1, 2], [1, 2.05]], least=0.1)
    (True, False)
    """
    arrays = [np.asarray(value, float) for value in values]
    return all(
        one.shape != other.shape or bool(np.abs(one - other).max() > least)
        for n, one in enumerate(arrays)
        for other in arrays[:n]
    )


def drawn(draw: Callable[[], dict[str, Any]], least: float) -> dict[str, Any]:
    """Draw until, within each group of names, all values are finite and apart.

    Names of one group have one beginning: ``a__right``, ``a__late``. Names without two underscores are free.

    >>> numbers = iter([1.0, 1.0, 1.0, 2.0])
    >>> drawn(lambda: {"a__right": next(numbers), "a__slip": next(numbers), "n": 3}, least=0.1)
    {'a__right': 1.0, 'a__slip': 2.0, 'n': 3}
    """
    while True:
        with np.errstate(all="ignore"):
            values = draw()
        groups: dict[str, list[Any]] = {}
        for name, value in values.items():
            if "__" in name:
                groups.setdefault(name.split("__")[0], []).append(value)
        if all(np.isfinite(np.asarray(v, float)).all() for group in groups.values() for v in group) and all(
            apart(group, least) for group in groups.values()
        ):
            return values


def clear(name: str, draw: Callable[[], Example], least: float = 0.01) -> dict[str, object]:
    """Draw an example until nothing right or wrong is like another; its parts as text, ``name_right``, ..."""
    while True:
        given, right, slips = draw()
        if apart([right, *slips.values()], least):
            return texts(name, given | {"right": right, "slips": slips})


def texts(name: str, values: dict[str, object]) -> dict[str, object]:
    """Values as text under names that begin alike."""
    return {f"{name}_{key}": text(value) for key, value in values.items()}


def text(value: object, indent: str = "    ") -> str:
    """A value as Python text that reads well inside a call."""
    value = plain(value)
    if not isinstance(value, dict):
        return textwrap.fill(repr(value), 104, subsequent_indent=indent, break_long_words=False)
    lines = []
    for key, part in value.items():
        short = f"{indent}    {key!r}: {part!r},"
        lines.append(short if len(short) <= 106 else f"{indent}    {key!r}:")
        if len(short) > 106:
            margin = indent + " " * 8
            lines.append(
                textwrap.fill(f"{part!r},", 104, initial_indent=margin, subsequent_indent=margin + " ")
            )
    return "\n".join(["{", *lines, indent + "}"])


def plain(value: object, digits: int = 9) -> Any:
    """Numbers, lists and dictionaries of Python; floats rounded, and no -0.0.

    >>> plain({"a": np.array([1 / 3, -0.0])}, digits=3)
    {'a': [0.333, 0.0]}
    """
    if isinstance(value, dict):
        return {key: plain(part, digits) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), digits)
    if isinstance(value, list | tuple):
        return [plain(part, digits) for part in value]
    return round(value, digits) + 0.0 if isinstance(value, float) else value


def rounded(values: object) -> Any:
    """A (nested) list of what an array holds, as floats, without -0.0."""
    return (np.round(np.asarray(values, float), 9) + 0.0).tolist()
