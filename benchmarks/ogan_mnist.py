"""O-GAN and the plain GAN on MNIST's 28×28 pictures, for a GPU: the `full` scale of chapter 6.

Convolutional networks, code size 128 as in the article's code. Rates and λ₁ were chosen for both variants
among the same six settings, on the first half of MNIST cut in two (3,000 steps each, on a GPU): 1e-3 and 0.01
were the best for both. A run that was killed is taken up again.

    KEXUE_DEVICE=cuda python -m benchmarks.ogan_mnist --seeds 0 1 2     # make full
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import kexue_lite.ogan.decomposition as decomposition_module
import kexue_lite.ogan.losses as losses_module
import kexue_lite.ogan.nets as nets_module
import kexue_lite.ogan.trainer as trainer_module
from benchmarks import full_scale, harness
from kexue_lite import ogan
from kexue_lite.data import Images, mnist_test
from kexue_lite.device import device
from kexue_lite.networks import Judge, frechet_distance
from kexue_lite.training import Checkpoint

CODE = (decomposition_module, losses_module, nets_module, trainer_module)
RECIPE = ogan.Recipe(
    code_size=128,
    hidden=(),
    channels=(64, 128),
    batch_size=64,
    steps=12_000,
    rate=1e-3,
    encoder_rate=1e-3,
    average=0.999,
    lesson=4000,
)
VARIANTS = {"plain GAN": dataclasses.replace(RECIPE, match="none"), "O-GAN": RECIPE}
SHOWN, RETURNED = 40, 20


def features(see: Judge, pictures: Tensor) -> Tensor:
    """The judge's features, in float64 on the CPU."""
    return see.features(pictures).double().cpu()


def train_and_score(
    first: Images,
    second: Images,
    see: Judge,
    recipe: ogan.Recipe,
    seed: int,
    *,
    where: torch.device | str = "cpu",
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """One training and its scores, with some of the pictures."""
    x, unseen = (torch.from_numpy(part.images).to(where) for part in (first, second))
    begin = time.perf_counter()
    kept = None if checkpoint is None else Checkpoint(checkpoint, every=1000)
    model = ogan.train_ogan(x, recipe=recipe, seed=seed, checkpoint=kept)
    seconds = time.perf_counter() - begin
    made = ogan.sample(model, len(unseen), generator=torch.Generator().manual_seed(10_000 + seed))
    with torch.no_grad():
        codes = [ogan.normalize(model.encode(part)) for part in (x, unseen)]
        again = model.reconstruct(unseen)
    probe = ogan.linear_probe(codes[0], first.labels, codes[1], second.labels)
    real = features(see, unseen)
    distance, low, high = ogan.bootstrap(frechet_distance, features(see, made), real, draws=100, seed=seed)
    return {
        "seed": seed,
        "device": str(where),
        "judge": see.hash,
        "distance": round(distance, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "yardstick": round(frechet_distance(features(see, x), real), 4),
        "rho": round(ogan.fresh_correlation(model, generator=torch.Generator().manual_seed(seed)), 4),
        "probe": round(100 * probe.value, 2),
        "error": round(ogan.unexplained(unseen, again), 4),
        "to_train": round(float(ogan.nearest_distances(made, x).median()), 4),
        "to_test": round(float(ogan.nearest_distances(made, unseen).median()), 4),
        "seconds": round(seconds, 1),
        "made": full_scale.as_text(made[:SHOWN]),
        "original": full_scale.as_text(unseen[:RETURNED]),
        "again": full_scale.as_text(again[:RETURNED]),
    }


def race(
    images: Images,
    seeds: list[int],
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    where: torch.device | str = "cpu",
    judge_steps: int = 1000,
    **changes: Any,
) -> dict[str, Any]:
    """All seeds of the variants; `changes` to the recipes are for trying it at a tiny size."""
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scikit-learn"), where=where)
    first, second = full_scale.halves(images)
    see = full_scale.judge_of(first, where=where, steps=judge_steps)
    recipes = {
        name: dataclasses.replace(recipe, **changes) for name, recipe in VARIANTS.items() if name in variants
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for name, recipe in recipes.items():

        def one(
            seed: int, checkpoint: Path, name: str = name, recipe: ogan.Recipe = recipe
        ) -> dict[str, Any]:
            row = train_and_score(first, second, see, recipe, seed, where=where, checkpoint=checkpoint)
            print(name, {k: v for k, v in row.items() if k not in PICTURES}, flush=True)
            return row

        # A row is known by its recipe and its data, too: what was tried at a tiny size is another row.
        key = f"ogan_mnist-{recipe.match}-{len(images)}-{harness.short_hash(repr(recipe))}"
        found[name] = full_scale.kept_rows(key, CODE, seeds, one)
    shown = {name: next(reversed(found.values()))[0][name] for name in PICTURES}
    rows = [
        {"variant": variant} | {k: v for k, v in row.items() if k not in PICTURES}
        for variant, rows in found.items()
        for row in rows
    ]
    return {
        "title": "O-GAN on MNIST",
        "question": "Chapter 6 at full scale: a plain GAN and O-GAN, 5,000 made pictures against 5,000 "
        "unseen ones. Seeds were trained side by side where their times overlap.",
        "rows": rows,
        "pictures": {"size": images.images.shape[1]} | shown,
        "recipes": {name: dataclasses.asdict(recipe) for name, recipe in recipes.items()},
        "seeds": seeds,
        "command": "python -m benchmarks.ogan_mnist --seeds " + " ".join(map(str, seeds)),
    } | about


PICTURES = ("made", "original", "again")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    options = parser.parse_args(arguments)
    changes = {} if options.steps == RECIPE.steps else {"steps": options.steps, "lesson": options.steps // 3}
    result = race(mnist_test(), options.seeds, variants=options.variants, where=device(), **changes)
    print(harness.markdown(result["rows"]))
    if set(options.variants) != set(VARIANTS):
        print("kept; name all variants to store the result")
        return
    print("stored in", harness.store("ogan_mnist", result).name)


if __name__ == "__main__":
    main()
