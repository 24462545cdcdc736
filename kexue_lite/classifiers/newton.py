"""The descent of both estimators: Newton's method where the Hessian is affordable, else L-BFGS started from
a matrix near it.

    minimise over W    F(W) = Σᵢ aᵢ ℓ(W xᵢ) + ½ Σ_kj r_j W_kj²

A step is P = −B ∇F with B ≈ H⁻¹: the inverse that `preconditioners` gives, corrected by what the last steps
showed of the true curvature (Nocedal 1980). The gradient at W + P is made in the very reading of X that makes
the scores of P (`Table.sweep`), so an accepted step reads X once. If it is too long, the scores along W + tP
are S + t PXᵀ: the line search reads X not at all, only the gradient at its end does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .objectives import Objective
from .preconditioners import Preconditioner, Solver
from .table import Table

Total = Callable[[Tensor, Tensor], Tensor]
MEMORY = 30  # steps that L-BFGS remembers
TRIALS = 60  # of a line search
PATIENCE = 3  # steps in a row whose estimate must be small, where it is an estimate
STUCK = 10  # steps without half the gap after which a gap near rounding is taken for rounding


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
        """From W, until ½⟨∇F, B∇F⟩, which estimates F − F*, is below `tol` · F and a last step is done."""
        S = self.table.scores(W)
        F, G = self.value(W, S), self.table.back(self.objective.slopes(S)) + self.ridge * W
        memory: list[tuple[Tensor, Tensor, Tensor]] = []
        small = stuck = steps = 0
        least, nothing = math.inf, torch.finfo(torch.float64).eps * float(F.sum())  # if the minimum is 0
        while True:
            solve = self.preconditioner(self.objective, S, steps)
            P = -_two_loops(G, memory, solve, self.total)
            slope = self.total(G, P)
            gap, value = float(-slope.sum() / 2), float(F.sum())
            small = small + 1 if gap <= max(tol * value, nothing) else 0
            stuck, least = (0, gap) if gap < least / 2 else (stuck + 1, least)
            rounding = stuck >= STUCK and gap <= 10 * torch.finfo(S.dtype).eps * value
            enough = rounding or small > (1 if self.preconditioner.exact else PATIENCE)
            if enough or steps == max_iter or not math.isfinite(gap) or gap == 0:
                return Solution(W, value, float(G.norm()), steps, enough or gap == 0)
            T, G_new = self.table.sweep(P, lambda rows, T: self.objective.slopes(S[:, rows] + T, rows))  # noqa: B023
            t = self.search(W, S, P, T, F, slope)
            W_new, S = W + t * P, S + t.to(T) * T
            if not bool((t == 1).all()):
                G_new = self.table.back(self.objective.slopes(S))
            G_new += self.ridge * W_new
            if not self.preconditioner.exact:
                memory = [*memory, _pair(W_new - W, G_new - G, self.total)][-MEMORY:]
            W, G, F, steps = W_new, G_new, self.value(W_new, S), steps + 1

    def value(self, W: Tensor, S: Tensor) -> Tensor:
        """F, for each row where these are problems of their own."""
        return self.objective.value(S) + self.total(self.ridge * W, W) / 2

    def search(self, W: Tensor, S: Tensor, P: Tensor, T: Tensor, F: Tensor, slope: Tensor) -> Tensor:
        """t, 1 where that will do: F not above its start, its slope at most half as steep upwards."""
        t, low, high = torch.ones_like(F), torch.zeros_like(F), torch.full_like(F, math.inf)
        at_low, at_high = slope.clone(), torch.full_like(F, math.inf)
        noise = 10 * torch.finfo(S.dtype).eps * F.abs()
        for _ in range(TRIALS):
            there, w = S + t.to(S) * T, W + t * P
            rise = self.total(self.objective.slopes(there), T) + self.total(self.ridge * w, P)
            beyond = (self.value(w, there) > F + noise) | (rise > -0.5 * slope)
            short = ~beyond & (rise < 0.5 * slope) & high.isfinite()
            if not bool((beyond | short).any()):
                break
            high, at_high = torch.where(beyond, t, high), torch.where(beyond, rise, at_high)
            low, at_low = torch.where(short, t, low), torch.where(short, rise, at_low)
            # Where the slope, were it straight between the two ends, would be 0; never close to an end.
            part = (-at_low / (at_high - at_low).clamp(min=1e-300)).nan_to_num(0.5).clamp(0.1, 0.7)
            t = torch.where(beyond | short, low + part * (high.clamp(max=1) - low), t)
        return t


def _pair(s: Tensor, y: Tensor, total: Total) -> tuple[Tensor, Tensor, Tensor]:
    sy = total(s, y)
    return s, y, torch.where(sy > 0, 1 / sy.clamp(min=1e-300), 0.0)


def _two_loops(G: Tensor, memory: list[tuple[Tensor, Tensor, Tensor]], solve: Solver, total: Total) -> Tensor:
    """B G: the inverse that `solve` applies, corrected so that B y = s for the last step."""
    Q, coefficients = G, []
    for s, y, rho in reversed(memory):
        coefficients.append(rho * total(s, Q))
        Q = Q - coefficients[-1] * y
    Q = solve(Q)
    if memory:  # and brought to the scale of the true curvature, as the last step showed it
        s, y, rho = memory[-1]
        Q = Q * torch.where(rho > 0, 1 / (rho * total(y, solve(y))).clamp(min=1e-300), 1.0)
    for s, y, rho in memory:
        Q = Q + (coefficients.pop() - rho * total(y, Q)) * s
    return Q
