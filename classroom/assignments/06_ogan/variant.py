"""What the class key changes in assignment 6, and the numbers of the visible examples."""

import itertools
import random as random_module

import numpy as np

from classroom.variants import rounded

Array = np.ndarray


def variant(random: random_module.Random) -> dict[str, object]:
    """Each key may stand in a cell as ``{{key}}``."""
    values: dict[str, object] = {}
    for part in (_parts, _walk, _pull, _balance, _one_loss, _cautious, _untouched, _after):
        values |= part(random)
    return values


def _named(prefix: str, values: dict[str, object]) -> dict[str, object]:
    return {f"{prefix}_{name}": rounded(value) for name, value in values.items()}


def _split(z: Array, p: Array) -> tuple[Array, Array, Array]:
    """Weighted average, deviation and direction of rows, column by column."""
    total = p.sum()
    average = sum(p[i] * z[:, i] for i in range(len(p))) / total
    centred = z - average[:, None]
    deviation = np.sqrt(sum(p[i] * centred[:, i] ** 2 for i in range(len(p))) / total)
    return average, deviation, centred / deviation[:, None]


def _codes(random: random_module.Random, *shape: int) -> Array:
    """Whole numbers, no two neighbours alike in a row."""
    rows = []
    for _ in range(shape[0]):
        rows.append(random.sample(range(-6, 10), shape[1]))
    return np.array(rows, float)


def _uneven(random: random_module.Random, n: int) -> Array:
    """Whole weights, no two alike, neither sum nor mean equal to 1."""
    return np.array(random.sample(range(1, 8), n), float)


# A code in three parts -------------------------------------------------------------------------------------


def _parts(random: random_module.Random) -> dict[str, object]:
    flat = random.choice([0.01, 0.02, 0.04, 0.05])
    p = _uneven(random, 4)
    z = _codes(random, 2, 4)
    z = np.vstack([z, [[3.0, 3.0, 3.0 + flat, 3.0]], [[0.1] * 4]])
    average = z @ p / p.sum()
    centred = z - average[:, None]
    square = centred**2 @ p / p.sum()
    deviation = np.sqrt(square)
    direction = centred / np.where(deviation > flat, deviation, np.inf)[:, None]
    mean = z.mean(1)
    return {
        "flat": flat,
        "parts_z": z.tolist(),
        "parts_p": p.tolist(),
        **_named(
            "parts",
            {
                "average": average,
                "average_plain": mean,
                "average_sum": z @ p,
                "average_n": z @ p / 4,
                "deviation": deviation,
                "deviation_plain": z.std(1),
                "deviation_square": square,
                "deviation_mean": np.sqrt((z - mean[:, None]) ** 2 @ p / p.sum()),
                "deviation_less": np.sqrt(centred**2 @ p / (p.sum() - 1)),
                "deviation_sum": np.sqrt(centred**2 @ p),
                "deviation_unweighted": np.sqrt((centred**2).mean(1)),
                "direction": direction,
                "direction_long": centred,
                "direction_square": centred / np.where(deviation > flat, square, np.inf)[:, None],
                "direction_unit": direction
                / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9),
            },
        ),
    }


# A walk ----------------------------------------------------------------------------------------------------


def _walk(random: random_module.Random) -> dict[str, object]:
    power, stops = random.choice([-2, -1, 2, 3]), random.choice([3, 5, 6])
    while True:
        p, ends = _uneven(random, 4), _codes(random, 2, 4)
        average, deviation, direction = _split(ends, p)
        together = float((p * direction[0] * direction[1]).sum() / p.sum())
        if abs(together) < 0.6 and abs(deviation[0] - deviation[1]) > 0.5:
            break

    def path(shares: Array, power: float = power, again: bool = True, level: bool = False) -> Array:
        out = []
        for s in shares:
            mixed = (1 - s) * direction[0] + s * direction[1]
            if again:
                mixed = _split(mixed[None], p)[2][0]
            size = ((1 - s) * deviation[0] ** power + s * deviation[1] ** power) ** (1 / power)
            out.append((0 if level else (1 - s) * average[0] + s * average[1]) + size * mixed)
        return np.array(out)

    shares = np.linspace(0, 1, stops)
    return {
        "power": power,
        "stops": stops,
        "walk_first": ends[0].tolist(),
        "walk_last": ends[1].tolist(),
        "walk_p": p.tolist(),
        **_named(
            "walk",
            {
                "right": path(shares),
                "straight": [(1 - s) * ends[0] + s * ends[1] for s in shares],
                "inside": path(shares, again=False),
                "even": path(shares, power=1),
                "open": path(np.arange(stops) / stops),
                "level": path(shares, level=True),
                "back": path(shares[::-1]),
            },
        ),
    }


# The pull --------------------------------------------------------------------------------------------------


def _pull(random: random_module.Random) -> dict[str, object]:
    while True:
        p, z, z_hat = _uneven(random, 4), _codes(random, 2, 4), _codes(random, 2, 4)
        _, of_z, N = _split(z, p)
        _, of_hat, N_hat = _split(z_hat, p)
        rho = (p * N * N_hat).sum(1, keepdims=True) / p.sum()
        if (np.abs(rho) < 0.9).all() and (np.abs(rho) > 0.2).all() and abs(of_z - of_hat).min() > 0.3:
            break
    shares, size = p / p.sum(), of_hat[:, None]
    _, _, even = _split(z, np.ones(4))
    _, even_size, even_hat = _split(z_hat, np.ones(4))
    even_rho = (even * even_hat).mean(1, keepdims=True)
    right = shares * (N - rho * N_hat) / size
    return {
        "pull_z": z.tolist(),
        "pull_hat": z_hat.tolist(),
        "pull_p": p.tolist(),
        **_named(
            "pull",
            {
                "right": right,
                "unweighted": (even - even_rho * even_hat) / even_size[:, None] / 4,
                "plain": (N - rho * N_hat) / size / 4,
                "bare": (N - rho * N_hat) / size,
                "sum": p * (N - rho * N_hat) / size,
                "sign": -right,
                "norho": shares * (N - N_hat) / size,
                "unscaled": shares * (N - rho * N_hat),
                "other": shares * (N_hat - rho * N) / of_z[:, None],
                "swapped": shares * (N - rho * N_hat) / of_z[:, None],
                "squared": shares * (N - rho * N_hat) / size**2,
                "half": shares * N / size,
                "mean": right / 2,
            },
        ),
    }


# A critic in balance ---------------------------------------------------------------------------------------


def _balance(random: random_module.Random) -> dict[str, object]:
    power, lam = random.choice([1.5, 2.5, 3, 4]), random.choice([0.25, 0.3, 0.4, 0.6, 0.75])
    d = np.array([random.choice([0.5, 0.6, 0.8]), random.choice([2, 3, 5]), 0.0])
    root = 1 / (power - 1)
    s = -((d / (power * lam)) ** root)
    cost = np.array([a + lam * abs(a) ** power / b if b else 0.0 for a, b in zip(s, d, strict=True)])
    return {
        "expo": power,
        "lam": lam,
        "balance_d": d.tolist(),
        **_named(
            "balance",
            {
                "right": s,
                "sign": -s,
                "square": -d / (2 * lam),
                "bare": -((d / lam) ** root),
                "rootless": -d / (power * lam),
                "wrong_root": -((d / (power * lam)) ** (1 / power)),
                "power_up": -((d / (power * lam)) ** (power - 1)),
                "upside": -(np.array([power * lam / b if b else 0.0 for b in d]) ** root),
                "cost": cost,
                "cost_penalty": cost - s,
                "cost_sign": cost - 2 * s,
            },
        ),
    }


# One loss for both -----------------------------------------------------------------------------------------


def _one_loss(random: random_module.Random) -> dict[str, object]:
    kappa, mu = random.choice([0.4, 0.5, 1.5, 2.5]), random.choice([0.1, 0.2, 0.35])
    lam1, lam_e, lam_g = random.choice([0.25, 0.8]), random.choice([0.3, 0.6]), random.choice([0.45, 0.7])
    right = [1, kappa, -1 - kappa, -mu, lam1 + mu, -lam_g, lam_g - lam_e]
    return {
        "kappa": kappa,
        "mu": mu,
        "loss_lam1": lam1,
        "loss_lam_e": lam_e,
        "loss_lam_g": lam_g,
        **_named(
            "loss",
            {
                "right": right,
                "chapter": [1, 1, -2, 0, lam1, -lam_g, 0],
                "added": [1, kappa - 1, 0, lam1 - mu, 0, -lam_e - lam_g, 0],
                "leaking": [1, kappa, -1, -mu, lam1, -lam_g, -lam_e],
                "shared": [*right[:5], -lam_g, 0],
                "paid": [1, kappa, -1 - kappa, mu, lam1 - mu, -lam_g, lam_g - lam_e],
                "swapped": [*right[:5], -lam_e, lam_e - lam_g],
                "bracket": [1, 1, -2, *right[3:]],
                "open_r": [*right[:3], 0, lam1, *right[5:]],
            },
        ),
    }


# A cautious reconstruction ---------------------------------------------------------------------------------


def _cautious(random: random_module.Random) -> dict[str, object]:
    while True:
        values = _cautious_once(random)
        for start in ("cautious_factor", "cautious_lost"):
            found = sorted(float(str(v)) for name, v in values.items() if name.startswith(start))
            if min(b - a for a, b in itertools.pairwise(found)) < 1e-4:
                break
        else:
            return values


def _cautious_once(random: random_module.Random) -> dict[str, object]:
    ink = random.choice([3, 4, 5, 6])

    def pictures(rows: int) -> Array:
        return np.array([[random.randint(0, 10) / 10 for _ in range(4)] for _ in range(rows)])

    def given_back(x: Array) -> Array:
        wrong = [[random.randint(-3, 3) / 10 for _ in range(4)] for _ in x]
        return np.round(np.clip(x + np.array(wrong), 0, 1), 2)

    tune, test = pictures(4), pictures(3)
    tune_back, test_back = given_back(tune), given_back(test)

    def found(
        x: Array, again: Array, m: Array, ink: float = ink, turned: bool = False, dark: Array | None = None
    ) -> float:
        w = np.where((x if dark is None else dark) > 0.5, ink, 1.0)
        below = (x - m) if turned else (again - m)
        return float((w * (x - m) * (again - m)).sum() / (w * below**2).sum())

    def lost(f: float, m: Array, of: Array, ink: float = ink) -> float:
        w = np.where(test > 0.5, ink, 1.0)
        miss = test - m - f * (test_back - m)
        return float((w * miss**2).sum() / (w * (test - of) ** 2).sum())

    m, other = tune.mean(0), test.mean(0)
    f = found(tune, tune_back, m)
    return {
        "ink": ink,
        "cautious_tune": tune.tolist(),
        "cautious_tune_back": tune_back.tolist(),
        "cautious_test": test.tolist(),
        "cautious_test_back": test_back.tolist(),
        **_named(
            "cautious",
            {
                "factor": f,
                "factor_test": found(test, test_back, m),
                "factor_both": found(test, test_back, other),
                "factor_plain": found(tune, tune_back, m, ink=1),
                "factor_raw": found(tune, tune_back, 0 * m),
                "factor_turned": found(tune, tune_back, m, turned=True),
                "factor_one": found(tune, tune_back, np.full(4, tune.mean())),
                "factor_again": found(tune, tune_back, m, dark=tune_back),
                "lost": lost(f, m, m),
                "lost_other": lost(f, other, other),
                "lost_below": lost(f, m, other),
                "lost_full": lost(1.0, m, m),
                "lost_plain": lost(f, m, m, ink=1),
                "lost_kept": 1 - lost(f, m, m),
            },
        ),
    }


# The score that is left alone ------------------------------------------------------------------------------


def _untouched(random: random_module.Random) -> dict[str, object]:
    while True:
        p, rates = _uneven(random, 4), _uneven(random, 4)
        if not np.isclose(np.outer(p, rates), np.outer(p, rates).T).sum() > 6:
            break

    def one(c: Array) -> Array:
        return c / c.sum()

    return {
        "untouched_p": p.tolist(),
        "untouched_rates": rates.tolist(),
        **_named(
            "untouched",
            {
                "right": one(1 / rates),
                "fast": one(rates),
                "even": np.full(4, 0.25),
                "shares": one(p),
                "weighted": one(p / rates),
                "raw": 1 / rates,
                "length": 1 / rates / np.linalg.norm(1 / rates),
                "inverse": one(1 / p),
                "both": one(1 / p / rates),
            },
        ),
    }


# After the step --------------------------------------------------------------------------------------------


def _after(random: random_module.Random) -> dict[str, object]:
    eta = random.choice([0.3, 0.4, 0.5, 0.7])
    rho, size, steps = random.choice([-0.6, -0.2, 0.1, 0.3]), random.choice([0.8, 1.2, 1.5]), 3

    def go(steps: int, kind: str = "", eta: float = eta) -> list[float]:
        r, s = rho, size
        for _ in range(steps):
            open_ = 1 - r * r
            grown = s if kind == "fixed" else np.sqrt(s * s + eta**2 * open_ / s**2)
            if kind == "root":
                grown = np.sqrt(s * s + eta**2 * np.sqrt(open_) / s**2)
            if kind == "linear":
                grown = s + eta**2 * open_ / (2 * s**3)
            r_new = r + eta * open_ / s**2 if kind in ("fixed", "free") else (r * s + eta * open_ / s) / grown
            r, s = float(r_new), float(grown)
        return [r, s]

    return {
        "eta": eta,
        "after_rho": rho,
        "after_size": size,
        "after_steps": steps,
        **_named(
            "after",
            {
                "right": go(steps),
                "once": go(1),
                "fewer": go(steps - 1),
                "fixed": go(steps, "fixed"),
                "free": go(steps, "free"),
                "linear": go(steps, "linear"),
                "long": go(1, eta=steps * eta),
                "down": go(steps, eta=-eta),
                "swapped": go(steps)[::-1],
                "root": go(steps, "root"),
            },
        ),
    }
