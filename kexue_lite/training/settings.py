"""What goes into a run beside the model, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from .batches import whole


@dataclass(frozen=True)
class Watch:
    """A score that decides which weights are kept, and when to stop.

    Attributes
    ----------
    score
        ``score(model) -> float``, smaller is better; NaN is an error, infinity is none. It is given the
        averaged model if there is one, in evaluation mode and without gradients; its modes are put back.
    every
        Steps between two scores, 1 or larger.
    patience
        Stop after so many scores in a row that were no better than the best; None never stops.
    """

    score: Callable[[nn.Module], float]
    every: int
    patience: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.score):
            raise TypeError(f"score must be a function of the model, got {type(self.score).__name__}")
        whole("every", self.every, 1)
        if self.patience is not None:
            whole("patience", self.patience, 1)


@dataclass(frozen=True)
class Run:
    """What `train` returns.

    Attributes
    ----------
    model
        The model that was given, trained (with `watch`: its weights at the best score), in evaluation mode.
    averaged
        A copy with the averaged weights, in evaluation mode; None without `average`.
    records
        One dict for each step: ``step`` (1, 2, ...), ``loss`` (the mean over the global batch before the
        step; with several optimisers ``loss_1``, ``loss_2``, ...), ``seconds`` since the start, and ``score``
        where it was taken.
    steps
        Steps taken, those before a resumption included.
    stopped_early
        Whether the patience ran out.
    """

    model: nn.Module
    averaged: nn.Module | None
    records: list[dict[str, float]]
    steps: int
    stopped_early: bool
