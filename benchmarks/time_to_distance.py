"""How long a program trains until its digits are so good: ours, `diffusers`, and the two GANs of chapter 6.

Trained on half A of the digits, as many made as there are in A, scored against half B in the features of the
judge, in units of the distance of A itself (`quality`). Every budget is a training of its own, from the
start, with the rates falling to zero at its end. The clock counts training, not making.

`diffusers` gets its own parts, as its manual puts them together: UNet2DModel of about as many parameters,
DDPMScheduler with its thousand steps, pictures in [-1, 1], the noise as the target, AdamW with a cosine that
begins at the best of the rates 3e-4, 1e-3 and 3e-3 (chosen on half A, cut in two), a moving average of the
weights. It makes pictures in 100 steps.

`diffusers` is no requirement of the book:

    pip install --target somewhere diffusers==0.42.1
    PYTHONPATH=somewhere python -m benchmarks.time_to_distance --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import kexue_lite.ddpm.clouds as clouds_module
import kexue_lite.ddpm.pictures as pictures_module
import kexue_lite.ddpm.process as process_module
import kexue_lite.ddpm.unet as unet_module
import kexue_lite.ogan.losses as losses_module
import kexue_lite.ogan.nets as nets_module
import kexue_lite.ogan.trainer as trainer_module
from benchmarks import full_scale, harness, ogan_digits
from kexue_lite import ogan
from kexue_lite.data import digits
from kexue_lite.ddpm import Recipe, quality, train_pictures
from kexue_lite.networks import judge
from kexue_lite.training import generator_for, minibatches, train

OURS, THEIRS, O_GAN, PLAIN = "ours", "diffusers' UNet2DModel", "O-GAN", "plain GAN"
LEVELS = (20, 10, 5, 3)  # times the yardstick
MADE_IN = 100  # steps
RATE = 3e-3

Maker = Callable[[int, torch.Generator], Tensor]


def ours(x: Tensor, steps: int, seed: int) -> tuple[Maker, float, int]:
    """Chapter 7's recipe, so long; what makes pictures, the seconds of training, the parameters."""
    begin = time.perf_counter()
    model = train_pictures(x, recipe=dataclasses.replace(Recipe(), steps=steps), seed=seed).model
    seconds = time.perf_counter() - begin
    weights = sum(p.numel() for p in model.net.parameters())
    return lambda count, generator: model.make(count, generator=generator), seconds, weights


def gan(variant: str) -> Callable[[Tensor, int, int], tuple[Maker, float, int]]:
    """Chapter 6's recipes, without the last lesson, which changes no picture."""

    def contender(x: Tensor, steps: int, seed: int) -> tuple[Maker, float, int]:
        recipe = dataclasses.replace(ogan_digits.VARIANTS[variant], steps=steps, lesson=0)
        begin = time.perf_counter()
        model = ogan.train_ogan(x, recipe=recipe, seed=seed)
        seconds = time.perf_counter() - begin
        weights = sum(p.numel() for p in model.parameters())
        return lambda count, generator: ogan.sample(model, count, generator=generator), seconds, weights

    return contender


def diffusers_network() -> nn.Module:
    """Two sizes with attention at the smaller, as ours."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(16, 40),
        norm_num_groups=8,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )


def theirs(x: Tensor, steps: int, seed: int, rate: float = RATE) -> tuple[Maker, float, int]:
    """The parts of `diffusers`, in the book's loop."""
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_cosine_schedule_with_warmup

    begin = time.perf_counter()
    torch.manual_seed(seed)
    net, scheduler = diffusers_network(), DDPMScheduler(num_train_timesteps=1000)
    drawn = minibatches(2 * x[:, None] - 1, batch_size=64, seed=seed)

    def batches(step: int) -> tuple[Tensor, ...]:
        (clean,) = drawn(step)
        own = generator_for(seed + 2**31, step)
        noise = torch.randn(clean.shape, generator=own)
        t = torch.randint(1000, (len(clean),), generator=own)
        return scheduler.add_noise(clean, noise, t), t, noise

    def one_loss(net: nn.Module, noisy: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return (net(noisy, t, return_dict=False)[0] - noise).square().mean((1, 2, 3))

    optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
    falling = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    run = train(
        net,
        one_loss,
        batches,
        optimizer=optimizer,
        schedule=falling,
        steps=steps,
        average=0.99,
        progress=False,
    )
    seconds = time.perf_counter() - begin
    averaged: Any = run.averaged

    def make(count: int, generator: torch.Generator) -> Tensor:
        scheduler.set_timesteps(MADE_IN)
        sample = torch.randn(count, 1, *x.shape[1:], generator=generator)
        with torch.no_grad():
            for t in scheduler.timesteps:
                noise = averaged(sample, t, return_dict=False)[0]
                sample = scheduler.step(noise, t, sample, generator=generator).prev_sample
        return ((sample[:, 0] + 1) / 2).clamp(0, 1)

    return make, seconds, sum(p.numel() for p in net.parameters())


Contender = Callable[[Tensor, int, int], tuple[Maker, float, int]]
GANS = (losses_module, nets_module, trainer_module)
CONTENDERS: dict[str, tuple[Contender, tuple[int, ...], tuple[ModuleType, ...]]] = {
    OURS: (
        ours,
        (175, 350, 700, 1400),
        (clouds_module, pictures_module, process_module, unet_module),
    ),
    THEIRS: (theirs, (400, 800, 1600, 3200), ()),
    O_GAN: (gan("O-GAN"), (375, 750, 1500, 3000), GANS),
    PLAIN: (gan("plain GAN, its own settings"), (375, 750, 1500, 3000), GANS),
}
CODE = tuple(dict.fromkeys(module for _, _, modules in CONTENDERS.values() for module in modules))


def score(make: Maker, seed: int, trained_on: Tensor, unseen: Tensor) -> float:
    """Distance to what is unseen in units of that of what was trained on."""
    pictures = make(len(trained_on), torch.Generator().manual_seed(1000 + seed))
    return quality(pictures, trained_on, unseen, see=judge(), resamples=20).ratio


def budgets(name: str, seed: int) -> dict[str, Any]:
    """All budgets of one contender and seed."""
    contender, lengths, _ = CONTENDERS[name]
    A, B = (torch.from_numpy(part.images) for part in digits())
    found: list[dict[str, Any]] = []
    weights = 0
    for steps in lengths:
        make, seconds, weights = contender(A, steps, seed)
        ratio = score(make, seed, A, B)
        found.append({"steps": steps, "seconds": round(seconds, 2), "times_yardstick": round(ratio, 2)})
        print(name, seed, found[-1], flush=True)
    speed = sum(b["steps"] for b in found) / sum(b["seconds"] for b in found)
    row = {"contender": name, "seed": seed, "parameters": weights, "steps_per_second": round(speed, 1)}
    return row | {"budgets": found}


def reached(row: dict[str, Any], level: float) -> float | None:
    """Seconds of the shortest training that came so near, or None."""
    near = [b["seconds"] for b in row["budgets"] if b["times_yardstick"] <= level]
    return min(near) if near else None


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each contender the median over the seeds; None if a level was not reached with most of them."""
    lines: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["contender"] for row in rows):
        mine = [row for row in rows if row["contender"] == name]
        line: dict[str, Any] = {
            "contender": name,
            "seeds": len(mine),
            "parameters": mine[0]["parameters"],
            "steps_per_second": round(statistics.median(row["steps_per_second"] for row in mine), 1),
        }
        for level in LEVELS:
            times = sorted(t if t is not None else float("inf") for t in (reached(r, level) for r in mine))
            middle = statistics.median_high(times)
            line[f"seconds_to_{level}"] = None if middle == float("inf") else round(middle, 1)
        best = [min(b["times_yardstick"] for b in row["budgets"]) for row in mine]
        line["best_times_yardstick"] = round(statistics.median(best), 2)
        lines.append(line)
    own = next((line for line in lines if line["contender"] == OURS), None)
    for line in lines:
        for level in LEVELS:
            name = f"seconds_to_{level}"
            mine_, ours_ = line[name], own and own[name]
            line[f"ratio_to_ours_{level}"] = round(mine_ / ours_, 2) if mine_ and ours_ else None
    return lines


def choose_rate(steps: int = 1600) -> None:
    """How the rate of `diffusers` was chosen: on half A, cut in two."""
    first, second = (torch.from_numpy(part.images) for part in full_scale.halves(digits()[0]))
    for rate in (3e-4, 1e-3, 3e-3):
        make, seconds, _ = theirs(first, steps, 0, rate)
        print(f"rate {rate:g}: {score(make, 0, first, second):.2f} times, {seconds:.0f} s", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--choose-rate", action="store_true", help="how the rate of diffusers was chosen")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.choose_rate:
        choose_rate()
        return
    rows: list[dict[str, Any]] = []
    for name in options.contenders:

        def one(seed: int, checkpoint: Path, name: str = name) -> dict[str, Any]:
            return budgets(name, seed)

        key = f"time_to_distance-{harness.short_hash(name + judge().hash)}"
        rows += full_scale.kept_rows(key, CONTENDERS[name][2], options.seeds, one)
    lines = summary(rows)
    print(harness.markdown(lines))
    if set(options.contenders) != set(CONTENDERS):
        print("kept; name all contenders to store the result")
        return
    about = harness.circumstances(code=CODE, packages=("torch", "diffusers"))
    result = {
        "title": "Time of training until digits are so good",
        "question": "Seconds of training until 898 made digits are within so many times the distance of real "
        "ones; median over the seeds. Empty: not reached within the longest budget.",
        "summary": lines,
        "rows": rows,
        "made_in": MADE_IN,
        "judge": judge().hash,
        "threads": options.threads,
        "seeds": options.seeds,
        "command": "python -m benchmarks.time_to_distance --seeds " + " ".join(map(str, options.seeds)),
    }
    print("stored in", harness.store("time_to_distance", result | about).name)


if __name__ == "__main__":
    main()
