"""Logistic regression and linear support vector machines, by scikit-learn's contract and on its objectives.

    LogisticRegression    ½‖W‖² + C Σᵢ sᵢ (log Σ_k e^(s_ik) − s_iy)     (two classes: log(1 + e^(−ys)))
    LinearSVC             ½(‖w‖² + b²/ι²) + C Σᵢ sᵢ max(0, 1 − y(w·x + b))²   for each class against the rest

with weights sᵢ; ι is the intercept scaling of liblinear, whose intercept is penalised; that of logistic
regression is free. The minimum is that of scikit-learn's estimators; the way to it is ours (`newton`): matrix
products in the type of X (float32 or float64), everything small in float64, on any device of torch that has
float64.
"""

from __future__ import annotations

import math
import warnings
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from scipy.special import expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .newton import Descent, Solution
from .objectives import Margins, Objective, Softmax
from .preconditioners import Preconditioner
from .table import Table

SMALL = 4_000_000  # numbers in X (stored ones, if sparse) up to which float32 is computed in float64
WIDTHS = tuple(10 ** (-k / 2) for k in range(13))  # of the smeared hinge: as in `fit_linear`


class _Linear(ClassifierMixin, BaseEstimator):
    """What both have in common: everything but the loss."""

    C: float
    fit_intercept: bool
    class_weight: Any
    tol: float
    max_iter: int
    device: Any

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit.

        Parameters
        ----------
        X
            ``(N, D)``, array or scipy sparse matrix (converted to CSR, never made dense), finite. float32 and
            float64 stay what they are, all else becomes float64.
        y
            ``(N,)``, labels of at least two classes.
        sample_weight
            ``(N,)``, at least 0; None for ones.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If the data, the labels or a parameter is none that is allowed.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` steps did not reach `tol`; `gradient_norm_` says how far it is.
        """
        self._check_parameters()
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], order="C")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got only one class: {self.classes_[0]!r}")
        s = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y, sample_weight=s)
        if not np.isfinite(weights).all() or weights.min() < 0:
            raise ValueError(f"class_weight must be finite and at least 0, got {self.class_weight!r}")
        device = _device(self.device)
        # Float32 pays where X is large; where it is not, its rounding would only keep Newton from the end.
        inner = X.astype(np.float64, copy=False) if X.size <= SMALL else X
        table = Table(inner, ones=self.fit_intercept, device=device)
        solution = self._solve(table, torch.as_tensor(codes, device=device), s, weights)
        W = solution.W.cpu().numpy().astype(X.dtype)
        self.coef_ = np.ascontiguousarray(W[:, : X.shape[1]])
        self.intercept_ = W[:, -1].copy() if self.fit_intercept else np.zeros(len(W), X.dtype)
        self.n_iter_ = np.array([solution.steps], dtype=np.int32)
        self.n_passes_, self.gradient_norm_ = table.passes, solution.gradient
        if not solution.converged:
            warnings.warn(
                f"not converged to tol={self.tol} after {solution.steps} steps: the gradient's norm is "
                f"{solution.gradient:.3g} at an objective of {solution.value:.6g}; raise max_iter or scale "
                f"the data",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _solve(self, table: Table, codes: torch.Tensor, s: np.ndarray, weights: np.ndarray) -> Solution:
        raise NotImplementedError

    def _check_parameters(self) -> None:
        _real("C", self.C)
        _real("tol", self.tol)
        if not isinstance(self.max_iter, Integral) or isinstance(self.max_iter, bool):
            raise TypeError(
                f"max_iter must be a whole number, got {type(self.max_iter).__name__}: {self.max_iter!r}"
            )
        if self.max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {self.max_iter}")
        if not isinstance(self.fit_intercept, bool | np.bool_):
            raise TypeError(f"fit_intercept must be True or False, got {self.fit_intercept!r}")

    def decision_function(self, X: Any) -> np.ndarray:
        """The scores: ``(N,)`` for two classes (positive means ``classes_[1]``), ``(N, K)`` for more."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False, dtype=[np.float64, np.float32])
        scores = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The label of the largest score."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class LogisticRegression(_Linear):
    """½‖W‖² + C Σᵢ sᵢ (log Σ_k e^(s_ik) − s_iy), s = Wx + b: the minimum that scikit-learn's class seeks.

    Parameters
    ----------
    C
        Positive; 1/λ of `fit_linear`.
    fit_intercept
        Without it b = 0. It is not penalised.
    class_weight
        None, ``"balanced"`` or a dict from labels to weights, as in scikit-learn.
    tol
        Stop where F − F*, estimated by ½⟨∇F, H⁻¹∇F⟩, is below `tol` · F.
    max_iter
        Largest number of Newton steps.
    device
        Of torch, with float64 (Apple's ``mps`` has none); None is the CPU.

    Attributes
    ----------
    classes_, coef_, intercept_, n_features_in_, feature_names_in_
        As in scikit-learn: ``coef_`` is ``(1, D)`` for two classes, ``(K, D)`` for K > 2.
    n_iter_
        Newton steps, ``(1,)``.
    n_passes_
        How often X was read.
    gradient_norm_
        ‖∇F‖ at the end, the residual. Where the intercept is penalised or absent, no coefficient is further
        than this from the minimum.

    See Also
    --------
    Chapter 2; `fit_linear`, the readable twin.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> model.coef_.shape, round(float(model.score(X, y)), 3)
    ((3, 4), 0.973)
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 1e-10,
        max_iter: int = 500,
        device: Any = None,
    ) -> None:
        self.C, self.fit_intercept, self.class_weight = C, fit_intercept, class_weight
        self.tol, self.max_iter, self.device = tol, max_iter, device

    def _solve(self, table: Table, codes: torch.Tensor, s: np.ndarray, weights: np.ndarray) -> Solution:
        K = len(weights)
        a = _row(self.C * s, table) * _row(weights[codes.cpu().numpy()], table)
        objective: Objective
        if K == 2:
            objective = Margins((2 * codes - 1)[None].to(table.dtype), a, "logistic")
        else:
            objective = Softmax(codes[None], a)
        ridge = table.zeros(table.width) + 1
        if table.ones:
            ridge[-1] = 0
        scores = 1 if K == 2 else K
        preconditioner = Preconditioner(table, ridge, scores, coupled=objective.coupled)
        descent = Descent(table, objective, ridge, preconditioner)
        solution = descent.minimise(table.zeros(scores, table.width), tol=self.tol, max_iter=self.max_iter)
        if (
            K > 2 and table.ones
        ):  # a constant added to all intercepts changes nothing: scikit-learn's sum to 0
            solution.W[:, -1] -= solution.W[:, -1].mean()
        return solution

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, ``(N, K)``."""
        scores = self.decision_function(X)
        return np.stack([expit(-scores), expit(scores)], 1) if scores.ndim == 1 else softmax(scores, axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Their logarithms, finite where the probabilities are too small to be."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([-np.logaddexp(0, scores), -np.logaddexp(0, -scores)], 1)
        return log_softmax(scores, axis=1)


class LinearSVC(_Linear):
    """½(‖w‖² + b²/ι²) + C Σᵢ sᵢ max(0, 1 − y(w·x + b))² for each class against the rest, as liblinear has it.

    Parameters
    ----------
    C
        Positive; 1/λ of `fit_linear`.
    loss
        ``"squared_hinge"`` or ``"hinge"``. The hinge has a corner, so it is smeared as in `fit_linear`, over
        ±1e-6 in the end; that is slower, and meant for dense problems of moderate size.
    fit_intercept
        Without it b = 0.
    intercept_scaling
        ι: the intercept is the weight of a feature that is ι everywhere, and penalised like every weight.
    class_weight, tol, max_iter, device
        As in `LogisticRegression`; `max_iter` holds for each smearing.

    Attributes
    ----------
    classes_, coef_, intercept_, n_iter_, n_passes_, gradient_norm_, n_features_in_, feature_names_in_
        As in `LogisticRegression`.

    See Also
    --------
    Chapter 2; `fit_linear`, the readable twin.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LinearSVC().fit(X, y)
    >>> model.coef_.shape, round(float(model.score(X, y)), 3)
    ((3, 4), 0.967)
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        loss: str = "squared_hinge",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: Any = None,
        tol: float = 1e-10,
        max_iter: int = 500,
        device: Any = None,
    ) -> None:
        self.C, self.loss, self.fit_intercept, self.class_weight = C, loss, fit_intercept, class_weight
        self.intercept_scaling, self.tol, self.max_iter, self.device = (
            intercept_scaling,
            tol,
            max_iter,
            device,
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        _real("intercept_scaling", self.intercept_scaling)
        if self.loss not in ("squared_hinge", "hinge"):
            raise ValueError(f"loss must be 'squared_hinge' or 'hinge', got {self.loss!r}")

    def _solve(self, table: Table, codes: torch.Tensor, s: np.ndarray, weights: np.ndarray) -> Solution:
        K = len(weights)
        positive = codes == torch.arange(K, device=table.device)[:, None] if K > 2 else codes[None] == 1
        Y = 2 * positive.to(table.dtype) - 1
        # As in liblinear, the weight of a class counts in its own problem; "the rest" weighs 1 there.
        own = _row(weights, table).T if K > 2 else _row(weights, table)[:, 1:]
        rest = torch.ones_like(own) if K > 2 else _row(weights, table)[:, :1]
        a = _row(self.C * s, table) * torch.where(positive, own, rest)
        ridge = table.zeros(table.width) + 1
        if table.ones:
            ridge[-1] = 1 / self.intercept_scaling**2
        W, steps = table.zeros(len(Y), table.width), 0
        preconditioner = Preconditioner(table, ridge, len(Y), coupled=False)
        for width in WIDTHS if self.loss == "hinge" else (0.0,):
            descent = Descent(table, Margins(Y, a, self.loss, width), ridge, preconditioner)
            solution = descent.minimise(W, tol=self.tol, max_iter=self.max_iter)
            W, steps = solution.W, steps + solution.steps
        return Solution(W, solution.value, solution.gradient, steps, solution.converged)


def _row(values: np.ndarray, table: Table) -> torch.Tensor:
    return torch.as_tensor(values, dtype=table.dtype, device=table.device)[None]


def _device(wanted: Any) -> torch.device:
    try:
        chosen = torch.device("cpu" if wanted is None else wanted)
    except TypeError as error:
        raise TypeError(f"device must be None, a name or a torch.device, got {wanted!r}") from error
    except RuntimeError as error:
        raise _no_device(wanted, error) from error
    try:
        torch.zeros(1, dtype=torch.float64, device=chosen).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        raise _no_device(wanted, error) from error
    return chosen


def _no_device(wanted: Any, error: Exception) -> ValueError:
    return ValueError(
        f"device must be None or name a device that this machine has and that has float64, such as 'cpu' or "
        f"'cuda'; got {wanted!r} ({str(error).splitlines()[0]})"
    )


def _real(name: str, value: Any) -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be positive and finite, got {value}")
