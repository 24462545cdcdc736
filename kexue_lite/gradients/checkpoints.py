"""Weights in files and scaled layers: a file holds θ or φ, and the layer's λ is another than the file's.

A scaled layer saves φ under torch's name, `parametrizations.weight.original`, and beside it λ. What is loaded
is brought to the layer's own λ: the θ of an unscaled file is divided by it, the φ of a scaled file multiplied
by the ratio of the two. Equal λ changes no bit, so that a training resumes exactly. See section 5.3.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kexue_lite.gradients.owners import lists_of


class Scale(nn.Module):
    """θ = λφ as a parametrisation; λ is the product of what every call put on this parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.factors: dict[int, float] = {}  # of each call that has not been undone

    @property
    def factor(self) -> float:
        """λ."""
        return math.prod(self.factors.values())

    def forward(self, phi: Tensor) -> Tensor:
        """θ from φ."""
        return phi * self.factor

    def right_inverse(self, theta: Tensor) -> Tensor:
        """φ from θ, for ``layer.weight = ...``; called by torch."""
        return theta / self.factor if self.factors else theta

    # λ travels in the state_dict, as a float64 that `module.half()` does not round.
    def get_extra_state(self) -> Tensor:
        """λ."""
        return torch.tensor(self.factor, dtype=torch.float64)

    def set_extra_state(self, state: Any) -> None:
        """Nothing: the file was converted to this module's λ before (`_convert_file`)."""


def convert_file(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Bring a state_dict to the λ of a scaled module, before the module takes its part: its loading hook."""
    for name, parts in lists_of(module).items():
        scale, path = parts[0], f"{prefix}parametrizations.{name}."
        if not isinstance(scale, Scale):
            continue
        stored, own = f"{path}original", scale.get_extra_state()
        if f"{path}0._extra_state" in state_dict:
            theirs = float(state_dict[f"{path}0._extra_state"])
            if stored in state_dict and theirs != scale.factor:
                state_dict[stored] = state_dict[stored] * (theirs / scale.factor)
        elif prefix + name in state_dict:
            state_dict[stored] = state_dict.pop(prefix + name) / scale.factor
        elif stored in state_dict:  # of a module whose own parametrisation stands after ours
            state_dict[stored] = state_dict[stored] / scale.factor
            _renumber(state_dict, path, +1)
        state_dict[f"{path}0._extra_state"] = own


def plain_state_dict(module: nn.Module) -> dict[str, Any]:
    """The state_dict as if nothing had been scaled: plain names, and θ where φ is stored.

    Parameters
    ----------
    module
        Scaled or not.

    Returns
    -------
    dict
        What an unscaled module of the same shape loads.

    Examples
    --------
    >>> from kexue_lite.gradients import scale_learning_rate
    >>> layer = nn.Linear(2, 2)
    >>> before = {name: value.clone() for name, value in layer.state_dict().items()}
    >>> with scale_learning_rate(layer, 0.1, exponent=2):
    ...     after = plain_state_dict(layer)
    >>> sorted(after), all(torch.allclose(after[name], before[name]) for name in before)
    (['bias', 'weight'], True)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    state: dict[str, Any] = dict(module.state_dict())
    for path, parts in module.named_modules(remove_duplicate=False):
        if not (isinstance(parts, parametrize.ParametrizationList) and isinstance(parts[0], Scale)):
            continue
        theta = state.pop(f"{path}.original") * parts[0].factor
        del state[f"{path}.0._extra_state"]
        if len(parts) == 1:
            state[path.replace("parametrizations.", "")] = theta
        else:
            state[f"{path}.original"] = theta
            _renumber(state, f"{path}.", -1)
    return state


def _renumber(state: dict[str, Any], path: str, by: int) -> None:
    """Move the parametrisations after ours one place up or down."""
    names = [name for name in state if name.startswith(path) and name[len(path) :].split(".")[0].isdigit()]
    moved = {name: state.pop(name) for name in names}
    for name, value in moved.items():
        number, dot, rest = name[len(path) :].partition(".")
        state[f"{path}{int(number) + by}{dot}{rest}"] = value
