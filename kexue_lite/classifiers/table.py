"""The examples as the solver sees them: a dense or sparse matrix X that is read as seldom as possible.

With N rows, D features and K scores a product X Wᵀ costs 2NDK operations and one reading of X; for K = 10 the
reading is what takes the time. `sweep` therefore makes h(W Xᵀ) X in one reading instead of two: block by
block, each small enough to stay in the processor's cache between the two products. A sparse X is never made
dense.

Scores are kept as ``(K, N)`` and weights as ``(K, D + 1)``: with the long axis last, the same products were
measured to take a third of the time that they take as ``(N, K)`` (torch with MKL, one core).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 1 << 19  # numbers of a block: 2 MB in float32
Action = Callable[[slice, Tensor], Tensor]  # of some rows and their (K, rows)


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
        self.width = int(X.shape[1]) + ones  # D, or D + 1 with the column of ones

    def zeros(self, *size: int) -> Tensor:
        """In float64: what is kept of the solver is small, and exact."""
        return torch.zeros(*size, dtype=torch.float64, device=self.device)

    def scores(self, W: Tensor) -> Tensor:
        """W Xᵀ, ``(K, N)``, in the type of X."""
        self.passes += 1
        W = W.to(self.dtype)
        V, b = W[:, : self.shape[1]], W[:, self.shape[1] :].sum(1, keepdim=True)
        return V @ self.X.T + b if self.dense else (self.X @ V.T).T.contiguous() + b

    def back(self, R: Tensor) -> Tensor:
        """R X, ``(K, D + 1)``, in float64, for R ``(K, N)``."""
        self.passes += 1
        return self._close(R @ self.X if self.dense else (self.XT @ R.T.contiguous()).T, R)

    def sweep(self, W: Tensor, act: Action) -> tuple[Tensor, Tensor]:
        """T = W Xᵀ and h(T) X, in one reading of X if it is dense; `act` is h, of rows and their T."""
        if not self.dense:
            T = self.scores(W)
            return T, self.back(act(slice(None), T))
        self.passes += 1
        W = W.to(self.dtype)
        V, b = W[:, : self.shape[1]], W[:, self.shape[1] :].sum(1, keepdim=True)
        parts, G = [], self.zeros(len(W), self.width)
        for block, rows in self._blocks():
            T = V @ block.T
            T += b
            H = act(rows, T)
            G += self._close(H @ block, H)
            parts.append(T)
        return torch.cat(parts, 1), G

    def gram(self, weights: Tensor, rows: Tensor) -> Tensor:
        """Xᵀ diag(c) X over some rows with weights c ≥ 0, ``(D + 1, D + 1)``, in float64."""
        self.passes += len(rows) / self.shape[0]
        D = self.shape[1]
        G = self.zeros(self.width, self.width)
        if self.dense:
            part = self.X[rows]
            G[:D, :D] = part.T @ (part * weights[:, None])
            side = weights @ part
        else:
            part, c = self.host[rows.cpu().numpy()], weights.cpu().numpy()
            G[:D, :D] = torch.from_numpy((part.T @ part.multiply(c[:, None])).toarray())  # only D × D
            side = torch.from_numpy(part.T @ c)
        if self.ones:
            G[D, :D] = G[:D, D] = side.to(G)
            G[D, D] = weights.sum(dtype=torch.float64)
        return G

    def squares(self, weights: Tensor) -> Tensor:
        """The diagonals of Xᵀ diag(c_k) X for the rows c_k of c ``(K, N)``: ``(K, D + 1)``, in float64."""
        self.passes += 1
        if not self.dense:
            squared = self.host.T.power(2) @ weights.T.cpu().numpy()
            return self._close(torch.from_numpy(squared.T).to(self.device), weights)
        return sum(
            (self._close(weights[:, rows] @ block**2, weights[:, rows]) for block, rows in self._blocks()),
            start=self.zeros(len(weights), self.width),
        )

    def _blocks(self) -> list[tuple[Tensor, slice]]:
        step = max(64, BLOCK // self.shape[1])
        slices = [slice(begin, begin + step) for begin in range(0, self.shape[0], step)]
        return [(self.X[rows], rows) for rows in slices]

    def _close(self, left: Tensor, R: Tensor) -> Tensor:
        """The columns of D features, and behind them that of the ones."""
        parts = [left.double()] + ([R.sum(1, keepdim=True, dtype=torch.float64)] if self.ones else [])
        return torch.cat(parts, 1)


def _csr(X: Any, device: torch.device) -> Tensor:
    indptr, indices = (torch.from_numpy(part.astype(np.int64)) for part in (X.indptr, X.indices))
    with warnings.catch_warnings():  # "CSR support is in beta": every product is tested against scikit-learn
        warnings.filterwarnings("ignore", message=".*[Ss]parse.*")
        return torch.sparse_csr_tensor(
            indptr, indices, torch.from_numpy(X.data.copy()), size=X.shape, device=device
        )
