"""The loop itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .batches import Batches, whole
from .checkpoints import Checkpoint
from .checks import Loss, check_optimizers, unwrapped
from .keeper import Keeper
from .moves import Loop
from .processes import Processes
from .settings import Run, Watch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train(
    model: nn.Module,
    loss: Loss | Sequence[Loss],
    batches: Batches,
    *,
    optimizer: Optimizer | Sequence[Optimizer],
    steps: int,
    schedule: LRScheduler | Sequence[LRScheduler] | None = None,
    accumulate: int = 1,
    average: float | None = None,
    watch: Watch | None = None,
    checkpoint: Checkpoint | None = None,
    fabric: Fabric | None = None,
    progress: bool = True,
) -> Run:
    """Train `model` by `steps` steps on the mean of `loss` over the batches.

    A step takes ``batches(k)``, sets the gradient to that of the mean loss over all its rows, steps the
    optimiser, then the schedule, then the average. Order of the rest: score, checkpoint, next step.

    Parameters
    ----------
    model
        Trained in place, on the device where its parameters lie; the batches are moved there. If it is in
        evaluation mode it is put into training mode; modules of it that are in evaluation mode alone (a
        frozen batch norm) stay.
    loss
        ``loss(model, *batch)`` returns one number per row, shape ``(B,)``, or their mean. With several
        optimisers a sequence of as many.
    batches
        A pure function of the step's number 0, 1, ..., such as `minibatches` gives: a tuple of tensors with
        equally many rows, the global batch. Randomness by `generator_for`.
    optimizer
        One, or a sequence: they are stepped in turn, each with the gradient of its own loss with respect to
        its own parameters alone.
    steps
        The number of steps from the very beginning, so that a resumed run ends where it would have ended.
    schedule
        Stepped after each step.
    accumulate
        Into how many parts the batch is cut; the parts are weighted by their rows, so the gradient is that of
        the whole batch. Exceptions: layers that look across the rows (batch norm), and a mean loss that is
        none.
    average
        Decay a in (0, 1) of an average of the weights, θ̄ ← a θ̄ + (1 − a) θ,
        that starts from the weights after the first step. Buffers, such as the running means of batch norm,
        are those of the model. Parameters of 16 bits are refused: the average would stand still.
    watch
        See `Watch`. The weights (and the average) of the best score are put back at the end.
    checkpoint
        See `Checkpoint`. If its file exists, the run is taken up from there. On Ctrl-C it is written once
        more.
    fabric
        Several processes or devices, or another precision. Each process takes its rows of the global batch.
        Do not call ``fabric.setup``; with several processes do call ``fabric.launch()``, and give all of them
        the same arguments.
    progress
        Whether to show a bar.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError
        For arguments, batches or losses that do not fit, and for a checkpoint that is damaged or of another
        run.
    FloatingPointError
        If the loss (found within 32 steps on a GPU), the score or the weights are not finite.
    OSError
        If the checkpoint cannot be written (the one before is untouched), or another run is at work with it.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> model = nn.Linear(1, 1)
    >>> from kexue_lite.training import minibatches
    >>> def squared(model, x, y):
    ...     return (model(x) - y).square().squeeze(1)
    >>> batches = minibatches(x, 3 * x + 1, batch_size=16, seed=0)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    >>> run = train(model, squared, batches, optimizer=optimizer, steps=100, progress=False)
    >>> round(run.model.weight.item(), 3), round(run.model.bias.item(), 3)
    (3.0, 1.0)
    >>> sorted(run.records[0])
    ['loss', 'seconds', 'step']
    """
    bare = unwrapped(model)
    parts = check_optimizers(bare, loss, optimizer, schedule)
    if not callable(batches):
        raise TypeError(f"batches must be a function of the step, got {type(batches).__name__}")
    steps, accumulate = whole("steps", steps, 1), whole("accumulate", accumulate, 1)
    for name, value, kind in (("watch", watch, Watch), ("checkpoint", checkpoint, Checkpoint)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
    if average is not None and (isinstance(average, bool) or not isinstance(average, int | float)):
        raise TypeError(f"average must be a float, got {type(average).__name__}: {average!r}")
    if average is not None and not 0 < average < 1:
        raise ValueError(f"average must lie between 0 and 1 (both excluded), got {average}")
    if watch is not None and watch.every > steps:
        raise ValueError(f"watch.every = {watch.every} is more than steps = {steps}: no score would be taken")
    processes = Processes(bare, fabric)
    processes.agree([*bare.parameters(), *bare.buffers()])
    loop = Loop(model, bare, parts, batches, processes, accumulate=accumulate, average=average, watch=watch)
    settings = {
        "accumulate": accumulate,
        "average": None if average is None else float(average),
        "watch.every": watch and int(watch.every),
        "precision": processes.precision,
    }
    keeper = Keeper(checkpoint, loop, settings)
    from tqdm import tqdm

    hidden = not progress or processes.rank > 0
    with (
        keeper.alone(steps),
        keeper.listening(),
        tqdm(total=steps, initial=loop.step, disable=hidden, unit="step") as bar,
    ):
        if not bare.training:
            bare.train()
        while True:
            if checkpoint is not None:
                loop.note()
            if loop.due():
                loop.judge()
                if checkpoint is not None:
                    loop.note()
            over = loop.step >= steps or loop.stopped
            if over or keeper.interrupted or (checkpoint and loop.step and loop.step % checkpoint.every == 0):
                keeper.save()
            if over or keeper.interrupted:
                break
            loop.advance()
            bar.update()
            if loop.values and not hidden:
                bar.set_postfix_str(", ".join(f"{value:.4g}" for value in loop.values[-1]), refresh=False)
    loop.fetch()
    loop.check_weights()
    stopped, taken = loop.stopped, loop.step
    if loop.best is not None:
        loop.load_weights(loop.best)
    for one in parts[1]:
        one.zero_grad(set_to_none=True)
    averaged = None if loop.averaged is None else loop.averaged.module.eval()
    return Run(model.eval(), averaged, loop.records(), taken, stopped)
