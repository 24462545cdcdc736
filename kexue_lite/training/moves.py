"""The state of a run and the moves on it: a step, a score, saving and taking up.

Between two moves the state is whole: only there is a checkpoint written, only there does a run begin again.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .batches import Batches
from .checkpoints import plain
from .checks import HALF, Loss, check_batch, mean_of, number_of
from .processes import Processes
from .settings import Watch

LAG = 32  # steps whose losses stay on a GPU until they are fetched: each fetch makes the CPU wait


def copied(state: Any, device: torch.device | None = None) -> Any:
    """Nested dictionaries with tensors of their own, which later steps do not change."""
    if isinstance(state, dict):
        return {key: copied(value, device) for key, value in state.items()}
    return state.detach().to(device, copy=True) if isinstance(state, Tensor) else state


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
        everything = {id(p) for p in bare.parameters() if p.requires_grad}
        self.plain = len(self.own) == 1 and everything <= trained
        self.accumulate, self.watch = accumulate, watch
        self.averaged: AveragedModel | None = None
        if average is not None:
            if any(p.dtype in HALF for p in bare.parameters()):
                raise ValueError(
                    f"average needs parameters of 32 bits: in 16 bits what {average} leaves of a change is "
                    "rounded away and the average stands still; 'bf16-mixed' keeps the parameters in 32"
                )
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
        self.mark: tuple[dict[str, Tensor], list[tuple[Tensor, int]]] | None = None

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
        # Buffers, such as the running means of batch norm, have seen my rows alone: process 0 decides.
        self.processes.agree(list(self.bare.buffers()))
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
        device = self.processes.device
        exact = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        total = torch.zeros((), dtype=exact, device=device)
        for piece in zip(*(tensor.tensor_split(self.accumulate) for tensor in mine), strict=True):
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
                f"the loss is {value} at step {step}: the run stops, what a checkpoint holds is older. "
                "A smaller learning rate or a clipped gradient may help"
            )
        return value

    def fetch(self) -> None:
        """Bring the losses that wait on the device."""
        if self.waiting:
            fresh = self.processes.sum(torch.stack(self.waiting)).tolist()
            for step, row in enumerate(fresh, len(self.values) + 1):
                for value in row:
                    self.finite(value, step)
            self.updating = True
            self.values, self.waiting = self.values + fresh, []
            self.updating = False

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
        score = self.watch.score
        try:
            with torch.no_grad(), self.processes.autocast():
                value = self.processes.everywhere(lambda: number_of(score(judged), self.step))
        finally:
            for module, mode in modes:
                module.training = mode
        self.updating = True
        if self.best is None or value < self.best["score"]:
            self.best = copied({"score": value, **self.weights()})
            self.misses = 0
        else:
            self.misses += 1
        self.scores.append((self.step, value))
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
        """Remember what user code may change before it is interrupted: generators, parameters, buffers."""
        self.mark = (self.processes.random_state(), self.versions())

    def versions(self) -> list[tuple[Tensor, int]]:
        """The tensors of the model, each with the count of its changes in place."""
        return [(tensor, tensor._version) for tensor in [*self.bare.parameters(), *self.bare.buffers()]]

    def untouched(self) -> bool:
        """Whether the model is what it was when `note` was called, and no move is half made."""
        if self.mark is None or self.updating:
            return False
        then, now = self.mark[1], self.versions()  # a buffer may have been replaced instead of changed
        return len(then) == len(now) and all(
            a is b and i == j for (a, i), (b, j) in zip(then, now, strict=True)
        )

    def check_weights(self) -> None:
        """FloatingPointError if a parameter is no longer finite: such a state must not replace a good one."""
        good = torch.stack([torch.isfinite(p).all() for p in self.bare.parameters()]).tolist()
        for (name, _), fine in zip(self.bare.named_parameters(), good, strict=True):
            if not fine:
                raise FloatingPointError(f"the parameter {name!r} is no longer finite after step {self.step}")

    def state(self) -> dict[str, Any]:
        self.fetch()
        self.check_weights()
        random = self.processes.gather(self.processes.random_state())
        return {
            "step": self.step,
            **self.weights(),
            "optimizers": [plain(optimizer.state_dict()) for optimizer in self.optimizers],
            "schedules": [plain(schedule.state_dict()) for schedule in self.schedules],
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
        self.best = copied(state["best"], self.processes.device)
        self.values, self.seconds = state["values"].tolist(), state["seconds"].tolist()
        if not len(self.values) == len(self.seconds) == self.step:
            raise ValueError(f"{self.step} steps, {len(self.values)} losses")
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
