"""What the class key changes in assignment 4: the class's numbers, and the small worked examples.

The visible checks compare with literals. They are worked out here, the right ones and those of the usual
slips, so that no visible check holds a solution. The examples are drawn again until every slip can be told
from the right answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from classroom.variants import drawn, plain

Array = np.ndarray[Any, np.dtype[Any]]


def variant(random: random.Random) -> dict[str, object]:
    """The numbers of one class.

    >>> import random
    >>> sorted(variant(random.Random(0))) == sorted(variant(random.Random(1)))
    True
    """
    fade = random.choice([0.6, 0.7, 0.8, 0.9])
    window = random.choice([3, 4])
    left = random.choice([0.25, 0.5, 1.5, 2.5])
    alpha = random.choice([0.4, 0.5, 0.6, 0.7, 0.8])
    k = random.choice([2, 3])
    discount = random.choice([0.5, 2, 3, 4])
    bound = random.choice([2.2, 2.5, 2.8, 3.2])
    return {
        "fade": fade, "window": window, "left": left, "alpha": alpha, "k": k,
        "discount": discount, "bound": bound,
        **_clear(lambda: _bag(random, fade)),
        **_clear(lambda: _count(random, window, left)),
        **_clear(lambda: _associate(random, alpha, k, discount)),
        **_clear(lambda: _rest(random, alpha, k, bound)),
        **_clear(lambda: _gradient(random)),
        **_clear(lambda: _weighted(random)),
        **_clear(lambda: _gain(random, alpha)),
        **_clear(lambda: _limit(random, alpha)),
    }  # fmt: skip


def _clear(draw: Callable[[], dict[str, Any]]) -> dict[str, object]:
    """Draw until no slip gives what is right, or what another slip gives; then as text-ready lists."""
    return {name: plain(np.asarray(value), 10) for name, value in drawn(draw, 0.003).items()}


def _whole(random: random.Random, *shape: int, low: int = -3, high: int = 3) -> Array:
    return np.array([random.randint(low, high) for _ in range(int(np.prod(shape)))]).reshape(shape)


def _bag(random: random.Random, fade: float) -> dict[str, Array]:
    """Six words of a vocabulary of five, of which one occurs three times."""
    words = [0, 2, 2, 2, 4, 1]
    random.shuffle(words)
    V, n = 5, len(words)
    powers = fade ** np.arange(n)

    def summed(weights: Array) -> Array:
        return np.asarray(np.eye(V)[words].T @ weights)

    last = np.zeros(V)
    last[words] = powers
    right = summed(powers)
    return {
        "bag_words": np.array(words),
        "bag__right": right,
        "bag__last": last,
        "bag__plain": summed(np.ones(n)),
        "bag__late": summed(fade * powers),
        "bag__backwards": summed(powers[::-1]),
        "bag__mean": right / n,
        "bag__share": right / powers.sum(),
        "bag__seen": (right > 0).astype(float),
    }  # fmt: skip


def _count(random: random.Random, window: int, left: float) -> dict[str, Array]:
    """Two documents over a vocabulary of four; one place holds a word that is not in it."""
    first = [0, 1, -1, 2, 0, 3, 1]
    middle = first[1:]
    random.shuffle(middle)
    documents = [[0, *middle], [2, 3, 1]]
    V = 4

    def counted(
        documents: list[list[int]],
        window: int = window,
        left: float = left,
        right: float = 1,
        weight: Callable[[int], float] = lambda j: 1 / j,
        wrap: bool = False,
    ) -> Array:
        counts = np.zeros((V, V))
        for words in documents:
            for i, w in enumerate(words):
                for j, c in enumerate(words):
                    if 0 < abs(i - j) <= window and (wrap or min(w, c) >= 0):
                        counts[w, c] += (left if j < i else right) * weight(abs(i - j))
        return counts

    if -1 not in middle[1:-1]:  # neither first nor last
        return {"count__a": np.zeros(1), "count__b": np.zeros(1)}
    return {
        "count_first": np.array(documents[0]), "count_second": np.array(documents[1]),
        "count__right": counted(documents),
        "count__turned": counted(documents).T,
        "count__even": counted(documents, left=1),
        "count__near": counted(documents, weight=lambda j: 1),
        "count__chapter": counted(documents, weight=lambda j: (window - j + 1) / window),
        "count__square": counted(documents, weight=lambda j: 1 / j**2),
        "count__joined": counted([documents[0] + documents[1]]),
        "count__closed": counted([[w for w in words if w >= 0] for words in documents]),
        "count__short": counted(documents, window=window - 1),
        "count__long": counted(documents, window=window + 1),
        "count__wrapped": counted(documents, wrap=True),
        "count__after": counted(documents, left=0),
        "count__first": counted(documents[:1]),
    }  # fmt: skip


def _noise(counts: Array, alpha: float) -> Array:
    powers = counts.sum(0) ** alpha
    return np.asarray(powers / powers.sum())


def _associate(random: random.Random, alpha: float, k: int, discount: float) -> dict[str, Array]:
    """Six words; a table that is heavy in a few places, with zeros, and a word that is no centre."""
    counts = np.maximum(_whole(random, 6, 6, low=-2, high=2), 0)
    for row, column in enumerate(random.sample(range(6), 6)):
        counts[row, column] += random.randint(2, 16)
    counts[random.randrange(6)] = 0
    if (counts.sum(0) == 0).any():
        return {"pmi__a": np.zeros(1), "pmi__b": np.zeros(1)}
    n = counts.astype(float)

    def score(
        expected: Array | None = None,
        shift: float = np.log(k),
        discount: float = discount,
        base: float = np.e,
    ) -> Array:
        chance = n.sum(1, keepdims=True) * _noise(n, alpha) if expected is None else expected
        inside = np.where(n > 0, np.log(np.where(n > 0, n / chance, 1)) / np.log(base) - shift, -np.inf)
        return np.asarray(np.where(n > 0, n / (n + discount) * np.maximum(inside, 0), 0))

    share = n / (n + discount)
    signed = np.where(n > 0, np.log(np.where(n > 0, n / (n.sum(1, keepdims=True) * _noise(n, alpha)), 1)), 0)
    return {
        "pmi_counts": counts,
        "pmi__right": score(),
        "pmi__whole": score(discount=0),
        "pmi__plain": score(n.sum(1, keepdims=True) * _noise(n, 1)),
        "pmi__axes": score(n.sum(0) * _noise(n.T, alpha)[:, None]),
        "pmi__unshared": score(n.sum(1, keepdims=True) * n.sum(0) ** alpha / n.sum()),
        "pmi__unshifted": score(shift=0),
        "pmi__shift_up": score(shift=-np.log(k)),
        "pmi__k": score(shift=float(k)),
        "pmi__bits": score(shift=np.log2(k), base=2),
        "pmi__early": np.where(n > 0, share * (np.maximum(signed, 0) - np.log(k)), 0),
        "pmi__signed": np.where(n > 0, share * (signed - np.log(k)), 0),
    }  # fmt: skip


def _rest(random: random.Random, alpha: float, k: int, bound: float) -> dict[str, Array]:
    """Five words: one that is never a centre, one that has a single context, one that is never a context."""
    counts = _whole(random, 5, 5, low=0, high=9)
    counts[:, 4] = 0
    counts[3] = 0
    counts[2] = [0, 5, 0, 0, 0]
    counts[0, :3] = [random.randint(30, 60), 0, 1]  # both bounds are reached by pairs that do occur
    n = counts.astype(float)
    N, words = n.sum(), n.sum(1, keepdims=True)

    def score(p: Array, q: Array, base: float = np.e) -> Array:
        raw = np.log(np.where(p > 0, p, 1) / np.where(q > 0, q, 1)) / np.log(base)
        raw = np.where(p > 0, np.where(q > 0, raw, np.inf), np.where(q > 0, -np.inf, 0))
        return np.asarray(np.clip(raw, -bound, bound))

    noise, q = _noise(n, alpha), k * _noise(n, alpha) * (words - n)
    return {
        "rest_counts": counts,
        "rest__right": score(n, q),
        "rest__kept": score(n, k * words * noise),
        "rest__plain": score(n, k * (words - n) * _noise(n, 1)),
        "rest__once": score(n, noise * (words - n)),
        "rest__upside": -score(n, q),
        "rest__axes": score(n, k * (n.sum(0) - n) * _noise(n.T, alpha)[:, None]),
        "rest__bits": score(n, q, 2),
        "rest__all": score(n, k * noise * (N - n)),
    }  # fmt: skip


def _gradient(random: random.Random) -> dict[str, Array]:
    """Three words, four contexts, vectors of length two."""
    W, C, b = (_whole(random, *shape, low=-4, high=4) / 4 for shape in ((3, 2), (4, 2), (4,)))
    p, q = _whole(random, 3, 4, low=0, high=6).astype(float), _whole(random, 3, 4, low=1, high=8) / 2

    def sigma(x: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-x)))

    def loss(X: Array, p: Array = p, q: Array = q) -> Array:
        return np.asarray((p * np.logaddexp(0, -X) + q * np.logaddexp(0, X)).sum())

    X, N = W @ C.T + b, p.sum()
    G = (q * sigma(X) - p * sigma(-X)) / N
    swapped = (q * sigma(-X) - p * sigma(X)) / N
    bare = W @ C.T
    G_bare = (q * sigma(bare) - p * sigma(-bare)) / N
    big = 4000 * W @ C.T + b
    return {
        "grad_W": W, "grad_C": C, "grad_b": b, "grad_p": p, "grad_q": q,
        "loss__right": loss(X) / N,
        "loss__total": loss(X),
        "loss__cells": loss(X) / X.size,
        "loss__drawn": loss(X) / (p + q).sum(),
        "loss__bare": loss(bare) / N,
        "loss__sign": -loss(X) / N,
        "loss__swapped": loss(-X) / N,
        "dW__right": G @ C, "dW__sign": -G @ C, "dW__total": N * G @ C, "dW__swapped": swapped @ C,
        "dW__bare": G_bare @ C,
        "dC__right": G.T @ W, "dC__sign": -G.T @ W, "dC__total": N * G.T @ W, "dC__swapped": swapped.T @ W,
        "dC__bare": G_bare.T @ W,
        "db__right": G.sum(0), "db__sign": -G.sum(0), "db__total": N * G.sum(0), "db__mean": G.mean(0),
        "db__swapped": swapped.sum(0), "db__bare": G_bare.sum(0),
        "big_loss": loss(big) / N,
    }  # fmt: skip


def _weighted(random: random.Random) -> dict[str, Array]:
    """A table 4 by 3 at rank 1; one row is heavy, one column light."""
    M = _whole(random, 4, 3, low=-4, high=5).astype(float)
    rows = np.array(random.choice([[9, 1, 4, 1], [1, 16, 1, 4], [4, 1, 1, 9]])).astype(float)
    columns = np.array(random.choice([[1, 4, 0.25], [4, 0.25, 1], [0.25, 1, 4]]))

    def best(A: Array, d: int = 1) -> Array:
        u, s, vt = np.linalg.svd(A, full_matrices=False)
        return np.asarray((u[:, :d] * s[:d]) @ vt[:d])

    def scaled(a: Array, b: Array, d: int = 1) -> Array:
        return np.asarray(best(a[:, None] * M * b, d) / a[:, None] / b)

    def pays(X: Array) -> Array:
        return np.asarray((rows[:, None] * columns * (M - X) ** 2).sum())

    a, b = np.sqrt(rows), np.sqrt(columns)
    right = scaled(a, b)
    inside = np.linalg.svd(a[:, None] * M * b, compute_uv=False)
    return {
        "low_M": M, "low_rows": rows, "low_columns": columns,
        "low__right": right,
        "low__even": best(M),
        "low__not_back": best(a[:, None] * M * b),
        "low__no_root": scaled(rows, columns),
        "low__no_root_back": best(rows[:, None] * M * columns),
        "low__upside": scaled(1 / a, 1 / b),
        "low__more": scaled(a, b, 2),
        "low__less": np.zeros_like(M),
        "low__whole": M,
        "low__rows_alone": scaled(a, np.ones(3)),
        "low__columns_alone": scaled(np.ones(4), b),
        "paid__right": pays(right),
        "paid__even": ((M - right) ** 2).sum(),
        "paid__root": np.sqrt(pays(right)),
        "paid__kept": inside[0] ** 2,
        "paid__singular": inside[1:].sum(),
        "paid__plain_svd": pays(best(M)),
        "paid__floor": (np.linalg.svd(M, compute_uv=False)[1:] ** 2).sum(),
        "paid__mean": pays(right) / M.size,
    }  # fmt: skip


def _terms(p: Array, q: Array) -> Array:
    """The lowest value of each term, 0 log 0 = 0."""
    first = np.where(p > 0, p * np.log(np.where(p > 0, (p + q) / np.where(p > 0, p, 1), 1)), 0)
    second = np.where(q > 0, q * np.log(np.where(q > 0, (p + q) / np.where(q > 0, q, 1), 1)), 0)
    return np.asarray(first + second)


def _gain(random: random.Random, alpha: float) -> dict[str, Array]:
    counts = _whole(random, 3, 3, low=0, high=9)
    counts[:, random.randrange(3)] *= 8
    counts[random.randrange(3), random.randrange(3)] = 0
    if (counts.sum(0) * counts.sum(1) == 0).any():
        return {"gain__a": np.zeros(1), "gain__b": np.zeros(1)}
    n, k = counts.astype(float), 4
    N, words, contexts = n.sum(), n.sum(1, keepdims=True), n.sum(0)

    def gain(noise: Array) -> Array:
        q = k * words * noise
        return np.asarray((_terms(contexts, k * N * noise).sum() - _terms(n, q).sum()) / N)

    noise = _noise(n, alpha)
    q, least = k * words * noise, _terms(n, k * words * noise).sum()
    zeros = (n + q).sum() * np.log(2)
    constant = np.full((3, 3), -np.log(k))
    at_constant = (n * np.logaddexp(0, -constant) + q * np.logaddexp(0, constant)).sum()
    return {
        "gain_counts": counts,
        "gain__right": gain(noise),
        "gain__total": N * gain(noise),
        "gain__sign": -gain(noise),
        "gain__zeros": (zeros - least) / N,
        "gain__constant": (at_constant - least) / N,
        "gain__plain": gain(_noise(n, 1)),
        "gain__least": least / N,
        "gain__start": _terms(contexts, k * N * noise).sum() / N,
        "gain__bits": gain(noise) / np.log(2),
        "gain__no_k": (_terms(contexts, N * noise).sum() - _terms(n, words * noise).sum()) / N,
    }  # fmt: skip


def _limit(random: random.Random, alpha: float) -> dict[str, Array]:
    counts = _whole(random, 3, 4, low=0, high=9)
    counts[:, random.randrange(4)] *= 8
    counts[random.randrange(3), random.randrange(4)] = 0
    if (counts.sum(0) == 0).any() or (counts.sum(1) == 0).any():
        return {"limit__a": np.zeros(1), "limit__b": np.zeros(1)}
    n = counts.astype(float)
    N, words, contexts = n.sum(), n.sum(1, keepdims=True), n.sum(0)
    log = np.where(n > 0, np.log(np.where(n > 0, n * N / (words * contexts), 1)), 0)
    smooth = np.where(n > 0, np.log(np.where(n > 0, n / (words * _noise(n, alpha)), 1)), 0)
    joint = np.where(n > 0, -n / N * np.log(np.where(n > 0, n / N, 1)), 0).sum()
    right = (n * log).sum() / N
    return {
        "limit_counts": counts,
        "limit__right": right,
        "limit__bits": right / np.log(2),
        "limit__total": right * N,
        "limit__sign": -right,
        "limit__even": log[n > 0].mean(),
        "limit__sum": log.sum(),
        "limit__positive": (n * np.maximum(log, 0)).sum() / N,
        "limit__smooth": (n * smooth).sum() / N,
        "limit__entropy": joint,
        "limit__chance": -(words * contexts / N**2 * log).sum(),
    }  # fmt: skip
