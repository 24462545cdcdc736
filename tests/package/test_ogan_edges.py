"""Chapter 6 at its edges: streams of randomness, bad arguments by name, empty stacks, devices, shapes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kexue_lite.ogan import (
    OGAN,
    PointOGAN,
    Recipe,
    bootstrap,
    class_shares,
    coverage,
    distance_penalty,
    draw_warps,
    encoder_loss,
    fresh_correlation,
    generator_loss,
    grid_points,
    joint_loss,
    joint_step,
    last_lesson,
    linear_probe,
    match_loss,
    nearest_distances,
    normalize,
    pearson,
    sample,
    separate_steps,
    train_ogan,
    train_on_grid,
    trainer,
    unexplained,
    warp,
)
from kexue_lite.ogan.losses import MATCHES
from kexue_lite.ogan.trainer import APART, fit, rise_and_fall, rows_of_a_batch
from kexue_lite.training import generator_for, minibatches

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
TINY = Recipe(code_size=5, hidden=(8,), steps=3, batch_size=8, lesson=2)
NAN = float("nan")


def generator(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def network() -> OGAN:
    return OGAN(8, 5, hidden=(8,), generator=generator())


def pictures(count: int = 20) -> Tensor:
    return torch.rand(count, 8, 8, generator=generator(1))


# -- streams of randomness


def seeds_of(run: Any, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Of which generators a run draws: their seeds, as torch has them."""
    from kexue_lite.ogan import mixture
    from kexue_lite.training import batches

    seen: list[int] = []

    def noted(seed: int, step: int, **more: Any) -> torch.Generator:
        made = generator_for(seed, step, **more)
        seen.append(made.initial_seed())
        return made

    with monkeypatch.context() as patch:
        for module in (trainer, mixture, batches):
            patch.setattr(module, "generator_for", noted)
        run()
    return set(seen)


def test_no_two_streams_of_a_run_or_of_two_seeds_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dataclasses.replace(TINY, steps=12, lesson=12)
    runs = []
    for seed in (0, 1, 2, APART - 1):
        runs += [lambda s=seed: train_ogan(pictures(), recipe=recipe, seed=s)]
        runs += [lambda s=seed: train_on_grid(recipe=recipe, seed=s, points=16)]
    digits, points = ([seeds_of(run, monkeypatch) for run in runs[first::2]] for first in (0, 1))
    # 12 steps are 6 epochs of pictures or of points, and each step and each lesson has its codes.
    assert [len(seen) for seen in digits] == [6 + 12 + 1 + 12] * 4
    assert [len(seen) for seen in points] == [6 + 12 + 1 + 12 + 1] * 4
    for of_one in (digits, points):
        assert len(set.union(*of_one)) == sum(map(len, of_one))


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0", APART, 2**32])
def test_a_seed_whose_streams_would_meet_is_refused(seed: Any) -> None:
    for run in (
        lambda: train_ogan(pictures(), recipe=TINY, seed=seed),
        lambda: train_on_grid(recipe=TINY, seed=seed, points=16),
        lambda: last_lesson(network(), TINY, seed=seed),
        lambda: fit(network(), pictures(), TINY, seed=seed),
    ):
        with pytest.raises(ValueError, match="seed must be"):
            run()


def test_codes_maps_order_and_weights_change_with_the_step_and_the_seed() -> None:
    shown: dict[int, list[Tensor]] = {}
    for seed in (0, 1):
        seen = shown[seed] = []

        class Watching(OGAN):
            def generate(self, z: Tensor) -> Tensor:
                seen.append(z.detach().clone())  # noqa: B023
                return super().generate(z)

        fit(
            Watching(8, 5, hidden=(8,), generator=generator()),
            pictures(),
            dataclasses.replace(TINY, steps=4, lesson=3, distort=0.0),
            seed=seed,
        )
    first = [z[0] for codes in shown.values() for z in codes]
    # Each lesson asks for its first batch once more where there is a checkpoint; here there is none.
    assert len(first) == 14 and len({tuple(z.tolist()) for z in first}) == 14
    assert all(len(z) == 16 for z in shown[0][4:])  # twice a batch in the lesson
    assert abs(float(torch.cat(shown[0]).mean())) < 0.2
    assert float(torch.cat(shown[0]).std()) == pytest.approx(1, abs=0.15)


def test_a_recipe_is_a_recipe() -> None:
    for run in (
        lambda: train_ogan(pictures(), recipe={"steps": 3}),  # type: ignore[arg-type]
        lambda: train_on_grid(recipe=None),  # type: ignore[arg-type]
        lambda: last_lesson(network(), "lesson"),  # type: ignore[arg-type]
        lambda: fit(network(), pictures(), TINY.__dict__, seed=0),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"recipe must be a Recipe, got (dict|NoneType|str)"):
            run()


# -- how training is cut and paced


@pytest.mark.parametrize("least", [2, 4, 6])
def test_no_batch_is_smaller_than_batch_norm_needs_and_few_are_larger_than_asked(least: int) -> None:
    for count in range(least, 200):
        for wanted in (2, 3, 8, 64):
            rows = rows_of_a_batch(count, wanted, least)
            rest = count % rows
            assert least <= rows <= count and (rest == 0 or rest >= least), (count, wanted)
            if count >= wanted >= 2 * least:
                assert rows <= 2 * wanted
    assert rows_of_a_batch(898, 64) == 65
    with pytest.raises(ValueError, match=f"images must be at least {least}.*got 1"):
        rows_of_a_batch(1, 8, least)


def test_the_rate_rises_rests_and_falls_to_nothing() -> None:
    rates = [rise_and_fall(step, 1000) for step in range(1000)]
    assert rates[0] == 0.01 and rates[98] == pytest.approx(0.99) and rates[99:501] == [1.0] * 402
    assert np.allclose(np.diff(rates[500:]), -2 / 1000) and rates[-1] == pytest.approx(2 / 1000)
    assert max(rise_and_fall(step, 50) for step in range(50)) < 0.5  # too short to rise


def test_both_rates_are_those_of_the_recipe_and_follow_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Adam a first step moves each weight by its rate, whatever the gradient."""
    x = pictures().double()
    start = OGAN(8, 5, hidden=(8,), generator=generator_for(2 * APART, 0)).double()
    recipe = dataclasses.replace(
        TINY, steps=1, lesson=0, rate=0.2, encoder_rate=0.03, distort=0.0, average=1e-9, batch_size=20
    )
    model = train_ogan(x, recipe=recipe)
    for network, rate in (("G", 0.2), ("E", 0.03)):
        then, now = getattr(start, network)[-3 if network == "G" else -1], getattr(model, network)
        now = now[-3 if network == "G" else -1]
        moved = (now.weight - then.weight).detach().abs()
        assert float(moved.median()) == pytest.approx(rate * rise_and_fall(0, 1), rel=1e-3)


def test_what_is_kept_is_the_average_and_the_model_itself_goes_on() -> None:
    recipe = dataclasses.replace(TINY, lesson=0, average=0.7, steps=2)
    model = network()
    kept = fit(model, pictures(), recipe, seed=0)
    once = network()
    fit(once, pictures(), dataclasses.replace(recipe), seed=0)
    assert kept is not model
    last = nn.utils.parameters_to_vector(model.parameters()).detach()
    average = nn.utils.parameters_to_vector(kept.parameters())
    assert not torch.equal(last, average) and float((last - average).abs().max()) < 0.01
    assert not any(p.requires_grad for p in kept.parameters())


def test_the_lesson_wants_a_match_a_length_and_its_own_code_size() -> None:
    with pytest.raises(ValueError, match=r"lesson of at least 1.*lesson=0"):
        last_lesson(network(), dataclasses.replace(TINY, lesson=0))
    with pytest.raises(ValueError, match="match other than none"):
        last_lesson(network(), dataclasses.replace(TINY, match="none"))
    for run in (
        lambda: last_lesson(network(), dataclasses.replace(TINY, code_size=6)),
        lambda: fit(network(), pictures(), dataclasses.replace(TINY, code_size=6), seed=0),
    ):
        with pytest.raises(ValueError, match="code_size 5, got 6"):
            run()


def test_the_lesson_leaves_g_its_statistics_and_every_flag_alone() -> None:
    model = network().train()
    model.E[1].requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [p.requires_grad for p in model.parameters()]
    last_lesson(model, TINY)
    assert [p.requires_grad for p in model.parameters()] == flags and not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) is name.startswith("G"), name


# -- what comes in


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"code_size": True}, ValueError, "code_size"),
        ({"code_size": 4.0}, ValueError, "code_size"),
        ({"hidden": [8]}, TypeError, "hidden must be a tuple"),
        ({"hidden": (8, 0)}, ValueError, r"hidden\[1\]"),
        ({"channels": (True,)}, ValueError, r"channels\[0\]"),
        ({"channels": 4}, TypeError, "channels must be a tuple"),
        ({"match": None}, ValueError, "match must be one of"),
        ({"weight": "1"}, TypeError, "weight must be a number"),
        ({"weight": True}, TypeError, "weight must be a number"),
        ({"weight": NAN}, ValueError, "weight"),
        ({"generator_weight": False}, TypeError, "generator_weight"),
        ({"penalty": -0.1}, ValueError, "penalty"),
        ({"distort": NAN}, ValueError, "distort"),
        ({"steps": 2.0}, ValueError, "steps"),
        ({"lesson": True}, ValueError, "lesson"),
        ({"batch_size": 2.5}, ValueError, "batch_size"),
        ({"rate": NAN}, ValueError, "rate"),
        ({"encoder_rate": True}, TypeError, "encoder_rate"),
        ({"average": 0.0}, ValueError, "average"),
        ({"twin": 1}, TypeError, "twin must be True or False"),
    ],
)
def test_a_recipe_names_what_cannot_be(changes: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Recipe(**changes)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (
            torch.zeros(2, 8, 7),
            ValueError,
            r"x must have shape \(B, 8, 8\) or \(B, 1, 8, 8\), got \(2, 8, 7\)",
        ),
        (torch.zeros(2, 3, 8, 8), ValueError, "x must have shape"),
        (torch.zeros(2, 64), ValueError, "x must have shape"),
        (torch.tensor(0.5), ValueError, "x must have shape"),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), TypeError, "x must be a tensor of floating-point.*uint8"),
        (np.zeros((2, 8, 8)), TypeError, "x must be a tensor of floating-point.*ndarray"),
    ],
)
def test_the_encoder_says_what_it_takes(x: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        network().encode(x)


@pytest.mark.parametrize(
    ("z", "error"),
    [(torch.zeros(2, 4), ValueError), (torch.zeros(5), ValueError), (torch.zeros(2, 5).int(), TypeError)],
)
def test_generators_say_what_they_take(z: Tensor, error: type[Exception]) -> None:
    for model in (network(), PointOGAN(5, generator=generator())):
        with pytest.raises(error, match=r"z must (have shape \(B, 5\)|be a tensor)"):
            model.generate(z)
    with pytest.raises(ValueError, match=r"x must have shape \(B, 2\), got \(4, 3\)"):
        PointOGAN(5).encode(torch.zeros(4, 3))
    for shrink in (NAN, "1"):
        with pytest.raises((TypeError, ValueError), match="shrink"):
            network().reconstruct(pictures(2), shrink=shrink)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["hidden", "channels"])
@pytest.mark.parametrize("value", [8, "88", None, {4, 8}])
def test_widths_are_a_sequence(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a sequence of whole numbers"):
        OGAN(8, 5, **{name: value})


def test_no_pictures_are_an_empty_stack_and_no_codes_too() -> None:
    for model, shape in ((network(), (0, 8, 8)), (PointOGAN(5), (0, 2))):
        made = sample(model, 0, generator=generator())
        assert made.shape == shape and model.encode(made).shape == (0, 5)
    for wanted in (-1, True, 2.0):
        with pytest.raises(ValueError, match="count must be a whole number of at least 0"):
            sample(network(), wanted, generator=generator())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count must be a whole number of at least 1, got 0"):
        fresh_correlation(network(), 0, generator=generator())


def test_a_model_that_is_in_training_is_asked_at_rest_and_left_in_training() -> None:
    model = network()
    model.E.eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = sample(model, 30, generator=generator())
    rho = fresh_correlation(model, 30, generator=generator())
    assert [module.training for module in model.modules()] == modes and any(modes) and not all(modes)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()
    assert torch.equal(made, sample(model, 30, generator=generator()))
    assert rho == fresh_correlation(model, 30, generator=generator()) and not made.requires_grad

    class Broken(OGAN):
        def generate(self, z: Tensor) -> Tensor:
            raise RuntimeError("no")

    broken = Broken(8, 5)
    with pytest.raises(RuntimeError, match="no"):
        sample(broken, 2, generator=generator())
    assert broken.training and all(module.training for module in broken.modules())


def test_fresh_codes_are_normal_and_rho_is_their_mean() -> None:
    class Through(nn.Module):
        """G shows the code, E gives it back with its first half doubled."""

        code_size = 6

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def generate(self, z: Tensor) -> Tensor:
            return z

        def encode(self, x: Tensor) -> Tensor:
            return torch.cat([2 * x[:, :3], x[:, 3:]], 1)

    model = Through()
    z = sample(model, 5000, generator=generator(2))
    assert torch.equal(z, torch.randn(5000, 6, generator=generator(2), dtype=torch.float64))
    rho = fresh_correlation(model, 5000, generator=generator(2))
    assert rho == pytest.approx(float(pearson(z, model.encode(z)).mean()), abs=1e-12) and 0.8 < rho < 1
    assert fresh_correlation(model, generator=generator(2)) == pytest.approx(rho, abs=0.01)  # of 4,000
    model.encode = lambda x: -x  # type: ignore[method-assign]
    assert fresh_correlation(model, 10, generator=generator()) == pytest.approx(-1)


@pytest.mark.parametrize("wrong", [None, 0, np.random.default_rng(0)])
def test_what_draws_must_be_a_generator_of_torch(wrong: Any) -> None:
    for draw in (
        lambda: sample(network(), 2, generator=wrong),
        lambda: fresh_correlation(network(), 2, generator=wrong),
        lambda: draw_warps(2, 0.1, generator=wrong),
        lambda: grid_points(2, generator=wrong),
    ):
        with pytest.raises(TypeError, match=r"generator must be a torch\.Generator"):
            draw()


def test_maps_are_drawn_where_they_are_wanted() -> None:
    with pytest.raises(ValueError, match="generator must lie on the device meta, got one on cpu"):
        draw_warps(2, 0.1, generator=generator(), device="meta")
    for count in (0, True, 1.5):
        with pytest.raises(ValueError, match="count"):
            draw_warps(count, 0.1, generator=generator())  # type: ignore[arg-type]
    maps = draw_warps(2, 0.1, generator=generator())
    for x, m in ((torch.zeros(2, 8, 8).double(), maps), (torch.zeros(2, 8, 8).int(), maps)):
        with pytest.raises(TypeError, match="pictures and maps must be of one floating-point type"):
            warp(x, m)


def losses(encoder: Any, x: Any, fake: Any, z: Any, **more: Any) -> list[tuple[str, Any]]:
    return [
        ("encoder", lambda: encoder_loss(encoder, x, fake, z, **more)),
        ("generator", lambda: generator_loss(encoder, fake, z, **more)),
        ("joint", lambda: joint_loss(encoder, x, fake, z, **more)),
    ]


@pytest.mark.parametrize("match", MATCHES)
def test_an_encoder_that_gives_something_else_is_caught_in_every_loss(match: str) -> None:
    x, z = pictures(6), torch.randn(6, 5, generator=generator())
    encode = network().encode
    wrong = [
        lambda x: encode(x)[:, :4],
        lambda x: encode(x)[:-1],
        lambda x: encode(x).mean(1),
        lambda x: encode(x)[..., None],
        lambda x: (encode(x), None),
    ]
    for other in wrong:
        for _, loss in losses(other, x, x.flip(0), z, match=match):
            with pytest.raises(ValueError, match=r"encoder must give codes of the shape \((6|12|18), 5\)"):
                loss()


def test_pictures_and_codes_that_do_not_fit_are_named_in_every_loss() -> None:
    x, z = pictures(6), torch.randn(6, 5, generator=generator())
    encode = network().encode
    cases = [
        (x, x, z[:4], ValueError, "z must have shape .* for each of the 6 pictures"),
        (x, x, z[0], ValueError, "z must have shape"),
        (x, x, z.int(), TypeError, "z must be a tensor of floating-point numbers, got torch.int32"),
        (x, "fake", z, TypeError, "fake must be a tensor of floating-point numbers, got str"),
    ]
    for real, fake, codes, error, words in cases:
        for _, loss in losses(encode, real, fake, codes):
            with pytest.raises(error, match=words):
                loss()
    for real, error, words in (
        (x[:4], ValueError, "x and fake must have one shape"),
        (x.int(), TypeError, "x must be a tensor"),
        (x.to("meta"), ValueError, "x and fake must lie on one device, got meta and cpu"),
    ):
        for name, loss in losses(encode, real, x, z):
            if name != "generator":
                with pytest.raises(error, match=words):
                    loss()
    with pytest.raises(ValueError, match=r"n at least 3, got \(6, 2\)"):
        match_loss(z[:, :2], z[:, :2])
    with pytest.raises(ValueError, match=r"score_real and score_fake must have shape \(6,\)"):
        distance_penalty(torch.zeros(6, 1), torch.zeros(6, 1), x, x)


@pytest.mark.parametrize("name", ["weight", "penalty", "generator_weight"])
@pytest.mark.parametrize("value", [-0.1, NAN, float("inf"), True, "1"])
def test_weights_of_a_loss_are_named(name: str, value: Any) -> None:
    x, z = pictures(6), torch.randn(6, 5, generator=generator())
    encode = network().encode
    calls = [lambda: joint_loss(encode, x, x, z, match="none", **{name: value})]
    if name != "generator_weight":
        calls.append(lambda: encoder_loss(encode, x, x, z, **{name: value}))
    if name == "weight":
        calls.append(lambda: generator_loss(encode, x, z, weight=value))
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=f"{name} must be a"):
            call()


def test_nan_in_a_batch_stops_the_run_and_what_is_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x = pictures()
    x[3, 2, 2] = NAN
    with pytest.raises(ValueError, match="images must lie in"):
        train_ogan(x, recipe=TINY)
    with pytest.raises(FloatingPointError, match="loss is nan"):  # past the check of `train_ogan`
        fit(network(), x, TINY, seed=0)
    model = network().eval()
    with torch.no_grad():
        model.E[-1].bias[0] = NAN
    with pytest.raises(ValueError, match="z_hat must be finite"):
        fresh_correlation(model, 10, generator=generator())
    with pytest.raises(ValueError, match="must be finite"):
        model.reconstruct(pictures(3))
    with pytest.raises(FloatingPointError):
        last_lesson(model, TINY)
    for call in (
        lambda: unexplained(x, pictures()),
        lambda: unexplained(pictures(), x),
        lambda: nearest_distances(x, pictures()),
        lambda: nearest_distances(pictures(), x),
    ):
        with pytest.raises(ValueError, match=r"(x|again|pictures|others) must be finite"):
            call()
    with pytest.raises(ValueError, match="points must be finite"):
        coverage(torch.tensor([[NAN, 0.0]]))


def test_a_model_whose_encoder_has_another_size_is_named() -> None:
    model = network()
    model.E[-1] = nn.Linear(8, 7)
    with pytest.raises(
        ValueError, match=r"z and z_hat must have one shape, type and device, got \(4, 5\).*\(4, 7\)"
    ):
        fresh_correlation(model, 4, generator=generator())
    with pytest.raises(ValueError, match=r"encoder must give codes of the shape \(24, 5\)"):
        joint_step(model, pictures(8), torch.zeros(8, 5), recipe=TINY)


def test_scores_name_what_they_cannot_take() -> None:
    x = pictures()
    for call, error, words in (
        (lambda: unexplained(x.int(), x), TypeError, "x must be a tensor of floating-point"),
        (lambda: unexplained(x, None), TypeError, "again must be a tensor"),
        (lambda: unexplained(x[:0], x[:0]), ValueError, "x must be a stack of rows"),
        (lambda: nearest_distances(x, x[:0]), ValueError, "others must be a stack"),
        (lambda: nearest_distances(x[0, 0], x), ValueError, "pictures must be a stack"),
        (lambda: nearest_distances(x.numpy(), x), TypeError, "pictures must be a tensor"),
        (lambda: class_shares(torch.zeros(0, dtype=torch.long)), ValueError, "labels must have shape"),
        (lambda: class_shares(torch.tensor(3)), ValueError, "labels must have shape"),
        (lambda: class_shares(torch.zeros(3)), TypeError, "labels must be whole numbers"),
        (lambda: class_shares(torch.zeros(3).long(), 0), ValueError, "classes"),
        (lambda: bootstrap(lambda x: 0.0, x[:1]), ValueError, r"samples\[0\] must have at least 2 rows"),
        (lambda: bootstrap(lambda a, b: 0.0, x, x[0, 0, 0]), ValueError, r"samples\[1\]"),
        (lambda: bootstrap(lambda x: NAN, x, draws=2), ValueError, "statistic must be finite"),
        (lambda: bootstrap(lambda x: 0.0, x, draws=1), ValueError, "draws"),
        (lambda: bootstrap(lambda x: 0.0, x, seed=-1), ValueError, "seed"),
        (lambda: coverage(torch.zeros(3, 3)), ValueError, r"points must have shape \(N, 2\)"),
        (lambda: coverage(torch.zeros(0, 2)), ValueError, "points must have shape"),
        (lambda: coverage(torch.zeros(3, 2), deviation=-1), ValueError, "deviation"),
        (lambda: grid_points(0, generator=generator()), ValueError, "count"),
        (lambda: grid_points(2, generator=generator(), deviation=NAN), ValueError, "deviation"),
        (lambda: train_on_grid(recipe=TINY, points=0), ValueError, "count"),
        (
            lambda: linear_probe(x.flatten(1), [3] * 20, x.flatten(1), [3] * 20),
            ValueError,
            "labels must hold at least two classes, got 3 alone",
        ),
        (lambda: linear_probe(x, [0] * 20, x, [0] * 20), ValueError, "codes must have shape"),
    ):
        with pytest.raises(error, match=words):
            call()


# -- devices, and shapes alone


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("twin", [False, True])
def test_a_run_stays_where_its_pictures_are(device: str, twin: bool) -> None:
    recipe = dataclasses.replace(TINY, twin=twin)
    model = train_ogan(pictures().to(device), recipe=recipe)
    assert {p.device.type for p in [*model.parameters(), *model.buffers()]} == {device}
    made = sample(model, 4, generator=generator())  # drawn on the CPU: the same codes everywhere
    assert made.device.type == device
    assert model.reconstruct(made).device.type == device
    assert -1 <= fresh_correlation(model, 8, generator=generator(0, device)) <= 1
    assert nearest_distances(made, pictures()).device.type == device


@pytest.mark.parametrize("device", DEVICES)
def test_every_device_gives_the_numbers_of_the_cpu(device: str) -> None:
    a, b = (torch.randn(50, 16, generator=generator(s), dtype=torch.float64) for s in (0, 1))
    assert torch.allclose(pearson(a.to(device), b.to(device)).cpu(), pearson(a, b), rtol=0, atol=1e-14)
    assert torch.allclose(normalize(a.to(device)).cpu(), normalize(a), rtol=0, atol=1e-13)
    model, x, z = network().double(), pictures(9).double(), a[:9, :5].contiguous()
    recipe = dataclasses.replace(TINY, generator_weight=0.3)
    maps = draw_warps(9, 0.5, generator=generator(), dtype=torch.float64)
    there, where = network().double().to(device), torch.device(device)
    for loss in (lambda *batch: joint_step(*batch, recipe=recipe), *separate_steps(recipe)):
        here = loss(model, x, z, maps)
        assert torch.allclose(
            loss(there, x.to(where), z.to(where), maps.to(where)).cpu(), here, rtol=1e-10, atol=1e-12
        )
    points = grid_points(500, generator=generator(0, device))
    assert points.device.type == device and coverage(points).good > 0.99


@pytest.mark.parametrize(("size", "channels"), [(8, ()), (28, (4, 8)), (64, (4, 8, 16))])
def test_shapes_follow_without_a_number(size: int, channels: tuple[int, ...]) -> None:
    model = OGAN(size, 128, hidden=(16,), channels=channels).to("meta")
    x, z = torch.empty(6, size, size, device="meta"), torch.empty(6, 128, device="meta")
    fake = model.generate(z)
    assert fake.shape == x.shape and model.encode(x).shape == z.shape and model.score(x).shape == (6,)
    for match in MATCHES:
        for _, loss in losses(model.encode, x, fake, z, match=match):
            assert loss().shape == (6,)
    assert warp(x, torch.empty(6, 2, 3, device="meta")).shape == x.shape


# -- by hand


def test_the_trainer_is_this_loop_by_hand() -> None:
    """Order, codes, maps, rates, average, and then the lesson: written out once more, to rounding."""
    x = pictures(20).double()
    recipe = Recipe(
        code_size=5, hidden=(8, 7), steps=6, batch_size=6, lesson=4, rate=3e-3, encoder_rate=2e-3,
        average=0.8, distort=0.4, weight=0.7, penalty=0.05, generator_weight=0.2,
    )  # fmt: skip
    theirs = train_ogan(x, recipe=recipe, seed=3)
    net = OGAN(8, 5, hidden=(8, 7), generator=generator_for(3 + 2 * APART, 0)).double()
    adam = torch.optim.Adam(
        [{"params": net.E.parameters(), "lr": 2e-3}, {"params": net.G.parameters(), "lr": 3e-3}],
        betas=(0.5, 0.99),
    )
    batches, average = minibatches(x, batch_size=7, seed=3), []  # 20 pictures: 7, 7, 6
    for step in range(6):
        pace = min((step + 1) / 100, 1.0, 2 * (1 - step / 6))
        adam.param_groups[0]["lr"], adam.param_groups[1]["lr"] = 2e-3 * pace, 3e-3 * pace
        (real,) = batches(step)
        draws = generator_for(3 + APART, step)
        z = torch.randn(len(real), 5, generator=draws, dtype=torch.float64)
        maps = draw_warps(2 * len(z), 0.4, generator=draws, dtype=torch.float64)
        loss = joint_loss(
            net.encode, warp(real, maps[: len(z)]), warp(net.generate(z), maps[len(z) :]), z,
            weight=0.7, penalty=0.05, generator_weight=0.2,
        )  # fmt: skip
        adam.zero_grad()
        loss.mean().backward()
        adam.step()
        now = [p.detach().clone() for p in net.parameters()]
        average = now if not average else [0.8 * a + 0.2 * p for a, p in zip(average, now, strict=True)]
    for p, a in zip(net.parameters(), average, strict=True):
        p.data = a
    for p, q in zip(net.G.parameters(), theirs.G.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-8)
    for p, q in zip(net.G.buffers(), theirs.G.buffers(), strict=True):
        assert torch.allclose(p, q, rtol=1e-6, atol=1e-8)
    net.eval()
    adam = torch.optim.Adam(net.E.parameters(), lr=2e-3, betas=(0.9, 0.99))
    for step in range(4):
        adam.param_groups[0]["lr"] = 2e-3 * (1 - step / 4)
        draws = generator_for(3 + 4 * APART, step)
        z = torch.randn(12, 5, generator=draws, dtype=torch.float64)
        with torch.no_grad():
            seen = warp(net.generate(z), draw_warps(12, 0.4, generator=draws, dtype=torch.float64))
        adam.zero_grad()
        (-pearson(z, net.encode(seen))).mean().backward()
        adam.step()
    for p, q in zip(net.E.parameters(), theirs.E.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-7)


@pytest.mark.parametrize("match", ["pearson", "mse"])
def test_the_lesson_follows_the_match_of_the_recipe(match: str) -> None:
    """By its first step alone: Adam goes against the sign of the gradient."""
    recipe = dataclasses.replace(TINY, match=match, lesson=1, distort=0.0)
    model = network().double().eval()
    z = torch.randn(16, 5, generator=generator_for(4 * APART, 0), dtype=torch.float64)
    loss = match_loss(z, model.encode(model.generate(z).detach()), match).mean()
    gradients = torch.autograd.grad(loss, list(model.E.parameters()))
    before = [p.detach().clone() for p in model.E.parameters()]
    last_lesson(model, recipe)
    for p, then, gradient in zip(model.E.parameters(), before, gradients, strict=True):
        clear = gradient.abs() > 1e-5
        moved = (p - then)[clear]
        assert clear.any()
        assert torch.allclose(moved, -recipe.encoder_rate * gradient[clear].sign(), rtol=2e-3)


def test_the_steps_of_two_forms_go_where_each_loss_points() -> None:
    """The twin's first step: E by its own loss, then G by its own against the E that has moved."""
    x = pictures(16).double()
    recipe = Recipe(
        code_size=5,
        hidden=(8,),
        steps=1,
        batch_size=16,
        lesson=0,
        twin=True,
        distort=0.0,
        generator_weight=0.3,
    )
    theirs = train_ogan(x, recipe=recipe)
    net = OGAN(8, 5, hidden=(8,), generator=generator_for(2 * APART, 0)).double()
    (real,) = minibatches(x, batch_size=16, seed=0)(0)
    z = torch.randn(16, 5, generator=generator_for(APART, 0), dtype=torch.float64)
    for network, loss in zip((net.E, net.G), separate_steps(recipe), strict=True):
        adam = torch.optim.Adam(network.parameters(), lr=5e-4 * 0.01, betas=(0.5, 0.99))
        gradients = torch.autograd.grad(loss(net, real, z).mean(), list(network.parameters()))
        for p, gradient in zip(network.parameters(), gradients, strict=True):
            p.grad = gradient
        adam.step()
    for p, q in zip(net.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-9)


def test_e_s_loss_costs_nothing_in_g() -> None:
    model = network()
    of_encoder, of_generator = separate_steps(dataclasses.replace(TINY, penalty=0.3))
    x, z = pictures(6), torch.randn(6, 5, generator=generator())
    felt = torch.autograd.grad(of_encoder(model, x, z).sum(), list(model.G.parameters()), allow_unused=True)
    assert felt == (None,) * len(list(model.G.parameters()))
    felt = torch.autograd.grad(of_generator(model, x, z).sum(), list(model.G.parameters()), allow_unused=True)
    assert all(one is not None for one in felt)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_codes_on_two_devices_are_refused() -> None:
    z = torch.randn(3, 5)
    with pytest.raises(ValueError, match="one shape, type and device"):
        pearson(z, z.cuda())
    with pytest.raises(ValueError, match="generator must lie on the device cpu"):
        draw_warps(2, 0.1, generator=generator(0, "cuda"))
