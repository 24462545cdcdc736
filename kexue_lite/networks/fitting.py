r"""Least squares on features, and the second descent of its error (chapter 3, section 3.6).

With features φ(x) of number P and N examples, the weights are w = argmin ‖Φw − y‖², and among several the
one of least norm. Up to P = N the fit is forced by the data and, at P = N, by the noise too: the error on
fresh data is largest there. Beyond it many w fit exactly, the least of them is ever smaller and smoother, and
the error falls again: double descent (Belkin, Hsu, Ma, Mandal 2019). Polynomials are numpy's affair:
`numpy.polynomial.Chebyshev.fit` works in a stable basis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kexue_lite.networks.arguments import real, whole


def least_squares(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weights of least norm among those of least squared error.

    Parameters
    ----------
    features
        Φ, ``(N, P)``; P may exceed N.
    targets
        ``(N,)`` or ``(N, K)``.

    Returns
    -------
    numpy.ndarray
        ``(P,)`` or ``(P, K)``, float64.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a number is complex or not finite.

    Examples
    --------
    >>> least_squares([[1.0, 1.0]], [2.0])  # of all with w₁ + w₂ = 2, the shortest
    array([1., 1.])
    """
    if np.iscomplexobj(features) or np.iscomplexobj(targets):
        raise ValueError("features and targets must be real, got complex numbers")
    Phi, y = np.asarray(features, dtype=float), np.asarray(targets, dtype=float)
    if Phi.ndim != 2 or not Phi.size or y.ndim not in (1, 2) or len(y) != len(Phi):
        raise ValueError(
            f"features and targets must have shapes (N, P) and (N,) or (N, K), got {Phi.shape} and {y.shape}"
        )
    if not (np.isfinite(Phi).all() and np.isfinite(y).all()):
        raise ValueError("features and targets must be finite, got NaN or infinity")
    return np.linalg.lstsq(Phi, y)[0]


class RandomFeatures:
    """A hidden layer that is drawn and never trained: φ(x) = relu(x Wᵀ + b) / √P.

    Parameters
    ----------
    inputs
        n, the number of inputs.
    width
        P, the number of features.
    generator
        Draws W ~ N(0, scale²/n) and b ~ N(0, scale²). The first features of a wider layer are those of a
        narrower one, up to the factor 1/√P.
    scale
        How steep the features are.

    Raises
    ------
    ValueError
        If a size is no whole number from 1, or `scale` is not positive.

    Examples
    --------
    >>> phi = RandomFeatures(2, 5, generator=torch.Generator().manual_seed(0))
    >>> phi(np.zeros((3, 2))).shape
    (3, 5)
    """

    def __init__(self, inputs: int, width: int, *, generator: torch.Generator, scale: float = 1.0) -> None:
        n, P = whole("inputs", inputs), whole("width", width)
        if real("scale", scale) <= 0:
            raise ValueError(f"scale must be positive, got {scale}")
        # Row by row: drawn at once, a wider table would have other numbers from its first row on.
        rows = [torch.randn(n + 1, generator=generator, dtype=torch.float64) for _ in range(P)]
        drawn = torch.stack(rows).numpy() * scale
        self.W = drawn[:, :n] / math.sqrt(n)
        self.b = drawn[:, n]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """``(N, n)`` to ``(N, P)``; ValueError if `x` has another shape or is not finite."""
        x = np.asarray(x, dtype=float)
        if x.ndim != 2 or x.shape[1] != self.W.shape[1]:
            raise ValueError(f"x must have shape (N, {self.W.shape[1]}), got {x.shape}")
        if not np.isfinite(x).all():  # the relu of −∞ would be an innocent 0
            raise ValueError("x must be finite, got NaN or infinity")
        return np.maximum(x @ self.W.T + self.b, 0) / math.sqrt(len(self.b))


@dataclass(frozen=True, eq=False)
class DoubleDescent:
    """Errors of least squares on 1, 2, ... random features.

    Attributes
    ----------
    widths
        P, ``(W,)``.
    train, test
        Mean squared errors, ``(W,)``.
    norms
        Length of the weights, ``(W,)``.
    """

    widths: np.ndarray
    train: np.ndarray
    test: np.ndarray
    norms: np.ndarray


def double_descent(
    x: np.ndarray,
    y: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    *,
    widths: Sequence[int],
    generator: torch.Generator,
    scale: float = 1.0,
) -> DoubleDescent:
    """Least squares of least norm on P random features, for each P of `widths`: errors old and fresh.

    Parameters
    ----------
    x, y
        ``(N, n)`` and ``(N,)`` or ``(N, K)``.
    x_test, y_test
        Fresh data of the same kind.
    widths
        The P.
    generator, scale
        As for `RandomFeatures`. One layer is drawn; the narrower ones are its first features.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, or `widths` is empty.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> x, x_test = draw.standard_normal((20, 3)), draw.standard_normal((200, 3))
    >>> noisy = x[:, 0] + 0.3 * draw.standard_normal(20)
    >>> generator = torch.Generator().manual_seed(0)
    >>> run = double_descent(x, noisy, x_test, x_test[:, 0], widths=[5, 20, 400], generator=generator)
    >>> bool(run.test[1] > run.test[0] and run.test[1] > run.test[2])  # worst where P = N
    True
    """
    if not len(widths):
        raise ValueError("widths must name at least one number of features, got none")
    sizes = [whole(f"widths[{k}]", P) for k, P in enumerate(widths)]
    x, y, x_test, y_test = (np.asarray(v, dtype=float) for v in (x, y, x_test, y_test))
    if x.ndim != 2:
        raise ValueError(f"x must have shape (N, n), got {x.shape}")
    # Of other shapes than y's, y_test would be spread over a table without a word.
    if not len(x_test) or y_test.shape != (len(x_test), *y.shape[1:]):
        raise ValueError(
            "x_test and y_test must be at least one fresh row each of the kind of x and y, got "
            f"{x_test.shape} and {y_test.shape} beside {x.shape} and {y.shape}"
        )
    if not (np.isfinite(x_test).all() and np.isfinite(y_test).all()):
        raise ValueError("x_test and y_test must be finite, got NaN or infinity")
    widest = RandomFeatures(x.shape[1], max(sizes), generator=generator, scale=scale)
    features, fresh = widest(x), widest(x_test)
    train, test, norms = [], [], []
    for P in sizes:
        factor = math.sqrt(max(sizes) / P)
        w = least_squares(features[:, :P] * factor, y)
        train.append(float(np.mean((features[:, :P] * factor @ w - y) ** 2)))
        test.append(float(np.mean((fresh[:, :P] * factor @ w - y_test) ** 2)))
        norms.append(float(np.linalg.norm(w)))
    return DoubleDescent(np.array(sizes), np.array(train), np.array(test), np.array(norms))
