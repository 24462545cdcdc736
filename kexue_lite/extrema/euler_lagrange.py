"""The first variation set to zero, with sympy: ∂F/∂y − d/dx ∂F/∂y' + d²/dx² ∂F/∂y'' − … = 0.

Source: Su Jianlin, article 1134 of kexue.fm, for F(x, y, y'); he names the higher orders without working
them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.function import AppliedUndef

Functions: TypeAlias = AppliedUndef | Sequence[AppliedUndef]


def euler_lagrange(
    lagrangian: sp.Expr, functions: Functions, variable: sp.Symbol, *, constraints: Sequence[sp.Expr] = ()
) -> list[sp.Eq]:
    r"""The Euler-Lagrange equations of J[y] = ∫ F dx, one for each unknown function.

    .. math:: \sum_k (-1)^k \frac{d^k}{dx^k} \frac{\partial}{\partial y^{(k)}}
              \Big(F + \sum_i \lambda_i G_i\Big) = 0

    They are necessary for a minimum and never sufficient (`conjugate_points` says how far they reach).

    Parameters
    ----------
    lagrangian
        F, a sympy expression in `variable`, the functions and their derivatives of any order. A function that
        is not listed in `functions`, such as a refractive index n(x), is held fixed.
    functions
        The unknown functions, such as ``y(x)`` or ``[y(x), z(x)]``.
    variable
        The independent variable x.
    constraints
        Integrands G₁, G₂, ... of integral constraints ∫ Gᵢ dx = constant. The i-th gets a constant
        multiplier, the symbol ``lambda_i`` (printed λᵢ), in F + λ₁G₁ + λ₂G₂ + ...

    Returns
    -------
    list of sympy.Eq
        In the order of `functions`, each with right side 0. Without derivatives in F this is the algebraic
        equation ∂F/∂y = 0, and where every path is stationary (F = y y') it is the unevaluated 0 = 0.

    Raises
    ------
    TypeError
        If an argument is no sympy expression, function of `variable` or symbol.
    ValueError
        If a function appears neither in F nor in a constraint, is listed twice, or appears at another
        place than x (as in y(2x)); if F uses the name of a multiplier.

    See Also
    --------
    Chapter 1, section 1.3.

    Examples
    --------
    >>> x, y = sp.Symbol("x"), sp.Function("y")
    >>> euler_lagrange(y(x).diff(x)**2 - y(x)**2, y(x), x)
    [Eq(-2*y(x) - 2*Derivative(y(x), (x, 2)), 0)]
    """
    total = with_multipliers(lagrangian, constraints)
    unknown = checked_functions(total, functions, variable)
    return [sp.Eq(variational_derivative(total, y, variable), 0, evaluate=False) for y in unknown]


def variational_derivative(lagrangian: sp.Expr, function: AppliedUndef, variable: sp.Symbol) -> sp.Expr:
    """δJ/δy, the left side of the equation: the alternating sum over the derivatives that occur."""
    total = sp.S.Zero
    for k in range(order_of(lagrangian, function, variable) + 1):
        partial = lagrangian.diff(derivative(function, variable, k))
        total += (-1) ** k * partial.diff(variable, k)
    return total.doit()


def derivative(function: AppliedUndef, variable: sp.Symbol, order: int) -> sp.Expr:
    """y^(k), with y itself for k = 0."""
    return sp.Derivative(function, (variable, order)) if order else function


def order_of(lagrangian: sp.Expr, function: AppliedUndef, variable: sp.Symbol) -> int:
    """The order of the highest derivative of `function` in the expression."""
    orders = [d.derivative_count for d in lagrangian.atoms(sp.Derivative) if d.expr == function]
    return max(orders, default=0)


def with_multipliers(lagrangian: Any, constraints: Any) -> sp.Expr:
    """F + Σ λᵢ Gᵢ, with every derivative in it carried out."""
    if isinstance(constraints, sp.Basic) or not isinstance(constraints, Sequence):
        raise TypeError(
            f"constraints must be a sequence of integrands, such as [sqrt(1 + y'**2)], got {constraints!r}"
        )
    total = expression("lagrangian", lagrangian)
    for i, integrand in enumerate(constraints, start=1):
        if total.has(sp.Symbol(f"lambda_{i}")):
            raise ValueError(
                f"lagrangian must not contain lambda_{i}: that is the multiplier of constraints[{i - 1}]"
            )
        total += sp.Symbol(f"lambda_{i}") * expression(f"constraints[{i - 1}]", integrand)
    return total


def expression(name: str, value: Any) -> sp.Expr:
    """`value` as a finite sympy expression with its derivatives carried out (so that (y²)' is 2yy')."""
    if isinstance(value, bool | str):
        raise TypeError(f"{name} must be a sympy expression, got {value!r}")
    try:
        result = sp.sympify(value, strict=True)
    except sp.SympifyError as error:
        raise TypeError(f"{name} must be a sympy expression, got {type(value).__name__}") from error
    if not isinstance(result, sp.Expr) or getattr(result, "is_Matrix", False):
        raise TypeError(f"{name} must be a sympy expression, not {type(result).__name__}: {result}")
    if result.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
        raise ValueError(f"{name} must be finite, got {result}")
    return result.doit()


def checked_functions(lagrangian: sp.Expr, functions: Any, variable: Any) -> list[AppliedUndef]:
    """`functions` as a list of distinct unknowns y(x) that occur in the expression."""
    if not isinstance(variable, sp.Symbol):
        raise TypeError(f"variable must be a sympy Symbol, got {type(variable).__name__}: {variable}")
    listed = list(functions) if isinstance(functions, Sequence) else [functions]
    if not listed:
        raise ValueError("functions must name at least one unknown function, such as [y(x)]; got none")
    for y in listed:
        if not isinstance(y, AppliedUndef) or y.args != (variable,):
            raise TypeError(
                f"functions must be unknown functions of {variable}, such as y({variable}) with "
                f"y = sympy.Function('y'); got {y}"
            )
        if listed.count(y) > 1:
            raise ValueError(f"functions lists {y} twice")
        if not lagrangian.has(y):
            raise ValueError(
                f"unknown function {y}: it occurs neither in the lagrangian nor in a constraint, so nothing "
                f"determines it; the functions there are "
                f"{sorted(map(str, lagrangian.atoms(AppliedUndef))) or 'none'}"
            )
        elsewhere = [f for f in lagrangian.atoms(AppliedUndef) if f.func == y.func and f != y]
        if elsewhere or lagrangian.has(sp.Integral):
            raise ValueError(
                f"lagrangian must depend on {y} and its derivatives at {variable} alone, got "
                f"{', '.join(map(str, elsewhere)) or 'an integral'}"
            )
    return listed
