"""Where tensors live, how randomness starts, and how large an experiment is: dials, not edits.

No function of the package reads these dials by itself: a chapter calls them once at its top and passes
tensors, generators and sizes on. A library function takes the device from its input.
"""

from __future__ import annotations

import os
import random
from typing import Literal

import numpy as np
import torch

SCALES = ("reader", "full")


def device() -> torch.device:
    """The device on which a chapter computes: CUDA if there is one, else Apple's MPS, else the CPU.

    The environment variable `KEXUE_DEVICE` (``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...) overrides it.

    Returns
    -------
    torch.device
        A device on which a tensor can really be allocated.

    Raises
    ------
    ValueError
        If `KEXUE_DEVICE` names no device of torch, or one that this machine does not have.

    Examples
    --------
    >>> os.environ["KEXUE_DEVICE"] = "cpu"
    >>> device()
    device(type='cpu')
    """
    wanted = os.environ.get("KEXUE_DEVICE", "").strip()
    if wanted:
        try:
            chosen = torch.device(wanted)
            torch.empty(0, device=chosen)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ValueError(
                f"KEXUE_DEVICE must name a device that this machine has, such as 'cpu' or 'cuda'; "
                f"got {wanted!r} ({str(error).splitlines()[0]})"
            ) from error
        return chosen
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python's, numpy's and torch's global generators; return a new CPU generator with the same seed.

    Parameters
    ----------
    seed
        An integer in [0, 2³²): the range that numpy accepts.

    Returns
    -------
    torch.Generator
        To be handed to functions that take ``generator=``.

    Raises
    ------
    TypeError
        If `seed` is no integer (a bool is none).
    ValueError
        If it is out of range.

    Examples
    --------
    >>> generator = seed_everything(0)
    >>> first = torch.rand(1, generator=generator)
    >>> torch.equal(first, torch.rand(1, generator=seed_everything(0)))
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an int, got {type(seed).__name__}: {seed!r}")
    seed = int(seed)
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie in [0, 2**32), got {seed}")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries that draw from numpy's global state are seeded too)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def scale() -> Literal["reader", "full"]:
    """The size of the experiments: ``reader`` (seconds on two cores) or ``full`` (a GPU, paper-sized).

    Read from the environment variable `KEXUE_SCALE`; ``reader`` if it is not set.

    Raises
    ------
    ValueError
        If `KEXUE_SCALE` is anything else.

    Examples
    --------
    >>> os.environ.pop("KEXUE_SCALE", None) and None
    >>> scale()
    'reader'
    """
    wanted = os.environ.get("KEXUE_SCALE", "reader").strip() or "reader"
    if wanted not in SCALES:
        raise ValueError(f"KEXUE_SCALE must be one of {', '.join(SCALES)}; got {wanted!r}")
    return wanted  # type: ignore[return-value]
