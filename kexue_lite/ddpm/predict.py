r"""What the network says, and how it becomes noise: one interface, four ways to train.

    noise        ε̂ = F(x_t, t)
    picture      x̂_0 = F(x_t, t),                so  ε̂ = (x_t − ᾱ_t F)/β̄_t
    velocity     v̂ = F(x_t, t),                  so  ε̂ = ᾱ_t F + β̄_t x_t        (v = ᾱ_t ε − β̄_t x_0)
    mean         x̂_{t−1} = x_t + F(x_t, t),      so  ε̂ = (x_t − α_t (x_t + F)) β̄_t/β_t²

All four say the same thing where F is exact. They differ in what an error of F costs: `weight_of` says by how
much. The velocity is Salimans and Ho's (2022): near t = 0 it asks for the noise, near t = T for the picture,
in both cases for what x_t itself does not yet show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kexue_lite.arguments import real, whole
from kexue_lite.ddpm.process import predicted
from kexue_lite.ddpm.schedule import Schedule
from kexue_lite.networks.mlp import draw_weights, undisturbed

KINDS = ("noise", "picture", "velocity", "mean")


class NoiseModel(nn.Module):
    """A network with what it predicts: ``model(x, t)`` is the noise, whatever the network says.

    Parameters
    ----------
    network
        ``network(x, t)`` returns the shape of x.
    schedule
        Its α_t, β_t, ᾱ_t, β̄_t go with the module from device to device; they are no weights.
    kind
        ``"noise"``, ``"picture"``, ``"velocity"`` or ``"mean"``.

    Raises
    ------
    TypeError, ValueError
        For another kind; when called, if the network returns another shape, or t is not ``(B,)`` whole
        numbers in 1, ..., T.

    Examples
    --------
    >>> schedule = Schedule.article(100)
    >>> model = NoiseModel(Denoiser((2,), T=100), schedule, kind="velocity")
    >>> model(torch.zeros(5, 2), torch.full((5,), 100)).shape
    torch.Size([5, 2])
    """

    of_x: Tensor
    of_out: Tensor

    def __init__(self, network: nn.Module, schedule: Schedule, *, kind: str = "noise") -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
        if not bool((schedule.times == torch.arange(schedule.T + 1)).all()):
            raise ValueError("schedule must be the one to train with, not a shortened one")
        self.network, self.kind, self.schedule = network, kind, schedule
        of_x, of_out = _factors(kind, schedule)
        self.register_buffer("of_x", of_x.float(), persistent=False)
        self.register_buffer("of_out", of_out.float(), persistent=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The noise ``(B, ...)``."""
        t = self.schedule.checked(t, x)
        out = predicted(self.network, x, t)
        if self.kind == "noise":
            return out
        shape = (-1, *[1] * (x.ndim - 1))
        return self.of_x[t].reshape(shape) * x + self.of_out[t].reshape(shape) * out


def _factors(kind: str, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """ε̂ = a_t x_t + b_t F: the tables a and b; at t = 0, where nothing is asked, zeros."""
    alpha, beta = schedule.alpha[1:], schedule.beta[1:]
    bar_alpha, bar_beta = schedule.alpha_bar[1:], schedule.beta_bar[1:]
    one, zero = torch.ones_like(alpha), torch.zeros_like(alpha)
    a, b = {
        "noise": (zero, one),
        "picture": (1 / bar_beta, -bar_alpha / bar_beta),
        "velocity": (bar_beta, bar_alpha),
        "mean": ((1 - alpha) * bar_beta / beta**2, -alpha * bar_beta / beta**2),
    }[kind]
    return torch.cat([zero[:1], a]), torch.cat([zero[:1], b])


class TimeFeatures(nn.Module):
    """t as sines and cosines of falling frequencies, one wave for the whole road at the slowest.

    Parameters
    ----------
    width
        Even, at least 4.
    T
        Number of steps: the features depend on t/T, so a longer schedule means the same.

    Examples
    --------
    >>> TimeFeatures(8, T=100)(torch.tensor([50])).shape
    torch.Size([1, 8])
    """

    rates: Tensor

    def __init__(self, width: int, *, T: int) -> None:
        super().__init__()
        if whole("width", width, 4) % 2:
            raise ValueError(f"width must be even, got {width}")
        rates = torch.exp(-math.log(1000) * torch.arange(width // 2) / (width // 2 - 1))
        self.register_buffer("rates", rates * 1000 / whole("T", T, 2), persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """``(B,)`` to ``(B, width)``, between −1 and 1."""
        angle = t[:, None] * self.rates
        return torch.cat([angle.sin(), angle.cos()], 1)


class Denoiser(nn.Module):
    """A network of dense layers for data of any shape: the sensible thing for points and for tiny pictures.

        h = W x;    h ← h + B φ(A ((1 + s(t)) norm(h) + m(t)))  × depth;    out = C norm(h)

    It begins as zero: B and C are zero at first, and so are the scales s and shifts m that t controls.

    Parameters
    ----------
    shape
        Of one row of the data: ``(2,)`` for points, ``(8, 8)`` for digits.
    width, depth
        Of the hidden layers, and how many blocks of two there are.
    T
        Number of steps of the schedule.
    dropout
        Share of hidden numbers left out while training.
    generator
        Draws the weights; torch's global generator if left out.

    Raises
    ------
    ValueError
        If a number is out of range; when called, if rows have another shape.

    Examples
    --------
    >>> net = Denoiser((8, 8), T=100, generator=torch.Generator().manual_seed(0))
    >>> net(torch.ones(3, 8, 8), torch.tensor([1, 50, 100])).abs().max().item()  # before any training
    0.0
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        T: int,
        width: int = 128,
        depth: int = 3,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.shape = tuple(whole("shape", side) for side in shape)
        if not self.shape:
            raise ValueError("shape must name at least one axis, got none")
        whole("width", width), whole("depth", depth), real("dropout", dropout, least=0, most=0.99)
        self.depth, numbers, time = depth, math.prod(self.shape), 64
        with undisturbed(generator):
            self.time = TimeFeatures(time, T=T)
            self.enter = nn.Linear(numbers, width)
            self.clock = nn.Sequential(nn.Linear(time, width), nn.SiLU())
            self.control = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
            self.norm = nn.LayerNorm(width, elementwise_affine=False)
            self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
            self.dropout = nn.Dropout(dropout)
            self.leave = nn.Linear(width, numbers)
        draw_weights(self, generator)
        silence(self.leave, *self.control, *self.outer)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """``(B, *shape)`` and ``(B,)`` to ``(B, *shape)``."""
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"x must have shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}"
            )
        h = self.enter(x.flatten(1))  # (B, width)
        clock = self.clock(self.time(t).to(h))
        for control, inner, outer in zip(self.control, self.inner, self.outer, strict=True):
            scale, shift = control(clock).chunk(2, 1)
            h = h + outer(self.dropout(nn.functional.silu(inner(self.norm(h) * (1 + scale) + shift))))
        return self.leave(self.norm(h)).reshape(x.shape)


def silence(*layers: nn.Module) -> None:
    """Set weights and biases of these layers to zero: what stands behind them begins as nothing.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> silence(layer)
    >>> layer(torch.ones(1, 2)).tolist()
    [[0.0, 0.0]]
    """
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
