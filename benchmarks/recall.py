"""Pairs planted in streams of up to 65,536 tokens, asked for at the end (chapter 8).

Everything is trained on streams of 256 tokens, with 32 pairs in them, and asked on longer ones. The tables:

- rows: right answers against length, over the seeds: attention to codes; the same with queries that are not
  multiplied by log i; the same trained without any pair inside the window, and that with all keys near while
  it learns; window alone; full attention, and that, too, trained without any pair in the window;
- capacity: right answers of 32 names at 4,096 tokens, with S codes, and how many different codes their keys
  have for each name: the ceiling;
- votes: a name that was planted with two values;
- cost: one attention of the model's own size, one thread; the bytes of scores are those of all queries
  against all that they meet, if they were kept;
- decoding: a prompt read in, then the questions token by token with the state of fixed size.

    python -m benchmarks.recall --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import kexue_lite.vq_attention.recall as task_module
import kexue_lite.vq_attention.recall_model as model_module
from benchmarks import harness
from kexue_lite.vq_attention import (
    RecallModel,
    RecallRecipe,
    RecallTask,
    memory_bytes,
    recall_score,
    train_recall,
    vq_attention,
)

CODE = (task_module, model_module)  # attention itself is held by its own tests of equality
LENGTHS = (256, 1024, 4096, 16384, 65536)
CODES = "codes"
WINDOW = 2 * RecallRecipe().block_size
CONTENDERS: dict[str, dict[str, Any]] = {
    CODES: {},
    "codes, queries not scaled": {"log_scale": False},
    "codes, trained with no pair in the window": {"gap": WINDOW},
    "codes, the same streams, all keys near while it learns": {"gap": WINDOW, "block_size": 128},
    "window alone": {"attends": "window"},
    "full attention": {"attends": "full"},
    "full attention, trained with no pair in the window": {"attends": "full", "gap": WINDOW},
}
SIZES = (4, 8, 16, 32, 64, 128, 256)
AT = 4096  # tokens, of the tables of capacity and votes
VOTES = ((1, 1), (3, 2), (2, 1))
ASKED = 1 << 17  # tokens of all streams of a length, but at least 4 streams; full attention gets an eighth


def ask(model: RecallModel, T: int) -> dict[str, Any]:
    """Scores on streams of T tokens, the same for every model."""
    full = model.recipe.attends == "full"
    streams = max(ASKED // T // 8, 1) if full else max(ASKED // T, 4)
    stream = model.task.draw(streams, T, generator=torch.Generator().manual_seed(T))
    score = recall_score(model, stream)
    return {
        "tokens": T,
        "right": round(score.right, 4),
        "nats": round(score.nats, 4),
        "weight": round(score.weight, 4),
        "codes_per_name": round(score.codes, 4),
        "questions": stream.asked.numel(),
    }


def lengths(contender: str, model: RecallModel, seed: int) -> list[dict[str, Any]]:
    """One row for each length."""
    return [{"contender": contender, "seed": seed} | ask(model, T) for T in LENGTHS]


def by_votes(model: RecallModel, seed: int) -> list[dict[str, Any]]:
    """Names planted with two values, so many times each: the mean chance given to either."""
    rows = []
    for votes in VOTES:
        stream = model.task.draw(16, AT, votes=votes, generator=torch.Generator().manual_seed(AT))
        with torch.no_grad():
            chances = model(stream.tokens, stream.asked).softmax(-1)
        first = chances.gather(-1, stream.answers[..., None])
        second = chances.gather(-1, stream.rivals)
        rows.append(
            {
                "votes": ":".join(map(str, votes)),
                "seed": seed,
                "first_wins": round((first > second).float().mean().item(), 4),
                "chance_of_first": round(first.mean().item(), 4),
                "chance_of_second": round(second.mean().item(), 4),
            }
        )
    return rows


def decoding(model: RecallModel, T: int, seed: int) -> dict[str, Any]:
    """A stream of T tokens: all but the questions read in, the questions token by token."""
    stream = model.task.draw(1, T, generator=torch.Generator().manual_seed(T))
    Q = stream.asked.shape[1]
    begin = time.perf_counter()
    memory = model.read(stream.tokens[:, : -2 * Q])
    read = time.perf_counter() - begin
    seconds, said = [], []
    for token in stream.tokens[:, -2 * Q :].T:
        begin = time.perf_counter()
        said.append(model.step(token, memory).argmax(-1))
        seconds.append(time.perf_counter() - begin)
    right = (torch.stack(said[1::2], 1) == stream.answers).float().mean().item()
    width = model.recipe.width
    return {
        "tokens": T,
        "seed": seed,
        "right": round(right, 4),
        "seconds_reading": round(read, 3),
        "ms_a_token": round(1000 * statistics.median(seconds), 3),
        "state_bytes": memory_bytes(memory.state),
        "cache_bytes": 4 * T * 2 * width,
    }


def cost(T: int, *, back: bool, full: bool) -> dict[str, Any]:
    """Least seconds of one attention of the model's size, with the way back if `back`."""
    recipe = RecallRecipe()
    generator = torch.Generator().manual_seed(0)
    q, k, v = (x.requires_grad_(back) for x in torch.randn(3, 1, 1, T, recipe.width, generator=generator))
    codebook = torch.randn(1, recipe.codes, recipe.width, generator=generator)

    def run() -> Tensor:
        if full:
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            out = vq_attention(q, k, v, codebook, block_size=recipe.block_size)
        if back:
            torch.autograd.grad(out.sum(), (q, k, v))
        return out

    seconds = []
    for _ in range(1 if full and LENGTHS[-1] == T else 3):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return {
        "tokens": T,
        "attention": "full" if full else CODES,
        "pass": "forward and back" if back else "forward",
        "seconds": round(min(seconds), 4),
        "scores_bytes": 4 * T * T if full else 4 * T * (WINDOW + recipe.codes),
    }


def stored(seeds: list[int]) -> dict[str, Any]:
    """What is stored of the same code and seeds: a contender that is new is trained alone."""
    file = harness.RESULTS / "recall.json"
    old: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    same = (old.get("code"), old.get("seeds")) == (harness.fingerprint(CODE), seeds)
    return old if same else {}


def race(seeds: list[int]) -> dict[str, Any]:
    """All tables."""
    old = stored(seeds)
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scikit-learn"))
    torch.set_num_threads(1)
    task = RecallTask()
    rows, capacity, votes, decoded, training = (
        list(old.get(name, [])) for name in ("rows", "capacity", "votes", "decoding", "training")
    )
    there = {(row["contender"], row["seed"]) for row in rows}

    def trained(contender: str, seed: int, **changes: Any) -> RecallModel:
        found = train_recall(task, RecallRecipe(**changes), seed=seed)
        last = statistics.fmean(record["loss"] for record in found.run.records[-10:])
        seconds = round(found.run.records[-1]["seconds"], 1)
        training.append(
            {"contender": contender, "seed": seed, "last_loss": round(last, 4), "seconds": seconds}
        )
        print(training[-1], flush=True)
        return found.model

    for seed in seeds:
        for contender, changes in CONTENDERS.items():
            if (contender, seed) in there:
                continue
            model = trained(contender, seed, **changes)
            model.recipe = dataclasses.replace(model.recipe, block_size=RecallRecipe().block_size)
            new = lengths(contender, model, seed)
            rows += new
            print(harness.markdown(new), flush=True)
            if contender == CODES:
                votes += by_votes(model, seed)
                decoded += [decoding(model, T, seed) for T in (LENGTHS[1], LENGTHS[-1])]
                known = model
        for S in () if old else SIZES:
            model = known if RecallRecipe().codes == S else trained(f"{S} codes", seed, codes=S)
            capacity.append({"codes": S, "names_per_code": 32 / S, "seed": seed} | ask(model, AT))
            print(capacity[-1], flush=True)
    costs = old.get("cost") or [
        cost(T, back=back, full=full) for T in LENGTHS[1:] for full in (False, True) for back in (False, True)
    ]
    return {
        "title": "Pairs planted in 65,536 tokens",
        "question": "What share of 32 questions at the end of a stream is answered right? Trained on 256 "
        "tokens, from random weights; chance is one in 32.",
        "summary": summary(rows, ("contender", "tokens")),
        "capacity_summary": summary(capacity, ("codes", "names_per_code"), ("right", "codes_per_name")),
        "rows": rows,
        "capacity": capacity,
        "votes": votes,
        "decoding": decoded,
        "cost": costs,
        "training": training,
        "recipe": dataclasses.asdict(RecallRecipe()),
        "threads": 1,
        "seeds": seeds,
        "command": "python -m benchmarks.recall --seeds " + " ".join(map(str, seeds)),
    } | about


def summary(
    rows: list[dict[str, Any]], by: tuple[str, ...], of: tuple[str, ...] = ("right", "weight")
) -> list[dict[str, Any]]:
    """Mean, smallest and largest over the seeds.

    Examples
    --------
    >>> summary([{"a": 1, "right": 0.5}, {"a": 1, "right": 1.0}], ("a",), ("right",))
    [{'a': 1, 'right': 0.75, 'right_low': 0.5, 'right_high': 1.0}]
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    lines = []
    for key, group in groups.items():
        line: dict[str, Any] = dict(zip(by, key, strict=True))
        for name in of:
            values = [row[name] for row in group]
            line[name] = round(statistics.fmean(values), 4)
            line[f"{name}_low"], line[f"{name}_high"] = min(values), max(values)
        lines.append(line)
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    result = race(parser.parse_args(arguments).seeds)
    print(harness.markdown(result["summary"]))
    print("stored in", harness.store("recall", result).name)


if __name__ == "__main__":
    main()
