"""The checkers of chapter 2: the right answer passes, a slip gets its own words, none gives the answer."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from kexue_lite.exercises import classifiers as exercises


def gradient():
    w = torch.tensor([0.5, -0.5, 0.5], dtype=torch.float64, requires_grad=True)
    rows = torch.tensor([[1.0, 2, 1], [-1, 0, 1], [2, -1, 1]], dtype=torch.float64)
    torch.nn.functional.softplus(-torch.tensor([1.0, -1, 1]) * (rows @ w)).sum().backward()
    return w.grad


def street():
    model = SVC(C=1e8, kernel="linear", tol=1e-10).fit([(0, 0), (2, 2), (3, 0), (5, 4)], [0, 0, 1, 1])
    return 2 / np.linalg.norm(model.coef_)


def monomials():
    # Powers (a₁, ..., a₆₄) with sum ≤ 4, counted by how many monomials of each degree a new variable adds.
    ways = [1, 0, 0, 0, 0]
    for _ in range(64):
        ways = list(itertools.accumulate(ways))
    return sum(ways)


def copies():
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(20_000), 3)
    labels, order = rng.integers(0, 2, 20_000), rng.permutation(60_000)
    new, seen = rows[order[:12_000]], rows[order[12_000:]]
    place = np.arange(20_000)[:, None].astype(float) + rng.uniform(0.1, 0.4, (20_000, 1))
    model = KNeighborsClassifier(1).fit(place[seen], labels[seen])
    return model.score(place[new], labels[new])


def wide_hinge():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2)) + np.repeat([[1.0, 0], [-1, 0]], 30, 0)
    y = np.repeat([1, -1], 30)

    # max(0, 2 − m) as a quadratic programme with one slack for each example
    rows = np.c_[y[:, None] * np.c_[x, np.ones(60)], np.eye(60)]
    programme = minimize(
        lambda v: v[:2] @ v[:2] / 2 + v[3:].sum(),
        np.r_[np.zeros(3), 2 * np.ones(60)],
        jac=lambda v: np.r_[v[:2], 0, np.ones(60)],
        constraints={"type": "ineq", "fun": lambda v: rows @ v - 2, "jac": lambda v: rows},
        bounds=[(None, None)] * 3 + [(0, None)] * 60,
        options={"ftol": 1e-13, "maxiter": 500},
    ).x[:3]

    def distance(penalty):
        usual = SVC(C=1 / penalty, kernel="linear", tol=1e-10).fit(x, y)
        plane = np.r_[usual.coef_[0], usual.intercept_]
        return np.linalg.norm(plane / np.linalg.norm(plane) - programme / np.linalg.norm(programme))

    trials = np.linspace(0.25, 5, 39)
    return float(trials[np.argmin([distance(t) for t in trials])])


def runaway():
    # λw = σ(−w/2): the growth for a tenfold λ, at three λ, extrapolated in 1/w to 1/w = 0.
    def length(log_penalty):
        return brentq(lambda w: log_penalty + math.log(w) + np.logaddexp(0, w / 2), 1e-9, 1e6, xtol=1e-12)

    at = [length(-k * math.log(10)) for k in (2000, 2001)]
    return at[1] - at[0]


def gaussians():
    rng = np.random.default_rng(0)
    n = 400_000
    x = np.r_[
        rng.multivariate_normal((2, 0), ((2, 1), (1, 2)), 3 * n // 4),
        rng.multivariate_normal((0, 1), ((2, 1), (1, 2)), n // 4),
    ]
    y = np.repeat([1, 0], [3 * n // 4, n // 4])
    model = LogisticRegression(C=np.inf).fit(x, y)
    return np.r_[model.coef_[0], model.intercept_]


def spiral():
    points, _ = exercises.puzzle()
    z = points[:, 0] + 1j * points[:, 1]
    return (z * np.exp(-2j * abs(z))).imag / abs(z)


ANSWERS = {
    1: gradient, 2: street, 3: monomials, 4: copies, 5: wide_hinge, 6: runaway, 7: gaussians, 8: spiral,
}  # fmt: skip
LOOSE = {7: 0.02}  # sampled: this much off the exact answer


@pytest.mark.parametrize("number", [n for n in ANSWERS if n not in LOOSE])
def test_an_answer_computed_another_way_passes(number, capsys):
    assert getattr(exercises, f"exercise_2_{number}")(ANSWERS[number]()) is True
    assert capsys.readouterr().out == f"Exercise 2.{number}: right.\n"


def test_the_gaussians_answer_is_where_a_large_sample_goes(capsys):
    right = [5 / 3, -4 / 3, math.log(3) - 1]
    assert exercises.exercise_2_7(right) is True
    assert np.abs(gaussians() - right).max() < LOOSE[7]


POINTS = exercises.puzzle()[0]
SLIPS = {
    1: {
        (1.23841, 0.88080, 0.11920): "sign",
        (-0.41280, -0.29360, -0.03973): "mean",
        (-2.23840, -0.88080, 0.88080): "0 or 1",
        (1.0, -3.0, 0.0): "sigmoid",
        (1.0, 1.0, 1.0): "Three scores",
    },
    2: {
        0.8944272: "half",
        2.2360680: "nearest points",
        2.1213203: "Which",
        1.1180340: "length of w",
        3: "segment",
    },
    3: {16777216: "order", 635376: "powers", 766480: "exactly 4", 814384: "constant", 12: "D = 2"},
    4: {0.5: "truth", 0.9: "two copies", 0.96: "half of the time", 0.68: "held out", 0.1: "four fifths"},
    5: {4: "grows", 0.5: "Upside", 1: "Fit both", 3: "w = 2u"},
    6: {2.3025851: "not 1", 1.1512925: "Divide", 2: "factor e", 0.8685890: "logarithm", 9: "limit"},
    7: {
        (1.6666667, -1.3333333, -1.0): "three quarters",
        (2.0, -1.0, -0.4013877): "covariance is missing",
        (3.0, 0.0, -1.9013877): "inverse",
        (1.6666667, -1.3333333, -1.2876821): "Odds",
        (-1.6666667, 1.3333333, -0.0986123): "other class",
        (0.0, 0.0, 0.0): "cancel",
    },
}


@pytest.mark.parametrize(("number", "answer"), [(n, a) for n, slips in SLIPS.items() for a in slips])
def test_slips_are_named_and_the_answer_is_not_given(number, answer, capsys):
    assert getattr(exercises, f"exercise_2_{number}")(answer) is False
    words = capsys.readouterr().out
    assert SLIPS[number][answer] in words
    right = {1: "0.88", 2: "1.78", 3: "814385", 4: "0.98", 5: "λ = 2", 6: "4.6", 7: "1.66"}[number]
    assert right not in words


@pytest.mark.parametrize(
    "feature", [POINTS[:, 0], np.hypot(*POINTS.T), np.arctan2(POINTS[:, 1], POINTS[:, 0])]
)
def test_a_feature_that_does_not_part_them_is_told_its_share(feature, capsys):
    assert exercises.exercise_2_8(feature) is False
    assert "is right at" in capsys.readouterr().out


@pytest.mark.parametrize("unit", [1, 2.5])
def test_handing_in_the_labels_is_not_a_feature(unit, capsys):
    assert exercises.exercise_2_8(unit * exercises.puzzle()[1]) is False
    assert "not a feature" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(5))
def test_best_threshold_is_the_best_of_all_thresholds(seed):
    rng = np.random.default_rng(seed)
    feature, labels = rng.integers(0, 6, 15).astype(float), rng.choice([-1, 1], 15)
    shares = [
        np.mean(sign * np.where(feature > cut, 1, -1) == labels)
        for cut in np.arange(-1, 7) + 0.5
        for sign in (1, -1)
    ]
    assert exercises.best_threshold(feature, labels) == pytest.approx(max(shares))


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize("answer", [..., float("nan"), "margin", np.zeros(5)])
def test_no_answer_and_nonsense(number, answer, capsys):
    assert getattr(exercises, f"exercise_2_{number}")(answer) is False
    assert "Traceback" not in capsys.readouterr().out
