"""Checks that the functions of the room share: a bad argument is refused with its name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kexue_lite.arguments import real, whole

__all__ = ["class_labels", "real", "table", "whole"]


def table(name: str, value: Any, columns: int | None = None) -> Tensor:
    """The tensor itself; raise unless it is finite, real and of shape ``(N, columns)`` with N at least 1.

    Examples
    --------
    >>> table("x", torch.zeros(3), 2)
    Traceback (most recent call last):
    ...
    ValueError: x must have shape (N, 2) with N at least 1, got (3,)
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must hold floating-point numbers, got {value.dtype}")
    wanted = "D" if columns is None else columns
    if value.ndim != 2 or not value.numel() or (columns is not None and value.shape[1] != columns):
        raise ValueError(f"{name} must have shape (N, {wanted}) with N at least 1, got {tuple(value.shape)}")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return value


def class_labels(name: str, value: Any, count: int, classes: int | None = None) -> Tensor:
    """Labels as an int64 tensor ``(count,)``; raise unless they are whole numbers in [0, `classes`).

    Examples
    --------
    >>> class_labels("labels", [0, 3], 2, classes=3)
    Traceback (most recent call last):
    ...
    ValueError: labels must lie in 0, ..., 2, got 3
    """
    labels = torch.as_tensor(value)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{name} must be whole numbers, got {labels.dtype}")
    if tuple(labels.shape) != (count,):
        raise ValueError(f"{name} must have shape ({count},), got {tuple(labels.shape)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (classes is not None and high >= classes):
        last = "..." if classes is None else f"..., {classes - 1}"
        raise ValueError(f"{name} must lie in 0, {last}, got {low if low < 0 else high}")
    return labels.long()
