"""Composed functions: gradients, the tent, exact pieces, least squares, autoencoders, letters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from torch import nn

from kexue_lite.networks import (
    ACTIVATIONS,
    MLP,
    Autoencoder,
    RandomFeatures,
    double_descent,
    least_squares,
    letters_on_background,
    linear_pieces,
    pca_error,
    principal_autoencoder,
    tent,
    tent_network,
)
from kexue_lite.networks.mlp import draw_weights

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- MLP -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("device", DEVICES)
def test_gradients_are_finite_differences(activation: str, device: str) -> None:
    f = MLP([3, 5, 4, 2], activation, generator=seeded(1)).double().to(device)
    x = torch.randn(4, 3, dtype=torch.float64, generator=seeded(2)).to(device).requires_grad_()
    names = [name for name, _ in f.named_parameters()]

    def value(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(f, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(value, (x, *f.parameters()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_network_is_torch_s_own_stack_of_layers(activation: str) -> None:
    f = MLP([3, 5, 4, 2], activation, generator=seeded())
    curve = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "identity": nn.Identity}[activation]()
    stack = nn.Sequential(f.layers[0], curve, f.layers[1], curve, f.layers[2])
    x = torch.randn(6, 3, generator=seeded(1))
    assert torch.equal(f(x), stack(x)) and torch.equal(f.hidden(x), stack[:4](x))
    assert not torch.equal(MLP([3, 4, 1], activation, generator=seeded())(x), f(x)[:, :1])


def test_weights_come_from_the_generator_by_torch_s_law() -> None:
    assert torch.equal(
        MLP([4, 3], generator=seeded()).layers[0].weight, MLP([4, 3], generator=seeded()).layers[0].weight
    )
    layer = nn.Conv2d(4, 300, 3)  # fan-in 36
    draw_weights(layer, seeded())
    for parameter in (layer.weight, layer.bias):
        assert float(parameter.detach().abs().max()) == pytest.approx(1 / 6, rel=0.05)
        assert float(parameter.detach().abs().max()) <= 1 / 6
    before = torch.random.get_rng_state()
    for build in (
        lambda: MLP([4, 3], generator=seeded()),
        lambda: Autoencoder([4, 2], generator=seeded()),
        lambda: principal_autoencoder(torch.eye(4), 2),
        lambda: tent_network(3),
    ):
        build()
        assert torch.equal(torch.random.get_rng_state(), before)  # nor is the global one touched
    torch.manual_seed(5)
    plain = nn.Linear(4, 3).weight
    torch.manual_seed(5)
    assert torch.equal(MLP([4, 3]).layers[0].weight, plain)
    torch.random.set_rng_state(before)


@pytest.mark.parametrize("widths", [[3], [], [3, 0], [3, -1, 2], [3, 2.0], [True, 2], "32"])
def test_bad_widths_are_refused(widths: object) -> None:
    with pytest.raises(ValueError, match="widths"):
        MLP(widths)  # type: ignore[arg-type]


def test_a_bad_activation_or_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of relu, tanh, sigmoid, identity; got 'gelu'"):
        MLP([2, 1], "gelu")
    with pytest.raises(ValueError, match=r"x must have shape \(B, 3\), got \(5, 2\)"):
        MLP([3, 1])(torch.zeros(5, 2))


# -- depth ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 5, 12, 30])
def test_the_tent_network_is_the_tent_to_the_last_bit(times: int) -> None:
    x = torch.cat(
        [torch.rand(5000, generator=seeded(), dtype=torch.float64), torch.tensor([0, 0.5, 1, 1e-300])]
    )
    f = tent_network(times)
    assert f.widths == [1, *[2] * times, 1]
    assert torch.equal(f(x[:, None])[:, 0], tent(x, times))
    assert_allclose(tent(x.numpy(), times), tent(x, times), atol=0)


def test_the_tent_is_the_fold_that_it_is_said_to_be() -> None:
    x = np.linspace(0, 1, 257)
    assert_allclose(tent(x), 1 - np.abs(2 * x - 1), atol=0)
    assert_allclose(tent(x, 3), tent(tent(tent(x))), atol=0)
    assert_allclose(tent(x, 0), x, atol=0)
    # The tent is the doubling of the angle: T(sin²(πx/2)) ~ sin²(πTx/2); here by its known closed form.
    assert_allclose(tent(x, 4), 2 * np.abs(16 * x / 2 - np.round(16 * x / 2)), atol=0)


@pytest.mark.parametrize("times", [1, 3, 8])
def test_depth_doubles_the_pieces(times: int) -> None:
    pieces = linear_pieces(tent_network(times))
    assert pieces.count == 2**times == len(pieces.slopes) == len(pieces.edges) - 1
    assert_allclose(pieces.edges, np.arange(2**times + 1) / 2**times, atol=0)
    assert_allclose(pieces.values, np.arange(2**times + 1) % 2, atol=0)
    assert_allclose(pieces.slopes, 2.0**times * (-1.0) ** np.arange(2**times), atol=0)


def test_one_hidden_layer_bends_once_for_each_unit_that_switches() -> None:
    for seed in range(5):
        f = MLP([1, 40, 1], generator=seeded(seed)).double()
        w, b = f.layers[0].weight.detach()[:, 0], f.layers[0].bias.detach()
        places = (-b / w)[((-b / w) > -0.7) & ((-b / w) < 0.9)].sort().values
        pieces = linear_pieces(f, -0.7, 0.9)
        assert pieces.count == len(places) + 1 <= 41
        assert_allclose(pieces.edges[1:-1], places, rtol=1e-14)


def test_the_pieces_are_the_network() -> None:
    f = MLP([1, 12, 12, 12, 1], generator=seeded(3)).double()
    pieces = linear_pieces(f, -3, 3)
    assert pieces.count > 13  # more than one layer of 12 units could make
    with torch.no_grad():
        assert_allclose(f(torch.tensor(pieces.edges)[:, None])[:, 0], pieces.values, atol=1e-14)
        x = torch.linspace(-3, 3, 4001, dtype=torch.float64)
        assert_allclose(f(x[:, None])[:, 0], np.interp(x, pieces.edges, pieces.values), atol=1e-14)
    assert (np.diff(pieces.slopes) != 0).all() and (np.diff(pieces.edges) > 0).all()


def test_pieces_of_equal_slope_are_one() -> None:
    assert linear_pieces(MLP([1, 9, 9, 1], "identity", generator=seeded()), -1, 1).count == 1
    f = MLP([1, 2, 1])
    with torch.no_grad():  # relu(x) − relu(x): two switches that cancel
        f.layers[0].weight.fill_(1), f.layers[0].bias.zero_()
        f.layers[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
    assert linear_pieces(f, -1, 1).count == 1


def test_bad_pieces_are_refused() -> None:
    with pytest.raises(TypeError, match="MLP, got Linear"):
        linear_pieces(nn.Linear(1, 1))  # type: ignore[arg-type]
    for f in (MLP([2, 3, 1]), MLP([1, 3, 2]), MLP([1, 3, 1], "tanh")):
        with pytest.raises(ValueError, match="one input and one output"):
            linear_pieces(f)
    for low, high in ((1, 1), (2, 1), (0, np.inf), (np.nan, 1)):
        with pytest.raises(ValueError, match=r"low|high"):
            linear_pieces(MLP([1, 1]), low, high)
    f = MLP([1, 1])
    nn.init.constant_(f.layers[0].bias, float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        linear_pieces(f)
    for x in ([-0.1], [1.1], [np.nan]):
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1\]"):
            tent(np.array(x))
    with pytest.raises(ValueError, match="times"):
        tent_network(0)


# -- least squares -------------------------------------------------------------------------------------------


def test_least_squares_is_the_pseudo_inverse() -> None:
    draw = np.random.default_rng(0)
    for shape in ((20, 5), (5, 20), (8, 8)):
        Phi, y = draw.standard_normal(shape), draw.standard_normal((shape[0], 3))
        assert_allclose(least_squares(Phi, y), np.linalg.pinv(Phi) @ y, atol=1e-10)
        assert_allclose(least_squares(Phi, y[:, 0]), np.linalg.pinv(Phi) @ y[:, 0], atol=1e-10)


def test_random_features_are_a_frozen_relu_layer() -> None:
    phi = RandomFeatures(3, 50, generator=seeded(), scale=2.0)
    x = np.random.default_rng(0).standard_normal((7, 3))
    assert_allclose(phi(x), np.maximum(x @ phi.W.T + phi.b, 0) / np.sqrt(50), atol=0)
    wider = RandomFeatures(3, 80, generator=seeded(), scale=2.0)
    assert_allclose(wider.W[:50], phi.W, atol=0), assert_allclose(wider.b[:50], phi.b, atol=0)
    large = RandomFeatures(3, 40_000, generator=seeded(), scale=2.0)
    assert large.W.std() == pytest.approx(2 / np.sqrt(3), rel=0.02) and large.b.std() == pytest.approx(
        2, rel=0.02
    )


def test_double_descent_is_least_squares_at_every_width() -> None:
    draw = np.random.default_rng(0)
    x, fresh = draw.standard_normal((30, 2)), draw.standard_normal((100, 2))
    y, y_fresh = np.sin(x[:, 0]), np.sin(fresh[:, 0])
    run = double_descent(x, y, fresh, y_fresh, widths=[3, 30, 200], generator=seeded(), scale=1.5)
    for k, P in enumerate(run.widths):
        phi = RandomFeatures(2, P, generator=seeded(), scale=1.5)
        w = least_squares(phi(x), y)
        assert run.train[k] == pytest.approx(np.mean((phi(x) @ w - y) ** 2), rel=1e-6, abs=1e-20)
        assert run.test[k] == pytest.approx(np.mean((phi(fresh) @ w - y_fresh) ** 2), rel=1e-6)
        assert run.norms[k] == pytest.approx(np.linalg.norm(w), rel=1e-6)
    assert run.train[2] < 1e-12


def test_bad_fits_are_refused() -> None:
    for Phi, y in (
        (np.zeros(3), np.zeros(3)),
        (np.zeros((3, 2)), np.zeros(2)),
        (np.zeros((0, 2)), np.zeros(0)),
    ):
        with pytest.raises(ValueError, match="must have shapes"):
            least_squares(Phi, y)
    with pytest.raises(ValueError, match="finite"):
        least_squares([[np.nan]], [1])
    for inputs, width, scale in ((0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, np.inf)):
        with pytest.raises(ValueError, match=r"inputs|width|scale"):
            RandomFeatures(inputs, width, generator=seeded(), scale=scale)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 2\), got \(3,\)"):
        RandomFeatures(2, 1, generator=seeded())(np.zeros(3))
    x = np.zeros((2, 1))
    with pytest.raises(ValueError, match="widths must name at least one"):
        double_descent(x, x[:, 0], x, x[:, 0], widths=[], generator=seeded())


# -- autoencoders --------------------------------------------------------------------------------------------


def data() -> torch.Tensor:
    draw = torch.randn(60, 7, dtype=torch.float64, generator=seeded())
    return draw @ torch.randn(7, 7, dtype=torch.float64, generator=seeded(1)) + 3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("code_size", [1, 3, 7])
def test_the_linear_optimum_is_pca(code_size: int, device: str) -> None:
    x = data().to(device)
    model, pca = principal_autoencoder(x, code_size), PCA(code_size, svd_solver="full").fit(x.cpu())
    assert model.code_size == code_size and model(x).dtype == x.dtype and model(x).device == x.device
    wanted = pca.inverse_transform(pca.transform(x.cpu()))
    with torch.no_grad():
        assert_allclose(model(x).cpu(), wanted, atol=1e-10)
        assert_allclose(model.encode(x).cpu().abs(), np.abs(pca.transform(x.cpu())), atol=1e-9)
        assert float(F.mse_loss(model(x), x)) == pytest.approx(pca_error(x, code_size), rel=1e-9, abs=1e-24)


def test_training_a_principal_autoencoder_ends_there() -> None:
    x = (data() - 3) / 4
    model = Autoencoder([7, 2], "identity", generator=seeded()).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=500,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-10,
        tolerance_change=1e-15,
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), x)
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    reached = float(closure().detach())
    assert pca_error(x, 2) * (1 - 1e-12) <= reached <= pca_error(x, 2) * (1 + 1e-6)


def test_an_autoencoder_is_two_mirrored_networks() -> None:
    model = Autoencoder([9, 6, 4, 2], "tanh", generator=seeded())
    assert model.encoder.widths == [9, 6, 4, 2] and model.decoder.widths == [2, 4, 6, 9]
    assert model.encoder.activation == model.decoder.activation == "tanh"
    x = torch.rand(5, 9, generator=seeded())
    assert torch.equal(model(x), model.decode(model.encode(x))) and model.encode(x).shape == (5, 2)
    assert (model.encode(x) < 0).any() or (model.encode(x) > 1).any()  # a code is not squeezed


def test_bad_autoencoders_are_refused() -> None:
    for widths in ([8, 0], [8], [8, 4, -1]):
        with pytest.raises(ValueError, match="widths"):
            Autoencoder(widths)
    x = data()
    for code_size in (0, 8, 1.5):
        with pytest.raises(ValueError, match="code_size"):
            principal_autoencoder(x, code_size)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        pca_error(x.log(), 1)
    with pytest.raises(ValueError, match=r"x must have shape"):
        pca_error(x[0], 1)


# -- letters -------------------------------------------------------------------------------------------------


def test_the_pictures_differ_in_the_letter_alone() -> None:
    four = letters_on_background()
    assert len(four) == 4 and four.letters == "ABCD"
    for image, ink in zip(four.images, four.inks, strict=True):
        assert_allclose(image[ink == 0], four.background[ink == 0], atol=0)
        assert (image[ink == 1] == 1).all() and four.background.max() < 0.8
    assert len({ink.tobytes() for ink in letters_on_background("ABCDEFGHIJKLMNOPQRSTUVWXYZ").inks}) == 26


def test_bitmaps_are_the_letters() -> None:
    """Read by symmetry: which letters are their own mirror images, left and right, up and down."""
    inks = letters_on_background(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ", size=15
    ).inks  # odd, so that 5 columns are centred
    rows, columns = np.arange(4, 11), np.arange(5, 10)
    small = inks[:, rows][:, :, columns]
    assert small.sum() == inks.sum()
    upright = {c for c, g in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", small, strict=True) if (g == g[:, ::-1]).all()}
    lying = {c for c, g in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", small, strict=True) if (g == g[::-1]).all()}
    assert upright == set("AHIMOTUVWXY") and lying == set("BCDEHIKOX")


def test_letters_repeat_with_their_generator() -> None:
    one, two = (
        letters_on_background("XYZ", count=5, size=20, jitter=2, noise=0.05, generator=seeded(4))
        for _ in range(2)
    )
    assert_allclose(one.images, two.images, atol=0)
    assert one.images.shape == (15, 20, 20) and one.images.dtype == np.float32
    assert (
        one.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5 and 0 <= one.images.min() <= one.images.max() <= 1
    )
    assert_allclose(one.background, letters_on_background(size=20).background, atol=0)


def test_jitter_moves_the_letter_and_nothing_else() -> None:
    moved = letters_on_background("L", count=200, jitter=3, generator=seeded())
    seen = set()
    for image in moved.images:
        places = np.argwhere(image == 1)
        seen.add(tuple(places.min(0) - np.argwhere(moved.inks[0] == 1).min(0)))
        ink = np.roll(moved.inks[0], tuple(places.min(0) - np.argwhere(moved.inks[0] == 1).min(0)), (0, 1))
        assert ((image == 1) == (ink == 1)).all()
    assert len(seen) > 40 and max(abs(v) for place in seen for v in place) == 3


def test_noise_has_the_size_asked_for() -> None:
    clean, noisy = (
        letters_on_background("A", count=100, noise=s, generator=seeded()).images[:, 0, :3] for s in (0, 0.02)
    )
    assert (noisy - clean).std() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("letters", "options", "message"),
    [
        ("", {}, "letters"), ("AA", {}, "letters"), ("Aé", {}, "letters"), ("abc", {}, "letters"),
        ("A", {"size": 11}, "size"), ("A", {"count": 0}, "count"), ("A", {"jitter": -1}, "jitter"),
        ("A", {"jitter": 4}, "jitter must be at most 3"), ("A", {"noise": -1}, "noise"),
        ("A", {"noise": float("nan")}, "noise"), ("A", {"noise": 0.1}, "generator"),
        ("A", {"jitter": 1}, "generator"),
    ],
)  # fmt: skip
def test_bad_letters_are_refused(letters: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        letters_on_background(letters, **options)


def test_fresh_data_of_another_shape_are_refused() -> None:
    x, y = np.ones((4, 2)), np.arange(4.0)
    for fresh, wanted, message in (
        (
            np.ones((3, 2)),
            np.ones((3, 1)),
            "must be at least one fresh row each",
        ),  # would give a 3 by 3 table
        (np.ones((3, 2)), 1.0, "must be at least one fresh row each"),
        (np.ones((0, 2)), np.ones(0), "must be at least one fresh row each"),
        (np.ones((3, 2)), np.full(3, np.nan), "must be finite"),
        (np.full((3, 2), np.inf), np.ones(3), "must be finite"),
    ):
        with pytest.raises(ValueError, match=f"x_test and y_test {message}"):
            double_descent(x, y, fresh, wanted, widths=[2], generator=seeded())
    run = double_descent(x, y.tolist(), np.ones((3, 2)), [1, 1, 1], widths=[2], generator=seeded())
    assert run.test.shape == (1,)


@pytest.mark.parametrize("widths", [3, {4, 3}])
def test_widths_are_a_sequence(widths: object) -> None:
    with pytest.raises(ValueError, match="widths must name at least inputs and outputs"):
        MLP(widths)  # type: ignore[arg-type]


def test_a_curve_is_named_by_a_string_and_a_tent_stands_on_an_array() -> None:
    with pytest.raises(ValueError, match=r"activation must be one of .* got \['relu'\]"):
        MLP([2, 1], ["relu"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="x must be a numpy array or a torch tensor, got float"):
        tent(0.3)  # type: ignore[type-var]


def test_an_error_is_a_number_without_a_gradient(recwarn: pytest.WarningsRecorder) -> None:
    x = torch.randn(5, 4, generator=seeded()).requires_grad_()
    assert pca_error(x, 2) == pca_error(x.detach(), 2) and not recwarn.list
