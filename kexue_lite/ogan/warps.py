r"""Real and generated pictures, each moved a little before E looks at them (section 6.4).

With 898 pictures a discriminator soon knows them by heart, and then teaches the generator nothing. Chapter
3's cure is to show every picture a little displaced, anew each time. Here the *generated* pictures must be
displaced by the same law, or the generator would learn to displace (Zhao and others 2020; Karras and others
2020): if the displaced ones have one distribution, so have the pictures themselves, as long as the law of
displacement can be undone, as a convolution with a small blur can.

A displacement is an affine map of the plane, a matrix ``(2, 3)`` for each picture. They are drawn with the
batch, so that a step's randomness is a function of its number.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kexue_lite.arguments import real, whole

# At amount 1, as in `kexue_lite.networks.distorted`: pixels of 8, radians, shares.
SHIFT, TURN, STRETCH, SHEAR = 0.7 / 8, 0.15, 0.1, 0.15


def draw_warps(
    count: int,
    amount: float,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Small affine maps, ``(count, 2, 3)``: shift, turn, stretch and shear, uniform around none.

    Parameters
    ----------
    count
        How many, at least 1.
    amount
        0 for the identity; at 1 up to 0.7 of 8 pixels, 0.15 radians, 10 % and a slant of 0.15.
    generator
        On the same kind of device as `device`.
    dtype, device
        Of the maps.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or the generator is none, or lies elsewhere.

    Examples
    --------
    >>> maps = draw_warps(1, 0.0, generator=torch.Generator())
    >>> torch.equal(maps, torch.eye(3)[None, :2])
    True
    """
    B = whole("count", count)
    a = real("amount", amount, least=0)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    if generator.device.type != torch.device(device).type:
        raise ValueError(f"generator must lie on the device {device}, got one on {generator.device}")

    def draw(size: float) -> Tensor:
        return size * a * (2 * torch.rand(B, generator=generator, dtype=dtype, device=device) - 1)

    angle, slant = draw(TURN), draw(SHEAR)
    wide, high = 1 + draw(STRETCH), 1 + draw(STRETCH)
    right, down = draw(2 * SHIFT), draw(2 * SHIFT)  # the grid of a picture runs from −1 to 1
    first = torch.stack([angle.cos() * wide, slant - angle.sin() * wide, right], 1)
    second = torch.stack([angle.sin() * high, angle.cos() * high, down], 1)
    return torch.stack([first, second], 1)


def warp(pictures: Tensor, maps: Tensor) -> Tensor:
    """Each picture moved by its map, empty where nothing was: ``(B, H, W)``; gradients go through.

    A pixel at p, in a square from −1 to 1, gets what was at A·p + b; between pixels it is interpolated.

    Parameters
    ----------
    pictures
        ``(B, H, W)``.
    maps
        ``(B, 2, 3)``: A and b, of the type and on the device of the pictures.

    Raises
    ------
    TypeError, ValueError
        If they are not.

    Examples
    --------
    >>> x = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(warp(x, draw_warps(2, 0.0, generator=torch.Generator())), x, atol=1e-6)
    True
    """
    if pictures.ndim != 3 or maps.shape != (len(pictures), 2, 3):
        raise ValueError(
            f"pictures must have shape (B, H, W) and maps (B, 2, 3), got {tuple(pictures.shape)} and "
            f"{tuple(maps.shape)}"
        )
    if pictures.dtype != maps.dtype or not pictures.is_floating_point():
        raise TypeError(
            f"pictures and maps must be of one floating-point type, got {pictures.dtype} and {maps.dtype}"
        )
    B, H, W = pictures.shape
    grid = F.affine_grid(maps, [B, 1, H, W], align_corners=False)
    return F.grid_sample(pictures[:, None], grid, align_corners=False)[:, 0]
