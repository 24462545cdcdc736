"""Batched symmetric tridiagonal systems, by LDLᵀ: what a Newton step on a discretised path needs.

A polygon's value is a sum over segments, so its Hessian couples each node to its two neighbours only. The n
pivots of LDLᵀ cost O(n), and their signs are those of the eigenvalues (Sylvester): a negative pivot means a
direction in which the value falls. The pivots are Jacobi's field in disguise: they turn negative where the
path passes its first conjugate point.
"""

from __future__ import annotations

import torch
from torch import Tensor


def factor(diagonal: Tensor, off: Tensor) -> tuple[Tensor, Tensor]:
    """Pivots d and multipliers l of LDLᵀ for `diagonal` (n, B) and `off` (n − 1, B), the two off-diagonals.

    Returns d of shape (n, B) and l of shape (n − 1, B). The batch is the last axis, for contiguous rows.

    Examples
    --------
    >>> d, l = factor(torch.tensor([[2.0], [2.0], [2.0]]), torch.tensor([[-1.0], [-1.0]]))
    >>> d.ravel()
    tensor([2.0000, 1.5000, 1.3333])
    """
    pivots, multipliers = [diagonal[0]], []
    for i in range(1, len(diagonal)):
        multipliers.append(off[i - 1] / pivots[-1])
        pivots.append(diagonal[i] - multipliers[-1] * off[i - 1])
    lower = torch.stack(multipliers) if multipliers else off
    return torch.stack(pivots), lower


def solve(pivots: Tensor, multipliers: Tensor, right: Tensor) -> Tensor:
    """Solve LDLᵀ x = `right`; shapes (n, B), (n − 1, B) and (n, B, M) for M right sides at once.

    Examples
    --------
    >>> d, l = factor(torch.tensor([[2.0], [2.0]]), torch.tensor([[-1.0]]))
    >>> solve(d, l, torch.tensor([[[1.0]], [[1.0]]])).ravel()
    tensor([1., 1.])
    """
    n = len(pivots)
    forward = [right[0]]
    for i in range(1, n):
        forward.append(right[i] - multipliers[i - 1][:, None] * forward[-1])
    scaled = torch.stack(forward) / pivots[..., None]
    back = [scaled[-1]]
    for i in range(n - 2, -1, -1):
        back.append(scaled[i] - multipliers[i][:, None] * back[-1])
    return torch.stack(back[::-1])
