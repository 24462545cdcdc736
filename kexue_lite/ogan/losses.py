r"""What the encoder and the generator of an O-GAN minimise, row by row (sections 6.2 and 6.3).

The discriminator is the average of a code, D(x) = avg E(x), low for real pictures. Around it stands GAN-QP
(Su 2018, arXiv:1811.07296): the difference of two scores is paid for by its square, in units of how far the
two pictures are apart, so that D needs no Lipschitz condition. With x̃ = G(z),

    R = (D(x) − D(x̃))² / mean over pixels of (x − x̃)²
    E:   D(x) − D(x̃) + λ₁R − λ₂ρ(z, E(x̃))
    G:   D(x̃) − λ₂ρ(z, E(x̃))

Where our symbols differ: the article writes R with the sum over the pixels, which is λ₁ times their number.

The two can be one. Where a number is to be felt by one network alone, the other's way to it is closed by
detaching (stop-gradient, sg):

    D(x) − D(sg x̃) + λ₁R(sg x̃) + [D(x̃) − D(sg x̃)] − λ₂ρ(z, E(x̃))

The bracket is zero; its gradient with respect to E is zero, too, for E finds the same picture in both, and
with respect to G it is that of D(x̃). ρ has the same sign in both losses and needs no care at all.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kexue_lite.arguments import real as number
from kexue_lite.ogan.decomposition import LEAST, correlation

Encoder = Callable[[Tensor], Tensor]
MATCHES = ("pearson", "mse", "none")
CLOSEST = 1e-6  # two pictures are never closer than this when R divides by their mean square


def match_loss(z: Tensor, code: Tensor, match: str = "pearson") -> Tensor:
    """How badly a code fits the noise that its picture was made from, ``(B,)``.

    Parameters
    ----------
    z, code
        ``(B, n)``.
    match
        "pearson": −ρ(z, code). "mse": the mean of (z − code)², the rival that the article warns of. "none":
        zero, the plain GAN.

    Returns
    -------
    Tensor
        ``(B,)``. NaN goes through, to be found by `train`.

    Raises
    ------
    TypeError, ValueError
        If `z` and `code` are no floating-point tensors of one shape and type, or `match` is unknown.

    References
    ----------
    Article 6409; (6.7) and, for "mse", section 6.6.

    Examples
    --------
    >>> z = torch.tensor([[0.0, 1.0, 2.0]])
    >>> match_loss(z, 3 * z + 1), match_loss(z, 3 * z + 1, "mse")
    (tensor([-1.0000]), tensor([11.6667]))
    """
    if match not in MATCHES:
        raise ValueError(f"match must be one of {', '.join(MATCHES)}; got {match!r}")
    _floating(z=z, code=code)
    if z.shape != code.shape or z.ndim != 2 or z.shape[1] < LEAST:
        raise ValueError(
            f"z and code must have one shape (B, n) with n at least {LEAST}, got {tuple(z.shape)} and "
            f"{tuple(code.shape)}"
        )
    if match == "pearson":
        return -correlation(z, code)
    return (z - code).square().mean(-1) if match == "mse" else z.new_zeros(len(z))


def distance_penalty(score_real: Tensor, score_fake: Tensor, x: Tensor, fake: Tensor) -> Tensor:
    """R: the squared difference of two scores over the mean squared difference of their pictures, ``(B,)``.

        R = (D(x) − D(x̃))² / mean (x − x̃)²

    Pairs closer than a mean square of 1e-6 count as that close, so that two equal pictures divide nothing by
    zero.

    Parameters
    ----------
    score_real, score_fake
        D(x) and D(x̃), ``(B,)``.
    x, fake
        ``(B, ...)``, of one shape.

    Raises
    ------
    TypeError, ValueError
        If they are no floating-point tensors, or shapes do not fit.

    References
    ----------
    arXiv:1811.07296; (6.7).

    Examples
    --------
    >>> one, two = torch.ones(1), torch.full((1,), 3.0)
    >>> distance_penalty(one, two, torch.zeros(1, 8, 8), torch.full((1, 8, 8), 0.5))
    tensor([16.])
    """
    _floating(score_real=score_real, score_fake=score_fake, x=x, fake=fake)
    _pairs(x, fake)
    if not score_real.shape == score_fake.shape == x.shape[:1]:
        raise ValueError(
            f"score_real and score_fake must have shape ({len(x)},), one for each picture, got "
            f"{tuple(score_real.shape)} and {tuple(score_fake.shape)}"
        )
    apart = (x - fake).square().flatten(1).mean(1).clamp_min(CLOSEST)
    return (score_real - score_fake).square() / apart


def encoder_loss(
    encoder: Encoder,
    x: Tensor,
    fake: Tensor,
    z: Tensor,
    *,
    weight: float = 0.5,
    penalty: float = 0.25,
    match: str = "pearson",
) -> Tensor:
    """What E minimises, row by row: D(x) − D(x̃) + λ₁R − λ₂ρ(z, E(x̃)).

    Parameters
    ----------
    encoder
        E, from pictures to codes ``(B, n)``.
    x, fake
        Real and generated pictures of one shape ``(B, ...)``. Detach `fake`: E's step is not G's.
    z
        ``(B, n)``: what `fake` was made from.
    weight, penalty
        λ₂ and λ₁, not negative.
    match
        As for `match_loss`.

    Returns
    -------
    Tensor
        ``(B,)``.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit (that of the codes of `encoder`, too), or a number is negative or not finite.

    References
    ----------
    Article 6409; (6.7).

    Examples
    --------
    >>> x, fake, z = torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([[0.0, 1.0, 2.0]])
    >>> encoder_loss(lambda image: 2 * image + z, x, fake, z)  # −2 + 0.25 · 4 − 0.5
    tensor([-1.5000])
    """
    _weights(weight, penalty)
    _pairs(x, fake)
    code_real, code_fake = _codes(encoder, z, x, fake)
    score_real, score_fake = code_real.mean(-1), code_fake.mean(-1)
    loss = score_real - score_fake + penalty * distance_penalty(score_real, score_fake, x, fake)
    return loss + weight * match_loss(z, code_fake, match)


def generator_loss(
    encoder: Encoder, fake: Tensor, z: Tensor, *, weight: float = 0.5, match: str = "pearson"
) -> Tensor:
    """What G minimises, row by row: D(x̃) − λ₂ρ(z, E(x̃)); arguments and errors as for `encoder_loss`.

    References
    ----------
    Article 6409; (6.7).

    Examples
    --------
    >>> z = torch.tensor([[0.0, 1.0, 2.0]])
    >>> generator_loss(lambda image: image + z, torch.ones(1, 3), z)
    tensor([1.5000])
    """
    _weights(weight, 0)
    (code,) = _codes(encoder, z, fake)
    return code.mean(-1) + weight * match_loss(z, code, match)


def joint_loss(
    encoder: Encoder,
    x: Tensor,
    fake: Tensor,
    z: Tensor,
    *,
    weight: float = 0.5,
    penalty: float = 0.25,
    match: str = "pearson",
    generator_weight: float | None = None,
) -> Tensor:
    """One loss for both networks, row by row: its gradients are those of the two.

    `fake` is not detached here; this function closes the ways that must be closed. E must treat each row on
    its own (no batch norm): it sees the three batches as one. `generator_weight` is G's λ₂ if it is another
    than E's; the other arguments, and errors, are as for `encoder_loss`.

    References
    ----------
    Article 6409 (its code); (6.8).

    Examples
    --------
    >>> x, z = torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 2.0]])
    >>> joint_loss(lambda image: 2 * image + z.repeat(3, 1), x, torch.ones(1, 3), z)  # E's loss: 0 is added
    tensor([-1.5000])
    """
    _weights(weight, penalty)
    if generator_weight is not None:
        number("generator_weight", generator_weight, least=0)
    _pairs(x, fake)
    code_real, code_still, code_fake = _codes(encoder, z, x, fake.detach(), fake)
    score_real, score_still, score_fake = (code.mean(-1) for code in (code_real, code_still, code_fake))
    loss = score_real - score_still
    loss = loss + penalty * distance_penalty(score_real, score_still, x, fake.detach())
    loss = loss + (score_fake - score_still)
    if generator_weight is None or generator_weight == weight or match == "none":
        return loss + weight * match_loss(z, code_fake, match)
    still, moved = match_loss(z, code_still, match), match_loss(z, code_fake, match)
    return loss + weight * still + generator_weight * (moved - still)  # the same trick once more


def _weights(weight: float, penalty: float) -> None:
    number("weight", weight, least=0), number("penalty", penalty, least=0)


def _codes(encoder: Encoder, z: Tensor, *batches: Tensor) -> tuple[Tensor, ...]:
    """The codes of several batches, which E sees as one; raise unless each is of the shape of `z`."""
    _floating(fake=batches[-1], z=z)
    if z.ndim != 2 or any(len(batch) != len(z) for batch in batches):
        raise ValueError(
            f"z must have shape (B, n) with a row for each of the {len(batches[-1])} pictures, got "
            f"{tuple(z.shape)}"
        )
    codes = encoder(torch.cat(batches))
    wanted = (len(batches) * len(z), z.shape[1])
    if not isinstance(codes, Tensor) or tuple(codes.shape) != wanted:
        got = tuple(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(f"encoder must give codes of the shape {wanted} for this batch, as z has, got {got}")
    return codes.chunk(len(batches))


def _pairs(x: Tensor, fake: Tensor) -> None:
    _floating(x=x, fake=fake)
    if x.shape != fake.shape or x.ndim < 2:
        raise ValueError(
            f"x and fake must have one shape (B, ...), got {tuple(x.shape)} and {tuple(fake.shape)}"
        )


def _floating(**tensors: Tensor) -> None:
    """Raise unless all are floating-point tensors on one device."""
    first, *_ = tensors
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{name} must be a tensor of floating-point numbers, got {got}")
        if value.device != tensors[first].device:
            raise ValueError(
                f"{first} and {name} must lie on one device, got {tensors[first].device} and {value.device}"
            )
