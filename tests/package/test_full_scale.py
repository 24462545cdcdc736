"""The full scale of chapters 6 and 7, at a tiny size: halves, judge, rows that are kept, stored pictures."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import ddpm_mnist, full_scale, harness, ogan_mnist, time_to_distance
from kexue_lite.data import Images, digits

MODULES = {"ogan_mnist": ogan_mnist, "ddpm_mnist": ddpm_mnist}
RUN = [name for name in MODULES if (harness.RESULTS / f"{name}.json").exists()]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(full_scale, "KEPT", tmp_path / "kept")
    return tmp_path / "kept"


def small_images() -> Images:
    rng = np.random.default_rng(0)
    return Images(rng.random((60, 28, 28), dtype=np.float32), np.arange(60) % 10)


def test_the_halves_are_stratified_and_do_not_meet() -> None:
    A, _ = digits()
    first, second = full_scale.halves(A)
    assert np.abs(np.bincount(first.labels) - np.bincount(second.labels)).max() <= 1
    seen = {row.tobytes() for row in first.images}
    assert not seen & {row.tobytes() for row in second.images}
    assert len(first) + len(second) == len(A)


def test_the_judge_is_made_once_and_then_read(monkeypatch: pytest.MonkeyPatch) -> None:
    A, _ = digits()
    made = full_scale.judge_of(A, steps=3)

    def never(*arguments: Any, **more: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(full_scale, "train_digit_classifier", never)
    assert full_scale.judge_of(A, steps=3).hash == made.hash


def test_pictures_go_through_text_and_back() -> None:
    x = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    back = np.frombuffer(base64.b64decode(full_scale.as_text(x)), np.uint8).reshape(3, 5, 5) / 255
    assert np.abs(back - x.numpy()).max() <= 0.5 / 255 + 1e-6


def test_rows_that_are_finished_are_read_and_the_others_made(kept: Path) -> None:
    made: list[int] = []

    def one(seed: int, checkpoint: Path) -> dict[str, Any]:
        if seed == 2:
            raise KeyboardInterrupt
        made.append(seed)
        return {"seed": seed}

    with pytest.raises(KeyboardInterrupt):
        full_scale.kept_rows("x", (full_scale,), [0, 2, 1], one)
    rows = full_scale.kept_rows("x", (full_scale,), [0, 1], one)
    assert made == [0, 1] and [row["seed"] for row in rows] == [0, 1]
    full_scale.kept_rows("x", (harness,), [0], one)  # other code: made again
    assert made == [0, 1, 0] and not list(kept.glob("*.part"))


def test_o_gan_at_full_scale_runs_on_a_few_small_pictures() -> None:
    changes = {"steps": 2, "batch_size": 8, "channels": (4, 8), "code_size": 6, "lesson": 2}
    found = ogan_mnist.race(small_images(), [0], judge_steps=3, **changes)
    assert [row["variant"] for row in found["rows"]] == ["plain GAN", "O-GAN"]
    assert all(np.isfinite(row["distance"]) and -1 <= row["rho"] <= 1 for row in found["rows"])
    assert all(
        row["low"] <= row["high"] and row["judge"] == found["rows"][0]["judge"] for row in found["rows"]
    )
    counts = {name: len(base64.b64decode(found["pictures"][name])) // 784 for name in ogan_mnist.PICTURES}
    assert counts == {"made": 30, "original": 20, "again": 20}  # 30 are half of all


def test_diffusion_at_full_scale_runs_on_a_few_small_pictures() -> None:
    first, second = full_scale.halves(small_images())
    recipe = dataclasses.replace(ddpm_mnist.FULL, channels=(4, 4, 8), steps=3, batch_size=16, kept=2, T=50)
    row = ddpm_mnist.run(first, second, recipe=recipe, judge_steps=3)
    assert row["low"] <= row["distance"] <= row["high"] and row["device"] == "cpu"
    assert len(base64.b64decode(row["made"])) == 30 * 784


def test_what_was_not_run_is_said_so() -> None:
    chapters = {"ogan_mnist": "06_ogan", "ddpm_mnist": "07_ddpm"}
    for name in set(MODULES) - set(RUN):
        page = Path(__file__).parents[2] / "notebooks" / f"{chapters[name]}.ipynb"
        assert "(full scale): not run" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RUN)
def test_what_is_stored_is_of_this_code_and_was_made_on_an_accelerator(name: str) -> None:
    result = json.loads((harness.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert result["code"] == harness.fingerprint(MODULES[name].CODE), "run make full"
    assert len({row["judge"] for row in result["rows"]}) == 1
    assert result["machine"]["accelerator"] and len(result["seeds"]) >= 3
    assert {row["seed"] for row in result["rows"]} == set(result["seeds"])
    size = result["pictures"]["size"]
    assert len(base64.b64decode(result["pictures"]["made"])) % size**2 == 0


def test_a_level_counts_as_reached_by_the_shortest_training_that_came_so_near() -> None:
    pairs = ((1.0, 9.0), (2.0, 3.9), (4.0, 4.2), (8.0, 2.0))
    row = {"budgets": [{"seconds": s, "times_yardstick": r} for s, r in pairs]}
    found = [time_to_distance.reached(row, level) for level in (5, 4, 3, 1)]
    assert found == [2.0, 2.0, 8.0, None]


def test_the_summary_of_times_is_that_of_the_rows() -> None:
    result = json.loads((harness.RESULTS / "time_to_distance.json").read_text(encoding="utf-8"))
    assert result["code"] == harness.fingerprint(time_to_distance.CODE), "run the race again"
    assert result["summary"] == time_to_distance.summary(result["rows"])
    assert {row["contender"] for row in result["rows"]} == set(time_to_distance.CONTENDERS)
    sizes = {line["contender"]: line["parameters"] for line in result["summary"]}
    ours, theirs = sizes[time_to_distance.OURS], sizes[time_to_distance.THEIRS]
    assert abs(theirs / ours - 1) < 0.15  # of about one size
