"""Every optimiser that torch ships, predicted and measured: the table of chapter 5.

The optimisers are taken from the module `torch.optim` and not from a list: one that is new there has no
prediction and is reported as such. See chapter 5, section 5.4.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from kexue_lite.gradients.laws import LAWS
from kexue_lite.gradients.measure import Measured, measure_exponent


@dataclass(frozen=True)
class Case:
    """One optimiser in one situation, and the exponents predicted for its first and its later steps.

    Attributes
    ----------
    name
        Of the class in `torch.optim`.
    first, later
        p of step 1 and of the last step.
    situation
        What is special, in a few words; empty where the options are the defaults without decay.
    options
        Of the optimiser, beside a small rate and no decay.
    gradient
        The loss is multiplied by it.
    """

    name: str
    first: int
    later: int
    situation: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    gradient: float = 1.0

    @property
    def label(self) -> str:
        """Name and situation."""
        return f"{self.name}, {self.situation}" if self.situation else self.name


# The rate must be small beside the parameters, so that all λ see one and the same gradient.
_RATE = {"LBFGS": 1e-4, "Adadelta": 1e-4, "Rprop": 2e-6}
_NO_DECAY = {"AdamW": {"weight_decay": 0}, "Muon": {"weight_decay": 0}, "ASGD": {"lambd": 0}}
_SPECIAL = (
    Case("SGD", 2, 2, "momentum 0.9", {"momentum": 0.9}),
    Case("RMSprop", 1, 1, "centred, momentum", {"centered": True, "momentum": 0.9}),
    Case("Adam", 2, 2, "|g| ≪ eps", {"eps": 1e3}),
    Case("Adafactor", 1, 1, "|φ| ≪ eps₂", {"eps": (None, 1e2), "lr": 1e-9}),
    Case("Adadelta", 1, 1, "g² ≫ eps", gradient=1e4),
    Case("Adadelta", 2, 2, "g² ≪ eps", gradient=1e-6),
    Case("LBFGS", 1, 0, "|g|₁ > 1", {"max_iter": 1}, gradient=1e2),
    # LBFGS learns the curvature only where gradient change times step exceeds 1e-10: neither may be tiny.
    Case("LBFGS", 2, 0, "|g|₁ < 1", {"max_iter": 1, "lr": 0.1}, gradient=0.04),
)


def shipped() -> list[str]:
    """The names of all optimisers of the installed torch, from the module itself.

    Examples
    --------
    >>> {"Adam", "SGD"} <= set(shipped()), "Optimizer" in shipped()
    (True, False)
    """
    base = torch.optim.Optimizer
    found = inspect.getmembers(torch.optim, inspect.isclass)
    return sorted(name for name, value in found if issubclass(value, base) and value is not base)


def cases() -> list[Case]:
    """Each shipped optimiser with its predictions; the lawless in situations that have a law.

    Raises
    ------
    KeyError
        If torch ships an optimiser for which nothing was predicted.

    Examples
    --------
    >>> [case.label for case in cases() if case.name == "Adadelta"]
    ['Adadelta, g² ≫ eps', 'Adadelta, g² ≪ eps']
    """
    made = []
    for name in shipped():
        if name not in LAWS:
            raise KeyError(f"torch.optim.{name} has no prediction yet: derive one and add it to LAWS")
        p = LAWS[name].exponent
        if p is not None:
            made.append(Case(name, 2 if name == "RAdam" else p, p))
        made += [case for case in _SPECIAL if case.name == name]
    return made


def measure_case(
    case: Case, *, steps: int = 12, seeds: Sequence[int] = (0, 1, 2), alone: bool = False
) -> Measured:
    """`measure_exponent` in the situation of a case.

    Examples
    --------
    >>> radam = measure_case(Case("RAdam", 2, 1), steps=6, seeds=[0])
    >>> radam.exponents[0].round(decimals=2).tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0, 1.0]
    """
    options = {"lr": _RATE.get(case.name, 1e-7)} | _NO_DECAY.get(case.name, {}) | case.options
    kind = getattr(torch.optim, case.name)
    return measure_exponent(
        lambda parameters: kind(parameters, **options),
        steps=steps, seeds=seeds, gradient=case.gradient, sparse=case.name == "SparseAdam", alone=alone,
    )  # fmt: skip
