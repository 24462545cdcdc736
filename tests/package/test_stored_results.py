"""Stored results belong to the code that stands here: their hash is its hash, and one seed is run again."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import harness, sgns_race
from kexue_lite.embeddings import cooccurrence, factorize_sgns, sgns_loss

STORED = sorted(harness.RESULTS.glob("*.json"))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def module_of(result: dict[str, Any]) -> str:
    """The program that made a result, from its command; what a GPU gave may stand in a file beside."""
    words = re.fullmatch(r"python -m benchmarks\.(\w+)( .*)?", result["command"])
    assert words
    return words[1]


@pytest.mark.parametrize("path", STORED, ids=lambda p: p.stem)
def test_a_stored_result_says_where_and_with_what_it_was_made(path: Path) -> None:
    result = read(path)
    assert result["machine"]["processor"] and result["machine"]["cores"] >= 1
    assert {"python", "torch"} <= set(result["versions"])
    assert path.stem in (name := module_of(result), f"{name}_cuda")
    assert path.stem == name or result["machine"]["accelerator"]
    if "seeds" in result:
        assert len(result["seeds"]) >= 3


@pytest.mark.parametrize("path", STORED, ids=lambda p: p.stem)
def test_a_stored_result_is_that_of_the_present_code(path: Path) -> None:
    code = importlib.import_module(f"benchmarks.{module_of(read(path))}").CODE
    assert read(path)["code"] == harness.fingerprint(code), f"run it again: {read(path)['command']}"


def test_one_seed_of_the_race_gives_the_stored_loss_again() -> None:
    result = read(harness.RESULTS / "sgns_race.json")
    seed = result["seeds"][int(result["code"], 16) % len(result["seeds"])]
    train_documents, held_out_documents = sgns_race.sentences(seed)
    train = cooccurrence(train_documents, weights="shrinking")
    table = factorize_sgns(train, generator=torch.Generator().manual_seed(seed))
    held_out = cooccurrence(held_out_documents, weights="shrinking", vocabulary=train.vocabulary)
    noise = train.word_counts**0.75 / (train.word_counts**0.75).sum()
    loss = {(row["contender"], row["seed"]): row["held_out_loss"] for row in result["rows"]}
    # The corpus is that of the installed libraries: another Python has another standard library.
    assert sgns_loss(table, held_out, noise=noise) == pytest.approx(loss["factorize_sgns", seed], abs=0.02)
    assert loss["gensim, 5 epochs", seed] >= loss["factorize_sgns", seed]
