r"""The judge of generated digits: chapter 3's classifier, trained once, stored, and the same for everyone.

Chapters 6 and 7 score generated pictures by what a `DigitClassifier` sees in them. The weights are those of
one run on half A of the digits (half B is what scores are measured against, so the judge must not know it),
kept in the package in the safetensors format, which holds numbers and no code. The SHA-256 of all names,
shapes and numbers stands in the file and is compared when it is loaded: a score that names the judge's hash
can be repeated.

    make judge        # python -m benchmarks.digits_judge --judge
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kexue_lite.networks.digits import DigitClassifier, checked_images
from kexue_lite.networks.mlp import undisturbed
from kexue_lite.networks.scores import Accuracy, accuracy, frechet_distance

WEIGHTS = Path(__file__).with_name("digits_judge.safetensors")
VERSION = "1"


class Judge:
    """A trained classifier of 8×8 digits with the hash of its weights; made by `judge`.

    Attributes
    ----------
    hash
        The first 12 digits of the SHA-256 of the weights.
    about
        What the file says of itself: version, what it was trained on, with which command.
    model
        The `DigitClassifier`, in evaluation mode, its weights frozen. Use it where a gradient with respect to
        the pictures is wanted; the methods below compute none.
    """

    def __init__(self, model: DigitClassifier, about: Mapping[str, str]) -> None:
        self.model = model.eval().requires_grad_(False)
        self.about = dict(about)
        self.hash = self.about["sha256"][:12]

    def __repr__(self) -> str:
        return f"Judge({self.hash}, version {self.about['version']}, {self.about['trained_on']})"

    def features(self, images: Tensor | np.ndarray) -> Tensor:
        """The features ``(N, 64)`` of pictures ``(N, 8, 8)`` or ``(N, 1, 8, 8)`` in [0, 1].

        Raises
        ------
        TypeError, ValueError
            For another shape or type, NaN, or values outside [0, 1]: clip generated pictures first.
        """
        return self._in_parts(self.model.features, images)

    def logits(self, images: Tensor | np.ndarray) -> Tensor:
        """Logits ``(N, 10)``; arguments and errors as for `features`."""
        return self._in_parts(self.model, images)

    __call__ = logits

    def labels(self, images: Tensor | np.ndarray) -> Tensor:
        """The digit seen in each picture, ``(N,)``; arguments and errors as for `features`."""
        return self.logits(images).argmax(1)

    def accuracy(self, images: Tensor | np.ndarray, labels: Tensor | np.ndarray) -> Accuracy:
        """The share of pictures in which the labelled digit is seen."""
        return accuracy(self.logits(images), labels)

    def distance(self, images_a: Tensor | np.ndarray, images_b: Tensor | np.ndarray) -> float:
        """`frechet_distance` of the features of two sets of pictures."""
        return frechet_distance(self.features(images_a), self.features(images_b))

    def _in_parts(self, function: Any, images: Tensor | np.ndarray) -> Tensor:
        weight = next(self.model.parameters())
        pictures = checked_images(images).to(weight)
        with torch.no_grad():  # in parts, so that a hundred thousand pictures need no gigabytes
            return torch.cat([function(part) for part in pictures.split(4096)])


def judge(*, device: torch.device | str = "cpu", path: str | os.PathLike[str] | None = None) -> Judge:
    """The stored judge of digits, checked against its hash.

    Parameters
    ----------
    device
        Where it computes; pictures are brought there.
    path
        Another file that `save_judge` wrote; the one in the package if left out.

    Returns
    -------
    Judge

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, of another version, or holds no judge.

    Examples
    --------
    >>> from kexue_lite.data import digits
    >>> A, B = digits()
    >>> see = judge()
    >>> see.features(B.images).shape
    torch.Size([899, 64])
    >>> see.accuracy(B.images, B.labels).value > 0.98
    True
    """
    file = WEIGHTS if path is None else Path(path)
    try:
        stat = file.stat()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"the judge's weights {file} are missing: make them with 'make judge'"
        ) from None
    state, about, shape = _read(file, stat.st_mtime_ns, stat.st_size)
    try:
        with undisturbed(unused := torch.Generator()):  # the weights come from the file
            model = DigitClassifier(**shape, generator=unused)
        model.load_state_dict(state)
    except (TypeError, ValueError, RuntimeError) as error:  # its hash fits, so somebody made it so
        raise ValueError(f"{file} holds no judge: {str(error).splitlines()[0]}") from error
    return Judge(model.to(device), about)


def save_judge(model: DigitClassifier, path: str | os.PathLike[str], *, trained_on: str, command: str) -> str:
    """Write a classifier as a judge's file, in one step; returns the SHA-256 of its weights.

    Parameters
    ----------
    model
        The trained classifier.
    path
        The file.
    trained_on, command
        Words that are kept in the file.

    Raises
    ------
    ValueError
        If a weight is NaN or infinite, or not float32.
    OSError
        If the file cannot be written.
    """
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for name, value in state.items():
        if value.dtype not in (torch.float32, torch.int64):  # it would be rounded when it is loaded
            raise ValueError(f"model must have float32 weights, got {value.dtype} in {name}")
        if not torch.isfinite(value).all():
            raise ValueError(f"model must have finite weights, got NaN or infinity in {name}")
    convolutions = [p for p in model.body if isinstance(p, torch.nn.Conv2d)]
    shape = {
        "size": model.size,
        "channels": [c.out_channels for c in convolutions],
        "features": model.head.in_features,
        "classes": model.head.out_features,
    }
    about = {
        "version": VERSION,
        "shape": json.dumps(shape),
        "trained_on": trained_on,
        "command": command,
    }
    about["sha256"] = _digest(state, about["shape"])
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(save(state, about))
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return about["sha256"]


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any]]:
    """State, what the file says of itself, shape of the network; read once for each state of the file."""
    from safetensors import SafetensorError, safe_open

    broken = f"{path} is damaged or no judge's file"
    advice = "restore it from the repository, or make it again with 'make judge'"
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{broken} ({error}): {advice}") from error
    missing = {"version", "shape", "trained_on", "command", "sha256"} - set(about)
    if missing:
        raise ValueError(f"{broken} (it does not say {', '.join(sorted(missing))}): {advice}")
    if about["version"] != VERSION:
        raise ValueError(f"{path} has version {about['version']}, this package reads {VERSION}: {advice}")
    if any(value.dtype not in (torch.float32, torch.int64) for value in state.values()):
        raise ValueError(f"{broken} (its numbers are not float32): {advice}")
    if _digest(state, about["shape"]) != about["sha256"]:
        raise ValueError(f"{broken} (its numbers do not have the stored SHA-256): {advice}")
    if not all(value.isfinite().all() for value in state.values()):
        raise ValueError(f"{broken} (it holds NaN or infinity): {advice}")
    try:
        return state, about, json.loads(about["shape"])
    except ValueError as error:
        raise ValueError(f"{broken} (its shape cannot be read: {error}): {advice}") from error


def _digest(state: Mapping[str, Tensor], shape: str) -> str:
    total = hashlib.sha256(shape.encode())
    for name in sorted(state):
        value = state[name]
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.contiguous().numpy().tobytes())
    return total.hexdigest()
