"""The truncated singular value decomposition, the vectors it gives, and the linear autoencoder that it is.

M ≈ U Σ Vᵀ with the r largest singular values: of all matrices of rank r the nearest to M (Eckart and Young
1936). `truncated_svd` finds it by block Lanczos bidiagonalisation (Golub and Kahan 1965): from an
orthonormal block V₁,

    A V_j = U_{j−1} S_jᵀ + U_j R_j,      Aᵀ U_j = V_j R_jᵀ + V_{j+1} S_{j+1},

so that in the bases built so far A is a small band matrix B, whose singular values are those of A as soon
as the residual ‖S_{j+1} P_j‖ (P_j: the last rows of B's left singular vectors) is small. Every block is
orthogonalised against all before it. The work is products of A with blocks of vectors, on the CPU or a GPU.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from kexue_lite.embeddings.arguments import finite, random_source, whole
from kexue_lite.embeddings.counts import Cooccurrence, pmi
from kexue_lite.embeddings.vectors import WordVectors


@dataclass(frozen=True, eq=False)
class TruncatedSVD:
    """A ≈ U diag(s) Vᵀ of rank r.

    Attributes
    ----------
    U, s, Vt
        Shapes ``(m, r)``, ``(r,)`` in falling order, ``(r, n)``; in each column of U the largest entry is
        positive.
    residual
        The largest ‖Aᵀu − s v‖ over the triples, divided by the largest singular value.
    """

    U: torch.Tensor
    s: torch.Tensor
    Vt: torch.Tensor
    residual: float


def truncated_svd(
    matrix: Any,
    rank: int,
    *,
    tolerance: float = 1e-9,
    generator: torch.Generator | None = None,
) -> TruncatedSVD:
    """The `rank` largest singular values of a matrix with their vectors (chapter 4, section 4.3).

    Parameters
    ----------
    matrix
        A, of shape ``(m, n)``: a scipy sparse matrix, an array, or a tensor (strided or CSR) on any device.
        Computed in float64.
    rank
        r, from 1 to min(m, n).
    tolerance
        Bound of `.residual`, at least 1e-14. Singular values are then exact to about its square over their
        relative gap.
    generator
        Of the random starting block (on the CPU); seed 0 if left out.

    Raises
    ------
    TypeError
        If `matrix` does not hold real numbers.
    ValueError
        If `matrix` is not 2-D, is empty or has NaN or infinity in it; if `rank` or `tolerance` is out of
        range.

    Examples
    --------
    >>> A = np.outer([3.0, 4.0], [1.0, 0.0, 0.0]) + np.outer([-0.4, 0.3], [0.0, 1.0, 0.0])
    >>> truncated_svd(A, 2).s
    tensor([5.0000, 0.5000], dtype=torch.float64)
    """
    A, At = _operator(matrix)
    m, n = A.shape
    _whole("rank", rank, min(m, n), f"the smaller side of {(m, n)}")
    finite("tolerance", tolerance)
    if not tolerance >= 1e-14:
        raise ValueError(f"tolerance must be at least 1e-14, got {tolerance}")
    if min(m, n) <= max(300, 4 * rank):
        return _dense(A, rank)
    block = max(4, min(12, rank))  # larger ones need more columns in all, smaller ones more passes
    generator = random_source(generator)
    start = torch.randn(n, block, generator=generator, dtype=torch.float64).to(A.device)
    right, left = _Basis(n, start), _Basis(m, start)
    V, _ = right.extend(start)
    B = start.new_zeros(0, 0)
    U = coupling = None  # U_{j−1} and S_j
    check_at = 2 * rank
    while right.size + block <= min(m, n):
        Y = A @ V
        if U is not None and coupling is not None:
            Y = Y - U @ coupling.T
        U, R = left.extend(Y)
        grown = B.new_zeros(left.size, right.size)
        grown[: len(B), : len(B)] = B
        grown[-block:, -block:] = R
        if coupling is not None:
            grown[-2 * block : -block, -block:] = coupling.T
        B = grown
        V, coupling = right.extend(At @ U - V @ R.T)
        if left.size >= check_at:
            check_at = int(1.08 * left.size)
            P, s, Qt = torch.linalg.svd(B)
            residual = torch.linalg.norm(coupling @ P[-block:, :rank], dim=0).max() / s[0].clamp(min=1e-300)
            if residual <= tolerance:
                width = B.shape[1]
                vectors = left.all() @ P[:, :rank], (right.all()[:, :width] @ Qt[:rank].T).T
                return _signed(vectors[0], s[:rank], vectors[1], float(residual))
    return _dense(A, rank)


def svd_vectors(
    cooccurrence: Cooccurrence,
    *,
    dimensions: int = 100,
    shift: float = 1,
    exponent: float = 0.75,
    positive: bool = True,
    power: float = 0.5,
    tolerance: float = 1e-6,
) -> WordVectors:
    """Word vectors from the truncated SVD of the (shifted, positive) PMI matrix (chapter 4, section 4.5).

    With M ≈ U Σ Vᵀ the vectors are W = U Σ^p and the contexts C = V Σ^(1−p), so that W Cᵀ is the best
    approximation of M of this rank, for every p (Levy, Goldberg and Dagan 2015).

    Parameters
    ----------
    cooccurrence
        Counts, from `kexue_lite.embeddings.cooccurrence`.
    dimensions
        d, at most the size of the vocabulary.
    shift, exponent, positive
        Of the matrix M, see `kexue_lite.embeddings.pmi`. With ``positive=False`` pairs that never occur are
        entries of 0 and not of −∞: the matrix is then a compromise and no PMI.
    power
        p in [0, 1]: 1/2 shares the singular values equally between words and contexts.
    tolerance
        See `truncated_svd`.

    Raises
    ------
    TypeError, ValueError
        As `pmi` and `truncated_svd`; also if the matrix has no entry above 0 left.

    Examples
    --------
    >>> from kexue_lite.embeddings.counts import cooccurrence
    >>> text = [["red", "wine"], ["white", "wine"], ["red", "rose"], ["white", "rose"]]
    >>> table = svd_vectors(cooccurrence(text, min_count=1), dimensions=2)
    >>> table.most_similar("red", count=1)[0][0]
    'white'
    """
    if not isinstance(cooccurrence, Cooccurrence):
        raise TypeError(f"cooccurrence must be a Cooccurrence, got {type(cooccurrence).__name__}")
    size = len(cooccurrence.vocabulary)
    _whole("dimensions", dimensions, size, "the size of the vocabulary")
    finite("power", power)
    if not 0 <= power <= 1:
        raise ValueError(f"power must lie in [0, 1], got {power}")
    M = pmi(cooccurrence, shift=shift, exponent=exponent, positive=positive)
    if M.nnz == 0:
        raise ValueError(f"cooccurrence has no pair with PMI above log({shift:g}): take a smaller shift")
    found = truncated_svd(M, int(dimensions), tolerance=tolerance)
    W = found.U * found.s**power
    C = found.Vt.T * found.s ** (1 - power)
    return WordVectors(W.float().cpu().numpy(), cooccurrence.vocabulary, C.float().cpu().numpy())


def linear_autoencoder(
    matrix: Any, width: int, *, steps: int = 200, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Train M → M E → (M E) D to reproduce M, without any SVD (chapter 4, section 4.3).

    The loss ‖M − M E D‖² is quadratic in the encoder E for a fixed decoder D and the other way round. Each
    step solves both least-squares problems exactly: alternating least squares, in the coordinates of the
    code H = M E.

    Parameters
    ----------
    matrix
        M, shape ``(m, n)``.
    width
        Size of the code, at most min(m, n).
    steps
        Rounds; training stops early when the loss no longer falls.
    generator
        Of the random start; seed 0 if left out.

    Returns
    -------
    E, D, losses
        Encoder ``(n, width)``, decoder ``(width, n)``, and ‖M − M E D‖² after each round.

    Raises
    ------
    ValueError
        As `truncated_svd`; `steps` below 1.

    Examples
    --------
    >>> M = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))
    >>> E, D, losses = linear_autoencoder(M, 2)
    >>> round(losses[-1], 9)
    1.0
    """
    A, _ = _operator(matrix)
    M = A.to_dense() if A.layout != torch.strided else A
    m, n = M.shape
    _whole("width", width, min(m, n), f"the smaller side of {(m, n)}")
    whole("steps", steps)
    generator = random_source(generator)
    E = torch.randn(n, int(width), generator=generator, dtype=torch.float64).to(M.device)
    losses: list[float] = []
    for _ in range(steps):
        H, _ = torch.linalg.qr(M @ E)  # any basis of the code's column space gives the same reconstruction
        D = H.T @ M  # the best decoder of this code
        losses.append(float((M - H @ D).square().sum()))
        E = torch.linalg.pinv(D)  # the encoder whose code is nearest to what this decoder would like
        if len(losses) > 1 and losses[-2] - losses[-1] <= 1e-15 * losses[0]:
            break
    H = M @ E
    D = torch.linalg.lstsq(H, M).solution
    return E, D, losses


class _Basis:
    """Orthonormal columns in one growing array, so that projections are two products with a matrix."""

    def __init__(self, rows: int, like: torch.Tensor) -> None:
        self._columns = like.new_empty(8 * like.shape[1], rows)  # transposed: growth appends whole rows
        self.size = 0
        self.scale = 0.0  # the largest factor met, against which a block counts as zero

    def all(self) -> torch.Tensor:
        return self._columns[: self.size].T

    def extend(self, Z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Orthonormalise a block against all before it; return it and the factor that gives it back."""
        Z, R = self._pass(Z)
        smallest, largest = R.diagonal().abs().aminmax()
        self.scale = max(self.scale, float(largest))
        # What the recurrence took off already leaves rounding alone to remove: one pass is enough, unless the
        # block lies nearly in the span of those before it.
        if self.size and smallest <= 1e-4 * self.scale:
            left, s, right = torch.linalg.svd(R)
            Z, R = Z @ left, s[:, None] * right
            empty = s <= 1e-14 * self.scale
            if empty.any():  # nothing new in these directions: go on in random ones, with a factor of zero
                generator = torch.Generator().manual_seed(self.size)
                fresh = torch.randn(Z.shape[0], int(empty.sum()), generator=generator, dtype=Z.dtype)
                Z[:, empty], R[empty] = fresh.to(Z.device) / Z.shape[0] ** 0.5, 0
            for _ in range(2):
                Z, again = self._pass(Z)
                R = again @ R
        needed = self.size + Z.shape[1]
        if needed > len(self._columns):
            grown = self._columns.new_empty(2 * needed, self._columns.shape[1])
            grown[: self.size] = self._columns[: self.size]
            self._columns = grown
        self._columns[self.size : needed] = Z.T
        self.size = needed
        return Z, R

    def _pass(self, Z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.size:
            Z = Z - self.all() @ (self.all().T @ Z)
        return torch.linalg.qr(Z)


def _operator(matrix: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The matrix and its transpose as float64 tensors, each fit for products with blocks from the left."""
    if bool(sparse.issparse(matrix)):  # bool(): the type checker would narrow to a class without a dtype
        if matrix.dtype.kind not in "fiub" or matrix.ndim != 2:
            raise TypeError(f"matrix must hold real numbers, got {matrix.dtype} with {matrix.ndim} axes")
        csr: Any = sparse.csr_array(matrix, dtype=np.float64)
        _need_numbers(csr.shape, csr.data)
        return _csr(csr), _csr(sparse.csr_array(csr.T))
    if not isinstance(matrix, torch.Tensor):
        array = np.asarray(matrix)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"matrix must hold real numbers, got {array.dtype}")
        matrix = torch.from_numpy(array.astype(np.float64))
    if matrix.is_complex():
        raise TypeError(f"matrix must hold real numbers, got {matrix.dtype}")
    A = matrix.detach().double()
    if A.layout == torch.strided:
        _need_numbers(tuple(A.shape), A.cpu().numpy())
        return A, A.T
    A = A.to_sparse_csr()
    _need_numbers(tuple(A.shape), A.values().cpu().numpy())
    return A, A.t().to_sparse_csr()


def _whole(name: str, value: Any, most: int, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, {what}; got {value!r}")


def _need_numbers(shape: tuple[int, ...], values: np.ndarray) -> None:
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"matrix must have shape (m, n) and not be empty, got {shape}")
    if not np.isfinite(values).all():
        raise ValueError("matrix must be finite, got NaN or infinity")


def _csr(matrix: Any) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its CSR tensors a beta feature, each time anew
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
        )


def _dense(A: torch.Tensor, rank: int) -> TruncatedSVD:
    full = A.to_dense() if A.layout != torch.strided else A
    U, s, Vt = torch.linalg.svd(full, full_matrices=False)
    U, s, Vt = U[:, :rank], s[:rank], Vt[:rank]
    residual = torch.linalg.norm(full.T @ U - Vt.T * s, dim=0).max() / s[0].clamp(min=1e-300)
    return _signed(U, s, Vt, float(residual))


def _signed(U: torch.Tensor, s: torch.Tensor, Vt: torch.Tensor, residual: float) -> TruncatedSVD:
    rows = U.abs().argmax(0)
    sign = U[rows, torch.arange(len(s), device=U.device)].sign()
    return TruncatedSVD(U * sign, s, Vt * sign[:, None], residual)
