"""What the class key changes in assignment 7, and the numbers of the visible examples."""

import itertools
import math
import random as random_module
from collections.abc import Sequence
from functools import partial

import numpy as np

from classroom.variants import drawn, rounded

Array = np.ndarray


def variant(random: random_module.Random) -> dict[str, object]:
    """Each key may stand in a cell as ``{{key}}``."""
    values: dict[str, object] = {}
    for part in (_gather, _road, _chance, _best_noise, _build, _strides, _right_sigma, _stops):
        values |= drawn(partial(part, random), 1e-4)
    return values


def _named(prefix: str, values: dict[str, object]) -> dict[str, object]:
    return {f"{prefix}__{name}": rounded(value) for name, value in values.items()}


def _steps(random: random_module.Random, steps: int) -> tuple[list[float], list[float]]:
    """Factors of some steps, none of them with squares that add up to 1."""
    a = random.sample([0.6, 0.7, 0.8, 0.9, 1.1, 1.2], steps)
    return a, random.sample([0.2, 0.3, 0.4, 0.5, 0.7], steps)


def _all(a: Sequence[float], b: Sequence[float]) -> tuple[list[float], list[float]]:
    """Factors of the picture and of the noise at t = 0, ..., T: brick by brick."""
    keep, noise = [1.0], [0.0]
    for t in range(1, len(a) + 1):
        keep.append(math.prod(a[:t]))
        parts = [math.prod(a[j:t]) * b[j - 1] for j in range(1, t + 1)]
        noise.append(math.sqrt(sum(part * part for part in parts)))
    return keep, noise


# One noise, with a drift -----------------------------------------------------------------------------------


def _gather(random: random_module.Random) -> dict[str, object]:
    drift = random.choice([0.1, 0.2, -0.1, -0.3, 0.4])
    a, b = _steps(random, 4)
    keep, noise = _all(a, b)
    shift = [0.0]
    for t in range(4):
        shift.append(a[t] * shift[-1] + drift)
    late = [0.0]
    for t in range(4):
        late.append(a[t] * (late[-1] + drift))
    plain = [math.sqrt(sum(v * v for v in b[:t])) for t in range(5)]
    linear = [sum(math.prod(a[j:t]) * b[j - 1] for j in range(1, t + 1)) for t in range(5)]
    shifted = [
        math.sqrt(sum((math.prod(a[j - 1 : t]) * b[j - 1]) ** 2 for j in range(1, t + 1))) for t in range(5)
    ]
    return {
        "drift": drift,
        "gather_a": a,
        "gather_b": b,
        **_named("keep", {"right": keep, "last": [1.0, *a], "square": np.square(keep)}),
        **_named(
            "shift",
            {"right": shift, "sum": drift * np.arange(5), "late": late, "kept": drift * np.array(keep)},
        ),
        **_named(
            "noise",
            {
                "right": noise,
                "square": np.square(noise),
                "plain": plain,
                "linear": linear,
                "one": np.sqrt(np.abs(1 - np.square(keep))),
                "late": shifted,
                "product": [0.0, *np.cumprod(b)],
            },
        ),
    }


# A road of one's own ---------------------------------------------------------------------------------------


def _road(random: random_module.Random) -> dict[str, object]:
    power, left, T = random.choice([0.5, 1.5, 2, 3]), random.choice([0.002, 0.003, 0.005, 0.02]), 6

    def bent(power: float, left: float, shape: Array | None = None) -> Array:
        rise = (np.arange(1, T + 1) / T) ** power if shape is None else shape
        low, high = 0.0, 1.0 / rise.max()
        for _ in range(200):
            c = (low + high) / 2
            low, high = (c, high) if np.prod(1 - c * rise) > left else (low, c)
        return np.asarray(c * rise)

    rise = (np.arange(1, T + 1) / T) ** power
    right = bent(power, left)
    return {
        "power": power,
        "left": left,
        "road_T": T,
        **_named(
            "road",
            {
                "right": right,
                "root": np.sqrt(right),
                "squared": bent(power, left**2),
                "sum": -math.log(left) / rise.sum() * rise,
                "straight": bent(1, left),
                "early": bent(power, left, (np.arange(T) / T) ** power),
                "kept": 1 - right,
                "back": right[::-1],
                "chapter": 0.02 * 1000 / T * rise,
                "beta": bent(2 * power, left),
            },
        ),
    }


# Chance in the last bricks ---------------------------------------------------------------------------------


def _chance(random: random_module.Random) -> dict[str, object]:
    T, k = 4, random.choice([2, 3])
    a, b = _steps(random, T)
    _, noise = _all(a, b)

    def early(k: int, weigh: bool = True) -> float:
        parts = [((math.prod(a[j:]) if weigh else 1.0) * b[j - 1]) ** 2 for j in range(1, T + 1)]
        return sum(parts[: T - k]) / sum(parts)

    right = early(k)
    unit = [math.sqrt(1 - v * v) for v in b]
    _, of_unit = _all(unit, b)
    return {
        "chance_a": a,
        "chance_b": b,
        "chance_k": k,
        **_named(
            "chance",
            {
                "right": right,
                "known": 1 - right,
                "one": early(1),
                "more": early(k + 1) if k + 1 < T else -7.0,
                "fewer": early(k - 1) if k > 2 else -9.0,
                "bare": early(k, weigh=False),
                "still": (noise[T - k] / noise[T]) ** 2,
                "root": math.sqrt(right),
                "single": 1 - (math.prod(a[T - k + 1 :]) * b[T - k]) ** 2 / noise[T] ** 2,
                "unit": (math.prod(unit[T - k :]) * of_unit[T - k] / of_unit[T]) ** 2,
                "unit_one": (unit[-1] * of_unit[T - 1] / of_unit[T]) ** 2,
            },
        ),
    }


# The best noise for a few points ---------------------------------------------------------------------------


def _best_noise(random: random_module.Random) -> dict[str, object]:
    points = np.array([[random.randint(-2, 2) for _ in range(2)] for _ in range(3)], float)
    parts = random.sample([1, 2, 3, 5, 8], 3)
    chances = np.array(parts) / sum(parts)
    spreads = np.array(random.sample([0.3, 0.5, 0.8, 1.2, 1.5], 3))
    keep, noise = random.choice([0.6, 0.7, 0.9, 1.2]), random.choice([0.7, 0.8, 1.1])
    x = np.array([[random.randint(-3, 3) / 2 for _ in range(2)] for _ in range(2)])
    wide = keep**2 * spreads**2 + noise**2
    apart = x[:, None] - keep * points

    def weights(
        chances: Array = chances,
        v: Array = wide,
        half: float = 0.5,
        norm: float = 1.0,
        keep_in: float = keep,
        root: bool = False,
    ) -> Array:
        square = ((x[:, None] - keep_in * points) ** 2).sum(2)
        if root:
            square = np.sqrt(square)
        return np.asarray(chances * v**-norm * np.exp(-half * square / v))

    def of(weight: Array, v: Array = wide) -> Array:
        weight = weight / weight.sum(1, keepdims=True)
        return np.asarray(noise * (weight[:, :, None] * apart / v[:, None]).sum(1))

    right, weight = of(weights()), weights()
    narrow = np.full(3, noise**2)
    wrong_v, raw_v, unkept_v = (
        keep**2 * spreads + noise**2,
        (keep * spreads + noise) ** 2,
        spreads**2 + noise**2,
    )
    return {
        "best_x": x.tolist(),
        "best_points": points.tolist(),
        "best_spreads": spreads.tolist(),
        "best_chances": rounded(chances),
        "best_keep": keep,
        "best_noise": noise,
        **_named(
            "best",
            {
                "right": right,
                "even": of(weights(chances=np.ones(3))),
                "picture": (x - noise * right) / keep,
                "sign": -right,
                "unkept": of(weights(keep_in=1.0)),
                "high": of(weights(norm=0.0)),
                "line": of(weights(norm=0.5)),
                "half": of(weights(half=1.0)),
                "root": of(weights(root=True)),
                "points": of(weights(v=narrow), narrow),
                "deviation": of(weights(v=wrong_v), wrong_v),
                "summed": of(weights(v=raw_v), raw_v),
                "grown": of(weights(v=unkept_v), unkept_v),
                "nearest": of(np.eye(3)[weight.argmax(1)]),
                "middle": of(np.tile(chances, (2, 1))),
                "axis": noise * ((weight / weight.sum(0))[:, :, None] * apart / wide[:, None]).sum(1),
                "undivided": right / noise,
                "score": -right / noise,
            },
        ),
    }


# Building up -----------------------------------------------------------------------------------------------


def _build(random: random_module.Random) -> dict[str, object]:
    mix, T = random.choice([0.2, 0.25, 0.4, 0.75]), 3
    a, b = _steps(random, T)
    keep, noise = _all(a, b)
    mean, s2 = random.choice([-2.0, -1.0, 1.5, 2.0]), random.choice([0.25, 0.5, 1.5, 2.0])
    start = [random.choice([-1.5, -0.5]), random.choice([0.5, 1.0, 2.0])]
    zs = [[random.choice([-1, 1]) * random.choice([0.5, 1.0, 1.5, 2.0]) for _ in range(2)] for _ in range(T)]

    def walk(kind: str = "", mix: float = mix) -> Array:
        x = np.array(start)
        times = range(1, T + 1) if kind == "up" else range(T, 0, -1)
        for t in times:
            spread = keep[t] ** 2 * s2 + noise[t] ** 2
            if kind == "deviation":
                spread = keep[t] ** 2 * s2**2 + noise[t] ** 2
            centre = 0.0 if kind == "mean" else mean if kind == "unkept" else keep[t] * mean
            eps = noise[t] * (x - centre) / spread
            brick = b[t - 1] if kind == "brick" else b[t - 1] ** 2 / noise[t]
            x = (x - brick * eps) / (1.0 if kind == "undivided" else a[t - 1])
            posterior = b[t - 1] * noise[t - 1] / noise[t]
            sigma = math.sqrt(mix * b[t - 1] ** 2 + (1 - mix) * posterior**2)
            if kind == "mixed":
                sigma = mix * b[t - 1] + (1 - mix) * posterior
            if kind == "variance":
                sigma = sigma**2
            if kind != "none" and (t > 1 or kind == "last"):
                x = x + sigma * np.array(
                    zs[T - t if kind == "reversed" else t % T if kind == "next" else t - 1]
                )
        return x

    return {
        "mix": mix,
        "build_a": a,
        "build_b": b,
        "build_mean": mean,
        "build_s2": s2,
        "build_x": start,
        "build_z": zs,
        **_named(
            "build",
            {
                "right": walk(),
                **{
                    kind: walk(kind)
                    for kind in (
                        "up",
                        "mean",
                        "unkept",
                        "brick",
                        "undivided",
                        "mixed",
                        "variance",
                        "none",
                        "last",
                    )
                },
                **{kind: walk(kind) for kind in ("reversed", "next", "deviation")},
                "upper": walk(mix=1.0),
                "lower": walk(mix=0.0),
                "other": walk(mix=1 - mix),
            },
        ),
    }


# Long strides ----------------------------------------------------------------------------------------------


def _strides(random: random_module.Random) -> dict[str, object]:
    a, b = _steps(random, 5)
    keep, noise = _all(a, b)
    kept = random.choice([[1, 3, 5], [2, 3, 5], [2, 4, 5], [1, 4, 5]])
    pairs = list(itertools.pairwise([0, *kept]))
    right_a = [keep[t] / keep[s] for s, t in pairs]
    square = [sum((math.prod(a[j:t]) * b[j - 1]) ** 2 for j in range(s + 1, t + 1)) for s, t in pairs]
    return {
        "strides_keep": rounded(keep),
        "strides_noise": rounded(noise),
        "strides_kept": kept,
        **_named(
            "stride_a",
            {
                "right": right_a,
                "all": [keep[t] for t in kept],
                "less": [keep[t] - keep[s] for s, t in pairs],
                "turned": [keep[s] / keep[t] for s, t in pairs],
                "picked": [a[t - 1] for t in kept],
            },
        ),
        **_named(
            "stride_b",
            {
                "right": np.sqrt(square),
                "square": square,
                "unweighted": [math.sqrt(abs(noise[t] ** 2 - noise[s] ** 2)) for s, t in pairs],
                "less": [noise[t] - noise[s] for s, t in pairs],
                "one": [math.sqrt(abs(1 - v * v)) for v in right_a],
                "single": [
                    math.sqrt(abs(noise[t] ** 2 - v * noise[s] ** 2))
                    for (s, t), v in zip(pairs, right_a, strict=True)
                ],
                "all": [noise[t] for t in kept],
            },
        ),
    }


# The right width of a step ---------------------------------------------------------------------------------


def _right_sigma(random: random_module.Random) -> dict[str, object]:
    a, b = _steps(random, 4)
    keep, noise = _all(a, b)
    s2 = random.choice([0.25, 0.5, 2.0, 3.0])

    def sigma(s2: float) -> Array:
        spread = [k * k * s2 + n * n for k, n in zip(keep, noise, strict=True)]
        return np.array([b[t - 1] * math.sqrt(spread[t - 1] / spread[t]) for t in range(1, 5)])

    right = sigma(s2)
    turned = np.square(b) / right
    return {
        "sigma_a": a,
        "sigma_b": b,
        "sigma_s2": s2,
        **_named(
            "sigma",
            {
                "right": right,
                "square": right**2,
                "posterior": sigma(0.0),
                "beta": b,
                "turned": turned,
                "unit": sigma(1.0),
                "deviation": sigma(s2**2),
                "quiet": [0.0, *right[1:]],
                "back": right[::-1],
                "ratio": np.square(right) / b,
            },
        ),
    }


# The best stops --------------------------------------------------------------------------------------------


def _stops(random: random_module.Random) -> dict[str, object]:
    left, s2, K = (
        random.choice([0.01, 0.02, 0.05]),
        random.choice([0.25, 0.5, 2.0, 4.0]),
        random.choice([3, 4, 5]),
    )

    def fan(s2: float, even: str = "angle") -> Array:
        end = math.atan2(math.sqrt(1 - left), math.sqrt(s2 * left))
        if even == "share":
            return np.linspace(left, 1, K + 1)
        if even == "root":
            return np.linspace(math.sqrt(left), 1, K + 1) ** 2
        if even == "log":
            return np.geomspace(left, 1, K + 1)
        angle = np.linspace(end, 0, K + 1)
        return np.asarray(1 / (1 + s2 * np.tan(angle) ** 2))

    end = math.atan2(math.sqrt(1 - left), math.sqrt(s2 * left))
    bad = math.atan2(math.sqrt(1 - left), s2 * math.sqrt(left))
    right = math.cos(end / K) ** (2 * K)
    unit = math.atan2(math.sqrt(1 - left), math.sqrt(left))
    return {
        "stops_left": left,
        "stops_s2": s2,
        "stops_K": K,
        **_named(
            "stops",
            {
                "right": fan(s2),
                "share": fan(s2, "share"),
                "root": fan(s2, "root"),
                "log": fan(s2, "log"),
                "unit": fan(1.0),
                "deviation": 1 / (1 + s2**2 * np.tan(np.linspace(bad, 0, K + 1)) ** 2),
                "back": fan(s2)[::-1],
                "sqrt": np.sqrt(fan(s2)),
                "noise": 1 - fan(s2),
            },
        ),
        **_named(
            "returned",
            {
                "right": right,
                "root": math.sqrt(right),
                "times": right * s2,
                "lost": 1 - right,
                "unit": math.cos(unit / K) ** (2 * K),
                "one": math.cos(end / K) ** 2,
            },
        ),
    }
