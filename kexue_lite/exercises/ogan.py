"""Checkers for the exercises of chapter 6. Each takes the reader's answer and says what is probably wrong
with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..ogan import OGAN, decompose, distance_penalty, encoder_loss, generator_loss, joint_loss
from . import Mistake, _say, judge


def exercise_6_1(answer: Any) -> bool:
    """Average, deviation and direction of the code (1, 2, 6, 3), as a list of six numbers; within 1e-4.

    Examples
    --------
    >>> exercise_6_1([3.0, 2.160, -0.926, -0.463, 1.389, 0])
    Exercise 6.1: not yet. The deviation here is that of a population: divide by n, not by n − 1.
    False
    """
    z = torch.tensor([1.0, 2.0, 6.0, 3.0], dtype=torch.float64)
    average, deviation, direction = decompose(z)
    sample = z.std(correction=1)
    rows = {
        "The deviation here is that of a population: divide by n, not by n − 1.": (
            [average, sample, *((z - average) / sample)]
        ),
        "That is the variance: take its root.": ([average, deviation**2, *((z - average) / deviation**2)]),
        "The direction has mean square 1, not length 1.": [average, deviation, *(direction / 2)],
        "Take the average away before you divide.": [average, deviation, *(z / deviation)],
    }
    right = [average, deviation, *direction]
    return judge(
        "6.1", answer, [float(v) for v in right], tolerance=1e-3,
        mistakes=[Mistake([float(v) for v in values], hint) for hint, values in rows.items()],
        hint="(6.1): first the average, then the mean square of what is left, then the division.",
    )  # fmt: skip


def exercise_6_2(answer: Any) -> bool:
    """‖N(a) − N(b)‖² for n = 16 and ρ = 0.9; exact.

    Examples
    --------
    >>> exercise_6_2(0.2)
    Exercise 6.2: not yet. N has mean square 1, not length 1: a factor n is missing.
    False
    """
    return judge(
        "6.2", answer, 3.2, tolerance=1e-6,
        mistakes=[
            Mistake(0.2, "N has mean square 1, not length 1: a factor n is missing."),
            Mistake(1.6, "Both squares count: n and n."),
            Mistake(math.sqrt(3.2), "The square is asked."),
            Mistake(28.8, "That is 2nρ: how far apart are two directions with ρ = 1?"),
        ],
        hint="Multiply the square out; three sums, and each is n times something that you know.",
    )  # fmt: skip


def exercise_6_3(answer: Any) -> bool:
    """How many numbers of a code of 16 the correlation can feel; exact.

    Examples
    --------
    >>> exercise_6_3(16)
    Exercise 6.3: not yet. ρ does not change when a constant is added, nor when the code is doubled.
    False
    """
    return judge(
        "6.3", answer, 14, tolerance=0,
        mistakes=[
            Mistake(16, "ρ does not change when a constant is added, nor when the code is doubled."),
            Mistake(15, "One freedom more: ρ does not change when the code is doubled, either."),
            Mistake(2, "Those are the ones that it cannot feel."),
            Mistake(13, "One too few: average and deviation are all that is free."),
        ],
        hint="n, less the directions in which a code can move without a change of N.",
    )  # fmt: skip


def exercise_6_4(answer: Any) -> bool:
    """The best D(x) − D(x̃) of GAN-QP for two pictures of mean square distance 0.09, λ₁ = 0.25; exact.

    Examples
    --------
    >>> exercise_6_4(0.18)
    Exercise 6.4: not yet. The sign: D is low for real pictures.
    False
    """
    return judge(
        "6.4", answer, -0.18, tolerance=1e-6,
        mistakes=[
            Mistake(0.18, "The sign: D is low for real pictures."),
            Mistake(-0.36, "The derivative of a square has a factor 2."),
            Mistake(-0.09, "That is the loss at the best difference; the difference is asked."),
            Mistake(-0.6, "R divides by the mean square itself, not by its root."),
            Mistake(-2 / 0.09, "The distance stands below in R: it is multiplied when you solve for s."),
        ],
        hint="Minimise s + λ₁s²/d over s.",
    )  # fmt: skip


def exercise_6_5(answer: Any) -> bool:
    """The s for which a code that comes back as z + s·(independent noise of variance 1) has ρ = 0.9; 1e-3.

    Examples
    --------
    >>> exercise_6_5(0.2346)
    Exercise 6.5: not yet. That is s²: take the root.
    False
    """
    right = math.sqrt(1 / 0.81 - 1)
    return judge(
        "6.5", answer, right, tolerance=1e-3,
        mistakes=[
            Mistake(right**2, "That is s²: take the root."),
            Mistake(math.sqrt(1 / 0.9 - 1), "ρ = 1/√(1 + s²), not 1/(1 + s²)."),
            Mistake(1 / 0.9 - 1, "ρ = 1/√(1 + s²), and s² is not s."),
            Mistake(math.sqrt(1 - 0.81), "That is for √(1 − ρ²); the noise is added, it replaces nothing."),
            Mistake(0.1, "The two share a variance, so squares count."),
        ],
        hint="For many numbers: covariance of z and z + s·noise over the product of their deviations.",
    )  # fmt: skip


def exercise_6_6(answer: Any) -> bool:
    """|ρ| of two codes of two numbers, neither constant; exact.

    Examples
    --------
    >>> exercise_6_6(0.5)
    Exercise 6.6: not yet. Take any two codes and compute it; then two others.
    False
    """
    return judge(
        "6.6", answer, 1.0, tolerance=1e-9,
        mistakes=[
            Mistake(0.0, "Zero would need a direction at right angles: which directions are there?"),
            Mistake(2 / math.pi, "That is the mean of a cosine on a circle; here no circle is left."),
            Mistake(-1.0, "The absolute value is asked."),
        ],
        hint="Take any two codes and compute it; then two others.",
    )  # fmt: skip


def exercise_6_7(answer: Any) -> bool:
    """One loss for both networks: a function ``(E, x, fake, z)`` of λ₁ = 0.25, λ₂ = 0.5, mean or rows.

    It is given a network E of pictures ``(B, 8, 8)``; the gradients are compared with those of the two.

    Examples
    --------
    >>> exercise_6_7(lambda E, x, fake, z: encoder_loss(E, x, fake, z))
    Exercise 6.7: not yet. E's gradient is right; G's is that of E's loss: close the way of D(x̃) to G there.
    False
    """
    if answer is ...:
        return _say("6.7", "no answer yet. Replace the three dots.")
    if not callable(answer):
        return _say("6.7", "a function of (E, x, fake, z) is expected.")
    model = OGAN(8, 6, hidden=(12,), generator=torch.Generator().manual_seed(0)).double()
    g = torch.Generator().manual_seed(1)
    x = torch.rand(9, 8, 8, generator=g, dtype=torch.float64)
    z = torch.randn(9, 6, generator=g, dtype=torch.float64)
    fake = model.generate(z)
    try:
        loss = answer(model.encode, x, fake, z).mean()
        of_e, of_g = _gradient(loss, model.E), _gradient(loss, model.G)
    except Exception as error:  # the reader's own code: whatever it raises is told, not raised
        words = (str(error).splitlines() or ["no word of why"])[0]
        return _say("6.7", f"it does not run: {type(error).__name__}: {words}")
    right_e = _gradient(encoder_loss(model.encode, x, fake.detach(), z).mean(), model.E)
    right_g = _gradient(generator_loss(model.encode, fake, z).mean(), model.G)
    e_right, g_right = _near(of_e, right_e), _near(of_g, right_g)
    if e_right and g_right:
        print("Exercise 6.7: right.")
        return True
    whole_e = _gradient(encoder_loss(model.encode, x, fake, z).mean(), model.G)
    open_way = _open(model.encode, x, fake, z)
    if e_right and _near(of_g, whole_e):
        return _say(
            "6.7",
            "not yet. E's gradient is right; G's is that of E's loss: close the way of D(x̃) to G there.",
        )
    if e_right and _near(of_g, _gradient(open_way, model.G)):
        return _say(
            "6.7", "not yet. E's gradient is right; G must not feel R: detach the picture there, too."
        )
    if e_right:
        return _say("6.7", "not yet. E's gradient is right, G's is not: what may G feel? D(x̃) and ρ alone.")
    both = encoder_loss(model.encode, x, fake.detach(), z) + generator_loss(model.encode, fake, z)
    if g_right and _near(of_e, _gradient(both.mean(), model.E)):
        return _say("6.7", "not yet. G's gradient is right; E feels G's loss as well: D(x̃) and ρ twice.")
    if g_right:
        return _say("6.7", "not yet. G's gradient is right, E's is not: what E finds in D(x̃) must cancel.")
    return _say("6.7", "not yet. Begin with E's loss on detached pictures; then add what G alone shall feel.")


def exercise_6_8(answer: Any) -> bool:
    """What a constant code (2, 2, 2) gives by (6.1) as it stands, and by `decompose`: two truth values.

    `answer` is ``(is_nan_by_formula, is_zero_by_decompose)``.

    Examples
    --------
    >>> exercise_6_8((False, True))
    Exercise 6.8: not yet. Divide 0 by 0 in torch and look.
    False
    """
    if answer is ...:
        return _say("6.8", "no answer yet. Replace the three dots.")
    try:
        first, second = (_truth(v) for v in answer)
    except (TypeError, ValueError, RuntimeError):
        return _say("6.8", "two truth values are expected.")
    if not first:
        return _say("6.8", "not yet. Divide 0 by 0 in torch and look.")
    if not second:
        return _say("6.8", "not yet. Read what `decompose` says of constant codes, and try it.")
    print("Exercise 6.8: right.")
    return True


def _truth(value: Any) -> bool:
    """True or False, also as a single number of torch or numpy; TypeError or ValueError for others."""
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, bool):
        raise TypeError(f"a truth value is expected, got {value!r}")
    return plain


def _gradient(loss: Tensor, network: torch.nn.Module) -> Tensor:
    parts = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def _near(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).norm() <= 1e-9 * (1e-3 + other.norm()))


def _open(encoder: Callable[[Tensor], Tensor], x: Tensor, fake: Tensor, z: Tensor) -> Tensor:
    """The joint loss whose R has not been closed to G."""
    real, still, open_ = encoder(x).mean(-1), encoder(fake.detach()).mean(-1), encoder(fake).mean(-1)
    closed = distance_penalty(real, still, x, fake.detach())
    return (joint_loss(encoder, x, fake, z) + 0.25 * (distance_penalty(real, open_, x, fake) - closed)).mean()
