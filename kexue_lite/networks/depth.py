r"""Depth against width: a target made by composing, and the exact number of pieces of a ReLU network.

The tent map T(x) = 1 − |2x − 1| on [0, 1], composed n times, is a zigzag of 2ⁿ straight pieces. A ReLU
network copies it with two units in each of n hidden layers, since T(x) = 2·relu(x) − 4·relu(x − ½). A network
with one hidden layer of m units bends at most m times: it needs at least 2ⁿ − 1 units for the same zigzag
(chapter 3, section 3.5).

Source: M. Telgarsky, "Benefits of depth in neural networks" (COLT 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from kexue_lite.networks.arguments import real, whole
from kexue_lite.networks.mlp import MLP

Array = TypeVar("Array", np.ndarray, Tensor)


def tent(x: Array, times: int = 1) -> Array:
    """The tent map on [0, 1], composed with itself: T(T(...T(x))), with T(x) = 1 − |2x − 1|.

    Parameters
    ----------
    x
        Any shape, numpy or torch, with values in [0, 1].
    times
        How often, at least 0.

    Raises
    ------
    TypeError
        If `x` is neither an array nor a tensor, or holds no real numbers.
    ValueError
        If a value lies outside [0, 1] or is NaN, or `times` is no whole number from 0.

    Examples
    --------
    >>> tent(np.array([0.0, 0.25, 0.5, 1.0]))
    array([0. , 0.5, 1. , 0. ])
    >>> tent(np.array([0.25]), times=2)
    array([1.])
    """
    whole("times", times, 0)
    if not isinstance(x, Tensor | np.ndarray):
        raise TypeError(f"x must be a numpy array or a torch tensor, got {type(x).__name__}")
    if x.is_complex() if isinstance(x, Tensor) else x.dtype.kind not in "biuf":
        raise TypeError(f"x must hold real numbers, got {x.dtype}")
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError("x must lie in [0, 1], got a value outside, or NaN")
    for _ in range(times):
        # Not 1 − |2x − 1|: this way each step is exact in binary floating point.
        x = (
            torch.where(x < 0.5, 2 * x, 2 - 2 * x)
            if isinstance(x, Tensor)
            else np.where(x < 0.5, 2 * x, 2 - 2 * x)
        )
    return x


def tent_network(times: int) -> MLP:
    """The ReLU network, two units in each of `times` hidden layers, that equals ``tent(x, times)`` on [0, 1].

    Layer by layer 2·relu(x) − 4·relu(x − ½); each step is exact in binary floating point, so the network
    agrees with `tent` to the last bit.

    Returns
    -------
    MLP
        Widths 1, 2, ..., 2, 1, float64.

    Raises
    ------
    ValueError
        If `times` is no whole number from 1.

    Examples
    --------
    >>> x = torch.linspace(0, 1, 1001, dtype=torch.float64)
    >>> bool((tent_network(6)(x[:, None])[:, 0] == tent(x, 6)).all())
    True
    """
    whole("times", times)
    network = MLP([1, *[2] * times, 1], generator=torch.Generator()).double()  # all are set below
    combine = torch.tensor([[2.0, -4.0]], dtype=torch.float64)  # T from relu(x) and relu(x − 1/2)
    with torch.no_grad():
        for number, layer in enumerate(network.layers):
            assert isinstance(layer, nn.Linear)
            last = number == times
            into = torch.ones(1, 1).double() if number == 0 else combine
            layer.weight.copy_(into if last else into.expand(2, -1))
            layer.bias.copy_(torch.zeros(1) if last else torch.tensor([0.0, -0.5]))
    return network


@dataclass(frozen=True, eq=False)
class Pieces:
    """A function of one variable made of straight pieces.

    Attributes
    ----------
    edges, values
        ``(K + 1,)``: where the pieces meet, ends included, and the function there.
    slopes
        ``(K,)``; neighbours differ.
    """

    edges: np.ndarray
    values: np.ndarray
    slopes: np.ndarray

    @property
    def count(self) -> int:
        """K, the number of pieces."""
        return len(self.slopes)


def linear_pieces(model: MLP, low: float = 0.0, high: float = 1.0) -> Pieces:
    """The straight pieces of a ReLU network of one input and one output on an interval, without rounding.

    Every weight is a rational number, so are the places where a unit switches: they are followed layer by
    layer in exact fractions, and pieces are merged where the slope is exactly the same. A few hundred pieces
    take about a second.

    Parameters
    ----------
    model
        An `MLP` of widths 1, ..., 1 with activation "relu" (or "identity").
    low, high
        The interval.

    Raises
    ------
    TypeError
        If `model` is no MLP.
    ValueError
        If its widths or activation are others, a weight is not finite, or `low` is not below `high`.

    Examples
    --------
    >>> linear_pieces(tent_network(5)).count
    32
    >>> linear_pieces(tent_network(1)).edges
    array([0. , 0.5, 1. ])
    """
    if not isinstance(model, MLP):
        raise TypeError(f"model must be an MLP, got {type(model).__name__}")
    if model.widths[0] != 1 or model.widths[-1] != 1 or model.activation not in ("relu", "identity"):
        raise ValueError(
            "model must be a ReLU (or identity) MLP of one input and one output, got widths "
            f"{model.widths} and activation {model.activation!r}"
        )
    low, high = real("low", low), real("high", high)
    if not low < high:
        raise ValueError(f"low must be below high, got {low} and {high}")
    x = [Fraction(low), Fraction(high)]
    rows = [[place] for place in x]  # the layer's values at each place
    for number, layer in enumerate(model.layers):
        weights, biases = _fractions(layer)
        rows = [
            [
                sum((w * v for w, v in zip(into, row, strict=True)), b)
                for into, b in zip(weights, biases, strict=True)
            ]
            for row in rows
        ]
        if model.activation == "relu" and number < len(model.layers) - 1:
            x, rows = _switch(x, rows)
    values = [row[0] for row in rows]
    slopes = [(values[k + 1] - values[k]) / (x[k + 1] - x[k]) for k in range(len(x) - 1)]
    bends = [k for k in range(1, len(slopes)) if slopes[k] != slopes[k - 1]]
    corners = [0, *bends, len(slopes)]
    return Pieces(
        np.array([float(x[k]) for k in corners]),
        np.array([float(values[k]) for k in corners]),
        np.array([float(slopes[k]) for k in corners[:-1]]),
    )


def _switch(x: list[Fraction], rows: list[list[Fraction]]) -> tuple[list[Fraction], list[list[Fraction]]]:
    """ReLU of units that are straight between the places x: the places where one passes zero are added."""
    places, out = [x[0]], [rows[0]]
    for k in range(len(x) - 1):
        here, there = rows[k], rows[k + 1]
        zeros = {a / (a - b) for a, b in zip(here, there, strict=True) if (a < 0 < b) or (b < 0 < a)}
        for s in sorted(zeros):
            places.append(x[k] + s * (x[k + 1] - x[k]))
            out.append([a + s * (b - a) for a, b in zip(here, there, strict=True)])
        places.append(x[k + 1])
        out.append(there)
    return places, [[max(value, Fraction(0)) for value in row] for row in out]


def _fractions(layer: nn.Module) -> tuple[list[list[Fraction]], list[Fraction]]:
    assert isinstance(layer, nn.Linear)
    weights, biases = layer.weight.detach().double().cpu(), layer.bias.detach().double().cpu()
    if not (torch.isfinite(weights).all() and torch.isfinite(biases).all()):
        raise ValueError("model must have finite weights, got NaN or infinity")
    return [[Fraction(w) for w in row] for row in weights.tolist()], [Fraction(b) for b in biases.tolist()]
