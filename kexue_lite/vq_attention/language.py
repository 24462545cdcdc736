r"""A causal language model of characters, with full, quantised or windowed attention (section 8.9).

    x = E[u] + P,    x ← layer(x),    logits = W rms(x),

with sines and cosines of the position for P, and the loss of a text u, in nats per character,

    −1/T Σ_t log p(u_{t+1} | u_1, ..., u_t)  +  10⁻⁴ Σ_layers mean |k − sg(k̂)|².

The second term, the commitment, is there for quantised keys only, and never part of a score.

A model that was trained with full attention becomes a quantised one without any training: k-means on its own
keys, layer by layer, gives the codebooks (`start_from_full`). That is the article's closing idea.

Source: article 9844; arXiv:2309.16354.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kexue_lite.arguments import whole
from kexue_lite.networks.mlp import undisturbed
from kexue_lite.vq_attention.characters import Characters
from kexue_lite.vq_attention.mixers import GatedUnit, LanguageSettings, Mixer, MultiHead
from kexue_lite.vq_attention.quantizer import COMMITMENT

SLOWEST = 1e4  # the longest wave of the positions, in units of 2π


class LanguageModel(nn.Module):
    """Logits of the next character from all before it.

    Parameters
    ----------
    characters
        The alphabet.
    settings
        `LanguageSettings()` if left out.
    generator
        Draws the weights; torch's global generator if left out.

    Raises
    ------
    TypeError, ValueError
        For other types; when called, for ids that are no int64 ``(B, T)`` within the alphabet.

    Examples
    --------
    >>> characters = Characters.of("the quick brown fox")
    >>> model = LanguageModel(characters, LanguageSettings(width=16, codes=4))
    >>> model(characters.encode("the fox")[None]).shape
    torch.Size([1, 7, 16])
    """

    layers: Any

    def __init__(
        self,
        characters: Characters,
        settings: LanguageSettings | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        settings = LanguageSettings() if settings is None else settings
        if not isinstance(characters, Characters):
            raise TypeError(f"characters must be Characters, got {type(characters).__name__}")
        if not isinstance(settings, LanguageSettings):
            raise TypeError(f"settings must be LanguageSettings, got {type(settings).__name__}")
        self.characters, self.settings = characters, settings
        mixer = GatedUnit if settings.mixer == "gated" else MultiHead
        with undisturbed(generator):
            self.embed = nn.Embedding(len(characters), settings.width)
            self.layers = nn.ModuleList(mixer(settings, layer=n) for n in range(settings.layers))
            self.norm = nn.RMSNorm(settings.width)
            self.head = nn.Linear(settings.width, len(characters), bias=False)
        self.dropout = nn.Dropout(settings.dropout)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim == 2 and not name.endswith("window_bias"):
                    # What is added to the stream is small at first, the more so the more layers add to it.
                    shrink = math.sqrt(2 * settings.layers) if "leave" in name else 1
                    wide = 1 if name == "embed.weight" else weight.shape[1]
                    weight.normal_(std=1 / (shrink * math.sqrt(wide)), generator=generator)
            self.head.weight.mul_(0.1)  # nearly even guesses at first

    def forward(self, ids: Tensor) -> Tensor:
        """Logits ``(B, T, V)`` of the characters after ids ``(B, T)``."""
        return self.read(ids)[0]

    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(B, T, V)``, and the commitment losses of all layers, added up."""
        x = self.enter(self._checked(ids), 0)
        commitment = x.new_zeros(())
        for layer in self.layers:
            x, of_layer = layer(x)
            commitment = commitment + of_layer
        return self.leave(x), commitment

    def loss(self, ids: Tensor, following: Tensor) -> Tensor:
        """What training goes down, ``(B,)``: nats per character of `following`, and the commitment."""
        logits, commitment = self.read(ids)
        nats = functional.cross_entropy(logits.transpose(1, 2), following, reduction="none")
        return nats.mean(1) + COMMITMENT * commitment

    def enter(self, ids: Tensor, position: int) -> Tensor:
        """Ids ``(B, T)``, the first at `position`, as what the first layer takes: ``(B, T, width)``."""
        half = self.settings.width // 2
        waves = SLOWEST ** -(torch.arange(half, device=ids.device) / half)
        angles = torch.arange(position, position + ids.shape[1], device=ids.device)[:, None] * waves
        return self.dropout(self.embed(ids) + torch.cat([angles.sin(), angles.cos()], -1))

    def leave(self, x: Tensor) -> Tensor:
        """From what the last layer gives ``(B, T, width)`` the logits."""
        return self.head(self.norm(x))

    def keys(self, ids: Tensor) -> list[Tensor]:
        """The keys of each layer, ``(B, H, T, D)``, as they are before quantising."""
        x, found = self.enter(self._checked(ids), 0), []
        for layer in self.layers:
            q, k, v, gate = layer.project(x)
            found.append(k)
            x = layer.finish(x, layer.attention(q, k, v)[0], gate)
        return found

    def _checked(self, ids: Tensor) -> Tensor:
        if not isinstance(ids, Tensor) or ids.dtype != torch.int64:
            kind = ids.dtype if isinstance(ids, Tensor) else type(ids).__name__
            raise TypeError(f"ids must be an int64 tensor, got {kind}")
        if ids.ndim != 2 or not ids.numel():
            raise ValueError(f"ids must have the axes (B, T), not empty, got shape {tuple(ids.shape)}")
        if not 0 <= int(ids.min()) <= int(ids.max()) < len(self.characters):
            last = len(self.characters) - 1
            raise ValueError(f"ids must lie from 0 to {last}, got {int(ids.min())} to {int(ids.max())}")
        return ids


@torch.no_grad()
def start_from_full(
    model: LanguageModel, text: str, *, codes: int = 64, context: int = 128, keys: int = 1 << 14
) -> LanguageModel:
    """A model with quantised keys, without training: the weights of `model`, codebooks by k-means.

    Parameters
    ----------
    model
        With ``"full"`` attention. It is left as it is.
    text
        On which its keys are collected: rows of `context` characters, spread evenly over the text.
    codes
        S.
    context
        T of a row.
    keys
        How many keys of each layer are collected, about.

    Returns
    -------
    LanguageModel
        In evaluation mode.

    Raises
    ------
    TypeError, ValueError
        If `model` has another attention, `text` is shorter than a row, or there are fewer keys than codes.

    Examples
    --------
    >>> text = "round and round the rugged rocks " * 9
    >>> full = LanguageModel(Characters.of(text), LanguageSettings(attention="full", width=16))
    >>> quantised = start_from_full(full, text, codes=8, context=32)
    >>> quantised.settings.attention, quantised.settings.codes
    ('vq', 8)
    """
    if not isinstance(model, LanguageModel):
        raise TypeError(f"model must be a LanguageModel, got {type(model).__name__}")
    if model.settings.attention != "full":
        raise ValueError(f"model must have full attention, got {model.settings.attention!r}")
    ids = model.characters.encode(text)
    if len(ids) < whole("context", context):
        raise ValueError(f"text must have at least context = {context} characters, got {len(ids)}")
    rows = min(-(-whole("keys", keys) // context), len(ids) // context)
    if rows * context < whole("codes", codes):
        raise ValueError(f"codes must be at most the number of keys, {rows * context}, got {codes}")
    starts = torch.arange(rows) * ((len(ids) - context) // max(rows - 1, 1))
    where = model.head.weight.device
    cut = ids[starts[:, None] + torch.arange(context)].to(where)
    settings = dataclasses.replace(model.settings, attention="vq", codes=codes)
    quantised = LanguageModel(model.characters, settings, generator=torch.Generator()).to(model.head.weight)
    quantised.load_state_dict(model.state_dict(), strict=False)  # all but the codebooks
    training = model.training
    found = [model.eval().keys(part) for part in cut.split(16)]
    model.train(training)
    for n, layer in enumerate(quantised.layers):
        assert isinstance(layer, Mixer) and layer.attention.quantizer is not None
        layer.attention.quantizer.start(torch.cat([part[n] for part in found]))
    return quantised.eval()
