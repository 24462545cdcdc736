r"""A small convolutional network that reads digits: the judge of chapters 6 and 7 (chapter 3, section 3.9).

    image → [convolution 3×3, normalisation, relu, (halving)] × 3 → relu(W·) = features (B, D) → W'· = logits

What makes it good is less the network than its data: every picture is moved, turned, stretched and sheared a
little before it is shown, anew each time (`distorted`), so that 898 pictures do the work of many. The other
parts of the recipe are standard: AdamW, one rise and fall of the learning rate (Smith, Topin 2018), soft
labels (Szegedy and others 2016), and the moving average of the weights, with batch statistics measured once
more at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kexue_lite.networks.arguments import class_labels, real, whole
from kexue_lite.networks.mlp import draw_weights, undisturbed
from kexue_lite.training import generator_for, minibatches, train

# Order, distortions and weights of a run draw from three seeds of their own.
_ORDER, _DISTORTION, _WEIGHTS = range(3)


class DigitClassifier(nn.Module):
    """Convolutions, then `features` numbers, then one logit for each class.

    Parameters
    ----------
    size
        Height and width of the pictures.
    channels
        Of the convolutions, all 3×3; after each but the first the picture is halved.
    features
        D, the number of features.
    classes
        Number of classes.
    generator
        Draws the weights; torch's global generator if left out.

    Raises
    ------
    ValueError
        If a number is no whole number from 1, or the pictures are too small to be halved so often.

    Examples
    --------
    >>> model = DigitClassifier(generator=torch.Generator().manual_seed(0)).eval()
    >>> x = torch.zeros(5, 8, 8)
    >>> model.features(x).shape, model(x).shape
    (torch.Size([5, 64]), torch.Size([5, 10]))
    """

    def __init__(
        self,
        *,
        size: int = 8,
        channels: Sequence[int] = (16, 16, 32),
        features: int = 64,
        classes: int = 10,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.size = whole("size", size)
        if not isinstance(channels, Sequence) or isinstance(channels, str) or not channels:
            raise ValueError(f"channels must name at least one convolution, got {channels!r}")
        whole("features", features), whole("classes", classes)
        left = size >> (len(channels) - 1)
        if not left:
            raise ValueError(
                f"size must be at least {2 ** (len(channels) - 1)} for {len(channels)} convolutions"
            )
        for k, width in enumerate(channels):
            whole(f"channels[{k}]", width)
        parts: list[nn.Module] = []
        with undisturbed(generator):
            for k, (before, after) in enumerate(zip([1, *channels], channels, strict=False)):
                convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
                parts += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
                parts += [nn.MaxPool2d(2)] if k else []
            parts += [nn.Flatten(), nn.Linear(channels[-1] * left**2, features), nn.ReLU()]
            self.body = nn.Sequential(*parts)
            self.head = nn.Linear(features, classes)
        draw_weights(self, generator)

    def features(self, images: Tensor) -> Tensor:
        """The layer before the last, ``(B, D)``, not negative: ``(B, H, W)`` or ``(B, 1, H, W)``."""
        if images.ndim == 3:
            images = images[:, None]
        if images.ndim != 4 or tuple(images.shape[1:]) != (1, self.size, self.size):
            raise ValueError(
                f"images must have shape (B, {self.size}, {self.size}) or (B, 1, {self.size}, {self.size}), "
                f"got {tuple(images.shape)}"
            )
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes)``."""
        return self.head(self.features(images))


def distorted(
    images: Tensor,
    *,
    generator: torch.Generator,
    shift: float = 0.7,
    turn: float = 0.15,
    stretch: float = 0.1,
    shear: float = 0.15,
    noise: float = 0.03,
) -> Tensor:
    """Each picture moved, turned, stretched, sheared and made noisy a little, each in its own way.

    Parameters
    ----------
    images
        ``(B, H, W)``, floating point.
    generator
        Draws all of it; on the device of `images`.
    shift
        Largest movement each way, in pixels.
    turn
        Largest angle, in radians.
    stretch, shear
        Largest relative change of height and width; largest slant.
    noise
        Standard deviation of the noise on each pixel, which may leave [0, 1].

    Returns
    -------
    Tensor
        The same shape, type and device.

    Raises
    ------
    TypeError, ValueError
        If `images` have another shape or type, or a number is negative.

    Examples
    --------
    >>> x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> off = {"shift": 0, "turn": 0, "stretch": 0, "shear": 0, "noise": 0}
    >>> torch.allclose(distorted(x, generator=torch.Generator(), **off), x, atol=1e-6)
    True
    """
    if not isinstance(images, Tensor) or not images.is_floating_point():
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a tensor of floating-point numbers, got {got}")
    if images.ndim != 3 or not images.numel():
        raise ValueError(f"images must have shape (B, H, W) and not be empty, got {tuple(images.shape)}")
    if not torch.isfinite(images).all():
        raise ValueError("images must be finite, got NaN or infinity")
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    amounts = {"shift": shift, "turn": turn, "stretch": stretch, "shear": shear, "noise": noise}
    for name, amount in amounts.items():
        real(name, amount, least=0)
    B, H, W = images.shape

    def draw(*shape: int) -> Tensor:
        uniform = torch.rand(*shape, generator=generator, device=images.device, dtype=images.dtype)
        return 2 * uniform - 1

    angle, slant = turn * draw(B), shear * draw(B)
    grow = 1 + stretch * draw(2, B)
    move = (
        shift * draw(2, B) * 2 / torch.tensor([[W], [H]]).to(images)
    )  # the grid of a picture runs from -1 to 1
    cos, sin = angle.cos(), angle.sin()
    # The grid runs from -1 to 1 along either side: a turn in pixels needs the ratio of the sides.
    across = torch.stack([cos * grow[0], (slant - sin * grow[1]) * (H / W), move[0]], 1)
    down = torch.stack([sin * grow[0] * (W / H), cos * grow[1], move[1]], 1)
    grid = F.affine_grid(torch.stack([across, down], 1), [B, 1, H, W], align_corners=False)
    moved = F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
    return moved + noise * torch.randn(B, H, W, generator=generator, device=images.device, dtype=images.dtype)


def train_digit_classifier(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    seed: int = 0,
    steps: int = 400,
    batch_size: int = 128,
    rate: float = 0.003,
    distort: bool = True,
) -> DigitClassifier:
    """Train a `DigitClassifier` on pictures of 8×8 or larger: seconds for the 898 digits of half A.

    Parameters
    ----------
    images
        ``(N, H, H)`` in [0, 1].
    labels
        ``(N,)``, whole numbers from 0.
    seed
        Of the weights, of the order of the pictures and of their distortions.
    steps, batch_size, rate
        Length of training, pictures of a step (about: an epoch is cut evenly), largest learning rate.
    distort
        Whether the pictures are distorted. Chapter 3 shows what happens without.

    Returns
    -------
    DigitClassifier
        In evaluation mode, on the device of `images`.

    Raises
    ------
    TypeError, ValueError
        If shapes, types or ranges do not fit.

    Examples
    --------
    >>> from kexue_lite.data import digits
    >>> A, B = digits()
    >>> model = train_digit_classifier(A.images[:200], A.labels[:200], steps=5)
    >>> model(torch.from_numpy(B.images)).shape
    torch.Size([899, 10])
    """
    x = checked_images(images)
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"images must be float32 or float64 to train on, got {x.dtype}")
    y = class_labels("labels", labels, len(x)).to(x.device)
    whole("steps", steps), whole("seed", seed, 0)
    if real("rate", rate) <= 0:
        raise ValueError(f"rate must be positive, got {rate}")
    model = DigitClassifier(
        size=x.shape[1],
        classes=max(10, int(y.max()) + 1),
        generator=generator_for(3 * seed + _WEIGHTS, 0),
    ).to(x)
    # An epoch is cut into nearly equal batches: the batch statistics of a small rest would be poor.
    parts = max(1, round(len(x) / whole("batch_size", batch_size)))
    drawn = minibatches(x, y, batch_size=-(-len(x) // parts), seed=3 * seed + _ORDER)

    def batches(step: int) -> tuple[Tensor, ...]:
        pictures, names = drawn(step)
        if distort:
            own = generator_for(3 * seed + _DISTORTION, step, device=x.device)
            pictures = distorted(pictures, generator=own)
        return pictures, names

    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    # The average reaches back over a twelfth of the run, whatever its length.
    run = train(
        model,
        _loss,
        batches,
        optimizer=optimizer,
        steps=steps,
        schedule=schedule,
        average=1 - 12 / steps if steps > 12 else None,
        progress=False,
    )
    averaged: Any = run.averaged if run.averaged is not None else run.model
    # Batch statistics of the averaged weights, on pictures as they are when it is used: not distorted.
    torch.optim.swa_utils.update_bn(x.split(4096), averaged)
    return averaged.eval()


def checked_images(images: Tensor | np.ndarray) -> Tensor:
    """Pictures as a float32 (or float64) tensor ``(N, H, H)``; raise unless they are finite and in [0, 1].

    Examples
    --------
    >>> checked_images(np.zeros((2, 8, 7)))
    Traceback (most recent call last):
    ...
    ValueError: images must have shape (N, H, H) with N at least 1, got (2, 8, 7)
    """
    x = torch.as_tensor(images)
    if x.ndim == 4 and x.shape[1] == 1:
        x = x[:, 0]
    if x.ndim != 3 or not len(x) or x.shape[1] != x.shape[2]:
        raise ValueError(f"images must have shape (N, H, H) with N at least 1, got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"images must hold floating-point numbers in [0, 1], got {x.dtype}")
    if not ((x >= 0) & (x <= 1)).all():  # NaN too
        raise ValueError(f"images must lie in [0, 1], got {float(x.min()):g} to {float(x.max()):g}")
    return x


def _loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(images), labels, label_smoothing=0.1, reduction="none")
