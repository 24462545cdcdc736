r"""Attention over quantised keys, once with the T × T matrix and once in linear time.

Time is cut into blocks of L tokens. A query in block n sees

- the **near** keys, those of blocks n − 1 and n that are not later than itself, one by one:
  s_ij = q_i·k̂_j/√D + b_{i−j}, with the bias b of the window if there is one;
- the **far** keys, those of blocks 0, ..., n − 2, by their codes: all keys with code s have the same score,
  so n_s of them with values v_j weigh as much as *one* key c_s with the bias log n_s and their mean value,

      Σ_j Δ_js exp(q·c_s/√D) v_j = exp(q·c_s/√D + log n_s) · (1/n_s) Σ_j Δ_js v_j.

That is softmax attention over 2L + S keys, with one joint maximum, and torch has a fast kernel for it. The
bias log n_s needs no matrix of its own: it is one more column of the keys, √D log n_s, where queries have 1
(and a second one for what its rounding loses in 16 bits). On a CPU near and far part are two calls of that
kernel instead, `blocks`; without `causal` every key is far.

**Gradients.** Quantising has none, so near keys get that of their code (straight-through). The far part gives
gradient to queries and values, never to keys; the codebook gets none at all, it is a moving average.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kexue_lite.arguments import whole
from kexue_lite.vq_attention.arguments import check_attention, check_codebook, check_window_bias
from kexue_lite.vq_attention.blocks import Blocks, available, side_by_side, wide
from kexue_lite.vq_attention.quantizer import look_up, nearest

BLOCK = 128
FUSED = ("cpu",) if available() else ()  # where near and far part are two calls of the kernel; elsewhere one
NEVER = -1e36  # a bias that leaves nothing of a weight, and is still a number: 0 · NEVER is 0
AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 26}  # numbers in the keys of the blocks that one call takes


def quadratic_vq_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    codebook: Tensor,
    *,
    causal: bool = True,
    block_size: int = BLOCK,
    window_bias: Tensor | None = None,
) -> Tensor:
    """The readable twin of `vq_attention`: the same result and gradients, from all T × T scores.

    Parameters, returned value, errors and source are those of `vq_attention`, but it has a second derivative.

    Examples
    --------
    >>> k = torch.randn(1, 2, 9, 4, generator=torch.Generator().manual_seed(0))
    >>> exact = quadratic_vq_attention(k, k, k, k[0], block_size=2)  # each key is a code: nothing is lost
    >>> plain = functional.scaled_dot_product_attention(k, k, k, is_causal=True)
    >>> torch.allclose(exact, plain, atol=1e-6)
    True
    """
    codebook, bias = _checked(q, k, v, codebook, causal, block_size, window_bias)
    T, D = q.shape[2:]
    far = look_up(codebook.to(k), nearest(k, codebook))
    scores = q @ far.mT / math.sqrt(D)
    if causal:
        near = far + (k - k.detach())  # the value of the code, to the last bit, and the gradient of the key
        i, j = torch.arange(T, device=q.device)[:, None], torch.arange(T, device=q.device)
        window = i // block_size - j // block_size <= 1
        near_scores = q @ near.mT / math.sqrt(D)
        if bias is not None:
            near_scores = near_scores + bias[:, (i - j).clamp(0, 2 * block_size - 1)]
        scores = torch.where(window, near_scores, scores).masked_fill(j > i, -math.inf)
    return scores.softmax(-1) @ v


def vq_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    codebook: Tensor,
    *,
    causal: bool = True,
    block_size: int = BLOCK,
    window_bias: Tensor | None = None,
) -> Tensor:
    """softmax(q k̂ᵀ/√D + B) v over quantised keys k̂ = ΔC, in time and memory that are linear in T.

    Parameters
    ----------
    q, k
        ``(B, H, T, D)``, float32, float64 or bfloat16. The keys are quantised inside.
    v
        ``(B, H, T, E)``, of the same type.
    codebook
        ``(H, S, D)``, C of each head, of the same type; beside bfloat16 it may be float32.
    causal
        Whether a query sees only keys that are not later. Otherwise it sees all of them, by their codes.
    block_size
        L, the tokens of a block. T may be any number, below L too.
    window_bias
        ``(2L,)`` or ``(H, 2L)``: what is added to the scores of the two near blocks, by the distance i − j.
        Nothing is added to the far ones. Only with `causal`.

    Returns
    -------
    Tensor
        ``(B, H, T, E)``.

    Raises
    ------
    TypeError, ValueError
        For tensors that are empty, hold NaN or infinity, or do not fit each other, or their device; for a
        `block_size` below 1; for a `window_bias` without `causal`, which has no window.
    RuntimeError
        For a second derivative, which the kernels do not have; the twin has it.

    References
    ----------
    Article 9844; arXiv:2309.16354.

    Examples
    --------
    >>> q, k, v = torch.randn(3, 1, 2, 50, 4, generator=torch.Generator().manual_seed(0)).double()
    >>> codebook = k[0, :, :7]
    >>> fast = vq_attention(q, k, v, codebook, block_size=8)
    >>> torch.allclose(fast, quadratic_vq_attention(q, k, v, codebook, block_size=8), atol=1e-12)
    True
    """
    codebook, bias = _checked(q, k, v, codebook, causal, block_size, window_bias)
    B, H, T, D = q.shape
    E, S, L = v.shape[-1], codebook.shape[1], min(block_size, T)  # a longer block has no more in it
    bias = None if bias is None else bias[:, : 2 * L]
    codes, codebook = nearest(k, codebook), codebook.to(k)
    if causal and q.device.type in FUSED:
        return _in_two_calls(q, k, v, codebook, codes, bias, L)
    # More columns, in keys the bias and what it loses in 16 bits, in values 1, so that the sum of the values
    # counts them as well; and keys as wide as values, since only then torch takes its fused kernel.
    width = max(D, E) + 2
    q, k, v, codes = (x.reshape(B * H, *x.shape[2:]) for x in (q, k, v, codes))
    rows = codebook.expand(B, H, S, D).reshape(B * H, S, D)
    q, v = (functional.pad(x, (0, width - x.shape[-1]), value=1.0) for x in (q, v))
    if not causal:
        keys, values = _as_keys(rows, _block_sums(v[:, None], codes[:, None], S), E, width)
        return _attend(q[:, None], keys, values, None, D)[:, 0, :, :E].reshape(B, H, T, E)

    near = torch.gather(rows, 1, codes[..., None].expand(-1, -1, D)) + (k - k.detach())
    # Block −1, before all others, and the tokens that fill up the last block: never seen, and 0 in all sums.
    N = -(-T // L)
    rest = N * L - T
    near = functional.pad(functional.pad(near, (0, width - D)), (0, 0, L, rest))
    near = torch.cat([near[..., :D], _front(near, L), near[..., D + 1 :]], -1)
    v, codes = functional.pad(v, (0, 0, L, rest)), functional.pad(codes, (L, rest))
    near, v = near.view(B * H, N + 1, L, width), v.view(B * H, N + 1, L, width)
    q, codes = functional.pad(q, (0, 0, 0, rest)).view(B * H, N, L, width), codes.view(B * H, N + 1, L)

    at_once = AT_ONCE.get(q.device.type, AT_ONCE["cuda"]) // (B * H * (2 * L + S) * width)
    sums = v.new_zeros(B * H, 1, S, width, dtype=wide(v))  # of blocks 0, ..., a − 2
    results = []
    for a in range(0, N, max(at_once, 1)):
        b = min(a + max(at_once, 1), N)
        all_keys, all_values = [near[:, a:b], near[:, a + 1 : b + 1]], [v[:, a:b], v[:, a + 1 : b + 1]]
        if b > 2:  # block 2 is the first with anything far
            added = torch.cat([sums, _block_sums(v[:, a:b], codes[:, a:b], S)], 1).cumsum(1)
            sums = added[:, -1:]
            keys, values = _as_keys(rows, added[:, :-1], E, width)
            all_keys.append(keys)
            all_values.append(values)
        else:  # blocks −1 and 0
            sums = sums + _block_sums(v[:, a:b], codes[:, a:b], S).sum(1, keepdim=True)
        mask = _window(bias, L, S if b > 2 else 0, B, q)
        results.append(_attend(q[:, a:b], torch.cat(all_keys, 2), torch.cat(all_values, 2), mask, D)[..., :E])
    return torch.cat(results, 1).reshape(B, H, N * L, E)[:, :, :T]


def _in_two_calls(
    q: Tensor, k: Tensor, v: Tensor, codebook: Tensor, codes: Tensor, bias: Tensor | None, L: int
) -> Tensor:
    """`Blocks` on tensors that are brought into its shape: heads in one axis, keys as wide as values.

    The kernel takes it for granted that the numbers of a row lie side by side.
    """
    (B, H, T, D), E = q.shape, v.shape[-1]

    def joined(x: Tensor) -> Tensor:
        x = x.reshape(B * H, *x.shape[2:])
        return side_by_side(functional.pad(x, (0, max(D, E) - x.shape[-1])) if D != E else x)

    rows = joined(codebook.expand(B, *codebook.shape))
    mask = None if bias is None else _window(bias, L, 0, B, q)[:, 0]
    q, k, v, codes = joined(q), joined(k), joined(v), codes.flatten(0, 1)
    found = Blocks.apply(q, k, v, rows, codes, mask, D**-0.5, L)
    return found.reshape(B, H, T, -1)[..., :E]


def _attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, D: int) -> Tensor:
    return functional.scaled_dot_product_attention(q, keys, values, mask, scale=1 / math.sqrt(D))


def _block_sums(v: Tensor, codes: Tensor, S: int) -> Tensor:
    """ΔᵀV of each block: ``(BH, N, L, width)`` and ``(BH, N, L)`` to ``(BH, N, S, width)``."""
    rows, N, _, width = v.shape
    first = torch.arange(rows * N, device=v.device).view(rows, N, 1) * S
    v = v.to(wide(v))
    sums = v.new_zeros(rows * N * S, width)
    return sums.index_add(0, (first + codes).flatten(), v.reshape(-1, width)).view(rows, N, S, width)


def _as_keys(rows: Tensor, sums: Tensor, E: int, width: int) -> tuple[Tensor, Tensor]:
    """The codes as keys with a bias, ``(BH, N, S, width)``, and the mean values of their sums."""
    D = rows.shape[-1]
    count = sums[..., E : E + 1].detach()
    bias = torch.where(count > 0, math.sqrt(D) * count.clamp(min=1).log(), NEVER)
    columns = bias.to(rows), (bias - bias.to(rows)).to(rows)
    keys = torch.cat([rows[:, None].expand(*sums.shape[:3], D), *columns], -1)
    return functional.pad(keys, (0, width - D - 2)), (sums / count.clamp(min=1)).to(rows)


def _front(near: Tensor, L: int) -> Tensor:
    """The column of the bias of near keys: nothing but in block −1, which nobody may see."""
    bias = near.new_zeros(*near.shape[:2], 1)
    bias[:, :L] = NEVER
    return bias


def _window(bias: Tensor | None, L: int, S: int, B: int, like: Tensor) -> Tensor:
    """What is added to the scores of a block, ``(1 or BH, 1, L, 2L + S)``: the bias of the window, or −∞."""
    i, j = torch.arange(L, device=like.device)[:, None], torch.arange(2 * L, device=like.device)
    distance = i + L - j
    if bias is None:
        mask = like.new_zeros(1, L, 2 * L)
    else:
        most = -1e-3 * NEVER  # beyond it nothing changes but which of the two weighs more, it or NEVER
        mask = (bias + (bias.clamp(-most, most) - bias).detach())[:, distance.clamp(min=0)]
        if len(bias) > 1:
            mask = mask.repeat(B, 1, 1)
    mask = mask.masked_fill(distance < 0, -math.inf)
    return functional.pad(mask, (0, S))[:, None]


def _checked(
    q: Any, k: Any, v: Any, codebook: Any, causal: Any, block_size: Any, window_bias: Any
) -> tuple[Tensor, Tensor | None]:
    check_attention(q, k, v)
    codebook = check_codebook(codebook, k)
    whole("block_size", block_size)
    if not isinstance(causal, bool):
        raise TypeError(f"causal must be True or False, got {causal!r}")
    if window_bias is not None and not causal:
        raise ValueError("window_bias must be None if causal is False: there is no window then")
    return codebook, check_window_bias(window_bias, q.shape[1], block_size, "q", q)
