"""What `train` refuses, in words: arguments before the first step, batches and losses at every step."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

Loss = Callable[..., Tensor]
HALF = (torch.float16, torch.bfloat16)


def unwrapped(model: nn.Module) -> nn.Module:
    """The module whose parameters and names count: that inside a compiled one."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    bare = model
    if "torch._dynamo" in sys.modules and isinstance(bare, torch._dynamo.OptimizedModule):
        bare = bare._orig_mod
    if hasattr(bare, "_forward_module") or isinstance(bare, nn.parallel.DistributedDataParallel):
        raise ValueError(
            f"model must be the plain module, got a {type(bare).__name__} around it: "
            "do not call fabric.setup, hand the fabric to train"
        )
    if not any(parameter.requires_grad for parameter in bare.parameters()):
        raise ValueError("model has no parameter that requires a gradient: there is nothing to train")
    return bare


def listed(name: str, value: Any) -> list[Any]:
    """One thing or a sequence of them, as a list."""
    return list(value) if isinstance(value, Sequence) else [value]


def check_optimizers(
    model: nn.Module, loss: Any, optimizer: Any, schedule: Any
) -> tuple[list[Loss], list[torch.optim.Optimizer], list[LRScheduler]]:
    """Losses, optimisers and schedules as lists that fit each other and the model."""
    losses, optimizers = listed("loss", loss), listed("optimizer", optimizer)
    schedules = [] if schedule is None else listed("schedule", schedule)
    for one in losses:
        if not callable(one):
            raise TypeError(f"loss must be a function of (model, *batch), got {type(one).__name__}")
    for one in optimizers:
        if not isinstance(one, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(one).__name__}")
        closure = inspect.signature(type(one).step).parameters.get("closure")  # of one's own: perhaps none
        if closure is not None and closure.default is inspect.Parameter.empty:
            raise TypeError(f"optimizer {type(one).__name__} needs a closure, which train has not")
    if len(losses) != len(optimizers) or not optimizers:
        raise ValueError(
            f"there must be as many losses as optimizers, at least one; got {len(losses)} losses "
            f"and {len(optimizers)} optimizers"
        )
    theirs = {id(parameter) for parameter in model.parameters()}
    seen: set[int] = set()
    for index, one in enumerate(optimizers):
        for group in one.param_groups:
            for parameter in group["params"]:
                if id(parameter) not in theirs:
                    raise ValueError(
                        f"optimizer {index} holds a parameter of shape {tuple(parameter.shape)} that is not "
                        "the model's: make it from model.parameters() of this very model"
                    )
                if id(parameter) in seen:
                    raise ValueError("each parameter may belong to one optimizer only; one belongs to two")
                seen.add(id(parameter))
        if not any(p.requires_grad for group in one.param_groups for p in group["params"]):
            raise ValueError(f"optimizer {index} holds no parameter that requires a gradient")
    for one in schedules:
        if not isinstance(one, LRScheduler) or isinstance(one, ReduceLROnPlateau):
            raise TypeError(
                f"schedule must be a torch LRScheduler that needs no metric, got {type(one).__name__}"
            )
        if not any(one.optimizer is optimizer for optimizer in optimizers):
            raise ValueError(
                f"schedule {type(one).__name__} belongs to an optimizer that train was not given"
            )
    return losses, optimizers, schedules


def check_batch(batch: Any, step: int) -> int:
    """The number of rows of a global batch."""
    where = f"batches({step})"
    if not isinstance(batch, tuple | list) or not batch or not all(isinstance(t, Tensor) for t in batch):
        kinds = [type(t).__name__ for t in batch] if isinstance(batch, tuple | list) else type(batch).__name__
        raise TypeError(f"{where} must be a tuple of tensors, at least one; got {kinds}")
    if any(tensor.dim() == 0 for tensor in batch):
        raise ValueError(
            f"{where}: each tensor must have a first dimension (the rows), one is a single number"
        )
    if any(tensor.layout != torch.strided for tensor in batch):
        raise TypeError(f"{where}: tensors must be dense, got {[str(tensor.layout) for tensor in batch]}")
    rows = [len(tensor) for tensor in batch]
    if len(set(rows)) > 1:
        raise ValueError(f"{where}: all tensors must have equally many rows, got {rows}")
    if rows[0] == 0:
        raise ValueError(f"{where} is empty: it has no rows")
    return rows[0]


def mean_of(value: Any, rows: int, step: int) -> Tensor:
    """The mean of a loss that came as `(rows,)` or as a mean already."""
    if not isinstance(value, Tensor):
        raise TypeError(f"loss must return a tensor, got {type(value).__name__} at step {step + 1}")
    if value.dim() and tuple(value.shape) != (rows,):
        raise ValueError(
            f"loss must return one number per row, shape ({rows},), or a single mean; "
            f"got shape {tuple(value.shape)} at step {step + 1}"
        )
    if not value.is_floating_point():
        raise TypeError(f"loss must return floating-point numbers, got {value.dtype} at step {step + 1}")
    if not value.requires_grad:
        raise ValueError(f"loss does not depend on any parameter (it needs no gradient) at step {step + 1}")
    if value.dtype in HALF:  # a mean in eight bits would lose the digits of a small change
        value = value.float()
    return value.mean() if value.dim() else value


def number_of(score: Any, step: int) -> float:
    """What `Watch.score` returned, as a float that is not NaN."""
    odd = TypeError(f"score must return one number, got {type(score).__name__} after step {step}: {score!r}")
    if isinstance(score, str | bytes):
        raise odd
    try:
        value = float(score)
    except (TypeError, ValueError, RuntimeError) as error:
        raise odd from error
    if math.isnan(value):
        raise FloatingPointError(f"the score is nan after step {step}")
    return value
