"""How good are word vectors? Analogy accuracy and rank correlation, each with an interval and its coverage.

Two measures, both from outside the loss that was minimised:

* the share of analogy questions "a is to b as c is to d" answered exactly, among the whole vocabulary less
  the three given words, with Wilson's 95 % interval;
* Spearman's correlation between cosines and human ratings of word pairs, with a bootstrap interval over
  pairs.

A question that uses an unknown word cannot be asked. It is left out and counted: `coverage` says how many
could. The inflection questions need no file: they are mined from a vocabulary by rules of spelling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Question = tuple[str, str, str, str]
Rating = tuple[str, str, float]
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Score:
    """A measured value with its 95 % interval [low, high], over `used` of `asked` questions or pairs."""

    value: float
    low: float
    high: float
    used: int
    asked: int
    sections: Mapping[str, Score] | None = None

    @property
    def coverage(self) -> float:
        """Share of the questions that the vocabulary allows to be asked."""
        return self.used / self.asked

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] on {self.used:,} of {self.asked:,}"


@dataclass(frozen=True)
class Evaluation:
    """What `WordVectors.evaluate` found; a part is None if it was not asked."""

    analogies: Score | None
    similarities: Score | None


def analogy_score(
    unit: np.ndarray,
    rows: Mapping[str, int],
    analogies: Mapping[str, Sequence[Question]] | Sequence[Question],
) -> Score:
    """Share of analogies answered exactly; `unit` of shape ``(V, d)`` has rows of length 1.

    Examples
    --------
    >>> unit = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [-0.2, 0.98]])
    >>> rows = {"a": 0, "b": 1, "c": 2, "d": 3}
    >>> print(analogy_score(unit, rows, [("a", "b", "c", "d"), ("a", "b", "c", "e")]))
    1.000 [0.207, 1.000] on 1 of 2
    """
    if not isinstance(analogies, Mapping):
        return _accuracy(_right(unit, rows, analogies), len(analogies))
    if not analogies:
        raise ValueError("analogies must hold at least one section, got an empty mapping")
    right = {name: _right(unit, rows, part) for name, part in analogies.items()}
    parts = {
        name: _accuracy(answers, len(analogies[name])) for name, answers in right.items() if len(answers)
    }
    total = np.concatenate(list(right.values()))
    return _accuracy(total, sum(map(len, analogies.values())), parts)


def paired_score(
    units: tuple[np.ndarray, np.ndarray],
    rows: tuple[Mapping[str, int], Mapping[str, int]],
    analogies: Mapping[str, Sequence[Question]] | Sequence[Question],
) -> Score:
    """By how much the first table's share of right answers exceeds the second's, question by question.

    Both answer the same questions, so only those that one of them alone gets right tell them apart: b by the
    first, c by the second. The interval is Agresti and Min's (2005): Wald's, with half a question added to
    each of the four cells.

    Examples
    --------
    >>> units = np.eye(4), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.1, 1.0]])
    >>> rows = {"a": 0, "b": 1, "c": 2, "d": 3}
    >>> paired_score(units, (rows, rows), [("a", "a", "b", "d")]).value
    -1.0
    """
    parts = analogies.values() if isinstance(analogies, Mapping) else [analogies]
    asked = [question for part in parts for question in part]
    known = [q for q in asked if len(q) == 4 and all(word in table for table in rows for word in q)]
    if not known:
        raise ValueError(
            f"analogies must have words of both vocabularies; none of the {len(asked)} questions has"
        )
    first, second = (_right(unit, table, known) for unit, table in zip(units, rows, strict=True))
    b, c, n = int((first & ~second).sum()), int((second & ~first).sum()), len(known)
    centre = (b - c) / (n + 2)
    half = _Z95 * math.sqrt((b + c + 1) / (n + 2) - centre**2) / math.sqrt(n + 2)
    return Score((b - c) / n, centre - half, centre + half, n, len(asked))


def similarity_score(
    unit: np.ndarray, rows: Mapping[str, int], ratings: Sequence[Rating], *, seed: int = 0, draws: int = 2000
) -> Score:
    """Spearman's rank correlation of cosines with ratings, its interval by resampling pairs (percentiles).

    Examples
    --------
    >>> unit = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.6, 0.8]])
    >>> rows = {"a": 0, "b": 1, "c": 2, "d": 3}
    >>> similarity_score(unit, rows, [("a", "b", 1.0), ("a", "c", 3.0), ("a", "d", 2.0)]).value
    1.0
    """
    ratings = list(ratings)
    try:
        good = all(len(entry) == 3 and math.isfinite(float(entry[2])) for entry in ratings)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError("similarities must be triples (word, word, finite rating)")
    known = [(rows[a], rows[b], float(r)) for a, b, r in ratings if a in rows and b in rows]
    if len(known) < 3:
        raise ValueError(
            f"similarities must have at least 3 pairs of known words, got {len(known)} of {len(ratings)}"
        )
    first, second = (np.array([entry[k] for entry in known]) for k in (0, 1))
    cosine, rating = (unit[first] * unit[second]).sum(1), np.array([entry[2] for entry in known])
    if np.ptp(cosine) == 0 or np.ptp(rating) == 0:
        raise ValueError(
            f"similarities must have ratings, and cosines, that differ: a constant has no ranks; got "
            f"{len(known)} pairs of known words"
        )
    value = float(stats.spearmanr(cosine, rating).statistic)
    picks = np.random.default_rng(seed).integers(0, len(known), (draws, len(known)))
    # Spearman's correlation is Pearson's of the ranks, so all draws are ranked and correlated at once.
    x, y = (stats.rankdata(values[picks], axis=1) for values in (cosine, rating))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    spread = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    drawn = ((x * y).sum(1) / np.where(spread > 0, spread, 1))[spread > 0]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Score(value, float(low), float(high), len(known), len(ratings))


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion: never outside [0, 1], and sound near its ends.

    Examples
    --------
    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"successes must lie between 0 and trials, trials at least 1; got {successes}, {trials}"
        )
    p, z2 = successes / trials, _Z95**2
    centre = p + z2 / (2 * trials)
    half = _Z95 * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    scale = 1 + z2 / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def inflection_analogies(
    vocabulary: Sequence[str], *, rounds: int = 1, limit: int = 400
) -> dict[str, list[Question]]:
    """Analogy questions mined from a vocabulary by rules of spelling: plot is to plots as array is to arrays.

    A section is one inflection ("plural -s", "past -ed", ...). Its word pairs, both words in the
    vocabulary, are put in a fixed order that follows the vocabulary's; pair i is asked after pair i + s for
    `rounds` strides s, so that each pair is answered, and serves as the example, equally often.

    Parameters
    ----------
    vocabulary
        Words, the most frequent first (the order of `cooccurrence`).
    rounds
        How often each pair is asked.
    limit
        Pairs per section: the first so many in the vocabulary's order.

    Returns
    -------
    dict
        Section name to questions (a, b, c, d). Sections with fewer than two pairs are absent.

    Raises
    ------
    ValueError
        If there is no section at all, or `rounds` or `limit` is below 1.

    Examples
    --------
    >>> inflection_analogies(["plot", "return", "plots", "returns", "returned"])
    {'-s': [('plot', 'plots', 'return', 'returns'), ('return', 'returns', 'plot', 'plots')]}
    """
    if rounds < 1 or limit < 1:
        raise ValueError(f"rounds and limit must be at least 1, got {rounds} and {limit}")
    words = set(vocabulary)
    questions: dict[str, list[Question]] = {}
    for name, inflect in _RULES.items():
        found = []
        for word in vocabulary:
            if len(word) < 3 or not word.isalpha():
                continue
            other = next((form for form in inflect(word) if form in words), None)
            if other is not None:
                found.append((word, other))
        pairs = found[:limit]
        if len(pairs) >= 2:
            strides = sorted({1 + (k * len(pairs)) // (rounds + 1) for k in range(rounds)} - {len(pairs)})
            questions[name] = [
                (*pairs[i], *pairs[(i + stride) % len(pairs)])
                for stride in strides
                for i in range(len(pairs))
            ]
    if not questions:
        raise ValueError("vocabulary must hold at least two pairs of one inflection, such as plot, plots")
    return questions


def _suffix(suffix: str) -> Callable[[str], list[str]]:
    return lambda word: [word + suffix]


def _verb(suffix: str) -> Callable[[str], list[str]]:
    """The spellings that a verb takes before -ed or -ing: use, used; stop, stopped; copy, copied."""

    def forms(word: str) -> list[str]:
        if word.endswith("e"):
            stem = word[:-1] if suffix == "ed" or not word.endswith("ee") else word
            return [stem + suffix]
        vowels = "aeiou"
        if word[-1] == "y" and word[-2] not in vowels:
            return [word[:-1] + "ied" if suffix == "ed" else word + suffix]
        short = word[-1] not in vowels + "wxy" and word[-2] in vowels and word[-3] not in vowels
        return [word + suffix, *([word + word[-1] + suffix] if short else [])]

    return forms


def _plural(word: str) -> list[str]:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return [word + "es"]
    if word[-1] == "y" and word[-2] not in "aeiou":
        return [word[:-1] + "ies"]
    return [word + "s"]


def _adverb(word: str) -> list[str]:
    if word.endswith("le"):
        return [word[:-1] + "y"]
    return [word + "ally"] if word.endswith("ic") else [word + "ly"]


_RULES: dict[str, Callable[[str], list[str]]] = {
    "-s": _plural,
    "-ed": _verb("ed"),
    "-ing": _verb("ing"),
    "-ly": _adverb,
    "-er": lambda word: [word + "r" if word.endswith("e") else word + "er"],
    "-able": lambda word: [word[:-1] + "able" if word.endswith("e") else word + "able"],
    "-ation": lambda word: (
        [word[:-1] + "ion"] if word.endswith("ate") else [word[:-1] + "ation"] if word.endswith("e") else []
    ),
    "un-": lambda word: ["un" + word],
    "non-": lambda word: ["non" + word],
}


def _right(unit: np.ndarray, rows: Mapping[str, int], questions: Sequence[Question]) -> np.ndarray:
    """For each question that can be asked, whether it is answered exactly; shape ``(used,)``."""
    if len(questions) == 0:
        raise ValueError("analogies must hold at least one question in each section, got an empty one")
    for question in questions:
        if isinstance(question, str) or not hasattr(question, "__len__") or len(question) != 4:
            raise ValueError(f"analogies must be quadruples of words, got {question!r}")
    known = np.array([[rows[word] for word in q] for q in questions if all(word in rows for word in q)], int)
    right = np.zeros(len(known), bool)
    for start in range(0, len(known), 512):  # 512 rows of V cosines at a time: 30 MB at V = 14,700
        a, b, c, d = known[start : start + 512].T
        cosine = (unit[b] - unit[a] + unit[c]) @ unit.T
        block = np.arange(len(a))
        for given in (a, b, c):
            cosine[block, given] = -np.inf
        right[start : start + 512] = cosine.argmax(1) == d
    return right


def _accuracy(right: np.ndarray, asked: int, sections: Mapping[str, Score] | None = None) -> Score:
    if len(right) == 0:
        raise ValueError(f"analogies must have words of the vocabulary; none of the {asked} questions has")
    low, high = wilson_interval(int(right.sum()), len(right))
    return Score(float(right.mean()), low, high, len(right), asked, sections)
