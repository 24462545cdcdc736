"""The processes that share a batch: which rows are mine, and how gradients become one.

Each process takes its rows of the global batch and differentiates (its rows / all rows) times its mean loss;
the sum over the processes is the gradient of the global mean, whether the rows divide evenly or not, and also
when a process has none. Nothing is wrapped around the model (as `DistributedDataParallel` would be), so a
loss may call any method of it, and the names in a checkpoint are the same for one process and for many. What
is given up is the overlap of communication with the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("32-true", "64-true", "bf16-true", "bf16-mixed")


class Processes:
    """One process, or the processes of a `Fabric`: `rank` of `size`, each with its `device`."""

    def __init__(self, model: nn.Module, fabric: Fabric | None) -> None:
        self.fabric, self.rank, self.size, self.precision = fabric, 0, 1, "that of the parameters"
        devices = sorted({str(p.device) for p in model.parameters()})
        if fabric is None:
            if len(devices) != 1:
                raise ValueError(f"the model's parameters must lie on one device, they lie on {devices}")
            self.device = torch.device(devices[0])
            return
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy, SingleDeviceStrategy

        if not isinstance(fabric, Fabric):
            raise TypeError(f"fabric must be a lightning_fabric.Fabric, got {type(fabric).__name__}")
        if not isinstance(fabric.strategy, DDPStrategy | SingleDeviceStrategy):
            raise ValueError(
                f"fabric's strategy must keep the whole model on each device ('auto', 'ddp', ...); "
                f"got {type(fabric.strategy).__name__}"
            )
        precision = fabric.strategy.precision.precision
        if precision not in PRECISIONS:
            raise ValueError(
                f"fabric's precision must be one of {', '.join(PRECISIONS)}; got {precision!r} "
                "(16-bit floats need a loss scale, bf16 does not)"
            )
        self.rank, self.size, self.device = fabric.global_rank, fabric.world_size, fabric.device
        if self.size > 1 and not dist.is_initialized():
            raise ValueError(f"fabric has {self.size} processes: call fabric.launch() before train")
        if precision.endswith("mixed"):  # the others show in the parameters themselves
            self.precision = precision
        fabric.strategy.precision.convert_module(model).to(self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which the loss is computed: fabric's precision."""
        return nullcontext() if self.fabric is None else self.fabric.autocast()

    def take(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """My rows of the global batch, on my device; the first processes have one more if need be."""
        if self.size > 1:
            batch = tuple(tensor.tensor_split(self.size)[self.rank] for tensor in batch)
        batch = tuple(tensor.to(self.device, non_blocking=True) for tensor in batch)
        return batch if self.fabric is None else self.fabric.strategy.precision.convert_input(batch)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of `value` over the processes, in every one of them."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def sum_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Replace each gradient by the sum over the processes; None in all of them stays None."""
        if self.size == 1:
            return
        for dtype in sorted({p.dtype for p in parameters}, key=str):
            members = [p for p in parameters if p.dtype == dtype]
            if any(p.grad is not None and p.grad.is_sparse for p in members):
                raise TypeError("sparse gradients cannot be summed over several processes: use dense ones")
            pieces = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in members]
            # One message: all gradients, and behind them who has one.
            has = torch.tensor([p.grad is not None for p in members], dtype=dtype, device=self.device)
            flat = torch.cat([*pieces, has])
            dist.all_reduce(flat)
            cut = flat.split([*(p.numel() for p in members), len(members)])
            for p, piece, present in zip(members, cut, cut[-1].tolist(), strict=False):
                p.grad = piece.view_as(p) if present else None

    def agree(self, tensors: list[Tensor]) -> None:
        """Overwrite `tensors` by those of process 0."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def tell(self, thing: Any) -> Any:
        """What process 0 has, in every process."""
        if self.size == 1:
            return thing
        box = [thing]
        dist.broadcast_object_list(box, 0, device=self.device if self.device.type == "cuda" else None)
        return box[0]

    def everywhere(self, action: Callable[[], Any]) -> Any:
        """What `action` gives, or raises, in process 0: given or raised in every process."""
        if self.size == 1:
            return action()
        outcome: tuple[Any, Exception | None] = (None, None)
        if self.rank == 0:
            try:
                outcome = (action(), None)
            except (OSError, ValueError, TypeError, RuntimeError, ArithmeticError) as error:
                outcome = (None, error)
        result, failure = self.tell(outcome)
        if failure is not None:
            raise failure
        return result

    def gather(self, thing: Any) -> list[Any]:
        """What each process has, in every process."""
        if self.size == 1:
            return [thing]
        things: list[Any] = [None] * self.size
        dist.all_gather_object(things, thing)
        return things

    def random_state(self) -> dict[str, Tensor]:
        """The states of torch's global generators: of the CPU, and of my device if it has its own."""
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        elif self.device.type == "mps":
            state["mps"] = torch.mps.get_rng_state()
        return state

    def restore_random_state(self, states: list[dict[str, Tensor]]) -> None:
        """Take up my state; a process that the checkpoint's run did not have gets one of its own."""
        if self.rank >= len(states):
            seed = int.from_bytes(states[0]["cpu"].numpy().tobytes()[:6], "little") + self.rank
            torch.manual_seed(seed)
            return
        state = states[self.rank]
        torch.set_rng_state(state["cpu"])
        if self.device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.device)
        elif self.device.type == "mps" and "mps" in state:
            torch.mps.set_rng_state(state["mps"])
