"""The two networks of an O-GAN for square pictures: G from codes to pictures, E back (section 6.4).

Two families. *Dense* ones (`channels` left out) know nothing of neighbouring pixels; at 8×8 they are the
faster road to good pictures on a CPU. *Convolutional* ones halve the picture once for each step of
`channels`; at 28×28 they are the only sensible ones. Sizes follow one rule: a picture of size s with k
channels has a coarsest grid of s / 2ᵏ.

E has no batch norm: it must treat a picture alike whatever stands beside it, for the loss hands it three
batches as one and GAN-QP compares pictures one by one. G has, and with it learns several times as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kexue_lite.arguments import real, whole
from kexue_lite.networks.mlp import draw_weights, undisturbed
from kexue_lite.ogan.decomposition import LEAST, decompose

SLOPE = 0.2  # of leaky relus below zero


class OGAN(nn.Module):
    """A generator and an encoder whose average is the discriminator.

    Parameters
    ----------
    size
        Height and width of the pictures.
    code_size
        n, at least 3.
    hidden
        Widths of the hidden layers of both networks (G in this order, E in the reverse).
    channels
        Of the convolutions, finest first; none for dense networks. `size` must be divisible by 2 for each.
    generator
        Draws the weights; torch's global generator if left out.

    Attributes
    ----------
    G, E : nn.Module
        ``(B, n)`` to pictures ``(B, size, size)`` in (0, 1), and pictures to ``(B, n)``.

    Raises
    ------
    TypeError, ValueError
        If a number is no whole number from 1, n is below 3, or `size` cannot be halved so often.

    References
    ----------
    Article 6409; section 6.4.

    Examples
    --------
    >>> model = OGAN(8, 16, generator=torch.Generator().manual_seed(0)).eval()
    >>> x = model.generate(torch.zeros(5, 16))
    >>> x.shape, model.encode(x).shape, model.reconstruct(x).shape
    (torch.Size([5, 8, 8]), torch.Size([5, 16]), torch.Size([5, 8, 8]))
    """

    def __init__(
        self,
        size: int = 8,
        code_size: int = 16,
        *,
        hidden: Sequence[int] = (256, 256),
        channels: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        size, code_size = whole("size", size), whole("code_size", code_size)
        self.size, self.code_size = size, code_size
        if code_size < LEAST:
            raise ValueError(
                f"code_size must be at least {LEAST}: an average and a deviation are free of ρ, and a "
                f"direction needs what is left; got {code_size}"
            )
        hidden, channels = _widths("hidden", hidden), _widths("channels", channels)
        if size % 2 ** len(channels):
            raise ValueError(
                f"size must be divisible by {2 ** len(channels)} for {len(channels)} channels, got {size}"
            )
        with undisturbed(generator):
            self.G = nn.Sequential(*_generator_layers(size, code_size, hidden, channels))
            self.E = nn.Sequential(*_encoder_layers(size, code_size, hidden, channels))
        draw_weights(self, generator)
        _draw_transposed(self, generator)

    def generate(self, z: Tensor) -> Tensor:
        """G(z): ``(B, n)`` to ``(B, size, size)``; ValueError or TypeError for what are no codes of it."""
        checked_rows("z", z, (self.code_size,))
        return self.G(z)

    def encode(self, x: Tensor) -> Tensor:
        """E(x): ``(B, size, size)`` or ``(B, 1, size, size)`` to ``(B, n)``; errors as for `generate`."""
        checked_rows("x", x, (self.size, self.size), (1, self.size, self.size))
        return self.E(x.reshape(len(x), self.size, self.size))

    def score(self, x: Tensor) -> Tensor:
        """D(x) = avg E(x), ``(B,)``: low for what looks real."""
        return self.encode(x).mean(-1)

    def reconstruct(self, x: Tensor, *, shrink: float = 1.0) -> Tensor:
        """G(shrink · N(E(x))), (6.9); the article's code has a `shrink` of 0.9."""
        return self.generate(real("shrink", shrink) * decompose(self.encode(x))[2])


def checked_rows(name: str, value: Tensor, *shapes: tuple[int, ...]) -> None:
    """Raise unless `value` is a tensor of floating-point numbers whose rows have one of the shapes.

    Examples
    --------
    >>> checked_rows("z", torch.zeros(3, 8), (16,))
    Traceback (most recent call last):
    ...
    ValueError: z must have shape (B, 16), got (3, 8)
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a tensor of floating-point numbers, got {got}")
    if tuple(value.shape[1:]) not in shapes or not value.ndim:
        allowed = " or ".join(f"({', '.join(map(str, ('B', *shape)))})" for shape in shapes)
        raise ValueError(f"{name} must have shape {allowed}, got {tuple(value.shape)}")


class _Reshape(nn.Module):
    """Rows of numbers as pictures, or with no shape flattened."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)

    def extra_repr(self) -> str:
        return f"shape={self.shape}"


def _widths(name: str, value: Sequence[int]) -> list[int]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a sequence of whole numbers, got {value!r}")
    return [whole(f"{name}[{place}]", width) for place, width in enumerate(value)]


def _generator_layers(size: int, n: int, hidden: list[int], channels: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    width = n
    for after in hidden:
        layers += [nn.Linear(width, after, bias=False), nn.BatchNorm1d(after), nn.LeakyReLU(SLOPE)]
        width = after
    if not channels:
        return [*layers, nn.Linear(width, size * size), nn.Sigmoid(), _Reshape(size, size)]
    grid, *deep = size >> len(channels), channels[-1]
    layers += [nn.Linear(width, deep[0] * grid**2, bias=False), _Reshape(deep[0], grid, grid)]
    layers += [nn.BatchNorm2d(deep[0]), nn.LeakyReLU(SLOPE)]
    for before, after in zip(channels[::-1], [*channels[-2::-1], channels[0]], strict=True):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.LeakyReLU(SLOPE)]
    return [*layers, nn.Conv2d(channels[0], 1, 3, padding=1), nn.Sigmoid(), _Reshape(size, size)]


def _encoder_layers(size: int, n: int, hidden: list[int], channels: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    width = size * size
    if channels:
        layers.append(_Reshape(1, size, size))
        for before, after in zip([1, *channels], channels, strict=False):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        width = channels[-1] * (size >> len(channels)) ** 2
    layers.append(_Reshape(width))
    for after in hidden[::-1]:
        layers += [nn.Linear(width, after), nn.LeakyReLU(SLOPE)]
        width = after
    return [*layers, nn.Linear(width, n)]


def _draw_transposed(module: nn.Module, generator: torch.Generator | None) -> None:
    """`draw_weights` knows linear maps and convolutions; the same law for transposed ones."""
    if generator is None:
        return
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.ConvTranspose2d):
                inputs: Any = part.weight.shape[0] * 4  # of the 16 weights 4 meet in a pixel
                part.weight.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
