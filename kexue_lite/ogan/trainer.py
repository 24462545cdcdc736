r"""Train an O-GAN with the loop of the house: one loss and one optimiser, or the twin with two (section 6.4).

A step draws pictures x and codes z ~ N(0, I), both as pure functions of the step's number, and goes down the
joint loss of `losses`. Both networks have one Adam with two rates; the rates rise over the first steps, stay,
and go to zero over the second half of the run, and what is kept is the moving average of the weights: a GAN
circles around its equilibrium, and the middle of a circle is a better place than any of its points.

The twin has two losses and two optimisers, which `train` steps in turn, E first. G then meets an E that has
already moved: at one and the same point the gradients of the two forms are equal, their paths are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from kexue_lite.arguments import real, whole
from kexue_lite.networks.digits import checked_images
from kexue_lite.ogan.decomposition import LEAST
from kexue_lite.ogan.losses import MATCHES, encoder_loss, generator_loss, joint_loss, match_loss
from kexue_lite.ogan.nets import OGAN
from kexue_lite.ogan.warps import draw_warps, warp
from kexue_lite.training import Checkpoint, generator_for, minibatches, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# The order of the pictures, their codes, the weights, the points of the mixture and the last lesson draw from
# seeds of their own: seed + k · APART. Five of them stay below 2³², where no two pairs of seed and step meet.
APART = 2**29
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Recipe:
    """What a training of an O-GAN is made of; the defaults are those of the 8×8 digits at `reader` scale.

    Attributes
    ----------
    code_size
        n.
    hidden, channels
        Of `OGAN`; tuples.
    match, weight, generator_weight, penalty
        What ties E(G(z)) to z, E's λ₂, G's λ₂ (that of E if None), and λ₁: see `losses`. ``match="none"`` is
        the plain GAN.
    steps, batch_size
        Length of training, pictures of a step (about: an epoch is cut evenly).
    rate, encoder_rate
        Largest learning rates of G and of E.
    average
        Decay of the moving average of the weights.
    distort
        How much real and generated pictures are displaced before E sees them: `draw_warps`; 0 for not at all.
    lesson
        Steps that E goes on to learn alone when the two are done, G standing still; see `last_lesson`.
    twin
        Two losses and two optimisers in the place of one.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range or `match` is unknown.

    Examples
    --------
    >>> Recipe(match="none").weight
    1.2
    >>> Recipe(code_size=2)
    Traceback (most recent call last):
    ...
    ValueError: code_size must be a whole number of at least 3, got 2
    """

    code_size: int = 16
    hidden: tuple[int, ...] = (256, 256)
    channels: tuple[int, ...] = ()
    match: str = "pearson"
    weight: float = 1.2
    generator_weight: float | None = None
    penalty: float = 0.01
    steps: int = 3000
    batch_size: int = 64
    rate: float = 5e-4
    encoder_rate: float = 5e-4
    average: float = 0.998
    distort: float = 0.3
    lesson: int = 1500
    twin: bool = False

    def __post_init__(self) -> None:
        whole("code_size", self.code_size, LEAST)
        for name in ("hidden", "channels"):
            widths = getattr(self, name)
            if not isinstance(widths, tuple):
                raise TypeError(f"{name} must be a tuple of whole numbers, got {widths!r}")
            for place, width in enumerate(widths):
                whole(f"{name}[{place}]", width)
        if self.match not in MATCHES:
            raise ValueError(f"match must be one of {', '.join(MATCHES)}; got {self.match!r}")
        for name in ("weight", "penalty", "distort"):
            real(name, getattr(self, name), least=0)
        if self.generator_weight is not None:
            real("generator_weight", self.generator_weight, least=0)
        whole("lesson", self.lesson, 0)
        whole("steps", self.steps), whole("batch_size", self.batch_size, 2)  # batch norm needs two
        if not isinstance(self.twin, bool):
            raise TypeError(f"twin must be True or False, got {self.twin!r}")
        for name in ("rate", "encoder_rate"):
            if real(name, getattr(self, name)) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 < real("average", self.average) < 1:
            raise ValueError(f"average must lie between 0 and 1 (both excluded), got {self.average}")


PLAIN = Recipe(match="none")

# On the 25 spots, the best of the trials: for an O-GAN, and for a plain GAN, which was given more of them.
GRID = Recipe(
    code_size=4,
    weight=0.1,
    penalty=4.0,
    steps=8000,
    distort=0.0,
    batch_size=128,
    rate=5e-3,
    encoder_rate=1e-3,
    average=0.99,
    lesson=0,
)
PLAIN_GRID = replace(GRID, match="none", rate=3e-3)


def joint_step(
    model: nn.Module, x: Tensor, z: Tensor, maps: Tensor | None = None, *, recipe: Recipe
) -> Tensor:
    """The one loss of a batch, ``(B,)``: `joint_loss` of the model's two networks.

    Parameters
    ----------
    model
        Has `generate` and `encode`, such as `OGAN`.
    x, z
        Pictures ``(B, H, H)``, displaced already, and codes ``(B, n)``.
    maps
        ``(B, 2, 3)`` displace the generated pictures; none if left out.
    recipe
        Gives λ₁, λ₂ and the match.

    References
    ----------
    Article 6409; (6.8).

    Examples
    --------
    >>> model = OGAN(generator=torch.Generator().manual_seed(0))
    >>> joint_step(model, torch.zeros(4, 8, 8), torch.zeros(4, 16), recipe=Recipe()).shape
    torch.Size([4])
    """
    ogan = cast(OGAN, model)
    return joint_loss(
        ogan.encode,
        x,
        _shown(ogan, z, maps),
        z,
        weight=recipe.weight,
        penalty=recipe.penalty,
        match=recipe.match,
        generator_weight=recipe.generator_weight,
    )


def separate_steps(recipe: Recipe) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """The two losses of a batch, E's and G's (6.7), as functions ``(model, x, z, maps) -> (B,)``.

    They are the readable twin of `joint_step`: each has the gradient that the one loss gives its network.

    Examples
    --------
    >>> model = OGAN(generator=torch.Generator().manual_seed(0))
    >>> of_encoder, of_generator = separate_steps(Recipe())
    >>> of_generator(model, torch.zeros(4, 8, 8), torch.zeros(4, 16)).shape
    torch.Size([4])
    """

    def of_encoder(model: nn.Module, x: Tensor, z: Tensor, maps: Tensor | None = None) -> Tensor:
        ogan = cast(OGAN, model)
        with torch.no_grad():
            fake = _shown(ogan, z, maps)
        return encoder_loss(
            ogan.encode, x, fake, z, weight=recipe.weight, penalty=recipe.penalty, match=recipe.match
        )

    def of_generator(model: nn.Module, x: Tensor, z: Tensor, maps: Tensor | None = None) -> Tensor:
        ogan = cast(OGAN, model)
        weight = recipe.weight if recipe.generator_weight is None else recipe.generator_weight
        return generator_loss(ogan.encode, _shown(ogan, z, maps), z, weight=weight, match=recipe.match)

    return of_encoder, of_generator


def _shown(model: OGAN, z: Tensor, maps: Tensor | None) -> Tensor:
    fake = model.generate(z)
    return fake if maps is None else warp(fake, maps)


def train_ogan(
    images: Tensor | np.ndarray,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    fabric: Fabric | None = None,
) -> OGAN:
    """Train an O-GAN (or, by its recipe, a plain GAN) on square pictures: down `joint_loss`, (6.8).

    Parameters
    ----------
    images
        ``(N, H, H)`` in [0, 1], float32 or float64, on any device; N at least 2 for each process.
    recipe
        `Recipe()` if left out.
    seed
        Of the weights, of the order of the pictures and of the codes; from 0, below 2²⁹.
    checkpoint
        Where the run keeps its state, and in ``<path>.lesson`` that of the last lesson; if the files exist,
        the run is taken up from there, and ends with the bits of one that was never broken off.
    fabric
        Several processes, as for `train`. Each sees its rows of a batch, and so does G's batch norm: by it
        alone the result differs from that of one process. The last lesson, in which G stands still, does not.

    Returns
    -------
    OGAN
        With averaged weights, in evaluation mode, on the device of `images` (with `fabric`, of its process).

    Raises
    ------
    TypeError, ValueError
        If shapes, types or ranges do not fit, or a checkpoint is of another run.
    FloatingPointError
        If the loss is not finite.
    OSError
        If a checkpoint cannot be written.

    References
    ----------
    Article 6409; sections 6.3 and 6.4.

    Examples
    --------
    >>> from kexue_lite.data import digits
    >>> A, _ = digits()
    >>> model = train_ogan(A.images, recipe=Recipe(steps=3, lesson=0))
    >>> model.generate(torch.zeros(2, 16)).shape
    torch.Size([2, 8, 8])
    """
    recipe = checked_recipe(Recipe() if recipe is None else recipe)
    x = checked_images(images)
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"images must be float32 or float64 to train on, got {x.dtype}")
    seed = checked_seed(seed)
    model = OGAN(
        x.shape[1],
        recipe.code_size,
        hidden=recipe.hidden,
        channels=recipe.channels,
        generator=generator_for(seed + 2 * APART, 0),
    ).to(x)
    return fit(model, x, recipe, seed=seed, checkpoint=checkpoint, fabric=fabric)


def checked_recipe(recipe: Recipe) -> Recipe:
    """The recipe itself; TypeError if it is none.

    Examples
    --------
    >>> checked_recipe("O-GAN")
    Traceback (most recent call last):
    ...
    TypeError: recipe must be a Recipe, got str
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, got {type(recipe).__name__}")
    return recipe


def checked_seed(seed: int) -> int:
    """The seed as an int; raise unless it is a whole number from 0, below 2²⁹.

    Examples
    --------
    >>> checked_seed(2**29)
    Traceback (most recent call last):
    ...
    ValueError: seed must be below 536870912, or streams of randomness meet; got 536870912
    """
    if whole("seed", seed, 0) >= APART:
        raise ValueError(f"seed must be below {APART}, or streams of randomness meet; got {seed}")
    return int(seed)


def rows_of_a_batch(count: int, wanted: int, least: int = 2) -> int:
    """How many rows a batch has: about `wanted`, so that no batch of an epoch has less than `least`.

    The batch statistics of a small rest would be poor, and batch norm refuses a single row.

    Examples
    --------
    >>> rows_of_a_batch(898, 64), rows_of_a_batch(7, 2), rows_of_a_batch(5, 64)
    (65, 4, 5)
    """
    if count < least:
        raise ValueError(
            f"images must be at least {least}: two for the batch norm of each process; got {count}"
        )
    rows = max(least, -(-count // max(1, round(count / wanted))))
    while 0 < count % rows < least:
        rows += 1
    return rows


def fit(
    model: M,
    x: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    fabric: Fabric | None = None,
) -> M:
    """Train a model that has `generate`, `encode`, `G`, `E` and `code_size` on rows of `x`.

    Pictures ``(N, H, H)`` are displaced by the recipe, points ``(N, 2)`` are not. Returned is the model with
    averaged weights; `model` itself ends with the last ones. Arguments and errors as for `train_ogan`, whose
    second half this is.
    """
    seed = checked_seed(seed)
    _same_code_size(model, recipe)
    least = 2 * getattr(fabric, "world_size", 1)
    drawn = minibatches(x, batch_size=rows_of_a_batch(len(x), recipe.batch_size, least), seed=seed)

    def batches(step: int) -> tuple[Tensor, ...]:
        (pictures,) = drawn(step)
        noise = generator_for(seed + APART, step, device=x.device)
        z = torch.randn(len(pictures), recipe.code_size, generator=noise, device=x.device, dtype=x.dtype)
        if not recipe.distort or x.ndim != 3:  # points are not displaced
            return pictures, z
        two = draw_warps(2 * len(z), recipe.distort, generator=noise, dtype=x.dtype, device=x.device)
        return warp(pictures, two[: len(z)]), z, two[len(z) :]

    def adam(*groups: tuple[nn.Module, float]) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            [{"params": list(net.parameters()), "lr": rate} for net, rate in groups],
            betas=(0.5, 0.99),
            fused=x.device.type in ("cpu", "cuda"),
        )

    networks: Any = model
    of_e, of_g = (networks.E, recipe.encoder_rate), (networks.G, recipe.rate)
    losses: Any
    if recipe.twin:
        optimizers = [adam(of_e), adam(of_g)]
        losses = list(separate_steps(recipe))
    else:
        optimizers = [adam(of_e, of_g)]
        losses = [lambda model, *batch: joint_step(model, *batch, recipe=recipe)]

    run = train(
        model,
        losses,
        batches,
        optimizer=optimizers,
        schedule=[LambdaLR(one, lambda step: rise_and_fall(step, recipe.steps)) for one in optimizers],
        steps=recipe.steps,
        average=recipe.average,
        checkpoint=checkpoint,
        fabric=fabric,
        progress=False,
    )
    averaged: Any = run.averaged
    if recipe.lesson and recipe.match != "none":
        last_lesson(averaged, recipe, seed=seed, checkpoint=checkpoint, fabric=fabric, points=x.ndim != 3)
    return averaged


def last_lesson(
    model: nn.Module,
    recipe: Recipe,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    fabric: Fabric | None = None,
    points: bool = False,
) -> None:
    """E alone learns to read codes, on pictures of a G that has come to rest; changes E in place.

    Its loss is `match_loss`: for an O-GAN −ρ(z, E(G(z))), a term of (6.7).

    While both learn, E runs after a G that moves, and the averages of two networks were never trained
    together. G's pictures are what they were. What E's average says of real and false is not kept up: after
    the lesson E is an encoder.

    Parameters
    ----------
    model
        Has `E`, `generate` and `code_size`; is put into evaluation mode and stays there.
    recipe, seed, checkpoint, fabric
        As for `train_ogan`; the state is kept beside that of the training, as ``<path>.lesson``.
    points
        Whether G makes points, which are not displaced.

    Raises
    ------
    TypeError, ValueError
        If the recipe has no lesson or no match, or its code size is not the model's; else as `train_ogan`.

    Examples
    --------
    >>> model = OGAN(generator=torch.Generator().manual_seed(0))
    >>> before = [net[0].weight.clone() for net in (model.G, model.E[1:])]
    >>> last_lesson(model, Recipe(lesson=2))
    >>> [torch.equal(net[0].weight, then) for net, then in zip((model.G, model.E[1:]), before)]
    [True, False]
    """
    ogan: Any = model
    seed = checked_seed(seed)
    _same_code_size(model, recipe)
    if not recipe.lesson or recipe.match == "none":
        raise ValueError(
            "recipe must have a lesson of at least 1 step and a match other than none, got "
            f"lesson={recipe.lesson}, match={recipe.match!r}"
        )
    model.to(getattr(fabric, "device", None))  # G as well, which `train` does not see
    model.eval()  # batch norm in training would make other pictures, and move with each of them
    weight = next(ogan.E.parameters())
    felt = [parameter.requires_grad for parameter in ogan.E.parameters()]
    ogan.E.requires_grad_(True)

    def batches(step: int) -> tuple[Tensor, ...]:
        noise = generator_for(seed + 4 * APART, step, device=weight.device)
        kind = {"generator": noise, "device": weight.device, "dtype": weight.dtype}
        z = torch.randn(2 * recipe.batch_size, recipe.code_size, **kind)
        with torch.no_grad():
            pictures = ogan.generate(z)
            if recipe.distort and not points:
                pictures = warp(pictures, draw_warps(len(z), recipe.distort, **kind))
        return pictures, z

    optimizer = torch.optim.Adam(ogan.E.parameters(), lr=recipe.encoder_rate, betas=(0.9, 0.99))
    train(
        ogan.E,
        lambda E, pictures, z: match_loss(z, E(pictures), recipe.match),
        batches,
        optimizer=optimizer,
        schedule=LambdaLR(optimizer, lambda step: 1 - step / recipe.lesson),
        steps=recipe.lesson,
        checkpoint=None if checkpoint is None else Checkpoint(f"{checkpoint.path}.lesson", checkpoint.every),
        fabric=fabric,
        progress=False,
    )
    for parameter, before in zip(ogan.E.parameters(), felt, strict=True):
        parameter.requires_grad_(before)


def _same_code_size(model: nn.Module, recipe: Recipe) -> None:
    if model.code_size != checked_recipe(recipe).code_size:
        raise ValueError(f"recipe must have the model's code_size {model.code_size}, got {recipe.code_size}")


def rise_and_fall(step: int, steps: int, rise: int = 100) -> float:
    """By what the learning rate of a step is multiplied: up in `rise` steps, 1, and down from the middle on.

    Examples
    --------
    >>> [rise_and_fall(step, 1000) for step in (0, 99, 500, 750, 1000)]
    [0.01, 1.0, 1.0, 0.5, 0.0]
    """
    return min(1.0, (step + 1) / rise, 2 * (1 - step / steps))
