"""What a rescaled parameter does to each optimiser: the exponent p in "θ = λφ multiplies the rate by λᵖ".

Let an optimiser's step be −α u(g, φ), a function of the gradient and of the parameter that it holds. It is
*homogeneous* of degree k in the gradient and m in the parameter if u(c g, s φ) = cᵏ sᵐ u(g, φ). With θ = λφ
it meets the gradient λ∇θ and the parameter θ/λ, and θ moves λ times as far as φ:

    Δθ = λ Δφ = −α λ u(λ∇, θ/λ) = −λ^(1 + k − m) α u(∇, θ),        p = 1 + k − m.

The same count says what becomes of the optimiser's memory when a scale is put on or taken off in the middle
of a training: a running mean of gradients is multiplied by λ, one of their squares by λ², a step by 1.

Source: Su Jianlin, article 6418 of kexue.fm (2019), for SGD (λ²) and RMSprop and Adam (λ). The rest is ours.
See chapter 5, sections 5.2 and 5.4.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Law:
    """What is predicted for one optimiser.

    Attributes
    ----------
    exponent
        p, or None if no single number holds.
    reason
        Why, in a sentence.
    state
        The power of λ that each entry of the optimiser's state is multiplied by when θ becomes λφ.
        Entries that are not named are left as they are; None marks a state that cannot be converted.
    """

    exponent: int | None
    reason: str
    state: dict[str, int] | None = field(default_factory=dict)


_MOMENTS = {"exp_avg": 1, "exp_avg_sq": 2, "max_exp_avg_sq": 2}

LAWS = {
    "SGD": Law(2, "The step is the gradient, or a sum of gradients: k = 1.", {"momentum_buffer": 1}),
    "ASGD": Law(2, "SGD whose parameters are averaged beside it: k = 1.", {"ax": -1}),
    "Adam": Law(1, "A mean of gradients over the root of a mean of their squares: k = 0.", _MOMENTS),
    "AdamW": Law(1, "Adam's step, k = 0; the decay beside it has p = 0.", _MOMENTS),
    "NAdam": Law(1, "Adam's step with the next momentum put in: k = 0.", _MOMENTS),
    "RAdam": Law(
        1, "Adam's step, k = 0, but a mean of gradients, k = 1, while t is small (5 steps).", _MOMENTS
    ),
    "SparseAdam": Law(1, "Adam's step on the rows that have a gradient: k = 0.", _MOMENTS),
    "Adamax": Law(
        1, "A mean of gradients over the largest of them: k = 0.", {"exp_avg": 1, "exp_inf": 1}
    ),
    "RMSprop": Law(
        1, "The gradient over the root of a mean of its squares: k = 0.", {"square_avg": 2, "grad_avg": 1}
    ),
    "Adagrad": Law(1, "The gradient over the root of the sum of its squares: k = 0.", {"sum": 2}),
    "Rprop": Law(1, "Only the sign of the gradient is used: k = 0.", {"prev": 1}),
    "Muon": Law(
        1, "The gradient matrix with all singular values made nearly 1: k = 0.", {"momentum_buffer": 1}
    ),
    "Adafactor": Law(
        0, "k = 0, and the step is a share of the parameter's own size: m = 1.",
        {"row_var": 2, "col_var": 2, "variance": 2},
    ),
    "Adadelta": Law(
        None, "Its eps = 1e-6 is compared with g²: p = 1 for gradients far above 1e-3, 2 far below.",
        {"square_avg": 2},
    ),
    "LBFGS": Law(
        None, "First g/max(1, |g|₁), p is 1 or 2; then curvature, k = -1, p = 0, if all layers share λ.", None
    ),
}  # fmt: skip


def learning_rate_exponent(optimizer: torch.optim.Optimizer | type[torch.optim.Optimizer]) -> int:
    """The p of an optimiser: with θ = λφ, its learning rate for θ is λᵖ times what it was.

    It is the p of the gradient's step. Weight decay has its own (0), and what is added to a denominator
    (`eps`) disturbs it; chapter 5, section 5.8, measures by how much. RAdam's is that of all its steps but
    the first five, which have p = 2 (with β₂ = 0.999; with β₂ ≤ 2/3 all steps are such, and p is 2). Rprop's
    rate is the size of its first step alone; λ multiplies all its steps, and their limits.

    Parameters
    ----------
    optimizer
        An optimiser or its class, from `torch.optim` or derived from one there without a `step` of its own.

    Returns
    -------
    int
        2 for SGD and ASGD, 0 for Adafactor, 1 for Adam and the other families.

    Raises
    ------
    ValueError
        If there is no such number (Adadelta, LBFGS), with the reason, or the optimiser is not of torch.
    TypeError
        If it is no optimiser.

    Examples
    --------
    >>> learning_rate_exponent(torch.optim.SGD), learning_rate_exponent(torch.optim.Adam)
    (2, 1)
    >>> learning_rate_exponent(torch.optim.LBFGS)
    Traceback (most recent call last):
    ...
    ValueError: optimizer: LBFGS has no exponent. First g/max(1, |g|₁), p is 1 or 2; then curvature, k = -1,
    p = 0, if all layers share λ.
    """
    law = law_of(optimizer)
    if law is LAWS["RAdam"] and isinstance(optimizer, torch.optim.Optimizer):
        # Its mean of squares is trusted only where 2/(1 − β₂) − 1 > 5.
        early = {group["betas"][1] <= 2 / 3 for group in optimizer.param_groups}
        if early == {True}:
            return 2
        if len(early) > 1:
            raise ValueError("optimizer: RAdam has groups with β₂ on both sides of 2/3, p = 1 and p = 2")
    if law.exponent is None:
        raise ValueError(f"optimizer: {_class(optimizer).__name__} has no exponent. {law.reason}")
    return law.exponent


def law_of(optimizer: torch.optim.Optimizer | type[torch.optim.Optimizer]) -> Law:
    """The prediction for an optimiser; ValueError if there is none.

    Examples
    --------
    >>> law_of(torch.optim.Adagrad).state
    {'sum': 2}
    """
    given = _class(optimizer)
    step = inspect.unwrap(given.step)  # torch wraps it when the first optimiser of a class is made
    for parent in given.__mro__:
        shipped = getattr(torch.optim, parent.__name__, None)
        if shipped is parent and parent.__name__ in LAWS and inspect.unwrap(parent.step) is step:
            return LAWS[parent.__name__]
    raise ValueError(
        f"optimizer must be one of {', '.join(LAWS)}, or derived from one of them without a step of its own; "
        f"got {given.__name__}: measure its exponent with `measure_exponent`"
    )


def convert_state(
    optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], factor: float
) -> None:
    """Rewrite the memory of an optimiser for parameters φ whose θ = λφ, `factor` being λ (1/λ to undo).

    Done in place, so that the next steps are those that an optimiser would make that had held φ all along.

    Raises
    ------
    ValueError
        If the state cannot be converted (LBFGS after its first step), or no law is known.
    """
    law = law_of(optimizer)
    if law.state is None:
        if optimizer.state:
            raise ValueError(
                f"optimizer: the memory of {type(optimizer).__name__} mixes all parameters and cannot be "
                "converted; make a new one after scaling"
            )
        return
    check_convertible(optimizer, parameters)
    for parameter in parameters:
        for name, value in optimizer.state.get(parameter, {}).items():
            power = law.state.get(name, 0)
            if power and isinstance(value, torch.Tensor):
                value.mul_(factor**power)


def check_convertible(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]) -> None:
    """Raise ValueError if the optimiser's state could not be converted, before anything is changed."""
    law = law_of(optimizer)
    if law.state is None and optimizer.state:
        convert_state(optimizer, [], 1.0)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not any(id(p) in held for p in parameters):
        raise ValueError("optimizer holds none of the module's parameters: was it made for another module?")


def _class(optimizer: Any) -> type[torch.optim.Optimizer]:
    given = optimizer if isinstance(optimizer, type) else type(optimizer)
    if not issubclass(given, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer must be a torch.optim.Optimizer or its class, got {given.__name__}: {optimizer!r:.80}"
        )
    if given is torch.optim.Optimizer:
        raise ValueError("optimizer must be a particular optimiser, got the base class Optimizer")
    return given
