"""word2vec trained as the matrix factorisation that it is: over counts, with every negative, no samples.

Skip-gram with k negatives drawn from P_α has, summed over a text, the expected loss (Levy and Goldberg 2014)

    L = − (1/N) Σ_{w,c} [ n_wc log σ(w·c) + k n_w P_α(c) log σ(−w·c) ],      n_w = Σ_c n_wc, N = Σ_w n_w,

a function of the counts n_wc alone. With x = w·c its derivative is

    ∂L/∂x_wc = (k n_w P_α(c) / N) · ( σ(x) − q_wc σ(−x) ),                  q_wc = n_wc / (k n_w P_α(c)),

so every score would come to rest at log q_wc = log( n_wc / (n_w P_α(c)) ) − log k, the shifted PMI, if the
rank allowed. Where n_wc = 0 the bracket is σ(x): the negatives are one product of matrices, a sigmoid, and
another product. Each gradient below is exact for the rows it moves.

`factorize_sgns` trains in three ways at once that a stream of tokens does not allow:

* **blocks**: every 16th word's row moves by its exact gradient, and all context rows by that block's share of
  theirs; in the next pass the two tables change places. A pass makes 17 updates instead of 1.
* **coarse to fine**: the vocabulary begins with the frequent words. A seventh of it holds nine tenths of the
  text and costs a fiftieth of the work, so most passes are made there, then on a third, and few on the whole.
* **steps** as Adam scales them (Kingma and Ba 2015); thereby the factors k n_w and k P_α(c), the same for a
  whole row, drop out, and rare words move as fast as frequent ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from scipy import optimize, sparse
from torch import Tensor
from tqdm import tqdm

from kexue_lite.embeddings.arguments import finite, random_source, whole
from kexue_lite.embeddings.counts import Cooccurrence
from kexue_lite.embeddings.sgns import check_inputs, sgns_gradient, sgns_loss
from kexue_lite.embeddings.vectors import WordVectors

Precision = Literal["auto", "bfloat16", "float32", "float64"]

_LEVELS = (
    (1 / 7, 2),
    (0.35, 2),
    (1.0, 1),
)  # share of the vocabulary, passes there for each pass over the whole
_SMALLEST_LEVEL = 1_000  # below, a whole pass takes milliseconds and a coarser one saves nothing
_BLOCKS = 16
_LARGEST_BLOCK = 1 << 26  # scores in one block: 256 MB in single precision
_RATE_ROWS, _RATE_OTHERS = 0.1, 0.06  # of the table that moves by blocks, and of the other
_BETA1, _BETA2 = 0.8, 0.99
_SPREAD = 0.05  # standard deviation of the start


def factorize_sgns(
    cooccurrence: Cooccurrence,
    *,
    dimensions: int = 100,
    negatives: float = 5,
    exponent: float = 0.75,
    passes: int = 4,
    penalty: float = 0.0,
    refine: int = 0,
    precision: Precision = "auto",
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> WordVectors:
    """Word vectors that minimise word2vec's expected loss over counts (chapter 4, section 4.6).

    Parameters
    ----------
    cooccurrence
        The counts n_wc; with ``weights="shrinking"`` they are word2vec's expectation.
    dimensions
        d, from 1 to V.
    negatives
        k > 0, the weight of the noise.
    exponent
        α of the noise P_α.
    passes
        Passes over the whole V × V matrix of scores, after twice as many on each of two coarser levels. Few
        passes leave the held-out loss lowest, as few epochs do in word2vec; many approach the minimum.
    penalty
        λ ≥ 0: adds (λ/2N)(Σ|w|² + Σ|c|²) to the loss. 0 is word2vec's own objective.
    refine
        Afterwards, up to so many iterations of L-BFGS with the exact gradient, in float64 on the CPU: how to
        reach the minimum of a small problem to many digits.
    precision
        Of the products. ``"auto"``: bfloat16 where the hardware multiplies it, else float32; the tables are
        kept in float32 then. ``"float64"`` to compare machines.
    device
        Where to compute: the generator's device, or the CPU, if left out.
    generator
        Of the start, the only random thing; seed 0 if left out.
    progress
        Show a progress bar.

    Returns
    -------
    WordVectors
        `.vectors` and `.contexts` of shape ``(V, d)``. Same seed, same machine: same tables.

    Raises
    ------
    TypeError
        If `cooccurrence` is no `Cooccurrence`.
    ValueError
        If `dimensions` is not between 1 and V, `negatives` not positive, `exponent` not finite, `passes`
        below 1, `refine` or `penalty` negative, or `precision` unknown.

    See Also
    --------
    kexue_lite.embeddings.skip_gram : the readable twin, pair by pair along the text.

    Examples
    --------
    >>> from kexue_lite.embeddings.counts import pmi
    >>> pairs = Cooccurrence([[8, 2, 1], [2, 4, 2], [1, 2, 9]], vocabulary=["a", "b", "c"])
    >>> table = factorize_sgns(pairs, dimensions=3, negatives=1, refine=1000)
    >>> scores = table.vectors @ table.contexts.T
    >>> bool(abs(scores - pmi(pairs, exponent=0.75).toarray()).max() < 1e-5)
    True
    """
    check_inputs(cooccurrence, negatives)
    size = cooccurrence.counts.shape[0]
    whole("dimensions", dimensions)
    if dimensions > size:
        raise ValueError(f"dimensions must be at most the size of the vocabulary, {size}, got {dimensions}")
    whole("passes", passes)
    whole("refine", refine, least=0)
    finite("penalty", penalty)
    if penalty < 0:
        raise ValueError(f"penalty must be at least 0, got {penalty}")
    generator = random_source(generator)
    where = torch.device(device) if device is not None else generator.device
    product, kept = _precision(precision, where)
    noise = torch.as_tensor(cooccurrence.noise(exponent), dtype=kept, device=where)
    mass = torch.as_tensor(cooccurrence.word_marginal / cooccurrence.total, dtype=kept, device=where)
    ratio = _ratio(cooccurrence, negatives, exponent)
    words, contexts = (
        _Table(size, dimensions, own, penalty / (negatives * cooccurrence.total), kept, generator)
        for own in (mass, noise)
    )
    # Unrelated words end with scores near −1 − log(1 + k): all start there, so that no step need find it.
    words.rows[:, 0] = float(1 + np.log1p(negatives)) ** 0.5
    contexts.rows[:, 0] = -words.rows[:, 0]
    levels = list(_schedule(size, passes))
    work = sum(level * level * count for level, count in levels)
    done = 0
    with tqdm(total=sum(count for _, count in levels), disable=not progress, unit="pass") as bar:
        for level, count in levels:
            blocks = min(level, max(_BLOCKS, -(-level * level // _LARGEST_BLOCK)))
            core = ratio[:level, :level] if level < size else ratio
            # Words and contexts take turns as the table that moves block by block.
            turns = [(words, contexts, core)] + [(contexts, words, core.T.tocsr())] * (count > 1)
            halves = [_Half(a, b, part, blocks, product) for a, b, part in turns]
            for turn in range(count):
                for block in range(blocks):
                    halves[turn % 2].step(block, 1 - done / work)
                done += level * level
                bar.update()
    table = WordVectors(_numpy(words.rows), cooccurrence.vocabulary, contexts=_numpy(contexts.rows))
    return _refine(table, cooccurrence, negatives, exponent, penalty, refine) if refine else table


def _numpy(rows: Tensor) -> np.ndarray:
    return rows.cpu().numpy()


def _refine(
    table: WordVectors,
    cooccurrence: Cooccurrence,
    negatives: float,
    exponent: float,
    penalty: float,
    steps: int,
) -> WordVectors:
    """L-BFGS on both tables at once. The variables √n_w w and √P(c) c make all words curve alike."""
    shape = table.vectors.shape
    mass = np.stack([cooccurrence.word_marginal / cooccurrence.total, cooccurrence.noise(exponent)])
    scale = np.sqrt(np.where(mass > 0, mass, 1))[..., None]
    weight = penalty / cooccurrence.total

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        both = flat.reshape(2, *shape) / scale
        at = WordVectors(both[0], table.vocabulary, contexts=both[1])
        gradient = np.stack(sgns_gradient(at, cooccurrence, negatives=negatives, exponent=exponent))
        loss = sgns_loss(at, cooccurrence, negatives=negatives, exponent=exponent)
        return loss + weight / 2 * float((both**2).sum()), ((gradient + weight * both) / scale).ravel()

    assert table.contexts is not None
    start = scale * np.stack([table.vectors, table.contexts]).astype(float)
    options: Any = {"maxiter": steps, "maxfun": 4 * steps, "maxcor": 50, "ftol": 0.0, "gtol": 1e-13}
    found = optimize.minimize(value, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    words, contexts = found.x.reshape(2, *shape) / scale
    return WordVectors(words, table.vocabulary, contexts=contexts)


class _Table:
    """One table of vectors with what Adam remembers of its gradients, and the mass of its words."""

    def __init__(
        self,
        size: int,
        width: int,
        mass: Tensor,
        penalty: float,
        kept: torch.dtype,
        generator: torch.Generator,
    ) -> None:
        start = torch.randn(size, width, generator=generator, dtype=torch.float64, device=generator.device)
        self.rows = (_SPREAD * start).to(mass.device, kept)
        self.mass = mass[:, None]
        self.shrink = penalty / self.mass.clamp(min=1e-30) * (self.mass > 0)
        self.mean, self.square = torch.zeros_like(self.rows), torch.zeros_like(self.rows)
        self.age = torch.zeros_like(self.mass)  # a row that joins late has its own count of steps

    def move(self, which: slice, gradient: Tensor, rate: float) -> None:
        if self.shrink[0] > 0:
            gradient = gradient.addcmul(self.rows[which], self.shrink[which])
        age = self.age[which].add_(1)
        mean = self.mean[which].lerp_(gradient, 1 - _BETA1)
        square = self.square[which].mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        scale = square.sqrt().div_((1 - _BETA2**age).sqrt_()).add_(1e-8)
        self.rows[which] -= (mean * (rate / (1 - _BETA1**age))).div_(scale)


class _Half:
    """One turn: table `a` moves by blocks (every `blocks`-th row), all of table `b` after each block."""

    def __init__(
        self, a: _Table, b: _Table, ratio: sparse.csr_array, blocks: int, product: torch.dtype
    ) -> None:
        self.a, self.b, self.blocks, self.product = a, b, blocks, product
        self.size = size = ratio.shape[0]
        order = np.concatenate([np.arange(start, size, blocks) for start in range(blocks)])
        ratio = ratio[order]
        lengths = [len(range(start, size, blocks)) for start in range(blocks)]
        within = np.concatenate([np.arange(length) for length in lengths])
        place = np.repeat(within * size, np.diff(ratio.indptr)) + ratio.indices
        device, kept = a.rows.device, a.rows.dtype
        bounds = ratio.indptr[np.concatenate([[0], np.cumsum(lengths)])].tolist()
        places = torch.from_numpy(place.astype(np.int64)).to(device)
        values = torch.from_numpy(ratio.data).to(device, kept)
        self.seen = [
            (places[i:j], values[i:j]) for i, j in pairwise(bounds)
        ]  # where in the block's scores the pairs stand that occur, and their q

    def step(self, block: int, rate: float) -> None:
        mine, theirs = slice(block, self.size, self.blocks), slice(0, self.size)
        A, B = self.a.rows[mine], self.b.rows[theirs]
        G = torch.mm(A.to(self.product), B.to(self.product).T).sigmoid_()
        place, q = self.seen[block]
        s = G.view(-1)[place].to(q.dtype)
        G.view(-1)[place] = (s - q * (1 - s)).to(self.product)
        gradient_a = (G @ (B * self.b.mass[theirs]).to(self.product)).to(A.dtype)
        gradient_b = (G.T @ (A * (self.a.mass[mine] * self.blocks)).to(self.product)).to(A.dtype)
        self.a.move(mine, gradient_a, _RATE_ROWS * rate)
        self.b.move(theirs, gradient_b, _RATE_OTHERS * rate)


def _schedule(size: int, passes: int) -> Iterator[tuple[int, int]]:
    """(words, passes) of each level, coarse to fine; a level too small hands its passes to the next."""
    waiting = 0
    for share, times in _LEVELS:
        level = round(share * size)
        waiting += times * passes
        if level >= _SMALLEST_LEVEL or share == 1:
            yield level, waiting
            waiting = 0


def _ratio(cooccurrence: Cooccurrence, negatives: float, exponent: float) -> sparse.csr_array:
    """q_wc = n_wc / (k n_w P_α(c)), where n_wc > 0."""
    counts = cooccurrence.counts
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    noise = cooccurrence.word_marginal[row] * cooccurrence.noise(exponent)[counts.indices]
    return sparse.csr_array(
        (counts.data / (negatives * noise), counts.indices, counts.indptr), shape=counts.shape
    )


def _precision(precision: str, device: torch.device) -> tuple[torch.dtype, torch.dtype]:
    """The types of the products and of what is kept."""
    if precision == "auto":
        fast = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if device.type == "cuda"
            else device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
        )
        return (torch.bfloat16 if fast else torch.float32), torch.float32
    if precision not in ("bfloat16", "float32", "float64"):
        raise ValueError(f"precision must be 'auto', 'bfloat16', 'float32' or 'float64', got {precision!r}")
    product = getattr(torch, precision)
    return product, (torch.float64 if product is torch.float64 else torch.float32)
