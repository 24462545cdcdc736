"""The stored results of chapter 6: one seed scored again, what they must meet, full scale tried small."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import ogan_mnist
from kexue_lite.data import Images


def test_the_full_scale_runs_on_a_few_small_pictures() -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.random((60, 28, 28), dtype=np.float32), np.arange(60) % 10)
    result = ogan_mnist.race(
        images, [0], torch.device("cpu"), steps=2, batch_size=8, channels=(4, 8), code_size=6
    )
    assert [row["variant"] for row in result["rows"]] == ["plain GAN", "O-GAN"]
    assert all(np.isfinite(row["distance"]) and -1 <= row["rho"] <= 1 for row in result["rows"])
