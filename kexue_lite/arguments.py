"""Checks of arguments that several rooms share: a bad number is refused with its name.

What only one room accepts (a truth table, a bag of words, a matrix of examples) that room checks itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int = 1) -> int:
    """The value as an int; raise unless it is a whole number of at least `least`.

    Examples
    --------
    >>> whole("width", 0)
    Traceback (most recent call last):
    ...
    ValueError: width must be a whole number of at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def real(name: str, value: Any, *, least: float = -math.inf, most: float = math.inf) -> float:
    """The value as a float; raise unless it is a finite number in [`least`, `most`].

    Examples
    --------
    >>> real("noise", -0.1, least=0)
    Traceback (most recent call last):
    ...
    ValueError: noise must be a finite number of at least 0, got -0.1
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    if not (math.isfinite(value) and least <= value <= most):
        allowed = f" of at least {least:g}" if most == math.inf else f" from {least:g} to {most:g}"
        raise ValueError(f"{name} must be a finite number{allowed}, got {value!r}")
    return float(value)
