"""Composed functions: threshold units, networks, autoencoders, the judge of digits (chapter 3).

=======================  ========================================================================
what is the function?    `threshold_network`, `compile_truth_table`; `MLP`
why deep?                `tent_network`, `linear_pieces`
why not a polynomial?    `least_squares`, `RandomFeatures`, `double_descent`
what are the variables?  `Autoencoder`, `principal_autoencoder`, `letters_on_background`
really: digits           `DigitClassifier`, `train_digit_classifier`; `judge`, `frechet_distance`
really: text             `Vocabulary`, `AveragedVectors`, `train_averaged_vectors`
=======================  ========================================================================
"""

from kexue_lite.networks.autoencoder import Autoencoder, pca_error, principal_autoencoder
from kexue_lite.networks.depth import Pieces, linear_pieces, tent, tent_network
from kexue_lite.networks.digits import DigitClassifier, distorted, train_digit_classifier
from kexue_lite.networks.fitting import DoubleDescent, RandomFeatures, double_descent, least_squares
from kexue_lite.networks.judge import Judge, judge, save_judge
from kexue_lite.networks.letters import Letters, letters_on_background
from kexue_lite.networks.logic import (
    GATES,
    compile_truth_table,
    linearly_separable,
    threshold_network,
    threshold_unit,
    truth_table_inputs,
)
from kexue_lite.networks.mlp import ACTIVATIONS, MLP
from kexue_lite.networks.scores import Accuracy, accuracy, frechet_distance
from kexue_lite.networks.sentiment import (
    TextClassifier,
    TextRecipe,
    bag_of_words_baseline,
    train_averaged_vectors,
)
from kexue_lite.networks.text import AveragedVectors, Bags, Vocabulary, words

__all__ = [
    "ACTIVATIONS",
    "GATES",
    "MLP",
    "Accuracy",
    "Autoencoder",
    "AveragedVectors",
    "Bags",
    "DigitClassifier",
    "DoubleDescent",
    "Judge",
    "Letters",
    "Pieces",
    "RandomFeatures",
    "TextClassifier",
    "TextRecipe",
    "Vocabulary",
    "accuracy",
    "bag_of_words_baseline",
    "compile_truth_table",
    "distorted",
    "double_descent",
    "frechet_distance",
    "judge",
    "least_squares",
    "letters_on_background",
    "linear_pieces",
    "linearly_separable",
    "pca_error",
    "principal_autoencoder",
    "save_judge",
    "tent",
    "tent_network",
    "threshold_network",
    "threshold_unit",
    "train_averaged_vectors",
    "train_digit_classifier",
    "truth_table_inputs",
    "words",
]
