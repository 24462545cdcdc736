"""Language models of characters with full, quantised and windowed attention (chapter 8), at one budget.

All contenders of a text have the same batches, steps, rates and weights; only what a query sees of the far
past differs. Scores are nats per character over the whole validation part, in rows of the training context.

- rows: full, quantised, windowed, each with the learned bias of the window, over the seeds, on two texts;
- unbiased: the same on Shakespeare without the bias;
- heads: the same with plain multi-head attention in the place of the gated unit;
- codes: quantised attention by the number of codes, both mixers;
- starts: the trained full model with its keys put on codes by k-means, untrained, and trained a little on;
- parts: the same, untrained, where only the near keys are put on codes, or only the far ones;
- differences: paired by seed, with the 95 % interval of their mean by Student's t.

    python -m benchmarks.language_models --seeds 0 1 2 3 4 5

Every finished row is kept: a run that was cut goes on, and several programs started side by side share the
rows out among themselves. The last one puts the table together.

With one head and short rows the quadratic twin of `vq_attention` is faster on a CPU (at 256 characters
16 ms against 57 for a layer, forward and back), with the same result and gradients to rounding: the gated
units learn by it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from scipy import stats
from torch import Tensor

import kexue_lite.vq_attention.characters as characters
import kexue_lite.vq_attention.language as language
import kexue_lite.vq_attention.mixers as mixers
import kexue_lite.vq_attention.reading as reading
from benchmarks import harness
from benchmarks.language_attention import by_the_twin, quantising
from kexue_lite.data import tinyshakespeare
from kexue_lite.training import Checkpoint
from kexue_lite.vq_attention import (
    LanguageModel,
    LanguageRecipe,
    LanguageSettings,
    TrainedLanguage,
    documentation_text,
    nats_per_character,
    start_from_full,
    train_language,
    write,
)
from kexue_lite.vq_attention.reading import new_model

# Not the attention itself: it may become faster, and its tests hold it to its quadratic twin.
CODE = (characters, language, mixers, reading)
STAMP = harness.fingerprint(CODE)  # once: files may be edited while a run is at work
ROWS = harness.RESULTS / ".language_models"  # what a killed run is taken up from
SHAKESPEARE, DOCUMENTATION = "Shakespeare", "documentation"
TEXTS: dict[str, Callable[[], tuple[str, str]]] = {
    DOCUMENTATION: documentation_text,
    SHAKESPEARE: tinyshakespeare,
}
KINDS = ("full", "vq", "window")
RECIPE = LanguageRecipe()
FINE = dataclasses.replace(RECIPE, steps=50, rate=1e-3)
SHAPES = {
    "gated": LanguageSettings(),
    "multi-head": LanguageSettings(mixer="multi-head", width=72, heads=4, key_width=18),
}
CODES = (8, 16, 32, 64, 128)
STARTS = (4, 16, 64, 256)
PARTS = (16, 64)
FEW = 3  # seeds of all tables but the first
OPENING = 8  # steps
Task = tuple[str, str, str, str, bool, int, int]  # table, text, mixer, kind, bias, codes, seed


def tasks(seeds: Sequence[int]) -> list[Task]:
    """All rows that have to be made, the most important first: the tables beside `rows` with fewer seeds."""
    few = seeds[:FEW]
    usual = SHAPES["gated"].codes
    main = [
        ("rows", text, "gated", kind, True, usual, seed)
        for seed, text, kind in itertools.product(seeds, TEXTS, KINDS)
    ]
    starts = [("starts", SHAKESPEARE, "gated", "start", True, S, seed) for seed in few for S in STARTS]
    parts = [("parts", SHAKESPEARE, "gated", "start", True, S, seed) for seed in few for S in PARTS]
    codes = [
        ("codes", SHAKESPEARE, mixer, "vq", True, S, seeds[0])
        for mixer, S in itertools.product(SHAPES, CODES)
        if (mixer, S) != ("gated", usual)  # that is one of the rows
    ]
    unbiased = [
        ("unbiased", SHAKESPEARE, "gated", kind, False, usual, seed)
        for seed, kind in itertools.product(few, KINDS)
    ]
    heads = [
        ("heads", SHAKESPEARE, "multi-head", kind, True, usual, seed)
        for seed, kind in itertools.product(few, KINDS)
        if (kind, seed) != ("vq", seeds[0])  # that is one of the codes
    ]
    return [*main, *starts, *parts, *unbiased, *codes, *heads]


@functools.cache
def text_of(name: str) -> tuple[str, str]:
    """To train on, and to validate."""
    return TEXTS[name]()


def settings_of(mixer: str, kind: str, bias: bool, codes: int) -> LanguageSettings:
    """The contender's shape."""
    return dataclasses.replace(SHAPES[mixer], attention=kind, bias=bias, codes=codes)


def contend(
    text: str,
    settings: LanguageSettings,
    seed: int,
    *,
    recipe: LanguageRecipe = RECIPE,
    keep: Path | None = None,
) -> TrainedLanguage:
    """Train one contender; with `keep`, a file, a run that was killed is taken up from there."""
    checkpoint = None if keep is None else Checkpoint(keep, every=100)
    return train_language(text, settings=settings, recipe=recipe, seed=seed, checkpoint=checkpoint)


def opening(trained: TrainedLanguage) -> float:
    """Mean loss of the first `OPENING` steps: what a test compares when it runs a seed again, cheaply."""
    return statistics.fmean(record["loss"] for record in trained.run.records[:OPENING])


def opening_again(text: str, settings: LanguageSettings, seed: int) -> float:
    """The same, of a training that is broken off there: rate and rows are those of the whole run."""

    class Enough(Exception):
        pass

    losses: list[float] = []

    class Counted(LanguageModel):
        def loss(self, ids: Tensor, following: Tensor) -> Tensor:
            if len(losses) == OPENING:
                raise Enough
            rows = super().loss(ids, following)
            losses.append(float(rows.detach().mean()))
            return rows

    model = new_model(text, settings, seed=seed)
    model.__class__ = Counted
    with contextlib.suppress(Enough):
        train_language(text, settings=model, recipe=RECIPE, seed=seed)
    return statistics.fmean(losses)


def make(task: Task, *, recipe: LanguageRecipe = RECIPE, fine: LanguageRecipe = FINE) -> dict[str, Any]:
    """One row: train (or start from the full model that was trained), and score."""
    table, name, mixer, kind, bias, codes, seed = task
    train, validation = text_of(name)
    begin = time.process_time()
    row: dict[str, Any] = {"text": name, "mixer": mixer, "attention": kind, "bias": bias, "seed": seed}
    if table in ("starts", "parts"):
        full = contend(
            train,
            settings_of(mixer, "full", bias, SHAPES[mixer].codes),
            seed,
            recipe=recipe,
            keep=checkpoint_of(("rows", name, mixer, "full", bias, SHAPES[mixer].codes, seed)),
        )
        model = start_from_full(full.model, train, codes=codes, context=recipe.context)
        row |= {"codes": codes, "started": score(model, validation, recipe)}
        if table == "parts":
            for part in ("near", "far", "neither"):
                with quantising(part):
                    row |= {part: score(model, validation, recipe)}
            return row
        train_language(train, settings=model, recipe=fine, seed=seed + 1000)
        row |= {"trained_on": score(model, validation, recipe)}
    else:
        keep = checkpoint_of(task)
        trained = contend(train, settings_of(mixer, kind, bias, codes), seed, recipe=recipe, keep=keep)
        row |= {"codes": codes if kind == "vq" else None, "nats": score(trained.model, validation, recipe)}
        row |= {"opening_loss": round(opening(trained), 5)}
        row |= {"weights": sum(weight.numel() for weight in trained.model.parameters())}
        if kind == "vq":
            generator = torch.Generator().manual_seed(1000 + seed)
            row |= {"written": write(trained.model, "\n", 300, temperature=0.7, generator=generator)}
        if kind != "full":
            keep.unlink(missing_ok=True)  # nothing starts from it
    return row | {"processor_seconds": round(time.process_time() - begin, 1)}


def score(model: LanguageModel, validation: str, recipe: LanguageRecipe) -> float:
    """Nats per character of the whole validation part."""
    return round(nats_per_character(model, validation, context=recipe.context), 5)


def place_of(task: Task) -> Path:
    """The file of a row."""
    name = "-".join(str(part).replace(" ", "_") for part in task)
    return ROWS / f"{STAMP}-{name}.json"


def checkpoint_of(task: Task) -> Path:
    """The file of a training."""
    return place_of(task).with_suffix(".pt")


def work_on(seeds: Sequence[int]) -> None:
    """Make the rows that nobody has made or is making."""
    ROWS.mkdir(parents=True, exist_ok=True)
    for task in tasks(seeds):
        place = place_of(task)
        try:
            with FileLock(f"{place}.lock", timeout=0):
                if not place.exists():
                    with by_the_twin(task[2]):
                        row = make(task)
                    partial = place.with_suffix(".part")
                    partial.write_text(json.dumps(row), encoding="utf-8")
                    partial.replace(place)
                    print(row, flush=True)
        except Timeout:
            continue


def collected(seeds: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table, empty if one of its rows is missing still."""
    found: dict[str, list[dict[str, Any]]] = {task[0]: [] for task in tasks(seeds)}
    missing = {task[0] for task in tasks(seeds) if not place_of(task).exists()}
    if "codes" in missing:
        missing.add("heads")  # one of its rows is there
    for task in tasks(seeds):
        if task[0] not in missing:
            found[task[0]].append(json.loads(place_of(task).read_text(encoding="utf-8")))
    usual = {"text": SHAKESPEARE, "mixer": "gated", "attention": "vq", "seed": seeds[0]}
    if found["codes"]:
        found["codes"] += [row for row in found["rows"] if usual.items() <= row.items()]
        found["codes"].sort(key=lambda row: (row["mixer"], row["codes"]))
    usual |= {"mixer": "multi-head", "codes": SHAPES["multi-head"].codes}
    if found["heads"]:
        found["heads"] += [row for row in found["codes"] if usual.items() <= row.items()]
    return found


def summary(tables: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Mean, smallest and largest score of each contender over its seeds."""
    lines = []
    rows = [*tables["rows"], *tables["unbiased"], *tables["heads"]]
    names = ("text", "mixer", "attention", "bias")
    for key in dict.fromkeys(tuple(row[name] for name in names) for row in rows):
        nats = [row["nats"] for row in rows if tuple(row[name] for name in names) == key]
        lines.append(
            dict(zip(names, key, strict=True))
            | {
                "seeds": len(nats),
                "mean": round(statistics.fmean(nats), 4),
                "low": round(min(nats), 4),
                "high": round(max(nats), 4),
            }
        )
    return lines


def difference(
    rows: Sequence[dict[str, Any]], one: dict[str, Any], other: dict[str, Any], *, by: str = "nats"
) -> dict[str, Any]:
    """`one` less `other`, paired by seed: mean and the 95 % interval of the mean.

    Examples
    --------
    >>> rows = [{"kind": k, "seed": s, "nats": s + d} for k, d in (("a", 0.5), ("b", 0)) for s in (0, 1)]
    >>> difference(rows, {"kind": "a"}, {"kind": "b"})
    {'seeds': 2, 'mean': 0.5, 'low': 0.5, 'high': 0.5}
    """
    first, second = (
        {row["seed"]: row[by] for row in rows if which.items() <= row.items()} for which in (one, other)
    )
    if first.keys() != second.keys() or len(first) < 2:
        raise ValueError(f"both must have the same seeds, two or more; got {list(first)} and {list(second)}")
    apart = [first[seed] - second[seed] for seed in first]
    mean = statistics.fmean(apart)
    half = float(stats.t.ppf(0.975, len(apart) - 1)) * statistics.stdev(apart) / len(apart) ** 0.5
    return {
        "seeds": len(apart),
        "mean": round(mean, 4),
        "low": round(mean - half, 4),
        "high": round(mean + half, 4),
    }


def differences(tables: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What is claimed of the kinds, as paired differences; positive: the first is worse."""
    lines = []
    for table, text in (
        *(("rows", text) for text in TEXTS),
        ("unbiased", SHAKESPEARE),
        ("heads", SHAKESPEARE),
    ):
        if not tables[table]:
            continue
        for one, other in (("vq", "full"), ("window", "vq"), ("window", "full")):
            found = difference(
                tables[table], {"text": text, "attention": one}, {"text": text, "attention": other}
            )
            lines.append({"table": table, "text": text, "difference": f"{one} less {other}"} | found)
    seeds = {row["seed"] for row in tables["unbiased"]}
    both = [row for row in (*tables["rows"], *tables["unbiased"]) if row["text"] == SHAKESPEARE]
    both = [row for row in both if row["seed"] in seeds]
    for kind in KINDS if tables["unbiased"] else ():
        found = difference(both, {"attention": kind, "bias": False}, {"attention": kind, "bias": True})
        name = f"{kind} without bias less with it"
        lines.append({"table": "unbiased", "text": SHAKESPEARE, "difference": name} | found)
    return lines


def result_of(tables: dict[str, list[dict[str, Any]]], seeds: Sequence[int]) -> dict[str, Any]:
    """What is stored."""
    parts = {name: text_of(name) for name in TEXTS}
    return {
        "title": "Language models with full, quantised and windowed attention",
        "question": "Nats per character of text that was not seen, at the same budget: what do the codes "
        "cost against full attention, and what do they bring over the window alone?",
        "summary": summary(tables),
        "differences": differences(tables),
        **tables,
        "not_run": [name for name, rows in tables.items() if not rows],
        "lengths": {
            name: {"train": len(train), "validation": len(rest)} for name, (train, rest) in parts.items()
        },
        "settings": {name: dataclasses.asdict(settings) for name, settings in SHAPES.items()},
        "recipe": dataclasses.asdict(RECIPE),
        "fine_recipe": dataclasses.asdict(FINE),
        "threads": 1,
        "seeds": list(seeds),
        "command": "python -m benchmarks.language_models --seeds " + " ".join(map(str, seeds)),
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(6)))
    parser.add_argument("--collect", action="store_true", help="only put together what is finished")
    options = parser.parse_args(arguments)
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scikit-learn"))
    torch.set_num_threads(1)
    if not options.collect:
        work_on(options.seeds)
    tables = collected(options.seeds)
    if not tables["rows"]:
        print("another program is at work on the first rows")
        return
    result = result_of(tables, options.seeds) | about
    print(harness.markdown(result["summary"]))
    print(harness.markdown(result["differences"]))
    print("stored in", harness.store("language_models", result).name)


if __name__ == "__main__":
    main()
