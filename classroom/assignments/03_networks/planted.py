"""Wrong answers to assignment 3 that students really write, and the words that must reject each."""

from __future__ import annotations

from classroom.planted import Planted, planted

BETWEEN = """
def between(votes, low, high):
    ups, downs = list(votes), [-v for v in votes]
    return [([ups, downs], [low, -high]), ([[1, 1]], [2])]
"""

FOLD = """
def fold(weights, constants):
    M, c = np.eye(weights[0].shape[1]), np.zeros(weights[0].shape[1])
    for k in range(len(weights)):
        W = weights[k]
        if k < len(weights) - 1:
            W = W + SKIP * np.eye(len(W))
        M, c = W @ M, W @ c + constants[k]
    return M, c
"""

TIED = """
def tied(x, W, b, c):
    a = x @ W.T + b
    h = curve(a)
    r = (h @ W + c - x) / len(x)
    delta = (r @ W.T) * np.where(a > 0, 1, LEAK)
    return delta.T @ x + h.T @ r, delta.sum(0), r.sum(0)
"""

CORNERS = """
def corners(n):
    if n == 1:
        return [PEAK]
    inner = corners(n - 1)
    left = [PEAK * y for y in inner]
    right = [1 - (1 - PEAK) * y for y in inner]
    return sorted([*left, PEAK, *right])
"""

SHORTEST = """
def shortest(Phi, y, prices):
    scale = 1 / np.sqrt(prices)
    u = np.linalg.lstsq(Phi * scale, y, rcond=None)[0]
    return scale * u
"""

PASSAGE = """
def passage(x, weights, k):
    root, mean = np.sqrt(weights), x.mean(0)
    z = (x - mean) * root
    V = np.linalg.svd(z)[2][:k].T
    return z @ V @ V.T / root + mean
"""

KEPT = """
def kept(varies, noise, k):
    a = varies / (varies + noise)
    won = a * varies
    best = np.argsort(-won)[:k]
    carried = (1 - a) ** 2 * varies + a**2 * noise
    loss = varies.sum() - varies[best].sum() + carried[best].sum()
    return np.sort(best), loss
"""


PLANTED: list[Planted] = [
    *planted(
        "between",
        BETWEEN,
        ("lower end left out", "exactly low", ("[low,", "[low + 1e-6,")),
        ("upper end left out", "exactly high", ("-high]", "-high + 1e-6]")),
        ("or for and", "one of the two", ("[2])]", "[1])]")),
        ("no upper end", "Only the lower end", ("[ups, downs], [low, -high]", "[ups, ups], [low, low]")),
        (
            "no lower end",
            "Only the upper end",
            ("[ups, downs], [low, -high]", "[downs, downs], [-high, -high]"),
        ),
        ("turned round", "silent", ("[[1, 1]], [2]", "[[-1, -1]], [-1]")),
        ("heads for votes", "numbers of votes", ("list(votes), [-v", "[1 for v in votes], [-1")),
        (
            "one unit for each end, one after the other",
            "one unit",
            ("[[1, 1]], [2]", "[[1, 0], [0, 1]], [1, 1]"),
        ),
        (
            "one list",
            "2 things",
            ("[([ups, downs], [low, -high]), ([[1, 1]], [2])]", "[ups, downs, [low, -high]]"),
        ),
    ),
    Planted(
        "between",
        slip="the package's table",
        answer=(
            "def between(votes, low, high):\n"
            "    from kexue_lite.networks import compile_truth_table\n"
            "    table = [int(low <= total <= high) for total in rows(len(votes)) @ np.array(votes)]\n"
            "    return compile_truth_table(table)\n"
        ),
        says="Two hidden units are enough",
    ),
    *planted(
        "fold",
        FOLD,
        ("no detour", "part that skips", ("W + SKIP * np.eye(len(W))", "W")),
        (
            "last layer skips",
            "last layer skips nothing",
            ("if k < len(weights) - 1", "if W.shape[0] == W.shape[1]"),
        ),
        ("order reversed", "stands next to x", ("M, c = W @ M", "M, c = M @ W")),
        ("a matrix of ones", "full of ones", ("SKIP * np.eye(len(W))", "SKIP")),
        ("constants added up", "through all later layers", ("W @ c +", "c +")),
        ("constants do not skip", "Constants skip as well", ("W @ c +", "weights[k] @ c +")),
        ("last constant alone", "last layer alone", ("W @ c + constants", "constants")),
        (
            "constant goes through its own layer",
            "its own layer",
            ("W @ c + constants[k]", "W @ (c + constants[k])"),
        ),
        ("matrix changed in place", "changed in place", ("W = W + SKIP *", "W += SKIP *")),
    ),
    *planted(
        "tied",
        TIED,
        ("encoder alone", "in the decoder, too", (" + h.T @ r", "")),
        ("decoder alone", "in the encoder, too", ("delta.T @ x + h.T @ r", "h.T @ r")),
        ("mean of the two ways", "add up", ("delta.T @ x + h.T @ r", "(delta.T @ x + h.T @ r) / 2")),
        ("sum for mean", "sum over the examples", (" / len(x)", "")),
        ("mean over pixels, too", "not over pixels", (" / len(x)", " / x.size")),
        ("factor 2", "one half in front", ("r = (h", "r = 2 * (h")),
        ("sign", "what came out", ("(h @ W + c - x)", "(x - h @ W - c)")),
        ("no slope of the curve", "slope of the curve is missing", (" * np.where(a > 0, 1, LEAK)", "")),
        ("a relu that does not leak", "not 0", ("1, LEAK)", "1, 0)")),
        ("transposed", "shape", ("delta.T @ x + h.T @ r", "x.T @ delta + r.T @ h")),
    ),
    Planted(
        "tied",
        slip="the package's autoencoder, not tied",
        answer=(
            "def tied(x, W, b, c):\n"
            "    import torch\n"
            "    from kexue_lite.networks import Autoencoder\n"
            '    pair = Autoencoder([W.shape[1], W.shape[0]], "identity").double()\n'
            "    into, out = (p for p in pair.modules() if isinstance(p, torch.nn.Linear))\n"
            "    for part, value in ((into.weight, W), (into.bias, b), (out.weight, W.T), (out.bias, c)):\n"
            "        part.data = torch.as_tensor(value).double()\n"
            "    x = torch.as_tensor(x).double()\n"
            "    h = torch.nn.functional.leaky_relu(into(x), LEAK)\n"
            "    ((out(h) - x) ** 2).sum(1).mean().div(2).backward()\n"
            "    return into.weight.grad, into.bias.grad, out.bias.grad\n"
        ),
        says="in the decoder, too",
    ),
    *planted(
        "corners",
        CORNERS,
        (
            "evenly spaced",
            "evenly spaced",
            ("    if n == 1:", "    return np.arange(1, 2**n) / 2**n if n > 1 else [PEAK]\n    if n == 1:"),
        ),
        ("right copy not mirrored", "mirrored", ("1 - (1 - PEAK) * y", "PEAK + (1 - PEAK) * y")),
        ("upper corners alone", "upper corners", ("*left, PEAK, *right", "*left, *right")),
        ("not sorted", "corners", ("sorted([*left, PEAK, *right])", "[PEAK, *left, *right]")),
        (
            "a fine grid",
            "heights",
            (
                "    if n == 1:",
                "    if n > 3:\n"
                "        x = np.linspace(0, 1, 200_001)[1:-1]\n"
                "        y = x\n"
                "        for _ in range(n):\n"
                "            y = tent(y)\n"
                "        turn = np.diff(np.sign(np.diff(y))) != 0\n"
                "        return x[1:-1][turn]\n"
                "    if n == 1:",
            ),
        ),
        (
            "three times, whatever n",
            "less between them",
            ("    if n == 1:", "    n = min(n, 3)\n    if n == 1:"),
        ),
    ),
    Planted(
        "corners",
        slip="the package's tent",
        answer=(
            "def corners(n):\n"
            "    if n == 1:\n"
            "        return [PEAK]\n"
            "    from kexue_lite.networks import linear_pieces, tent_network\n"
            "    pieces = linear_pieces(tent_network(n)).count\n"
            "    return np.arange(1, pieces) / pieces\n"
        ),
        says="evenly spaced",
    ),
    *planted(
        "shortest",
        SHORTEST,
        ("upside down", "Upside down", ("1 / np.sqrt(prices)", "np.sqrt(prices)")),
        ("no root", "its root", ("1 / np.sqrt(prices)", "1 / prices")),
        ("not changed back", "change them back", ("scale * u", "u")),
        (
            "the first columns alone",
            "least price",
            (
                "    scale =",
                "    if len(y) < len(prices):\n        w = np.zeros(len(prices))\n"
                "        w[: len(y)] = np.linalg.pinv(Phi[:, : len(y)]) @ y\n        return w\n    scale =",
            ),
        ),
        (
            "columns changed in place",
            "changed in place",
            ("u = np.linalg.lstsq(Phi * scale, y", "Phi *= scale\n    u = np.linalg.lstsq(Phi, y"),
        ),
    ),
    Planted(
        "shortest",
        slip="the package's least squares",
        answer=(
            "def shortest(Phi, y, prices):\n"
            "    from kexue_lite.networks import least_squares\n"
            "    return least_squares(Phi, y)\n"
        ),
        says="plain shortest",
    ),
    *planted(
        "passage",
        PASSAGE,
        ("no roots", "its root", ("np.sqrt(weights)", "weights")),
        ("upside down", "Upside down", ("np.sqrt(weights)", "1 / np.sqrt(weights)")),
        ("mean not taken away", "mean picture away", ("x.mean(0)", "0 * x.mean(0)")),
        ("mean not added", "added again", (" / root + mean", " / root")),
        ("what varies least", "varies least", ("[:k]", "[::-1][:k]")),
        ("not changed back", "Divide by the roots", (" / root + mean", " + mean")),
        ("directions used on plain pixels", "use them there", ("z @ V @ V.T / root", "(x - mean) @ V @ V.T")),
        ("directions of plain pixels", "when the directions are looked for", ("svd(z)", "svd(x - mean)")),
        (
            "centred in place",
            "changed in place",
            ("    z = (x - mean) * root", "    x -= mean\n    z = x * root"),
        ),
    ),
    Planted(
        "passage",
        slip="the package's principal components",
        answer=(
            "def passage(x, weights, k):\n"
            "    import torch\n"
            "    from kexue_lite.networks import principal_autoencoder\n"
            "    given = torch.as_tensor(x)\n"
            "    return principal_autoencoder(given, k)(given).detach()\n"
        ),
        says="weights are missing",
    ),
    *planted(
        "kept",
        KEPT,
        ("what varies most", "varies most", ("argsort(-won)", "argsort(-varies)")),
        ("signal to noise", "signal is largest", ("argsort(-won)", "argsort(-varies / noise)")),
        ("in the order of worth", "ascending", ("np.sort(best)", "np.sort(best)[::-1]")),
        ("least noise", "noise is least", ("argsort(-won)", "argsort(noise)")),
        (
            "carried as it is",
            "made smaller on its way",
            (
                "a = varies / (varies + noise)\n    won = a * varies",
                "a = np.ones(len(noise))\n    won = varies - noise",
            ),
        ),
        (
            "loss as if carried whole",
            "comes through whole",
            ("(1 - a) ** 2 * varies + a**2 * noise", "noise"),
        ),
        ("loss without noise", "without noise", (" + carried[best].sum()", "")),
        (
            "loss of the kept alone",
            "dropped is lost",
            ("varies.sum() - varies[best].sum() + carried", "carried"),
        ),
        ("what is won", "what is won", ("    return", "    loss = won[best].sum()\n    return")),
        (
            "mean over the numbers",
            "asked is their sum",
            ("return np.sort(best), loss", "return np.sort(best), loss / len(varies)"),
        ),
        ("counted from 1", "carried", ("np.sort(best), loss", "np.sort(best) + 1, loss")),
    ),
]
