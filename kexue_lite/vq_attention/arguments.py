"""What the functions of this room accept, in one place: queries, keys, values, codebook, window bias."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

TYPES = (torch.float32, torch.float64, torch.bfloat16)


def computes(device: torch.device, kind: torch.dtype) -> bool:
    """Whether the device has arithmetic of this kind.

    Examples
    --------
    >>> computes(torch.device("cpu"), torch.bfloat16)
    True
    """
    if kind is torch.bfloat16 and device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return not (kind is torch.float64 and device.type == "mps")


def floats(name: str, value: Any, axes: str) -> Tensor:
    """The tensor itself; raise unless it has these axes and holds finite numbers of a type in `TYPES`.

    Examples
    --------
    >>> floats("q", torch.zeros(2, 3), "B H T D")
    Traceback (most recent call last):
    ...
    ValueError: q must have the axes (B, H, T, D), got shape (2, 3)
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if value.dtype not in TYPES:
        raise TypeError(f"{name} must hold float32, float64 or bfloat16, got {value.dtype}")
    if not computes(value.device, value.dtype):
        raise TypeError(f"{name} holds {value.dtype}, in which {value.device} does not compute: use float32")
    letters = axes.split()
    if value.ndim != len(letters):
        raise ValueError(f"{name} must have the axes ({', '.join(letters)}), got shape {tuple(value.shape)}")
    if not value.numel():
        raise ValueError(f"{name} must not be empty, got shape {tuple(value.shape)}")
    # One NaN or infinity makes the sum one; only a sum that overflows has to be looked at number by number.
    if not math.isfinite(value.detach().sum()) and not value.detach().isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return value


def check_codebook(codebook: Any, k: Tensor) -> Tensor:
    """The codebook itself, without gradient; raise unless ``(H, S, D)`` fits `k`, in type and device too.

    Beside keys of 16 bits it may be float32.
    """
    codebook = floats("codebook", codebook, "H S D").detach()
    check_fit(codebook, k)
    return codebook


def check_fit(codebook: Tensor, k: Tensor) -> None:
    """Raise unless H, D, type and device of the codebook are those of `k`."""
    if (codebook.shape[0], codebook.shape[2]) != (k.shape[1], k.shape[-1]):
        raise ValueError(
            f"codebook must have the axes (H, S, D) with H = {k.shape[1]} and D = {k.shape[-1]} as k has, "
            f"got shape {tuple(codebook.shape)}"
        )
    if (k.dtype, codebook.dtype) != (torch.bfloat16, torch.float32):  # a moving average needs its digits
        same_kind("codebook", codebook, "k", k)
    elif codebook.device != k.device:
        raise TypeError(f"codebook must be on the device of k, {k.device}, got {codebook.device}")


def check_attention(q: Any, k: Any, v: Any) -> None:
    """Raise unless q and k are ``(B, H, T, D)`` and v is ``(B, H, T, E)``, of one type, on one device."""
    floats("q", q, "B H T D"), floats("k", k, "B H T D")
    if k.shape != q.shape:
        raise ValueError(f"k must have the shape of q, {tuple(q.shape)}, got {tuple(k.shape)}")
    same_kind("k", k, "q", q)
    check_values(v, "q", q)


def check_values(v: Any, name: str, other: Tensor) -> None:
    """Raise unless v is ``(B, H, T, E)`` with B, H, T, type and device of the other."""
    floats("v", v, "B H T E")
    if v.shape[:3] != other.shape[:3]:
        raise ValueError(
            f"v must have B, H, T of {name}, {tuple(other.shape[:3])}, got shape {tuple(v.shape)}"
        )
    same_kind("v", v, name, other)


def check_window_bias(bias: Any, heads: int, block_size: int, name: str, like: Tensor) -> Tensor | None:
    """``(H, 2L)`` or ``(1, 2L)``, by the distance i − j = 0, ..., 2L − 1; None stays None.

    Its type and device are those of `like`, the argument `name`.
    """
    if bias is None:
        return None
    if isinstance(bias, Tensor) and bias.ndim == 1:
        bias = bias[None]
    bias = floats("window_bias", bias, "H 2L")
    if bias.shape[0] not in (1, heads) or bias.shape[1] != 2 * block_size:
        raise ValueError(
            f"window_bias must have a number for each distance 0, ..., 2·block_size − 1: shape "
            f"({2 * block_size},) or ({heads}, {2 * block_size}), got {tuple(bias.shape)}"
        )
    same_kind("window_bias", bias, name, like)
    return bias


def same_kind(name: str, one: Tensor, other_name: str, other: Tensor) -> None:
    """Raise unless both are of one type and on one device."""
    if (one.dtype, one.device) != (other.dtype, other.device):
        raise TypeError(
            f"{name} must be of the type and on the device of {other_name}, {other.dtype} {other.device}, "
            f"got {one.dtype} {one.device}"
        )
