"""Chapter 1's room at its edges: every kind of input, sizes near the limits of precision, bad input."""

import math

import numpy as np
import pytest
import sympy as sp
import torch

from kexue_lite.extrema import (
    brachistochrone,
    catenary,
    catenoid,
    conjugate_points,
    euler_lagrange,
    fermat_point,
    fermat_residual,
    minimize_path,
)

TRIANGLE = [(0, 0), (4, 0), (0, 3)]
x, f = sp.Symbol("x"), sp.Function("y")
y = f(x)


def length(x, y, dy):
    return torch.sqrt(1 + dy**2)


# -- direct minimisation --


def test_lists_are_read_in_double_precision():
    path = minimize_path(length, [0, 0.1], [0.7, 0.3], nodes=5)
    assert float(path.y[0]) == 0.1 and float(path.x[-1]) == 0.7
    assert abs(float(path.value) - math.hypot(0.7, 0.2)) < 1e-15
    assert float(minimize_path(length, (1e8, 0), (1e8 + 1, 1), nodes=5).x[-1]) == 1e8 + 1


@pytest.mark.parametrize("given", [np.array, torch.tensor, tuple, list])
def test_ends_of_every_kind_give_the_same_path(given):
    plain = minimize_path(length, (0.0, 0.0), (1.0, 2.0), nodes=9)
    path = minimize_path(length, given([0.0, 0.0]), given([1.0, 2.0]), nodes=9)
    assert path.x.dtype == torch.float64 and torch.equal(plain.y, path.y)


@pytest.mark.parametrize("options, words", [
    ({"start": (0j, 0j)}, "start"),
    ({"max_iterations": 2.5}, "max_iterations must be an integer"),
    ({"max_iterations": True}, "max_iterations must be an integer"),
    ({"initial": "abc"}, "initial must hold numbers"),
    ({"initial": [math.nan] * 9}, "initial must be finite"),
    ({"constraints": [(length, None)]}, r"constraints\[0\] must ask for a number"),
    ({"constraints": [(length, "3")]}, r"constraints\[0\] must ask for a number"),
    ({"lagrangian": lambda x, y, dy: dy > 0}, "real floating-point"),
])  # fmt: skip
def test_bad_input_to_minimize_path_names_the_argument(options, words):
    given = {"lagrangian": length, "start": (0, 0), "end": (1, 1), "nodes": 9} | options
    with pytest.raises((TypeError, ValueError), match=words):
        minimize_path(**given)


# -- the exact curves --


@pytest.mark.parametrize("ratio", [1e-12, 1e-6, 1e-3])
def test_a_nearly_vertical_brachistochrone_keeps_its_digits(ratio):
    """By series: (θ − sin θ)/(1 − cos θ) = s gives T√g = √2 (1 + 3s²/8 + O(s⁴)) for drop 1."""
    assert abs(brachistochrone(ratio, 1).time / math.sqrt(2) - 1 - 3 / 8 * ratio**2) < max(1e-15, ratio**4)


def test_extreme_curves():
    assert brachistochrone(1e300, 1).angle == 2 * math.pi
    long = catenary(1, 1e200)
    assert abs(math.log(long.a) + 1 / (2 * long.a) - math.log(1e200)) < 1e-9  # 2a sinh(1/2a) ≈ a e^(1/2a)
    near, far = catenoid(1e-3).necks
    assert abs(near * math.cosh(1e-3 / near) - 1) < 1e-12 and abs(far * math.cosh(1e-3 / far) - 1) < 1e-12
    with pytest.raises(ValueError, match="width must be at least"):
        brachistochrone(1e-300, 1)


def test_height_keeps_the_shape_and_says_where_the_arch_ends():
    arch = brachistochrone(1, 1)
    assert arch.height([[0.1, 0.2], [0.3, 1.0]]).shape == (2, 2) and arch.height([]).shape == (0,)
    for place in (-0.1, 100.0, math.nan):
        with pytest.raises(ValueError, match="x must lie on the arch"):
            arch.height(place)


@pytest.mark.parametrize("value", ["a", None, [1, 2], 1j])
def test_curves_name_what_is_no_number(value):
    for curve, name in ((brachistochrone, "width"), (catenary, "span")):
        with pytest.raises(TypeError, match=name):
            curve(value, 1)


# -- the Fermat point --


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e308])
def test_only_the_ratios_of_weights_matter(scale):
    np.testing.assert_allclose(fermat_point(TRIANGLE, [scale] * 3), fermat_point(TRIANGLE), rtol=1e-3)


def test_points_as_tensors():
    points = torch.tensor(TRIANGLE, dtype=torch.float64, requires_grad=True)
    np.testing.assert_array_equal(fermat_point(points), fermat_point(TRIANGLE))


@pytest.mark.parametrize("points, weights, words", [
    ("abc", None, "points must be an array"),
    ([(0, 0), (1,)], None, "points must be an array"),
    ([(1j, 0), (1, 1)], None, "points must be an array"),
    (TRIANGLE, ["a", "b", "c"], "weights must be an array"),
])  # fmt: skip
def test_what_is_no_array_of_numbers(points, weights, words):
    with pytest.raises(TypeError, match=words):
        fermat_point(points, weights)


def test_the_residual_of_nowhere():
    with pytest.raises(ValueError, match="point must be finite"):
        fermat_residual((math.nan, 1), TRIANGLE)


# -- symbols --


@pytest.mark.parametrize(
    "lagrangian", [f(2 * x) ** 2 + y**2, y.diff(x) ** 2 + f(0), sp.Integral(y, x) + y**2]
)
def test_what_is_no_local_lagrangian_is_refused(lagrangian):
    with pytest.raises(ValueError, match="at x alone"):
        euler_lagrange(lagrangian, y, x)


def test_a_symbol_with_the_name_of_a_multiplier():
    with pytest.raises(ValueError, match="lambda_1"):
        euler_lagrange(sp.Symbol("lambda_1") * y**2, y, x, constraints=[y.diff(x) ** 2])


def test_a_matrix_is_no_lagrangian():
    with pytest.raises(TypeError, match="lagrangian must be a sympy expression"):
        euler_lagrange(sp.Matrix([y]), y, x)


@pytest.mark.parametrize("start", ["a", None, sp.Symbol("a")])
def test_conjugate_points_need_numbers(start):
    with pytest.raises(TypeError, match="start and stop must be numbers"):
        conjugate_points(y.diff(x) ** 2 - y**2, y, x, path=sp.Integer(0), start=start, stop=4)
