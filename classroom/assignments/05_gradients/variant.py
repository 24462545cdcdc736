"""What the class key changes in assignment 5: the class's numbers, and the small worked examples.

The visible checks compare with literals. They are worked out here, the right ones and those of the usual
slips, so that no visible check holds a solution. The examples are drawn again until every slip can be told
from the right answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from classroom.variants import drawn, plain

Array = np.ndarray[Any, np.dtype[Any]]


def variant(random: random.Random) -> dict[str, object]:
    """The numbers of one class.

    >>> import random
    >>> sorted(variant(random.Random(0))) == sorted(variant(random.Random(1)))
    True
    """
    kappa = random.choice([0.25, 0.4, 0.75, 2])
    beta = random.choice([0.5, 0.6, 0.7, 0.8])
    q = random.choice([3, 4, 1.5])
    nu = random.choice([0.5, 2, 3])
    order = random.choice([1.5, 3, 5])
    gamma = random.choice([0.5, 2, 1.5])
    power = random.choice([1.5, 3, -2, 2.5])
    return {
        "kappa": kappa, "beta": beta, "q": q, "nu": nu, "order": order, "gamma": gamma, "power": power,
        **_clear(lambda: _scale(random, kappa)),
        **_clear(lambda: _walk(random, kappa, beta)),
        **_clear(lambda: _convert(random, q)),
        **_clear(lambda: _repaired(random, nu)),
        **_clear(lambda: _clip(random, order)),
        **_clear(lambda: _accumulate(random, gamma)),
        **_clear(lambda: _pace(random, power)),
        **_clear(lambda: _stretch(random)),
    }  # fmt: skip


def _clear(draw: Callable[[], dict[str, Any]]) -> dict[str, object]:
    """Draw until no slip gives what is right, or what another slip gives; then as text-ready lists."""
    return {name: plain(np.asarray(value), 10) for name, value in drawn(draw, 0.003).items()}


def _whole(random: random.Random, *shape: int, of: int = 6) -> Array:
    """Whole numbers other than 0."""
    signed = [random.choice([-1, 1]) * random.randint(1, of) for _ in range(int(np.prod(shape)))]
    return np.array(signed).reshape(shape)


def _scale(random: random.Random, kappa: float) -> dict[str, Any]:
    ratio, k, m = random.choice([0.2, 0.3, 0.05]), kappa, random.choice([-2.2, 0.6, -0.3])
    p = 1 + k - m

    def both(lam: float) -> Array:
        return np.array([lam, 1 / lam])

    return {
        "scale_ratio": ratio, "scale_m": m,
        "scale__right": both(ratio ** (1 / p)),
        "scale__turned": both(ratio ** (-1 / p)),
        "scale__power": both(ratio**p),
        "scale__ratio": both(ratio),
        "scale__plus": both(ratio ** (1 / (1 + k + m))),
        "scale__no_m": both(ratio ** (1 / (1 + k))),
        "scale__no_way_back": both(ratio ** (1 / (k - m))),
        "scale__twice": np.array([ratio ** (1 / p), ratio ** (1 / p)]),
    }  # fmt: skip


def _walk(random: random.Random, kappa: float, beta: float) -> dict[str, Any]:
    theta, gradients = _whole(random, 2).astype(float), _whole(random, 3, 2, of=9) / 4
    lam, alpha = random.choice([0.5, 0.4, 1.6]), random.choice([0.2, 0.3])

    def path(
        seen: float = lam,
        back: float = lam,
        keep: float = beta,
        take: float = 1,
        early: bool = False,
        sign: Callable[[Array], Array] = np.sign,
    ) -> Array:
        now, v, found = theta.copy(), np.zeros(2), [theta]
        for g in gradients:
            g = seen * g
            v = keep * v + take * (np.sign(g) * np.abs(g) ** kappa if early else g)
            now = now - back * alpha * (v if early else sign(v) * np.abs(v) ** kappa)
            found.append(now)
        return np.array(found)

    right = path()
    return {
        "walk_theta": theta, "walk_gradients": gradients, "walk_lam": lam, "walk_alpha": alpha,
        "walk__right": right,
        "walk__no_chain": path(seen=1),
        "walk__no_back": path(back=1),
        "walk__bare": path(seen=1, back=1),
        "walk__divided": path(seen=1 / lam),
        "walk__stored": right / lam,
        "walk__no_memory": path(keep=0),
        "walk__mean": path(take=1 - beta),
        "walk__early": path(early=True),
        "walk__uphill": path(back=-lam),
        "walk__unsigned": path(sign=np.ones_like),
        "walk__same": np.array([right[-1]] * 4),
        "walk__from_one": right[1:],
    }  # fmt: skip


def _convert(random: random.Random, q: float) -> dict[str, Any]:
    phi, mean, last = (_whole(random, 2, of=9) / 4 for _ in range(3))
    power = np.abs(_whole(random, 2, of=9)) / 2
    old, new = random.choice([(0.5, 0.2), (0.8, 0.3), (0.4, 0.9), (1.6, 0.7)])
    c = new / old
    return {
        "memory_phi": phi, "memory_mean": mean, "memory_power": power, "memory_last": last,
        "memory_count": random.randint(5, 90), "memory_old": old, "memory_new": new,
        "phi__right": phi / c, "phi__same": phi, "phi__turned": phi * c, "phi__new": phi / new,
        "mean__right": mean * c, "mean__same": mean, "mean__turned": mean / c, "mean__new": mean * new,
        "power__right": power * c**q, "power__same": power, "power__turned": power / c**q,
        "power__square": power * c**2, "power__once": power * c, "power__new": power * new**q,
        "last__right": last / c, "last__same": last, "last__turned": last * c, "last__new": last / new,
    }  # fmt: skip


def _repaired(random: random.Random, nu: float) -> dict[str, Any]:
    decay, ratio, k = random.choice([0.5, 0.8]), random.choice([0.3, 0.4, 0.2]), random.choice([0.5, 0.25, 2])
    lam = ratio ** (1 / (1 + k))

    def both(lam: float, nu: float = nu) -> Array:
        return decay * np.array([ratio * lam ** (nu - 1), lam ** (1 + nu)])

    right = both(lam)
    return {
        "decay_decay": decay, "decay_ratio": ratio, "decay_k": k,
        "decay__right": right,
        "decay__chapter": both(lam, 1),
        "decay__exchanged": right[::-1],
        "decay__same": np.array([decay, decay]),
        "decay__ratio": both(ratio),
        "decay__turned": both(1 / lam),
        "decay__no_ratio": right / [ratio, 1],
        "decay__adam": both(ratio, 1),
        "decay__once": decay * np.array([ratio * lam**-nu, lam**nu]),
        "decay__power": decay * np.array([ratio * lam**nu, lam ** (1 + nu)]),
    }  # fmt: skip


def _clip(random: random.Random, order: float) -> dict[str, Any]:
    first, second = _whole(random, 2, of=5) / 2, _whole(random, 2, 2, of=5) / 2
    factors, limit = random.choice([(0.5, 1.0), (0.25, 2.0), (2.0, 0.5)]), random.choice([1.0, 1.5])
    both = np.concatenate([first, second.ravel()])
    lam = np.repeat(factors, [2, 4])

    def norm(x: Array, order: float = order) -> float:
        return float((np.abs(x) ** order).sum() ** (1 / order))

    def clipped(length: float) -> Array:
        return np.asarray(both * min(1.0, limit / length))

    seen = both / lam
    alone = np.array([norm(first / factors[0]), norm(second / factors[1])])
    return {
        "clip_first": first, "clip_second": second, "clip_factors": np.array(factors), "clip_limit": limit,
        "clip__right": clipped(norm(seen)),
        "clip__stored": clipped(norm(both)),
        "clip__times": clipped(norm(both * lam)),
        "clip__square": clipped(norm(seen, 2)),
        "clip__alone": both * np.minimum(1, limit / np.repeat(alone, [2, 4])),
        "clip__given_back": clipped(norm(seen)) / lam,
        "clip__largest": clipped(float(np.abs(seen).max())),
        "clip__no_root": clipped(float((np.abs(seen) ** order).sum())),
        "clip__sum": clipped(float(alone.sum())),
        "clip__lengths": clipped(float(np.hypot(*alone))),
        "clip__each": both * np.minimum(1, limit / np.abs(seen)),
        "clip__unclipped": both,
    }  # fmt: skip


def _accumulate(random: random.Random, gamma: float) -> dict[str, Any]:
    gradients = [_whole(random, 2, of=9) / 2 for _ in range(3)]
    lengths = [[random.randint(1, 7) for _ in range(n)] for n in (1, 3, 2)]

    def joint(weights: list[float], divide: bool = True) -> Array:
        total = sum(weights) if divide else 1.0
        return np.asarray(sum(w * g for w, g in zip(weights, gradients, strict=True)) / total)

    own = [float((np.array(rows) ** gamma).sum()) for rows in lengths]
    return {
        "acc_gradients": np.array(gradients),
        "acc_first": np.array(lengths[0]), "acc_second": np.array(lengths[1]),
        "acc_third": np.array(lengths[2]),
        "acc__right": joint(own),
        "acc__mean": joint([1.0, 1.0, 1.0]),
        "acc__rows": joint([1.0, 3.0, 2.0]),
        "acc__lengths": joint([float(sum(rows)) for rows in lengths]),
        "acc__power_of_sum": joint([float(sum(rows) ** gamma) for rows in lengths]),
        "acc__mean_weight": joint([float((np.array(rows) ** gamma).mean()) for rows in lengths]),
        "acc__sum": joint(own, divide=False),
        "acc__added": joint([1.0, 1.0, 1.0], divide=False),
        "acc__over_rows": joint([w / 6 for w in own], divide=False),
    }  # fmt: skip


def _pace(random: random.Random, power: float) -> dict[str, Any]:
    theta, g = np.abs(_whole(random, 3, of=8)) / 4, _whole(random, 3, of=8) / 4
    k = random.choice([0.5, 2, 0.25])
    slope = np.abs(power * theta ** ((power - 1) / power))

    def step(slope: Array, way: float = 1 + k, k: float = k) -> Array:
        return np.asarray(-np.sign(g) * slope**way * np.abs(g) ** k)

    return {
        "pace_theta": theta, "pace_g": g, "pace_k": k,
        "pace__right": step(slope),
        "pace__uphill": -step(slope),
        "pace__no_back": step(slope, k),
        "pace__no_chain": step(slope, 1),
        "pace__sgd": step(slope, 2, 1),
        "pace__bare": step(slope, 0),
        "pace__at_theta": step(np.abs(power * theta ** (power - 1))),
        "pace__inverse": step(1 / slope),
        "pace__no_factor": step(slope / abs(power)),
        "pace__unsigned": -np.abs(step(slope)),
        "pace__by_power": step(np.full(3, abs(float(power)))),
    }  # fmt: skip


def _stretch(random: random.Random) -> dict[str, Any]:
    k, s = random.choice([0.5, 1.5, 2.5]), random.choice([2.0, 3.0, 4.0])
    m = random.choice([-0.8, 0.4, -0.3, 0.7])
    return {
        "stretch_k": k, "stretch_m": m, "stretch_s": s,
        "stretch__right": (1 + k - m) / s,
        "stretch__law": 1 + k - m,
        "stretch__times": (1 + k - m) * s,
        "stretch__m_whole": (1 + k) / s - m,
        "stretch__m_less": (1 + k) / s,
        "stretch__way_back": 1 + (k - m) / s,
        "stretch__one": 1 / s + k - m,
        "stretch__plus": (1 + k + m) / s,
        "stretch__of_theta": (1 + k) * (s - 1) / s + m / s,
        "stretch__sign": -(1 + k - m) / s,
    }  # fmt: skip
