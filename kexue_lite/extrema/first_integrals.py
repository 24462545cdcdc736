"""What stays constant along an extremal, and why: energy and momentum, each the price of a symmetry.

Multiply the Euler-Lagrange expression by y' and collect: for p = ∂F/∂y' and E = y'p − F,

    dE/dx = −∂F/∂x − y' (∂F/∂y − dp/dx),        dp/dx = ∂F/∂y − (∂F/∂y − dp/dx).

On an extremal the brackets vanish. So E is constant exactly when F does not name x (shifting the whole path
sideways costs nothing), and p when F does not name y (lifting it costs nothing). sympy has neither.
"""

from __future__ import annotations

import sympy as sp
from sympy.core.function import AppliedUndef

from .euler_lagrange import Functions, checked_functions, derivative, expression, order_of


def energy_integral(lagrangian: sp.Expr, functions: Functions, variable: sp.Symbol) -> sp.Expr:
    r"""The energy E = Σ y' ∂F/∂y' − F, constant along extremals because F does not name x.

    Beltrami's identity. With derivatives up to order n it is Ostrogradsky's
    :math:`E = \sum_y \sum_{k=1}^n y^{(k)} p_k - F`,
    :math:`p_k = \sum_{j \ge 0} (-d/dx)^j\, \partial F / \partial y^{(k+j)}`.

    Parameters
    ----------
    lagrangian, functions, variable
        As for `euler_lagrange`. For a problem with integral constraints give F + λ₁G₁ + ... as `lagrangian`.

    Returns
    -------
    sympy.Expr
        E; its units are those of F.

    Raises
    ------
    TypeError
        As for `euler_lagrange`.
    ValueError
        If F names x, by itself or through a given function of x: there is no such symmetry, and E is not
        constant. The message gives dE/dx. Also as for `euler_lagrange`.

    See Also
    --------
    Chapter 1, section 1.4.

    Examples
    --------
    >>> x, y = sp.Symbol("x"), sp.Function("y")
    >>> energy_integral(y(x).diff(x)**2 / 2 - y(x)**2 / 2, y(x), x)
    y(x)**2/2 + Derivative(y(x), x)**2/2
    """
    F = expression("lagrangian", lagrangian)
    unknown = checked_functions(F, functions, variable)
    explicit = explicit_derivative(F, unknown, variable)
    if explicit != 0:
        raise ValueError(
            f"no energy integral: the lagrangian names {variable}, so shifting a path along {variable} "
            f"changes its value and dE/d{variable} = {-explicit} instead of 0"
        )
    energy = -F
    for y in unknown:
        for k in range(1, order_of(F, y, variable) + 1):
            energy += derivative(y, variable, k) * _momentum(F, y, variable, k)
    return sp.simplify(energy)


def momentum_integral(lagrangian: sp.Expr, function: AppliedUndef, variable: sp.Symbol) -> sp.Expr:
    r"""The momentum p = ∂F/∂y', constant along extremals because F does not name y (y is *cyclic*).

    With higher derivatives :math:`p = \sum_{j \ge 0} (-d/dx)^j\, \partial F / \partial y^{(1+j)}`.

    Parameters
    ----------
    lagrangian, variable
        As for `euler_lagrange`.
    function
        The cyclic unknown, such as ``y(x)``.

    Returns
    -------
    sympy.Expr
        p; its units are those of F divided by those of y'.

    Raises
    ------
    TypeError
        As for `euler_lagrange`.
    ValueError
        If F names y itself, not only its derivatives. The message gives ∂F/∂y = dp/dx.

    See Also
    --------
    Chapter 1, section 1.4.

    Examples
    --------
    >>> x, y = sp.Symbol("x"), sp.Function("y")
    >>> momentum_integral(sp.sqrt(1 + y(x).diff(x)**2), y(x), x)
    Derivative(y(x), x)/sqrt(Derivative(y(x), x)**2 + 1)
    """
    F = expression("lagrangian", lagrangian)
    (y,) = checked_functions(F, [function], variable)
    slope = sp.simplify(F.diff(y))
    if slope != 0:
        raise ValueError(
            f"no momentum integral: the lagrangian names {y}, so lifting a path changes its value and "
            f"dp/d{variable} = {slope} instead of 0"
        )
    return sp.simplify(_momentum(F, y, variable, 1))


def explicit_derivative(lagrangian: sp.Expr, functions: list[AppliedUndef], variable: sp.Symbol) -> sp.Expr:
    """∂F/∂x with the unknown functions and their derivatives held fixed."""
    stand_in: dict[sp.Expr, sp.Symbol] = {}
    for y in functions:
        for k in range(order_of(lagrangian, y, variable), -1, -1):  # highest first: y'' contains y
            stand_in[derivative(y, variable, k)] = sp.Dummy(f"{y.func.__name__}_{k}")
    frozen = lagrangian
    for old, new in stand_in.items():
        frozen = frozen.subs(old, new)
    explicit = sp.simplify(frozen.diff(variable))
    return explicit.subs({new: old for old, new in stand_in.items()})


def _momentum(lagrangian: sp.Expr, function: AppliedUndef, variable: sp.Symbol, k: int) -> sp.Expr:
    total = sp.S.Zero
    for j in range(order_of(lagrangian, function, variable) - k + 1):
        partial = lagrangian.diff(derivative(function, variable, k + j))
        total += (-1) ** j * partial.diff(variable, j)
    return total
