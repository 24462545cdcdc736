"""The stored results of chapter 6: one seed trained again, what they must meet, full scale tried small."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics

import pytest

from benchmarks import harness, ogan_digits
from kexue_lite import ogan
from kexue_lite.networks import judge


@pytest.fixture(scope="module")
def result() -> dict:
    return json.loads((harness.RESULTS / "ogan_digits.json").read_text(encoding="utf-8"))


def test_one_seed_is_as_good_again(result: dict) -> None:
    seed = result["seeds"][int(result["code"], 16) % len(result["seeds"])]
    row = next(r for r in result["rows"] if r["variant"] == "O-GAN" and r["seed"] == seed)
    again = ogan_digits.train_and_score("O-GAN", seed)
    # Another processor rounds otherwise, and a GAN forgets its start: as good, not the same.
    assert again["rho"] == pytest.approx(row["rho"], abs=0.03)
    assert again["probe"] == pytest.approx(row["probe"], abs=3)
    assert 1 / 1.4 <= again["distance"] / row["distance"] <= 1.4
    assert again["random_probe"] == pytest.approx(row["random_probe"], abs=0.5)  # no training in it


def test_the_yardsticks_are_measured_again(result: dict) -> None:
    for name, value in ogan_digits.yardsticks().items():
        assert result["yardsticks"][name] == pytest.approx(value, abs=0.2 if name == "pca_probe" else 1e-3)
    assert result["judge"] == judge().hash


def test_the_recipes_are_those_of_the_package(result: dict) -> None:
    for name, recipe in ogan_digits.VARIANTS.items():
        assert result["recipes"][name] == json.loads(json.dumps(dataclasses.asdict(recipe)))
    assert ogan_digits.VARIANTS["O-GAN"] == ogan.Recipe()
    assert result["grid_recipes"].keys() == ogan_digits.ON_GRID.keys()
    for name, recipe in ogan_digits.ON_GRID.items():
        assert result["grid_recipes"][name] == json.loads(json.dumps(dataclasses.asdict(recipe)))


def test_the_summaries_are_those_of_the_rows(result: dict) -> None:
    for line in result["summary"]:
        mine = [row for row in result["rows"] if row["variant"] == line["variant"]]
        assert len(mine) == line["seeds"] == len(result["seeds"]) >= 3
        for name in ("distance", "rho", "probe", "error"):
            assert line[name] == pytest.approx(statistics.fmean(row[name] for row in mine), abs=1e-4)
    of = {(row["variant"], row["seed"]): row["distance"] for row in result["rows"]}
    logs = [math.log(of["O-GAN", s] / of["plain GAN", s]) for s in result["seeds"]]
    line = result["ratios"][1]
    assert line["mean"] == pytest.approx(math.exp(statistics.fmean(logs)), abs=1e-3)
    assert line["low"] < line["mean"] < line["high"]


def test_the_verdict_on_collapse_is_that_of_the_rows(result: dict) -> None:
    """Spots, good points and evenness, seed by seed: O-GAN against the plain GAN, each at its own best."""
    of = {(row["variant"], row["seed"]): row for row in result["grid"]}
    assert {name for name, _ in of} == set(ogan_digits.ON_GRID) and len(of) == 3 * len(result["seeds"])
    for row in of.values():
        assert 0 <= row["found"] <= 25 and 0 <= row["good"] <= 1 and 0 <= row["effective"] <= 25.005
    lines = {(line["difference"], line["score"]): line for line in result["grid_differences"]}
    assert len(lines) == 6
    for name in ("found", "good", "effective"):
        line = lines["O-GAN less plain GAN", name]
        apart = [of["O-GAN", s][name] - of["plain GAN", s][name] for s in result["seeds"]]
        assert line["mean"] == pytest.approx(statistics.fmean(apart), abs=1e-4)
        assert line["low"] <= line["mean"] <= line["high"]


def test_differences_are_paired_by_seed() -> None:
    rows = [
        {"variant": name, "seed": seed, "good": seed + more}
        for name, more in (("a", 0.5), ("b", 0.0))
        for seed in (0, 3, 8)
    ]
    (line,) = ogan_digits.differences(rows, "a", "b", ("good",))
    assert line == {"difference": "a less b", "score": "good", "mean": 0.5, "low": 0.5, "high": 0.5}
    rows[0]["good"] = 3.5
    (line,) = ogan_digits.differences(rows, "a", "b", ("good",))
    assert line["mean"] == 1.5 and line["low"] == pytest.approx(1.5 - 4.302653 * 3**0.5 / 3**0.5, abs=1e-4)


def test_the_rows_of_one_row_each_are_put_together(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ogan_digits, "ROWS", tmp_path / "rows")
    calls = []

    def one(task: str, variant: str, seed: int) -> dict:
        calls.append((task, variant, seed))
        return {"variant": variant, "seed": seed}

    monkeypatch.setattr(ogan_digits, "one", one)
    ogan_digits.work_on([0, 1, 2], (0, 2), math.inf)
    assert ogan_digits.collected([0, 1, 2]) is None
    ogan_digits.work_on([0, 1, 2], (1, 2), math.inf)
    rows = ogan_digits.collected([0, 1, 2])
    assert rows is not None and {task: len(part) for task, part in rows.items()} == {
        "digits": 15, "grid": 9, "fewer": 6,
    }  # fmt: skip
    assert len(calls) == len(set(calls)) == 30
    ogan_digits.work_on([0, 1, 2], (0, 1), math.inf)  # nothing is left to do
    assert len(calls) == 30
