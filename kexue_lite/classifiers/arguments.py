"""What the functions of this room accept: a matrix of examples, labels ±1, a positive number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .losses import LOSSES, Loss


def matrix(name: str, x: Any) -> Tensor:
    """``(N, D)`` floating point, finite, dense, at least one row and column."""
    if getattr(x, "format", None) is not None and hasattr(x, "toarray"):
        raise TypeError(
            f"{name} must be dense, got a sparse {type(x).__name__}: use its toarray(), or an estimator"
        )
    if isinstance(x, Tensor) and x.layout != torch.strided:
        raise TypeError(f"{name} must be dense, got a tensor of layout {x.layout}: use its to_dense()")
    try:
        t = _tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must hold numbers, got {type(x).__name__}: {error}") from error
    if t.is_complex() or t.dtype == torch.bool:
        raise TypeError(f"{name} must hold real numbers, got {t.dtype}")
    if t.dtype not in (torch.float32, torch.float64):
        t = t.to(torch.float64)  # whole numbers; and half precision is no precision for a linear system
    if t.ndim != 2 or 0 in t.shape:
        raise ValueError(f"{name} must have shape (N, D) with N, D >= 1, got {tuple(t.shape)}")
    if not bool(torch.isfinite(t).all()):
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return t.detach()


def signs(y: Any, x: Tensor) -> Tensor:
    """``(N,)`` of −1 and +1, both present, like x in type and device."""
    try:
        t = _tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"y must hold −1 and +1, got {type(y).__name__}: {error}") from error
    if t.shape != x.shape[:1]:
        raise ValueError(f"y must have shape ({len(x)},), one label for each row of x, got {tuple(t.shape)}")
    t = t.to(x)
    found = t.unique().tolist()
    if found != [-1, 1]:
        raise ValueError(f"y must hold −1 and +1, both of them, got {found[:5]}")
    return t


def _tensor(values: Any) -> Tensor:
    """Also of what torch does not take as it is: data frames, reversed, read-only and big-endian arrays."""
    if isinstance(values, Tensor) or not hasattr(values, "__array__"):
        return torch.as_tensor(values)
    array = np.asarray(values)
    return torch.as_tensor(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))


def number(name: str, value: Any, *, zero: bool = False) -> float:
    """A finite number, positive (or, with `zero`, at least 0)."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    if not math.isfinite(value := float(value)) or value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} must be finite and {'at least 0' if zero else 'positive'}, got {value}")
    return value


def whole(name: str, value: Any) -> int:
    """A whole number, at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, got {type(value).__name__}: {value!r}")
    if int(value) < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def loss_named(loss: Any) -> Loss:
    """One of `LOSSES` by its name, or a function as it is; `zero_one` is refused."""
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
        loss = LOSSES[loss]
    if not callable(loss):
        raise TypeError(f"loss must be a name or a function of the margins, got {type(loss).__name__}")
    if loss is LOSSES["zero_one"]:
        raise ValueError("loss must be convex: zero_one has slope 0 everywhere and cannot be fitted")
    values = loss(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    if not isinstance(values, Tensor) or values.shape != (3,):
        raise ValueError("loss must return one value for each margin")
    if not bool(torch.isfinite(values).all()) or values[0] + values[2] < 2 * values[1] - 1e-9:
        raise ValueError(f"loss must be finite and convex, got {values.tolist()} at the margins -1, 0 and 1")
    return loss
