r"""Training a text classifier on averaged word vectors, and the baseline it must beat (chapter 3).

The recipe: an entry counts once for each text; its weight in the mean is the size of its log-count ratio

    a(w) = max over classes |r|,   r = log( share of w in the class / its share in the others ),

the naive Bayes classifier's own weight (Wang, Manning 2012), so that a word that stands in all classes alike
says nothing from the start; the vectors are then learned under a penalty on their squared length. Pairs of
words and pieces of words have vectors too. The settings were chosen by cross-validation in the training
texts.
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
from kexue_lite.networks.text import (
    POOLINGS,
    AveragedVectors,
    Bags,
    Vocabulary,
    checked_documents,
    checked_settings,
)
from kexue_lite.training import generator_for, minibatches, train


@dataclass(frozen=True)
class TextRecipe:
    """Settings of `train_averaged_vectors`, chosen by cross-validation in the training texts.

    Attributes
    ----------
    longest, pieces, minimum_count
        Entries of the vocabulary, as for `Vocabulary.build`. For Chinese leave the pieces out.
    dimensions
        d.
    once
        Whether an entry counts once for each text, however often it stands there.
    weights
        "log-count ratio" or "equal".
    start
        "naive Bayes": the first K coordinates of a word's vector (K classes) start as r, divided by its
        weight, so that the untrained model is a naive Bayes classifier; "drawn": all are drawn.
    pooling
        As for `AveragedVectors`.
    penalty
        Of the squared lengths of all weights; with N texts, penalty / (2N) is added for each unit.
    epochs, batch_size, rate
        Passes, texts of a step, learning rate of Adam (falls to 0 in a straight line).
    """

    longest: int = 2
    pieces: tuple[int, int] | None = None
    minimum_count: int = 2
    dimensions: int = 8
    once: bool = True
    weights: str = "log-count ratio"
    start: str = "naive Bayes"
    pooling: str = "mean"
    penalty: float = 0.3
    epochs: int = 8
    batch_size: int = 64
    rate: float = 0.003

    def __post_init__(self) -> None:
        for name in ("longest", "minimum_count", "dimensions", "epochs", "batch_size"):
            whole(name, getattr(self, name))
        checked_settings(self.longest, self.pieces)
        if not isinstance(self.once, bool):
            raise TypeError(f"once must be True or False, got {self.once!r}")
        real("penalty", self.penalty, least=0)
        if real("rate", self.rate) <= 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.weights not in ("log-count ratio", "equal"):
            raise ValueError(f"weights must be 'log-count ratio' or 'equal', got {self.weights!r}")
        if self.start not in ("naive Bayes", "drawn"):
            raise ValueError(f"start must be 'naive Bayes' or 'drawn', got {self.start!r}")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {self.pooling!r}")


class TextClassifier:
    """A vocabulary and a trained `AveragedVectors`; made by `train_averaged_vectors`.

    Attributes
    ----------
    vocabulary : Vocabulary
    model : AveragedVectors
    recipe : TextRecipe
    """

    def __init__(self, vocabulary: Vocabulary, model: AveragedVectors, recipe: TextRecipe) -> None:
        self.vocabulary, self.model, self.recipe = vocabulary, model.eval(), recipe

    def bags(self, documents: Sequence[Sequence[str]]) -> Bags:
        """Lists of words as the model sees them."""
        bags = self.vocabulary.encode(documents).to(self.model.head.weight.device)
        return bags.once() if self.recipe.once else bags

    def logits(self, documents: Sequence[Sequence[str]]) -> Tensor:
        """Logits ``(N, classes)`` of lists of words."""
        with torch.no_grad():
            return self.model(self.bags(documents))

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
        Of the first weights and of the order of the texts.
    device
        Where to compute.

    Raises
    ------
    TypeError, ValueError
        If documents are no lists of words, labels do not fit, no word is frequent enough, or the recipe
        starts as naive Bayes with fewer dimensions than there are classes.

    Examples
    --------
    >>> documents = [["good", "fun"], ["no", "fun"], ["good", "film"], ["no", "no"]] * 4
    >>> classifier = train_averaged_vectors(documents, [1, 0, 1, 0] * 4)
    >>> classifier.predict([["good"], ["no"]])
    tensor([1, 0])
    """
    recipe = TextRecipe() if recipe is None else recipe
    if not isinstance(recipe, TextRecipe):
        raise TypeError(f"recipe must be a TextRecipe, got {type(recipe).__name__}")
    if not len(documents):
        raise ValueError("documents must hold at least one document, got none")
    y = class_labels("labels", labels, len(documents))
    vocabulary = Vocabulary.build(
        documents, minimum_count=recipe.minimum_count, longest=recipe.longest, pieces=recipe.pieces
    )
    bags = vocabulary.encode(documents)
    bags = bags.once() if recipe.once else bags
    ratio = log_count_ratio(bags, y, len(vocabulary))
    model = AveragedVectors(
        len(vocabulary),
        ratio.shape[1],
        dimensions=recipe.dimensions,
        weights=ratio.abs().amax(1) if recipe.weights == "log-count ratio" else None,
        pooling=recipe.pooling,
        generator=generator_for(2 * seed, 0),
    )
    if recipe.start == "naive Bayes":
        _naive_bayes(model, ratio)
    model, bags, y = model.to(device), bags.to(device), y.to(device)

    def loss(model: AveragedVectors, rows: Tensor, names: Tensor) -> Tensor:
        return F.cross_entropy(model(bags.select(rows)), names, reduction="none")

    size = min(recipe.batch_size, len(bags))
    steps = recipe.epochs * -(-len(bags) // size)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate, weight_decay=recipe.penalty / len(bags))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    batches = minibatches(torch.arange(len(bags), device=device), y, batch_size=size, seed=2 * seed + 1)
    train(model, loss, batches, optimizer=optimizer, steps=steps, schedule=schedule, progress=False)
    return TextClassifier(vocabulary, model, recipe)


def _naive_bayes(model: AveragedVectors, ratio: Tensor) -> None:
    """Set the first K coordinates of the vectors to the ratios, and the map to read them off."""
    classes = ratio.shape[1]
    if model.head.in_features < classes:
        raise ValueError(
            f"dimensions must be at least {classes}, the number of classes, for start='naive Bayes', "
            f"got {model.head.in_features}"
        )
    with torch.no_grad():
        scale = model.get_buffer("weights").clamp_min(torch.finfo(ratio.dtype).tiny)
        model.vectors.weight[:, :classes] = ratio / scale[:, None]
        model.head.weight[:, :classes] = torch.eye(classes)


def log_count_ratio(bags: Bags, labels: Tensor, vocabulary_size: int) -> Tensor:
    """r, ``(V, K)``: log of an entry's share in a class over its share in the others, 1 added to each count.

    An entry counts once for each text in which it stands. With two classes the columns are opposite.

    Parameters
    ----------
    bags
        N texts.
    labels
        ``(N,)``, from 0 to K − 1.
    vocabulary_size
        V.

    Examples
    --------
    >>> bags = Bags(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 3]))
    >>> log_count_ratio(bags, torch.tensor([1, 0]), 2)[:, 1]  # log of 2/3 over 1/3, and of its inverse
    tensor([ 0.6931, -0.6931])
    """
    single = bags.once()
    if len(labels) != len(bags):
        raise ValueError(f"labels must be one for each of the {len(bags)} texts, got {len(labels)}")
    if len(bags.indices) and int(bags.indices.max()) >= vocabulary_size:
        raise ValueError(f"vocabulary_size must be above {int(bags.indices.max())}, got {vocabulary_size}")
    classes = max(2, int(labels.max()) + 1)
    counts = torch.zeros(vocabulary_size, classes, dtype=torch.float64, device=labels.device)
    one = torch.ones(1, dtype=torch.float64, device=labels.device)
    counts.index_put_((single.indices, labels[single.owners]), one, accumulate=True)
    others = counts.sum(1, keepdim=True) - counts
    shares, rest = ((c + 1) / (c + 1).sum(0) for c in (counts, others))
    return (shares / rest).log().float()


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

    checked_documents(documents)
    y = class_labels("labels", labels, len(documents)).numpy()
    return make_pipeline(CountVectorizer(analyzer=list), LogisticRegression(max_iter=1000)).fit(documents, y)
