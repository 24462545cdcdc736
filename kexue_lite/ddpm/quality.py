r"""Quality is measured: distance to unseen pictures, balance of the classes, and nearest neighbours.

Three questions, none of which the others answer:

- Do the pictures *as a set* look like unseen ones? Fréchet distance of their features in chapter 3's judge,
  against half B. The yardstick is the distance of half A, which is real, against half B.
- Is every digit made as often as it should be? Shares of the classes that the judge sees.
- Are they copies? The nearest picture in A (which was trained on) and in B (which was not). Copies of A lie
  at distance 0 from A; new pictures lie as far from A as from B, and about as far as real ones do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kexue_lite.arguments import whole
from kexue_lite.networks import Judge, frechet_distance
from kexue_lite.networks.digits import checked_images


@dataclass(frozen=True)
class Quality:
    """What `quality` found.

    Attributes
    ----------
    distance
        Squared Fréchet distance of the made pictures to the unseen ones.
    low, high
        95 % interval for the mean of `distance` over other sets of these sizes. Both sets are resampled with
        replacement; with m the mean and q the quantiles of the resampled distances it runs from
        distance − (q₉₇.₅ − m) to distance − (q₂.₅ − m). Resampled sets lie further apart than real ones,
        which moves m and the quantiles alike and so is taken off; the chance that is in every distance of
        finite sets is left in, as it is in `yardstick`. (Chapter 6's `bootstrap` takes off that as well: its
        interval is for sets without end, and may lie below the distance.) Where the distance is mostly
        chance the interval is too wide, never too narrow.
    yardstick
        The same distance for the pictures trained on.
    shares
        Of the ten classes; uniform is 0.1 each.
    to_trained, to_unseen
        Median distance (root of the sum of squares) from a made picture to the nearest one trained on, and to
        the nearest unseen one.
    real_to_trained
        The same from an unseen real picture to the nearest one trained on: what no copying looks like.
    judge
        Hash of the judge.
    """

    distance: float
    low: float
    high: float
    yardstick: float
    shares: tuple[float, ...]
    to_trained: float
    to_unseen: float
    real_to_trained: float
    judge: str

    @property
    def ratio(self) -> float:
        """`distance` in units of the yardstick."""
        return self.distance / self.yardstick

    @property
    def imbalance(self) -> float:
        """By what factor the class that is furthest from uniform misses it; infinite if one is missing."""
        worst = max(max(self.shares) * len(self.shares), 1.0)
        least = min(self.shares) * len(self.shares)
        return max(worst, 1 / least if least else float("inf"))

    def __str__(self) -> str:
        return (
            f"distance {self.distance:.3f} ({self.low:.3f} to {self.high:.3f}), {self.ratio:.2f} times the "
            f"yardstick {self.yardstick:.3f}; classes within {self.imbalance:.2f}; nearest trained on "
            f"{self.to_trained:.2f}, nearest unseen {self.to_unseen:.2f} (real: {self.real_to_trained:.2f})"
        )


def quality(
    made: Tensor | np.ndarray,
    trained: Tensor | np.ndarray,
    unseen: Tensor | np.ndarray,
    *,
    see: Judge,
    resamples: int = 200,
    seed: int = 0,
) -> Quality:
    """Score made digits against unseen ones, with what they were trained on as the yardstick.

    Parameters
    ----------
    made, trained, unseen
        ``(N, 8, 8)`` in [0, 1], at least two each. Distances of small sets are larger by chance: make as many
        as there are in `trained`.
    see
        The judge, `kexue_lite.networks.judge`.
    resamples
        For the interval; at least 20.

    Raises
    ------
    TypeError, ValueError
        For pictures of another shape or range.

    Examples
    --------
    >>> from kexue_lite.data import digits
    >>> from kexue_lite.networks import judge
    >>> A, B = digits()
    >>> copied = quality(A.images, A.images, B.images, see=judge(), resamples=20)
    >>> copied.ratio, copied.to_trained  # copies have the yardstick's distance, and are found out
    (1.0, 0.0)
    """
    pictures = [checked_images(part).cpu().float() for part in (made, trained, unseen)]
    if min(map(len, pictures)) < 2:
        raise ValueError(f"at least 2 pictures of each kind are needed, got {[len(p) for p in pictures]}")
    whole("resamples", resamples, 20), whole("seed", seed, 0)
    features = [see.features(part).double() for part in pictures]
    distance = frechet_distance(features[0], features[2])
    generator = torch.Generator().manual_seed(seed)

    def again(rows: Tensor) -> Tensor:
        return rows[torch.randint(len(rows), (len(rows),), generator=generator)]

    resampled = np.array([frechet_distance(again(features[0]), again(features[2])) for _ in range(resamples)])
    least, most = np.quantile(resampled, [0.025, 0.975]) - resampled.mean()
    counts = torch.bincount(see.labels(pictures[0]), minlength=10).double() / len(pictures[0])
    return Quality(
        distance=distance,
        low=max(distance - float(most), 0.0),
        high=distance - float(least),
        yardstick=frechet_distance(features[1], features[2]),
        shares=tuple(counts.tolist()),
        to_trained=float(nearest(pictures[0], pictures[1]).distances.median()),
        to_unseen=float(nearest(pictures[0], pictures[2]).distances.median()),
        real_to_trained=float(nearest(pictures[2], pictures[1]).distances.median()),
        judge=see.hash,
    )


@dataclass(frozen=True, eq=False)
class Nearest:
    """Nearest neighbours.

    Attributes
    ----------
    rows
        ``(N,)``, which picture is the nearest.
    distances
        ``(N,)``, root of the sum of squared differences of the pixels.
    """

    rows: Tensor
    distances: Tensor


def nearest(pictures: Tensor | np.ndarray, among: Tensor | np.ndarray) -> Nearest:
    """For each picture the nearest one of another set, pixel by pixel.

    Raises
    ------
    ValueError
        If one of the sets is empty or not finite, or the pictures have different sizes.

    Examples
    --------
    >>> found = nearest(torch.tensor([[[0.9]], [[0.2]]]), torch.tensor([[[0.0]], [[1.0]]]))
    >>> found.rows.tolist(), [round(d, 2) for d in found.distances.tolist()]
    ([1, 0], [0.1, 0.2])
    """
    a, b = (torch.as_tensor(part) for part in (pictures, among))
    if not len(a) or not len(b) or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"pictures and among must be sets of pictures of one size, got {tuple(a.shape)} and "
            f"{tuple(b.shape)}"
        )
    a, b = a.flatten(1).double(), b.flatten(1).double()
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("pictures and among must be finite, got NaN or infinity")
    # Without the shortcut by scalar products, which rounds a distance of zero to something else.
    distances = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    least, rows = distances.min(1)
    return Nearest(rows, least)
