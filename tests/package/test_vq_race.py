"""Chapter 8: the stored race is of this code, and says what its own rows say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import attention_race, harness


@pytest.fixture(scope="module")
def race() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((harness.RESULTS / "attention_race.json").read_text(encoding="utf-8"))
    return found


def median(race: dict[str, Any], contender: str, way: str, tokens: int) -> float:
    (row,) = (
        row
        for row in race["rows"]
        if (row["contender"], row["pass"], row["tokens"]) == (contender, way, tokens)
    )
    return float(row["ms"])


def test_it_is_of_the_code_that_stands_here(race: dict[str, Any]) -> None:
    assert race["code"] == harness.fingerprint(attention_race.CODE), "run python -m benchmarks.attention_race"


def test_what_is_derived_follows_from_the_rows(race: dict[str, Any]) -> None:
    assert race["slopes"] == attention_race.slopes(race["rows"])
    for way in attention_race.MOST:
        assert race["crossover"][way] == attention_race.crossover(race["ratios"], way)
    for row in race["ratios"]:
        ours, theirs = (
            median(race, name, row["pass"], row["tokens"])
            for name in (attention_race.OURS, attention_race.TORCH)
        )
        assert row["low"] <= row["times_sooner"] <= row["high"]
        assert row["times_sooner"] == pytest.approx(
            theirs / ours, rel=0.3
        )  # medians, and the median of pairs


def test_linear_against_quadratic(race: dict[str, Any]) -> None:
    slope = {(row["contender"], row["pass"]): row["slope"] for row in race["slopes"]}
    for way in attention_race.MOST:
        assert slope[attention_race.OURS, way] < 1.2 < 1.7 < slope[attention_race.TORCH, way]
        assert 512 < race["crossover"][way] < 8192
    sooner = {(row["pass"], row["tokens"]): row["times_sooner"] for row in race["ratios"]}
    assert sooner["forward", 16384] > 6 < sooner["forward and back", 16384]
    assert sooner["forward", 65536] > 20
    assert sooner["forward", 256] < 1  # and where it does not pay


def test_memory_is_linear_and_that_of_a_state_does_not_grow(race: dict[str, Any]) -> None:
    for way in attention_race.MOST:
        its = {
            row["tokens"]: row["MiB"]
            for row in race["memory"]
            if (row["contender"], row["pass"]) == (attention_race.OURS, way)
        }
        assert its[32768] < 2.6 * its[16384]
    first, *later = race["decoding"]
    assert all(row["vq_state_KiB"] == first["vq_state_KiB"] for row in later)
    assert all(row["over_the_first"] <= 1.1 for row in later)
    assert later[-1]["all_keys_us"] > 10 * first["all_keys_us"]
