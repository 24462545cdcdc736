"""How good are the pictures, how good are the codes: numbers, with intervals (sections 6.5 to 6.7).

Quality is the Fréchet distance in the features of chapter 3's judge, between generated digits and those of
half B, which no training has seen. What it is compared with: the same distance between halves A and B. It
cannot see everything: a model that copies A would score excellently. `nearest_distances` looks for that. And
features of a classifier are blind to whatever does not help it to classify.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kexue_lite.arguments import whole
from kexue_lite.networks.arguments import class_labels, table
from kexue_lite.networks.scores import Accuracy
from kexue_lite.ogan.decomposition import pearson


def sample(model: Any, count: int, *, generator: torch.Generator) -> Tensor:
    """Pictures from fresh codes, without gradients: ``(count, H, H)``, on the device of the model.

    Examples
    --------
    >>> from kexue_lite.ogan import OGAN
    >>> sample(OGAN().eval(), 3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 8, 8])
    """
    weight = next(model.parameters())
    z = torch.randn(whole("count", count), model.code_size, generator=generator, dtype=weight.dtype)
    with torch.no_grad():
        return model.generate(z.to(weight.device))


def fresh_correlation(model: Any, count: int = 4000, *, generator: torch.Generator) -> float:
    """The mean of ρ(z, E(G(z))) over fresh codes: how much of a direction comes back.

    Examples
    --------
    >>> from kexue_lite.ogan import OGAN
    >>> rho = fresh_correlation(OGAN().eval(), 50, generator=torch.Generator().manual_seed(0))
    >>> -1 <= rho <= 1
    True
    """
    weight = next(model.parameters())
    z = torch.randn(whole("count", count), model.code_size, generator=generator, dtype=weight.dtype)
    z = z.to(weight.device)
    with torch.no_grad():
        return float(pearson(z, model.encode(model.generate(z))).mean())


def unexplained(x: Tensor, again: Tensor) -> float:
    """The mean squared error of `again` as a share of the variance of `x` around its mean.

    Parameters
    ----------
    x, again
        Of one shape ``(N, ...)``; the variance is that of each pixel over the N rows, summed.

    Raises
    ------
    ValueError
        If the shapes differ, or all rows of `x` are equal.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> unexplained(x, x), unexplained(x, x.mean(0).expand(2, 2))
    (0.0, 1.0)
    """
    if x.shape != again.shape:
        raise ValueError(f"x and again must have one shape, got {tuple(x.shape)} and {tuple(again.shape)}")
    x, again = x.double(), again.double()
    variance = float((x - x.mean(0)).square().mean())
    if not variance:
        raise ValueError("x must have rows that differ: a share of no variance is no number")
    return float((x - again).square().mean()) / variance


def linear_probe(codes: Tensor, labels: Any, test_codes: Tensor, test_labels: Any) -> Accuracy:
    """What logistic regression reads out of codes: fitted on one set, scored on another.

    The codes are scaled by mean and deviation of the first set; the penalty is scikit-learn's own (C = 1).

    Parameters
    ----------
    codes, test_codes
        ``(N, n)`` and ``(M, n)``.
    labels, test_labels
        ``(N,)`` and ``(M,)``, whole numbers.

    Raises
    ------
    TypeError, ValueError
        If shapes or types do not fit, or codes are not finite.

    Examples
    --------
    >>> codes = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    >>> print(linear_probe(codes, [0, 0, 1, 1], 3 * codes, [0, 0, 1, 1]))
    100.0 % (51.0 to 100.0)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table("codes", codes), table("test_codes", test_codes, codes.shape[1])
    y = class_labels("labels", labels, len(codes))
    truth = class_labels("test_labels", test_labels, len(test_codes))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    model.fit(codes.detach().cpu().double().numpy(), y.cpu().numpy())
    guess = model.predict(test_codes.detach().cpu().double().numpy())
    return Accuracy(int((guess == truth.cpu().numpy()).sum()), len(truth))


def nearest_distances(pictures: Tensor, others: Tensor) -> Tensor:
    """How far each picture is from the nearest of the others, ``(N,)``: root of the sum of squares.

    Examples
    --------
    >>> nearest_distances(torch.zeros(1, 2, 2), torch.stack([torch.ones(2, 2), torch.full((2, 2), 0.5)]))
    tensor([1.])
    """
    if pictures.shape[1:] != others.shape[1:] or not len(others) or not len(pictures):
        raise ValueError(
            f"pictures and others must be stacks of one shape, none empty, got {tuple(pictures.shape)} and "
            f"{tuple(others.shape)}"
        )
    return torch.cdist(pictures.flatten(1), others.flatten(1).to(pictures)).amin(1)


def bootstrap(
    statistic: Callable[..., float],
    *samples: Tensor,
    draws: int = 200,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A statistic of one or more sets of rows with the ends of its basic bootstrap interval of 95 %.

    Each set is drawn anew from its own rows with replacement, `draws` times; with s the statistic and q the
    quantiles of what the draws give, the interval is from 2s − q₉₇.₅ to 2s − q₂.₅. This takes off the bias
    that drawing adds: a Fréchet distance of sets with repeated rows is too large, and the interval may lie
    below s itself.

    Parameters
    ----------
    statistic
        Takes as many tensors as there are sets.
    samples
        Each ``(N, ...)``.
    draws, seed
        How many, and of which randomness.

    Examples
    --------
    >>> x = torch.arange(100.0)
    >>> value, low, high = bootstrap(lambda x: float(x.mean()), x)
    >>> value, bool(43 < low < 46), bool(53 < high < 56)
    (49.5, True, True)
    """
    if not samples:
        raise ValueError("bootstrap needs at least one set of rows")
    rng = np.random.default_rng(whole("seed", seed, 0))
    value = statistic(*samples)
    drawn = []
    for _ in range(whole("draws", draws, 2)):
        rows = [torch.from_numpy(rng.integers(len(one), size=len(one))).to(one.device) for one in samples]
        drawn.append(statistic(*(one[chosen] for one, chosen in zip(samples, rows, strict=True))))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return value, 2 * value - float(high), 2 * value - float(low)


def class_shares(labels: Tensor, classes: int = 10) -> np.ndarray:
    """The share of each class, ``(classes,)``.

    Examples
    --------
    >>> class_shares(torch.tensor([0, 2, 2, 1]), 3)
    array([0.25, 0.25, 0.5 ])
    """
    checked = class_labels("labels", labels, len(labels), whole("classes", classes))
    return np.bincount(checked.cpu().numpy(), minlength=classes) / len(checked)
