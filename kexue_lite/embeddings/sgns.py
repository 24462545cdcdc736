"""word2vec's expected loss as a function of counts, exactly: its value and its gradient.

Skip-gram with k negatives drawn from P_α has, summed over a text, the expected loss (Levy and Goldberg 2014)

    L = − (1/N) Σ_{w,c} [ n_wc log σ(w·c) + k n_w P_α(c) log σ(−w·c) ],      n_w = Σ_c n_wc, N = Σ_w n_w.

Skip-gram meets a pair (w,c) with probability n_wc / N and draws k words n from P_α; the expectation of its
loss −log σ(w·c) − Σ log σ(−w·n) is L, and the expectation of its gradient is that of L:

    ∂L/∂W = G C,   ∂L/∂C = Gᵀ W,   G_wc = ( k n_w P_α(c) σ(w·c) − n_wc σ(−w·c) ) / N.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import softplus

from kexue_lite.embeddings.arguments import above_zero
from kexue_lite.embeddings.counts import Cooccurrence
from kexue_lite.embeddings.vectors import WordVectors

_ROWS = 1_024  # rows of scores at a time


def sgns_loss(
    table: WordVectors,
    cooccurrence: Cooccurrence,
    *,
    negatives: float = 5,
    exponent: float = 0.75,
    noise: np.ndarray | None = None,
    device: torch.device | str | None = None,
) -> float:
    """word2vec's expected loss for one pair, exactly (chapter 4, section 4.6).

    Parameters
    ----------
    table
        Vectors and contexts, shape ``(V, d)``. Scores are computed in their precision, sums in float64.
    cooccurrence
        The counts over the same vocabulary; those of held-out text give the held-out loss.
    negatives, exponent
        k and α.
    noise
        P(c), shape ``(V,)``, in place of P_α of these counts: for held-out text that of the training counts.
    device
        Where to compute; the CPU if left out.

    Raises
    ------
    TypeError
        If `table` or `cooccurrence` is of another type.
    ValueError
        If the table has no contexts or another vocabulary, `negatives` is not positive, or `noise` is no
        distribution.

    Examples
    --------
    >>> zeros = WordVectors(np.zeros((2, 1)), ["a", "b"], contexts=np.zeros((2, 1)))
    >>> float(round(sgns_loss(zeros, Cooccurrence([[0, 1], [1, 0]], ["a", "b"])) / np.log(2), 12))
    6.0
    """
    W, C, n, P = _prepare(table, cooccurrence, negatives, exponent, noise, device)
    total = 0.0
    for rows, place, counts in _row_blocks(cooccurrence.counts, W.device):
        X = W[rows] @ C.T
        pairs = softplus(-X.view(-1)[place]).double() @ counts
        total += float(pairs + negatives * n[rows].double() @ (softplus(X) @ P).double())
    return float(total / cooccurrence.total)


def sgns_gradient(
    table: WordVectors,
    cooccurrence: Cooccurrence,
    *,
    negatives: float = 5,
    exponent: float = 0.75,
    noise: np.ndarray | None = None,
    device: torch.device | str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """∂L/∂W and ∂L/∂C of `sgns_loss`, shape ``(V, d)``: the expectation of skip-gram's gradient.

    Parameters and errors are those of `sgns_loss`.

    Examples
    --------
    >>> table = WordVectors([[1.0], [0.0]], ["a", "b"], contexts=[[0.0], [0.0]])
    >>> sgns_gradient(table, Cooccurrence([[0, 1], [1, 0]], ["a", "b"]), negatives=1)[1]
    array([[ 0.125],
           [-0.125]])
    """
    W, C, n, P = _prepare(table, cooccurrence, negatives, exponent, noise, device)
    dW, dC = torch.empty_like(W), torch.zeros_like(C)
    for rows, place, counts in _row_blocks(cooccurrence.counts, W.device):
        X = W[rows] @ C.T
        G = X.sigmoid() * P * (negatives * n[rows, None])
        G.view(-1)[place] -= (-X.view(-1)[place]).sigmoid() * counts.to(W.dtype)
        dW[rows] = G @ C
        dC += G.T @ W[rows]
    return (dW / cooccurrence.total).cpu().numpy(), (dC / cooccurrence.total).cpu().numpy()


def sgns_dense(
    W: Tensor, C: Tensor, counts: Tensor, noise: Tensor, *, negatives: float = 5
) -> tuple[Tensor, Tensor, Tensor]:
    """L, ∂L/∂W and ∂L/∂C as they stand, dense: the readable twin of `sgns_loss` and `sgns_gradient`.

    Shapes: `W`, `C` ``(V, d)``, `counts` ``(V, V)``, `noise` ``(V,)``.

    Examples
    --------
    >>> eye = torch.eye(2)
    >>> sgns_dense(0 * eye, 0 * eye, 1 - eye, torch.ones(2) / 2, negatives=1)[0] / np.log(2)
    tensor(2.)
    """
    X = W @ C.T
    n = counts.sum(1, keepdim=True)
    loss = -(counts * X.sigmoid().log() + negatives * n * noise * (-X).sigmoid().log()).sum() / n.sum()
    G = (negatives * n * noise * X.sigmoid() - counts * (-X).sigmoid()) / n.sum()
    return loss, G @ C, G.T @ W


def _row_blocks(counts: sparse.csr_array, device: torch.device) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rows, where in their scores the pairs stand that occur, and the counts of these pairs."""
    size = counts.shape[0]
    for start in range(0, size, _ROWS):
        part = counts[start : start + _ROWS]
        place = np.repeat(np.arange(part.shape[0]) * size, np.diff(part.indptr)) + part.indices
        yield (
            slice(start, start + part.shape[0]),
            torch.from_numpy(place.astype(np.int64)).to(device),
            torch.from_numpy(part.data).to(device),
        )


def _prepare(
    table: WordVectors,
    cooccurrence: Cooccurrence,
    negatives: float,
    exponent: float,
    noise: np.ndarray | None,
    device: torch.device | str | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if not isinstance(table, WordVectors):
        raise TypeError(f"table must be WordVectors, got {type(table).__name__}")
    check_inputs(cooccurrence, negatives)
    if table.contexts is None:
        raise ValueError("table must have contexts: the loss is a function of both tables, got vectors alone")
    if list(table.vocabulary) != list(cooccurrence.vocabulary):
        raise ValueError(
            f"table and cooccurrence must have the same vocabulary, got {len(table)} and "
            f"{len(cooccurrence.vocabulary)} words: count with cooccurrence(..., vocabulary=table.vocabulary)"
        )
    distribution = cooccurrence.noise(exponent) if noise is None else np.asarray(noise, float)
    if (
        distribution.shape != (len(table),)
        or not (distribution >= 0).all()
        or abs(distribution.sum() - 1) > 1e-6
    ):
        raise ValueError(
            f"noise must be {len(table)} probabilities with sum 1, got shape {distribution.shape} and sum "
            f"{distribution.sum():g}"
        )
    kept = torch.float32 if table.vectors.dtype == np.float32 else torch.float64
    assert table.contexts is not None
    parts = (table.vectors, table.contexts, cooccurrence.word_marginal, distribution)
    W, C, n, P = (torch.tensor(part, dtype=kept, device=device) for part in parts)
    return W, C, n, P


def check_inputs(cooccurrence: Any, negatives: Any) -> None:
    """Raise unless there are counts and a positive k."""
    if not isinstance(cooccurrence, Cooccurrence):
        raise TypeError(f"cooccurrence must be a Cooccurrence, got {type(cooccurrence).__name__}")
    above_zero("negatives", negatives)
