"""Newton's method with conjugate gradients, for the objectives of `objectives` on the matrices of `table`.

    minimise over W    F(W) = Σᵢ aᵢ ℓ(W xᵢ) + ½ Σ_j r_j W_kj²

A step P solves H P = −∇F by conjugate gradients, of which each turn reads X once (`Table.sweep`); H itself,
of (DK)² numbers, is never formed. The scores along W + tP are S + t PXᵀ, and PXᵀ is a by-product of the turns:
a line search reads X not at all. What makes the turns few is the preconditioner (see `preconditioners`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .objectives import Curvature, Objective
from .preconditioners import Preconditioner, Solver
from .table import Table

TURNS = 500  # of conjugate gradients in a step
HALVINGS = 60  # of a line search


@dataclass(frozen=True)
class Solution:
    """W ``(K, D + 1)``, the objective there, the norm of its gradient, and what it took."""

    W: Tensor
    value: float
    gradient: float
    steps: int
    converged: bool


class Descent:
    """One problem: table, objective, ridge r ``(D + 1,)``."""

    def __init__(
        self, table: Table, objective: Objective, ridge: Tensor, preconditioner: Preconditioner
    ) -> None:
        self.table, self.objective, self.ridge = table, objective, ridge
        self.preconditioner = preconditioner

    def total(self, A: Tensor, B: Tensor) -> Tensor:
        """⟨A, B⟩: one number where the scores are coupled, one for each row where they are not."""
        total = (A * B).sum(1, keepdim=True, dtype=torch.float64)
        return total.sum(0, keepdim=True) if self.objective.coupled else total

    def minimise(self, W: Tensor, *, tol: float, max_iter: int) -> Solution:
        """From W, until ½⟨∇F, H⁻¹∇F⟩, which estimates F − F*, falls below `tol` · F."""
        S, steps = self.table.scores(W), 0
        while True:
            F = self.objective.value(S) + self.total(self.ridge * W, W) / 2
            G = self.table.back(self.objective.slopes(S)) + self.ridge * W
            curvature = self.objective.curvature(S)
            solve = self.preconditioner(curvature)
            gap = float(self.total(G, solve(G)).sum() / 2)
            total = float(F.sum())
            converged = gap <= tol * total
            if (converged and steps) or steps == max_iter or not math.isfinite(gap):
                return Solution(W, total, float(G.norm()), steps, converged)
            accuracy = min(0.1, math.sqrt(gap / total))
            P, XP = self.direction(G, curvature, solve, accuracy)
            t = self.search(W, S, P, XP, F, self.total(G, P))
            W, S, steps = W + t * P, S + t.to(XP) * XP, steps + 1

    def direction(
        self, G: Tensor, curvature: Curvature, solve: Solver, accuracy: float
    ) -> tuple[Tensor, Tensor]:
        """P with H P ≈ −G, and PXᵀ, by preconditioned conjugate gradients."""
        P, R = torch.zeros_like(G), -G
        XP = torch.zeros_like(curvature.diagonal)
        V = Z = solve(R)
        rz = self.total(R, Z)
        goal = accuracy**2 * rz
        for _ in range(TURNS):
            T, HV = self.table.sweep(V, curvature)
            HV += self.ridge * V
            alpha = _ratio(rz, self.total(V, HV))
            P, XP, R = P + alpha * V, XP + alpha.to(T) * T, R - alpha * HV
            Z = solve(R)
            rz, old = self.total(R, Z), rz
            if bool((rz <= goal).all()):
                break
            V = Z + _ratio(rz, old) * V
        return P, XP

    def search(self, W: Tensor, S: Tensor, P: Tensor, XP: Tensor, F: Tensor, slope: Tensor) -> Tensor:
        """t, 1 where that will do: F not above its start, its slope at most half as steep upwards."""
        t, low, high = torch.ones_like(F), torch.zeros_like(F), torch.full_like(F, math.inf)
        noise = 10 * torch.finfo(S.dtype).eps * F.abs()
        for _ in range(HALVINGS):
            there, w = S + t.to(S) * XP, W + t * P
            value = self.objective.value(there) + self.total(self.ridge * w, w) / 2
            rise = self.total(self.objective.slopes(there), XP) + self.total(self.ridge * w, P)
            beyond = (value > F + noise) | (rise > -0.5 * slope)
            short = ~beyond & (rise < 0.5 * slope) & high.isfinite()
            if not bool((beyond | short).any()):
                break
            high, low = torch.where(beyond, t, high), torch.where(short, t, low)
            t = torch.where(beyond | short, (low + high.clamp(max=1)) / 2, t)
        return t


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and 0 where b is: a score that is done stays as it is."""
    return torch.where(b > 0, a / b.clamp(min=1e-300), 0.0)
