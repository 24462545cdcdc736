"""Other ways for a language model to do quantised attention, for the measurements of `language_models`.

Both change, for a while, what the layers of `kexue_lite.vq_attention.mixers` call, and put it back.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor

import kexue_lite.vq_attention.mixers as mixers
from kexue_lite.vq_attention import nearest_codes, quadratic_vq_attention
from kexue_lite.vq_attention.quantizer import look_up


@contextlib.contextmanager
def by_the_twin(mixer: str) -> Iterator[None]:
    """Within it, gated units do quantised attention by its quadratic twin."""
    usual = mixers.vq_attention
    if mixer == "gated":
        mixers.vq_attention = quadratic_vq_attention
    try:
        yield
    finally:
        mixers.vq_attention = usual


@contextlib.contextmanager
def quantising(part: str) -> Iterator[None]:
    """Within it, quantised attention puts only ``"near"`` keys on codes, only ``"far"``, or ``"neither"``."""

    def attend(
        q: Tensor, k: Tensor, v: Tensor, codebook: Tensor, *, block_size: int, window_bias: Tensor | None
    ) -> Tensor:
        T, D = q.shape[2:]
        i, j = torch.arange(T)[:, None], torch.arange(T)
        near = i // block_size - j // block_size <= 1
        rounded = q @ look_up(codebook, nearest_codes(k, codebook)).mT
        chosen = {"near": near, "far": ~near, "neither": torch.zeros_like(near)}[part]
        scores = torch.where(chosen, rounded, q @ k.mT) / math.sqrt(D)
        if window_bias is not None:
            distance = (i - j).clamp(0, 2 * block_size - 1)
            scores = scores + torch.where(near, window_bias[:, distance], 0)
        return scores.masked_fill(j > i, -math.inf).softmax(-1) @ v

    usual = mixers.vq_attention
    mixers.vq_attention = attend  # type: ignore[assignment]
    try:
        yield
    finally:
        mixers.vq_attention = usual
