"""The checkers of chapter 6: the right answer passes, a slip gets its own words, none gives the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kexue_lite import ogan
from kexue_lite.exercises import ogan as exercises

Z = torch.tensor([1.0, 2.0, 6.0, 3.0]).double()


def parts() -> list[float]:
    average, deviation, direction = ogan.decompose(Z)
    return [float(average), float(deviation), *direction.tolist()]


def apart() -> float:
    """Measured: two codes of 16 with ρ = 0.9 exactly."""
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(16, generator=g).double() for _ in range(2))
    u = ogan.normalize(a)
    v = b - b.mean() - (b * u).mean() * u
    other = 0.9 * u + math.sqrt(1 - 0.81) * ogan.normalize(v)
    assert float(ogan.pearson(u, other)) == pytest.approx(0.9)
    return float((u - ogan.normalize(other)).square().sum())


def felt() -> int:
    """Measured: the rank of the derivative of N at a code of 16 numbers."""
    z = torch.randn(16, generator=torch.Generator().manual_seed(0)).double()
    return int(torch.linalg.matrix_rank(torch.autograd.functional.jacobian(ogan.normalize, z), rtol=1e-9))


def best() -> float:
    s = torch.linspace(-1, 1, 200001).double()
    return round(float(s[(s + 0.25 * s**2 / 0.09).argmin()]), 6)


def noise() -> float:
    from scipy.optimize import brentq

    g = torch.Generator().manual_seed(0)
    z, e = (ogan.normalize(torch.randn(200_000, generator=g).double()) for _ in range(2))
    e = ogan.normalize(e - (z * e).mean() * z)  # of variance 1, and without a share of z in this very draw
    return float(brentq(lambda s: float(ogan.pearson(z, z + s * e)) - 0.9, 0.1, 1))


ANSWERS = [
    (exercises.exercise_6_1, parts()),
    (exercises.exercise_6_2, apart()),
    (exercises.exercise_6_3, felt()),
    (exercises.exercise_6_4, best()),
    (exercises.exercise_6_5, noise()),
    (exercises.exercise_6_6, 1.0),
    (exercises.exercise_6_7, lambda E, x, fake, z: ogan.joint_loss(E, x, fake, z)),
    (exercises.exercise_6_7, lambda E, x, fake, z: ogan.joint_loss(E, x, fake, z).mean()),
    (exercises.exercise_6_8, (True, True)),
    (exercises.exercise_6_8, (torch.tensor([float("nan")]).isnan().all(), np.bool_(True))),
]


@pytest.mark.parametrize(("checker", "answer"), ANSWERS)
def test_an_answer_that_was_measured_is_right(checker, answer, capsys):
    assert checker(answer)
    assert capsys.readouterr().out.endswith(": right.\n")


def of_both(E, x, fake, z):
    return ogan.encoder_loss(E, x, fake.detach(), z) + ogan.generator_loss(E, fake, z)


def r_left_open(E, x, fake, z):
    real, still, opened = E(x).mean(1), E(fake.detach()).mean(1), E(fake).mean(1)
    R = ogan.distance_penalty(real, opened, x, fake)
    return real - still + 0.25 * R + opened - still + 0.5 * ogan.match_loss(z, E(fake))


def forgot_to_cancel(E, x, fake, z):
    return ogan.joint_loss(E, x, fake, z) + E(fake.detach()).mean(1)


def silent(E, x, fake, z):
    raise ValueError


SLIPS = [
    (exercises.exercise_6_1, [3.0, *np.r_[Z.std(), (Z - 3) / Z.std()]], "population"),
    (exercises.exercise_6_1, [3.0, 3.5, *((Z - 3) / 3.5)], "variance"),
    (exercises.exercise_6_1, [3.0, 3.5**0.5, *((Z - 3) / 3.5**0.5 / 2)], "mean square 1"),
    (exercises.exercise_6_1, [3.0, 3.5**0.5, *(Z / 3.5**0.5)], "average away"),
    (exercises.exercise_6_1, 3.0, "shape"),
    (exercises.exercise_6_2, 0.2, "factor n"),
    (exercises.exercise_6_2, 1.6, "Both squares"),
    (exercises.exercise_6_2, 28.8, "2nρ"),
    (exercises.exercise_6_2, 3.2**0.5, "square is asked"),
    (exercises.exercise_6_3, 16, "doubled"),
    (exercises.exercise_6_3, 15, "One freedom more"),
    (exercises.exercise_6_3, 2, "cannot feel"),
    (exercises.exercise_6_3, 13, "too few"),
    (exercises.exercise_6_4, 0.18, "sign"),
    (exercises.exercise_6_4, -0.36, "factor 2"),
    (exercises.exercise_6_4, -0.09, "loss at the best"),
    (exercises.exercise_6_4, -0.6, "root"),
    (exercises.exercise_6_4, -22.2222222, "stands below"),
    (exercises.exercise_6_5, 0.23457, "take the root"),
    (exercises.exercise_6_5, 0.33333, "1/(1 + s²)"),
    (exercises.exercise_6_5, 0.11111, "s² is not s"),
    (exercises.exercise_6_5, 0.43589, "replaces nothing"),
    (exercises.exercise_6_6, 0.0, "right angles"),
    (exercises.exercise_6_6, -1, "absolute"),
    (exercises.exercise_6_7, ogan.encoder_loss, "close the way"),
    (exercises.exercise_6_7, of_both, "twice"),
    (exercises.exercise_6_7, r_left_open, "must not feel R"),
    (exercises.exercise_6_7, forgot_to_cancel, "must cancel"),
    (
        exercises.exercise_6_7,
        lambda E, x, fake, z: ogan.encoder_loss(E, x, fake.detach(), z),
        "what may G feel",
    ),
    (exercises.exercise_6_7, lambda E, x, fake, z: E(x), "Begin with"),
    (exercises.exercise_6_7, lambda E, x: E(x), "does not run: TypeError"),
    (exercises.exercise_6_7, lambda E, x, fake, z: 0.0, "does not run"),
    (exercises.exercise_6_7, 5, "function"),
    (exercises.exercise_6_8, (False, True), "0 by 0"),
    (exercises.exercise_6_8, (True, False), "constant codes"),
    (exercises.exercise_6_8, 1, "two truth values"),
    (exercises.exercise_6_8, "ab", "two truth values"),
    (exercises.exercise_6_8, (1, 1), "two truth values"),
    (exercises.exercise_6_8, (True, True, True), "two truth values"),
    (exercises.exercise_6_8, (torch.ones(3) > 0, True), "two truth values"),
    (exercises.exercise_6_7, silent, "does not run: ValueError: no word of why"),
    (exercises.exercise_6_7, lambda E, x, fake, z: None, "does not run: AttributeError"),
]


@pytest.mark.parametrize(("checker", "answer", "words"), SLIPS)
def test_a_slip_gets_its_own_words(checker, answer, words, capsys):
    assert not checker(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("number", range(1, 9))
def test_no_answer_is_no_mistake(number, capsys):
    assert not getattr(exercises, f"exercise_6_{number}")(...)
    assert capsys.readouterr().out == f"Exercise 6.{number}: no answer yet. Replace the three dots.\n"


def test_the_formula_as_it_stands_divides_zero_by_zero():
    z = torch.full((3,), 2.0)
    assert ((z - z.mean()) / z.std(correction=0)).isnan().all()
    assert torch.equal(ogan.decompose(z)[2], torch.zeros(3))


def test_two_numbers_leave_nothing_to_say():
    a, b = (torch.randn(50, 2, generator=torch.Generator().manual_seed(s)).double() for s in (0, 1))
    N = [(v - v.mean(1, keepdim=True)) / v.std(1, keepdim=True, correction=0) for v in (a, b)]
    assert ((N[0] * N[1]).mean(1).abs() - 1).abs().max() < 1e-9
