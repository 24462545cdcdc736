r"""Writing with a language model, character by character.

With quantised keys the state of a layer is a `VQState`: two blocks and S codes, however long the text grows.
With full attention it is a cache of all keys and values, which grows with every character; with windowed
attention it is a cache of the last two blocks.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from kexue_lite.arguments import real, whole
from kexue_lite.vq_attention.characters import checked_text
from kexue_lite.vq_attention.language import LanguageModel
from kexue_lite.vq_attention.mixers import MixedAttention
from kexue_lite.vq_attention.state import VQState


def write(
    model: LanguageModel,
    prompt: str,
    count: int,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> str:
    """Go on with a text: `count` characters drawn one by one, each from the model's own chances.

    Parameters
    ----------
    model
        Trained; any of the three kinds of attention.
    prompt
        What stands before; at least one character. It is not part of what is returned.
    count
        How many characters.
    temperature
        Logits are divided by it; 0 takes the likeliest character each time.
    generator
        Draws, on the CPU; torch's global generator if left out.

    Raises
    ------
    TypeError, ValueError
        For arguments out of range, characters that the model does not know, and codebooks not yet made.

    Examples
    --------
    >>> from kexue_lite.vq_attention import Characters, LanguageSettings
    >>> model = LanguageModel(Characters("abc"), LanguageSettings(width=8, attention="window")).eval()
    >>> len(write(model, "abc", 20, generator=torch.Generator().manual_seed(0)))
    20
    """
    ids = model.characters.encode(checked_text("prompt", prompt))
    whole("count", count, 0)
    temperature = real("temperature", temperature, least=0)
    writer = Writer(model)
    logits = writer.read(ids.to(model.head.weight.device)[None])[0, -1]
    written: list[int] = []
    for n in range(count):
        scores = logits.double().cpu()
        if temperature:
            chances = (scores / temperature).softmax(-1)
            written.append(int(torch.multinomial(chances, 1, generator=generator)))
        else:
            written.append(int(scores.argmax()))
        if n + 1 < count:
            last = torch.tensor([written[-1:]], device=logits.device)
            logits = writer.step(last)[0, -1]
    return model.characters.decode(torch.tensor(written, dtype=torch.int64))


class Writer:
    """A model at work on a text that grows: a state for each layer, and the position.

    Parameters
    ----------
    model
        In evaluation mode, with codebooks that have started.
    batch
        B, texts side by side.

    Raises
    ------
    TypeError, ValueError
        For a model in training mode, or one whose codebooks are not yet made.

    Examples
    --------
    >>> from kexue_lite.vq_attention import Characters, LanguageSettings
    >>> model = LanguageModel(Characters("ab"), LanguageSettings(width=8, codes=2, block_size=3)).eval()
    >>> ids = torch.randint(2, (1, 20), generator=torch.Generator().manual_seed(0))
    >>> at_once = model(ids)  # makes the codebooks, too
    >>> writer = Writer(model)
    >>> one_by_one = torch.cat([writer.step(ids[:, t : t + 1]) for t in range(20)], 1)
    >>> torch.allclose(one_by_one, at_once, atol=1e-4)
    True
    """

    def __init__(self, model: LanguageModel, batch: int = 1) -> None:
        if not isinstance(model, LanguageModel):
            raise TypeError(f"model must be a LanguageModel, got {type(model).__name__}")
        if model.training:
            raise ValueError("model must be in evaluation mode: model.eval()")
        self.model, self.position = model, 0
        self.states = [state_of(layer.attention, whole("batch", batch)) for layer in model.layers]

    @torch.no_grad()
    def read(self, ids: Tensor) -> Tensor:
        """Take in a whole text ``(B, T)`` at once, as the first thing; its logits ``(B, T, V)``."""
        if self.position:
            raise ValueError(f"read must come first, got a writer at position {self.position}")
        x = self.model.enter(self.model._checked(ids), 0)
        for layer, state in zip(self.model.layers, self.states, strict=True):
            q, k, v, gate = layer.project(x)
            state.extend(k, v)
            x = layer.finish(x, layer.attention(q, k, v)[0], gate)
        self.position = ids.shape[1]
        return self.model.leave(x)

    @torch.no_grad()
    def step(self, ids: Tensor) -> Tensor:
        """Take in the next character, ``(B, 1)``; the logits of the one after it, ``(B, 1, V)``."""
        if self.model._checked(ids).shape[1] != 1:
            raise ValueError(f"ids must have the shape (B, 1), got {tuple(ids.shape)}")
        x = self.model.enter(ids, self.position)
        for layer, state in zip(self.model.layers, self.states, strict=True):
            q, k, v, gate = layer.project(x)
            x = layer.finish(x, state.step(q, k, v), gate)
        self.position += 1
        return self.model.leave(x)

    @property
    def size(self) -> int:
        """Numbers that are remembered of the text, in all layers."""
        kept = (part for state in self.states for part in vars(state).items())
        return sum(
            x.numel() for name, x in kept if isinstance(x, Tensor) and name[0] != "_" and name not in FIXED
        )


FIXED = ("codebook", "window_bias")  # parts of a state that are the model's, not the text's


def state_of(attention: MixedAttention, batch: int) -> VQState | Cache:
    """An empty state for a layer's attention and B texts.

    Examples
    --------
    >>> from kexue_lite.vq_attention import LanguageSettings
    >>> type(state_of(MixedAttention(LanguageSettings(attention="full"), heads=1), 1)).__name__
    'Cache'
    """
    if attention.quantizer is None:
        return Cache(attention)
    if not attention.quantizer.started:
        raise ValueError("model must have codebooks: train it, let it read a text, or use start_from_full")
    return VQState(
        attention.quantizer.codebook,
        batch,
        attention.value_width,
        block_size=attention.block_size,
        window_bias=attention.window_bias,
    )


class Cache:
    """Keys and values of all tokens (``"full"``) or of the last 2L (``"window"``), as they are.

    Examples
    --------
    >>> from kexue_lite.vq_attention import LanguageSettings
    >>> cache = Cache(MixedAttention(LanguageSettings(attention="full"), heads=1))
    >>> x = torch.ones(1, 1, 1, 32)
    >>> cache.step(x, x, x).shape, cache.keys.shape
    (torch.Size([1, 1, 1, 32]), torch.Size([1, 1, 1, 32]))
    """

    keys: Tensor
    values: Tensor

    def __init__(self, attention: MixedAttention) -> None:
        self.block_size, self.window_bias = attention.block_size, attention.window_bias
        self.limit = 2 * attention.block_size if attention.kind == "window" else None
        self.position = 0

    def extend(self, k: Tensor, v: Tensor) -> None:
        """Take in T tokens, ``(B, H, T, D)`` and ``(B, H, T, E)``."""
        first, self.position = self.position == 0, self.position + k.shape[2]
        if not first:
            k, v = torch.cat([self.keys, k], 2), torch.cat([self.values, v], 2)
        kept = slice(None) if self.limit is None else slice(-self.limit, None)
        self.keys, self.values = k[:, :, kept], v[:, :, kept]

    def step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Take in one token; its attention, ``(B, H, 1, E)``."""
        self.extend(k, v)
        L, i = self.block_size, self.position - 1
        distance = torch.arange(self.keys.shape[2] - 1, -1, -1, device=q.device)
        near = distance <= i % L + L
        scores: Any = q @ self.keys.mT / math.sqrt(q.shape[-1])
        if self.window_bias is not None:
            added = self.window_bias[:, distance.clamp(max=2 * L - 1)]
            scores = scores + torch.where(near, added, 0)[:, None]
        if self.limit is not None:
            scores = scores.masked_fill(~near, -math.inf)
        return scores.softmax(-1) @ self.values
