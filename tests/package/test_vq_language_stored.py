"""The stored results of chapter 8's language models: what they must meet, and a training begun again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import full_scale, harness, language_models, shakespeare
from kexue_lite.vq_attention import Characters, LanguageModel, LanguageRecipe, LanguageSettings

FULL_SCALE = harness.RESULTS / "shakespeare.json"
TEXT = "double, double toil and trouble; fire burn and cauldron bubble.\n" * 40


@pytest.fixture(scope="module")
def result() -> dict:
    return json.loads((harness.RESULTS / "language_models.json").read_text(encoding="utf-8"))


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_it_is_of_this_code_and_of_these_settings(result: dict) -> None:
    assert result["code"] == harness.fingerprint(language_models.CODE), "python -m benchmarks.language_models"
    assert result["recipe"] == plain(dataclasses.asdict(language_models.RECIPE))
    assert result["fine_recipe"] == plain(dataclasses.asdict(language_models.FINE))
    for name, settings in language_models.SHAPES.items():
        assert result["settings"][name] == plain(dataclasses.asdict(settings))
        assert result["recipe"]["context"] >= 16 * settings.block_size
    tables = {task[0] for task in language_models.tasks(result["seeds"])}
    assert tables <= result.keys() and len(result["seeds"]) >= 3
    assert set(result["not_run"]) == {name for name in tables if not result[name]}


def test_the_documentation_text_begins_to_be_learned_as_it_was(result: dict) -> None:
    """The first steps again, of one seed and one kind: same weights, same rows, same codes."""
    turn = int(result["code"], 16)
    kind, seed = language_models.KINDS[turn % 3], result["seeds"][turn % len(result["seeds"])]
    wanted = {"text": language_models.DOCUMENTATION, "attention": kind, "seed": seed}
    row = next(row for row in result["rows"] if wanted.items() <= row.items())
    train, _ = language_models.text_of(language_models.DOCUMENTATION)
    settings = language_models.settings_of("gated", kind, True, language_models.SHAPES["gated"].codes)
    again = language_models.opening_again(train, settings, seed)
    # The text is that of the installed libraries and of this Python, which may be others.
    assert again == pytest.approx(row["opening_loss"], abs=0.05)


def test_summaries_and_differences_are_those_of_the_rows(result: dict) -> None:
    assert result["summary"] == language_models.summary(result)
    assert result["differences"] == language_models.differences(result)
    for line in result["summary"]:
        assert line["seeds"] >= language_models.FEW and line["low"] <= line["mean"] <= line["high"]


def difference(result: dict, text: str, name: str) -> dict:
    wanted = {"table": "rows", "text": text, "difference": name}
    return next(line for line in result["differences"] if wanted.items() <= line.items())


@pytest.mark.parametrize("text", list(language_models.TEXTS))
def test_codes_cost_at_most_three_hundredths_against_full_attention(result: dict, text: str) -> None:
    assert difference(result, text, "vq less full")["mean"] <= 0.03


def test_on_shakespeare_the_codes_bring_something_over_the_window_alone(result: dict) -> None:
    """Beyond the noise of the seeds; on the documentation text nothing does, not even full attention."""
    assert difference(result, language_models.SHAKESPEARE, "window less vq")["low"] > 0
    line = difference(result, language_models.DOCUMENTATION, "window less full")
    assert line["low"] < 0 < line["high"]


def test_the_bias_is_worth_most_to_quantised_attention(result: dict) -> None:
    worth = {
        line["difference"].split()[0]: line["low"]
        for line in result["differences"]
        if "without bias" in line["difference"]
    }
    assert worth["vq"] > 0.3 and worth["full"] > 0 and worth["window"] > 0


def test_all_kinds_had_the_same_budget(result: dict) -> None:
    for table in ("rows", "unbiased", "heads"):
        for mixer in language_models.SHAPES:
            weights = {(row["weights"], row["text"]) for row in result[table] if row["mixer"] == mixer}
            assert len(weights) == len({text for _, text in weights})


def test_the_start_from_full_attention_loses_less_with_more_codes(result: dict) -> None:
    for seed in result["seeds"][: language_models.FEW]:
        mine = sorted((row["codes"], row["started"]) for row in result["starts"] if row["seed"] == seed)
        assert [codes for codes, _ in mine] == list(language_models.STARTS)
        assert mine[0][1] > mine[-1][1]


def test_rounding_a_part_of_the_keys_lies_between_full_attention_and_rounding_all(result: dict) -> None:
    full = {row["seed"]: row["nats"] for row in result["rows"] if row["text"] == language_models.SHAKESPEARE
            and row["attention"] == "full"}  # fmt: skip
    for row in result["parts"]:
        assert row["neither"] == pytest.approx(full[row["seed"]], abs=1e-4)
        assert row["neither"] < min(row["near"], row["far"]) < row["started"] + 0.01


def test_a_row_of_each_kind_at_a_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_models, "ROWS", tmp_path / "rows")
    monkeypatch.setattr(language_models, "text_of", lambda name: (TEXT, TEXT[:300]))
    small = {"width": 8, "key_width": 4, "block_size": 4, "codes": 5}
    shapes = {m: dataclasses.replace(s, **small) for m, s in language_models.SHAPES.items()}
    monkeypatch.setattr(language_models, "SHAPES", shapes)
    monkeypatch.setattr(language_models, "CODES", (5, 9))
    monkeypatch.setattr(language_models, "STARTS", (5, 9))
    monkeypatch.setattr(language_models, "PARTS", (5,))
    short = LanguageRecipe(steps=3, batch_size=2, context=32)
    original = language_models.make
    made: list[Any] = []

    def make(task: Any) -> dict[str, Any]:
        made.append(task)
        if len(made) == 4:
            raise KeyboardInterrupt
        return original(task, recipe=short, fine=short)

    monkeypatch.setattr(language_models, "make", make)
    with pytest.raises(KeyboardInterrupt):
        language_models.work_on([0, 1])
    assert not any(language_models.collected([0, 1]).values())
    language_models.work_on([0, 1])
    tables = language_models.collected([0, 1])
    assert len(made) == len(set(made)) + 1 == len(language_models.tasks([0, 1])) + 1
    stored = plain(language_models.result_of(tables, [0, 1]))
    assert (
        stored["not_run"] == []
        and {line["seeds"] for line in stored["summary"]} == {2}
        and len(stored["differences"]) == 15
    )
    assert [row["codes"] for row in tables["codes"]] == [5, 9, 5, 9]
    assert all(row["started"] > 0 and row["trained_on"] > 0 for row in tables["starts"])


def test_differences_are_paired_by_seed() -> None:
    rows = [{"k": name, "seed": s, "nats": s + d} for name, d in (("a", 0.5), ("b", 0.0)) for s in (0, 3, 8)]
    rows[0]["nats"] = 3.5
    line = language_models.difference(rows, {"k": "a"}, {"k": "b"})
    assert line["mean"] == 1.5 and line["low"] == pytest.approx(1.5 - 4.302653, abs=1e-4)
    with pytest.raises(ValueError, match="same seeds"):
        language_models.difference(rows[1:], {"k": "a"}, {"k": "b"})


# -- full scale


def test_shakespeare_at_full_scale_runs_at_a_tiny_size(tmp_path: Path) -> None:
    for name, settings in shakespeare.VARIANTS.items():
        tiny = dataclasses.replace(settings, layers=2, width=16, heads=2, key_width=8, codes=4, block_size=4)
        recipe = LanguageRecipe(steps=6, batch_size=2, context=32)
        how = {"settings": tiny, "recipe": recipe, "every": 3, "checkpoint": tmp_path / f"{name}.pt"}
        row = shakespeare.run(TEXT, TEXT[:500], **how)
        assert row["chosen_step"] in (3, 6) and row["device"] == "cpu" and len(row["written"]) == 300
        again = shakespeare.run(TEXT, TEXT[:500], **how)  # from the checkpoint
        assert {k: v for k, v in again.items() if k != "seconds"} == {
            k: v for k, v in row.items() if k != "seconds"
        }


def test_full_scale_contenders_are_of_one_size() -> None:
    sizes = {
        name: sum(weight.numel() for weight in LanguageModel(Characters("ab"), settings).parameters())
        for name, settings in shakespeare.VARIANTS.items()
    }
    assert max(sizes.values()) / min(sizes.values()) < 1.15


def test_finished_rows_of_full_scale_are_read_and_a_part_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(full_scale, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(shakespeare, "tinyshakespeare", lambda: (TEXT, TEXT[:300]))
    monkeypatch.setattr(shakespeare, "RECIPE", LanguageRecipe(steps=2, batch_size=2, context=32))
    tiny = LanguageSettings(attention="full", width=8, layers=1, key_width=4)
    monkeypatch.setattr(shakespeare, "VARIANTS", {"full": tiny, "vq": dataclasses.replace(tiny, codes=4)})
    calls: list[int] = []
    original = shakespeare.run

    def counted(*arguments: Any, **how: Any) -> dict[str, Any]:
        calls.append(how["seed"])
        return original(*arguments, **how)

    monkeypatch.setattr(shakespeare, "run", counted)
    stored: list[dict[str, Any]] = []
    monkeypatch.setattr(harness, "store", lambda name, result: stored.append(result) or tmp_path / name)
    shakespeare.main(["--seeds", "0", "--variants", "full"])
    assert calls == [0] and not stored and "not stored" in capsys.readouterr().out
    shakespeare.main(["--seeds", "0", "1"])
    assert calls == [0, 1, 0, 1] and len(stored[0]["rows"]) == 4 == len(stored[0]["written"])
    assert [line["seeds"] for line in stored[0]["summary"]] == [2, 2]


@pytest.mark.skipif(not FULL_SCALE.exists(), reason="not run: needs a GPU")
def test_what_is_stored_of_full_scale_is_of_this_code() -> None:
    result = json.loads(FULL_SCALE.read_text(encoding="utf-8"))
    assert result["code"] == harness.fingerprint(shakespeare.CODE), "run python -m benchmarks.shakespeare"
    assert result["machine"]["accelerator"] and len(result["seeds"]) >= 3
    assert result["summary"] == shakespeare.summary(result["rows"])
