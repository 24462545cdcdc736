"""Two processes that share a batch end where one process ends.

This file is also the program that runs in two processes: torch is imported once, and Fabric forks.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from kexue_lite.training import Checkpoint, Watch, keeper, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ROWS = [7, 1, 5, 2, 8, 3, 1, 6]  # odd numbers do not divide by two, and one row leaves a process without any
X = torch.randn(60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True).sin()


class Stop(Exception):
    pass


def batches(step: int) -> tuple[Tensor, ...]:
    chosen = torch.arange(step, step + ROWS[step % len(ROWS)]) * 7 % 60
    return X[chosen], Y[chosen]


def squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (model(x) - y).square().squeeze(1)


def mean(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return squared(model, x, y).mean()


def network(*, seed: int = 1, norm: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    middle = nn.BatchNorm1d(6) if norm else nn.Identity()
    return nn.Sequential(nn.Linear(4, 6), middle, nn.Tanh(), nn.Linear(6, 1)).double()


def result(
    model: nn.Module, averaged: nn.Module | None, records: list[dict[str, float]], **more: Any
) -> dict[str, Any]:
    kept = [{k: v for k, v in record.items() if k != "seconds"} for record in records]
    weights = {} if averaged is None else averaged.state_dict()
    return {"model": model.state_dict(), "averaged": weights, "records": kept, **more}


def plain(fabric: Fabric | None, folder: Path, rank: int) -> dict[str, Any]:
    """Uneven batches, cut into parts as well; momentum, decay, an average, a watch, an idle parameter."""
    model = network(seed=1 + rank)  # process 1 begins with other weights: those of process 0 must win
    model.register_parameter("idle", nn.Parameter(torch.ones(3, dtype=torch.float64)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    gradients = []
    optimizer.register_step_pre_hook(lambda *_: gradients.append(model[0].weight.grad.clone()))
    scored = []

    def score(model: nn.Module) -> float:
        scored.append(rank)
        return float(squared(model, X, Y).mean())

    written: list[Path] = []
    write = keeper.write

    def counted(path: Path, data: bytes) -> None:
        written.append(path)
        write(path, data)

    keeper.write = counted  # type: ignore[assignment]
    run = train(
        model,
        squared,
        batches,
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30),
        steps=24,
        accumulate=2,
        average=0.8,
        watch=Watch(score, 6, 2),
        fabric=fabric,
        checkpoint=None if fabric is None else Checkpoint(folder / "plain.ckpt", 5),
        progress=fabric is not None,
    )
    keeper.write = write  # type: ignore[assignment]
    return result(
        model, run.averaged, run.records, gradients=gradients, scored=len(scored), written=len(written)
    )


def first(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    out = model[0](x.to(model[0].weight.dtype))  # the modules one by one: nothing is wrapped around the model
    return (model[3](model[2](out).double()) - y).square().mean()


def second(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return 1 - first(model, x, y)


def twins(fabric: Fabric | None, folder: Path, rank: int) -> dict[str, Any]:
    """Two optimisers, each with its loss, which is a mean already."""
    model = network()
    optimizers = [torch.optim.SGD(model[k].parameters(), lr=0.1, momentum=0.5) for k in (0, 3)]
    run = train(model, [first, second], batches, optimizer=optimizers, steps=9, fabric=fabric, progress=False)
    return result(model, None, run.records)


def mixed(fabric: Fabric | None, folder: Path, rank: int) -> dict[str, Any]:
    """One optimiser over parameters of two kinds."""
    model = network()
    model[0].float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = train(model, first, batches, optimizer=optimizer, steps=9, fabric=fabric, progress=False)
    return result(model, None, run.records)


def resumed(fabric: Fabric | None, folder: Path, rank: int) -> dict[str, Any]:
    """Taken up in two processes from the checkpoint that one process wrote."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    checkpoint = Checkpoint(folder / "one.ckpt", 4)
    run = train(
        model,
        mean,
        batches,
        optimizer=optimizer,
        steps=15,
        fabric=fabric,
        checkpoint=checkpoint,
        progress=False,
    )
    return result(model, None, run.records)


def norm(fabric: Fabric | None, folder: Path, rank: int) -> dict[str, Any]:
    """Batch norm sees the rows of its process alone, but the model is the same everywhere."""
    model, dropped = network(norm=True), nn.Dropout(0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def pairs(step: int) -> tuple[Tensor, ...]:
        return X[step : step + 8], Y[step : step + 8]

    masks: list[Tensor] = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        masks.append(dropped(torch.ones(20)))
        return squared(model, x, y)

    torch.manual_seed(40 + rank)

    def until(step: int) -> tuple[Tensor, ...]:
        if step == 7 and stop:
            raise Stop
        return pairs(step)

    name = folder / ("norm1.ckpt" if fabric is None else "norm.ckpt")
    stop = True
    try:
        train(
            model,
            loss,
            until,
            optimizer=optimizer,
            steps=10,
            fabric=fabric,
            checkpoint=Checkpoint(name, 3),
            progress=False,
        )
    except Stop:
        stop = False
    torch.manual_seed(99)
    early, masks[:] = masks[6:], []
    run = train(
        model,
        loss,
        until,
        optimizer=optimizer,
        steps=10,
        fabric=fabric,
        checkpoint=Checkpoint(name, 3),
        progress=False,
    )
    # The seventh step was taken twice: before the break, and again after it, with the masks of this process.
    return result(model, None, run.records, early=early, again=masks[:1])


def failing(fabric: Fabric | None, folder: Path, rank: int) -> dict[str, Any]:
    """An error of process 0, which alone touches the file and takes the score, is raised in both."""
    errors = []
    for path in (folder, folder / "nowhere" / "x.ckpt", folder / "damaged.ckpt"):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        try:
            train(
                model,
                mean,
                batches,
                optimizer=optimizer,
                steps=2,
                fabric=fabric,
                checkpoint=Checkpoint(path, 1),
                progress=False,
            )
        except (OSError, ValueError) as error:
            errors.append(f"{type(error).__name__}: {error}")
    for odd in ("a word", math.nan):  # of process 0's score: the other must not wait for ever
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        watch = Watch(lambda m: odd, 1)  # noqa: B023
        try:
            train(
                model, mean, batches, optimizer=optimizer, steps=2, fabric=fabric, watch=watch, progress=False
            )
        except (TypeError, ArithmeticError) as error:
            errors.append(f"{type(error).__name__}: {error}")
    return {"errors": errors}


SCENARIOS = [plain, twins, mixed, resumed, norm, failing]


def launched(fabric: Fabric, folder: Path) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    for scenario in SCENARIOS:
        torch.save(
            scenario(fabric, folder, fabric.global_rank), folder / f"{scenario.__name__}.{fabric.global_rank}"
        )


def main(folder: Path) -> None:
    from lightning_fabric import Fabric

    torch.optim.SGD([torch.zeros(1)])  # the first optimiser imports for seconds: once, before the fork
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp_fork")
    fabric.launch(launched, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    (folder / "damaged.ckpt").write_bytes(b"damaged")

    def until(step: int) -> tuple[Tensor, ...]:
        if step == 6:
            raise Stop
        return batches(step)

    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with pytest.raises(Stop):
        train(
            model,
            mean,
            until,
            optimizer=optimizer,
            steps=15,
            checkpoint=Checkpoint(folder / "one.ckpt", 4),
            progress=False,
        )
    environment = {
        **os.environ,
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }  # nothing beyond this machine
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr
    (folder / "stderr").write_text(done.stderr)
    return folder


def both(folder: Path, scenario: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return tuple(torch.load(folder / f"{scenario.__name__}.{rank}", weights_only=True) for rank in (0, 1))  # type: ignore[return-value]


def close(one: dict[str, Any], two: dict[str, Any], bound: float = 1e-10) -> None:
    for part in ("model", "averaged"):
        assert list(one[part]) == list(two[part])
        for name in one[part]:
            torch.testing.assert_close(
                one[part][name], two[part][name], rtol=bound, atol=bound, msg=f"{part}: {name}"
            )
    assert len(one["records"]) == len(two["records"])
    for a, b in zip(one["records"], two["records"], strict=True):
        assert a == pytest.approx(b, rel=bound)


@pytest.mark.parametrize("scenario", [plain, twins, mixed])
def test_two_processes_end_where_one_ends(folder: Path, tmp_path: Path, scenario: Any) -> None:
    here, (zero, other) = scenario(None, tmp_path, 0), both(folder, scenario)
    close(here, zero, 1e-6 if scenario is mixed else 1e-10)
    assert zero["records"] == other["records"]
    assert all(
        torch.equal(a, b) for a, b in zip(zero["model"].values(), other["model"].values(), strict=True)
    )
    if scenario is plain:
        assert len(here["gradients"]) == len(zero["gradients"]) == len(zero["records"])
        for a, b in zip(here["gradients"], zero["gradients"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
        assert torch.equal(
            zero["model"]["idle"], torch.ones(3, dtype=torch.float64)
        )  # no gradient, no weight decay


def test_process_zero_alone_scores_writes_and_shows(folder: Path) -> None:
    zero, other = both(folder, plain)
    assert zero["scored"] == len([r for r in zero["records"] if "score" in r]) > 0 and other["scored"] == 0
    shown = (folder / "stderr").read_text()
    assert shown.count(" 0/24 ") == 1
    assert zero["written"] == 4 and other["written"] == 0  # after 5, 10 and 15 steps, and at the end
    assert not list(folder.glob("*.part"))


def test_two_processes_take_up_what_one_has_written(folder: Path, tmp_path: Path) -> None:
    here, (zero, other) = resumed(None, tmp_path, 0), both(folder, resumed)
    close(here, zero)
    assert zero["records"] == other["records"] and len(zero["records"]) == 15


def test_the_model_is_the_same_in_both_also_with_batch_norm(folder: Path, tmp_path: Path) -> None:
    here, (zero, other) = norm(None, tmp_path, 0), both(folder, norm)
    for name in zero["model"]:
        assert torch.equal(zero["model"][name], other["model"][name]), name
    assert float((here["model"]["1.running_mean"] - zero["model"]["1.running_mean"]).abs().max()) > 1e-3


def test_each_process_takes_up_its_own_random_numbers(folder: Path) -> None:
    zero, other = both(folder, norm)
    for process in (zero, other):
        assert torch.equal(process["early"][0], process["again"][0])
    assert not torch.equal(zero["early"][0], other["early"][0])


def test_an_error_of_process_zero_reaches_both(folder: Path) -> None:
    zero, other = both(folder, failing)
    assert zero == other and [error.split(":")[0] for error in zero["errors"]] == [
        "IsADirectoryError",
        "FileNotFoundError",
        "ValueError",
        "TypeError",
        "FloatingPointError",
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
