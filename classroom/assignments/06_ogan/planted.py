"""Wrong answers to assignment 6, each with the words with which it has to be rejected."""

from classroom.planted import slip, whole

PARTS = """
def parts(z, p):
    q = p / p.sum()
    average = z @ q
    centred = z - average[:, None]
    deviation = np.sqrt(centred**2 @ q)
    safe = np.where(deviation > FLAT, deviation, np.inf)
    return average, deviation, centred / safe[:, None]
"""

WALK = """
def walk(first, last, p, stops):
    q = p / p.sum()
    ends = np.stack([first, last])
    average = ends @ q
    deviation = np.sqrt((ends - average[:, None]) ** 2 @ q)
    direction = (ends - average[:, None]) / deviation[:, None]
    s = np.linspace(0, 1, stops)[:, None]
    mixed = (1 - s) * direction[0] + s * direction[1]
    mixed /= np.sqrt(mixed**2 @ q)[:, None]
    size = ((1 - s) * deviation[0] ** POWER + s * deviation[1] ** POWER) ** (1 / POWER)
    return (1 - s) * average[0] + s * average[1] + size * mixed
"""

PULL = """
def pull(z, z_hat, p):
    q = p / p.sum()

    def split(c):
        centred = c - (c @ q)[:, None]
        deviation = np.sqrt(centred**2 @ q)[:, None]
        return centred / deviation, deviation

    (N, _), (N_hat, deviation) = split(z), split(z_hat)
    rho = ((N * N_hat) @ q)[:, None]
    return q * (N - rho * N_hat) / deviation
"""

BALANCE = """
def balance(d):
    best = -((d / (EXPONENT * LAM)) ** (1 / (EXPONENT - 1)))
    return best, best * (1 - 1 / EXPONENT)
"""

ONE_LOSS = """
def one_loss(lam1, lam_e, lam_g):
    return [1, KAPPA, -1 - KAPPA, -MU, lam1 + MU, -lam_g, lam_g - lam_e]
"""

CAUTIOUS = """
def cautious(x_tune, back_tune, x_test, back_test):
    m = x_tune.mean(0)
    w, wide, there = np.where(x_tune > 0.5, INK, 1), x_tune - m, back_tune - m
    factor = (w * wide * there).sum() / (w * there**2).sum()
    w, wide, there = np.where(x_test > 0.5, INK, 1), x_test - m, back_test - m
    return factor, (w * (wide - factor * there) ** 2).sum() / (w * wide**2).sum()
"""

UNTOUCHED = """
def untouched(rates, p):
    return 1 / rates / (1 / rates).sum()
"""

AFTER = """
def after(rho, deviation, steps):
    for _ in range(steps):
        open_ = 1 - rho**2
        grown = np.sqrt(deviation**2 + ETA**2 * open_ / deviation**2)
        rho = (rho * deviation + ETA * open_ / deviation) / grown
        deviation = grown
    return float(rho), float(deviation)
"""


PLANTED = [
    slip(PARTS, "no weights", "weights are not in it", ("p / p.sum()", "np.full(len(p), 1 / len(p))")),
    slip(PARTS, "weights not normalised", "add up to 1", ("p / p.sum()", "p")),
    slip(PARTS, "variance for deviation", "take its root", ("np.sqrt(centred**2 @ q)", "centred**2 @ q")),
    slip(PARTS, "no flat codes", "FLAT", ("np.where(deviation > FLAT, deviation, np.inf)", "deviation")),
    slip(PARTS, "only zero is flat", "FLAT or less", ("deviation > FLAT", "deviation > 1e-12")),
    slip(PARTS, "one less", "one less", ("centred**2 @ q", "centred**2 @ p / (p.sum() - 1)")),
    slip(
        PARTS,
        "distances from the plain mean",
        "weighted average",
        ("np.sqrt(centred**2 @ q)", "np.sqrt((z - z.mean(1)[:, None]) ** 2 @ q)"),
    ),
    slip(
        PARTS,
        "average weighted, squares not",
        "mean of the squares is not",
        ("centred**2 @ q", "(centred**2).mean(1)"),
    ),
    slip(
        PARTS,
        "length 1",
        "not the length 1",
        ("safe[:, None]", "np.where(deviation > FLAT, np.linalg.norm(centred, axis=1), np.inf)[:, None]"),
    ),
    slip(
        PARTS,
        "in place",
        "in place",
        ("centred = z - average[:, None]", "z -= average[:, None]; centred = z"),
    ),
    whole(
        "parts",
        "by the package",
        "weights are not in it",
        """
def parts(z, p):
    return z.mean(1), z.std(1), np.stack([
        (row - row.mean()) / row.std() if row.std() > FLAT else 0 * row for row in z])
""",
    ),
    whole(
        "parts",
        "imports the package",
        "weights are not in it",
        """
def parts(z, p):
    from kexue_lite import ogan
    return tuple(part.numpy() for part in ogan.decompose(torch.from_numpy(z)))
""",
    ),
    whole(
        "walk",
        "codes mixed as they are",
        "three parts",
        """
def walk(first, last, p, stops):
    s = np.linspace(0, 1, stops)[:, None]
    return (1 - s) * first + s * last
""",
    ),
    slip(
        WALK, "direction not taken again", "direction again", ("mixed /= np.sqrt(mixed**2 @ q)[:, None]", "")
    ),
    slip(WALK, "deviation goes evenly", "its power POWER", ("POWER", "1")),
    slip(WALK, "last stop left out", "s = 1", ("(0, 1, stops)", "(0, 1, stops, endpoint=False)")),
    slip(WALK, "no average", "average is missing", ("(1 - s) * average[0] + s * average[1] + ", "")),
    slip(WALK, "backwards", "from the last", ("np.linspace(0, 1", "np.linspace(1, 0")),
    slip(WALK, "one stop too many", "shape", ("(0, 1, stops)", "(0, 1, stops + 1)")),
    slip(
        WALK,
        "stops along the other axis",
        "shape",
        ("+ size * mixed", "+ size * mixed).T"),
        ("return (1", "return ((1"),
    ),
    slip(PULL, "equal weights", "1/n", ("return q *", "return 1 / len(p) *")),
    slip(PULL, "factor missing", "pulled less", ("return q * (N", "return (N")),
    slip(PULL, "weights not normalised", "take the shares", ("return q *", "return p *")),
    slip(PULL, "sign", "not −ρ", ("return q", "return -q")),
    slip(PULL, "no rho", "where is ρ", ("N - rho * N_hat", "N - N_hat")),
    slip(PULL, "no deviation", "deviation is missing", (") / deviation\n", ")\n")),
    slip(PULL, "with respect to z", "respect to z", ("split(z), split(z_hat)", "split(z_hat), split(z)")),
    slip(PULL, "variance", "not the variance", (") / deviation\n", ") / deviation**2\n")),
    slip(PULL, "mean over the batch", "over the batch", ("return q", "return 1 / len(z) * q")),
    slip(PULL, "half of the bracket", "not complete", ("(N - rho * N_hat)", "N")),
    whole(
        "pull",
        "the package's correlation",
        "weights are not in it",
        """
def pull(z, z_hat, p):
    from kexue_lite import ogan
    moving = torch.from_numpy(z_hat).requires_grad_()
    (slope,) = torch.autograd.grad(ogan.pearson(torch.from_numpy(z), moving).sum(), moving)
    return slope.numpy()
""",
    ),
    slip(BALANCE, "sign", "low for real", ("best = -(", "best = (")),
    whole(
        "balance",
        "the chapter's power",
        "u = 2",
        """
def balance(d):
    best = -d / (2 * LAM)
    return best, best / 2
""",
    ),
    slip(BALANCE, "factor u", "factor u", ("(EXPONENT * LAM)", "LAM")),
    slip(BALANCE, "no root", "root has to be taken", (" ** (1 / (EXPONENT - 1))", "")),
    slip(BALANCE, "another root", "another root", ("1 / (EXPONENT - 1)", "1 / EXPONENT")),
    slip(BALANCE, "penalty for loss", "penalty alone", ("best * (1 - 1 / EXPONENT)", "-best / EXPONENT")),
    slip(
        BALANCE,
        "signs of the loss",
        "lowers the loss",
        ("best * (1 - 1 / EXPONENT)", "-best * (1 + 1 / EXPONENT)"),
    ),
    slip(BALANCE, "0 / 0", "NaN", ("best * (1 - 1 / EXPONENT)", "best + LAM * np.abs(best) ** EXPONENT / d")),
    slip(BALANCE, "one alone", "2 things", ("best, best * (1 - 1 / EXPONENT)", "best")),
    whole(
        "one_loss",
        "the chapter's",
        "(6.8)",
        """
def one_loss(lam1, lam_e, lam_g):
    return [1, 1, -2, 0, lam1, -lam_g, 0]
""",
    ),
    whole(
        "one_loss",
        "merely added",
        "merely added",
        """
def one_loss(lam1, lam_e, lam_g):
    return [1, KAPPA - 1, 0, lam1 - MU, 0, -lam_e - lam_g, 0]
""",
    ),
    whole(
        "one_loss",
        "E feels both",
        "make up for it",
        """
def one_loss(lam1, lam_e, lam_g):
    return [1, KAPPA, -1, -MU, lam1, -lam_g, -lam_e]
""",
    ),
    slip(ONE_LOSS, "no bracket for rho", "bracket", ("lam_g - lam_e", "0")),
    slip(ONE_LOSS, "sign of MU", "sign of MU", ("-MU, lam1 + MU", "MU, lam1 - MU")),
    slip(ONE_LOSS, "exchanged", "exchanged", ("-lam_g, lam_g - lam_e", "-lam_e, lam_e - lam_g")),
    slip(ONE_LOSS, "six factors", "shape (7,)", ("[1, KAPPA", "[KAPPA")),
    slip(
        CAUTIOUS,
        "tuned on the test",
        "tuned on the test",
        (
            "w, wide, there = np.where(x_tune > 0.5, INK, 1), x_tune - m, back_tune - m",
            "w, wide, there = np.where(x_test > 0.5, INK, 1), x_test - m, back_test - m",
        ),
    ),
    slip(
        CAUTIOUS,
        "all from the test",
        "average picture and all",
        ("x_tune.mean(0)", "x_test.mean(0)"),
        (
            "w, wide, there = np.where(x_tune > 0.5, INK, 1), x_tune - m, back_tune - m",
            "w, wide, there = np.where(x_test > 0.5, INK, 1), x_test - m, back_test - m",
        ),
    ),
    slip(
        CAUTIOUS,
        "average of the test",
        "that is looking",
        (
            "    w, wide, there = np.where(x_test",
            "    m = x_test.mean(0)\n    w, wide, there = np.where(x_test",
        ),
    ),
    slip(CAUTIOUS, "no ink", "count INK times", ("INK", "1")),
    slip(CAUTIOUS, "no ink in the loss", "INK times here", ("np.where(x_test > 0.5, INK, 1)", "1")),
    slip(
        CAUTIOUS,
        "not centred",
        "measured from the average",
        ("x_tune - m, back_tune - m", "x_tune, back_tune"),
    ),
    slip(
        CAUTIOUS, "other way round", "wrong square below", ("/ (w * there**2).sum()", "/ (w * wide**2).sum()")
    ),
    slip(CAUTIOUS, "one mean for all pixels", "not one number", ("x_tune.mean(0)", "x_tune.mean()")),
    slip(CAUTIOUS, "no factor", "factor is not in it", ("wide - factor * there", "wide - there")),
    slip(
        CAUTIOUS,
        "in place",
        "in place",
        ("x_test - m, back_test - m", "np.subtract(x_test, m, out=x_test), back_test - m"),
    ),
    whole(
        "untouched",
        "rates",
        "change the score most",
        """
def untouched(rates, p):
    return rates / rates.sum()
""",
    ),
    whole(
        "untouched",
        "plain average",
        "all rates are equal",
        """
def untouched(rates, p):
    return np.full(len(rates), 1 / len(rates))
""",
    ),
    whole(
        "untouched",
        "weighted average",
        "it moves",
        """
def untouched(rates, p):
    return p / p.sum()
""",
    ),
    whole(
        "untouched",
        "weights once more",
        "in the pull already",
        """
def untouched(rates, p):
    return p / rates / (p / rates).sum()
""",
    ),
    slip(UNTOUCHED, "sum not 1", "add up to 1", (" / (1 / rates).sum()", "")),
    slip(UNTOUCHED, "length 1", "not their squares", ("(1 / rates).sum()", "np.linalg.norm(1 / rates)")),
    slip(AFTER, "a single step", "single step", ("range(steps)", "range(1)")),
    slip(AFTER, "off by one", "One step is missing", ("range(steps)", "range(steps - 1)")),
    slip(
        AFTER,
        "deviation stays",
        "does not stay",
        ("np.sqrt(deviation**2 + ETA**2 * open_ / deviation**2)", "deviation"),
    ),
    slip(
        AFTER,
        "length not divided out",
        "has grown, too",
        ("(rho * deviation + ETA * open_ / deviation) / grown", "rho + ETA * open_ / deviation**2"),
    ),
    slip(
        AFTER,
        "first order",
        "has a root",
        (
            "np.sqrt(deviation**2 + ETA**2 * open_ / deviation**2)",
            "deviation + ETA**2 * open_ / (2 * deviation**3)",
        ),
    ),
    slip(
        AFTER,
        "one long step",
        "not several short ones",
        ("range(steps)", "range(1)"),
        ("ETA", "(steps * ETA)"),
    ),
    slip(AFTER, "downhill", "up the slope", ("rho * deviation + ETA", "rho * deviation - ETA")),
    slip(
        AFTER,
        "wrong order",
        "First the correlation",
        ("float(rho), float(deviation)", "float(deviation), float(rho)"),
    ),
]
