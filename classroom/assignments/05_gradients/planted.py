"""Wrong answers to assignment 5 that students really write, and how each must be rejected."""

from __future__ import annotations

from classroom.planted import Planted

SCALE = """
def scale(ratio, k, m):
    p = {p}
    if p == 0:
        return None
    return {answer}
"""

WALK = """
def walk(theta, gradients, lam, alpha):
    phi, v = theta / lam, np.zeros(len(theta))
    path = {start}
    for g in gradients:
        v = {memory}
        phi = phi - {step}
        path.append({point})
    return np.array(path)
"""
STEPS = {
    "start": "[theta]",
    "memory": "BETA * v + lam * g",
    "step": "alpha * np.sign(v) * np.abs(v) ** KAPPA",
    "point": "lam * phi",
}

CONVERT = """
def convert(memory, old, new):
    c = {c}
    phi, mean, power, last, count = (memory[name] for name in ("phi", "mean", "power", "last", "count"))
    return {{"phi": {phi}, "mean": {mean}, "power": {power}, "last": {last}, "count": {count}}}
"""
MEMORY = {
    "c": "new / old",
    "phi": "phi / c",
    "mean": "mean * c",
    "power": "power * c**Q",
    "last": "last / c",
    "count": "count",
}

REPAIRED = """
def repaired(decay, ratio, k):
    lam = {}
    return {}, {}
"""
LAM = "ratio ** (1 / (1 + k))"
DECOUPLED, ADDED = "decay * ratio * lam ** (NU - 1)", "decay * lam ** (1 + NU)"

CLIP = """
def clip(gradients, factors, limit):
    numbers = np.concatenate([np.ravel({seen}) for g, lam in zip(gradients, factors)])
    norm = {norm}
    return {answer}
"""
CLIPPED = {
    "seen": "g / lam",
    "norm": "(np.abs(numbers) ** ORDER).sum() ** (1 / ORDER)",
    "answer": "[g * (limit / norm if norm > limit else 1.0) for g in gradients]",
}

ACCUMULATE = """
def accumulate(gradients, lengths):
    weights = [{weight} for rows in lengths]
    return sum(w * g for w, g in zip(weights, gradients){some}) / {total}
"""
PARTS = {"weight": "(np.array(rows, float) ** GAMMA).sum()", "some": " if w > 0", "total": "sum(weights)"}

PACE = """
def pace(theta, g, k):
    slope = {slope}
    seen = {seen}
    return {answer}
"""
MOVED = {
    "slope": "POWER * theta ** ((POWER - 1) / POWER)",
    "seen": "slope * g",
    "answer": "-slope * np.sign(seen) * np.abs(seen) ** k",
}

STRETCH = """
def stretch(k, m, s):
    return {}
"""


def _scale(p: str = "1 + k - m", answer: str = "ratio ** (1 / p), ratio ** (-1 / p)") -> str:
    return SCALE.format(p=p, answer=answer)


def _walk(**changed: str) -> str:
    return WALK.format(**(STEPS | changed))


def _convert(**changed: str) -> str:
    return CONVERT.format(**(MEMORY | changed))


def _repaired(lam: str = LAM, decoupled: str = DECOUPLED, added: str = ADDED) -> str:
    return REPAIRED.format(lam, decoupled, added)


def _clip(**changed: str) -> str:
    return CLIP.format(**(CLIPPED | changed))


def _accumulate(**changed: str) -> str:
    return ACCUMULATE.format(**(PARTS | changed))


def _pace(**changed: str) -> str:
    return PACE.format(**(MOVED | changed))


PLANTED: list[Planted] = [
    # 1 ------------------------------------------------------------------------------------------------
    Planted("scale", "upside down", _scale(answer="ratio ** (-1 / p), ratio ** (1 / p)"), "upside down"),
    Planted("scale", "power for root", _scale(answer="ratio**p, ratio**-p"), "took the ratio to the power p"),
    Planted("scale", "sign of m", _scale(p="1 + k + m"), "In which direction"),
    Planted("scale", "no way back", _scale(p="k - m"), "The way back"),
    Planted("scale", "m forgotten", _scale(p="1 + k"), "degree m in the parameter is missing"),
    Planted("scale", "no refusal",
            "def scale(ratio, k, m):\n"
            "    lam = ratio ** (1 / (1 + k - m)) if k + 1 != m else 1.0\n"
            "    return lam, 1 / lam\n", "can a scale change its rate"),
    # 2 ------------------------------------------------------------------------------------------------
    Planted("walk", "gradient of θ", _walk(memory="BETA * v + g"), "sees the gradient with respect to φ"),
    Planted("walk", "no way back", _walk(step="alpha / lam * np.sign(v) * np.abs(v) ** KAPPA"),
            "way back is missing"),
    Planted("walk", "path of φ", _walk(start="[theta / lam]", point="phi"), "path of φ"),
    Planted("walk", "gradient divided", _walk(memory="BETA * v + g / lam"), "divided by λ"),
    Planted("walk", "mean in the place of the sum", _walk(memory="BETA * v + (1 - BETA) * lam * g"),
            "v is no mean"),
    Planted("walk", "sign lost", _walk(step="alpha * np.abs(v) ** KAPPA"), "sign of v is lost"),
    Planted("walk", "start left out", _walk(start="[]"), "is expected, got (3, 2)"),
    Planted("walk", "one array for all rows",
            "def walk(theta, gradients, lam, alpha):\n"
            "    now, v = theta.copy(), np.zeros(len(theta))\n"
            "    path = [now]\n"
            "    for g in gradients:\n"
            "        v = BETA * v + lam * g\n"
            "        now -= lam * alpha * np.sign(v) * np.abs(v) ** KAPPA\n"
            "        path.append(now)\n"
            "    return np.array(path)\n", "change it in place"),
    Planted("walk", "start changed in place",
            "def walk(theta, gradients, lam, alpha):\n"
            "    v, path = np.zeros(len(theta)), [theta.copy()]\n"
            "    for g in gradients:\n"
            "        v = BETA * v + lam * g\n"
            "        theta -= lam * alpha * np.sign(v) * np.abs(v) ** KAPPA\n"
            "        path.append(theta.copy())\n"
            "    return np.array(path)\n", "in place"),
    # 3 ------------------------------------------------------------------------------------------------
    Planted("convert", "squares, as in Adam", _convert(power="power * c**2"), "right for squares"),
    Planted("convert", "power like a gradient", _convert(power="power * c"), "powers of gradients"),
    Planted("convert", "step like a gradient", _convert(last="last * c"), "a piece of φ, no gradient"),
    Planted("convert", "step as it was", _convert(last="last"), "In which unit"),
    Planted("convert", "old unit taken for 1", _convert(c="new"), "old unit was not 1"),
    Planted("convert", "wrong direction", _convert(c="old / new"), "wrong direction"),
    Planted("convert", "count converted", _convert(count="count * c"), "has no unit"),
    Planted("convert", "in place",
            "def convert(memory, old, new):\n"
            "    c = new / old\n"
            "    memory['phi'] /= c\n"
            "    memory['mean'] *= c\n"
            "    memory['power'] *= c**Q\n"
            "    memory['last'] /= c\n"
            "    return memory\n", "in place"),
    # 4 ------------------------------------------------------------------------------------------------
    Planted("repaired", "the chapter's pull", _repaired(decoupled="decay * ratio", added="decay * lam**2"),
            "as in the chapter"),
    Planted("repaired", "exchanged", _repaired(decoupled=ADDED, added=DECOUPLED), "exchanged"),
    Planted("repaired", "λ is the ratio", _repaired(lam="ratio"), "λ is not the ratio"),
    Planted("repaired", "ratio forgotten", _repaired(decoupled="decay * lam ** (NU - 1)"),
            "the ratio is missing"),
    Planted("repaired", "λ upside down", _repaired(lam="ratio ** (-1 / (1 + k))"), "wrong side"),
    Planted("repaired", "nothing done", _repaired(decoupled="decay", added="decay"), "Nothing is repaired"),
    Planted("repaired", "no way back", _repaired(decoupled="decay * ratio * lam**NU"),
            "Decoupled: the way back"),
    # 5 ------------------------------------------------------------------------------------------------
    Planted("clip", "norm of what is stored", _clip(seen="g"), "as they are stored"),
    Planted("clip", "times λ", _clip(seen="g * lam"), "Which way"),
    Planted("clip", "Euclidean", _clip(norm="np.linalg.norm(numbers)"), "Euclidean length"),
    Planted("clip", "each layer by itself",
            "def clip(gradients, factors, limit):\n"
            "    both = zip(gradients, factors)\n"
            "    norms = [(np.abs(g / lam) ** ORDER).sum() ** (1 / ORDER) for g, lam in both]\n"
            "    return [g * min(1, limit / max(n, 1e-30)) for g, n in zip(gradients, norms)]\n",
            "one norm for all"),
    Planted("clip", "made larger, too", _clip(answer="[g * limit / norm for g in gradients]"),
            "never makes a gradient larger"),
    Planted("clip", "zero over zero", _clip(answer="[g * np.minimum(1, limit / norm) * (norm / norm)"
                                            " for g in gradients]"), "NaN"),
    Planted("clip", "gradients of θ given back",
            _clip(answer="[g / lam * (limit / norm if norm > limit else 1.0)"
                  " for g, lam in zip(gradients, factors)]"), "the optimiser needs those of φ"),
    Planted("clip", "in place",
            "def clip(gradients, factors, limit):\n"
            "    total = sum((np.abs(g / lam) ** ORDER).sum() for g, lam in zip(gradients, factors))\n"
            "    norm = total ** (1 / ORDER)\n"
            "    for g in gradients:\n"
            "        g *= limit / norm if norm > limit else 1.0\n"
            "    return gradients\n", "in place"),
    Planted("clip", "the package's clipping",
            "def clip(gradients, factors, limit):\n"
            "    import torch\n"
            "    from kexue_lite.gradients import Gradients, clip_norm\n\n"
            "    named = {str(i): torch.tensor(g) for i, g in enumerate(gradients)}\n"
            "    clipped = clip_norm(limit, order=ORDER)(Gradients(named, {}))\n"
            "    return [g.numpy() for g in clipped.values()]\n", "as they are stored"),
    # 6 ------------------------------------------------------------------------------------------------
    Planted("accumulate", "plain mean", _accumulate(weight="1.0"), "Each part counts the same"),
    Planted("accumulate", "by rows", _accumulate(weight="len(rows)"), "number of rows"),
    Planted("accumulate", "by lengths", _accumulate(weight="sum(rows)"), "GAMMA is missing"),
    Planted("accumulate", "power of the sum", _accumulate(weight="sum(rows) ** GAMMA"),
            "power is taken of the sum"),
    Planted("accumulate", "mean for sum", _accumulate(weight="(np.array(rows, float) ** GAMMA).mean()"),
            "by the mean of its rows"),
    Planted("accumulate", "not divided", _accumulate(total="1"), "not divided"),
    Planted("accumulate", "zero times NaN", _accumulate(some=""), "NaN"),
    # 7 ------------------------------------------------------------------------------------------------
    Planted("pace", "sign", _pace(answer="slope * np.sign(seen) * np.abs(seen) ** k"), "uphill"),
    Planted("pace", "no way back", _pace(answer="-np.sign(g) * np.abs(seen) ** k"), "way back"),
    Planted("pace", "no chain rule", _pace(answer="-np.abs(slope) * np.sign(g) * np.abs(g) ** k"),
            "chain rule"),
    Planted("pace", "slope at θ", _pace(slope="POWER * theta ** (POWER - 1)"), "must be taken at φ"),
    Planted("pace", "slope upside down", _pace(slope="theta ** (1 / POWER - 1) / POWER"), "upside down"),
    Planted("pace", "power times", _pace(slope="POWER"), "not POWER alone"),
    Planted("pace", "SGD for all", _pace(answer="-slope * seen"), "k is not in it"),
    Planted("pace", "sign lost", _pace(answer="-np.abs(slope) * np.abs(seen) ** k"), "sign of the gradient"),
    # 8 ------------------------------------------------------------------------------------------------
    Planted("stretch", "the chapter's law", STRETCH.format("1 + k - m"), "s is not in it"),
    Planted("stretch", "times s", STRETCH.format("(1 + k - m) * s"), "does less, not more"),
    Planted("stretch", "m does not feel it", STRETCH.format("(1 + k) / s - m"), "feels that, too"),
    Planted("stretch", "way back not changed", STRETCH.format("1 + (k - m) / s"), "The way back"),
    Planted("stretch", "way back alone", STRETCH.format("1 / s + k - m"), "not the way back alone"),
    Planted("stretch", "sign of m", STRETCH.format("(1 + k + m) / s"), "In which direction"),
    Planted("stretch", "degree in w", STRETCH.format("(1 + k) * (s - 1) / s + m / s"), "It is near"),
]  # fmt: skip
