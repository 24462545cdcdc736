"""Denoising diffusion: tearing down, building up (chapter 7).

=======================  ========================================================================
how is it torn down?     `Schedule`, `q_sample`; `Schedule.from_ho`, `.to_ho`
what is learned?         `loss`, `weight_of`, `noisy_batches`; `rotate`, `removed_share`
in whose letters?        `article_noise`, `unit_noise`
how is it built up?      `sample`, `p_sample`, `ddim_sample`; `Schedule.every` for fewer steps
is the sampler right?    `gaussian_noise`, `sampled_variance`, `Mixture`: the best model is known
with which network?      `UNet`, `Denoiser`, `NoiseModel`
all of it, for pictures  `train_pictures`, `Recipe`, `PictureModel`, `level_density`, `Clouds`
is it any good?          `quality`, `nearest`
=======================  ========================================================================

`model(x, t)` predicts the noise of unit variance (the ε_θ of Ho, Jain, Abbeel 2020); t = 1, ..., T.
The source is Su Jianlin, article 9119 of kexue.fm (2022), whose α_t, β_t, ᾱ_t, β̄_t are used.
"""

from .clouds import Clouds
from .exact import Mixture, gaussian_noise, sampled_variance
from .pictures import PictureModel, Recipe, TrainedPictures, level_density, train_pictures
from .predict import Denoiser, NoiseModel, TimeFeatures
from .process import article_noise, loss, noisy_batches, q_sample, unit_noise, weight_of
from .quality import Nearest, Quality, nearest, quality
from .rotation import removed_share, rotate, rotate_back
from .sampling import ddim_sample, p_sample, picture_of, sample, sigma_of
from .schedule import Schedule
from .unet import UNet

__all__ = [
    "Clouds",
    "Denoiser",
    "Mixture",
    "Nearest",
    "NoiseModel",
    "PictureModel",
    "Quality",
    "Recipe",
    "Schedule",
    "TimeFeatures",
    "TrainedPictures",
    "UNet",
    "article_noise",
    "ddim_sample",
    "gaussian_noise",
    "level_density",
    "loss",
    "nearest",
    "noisy_batches",
    "p_sample",
    "picture_of",
    "q_sample",
    "quality",
    "removed_share",
    "rotate",
    "rotate_back",
    "sample",
    "sampled_variance",
    "sigma_of",
    "train_pictures",
    "unit_noise",
    "weight_of",
]
