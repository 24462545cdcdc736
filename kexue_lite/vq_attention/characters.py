"""A text as numbers, character by character, and the text of the documentation corpus."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kexue_lite.arguments import whole
from kexue_lite.data import documentation_corpus

REST = "□"  # stands for all characters that are too rare to have a number


@dataclass(frozen=True)
class Characters:
    """V characters; the number of each is its place in `symbols`.

    Attributes
    ----------
    symbols
        All different. If □ is among them, it stands for every character that is not.

    Raises
    ------
    TypeError, ValueError
        If `symbols` is no string, empty, or holds a character twice.

    Examples
    --------
    >>> characters = Characters.of("to be or not to be")
    >>> characters.symbols, len(characters)
    (' benort', 7)
    >>> characters.encode("bone"), characters.decode(characters.encode("bone"))
    (tensor([1, 4, 3, 2]), 'bone')
    >>> Characters.of("aaab", least=2).encode("ab").tolist()
    [0, 1]
    """

    symbols: str

    def __post_init__(self) -> None:
        if not isinstance(self.symbols, str):
            raise TypeError(f"symbols must be a string, got {type(self.symbols).__name__}")
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise ValueError(f"symbols must be characters that are all different, got {self.symbols!r}")

    def __len__(self) -> int:
        return len(self.symbols)

    @classmethod
    def of(cls, text: str, *, least: int = 1) -> Characters:
        """The characters that `text` holds at least so many times, in order; and □ if others are left."""
        counts = Counter(checked_text("text", text))
        kept = {character for character, count in counts.items() if count >= whole("least", least)}
        return cls("".join(sorted(kept | {REST} if len(kept) < len(counts) else kept)))

    def encode(self, text: str) -> Tensor:
        """``(T,)``, int64. ValueError names a character that has no number, if there is no □."""
        points = _points(checked_text("text", text))
        known = _points(self.symbols)
        order = np.argsort(known)
        places = order[np.searchsorted(known, points, sorter=order).clip(max=len(known) - 1)]
        strange = known[places] != points
        if strange.any():
            if REST not in self.symbols:
                raise ValueError(f"text must be made of {self.symbols!r}, got {chr(points[strange][0])!r}")
            places[strange] = self.symbols.index(REST)
        return torch.from_numpy(places.astype(np.int64))

    def decode(self, ids: Tensor) -> str:
        """The text of ``(T,)`` numbers from 0 to V − 1."""
        if not isinstance(ids, Tensor) or ids.ndim != 1 or ids.is_floating_point():
            raise TypeError(f"ids must be a tensor (T,) of whole numbers, got {ids!r}")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self):
            raise ValueError(
                f"ids must lie from 0 to {len(self) - 1}, got {int(ids.min())}, {int(ids.max())}"
            )
        return "".join(self.symbols[i] for i in ids.tolist())


def documentation_text(held_out: float = 0.01, *, seed: int = 0) -> tuple[str, str]:
    """The documentation corpus as running text, to train on and to validate: 20 million characters.

    Lower-case words between single spaces, one docstring a line, in the order of the files: neighbours speak
    of the same things. Whole docstrings are held out, a share of them drawn with a seed.

    Raises
    ------
    ValueError
        If `held_out` leaves a part empty.

    Examples
    --------
    >>> train, validation = documentation_text()
    >>> train[:44]
    'record of phased in incompatible language ch'
    >>> 100_000 < len(validation) < 400_000
    True
    """
    parts = documentation_corpus().split(held_out, seed=seed)
    train, validation = ("\n".join(" ".join(document) for document in part.documents) for part in parts)
    return train, validation


def checked_text(name: str, text: object) -> str:
    """The text itself; raise unless it is a string that is not empty.

    Examples
    --------
    >>> checked_text("prompt", "")
    Traceback (most recent call last):
    ...
    ValueError: prompt must not be empty
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, got {type(text).__name__}")
    if not text:
        raise ValueError(f"{name} must not be empty")
    return text


def _points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32)
