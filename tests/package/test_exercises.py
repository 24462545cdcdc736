"""The judge of answers: it says what is wrong and never what is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kexue_lite.exercises import Mistake, judge

SLIP = Mistake(0.5, "That is half of it.")


@pytest.mark.parametrize("given", [2.0, 2.0 + 9e-7, np.float64(2), torch.tensor(2.0, requires_grad=True)])
def test_a_right_answer_passes(given: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge("9.1", given, 2.0, tolerance=1e-6, mistakes=[SLIP])
    assert capsys.readouterr().out == "Exercise 9.1: right.\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (..., "no answer yet"),
        (0.5, "half of it"),
        (2.1, "one step at a time"),
        ([2.0, 2.0], r"shape () is expected, got (2,)"),
        (float("nan"), "NaN or infinity"),
        ("two", "a number or an array of numbers"),
        (None, "NaN or infinity"),
    ],
)
def test_a_wrong_answer_is_told_why_but_not_the_target(
    given: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not judge("9.1", given, 1.98765, tolerance=1e-6, mistakes=[SLIP])
    said = capsys.readouterr().out
    assert words in said and "1.98765" not in said
