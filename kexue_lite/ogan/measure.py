"""How good are the pictures, how good are the codes: numbers, with intervals (sections 6.5 to 6.7).

Quality is the Fréchet distance in the features of chapter 3's judge, between generated digits and those of
half B, which no training has seen. What it is compared with: the same distance between halves A and B. It
cannot see everything: a model that copies A would score excellently. `nearest_distances` looks for that. And
features of a classifier are blind to whatever does not help it to classify.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kexue_lite.arguments import whole
from kexue_lite.networks.arguments import class_labels, table
from kexue_lite.networks.scores import Accuracy
from kexue_lite.ogan.decomposition import pearson


def sample(model: Any, count: int, *, generator: torch.Generator) -> Tensor:
    """Pictures G(z) from fresh codes z ~ N(0, I), without gradients.

    Parameters
    ----------
    model
        Has `generate` and `code_size`; is asked in evaluation mode, and left in the mode in which it was.
    count
        How many; 0 gives an empty stack.
    generator
        Draws the codes, on its own device.

    Returns
    -------
    Tensor
        ``(count, H, H)``, or points ``(count, 2)``, on the device of the model.

    Raises
    ------
    TypeError, ValueError
        If `count` is no whole number from 0, or `generator` is none.

    Examples
    --------
    >>> from kexue_lite.ogan import OGAN
    >>> sample(OGAN(), 3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 8, 8])
    """
    with _at_rest(model), torch.no_grad():
        return model.generate(_fresh_codes(model, whole("count", count, 0), generator))


def fresh_correlation(model: Any, count: int = 4000, *, generator: torch.Generator) -> float:
    """The mean of ρ(z, E(G(z))) over fresh codes: how much of a direction comes back.

    Parameters
    ----------
    model, count, generator
        As for `sample`; `count` at least 1, and the model has `encode`.

    Raises
    ------
    TypeError, ValueError
        As for `sample`; or if `encode` gives codes of another shape, or NaN.

    Examples
    --------
    >>> from kexue_lite.ogan import OGAN
    >>> rho = fresh_correlation(OGAN(), 50, generator=torch.Generator().manual_seed(0))
    >>> -1 <= rho <= 1
    True
    """
    z = _fresh_codes(model, whole("count", count), generator)
    with _at_rest(model), torch.no_grad():
        return float(pearson(z, model.encode(model.generate(z))).mean())


def _fresh_codes(model: Any, count: int, generator: torch.Generator) -> Tensor:
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    weight = next(model.parameters())
    kind = {"dtype": weight.dtype, "device": generator.device}
    return torch.randn(count, model.code_size, generator=generator, **kind).to(weight.device)


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while: in training mode batch norm would mix the rows, and remember them."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def unexplained(x: Tensor, again: Tensor) -> float:
    """The squared error of `again` as a share of the variance of `x` around its mean.

        Σ ‖x − again‖² / Σ ‖x − mean x‖²

    Parameters
    ----------
    x, again
        Of one shape ``(N, ...)``; the variance is that of each pixel over the N rows, summed.

    Raises
    ------
    TypeError, ValueError
        If they are no tensors of finite numbers, the shapes differ, or all rows of `x` are equal.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> unexplained(x, x), unexplained(x, x.mean(0).expand(2, 2))
    (0.0, 1.0)
    """
    x, again = _stack("x", x), _stack("again", again)
    if x.shape != again.shape:
        raise ValueError(f"x and again must have one shape, got {tuple(x.shape)} and {tuple(again.shape)}")
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
        If shapes or types do not fit, codes are not finite, or all labels of the first set are equal.

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
    if len(y.unique()) < 2:
        raise ValueError(f"labels must hold at least two classes, got {int(y[0])} alone")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    model.fit(codes.detach().cpu().double().numpy(), y.cpu().numpy())
    guess = model.predict(test_codes.detach().cpu().double().numpy())
    return Accuracy(int((guess == truth.cpu().numpy()).sum()), len(truth))


def nearest_distances(pictures: Tensor, others: Tensor) -> Tensor:
    """How far each picture is from the nearest of the others, ``(N,)``: root of the sum of squares.

    Parameters
    ----------
    pictures, others
        ``(N, ...)`` and ``(M, ...)``, of finite numbers.

    Raises
    ------
    TypeError, ValueError
        If they are no tensors of finite numbers, one is empty, or their rows differ in shape.

    Examples
    --------
    >>> nearest_distances(torch.zeros(1, 2, 2), torch.stack([torch.ones(2, 2), torch.full((2, 2), 0.5)]))
    tensor([1.])
    """
    left, right = _stack("pictures", pictures), _stack("others", others)
    if left.shape[1:] != right.shape[1:]:
        raise ValueError(
            f"pictures and others must be stacks of one shape, got {tuple(left.shape)} and "
            f"{tuple(right.shape)}"
        )
    nearest = torch.cdist(left.flatten(1), right.flatten(1).to(left.device)).amin(1)
    return nearest.to(pictures.dtype)


def _stack(name: str, value: Tensor) -> Tensor:
    """Rows of finite numbers, in double precision; raise unless there is at least one."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a tensor of floating-point numbers, got {got}")
    if value.ndim < 2 or not value.numel():
        raise ValueError(
            f"{name} must be a stack of rows (N, ...), not empty, got shape {tuple(value.shape)}"
        )
    if not torch.isfinite(value).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return value.double()


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
        Each ``(N, ...)``, N at least 2.
    draws, seed
        How many, at least 2, and of which randomness.

    Returns
    -------
    value, low, high : float

    Raises
    ------
    ValueError
        If there is no set, one has fewer than two rows, or the statistic is not finite.

    References
    ----------
    A. C. Davison and D. V. Hinkley, *Bootstrap Methods and their Application* (1997), section 5.2.

    Examples
    --------
    >>> x = torch.arange(100.0)
    >>> value, low, high = bootstrap(lambda x: float(x.mean()), x)
    >>> value, bool(43 < low < 46), bool(53 < high < 56)
    (49.5, True, True)
    """
    if not samples:
        raise ValueError("bootstrap needs at least one set of rows")
    for place, one in enumerate(samples):
        if not one.ndim or len(one) < 2:
            raise ValueError(f"samples[{place}] must have at least 2 rows, got shape {tuple(one.shape)}")
    rng = np.random.default_rng(whole("seed", seed, 0))
    value = float(statistic(*samples))
    drawn = []
    for _ in range(whole("draws", draws, 2)):
        rows = [torch.from_numpy(rng.integers(len(one), size=len(one))).to(one.device) for one in samples]
        drawn.append(float(statistic(*(one[chosen] for one, chosen in zip(samples, rows, strict=True)))))
    if not all(map(math.isfinite, [value, *drawn])):
        raise ValueError(f"statistic must be finite on every draw, got {value} and {sum(drawn)} as their sum")
    low, high = np.quantile(drawn, [0.025, 0.975])
    return value, 2 * value - float(high), 2 * value - float(low)


def class_shares(labels: Tensor, classes: int = 10) -> np.ndarray:
    """The share of each class, ``(classes,)``.

    Parameters
    ----------
    labels
        ``(N,)``, whole numbers from 0, below `classes`; N at least 1.

    Raises
    ------
    TypeError, ValueError
        If they are not.

    Examples
    --------
    >>> class_shares(torch.tensor([0, 2, 2, 1]), 3)
    array([0.25, 0.25, 0.5 ])
    """
    labels, classes = torch.as_tensor(labels), whole("classes", classes)
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"labels must have shape (N,) with N at least 1, got {tuple(labels.shape)}")
    checked = class_labels("labels", labels, len(labels), classes)
    return np.bincount(checked.cpu().numpy(), minlength=classes) / len(checked)
