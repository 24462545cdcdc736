"""Euler-Lagrange, first integrals and second variation: against sympy's own, exact values, and bad input."""

import numpy as np
import pytest
import sympy as sp
from sympy.calculus.euler import euler_equations

from kexue_lite.extrema import (
    conjugate_points,
    energy_integral,
    euler_lagrange,
    jacobi_equation,
    momentum_integral,
    second_variation,
)

x, m, k, g = sp.symbols("x m k g", positive=True)
y, z, eta = (sp.Function(n)(x) for n in ("y", "z", "eta"))
V, n = sp.Function("V"), sp.Function("n")
dy, dz = y.diff(x), z.diff(x)

LAGRANGIANS = {
    "oscillator": (m * dy**2 / 2 - k * y**2 / 2, [y]),
    "length": (sp.sqrt(1 + dy**2), [y]),
    "brachistochrone": (sp.sqrt((1 + dy**2) / (2 * g * y)), [y]),
    "chain": (y * sp.sqrt(1 + dy**2), [y]),
    "forced": (dy**2 + 2 * y * sp.sin(x) + x**2 * y**2, [y]),
    "beam": (y.diff(x, 2) ** 2 / 2 - y * sp.cos(x), [y]),
    "third order": (y.diff(x, 3) ** 2 + y * dy * y.diff(x, 2), [y]),
    "two functions": (dy**2 / 2 + dz**2 / 2 - V(y**2 + z**2), [y, z]),
    "coupled orders": (y.diff(x, 2) * dz + sp.exp(x) * y * z + dz**2 * y, [y, z]),
    "given medium": (n(x) * sp.sqrt(1 + dy**2), [y]),
    "geodesic of the sphere": (sp.sqrt(dy**2 + sp.sin(y) ** 2), [y]),
    "relativistic": (-sp.sqrt(1 - dy**2) - V(y), [y]),
}


@pytest.mark.parametrize("name", LAGRANGIANS)
def test_equations_are_those_of_sympy(name):
    F, functions = LAGRANGIANS[name]
    ours, theirs = euler_lagrange(F, functions, x), euler_equations(F, functions, x)
    assert len(ours) == len(functions) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.rhs == 0
        assert sp.simplify((a.lhs - b.lhs).doit()) == 0


def test_constraints_enter_with_constant_multipliers():
    F, G, H = y * sp.sqrt(1 + dy**2), sp.sqrt(1 + dy**2), y**2
    l1, l2 = sp.symbols("lambda_1 lambda_2")
    (equation,) = euler_lagrange(F, [y], x, constraints=[G, H])
    (wanted,) = euler_equations(F + l1 * G + l2 * H, [y], x)
    assert sp.simplify(equation.lhs - wanted.lhs.doit()) == 0
    assert {l1, l2} <= equation.free_symbols


def test_one_function_need_not_be_in_a_list_and_products_are_differentiated_first():
    assert euler_lagrange(dy**2, y, x) == euler_lagrange(dy**2, [y], x)
    assert euler_lagrange(sp.Derivative(y**2, x) ** 2, y, x) == euler_lagrange(4 * y**2 * dy**2, y, x)


def test_without_derivatives_the_equation_is_algebraic():
    (equation,) = euler_lagrange(y**2 - 2 * x * y, y, x)
    assert sp.solve(equation, y) == [x]


def test_where_every_path_is_stationary_the_equation_is_an_identity():
    (equation,) = euler_lagrange(y * dy, y, x)
    assert isinstance(equation, sp.Eq) and equation.lhs == 0 and equation.rhs == 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((dy**2, [z], x), ValueError, r"unknown function z\(x\)"),
        ((sp.Integer(3), [y], x), ValueError, "unknown function"),
        ((dy**2, [sp.Function("y")], x), TypeError, "functions must be unknown functions of x"),
        ((dy**2, [sp.Symbol("y")], x), TypeError, "functions must be"),
        ((dy**2, [sp.sin(x)], x), TypeError, "functions must be"),
        ((dy**2, [], x), ValueError, "at least one"),
        ((dy**2, [y, y], x), ValueError, "twice"),
        ((dy**2, [y], "x"), TypeError, "variable must be a sympy Symbol"),
        (("y**2", [y], x), TypeError, "lagrangian must be a sympy expression"),
        ((lambda y: y, [y], x), TypeError, "lagrangian must be a sympy expression"),
        ((dy**2 / 0, [y], x), ValueError, "finite"),
        ((sp.Eq(dy, 0), [y], x), TypeError, "not Equality"),
    ],
)
def test_bad_input(arguments, error, words):
    with pytest.raises(error, match=words):
        euler_lagrange(*arguments)


def test_a_lone_constraint_is_refused():
    with pytest.raises(TypeError, match="sequence of integrands"):
        euler_lagrange(dy**2, [y], x, constraints=y)


@pytest.mark.parametrize("name", LAGRANGIANS)
def test_energy_changes_as_its_identity_says(name):
    """dE/dx + Σ y'·(Euler-Lagrange expression) = −∂F/∂x, so E is constant where x is not named."""
    F, functions = LAGRANGIANS[name]
    if name in ("forced", "beam", "coupled orders", "given medium"):
        with pytest.raises(ValueError, match="no energy integral"):
            energy_integral(F, functions, x)
        return
    E = energy_integral(F, functions, x)
    balance = E.diff(x) + sum(
        f.diff(x) * e.lhs for f, e in zip(functions, euler_lagrange(F, functions, x), strict=True)
    )
    assert sp.simplify(balance.doit()) == 0


def test_the_refused_energy_is_named():
    with pytest.raises(ValueError, match=r"dE/dx = -2\*x"):
        energy_integral(dy**2 + x**2 + y, y, x)


def test_brachistochrone_keeps_height_times_one_plus_slope_squared():
    E = energy_integral(sp.sqrt((1 + dy**2) / (2 * g * y)), y, x)
    assert sp.simplify(E**2 * 2 * g * y * (1 + dy**2)) == 1


def test_energy_is_constant_on_a_solution():
    E = energy_integral(y * sp.sqrt(1 + dy**2), y, x).subs(y, 3 * sp.cosh(x / 3)).doit()
    assert [round(float(E.subs(x, v)), 12) for v in (0, 0.5, 2)] == [-3.0] * 3


def test_momentum_of_a_cyclic_function():
    assert sp.simplify(momentum_integral(sp.sqrt(1 + dy**2), y, x) - dy / sp.sqrt(1 + dy**2)) == 0
    # Higher order: dp/dx is the Euler-Lagrange expression with its sign turned.
    F = y.diff(x, 2) ** 2 + dy**4
    p = momentum_integral(F, y, x)
    assert sp.simplify(p.diff(x) + euler_lagrange(F, y, x)[0].lhs) == 0
    # One of two functions may be cyclic while the other is not.
    assert sp.simplify(momentum_integral(y**2 * dz**2 + dy**2, z, x) - 2 * y**2 * dz) == 0
    with pytest.raises(ValueError, match=r"no momentum integral.*dp/dx = -2\*y"):
        momentum_integral(dy**2 - y**2, y, x)


def test_second_variation_is_the_second_derivative_along_a_variation():
    F = y**2 * dy**2 + sp.exp(y) * dy + x * y**3 + dy**4
    P, Q = second_variation(F, y, x)
    base, bump = sp.sin(x), x * (1 - x)
    t = sp.Symbol("t")
    direct = F.subs(y, base + t * bump).doit().diff(t, 2).subs(t, 0)
    form = (P * bump.diff(x) ** 2 + Q * bump**2).subs(y, base).doit()
    difference = sp.lambdify(x, direct - form, "numpy")
    nodes, weights = np.polynomial.legendre.leggauss(30)
    assert abs((weights * difference((nodes + 1) / 2)).sum() / 2) < 1e-13


def test_jacobi_is_the_euler_lagrange_equation_of_the_second_variation():
    F = sp.sqrt(dy**2 + sp.sin(y) ** 2)
    P, Q = second_variation(F, y, x)
    ours = jacobi_equation(F, y, x, variation=eta)
    (theirs,) = euler_equations((P * eta.diff(x) ** 2 + Q * eta**2) / 2, [eta], x)
    assert sp.simplify(ours.lhs - theirs.lhs.doit()) == 0
    with pytest.raises(TypeError, match="variation must be"):
        jacobi_equation(F, y, x, variation=y)


@pytest.mark.parametrize("omega", [1, 2, 0.3])
def test_conjugate_points_of_the_oscillator_are_half_periods(omega):
    F = dy**2 / 2 - sp.Float(omega) ** 2 * y**2 / 2
    stop = 3.5 * np.pi / omega
    found = conjugate_points(F, y, x, path=sp.Integer(0), start=0.25, stop=0.25 + stop)
    np.testing.assert_allclose(found, 0.25 + np.pi / omega * np.arange(1, 4), rtol=1e-8)


def test_conjugate_point_of_the_sphere_is_the_opposite_one():
    F = sp.sqrt(dy**2 + sp.sin(y) ** 2)
    np.testing.assert_allclose(conjugate_points(F, y, x, path=sp.pi / 2, start=0, stop=4), [np.pi], rtol=1e-8)
    assert conjugate_points(F, y, x, path=sp.pi / 2, start=0, stop=3).size == 0


def test_the_plane_has_no_conjugate_points_and_a_maximum_is_tested_too():
    assert conjugate_points(sp.sqrt(1 + dy**2), y, x, path=2 * x, start=0, stop=100).size == 0
    upside_down = -(dy**2) / 2 + y**2 / 2
    np.testing.assert_allclose(
        conjugate_points(upside_down, y, x, path=sp.Integer(0), start=0, stop=4), [np.pi]
    )


def test_conjugate_point_of_the_catenoid_is_where_the_two_necks_meet():
    a = 1.0
    stop = conjugate_points(y * sp.sqrt(1 + dy**2), y, x, path=sp.cosh(x / a), start=-1.1996786402577, stop=3)
    np.testing.assert_allclose(stop, [1.1996786402577], rtol=1e-9)  # u tanh u = 1


@pytest.mark.parametrize(
    ("F", "more", "words"),
    [
        (dy**2 - y**2, {"path": x**2}, "must satisfy the Euler-Lagrange equation"),
        (dy**2 - k * y**2, {"path": sp.Integer(0)}, "numbers for all parameters"),
        (dy**2 - y**2, {"path": sp.Integer(0), "stop": 0}, "start < stop"),
        (dy**2 - y**2, {"path": sp.Integer(0), "stop": float("nan")}, "finite"),
        (x * dy**2, {"path": sp.Integer(1), "start": -1}, "Legendre"),
        (y.diff(x, 2) ** 2, {"path": x}, "no derivative above the first"),
        (dy**2 / (x - 1), {"path": sp.Integer(0), "stop": 2}, "Legendre|no finite"),
    ],
)
def test_conjugate_points_refuse(F, more, words):
    with pytest.raises(ValueError, match=words):
        conjugate_points(F, y, x, **{"start": 0, "stop": 1, **more})
