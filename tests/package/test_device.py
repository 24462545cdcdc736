"""The dials: device, seeds, scale."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from kexue_lite.device import device, scale, seed_everything


def test_the_environment_chooses_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXUE_DEVICE", "meta")
    assert device() == torch.device("meta")


def test_without_the_environment_the_device_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEXUE_DEVICE", raising=False)
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert device().type == expected
    assert torch.ones(2, device=device()).sum().item() == 2


@pytest.mark.parametrize("name", ["toaster", "cuda:99", "cpu cuda"])
def test_an_unknown_device_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("KEXUE_DEVICE", name)
    with pytest.raises(ValueError, match=f"KEXUE_DEVICE.*{name}"):
        device()


def test_a_seed_fixes_all_four_streams() -> None:
    def draw() -> tuple[float, float, float, float]:
        generator = seed_everything(7)
        own = torch.rand(1, generator=generator).item()
        return random.random(), np.random.rand(), torch.rand(1).item(), own  # noqa: NPY002

    first = draw()
    random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    assert draw() == first
    seed_everything(8)
    assert random.random() != first[0]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=str(seed)):
        seed_everything(seed)


@pytest.mark.parametrize("seed", [1.0, "1", True, None])
def test_a_seed_of_another_type_is_refused(seed: object) -> None:
    with pytest.raises(TypeError, match="seed must be an int"):
        seed_everything(seed)  # type: ignore[arg-type]


def test_scale_reads_its_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXUE_SCALE", "full")
    assert scale() == "full"
    monkeypatch.setenv("KEXUE_SCALE", "")
    assert scale() == "reader"
    monkeypatch.setenv("KEXUE_SCALE", "huge")
    with pytest.raises(ValueError, match=r"reader, full.*'huge'"):
        scale()
