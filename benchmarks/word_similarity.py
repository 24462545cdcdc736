"""The usual tests of word vectors, WordSim-353 and Google's analogies, on vectors from manuals.

Both files are downloaded (or come from `KEXUE_DATA_MIRROR`), so chapter 4 does not run them: it shows what
this command stored. Few of their words occur in manuals; the coverage is part of the result.

    python -m benchmarks.word_similarity
"""

from __future__ import annotations

from typing import Any

import numpy as np

import kexue_lite.embeddings.counts as counts_module
import kexue_lite.embeddings.evaluation as evaluation_module
import kexue_lite.embeddings.factorize as factorize_module
import kexue_lite.embeddings.svd as svd_module
from benchmarks import harness
from kexue_lite.data import analogy_questions, documentation_corpus, wordsim353
from kexue_lite.embeddings import WordVectors, cooccurrence, factorize_sgns, inflection_analogies, svd_vectors

CODE = (counts_module, evaluation_module, factorize_module, svd_module)


def measure() -> dict[str, Any]:
    """Vectors from the whole corpus; no option was tuned on these tests."""
    ratings, google = wordsim353(), analogy_questions()
    pairs = cooccurrence(documentation_corpus().documents, window=5, min_count=5, weights="shrinking")
    size = len(pairs.vocabulary)
    tables = {
        "SVD of positive PMI": svd_vectors(pairs, dimensions=100),
        "word2vec, factorised": factorize_sgns(pairs, dimensions=100),
        "random": WordVectors(np.random.default_rng(0).standard_normal((size, 100)), pairs.vocabulary),
    }
    rows = []
    for name, table in tables.items():
        mined = table.evaluate(analogies=inflection_analogies(pairs.vocabulary))
        asked = table.evaluate(analogies=google, similarities=ratings)
        rows.append(
            {
                "vectors": name,
                "WordSim_353_rank_correlation": str(asked.similarities),
                "Google_analogies": str(asked.analogies),
                "inflection_analogies": str(mined.analogies),
            }
        )
    return {
        "title": "The usual tests, on vectors from manuals",
        "question": "What do vectors learned from documentation score on WordSim-353 (Spearman) and on "
        "Google's analogies (share answered exactly)? Intervals of 95 %, and how many questions have all "
        "their words.",
        "rows": rows,
        "vocabulary": size,
        "settings": "d 100, window 5 shrinking, min_count 5, whole corpus, seed 0",
        "command": "python -m benchmarks.word_similarity",
    }


def main() -> None:
    """Measure and store."""
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scipy"))
    result = measure() | about
    print(harness.markdown(result["rows"]))
    print(harness.store("word_similarity", result).name)


if __name__ == "__main__":
    main()
