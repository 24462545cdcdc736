r"""Training a language model with the loop of the house, and its score on a text that it has not seen.

A batch is B rows of the text, each of T characters from a place that depends on seed and step alone. AdamW
goes down the loss of `language`; the rate rises in a line over the first tenth, then falls to zero as a
cosine. The codes move with each step, and are part of a checkpoint: a run that was killed ends with the same
bits.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from kexue_lite.arguments import real, whole
from kexue_lite.training import Checkpoint, Run, Watch, generator_for, train
from kexue_lite.vq_attention.characters import Characters, checked_text
from kexue_lite.vq_attention.language import LanguageModel
from kexue_lite.vq_attention.mixers import LanguageSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FURTHER = 10  # times the rate of the matrices
APART = 2**30  # the weights draw from a seed of their own


@dataclass(frozen=True)
class LanguageRecipe:
    """How a `LanguageModel` is trained.

    Attributes
    ----------
    steps, batch_size, context
        Length of training, rows of a batch, T of a row.
    rate, weight_decay
        The largest rate of AdamW; its decay, of matrices alone.
    rise
        Share of the steps over which the rate rises.
    clip
        The largest norm of the gradient; what is longer is made that long.

    Raises
    ------
    TypeError, ValueError
        For numbers out of range.

    Examples
    --------
    >>> LanguageRecipe(context=0)
    Traceback (most recent call last):
    ...
    ValueError: context must be a whole number of at least 1, got 0
    """

    steps: int = 800
    batch_size: int = 8
    context: int = 128
    rate: float = 8e-3
    weight_decay: float = 0.1
    rise: float = 0.1
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "context"):
            whole(name, getattr(self, name))
        for name in ("rate", "clip"):
            if real(name, getattr(self, name), least=0) == 0:
                raise ValueError(f"{name} must be positive, got 0")
        real("weight_decay", self.weight_decay, least=0)
        real("rise", self.rise, least=0, most=1)


@dataclass(frozen=True)
class TrainedLanguage:
    """What `train_language` returns: the model, in evaluation mode, and the run."""

    model: LanguageModel
    run: Run


def train_language(
    text: str,
    *,
    settings: LanguageSettings | LanguageModel | None = None,
    recipe: LanguageRecipe | None = None,
    seed: int = 0,
    where: torch.device | str = "cpu",
    watch: Watch | None = None,
    checkpoint: Checkpoint | None = None,
    fabric: Fabric | None = None,
    progress: bool = False,
) -> TrainedLanguage:
    """Train a `LanguageModel` on a text.

    Parameters
    ----------
    text
        To train on; its characters are the alphabet.
    settings
        Of a new model; or a model that is to learn on, in place, such as one of `start_from_full`.
    recipe
        `LanguageRecipe()` if left out.
    seed
        Of weights, rows and dropout; from 0, below 2³⁰.
    where
        The device of a new model.
    watch, checkpoint, fabric, progress
        As for `kexue_lite.training.train`.

    Raises
    ------
    TypeError, ValueError
        For a text that is no longer than a row, characters that the model does not know, and whatever
        `train` refuses.
    FloatingPointError
        If the loss is not finite.
    OSError
        If a checkpoint cannot be written.

    Examples
    --------
    >>> text = "peter piper picked a peck of pickled pepper " * 20
    >>> recipe = LanguageRecipe(steps=3, batch_size=2, context=64)
    >>> trained = train_language(text, settings=LanguageSettings(width=16, codes=8), recipe=recipe)
    >>> len(trained.run.records)
    3
    """
    recipe = LanguageRecipe() if recipe is None else recipe
    if not isinstance(recipe, LanguageRecipe):
        raise TypeError(f"recipe must be a LanguageRecipe, got {type(recipe).__name__}")
    if whole("seed", seed, 0) >= APART:
        raise ValueError(f"seed must be below {APART}, or streams of randomness meet; got {seed}")
    if isinstance(settings, LanguageModel):
        model = settings
    else:
        model = new_model(text, settings, seed=seed).to(where)
    ids = model.characters.encode(text).to(model.head.weight.device)
    if len(ids) <= recipe.context:
        raise ValueError(f"text must have more than context = {recipe.context} characters, got {len(ids)}")
    steps = torch.arange(recipe.context + 1, device=ids.device)

    def batches(step: int) -> tuple[Tensor, ...]:
        starts = torch.randint(
            len(ids) - recipe.context, (recipe.batch_size, 1), generator=generator_for(seed, step)
        )
        rows = ids[starts.to(ids.device) + steps]
        return rows[:, :-1], rows[:, 1:]

    groups = [
        {"params": weights, "lr": recipe.rate * times, "weight_decay": recipe.weight_decay * (times == 1)}
        for weights, times in parts_of(model)
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=recipe.rate, betas=(0.9, 0.99), fused=ids.device.type in ("cpu", "cuda")
    )

    def clip(*_: object) -> None:
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)

    optimizer.register_step_pre_hook(clip)
    with torch.random.fork_rng(devices=[ids.device] if ids.device.type == "cuda" else []):
        torch.manual_seed(seed)  # of dropout
        run = train(
            model,
            lambda one, *batch: cast(LanguageModel, one).loss(*batch),
            batches,
            optimizer=optimizer,
            schedule=LambdaLR(optimizer, lambda step: rate_at(step, recipe.steps, recipe.rise)),
            steps=recipe.steps,
            watch=watch,
            checkpoint=checkpoint,
            fabric=fabric,
            progress=progress,
        )
    return TrainedLanguage(model, run)


def new_model(text: str, settings: LanguageSettings | None = None, *, seed: int = 0) -> LanguageModel:
    """The model that `train_language` begins with: the alphabet of the text, weights drawn with the seed.

    Examples
    --------
    >>> new_model("abc", LanguageSettings(width=8)).characters.symbols
    'abc'
    """
    characters = Characters.of(checked_text("text", text))
    return LanguageModel(characters, settings, generator=generator_for(seed + APART, 0))


def parts_of(model: LanguageModel) -> list[tuple[list[nn.Parameter], int]]:
    """Its matrices, and the few numbers that say where attention looks, which have to move further."""
    few: list[nn.Parameter] = []
    many: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        (few if name.endswith(("window_bias", "gain")) else many).append(weight)
    return [(many, 1), (few, FURTHER)]


def rate_at(step: int, steps: int, rise: float) -> float:
    """The share of the largest rate at a step: up in a line, down to zero as a cosine.

    Examples
    --------
    >>> [round(rate_at(step, 100, 0.1), 3) for step in (0, 9, 55, 100)]
    [0.1, 1.0, 0.5, 0.0]
    """
    up = max(rise * steps, 1)
    if step + 1 < up:
        return (step + 1) / up
    return 0.5 + 0.5 * math.cos(math.pi * min((step - up) / max(steps - up, 1), 1)) if step > up else 1.0


@torch.no_grad()
def nats_per_character(model: LanguageModel, text: str, *, context: int = 128, batch_size: int = 32) -> float:
    """The mean of −log p over every character of a text but the first, without the commitment.

    The text is cut into rows of `context` that do not overlap; a character is predicted from those before it
    in its row.

    Raises
    ------
    TypeError, ValueError
        If `text` has fewer than two characters, or some that the model does not know.

    Examples
    --------
    >>> model = LanguageModel(Characters("ab"), LanguageSettings(width=8, codes=2))
    >>> with torch.no_grad():
    ...     _ = model.head.weight.zero_()  # even guesses
    >>> round(nats_per_character(model, "abba" * 30), 4)  # log 2
    0.6931
    """
    ids = model.characters.encode(text).to(model.head.weight.device)
    if len(ids) < 2:
        raise ValueError(f"text must have at least two characters, got {len(ids)}")
    T, rows = whole("context", context), (len(ids) - 1) // whole("context", context)
    cuts = [*range(0, rows, whole("batch_size", batch_size)), rows]
    parts = [ids[a * T : b * T + 1] for a, b in itertools.pairwise(cuts)]
    training = model.training
    model.eval()
    total = 0.0
    for part in [*parts, ids[rows * T :]]:
        if len(part) > 1:
            width = min(T, len(part) - 1)
            logits = model(part[:-1].view(-1, width))
            total += float(functional.cross_entropy(logits.flatten(0, 1), part[1:], reduction="sum").double())
    model.train(training)
    return total / (len(ids) - 1)
