"""Chapter 4's room at its edges: every kind of input, the limits of the number formats, bad input."""

import numpy as np
import pytest
import torch
from scipy import sparse

from kexue_lite.embeddings import (
    Cooccurrence,
    WordVectors,
    cbow,
    cooccurrence,
    factorize_sgns,
    linear_autoencoder,
    pmi,
    sgns_gradient,
    sgns_loss,
    skip_gram,
    svd_vectors,
    truncated_svd,
)

TEXT = [["a", "b", "a", "c"], ["b", "c", "d"], ["a", "d"]] * 5
PAIRS = cooccurrence(TEXT, min_count=1)
TABLE = WordVectors([[1, 0], [1, 1], [0, 1]], ["a", "b", "c"])


# -- counts --


def test_the_callers_matrix_stays_as_it_is():
    given = sparse.csr_array(np.array([[1.0, 2.0], [3.0, 4.0]]))
    given.data[0] = 0  # a stored zero
    assert Cooccurrence(given).counts.nnz == 3 and given.nnz == 4


def test_entries_that_stand_twice_are_one_pair():
    twice = sparse.csr_array((np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 2, 2])), shape=(2, 2))
    assert Cooccurrence(twice).counts.data.tolist() == [3.0]


def test_words_of_numpy_become_strings():
    pairs = cooccurrence(np.array([["a", "b"], ["b", "a"]]), min_count=1)
    assert [type(word) for word in pairs.vocabulary] == [str, str]
    assert type(WordVectors([[1.0]], np.array(["a"])).vocabulary[0]) is str


@pytest.mark.parametrize("counts, words", [
    (np.full((2, 2), 1j), "real numbers"), ("ab", "counts must"), (None, "counts must"), (3, "counts must"),
    (np.ones((2, 2, 2)), "counts must"), ([[1], [1, 2]], "counts must"), ([["a", "b"]] * 2, "counts must"),
])  # fmt: skip
def test_what_is_no_matrix_of_counts(counts, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Cooccurrence(counts)


def test_a_vocabulary_of_numbers():
    with pytest.raises(TypeError, match="vocabulary must hold strings"):
        Cooccurrence(np.ones((2, 2)), [1, 2])


@pytest.mark.parametrize("sentences", [None, 5, [None], [[["a"]]]])
@pytest.mark.parametrize("use", [cooccurrence, skip_gram, cbow])
def test_what_is_no_text(use, sentences):
    with pytest.raises(TypeError, match="sentences must"):
        use(sentences, min_count=1)


@pytest.mark.parametrize("exponent", [1e4, -1e6])
def test_an_exponent_out_of_reach(exponent):
    with pytest.raises(ValueError, match="exponent"):
        PAIRS.noise(exponent)
    with pytest.raises(ValueError, match="exponent"):
        skip_gram(TEXT, dimensions=2, exponent=exponent)


@pytest.mark.parametrize("call", [
    lambda bad: PAIRS.noise(bad), lambda bad: pmi(PAIRS, shift=bad), lambda bad: pmi(PAIRS, exponent=bad),
    lambda bad: svd_vectors(PAIRS, dimensions=2, power=bad),
    lambda bad: truncated_svd(np.eye(3), 1, tolerance=bad),
    lambda bad: factorize_sgns(PAIRS, dimensions=2, negatives=bad),
    lambda bad: factorize_sgns(PAIRS, dimensions=2, penalty=bad),
    lambda bad: skip_gram(TEXT, learning_rate=bad),
    lambda bad: skip_gram(TEXT, exponent=bad),
])  # fmt: skip
@pytest.mark.parametrize("bad", ["a", None, [1.0]])
def test_numbers_that_are_none(call, bad):
    with pytest.raises(TypeError, match="must be a number"):
        call(bad)


@pytest.mark.parametrize("call", [
    lambda: factorize_sgns(PAIRS, dimensions=2, generator=3), lambda: skip_gram(TEXT, generator=3),
    lambda: truncated_svd(np.eye(3), 1, generator=3) and truncated_svd(sparse.eye_array(400), 1, generator=3),
])  # fmt: skip
def test_a_seed_is_no_generator(call):
    with pytest.raises(TypeError, match="generator must be"):
        call()


@pytest.mark.parametrize("steps", [0, 2.5, "a", True])
def test_steps_of_the_autoencoder(steps):
    with pytest.raises(ValueError, match="steps must be"):
        linear_autoencoder(np.eye(3), 1, steps=steps)


# -- the token stream --


@pytest.mark.parametrize("train", [skip_gram, cbow])
def test_a_text_that_can_be_read_once(train):
    options = {"dimensions": 2, "epochs": 1, "min_count": 1}
    once = train(iter([iter(sentence) for sentence in TEXT]), **options)
    np.testing.assert_array_equal(once.vectors, train(TEXT, **options).vectors)


# -- vectors --


@pytest.mark.parametrize("rows", [
    np.array([[1e200, 1e200], [-1e200, 1e200], [3e-200, 3e-200]]),
    np.array([[1e30, 1e30], [-1e30, 1e30], [3e-30, 3e-30]], np.float32),
    np.array([[300, 300], [-300, 300], [1e-4, 1e-4]], np.float16),
])  # fmt: skip
def test_cosines_do_not_depend_on_lengths(rows):
    table = WordVectors(rows, ["a", "b", "c"])
    assert abs(table.similarity("a", "c") - 1) < 1e-6 and abs(table.similarity("a", "b")) < 1e-6


def test_a_table_of_half_precision_tensors():
    assert WordVectors(torch.ones(1, 2).bfloat16(), ["a"]).vectors.dtype == np.float32


def test_the_word2vec_format_holds_single_precision(tmp_path):
    with pytest.raises(ValueError, match="single precision"):
        WordVectors([[1e300]], ["a"]).save_word2vec_format(tmp_path / "vectors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ratings", [
    [("a", "b", 1.0), ("a", "c", 1.0), ("b", "c", 1.0)], [("a", "b", 1.0)] * 5, [3] * 4,
    [("a", "b", "high")] * 4,
])  # fmt: skip
def test_ratings_without_ranks(ratings):
    with pytest.raises(ValueError, match="similarities must"):
        TABLE.evaluate(similarities=ratings)


def test_analogies_that_are_none():
    with pytest.raises(ValueError, match="analogies must be quadruples"):
        TABLE.evaluate(analogies=[None])


def test_a_loss_needs_a_positive_number_of_negatives():
    table = WordVectors(np.ones((4, 2)), PAIRS.vocabulary, np.ones((4, 2)))
    with pytest.raises(TypeError, match="negatives must be a number"):
        sgns_loss(table, PAIRS, negatives="five")


def test_refinement_with_a_penalty_ends_where_its_gradient_vanishes():
    table = factorize_sgns(PAIRS, dimensions=2, negatives=1, penalty=2.0, refine=2000)
    slopes = sgns_gradient(table, PAIRS, negatives=1)
    for rows, slope in zip((table.vectors, table.contexts), slopes, strict=True):
        np.testing.assert_allclose(slope + 2.0 / PAIRS.total * rows, 0, atol=1e-8)
        assert np.abs(rows).max() > 0.1
