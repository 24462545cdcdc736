"""The digit classifier, its distortions, the stored judge and what it scores by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose
from safetensors import safe_open
from safetensors.torch import save
from scipy import linalg, ndimage

from benchmarks import digits_judge, harness
from kexue_lite.data import digits
from kexue_lite.networks import (
    Accuracy,
    DigitClassifier,
    accuracy,
    distorted,
    frechet_distance,
    judge,
    save_judge,
    train_digit_classifier,
)
from kexue_lite.networks.judge import WEIGHTS

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
OFF = {"shift": 0.0, "turn": 0.0, "stretch": 0.0, "shear": 0.0, "noise": 0.0}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- the classifier ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("size", "channels"), [(8, (16, 16, 32)), (28, (8, 8, 8)), (9, (4,))])
def test_features_are_the_layer_before_the_last(size: int, channels: tuple[int, ...], device: str) -> None:
    model = DigitClassifier(size=size, channels=channels, features=12, classes=7, generator=seeded())
    model = model.to(device).eval()
    x = torch.rand(5, size, size, generator=seeded()).to(device)
    features = model.features(x)
    assert features.shape == (5, 12) and (features >= 0).all() and features.device == x.device
    assert torch.equal(model(x), F.linear(features, model.head.weight, model.head.bias))
    assert torch.equal(model(x), model(x[:, None])) and model(x).shape == (5, 7)
    assert torch.equal(model.double()(x.double()).float().argmax(1), model.float()(x).argmax(1))


def test_the_classifier_s_weights_come_from_its_generator() -> None:
    x = torch.rand(2, 8, 8, generator=seeded())
    one, two, other = (DigitClassifier(generator=seeded(s)).eval()(x) for s in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 7), (2, 3, 8, 8), (2, 9, 9), (2, 64)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images must have shape \(B, 8, 8\) or \(B, 1, 8, 8\)"):
        DigitClassifier()(torch.zeros(shape))


@pytest.mark.parametrize(
    "settings",
    [{"size": 0}, {"size": 3}, {"channels": ()}, {"channels": (0,)}, {"features": 0}, {"classes": 1.5}],
)
def test_a_bad_classifier_is_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        DigitClassifier(**settings)


# -- distortions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_each_distortion_does_what_it_is_called(device: str) -> None:
    generator = torch.Generator(device=device).manual_seed(0)
    x = torch.zeros(400, 15, 15, device=device)
    x[:, 6:9, 6:9] = 1  # a square in the middle
    assert_allclose(distorted(x, generator=generator, **OFF).cpu(), x.cpu(), atol=1e-6)
    moved = distorted(x, generator=generator, **(OFF | {"shift": 2.0})).cpu().numpy()
    centres = np.array([ndimage.center_of_mass(picture) for picture in moved]) - 7
    assert np.abs(centres).max() <= 2 + 1e-4 and np.abs(centres).max(0).min() > 1.9
    assert np.abs(centres.mean(0)).max() < 0.25 and abs(np.corrcoef(centres.T)[0, 1]) < 0.15
    assert_allclose(moved.sum((1, 2)), 9, atol=1e-3)  # nothing is lost
    grown = distorted(x, generator=generator, **(OFF | {"stretch": 0.4})).cpu().sum((1, 2))
    assert grown.min() < 7 and grown.max() > 12
    noisy = distorted(x, generator=generator, **(OFF | {"noise": 0.1})) - x
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.02)


def test_turning_and_shearing_keep_the_area_and_move_the_corners() -> None:
    x = torch.zeros(200, 21, 21)
    x[:, 8:13, 4:17] = 1
    for name, amount in (("turn", 0.5), ("shear", 0.5)):
        out = distorted(x, generator=seeded(), **(OFF | {name: amount}))
        assert_allclose(out.sum((1, 2)), 65, rtol=0.04)
        assert_allclose([ndimage.center_of_mass(p) for p in out.numpy()], [[10, 10]] * 200, atol=1e-3)
        assert float((out - x).abs().amax((1, 2)).median()) > 0.5
    turned = distorted(x, generator=seeded(), **(OFF | {"turn": 0.5}))
    v, u = np.meshgrid(np.arange(21) - 10, np.arange(21) - 10, indexing="ij")
    angles = [0.5 * np.arctan2(2 * (p * u * v).sum(), (p * (u * u - v * v)).sum()) for p in turned.numpy()]
    assert 0.48 < np.abs(angles).max() < 0.52 and abs(np.mean(angles)) < 0.06


def test_distortions_repeat_with_their_generator_and_differ_between_pictures() -> None:
    x = digits()[0].images[:1].repeat(6, axis=0)
    one, two = (distorted(torch.from_numpy(x), generator=seeded(3)) for _ in range(2))
    assert torch.equal(one, two) and len({p.numpy().tobytes() for p in one}) == 6


def test_bad_distortions_are_refused() -> None:
    for name in OFF:
        with pytest.raises(ValueError, match=f"{name} must be a finite number of at least 0"):
            distorted(torch.zeros(2, 8, 8), generator=seeded(), **{name: -0.1})


# -- training ------------------------------------------------------------------------------------------------


def test_training_repeats_and_learns() -> None:
    A, B = digits()
    x, y = A.images[:300], A.labels[:300]
    one, two, other = (train_digit_classifier(x, y, steps=40, seed=s) for s in (0, 0, 1))
    assert not one.training
    fresh = torch.from_numpy(B.images)
    with torch.no_grad():
        assert torch.equal(one(fresh), two(fresh)) and not torch.equal(one(fresh), other(fresh))
        assert accuracy(one(fresh), B.labels).value > 0.85


def test_without_distortion_it_knows_its_pictures_and_less_else() -> None:
    A, B = digits()
    scores = []
    for distort in (False, True):
        model = train_digit_classifier(
            A.images[:150], A.labels[:150], steps=250, batch_size=50, distort=distort
        )
        with torch.no_grad():
            scores.append(accuracy(model(torch.from_numpy(B.images)), B.labels).value)
    assert scores[1] > scores[0] + 0.02


@pytest.mark.parametrize("device", DEVICES)
def test_training_keeps_type_and_device(device: str) -> None:
    A, _ = digits()
    x = torch.from_numpy(A.images[:60]).to(device).double()
    model = train_digit_classifier(x, A.labels[:60], steps=3)
    assert model(x).dtype == torch.float64 and model(x).device == x.device


@pytest.mark.parametrize(
    ("images", "labels", "settings", "error", "message"),
    [
        (np.zeros((3, 8, 7)), [0] * 3, {}, ValueError, r"images must have shape \(N, H, H\)"),
        (np.zeros((0, 8, 8)), [], {}, ValueError, "N at least 1"),
        (np.zeros((3, 8, 8), int), [0] * 3, {}, TypeError, "floating-point"),
        (np.full((3, 8, 8), np.nan), [0] * 3, {}, ValueError, r"images must lie in \[0, 1\]"),
        (np.full((3, 8, 8), 16.0), [0] * 3, {}, ValueError, r"images must lie in \[0, 1\], got 16 to 16"),
        (np.zeros((3, 8, 8)), [0, 1], {}, ValueError, r"labels must have shape \(3,\)"),
        (np.zeros((3, 8, 8)), [0, 1, -1], {}, ValueError, "labels must lie in 0, ..., got -1"),
        (np.zeros((3, 8, 8)), [0, 1, 0.5], {}, TypeError, "labels must be whole numbers"),
        (np.zeros((3, 8, 8)), [0] * 3, {"steps": 0}, ValueError, "steps"),
        (np.zeros((3, 8, 8)), [0] * 3, {"batch_size": 0}, ValueError, "batch_size"),
        (np.zeros((3, 8, 8)), [0] * 3, {"seed": -1}, ValueError, "seed"),
        (np.zeros((3, 8, 8)), [0] * 3, {"rate": 0.0}, ValueError, "rate"),
    ],
)
def test_bad_training_is_refused(
    images: np.ndarray, labels: list, settings: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train_digit_classifier(images, labels, **settings)


# -- the judge -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_the_stored_judge_reads_half_b(device: str) -> None:
    _, B = digits()
    see = judge(device=device)
    score = see.accuracy(B.images, B.labels)
    assert score.asked == 899 and score.value >= 0.985
    assert see.features(B.images).shape == (899, 64) and see.features(B.images).device.type == device
    assert torch.equal(see.labels(B.images), see(B.images).argmax(1))
    assert torch.equal(see.logits(B.images), see(torch.from_numpy(B.images)[:, None]))


def test_the_judge_s_file_is_small_and_names_its_origin() -> None:
    assert WEIGHTS.stat().st_size <= 200_000
    see = judge()
    assert see.about["sha256"].startswith(see.hash) and len(see.hash) == 12 and see.hash in repr(see)
    assert "half A" in see.about["trained_on"] and see.about["version"] == "1"
    stored = json.loads((harness.RESULTS / "digits_judge.json").read_text(encoding="utf-8"))
    assert stored["judge"] == see.hash, "the judge was made anew: run benchmarks.digits_judge again"
    # The judge is the network that the present recipe trains, to rounding.
    A, B = digits()
    again = train_digit_classifier(A.images, A.labels, seed=digits_judge.JUDGE_SEED)
    with torch.no_grad():
        agree = (again(torch.from_numpy(B.images)).argmax(1) == see.labels(B.images)).float().mean()
    assert agree > 0.99


def test_the_judge_is_frozen_but_lets_gradients_through_to_the_picture() -> None:
    see = judge()
    assert not any(p.requires_grad for p in see.model.parameters()) and not see.model.training
    x = torch.rand(2, 8, 8, generator=seeded(), requires_grad=True)
    see.model.features(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert not see.features(x).requires_grad


def test_parts_make_no_difference() -> None:
    x = torch.rand(5000, 8, 8, generator=seeded())
    see = judge()
    assert_allclose(see.features(x)[4090:4100], see.features(x[4090:4100]), rtol=1e-4, atol=1e-4)


def test_distance_is_that_of_the_features() -> None:
    A, B = digits()
    see = judge()
    assert see.distance(A.images, B.images) == frechet_distance(
        see.features(A.images), see.features(B.images)
    )
    assert see.distance(A.images, A.images) < 1e-6 * see.distance(A.images, 1 - A.images)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 8, 8), int), np.full((2, 8, 8), 1.01), np.zeros((2, 7, 7)), np.full((2, 8, 8), np.nan)],
)
def test_the_judge_refuses_what_is_no_picture(images: np.ndarray) -> None:
    with pytest.raises((TypeError, ValueError), match="images must"):
        judge().features(images)


def rewrite(path: Path, **changes: str) -> None:
    """The judge's file with other words in it."""
    with safe_open(WEIGHTS, framework="pt") as file:
        about = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path.write_bytes(save(state, {k: v for k, v in (about | changes).items() if v}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "damaged or no judge's file"),
        (lambda data: data[: len(data) // 2], "damaged or no judge's file"),
        (lambda data: b"PK" + data, "damaged or no judge's file"),
        (lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:], "do not have the stored SHA-256"),
        (
            lambda data: data.replace(b"half A of", b"half B of"),
            None,
        ),  # words are not under the hash of the weights
    ],
)
def test_a_damaged_file_is_refused(damage: object, message: str | None, tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    path.write_bytes(damage(WEIGHTS.read_bytes()))  # type: ignore[operator]
    if message is None:
        assert judge(path=path).hash == judge().hash
        return
    with pytest.raises(ValueError, match=message) as caught:
        judge(path=path)
    assert "make judge" in str(caught.value) and str(path) in str(caught.value)


def test_a_file_with_other_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    for changes, message in (
        ({"version": "2"}, "has version 2, this package reads 1"),
        ({"sha256": ""}, "does not say sha256"),
        ({"shape": '{"size": 8, "channels": [4], "features": 64, "classes": 10}'}, "SHA-256"),
        ({"sha256": "0" * 64}, "SHA-256"),
    ):
        rewrite(path, **changes)
        with pytest.raises(ValueError, match=message):
            judge(path=path)
    with pytest.raises(FileNotFoundError, match="make judge"):
        judge(path=tmp_path / "none")
    with pytest.raises(ValueError, match="no judge's file"):
        judge(path="")  # not the one in the package


def test_the_judge_takes_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    judge().features(torch.rand(2, 8, 8, generator=seeded()))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_judge_that_is_saved_comes_back(tmp_path: Path) -> None:
    model = DigitClassifier(size=28, channels=(3, 5), features=6, classes=4, generator=seeded()).eval()
    path = tmp_path / "judge.safetensors"
    sha = save_judge(model, path, trained_on="nothing", command="none")
    see = judge(path=path)
    x = torch.rand(3, 28, 28, generator=seeded())
    assert sha.startswith(see.hash) and torch.equal(see(x), model(x)) and list(tmp_path.iterdir()) == [path]
    other = DigitClassifier(size=28, channels=(3, 5), features=6, classes=4, generator=seeded(1))
    assert save_judge(other, path, trained_on="nothing", command="none") != sha
    assert judge(path=path).hash != see.hash  # not what was read before
    torch.nn.init.constant_(other.head.bias, float("nan"))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"finite weights, got NaN or infinity in head\.bias"):
        save_judge(other, path, trained_on="nothing", command="none")
    assert path.read_bytes() == before


# -- scores --------------------------------------------------------------------------------------------------


def test_frechet_distance_against_scipy_s_square_root() -> None:
    draw = np.random.default_rng(0)
    for D in (1, 2, 9):
        a, b = draw.standard_normal((50, D)), draw.standard_normal((70, D)) @ draw.standard_normal((D, D)) + 1
        S, T = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
        gap = a.mean(0) - b.mean(0)
        wanted = gap @ gap + np.trace(S + T - 2 * linalg.sqrtm(S @ T).real)
        assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-9)
        assert frechet_distance(b, a) == pytest.approx(wanted, rel=1e-9)


def test_frechet_distance_of_known_gaussians() -> None:
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(0.75)  # mean 0, covariance the identity
    a, shift = square * [2, 3], np.array([3.0, 4.0])
    assert frechet_distance(square, square + shift) == pytest.approx(25, rel=1e-12)
    assert frechet_distance(square, a) == pytest.approx((2 - 1) ** 2 + (3 - 1) ** 2, rel=1e-12)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert frechet_distance(square @ turn, a @ turn + shift) == pytest.approx(30, rel=1e-12)


def test_frechet_distance_of_flat_clouds_is_right_too() -> None:
    draw = np.random.default_rng(0)
    a, b = np.zeros((40, 6)), np.zeros((40, 6))
    a[:, :2], b[:, :2] = draw.standard_normal((40, 2)), 2 * draw.standard_normal((40, 2))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(a[:, :2], b[:, :2]), rel=1e-9)
    few = draw.standard_normal((3, 20))  # fewer rows than features
    assert frechet_distance(few, few) < 1e-9
    assert frechet_distance(np.ones((5, 3)), np.zeros((4, 3))) == pytest.approx(3)


@pytest.mark.parametrize(("rows", "D"), [((20, 23), 64), ((900, 899), 64), ((5, 400), 9)])
def test_frechet_distance_of_near_clouds_keeps_its_digits(rows: tuple[int, int], D: int) -> None:
    """Against the sum of singular values of the clouds themselves, where covariances have no full rank."""
    draw = np.random.default_rng(0)
    a, b = (draw.standard_normal((n, D)) for n in rows)
    a[:, D // 2 :], b[:, D // 2 :] = 0, 0  # units that never fire
    b = a[: len(b)] + 1e-3 * b[: len(a)] if len(b) <= len(a) else b
    A, B = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + (A**2).sum() + (B**2).sum()
    wanted -= 2 * linalg.svdvals(A @ B.T).sum()
    near = len(a) != 5 and len(b) == len(a)
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-6 if near else 1e-9)
    turn = linalg.qr(draw.standard_normal((D, D)))[0]
    for c, d in ((b, a), (a @ turn, b @ turn), (a + 3, b + 3)):
        assert frechet_distance(c, d) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(a, a[::-1].copy()) < 1e-12


@pytest.mark.parametrize("device", DEVICES)
def test_frechet_distance_takes_tensors(device: str) -> None:
    a, b = torch.randn(30, 4, generator=seeded()), torch.randn(20, 4, generator=seeded(1))
    wanted = frechet_distance(a.double().numpy(), b.double().numpy())
    assert frechet_distance(a.to(device), b.to(device)) == pytest.approx(wanted, rel=1e-12)


def test_bad_features_are_refused() -> None:
    good = np.zeros((3, 2))
    for a, b, message in (
        (np.zeros((1, 2)), good, "features_a must have at least 2 rows"),
        (good, np.zeros((3, 4)), "same width, got 2 and 4"),
        (good, np.zeros(3), "features_b must have shape"),
        (np.full((3, 2), np.inf), good, "features_a must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            frechet_distance(a, b)
    with pytest.raises(TypeError, match="floating-point"):
        frechet_distance(good.astype(int), good)


def test_accuracy_has_wilson_s_interval() -> None:
    for right, asked in ((893, 899), (0, 5), (10, 10), (50, 100)):
        score, z, p = Accuracy(right, asked), 1.959963984540054, right / asked
        centre = (p + z**2 / (2 * asked)) / (1 + z**2 / asked)
        half = z / (1 + z**2 / asked) * np.sqrt(p * (1 - p) / asked + z**2 / (4 * asked**2))
        assert (score.value, score.low, score.high) == pytest.approx(
            (p, centre - half, centre + half), abs=1e-12
        )
    logits = torch.tensor([[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    assert (
        accuracy(logits, [1, 0, 0])
        == Accuracy(2, 3)
        == accuracy(np.array([1, 0, 1]), torch.tensor([1, 0, 0]))
    )


def test_bad_accuracies_are_refused() -> None:
    for right, asked in ((-1, 3), (4, 3), (0, 0)):
        with pytest.raises(ValueError, match="right must lie in"):
            Accuracy(right, asked)
    for guess, truth in (([0, 1], [0]), ([], []), (0, 0), ([[[0.0]]], [0])):
        with pytest.raises(ValueError, match="predicted and labels must have shapes"):
            accuracy(guess, truth)
    with pytest.raises(ValueError, match="NaN"):
        accuracy(torch.tensor([[np.nan, 1.0]]), [0])
    with pytest.raises(ValueError, match=r"predicted must be whole numbers, got 0\.9"):  # a probability
        accuracy([0.9, 1.0], [1, 1])
    with pytest.raises(ValueError, match=r"labels must be whole numbers, got 1\.5"):
        accuracy([1, 1], [1.5, 1.0])
    with pytest.raises(ValueError, match=r"labels must lie in 0, \.\.\., 2, got 0 to 3"):
        accuracy(torch.eye(3)[:2], [0, 3])
    assert accuracy([1.0, 0.0], [1, 1]).right == 1
    with pytest.raises(ValueError, match="predicted and labels must have shapes"):
        accuracy(torch.zeros(2, 0), [0, 0])


def test_a_picture_that_is_no_square_is_turned_without_being_slanted() -> None:
    """A disc in the middle of a wide picture stays a disc, whatever the angle."""
    v, u = torch.meshgrid(torch.arange(41) - 20.0, torch.arange(81) - 40.0, indexing="ij")
    disc = (12.5 - (v**2 + u**2).sqrt()).clamp(0, 1).expand(20, -1, -1)
    still = {"shift": 0, "stretch": 0, "shear": 0, "noise": 0}
    turned = distorted(disc, generator=seeded(), turn=1.5, **still)
    assert float((turned - disc).abs().mean()) < 0.01
    assert (
        float((distorted(disc, generator=seeded(), turn=0, **{**still, "stretch": 0.5}) - disc).abs().mean())
        > 0.01
    )


def test_bad_pictures_to_distort_are_refused() -> None:
    for images, error, message in (
        (np.zeros((2, 8, 8)), TypeError, "images must be a tensor of floating-point numbers, got ndarray"),
        (torch.zeros(2, 8, 8).long(), TypeError, r"got torch\.int64"),
        (torch.zeros(8, 8), ValueError, r"images must have shape \(B, H, W\) and not be empty"),
        (torch.zeros(0, 8, 8), ValueError, "not be empty"),
        (torch.full((1, 8, 8), np.nan), ValueError, "images must be finite"),
    ):
        with pytest.raises(error, match=message):
            distorted(images, generator=seeded())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator, got NoneType"):
        distorted(torch.zeros(1, 8, 8), generator=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="channels must name at least one convolution, got 3"):
        DigitClassifier(channels=3)  # type: ignore[arg-type]
