"""scikit-learn's own checks of an estimator, unmodified: none is declared to be expected to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from kexue_lite.classifiers import LinearSVC, LogisticRegression


@parametrize_with_checks([LogisticRegression(), LinearSVC()])
def test_scikit_learns_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
