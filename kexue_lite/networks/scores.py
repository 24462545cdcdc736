"""Numbers that judge: a share of right answers with its interval, and the distance between two clouds.

The 95 % interval of a share is Wilson's (1927): it stays inside [0, 1] and does not shrink to nothing at 100
%.

The Fréchet distance of two Gaussians N(μ, S) and N(ν, T) is (Dowson, Landau 1982)

    d² = ‖μ − ν‖² + tr S + tr T − 2 tr (S^½ T S^½)^½,

and, as in the literature on generated images (Heusel and others 2017), d² itself is what is reported. The
root is taken of a symmetric matrix by its eigenvalues, so it is real by construction and needs no full rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kexue_lite.networks.arguments import table


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers.

    Attributes
    ----------
    right, asked
        Counts.

    Examples
    --------
    >>> score = Accuracy(893, 899)
    >>> print(score)
    99.3 % (98.6 to 99.7)
    """

    right: int
    asked: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.asked or self.asked < 1:
            raise ValueError(f"right must lie in 0, ..., asked and asked be positive, got {self!r}")

    @property
    def value(self) -> float:
        """The share."""
        return self.right / self.asked

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self._interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self._interval()[1]

    def _interval(self) -> tuple[float, float]:
        from scipy.stats import binomtest

        interval = binomtest(self.right, self.asked).proportion_ci(0.95, method="wilson")
        return float(interval.low), float(interval.high)

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"

    def __repr__(self) -> str:
        return f"Accuracy({self.right} of {self.asked})"


def accuracy(predicted: Any, labels: Any) -> Accuracy:
    """Share of the predicted classes that are the given ones.

    Parameters
    ----------
    predicted
        ``(N,)`` classes, or ``(N, classes)`` scores of which the largest counts.
    labels
        ``(N,)``. Arrays, lists, or tensors on any device.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no example, or a score is NaN.

    Examples
    --------
    >>> accuracy([0, 1, 1, 0], [0, 1, 1, 1]).value
    0.75
    """
    guess, truth = torch.as_tensor(predicted).detach().cpu(), torch.as_tensor(labels).cpu()
    if guess.is_floating_point() and guess.isnan().any():
        raise ValueError("predicted must not hold NaN")
    if guess.ndim == 2:
        guess = guess.argmax(1)
    if truth.ndim != 1 or guess.shape != truth.shape or not len(truth):
        raise ValueError(
            f"predicted and labels must have shapes (N,) or (N, classes) and (N,), got "
            f"{tuple(torch.as_tensor(predicted).shape)} and {tuple(truth.shape)}"
        )
    return Accuracy(int((guess == truth).sum()), len(truth))


def frechet_distance(features_a: Tensor | np.ndarray, features_b: Tensor | np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of features.

    Computed in float64 on the CPU with covariances that divide by N − 1. Small sets lie further
    apart by chance: compare only scores of sets of the same sizes.

    Parameters
    ----------
    features_a, features_b
        ``(N, D)`` and ``(M, D)``, N and M at least 2.

    Raises
    ------
    TypeError, ValueError
        If they are no finite tables of floating-point numbers, of the same width and two rows or more.

    Examples
    --------
    >>> a = torch.tensor([[0.0], [2.0]])  # mean 1, variance 2
    >>> frechet_distance(a, a + 3)
    9.0
    >>> frechet_distance(a, 2 * a)  # mean moves by 1, deviation by √2: 1 + 2
    3.0...
    """
    moments = []
    for name, value in (("features_a", features_a), ("features_b", features_b)):
        rows = torch.as_tensor(value).detach()
        table(name, rows)
        if len(rows) < 2:
            raise ValueError(f"{name} must have at least 2 rows, got {len(rows)}")
        x = rows.cpu().numpy().astype(float)
        moments.append((x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))))
    (mu, S), (nu, T) = moments
    if mu.shape != nu.shape:
        raise ValueError(f"features_a and features_b must have the same width, got {len(mu)} and {len(nu)}")
    values, vectors = np.linalg.eigh(S)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    # The trace of a root is the sum of the roots of the eigenvalues; rounding can push those of 0 below it.
    overlap = np.sqrt(np.linalg.eigvalsh(root @ T @ root).clip(0)).sum()
    return float(max(((mu - nu) ** 2).sum() + np.trace(S) + np.trace(T) - 2 * overlap, 0.0))
