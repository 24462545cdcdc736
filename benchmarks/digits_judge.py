"""The digit classifier of chapter 3 over five seeds, two splits and MNIST; and the judge.

Five questions for each seed, which draws the split (where it is free), the first weights and the order:

- four fifths of scikit-learn's 1,797 digits to train on, one fifth to test (stratified, 360 pictures);
- half A to train on, half B to test: the fixed halves of chapters 6 and 7;
- the same with pictures that are not distorted, and with these pictures' pixels in another order, one order
  for all of them (drawn with the seed): what the two assumptions of the recipe are worth;
- MNIST's test pictures, 9,000 to train on and 1,000 to test (stratified), if the files can be had.

The recipe was chosen by cross-validation inside half A (four folds, two seeds); half B and MNIST played no
part in it. (The free fifths have pictures of half A among them: the second question is the clean one.)
Seconds are those of training on the threads that are stated;
processor seconds (testing included) are what is left of them on a machine that does nothing else.

    python -m benchmarks.digits_judge --seeds 0 1 2 3 4
    python -m benchmarks.digits_judge --judge          # trains the judge on half A and stores its weights
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

import kexue_lite.networks.digits as digits_module
from benchmarks import harness
from kexue_lite.data import DataUnavailableError, Images, digits, mnist_test
from kexue_lite.networks import Accuracy, accuracy, judge, save_judge, train_digit_classifier
from kexue_lite.networks.judge import WEIGHTS

CODE = (digits_module,)
JUDGE_SEED = 0
MNIST = {"steps": 500, "batch_size": 64}


def split(images: Images, test_size: int | float, seed: int) -> tuple[Images, Images]:
    """Stratified parts to train on and to test on."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(images))
    parts = train_test_split(rows, test_size=test_size, stratify=images.labels, random_state=seed)
    first, second = (Images(images.images[part], images.labels[part]) for part in parts)
    return first, second


def all_digits() -> Images:
    """The 1,797 digits, both halves."""
    A, B = digits()
    return Images(np.concatenate([A.images, B.images]), np.concatenate([A.labels, B.labels]))


def shuffled(images: Images, seed: int) -> Images:
    """The same pictures with their pixels in another order, the same for all pictures of a seed.

    Examples
    --------
    >>> A, _ = digits()
    >>> bool((np.sort(shuffled(A, 0).images, axis=None) == np.sort(A.images, axis=None)).all())
    True
    """
    N, H, W = images.images.shape
    order = np.random.default_rng(seed).permutation(H * W)
    return Images(images.images.reshape(N, -1)[:, order].reshape(N, H, W), images.labels)


def score(train: Images, test: Images, seed: int, **settings: Any) -> tuple[Accuracy, float]:
    """Train on one part, test on the other: accuracy, seconds of training."""
    begin = time.perf_counter()
    model = train_digit_classifier(train.images, train.labels, seed=seed, **settings)
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        logits = torch.cat([model(part) for part in torch.from_numpy(test.images).split(1000)])
    return accuracy(logits, test.labels), seconds


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean of at least two values and the ends of its 95 % interval (Student's t over the seeds)."""
    from scipy.stats import t

    mean, n = statistics.fmean(values), len(values)
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5
    return mean, mean - half, mean + half


def race(seeds: list[int], threads: int) -> dict[str, Any]:
    """All seeds of all questions."""
    about = harness.circumstances(code=CODE, packages=("torch", "numpy", "scipy", "scikit-learn"))
    torch.set_num_threads(threads)
    A, B = digits()
    everything = all_digits()
    try:
        mnist: Images | None = mnist_test()
    except DataUnavailableError:
        mnist = None
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        questions: dict[str, tuple[Images, Images, dict[str, Any]]] = {
            "digits, 80 % / 20 %": (*split(everything, 0.2, seed), {}),
            "digits, half A / half B": (A, B, {}),
            "digits, half A / half B, not distorted": (A, B, {"distort": False}),
            "digits, half A / half B, pixels in another order": (
                shuffled(A, seed),
                shuffled(B, seed),
                {"distort": False},
            ),
        }
        if mnist is not None:
            questions["MNIST-10k, 9,000 / 1,000"] = (*split(mnist, 1000, seed), MNIST)
        for name, (train, test, settings) in questions.items():
            before = time.process_time()
            right, seconds = score(train, test, seed, **settings)
            busy = time.process_time() - before
            row = {"task": name, "seed": seed, "accuracy": round(100 * right.value, 2)}
            row |= {"right": right.right, "asked": right.asked, "seconds": round(seconds, 1)}
            row["processor_seconds"] = round(busy, 1)
            rows.append(row)
            print(row, flush=True)
    summary = []
    for name in dict.fromkeys(row["task"] for row in rows):
        of_task = [row for row in rows if row["task"] == name]
        mean, low, high = interval([row["accuracy"] for row in of_task])
        summary.append(
            {
                "task": name,
                "mean_accuracy": round(mean, 2),
                "low": round(low, 2),
                "high": round(min(high, 100.0), 2),
                "seeds": len(of_task),
                "longest_seconds": max(row["seconds"] for row in of_task),
                "longest_processor_seconds": max(row["processor_seconds"] for row in of_task),
            }
        )
    return {
        "title": "A small convolutional network reads digits",
        "question": "How many unseen digits does the classifier of chapter 3 read correctly (per cent)? The "
        "interval of 95 % is Student's over the seeds, which also draw the split, but for the fixed halves.",
        "rows": rows,
        "summary": summary,
        "judge": judge().hash if WEIGHTS.exists() else None,
        "threads": threads,
        "seeds": seeds,
        "command": "python -m benchmarks.digits_judge --seeds " + " ".join(map(str, seeds)),
    } | about


def make_judge() -> str:
    """Train the judge on half A and store its weights in the package; returns their SHA-256."""
    A, _ = digits()
    model = train_digit_classifier(A.images, A.labels, seed=JUDGE_SEED)
    return save_judge(
        model,
        WEIGHTS,
        trained_on="half A of scikit-learn's digits (898 pictures)",
        command="python -m benchmarks.digits_judge --judge",
    )


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--judge", action="store_true", help="make the judge instead")
    options = parser.parse_args(arguments)
    if options.judge:
        print("the judge's SHA-256:", make_judge())
        return
    result = race(options.seeds, options.threads)
    print(harness.markdown(result["summary"]))
    print("stored in", harness.store("digits_judge", result).name)


if __name__ == "__main__":
    main()
