"""O-GAN: the discriminator of a GAN, turned into an encoder by one term of its loss (chapter 6).

==========================  ================================================================================
what is left of a code?     `decompose`, `normalize`, `pearson`
what is minimised?          `encoder_loss`, `generator_loss`, `joint_loss`; `match_loss`, `distance_penalty`
by what?                    `OGAN`, `Recipe`, `train_ogan`; `joint_step`, `separate_steps`
do pictures come back?      `sample`, `fresh_correlation`, `unexplained`, `linear_probe`
are they copies? how sure?  `nearest_distances`, `class_shares`, `bootstrap`
does it collapse?           `grid_points`, `coverage`, `PointOGAN`, `train_on_grid`
==========================  ================================================================================
"""

from kexue_lite.ogan.decomposition import decompose, normalize, pearson
from kexue_lite.ogan.losses import (
    distance_penalty,
    encoder_loss,
    generator_loss,
    joint_loss,
    match_loss,
)
from kexue_lite.ogan.measure import (
    bootstrap,
    class_shares,
    fresh_correlation,
    linear_probe,
    nearest_distances,
    sample,
    unexplained,
)
from kexue_lite.ogan.mixture import (
    Coverage,
    PointOGAN,
    coverage,
    grid_centres,
    grid_points,
    train_on_grid,
)
from kexue_lite.ogan.nets import OGAN
from kexue_lite.ogan.trainer import (
    GRID,
    PLAIN,
    PLAIN_GRID,
    Recipe,
    joint_step,
    last_lesson,
    separate_steps,
    train_ogan,
)
from kexue_lite.ogan.warps import draw_warps, warp

__all__ = [
    "GRID",
    "OGAN",
    "PLAIN",
    "PLAIN_GRID",
    "Coverage",
    "PointOGAN",
    "Recipe",
    "bootstrap",
    "class_shares",
    "coverage",
    "decompose",
    "distance_penalty",
    "draw_warps",
    "encoder_loss",
    "fresh_correlation",
    "generator_loss",
    "grid_centres",
    "grid_points",
    "joint_loss",
    "joint_step",
    "last_lesson",
    "linear_probe",
    "match_loss",
    "nearest_distances",
    "normalize",
    "pearson",
    "sample",
    "separate_steps",
    "train_ogan",
    "train_on_grid",
    "unexplained",
    "warp",
]
