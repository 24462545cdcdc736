"""The checkers of chapter 4 know the right answer, name each likely slip, and give nothing away."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from kexue_lite.embeddings import Evaluation, Score
from kexue_lite.exercises import embeddings as checkers

ANSWERS: dict[str, tuple[Callable[..., bool], float]] = {
    "4.1": (checkers.pmi_of_a_pair, math.log(8 * 400 / (20 * 40)) - math.log(5)),
    "4.2": (checkers.window_count, 1 / 2 + 1),
    "4.3": (checkers.best_rank_one, 2**2 + (2 - math.sqrt(2)) ** 2),
    "4.4": (checkers.floor_of_a_pair, 6 * math.log(8 / 6) + 2 * math.log(8 / 2)),
    "4.5": (checkers.smoothing_gain, math.log(1 / 17) - math.log(1 / (1 + 16**0.75))),
}
SLIPS = [
    ("4.1", 4.0, "logarithm"),
    ("4.1", math.log(4), "shift"),
    ("4.1", math.log2(0.8), "natural"),
    ("4.1", math.log(4) - 5, "log k, not k"),
    ("4.1", math.log(20), "sign"),
    ("4.1", math.log(8 / 4000), r"\|D\|"),
    ("4.2", 2.0, "distance 2 has less weight"),
    ("4.2", 3.0, "both sides"),
    ("4.2", 0.5, "first only"),
    ("4.2", 1.0, "second only"),
    ("4.3", 2.0840, "square"),
    ("4.3", 2 + 2 - math.sqrt(2), "Square the singular values"),
    ("4.3", (2 + math.sqrt(2)) ** 2, "keeps"),
    ("4.3", (2 - math.sqrt(2)) ** 2, "two numbers"),
    ("4.4", math.log(3), "score x"),
    ("4.4", 8 * math.log(2), "x = 0"),
    ("4.5", math.log(17 / 9), "rise or fall"),
    ("4.5", 9 / 17, "logarithm"),
    ("4.5", math.log(16 / 17 * 9 / 8), "frequent"),
]


@pytest.mark.parametrize("number", ANSWERS)
def test_the_right_answer_is_accepted_in_every_form(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    check, answer = ANSWERS[number]
    for form in (answer, np.float64(answer), torch.tensor(answer, dtype=torch.float64)):
        assert check(form) is True
        assert capsys.readouterr().out == f"Exercise {number}: right.\n"


@pytest.mark.parametrize(("number", "slip", "hint"), SLIPS)
def test_a_slip_is_named(number: str, slip: float, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    import re

    check, answer = ANSWERS[number]
    assert check(slip) is False
    said = capsys.readouterr().out
    assert said.startswith(f"Exercise {number}: not yet.") and re.search(hint, said)
    assert f"{answer:.2f}" not in said, "the answer is given away"


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize("given", [..., None, "text", float("nan"), [1.0, 2.0], -77.0])
def test_anything_else_gets_a_sentence_and_no_error(
    number: str, given: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    check, _ = ANSWERS[number]
    assert check(given) is False
    assert capsys.readouterr().out.startswith(f"Exercise {number}: ")


def test_new_words_must_beat_popularity_threefold_and_more(capsys: pytest.CaptureFixture[str]) -> None:
    for given, verdict in [(0.253, True), (0.251, False), (1.5, False), ("x", False), (float("nan"), False)]:
        assert checkers.new_words(given, popularity=0.08) is verdict
    assert checkers.new_words(..., popularity=0.08) is False
    assert "no answer yet" in capsys.readouterr().out


def test_better_vectors_must_be_better_beyond_the_intervals() -> None:
    baseline = Score(0.2, 0.18, 0.22, 1000, 1000)

    def answer(low: float, asked: int = 1000) -> Evaluation:
        return Evaluation(Score(low + 0.02, low, low + 0.04, asked, asked), None)

    assert checkers.better_vectors(answer(0.23), baseline=baseline)
    for wrong in (answer(0.22), answer(0.23, 999), Evaluation(None, None), 0.9, ...):
        assert not checkers.better_vectors(wrong, baseline=baseline)
