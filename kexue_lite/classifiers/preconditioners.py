"""Matrices at or near the Hessian whose inverse is cheap: from where Newton's method or L-BFGS starts.

`exact`       the Hessian itself, factorised anew in each step: Newton's method. It has a block
              Xᵀ diag(∂²ℓ/∂s_k∂s_l) X for each pair of scores, or, where they are not coupled, for each score.
              For small problems.
`kronecker`   one matrix G = Xᵀ diag(c) X for all scores, c the total curvature of an example, from a sample
              of rows, times the mean curvature Ā ``(K, K)`` of an example: Ā ⊗ G + I. With the eigenvectors
              of both its inverse is four small products. (Böhning 1992 has such a bound, Ā = ½(I − 11ᵀ/K).)
              Made anew at a few steps.
`diagonal`    the diagonal alone. For very many features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .objectives import Curvature, Objective
from .table import Table

Solver = Callable[[Tensor], Tensor]
WIDEST = 2500  # side up to which a matrix is factorised
CHEAP = 4e9  # operations up to which each step makes a Hessian of its own
SAMPLE = 8  # rows of the sample for each feature
SEED = 0  # of the sample: it changes the way, not the minimum
AGAIN = (0, 8, 20, 40, 80)  # steps at which all but the exact one are made anew


class Preconditioner:
    """Chooses by size; gives a function R → M⁻¹R for the curvature at the scores S.

    Parameters
    ----------
    table, ridge
        X, and the quadratic penalty's r ``(D + 1,)``.
    scores
        K.
    coupled
        Whether a loss couples them.
    """

    def __init__(self, table: Table, ridge: Tensor, scores: int, *, coupled: bool) -> None:
        self.table, self.ridge = table, ridge
        n, width = table.shape[0], table.width
        side, blocks = (width * scores, scores * (scores + 1) / 2) if coupled else (width, scores)
        self.coupled = coupled
        self.exact = side <= WIDEST and 2 * blocks * n * width**2 + side**3 / 3 <= CHEAP
        self.kind = "exact" if self.exact else "kronecker" if width <= WIDEST else "diagonal"
        self.rows = torch.arange(n, device=table.device)
        if self.kind == "kronecker" and SAMPLE * width < n:
            shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(SEED))
            self.rows = shuffled[: SAMPLE * width].sort().values.to(table.device)
        self.last: Solver | None = None

    def __call__(self, objective: Objective, S: Tensor, step: int) -> Solver:
        if self.last is None or self.exact or step in AGAIN:
            curvature = objective.curvature(S)
            make = {"exact": self._exact, "kronecker": self._kronecker, "diagonal": self._diagonal}
            self.last = make[self.kind](curvature)
        return self.last

    def _exact(self, curvature: Curvature) -> Solver:
        blocks = [self.table.gram(c, self.rows) + torch.diag(self.ridge) for c in curvature.diagonal]
        if not self.coupled:
            return _factorised(torch.stack(blocks))
        K, width = len(blocks), self.table.width
        H = torch.block_diag(*blocks)
        for k in range(K):
            for l in range(k):
                block = self.table.gram(curvature.between(k, l), self.rows)  # symmetric, like every gram
                H[k * width : (k + 1) * width, l * width : (l + 1) * width] = block
                H[l * width : (l + 1) * width, k * width : (k + 1) * width] = block
        solve = _factorised(H[None])
        return lambda R: solve(R.reshape(1, -1)).reshape(R.shape)

    def _kronecker(self, curvature: Curvature) -> Solver:
        c = curvature.diagonal.sum(0)[self.rows]
        c = c / c.mean() if float(c.sum()) > 0 else torch.ones_like(c)
        L, Q = torch.linalg.eigh(self.table.gram(c, self.rows) * (self.table.shape[0] / len(self.rows)))
        sigma, U = torch.linalg.eigh(curvature.mean)
        D = sigma.clamp(min=0)[:, None] * L.clamp(min=0) + 1
        return lambda R: U @ ((U.T @ R @ Q) / D) @ Q.T

    def _diagonal(self, curvature: Curvature) -> Solver:
        M = self.table.squares(curvature.diagonal) + self.ridge
        M = torch.where(M > 0, M, 1.0)
        return lambda R: R / M


def _factorised(M: Tensor) -> Solver:
    """Cholesky factors of some matrices, scaled to a diagonal of ones, raised a little where they fail."""
    scale = M.diagonal(dim1=1, dim2=2)
    scale = torch.where(scale > 0, scale, 1.0).rsqrt()
    M = M * scale[:, :, None] * scale[:, None]
    eye = torch.eye(M.shape[1], dtype=M.dtype, device=M.device)
    for jitter in (1e-14, 1e-11, 1e-8, 1e-5, 1e-2):
        factor, failed = torch.linalg.cholesky_ex(M + jitter * eye)
        if not bool(failed.any()):
            break
    return lambda R: scale * torch.cholesky_solve((scale * R)[:, :, None], factor)[:, :, 0]
