"""Free gradients: what happens to a gradient between the backward pass and the step, as small functions.

A transform takes the gradients by name and returns them changed. `transform_gradients` hangs a chain of them
on an optimiser, and takes it off again:

    g₁ = f(∇), g₂ = h(g₁), ...,        then the optimiser steps with the last one.

Sources: Su Jianlin, article 6418 of kexue.fm (2019): gradients exchanged inside the optimiser, a prank that
zeroes them, the l1 norm for clipping, rules by layer. `clip_adaptive`: Brock, De, Smith, Simonyan (2021);
`centralise`: Yong, Huang, Hua, Zhang (2020). See chapter 5, section 5.7.
"""

from __future__ import annotations

import fnmatch
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Gradients:
    """The gradients of one step.

    Attributes
    ----------
    values
        Gradient by name. One that is left out is None for the optimiser: the parameter rests, and neither
        momentum nor decay moves it.
    parameters
        Parameter by name, to look at.
    step
        0 for the first step after `transform_gradients`.
    """

    values: dict[str, Tensor]
    parameters: Mapping[str, Tensor]
    step: int = 0

    def each(self, change: Callable[[str, Tensor], Tensor]) -> dict[str, Tensor]:
        """`change` applied to every gradient."""
        return {name: change(name, value) for name, value in self.values.items()}


Transform = Callable[[Gradients], dict[str, Tensor]]


def zero() -> Transform:
    """The article's prank, g ↦ 0: whoever sees nothing learned knows that the wire is connected.

    Examples
    --------
    >>> zero()(Gradients({"w": torch.ones(2)}, {}))
    {'w': tensor([0., 0.])}
    """
    return lambda gradients: gradients.each(lambda name, g: torch.zeros_like(g))


def multiply(rules: Mapping[str, float]) -> Transform:
    """g ↦ c g, with a factor c for each name: the first pattern that fits counts, and none leaves g as it is.

    This multiplies the rate of SGD by c, and that of an optimiser with k = 0 (Adam) by nothing: chapter 5,
    section 5.7.

    Parameters
    ----------
    rules
        Factors by pattern (``"embedding.*"``, `fnmatch`).

    Examples
    --------
    >>> multiply({"embedding.*": 0.1})(Gradients({"embedding.weight": torch.ones(2), "w": torch.ones(1)}, {}))
    {'embedding.weight': tensor([0.1000, 0.1000]), 'w': tensor([1.])}
    """
    if not isinstance(rules, Mapping):
        raise TypeError(f"rules must map patterns to factors, got {type(rules).__name__}")
    factors = {_pattern("rules", pattern): _number("rules", value) for pattern, value in rules.items()}

    def change(name: str, g: Tensor) -> Tensor:
        return next((c * g for pattern, c in factors.items() if fnmatch.fnmatchcase(name, pattern)), g)

    return lambda gradients: gradients.each(change)


def only(pattern: str, transform: Transform) -> Transform:
    """A transform for the parameters of some names alone; the others pass.

    Examples
    --------
    >>> only("a.*", zero())(Gradients({"a.w": torch.ones(1), "b.w": torch.ones(1)}, {}))
    {'a.w': tensor([0.]), 'b.w': tensor([1.])}
    """
    _pattern("pattern", pattern)
    if not callable(transform):
        raise TypeError(f"transform must be a function of `Gradients`, got {transform!r:.60}")

    def change(gradients: Gradients) -> dict[str, Tensor]:
        chosen = {n: g for n, g in gradients.values.items() if fnmatch.fnmatchcase(n, pattern)}
        changed = transform(Gradients(chosen, gradients.parameters, gradients.step))
        passed = {n: g for n, g in gradients.values.items() if n not in chosen}
        both = passed | changed
        return {n: both[n] for n in gradients.values if n in both}

    return change


def clip_norm(limit: float, *, order: float = 2) -> Transform:
    """g ↦ g · min(1, limit/‖g‖), with one norm over all gradients together.

    Parameters
    ----------
    limit
        Positive.
    order
        2 for the Euclidean length, 1 for the article's sum of absolute values, ``math.inf`` for the largest.

    Examples
    --------
    >>> clip_norm(3.5, order=1)(Gradients({"w": torch.tensor([3.0, -4.0])}, {}))
    {'w': tensor([ 1.5000, -2.0000])}
    """
    most, p = _positive("limit", limit), float(_number("order", order, finite=False))
    if math.isnan(p) or p < 1:
        raise ValueError(f"order must be at least 1, got {order}")

    def change(gradients: Gradients) -> dict[str, Tensor]:
        if not gradients.values:
            return {}
        norms = [torch.linalg.vector_norm(g, p) for g in gradients.values.values()]
        total = torch.linalg.vector_norm(torch.stack([n.to(norms[0]) for n in norms]), p)
        if total <= most:
            return gradients.values
        return gradients.each(lambda name, g: g * (most / total).to(g))

    return change


def clip_adaptive(limit: float = 0.01, *, smallest: float = 1e-3) -> Transform:
    """Each unit's gradient at most `limit` times as long as its weights: adaptive clipping.

    Gᵢ ↦ Gᵢ · min(1, limit · max(‖Wᵢ‖, smallest) / ‖Gᵢ‖), where a unit i is a row of a matrix (all that leads
    into one output), the whole of a vector. Brock et al. (2021), equation 3.

    Examples
    --------
    >>> g = Gradients({"w": torch.tensor([[3.0, 4.0], [0.0, 0.1]])}, {"w": torch.tensor([[1.0, 0], [1, 0]])})
    >>> clip_adaptive(0.5)(g)
    {'w': tensor([[0.3000, 0.4000],
            [0.0000, 0.1000]])}
    """
    most, least = _positive("limit", limit), _positive("smallest", smallest)

    def change_all(gradients: Gradients) -> dict[str, Tensor]:
        def change(name: str, g: Tensor) -> Tensor:
            size = _unit_norm(g)
            allowed = most * _unit_norm(gradients.parameters[name].detach()).clamp(min=least)
            return torch.where(size > allowed, g * (allowed / size.clamp(min=torch.finfo(g.dtype).tiny)), g)

        return gradients.each(change)

    return change_all


def centralise() -> Transform:
    """Gᵢ ↦ Gᵢ − mean(Gᵢ) for each row i of a matrix (all that leads into one output); vectors pass.

    Thereby the sum of the weights into a unit stays what it was at the start. Yong et al. (2020), equation 1.

    Examples
    --------
    >>> centralise()(Gradients({"w": torch.tensor([[1.0, 3.0]]), "b": torch.ones(1)}, {}))
    {'w': tensor([[-1.,  1.]]), 'b': tensor([1.])}
    """

    def change(name: str, g: Tensor) -> Tensor:
        return g if g.ndim < 2 else g - g.mean(dim=tuple(range(1, g.ndim)), keepdim=True)

    return lambda gradients: gradients.each(change)


def freeze(pattern: str, *, until: int | None = None, when: Callable[[int], bool] | None = None) -> Transform:
    """Parameters of some names rest: always, for the first `until` steps, or while ``when(step)`` is true.

    They get no gradient at all rather than a zero one, so momentum and weight decay leave them alone too.

    Examples
    --------
    >>> rest = freeze("embedding.*", until=100)
    >>> g = {"embedding.weight": torch.ones(1), "head.weight": torch.ones(1)}
    >>> list(rest(Gradients(g, {}, step=99))), list(rest(Gradients(g, {}, step=100)))
    (['head.weight'], ['embedding.weight', 'head.weight'])
    """
    _pattern("pattern", pattern)
    if when is not None and not callable(when):
        raise TypeError(f"when must be a function of the step, got {when!r:.60}")
    if until is not None and when is not None:
        raise ValueError("until= and when= are two ways to say the same: give one of them")
    if until is not None and (isinstance(until, bool) or not isinstance(until, int) or until < 0):
        raise ValueError(f"until must be a whole number of at least 0, got {until!r}")

    def change(gradients: Gradients) -> dict[str, Tensor]:
        step = gradients.step
        resting = when(step) if when is not None else until is None or step < until
        return {
            n: g for n, g in gradients.values.items() if not (resting and fnmatch.fnmatchcase(n, pattern))
        }

    return change


class TransformedGradients:
    """What `transform_gradients` returns: ``.remove()`` takes the chain off; a context manager does so too.

    Attributes
    ----------
    step
        Steps that were made through the chain so far.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, transforms: tuple[Transform, ...], names: dict[int, str]
    ) -> None:
        self.step = 0
        self._transforms, self._names = transforms, names
        self._hook = optimizer.register_step_pre_hook(self._before_step)
        self._active = True

    def remove(self) -> None:
        """Take the chain off; the optimiser sees plain gradients again. A second time is an error."""
        if not self._active:
            raise ValueError("these transforms have been removed before")
        self._hook.remove()
        self._active = False

    def __enter__(self) -> TransformedGradients:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            self.remove()

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if kwargs.get("closure") is not None or any(callable(a) for a in args):
            raise ValueError(
                "optimizer.step(closure): the closure computes the gradients after the transforms have run; "
                "call the backward pass first and step() without a closure"
            )
        held = [p for group in optimizer.param_groups for p in group["params"]]
        parameters = {self._names.get(id(p), f"parameter {i}"): p for i, p in enumerate(held)}
        values = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        for name, value in values.items():
            if value.layout != torch.strided:
                raise ValueError(
                    f"the gradient of {name} is sparse; transforms need dense ones (sparse=False)"
                )
        with torch.no_grad():
            changed = values
            for transform in self._transforms:
                changed = transform(Gradients(dict(changed), parameters, self.step))
                _check_result(transform, changed, values)
        for name in values:
            parameters[name].grad = changed.get(name)
        self.step += 1


def transform_gradients(
    optimizer: torch.optim.Optimizer, *transforms: Transform, names: nn.Module | None = None
) -> TransformedGradients:
    """Change the gradients of every step of an optimiser, until the chain is taken off.

    Parameters
    ----------
    optimizer
        Any whose `step` takes no closure (all but LBFGS).
    transforms
        In the order in which they act: ``f, h`` gives h(f(g)).
    names
        The module whose parameter names the patterns speak of; without it the names that the optimiser was
        made with (``SGD(net.named_parameters())``), else ``"parameter 0"``, ``"parameter 1"``, ...
        A name is fixed at this call: `scale_learning_rate` afterwards does not change it.

    Returns
    -------
    TransformedGradients
        With ``.remove()``; also a context manager.

    Raises
    ------
    TypeError
        If a transform cannot be called, or `optimizer` is none.
    ValueError
        If there is no transform, or the optimiser is LBFGS; at a step, if a gradient is sparse, `step` got a
        closure, or a transform returned another name or shape.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> before = layer.weight.detach().clone()
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    >>> with transform_gradients(optimizer, zero()):
    ...     layer(torch.ones(3, 2)).sum().backward()
    ...     optimizer.step()
    >>> torch.equal(layer.weight, before)
    True
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
    if not transforms:
        raise ValueError("transforms: give at least one")
    for transform in transforms:
        if not callable(transform):
            raise TypeError(f"a transform must be a function of `Gradients`, got {transform!r:.60}")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError("optimizer: LBFGS computes its gradients inside its step; no transform comes before")
    if names is not None and not isinstance(names, nn.Module):
        raise TypeError(f"names must be a torch.nn.Module, got {type(names).__name__}")
    known: dict[int, str] = {}
    for group in optimizer.param_groups:
        known |= {id(p): n for p, n in zip(group["params"], group.get("param_names", ()), strict=False)}
    if names is not None:
        known |= {id(p): n for n, p in names.named_parameters()}
    plain = {i: _plain(name) for i, name in known.items()}
    return TransformedGradients(optimizer, transforms, plain)


def _plain(name: str) -> str:
    """The name that a parameter had before it was scaled."""
    before, found, after = name.rpartition("parametrizations.")
    return before + after.removesuffix(".original") if found and after.endswith(".original") else name


def _check_result(transform: Transform, changed: Any, values: dict[str, Tensor]) -> None:
    name = getattr(transform, "__qualname__", type(transform).__name__).split(".")[0]
    if not isinstance(changed, dict) or not set(changed) <= set(values):
        raise ValueError(f"transform {name} must return a dict of gradients with names that it was given")
    for key, value in changed.items():
        if not isinstance(value, Tensor) or value.shape != values[key].shape:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"transform {name} returned {shape} for {key} of {tuple(values[key].shape)}")


def _unit_norm(tensor: Tensor) -> Tensor:
    if tensor.ndim < 2:
        return torch.linalg.vector_norm(tensor)
    return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)


def _pattern(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must name parameters by a pattern like 'embedding.*', got {value!r:.60}")
    return value


def _number(name: str, value: Any, *, finite: bool = True) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}: {value!r}")
    if finite and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)


def _positive(name: str, value: Any) -> float:
    if _number(name, value) <= 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return float(value)
