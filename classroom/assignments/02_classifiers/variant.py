"""What the class key changes in assignment 2: the class's costs and settings, and the small worked examples.

The visible checks compare with literals. They are worked out here, the right ones and those of the usual
slips, so that no visible check holds a solution. An example is drawn again until every slip can be told from
what is right.
"""

from __future__ import annotations

import itertools
import math
import random as random_module
from collections.abc import Callable

import numpy as np

from classroom.variants import Example, clear, text

CURVES = ("squared", "logistic", "exponential", "hinge")


def variant(random: random_module.Random) -> dict[str, object]:
    """The numbers of one class.

    >>> import random
    >>> sorted(variant(random.Random(0))) == sorted(variant(random.Random(1)))
    True
    """
    cost = random.choice([3, 4, 5, 6, 8, 9])
    stretch = random.choice([2, 3, 4, 5])
    margin = random.choice([2, 3, 4])
    offset, degree = random.choice([0.5, 2, 3]), random.choice([2, 3])
    folds, keep = random.choice([3, 4]), random.choice([2, 3])
    return {
        "cost": cost, "stretch": stretch, "margin": margin, "offset": offset, "degree": degree,
        "folds": folds, "keep": keep,
        **clear("ellipse", lambda: _ellipse(random, stretch)),
        **clear("perceptron", lambda: _perceptron(random, margin)),
        **clear("gradient", lambda: _gradient(random, cost)),
        **_best(random, cost),
        **clear("kernel", lambda: _kernel(random, cost, offset, degree)),
        **clear("honest", lambda: _honest(random, folds, keep)),
        **_threshold(random),
    }  # fmt: skip


# Features ---------------------------------------------------------------------------------------------


def _ellipse(random: random_module.Random, stretch: int) -> Example:
    p, q = (random.choice([-1, 1]) * random.choice([2, 3, 4]) for _ in range(2))
    r = random.choice([1.5, 2.5, 3.5])
    rest = r**2 - p**2 - stretch * q**2
    right = np.array([2 * p, 2 * stretch * q, -1, -stretch, rest], float)
    slips = {
        "The sign: inside is positive.": -right,
        "Multiply out: the constant holds parts of the centre, too.": np.r_[right[:4], r**2],
        "Multiply out: the middle term of a square has a factor 2.": right * (0.5, 0.5, 1, 1, 1),
        "STRETCH multiplies all of the second square, its middle term, too.": right / (1, stretch, 1, 1, 1),
        "The middle terms have the wrong sign: −(x − p)² has +2px in it.": right * (-1, -1, 1, 1, 1),
        "The radius goes in squared.": np.r_[right[:4], rest + r - r**2],
    }
    return {"p": p, "q": q, "r": r}, right, dict(slips)


# A procedure ------------------------------------------------------------------------------------------


def _perceptron(random: random_module.Random, margin: int) -> Example:
    N, rounds = 5, 2
    x = np.array([[random.choice([-3, -2, -1, 1, 2, 3]) for _ in range(2)] for _ in range(N)], float)
    y = np.array([random.choice([-1, 1]) for _ in range(N)])

    def walk(needed: float, strict: bool = False, label: bool = True) -> list[np.ndarray]:
        w, path = np.zeros(2), [np.zeros(2)]
        for _ in range(rounds):
            for row, sign in zip(x, y, strict=True):
                m = sign * (row @ w)
                if m < needed or (m == needed and not strict):
                    w = w + (sign if label else 1) * row
                path.append(w)
        return path

    path = walk(margin)
    changed = [after for before, after in itertools.pairwise(path) if (before != after).any()]
    slips = {
        "That is the last w; the mean over all looks is asked.": path[-1],
        "It changes w at wrong answers alone; margins up to MARGIN are too small as well.": np.mean(
            walk(0)[1:], 0
        ),
        "A margin of exactly MARGIN is still too small.": np.mean(walk(margin, strict=True)[1:], 0),
        "Every look counts in the mean, those that change nothing, too.": np.mean(changed or path, 0),
        "Take w after each look into the mean, not before it.": np.mean(path[:-1], 0),
        "The start is not among the looks: leave it out of the mean.": np.mean(path, 0),
        "Add y times the features: the label is missing.": np.mean(walk(margin, label=False)[1:], 0),
        "That is the mean over the last round alone.": np.mean(path[1 + N :], 0),
        "That is the sum over the looks, not their mean.": np.sum(path[1:], 0),
    }
    return {"x": x.astype(int), "y": y}, np.mean(path[1:], 0), dict(slips)


# Slopes with costs ------------------------------------------------------------------------------------


def _gradient(random: random_module.Random, cost: int) -> Example:
    N = 4
    x = np.array([[random.randint(-2, 2) for _ in range(2)] for _ in range(N)], float)
    t = np.array([1, 0, random.choice([0, 1]), random.choice([0, 1])])
    w, b = np.array([random.choice([-1, -0.5, 0.5, 1]) for _ in range(2)]), random.choice([-0.5, 0.5])
    penalty = random.choice([0.4, 0.6, 1.5])
    rows, c = np.c_[x, np.ones(N)], np.where(t == 1, cost, 1)
    s = rows @ np.r_[w, b]
    p = 1 / (1 + np.exp(-s))
    ridge = penalty * np.r_[w, 0.0]
    right = rows.T @ (c * (p - t)) + ridge
    slips = {
        "The costs are missing.": rows.T @ (p - t) + ridge,
        "The cost sits on the wrong class: missed positives are dear.": rows.T @ ((cost + 1 - c) * (p - t))
        + ridge,
        "The sign: prediction minus truth points uphill.": rows.T @ (c * (t - p)) + ridge,
        "That is the mean over the examples; the losses are summed.": rows.T @ (c * (p - t)) / N + ridge,
        "b is not penalised.": right + np.r_[0, 0, penalty * b],
        "The penalty is missing.": right - ridge,
        "The penalty has one half in front: its slope is λw.": right + ridge,
        "In p − t the truth t is 0 or 1, not −1 or 1.": rows.T @ (c * (p - 2 * t + 1)) + ridge,
        "The score is no prediction yet: put it through the sigmoid.": rows.T @ (c * (s - t)) + ridge,
        "The cost belongs before p − t as a whole, not to t alone.": rows.T @ (p - c * t) + ridge,
    }
    given: dict[str, object] = {
        "x": x.astype(int),
        "t": t,
        "w": w,
        "b": b,
        "penalty": penalty,
    }
    return given, right, dict(slips)


# What a curve can know --------------------------------------------------------------------------------


def _score(curve: str, p: float, cost: float) -> float:
    """The minimum of cost·p·ℓ(s) + (1 − p)·ℓ(−s), from the odds."""
    odds = cost * p / (1 - p)
    match curve:
        case "squared":
            return (odds - 1) / (odds + 1)
        case "logistic":
            return math.log(odds)
        case "exponential":
            return math.log(odds) / 2
    return math.copysign(1.0, odds - 1)


def _best(random: random_module.Random, cost: int) -> dict[str, object]:
    low = 1 / (1 + cost)
    p = sorted(
        round(random.uniform(a, b), 2) for a, b in ((0.02, low - 0.02), (low + 0.03, 0.46), (0.6, 0.9))
    )

    def each(of: Callable[[str, float], float]) -> dict[str, list[float]]:
        return {curve: [of(curve, q) for q in p] for curve in CURVES}

    squared = [(cost * q - (1 - q)) for q in p]
    log_odds = [_score("logistic", q, cost) for q in p]
    slips: dict[str, dict[str, list[float]]] = {
        "The cost of a missed positive is not in it.": each(lambda c, q: _score(c, q, 1)),
        "The cost sits on the wrong class.": each(lambda c, q: _score(c, q, 1 / cost)),
        "That is a probability, not yet a score.": {"logistic": [1 / (1 + math.exp(-s)) for s in log_odds]},
        "Which logarithm? The curve has e in it.": {
            "logistic": [s / math.log(2) for s in log_odds],
            "exponential": [s / 2 / math.log(2) for s in log_odds],
        },
        "With costs the two weights no longer add up to 1: divide by their sum.": {"squared": squared},
        "Both exponentials have an exponent: what is their quotient?": {"exponential": log_odds},
        "Look at the corners of the hinge: nothing is gained beyond a margin of 1.": {"hinge": log_odds},
        "That is 0 or 1, an answer; at which score is the sum smallest?": {
            "hinge": [float(s > 0) for s in log_odds]
        },
    }
    texts = {f"best_{c}": text({s: v[c] for s, v in slips.items() if c in v}) for c in CURVES}
    return {"best_p": p, "best_right": text(each(lambda c, q: _score(c, q, cost)), ""), **texts}


# Features that are never written down -----------------------------------------------------------------


def _kernel(random: random_module.Random, cost: int, offset: float, degree: int) -> Example:
    x = np.array([[random.randint(-2, 2) for _ in range(2)] for _ in range(4)], float)
    new = np.array([[random.randint(-2, 2) for _ in range(2)] for _ in range(3)], float)
    y = np.array([1, -1, random.choice([-1, 1]), random.choice([-1, 1])])
    penalty = random.choice([1.0, 3.0, 5.0])

    def scores(
        spread: np.ndarray, labels: np.ndarray, plus: float = offset, halves: float = 0.5
    ) -> np.ndarray:
        K, reach = (plus + x @ x.T) ** degree, (plus + new @ x.T) ** degree
        return np.asarray(reach @ np.linalg.solve(K + halves * penalty * np.diag(spread), labels))

    c, ones = np.where(y > 0, float(cost), 1.0), np.ones(4)
    slips = {
        "The costs are missing.": scores(ones, y),
        "An example that costs more should be penalised less.": scores(c, y),
        "The cost sits on the wrong class.": scores(c / cost, y),
        "The cost belongs to the loss; the labels stay 1 and −1.": scores(ones, c * y),
        "The kernel of your class has OFFSET in it, not 1.": scores(1 / c, y, plus=1),
        "The penalty has one half in front, the square has none.": scores(1 / c, y, halves=1),
        "In the loss the cost multiplies a square; it is not squared.": scores(1 / c**2, y),
    }
    given: dict[str, object] = {"x": x.astype(int), "y": y, "new": new.astype(int), "penalty": penalty}
    return given, scores(1 / c, y), dict(slips)


# Leaks ------------------------------------------------------------------------------------------------


def _honest(random: random_module.Random, folds: int, keep: int) -> Example:
    N, D = 14, 6
    family = np.array([random.randint(0, 2 * folds - 1) for _ in range(N)])
    t = np.array([n % 2 for n in range(N)])
    x = np.round(
        np.array([[random.gauss(0.4 * t[n], 1) * (1 + 2 * (d % 2)) for d in range(D)] for n in range(N)]), 1
    )

    def spread(a: np.ndarray, b: np.ndarray, leak: str) -> np.ndarray:
        if leak == "within":
            return np.asarray(np.sqrt((a[b == 0].var(0) + a[b == 1].var(0)) / 2))
        return np.asarray(np.ones(a.shape[1]) if leak == "raw" else a.std(0))

    def answers(fold: np.ndarray, leak: str = "") -> np.ndarray:
        out = np.full(N, -1)
        for k in range(folds):
            held = fold == k
            seen = ~held
            if min(np.bincount(t[seen], minlength=2)) < 2:
                return out
            learnt = np.ones(N, bool) if leak == "all" else seen
            chosen_on = np.ones(N, bool) if leak == "chosen" else learnt
            a, b = x[chosen_on], t[chosen_on]
            gap = np.abs(a[b == 1].mean(0) - a[b == 0].mean(0)) / spread(a, b, leak)
            top = np.argsort(gap if leak == "worst" else -gap)[:keep]
            a, b = x[learnt][:, top], t[learnt]
            scale = spread(x[:, top], t, "") if leak == "scaled" else spread(a, b, leak)
            far = [(((x[held][:, top] - a[b == j].mean(0)) / scale) ** 2).sum(1) for j in (0, 1)]
            out[held] = far[1] < far[0]
        return out

    rows = np.arange(N) % folds
    right = answers(family % folds)
    slips = {
        "The measurements were chosen with the held-out rows in sight: choose inside.": answers(
            family % folds, "chosen"
        ),
        "Each row was judged by means of which it is a part itself: learn from other folds.": answers(
            family % folds, "all"
        ),
        "Folds are made of families, not of rows: twins sit on both sides.": answers(rows),
        "Those are the measurements that tell least.": answers(family % folds, "worst"),
        "The standard deviation was taken with the held-out rows in sight.": answers(
            family % folds, "scaled"
        ),
        "Units matter: divide by the standard deviation of the rows seen.": answers(family % folds, "raw"),
        "The standard deviation is that of both classes together, not of each by itself.": answers(
            family % folds, "within"
        ),
    }
    if (right < 0).any() or len(set(right.tolist())) < 2 or any((v < 0).any() for v in slips.values()):
        slips["drawn again"] = right
    return {"x": x, "t": t, "family": family}, right, dict(slips)


# Costs that come too late -----------------------------------------------------------------------------


def _threshold(random: random_module.Random) -> dict[str, object]:
    late = random.choice([1.5, 2.5, 3.5, 7.0])
    dear = 1 / (1 + late)
    right = {c: _score(c, dear, 1) for c in CURVES[:3]}
    three = list(CURVES[:3])

    def row(of: Callable[[str], float]) -> list[float]:
        return [of(c) for c in three]

    slips = {
        "The sign: if a missed positive is dear, answer + sooner.": row(lambda c: -right[c]),
        "Those are thresholds for p. Which score has the curve at that p?": row(lambda c: dear),
        "That is no longer cheapest: with p = 1/2 the cost is forgotten.": row(lambda c: 0.0),
        "At which p do both answers cost the same? It is not 1/cost.": row(lambda c: _score(c, 1 / late, 1)),
        "Each curve has a score of its own at that p.": row(lambda c: right["logistic"]),
    }
    return {"late": late, "threshold_right": text(row(lambda c: right[c])), "threshold_slips": text(slips)}
