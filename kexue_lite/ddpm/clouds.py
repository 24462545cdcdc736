r"""A head start: data as a few stretched clouds, for which the best guess of x_0 is a formula.

For a mixture of normal clouds N(m_k, S_k) with shares π_k, x_t is a mixture too, of N(ᾱ m_k, ᾱ² S_k + β̄² I),
and the best guess in mean square is each cloud's straight line, weighted by how likely x_t came from it:

    E[x_0 | x_t] = Σ_k π_k(x_t) (m_k + ᾱ S_k (ᾱ² S_k + β̄² I)⁻¹ (x_t − ᾱ m_k)).

In the axes of its own S_k a cloud is a list of variances λ, and the matrix a list of numbers
ᾱ λ/(ᾱ² λ + β̄²). A network that is given this guess has to learn only what no mixture of a few clouds knows.
With a single round cloud of unit variance the guess is ᾱ x_t, and what is left to learn is the velocity.

The clouds are fitted by scikit-learn's `GaussianMixture` (expectation and maximisation). A cloud of few data
knows them by heart: its guess is good for these and poor for others, and then the network learns to correct
the wrong thing. So each covariance is moved a part of the way to their mean (as Friedman's regularised
discriminant analysis does, 1989).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from kexue_lite.arguments import real, whole
from kexue_lite.ddpm.process import check_data


class Clouds(nn.Module):
    """Normal clouds in D dimensions.

    Parameters
    ----------
    centres
        ``(K, D)``, m_k.
    covariances
        ``(K, D, D)``, S_k, symmetric and not negative.
    shares
        ``(K,)``, positive; brought to the sum 1.

    Raises
    ------
    TypeError, ValueError
        If shapes or types do not fit, a number is not finite, or a covariance has a negative eigenvalue.

    Examples
    --------
    >>> one = Clouds(torch.zeros(1, 2), torch.eye(2)[None], torch.ones(1))
    >>> x = torch.tensor([[1.0, -2.0]])
    >>> one(x, torch.tensor([0.6]), torch.tensor([0.8]))  # ᾱ x
    tensor([[ 0.6000, -1.2000]])
    """

    centres: Tensor
    axes: Tensor
    variances: Tensor
    shares: Tensor

    def __init__(self, centres: Tensor, covariances: Tensor, shares: Tensor) -> None:
        super().__init__()
        K, D = centres.shape if centres.ndim == 2 else (0, 0)
        if not K or tuple(covariances.shape) != (K, D, D) or tuple(shares.shape) != (K,):
            raise ValueError(
                "centres, covariances and shares must have shapes (K, D), (K, D, D) and (K,), got "
                f"{tuple(centres.shape)}, {tuple(covariances.shape)} and {tuple(shares.shape)}"
            )
        if centres.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"centres must be float32 or float64, got {centres.dtype}")
        if (
            not all(part.isfinite().all() for part in (centres, covariances, shares))
            or not (shares > 0).all()
        ):
            raise ValueError("centres and covariances must be finite, and shares positive")
        variances, axes = torch.linalg.eigh(covariances.double())
        if variances.min() < -1e-9 * variances.max():
            raise ValueError(f"covariances must not be negative, got an eigenvalue {variances.min():g}")
        parts = {
            "centres": centres,
            "axes": axes,  # (K, D, D), columns
            "variances": variances.clamp(min=1e-6),
            "shares": shares / shares.sum(),
        }
        for name, part in parts.items():
            self.register_buffer(name, part.to(centres.dtype))

    @classmethod
    def fit(cls, x: Tensor, count: int, *, floor: float = 0.03, shrink: float = 0.0, seed: int = 0) -> Clouds:
        """Clouds of these data.

        Parameters
        ----------
        x
            ``(N, D)``, N at least `count`.
        count
            K.
        floor
            Added to all variances: a cloud of few data is otherwise flat in most directions.
        shrink
            λ in [0, 1]: S_k becomes (1 − λ) S_k + λ Σ_j π_j S_j.

        Raises
        ------
        TypeError, ValueError
            For data or numbers that do not fit.

        Examples
        --------
        >>> x = torch.tensor([[-1.0], [-1.1], [1.0], [1.1]])
        >>> [round(m, 2) for m in Clouds.fit(x, 2, floor=0.01).centres.flatten().sort().values.tolist()]
        [-1.05, 1.05]
        """
        from sklearn.mixture import GaussianMixture

        check_data("x", x)
        if x.ndim != 2 or len(x) < whole("count", count):
            raise ValueError(f"x must have shape (N, D) with N at least {count}, got {tuple(x.shape)}")
        if real("floor", floor) <= 0:
            raise ValueError(f"floor must be positive, got {floor}")
        real("shrink", shrink, least=0, most=1)
        mixture = GaussianMixture(
            count, reg_covar=floor, max_iter=50, tol=1e-2, random_state=whole("seed", seed, 0)
        )
        mixture.fit(x.detach().cpu().double().numpy())
        common = np.tensordot(mixture.weights_, mixture.covariances_, 1)
        covariances = (1 - shrink) * mixture.covariances_ + shrink * common
        parts = (mixture.means_, covariances, mixture.weights_)
        return cls(*(torch.from_numpy(part).to(x) for part in parts))

    def forward(self, x: Tensor, keep: Tensor, add: Tensor) -> Tensor:
        """E[x_0 | x_t = x], ``(B, D)``; `keep` and `add` are ᾱ_t and β̄_t, ``(B,)``."""
        B, (K, D) = len(x), self.centres.shape
        across = self.axes.permute(1, 0, 2).reshape(D, K * D)
        along = torch.einsum("kd,kde->ke", self.centres, self.axes)  # the centres in their own axes
        keep, add = keep[:, None, None], add[:, None, None]
        apart = (x @ across).view(B, K, D) - keep * along
        total = keep**2 * self.variances + add**2  # (B, K, D)
        likely = torch.softmax(self.shares.log() - 0.5 * (apart**2 / total + total.log()).sum(2), 1)
        inner = (likely[..., None] * (keep * self.variances / total) * apart).view(B, K * D)
        return inner @ across.T + likely @ self.centres

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        """``(count, D)`` points of the clouds themselves: the baseline of a head start.

        Examples
        --------
        >>> one = Clouds(torch.zeros(1, 2), torch.eye(2)[None], torch.ones(1))
        >>> one.sample(5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 2])
        """
        if not whole("count", count, 0):
            return self.centres[:0]
        place = generator.device
        of = torch.multinomial(self.shares.to(place), count, replacement=True, generator=generator)
        of = of.to(self.centres.device)
        noise = torch.randn(
            count, self.centres.shape[1], generator=generator, dtype=self.centres.dtype, device=place
        ).to(self.centres.device)
        return self.centres[of] + torch.einsum("nde,ne->nd", self.axes[of], self.variances[of].sqrt() * noise)
