"""The batch of a step as a pure function of the step's number.

A loop that draws its batches one after another must remember how far it had come; a loop that asks for the
batch of step k can be taken up anywhere, and several processes agree on it without a word between them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Batches = Callable[[int], tuple[Tensor, ...]]


def whole(name: str, value: object, least: int) -> int:
    """`value` as an int that is at least `least`; TypeError or ValueError naming the argument otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}: {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def generator_for(seed: int, step: int, *, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on `seed` and `step` alone: noise for ``batches(step)``.

    The pair is mixed by numpy's `SeedSequence`, so that neighbouring seeds and steps share nothing.

    Parameters
    ----------
    seed, step
        Integers, 0 or larger. Below 2³² all pairs differ; beyond, some meet: (seed + 2³², 0) is (seed, 1).
    device
        Where the numbers are drawn. Different kinds of device draw different numbers.

    Returns
    -------
    torch.Generator

    Raises
    ------
    TypeError, ValueError
        If `seed` or `step` is no int, or negative.

    Examples
    --------
    >>> first = torch.randn(3, generator=generator_for(0, 7))
    >>> torch.equal(first, torch.randn(3, generator=generator_for(0, 7)))
    True
    >>> torch.equal(first, torch.randn(3, generator=generator_for(0, 8)))
    False
    """
    pair = (whole("seed", seed, 0), whole("step", step, 0))
    # 63 bits: torch takes a seed as a signed 64-bit integer on some devices.
    mixed = int(np.random.SeedSequence(pair).generate_state(1, np.uint64)[0]) >> 1
    return torch.Generator(device=device).manual_seed(mixed)


def minibatches(*tensors: Tensor, batch_size: int, seed: int) -> Batches:
    """Cut `tensors` into batches, epoch after epoch, each epoch in a new order.

    The order of epoch e depends on (seed, e) alone. Every row comes once in an epoch: if `batch_size` does
    not divide the number of rows N, the last batch of an epoch is smaller.

    Parameters
    ----------
    tensors
        One or more, all with the same first dimension N; the batches lie on their devices.
    batch_size
        Rows of a batch, 1 to N.
    seed
        An integer, 0 or larger.

    Returns
    -------
    Callable[[int], tuple[Tensor, ...]]
        `batches` as `train` wants it: the batch of step 0, 1, 2, ...; each of ceil(N / batch_size) to an
        epoch.

    Raises
    ------
    TypeError, ValueError
        For no tensor, tensors of unequal or no rows, or a bad `batch_size` or `seed`.

    Examples
    --------
    >>> batches = minibatches(torch.arange(5), batch_size=2, seed=0)
    >>> [len(batches(step)[0]) for step in range(3)]
    [2, 2, 1]
    >>> torch.cat([batches(step)[0] for step in range(3)]).sort().values
    tensor([0, 1, 2, 3, 4])
    >>> torch.equal(batches(1)[0], minibatches(torch.arange(5), batch_size=2, seed=0)(1)[0])
    True
    """
    if not tensors:
        raise ValueError("minibatches needs at least one tensor")
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"tensors[{index}] must be a torch.Tensor, got {type(tensor).__name__}")
        if tensor.dim() == 0:
            raise ValueError(f"tensors[{index}] must have a first dimension (the rows), got a single number")
    rows = [len(tensor) for tensor in tensors]
    if len(set(rows)) > 1 or rows[0] == 0:
        raise ValueError(f"tensors must have equally many rows, at least one; got {rows}")
    total = rows[0]
    whole("seed", seed, 0)
    if whole("batch_size", batch_size, 1) > total:
        raise ValueError(f"batch_size must be at most the number of rows, {total}; got {batch_size}")
    per_epoch = -(-total // batch_size)
    latest: dict[str, object] = {"epoch": -1}  # an order costs more than a batch, so the last one is kept

    def batches(step: int) -> tuple[Tensor, ...]:
        epoch, place = divmod(step, per_epoch)
        if latest["epoch"] != epoch:
            order = torch.randperm(total, generator=generator_for(seed, epoch))
            latest.update(epoch=epoch, orders={t.device: order.to(t.device) for t in tensors})
        orders: dict[torch.device, Tensor] = latest["orders"]  # type: ignore[assignment]
        chosen = slice(place * batch_size, (place + 1) * batch_size)
        return tuple(tensor[orders[tensor.device][chosen]] for tensor in tensors)

    return batches
