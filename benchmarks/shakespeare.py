"""Shakespeare at the size of nanoGPT's own example, for a GPU: the `full` scale of chapter 8.

Six layers of width 384 with six heads of 64 (or twelve gated units, of as many weights), rows of 256
characters, 64 to a batch, 5,000 steps, dropout 0.2: the settings of `config/train_shakespeare_char.py` in
nanoGPT, whose README gives 1.4697 as its best validation loss (github.com/karpathy/nanoGPT, cited, not run).
There the checkpoint is chosen on the validation part itself, on random rows. Here the last twentieth of the
training text is held out to choose it, and the whole validation part is scored once. nanoGPT also drops
attention weights; here none of the contenders does.

    KEXUE_DEVICE=cuda python -m benchmarks.shakespeare --seeds 0 1 2     # make full

A run that was killed is taken up again; seeds and variants may be shared out among several programs.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any, cast

import torch

import kexue_lite.vq_attention.characters as characters
import kexue_lite.vq_attention.language as language
import kexue_lite.vq_attention.mixers as mixers
import kexue_lite.vq_attention.reading as reading
from benchmarks import full_scale, harness
from kexue_lite.data import tinyshakespeare
from kexue_lite.device import device
from kexue_lite.training import Checkpoint, Watch
from kexue_lite.vq_attention import (
    LanguageModel,
    LanguageRecipe,
    LanguageSettings,
    nats_per_character,
    train_language,
    write,
)

CODE = (characters, language, mixers, reading)
PUBLISHED = 1.4697
FULL = LanguageSettings(
    attention="full",
    mixer="multi-head",
    layers=6,
    width=384,
    heads=6,
    key_width=64,
    block_size=16,
    dropout=0.2,
)
VARIANTS = {
    "full": FULL,
    "vq": dataclasses.replace(FULL, attention="vq", codes=128),
    "window": dataclasses.replace(FULL, attention="window"),
    "vq, gated": dataclasses.replace(
        FULL, attention="vq", mixer="gated", layers=12, key_width=128, codes=128
    ),
}
RECIPE = LanguageRecipe(steps=5000, batch_size=64, context=256, rate=1e-3, rise=0.02)
CHOOSE, EVERY = 0.05, 250  # share of the training text that chooses the checkpoint, and how often


def run(
    text: str,
    validation: str,
    *,
    settings: LanguageSettings,
    recipe: LanguageRecipe = RECIPE,
    seed: int = 0,
    every: int = EVERY,
    where: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train on the text but its end, choose the step by its end, score the validation part once; one row."""
    cut = round((1 - CHOOSE) * len(text))
    train, chooser = text[:cut], text[cut:]
    context = recipe.context

    def score(model: torch.nn.Module) -> float:
        return nats_per_character(cast(LanguageModel, model), chooser, context=context, batch_size=64)

    if torch.device(where).type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    begin = time.perf_counter()
    trained = train_language(
        train,
        settings=settings,
        recipe=recipe,
        seed=seed,
        where=where,
        watch=Watch(score, every),
        checkpoint=None if checkpoint is None else Checkpoint(checkpoint, every=every),
        progress=progress,
    )
    seconds = time.perf_counter() - begin
    scores = {record["step"]: record["score"] for record in trained.run.records if "score" in record}
    best = min(scores, key=scores.__getitem__)
    generator = torch.Generator().manual_seed(1000 + seed)
    return {
        "seed": seed,
        "device": str(where),
        "weights": sum(weight.numel() for weight in trained.model.parameters()),
        "nats": round(nats_per_character(trained.model, validation, context=context, batch_size=64), 4),
        "chosen_step": int(best),
        "chosen_by": round(scores[best], 4),
        "last_training_loss": round(statistics.fmean(r["loss"] for r in trained.run.records[-50:]), 4),
        "seconds": round(seconds, 1),
        "gigabytes": round(torch.cuda.max_memory_allocated(where) / 1e9, 2)
        if torch.device(where).type == "cuda"
        else None,
        "written": write(trained.model, "\n", 300, temperature=0.8, generator=generator),
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args(arguments)
    recipe = dataclasses.replace(RECIPE, steps=options.steps)
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scikit-learn"), where=device())
    text, validation = tinyshakespeare()
    rows, pages = [], []
    for name in options.variants:

        def one(seed: int, checkpoint: Path, name: str = name) -> dict[str, Any]:
            settings = VARIANTS[name]
            row = run(
                text,
                validation,
                settings=settings,
                recipe=recipe,
                seed=seed,
                every=min(EVERY, recipe.steps),
                where=device(),
                checkpoint=checkpoint,
                progress=True,
            )
            print(name, {key: value for key, value in row.items() if key != "written"}, flush=True)
            return {"variant": name} | row

        short = name.replace(", ", "-")
        done = full_scale.kept_rows(f"shakespeare-{short}-{recipe.steps}", CODE, options.seeds, one)
        pages += [{"variant": name, "seed": row["seed"], "text": row.pop("written")} for row in done]
        rows += done
    if options.variants != list(VARIANTS):
        print(harness.markdown(rows))
        print("not stored: some variants were left out")
        return
    result = {
        "title": "Shakespeare at nanoGPT's size",
        "question": "Nats per character of the whole validation part, beside the best validation loss that "
        "nanoGPT's README gives (cited, not run here).",
        "rows": rows,
        "summary": summary(rows),
        "published": PUBLISHED,
        "written": pages,
        "settings": {name: dataclasses.asdict(settings) for name, settings in VARIANTS.items()},
        "recipe": dataclasses.asdict(recipe),
        "seeds": options.seeds,
        "command": "python -m benchmarks.shakespeare --seeds " + " ".join(map(str, options.seeds)),
    }
    print(harness.markdown(result["summary"]))
    print("stored in", harness.store("shakespeare", result | about).name)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean, smallest and largest score of each variant, and how far its mean is below the published one."""
    lines = []
    for name in dict.fromkeys(row["variant"] for row in rows):
        nats = [row["nats"] for row in rows if row["variant"] == name]
        line: dict[str, Any] = {"variant": name, "seeds": len(nats), "mean": round(statistics.fmean(nats), 4)}
        line |= {"low": min(nats), "high": max(nats), "below_published": round(PUBLISHED - line["mean"], 4)}
        lines.append(line)
    return lines


if __name__ == "__main__":
    main()
