r"""The near and the far part as two calls of torch's fused kernel, merged by their log-sum-exp; CPU only.

Each call returns its output o and l = log Σ exp(score) of each query. Then with w = sigmoid(l_far − l_near)

    o = (1 − w) o_near + w o_far,    l = log(exp l_near + exp l_far).

The l of the kernel carries no gradient, so automatic differentiation of this merge would be wrong, and
silently. But the kernel's own way back needs nothing of the forward pass but o and l: given the *merged* o
and l it finds the weights exp(score − l) of its own keys in the joint softmax, and so each part's true
gradient.

Nothing is copied to put keys side by side: the window of a block is a view that overlaps that of the next,
all blocks share the codes, and the bias log n_s is a mask with stride 0 along the queries. Blocks go in
chunks that stay in the cache; for the way back the running sums are kept once per chunk and made again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

AT_ONCE = 1 << 21  # numbers in the running sums, or in the window, of the blocks that one call takes


class Blocks(torch.autograd.Function):
    """Causal attention of N blocks of L tokens: q ``(BH, N, L, W)``, k and v likewise, to ``(BH, N, L, W)``.

    `k` itself is not looked at, it is there for its gradient: its codes ``(BH, N, L)`` are, and `rows`, C as
    ``(BH, S, W)``. `mask`, ``(1 or BH, 1, L, 2L)``, is added to the scores of the window.

    The `first` blocks are done key by key, which is less work while the past is shorter than S; more than 1
    only if the mask has no bias, more than 2 only if `k` needs no gradient (far keys would get one, too).
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rows: Tensor,
        codes: Tensor,
        mask: Tensor,
        scale: float,
        first: int,
    ) -> Tensor:
        out, lse = torch.empty_like(q), q.new_empty(q.shape[:3])
        past = Past(v, rows, codes)
        kept = []
        for a, b in _chunks(q, rows, first):
            kept.append(past.now())
            if first > 1 and not a:
                keys = _joined(_looked_up(rows, codes[:, :b]))
                found, its_lse = _forth(_joined(q[:, :b]), keys, _joined(v[:, :b]), None, scale)
                out[:, :b], lse[:, :b] = found.view_as(out[:, :b]), its_lse.reshape(lse[:, :b].shape)
                past.skip(b)
                continue
            keys, values, near_mask = _window(v, rows, codes, mask, a, b)
            found, its_lse = _forth(q[:, a:b], keys, values, near_mask, scale)
            c = max(a, 2)
            if c < b:
                values, bias, _ = past.until(c, b)
                far, far_lse = _forth(q[:, c:b], _shared(rows, b - c), values, bias, scale)
                near, near_lse = found[:, c - a :], its_lse[:, c - a :]
                torch.lerp(near, far, torch.sigmoid(far_lse - near_lse)[..., None], out=out[:, c:b])
                torch.logaddexp(near_lse, far_lse, out=lse[:, c:b])
            out[:, a : min(c, b)], lse[:, a : min(c, b)] = found[:, : c - a], its_lse[:, : c - a]
        ctx.save_for_backward(q, v, rows, codes, mask, out, lse)
        ctx.kept, ctx.scale, ctx.first = kept, scale, first
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, ...]:
        q, v, rows, codes, mask, out, lse = ctx.saved_tensors
        scale = ctx.scale
        L, S, W = q.shape[2], rows.shape[1], q.shape[3]
        of_q, of_k, of_v = torch.empty_like(q), torch.zeros_like(v), torch.zeros_like(v)
        of_mask = torch.zeros_like(mask) if ctx.needs_input_grad[5] else None
        later = torch.zeros_like(rows)  # what all later blocks pull at the running sums
        past = Past(v, rows, codes)
        for (a, b), then in zip(reversed(_chunks(q, rows, ctx.first)), reversed(ctx.kept), strict=True):
            if ctx.first > 1 and not a:
                shape = q[:, :b].shape
                pulls = _back(
                    _joined(q[:, :b]),
                    _joined(_looked_up(rows, codes[:, :b])),
                    _joined(v[:, :b]),
                    _joined(pull[:, :b]),
                    _joined(out[:, :b]),
                    lse[:, :b].flatten(1)[:, None],
                    None,
                    scale,
                )
                of_q[:, :b] = pulls[0].reshape(shape)
                of_k[:, :b] += pulls[1].reshape(shape)
                of_v[:, :b] += pulls[2].reshape(shape)
                if b > 2:
                    of_v[:, : b - 2] += _looked_up(later, codes[:, : b - 2])
                continue
            keys, values, near_mask = _window(v, rows, codes, mask, a, b)
            its = q[:, a:b], keys, values, pull[:, a:b], out[:, a:b], lse[:, a:b]
            of_q[:, a:b], keys_pull, values_pull = _back(*its, near_mask, scale)
            for into, pulled in ((of_k, keys_pull), (of_v, values_pull)):
                into[:, a:b] += pulled[:, :, -L:]
                if a:
                    into[:, a - 1 : b - 1] += pulled[:, :, :L]
            if of_mask is not None:
                into = of_mask[..., -keys.shape[2] :]
                into += _mask_pull(*its, near_mask, scale).sum_to_size(into.shape)
            c = max(a, 2)
            if c < b:
                past.set(then)
                values, bias, counts = past.until(c, b)
                its = q[:, c:b], _shared(rows, b - c), values, pull[:, c:b], out[:, c:b], lse[:, c:b]
                q_pull, _, pulled = _back(*its, bias, scale)
                of_q[:, c:b] += q_pull
                pulled = (pulled / counts[..., None]).contiguous()
                for n in reversed(range(b - c)):
                    later = pulled[:, n].add_(later)
                places = _places(codes[:, c - 2 : b - 2], S)
                of_v[:, c - 2 : b - 2] += pulled.view(-1, W)[places].view(-1, b - c, L, W)
        return of_q, of_k, of_v, None, None, of_mask, None, None


class Past:
    """Counts and sums of the codes of all blocks up to some block, moved on chunk by chunk."""

    def __init__(self, v: Tensor, rows: Tensor, codes: Tensor) -> None:
        self.v, self.codes = v, codes
        self.buffer: Tensor | None = None
        self.set((v.new_zeros(rows.shape[:2]), torch.zeros_like(rows)))

    def now(self) -> tuple[Tensor, Tensor]:
        """Counts ``(BH, S)`` and sums ``(BH, S, W)``."""
        return self.counts, self.sums

    def set(self, state: tuple[Tensor, Tensor]) -> None:
        """Go back (or on) to what `now` gave."""
        self.counts, self.sums = state

    def skip(self, b: int) -> None:
        """From the start on to what block b − 1 sees far away: blocks 0, ..., b − 3."""
        if b > 2:
            rows, S, W = self.sums.shape
            codes = self.codes[:, : b - 2].flatten(1)[:, None]
            places = _places(codes, S)
            counts = torch.bincount(places, minlength=rows * S).view(rows, S).to(self.v)
            sums = self.v.new_zeros(rows * S, W)
            self.set((counts, sums.index_add_(0, places, self.v[:, : b - 2].reshape(-1, W)).view(rows, S, W)))

    def until(self, c: int, b: int) -> tuple[Tensor, Tensor, Tensor]:
        """What blocks c, ..., b − 1 see far away: mean values, log-counts as a mask, counts (1 for 0).

        The values hold until the next call, which makes its own in the same place.
        """
        v, codes = self.v[:, c - 2 : b - 2], self.codes[:, c - 2 : b - 2]
        (rows, N, L, W), S = v.shape, self.counts.shape[1]
        places = _places(codes, S)
        counts = torch.bincount(places, minlength=rows * N * S).view(rows, N, S).cumsum(1).to(v)
        counts += self.counts[:, None]
        if self.buffer is None or len(self.buffer) < rows * N * S:  # fresh memory costs more than the sums
            self.buffer = v.new_empty(rows * N * S, W)
        sums = self.buffer[: rows * N * S].zero_().view(rows, N, S, W)
        sums.view(-1, W).index_add_(0, places, v.reshape(-1, W))
        sums[:, 0] += self.sums
        for n in range(1, N):
            sums[:, n] += sums[:, n - 1]
        self.counts, self.sums = counts[:, -1].clone(), sums[:, -1].clone()
        bias = counts.log()[:, :, None].expand(-1, -1, L, -1)
        counts = counts.clamp_(min=1)
        return sums.div_(counts[..., None]), bias, counts


def _chunks(q: Tensor, rows: Tensor, first: int) -> list[tuple[int, int]]:
    """The first blocks, which are done key by key, and then as many at a time as fit."""
    N, step = q.shape[1], max(AT_ONCE // (len(q) * q.shape[3] * max(2 * q.shape[2], rows.shape[1])), 1)
    return [(0, first)] + [(a, min(a + step, N)) for a in range(first, N, step)]


def _window(
    v: Tensor, rows: Tensor, codes: Tensor, mask: Tensor, a: int, b: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantised keys, values and mask of the windows of blocks a, ..., b − 1; of block 0 itself alone."""
    BH, _, L, W = v.shape
    first = max(a - 1, 0)
    keys = _looked_up(rows, codes[:, first:b]).view(BH, -1, W)
    values, width = v[:, first:b].reshape(BH, -1, W), 2 * L if a else L
    keys, values = keys.unfold(1, width, L).mT, values.unfold(1, width, L).mT
    return keys, values, mask[..., -width:].expand(BH, b - a, L, width)


def _looked_up(rows: Tensor, codes: Tensor) -> Tensor:
    """Of ``(BH, S, W)`` the rows of the codes ``(BH, N, L)``: ``(BH, N, L, W)``."""
    BH, S, W = rows.shape
    places = (codes + S * torch.arange(BH, device=rows.device)[:, None, None]).flatten()
    return rows.reshape(-1, W).index_select(0, places).view(*codes.shape, W)


def _joined(x: Tensor) -> Tensor:
    """Blocks as one: ``(BH, N, L, W)`` to ``(BH, 1, N·L, W)``."""
    return x.reshape(len(x), 1, -1, x.shape[-1])


def _shared(rows: Tensor, N: int) -> Tensor:
    return rows[:, None].expand(-1, N, -1, -1)


def _places(codes: Tensor, S: int) -> Tensor:
    """Where in ``(BH · N · S)`` the code of each token lies."""
    blocks = torch.arange(codes.shape[0] * codes.shape[1], device=codes.device)
    return (codes + S * blocks.view(*codes.shape[:2], 1)).flatten()


def _forth(
    q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp; without a mask causal."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    found: tuple[Tensor, Tensor] = kernel(
        q, keys, values, is_causal=mask is None, attn_mask=mask, scale=scale
    )
    return found


def _back(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    pull: Tensor,
    out: Tensor,
    lse: Tensor,
    mask: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, keys, values, given output and log-sum-exp of the *whole* softmax."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    found: tuple[Tensor, Tensor, Tensor] = kernel(
        pull, q, keys, values, out, lse, 0.0, mask is None, attn_mask=mask, scale=scale
    )
    return found


def _mask_pull(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    pull: Tensor,
    out: Tensor,
    lse: Tensor,
    mask: Tensor,
    scale: float,
) -> Tensor:
    """Gradient of the scores, which the kernel keeps for itself: weights times (pull·v − pull·out)."""
    weights = torch.exp(scale * (q @ keys.mT) + mask - lse[..., None])
    return weights * (pull @ values.mT - (pull * out).sum(-1, keepdim=True))
