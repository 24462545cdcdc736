"""Skip-gram and CBOW on the token stream: gradients, windows, the expected step, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from kexue_lite.embeddings import cbow, cooccurrence, skip_gram
from kexue_lite.embeddings.skipgram import negative_sampling_gradient, negative_sampling_loss, window_pairs

TEXT = [
    line.split() for line in ("the cat sat on the mat", "the dog sat on the cat", "on the mat the dog sat")
]
MODELS = pytest.mark.parametrize("model", [skip_gram, cbow])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_gradient_by_hand_is_autograds() -> None:
    hidden = torch.randn(5, 4, dtype=torch.float64, generator=seeded()).requires_grad_()
    C = torch.randn(9, 4, dtype=torch.float64, generator=seeded(1)).requires_grad_()
    target, negative = torch.tensor([1, 2, 2, 0, 8]), torch.randint(0, 9, (5, 3), generator=seeded(2))
    by_h, by_C = torch.autograd.grad(negative_sampling_loss(hidden, C, target, negative), (hidden, C))
    by_hidden, rows, by_rows = negative_sampling_gradient(hidden.detach(), C.detach(), target, negative)
    torch.testing.assert_close(by_hidden, by_h, rtol=0, atol=1e-14)
    torch.testing.assert_close(torch.zeros_like(C).index_add_(0, rows, by_rows), by_C, rtol=0, atol=1e-14)


def test_the_loss_is_its_definition() -> None:
    h, C = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.0], [0.0, -1.0]])
    expected = np.log1p(np.exp(-0.5)) + 2 * np.log1p(np.exp(-2.0)) + np.log1p(np.exp(0.5))
    got = negative_sampling_loss(h, C, torch.tensor([0]), torch.tensor([[1, 1, 0]]))
    assert got.item() == pytest.approx(expected, rel=1e-6)


def encoded() -> tuple[list[str], torch.Tensor, torch.Tensor]:
    words = cooccurrence(TEXT, min_count=1).vocabulary
    ids = torch.tensor([words.index(w) for line in TEXT for w in line])
    return list(words), ids, torch.repeat_interleave(torch.arange(3), 6)


def test_windows_have_the_shrinking_weights_of_the_counts() -> None:
    words, ids, sentence = encoded()
    pairs = cooccurrence(TEXT, window=3, min_count=1, weights="shrinking")
    generator, draws = seeded(), 4000
    total = torch.zeros(len(words), len(words))
    for _ in range(draws):
        i, j = window_pairs(ids, sentence, 3, generator=generator)
        assert (sentence[i] == sentence[j]).all() and (i != j).all() and ((i - j).abs() <= 3).all()
        total.index_put_((ids[i], ids[j]), torch.ones(len(i)), accumulate=True)
    # A count in one draw is a sum of at most 4 coins: a mean is off by 5 σ once in millions of tests.
    assert np.abs(total.numpy() / draws - pairs.counts.toarray()).max() <= 5 * np.sqrt(4 / 4 / draws)


def test_the_expected_step_is_the_gradient_of_the_factorisation() -> None:
    words, ids, sentence = encoded()
    pairs = cooccurrence(TEXT, window=2, min_count=1, weights="shrinking")
    k, V = 3, len(words)
    noise = torch.from_numpy(pairs.noise(0.75))
    W, C = torch.randn(2, V, 4, dtype=torch.float64, generator=seeded()).unbind()
    counts = torch.from_numpy(pairs.counts.toarray())
    W_, C_ = W.clone().requires_grad_(), C.clone().requires_grad_()
    X = W_ @ C_.T
    negative = k * counts.sum(1, keepdim=True) * noise
    loss = -(counts * logsigmoid(X) + negative * logsigmoid(-X)).sum()
    exact = torch.cat(torch.autograd.grad(loss, (W_, C_)))
    generator, samples = seeded(1), []
    for _ in range(3000):
        i, j = window_pairs(ids, sentence, 2, generator=generator)
        drawn = torch.multinomial(noise, len(i) * k, replacement=True, generator=generator).view(-1, k)
        by_hidden, rows, by_rows = negative_sampling_gradient(W[ids[i]], C, ids[j], drawn)
        by_W = torch.zeros_like(W).index_add_(0, ids[i], by_hidden)
        samples.append(torch.cat([by_W, torch.zeros_like(C).index_add_(0, rows, by_rows)]))
    stack = torch.stack(samples)
    deviation = (stack.mean(0) - exact) / (stack.std(0) / len(samples) ** 0.5)
    assert deviation.abs().max() <= 5  # 56 entries, each standard normal if the claim is true


@MODELS
def test_words_of_a_kind_become_neighbours(model: Callable[..., Any]) -> None:
    generator = np.random.default_rng(0)
    topics = [("red", "white"), ("wine", "rose")], [("steep", "high"), ("hill", "cliff")]
    text = [[str(generator.choice(part)) for part in topics[generator.integers(2)]] for _ in range(1500)]
    table = model(text, dimensions=6, window=2, epochs=10, generator=seeded())
    for first, second in [p for topic in topics for p in topic]:
        assert table.most_similar(first, count=1)[0][0] == second
    assert table.contexts.shape == table.vectors.shape == (8, 6)


def test_training_lowers_the_loss_even_with_six_words() -> None:
    text = TEXT * 30
    words, ids, sentence = encoded()
    i, j = window_pairs(ids, sentence, 2, generator=seeded())
    negative = torch.randint(0, len(words), (len(i), 5), generator=seeded(1))

    def loss(epochs: int) -> float:
        table = skip_gram(text, dimensions=8, window=2, min_count=1, epochs=epochs, generator=seeded())
        order = [table.row(w) for w in words]
        W, C = torch.from_numpy(table.vectors[order]), torch.from_numpy(table.contexts[order])
        return float(negative_sampling_loss(W[ids[i]], C, ids[j], negative))

    assert loss(30) < 0.9 * loss(1)


@MODELS
def test_a_seed_fixes_everything(model: Callable[..., Any]) -> None:
    runs = [model(TEXT, dimensions=4, min_count=1, epochs=2, generator=seeded(s)).vectors for s in (0, 0, 1)]
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])
    assert np.array_equal(model(TEXT, dimensions=4, min_count=1, epochs=2).vectors, runs[0])


@MODELS
def test_the_vocabulary_is_that_of_the_counts(model: Callable[..., Any]) -> None:
    table = model(TEXT, dimensions=2, min_count=3, epochs=1)
    assert list(table.vocabulary) == list(cooccurrence(TEXT, min_count=3).vocabulary)


@MODELS
@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        ([], {}, ValueError),
        ([[]], {}, ValueError),
        ([["one"]], {"min_count": 1}, ValueError),
        ([["a"] * 9], {"min_count": 1}, ValueError),
        ([["a"], ["b"]], {"min_count": 1}, ValueError),
        (TEXT, {"min_count": 100}, ValueError),
        (TEXT, {"window": 0}, ValueError),
        (TEXT, {"dimensions": 0}, ValueError),
        (TEXT, {"negatives": 0}, ValueError),
        (TEXT, {"epochs": 0}, ValueError),
        (TEXT, {"epochs": 1.5}, ValueError),
        (TEXT, {"learning_rate": 0}, ValueError),
        (TEXT, {"learning_rate": float("nan")}, ValueError),
        (TEXT, {"exponent": float("inf")}, ValueError),
        ("a text", {}, TypeError),
        (["a text"], {}, TypeError),
    ],
)
def test_bad_input_is_refused(
    model: Callable[..., Any], text: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        model(text, **options)
