"""Checks that the functions of the room share: a bad argument is refused with its name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse

from kexue_lite.arguments import whole

__all__ = ["above_zero", "count_matrix", "different_words", "finite", "flatten", "random_source", "whole"]


def finite(name: str, value: Any) -> None:
    """Raise unless `value` is a finite real number.

    Examples
    --------
    >>> finite("exponent", float("nan"))
    Traceback (most recent call last):
    ...
    ValueError: exponent must be finite, got nan
    """
    try:
        good = math.isfinite(value)
    except TypeError:
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}") from None
    if not good:
        raise ValueError(f"{name} must be finite, got {value}")


def above_zero(name: str, value: Any) -> None:
    """Raise unless `value` is a finite number above 0.

    Examples
    --------
    >>> above_zero("shift", 0)
    Traceback (most recent call last):
    ...
    ValueError: shift must be a positive number, got 0
    """
    finite(name, value)
    if value <= 0:
        raise ValueError(f"{name} must be a positive number, got {value}")


def random_source(generator: Any) -> torch.Generator:
    """The generator itself, or a new one with seed 0 if it is None.

    Examples
    --------
    >>> random_source(None).initial_seed()
    0
    """
    if generator is None:
        return torch.Generator().manual_seed(0)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}: {generator!r}")
    return generator


def flatten(sentences: Iterable[Sequence[str]]) -> tuple[list[str], list[int]]:
    """All tokens in one list, and the length of each sentence; TypeError if they are no lists of tokens.

    Examples
    --------
    >>> flatten([["a", "b"], ["c"]])
    (['a', 'b', 'c'], [2, 1])
    """
    wanted = "sentences must be lists of tokens, such as [['two', 'words'], ...]"
    if isinstance(sentences, str | bytes):
        raise TypeError(f"{wanted}; got one text: split it first")
    if not isinstance(sentences, Iterable):
        raise TypeError(f"{wanted}; got {type(sentences).__name__}")
    tokens: list[str] = []
    lengths: list[int] = []
    for sentence in sentences:
        if isinstance(sentence, str | bytes) or not isinstance(sentence, Iterable):
            raise TypeError(
                f"{wanted}; got {type(sentence).__name__} {sentence!r:.60} where a list should be"
            )
        before = len(tokens)
        tokens.extend(sentence)
        lengths.append(len(tokens) - before)
    if not tokens:
        raise ValueError(f"{wanted}; got {len(lengths)} of them without a single token")
    return tokens, lengths


def different_words(vocabulary: Sequence[str]) -> list[str]:
    """`vocabulary` as a list; ValueError if it is empty, one text, or repeats a word."""
    words = list(vocabulary)
    if isinstance(vocabulary, str) or not words or len(set(words)) != len(words):
        raise ValueError("vocabulary must be a list of different words, at least one")
    return words


def _dense_numbers(counts: Any) -> np.ndarray:
    if hasattr(counts, "detach"):  # a tensor, on any device
        counts = counts.detach().cpu()
    try:
        return np.asarray(counts)
    except ValueError as error:
        raise ValueError(f"counts must have shape (V, V): {error}") from error


def count_matrix(counts: Any) -> sparse.csr_array:
    """`counts` as a square matrix of finite numbers of at least 0, in canonical form; else an error."""
    given: Any = counts if sparse.issparse(counts) else _dense_numbers(counts)
    if given.ndim != 2:
        raise ValueError(f"counts must have shape (V, V) with V at least 1, got {given.shape}")
    if given.dtype.kind not in "fiub":
        raise TypeError(f"counts must hold real numbers, got {given.dtype}")
    matrix: Any = sparse.csr_array(given, dtype=float)
    if given is counts and not (matrix.has_canonical_format and matrix.data.all()):
        matrix = matrix.copy()  # it is put in order below, and the caller's stays as it is
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(f"counts must have shape (V, V) with V at least 1, got {matrix.shape}")
    if not np.isfinite(matrix.data).all():
        raise ValueError("counts must be finite, got NaN or infinity among them")
    if (matrix.data < 0).any():
        raise ValueError(f"counts must be at least 0, got {matrix.data.min():g} among them")
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if matrix.nnz == 0:
        raise ValueError("counts must hold at least one pair, got zeros alone")
    return matrix
