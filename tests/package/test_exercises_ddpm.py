"""The checkers of chapter 7: the right answer passes, a slip gets its own words, none gives the answer."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from kexue_lite.exercises import ddpm as exercises


def product():
    kept = 1.0
    for _ in range(1000):
        kept *= math.sqrt(1 - 0.01)
    return kept


def noise():
    return (1.3 - math.sqrt(0.36) * 2) / math.sqrt(1 - 0.36)


def unseen_share():
    """Covariance of ε₂ and ε by hand, in fractions: 1 − (β₂/β̄₂)²."""
    return float(1 - Fraction(2, 10) / (1 - Fraction(9, 10) * Fraction(8, 10)))


def posterior_variance():
    """The recursion of the variance, written out with Ho's letters."""
    betas = np.array([0.02 * t / 50 * 20 for t in range(1, 51)])
    alphas = 1 - betas
    bars = np.cumprod(alphas)
    v = 1.0
    for t in range(49, -1, -1):
        before = bars[t - 1] if t else 1.0
        v = alphas[t] * v + betas[t] * (1 - before) / (1 - bars[t])  # c = α for unit data
    return v


def least_steps():
    T = 2
    while np.prod(1 - np.linspace(1e-4, 0.02, T)) > 0.01:
        T += 1
    return T


def letters():
    bars = np.cumprod(np.full(10, 0.98))
    return [0.98**0.5, bars[9] ** 0.5, (0.02 / (1 - bars[9])) ** 0.5]


def last_noise():
    return 0.02 * (1 / 100) * (1000 / 100)


def two_points():
    """By weights: density of each cloud at 0.5, then the mean of (x − ᾱ x₀)/β̄."""
    bar = 0.5**0.5
    weights = [math.exp(-((0.5 - bar * s) ** 2)) for s in (-1, 1)]
    return sum(w * (0.5 - bar * s) / bar for w, s in zip(weights, (-1, 1), strict=True)) / sum(weights)


ANSWERS = {
    1: product, 2: noise, 3: unseen_share, 4: posterior_variance, 5: least_steps, 6: letters,
    7: last_noise, 8: two_points,
}  # fmt: skip


def checker(number):
    return getattr(exercises, f"exercise_7_{number}")


@pytest.mark.parametrize("number", ANSWERS)
def test_an_answer_computed_another_way_passes(number, capsys):
    assert checker(number)(ANSWERS[number]()) is True
    assert capsys.readouterr().out == f"Exercise 7.{number}: right.\n"


ROOT = 0.5**0.5
SHARE = (0.02 / (1 - 0.98**10)) ** 0.5
SLIPS = [
    (1, 0.99**1000, "share of the variance"), (1, 0.9**1000, "not 0.1"), (1, 0.99998, "the noise"),
    (1, 0.5, "product"),
    (2, 0.90625, "squares"), (2, 0.15625, "not by its square"), (2, 0.25, "add up to 1"),
    (2, -0.875, "fainter"), (2, 0.1, "β̄ε"), (2, 7, "Solve"),
    (3, 0.2 / 0.28, "can be known"), (3, (0.08 / 0.28) ** 0.5, "cosine"), (3, 0.08, "Divide"),
    (3, 0.1 / 0.28, "fainter"), (3, 0.08 / 0.3, "shrinks"), (3, 0.5, "square of the cosine"),
    (4, 1, "σ = β"), (4, 0.99116, "T = 1000"), (4, 6.5e-6, "missing"), (4, 0.92386, "deviation"),
    (4, 0.3, "argument"),
    (5, 1000, "smaller T"), (5, 100, "more than 1 %"),
    (6, [0.98, 0.98**10, SHARE], "their roots"), (6, [0.98, 0.98**10, 0.02], "their roots"),
    (6, [0.98**0.5, 0.98**5, SHARE**2], "square of what"), (6, [0.98**0.5, 0.98**5, 1 / SHARE], "upside"),
    (6, [0.98**0.5, 0.98**5, 0.02**0.5], "alone"), (6, [0.9998**0.5, 0.9996**5, 1], "Their β"),
    (7, 0, "without noise"), (7, 0.002**0.5, "deviation"), (7, 0.2, "not the first"), (7, 2e-5, "T = 1000"),
    (7, 10.1, "all but the last"), (7, 1, "one point"),
    (8, 0.5 * ROOT, "straight line"), (8, (0.5 - ROOT) / ROOT, "for sure"), (8, math.tanh(ROOT), "guess"),
    (8, (0.5 - ROOT * math.tanh(0.5)) / ROOT, "±ᾱ"), (8, 3, "How probable"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "answer", "words"), SLIPS)
def test_slips_are_named_and_the_answer_is_not_given(number, answer, words, capsys):
    assert checker(number)(answer) is False
    said = capsys.readouterr().out
    assert words in said
    right = np.atleast_1d(np.asarray(ANSWERS[number](), dtype=float))
    assert not any(f" {value:.4g}" in said.partition("not yet.")[2] for value in right)


def test_neighbours_of_the_least_number_of_steps(capsys):
    right = least_steps()
    for answer, words in ((right - 1, "Just short"), (right + 1, "more than is needed")):
        assert exercises.exercise_7_5(answer) is False
        assert words in capsys.readouterr().out
    roots = next(T for T in range(2, 2000) if np.prod(1 - np.linspace(1e-4, 0.02, T)) <= 1e-4)
    assert exercises.exercise_7_5(roots) is False
    assert "of the variance is ᾱ²" in capsys.readouterr().out


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize("answer", [..., float("nan"), "noise", np.zeros(5)])
def test_no_answer_and_nonsense(number, answer, capsys):
    assert checker(number)(answer) is False
    said = capsys.readouterr().out
    assert said.startswith(f"Exercise 7.{number}: ")
    assert ("no answer yet" in said) is (answer is ...)
