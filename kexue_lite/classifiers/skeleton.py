"""The skeleton of linear classification: features, score, loss of the margin, penalty.

    minimise over w, b    Σᵢ ℓ(yᵢ (w·xᵢ + b)) + ½ λ ‖w‖²

With the logistic loss this is `LogisticRegression` on two classes, with the hinges `LinearSVC`, C = 1/λ. It
is their readable twin: one code for every convex loss, written to be read. Chapter 2 derives it.

Newton's method wants a second derivative, which a loss with a corner has not. So the loss is smeared: each
value is replaced by the mean over m − δ .. m + δ. The slope of a smeared loss is a difference of two values,
(ℓ(m + δ) − ℓ(m − δ))/2δ, and its curvature the difference of two slopes; both exist for any convex loss.
Then δ goes down to 1e-6 in steps, each started where the last one ended. (Smearing a loss moves the minimum
by O(δ) where it has corners, by O(δ²) where it has none.)

Where no example is within δ of a corner there is no curvature, and a Newton step would go to infinity: a step
changes no margin by more than ten times the largest, and is halved until the objective surely falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .arguments import loss_named, matrix, number, signs, whole
from .losses import Loss, slope

WIDTHS = tuple(10 ** (-k / 2) for k in range(13))  # δ: 1, 0.32, 0.1, ... 1e-6
FAR = 1e4  # margin beyond which ℓ(m + δ) − ℓ(m − δ) is more rounding than difference
SHORTEST = 1e-15  # share of a step below which there is nothing to gain but rounding


@dataclass(frozen=True)
class LinearFit:
    """What `fit_linear` found.

    Attributes
    ----------
    weights
        w, ``(D,)``.
    intercept
        b.
    value
        The objective at (w, b), with the loss as it is, not smeared.
    residual
        Norm of the gradient of the last smeared objective, in units of the objective at w = 0.
    steps
        Newton steps taken.
    converged
        Whether the residual fell below the tolerance.
    """

    weights: Tensor
    intercept: float
    value: float
    residual: float
    steps: int
    converged: bool

    def scores(self, x: Any) -> Tensor:
        """w·x + b for the rows of x, ``(M,)``."""
        x = matrix("x", x).to(self.weights)
        if x.shape[1] != len(self.weights):
            raise ValueError(f"x must have {len(self.weights)} features as in the fit, got {x.shape[1]}")
        return x @ self.weights + self.intercept


def fit_linear(
    x: Any,
    y: Any,
    *,
    loss: str | Loss,
    penalty: float = 1.0,
    intercept: bool = True,
    tolerance: float = 1e-10,
    max_steps: int = 500,
) -> LinearFit:
    """Minimise Σᵢ ℓ(yᵢ (w·xᵢ + b)) + ½ λ ‖w‖²: one code for every convex loss. Full batch, deterministic.

    Parameters
    ----------
    x
        ``(N, D)``, tensor or array; float32 and half precision are computed in float64.
    y
        ``(N,)``, of −1 and +1.
    loss
        The name of one of `LOSSES`, or a convex function of the margins.
    penalty
        λ, at least 0; scikit-learn's 1/C. The intercept is not penalised.
    intercept
        Without it, b = 0.
    tolerance
        Of the residual, see `LinearFit`.
    max_steps
        Of Newton, in all.

    Returns
    -------
    LinearFit
        With the perceptron's loss any penalty makes w = 0 the minimum (its value there is 0); what comes back
        then is the direction in which it is approached, with tiny weights.

    Raises
    ------
    TypeError
        If x is sparse or holds no numbers.
    ValueError
        If a shape, a label or a number is none that is allowed.

    See Also
    --------
    Chapter 2.

    Examples
    --------
    >>> x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
    >>> y = torch.tensor([-1, -1, 1, 1])
    >>> for loss in ("squared", "logistic", "hinge", "squared_hinge"):
    ...     fit = fit_linear(x, y, loss=loss)
    ...     print(f"{loss:13} {fit.weights.item():.4f} {fit.value:.4f}")
    squared       0.5714 0.5714
    logistic      1.0066 1.3803
    hinge         1.0000 0.5000
    squared_hinge 0.8000 0.4000
    """
    x, loss = matrix("x", x).double(), loss_named(loss)
    y, penalty, tolerance = signs(y, x), number("penalty", penalty, zero=True), number("tolerance", tolerance)
    max_steps = whole("max_steps", max_steps)
    if not isinstance(intercept, bool):
        raise TypeError(f"intercept must be True or False, got {intercept!r}")
    A = y[:, None] * torch.cat([x, x.new_ones(len(x), 1)], 1)[:, : x.shape[1] + intercept]  # m = A w
    w, steps = x.new_zeros(A.shape[1]), 0
    P = penalty * torch.ones_like(w)  # the diagonal of the penalty's Hessian
    P[x.shape[1] :] = 0
    unit = gradient(loss, A, P, w, WIDTHS[0]).norm().clamp(min=1e-300)
    for width in WIDTHS:
        while (g := gradient(loss, A, P, w, width)).norm() > tolerance * unit and steps < max_steps:
            m = A @ w
            curvature = (slope(loss, m + width) - slope(loss, m - width)) / (2 * width)
            H = (A.T * curvature) @ A + torch.diag(P)
            mean = float(H.diagonal().mean())
            lift = 1e-12 * mean if mean > 0 else 1.0  # no curvature at all: a step down the slope
            p = -torch.linalg.solve(H + lift * torch.eye(len(w)).to(H), g)
            p = p * (10 * (1 + m.abs().max()) / (A @ p).abs().max()).clamp(max=1)
            t = 1.0
            # The slope never falls along p, so the objective changes by at most t/2 times this sum.
            while (
                sum(gradient(loss, A, P, w + part * p, width) @ p for part in (t / 2, t)) > 0.1 * g @ p
                and t > SHORTEST
            ):
                t /= 2
            w, steps = w + t * p, steps + 1
            if t <= SHORTEST:
                break
    value = loss(A @ w).sum() + (P * w**2).sum() / 2
    residual = float(g.norm() / unit)
    b = float(w[-1]) if intercept else 0.0
    return LinearFit(w[: x.shape[1]], b, float(value), residual, steps, residual <= tolerance)


def gradient(loss: Loss, A: Tensor, P: Tensor, w: Tensor, width: float) -> Tensor:
    """Of the smeared objective: Aᵀ(ℓ(m + δ) − ℓ(m − δ))/2δ + P w, with m = A w."""
    m = A @ w
    secant = (loss(m + width) - loss(m - width)) / (2 * width)
    if bool((far := m.abs() > FAR).any()):
        secant = torch.where(far, slope(loss, m), secant)
    return A.T @ secant + P * w
