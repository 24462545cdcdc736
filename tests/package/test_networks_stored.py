"""The stored results of chapter 3: one seed run again, and what the chapter's numbers must meet."""

from __future__ import annotations

import json

import pytest

from benchmarks import digits_judge, harness, sentiment
from kexue_lite.data import DataUnavailableError, digits, mnist_test
from kexue_lite.networks import judge


def stored(name: str) -> tuple[dict, int]:
    """A stored result, and the seed to run again: picked by the code's hash, so that nobody chooses it."""
    result = json.loads((harness.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result, result["seeds"][int(result["code"], 16) % len(result["seeds"])]


def test_one_seed_of_the_digits_is_read_as_well_again() -> None:
    result, seed = stored("digits_judge")
    row = next(r for r in result["rows"] if r["task"] == "digits, half A / half B" and r["seed"] == seed)
    again, _ = digits_judge.score(*digits(), seed)
    assert again.asked == row["asked"] == 899
    assert abs(again.right - row["right"]) <= 3  # another processor rounds otherwise


def test_one_seed_of_the_film_reviews_is_judged_as_well_again() -> None:
    result, seed = stored("sentiment")
    try:
        train, test = sentiment.load("SST-2")
    except DataUnavailableError:
        pytest.skip("SST-2 cannot be had here")
    name = "averaged word vectors"
    rows = [r for r in result["rows"] if (r["task"], r["contender"], r["seed"]) == ("SST-2", name, seed)]
    again, _ = sentiment.contend(name, "SST-2", train, test, seed)
    assert again.asked == 1821 and abs(again.right - rows[0]["right"]) <= 9  # half a point


def test_the_summaries_are_those_of_the_rows() -> None:
    for name, kind in (("digits_judge", ["task"]), ("sentiment", ["task", "contender"])):
        result, _ = stored(name)
        groups: dict[tuple, list[dict]] = {}
        for row in result["rows"]:
            groups.setdefault(tuple(row[k] for k in kind), []).append(row)
        assert set(groups) == {tuple(line[k] for k in kind) for line in result["summary"]}
        for line in result["summary"]:
            rows = groups[tuple(line[k] for k in kind)]
            mean = sum(100 * r["right"] / r["asked"] for r in rows) / len(rows)
            assert line["mean_accuracy"] == pytest.approx(mean, abs=0.02) and line["seeds"] == len(rows)
            assert line["low"] < line["mean_accuracy"] < line["high"]
            assert line["longest_seconds"] == max(r["seconds"] for r in rows)
    assert stored("digits_judge")[0]["judge"] == judge().hash


def test_parts_to_train_and_test_on_share_nothing() -> None:
    everything = digits_judge.all_digits()
    assert len(everything) == 1797
    for seed in (0, 1):
        train, test = digits_judge.split(everything, 0.2, seed)
        assert len(train) == 1437 and len(test) == 360
        rows = [image.tobytes() for part in (train, test) for image in part.images]
        assert sorted(rows) == sorted(image.tobytes() for image in everything.images)
        assert min(sum(test.labels == k) for k in range(10)) >= 34  # stratified
    try:
        train, test = digits_judge.split(mnist_test(), 1000, 0)
    except DataUnavailableError:
        pytest.skip("MNIST cannot be had here")
    assert len(train) == 9000 and len(test) == 1000
