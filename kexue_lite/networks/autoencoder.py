r"""Autoencoders: to be given back what went in, through a passage too narrow for all of it (section 3.7).

    z = E(x) ∈ ℝᵏ,   x̂ = D(z),   loss = mean of (x̂ − x)² over all numbers.

With k below the number of inputs something must be lost, and least is lost by keeping what varies most. If E
and D are affine, the best they can do is known: project on the k leading principal directions (Bourlard, Kamp
1988; Baldi, Hornik 1989), x̂ = μ + VVᵀ(x − μ), and the loss is the variance that is dropped. Article 3331
draws 100 → 50 → 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kexue_lite.networks.arguments import table, whole
from kexue_lite.networks.mlp import MLP


class Autoencoder(nn.Module):
    """An encoder, and a decoder that is its mirror image.

    Parameters
    ----------
    widths
        Inputs, hidden widths, code size: ``[64, 32, 8]`` encodes 64 → 32 → 8 and decodes 8 → 32 → 64. The
        code itself and the reconstruction have no activation.
    activation, generator
        As for `MLP`.

    Attributes
    ----------
    encoder, decoder : MLP

    Raises
    ------
    ValueError
        If a width (the code size too) is no whole number from 1, there are fewer than two, or `activation` is
        unknown.

    Examples
    --------
    >>> model = Autoencoder([64, 32, 8], generator=torch.Generator().manual_seed(0))
    >>> x = torch.zeros(5, 64)
    >>> model.code_size, model.encode(x).shape, model(x).shape
    (8, torch.Size([5, 8]), torch.Size([5, 64]))
    """

    def __init__(
        self, widths: Sequence[int], activation: str = "relu", *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.encoder = MLP(widths, activation, generator=generator)
        self.decoder = MLP(list(widths)[::-1], activation, generator=generator)

    @property
    def code_size(self) -> int:
        """k."""
        return self.encoder.widths[-1]

    def encode(self, x: Tensor) -> Tensor:
        """``(B, n)`` to codes ``(B, k)``."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Codes ``(B, k)`` to ``(B, n)``."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction D(E(x)): ``(B, n)``."""
        return self.decoder(self.encoder(x))


def principal_autoencoder(x: Tensor, code_size: int) -> Autoencoder:
    """The best affine autoencoder of the given data, without training: its principal directions.

    Parameters
    ----------
    x
        ``(N, n)``, floating point.
    code_size
        k, at most the smaller of N and n.

    Returns
    -------
    Autoencoder
        Of widths n, k with activation "identity", in the type and on the device of `x`; the biases carry
        the mean, and the codes are uncorrelated, the one of largest variance first.

    Raises
    ------
    TypeError, ValueError
        If `x` is no finite ``(N, n)`` tensor, or `code_size` is out of range.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]).double()  # on a line: one number is enough
    >>> torch.allclose(principal_autoencoder(x, 1)(x), x)
    True
    """
    mean, directions, _ = _principal(x, code_size)
    V = directions[:code_size]  # (k, n)
    model = Autoencoder([x.shape[1], code_size], "identity", generator=torch.Generator()).to(x)
    encode, decode = model.encoder.layers[0], model.decoder.layers[0]
    assert isinstance(encode, nn.Linear) and isinstance(decode, nn.Linear)
    with torch.no_grad():
        encode.weight.copy_(V)
        encode.bias.copy_(-V @ mean)
        decode.weight.copy_(V.T)
        decode.bias.copy_(mean)
    return model


def pca_error(x: Tensor, code_size: int) -> float:
    """The least mean squared error that an affine autoencoder of this code size can have on the data.

    The sum of the squared singular values that are dropped, divided by N·n (`torch.nn.functional.mse_loss`
    takes the same mean), in float64 on the CPU. Parameters and errors are those of `principal_autoencoder`.

    Examples
    --------
    >>> pca_error(torch.tensor([[0.0, 0.0], [0.0, 2.0], [3.0, 0.0], [3.0, 2.0]]), 1)  # ±1 along y is lost
    0.5
    """
    _, _, singular = _principal(x, code_size)
    return float((singular[code_size:] ** 2).sum() / x.numel())


def _principal(x: Tensor, code_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean ``(n,)``, principal directions as rows, singular values of the centred data."""
    table("x", x)
    if whole("code_size", code_size) > min(x.shape):
        raise ValueError(
            f"code_size must be at most {min(x.shape)} for x of {tuple(x.shape)}, got {code_size}"
        )
    x = x.detach().cpu().double()  # a large mean would take the digits of float32; half has no SVD
    mean = x.mean(0)
    _, singular, directions = torch.linalg.svd(x - mean, full_matrices=False)
    return mean, directions, singular
