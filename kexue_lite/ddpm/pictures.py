r"""Pictures: the whole recipe, from pictures in [0, 1] to new pictures in [0, 1].

What makes a small network learn in seconds, beside its form:

- the data are centred (the mean picture taken away) and scaled to unit variance, so that the schedule fits;
- a head start: the network F says only what is missing from the best guess g of a few clouds (`Clouds`), in
  units of what is missing on average, P_t:

      x̂_0 = g(x_t) + P_t F(x_t, g, t),    ε̂ = (x_t − ᾱ_t x̂_0)/β̄_t,

  and its errors count alike at every t. For one round cloud g = ᾱ_t x_t and P_t = β̄_t: F is the velocity
  (`NoiseModel`) but for its sign. Without a head start the network says what `Recipe.kind` names, and is
  trained on the mean square error of just that;
- t is drawn from where there is something to learn, log β̄_t/ᾱ_t near `level` (`level_density`): at small t
  the answer is nearly the input, at large t nearly the mean picture;
- no step follows the gradient of a handful of pictures (`even_batch`);
- the learning rate rises and falls once, and the weights are averaged over the last part of the run.

The level density and the scaling are Karras and others' (2022), written for our α_t, β_t.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from kexue_lite.arguments import real, whole
from kexue_lite.ddpm.clouds import Clouds
from kexue_lite.ddpm.predict import KINDS, NoiseModel
from kexue_lite.ddpm.process import SEEDS, checked_seed, loss, noisy_batches, weight_of
from kexue_lite.ddpm.sampling import ddim_sample, sample
from kexue_lite.ddpm.schedule import Schedule
from kexue_lite.ddpm.unet import UNet
from kexue_lite.networks.digits import checked_images
from kexue_lite.training import Checkpoint, Run, generator_for, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# Weights and P_t draw from (seed, this): no epoch is so late, see `process.SEEDS`.
_WEIGHTS, _MISSING = SEEDS, SEEDS + 1
SIGMAS = ("beta", "posterior", "none", "ddim")


@dataclass(frozen=True)
class Recipe:
    """Settings, chosen on half A of the digits alone.

    It was cut in two: trained on one part, scored on the other; with half as many clouds, so that there were
    as many pictures to a cloud.

    Attributes
    ----------
    T
        Steps of the article's schedule, rescaled.
    channels
        Of the U-Net.
    clouds
        K, of the head start; 0 for none.
    shrink
        How far the covariances of the clouds are moved to their mean: see `Clouds.fit`.
    kind
        What the network says where there is no head start: see `NoiseModel`. With one it says what the guess
        of the clouds misses.
    steps, batch_size, rate
        Length of training, pictures of a step (about: see `even_batch`), largest learning rate.
    average
        Decay of the moving average of the weights.
    level, breadth
        Mean and deviation of log β̄_t/ᾱ_t where t is drawn, for data of unit variance; if `level` is None, t
        is drawn evenly.
    kept
        Of the T steps so many are walked when sampling, 2 to T.
    sigma
        See `sigma_of`; or ``"ddim"``.
    levels
        Made pictures are rounded to so many levels above 0, if not 0: the digits are whole numbers up to 16.

    Raises
    ------
    TypeError, ValueError
        For a number out of range or an unknown name: before the training, not after it.

    Examples
    --------
    >>> Recipe(T=25)
    Traceback (most recent call last):
    ...
    ValueError: kept must be at most T = 25, got 40
    """

    T: int = 1000
    channels: Sequence[int] = (16, 64)
    clouds: int = 20
    shrink: float = 0.3
    kind: str = "velocity"
    steps: int = 1400
    batch_size: int = 64
    rate: float = 3e-3
    average: float = 0.99
    level: float | None = -0.8
    breadth: float = 0.9
    kept: int = 40
    sigma: str = "posterior"
    levels: int = 16

    def __post_init__(self) -> None:
        whole("T", self.T, 2), whole("clouds", self.clouds, 0), whole("steps", self.steps)
        whole("batch_size", self.batch_size), whole("levels", self.levels, 0)
        _checked_kept(self.kept, self.T)
        _one_of("kind", self.kind, KINDS)
        _one_of("sigma", self.sigma, SIGMAS)
        for name in ("rate", "breadth"):
            if real(name, getattr(self, name)) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 < real("average", self.average) < 1:
            raise ValueError(f"average must lie between 0 and 1 (both excluded), got {self.average}")
        real("shrink", self.shrink, least=0, most=1)
        if self.level is not None:
            real("level", self.level)


def even_batch(rows: int, batch_size: int) -> int:
    """The batch size nearest to the wanted one whose last batch of an epoch is at least half full.

    A step has one length whatever its batch: with 449 pictures and batches of 64 every eighth step would
    follow the gradient of a single picture, and the network learns next to nothing.

    Raises
    ------
    ValueError
        If there are fewer rows than that.

    Examples
    --------
    >>> even_batch(449, 64)  # six batches of 65 and one of 59
    65
    """
    if whole("batch_size", batch_size) > rows:
        raise ValueError(f"batch_size must be at most the number of rows, {rows}; got {batch_size}")
    sizes = (batch_size + sign * k for k in range(rows) for sign in (1, -1))
    return next(B for B in sizes if 1 <= B <= rows and 2 * (-rows % B) <= B)


def level_density(schedule: Schedule, *, level: float = -0.8, breadth: float = 0.9) -> Tensor:
    """Chances ``(T + 1,)`` of t such that log β̄_t/ᾱ_t is nearly normal; a thousandth is uniform.

    Examples
    --------
    >>> schedule = Schedule.article(1000)
    >>> chances = level_density(schedule)
    >>> chances.shape, round(chances.sum().item(), 12), chances[0].item()
    (torch.Size([1001]), 1.0, 0.0)
    >>> at = int(chances.argmax())
    >>> 0 < at < 500  # the second half of the road is nearly noise
    True
    """
    real("level", level)
    if real("breadth", breadth) <= 0:
        raise ValueError(f"breadth must be positive, got {breadth}")
    logs = (schedule.beta_bar[1:] / schedule.alpha_bar[1:]).log()
    (slopes,) = torch.gradient(logs)
    chances = torch.exp(-0.5 * ((logs - level) / breadth) ** 2) * slopes
    chances = 0.999 * chances / chances.sum() + 0.001 / schedule.T
    return torch.cat([torch.zeros(1, dtype=chances.dtype), chances])


class PictureModel(nn.Module):
    """A noise model with what is needed to make pictures: the mean picture, the scale, the schedule.

    Made by `train_pictures`. ``model(x, t)`` predicts the noise of *scaled* pictures.

    Attributes
    ----------
    mean, scale
        x = (picture − mean)/scale.
    net
        The network; without clouds it stands in a `NoiseModel`.
    clouds
        Of the head start, or None.
    schedule, recipe
        As trained.
    """

    mean: Tensor
    scale: Tensor
    missing: Tensor
    keep: Tensor
    add: Tensor

    def __init__(
        self, size: int, recipe: Recipe, *, clouds: Clouds | None, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.recipe, self.clouds = recipe, clouds
        self.schedule = Schedule.article(recipe.T)
        inputs = 1 if clouds is None else 2
        net = UNet(size=size, T=recipe.T, channels=recipe.channels, inputs=inputs, generator=generator)
        self.net = NoiseModel(net, self.schedule, kind=recipe.kind) if clouds is None else net
        self.register_buffer("mean", torch.zeros(size, size))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("missing", self.schedule.beta_bar.float())  # P_t, until it is measured
        self.register_buffer("keep", self.schedule.alpha_bar.float(), persistent=False)
        self.register_buffer("add", self.schedule.beta_bar.float(), persistent=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The noise ``(B, H, H)`` in scaled pictures."""
        if x.shape[1:] != self.mean.shape:
            size = len(self.mean)
            raise ValueError(f"x must have shape (B, {size}, {size}), got {tuple(x.shape)}")
        if self.clouds is None:
            return self.net(x, t)
        t = self.schedule.checked(t, x)
        keep, add, missing = (table[t][:, None, None] for table in (self.keep, self.add, self.missing))
        with torch.no_grad():
            guess = self.clouds(x.flatten(1), self.keep[t], self.add[t]).view_as(x)
        picture = guess + missing * self.net(torch.stack([x, guess], 1), t)
        return (x - keep * picture) / add

    def weight(self) -> Tensor:
        """``(T + 1,)``: makes the loss of the noise that of what the network says."""
        if self.clouds is None:
            return weight_of(self.recipe.kind, self.schedule).to(self.missing)
        weight = torch.zeros_like(self.missing)
        weight[1:] = (self.add[1:] / (self.keep[1:] * self.missing[1:])) ** 2
        return weight

    def measure_missing(self, x: Tensor, *, seed: int = 0, places: int = 40) -> None:
        """Set P_t to the root mean square of x_0 − g(x_t) over these data; interpolated between places."""
        assert self.clouds is not None
        levels = (self.schedule.beta_bar[1:] / self.schedule.alpha_bar[1:]).log().numpy()
        even = np.linspace(levels[0], levels[-1], places)
        rows = np.unique(np.searchsorted(levels, even).clip(0, len(levels) - 1))
        noise = torch.randn(x.shape, generator=generator_for(seed, _MISSING)).to(x)
        found = []
        for row in rows:
            t = torch.full((len(x),), int(row) + 1, device=x.device)
            keep, add = self.keep[t], self.add[t]
            x_t = keep[:, None, None] * x + add[:, None, None] * noise
            guess = self.clouds(x_t.flatten(1), keep, add).view_as(x)
            found.append(float((guess - x).square().mean().sqrt().clamp(min=1e-6)))
        table = np.exp(np.interp(levels, levels[rows], np.log(found)))
        self.missing[1:] = torch.from_numpy(table).to(self.missing)

    def scaled(self, images: Tensor | np.ndarray) -> Tensor:
        """Pictures ``(N, H, H)`` in [0, 1] to data x of mean zero and unit variance."""
        pictures = checked_images(images).to(self.mean)
        if pictures.shape[1:] != self.mean.shape:
            size = len(self.mean)
            raise ValueError(f"images must have shape (N, {size}, {size}), got {tuple(pictures.shape)}")
        return (pictures - self.mean) / self.scale

    def pictures(self, x: Tensor) -> Tensor:
        """Data x to pictures, clipped to [0, 1] and rounded to the recipe's levels."""
        made = (x * self.scale + self.mean).clamp(0, 1)
        levels = self.recipe.levels
        return (made * levels).round() / levels if levels else made

    def make(
        self,
        count: int,
        *,
        generator: torch.Generator,
        kept: int | None = None,
        sigma: str | None = None,
        last_noise: bool = False,
        clip: bool = True,
        film: Sequence[int] = (),
    ) -> Tensor:
        """New pictures ``(count, H, H)`` in [0, 1].

        Parameters
        ----------
        count
            0 or more.
        generator
            Draws x_T and all noise, on its own device.
        kept, sigma
            In the place of the recipe's.
        last_noise, film
            As for `sample`; the times of `film` count the steps that are kept.
        clip
            Whether x̂_0 is brought into the range of pictures at every step.

        Raises
        ------
        ValueError
            For numbers out of range, or another name of σ.
        """
        size, kind = len(self.mean), self.recipe.sigma if sigma is None else sigma
        _one_of("sigma", kind, SIGMAS)
        steps = self.schedule.every(
            _checked_kept(self.recipe.kept if kept is None else kept, self.schedule.T)
        )
        start = torch.randn(
            whole("count", count, 0), size, size,
            generator=generator, device=generator.device, dtype=self.mean.dtype,
        )  # fmt: skip
        bounds = ((0 - self.mean) / self.scale, (1 - self.mean) / self.scale) if clip else None
        x = start.to(self.mean)
        if kind == "ddim":
            return self.pictures(ddim_sample(self, x, steps, clip=bounds, film=film))
        made = sample(
            self, x, steps, sigma=kind, last_noise=last_noise, generator=generator, clip=bounds, film=film
        )
        return self.pictures(made)


@dataclass(frozen=True)
class TrainedPictures:
    """What `train_pictures` returns: the model with averaged weights, and the run."""

    model: PictureModel
    run: Run


def train_pictures(
    images: Tensor | np.ndarray,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    fabric: Fabric | None = None,
    progress: bool = False,
) -> TrainedPictures:
    """Train a `PictureModel`; seconds for the 898 digits of half A.

    Parameters
    ----------
    images
        ``(N, H, H)`` in [0, 1], on the device to train on; N at least the batch size. In float64 all is
        computed in float64, otherwise in float32.
    seed
        Of the weights, of the order of the pictures, of times and noise; less than 2³¹.
    checkpoint
        A run that was killed is taken up from there and ends with the same bits.
    fabric
        Several processes, each with its rows of the batch: see `kexue_lite.training.train`.

    Raises
    ------
    TypeError, ValueError
        For pictures of another shape or range, with NaN, all the same, or fewer than a batch.

    Examples
    --------
    >>> from kexue_lite.data import digits
    >>> A, _ = digits()
    >>> tiny = Recipe(T=50, channels=(8, 8), clouds=2, steps=3, batch_size=32, kept=5)
    >>> trained = train_pictures(A.images, recipe=tiny)
    >>> trained.model.make(4, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([4, 8, 8])
    """
    settings = Recipe() if recipe is None else recipe
    pictures = checked_images(images)
    pictures = pictures if pictures.dtype == torch.float64 else pictures.float()
    mean = pictures.mean(0)
    scale = (pictures - mean).square().mean().sqrt()
    if not scale > 0:
        raise ValueError("images are all the same: there is nothing to learn")
    x = (pictures - mean) / scale
    flat = x.flatten(1)
    checked_seed(seed)
    clouds = Clouds.fit(flat, settings.clouds, shrink=settings.shrink, seed=seed) if settings.clouds else None
    model = PictureModel(
        pictures.shape[1], settings, clouds=clouds, generator=generator_for(seed, _WEIGHTS)
    ).to(pictures)
    model.mean.copy_(mean), model.scale.copy_(scale)
    if clouds is not None:
        model.measure_missing(x, seed=seed)
    schedule = model.schedule
    batches = noisy_batches(
        x,
        schedule,
        batch_size=even_batch(len(x), settings.batch_size),
        seed=seed,
        chances=None
        if settings.level is None
        else level_density(schedule, level=settings.level, breadth=settings.breadth),
    )
    optimizer = torch.optim.AdamW(
        model.net.parameters(), lr=settings.rate, betas=(0.9, 0.99), weight_decay=0.0
    )
    # Not 0.05: it divides by pct_start · steps − 1, which is zero for twenty steps.
    rise = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps, pct_start=0.051, cycle_momentum=False
    )
    run = train(
        model,
        functools.partial(_loss, schedule=schedule, weight=model.weight()),
        batches,
        optimizer=optimizer,
        steps=settings.steps,
        schedule=rise,
        average=settings.average,
        checkpoint=checkpoint,
        fabric=fabric,
        progress=progress,
    )
    averaged = run.averaged
    assert isinstance(averaged, PictureModel)
    return TrainedPictures(averaged.requires_grad_(False), run)


def _loss(
    model: nn.Module, x: Tensor, t: Tensor, noise: Tensor, *, schedule: Schedule, weight: Tensor
) -> Tensor:
    return loss(model, x, schedule, t=t, noise=noise, weight=weight)


def _one_of(name: str, value: str, names: Sequence[str]) -> None:
    if value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}; got {value!r}")


def _checked_kept(kept: int, T: int) -> int:
    if whole("kept", kept, 2) > T:
        raise ValueError(f"kept must be at most T = {T}, got {kept}")
    return int(kept)
