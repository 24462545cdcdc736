r"""Tearing down, and the target of learning: q(x_t | x_0) and the loss.

    x_t = ᾱ_t x_0 + β̄_t ε,    ε ~ N(0, I)                                                        (q_sample)
    ℓ = mean over pixels of (ε − model(x_t, t))²                                                   (loss)

`model(x, t)` predicts ε, the noise of unit variance that all t steps together have added: this is the ε_θ of
Ho, Jain, Abbeel (2020). The article (kexue.fm 9119) predicts what the last step alone has added, whose mean
given x_t is smaller: its ε_θ is β_t/β̄_t times ours. `article_noise` and `unit_noise` convert.

Everything works for data of any rank, ``(B, ...)``: points of the plane and pictures alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kexue_lite.arguments import whole
from kexue_lite.ddpm.schedule import Schedule
from kexue_lite.training import generator_for
from kexue_lite.training.batches import Batches, minibatches

Model = Callable[[Tensor, Tensor], Tensor]
# The order of the pictures draws from (seed, epoch), times and noise from (seed + SEEDS, step): below 2³¹ no
# two of them are the same pair, for the same seed or for another.
SEEDS = 2**31


def q_sample(
    x: Tensor,
    t: Tensor,
    schedule: Schedule,
    *,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x_t from x_0 in one go: ᾱ_t x + β̄_t noise.

    Parameters
    ----------
    x
        ``(B, ...)``, floating point.
    t
        ``(B,)``, whole numbers in 1, ..., T.
    noise
        Of the shape of x; drawn from `generator` (torch's global one if that is left out too) if left out.

    Returns
    -------
    Tensor
        Shape, type and device of x.

    Raises
    ------
    TypeError, ValueError
        If x is empty or not finite, or shapes, types or t do not fit.

    Examples
    --------
    >>> schedule = Schedule.article(100)
    >>> x, t = torch.ones(2, 8, 8), torch.tensor([1, 100])
    >>> noisy = q_sample(x, t, schedule, noise=torch.zeros_like(x))
    >>> [round(value, 4) for value in noisy[:, 0, 0].tolist()]
    [0.999, 0.0044]
    """
    check_data("x", x)
    steps = schedule.checked(t, x)
    noise = drawn_like(x, noise, generator)
    return schedule.at(schedule.alpha_bar, steps, x) * x + schedule.at(schedule.beta_bar, steps, x) * noise


def loss(
    model: Model,
    x: Tensor,
    schedule: Schedule,
    *,
    t: Tensor | None = None,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """How badly the noise is predicted: one number for each row.

    Parameters
    ----------
    model
        ``model(x_t, t)`` returns ``(B, ...)``, the noise.
    x
        ``(B, ...)``, the data x_0.
    t, noise
        Drawn if left out: t evenly from 1, ..., T.
    weight
        ``(T + 1,)``, multiplies the loss of a row by ``weight[t]``. None is 1: Ho's simple loss, and the
        article's after the division by β_t²/β̄_t². See `weight_of`.

    Returns
    -------
    Tensor
        ``(B,)``, the mean square over all but the first dimension: what `kexue_lite.training.train` wants. Of
        the type of x, but float32 for data of 16 bits, whose range the weights would leave.

    Raises
    ------
    TypeError, ValueError
        As for `q_sample`; if the model returns another shape; or a weight is negative.

    Examples
    --------
    >>> schedule, x = Schedule.article(100), torch.ones(4, 2)
    >>> blind = loss(lambda x, t: torch.zeros_like(x), x, schedule, noise=3 * torch.ones(4, 2))
    >>> blind.tolist()
    [9.0, 9.0, 9.0, 9.0]
    """
    check_data("x", x)
    if t is None:
        t = torch.randint(1, schedule.T + 1, (len(x),), generator=generator, device=_place(generator, x))
    steps = schedule.checked(t, x)
    noise = drawn_like(x, noise, generator)
    guess = predicted(model, q_sample(x, steps, schedule, noise=noise), schedule.times.to(x.device)[steps])
    wide = torch.promote_types(x.dtype, torch.float32)
    each = (guess.to(wide) - noise.to(wide)).square().flatten(1).mean(1)
    return each if weight is None else each * _checked_weight(weight, schedule, "weight").to(each)[steps]


def weight_of(kind: str, schedule: Schedule) -> Tensor:
    """Weights ``(T + 1,)`` of the noise loss that make it another loss.

    What the loss is then the mean squared error of, and the weight that makes it so:

    - ``"noise"``: ε, the noise of unit variance (Ho's simple loss); 1
    - ``"article"``: the article's ε_θ, the noise of the last step; β_t² / β̄_t²
    - ``"mean"``: the mean of x_{t−1}; β_t⁴ / (α_t β̄_t)²
    - ``"picture"``: x_0; β̄_t² / ᾱ_t²
    - ``"velocity"``: v = ᾱ_t ε − β̄_t x_0 (Salimans, Ho 2022); 1 / ᾱ_t²

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> schedule = Schedule.article(100)
    >>> weight_of("noise", schedule)[1:].unique()
    tensor([1.], dtype=torch.float64)
    """
    a, b, bar_a, bar_b = (
        part[1:].square() for part in (schedule.alpha, schedule.beta, schedule.alpha_bar, schedule.beta_bar)
    )
    kinds = {
        "noise": torch.ones_like(a),
        "article": b / bar_b,
        "mean": b.square() / (a * bar_b),
        "picture": bar_b / bar_a,
        "velocity": 1 / bar_a,
    }
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(kinds)}; got {kind!r}")
    return torch.cat([torch.zeros(1, dtype=torch.float64), kinds[kind]])


def article_noise(noise: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """The article's ε_θ(x_t, t) from the paper's: times β_t/β̄_t.

    Examples
    --------
    >>> schedule, t = Schedule.article(1000), torch.tensor([1, 300])
    >>> ours = article_noise(torch.ones(2, 1), t, schedule)
    >>> [round(value, 4) for value in ours.flatten().tolist()]
    [1.0, 0.1004]
    """
    check_data("noise", noise)
    return noise * schedule.at(schedule.beta / schedule.beta_bar, t, noise)


def unit_noise(noise: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """The paper's ε_θ(x_t, t), of unit variance, from the article's: times β̄_t/β_t.

    Examples
    --------
    >>> schedule, t = Schedule.article(1000), torch.tensor([7])
    >>> there = article_noise(torch.ones(1, 2), t, schedule)
    >>> torch.allclose(unit_noise(there, t, schedule), torch.ones(1, 2))
    True
    """
    check_data("noise", noise)
    return noise * schedule.at(schedule.beta_bar / schedule.beta, t, noise)


def noisy_batches(
    x: Tensor, schedule: Schedule, *, batch_size: int, seed: int, chances: Tensor | None = None
) -> Batches:
    """Batches for `kexue_lite.training.train`: ``(x, t, noise)`` as a pure function of the step.

    The times of a batch are spread evenly: one from each of B equally likely parts of 1, ..., T. A plain draw
    has the same mean, and a larger spread.

    Parameters
    ----------
    x
        ``(N, ...)``, the data.
    batch_size, seed
        1, ..., N, and 0, ..., 2³¹ − 1.
    chances
        ``(T + 1,)``, how likely each t is, the first of them 0; all alike if left out. To draw t twice as
        often is to weight its loss twice, with less spread: see `level_density`.

    Raises
    ------
    TypeError, ValueError
        If x is empty or not finite, a number is out of range, or the chances do not fit.

    Examples
    --------
    >>> batches = noisy_batches(torch.zeros(10, 8, 8), Schedule.article(100), batch_size=4, seed=0)
    >>> x, t, noise = batches(7)
    >>> x.shape, t.dtype, torch.equal(noise, batches(7)[2])
    (torch.Size([4, 8, 8]), torch.int64, True)
    """
    check_data("x", x)
    order = minibatches(x, batch_size=batch_size, seed=checked_seed(seed))
    if chances is None:
        chances = torch.cat([torch.zeros(1), torch.ones(schedule.T)])
    likely = _checked_weight(chances, schedule, "chances").detach().cpu().double()
    if likely[0] != 0 or not likely.sum() > 0:
        raise ValueError("chances must be 0 at t = 0 and positive somewhere else")
    up_to = likely.cumsum(0) / likely.sum()
    most = int(likely.nonzero()[-1])

    def batches(step: int) -> tuple[Tensor, ...]:
        (rows,) = order(step)
        B = len(rows)
        generator = generator_for(seed + SEEDS, step)  # on the CPU: the same numbers on every device
        part = (torch.arange(B) + torch.rand(B, generator=generator)) / B
        t = torch.searchsorted(up_to, part.double(), right=True).clamp(1, most)
        noise = torch.randn(rows.shape, generator=generator, dtype=rows.dtype)
        return rows, t.to(rows.device), noise.to(rows.device)

    return batches


def checked_seed(seed: int) -> int:
    """The seed; raise unless it is a whole number in 0, ..., 2³¹ − 1, where no two streams of numbers meet.

    Examples
    --------
    >>> checked_seed(2**31)
    Traceback (most recent call last):
    ...
    ValueError: seed must be less than 2147483648, got 2147483648
    """
    if whole("seed", seed, 0) >= SEEDS:
        raise ValueError(f"seed must be less than {SEEDS}, got {seed}")
    return int(seed)


def check_data(name: str, x: Any, *, empty: bool = False) -> Tensor:
    """The tensor itself; raise unless it is finite, floating point, of shape ``(B, ...)`` with B at least 1.

    Examples
    --------
    >>> check_data("x", torch.zeros(0, 2))
    Traceback (most recent call last):
    ...
    ValueError: x must have shape (B, ...) with B at least 1, got (0, 2)
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must hold floating-point numbers, got {x.dtype}")
    if x.ndim < 2 or not (x.numel() or (empty and not len(x))):
        raise ValueError(
            f"{name} must have shape (B, ...) with B at least {0 if empty else 1}, got {tuple(x.shape)}"
        )
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return x


def drawn_like(x: Tensor, noise: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """The noise that was given, checked; or fresh noise of the shape of x."""
    if noise is None:
        return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=_place(generator, x)).to(
            x.device
        )
    if not isinstance(noise, Tensor) or noise.shape != x.shape:
        got = tuple(noise.shape) if isinstance(noise, Tensor) else type(noise).__name__
        raise ValueError(f"noise must be a tensor of the shape of x, {tuple(x.shape)}, got {got}")
    return noise.to(x)


def predicted(model: Model, x: Tensor, t: Tensor) -> Tensor:
    """``model(x, t)``; raise unless it has the shape of x."""
    guess = model(x, t)
    if not isinstance(guess, Tensor) or guess.shape != x.shape:
        got = tuple(guess.shape) if isinstance(guess, Tensor) else type(guess).__name__
        raise ValueError(f"model must return a tensor of the shape of its input, {tuple(x.shape)}, got {got}")
    return guess


def _place(generator: torch.Generator | None, x: Tensor) -> torch.device:
    return x.device if generator is None else generator.device


def _checked_weight(weight: Tensor, schedule: Schedule, name: str) -> Tensor:
    if not isinstance(weight, Tensor) or tuple(weight.shape) != (schedule.T + 1,):
        got = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise ValueError(f"{name} must be a tensor of shape ({schedule.T + 1},), got {got}")
    if not (weight.isfinite() & (weight >= 0)).all():
        raise ValueError(f"{name} must be finite and not negative")
    return weight
