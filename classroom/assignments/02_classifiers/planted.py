"""Wrong answers to assignment 2 that students really write, and the words that must reject each."""

from __future__ import annotations

from classroom.planted import Planted, planted

ELLIPSE = """
def ellipse(p, q, r):
    return [2 * p, 2 * STRETCH * q, -1, -STRETCH, r**2 - p**2 - STRETCH * q**2]
"""

PERCEPTRON = """
def perceptron(x, y, rounds):
    w, total = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for _ in range(rounds):
        for row, label in zip(x, y):
            if label * (w @ row) <= MARGIN:
                w = w + label * row
            total += w
    return total / (rounds * len(x))
"""

GRADIENT = """
def gradient(x, t, w, b, penalty):
    s = x @ w + b
    p = 1 / (1 + np.exp(-s))
    c = np.where(t == 1, COST, 1)
    r = c * (p - t)
    return np.r_[x.T @ r + penalty * w, r.sum()]
"""

BEST = """
def best(curve, p):
    up, down = COST * p, 1 - p
    if curve == "squared":
        return (up - down) / (up + down)
    if curve == "logistic":
        return np.log(up / down)
    if curve == "exponential":
        return np.log(up / down) / 2
    return np.where(up > down, 1, -1)
"""

KERNEL = """
def kernel(x, y, new, penalty):
    K = (OFFSET + x @ x.T) ** DEGREE
    reach = (OFFSET + new @ x.T) ** DEGREE
    c = np.where(y == 1, COST, 1)
    alpha = np.linalg.solve(K + penalty / 2 * np.diag(1 / c), y)
    return reach @ alpha
"""

HONEST = """
def honest(x, t, family):
    answers = np.zeros(len(x))
    for fold in range(FOLDS):
        out = family % FOLDS == fold
        seen = ~out
        means = [x[seen & (t == k)].mean(0) for k in (0, 1)]
        gap = np.abs(means[1] - means[0]) / x[seen].std(0)
        top = np.argsort(-gap)[:KEEP]
        a = x[:, top] / x[seen][:, top].std(0)
        far = [((a[out] - a[seen & (t == k)].mean(0)) ** 2).sum(1) for k in (0, 1)]
        answers[out] = far[1] < far[0]
    return answers
"""

THRESHOLD = """
def threshold(curve, cost):
    p = 1 / (1 + cost)
    if curve == "hinge":
        return "too late"
    if curve == "logistic":
        return np.log(p / (1 - p))
    if curve == "exponential":
        return np.log(p / (1 - p)) / 2
    return 2 * p - 1
"""


PLANTED: list[Planted] = [
    *planted(
        "ellipse",
        ELLIPSE,
        (
            "sign",
            "inside is positive",
            (
                "[2 * p, 2 * STRETCH * q, -1, -STRETCH, r**2 - p**2",
                "[-2 * p, -2 * STRETCH * q, 1, STRETCH, p**2 - r**2",
                "- STRETCH * q**2]",
                "+ STRETCH * q**2]",
            ),
        ),
        ("constant without the centre", "parts of the centre", (" - p**2 - STRETCH * q**2", "")),
        ("factor 2 missing", "factor 2", ("2 * p", "p", "2 * STRETCH * q", "STRETCH * q")),
        ("stretch on the square alone", "its middle term", ("2 * STRETCH * q,", "2 * q,")),
        (
            "middle terms with the wrong sign",
            "middle terms",
            ("2 * p", "-2 * p", "2 * STRETCH * q", "-2 * STRETCH * q"),
        ),
        ("radius for its square", "squared", ("r**2 -", "r -")),
    ),
    *planted(
        "perceptron",
        PERCEPTRON,
        ("last weights", "the last w", ("total / (rounds * len(x))", "w")),
        ("wrong answers alone", "as well", ("<= MARGIN", "<= 0")),
        ("strictly below", "exactly MARGIN", ("<= MARGIN", "< MARGIN")),
        (
            "mean over changes",
            "those that change nothing",
            (
                "rounds * len(x))",
                "n)",
                "w, total =",
                "n, w, total = 0,",
                "                w = w + label * row\n            total += w",
                "                w = w + label * row\n                total, n = total + w, n + 1",
            ),
        ),
        (
            "mean before the look",
            "after each look",
            (
                "            total += w\n",
                "",
                "        for row, label in zip(x, y):\n",
                "        for row, label in zip(x, y):\n            total += w\n",
            ),
        ),
        ("label missing", "label is missing", ("w + label * row", "w + row")),
        ("sum for mean", "not their mean", (" / (rounds * len(x))", "")),
        (
            "mean over the last round",
            "last round alone",
            (
                "(rounds * len(x))",
                "len(x)",
                "    for _ in range(rounds):\n",
                "    for _ in range(rounds):\n        total = 0\n",
            ),
        ),
        (
            "one list of weights changed in place",
            "the last w",
            (
                "total = np",
                "path = np",
                "w = w + label * row",
                "w += label * row",
                "total += w",
                "path = [*path, w][-rounds * len(x) :]",
                "total / (rounds * len(x))",
                "np.mean(path, 0)",
            ),
        ),
    ),
    *planted(
        "gradient",
        GRADIENT,
        ("no costs", "costs are missing", ("c * (p - t)", "p - t")),
        ("costs on the negatives", "wrong class", ("t == 1", "t == 0")),
        ("sign", "points uphill", ("(p - t)", "(t - p)")),
        ("mean for sum", "are summed", ("x.T @ r +", "x.T @ r / len(t) +", "r.sum()", "r.mean()")),
        ("b penalised", "b is not penalised", ("r.sum()", "r.sum() + penalty * b")),
        ("penalty left out", "penalty is missing", (" + penalty * w", "")),
        ("factor 2 in the penalty", "one half in front", ("penalty * w", "2 * penalty * w")),
        ("labels of -1 and 1", "0 or 1", ("p - t", "p - 2 * t + 1")),
        ("score for probability", "sigmoid", ("1 / (1 + np.exp(-s))", "s")),
        ("overflow", "overflows", ("1 / (1 + np.exp(-s))", "np.exp(s) / (1 + np.exp(s))")),
        (
            "weights changed in place",
            "changed in place",
            ("return np.r_[x.T @ r + penalty * w", "w *= penalty\n    return np.r_[x.T @ r + w"),
        ),
    ),
    Planted(
        "gradient",
        slip="the package's loss",
        answer=(
            "def gradient(x, t, w, b, penalty):\n"
            "    import torch\n"
            "    from kexue_lite.classifiers import logistic\n"
            "    rows = torch.as_tensor(np.c_[x, np.ones(len(x))]).double()\n"
            "    v = torch.tensor([*w, b], dtype=torch.float64, requires_grad=True)\n"
            "    value = logistic(torch.as_tensor(2 * t - 1) * (rows @ v)).sum()\n"
            "    value = value + penalty / 2 * (v[:-1] ** 2).sum()\n"
            "    value.backward()\n"
            "    return v.grad\n"
        ),
        says="costs are missing",
    ),
    *planted(
        "best",
        BEST,
        ("no costs", "not in it", ("COST * p", "p")),
        (
            "cost on the negatives",
            "wrong class",
            ("up, down = COST * p, 1 - p", "up, down = p, COST * (1 - p)"),
        ),
        ("squares not divided", "divide by their sum", (" / (up + down)", "")),
        (
            "probability for score",
            "not yet a score",
            (
                'return np.log(up / down)\n    if curve == "exp',
                'return up / (up + down)\n    if curve == "exp',
            ),
        ),
        ("base 2", "Which logarithm", ("np.log(up", "np.log2(up")),
        ("exponential without one half", "quotient", (" / 2\n", "\n")),
        ("hinge takes the log-odds", "corners", ("np.where(up > down, 1, -1)", "np.log(up / down)")),
        ("hinge answers 0 or 1", "an answer", ("1, -1)", "1, 0)")),
    ),
    Planted(
        "best",
        slip="the package's losses, without costs",
        answer=(
            "def best(curve, p):\n"
            "    import torch\n"
            "    from kexue_lite.classifiers import LOSSES\n"
            "    loss = LOSSES[curve] if curve in LOSSES else lambda m: torch.exp(-m)\n"
            "    s = torch.linspace(-12, 12, 240_001, dtype=torch.float64)\n"
            "    return [float(s[(q * loss(s) + (1 - q) * loss(-s)).argmin()]) for q in p]\n"
        ),
        says="not in it",
    ),
    *planted(
        "kernel",
        KERNEL,
        ("no costs", "costs are missing", ("np.diag(1 / c)", "np.eye(len(y))")),
        ("costs not inverted", "penalised less", ("1 / c", "c")),
        ("costs on the negatives", "wrong class", ("COST, 1)", "1, COST)")),
        ("costs times labels", "stay 1 and", ("np.diag(1 / c), y", "np.eye(len(y)), c * y")),
        ("penalty without one half", "one half in front", ("penalty / 2", "penalty")),
        ("costs squared", "not squared", ("1 / c", "1 / c**2")),
        ("offset 1 in training and use", "OFFSET in it", ("OFFSET", "1")),
        ("labels changed in place", "changed in place", ("    alpha =", "    x *= 1.0000001\n    alpha =")),
    ),
    Planted(
        "kernel",
        slip="the package's kernel",
        answer=(
            "def kernel(x, y, new, penalty):\n"
            "    from kexue_lite.classifiers import polynomial_kernel\n"
            "    K = polynomial_kernel(x, x, degree=DEGREE).numpy()\n"
            "    reach = polynomial_kernel(new, x, degree=DEGREE).numpy()\n"
            "    c = np.where(y > 0, COST, 1)\n"
            "    return reach @ np.linalg.solve(K + penalty / 2 * np.diag(1 / c), y)\n"
        ),
        says="OFFSET in it",
    ),
    *planted(
        "honest",
        HONEST,
        (
            "chosen on all rows",
            "choose inside",
            (
                "x[seen & (t == k)].mean(0) for",
                "x[t == k].mean(0) for",
                "/ x[seen].std(0)\n        top",
                "/ x.std(0)\n        top",
            ),
        ),
        (
            "folds of rows",
            "twins sit on both sides",
            ("family % FOLDS == fold", "np.arange(len(x)) % FOLDS == fold"),
        ),
        ("learnt from all rows", "is a part itself", ("seen = ~out", "seen = np.ones(len(x), bool)")),
        ("the worst measurements", "tell least", ("argsort(-gap)", "argsort(gap)")),
        (
            "no units",
            "divide by the standard deviation",
            (" / x[seen].std(0)", "", " / x[seen][:, top].std(0)", ""),
        ),
        ("rows standardised in place", "changed in place", ("    answers =", "    x /= 2\n    answers =")),
        (
            "scaled with all rows",
            "The standard deviation was taken",
            ("x[seen][:, top].std(0)", "x[:, top].std(0)"),
        ),
        (
            "spread within the classes",
            "of both classes together",
            (
                "        gap =",
                "        wide = np.sqrt(sum(x[seen & (t == k)].var(0) for k in (0, 1)) / 2)\n        gap =",
                "/ x[seen].std(0)\n",
                "/ wide\n",
                "x[seen][:, top].std(0)",
                "wide[top]",
            ),
        ),
        ("accuracy for answers", "shape", ("return answers", "return (answers == t).mean()")),
    ),
    *planted(
        "threshold",
        THRESHOLD,
        ("sign", "dear, answer + sooner", ("1 / (1 + cost)", "cost / (1 + cost)")),
        (
            "threshold for p",
            "thresholds for p",
            ('    if curve == "hinge"', '    return p\n    if curve == "hinge"'),
        ),
        ("cost forgotten", "forgotten", ("1 / (1 + cost)", "0.5")),
        ("1/cost", "both answers cost the same", ("1 / (1 + cost)", "1 / cost")),
        (
            "one law for all",
            "score of its own",
            ("(1 - p)) / 2\n    return 2 * p - 1", "(1 - p))\n    return np.log(p / (1 - p))"),
        ),
        (
            "hinge treated like its square",
            "on either side",
            ('    if curve == "hinge":\n        return "too late"\n', ""),
        ),
        ("hinge with 0", "on either side", ('"too late"', "0.0")),
        ("another spelling", "exactly this spelling", ('"too late"', '"Too late"')),
        ("both hinges too late", "not too late", ('if curve == "hinge"', 'if "hinge" in curve')),
        (
            "the square kept apart by -1 and 1",
            "costs",
            (
                "    return 2 * p - 1",
                '    return -1.0 if curve == "squared hinge" and cost > 1 else 2 * p - 1',
            ),
        ),
    ),
]
