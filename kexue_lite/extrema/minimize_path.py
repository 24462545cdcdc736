"""Make a functional small directly: Newton's method on a polygon, for a batch of problems at once.

The variation set to zero gives a differential equation; the discretised functional's gradient set to zero
gives a tridiagonal system for each Newton step. Integral constraints enter by an augmented Lagrangian,
J + Σ λᵢ cᵢ + ½ρ Σ cᵢ², whose multipliers converge to those of `euler_lagrange`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import polygon
from .descent import Problem
from .polygon import Lagrangian

Constraint = tuple[Lagrangian, float | Tensor]


@dataclass(frozen=True)
class Path:
    """The minimiser found: a polygon through `x`, `y`. With one problem the batch axis B is left out.

    x, y
        ``(B, nodes)``, ends included.
    value
        ``(B,)``: J on this polygon.
    residual
        ``(B,)``: half the squared Newton decrement, the further decrease that a quadratic model still
        promises.
    converged
        ``(B,)``, bool: the residual is at rounding and the constraints are met. The Hessian was positive
        there, so this is a local minimum of the discretised problem and no mere stationary point.
    iterations
        Newton steps taken.
    multipliers
        ``(B, M)``: λ of each constraint, for F + λ₁G₁ + ...
    """

    x: Tensor
    y: Tensor
    value: Tensor
    residual: Tensor
    converged: Tensor
    iterations: int
    multipliers: Tensor


def minimize_path(
    lagrangian: Lagrangian,
    start: Any,
    end: Any,
    *,
    nodes: int = 200,
    constraints: Sequence[Constraint] = (),
    initial: Any = None,
    max_iterations: int = 200,
) -> Path:
    r"""The path from `start` to `end` that makes J[y] = ∫ F(x, y, y') dx least, found directly.

    Parameters
    ----------
    lagrangian
        F, called as ``F(x, y, dy)`` with three tensors of shape ``(B, n)``, B the batch (1 for one problem).
        It must act on each point by itself and use torch functions; parameters of shape ``(B, 1)`` give each
        problem its own. It may be undefined at the ends themselves.
    start, end
        (x, y) of shape ``(2,)`` or ``(B, 2)``: tensors, arrays or lists. The work is done on the device of
        `start` if it is a tensor, in float64 (float32 on Apple's MPS). If x falls from start to end, the
        integral is still taken over the interval, |dx|.
    nodes
        Corners of the polygon, both ends included; at least 3.
    constraints
        Pairs ``(G, c)``: ∫ G(x, y, y') dx = c, with c a number or a tensor ``(B,)``.
    initial
        Heights to start from, ``(nodes,)`` or ``(B, nodes)``. If left out, the straight line, or an arc over
        or under it where that has a lower value or the line has none.
    max_iterations
        Newton steps at most.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        If F returns something other than a real tensor, or an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite, both ends have the same x, F does not depend on y, F is
        not finite on the first path (the message says where), or a constraint leaves no path to choose
        (a chain no longer than the distance of its ends).

    Warns
    -----
    RuntimeWarning
        If some problems did not converge: too few steps, or no minimum exists.

    Notes
    -----
    The error of the value is O(nodes⁻²). Only a local minimum is found, among graphs y(x).

    See Also
    --------
    Chapter 1, section 1.8.

    Examples
    --------
    >>> path = minimize_path(lambda x, y, dy: torch.sqrt((1 + dy**2) / (2 * y)), (0, 0), (1, 1))
    >>> path.y.shape, abs(float(path.value) - 1.825682189) < 1e-4
    (torch.Size([200]), True)
    """
    first, last, single = _ends(start, end)
    if isinstance(nodes, bool) or not isinstance(nodes, int | np.integer) or nodes < 3:
        raise ValueError(f"nodes must be an integer of at least 3 (both ends and one between), got {nodes!r}")
    if (
        isinstance(max_iterations, bool)
        or not isinstance(max_iterations, int | np.integer)
        or max_iterations < 1
    ):
        raise ValueError(f"max_iterations must be an integer of at least 1, got {max_iterations!r}")
    if not callable(lagrangian):
        raise TypeError(f"lagrangian must be callable as F(x, y, dy), got {type(lagrangian).__name__}")
    bounds = _constraints(constraints, first)
    problem = Problem(lagrangian, bounds, first, last, _singular_ends(lagrangian, first, last), int(nodes))
    y = problem.first_path(initial)
    if bounds:
        problem.reachable(y)
    y, residual, converged, iterations, multipliers = problem.descend(y, max_iterations)
    value = problem.values(y)[0]
    if not bool(converged.all()):
        problem.reason_to_fail(y, converged)
    x = first[:, :1] + problem.grid.nodes * (last - first)[:, :1]
    x[:, -1] = last[:, 0]
    fields = (x, y, value, residual, converged)
    if single:
        fields = tuple(f[0] for f in fields)  # type: ignore[assignment]
        multipliers = multipliers[0]
    return Path(*fields, iterations=iterations, multipliers=multipliers)


def _ends(start: Any, end: Any) -> tuple[Tensor, Tensor, bool]:
    device = start.device if isinstance(start, Tensor) else end.device if isinstance(end, Tensor) else "cpu"
    dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
    both = []
    for name, value in (("start", start), ("end", end)):
        try:
            # By way of numpy: torch would read a list of Python's floats in single precision.
            given = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, dtype=float))
            if given.is_complex():
                raise TypeError("complex")
            point = given.detach().to(device=device, dtype=dtype)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name} must be numbers of shape (2,) or (batch, 2), got {value!r}") from error
        if point.ndim not in (1, 2) or point.shape[-1] != 2 or point.numel() == 0:
            raise ValueError(f"{name} must have shape (2,) or (batch, 2), got {tuple(point.shape)}")
        if not bool(torch.isfinite(point).all()):
            raise ValueError(
                f"{name} must be finite, got {point.tolist() if point.ndim == 1 else 'NaN or infinity'}"
            )
        both.append(point)
    single = both[0].ndim == both[1].ndim == 1
    if (
        both[0].ndim == both[1].ndim == 2
        and both[0].shape != both[1].shape
        and 1 not in (len(both[0]), len(both[1]))
    ):
        raise ValueError(
            f"start and end must have the same batch, got {len(both[0])} and {len(both[1])} problems"
        )
    first, last = torch.broadcast_tensors(torch.atleast_2d(both[0]), torch.atleast_2d(both[1]))
    same = first[:, 0] == last[:, 0]
    if bool(same.any()):
        b = int(same.nonzero()[0, 0])
        why = (
            "of the point itself there is nothing to minimise"
            if bool((first[b] == last[b]).all())
            else "swap the roles of x and y"
        )
        raise ValueError(
            f"start and end must have different x, got {first[b].tolist()} and {last[b].tolist()} "
            f"(problem {b}): there is no path y(x) between them; {why}"
        )
    return first.contiguous(), last.contiguous(), single


def _constraints(constraints: Any, like: Tensor) -> list[tuple[Lagrangian, Tensor]]:
    if isinstance(constraints, Callable) or not isinstance(constraints, Sequence):  # type: ignore[arg-type]
        raise TypeError(f"constraints must be a sequence of pairs (G, c), got {type(constraints).__name__}")
    bounds = []
    for i, pair in enumerate(constraints):
        if not isinstance(pair, Sequence) or len(pair) != 2 or not callable(pair[0]):
            raise TypeError(
                f"constraints[{i}] must be a pair (G, c) with G callable as G(x, y, dy), got {pair!r}"
            )
        try:
            c = torch.as_tensor(pair[1], dtype=like.dtype, device=like.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"constraints[{i}] must ask for a number, got {pair[1]!r}") from error
        if c.ndim > 1 or (c.ndim == 1 and len(c) != len(like)) or not bool(torch.isfinite(c).all()):
            raise ValueError(
                f"constraints[{i}] must ask for a finite number or one for each problem, got {pair[1]!r}"
            )
        bounds.append((pair[0], c.expand(len(like))))
    return bounds


def _singular_ends(F: Lagrangian, start: Tensor, end: Tensor) -> tuple[bool, bool]:
    """Whether F has no value, or a huge one, at each end of the chord: there the grid is refined."""
    dy = ((end - start)[:, 1] / (end - start)[:, 0])[:, None]
    fraction = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.75], dtype=start.dtype, device=start.device)
    place = start[:, None, :] + fraction[:, None] * (end - start)[:, None, :]
    with torch.no_grad():
        value = polygon.call(F, place[..., 0], place[..., 1], dy.expand(-1, 5)).abs()
    inner = value[:, 2:]
    typical = torch.where(torch.isfinite(inner), inner, 0.0).amax(1, keepdim=True)
    huge = ~(value[:, :2] <= 10 * typical + torch.finfo(value.dtype).tiny)
    return bool(huge[:, 0].any()), bool(huge[:, 1].any())
