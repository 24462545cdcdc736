"""What the solver minimises: Σᵢ aᵢ ℓ(scores of i) + a quadratic penalty, for two kinds of losses.

`Softmax`     ℓ = log Σ_k e^(s_k) − s_y: all K scores of an example enter one loss.
`Margins`     ℓ = Σ_k l(y_k s_k) with y_k = ±1: K problems that share nothing but X, solved side by side.

Each gives the values, the slopes ∂ℓ/∂s, ``(K, N)``, and the curvature as an action on ``(K, N)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


class Curvature(Protocol):
    """The second derivatives of the losses at fixed scores."""

    def __call__(self, rows: slice, T: Tensor) -> Tensor:
        """Their action on T, for some rows."""
        ...

    @property
    def diagonal(self) -> Tensor:
        """``(K, N)``."""
        ...

    @property
    def mean(self) -> Tensor:
        """Of an example, ``(K, K)``."""
        ...


class Objective(Protocol):
    """A loss of the scores."""

    coupled: bool

    def value(self, S: Tensor) -> Tensor:
        """Sum of the losses in float64: ``(1, 1)`` where coupled, ``(K, 1)`` where not."""
        ...

    def slopes(self, S: Tensor) -> Tensor:
        """∂ℓ/∂s, ``(K, N)``."""
        ...

    def curvature(self, S: Tensor) -> Curvature:
        """∂²ℓ/∂s²."""
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

    def slopes(self, S: Tensor) -> Tensor:
        R = S.softmax(0)
        R.scatter_add_(0, self.y, torch.full_like(self.a, -1))
        return R.mul_(self.a)

    def curvature(self, S: Tensor) -> Curvature:
        return _SoftmaxCurvature(S.softmax(0), self.a)


@dataclass
class _SoftmaxCurvature:
    """T → a (p ∘ T − p ⟨p, T⟩)."""

    p: Tensor
    a: Tensor

    def __call__(self, rows: slice, T: Tensor) -> Tensor:
        p = self.p[:, rows]
        A = p * T
        return A.sub_(p * A.sum(0, keepdim=True)).mul_(self.a[:, rows])

    @property
    def diagonal(self) -> Tensor:
        return self.a * self.p * (1 - self.p)

    @property
    def mean(self) -> Tensor:
        ap = self.a * self.p
        return (torch.diag(ap.sum(1)) - ap @ self.p.T).double() / ap.shape[1]


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

    def slopes(self, S: Tensor) -> Tensor:
        m = self.Y * S
        if self.kind == "logistic":
            slope = -torch.sigmoid(-m)
        elif self.kind == "squared_hinge":
            slope = -2 * (1 - m).clamp(min=0)
        else:
            slope = -((1 + self.width - m) / (2 * self.width)).clamp(0, 1)
        return slope.mul_(self.Y).mul_(self.a)

    def curvature(self, S: Tensor) -> Curvature:
        m = self.Y * S
        if self.kind == "logistic":
            p = torch.sigmoid(m)
            return _Diagonal(self.a * p * (1 - p))
        if self.kind == "squared_hinge":
            return _Diagonal(self.a * (2 * (m < 1)))
        return _Diagonal(self.a * (((m - 1).abs() < self.width) / (2 * self.width)))


@dataclass
class _Diagonal:
    """T → c ∘ T."""

    diagonal: Tensor

    def __call__(self, rows: slice, T: Tensor) -> Tensor:
        return self.diagonal[:, rows] * T

    @property
    def mean(self) -> Tensor:
        return torch.diag(self.diagonal.mean(1)).double()
