"""The checkers of chapter 5: the right answer passes, a slip gets its own words, none gives the answer."""

import numpy as np
import pytest
import torch

from kexue_lite import gradients
from kexue_lite.exercises import gradients as exercises


def slow():
    layer = torch.nn.Linear(1, 1)
    return gradients.scale_learning_rate(
        layer, 0.01, exponent=gradients.learning_rate_exponent(torch.optim.SGD)
    ).factor


def slope(step, at=1.0):
    """The exponent of a step u(g, φ, h) at θ = `at`, gradient 0.3, second derivative 2, numerically."""
    moved = [lam * abs(step(lam * 0.3, at / lam, lam**2 * 2)) for lam in (0.7, 1.3)]
    return float(np.log(moved[1] / moved[0]) / np.log(1.3 / 0.7))


def memory():
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    before = {k: float(v) for k, v in optimizer.state[weight].items()}
    layer = torch.nn.Module()
    layer.weight = weight
    gradients.scale_learning_rate(layer, 0.2, exponent=1, optimizer=optimizer)
    after = {k: float(v) for k, v in optimizer.state[weight].items()}
    return [after[k] / before[k] for k in ("exp_avg", "exp_avg_sq", "step")]


def between():
    def step(factor):
        phi = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([phi], lr=1e-6, eps=1e-3)
        phi.grad = torch.full((1,), 3e-4 * factor, dtype=torch.float64)
        optimizer.step()
        return factor * abs(float(phi.detach()))

    return np.log(step(1.01) / step(0.99)) / np.log(1.01 / 0.99)


def decays():
    """The decay for which one step without gradient memory equals the group's, found by trial."""
    found = []
    for kind in (torch.optim.AdamW, torch.optim.Adam):

        def end(decay, lam, lr, kind=kind):
            phi = torch.tensor([0.7 / lam], dtype=torch.float64, requires_grad=True)
            optimizer = kind([phi], lr=lr, weight_decay=decay, eps=0)
            for g in (1.0, -0.5):
                phi.grad = torch.tensor([lam * g], dtype=torch.float64)
                optimizer.step()
            return lam * float(phi.detach())

        tries = np.array([1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
        misses = [abs(end(d, 0.1, 1e-2) - end(0.01, 1.0, 1e-3)) for d in tries]
        assert min(misses) < 1e-14
        found.append(tries[int(np.argmin(misses))])
    return found


def clipped():
    parts = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    parts[0].grad, parts[1].grad = torch.tensor([3.0]) / 2, torch.tensor([4.0])
    torch.nn.utils.clip_grad_norm_(parts, 1.0)
    return float(parts[1].grad) / 4


def radam():
    measured = gradients.measure_exponent(
        lambda p: torch.optim.RAdam(p, lr=1e-6, betas=(0.9, 0.8)), steps=12, seeds=[0]
    )
    return 1 + int((measured.exponents[0] > 1.5).sum())


def inventions():
    return [slope(lambda g, w, h: w**2 * g), slope(lambda g, w, h: abs(w)), slope(lambda g, w, h: g / h)]


ANSWERS = {
    1: slow,
    2: lambda: slope(lambda g, w, h: g**3),
    3: memory,
    4: between,
    5: decays,
    6: clipped,
    7: radam,
    8: inventions,
}


@pytest.mark.parametrize("number", ANSWERS)
def test_an_answer_computed_another_way_passes(number, capsys):
    assert getattr(exercises, f"exercise_5_{number}")(ANSWERS[number]()) is True
    assert capsys.readouterr().out == f"Exercise 5.{number}: right.\n"


SLIPS = {
    1: {0.01: "Adam", 10: "direction", 1e-4: "solve", 100: "faster", 0.5: "momentum"},
    2: {3: "way back", 2: "three times", 1: "Count"},
    3: {
        (5, 25, 1): "direction",
        (0.2, 0.2, 1): "squares",
        (0.2, 0.04, 0.2): "counts steps",
        (1, 1, 1): "averaged",
        (0, 0, 0): "its square",
    },
    4: {1: "ε = 0", 2: "far below", 0.769: "add the 1", 1.2308: "stands above", 1.5: "slope"},
    5: {
        (0.01, 0.01): "ten times",
        (1e-3, 1e-3): "1/λ",
        (1e-4, 1e-3): "other way",
        (0.1, 1): "direction",
        (0, 0): "one step",
    },
    6: {
        0.2: "before",
        0.13868: "direction",
        0.24571: "once",
        4.272: "limit over",
        0.181818: "squares",
        1: "see",
    },
    7: {6: "default", 99: "measure_exponent"},
    8: {
        (2, 1, 1): "parameter too",
        (0, 0, 1): "twice",
        (4, 2, 0): "negatively",
        (0, 0, 2): "twice",
        (1, 1, 1): "each",
    },
}


@pytest.mark.parametrize("number, given", [(n, g) for n, slips in SLIPS.items() for g in slips])
def test_a_slip_gets_its_own_words_and_not_the_answer(number, given, capsys):
    assert getattr(exercises, f"exercise_5_{number}")(given) is False
    said = capsys.readouterr().out
    assert SLIPS[number][given] in said
    right = np.atleast_1d(ANSWERS[number]()).round(4)
    if number not in (
        3,
        7,
        8,
    ):  # their answers are small whole numbers, or λ itself, which any sentence may hold
        assert not any(f" {value:g}." in said or f" {value:g} " in said for value in right)


@pytest.mark.parametrize("number", ANSWERS)
def test_no_answer_and_nonsense(number, capsys):
    check = getattr(exercises, f"exercise_5_{number}")
    assert check(...) is False and check("x") is False
    out = capsys.readouterr().out
    assert "no answer yet" in out and "expected" in out
