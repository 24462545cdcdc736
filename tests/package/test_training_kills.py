"""A run that is killed again and again ends with the bits of one that was left alone.

This file is also the program that is killed: it warms up once and forks, which costs a hundredth of a start.
"""

from __future__ import annotations

import io
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kexue_lite.training import Checkpoint, Watch, minibatches, train
from kexue_lite.training import checkpoints as file_format

KILLS = 20
WRITES = {
    3: "half",
    6: "whole",
    9: "renamed",
    12: "half",
    15: "whole",
    18: "renamed",
}  # which kills strike a write
X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True).sin()


def squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (model(x) - y).square().squeeze(1)


def opposed(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return squared(model, x, y) + 0.1 * model(x).abs().squeeze(1)


def work(kind: str, path: Path | None, called: Callable[[int], None]) -> dict[str, Any]:
    """The run: all that has a state, in one optimiser that stops early, or in two that go to the end."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Dropout(0.3), nn.Tanh(), nn.Linear(12, 1))
    source = minibatches(X, Y, batch_size=8, seed=2)
    if kind == "one":
        optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(model.parameters(), lr=0.01)]
        schedules: list[Any] = [torch.optim.lr_scheduler.CosineAnnealingLR(optimizers[0], 300)]
        losses: list[Any] = [squared]
    else:
        first, last = list(model[:2].parameters()), list(model[4].parameters())
        optimizers = [
            torch.optim.SGD(first, 0.02, momentum=0.9, nesterov=True),
            torch.optim.RMSprop(last, 1e-3),
        ]
        schedules = [
            torch.optim.lr_scheduler.OneCycleLR(optimizers[0], 0.05, total_steps=300),
            torch.optim.lr_scheduler.MultiStepLR(optimizers[1], [100, 200]),
        ]
        losses = [squared, opposed]

    now = [0]

    def batches(step: int) -> tuple[Tensor, ...]:
        called(step)
        now[0] = step + 1
        return source(step)

    def score(averaged: nn.Module) -> float:  # best at step 180; the noise moves the generator
        return abs(now[0] - 180) + float(squared(averaged, X, Y).mean().tanh() * torch.rand(1))

    run = train(
        model,
        losses,
        batches,
        optimizer=optimizers,
        schedule=schedules,
        steps=300 if kind == "one" else 250,
        accumulate=3,
        average=0.9,
        watch=Watch(score, 10, 5 if kind == "one" else None),
        checkpoint=None if path is None else Checkpoint(path, 3),
        progress=False,
    )
    assert run.averaged is not None
    return {
        "model": run.model.state_dict(),
        "averaged": run.averaged.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "schedules": [schedule.state_dict() for schedule in schedules],
        "records": [{k: v for k, v in record.items() if k != "seconds"} for record in run.records],
        "end": [run.steps, run.stopped_early],
        "random": torch.get_rng_state(),
    }


def child(kind: str, folder: Path, kill: int | None, wire: int) -> None:
    """The forked process: run, and say by one byte when the blow may fall."""
    calls = [0]
    chance = random.Random(f"{kind} {kill}")
    write = WRITES.get(kill) if kill is not None else None
    fatal = chance.randint(5, 14)  # of this process's own steps; a checkpoint is due at each third

    def ready(*, wait: bool) -> None:
        os.write(wire, b"x")
        if wait:
            time.sleep(60)

    def called(step: int) -> None:
        calls[0] += 1
        if kill is not None and write is None and calls[0] == fatal:
            ready(wait=False)

    class Half(io.FileIO):
        def write(self, data: Any) -> int:
            if calls[0] >= fatal:
                super().write(data[: len(data) // 2])
                ready(wait=True)
            return super().write(data)

    fsync, replace = os.fsync, os.replace

    def whole(descriptor: int) -> None:
        fsync(descriptor)
        if calls[0] >= fatal:
            ready(wait=True)

    def renamed(old: Any, new: Any) -> None:
        replace(old, new)
        if calls[0] >= fatal:
            ready(wait=True)

    if write == "half":
        file_format.open = lambda path, mode, buffering: Half(path, mode)  # type: ignore[attr-defined]
    elif write == "whole":
        os.fsync = whole
    elif write == "renamed":
        os.replace = renamed
    result = work(kind, folder / f"{kind}.ckpt", called)
    torch.save(result, folder / f"{kind}.killed")


def main(folder: Path) -> None:
    """Kill each kind of run KILLS times, let it end, and write what came out beside an undisturbed run's."""
    torch.set_num_threads(1)
    torch.optim.SGD(
        [torch.zeros(1)]
    )  # the first optimiser imports for seconds; no backward pass before a fork
    chance = random.Random(0)
    for kind in ("one", "two"):
        if os.fork() == 0:
            torch.save(work(kind, None, lambda step: None), folder / f"{kind}.alone")
            os._exit(0)
        assert os.wait()[1] == 0
        deaths = []
        for kill in [*range(KILLS), None]:
            hear, say = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    child(kind, folder, kill, say)
                except BaseException as error:
                    print(repr(error), file=sys.stderr)
                    os._exit(3)
                os._exit(0)
            os.close(say)
            if kill is not None and select.select([hear], [], [], 60)[0]:
                if kill not in WRITES:
                    time.sleep(chance.uniform(0, 0.012))  # anywhere within the next few steps
                os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.close(hear)
            deaths.append(status)
            litter = (folder / f"{kind}.ckpt.part").exists()
            assert litter or WRITES.get(kill) not in ("half", "whole"), kill
        assert deaths == [-signal.SIGKILL] * KILLS + [0], deaths
        assert [path.name for path in folder.glob(f"{kind}.ckpt*")] == [f"{kind}.ckpt"]  # no .part, no .lock


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def alike(one: Any, other: Any, where: str = "") -> None:
    """The same to the last bit, all the way down."""
    assert type(one) is type(other), where
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            alike(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            alike(a, b, f"{where}/{index}")
    else:
        assert one == other, where


@pytest.mark.parametrize(("kind", "end"), [("one", [230, True]), ("two", [250, False])])
def test_twenty_kills_change_no_bit(folder: Path, kind: str, end: list[Any]) -> None:
    alone, killed = (torch.load(folder / f"{kind}.{how}", weights_only=True) for how in ("alone", "killed"))
    alike(alone, killed)
    assert alone["end"] == end and len(alone["records"]) == end[0]
    assert sum("score" in record for record in alone["records"]) == end[0] // 10


if __name__ == "__main__":
    main(Path(sys.argv[1]))
