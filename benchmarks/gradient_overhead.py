"""What a scaled learning rate costs: one training step of a layer 1,024 wide, batch 512, in paired turns.

θ = λφ is one multiplication of the weight on the way forward and one of its gradient on the way back. Three
contenders make the same step, in turns on one machine: the layer in a parameter group with its own rate; the
same layer scaled by `scale_learning_rate`; and, as the yardstick of the noise, the group once more.

    python -m benchmarks.gradient_overhead
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import kexue_lite.gradients.checkpoints as checkpoints_module
import kexue_lite.gradients.scale as scale_module
from benchmarks import harness
from kexue_lite.gradients import scale_learning_rate

CODE = (checkpoints_module, scale_module)
WIDTH, BATCH, PAIRS = 1024, 512, 50


def step_of(kind: str, optimizer: str, *, layers: int) -> Callable[[], None]:
    """A function that makes one training step of a network whose first layer has a tenth of the rate.

    Examples
    --------
    >>> step_of("scaled", "SGD", layers=1)()
    """
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(WIDTH, WIDTH), nn.Tanh()]
    net = nn.Sequential(*parts)
    x = torch.randn(BATCH, WIDTH)
    make: Any = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}[optimizer]
    groups: list[dict[str, Any]] = [{"params": net[0].parameters()}]
    if layers > 1:
        groups.append({"params": net[1:].parameters()})
    if kind == "scaled":
        scale_learning_rate(net[0], 0.1, exponent=2 if optimizer == "SGD" else 1)
    else:
        groups[0]["lr"] = 1e-5
    trainer = make(groups, lr=1e-4)

    def step() -> None:
        trainer.zero_grad()
        (net(x) ** 2).mean().backward()
        trainer.step()

    return step


def overhead(ours: Callable[[], None], theirs: Callable[[], None], pairs: int) -> list[float]:
    """CPU seconds of ours over theirs, pair by pair; who begins a pair changes from one to the next.

    CPU time of the one thread that computes: a machine that does other things as well takes wall time from
    either contender at random.

    Examples
    --------
    >>> len(overhead(lambda: None, lambda: None, 3))
    3
    """
    for _ in range(5):
        ours()
        theirs()
    ratios = []
    for pair in range(pairs):
        seconds = {}
        for name in ("ours", "theirs") if pair % 2 else ("theirs", "ours"):
            begin = time.process_time()
            (ours if name == "ours" else theirs)()
            seconds[name] = time.process_time() - begin
        ratios.append(seconds["ours"] / seconds["theirs"])
    return ratios


def measure(pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows: network, optimiser, per cent of a step by median and quartiles."""
    rows = []
    for layers in (1, 3):
        for optimizer in ("SGD", "Adam"):
            for kind in ("scaled", "group"):
                ours, theirs = (step_of(k, optimizer, layers=layers) for k in (kind, "group"))
                ratios = overhead(ours, theirs, pairs)
                low, _, high = statistics.quantiles(ratios, n=4)
                rows.append(
                    {
                        "layers_of_1024": layers,
                        "optimizer": optimizer,
                        "first_layer": "θ = λφ" if kind == "scaled" else "a group again (noise)",
                        "overhead_per_cent": 100 * (statistics.median(ratios) - 1),
                        "quartile_below": 100 * (low - 1),
                        "quartile_above": 100 * (high - 1),
                        "pairs": pairs,
                    }
                )
    return rows


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scipy"))
    result = {
        "title": "What a learning rate by reparametrisation costs",
        "question": "How much longer is a training step, in per cent, if a layer's learning rate is set by "
        "θ = λφ instead of a parameter group? Median of paired steps and the quartiles; width 1,024, batch "
        "512, one thread and its CPU time, single precision.",
        "rows": measure(),
        "command": "python -m benchmarks.gradient_overhead",
    } | about
    print(harness.markdown(result["rows"]))
    print(harness.store("gradient_overhead", result).name)


if __name__ == "__main__":
    main()
