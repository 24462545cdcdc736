r"""Twenty-five spots on a grid: which of them does a generator find? (section 6.7)

A point is the centre of a spot, drawn evenly from the 5×5 grid {−2, −1, 0, 1, 2}², plus noise of deviation
0.05. Here the truth is known, so nothing needs a judge: a generated point is *good* if it lies within 4
deviations of a centre, and a spot is *found* if it gets at least a fifth of its share of the points. How
evenly the good points lie on the spots is their *effective number*,

    exp(−Σ pₖ log pₖ),   pₖ the share of spot k among the good points:

25 if all get the same, 1 if all points lie on one spot.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kexue_lite.arguments import real, whole
from kexue_lite.networks.arguments import table
from kexue_lite.networks.mlp import draw_weights, undisturbed
from kexue_lite.ogan.decomposition import LEAST
from kexue_lite.ogan.nets import checked_rows
from kexue_lite.ogan.trainer import APART, Recipe, checked_recipe, checked_seed, fit
from kexue_lite.training import generator_for

SIDE, DEVIATION = 5, 0.05
SHARPER = 2.0  # E sees the plane that much larger: so it finds narrow spots sooner


@dataclass(frozen=True)
class Coverage:
    """What a cloud of points says of the 25 spots.

    Attributes
    ----------
    found
        Number of spots that got at least a fifth of their share.
    good
        Share of the points within 4 deviations of a centre.
    effective
        Effective number of spots, from 1 to 25; 0 if no point is good.
    """

    found: int
    good: float
    effective: float


def grid_centres() -> Tensor:
    """The 25 centres, ``(25, 2)``.

    Examples
    --------
    >>> grid_centres()[[0, 24]]
    tensor([[-2., -2.],
            [ 2.,  2.]])
    """
    line = torch.arange(SIDE) - (SIDE - 1) / 2
    return torch.cartesian_prod(line, line)


def grid_points(count: int, *, generator: torch.Generator, deviation: float = DEVIATION) -> Tensor:
    """Points of the mixture, ``(count, 2)``, on the device of the generator; `count` at least 1.

    Examples
    --------
    >>> found = coverage(grid_points(5000, generator=torch.Generator().manual_seed(0)))
    >>> found.found, found.good, round(found.effective, 1)
    (25, 0.9994, 25.0)
    """
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    real("deviation", deviation, least=0)
    where = generator.device
    chosen = torch.randint(SIDE**2, (whole("count", count),), generator=generator, device=where)
    noise = torch.randn(count, 2, generator=generator, device=where)
    return grid_centres().to(where)[chosen] + deviation * noise


def coverage(points: Tensor, *, deviation: float = DEVIATION) -> Coverage:
    """How many spots are found, which share of the points is good, and how evenly they lie on the spots.

    Parameters
    ----------
    points
        ``(N, 2)``; some thousands, or chance decides which spots are found.
    deviation
        Of the noise in a spot, at least 0.

    Raises
    ------
    TypeError, ValueError
        If `points` are no finite ``(N, 2)``.

    Examples
    --------
    >>> coverage(torch.zeros(100, 2))
    Coverage(found=1, good=1.0, effective=1.0)
    """
    table("points", points, 2)
    distance, spot = torch.cdist(points.cpu().double(), grid_centres().double()).min(1)
    near = distance <= 4 * real("deviation", deviation, least=0)
    counts = torch.bincount(spot[near], minlength=SIDE**2)
    shares = counts.double() / counts.sum().clamp_min(1)
    effective = float(torch.special.entr(shares).sum().exp()) if near.any() else 0.0
    found = int((counts >= len(points) / SIDE**2 / 5).sum())
    return Coverage(found, float(near.double().mean()), effective)


class PointOGAN(nn.Module):
    """An O-GAN for points of the plane: dense networks, no sigmoid at the end.

    From a code to 25 spots a generator must go in steps. One of two hidden layers cannot: taught the steps
    by examples, without any game, it put a third of its points right after 3,000 steps, one of four hidden
    layers and relus that are 0 below zero three quarters. So G has four and E three.

    Parameters
    ----------
    code_size
        n, at least 3.
    hidden
        Width of all hidden layers.
    generator
        Draws the weights; torch's global generator if left out.

    Attributes
    ----------
    G, E : nn.Module
        ``(B, n)`` to points ``(B, 2)``, and points to ``(B, n)``.

    Raises
    ------
    ValueError
        If a number is no whole number from 1, or n is below 3.

    Examples
    --------
    >>> model = PointOGAN(8).eval()
    >>> model.encode(model.generate(torch.zeros(4, 8))).shape
    torch.Size([4, 8])
    """

    def __init__(
        self, code_size: int = 8, hidden: int = 128, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.code_size = whole("code_size", code_size, LEAST)
        n, width = code_size, whole("hidden", hidden)
        G: list[nn.Module] = []
        E: list[nn.Module] = []
        with undisturbed(generator):
            for before in (n, width, width, width):
                G += [nn.Linear(before, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
            for before in (2, width, width):
                E += [nn.Linear(before, width), nn.ReLU()]
            self.G = nn.Sequential(*G, nn.Linear(width, 2))
            self.E = nn.Sequential(_Times(SHARPER), *E, nn.Linear(width, n))
        draw_weights(self, generator)

    def generate(self, z: Tensor) -> Tensor:
        """``(B, n)`` to points ``(B, 2)``; TypeError or ValueError for others."""
        checked_rows("z", z, (self.code_size,))
        return self.G(z)

    def encode(self, x: Tensor) -> Tensor:
        """Points ``(B, 2)`` to codes ``(B, n)``; TypeError or ValueError for others."""
        checked_rows("x", x, (2,))
        return self.E(x)


class _Times(nn.Module):
    """A number times what comes in."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


def train_on_grid(*, recipe: Recipe, seed: int = 0, points: int = 20_000) -> PointOGAN:
    """Train a `PointOGAN` on points of the mixture.

    Parameters
    ----------
    recipe
        Such as `GRID`, or `PLAIN_GRID` for the plain GAN; `hidden`, `channels`, `distort` are not used.
    seed
        Of the points, the weights, the order and the codes; from 0, below 2²⁹.
    points
        How many different ones are drawn, at least 2.

    Returns
    -------
    PointOGAN
        With averaged weights, in evaluation mode.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As for `train_ogan`.

    Examples
    --------
    >>> model = train_on_grid(recipe=Recipe(code_size=8, steps=3, lesson=0), points=200)
    >>> model.training
    False
    """
    seed, recipe = checked_seed(seed), checked_recipe(recipe)
    x = grid_points(points, generator=generator_for(seed + 3 * APART, 0))
    model = PointOGAN(recipe.code_size, generator=generator_for(seed + 2 * APART, 0))
    return fit(model, x, recipe, seed=seed)
