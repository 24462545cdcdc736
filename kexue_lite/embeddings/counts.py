"""Which words stand near which: a sparse matrix of counts, and the pointwise mutual information made from it.

A pair (w, c) is counted when the context word c stands at most L places from w in the same sentence. With
#(w,c) for the count of the pair, #(w) = Σ_c #(w,c), #(c) = Σ_w #(w,c) and N = Σ_{w,c} #(w,c), the pointwise
mutual information is (Church and Hanks 1990)

    PMI(w,c) = log( #(w,c) N / (#(w) #(c)) ),

the logarithm of how many times more often the pair occurs than it would if its words did not know of each
other.

word2vec draws the width of each window uniformly from 1..L, so that a context at distance j is seen with
probability (L − j + 1)/L. That expectation is the weight ``"shrinking"`` (Mikolov et al. 2013, the program).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
from scipy import sparse

from kexue_lite.embeddings.arguments import (
    above_zero,
    count_matrix,
    different_words,
    finite,
    flatten,
    whole,
)

Weights = Literal["uniform", "shrinking"]
_STRETCH = 1 << 22  # tokens that one thread counts at a time: about 200 MB of keys at window 5
_THREADS = 2


@dataclass(frozen=True, eq=False)
class Cooccurrence:
    """Counts of word pairs (chapter 4, section 4.3). Made by `cooccurrence`, or from a matrix of one's own.

    Parameters
    ----------
    counts
        #(w,c), shape ``(V, V)``: words in the rows, contexts in the columns. An array or a scipy sparse
        matrix; kept as `scipy.sparse.csr_array` of float64 with no stored zeros.
    vocabulary
        The V words, in the order of rows and columns; ``"0", "1", ...`` if left out.
    word_counts
        How often each word occurs in the text, shape ``(V,)``; the row sums of `counts` if left out.
    window, weights
        How the pairs were counted; only kept as a record.

    Raises
    ------
    TypeError
        If `counts` does not hold real numbers, or a word is no string.
    ValueError
        If `counts` is not square, is empty, holds a NaN, an infinity or a negative number, or no positive
        one; or if `vocabulary` or `word_counts` does not fit it.

    Examples
    --------
    >>> pairs = Cooccurrence([[0, 3], [1, 0]])
    >>> pairs.total, pairs.word_marginal, pairs.context_marginal
    (4.0, array([3., 1.]), array([1., 3.]))
    """

    counts: Any  # an array on the way in, scipy.sparse.csr_array from then on
    vocabulary: Sequence[str] = ()
    word_counts: np.ndarray = None  # type: ignore[assignment]
    window: int = 0
    weights: Weights = "uniform"

    def __post_init__(self) -> None:
        counts = count_matrix(self.counts)
        size = counts.shape[0]
        words = list(self.vocabulary) if len(self.vocabulary) else [str(i) for i in range(size)]
        for word in words:
            if not isinstance(word, str):
                raise TypeError(f"vocabulary must hold strings, got {type(word).__name__}: {word!r}")
        words = [str(word) for word in words]  # numpy's strings are a class of their own
        if len(words) != size or len(set(words)) != size:
            raise ValueError(
                f"vocabulary must hold one different word for each of the {size} rows of counts, "
                f"got {len(words)} ({len(set(words))} different)"
            )
        try:
            totals = counts.sum(axis=1) if self.word_counts is None else np.asarray(self.word_counts, float)
        except (TypeError, ValueError) as error:
            raise TypeError(f"word_counts must hold {size} numbers: {error}") from error
        if totals.shape != (size,) or not np.isfinite(totals).all() or (totals < 0).any():
            raise ValueError(
                f"word_counts must be {size} finite numbers of at least 0, got shape {totals.shape}"
            )
        for name, value in (("counts", counts), ("vocabulary", words), ("word_counts", totals)):
            object.__setattr__(self, name, value)

    @property
    def word_marginal(self) -> np.ndarray:
        """#(w) = Σ_c #(w,c), shape ``(V,)``."""
        return self.counts.sum(axis=1)

    @property
    def context_marginal(self) -> np.ndarray:
        """#(c) = Σ_w #(w,c), shape ``(V,)``."""
        return self.counts.sum(axis=0)

    @property
    def total(self) -> float:
        """N = Σ_{w,c} #(w,c), the number of pairs."""
        return float(self.counts.sum())

    def noise(self, exponent: float = 1.0) -> np.ndarray:
        """P_α(c) = #(c)^α / Σ_c' #(c')^α, shape ``(V,)``: the contexts smoothed by the exponent α.

        A context that was never seen has probability 0, for α = 0 too.

        Examples
        --------
        >>> Cooccurrence([[0, 16], [1, 0]]).noise(0.75)
        array([0.11..., 0.88...])
        """
        finite("exponent", exponent)
        marginal = self.context_marginal
        powers = np.zeros_like(marginal)
        with np.errstate(over="ignore", under="ignore"):
            np.power(marginal, exponent, out=powers, where=marginal > 0)
        total = powers.sum()
        if not 0 < total < np.inf:
            raise ValueError(f"exponent must leave the powers of the counts finite, got {exponent}")
        return powers / total


def cooccurrence(
    sentences: Iterable[Sequence[str]],
    *,
    window: int = 5,
    min_count: int = 5,
    weights: Weights = "uniform",
    vocabulary: Sequence[str] | None = None,
) -> Cooccurrence:
    """Count the pairs of words at most `window` places apart in a sentence (chapter 4, section 4.3).

    Parameters
    ----------
    sentences
        Lists of tokens. Read once, so an iterator will do.
    window
        L, the largest distance, at least 1.
    min_count
        Words that occur less often are left out *before* distances are measured, as word2vec does.
    weights
        ``"uniform"``: each pair counts 1. ``"shrinking"``: a pair at distance j counts (L − j + 1)/L,
        word2vec's expectation.
    vocabulary
        Count only these words, in this order, whatever their number (`min_count` is not used): to count
        held-out text with the vocabulary of the training text.

    Returns
    -------
    Cooccurrence
        `.counts` is symmetric; `.vocabulary` begins with the most frequent word (ties as they appear).

    Raises
    ------
    TypeError
        If `sentences` is a text or holds texts instead of lists of tokens, or a token is no string.
    ValueError
        If `window` or `min_count` is below 1, no word is frequent enough, or no pair was found.

    See Also
    --------
    cooccurrence_by_loop : the readable twin.

    Examples
    --------
    >>> pairs = cooccurrence([["a", "b", "a"], ["b", "c"]], window=1, min_count=1)
    >>> pairs.vocabulary
    ['a', 'b', 'c']
    >>> pairs.counts.toarray()
    array([[0., 2., 0.],
           [2., 0., 1.],
           [0., 1., 0.]])
    """
    _check_options(window, min_count, weights)
    tokens, lengths = flatten(sentences)
    number: defaultdict[str, int] = defaultdict()
    number.default_factory = number.__len__  # a word met for the first time gets the next number
    try:
        ids = np.fromiter(map(number.__getitem__, tokens), np.int32, len(tokens))
    except TypeError as error:
        raise TypeError(f"sentences must hold strings as tokens: {error}") from error
    frequency, seen = np.bincount(ids), list(number)
    if vocabulary is None:
        order = np.argsort(-frequency, kind="stable")
        words = [seen[i] for i in order[: np.count_nonzero(frequency >= min_count)]]
        if not words:
            raise ValueError(
                f"sentences must hold a word that occurs at least min_count={min_count} times; "
                f"got {len(tokens):,} tokens, {len(seen):,} different"
            )
    else:
        words = different_words(vocabulary)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"sentences must hold strings as tokens, got {type(word).__name__}: {word!r}")
    row_of = {word: row for row, word in enumerate(words)}
    ids = np.array([row_of.get(word, -1) for word in seen], np.int32)[ids]
    sentence = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    known = ids >= 0
    by_distance = np.arange(window, 0, -1) / window if weights == "shrinking" else np.ones(window)
    half = _count_pairs(ids[known], sentence[known], by_distance, len(words))
    if half.nnz == 0:
        raise ValueError(
            f"sentences must hold two words of the vocabulary at most {window} places apart; "
            f"got {len(tokens):,} tokens in {len(lengths):,} sentences and no such pair"
        )
    totals = np.array([frequency[number[word]] if word in number else 0 for word in words], float)
    return Cooccurrence(half + half.T, words, totals, window, weights)


def _count_pairs(
    ids: np.ndarray, sentence: np.ndarray, by_distance: np.ndarray, size: int
) -> sparse.csr_array:
    """Each unordered pair once, in the upper triangle; stretches of the text are counted by threads."""
    stretch = min(_STRETCH, max(1, -(-len(ids) // _THREADS)))
    starts = range(0, len(ids), stretch)
    with ThreadPoolExecutor(_THREADS) as pool:  # numpy lets other threads run while it sorts
        parts = pool.map(
            lambda start: _count_stretch(ids, sentence, by_distance, size, start, stretch), starts
        )
        return sum(parts, start=sparse.csr_array((size, size)))


def _count_stretch(
    ids: np.ndarray, sentence: np.ndarray, by_distance: np.ndarray, size: int, start: int, stretch: int
) -> sparse.csr_array:
    """Pairs whose first word stands in the stretch: sort the pairs' numbers, add up runs of equals."""
    # Bits of a key, from the top: row, column, distance - 1; so one sort serves all distances.
    column_bits, distance_bits = (size - 1).bit_length(), (len(by_distance) - 1).bit_length()
    keys = [np.zeros(0, np.int64)]
    for distance in range(1, len(by_distance) + 1):
        stop = max(start, min(start + stretch, len(ids) - distance))
        first, second = ids[start:stop], ids[start + distance : stop + distance]
        together = sentence[start:stop] == sentence[start + distance : stop + distance]
        first, second = first[together], second[together]
        key = np.minimum(first, second).astype(np.int64)
        key <<= column_bits
        key |= np.maximum(first, second)
        key <<= distance_bits
        key |= distance - 1
        keys.append(key)
    key = np.concatenate(keys)
    if not len(key):
        return sparse.csr_array((size, size))
    key.sort()
    weight = by_distance[key & ((1 << distance_bits) - 1)]
    key >>= distance_bits
    begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    pair = key[begins]
    pointer = np.searchsorted(pair, np.arange(size + 1) << column_bits)
    columns = pair & ((1 << column_bits) - 1)
    return sparse.csr_array((np.add.reduceat(weight, begins), columns, pointer), shape=(size, size))


def cooccurrence_by_loop(
    sentences: Iterable[Sequence[str]],
    *,
    window: int = 5,
    min_count: int = 5,
    weights: Weights = "uniform",
) -> Cooccurrence:
    """`cooccurrence` as two nested loops: the definition, slow, its readable twin. Same arguments and result.

    Examples
    --------
    >>> cooccurrence_by_loop([["a", "b", "a"]], window=2, min_count=1, weights="shrinking").counts.toarray()
    array([[1., 2.],
           [2., 0.]])
    """
    _check_options(window, min_count, weights)
    corpus = [list(sentence) for sentence in sentences]
    frequency = Counter(chain.from_iterable(corpus))
    words = [word for word, count in frequency.most_common() if count >= min_count]
    row = {word: i for i, word in enumerate(words)}
    counts = np.zeros((len(words), len(words)))
    for sentence in corpus:
        kept = [row[token] for token in sentence if token in row]
        for i, w in enumerate(kept):
            for j in range(max(0, i - window), min(len(kept), i + window + 1)):
                if j != i:
                    weight = (window - abs(i - j) + 1) / window if weights == "shrinking" else 1.0
                    counts[w, kept[j]] += weight
    return Cooccurrence(counts, words, np.array([frequency[w] for w in words], float), window, weights)


def pmi(
    cooccurrence: Cooccurrence, *, shift: float = 1, exponent: float = 1.0, positive: bool = False
) -> sparse.csr_array:
    """Pointwise mutual information of the pairs that occur, less log k (chapter 4, section 4.5).

    PMI_α(w,c) − log k = log( #(w,c) / (#(w) P_α(c)) ) − log k,  with P_α of `Cooccurrence.noise`.

    Parameters
    ----------
    cooccurrence
        The counts.
    shift
        k > 0; word2vec with k negatives has this shift (Levy and Goldberg 2014).
    exponent
        α: 1 gives the PMI proper, 0.75 word2vec's smoothing of the contexts.
    positive
        Keep only entries above 0 (shifted positive PMI).

    Returns
    -------
    scipy.sparse.csr_array
        Shape ``(V, V)``. A pair that never occurs has PMI −∞ and **no entry**: the sparse matrix shows a
        0 there, which is its true value only after `positive`, where max(−∞, 0) = 0.

    Raises
    ------
    TypeError
        If `cooccurrence` is none.
    ValueError
        If `shift` is not positive, or `exponent` is not finite.

    Examples
    --------
    >>> pairs = Cooccurrence([[2, 1], [1, 0]])
    >>> pmi(pairs).toarray().round(4)
    array([[-0.1178,  0.2877],
           [ 0.2877,  0.    ]])
    >>> pmi(pairs, positive=True).nnz
    2
    """
    if not isinstance(cooccurrence, Cooccurrence):
        raise TypeError(f"cooccurrence must be a Cooccurrence, got {type(cooccurrence).__name__}")
    above_zero("shift", shift)
    counts = cooccurrence.counts
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    expected = cooccurrence.word_marginal[row] * cooccurrence.noise(exponent)[counts.indices]
    result = sparse.csr_array(
        (np.log(counts.data / expected) - np.log(shift), counts.indices.copy(), counts.indptr.copy()),
        shape=counts.shape,
    )
    if positive:
        np.maximum(result.data, 0, out=result.data)
        result.eliminate_zeros()
    return result


def _check_options(window: Any, min_count: Any, weights: Any) -> None:
    whole("window", window)
    whole("min_count", min_count)
    if weights not in ("uniform", "shrinking"):
        raise ValueError(f"weights must be 'uniform' or 'shrinking', got {weights!r}")
