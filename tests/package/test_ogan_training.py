"""Chapter 6: networks of any size, the trainer and its twin, resumption, scores, the mixture."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kexue_lite.data import digits
from kexue_lite.networks import frechet_distance
from kexue_lite.ogan import (
    OGAN,
    Coverage,
    PointOGAN,
    Recipe,
    bootstrap,
    class_shares,
    coverage,
    decompose,
    draw_warps,
    fresh_correlation,
    grid_centres,
    grid_points,
    joint_step,
    last_lesson,
    linear_probe,
    nearest_distances,
    sample,
    separate_steps,
    train_ogan,
    train_on_grid,
    unexplained,
    warp,
)
from kexue_lite.training import Checkpoint

SHORT = Recipe(hidden=(16,), steps=6, batch_size=32, lesson=3)
A, B = digits()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(model: torch.nn.Module) -> Tensor:
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


# -- networks


@pytest.mark.parametrize(
    ("size", "channels", "hidden"),
    [
        (8, (), (20, 10)),
        (8, (4,), ()),
        (8, (4, 6), (12,)),
        (28, (4, 6), ()),
        (28, (), (20,)),
        (32, (2, 3, 4), ()),
    ],
)
def test_pictures_of_every_size_go_there_and_back(
    size: int, channels: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    model = OGAN(size, 5, hidden=hidden, channels=channels, generator=generator())
    x = model.generate(torch.randn(7, 5, generator=generator()))
    assert x.shape == (7, size, size) and x.min() > 0 and x.max() < 1
    assert model.encode(x).shape == (7, 5) and model.score(x).shape == (7,)
    assert torch.equal(model.encode(x), model.encode(x[:, None]))
    assert torch.allclose(model.score(x), model.encode(x).mean(1))
    assert model.reconstruct(x).shape == x.shape


def test_layers_are_in_their_order_and_weights_of_their_law() -> None:
    model = OGAN(16, 5, hidden=(20, 10), channels=(4, 7), generator=generator())

    def shapes(network: torch.nn.Module) -> list[tuple[int, ...]]:
        return [tuple(p.shape) for p in network.parameters() if p.ndim > 1]

    assert shapes(model.G) == [
        (20, 5), (10, 20), (7 * 16, 10), (7, 4, 4, 4), (4, 4, 4, 4), (1, 4, 3, 3),
    ]  # fmt: skip
    assert shapes(model.E) == [(4, 1, 4, 4), (7, 4, 4, 4), (10, 7 * 16), (20, 10), (5, 20)]
    for module in model.modules():
        if isinstance(module, torch.nn.LeakyReLU):
            assert module.negative_slope == 0.2
        if isinstance(module, torch.nn.ConvTranspose2d):  # a pixel is a sum of 4 of the 16, for each channel
            bound = (4 * module.in_channels) ** -0.5
            assert 0.95 * bound < float(module.weight.detach().abs().max()) <= bound
    kinds = [[type(m).__name__ for m in network] for network in (model.G, model.E)]
    assert sum(kind.startswith("BatchNorm") for kind in kinds[0]) == 5
    assert not any(kind.startswith("BatchNorm") for kind in kinds[1])
    assert [kind.startswith("Conv") for kind in kinds[1]].index(True) == 1
    dense = OGAN(8, 5, hidden=(20, 10), generator=generator())
    assert shapes(dense.G) == [(20, 5), (10, 20), (64, 10)]
    assert shapes(dense.E) == [(10, 64), (20, 10), (5, 20)]


def test_the_networks_of_points_are_deep_enough_and_e_sees_the_plane_larger() -> None:
    model = PointOGAN(5, 12, generator=generator()).eval()
    kinds = [[type(m).__name__ for m in network] for network in (model.G, model.E)]
    assert [kind.count("Linear") for kind in kinds] == [5, 4]
    assert [kind.count("BatchNorm1d") for kind in kinds] == [4, 0]
    assert [kind.count("ReLU") for kind in kinds] == [4, 3]
    x = torch.randn(6, 2, generator=generator())
    assert torch.equal(model.encode(x), model.E[1:](2 * x))
    assert torch.equal(numbers(model), numbers(PointOGAN(5, 12, generator=generator())))
    assert "factor=2.0" in repr(model)


def test_the_encoder_treats_each_picture_on_its_own() -> None:
    model = OGAN(8, 5, channels=(4,), generator=generator()).train()
    x = torch.rand(6, 8, 8, generator=generator())
    together = model.encode(x)
    assert torch.allclose(together[2:3], model.encode(x[2:3]), atol=1e-6)


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = (OGAN(8, 4, channels=(3,), generator=generator(5)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(numbers(first), numbers(second))
    assert not torch.equal(numbers(first), numbers(OGAN(8, 4, channels=(3,), generator=generator(6))))


def test_a_reconstruction_is_made_from_the_shrunk_direction() -> None:
    model = OGAN(generator=generator()).eval()
    x = torch.from_numpy(B.images[:3])
    direction = decompose(model.encode(x))[2]
    assert torch.equal(model.reconstruct(x, shrink=0.9), model.generate(0.9 * direction))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"code_size": 2}, "code_size must be at least 3"),
        ({"code_size": 0}, "code_size"),
        ({"size": 0}, "size"),
        ({"size": 10, "channels": (4, 4)}, "divisible by 4"),
        ({"hidden": (0,)}, r"hidden\[0\]"),
        ({"channels": (-1,)}, r"channels\[0\]"),
        ({"code_size": 4.0}, "code_size"),
    ],
)
def test_networks_that_cannot_be_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OGAN(**arguments)


def test_pictures_and_codes_of_another_shape_are_refused() -> None:
    model = OGAN()
    with pytest.raises(ValueError, match=r"x must have shape \(B, 8, 8\).*got \(3, 28, 28\)"):
        model.encode(torch.zeros(3, 28, 28))
    with pytest.raises(ValueError, match=r"z must have shape \(B, 16\), got \(3, 8\)"):
        model.generate(torch.zeros(3, 8))


# -- training


def test_a_run_is_a_function_of_its_seed() -> None:
    first, second = (train_ogan(A.images, recipe=SHORT, seed=3) for _ in range(2))
    assert torch.equal(numbers(first), numbers(second))
    assert not torch.equal(numbers(first), numbers(train_ogan(A.images, recipe=SHORT, seed=4)))
    assert not first.training


@pytest.mark.parametrize("twin", [False, True])
def test_a_run_that_is_taken_up_ends_with_the_same_bits(tmp_path: Path, twin: bool) -> None:
    # The rates fall to zero at `steps`, so a shorter run is another run: it is broken off, not shortened.
    recipe = dataclasses.replace(SHORT, twin=twin)
    whole = train_ogan(A.images, recipe=recipe)
    path = tmp_path / "run.ckpt"

    class Stopped(Exception):
        pass

    calls = 0
    original = OGAN.encode

    def breaks(self: OGAN, x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > (8 if twin else 4):
            raise Stopped
        return original(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OGAN, "encode", breaks)
        with pytest.raises(Stopped):
            train_ogan(A.images, recipe=recipe, checkpoint=Checkpoint(path, every=2))
    assert path.exists()
    resumed = train_ogan(A.images, recipe=recipe, checkpoint=Checkpoint(path, every=2))
    assert torch.equal(numbers(whole), numbers(resumed))


@pytest.mark.parametrize("generator_weight", [None, 0.3, 0.0, 2.0])
def test_the_trainer_s_losses_are_one_and_two_forms_of_the_same_gradients(
    generator_weight: float | None,
) -> None:
    model = OGAN(8, 6, hidden=(12,), generator=generator()).double()
    x = torch.from_numpy(A.images[:10]).double()
    z = torch.randn(10, 6, generator=generator(), dtype=torch.float64)
    recipe = Recipe(code_size=6, generator_weight=generator_weight)
    joint = joint_step(model, x, z, recipe=recipe).mean()
    for network, separate in zip((model.E, model.G), separate_steps(recipe), strict=True):
        ours = torch.autograd.grad(joint, list(network.parameters()), retain_graph=True)
        theirs = torch.autograd.grad(separate(model, x, z).mean(), list(network.parameters()))
        for one, other in zip(ours, theirs, strict=True):
            assert torch.allclose(one, other, rtol=1e-11, atol=1e-14)


def test_e_s_first_step_is_the_same_in_both_forms_and_g_s_meets_an_e_that_has_moved() -> None:
    recipe = Recipe(hidden=(16,), steps=1, batch_size=32, lesson=0)
    one = train_ogan(A.images.astype(np.float64), recipe=recipe)
    two = train_ogan(A.images.astype(np.float64), recipe=dataclasses.replace(recipe, twin=True))
    for ours, theirs in zip(one.E.parameters(), two.E.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-7)  # Adam's ε and signs of gradients near 0


def test_it_learns_something_in_a_moment() -> None:
    recipe = Recipe(hidden=(64,), steps=200, average=0.9, lesson=0)
    before = OGAN(hidden=(64,), generator=generator()).eval()
    after = train_ogan(A.images, recipe=recipe)
    assert fresh_correlation(after, 500, generator=generator()) > 0.5
    assert fresh_correlation(before, 500, generator=generator()) < 0.4
    plain = train_ogan(A.images, recipe=dataclasses.replace(recipe, match="none"))
    assert abs(fresh_correlation(plain, 500, generator=generator())) < 0.4


def test_the_last_lesson_moves_e_alone_and_reads_better() -> None:
    recipe = Recipe(hidden=(64,), steps=200, average=0.9, lesson=0)
    model = train_ogan(A.images, recipe=recipe)
    before = fresh_correlation(model, 1000, generator=generator())
    rest = numbers(model.G)
    last_lesson(model, dataclasses.replace(recipe, lesson=150))
    assert torch.equal(numbers(model.G), rest) and not model.training and not model.E.training
    assert fresh_correlation(model, 1000, generator=generator()) > before + 0.005
    again = train_ogan(A.images, recipe=dataclasses.replace(recipe, lesson=150))
    assert torch.equal(numbers(model), numbers(again))  # the trainer gives the same lesson
    plain = dataclasses.replace(recipe, match="none", steps=3)
    assert torch.equal(
        numbers(train_ogan(A.images, recipe=plain)),
        numbers(train_ogan(A.images, recipe=dataclasses.replace(plain, lesson=5))),
    )


@pytest.mark.parametrize(
    "recipe", [Recipe(code_size=4, hidden=(), channels=(4, 8), steps=2, batch_size=4, lesson=1)]
)
def test_full_scale_is_tried_on_a_few_pictures_of_28_by_28(recipe: Recipe) -> None:
    images = np.random.default_rng(0).random((9, 28, 28), dtype=np.float32)
    model = train_ogan(images, recipe=recipe)
    assert sample(model, 3, generator=generator()).shape == (3, 28, 28)


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (A.images[:, :, :7], ValueError, r"\(N, H, H\)"),
        (A.images[0], ValueError, r"\(N, H, H\)"),
        (A.images * 16, ValueError, r"\[0, 1\]"),
        (np.where(A.images > 0.9, np.nan, A.images), ValueError, r"\[0, 1\]"),
        ((A.images * 16).astype(int), TypeError, "floating-point"),
        (A.images[:1], ValueError, "at least 2"),
        (torch.from_numpy(A.images).half(), TypeError, "float32 or float64"),
        (A.images[:0], ValueError, "at least 1"),
    ],
)
def test_what_are_no_pictures_is_refused(images: np.ndarray, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        train_ogan(images, recipe=SHORT)


def test_a_few_more_pictures_than_a_batch_leave_no_batch_of_one() -> None:
    train_ogan(A.images[:33], recipe=SHORT)
    train_ogan(A.images[:3], recipe=SHORT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code_size": 2}, "code_size"),
        ({"match": "cosine"}, "match must be one of"),
        ({"weight": -0.1}, "weight"),
        ({"penalty": float("inf")}, "penalty"),
        ({"generator_weight": -1.0}, "generator_weight"),
        ({"steps": 0}, "steps"),
        ({"lesson": -1}, "lesson"),
        ({"batch_size": 1}, "batch_size"),
        ({"rate": 0.0}, "rate must be positive"),
        ({"encoder_rate": -1.0}, "encoder_rate must be positive"),
        ({"average": 1.0}, "average"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Recipe(**changes)


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(FloatingPointError):
        train_ogan(A.images, recipe=dataclasses.replace(SHORT, steps=200, rate=1e30, encoder_rate=1e30))


def test_a_displacement_moves_and_turns_by_what_it_says() -> None:
    x = torch.rand(3, 8, 8, generator=generator(), dtype=torch.float64)
    one_right = torch.tensor([[1.0, 0.0, 2 / 8], [0.0, 1.0, 0.0]], dtype=torch.float64)
    moved = warp(x, one_right.expand(3, 2, 3))
    assert torch.allclose(moved[:, :, :-1], x[:, :, 1:]) and moved[:, :, -1].abs().max() < 1e-12
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(warp(x, quarter.expand(3, 2, 3)), x.rot90(1, (1, 2)), atol=1e-12)
    x.requires_grad_()
    maps = draw_warps(3, 0.2, generator=generator(), dtype=torch.float64)
    assert torch.autograd.gradcheck(warp, (x, maps))


@pytest.mark.parametrize("amount", [1.0, 0.3])
def test_a_displacement_is_a_shift_a_turn_a_stretch_and_a_slant_of_the_stated_sizes(amount: float) -> None:
    maps = draw_warps(4000, amount, generator=generator(), dtype=torch.float64)
    (first, second), shift = maps[:, :, :2].unbind(1), maps[:, :, 2]
    angle, high = torch.atan2(second[:, 0], second[:, 1]), second.norm(dim=1)
    wide = first[:, 0] / angle.cos()
    slant = first[:, 1] + angle.sin() * wide
    parts = [shift[:, 0], shift[:, 1], angle, wide - 1, high - 1, slant]
    for part, most in zip(parts, (2 * 0.7 / 8, 2 * 0.7 / 8, 0.15, 0.1, 0.1, 0.15), strict=True):
        size = part / (most * amount)
        assert 0.99 < float(size.abs().max()) <= 1 + 1e-9
        assert float(size.mean()) == pytest.approx(0, abs=0.04)
        assert float(size.square().mean()) == pytest.approx(1 / 3, abs=0.03)  # evenly between −1 and 1
    together = torch.corrcoef(torch.stack(parts)) - torch.eye(6, dtype=torch.float64)
    assert float(together.abs().max()) < 0.08


def test_displacements_are_centred_on_none_and_as_large_as_allowed() -> None:
    maps = draw_warps(4000, 1.0, generator=generator())
    none = torch.eye(3)[:2]
    assert (maps.mean(0) - none).abs().max() < 0.01
    assert 0.17 < (maps - none)[:, :, 2].abs().max() <= 2 * 0.7 / 8
    assert torch.equal(draw_warps(5, 1.0, generator=generator()), draw_warps(5, 1.0, generator=generator()))
    with pytest.raises(ValueError, match="amount"):
        draw_warps(2, -0.1, generator=generator())
    with pytest.raises(ValueError, match="pictures must have shape"):
        warp(torch.zeros(2, 8, 8), maps[:3])


def test_generated_pictures_are_displaced_by_the_law_of_the_real_ones() -> None:
    model = OGAN(8, 6, hidden=(12,), generator=generator()).eval()
    x, z = torch.rand(4, 8, 8, generator=generator()), torch.randn(4, 6, generator=generator())
    maps = draw_warps(4, 1.0, generator=generator())
    recipe = Recipe(code_size=6)
    seen: list[Tensor] = []
    encode = model.encode
    model.encode = lambda x: (seen.append(x), encode(x))[1]  # type: ignore[method-assign]
    joint_step(model, x, z, maps, recipe=recipe)
    real, still, shown = seen[0].chunk(3)
    assert torch.equal(real, x) and torch.equal(still, shown)
    assert torch.allclose(shown, warp(model.generate(z), maps))
    with pytest.raises(ValueError, match="distort"):
        Recipe(distort=-1.0)


# -- scores


def test_unexplained_is_pca_s_share_for_pca() -> None:
    from kexue_lite.networks import pca_error, principal_autoencoder

    x = torch.from_numpy(A.images).double().flatten(1)
    share = unexplained(x, principal_autoencoder(x, 16)(x).detach())
    assert share == pytest.approx(pca_error(x, 16) / float(x.var(0, correction=0).mean()), rel=1e-9)
    with pytest.raises(ValueError, match="one shape"):
        unexplained(x, x[:5])
    with pytest.raises(ValueError, match="differ"):
        unexplained(torch.ones(3, 2), torch.ones(3, 2))


def test_the_probe_reads_labels_and_does_not_feel_the_scale() -> None:
    x, y = torch.from_numpy(A.images).flatten(1), A.labels
    test, truth = torch.from_numpy(B.images).flatten(1), B.labels
    score = linear_probe(x, y, test, truth)
    assert score.value > 0.93
    assert linear_probe(1000 * x, y, 1000 * test, truth).value == pytest.approx(score.value, abs=0.005)
    with pytest.raises(ValueError, match="test_codes"):
        linear_probe(x, y, test[:, :5], truth)
    with pytest.raises(ValueError, match="labels"):
        linear_probe(x, y[:5], test, truth)


def test_nearest_distances_see_a_copy() -> None:
    x, other = torch.from_numpy(A.images), torch.from_numpy(B.images)
    assert nearest_distances(x[:20], x).max() < 1e-3
    brute = (x[:20, None] - other[None]).square().sum((2, 3)).sqrt().amin(1)
    assert torch.allclose(nearest_distances(x[:20], other), brute, atol=1e-4)
    with pytest.raises(ValueError, match="stacks of one shape"):
        nearest_distances(x, other[:, :4])


def test_the_bootstrap_covers_a_mean() -> None:
    held = 0
    for seed in range(100):
        x = torch.randn(60, generator=generator(seed))
        _, low, high = bootstrap(lambda x: float(x.mean()), x, seed=seed)
        held += low <= 0 <= high
    assert 88 <= held <= 99
    x = torch.rand(60, generator=generator())
    value, low, high = bootstrap(lambda x: float(x.max()), x)
    # A maximum of what is drawn again is never larger: taken off, that bias moves the interval above it.
    assert value == float(x.max()) and value <= low < high
    a, b = torch.randn(80, 3, generator=generator()), torch.randn(90, 3, generator=generator(1))
    value, low, high = bootstrap(frechet_distance, a, b, draws=50)
    assert value == frechet_distance(a, b) and low < high
    with pytest.raises(ValueError, match="at least one set"):
        bootstrap(lambda: 0.0)


def test_class_shares_count() -> None:
    shares = class_shares(torch.from_numpy(B.labels))
    assert shares.sum() == pytest.approx(1) and shares.min() > 0.09
    assert class_shares(torch.tensor([2, 2, 0]), 5) == pytest.approx([1 / 3, 0, 2 / 3, 0, 0])
    with pytest.raises(ValueError, match="labels"):
        class_shares(torch.tensor([3, 10]))


# -- the mixture


def test_the_true_points_cover_the_grid_and_half_of_it_is_half() -> None:
    points = grid_points(5000, generator=generator())
    assert coverage(points).found == 25 and coverage(points).good > 0.999
    assert coverage(points[points[:, 0] < -0.5]).found == 10
    assert coverage(grid_centres() + 0.4) == Coverage(found=0, good=0.0, effective=0.0)


def test_good_found_and_effective_are_what_they_say() -> None:
    centres = grid_centres().double()
    step = torch.tensor([[0.05, 0.0]], dtype=torch.float64)
    assert coverage(centres + 3.99 * step) == Coverage(25, 1.0, pytest.approx(25))  # type: ignore[arg-type]
    assert coverage(centres + 4.01 * step).good == 0
    assert coverage(centres + 4.01 * step, deviation=0.051).good == 1
    # Of 2,500 points a spot's share is 100: with 20 it is found, with 19 it is not.
    for count, found in ((20, 2), (19, 1)):
        counts = torch.tensor([2500 - count, count])
        assert coverage(centres[:2].repeat_interleave(counts, 0)).found == found
    far = torch.full((100, 2), 9.0, dtype=torch.float64)
    seen = coverage(torch.cat([centres[[3] * 75], centres[[7] * 25], far]))
    entropy = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert seen.good == 0.5 and seen.effective == pytest.approx(math.exp(entropy))


def test_the_points_lie_evenly_and_as_wide_as_they_are_told() -> None:
    for deviation in (0.0, 0.05, 0.1):
        points = grid_points(20_000, generator=generator(), deviation=deviation).double()
        distance, spot = torch.cdist(points, grid_centres().double()).min(1)
        assert float(distance.square().mean()) == pytest.approx(2 * deviation**2, rel=0.03, abs=1e-12)
        assert torch.bincount(spot, minlength=25).min() > 650
    assert {tuple(c) for c in grid_centres().tolist()} == {
        (float(a), float(b)) for a in range(-2, 3) for b in range(-2, 3)
    }


def test_the_trainer_takes_points_too() -> None:
    model = train_on_grid(recipe=Recipe(code_size=8, steps=4, lesson=1), points=300)
    assert isinstance(model, PointOGAN) and not model.training
    assert sample(model, 10, generator=generator()).shape == (10, 2)
    assert -1 <= fresh_correlation(model, 10, generator=generator()) <= 1
    with pytest.raises(ValueError, match="code_size"):
        PointOGAN(2)
