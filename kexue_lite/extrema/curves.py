"""Exact answers to measure against: the cycloid, the catenary and the catenoid, each one number to be solved
for.

Source of the problems: Su Jianlin, articles 1107 (brachistochrone) and 1128 (catenary) of kexue.fm; the
catenoid is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq


@dataclass(frozen=True)
class Cycloid:
    """x = r(θ − sin θ), y = r(1 − cos θ) for 0 ≤ θ ≤ `angle`, y downwards; `time` is T√g."""

    radius: float
    angle: float
    time: float

    def point(self, theta: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """x and y at the angles θ, in the shape of `theta`."""
        t = np.asarray(theta, dtype=float)
        return self.radius * (t - np.sin(t)), self.radius * (1 - np.cos(t))

    def height(self, x: ArrayLike) -> np.ndarray:
        """y at the abscissas x, by inverting x(θ) to 1e-14; ValueError outside the arch, 0 ≤ x ≤ 2πr."""
        wanted = np.asarray(x, dtype=float)
        arch = self.point(2 * math.pi)[0]
        if not ((wanted >= 0) & (wanted <= arch)).all():  # NaN is not
            raise ValueError(f"x must lie on the arch, from 0 to {arch:.6g}, got {wanted}")
        theta = [brentq(lambda t, w=w: self.point(t)[0] - w, 0, 2 * math.pi, xtol=1e-14) for w in wanted.flat]
        return self.point(np.reshape(theta, wanted.shape))[1]


def brachistochrone(width: float, drop: float) -> Cycloid:
    """The curve of fastest descent from rest at (0, 0) to (`width`, `drop`), y downwards.

    Its end fixes θ by (θ − sin θ)/(1 − cos θ) = width/drop; then r follows, and T√g = θ√r.

    Parameters
    ----------
    width
        Positive, in any unit of length.
    drop
        At least 0, in the same unit; 0 gives a whole arch.

    Raises
    ------
    TypeError
        If one is no number.
    ValueError
        If `width` is not positive or `drop` negative (a bead at rest does not climb), one is not finite, or
        `width` is below 1e-100 of the drop.

    See Also
    --------
    Chapter 1, section 1.5.

    Examples
    --------
    >>> round(brachistochrone(math.pi, 2).time, 9), round(brachistochrone(1, 1).time, 9)
    (3.141592654, 1.825682189)
    """
    width, drop = _positive("width", width), _number("drop", drop)
    if drop < 0:
        raise ValueError(
            f"drop must be at least 0 (a bead that starts at rest cannot end higher), got {drop}"
        )
    if width < 1e-100 * drop:
        raise ValueError(f"width must be at least 1e-100 of the drop, got {width} and {drop}")
    if drop < 1e-30 * width:  # to the last bit a whole arch
        angle = 2 * math.pi
    else:
        ratio = width / drop

        def miss(t: float) -> float:
            return _less_sine(t) - ratio * 2 * math.sin(t / 2) ** 2

        # The ratio is θ/3 + O(θ³) and grows faster than that: θ lies below 3 width/drop.
        angle = brentq(miss, min(1.0, ratio), min(3.001 * ratio, 2 * math.pi), xtol=1e-300, rtol=1e-15)
    radius = width / _less_sine(angle)
    return Cycloid(radius, angle, angle * math.sqrt(radius))


def _less_sine(t: float) -> float:
    """t − sin t; by its series where the difference would lose digits."""
    if abs(t) > 0.5:
        return t - math.sin(t)
    term = total = t**3 / 6
    for k in range(4, 20, 2):
        term *= -(t**2) / (k * (k + 1))
        total += term
    return total


@dataclass(frozen=True)
class Catenary:
    """y = a cosh(x/a) − a cosh(span/2a) for |x| ≤ span/2: it hangs from two nails at height 0."""

    a: float
    span: float
    length: float

    def height(self, x: ArrayLike) -> np.ndarray:
        """y at the abscissas x, measured from the middle."""
        return self.a * (np.cosh(np.asarray(x, dtype=float) / self.a) - math.cosh(self.span / 2 / self.a))

    @property
    def energy(self) -> float:
        """∫ y ds: the potential energy for a weight of one per length, from the nails."""
        b, h = self.span / 2, math.cosh(self.span / 2 / self.a)
        return self.a * (b + self.a / 2 * math.sinh(2 * b / self.a)) - self.a * h * self.length


def catenary(span: float, length: float) -> Catenary:
    """The shape of a chain of a given length between two nails of equal height: 2a sinh(span/2a) = length.

    Parameters
    ----------
    span, length
        Positive, in the same unit, with length > span.

    Raises
    ------
    ValueError
        If the chain is not longer than the span, or a value is not positive and finite.

    See Also
    --------
    Chapter 1, section 1.6.

    Examples
    --------
    >>> round(catenary(2, 3).a, 10)
    0.6164729395
    """
    span, length = _positive("span", span), _positive("length", length)
    if length <= span:
        raise ValueError(
            f"length must exceed the span, got a chain of {length} for a span of {span}: it cannot reach"
        )
    ratio = length / span

    def miss(u: float) -> float:  # u = span / 2a
        return math.sinh(u) / u - ratio if u < 30 else u - math.log(2 * u) - math.log(ratio)

    u = brentq(miss, 1e-9, 2 * math.log(2 * ratio) + 3, xtol=1e-15)
    return Catenary(span / 2 / u, span, length)


@dataclass(frozen=True)
class Catenoid:
    """Soap films y = a cosh(x/a) between two rings: their necks (widest first), areas, and the two discs'
    area."""

    necks: tuple[float, ...]
    areas: tuple[float, ...]
    discs: float


def catenoid(half_distance: float, *, radius: float = 1.0) -> Catenoid:
    """The soap films that can span two equal coaxial rings: a cosh(h/a) = R has two solutions, one or none.

    The area of one is π(2ah + a² sinh(2h/a)); two flat discs have 2πR².

    Parameters
    ----------
    half_distance
        h, half the distance of the rings; positive.
    radius
        R, in the same unit.

    Returns
    -------
    Catenoid
        With two necks for h/R below 0.6627434193 (the wide one is the stable film), none above.

    Raises
    ------
    ValueError
        If a value is not positive and finite.

    See Also
    --------
    Chapter 1, section 1.10.

    Examples
    --------
    >>> [round(a, 10) for a in catenoid(0.5).necks], catenoid(0.7).necks
    ([0.8483379381, 0.2350949902], ())
    """
    h, R = _positive("half_distance", half_distance), _positive("radius", radius)
    # With u = h/a the equation is cosh(u)/u = R/h; the left side is least where u tanh u = 1.
    best = brentq(lambda u: u * math.tanh(u) - 1, 1, 2, xtol=1e-15)
    gap = math.cosh(best) / best - R / h
    if gap > 0:
        return Catenoid((), (), 2 * math.pi * R**2)

    def miss(u: float) -> float:
        return math.cosh(u) - u * R / h if u < 30 else u - math.log(2 * u) - math.log(R / h)

    roots = [brentq(miss, 0, best, xtol=1e-15), brentq(miss, best, 2 * math.log(2 * R / h) + 3, xtol=1e-15)]
    necks = tuple(h / u for u in roots)
    areas = tuple(math.pi * (2 * a * h + a**2 * math.sinh(2 * h / a)) for a in necks)
    return Catenoid(necks, areas, 2 * math.pi * R**2)


def _number(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}") from error
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    return number


def _positive(name: str, value: float) -> float:
    number = _number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return number
