"""Is it a minimum? The second variation, Jacobi's equation and the points where the answer changes.

On an extremal the first variation vanishes and the next term decides. For η with η = 0 at both ends,

    δ²J = ∫ (P η'² + Q η²) dx,     P = ∂²F/∂y'²,     Q = ∂²F/∂y² − d/dx ∂²F/∂y∂y'.

Legendre: P ≥ 0 is necessary. Jacobi: with P > 0 the path is a (weak) minimum as long as the solution of
−(P η')' + Q η = 0 with η(a) = 0, η'(a) = 1 has no second zero; the zeros are the points *conjugate* to a.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp
from sympy.core.function import AppliedUndef

from .euler_lagrange import checked_functions, derivative, expression, order_of, variational_derivative


def second_variation(
    lagrangian: sp.Expr, function: AppliedUndef, variable: sp.Symbol
) -> tuple[sp.Expr, sp.Expr]:
    """The coefficients P and Q of δ²J = ∫ (P η'² + Q η²) dx, for any path y.

    Parameters
    ----------
    lagrangian
        F(x, y, y'), with no higher derivative.
    function, variable
        y(x) and x.

    Returns
    -------
    (P, Q) : tuple of sympy.Expr
        P = ∂²F/∂y'² and Q = ∂²F/∂y² − d/dx ∂²F/∂y∂y'. (The cross term 2ηη' ∂²F/∂y∂y' was integrated by
        parts.)

    Raises
    ------
    TypeError
        As for `euler_lagrange`.
    ValueError
        If F has derivatives above the first, or does not contain the function.

    See Also
    --------
    Chapter 1, section 1.7.

    Examples
    --------
    >>> x, y = sp.Symbol("x"), sp.Function("y")
    >>> second_variation(y(x).diff(x)**2 / 2 - 9 * y(x)**2 / 2, y(x), x)
    (1, -9)
    """
    F = expression("lagrangian", lagrangian)
    (y,) = checked_functions(F, [function], variable)
    if order_of(F, y, variable) > 1:
        raise ValueError(
            f"lagrangian must have no derivative above the first, got order {order_of(F, y, variable)}"
        )
    slope = derivative(y, variable, 1)
    P = F.diff(slope, 2)
    Q = F.diff(y, 2) - F.diff(y).diff(slope).diff(variable)
    return sp.simplify(P), sp.simplify(Q.doit())


def jacobi_equation(
    lagrangian: sp.Expr, function: AppliedUndef, variable: sp.Symbol, *, variation: AppliedUndef
) -> sp.Eq:
    """Jacobi's equation −(P η')' + Q η = 0, the Euler-Lagrange equation of the second variation.

    Parameters
    ----------
    lagrangian, function, variable
        As for `second_variation`.
    variation
        The increment, such as ``eta(x)``: an unknown function of `variable` other than `function`.

    Returns
    -------
    sympy.Eq

    Raises
    ------
    TypeError, ValueError
        As for `second_variation`, and if `variation` is not such a function.

    See Also
    --------
    Chapter 1, section 1.7.

    Examples
    --------
    >>> x, y, eta = sp.Symbol("x"), sp.Function("y"), sp.Function("eta")
    >>> jacobi_equation(y(x).diff(x)**2 / 2 - 9 * y(x)**2 / 2, y(x), x, variation=eta(x))
    Eq(-9*eta(x) - Derivative(eta(x), (x, 2)), 0)
    """
    P, Q = second_variation(lagrangian, function, variable)
    if not isinstance(variation, AppliedUndef) or variation.args != (variable,) or variation == function:
        raise TypeError(
            f"variation must be an unknown function of {variable} other than {function}, got {variation}"
        )
    return sp.Eq((Q * variation - (P * variation.diff(variable)).diff(variable)).doit(), 0, evaluate=False)


def conjugate_points(
    lagrangian: sp.Expr,
    function: AppliedUndef,
    variable: sp.Symbol,
    *,
    path: sp.Expr,
    start: float,
    stop: float,
) -> np.ndarray:
    """Where the Jacobi field that leaves `start` returns to zero: beyond the first one there is no minimum.

    Solves −(P η')' + Q η = 0, η = 0, P η' = 1 at `start`, along `path`, by an eighth-order Runge-Kutta method
    (relative tolerance 1e-10).

    Parameters
    ----------
    lagrangian, function, variable
        As for `second_variation`, with numbers for all parameters.
    path
        The extremal as an expression in `variable`, such as ``sympy.sin(x)``; the constant 0 is one, too.
    start, stop
        The interval; `stop` may be anything beyond `start`.

    Returns
    -------
    numpy.ndarray
        Of shape ``(k,)``, in rising order, all in (start, stop); empty if the path is a minimum up to `stop`.
        Whether one that falls on `stop` itself is found is left to rounding.

    Raises
    ------
    TypeError, ValueError
        As for `second_variation`; if the interval is empty or not finite; if `path` does not satisfy the
        Euler-Lagrange equation; or if P vanishes or changes sign on it (Legendre's condition), where Jacobi's
        equation says nothing.

    See Also
    --------
    Chapter 1, section 1.7.

    Examples
    --------
    >>> x, y = sp.Symbol("x"), sp.Function("y")
    >>> oscillator = y(x).diff(x)**2 / 2 - 4 * y(x)**2 / 2
    >>> conjugate_points(oscillator, y(x), x, path=sp.sin(2 * x), start=0, stop=4).round(6)
    array([1.570796, 3.141593])
    """
    try:
        start, stop = float(start), float(stop)
    except (TypeError, ValueError) as error:
        raise TypeError(f"start and stop must be numbers, got {start!r} and {stop!r}") from error
    if not (np.isfinite(start) and np.isfinite(stop) and start < stop):
        raise ValueError(f"start and stop must be finite with start < stop, got {start} and {stop}")
    P, Q = second_variation(lagrangian, function, variable)
    curve = expression("path", path)
    F = expression("lagrangian", lagrangian)
    residual = variational_derivative(F, function, variable)
    on_path = [e.subs(function, curve).doit() for e in (P, Q, residual)]
    extra = set().union(*(e.free_symbols for e in on_path)) - {variable}
    if extra:
        raise ValueError(
            f"lagrangian and path must have numbers for all parameters, got {sorted(map(str, extra))}"
        )
    p, q, r = (sp.lambdify(variable, e, "numpy") for e in on_path)
    _check_extremal(p, q, r, start, stop, curve)

    def slope(t: float, state: np.ndarray) -> list[float]:
        eta, momentum = state
        return [momentum / float(p(t)), float(q(t)) * eta]

    def zero(t: float, state: np.ndarray) -> float:
        return float(state[0])

    solution = solve_ivp(
        slope, (start, stop), [0.0, 1.0], method="DOP853", events=zero, rtol=1e-10, atol=1e-13,
        max_step=(stop - start) / 50,
    )  # fmt: skip
    assert solution.t_events is not None
    found = solution.t_events[0]
    return found[found > start + 1e-9 * (stop - start)]


def _check_extremal(p: object, q: object, r: object, start: float, stop: float, curve: sp.Expr) -> None:
    # Inside points only: a path may have an end where F is not defined, as the brachistochrone has.
    inside = start + (stop - start) * (np.arange(200) + 0.5) / 200
    with np.errstate(all="ignore"):
        P, Q, R = (np.array([complex(f(t)) for t in inside]) for f in (p, q, r))  # type: ignore[operator]
    for name, values in (("P", P), ("Q", Q), ("the Euler-Lagrange expression", R)):
        bad = ~np.isfinite(values) | (np.abs(values.imag) > 0)
        if bad.any():
            raise ValueError(
                f"path gives no finite real {name} at {inside[bad.argmax()]:.6g}: {values[bad][0]}"
            )
    if np.abs(R).max() > 1e-6 * (1 + np.abs(Q).max() + np.abs(P).max()):
        raise ValueError(
            f"path must satisfy the Euler-Lagrange equation; {curve} misses it by {np.abs(R).max():.3g} "
            f"at {inside[np.abs(R).argmax()]:.6g}"
        )
    if not ((P.real > 0).all() or (P.real < 0).all()):
        raise ValueError(
            "Legendre's condition fails: P = ∂²F/∂y'² vanishes or changes sign along the path, so Jacobi's "
            "equation says nothing about it"
        )
