"""What the descent minimises: Σᵢ aᵢ ℓ(scores of i) + a quadratic penalty, for two kinds of losses.

`Softmax`     ℓ = log Σ_k e^(s_k) − s_y: all K scores of an example enter one loss.
`Margins`     ℓ = Σ_k l(y_k s_k) with y_k = ±1: K problems that share nothing but X, solved side by side.

Scores S are ``(K, N)``. Each gives the values, the slopes ∂ℓ/∂s ``(K, N)``, also of some rows alone, and the
curvatures ∂²ℓ/∂s_k∂s_l.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

ALL = slice(None)


class Objective(Protocol):
    """A loss of the scores."""

    coupled: bool

    def value(self, S: Tensor) -> Tensor:
        """Sum of the losses in float64: ``(1, 1)`` where coupled, ``(K, 1)`` where not."""
        ...

    def slopes(self, S: Tensor, rows: slice = ALL) -> Tensor:
        """∂ℓ/∂s, ``(K, N)``; with `rows`, S is that of these rows alone."""
        ...

    def curvature(self, S: Tensor) -> Curvature:
        """∂²ℓ/∂s²."""
        ...


class Curvature(Protocol):
    """The second derivatives of the losses at fixed scores."""

    diagonal: Tensor  # ∂²ℓ/∂s_k², (K, N)

    def between(self, k: int, l: int) -> Tensor:
        """∂²ℓ/∂s_k∂s_l, ``(N,)``, for k ≠ l."""
        ...

    @property
    def mean(self) -> Tensor:
        """Of an example, ``(K, K)``."""
        ...


@dataclass
class Softmax:
    """log Σ_k e^(s_k) − s_y with weights a ``(1, N)``; y ``(1, N)`` of 0 .. K − 1."""

    y: Tensor
    a: Tensor
    coupled = True

    def value(self, S: Tensor) -> Tensor:
        losses = S.logsumexp(0, keepdim=True) - S.gather(0, self.y)
        return losses.mul_(self.a).sum(1, keepdim=True, dtype=torch.float64)

    def slopes(self, S: Tensor, rows: slice = ALL) -> Tensor:
        a = self.a[:, rows]
        R = S.softmax(0)
        R.scatter_add_(0, self.y[:, rows], torch.full_like(a, -1))
        return R.mul_(a)

    def curvature(self, S: Tensor) -> Curvature:
        return _SoftmaxCurvature(S.softmax(0), self.a)


class _SoftmaxCurvature:
    """a (p_k δ_kl − p_k p_l)."""

    def __init__(self, p: Tensor, a: Tensor) -> None:
        self.p, self.ap = p, a * p
        self.diagonal = self.ap * (1 - p)

    def between(self, k: int, l: int) -> Tensor:
        return -self.ap[k] * self.p[l]

    @property
    def mean(self) -> Tensor:
        return (torch.diag(self.ap.sum(1)) - self.ap @ self.p.T).double() / self.p.shape[1]


@dataclass
class Margins:
    """Σ_k l(y_k s_k) with weights a ``(K, N)``; Y ``(K, N)`` of ±1.

    `kind` is ``logistic``, ``squared_hinge`` or ``hinge``, the last one smeared over m ± `width` as in
    `fit_linear`: (1 + δ − m)²/4δ within 1 ± δ.
    """

    Y: Tensor
    a: Tensor
    kind: str
    width: float = 0.0
    coupled = False

    def value(self, S: Tensor) -> Tensor:
        m = self.Y * S
        if self.kind == "logistic":
            losses = -logsigmoid(m)
        elif self.kind == "squared_hinge":
            losses = (1 - m).clamp(min=0) ** 2
        else:
            within = (1 + self.width - m).clamp(0, 2 * self.width)
            losses = within**2 / (4 * self.width) + (1 - self.width - m).clamp(min=0)
        return losses.mul_(self.a).sum(1, keepdim=True, dtype=torch.float64)

    def slopes(self, S: Tensor, rows: slice = ALL) -> Tensor:
        Y = self.Y[:, rows]
        m = Y * S
        if self.kind == "logistic":
            slope = -torch.sigmoid(-m)
        elif self.kind == "squared_hinge":
            slope = -2 * (1 - m).clamp(min=0)
        else:
            slope = -((1 + self.width - m) / (2 * self.width)).clamp(0, 1)
        return slope.mul_(Y).mul_(self.a[:, rows])

    def curvature(self, S: Tensor) -> Curvature:
        m = self.Y * S
        if self.kind == "logistic":
            p = torch.sigmoid(m)
            return _Diagonal(self.a * p * (1 - p))
        if self.kind == "squared_hinge":
            return _Diagonal(self.a * (2 * (m < 1)))
        return _Diagonal(self.a * (((m - 1).abs() < self.width) / (2 * self.width)))


class _Diagonal:
    """No curvature between scores."""

    def __init__(self, diagonal: Tensor) -> None:
        self.diagonal = diagonal

    def between(self, k: int, l: int) -> Tensor:
        return torch.zeros_like(self.diagonal[k])

    @property
    def mean(self) -> Tensor:
        return torch.diag(self.diagonal.mean(1)).double()
