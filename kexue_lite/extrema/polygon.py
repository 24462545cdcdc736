"""A path as a polygon, and the functional on it: J(y₀, …, yₙ) = Σ over segments of ∫ F(x, y, y') dx.

On each segment y is linear in x and the integral is taken by Gauss' rule, at inner points only. So the value
belongs to a real path: up to the rule's error it is an upper bound of the minimum.

Where F is not defined at an end, as the brachistochrone's 1/√y, two things are fitted to the square root:
nodes crowd there like s³ (the cycloid has x ~ s³, y ~ s²), and on the segments near that end Gauss' rule has
more points and runs in the root u of the fraction of the way, in which y^(−1/2) dx is smooth. On many
segments, not on the first alone: else the descent finds the second one, drops from near y = 0 to the bottom
on it, and is charged too little time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

Lagrangian = Callable[[Tensor, Tensor, Tensor], Tensor]
POINTS, POINTS_AT_A_ROOT = 3, 8
NEAR_THE_ROOT = 0.25  # of the segments
CHUNK = 2**15  # points asked at once: they stay in the cache, and torch leaves them to one thread


@dataclass(frozen=True)
class Block:
    """Neighbouring segments `first` to `last` − 1 with q points each."""

    first: int
    last: int
    left: Tensor  # (S,): where each begins, as a fraction of the span
    length: Tensor  # (S,): its length, the same
    inner: Tensor  # (S, q): where on its segment a point sits, 0 to 1
    weights: Tensor  # (S, q): sum to the length


@dataclass(frozen=True)
class Grid:
    """Nodes as fractions of the span, ``(N,)``, and the N − 1 segments in blocks."""

    nodes: Tensor
    blocks: list[Block]

    @classmethod
    def of(cls, nodes: int, singular: tuple[bool, bool], like: Tensor) -> Grid:
        """A grid that is uniform, or crowded like s³ at each end where F is not defined.

        `like` has shape ``(B, ...)`` and gives the device, the type and the batch.
        """
        s = np.linspace(0.0, 1.0, nodes)
        if singular == (True, True):
            g = s**3 * (10 - 15 * s + 6 * s**2)
        else:
            g = s**3 if singular[0] else 1 - (1 - s) ** 3 if singular[1] else s
        near = max(1, round(NEAR_THE_ROOT * (nodes - 1)))
        cuts = [0, near if singular[0] else 0, nodes - 1 - (near if singular[1] else 0), nodes - 1]
        cuts[2] = max(cuts[1], cuts[2])
        blocks = []
        for part, (begin, stop) in enumerate(pairwise(cuts)):
            q = POINTS if part == 1 else POINTS_AT_A_ROOT
            size = max(1, CHUNK // (q * len(like)))
            blocks += [_block(g, b, min(b + size, stop), part, q, like) for b in range(begin, stop, size)]
        return cls(torch.as_tensor(g, dtype=like.dtype, device=like.device), blocks)


def _block(g: np.ndarray, first: int, last: int, part: int, q: int, like: Tensor) -> Block:
    gauss, weight = np.polynomial.legendre.leggauss(q)
    u, w = (gauss + 1) / 2, weight / 2
    inner = (u**2, u, 1 - u**2)[part]
    weights = w if part == 1 else 2 * u * w
    left, length = g[first:last], np.diff(g)[first:last]
    arrays = (left, length, np.tile(inner, (last - first, 1)), length[:, None] * weights)
    return Block(first, last, *(torch.as_tensor(a, dtype=like.dtype, device=like.device) for a in arrays))


@dataclass(frozen=True)
class Span:
    """Where a batch of problems lives: x at its start and the signed width, ``(B, 1)`` each."""

    start: Tensor
    width: Tensor


def sample(block: Block, span: Span, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and y' at the block's points, ``(B, S·q)``, from the heights ``(B, S)`` of the segments' ends."""
    fraction = (block.left[:, None] + block.inner * block.length[:, None]).reshape(-1)
    y = left[..., None] + block.inner * (right - left)[..., None]
    slope = (right - left) / (block.length * span.width)
    return span.start + fraction * span.width, y.flatten(1), slope[..., None].expand(y.shape).flatten(1)


def segment_values(F: Lagrangian, block: Block, span: Span, left: Tensor, right: Tensor) -> Tensor:
    """∫ F |dx| over each segment of the block, ``(B, S)``."""
    value = call(F, *sample(block, span, left, right))
    return (value.unflatten(1, block.inner.shape) * block.weights).sum(-1) * span.width.abs()


def integral(F: Lagrangian, grid: Grid, span: Span, y: Tensor) -> Tensor:
    """J on each polygon, ``(B,)``."""
    with torch.no_grad():
        parts = [
            segment_values(F, b, span, y[:, b.first : b.last], y[:, b.first + 1 : b.last + 1]).sum(1)
            for b in grid.blocks
        ]
        return torch.stack(parts).sum(0)


def derivatives(F: Lagrangian, grid: Grid, span: Span, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """J ``(B,)``, gradient ``(B, N − 2)``, and the Hessian's diagonal ``(B, N − 2)`` and off-diagonal ``(B,
    N − 3)``.

    Each segment's value depends on its own two ends alone. So three sums are differentiated for the whole
    batch, and no entry of one segment leaks into another's. `F` must act on each point by itself.
    """
    values, rows = [], []
    for b in grid.blocks:
        left = y[:, b.first : b.last].detach().requires_grad_()
        right = y[:, b.first + 1 : b.last + 1].detach().requires_grad_()
        with torch.enable_grad():
            value = segment_values(F, b, span, left, right)
            if not value.requires_grad:
                raise ValueError(
                    "lagrangian must depend on y or dy: without them every path has the same value"
                )
            g = torch.autograd.grad(value.sum(), (left, right), create_graph=True)
            h_left, h_right = _row(g[0], left, right), _row(g[1], left, right)
        values.append(value.detach().sum(1))
        rows.append([g[0].detach(), g[1].detach(), h_left[0], h_left[1], h_right[1]])
    g_left, g_right, h_ll, h_lr, h_rr = (torch.cat(parts, 1) for parts in zip(*rows, strict=True))
    gradient, diagonal = g_left[:, 1:] + g_right[:, :-1], h_ll[:, 1:] + h_rr[:, :-1]
    return torch.stack(values).sum(0), gradient, diagonal, h_lr[:, 1:-1]


def _row(g: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    if not g.requires_grad:  # F is linear: no second derivative
        return torch.zeros_like(left), torch.zeros_like(right)
    row = torch.autograd.grad(g.sum(), (left, right), retain_graph=True, allow_unused=True)
    return tuple(torch.zeros_like(left) if r is None else r for r in row)  # type: ignore[return-value]


def call(F: Lagrangian, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
    """F at the points, checked to be one real number for each."""
    value = F(x, y, dy)
    if not isinstance(value, Tensor):
        raise TypeError(
            f"lagrangian must return a torch tensor, got {type(value).__name__}; it is called with tensors "
            f"x, y, dy and must use torch functions, as in lambda x, y, dy: torch.sqrt(1 + dy**2)"
        )
    if not value.is_floating_point():
        raise TypeError(f"lagrangian must return real floating-point numbers, got {value.dtype}")
    try:
        return value.expand(x.shape) if value.shape != x.shape else value
    except RuntimeError as error:
        raise ValueError(
            f"lagrangian must return one number for each point: shape {tuple(x.shape)}, "
            f"got {tuple(value.shape)}"
        ) from error
