"""Networks of chapter 7, what they predict, and how what they make is judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from kexue_lite.data import digits
from kexue_lite.ddpm import (
    Denoiser,
    Mixture,
    NoiseModel,
    Quality,
    Schedule,
    TimeFeatures,
    UNet,
    loss,
    nearest,
    noisy_batches,
    p_sample,
    picture_of,
    q_sample,
    quality,
)
from kexue_lite.networks import frechet_distance, judge
from kexue_lite.training import Checkpoint, train

SCHEDULE = Schedule.article(100)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Says(nn.Module):
    """A network that says what it was told to."""

    def __init__(self, words: torch.Tensor) -> None:
        super().__init__()
        self.words = words

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.words


# -- what is predicted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (8, 8)])
@pytest.mark.parametrize("kind", ["noise", "picture", "velocity", "mean"])
def test_a_network_that_is_right_predicts_the_noise(kind: str, shape: tuple[int, ...]) -> None:
    t = torch.tensor([1, 2, 40, 80, 100])
    x0, noise = (torch.randn(5, *shape, generator=seeded(k), dtype=torch.float64) for k in (0, 1))
    x = q_sample(x0, t, SCHEDULE, noise=noise)
    at = {n: SCHEDULE.at(getattr(SCHEDULE, n), t, x) for n in ("alpha", "beta", "alpha_bar", "beta_bar")}
    step_back = (x - at["beta"] ** 2 / at["beta_bar"] * noise) / at["alpha"]
    last = p_sample(lambda x, t: noise[4:], x[4:], 100, SCHEDULE, sigma="none")
    assert torch.allclose(step_back[4:], last, atol=1e-12)
    words = {
        "noise": noise,
        "picture": x0,
        "velocity": at["alpha_bar"] * noise - at["beta_bar"] * x0,
        "mean": step_back - x,
    }[kind]
    model = NoiseModel(Says(words), SCHEDULE, kind=kind).double()
    # The tables are single precision: 1/β̄ magnifies its rounding at small t.
    assert torch.allclose(model(x, t), noise, atol=1e-5)
    assert not list(model.parameters()) and not model.state_dict()


@pytest.mark.parametrize("kind", ["noise", "picture", "velocity", "mean"])
@pytest.mark.parametrize(
    ("t", "error"), [([0, 1], ValueError), ([1, 101], ValueError), ([-1, 1], ValueError),
                     ([1], ValueError), ([1.0, 2.0], TypeError), ([True, True], TypeError)],
)  # fmt: skip
def test_noise_models_refuse_bad_times(kind: str, t: list, error: type) -> None:
    with pytest.raises(error, match="t must"):
        NoiseModel(Says(torch.ones(2, 2)), SCHEDULE, kind=kind)(torch.ones(2, 2), torch.tensor(t))


@pytest.mark.parametrize("name", ["dense", "unet"])
def test_networks_have_shapes_where_nothing_is_computed(name: str) -> None:
    net = NoiseModel(NETS[name](seeded()), SCHEDULE).to("meta")
    x = torch.zeros(3, 8, 8, device="meta")
    out = net.network(x, torch.ones(3, dtype=torch.int64, device="meta"))
    assert out.is_meta and out.shape == x.shape and net.of_x.is_meta


def test_bad_noise_models_are_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of noise, picture, velocity, mean"):
        NoiseModel(Denoiser((2,), T=100), SCHEDULE, kind="eps")
    with pytest.raises(ValueError, match="not a shortened one"):
        NoiseModel(Denoiser((2,), T=100), SCHEDULE.every(10))
    with pytest.raises(ValueError, match="model must return"):
        NoiseModel(Says(torch.ones(2)), SCHEDULE)(torch.ones(3, 2), torch.ones(3, dtype=torch.int64))


# -- the networks --------------------------------------------------------------------------------------------

NETS = {
    "dense": lambda g: Denoiser((8, 8), T=100, width=32, depth=2, generator=g),
    "unet": lambda g: UNet(size=8, T=100, channels=(8, 16), time=16, generator=g),
    "unet of three": lambda g: UNet(size=8, T=100, channels=(4, 6, 10), time=16, generator=g),
    "unet of one": lambda g: UNet(size=8, T=100, channels=(6,), time=16, generator=g),
}


def stirred(net: nn.Module) -> nn.Module:
    """Networks begin as zero: give every weight a value."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded(9)))
    return net.eval()


@pytest.mark.parametrize("name", NETS)
def test_networks_begin_as_zero_and_come_from_their_generator(name: str) -> None:
    x, t = torch.randn(3, 8, 8, generator=seeded()), torch.tensor([1, 50, 100])
    state = torch.get_rng_state()
    one, two, other = (NETS[name](seeded(k)) for k in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert float(one(x, t).detach().abs().max()) == 0
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", NETS)
def test_rows_do_not_see_one_another_and_time_is_seen(name: str) -> None:
    net = stirred(NETS[name](seeded()))
    x, t = torch.randn(3, 8, 8, generator=seeded()), torch.tensor([1, 50, 100])
    together = net(x, t)
    assert together.shape == x.shape and together.dtype == x.dtype
    for k in range(3):
        assert torch.allclose(net(x[k : k + 1], t[k : k + 1]), together[k : k + 1], atol=1e-5)
    assert not torch.allclose(net(x, t.flip(0))[0], together[0], atol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_every_weight_is_reached_by_a_gradient(name: str) -> None:
    net = stirred(NETS[name](seeded()))
    x = torch.randn(4, 8, 8, generator=seeded())
    loss(net, x, SCHEDULE, generator=seeded()).mean().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, key


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("shape", [(3, 9, 9), (3, 1, 8, 8), (3, 64), (3, 8, 7)])
def test_pictures_of_another_size_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x must have shape \(B, 8, 8\)"):
        NETS[name](seeded())(torch.zeros(shape), torch.ones(3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: UNet(size=7, T=100), "size must be divisible by 2"),
        (lambda: UNet(size=12, T=100, channels=(4, 4, 4, 4)), "divisible by 8"),
        (lambda: UNet(T=100, channels=()), "channels must name"),
        (lambda: UNet(T=100, channels=(0, 4)), r"channels\[0\]"),
        (lambda: UNet(T=1), "T must"),
        (lambda: UNet(T=100, dropout=1.0), "dropout"),
        (lambda: Denoiser((), T=100), "shape must name"),
        (lambda: Denoiser((0,), T=100), "shape"),
        (lambda: Denoiser((2,), T=100, width=0), "width"),
        (lambda: TimeFeatures(7, T=100), "even"),
    ],
)
def test_bad_networks_are_refused(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_the_clock_depends_on_the_share_of_the_road() -> None:
    assert torch.allclose(
        TimeFeatures(16, T=100)(torch.tensor([7])), TimeFeatures(16, T=1000)(torch.tensor([70])), atol=1e-3
    )


def test_a_network_learns_the_noise_of_a_mixture() -> None:
    """Against truth: E‖net − ε*‖² falls well below that of saying nothing, and of the best single cloud."""
    cloud = Mixture(torch.tensor([[-1.0, -1.0], [1.0, -1.0], [0.0, 1.0]]), 0.15)
    x = cloud.sample(4000, generator=seeded())
    net = NoiseModel(Denoiser((2,), T=100, width=64, depth=2, generator=seeded(1)), SCHEDULE, kind="velocity")
    run = train(
        net,
        lambda model, x, t, noise: loss(model, x, SCHEDULE, t=t, noise=noise),
        noisy_batches(x, SCHEDULE, batch_size=256, seed=0),
        optimizer=torch.optim.Adam(net.parameters(), lr=3e-3),
        steps=300,
        average=0.98,
        progress=False,
    )
    fresh = cloud.sample(4000, generator=seeded(2))
    t = torch.randint(1, 101, (4000,), generator=seeded(3))
    x_t = q_sample(fresh, t, SCHEDULE, generator=seeded(4))
    exact = cloud.noise_model(SCHEDULE)(x_t, t)
    with torch.no_grad():
        wrong = (run.averaged(x_t, t) - exact).square().mean()
    assert wrong < 0.02 < 0.3 < exact.square().mean()


def test_a_training_that_was_cut_ends_with_the_same_bits(tmp_path) -> None:
    x = torch.from_numpy(digits()[0].images[:64]) * 2 - 1

    def run(steps: int, path=None):
        net = UNet(size=8, T=100, channels=(8, 8), time=16, dropout=0.1, generator=seeded())
        torch.manual_seed(5)  # dropout draws from torch's global generator, which the checkpoint keeps
        return train(
            net,
            lambda model, x, t, noise: loss(model, x, SCHEDULE, t=t, noise=noise),
            noisy_batches(x, SCHEDULE, batch_size=16, seed=0),
            optimizer=torch.optim.AdamW(net.parameters(), lr=1e-3),
            steps=steps,
            average=0.9,
            checkpoint=None if path is None else Checkpoint(path, every=3),
            progress=False,
        )

    whole = run(12)
    run(7, tmp_path / "run.pt")  # ends at step 7, as a kill would
    again = run(12, tmp_path / "run.pt")
    for a, b in ((whole.model, again.model), (whole.averaged, again.averaged)):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# -- quality -------------------------------------------------------------------------------------------------


def test_copies_have_the_yardstick_s_distance_and_are_found_out() -> None:
    A, B = digits()
    copied = quality(A.images, A.images, B.images, see=judge(), resamples=40)
    assert copied.ratio == 1 and copied.to_trained == 0 < copied.to_unseen
    real = frechet_distance(judge().features(A.images), judge().features(B.images))
    assert copied.yardstick == pytest.approx(real, rel=1e-9) and copied.imbalance < 1.1
    assert copied.low <= copied.distance <= copied.high < 3 * copied.distance
    assert copied.real_to_trained == pytest.approx(copied.to_unseen, rel=0.05)
    assert copied.judge == judge().hash and "1.00 times" in str(copied)


def test_unseen_ones_lie_as_far_from_both() -> None:
    A, B = digits()
    first, second = B.images[::2], B.images[1::2]
    score = quality(first, A.images, second, see=judge(), resamples=20)
    assert 0 < score.to_trained == pytest.approx(score.to_unseen, rel=0.2)


def test_a_missing_class_is_an_infinite_imbalance_and_noise_is_far() -> None:
    A, B = digits()
    see = judge()
    names = see.labels(A.images).numpy()
    assert quality(A.images[names != 3], A.images, B.images, see=see, resamples=20).imbalance == float("inf")
    noise = torch.rand(300, 8, 8, generator=seeded())
    assert quality(noise, A.images, B.images, see=see, resamples=20).ratio > 50


@pytest.mark.parametrize(
    ("shares", "imbalance"),
    [
        ((0.1,) * 10, 1),
        ((0.2, *(0.8 / 9,) * 9), 2),
        ((0.02, *(0.98 / 9,) * 9), 5),
        ((0.0, *(1 / 9,) * 9), float("inf")),
    ],
)
def test_the_imbalance_is_that_of_the_worst_class(shares: tuple, imbalance: float) -> None:
    found = Quality(1.0, 0.5, 2.0, 0.5, shares, 1.0, 1.0, 1.0, "")
    assert found.imbalance == pytest.approx(imbalance) and found.ratio == 2


def test_each_number_belongs_to_its_own_sets() -> None:
    A, B = digits()
    see, made = judge(), np.clip(A.images[:300] * 0.9, 0, 1)
    score = quality(made, A.images[300:600], B.images[:200], see=see, resamples=20)
    features = [see.features(part) for part in (made, A.images[300:600], B.images[:200])]
    assert score.distance == pytest.approx(frechet_distance(features[0], features[2]), rel=1e-9)
    assert score.yardstick == pytest.approx(frechet_distance(features[1], features[2]), rel=1e-9)
    pairs = {
        "to_trained": (made, A.images[300:600]),
        "to_unseen": (made, B.images[:200]),
        "real_to_trained": (B.images[:200], A.images[300:600]),
    }
    for name, (ones, others) in pairs.items():
        apart = np.sqrt(((ones[:, None] - others[None]).astype(float) ** 2).sum((2, 3))).min(1)
        assert getattr(score, name) == pytest.approx(float(torch.from_numpy(apart).median()), rel=1e-6)
    counts = np.bincount(see.labels(made).numpy(), minlength=10) / 300
    assert score.shares == pytest.approx(tuple(counts))


def test_the_distance_is_the_judge_s() -> None:
    A, B = digits()
    see = judge()
    made = np.clip(A.images[:400] + 0.05, 0, 1)
    score = quality(made, A.images, B.images, see=see, resamples=20)
    assert score.distance == pytest.approx(
        frechet_distance(see.features(made), see.features(B.images)), rel=1e-9
    )


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (np.zeros((5, 8, 8), np.float32) - 0.1, r"must lie in \[0, 1\]"),
        (np.full((5, 8, 8), np.nan, np.float32), r"must lie in \[0, 1\]"),
        (np.zeros((5, 9, 9), np.float32), "shape"),
        (np.zeros((5, 64), np.float32), "shape"),
        (np.zeros((1, 8, 8), np.float32), "at least 2"),
        (np.zeros((0, 8, 8), np.float32), "at least 1"),
    ],
)
def test_bad_pictures_are_refused(made: np.ndarray, words: str) -> None:
    A, B = digits()
    with pytest.raises(ValueError, match=words):
        quality(made, A.images, B.images, see=judge())


def test_neighbours_are_those_of_a_loop() -> None:
    a, b = (torch.rand(n, 3, 3, generator=seeded(n)) for n in (7, 11))
    found = nearest(a, b)
    for k in range(7):
        each = [float((a[k] - other).double().norm()) for other in b]
        assert int(found.rows[k]) == int(np.argmin(each))
        assert float(found.distances[k]) == pytest.approx(min(each), rel=1e-6)
    assert nearest(b, b).distances.max() == 0
    for bad in (a[:0], a[:, :2]):
        with pytest.raises(ValueError, match="one size"):
            nearest(bad, b)
    for pair in ((a, torch.full_like(b, float("nan"))), (a + float("inf"), b)):
        with pytest.raises(ValueError, match="finite"):
            nearest(*pair)


def test_the_interval_is_for_the_mean_over_sets_of_this_size() -> None:
    """Sets of 150 real digits, many times: the mean of their distances lies in nearly every interval, and in
    no plain interval of quantiles, for resampled sets lie further apart."""
    A, B = digits()
    see, rng = judge(), np.random.default_rng(0)
    picked = [(rng.choice(898, 150, False), rng.choice(899, 150, False)) for _ in range(60)]
    features = see.features(A.images), see.features(B.images)
    mean = np.mean([frechet_distance(features[0][a], features[1][b]) for a, b in picked])
    found = [
        quality(A.images[a], A.images, B.images[b], see=see, resamples=60, seed=k)
        for k, (a, b) in enumerate(picked[:20])
    ]
    assert sum(one.low <= mean <= one.high for one in found) >= 18
    assert all(one.low <= one.distance <= one.high for one in found)
    # Written out for one: both sets resampled, the shift of the mean taken off, the quantiles turned around.
    a, b = picked[0]
    generator, draws = torch.Generator().manual_seed(5), []
    for _ in range(20):
        rows = [torch.randint(150, (150,), generator=generator) for _ in range(2)]
        draws.append(frechet_distance(features[0][a][rows[0]], features[1][b][rows[1]]))
    least, most = np.quantile(draws, [0.025, 0.975])
    one = quality(A.images[a], A.images, B.images[b], see=see, resamples=20, seed=5)
    assert one.low == pytest.approx(one.distance - (most - np.mean(draws)), rel=1e-6)
    assert one.high == pytest.approx(one.distance - (least - np.mean(draws)), rel=1e-6)


def test_the_picture_comes_back_from_its_noise() -> None:
    x, t = torch.rand(3, 8, 8, generator=seeded()).double(), torch.tensor([1, 50, 100])
    noise = torch.randn(3, 8, 8, generator=seeded(1)).double()
    assert torch.allclose(
        picture_of(q_sample(x, t, SCHEDULE, noise=noise), noise, t, SCHEDULE), x, atol=1e-10
    )
    with pytest.raises(ValueError, match="one shape"):
        picture_of(x, noise[:2], t, SCHEDULE)
