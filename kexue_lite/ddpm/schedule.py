r"""The schedule: how much of the picture is kept, and how much noise is added, at each of T steps.

    x_t = α_t x_{t−1} + β_t ε_t,    α_t² + β_t² = 1,    t = 1, ..., T                      (tearing down)
    x_t = ᾱ_t x_0 + β̄_t ε̄_t,       ᾱ_t = α_1 ⋯ α_t,    ᾱ_t² + β̄_t² = 1               (all steps in one)

The article (kexue.fm 9119) takes α_t² = 1 − 0.02 t/T at T = 1000. What must stay the same when T changes is
where the road ends, ᾱ_T, and so β_t² grows like 1000/T:

    β_t² = 0.02 (t/T) (1000/T).

Ho, Jain, Abbeel (2020) write β_t for our β_t², α_t for α_t², ᾱ_t for ᾱ_t²: `Schedule.from_ho`, `.to_ho`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kexue_lite.arguments import real, whole

NOISE = 0.01  # at most so much of the variance of x_T may be the picture's


class Schedule:
    """The numbers α_t, β_t, ᾱ_t, β̄_t for t = 0, 1, ..., T, in float64.

    They are indexed by t itself: ``schedule.alpha_bar[t]``. At t = 0 nothing has happened yet: α and ᾱ are 1,
    β and β̄ are 0.

    Parameters
    ----------
    alpha
        ``(T,)``, α_1, ..., α_T, each in (0, 1).
    most_signal
        What ᾱ_T² may be at most: sampling begins with pure noise, so the road must end there.
    times
        ``(T,)``, whole numbers that rise: what the model is told in the place of 1, ..., T. See `every`.

    Attributes
    ----------
    T
        Number of steps.
    alpha, beta, alpha_bar, beta_bar
        ``(T + 1,)``, float64.
    times
        ``(T + 1,)``, int64, the first is 0.

    Raises
    ------
    TypeError, ValueError
        If α is no table of numbers in (0, 1), T is below 2, or the last step is not yet noise.

    Examples
    --------
    >>> schedule = Schedule.article(1000)
    >>> print(f"{schedule.alpha_bar[1000]:.6f} {schedule.alpha[0]:.0f} {schedule.beta[1] ** 2:.0e}")
    0.006482 1 2e-05
    >>> Schedule(torch.tensor([0.99, 0.98, 0.97]))
    Traceback (most recent call last):
    ...
    ValueError: the schedule does not reach noise: after its 3 steps 88.6 % of the variance is still the
    picture's (at most 1 % is allowed; see most_signal)
    """

    def __init__(
        self,
        alpha: Tensor | np.ndarray,
        *,
        most_signal: float = NOISE,
        times: Tensor | np.ndarray | None = None,
    ) -> None:
        rows = torch.as_tensor(alpha).detach().cpu()
        if rows.is_complex() or rows.dtype == torch.bool:
            raise TypeError(f"alpha must hold real numbers, got {rows.dtype}")
        kept = rows.double()
        if kept.ndim != 1 or len(kept) < 2:
            raise ValueError(f"alpha must have shape (T,) with T at least 2, got {tuple(kept.shape)}")
        if not ((kept > 0) & (kept < 1)).all():  # NaN too
            where = int((~((kept > 0) & (kept < 1))).nonzero()[0, 0])
            raise ValueError(
                f"alpha must lie between 0 and 1 (both excluded), got {kept[where]:g} at t = {where + 1}"
            )
        real("most_signal", most_signal, least=0, most=1)
        self.T = len(kept)
        start = torch.ones(1, dtype=torch.float64)
        self.alpha = torch.cat([start, kept])
        # 1 − α² as (1 − α)(1 + α), and 1 − ᾱ² from the sum of logarithms: no digit is lost where α is near 1.
        self.beta = ((1 - self.alpha) * (1 + self.alpha)).sqrt()
        logs = self.alpha.log().cumsum(0)
        self.alpha_bar = logs.exp()
        self.beta_bar = (-torch.expm1(2 * logs)).abs().sqrt()  # abs: at t = 0 a zero without sign
        self.times = _checked_times(times, self.T)
        if (left := self.signal) > most_signal:
            raise ValueError(
                f"the schedule does not reach noise: after its {self.T} steps {100 * left:.3g} % of the "
                f"variance is still the picture's (at most {100 * most_signal:.3g} % is allowed; see "
                "most_signal)"
            )

    @property
    def signal(self) -> float:
        """ᾱ_T²: the share of the variance of x_T that is still the picture's (of unit variance)."""
        return float(self.alpha_bar[-1] ** 2)

    @property
    def sigma_posterior(self) -> Tensor:
        """``(T + 1,)``: the deviation β_t β̄_{t−1} / β̄_t of x_{t−1} when x_t and x_0 are both known."""
        sigma = torch.zeros_like(self.beta)
        sigma[1:] = self.beta[1:] * self.beta_bar[:-1] / self.beta_bar[1:]
        return sigma

    def __repr__(self) -> str:
        return f"Schedule(T={self.T}, alpha_bar_T={float(self.alpha_bar[-1]):.4g})"

    @classmethod
    def article(cls, T: int = 1000, *, rescaled: bool = True, most_signal: float = NOISE) -> Schedule:
        """α_t² = 1 − 0.02 (t/T) (1000/T); without the last factor if `rescaled` is false.

        Raises
        ------
        ValueError
            If T is so small that α_T² is not positive (T ≤ 20), or the road does not end in noise.

        Examples
        --------
        >>> Schedule.article(100)
        Schedule(T=100, alpha_bar_T=0.004396)
        >>> Schedule.article(20)
        Traceback (most recent call last):
        ...
        ValueError: T must be larger than 20: β² grows like 1000/T and would be 1 at T = 20, which
        leaves α² = 0
        """
        t = torch.arange(1, whole("T", T, 2) + 1, dtype=torch.float64)
        square = 0.02 * t / T
        return cls._of_square(square, T, 0.02, rescaled, most_signal)

    @classmethod
    def linear(
        cls,
        T: int = 1000,
        *,
        first: float = 1e-4,
        last: float = 0.02,
        rescaled: bool = True,
        most_signal: float = NOISE,
    ) -> Schedule:
        """The paper's (Ho, Jain, Abbeel 2020): β_t² grows evenly from `first` to `last`, times 1000/T.

        Examples
        --------
        >>> Schedule.linear(1000)
        Schedule(T=1000, alpha_bar_T=0.006353)
        """
        square = torch.linspace(
            real("first", first, least=0), real("last", last, least=0), whole("T", T, 2), dtype=torch.float64
        )
        return cls._of_square(square, T, max(first, last), rescaled, most_signal)

    @classmethod
    def _of_square(cls, square: Tensor, T: int, most: float, rescaled: bool, most_signal: float) -> Schedule:
        scale = 1000 / T if rescaled else 1.0
        if most * scale >= 1 - 1e-12:
            if not rescaled:
                raise ValueError(f"first and last must be less than 1: they are β², got up to {most:g}")
            raise ValueError(
                f"T must be larger than {math.floor(1000 * most + 1e-9)}: β² grows like 1000/T and would be "
                f"{most * scale:.3g} at T = {T}, which leaves α² = {1 - most * scale:.3g}"
            )
        return cls((1 - square * scale).sqrt(), most_signal=most_signal)

    @classmethod
    def from_ho(cls, betas: Tensor | np.ndarray, *, most_signal: float = NOISE) -> Schedule:
        """From the table β_t of Ho's paper, and of `diffusers`: their β_t is our β_t².

        Raises
        ------
        ValueError
            If a β lies outside (0, 1), or what the constructor refuses.

        Examples
        --------
        >>> schedule = Schedule.from_ho(torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
        >>> torch.allclose(schedule.alpha, Schedule.linear(1000).alpha, atol=1e-15, rtol=0)
        True
        """
        table = torch.as_tensor(betas).detach().cpu().double()
        if not ((table > 0) & (table < 1)).all():  # NaN too
            raise ValueError(
                "betas must lie between 0 and 1 (both excluded), got "
                f"{float(table.min()):g} to {float(table.max()):g}"
            )
        return cls((1 - table).sqrt(), most_signal=most_signal)

    def to_ho(self) -> dict[str, Tensor]:
        """Ho's tables ``(T,)``: ``betas`` = β_t², ``alphas`` = α_t², ``alphas_cumprod`` = ᾱ_t², from t = 1.

        Examples
        --------
        >>> there = Schedule.article(50).to_ho()
        >>> back = Schedule.from_ho(there["betas"])
        >>> torch.allclose(back.alpha_bar, Schedule.article(50).alpha_bar, rtol=1e-13)
        True
        """
        parts = {"betas": self.beta, "alphas": self.alpha, "alphas_cumprod": self.alpha_bar}
        return {name: part[1:].square() for name, part in parts.items()}

    def every(self, steps: int) -> Schedule:
        """A schedule of fewer steps that passes through the same ᾱ: for sampling faster with the same model.

        `steps` of the T times are kept, evenly spread, the last among them; the new α is the product of those
        that are skipped over. `times` remembers which they were, because the model was trained with these.

        Raises
        ------
        ValueError
            If `steps` is not in 2, ..., T.

        Examples
        --------
        >>> short = Schedule.article(1000).every(4)
        >>> short.times
        tensor([   0,  250,  500,  750, 1000])
        >>> short
        Schedule(T=4, alpha_bar_T=0.006482)
        """
        if whole("steps", steps, 2) > self.T:
            raise ValueError(f"steps must be at most T = {self.T}, got {steps}")
        kept = [round(k * self.T / steps) for k in range(steps + 1)]
        logs = self.alpha.log().cumsum(0)[kept]
        return Schedule((logs[1:] - logs[:-1]).exp(), most_signal=1, times=self.times[kept][1:])

    def at(self, table: Tensor, t: Tensor, like: Tensor) -> Tensor:
        """The entries ``table[t]``, shaped ``(B, 1, ..., 1)`` to multiply `like`, in its type, on its device.

        Raises
        ------
        TypeError, ValueError
            If t is no ``(B,)`` whole numbers in 1, ..., T.

        Examples
        --------
        >>> schedule, x = Schedule.article(100), torch.zeros(2, 8, 8)
        >>> schedule.at(schedule.alpha_bar, torch.tensor([1, 100]), x).shape
        torch.Size([2, 1, 1])
        """
        return _rows(table, self.checked(t, like), like)

    def checked(self, t: Any, x: Tensor) -> Tensor:
        """`t` as an int64 tensor ``(B,)`` on the device of x; raise unless all lie in 1, ..., T.

        Examples
        --------
        >>> Schedule.article(100).checked([1, 101], torch.zeros(2, 8, 8))
        Traceback (most recent call last):
        ...
        ValueError: t must lie in 1, ..., 100, got 1 to 101
        """
        steps = torch.as_tensor(t)
        if steps.is_floating_point() or steps.is_complex() or steps.dtype == torch.bool:
            raise TypeError(f"t must be whole numbers, got {steps.dtype}")
        if tuple(steps.shape) != (len(x),):
            raise ValueError(
                f"t must have shape ({len(x)},), one for each row of x, got {tuple(steps.shape)}"
            )
        if len(steps) and not (int(steps.min()) >= 1 and int(steps.max()) <= self.T):
            raise ValueError(f"t must lie in 1, ..., {self.T}, got {int(steps.min())} to {int(steps.max())}")
        return steps.to(x.device, torch.int64)


def _rows(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    values = table.to(like.device, like.dtype if like.device.type != "cpu" else table.dtype)[t]
    return values.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


def _checked_times(times: Tensor | np.ndarray | None, T: int) -> Tensor:
    if times is None:
        return torch.arange(T + 1)
    rows = torch.as_tensor(times).detach().cpu()
    if rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
        raise TypeError(f"times must be whole numbers, got {rows.dtype}")
    if tuple(rows.shape) != (T,):
        raise ValueError(f"times must have shape ({T},), got {tuple(rows.shape)}")
    full = torch.cat([torch.zeros(1, dtype=torch.int64), rows.long()])
    if not (full.diff() > 0).all():
        raise ValueError("times must rise from at least 1")
    return full
