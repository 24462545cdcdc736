"""word2vec as a matrix factorisation: loss, gradient, fixed point, training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kexue_lite.embeddings import factorize as module
from kexue_lite.embeddings.counts import Cooccurrence, pmi
from kexue_lite.embeddings.factorize import factorize_sgns
from kexue_lite.embeddings.sgns import sgns_dense, sgns_gradient, sgns_loss
from kexue_lite.embeddings.vectors import WordVectors

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def toy(size: int = 12, *, zeros: float = 0.4, seed: int = 0) -> Cooccurrence:
    """Counts of unequal words, not symmetric, some of them zero."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 60, (size, size)) / np.arange(1, size + 1)[:, None]
    return Cooccurrence(counts * (rng.random((size, size)) >= zeros))


def table_for(pairs: Cooccurrence, dimensions: int = 4, *, seed: int = 1) -> WordVectors:
    W, C = np.random.default_rng(seed).normal(size=(2, len(pairs.vocabulary), dimensions))
    return WordVectors(W, pairs.vocabulary, contexts=C)


def dense(table: WordVectors, pairs: Cooccurrence, noise: np.ndarray, negatives: float) -> tuple:
    parts = (table.vectors, table.contexts, pairs.counts.toarray(), noise)
    return sgns_dense(*(torch.tensor(part) for part in parts), negatives=negatives)


@pytest.mark.parametrize("rows", [1, 5, 1024])
def test_loss_and_gradient_equal_their_dense_twin(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kexue_lite.embeddings.sgns._ROWS", rows)
    pairs = toy()
    table = table_for(pairs)
    loss, dW, dC = dense(table, pairs, pairs.noise(0.6), 3)
    assert sgns_loss(table, pairs, negatives=3, exponent=0.6) == pytest.approx(float(loss), rel=1e-13)
    gradient = sgns_gradient(table, pairs, negatives=3, exponent=0.6)
    np.testing.assert_allclose(gradient[0], dW, atol=1e-14)
    np.testing.assert_allclose(gradient[1], dC, atol=1e-14)


def test_gradient_is_the_derivative_of_the_loss() -> None:
    pairs = toy()
    W, C = (
        torch.tensor(t, requires_grad=True) for t in (table_for(pairs).vectors, table_for(pairs).contexts)
    )
    loss, dW, dC = sgns_dense(W, C, torch.tensor(pairs.counts.toarray()), torch.tensor(pairs.noise(0.75)))
    loss.backward()
    torch.testing.assert_close(dW, W.grad, rtol=0, atol=1e-14)
    torch.testing.assert_close(dC, C.grad, rtol=0, atol=1e-14)


def test_gradient_is_the_expectation_of_skip_grams() -> None:
    """By enumeration: every pair (w,c) and every noise word, with its probability; then autograd."""
    pairs, k = toy(5), 3
    table, noise = table_for(pairs, 2), pairs.noise(0.75)
    W, C = (torch.tensor(t, requires_grad=True) for t in (table.vectors, table.contexts))
    loss = torch.zeros((), dtype=torch.float64)
    for w, c in zip(*pairs.counts.nonzero(), strict=True):
        probability = pairs.counts[w, c] / pairs.total
        loss = loss - probability * torch.sigmoid(W[w] @ C[c]).log()
        for n in range(5):  # each of the k draws is word n with probability P(n)
            loss = loss - probability * k * noise[n] * torch.sigmoid(-W[w] @ C[n]).log()
    loss.backward()
    assert loss.item() == pytest.approx(sgns_loss(table, pairs, negatives=k), rel=1e-12)
    dW, dC = sgns_gradient(table, pairs, negatives=k)
    np.testing.assert_allclose(dW, W.grad, atol=1e-14)
    np.testing.assert_allclose(dC, C.grad, atol=1e-14)


def test_sampled_skip_gram_gradients_average_to_it() -> None:
    """By Monte Carlo: pairs and negatives drawn as word2vec draws them, within five standard errors."""
    pairs, k, draws = toy(5), 3, 200_000
    table, rng = table_for(pairs, 2), np.random.default_rng(2)
    counts = pairs.counts.tocoo()
    pick = rng.choice(counts.nnz, draws, p=counts.data / counts.data.sum())
    w, c = counts.row[pick], counts.col[pick]
    negatives = rng.choice(5, (draws, k), p=pairs.noise(0.75))

    def slope(words: np.ndarray, contexts: np.ndarray, label: float) -> np.ndarray:
        x = (table.vectors[words] * table.contexts[contexts]).sum(-1)
        return (1 / (1 + np.exp(-x)) - label)[..., None] * table.contexts[contexts]

    sample = slope(w, c, 1) + slope(w[:, None], negatives, 0).sum(1)
    steps = np.zeros((draws, 5, 2))
    steps[np.arange(draws), w] = sample
    error = steps.mean(0) - sgns_gradient(table, pairs, negatives=k)[0]
    assert (abs(error) < 5 * steps.std(0) / draws**0.5).all()


@pytest.mark.parametrize(("exponent", "negatives"), [(1.0, 1), (0.75, 5)])
def test_full_rank_reaches_the_shifted_pmi(exponent: float, negatives: int) -> None:
    """Levy and Goldberg's theorem: on counts without zeros, max |W Cᵀ − (PMI − log k)| ≤ 1e-5."""
    pairs = toy(20, zeros=0)
    table = factorize_sgns(pairs, dimensions=20, negatives=negatives, exponent=exponent, refine=5000)
    target = pmi(pairs, shift=negatives, exponent=exponent).toarray()
    assert table.contexts is not None
    assert abs(table.vectors @ table.contexts.T - target).max() <= 1e-5


def test_pairs_never_seen_run_away_to_minus_infinity() -> None:
    pairs = toy(8, zeros=0.3)
    never = pairs.counts.toarray() == 0
    scores = []
    for steps in (10, 200):
        table = factorize_sgns(pairs, dimensions=8, refine=steps)
        scores.append((table.vectors @ table.contexts.T)[never].max())
    assert scores[1] < scores[0] - 2


def test_training_comes_near_the_minimum_and_lbfgs_agrees() -> None:
    pairs = toy(60, seed=3)
    minimum = sgns_loss(factorize_sgns(pairs, dimensions=5, refine=300), pairs)
    trained = sgns_loss(factorize_sgns(pairs, dimensions=5, passes=20), pairs)
    zeros = WordVectors(np.zeros((60, 5)), pairs.vocabulary, contexts=np.zeros((60, 5)))
    start = sgns_loss(zeros, pairs)
    assert trained - minimum < 0.01 * (start - minimum)


def test_steps_of_a_block_follow_the_exact_gradient() -> None:
    """The block's gradients, with the row factors that Adam would divide away, are those of `sgns_dense`."""
    pairs, k = toy(10), 5.0
    n, P = pairs.word_marginal / pairs.total, pairs.noise(0.75)
    mass, noise = torch.tensor(n), torch.tensor(P)
    generator = torch.Generator().manual_seed(0)
    words, contexts = (module._Table(10, 3, own, 0.0, torch.float64, generator) for own in (mass, noise))
    table = WordVectors(words.rows.clone() + 0.3, pairs.vocabulary, contexts=contexts.rows.clone() - 0.4)
    words.rows[:], contexts.rows[:] = torch.tensor(table.vectors), torch.tensor(table.contexts)
    dW, dC = sgns_gradient(table, pairs, negatives=k)
    got_W, got_C = torch.zeros(10, 3, dtype=torch.float64), torch.zeros(10, 3, dtype=torch.float64)
    words.move = lambda which, gradient, rate: got_W[which].copy_(gradient)  # type: ignore[method-assign]
    contexts.move = lambda which, gradient, rate: got_C.add_(gradient / 4)  # type: ignore[method-assign]
    half = module._Half(words, contexts, module._ratio(pairs, k, 0.75), 4, torch.float64)
    for block in range(4):
        half.step(block, 1.0)
    np.testing.assert_allclose(got_W * k * mass[:, None], dW, atol=1e-14)
    np.testing.assert_allclose(got_C * k * noise[:, None], dC, atol=1e-14)


def test_levels_grow_to_the_whole_and_hand_on_their_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(module._schedule(14_000, 4)) == [(2000, 8), (4900, 8), (14_000, 4)]
    assert list(module._schedule(4_000, 2)) == [(1400, 8), (4000, 2)]
    assert list(module._schedule(50, 3)) == [(50, 15)]
    pairs = toy(60, seed=3)
    plain = sgns_loss(factorize_sgns(pairs, dimensions=5), pairs)
    monkeypatch.setattr(module, "_SMALLEST_LEVEL", 5)
    assert sgns_loss(factorize_sgns(pairs, dimensions=5), pairs) == pytest.approx(plain, rel=0.03)


def test_same_seed_same_tables_and_another_seed_another() -> None:
    pairs = toy(40)

    def tables(seed: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        return factorize_sgns(pairs, dimensions=3, generator=generator, passes=2).vectors

    np.testing.assert_array_equal(tables(0), tables(0))
    np.testing.assert_array_equal(tables(0), factorize_sgns(pairs, dimensions=3, passes=2).vectors)
    assert abs(tables(0) - tables(1)).max() > 1e-3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float64", 1e-9), ("float32", 1e-4), ("bfloat16", 0.02)]
)
def test_every_device_and_precision_ends_at_the_same_loss(
    device: str, precision: str, tolerance: float
) -> None:
    pairs = toy(50)
    reference = sgns_loss(factorize_sgns(pairs, dimensions=4, precision="float64"), pairs)
    table = factorize_sgns(pairs, dimensions=4, precision=precision, device=device)  # type: ignore[arg-type]
    assert table.vectors.dtype == (np.float64 if precision == "float64" else np.float32)
    assert sgns_loss(table, pairs, device=device) == pytest.approx(reference, abs=tolerance)


def test_penalty_shortens_vectors_those_of_rare_words_most() -> None:
    pairs = toy(60, seed=3)
    free, bound = (factorize_sgns(pairs, dimensions=8, passes=10, penalty=p) for p in (0.0, 3.0))
    shrunk = np.linalg.norm(bound.vectors, axis=1) / np.linalg.norm(free.vectors, axis=1)

    def square(table: WordVectors) -> float:
        return float((table.vectors**2).sum() + (table.contexts**2).sum())

    assert square(bound) < 0.8 * square(free)
    assert shrunk[40:].mean() < shrunk[:10].mean()


def test_words_without_any_pair_stay_finite() -> None:
    counts = toy(20).counts.toarray()
    counts[4], counts[:, 7] = 0, 0
    pairs = Cooccurrence(counts)
    table = factorize_sgns(pairs, dimensions=3, penalty=1.0, refine=5)
    assert np.isfinite(sgns_loss(table, pairs))


def test_vocabulary_of_one_finds_its_score() -> None:
    pairs = Cooccurrence([[4]], ["a"])
    table = factorize_sgns(pairs, dimensions=1, negatives=5, refine=100)
    assert float(table.vectors[0, 0] * table.contexts[0, 0]) == pytest.approx(-np.log(5), abs=1e-5)


def test_held_out_loss_takes_the_noise_of_the_training_text() -> None:
    pairs, unseen = toy(10), toy(10, seed=9)
    table = table_for(pairs)
    loss, _, _ = dense(table, unseen, pairs.noise(0.75), 5)
    assert sgns_loss(table, unseen, noise=pairs.noise(0.75)) == pytest.approx(float(loss), rel=1e-13)
    assert sgns_loss(table, unseen) != pytest.approx(float(loss), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dimensions": 13}, "at most the size of the vocabulary, 12, got 13"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 2.0}, "dimensions"),
        ({"dimensions": 2, "negatives": 0}, "negatives"),
        ({"dimensions": 2, "negatives": float("nan")}, "negatives"),
        ({"dimensions": 2, "exponent": float("nan")}, "exponent"),
        ({"dimensions": 2, "passes": 0}, "passes"),
        ({"dimensions": 2, "refine": -1}, "refine"),
        ({"dimensions": 2, "penalty": -1.0}, "penalty"),
        ({"dimensions": 2, "precision": "half"}, "'half'"),
    ],
)
def test_bad_options_are_named(options: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        factorize_sgns(toy(), **options)


def test_bad_tables_are_named() -> None:
    pairs = toy()
    table = table_for(pairs)
    with pytest.raises(TypeError, match="Cooccurrence"):
        factorize_sgns(np.eye(3), dimensions=2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="WordVectors"):
        sgns_loss(np.eye(12), pairs)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="contexts"):
        sgns_loss(WordVectors(table.vectors, table.vocabulary), pairs)
    with pytest.raises(ValueError, match="same vocabulary"):
        sgns_loss(table, toy(5))
    with pytest.raises(ValueError, match="noise"):
        sgns_loss(table, pairs, noise=np.ones(12))
    with pytest.raises(ValueError, match="noise"):
        sgns_loss(table, pairs, noise=np.ones(3) / 3)
