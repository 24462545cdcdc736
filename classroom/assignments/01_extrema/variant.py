"""What the class key changes in assignment 1, and the numbers of the visible examples."""

import cmath
import itertools
import math
import operator
import random as random_module
from collections.abc import Sequence

import numpy as np

Point = Sequence[float]
Knot = tuple[list[list[int]], list[int], list[int]]  # corners, weights, wind
Wiggle = tuple[list[int], list[int], float]  # P on the pieces, Q at the corners, the step


def variant(random: random_module.Random) -> dict[str, object]:
    """Each key may stand in a cell as ``{{key}}``."""
    values: dict[str, object] = {"kappa": random.choice(["1", "3/2", "2", "5/2"])}
    for part in (_layers, _knots, _mirror, _tent, _beads, _wiggles, _spring):
        values |= part(random)
    return values


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(v), 9) + 0.0 for v in values]


def _lines(values: Sequence[object]) -> str:
    """A list with a line for each value."""
    return "[\n" + "".join(f"    {value},\n" for value in values) + "]"


# Light in layers -------------------------------------------------------------------------------------------


def _widths(depths: Sequence[float], indices: Sequence[float], width: float) -> list[float]:
    """Bisection on the sine times n, which is the same in all layers."""
    low, high = 0.0, min(indices)
    for _ in range(200):
        sine = (low + high) / 2
        parts = [d * sine / math.sqrt(n * n - sine * sine) for d, n in zip(depths, indices, strict=True)]
        low, high = (sine, high) if sum(parts) < width else (low, sine)
    return parts


def _layers(random: random_module.Random) -> dict[str, object]:
    depths = random.choice([[1, 2], [2, 1], [1, 3], [3, 2]])
    indices = [1.0, random.choice([1.3, 1.4, 1.6, 1.7, 1.8])]
    width = random.choice([2, 3, 4])
    shares = [d / n for d, n in zip(depths, indices, strict=True)]
    right = _widths(depths, indices, width)
    return {
        "depths": depths,
        "indices": indices,
        "width": width,
        "layers_right": _rounded(right),
        "layers_straight": _rounded([width * d / sum(depths) for d in depths]),
        "layers_inverted": _rounded(_widths(depths, [1 / n for n in indices], width)),
        "layers_tangents": _rounded([width * s / sum(shares) for s in shares]),
        "layers_summed": _rounded([right[0], width]),
    }


# Three threads and a wind ----------------------------------------------------------------------------------


def _excess(knot: Knot, i: int, unit: bool = True, wind: int = 1, weighted: bool = True) -> float:
    """By how much the other pulls at corner i exceed its own thread."""
    corners, weights, blow = knot
    force = [wind * blow[0] + 0.0, wind * blow[1] + 0.0]
    for j, corner in enumerate(corners):
        if j != i:
            away = [corner[0] - corners[i][0], corner[1] - corners[i][1]]
            size = (weights[j] if weighted else 1) / (math.hypot(*away) if unit else 1)
            force = [force[0] + size * away[0], force[1] + size * away[1]]
    return math.hypot(*force) - weights[i]


def _winners(knots: list[Knot], unit: bool = True, wind: int = 1, weighted: bool = True) -> list[int]:
    return [
        next((i for i in range(len(knot[0])) if _excess(knot, i, unit, wind, weighted) <= 0), -1)
        for knot in knots
    ]


def _best_corner(knot: Knot) -> int:
    corners, weights, blow = knot

    def cost(i: int) -> float:
        here = corners[i]
        lengths = [math.hypot(p[0] - here[0], p[1] - here[1]) for p in corners]
        return sum(map(operator.mul, weights, lengths)) - blow[0] * here[0] - blow[1] * here[1]

    return min(range(len(corners)), key=cost)


def _knots(random: random_module.Random) -> dict[str, object]:
    while True:
        knots: list[Knot] = []
        while len(knots) < 5:
            corners = [[random.randint(-4, 4), random.randint(-4, 4)] for _ in range(3)]
            (a, b), (c, d), (e, f) = corners
            if abs((c - a) * (f - b) - (e - a) * (d - b)) < 4:
                continue
            weights = [random.randint(2, 6) for _ in range(3)]
            knot = (corners, weights, [random.randint(-4, 4), random.randint(-4, 4)])
            safe = all(abs(_excess(knot, i)) > 0.1 for i in range(3))
            if safe and math.hypot(*knot[2]) < sum(weights) - 0.5:
                knots.append(knot)
        right = _winners(knots)
        slips = {
            "still": _winners(knots, wind=0),
            "against": _winners(knots, wind=-1),
            "long": _winners(knots, unit=False),
            "equal": _winners(knots, weighted=False),
            "heavy": [next((i for i in range(3) if 2 * k[i] >= sum(k)), -1) for _, k, _ in knots],
            "heaviest": [i if _excess(k, i) <= 0 else -1 for k in knots for i in [k[1].index(max(k[1]))]],
            "corner": [_best_corner(knot) for knot in knots],
            "from_one": [i + 1 if i >= 0 else i for i in right],
        }
        everything = [tuple(right), *map(tuple, slips.values())]
        mixed = all(len(set(answers)) > 1 for answers in everything)
        if mixed and len(set(everything)) == len(everything) and -1 in right and len(set(right)) >= 3:
            names = {f"winner_{name}": wrong for name, wrong in slips.items()}
            return {"knots": _lines(knots), "winner_right": right, **names}


# A functional with a mirror --------------------------------------------------------------------------------


def _mirror(random: random_module.Random) -> dict[str, object]:
    mass, power = random.choice([2, 3, 5, 7]), random.choice([3, 4, 5])
    weight = [random.choice([3, 5]), random.choice([3, 5, 7]), random.randint(2, 4)]
    x, y, m, a = 2, 6, 5, 11
    w, even = weight[0] + weight[1] * x + weight[2] * x * x, weight[0] + weight[2] * x * x
    force = power * y ** (power - 1)
    return {
        "mass": mass,
        "power": power,
        "weight": weight,
        "point": {"x": x, "y": y, "m": m, "v": 7, "a": a},
        "bracket_right": 2 * even * m + force - mass * a,
        "bracket_half": w * m + force - mass * a,
        "bracket_twice": 2 * w * m + force - mass * a,
        "bracket_sign": 2 * even * m + force + mass * a,
        "bracket_massless": 2 * even * m + force - a,
        "bracket_force": 2 * even * m + y**power - mass * a,
    }


# A tent ----------------------------------------------------------------------------------------------------


def _cloth(tension: float, span: float, spring: float, height: float, area: float) -> tuple[float, float]:
    """(multiplier, slope at the ground): two linear equations, solved by Cramer's rule."""
    a, b, e = span + spring * span**2 / (2 * tension), tension + spring * span, spring * height
    c, d = span**3 / (6 * tension), span**2 / 2
    return (e * d - b * area) / (a * d - b * c), (a * area - c * e) / (a * d - b * c)


def _tent(random: random_module.Random) -> dict[str, object]:
    tension, span = random.choice([3, 4, 5]), random.choice([2, 3, 4])
    spring, height = random.choice([1, 2]), random.choice([2, 3])
    area = span * height * random.choice([1, 2])
    x = [0, span / 4, span / 2, span]

    def heights(multiplier: float, slope: float) -> list[float]:
        return _rounded([multiplier * u * u / (2 * tension) + slope * u for u in x])

    right = _cloth(tension, span, spring, height, area)
    straight = spring * height / (tension + spring * span)
    pinned = _cloth(tension, span, 1e15, height, area)
    return {
        "tension": tension,
        "span": span,
        "spring": spring,
        "height": height,
        "area": area,
        "tent_x": x,
        "tent_right": heights(*right),
        "tent_multiplier": round(right[0], 9),
        "tent_sign": round(-right[0], 9),
        "tent_half": round(right[0] / 2, 9),
        "tent_straight": heights(0.0, straight),
        "tent_pinned": heights(*pinned),
        "tent_free": heights(*_cloth(tension, span, 0.0, height, area)),
        "tent_pushed": heights(*_cloth(tension, span, -spring, height, area)),
    }


# Beads on a polygon ----------------------------------------------------------------------------------------


def _duration(
    x: Sequence[complex], y: Sequence[complex], gravity: float, start: float, frozen: Sequence[complex]
) -> complex:
    """Time on the polygon, speeds taken at the heights ``frozen``."""
    v = [cmath.sqrt(start * start + 2 * gravity * h) for h in frozen]
    lengths = [cmath.sqrt((x[i + 1] - x[i]) ** 2 + (y[i + 1] - y[i]) ** 2) for i in range(len(x) - 1)]
    return sum((2 * length / (v[i] + v[i + 1]) for i, length in enumerate(lengths)), 0j)


def _beads(random: random_module.Random) -> dict[str, object]:
    gravity, start = random.choice([1.6, 3.7, 8.9, 9.8]), random.choice([0.5, 1.5, 2.0, 2.5])
    x = [0, 1, 3, 4]
    y = [0, random.choice([1, 2]), random.choice([3, 4]), random.choice([2, 5])]

    def gradient(speed: float, moved: Sequence[int] = (0, 1), piece: slice = slice(None)) -> list[float]:
        out = []
        for i in (1, 2):
            road, heights = [complex(h) for h in y], [complex(h) for h in y]
            for target, name in ((road, 0), (heights, 1)):
                if name in moved:
                    target[i] += 1e-30j
            part = slice(i - 1, i + 1) if piece == slice(0, 1) else slice(None)
            xs = [complex(u) for u in x]
            out.append(_duration(xs[part], road[part], gravity, speed, heights[part]).imag / 1e-30)
        return _rounded(out)

    right = gradient(start)
    return {
        "gravity": gravity,
        "start_speed": start,
        "beads_x": x,
        "beads_y": y,
        "beads_right": right,
        "beads_frozen": gradient(start, moved=(0,)),
        "beads_speeds": gradient(start, moved=(1,)),
        "beads_left": gradient(start, piece=slice(0, 1)),
        "beads_rest": gradient(0.0),
        "beads_sign": [-v for v in right],
    }


# Directions in which the value falls -----------------------------------------------------------------------


def _matrix(wiggle: Wiggle, half: float = 0.5, flat: bool = False) -> np.ndarray:
    """The quadratic form on all corners, both ends included."""
    P, Q, step = wiggle
    h = 1.0 if flat else step
    form = np.zeros((len(Q), len(Q)))
    for i, p in enumerate(P):
        form[i : i + 2, i : i + 2] += p / h * np.array([[1.0, -1.0], [-1.0, 1.0]])
    for i, q in enumerate(Q):
        form[i, i] += q * h * (half if i in (0, len(Q) - 1) else 1.0)
    return form


def _negative(form: np.ndarray) -> int:
    return int((np.linalg.eigvalsh(form) < 0).sum())


def _wiggles(random: random_module.Random) -> dict[str, object]:
    free = random.choice(["left", "right"])
    keep, other = (slice(None, -1), slice(1, None)) if free == "left" else (slice(1, None), slice(None, -1))
    inner = slice(1, -1)
    while True:
        wiggles: list[Wiggle] = []
        while len(wiggles) < 6:
            pieces = random.randint(2, 4)
            P = [random.randint(1, 6) for _ in range(pieces)]
            Q = [random.randint(-40, 4) for _ in range(pieces + 1)]
            wiggle = (P, Q, random.choice([0.25, 0.5, 2.0]))
            if np.abs(np.linalg.eigvalsh(_matrix(wiggle)[keep, keep])).min() > 0.2:
                wiggles.append(wiggle)
        right = [_negative(_matrix(w)[keep, keep]) for w in wiggles]
        slips = {
            "held": [_negative(_matrix(w)[inner, inner]) for w in wiggles],
            "other": [_negative(_matrix(w)[other, other]) for w in wiggles],
            "both": [_negative(_matrix(w)) for w in wiggles],
            "whole": [_negative(_matrix(w, half=1.0)[keep, keep]) for w in wiggles],
            "flat": [_negative(_matrix(w, flat=True)[keep, keep]) for w in wiggles],
            "rising": [len(w[0]) - n for w, n in zip(wiggles, right, strict=True)],
        }
        everything = [right, *slips.values()]
        if all(a != b for a, b in itertools.combinations(everything, 2)):
            names = {f"falling_{name}": wrong for name, wrong in slips.items()}
            held = "right" if free == "left" else "left"
            return {"free": free, "held": held, "wiggles": _lines(wiggles), "falling_right": right, **names}


# The spring with a loose end -------------------------------------------------------------------------------


def _spring(random: random_module.Random) -> dict[str, object]:
    omega = random.choice([0.5, 1.5, 2.0, 2.5, 3.0])
    firm, shaky = random.choice([0.6, 0.8, 1.7]), random.choice([0.4, 0.7, 1.9])
    pair = [round(omega * firm, 3), round(-omega * shaky, 3)]

    def first(s: float) -> float:
        """Where ω cos ωt + s sin ωt, which begins positive, is zero first."""

        def miss(t: float) -> float:
            return omega * math.cos(omega * t) + s * math.sin(omega * t)

        step = 1e-3 / omega
        low = next(i for i in range(1, 100_000) if miss((i + 1) * step) <= 0) * step
        high = low + step
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if miss(middle) > 0 else (low, middle)
        return low

    right = [first(s) for s in pair]
    return {
        "omega": omega,
        "stiffness": pair,
        "longest_right": _rounded(right),
        "longest_held": _rounded([math.pi / omega] * 2),
        "longest_loose": _rounded([math.pi / 2 / omega] * 2),
        "longest_reversed": _rounded([first(-s) for s in pair]),
        "longest_branch": _rounded([math.atan(-omega / s) / omega for s in pair]),
        "longest_shifted": _rounded([(math.pi + math.atan(-omega / s)) / omega for s in pair]),
        "longest_angle": _rounded([t * omega for t in right]),
    }
