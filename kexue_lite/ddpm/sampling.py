r"""Building up: from x_T, pure noise, back to x_0.

    x_{t−1} = (x_t − (β_t²/β̄_t) model(x_t, t)) / α_t + σ_t z,    z ~ N(0, I)                   (p_sample)

With σ_t = β_t the variance stays right where the data have unit variance; with σ_t = β_t β̄_{t−1}/β̄_t it is
right where the data are a single point; with σ_t = 0 all noise that is taken away is missing in the end. The
article names the first and the last. The same step in other words, which is how it is computed when x_0 is
clipped to the range of the data:

    x̂_0 = (x_t − β̄_t ε)/ᾱ_t,    x_{t−1} = ᾱ_{t−1} x̂_0 + (α_t β̄²_{t−1}/β̄_t) ε + σ_t z.

`ddim_sample` is the first step beyond: put back exactly as much *predicted* noise as belongs there, and draw
none (Song, Meng, Ermon 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kexue_lite.arguments import whole
from kexue_lite.ddpm.process import Model, check_data, drawn_like, predicted
from kexue_lite.ddpm.schedule import Schedule

Clip = tuple[float | Tensor, float | Tensor]


def sigma_of(kind: str, schedule: Schedule) -> Tensor:
    """σ_t for t = 0, ..., T: ``"beta"`` β_t, ``"posterior"`` β_t β̄_{t−1}/β̄_t, ``"none"`` 0.

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> schedule = Schedule.article(100)
    >>> [round(float(sigma_of(kind, schedule)[1]), 4) for kind in ("beta", "posterior", "none")]
    [0.0447, 0.0, 0.0]
    """
    kinds = {"beta": schedule.beta, "posterior": schedule.sigma_posterior, "none": 0 * schedule.beta}
    if kind not in kinds:
        raise ValueError(f"sigma must be one of {', '.join(kinds)}; got {kind!r}")
    return kinds[kind]


def p_sample(
    model: Model,
    x: Tensor,
    t: int,
    schedule: Schedule,
    *,
    sigma: str = "beta",
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    clip: Clip | None = None,
) -> Tensor:
    """One step back, from x_t to x_{t−1}; noise is added at every step, the last one (t = 1) included.

    Parameters
    ----------
    x
        ``(B, ...)``, x_t.
    t
        1, ..., T, the same for all rows.
    sigma
        See `sigma_of`.
    clip
        Smallest and largest value of the data, numbers or tensors of the shape of a row: x̂_0 is brought into
        this range before the step.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, or a model that returns another shape.

    Examples
    --------
    >>> schedule = Schedule.article(100)
    >>> exact = lambda x, t: x * schedule.beta_bar[t][:, None]  # for data of unit variance
    >>> x = torch.ones(1, 1, dtype=torch.float64)
    >>> round(p_sample(exact, x, 100, schedule, sigma="none").item() - schedule.alpha[100].item(), 12)
    0.0
    """
    check_data("x", x)
    if whole("t", t) > schedule.T:
        raise ValueError(f"t must lie in 1, ..., {schedule.T}, got {t}")
    _checked_clip(clip)
    spread = float(sigma_of(sigma, schedule)[t])
    mean = _mean(model, x, t, schedule, clip)
    return mean + spread * drawn_like(x, noise, generator) if spread else mean


def sample(
    model: Model,
    x: Tensor,
    schedule: Schedule,
    *,
    sigma: str = "beta",
    last_noise: bool = False,
    generator: torch.Generator | None = None,
    noise: Sequence[Tensor] | Callable[[int], Tensor] | None = None,
    clip: Clip | None = None,
    film: Sequence[int] = (),
) -> Tensor:
    """All T steps back: `p_sample` from t = T to 1.

    Parameters
    ----------
    x
        ``(B, ...)``, x_T, to be drawn from N(0, I) with ``torch.randn``. B may be 0.
    sigma
        See `sigma_of`.
    last_noise
        Whether noise is added at t = 1, too. What is added there is never taken away again.
    noise
        ``noise[t]`` or ``noise(t)`` for t = T, ..., 1 in the place of `generator`.
    clip
        As for `p_sample`. Wise with a trained model, wrong for unbounded data.
    film
        Times in 0, ..., T - 1, falling or rising, at which x_t is to be kept.

    Returns
    -------
    Tensor
        x_0, ``(B, ...)``; with `film` ``(len(film), B, ...)``, in the order of `film`.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, or a model that returns another shape.
    FloatingPointError
        If the model's noise is not finite.

    Examples
    --------
    >>> schedule = Schedule.article(100)
    >>> exact = lambda x, t: x * schedule.beta_bar[t][:, None]  # the model for data from N(0, 1)
    >>> start = torch.randn(20000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> made = sample(exact, start, schedule, last_noise=True, generator=torch.Generator().manual_seed(1))
    >>> round(made.var().item(), 1)
    1.0
    """
    spreads = sigma_of(sigma, schedule).tolist()
    if not last_noise:
        spreads[1] = 0.0

    def step(x: Tensor, t: int) -> Tensor:
        mean = _mean(model, x, t, schedule, clip)
        if not spreads[t]:
            return mean
        given = None if noise is None else noise(t) if callable(noise) else noise[t]
        return mean + spreads[t] * drawn_like(x, given, generator)

    return _walk(step, x, schedule, clip, film)


def ddim_sample(
    model: Model,
    x: Tensor,
    schedule: Schedule,
    *,
    clip: Clip | None = None,
    film: Sequence[int] = (),
) -> Tensor:
    """Deterministic sampling: x_{t−1} = ᾱ_{t−1} x̂_0 + β̄_{t−1} ε, no noise but that of x_T.

    Parameters, returned value and errors are those of `sample`. Fewer steps: ``schedule.every(steps)``.

    Examples
    --------
    >>> schedule = Schedule.article(1000)
    >>> exact = lambda x, t: x * schedule.beta_bar[t][:, None]  # the model for data from N(0, 1)
    >>> x = torch.ones(1, 1, dtype=torch.float64)  # must stay where it is: the variance is 1 everywhere
    >>> print(f"{ddim_sample(exact, x, schedule).item():.3f}")
    0.998
    """

    def step(x: Tensor, t: int) -> Tensor:
        picture, noise = _split(model, x, t, schedule, clip)
        return float(schedule.alpha_bar[t - 1]) * picture + float(schedule.beta_bar[t - 1]) * noise

    return _walk(step, x, schedule, clip, film)


def picture_of(x: Tensor, noise: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """x̂_0 = (x_t − β̄_t noise)/ᾱ_t: what the picture would be if this were its noise.

    Examples
    --------
    >>> from kexue_lite.ddpm.process import q_sample
    >>> schedule, x, t = Schedule.article(100), torch.ones(1, 2).double(), torch.tensor([60])
    >>> noise = torch.tensor([[2.0, -1.0]]).double()
    >>> torch.allclose(picture_of(q_sample(x, t, schedule, noise=noise), noise, t, schedule), x)
    True
    """
    check_data("x", x), check_data("noise", noise)
    if x.shape != noise.shape:
        raise ValueError(f"x and noise must have one shape, got {tuple(x.shape)} and {tuple(noise.shape)}")
    return (x - schedule.at(schedule.beta_bar, t, x) * noise) / schedule.at(schedule.alpha_bar, t, x)


def _walk(
    step: Callable[[Tensor, int], Tensor],
    x: Tensor,
    schedule: Schedule,
    clip: Clip | None,
    film: Sequence[int],
) -> Tensor:
    check_data("x", x, empty=True)
    _checked_clip(clip)
    for t in film:
        if whole("film", t, 0) >= schedule.T:
            raise ValueError(f"film must lie in 0, ..., {schedule.T - 1}, got {t}")
    kept: dict[int, Tensor] = {}
    with torch.no_grad():
        for t in range(schedule.T, 0, -1) if len(x) else ():
            x = step(x, t)
            if not torch.isfinite(x).all():
                raise FloatingPointError(f"x is no longer finite at t = {t - 1}: the model's noise is not")
            if t - 1 in film:
                kept[t - 1] = x
    if not len(film):
        return x
    return torch.stack([kept.get(t, x) for t in film])


def _mean(model: Model, x: Tensor, t: int, schedule: Schedule, clip: Clip | None) -> Tensor:
    """The article's μ(x_t), with the picture clipped on the way if that is asked for."""
    alpha, beta = float(schedule.alpha[t]), float(schedule.beta[t])
    bar_beta = float(schedule.beta_bar[t])
    if clip is None:
        return (x - beta**2 / bar_beta * _noise(model, x, t, schedule)) / alpha
    picture, noise = _split(model, x, t, schedule, clip)
    before = float(schedule.beta_bar[t - 1]) ** 2
    return float(schedule.alpha_bar[t - 1]) * picture + alpha * before / bar_beta * noise


def _split(model: Model, x: Tensor, t: int, schedule: Schedule, clip: Clip | None) -> tuple[Tensor, Tensor]:
    """x_t = ᾱ_t x̂_0 + β̄_t ε as the model sees it; if x̂_0 is clipped, ε makes up for it."""
    bar_alpha, bar_beta = float(schedule.alpha_bar[t]), float(schedule.beta_bar[t])
    noise = _noise(model, x, t, schedule)
    picture = (x - bar_beta * noise) / bar_alpha
    if clip is not None:
        low, high = (torch.as_tensor(bound).to(x) for bound in clip)
        picture = picture.clamp(low, high)
        noise = (x - bar_alpha * picture) / bar_beta
    return picture, noise


def _noise(model: Model, x: Tensor, t: int, schedule: Schedule) -> Tensor:
    times = torch.full((len(x),), int(schedule.times[t]), dtype=torch.int64, device=x.device)
    return predicted(model, x, times)


def _checked_clip(clip: Clip | None) -> None:
    if clip is None:
        return
    if not isinstance(clip, tuple | list) or len(clip) != 2 or not all(_is_bound(one) for one in clip):
        raise TypeError(f"clip must be a pair (smallest, largest) of numbers or tensors, got {clip!r}")
    if not bool(torch.all(torch.as_tensor(clip[0] < clip[1]))):  # for NaN too
        raise ValueError(f"clip must be a pair (smallest, largest), got {clip!r}")


def _is_bound(one: object) -> bool:
    return isinstance(one, int | float | Tensor) and not isinstance(one, bool)
