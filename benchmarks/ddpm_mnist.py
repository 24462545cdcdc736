"""Diffusion of MNIST's 28×28 pictures, for a GPU: the `full` scale of chapter 7.

No head start of clouds: 784 dimensions need more data than there are. A run that was killed is taken up
again.

    KEXUE_DEVICE=cuda python -m benchmarks.ddpm_mnist --seeds 0 1 2     # make full
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import torch

import kexue_lite.ddpm.pictures as pictures_module
import kexue_lite.ddpm.process as process_module
import kexue_lite.ddpm.sampling as sampling_module
import kexue_lite.ddpm.unet as unet_module
from benchmarks import full_scale, harness
from kexue_lite.data import Images, mnist_test
from kexue_lite.ddpm import Recipe, quality, train_pictures
from kexue_lite.device import device
from kexue_lite.training import Checkpoint

CODE = (pictures_module, process_module, sampling_module, unet_module)
FULL = Recipe(
    channels=(32, 64, 128),
    clouds=0,
    steps=10_000,
    batch_size=128,
    rate=1e-3,
    average=0.999,
    kept=100,
    levels=255,
)
SHOWN = 60


def run(
    first: Images,
    second: Images,
    *,
    recipe: Recipe = FULL,
    seed: int = 0,
    judge_steps: int = 1000,
    where: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train on the first half, make as many, score against the second; one row, with some of the pictures."""
    see = full_scale.judge_of(first, where=where, steps=judge_steps)
    begin = time.perf_counter()
    trained = train_pictures(
        torch.from_numpy(first.images).to(where),
        recipe=recipe,
        seed=seed,
        checkpoint=None if checkpoint is None else Checkpoint(checkpoint, every=1000),
        progress=progress,
    )
    training = time.perf_counter() - begin
    begin = time.perf_counter()
    generator = torch.Generator(where).manual_seed(1000 + seed)
    made = trained.model.make(len(first), generator=generator).cpu()
    making = time.perf_counter() - begin
    found = quality(made, first.images, second.images, see=see)
    return {
        "seed": seed,
        "device": str(where),
        "judge": see.hash,
        "distance": round(found.distance, 3),
        "low": round(found.low, 3),
        "high": round(found.high, 3),
        "times_yardstick": round(found.ratio, 2),
        "imbalance": round(found.imbalance, 2),
        "nearest_trained_on": round(found.to_trained, 2),
        "nearest_unseen": round(found.to_unseen, 2),
        "real_to_trained_on": round(found.real_to_trained, 2),
        "seconds_training": round(training, 1),
        "seconds_making": round(making, 1),
        "made": full_scale.as_text(made[:SHOWN]),
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=FULL.steps)
    options = parser.parse_args(arguments)
    recipe = dataclasses.replace(FULL, steps=options.steps)
    about = harness.circumstances(code=CODE, packages=("torch", "numpy"), where=device())
    first, second = full_scale.halves(mnist_test())

    def one(seed: int, checkpoint: Path) -> dict[str, Any]:
        row = run(
            first, second, recipe=recipe, seed=seed, where=device(), checkpoint=checkpoint, progress=True
        )
        print({name: value for name, value in row.items() if name != "made"}, flush=True)
        return row

    rows = full_scale.kept_rows(f"ddpm_mnist-{recipe.steps}", CODE, options.seeds, one)
    made = [row.pop("made") for row in rows]
    result = {
        "title": "A U-Net writes MNIST's digits",
        "question": "Chapter 7 at full scale: how far are 5,000 made digits from 5,000 unseen ones, in units "
        "of the distance of 5,000 real ones? Seeds were trained side by side where their times overlap.",
        "rows": rows,
        "pictures": {"size": 28, "made": made[0]},
        "recipe": {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(recipe).items()},
        "seeds": options.seeds,
        "command": "python -m benchmarks.ddpm_mnist --seeds " + " ".join(map(str, options.seeds)),
    }
    print(harness.markdown(rows))
    print("stored in", harness.store("ddpm_mnist", result | about).name)


if __name__ == "__main__":
    main()
