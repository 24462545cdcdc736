"""Chapter 6 in two processes: what ends where one process ends, and what batch norm makes differ.

This file is also the program that runs in two processes: torch is imported once, and Fabric forks.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from kexue_lite.ogan import OGAN, Recipe, last_lesson, train_ogan
from kexue_lite.ogan.trainer import fit
from kexue_lite.training import Checkpoint

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# 31 pictures in batches of 7 leave a rest of 3, and odd batches do not divide by two.
X = torch.rand(31, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
RECIPE = Recipe(code_size=5, hidden=(12, 10), steps=9, batch_size=7, average=0.8, lesson=5)
FEW = X[:5]


def network(seed: int = 1) -> OGAN:
    draws = torch.Generator().manual_seed(seed)
    return OGAN(8, 5, hidden=(12, 10), generator=draws).double()


def without_statistics(fabric: Fabric | None, folder: Path, rank: int, twin: bool = False) -> OGAN:
    """G's batch norm stands still, as a layer of its own: then no row of a batch feels another."""
    model = network(seed=1 + rank)  # process 1 begins with other weights: those of process 0 must win
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    recipe = dataclasses.replace(RECIPE, twin=twin)
    checkpoint = Checkpoint(folder / f"run{twin}.ckpt", 4)
    return fit(model, X, recipe, seed=3, checkpoint=checkpoint, fabric=fabric)


def twins(fabric: Fabric | None, folder: Path, rank: int) -> OGAN:
    return without_statistics(fabric, folder, rank, twin=True)


def taken_up(fabric: Fabric | None, folder: Path, rank: int) -> OGAN:
    """What two processes have written to the end is read again: nothing is left to do."""
    return without_statistics(fabric, folder, rank)


def lesson_alone(fabric: Fabric | None, folder: Path, rank: int) -> OGAN:
    """G stands still, so the lesson feels no batch statistics: real batch norm, in evaluation."""
    model = network()
    last_lesson(model, RECIPE, seed=3, fabric=fabric)
    return model


def as_it_comes(fabric: Fabric | None, folder: Path, rank: int) -> OGAN:
    return train_ogan(X, recipe=RECIPE, seed=3, fabric=fabric)


def few(fabric: Fabric | None, folder: Path, rank: int) -> OGAN:
    """Five pictures, batches of 2: a process with one row alone would fail, and the other wait for it."""
    return train_ogan(FEW, recipe=dataclasses.replace(RECIPE, batch_size=2), fabric=fabric)


SCENARIOS = [without_statistics, taken_up, twins, lesson_alone, as_it_comes, few]


def refusal(fabric: Fabric | None) -> str:
    try:
        train_ogan(X[:3], recipe=RECIPE, fabric=fabric)
    except ValueError as error:
        return str(error)
    return ""


def launched(fabric: Fabric, folder: Path) -> None:
    torch.set_num_threads(1)
    rank = fabric.global_rank
    for scenario in SCENARIOS:
        model = scenario(fabric, folder, rank)
        torch.save(model.state_dict(), folder / f"{scenario.__name__}.{rank}")
    (folder / f"refusal.{rank}").write_text(refusal(fabric))


def main(folder: Path) -> None:
    from lightning_fabric import Fabric

    torch.optim.SGD([torch.zeros(1)])  # the first optimiser imports for seconds: once, before the fork
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp_fork")
    fabric.launch(launched, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ogan_processes")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr
    return folder


def both(folder: Path, scenario: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return tuple(torch.load(folder / f"{scenario.__name__}.{rank}", weights_only=True) for rank in (0, 1))  # type: ignore[return-value]


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert list(one) == list(other)
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("scenario", [without_statistics, twins, lesson_alone])
def test_two_processes_end_where_one_ends(folder: Path, tmp_path: Path, scenario: Any) -> None:
    here, (zero, other) = scenario(None, tmp_path, 0).state_dict(), both(folder, scenario)
    assert apart(zero, other) == 0
    assert apart(here, zero) < 1e-10
    assert apart(here, network().state_dict()) > 1e-4  # it has moved


def test_with_batch_norm_both_have_one_model_which_is_another(folder: Path, tmp_path: Path) -> None:
    here, (zero, other) = as_it_comes(None, tmp_path, 0).state_dict(), both(folder, as_it_comes)
    assert apart(zero, other) == 0
    assert 1e-5 < apart(here, zero) < 1


def test_two_processes_take_up_what_they_have_written(folder: Path) -> None:
    for rank in (0, 1):
        assert apart(both(folder, without_statistics)[rank], both(folder, taken_up)[rank]) == 0
    assert sorted(path.name for path in folder.glob("runFalse*")) == ["runFalse.ckpt", "runFalse.ckpt.lesson"]


def test_no_process_is_left_with_one_row(folder: Path) -> None:
    zero, other = both(folder, few)
    assert apart(zero, other) == 0 and all(value.isfinite().all() for value in zero.values())
    for rank in (0, 1):
        said = (folder / f"refusal.{rank}").read_text()
        assert said == "images must be at least 4: two for the batch norm of each process; got 3"
    train_ogan(X[:3], recipe=RECIPE)  # one process is content


if __name__ == "__main__":
    main(Path(sys.argv[1]))
