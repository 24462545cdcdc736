"""The recipe for pictures: the head start, what is made, a run that is cut; and the stored results."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

import kexue_lite.ddpm.pictures as pictures
from benchmarks import ddpm_digits, harness, unet_race
from kexue_lite.data import digits
from kexue_lite.ddpm import (
    Clouds,
    Mixture,
    PictureModel,
    Recipe,
    Schedule,
    ddim_sample,
    level_density,
    loss,
    noisy_batches,
    sample,
    train_pictures,
)
from kexue_lite.ddpm.pictures import even_batch
from kexue_lite.networks import judge
from kexue_lite.training import Checkpoint, train

TINY = Recipe(T=60, channels=(4, 8), clouds=3, steps=8, batch_size=32, kept=6)


ROUND = Clouds(torch.zeros(1, 2), torch.eye(2)[None], torch.ones(1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(count: int = 100) -> np.ndarray:
    return digits()[0].images[:count]


# -- clouds --------------------------------------------------------------------------------------------------


def test_round_clouds_are_a_mixture() -> None:
    schedule = Schedule.article(100)
    centres = torch.randn(4, 3, generator=seeded(), dtype=torch.float64)
    shares = torch.tensor([1.0, 2.0, 3.0, 0.5], dtype=torch.float64)
    clouds = Clouds(centres, 0.09 * torch.eye(3, dtype=torch.float64).expand(4, 3, 3), shares)
    exact = Mixture(centres, 0.3, shares).noise_model(schedule)
    x, t = torch.randn(6, 3, generator=seeded(1), dtype=torch.float64), torch.tensor([1, 5, 20, 50, 80, 100])
    keep, add = schedule.alpha_bar[t], schedule.beta_bar[t]
    picture = (x - add[:, None] * exact(x, t)) / keep[:, None]
    assert torch.allclose(clouds(x, keep, add), picture, atol=1e-9)


def test_the_guess_is_the_slope_of_the_density() -> None:
    """E[x_0 | x] = (x + β̄² ∇ log p)/ᾱ (Tweedie), with stretched clouds, by autograd."""
    roots = torch.randn(3, 4, 4, generator=seeded(2), dtype=torch.float64)
    covariances = roots @ roots.mT + 0.1 * torch.eye(4, dtype=torch.float64)
    centres, shares = (
        torch.randn(3, 4, generator=seeded(3), dtype=torch.float64),
        torch.tensor([0.2, 0.3, 0.5]),
    )
    clouds = Clouds(centres, covariances, shares.double())
    for keep, add in ((0.9, 0.4), (0.1, 0.99)):
        total = keep**2 * covariances + add**2 * torch.eye(4, dtype=torch.float64)
        density = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(shares.double()),
            torch.distributions.MultivariateNormal(keep * centres, total),
        )
        x = torch.randn(5, 4, generator=seeded(4), dtype=torch.float64).requires_grad_()
        (slope,) = torch.autograd.grad(density.log_prob(x).sum(), x)
        got = clouds(x.detach(), torch.full((5,), keep).double(), torch.full((5,), add).double())
        assert torch.allclose(got, (x.detach() + add**2 * slope) / keep, atol=1e-5)


def test_points_of_clouds_have_their_mean_and_covariance() -> None:
    covariance = torch.tensor([[[2.0, 1.2], [1.2, 1.0]]])
    points = Clouds(torch.tensor([[3.0, -1.0]]), covariance, torch.ones(1)).sample(40_000, generator=seeded())
    assert torch.allclose(points.mean(0), torch.tensor([3.0, -1.0]), atol=0.03)
    assert torch.allclose(torch.cov(points.T), covariance[0], atol=0.05)
    assert ROUND.sample(0, generator=seeded()).shape == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.zeros(2), torch.zeros(2, 2), torch.ones(1)), "shapes"),
        ((torch.zeros(1, 2), torch.zeros(1, 3, 3), torch.ones(1)), "shapes"),
        ((torch.zeros(1, 2), torch.eye(2)[None], torch.zeros(1)), "positive"),
        ((torch.zeros(1, 2), torch.eye(2)[None] * float("nan"), torch.ones(1)), "finite"),
        ((torch.zeros(1, 2), -torch.eye(2)[None], torch.ones(1)), "negative"),
    ],
)
def test_bad_clouds_are_refused(arguments: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Clouds(*arguments)
    for dtype in (torch.int64, torch.float16):
        with pytest.raises(TypeError, match="float32 or float64"):
            Clouds(torch.zeros(1, 2, dtype=dtype), torch.eye(2)[None], torch.ones(1))


def test_a_fit_depends_on_its_seed_and_shares_add_up() -> None:
    x = torch.from_numpy(some()).flatten(1)
    one, two, other = (Clouds.fit(x, 5, seed=seed).centres for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)
    shares = Clouds(torch.zeros(3, 2), torch.eye(2).expand(3, 2, 2), torch.tensor([1.0, 2.0, 5.0])).shares
    assert shares.tolist() == [0.125, 0.25, 0.625]


def test_shrinking_moves_each_cloud_to_the_mean_of_all() -> None:
    x = torch.cat(
        [torch.randn(60, 3, generator=seeded()) * 0.3 - 4, torch.randn(40, 3, generator=seeded(1)) + 4]
    )

    def matrices(shrink: float) -> torch.Tensor:
        clouds = Clouds.fit(x.double(), 2, shrink=shrink)
        return clouds.axes @ torch.diag_embed(clouds.variances) @ clouds.axes.mT

    whole, shares = matrices(0), Clouds.fit(x.double(), 2).shares
    common = (shares[:, None, None] * whole).sum(0)
    assert sorted(shares.tolist()) == pytest.approx([0.4, 0.6], abs=1e-6)
    assert torch.allclose(matrices(0.3), 0.7 * whole + 0.3 * common, atol=1e-9)
    assert torch.allclose(matrices(1), common.expand(2, 3, 3), atol=1e-9)
    floors = [float(Clouds.fit(x, 2, floor=floor).variances.min()) for floor in (0.01, 0.51)]
    assert floors[1] - floors[0] == pytest.approx(0.5, abs=1e-3)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="shrink"):
            Clouds.fit(x, 2, shrink=bad)


def test_shrunk_clouds_guess_better_where_they_were_not_fitted() -> None:
    images = digits()[0].images
    x = torch.from_numpy(images - images.mean(0)).flatten(1) / float((images - images.mean(0)).std())
    noise = torch.randn(449, 64, generator=seeded())
    keep, add = torch.full((449,), 0.9), torch.full((449,), 0.19**0.5)
    errors = {
        shrink: [
            float(
                (Clouds.fit(x[::2], 10, shrink=shrink)(0.9 * y + 0.19**0.5 * noise, keep, add) - y)
                .square()
                .mean()
            )
            for y in (x[::2], x[1::2])
        ]
        for shrink in (0.0, 0.3)
    }
    assert errors[0.0][0] < errors[0.3][0] < 0.95 * errors[0.3][1] < 0.9 * errors[0.0][1]


def test_bad_fits_are_refused() -> None:
    x = torch.randn(5, 2, generator=seeded())
    for arguments, words in (((x, 6), "N at least 6"), ((x, 0), "count"), ((x[:, :, None], 2), "N, D")):
        with pytest.raises(ValueError, match=words):
            Clouds.fit(*arguments)
    with pytest.raises(ValueError, match="floor"):
        Clouds.fit(x, 2, floor=0.0)


# -- the model -----------------------------------------------------------------------------------------------


def untrained(**changes: object) -> PictureModel:
    recipe = dataclasses.replace(TINY, steps=1, rate=1e-12, **changes)  # type: ignore[arg-type]
    return train_pictures(some(), recipe=recipe).model


def test_before_training_the_model_is_the_clouds() -> None:
    model = untrained()
    x, t = torch.randn(5, 8, 8, generator=seeded()), torch.tensor([1, 10, 30, 50, 60])
    keep, add = (table[t].float() for table in (model.schedule.alpha_bar, model.schedule.beta_bar))
    guess = model.clouds(x.flatten(1), keep, add).view_as(x)
    noise = (x - keep[:, None, None] * guess) / add[:, None, None]
    assert torch.allclose(model(x, t), noise, atol=1e-4)


def test_one_round_cloud_leaves_the_velocity() -> None:
    """g = ᾱ x and P = β̄ before it is measured: what the network says is −v, weighted like v."""
    round_cloud = Clouds(torch.zeros(1, 64), torch.eye(64)[None], torch.ones(1))
    model = PictureModel(8, TINY, clouds=round_cloud, generator=seeded())
    bare = PictureModel(8, dataclasses.replace(TINY, clouds=0), clouds=None, generator=seeded())
    x, t = torch.randn(5, 8, 8, generator=seeded()), torch.tensor([1, 10, 30, 50, 60])
    with torch.no_grad():  # both networks begin as zero
        assert torch.allclose(model(x, t), bare(x, t), atol=1e-5)
    assert torch.allclose(model.weight(), bare.weight(), rtol=1e-4)
    words = torch.randn(5, 8, 8, generator=seeded(1))
    model.net.forward = lambda *a: -words  # type: ignore[method-assign]
    bare.net.network.forward = lambda *a: words  # type: ignore[union-attr]
    assert torch.allclose(model(x, t), bare(x, t), atol=1e-5)


@pytest.mark.parametrize("kind", ["noise", "picture", "velocity", "mean"])
def test_without_clouds_the_loss_is_that_of_what_the_network_says(kind: str) -> None:
    model = untrained(clouds=0, kind=kind)
    schedule, x = model.schedule, model.scaled(some(5)).double()
    t, noise = torch.tensor([1, 2, 20, 40, 60]), torch.randn(5, 8, 8, generator=seeded()).double()
    at = {n: schedule.at(getattr(schedule, n), t, x) for n in ("alpha", "beta", "alpha_bar", "beta_bar")}
    x_t = at["alpha_bar"] * x + at["beta_bar"] * noise
    right = {
        "noise": noise,
        "picture": x,
        "velocity": at["alpha_bar"] * noise - at["beta_bar"] * x,
        "mean": (x_t - at["beta"] ** 2 / at["beta_bar"] * noise) / at["alpha"] - x_t,
    }[kind]
    each = loss(model.double(), x, schedule, t=t, noise=noise, weight=model.weight())
    assert torch.allclose(each, right.square().mean((1, 2)), rtol=1e-4)  # the network says zero
    assert model.net.kind == kind and model.clouds is None


def test_no_epoch_ends_with_a_small_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    for rows in (1, 2, 33, 65, 449, 898, 1057):
        for wanted in (1, 2, 32, 64, rows):
            if wanted <= rows:
                got = even_batch(rows, wanted)
                assert (rows % got or got) >= got / 2 and abs(got - wanted) <= max(1, wanted / 4)
                if (rows % wanted or wanted) >= wanted / 2:
                    assert got == wanted
    with pytest.raises(ValueError, match="batch_size must be at most the number of rows, 5; got 6"):
        even_batch(5, 6)
    sizes: set[int] = set()

    def spied(*arguments: object, batch_size: int, **options: object):
        batches = noisy_batches(*arguments, batch_size=batch_size, **options)  # type: ignore[arg-type]
        sizes.update(len(batches(k)[0]) for k in range(6))
        return batches

    monkeypatch.setattr(pictures, "noisy_batches", spied)
    train_pictures(some(97), recipe=dataclasses.replace(TINY, steps=1))  # 3 · 32 + 1
    assert min(sizes) >= 16 and len(sizes) == 2


def test_an_even_draw_of_t_is_even(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def spy(*arguments: object, chances: torch.Tensor | None, **options: object):
        seen.append(chances)
        return noisy_batches(*arguments, chances=chances, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pictures, "noisy_batches", spy)
    for level in (None, -0.4):
        train_pictures(some(), recipe=dataclasses.replace(TINY, level=level, breadth=0.7, steps=1))
    assert seen[0] is None
    assert torch.equal(seen[1], level_density(Schedule.article(60), level=-0.4, breadth=0.7))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"T": 1}, ValueError, "T must"),
        ({"T": 25}, ValueError, "kept must be at most T = 25, got 40"),
        ({"kept": 1}, ValueError, "kept"),
        ({"clouds": -1}, ValueError, "clouds"),
        ({"kind": "eps"}, ValueError, "kind must be one of noise, picture, velocity, mean; got 'eps'"),
        ({"steps": 0}, ValueError, "steps"),
        ({"batch_size": 2.5}, ValueError, "batch_size"),
        ({"rate": 0.0}, ValueError, "rate must be positive"),
        ({"rate": "fast"}, TypeError, "rate"),
        ({"average": 1.0}, ValueError, "average"),
        ({"level": float("nan")}, ValueError, "level"),
        ({"breadth": -1.0}, ValueError, "breadth must be positive"),
        ({"sigma": "big"}, ValueError, "sigma must be one of beta, posterior, none, ddim; got 'big'"),
        ({"levels": -1}, ValueError, "levels"),
        ({"shrink": 1.5}, ValueError, "shrink"),
    ],
)
def test_bad_recipes_are_refused_before_the_training(changes: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        Recipe(**changes)


def test_the_weighted_loss_is_about_one_before_training() -> None:
    """What the network is asked has unit variance, at every t: so zero has the loss one."""
    model = untrained()
    x = model.scaled(some())
    for t in (1, 5, 20, 40, 60):
        each = loss(
            model, x, model.schedule, t=torch.full((100,), t), weight=model.weight(), generator=seeded(t)
        )
        assert float(each.mean()) == pytest.approx(1, abs=0.25), t


def test_data_and_pictures_are_each_other_s_inverse() -> None:
    model = train_pictures(some(), recipe=TINY).model
    x = model.scaled(some())
    assert float(x.mean()) == pytest.approx(0, abs=1e-5) and float(x.square().mean()) == pytest.approx(
        1, abs=1e-4
    )
    assert torch.equal(model.pictures(x), torch.from_numpy(some()))  # sixteenths stay
    for bad in (np.zeros((2, 9, 9), np.float32), np.full((2, 8, 8), 1.5, np.float32), np.zeros((2, 8, 7))):
        with pytest.raises(ValueError, match="images must"):
            model.scaled(bad)


@pytest.mark.parametrize(
    "how", [{}, {"sigma": "beta"}, {"sigma": "none"}, {"sigma": "ddim"}, {"clip": False}]
)
def test_made_pictures_are_pictures_and_repeatable(how: dict) -> None:
    model = train_pictures(some(), recipe=TINY).model
    made = model.make(5, generator=seeded(), **how)
    assert made.shape == (5, 8, 8) and bool(((made >= 0) & (made <= 1)).all())
    assert torch.equal(made, model.make(5, generator=seeded(), **how))
    assert torch.equal(made * 16, (made * 16).round())
    assert model.make(0, generator=seeded(), **how).shape == (0, 8, 8)
    film = model.make(5, generator=seeded(), film=[4, 0], **how)
    assert film.shape == (2, 5, 8, 8) and torch.equal(film[1], made)


def test_bad_orders_are_refused() -> None:
    model = train_pictures(some(), recipe=TINY).model
    for how, words in (
        ({"kept": 61}, "kept must be at most T = 60, got 61"),
        ({"kept": 1}, "kept"),
        ({"sigma": "x"}, "sigma must be one of beta, posterior, none, ddim"),
        ({"film": [6]}, "film must lie in 0, ..., 5, got 6"),
        ({"film": [-1]}, "film"),
    ):
        with pytest.raises(ValueError, match=words):
            model.make(2, generator=seeded(), **how)
    with pytest.raises(ValueError, match="count"):
        model.make(-1, generator=seeded())
    with pytest.raises(ValueError, match=r"x must have shape \(B, 8, 8\)"):
        model(torch.zeros(2, 9, 9), torch.ones(2, dtype=torch.int64))
    for t, error in (
        ([0, 1], ValueError),
        ([1, 61], ValueError),
        ([-1, 1], ValueError),
        ([1.0, 2.0], TypeError),
    ):
        for one in (model, untrained(clouds=0), untrained(clouds=0, kind="noise")):
            with pytest.raises(error, match="t must"):
                one(torch.zeros(2, 8, 8), torch.tensor(t))


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (np.zeros((40, 8, 8), np.float32), ValueError, "all the same"),
        (np.full((40, 8, 8), np.nan, np.float32), ValueError, "must lie in"),
        (some(40) * 255, ValueError, "must lie in"),
        (some(40)[:, :7], ValueError, "shape"),
        (some(40).astype(int), TypeError, "floating"),
        (some(20), ValueError, "batch_size"),
        (some(40)[:, :7, :7], ValueError, "divisible by 2"),
    ],
)
def test_bad_pictures_to_train_on_are_refused(images: np.ndarray, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        train_pictures(images, recipe=TINY)


def test_a_training_that_was_cut_ends_with_the_same_bits(tmp_path) -> None:
    whole = train_pictures(some(), recipe=TINY, seed=3)

    class Cut(Exception):
        pass

    def killed(step: int) -> None:
        raise Cut

    checkpoint = Checkpoint(tmp_path / "run.pt", every=3)
    original = torch.optim.AdamW.step
    taken = 0

    def counted(self, *arguments, **options):
        nonlocal taken
        taken += 1
        if taken == 6:
            raise Cut
        return original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", counted)
        with pytest.raises(Cut):
            train_pictures(some(), recipe=TINY, seed=3, checkpoint=checkpoint)
    again = train_pictures(some(), recipe=TINY, seed=3, checkpoint=checkpoint)
    a, b = (trained.model.state_dict() for trained in (whole, again))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert torch.equal(whole.model.make(3, generator=seeded()), again.model.make(3, generator=seeded()))


def test_seeds_differ_and_repeat() -> None:
    one, two, other = (train_pictures(some(), recipe=TINY, seed=s).model.state_dict() for s in (0, 0, 1))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one if key.startswith("net."))


def test_levels_are_nearly_normal() -> None:
    schedule = Schedule.article(1000)
    chances = level_density(schedule, level=0.2, breadth=1.0)[1:]
    levels = (schedule.beta_bar[1:] / schedule.alpha_bar[1:]).log()
    mean = float((chances * levels).sum())
    assert mean == pytest.approx(0.2, abs=0.05)
    assert float((chances * (levels - mean) ** 2).sum()) == pytest.approx(1, abs=0.1)
    # A thousandth is spread evenly, so that no t is forgotten; the rest is the normal density of the levels.
    assert float(chances.min()) >= 0.0009 / 1000 and float(chances.sum()) == pytest.approx(1, abs=1e-12)
    (slopes,) = torch.gradient(levels)
    normal = torch.distributions.Normal(0.2, 1.0).log_prob(levels).exp() * slopes
    assert torch.allclose(chances, 0.999 * normal / normal.sum() + 1e-6, rtol=1e-9)
    narrow = level_density(schedule, level=-1.0, breadth=0.5)[1:]
    middle = float((narrow * levels).sum())
    assert float((narrow * (levels - middle) ** 2).sum()) == pytest.approx(0.25, abs=0.03)
    with pytest.raises(ValueError, match="breadth"):
        level_density(schedule, breadth=0)


def test_the_recipe_reaches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def spy(*arguments: object, **options: object):
        seen.update(options)
        seen["rates"] = []
        options["optimizer"].register_step_pre_hook(  # type: ignore[attr-defined]
            lambda one, *_: seen["rates"].append(one.param_groups[0]["lr"])  # type: ignore[attr-defined]
        )
        return train(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pictures, "train", spy)
    recipe = dataclasses.replace(TINY, steps=40, rate=0.02, average=0.8)
    trained = train_pictures(some(), recipe=recipe)
    assert seen["steps"] == 40 and seen["average"] == 0.8
    rates = seen["rates"]
    assert isinstance(rates, list) and len(rates) == 40
    assert max(rates) == pytest.approx(0.02, rel=0.02) and rates[0] < 0.002 and rates[-1] < 0.0002
    assert rates.index(max(rates)) <= 2  # it rises for a twentieth of the run
    assert trained.model is trained.run.averaged
    last, averaged = trained.run.model.state_dict(), trained.model.state_dict()
    assert any(not torch.equal(last[key], averaged[key]) for key in last if key.startswith("net."))
    assert not any(parameter.requires_grad for parameter in trained.model.parameters())


@pytest.mark.parametrize(
    ("sigma", "kept", "clip"), [("beta", None, True), ("posterior", 9, False), ("ddim", 30, True)]
)
def test_making_is_sampling_between_the_bounds_of_pictures(sigma: str, kept: int | None, clip: bool) -> None:
    model = train_pictures(some(), recipe=TINY).model
    steps = Schedule.article(60).every(kept or 6)
    generator = seeded(4)
    start = torch.randn(50, 8, 8, generator=generator)
    ends = [(end - model.mean) / model.scale for end in (torch.zeros(8, 8), torch.ones(8, 8))]
    bounds = (ends[0], ends[1]) if clip else None
    if sigma == "ddim":
        x = ddim_sample(model, start, steps, clip=bounds)
    else:
        x = sample(model, start, steps, sigma=sigma, clip=bounds, generator=generator)
    by_hand = ((x * model.scale + model.mean).clamp(0, 1) * 16).round() / 16
    made = model.make(50, generator=seeded(4), sigma=sigma, kept=kept, clip=clip)
    assert torch.equal(made, by_hand)
    # Neither bounds nor the last noise are without effect.
    far = model.make(50, generator=seeded(4), sigma=sigma, kept=kept, clip=not clip)
    assert not torch.equal(made, far)
    if sigma == "beta":
        loud = model.make(50, generator=seeded(4), sigma=sigma, kept=kept, clip=clip, last_noise=True)
        assert not torch.equal(made, loud)


def test_what_is_missing_is_measured_at_its_own_times() -> None:
    """P_t against a fresh measurement at times that are no knots, with other noise."""
    model, x = untrained(), untrained().scaled(some())
    for t in (2, 7, 23, 41, 60):
        keep, add = (table[t].float() for table in (model.schedule.alpha_bar, model.schedule.beta_bar))
        noisy = keep * x + add * torch.randn(x.shape, generator=seeded(t))
        guess = model.clouds(noisy.flatten(1), keep.expand(100), add.expand(100)).view_as(x)
        assert float(model.missing[t]) == pytest.approx(
            float((guess - x).square().mean().sqrt()), rel=0.06
        ), t
    assert model.missing[0] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu() -> None:
    model = train_pictures(torch.from_numpy(some()).cuda(), recipe=TINY).model
    made = model.make(3, generator=torch.Generator("cuda").manual_seed(0))
    assert made.is_cuda and isinstance(model, PictureModel)


# -- the stored results --------------------------------------------------------------------------------------


def stored() -> dict:
    path = harness.RESULTS / "ddpm_digits.json"
    if not path.exists():
        pytest.skip("not measured yet")
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_stored_results_are_those_of_this_code_and_judge() -> None:
    result = stored()
    assert result["code"] == harness.fingerprint(ddpm_digits.CODE), "run make seeds"
    assert result["judge"] == judge().hash
    own = [r for r in result["rows"] if r["contender"] == ddpm_digits.RECIPE]
    assert [r["seed"] for r in own] == result["seeds"] and len(own) >= 3
    (line,) = result["summary"]
    assert line["mean_times_yardstick"] == pytest.approx(
        sum(r["times_yardstick"] for r in own) / len(own), abs=0.01
    )
    assert line["worst_times_yardstick"] == max(r["times_yardstick"] for r in own)
    for table, names in ddpm_digits.TABLES.items():
        rows = result[table][len(own) if table == "rows" else 0 :]
        assert [r["contender"] for r in rows] == list(names)
        for r in result[table]:
            assert r["low"] <= r["distance"] <= r["high"]
            assert r["times_yardstick"] == pytest.approx(r["distance"] / result["yardstick"], rel=0.01)


def test_the_tables_take_away_one_thing_each() -> None:
    def changed(name: str) -> dict[str, object]:
        ours = dataclasses.asdict(ddpm_digits.CONTENDERS[name].get("recipe", Recipe()))
        return {k: v for k, v in ours.items() if v != dataclasses.asdict(Recipe())[k]}

    assert {model for rows in ddpm_digits.TABLES.values() for model, _ in rows.values()} == set(
        ddpm_digits.CONTENDERS
    )
    assert changed(ddpm_digits.RECIPE) == changed("225 pictures") == {}
    assert changed("t drawn evenly") == {"level": None}
    assert changed(ddpm_digits.PLAIN) == {"clouds": 0, "kind": "noise", "level": None}
    for T in (25, 50, 100, 200):  # each walks all of its steps
        assert changed(f"T = {T}") == {"T": T, "kept": T}
    said = [changed(model) for model, how in ddpm_digits.SAID.values() if how == {}]
    assert said == [
        {"clouds": 0, "kind": "noise"}, {"clouds": 0, "kind": "picture"}, {"clouds": 0, "kind": "mean"},
        {"clouds": 0},
    ]  # fmt: skip


def test_the_race_runs_and_is_taken_up_again(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    tiny = {
        name: how | {"recipe": dataclasses.replace(
            how.get("recipe", Recipe()), steps=3, channels=(4, 8), T=50, kept=4,
            clouds=min(2, how.get("recipe", Recipe()).clouds),
        )}
        for name, how in ddpm_digits.CONTENDERS.items()
    }  # fmt: skip
    whole_score, whole_quality, threads = ddpm_digits.score, ddpm_digits.quality, torch.get_num_threads()
    monkeypatch.setattr(ddpm_digits, "CONTENDERS", tiny)
    monkeypatch.setattr(ddpm_digits, "score", lambda m, s, **how: whole_score(m, s, count=40, **how))
    monkeypatch.setattr(ddpm_digits, "quality", lambda *a, **k: whole_quality(*a, **{**k, "resamples": 20}))
    ways = {
        name: (ddpm_digits.RECIPE, {})
        for name in (ddpm_digits.CLOUDS, ddpm_digits.WALKED, "the recipe again")
    }
    monkeypatch.setitem(ddpm_digits.TABLES, "samplers", ways)
    monkeypatch.setitem(ddpm_digits.TABLES, "said", dict(list(ddpm_digits.SAID.items())[:2]))
    try:
        *_, first = ddpm_digits.race([0, 1], threads, ["samplers", "said"], tmp_path)
        monkeypatch.setattr(ddpm_digits, "contend", lambda *a, **k: pytest.fail("trained again"))
        *_, second = ddpm_digits.race([0, 1], threads, ["samplers", "said"], tmp_path)
    finally:
        torch.set_num_threads(threads)
    for table in ("rows", "samplers", "said", "lengths"):
        assert first[table] == second[table]
    assert [r["seed"] for r in first["rows"]] == [0, 1] and first["lengths"] == []
    clouds, walked, again = first["samplers"]
    assert again["distance"] == first["rows"][0]["distance"] != walked["distance"] != clouds["distance"]
    assert len({r["distance"] for r in first["said"]}) == 2


def test_the_numbers_to_meet() -> None:
    (line,) = stored()["summary"]
    assert line["worst_times_yardstick"] <= 3
    assert line["worst_imbalance"] <= 1.5
    assert line["longest_making"] < 10


def test_one_seed_begins_as_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed is picked by the hash of the code; its first steps are run again, as part of the whole."""
    result = stored()
    seed = result["seeds"][int(result["code"], 16) % len(result["seeds"])]
    own = (r for r in result["rows"] if r["contender"] == ddpm_digits.RECIPE)
    row = next(r for r in own if r["seed"] == seed)
    steps = ddpm_digits.OPENING
    monkeypatch.setattr(pictures, "train", lambda *a, **k: train(*a, **{**k, "steps": steps}))
    again = ddpm_digits.contend(seed)
    assert again.run.steps == steps
    assert ddpm_digits.opening(again) == pytest.approx(row["opening_loss"], rel=2e-3)
    found, _ = ddpm_digits.score(again.model, seed, count=300, kept=10)
    assert found.ratio < 40 and found.to_trained > 0.3  # on its way, and not by copying


def test_a_step_of_the_unet_costs_no_more_than_that_of_diffusers() -> None:
    result = json.loads((harness.RESULTS / "unet_race.json").read_text(encoding="utf-8"))
    assert result["code"] == harness.fingerprint(unet_race.CODE), "run python -m benchmarks.unet_race"
    (row,) = result["rows"]
    assert row["parameters_ours"] >= row["parameters_theirs"] and row["theirs_over_ours"] >= 1
