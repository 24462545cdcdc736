"""Diffusion of MNIST's 28×28 pictures, for a GPU: the `full` scale of chapter 7. Not run yet.

One half of MNIST's 10,000 test pictures is trained on, the other is scored against; the judge is chapter 3's
classifier trained on the first half. No head start of clouds: 784 dimensions need more data than there are.

    python -m benchmarks.ddpm_mnist          # make full; needs the download, and minutes on a GPU
"""

from __future__ import annotations

import argparse
import hashlib
import time
from typing import Any

import numpy as np
import torch

import kexue_lite.ddpm.pictures as pictures
import kexue_lite.ddpm.unet as unet
from benchmarks import harness
from kexue_lite.data import Images, mnist_test
from kexue_lite.ddpm import Recipe, quality, train_pictures
from kexue_lite.device import device
from kexue_lite.networks import Judge, train_digit_classifier
from kexue_lite.training import Checkpoint

CODE = (pictures, unet)
FULL = Recipe(
    channels=(64, 128, 128),
    clouds=0,
    steps=20_000,
    batch_size=256,
    rate=1e-3,
    average=0.999,
    kept=100,
    levels=255,
)


def halves(images: Images, seed: int = 0) -> tuple[Images, Images]:
    """Stratified halves.

    Examples
    --------
    >>> from kexue_lite.data import digits
    >>> first, second = halves(digits()[0])
    >>> len(first), len(second)
    (449, 449)
    """
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(images))
    parts = train_test_split(rows, test_size=0.5, stratify=images.labels, random_state=seed)
    first, second = (Images(images.images[part], images.labels[part]) for part in parts)
    return first, second


def judge_of(images: Images, *, steps: int) -> Judge:
    """A judge of pictures of any size, trained on these."""
    model = train_digit_classifier(images.images, images.labels, steps=steps, batch_size=64)
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(name.encode() + value.cpu().numpy().tobytes())
    about = {"version": "not stored", "trained_on": f"{len(images)} pictures", "sha256": total.hexdigest()}
    return Judge(model, about)


def run(
    first: Images,
    second: Images,
    *,
    recipe: Recipe = FULL,
    seed: int = 0,
    judge_steps: int = 500,
    where: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train on the first half, make as many, score against the second; one row."""
    see = judge_of(first, steps=judge_steps)
    begin = time.perf_counter()
    trained = train_pictures(
        torch.from_numpy(first.images).to(where),
        recipe=recipe,
        seed=seed,
        checkpoint=checkpoint,
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
        "distance": round(found.distance, 3),
        "low": round(found.low, 3),
        "high": round(found.high, 3),
        "times_yardstick": round(found.ratio, 2),
        "imbalance": round(found.imbalance, 2),
        "nearest_trained_on": round(found.to_trained, 2),
        "nearest_unseen": round(found.to_unseen, 2),
        "seconds_training": round(training, 1),
        "seconds_making": round(making, 1),
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--checkpoint", help="a file: a run that was killed is taken up from there")
    options = parser.parse_args(arguments)
    if options.checkpoint and len(options.seeds) > 1:
        parser.error("--checkpoint goes with one seed")
    about = harness.circumstances(code=CODE, packages=("torch", "numpy"))
    first, second = halves(mnist_test())
    checkpoint = Checkpoint(options.checkpoint, every=500) if options.checkpoint else None
    rows = [
        run(first, second, seed=s, where=device(), checkpoint=checkpoint, progress=True)
        for s in options.seeds
    ]
    result = {"title": "A U-Net writes MNIST's digits", "rows": rows, "seeds": options.seeds}
    result |= {"command": "python -m benchmarks.ddpm_mnist --seeds " + " ".join(map(str, options.seeds))}
    print(harness.markdown(rows))
    print("stored in", harness.store("ddpm_mnist", result | about).name)


if __name__ == "__main__":
    main()
