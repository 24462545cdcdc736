"""What the class key changes in assignment 8: the class's numbers, and the small worked examples.

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
    base = random.choice([2, 3, 4, 5, 6, 10])
    fade = random.choice([0.6, 0.65, 0.7, 0.75, 0.8, 0.85])
    near = random.choice([3, 4, 5])
    scale = random.choice([0.4, 0.6, 0.8, 1.2, 1.4])
    decay = random.choice([0.6, 0.7, 0.8, 0.9])
    return {
        "base": base, "fade": fade, "near": near, "scale": scale, "decay": decay,
        **_clear(lambda: _assign(random)),
        **_masks(near),
        **_clear(lambda: _states(random, fade)),
        **_clear(lambda: _merge(random, base)),
        **_clear(lambda: _key_gradient(random, scale)),
        **_clear(lambda: _move(random, decay)),
        **_clear(lambda: _shortfall(random, base)),
        **_clear(lambda: _law(random, base)),
    }  # fmt: skip


def _clear(draw: Callable[[], dict[str, Any]]) -> dict[str, object]:
    """Draw until no slip gives what is right, or what another slip gives; then as text-ready lists."""
    return {name: plain(np.asarray(value), 6) for name, value in drawn(draw, 0.01).items()}


def _whole(random: random.Random, *shape: int, of: int = 3) -> Array:
    return np.array([random.randint(-of, of) for _ in range(int(np.prod(shape)))]).reshape(shape)


def _assign(random: random.Random) -> dict[str, Array]:
    k, codebook = _whole(random, 6, 2, of=4), np.append(_whole(random, 3, 2, of=4), [[8, -9]], 0)
    weights = np.array(random.choice([[1, 4], [4, 1], [1, 5], [5, 1]]))
    apart = (k[:, None] - codebook) ** 2
    distance = apart @ weights
    for score in (distance, apart.sum(2), (k * weights) @ codebook.T):
        if any(len(set(row)) < 4 for row in score.tolist()):  # no ties in the example: draw again
            return {"assign__a": np.zeros(1), "assign__b": np.zeros(1)}

    def one_hot(score: Array) -> Array:
        return np.eye(4, dtype=int)[score.argmin(1)]

    if one_hot(distance)[:, -1].any():  # no key has the last code, which must have its column all the same
        return {"assign__a": np.zeros(1), "assign__b": np.zeros(1)}
    return {
        "assign_k": k, "assign_codebook": codebook, "assign_weights": weights,
        "assign__right": one_hot(distance),
        "assign__unweighted": one_hot(apart.sum(2)),
        "assign__squared": one_hot(apart @ weights**2),
        "assign__absolute": one_hot(apart**0.5 @ weights),
        "assign__farthest": one_hot(-distance),
        "assign__by_column": (distance == distance.min(0)).astype(int),
        "assign__product": one_hot(-(k * weights) @ codebook.T),
    }  # fmt: skip


def _masks(near: int) -> dict[str, object]:
    """How many keys each query has near and far, in blocks of 2."""
    T, L = 2 * near + 3, 2
    i, j = np.arange(T)[:, None], np.arange(T)

    def counts(window: Array) -> list[int]:
        found: list[int] = window.sum(1).tolist()
        return found

    def blocks(n: int) -> Array:
        return np.asarray((i // L - j // L < n) & (j <= i))

    right, ahead = blocks(near), i // L - j // L < near
    return {
        "masks_T": T,
        "masks_right": counts(right),
        "masks_ahead": counts(ahead),
        "masks_own_block_ahead": counts(ahead & (j // L <= i // L)),
        "masks_more": counts(blocks(near + 1)),
        "masks_fewer": counts(blocks(near - 1)),
        "masks_tokens": counts((i - j < near * L) & (j <= i)),
        "masks_strict": counts(right & (j < i)),
        "masks_far": counts((j <= i) & ~right),
        "masks_far_ahead": counts(~right),
    }


def _states(random: random.Random, fade: float) -> dict[str, Array]:
    """Five tokens in blocks of two, three codes of which the last never comes; the first token has code 0."""
    T, L, S, N = 5, 2, 3, 3
    codes = np.array([0, *(random.randint(0, 1) for _ in range(T - 1))])
    v = _whole(random, T, 1, of=5).astype(float)

    def summed(factor: Callable[[int, int], float], last: Callable[[int], int]) -> tuple[Array, Array]:
        sums, counts = np.zeros((N, S, 1)), np.zeros((N, S))
        for n in range(N):
            for j in range(min(max(last(n), 0), T)):
                sums[n, codes[j]] += factor(n, j) * v[j]
                counts[n, codes[j]] += factor(n, j)
        return sums, counts

    ways = {
        "right": summed(lambda n, j: fade ** (n * L - j), lambda n: n * L),
        "late": summed(lambda n, j: fade ** (n * L - j), lambda n: (n - 1) * L),
        "own": summed(lambda n, j: fade ** ((n + 1) * L - j), lambda n: (n + 1) * L),
        "still": summed(lambda n, j: 1, lambda n: n * L),
        "short": summed(lambda n, j: fade ** (n * L - j - 1), lambda n: n * L),
        "by_block": summed(lambda n, j: fade ** (n - j // L - 1), lambda n: n * L),
        "by_block_once": summed(lambda n, j: fade ** (n - j // L), lambda n: n * L),
    }
    again = [j + 1 < T and (j + 1) // L == j // L and codes[j + 1] == codes[j] for j in range(T)]
    ways["touched"] = summed(
        lambda n, j: fade ** sum(codes[i] == codes[j] for i in range(j, n * L)), lambda n: n * L
    )
    ways["once"] = summed(lambda n, j: 0 if again[j] else fade ** (n * L - j), lambda n: n * L)
    found: dict[str, Array] = {"states_codes": codes, "states_v": v}
    for name, (sums, counts) in ways.items():
        found |= {f"sums__{name}": sums, f"counts__{name}": counts}
    return found


def _merge(random: random.Random, base: int) -> dict[str, Array]:
    """Three parts, two queries, values of width 1."""
    outs = _whole(random, 3, 2, 1, of=6).astype(float)
    lses = _whole(random, 3, 2, of=9) / 10

    def joint(weights: Array) -> Array:
        return np.asarray((weights[..., None] * outs).sum(0) / weights.sum(0)[:, None])

    def log(x: Array) -> Array:
        return np.asarray(np.log(x) / np.log(base))

    powers = float(base) ** lses
    along = powers / powers.sum(1, keepdims=True)
    by_lse = joint(lses) if np.abs(lses.sum(0)).min() > 0.05 else np.full((2, 1), np.nan)  # draw again
    return {
        "merge_outs": outs, "merge_lses": lses,
        "out__right": joint(powers),
        "out__mean": outs.mean(0),
        "out__natural": joint(np.exp(lses)),
        "out__by_lse": by_lse,
        "out__along": (along[..., None] * outs).sum(0),
        "out__numerator": (powers[..., None] * outs).sum(0),
        "lse__right": log(powers.sum(0)),
        "lse__natural": np.log(np.exp(lses).sum(0)),
        "lse__natural_log": np.log(powers.sum(0)),
        "lse__base_of_exp": log(np.exp(lses).sum(0)),
        "lse__sum": lses.sum(0),
        "lse__largest": lses.max(0),
        "lse__not_given_back": log(powers.sum(0)) - lses.max(0),
        "lse__mean": log(powers.mean(0)),
        "lse__unlogged": powers.sum(0),
    }  # fmt: skip


def _key_gradient(random: random.Random, scale: float) -> dict[str, Array]:
    """Four tokens, two codes; near are a token itself and the one before it."""
    T = 4
    q, k, v, pull = (_whole(random, T, d, of=2).astype(float) for d in (2, 2, 1, 1))
    q[q == 0] = 1  # each query shows something in each direction
    codebook = np.array([[2.0, 1.0], [-0.5, 0.0]]) * random.choice([1.0, -1.0])
    distance = ((k[:, None] - codebook) ** 2).sum(2)
    ones = np.ones((T, 1))
    rounded = codebook[distance.argmin(1)]
    past = np.tri(T).astype(bool)
    near = past & ~np.tri(T, k=-2).astype(bool)

    def by_scores(
        keys: Array, seen: Array, scale: float = scale, pull: Array = pull, axis: int = 1
    ) -> tuple[Array, Array]:
        weights = np.where(seen, np.exp(scale * q @ keys.T), 0.0)
        weights /= weights.sum(axis, keepdims=True)
        inner = pull @ v.T
        return weights * (inner - (weights * inner).sum(axis, keepdims=True)), weights * inner

    def gradient(keys: Array, seen: Array, through: Array, scale: float = scale, **other: Any) -> Array:
        return np.asarray(scale * (by_scores(keys, seen, scale, **other)[0] * through).T @ q)

    ways = {
        "right": gradient(rounded, past, near),
        "all_pairs": gradient(rounded, past, past),
        "unrounded": gradient(k, past, near),
        "unrounded_all": gradient(k, past, past),
        "cut": gradient(rounded, near, near),
        "far_only": gradient(rounded, past, past & ~near),
        "ahead": gradient(rounded, np.ones_like(past), near),
        "product": gradient(codebook[(k @ codebook.T).argmax(1)], past, near),
        "unscaled": gradient(rounded, past, near, 1.0),
        "root": gradient(rounded, past, near, 2**-0.5),
        "mean": gradient(rounded, past, near) / T,
        "no_pull": gradient(rounded, past, near, pull=ones),
        "axis": gradient(rounded, past, near, axis=0),
        "transposed": gradient(rounded, past, near.T),
        "queries": scale * by_scores(rounded, past)[0] @ rounded,
        "softmax": scale * (by_scores(rounded, past)[1] * near).T @ q,
        "nothing": np.zeros((T, 2)),
    }
    plain = {"grad_q": q, "grad_k": k, "grad_v": v, "grad_pull": pull, "grad_codebook": codebook}
    return plain | {f"grad__{name}": value for name, value in ways.items()}


def _move(random: random.Random, decay: float) -> dict[str, Array]:
    """Five keys of which one is padding; the third of three codes gets none, the fourth is empty for ever."""
    counts, sums = np.array([2.0, 1.0, 0.5, 0.0]), _whole(random, 4, 2, of=4).astype(float)
    sums[3] = 0
    k = _whole(random, 5, 2, of=4).astype(float)
    codes, keep = np.array([0, 1, 0, 1, 0]), np.array([True, True, True, True, False])
    random.shuffle(order := [0, 1, 2, 3, 4])
    k, codes, keep = k[order], codes[order], keep[order]

    def batch(keep: Array) -> tuple[Array, Array]:
        one_hot = np.eye(4)[codes] * keep[:, None]
        return one_hot.sum(0), one_hot.T @ k

    def means(sums: Array, counts: Array) -> Array:
        return np.asarray(sums / np.where(counts > 0, counts, 1)[:, None])

    n, m = batch(keep)
    n_all, m_all = batch(np.ones(5))
    new = decay * counts + (1 - decay) * n, decay * sums + (1 - decay) * m
    swapped = (1 - decay) * counts + decay * n, (1 - decay) * sums + decay * m
    some = (n > 0)[:, None]
    of_means = decay * means(sums, counts) + (1 - decay) * means(m, n)
    return {
        "move_counts": counts, "move_sums": sums, "move_k": k, "move_codes": codes, "move_keep": keep,
        "n__right": new[0], "n__padding": decay * counts + (1 - decay) * n_all, "n__swapped": swapped[0],
        "n__kept": np.where(n > 0, new[0], counts), "n__batch": n,
        "n__once": decay * counts + (1 - decay) * np.minimum(n, 1), "n__whole": decay * counts + n,
        "m__right": new[1], "m__padding": decay * sums + (1 - decay) * m_all, "m__swapped": swapped[1],
        "m__whole": decay * sums + m, "m__mean": decay * sums + (1 - decay) * means(m, n),
        "m__kept": np.where(some, new[1], sums),
        "c__right": means(new[1], new[0]),
        "c__of_means": of_means,
        "c__of_means_kept": np.where(some, of_means, means(sums, counts)),
        "c__clamped": new[1] / np.maximum(new[0], 1)[:, None],
        "c__old": means(sums, counts),
        "c__sums": new[1],
    }  # fmt: skip


def _shortfall(random: random.Random, base: int) -> dict[str, Array]:
    """A query, five keys in two crowds, and a third code without a key."""
    q, k = _whole(random, 2, of=2) / 2, _whole(random, 5, 2, of=2).astype(float)
    codes = np.array([0, 0, 1, 1, 1])
    random.shuffle(order := [0, 1, 2, 3, 4])
    codes = codes[order]

    def by_code(one: Callable[[Array], float], sharp: float = 1.0) -> Array:
        return np.array([one(sharp * k[codes == s] @ q) for s in (0, 1)] + [0.0])

    def log_mean(scores: Array, base: float = base) -> float:
        top = scores.max()
        return float(top + np.log(np.mean(float(base) ** (scores - top))) / np.log(base))

    right = by_code(lambda x: log_mean(x) - x.mean())
    if right[:2].min() < 0.02:
        right = np.full(3, np.nan)  # a crowd of equal scores shows nothing: draw again
    return {
        "short_q": q, "short_k": k, "short_codes": codes,
        "short__right": right,
        "short__sign": -right,
        "short__sum": by_code(lambda x: log_mean(x) - x.mean() + np.log(len(x)) / np.log(base)),
        "short__natural": by_code(lambda x: log_mean(x, np.e) - x.mean()),
        "short__natural_log": by_code(lambda x: log_mean(x) * np.log(base) - x.mean()),
        "short__mean_of_all": by_code(lambda x: log_mean(x) - float((k @ q).mean())),
        "short__weight": by_code(lambda x: float((float(base) ** x).mean() - float(base) ** x.mean())),
        "short__no_code": by_code(log_mean),
        "short_sharp": by_code(lambda x: log_mean(x) - x.mean(), 1e4),
    }  # fmt: skip


def _law(random: random.Random, base: int) -> dict[str, Array]:
    scores = _whole(random, 4, of=9) / 10
    variance, rate = scores.var(), np.log(base)
    exact = np.log(np.mean(float(base) ** scores)) / rate - scores.mean()
    return {
        "law_scores": scores,
        "law__right": rate * variance / 2,
        "law__whole": rate * variance,
        "law__natural": variance / 2,
        "law__alone": variance,
        "law__square_mean": rate * (scores**2).mean() / 2,
        "law__one_less": rate * scores.var(ddof=1) / 2,
        "law__sum": rate * variance * 2,
        "law__root": rate * scores.std() / 2,
        "law__divided": variance / 2 / rate,
        "law__exact": exact,
    }  # fmt: skip
