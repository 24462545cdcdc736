r"""The step of the derivation that lowers the variance: one noise that counts, and one that does not.

Reaching x_t by x_{t−1} takes two independent noises, ε̄_{t−1} (all steps before) and ε_t (the last step):

    x_t = ᾱ_t x_0 + α_t β̄_{t−1} ε̄_{t−1} + β_t ε_t = ᾱ_t x_0 + β̄_t ε.

Two independent standard normal numbers may be rotated into two others. The angle here has the cosine
α_t β̄_{t−1}/β̄_t and the sine β_t/β̄_t:

    ε = ( α_t β̄_{t−1} ε̄_{t−1} + β_t ε_t)/β̄_t       what x_t has of both
    ω = (−β_t ε̄_{t−1} + α_t β̄_{t−1} ε_t)/β̄_t       independent of ε, and so of x_t

and backwards ε_t = (β_t ε + α_t β̄_{t−1} ω)/β̄_t (the article's ω has the other sign). A model that sees x_t
can know nothing of ω, so the part of ε_t along ω is noise in its target: the share (α_t β̄_{t−1}/β̄_t)² of the
variance, 98.99 % at t = 300 of 1000. Its mean is taken by hand, and ε alone remains.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kexue_lite.arguments import whole
from kexue_lite.ddpm.process import check_data
from kexue_lite.ddpm.schedule import Schedule


def rotate(before: Tensor, last: Tensor, t: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """(ε̄_{t−1}, ε_t) to (ε, ω), the article's ω: ε_t = (β_t ε − α_t β̄_{t−1} ω)/β̄_t.

    Parameters
    ----------
    before, last
        ``(B, ...)``, ε̄_{t−1} and ε_t.
    t
        ``(B,)``.

    Examples
    --------
    >>> schedule, t = Schedule.article(1000), torch.tensor([300])
    >>> before, last = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
    >>> eps, omega = rotate(before, last, t, schedule)
    >>> round((eps**2 + omega**2).item(), 12)  # lengths stay
    1.0
    """
    _one_shape(before, last)
    cos, sin = _angle(t, schedule, before)
    return cos * before + sin * last, sin * before - cos * last


def rotate_back(eps: Tensor, omega: Tensor, t: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """(ε, ω) to (ε̄_{t−1}, ε_t). The matrix [[cos, sin], [sin, −cos]] is its own inverse.

    Examples
    --------
    >>> schedule, t = Schedule.article(1000), torch.tensor([300])
    >>> pair = torch.tensor([[0.3]]).double(), torch.tensor([[-1.2]]).double()
    >>> back = rotate_back(*rotate(*pair, t, schedule), t, schedule)
    >>> all(torch.allclose(a, b) for a, b in zip(pair, back))
    True
    """
    return rotate(eps, omega, t, schedule)


def removed_share(schedule: Schedule, t: int) -> float:
    """The share of the variance of ε_t that no model can know from x_t: (α_t β̄_{t−1}/β̄_t)².

    Examples
    --------
    >>> print(f"{100 * removed_share(Schedule.article(1000), 300):.2f} %")
    98.99 %
    """
    if whole("t", t) > schedule.T:
        raise ValueError(f"t must lie in 1, ..., {schedule.T}, got {t}")
    return float((schedule.alpha[t] * schedule.beta_bar[t - 1] / schedule.beta_bar[t]) ** 2)


def _angle(t: Tensor, schedule: Schedule, like: Tensor) -> tuple[Tensor, Tensor]:
    cos = torch.zeros_like(schedule.alpha)
    cos[1:] = schedule.alpha[1:] * schedule.beta_bar[:-1] / schedule.beta_bar[1:]
    sin = torch.zeros_like(cos)
    sin[1:] = schedule.beta[1:] / schedule.beta_bar[1:]
    return schedule.at(cos, t, like), schedule.at(sin, t, like)


def _one_shape(a: Tensor, b: Tensor) -> None:
    check_data("before", a), check_data("last", b)
    if a.shape != b.shape:
        raise ValueError(f"before and last must have one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
