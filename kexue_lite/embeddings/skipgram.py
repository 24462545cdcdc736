"""Skip-gram and CBOW with negative sampling as word2vec trains them: pair by pair along the text.

This is the readable twin of `factorize_sgns`: the same objective, but its expectation is met one sample at
a time. For each place in the text a window width is drawn from 1..L; each (centre w, context c) in the
window pays

    −log σ(w·c) − Σ_{i=1..k} log σ(−w·nᵢ),      nᵢ ~ P_α, P_α(n) ∝ #(n)^α,

and its gradient moves the rows at once (Mikolov et al. 2013). CBOW has the mean of the context vectors in
place of w and the centre in place of c. A negative may happen to be the true context, here as in the
expectation; the original program leaves those out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from kexue_lite.embeddings.arguments import above_zero, finite, flatten, random_source, whole
from kexue_lite.embeddings.vectors import WordVectors

_BATCH = 256  # centres per update, at most


def skip_gram(
    sentences: Sequence[Sequence[str]],
    *,
    dimensions: int = 100,
    window: int = 5,
    min_count: int = 5,
    negatives: int = 5,
    exponent: float = 0.75,
    epochs: int = 5,
    learning_rate: float = 0.025,
    generator: torch.Generator | None = None,
) -> WordVectors:
    """Train skip-gram with negative sampling on a stream of tokens (chapter 4, section 4.4).

    Parameters
    ----------
    sentences
        Lists of tokens.
    dimensions
        d.
    window, min_count
        As for `cooccurrence` with ``weights="shrinking"``.
    negatives, exponent
        k and α.
    epochs, learning_rate
        Passes over the text; the rate falls linearly from `learning_rate` to a hundredth of it.
    generator
        Of everything random; seed 0 if left out. Training runs on its device.

    Returns
    -------
    WordVectors
        `.vectors` W and `.contexts` C, both trained.

    Raises
    ------
    TypeError
        If `sentences` is a text or holds texts.
    ValueError
        If an option is out of range, or the text has fewer than two words of the vocabulary in one sentence.

    Examples
    --------
    >>> text = [["red", "wine"], ["white", "wine"], ["red", "rose"], ["white", "rose"]] * 50
    >>> table = skip_gram(text, dimensions=5, epochs=20)
    >>> table.most_similar("red", count=1)[0][0]
    'white'
    """
    return _train(
        sentences, False, dimensions, window, min_count, negatives, exponent, epochs, learning_rate, generator
    )


def cbow(
    sentences: Sequence[Sequence[str]],
    *,
    dimensions: int = 100,
    window: int = 5,
    min_count: int = 5,
    negatives: int = 5,
    exponent: float = 0.75,
    epochs: int = 5,
    learning_rate: float = 0.05,
    generator: torch.Generator | None = None,
) -> WordVectors:
    """Train CBOW with negative sampling: the mean of the context's vectors predicts the centre (section 4.4).

    Arguments, result and errors are those of `skip_gram`. `.vectors` holds the input side (the words that are
    averaged), `.contexts` the output side.

    Examples
    --------
    >>> text = [["red", "wine"], ["white", "wine"], ["red", "rose"], ["white", "rose"]] * 50
    >>> cbow(text, dimensions=5, epochs=20).most_similar("red", count=1)[0][0]
    'white'
    """
    return _train(
        sentences, True, dimensions, window, min_count, negatives, exponent, epochs, learning_rate, generator
    )


def window_pairs(
    ids: Tensor, sentence: Tensor, window: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Places (i, j) of centre and context, for one draw of the window widths.

    Parameters
    ----------
    ids, sentence
        Word numbers of the text and the number of the sentence each stands in, both of shape ``(T,)``.
    window
        L. Place i sees place j if |i − j| is at most its width, drawn from 1..L, and the sentence is the
        same: at distance r with probability (L − r + 1)/L, the ``"shrinking"`` weight of `cooccurrence`.

    Returns
    -------
    centre, context
        Places in the text, each of shape ``(pairs,)``, sorted by centre.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> window_pairs(torch.tensor([7, 8, 9]), torch.tensor([0, 0, 1]), 1, generator=generator)
    (tensor([0, 1]), tensor([1, 0]))
    """
    T = len(ids)
    width = torch.randint(1, window + 1, (T,), generator=generator, device=ids.device)
    place = torch.arange(T, device=ids.device)
    centres, contexts = [place[:0]], [place[:0]]
    reach = min(window, T - 1)
    for offset in chain(range(-reach, 0), range(1, reach + 1)):
        i = place[max(0, -offset) : T - max(0, offset)]
        seen = (width[i] >= abs(offset)) & (sentence[i] == sentence[i + offset])
        centres.append(i[seen])
        contexts.append(i[seen] + offset)
    centre, context = torch.cat(centres), torch.cat(contexts)
    order = centre.argsort(stable=True)
    return centre[order], context[order]


def negative_sampling_loss(hidden: Tensor, C: Tensor, target: Tensor, negative: Tensor) -> Tensor:
    """−Σ log σ(h·c) − Σ Σ log σ(−h·n): what a batch pays (chapter 4, section 4.4).

    Parameters
    ----------
    hidden
        ``(B, d)``: the centre's vector (skip-gram) or the mean of the context's (CBOW).
    C
        ``(V, d)``.
    target, negative
        Word numbers, ``(B,)`` and ``(B, k)``.

    Examples
    --------
    >>> h, C = torch.zeros(1, 2), torch.zeros(3, 2)
    >>> negative_sampling_loss(h, C, torch.tensor([0]), torch.tensor([[1, 2]])) / torch.log(torch.tensor(2.0))
    tensor(3.)
    """
    positive = (hidden * C[target]).sum(-1)  # (B,)
    noise = (hidden[:, None] * C[negative]).sum(-1)  # (B, k)
    return -(logsigmoid(positive).sum() + logsigmoid(-noise).sum())


def negative_sampling_gradient(
    hidden: Tensor, C: Tensor, target: Tensor, negative: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of `negative_sampling_loss` by hand: each score's error is σ(score) − label.

    Returns
    -------
    by_hidden, outputs, by_outputs
        With respect to `hidden`, ``(B, d)``; the rows of C that are touched, ``(B·(1+k),)``, and the gradient
        with respect to each, ``(B·(1+k), d)``: rows named twice have theirs added.

    Examples
    --------
    >>> h, C = torch.ones(1, 2), torch.zeros(3, 2)
    >>> negative_sampling_gradient(h, C, torch.tensor([0]), torch.tensor([[1, 1]]))[2]
    tensor([[-0.5000, -0.5000],
            [ 0.5000,  0.5000],
            [ 0.5000,  0.5000]])
    """
    outputs = torch.cat([target[:, None], negative], 1)  # (B, 1+k)
    rows = C[outputs]  # (B, 1+k, d)
    error = torch.sigmoid((rows @ hidden[:, :, None])[..., 0])  # (B, 1+k)
    error[:, 0] -= 1  # the label of the true one
    by_hidden = (error[:, None] @ rows)[:, 0]
    return by_hidden, outputs.flatten(), (error[..., None] * hidden[:, None]).flatten(0, 1)


def _train(
    sentences: Sequence[Sequence[str]],
    mean_of_context: bool,
    dimensions: int,
    window: int,
    min_count: int,
    negatives: int,
    exponent: float,
    epochs: int,
    learning_rate: float,
    generator: torch.Generator | None,
) -> WordVectors:
    options = {"dimensions": dimensions, "window": window, "min_count": min_count, "negatives": negatives}
    for name, value in {**options, "epochs": epochs}.items():
        whole(name, value)
    above_zero("learning_rate", learning_rate)
    finite("exponent", exponent)
    generator = random_source(generator)
    words, ids, sentence = _encode(sentences, min_count, generator.device)
    V = len(words)
    frequency = torch.bincount(ids, minlength=V).double()
    noise = frequency**exponent
    if not 0 < float(noise.sum()) < float("inf"):
        raise ValueError(f"exponent must leave the powers of the counts finite, got {exponent}")
    # All pairs of a batch move their rows from the same place. With few words, or one very frequent word, a
    # large batch would move one row hundreds of times at once and diverge: so two centres for each word.
    batch = int((2 * len(ids) / frequency.max()).clamp(1, _BATCH))
    W = (torch.rand(V, dimensions, generator=generator, device=ids.device) - 0.5) / dimensions
    C = torch.zeros_like(W)
    for epoch in range(epochs):
        centre, context = window_pairs(ids, sentence, window, generator=generator)
        if len(centre) == 0:
            raise ValueError("sentences must hold two words of the vocabulary in one sentence")
        for start, (i, j) in _batches(centre, context, batch):
            progress = (epoch + start / len(centre)) / epochs
            rate = learning_rate * max(0.01, 1 - progress)
            if mean_of_context:
                place, inverse, sizes = i.unique_consecutive(return_inverse=True, return_counts=True)
                share = 1 / sizes[inverse].float()
                rows, weight, target = ids[j], share, ids[place]
                hidden = W.new_zeros(len(place), dimensions).index_add_(0, inverse, W[rows] * weight[:, None])
            else:
                rows, target = ids[i], ids[j]
                hidden = W[rows]
            draws = torch.multinomial(noise, len(target) * negatives, replacement=True, generator=generator)
            by_hidden, outputs, by_outputs = negative_sampling_gradient(
                hidden, C, target, draws.view(-1, negatives)
            )
            if mean_of_context:
                by_hidden = by_hidden[inverse] * weight[:, None]
            W.index_add_(0, rows, by_hidden, alpha=-rate)
            C.index_add_(0, outputs, by_outputs, alpha=-rate)
    return WordVectors(W.cpu().numpy(), words, C.cpu().numpy())


def _batches(centre: Tensor, context: Tensor, size: int) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """Pairs of `size` neighbouring centres at a time, batches in the order of the text."""
    edges = torch.arange(0, int(centre[-1]) + 1, size, device=centre.device)
    cuts = torch.searchsorted(centre, edges).tolist()
    for start, stop in zip(cuts, [*cuts[1:], len(centre)], strict=True):
        if stop > start:
            yield start, (centre[start:stop], context[start:stop])


def _encode(
    sentences: Sequence[Sequence[str]], min_count: int, device: torch.device
) -> tuple[list[str], Tensor, Tensor]:
    tokens, lengths = flatten(sentences)
    try:
        frequency = Counter(tokens)
    except TypeError as error:
        raise TypeError(f"sentences must hold strings as tokens: {error}") from error
    words = [word for word, count in frequency.most_common() if count >= min_count]
    if len(words) < 2:
        raise ValueError(
            f"sentences must hold at least two words that occur min_count={min_count} times; got {len(words)}"
        )
    row = {word: i for i, word in enumerate(words)}
    ids = np.array([row.get(token, -1) for token in tokens])
    number = np.repeat(np.arange(len(lengths)), lengths)
    known = ids >= 0
    return words, torch.from_numpy(ids[known]).to(device), torch.from_numpy(number[known]).to(device)
