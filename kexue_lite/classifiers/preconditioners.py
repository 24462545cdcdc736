"""Matrices near the Hessian whose inverse is cheap: what makes conjugate gradients need few turns.

With c ``(K, N)`` the diagonal of the losses' curvature, the Hessian's block of score k is
Xᵀ diag(c_k) X + diag(r).

`own`         these blocks themselves, factorised anew in each step: exact where the scores are not
              coupled. For small problems.
`kronecker`   one matrix G = Xᵀ diag(c) X for all scores, c the mean over k, from a sample of rows, times the
              mean curvature Ā ``(K, K)`` of an example: Ā ⊗ G + I. With the eigenvectors of both its
              inverse is four small products. (Böhning 1992 bounds softmax so, with Ā = ½(I − 11ᵀ/K).)
`diagonal`    the diagonals alone. For very many features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .objectives import Curvature
from .table import Table

Solver = Callable[[Tensor], Tensor]
WIDEST = 2500  # features up to which a D × D matrix is made
CHEAP = 4e9  # operations up to which each step makes K of them from all rows
SAMPLE = 8  # rows of the sample for each feature
SEED = 0  # of the sample: it changes the way, not the minimum


class Preconditioner:
    """Chooses by size, and gives a function R → M⁻¹R for the present curvature."""

    def __init__(self, table: Table, ridge: Tensor, scores: int) -> None:
        self.table, self.ridge = table, ridge
        n, width = table.shape[0], table.width
        self.kind = "diagonal" if width > WIDEST else "own" if scores * n * width**2 <= CHEAP else "kronecker"
        self.rows = torch.arange(n, device=table.device)
        if self.kind == "kronecker" and SAMPLE * width < n:
            shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(SEED))
            self.rows = shuffled[: SAMPLE * width].sort().values.to(table.device)
        self.eigen: tuple[Tensor, Tensor] | None = None

    def __call__(self, curvature: Curvature) -> Solver:
        c = curvature.diagonal
        if self.kind == "diagonal":
            M = self.table.squares(c) + self.ridge
            M = torch.where(M > 0, M, 1.0)
            return lambda R: R / M
        if self.kind == "own":
            return _factorised([self.table.gram(own, self.rows) for own in c], self.ridge)
        return self._kronecker(curvature)

    def _kronecker(self, curvature: Curvature) -> Solver:
        n = self.table.shape[0]
        c = curvature.diagonal.sum(0)
        if self.eigen is None:
            weights = c[self.rows] / c[self.rows].mean()
            G = self.table.gram(weights, self.rows) * (n / len(self.rows))
            self.eigen = torch.linalg.eigh(G)
        L, Q = self.eigen
        sigma, U = torch.linalg.eigh(curvature.mean)
        D = sigma.clamp(min=0)[:, None] * L.clamp(min=0) + 1
        return lambda R: U @ ((U.T @ R @ Q) / D) @ Q.T


def _factorised(grams: list[Tensor], ridge: Tensor) -> Solver:
    """Cholesky factors of the blocks, scaled to a diagonal of ones."""
    M = torch.stack(grams) + torch.diag(ridge)
    scale = M.diagonal(dim1=1, dim2=2)
    scale = torch.where(scale > 0, scale, 1.0).rsqrt()
    M = M * scale[:, :, None] * scale[:, None]
    eye = torch.eye(M.shape[1], dtype=M.dtype, device=M.device)
    for jitter in (1e-14, 1e-11, 1e-8, 1e-5, 1e-2):
        factor, failed = torch.linalg.cholesky_ex(M + jitter * eye)
        if not bool(failed.any()):
            break
    return lambda R: scale * torch.cholesky_solve((scale * R)[:, :, None], factor)[:, :, 0]
