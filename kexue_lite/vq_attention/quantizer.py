r"""The codebook: which code is nearest, and how the codes follow the keys.

    Δ_t = one-hot(argmin_s |k_t − c_s|),    k̂ = ΔC.

The codes are no parameters. Each is the mean of the keys that were assigned to it, over a past that fades
by the decay γ with every batch,

    n_s ← γ n_s + (1 − γ) Σ_t Δ_ts,    m_s ← γ m_s + (1 − γ) Σ_t Δ_ts k_t,    c_s = m_s/n_s,

and the keys in turn are drawn to their codes by the commitment loss, the mean of |k − sg(k̂)|².
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from kexue_lite.arguments import real, whole
from kexue_lite.vq_attention.arguments import check_codebook, floats

COMMITMENT = 1e-4  # the weight of the commitment loss in the paper
WHOLE = {torch.float32: torch.int32, torch.float64: torch.int64}
AT_ONCE = {"cpu": 1 << 19, "cuda": 1 << 26}  # scores of keys against codes that are held at a time


def nearest_codes(k: Tensor, codebook: Tensor) -> Tensor:
    """Δ: for each key the number of the code that is nearest to it.

    Parameters
    ----------
    k
        ``(B, H, T, D)``.
    codebook
        ``(H, S, D)``.

    Returns
    -------
    Tensor
        ``(B, H, T)``, int64, 0, ..., S − 1.

    Raises
    ------
    TypeError, ValueError
        For tensors that are empty, hold NaN or infinity, or do not fit each other.

    Examples
    --------
    >>> codebook = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    >>> nearest_codes(torch.tensor([[[[0.9, 0.6], [0.1, 0.2]]]]), codebook)
    tensor([[[1, 0]]])
    """
    return nearest(floats("k", k, "B H T D"), check_codebook(codebook, k))


def nearest(k: Tensor, codebook: Tensor, centred: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """`nearest_codes` without its checks; `centred` is what `centre` makes of the codebook.

    |k − c|² is least where k·c' − m·c' − |c'|²/2 is greatest, with c' = c − m, m the mean of the codes: this
    keeps its digits where keys and codes lie together far from 0. Since the c' sum to 0, some (k − m)·c' is
    not negative; with the greatest |c'|² added, the greatest score is not either. The bits of positive floats
    are ordered as the whole numbers that they spell, and of these torch finds the greatest in half the time.

    Examples
    --------
    >>> nearest(torch.tensor([[[[1001.1]]]]), torch.tensor([[[1000.0], [1001.0]]]))
    tensor([[[1]]])
    """
    with torch.no_grad():
        B, H, T, D = k.shape
        S = codebook.shape[1]
        table, offset = (x.expand(B, *x.shape).flatten(0, 1) for x in centred or centre(codebook))
        keys = k.reshape(B * H, T, D).to(table)
        step = max(AT_ONCE.get(k.device.type, AT_ONCE["cuda"]) // (B * H * S), 1)
        codes = torch.empty(B * H, T, dtype=torch.int64, device=k.device)
        scores = keys.new_empty(B * H, min(step, T), S)
        for a in range(0, T, step):
            part = scores[:, : min(step, T - a)]
            torch.bmm(keys[:, a : a + step], table.mT, out=part).add_(offset)
            codes[:, a : a + step] = part.view(WHOLE[scores.dtype]).argmax(-1)
        return codes.view(B, H, T)


@torch.no_grad()
def centre(codebook: Tensor) -> tuple[Tensor, Tensor]:
    """c' = c − m, ``(H, S, D)``, and what `nearest` adds to k·c', ``(H, 1, S)``, in 32 bits at least.

    Examples
    --------
    >>> centre(torch.tensor([[[0.0], [2.0]]]))[0].flatten()
    tensor([-1.,  1.])
    """
    codebook = codebook.to(torch.promote_types(codebook.dtype, torch.float32))
    middle = codebook.mean(1, keepdim=True)
    centred = codebook - middle
    squares = centred.square().sum(-1)[:, None]
    return centred, squares.amax(-1, keepdim=True) - squares / 2 - middle @ centred.mT


def look_up(codebook: Tensor, codes: Tensor) -> Tensor:
    """ΔC: the rows of the codebook for codes ``(B, H, T)``, as ``(B, H, T, D)``.

    Examples
    --------
    >>> look_up(torch.tensor([[[0.0], [7.0]]]), torch.tensor([[[1, 0, 1]]])).flatten()
    tensor([7., 0., 7.])
    """
    heads = torch.arange(codebook.shape[0], device=codes.device)[:, None]
    return codebook[heads, codes]


class Quantized(NamedTuple):
    """What `VectorQuantizer` returns: k̂ (straight-through), the codes, and the commitment loss."""

    keys: Tensor
    codes: Tensor
    commitment: Tensor


class VectorQuantizer(nn.Module):
    """A codebook for each head that follows the keys as a moving average.

    In training mode each call moves the codes; in evaluation mode none does. Hand `codebook` to
    `vq_attention`. The commitment loss is returned as it is; the caller gives it its weight, `COMMITMENT` in
    the paper.

    Parameters
    ----------
    heads, codes, width
        H, S, D.
    decay
        γ, in [0, 1).
    revive
        A code whose faded share of keys, n_s over the mean of all n, falls below this is dead: it is put on a
        key of the batch, drawn at random. 0 leaves dead codes where they are.
    seed
        Of the k-means start and of the draws for dead codes.

    Attributes
    ----------
    codebook : Tensor
        ``(H, S, D)``, a buffer; made by k-means from the keys of the first batch, or by `start`.

    Raises
    ------
    TypeError, ValueError
        For numbers out of range; in a call, for keys that do not fit, and for a codebook of 16 bits that is
        to move. Keys may have 16 bits beside a codebook of 32.

    References
    ----------
    Article 9844; arXiv:2309.16354.

    Examples
    --------
    >>> k = torch.randn(2, 4, 100, 8, generator=torch.Generator().manual_seed(0))
    >>> quantizer = VectorQuantizer(4, 16, 8)
    >>> found = quantizer(k)
    >>> found.keys.shape, found.codes.shape, tuple(quantizer.codebook.shape)
    (torch.Size([2, 4, 100, 8]), torch.Size([2, 4, 100]), (4, 16, 8))
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    started: Tensor
    draws: Tensor

    def __init__(
        self, heads: int, codes: int, width: int, *, decay: float = 0.99, revive: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__()
        shape = whole("heads", heads), whole("codes", codes), whole("width", width)
        self.decay = real("decay", decay, least=0, most=1)
        if self.decay == 1:
            raise ValueError("decay must be below 1, got 1: the codes would never move")
        self.revive = real("revive", revive, least=0, most=1)
        self.seed = whole("seed", seed, 0)
        self.register_buffer("codebook", torch.zeros(shape))
        self.register_buffer("counts", torch.zeros(shape[:2]))
        self.register_buffer("sums", torch.zeros(shape))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("draws", torch.tensor(0))

    @torch.no_grad()
    def start(self, k: Tensor, *, iterations: int = 10) -> None:
        """Codes by k-means (k-means++, then Lloyd) on keys ``(B, H, T, D)``, as from a trained model.

        The moving average goes on as if every batch before had been these keys: more of them than a batch
        has are outweighed later.

        Raises
        ------
        ValueError
            If there are fewer keys than codes.
        """
        k = self._checked(k)
        H, S, D = self.codebook.shape
        keys = k.transpose(0, 1).reshape(H, -1, D).to(self.codebook).cpu().numpy()
        if keys.shape[1] < S:
            raise ValueError(
                f"k must hold at least as many keys as there are codes, {S}, got {keys.shape[1]}"
            )
        means = KMeans(S, n_init=1, max_iter=whole("iterations", iterations), random_state=self.seed)
        with warnings.catch_warnings():  # of fewer distinct keys than codes: some codes are equal then
            warnings.simplefilter("ignore", ConvergenceWarning)
            centres = np.stack([means.fit(of_a_head).cluster_centers_ for of_a_head in keys])
        self.codebook = torch.as_tensor(centres).to(self.codebook)
        counts, _ = self._totals(k, nearest(k, self.codebook))
        self.counts = counts
        self.sums = counts[..., None] * self.codebook
        self.started = torch.ones_like(self.started)

    def forward(self, k: Tensor) -> Quantized:
        """Quantise keys ``(B, H, T, D)`` by the codes as they are; then, in training, move the codes."""
        k = self._checked(k)
        if not self.started:
            self.start(k)
        codes = nearest(k, self.codebook)
        rows = look_up(self.codebook, codes)
        commitment = (k - rows).square().sum(-1).mean()
        if self.training:
            self._move(k.detach(), codes)
        return Quantized(rows.to(k) + (k - k.detach()), codes, commitment)

    @torch.no_grad()
    def _move(self, k: Tensor, codes: Tensor) -> None:
        # New tensors, not new numbers in the old ones: a graph may still hold the old codebook.
        counts, sums = self._totals(k, codes)
        self.counts = self.decay * self.counts + (1 - self.decay) * counts
        self.sums = self.decay * self.sums + (1 - self.decay) * sums
        alive = self.counts > self.revive * self.counts.mean(-1, keepdim=True)
        if self.revive and not alive.all():
            generator = torch.Generator().manual_seed(self.seed + 1_000_003 * int(self.draws))
            H, S, D = self.codebook.shape
            keys = k.transpose(0, 1).reshape(H, -1, D)
            drawn = torch.randint(keys.shape[1], (H, S, 1), generator=generator).to(k.device)
            fresh = self.counts.mean(-1, keepdim=True).expand(H, S)  # as many keys as a code has on average
            self.counts = torch.where(alive, self.counts, fresh)
            new = fresh[..., None] * keys.gather(1, drawn.expand(-1, -1, D))
            self.sums = torch.where(alive[..., None], self.sums, new)
            self.draws = self.draws + 1
        some = self.counts[..., None] > torch.finfo(self.counts.dtype).tiny
        self.codebook = torch.where(some, self.sums / self.counts[..., None], self.codebook)

    def _totals(self, k: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """How many keys each code has, ``(H, S)``, and their sum, ``(H, S, D)``."""
        H, S, D = self.codebook.shape
        rows = (codes + S * torch.arange(H, device=k.device)[:, None]).flatten()
        counts = torch.bincount(rows, minlength=H * S).view(H, S).to(self.counts)
        sums = torch.zeros_like(self.sums).view(H * S, D)
        return counts, sums.index_add_(0, rows, k.reshape(-1, D).to(sums)).view(H, S, D)

    def _checked(self, k: Any) -> Tensor:
        k = floats("k", k, "B H T D")
        check_codebook(self.codebook, k)
        if self.codebook.dtype is torch.bfloat16 and (self.training or not self.started):
            raise TypeError(
                "codebook must be float32 or float64 to move or to start, got torch.bfloat16: a moving "
                "average stands still in 16 bits; keys may have them"
            )
        return k
