r"""Training a text classifier on averaged word vectors, and the baseline it must beat (chapter 3).

The recipe: pairs of words are words too; the first coordinate of each vector starts as the log-count ratio

    r_w = log( share of w among the words of class 1 / its share in class 0 ),

the naive Bayes classifier's own weight (Wang, Manning 2012); words are dropped at random while training; the
weights are averaged along the way. Everything is chosen on a part of the training texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kexue_lite.networks.arguments import class_labels, real, whole
from kexue_lite.networks.scores import Accuracy, accuracy
from kexue_lite.networks.text import AveragedVectors, Bags, Vocabulary
from kexue_lite.training import generator_for, minibatches, train


@dataclass(frozen=True)
class TextRecipe:
    """Settings of `train_averaged_vectors`; the defaults were chosen on parts of the training texts.

    Attributes
    ----------
    longest
        Words of the longest entries of the vocabulary.
    minimum_count
        Texts in which an entry must stand.
    dimensions
        d.
    drop
        Share of the words that are left out at each step.
    epochs, batch_size, rate
        Passes, texts of a step, learning rate of Adam (falls to 0 in a straight line).
    start
        "log-count ratio" (with two classes only; else drawn) or "drawn".
    """

    longest: int = 2
    minimum_count: int = 2
    dimensions: int = 32
    drop: float = 0.3
    epochs: int = 10
    batch_size: int = 64
    rate: float = 0.01
    start: str = "log-count ratio"

    def __post_init__(self) -> None:
        for name in ("longest", "minimum_count", "dimensions", "epochs", "batch_size"):
            whole(name, getattr(self, name))
        real("drop", self.drop, least=0, most=0.99)
        if real("rate", self.rate) <= 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.start not in ("log-count ratio", "drawn"):
            raise ValueError(f"start must be 'log-count ratio' or 'drawn', got {self.start!r}")


class TextClassifier:
    """A vocabulary and a trained `AveragedVectors`; made by `train_averaged_vectors`.

    Attributes
    ----------
    vocabulary : Vocabulary
    model : AveragedVectors
    """

    def __init__(self, vocabulary: Vocabulary, model: AveragedVectors) -> None:
        self.vocabulary, self.model = vocabulary, model.eval()

    def logits(self, documents: Sequence[Sequence[str]]) -> Tensor:
        """Logits ``(N, classes)`` of lists of words."""
        bags = self.vocabulary.encode(documents).to(self.model.head.weight.device)
        with torch.no_grad():
            return self.model(bags)

    def predict(self, documents: Sequence[Sequence[str]]) -> Tensor:
        """The likeliest class of each document, ``(N,)``."""
        return self.logits(documents).argmax(1)

    def accuracy(self, documents: Sequence[Sequence[str]], labels: Any) -> Accuracy:
        """Share of right answers, with its interval."""
        return accuracy(self.logits(documents), labels)


def train_averaged_vectors(
    documents: Sequence[Sequence[str]],
    labels: Tensor | np.ndarray | Sequence[int],
    *,
    recipe: TextRecipe | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> TextClassifier:
    """Learn a vocabulary, its vectors and a linear map from labelled texts.

    Parameters
    ----------
    documents
        N lists of words, not all of them empty.
    labels
        ``(N,)``, whole numbers from 0; the number of classes is the largest plus 1, at least 2.
    recipe
        The settings; `TextRecipe` as it is if left out.
    seed
        Of the first weights, of the order of the texts, and of the words that are dropped.
    device
        Where to compute.

    Raises
    ------
    TypeError, ValueError
        If documents are no lists of words, labels do not fit, or no word is frequent enough.

    Examples
    --------
    >>> documents = [["good", "fun"], ["no", "fun"], ["good", "film"], ["no", "no"]] * 4
    >>> classifier = train_averaged_vectors(documents, [1, 0, 1, 0] * 4)
    >>> classifier.predict([["good"], ["no"]])
    tensor([1, 0])
    """
    recipe = recipe or TextRecipe()
    if not len(documents):
        raise ValueError("documents must hold at least one document, got none")
    y = class_labels("labels", labels, len(documents))
    vocabulary = Vocabulary.build(documents, minimum_count=recipe.minimum_count, longest=recipe.longest)
    bags = vocabulary.encode(documents)
    classes = max(2, int(y.max()) + 1)
    model = AveragedVectors(
        len(vocabulary), classes, dimensions=recipe.dimensions, generator=generator_for(seed, 0)
    )
    if classes == 2 and recipe.start == "log-count ratio":
        with torch.no_grad():
            model.vectors.weight[:, 0] = log_count_ratio(bags, y, len(vocabulary))
            model.head.weight[:, 0] = torch.tensor([-1.0, 1.0])
    model, bags, y = model.to(device), bags.to(device), y.to(device)
    dropping = generator_for(seed, 1, device=y.device)

    def loss(model: AveragedVectors, rows: Tensor, names: Tensor) -> Tensor:
        chosen = bags.select(rows).dropped(recipe.drop, generator=dropping)
        return F.cross_entropy(model(chosen), names, reduction="none")

    size = min(recipe.batch_size, len(bags))
    steps = recipe.epochs * -(-len(bags) // size)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    batches = minibatches(torch.arange(len(bags), device=device), y, batch_size=size, seed=seed)
    train(model, loss, batches, optimizer=optimizer, steps=steps, schedule=schedule, progress=False)
    return TextClassifier(vocabulary, model)


def log_count_ratio(bags: Bags, labels: Tensor, vocabulary_size: int) -> Tensor:
    """r, ``(V,)``: log of each entry's share in class 1 over its share in class 0, one added to each count.

    An entry counts once for each text in which it stands.

    Examples
    --------
    >>> bags = Bags(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 3]))
    >>> log_count_ratio(bags, torch.tensor([1, 0]), 2)  # log 2/1, log 1/2
    tensor([ 0.6931, -0.6931])
    """
    owner = torch.arange(len(bags)).repeat_interleave(bags.lengths)
    once = torch.stack([owner, bags.indices]).unique(dim=1)
    counts = torch.ones(2, vocabulary_size, dtype=torch.float64)
    counts.index_put_((labels[once[0]], once[1]), torch.ones(1, dtype=torch.float64), accumulate=True)
    shares = counts / counts.sum(1, keepdim=True)
    return (shares[1] / shares[0]).log().float()


def bag_of_words_baseline(documents: Sequence[Sequence[str]], labels: Any) -> Any:
    """Counts of words and logistic regression by scikit-learn, fitted: what a sceptic would try first.

    Parameters
    ----------
    documents
        N lists of words.
    labels
        ``(N,)``.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With ``predict(documents)``.

    Examples
    --------
    >>> model = bag_of_words_baseline([["good"], ["bad"], ["good", "fun"]], [1, 0, 1])
    >>> model.predict([["bad"], ["fun"]])
    array([0, 1])
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    counts = CountVectorizer(analyzer=list)
    return make_pipeline(counts, LogisticRegression(max_iter=1000)).fit(documents, np.asarray(labels))
