"""The checkers of chapter 3: the right answer passes, a slip gets its own words, none gives the answer."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kexue_lite.data import digits
from kexue_lite.exercises import networks as exercises
from kexue_lite.networks import GATES, MLP, compile_truth_table, tent


def implication():
    """The first unit with small whole numbers that fires on 00, 01, 11 and not on 10."""
    for w1, w2, t in product(range(-2, 3), repeat=3):
        if [w1 * a + w2 * b >= t for a, b in product((0, 1), repeat=2)] == [True, True, False, True]:
            return w1, w2, t
    raise AssertionError


def parameters():
    return sum(p.numel() for p in MLP([64, 32, 10]).parameters())


def slope():
    w1 = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    (0.5 * (2 * torch.tanh(w1)) ** 2).backward()
    return w1.grad


def tables_of_one_unit():
    """By search: whole weights up to 2 reach every table of three inputs that one unit computes (Winder)."""
    x = np.array(list(product((0, 1), repeat=3)))
    found = {tuple(x @ w >= t) for w in product(range(-2, 3), repeat=3) for t in np.arange(-6.5, 7)}
    return len(found)


def shallow_units():
    """The zigzag's bends alone cannot begin with its slope, whichever of them look left; one more can."""
    x = np.linspace(0, 1, 17)
    slopes = np.diff(tent(x, 4)) * 16
    bends = np.diff(slopes)
    assert np.all(bends != 0)
    looking_left = {-sum(part) for k in range(len(bends) + 1) for part in combinations(bends, k)}
    assert slopes[0] not in looking_left
    return len(bends) + 1


def left_by_ten_directions():
    x = digits()[0].images.reshape(-1, 64).astype(float)
    return np.linalg.eigvalsh(np.cov(x.T, bias=True))[:-10].sum() / 64


def layers_to_a_millionth():
    share, layers = 1.0, 0
    steepest = float(torch.autograd.functional.jacobian(torch.sigmoid, torch.tensor(0.0)))
    while share >= 1e-6:
        share, layers = share * 2 * steepest, layers + 1
    return layers


def parity():
    """Units that fire from one, two, three, four ones on; the second layer takes every other one away."""
    return [(torch.ones(4, 4), torch.arange(1.0, 5)), (torch.tensor([[1.0, -1, 1, -1]]), torch.tensor([1.0]))]


ANSWERS = {
    1: implication, 2: parameters, 3: slope, 4: tables_of_one_unit, 5: shallow_units,
    6: left_by_ten_directions, 7: layers_to_a_millionth, 8: parity,
}  # fmt: skip


def checker(number):
    return getattr(exercises, f"exercise_3_{number}")


@pytest.mark.parametrize("number", ANSWERS)
def test_an_answer_computed_another_way_passes(number, capsys):
    assert checker(number)(ANSWERS[number]()) is True
    assert capsys.readouterr().out == f"Exercise 3.{number}: right.\n"


TANH = float(np.tanh(0.5))
SLIPS = {
    2: {2368: "constant", 106: "lines between", 64 * 320: "add up", 2400: "last layer", 1: "one by one"},
    3: {4 * TANH: "tanh is missing", 4 * TANH * TANH * (1 - TANH): "sigmoid", 2 * TANH**2: "along w₂",
        2 * TANH * (1 - TANH**2): "through w₂", 8 * TANH * (1 - TANH**2): "factor 2", 9: "Two factors"},
    4: {14: "two inputs", 256: "Two layers", 152: "does not compute", 254: "parities", 52: "negative"},
    5: {8: "deep", 15: "begin", 17: "inside", 32: "five", 7: "lower corners", 2: "How many pieces"},
    7: {10: "weights of 1", 12: "without constants", 19: "One short", 14: "steepest", 3: "multiplies"},
}  # fmt: skip


@pytest.mark.parametrize(("number", "answer"), [(n, a) for n, slips in SLIPS.items() for a in slips])
def test_slips_are_named_and_the_answer_is_not_given(number, answer, capsys):
    assert checker(number)(answer) is False
    words = capsys.readouterr().out
    assert SLIPS[number][answer] in words
    right = np.asarray(ANSWERS[number](), dtype=float)
    assert f" {right:g}" not in words.partition("not yet.")[2]


def test_slips_of_the_autoencoder_are_named(capsys):
    x = torch.from_numpy(digits()[0].images).double().flatten(1)
    right = left_by_ten_directions()
    centred = x - x.mean(0)
    s = torch.linalg.svdvals(centred)
    slips = {
        64 * right: "error of a picture",
        float((torch.linalg.svdvals(x)[10:] ** 2).sum() / x.numel()): "mean picture",
        float((s[10:] ** 2).sum()): "all pictures",
        float(centred.square().mean() - right): "what is kept",
        1.0: "eigenvalues",
    }
    for answer, words in slips.items():
        assert exercises.exercise_3_6(answer) is False
        said = capsys.readouterr().out
        assert words in said and f"{right:.4f}" not in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((1, 1, 2), "00, 01: an implication"),
        ((1, -1, 0), "other way round"),
        ((-1, -1, 0), "01, 11: write"),
        ((-1, 1, 0.5), "00, 11: write"),
        ((-1, 0, 0), "11: there x₂"),
        ((0, 0, 0), "10: a unit that always fires"),
        ((1, 2), "three finite numbers"),
        ((1, 2, float("inf")), "three finite numbers"),
        (7, "three finite numbers"),
    ],
)
def test_a_unit_is_judged_by_its_table(answer, words, capsys):
    assert exercises.exercise_3_1(answer) is False
    assert words in capsys.readouterr().out


def test_any_right_unit_and_any_right_parity_pass(capsys):
    assert exercises.exercise_3_1(np.array([-3.0, 2.5, -0.7]))
    # These fire on at most 0, 1, 2, 3 ones; the sum is 0 for an even count and 1 for an odd one.
    turned = [([[-1] * 4] * 4, [0, -1, -2, -3]), ([[-1, 1, -1, 1]], [1])]
    assert exercises.exercise_3_8(turned)
    assert capsys.readouterr().out.count("right.") == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (compile_truth_table([bin(k).count("1") % 2 for k in range(16)]), "with 8 hidden units"),
        (GATES["XOR"], "must read 4 inputs"),
        ([(torch.ones(4, 4), torch.ones(4)), (torch.ones(1, 3), torch.ones(1))], "second must read"),
        ([(torch.ones(4, 4), torch.arange(1.0, 5)), (torch.ones(1, 4), torch.ones(1))], "Wrong on 7"),
        ([(torch.ones(4, 4), torch.ones(4))], "two layers"),
        ([(torch.full((4, 4), torch.nan), torch.ones(4)), (torch.ones(1, 4), torch.ones(1))], "finite"),
        (3.0, "two layers"),
    ],
)
def test_a_parity_network_is_judged_by_its_table_and_size(answer, words, capsys):
    assert exercises.exercise_3_8(answer) is False
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize("answer", [..., float("nan"), "network", np.zeros(5)])
def test_no_answer_and_nonsense(number, answer, capsys):
    assert checker(number)(answer) is False
    said = capsys.readouterr().out
    assert said.startswith(f"Exercise 3.{number}: ")
    assert ("no answer yet" in said) is (answer is ...)


def test_the_zigzag_can_be_made_with_the_number_that_is_right():
    """One relu that is on everywhere, and one for each bend."""
    x = torch.linspace(0, 1, 1601, dtype=torch.float64)
    made = 16 * F.relu(x)
    for k in range(1, 16):
        made = made + (-32 if k % 2 else 32) * F.relu(x - k / 16)
    assert torch.allclose(made, tent(x, 4), atol=1e-12)
