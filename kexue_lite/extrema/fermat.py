"""The point with the smallest weighted sum of distances: k₁AP + k₂BP + k₃CP + … least.

Hang weights over the edge of a table by threads tied in one knot: the knot rests where the pulls balance,
Σ kᵢ uᵢ = 0 with unit vectors uᵢ towards the points, or it jams in one of the holes. Both cases are answers.
Source: Su Jianlin, article 1076 of kexue.fm (three points, both pulls and light; not the jammed knot).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def fermat_point(points: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    r"""The point x that minimises :math:`f(x) = \sum_i k_i \lVert x - p_i \rVert` (the geometric median).

    A vertex is the answer exactly if the other pulls cannot lift the knot out of it,

    .. math:: \Big\lVert \sum_{j \ne i} k_j \frac{p_j - p_i}{\lVert p_j - p_i \rVert} \Big\rVert \le k_i ,

    which includes weights that break the triangle inequality and angles of 120° and more with equal weights.
    This is tried first, so a vertex is returned exactly. Elsewhere f is smooth, and Newton's method with a
    line search finds the only zero of its gradient.

    Parameters
    ----------
    points
        ``(n, d)``, n ≥ 1, any dimension d ≥ 1, in any unit. Equal points count as one with the sum of
        weights.
    weights
        ``(n,)``, at least one positive and none negative; all 1 if left out.

    Returns
    -------
    numpy.ndarray
        ``(d,)``. If the points lie on a line, the weighted median; where a whole segment is optimal (two
        equal weights, for one), its midpoint.

    Raises
    ------
    TypeError
        If something is no array of real numbers.
    ValueError
        If a shape is wrong, a value is NaN or infinite, a weight is negative, or all of them are 0.

    See Also
    --------
    fermat_residual : how well the pulls balance. Chapter 1, section 1.2.

    Examples
    --------
    >>> fermat_point([(0, 0), (4, 0), (0, 3)]).round(8)
    array([0.69578853, 0.75117611])
    >>> fermat_point([(0, 0), (4, 0), (0, 3)], weights=[1, 1, 5])
    array([0., 3.])
    """
    place, k = _merged(*_checked(points, weights))
    k = k / k.max()  # only their ratios matter
    if len(place) == 1:
        return place[0].copy()
    origin = place.mean(0)
    size = np.abs(place - origin).max()
    p = (place - origin) / size  # without a unit: tolerances are relative from here on
    median = _on_a_line(p, k)
    if median is not None:
        return _back(median, p, place, origin, size)
    for i in range(len(p)):
        if _excess(p[i], p, k) <= 1e-14 * k.sum():
            return place[i].copy()
    return origin + size * _newton(p, k)


def fermat_residual(point: ArrayLike, points: ArrayLike, weights: ArrayLike | None = None) -> float:
    """How far `point` is from balance: the norm of Σ kᵢ uᵢ, or in a vertex what of it exceeds the vertex's
    weight.

    Zero exactly at a minimum, since the sum of distances is convex.

    Parameters
    ----------
    point
        ``(d,)``.
    points, weights
        As for `fermat_point`.

    Returns
    -------
    float
        In the unit of the weights.

    Raises
    ------
    TypeError, ValueError
        As for `fermat_point`, or if `point` has another dimension.

    See Also
    --------
    Chapter 1, section 1.2.

    Examples
    --------
    >>> triangle = [(0, 0), (4, 0), (0, 3)]
    >>> fermat_residual(fermat_point(triangle), triangle) < 1e-12
    True
    >>> fermat_residual((0, 0), triangle, weights=[1.5, 1, 1])
    0.0
    """
    place, k = _merged(*_checked(points, weights))
    x = _numbers("point", point)
    if x.shape != place.shape[1:]:
        raise ValueError(f"point must have shape {place.shape[1:]}, got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("point must be finite, got NaN or infinity")
    return max(0.0, _excess(x, place, k))


def _excess(x: np.ndarray, p: np.ndarray, k: np.ndarray) -> float:
    """Norm of the pulls of all points but x itself, less the weight that sits at x."""
    away = p - x
    distance = np.linalg.norm(away, axis=1)
    here = distance == 0
    pull = (k[~here, None] * away[~here] / distance[~here, None]).sum(0)
    return float(np.linalg.norm(pull) - k[here].sum())


def _newton(p: np.ndarray, k: np.ndarray) -> np.ndarray:
    """The only stationary point of f, known not to be a vertex."""

    def f(x: np.ndarray) -> float:
        return float((k * np.linalg.norm(p - x, axis=1)).sum())

    # From the best vertex a step along its pull descends below every vertex, so no vertex is met again.
    x = p[min(range(len(p)), key=lambda i: f(p[i]))]
    away, distance = p - x, np.linalg.norm(p - x, axis=1)
    there = distance > 0
    pull = (k[there, None] * away[there] / distance[there, None]).sum(0)
    step, floor = distance[there].min() * pull / np.linalg.norm(pull), f(x)
    while f(x + step) >= floor:
        step = step / 2
        if (
            np.linalg.norm(step) < 1e-15
        ):  # the minimum and the vertex cannot be told apart in double precision
            return x
    x = x + step
    for _ in range(200):
        away, distance = p - x, np.linalg.norm(p - x, axis=1)
        unit = away / distance[:, None]
        gradient = -(k[:, None] * unit).sum(0)
        outer = np.eye(len(x)) - unit[:, :, None] * unit[:, None, :]
        hessian = ((k / distance)[:, None, None] * outer).sum(0)
        step = -np.linalg.solve(hessian, gradient)
        value, slope, t = f(x), float(gradient @ step), 1.0
        while t > 1e-12 and not f(x + t * step) <= value + 1e-4 * t * slope:
            t /= 2
        if np.linalg.norm(step) < 1e-6:  # so close, f no longer sees the difference but the gradient does
            t = 1.0
        x = x + t * step
        if np.linalg.norm(t * step) < 1e-15:
            break
    return x


def _on_a_line(p: np.ndarray, k: np.ndarray) -> np.ndarray | None:
    """The weighted median if all points lie on one line, else None."""
    _, singular, axes = np.linalg.svd(p - p[0], full_matrices=False)
    if len(singular) > 1 and singular[1] > 1e-12 * singular[0]:
        return None
    along = (p - p[0]) @ axes[0]
    order = np.argsort(along)
    below = np.cumsum(k[order])
    half = below[-1] / 2
    low = int(np.searchsorted(below, half * (1 - 1e-14)))
    high = low + 1 if abs(below[low] - half) <= 1e-14 * half and low + 1 < len(p) else low
    return (p[order[low]] + p[order[high]]) / 2


def _back(x: np.ndarray, p: np.ndarray, place: np.ndarray, origin: np.ndarray, size: float) -> np.ndarray:
    """In the caller's unit; a vertex is returned as it was given, to the last bit."""
    same = np.flatnonzero((p == x).all(1))
    return place[same[0]].copy() if len(same) else origin + size * x


def _merged(p: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, k = p[k > 0], k[k > 0]
    unique, index = np.unique(p, axis=0, return_inverse=True)
    return unique, np.bincount(index.ravel(), weights=k)


def _numbers(name: str, values: Any) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, on any device
        values = values.detach().cpu()
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of real numbers, got {values!r:.60}: {error}") from error


def _checked(points: ArrayLike, weights: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    place = _numbers("points", points)
    if place.ndim != 2 or place.size == 0:
        raise ValueError(f"points must have shape (n, d) with n and d at least 1, got {place.shape}")
    if not np.isfinite(place).all():
        raise ValueError("points must be finite, got NaN or infinity")
    k = np.ones(len(place)) if weights is None else _numbers("weights", weights)
    if k.shape != (len(place),):
        raise ValueError(f"weights must have shape ({len(place)},), one for each point, got {k.shape}")
    if not np.isfinite(k).all() or (k < 0).any():
        raise ValueError(f"weights must be finite and not negative, got {k.tolist()}")
    if not (k > 0).any():
        raise ValueError(
            "weights must have at least one above 0, got zeros only: then every point is as good"
        )
    return place, k
