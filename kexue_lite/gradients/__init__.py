"""A learning rate for each layer, and gradients changed on their way: the room of chapter 5.

With θ = λφ the optimiser holds φ = θ/λ, and the rate that θ feels is λᵖ times the optimiser's.

=============================  =============================================================================
`scale_learning_rate`          λ = ratio^(1/p) put on a module, values unchanged, taken off at any time
`unscale_learning_rate`        all of it taken off, also from a deep copy
`plain_state_dict`             weights to save as if nothing had been scaled
`learning_rate_exponent`       the p of an optimiser: 2 for SGD, 1 for Adam, 0 for Adafactor
`measure_exponent`             p measured, for any optimiser; `cases` and `measure_case` for all of torch's
`transform_gradients`          a chain of transforms hung on an optimiser
`clip_norm` and others         transforms: `multiply`, `only`, `clip_adaptive`, `centralise`, `freeze`, `zero`
=============================  =============================================================================

The source is Su Jianlin, article 6418 of kexue.fm (2019). His Θ = λφ is our θ = λφ, and α the learning rate.
"""

from .checkpoints import plain_state_dict
from .laws import LAWS, Law, learning_rate_exponent
from .measure import Measured, measure_exponent
from .scale import ScaledLearningRate, scale_learning_rate, unscale_learning_rate
from .survey import Case, cases, measure_case, shipped
from .transforms import (
    Gradients,
    TransformedGradients,
    centralise,
    clip_adaptive,
    clip_norm,
    freeze,
    multiply,
    only,
    transform_gradients,
    zero,
)

__all__ = [
    "LAWS",
    "Case",
    "Gradients",
    "Law",
    "Measured",
    "ScaledLearningRate",
    "TransformedGradients",
    "cases",
    "centralise",
    "clip_adaptive",
    "clip_norm",
    "freeze",
    "learning_rate_exponent",
    "measure_case",
    "measure_exponent",
    "multiply",
    "only",
    "plain_state_dict",
    "scale_learning_rate",
    "shipped",
    "transform_gradients",
    "unscale_learning_rate",
    "zero",
]
