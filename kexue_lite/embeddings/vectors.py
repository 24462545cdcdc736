"""Word vectors and what is asked of them: neighbours, analogies, scores, a file that other programs open.

A table of vectors is a matrix W with one row w per word of the vocabulary; the models of chapter 4 also
have a second table C with one row c per *context* word. Two words are compared by the cosine of their rows,
and "a is to b as c is to ?" is answered by the word whose row has the largest cosine with b/|b| − a/|a| +
c/|c|, the three given words left out (Mikolov, Yih and Zweig 2013).
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kexue_lite.embeddings.evaluation import (
    Evaluation,
    Question,
    Rating,
    Score,
    analogy_score,
    inflection_analogies,
    paired_score,
    similarity_score,
)


class UnknownWordError(KeyError, ValueError):
    """A word that is not in the vocabulary. The message names it and the nearest spellings."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError alone would show the message as a quoted repr


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A table of word vectors, with its vocabulary (chapter 4, section 4.8).

    Parameters
    ----------
    vectors
        W, of shape ``(V, d)``: an array, or a tensor on any device. Kept as a numpy array of its own
        precision.
    vocabulary
        The V words, in the order of the rows, all different.
    contexts
        C, of shape ``(V, d)``, if the model has one.

    Raises
    ------
    TypeError
        If a word is no string.
    ValueError
        If a table is empty, of another shape, or has NaN or infinity in it, or a word appears twice.

    Examples
    --------
    >>> table = WordVectors([[1, 0], [1, 1], [0, 1], [0.1, 1]], ["king", "queen", "woman", "women"])
    >>> table.most_similar("woman", count=1)
    [('women', 0.995...)]
    >>> table.analogy("king", "queen", "woman", count=1)[0][0]
    'women'
    >>> table["womman"]
    Traceback (most recent call last):
    ...
    kexue_lite.embeddings.vectors.UnknownWordError: 'womman' is not in the vocabulary of 4 words; near it:
    'woman', 'women'
    """

    vectors: np.ndarray
    vocabulary: Sequence[str]
    contexts: np.ndarray | None = None
    _rows: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        words = tuple(self.vocabulary)
        for word in words:
            if not isinstance(word, str):
                raise TypeError(f"vocabulary must hold strings, got {type(word).__name__}: {word!r}")
        words = tuple(map(str, words))  # numpy's strings are a class of their own
        rows = {word: row for row, word in enumerate(words)}
        if len(rows) != len(words):
            twice = next(word for row, word in enumerate(words) if rows[word] != row)
            raise ValueError(f"vocabulary must not repeat a word, got {twice!r} twice")
        vectors = _table("vectors", self.vectors, len(words))
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "vocabulary", words)
        object.__setattr__(self, "_rows", rows)
        if self.contexts is not None:
            contexts = _table("contexts", self.contexts, len(words))
            if contexts.shape != vectors.shape:
                raise ValueError(
                    f"contexts must have the shape of vectors, {vectors.shape}, got {contexts.shape}"
                )
            object.__setattr__(self, "contexts", contexts)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __contains__(self, word: object) -> bool:
        return word in self._rows

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector of a word, shape ``(d,)``."""
        return self.vectors[self.row(word)]

    def row(self, word: str) -> int:
        """The row of a word in the tables; `UnknownWordError` (a KeyError and ValueError) if it has none."""
        if not isinstance(word, str):
            raise TypeError(f"a word must be a string, got {type(word).__name__}: {word!r}")
        try:
            return self._rows[word]
        except KeyError:
            near = difflib.get_close_matches(word, self.vocabulary, n=3, cutoff=0.6)
            hint = f"; near it: {', '.join(map(repr, near))}" if near else ""
            raise UnknownWordError(
                f"{word!r} is not in the vocabulary of {len(self):,} words{hint}"
            ) from None

    @cached_property
    def unit(self) -> np.ndarray:
        """The rows scaled to length 1, shape ``(V, d)``; a row of zeros stays so, similar to nothing."""
        rows = self.vectors
        with np.errstate(over="ignore", under="ignore"):
            length = np.linalg.norm(rows, axis=1, keepdims=True)
        safe = (length > np.finfo(length.dtype).tiny ** 0.5) & np.isfinite(length)
        if not safe.all():  # squares left the range of the numbers: such rows are brought to size first
            size = np.abs(rows).max(1, keepdims=True)
            rows = np.where(safe, rows, rows / np.where(size > 0, size, 1))
            length = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(length > 0, length, 1)

    def similarity(self, first: str, second: str) -> float:
        """Cosine of the vectors of two words.

        Examples
        --------
        >>> WordVectors([[1, 0], [1, 1]], ["a", "b"]).similarity("a", "b")
        0.707...
        """
        return float(self.unit[self.row(first)] @ self.unit[self.row(second)])

    def most_similar(self, word: str, *, count: int = 10) -> list[tuple[str, float]]:
        """The nearest other words by cosine, nearest first, with the cosine.

        Parameters
        ----------
        word
            A word of the vocabulary.
        count
            How many, at least 1; all there are if there are fewer.

        Raises
        ------
        UnknownWordError, ValueError
            If the word is unknown; if `count` is below 1.
        """
        return self._best(self.unit[self.row(word)], (word,), count)

    def analogy(self, a: str, b: str, c: str, *, count: int = 10) -> list[tuple[str, float]]:
        """What completes "`a` is to `b` as `c` is to ...": the best answers with their cosines, best first.

        The three given words are never answers. Parameters and errors are those of `most_similar`.
        """
        ia, ib, ic = self.row(a), self.row(b), self.row(c)
        target = self.unit[ib] - self.unit[ia] + self.unit[ic]
        return self._best(target / (np.linalg.norm(target) or 1.0), (a, b, c), count)

    def evaluate(
        self,
        *,
        analogies: Mapping[str, Sequence[Question]] | Sequence[Question] | None = None,
        similarities: Sequence[Rating] | None = None,
        seed: int = 0,
    ) -> Evaluation:
        """Accuracy on analogy questions and rank correlation with rated pairs, with intervals and coverage.

        Parameters
        ----------
        analogies
            Questions (a, b, c, d), "a is to b as c is to d", as one list or a mapping from section to list.
            With neither argument given: `inflection_analogies` of this vocabulary.
        similarities
            Pairs with a rating, (first, second, rating).
        seed
            Of the bootstrap behind the interval of the rank correlation.

        Returns
        -------
        Evaluation
            `.analogies` and `.similarities`, either None if not asked. A question with an unknown word is not
            counted as wrong: it lowers the coverage, which is part of the result.

        Raises
        ------
        ValueError
            If a list is empty or malformed, or the vocabulary covers no question at all.
        """
        if analogies is None and similarities is None:
            analogies = inflection_analogies(self.vocabulary)
        return Evaluation(
            analogies=None if analogies is None else analogy_score(self.unit, self._rows, analogies),
            similarities=None
            if similarities is None
            else similarity_score(self.unit, self._rows, similarities, seed=seed),
        )

    def compare(
        self,
        other: WordVectors,
        *,
        analogies: Mapping[str, Sequence[Question]] | Sequence[Question] | None = None,
    ) -> Score:
        """Share of analogies answered, less that of `other`, with the 95 % interval of the paired difference.

        An interval for each table alone is too wide to compare them: most questions are easy for both, or
        hard for both. Here each question is asked of both (Agresti and Min 2005).

        Parameters
        ----------
        other
            Another table; questions with a word unknown to either are left out, and counted.
        analogies
            As for `evaluate`; `inflection_analogies` of this vocabulary if left out.

        Raises
        ------
        TypeError
            If `other` is no `WordVectors`.
        ValueError
            If no question has all its words in both vocabularies.

        Examples
        --------
        >>> table = WordVectors([[1, 0], [1, 1], [0, 1], [0.1, 1]], ["king", "queen", "woman", "women"])
        >>> table.compare(table, analogies=[("king", "queen", "woman", "women")]).value
        0.0
        """
        if not isinstance(other, WordVectors):
            raise TypeError(f"other must be WordVectors, got {type(other).__name__}")
        questions = inflection_analogies(self.vocabulary) if analogies is None else analogies
        return paired_score((self.unit, other.unit), (self._rows, other._rows), questions)

    def save_word2vec_format(self, path: str | os.PathLike[str], *, binary: bool = False) -> None:
        """Write the vectors in the format of the word2vec program, which gensim's `KeyedVectors` opens.

        Parameters
        ----------
        path
            The file. It is replaced in one step, so an interrupted write leaves the old file whole.
        binary
            Single-precision numbers of 4 bytes each instead of text; about a third of the size.

        Raises
        ------
        ValueError
            If a word is empty or contains white space, or a number exceeds single precision: the format
            cannot hold them.
        OSError
            If the file cannot be written.
        """
        for word in self.vocabulary:
            if not word or any(letter.isspace() for letter in word):
                raise ValueError(
                    f"vocabulary must hold words without white space for this format, got {word!r}"
                )
        path = Path(path)
        with np.errstate(over="ignore"):
            single = self.vectors.astype("<f4")
        if not np.isfinite(single).all():
            raise ValueError("vectors must fit into single precision for this format, got a larger number")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(f"{single.shape[0]} {single.shape[1]}\n".encode())
                for word, row in zip(self.vocabulary, single, strict=True):
                    # The shortest text that reads back as the same single-precision number.
                    numbers = row.tobytes() if binary else " ".join(map(str, row)).encode()
                    file.write(word.encode() + b" " + numbers + b"\n")
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _best(self, target: np.ndarray, without: Sequence[str], count: int) -> list[tuple[str, float]]:
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"count must be a whole number of at least 1, got {count!r}")
        cosine = self.unit @ target
        left_out = {self._rows[word] for word in without}
        order = np.argsort(-cosine, kind="stable")[: count + len(left_out)]
        best = [(self.vocabulary[row], float(cosine[row])) for row in order if row not in left_out]
        return best[:count]


def _table(name: str, values: Any, words: int) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, on any device
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() and values.itemsize < 4 else values).numpy()
    try:
        table = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must have shape (V, d): {error}") from error
    if table.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got {table.dtype}")
    if table.dtype.kind != "f":
        table = table.astype(float)
    if table.itemsize < 4:
        table = table.astype(np.float32)  # half precision cannot add up the squares of a row
    if table.ndim != 2 or table.shape[0] != words or table.size == 0:
        raise ValueError(
            f"{name} must have shape (V, d) with one row for each of the {words} words and d at least 1, "
            f"got {table.shape}"
        )
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(1))[0])
        raise ValueError(f"{name} must be finite, got NaN or infinity, first in row {row}")
    return table
