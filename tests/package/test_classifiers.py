"""The estimators: minima by scikit-learn, paths that must agree, invariances, and input that is refused."""

from __future__ import annotations

import itertools
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import sklearn.linear_model
import sklearn.svm
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

import kexue_lite.classifiers.table as table_module
from benchmarks import classifier_race
from kexue_lite.classifiers import LinearSVC, LogisticRegression, estimators, fit_linear, preconditioners
from kexue_lite.classifiers.newton import Descent
from kexue_lite.classifiers.objectives import Margins, Softmax
from kexue_lite.classifiers.table import Table
from kexue_lite.data import documentation_corpus

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def ill_scaled() -> tuple[np.ndarray, np.ndarray]:
    """Six features whose sizes span six orders of magnitude, three classes."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 6))
    y = (X @ rng.standard_normal((6, 3)) + rng.gumbel(size=(300, 3))).argmax(1)
    return X * 10.0 ** np.arange(-3, 3), y


def which_library() -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """Every 60th docstring as sparse tf-idf; the label is the library that it is from."""
    corpus = documentation_corpus()
    X = TfidfVectorizer(analyzer=lambda words: words).fit_transform(corpus.documents[::60])
    return X.tocsr(), np.array(corpus.libraries[::60])


SETS = {
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
    "iris": lambda: load_iris(return_X_y=True),
    "ill-scaled": ill_scaled,
    "tf-idf": which_library,
}


@pytest.fixture(scope="module", params=SETS)
def data(request: pytest.FixtureRequest) -> tuple[Any, np.ndarray]:
    return SETS[request.param]()


def reference(kind: str, X: Any, y: Any, C: float = 1.0, **options: Any) -> Any:
    """scikit-learn's estimator, brought to its last digits."""
    if kind == "logistic":
        solver = "newton-cg" if scipy.sparse.issparse(X) else "newton-cholesky"
        return sklearn.linear_model.LogisticRegression(
            C=C, solver=solver, tol=1e-11, max_iter=2000, **options
        )
    return sklearn.svm.LinearSVC(C=C, dual=False, tol=1e-11, max_iter=100_000, **options)


def ours(kind: str, C: float = 1.0, **options: Any) -> Any:
    return (LogisticRegression if kind == "logistic" else LinearSVC)(C, **options)


def apart(a: Any, b: Any) -> float:
    return max(np.abs(a.coef_ - b.coef_).max(), np.abs(a.intercept_ - b.intercept_).max())


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_coefficients_are_those_of_scikit_learn(kind: str, data: tuple[Any, np.ndarray]) -> None:
    X, y = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of theirs, at so small a tol
        theirs = reference(kind, X, y).fit(X, y)
    mine = ours(kind).fit(X, y)
    assert apart(mine, theirs) < 1e-4
    assert mine.coef_.shape == theirs.coef_.shape and (mine.classes_ == theirs.classes_).all()
    assert (mine.predict(X) == theirs.predict(X)).all()
    np.testing.assert_allclose(mine.decision_function(X), theirs.decision_function(X), atol=2e-3)


@pytest.mark.parametrize("weight", ["balanced", {0: 3.0, 2: 0.5}])
@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
@pytest.mark.parametrize("classes", [2, 3])
def test_weights_of_classes_and_examples_are_scikit_learns(kind: str, classes: int, weight: Any) -> None:
    X, y = load_wine(return_X_y=True)
    X, y = StandardScaler().fit_transform(X)[y < classes], y[y < classes]
    weight = weight if weight == "balanced" or classes == 3 else {0: 3.0}
    s = np.random.default_rng(0).uniform(0, 2, len(y))
    theirs = reference(kind, X, y, 0.3, class_weight=weight).fit(X, y, sample_weight=s)
    assert apart(ours(kind, 0.3, class_weight=weight).fit(X, y, sample_weight=s), theirs) < 1e-5


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_a_weight_of_two_is_an_example_given_twice(kind: str) -> None:
    X, y = load_iris(return_X_y=True)
    s = np.random.default_rng(1).integers(0, 3, len(y))
    repeated = ours(kind).fit(X.repeat(s, axis=0), y.repeat(s))
    assert apart(ours(kind).fit(X, y, sample_weight=s), repeated) < 1e-6


def test_the_intercept_of_the_support_vector_machine_is_penalised_as_by_liblinear() -> None:
    X, y = load_iris(return_X_y=True)
    for scaling in (0.5, 1.0, 10.0):
        mine = LinearSVC(intercept_scaling=scaling).fit(X, y)
        assert apart(mine, reference("svm", X, y, intercept_scaling=scaling).fit(X, y)) < 1e-5
    mine = ours("logistic", fit_intercept=False).fit(X, y)
    assert apart(mine, reference("logistic", X, y, fit_intercept=False).fit(X, y)) < 1e-6
    assert not mine.intercept_.any()


@pytest.mark.parametrize("kind", ["exact", "kronecker", "diagonal"])
@pytest.mark.parametrize("loss", ["logistic", "squared hinge"])
@pytest.mark.parametrize("sparse", [False, True])
def test_all_ways_lead_to_the_same_minimum(
    kind: str, loss: str, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 5] / 16, y[y < 5]
    monkeypatch.setattr(preconditioners, "CHEAP", 1e12 if kind == "exact" else 0)
    monkeypatch.setattr(preconditioners, "WIDEST", 10 if kind == "diagonal" else 2500)
    monkeypatch.setattr(preconditioners, "SAMPLE", 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = ours(loss, tol=1e-13).fit(scipy.sparse.csr_matrix(X) if sparse else X, y)
    assert apart(model, reference(loss, X, y).fit(X, y)) < 1e-4


def test_what_the_table_multiplies() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 400))  # more than one block
    W, S = torch.tensor(rng.standard_normal((3, 401))), torch.tensor(rng.standard_normal((3, 3000)))
    full = torch.tensor(np.hstack([X, np.ones((3000, 1))]))
    c = S[0] ** 2
    for stored in (X, scipy.sparse.csr_matrix(X)):
        table = Table(stored, ones=True, device=torch.device("cpu"))
        torch.testing.assert_close(table.scores(W), W @ full.T)
        torch.testing.assert_close(table.back(S), S @ full)
        assert table.passes == 2
        T, G = table.sweep(W, lambda rows, T: T**3 * S[:, rows])
        torch.testing.assert_close(T, W @ full.T)
        torch.testing.assert_close(G, ((W @ full.T) ** 3 * S) @ full)
        assert table.passes == (3 if table.dense else 4)
        rows = torch.arange(0, 3000, 7)
        torch.testing.assert_close(table.gram(c[rows], rows), full[rows].T @ (full[rows] * c[rows, None]))
        torch.testing.assert_close(table.squares(S**2), S**2 @ full**2)


def test_a_sparse_matrix_is_not_made_dense() -> None:
    """20,000 × 300,000 numbers would be 48 GB."""
    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array((20_000, 300_000), density=1e-5, format="csr", rng=rng)
    y = np.asarray(X.sum(1)).ravel() > np.median(np.asarray(X.sum(1)))
    for model in (LogisticRegression(tol=1e-4), LinearSVC(tol=1e-4)):
        assert model.fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_float32_stays_float32_and_is_near_float64(
    kind: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 5] / 16, y[y < 5]
    if large:  # products in float32 throughout, to the end that rounding sets
        monkeypatch.setattr(estimators, "SMALL", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        single = ours(kind).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32 and single.n_iter_ < 60
    assert apart(single, ours(kind).fit(X, y)) < (1e-3 if large else 1e-6)


def test_rounding_ends_a_descent_that_can_get_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = load_iris(return_X_y=True)
    monkeypatch.setattr(estimators, "SMALL", 0)  # float32 throughout, and tol far below its rounding
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        single = LogisticRegression(1e3, tol=1e-14).fit(X.astype(np.float32), y)
    best = LogisticRegression(1e3).fit(X, y)
    least = classifier_race.objective("logistic", 1e3, X, y, best.coef_, best.intercept_)
    mine = classifier_race.objective("logistic", 1e3, X, y, single.coef_, single.intercept_)
    assert single.n_iter_ < 100 and mine < least * (1 + 1e-6)


def test_the_way_to_the_minimum_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """118 readings of X; 210 without the scale of the last step, 335 if the matrix is never made anew."""
    X, y = load_digits(return_X_y=True)
    monkeypatch.setattr(preconditioners, "CHEAP", 0)  # L-BFGS from the Kronecker matrix
    assert LogisticRegression(100, tol=1e-8).fit(X / 16, y).n_passes_ < 160


def test_a_sample_of_rows_stands_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inverse made from 48 of 4,000 rows is near the Hessian's, and not 80 times too large."""
    monkeypatch.setattr(preconditioners, "CHEAP", 0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, 5))
    table, ridge = Table(X, ones=True, device=torch.device("cpu")), torch.ones(6).double()
    make = preconditioners.Preconditioner(table, ridge, 1, coupled=False)
    assert make.kind == "kronecker" and len(make.rows) == 48
    one, nothing = torch.ones(1, 4000).double(), torch.zeros(1, 4000).double()
    full = np.hstack([X, np.ones((4000, 1))])
    exact = np.linalg.inv(full.T @ full / 4 + np.eye(6))  # σ' = 1/4 at scores 0
    near = make(Margins(one, one, "logistic"), nothing, 0)(torch.eye(6).double()[:1]).numpy()[0]
    assert np.linalg.norm(near - exact[0]) < 0.6 * np.linalg.norm(exact[0])


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_blocks_of_rows_and_their_weights_belong_together(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = load_wine(return_X_y=True)
    X, s = StandardScaler().fit_transform(X), np.random.default_rng(0).uniform(0, 3, len(y))
    whole = ours(kind).fit(X, y, sample_weight=s)
    monkeypatch.setattr(table_module, "BLOCK", 1)  # as few rows in a block as there may be
    assert apart(ours(kind).fit(X, y, sample_weight=s), whole) < 1e-9


@pytest.mark.parametrize("kind", ["softmax", "logistic", "squared_hinge", "hinge"])
def test_slopes_and_curvatures_are_the_derivatives_of_the_value(kind: str) -> None:
    rng = np.random.default_rng(0)
    S, a = torch.tensor(rng.normal(size=(3, 40)) * 2), torch.tensor(rng.uniform(0, 2, (1, 40)))
    labels = torch.tensor(rng.integers(0, 3, (1, 40)))
    signs = 2.0 * (labels == torch.arange(3)[:, None]) - 1
    objective: Any = Softmax(labels, a) if kind == "softmax" else Margins(signs.double(), a, kind, 0.3)
    leaf = S.clone().requires_grad_()
    by_autograd = torch.autograd.grad(objective.value(leaf).sum(), leaf)[0]
    torch.testing.assert_close(objective.slopes(S), by_autograd)
    rows = slice(10, 25)
    torch.testing.assert_close(objective.slopes(S[:, rows], rows), by_autograd[:, rows])
    curvature, step = objective.curvature(S), 1e-6  # no margin is this near to a corner
    for k, l in itertools.product(range(3), repeat=2):
        e = step * (torch.arange(3)[:, None] == l)
        second = (objective.slopes(S + e)[k] - objective.slopes(S - e)[k]) / (2 * step)
        mine = curvature.diagonal[k] if k == l else curvature.between(k, l)
        torch.testing.assert_close(mine, second, atol=1e-6, rtol=1e-6)
        assert float(curvature.mean[k, l]) == pytest.approx(float(second.mean()), abs=1e-6)


def test_a_coarse_tol_still_ends_with_a_full_newton_step() -> None:
    X, y = load_iris(return_X_y=True)
    best, coarse = LogisticRegression().fit(X, y), LogisticRegression(tol=1e-2).fit(X, y)
    least, mine = (
        classifier_race.objective("logistic", 1, X, y, model.coef_, model.intercept_)
        for model in (best, coarse)
    )
    assert coarse.n_iter_ < best.n_iter_ and mine < least * (1 + 1e-4)


def test_a_step_is_shortened_where_the_slope_has_turned() -> None:
    """log(1 + e^−w) + ½w² from 0 to 0.8: lower than at its start, but far up the other side."""
    table = Table(np.ones((1, 1)), ones=False, device=torch.device("cpu"))
    one, nothing = torch.ones(1, 1).double(), torch.zeros(1, 1).double()
    objective = Margins(one, one, "logistic")
    descent = Descent(
        table, objective, one[0], preconditioners.Preconditioner(table, one[0], 1, coupled=False)
    )
    P, F = 0.8 * one, descent.value(nothing, nothing)
    assert float(descent.value(P, P)) < float(F)
    t = descent.search(nothing, nothing, P, P, F, -0.5 * P)
    w = float(t * P)
    assert 0.1 < w < 0.8 and abs(w - 1 / (1 + np.exp(w))) < 0.5 * 0.5
    assert float(descent.search(nothing, nothing, P / 2, P / 2, F, -0.25 * one)) == 1  # that one is good


def test_a_preconditioner_without_any_curvature_is_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saturated logistic losses have none, and a free intercept has no penalty either."""
    X = load_iris().data
    for widest, cheap in ((2500, 1e9), (2500, 0), (2, 0)):
        monkeypatch.setattr(preconditioners, "WIDEST", widest)
        monkeypatch.setattr(preconditioners, "CHEAP", cheap)
        table = Table(X, ones=True, device=torch.device("cpu"))
        ridge = torch.tensor([1.0, 1, 1, 1, 0]).double()
        nothing = torch.zeros(1, len(X)).double()
        make = preconditioners.Preconditioner(table, ridge, 1, coupled=False)
        solve = make(Margins(torch.ones_like(nothing), nothing, "logistic"), nothing, 0)
        solved = solve(torch.tensor([[2.0, 2, 2, 2, 0]]).double())
        torch.testing.assert_close(solved, torch.tensor([[2.0, 2, 2, 2, 0]]).double(), rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_device_changes_nothing(kind: str, sparse: bool, device: str) -> None:
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    given = scipy.sparse.csr_matrix(X) if sparse else X
    assert apart(ours(kind, device=device).fit(given, y), ours(kind).fit(X, y)) < 1e-6


def test_the_hinge_is_that_of_the_readable_twin_and_no_worse_than_liblinear() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    s = 2 * y - 1
    mine = LinearSVC(loss="hinge").fit(X, y)
    twin = fit_linear(np.hstack([X, np.ones((len(X), 1))]), s, loss="hinge", intercept=False)
    np.testing.assert_allclose(np.append(mine.coef_, mine.intercept_), twin.weights, atol=1e-7)
    theirs = sklearn.svm.LinearSVC(loss="hinge", tol=1e-9, max_iter=1_000_000, random_state=0).fit(X, y)

    def value(model: Any) -> float:
        w = np.append(model.coef_, model.intercept_)
        return w @ w / 2 + np.maximum(0, 1 - s * model.decision_function(X)).sum()

    assert value(mine) < value(theirs) + 1e-5 and apart(mine, theirs) < 1e-3


def test_three_classes_by_hinge_are_three_problems() -> None:
    X, y = load_iris(return_X_y=True)
    together = LinearSVC(loss="hinge").fit(X, y)
    for k in range(3):
        alone = LinearSVC(loss="hinge").fit(X, y == k)
        np.testing.assert_allclose(together.coef_[k], alone.coef_[0], atol=1e-6)


def gradient_norm(model: Any, X: np.ndarray, y: np.ndarray) -> float:
    """‖∇F‖ by numpy alone, for three classes."""
    ones, Y = np.ones((len(X), 1)), y[:, None] == model.classes_
    if isinstance(model, LogisticRegression):
        R, free = model.predict_proba(X) - Y, 0
    else:
        signs = 2 * Y - 1
        R, free = -2 * signs * np.maximum(0, 1 - signs * model.decision_function(X)), 1
    W = np.hstack([model.coef_, free * model.intercept_[:, None]])
    return float(np.linalg.norm(R.T @ np.hstack([X, ones]) + W))


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_it_warns_when_it_did_not_converge_and_says_how_far_it_is(kind: str) -> None:
    X, y = load_wine(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="gradient's norm is .* raise max_iter or scale"):
        model = ours(kind, max_iter=3).fit(X, y)
    assert model.n_iter_ == 3 and model.gradient_norm_ == pytest.approx(gradient_norm(model, X, y), rel=1e-6)
    best = ours(kind).fit(X, y)
    assert best.gradient_norm_ < 1e-6 * model.gradient_norm_ and best.n_passes_ > best.n_iter_
    if kind != "logistic":  # all is penalised, so F is strongly convex with modulus 1
        there = np.hstack([model.coef_ - best.coef_, (model.intercept_ - best.intercept_)[:, None]])
        assert np.linalg.norm(there) <= model.gradient_norm_


def test_probabilities() -> None:
    X, y = load_wine(return_X_y=True)
    for wanted in ([0, 1], [0, 1, 2]):
        rows = np.isin(y, wanted)
        mine = LogisticRegression().fit(X[rows], y[rows])
        p, theirs = mine.predict_proba(X), reference("logistic", X, y).fit(X[rows], y[rows]).predict_proba(X)
        np.testing.assert_allclose(p, theirs, atol=1e-6)
        np.testing.assert_allclose(p.sum(1), 1)
        np.testing.assert_allclose(np.log(p), mine.predict_log_proba(X), atol=1e-9)
        far = mine.predict_log_proba(1e6 * X)
        assert np.isfinite(far).all() and far.min() < -1000  # where the probability itself is 0
    assert abs(mine.intercept_.sum()) < 1e-12
    assert not hasattr(LinearSVC(), "predict_proba")


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_order_names_and_units_change_what_they_should(kind: str) -> None:
    X, y = load_iris(return_X_y=True)
    model, order = ours(kind).fit(X, y), np.random.default_rng(0).permutation(len(y))
    assert apart(model, ours(kind).fit(X[order], y[order])) < 1e-9
    named = ours(kind).fit(X, np.array(["c", "a", "b"])[y])
    np.testing.assert_allclose(named.coef_, model.coef_[[1, 2, 0]], atol=1e-9)
    turned = X @ np.linalg.qr(X[::40])[0]  # rotated: ‖w‖ is what is penalised
    assert turned.shape == X.shape
    scores = ours(kind).fit(turned, y).decision_function(turned)
    np.testing.assert_allclose(scores, model.decision_function(X), atol=1e-6)


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_a_constant_feature_is_harmless(kind: str) -> None:
    X, y = load_iris(return_X_y=True)
    padded = np.hstack([X, np.zeros((len(X), 1))])
    model = ours(kind).fit(padded, y)
    assert not model.coef_[:, 4].any()
    np.testing.assert_allclose(model.coef_[:, :4], ours(kind).fit(X, y).coef_, atol=1e-7)
    fives = np.hstack([X, np.full((len(X), 1), 5.0)])
    assert apart(ours(kind).fit(fives, y), reference(kind, fives, y).fit(fives, y)) < 1e-4
    if kind == "logistic":  # the free intercept does it all
        assert np.abs(ours(kind).fit(fives, y).coef_[:, 4]).max() < 1e-9


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
@pytest.mark.parametrize("C", [1e-10, 1e-5, 1e5, 1e10])
def test_extreme_penalties(kind: str, C: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 5))
    y = X[:, 0] + rng.standard_normal(120) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        mine = ours(kind, C).fit(X, y)
    theirs = reference(kind, X, y, C).fit(X, y)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=1e-5)


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_units_of_the_features_and_of_the_penalty_are_one(kind: str) -> None:
    """Features c times as large with a C of 1/c²: the same scores, weights 1/c times as large."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 5))
    y = X[:, 0] + rng.standard_normal(120) > 0
    model = ours(kind, fit_intercept=False).fit(X, y)
    for c in (1e-6, 1e6):
        scaled = ours(kind, 1 / c**2, fit_intercept=False)
        # F is c² times as small or large; no product of these is beyond float64.
        np.testing.assert_allclose(scaled.fit(c * X, y).coef_ * c, model.coef_, rtol=1e-6)


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_what_a_stored_matrix_looks_like_does_not_matter(kind: str) -> None:
    X = scipy.sparse.random_array((90, 6), density=0.5, format="csr", rng=np.random.default_rng(0))
    y = np.arange(90) % 3
    expected = ours(kind).fit(X.toarray(), y)
    wide = X.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    halves = scipy.sparse.csr_array(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), X.shape
    )
    fixed = X.toarray()
    fixed.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for stored in (wide, halves, X.tocsc(), X.tocoo(), X.tolil(), np.asfortranarray(fixed), fixed):
            assert apart(ours(kind).fit(stored, y), expected) < 1e-9
    np.testing.assert_array_equal(expected.predict(X), expected.predict(X.toarray()))


@pytest.mark.parametrize("estimator", [LogisticRegression, LinearSVC])
def test_copies_and_second_fits_are_the_same(estimator: Any) -> None:
    X, y = load_iris(return_X_y=True)
    state, model = torch.get_rng_state(), estimator(C=3.0).fit(X, y)
    first = model.coef_.copy()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    np.testing.assert_array_equal(model.fit(X[:, :2], y).fit(X, y).coef_, first)  # nothing is warm
    np.testing.assert_array_equal(clone(model).fit(X, y).coef_, first)
    assert clone(model).get_params() == model.get_params() and not hasattr(clone(model), "coef_")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_a_score_of_zero_goes_to_the_first_class_as_in_scikit_learn(kind: str) -> None:
    X, y = np.zeros((4, 1)), np.array(["a", "a", "b", "b"])
    mine, theirs = ours(kind).fit(X, y), reference(kind, X, y).fit(X, y)
    assert not mine.decision_function(X).any() and mine.predict(X).tolist() == theirs.predict(X).tolist()
    assert mine.predict(X).tolist() == ["a"] * 4


def test_labels_never_seen_count_as_mistakes() -> None:
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression().fit(X[y < 2], y[y < 2])
    assert model.score(X[y < 2], y[y < 2]) == 1 and model.score(X, y) == pytest.approx(2 / 3)


X2, Y2 = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]]), np.array([0, 1, 1])


@pytest.mark.parametrize("estimator", [LogisticRegression, LinearSVC])
@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"C": 0}, ValueError, "C must be positive"),
        ({"C": -1.0}, ValueError, "C must be positive"),
        ({"C": np.inf}, ValueError, "C must be positive and finite"),
        ({"C": "1"}, TypeError, "C must be a number"),
        ({"tol": 0.0}, ValueError, "tol must be positive"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1"),
        ({"max_iter": 2.5}, TypeError, "max_iter must be a whole number"),
        ({"fit_intercept": "yes"}, TypeError, "fit_intercept must be True or False"),
        ({"class_weight": "fair"}, ValueError, "class_weight"),
        ({"class_weight": {0: -2.0, 1: 1.0}}, ValueError, "class_weight must be finite and at least 0"),
        ({"class_weight": {0: np.nan, 1: 1.0}}, ValueError, "class_weight must be finite and at least 0"),
        ({"device": "abacus"}, ValueError, "device"),
    ],
)
def test_parameters_that_are_refused(estimator: Any, options: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        estimator(**options).fit(X2, Y2)


@pytest.mark.parametrize("estimator", [LogisticRegression, LinearSVC])
@pytest.mark.parametrize(
    ("X", "y", "weight", "error", "match"),
    [
        (X2, [1, 1, 1], None, ValueError, "one class"),
        (X2[:1], [1], None, ValueError, "one class|minimum of 2"),
        (X2 * np.nan, Y2, None, ValueError, "NaN"),
        (X2 + np.inf, Y2, None, ValueError, "infinity"),
        (X2, [0.5, 1.5, 2.5], None, ValueError, "continuous"),
        (
            X2,
            np.array([0, "a", None], dtype=object),
            None,
            (ValueError, TypeError),
            "label type|Unknown|supported",
        ),
        (X2, [0, 1], None, ValueError, "inconsistent numbers"),
        (X2[0], Y2, None, ValueError, "2D array"),
        (X2.astype(complex), Y2, None, ValueError, "[Cc]omplex"),
        ([["a", "b"], ["c", "d"], ["e", "f"]], Y2, None, ValueError, "could not convert|dtype"),
        (X2, Y2, [1.0, -1.0, 1.0], ValueError, "[Nn]egative"),
        (X2, Y2, [1.0, 1.0], ValueError, "shape"),
        (X2, Y2, [0.0, 0.0, 0.0], ValueError, "at least one non-zero"),
        (X2, Y2, [1.0, np.nan, 1.0], ValueError, "NaN"),
    ],
)
def test_data_that_is_refused(estimator: Any, X: Any, y: Any, weight: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        estimator().fit(X, y, sample_weight=weight)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="'squared_hinge' or 'hinge', got 'logistic'"):
        LinearSVC(loss="logistic").fit(X2, Y2)
    with pytest.raises(ValueError, match="intercept_scaling must be positive"):
        LinearSVC(intercept_scaling=0).fit(X2, Y2)
    with pytest.raises(NotFittedError):
        LogisticRegression().predict(X2)
    with pytest.raises(ValueError, match=r"has 1 features, but .* expecting 2"):
        LinearSVC().fit(X2, Y2).predict(X2[:, :1])


def test_half_precision_is_computed_in_double() -> None:
    half = LogisticRegression().fit(X2.astype(np.float16), Y2)
    assert half.coef_.dtype == np.float64 and apart(half, LogisticRegression().fit(X2, Y2)) == 0


@pytest.mark.parametrize("kind", ["logistic", "squared hinge"])
def test_the_race_measures_what_it_says(kind: str) -> None:
    X, y = classifier_race.pictures(600, 0)
    assert X.shape == (600, 784) and X.min() == 0 and X.max() <= 1 and 0.3 < (X == 0).mean() < 0.7
    model, _ = classifier_race.ours(kind, 0.01, X.astype(float), y, 1e-10)
    least = classifier_race.objective(kind, 0.01, X, y, model.coef_, model.intercept_)
    worse = classifier_race.objective(kind, 0.01, X, y, 1.01 * model.coef_, model.intercept_)
    assert least < worse < 1.01 * least
    if kind == "logistic":
        before = scipy.optimize.minimize
        arrivals, reached, passes = classifier_race.lbfgs(0.01, X, y, [1.1 * least, 1.001 * least])
        assert None not in arrivals and 0 < arrivals[0][1] < arrivals[1][1] == passes
        assert least * (1 - 1e-6) < reached < 1.001 * least
        assert scipy.optimize.minimize is before


@pytest.mark.parametrize("estimator", [LogisticRegression, LinearSVC])
def test_a_device_that_is_none_is_refused_by_name(estimator: Any) -> None:
    X, y = [[0.0], [1.0], [2.0]], [0, 1, 1]
    with pytest.raises(ValueError, match=r"device must be None or name a device .* got 'nonsense'"):
        estimator(device="nonsense").fit(X, y)
    with pytest.raises(TypeError, match=r"device must be None, a name or a torch\.device, got 3\.5"):
        estimator(device=3.5).fit(X, y)
    with pytest.raises(ValueError, match=r"has float64, .* got 'meta'"):  # it holds no numbers at all
        estimator(device="meta").fit(X, y)
    assert estimator(device="cpu").fit(X, y).coef_.shape == (1, 1)
