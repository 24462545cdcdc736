r"""Data whose best noise model is known: what a sampler and a network are measured against.

The best prediction of ε in mean square is its conditional mean. For data from N(μ, s²) it is a straight line,

    ε*(x, t) = β̄_t (x − ᾱ_t μ) / (ᾱ_t² s² + β̄_t²),

and for a mixture of such clouds the mean of these lines, weighted by the probability that x came from each.
With a line as the model every step of the sampler is a line, too, so the variance of what it makes can be
computed instead of sampled: `sampled_variance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kexue_lite.arguments import real, whole
from kexue_lite.ddpm.process import Model, check_data
from kexue_lite.ddpm.sampling import sigma_of
from kexue_lite.ddpm.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Mixture:
    """Round clouds of equal size in D dimensions, and their exact noise model.

    Attributes
    ----------
    centres
        ``(K, D)``, floating point.
    spread
        s, the standard deviation of each cloud in each direction; 0 for points.
    shares
        ``(K,)``, positive; equal if left out.

    Examples
    --------
    >>> two = Mixture(torch.tensor([[-1.0], [1.0]]), 0.1)
    >>> schedule = Schedule.article(100)
    >>> model = two.noise_model(schedule)
    >>> model(torch.zeros(1, 1), torch.tensor([50])).item()  # in the middle it may be either
    0.0
    """

    centres: Tensor
    spread: float
    shares: Tensor | None = None

    def __post_init__(self) -> None:
        c = self.centres
        if not isinstance(c, Tensor) or not c.is_floating_point() or c.ndim != 2 or not c.numel():
            raise ValueError(f"centres must be a floating-point tensor of shape (K, D), got {c!r}")
        if not torch.isfinite(c).all():
            raise ValueError("centres must be finite, got NaN or infinity")
        real("spread", self.spread, least=0)
        if self.shares is not None:
            shares = self.shares
            if tuple(shares.shape) != (len(c),) or not ((shares > 0) & shares.isfinite()).all():
                raise ValueError(f"shares must be {len(c)} positive numbers, got {shares!r}")

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """``(count, D)`` points.

        Examples
        --------
        >>> cloud = Mixture(torch.zeros(1, 2), 1.0)
        >>> cloud.sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
        """
        c = self.centres
        if not whole("count", count, 0):
            return c[:0]
        place = c.device if generator is None else generator.device
        of = torch.multinomial(self._shares().to(place), count, replacement=True, generator=generator)
        noise = torch.randn(count, c.shape[1], generator=generator, dtype=c.dtype, device=place)
        return c[of.to(c.device)] + self.spread * noise.to(c.device)

    def noise_model(self, schedule: Schedule) -> Model:
        """``model(x, t)`` with x ``(B, D)``: E[ε | x_t = x], exact.

        Raises
        ------
        TypeError, ValueError
            When called: for x of another width, or t out of range.
        """

        def model(x: Tensor, t: Tensor) -> Tensor:
            check_data("x", x)
            if x.shape[1:] != self.centres.shape[1:]:
                raise ValueError(f"x must have shape (B, {self.centres.shape[1]}), got {tuple(x.shape)}")
            steps = schedule.checked(t, x)
            keep, noise = (
                schedule.at(table, steps, x[:, None]) for table in (schedule.alpha_bar, schedule.beta_bar)
            )
            variance = keep**2 * self.spread**2 + noise**2  # (B, 1, 1)
            apart = x[:, None] - keep * self.centres.to(x)  # (B, K, D)
            logs = self._shares().to(x).log() - (apart.square() / (2 * variance)).sum(2)
            weights = torch.softmax(logs, 1)[..., None]  # (B, K, 1)
            return (noise / variance * weights * apart).sum(1)

        return model

    def _shares(self) -> Tensor:
        return torch.ones_like(self.centres[:, 0]) if self.shares is None else self.shares


def gaussian_noise(
    x: Tensor, t: Tensor, schedule: Schedule, *, mean: float = 0.0, variance: float = 1.0
) -> Tensor:
    """ε*(x, t) for data from N(mean, variance), number by number, any rank.

    Examples
    --------
    >>> schedule = Schedule.article(100)
    >>> x, t = torch.ones(1, 3, dtype=torch.float64), torch.tensor([100])
    >>> torch.allclose(gaussian_noise(x, t, schedule), schedule.beta_bar[100] * x)  # unit variance
    True
    """
    check_data("x", x), real("mean", mean), real("variance", variance, least=0)
    steps = schedule.checked(t, x)
    keep, noise = schedule.at(schedule.alpha_bar, steps, x), schedule.at(schedule.beta_bar, steps, x)
    return noise * (x - keep * mean) / (keep**2 * variance + noise**2)


def sampled_variance(
    schedule: Schedule,
    *,
    variance: float = 1.0,
    sigma: str = "beta",
    last_noise: bool = True,
    start: float = 1.0,
) -> float:
    """Variance of what `sample` makes of Gaussian data with the exact model: a recursion, nothing drawn.

    One step is x_{t−1} = c_t x_t + σ_t z with c_t = (1 − β_t²/(ᾱ_t² s² + β̄_t²))/α_t, so the variance goes
    from v to c_t² v + σ_t².

    Parameters
    ----------
    variance
        s², of the data.
    sigma, last_noise
        As for `sample`; here the last noise is on by default, since for unit data only then β_t returns 1.
    start
        Variance of x_T.

    Examples
    --------
    >>> for sigma in ("beta", "posterior", "none"):
    ...     print(f"{sigma:<9} {sampled_variance(Schedule.article(1000), sigma=sigma):.6f}")
    beta      1.000000
    posterior 0.991162
    none      0.000042
    """
    real("variance", variance, least=0), real("start", start, least=0)
    spreads = sigma_of(sigma, schedule).clone()
    if not last_noise:
        spreads[1] = 0
    total = schedule.alpha_bar.square() * variance + schedule.beta_bar.square()
    factors = (1 - schedule.beta.square() / total) / schedule.alpha
    v = start
    for t in range(schedule.T, 0, -1):
        v = float(factors[t] ** 2) * v + float(spreads[t] ** 2)
    return v
