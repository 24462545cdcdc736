"""Chapter 8's language model: kinds of attention, causality, writing, the k-means start, bad input.

This file is also the program that is killed.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kexue_lite.training import Checkpoint
from kexue_lite.vq_attention import (
    Characters,
    LanguageModel,
    LanguageRecipe,
    LanguageSettings,
    Writer,
    documentation_text,
    full_attention,
    nats_per_character,
    quadratic_vq_attention,
    reading,
    start_from_full,
    train_language,
    vq_attention,
    window_attention,
    write,
)

TEXT = "how much wood would a woodchuck chuck if a woodchuck could chuck wood? " * 30
TINY = LanguageSettings(width=16, layers=2, heads=2, key_width=8, codes=6, block_size=4)
SHORT = LanguageRecipe(steps=12, batch_size=4, context=24)
KINDS, MIXERS = ("full", "vq", "window"), ("gated", "multi-head")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(attention: str = "vq", mixer: str = "gated", **changes: Any) -> LanguageModel:
    """Trained for a few steps, so that the bias of the window is not zero, in float64."""
    settings = dataclasses.replace(TINY, attention=attention, mixer=mixer, **changes)
    return train_language(TEXT, settings=settings, recipe=SHORT).model.double()


def ids(T: int, B: int = 2, seed: int = 0) -> Tensor:
    return torch.randint(len(Characters.of(TEXT)), (B, T), generator=generator(seed))


def qkv(T: int = 22, H: int = 2, D: int = 4, E: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    q, k = torch.randn(2, 2, H, T, D, generator=generator(), dtype=torch.float64)
    v = torch.randn(2, H, T, E, generator=generator(1), dtype=torch.float64)
    return q, k, v, torch.randn(H, 10, generator=generator(2), dtype=torch.float64)


# -- the kinds of attention


@pytest.mark.parametrize("T", [1, 4, 5, 6, 10, 11, 22])
@pytest.mark.parametrize("biased", [False, True])
def test_the_window_is_full_attention_of_which_the_far_keys_are_cut(T: int, biased: bool) -> None:
    q, k, v, bias = qkv(T)
    i, j = torch.arange(T)[:, None], torch.arange(T)
    scores = q @ k.mT / 2  # √D = 2
    near = i // 5 - j // 5 <= 1
    if biased:
        scores = scores + torch.where(near, bias[:, (i - j).clamp(0, 9)], 0)
    scores = scores.masked_fill(j > i, -torch.inf)
    found = full_attention(q, k, v, block_size=5, window_bias=bias if biased else None)
    torch.testing.assert_close(found, scores.softmax(-1) @ v)
    scores = scores.masked_fill(~near, -torch.inf)
    found = window_attention(q, k, v, block_size=5, window_bias=bias if biased else None)
    torch.testing.assert_close(found, scores.softmax(-1) @ v)


def test_full_attention_is_vq_attention_whose_codes_are_the_keys_and_so_are_its_near_gradients() -> None:
    q, k, v, bias = (x.requires_grad_() for x in qkv(10))  # two blocks: nothing is far
    results = []
    for attend in (
        lambda: full_attention(q, k[:1].expand_as(k), v, block_size=5, window_bias=bias),
        lambda: vq_attention(q, k[:1].expand_as(k), v, k[0].detach(), block_size=5, window_bias=bias),
        lambda: window_attention(q, k[:1].expand_as(k), v, block_size=5, window_bias=bias),
    ):
        out = attend()
        pull = torch.randn(out.shape, generator=generator(3), dtype=out.dtype)
        results.append((out, *torch.autograd.grad((out * pull).sum(), (q, k, v, bias))))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two)


def test_a_bad_bias_or_shape_is_refused_by_both() -> None:
    q, k, v, bias = qkv()
    for attend in (full_attention, window_attention):
        with pytest.raises(ValueError, match="window_bias must have"):
            attend(q, k, v, block_size=4, window_bias=bias)
        with pytest.raises(ValueError, match="k must have the shape of q"):
            attend(q, k[:, :, 1:], v, block_size=4)
        with pytest.raises(ValueError, match="block_size"):
            attend(q, k, v, block_size=0)


# -- the model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mixer", MIXERS)
def test_no_logit_depends_on_a_later_character_and_windows_end(kind: str, mixer: str) -> None:
    model = tiny(kind, mixer)
    x = model.enter(ids(23, 1), 0).detach().requires_grad_()

    def through(x: Tensor) -> Tensor:
        for layer in model.layers:
            x = layer(x)[0]
        return model.leave(x).abs().sum(-1)[0]

    pulled = torch.stack([torch.autograd.grad(out, x, retain_graph=True)[0][0] for out in through(x)])
    reach = pulled.abs().sum(-1) > 0
    assert not reach.triu(1).any() and reach.diagonal().all()
    i, j = torch.arange(23)[:, None], torch.arange(23)
    beyond = i // 4 - j // 4 > len(model.layers)  # each layer reaches one block further
    assert reach[beyond].any() == (kind != "window")


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_quantised_model_is_that_of_the_quadratic_twin(
    mixer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = tiny("vq", mixer), ids(27)
    fast, commitment = model.read(x)
    monkeypatch.setattr("kexue_lite.vq_attention.mixers.vq_attention", quadratic_vq_attention)
    slow, again = model.read(x)
    torch.testing.assert_close(fast, slow)
    assert again > 0
    torch.testing.assert_close(commitment, again, rtol=1e-12, atol=0.0)  # the second layer feels the rounding


@pytest.mark.parametrize("mixer", MIXERS)
def test_with_a_code_for_every_key_quantising_changes_nothing(mixer: str) -> None:
    full = tiny("full", mixer)
    x = ids(20, 1)
    codes = len(x[0])
    quantised = LanguageModel(
        full.characters, dataclasses.replace(full.settings, attention="vq", codes=codes)
    ).double()
    quantised.load_state_dict(full.state_dict(), strict=False)
    for layer, keys in zip(quantised.eval().layers, full.keys(x), strict=True):
        layer.attention.quantizer.codebook = keys[0]
        layer.attention.quantizer.started = torch.tensor(True)
    torch.testing.assert_close(quantised(x), full(x))
    assert quantised.read(x)[1] < 1e-20


def test_all_kinds_have_the_same_weights_and_the_bias_is_extra() -> None:
    for mixer in MIXERS:
        shapes = []
        for kind in KINDS:
            for bias in (True, False):
                settings = dataclasses.replace(TINY, attention=kind, mixer=mixer, bias=bias)
                model = LanguageModel(Characters("abc"), settings, generator=generator())
                names = {
                    name: weight.shape
                    for name, weight in model.named_parameters()
                    if not name.endswith("window_bias")
                }
                shapes.append((bias, names, sum(w.numel() for w in model.parameters())))
        assert all(names == shapes[0][1] for _, names, _ in shapes)
        assert len({(bias, count) for bias, _, count in shapes}) == 2


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    one, two = (LanguageModel(Characters("abc"), TINY, generator=generator(5)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_codes_move_in_training_and_stand_still_in_evaluation() -> None:
    model = tiny()
    quantizer = model.layers[1].attention.quantizer
    before = quantizer.codebook.clone()
    model(ids(20))
    assert torch.equal(before, quantizer.codebook)
    model.train()(ids(20))
    assert not torch.equal(before, quantizer.codebook)


def test_queries_see_the_codes_as_they_were_before_the_batch_moved_them() -> None:
    """A later character moves the codes of the *next* batch only: causality in training mode, too."""
    one = ids(20, 1)
    other = one.clone()
    other[0, 15:] = (other[0, 15:] + 1) % len(Characters.of(TEXT))
    logits = []
    for x in (one, other):
        logits.append(tiny(decay=0.0).train()(x)[:, :15])
    torch.testing.assert_close(*logits)


# -- reading: training and scores


def test_the_loss_is_cross_entropy_and_a_ten_thousandth_of_the_commitment() -> None:
    model, x = tiny(), ids(25, 3)
    logits, commitment = model.read(x[:, :-1])
    rows = model.loss(x[:, :-1], x[:, 1:])
    expected = -logits.log_softmax(-1).gather(2, x[:, 1:, None])[..., 0].mean(1) + 1e-4 * commitment
    torch.testing.assert_close(rows, expected)
    assert commitment > 0 and rows.shape == (3,)


@pytest.mark.parametrize("length", [2, 7, 8, 9, 10, 40, 41, 100])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_score_counts_every_character_but_the_first_once(length: int, batch_size: int) -> None:
    model = tiny("full")
    text = TEXT[:length]
    x = model.characters.encode(text)
    total = 0.0
    for a in range(0, length - 1, 8):
        row = x[a : a + 9]
        logits = model(row[None, :-1])[0].log_softmax(-1)
        total -= float(logits[torch.arange(len(row) - 1), row[1:]].sum().detach())
    found = nats_per_character(model, text, context=8, batch_size=batch_size)
    assert found == pytest.approx(total / (length - 1), rel=1e-6)


def test_a_score_leaves_the_mode_as_it_was_and_moves_no_code() -> None:
    model = tiny().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    nats_per_character(model, TEXT[:100], context=16)
    assert model.training and all(torch.equal(before[n], v) for n, v in model.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns_and_repeats_whatever_the_global_generator_says(kind: str) -> None:
    settings = dataclasses.replace(TINY, attention=kind, dropout=0.1)
    recipe = dataclasses.replace(SHORT, steps=60)
    found = []
    for seed in (3, 4):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(train_language(TEXT, settings=settings, recipe=recipe, seed=1))
        assert torch.equal(before, torch.get_rng_state())
    losses = [[record["loss"] for record in one.run.records] for one in found]
    assert losses[0] == losses[1] and losses[0][-1] < 0.8 * losses[0][0]
    other = train_language(TEXT, settings=settings, recipe=SHORT, seed=2)
    assert other.run.records[0]["loss"] != losses[0][0]


def test_what_says_where_to_look_has_a_larger_rate_and_all_weights_are_trained() -> None:
    model = tiny()
    (many, once), (few, further) = reading.parts_of(model)
    assert (once, further) == (1, reading.FURTHER) and len(few) == 2 * len(model.layers)
    assert {id(w) for w in (*many, *few)} == {id(w) for w in model.parameters()}


def test_a_model_learns_on_in_place() -> None:
    model = tiny("full").float()
    quantised = start_from_full(model, TEXT, codes=5, context=24, keys=200)
    before = quantised.layers[0].attention.quantizer.codebook.clone()
    again = train_language(TEXT, settings=quantised, recipe=SHORT)
    assert again.model is quantised and not quantised.training
    assert not torch.equal(before, quantised.layers[0].attention.quantizer.codebook)


# -- the start from a trained full-attention model


def test_a_start_from_full_changes_no_weight_and_its_codes_are_means_of_keys() -> None:
    full = tiny("full")
    quantised = start_from_full(full, TEXT, codes=4, context=24, keys=96)
    for (name, one), (_, two) in zip(full.named_parameters(), quantised.named_parameters(), strict=True):
        assert torch.equal(one, two), name
    length = len(TEXT)
    starts = [n * ((length - 24) // 3) for n in range(4)]
    rows = torch.stack([full.characters.encode(TEXT)[a : a + 24] for a in starts])
    for layer, keys in zip(quantised.layers, full.keys(rows), strict=True):
        quantizer = layer.attention.quantizer
        codes = quantizer(keys).codes[:, 0].flatten()
        for code in range(4):
            mean = keys[:, 0].reshape(-1, 8)[codes == code].mean(0)
            torch.testing.assert_close(quantizer.codebook[0, code], mean, rtol=0.05, atol=0.05)
    assert quantised.settings == dataclasses.replace(full.settings, attention="vq", codes=4)


def test_more_codes_lose_less_of_what_the_full_model_knew() -> None:
    recipe = dataclasses.replace(SHORT, steps=150, context=48)
    full = train_language(TEXT, settings=dataclasses.replace(TINY, attention="full"), recipe=recipe).model
    exact = nats_per_character(full, TEXT[:1000], context=48)
    lost = [
        nats_per_character(start_from_full(full, TEXT, codes=S, context=48), TEXT[:1000], context=48) - exact
        for S in (1, 8, 512)
    ]
    assert lost[0] > lost[1] > lost[2] and abs(lost[2]) < 0.1 * lost[0]


# -- writing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("read", [0, 1, 7, 8, 13])
def test_character_by_character_is_the_block_form(kind: str, mixer: str, read: int) -> None:
    model, x = tiny(kind, mixer), ids(31)
    writer = Writer(model, batch=2)
    parts = [writer.read(x[:, :read])] if read else []
    parts += [writer.step(x[:, t : t + 1]) for t in range(read, 31)]
    torch.testing.assert_close(torch.cat(parts, 1), model(x), rtol=1e-9, atol=1e-9)


def test_only_the_state_of_full_attention_grows() -> None:
    sizes: dict[str, list[int]] = {}
    for kind in KINDS:
        writer = Writer(tiny(kind), batch=1)
        sizes[kind] = []
        for T in (9, 40, 90):
            for t in range(writer.position, T):
                writer.step(ids(1, 1, t))
            sizes[kind].append(writer.size)
    assert sizes["vq"][0] == sizes["vq"][1] == sizes["vq"][2] and sizes["window"][0] == sizes["window"][2]
    assert sizes["full"] == [2 * T * (8 + 32) for T in (9, 40, 90)]  # layers · T · (D + E)
    assert sizes["vq"][0] == 2 * (8 + 8 * 32 + 6 + 6 * 32)  # codes and values of 2L, counts and sums of S


def test_a_text_is_drawn_from_the_chances_of_the_model() -> None:
    model = tiny().float()
    first = write(model, "how", 30, generator=generator())
    assert (
        first
        == write(model, "how", 30, generator=generator())
        != write(model, "how", 30, generator=generator(1))
    )
    assert len(first) == 30 and set(first) <= set(TEXT) and write(model, "how", 0) == ""
    greedy = write(model, "how", 12, temperature=0)
    text = "how"
    for character in greedy:  # the slow way: the whole text again for each character
        logits = model(model.characters.encode(text)[None])[0, -1]
        assert model.characters.symbols[int(logits.argmax())] == character
        text += character
    cold = [write(model, "how", 12, temperature=1e-3, generator=generator(seed)) for seed in range(3)]
    assert cold == [greedy] * 3


# -- characters


def test_rare_characters_share_one_number_and_strange_ones_are_named() -> None:
    characters = Characters.of("aabbA世", least=2)
    assert characters.symbols == "ab□" and characters.encode("A世a").tolist() == [2, 2, 0]
    assert Characters.of("世ab").decode(Characters.of("世ab").encode("b世a")) == "b世a"
    with pytest.raises(ValueError, match="got 'z'"):
        Characters.of("abc").encode("abz")


def test_held_out_documents_are_none_of_those_to_train_on() -> None:
    train, validation = documentation_text(0.002, seed=1)
    held = validation.split("\n")
    assert len(held) > 50 and not set(held) & set(train.split("\n"))
    assert "  " not in validation and validation == validation.lower()
    Characters.of(train).encode(validation[:1000])


# -- bad input


@pytest.mark.parametrize(
    "change, message",
    [
        ({"attention": "linear"}, "attention must be one of full, vq, window; got 'linear'"),
        ({"mixer": "mlp"}, "mixer must be one of gated, multi-head; got 'mlp'"),
        ({"width": 7}, "width must be even"),
        ({"layers": 0}, "layers must be"),
        ({"codes": 0}, "codes must be"),
        ({"block_size": -1}, "block_size must be"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"decay": 1.0}, "decay must be"),
        ({"bias": 1}, "bias must be True or False"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        LanguageSettings(**change)


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"rate": 0.0}, {"clip": -1.0}, {"rise": 2.0}, {"rate": "x"}]
)
def test_recipes_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(change))):
        LanguageRecipe(**change)


def test_calls_that_cannot_be_answered_are_refused() -> None:
    model = LanguageModel(Characters.of(TEXT), TINY)
    many = len(model.characters)
    for wrong, message in (
        (torch.zeros(2, 3), "int64"),
        (torch.zeros(3, dtype=torch.int64), "axes"),
        (torch.zeros(0, 3, dtype=torch.int64), "not empty"),
        (torch.full((1, 2), many), f"from 0 to {many - 1}"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            model(wrong)
    with pytest.raises(ValueError, match="evaluation mode"):
        write(model, "how", 3)
    with pytest.raises(ValueError, match="codebooks"):
        write(model.eval(), "how", 3)
    with pytest.raises(ValueError, match="prompt must not be empty"):
        write(model, "", 3)
    with pytest.raises(ValueError, match="temperature"):
        write(model, "how", 3, temperature=-1)
    with pytest.raises(ValueError, match="full attention, got 'vq'"):
        start_from_full(model, TEXT)
    full = LanguageModel(Characters.of(TEXT), dataclasses.replace(TINY, attention="full"))
    with pytest.raises(ValueError, match="codes must be at most the number of keys, 24"):
        start_from_full(full, TEXT, codes=30, context=24, keys=20)
    with pytest.raises(ValueError, match="text must have at least context"):
        start_from_full(full, "how", context=24)
    with pytest.raises(ValueError, match="more than context"):
        train_language("how much", recipe=SHORT)
    with pytest.raises(ValueError, match="seed must be below"):
        train_language(TEXT, recipe=SHORT, seed=2**30)
    with pytest.raises(TypeError, match="settings must be LanguageSettings"):
        train_language(TEXT, settings="vq", recipe=SHORT)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least two characters"):
        nats_per_character(full, "h")
    writer = Writer(full.eval())
    writer.step(ids(1, 1))
    with pytest.raises(ValueError, match="read must come first"):
        writer.read(ids(3, 1))
    with pytest.raises(ValueError, match=r"\(B, 1\)"):
        writer.step(ids(3, 1))


# -- killed


def whole(path: Path | None) -> dict[str, Any]:
    settings = dataclasses.replace(TINY, dropout=0.1)
    recipe = dataclasses.replace(SHORT, steps=40)
    checkpoint = None if path is None else Checkpoint(path, 3)
    trained = train_language(TEXT, settings=settings, recipe=recipe, checkpoint=checkpoint)
    records = [{k: v for k, v in record.items() if k != "seconds"} for record in trained.run.records]
    return {"model": trained.model.state_dict(), "records": records}


def main(path: Path) -> None:
    """Forks, kills the child somewhere within a few steps, three times; the fourth may end."""
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1)])  # the first optimiser imports for seconds: once, before the fork
    chance = random.Random(0)
    for kill in [True, True, True, False]:
        hear, say = os.pipe()
        fatal = chance.randint(4, 9) if kill else None
        pid = os.fork()
        if pid == 0:
            child(path, fatal, say)
            os._exit(0)
        if kill:
            os.read(hear, 1)
            time.sleep(chance.uniform(0, 0.01))
            os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (-signal.SIGKILL if kill else 0)
        os.close(hear), os.close(say)


def child(path: Path, fatal: int | None, wire: int) -> None:
    """The forked process: train, and say by one byte that the blow may fall."""
    calls, original = 0, LanguageModel.loss

    def counted(self: LanguageModel, *batch: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == fatal:
            os.write(wire, b"x")
        return original(self, *batch)

    LanguageModel.loss = counted  # type: ignore[method-assign]
    torch.save(whole(path), path.with_suffix(".killed"))


def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    command = [sys.executable, __file__, str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    again = torch.load(path.with_suffix(".killed"), weights_only=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = whole(None)
    finally:
        torch.set_num_threads(threads)
    assert here["records"] == again["records"] and len(here["records"]) == 40
    assert list(here["model"]) == list(again["model"])
    assert any(name.endswith("quantizer.codebook") for name in here["model"])
    for name, value in here["model"].items():
        assert torch.equal(value, again["model"][name]), name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
