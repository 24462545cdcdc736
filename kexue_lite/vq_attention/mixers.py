r"""How a layer of the language model lets positions see one another: three kinds of attention, two mixers.

The kinds differ in nothing but what a query sees of the blocks before the two nearest:

- ``"full"``: every key as it is (torch's own attention);
- ``"vq"``: the codes of the keys, by `vq_attention`; the near keys are quantised, too;
- ``"window"``: nothing.

The mixers are

- ``"gated"``: the gated attention unit, with one head, narrow queries and keys and wide values,

      O = W (g ⊙ A v),    v = silu(W_v x),    g = silu(W_g x);

- ``"multi-head"``: attention with several heads, and after it a network of two layers.

In both, queries and keys have a root mean square of 1. All keys then lie on one sphere, which makes them
easier to quantise; how sharp the attention is, a gain of the queries says, which is learned.

Sources: arXiv:2309.16354 (Transformer-VQ, with the gated unit's queries and keys from separate weights);
arXiv:2202.10447 (the gated attention unit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from kexue_lite.arguments import real, whole
from kexue_lite.vq_attention.arguments import check_attention, check_window_bias
from kexue_lite.vq_attention.attention import vq_attention
from kexue_lite.vq_attention.quantizer import VectorQuantizer

KINDS = ("full", "vq", "window")
MIXERS = ("gated", "multi-head")


@dataclass(frozen=True)
class LanguageSettings:
    """The shape of a `LanguageModel`.

    Attributes
    ----------
    attention
        ``"full"``, ``"vq"`` or ``"window"``.
    mixer
        ``"gated"`` or ``"multi-head"``. A layer of the second has twice the weights of one of the first.
    layers, width
        How many layers, and the width of what runs through them.
    heads
        H of ``"multi-head"``; the gated unit has one.
    key_width
        D of each head. Values are as wide with ``"multi-head"``, twice `width` with ``"gated"``.
    codes
        S, for ``"vq"``.
    block_size
        L. What is near is this block and the one before it.
    bias
        Whether the scores of near keys have a learned bias by the distance, in all three kinds alike.
    decay
        Of the codebook's moving average.
    dropout
        Share of numbers left out of what each layer adds, while training.

    Raises
    ------
    TypeError, ValueError
        For numbers out of range and unknown names.

    Examples
    --------
    >>> LanguageSettings(attention="linear")
    Traceback (most recent call last):
    ...
    ValueError: attention must be one of full, vq, window; got 'linear'
    """

    attention: str = "vq"
    mixer: str = "gated"
    layers: int = 2
    width: int = 96
    heads: int = 4
    key_width: int = 32
    codes: int = 64
    block_size: int = 4
    bias: bool = True
    decay: float = 0.99
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in (("attention", KINDS), ("mixer", MIXERS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}")
        for name in ("layers", "heads", "key_width", "codes", "block_size"):
            whole(name, getattr(self, name))
        if whole("width", self.width, 2) % 2:
            raise ValueError(f"width must be even, for sines and cosines of the position, got {self.width}")
        if not isinstance(self.bias, bool):
            raise TypeError(f"bias must be True or False, got {self.bias!r}")
        real("decay", self.decay, least=0, most=0.9999)
        real("dropout", self.dropout, least=0, most=0.99)


def full_attention(
    q: Tensor, k: Tensor, v: Tensor, *, block_size: int, window_bias: Tensor | None = None
) -> Tensor:
    """Causal softmax attention to all keys, with the bias of the two near blocks if there is one.

    Shapes and arguments are those of `vq_attention`, which this is when every key is a code.

    Raises
    ------
    TypeError, ValueError
        For tensors that do not fit each other.

    Examples
    --------
    >>> k = torch.randn(1, 2, 9, 4, generator=torch.Generator().manual_seed(0)).double()
    >>> bias = torch.linspace(0, 1, 6).double()
    >>> full = full_attention(k, k, k, block_size=3, window_bias=bias)
    >>> torch.allclose(full, vq_attention(k, k, k, k[0], block_size=3, window_bias=bias))
    True
    """
    check_attention(q, k, v)
    bias = check_window_bias(window_bias, q.shape[1], whole("block_size", block_size), "q", q)
    if bias is None:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    T, L = q.shape[2], block_size
    i, j = torch.arange(T, device=q.device)[:, None], torch.arange(T, device=q.device)
    added = torch.where(i // L - j // L <= 1, bias[:, (i - j).clamp(0, 2 * L - 1)], 0)
    return functional.scaled_dot_product_attention(q, k, v, added.masked_fill(j > i, -math.inf)[None])


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, *, block_size: int, window_bias: Tensor | None = None
) -> Tensor:
    """Causal softmax attention to the keys of the query's own block and the one before it, and no others.

    Shapes and arguments are those of `vq_attention`, whose near part this is, with keys as they are.

    Raises
    ------
    TypeError, ValueError
        For tensors that do not fit each other.

    Examples
    --------
    >>> k = torch.randn(1, 2, 9, 4, generator=torch.Generator().manual_seed(0))
    >>> window = window_attention(k, k, k, block_size=5)  # two blocks: nothing is far
    >>> plain = functional.scaled_dot_product_attention(k, k, k, is_causal=True)
    >>> torch.allclose(window, plain, atol=1e-6)
    True
    """
    check_attention(q, k, v)
    bias = check_window_bias(window_bias, q.shape[1], whole("block_size", block_size), "q", q)
    (B, H, T, _), L = q.shape, block_size
    N = -(-T // L)
    # Heads side by side with the batch, so that blocks take the place of heads in torch's kernel.
    q, k, v = (functional.pad(x, (0, 0, 0, N * L - T)).reshape(B * H, N, L, x.shape[-1]) for x in (q, k, v))
    k, v = (torch.cat([functional.pad(x[:, :-1], (0, 0, 0, 0, 1, 0)), x], 2) for x in (k, v))
    i, j = torch.arange(L, device=q.device)[:, None], torch.arange(2 * L, device=q.device)
    distance = i + L - j
    block = torch.arange(N, device=q.device)[:, None, None]
    unseen = (distance < 0) | ((block == 0) & (j < L))  # later keys, and the block before the first
    added = q.new_zeros(1, 1, 1, 1) if bias is None else bias[:, None, distance.clamp(min=0)]
    added = added.expand(H, N, L, 2 * L).masked_fill(unseen, -math.inf).repeat(B, 1, 1, 1)
    return functional.scaled_dot_product_attention(q, k, v, added).view(B, H, N * L, -1)[:, :, :T]


def first_bias(heads: int, block_size: int, layer: int) -> Tensor:
    """The bias of the window before training, ``(H, 2L)``.

    A far key is one of many: from a bias of zero, training takes hundreds of steps to find out that near keys
    tell more; from a large one everywhere, it never finds the far ones. So heads begin apart, from near (6)
    to far (0), and layers with one head take turns (6 and 1). The last few keys have up to 3 more.

    Examples
    --------
    >>> [round(float(first_bias(1, 8, layer)[0, -1]), 1) for layer in range(3)]
    [6.0, 1.0, 6.0]
    """
    near = torch.linspace(6, 0, heads) if heads > 1 else torch.tensor([1.0 if layer % 2 else 6.0])
    return near[:, None] + 3 * torch.exp(-torch.arange(2 * block_size) / 3)


class MixedAttention(nn.Module):
    """One of the three kinds, with what it has to remember: the bias of the window, the quantiser.

    Parameters
    ----------
    settings
        Kind, S, L, D, and whether there is a bias.
    heads
        H.
    layer
        Its number, from 0: layers with one head take turns to look near and far at first.

    Examples
    --------
    >>> k = torch.randn(1, 2, 40, 32, generator=torch.Generator().manual_seed(0))
    >>> out, commitment = MixedAttention(LanguageSettings(codes=8), heads=2)(k, k, k)
    >>> out.shape, commitment.shape
    (torch.Size([1, 2, 40, 32]), torch.Size([]))
    """

    quantizer: VectorQuantizer | None
    window_bias: nn.Parameter | None

    def __init__(self, settings: LanguageSettings, *, heads: int, layer: int = 0) -> None:
        super().__init__()
        self.kind, self.block_size = settings.attention, settings.block_size
        self.value_width = 2 * settings.width if settings.mixer == "gated" else settings.key_width
        bias = first_bias(heads, settings.block_size, layer)
        self.register_parameter("window_bias", nn.Parameter(bias) if settings.bias else None)
        self.quantizer = None
        if self.kind == "vq":
            self.quantizer = VectorQuantizer(
                heads, settings.codes, settings.key_width, decay=settings.decay, seed=layer
            )

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, H, T, D)`` twice and ``(B, H, T, E)`` to ``(B, H, T, E)`` and the commitment loss."""
        if self.quantizer is None:
            attend = full_attention if self.kind == "full" else window_attention
            out = attend(q, k, v, block_size=self.block_size, window_bias=self.window_bias)
            return out, q.new_zeros(())
        if not self.quantizer.started:
            self.quantizer.start(k)
        # The codes as they were before these keys move them: no query may see a later key, not even so.
        codebook = self.quantizer.codebook
        commitment = self.quantizer(k).commitment
        out = vq_attention(q, k, v, codebook, block_size=self.block_size, window_bias=self.window_bias)
        return out, commitment


class Mixer(nn.Module):
    """A layer: `project` to queries, keys, values; attention; `finish`. See `GatedUnit` and `MultiHead`."""

    attention: MixedAttention

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """From ``(B, T, width)``: q, k, v as ``(B, H, T, ·)``, and what `finish` needs besides."""
        raise NotImplementedError

    def finish(self, x: Tensor, attended: Tensor, gate: Tensor | None) -> Tensor:
        """From ``(B, T, width)`` and ``(B, H, T, E)`` what goes to the next layer, ``(B, T, width)``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What goes to the next layer, and the commitment loss."""
        q, k, v, gate = self.project(x)
        attended, commitment = self.attention(q, k, v)
        return self.finish(x, attended, gate), commitment


class GatedUnit(Mixer):
    """The gated attention unit: 6 width² + 2 width D weights.

    Examples
    --------
    >>> layer = GatedUnit(LanguageSettings(width=8, key_width=4, codes=2))
    >>> layer(torch.randn(2, 5, 8))[0].shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, settings: LanguageSettings, *, layer: int = 0) -> None:
        super().__init__()
        width, D = settings.width, settings.key_width
        self.cuts = [D, D, 2 * width, 2 * width]
        self.norm = nn.RMSNorm(width)
        self.enter = nn.Linear(width, sum(self.cuts), bias=False)
        self.gain = nn.Parameter(torch.ones(1, 1, D))
        self.attention = MixedAttention(settings, heads=1, layer=layer)
        self.leave = nn.Linear(2 * width, width, bias=False)
        self.dropout = nn.Dropout(settings.dropout)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """q, k ``(B, 1, T, D)``, v ``(B, 1, T, 2 width)``, the gate ``(B, T, 2 width)``."""
        q, k, v, gate = self.enter(self.norm(x)).split(self.cuts, -1)
        q, k = _unit(q[:, None]) * self.gain, _unit(k[:, None])
        return q, k, functional.silu(v)[:, None], functional.silu(gate)

    def finish(self, x: Tensor, attended: Tensor, gate: Tensor | None) -> Tensor:
        """x + W (gate ⊙ attended)."""
        assert gate is not None
        return x + self.dropout(self.leave(gate * attended[:, 0]))


class MultiHead(Mixer):
    """Attention with H heads, then a network of two layers: 8 width² + 4 width H D weights.

    Examples
    --------
    >>> layer = MultiHead(LanguageSettings(width=8, heads=2, key_width=4, codes=2))
    >>> layer(torch.randn(2, 5, 8))[0].shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, settings: LanguageSettings, *, layer: int = 0) -> None:
        super().__init__()
        width, self.heads, D = settings.width, settings.heads, settings.key_width
        self.norm = nn.RMSNorm(width)
        self.enter = nn.Linear(width, 3 * self.heads * D, bias=False)
        self.gain = nn.Parameter(torch.ones(self.heads, 1, D))
        self.attention = MixedAttention(settings, heads=self.heads, layer=layer)
        self.leave = nn.Linear(self.heads * D, width, bias=False)
        self.mlp_norm = nn.RMSNorm(width)
        self.mlp_enter = nn.Linear(width, 4 * width)
        self.mlp_leave = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(settings.dropout)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """q, k, v ``(B, H, T, D)``."""
        B, T, _ = x.shape
        q, k, v = self.enter(self.norm(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return _unit(q) * self.gain, _unit(k), v, None

    def finish(self, x: Tensor, attended: Tensor, gate: Tensor | None) -> Tensor:
        """x + W attended, and to this the network of two layers."""
        x = x + self.dropout(self.leave(attended.transpose(1, 2).flatten(2)))
        hidden = functional.gelu(self.mlp_enter(self.mlp_norm(x)))
        return x + self.dropout(self.mlp_leave(hidden))


def _unit(x: Tensor) -> Tensor:
    """With a root mean square of 1 along the last axis."""
    return functional.rms_norm(x, x.shape[-1:])
