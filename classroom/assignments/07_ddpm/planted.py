"""Wrong answers to assignment 7, each with the words with which it has to be rejected."""

from classroom.planted import slip, whole

GATHER = """
def gather(a, b):
    keep, shift, variance = [1.0], [0.0], [0.0]
    for alpha, beta in zip(a, b):
        keep.append(alpha * keep[-1])
        shift.append(alpha * shift[-1] + DRIFT)
        variance.append(alpha**2 * variance[-1] + beta**2)
    return np.array(keep), np.array(shift), np.sqrt(variance)
"""

ROAD = """
def road(T):
    rise = (np.arange(1, T + 1) / T) ** POWER
    low, high = 0.0, 1.0
    for _ in range(80):
        c = (low + high) / 2
        low, high = (c, high) if np.prod(1 - c * rise) > LEFT else (low, c)
    return c * rise
"""

CHANCE = """
def chance(a, b, k):
    late = old = 0.0
    for t, (alpha, beta) in enumerate(zip(a, b), start=1):
        late, old = alpha**2 * late, alpha**2 * old
        if t > len(a) - k:
            late += beta**2
        else:
            old += beta**2
    return old / (old + late)
"""

BEST_NOISE = """
def best_noise(x, centres, spreads, chances, keep, noise):
    wide = keep**2 * spreads**2 + noise**2
    apart = x[:, None] - keep * centres
    score = np.log(chances) - x.shape[1] / 2 * np.log(wide) - (apart**2).sum(2) / (2 * wide)
    weight = np.exp(score - score.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    return noise * (weight[:, :, None] * apart / wide[:, None]).sum(1)
"""

BUILD = """
def build(x, z, a, b, mean, s2):
    T = len(a)
    keep, variance = [1.0], [0.0]
    for alpha, beta in zip(a, b):
        keep.append(alpha * keep[-1])
        variance.append(alpha**2 * variance[-1] + beta**2)
    for t in range(T, 0, -1):
        beta2 = b[t - 1] ** 2
        line = (x - keep[t] * mean) / (keep[t] ** 2 * s2 + variance[t])
        x = (x - beta2 * line) / a[t - 1]
        if t > 1:
            sigma = math.sqrt(MIX * beta2 + (1 - MIX) * beta2 * variance[t - 1] / variance[t])
            x = x + sigma * z[t - 1]
    return x
"""

STRIDES = """
def strides(keep, noise, kept):
    to = np.array(kept)
    since = np.concatenate([[0], to[:-1]])
    alpha = keep[to] / keep[since]
    return alpha, np.sqrt(noise[to] ** 2 - alpha**2 * noise[since] ** 2)
"""

RIGHT_SIGMA = """
def right_sigma(a, b, s2):
    spread = [s2]
    for alpha, beta in zip(a, b):
        spread.append(alpha**2 * spread[-1] + beta**2)
    spread = np.array(spread)
    return b * np.sqrt(spread[:-1] / spread[1:])
"""

STOPS = """
def stops(left, s2, K):
    end = math.atan2(math.sqrt(1 - left), math.sqrt(s2 * left))
    angle = np.linspace(end, 0, K + 1)
    share = np.cos(angle) ** 2 / (np.cos(angle) ** 2 + s2 * np.sin(angle) ** 2)
    return share, math.cos(end / K) ** (2 * K)
"""


PLANTED = [
    slip(GATHER, "squares for factors", "That is the square", ("np.array(keep)", "np.square(keep)")),
    slip(GATHER, "no entry 0", "Entry 0", ("np.array(keep)", "np.array(keep[1:])")),
    slip(
        GATHER,
        "push not multiplied",
        "multiplied by α as well",
        ("alpha * shift[-1] + DRIFT", "shift[-1] + DRIFT"),
    ),
    slip(
        GATHER,
        "push before",
        "after the multiplication",
        ("alpha * shift[-1] + DRIFT", "alpha * (shift[-1] + DRIFT)"),
    ),
    slip(GATHER, "variance for deviation", "take its root", ("np.sqrt(variance)", "np.array(variance)")),
    slip(GATHER, "old noise stays", "Old noise", ("alpha**2 * variance[-1]", "variance[-1]")),
    slip(GATHER, "the chapter's tie", "only if", ("np.sqrt(variance)", "np.sqrt(abs(1 - np.square(keep)))")),
    slip(
        GATHER,
        "new noise multiplied",
        "of that step",
        ("alpha**2 * variance[-1] + beta**2", "alpha**2 * (variance[-1] + beta**2)"),
    ),
    whole(
        "gather",
        "deviations added",
        "Deviations do not add",
        """
def gather(a, b):
    keep, shift, noise = [1.0], [0.0], [0.0]
    for alpha, beta in zip(a, b):
        keep.append(alpha * keep[-1])
        shift.append(alpha * shift[-1] + DRIFT)
        noise.append(alpha * noise[-1] + beta)
    return np.array(keep), np.array(shift), np.array(noise)
""",
    ),
    whole(
        "gather",
        "by the package",
        "A is not right yet",
        """
def gather(a, b):
    import torch
    from kexue_lite import ddpm
    s = ddpm.Schedule.from_ho(torch.from_numpy(b**2), most_signal=1)
    return s.alpha_bar.numpy(), DRIFT * np.arange(len(a) + 1), s.beta_bar.numpy()
""",
    ),
    slip(ROAD, "beta for its square", "asked is β²", ("return c * rise", "return np.sqrt(c * rise)")),
    slip(ROAD, "the square of the end", "not of A", ("> LEFT", "> LEFT**2")),
    slip(
        ROAD,
        "exp of the sum",
        "only nearly",
        ("return c * rise", "return -math.log(LEFT) / rise.sum() * rise"),
    ),
    slip(ROAD, "straight", "POWER is missing", (" ** POWER", "")),
    slip(
        ROAD,
        "t from 0",
        "one step early",
        ("np.arange(1, T + 1)", "np.arange(T)"),
        ("0.0, 1.0", "0.0, 1 / max(rise.max(), 1e-9)"),
    ),
    slip(ROAD, "alpha for beta", "Those are α²", ("return c * rise", "return 1 - c * rise")),
    slip(ROAD, "backwards", "wrong order", ("return c * rise", "return (c * rise)[::-1]")),
    slip(ROAD, "the article's factor", "(7.12)", ("return c * rise", "return 0.02 * 1000 / T * rise")),
    slip(ROAD, "beta bends", "not β", ("** POWER", "** (2 * POWER)")),
    slip(CHANCE, "known for chance", "can be known", ("return old /", "return late /")),
    slip(CHANCE, "the last brick", "last brick alone", ("len(a) - k", "len(a) - 1")),
    slip(CHANCE, "no alpha", "multiplied by the α", ("alpha**2 * late, alpha**2 * old", "late, old")),
    slip(
        CHANCE, "root", "is a square", ("return old / (old + late)", "return math.sqrt(old / (old + late))")
    ),
    slip(CHANCE, "off by one", "is not right yet", ("t > len", "t >= len")),
    slip(
        CHANCE,
        "old noise stands",
        "old noise, too",
        ("alpha**2 * late, alpha**2 * old", "alpha**2 * late, alpha**2 * old if t <= len(a) - k else old"),
        ("(old + late)", "(early + late)"),
        ("old = 0.0", "old = early = 0.0"),
        (
            "late, old = alpha",
            "early = alpha**2 * early + (beta**2 if t <= len(a) - k else 0); late, old = alpha",
        ),
    ),
    whole(
        "chance",
        "by the package",
        "for granted",
        """
def chance(a, b, k):
    import torch
    from kexue_lite import ddpm
    return ddpm.removed_share(ddpm.Schedule.from_ho(torch.from_numpy(b**2), most_signal=1), len(a))
""",
    ),
    slip(BEST_NOISE, "no probabilities", "probabilities of the clouds are not", ("np.log(chances) - ", "-")),
    slip(
        BEST_NOISE,
        "picture for noise",
        "guess of the picture",
        (
            "return noise * (weight[:, :, None] * apart / wide[:, None]).sum(1)",
            "return (x - noise**2 * (weight[:, :, None] * apart / wide[:, None]).sum(1)) / keep",
        ),
    ),
    slip(BEST_NOISE, "sign", "The sign", ("return noise", "return -noise")),
    slip(BEST_NOISE, "no factor before exp", "low density", (" - x.shape[1] / 2 * np.log(wide)", "")),
    slip(BEST_NOISE, "one factor for D directions", "D factors", ("x.shape[1] / 2", "0.5")),
    slip(BEST_NOISE, "no half", "2 v below", ("/ (2 * wide)", "/ wide")),
    slip(
        BEST_NOISE, "points for clouds", "deviations of the clouds", ("keep**2 * spreads**2", "0 * spreads")
    ),
    slip(BEST_NOISE, "clouds do not shrink", "clouds have shrunk", ("keep**2 * spreads**2", "spreads**2")),
    slip(BEST_NOISE, "spread not squared", "to be squared", ("spreads**2", "spreads")),
    slip(
        BEST_NOISE,
        "likeliest cloud",
        "likeliest",
        ("np.exp(score - score.max(1, keepdims=True))", "(score == score.max(1, keepdims=True)) * 1.0"),
    ),
    slip(
        BEST_NOISE,
        "other axis",
        "which axis",
        ("weight.sum(1, keepdims=True)", "weight.sum(0)"),
        ("score.max(1, keepdims=True)", "score.max()"),
    ),
    slip(BEST_NOISE, "underflow", "NaN", ("np.exp(score - score.max(1, keepdims=True))", "np.exp(score)")),
    slip(BEST_NOISE, "no B", "factor B", ("return noise * ", "return ")),
    slip(BUILD, "upwards", "from T down", ("range(T, 0, -1)", "range(1, T + 1)")),
    slip(BUILD, "no mean", "mean of the data is not", ("(x - keep[t] * mean)", "x")),
    slip(BUILD, "mean not shrunk", "multiplied by A_t", ("keep[t] * mean", "mean")),
    slip(
        BUILD, "all noise at once", "last brick", ("beta2 * line", "b[t - 1] * math.sqrt(variance[t]) * line")
    ),
    slip(BUILD, "no division", "division by α_t", (") / a[t - 1]", ")")),
    slip(BUILD, "noise at the end", "At t = 1", ("if t > 1:", "if t > 0:")),
    slip(BUILD, "z backwards", "last row is used first", ("z[t - 1]", "z[T - t]")),
    slip(BUILD, "z off by one", "not z[t]", ("z[t - 1]", "z[t % T]")),
    slip(BUILD, "sigma = beta", "σ = β", ("MIX", "1")),
    slip(BUILD, "MIX exchanged", "exchanged", ("MIX * beta2 + (1 - MIX)", "(1 - MIX) * beta2 + MIX")),
    slip(BUILD, "variance for sigma", "root of that variance", ("sigma = math.sqrt(", "sigma = (")),
    slip(
        BUILD,
        "in place",
        "in place",
        ("        x = (x - beta2 * line) / a[t - 1]", "        x -= beta2 * line\n        x /= a[t - 1]"),
    ),
    slip(STRIDES, "from 0 on", "begins at the level before", ("keep[to] / keep[since]", "keep[to]")),
    slip(
        STRIDES,
        "upside down",
        "Upside down",
        ("keep[to] / keep[since]", "keep[since] / keep[to]"),
        ("noise[to] ** 2 - ", "noise[to] ** 2 + "),
    ),
    slip(
        STRIDES,
        "first stride left out",
        "first stride",
        ("to = np.array(kept)", "to = np.array(kept)[1:]"),
        ("np.concatenate([[0], to[:-1]])", "np.array(kept)[:-1]"),
    ),
    slip(
        STRIDES,
        "variance",
        "That is β'²",
        (
            "np.sqrt(noise[to] ** 2 - alpha**2 * noise[since] ** 2)",
            "noise[to] ** 2 - alpha**2 * noise[since] ** 2",
        ),
    ),
    slip(
        STRIDES,
        "old noise not multiplied",
        "is multiplied by α' in",
        (
            "np.sqrt(noise[to] ** 2 - alpha**2 * noise[since] ** 2)",
            "np.sqrt(abs(noise[to] ** 2 - noise[since] ** 2))",
        ),
    ),
    slip(
        STRIDES,
        "the chapter's tie",
        "1 all along",
        ("np.sqrt(noise[to] ** 2 - alpha**2 * noise[since] ** 2)", "np.sqrt(abs(1 - alpha**2))"),
    ),
    slip(
        STRIDES,
        "deviations subtracted",
        "not deviations",
        ("np.sqrt(noise[to] ** 2 - alpha**2 * noise[since] ** 2)", "noise[to] - noise[since]"),
    ),
    slip(RIGHT_SIGMA, "posterior", "posterior's", ("spread = [s2]", "spread = [0.0]")),
    slip(RIGHT_SIGMA, "beta", "That is σ = β", (" * np.sqrt(spread[:-1] / spread[1:])", "")),
    slip(RIGHT_SIGMA, "upside down", "upside down", ("spread[:-1] / spread[1:]", "spread[1:] / spread[:-1]")),
    slip(
        RIGHT_SIGMA,
        "variance",
        "take the root",
        ("return b * np.sqrt(spread[:-1] / spread[1:])", "return b**2 * spread[:-1] / spread[1:]"),
    ),
    slip(
        RIGHT_SIGMA,
        "no root of the fraction",
        "wants a root",
        ("np.sqrt(spread[:-1] / spread[1:])", "(spread[:-1] / spread[1:])"),
    ),
    slip(RIGHT_SIGMA, "unit data", "s = 1 alone", ("spread = [s2]", "spread = [1.0]")),
    slip(
        RIGHT_SIGMA,
        "none at the end",
        "noise is needed, too",
        (
            "    return b * np.sqrt(spread[:-1] / spread[1:])",
            "    sigma = b * np.sqrt(spread[:-1] / spread[1:])\n    sigma[0] = 0\n    return sigma",
        ),
    ),
    slip(
        STOPS,
        "evenly in the variance",
        "Evenly in A² ",
        ("    share = ", "    share = np.linspace(left, 1, K + 1) + 0 * "),
    ),
    slip(
        STOPS,
        "evenly in A",
        "Evenly in A is",
        ("    share = ", "    share = np.linspace(left**0.5, 1, K + 1) ** 2 + 0 * "),
    ),
    slip(
        STOPS,
        "unit data",
        "best for s = 1",
        ("math.sqrt(s2 * left)", "math.sqrt(left)"),
        ("+ s2 * np", "+ np"),
    ),
    slip(STOPS, "backwards", "begins with the noise", ("return share", "return share[::-1]")),
    slip(STOPS, "A for its square", "values of A:", ("return share", "return np.sqrt(share)")),
    slip(STOPS, "K stops", "both ends", ("np.linspace(end, 0, K + 1)", "np.linspace(end, 0, K)")),
    slip(STOPS, "deviation", "goes with its square", ("** (2 * K)", "** K")),
    slip(STOPS, "lost", "what is lost", ("return share, math", "return share, 1 - math")),
    slip(STOPS, "one stride", "single stride", ("** (2 * K)", "** 2")),
    whole(
        "best_noise",
        "by the package",
        "the guess is not right yet",
        """
def best_noise(x, centres, spreads, chances, keep, noise):
    import torch
    from kexue_lite import ddpm
    size, (x, centres, chances) = math.hypot(keep, noise), map(torch.from_numpy, (x, centres, chances))
    road = ddpm.Schedule(torch.tensor([keep / size, 0.5], dtype=torch.float64), most_signal=1)
    clouds = ddpm.Mixture(centres, float(spreads.mean()), chances)
    return clouds.noise_model(road)(x / size, torch.ones(len(x), dtype=torch.int64)).numpy()
""",
    ),
    whole(
        "right_sigma",
        "by the package",
        "That is σ = β",
        """
def right_sigma(a, b, s2):
    import torch
    from kexue_lite import ddpm
    return ddpm.sigma_of("beta", ddpm.Schedule.from_ho(torch.from_numpy(b**2), most_signal=1))[1:].numpy()
""",
    ),
]
