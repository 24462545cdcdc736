"""Numbers that judge: a share of right answers with its interval, and the distance between two clouds.

The 95 % interval of a share is Wilson's (1927): it stays inside [0, 1] and does not shrink to nothing at 100
%.

The Fréchet distance of two Gaussians N(μ, S) and N(ν, T) is (Dowson, Landau 1982)

    d² = ‖μ − ν‖² + tr S + tr T − 2 tr (S^½ T S^½)^½,

and, as in the literature on generated images (Heusel and others 2017), d² itself is what is reported. No
root of a matrix is taken: with S = AᵀA and T = BᵀB (A and B the centred rows over √(N − 1), shortened to
triangles by QR) the last trace is the sum of the singular values of A Bᵀ. This needs no full rank, and keeps
the digits that a root of rounded zeros would lose: √ of 10⁻¹⁶ is 10⁻⁸.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kexue_lite.networks.arguments import table, whole


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
        whole("right", self.right, 0), whole("asked", self.asked)

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
        If the shapes do not fit, there is no example, a score is NaN, a class is no whole number, or a label
        has no score.

    Examples
    --------
    >>> accuracy([0, 1, 1, 0], [0, 1, 1, 1]).value
    0.75
    """
    guess, truth = torch.as_tensor(predicted).detach().cpu(), torch.as_tensor(labels).cpu()
    if guess.is_floating_point() and guess.isnan().any():
        raise ValueError("predicted must not hold NaN")
    classes = guess.shape[1] if guess.ndim == 2 else None
    if guess.ndim == 2 and guess.shape[1]:
        guess = guess.argmax(1)
    if truth.ndim != 1 or guess.shape != truth.shape or not len(truth):
        raise ValueError(
            f"predicted and labels must have shapes (N,) or (N, classes) and (N,), got "
            f"{tuple(torch.as_tensor(predicted).shape)} and {tuple(truth.shape)}"
        )
    for name, values in (("predicted", guess), ("labels", truth)):
        if values.is_complex():
            raise ValueError(f"{name} must be whole numbers, got {values.dtype}")
        if values.is_floating_point() and (odd := ~(values.isfinite() & (values == values.round()))).any():
            raise ValueError(f"{name} must be whole numbers, got {values[odd][0]:g}")  # such as 0.9 for 1
    if classes is not None and not 0 <= truth.min() <= truth.max() < classes:
        raise ValueError(
            f"labels must lie in 0, ..., {classes - 1}, got {truth.min().item():g} to {truth.max().item():g}"
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
    clouds = []
    for name, value in (("features_a", features_a), ("features_b", features_b)):
        rows = torch.as_tensor(value).detach()
        table(name, rows)
        if len(rows) < 2:
            raise ValueError(f"{name} must have at least 2 rows, got {len(rows)}")
        x = rows.cpu().double()
        mean = x.mean(0)
        clouds.append((mean, torch.linalg.qr((x - mean) / math.sqrt(len(x) - 1), mode="r").R))
    (mu, A), (nu, B) = clouds
    if mu.shape != nu.shape:
        raise ValueError(f"features_a and features_b must have the same width, got {len(mu)} and {len(nu)}")
    traces = A.square().sum() + B.square().sum()
    squared = (mu - nu).square().sum() + traces - 2 * torch.linalg.svdvals(A @ B.T).sum()
    return max(float(squared), 0.0)
