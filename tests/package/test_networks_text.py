"""Texts as bags of entries, the mean of their vectors, and its training."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.feature_extraction.text import CountVectorizer

from kexue_lite.networks import (
    AveragedVectors,
    Bags,
    TextRecipe,
    Vocabulary,
    bag_of_words_baseline,
    train_averaged_vectors,
    words,
)
from kexue_lite.networks.sentiment import log_count_ratio

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
DOCUMENTS = [["not", "good", "not", "fun"], ["good", "fun"], [], ["so", "good"], ["a", "b", "a", "b"]]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bags_of(*rows: list[int]) -> Bags:
    return Bags(
        torch.tensor([i for row in rows for i in row], dtype=torch.int64),
        torch.tensor(np.cumsum([0, *map(len, rows)])),
    )


def lists(bags: Bags) -> list[list[int]]:
    return [bags.indices[a:b].tolist() for a, b in zip(bags.offsets[:-1], bags.offsets[1:], strict=True)]


# -- words and bags ------------------------------------------------------------------------------------------


def test_words_of_a_text() -> None:
    assert words("Isn't it GOOD? No -- 2 thumbs_up!") == [
        "isn't",
        "it",
        "good",
        "?",
        "no",
        "thumbs",
        "up",
        "!",
    ]
    assert words("is n't") == ["is", "n't"] and words("naïve café") == ["naïve", "café"] and words("") == []
    with pytest.raises(TypeError, match="text must be a string, got list"):
        words(["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize("device", DEVICES)
def test_bags_are_lists_of_rows(device: str) -> None:
    rows = [[3, 1, 1], [], [4], [2, 3], []]
    bags = bags_of(*rows).to(device)
    assert len(bags) == 5 and lists(bags) == rows and bags.lengths.tolist() == [3, 0, 1, 2, 0]
    assert bags.owners.tolist() == [0, 0, 0, 2, 3, 3]
    chosen = torch.tensor([3, 1, 0, 0], device=device)
    assert lists(bags.select(chosen)) == [rows[i] for i in (3, 1, 0, 0)]
    assert bags.select(chosen).indices.device.type == device
    assert lists(bags.once()) == [[1, 3], [], [4], [2, 3], []]
    assert lists(bags.select(chosen[:0])) == []
    assert lists(bags_of([], []).to(device).once()) == [[], []]


@pytest.mark.parametrize(
    ("indices", "offsets", "error"),
    [
        (torch.zeros(2), torch.tensor([0, 2]), TypeError),
        (torch.zeros(1, 2).long(), torch.tensor([0, 2]), TypeError),
        (torch.zeros(2).long(), torch.tensor([0.0, 2.0]), TypeError),
        (torch.zeros(2).long(), torch.tensor([0, 1]), ValueError),
        (torch.zeros(2).long(), torch.tensor([1, 2]), ValueError),
        (torch.zeros(2).long(), torch.tensor([0, 2, 1, 2]), ValueError),
        (torch.zeros(0).long(), torch.zeros(0).long(), ValueError),
    ],
)
def test_bad_bags_are_refused(indices: torch.Tensor, offsets: torch.Tensor, error: type[Exception]) -> None:
    with pytest.raises(error, match="offsets"):
        Bags(indices, offsets)


# -- vocabularies --------------------------------------------------------------------------------------------


def test_the_vocabulary_is_that_of_scikit_learn() -> None:
    for longest in (1, 2, 3):
        vectoriser = CountVectorizer(
            analyzer="word", tokenizer=str.split, token_pattern=None, ngram_range=(1, longest)
        )
        counts = vectoriser.fit_transform([" ".join(document) for document in DOCUMENTS])
        vocabulary = Vocabulary.build(DOCUMENTS, longest=longest)
        assert set(vocabulary.entries) == set(vectoriser.get_feature_names_out())
        for row, found in zip(counts.toarray(), lists(vocabulary.encode(DOCUMENTS)), strict=True):
            wanted = {
                name: int(n) for name, n in zip(vectoriser.get_feature_names_out(), row, strict=True) if n
            }
            assert Counter(vocabulary.entries[i] for i in found) == wanted


def test_pieces_are_those_of_scikit_learn_within_its_word_marks() -> None:
    vectoriser = CountVectorizer(analyzer="char", ngram_range=(3, 4), lowercase=False)
    for word in ("not", "x", "charming", "不错"):
        pieces = {entry[1:] for entry in Vocabulary.build([[word]], pieces=(3, 4)).entries if entry[0] == "~"}
        if len(word) == 1:
            assert pieces == {"<x>"}
        else:
            assert pieces == set(vectoriser.fit([f"<{word}>"]).get_feature_names_out())


def test_counts_order_and_limits_of_a_vocabulary() -> None:
    vocabulary = Vocabulary.build(DOCUMENTS)
    assert vocabulary.entries == ("good", "fun", "a", "b", "not", "so")  # by texts, then by spelling
    assert Vocabulary.build(DOCUMENTS, minimum_count=2).entries == (
        "good",
        "fun",
    )  # "not" stands twice in one text
    assert Vocabulary.build(DOCUMENTS, largest=3).entries == ("good", "fun", "a") and len(vocabulary) == 6
    assert "so" in vocabulary and "bad" not in vocabulary and vocabulary.row("a") == 2
    assert lists(vocabulary.encode([["bad"], [], ["so", "bad", "so"]])) == [[], [], [5, 5]]
    assert "6 entries" in repr(vocabulary)
    with pytest.raises(KeyError):
        vocabulary.row("bad")


def test_bad_vocabularies_are_refused() -> None:
    for entries, message in (([], "at least one entry"), (["a", "a"], "must not repeat")):
        with pytest.raises(ValueError, match=message):
            Vocabulary(entries)
    with pytest.raises(ValueError, match="no word stands in 9 of the 5 documents"):
        Vocabulary.build(DOCUMENTS, minimum_count=9)
    with pytest.raises(ValueError, match="no word stands in 1 of the 1 documents"):
        Vocabulary.build([[]])
    pieces = [{"pieces": wrong} for wrong in ((3,), (4, 3), (0, 3))]
    for settings in ({"minimum_count": 0}, {"largest": 0}, {"longest": 0}, *pieces):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Vocabulary.build(DOCUMENTS, **settings)
    for documents, message in (
        ("good fun", "got one string"),
        (["good fun"], r"documents\[0\] must be a list of words"),
    ):
        with pytest.raises(TypeError, match=message):
            Vocabulary.build(documents)
        with pytest.raises(TypeError, match=message):
            Vocabulary(["a"]).encode(documents)


# -- the model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pooling", ["mean", "unit"])
def test_the_average_is_the_bag_of_words_times_the_table(pooling: str, device: str) -> None:
    rows = [[3, 1, 1], [], [4], [2, 3]]
    a = torch.rand(5, generator=seeded()) + 0.1
    model = (
        AveragedVectors(5, 3, dimensions=4, weights=a, pooling=pooling, generator=seeded())
        .double()
        .to(device)
    )
    with torch.no_grad():
        model.head.bias.normal_(generator=None)
        average = model.average(bags_of(*rows).to(device)).cpu()
        logits = model(bags_of(*rows).to(device)).cpu()
    E, a = model.vectors.weight.detach().cpu().numpy(), a.double().numpy()
    for row, h in zip(rows, average.numpy(), strict=True):
        counts = np.bincount(row, minlength=5)
        share = (
            counts * a / ((counts * a).sum() if pooling == "mean" else np.sqrt((counts * a**2).sum()))
            if row
            else counts
        )
        assert_allclose(h, share @ E, atol=1e-12)
    W, b = model.head.weight.detach().cpu(), model.head.bias.detach().cpu()
    assert_allclose(logits, average @ W.T + b, atol=1e-12)


def test_gradients_are_finite_differences() -> None:
    model = AveragedVectors(
        4, dimensions=3, weights=torch.tensor([1.0, 2, 0, 3]), generator=seeded()
    ).double()
    bags = bags_of([0, 1, 1], [3, 2], [])
    names = [name for name, _ in model.named_parameters()]

    def value(*parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (bags,))

    assert torch.autograd.gradcheck(value, tuple(model.parameters()))


def test_a_text_of_weightless_words_has_the_zero_vector() -> None:
    model = AveragedVectors(3, weights=torch.tensor([0.0, 1, 1]), generator=seeded())
    assert (model.average(bags_of([0, 0], [])) == 0).all()


def test_bad_models_are_refused() -> None:
    for arguments in ((0,), (3, 0), (1.5,)):
        with pytest.raises(ValueError, match=r"vocabulary_size|classes"):
            AveragedVectors(*arguments)
    weights = [{"weights": torch.tensor(wrong)} for wrong in ([1.0, 1], [1.0, -1, 0], [1.0, np.nan, 0])]
    for settings in ({"dimensions": 0}, {"pooling": "max"}, *weights):
        with pytest.raises(ValueError, match=next(iter(settings))):
            AveragedVectors(3, **settings)
    for row in (3, 7):
        with pytest.raises(ValueError, match="bags must hold rows from 0 to 2"):
            AveragedVectors(3)(bags_of([row]))


# -- training ------------------------------------------------------------------------------------------------


def review(draw: np.random.Generator, label: int) -> list[str]:
    """Neutral words, and one that tells; half of the time it is a pair that tells."""
    text = [f"w{i}" for i in draw.integers(0, 40, 12)]
    told = ["good"] if label else ["bad"]
    if draw.random() < 0.5:
        told = ["not", "bad"] if label else ["not", "good"]
    return [*text, *told, *[f"w{i}" for i in draw.integers(0, 40, 5)]]


def reviews(count: int, seed: int) -> tuple[list[list[str]], np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, count)
    return [review(draw, label) for label in labels], labels


@pytest.mark.parametrize("device", DEVICES)
def test_training_finds_what_tells_and_repeats(device: str) -> None:
    (documents, labels), (fresh, truth) = reviews(400, 0), reviews(300, 1)
    # Leaves out the pairs that came together by chance.
    recipe = TextRecipe(minimum_count=10, epochs=40, penalty=0.01, rate=0.01)
    one, two, other = (
        train_averaged_vectors(documents, labels, recipe=recipe, seed=s, device=device) for s in (0, 0, 1)
    )
    assert one.accuracy(fresh, truth).value > 0.9  # pairs are entries
    assert torch.equal(one.logits(fresh), two.logits(fresh)) and not torch.equal(
        one.logits(fresh), other.logits(fresh)
    )
    assert one.logits(fresh).device.type == device and one.predict(fresh).shape == (300,)
    single = train_averaged_vectors(documents, labels, recipe=replace(recipe, longest=1), device=device)
    assert single.accuracy(fresh, truth).value < 0.85  # words alone cannot
    assert bag_of_words_baseline(documents, labels).score(fresh, truth) < 0.85


def test_every_setting_reaches_the_model() -> None:
    documents, labels = reviews(60, 0)
    plain = train_averaged_vectors(documents, labels, recipe=TextRecipe(epochs=1))
    changed = {"longest": 1, "pieces": (3, 4), "minimum_count": 5, "dimensions": 3, "once": False,
               "weights": "equal", "start": "drawn", "pooling": "unit", "penalty": 30.0,
               "epochs": 2, "batch_size": 7, "rate": 0.05}  # fmt: skip
    assert set(changed) == set(TextRecipe.__dataclass_fields__)
    for name, value in changed.items():
        other = train_averaged_vectors(
            documents, labels, recipe=TextRecipe(**({"epochs": 1} | {name: value}))
        )
        assert not torch.equal(other.logits(documents), plain.logits(documents)), name
    assert (
        train_averaged_vectors(documents, labels, recipe=TextRecipe(weights="equal")).model.weights == 1
    ).all()


def test_more_than_two_classes() -> None:
    documents = [[c, "x"] for c in "abc"] * 10
    classifier = train_averaged_vectors(documents, [0, 1, 2] * 10)
    assert classifier.predict([["a"], ["c"], ["b"], ["unknown"]])[:3].tolist() == [0, 2, 1]
    assert torch.equal(classifier.logits([["unknown"], []]), classifier.model.head.bias.detach().expand(2, 3))


def test_the_log_count_ratio_is_that_of_counting() -> None:
    documents, labels = reviews(50, 3)
    labels = labels + (np.arange(50) % 3 == 0)  # three classes
    vocabulary = Vocabulary.build(documents)
    ratio = log_count_ratio(vocabulary.encode(documents), torch.from_numpy(labels), len(vocabulary))
    for k in range(3):
        inside, outside = (
            np.array([1 + sum(w in d for d, y in zip(documents, labels, strict=True) if (y == k) == same)
                      for w in vocabulary.entries]) for same in (True, False)
        )  # fmt: skip
        assert_allclose(ratio[:, k], np.log(inside / inside.sum() / (outside / outside.sum())), atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{"longest": 0}, {"minimum_count": 0}, {"dimensions": 0}, {"weights": "tf-idf"}, {"pooling": "max"},
     {"penalty": -1}, {"epochs": 0}, {"batch_size": 0}, {"rate": 0}],
)  # fmt: skip
def test_a_bad_recipe_is_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        TextRecipe(**settings)


@pytest.mark.parametrize(
    ("documents", "labels", "error", "message"),
    [
        ([], [], ValueError, "documents must hold at least one"),
        ([[], []], [0, 1], ValueError, "no word stands in 2 of the 2 documents"),
        (["good", "bad"], [0, 1], TypeError, "must be a list of words"),
        ([["a"], ["a"]], [0], ValueError, r"labels must have shape \(2,\)"),
        ([["a"], ["a"]], [0, -1], ValueError, "labels must lie in 0"),
        ([["a"], ["a"]], [0.0, 1.0], TypeError, "labels must be whole numbers"),
    ],
)
def test_bad_texts_are_refused(documents: list, labels: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train_averaged_vectors(documents, labels)


def test_words_of_other_hands() -> None:
    assert words("Don\u2019t stop") == ["don't", "stop"]
    assert words("\u0130stanbul") == words("i\u0307stanbul") and len(words("cafe\u0301")) == 1


def test_bags_of_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="indices and offsets must be tensors, got list and Tensor"):
        Bags([1], torch.tensor([0, 1]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="indices must be rows from 0, got -1"):
        Bags(torch.tensor([2, -1]), torch.tensor([0, 2]))
    bags = bags_of([1], [2, 3])
    for rows in (torch.tensor([-1]), torch.tensor([2]), torch.tensor([True, False]), torch.tensor([0.0])):
        with pytest.raises(ValueError, match="rows must be int64 from 0 to 1"):
            bags.select(rows)


def test_words_that_are_no_strings_are_refused() -> None:
    for documents in ([["a"], b"abc"], [["a"], ["b", None]]):
        with pytest.raises(TypeError, match=r"documents\[1\] must be a list of strings, got"):
            Vocabulary.build(documents)  # type: ignore[list-item]
    assert Vocabulary.build([[np.str_("a")]]).entries == ("a",)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("pooling", ["mean", "unit"])
def test_only_ratios_of_weights_count(size: float, pooling: str) -> None:
    weights = torch.tensor([1.0, 2.0, 0.0])
    bags = bags_of([0, 1, 1], [2], [])
    plain, scaled = (
        AveragedVectors(3, weights=a, pooling=pooling, generator=seeded()) for a in (weights, size * weights)
    )
    assert torch.allclose(plain.average(bags), scaled.average(bags), rtol=1e-5)
    first = plain.vectors.weight[0] + 4 * plain.vectors.weight[1]
    assert torch.allclose(plain.average(bags)[0], first / (5 if pooling == "mean" else 3), rtol=1e-5)


def test_a_bad_weight_is_named() -> None:
    with pytest.raises(ValueError, match="weights must be finite numbers of at least 0, got nan"):
        AveragedVectors(2, weights=torch.tensor([1.0, np.nan]))


def test_other_bad_arguments_of_the_training() -> None:
    with pytest.raises(TypeError, match="recipe must be a TextRecipe, got str"):
        train_averaged_vectors([["a"]], [0], recipe="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"documents\[0\] must be a list of words"):
        bag_of_words_baseline(["good", "bad"], [0, 1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="labels must have shape"):
        bag_of_words_baseline([["good"], ["bad"]], [0])
    with pytest.raises(ValueError, match="labels must be one for each of the 2 texts, got 1"):
        log_count_ratio(bags_of([0], [1]), torch.tensor([0]), 2)
    with pytest.raises(ValueError, match="vocabulary_size must be above 1, got 1"):
        log_count_ratio(bags_of([0], [1]), torch.tensor([0, 1]), 1)
