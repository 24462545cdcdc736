"""Checkers for the exercises of chapter 7. Each takes the reader's answer and says what is probably wrong
with it."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

from kexue_lite.ddpm import Mixture, Schedule, removed_share, sampled_variance

from . import Mistake, judge


def exercise_7_1(answer: Any) -> bool:
    """ᾱ_T after 1000 steps that each put in one hundredth of noise (β_t² = 0.01); to 1e-5.

    Examples
    --------
    >>> exercise_7_1(0.99**1000)
    Exercise 7.1: not yet. That is ᾱ², the share of the variance; asked is ᾱ, by which the
    picture is multiplied.
    False
    """
    return judge(
        "7.1", answer, 0.99**500, tolerance=1e-5,
        mistakes=[
            Mistake(0.99**1000, "That is ᾱ², the share of the variance; asked is ᾱ, by which the picture is "
                                "multiplied."),
            Mistake(0.9**1000, "β² is 0.01, not 0.1: what is α² then?"),
            Mistake(math.sqrt(1 - 0.99**1000), "That is β̄, the noise; asked is what is left of the picture."),
        ],
        hint="α² + β² = 1 gives α; ᾱ is the product of all α.",
    )  # fmt: skip


def exercise_7_2(answer: Any) -> bool:
    """The noise ε in x_t = 1.3 if x_0 = 2 and ᾱ_t² = 0.36; to 1e-6.

    Examples
    --------
    >>> exercise_7_2((1.3 - 0.36 * 2) / 0.64)
    Exercise 7.2: not yet. Those are the squares: the picture is multiplied by ᾱ, the noise by β̄.
    False
    """
    return judge(
        "7.2", answer, 0.125, tolerance=1e-6,
        mistakes=[
            Mistake((1.3 - 0.36 * 2) / 0.64,
                    "Those are the squares: the picture is multiplied by ᾱ, the noise by β̄."),
            Mistake((1.3 - 1.2) / 0.64, "Divide by β̄, not by its square."),
            Mistake((1.3 - 1.2) / 0.4, "β̄ is not 1 − ᾱ: it is their squares that add up to 1."),
            Mistake((1.3 - 2) / 0.8, "The picture has become fainter, too: multiply x₀ by ᾱ."),
            Mistake(0.1, "That is β̄ε; asked is ε itself."),
        ],
        hint="Solve x_t = ᾱ x₀ + β̄ ε for ε, with ᾱ² + β̄² = 1.",
    )  # fmt: skip


def exercise_7_3(answer: Any) -> bool:
    """The share of the variance of ε₂ that x₂ does not show, for β₁² = 0.1 and β₂² = 0.2; to 1e-6.

    Examples
    --------
    >>> exercise_7_3(0.2 / 0.28)
    Exercise 7.3: not yet. That is what can be known, the part along ε; asked is the rest.
    False
    """
    steps = Schedule(torch.tensor([0.9, 0.8], dtype=torch.float64).sqrt(), most_signal=1)
    return judge(
        "7.3", answer, removed_share(steps, 2), tolerance=1e-6,
        mistakes=[
            Mistake(0.2 / 0.28, "That is what can be known, the part along ε; asked is the rest."),
            Mistake(math.sqrt(0.08 / 0.28), "That is the cosine; a share of the variance is its square."),
            Mistake(0.8 * 0.1, "Divide by β̄₂², for ε has unit variance."),
            Mistake(0.1 / 0.28, "ε̄₁ has been made fainter by step 2: where is α₂?"),
            Mistake(0.08 / 0.3, "β̄₂² is not β₁² + β₂²: the first noise shrinks in the second step."),
        ],
        hint="It is the square of the cosine in the rotation, α₂ β̄₁ / β̄₂; find β̄₂ from ᾱ₂ first.",
    )  # fmt: skip


def exercise_7_4(answer: Any) -> bool:
    """Variance that the posterior's σ returns for unit data at T = 50, last noise or not; to 1e-4.

    Examples
    --------
    >>> exercise_7_4(1.0)
    Exercise 7.4: not yet. That is what σ = β gives; the posterior's σ is smaller.
    False
    """
    schedule = Schedule.article(50)
    return judge(
        "7.4", answer, sampled_variance(schedule, sigma="posterior"), tolerance=1e-4,
        mistakes=[
            Mistake(1.0, "That is what σ = β gives; the posterior's σ is smaller."),
            Mistake(sampled_variance(Schedule.article(1000), sigma="posterior"), "That is T = 1000."),
            Mistake(schedule.signal, "That is σ = 0: all noise that was taken away is missing."),
            Mistake(math.sqrt(sampled_variance(schedule, sigma="posterior")),
                    "That is the deviation; asked is the variance."),
        ],
        hint="`sampled_variance` has an argument for σ and takes any schedule.",
    )  # fmt: skip


def exercise_7_5(answer: Any) -> bool:
    """The least T at which the paper's own β², from 1e-4 to 0.02 and *not* rescaled, leaves at most 1 %.

    Examples
    --------
    >>> exercise_7_5(1000)
    Exercise 7.5: not yet. That is enough, and more than is needed: try a smaller T.
    False
    """
    right = _least_steps(0.01)
    if isinstance(answer, int | float) and answer > right and answer != _least_steps(0.01**2):
        return judge("7.5", answer, right, tolerance=0,
                     hint="That is enough, and more than is needed: try a smaller T.")  # fmt: skip
    return judge(
        "7.5", answer, right, tolerance=0,
        mistakes=[
            Mistake(_least_steps(0.01**2), "That makes ᾱ at most 0.01; one per cent of the variance is ᾱ²."),
            Mistake(right - 1, "Just short: at this T slightly more than 1 % is left."),
        ],
        hint="That leaves more than 1 %. `most_signal=1` lets you build it all the same; see `.signal`.",
    )  # fmt: skip


def exercise_7_6(answer: Any) -> bool:
    """Ho's table β = 0.02, ten times the same: our α_10, our ᾱ_10, and the article's ε_θ for the paper's 1.

    Examples
    --------
    >>> exercise_7_6([0.98, 0.98**10, 0.02**0.5])
    Exercise 7.6: not yet. These are Ho's α and ᾱ; ours are their roots.
    False
    """
    alpha, bar, share = math.sqrt(0.98), 0.98**5, math.sqrt(0.02 / (1 - 0.98**10))
    ours = (alpha, bar)
    shares = (share, math.sqrt(0.02), share**2, 0.02, 1 / share)
    return judge(
        "7.6", answer, [alpha, bar, share], tolerance=1e-5,
        mistakes=[
            *(Mistake([0.98, 0.98**10, s], "These are Ho's α and ᾱ; ours are their roots.") for s in shares),
            Mistake([*ours, share**2], "The last is the square of what is asked."),
            Mistake([*ours, 1 / share], "The last is upside down: the article's ε_θ is the smaller one."),
            Mistake([*ours, math.sqrt(0.02)], "The last is β alone; it is to be divided by β̄."),
            Mistake([math.sqrt(1 - 0.02**2), (1 - 0.02**2) ** 5, share], "Ho's β is our β², not our β."),
        ],
        hint="Their β is our β², their α our α², their ᾱ our ᾱ²; the article's ε_θ is β/β̄ times the paper's.",
    )  # fmt: skip


def exercise_7_7(answer: Any) -> bool:
    """What σ = β leaves of noise on data that are one point, T = 100, last noise on: the variance; to 1e-7.

    Examples
    --------
    >>> exercise_7_7(0)
    Exercise 7.7: not yet. So it would be without noise at the last step.
    False
    """
    schedule = Schedule.article(100)
    first = float(schedule.beta[1] ** 2)
    return judge(
        "7.7", answer, first, tolerance=1e-7,
        mistakes=[
            Mistake(0.0, "So it would be without noise at the last step."),
            Mistake(math.sqrt(first), "That is the deviation; asked is the variance."),
            Mistake(float((schedule.beta[1:] ** 2).sum()),
                    "Noise that was added early is taken away again, all but the last."),
            Mistake(float(schedule.beta[100] ** 2), "t = 1 is the last step of building up, not the first."),
            Mistake(2e-5, "That is T = 1000."),
        ],
        hint="If the data are one point, the exact model at t = 1 takes away all that is not the point.",
    )  # fmt: skip


def exercise_7_8(answer: Any) -> bool:
    """The best noise at x = 0.5 for data that are −1 or 1 with equal chance, where ᾱ² = 1/2; to 1e-4.

    Examples
    --------
    >>> exercise_7_8(0.5 / 2**0.5)
    Exercise 7.8: not yet. That is the straight line of one cloud with the same variance.
    False
    """
    bar = math.sqrt(0.5)
    steps = Schedule(torch.tensor([0.5, 0.5], dtype=torch.float64).sqrt(), most_signal=1)
    two = Mixture(torch.tensor([[-1.0], [1.0]], dtype=torch.float64), 0.0)
    right = float(two.noise_model(steps)(torch.full((1, 1), 0.5, dtype=torch.float64), torch.tensor([1])))
    return judge(
        "7.8", answer, right, tolerance=1e-4,
        mistakes=[
            Mistake(0.5 * bar, "That is the straight line of one cloud with the same variance."),
            Mistake((0.5 - bar) / bar, "That is the noise if it were 1 for sure; it may be −1."),
            Mistake(math.tanh(bar), "That is the best guess of x₀; asked is that of the noise."),
            Mistake((0.5 - bar * math.tanh(0.5)) / bar,
                    "The points stand at ±ᾱ by now, and the clouds have the variance β̄²."),
        ],
        hint="How probable is 1, given x = 0.5? The mean of x₀ follows, and from it the mean of ε.",
    )  # fmt: skip


@functools.cache
def _least_steps(left: float) -> int:
    return next(T for T in range(2, 2000) if Schedule.linear(T, rescaled=False, most_signal=1).signal <= left)
