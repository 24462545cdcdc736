"""Claims: the three verdicts, what makes them fail, what they leave behind."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch

from kexue_lite import claims
from kexue_lite.claims import ClaimError, check, conditional, refuted


@pytest.fixture(autouse=True)
def fresh_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_session", {})


@pytest.mark.parametrize(
    ("measured", "bound", "holds"),
    [
        (1.0, {"at_most": 1.0}, True),
        (1.0 + 1e-12, {"at_most": 1.0}, False),
        (3, {"at_least": 3}, True),
        (2, {"at_least": 3}, False),
        (2.0, {"at_least": 1, "at_most": 3}, True),
        (3.1, {"at_least": 1, "at_most": 3}, False),
        (0.9, {"at_least": 1, "at_most": 3}, False),
        (3.14, {"equals": np.pi, "tolerance": 2e-3}, True),
        (3.13, {"equals": np.pi, "tolerance": 2e-3}, False),
        (5, {"equals": 5}, True),
        (5.0001, {"equals": 5}, False),
        (True, {"equals": True}, True),
        (False, {"equals": True}, False),
        (1, {"equals": True}, False),
        ("cat", {"equals": "cat"}, True),
        ("dog", {"equals": "cat"}, False),
        (float("nan"), {"at_most": 1}, False),
        (float("nan"), {"at_least": 1}, False),
        (float("nan"), {"equals": 1.0, "tolerance": 9.0}, False),
        (float("inf"), {"at_most": 1e300}, False),
        (np.float32(0.5), {"equals": 0.5}, True),
        (torch.tensor(0.5), {"at_most": 0.4}, False),
        (sympy.pi, {"equals": 3.1416, "tolerance": 1e-4}, True),
        (sympy.true, {"equals": True}, True),
    ],
)
def test_a_claim_holds_exactly_within_its_bound(measured: object, bound: dict, holds: bool) -> None:
    if holds:
        check("c", "it holds", measured, **bound)  # type: ignore[arg-type]
        assert [c.verdict for c in claims.recorded()] == ["confirmed"]
    else:
        with pytest.raises(ClaimError, match="'c' failed: it holds"):
            check("c", "it holds", measured, **bound)  # type: ignore[arg-type]
        assert claims.recorded() == []


def test_a_condition_must_be_needed() -> None:
    conditional("c", "it holds", 0.1, at_most=1, condition="the sun shines", without=5.0)
    (claim,) = claims.recorded()
    assert (claim.verdict, claim.condition, claim.without) == ("conditional", "the sun shines", 5.0)
    with pytest.raises(ClaimError, match="without its condition too"):
        conditional("d", "it holds", 0.1, at_most=1, condition="the sun shines", without=0.5)
    with pytest.raises(ClaimError, match="'e' failed"):
        conditional("e", "it holds", 2.0, at_most=1, condition="the sun shines", without=5.0)


def test_a_refutation_is_checked_as_strictly() -> None:
    refuted("c", "all swans are white", 3, at_least=1, finding="Three are black.", source="article")
    assert claims.recorded()[0].verdict == "refuted"
    with pytest.raises(ClaimError):
        refuted("d", "all swans are white", 0, at_least=1, finding="Some are black.", source="article")
    with pytest.raises(TypeError):
        refuted("e", "all swans are white", 3, at_least=1, finding="Three are black.")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a bound"),
        ({"equals": 1, "at_most": 2}, "equals= does not go with"),
        ({"at_most": 2, "tolerance": 1}, "tolerance= goes with equals="),
        ({"equals": True, "tolerance": 1}, "needs a number"),
        ({"at_most": "2"}, "at_most must be a number"),
        ({"at_most": float("nan")}, "at_most must be a number"),
        ({"at_most": 1, "source": " "}, "source must be a text"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check("c", "it holds", 1.0, **arguments)


def test_an_empty_interval_and_a_negative_tolerance_are_refused() -> None:
    with pytest.raises(ValueError, match="at_least must not exceed at_most"):
        check("c", "it holds", 1.0, at_least=2, at_most=1)
    with pytest.raises(ValueError, match="tolerance must be at least 0"):
        check("c", "it holds", 1.0, equals=1, tolerance=-1)


@pytest.mark.parametrize("measured", [np.zeros(3), None, [1.0], 1j, sympy.Symbol("x")])
def test_what_is_no_number_is_refused(measured: object) -> None:
    with pytest.raises(TypeError, match="measured must be"):
        check("c", "it holds", measured, at_most=1)  # type: ignore[arg-type]


def test_a_claim_travels_as_data_and_as_safe_html(tmp_path: Path) -> None:
    check("c", "a < b & <script>", 0.1 + 0.2, at_most=1)
    (claim,) = claims.recorded()
    bundle = claim._repr_mimebundle_()
    assert bundle[claims.MIME]["measured"] == 0.1 + 0.2  # full precision for the ledger
    assert "<script>" not in bundle["text/html"] and "a &lt; b &amp;" in bundle["text/html"]
    cells = [{"outputs": [{"data": bundle}, {"name": "stdout"}]}, {"source": "text"}]
    path = tmp_path / "chapter.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert claims.from_notebook(path) == [claim]


@pytest.mark.parametrize(
    "content", ["not json", "{}", json.dumps({"cells": [{"outputs": [{"data": {claims.MIME: {}}}]}]})]
)
def test_a_damaged_notebook_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"broken\.ipynb"):
        claims.from_notebook(path)


def test_the_table_has_a_row_for_each_claim_and_counts_verdicts() -> None:
    check("a", "first", 1, equals=1)
    check("a", "first, measured again", 1, equals=1)
    conditional("b", "second", 1, equals=1, condition="asked", without=2)
    table = claims.Table()
    assert repr(table) == "1 confirmed, 1 conditional, 0 refuted"
    rows = table._repr_html_()
    assert rows.count("<tr class=") == 2 and "first, measured again" in rows


def test_a_refuted_claim_says_what_its_bound_means_and_words_are_marked_up() -> None:
    refuted("c", "`f` is *always* < 1", 3, at_least=1, finding="It is 3.", source="article")
    line = claims.recorded()[-1]._repr_mimebundle_()
    table = claims.Table()._repr_html_()
    assert "measured 3 (refuted if ≥ 1)" in line["text/plain"] and "`f`" in line["text/plain"]
    for shown in (line["text/html"], table):
        assert "<code>f</code> is <em>always</em> &lt; 1" in shown and "refuted if ≥ 1" in shown


@pytest.mark.parametrize(
    "bound", [{"at_least": -math.inf}, {"at_most": math.inf}, {"equals": 1, "tolerance": math.inf}]
)
def test_a_bound_that_everything_meets_is_none(bound):
    with pytest.raises(ValueError, match="bound must be finite"):
        claims.check("n", "s", 1.0, **bound)


def test_what_was_not_measured_does_not_show_that_a_condition_is_needed():
    with pytest.raises(ValueError, match="without must be a number"):
        claims.conditional("n", "s", 1.0, condition="c", without=math.nan, at_least=0)
