"""`truncated_svd` against scipy's `svds` (ARPACK): the shifted positive PMI of the documentation corpus.

Both compute the 100 largest singular triples in float64, to the same tolerance.

    python -m benchmarks.svd_race
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import svds

import kexue_lite.embeddings.svd as svd_module
from benchmarks import harness
from kexue_lite.data import documentation_corpus
from kexue_lite.embeddings import cooccurrence, pmi, truncated_svd

CODE = (svd_module,)
RANK, TOLERANCE = 100, 1e-9


def race(repeat: int) -> dict[str, Any]:
    """Times in turns, and how far the two answers are apart."""
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scipy"))
    matrix = pmi(cooccurrence(documentation_corpus().documents, weights="shrinking"), shift=5, positive=True)
    answers: dict[str, Any] = {}

    def ours() -> None:
        answers["ours"] = truncated_svd(matrix, RANK, tolerance=TOLERANCE)

    def scipys() -> None:
        answers["scipy"] = svds(matrix, k=RANK, tol=TOLERANCE, rng=np.random.default_rng(0))

    times = harness.in_turns(ours, scipys, repeat=repeat)
    found = answers["ours"]
    U, s, Vt = answers["scipy"]
    U, s, Vt = U[:, ::-1], s[::-1], Vt[::-1]  # svds gives the smallest first
    apart = abs(found.s.numpy() - s).max() / s[0]
    # ‖A − B‖_F for two factorisations of rank r needs their r × r products alone.
    ours_U, ours_V = (found.U * found.s).numpy(), found.Vt.numpy()
    square = (ours_U**2).sum() + (s**2).sum() - 2 * float(((ours_U.T @ (U * s)) * (ours_V @ Vt.T)).sum())
    rows = [
        {"contender": name, "seconds": harness.Spread.of(seconds).text()}
        for name, seconds in (("truncated_svd", times.ours), ("scipy svds", times.theirs))
    ]
    return {
        "title": "Truncated SVD: block Lanczos, or ARPACK",
        "question": f"How long do the {RANK} largest singular triples of a sparse matrix take, and do the "
        "two agree? Median, smallest and largest of the repetitions.",
        "rows": rows,
        "times_sooner": times.ratio.text(),
        "times_sooner_median": round(times.ratio.median, 2),
        "singular_values_apart": float(f"{apart:.2g}"),
        "reconstructions_apart": float(f"{max(square, 0) ** 0.5 / np.linalg.norm(s):.2g}"),
        "matrix": f"{matrix.shape[0]:,} × {matrix.shape[1]:,} with {matrix.nnz:,} entries",
        "tolerance": TOLERANCE,
        "threads": torch.get_num_threads(),
        "repetitions": repeat,
        "command": "python -m benchmarks.svd_race",
    } | about


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    result = race(parser.parse_args(arguments).repeat)
    print(harness.markdown(result["rows"]), f"\n{result['times_sooner']} times sooner", sep="\n")
    print("stored in", harness.store("svd_race", result).name)


if __name__ == "__main__":
    main()
