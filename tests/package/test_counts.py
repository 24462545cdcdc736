"""Counts of word pairs and pointwise mutual information."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kexue_lite.embeddings import counts as module
from kexue_lite.embeddings.counts import Cooccurrence, cooccurrence, cooccurrence_by_loop, pmi


def text(seed: int, sentences: int = 60, words: int = 12) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    p = 1 / np.arange(1, words + 1)
    return [
        [f"w{i}" for i in rng.choice(words, rng.integers(0, 15), p=p / p.sum())] for _ in range(sentences)
    ]


@pytest.mark.parametrize("weights", ["uniform", "shrinking"])
@pytest.mark.parametrize("window", [1, 2, 3, 5, 8, 40])
def test_fast_counts_equal_the_loop(window: int, weights: str) -> None:
    corpus = text(window)
    fast = cooccurrence(corpus, window=window, min_count=4, weights=weights)
    slow = cooccurrence_by_loop(corpus, window=window, min_count=4, weights=weights)
    assert list(fast.vocabulary) == list(slow.vocabulary)
    np.testing.assert_allclose(fast.counts.toarray(), slow.counts.toarray(), rtol=1e-13)
    np.testing.assert_array_equal(fast.word_counts, slow.word_counts)
    assert (fast.window, fast.weights) == (window, weights)


def test_stretches_of_the_text_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = text(3)
    whole = cooccurrence(corpus, window=4, min_count=1)
    for stretch in (1, 7, 50):
        monkeypatch.setattr(module, "_STRETCH", stretch)
        np.testing.assert_array_equal(
            cooccurrence(corpus, window=4, min_count=1).counts.toarray(), whole.counts.toarray()
        )


def test_rare_words_are_left_out_before_distances_are_measured() -> None:
    pairs = cooccurrence([["a", "x", "b"], ["a", "b"]], window=1, min_count=2)
    assert pairs.counts.toarray().tolist() == [[0, 2], [2, 0]]


def test_counts_are_those_of_the_sentences_and_of_no_neighbour() -> None:
    """Additive over sentences, symmetric, the same for a reversed text, an iterator or tuples."""
    corpus = text(5)
    words = [f"w{i}" for i in range(12)]

    def count(part: list[list[str]]) -> np.ndarray:
        return cooccurrence(part, window=3, vocabulary=words).counts.toarray()

    whole = count(corpus)
    np.testing.assert_array_equal(whole, count(corpus[:20]) + count(corpus[20:]))
    np.testing.assert_array_equal(whole, whole.T)
    np.testing.assert_array_equal(whole, count([sentence[::-1] for sentence in corpus]))
    np.testing.assert_array_equal(whole, count(tuple(s) for s in corpus))  # type: ignore[arg-type]


def test_a_given_vocabulary_sets_the_order_and_keeps_absent_words() -> None:
    pairs = cooccurrence([["b", "a", "z"], ["b"]], window=2, vocabulary=["a", "absent", "b"])
    assert list(pairs.vocabulary) == ["a", "absent", "b"]
    assert pairs.word_counts.tolist() == [1, 0, 2]
    assert pairs.counts.toarray().tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_shrinking_weights_are_the_expectation_of_word2vecs_random_window() -> None:
    rng, corpus, draws = np.random.default_rng(0), [list("abcdefgh")], 4000
    exact = cooccurrence(corpus, window=4, min_count=1, weights="shrinking").counts.toarray()
    mean = np.zeros((8, 8))
    for _ in range(draws):
        for i in range(8):
            width = rng.integers(1, 5)
            mean[i, [j for j in range(max(0, i - width), min(8, i + width + 1)) if j != i]] += 1 / draws
    assert abs(mean - exact).max() < 5 * 0.5 / draws**0.5


def test_pmi_is_the_logarithm_of_the_ratio_of_probabilities() -> None:
    counts = np.random.default_rng(1).integers(1, 50, (6, 6)).astype(float)
    joint = counts / counts.sum()
    expected = np.log(joint / np.outer(joint.sum(1), joint.sum(0)))
    np.testing.assert_allclose(pmi(Cooccurrence(counts)).toarray(), expected, atol=1e-13)
    np.testing.assert_allclose(pmi(Cooccurrence(counts), shift=5).toarray(), expected - np.log(5), atol=1e-13)
    smooth = joint.sum(0) ** 0.75 / (joint.sum(0) ** 0.75).sum()
    np.testing.assert_allclose(
        pmi(Cooccurrence(counts), exponent=0.75).toarray(),
        np.log(joint / joint.sum(1, keepdims=True) / smooth),
        atol=1e-13,
    )


def test_pmi_of_independent_words_is_zero_and_does_not_see_the_size_of_the_text() -> None:
    independent = np.outer([1, 2, 3], [4, 5, 6])
    assert abs(pmi(Cooccurrence(independent)).toarray()).max() < 1e-14
    counts = np.array([[3, 1], [1, 7]])
    np.testing.assert_allclose(
        pmi(Cooccurrence(counts)).toarray(), pmi(Cooccurrence(10 * counts)).toarray(), atol=1e-14
    )


def test_pairs_never_seen_have_no_entry_and_positive_drops_the_rest() -> None:
    pairs = Cooccurrence([[0, 3, 1], [3, 0, 0], [1, 0, 9]])
    assert pmi(pairs).nnz == 5
    positive = pmi(pairs, positive=True)
    full = np.where(pairs.counts.toarray() > 0, pmi(pairs).toarray(), -np.inf)
    np.testing.assert_allclose(positive.toarray(), np.maximum(full, 0))
    assert (positive.data > 0).all()


def test_vocabulary_of_one_has_the_limit_answer() -> None:
    pairs = cooccurrence([["a", "a", "a"]], window=1, min_count=1)
    assert pairs.counts.toarray().tolist() == [[4]]
    assert pmi(pairs).toarray().tolist() == [[0]]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ([], {}, ValueError, "without a single token"),
        ([[], []], {}, ValueError, "without a single token"),
        ([["a"]], {"min_count": 1}, ValueError, "no such pair"),
        ([["a"], ["a"]], {"min_count": 2}, ValueError, "no such pair"),
        ([["a", "b"]], {}, ValueError, "min_count=5"),
        ("one text", {}, TypeError, "split it first"),
        (["a text", "another"], {}, TypeError, "lists of tokens"),
        ([1, 2], {}, TypeError, "lists of tokens"),
        ([[1, 2]], {"min_count": 1}, TypeError, "strings as tokens"),
        ([["a", "b"]], {"window": 0}, ValueError, "window"),
        ([["a", "b"]], {"window": 2.5}, ValueError, "window"),
        ([["a", "b"]], {"min_count": 0}, ValueError, "min_count"),
        ([["a", "b"]], {"weights": "linear"}, ValueError, "'linear'"),
        ([["a", "b"]], {"vocabulary": ["a", "a"]}, ValueError, "different words"),
        ([["a", "b"]], {"vocabulary": []}, ValueError, "at least one"),
        ([["a", "b"]], {"vocabulary": ["x", "y"]}, ValueError, "no such pair"),
    ],
)
def test_bad_text_is_named(arguments: object, options: dict[str, object], error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        cooccurrence(arguments, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "match"),
    [
        ([[1, np.nan], [0, 1]], "NaN"),
        ([[1, np.inf], [0, 1]], "infinity"),
        ([[1, -1], [0, 1]], "at least 0"),
        ([[0, 0], [0, 0]], "at least one pair"),
        ([[1, 2, 3]], r"shape \(V, V\)"),
        (np.zeros((0, 0)), r"shape \(V, V\)"),
    ],
)
def test_bad_counts_are_named(counts: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Cooccurrence(counts)


def test_other_bad_input() -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        Cooccurrence([[1, 1], [1, 1]], ["a"])
    with pytest.raises(ValueError, match="word_counts"):
        Cooccurrence([[1, 1], [1, 1]], word_counts=np.array([1.0, np.nan]))
    pairs = Cooccurrence(sparse.coo_array(np.eye(2)))
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="shift"):
            pmi(pairs, shift=bad)
    with pytest.raises(ValueError, match="exponent"):
        pmi(pairs, exponent=float("inf"))
    with pytest.raises(TypeError, match="Cooccurrence"):
        pmi(np.eye(2))  # type: ignore[arg-type]
