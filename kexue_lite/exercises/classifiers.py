"""Checkers for the exercises of chapter 2. Each takes the reader's answer and says what is probably wrong
with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import Mistake, judge


def exercise_2_1(answer: Any) -> bool:
    """The gradient of the logistic loss (w₁, w₂, b) on three examples; within 1e-4.

    Examples
    --------
    >>> exercise_2_1([1.2384058, 0.8807971, 0.1192029])
    Exercise 2.1: not yet. The sign: the gradient is prediction minus truth, and points uphill.
    False
    """
    Phi = np.array([(1.0, 2.0, 1.0), (-1.0, 0.0, 1.0), (2.0, -1.0, 1.0)])
    y = np.array([1, -1, 1])
    s = Phi @ (0.5, -0.5, 0.5)  # w = (0.5, −0.5), b = 0.5
    p, t = 1 / (1 + np.exp(-s)), (y + 1) / 2
    right = Phi.T @ (p - t)
    return judge(
        "2.1", answer, right, tolerance=1e-4,
        mistakes=[
            Mistake(-right, "The sign: the gradient is prediction minus truth, and points uphill."),
            Mistake(right / 3, "That is the mean over the examples; here the losses are summed."),
            Mistake(Phi.T @ (p - y), "In p − t the truth t is 0 or 1; −1 and +1 are for the margin."),
            Mistake(Phi.T @ (s - t), "The score is not yet a prediction: put it through the sigmoid."),
        ],
        hint="Three scores, three probabilities, three differences p − t; then weigh the rows by them. "
        "The third entry, for b, has 1 as its feature.",
    )  # fmt: skip


def exercise_2_2(answer: Any) -> bool:
    """The width of the widest street between (0, 0), (2, 2) and (3, 0), (5, 4); within 1e-4.

    Examples
    --------
    >>> exercise_2_2(0.8944272)
    Exercise 2.2: not yet. That is half of it: from the middle to one kerb.
    False
    """
    width = 4 / math.sqrt(5)
    return judge(
        "2.2", answer, width, tolerance=1e-4,
        mistakes=[
            Mistake(width / 2, "That is half of it: from the middle to one kerb."),
            Mistake(math.sqrt(5), "That is the distance of the two nearest points; a kerb may touch two."),
            Mistake(3 / math.sqrt(2), "A point of the other class lies in that street. Which?"),
            Mistake(2 / width, "That is the length of w; the street is 2/|w| wide."),
        ],
        hint="Draw the segment between the two points of each class: the street fits between the segments.",
    )  # fmt: skip


def exercise_2_3(answer: Any) -> bool:
    """How many features the kernel (1 + x·z)⁴ has on 64 pixels.

    Examples
    --------
    >>> exercise_2_3(16777216)
    Exercise 2.3: not yet. That counts x₁x₂ and x₂x₁ as two; a monomial knows no order.
    False
    """
    return judge(
        "2.3", answer, math.comb(68, 4), tolerance=0,
        mistakes=[
            Mistake(64**4, "That counts x₁x₂ and x₂x₁ as two; a monomial knows no order."),
            Mistake(math.comb(64, 4), "That leaves out the powers such as x₁²x₂x₃, and all lower degrees."),
            Mistake(math.comb(67, 4), "Those are the monomials of degree exactly 4; lower ones count too."),
            Mistake(math.comb(68, 4) - 1, "The constant 1 is a feature, too."),
        ],
        hint="Monomials of degree ≤ d in D variables: try D = 2, d = 2 on section 2.7, then count.",
    )  # fmt: skip


def exercise_2_4(answer: Any) -> bool:
    """The nearest neighbour's accuracy on coin-toss labels with each row there three times; within 0.005.

    Examples
    --------
    >>> exercise_2_4(0.5)
    Exercise 2.4: not yet. That is the truth about such labels; here copies sit on both sides of the split.
    False
    """
    absent = 0.2**2
    return judge(
        "2.4", answer, 1 - absent / 2, tolerance=0.005,
        mistakes=[
            Mistake(0.5, "That is the truth about such labels; here copies sit on both sides of the split."),
            Mistake(0.9, "That would be right with two copies of each row; there are three."),
            Mistake(1 - absent, "Where no copy is among the seen, a guess is right half of the time."),
            Mistake(1 - 0.8**2 / 2, "A guess is blind if both other copies are held out: a fifth each."),
        ],
        hint="With what chance is at least one of the other two copies among the seen four fifths?",
    )  # fmt: skip


def exercise_2_5(answer: Any) -> bool:
    """The penalty at which the usual hinge has the plane of max(0, 2 − m) with λ = 1.

    Examples
    --------
    >>> exercise_2_5(4)
    Exercise 2.5: not yet. The penalty grows by that factor, but the loss grows, too.
    False
    """
    return judge(
        "2.5", answer, 2.0, tolerance=1e-3,
        mistakes=[
            Mistake(4.0, "The penalty grows by that factor, but the loss grows, too."),
            Mistake(0.5, "Upside down: write w = 2u and divide all by the factor of the loss."),
            Mistake(1.0, "Fit both at the same penalty and compare: the planes differ."),
        ],
        hint="Put w = 2u, b = 2c into the objective and compare with (2.3).",
    )  # fmt: skip


def exercise_2_6(answer: Any) -> bool:
    """How much longer w becomes for a tenfold smaller λ, in the limit, with examples at ±1/2; within 0.01.

    Examples
    --------
    >>> exercise_2_6(2.302585)
    Exercise 2.6: not yet. The nearest point is 1/2 away from the plane, not 1: w has to be longer.
    False
    """
    right = math.log(10) / 0.5
    return judge(
        "2.6", answer, right, tolerance=0.01,
        mistakes=[
            Mistake(math.log(10), "The nearest point is 1/2 away from the plane, not 1: w has to be longer."),
            Mistake(math.log(10) / 2, "Divide by the half-width instead of multiplying with it."),
            Mistake(2.0, "That is for λ smaller by a factor e; a tenfold is asked."),
            Mistake(2 / math.log(10), "Which logarithm? Ten times is a step of ln 10 in ln λ."),
        ],
        hint="At the minimum λw = σ(−w/2), which for large w is nearly exp(−w/2). Take logarithms; the limit "
        "is asked, and a measurement at any λ falls a little short of it.",
    )  # fmt: skip


def exercise_2_7(answer: Any) -> bool:
    """The true (w₁, w₂, b) for two Gaussian clouds with one covariance; within 1e-3.

    Examples
    --------
    >>> exercise_2_7([5 / 3, -4 / 3, -1])
    Exercise 2.7: not yet. Nearly: three quarters are positive, and that belongs to the odds.
    False
    """
    plus, minus, spread = np.array((2.0, 0.0)), np.array((0.0, 1.0)), np.array(((2.0, 1.0), (1.0, 2.0)))
    inverse = np.linalg.inv(spread)

    def of(precision: np.ndarray, prior: float) -> np.ndarray:
        return np.r_[
            precision @ (plus - minus), (minus @ precision @ minus - plus @ precision @ plus) / 2 + prior
        ]

    right = of(inverse, math.log(3))
    return judge(
        "2.7", answer, right, tolerance=1e-3,
        mistakes=[
            Mistake(of(inverse, 0), "Nearly: three quarters are positive, and that belongs to the odds."),
            Mistake(of(np.eye(2), math.log(3)), "The clouds are not round: the covariance is missing."),
            Mistake(of(spread, math.log(3)), "The covariance stands in the exponent as its inverse."),
            Mistake(of(inverse, math.log(0.75)), "Odds, not probability: 0.75 against 0.25."),
            Mistake(-right, "That is the score for the other class."),
        ],
        hint="Write the logarithm of P(+)·density₊ / (P(−)·density₋): the squares of x cancel. Or fit a "
        "million samples without a penalty and see where w goes.",
    )  # fmt: skip


def puzzle() -> tuple[np.ndarray, np.ndarray]:
    """The points and labels of exercise 2.8: ``(400, 2)`` and ``(400,)`` of −1 and +1.

    Examples
    --------
    >>> points, labels = puzzle()
    >>> points.shape, sorted(set(labels.tolist()))
    ((400, 2), [-1, 1])
    """
    rng = np.random.default_rng(28)
    radius, angle = rng.uniform(0.3, 3, 400), rng.uniform(0, 2 * math.pi, 400)
    labels = np.where(np.sin(angle - 2 * radius) > 0, 1, -1)
    return np.c_[radius * np.cos(angle), radius * np.sin(angle)], labels


def exercise_2_8(answer: Any) -> bool:
    """One feature, a number for each of the 400 points of `puzzle`, that one threshold cuts; 98 % right.

    Examples
    --------
    >>> points, _ = puzzle()
    >>> exercise_2_8(np.hypot(*points.T))  # doctest: +ELLIPSIS
    Exercise 2.8: not yet. The best threshold on your feature is right at ... % of the points. ...
    False
    """
    _, labels = puzzle()
    try:
        feature = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        feature = np.zeros(0)
    if answer is ... or feature.shape != labels.shape or not np.isfinite(feature).all():
        return judge("2.8", answer, np.full(len(labels), math.nan), tolerance=0)  # says what is missing
    if len(np.unique(feature)) <= 3:  # a sign, a class, in whatever units
        return judge(
            "2.8", 0.0, 1.0, tolerance=0,
            hint="These are answers, not a feature: give a formula of x₁ and x₂.",
        )  # fmt: skip
    share = best_threshold(feature, labels)
    return judge(
        "2.8", share, 1.0, tolerance=0.02,
        hint=f"The best threshold on your feature is right at {100 * share:.0f} % of the points. Draw them "
        "in two colours, and ask what stays the same when you walk along one colour from the inside out.",
    )  # fmt: skip


def best_threshold(feature: np.ndarray, labels: np.ndarray) -> float:
    """The largest share of labels that one threshold on the feature, in either direction, gets right.

    Examples
    --------
    >>> best_threshold(np.array([3.0, 1.0, 2.0, 4.0]), np.array([1, -1, -1, -1]))
    0.75
    """
    order = np.argsort(feature, kind="stable")
    ranked, value = labels[order], feature[order]
    # Positive above the k-th cut: the negatives below it and the positives above it are right.
    right = np.r_[0, np.cumsum(ranked < 0)] + np.r_[np.cumsum(ranked[::-1] > 0)[::-1], 0]
    cuts = np.r_[True, np.diff(value) > 0, True]  # equal values cannot be parted
    right = right[cuts]
    return float(max(right.max(), len(labels) - right.min()) / len(labels))
