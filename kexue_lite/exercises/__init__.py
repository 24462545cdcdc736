"""The readers' answers, judged: what a checker says, and how it finds the likely mistake.

One module for each chapter holds its checkers (`extrema`, `embeddings`, ...). A checker compares what the
reader computed with what the package computes, and knows the numbers that the usual slips produce: it names
the slip, never the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that readers really give: its value, and the hint that helps."""

    value: ArrayLike
    hint: str


def judge(
    number: str,
    given: Any,
    target: ArrayLike,
    *,
    tolerance: float,
    mistakes: Sequence[Mistake] = (),
    hint: str = "Compare with the section that the exercise names, one step at a time.",
) -> bool:
    """Say whether an answer is right, and if not what is probably wrong; return whether it is.

    Parameters
    ----------
    number
        The exercise, such as ``"1.2"``.
    given
        The reader's answer: a number or an array. ``...`` (Ellipsis) means that there is none yet.
    target
        The right value, of any shape.
    tolerance
        Largest absolute difference that counts as right.
    mistakes
        Wrong values with their hints, tried in order with the same tolerance.
    hint
        What is said when none of them fits.

    Examples
    --------
    >>> judge("0.1", ..., 2.0, tolerance=1e-6)
    Exercise 0.1: no answer yet. Replace the three dots.
    False
    >>> judge("0.1", 4.0, 2.0, tolerance=1e-6, mistakes=[Mistake(4.0, "Did you forget the square root?")])
    Exercise 0.1: not yet. Did you forget the square root?
    False
    >>> judge("0.1", 2.0, 2.0, tolerance=1e-6)
    Exercise 0.1: right.
    True
    """
    if given is ...:
        return _say(number, "no answer yet. Replace the three dots.")
    wanted = np.asarray(target, dtype=float)
    try:
        got = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given, dtype=float)
    except (TypeError, ValueError):
        return _say(number, f"a number or an array of numbers is expected, got {type(given).__name__}.")
    if got.shape != wanted.shape:
        return _say(number, f"shape {wanted.shape} is expected, got {got.shape}.")
    if not np.isfinite(got).all():
        return _say(number, "the answer has NaN or infinity in it. Find the first step that produces it.")
    if np.abs(got - wanted).max(initial=0) <= tolerance:
        print(f"Exercise {number}: right.")
        return True
    for mistake in mistakes:
        wrong = np.asarray(mistake.value, dtype=float)
        if wrong.shape == got.shape and np.abs(got - wrong).max(initial=0) <= tolerance:
            return _say(number, f"not yet. {mistake.hint}")
    return _say(number, f"not yet. {hint}")


def _say(number: str, words: str) -> bool:
    print(f"Exercise {number}: {words}")
    return False
