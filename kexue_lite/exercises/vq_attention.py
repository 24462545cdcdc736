"""Checkers for the exercises of chapter 8. Each takes the reader's answer and says what is probably wrong
with it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import Mistake, _say, judge
from .functions import called, is_near, numbers_made, told


def exercise_8_1(answer: Any) -> bool:
    """Attention to three keys with score 0.7 and values 1, 2, 6, and one with 0.2 and −1; within 1e-6.

    Examples
    --------
    >>> exercise_8_1((3 * math.exp(0.7) - math.exp(0.2)) / (math.exp(0.7) + math.exp(0.2)))
    Exercise 8.1: not yet. The key that stands for three weighs as much as one: its count is missing.
    False
    """
    a, b = math.exp(0.7), math.exp(0.2)
    return judge(
        "8.1", answer, (9 * a - b) / (3 * a + b), tolerance=1e-6,
        mistakes=[
            Mistake((3 * a - b) / (a + b),
                    "The key that stands for three weighs as much as one: its count is missing."),
            Mistake((27 * a - b) / (3 * a + b), "The weight counts the keys already: a mean is the value."),
            Mistake((9 * a - b) / (a + b), "Above the three count, below they do not."),
            Mistake((3 * a - b) / (3 * a + b), "Below the three count, above they do not."),
            Mistake((3 * a * math.exp(3) - b) / (a * math.exp(3) + b),
                    "The weight is three times as large, not the score larger by three."),
            Mistake((3 * a**3 - b) / (a**3 + b),
                    "The weight is three times as large; here the score is."),
            Mistake(9 * a - b, "That is the numerator: divide by the sum of the weights."),
            Mistake(2.0, "That is the mean of the four values: they have different weights."),
            Mistake((9 * 0.7 - 0.2) / (3 * 0.7 + 0.2), "Weights are the exponentials of the scores."),
        ],
        hint="What weight does a score give, how many keys have it? Then the weighted mean of the values.",
    )  # fmt: skip


def exercise_8_2(answer: Any) -> bool:
    """From which T on full causal attention meets more than 2L + S keys on average, L = 128, S = 256; exact.

    Examples
    --------
    >>> exercise_8_2(513)
    Exercise 8.2: not yet. The query of token 1 meets one key, not T of them: what is the average?
    False
    """
    return judge(
        "8.2", answer, 1024, tolerance=0,
        mistakes=[
            *(Mistake(T, "The query of token 1 meets one key, not T of them: what is the average?")
              for T in (512, 513)),
            Mistake(1023, "There the two are equal; asked is more."),
            Mistake(1025, "A query meets its own key, too: the average of 1, 2, ..., T is not T/2."),
            *(Mistake(T, "Two blocks are met key by key, not one.") for T in (767, 768)),
            *(Mistake(T, "That counts the codes alone, or the window alone.") for T in (256, 257, 511)),
        ],
        hint="The average of 1, 2, ..., T against 2L + S.",
    )  # fmt: skip


def exercise_8_3(answer: Any) -> bool:
    """Batches until a code without keys is dead: decay 0.99, revive 0.01, from the mean on; exact.

    Examples
    --------
    >>> exercise_8_3(458)
    Exercise 8.3: not yet. Not quite: there a little more than a hundredth is left.
    False
    """
    return judge(
        "8.3", answer, 459, tolerance=0,
        mistakes=[
            Mistake(458, "Not quite: there a little more than a hundredth is left."),
            Mistake(460, "One batch too many."),
            *(Mistake(n, "It loses a hundredth of what is left, not of what there was.") for n in (99, 100)),
            Mistake(461, "The logarithm of 0.99 is not quite −0.01."),
            *(Mistake(n, "At the start it has the mean, and so it is far from dead.") for n in (0, 1)),
            *(Mistake(n, "That is its half-life.") for n in (68, 69)),
            *(Mistake(n, "That is with a tenth, not a hundredth, to be left.") for n in (229, 230)),
        ],
        hint="What share of it is left after one batch, after two, after t?",
    )  # fmt: skip


def exercise_8_4(answer: Any) -> bool:
    """Attention to codes: a function ``far(q, codebook, counts, sums)`` that returns ``(out, lse)``; to 1e-9.

    q ``(T, D)``, codebook ``(S, D)``, counts ``(S,)``, sums ``(S, E)``, all float64; out ``(T, E)`` and lse
    ``(T,)``. Scores are q·c/√D; some counts are 0. It is tried on small scores, then on scores near ±1000.

    Examples
    --------
    >>> def far(q, codebook, counts, sums):
    ...     scores = q @ codebook.mT / q.shape[1] ** 0.5
    ...     return scores.softmax(-1) @ sums, scores.logsumexp(-1)
    >>> exercise_8_4(far)
    Exercise 8.4: not yet. out: Each code has its sum as value and weighs one, in the place of mean and count.
    False
    """
    q, C, values, codes = _example(T=30, S=9, empty=2)
    one_hot = functional.one_hot(codes, len(C)).double()
    counts, sums = one_hot.sum(0), one_hot.mT @ values
    for factor in (1.0, 1000.0):
        pair = called("8.4", answer, "far(q, codebook, counts, sums)", factor * q, C, counts, sums)
        if pair is None:
            return False
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            return _say("8.4", "a pair (out, lse) is expected from the function.")
        out, lse = pair
        scores = factor * q @ C.mT / math.sqrt(q.shape[1])
        right = scores[:, codes].softmax(-1) @ values, scores[:, codes].logsumexp(-1)
        if factor == 1:
            wrong_out, wrong_lse = _far_mistakes(q, C, counts, sums)
            if not is_near(out, right[0]):
                hint = "Is it softmax attention to the keys, with every code as often as it occurs?"
                return told("8.4", out, right[0], wrong_out, hint, "out: ")
            if not is_near(lse, right[1]):
                hint = "It is the logarithm of the sum of all exponentials, each code as often as it occurs."
                return told("8.4", lse, right[1], wrong_lse, hint, "lse: ")
        elif not (is_near(out, right[0]) and is_near(lse, right[1], 1e-6)):
            return _say(
                "8.4",
                "not yet. Right for small scores; the exponential of 1000 is infinite: take the largest "
                "score away first, and give it back to lse.",
            )
    print("Exercise 8.4: right.")
    return True


def exercise_8_5(answer: Any) -> bool:
    """From which context on a cache of keys and values is larger than the state; exact.

    4 heads, D = E = 64, L = 128, S = 256; the state has for each head 2L codes, 2L values, S counts, S sums.

    Examples
    --------
    >>> exercise_8_5(260)
    Exercise 8.5: not yet. There the two are equally large; asked is more.
    False
    """
    few = "Codes and counts are numbers, too: one for each near token, one for each code."
    lists = "A token leaves a key and a value in the cache."
    return judge(
        "8.5", answer, 261, tolerance=0,
        mistakes=[
            Mistake(260, "There the two are equally large; asked is more."),
            *(Mistake(T, few) for T in (256, 257, 258, 259)),
            *(Mistake(T, lists) for T in (520, 521)),
            *(Mistake(T, "Four heads have four caches and four states.") for T in (65, 66, 1040, 1041)),
            *(Mistake(T, "Two parts: the window, and the codes of all before it.") for T in (130, 131)),
            *(Mistake(T, "The codebook belongs to the model, not to the memory of a text.")
              for T in (388, 389)),
            *(Mistake(T, "The window holds codes in the place of keys: one number for each token.")
              for T in (386, 387)),
            *(Mistake(T, "That is the size of a state. Of how many tokens are that the keys and values?")
              for T in (33280, 133120)),
        ],
        hint="List what one head keeps: of a token in the window, of a code; then of a token in a cache.",
    )  # fmt: skip


def exercise_8_6(answer: Any) -> bool:
    """How many codes of a grid halve the distance that 16 leave, in a cube of 4 dimensions; exact.

    Examples
    --------
    >>> exercise_8_6(32)
    Exercise 8.6: not yet. So it is on a line; here the grid must become finer in every direction.
    False
    """
    return judge(
        "8.6", answer, 256, tolerance=0,
        mistakes=[
            Mistake(32, "So it is on a line; here the grid must become finer in every direction."),
            Mistake(64, "That halves the squared distance, or the distance in a plane."),
            Mistake(128, "So it is in three dimensions."),
            Mistake(16, "That is the number to begin with, or the factor: codes are asked."),
            Mistake(4096, "That halves the distance twice."),
            Mistake(20, "In each direction twice as many: what is the number of all combinations?"),
        ],
        hint="16 codes are two in each direction. How many in each, and how many in all, for half the mesh?",
    )  # fmt: skip


def exercise_8_7(answer: Any) -> bool:
    """∂o/∂l_near of two merged parts: o = 0.3, l = 2 near and o = 0.9, l = 1 far; within 1e-6.

    Examples
    --------
    >>> exercise_8_7(0)
    Exercise 8.7: not yet. That is what a merge with a constant l gives: the weight depends on l.
    False
    """
    w = 1 / (1 + math.exp(-1))
    return judge(
        "8.7", answer, w * (1 - w) * (0.3 - 0.9), tolerance=1e-6,
        mistakes=[
            Mistake(0.0, "That is what a merge with a constant l gives: the weight depends on l."),
            Mistake(w * (1 - w) * 0.6, "The sign: more weight for the near part draws o to 0.3."),
            Mistake(w * 0.3 + (1 - w) * 0.9, "That is o itself; its derivative is asked."),
            Mistake(w * (1 - w), "That is the derivative of w; what does w multiply in o?"),
            Mistake(w * (1 - w) * 0.3, "1 − w changes, too, and it multiplies 0.9."),
            *(Mistake(x * (0.3 - 0.9), "The derivative of the weight is neither weight, but their product.")
              for x in (w, 1 - w)),
            Mistake(0.3 - 0.9, "That is the derivative by w; how does w change with l?"),
            Mistake(2 / 9 * (0.3 - 0.9), "The weights are exponentials of l, not l."),
            Mistake((1 / 9) * (0.3 - 0.9), "The weights are exponentials of l, not l."),
        ],
        hint="o = w·0.3 + (1 − w)·0.9 with w = σ(l_near − l_far); what is the derivative of σ?",
    )  # fmt: skip


def exercise_8_8(answer: Any) -> bool:
    """Causal attention in linear time: a function ``causal(q, v, codes, codebook)``; to 1e-9.

    q ``(T, D)``, v ``(T, E)``, codes ``(T,)``, codebook ``(S, D)``; the result is ``(T, E)``. Scores are
    q·c/√D; a token sees itself and all before it. Tried are small scores, scores near ±1000, and how many
    numbers are made on the way for twice as many tokens.

    Examples
    --------
    >>> def causal(q, v, codes, codebook):
    ...     return (q @ codebook[codes].mT / q.shape[1] ** 0.5).softmax(-1) @ v
    >>> exercise_8_8(causal)
    Exercise 8.8: not yet. Tokens see what is later: the sums must run.
    False
    """
    takes = "causal(q, v, codes, codebook)"
    for factor in (1.0, 1000.0):
        q, C, v, codes = _example(T=40, S=7)
        q = factor * q
        given = called("8.8", answer, takes, q, v, codes, C)
        if given is None:
            return False
        scores = (q @ C.mT / math.sqrt(q.shape[1]))[:, codes]
        later = torch.ones(len(q), len(q), dtype=torch.bool).triu(1)
        right = scores.masked_fill(later, -math.inf).softmax(-1) @ v
        if is_near(given, right):
            continue
        if factor > 1:
            return _say(
                "8.8",
                "not yet. Right for small scores; the exponential of 1000 is infinite: take the largest "
                "score away first, the largest among codes that have come.",
            )
        hint = "Two running sums, of v and of 1, each in the place of its token's code; then one fraction."
        return told("8.8", given, right, _causal_mistakes(q, v, codes, C), hint)
    try:
        few, many = (_made(answer, T) for T in (300, 600))
    except Exception as error:  # it ran on fewer tokens: something in it counts on their number
        return _say("8.8", f"with more tokens it does not run: {type(error).__name__}: {error}")
    if many > 3 * few:
        return _say(
            "8.8",
            f"not yet. The values are right. But twice as many tokens made {many / few:.1f} times as many "
            "numbers: each token looks back at all before it.",
        )
    print("Exercise 8.8: right.")
    return True


def exercise_8_9(answer: Any) -> bool:
    """The straight-through k̂: a function ``(k, codebook)``; its value and its gradients to 1e-9.

    k ``(T, D)``, codebook ``(S, D)``. The value is the nearest code; k gets the gradient of k̂ as it is, the
    codebook gets none.

    Examples
    --------
    >>> exercise_8_9(lambda k, codebook: codebook[torch.cdist(k, codebook).argmin(1)].detach())
    Exercise 8.9: not yet. The value is right, but no gradient comes back: argmin has none.
    False
    """
    k, C, _, _ = _example(T=30, S=9)
    k.requires_grad_()
    C.requires_grad_()
    given = called("8.9", answer, "(k, codebook)", k, C)
    if given is None:
        return False
    distance = (k[:, None] - C).square().sum(-1).detach()
    near = C[distance.argmin(1)].detach()
    if not is_near(given, near):
        mistakes = {
            "That is k itself: the difference of the two must go into the value, too.": k,
            "Those are the farthest codes.": C[distance.argmax(1)],
            "Those are the codes with the largest product with k; nearest is asked.": C[(k @ C.mT).argmax(1)],
            "That is 2k − k̂: exchange the two in the difference.": 2 * k - near,
            "k was added, and not taken away again.": near + k,
            "k was taken away, and not added.": near - k,
        }
        hint = (
            "For each key the row of the codebook with the smallest distance; the gradient comes after that."
        )
        return told("8.9", given, near, mistakes, hint)
    if not given.requires_grad:
        return _say("8.9", "not yet. The value is right, but no gradient comes back: argmin has none.")
    pull = torch.linspace(1, 2, given.numel(), dtype=torch.float64).view_as(given)
    of_k, of_C = torch.autograd.grad(given, (k, C), pull, allow_unused=True, materialize_grads=True)
    if not of_k.any():
        return _say("8.9", "not yet. The value is right, but all of the gradient goes to the codebook.")
    if not is_near(of_k, pull):
        return _say("8.9", "not yet. The value is right; k must get the gradient of k̂ as it is, and once.")
    if of_C.any():
        return _say("8.9", "not yet. k gets its gradient; but the codebook gets one, too: hold it still.")
    print("Exercise 8.9: right.")
    return True


def _example(T: int, S: int, empty: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q ``(T, 4)``, C ``(S, 4)``, v ``(T, 3)``, codes ``(T,)``, the last `empty` of them never: float64."""
    g = torch.Generator().manual_seed(8)
    q, C, v = (torch.randn(n, d, generator=g, dtype=torch.float64) for n, d in ((T, 4), (S, 4), (T, 3)))
    return q, C, v, torch.randint(S - empty, (T,), generator=g)


def _far_mistakes(
    q: Tensor, C: Tensor, counts: Tensor, sums: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    D, means, some = q.shape[1], sums / counts.clamp(min=1)[:, None], counts > 0
    scores = q @ C.mT / math.sqrt(D)
    biased = scores + counts.log()
    root = "The scores are to be divided by √D."
    half, square = "They are divided by D; √D is asked.", "The scores are multiplied by √D."
    by = {root: q @ C.mT, half: q @ C.mT / D, square: q @ C.mT * math.sqrt(D)}
    out = {
        "Each code has its sum as value and weighs one, in the place of mean and count.": (
            scores.softmax(-1) @ sums
        ),
        "The bias counts the keys already: a code's value is the mean, not the sum.": (
            biased.softmax(-1) @ sums
        ),
        "A code weighs one however many keys it has: where is log n?": (
            scores.masked_fill(~some, -math.inf).softmax(-1) @ means
        ),
        "Codes without a key weigh something; and the counts are missing.": scores.softmax(-1) @ means,
        "Codes without a key weigh as much as those with one.": (
            (scores + counts.clamp(min=1).log()).softmax(-1) @ means
        ),
        "A code without a key has no mean, 0/0, and its weight 0 does not heal that.": (
            biased.softmax(-1) @ (sums / counts[:, None])
        ),
        "The bias is the logarithm of the count, not the count.": (scores + counts).softmax(-1) @ means,
        "That is the numerator; divide by the sum of the weights.": scores.exp() @ sums,
    }
    out |= {words: (s + counts.log()).softmax(-1) @ means for words, s in by.items()}
    lse = {
        "The counts are missing; codes without a key are to have none.": scores.logsumexp(-1),
        "Every code counts once: where is log n?": scores[:, some].logsumexp(-1),
        "Codes without a key count as one.": (scores + counts.clamp(min=1).log()).logsumexp(-1),
        "That is the sum; its logarithm is asked.": biased.logsumexp(-1).exp(),
        "The largest score was taken away and not given back.": (biased.logsumexp(-1) - biased.amax(-1)),
        "The largest score of all was taken away and not given back.": (
            biased.logsumexp(-1) - scores.amax(-1)
        ),
        "That is the logarithm to base 2.": biased.logsumexp(-1) / math.log(2),
    }
    lse |= {words: (s + counts.log()).logsumexp(-1) for words, s in by.items()}
    return out, lse


def _causal_mistakes(q: Tensor, v: Tensor, codes: Tensor, C: Tensor) -> dict[str, Tensor]:
    one_hot = functional.one_hot(codes, len(C)).double()
    each = one_hot[:, :, None] * v[:, None]
    sums, counts = each.cumsum(0), one_hot.cumsum(0)
    weights = (q @ C.mT / math.sqrt(q.shape[1])).exp()

    def fraction(above: Tensor, below: Tensor, weights: Tensor = weights) -> Tensor:
        return (weights[:, :, None] * above).sum(1) / (weights * below).sum(1)[:, None]

    short = fraction(sums - each, counts - one_hot)
    means = sums / counts.clamp(min=1)[:, :, None]
    once = "Each code weighs one, however many keys have it: where is its count?"
    return {
        "The sums stop one token short: a token sees itself, too.": short,
        "The sums stop one token short: a token sees itself, the first nothing else.": short.nan_to_num(0.0),
        "Above the sums hold the token itself, below they do not.": fraction(sums, counts - one_hot),
        "Below the sums hold the token itself, above they do not.": fraction(sums - each, counts),
        "Tokens see what is later: the sums must run.": fraction(sums[-1:], counts[-1:]),
        "Below, a code that has not come weighs nothing, and one that came twice weighs two.": (
            fraction(sums, torch.ones_like(counts))
        ),
        "Above are sums, below are counts: with mean values a code weighs one again.": fraction(
            means, counts
        ),
        once: fraction(means, (counts > 0).double()),
        "The scores are to be divided by √D.": fraction(sums, counts, (q @ C.mT).exp()),
        "The scores are divided by D; √D is asked.": fraction(sums, counts, (q @ C.mT / q.shape[1]).exp()),
        "That is the numerator: divide by the sum of the weights.": (weights[:, :, None] * sums).sum(1),
    }


def _made(answer: Any, T: int) -> int:
    q, C, v, codes = _example(T, S=7)
    return numbers_made(answer, q, v, codes, C)
