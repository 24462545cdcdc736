"""Averaged word vectors against the bag of words: film reviews, hotel reviews, docstrings.

- SST-2: sentences of English film reviews, its own 6,920 to train on and 1,821 to test;
- ChnSentiCorp: Chinese hotel reviews cut into words by jieba, 80 % and 20 %, one fixed split;
- documentation: which library wrote this docstring? Nine tenths and one tenth of the corpus of the installed
  libraries, one fixed split.

The contenders see the same lists of words: `train_averaged_vectors` with the recipe of the task, the plain
mean of single words, and counts with logistic regression (which draws nothing and runs once). The seed draws
first weights and order. Recipes of the reviews were chosen by cross-validation inside the training parts; the
splits are fixed so that no test text is ever one that a recipe was chosen on. Intervals are Wilson's, of 95
%.

    python -m benchmarks.sentiment --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import kexue_lite.networks.sentiment as sentiment_module
import kexue_lite.networks.text as text_module
from benchmarks import harness
from kexue_lite.data import DataUnavailableError, chnsenticorp, documentation_corpus, sst2
from kexue_lite.networks import Accuracy, TextRecipe, accuracy, bag_of_words_baseline, train_averaged_vectors

CODE = (sentiment_module, text_module)
RECIPES = {
    "SST-2": TextRecipe(longest=2, pieces=(3, 5)),
    "ChnSentiCorp": TextRecipe(longest=2, epochs=4, rate=0.01),
    "documentation": TextRecipe(longest=1, epochs=4, batch_size=256, rate=0.01),  # never tuned
}
PLAIN = TextRecipe(
    longest=1,
    once=False,
    weights="equal",
    start="drawn",
    pooling="mean",
    penalty=0.0,
    dimensions=32,
    rate=0.01,
)
Part = tuple[list[list[str]], np.ndarray]  # lists of words, labels


def load(task: str) -> tuple[Part, Part]:
    """The words and labels of a task, to train on and to test on, always the same.

    Raises
    ------
    DataUnavailableError
        If a file has to be downloaded and cannot be.
    """
    if task == "documentation":
        train, test = documentation_corpus().split(0.1, seed=0)
        names = sorted(set(train.libraries))
        parts = [(p.documents, np.array([names.index(n) for n in p.libraries])) for p in (train, test)]
        return parts[0], parts[1]
    if task == "SST-2":
        # The data are cut into words already, with spaces: punctuation and "n't" are words of their own.
        texts = sst2()
        cut: Callable[[str], list[str]] = lambda text: text.lower().split()  # noqa: E731
    else:
        import jieba

        jieba.setLogLevel("ERROR")
        texts = chnsenticorp(seed=0)
        cut = lambda text: [word for word in jieba.lcut(text) if word.strip()]  # noqa: E731
    parts = [([cut(text) for text in part.texts], np.asarray(part.labels)) for part in texts]
    return parts[0], parts[1]


def contend(name: str, task: str, train: Part, test: Part, seed: int) -> tuple[Accuracy, float]:
    """Train one contender, test it once: accuracy, seconds of training."""
    begin = time.perf_counter()
    if name == BASELINE:
        baseline = bag_of_words_baseline(*train)
        seconds = time.perf_counter() - begin
        return accuracy(baseline.predict(test[0]), test[1]), seconds
    recipe = RECIPES[task]
    if name == "plain mean of word vectors":
        recipe = replace(PLAIN, epochs=recipe.epochs, batch_size=recipe.batch_size)
    classifier = train_averaged_vectors(*train, recipe=recipe, seed=seed)
    seconds = time.perf_counter() - begin
    return classifier.accuracy(*test), seconds


BASELINE = "bag of words, logistic regression"
CONTENDERS = ("averaged word vectors", "plain mean of word vectors", BASELINE)


def race(seeds: list[int], threads: int) -> dict[str, Any]:
    """All contenders for all tasks and seeds."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "jieba")
    about = harness.circumstances(code=CODE, packages=packages)
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for task in RECIPES:
        try:
            train, test = load(task)
        except DataUnavailableError as error:
            print(f"{task}: not run ({error})")
            continue
        for name in CONTENDERS:
            for seed in seeds if name != BASELINE else seeds[:1]:
                score, seconds = contend(name, task, train, test, seed)
                row: dict[str, Any] = {"task": task, "contender": name, "seed": seed}
                row |= {"accuracy": round(100 * score.value, 2), "low": round(100 * score.low, 2)}
                row |= {"high": round(100 * score.high, 2), "right": score.right, "asked": score.asked}
                rows.append(row | {"seconds": round(seconds, 1)})
                print(rows[-1], flush=True)
    summary = []
    for task, name in dict.fromkeys((row["task"], row["contender"]) for row in rows):
        mine = [row for row in rows if (row["task"], row["contender"]) == (task, name)]
        mean = Accuracy(round(statistics.fmean(row["right"] for row in mine)), mine[0]["asked"])
        each = [row["accuracy"] for row in mine]
        one = {"task": task, "contender": name, "mean_accuracy": round(statistics.fmean(each), 2)}
        one |= {"low": round(100 * mean.low, 2), "high": round(100 * mean.high, 2)}
        one |= {"worst_seed": min(each), "best_seed": max(each), "seeds": len(mine), "asked": mean.asked}
        summary.append(one | {"longest_seconds": max(row["seconds"] for row in mine)})
    return {
        "title": "Averaged word vectors against the bag of words",
        "question": "How many unseen texts get the right label (per cent)? Intervals of 95 % are Wilson's "
        "for so many test texts, in the summary around the mean of the seeds.",
        "rows": rows,
        "summary": summary,
        "recipes": {task: str(recipe) for task, recipe in RECIPES.items()},
        "threads": threads,
        "seeds": seeds,
        "command": "python -m benchmarks.sentiment --seeds " + " ".join(map(str, seeds)),
    } | about


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    result = race(options.seeds, options.threads)
    print(harness.markdown(result["summary"]))
    print("stored in", harness.store("sentiment", result).name)


if __name__ == "__main__":
    main()
