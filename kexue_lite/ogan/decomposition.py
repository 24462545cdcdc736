r"""A code is an average, a deviation and a direction; the correlation sees the direction alone (section 6.2).

    avg(z) = 1/n Σ zᵢ,   std(z)² = 1/n Σ (zᵢ − avg z)²,   N(z) = (z − avg z)/std(z),
    z = avg(z)·1 + std(z)·N(z),      ρ(z, ẑ) = 1/n Σ N(z)ᵢ N(ẑ)ᵢ.

N(z) lies on a sphere of n − 2 dimensions: it has average 0 and mean square 1. So of the n numbers of a code
two, its average and its deviation, are free of ρ. O-GAN (article 6409; arXiv:1903.01931) lets the average be
the discriminator and asks ρ of the rest. The deviation is that of a population (divisor n).

**A constant code** has no direction. Its deviation is 0 exactly, and N and ρ are given the value 0, and their
gradients too. Whether a code is constant is decided to rounding: its largest distance from its average is at
most 8 units in the last place of its largest number.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LEAST = 3  # with two numbers N(z) is (1, −1) or (−1, 1): nothing is left to say


def decompose(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Average, population deviation and normalised direction of codes, over the last axis.

    Parameters
    ----------
    z
        ``(..., n)`` floating point, n at least 3.

    Returns
    -------
    average, deviation : Tensor
        ``(...)``.
    direction : Tensor
        ``(..., n)``, of average 0 and mean square 1; all 0, as the deviation, for a constant code.

    Raises
    ------
    TypeError
        If `z` is no tensor (or array) of floating-point numbers.
    ValueError
        If n is below 3, `z` is empty, or it holds NaN or infinity.

    References
    ----------
    Article 6409; (6.1) of section 6.2.

    Examples
    --------
    >>> average, deviation, direction = decompose(torch.tensor([3.0, 1.0, 5.0, 3.0]))
    >>> average.item(), round(deviation.item(), 6)
    (3.0, 1.414214)
    >>> direction
    tensor([ 0.0000, -1.4142,  1.4142,  0.0000])
    >>> decompose(torch.full((4,), 0.1))[1:]
    (tensor(0.), tensor([0., 0., 0., 0.]))
    """
    return _parts(checked_codes("z", z))


def normalize(z: Tensor) -> Tensor:
    """The direction N(z) alone; arguments and errors as for `decompose`.

    Examples
    --------
    >>> normalize(torch.tensor([[1.0, 2.0, 3.0], [10.0, 30.0, 50.0]]))
    tensor([[-1.2247,  0.0000,  1.2247],
            [-1.2247,  0.0000,  1.2247]])
    """
    return decompose(z)[2]


def pearson(z: Tensor, z_hat: Tensor) -> Tensor:
    """Pearson's correlation ρ of codes, row by row over the last axis.

    Parameters
    ----------
    z, z_hat
        ``(..., n)`` floating point, n at least 3, of one shape, type and device.

    Returns
    -------
    Tensor
        ``(...)``, in [−1, 1] to rounding; 0 where one of the two is constant.

    Raises
    ------
    TypeError, ValueError
        As for `decompose`; or if the two differ in shape, type or device.

    References
    ----------
    Article 6409; (6.4) of section 6.2.

    Examples
    --------
    >>> z = torch.tensor([1.0, 2.0, 4.0])
    >>> round(pearson(z, 5 * z - 7).item(), 6), round(pearson(z, -z).item(), 6)
    (1.0, -1.0)
    """
    z, z_hat = checked_codes("z", z), checked_codes("z_hat", z_hat)
    if (z.shape, z.dtype, z.device) != (z_hat.shape, z_hat.dtype, z_hat.device):
        raise ValueError(
            f"z and z_hat must have one shape, type and device, got {tuple(z.shape)} {z.dtype} {z.device} "
            f"and {tuple(z_hat.shape)} {z_hat.dtype} {z_hat.device}"
        )
    return (_parts(z)[2] * _parts(z_hat)[2]).mean(-1)


def correlation(z: Tensor, z_hat: Tensor) -> Tensor:
    """`pearson` for the inside of a loss: without its checks, and with its derivative by the formula.

    NaN goes through, to be found by `train`. The derivative (N(z) − ρ N(ẑ)) / (n std ẑ) takes five operations
    where automatic differentiation of `pearson`, its readable twin, takes thirty; it cannot be differentiated
    once more.

    Examples
    --------
    >>> z, z_hat = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[2.0, 2.0, 1.0]])
    >>> torch.allclose(correlation(z, z_hat), pearson(z, z_hat))
    True
    """
    return _Correlation.apply(z, z_hat)


class _Correlation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, z_hat: Tensor) -> Tensor:
        _, deviation, direction = _parts(torch.stack([z, z_hat]))
        rho = direction.prod(0).mean(-1)
        ctx.save_for_backward(deviation, direction, rho)
        return rho

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, Tensor | None]:
        deviation, direction, rho = ctx.saved_tensors
        n = direction.shape[-1]
        gradients: list[Tensor | None] = [None, None]
        for k in (0, 1):
            if ctx.needs_input_grad[k]:
                scale = torch.where(deviation[k] > 0, pull / (n * deviation[k]), 0.0)
                turn = torch.addcmul(direction[1 - k], direction[k], rho.unsqueeze(-1), value=-1)
                gradients[k] = turn * scale.unsqueeze(-1)
        return gradients[0], gradients[1]


def checked_codes(name: str, value: Any) -> Tensor:
    """The tensor itself; raise unless it holds finite floating-point codes of at least 3 numbers.

    Examples
    --------
    >>> checked_codes("z", torch.zeros(5, 2))
    Traceback (most recent call last):
    ...
    ValueError: z must have codes of at least 3 numbers (an average, a deviation and a direction), got 2
    """
    try:
        z = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be a tensor of numbers, got {type(value).__name__}") from error
    if not z.is_floating_point():
        raise TypeError(f"{name} must hold floating-point numbers, got {z.dtype}: convert it, as by .float()")
    if not z.ndim or z.shape[-1] < LEAST:
        got = f"{z.shape[-1]}" if z.ndim else "a single number"
        raise ValueError(
            f"{name} must have codes of at least {LEAST} numbers (an average, a deviation and a direction), "
            f"got {got}"
        )
    if not z.numel():
        raise ValueError(f"{name} must not be empty, got shape {tuple(z.shape)}")
    if not torch.isfinite(z).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return z


def _parts(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    average = z.mean(-1, keepdim=True)
    centred = z - average
    # Divided by the largest distance first, squares neither overflow nor vanish; it cancels, and so needs no
    # gradient.
    largest = centred.detach().abs().amax(-1, keepdim=True)
    constant = largest <= 8 * torch.finfo(z.dtype).eps * z.detach().abs().amax(-1, keepdim=True)
    unit = centred / torch.where(constant, torch.ones_like(largest), largest)
    unit = torch.where(constant, torch.zeros_like(unit), unit)
    root = torch.where(constant, torch.ones_like(largest), unit.square().mean(-1, keepdim=True)).sqrt()
    deviation = torch.where(constant, torch.zeros_like(largest), largest * root)
    return average.squeeze(-1), deviation.squeeze(-1), unit / root
