"""Pictures of digits: scikit-learn's 8×8, always there, and MNIST's 28×28, downloaded when asked for."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kexue_lite.data.registry import fetch


@dataclass(frozen=True, eq=False)
class Images:
    """Pictures with labels.

    Attributes
    ----------
    images
        ``(N, H, W)``, float32 in [0, 1], ink is 1.
    labels
        ``(N,)``, int64.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def digits() -> tuple[Images, Images]:
    """scikit-learn's 1,797 handwritten digits in two fixed halves, the same for every chapter.

    Returns
    -------
    A, B : Images
        898 and 899 pictures of 8×8, stratified by label with seed 0. Nothing is tuned on B.

    Examples
    --------
    >>> A, B = digits()
    >>> A.images.shape, B.images.shape, float(A.images.max())
    ((898, 8, 8), (899, 8, 8), 1.0)
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8) / 16).astype(np.float32)
    first, second = train_test_split(
        np.arange(len(labels)), train_size=898, test_size=899, stratify=labels, random_state=0
    )
    first, second = np.sort(first), np.sort(second)
    return Images(images[first], labels[first]), Images(images[second], labels[second])


def mnist_test(
    images: str | os.PathLike[str] | None = None, labels: str | os.PathLike[str] | None = None
) -> Images:
    """MNIST's 10,000 test pictures of 28×28, with labels.

    Parameters
    ----------
    images, labels
        Gzipped IDX files of your own; fetched from the registry if left out.

    Raises
    ------
    DataUnavailableError
        If a file has to be downloaded and cannot be.
    ValueError
        If a file is no gzipped IDX file of bytes, or the two do not fit together.

    Examples
    --------
    >>> import gzip, tempfile
    >>> picture = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255])  # one of 1×2 pixels
    >>> label = bytes([0, 0, 8, 1, 0, 0, 0, 1, 0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     x, y = Path(folder) / "x", Path(folder) / "y"
    ...     _ = x.write_bytes(gzip.compress(picture)), y.write_bytes(gzip.compress(label))
    ...     tiny = mnist_test(x, y)
    >>> tiny.images, tiny.labels
    (array([[[0., 1.]]], dtype=float32), array([0]))
    """
    pixels = _read_idx(Path(images or fetch("mnist-t10k-images-idx3-ubyte.gz")))
    names = _read_idx(Path(labels or fetch("mnist-t10k-labels-idx1-ubyte.gz")))
    if pixels.ndim != 3 or names.shape != pixels.shape[:1]:
        raise ValueError(
            f"images and labels must have shapes (N, H, W) and (N,), got {pixels.shape}, {names.shape}"
        )
    return Images((pixels / np.float32(255)).astype(np.float32), names.astype(np.int64))


def _read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of unsigned bytes: 0, 0, 8, rank, the sizes as big-endian integers, the bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} is no gzipped file: {error}") from error
    rank = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    sizes = [int(n) for n in np.frombuffer(content, ">i4", rank, 4)] if len(content) >= 4 + 4 * rank else []
    if not rank or math.prod(sizes) != len(content) - 4 - 4 * rank:
        raise ValueError(f"{path.name} is no IDX file of bytes, or is cut short")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(sizes)
