"""Kernels: features that are never written down.

A penalised fit has its weights in the span of the examples, w = Σⱼ αⱼ φ(xⱼ). Then scores need products of
features alone, f(z) = Σⱼ αⱼ k(xⱼ, z) + b with k(x, z) = ⟨φ(x), φ(z)⟩, and so does the penalty, ‖w‖² = αᵀKα.
φ may have a billion coordinates, or infinitely many, as long as k is a short formula.

    (1 + x·z)ᵈ = Σ over monomials of degree ≤ d of (their multinomial weight) · x^a z^a
    exp(−‖x − z‖²/2σ²) = E over ω ~ N(0, I/σ²), θ ~ U(0, 2π) of 2 cos(ω·x + θ) cos(ω·z + θ)

Sources: Aizerman, Braverman and Rozonoer 1964; Kimeldorf and Wahba 1971; Rahimi and Recht 2007.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor

from .arguments import matrix, number, signs, whole
from .losses import Loss
from .skeleton import fit_linear

Kernel = Callable[[Tensor, Tensor], Tensor]
LARGEST = 50_000_000  # numbers in one table of features: 400 MB
ROUNDING = 1e-14  # of K's largest eigenvalue: below it lies nothing but rounding


def polynomial_features(x: Any, degree: int) -> Tensor:
    """φ(x): all monomials of degree ≤ d, so weighted that ⟨φ(x), φ(z)⟩ = (1 + x·z)ᵈ.

    The weight of x₁^a₁ ... x_D^a_D is the root of d!/(a₀! a₁! ... a_D!) with a₀ = d − Σa.

    Parameters
    ----------
    x
        ``(N, D)``.
    degree
        d, at least 1.

    Returns
    -------
    Tensor
        ``(N, binom(D + d, d))``; the first column is the constant 1.

    Raises
    ------
    ValueError
        If a shape or the degree is none that is allowed, or the table would exceed 50 million numbers.

    Examples
    --------
    >>> polynomial_features([[2.0, 3.0]], 2)  # 1, √2 x, √2 y, x², √2 xy, y²
    tensor([[1.0000, 2.8284, 4.2426, 4.0000, 8.4853, 9.0000]])
    """
    x, degree = matrix("x", x), whole("degree", degree)
    count = math.comb(x.shape[1] + degree, degree)
    if count * len(x) > LARGEST:
        raise ValueError(
            f"x and degree ask for {count:,} features of {len(x):,} examples, more than {LARGEST:,} numbers: "
            f"use polynomial_kernel, which never writes them down"
        )
    columns = []
    for total in range(degree + 1):
        for chosen in combinations_with_replacement(range(x.shape[1]), total):
            repeats = math.prod(map(math.factorial, [degree - total, *Counter(chosen).values()]))
            weight = math.sqrt(math.factorial(degree) / repeats)
            columns.append(weight * x[:, list(chosen)].prod(1))
    return torch.stack(columns, 1)


def polynomial_kernel(x: Any, z: Any, *, degree: int = 2) -> Tensor:
    """(1 + x·z)ᵈ for all pairs of rows.

    Parameters
    ----------
    x, z
        ``(N, D)`` and ``(M, D)``.
    degree
        d, at least 1.

    Returns
    -------
    Tensor
        ``(N, M)``.

    Examples
    --------
    >>> polynomial_kernel([[2.0, 3.0]], [[1.0, 0.0], [0.0, -1.0]])
    tensor([[9., 4.]])
    """
    x, z = _pair(x, z)
    return (1 + x @ z.T) ** whole("degree", degree)


def gaussian_kernel(x: Any, z: Any, *, width: float = 1.0) -> Tensor:
    """exp(−‖x − z‖²/2σ²) for all pairs of rows.

    Parameters
    ----------
    x, z
        ``(N, D)`` and ``(M, D)``.
    width
        σ, positive, in the unit of x; scikit-learn's ``gamma`` is 1/2σ².

    Returns
    -------
    Tensor
        ``(N, M)``.

    Examples
    --------
    >>> gaussian_kernel([[0.0]], [[0.0], [1.0], [2.0]])
    tensor([[1.0000, 0.6065, 0.1353]])
    """
    x, z = _pair(x, z)
    far = torch.cdist(x, z, compute_mode="donot_use_mm_for_euclid_dist")  # exactly 0 for equal rows
    return torch.exp(-((far / number("width", width)) ** 2) / 2)


def random_fourier_features(
    x: Any, count: int, *, width: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """√(2/M) cos(ωᵀx + θ) with random ω and θ: features whose products are near `gaussian_kernel`.

    The error of a product falls like 1/√M. The same generator state gives the same features: make those of
    training and test rows in one call, or seed two generators alike.

    Parameters
    ----------
    x
        ``(N, D)``.
    count
        M, the number of features.
    width
        σ of the kernel.
    generator
        On the CPU: the draws are the same on every device.

    Returns
    -------
    Tensor
        ``(N, M)``.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0]])
    >>> phi = random_fourier_features(x, 20_000, generator=torch.Generator().manual_seed(0))
    >>> abs((phi @ phi.T)[0, 1] - 0.6065) < 0.02
    tensor(True)
    """
    x, count, width = matrix("x", x), whole("count", count), number("width", width)
    omega = torch.randn(x.shape[1], count, generator=generator, dtype=torch.float64) / width
    theta = 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)
    return math.sqrt(2 / count) * torch.cos(x @ omega.to(x) + theta.to(x))


@dataclass(frozen=True)
class KernelFit:
    """What `fit_kernel` found: f(z) = Σⱼ αⱼ k(xⱼ, z) + b.

    Attributes
    ----------
    coefficients
        α, ``(N,)``.
    intercept
        b.
    value, residual, steps, converged
        As in `LinearFit`.
    examples
        The x of the fit, ``(N, D)``.
    kernel
        k.
    """

    coefficients: Tensor
    intercept: float
    value: float
    residual: float
    steps: int
    converged: bool
    examples: Tensor
    kernel: Kernel

    def scores(self, x: Any) -> Tensor:
        """f at the rows of x, ``(M,)``."""
        x = matrix("x", x).to(self.examples)
        if x.shape[1] != self.examples.shape[1]:
            raise ValueError(f"x must have {self.examples.shape[1]} features as in the fit, got {x.shape[1]}")
        return self.kernel(x, self.examples) @ self.coefficients + self.intercept


def fit_kernel(
    x: Any,
    y: Any,
    *,
    kernel: Kernel,
    loss: str | Loss = "logistic",
    penalty: float = 1.0,
    intercept: bool = True,
    tolerance: float = 1e-10,
    max_steps: int = 500,
) -> KernelFit:
    """Minimise Σᵢ ℓ(yᵢ fᵢ) + ½ λ αᵀKα with f = Kα + b: `fit_linear` on features that are never written down.

    K = U S Uᵀ, so the rows of U√S are N examples with at most N features and the very same products; they are
    fitted, and α = U S^(−½) w.

    Parameters
    ----------
    x
        ``(N, D)``; time grows as N³.
    y
        ``(N,)``, of −1 and +1.
    kernel
        A function of two matrices that gives all products, such as `polynomial_kernel`. K must be symmetric
        and have no negative eigenvalue (beyond rounding).
    loss, penalty, intercept, tolerance, max_steps
        As in `fit_linear`.

    Raises
    ------
    TypeError
        If x is sparse, or the kernel is no function.
    ValueError
        If the kernel gives no symmetric, positive semidefinite ``(N, N)``, or an argument is none allowed.

    See Also
    --------
    Chapter 2.

    Examples
    --------
    >>> x = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]])
    >>> y = torch.tensor([1, 1, -1, -1])  # exclusive or: no straight line will do
    >>> fit_kernel(x, y, kernel=polynomial_kernel).scores(x).sign()
    tensor([ 1.,  1., -1., -1.], dtype=torch.float64)
    """
    x = matrix("x", x).double()
    y = signs(y, x)
    if not callable(kernel):
        raise TypeError(f"kernel must be a function of two matrices, got {type(kernel).__name__}")
    K = kernel(x, x)
    if (
        not isinstance(K, Tensor)
        or K.shape != (len(x), len(x))
        or not torch.allclose(K, K.T, rtol=1e-10, atol=0)
    ):
        raise ValueError(f"kernel must give a symmetric matrix ({len(x)}, {len(x)}) of all products")
    S, U = torch.linalg.eigh((K + K.T) / 2)
    if float(S[0]) < -1e-8 * float(S[-1].clamp(min=0)) or float(S[-1]) <= 0:
        raise ValueError(
            f"kernel must be positive semidefinite, got eigenvalues from {S[0]:.3g} to {S[-1]:.3g}"
        )
    keep = ROUNDING * len(x) * S[-1] < S
    S, U = S[keep], U[:, keep]
    fit = fit_linear(
        U * S.sqrt(),
        y,
        loss=loss,
        penalty=penalty,
        intercept=intercept,
        tolerance=tolerance,
        max_steps=max_steps,
    )
    alpha = U @ (fit.weights / S.sqrt())
    return KernelFit(alpha, fit.intercept, fit.value, fit.residual, fit.steps, fit.converged, x, kernel)


def _pair(x: Any, z: Any) -> tuple[Tensor, Tensor]:
    x, z = matrix("x", x), matrix("z", z)
    if x.shape[1] != z.shape[1]:
        raise ValueError(f"z must have {x.shape[1]} features like x, got {z.shape[1]}")
    dtype = torch.promote_types(x.dtype, z.dtype)
    return x.to(dtype), z.to(x.device, dtype)
