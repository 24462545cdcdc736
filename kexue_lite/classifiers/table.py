"""The examples as the solver sees them: a dense or sparse matrix X that is read as seldom as possible.

With n rows, d features and K scores a product X V costs 2ndK operations and one reading of X; for K = 10
the reading is what takes the time. `sweep` therefore makes Xᵀ h(X V) in one reading instead of two: block
by block, each small enough to stay in the processor's cache between the two products. A sparse X is never made dense.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 19  # numbers of a block: 2 MB in float32
Rows = slice
Action = Callable[[Rows, Tensor], Tensor]


class Table:
    """X with a column of ones behind it (where there is an intercept); `passes` counts how often it was read.

    Parameters
    ----------
    X
        ``(N, D)``, numpy array or scipy CSR, float32 or float64.
    ones
        Whether a column of ones is appended (it is not stored).
    device
        Where X goes.
    """

    def __init__(self, X: Any, *, ones: bool, device: torch.device) -> None:
        self.shape, self.ones, self.device, self.passes = X.shape, ones, device, 0.0
        self.dense = isinstance(X, np.ndarray)
        if self.dense:
            X = X if X.flags.writeable else X.copy()  # torch has no read-only tensors, and says so
            self.X = torch.from_numpy(X).to(device)
        else:
            self.host = X
            self.X, self.XT = _csr(X, device), _csr(X.T.tocsr(), device)
        self.dtype = self.X.dtype

    @property
    def width(self) -> int:
        """D, or D + 1 with the column of ones."""
        return int(self.shape[1]) + self.ones

    def zeros(self, *size: int) -> Tensor:
        """In float64: what is kept of the solver is small, and exact."""
        return torch.zeros(*size, dtype=torch.float64, device=self.device)

    def scores(self, V: Tensor) -> Tensor:
        """X V, ``(N, K)``, in the type of X."""
        self.passes += 1
        V = V.to(self.dtype)
        return self.X @ V[: self.shape[1]] + V[self.shape[1] :].sum(0)

    def back(self, R: Tensor) -> Tensor:
        """Xᵀ R, ``(D + 1, K)``, in float64."""
        self.passes += 1
        return self._close(self.X.T @ R if self.dense else self.XT @ R, R)

    def sweep(self, V: Tensor, act: Action) -> tuple[Tensor, Tensor]:
        """T = X V and Xᵀ h(T), in one reading of X if it is dense; `act` is h, of rows and their T."""
        if not self.dense:
            T = self.scores(V)
            return T, self.back(act(slice(None), T))
        self.passes += 1
        V = V.to(self.dtype)
        D, step = self.shape[1], max(64, BLOCK // self.shape[1])
        T = torch.empty(self.shape[0], V.shape[1], dtype=self.dtype, device=self.device)
        G = torch.zeros(self.width, V.shape[1], dtype=torch.float64, device=self.device)
        for begin in range(0, self.shape[0], step):
            rows = slice(begin, begin + step)
            block = self.X[rows]
            T[rows] = block @ V[:D] + V[D:].sum(0)
            H = act(rows, T[rows])
            G += self._close(block.T @ H, H)
        return T, G

    def gram(self, weights: Tensor, rows: Tensor) -> Tensor:
        """Xᵀ diag(c) X over some rows with weights c ≥ 0, ``(D + 1, D + 1)``, in float64."""
        self.passes += len(rows) / self.shape[0]
        D = self.shape[1]
        G = self.zeros(self.width, self.width)
        if self.dense:
            part = self.X[rows]
            G[:D, :D] = part.T @ (part * weights[:, None])
            side = part.T @ weights
        else:
            index, c = rows.cpu().numpy(), weights.cpu().numpy()
            part = self.host[index]
            G[:D, :D] = torch.from_numpy((part.T @ part.multiply(c[:, None])).toarray()).to(G)  # D × D only
            side = torch.from_numpy(part.T @ c).to(G)
        if self.ones:
            G[D, :D] = G[:D, D] = side
            G[D, D] = weights.sum(dtype=torch.float64)
        return G

    def squares(self, weights: Tensor) -> Tensor:
        """The diagonals of Xᵀ diag(c_k) X for the columns of c, ``(D + 1, K)``, in float64."""
        self.passes += 1
        if self.dense:
            return self._close((self.X.T**2) @ weights, weights)
        squared = torch.from_numpy(self.host.T.power(2) @ weights.cpu().numpy()).to(self.device)
        return self._close(squared, weights)

    def _close(self, upper: Tensor, R: Tensor) -> Tensor:
        """The rows of D features, and below them that of the ones."""
        parts = [upper.double()] + ([R.sum(0, keepdim=True, dtype=torch.float64)] if self.ones else [])
        return torch.cat(parts)


def _csr(X: Any, device: torch.device) -> Tensor:
    indptr, indices = (torch.from_numpy(part.astype(np.int64)) for part in (X.indptr, X.indices))
    with warnings.catch_warnings():  # "CSR support is in beta": every product is tested against scikit-learn
        warnings.filterwarnings("ignore", message=".*[Ss]parse.*")
        return torch.sparse_csr_tensor(
            indptr, indices, torch.from_numpy(X.data.copy()), size=X.shape, device=device
        )
