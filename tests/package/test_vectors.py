"""WordVectors: neighbours and analogies against brute force and gensim, evaluation, the file, bad input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gensim.models import KeyedVectors
from scipy import stats

from kexue_lite.embeddings import UnknownWordError, WordVectors, inflection_analogies
from kexue_lite.embeddings import vectors as room
from kexue_lite.embeddings.evaluation import wilson_interval

WORDS = [f"w{i}" for i in range(40)]


@pytest.fixture
def table() -> WordVectors:
    generator = np.random.default_rng(0)
    return WordVectors(generator.standard_normal((40, 6)), WORDS, generator.standard_normal((40, 6)))


@pytest.fixture
def keyed(table: WordVectors) -> KeyedVectors:
    other = KeyedVectors(6)
    other.add_vectors(list(table.vocabulary), table.vectors)
    return other


def test_neighbours_are_those_of_gensim(table: WordVectors, keyed: KeyedVectors) -> None:
    for word in WORDS[:5]:
        mine, theirs = table.most_similar(word, count=7), keyed.most_similar(word, topn=7)
        assert [w for w, _ in mine] == [w for w, _ in theirs]
        np.testing.assert_allclose([s for _, s in mine], [s for _, s in theirs], rtol=1e-6)


def test_analogies_are_those_of_gensim(table: WordVectors, keyed: KeyedVectors) -> None:
    for a, b, c in zip(WORDS[:8], WORDS[8:16], WORDS[16:24], strict=True):
        mine = table.analogy(a, b, c, count=5)
        theirs = keyed.most_similar(positive=[b, c], negative=[a], topn=5)
        assert [w for w, _ in mine] == [w for w, _ in theirs]
        assert not {a, b, c} & {w for w, _ in mine}


def test_a_parallelogram_is_an_analogy() -> None:
    table = WordVectors(
        [[2, 1, 0], [2, 0, 1], [-1, 1, 0], [-1, 0, 1], [1, 1, 1]], ["man", "woman", "king", "queen", "x"]
    )
    assert table.analogy("man", "woman", "king", count=1)[0][0] == "queen"


def test_counts_beyond_the_vocabulary_give_all_others(table: WordVectors) -> None:
    assert len(table.most_similar("w0", count=1000)) == 39
    assert len(table.analogy("w0", "w1", "w2", count=1000)) == 37


def test_evaluation_is_brute_force(table: WordVectors) -> None:
    questions = [tuple(np.random.default_rng(i).choice(WORDS, 4, replace=False)) for i in range(60)]
    questions += [(a, b, c, table.analogy(a, b, c, count=1)[0][0]) for a, b, c, _ in questions[:30]]
    right = sum(table.analogy(a, b, c, count=1)[0][0] == d for a, b, c, d in questions)
    score = table.evaluate(analogies={"one": questions[:45], "two": questions[45:]}).analogies
    assert score is not None and score.sections is not None
    assert score.value == right / 90 and score.used == score.asked == 90
    assert (score.low, score.high) == wilson_interval(right, 90)
    assert sum(part.value * part.used for part in score.sections.values()) == pytest.approx(right)


def test_a_comparison_counts_the_questions_that_one_table_alone_answers() -> None:
    draw = np.random.default_rng(1)
    vectors = draw.standard_normal((40, 6))
    first, second = (WordVectors(vectors + 0.6 * draw.standard_normal((40, 6)), WORDS) for _ in range(2))
    exact = WordVectors(vectors, WORDS)
    questions: list[tuple[str, str, str, str]] = []
    for _ in range(400):
        a, b, c = (str(word) for word in draw.choice(WORDS, 3, replace=False))
        questions.append((a, b, c, exact.analogy(a, b, c, count=1)[0][0]))
    right = [
        np.array([table.analogy(a, b, c, count=1)[0][0] == d for a, b, c, d in questions], float)
        for table in (first, second)
    ]
    difference = right[0] - right[1]
    compared = first.compare(second, analogies={"one": questions[:100], "two": questions[100:]})
    assert compared.value == pytest.approx(difference.mean()) and compared.used == compared.asked == 400
    drawn = difference[draw.integers(0, 400, (20_000, 400))].mean(
        1
    )  # bootstrap over questions, by brute force
    np.testing.assert_allclose((compared.low, compared.high), np.percentile(drawn, [2.5, 97.5]), atol=0.006)
    back = second.compare(first, analogies=questions)
    np.testing.assert_allclose(
        (back.value, back.low, back.high), (-compared.value, -compared.high, -compared.low)
    )
    same = first.compare(first, analogies=questions)
    assert same.value == 0 and same.low == pytest.approx(-same.high) and same.high > 0


def test_a_comparison_asks_only_what_both_know(table: WordVectors) -> None:
    other = WordVectors(table.vectors[:30], WORDS[:30])
    score = table.compare(other, analogies=[("w0", "w1", "w2", "w3"), ("w0", "w1", "w2", "w35")])
    assert (score.used, score.asked) == (1, 2)
    with pytest.raises(ValueError, match="both vocabularies"):
        table.compare(other, analogies=[("w0", "w1", "w2", "w35")])
    with pytest.raises(TypeError, match="other must be WordVectors"):
        table.compare(table.vectors)  # type: ignore[arg-type]


def test_unknown_words_lower_the_coverage_and_not_the_score(table: WordVectors) -> None:
    answer = table.analogy("w0", "w1", "w2", count=1)[0][0]
    score = table.evaluate(analogies=[("w0", "w1", "w2", answer), ("w0", "w1", "w2", "nowhere")]).analogies
    assert score is not None and (score.value, score.used, score.asked, score.coverage) == (1.0, 1, 2, 0.5)


def test_rank_correlation_is_scipys(table: WordVectors) -> None:
    generator = np.random.default_rng(1)
    ratings = [(*generator.choice(WORDS, 2, replace=False), float(generator.integers(5))) for _ in range(50)]
    score = table.evaluate(similarities=[*ratings, ("w0", "nowhere", 1.0)]).similarities
    cosines = [table.similarity(a, b) for a, b, _ in ratings]
    assert score is not None
    assert score.value == pytest.approx(stats.spearmanr(cosines, [r for *_, r in ratings]).statistic)
    assert score.low < score.value < score.high and (score.used, score.asked) == (50, 51)
    assert (
        table.evaluate(similarities=ratings).similarities == table.evaluate(similarities=ratings).similarities
    )


def test_perfect_agreement_is_one() -> None:
    angles = np.linspace(0, 1.5, 30)
    table = WordVectors(np.stack([np.cos(angles), np.sin(angles)], 1), WORDS[:30])
    score = table.evaluate(similarities=[("w0", w, -a) for w, a in zip(WORDS[1:30], angles[1:], strict=True)])
    assert score.similarities is not None and score.similarities.low == pytest.approx(1)


def test_wilson_is_scipys() -> None:
    for successes, trials in [(0, 5), (5, 5), (3, 17), (400, 1000)]:
        theirs = stats.binomtest(successes, trials).proportion_ci(method="wilson")
        assert wilson_interval(successes, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(
    ("section", "pairs"),
    [
        ("-s", "plot plots class classes box boxes entry entries day days"),
        ("-ed", "use used stop stopped copy copied plot plotted return returned play played"),
        ("-ing", "use using stop stopping copy copying see seeing return returning play playing"),
        ("-ly", "exact exactly possible possibly automatic automatically"),
        ("un-", "known unknown ordered unordered"),
        ("-able", "use usable call callable"),
        ("-ation", "create creation normalize normalization"),
    ],
)
def test_inflections_follow_english_spelling(section: str, pairs: str) -> None:
    words = pairs.split()
    questions = inflection_analogies(words)[section]
    found = {pair for a, b, c, d in questions for pair in ((a, b), (c, d))}
    assert found == set(zip(words[::2], words[1::2], strict=True))


def test_each_pair_is_asked_and_shown_equally_often() -> None:
    words = [w for stem in ("plot", "return", "call", "index", "array") for w in (stem, _plural(stem))]
    for rounds in (1, 2):
        (section,) = (
            part for name, part in inflection_analogies(words, rounds=rounds).items() if name == "-s"
        )
        assert len(section) == 5 * rounds == len(set(section))
        assert all(a != c for a, _, c, _ in section)
        assert {sum(q[2] == w for q in section) for w in words[::2]} == {rounds}


def _plural(stem: str) -> str:
    return stem + ("es" if stem.endswith("x") else "s")


@pytest.mark.parametrize("binary", [False, True])
def test_gensim_opens_the_file(table: WordVectors, tmp_path: Path, binary: bool) -> None:
    words = ["naïve", "词", *WORDS[2:]]
    WordVectors(table.vectors, words).save_word2vec_format(tmp_path / "v", binary=binary)
    opened = KeyedVectors.load_word2vec_format(str(tmp_path / "v"), binary=binary)
    assert opened.index_to_key == words
    np.testing.assert_array_equal(opened.vectors, table.vectors.astype(np.float32))


def test_a_failing_write_leaves_the_old_file(
    table: WordVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v"
    path.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        table.save_word2vec_format(path)
    assert path.read_text() == "old" and len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("word", ["two words", "", "tab\tbed"])
def test_words_that_the_format_cannot_hold(tmp_path: Path, word: str) -> None:
    with pytest.raises(ValueError, match="white space"):
        WordVectors([[1.0]], [word]).save_word2vec_format(tmp_path / "v")


def test_tensors_and_lists_are_taken(table: WordVectors) -> None:
    from_tensor = WordVectors(torch.from_numpy(table.vectors).requires_grad_(), WORDS)
    np.testing.assert_array_equal(from_tensor.vectors, table.vectors)
    assert WordVectors([[1, 0]], ["a"])["a"].tolist() == [1.0, 0.0]
    assert "w3" in table and "x" not in table and len(table) == 40


def test_a_vector_of_zeros_is_similar_to_nothing() -> None:
    table = WordVectors([[0, 0], [1, 0], [1, 1]], ["zero", "a", "b"])
    assert [s for _, s in table.most_similar("zero")] == [0, 0]
    assert np.isfinite(table.unit).all()


@pytest.mark.parametrize("error", [KeyError, ValueError, UnknownWordError])
def test_an_unknown_word_is_named_with_its_nearest_spellings(error: type[Exception]) -> None:
    table = WordVectors(np.eye(3), ["tensor", "tensors", "plot"])
    for ask in (table.__getitem__, table.most_similar, lambda w: table.analogy("plot", w, "plot")):
        with pytest.raises(error, match=r"'tenser' .* near it: 'tensor', 'tensors'"):
            ask("tenser")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, np.nan]], ["a"]), "vectors must be finite"),
        (([[1.0, np.inf]], ["a"]), "vectors must be finite"),
        (([[1.0]], ["a"], [[np.nan]]), "contexts must be finite"),
        (([[1.0]], ["a"], [[1.0, 2.0]]), "contexts must have the shape"),
        (([[1.0], [2.0]], ["a"]), "vectors must have shape"),
        (([1.0], ["a"]), "vectors must have shape"),
        ((np.zeros((0, 3)), []), "vectors must have shape"),
        ((np.zeros((2, 0)), ["a", "b"]), "vectors must have shape"),
        (([[1.0], [2.0]], ["a", "a"]), "'a' twice"),
    ],
)
def test_bad_tables_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WordVectors(*arguments)


def test_bad_types_are_refused(table: WordVectors) -> None:
    with pytest.raises(TypeError, match="strings"):
        WordVectors([[1.0]], [3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="real numbers"):
        WordVectors([["x"]], ["a"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a string"):
        table.most_similar(3)  # type: ignore[arg-type]
    for count in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="count"):
            table.most_similar("w0", count=count)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        {"analogies": []},
        {"analogies": {}},
        {"analogies": {"a": []}},
        {"analogies": [("w0", "w1", "w2")]},
        {"analogies": ["word"]},
        {"analogies": [("x", "y", "z", "t")]},
        {"similarities": []},
        {"similarities": [("w0", "w1", 1.0)]},
        {"similarities": [("w0", "w1", float("nan"))] * 5},
        {},
    ],
)
def test_bad_questions_are_refused(table: WordVectors, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        table.evaluate(**arguments)
