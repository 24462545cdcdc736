"""Wrong answers to assignment 4 that students really write, and how each must be rejected."""

from __future__ import annotations

from classroom.planted import Planted

BAG = """
def bag(words, V):
    return {}
"""

COUNT = """
def count(documents, V):
    counts = np.zeros((V, V))
    for words in {documents}:
        for i, w in enumerate(words):
            for j, c in enumerate(words):
                if {near} and {known}:
                    counts[{place}] += (LEFT if j < i else 1) * {weight}
    return counts
"""
NEIGHBOURS = {
    "documents": "documents",
    "near": "0 < abs(i - j) <= WINDOW",
    "known": "w >= 0 and c >= 0",
    "place": "w, c",
    "weight": "1 / abs(i - j)",
}

ASSOCIATE = """
def associate(counts):
    counts = np.array(counts, float)
    noise = {noise}
    chance = {chance}
    ratio = np.divide(counts, chance, out=np.ones_like(counts), where=counts > 0)
    return {answer}
"""
SCORE = {
    "noise": "counts.sum(0) ** ALPHA / (counts.sum(0) ** ALPHA).sum()",
    "chance": "K * counts.sum(1, keepdims=True) * noise",
    "answer": "counts / (counts + DISCOUNT) * np.maximum(np.log(ratio), 0)",
}

REST = """
def rest(counts):
    p = np.array(counts, float)
    noise = p.sum(0) ** {alpha}
    q = {q} * noise / noise.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        x = {x}
    return np.where({nothing}, 0.0, {bounded})
"""
AT_REST = {
    "alpha": "ALPHA",
    "q": "K * (p.sum(1, keepdims=True) - p)",
    "x": "np.log(p) - np.log(q)",
    "nothing": "(p == 0) & (q == 0)",
    "bounded": "np.clip(x, -BOUND, BOUND)",
}

GRADIENT = """
def gradient(W, C, b, p, q):
    X = {X}
    N = {N}
    loss = {loss} / N
    sigma = np.exp(-np.logaddexp(0, -X))
    G = {G} / N
    return loss, G @ C, G.T @ W, {db}
"""
SLOPE = {
    "X": "W @ C.T + b",
    "N": "p.sum()",
    "loss": "(p * np.logaddexp(0, -X) + q * np.logaddexp(0, X)).sum()",
    "G": "(q * sigma - p * (1 - sigma))",
    "db": "G.sum(0)",
}

LOW_RANK = """
def low_rank(M, rows, columns, d):
    a, b = {weights}
    U, s, Vt = np.linalg.svd({inside}, full_matrices=False)
    return {X}, {pays}
"""
NEAREST = {
    "weights": "np.sqrt(rows)[:, None], np.sqrt(columns)",
    "inside": "a * M * b",
    "X": "(U[:, :d] * s[:d]) @ Vt[:d] / a / b",
    "pays": "(s[d:] ** 2).sum()",
}

GAIN = """
def gain(counts, k):
    p = np.array(counts, float)
    noise = p.sum(0) ** {alpha} / (p.sum(0) ** {alpha}).sum()
    q = k * p.sum(1, keepdims=True) * noise

    def lowest(p, q):
        seen = np.where(p > 0, p, 1)
        return (q * np.log1p(p / q) + np.where(p > 0, p * np.log1p(q / seen), 0)).sum()

    return {answer}
"""
START = "lowest(p.sum(0), k * p.sum() * noise)"

LIMIT = """
def limit(counts):
    p = np.array(counts, float) / np.sum(counts)
    chance = p.sum(1, keepdims=True) * p.sum(0)
    pmi = np.log(np.where(p > 0, p / chance, 1))
    return {}
"""


def _count(**changed: str) -> str:
    return COUNT.format(**(NEIGHBOURS | changed))


def _associate(**changed: str) -> str:
    return ASSOCIATE.format(**(SCORE | changed))


def _rest(**changed: str) -> str:
    return REST.format(**(AT_REST | changed))


def _gradient(**changed: str) -> str:
    return GRADIENT.format(**(SLOPE | changed))


def _low_rank(**changed: str) -> str:
    return LOW_RANK.format(**(NEAREST | changed))


def _gain(answer: str, alpha: str = "ALPHA") -> str:
    return GAIN.format(answer=answer, alpha=alpha)


PLANTED: list[Planted] = [
    # 1 ------------------------------------------------------------------------------------------------
    Planted("bag", "the last place overwrites",
            "def bag(words, V):\n"
            "    b = np.zeros(V)\n"
            "    b[words] += FADE ** np.arange(len(words))\n"
            "    return b\n",
            "overwritten the others"),
    Planted("bag", "plain bag of words", BAG.format("np.bincount(words, minlength=V).astype(float)"),
            "All places count the same"),
    Planted("bag", "off by one",
            BAG.format("np.bincount(words, weights=FADE ** (1 + np.arange(len(words))), minlength=V)"),
            "The first place is t = 0"),
    Planted("bag", "from the end",
            BAG.format("np.bincount(words, weights=FADE ** np.arange(len(words))[::-1], minlength=V)"),
            "from the end to the beginning"),
    Planted("bag", "mean",
            BAG.format("np.bincount(words, FADE ** np.arange(len(words)), V) / max(len(words), 1)"),
            "the sum is asked"),
    # 2 ------------------------------------------------------------------------------------------------
    Planted("count", "rows and columns exchanged", _count(place="c, w"), "Left and right are exchanged"),
    Planted("count", "distance forgotten", _count(weight="1"), "The distance is not in it"),
    Planted("count", "the chapter's weights", _count(weight="(WINDOW - abs(i - j) + 1) / WINDOW"),
            "the chapter's weights (4.3)"),
    Planted("count", "window one short", _count(near="0 < abs(i - j) < WINDOW"), "one place too short"),
    Planted("count", "minus one as an index", _count(known="True"), "The number -1 is no word"),
    Planted("count", "gaps closed first", _count(documents="[[w for w in d if w >= 0] for d in documents]"),
            "keep their place"),
    Planted("count", "documents joined", _count(documents="[sum(documents, [])]"),
            "from one document into the next"),
    Planted("count", "the package's counts",
            "def count(documents, V):\n"
            "    from kexue_lite.embeddings import cooccurrence\n\n"
            "    text = [[str(w) for w in words] for words in documents]\n"
            "    known = [str(w) for w in range(V)]\n"
            "    return cooccurrence(text, window=WINDOW, min_count=1, weights='shrinking',\n"
            "                        vocabulary=known).counts.toarray()\n", "the table of counts"),
    # 3 ------------------------------------------------------------------------------------------------
    Planted("associate", "no discount", _associate(answer="np.maximum(np.log(ratio), 0)"),
            "discount of rare pairs"),
    Planted("associate", "contexts not smoothed", _associate(noise="counts.sum(0) / counts.sum()"),
            "contexts are not smoothed"),
    Planted("associate", "wrong axis",
            _associate(noise="(counts.sum(1) ** ALPHA / (counts.sum(1) ** ALPHA).sum())[:, None]",
                       chance="K * counts.sum(0) * noise"), "Rows and columns are exchanged"),
    Planted("associate", "noise not normalised", _associate(noise="counts.sum(0) ** ALPHA / counts.sum()"),
            "must sum to 1"),
    Planted("associate", "sign of the shift",
            _associate(chance="counts.sum(1, keepdims=True) * noise / K"), "wrong sign"),
    Planted("associate", "log2",
            _associate(answer="counts / (counts + DISCOUNT) * np.maximum(np.log2(ratio), 0)"),
            "natural one"),
    Planted("associate", "shifted after clipping", _associate(
        chance="counts.sum(1, keepdims=True) * noise",
        answer="np.where(counts > 0, counts / (counts + DISCOUNT)"
               " * (np.maximum(np.log(ratio), 0) - np.log(K)), 0)"), "Shift first"),
    Planted("associate", "zeros not looked after",
            "def associate(counts):\n"
            "    noise = counts.sum(0) ** ALPHA / (counts.sum(0) ** ALPHA).sum()\n"
            "    pmi = np.log(counts / (counts.sum(1, keepdims=True) * noise)) - np.log(K)\n"
            "    return counts / (counts + DISCOUNT) * np.maximum(pmi, 0)\n", "NaN or infinity"),
    Planted("associate", "in place",
            "def associate(counts):\n"
            "    noise = counts.sum(0) ** ALPHA / (counts.sum(0) ** ALPHA).sum()\n"
            "    chance = K * counts.sum(1, keepdims=True) * noise\n"
            "    share = counts / (counts + DISCOUNT)\n"
            "    chance[counts == 0] = 1\n"
            "    counts[counts == 0] = 1\n"
            "    return share * np.maximum(np.log(counts / chance), 0)\n", "in place"),
    Planted("associate", "the package's positive PMI",
            "def associate(counts):\n"
            "    from kexue_lite.embeddings import Cooccurrence, pmi\n\n"
            "    return pmi(Cooccurrence(counts), shift=K, exponent=ALPHA, positive=True).toarray()\n",
            "discount of rare pairs"),
    # 4 ------------------------------------------------------------------------------------------------
    Planted("rest", "the chapter's law", _rest(q="K * p.sum(1, keepdims=True)"),
            "pays for noise that is the true context"),
    Planted("rest", "noise not smoothed", _rest(alpha="1"), "not smoothed"),
    Planted("rest", "upside down", _rest(x="np.log(q) - np.log(p)"), "upside down"),
    Planted("rest", "no k", _rest(q="(p.sum(1, keepdims=True) - p)"), "draws K noise words"),
    Planted("rest", "all pairs of others", _rest(q="K * (p.sum() - p)"), "only as often as"),
    Planted("rest", "no bounds", _rest(bounded="x"), "NaN or infinity"),
    Planted("rest", "zero over zero", _rest(nothing="np.zeros_like(p, bool)"), "NaN or infinity"),
    Planted("rest", "log2", _rest(x="np.log2(p) - np.log2(q)"), "natural one"),
    # 5 ------------------------------------------------------------------------------------------------
    Planted("gradient", "sign", _gradient(G="(p * (1 - sigma) - q * sigma)"), "wrong sign"),
    Planted("gradient", "not per pair", _gradient(N="1"), "divide by N"),
    Planted("gradient", "mean over the cells", _gradient(N="p.size"), "number of cells"),
    Planted("gradient", "noise in N", _gradient(N="(p + q).sum()"), "the sum of p alone"),
    Planted("gradient", "mean for sum", _gradient(db="G.mean(0)"), "do not average"),
    Planted("gradient", "wrong axis", _gradient(db="G.sum(1)"), "shape (4,) is expected, got (3,)"),
    Planted("gradient", "no bias", _gradient(X="W @ C.T"), "The bias is missing"),
    Planted("gradient", "σ(x) and σ(−x)", _gradient(G="(q * (1 - sigma) - p * sigma)"), "exchanged"),
    Planted("gradient", "overflow", _gradient(
        loss="-(p * np.log(1 / (1 + np.exp(-X))) + q * np.log(1 - 1 / (1 + np.exp(-X)))).sum()"),
        "NaN or infinity"),
    Planted("gradient", "the package's, without a bias",
            "def gradient(W, C, b, p, q):\n"
            "    import torch\n"
            "    from kexue_lite.embeddings import sgns_dense\n\n"
            "    given = [torch.tensor(x) for x in (W, C, p, q / p.sum(1, keepdims=True))]\n"
            "    loss, dW, dC = sgns_dense(*given, negatives=1)\n"
            "    return float(loss), dW.numpy(), dC.numpy(), np.zeros(len(b))\n", "bias is missing"),
    # 6 ------------------------------------------------------------------------------------------------
    Planted("low_rank", "plain SVD", _low_rank(weights="1, 1"), "plain SVD"),
    Planted("low_rank", "not scaled back", _low_rank(X="(U[:, :d] * s[:d]) @ Vt[:d]"), "not come back"),
    Planted("low_rank", "no roots", _low_rank(weights="rows[:, None], columns"), "when squared"),
    Planted("low_rank", "one value too many", _low_rank(X="(U[:, :d+1] * s[:d+1]) @ Vt[:d+1] / a / b"),
            "too many"),
    Planted("low_rank", "columns forgotten", _low_rank(weights="np.sqrt(rows)[:, None], 1"),
            "weights of the columns"),
    Planted("low_rank", "root of the sum", _low_rank(pays="(s[d:] ** 2).sum() ** 0.5"), "root of the sum"),
    Planted("low_rank", "what is kept", _low_rank(pays="(s[:d] ** 2).sum()"), "what X keeps"),
    Planted("low_rank", "errors without weights",
            _low_rank(pays="((M - (U[:, :d] * s[:d]) @ Vt[:d] / a / b) ** 2).sum()"),
            "without their weights"),
    Planted("low_rank", "the package's truncated SVD",
            "def low_rank(M, rows, columns, d):\n"
            "    from kexue_lite.embeddings import truncated_svd\n\n"
            "    found = truncated_svd(M, d)\n"
            "    X = ((found.U * found.s) @ found.Vt).numpy()\n"
            "    return X, (rows[:, None] * columns * (M - X) ** 2).sum()\n", "plain SVD"),
    # 7 ------------------------------------------------------------------------------------------------
    Planted("gain", "not per pair", _gain(f"{START} - lowest(p, q)"), "divide by N"),
    Planted("gain", "sign", _gain(f"(lowest(p, q) - {START}) / p.sum()"), "L1 less L0"),
    Planted("gain", "L0 at zeros", _gain("((p + q).sum() * np.log(2) - lowest(p, q)) / p.sum()"),
            "scores of zero"),
    Planted("gain", "L0 at −log k",
            _gain("((p * np.log(1 + k) + q * np.log(1 + 1 / k)).sum() - lowest(p, q)) / p.sum()"),
            "scores −log k"),
    Planted("gain", "noise not smoothed", _gain(f"({START} - lowest(p, q)) / p.sum()", alpha="1"),
            "not smoothed"),
    Planted("gain", "log2", _gain(f"({START} - lowest(p, q)) / p.sum() / np.log(2)"), "in bits"),
    Planted("gain", "0 log 0",
            "def gain(counts, k):\n"
            "    noise = counts.sum(0) ** ALPHA / (counts.sum(0) ** ALPHA).sum()\n\n"
            "    def lowest(p, q):\n"
            "        return (p * np.log(1 + q / p) + q * np.log(1 + p / q)).sum()\n\n"
            "    return (lowest(counts.sum(0), k * counts.sum() * noise)\n"
            "            - lowest(counts, k * counts.sum(1, keepdims=True) * noise)) / counts.sum()\n",
            "NaN or infinity"),
    # 8 ------------------------------------------------------------------------------------------------
    Planted("limit", "log2", LIMIT.format("(p * pmi).sum() / np.log(2)"), "in bits"),
    Planted("limit", "the gain at a huge k", "def limit(counts):\n    return gain(counts, 1e12)\n",
            "NaN or infinity"),
    Planted("limit", "plain mean", LIMIT.format("pmi[p > 0].mean()"), "frequent pairs count more"),
    Planted("limit", "positive part", LIMIT.format("(p * np.maximum(pmi, 0)).sum()"),
            "Negative contributions"),
    Planted("limit", "whole text", LIMIT.format("np.sum(counts) * (p * pmi).sum()"), "one for each pair"),
    Planted("limit", "mean over chance", LIMIT.format("-(chance * pmi).sum()"), "as they would by chance"),
    Planted("limit", "noise still in it",
            "def limit(counts):\n"
            "    p = np.array(counts, float)\n"
            "    noise = p.sum(0) ** ALPHA / (p.sum(0) ** ALPHA).sum()\n"
            "    ratio = np.where(p > 0, p, 1) / np.where(p > 0, p.sum(1, keepdims=True) * noise, 1)\n"
            "    return (p * np.log(ratio)).sum() / p.sum()\n", "The noise is still in it"),
    Planted("limit", "entropy of the pairs", LIMIT.format("-(p * np.log(np.where(p > 0, p, 1))).sum()"),
            "entropy of the pairs"),
]  # fmt: skip
