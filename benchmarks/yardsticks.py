"""SVD or word2vec, by two yardsticks on three splits of the text: word2vec's own loss, and analogies.

For each seed another tenth of the documents is held out and `factorize_sgns` starts elsewhere. All options
are the package's defaults; the one constant below is chosen on the training counts. Differences are paired,
question by question (`WordVectors.compare`).

    python -m benchmarks.yardsticks --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import torch

import kexue_lite.embeddings.counts as counts_module
import kexue_lite.embeddings.evaluation as evaluation_module
import kexue_lite.embeddings.factorize as factorize_module
import kexue_lite.embeddings.svd as svd_module
from benchmarks import harness
from kexue_lite.data import documentation_corpus
from kexue_lite.embeddings import (
    Cooccurrence,
    WordVectors,
    cooccurrence,
    factorize_sgns,
    inflection_analogies,
    pmi,
    sgns_loss,
    svd_vectors,
    truncated_svd,
)

CODE = (counts_module, evaluation_module, factorize_module, svd_module)
DIMENSIONS, NEGATIVES, MIN_COUNT, LEVELS = 100, 5, 40, (0.0, 2.0, 3.0, 4.0)


def scores_by_svd(pairs: Cooccurrence, level: float) -> WordVectors:
    """The SVD of PMI − log k, where pairs never seen count as −`level` (0: what a sparse matrix shows).

    M = S − level · 11ᵀ with S sparse, so one of the dimensions holds the constant and the others S.
    """
    lifted = pmi(pairs, shift=NEGATIVES, exponent=0.75)
    lifted.data += level
    found = truncated_svd(lifted, DIMENSIONS - (level > 0), tolerance=1e-2)
    W, C = (found.U * found.s.sqrt()).numpy(), (found.Vt.T * found.s.sqrt()).numpy()
    if level > 0:
        ones = np.full((len(W), 1), level**0.5)
        W, C = np.hstack([W, ones]), np.hstack([C, -ones])
    return WordVectors(W.astype(np.float32), pairs.vocabulary, contexts=C.astype(np.float32))


def svd_of(matrix: Any, vocabulary: list[str]) -> WordVectors:
    """U √Σ."""
    found = truncated_svd(matrix, DIMENSIONS, tolerance=1e-3)
    return WordVectors((found.U * found.s.sqrt()).numpy(), vocabulary)


def measure(seed: int) -> dict[str, Any]:
    """One row: losses, shares, paired differences."""
    train, held_out = documentation_corpus().split(0.1, seed=seed)
    pairs = cooccurrence(train.documents, window=5, min_count=MIN_COUNT, weights="shrinking")
    unseen = cooccurrence(held_out.documents, window=5, weights="shrinking", vocabulary=pairs.vocabulary)
    words, noise = pairs.vocabulary, pairs.noise(0.75)
    log_counts = pairs.counts.copy()
    log_counts.data = np.log1p(log_counts.data)
    sgns = factorize_sgns(pairs, dimensions=DIMENSIONS, generator=torch.Generator().manual_seed(seed))
    levels = {level: scores_by_svd(pairs, level) for level in LEVELS}
    best = min(LEVELS, key=lambda level: sgns_loss(levels[level], pairs))
    rivals = {
        "positive_PMI": svd_vectors(pairs, dimensions=DIMENSIONS, tolerance=1e-3),
        "log_counts": svd_of(log_counts, list(words)),
        "raw_counts": svd_of(pairs.counts, list(words)),
    }
    questions = inflection_analogies(words)
    row: dict[str, Any] = {
        "seed": seed,
        "vocabulary": len(words),
        "loss_word2vec": round(sgns_loss(sgns, unseen, noise=noise), 3),
        "loss_SVD_zeros_as_0": round(sgns_loss(levels[0.0], unseen, noise=noise), 3),
        "loss_SVD": round(sgns_loss(levels[best], unseen, noise=noise), 3),
        "zeros_as": -best,
        "word2vec": str(sgns.evaluate(analogies=questions).analogies),
    }
    for name, table in rivals.items():
        found = table.compare(sgns, analogies=questions)
        row[f"SVD_of_{name}_less_word2vec"] = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    print(json.dumps(row), flush=True)
    return row


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args(arguments).seeds
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scipy"))
    result = {
        "title": "SVD or word2vec: two yardsticks, three splits",
        "question": "Which vectors lose less by word2vec's measure on unseen text, and which answer more "
        "inflection analogies? Losses are per pair, in nats; differences are shares of questions, paired, "
        "with 95 % intervals.",
        "rows": [measure(seed) for seed in seeds],
        "settings": "d 100, window 5 shrinking, min_count 40, 5 negatives, exponent 0.75, SVD vectors U √Σ; "
        "zeros_as: the score of pairs never seen in the SVD, of 0, −2, −3, −4 the best on training counts",
        "seeds": seeds,
        "command": "python -m benchmarks.yardsticks --seeds " + " ".join(map(str, seeds)),
    }
    print(harness.markdown(result["rows"]))
    print("stored in", harness.store("yardsticks", result | about).name)


if __name__ == "__main__":
    main()
