r"""A small model that remembers planted pairs (`RecallTask`), trained on short streams, asked on long ones.

One layer of attention can do it, if the key of a value is made from the token before it. Where n keys score m
less than the asked one, the weight that falls on the asked pair is

    w = e^m/(e^m + n),    log w/(1 − w) = m − log n:

each time the stream is e times as long, m has to be larger by 1, or the answer drowns. A model that was
trained at length T₀ has learned the m that it needed there. If the query at place i is multiplied by
log i/log T₀, then m grows with log n by itself (Su Jianlin, article 8823 of kexue.fm, 2021).

What a layer over quantised keys keeps of the far past is S mean values and S counts. Two names with one code
are one name: of P pairs no more than S can be told apart, however short the stream is. And keys learn only
from pairs inside the window, since the far part gives them no gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from kexue_lite.arguments import real, whole
from kexue_lite.training import Run, generator_for, train
from kexue_lite.vq_attention.attention import vq_attention
from kexue_lite.vq_attention.quantizer import VectorQuantizer, nearest_codes
from kexue_lite.vq_attention.recall import RecallTask, Stream
from kexue_lite.vq_attention.state import VQState

ATTENDS = ("codes", "full", "window")


@dataclass(frozen=True)
class RecallRecipe:
    """How `train_recall` trains, and what.

    Attributes
    ----------
    attends
        ``"codes"``: `vq_attention`. ``"full"``: torch's attention to all keys, not quantised; ``"window"``:
        to those of the two near blocks alone.
    codes, width, block_size
        S; D and E, one head; L.
    log_scale
        Whether queries are multiplied by log(i + 1)/log(length), i = 1, 2, ... being their place.
    length, pairs, gap
        Of the streams of the training; all pairs are asked for.
    steps, batch, rate
        Of Adam, whose rate rises for a tenth of the steps and falls again.
    decay, revive
        Of the `VectorQuantizer`. The keys move fast here, so the codes forget faster than in the paper.
    commitment
        Weight of the commitment loss.
    """

    attends: str = "codes"
    codes: int = 128
    width: int = 32
    block_size: int = 32
    log_scale: bool = True
    length: int = 256
    pairs: int = 32
    gap: int = 0
    steps: int = 200
    batch: int = 16
    rate: float = 2e-2
    decay: float = 0.95
    revive: float = 0.1
    commitment: float = 1e-4

    def __post_init__(self) -> None:
        if self.attends not in ATTENDS:
            raise ValueError(f"attends must be one of {', '.join(ATTENDS)}; got {self.attends!r}")
        if not isinstance(self.log_scale, bool):
            raise TypeError(f"log_scale must be True or False, got {self.log_scale!r}")
        for name in ("codes", "width", "block_size", "pairs", "batch"):
            whole(name, getattr(self, name))
        whole("length", self.length, 4), whole("gap", self.gap, 0)
        whole("steps", self.steps, 20)  # fewer leave no tenth to rise in
        if real("rate", self.rate) <= 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        real("commitment", self.commitment, least=0)


class Memory:
    """What a `RecallModel` carries from token to token: a `VQState`, and the last token, ``(B,)``."""

    def __init__(self, state: VQState) -> None:
        self.state = state
        self.last: Tensor | None = None


class RecallModel(nn.Module):
    """One layer of attention, of one head: each token and the one before it, side by side, make q, k and v.

    Keys have length √D (RMS norm), so that the codes can follow them. All weights start at random.

    Parameters
    ----------
    task, recipe
        The words; the sizes, and what is attended to.
    seed
        Of the weights and of the `VectorQuantizer`.

    Attributes
    ----------
    quantizer : VectorQuantizer

    Examples
    --------
    >>> model = RecallModel(RecallTask()).eval()
    >>> stream = model.task.draw(2, 300, generator=torch.Generator().manual_seed(0))
    >>> logits = model(stream.tokens, at=stream.asked)
    >>> logits.shape
    torch.Size([2, 32, 32])
    >>> memory = model.read(stream.tokens[:, :-1])
    >>> torch.allclose(model.step(stream.tokens[:, -1], memory), logits[:, -1], atol=1e-5)
    True
    """

    def __init__(self, task: RecallTask, recipe: RecallRecipe | None = None, *, seed: int = 0) -> None:
        super().__init__()
        self.task, self.recipe = task, recipe or RecallRecipe()
        width = self.recipe.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(whole("seed", seed, 0))
            self.embed = nn.Embedding(task.vocabulary, width)
            self.project = nn.Linear(2 * width, 3 * width, bias=False)
            self.say = nn.Linear(width, task.values)
        self.quantizer = VectorQuantizer(
            1, self.recipe.codes, width, decay=self.recipe.decay, revive=self.recipe.revive, seed=seed
        )

    def forward(self, tokens: Tensor, at: Tensor | None = None) -> Tensor:
        """Logits of the values, ``(B, T, M)``; or ``(B, Q, M)`` at the places `at`, ``(B, Q)``."""
        return self.said(tokens, at)[0]

    def said(self, tokens: Tensor, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logits and the commitment loss, which is 0 if nothing is quantised."""
        q, k, v = self.queries_keys_values(tokens)
        commitment = q.new_zeros(())
        if self.recipe.attends == "codes":
            commitment = self.quantizer(k).commitment
        found = self.attend(q, k, v)[:, 0]
        if at is not None:
            found = found.gather(1, at[..., None].expand(-1, -1, found.shape[-1]))
        return self.say(found), commitment

    def queries_keys_values(
        self, tokens: Tensor, last: Tensor | None = None, done: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v, each ``(B, 1, T, D)``, of tokens ``(B, T)`` after `done` others, `last` the last."""
        self._check(tokens, last)
        now = self.embed(tokens)
        first = torch.zeros_like(now[:, :1]) if last is None else self.embed(last[:, None])
        before = torch.cat([first, now[:, :-1]], 1)
        q, k, v = self.project(torch.cat([now, before], -1))[:, None].chunk(3, -1)
        if self.recipe.log_scale:
            place = torch.arange(done + 2, done + 2 + tokens.shape[1], device=q.device)
            q = q * (place.log() / math.log(self.recipe.length))[:, None]
        return q, functional.rms_norm(k, k.shape[-1:]), v

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """``(B, 1, T, E)``: attention as the recipe says; `v` may have any width."""
        L = self.recipe.block_size
        if self.recipe.attends == "codes":
            return vq_attention(q, k, v, self.quantizer.codebook, block_size=L)
        if self.recipe.attends == "window":
            return _near_attention(q, k, v, L)
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    def memory(self, batch: int) -> Memory:
        """An empty memory, for `read` and `step`.

        Raises
        ------
        ValueError
            If the model attends to something else than codes, or has no codes yet.
        """
        recipe = self.recipe
        if recipe.attends != "codes":
            raise ValueError(f"attends must be 'codes' for a state of fixed size, got {recipe.attends!r}")
        if not self.quantizer.started:
            raise ValueError("the model must have codes before it can remember: train it first")
        return Memory(VQState(self.quantizer.codebook, batch, recipe.width, block_size=recipe.block_size))

    def read(self, tokens: Tensor, memory: Memory | None = None) -> Memory:
        """Take in tokens ``(B, T)`` at once, at the start or after those that `memory` holds already."""
        self._check(tokens, None)
        memory = memory or self.memory(len(tokens))
        with torch.no_grad():
            _, k, v = self.queries_keys_values(tokens, memory.last)
            memory.state.extend(k, v)
        memory.last = tokens[:, -1]
        return memory

    def step(self, token: Tensor, memory: Memory) -> Tensor:
        """Take in one token, ``(B,)``; the logits after it, ``(B, M)``."""
        with torch.no_grad():
            q, k, v = self.queries_keys_values(token[:, None], memory.last, memory.state.position)
            memory.last = token
            logits: Tensor = self.say(memory.state.step(q, k, v)[:, 0, 0])
        return logits

    def _check(self, tokens: Any, last: Tensor | None) -> None:
        if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64:
            kind = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
            raise TypeError(f"tokens must be a tensor of int64, got {kind}")
        if tokens.ndim != 2 or not tokens.numel():
            raise ValueError(f"tokens must have the axes (B, T), none empty, got shape {tuple(tokens.shape)}")
        least, most = tokens.min().item(), tokens.max().item()
        if least < 0 or most >= self.task.vocabulary:
            raise ValueError(f"tokens must lie in 0, ..., {self.task.vocabulary - 1}, got {least} to {most}")
        if last is not None and len(last) != len(tokens):
            raise ValueError(f"tokens must have the batch size of the memory, {len(last)}, got {len(tokens)}")


class TrainedRecall(NamedTuple):
    """What `train_recall` returns: the model, in evaluation mode, and the run with its losses."""

    model: RecallModel
    run: Run


def train_recall(
    task: RecallTask | None = None,
    recipe: RecallRecipe | None = None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> TrainedRecall:
    """Train a `RecallModel` from random weights, by gradient alone, on fresh streams at each step.

    Raises
    ------
    ValueError
        If the streams of the recipe do not fit the task: see `RecallTask.draw`.

    Examples
    --------
    >>> trained = train_recall(RecallTask(8, 8, 4), RecallRecipe(pairs=8, length=64, steps=20), seed=0)
    >>> trained.run.steps, trained.model.training
    (20, False)
    """
    task, recipe = task or RecallTask(), recipe or RecallRecipe()
    model = RecallModel(task, recipe, seed=seed).to(device)

    def batches(step: int) -> tuple[Tensor, Tensor, Tensor]:
        return task.draw(
            recipe.batch,
            recipe.length,
            pairs=recipe.pairs,
            questions=recipe.pairs,
            gap=recipe.gap,
            generator=generator_for(seed, step),
        )[:3]

    def loss(model: nn.Module, tokens: Tensor, asked: Tensor, answers: Tensor) -> Tensor:
        assert isinstance(model, RecallModel)
        logits, commitment = model.said(tokens, asked)
        nats = functional.cross_entropy(logits.transpose(1, 2), answers, reduction="none").mean(1)
        return nats + recipe.commitment * commitment

    optimizer = torch.optim.Adam(model.parameters(), recipe.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=recipe.steps + 1, pct_start=0.1
    )
    run = train(
        model, loss, batches, optimizer=optimizer, schedule=schedule, steps=recipe.steps, progress=False
    )
    return TrainedRecall(model, run)


@dataclass(frozen=True)
class RecallScore:
    """How a model answered the questions of some streams.

    Attributes
    ----------
    right
        Share of questions whose likeliest value is the answer.
    nats
        Mean of −log of the chance given to the answer.
    weight
        Mean attention that falls, at the question, on the asked pair.
    codes
        How many different codes the keys of the asked pairs have, over how many pairs were asked: no more can
        be told apart. 1 if nothing is quantised.
    """

    right: float
    nats: float
    weight: float
    codes: float


@torch.no_grad()
def recall_score(model: RecallModel, stream: Stream) -> RecallScore:
    """Ask a model, in evaluation mode, on the device where it lies.

    Examples
    --------
    >>> model = RecallModel(RecallTask()).eval()  # not trained: it guesses one value in 32
    >>> score = recall_score(model, model.task.draw(4, 256, generator=torch.Generator().manual_seed(0)))
    >>> score.right < 0.1, 0 < score.codes <= 1
    (True, True)
    """
    if model.training:
        raise ValueError("model must be in evaluation mode: in training mode the codes would move")
    tokens, asked, answers, planted, _ = (x.to(model.embed.weight.device) for x in stream)
    logits = model(tokens, asked)
    nats = functional.cross_entropy(logits.transpose(1, 2), answers)
    q, k, _ = model.queries_keys_values(tokens)
    # Values that are 1 at the asked pair and 0 elsewhere, a column per question, give the weight itself.
    marks = functional.one_hot(planted, tokens.shape[1]).to(q).mT[:, None].contiguous()
    weight = model.attend(q, k, marks)[:, 0].gather(1, asked[..., None].expand(-1, -1, asked.shape[1]))
    share = 1.0
    if model.recipe.attends == "codes":
        its = nearest_codes(k, model.quantizer.codebook)[:, 0].gather(1, planted)
        share = sum(len(row.unique()) for row in its) / its.numel()
    right = (logits.argmax(-1) == answers).float().mean()
    return RecallScore(right.item(), nats.item(), weight.diagonal(dim1=1, dim2=2).mean().item(), share)


def memory_bytes(state: VQState) -> int:
    """Bytes of the tensors of a `VQState` that hold the past; the codebook and the bias are the model's.

    Examples
    --------
    >>> memory_bytes(VQState(torch.zeros(1, 128, 32), 1, 32, block_size=32)) < 30_000
    True
    """
    kept = (x for name, x in vars(state).items() if name not in ("codebook", "window_bias"))
    return sum(x.numel() * x.element_size() for x in kept if isinstance(x, Tensor))


def _near_attention(q: Tensor, k: Tensor, v: Tensor, L: int) -> Tensor:
    """Softmax over the keys of this block and the one before that are not later, not quantised."""
    T = q.shape[2]
    N = -(-T // L)
    q = functional.pad(q, (0, 0, 0, N * L - T)).unflatten(2, (N, L))
    k, v = (functional.pad(x, (0, 0, L, N * L - T)).unfold(2, 2 * L, L).mT for x in (k, v))
    i, j = torch.arange(L, device=q.device)[:, None] + L, torch.arange(2 * L, device=q.device)
    seen = (j <= i).repeat(N, 1, 1)
    seen[0, :, :L] = False  # block −1
    return functional.scaled_dot_product_attention(q, k, v, seen).flatten(2, 3)[:, :, :T]
