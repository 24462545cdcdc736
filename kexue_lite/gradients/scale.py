"""A learning rate for one layer, without touching the optimiser: θ = λφ with λᵖ = ratio.

The layer computes with θ; what the optimiser holds and moves is φ = θ/λ. A step −α u(∇φ) of an optimiser of
exponent p moves θ as a rate λᵖα would (see `laws`), so λ = ratio^(1/p). Values are unchanged (to rounding),
and the `Parameter` objects are the same ones: an optimiser made before goes on working, and so does one made
after. Only the numbers in them, and their name, change: `weight` becomes `parametrizations.weight.original`.

Source: Su Jianlin, article 6418 of kexue.fm (2019). There the scale can be put on while the network is built
and pretrained weights must be divided by hand; `torch.nn.utils.parametrize` and its `right_inverse` lift
both. See chapter 5, section 5.3.
"""

from __future__ import annotations

import itertools
import math
import numbers
from types import TracebackType

import torch
from torch import nn

from kexue_lite.gradients.laws import check_convertible, convert_state, law_of, learning_rate_exponent
from kexue_lite.gradients.mounting import Place, places_in, put_in, scale_of, stands, take_out
from kexue_lite.gradients.owners import find_owners, lists_of, refuse_shared_outside

_numbers = itertools.count()


class ScaledLearningRate:
    """What `scale_learning_rate` returns: the way back.

    As a context manager it undoes the scale at the end of the block.

    Attributes
    ----------
    ratio, exponent
        As given.
    factor
        λ = ratio^(1/exponent).
    """

    def __init__(
        self,
        places: list[Place],
        ratio: float,
        exponent: float,
        optimizer: torch.optim.Optimizer | None,
    ) -> None:
        self.ratio, self.exponent = ratio, exponent
        self.factor = ratio ** (1 / exponent)
        self._places, self._optimizer, self._number = places, optimizer, next(_numbers)

    @property
    def active(self) -> bool:
        """Whether it stands anywhere still."""
        return any(self._number in place[2].factors and stands(place) for place in self._places)

    def remove(self, *, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Undo this scale: φ becomes θ = λφ again, in the same `Parameter` objects.

        Parameters from which `torch.nn.utils.parametrize.remove_parametrizations` took it already hold θ and
        are passed over.

        Parameters
        ----------
        optimizer
            Its memory is converted too; by default the one that was given to `scale_learning_rate`.
            Without it a *running* optimiser with memory (momentum, Adam) meets numbers of the wrong size.

        Raises
        ------
        ValueError
            If it was undone before, or the memory cannot be converted, or a shared parameter had its
            parametrisation removed at one of its places by other hands.
        """
        if not self.active:
            raise ValueError("this scale has been removed before: there is nothing left to undo")
        left = [place for place in self._places if stands(place)]
        for owner, name, scale in self._places:
            if not stands((owner, name, scale)) and any(other is scale for _, _, other in left):
                raise ValueError(
                    f"{type(owner).__name__}.{name} is one of the places of a shared parameter, and its "
                    "parametrisation was removed by other hands, there alone: the values are lost"
                )
        _take_off(left, {self._number}, optimizer or self._optimizer)

    def __enter__(self) -> ScaledLearningRate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.active:
            self.remove()

    def __repr__(self) -> str:
        state = f"λ = {self.factor:.6g}" if self.active else "removed"
        return f"ScaledLearningRate(ratio={self.ratio:g}, exponent={self.exponent:g}, {state})"


def scale_learning_rate(
    module: nn.Module,
    ratio: float,
    *,
    exponent: float,
    optimizer: torch.optim.Optimizer | None = None,
) -> ScaledLearningRate:
    """Multiply the learning rate of all parameters of a module by `ratio`, in place, by θ = λφ.

    The effective rate becomes λᵖ α with λ = ratio^(1/p); the values θ that the module computes with do not
    change. It is reversible at any time, also in the middle of a training. Scaling twice multiplies the
    ratios, each undone on its own, in any order. Chapter 5, section 5.3.

    Parameters
    ----------
    module
        With at least one parameter of floating point. A parameter that several submodules share is scaled
        once; one that a module *outside* shares is refused, since that module would see it divided.
    ratio
        A positive number: 0.1 to learn ten times more slowly.
    exponent
        The p of the optimiser that will train it: 2 for SGD, 1 for Adam, see `learning_rate_exponent`.
    optimizer
        A running optimiser that holds these parameters: its memory (momentum, means of squares) is converted,
        so that the trajectory is the one of parameter groups. An optimiser that has not stepped needs
        nothing, and may be made before or after.

    Returns
    -------
    ScaledLearningRate
        With ``.remove()``; also a context manager.

    Raises
    ------
    TypeError
        If `module` is no module, or a number is none (a bool is none).
    ValueError
        If the module has no parameter, `ratio` is not positive and finite, `exponent` is 0 (as Adafactor's:
        its steps do not depend on the scale, so no scale can change them), the optimiser's own exponent is
        another one, or a parameter cannot be scaled: it is one of two that make a weight (`weight_norm`), it
        is written into whenever it is used (`max_norm`), it has no values yet, it was made under
        `torch.inference_mode`, a module outside shares it, or θ/λ leaves the range of its number type.

    Notes
    -----
    What keeps working: `copy.deepcopy` (undo a copy with `unscale_learning_rate`), ``.to(...)``,
    ``layer.weight = values`` (values are θ), and weights loaded afterwards. A file of unscaled weights is
    divided by λ while it is loaded; one saved from a scaled module carries its λ and is converted if that
    differs. Saved names are torch's, ``parametrizations.weight.original``, and hold φ; `plain_state_dict`
    saves plain names and θ. What does not: pickling the module itself, which torch refuses for every
    parametrised module (save the state_dict); and writing into ``layer.weight`` in place, such as
    ``nn.init.zeros_(layer.weight)``, ``layer.weight.data = ...`` or ``layer.reset_parameters()``, which
    changes a copy and nothing else: assign (``layer.weight = ...``) instead. The number type must have room
    for θ/λ: half precision ends at 65504. `torch.nn.utils.parametrize.remove_parametrizations` leaves θ too
    (with its default, `leave_parametrized=True`; at all places of a shared parameter it does not: use
    ``.remove()`` there).

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> slow = scale_learning_rate(layer, 0.1, exponent=2)
    >>> slow
    ScaledLearningRate(ratio=0.1, exponent=2, λ = 0.316228)
    >>> slow.remove()
    >>> layer
    Linear(in_features=2, out_features=2, bias=True)
    """
    _check(module, ratio, exponent, optimizer)
    owners = find_owners(module)
    refuse_shared_outside(owners, module)
    if optimizer is not None:
        check_convertible(optimizer, [p for p, _ in owners])
    for parameter, where in owners:
        _refuse_rounding(parameter, where[0], float(ratio) ** (1 / float(exponent)))
    places = []
    for _, where in owners:
        scale = scale_of(where)
        for owner, name in where:
            put_in(owner, name, scale)
            places.append((owner, name, scale))
    handle = ScaledLearningRate(places, float(ratio), float(exponent), optimizer)
    for parameter, _ in owners:
        _multiply(parameter, 1 / handle.factor)
    for _, _, scale in places:
        scale.factors[handle._number] = handle.factor
    if optimizer is not None:
        convert_state(optimizer, [p for p, _ in owners], handle.factor)
    return handle


def unscale_learning_rate(module: nn.Module, *, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Undo every scale on the parameters of a module, whoever holds the handles: also of a deep copy.

    Parameters
    ----------
    module
        Scaled or not; if not, nothing happens.
    optimizer
        Its memory is converted too.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> _ = scale_learning_rate(layer, 0.1, exponent=1), scale_learning_rate(layer, 0.2, exponent=1)
    >>> unscale_learning_rate(layer)
    >>> sorted(name for name, _ in layer.named_parameters())
    ['bias', 'weight']
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    places = list(places_in(module))
    if places:
        _take_off(places, {number for _, _, scale in places for number in scale.factors}, optimizer)


def _check(module: nn.Module, ratio: float, exponent: float, optimizer: torch.optim.Optimizer | None) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    for name, value in (("ratio", ratio), ("exponent", exponent)):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{name} must be a real number, got {type(value).__name__}: {value!r}")
    ratio, exponent = _bounded(ratio), _bounded(exponent)
    if not (math.isfinite(ratio) and ratio > 0):
        more = "; to stop a layer, use requires_grad_(False) or `freeze`" if ratio == 0 else ""
        raise ValueError(f"ratio must be positive and finite, got {ratio}{more}")
    if exponent == 0:
        raise ValueError(
            "exponent must not be 0: steps of such an optimiser (Adafactor) do not depend on the scale of "
            "its parameters, so no scale can change its rate; use parameter groups"
        )
    if not (math.isfinite(exponent) and exponent > 0):
        raise ValueError(f"exponent must be positive and finite, got {exponent}")
    try:
        factor = ratio ** (1 / exponent)
    except OverflowError:
        factor = math.inf
    if not 1e-30 < factor < 1e30:
        raise ValueError(f"ratio ** (1 / exponent) must lie within 1e-30 and 1e30, got {factor:g}")
    if optimizer is None:
        return
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
    own = learning_rate_exponent(optimizer) if law_of(optimizer).exponent is not None else exponent
    if own != exponent:
        raise ValueError(
            f"exponent must be that of the optimizer: {type(optimizer).__name__} has {own}, got {exponent}"
        )


def _bounded(value: float) -> float:
    try:
        float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf if value > 0 else -math.inf
    return value


def _refuse_rounding(parameter: nn.Parameter, where: tuple[nn.Module, str], factor: float) -> None:
    """Raise if φ = θ/λ leaves the range of the number type: half precision ends at 65504 and at 6e-8."""
    theta = parameter.detach()
    if theta.is_meta or theta.numel() == 0:
        return
    phi = theta / factor
    finite = theta.isfinite()  # a weight that is NaN already is not our doing
    size = theta[finite].abs().amax() if finite.any() else theta.new_zeros(()).abs()
    lost = (phi * factor - theta)[finite].abs()
    if not (lost <= 8 * torch.finfo(theta.dtype).eps * size).all():
        owner, name = where
        raise ValueError(
            f"ratio: divided by λ = {factor:g}, {type(owner).__name__}.{name} leaves the range of "
            f"{theta.dtype}; choose a ratio nearer to 1 or a wider type"
        )


def _take_off(places: list[Place], calls: set[int], optimizer: torch.optim.Optimizer | None) -> None:
    """Undo some calls at some places; all is checked before anything is changed."""
    found = {id(scale): (lists_of(owner)[name].original, scale) for owner, name, scale in places}
    if optimizer is not None:
        check_convertible(optimizer, [parameter for parameter, _ in found.values()])
    for parameter, scale in found.values():
        factor = math.prod(scale.factors.pop(number, 1.0) for number in calls)
        _multiply(parameter, factor)
        if optimizer is not None:
            convert_state(optimizer, [parameter], 1 / factor)
    for owner, name, scale in places:
        if not scale.factors:
            take_out(owner, name)


def _multiply(parameter: nn.Parameter, factor: float) -> None:
    """φ ← factor φ, and a gradient that is waiting for its step goes with it."""
    with torch.no_grad():
        parameter.mul_(factor)
        if parameter.grad is not None:
            parameter.grad.div_(factor)
