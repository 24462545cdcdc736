"""Checkers for the exercises of chapter 3. Each takes the reader's answer and says what is probably wrong
with it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..data import digits
from ..networks import linearly_separable, pca_error, threshold_network, truth_table_inputs
from . import Mistake, _say, judge


def exercise_3_1(answer: Any) -> bool:
    """One threshold unit for "x₁ implies x₂" (wrong only for 1, 0), as ``(w1, w2, t)``.

    Examples
    --------
    >>> exercise_3_1((1, 1, 2))
    Exercise 3.1: not yet. It is wrong for the inputs 00, 01: an implication holds wherever x₁ is 0.
    False
    """
    if answer is ...:
        return _say("3.1", "no answer yet. Replace the three dots.")
    numbers = _numbers(answer, 3)
    if numbers is None:
        return _say("3.1", "three finite numbers are expected: w1, w2 and the threshold t.")
    *weights, threshold = numbers
    layer = (torch.tensor([weights]).double(), torch.tensor([threshold]).double())
    wrong = _wrong_rows([layer], [1, 1, 0, 1])
    if not wrong:
        return _right("3.1")
    hints = {
        ("10",): "a unit that always fires needs to be silenced by x₁, and x₂ has to make up for it.",
        ("11",): "there x₂ has to make up for what x₁ takes away.",
        ("00",): "with no input at all the sum is 0: what must t be for the unit to fire?",
        ("00", "01"): "an implication holds wherever x₁ is 0.",
        ("01", "10"): "that is the implication the other way round.",
    }
    hint = hints.get(tuple(wrong), "write the four rows as inequalities, as in (3.3).")
    return _say("3.1", f"not yet. It is wrong for the inputs {', '.join(wrong)}: {hint}")


def exercise_3_2(answer: Any) -> bool:
    """How many numbers training sets in a network 64 → 32 → 10.

    Examples
    --------
    >>> exercise_3_2(64 * 32 + 32 * 10)
    Exercise 3.2: not yet. Those are the weights; each unit has a constant as well.
    False
    """
    return judge(
        "3.2", answer, 64 * 32 + 32 + 32 * 10 + 10, tolerance=0,
        mistakes=[
            Mistake(64 * 32 + 32 * 10, "Those are the weights; each unit has a constant as well."),
            Mistake(64 + 32 + 10, "Those are the units; the numbers stand on the lines between them."),
            Mistake(64 * 32 * 10, "Layers follow each other: their numbers add up."),
            Mistake(65 * 32 + 32 * 10, "The last layer has constants, too."),
        ],
        hint="Count W¹, b¹, W² and b² of section 3.3 one by one.",
    )  # fmt: skip


def exercise_3_3(answer: Any) -> bool:
    """∂ℓ/∂w₁ for ŷ = w₂ tanh(w₁x), ℓ = ½(ŷ − y)², at x = 1, w₁ = 0.5, w₂ = 2, y = 0; within 1e-4.

    Examples
    --------
    >>> exercise_3_3(...)
    Exercise 3.3: no answer yet. Replace the three dots.
    False
    """
    h = math.tanh(0.5)
    delta = 2 * h
    return judge(
        "3.3", answer, delta * 2 * (1 - h * h), tolerance=1e-4,
        mistakes=[
            Mistake(delta * 2, "The slope of tanh is missing on the way back."),
            Mistake(delta * 2 * h * (1 - h), "h(1 − h) is the slope of the sigmoid, not of tanh."),
            Mistake(delta * (1 - h * h), "On the way back δ passes through w₂."),
            Mistake(delta * h, "That is the slope along w₂."),
            Mistake(2 * delta * 2 * (1 - h * h), "A factor 2: the loss has one half in front."),
        ],
        hint="Two factors of (3.5): what comes back through w₂, and the slope of tanh where it stands.",
    )  # fmt: skip


def exercise_3_4(answer: Any) -> bool:
    """How many of the 256 truth tables of three inputs one threshold unit computes.

    Examples
    --------
    >>> exercise_3_4(14)
    Exercise 3.4: not yet. That is the count for two inputs.
    False
    """
    right = _tables_of_one_unit()
    return judge(
        "3.4", answer, right, tolerance=0,
        mistakes=[
            Mistake(14, "That is the count for two inputs."),
            Mistake(256, "Two layers compute all of them; here one unit has to do."),
            Mistake(256 - right, "Those are the tables that one unit does not compute."),
            Mistake(254, "More than the two parities of three inputs are out of reach."),
            Mistake(right // 2, "A unit may have negative weights and thresholds."),
        ],
        hint="Ask `linearly_separable` for each table.",
    )  # fmt: skip


def exercise_3_5(answer: Any) -> bool:
    """The least number of relus in one hidden layer that make the tent map composed four times, on [0, 1].

    Examples
    --------
    >>> exercise_3_5(8)
    Exercise 3.5: not yet. That is the deep network's number of units, two in each of four layers.
    False
    """
    pieces = 2**4
    # The bends, one less than the pieces, change the slope by ±32; relus that look left or right at the bends
    # alone begin with a slope that is a multiple of 32. It has to be 16: one unit more.
    return judge(
        "3.5", answer, pieces, tolerance=0,
        mistakes=[
            Mistake(8, "That is the deep network's number of units, two in each of four layers."),
            Mistake(pieces - 1, "That is one for each bend. With which slope can such a sum begin?"),
            Mistake(pieces + 1, "One too many: how often does the graph bend *inside* the interval?"),
            Mistake(32, "That is for five times."),
            Mistake(pieces // 2 - 1, "The zigzag bends at its lower corners as well."),
        ],
        hint="How many pieces has the graph, how often does it bend, and with which slope does it begin?",
    )  # fmt: skip


def exercise_3_6(answer: Any) -> bool:
    """The least mean squared error of a linear autoencoder 64 → 10 → 64 on half A of the digits; to 1e-5.

    Examples
    --------
    >>> exercise_3_6("small")
    Exercise 3.6: a number or an array of numbers is expected, got str.
    False
    """
    images, _ = digits()
    x = torch.from_numpy(images.images).double().flatten(1)
    right = pca_error(x, 10)
    singular = torch.linalg.svdvals(x)
    centred = torch.linalg.svdvals(x - x.mean(0))
    return judge(
        "3.6", answer, right, tolerance=1e-5,
        mistakes=[
            Mistake(float((singular[10:] ** 2).sum() / x.numel()), "Take the mean picture away first."),
            Mistake(right * 64, "That is the error of a picture; asked is the mean over its pixels."),
            Mistake(float((centred[10:] ** 2).sum()), "That is the sum over all pictures."),
            Mistake(float((centred[:10] ** 2).sum() / x.numel()), "That is what is kept, not what is lost."),
        ],
        hint="Use (3.7): the eigenvalues of the covariance from the eleventh on, shared among the pixels.",
    )  # fmt: skip


def exercise_3_7(answer: Any) -> bool:
    """After how many sigmoid layers of one unit, weights 2, any constants, the slope is surely below 1e-6.

    Examples
    --------
    >>> exercise_3_7(10)
    Exercise 3.7: not yet. That is for weights of 1; each layer also multiplies by its weight.
    False
    """
    return judge(
        "3.7", answer, math.floor(math.log(1e-6) / math.log(0.5)) + 1, tolerance=0,
        mistakes=[
            Mistake(10, "That is for weights of 1; each layer also multiplies by its weight."),
            Mistake(math.floor(math.log(1e-6) / math.log(0.5)), "One short: *below* a millionth is asked."),
            Mistake(12, "That is without constants b; with them each unit can stand where it is steepest."),
            Mistake(14, "That is e in the place of 2: what is the steepest slope of σ, times the weight?"),
        ],
        hint="Each layer multiplies the slope by its weight times σ', and (3.4) bounds σ'.",
    )  # fmt: skip


def exercise_3_8(answer: Any) -> bool:
    """Parity of four inputs by two layers with at most four hidden threshold units.

    `answer` is a list of two pairs, weights and thresholds, as `threshold_network` takes them.

    Examples
    --------
    >>> from kexue_lite.networks import GATES
    >>> exercise_3_8(GATES["XOR"])
    Exercise 3.8: layers do not fit: the first must read 4 inputs and the second give 1 output.
    False
    """
    if answer is ...:
        return _say("3.8", "no answer yet. Replace the three dots.")
    try:
        pairs = [tuple(torch.as_tensor(part, dtype=torch.float64) for part in layer) for layer in answer]
        layers = [(weights, thresholds.reshape(-1)) for weights, thresholds in pairs]
        finite = all(bool(part.isfinite().all()) for layer in layers for part in layer)
    except (TypeError, ValueError, RuntimeError):
        layers, finite = [], False
    if not finite or len(layers) != 2:
        return _say("3.8", "two layers are expected, each a pair of weights and thresholds, all finite.")
    if [w.ndim for w, _ in layers] != [2, 2] or layers[0][0].shape[1] != 4 or layers[1][0].shape[0] != 1:
        return _say("3.8", "layers do not fit: the first must read 4 inputs and the second give 1 output.")
    hidden = len(layers[0][0])
    try:
        wrong = _wrong_rows(layers, [bin(number).count("1") % 2 for number in range(16)])
    except ValueError:
        return _say("3.8", "layers do not fit: the second must read as many numbers as the first gives.")
    if wrong:
        hint = "Count first: what is a unit with four equal weights able to say?"
        return _say("3.8", f"not yet. Wrong on {len(wrong)} of the 16 rows, such as {wrong[0]}. {hint}")
    if hidden > 4:
        return _say(
            "3.8", f"not yet. It is right on all rows, but with {hidden} hidden units; four are enough."
        )
    return _right("3.8")


@functools.cache  # 256 linear programs
def _tables_of_one_unit() -> int:
    tables = [[number >> k & 1 for k in range(8)] for number in range(256)]
    return sum(linearly_separable(table) is not None for table in tables)


def _wrong_rows(layers: Sequence[tuple[Tensor, Tensor]], table: Sequence[int]) -> list[str]:
    n = len(table).bit_length() - 1
    outputs = threshold_network(truth_table_inputs(n), layers)[:, 0].int().tolist()
    return [f"{k:0{n}b}" for k, (out, wanted) in enumerate(zip(outputs, table, strict=True)) if out != wanted]


def _numbers(answer: Any, count: int) -> list[float] | None:
    try:
        values = [float(value) for value in answer]
    except (TypeError, ValueError):
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None


def _right(number: str) -> bool:
    print(f"Exercise {number}: right.")
    return True
