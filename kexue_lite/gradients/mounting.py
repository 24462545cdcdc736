"""Putting θ = λφ on a parameter and taking it off again, with `torch.nn.utils.parametrize`.

What torch leaves to its user is here: a class for each module, so that copies do not share it; the order of
`parameters()`, by which the files of optimisers go; the list of weights that a recurrent layer keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from kexue_lite.gradients.checkpoints import Scale, convert_file
from kexue_lite.gradients.owners import lists_of

Place = tuple[nn.Module, str, Scale]


def scale_of(where: list[tuple[nn.Module, str]]) -> Scale:
    """The scale that a parameter has already, or a new one."""
    for owner, name in where:
        if parametrize.is_parametrized(owner, name):
            first = lists_of(owner)[name][0]
            if isinstance(first, Scale):
                return first
    return Scale()


def _own_class(owner: nn.Module) -> None:
    """Give a parametrised module a class of its own.

    torch keeps the properties of a parametrised module in a class made for it, and a deep copy shares that
    class: what is added to or taken from one would be so for the other.
    """
    shared = type(owner)
    own = {k: v for k, v in vars(shared).items() if k not in ("__dict__", "__weakref__")}
    owner.__class__ = type(shared.__name__, shared.__bases__, own)


def put_in(owner: nn.Module, name: str, scale: Scale) -> None:
    """Parametrise a place; no value changes yet."""
    if parametrize.is_parametrized(owner):
        _own_class(owner)
    if not parametrize.is_parametrized(owner, name):
        parametrize.register_parametrization(owner, name, scale)  # its factor is 1 as yet: no value changes
        _first(owner._modules, "parametrizations")
    else:
        parts: Any = lists_of(owner)[name]
        if parts[0] is scale:
            return
        parts.insert(0, scale)  # next to what is stored; the parametrisation that was there sees θ as before
    _copy_well(owner)
    if not any(_is_ours(hook) for hook in owner._load_state_dict_pre_hooks.values()):
        owner.register_load_state_dict_pre_hook(convert_file)


def _first(modules: dict[str, Any], name: str) -> None:
    """A module's own parameters come before those of its parts, scaled or not."""
    rest = {k: v for k, v in modules.items() if k != name}
    found = modules[name]
    modules.clear()
    modules |= {name: found} | rest


def _copy_well(owner: nn.Module) -> None:
    """Let a deep copy have a class of its own, and let a recurrent layer be copied after it has run.

    Such a layer keeps a list of the weights of its last run, which now are results of a computation, and
    torch does not copy such. The list of φ stands in for it; the next run makes it anew.
    """
    copy = type(owner).__deepcopy__  # type: ignore[attr-defined]
    if hasattr(copy, "of_scaled"):
        return

    def copy_layer(layer: nn.Module, memo: dict[int, Any]) -> Any:
        if isinstance(layer, nn.RNNBase):
            stored, names = lists_of(layer), layer._flat_weights_names
            layer._flat_weights = [stored[n].original if n in stored else getattr(layer, n) for n in names]
        replica = copy(layer, memo)
        _own_class(replica)
        return replica

    copy_layer.of_scaled = True  # type: ignore[attr-defined]
    type(owner).__deepcopy__ = copy_layer  # type: ignore[attr-defined]


def _is_ours(hook: Any) -> bool:
    return getattr(hook, "hook", hook) is convert_file


def places_in(module: nn.Module) -> Iterator[Place]:
    """All scaled places of a module."""
    for owner in module.modules():
        for name, parts in lists_of(owner).items():
            if isinstance(parts[0], Scale):
                yield owner, name, parts[0]


def stands(place: Place) -> bool:
    """Whether a scale is where it was put, or was taken off by other hands."""
    owner, name, scale = place
    return parametrize.is_parametrized(owner, name) and lists_of(owner)[name][0] is scale


def take_out(owner: nn.Module, name: str) -> None:
    """Remove a scale that has been undone."""
    parts: Any = lists_of(owner)[name]
    if len(parts) > 1:
        del parts[0]
    else:
        _own_class(owner)
        parametrize.remove_parametrizations(owner, name, leave_parametrized=False)
        if isinstance(owner, nn.RNNBase):
            owner._init_flat_weights()
    if not any(place is owner for place, _, _ in places_in(owner)):
        for key, hook in list(owner._load_state_dict_pre_hooks.items()):
            if _is_ours(hook):
                del owner._load_state_dict_pre_hooks[key]
