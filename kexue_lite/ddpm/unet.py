r"""A small U-Net: the network for pictures, in the form that the field uses.

    in ─ block ──────────────────────── join ─ block ─ out          full size
            └ halve ─ block ─ ... ─ double ┘                         half size, and so on

A block is a residual one (norm, φ, 3×3; norm, scaled and shifted by t, φ, 3×3). At the smallest size every
place looks at every other (attention). Each size has a learned picture of its own added to it, which says
where a place is: convolutions alone do not know, and digits stand in the middle.

U-Net: Ronneberger, Fischer, Brox 2015; with time: Ho, Jain, Abbeel 2020; scale and shift: Perez and others
2018.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kexue_lite.arguments import real, whole
from kexue_lite.ddpm.predict import TimeFeatures, silence
from kexue_lite.networks.mlp import draw_weights, undisturbed


class Block(nn.Module):
    """h ← skip(h) + conv(φ((1 + s(t)) norm(conv(φ(norm h))) + m(t))).

    Examples
    --------
    >>> block = Block(8, 16, time=32)
    >>> block(torch.ones(2, 8, 4, 4), torch.zeros(2, 32)).shape
    torch.Size([2, 16, 4, 4])
    """

    def __init__(self, before: int, after: int, *, time: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(groups_of(before), before)
        self.conv_1 = nn.Conv2d(before, after, 3, padding=1)
        self.control = nn.Linear(time, 2 * after)
        self.norm_2 = nn.GroupNorm(groups_of(after), after)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, h: Tensor, clock: Tensor) -> Tensor:
        """``(B, before, H, W)`` and ``(B, time)`` to ``(B, after, H, W)``."""
        scale, shift = self.control(clock)[:, :, None, None].chunk(2, 1)
        inner = self.norm_2(self.conv_1(F.silu(self.norm_1(h)))) * (1 + scale) + shift
        return self.skip(h) + self.conv_2(self.dropout(F.silu(inner)))


class Attention(nn.Module):
    """Every place looks at every other: H heads of width D, h ← h + W softmax(QKᵀ/√D) V.

    Examples
    --------
    >>> Attention(8, heads=2)(torch.ones(2, 8, 4, 4)).shape
    torch.Size([2, 8, 4, 4])
    """

    def __init__(self, channels: int, *, heads: int = 4) -> None:
        super().__init__()
        if channels % whole("heads", heads):
            raise ValueError(f"heads must divide the {channels} channels, got {heads}")
        self.heads = heads
        self.norm = nn.GroupNorm(groups_of(channels), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        """``(B, channels, H, W)`` to the same."""
        B, C, height, width = h.shape
        parts = self.qkv(self.norm(h)).view(B, 3, self.heads, C // self.heads, height * width)
        q, k, v = parts.transpose(-1, -2).unbind(1)  # (B, heads, places, D)
        seen = F.scaled_dot_product_attention(q, k, v)
        return h + self.leave(seen.transpose(-1, -2).reshape(B, C, height, width))


class UNet(nn.Module):
    """The noise (or what it is trained to say) of square pictures ``(B, H, H)`` with one channel.

    Parameters
    ----------
    size
        H; it must be divisible by 2 as often as the picture is halved.
    T
        Number of steps of the schedule.
    channels
        At full size, half size, ...
    inputs
        Pictures that are seen together: with more than one, the network takes ``(B, inputs, H, H)``.
    time
        Width of what is known of t.
    dropout
        Share of numbers left out in each block while training.
    generator
        Draws the weights; torch's global generator if left out.

    Raises
    ------
    ValueError
        If numbers do not fit together; when called, for pictures of another size.

    Examples
    --------
    >>> net = UNet(size=8, T=100, channels=(8, 16), generator=torch.Generator().manual_seed(0))
    >>> net(torch.zeros(5, 8, 8), torch.full((5,), 100)).shape
    torch.Size([5, 8, 8])
    >>> UNet(size=7, T=100)
    Traceback (most recent call last):
    ...
    ValueError: size must be divisible by 2, once for each halving, got 7
    """

    def __init__(
        self,
        *,
        size: int = 8,
        T: int,
        channels: Sequence[int] = (32, 64),
        inputs: int = 1,
        time: int = 64,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not channels:
            raise ValueError("channels must name at least one width, got none")
        for k, wide in enumerate(channels):
            whole(f"channels[{k}]", wide)
        real("dropout", dropout, least=0, most=0.99)
        self.size, parts = whole("size", size), 2 ** (len(channels) - 1)
        if size % parts:
            raise ValueError(f"size must be divisible by {parts}, once for each halving, got {size}")
        self.inputs = whole("inputs", inputs)
        pairs = list(itertools.pairwise(channels))
        with undisturbed(generator):
            self.time = TimeFeatures(time, T=T)
            self.clock = nn.Sequential(nn.Linear(time, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
            self.enter = nn.Conv2d(self.inputs, channels[0], 3, padding=1)
            self.down = nn.ModuleList(Block(a, a, time=time, dropout=dropout) for a, _ in pairs)
            self.halve = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
            self.middle_1 = Block(channels[-1], channels[-1], time=time, dropout=dropout)
            self.attention = Attention(channels[-1], heads=4 if channels[-1] % 4 == 0 else 1)
            self.middle_2 = Block(channels[-1], channels[-1], time=time, dropout=dropout)
            self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairs)  # four places from one
            self.up = nn.ModuleList(Block(2 * a, a, time=time, dropout=dropout) for a, _ in pairs)
            self.norm = nn.GroupNorm(groups_of(channels[0]), channels[0])
            self.leave = nn.Conv2d(channels[0], 1, 3, padding=1)
        draw_weights(self, generator)
        self.places = nn.ParameterList(
            0.1 * torch.randn(1, wide, size >> k, size >> k, generator=generator)
            for k, wide in enumerate(channels)
        )
        silence(self.leave, self.attention.leave)
        for block in (*self.down, self.middle_1, self.middle_2, *self.up):
            silence(block.conv_2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """``(B, H, H)`` (or ``(B, inputs, H, H)``) and ``(B,)`` to ``(B, H, H)``."""
        size = (self.size, self.size)
        if tuple(x.shape[1:]) != (size if self.inputs == 1 else (self.inputs, *size)):
            wanted = f"(B, {'' if self.inputs == 1 else f'{self.inputs}, '}{self.size}, {self.size})"
            raise ValueError(f"x must have shape {wanted}, got {tuple(x.shape)}")
        if self.inputs == 1:
            x = x[:, None]
        clock = self.clock(self.time(t).to(x))
        h = self.enter(x) + self.places[0]
        left: list[Tensor] = []
        for k, (block, halve) in enumerate(zip(self.down, self.halve, strict=True), 1):
            left.append(block(h, clock))
            h = halve(left[-1]) + self.places[k]
        h = self.middle_2(self.attention(self.middle_1(h, clock)), clock)
        for k in reversed(range(len(self.up))):
            h = self.up[k](torch.cat([F.pixel_shuffle(self.grow[k](h), 2), left[k]], 1), clock)
        return self.leave(F.silu(self.norm(h)))[:, 0]


def groups_of(channels: int) -> int:
    """Into how many groups normalisation cuts the channels: 8, or the largest smaller number that divides.

    Examples
    --------
    >>> groups_of(32), groups_of(12), groups_of(7)
    (8, 6, 7)
    """
    return max(g for g in range(1, 9) if channels % g == 0)
