"""Losses, the skeleton and kernels: formulas by hand, twins, other programs, and input that is refused."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import sklearn.svm
import torch
from sklearn.datasets import load_breast_cancer, load_wine, make_moons
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler

from kexue_lite.classifiers import (
    LOSSES,
    LinearSVC,
    LogisticRegression,
    fit_kernel,
    fit_linear,
    gaussian_kernel,
    polynomial_features,
    polynomial_kernel,
    random_fourier_features,
    slope,
)
from kexue_lite.classifiers.skeleton import gradient

M = torch.linspace(-5, 5, 1000, dtype=torch.float64)  # hits no corner
SLOPES = {
    "squared": lambda m: -2 * (1 - m),
    "perceptron": lambda m: -1.0 * (m < 0),
    "logistic": lambda m: -1 / (1 + m.exp()),
    "hinge": lambda m: -1.0 * (m < 1),
    "squared_hinge": lambda m: -2 * (1 - m) * (m < 1),
    "zero_one": lambda m: 0 * m,
}


@pytest.fixture(scope="module")
def cancer() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), 2 * y - 1


@pytest.mark.parametrize("name", LOSSES)
def test_slopes_are_those_by_hand(name: str) -> None:
    torch.testing.assert_close(slope(LOSSES[name], M), SLOPES[name](M).double())


def test_losses_in_relation() -> None:
    y, s = torch.tensor([1.0, -1.0, 1.0]), torch.tensor([0.3, 2.0, -4.0])
    torch.testing.assert_close(LOSSES["squared"](y * s), (y - s) ** 2)
    for name in ("squared", "hinge", "squared_hinge"):
        assert bool((LOSSES[name](M) >= LOSSES["zero_one"](M)).all())
    assert bool((LOSSES["logistic"](M) / math.log(2) >= LOSSES["zero_one"](M)).all())
    torch.testing.assert_close(LOSSES["logistic"](M), torch.nn.functional.binary_cross_entropy_with_logits(
        M, torch.ones_like(M), reduction="none"))  # fmt: skip
    far = LOSSES["logistic"](torch.tensor([-1e4, 1e4]))
    assert far.tolist() == [1e4, 0]


@pytest.mark.parametrize("C", [0.1, 10.0])
def test_the_skeleton_is_the_twin_of_both_estimators(cancer: tuple, C: float) -> None:
    x, y = cancer
    twin, craft = fit_linear(x, y, loss="logistic", penalty=1 / C), LogisticRegression(C).fit(x, y)
    np.testing.assert_allclose(craft.coef_[0], twin.weights, atol=1e-6)
    assert craft.intercept_[0] == pytest.approx(twin.intercept, abs=1e-6)
    ones = np.hstack([x, np.ones((len(x), 1))])  # LinearSVC penalises its intercept
    twin = fit_linear(ones, y, loss="squared_hinge", penalty=1 / C, intercept=False)
    svm = LinearSVC(C).fit(x, y)
    np.testing.assert_allclose(np.append(svm.coef_, svm.intercept_), twin.weights, atol=1e-5)


def test_least_squares_solves_the_normal_equations(cancer: tuple) -> None:
    x, y = cancer
    fit = fit_linear(x, y, loss="squared", penalty=3.0)
    A = np.hstack([x, np.ones((len(x), 1))])
    w = np.linalg.solve(2 * A.T @ A + 3 * np.diag([1.0] * 30 + [0]), 2 * A.T @ y)
    np.testing.assert_allclose([*fit.weights, fit.intercept], w, atol=1e-10)
    assert fit.value == pytest.approx(((A @ w - y) ** 2).sum() + 1.5 * w[:30] @ w[:30], rel=1e-12)
    torch.testing.assert_close(fit.scores(x), torch.tensor(A @ w))


def test_the_hinge_is_the_support_vector_machine(cancer: tuple) -> None:
    x, y = cancer
    fit = fit_linear(x, y, loss="hinge", penalty=2.0)
    theirs = sklearn.svm.SVC(C=0.5, kernel="linear", tol=1e-9).fit(x, y)
    np.testing.assert_allclose(fit.weights, theirs.coef_[0], atol=1e-5)
    assert fit.intercept == pytest.approx(theirs.intercept_[0], abs=1e-5) and fit.converged


@pytest.mark.parametrize("penalty", [0.01, 0.00316, 0.003, 0.001])
def test_a_weak_penalty_does_not_send_the_hinge_to_infinity(penalty: float) -> None:
    """No example near a corner, no curvature: a Newton step once ended at an intercept of -3e16."""
    x, y = load_wine(return_X_y=True)
    x, y = StandardScaler().fit_transform(x[:, [6, 12]]), np.where(y == 0, 1, -1)
    fit = fit_linear(x, y, loss="hinge", penalty=penalty)
    theirs = sklearn.svm.SVC(C=1 / penalty, kernel="linear", tol=1e-9).fit(x, y)
    hinges = np.maximum(0, 1 - y * theirs.decision_function(x)).sum()
    assert fit.value <= (hinges + penalty / 2 * (theirs.coef_**2).sum()) * (1 + 1e-6) and fit.converged
    np.testing.assert_allclose(fit.weights, theirs.coef_[0], atol=1e-3)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "zero_one"])
def test_nothing_nearby_is_lower(cancer: tuple, loss: str) -> None:
    x, y = torch.tensor(cancer[0]), torch.tensor(cancer[1])
    fit = fit_linear(x, y, loss=loss)
    generator = torch.Generator().manual_seed(0)
    for size in (1e-3, 1e-1):
        for _ in range(20):
            w = fit.weights + size * torch.randn(30, generator=generator, dtype=torch.float64)
            b = fit.intercept + size * float(torch.randn(1, generator=generator))
            value = LOSSES[loss](y * (x @ w + b)).sum() + w @ w / 2
            assert value > fit.value - 1e-5
    assert fit.residual <= 1e-10 and fit.converged


def test_a_loss_of_ones_own(cancer: tuple) -> None:
    x, y = cancer
    own = fit_linear(x, y, loss=lambda m: torch.exp(-m / 4))
    assert own.converged and float((own.scores(x).sign() == torch.tensor(y)).double().mean()) > 0.97


def test_the_gradient_of_the_smeared_objective() -> None:
    """A box mean of the loss, by a fine sum, differentiated by autograd."""
    A, P = (
        torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        torch.ones(3).double(),
    )
    w = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    offsets = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000 * 0.4 - 0.2
    smeared = LOSSES["hinge"](A @ w + offsets[:, None]).mean(0).sum() + w @ w / 2
    by_autograd = torch.autograd.grad(smeared, w)[0]
    torch.testing.assert_close(
        gradient(LOSSES["hinge"], A, P, w.detach(), 0.2), by_autograd, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("loss", ["logistic", "hinge", "perceptron"])
def test_far_margins_have_a_slope_and_no_rounding(loss: str) -> None:
    A, none = torch.ones(1, 1).double(), torch.zeros(1).double()
    for m in (-1e3, -1e7, -1e12):  # there ℓ(m + 1e-6) − ℓ(m − 1e-6) would be rounding and nothing else
        at = gradient(LOSSES[loss], A, none, torch.tensor([m]).double(), 1e-6)
        torch.testing.assert_close(at, torch.tensor([-1.0]).double(), atol=1e-6, rtol=0)


def test_the_perceptron_with_a_penalty_has_its_minimum_at_nothing() -> None:
    x, y = [[-2.0], [-1.0], [1.0], [2.5]], [-1, -1, 1, 1]
    fit = fit_linear(x, y, loss="perceptron")
    assert fit.weights.abs().max() < 1e-5 and fit.value < 1e-5
    assert fit.scores(x).sign().tolist() == y  # the direction is there all the same


def test_it_says_when_it_did_not_converge(cancer: tuple) -> None:
    fit = fit_linear(*cancer, loss="hinge", max_steps=3)
    assert not fit.converged and fit.steps == 3 and fit.residual > 1e-10


X, Y = [[0.0], [1.0], [2.0]], [-1, 1, 1]


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "match"),
    [
        (X, [0, 1, 1], {}, ValueError, "y must hold −1 and \\+1"),
        (X, [1, 1, 1], {}, ValueError, "both of them"),
        (X, [1, -1], {}, ValueError, r"y must have shape \(3,\)"),
        (X, ["a", "b", "b"], {}, TypeError, "y must hold"),
        ([0.0, 1.0], Y, {}, ValueError, r"x must have shape \(N, D\)"),
        (np.empty((0, 2)), [], {}, ValueError, "x must have shape"),
        ([[math.nan], [1.0], [2.0]], Y, {}, ValueError, "x must be finite"),
        (scipy.sparse.csr_matrix(X), Y, {}, TypeError, "x must be dense"),
        (torch.tensor(X).to_sparse(), Y, {}, TypeError, "x must be dense"),
        ([["a"], ["b"], ["c"]], Y, {}, TypeError, "x must hold numbers"),
        (torch.tensor(X) * 1j, Y, {}, TypeError, "real numbers"),
        (X, Y, {"penalty": -1}, ValueError, "penalty must be finite and at least 0"),
        (X, Y, {"penalty": "1"}, TypeError, "penalty must be a number"),
        (X, Y, {"tolerance": 0}, ValueError, "tolerance must be finite and positive"),
        (X, Y, {"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        (X, Y, {"max_steps": 1.5}, TypeError, "max_steps must be a whole number"),
        (X, Y, {"loss": "huber"}, ValueError, "loss must be one of squared"),
        (X, Y, {"loss": "zero_one"}, ValueError, "must be convex"),
        (X, Y, {"loss": 3}, TypeError, "loss must be a name or a function"),
        (X, Y, {"loss": torch.sum}, ValueError, "loss must return one value for each margin"),
        (X, Y, {"loss": lambda m: 2.0}, ValueError, "loss must return one value for each margin"),
        (X, Y, {"loss": lambda m: -(m**2)}, ValueError, "loss must be finite and convex"),
        (X, Y, {"loss": torch.log}, ValueError, "loss must be finite and convex"),
        (X, Y, {"intercept": "no"}, TypeError, "intercept must be True or False"),
    ],
)
def test_what_the_skeleton_refuses(x: Any, y: Any, options: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        fit_linear(x, y, **({"loss": "hinge"} | options))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "logistic", "squared"])
def test_without_a_penalty_the_limit_of_small_ones_is_found(loss: str) -> None:
    """At w = 0 no smeared hinge has any curvature: the first step once met a singular matrix."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 3))
    y = np.where(x[:, 0] + rng.standard_normal(120) > 0, 1, -1)
    none, weak = (fit_linear(x, y, loss=loss, penalty=penalty) for penalty in (0, 1e-9))
    assert none.converged and none.value == pytest.approx(weak.value, abs=1e-6)
    np.testing.assert_allclose(none.weights, weak.weights, atol=1e-4)
    parted = fit_linear(x, np.where(x[:, 0] > 0, 1, -1), loss="hinge", penalty=0)
    assert parted.converged and parted.value == 0


def test_arrays_and_frames_that_torch_does_not_take_as_they_are() -> None:
    class Frame:
        """What a data frame has in common with an array."""

        def __init__(self, values: Any) -> None:
            self.values = values

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.asarray(self.values, dtype)

    x, y = np.array([[0.0, 1.0], [1.0, 0.5], [2.0, 3.0], [2.5, 1.0]]), np.array([-1, 1, 1, -1])
    fixed = x.copy()
    fixed.setflags(write=False)
    expected = fit_linear(x, y, loss="logistic").weights
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given, labels in (
            (x[::-1], y[::-1]), (fixed, y), (x.astype(">f8"), y.astype(">i4")), (Frame(x), Frame(y)),
            (np.asfortranarray(x), y.astype(np.int8)),
        ):  # fmt: skip
            torch.testing.assert_close(fit_linear(given, labels, loss="logistic").weights, expected)
    half = x.astype(np.float16)
    assert polynomial_kernel(half, half).dtype == torch.float64
    whole = fit_linear((2 * x).astype(np.uint8), y, loss="logistic").weights
    torch.testing.assert_close(whole, fit_linear(2 * x, y, loss="logistic").weights)


def test_what_else_is_refused() -> None:
    with pytest.raises(ValueError, match="x must have 1 features as in the fit, got 2"):
        fit_linear(X, Y, loss="hinge").scores([[1.0, 2.0]])
    machine = fit_kernel(X, Y, kernel=gaussian_kernel)
    with pytest.raises(ValueError, match="x must have 1 features as in the fit, got 2"):
        machine.scores([[1.0, 2.0]])
    with pytest.raises(TypeError, match="m must be a tensor of floating-point"):
        slope(LOSSES["hinge"], torch.tensor([1]))
    with pytest.raises(ValueError, match="one value for each margin"):
        slope(torch.sum, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(("D", "degree"), [(1, 5), (3, 2), (4, 3), (2, 1)])
def test_features_written_down_have_the_products_of_the_kernel(D: int, degree: int) -> None:
    generator = torch.Generator().manual_seed(D)
    x, z = (torch.randn(n, D, generator=generator, dtype=torch.float64) for n in (5, 7))
    phi = polynomial_features(x, degree)
    assert phi.shape == (5, math.comb(D + degree, degree))
    torch.testing.assert_close(phi @ polynomial_features(z, degree).T, (1 + x @ z.T) ** degree)
    torch.testing.assert_close(polynomial_kernel(x, z, degree=degree), (1 + x @ z.T) ** degree)


def test_the_gaussian_kernel_and_its_random_features() -> None:
    x, z = np.random.default_rng(0).standard_normal((2, 20, 3))
    exact = gaussian_kernel(x, z, width=1.5)
    np.testing.assert_allclose(exact, rbf_kernel(x, z, gamma=1 / (2 * 1.5**2)), atol=1e-14)
    errors = []
    for count in (500, 50_000):
        phi = random_fourier_features(
            np.vstack([x, z]), count, width=1.5, generator=torch.Generator().manual_seed(0)
        )
        errors.append(float(((phi[:20] @ phi[20:].T - exact) ** 2).mean().sqrt()))
    assert errors[1] < 0.01 and 5 < errors[0] / errors[1] < 20  # like 1/√M: 10
    again = random_fourier_features(x, 10, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        again, random_fourier_features(x, 10, generator=torch.Generator().manual_seed(1))
    )


@pytest.mark.parametrize("loss", ["logistic", "squared", "squared_hinge", "hinge"])
@pytest.mark.parametrize("intercept", [True, False])
def test_a_kernel_is_features_never_written_down(loss: str, intercept: bool) -> None:
    x, y = make_moons(60, noise=0.2, random_state=0)
    s = 2 * y - 1
    cubic = functools.partial(polynomial_kernel, degree=3)
    dual = fit_kernel(x, s, kernel=cubic, loss=loss, intercept=intercept)
    primal = fit_linear(polynomial_features(x, 3), s, loss=loss, intercept=intercept)
    new = np.random.default_rng(1).standard_normal((40, 2))
    torch.testing.assert_close(
        dual.scores(new), primal.scores(polynomial_features(new, 3)), atol=1e-5, rtol=0
    )
    assert dual.value == pytest.approx(primal.value, rel=1e-9) and dual.converged
    torch.testing.assert_close(
        polynomial_features(x, 3).T @ dual.coefficients, primal.weights, atol=1e-5, rtol=0
    )


def test_the_kernel_machine_of_others() -> None:
    x, y = make_moons(80, noise=0.2, random_state=0)
    mine = fit_kernel(
        x, 2 * y - 1, kernel=functools.partial(gaussian_kernel, width=0.5), loss="hinge", penalty=0.1
    )
    theirs = sklearn.svm.SVC(C=10, gamma=2.0, tol=1e-8).fit(x, y)
    np.testing.assert_allclose(mine.scores(x), theirs.decision_function(x), atol=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: polynomial_features(X, 0), ValueError, "degree must be at least 1"),
        (lambda: polynomial_features(np.ones((100, 784)), 4), ValueError, "use polynomial_kernel"),
        (lambda: polynomial_kernel(X, [[1.0, 2.0]]), ValueError, "z must have 1 features"),
        (lambda: gaussian_kernel(X, X, width=0), ValueError, "width must be finite and positive"),
        (lambda: gaussian_kernel(scipy.sparse.csr_matrix(X), X), TypeError, "x must be dense"),
        (lambda: random_fourier_features(X, 0), ValueError, "count must be at least 1"),
        (lambda: fit_kernel(X, Y, kernel="rbf"), TypeError, "kernel must be a function"),
        (lambda: fit_kernel(X, Y, kernel=lambda x, z: x), ValueError, "symmetric matrix"),
        (lambda: fit_kernel(X, Y, kernel=lambda x, z: -torch.eye(3)), ValueError, "positive semidefinite"),
        (
            lambda: fit_kernel(X, Y, kernel=lambda x, z: torch.diag(torch.tensor([1.0, 1.0, -0.5]))),
            ValueError,
            "positive semidefinite",
        ),
        (
            lambda: fit_kernel(X, Y, kernel=lambda x, z: 1 + torch.eye(3) + 0.01 * torch.ones(3, 3).triu()),
            ValueError,
            "symmetric matrix",
        ),
        (lambda: fit_kernel(scipy.sparse.csr_matrix(X), Y, kernel=polynomial_kernel), TypeError, "dense"),
    ],
)
def test_what_kernels_refuse(call: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        call()
