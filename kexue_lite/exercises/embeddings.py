"""Checkers of chapter 4: counts, PMI, truncated SVD, the loss of negative sampling, vectors of one's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kexue_lite.embeddings import Evaluation, Score, cooccurrence
from kexue_lite.exercises import Mistake, judge


def pmi_of_a_pair(answer: Any) -> bool:
    """Exercise 4.1: shifted PMI for #(w,c) = 8, #(w) = 20, #(c) = 40, |D| = 400, k = 5.

    Examples
    --------
    >>> pmi_of_a_pair(...)
    Exercise 4.1: no answer yet. Replace the three dots.
    False
    >>> pmi_of_a_pair(4.0)
    Exercise 4.1: not yet. That is the ratio of observed to expected: take its logarithm, and mind the shift.
    False
    """
    ratio = 8 * 400 / (20 * 40)
    return judge(
        "4.1",
        answer,
        math.log(ratio / 5),
        tolerance=1e-3,
        mistakes=[
            Mistake(
                ratio,
                "That is the ratio of observed to expected: take its logarithm, and mind the shift.",
            ),
            Mistake(math.log(ratio), "That is the PMI; the shift by log k is missing."),
            Mistake(math.log2(ratio / 5), "The logarithm of this book is the natural one."),
            Mistake(math.log(ratio) - 5, "The shift is log k, not k."),
            Mistake(
                math.log(ratio) + math.log(5), "Noise makes the score smaller: look at the sign of log k."
            ),
            Mistake(math.log(8 / (20 * 40) / 5), "The number of all pairs |D| is missing."),
        ],
        hint="Insert the numbers into (4.9).",
    )


def window_count(answer: Any) -> bool:
    """Exercise 4.2: #(a, c) in "a b c a" with L = 2 and the weights (4.3).

    Examples
    --------
    >>> window_count(2.0)
    Exercise 4.2: not yet. Each neighbour counted 1: distance 2 has less weight than distance 1.
    False
    """
    pairs = cooccurrence([["a", "b", "c", "a"]], window=2, min_count=1, weights="shrinking")
    row, column = (pairs.vocabulary.index(word) for word in "ac")
    target = float(pairs.counts[row, column])
    return judge(
        "4.2",
        answer,
        target,
        tolerance=1e-9,
        mistakes=[
            Mistake(2.0, "Each neighbour counted 1: distance 2 has less weight than distance 1."),
            Mistake(2 * target, "The pair was counted from both sides: #(w, c) has w as the centre only."),
            Mistake(0.5, "There are two places where a stands; you saw the first only."),
            Mistake(1.0, "There are two places where a stands; you saw the second only."),
        ],
        hint="List the distances from each a to the c, then add up their weights.",
    )


def best_rank_one(answer: Any) -> bool:
    """Exercise 4.3: the least ‖M − M E D‖² of a code of one number, M = [[2,1,0],[1,2,1],[0,1,2]].

    Examples
    --------
    >>> best_rank_one(np.sqrt(4 + (2 - np.sqrt(2)) ** 2))
    Exercise 4.3: not yet. The loss (4.4) is the square of the norm.
    False
    """
    s = np.linalg.svd(np.array([[2, 1, 0], [1, 2, 1], [0, 1, 2]], float), compute_uv=False)
    lost = float((s[1:] ** 2).sum())
    return judge(
        "4.3",
        answer,
        lost,
        tolerance=1e-3,
        mistakes=[
            Mistake(math.sqrt(lost), "The loss (4.4) is the square of the norm."),
            Mistake(float(s[1:].sum()), "Square the singular values before you add them up."),
            Mistake(float(s[0] ** 2), "That is what the code keeps; the loss is what it cannot keep."),
            Mistake(float(s[2] ** 2), "That is the loss of a code of two numbers."),
        ],
        hint="Which singular values does a code of one number cut off?",
    )


def floor_of_a_pair(answer: Any) -> bool:
    """Exercise 4.4: the lowest value of −p log σ(x) − q log σ(−x) for p = 6, q = 2.

    Examples
    --------
    >>> floor_of_a_pair(np.log(3))
    Exercise 4.4: not yet. That is the score x at the lowest point; the question is how low the term is there.
    False
    """
    p, q = 6.0, 2.0
    target = -p * math.log(p / (p + q)) - q * math.log(q / (p + q))
    return judge(
        "4.4",
        answer,
        target,
        tolerance=1e-3,
        mistakes=[
            Mistake(
                math.log(p / q),
                "That is the score x at the lowest point; the question is how low the term is there.",
            ),
            Mistake((p + q) * math.log(2), "That is the value at x = 0, where the vectors know nothing."),
            Mistake(target / (p + q), "That is the loss for one pair; the term counts all eight."),
            Mistake(-target, "The logarithms are negative, the loss is not."),
        ],
        hint="At the lowest point σ(x) = p/(p+q). Why?",
    )


def smoothing_gain(answer: Any) -> bool:
    """Exercise 4.5: what the exponent 0.75 does to the score of the rarer of two contexts, counts 16 and 1.

    Examples
    --------
    >>> smoothing_gain(np.log(9 / 17) * -1)
    Exercise 4.5: not yet. The size is right. Rare noise words are drawn more often: does the score rise or
    fall? False
    """
    plain, smooth = 1 / 17, 1 / 9  # 16^0.75 = 8
    target = math.log(plain / smooth)
    return judge(
        "4.5",
        answer,
        target,
        tolerance=1e-3,
        mistakes=[
            Mistake(
                -target,
                "The size is right. Rare noise words are drawn more often: does the score rise or fall?",
            ),
            Mistake(
                plain / smooth, "That is the ratio of the two probabilities; the score has its logarithm."
            ),
            Mistake(math.log(16 / 17 / (8 / 9)), "That is the change of the frequent context."),
        ],
        hint="Only log P(c) in the score changes. Compute P(c) with both exponents.",
    )


def new_words(answer: Any, *, popularity: float) -> bool:
    """Exercise 4.6: a precision among the thousand best guesses that beats 3.15 times popularity's.

    Examples
    --------
    >>> new_words(0.1, popularity=0.08)
    Exercise 4.6: not yet. 0.100 is 1.25 times popularity's 0.080; 3.15 is asked. Which rank did you take?
    False
    """
    if answer is ...:
        return judge("4.6", answer, 0.0, tolerance=0)
    try:
        value = float(answer)
    except (TypeError, ValueError):
        print(f"Exercise 4.6: a number is expected, got {type(answer).__name__}.")
        return False
    if not value <= 1:
        print(f"Exercise 4.6: a share of at most 1 is expected, got {value:g}.")
        return False
    if value < 3.15 * popularity:
        print(
            f"Exercise 4.6: not yet. {value:.3f} is {value / popularity:.2f} times popularity's "
            f"{popularity:.3f}; 3.15 is asked. Which rank did you take?"
        )
        return False
    print("Exercise 4.6: right.")
    return True


def better_vectors(answer: Any, *, baseline: Score) -> bool:
    """Exercise 4.7: an `Evaluation` whose analogy accuracy lies above the baseline's, intervals apart.

    Examples
    --------
    >>> score = Score(0.30, 0.28, 0.32, 1500, 1500)
    >>> better_vectors(Evaluation(Score(0.33, 0.31, 0.35, 1500, 1500), None), baseline=score)
    Exercise 4.7: not yet. Your interval begins at 0.310, below the 0.320 where the baseline's ends.
    False
    >>> better_vectors(Evaluation(Score(0.40, 0.38, 0.42, 1500, 1500), None), baseline=score)
    Exercise 4.7: right.
    True
    """
    if answer is ...:
        return judge("4.7", answer, 0.0, tolerance=0)
    if not isinstance(answer, Evaluation) or answer.analogies is None:
        print("Exercise 4.7: the result of .evaluate() with analogies is expected.")
        return False
    mine = answer.analogies
    if mine.asked != baseline.asked:
        print(f"Exercise 4.7: the same {baseline.asked:,} questions are expected, got {mine.asked:,}.")
        return False
    if mine.low <= baseline.high:
        print(
            f"Exercise 4.7: not yet. Your interval begins at {mine.low:.3f}, below the {baseline.high:.3f} "
            f"where the baseline's ends."
        )
        return False
    print("Exercise 4.7: right.")
    return True
