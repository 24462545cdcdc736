r"""Pictures: the whole recipe, from pictures in [0, 1] to new pictures in [0, 1].

What makes a small network learn in seconds, beside its form:

- the data are centred (the mean picture taken away) and scaled to unit variance, so that the schedule fits;
- a head start: the network F says only what is missing from the best guess g of a few clouds (`Clouds`), in
  units of what is missing on average, P_t:

      x̂_0 = g(x_t) + P_t F(c_t x_t, g, t),    ε̂ = (x_t − ᾱ_t x̂_0)/β̄_t,

  and its errors count alike at every t. With one round cloud this is the velocity (`NoiseModel`);
- t is drawn from where there is something to learn, log β̄_t/ᾱ_t near `level` (`level_density`): at small t
  the answer is nearly the input, at large t nearly the mean picture;
- the learning rate rises and falls once, and the weights are averaged over the last part of the run.

The level density and the scaling are Karras and others' (2022), written for our α_t, β_t.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kexue_lite.arguments import real, whole
from kexue_lite.ddpm.clouds import Clouds
from kexue_lite.ddpm.process import loss, noisy_batches
from kexue_lite.ddpm.sampling import ddim_sample, sample
from kexue_lite.ddpm.schedule import Schedule
from kexue_lite.ddpm.unet import UNet
from kexue_lite.networks.digits import checked_images
from kexue_lite.training import Checkpoint, Run, generator_for, train

_APART = 2**30  # the weights draw from a seed of their own


@dataclass(frozen=True)
class Recipe:
    """Settings, chosen on half A of the digits alone (cut in two: trained on one part, scored on the other).

    Attributes
    ----------
    T
        Steps of the article's schedule, rescaled.
    channels
        Of the U-Net.
    clouds
        K, of the head start; 0 for none (one round cloud).
    steps, batch_size, rate
        Length of training, pictures of a step, largest learning rate.
    average
        Decay of the moving average of the weights.
    level, breadth
        Mean and deviation of log β̄_t/ᾱ_t where t is drawn, for data of unit variance.
    kept
        Of the T steps so many are walked when sampling.
    sigma
        See `sigma_of`; or ``"ddim"``.
    levels
        Made pictures are rounded to so many levels above 0, if not 0: the digits are whole numbers up to 16.
    """

    T: int = 1000
    channels: Sequence[int] = (16, 64)
    clouds: int = 20
    steps: int = 1400
    batch_size: int = 64
    rate: float = 3e-3
    average: float = 0.99
    level: float = 0.2
    breadth: float = 1.0
    kept: int = 40
    sigma: str = "posterior"
    levels: int = 16


def level_density(schedule: Schedule, *, level: float = 0.2, breadth: float = 1.0) -> Tensor:
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
    schedule, recipe
        As trained.
    """

    mean: Tensor
    scale: Tensor
    missing: Tensor
    keep: Tensor
    add: Tensor

    def __init__(
        self, size: int, recipe: Recipe, *, clouds: Clouds, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.recipe, self.clouds = recipe, clouds
        self.schedule = Schedule.article(recipe.T)
        self.net = UNet(size=size, T=recipe.T, channels=recipe.channels, inputs=2, generator=generator)
        self.register_buffer("mean", torch.zeros(size, size))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("missing", self.schedule.beta_bar.float())  # P_t; this is it for one round cloud
        self.register_buffer("keep", self.schedule.alpha_bar.float(), persistent=False)
        self.register_buffer("add", self.schedule.beta_bar.float(), persistent=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The noise ``(B, H, H)`` in scaled pictures."""
        if x.shape[1:] != self.mean.shape:
            size = len(self.mean)
            raise ValueError(f"x must have shape (B, {size}, {size}), got {tuple(x.shape)}")
        keep, add, missing = (table[t][:, None, None] for table in (self.keep, self.add, self.missing))
        with torch.no_grad():
            guess = self.clouds(x.flatten(1), self.keep[t], self.add[t]).view_as(x)
        picture = guess + missing * self.net(torch.stack([x, guess], 1), t)
        return (x - keep * picture) / add

    def weight(self) -> Tensor:
        """``(T + 1,)``: makes the loss of the noise that of what the network says."""
        weight = torch.zeros_like(self.missing)
        weight[1:] = (self.add[1:] / (self.keep[1:] * self.missing[1:])) ** 2
        return weight

    def measure_missing(self, x: Tensor, *, seed: int = 0, places: int = 40) -> None:
        """Set P_t to the root mean square of x_0 − g(x_t) over these data; interpolated between places."""
        levels = (self.schedule.beta_bar[1:] / self.schedule.alpha_bar[1:]).log().numpy()
        even = np.linspace(levels[0], levels[-1], places)
        rows = np.unique(np.searchsorted(levels, even).clip(0, len(levels) - 1))
        noise = torch.randn(x.shape, generator=generator_for(seed, 0)).to(x)
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
        size = len(self.mean)
        steps = self.schedule.every(self.recipe.kept if kept is None else kept)
        start = torch.randn(
            whole("count", count, 0), size, size, generator=generator, device=generator.device
        )
        bounds = ((0 - self.mean) / self.scale, (1 - self.mean) / self.scale) if clip else None
        kind = self.recipe.sigma if sigma is None else sigma
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
    progress: bool = False,
) -> TrainedPictures:
    """Train a `PictureModel`; seconds for the 898 digits of half A.

    Parameters
    ----------
    images
        ``(N, H, H)`` in [0, 1], on the device to train on; N at least the batch size.
    seed
        Of the weights, of the order of the pictures, of times and noise.
    checkpoint
        A run that was killed is taken up from there and ends with the same bits.

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
    pictures = checked_images(images).float()
    mean = pictures.mean(0)
    scale = (pictures - mean).square().mean().sqrt()
    if not scale > 0:
        raise ValueError("images are all the same: there is nothing to learn")
    x = (pictures - mean) / scale
    flat = x.flatten(1)
    count = whole("clouds", settings.clouds, 0)
    clouds = Clouds.fit(flat, count, seed=whole("seed", seed, 0)) if count else Clouds.round(flat.shape[1])
    model = PictureModel(
        pictures.shape[1], settings, clouds=clouds, generator=generator_for(seed + _APART, 0)
    ).to(pictures.device)
    model.mean.copy_(mean), model.scale.copy_(scale)
    if count:
        model.measure_missing(x, seed=seed + _APART + 1)
    schedule = model.schedule
    batches = noisy_batches(
        x,
        schedule,
        batch_size=settings.batch_size,
        seed=seed,
        chances=level_density(schedule, level=settings.level, breadth=settings.breadth),
    )
    optimizer = torch.optim.AdamW(
        model.net.parameters(), lr=settings.rate, betas=(0.9, 0.99), weight_decay=0.0
    )
    rise = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps, pct_start=0.05, cycle_momentum=False
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
        progress=progress,
    )
    averaged = run.averaged
    assert isinstance(averaged, PictureModel)
    return TrainedPictures(averaged.requires_grad_(False), run)


def _loss(
    model: nn.Module, x: Tensor, t: Tensor, noise: Tensor, *, schedule: Schedule, weight: Tensor
) -> Tensor:
    return loss(model, x, schedule, t=t, noise=noise, weight=weight)
