"""A checkpoint on disk: whole or not at all, checked when it is read, and never able to run code.

The file is one line ``kexue_lite checkpoint 1 <bytes> <SHA-256>`` and a payload of torch's own format that
holds tensors, numbers and text. It is written beside its place, forced to the disk, and renamed over the old
one: a kill or a full disk leaves the old one as it was. It is read with ``weights_only=True``, so a file from
a stranger cannot run code.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from .batches import whole

NAME, VERSION = "kexue_lite checkpoint", "1"
MAGIC = f"{NAME} {VERSION}"
# What a state holds; that it fits the run is seen when it is taken up.
KINDS: dict[str, type | tuple[type, ...]] = {
    "identity": dict, "step": int, "model": dict, "averaged": (dict, type(None)), "optimizers": list,
    "schedules": list, "best": (dict, type(None)), "misses": int, "values": Tensor, "seconds": Tensor,
    "scores": Tensor, "random": list,
}  # fmt: skip
# How an optimiser computes, not what: these may differ between the run that wrote and the one that reads.
MANNER = {"params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable"}
# What of a schedule's state moves as it steps; all else tells one schedule from another.
MOVING = {"last_epoch", "_step_count", "_last_lr", "_is_initial", "_get_lr_called_within_step", "lr_lambdas"}


@dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state, and how often.

    Attributes
    ----------
    path
        A file in a folder that exists. If the file exists, `train` takes the run up from it.
    every
        Steps between two writes, 1 or larger. The end of the run is written as well.

    Notes
    -----
    A file of another run is refused: names, shapes and types of the model's tensors, the optimisers and
    schedules with their settings, `accumulate`, `average`, ``watch.every``, the precision and ``batches(0)``
    are compared. What is code is not: the loss, the score, a schedule's own functions, later batches. `steps`
    may grow, `patience` may change. While a run is at work it holds ``<path>.lock``; a second one is refused.

    Examples
    --------
    >>> Checkpoint("run.ckpt", every=100).every
    100
    """

    path: str | os.PathLike[str]
    every: int

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike):
            raise TypeError(f"path must be a str or a path, got {type(self.path).__name__}: {self.path!r}")
        whole("every", self.every, 1)

    def place(self) -> Path:
        """The file's real address, links followed; OSError that says why no file can be written there."""
        path = Path(os.path.realpath(self.path))
        if path.is_dir():
            raise IsADirectoryError(f"the checkpoint's path must name a file, {self.path} is a folder")
        if path.exists() and not path.is_file():
            raise OSError(f"the checkpoint's path must name a file, {self.path} is a device or a pipe")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the checkpoint's folder does not exist: {path.parent} (make it first)")
        if not os.access(path.parent, os.W_OK | os.X_OK) or (
            path.exists() and not os.access(path, os.R_OK | os.W_OK)
        ):
            raise PermissionError(f"no permission to read and write the checkpoint {self.path}")
        return path


def part_of(path: Path) -> Path:
    """The name under which a checkpoint is written. Always the same, so that kills cannot pile up litter."""
    return path.with_name(path.name + ".part")


def lock_of(path: Path) -> Path:
    """The file that a run holds locked while it is at work with the checkpoint."""
    return path.with_name(path.name + ".lock")


def pack(state: dict[str, Any]) -> bytes:
    """`state` as the bytes of a checkpoint."""
    stream = io.BytesIO()
    torch.save(state, stream)
    payload = stream.getbuffer()
    head = f"{MAGIC} {len(payload)} {hashlib.sha256(payload).hexdigest()}\n"
    return head.encode("ascii") + payload


def unpack(data: bytes, path: Path) -> dict[str, Any]:
    """The state in the bytes `data` of the file `path`; ValueError if they are not a whole checkpoint."""
    advice = "Remove the file (or restore it from a copy) and start again; nothing was changed."
    line, _, payload = data[:256].partition(b"\n")
    words = line.decode("ascii", errors="replace").split(" ")
    if " ".join(words[:2]) == NAME and words[2:3] != [VERSION] and len(words) == 5:
        raise ValueError(
            f"{path} was written by another version of kexue_lite: it has format {words[2]}, this one reads "
            f"{VERSION}. Take it up with the version that wrote it, or start anew: {advice}"
        )
    if " ".join(words[:3]) != MAGIC or len(words) != 5 or not words[3].isdigit():
        what = "is empty" if not data else "is no checkpoint of kexue_lite"
        raise ValueError(f"{path} {what}. {advice}")
    payload = data[len(line) + 1 :]
    if len(payload) != int(words[3]):
        raise ValueError(f"{path} is damaged: it holds {len(payload)} bytes of {words[3]}. {advice}")
    if hashlib.sha256(payload).hexdigest() != words[4]:
        raise ValueError(f"{path} is damaged: its checksum does not fit. {advice}")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several kinds; the checksum fitted, so somebody made it so
        found = re.search(r"GLOBAL (\S+)", str(error))  # torch's own words go on to advise an unsafe load
        reason = f"it names {found[1]}" if found else type(error).__name__
        raise ValueError(f"{path} cannot be loaded safely ({reason}). {advice}") from error
    kinds = state if isinstance(state, dict) else {}
    if wrong := [key for key, kind in KINDS.items() if not isinstance(kinds.get(key, ...), kind)]:
        odd = ", ".join(wrong)
        raise ValueError(f"{path} is no checkpoint of kexue_lite: it holds no run ({odd} odd). {advice}")
    return state


def write(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all; OSError, and the old file untouched, if that fails."""
    part = part_of(path)
    try:
        with open(part, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:  # a second Ctrl-C too leaves no litter
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        kept = "the one before is untouched" if path.exists() else "there was none before"
        raise OSError(
            error.errno,
            f"the checkpoint could not be written ({error.strerror}; {len(data):,} bytes), {kept}. "
            f"Make room or choose another path and start again",
            str(path),
        ) from error
    if hasattr(
        os, "O_DIRECTORY"
    ):  # the new name is on the disk only when its folder is; Windows has no such call
        with suppress(OSError):  # some network file systems do not know it; the file itself is safe
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def fingerprint(batch: tuple[Tensor, ...]) -> list[str]:
    """Shapes and kinds of a batch; on the CPU, which draws the same everywhere, a hash of its content."""
    marks = []
    for tensor in batch:
        mark = f"{tensor.dtype} {tuple(tensor.shape)}"
        if tensor.device.type == "cpu":
            values = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
            content = values.view(torch.uint8).numpy().tobytes()
            mark += f" sha256 {hashlib.sha256(content).hexdigest()[:16]}"
        marks.append(mark)
    return marks


def plain(value: Any) -> Any:
    """The same with numpy's numbers as Python's: a rate by `numpy.cos` is one, and a safe load refuses it."""
    if type(value) is dict:  # no Counter: another kind of dictionary stays what it is
        return {key: plain(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def fixed(value: Any) -> Any:
    """A schedule's state without what moves as it steps."""
    if isinstance(value, dict):
        return {key: fixed(one) for key, one in sorted(value.items(), key=str) if key not in MOVING}
    if isinstance(value, list | tuple):
        return [fixed(one) for one in value]
    return value.tolist() if isinstance(value, Tensor | np.generic) else value


def identity(
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    schedules: list[LRScheduler],
    settings: dict[str, Any],
) -> dict[str, str]:
    """What a run is, as names with plain descriptions, in the order in which a difference should be told."""
    marks = {}
    for name, parameter in model.named_parameters():
        marks[f"the model's parameter {name!r}"] = f"{parameter.dtype} {tuple(parameter.shape)}"
    for name, buffer in model.named_buffers():
        marks[f"the model's buffer {name!r}"] = f"{buffer.dtype} {tuple(buffer.shape)}"
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for index, optimizer in enumerate(optimizers):
        who = "the optimizer" if len(optimizers) == 1 else f"optimizer {index}"
        marks[f"{who}'s class"] = type(optimizer).__name__
        for number, group in enumerate(optimizer.param_groups):
            where = f"{who}'s group {number}"
            marks[f"{where}: parameters"] = ", ".join(names[id(p)] for p in group["params"])
            marks[f"{where}: lr"] = (
                f"{float(group.get('initial_lr', group['lr'])):.17g}" if "lr" in group else "none"
            )
            for key in sorted(set(group) - MANNER):
                value = group[key]
                marks[f"{where}: {key}"] = repr(value.tolist() if isinstance(value, Tensor) else plain(value))
    marks["the number of schedules"] = str(len(schedules))
    for index, schedule in enumerate(schedules):
        who = "the schedule" if len(schedules) == 1 else f"schedule {index}"
        marks[f"{who}'s class"] = type(schedule).__name__
        for key, value in fixed(schedule.state_dict()).items():
            if isinstance(value, int | float | str | list | dict | None):
                marks[f"{who}: {key}"] = repr(value)
    marks.update({name: repr(value) for name, value in settings.items()})
    return marks


def compare(ours: dict[str, str], theirs: dict[str, str], path: Path) -> None:
    """ValueError naming the first difference between this run and the one that wrote the checkpoint."""
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        here, there = ours.get(name, "missing"), theirs.get(name, "missing")
        if here != there:
            raise ValueError(
                f"{path} is the checkpoint of another run: {name} is {here} here and {there} there. "
                "Give another path, or remove the file to start anew."
            )
