"""What the full scale of chapters 6 and 7 has in common: halves of MNIST, their judge, rows that are kept.

MNIST's 10,000 test pictures of 28×28 are cut into two stratified halves. The first trains the networks and
the judge, chapter 3's classifier; against the second what was made is scored. Both chapters use one judge, so
their distances may be compared.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from benchmarks import harness
from kexue_lite.data import Images
from kexue_lite.networks import Judge, judge, save_judge, train_digit_classifier

KEPT = harness.RESULTS / ".full_scale"  # what a killed run is taken up from


def halves(images: Images, seed: int = 0) -> tuple[Images, Images]:
    """Two stratified halves.

    Examples
    --------
    >>> from kexue_lite.data import digits
    >>> first, second = halves(digits()[0])
    >>> len(first), len(second)
    (449, 449)
    """
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(images))
    parts = train_test_split(rows, test_size=0.5, stratify=images.labels, random_state=seed)
    first, second = (Images(images.images[part], images.labels[part]) for part in parts)
    return first, second


def judge_of(images: Images, *, where: torch.device | str = "cpu", steps: int = 1000) -> Judge:
    """A judge of pictures of any size, trained on these; made once, then read from where rows are kept."""
    size = images.images.shape[1]
    file = KEPT / f"judge-{len(images)}-{size}-{steps}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):  # programs side by side must not make two
        if not file.exists():
            x = torch.from_numpy(images.images).to(where)
            model = train_digit_classifier(x, images.labels, steps=steps)
            about = f"{len(images)} pictures of {size}×{size}"
            save_judge(model, file, trained_on=about, command="make full")
    return judge(device=where, path=file)


def as_text(pictures: Tensor | np.ndarray) -> str:
    """Pictures ``(N, H, H)`` in [0, 1] as base64 of their bytes, for a JSON file.

    Examples
    --------
    >>> as_text(torch.tensor([[[0.0, 1.0]]]))
    'AP8='
    """
    values = torch.as_tensor(pictures).detach().cpu().clamp(0, 1)
    return base64.b64encode((255 * values).round().to(torch.uint8).numpy().tobytes()).decode()


def kept_rows(
    name: str, code: Sequence[ModuleType], seeds: Sequence[int], one: Callable[[int, Path], dict[str, Any]]
) -> list[dict[str, Any]]:
    """``one(seed, checkpoint)`` for each seed; what was finished before, by the same code, is read.

    So a run that was killed goes on where it was, and seeds may be shared out among several programs.
    """
    stamp = harness.fingerprint(code)
    rows = []
    for seed in seeds:
        file = KEPT / f"{name}-{stamp}-{seed}.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            row = one(seed, file.with_suffix(".pt"))
            partial = file.with_suffix(".part")
            partial.write_text(json.dumps(row), encoding="utf-8")
            partial.replace(file)
        rows.append(json.loads(file.read_text(encoding="utf-8")))
    return rows
