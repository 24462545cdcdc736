"""Diffusion of digits (chapter 7): trained on half A, as many made as there are in A, scored against half B.

The yardstick is the distance of half A, which is real, to half B, in the features of chapter 3's judge. The
recipe was chosen inside half A, cut in two; half B was looked at when it stood. The tables:

- rows: the recipe, over the seeds; and with one thing taken away, one seed each: pictures (225 of them), the
  draw of t, the head start, all of it (the plain DDPM: noise predicted, t even, no head start);
- said: what the network says, without a head start, each with the loss that is its own;
- samplers: the recipe's first model with other samplers, fewer steps and more, and a sceptic's two baselines:
  points of the clouds of the head start, without network or steps; and the recipe's own sampler where the
  network says zero, so that the clouds' guess is all there is;
- lengths: the recipe trained with other T, the schedule rescaled, all T steps walked. The head start stays:
  with it the network is good enough for the length of a step to be seen, and it is the same for every T.

    python -m benchmarks.ddpm_digits --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import kexue_lite.ddpm.clouds as clouds
import kexue_lite.ddpm.pictures as pictures
import kexue_lite.ddpm.process as process
import kexue_lite.ddpm.sampling as sampling
import kexue_lite.ddpm.schedule as schedule
import kexue_lite.ddpm.unet as unet
from benchmarks import harness
from kexue_lite.data import digits
from kexue_lite.ddpm import PictureModel, Quality, Recipe, TrainedPictures, quality, train_pictures
from kexue_lite.ddpm.predict import silence
from kexue_lite.networks import judge
from kexue_lite.training import Checkpoint

CODE = (clouds, pictures, process, sampling, schedule, unet)
RECIPE = "the recipe"
CLOUDS = "the clouds alone"
WALKED = "the clouds alone, walked"
OPENING = 30  # steps
PLAIN = "the plain DDPM"


def _with(**changes: Any) -> dict[str, Any]:
    return {"recipe": dataclasses.replace(Recipe(), **changes)}


CONTENDERS: dict[str, dict[str, Any]] = {
    RECIPE: {},
    "225 pictures": {"pictures": 225},
    "t drawn evenly": _with(level=None),
    "no head start": _with(clouds=0, kind="velocity"),
    PLAIN: _with(clouds=0, kind="noise", level=None),
    **{f"{kind} said": _with(clouds=0, kind=kind) for kind in ("noise", "picture", "mean")},
    **{f"T = {T}": _with(T=T, kept=T) for T in (25, 50, 100, 200)},
}
# For each table what a row is called, whose model it is, and how that one is sampled.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "225 pictures": ("225 pictures", {}),
    "t drawn evenly": ("t drawn evenly", {}),
    "no head start": ("no head start", {}),
    PLAIN: (PLAIN, {}),
    f"{PLAIN}, all 1000 steps, σ = β, not clipped": (PLAIN, {"kept": 1000, "sigma": "beta", "clip": False}),
}
SAID: dict[str, tuple[str, dict[str, Any]]] = {
    "the noise": ("noise said", {}),
    "the picture": ("picture said", {}),
    "the mean of the step before": ("mean said", {}),
    "the velocity": ("no head start", {}),
}
WAYS: dict[str, dict[str, Any]] = {
    CLOUDS: {},
    WALKED: {},
    "σ = β": {"sigma": "beta"},
    "σ of the posterior": {"sigma": "posterior"},
    "no noise, σ = 0": {"sigma": "none"},
    "deterministic": {"sigma": "ddim"},
    **{f"{kept} steps kept": {"kept": kept} for kept in (5, 10, 20, 40, 80, 200, 1000)},
    "1000 steps kept, σ = β": {"kept": 1000, "sigma": "beta"},
    "noise at the last step, too": {"sigma": "beta", "last_noise": True},
    "not clipped": {"clip": False},
}
SAMPLERS = {name: (RECIPE, how) for name, how in WAYS.items()}
LENGTHS: dict[str, tuple[str, dict[str, Any]]] = {
    f"T = {T}, {name}": (f"T = {T}", {"sigma": sigma})
    for T in (25, 50, 100, 200)
    for name, sigma in (("σ = β", "beta"), ("σ of the posterior", "posterior"))
}
TABLES = {"samplers": SAMPLERS, "rows": ROWS, "said": SAID, "lengths": LENGTHS}


def contend(
    seed: int, *, recipe: Recipe | None = None, pictures: int | None = None, keep: Path | None = None
) -> TrainedPictures:
    """Train one contender on half A (or on its first so many pictures).

    With `keep`, a file: a run that was killed is taken up from there, and one that was finished is read.
    """
    A, _ = digits()
    checkpoint = None if keep is None else Checkpoint(keep, every=100)
    return train_pictures(A.images[:pictures], recipe=recipe, seed=seed, checkpoint=checkpoint)


def opening(trained: TrainedPictures) -> float:
    """Mean loss of the first `OPENING` steps: what a test compares when it runs a seed again, cheaply."""
    return statistics.fmean(record["loss"] for record in trained.run.records[:OPENING])


def score(model: PictureModel, seed: int, *, count: int = 898, **how: Any) -> tuple[Quality, float]:
    """Make pictures and score them against half B; the quality and the seconds of making."""
    A, B = digits()
    begin = time.perf_counter()
    made = model.make(count, generator=torch.Generator().manual_seed(1000 + seed), **how)
    seconds = time.perf_counter() - begin
    return quality(made, A.images, B.images, see=judge()), seconds


def score_clouds(model: PictureModel, seed: int, *, count: int = 898) -> tuple[Quality, float]:
    """The same of points drawn from the clouds of the head start, with no network and no steps."""
    assert model.clouds is not None
    A, B = digits()
    begin = time.perf_counter()
    x = model.clouds.sample(count, generator=torch.Generator().manual_seed(1000 + seed))
    made = model.pictures(x.reshape(count, *model.mean.shape))
    seconds = time.perf_counter() - begin
    return quality(made, A.images, B.images, see=judge()), seconds


def score_guess(model: PictureModel, seed: int) -> tuple[Quality, float]:
    """The same where the network says zero: the clouds' guess, walked by the recipe's sampler."""
    bare = copy.deepcopy(model)
    assert isinstance(bare.net, unet.UNet)
    silence(bare.net.leave)
    return score(bare, seed)


def row(contender: str, seed: int, found: Quality, training: float, making: float) -> dict[str, Any]:
    """One line of the table."""
    return {
        "contender": contender,
        "seed": seed,
        "distance": round(found.distance, 3),
        "low": round(found.low, 3),
        "high": round(found.high, 3),
        "times_yardstick": round(found.ratio, 2),
        "imbalance": round(found.imbalance, 2) if math.isfinite(found.imbalance) else "a class is missing",
        "nearest_in_A": round(found.to_trained, 2),
        "nearest_in_B": round(found.to_unseen, 2),
        "seconds_training": round(training, 1),
        "seconds_making": round(making, 1),
    }


def race(
    seeds: list[int], threads: int, tables: list[str], keep: Path | None = None
) -> Iterator[dict[str, Any]]:
    """The recipe over the seeds; then the tables, of the first seed.

    The result so far is yielded after each table, so that a run that is cut has something to show. With
    `keep`, a folder, what was trained and scored before, by the same code, is read from there.
    """
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scikit-learn"))
    torch.set_num_threads(threads)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    models: dict[tuple[str, int], TrainedPictures] = {}
    done = keep and keep / f"rows-{about['code']}.json"
    known: dict[str, Any] = json.loads(done.read_text(encoding="utf-8")) if done and done.exists() else {}

    def line(contender: str, seed: int, model: str, how: dict[str, Any]) -> dict[str, Any]:
        key = f"{contender}, seed {seed}"
        if key not in known:
            file = keep and keep / f"{about['code']}-{model.replace(' ', '-')}-{seed}.pt"
            if (model, seed) not in models:
                models[model, seed] = contend(seed, keep=file, **CONTENDERS[model])
            trained = models[model, seed]
            if contender == CLOUDS:
                judged, making = score_clouds(trained.model, seed)
            elif contender == WALKED:
                judged, making = score_guess(trained.model, seed)
            else:
                judged, making = score(trained.model, seed, **how)
            training = trained.run.records[-1]["seconds"]
            known[key] = row(contender, seed, judged, training, making)
            known[key]["opening_loss"] = round(opening(trained), 5)
            if done:
                done.write_text(json.dumps(known), encoding="utf-8")
        print(known[key], flush=True)
        return known[key]

    for seed in seeds:
        found["rows"].append(line(RECIPE, seed, RECIPE, {}))
    yield _result(found, threads, seeds) | about
    for table in tables:
        for contender, (model, how) in TABLES[table].items():
            found[table].append(line(contender, seeds[0], model, how))
        yield _result(found, threads, seeds) | about


def _result(found: dict[str, list[dict[str, Any]]], threads: int, seeds: list[int]) -> dict[str, Any]:
    A, B = digits()
    real = quality(A.images, A.images, B.images, see=judge(), resamples=20)
    own = [r for r in found["rows"] if r["contender"] == RECIPE]
    return {
        "title": "A small U-Net writes digits",
        "question": "How far are 898 made digits from 899 unseen ones, in units of the distance of 898 "
        "real ones? Intervals of 95 % from resampling; 'low' and 'high' belong to the distance.",
        **{table: list(rows) for table, rows in found.items()},
        "summary": [
            {
                "contender": RECIPE,
                "seeds": len(own),
                "mean_times_yardstick": round(statistics.fmean(r["times_yardstick"] for r in own), 2),
                "worst_times_yardstick": max(r["times_yardstick"] for r in own),
                "worst_imbalance": max(
                    (r["imbalance"] for r in own), key=lambda v: math.inf if isinstance(v, str) else v
                ),
                "longest_training": max(r["seconds_training"] for r in own),
                "longest_making": max(r["seconds_making"] for r in own),
            }
        ],
        "yardstick": round(real.yardstick, 4),
        "nearest_in_A_of_real": round(real.real_to_trained, 3),
        "recipe": {
            k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(Recipe()).items()
        },
        "judge": judge().hash,
        "threads": threads,
        "seeds": seeds,
        "command": "python -m benchmarks.ddpm_digits --seeds " + " ".join(map(str, seeds)),
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--keep", type=Path, help="a folder for checkpoints: what was cut is taken up again")
    options = parser.parse_args(arguments)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    for result in race(options.seeds, options.threads, options.tables, options.keep):
        print(harness.markdown(result["summary"]))
        print("stored in", harness.store("ddpm_digits", result).name, flush=True)


if __name__ == "__main__":
    main()
