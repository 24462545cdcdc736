"""`train_pictures` in two processes, and killed: it ends where one process, left alone, ends.

This file is also the program that runs, which imports once and forks.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import kexue_lite.ddpm.pictures as pictures
from kexue_lite.data import digits
from kexue_lite.ddpm import Recipe, TrainedPictures, train_pictures
from kexue_lite.training import Checkpoint

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# 70 pictures make two batches of 35, which two processes cannot halve.
RECIPES = {
    "clouds": Recipe(T=60, channels=(4, 8), clouds=3, steps=30, batch_size=35, kept=6),
    "plain": Recipe(
        T=60, channels=(4, 8), clouds=0, kind="noise", level=None, steps=30, batch_size=35, kept=6
    ),
}
KILLS = 3


def some() -> np.ndarray:
    return digits()[0].images[:70].astype(np.float64)


def result(trained: TrainedPictures) -> dict[str, Any]:
    records = [{k: v for k, v in record.items() if k != "seconds"} for record in trained.run.records]
    made = trained.model.make(3, generator=torch.Generator().manual_seed(0))
    return {
        "model": trained.run.model.state_dict(),
        "averaged": trained.model.state_dict(),
        "records": records,
        "made": made,
    }


def alone(name: str, **how: Any) -> dict[str, Any]:
    return result(train_pictures(some(), recipe=RECIPES[name], seed=7, **how))


def in_two(fabric: Fabric, folder: Path) -> None:
    torch.set_num_threads(1)
    for name in RECIPES:
        torch.save(alone(name, fabric=fabric), folder / f"{name}.{fabric.global_rank}")


def child(name: str, path: Path, fatal: int | None, wire: int) -> None:
    """The forked process: train, and say by one byte that the blow may fall."""
    calls = 0
    original = pictures.noisy_batches

    def watched(*arguments: Any, **options: Any) -> Callable[[int], tuple[torch.Tensor, ...]]:
        batches = original(*arguments, **options)

        def counted(step: int) -> tuple[torch.Tensor, ...]:
            nonlocal calls
            calls += 1
            if calls == fatal:
                os.write(wire, b"x")
            return batches(step)

        return counted

    pictures.noisy_batches = watched  # type: ignore[assignment]
    torch.save(alone(name, checkpoint=Checkpoint(path, 3)), path.with_suffix(".killed"))


def killed(name: str, folder: Path) -> None:
    """Kill the run KILLS times anywhere within a few steps, then let it end."""
    chance, deaths = random.Random(name), []
    for kill in [*range(KILLS), None]:
        hear, say = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                child(name, folder / f"{name}.ckpt", None if kill is None else chance.randint(4, 7), say)
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                os._exit(3)
            os._exit(0)
        os.close(say)
        chance.randint(4, 7)  # the child drew from its copy
        if kill is not None and select.select([hear], [], [], 60)[0]:
            time.sleep(chance.uniform(0, 0.03))
            os.kill(pid, signal.SIGKILL)
        deaths.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os.close(hear)
    assert deaths == [-signal.SIGKILL] * KILLS + [0], deaths


def main(folder: Path) -> None:
    from lightning_fabric import Fabric

    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1)])  # the first optimiser imports for seconds: once, before the fork
    for name in RECIPES:
        killed(name, folder)
    Fabric(accelerator="cpu", devices=2, strategy="ddp_fork").launch(in_two, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def here() -> dict[str, dict[str, Any]]:
    """With one thread, as in the program: more threads add in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: alone(name) for name in RECIPES}
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", RECIPES)
def test_kills_change_no_bit(folder: Path, here: dict, name: str) -> None:
    whole, again = here[name], torch.load(folder / f"{name}.killed", weights_only=True)
    assert whole["records"] == again["records"] and len(whole["records"]) == 30
    for part in ("model", "averaged"):
        assert list(whole[part]) == list(again[part])
        for key, value in whole[part].items():
            assert torch.equal(value, again[part][key]), f"{part}: {key}"
    assert torch.equal(whole["made"], again["made"])


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_end_where_one_ends(folder: Path, here: dict, name: str) -> None:
    zero, other = (torch.load(folder / f"{name}.{rank}", weights_only=True) for rank in (0, 1))
    for part in ("model", "averaged"):
        assert list(here[name][part]) == list(zero[part]) == list(other[part])
        for key, value in here[name][part].items():
            assert value.dtype in (torch.float64, torch.int64), key
            torch.testing.assert_close(value, zero[part][key], rtol=1e-8, atol=1e-9, msg=f"{part}: {key}")
            assert torch.equal(zero[part][key], other[part][key]), f"{part}: {key}"
    assert zero["records"] == other["records"] and len(zero["records"]) == 30
    for one, two in zip(here[name]["records"], zero["records"], strict=True):
        assert one == pytest.approx(two, rel=1e-8)
    torch.testing.assert_close(here[name]["made"], zero["made"], rtol=0, atol=1e-7)


if __name__ == "__main__":
    main(Path(sys.argv[1]))


@pytest.mark.parametrize("steps", [1, 2, 19, 20, 21])
def test_a_training_may_have_any_number_of_steps(steps: int) -> None:
    A, _ = digits()
    tiny = Recipe(T=50, channels=(4, 4), clouds=0, steps=steps, batch_size=32, kept=2)
    assert train_pictures(A.images[:64], recipe=tiny).run.steps == steps
