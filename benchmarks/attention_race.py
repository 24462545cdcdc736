"""Attention over T tokens: ours, torch's own, and two from the registry, in turns: time, memory, decoding.

4 heads of 64 numbers, batch 1, 256 codes, causal, random keys (what is in them changes no time of ours).
Contenders: `vq_attention`; torch's `scaled_dot_product_attention` (its fused kernel: flash attention where
the device has it); torch's `flex_attention`, compiled (it has no way back on a CPU); the causal linear
attention of `linear-attention-transformer`; Performer's of `performer-pytorch`. The two last are no
requirement of the book and are left out where they are not found:

    pip install --target somewhere --no-deps linear-attention-transformer performer-pytorch local-attention \
        einops axial-positional-embedding product-key-memory linformer colt5-attention hyper-connections \
        torch-einops-utils
    PYTHONPATH=somewhere python -m benchmarks.attention_race

On a GPU the same, with bfloat16 beside float32: ``KEXUE_DEVICE=cuda python -m benchmarks.attention_race
--type bfloat16``.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

import kexue_lite.vq_attention.attention as attention
import kexue_lite.vq_attention.blocks as blocks
import kexue_lite.vq_attention.quantizer as quantizer
import kexue_lite.vq_attention.state as state
from benchmarks import harness
from kexue_lite.device import device
from kexue_lite.vq_attention import VQState, vq_attention

CODE = (attention, blocks, quantizer, state)
HEADS, WIDTH, CODES, BLOCK = 4, 64, 256, attention.BLOCK
OURS, TORCH, FLEX = "vq_attention", "scaled_dot_product_attention", "flex_attention, compiled"
LINEAR, PERFORMER = "linear-attention-transformer", "performer-pytorch, 256 features"
LENGTHS = tuple(1 << n for n in range(8, 17))
# Beyond these they would take minutes (or, Performer, the memory) and show nothing new.
MOST = {
    "forward": {OURS: 1 << 18, TORCH: 1 << 16, FLEX: 1 << 14, LINEAR: 1 << 18, PERFORMER: 1 << 12},
    "forward and back": {OURS: 1 << 18, TORCH: 1 << 15, FLEX: 0, LINEAR: 1 << 18, PERFORMER: 1 << 11},
}
CONTEXTS = (1_000, 10_000, 100_000)
PEAK = """
from benchmarks.attention_race import *
print(peak({name!r}, {T}, {back}))
"""


def contender(name: str) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """Attention of q, k, v ``(1, H, T, D)``, or None if its library is not at hand.

    Examples
    --------
    >>> x = torch.randn(1, HEADS, 20, WIDTH)
    >>> [contender(name)(x, x, x).shape[2] for name in (OURS, TORCH)]
    [20, 20]
    """
    try:
        if name == OURS:
            codebook = torch.randn(HEADS, CODES, WIDTH, generator=torch.Generator().manual_seed(1))
            return lambda q, k, v: vq_attention(q, k, v, codebook.to(q.device), block_size=BLOCK)
        if name == TORCH:
            return lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        if name == FLEX:
            return _flex()
        if name == LINEAR:
            found = importlib.import_module("linear_attention_transformer.linear_attention_transformer")
            return lambda q, k, v: found.causal_linear_attn(q, k, v, bucket_size=64)
        made = importlib.import_module("performer_pytorch").FastAttention(
            dim_heads=WIDTH, nb_features=CODES, causal=True
        )
        return lambda q, k, v: made.to(q.device)(q, k, v)
    except ImportError:
        return None


def _flex() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    compiled = torch.compile(flex_attention)
    masks: dict[int, Any] = {}

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        T = q.shape[2]
        if T not in masks:
            masks[T] = create_block_mask(lambda b, h, i, j: i >= j, None, None, T, T, device=q.device.type)
        found: Tensor = compiled(q, k, v, block_mask=masks[T])
        return found

    return attend


def runner(
    attend: Callable[..., Tensor],
    T: int,
    back: bool,
    where: torch.device,
    kind: torch.dtype,
) -> Callable[[], None]:
    """Attend once over T tokens, with the way back if `back`, and wait until it is done."""
    generator = torch.Generator().manual_seed(0)
    q, k, v, pull = torch.randn(4, 1, HEADS, T, WIDTH, generator=generator).to(where, kind).unbind()

    def run() -> None:
        if back:
            leaves = [x.detach().requires_grad_() for x in (q, k, v)]
            torch.autograd.grad(attend(*leaves), leaves, pull)
        else:
            with torch.no_grad():
                attend(q, k, v)
        if where.type == "cuda":
            torch.cuda.synchronize()

    return run


def rounds(runs: dict[str, Callable[[], None]], *, seconds: float = 1.5) -> dict[str, list[float]]:
    """Milliseconds of one run of each, in turns, for about so many seconds each, but at least three turns.

    Short runs are made together, for 20 ms between two looks at the clock. One or
    two of each at the beginning are not counted; they tell how long it takes.

    Examples
    --------
    >>> found = rounds({"nothing": lambda: None, "a nap": lambda: time.sleep(0.01)}, seconds=0.1)
    >>> len(found["nothing"]) >= 3, min(found["a nap"]) > 9
    (True, True)
    """
    plan = {}
    for name, run in runs.items():
        begin = time.perf_counter()
        run()
        if time.perf_counter() - begin < seconds:
            begin = time.perf_counter()
            run()
        each = max(time.perf_counter() - begin, 1e-6)
        together = max(math.ceil(0.02 / each), 1)
        plan[name] = together, min(max(int(seconds / (each * together)), 3), 31)
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(max(repeat for _, repeat in plan.values())):
        for name, (together, repeat) in plan.items():
            if turn < repeat:
                begin = time.perf_counter()
                for _ in range(together):
                    runs[name]()
                found[name].append(1000 * (time.perf_counter() - begin) / together)
    return found


def race(
    lengths: tuple[int, ...],
    where: torch.device,
    kind: torch.dtype,
    *,
    names: tuple[str, ...] = (OURS, TORCH, FLEX, LINEAR, PERFORMER),
    seconds: float = 1.5,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of times, and rows of how many times sooner ours was done than torch's, pair by pair.

    Examples
    --------
    >>> rows, ratios = race((16,), torch.device("cpu"), torch.float32, names=(OURS, TORCH), seconds=0)
    >>> [row["pass"] for row in ratios]
    ['forward', 'forward and back']
    """
    rows, ratios = [], []
    attends = {name: contender(name) for name in names}
    for way, most in MOST.items():
        for T in tqdm(lengths, desc=way, leave=False):
            runs = {
                name: runner(attend, T, way != "forward", where, kind)
                for name, attend in attends.items()
                if attend and most[name] >= T
            }
            times = rounds(runs, seconds=seconds)
            for name, values in times.items():
                spread = harness.Spread.of(values)
                numbers = {"ms": spread.median, "low": spread.low, "high": spread.high}
                numbers = {key: float(f"{value:.4g}") for key, value in numbers.items()}
                rows.append({"contender": name, "pass": way, "tokens": T} | numbers)
            if TORCH in times:
                spread = harness.Spread.of([b / a for a, b in zip(times[OURS], times[TORCH], strict=False)])
                numbers = {"times_sooner": spread.median, "low": spread.low, "high": spread.high}
                numbers = {key: round(value, 2) for key, value in numbers.items()}
                ratios.append({"pass": way, "tokens": T} | numbers)
    return rows, ratios


def slopes(rows: list[dict[str, Any]], least: int = 4096) -> list[dict[str, Any]]:
    """Of log time against log length, from `least` tokens on: 1 is linear, 2 is quadratic.

    Examples
    --------
    >>> times = [{"contender": "a", "pass": "forward", "tokens": T, "ms": T**2} for T in (4096, 8192)]
    >>> slopes(times)[0]["slope"]
    2.0
    """
    found = []
    for name, way in dict.fromkeys((row["contender"], row["pass"]) for row in rows):
        its = [row for row in rows if (row["contender"], row["pass"]) == (name, way)]
        points = [(math.log(row["tokens"]), math.log(row["ms"])) for row in its if row["tokens"] >= least]
        if len(points) > 1:
            x, y = np.array(points).T
            slope = round(float(np.polyfit(x, y, 1)[0]), 2)
            longest = max(row["tokens"] for row in its)
            found.append({"contender": name, "pass": way, "from": least, "to": longest, "slope": slope})
    return found


def crossover(ratios: list[dict[str, Any]], way: str) -> int | None:
    """From how many tokens on ours is done sooner than torch's: where the ratio is 1, read in logarithms.

    Examples
    --------
    >>> crossover([{"pass": "a", "tokens": T, "times_sooner": T / 1000} for T in (500, 2000)], "a")
    1000
    """
    its = [(row["tokens"], row["times_sooner"]) for row in ratios if row["pass"] == way]
    found = None
    for (T, below), (longer, above) in itertools.pairwise(its):
        if below < 1 <= above:
            part = math.log(1 / below) / math.log(above / below)
            found = round(T * (longer / T) ** part)
    return found


def peak(name: str, T: int, back: bool) -> float:
    """By how many MiB the peak memory of this process grows when it attends once over T tokens."""
    where = device()
    attend = contender(name)
    if attend is None:
        return math.nan
    runner(attend, 256, back, where, torch.float32)()  # what is loaded at the first call is not counted
    run = runner(attend, T, back, where, torch.float32)
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = harness.resident()
    with harness.Peak(every=0.001) as found:
        run()
    return (found.largest - before) / 2**20


def memory(lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    """Peak memory, each in a process of its own."""
    rows = []
    for name in (OURS, TORCH, LINEAR):
        for back in (False, True):
            for T in tqdm(lengths, desc=f"memory of {name}", leave=False):
                code = PEAK.format(name=name, T=T, back=back)
                answer = subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, check=True
                )
                mebibytes = float(answer.stdout.split()[-1])
                if not math.isnan(mebibytes):
                    way = "forward and back" if back else "forward"
                    rows.append({"contender": name, "pass": way, "tokens": T, "MiB": round(mebibytes, 1)})
    return rows


def decoding(contexts: tuple[int, ...], where: torch.device) -> list[dict[str, Any]]:
    """One more token after so many, in turns: with a `VQState`, and with all keys and values kept.

    Examples
    --------
    >>> [row["context"] for row in decoding((10, 20), torch.device("cpu"))]
    [10, 20]
    """
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(HEADS, CODES, WIDTH, generator=generator).to(where)
    states, caches, bytes_of = [], [], []
    for context in contexts:
        k, v = torch.randn(2, 1, HEADS, context, WIDTH, generator=generator).to(where).unbind()
        states.append(VQState(codebook, 1, WIDTH, block_size=BLOCK))
        states[-1].extend(k, v)
        caches.append((k, v))
        kept = (
            x for x in vars(states[-1]).values() if isinstance(x, Tensor) and x is not states[-1].codebook
        )
        bytes_of.append((sum(x.numel() * x.element_size() for x in kept), 2 * k.numel() * k.element_size()))
    q, k, v = torch.randn(3, 1, HEADS, 1, WIDTH, generator=generator).to(where).unbind()

    def one_more(step: Callable[[Any], Any]) -> Callable[[Any], None]:
        def run(memory: Any) -> None:
            with torch.no_grad():
                step(memory)
            if where.type == "cuda":
                torch.cuda.synchronize()

        return run

    ours = one_more(lambda vq: vq.step(q, k, v))
    theirs = one_more(lambda cache: functional.scaled_dot_product_attention(q, *cache))
    # First all of ours, then all of theirs: a walk over 100,000 keys leaves a cold cache behind.
    times = [
        list(rounds({str(n): partial(run, memory) for n, memory in enumerate(memories)}).values())
        for run, memories in ((ours, states), (theirs, caches))
    ]
    found = []
    for context, mine, other, (state_bytes, cache_bytes) in zip(contexts, *times, bytes_of, strict=True):
        found.append(
            {
                "context": context,
                "vq_state_us": round(1000 * statistics.median(mine), 1),
                "over_the_first": round(statistics.median(mine) / statistics.median(times[0][0]), 3),
                "all_keys_us": round(1000 * statistics.median(other), 1),
                "vq_state_KiB": round(state_bytes / 1024),
                "all_keys_KiB": round(cache_bytes / 1024),
            }
        )
    return found


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="for each contender, length and way")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--type", choices=("float32", "bfloat16"), default="float32")
    given = parser.parse_args(arguments)
    where, lengths = device(), tuple(given.lengths)
    about = harness.circumstances(code=CODE, packages=("torch",), where=where)
    rows, ratios = race(lengths, where, getattr(torch, given.type), seconds=given.seconds)
    extra = "" if given.type == "float32" else f" --type {given.type}"
    result: dict[str, Any] = {
        "title": f"Attention over T tokens, {given.type}" + (", on a GPU" if where.type == "cuda" else ""),
        "question": "How long does attention over T tokens take, forward and back? How much memory, how long "
        "for one more token? All in turns; medians, smallest and largest.",
        "ratios": ratios,
        "slopes": slopes(rows),
        "decoding": decoding(CONTEXTS, where),
        "memory": memory(tuple(T for T in lengths if 1 << 13 <= T <= 1 << 15)),
        "rows": rows,
        "crossover": {way: crossover(ratios, way) for way in MOST},
        "setting": {"heads": HEADS, "width": WIDTH, "codes": CODES, "block_size": BLOCK},
        "threads": torch.get_num_threads(),
        "command": f"python -m benchmarks.attention_race --seconds {given.seconds:g}{extra}",
    }
    for name in ("ratios", "slopes", "decoding", "memory"):
        print(harness.markdown(result[name]), end="\n\n")
    suffix = "" if where.type == "cpu" else f"_{where.type}"
    suffix += "" if given.type == "float32" else f"_{given.type}"
    print("stored in", harness.store(f"attention_race{suffix}", result | about).name)


if __name__ == "__main__":
    main()
