"""Losses of the margin: ℓ(m) with m = y s, positive where the score s has the sign of the label y = ±1.

Least squares fits here because (y − s)² = y²(1 − ys)² = (1 − m)². All but `zero_one` are convex. The names
are those of the literature; the article (kexue.fm 3319) has no formula.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Loss = Callable[[Tensor], Tensor]


def squared(m: Tensor) -> Tensor:
    """(1 − m)²: least squares. It blames a margin above 1, too.

    Examples
    --------
    >>> squared(torch.tensor([-1.0, 0.0, 1.0, 3.0]))
    tensor([4., 1., 0., 4.])
    """
    return (1 - m) ** 2


def perceptron(m: Tensor) -> Tensor:
    """max(0, −m): any positive margin will do (Rosenblatt 1958).

    Examples
    --------
    >>> perceptron(torch.tensor([-1.0, 0.0, 1.0, 3.0]))
    tensor([1., -0., 0., 0.])
    """
    return (-m).clamp(min=0)


def logistic(m: Tensor) -> Tensor:
    """log(1 + e^−m): minus the logarithm of the probability 1/(1 + e^−m) given to the label.

    Examples
    --------
    >>> logistic(torch.tensor([-100.0, 0.0, 100.0])).tolist()
    [100.0, 0.6931471824645996, ...e-44]
    """
    return -logsigmoid(m)


def hinge(m: Tensor) -> Tensor:
    """max(0, 1 − m): the support vector machine.

    Examples
    --------
    >>> hinge(torch.tensor([-1.0, 0.0, 1.0, 3.0]))
    tensor([2., 1., 0., 0.])
    """
    return (1 - m).clamp(min=0)


def squared_hinge(m: Tensor) -> Tensor:
    """max(0, 1 − m)²: `squared` for margins below 1, nothing above.

    Examples
    --------
    >>> squared_hinge(torch.tensor([-1.0, 0.0, 1.0, 3.0]))
    tensor([4., 1., 0., 0.])
    """
    return (1 - m).clamp(min=0) ** 2


def zero_one(m: Tensor) -> Tensor:
    """1 where m ≤ 0: what is counted in the end. Not convex, its slope is 0: not to be fitted.

    Examples
    --------
    >>> zero_one(torch.tensor([-1.0, 0.0, 1.0, 3.0]))
    tensor([1., 1., 0., 0.])
    """
    return (m <= 0).to(m.dtype)


LOSSES: dict[str, Loss] = {
    "squared": squared,
    "perceptron": perceptron,
    "logistic": logistic,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "zero_one": zero_one,
}


def slope(loss: Loss, m: Tensor) -> Tensor:
    """dℓ/dm by autograd; at a corner, one of the slopes beside it.

    Parameters
    ----------
    loss
        An elementwise function.
    m
        Margins, of any shape.

    Raises
    ------
    TypeError
        If `m` is no tensor of floating-point numbers.
    ValueError
        If `loss` does not return a value for each margin.

    Examples
    --------
    >>> slope(squared_hinge, torch.tensor([-1.0, 0.0, 1.0, 3.0]))
    tensor([-4., -2., -0., -0.])
    """
    if not isinstance(m, Tensor) or not m.is_floating_point():
        raise TypeError(
            f"m must be a tensor of floating-point numbers, got {getattr(m, 'dtype', type(m).__name__)}"
        )
    with torch.enable_grad():
        m = m.detach().requires_grad_()
        values = loss(m)
        if not isinstance(values, Tensor) or values.shape != m.shape:
            raise ValueError("loss must return one value for each margin")
        if not values.requires_grad:  # a step: its slope is 0 wherever it has one
            return torch.zeros_like(m)
        return torch.autograd.grad(values.sum(), m)[0]
