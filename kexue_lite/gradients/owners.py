"""Where the parameters of a module stand, each once, and who else holds them.

A parameter may stand at several places (tied weights), and a place may have a parametrisation already. What
is stored there is divided by λ, so every module that computes with it must know: see `scale_learning_rate`.
"""

from __future__ import annotations

import gc
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize


def lists_of(owner: nn.Module) -> Any:
    """The parametrisations of one module by parameter name; empty if it has none."""
    return owner.parametrizations if parametrize.is_parametrized(owner) else {}


Owners = list[tuple[nn.Parameter, list[tuple[nn.Module, str]]]]


def find_owners(module: nn.Module) -> Owners:
    """Each parameter once, with all places of the module where it stands."""
    places: dict[int, tuple[nn.Parameter, list[tuple[nn.Module, str]]]] = {}
    for owner in module.modules():
        if isinstance(owner, parametrize.ParametrizationList):
            continue  # seen at the module that it belongs to
        found: dict[str, Any] = dict(owner._parameters)
        for name, parts in lists_of(owner).items():
            if not parts.is_tensor:
                raise ValueError(
                    f"module: {type(owner).__name__}.{name} is parametrised by several tensors "
                    "(weight_norm?), so that no one factor is its scale; use parameter groups"
                )
            found[name] = parts.original
        for name, parameter in found.items():
            if isinstance(parameter, UninitializedParameter):
                raise ValueError(
                    f"module: {type(owner).__name__}.{name} has no values yet (a lazy module); "
                    "run one batch through it first"
                )
            if isinstance(parameter, nn.Parameter) and parameter.is_inference():
                raise ValueError(
                    f"module: {type(owner).__name__}.{name} was made under torch.inference_mode, and cannot "
                    "be changed any more"
                )
            if isinstance(parameter, nn.Parameter) and (
                parameter.is_floating_point() or parameter.is_complex()
            ):
                _refuse_owner(owner, name)
                places.setdefault(id(parameter), (parameter, []))[1].append((owner, name))
    if not places:
        raise ValueError(f"module must have at least one parameter, {type(module).__name__} has none")
    return list(places.values())


def _refuse_owner(owner: nn.Module, name: str) -> None:
    """Raise for a module that would compute something else if its parameter were θ = λφ."""
    if getattr(owner, "max_norm", None) is not None and isinstance(owner, nn.Embedding | nn.EmbeddingBag):
        raise ValueError(
            f"module: {type(owner).__name__}.{name} is shortened in place whenever it is used (max_norm), "
            "which would reach a copy of it only; use parameter groups"
        )
    if isinstance(owner, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        raise ValueError(
            f"module: {type(owner).__name__} has the parameter {name} of its own, and would take the "
            "parametrisation for one of its parts; scale the parts one by one"
        )


def refuse_shared_outside(owners: Owners, module: nn.Module) -> None:
    """Raise if a module outside holds one of the parameters: it would compute with φ instead of θ."""
    inside = {id(part._parameters) for part in module.modules()}
    wanted = {id(parameter) for parameter, _ in owners}
    # Python's collector knows who refers to what; of torch there is no such list.
    holders = [d for d in gc.get_referrers(*(p for p, _ in owners)) if isinstance(d, dict)]
    holders = [
        d
        for d in holders
        if id(d) not in inside and any(isinstance(k, str) and id(v) in wanted for k, v in d.items())
    ]
    for holder in holders:
        for referrer in gc.get_referrers(holder):
            parts = referrer.get("_modules") if isinstance(referrer, dict) else None
            if (parts is not None and referrer.get("_parameters") is holder) or (
                isinstance(referrer, nn.Module) and referrer._parameters is holder
            ):
                names = ", ".join(k for k, v in holder.items() if id(v) in wanted)
                raise ValueError(
                    f"module shares a parameter with a module outside of it (there called {names}), which "
                    "would compute with the divided values; scale a module that contains both"
                )
