"""Wrong answers to assignment 8 that students really write, and how each must be rejected."""

from __future__ import annotations

from classroom.planted import Planted

ASSIGN = """
def assign(k, codebook, weights):
    distance = {}
    return functional.one_hot(distance.{}, len(codebook)).double()
"""

MASKS = """
def masks(T, L):
    i, j = torch.arange(T)[:, None], torch.arange(T)
    back = i // L - j // L
    return {}
"""

STATES = """
def states(codes, v, S, L):
    N = {blocks}
    sums, counts = torch.zeros(N, S, v.shape[1]), torch.zeros(N, S)
    for n in range(N):
        for j in range({last}):
            weight = {weight}
            sums[n, codes[j]] += weight * v[j]
            counts[n, codes[j]] += weight
    return {answer}
"""

MERGE = """
def merge(outs, lses):
    largest = lses.max(0).values
    weights = {power}
    total = weights.sum(0)
    out = (weights[..., None] * outs).sum(0){divided}
    return out, {lse}
"""

KEY_GRADIENT = """
def key_gradient(q, k, v, codebook, near, pull):
    k = k.detach().clone().requires_grad_()
    rounded = codebook[torch.cdist(k.detach(), codebook).argmin(1)]
    passed = {passed}
    scores = {scores}
    later = torch.ones_like(near).triu(1)
    out = scores{seen}.softmax(1) @ v
    (gradient,) = torch.autograd.grad({loss}, k, allow_unused=True, materialize_grads=True)
    return gradient
"""
FLOW = {
    "passed": "rounded + k - k.detach()",
    "scores": "SCALE * torch.where(near, q @ passed.T, q @ rounded.T)",
    "seen": ".masked_fill(later, -math.inf)",
    "loss": "(pull * out).sum()",
}

MOVE = """
def move(counts, sums, k, codes, keep):
    one_hot = functional.one_hot(codes, len(counts)).double(){kept}
    n, m = one_hot.sum(0), one_hot.T @ k
    {step}
    return counts, sums, {codebook}
"""
STEP = "counts, sums = DECAY * counts + (1 - DECAY) * n, DECAY * sums + (1 - DECAY) * m"
MEAN = "sums / torch.where(counts > 0, counts, 1.0)[:, None]"

SHORTFALL = """
def shortfall(q, k, codes, S):
    g = torch.zeros(S)
    for s in {which}:
        scores = k[codes == s] @ q
        largest = scores.max()
        powers = {power}
        g[s] = {one}
    return g
"""
ONE = "largest + powers.mean().log() / math.log(BASE) - scores.mean()"
POWER = "float(BASE) ** (scores - largest)"

LAW = """
def law(scores):
    return {}
"""


def _states(
    last: str = "min(n * L, len(v))",
    weight: str = "FADE ** (n * L - j)",
    blocks: str = "-(-len(v) // L)",
    answer: str = "sums, counts",
) -> str:
    return STATES.format(last=last, weight=weight, blocks=blocks, answer=answer)


def _merge(
    power: str = "float(BASE) ** (lses - largest)",
    divided: str = " / total[:, None]",
    lse: str = "largest + total.log() / math.log(BASE)",
) -> str:
    return MERGE.format(power=power, divided=divided, lse=lse)


def _flow(**changed: str) -> str:
    return KEY_GRADIENT.format(**(FLOW | changed))


def _move(kept: str = " * keep[:, None]", step: str = STEP, codebook: str = MEAN) -> str:
    return MOVE.format(kept=kept, step=step, codebook=codebook)


def _shortfall(one: str = ONE, power: str = POWER, which: str = "codes.unique().tolist()") -> str:
    return SHORTFALL.format(one=one, power=power, which=which)


FAR = "(back >= NEAR)"
PAST = "(j <= i)"
WEIGHTED = "(weights * (k[:, None] - codebook) ** 2).sum(-1)"

PLANTED: list[Planted] = [
    # 1 ------------------------------------------------------------------------------------------------
    Planted("assign", "plain distance", ASSIGN.format("torch.cdist(k, codebook)", "argmin(1)"),
            "weights of the directions"),
    Planted("assign", "farthest code", ASSIGN.format(WEIGHTED, "argmax(1)"), "farthest"),
    Planted("assign", "largest product", ASSIGN.format("(k * weights) @ codebook.T", "argmax(1)"), "product"),
    Planted("assign", "codes, not one-hot rows",
            "def assign(k, codebook, weights):\n"
            "    return (weights * (k[:, None] - codebook) ** 2).sum(-1).argmin(1)\n",
            "shape (6, 4) is expected, got (6,)"),
    Planted("assign", "wrong axis: the nearest key of each code",
            "def assign(k, codebook, weights):\n"
            "    distance = (weights * (k[:, None] - codebook) ** 2).sum(-1)\n"
            "    return (distance == distance.min(0).values).double()\n", "nearest key of each code"),
    Planted("assign", "the package's nearest codes",
            "def assign(k, codebook, weights):\n"
            "    from kexue_lite.vq_attention import nearest_codes\n\n"
            "    codes = nearest_codes(k[None, None], codebook[None])[0, 0]\n"
            "    return functional.one_hot(codes, len(codebook)).double()\n",
            "weights of the directions"),
    # 2 ------------------------------------------------------------------------------------------------
    Planted("masks", "sees what is later", MASKS.format(f"back < NEAR, {FAR}"), "see what is later"),
    Planted("masks", "own block without a causal mask", MASKS.format(f"(back >= 0) & (back < NEAR), {FAR}"),
            "Inside their own block"),
    Planted("masks", "one block too many", MASKS.format(f"(back <= NEAR) & {PAST}, back > NEAR"), "too many"),
    Planted("masks", "one block too few", MASKS.format(f"(back < NEAR - 1) & {PAST}, back >= NEAR - 1"),
            "too few"),
    Planted("masks", "a window of tokens", MASKS.format(f"(i - j < NEAR * L) & {PAST}, i - j >= NEAR * L"),
            "block by block"),
    Planted("masks", "does not see itself", MASKS.format(f"(back < NEAR) & (j < i), {FAR}"), "itself"),
    Planted("masks", "far is all that is not near",
            MASKS.format(f"(back < NEAR) & {PAST}, ~((back < NEAR) & {PAST})"), "may be later"),
    # 3 ------------------------------------------------------------------------------------------------
    Planted("states", "a block late, as the article prints it", _states(last="(n - 1) * L"),
            "misses the one just before"),
    Planted("states", "own block taken in",
            _states(last="min((n + 1) * L, len(v))", weight="FADE ** ((n + 1) * L - j)"), "end of the block"),
    Planted("states", "only the token's own code fades", _states(
        weight="FADE ** (codes[j : n * L] == codes[j]).sum()"), "All codes fade"),
    Planted("states", "nothing fades", _states(weight="1.0"), "Nothing has faded"),
    Planted("states", "one step short", _states(weight="FADE ** (n * L - 1 - j)"), "One step too few"),
    Planted("states", "fades once for each block", _states(weight="FADE ** (n - j // L)"), "age of its own"),
    Planted("states", "last short block forgotten", _states(blocks="len(v) // L"), "is expected, got (2, 3)"),
    Planted("states", "means in the place of sums",
            _states(answer="sums / counts.clamp(min=1e-9)[..., None], counts"), "no mean"),
    Planted("states", "plus-equals with indices that repeat",
            "def states(codes, v, S, L):\n"
            "    values = functional.pad(v, (0, 1), value=1.0)\n"
            "    state, found = torch.zeros(S, values.shape[1]), []\n"
            "    for start in range(0, len(v), L):\n"
            "        found.append(state)\n"
            "        block = values[start : start + L]\n"
            "        ages = torch.arange(len(block), 0, -1)[:, None]\n"
            "        state = FADE ** len(block) * state\n"
            "        state[codes[start : start + L]] += FADE**ages * block\n"
            "    return torch.stack(found)[..., :-1], torch.stack(found)[..., -1]\n", "indices that repeat"),
    # 4 ------------------------------------------------------------------------------------------------
    Planted("merge", "plain mean", _merge(power="torch.ones_like(lses)", divided=" / len(outs)"),
            "plain mean"),
    Planted("merge", "powers of e",
            "def merge(outs, lses):\n"
            "    return (lses.softmax(0)[..., None] * outs).sum(0), lses.logsumexp(0)\n", "powers of e"),
    Planted("merge", "natural logarithm", _merge(lse="largest * math.log(BASE) + total.log()"),
            "the logarithm is the natural one"),
    Planted("merge", "overflow",
            "def merge(outs, lses):\n"
            "    weights = float(BASE) ** lses\n"
            "    out = (weights[..., None] * outs).sum(0) / weights.sum(0)[:, None]\n"
            "    return out, weights.sum(0).log() / math.log(BASE)\n", "NaN or infinity"),
    Planted("merge", "largest not given back", _merge(lse="total.log() / math.log(BASE)"), "not given back"),
    Planted("merge", "numerator",
            _merge(power="float(BASE) ** lses", divided="", lse="total.log() / math.log(BASE)"), "numerator"),
    Planted("merge", "normalised over the queries",
            "def merge(outs, lses):\n"
            "    weights = (lses * math.log(BASE)).softmax(1)\n"
            "    lse = (lses * math.log(BASE)).logsumexp(0) / math.log(BASE)\n"
            "    return (weights[..., None] * outs).sum(0), lse\n", "wrong axis"),
    Planted("merge", "log-sum-exps added", _merge(lse="lses.sum(0)"), "are added"),
    Planted("merge", "one maximum for all queries",
            "def merge(outs, lses):\n"
            "    largest = lses.max()\n"
            "    weights = float(BASE) ** (lses - largest)\n"
            "    out = (weights[..., None] * outs).sum(0) / weights.sum(0)[:, None]\n"
            "    return out, largest + weights.sum(0).log() / math.log(BASE)\n", "NaN or infinity"),
    # 5 ------------------------------------------------------------------------------------------------
    Planted("key_gradient", "through far pairs, too", _flow(scores="SCALE * q @ passed.T"),
            "passed through far pairs"),
    Planted("key_gradient", "no straight-through", _flow(passed="rounded + 0 * k"),
            "No gradient came through"),
    Planted("key_gradient", "nothing rounded",
            _flow(passed="k", scores="SCALE * torch.where(near, q @ k.T, q @ k.detach().T)"), "not rounded"),
    Planted("key_gradient", "far pairs cut out of the softmax",
            _flow(seen=".masked_fill(~near, -1e9)"), "missing from the softmax"),
    Planted("key_gradient", "no causal mask", _flow(seen=""), "what is later"),
    Planted("key_gradient", "divided by the root of D",
            _flow(scores="torch.where(near, q @ passed.T, q @ rounded.T) / math.sqrt(q.shape[1])"),
            "divided by √D"),
    Planted("key_gradient", "the package's gradient, two blocks near",
            "def key_gradient(q, k, v, codebook, near, pull):\n"
            "    from kexue_lite.vq_attention import vq_attention\n\n"
            "    k = k.detach().clone().requires_grad_()\n"
            "    scaled = SCALE * math.sqrt(q.shape[1]) * q\n"
            "    given = (x[None, None] for x in (scaled, k, v))\n"
            "    out = vq_attention(*given, codebook[None], block_size=len(k))\n"
            "    return torch.autograd.grad((pull * out[0, 0]).sum(), k)[0]\n",
            "passed through far pairs"),
    # 6 ------------------------------------------------------------------------------------------------
    Planted("move", "filler counted", _move(kept=""), "Filler was counted"),
    Planted("move", "weights exchanged",
            _move(step="counts, sums = (1 - DECAY) * counts + DECAY * n, (1 - DECAY) * sums + DECAY * m"),
            "exchanged"),
    Planted("move", "new keys with weight one",
            _move(step="counts, sums = DECAY * counts + n, DECAY * sums + m"), "not 1"),
    Planted("move", "mean of means",
            _move(step="old = sums / torch.where(counts > 0, counts, 1.0)[:, None]\n    " + STEP,
                  codebook="DECAY * old + (1 - DECAY) * m / n.clamp(min=1)[:, None]"), "averages means"),
    Planted("move", "changed in place",
            _move(step="counts.mul_(DECAY).add_((1 - DECAY) * n)\n"
                  "    sums.mul_(DECAY).add_((1 - DECAY) * m)"),
            "in place"),
    Planted("move", "zero over zero", _move(codebook="sums / counts[:, None]"), "NaN"),
    Planted("move", "the package's quantizer",
            "def move(counts, sums, k, codes, keep):\n"
            "    from kexue_lite.vq_attention import VectorQuantizer\n\n"
            "    book = VectorQuantizer(1, len(counts), k.shape[1], decay=DECAY, revive=0).double()\n"
            "    book.started = torch.tensor(True)\n"
            "    book.counts, book.sums = counts[None].clone(), sums[None].clone()\n"
            "    book._move(k[None, None], codes[None, None])\n"
            "    return book.counts[0], book.sums[0], book.codebook[0]\n", "Filler was counted"),
    Planted("move", "plus-equals with indices that repeat",
            "def move(counts, sums, k, codes, keep):\n"
            "    counts, sums = DECAY * counts, DECAY * sums\n"
            "    counts[codes[keep]] += 1 - DECAY\n"
            "    sums[codes[keep]] += (1 - DECAY) * k[keep]\n"
            "    return counts, sums, sums / torch.where(counts > 0, counts, 1.0)[:, None]\n",
            "indices that repeat"),
    # 7 ------------------------------------------------------------------------------------------------
    Planted("shortfall", "sign", _shortfall(one=f"-({ONE})"), "wrong sign"),
    Planted("shortfall", "sum, not mean", _shortfall(one=ONE.replace("powers.mean()", "powers.sum()")),
            "number of keys"),
    Planted("shortfall", "the base e",
            _shortfall(one="scores.logsumexp(0) - math.log(len(scores)) - scores.mean()"),
            "worked out with e"),
    Planted("shortfall", "natural logarithm",
            _shortfall(one="largest * math.log(BASE) + powers.mean().log() - scores.mean()"),
            "the logarithm is the natural one"),
    Planted("shortfall", "overflow",
            _shortfall(power="float(BASE) ** scores", one=ONE.replace("largest + ", "")), "NaN or infinity"),
    Planted("shortfall", "codes without a key", _shortfall(
        which="range(S)", power="float(BASE) ** scores", one=ONE.replace("largest + ", "")
    ).replace("largest = scores.max()", "pass"), "NaN or infinity"),
    # 8 ------------------------------------------------------------------------------------------------
    Planted("law", "no half", LAW.format("math.log(BASE) * scores.var(unbiased=False)"), "twice too large"),
    Planted("law", "the base e", LAW.format("scores.var(unbiased=False) / 2"), "base e"),
    Planted("law", "n less one", LAW.format("math.log(BASE) / 2 * scores.var()"), "not by n − 1"),
    Planted("law", "mean square", LAW.format("math.log(BASE) / 2 * (scores**2).mean()"), "Add 1 to all"),
    Planted("law", "standard deviation", LAW.format("math.log(BASE) / 2 * scores.std(unbiased=False)"),
            "doubles"),
    Planted("law", "g itself", LAW.format(
        "(float(BASE) ** scores).mean().log() / math.log(BASE) - scores.mean()"), "limit for small"),
]  # fmt: skip
