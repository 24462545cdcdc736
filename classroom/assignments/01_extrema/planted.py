"""Wrong answers to assignment 1, each with the words with which it has to be rejected."""

from classroom.planted import Planted, changed

KIND = """
def kind(derivatives):
    if derivatives[0] != 0:
        return "neither"
    for order, value in enumerate(derivatives, start=1):
        if value != 0:
            if order % 2 == 1:
                return "neither"
            return "minimum" if value > 0 else "maximum"
    return "undecided"
"""

LAYERS = """
def layers(thickness, index, width):
    thickness, index = np.asarray(thickness, float), np.asarray(index, float)
    low, high = 0.0, index.min()
    for _ in range(100):
        same = (low + high) / 2
        parts = thickness * same / np.sqrt(index**2 - same**2)
        low, high = (same, high) if parts.sum() < width else (low, same)
    return parts
"""

WINNER = """
def winner(corners, weights, wind):
    corners, weights = np.asarray(corners, float), np.asarray(weights, float)
    for i in range(len(corners)):
        force = np.array(wind, float)
        for j in range(len(corners)):
            if j != i:
                away = corners[j] - corners[i]
                force += weights[j] * away / np.linalg.norm(away)
        if np.linalg.norm(force) <= weights[i]:
            return i
    return -1
"""

BRACKET = """
def bracket(weight):
    both = [2 * w if k % 2 == 0 else 0 for k, w in enumerate(weight)]
    total = " + ".join(f"{w}*x**{k}" for k, w in enumerate(both))
    return f"({total})*m + {POWER}*y**{POWER - 1} - {MASS}*a"
"""

TENT = """
def tent(x, spring, height, area):
    x = np.asarray(x, float)
    end = [SPAN + spring * SPAN**2 / (2 * TENSION), TENSION + spring * SPAN]
    held = [SPAN**3 / (6 * TENSION), SPAN**2 / 2]
    multiplier, slope = np.linalg.solve([end, held], [spring * height, area])
    return multiplier * x**2 / (2 * TENSION) + slope * x, multiplier
"""

TIME_GRADIENT = """
def time_gradient(x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    v = np.sqrt(START_SPEED**2 + 2 * GRAVITY * y)
    dy = np.diff(y)
    length = np.hypot(np.diff(x), dy)
    both = v[1:] + v[:-1]
    stretch = 2 * dy / length / both
    hurry = 2 * length / both**2
    return stretch[:-1] - stretch[1:] - (hurry[:-1] + hurry[1:]) * GRAVITY / v[1:-1]
"""

FALLING = """
def falling(P, Q, step):
    P, Q = np.asarray(P, float), np.asarray(Q, float)
    if FREE == "left":
        P, Q = P[::-1], Q[::-1]
    diagonal = P / step + step * Q[1:]
    diagonal[:-1] += P[1:] / step
    diagonal[-1] -= step * Q[-1] / 2
    beside = -P[1:] / step
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    return int((np.linalg.eigvalsh(matrix) < 0).sum())
"""

LONGEST = """
def longest(s):
    return (np.pi / 2 + np.arctan(s / OMEGA)) / OMEGA
"""


PLANTED: list[Planted] = [
    Planted(
        "kind",
        slip="f'' decides alone",
        answer=(
            "def kind(derivatives):\n"
            "    if derivatives[0] != 0:\n"
            '        return "neither"\n'
            "    if len(derivatives) < 2 or derivatives[1] == 0:\n"
            '        return "undecided"\n'
            '    return "minimum" if derivatives[1] > 0 else "maximum"\n'
        ),
        says="odd order",
    ),
    Planted(
        "kind",
        slip="f' = 0 taken as sufficient",
        answer=changed(
            KIND,
            '    if derivatives[0] != 0:\n        return "neither"\n',
            "",
            'if order % 2 == 1:\n                return "neither"\n            ',
            "",
        ),
        says="small steps",
    ),
    Planted(
        "kind",
        slip="order counted from 0",
        answer=changed(KIND, "start=1", "start=0"),
        says="the sign of f'' decides",
    ),
    Planted(
        "kind",
        slip="the last derivative decides",
        answer=changed(
            KIND, "enumerate(derivatives, start=1)", "list(enumerate(derivatives, start=1))[::-1]"
        ),
        says="not a later one",
    ),
    Planted(
        "kind",
        slip="stops at the fourth",
        answer=changed(KIND, "in enumerate(derivatives, start=1)", "in enumerate(derivatives[:4], start=1)"),
        says="is decided",
    ),
    Planted(
        "layers",
        slip="straight line",
        answer=(
            "def layers(thickness, index, width):\n"
            "    return width * np.asarray(thickness) / np.sum(thickness)\n"
        ),
        says="straight line",
    ),
    Planted(
        "layers",
        slip="Snell upside down",
        answer=changed(LAYERS, "np.asarray(index, float)", "1 / np.asarray(index, float)"),
        says="upside down",
    ),
    Planted(
        "layers",
        slip="tangent for sine",
        answer=(
            "def layers(thickness, index, width):\n"
            "    share = np.asarray(thickness) / np.asarray(index)\n"
            "    return width * share / share.sum()\n"
        ),
        says="sine",
    ),
    Planted(
        "layers",
        slip="crossings for ways",
        answer=changed(LAYERS, "return parts", "return np.cumsum(parts)"),
        says="each single layer",
    ),
    Planted(
        "layers",
        slip="scales the thickness in place",
        answer=changed(
            LAYERS,
            "    return parts",
            "    thickness *= same / np.sqrt(index**2 - same**2)\n    return thickness",
        ),
        says="changed in place",
    ),
    Planted(
        "layers",
        slip="bisection stopped early",
        answer=changed(LAYERS, "range(100)", "range(12)"),
        says="add up to X",
    ),
    Planted(
        "winner",
        slip="asks the package, which knows no wind",
        answer=(
            "def winner(corners, weights, wind):\n"
            "    from kexue_lite.extrema import fermat_point\n"
            "    there = (fermat_point(corners, weights) == corners).all(axis=1)\n"
            "    return int(there.argmax()) if there.any() else -1\n"
        ),
        says="The wind is missing",
    ),
    Planted(
        "winner",
        slip="wind reversed",
        answer=changed(WINNER, "np.array(wind, float)", "-np.array(wind, float)"),
        says="opposite signs",
    ),
    Planted(
        "winner",
        slip="adds the pulls to the wind itself",
        answer=changed(WINNER, "np.array(wind, float)", "wind"),
        says="changed in place",
    ),
    Planted(
        "winner",
        slip="larger component for length",
        answer=changed(WINNER, "np.linalg.norm(force)", "np.abs(force).max()"),
        says="the winners of",
    ),
    Planted(
        "winner",
        slip="directions not normalised",
        answer=changed(WINNER, " / np.linalg.norm(away)", ""),
        says="length 1",
    ),
    Planted(
        "winner",
        slip="weights forgotten",
        answer=changed(WINNER, "weights[j] * away", "away"),
        says="with their weights",
    ),
    Planted(
        "winner",
        slip="only a heavy weight wins",
        answer=(
            "def winner(corners, weights, wind):\n"
            "    i = int(np.argmax(weights))\n"
            "    return i if 2 * weights[i] >= np.sum(weights) else -1\n"
        ),
        says="only one way to win",
    ),
    Planted(
        "winner",
        slip="only the heaviest is tried",
        answer=changed(WINNER, "for i in range(len(corners)):", "for i in [int(np.argmax(weights))]:"),
        says="Not only the heaviest",
    ),
    Planted(
        "winner",
        slip="best corner, even if the knot rests between",
        answer=(
            "def winner(corners, weights, wind):\n"
            "    lengths = np.linalg.norm(corners[:, None] - corners, axis=2)\n"
            "    return int(np.argmin(lengths @ weights - corners @ wind))\n"
        ),
        says="lowest corner",
    ),
    Planted(
        "winner",
        slip="counts from 1",
        answer=changed(WINNER, "return i\n", "return i + 1\n"),
        says="counted from 0",
    ),
    Planted(
        "winner",
        slip="a tie lifts the knot",
        answer=changed(WINNER, "<= weights[i]", "< weights[i]"),
        says="exactly as strong",
    ),
    Planted(
        "bracket",
        slip="asks the package, to which the mirror image is a number",
        answer=(
            "def bracket(weight):\n"
            "    import sympy as sp\n"
            "    from kexue_lite.extrema import euler_lagrange\n"
            '    x, m, a = sp.symbols("x m a")\n'
            '    y = sp.Function("y")(x)\n'
            "    w = sum(c * x**k for k, c in enumerate(weight))\n"
            "    F = sp.Rational(MASS, 2) * y.diff(x) ** 2 + w * y * m + y**POWER\n"
            "    (equation,) = euler_lagrange(F, y, x)\n"
            '    return str(equation.lhs.doit().subs(y.diff(x, 2), a).subs(y, sp.Symbol("y")))\n'
        ),
        says="has an increment, too",
    ),
    Planted(
        "bracket",
        slip="w not mirrored",
        answer=changed(BRACKET, "2 * w if k % 2 == 0 else 0", "2 * w"),
        says="seen in the mirror",
    ),
    Planted(
        "bracket",
        slip="sign of integration by parts",
        answer=changed(BRACKET, "- {MASS}*a", "+ {MASS}*a"),
        says="turns the sign",
    ),
    Planted(
        "bracket",
        slip="mass forgotten",
        answer=changed(BRACKET, "- {MASS}*a", "- a"),
        says="M is missing",
    ),
    Planted(
        "bracket",
        slip="power not differentiated",
        answer=changed(BRACKET, "{POWER}*y**{POWER - 1}", "y**{POWER}"),
        says="not y**n",
    ),
    Planted(
        "bracket",
        slip="solves only the w of the example",
        answer=changed(BRACKET, "2 * w if k % 2 == 0", "2 * w if k in (0, 2)"),
        says="for all w",
    ),
    Planted(
        "tent",
        slip="area not held",
        answer=(
            "def tent(x, spring, height, area):\n"
            "    return np.asarray(x) * spring * height / (TENSION + spring * SPAN), 0.0\n"
        ),
        says="area is not held",
    ),
    Planted(
        "tent",
        slip="end nailed to the height of the spring",
        answer=changed(
            TENT,
            "[SPAN + spring * SPAN**2 / (2 * TENSION), TENSION + spring * SPAN]",
            "[SPAN**2 / (2 * TENSION), SPAN]",
            "[spring * height, area]",
            "[height, area]",
        ),
        says="nailed",
    ),
    Planted(
        "tent",
        slip="free end without the spring",
        answer=changed(TENT, "    x = np", "    spring = 0\n    x = np"),
        says="spring is missing",
    ),
    Planted(
        "tent",
        slip="sign of the spring",
        answer=changed(TENT, "    x = np", "    spring = -spring\n    x = np"),
        says="pushes",
    ),
    Planted(
        "tent",
        slip="sign of the multiplier",
        answer=changed(TENT, "slope * x, multiplier", "slope * x, -multiplier"),
        says="F + lambda G",
    ),
    Planted(
        "tent",
        slip="half of the multiplier",
        answer=changed(TENT, "slope * x, multiplier", "slope * x, multiplier / 2"),
        says="A factor 2",
    ),
    Planted(
        "tent",
        slip="scales x in place",
        answer=changed(TENT, "    end =", "    x *= 1.0000001\n    end ="),
        says="changed in place",
    ),
    Planted(
        "time_gradient",
        slip="speeds frozen",
        answer=changed(TIME_GRADIENT, " - (hurry[:-1] + hurry[1:]) * GRAVITY / v[1:-1]", ""),
        says="only the lengths",
    ),
    Planted(
        "time_gradient",
        slip="lengths frozen",
        answer=changed(TIME_GRADIENT, "stretch[:-1] - stretch[1:] - (", "-("),
        says="only the speeds",
    ),
    Planted(
        "time_gradient",
        slip="one of the two pieces",
        answer=changed(
            TIME_GRADIENT,
            "stretch[:-1] - stretch[1:]",
            "stretch[:-1]",
            "(hurry[:-1] + hurry[1:])",
            "hurry[:-1]",
        ),
        says="both count",
    ),
    Planted(
        "time_gradient",
        slip="starts at rest, as in the chapter",
        answer=changed(TIME_GRADIENT, "START_SPEED**2 + ", ""),
        says="v0 is missing",
    ),
    Planted(
        "time_gradient",
        slip="sign",
        answer=changed(
            TIME_GRADIENT,
            "return stretch[:-1]",
            "return -stretch[:-1]",
            "- stretch[1:] - (",
            "+ stretch[1:] + (",
        ),
        says="direction of descent",
    ),
    Planted(
        "time_gradient",
        slip="ends included",
        answer=(
            "def time_gradient(x, y):\n"
            "    import torch\n"
            "    x, y = torch.tensor(x), torch.tensor(y, requires_grad=True)\n"
            "    v = torch.sqrt(START_SPEED**2 + 2 * GRAVITY * y)\n"
            "    time = (2 * torch.hypot(x.diff(), y.diff()) / (v[1:] + v[:-1])).sum()\n"
            "    return torch.autograd.grad(time, y)[0].numpy()\n"
        ),
        says="shape (2,) is expected, got (4,)",
    ),
    Planted(
        "falling",
        slip="both ends held, as in the chapter",
        answer=(
            "def falling(P, Q, step):\n"
            "    P, Q = np.asarray(P, float), np.asarray(Q, float)\n"
            "    diagonal = (P[:-1] + P[1:]) / step + step * Q[1:-1]\n"
            "    beside = -P[1:-1] / step\n"
            "    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)\n"
            "    return int((np.linalg.eigvalsh(matrix) < 0).sum())\n"
        ),
        says="both ends held",
    ),
    Planted(
        "falling",
        slip="the wrong end free",
        answer=changed(FALLING, 'FREE == "left"', 'FREE != "left"'),
        says="wrong end",
    ),
    Planted(
        "falling",
        slip="whole weight at the free corner",
        answer=changed(FALLING, "    diagonal[-1] -= step * Q[-1] / 2\n", ""),
        says="half a weight",
    ),
    Planted(
        "falling",
        slip="step forgotten",
        answer=changed(FALLING, "    if FREE", "    step = 1.0\n    if FREE"),
        says="step is missing",
    ),
    Planted(
        "falling",
        slip="counts rising directions",
        answer=changed(FALLING, "(matrix) < 0", "(matrix) > 0"),
        says="in which the value rises",
    ),
    Planted(
        "falling",
        slip="changes Q in place",
        answer=changed(
            FALLING,
            "    diagonal = P",
            "    Q[-1] /= 2\n    diagonal = P",
            "    diagonal[-1] -= step * Q[-1] / 2\n",
            "",
        ),
        says="changed in place",
    ),
    Planted(
        "longest",
        slip="asks the package, which holds both ends",
        answer=(
            "def longest(s):\n"
            "    import sympy as sp\n"
            "    from kexue_lite.extrema import conjugate_points\n"
            '    x = sp.Symbol("x")\n'
            '    y = sp.Function("y")(x)\n'
            "    spring = y.diff(x) ** 2 / 2 - OMEGA**2 * y**2 / 2\n"
            "    stop = 4 / OMEGA\n"
            "    return float(conjugate_points(spring, y, x, path=sp.Integer(0), start=0, stop=stop)[0])\n"
        ),
        says="both ends held",
    ),
    Planted(
        "longest",
        slip="free end without its term",
        answer=changed(LONGEST, " + np.arctan(s / OMEGA)", ""),
        says="term with s is missing",
    ),
    Planted(
        "longest",
        slip="sign of s",
        answer=changed(LONGEST, "+ np.arctan", "- np.arctan"),
        says="sign of s",
    ),
    Planted(
        "longest",
        slip="branch of the arctangent",
        answer="def longest(s):\n    return np.arctan(-OMEGA / s) / OMEGA\n",
        says="another branch",
    ),
    Planted(
        "longest",
        slip="half a turn added for every s",
        answer="def longest(s):\n    return (np.pi + np.arctan(-OMEGA / s)) / OMEGA\n",
        says="second zero",
    ),
    Planted(
        "longest",
        slip="angle for duration",
        answer=changed(LONGEST, ") / OMEGA\n", ")\n"),
        says="asked is L",
    ),
    Planted(
        "longest",
        slip="a spring always above 0",
        answer=changed(LONGEST, "    return", "    if s == 0:\n        return np.pi / OMEGA\n    return"),
        says="both ends held",
    ),
]
