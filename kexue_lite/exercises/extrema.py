"""Checkers for the exercises of chapter 1. Each takes the reader's answer and says what is probably wrong
with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq

from ..extrema import brachistochrone
from . import Mistake, judge


def exercise_1_1(answer: Any) -> bool:
    """Snell in water: where light from (0, 1) to (1, −1) crosses y = 0, with n = 1.33 below; within 1e-5.

    Examples
    --------
    >>> exercise_1_1(0.5)
    Exercise 1.1: not yet. That is the straight line: the slow half costs as much as the fast one there.
    False
    """

    def crossing(above: float, below: float) -> float:
        def slope(x: float) -> float:
            return above * x / math.hypot(x, 1) - below * (1 - x) / math.hypot(1 - x, 1)

        return float(brentq(slope, 0, 1, xtol=1e-14))

    return judge(
        "1.1", answer, crossing(1, 1.33), tolerance=1e-5,
        mistakes=[
            Mistake(0.5, "That is the straight line: the slow half costs as much as the fast one there."),
            Mistake(crossing(1.33, 1), "The medium is upside down: water is the slow one, and it is below."),
            Mistake(crossing(1, 1.5), "That is the glass of section 1.2; here n is 1.33."),
            Mistake(1 - crossing(1, 1.33), "Measured from the wrong end: x is counted from under the start."),
        ],
        hint="Minimise the time √(x² + 1) + n √((1 − x)² + 1) over x.",
    )  # fmt: skip


def exercise_1_2(answer: Any) -> bool:
    """The angle APB in degrees for the weights 2, 3 and 4; within 1e-3.

    Examples
    --------
    >>> exercise_1_2(75.5224878)
    Exercise 1.2: right.
    True
    """
    cosine = (16 - 4 - 9) / 12
    right = math.degrees(math.acos(cosine))
    return judge(
        "1.2", answer, right, tolerance=1e-3,
        mistakes=[
            Mistake(180 - right, "The sign of the cosine: that angle is in the triangle of forces."),
            Mistake(math.radians(right), "The angle is asked in degrees."),
            Mistake(120.0, "That is the angle for equal weights."),
        ],
        hint="Three pulls of 2, 3 and 4 that cancel form a triangle: use the law of section 1.2.",
    )  # fmt: skip


def exercise_1_3(answer: Any) -> bool:
    """y(1/2) for J = ∫ (y'²/2 + x y) dx with y(0) = y(1) = 0; within 1e-6.

    Examples
    --------
    >>> exercise_1_3(0.0625)
    Exercise 1.3: not yet. The sign: is it y'' = x or y'' = −x? Compute ∂F/∂y − d/dx ∂F/∂y' once more.
    False
    """
    return judge(
        "1.3", answer, -1 / 16, tolerance=1e-6,
        mistakes=[
            Mistake(1 / 16, "The sign: is it y'' = x or y'' = −x? Compute ∂F/∂y − d/dx ∂F/∂y' once more."),
            Mistake(-1 / 32, "A factor 2: the derivative of y'²/2 with respect to y' is y'."),
            Mistake(1 / 48, "That is x³/6 alone: use both end conditions."),
        ],
        hint="The equation is linear with a cubic solution; both ends fix its two constants.",
    )  # fmt: skip


def exercise_1_4(answer: Any) -> bool:
    """How many per cent longer the straight slope to (2, 1) takes than the cycloid; within 0.01.

    Examples
    --------
    >>> exercise_1_4(...)
    Exercise 1.4: no answer yet. Replace the three dots.
    False
    """
    line, best = math.sqrt(2 * 5), brachistochrone(2, 1).time
    return judge(
        "1.4", answer, 100 * (line / best - 1), tolerance=0.01,
        mistakes=[
            Mistake(line / best - 1, "The answer is asked in per cent."),
            Mistake(100 * (1 - best / line), "That compares with the slope: divide by the cycloid's time."),
            Mistake(100 * (math.sqrt(5) / best - 1), "On a slope the mean speed is half the last one."),
        ],
        hint="T√g of the slope is its length times √(2/drop); the cycloid's comes from `brachistochrone`.",
    )  # fmt: skip


def exercise_1_5(answer: Any) -> bool:
    """T√g to the lowest point of the cycloid r = 1, from rest at θ = 0.5, 1.5 and 2.5; within 1e-4.

    Examples
    --------
    >>> exercise_1_5([1.0, 2.0])
    Exercise 1.5: shape (3,) is expected, got (2,).
    False
    """
    starts = np.array([0.5, 1.5, 2.5])
    return judge(
        "1.5", answer, np.full(3, math.pi), tolerance=1e-4,
        mistakes=[
            Mistake(math.pi - starts, "That bead came from θ = 0 and is already moving."),
            Mistake(np.full(3, math.pi / math.sqrt(2)), "v² is 2g times the height fallen since the start."),
        ],
        hint="ds = 2 sin(θ/2) dθ, v = √(2(cos θ₀ − cos θ)); infinite at θ₀, but integrable.",
    )  # fmt: skip


def exercise_1_6(answer: Any) -> bool:
    """The distance of the half-plane between (0, 1) and (2, 1); within 1e-4.

    Examples
    --------
    >>> exercise_1_6(2.0)
    Exercise 1.6: not yet. That is the horizontal line; higher up, where y is large, the way is shorter.
    False
    """
    return judge(
        "1.6", answer, math.acosh(3), tolerance=1e-4,
        mistakes=[
            Mistake(2.0, "That is the horizontal line; higher up, where y is large, the way is shorter."),
            Mistake(math.acosh(1.5), "That is the distance of the pair in section 1.9."),
            Mistake(math.acosh(2), "The distance enters squared: cosh d = 1 + |difference|²/(2 y₁ y₂)."),
        ],
        hint="Minimise ∫ √(1 + y'²)/y dx with `minimize_path`.",
    )  # fmt: skip


def exercise_1_7(answer: Any) -> bool:
    """x of the right ring when the film y = cosh x, left ring at −1/2, stops being a minimum; within 1e-4.

    Examples
    --------
    >>> exercise_1_7(0.5)
    Exercise 1.7: not yet. That is the mirror image of the left ring: the film is a minimum well beyond it.
    False
    """
    left = -0.5

    # The tangents at two conjugate points meet on the axis (Lindelöf): x − coth x is the same at both.
    def miss(x: float) -> float:
        return (x - 1 / math.tanh(x)) - (left - 1 / math.tanh(left))

    right = float(brentq(miss, 1, 10, xtol=1e-14))
    symmetric = float(brentq(lambda v: v * math.tanh(v) - 1, 1, 2, xtol=1e-15))
    return judge(
        "1.7", answer, right, tolerance=1e-4,
        mistakes=[
            Mistake(0.5, "That is the mirror image of the left ring: the film is a minimum well beyond it."),
            Mistake(symmetric, "That is the symmetric pair of rings; here the left one stays at −1/2."),
            Mistake(right - left, "That is the distance of the rings; the right one's x is asked."),
            Mistake(math.pi - 0.5, "That would be the spring's half period; the film's Q is not constant."),
        ],
        hint="Let a field leave the left ring: `conjugate_points` with start = −0.5.",
    )  # fmt: skip


def exercise_1_8(answer: Any) -> bool:
    """In how many directions the action of a spring with ω = 2 falls, at rest for a duration of 10.

    Examples
    --------
    >>> exercise_1_8(3)
    Exercise 1.8: not yet. That is the spring with ω = 1; here half a period is π/ω.
    False
    """
    return judge(
        "1.8", answer, math.floor(10 * 2 / math.pi), tolerance=0,
        mistakes=[
            Mistake(math.floor(10 / math.pi), "That is the spring with ω = 1; here half a period is π/ω."),
            Mistake(math.floor(10 * 4 / math.pi), "The 4 in F is ω², not ω."),
            Mistake(math.floor(20 / math.pi) + 1, "A half period that is only begun does not count yet."),
        ],
        hint="There is one for each conjugate point strictly inside.",
    )  # fmt: skip
