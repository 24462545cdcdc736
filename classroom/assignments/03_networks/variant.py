"""What the class key changes in assignment 3: the class's constants, and the small worked examples.

The visible checks compare with literals. They are worked out here, the right ones and those of the usual
slips, so that no visible check holds a solution. An example is drawn again until every slip can be told from
what is right.
"""

from __future__ import annotations

import itertools
import math
import random as random_module
from collections.abc import Callable
from functools import partial

import numpy as np

from classroom.variants import Example, apart, clear, texts

Grads = tuple[np.ndarray, np.ndarray, np.ndarray]


def variant(random: random_module.Random) -> dict[str, object]:
    """The numbers of one class.

    >>> import random
    >>> sorted(variant(random.Random(0))) == sorted(variant(random.Random(1)))
    True
    """
    skip = random.choice([0.4, 0.6, 0.75, 1.5])
    leak = random.choice([0.1, 0.2, 0.25, 0.3])
    peak = random.choice([0.2, 0.3, 0.35, 0.4, 0.6, 0.7])
    return {
        "skip": skip, "leak": leak, "peak": peak,
        **clear("between", lambda: _between(random)),
        **_fold(random, skip),
        **_tied(random, leak),
        **clear("corners", lambda: _corners(peak)),
        **clear("shortest", lambda: _shortest(random)),
        **clear("passage", lambda: _passage(random)),
        **_kept(random),
    }  # fmt: skip


def _matrix(random: random_module.Random, rows: int, columns: int, most: int = 2) -> np.ndarray:
    return np.array([[random.randint(-most, most) for _ in range(columns)] for _ in range(rows)], float)


# Units -----------------------------------------------------------------------------------------------


def _between(random: random_module.Random) -> Example:
    votes = [random.randint(1, 4) for _ in range(3)]
    low, high = random.randint(2, 4), random.randint(5, 7)
    while (
        sum(
            low <= sum(itertools.compress(votes, bits)) <= high
            for bits in itertools.product((0, 1), repeat=3)
        )
        < 3
    ):
        votes = [random.randint(1, 4) for _ in range(3)]
    total = np.array(list(itertools.product((0, 1), repeat=3))) @ votes
    ones = np.array(list(itertools.product((0, 1), repeat=3))).sum(1)
    right = (total >= low) & (total <= high)
    slips = {
        "A total of exactly low counts, too.": (total > low) & (total <= high),
        "A total of exactly high counts, too.": (total >= low) & (total < high),
        "Only the lower end is watched.": total >= low,
        "Only the upper end is watched.": total <= high,
        "It fires where it should be silent, and the other way round.": ~right,
        "The last unit asks for one of the two; both have to fire.": np.ones(8),
        "The inputs have different numbers of votes.": (ones >= low) & (ones <= high),
    }
    return (
        {"votes": votes, "low": low, "high": high},
        right.astype(int),
        {text: table.astype(int) for text, table in slips.items()},
    )


# A chain without a curve -----------------------------------------------------------------------------


def _fold(random: random_module.Random, skip: float) -> dict[str, object]:
    while True:
        W = [_matrix(random, 2, 2), _matrix(random, 2, 2), _matrix(random, 2, 2)]
        b = [_matrix(random, 1, 2)[0] for _ in range(3)]
        one = np.eye(2)

        def through(kinds: list[np.ndarray], constants: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
            M, c = np.eye(2), np.zeros(2)
            for K, k in zip(kinds, constants, strict=True):
                M, c = K @ M, K @ c + k
            return M, c

        kinds = [W[0] + skip * one, W[1] + skip * one, W[2]]
        M, c = through(kinds, b)
        M_slips: dict[str, object] = {
            "The part that skips is missing.": W[2] @ W[1] @ W[0],
            "The last layer skips nothing.": (W[2] + skip * one) @ kinds[1] @ kinds[0],
            "The order: the first layer's matrix stands next to x, on the right.": kinds[0]
            @ kinds[1]
            @ kinds[2],
            "SKIP multiplies the vector h, not a matrix full of ones.": through(
                [W[0] + skip, W[1] + skip, W[2]], b
            )[0],
            "SKIP is not added to the matrix once for all: each layer skips.": W[2] @ W[1] @ W[0]
            + skip * one,
        }
        c_slips: dict[str, object] = {
            "The constants of a layer go through all later layers.": b[0] + b[1] + b[2],
            "That is the constant of the last layer alone.": b[2],
            "Constants skip as well: what is in h goes on, whatever it is made of.": through(W, b)[1],
            "A constant does not go through its own layer.": sum(
                (np.linalg.multi_dot([*kinds[:k:-1], kinds[k], b[k]]) if k < 2 else kinds[2] @ b[2])
                for k in range(3)
            ),
        }
        if apart([M, *M_slips.values()], 0.01) and apart([c, *c_slips.values()], 0.01):
            return texts(
                "fold",
                {
                    "W": [part.astype(int) for part in W],
                    "b": [part.astype(int) for part in b],
                    "M": M,
                    "c": c,
                    "M_slips": M_slips,
                    "c_slips": c_slips,
                },
            )


# Slopes with tied weights ----------------------------------------------------------------------------


def _tied_slopes(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    leak: float,
    *,
    below: float = math.nan,
    times: float = 1.0,
    ways: tuple[int, int] = (1, 1),
    bend: bool = True,
) -> Grads:
    below = leak if math.isnan(below) else below
    a = x @ W.T + b
    h = np.where(a > 0, a, leak * a)
    r = (h @ W + c - x) / len(x) * times
    delta = (r @ W.T) * (np.where(a > 0, 1, below) if bend else 1)
    return ways[0] * delta.T @ x + ways[1] * h.T @ r, delta.sum(0), r.sum(0)


def _tied(random: random_module.Random, leak: float) -> dict[str, object]:
    while True:
        N, D, k = 3, 3, 2
        x, W = _matrix(random, N, D), _matrix(random, k, D) / 2
        b, c = _matrix(random, 1, k)[0] / 4, _matrix(random, 1, D)[0] / 4
        a = x @ W.T + b
        if np.abs(a).min() < 0.1 or len(set((a > 0).ravel().tolist())) < 2:
            continue

        slopes = partial(_tied_slopes, x, W, b, c, leak)
        right = slopes()
        every = {
            "That is the sum over the examples; the loss is their mean.": slopes(times=N),
            "The mean is over examples, not over pixels.": slopes(times=1 / D),
            "A factor 2: the loss has one half in front.": slopes(times=2),
            "The sign: the error is what came out less what should.": slopes(times=-1),
            "The slope of the curve is missing.": slopes(bend=False),
            "Below zero the curve has the slope LEAK, not 0.": slopes(below=0.0),
        }
        W_slips: dict[str, object] = {
            "W stands in the decoder, too: one way is missing.": slopes(ways=(1, 0))[0],
            "W stands in the encoder, too: one way is missing.": slopes(ways=(0, 1))[0],
            "The two ways add up; that is their mean.": right[0] / 2,
            **{text: value[0] for text, value in every.items()},
        }
        lists: list[dict[str, object]] = [
            W_slips,
            {text: value[1] for text, value in every.items()},
            {text: every[text][2] for text in list(every)[:4]},
        ]
        if all(apart([one, *dict(slips).values()], 0.01) for one, slips in zip(right, lists, strict=True)):
            names = dict(zip(("dW", "db", "dc"), right, strict=True))
            slips = dict(zip(("dW_slips", "db_slips", "dc_slips"), lists, strict=True))
            return texts("tied", {"x": x, "W": W, "b": b, "c": c, **names, **slips})


# Depth -----------------------------------------------------------------------------------------------


def _corners(peak: float, n: int = 3) -> Example:
    def places(right: Callable[[float], float]) -> list[float]:
        found, last = [peak], [peak]
        for _ in range(n - 1):
            last = [place for y in last for place in (peak * y, right(y))]
            found += last
        return sorted(found)

    exact = places(lambda y: 1 - (1 - peak) * y)
    slips: dict[str, object] = {
        "They are evenly spaced only if PEAK is one half.": [k / 2**n for k in range(1, 2**n)],
        "On its right slope the tent runs downwards: its copy is mirrored.": places(
            lambda y: peak + (1 - peak) * y
        ),
    }
    return {}, exact, slips


# The shortest of many fits ---------------------------------------------------------------------------


def _shortest(random: random_module.Random) -> Example:
    while True:
        Phi, y = _matrix(random, 2, 4), _matrix(random, 1, 2)[0]
        if abs(np.linalg.det(Phi[:, :2])) > 0.5 and np.abs(y).min() > 0:
            break
    prices = np.array([random.choice([1, 4, 9, 16]) for _ in range(4)], float)

    def fit(scale: np.ndarray) -> np.ndarray:
        return np.asarray(scale * (np.linalg.pinv(Phi * scale) @ y))

    first = np.zeros(4)
    first[:2] = np.linalg.pinv(Phi[:, :2]) @ y
    slips: dict[str, object] = {
        "The prices are missing: that is the plain shortest.": fit(np.ones(4)),
        "Upside down: a dear coefficient has to be small.": fit(prices**0.5),
        "A price multiplies a square: its root goes into the column.": fit(1 / prices),
        "Those are the coefficients of the changed columns; change them back.": fit(prices**-0.5)
        * prices**0.5,
        "Of all w that fit it is not the one of least price.": first,
    }
    tall_y = _matrix(random, 1, 4)[0]
    given: dict[str, object] = {"Phi": Phi.astype(int), "y": y.astype(int), "prices": prices.astype(int)}
    given |= {"tall_y": tall_y.astype(int), "tall": np.linalg.lstsq(Phi.T, tall_y, rcond=None)[0]}
    return given, fit(prices**-0.5), slips


# A narrow passage ------------------------------------------------------------------------------------


def _passage(random: random_module.Random) -> Example:
    x = _matrix(random, 4, 3, 4) + np.array([random.randint(1, 3), 0, -1])
    weights = np.array(random.sample([1, 4, 9, 16, 25], 3), float)

    def back(root: np.ndarray, centre: bool = True, least: bool = False, plus: float = 1.0) -> np.ndarray:
        mean = x.mean(0) if centre else np.zeros(3)
        z = (x - mean) * root
        V = np.linalg.svd(z, full_matrices=False)[2]
        V = V[-1:] if least else V[:1]
        return np.asarray((z @ V.T @ V) / root + plus * mean)

    root = weights**0.5
    z = (x - x.mean(0)) * root
    V = np.linalg.svd(z, full_matrices=False)[2][:1]
    V0 = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:1]
    slips: dict[str, object] = {
        "The weights are missing.": back(np.ones(3)),
        "A weight multiplies a square: its root goes into the pixel.": back(weights),
        "Take the mean picture away first.": back(root, centre=False),
        "The mean picture has to be added again.": back(root, plus=0.0),
        "Kept is what varies least.": back(root, least=True),
        "Divide by the roots again at the end.": z @ V.T @ V + x.mean(0),
        "Upside down: a pixel of large weight has to come back well.": back(1 / root),
        "The directions were found in the weighted pixels; use them there.": (x - x.mean(0)) @ V.T @ V
        + x.mean(0),
        "The weights have to be there when the directions are looked for.": (z @ V0.T @ V0) / root
        + x.mean(0),
    }
    return {"x": x.astype(int), "weights": weights.astype(int)}, back(root), slips


# What to keep when there is noise --------------------------------------------------------------------


def _kept(random: random_module.Random) -> dict[str, object]:
    while True:
        varies = np.array([random.choice([1, 2, 3, 4, 5, 6, 8, 9, 12]) for _ in range(5)], float)
        noise = np.array([random.choice([0.5, 1, 2, 4, 8, 16]) for _ in range(5)], float)

        def largest(of: np.ndarray) -> list[int]:
            return sorted(np.argsort(-of)[:2].tolist())

        worth = varies**2 / (varies + noise)
        orders: dict[str, object] = {
            "That is what varies most. Is it worth most, too, if noise is on it?": largest(varies),
            "That is where signal is largest against noise. Does it vary enough to matter?": largest(
                varies / noise
            ),
            "That is where noise is least.": largest(-noise),
            "That is what is lost if it is carried. Compare with what is lost if it is not.": largest(
                -varies * noise / (varies + noise)
            ),
            "The carried number may be made smaller on its way; then it carries less noise.": largest(
                varies - noise
            ),
        }
        kept = largest(worth)
        mask = np.isin(np.arange(5), kept)
        losses: dict[str, object] = {
            "That is without noise: also what is carried arrives with an error.": varies[~mask].sum(),
            "Carried as it is, noise comes through whole. Make the number smaller: by how much?": (
                varies[~mask].sum() + noise[mask].sum()
            ),
            "That is the loss of the kept alone; what is dropped is lost, too.": (
                (varies * noise / (varies + noise))[mask].sum()
            ),
            "That is what is won; asked is what is lost.": worth[mask].sum(),
            "That is the mean over the directions; asked is their sum.": (varies.sum() - worth[mask].sum())
            / 5,
        }
        sets = [tuple(kept), *(tuple(np.asarray(order).tolist()) for order in orders.values())]
        clear = np.abs(np.subtract.outer(worth, worth) + np.eye(5)).min() > 0.05
        if clear and len(set(sets)) >= 5 and sets[0] not in sets[1:]:
            loss = varies.sum() - worth[mask].sum()
            if apart([loss, *losses.values()], 0.01):
                different = {text: order for n, (text, order) in enumerate(orders.items())
                             if sets[n + 1] not in sets[1 : n + 1]}  # fmt: skip
                if len(different) == 5 or list(orders)[3] not in different:
                    return texts(
                        "kept",
                        {
                            "varies": varies,
                            "noise": noise,
                            "right": kept,
                            "loss": loss,
                            "slips": different,
                            "loss_slips": losses,
                        },
                    )
