r"""The near and the far part as two calls of torch's fused kernel, merged by their log-sum-exp; CPU only.

Each call returns its output o and l = log Σ exp(score) of each query. Then with w = sigmoid(l_far − l_near)

    o = (1 − w) o_near + w o_far,    l = log(exp l_near + exp l_far).

The l of the kernel carries no gradient, so automatic differentiation of this merge would be wrong, and
silently. But the kernel's own way back needs nothing of the forward pass but o and l: given the *merged* o
and l it finds the weights exp(score − l) of its own keys in the joint softmax, and so each part's true
gradient.

Nor need both ways cut time alike. Which keys are near is a question of the bias and of the gradient of keys;
where neither is asked for, near is a block of the size that is fastest, and no window before it.

Nothing is copied to put keys side by side: the window of a block is a view that overlaps that of the next,
all blocks share the codes, and the bias log n_s is a mask with stride 0 along the queries. Blocks go in
chunks whose running sums stay in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

KERNEL = "_scaled_dot_product_flash_attention_for_cpu"  # of torch, which does not promise it
AT_ONCE = 1 << 20  # numbers in the running sums of the blocks that one call takes


@dataclass(frozen=True)
class Chunk:
    """The tokens a, ..., b − 1, in blocks of m, each of which has a window of `before` tokens before it."""

    a: int
    b: int
    m: int
    before: int = 0

    @property
    def past(self) -> int:
        """How many tokens are far away for its first block."""
        return self.a - self.before

    def cut(self, x: Tensor) -> Tensor:
        """Its part of ``(R, T, ...)``: a view ``(R, N, m, ...)``."""
        return x[:, self.a : self.b].unflatten(1, (-1, self.m))

    def cut_before(self, x: Tensor) -> Tensor:
        """Of ``(R, T, ...)`` the tokens before each block: a view ``(R, N, before, ...)``."""
        blocks = (self.b - self.a) // self.m
        return x[:, self.past : self.past + blocks * self.before].unflatten(1, (-1, self.before))

    def cut_window(self, x: Tensor) -> Tensor:
        """Both, of ``(R, T, W)``: a view ``(R, N, before + m, W)``."""
        return x[:, self.past : self.b].unfold(1, self.before + self.m, self.m).mT


def chunks(T: int, size: int, first: int, before: int, at_once: int) -> list[Chunk]:
    """The first tokens as one block that has nothing far; blocks of `size`, `at_once` to a chunk; the rest.

    Examples
    --------
    >>> [(chunk.a, chunk.b, chunk.m) for chunk in chunks(21, 4, 6, 0, 2)]
    [(0, 6, 6), (6, 14, 4), (14, 18, 4), (18, 21, 3)]
    """
    found = [Chunk(0, min(first, T), min(first, T))]
    a, whole = found[0].b, found[0].b + (T - found[0].b) // size * size
    while a < whole:  # a block whose window reaches back to the start has nothing far either
        b = min(a + at_once * size, whole) if a > before else a + size
        found.append(Chunk(a, b, size, before))
        a = b
    return found + ([Chunk(whole, T, T - whole, before)] if whole < T else [])


class Blocks(torch.autograd.Function):
    """Causal attention of q, k, v ``(R, T, W)`` over quantised keys, R = B·H, to ``(R, T, W)``.

    `k` itself is not looked at, it is there for its gradient: its codes ``(R, T)`` are, and `rows`, C as
    ``(R, S, W)``. `mask`, ``(1 or R, L, 2L)`` or None, is added to the scores of the window.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rows: Tensor,
        codes: Tensor,
        mask: Tensor | None,
        scale: float,
        L: int,
    ) -> Tensor:
        out, lse = attend(q, v, rows, codes, mask, scale, L)
        ctx.save_for_backward(q, v, rows, codes, mask, out, lse)
        ctx.scale, ctx.L = scale, L
        return out

    @staticmethod
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "vq_attention has no second derivative: create_graph must be False, or take "
                "quadratic_vq_attention, which has one"
            )
        q, v, rows, codes, mask, out, lse = ctx.saved_tensors
        scale, pull = ctx.scale, side_by_side(pull)  # of a sum it is one number, seen everywhere
        biased = mask is not None
        plan = _plan(rows, codes, ctx.L, biased=biased, windowed=biased or ctx.needs_input_grad[1])
        of_q, of_k, of_v = torch.empty_like(q), torch.zeros_like(v), torch.zeros_like(v)
        of_mask = torch.zeros_like(mask) if ctx.needs_input_grad[5] else None
        past = Past(v, rows, codes)
        kept = [past.fold(chunk.past) for chunk in plan]
        later = torch.zeros_like(past.sums)  # what all later blocks pull at the running sums
        for n in reversed(range(len(plan))):
            chunk = plan[n]
            its = [chunk.cut(x) for x in (q, pull, out, lse)]
            of_its_q = _near_back(chunk, its, v, rows, codes, mask, scale, of_k, of_v, of_mask)
            chunk.cut(of_q).copy_(of_its_q)
            if not chunk.past:
                continue
            past.set(kept[n])
            values, bias, counts = past.of(chunk)
            of_its_q, _, pulled = _back(its, _shared(rows, values), values, bias, scale, causal=False)
            chunk.cut(of_q).add_(of_its_q)
            # A block pulls at all tokens before its window. Those that came in since the block before it are
            # pulled at by it and by all later ones.
            pulled = pulled.to(later) / counts[..., None]
            for i in reversed(range(pulled.shape[1])):
                later = pulled[:, i].add_(later)
            edge = max(plan[n - 1].b - plan[n - 1].m - chunk.before, 0)
            inner = chunk.past + (pulled.shape[1] - 1) * chunk.m
            _spread(of_v, codes, edge, chunk.past, pulled[:, :1])
            _spread(of_v, codes, chunk.past, inner, pulled[:, 1:])
        return of_q, of_k, of_v, None, None, of_mask, None, None


def attend(
    q: Tensor, v: Tensor, rows: Tensor, codes: Tensor, mask: Tensor | None, scale: float, L: int
) -> tuple[Tensor, Tensor]:
    """The way forward of `Blocks`: the attention ``(R, T, W)`` and its log-sum-exp ``(R, T)``."""
    plan = _plan(rows, codes, L, biased=mask is not None, windowed=mask is not None)
    out, lse = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=wide(q))
    past = Past(v, rows, codes)
    for chunk in plan:
        its_q, its_out, its_lse = (chunk.cut(x) for x in (q, out, lse))
        its_mask = None if mask is None else _mask_of(chunk, mask)
        near, near_lse = _forth(its_q, *_near(chunk, v, rows, codes), its_mask, scale)
        if len(plan) == 1:
            return near.flatten(1, 2), near_lse.flatten(1, 2)
        if not chunk.past:
            its_out.copy_(near), its_lse.copy_(near_lse)
            continue
        values, bias, _ = past.of(chunk)
        far, far_lse = _forth(its_q, _shared(rows, values), values, bias, scale)
        share = torch.sigmoid(far_lse - near_lse)[..., None].to(near)
        torch.lerp(near, far, share, out=its_out)
        torch.logaddexp(near_lse, far_lse, out=its_lse)
    return out, lse


def _near_back(
    chunk: Chunk,
    its: Sequence[Tensor],
    v: Tensor,
    rows: Tensor,
    codes: Tensor,
    mask: Tensor | None,
    scale: float,
    of_k: Tensor,
    of_v: Tensor,
    of_mask: Tensor | None,
) -> Tensor:
    """The gradient of the queries of a chunk from what they see near by; that of the rest is added to it."""
    if mask is None and chunk.before:
        # Nothing of the block before is masked, and of the own one half: two calls.
        found = []
        for cut, causal in ((chunk.cut, True), (chunk.cut_before, False)):
            keys = _looked_up(rows, cut(codes))
            of_q, *others = _back(its, keys, cut(v), None, scale, causal=causal)
            found.append(of_q)
            for whole, other in zip((of_k, of_v), others, strict=True):
                cut(whole).add_(other)
        return found[0].add_(found[1])
    near, its_mask = _near(chunk, v, rows, codes), None if mask is None else _mask_of(chunk, mask)
    of_q, *others = _back(its, *near, its_mask, scale, causal=mask is None)
    for whole, other in zip((of_k, of_v), others, strict=True):
        chunk.cut(whole).add_(other[:, :, chunk.before :])
        if chunk.before:
            chunk.cut_before(whole).add_(other[:, :, : chunk.before])
    if of_mask is not None and its_mask is not None:
        part = _mask_of(chunk, of_mask)
        part += _mask_pull(its, *near, its_mask, scale).sum_to_size(part.shape)
    return of_q


def _spread(of_v: Tensor, codes: Tensor, start: int, end: int, pulled: Tensor) -> None:
    """What N blocks pull at the codes, ``(R, N, S, W)``, to N blocks of tokens from `start` on."""
    if start < end:
        N, S = pulled.shape[1:3]
        its_codes = codes[:, start:end].unflatten(1, (N, -1))
        places = its_codes + S * torch.arange(N, device=codes.device)[:, None]
        of_v[:, start:end] += _looked_up(pulled.flatten(1, 2), places).flatten(1, 2)


class Past:
    """Counts and sums of the codes of the tokens 0, ..., `done` − 1, moved on block by block."""

    def __init__(self, v: Tensor, rows: Tensor, codes: Tensor) -> None:
        self.v = v
        self.codes = codes + rows.shape[1] * torch.arange(len(rows), device=v.device)[:, None]  # in (R·S)
        self.buffer = v.new_empty(0)
        self.set((0, v.new_zeros(rows.shape[:2], dtype=wide(v)), torch.zeros_like(rows, dtype=wide(v))))

    def set(self, state: tuple[int, Tensor, Tensor]) -> None:
        """Go back to what `fold` gave."""
        self.done, self.counts, self.sums = state[0], state[1].clone(), state[2].clone()

    def fold(self, end: int) -> tuple[int, Tensor, Tensor]:
        """Take in the tokens before `end`: what is `done`, counts ``(R, S)`` and sums ``(R, S, W)`` then."""
        if end > self.done:
            places, v = self.codes[:, self.done : end].flatten(), self.v[:, self.done : end]
            self.counts += torch.bincount(places, minlength=self.counts.numel()).view_as(self.counts)
            self.sums.flatten(0, 1).index_add_(0, places, v.reshape(-1, v.shape[-1]).to(self.sums))
            self.done = end
        return self.done, self.counts.clone(), self.sums.clone()

    def of(self, chunk: Chunk) -> tuple[Tensor, Tensor, Tensor]:
        """What each block sees far away: mean values, log-counts as a mask, counts (1 for 0).

        It moves on to what its last block sees. The mean values hold until the next call, which puts its own
        in the same place: fresh memory costs more than the sums.
        """
        R, S, W = self.sums.shape
        N = (chunk.b - chunk.a) // chunk.m
        end = chunk.past + (N - 1) * chunk.m
        v = self.v[:, self.done : end].reshape(-1, W)
        tokens = torch.arange(self.done - chunk.past, end - chunk.past, device=v.device)
        first_block = (tokens // chunk.m + 1).clamp_(min=0)  # the first that sees a token far away
        places = (self.codes[:, self.done : end] + R * S * first_block).flatten()
        counts = torch.bincount(places, minlength=N * R * S).view(N, R, S).cumsum(0).to(self.counts)
        counts += self.counts
        if len(self.buffer) < N * R * S * W:
            self.buffer = self.sums.new_empty(N * R * S * W)
        sums = self.buffer[: N * R * S * W].view(N, R, S, W)
        sums[0] = self.sums
        sums[1:] = 0
        sums.view(-1, W).index_add_(0, places, v.to(sums))
        for n in range(1, N):
            sums[n] += sums[n - 1]
        self.done = end
        self.counts.copy_(counts[-1])
        self.sums.copy_(sums[-1])
        bias = counts.log()[:, :, None].transpose(0, 1).expand(-1, -1, chunk.m, -1)
        values = sums.div_(counts.clamp_(min=1)[..., None]).to(self.v)
        return values.transpose(0, 1), bias, counts.transpose(0, 1)


def available() -> bool:
    """Whether this torch has the kernel and its way back."""
    return all(hasattr(torch.ops.aten, name) for name in (KERNEL, KERNEL + "_backward"))


def side_by_side(x: Tensor) -> Tensor:
    """The tensor itself if the numbers of a row lie side by side, as the kernel has it without a look."""
    return x if x.stride(-1) == 1 else x.contiguous()


def wide(x: Tensor) -> torch.dtype:
    """In which type sums of x are kept: 16 bits would lose small ones."""
    return torch.promote_types(x.dtype, torch.float32)


def _plan(rows: Tensor, codes: Tensor, L: int, *, biased: bool, windowed: bool) -> list[Chunk]:
    """How time is cut: into blocks with the window before them, or else as it is fastest."""
    R, S, W = rows.shape
    if windowed:
        size, first, before = L, L if biased else 2 * L, L
    else:
        # A block costs half its length key by key and S codes, and its running sums cost S rows; a short text
        # is done sooner in one call than in several.
        size = min(max(1 << max(S // 2, 1).bit_length() - 1, 64), 512)
        first, before = codes.shape[1] if codes.shape[1] <= 3 * S else size + S // 2, 0
    return chunks(codes.shape[1], size, first, before, max(AT_ONCE // (R * W * max(S, before + size)), 1))


def _near(chunk: Chunk, v: Tensor, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Quantised keys and values of the blocks of a chunk and their windows."""
    keys = _looked_up(rows, codes[:, chunk.past : chunk.b])
    whole = Chunk(chunk.before, chunk.b - chunk.past, chunk.m, chunk.before)
    return whole.cut_window(keys), chunk.cut_window(v)


def _mask_of(chunk: Chunk, mask: Tensor) -> Tensor:
    """The part of the mask that fits the blocks of a chunk."""
    L = mask.shape[1]
    return mask[:, None, : chunk.m, L - chunk.before : L + chunk.m]


def _looked_up(rows: Tensor, codes: Tensor) -> Tensor:
    """Of ``(R, S, W)`` the rows of the codes ``(R, ...)``: ``(R, ..., W)``."""
    R, S, W = rows.shape
    offset = (S * torch.arange(R, device=rows.device)).view(R, *[1] * (codes.ndim - 1))
    return rows.reshape(-1, W).index_select(0, (codes + offset).flatten()).view(*codes.shape, W)


def _shared(rows: Tensor, values: Tensor) -> Tensor:
    """The codes as keys of each block."""
    return rows[:, None].expand(values.shape)


def _forth(
    q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp; without a mask causal."""
    kernel = getattr(torch.ops.aten, KERNEL)
    mask = None if mask is None else mask.expand(*q.shape[:2], -1, -1)
    found: tuple[Tensor, Tensor] = kernel(
        q, keys, values, is_causal=mask is None, attn_mask=mask, scale=scale
    )
    return found


def _back(
    its: Sequence[Tensor], keys: Tensor, values: Tensor, mask: Tensor | None, scale: float, *, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Of q, keys, values; `its` are q, what pulls, output and log-sum-exp of the *joint* softmax."""
    q, pull, out, lse = its
    kernel = getattr(torch.ops.aten, KERNEL + "_backward")
    mask = None if mask is None else mask.expand(*q.shape[:2], -1, -1)
    found: tuple[Tensor, Tensor, Tensor] = kernel(
        pull, q, keys, values, out, lse, 0.0, causal, attn_mask=mask, scale=scale
    )
    return found


def _mask_pull(its: Sequence[Tensor], keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Gradient of the scores, which the kernel keeps for itself: weights times (pull·v − pull·out)."""
    q, pull, out, lse = its
    weights = torch.exp(scale * (q @ keys.mT) + mask - lse[..., None])
    return weights * (pull @ values.mT - (pull * out).sum(-1, keepdim=True))
