"""The exponent p of an optimiser measured: by how much its steps change when its parameters are rescaled.

A small problem is set up once for each λ: the optimiser holds φ = θ/λ, the loss is computed from θ = λφ. The
rate is so small that all of them see nearly the same θ; then, at each step t,

    log ‖Δθ_t‖ = p_t log λ + const,

and p_t is the slope of a least-squares line. One p_t for each step shows an exponent that changes while an
optimiser runs. See chapter 5, section 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

FACTORS = tuple(float(f) for f in torch.logspace(math.log10(0.3), math.log10(3), 7, dtype=torch.float64))


@dataclass(frozen=True)
class Measured:
    """Steps of one optimiser under several λ.

    Attributes
    ----------
    factors
        ``(L,)``, the λ.
    steps
        ``(S, L, T)``: ‖Δθ_t‖ for each seed, λ and step.
    """

    factors: Tensor
    steps: Tensor

    @property
    def exponents(self) -> Tensor:
        """``(S, T)``: the slope of log ‖Δθ_t‖ over log λ, for each seed and step."""
        x = self.factors.log() - self.factors.log().mean()
        return torch.einsum("l,slt->st", x, self.steps.log()) / (x @ x)

    @property
    def misfit(self) -> float:
        """The largest distance of a log ‖Δθ_t‖ from its line: 0 where a power law holds exactly."""
        x = self.factors.log() - self.factors.log().mean()
        y = self.steps.log()
        line = y.mean(1, keepdim=True) + torch.einsum("l,st->slt", x, self.exponents)
        return float((y - line).abs().max())


def measure_exponent(
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer],
    *,
    steps: int = 20,
    seeds: Sequence[int] = (0, 1, 2),
    factors: Sequence[float] = FACTORS,
    gradient: float = 1.0,
    sparse: bool = False,
    alone: bool = False,
) -> Measured:
    """Run an optimiser on rescaled parameters and record how far θ moves at each step.

    The problem: a network of two matrices (5, 4) and (4, 3), tanh between them, no bias, squared error on 32
    random examples, in float64, the whole batch at each step.

    Parameters
    ----------
    optimizer
        Makes it from its parameters, such as ``lambda p: torch.optim.SGD(p, lr=1e-4)``. With a small rate,
        or the λ part ways; a larger one measures what comes of it.
    steps
        T.
    seeds
        S of them: of the start and of the examples.
    factors
        λ, at least two different ones.
    gradient
        The loss is multiplied by this: small gradients show what `eps` does.
    sparse
        Hand over sparse gradients, which SparseAdam wants.
    alone
        Rescale the first matrix alone and record its steps alone. The exponent is the same unless the
        optimiser compares the parameters with one another, as LBFGS does.

    Returns
    -------
    Measured

    Raises
    ------
    ValueError
        If there are no steps, fewer than two λ, or an optimiser that does not move.

    Examples
    --------
    >>> measured = measure_exponent(lambda p: torch.optim.SGD(p, lr=1e-6), steps=2)
    >>> measured.exponents.round(decimals=3).tolist()
    [[2.0, 2.0], [2.0, 2.0], [2.0, 2.0]]
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
    scales = torch.tensor([float(f) for f in factors], dtype=torch.float64)
    if len(set(scales.tolist())) < 2 or not (torch.isfinite(scales).all() and (scales > 0).all()):
        raise ValueError(f"factors must be at least two different positive numbers, got {list(factors)}")
    if len(seeds) < 1:
        raise ValueError("seeds must hold at least one seed, got none")
    walked = [[_walk(optimizer, float(f), steps, s, gradient, sparse, alone) for f in scales] for s in seeds]
    moved = torch.stack([torch.stack(row) for row in walked])
    if not (torch.isfinite(moved).all() and (moved > 0).all()):
        raise ValueError("optimizer: a step of it moved nothing, or to no finite place; no exponent there")
    return Measured(scales, moved)


def _walk(
    make: Callable[[list[Tensor]], torch.optim.Optimizer],
    factor: float,
    steps: int,
    seed: int,
    gradient: float,
    sparse: bool,
    alone: bool,
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    x, y, start = normal(32, 5), normal(32, 3), [normal(5, 4) / 2, normal(4, 3) / 2]
    first, second = factor, 1.0 if alone else factor
    phi = [(start[0] / first).requires_grad_(), (start[1] / second).requires_grad_()]
    optimizer = make(list[Any](phi))

    def closure() -> Tensor:
        optimizer.zero_grad()
        hidden = torch.tanh(x @ (first * phi[0]))
        loss = gradient * ((hidden @ (second * phi[1]) - y) ** 2).mean()
        loss.backward()
        if sparse:
            for p in phi:
                p.grad = p.grad.to_sparse(1)  # type: ignore[union-attr]
        return loss

    moved = []
    for _ in range(steps):
        before = [p.detach().clone() for p in phi]
        optimizer.step(closure)  # type: ignore[arg-type, unused-ignore]
        change = [f * (p.detach() - b) for p, b, f in zip(phi, before, (first, second), strict=True)]
        seen = change[:1] if alone else change
        moved.append(torch.linalg.vector_norm(torch.cat([c.flatten() for c in seen])))
    return torch.stack(moved)
