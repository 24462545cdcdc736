r"""Texts by the mean of their word vectors (chapter 3, section 3.10).

    h(text) = Σᵢ a(wᵢ) E[wᵢ] / Σᵢ a(wᵢ),    logits = W h + b,

with one vector E[w] for each word, learned by the classifier itself, and weights a that are all 1 (the plain
mean) or larger for words that tell more. ("unit" pooling divides by √Σᵢ a(wᵢ)² instead: a long text then says
what it says with more confidence than a short one.) The sum of a text's vectors is its bag of words times E
(article 4233 makes this its first point, chapter 4 takes it up), so this is a linear model of word shares
whose matrix E W has low rank. Pairs of neighbouring words can be counted as words too (Joulin and others
2016, "Bag of tricks for efficient text classification"), and so can pieces of words, so that "charming" and
"charmingly" share something (Bojanowski and others 2017).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kexue_lite.networks.arguments import whole
from kexue_lite.networks.mlp import undisturbed

POOLINGS = ("mean", "unit")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|[!?]")


def words(text: str) -> list[str]:
    """The words of an English text in lower case; "!" and "?" count as words.

    A word is a run of letters, with inner apostrophes (a curled one is made straight). Chinese has no
    spaces: `jieba.lcut` cuts it.

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
    return _WORD.findall(unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'"))


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
        if not (isinstance(indices, Tensor) and isinstance(offsets, Tensor)):
            kinds = f"{type(indices).__name__} and {type(offsets).__name__}"
            raise TypeError(f"indices and offsets must be tensors, got {kinds}")
        if indices.dtype != torch.int64 or offsets.dtype != torch.int64 or indices.ndim != 1:
            raise TypeError("indices and offsets must be int64 tensors of one dimension")
        if offsets.ndim != 1 or len(offsets) < 1 or int(offsets[0]) or int(offsets[-1]) != len(indices):
            raise ValueError(f"offsets must run from 0 to the number of indices, {len(indices)}")
        if (offsets.diff() < 0).any():
            raise ValueError("offsets must not decrease")
        if len(indices) and int(indices.min()) < 0:
            raise ValueError(f"indices must be rows from 0, got {int(indices.min())}")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Words in each text, ``(N,)``."""
        return self.offsets.diff()

    def select(self, rows: Tensor) -> Bags:
        """The texts of these rows, in their order; ValueError for others than int64 rows of this table."""
        if rows.dtype != torch.int64 or (
            len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self)
        ):
            raise ValueError(
                f"rows must be int64 from 0 to {len(self) - 1}, got {rows.dtype}: {rows.tolist()[:5]}"
            )
        lengths = self.lengths[rows]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        starts = (self.offsets[:-1][rows] - offsets[:-1]).repeat_interleave(lengths)
        places = starts + torch.arange(int(offsets[-1]), device=starts.device)
        return Bags(self.indices[places], offsets)

    def once(self) -> Bags:
        """The same texts with each entry once, in the order of rows."""
        rows = int(self.indices.max()) + 1 if len(self.indices) else 1
        key = (self.owners * rows + self.indices).unique()
        counts = torch.bincount(key // rows, minlength=len(self))
        return Bags(key % rows, torch.cat([counts.new_zeros(1), counts.cumsum(0)]))

    @property
    def owners(self) -> Tensor:
        """The text of each word, ``(T,)``."""
        return torch.arange(len(self), device=self.offsets.device).repeat_interleave(self.lengths)

    def to(self, device: torch.device | str) -> Bags:
        """The same on another device."""
        return Bags(self.indices.to(device), self.offsets.to(device))


class Vocabulary:
    """Words with row numbers; runs of neighbouring words and pieces of words too, if wanted.

    Parameters
    ----------
    words
        The V entries, all different; the number of an entry is its row. An entry of several words has spaces.
    longest
        Words of the longest entries: 1 for words alone, 2 for words and pairs, ... (Words themselves should
        hold no space, and not begin with a tilde: they would be taken for pairs and pieces.)
    pieces
        Letters of the shortest and the longest pieces, as (3, 5); None for no pieces. A piece is cut from the
        word between its marks < and >, and its entry begins with a tilde: "~<no" is a piece of "not".

    Raises
    ------
    TypeError, ValueError
        If the entries are one string, there is none, or one twice.

    Examples
    --------
    >>> documents = [["not", "good"], ["good", "fun"], ["not", "good", "fun"]]
    >>> vocabulary = Vocabulary.build(documents, minimum_count=2, longest=2)
    >>> vocabulary.entries
    ('good', 'fun', 'good fun', 'not', 'not good')
    >>> vocabulary.encode([["not", "so", "good"], []]).indices  # "so" is unknown
    tensor([3, 0])
    """

    def __init__(
        self, words: Iterable[str], *, longest: int = 1, pieces: tuple[int, int] | None = None
    ) -> None:
        if isinstance(words, str):
            raise TypeError(f"words must be a list of entries, got one string: {words!r}")
        self.entries = tuple(words)
        self.longest, self.pieces = checked_settings(longest, pieces)
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
        pieces: tuple[int, int] | None = None,
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
        longest, pieces
            As above.

        Raises
        ------
        TypeError, ValueError
            If a document is a string instead of a list, or no entry is left.
        """
        whole("minimum_count", minimum_count), checked_settings(longest, pieces)
        if largest is not None:
            whole("largest", largest)
        counts: Counter[str] = Counter()
        for document in checked_documents(documents):
            counts.update(set(_entries(document, longest, pieces)))
        kept = sorted((w for w in counts if counts[w] >= minimum_count), key=lambda w: (-counts[w], w))
        if not kept:
            raise ValueError(f"no word stands in {minimum_count} of the {len(documents)} documents")
        return cls(kept[:largest], longest=longest, pieces=pieces)

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
        for document in checked_documents(documents):
            found = (self._rows.get(entry) for entry in _entries(document, self.longest, self.pieces))
            rows += [row for row in found if row is not None]
            offsets.append(len(rows))
        return Bags(torch.tensor(rows, dtype=torch.int64), torch.tensor(offsets))


class AveragedVectors(nn.Module):
    """Mean of word vectors, weighted or not, then a linear map.

    Parameters
    ----------
    vocabulary_size
        V.
    classes
        Number of classes.
    dimensions
        d, the length of the vectors.
    weights
        a, ``(V,)``, not negative; all 1 if left out. They are given, not learned.
    pooling
        "mean" divides by Σ a, "unit" by √Σ a².
    generator
        Draws E and W; torch's global generator if left out.

    Attributes
    ----------
    vectors : EmbeddingBag
        ``vectors.weight`` is E, ``(V, d)``.
    head : Linear
        W, ``(classes, d)``, and b.

    Raises
    ------
    ValueError
        If a number is no whole number from 1, a weight is negative or not finite, or `pooling` is unknown.

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
        weights: Tensor | None = None,
        pooling: str = "mean",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        V, K, d = whole("vocabulary_size", vocabulary_size), whole("classes", classes), dimensions
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {pooling!r}")
        self.pooling = pooling
        a = torch.ones(V) if weights is None else torch.as_tensor(weights).float()
        if tuple(a.shape) != (V,):
            raise ValueError(f"weights must have shape ({V},), got {tuple(a.shape)}")
        if (bad := ~(a.isfinite() & (a >= 0))).any():
            raise ValueError(f"weights must be finite numbers of at least 0, got {float(a[bad][0]):g}")
        self.register_buffer("weights", a)
        with undisturbed(generator):
            self.vectors = nn.EmbeddingBag(V, whole("dimensions", d), mode="sum", include_last_offset=True)
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
        a = self.get_buffer("weights")[bags.indices]
        # Only the ratios within a text count; next to its largest weight, no square leaves the range.
        largest = a.new_zeros(len(bags)).scatter_reduce(0, bags.owners, a, "amax")
        a = a / largest.clamp_min(torch.finfo(a.dtype).tiny)[bags.owners]
        power = 1 if self.pooling == "mean" else 2
        total = a.new_zeros(len(bags)).index_add_(0, bags.owners, a**power) ** (1 / power)
        share = a / total.clamp_min(torch.finfo(a.dtype).tiny)[bags.owners]
        return self.vectors(bags.indices, bags.offsets, per_sample_weights=share)

    def forward(self, bags: Bags) -> Tensor:
        """Logits, ``(N, classes)``."""
        return self.head(self.average(bags))


def _entries(document: Sequence[str], longest: int, pieces: tuple[int, int] | None) -> list[str]:
    """All runs of 1 to `longest` neighbouring words, then all pieces of the words."""
    found = list(document)
    for length in range(2, longest + 1):
        found += [" ".join(document[i : i + length]) for i in range(len(document) - length + 1)]
    if pieces:
        for word in document:
            found += _pieces_of(word, *pieces)
    return found


@functools.lru_cache(maxsize=2**17)
def _pieces_of(word: str, shortest: int, longest: int) -> tuple[str, ...]:
    marked = f"<{word}>"
    lengths = range(shortest, min(longest, len(marked)) + 1)
    return tuple("~" + marked[i : i + k] for k in lengths for i in range(len(marked) - k + 1))


def checked_settings(longest: int, pieces: tuple[int, int] | None) -> tuple[int, tuple[int, int] | None]:
    whole("longest", longest)
    if pieces is not None:
        if (
            not isinstance(pieces, Sequence)
            or len(pieces) != 2
            or not 1 <= whole("pieces[0]", pieces[0]) <= whole("pieces[1]", pieces[1])
        ):
            raise ValueError(f"pieces must be two whole numbers, the shortest first, got {pieces!r}")
        pieces = (pieces[0], pieces[1])
    return longest, pieces


def checked_documents(documents: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """The documents themselves; TypeError unless they are a list of lists of strings.

    Examples
    --------
    >>> checked_documents([["a", "word"], "no list"])
    Traceback (most recent call last):
    ...
    TypeError: documents[1] must be a list of words, got a string: use words(text), or jieba.lcut
    """
    # A generator would be empty after this very check.
    if isinstance(documents, str) or not hasattr(documents, "__len__"):
        what = "one string" if isinstance(documents, str) else type(documents).__name__
        raise TypeError(f"documents must be a list of documents, got {what}")
    for number, document in enumerate(documents):
        if isinstance(document, str):
            raise TypeError(
                f"documents[{number}] must be a list of words, got a string: use words(text), or jieba.lcut"
            )
        if not set(map(type, document)) <= {str}:  # the quick look; the slow one also takes numpy's strings
            for word in document:
                if not isinstance(word, str):
                    raise TypeError(f"documents[{number}] must be a list of strings, got {word!r} in it")
    return documents
