r"""Token by token with a state that does not grow: two blocks of codes and values, count and sum per code.

At the first token of block n, block n − 2 leaves the window: its values go to the sums of their codes, and
its places are free for block n. The window holds *codes* alone: the score of a near key is that of its code,
found in q·Cᵀ, which is needed for the far ones anyway.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kexue_lite.arguments import whole
from kexue_lite.vq_attention.arguments import (
    check_attention,
    check_fit,
    check_values,
    check_window_bias,
    floats,
)
from kexue_lite.vq_attention.attention import BLOCK
from kexue_lite.vq_attention.blocks import wide
from kexue_lite.vq_attention.quantizer import centre, nearest


class VQState:
    """What `vq_attention` must remember of the past, and the attention of the next token.

    Parameters
    ----------
    codebook
        ``(H, S, D)``. It must not change while the state is in use.
    batch
        B.
    width
        E, of the values.
    block_size, window_bias
        As for `vq_attention`.

    Attributes
    ----------
    position : int
        How many tokens were taken in.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit; in `step` and `extend`, for another batch size, width, type or device.
        The state is then as it was.

    References
    ----------
    Article 9844; arXiv:2309.16354.

    Examples
    --------
    >>> from kexue_lite.vq_attention import vq_attention
    >>> q, k, v = torch.randn(3, 1, 2, 20, 4, generator=torch.Generator().manual_seed(0)).double()
    >>> codebook = k[0, :, :5]
    >>> state = VQState(codebook, 1, 4, block_size=3)
    >>> tokens = [state.step(*(x[:, :, t : t + 1] for x in (q, k, v))) for t in range(20)]
    >>> torch.allclose(torch.cat(tokens, 2), vq_attention(q, k, v, codebook, block_size=3), atol=1e-12)
    True
    """

    def __init__(
        self,
        codebook: Tensor,
        batch: int,
        width: int,
        *,
        block_size: int = BLOCK,
        window_bias: Tensor | None = None,
    ) -> None:
        self.codebook = floats("codebook", codebook, "H S D").detach()
        H, S, _ = codebook.shape
        self.block_size = L = whole("block_size", block_size)
        kinds = torch.bfloat16, torch.float32  # the bias is of the type of the keys, which may have 16 bits
        if isinstance(window_bias, Tensor) and (window_bias.dtype, codebook.dtype) == kinds:
            window_bias = window_bias.float()
        bias = check_window_bias(window_bias, H, L, "codebook", codebook)
        self.window_bias = None if bias is None else bias.detach()
        B, E = whole("batch", batch), whole("width", width)
        self.position = 0
        self._centred = centre(self.codebook)
        self.codes = torch.zeros(B, H, 2 * L, dtype=torch.int64, device=codebook.device)
        self.values = codebook.new_zeros(B, H, 2 * L, E)
        self.counts = codebook.new_zeros(B, H, S, dtype=wide(codebook))
        self.sums = codebook.new_zeros(B, H, S, E, dtype=wide(codebook))

    @torch.no_grad()
    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Take in one token, ``(B, H, 1, D)`` twice and ``(B, H, 1, E)``; its attention, ``(B, H, 1, E)``."""
        check_attention(q, k, v)
        self._check(k, v, 1)
        self._take(k, v)
        L, i = self.block_size, self.position - 1
        place = i % (2 * L)

        kind = self.sums.dtype
        by_code = (q.to(kind) / math.sqrt(q.shape[-1]) @ self.codebook.mT.to(kind)).squeeze(2)  # (B, H, S)
        near = by_code.gather(2, self.codes)
        distance = (place - torch.arange(2 * L, device=q.device)) % (2 * L)
        if self.window_bias is not None:
            near = near + self.window_bias[:, distance].to(kind)
        # Seen are this block up to here and the L tokens before it; and none before the first.
        near = near.masked_fill(distance > min(i, i % L + L), -math.inf)
        weights = torch.cat([near, by_code + self.counts.log()], -1).softmax(-1)
        near_weights, far_weights = weights.split([2 * L, self.counts.shape[-1]], -1)
        far_weights = far_weights / self.counts.clamp(min=1)  # for sums, not means, of the values
        return (near_weights[:, :, None] @ self.values.to(kind) + far_weights[:, :, None] @ self.sums).to(q)

    @torch.no_grad()
    def extend(self, k: Tensor, v: Tensor) -> None:
        """Take in T tokens at once, ``(B, H, T, D)`` and ``(B, H, T, E)``, as of a text to be continued.

        Their own attention is that of `vq_attention`.
        """
        check_values(v, "k", floats("k", k, "B H T D"))
        self._check(k, v, k.shape[2])
        done = 0
        while done < k.shape[2]:
            ends = done + self.block_size - self.position % self.block_size  # with the block
            self._take(k[:, :, done:ends], v[:, :, done:ends])
            done = ends

    def _take(self, k: Tensor, v: Tensor) -> None:
        """Tokens of one block into the window."""
        L, i, new = self.block_size, self.position, k.shape[2]
        place = i % (2 * L)
        if i % L == 0 and i >= 2 * L:
            self._fold(slice(place, place + L))
        self.codes[:, :, place : place + new] = nearest(k, self.codebook, self._centred)
        self.values[:, :, place : place + new] = v
        self.position += new

    def _fold(self, places: slice) -> None:
        """Block n − 2 leaves the window."""
        codes, values = self.codes[:, :, places], self.values[:, :, places]
        self.counts.scatter_add_(2, codes, torch.ones_like(codes, dtype=self.counts.dtype))
        self.sums.scatter_add_(2, codes[..., None].expand_as(values), values.to(self.sums))

    def _check(self, k: Tensor, v: Tensor, T: int) -> None:
        check_fit(self.codebook, k)
        B, H, _, E = self.values.shape
        if v.shape != (B, H, T, E):
            raise ValueError(
                f"v must have the shape (B, H, T, E) of the state, {(B, H, T, E)}, got {tuple(v.shape)}"
            )
