r"""Letters on one background: four pictures that share nearly everything (chapter 3, section 3.8).

    picture = background · (1 − ink) + paint · ink + noise,

with one fixed background, ink from 5×7 bitmaps of our own, and the letter drawn at one brightness. What
differs between the pictures is the letter alone: article 3331 asks what a narrow passage will keep of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from kexue_lite.networks.arguments import real, whole

_ROWS, _COLUMNS, _PAINT = 7, 5, 1.0
# Seven rows of five dots for each letter, as numbers from 0 to 31 in base 32 (0-9, a-v).
_BITMAPS = {
    "A": "ehhvhhh", "B": "uhhuhhu", "C": "ehggghe", "D": "uhhhhhu", "E": "vgguggv", "F": "vgguggg",
    "G": "ehgnhhe", "H": "hhhvhhh", "I": "e44444e", "J": "72222ic", "K": "hikokih", "L": "ggggggv",
    "M": "hrllhhh", "N": "hhpljhh", "O": "ehhhhhe", "P": "uhhuggg", "Q": "ehhhlid", "R": "uhhukih",
    "S": "fgge11u", "T": "v444444", "U": "hhhhhhe", "V": "hhhhha4", "W": "hhhllla", "X": "hha4ahh",
    "Y": "hhha444", "Z": "v1248gv",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Letters:
    """Pictures of letters before one background.

    Attributes
    ----------
    images
        ``(N, size, size)``, float32 in [0, 1].
    labels
        ``(N,)``, int64: which letter of `letters`.
    letters
        The K letters.
    background
        ``(size, size)``, float32: what all pictures share.
    inks
        ``(K, size, size)``, float32, 1 where the letter is when it stands in the middle, else 0.
    """

    images: np.ndarray
    labels: np.ndarray
    letters: str
    background: np.ndarray
    inks: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def letters_on_background(
    letters: str = "ABCD",
    *,
    count: int = 1,
    size: int = 16,
    jitter: int = 0,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Letters:
    """Pictures that share one background and differ in a letter.

    Parameters
    ----------
    letters
        K different letters from A to Z.
    count
        Pictures of each letter. The N = K·count pictures are ordered by letter.
    size
        Height and width in pixels, at least 12.
    jitter
        Each letter is moved by up to so many pixels each way, drawn for each picture. Letters are as large as
        leaves room for that.
    noise
        Standard deviation of Gaussian noise on each pixel; the result is cut to [0, 1].
    generator
        Draws the movements and the noise; needed if there are any. The background never changes.

    Raises
    ------
    TypeError, ValueError
        If `letters` are no string, none, repeated or not A to Z, a number is out of range, or a `generator`
        is missing.

    Examples
    --------
    >>> four = letters_on_background()
    >>> four.images.shape, four.letters, four.labels
    ((4, 16, 16), 'ABCD', array([0, 1, 2, 3]))
    >>> bool((four.images[0] == four.background)[four.inks[0] == 0].all())
    True
    """
    if not isinstance(letters, str):
        raise TypeError(f"letters must be one string, got {type(letters).__name__}: {letters!r}")
    if not letters or len(set(letters)) != len(letters) or not set(letters) <= set(_BITMAPS):
        raise ValueError(f"letters must be different capitals from A to Z, got {letters!r}")
    whole("count", count), whole("size", size, 12), whole("jitter", jitter, 0)
    real("noise", noise, least=0)
    if jitter > (size - 2 - _ROWS) // 2:
        raise ValueError(
            f"jitter must be at most {(size - 2 - _ROWS) // 2} for pictures of {size} pixels, got {jitter}"
        )
    zoom = (size - 2 - 2 * jitter) // _ROWS
    top, left = (size - zoom * _ROWS) // 2, (size - zoom * _COLUMNS) // 2
    if (jitter or noise) and generator is None:
        raise ValueError("generator must be given if jitter or noise is not 0, got None")
    background = _background(size)
    bitmaps = [np.kron(_bitmap(letter), np.ones((zoom, zoom), np.float32)) for letter in letters]
    height, width = bitmaps[0].shape

    def place(bitmap: np.ndarray, down: int, right: int) -> np.ndarray:
        ink = np.zeros((size, size), np.float32)
        ink[top + down : top + down + height, left + right : left + right + width] = bitmap
        return ink

    labels = np.repeat(np.arange(len(letters)), count)
    moves = np.zeros((len(labels), 2), int)
    if jitter:
        moves = torch.randint(-jitter, jitter + 1, (len(labels), 2), generator=generator).numpy()
    ink = np.stack([place(bitmaps[k], *move) for k, move in zip(labels, moves.tolist(), strict=True)])
    images = background * (1 - ink) + np.float32(_PAINT) * ink
    if noise:
        images = images + noise * torch.randn(images.shape, generator=generator).numpy()
    return Letters(
        np.clip(images, 0, 1).astype(np.float32),
        labels,
        letters,
        background,
        np.stack([place(bitmap, 0, 0) for bitmap in bitmaps]),
    )


def _bitmap(letter: str) -> np.ndarray:
    rows = [int(row, 32) for row in _BITMAPS[letter]]
    return np.array([[row >> bit & 1 for bit in range(_COLUMNS - 1, -1, -1)] for row in rows], np.float32)


def _background(size: int) -> np.ndarray:
    """Hills at dusk: a sky that brightens downwards, a sun, two dark ridges. Values stay below 0.75."""
    v, u = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size), indexing="ij")
    sky = 0.25 + 0.3 * v + 0.2 * np.exp(-((u - 0.78) ** 2 + (v - 0.2) ** 2) / 0.02)
    far = v > 0.62 + 0.1 * np.sin(7 * u + 1)
    near = v > 0.8 + 0.08 * np.sin(5 * u + 4)
    return np.where(near, 0.05, np.where(far, 0.2, sky)).astype(np.float32)
