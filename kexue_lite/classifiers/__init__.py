"""Features, scores, margins: the room of chapter 2.

One skeleton carries least squares, the perceptron, logistic regression and support vector machines:
features x give a score s = w·x + b, the score and the label y = ±1 give a margin m = y s, a loss ℓ(m)
judges it, and a penalty ½λ‖w‖² keeps w small. The methods differ by one curve, ℓ.

===========================  =============================================================================
`fit_linear`                 the skeleton: any of the losses, by the same ten lines
`LOSSES`                     the curves: `squared`, `perceptron`, `logistic`, `hinge`, `squared_hinge`, ...
`LogisticRegression`         the craft: many classes, sparse matrices, a GPU, scikit-learn's contract
`LinearSVC`                  the same for the (squared) hinge, one class against the rest
`fit_kernel`                 features never written down: `polynomial_kernel`, `gaussian_kernel`
`polynomial_features`        the same features written down, where that is possible
`random_fourier_features`    a few random ones where it is not
===========================  =============================================================================

The question is Su Jianlin's (kexue.fm, article 3319, 2015): why are there so many algorithms? The objectives
are scikit-learn's, whose C is our 1/λ.
"""

from .estimators import LinearSVC, LogisticRegression
from .kernels import (
    KernelFit,
    fit_kernel,
    gaussian_kernel,
    polynomial_features,
    polynomial_kernel,
    random_fourier_features,
)
from .losses import LOSSES, hinge, logistic, perceptron, slope, squared, squared_hinge, zero_one
from .skeleton import LinearFit, fit_linear

__all__ = [
    "LOSSES",
    "KernelFit",
    "LinearFit",
    "LinearSVC",
    "LogisticRegression",
    "fit_kernel",
    "fit_linear",
    "gaussian_kernel",
    "hinge",
    "logistic",
    "perceptron",
    "polynomial_features",
    "polynomial_kernel",
    "random_fourier_features",
    "slope",
    "squared",
    "squared_hinge",
    "zero_one",
]
