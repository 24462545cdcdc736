r"""Texts by the mean of their word vectors (chapter 3, section 3.10).

    h(text) = (1/n) Σᵢ E[wᵢ],    logits = W h + b,

with one vector E[w] for each word, learned by the classifier itself. The sum of a text's vectors is its bag
of words times E (article 4233 makes this its first point, chapter 4 takes it up), so this is a linear model
of word shares whose matrix E W has low rank. Pairs of neighbouring words can be counted as words too (Joulin
and others 2016, "Bag of tricks for efficient text classification").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kexue_lite.networks.arguments import whole

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|[!?]")


def words(text: str) -> list[str]:
    """The words of an English text in lower case; "!" and "?" count as words.

    A word is a run of letters, with inner apostrophes. (Chinese has no spaces: `jieba.lcut` cuts it.)

    Raises
    ------
    TypeError
        If `text` is no string.

    Examples
    --------
    >>> words("It isn't bad, is it?")
    ['it', "isn't", 'bad', 'is', 'it', '?']
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {type(text).__name__}: {text!r}")
    return _WORD.findall(text.lower())


@dataclass(frozen=True, eq=False)
class Bags:
    """N texts as rows of a vocabulary, one after another: text i is ``indices[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    indices
        ``(T,)``, int64: all words of all texts.
    offsets
        ``(N + 1,)``, int64: where each text begins; the last is T.

    Examples
    --------
    >>> bags = Bags(torch.tensor([3, 1, 4, 1]), torch.tensor([0, 3, 3, 4]))  # the second is empty
    >>> len(bags), bags.lengths, bags.select(torch.tensor([2, 0])).indices
    (3, tensor([3, 0, 1]), tensor([1, 3, 1, 4]))
    """

    indices: Tensor
    offsets: Tensor

    def __post_init__(self) -> None:
        indices, offsets = self.indices, self.offsets
        if indices.dtype != torch.int64 or offsets.dtype != torch.int64 or indices.ndim != 1:
            raise TypeError("indices and offsets must be int64 tensors of one dimension")
        if offsets.ndim != 1 or len(offsets) < 1 or int(offsets[0]) or int(offsets[-1]) != len(indices):
            raise ValueError(f"offsets must run from 0 to the number of indices, {len(indices)}")
        if (offsets.diff() < 0).any():
            raise ValueError("offsets must not decrease")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Words in each text, ``(N,)``."""
        return self.offsets.diff()

    def select(self, rows: Tensor) -> Bags:
        """The texts of these rows, in their order."""
        lengths = self.lengths[rows]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        starts = (self.offsets[:-1][rows] - offsets[:-1]).repeat_interleave(lengths)
        places = starts + torch.arange(int(offsets[-1]), device=starts.device)
        return Bags(self.indices[places], offsets)

    def dropped(self, share: float, *, generator: torch.Generator) -> Bags:
        """The same texts with each word left out with probability `share`."""
        kept = torch.rand(len(self.indices), generator=generator, device=self.indices.device) >= share
        before = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
        return Bags(self.indices[kept], before[self.offsets])

    def to(self, device: torch.device | str) -> Bags:
        """The same on another device."""
        return Bags(self.indices.to(device), self.offsets.to(device))


class Vocabulary:
    """Words with row numbers; runs of neighbouring words too, if wanted.

    Parameters
    ----------
    words
        The V entries, all different; the number of an entry is its row. An entry of several words has spaces.
    longest
        Words of the longest entries: 1 for words alone, 2 for words and pairs, ...

    Raises
    ------
    ValueError
        If there is no entry, or one twice.

    Examples
    --------
    >>> documents = [["not", "good"], ["good", "fun"], ["not", "good", "fun"]]
    >>> vocabulary = Vocabulary.build(documents, minimum_count=2, longest=2)
    >>> vocabulary.entries
    ('good', 'fun', 'not', 'good fun', 'not good')
    >>> vocabulary.encode([["not", "so", "good"], []]).indices  # "so" is unknown
    tensor([2, 0])
    """

    def __init__(self, words: Iterable[str], *, longest: int = 1) -> None:
        self.entries = tuple(words)
        self.longest = whole("longest", longest)
        self._rows = {entry: row for row, entry in enumerate(self.entries)}
        if not self.entries:
            raise ValueError("words must hold at least one entry, got none")
        if len(self._rows) != len(self.entries):
            raise ValueError("words must not repeat an entry")

    @classmethod
    def build(
        cls,
        documents: Sequence[Sequence[str]],
        *,
        minimum_count: int = 1,
        largest: int | None = None,
        longest: int = 1,
    ) -> Vocabulary:
        """The entries that stand in at least `minimum_count` documents, the most frequent first.

        Parameters
        ----------
        documents
            Lists of words.
        minimum_count
            In how many documents an entry must stand.
        largest
            The largest number of entries, if there is to be one.
        longest
            As above.

        Raises
        ------
        TypeError, ValueError
            If a document is a string instead of a list, or no entry is left.
        """
        whole("minimum_count", minimum_count), whole("longest", longest)
        if largest is not None:
            whole("largest", largest)
        counts: Counter[str] = Counter()
        for document in _checked(documents):
            counts.update(set(_runs(document, longest)))
        kept = sorted((w for w in counts if counts[w] >= minimum_count), key=lambda w: (-counts[w], w))
        if not kept:
            raise ValueError(f"no word stands in {minimum_count} of the {len(documents)} documents")
        kept.sort(key=lambda w: (w.count(" "), -counts[w], w)) if largest is None else None
        return cls(kept[:largest], longest=longest)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, entry: object) -> bool:
        return entry in self._rows

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} entries of up to {self.longest} words)"

    def row(self, entry: str) -> int:
        """The row of an entry; KeyError if it is unknown."""
        return self._rows[entry]

    def encode(self, documents: Sequence[Sequence[str]]) -> Bags:
        """Documents as `Bags` of rows. Unknown words are left out; a document of none becomes an empty bag.

        Raises
        ------
        TypeError
            If a document is a string instead of a list of words.
        """
        rows: list[int] = []
        offsets = [0]
        for document in _checked(documents):
            found = (self._rows.get(entry) for entry in _runs(document, self.longest))
            rows += [row for row in found if row is not None]
            offsets.append(len(rows))
        return Bags(torch.tensor(rows, dtype=torch.int64), torch.tensor(offsets))


class AveragedVectors(nn.Module):
    """Mean of word vectors, then a linear map.

    Parameters
    ----------
    vocabulary_size
        V.
    classes
        Number of classes.
    dimensions
        d, the length of the vectors.
    generator
        Draws the weights; torch's global generator if left out.

    Attributes
    ----------
    vectors : EmbeddingBag
        ``vectors.weight`` is E, ``(V, d)``.
    head : Linear
        W, ``(classes, d)``, and b.

    Raises
    ------
    ValueError
        If a number is no whole number from 1.

    Examples
    --------
    >>> model = AveragedVectors(3, dimensions=4, generator=torch.Generator().manual_seed(0))
    >>> bags = Bags(torch.tensor([0, 2]), torch.tensor([0, 2, 2]))
    >>> torch.allclose(model.average(bags)[0], (model.vectors.weight[0] + model.vectors.weight[2]) / 2)
    True
    >>> torch.equal(model(bags)[1], model.head.bias)  # of a text without known words
    True
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        *,
        dimensions: int = 32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        V, K, d = whole("vocabulary_size", vocabulary_size), whole("classes", classes), dimensions
        self.vectors = nn.EmbeddingBag(V, whole("dimensions", d), mode="mean", include_last_offset=True)
        self.head = nn.Linear(d, K)
        with torch.no_grad():
            self.vectors.weight.normal_(std=0.1, generator=generator)
            self.head.weight.uniform_(-1, 1, generator=generator).div_(d**0.5)
            self.head.bias.zero_()

    def average(self, bags: Bags) -> Tensor:
        """h, ``(N, d)``; zeros for an empty text. ValueError for a row outside the vocabulary."""
        V = self.vectors.num_embeddings
        if len(bags.indices) and not 0 <= int(bags.indices.min()) <= int(bags.indices.max()) < V:
            raise ValueError(f"bags must hold rows from 0 to {V - 1}")
        return self.vectors(bags.indices, bags.offsets)

    def forward(self, bags: Bags) -> Tensor:
        """Logits, ``(N, classes)``."""
        return self.head(self.average(bags))


def _runs(document: Sequence[str], longest: int) -> list[str]:
    """All runs of 1 to `longest` neighbouring words."""
    runs = list(document)
    for length in range(2, longest + 1):
        runs += [" ".join(document[i : i + length]) for i in range(len(document) - length + 1)]
    return runs


def _checked(documents: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    if isinstance(documents, str):
        raise TypeError("documents must be a list of documents, got one string")
    for number, document in enumerate(documents):
        if isinstance(document, str):
            raise TypeError(
                f"documents[{number}] must be a list of words, got a string: use words(text), or jieba.lcut"
            )
    return documents
