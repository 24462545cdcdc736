"""O-GAN, the plain GAN and O-GAN with a mean squared error, over seeds: digits, fewer digits, a mixture.

Trained on half A of the digits (898 pictures), scored against half B (899), which no choice has seen: the
recipes were chosen by splitting half A in two. Each row is one training:

- `distance`: Fréchet distance to half B in the features of the judge, mean over ten sets of 899 fresh
  pictures; `distance_low`, `distance_high`: bootstrap interval of the first set against half B;
- `rho`: mean of ρ(z, E(G(z))) over fresh codes; `rho_before` and `probe_before`: before E's last lesson;
- `probe`: per cent of half B read by logistic regression from codes N(E(x)), fitted on half A; `probe_raw`:
  the same from E(x); `random_probe` and `random_probe_raw`: both from the network before training;
- `error`, `error_09`: squared error of G(N(E(x))) and of G(0.9 N(E(x))) on half B over its variance;
- `rarest`, `commonest`: shares of the classes among the generated pictures;
- `to_A`, `to_B`: median distance of a generated picture to the nearest of 898 pictures of A and of B.

On the mixture, of 10,000 points: `found` of 25 spots, `good` share, `effective` number of spots (see
`kexue_lite.ogan.mixture`). Does the correlation keep a GAN from collapsing? `grid_differences` are O-GAN less
plain GAN, paired by seed: it does where an interval lies above 0.

    python -m benchmarks.ogan_digits --seeds 0 1 2 3 4

Each row is stored when it is done, so the second form, in two processes (--share 1 2 is the other), stops
after about so many seconds, and can be called again; the first form then makes the table.

    python -m benchmarks.ogan_digits --seeds 0 1 2 3 4 --at-most 150 --share 0 2
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import math
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import kexue_lite.ogan.decomposition as decomposition_module
import kexue_lite.ogan.losses as losses_module
import kexue_lite.ogan.measure as measure_module
import kexue_lite.ogan.mixture as mixture_module
import kexue_lite.ogan.nets as nets_module
import kexue_lite.ogan.trainer as trainer_module
import kexue_lite.ogan.warps as warps_module
from benchmarks import harness
from kexue_lite import ogan
from kexue_lite.data import digits
from kexue_lite.networks import frechet_distance, judge, pca_error, principal_autoencoder

CODE = (
    decomposition_module,
    losses_module,
    measure_module,
    mixture_module,
    nets_module,
    trainer_module,
    warps_module,
)
ROWS = harness.RESULTS / ".ogan_digits"
O_GAN = ogan.Recipe()
VARIANTS = {
    "plain GAN": ogan.PLAIN,
    "O-GAN": O_GAN,
    "O-GAN with squared error": dataclasses.replace(O_GAN, match="mse"),
    # Settings of its own, chosen on half A: its pictures are displaced more. No record of the trials is kept.
    "plain GAN, its own settings": dataclasses.replace(ogan.PLAIN, distort=0.5),
    # What the article's code takes for 64 and 128 pixels; all else is ours.
    "O-GAN, the author's weights": dataclasses.replace(O_GAN, weight=0.5, penalty=0.25),
}
THREE = list(VARIANTS)[:3]
ON_GRID = {
    "plain GAN": ogan.PLAIN_GRID,
    "O-GAN": ogan.GRID,
    "O-GAN with squared error": dataclasses.replace(ogan.GRID, match="mse"),
}
FEWER = 225  # a quarter of half A
SETS = 10


def halves() -> tuple[Tensor, np.ndarray, Tensor, np.ndarray]:
    """Pictures and labels of A and of B."""
    A, B = digits()
    return torch.from_numpy(A.images), A.labels, torch.from_numpy(B.images), B.labels


def train_and_score(variant: str, seed: int, count: int | None = None, **changes: Any) -> dict[str, Any]:
    """One row: train on (the first `count` pictures of) half A, score against half B."""
    a = halves()[0]
    recipe = dataclasses.replace(VARIANTS[variant], **changes)
    begin, busy = time.perf_counter(), time.process_time()
    model = ogan.train_ogan(a[:count], recipe=dataclasses.replace(recipe, lesson=0), seed=seed)
    before = copy.deepcopy(model)
    if recipe.match != "none":
        ogan.last_lesson(model, recipe, seed=seed)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    row = {"variant": variant, "seed": seed} | score(model, recipe, seed, count)
    row |= {f"{name}_before": value for name, value in codes_alone(before, seed, count).items()}
    return row | {"seconds": round(seconds, 1), "processor_seconds": round(busy, 1)}


def codes_alone(model: ogan.OGAN, seed: int, count: int | None = None) -> dict[str, float]:
    """ρ on fresh codes and the linear probe."""
    a, names_a, b, names_b = halves()
    with torch.no_grad():
        codes = [ogan.normalize(model.encode(part)) for part in (a[:count], b)]
    probe = ogan.linear_probe(codes[0], names_a[:count], codes[1], names_b)
    rho = ogan.fresh_correlation(model, generator=torch.Generator().manual_seed(20_000 + seed))
    return {"rho": round(rho, 4), "probe": round(100 * probe.value, 2)}


def score(model: ogan.OGAN, recipe: ogan.Recipe, seed: int, count: int | None = None) -> dict[str, Any]:
    """All scores of a model; deterministic."""
    a, names_a, b, names_b = halves()
    critic, N = judge(), len(b)
    pictures = ogan.sample(model, SETS * N, generator=torch.Generator().manual_seed(10_000 + seed))
    seen, real = critic.features(pictures), critic.features(b)
    distances = [frechet_distance(part, real) for part in seen.split(N)]
    _, low, high = ogan.bootstrap(frechet_distance, seen[:N], real, draws=100, seed=seed)
    shares = ogan.class_shares(critic.labels(pictures))
    untrained = ogan.OGAN(
        model.size,
        model.code_size,
        hidden=recipe.hidden,
        channels=recipe.channels,
        generator=trainer_module.generator_for(seed + 2 * trainer_module.APART, 0),
    ).eval()

    def probe(encoder: ogan.OGAN, raw: bool = False) -> float:
        with torch.no_grad():
            codes = encoder.encode(a[:count]), encoder.encode(b)
        codes = codes if raw else (ogan.normalize(codes[0]), ogan.normalize(codes[1]))
        return 100 * ogan.linear_probe(codes[0], names_a[:count], codes[1], names_b).value

    with torch.no_grad():
        again = {shrink: ogan.unexplained(b, model.reconstruct(b, shrink=shrink)) for shrink in (1.0, 0.9)}
    row = {
        "distance": statistics.fmean(distances),
        "distance_low": low,
        "distance_high": high,
        "rho": ogan.fresh_correlation(model, generator=torch.Generator().manual_seed(20_000 + seed)),
        "probe": probe(model),
        "probe_raw": probe(model, raw=True),
        "random_probe": probe(untrained),
        "random_probe_raw": probe(untrained, raw=True),
        "error": again[1.0],
        "error_09": again[0.9],
        "rarest": float(shares.min()),
        "commonest": float(shares.max()),
        "to_A": float(ogan.nearest_distances(pictures[:N], a[:count]).median()),
        "to_B": float(ogan.nearest_distances(pictures[:N], b[: len(a[:count])]).median()),
    }
    return {name: round(value, 4) for name, value in row.items()}


def on_grid(variant: str, seed: int) -> dict[str, Any]:
    """One row of the mixture: spots found, share of good points among 10,000, effective number of spots."""
    begin = time.perf_counter()
    model = ogan.train_on_grid(recipe=ON_GRID[variant], seed=seed)
    seconds = time.perf_counter() - begin
    points = ogan.sample(model, 10_000, generator=torch.Generator().manual_seed(10_000 + seed))
    found = ogan.coverage(points)
    rho = ogan.fresh_correlation(model, generator=torch.Generator().manual_seed(20_000 + seed))
    row = {"variant": variant, "seed": seed, "found": found.found, "good": round(found.good, 4)}
    row |= {"effective": round(found.effective, 2), "rho": round(rho, 4)}
    return row | {"seconds": round(seconds, 1)}


def points_to_show(seed: int, count: int = 800) -> dict[str, list[list[float]]]:
    """Points of the mixture's generators of one seed, trained once more: for the chapter's figure."""
    found = {}
    for variant in ("plain GAN", "O-GAN"):
        model = ogan.train_on_grid(recipe=ON_GRID[variant], seed=seed)
        points = ogan.sample(model, count, generator=torch.Generator().manual_seed(10_000 + seed))
        found[variant] = [[round(number, 3) for number in point] for point in points.tolist()]
    return found


def yardsticks() -> dict[str, Any]:
    """What the scores are to be compared with; deterministic."""
    a, names_a, b, names_b = halves()
    flat_a, flat_b = a.double().flatten(1), b.double().flatten(1)
    pca = principal_autoencoder(flat_a, 16)
    with torch.no_grad():
        probe = ogan.linear_probe(pca.encode(flat_a), names_a, pca.encode(flat_b), names_b)
        error = ogan.unexplained(flat_b, pca(flat_b))
    variance = float((flat_a - flat_a.mean(0)).square().mean())
    return {
        "A_against_B": round(judge().distance(a, b), 4),
        "pca_probe": round(100 * probe.value, 2),
        "pca_error": round(error, 4),
        "pca_error_on_A": round(pca_error(flat_a, 16) / variance, 4),
        "A_to_nearest_B": round(float(ogan.nearest_distances(a, b).median()), 4),
    }


def step_cost(repeat: int = 15, steps: int = 60) -> harness.Paired:
    """Seconds of a short training of O-GAN and of a plain GAN of the same recipe, in turns."""
    a, *_ = halves()
    recipe = dataclasses.replace(O_GAN, steps=steps, lesson=0)
    plain = dataclasses.replace(recipe, match="none")
    return harness.in_turns(
        lambda: ogan.train_ogan(a, recipe=plain),
        lambda: ogan.train_ogan(a, recipe=recipe),
        repeat=repeat,
    )


def mean_and_interval(values: list[float]) -> tuple[float, float, float]:
    """Mean of at least two values and the ends of its 95 % interval (Student's t over the seeds)."""
    from scipy.stats import t

    mean, n = statistics.fmean(values), len(values)
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5
    return mean, mean - half, mean + half


def ratio(rows: list[dict[str, Any]], above: str, below: str) -> dict[str, Any]:
    """The ratio of two variants' distances, paired by seed: geometric mean and 95 % interval."""
    of = {(row["variant"], row["seed"]): row["distance"] for row in rows}
    seeds = sorted(seed for name, seed in of if name == above)
    logs = [math.log(of[above, seed] / of[below, seed]) for seed in seeds]
    mean, low, high = (round(math.exp(value), 3) for value in mean_and_interval(logs))
    return {"ratio": f"{above} / {below}", "mean": mean, "low": low, "high": high, "seeds": len(seeds)}


def differences(
    rows: list[dict[str, Any]], one: str, other: str, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """What `one` has more than `other`, score by score, paired by seed: mean and 95 % interval."""
    of = {(row["variant"], row["seed"]): row for row in rows}
    seeds = sorted(seed for name, seed in of if name == one)
    lines = []
    for name in names:
        mean, low, high = mean_and_interval([of[one, s][name] - of[other, s][name] for s in seeds])
        line = {"difference": f"{one} less {other}", "score": name}
        lines.append(line | {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4)})
    return lines


def summarised(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """One line for each variant: mean and range of each score over the seeds."""
    lines = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        line: dict[str, Any] = {"variant": variant, "seeds": len(mine)}
        for name in names:
            values = [row[name] for row in mine]
            line[name] = round(statistics.fmean(values), 4)
            line[f"{name}_range"] = f"{min(values):.4g} to {max(values):.4g}"
        lines.append(line)
    return lines


def tasks(seeds: list[int]) -> list[tuple[str, str, int]]:
    """What is to be trained: task, variant, seed; the important ones first."""
    work = [("digits", name, seed) for seed in seeds for name in VARIANTS]
    work += [("grid", name, seed) for seed in seeds for name in THREE]
    return work + [("fewer", name, seed) for seed in seeds[:3] for name in THREE[:2]]


def one(task: str, variant: str, seed: int) -> dict[str, Any]:
    """One row of a task."""
    if task == "grid":
        return on_grid(variant, seed)
    return train_and_score(variant, seed, FEWER if task == "fewer" else None)


def work_on(seeds: list[int], share: tuple[int, int], at_most: float) -> None:
    """Train what is not there yet, each row into a file of its own, until the time is over."""
    begin, longest = time.perf_counter(), 0.0
    code = harness.fingerprint(CODE)
    ROWS.mkdir(parents=True, exist_ok=True)
    for task, variant, seed in tasks(seeds)[share[0] :: share[1]]:
        start, path = time.perf_counter(), _place(task, variant, seed)
        if path.exists() and json.loads(path.read_text())["code"] == code:
            continue
        if start - begin + longest > at_most:
            return
        row = one(task, variant, seed)
        print(task, row, flush=True)
        path.write_text(json.dumps({"code": code, "row": row}))
        longest = max(longest, time.perf_counter() - start)


def _place(task: str, variant: str, seed: int) -> Path:
    return ROWS / f"{task}-{list(VARIANTS).index(variant)}-{seed}.json"


def collected(seeds: list[int]) -> dict[str, list[dict[str, Any]]] | None:
    """The rows of the tasks that are complete, or None if the digits are not; rows of other code are none."""
    code = harness.fingerprint(CODE)
    rows: dict[str, list[dict[str, Any]]] = {}
    missing: set[str] = set()
    for task, variant, seed in tasks(seeds):
        path = _place(task, variant, seed)
        if not path.exists() or (kept := json.loads(path.read_text()))["code"] != code:
            missing.add(task)
            continue
        rows.setdefault(task, []).append(kept["row"])
    return None if "digits" in missing else {task: part for task, part in rows.items() if task not in missing}


def summary(seeds: list[int], rows: dict[str, list[dict[str, Any]]], threads: int) -> dict[str, Any]:
    """The stored result: rows, means, ratios, yardsticks, and the clock's part."""
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scipy", "scikit-learn"))
    cost = step_cost()
    names = tuple(n for n in rows["digits"][0] if n not in ("variant", "seed"))
    plain, o_gan, squared, tuned, authors = VARIANTS
    pairs = [(o_gan, tuned), (o_gan, plain), (squared, tuned), (o_gan, squared), (authors, o_gan)]
    more: dict[str, Any] = {}
    if "fewer" in rows:
        fewer = summarised(rows["fewer"], ("distance", "probe", "to_A", "to_B"))
        more |= {"fewer_pictures": rows["fewer"], "fewer_summary": fewer}
    if "grid" in rows:
        grid = summarised(rows["grid"], ("found", "good", "effective", "rho", "seconds"))
        more |= {"grid": rows["grid"], "grid_summary": grid, "grid_points": points_to_show(seeds[0])}
        apart = [(o_gan, plain), (o_gan, squared)]
        scores = ("found", "good", "effective")
        more["grid_differences"] = [
            line for pair in apart for line in differences(rows["grid"], *pair, scores)
        ]
    return (
        {
            "title": "O-GAN, a plain GAN, and a squared error in the place of the correlation",
            "question": "Does one term turn the discriminator into an encoder, and at which price? Means over"
            " the seeds, with the range; ratios with Student's interval of 95 % over paired seeds.",
            "rows": rows["digits"],
            "summary": summarised(rows["digits"], names),
            "ratios": [ratio(rows["digits"], above, below) for above, below in pairs],
            "yardsticks": yardsticks(),
            "cost": {
                "ratio": cost.ratio.text(3),
                "median": round(cost.ratio.median, 4),
                "pairs": len(cost.ours),
            },
            "recipes": {name: dataclasses.asdict(recipe) for name, recipe in VARIANTS.items()},
            "grid_recipes": {name: dataclasses.asdict(recipe) for name, recipe in ON_GRID.items()},
            "judge": judge().hash,
            "threads": threads,
            "seeds": seeds,
            "command": "python -m benchmarks.ogan_digits --seeds " + " ".join(map(str, seeds)),
        }
        | more
        | about
    )


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--at-most", type=float, default=math.inf, help="seconds of training, about")
    parser.add_argument("--share", type=int, nargs=2, default=[0, 1], help="which of how many shares")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    work_on(options.seeds, tuple(options.share), options.at_most)
    rows = collected(options.seeds)
    if rows is None or options.share[1] > 1:
        print("stored row by row" if rows is None else "all rows are there", "- call it again to go on")
        return
    result = summary(options.seeds, rows, options.threads)
    print(harness.markdown(result["summary"]))
    print("stored in", harness.store("ogan_digits", result).name)
    if {"grid", "fewer"} <= set(rows):
        shutil.rmtree(ROWS)


if __name__ == "__main__":
    main()
