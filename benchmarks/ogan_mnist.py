"""The full scale of chapter 6: O-GAN and the plain GAN on MNIST's 28×28, meant for a GPU. Not run here.

Half of MNIST's 10,000 test pictures (stratified) train the networks and a judge of 28×28 as in chapter 3;
the other half is what generated pictures are scored against. Convolutional networks, code size 128 as in the
article's code.

    KEXUE_DEVICE=cuda python -m benchmarks.ogan_mnist --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

import kexue_lite.ogan.losses as losses_module
import kexue_lite.ogan.nets as nets_module
import kexue_lite.ogan.trainer as trainer_module
from benchmarks import harness
from kexue_lite import ogan
from kexue_lite.data import Images, mnist_test
from kexue_lite.device import device
from kexue_lite.networks import DigitClassifier, frechet_distance, train_digit_classifier

CODE = (losses_module, nets_module, trainer_module)
RECIPE = ogan.Recipe(
    code_size=128,
    hidden=(),
    channels=(64, 128),
    batch_size=64,
    steps=40_000,
    rate=2e-4,
    encoder_rate=2e-4,
    average=0.999,
)
VARIANTS = {"plain GAN": dataclasses.replace(RECIPE, match="none"), "O-GAN": RECIPE}


def halves(images: Images, seed: int = 0) -> tuple[Images, Images]:
    """Two stratified halves."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(images))
    parts = train_test_split(rows, test_size=0.5, stratify=images.labels, random_state=seed)
    first, second = (Images(images.images[part], images.labels[part]) for part in parts)
    return first, second


def features(critic: DigitClassifier, pictures: Tensor) -> Tensor:
    """The critic's features of many pictures, in parts."""
    with torch.no_grad():
        return torch.cat([critic.features(part) for part in pictures.split(1000)])


def train_and_score(
    train: Images, test: Images, critic: DigitClassifier, recipe: ogan.Recipe, seed: int, where: torch.device
) -> dict[str, Any]:
    """One training and its scores."""
    x, held_out = (torch.from_numpy(part.images).to(where) for part in (train, test))
    begin = time.perf_counter()
    model = ogan.train_ogan(x, recipe=recipe, seed=seed)
    seconds = time.perf_counter() - begin
    pictures = ogan.sample(model, len(held_out), generator=torch.Generator().manual_seed(10_000 + seed))
    with torch.no_grad():
        codes = [ogan.normalize(model.encode(part)) for part in (x, held_out)]
        error = ogan.unexplained(held_out, model.reconstruct(held_out))
    return {
        "seed": seed,
        "distance": round(frechet_distance(features(critic, pictures), features(critic, held_out)), 4),
        "yardstick": round(frechet_distance(features(critic, x), features(critic, held_out)), 4),
        "rho": round(ogan.fresh_correlation(model, generator=torch.Generator().manual_seed(seed)), 4),
        "probe": round(100 * ogan.linear_probe(codes[0], train.labels, codes[1], test.labels).value, 2),
        "error": round(error, 4),
        "to_train": round(float(ogan.nearest_distances(pictures, x).median()), 4),
        "to_test": round(float(ogan.nearest_distances(pictures, held_out).median()), 4),
        "seconds": round(seconds, 1),
    }


def race(images: Images, seeds: list[int], where: torch.device, **changes: Any) -> dict[str, Any]:
    """All seeds of both; `changes` to the recipes are for trying it at a tiny size."""
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scikit-learn"))
    train, test = halves(images)
    x = torch.from_numpy(train.images).to(where)
    steps = changes.get("steps", 500)
    critic = train_digit_classifier(x, train.labels, steps=min(500, steps), batch_size=64)
    rows = []
    for seed in seeds:
        for name, recipe in VARIANTS.items():
            row = train_and_score(train, test, critic, dataclasses.replace(recipe, **changes), seed, where)
            rows.append({"variant": name} | row)
            print(rows[-1], flush=True)
    return {
        "title": "O-GAN on MNIST",
        "question": "Chapter 6 at full scale.",
        "rows": rows,
        "seeds": seeds,
        "device": str(where),
        "command": "python -m benchmarks.ogan_mnist --seeds " + " ".join(map(str, seeds)),
    } | about


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(arguments)
    result = race(mnist_test(), options.seeds, device())
    print("stored in", harness.store("ogan_mnist", result).name)


if __name__ == "__main__":
    main()
