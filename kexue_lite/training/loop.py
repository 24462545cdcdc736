"""The loop itself."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .batches import Batches, whole
from .checkpoints import Checkpoint, compare, fingerprint, identity, pack, part_of, unpack, write
from .checks import Loss, check_batch, check_optimizers, mean_of, unwrapped
from .processes import Processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAG = 32  # steps whose losses stay on a GPU until they are fetched: each fetch makes the CPU wait


@dataclass(frozen=True)
class Watch:
    """A score that decides which weights are kept, and when to stop.

    Attributes
    ----------
    score
        ``score(model) -> float``, smaller is better. It is given the averaged model if there is one, in
        evaluation mode and without gradients. The model's modes are put back afterwards.
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


class Loop:
    """The state of a run and the moves on it; between two moves the state is whole and can be written."""

    def __init__(
        self,
        model: nn.Module,
        bare: nn.Module,
        parts: tuple[list[Loss], list[Optimizer], list[LRScheduler]],
        batches: Batches,
        processes: Processes,
        *,
        accumulate: int,
        average: float | None,
        watch: Watch | None,
    ) -> None:
        self.model, self.bare, self.batches, self.processes = model, bare, batches, processes
        self.losses, self.optimizers, self.schedules = parts
        self.own = [[p for group in o.param_groups for p in group["params"]] for o in self.optimizers]
        trained = {id(p) for p in self.own[0]}
        # With one optimiser of all parameters a plain backward pass does; else none may be left elsewhere.
        self.plain = len(self.own) == 1 and all(
            id(p) in trained for p in bare.parameters() if p.requires_grad
        )
        self.accumulate, self.watch = accumulate, watch
        self.averaged: AveragedModel | None = None
        if average is not None:
            self.averaged = AveragedModel(bare, multi_avg_fn=get_ema_multi_avg_fn(average))
            self.averaged.requires_grad_(False)
        self.step = 0
        self.values: list[list[float]] = []  # (steps, optimisers)
        self.waiting: list[Tensor] = []
        self.seconds: list[float] = []
        self.scores: list[tuple[int, float]] = []
        self.best: dict[str, Any] | None = None
        self.misses = 0
        self.prompt = processes.device.type == "cpu"
        self.updating = False
        self.began = time.perf_counter()
        self.mark: tuple[dict[str, Tensor], list[int]] | None = None

    # -- one step

    def advance(self) -> None:
        """Take one step with every optimiser."""
        batch = self.batches(self.step)
        rows = check_batch(batch, self.step)
        mine = self.processes.take(tuple(batch))
        values: list[Any] = []
        for index, optimizer in enumerate(self.optimizers):
            value = self.gradient(index, mine, rows)
            if self.prompt:
                values.append(self.finite(float(self.processes.sum(value)), self.step + 1))
            else:
                values.append(value)
            self.updating = True
            optimizer.step()
        for schedule in self.schedules:
            schedule.step()
        self.processes.agree(
            list(self.bare.buffers())
        )  # as running means of batch norm, which saw my rows alone
        if self.averaged is not None:
            self.averaged.update_parameters(self.bare)
        if self.prompt:
            self.values.append(values)
        else:
            self.waiting.append(torch.stack(values))
        self.seconds.append(time.perf_counter() - self.began)
        self.step += 1
        self.updating = False
        if len(self.waiting) >= LAG:
            self.fetch()

    def gradient(self, index: int, mine: tuple[Tensor, ...], rows: int) -> Tensor:
        """Set the gradients of optimiser `index` to that of the global mean; return my share of the mean."""
        own = self.own[index]
        self.optimizers[index].zero_grad(set_to_none=True)
        total = torch.zeros(
            (), dtype=torch.float64 if self.prompt else torch.float32, device=self.processes.device
        )
        pieces = (
            [mine]
            if self.accumulate == 1
            else zip(*(t.tensor_split(self.accumulate) for t in mine), strict=True)
        )
        for piece in pieces:
            if (count := len(piece[0])) == 0:
                continue
            with self.processes.autocast():
                value = mean_of(self.losses[index](self.model, *piece), count, self.step)
            if count != rows:
                value = value * (count / rows)
            value.backward(inputs=None if self.plain else [p for p in own if p.requires_grad])
            total += value.detach()
        self.processes.sum_gradients(own)
        if all(p.grad is None for p in own):
            who = "the optimizer" if len(self.own) == 1 else f"optimizer {index}"
            raise ValueError(f"loss does not depend on any parameter of {who} at step {self.step + 1}")
        return total

    def finite(self, value: float, step: int) -> float:
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at step {step}: the run stops; a checkpoint holds the state before. "
                "A smaller learning rate or a clipped gradient may help"
            )
        return value

    def fetch(self) -> None:
        """Bring the losses that wait on the device."""
        if self.waiting:
            fresh = self.processes.sum(torch.stack(self.waiting)).tolist()
            self.waiting = []
            for row in fresh:
                self.values.append([self.finite(value, len(self.values) + 1) for value in row])

    # -- the watch

    def due(self) -> bool:
        """Whether a score is to be taken now."""
        if self.watch is None or self.step == 0 or self.step % self.watch.every:
            return False
        return not self.scores or self.scores[-1][0] != self.step

    @property
    def stopped(self) -> bool:
        patience = None if self.watch is None else self.watch.patience
        return patience is not None and self.misses >= patience

    def judge(self) -> None:
        """Take the score; keep the weights if it is the best one."""
        assert self.watch is not None
        self.fetch()
        judged = self.bare if self.averaged is None else self.averaged.module
        modes = [(module, module.training) for module in judged.modules()]
        judged.eval()
        score = None
        if self.processes.rank == 0:
            with torch.no_grad(), self.processes.autocast():
                score = float(self.watch.score(judged))
        for module, mode in modes:
            module.training = mode
        score = self.processes.tell(score)
        if math.isnan(score):
            raise FloatingPointError(f"the score is nan after step {self.step}")
        self.updating = True
        if self.best is None or score < self.best["score"]:
            self.best = {"score": score, "step": self.step, **self.weights()}
            self.best = {k: v if not isinstance(v, dict) else copied(v) for k, v in self.best.items()}
            self.misses = 0
        else:
            self.misses += 1
        self.scores.append((self.step, score))
        self.updating = False

    # -- the state

    def weights(self) -> dict[str, Any]:
        averaged = None if self.averaged is None else self.averaged.state_dict()
        return {"model": self.bare.state_dict(), "averaged": averaged}

    def load_weights(self, weights: dict[str, Any]) -> None:
        self.bare.load_state_dict(weights["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(weights["averaged"])

    def note(self) -> None:
        """Remember what user code may change before it is interrupted: generators and buffers."""
        self.mark = (self.processes.random_state(), [buffer._version for buffer in self.bare.buffers()])

    def check_weights(self) -> None:
        for name, parameter in self.bare.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise FloatingPointError(f"the parameter {name!r} is no longer finite after step {self.step}")

    def state(self) -> dict[str, Any]:
        self.fetch()
        self.check_weights()
        random = self.processes.gather(self.processes.random_state())
        return {
            "step": self.step,
            **self.weights(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "best": self.best,
            "misses": self.misses,
            "values": torch.tensor(self.values, dtype=torch.float64),
            "seconds": torch.tensor(self.seconds, dtype=torch.float64),
            "scores": torch.tensor(self.scores, dtype=torch.float64).reshape(-1, 2),
            "random": random,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.load_weights(state)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)
        self.step, self.misses = state["step"], state["misses"]
        self.best = None
        if state["best"] is not None:
            device = self.processes.device
            self.best = {
                k: v if not isinstance(v, dict) else copied(v, device) for k, v in state["best"].items()
            }
        self.values, self.seconds = state["values"].tolist(), state["seconds"].tolist()
        self.scores = [(int(step), score) for step, score in state["scores"].tolist()]
        self.began = time.perf_counter() - (self.seconds[-1] if self.seconds else 0.0)
        self.processes.restore_random_state(state["random"])

    def records(self) -> list[dict[str, float]]:
        scores = dict(self.scores)
        names = ["loss"] if len(self.losses) == 1 else [f"loss_{k + 1}" for k in range(len(self.losses))]
        records = []
        for k, (values, seconds) in enumerate(zip(self.values, self.seconds, strict=True)):
            record = {"step": k + 1, **dict(zip(names, values, strict=True)), "seconds": seconds}
            if k + 1 in scores:
                record["score"] = scores[k + 1]
            records.append(record)
        return records


def copied(weights: dict[str, Any], device: torch.device | None = None) -> dict[str, Any]:
    """A state dictionary that later steps do not change."""
    return {k: v.detach().to(device, copy=True) if isinstance(v, Tensor) else v for k, v in weights.items()}


class Keeper:
    """Writes and reads the checkpoint of a loop; does nothing where there is none."""

    def __init__(self, checkpoint: Checkpoint | None, loop: Loop, settings: dict[str, Any]) -> None:
        self.checkpoint, self.loop = checkpoint, loop
        self.saved: tuple[int, int] | None = None
        self.proved = self.interrupted = False
        if checkpoint is None:
            return
        processes = loop.processes
        self.path: Path = self.everywhere(checkpoint.place)
        settings = {**settings, "batches(0)": fingerprint(tuple(loop.batches(0)))}
        self.identity = identity(loop.bare, loop.optimizers, settings)
        data = self.everywhere(lambda: self.path.read_bytes() if self.path.exists() else None)
        if data is not None:
            state = unpack(data, self.path)
            compare(self.identity, state["identity"], self.path)
            loop.load(state)
            self.saved = (loop.step, len(loop.scores))
        if processes.rank == 0:
            part_of(self.path).unlink(missing_ok=True)

    def everywhere(self, action: Callable[[], Any]) -> Any:
        """What `action` gives, or raises, in process 0: given or raised in every process."""
        processes = self.loop.processes
        outcome: tuple[Any, Exception | None] = (None, None)
        if processes.rank == 0:
            try:
                outcome = (action(), None)
            except (OSError, ValueError, TypeError) as error:
                if processes.size == 1:
                    raise
                outcome = (None, error)
        result, failure = processes.tell(outcome)
        if failure is not None:
            raise failure
        return result

    def save(self, random: list[dict[str, Tensor]] | None = None) -> None:
        now = (self.loop.step, len(self.loop.scores))
        if self.checkpoint is None or self.saved == now:
            return
        state = {"identity": self.identity, **self.loop.state()}
        if random is not None:
            state["random"] = random
        self.everywhere(lambda: self.put(state))
        self.saved = now

    def put(self, state: dict[str, Any]) -> None:
        data = pack(state)
        if not self.proved:  # better now than when somebody wants to resume
            try:
                unpack(data, self.path)
            except ValueError as error:
                raise TypeError(
                    f"the state of this run holds more than tensors and numbers: {error}"
                ) from error
            self.proved = True
        write(self.path, data)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The first Ctrl-C waits for the end of the step, when the state is whole; the second does not."""
        ours = (
            self.checkpoint is not None
            and self.loop.processes.size == 1
            and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )

        def hear(number: int, frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        if ours:
            signal.signal(signal.SIGINT, hear)
        try:
            yield
        except KeyboardInterrupt:
            self.rescue()
            raise
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.interrupted:
            raise KeyboardInterrupt

    def rescue(self) -> None:
        """Write the state before the move that was broken off, if it still stands."""
        loop = self.loop
        if self.checkpoint is None or loop.processes.size > 1 or loop.updating or loop.mark is None:
            return
        random, versions = loop.mark
        if versions == [buffer._version for buffer in loop.bare.buffers()]:
            self.save([random])


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
    r"""Train `model` by `steps` steps on the mean of `loss` over the batches.

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
        Decay a in (0, 1) of an average of the weights, $\bar\theta \leftarrow a\bar\theta + (1-a)\theta$,
        that starts from the weights after the first step. Buffers, such as the running means of batch norm,
        are those of the model.
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
        If the checkpoint cannot be written; the one before is untouched.

    Examples
    --------
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
    whole("steps", steps, 1)
    whole("accumulate", accumulate, 1)
    if average is not None and not 0 < average < 1:
        raise ValueError(f"average must lie between 0 and 1 (both excluded), got {average}")
    if watch is not None and watch.every > steps:
        raise ValueError(f"watch.every = {watch.every} is more than steps = {steps}: no score would be taken")
    processes = Processes(bare, fabric)
    processes.agree([*bare.parameters(), *bare.buffers()])
    loop = Loop(model, bare, parts, batches, processes, accumulate=accumulate, average=average, watch=watch)
    settings = {
        "accumulate": accumulate,
        "average": average,
        "watch.every": watch and watch.every,
        "precision": processes.precision,
        "schedule": [type(one).__name__ for one in parts[2]],
    }
    keeper = Keeper(checkpoint, loop, settings)
    if loop.step > steps:
        raise ValueError(f"the checkpoint {keeper.path} has gone {loop.step} steps, steps = {steps} is fewer")
    if not bare.training:
        bare.train()
    from tqdm import tqdm

    hidden = not progress or processes.rank > 0
    with keeper.listening(), tqdm(total=steps, initial=loop.step, disable=hidden, unit="step") as bar:
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
            if loop.values:
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
