"""Checkers for the exercises of chapter 5. Each takes the reader's answer and says what is probably wrong
with it."""

from __future__ import annotations

import math
from typing import Any

from . import Mistake, judge


def exercise_5_1(answer: Any) -> bool:
    """λ for a hundredth of the rate under SGD with momentum; within 1e-9.

    Examples
    --------
    >>> exercise_5_1(0.01)
    Exercise 5.1: not yet. That is Adam's λ: SGD's exponent is not 1.
    False
    """
    return judge(
        "5.1", answer, 0.1, tolerance=1e-9,
        mistakes=[
            Mistake(0.01, "That is Adam's λ: SGD's exponent is not 1."),
            Mistake(10.0, "The direction: that is by how much the stored weights grow."),
            Mistake(1e-4, "The law is λᵖ = ratio: solve it for λ."),
            Mistake(100.0, "That learns faster, and by Adam's law."),
        ],
        hint="Solve λᵖ = ratio, with the p of SGD; momentum is a sum of gradients.",
    )  # fmt: skip


def exercise_5_2(answer: Any) -> bool:
    """The exponent of an optimiser whose step is the cube of the gradient; exact.

    Examples
    --------
    >>> exercise_5_2(3)
    Exercise 5.2: not yet. That is the degree k; one λ more comes from the way back to θ.
    False
    """
    return judge(
        "5.2", answer, 4.0, tolerance=1e-6,
        mistakes=[
            Mistake(3.0, "That is the degree k; one λ more comes from the way back to θ."),
            Mistake(2.0, "That is SGD's: the cube takes the λ of the gradient three times."),
        ],
        hint="Count the factors λ: how many does the gradient bring, and how many the way from φ to θ?",
    )  # fmt: skip


def exercise_5_3(answer: Any) -> bool:
    """Factors of Adam's memory (mean, mean of squares, counter) when θ = 0.2 φ is put on; within 1e-9.

    Examples
    --------
    >>> exercise_5_3([5, 25, 1])
    Exercise 5.3: not yet. The direction: the gradient of φ is λ times that of θ.
    False
    """
    return judge(
        "5.3", answer, [0.2, 0.04, 1.0], tolerance=1e-9,
        mistakes=[
            Mistake([5.0, 25.0, 1.0], "The direction: the gradient of φ is λ times that of θ."),
            Mistake([0.2, 0.2, 1.0], "The second entry is a mean of squares."),
            Mistake([0.2, 0.04, 0.2], "A counter counts steps, in no unit."),
            Mistake([1.0, 1.0, 1.0], "Then gradients of two different units would be averaged."),
        ],
        hint="By (5.2) a gradient of φ is λ times one of θ. What becomes of its square, and of a count?",
    )  # fmt: skip


def exercise_5_4(answer: Any) -> bool:
    """The exponent of Adam's first step where |λg| = 3e-4 and ε = 1e-3; within 0.01.

    Examples
    --------
    >>> exercise_5_4(1.0)
    Exercise 5.4: not yet. That would be so with ε = 0; here ε is larger than the gradient.
    False
    """
    return judge(
        "5.4", answer, 1 + 1e-3 / (3e-4 + 1e-3), tolerance=0.01,
        mistakes=[
            Mistake(1.0, "That would be so with ε = 0; here ε is larger than the gradient."),
            Mistake(2.0, "That would be so if the gradient were far below ε."),
            Mistake(1e-3 / 1.3e-3, "That is the degree k: add the 1 of the way back."),
            Mistake(1 + 3e-4 / 1.3e-3, "Which of the two stands above? A larger ε makes Adam more like SGD."),
        ],
        hint="Take two λ near one another and the slope of log |Δθ| between them.",
    )  # fmt: skip


def exercise_5_5(answer: Any) -> bool:
    """The decay of the scaled layer (ratio 0.1, decay 0.01): AdamW's and Adam's; within 1e-9.

    Examples
    --------
    >>> exercise_5_5([0.01, 0.01])
    Exercise 5.5: not yet. Without a correction the layer decays ten times too fast (section 5.8).
    False
    """
    return judge(
        "5.5", answer, [1e-3, 1e-4], tolerance=1e-9,
        mistakes=[
            Mistake([1e-2, 1e-2], "Without a correction the layer decays ten times too fast (section 5.8)."),
            Mistake([1e-3, 1e-3], "Adam adds the decay to a gradient that is λ times as large, of a weight "
                    "that is 1/λ times as large."),
            Mistake([1e-4, 1e-3], "The other way round: which of the two passes through the gradient?"),
            Mistake([0.1, 1.0], "The direction: the scaled layer should decay less."),
        ],
        hint="Write one step of each for φ, and multiply by λ.",
    )  # fmt: skip


def exercise_5_6(answer: Any) -> bool:
    """The factor of clipping, limit 1, for lengths 3 (scaled with λ = 1/2) and 4; within 1e-4.

    Examples
    --------
    >>> exercise_5_6(0.2)
    Exercise 5.6: not yet. That is the factor before scaling.
    False
    """
    return judge(
        "5.6", answer, 1 / math.hypot(1.5, 4), tolerance=1e-4,
        mistakes=[
            Mistake(0.2, "That is the factor before scaling."),
            Mistake(1 / math.hypot(6, 4), "The direction: the gradient of φ is λ times that of θ."),
            Mistake(1 / math.hypot(0.75, 4), "λ once, not twice: clipping sees the gradient, not the step."),
            Mistake(math.hypot(1.5, 4), "That is the norm; the factor is limit over norm."),
            Mistake(1 / 5.5, "Lengths of parts add up as squares do."),
        ],
        hint="Which length does the clipping see for the scaled layer?",
    )  # fmt: skip


def exercise_5_7(answer: Any) -> bool:
    """The first step at which RAdam with β₂ = 0.8 has the exponent 1; exact.

    Examples
    --------
    >>> exercise_5_7(...)
    Exercise 5.7: no answer yet. Replace the three dots.
    False
    """
    beta2 = 0.8
    longest = 2 / (1 - beta2) - 1
    length = [longest - 2 * t * beta2**t / (1 - beta2**t) for t in range(1, 100)]
    first = next(t for t, value in enumerate(length, 1) if value > 5)
    return judge(
        "5.7", answer, float(first), tolerance=1e-6,
        mistakes=[
            Mistake(6.0, "That is the step for the default β₂ = 0.999."),
            Mistake(first - 1.0, "That is the last step with the exponent 2."),
        ],
        hint="`measure_exponent` with steps=10 and betas=(0.9, 0.8); count steps from 1.",
    )  # fmt: skip


def exercise_5_8(answer: Any) -> bool:
    """The exponents of φ²g, |φ| sign(g) and g/h; exact.

    Examples
    --------
    >>> exercise_5_8([2, 1, 1])
    Exercise 5.8: not yet. Count the parameter too (m = 2, m = 1); and h has a degree.
    False
    """
    return judge(
        "5.8", answer, [0.0, 0.0, 0.0], tolerance=1e-6,
        mistakes=[
            Mistake([2.0, 1.0, 1.0], "Count the parameter too (m = 2, m = 1); and h has a degree."),
            Mistake([0.0, 0.0, 1.0], "By the chain rule twice, h takes λ²: what does g/h take?"),
            Mistake([0.0, 0.0, 2.0], "By the chain rule twice, h takes λ²: what does g/h take?"),
            Mistake([4.0, 2.0, 0.0], "The parameter is divided by λ: its degree counts negatively."),
        ],
        hint="p = 1 + k − m for each; a second derivative takes λ².",
    )  # fmt: skip
