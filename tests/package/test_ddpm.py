"""The mathematics of chapter 7: schedule, tearing down, rotation, the exact sampler."""

from __future__ import annotations

import functools
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
import torch

import kexue_lite.training.batches as minibatches_module
from kexue_lite.ddpm import (
    Mixture,
    Recipe,
    Schedule,
    article_noise,
    ddim_sample,
    gaussian_noise,
    loss,
    noisy_batches,
    p_sample,
    picture_of,
    pictures,
    process,
    q_sample,
    removed_share,
    rotate,
    rotate_back,
    sample,
    sampled_variance,
    train_pictures,
    unit_noise,
    weight_of,
)
from kexue_lite.training import generator_for

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
SHAPES = [(2,), (8, 8), (3, 4, 5)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


# -- the schedule --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [21, 25, 100, 1000])
def test_the_schedule_is_the_article_s_in_exact_arithmetic(T: int) -> None:
    schedule = Schedule.article(T)
    product = Fraction(1)
    for t in range(1, T + 1):
        square = 1 - Fraction(2, 100) * Fraction(t, T) * Fraction(1000, T)
        product *= square
        for table, exact in (
            (schedule.alpha, square),
            (schedule.beta, 1 - square),
            (schedule.alpha_bar, product),
            (schedule.beta_bar, 1 - product),
        ):
            assert float(table[t]) ** 2 == pytest.approx(float(exact), rel=1e-12)
    assert float(schedule.alpha[0]) == float(schedule.alpha_bar[0]) == 1
    assert float(schedule.beta[0]) == float(schedule.beta_bar[0]) == 0
    assert torch.signbit(schedule.beta_bar[0]).item() is False


def test_the_numbers_of_the_article() -> None:
    assert float(Schedule.article(1000).alpha_bar[-1]) == pytest.approx(0.006482, abs=5e-7)
    left = [make(100, rescaled=False, most_signal=1).signal for make in (Schedule.article, Schedule.linear)]
    assert left == pytest.approx([0.362, 0.364], abs=5e-4)


@pytest.mark.parametrize("T", [2, 10, 20])
def test_a_road_of_twenty_steps_or_fewer_is_refused(T: int) -> None:
    with pytest.raises(ValueError, match="T must be larger than 20"):
        Schedule.article(T)
    with pytest.raises(ValueError, match="T must be larger than 20"):
        Schedule.linear(T)


def test_a_road_that_does_not_reach_noise_is_refused_with_what_remains() -> None:
    with pytest.raises(ValueError, match=r"does not reach noise: after its 100 steps 36.2 %"):
        Schedule.article(100, rescaled=False)
    with pytest.raises(ValueError, match=r"36.4 %"):
        Schedule.linear(100, rescaled=False)
    assert Schedule.article(100, rescaled=False, most_signal=0.37).T == 100
    for left, fine in ((0.0099, True), (0.0101, False)):  # one per cent is the limit
        alpha = torch.tensor([0.9, left / 0.9], dtype=torch.float64).sqrt()
        if fine:
            assert Schedule(alpha).signal == pytest.approx(left)
        else:
            with pytest.raises(ValueError, match=r"after its 2 steps 1\.01 % .*at most 1 % is allowed"):
                Schedule(alpha)


@pytest.mark.parametrize("T", [1, 0, -5, 2.5, True, "100"])
def test_a_bad_number_of_steps_is_refused(T: object) -> None:
    for make in (Schedule.article, Schedule.linear):
        with pytest.raises(ValueError, match="T must be a whole number of at least 2"):
            make(T)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("alpha", "words"),
    [
        ([0.5], "T at least 2"),
        ([], "T at least 2"),
        ([[0.5, 0.5]], "T at least 2"),
        ([0.5, 1.0], "got 1 at t = 2"),
        ([0.0, 0.5], "got 0 at t = 1"),
        ([0.5, float("nan")], "got nan at t = 2"),
        ([0.5, -0.1], "got -0.1 at t = 2"),
    ],
)
def test_bad_alphas_are_refused(alpha: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Schedule(torch.tensor(alpha), most_signal=1)
    with pytest.raises(TypeError, match="real numbers"):
        Schedule(torch.tensor([0.5 + 0j, 0.5]))


def test_fewer_steps_pass_through_the_same_points() -> None:
    full = Schedule.article(1000)
    for steps in (2, 7, 50, 999, 1000):
        short = full.every(steps)
        assert steps == short.T and int(short.times[-1]) == 1000 and int(short.times[0]) == 0
        assert torch.allclose(short.alpha_bar, full.alpha_bar[short.times], rtol=1e-12)
        assert torch.allclose(short.beta_bar, full.beta_bar[short.times], rtol=1e-11)
        assert torch.equal(short.every(2).times[-1:], full.times[-1:])
    assert torch.allclose(full.every(1000).alpha, full.alpha, rtol=1e-13)
    for bad in (1, 1001, 0, 2.0):
        with pytest.raises(ValueError, match="steps"):
            full.every(bad)  # type: ignore[arg-type]


def test_times_must_rise() -> None:
    alpha = torch.tensor([0.05, 0.05])
    assert Schedule(alpha, times=torch.tensor([3, 9])).times.tolist() == [0, 3, 9]
    for bad in ([9, 3], [0, 1], [1, 1], [1, 2, 3]):
        with pytest.raises(ValueError, match="times must"):
            Schedule(alpha, times=torch.tensor(bad))
    with pytest.raises(TypeError, match="whole"):
        Schedule(alpha, times=torch.tensor([1.0, 2.0]))


# -- the bridge to Ho's letters ------------------------------------------------------------------------------


def test_ho_s_tables_go_there_and_back() -> None:
    there = Schedule.article(300).to_ho()
    assert torch.allclose(there["alphas"] + there["betas"], torch.ones(300).double(), atol=1e-15)
    assert torch.allclose(there["alphas"].cumprod(0), there["alphas_cumprod"], rtol=1e-12)
    back = Schedule.from_ho(there["betas"])
    for name in ("alpha", "beta", "alpha_bar", "beta_bar"):
        assert torch.allclose(getattr(back, name), getattr(Schedule.article(300), name), rtol=1e-12)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_bad_betas_are_refused_by_their_own_name(bad: float) -> None:
    with pytest.raises(ValueError, match="betas must lie between 0 and 1"):
        Schedule.from_ho(torch.tensor([0.5, bad, 0.9]))


def test_a_line_that_falls_or_leaves_the_range_is_refused_with_the_right_limit() -> None:
    falling = Schedule.linear(100, first=0.02, last=1e-4)
    assert float(falling.beta[1]) ** 2 == pytest.approx(0.2) and float(falling.beta[100]) ** 2 < 0.002
    assert Schedule.linear(21, first=0.02, last=1e-4).T == 21
    with pytest.raises(ValueError, match=r"T must be larger than 20: .* would be 1 at T = 20"):
        Schedule.linear(20, first=0.02, last=1e-4)
    with pytest.raises(ValueError, match=r"first and last must be less than 1: they are β², got up to 1\.5"):
        Schedule.linear(100, last=1.5, rescaled=False)
    for name, bad in (("first", -0.1), ("last", float("nan"))):
        with pytest.raises(ValueError, match=name):
            Schedule.linear(100, **{name: bad})


def test_a_schedule_of_diffusers_is_ours_in_other_letters() -> None:
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    ours = Schedule.from_ho(theirs.betas)
    assert torch.allclose(ours.alpha_bar[1:].square().float(), theirs.alphas_cumprod, rtol=2e-5)
    assert torch.allclose(ours.to_ho()["betas"].float(), theirs.betas, rtol=1e-5)
    mine = diffusers.DDPMScheduler(trained_betas=Schedule.article(1000).to_ho()["betas"].numpy())
    x, noise, t = normal(4, 8, 8).float(), normal(4, 8, 8, seed=1).float(), torch.tensor([1, 10, 500, 1000])
    schedule = Schedule.article(1000)
    assert torch.allclose(mine.add_noise(x, noise, t - 1), q_sample(x, t, schedule, noise=noise), atol=1e-5)
    mine.set_timesteps(1000)
    mine.config.clip_sample = False
    for step in (1000, 500, 2):  # theirs counts from 0, and adds noise with the posterior's deviation
        out = mine.step(noise, step - 1, x, generator=seeded(3))
        z = torch.randn(x.shape, generator=seeded(3))
        model = lambda x, t: noise  # noqa: E731
        back = p_sample(model, x, step, schedule, sigma="posterior", noise=z)
        assert torch.allclose(out.prev_sample, back, atol=2e-4)  # their tables are single precision
        picture = picture_of(x, noise, torch.full((4,), step), schedule)
        assert torch.allclose(out.pred_original_sample, picture, rtol=1e-3, atol=1e-3)


# -- tearing down --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_all_steps_in_one_are_the_steps_one_after_another(shape: tuple[int, ...]) -> None:
    schedule, x0 = Schedule.article(30), normal(3, *shape)
    x, bar = x0, torch.zeros_like(x0)
    for t in range(1, 31):
        eps = normal(3, *shape, seed=t)
        x = schedule.alpha[t] * x + schedule.beta[t] * eps
        bar = (
            schedule.alpha[t] * schedule.beta_bar[t - 1] * bar + schedule.beta[t] * eps
        ) / schedule.beta_bar[t]
        assert torch.allclose(x, q_sample(x0, torch.full((3,), t), schedule, noise=bar), atol=1e-12)


def test_rows_have_times_of_their_own_and_keep_type_and_device() -> None:
    schedule, x = Schedule.article(100), normal(4, 2)
    t = torch.tensor([1, 7, 50, 100])
    noise = normal(4, 2, seed=1)
    together = q_sample(x, t, schedule, noise=noise)
    for k in range(4):
        alone = q_sample(x[k : k + 1], t[k : k + 1], schedule, noise=noise[k : k + 1])
        assert torch.equal(together[k : k + 1], alone)
    assert q_sample(x.float(), t, schedule).dtype == torch.float32
    assert q_sample(x.half(), t, schedule).dtype == torch.float16
    assert torch.equal(
        q_sample(x, t, schedule, generator=seeded(5)), q_sample(x, t, schedule, generator=seeded(5))
    )


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_is_that_of_the_data(device: str) -> None:
    schedule, x = Schedule.article(100), normal(4, 2).float().to(device)
    t = torch.tensor([1, 7, 50, 100])
    assert q_sample(x, t, schedule).device == x.device
    assert loss(lambda x, t: x, x, schedule, generator=seeded()).device == x.device
    model = lambda x, t: 0 * x  # noqa: E731
    for generator in (seeded(), torch.Generator(device).manual_seed(0)):  # on the CPU, too
        assert sample(model, x, schedule, generator=generator).device == x.device
        assert p_sample(model, x, 5, schedule, generator=generator).device == x.device
        cloud = Mixture(torch.zeros(2, 2, device=device), 0.1)
        assert cloud.sample(3, generator=generator).device == x.device
    assert cloud.noise_model(schedule)(x, t).device == x.device
    assert ddim_sample(model, x, schedule).device == x.device
    assert rotate(x, x, t, schedule)[0].device == x.device
    for part in noisy_batches(x, schedule, batch_size=2, seed=0)(0):
        assert part.device == x.device


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_torn_down_and_built_up_but_the_loss_is_wide(dtype: torch.dtype) -> None:
    """Weights up to 1/ᾱ_T² = 10⁶ and more would be infinite in float16."""
    schedule, x, t = Schedule.article(25), normal(4, 2), torch.tensor([1, 7, 20, 25])
    noise, model = normal(4, 2, seed=1), lambda x, t: 0.5 * x
    weight = weight_of("velocity", schedule)
    assert float(weight.max()) > 65504
    narrow = loss(model, x.to(dtype), schedule, t=t, noise=noise.to(dtype), weight=weight)
    wide = loss(model, x, schedule, t=t, noise=noise, weight=weight)
    assert narrow.dtype == torch.float32
    assert torch.allclose(narrow.double(), wide, rtol=0.1)
    assert loss(model, x, schedule, t=t).dtype == torch.float64
    made = sample(model, x.to(dtype), schedule, generator=seeded())
    assert made.dtype == dtype and bool(made.isfinite().all())


@pytest.mark.parametrize(
    ("t", "error", "words"),
    [
        ([0, 1], ValueError, "t must lie in 1, ..., 100, got 0 to 1"),
        ([1, 101], ValueError, "got 1 to 101"),
        ([1], ValueError, r"shape \(2,\)"),
        ([[1], [2]], ValueError, r"shape \(2,\)"),
        ([1.0, 2.0], TypeError, "whole numbers"),
        ([True, True], TypeError, "whole numbers"),
    ],
)
def test_bad_times_are_refused(t: list, error: type, words: str) -> None:
    x, schedule = torch.ones(2, 3), Schedule.article(100)
    for call in (q_sample, article_noise, unit_noise):
        with pytest.raises(error, match=words):
            call(x, torch.tensor(t), schedule)
    with pytest.raises(error, match=words):
        loss(lambda x, t: x, x, schedule, t=torch.tensor(t))


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.full((2, 3), float("nan")), ValueError, "x must be finite"),
        (torch.full((2, 3), float("inf")), ValueError, "x must be finite"),
        (torch.ones(2, 3, dtype=torch.int64), TypeError, "floating-point"),
        (torch.ones(3), ValueError, r"shape \(B, ...\)"),
        (torch.ones(0, 3), ValueError, "B at least 1"),
        (np.ones((2, 3)), TypeError, "torch tensor"),
    ],
)
def test_bad_data_are_refused(x: object, error: type, words: str) -> None:
    schedule = Schedule.article(100)
    with pytest.raises(error, match=words):
        loss(lambda x, t: x, x, schedule)  # type: ignore[arg-type]
    with pytest.raises(error, match=words):
        noisy_batches(x, schedule, batch_size=1, seed=0)  # type: ignore[arg-type]


def test_noise_and_models_of_another_shape_are_refused() -> None:
    x, schedule, t = torch.ones(2, 3), Schedule.article(100), torch.tensor([1, 2])
    with pytest.raises(ValueError, match=r"noise must be a tensor of the shape of x, \(2, 3\), got \(3,\)"):
        q_sample(x, t, schedule, noise=torch.ones(3))
    for wrong in (lambda x, t: x[:, :2], lambda x, t: None, lambda x, t: x[:1]):
        for call in (
            lambda m: loss(m, x, schedule),
            lambda m: sample(m, x, schedule),
            lambda m: ddim_sample(m, x, schedule),
            lambda m: p_sample(m, x, 3, schedule),
        ):
            with pytest.raises(
                ValueError, match=r"model must return a tensor of the shape of its input, \(2, 3\)"
            ):
                call(wrong)


# -- the rotation, by symbols and by numbers -----------------------------------------------------------------


def test_the_rotation_by_symbols() -> None:
    a, bar = sp.symbols("alpha abar", positive=True)  # α_t and ᾱ_{t−1}
    b, before, after = sp.sqrt(1 - a**2), sp.sqrt(1 - bar**2), sp.sqrt(1 - a**2 * bar**2)
    matrix = sp.Matrix([[a * before / after, b / after], [b / after, -a * before / after]])
    assert sp.simplify(matrix * matrix.T) == sp.eye(2)
    assert sp.simplify(matrix * matrix) == sp.eye(2)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rotation_keeps_x_and_turns_back(shape: tuple[int, ...]) -> None:
    schedule, t = Schedule.article(1000), torch.tensor([1, 2, 300, 1000])
    x0, before, last = (normal(4, *shape, seed=k) for k in range(3))
    eps, omega = rotate(before, last, t, schedule)
    at = lambda table: schedule.at(table, t, x0)  # noqa: E731
    at_before = lambda table: schedule.at(table.roll(1), t, x0)  # noqa: E731
    by_two = at(schedule.alpha_bar) * x0 + at(schedule.alpha) * at_before(schedule.beta_bar) * before
    by_two = by_two + at(schedule.beta) * last
    assert torch.allclose(q_sample(x0, t, schedule, noise=eps), by_two, atol=1e-12)
    again = rotate_back(eps, omega, t, schedule)
    assert torch.allclose(again[0], before, atol=1e-12) and torch.allclose(again[1], last, atol=1e-12)
    formula = (at(schedule.beta) * eps - at(schedule.alpha) * at_before(schedule.beta_bar) * omega) / at(
        schedule.beta_bar
    )
    assert torch.allclose(formula, last, atol=1e-12)


def test_what_is_removed_is_what_no_model_can_know() -> None:
    schedule = Schedule.article(1000)
    assert removed_share(schedule, 300) == pytest.approx(0.9899, abs=5e-5)
    assert removed_share(schedule, 1) == 0
    for t in (2, 300, 1000):  # cos² + sin² = 1
        assert removed_share(schedule, t) == pytest.approx(
            1 - float((schedule.beta[t] / schedule.beta_bar[t]) ** 2), abs=1e-12
        )
    # Measured: regress ε_t on ε, the residual is what remains along ω.
    before, last = normal(200_000, 1), normal(200_000, 1, seed=1)
    eps, _ = rotate(before, last, torch.full((200_000,), 300), schedule)
    slope = (eps * last).mean() / (eps * eps).mean()
    assert float((last - slope * eps).var()) == pytest.approx(0.9899, abs=0.01)
    with pytest.raises(ValueError, match="t must lie in"):
        removed_share(schedule, 1001)


def test_the_article_s_noise_is_the_paper_s_times_its_share() -> None:
    schedule, t, noise = Schedule.article(1000), torch.tensor([1, 300, 1000]), normal(3, 4)
    assert torch.allclose(unit_noise(article_noise(noise, t, schedule), t, schedule), noise, atol=1e-14)
    assert torch.allclose(
        article_noise(noise, t, schedule)[0], noise[0], atol=1e-12
    )  # one step: the same noise
    # The article's μ = (x − β ε_θ)/α and the paper's are the same step.
    x = normal(3, 4, seed=1)
    for k, step in enumerate(t.tolist()):
        mu = (
            x - schedule.beta[step] * article_noise(noise, torch.full((3,), step), schedule)
        ) / schedule.alpha[step]
        ours = p_sample(lambda x, t: noise, x, step, schedule, sigma="none")
        assert torch.allclose(mu, ours, atol=1e-12), k


# -- the loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["noise", "article", "mean", "picture", "velocity"])
def test_a_weight_makes_the_loss_another_loss(kind: str) -> None:
    schedule, x0, noise = Schedule.article(100), normal(5, 6), normal(5, 6, seed=1)
    t = torch.tensor([2, 10, 40, 90, 100])
    guess = normal(5, 6, seed=2)
    x = q_sample(x0, t, schedule, noise=noise)
    at = {n: schedule.at(getattr(schedule, n), t, x) for n in ("alpha", "beta", "alpha_bar", "beta_bar")}

    def said(eps: torch.Tensor) -> torch.Tensor:
        picture = (x - at["beta_bar"] * eps) / at["alpha_bar"]
        return {
            "noise": eps,
            "article": eps * at["beta"] / at["beta_bar"],
            "mean": (x - at["beta"] ** 2 / at["beta_bar"] * eps) / at["alpha"],
            "picture": picture,
            "velocity": (at["alpha_bar"] * eps - at["beta_bar"] * picture),
        }[kind]

    expected = (said(guess) - said(noise)).square().mean(1)
    if kind == "velocity":  # for a given x_t: v = (ε − β̄ x)/ᾱ, so errors are multiplied by 1/ᾱ
        assert torch.allclose(said(guess), (guess - at["beta_bar"] * x) / at["alpha_bar"], atol=1e-9)
    got = loss(lambda x, t: guess, x0, schedule, t=t, noise=noise, weight=weight_of(kind, schedule))
    assert torch.allclose(got, expected, rtol=1e-9)


def test_left_to_itself_the_loss_draws_every_t_alike() -> None:
    schedule, asked = Schedule.article(30), []

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(t)
        return x

    loss(model, torch.zeros(30_000, 2), schedule, generator=seeded())
    counts = torch.bincount(asked[0], minlength=32)
    assert counts[0] == counts[31] == 0 and counts.sum() == 30_000
    assert float(((counts[1:31] - 1000) / 1000**0.5).abs().max()) < 4


def test_a_shortened_schedule_asks_the_model_for_the_times_it_knows() -> None:
    schedule, asked = Schedule.article(1000).every(4), []

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(t.tolist())
        return x

    loss(model, torch.zeros(4, 2), schedule, t=torch.tensor([1, 2, 3, 4]))
    assert asked == [[250, 500, 750, 1000]]


def test_weights_are_checked() -> None:
    schedule, x = Schedule.article(100), torch.ones(2, 3)
    for weight in (torch.ones(100), [1.0] * 101, torch.full((101,), -1.0), torch.full((101,), float("nan"))):
        with pytest.raises(ValueError, match="weight must be"):
            loss(lambda x, t: x, x, schedule, weight=weight)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kind must be one of noise, article"):
        weight_of("eps", schedule)


def test_the_best_model_has_the_least_loss() -> None:
    schedule = Schedule.article(100)
    cloud = Mixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=torch.float64), 0.2)
    x, t = cloud.sample(20_000, generator=seeded()), torch.full((20_000,), 40)
    noise, exact = normal(20_000, 2, seed=1), cloud.noise_model(schedule)
    best = loss(exact, x, schedule, t=t, noise=noise).mean()
    for other in (
        lambda x, t: 0.95 * exact(x, t),
        lambda x, t: exact(x, t) + 0.05,
        lambda x, t: gaussian_noise(x, t, schedule, variance=float(cloud.spread**2) + 1),
    ):
        assert loss(other, x, schedule, t=t, noise=noise).mean() > best + 1e-4


def test_batches_are_functions_of_the_step_and_times_are_spread() -> None:
    schedule, x = Schedule.article(50), normal(100, 2).float()
    batches = noisy_batches(x, schedule, batch_size=50, seed=3)
    later = batches(5)
    assert all(
        torch.equal(a, b)
        for a, b in zip(later, noisy_batches(x, schedule, batch_size=50, seed=3)(5), strict=True)
    )
    assert torch.equal(later[1].sort().values, torch.arange(1, 51))  # as many as steps: each once
    assert not torch.equal(later[2], batches(6)[2])
    assert not torch.equal(later[2], noisy_batches(x, schedule, batch_size=50, seed=4)(5)[2])
    everything = torch.cat([batches(k)[2] for k in range(200)])
    assert abs(float(everything.mean())) < 0.02 and abs(float(everything.var()) - 1) < 0.03
    with pytest.raises(ValueError, match="batch_size"):
        noisy_batches(x, schedule, batch_size=101, seed=0)
    for bad in (-1, 2**31, 1.5):
        with pytest.raises(ValueError, match="seed must"):
            noisy_batches(x, schedule, batch_size=2, seed=bad)  # type: ignore[arg-type]
    for chances, words in (
        (torch.ones(51), "0 at t = 0"),
        (torch.zeros(51), "positive somewhere"),
        (torch.ones(50), r"chances must be a tensor of shape \(51,\)"),
        (-torch.eye(51)[3], "chances must be finite and not negative"),
    ):
        with pytest.raises(ValueError, match=words):
            noisy_batches(x, schedule, batch_size=2, seed=0, chances=chances)


def test_times_are_drawn_by_their_chances_alone() -> None:
    schedule, x = Schedule.article(50), torch.zeros(64, 2)
    chances = torch.zeros(51)
    chances[1], chances[7], chances[50] = 1.0, 2.0, 1.0
    batches = noisy_batches(x, schedule, batch_size=64, seed=0, chances=chances)
    counts = sum(torch.bincount(batches(k)[1], minlength=51) for k in range(20))
    assert counts.nonzero().flatten().tolist() == [1, 7, 50]
    assert (counts[[1, 7, 50]] / counts.sum()).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.01)
    # Not always the same places: with one row the time is drawn freely.
    alone = noisy_batches(x[:1], schedule, batch_size=1, seed=0)
    seen = torch.cat([alone(k)[1] for k in range(500)])
    assert seen.unique().tolist() == list(range(1, 51))


def test_streams_of_random_numbers_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two draws of any two seeds begin at the same (seed, step): neighbours, and the ends of the range."""
    asked: list[tuple[int, int]] = []

    def spy(seed: int, step: int, **options: object) -> torch.Generator:
        asked.append((seed, step))
        return generator_for(seed, step, **options)  # type: ignore[arg-type]

    for module in (process, pictures, minibatches_module):
        monkeypatch.setattr(module, "generator_for", spy)
    images = torch.rand(8, 8, 8, generator=seeded())
    recipe = Recipe(T=30, channels=(4,), clouds=2, steps=6, batch_size=4, kept=3)
    seeds = (0, 1, 2, 2**30, 2**30 + 1, 2**31 - 1)
    for seed in seeds:
        train_pictures(images, recipe=recipe, seed=seed)
    # Weights, P_t, 3 epochs of order, 6 steps of noise: for each seed each of them once.
    each = [2 + 3 + 6 for _ in seeds]
    assert len(set(asked)) == sum(each) and all(0 <= part < 2**32 for pair in asked for part in pair)
    with pytest.raises(ValueError, match="seed must be less than 2147483648"):
        train_pictures(images, recipe=recipe, seed=2**31)


# -- building up: the exact test of the sampler --------------------------------------------------------------


def test_the_three_variances() -> None:
    schedule = Schedule.article(1000)
    found = [sampled_variance(schedule, sigma=s) for s in ("beta", "posterior", "none")]
    assert found == pytest.approx([1.0, 0.9912, 4.2e-5], abs=5e-5)
    assert found[0] == pytest.approx(1, abs=1e-12)
    # σ = 0 leaves the product of all α²: what is taken away is never put back.
    assert found[2] == pytest.approx(schedule.signal, rel=1e-9)
    # The posterior's σ is right for a single point: nothing is left of the noise.
    assert sampled_variance(schedule, variance=0.0, sigma="posterior") == pytest.approx(0, abs=1e-12)
    assert sampled_variance(schedule, variance=0.0, sigma="beta") > 1e-5


@pytest.mark.parametrize("sigma", ["beta", "posterior", "none"])
@pytest.mark.parametrize("variance", [0.25, 1.0])
def test_the_recursion_is_what_the_sampler_does(sigma: str, variance: float) -> None:
    schedule = Schedule.article(60)
    model = lambda x, t: gaussian_noise(x, t, schedule, variance=variance)  # noqa: E731
    # One direction for x_T and one for each z: the sampler is a linear map, whose rows are read off.
    start = torch.zeros(61, 61, dtype=torch.float64)
    start[60, 60] = 1.0
    unit = torch.eye(61, dtype=torch.float64)
    made = sample(
        model, start, schedule, sigma=sigma, last_noise=True,
        noise=lambda t: unit[:, t - 1 : t] * unit[t - 1 : t, :],
    )  # fmt: skip
    total = float(made.diagonal().square().sum())
    assert total == pytest.approx(sampled_variance(schedule, variance=variance, sigma=sigma), rel=1e-9)


def test_sampled_pictures_have_the_variance_that_was_computed() -> None:
    schedule, x = Schedule.article(50), normal(40_000, 1)
    model = lambda x, t: gaussian_noise(x, t, schedule)  # noqa: E731
    for sigma in ("beta", "posterior", "none"):
        made = sample(model, x, schedule, sigma=sigma, last_noise=True, generator=seeded(1))
        assert float(made.var()) == pytest.approx(sampled_variance(schedule, sigma=sigma), abs=0.02)


def test_the_last_step_adds_nothing_unless_asked() -> None:
    schedule, x = Schedule.article(30), normal(5, 2)
    model = lambda x, t: gaussian_noise(x, t, schedule)  # noqa: E731
    zs = {t: normal(5, 2, seed=t) for t in range(1, 31)}
    quiet = sample(model, x, schedule, noise=zs.__getitem__)
    loud = sample(model, x, schedule, noise=zs.__getitem__, last_noise=True)
    assert torch.allclose(loud - quiet, schedule.beta[1] * zs[1], atol=1e-12)
    by_hand = x
    for t in range(30, 0, -1):
        by_hand = p_sample(model, by_hand, t, schedule, noise=zs[t])
    assert torch.allclose(by_hand, loud, atol=1e-12)
    # What the seed of t = 1 is cannot matter where it is not used.
    assert torch.equal(quiet, sample(model, x, schedule, noise=lambda t: zs[t] if t > 1 else zs[2]))


def test_a_clip_that_is_never_reached_changes_nothing() -> None:
    schedule, x = Schedule.article(40), normal(50, 2)
    model = lambda x, t: gaussian_noise(x, t, schedule)  # noqa: E731
    for make in (
        lambda **k: sample(model, x, schedule, generator=seeded(), **k),
        lambda **k: ddim_sample(model, x, schedule, **k),
        lambda **k: p_sample(model, x, 20, schedule, generator=seeded(), **k),
    ):
        assert torch.allclose(make(), make(clip=(-1e9, 1e9)), atol=1e-9)
    clipped = ddim_sample(model, 3 * x, schedule, clip=(-0.5, 0.5))
    assert float(clipped.abs().max()) <= 0.5
    for bad in ((1, 0), (0, 0), (0, float("nan")), (torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.5]))):
        with pytest.raises(ValueError, match="clip must be a pair"):
            sample(model, x, schedule, clip=bad)
    for bad in ((0,), (0, 1, 2), 3.0, ("a", "b"), (None, 1)):
        with pytest.raises(TypeError, match="clip must be a pair"):
            ddim_sample(model, x, schedule, clip=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("t", [1, 2, 17, 40])
def test_a_clipped_step_is_the_mean_between_x_and_the_clipped_picture(t: int) -> None:
    """Ho's equation 7: the mean of x_{t−1} given x_t and x_0, in our letters, with x̂_0 after the clip."""
    schedule, picture, noise = Schedule.article(40), normal(50, 3), normal(50, 3, seed=1)
    x = q_sample(picture, torch.full((50,), t), schedule, noise=noise)
    model = lambda x, t: noise  # noqa: E731
    low, high = torch.tensor([-0.5, -0.1, 0.0]), torch.tensor([0.4, 0.2, 1.0])
    alpha, beta, bar, before, bar_alpha = (
        float(v)
        for v in (
            schedule.alpha[t], schedule.beta[t], schedule.beta_bar[t], schedule.beta_bar[t - 1],
            schedule.alpha_bar[t - 1],
        )
    )  # fmt: skip
    held = torch.minimum(torch.maximum(picture, low.double()), high.double())
    assert 20 < int((held == picture).sum()) < 130  # some reach the bounds
    expected = alpha * before**2 / bar**2 * x + bar_alpha * beta**2 / bar**2 * held
    got = p_sample(model, x, t, schedule, sigma="none", clip=(low, high))
    assert torch.allclose(got, expected, atol=1e-10)
    if t > 1:  # and the deterministic step: the noise is what lies between x_t and the clipped picture
        rest = (x - alpha * bar_alpha * held) / bar
        road = Schedule(schedule.alpha[1 : t + 1], most_signal=1)
        (last,) = ddim_sample(model, x, road, clip=(low, high), film=[t - 1])
        assert torch.allclose(last, bar_alpha * held + before * rest, atol=1e-10)


def test_the_deterministic_sampler_converges_to_the_map_of_the_flow() -> None:
    """For Gaussian data the flow is x_0 = mean + s x_T (up to ᾱ_T): error falls with the step, order one."""
    errors = []
    for T in (200, 400, 800):
        schedule = Schedule.article(T)
        model = functools.partial(gaussian_noise, schedule=schedule, mean=0.3, variance=0.25)
        x = torch.tensor([[1.7]], dtype=torch.float64)
        last = float(schedule.alpha_bar[-1]), float(schedule.beta_bar[-1])
        exact = 0.3 + 0.5 * (1.7 - last[0] * 0.3) / math.hypot(0.5 * last[0], last[1])
        errors.append(abs(float(ddim_sample(model, x, schedule)) - exact))
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert all(0.8 < order < 1.2 for order in orders) and errors[-1] < 5e-3


def test_the_deterministic_sampler_draws_nothing_and_fewer_steps_use_the_old_times() -> None:
    schedule, x = Schedule.article(1000), normal(4, 2)
    asked: list[int] = []

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(int(t[0]))
        return gaussian_noise(x, t, schedule)

    state = torch.get_rng_state()
    made = ddim_sample(model, x, schedule.every(5))
    assert torch.equal(torch.get_rng_state(), state) and asked == [1000, 800, 600, 400, 200]
    assert torch.equal(made, ddim_sample(model, x, schedule.every(5)))
    assert torch.isfinite(made).all()


def test_sampling_keeps_no_graph() -> None:
    """A thousand steps of gradients would fill the memory."""
    scale = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    for make in (sample, ddim_sample):
        assert not make(lambda x, t: scale * x, normal(2, 2), Schedule.article(30)).requires_grad


def test_the_film_shows_what_was_on_the_way() -> None:
    schedule, x = Schedule.article(30), normal(5, 2)
    model = lambda x, t: gaussian_noise(x, t, schedule)  # noqa: E731
    for make in (
        lambda **k: sample(model, x, schedule, generator=seeded(), **k),
        lambda **k: ddim_sample(model, x, schedule, **k),
    ):
        film = make(film=[20, 0, 29])
        assert film.shape == (3, 5, 2) and torch.equal(film[1], make())
        with pytest.raises(ValueError, match="film must lie in"):
            make(film=[30])
    zs, by_hand = {t: normal(5, 2, seed=t) for t in range(1, 31)}, [x]
    for t in range(30, 0, -1):
        by_hand.append(p_sample(model, by_hand[-1], t, schedule, noise=zs[t]))
    film = sample(model, x, schedule, noise=zs.__getitem__, last_noise=True, film=range(30))
    assert torch.allclose(film, torch.stack(by_hand[:0:-1]), atol=1e-12)


def test_no_pictures_are_no_error_and_nan_is() -> None:
    schedule = Schedule.article(30)
    nothing = torch.zeros(0, 8, 8)
    never = lambda x, t: pytest.fail("the model was asked")  # noqa: E731
    assert sample(never, nothing, schedule).shape == (0, 8, 8)
    assert ddim_sample(never, nothing, schedule, film=[3, 0]).shape == (2, 0, 8, 8)
    with pytest.raises(FloatingPointError, match="no longer finite at t = 29"):
        sample(lambda x, t: x * float("nan"), torch.ones(2, 2), schedule)
    with pytest.raises(ValueError, match="x must be finite"):
        sample(lambda x, t: x, torch.full((2, 2), float("nan")), schedule)
    with pytest.raises(ValueError, match="sigma must be one of beta, posterior, none"):
        sample(lambda x, t: x, torch.ones(2, 2), schedule, sigma="big")
    with pytest.raises(ValueError, match="t must lie in"):
        p_sample(lambda x, t: x, torch.ones(2, 2), 31, schedule)
    for t in (0, -1, 1.0, True, torch.tensor(3)):
        with pytest.raises(ValueError, match="t must be a whole number of at least 1"):
            p_sample(lambda x, t: x, torch.ones(2, 2), t, schedule)  # type: ignore[arg-type]
    for call in (sample, ddim_sample):
        for film in ([-1], [1.0], [True]):
            with pytest.raises(ValueError, match="film must be a whole number"):
                call(lambda x, t: x, torch.ones(2, 2), schedule, film=film)
        with pytest.raises(TypeError, match="floating-point"):
            call(lambda x, t: x, torch.ones(2, 2, dtype=torch.int64), schedule)


# -- the exact models ----------------------------------------------------------------------------------------


def test_a_cloud_is_a_mixture_of_one() -> None:
    schedule, x, t = Schedule.article(100), normal(6, 3), torch.tensor([1, 5, 20, 50, 80, 100])
    one = Mixture(torch.full((1, 3), 0.7, dtype=torch.float64), 0.4).noise_model(schedule)
    assert torch.allclose(one(x, t), gaussian_noise(x, t, schedule, mean=0.7, variance=0.16), atol=1e-12)


def test_the_exact_noise_is_the_slope_of_the_density() -> None:
    """ε* = −β̄ ∇ log p(x_t) (Tweedie): by autograd on torch.distributions."""
    schedule = Schedule.article(100)
    centres = normal(4, 2, seed=3)
    shares = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    cloud = Mixture(centres, 0.3, shares)
    for step in (1, 30, 100):
        keep, noise = schedule.alpha_bar[step], schedule.beta_bar[step]
        spread = (keep**2 * 0.09 + noise**2).sqrt()
        density = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(shares),
            torch.distributions.Independent(torch.distributions.Normal(keep * centres, spread), 1),
        )
        x = normal(7, 2, seed=4).requires_grad_()
        (slope,) = torch.autograd.grad(density.log_prob(x).sum(), x)
        exact = cloud.noise_model(schedule)(x.detach(), torch.full((7,), step))
        assert torch.allclose(exact, -noise * slope, atol=1e-10)


def test_the_sampler_with_the_exact_noise_makes_the_mixture() -> None:
    schedule = Schedule.article(200)
    centres = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.5]], dtype=torch.float64)
    cloud = Mixture(centres, 0.1, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))
    made = sample(cloud.noise_model(schedule), normal(4000, 2), schedule, generator=seeded(1))
    distances, of = torch.cdist(made, centres).min(1)
    assert (torch.bincount(of, minlength=3) / 4000).tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.04)
    assert float(distances.square().mean()) == pytest.approx(0.02, abs=0.004)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.zeros(2), 0.1), "centres must"),
        ((torch.zeros(0, 2), 0.1), "centres must"),
        ((torch.full((1, 2), float("nan")), 0.1), "finite"),
        ((torch.zeros(1, 2), -0.1), "spread"),
        ((torch.zeros(2, 2), 0.1, torch.tensor([1.0, 0.0])), "shares"),
        ((torch.zeros(2, 2), 0.1, torch.tensor([1.0])), "shares"),
        ((torch.zeros(2, 2, dtype=torch.int64), 0.1), "centres must be a floating-point"),
    ],
)
def test_bad_mixtures_are_refused(arguments: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Mixture(*arguments)


def test_exact_models_refuse_other_data_and_make_no_points() -> None:
    cloud, schedule = Mixture(torch.zeros(2, 2), 0.1), Schedule.article(30)
    model, t = cloud.noise_model(schedule), torch.ones(3, dtype=torch.int64)
    for x, words in (
        (torch.zeros(3, 5), r"x must have shape \(B, 2\)"),
        (torch.full((3, 2), math.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=words):
            model(x, t)
    for call in (model, lambda x, t: gaussian_noise(x, t, schedule)):
        with pytest.raises(TypeError, match="floating-point"):
            call(torch.zeros(3, 2, dtype=torch.int64), t)
        with pytest.raises(ValueError, match="t must lie in"):
            call(torch.zeros(3, 2), t + 30)
    assert cloud.sample(0).shape == (0, 2)
    with pytest.raises(ValueError, match="count"):
        cloud.sample(-1)


@pytest.mark.parametrize(("T", "steps"), [(100, 3), (1000, 7), (30, 29), (50, 50)])
def test_the_times_that_are_kept_are_the_nearest_to_an_even_spread(T: int, steps: int) -> None:
    times = Schedule.article(T).every(steps).times.double()
    even = torch.linspace(0, T, steps + 1, dtype=torch.float64)
    assert float((times - even).abs().max()) <= 0.5 and times[-1] == T
