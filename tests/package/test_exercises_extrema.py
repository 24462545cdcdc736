"""The checkers of chapter 1: the right answer passes, a slip gets its own words, none gives the answer."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from kexue_lite.exercises import extrema as exercises
from kexue_lite.extrema import conjugate_points, fermat_point, minimize_path


def snell():
    def time(x):
        return math.hypot(x, 1) + 1.33 * math.hypot(1 - x, 1)

    return minimize_scalar(time, bounds=(0, 1), method="bounded", options={"xatol": 1e-10}).x


def angle():
    points = np.array([(0, 0), (4, 0), (1, 3)])
    a, b, _ = points - fermat_point(points, [2, 3, 4])
    return math.degrees(math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def sag():
    path = minimize_path(lambda x, y, dy: dy**2 / 2 + x * y, (0, 0), (1, 0), nodes=801)
    return float(path.y[400])


def per_cent():
    best = minimize_path(lambda x, y, dy: torch.sqrt((1 + dy**2) / (2 * y)), (0, 0), (2, 1), nodes=400)
    return 100 * (math.sqrt(10) / float(best.value) - 1)


def tautochrone():
    # θ = θ₀ + w² takes the root out of the start.
    def time(first):
        def f(w):
            t = first + w**2
            return 4 * w * math.sin(t / 2) / math.sqrt(2 * (math.cos(first) - math.cos(t)))

        return quad(f, 1e-9, math.sqrt(math.pi - first))[0]

    return [time(t) for t in (0.5, 1.5, 2.5)]


def half_plane():
    return minimize_path(lambda x, y, dy: torch.sqrt(1 + dy**2) / y, (0, 1), (2, 1), nodes=400).value


def film():
    import sympy as sp

    x, y = sp.Symbol("x"), sp.Function("y")
    F = y(x) * sp.sqrt(1 + y(x).diff(x) ** 2)
    return float(conjugate_points(F, y(x), x, path=sp.cosh(x), start=-0.5, stop=4)[0])


def falling():
    h = 10 / 500
    beside = np.diag(np.full(498, 1 / h), 1)
    matrix = np.diag(np.full(499, 2 / h - 4 * h)) - beside - beside.T
    return int((np.linalg.eigvalsh(matrix) < 0).sum())


ANSWERS = {1: snell, 2: angle, 3: sag, 4: per_cent, 5: tautochrone, 6: half_plane, 7: film, 8: falling}


@pytest.mark.parametrize("number", ANSWERS)
def test_an_answer_computed_another_way_passes(number, capsys):
    assert getattr(exercises, f"exercise_1_{number}")(ANSWERS[number]()) is True
    assert capsys.readouterr().out == f"Exercise 1.{number}: right.\n"


SLIPS = {
    1: {0.5: "straight", 0.41: "Minimise", 0.6231998: "glass"},
    2: {104.4775122: "sign", 1.3181161: "degrees", 120: "equal weights", 90: "triangle"},
    3: {0.0625: "sign", -0.03125: "factor 2", 1 / 48: "both end", 1: "cubic"},
    4: {0.2: "length", 10.0: "length"},
    6: {2: "horizontal", 0.9624236: "1.9", 1: "minimize_path"},
    8: {3: "ω = 1", 12: "ω²", 7: "begun", 1: "conjugate point"},
    7: {0.5: "mirror", 1.1996786: "symmetric", 3.1735234: "distance", 2.6415927: "half period", 1: "start"},
}


@pytest.mark.parametrize(("number", "answer"), [(n, a) for n, slips in SLIPS.items() for a in slips])
def test_slips_are_named_and_the_answer_is_not_given(number, answer, capsys):
    assert getattr(exercises, f"exercise_1_{number}")(answer) is False
    words = capsys.readouterr().out
    assert SLIPS[number][answer] in words
    right = np.ravel(np.asarray(ANSWERS[number](), dtype=float))[0]
    assert f"{right:.3f}" not in words


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize("answer", [..., float("nan"), "cycloid", np.zeros(5)])
def test_no_answer_and_nonsense(number, answer, capsys):
    assert getattr(exercises, f"exercise_1_{number}")(answer) is False
    assert "Traceback" not in capsys.readouterr().out
