"""`vq_attention` against torch's own causal attention: 4 heads of 64, 256 codes, forward and back.

    python -m benchmarks.attention_race

Prints the ratios and stores nothing yet.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import harness
from kexue_lite.vq_attention import vq_attention
from kexue_lite.vq_attention.attention import BLOCK

HEADS, WIDTH, CODES = 4, 64, 256
LENGTHS = (1024, 4096, 16384)


def contenders(T: int, block_size: int, back: bool) -> tuple[Callable[[], None], Callable[[], None]]:
    """Functions that attend once over T tokens, with the way back if `back`: ours, torch's.

    Examples
    --------
    >>> for run in contenders(200, 64, True):
    ...     run()
    """
    generator = torch.Generator().manual_seed(0)
    q, k, v, pull = torch.randn(4, 1, HEADS, T, WIDTH, generator=generator)
    codebook = torch.randn(HEADS, CODES, WIDTH, generator=generator)

    def timed(attend: Callable[..., Tensor]) -> Callable[[], None]:
        def run() -> None:
            if not back:
                with torch.no_grad():
                    attend(q, k, v)
                return
            leaves = [x.detach().requires_grad_() for x in (q, k, v)]
            torch.autograd.grad(attend(*leaves), leaves, pull)

        return run

    ours = timed(lambda q, k, v: vq_attention(q, k, v, codebook, block_size=block_size))
    theirs = timed(lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True))
    return ours, theirs


def race(lengths: tuple[int, ...], block_size: int, repeat: int) -> list[dict[str, Any]]:
    """One row for each length and way: milliseconds of both and how many times sooner ours was done.

    Examples
    --------
    >>> [row["pass"] for row in race((64,), 16, 1)]
    ['forward', 'forward and back']
    """
    rows = []
    for T in lengths:
        for back in (False, True):
            # Short runs are repeated more often: they are disturbed more.
            times = harness.in_turns(*contenders(T, block_size, back), repeat=repeat * max(16384 // T, 1))
            ours, theirs = (harness.Spread.of([1000 * s for s in one]) for one in (times.ours, times.theirs))
            rows.append(
                {
                    "tokens": T,
                    "pass": "forward and back" if back else "forward",
                    "vq_attention_ms": ours.text(1),
                    "torch_ms": theirs.text(1),
                    "times_sooner": times.ratio.text(),
                }
            )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--block-size", type=int, default=BLOCK)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    given = parser.parse_args(arguments)
    print(f"{torch.get_num_threads()} threads, blocks of {given.block_size}")
    print(harness.markdown(race(tuple(given.lengths), given.block_size, given.repeat)))


if __name__ == "__main__":
    main()
