r"""Composed functions: a linear map, a simple curve, a linear map, ... (chapter 3, section 3.3).

    h⁰ = x,   hᵏ = σ(Wᵏ hᵏ⁻¹ + bᵏ)  for k < L,   f(x) = Wᴸ hᴸ⁻¹ + bᴸ.

The last layer has no σ: what the numbers mean (a value, log-odds, a code) is for the loss to say. Article
3331 writes the same composition with threshold units and no bias, θ(Σ w² θ(Σ w¹ x)); a smooth or piecewise
linear σ in place of the step θ is what lets gradients through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor, nn

from kexue_lite.networks.arguments import whole

# The curves σ by name.
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "identity": lambda x: x}
)


class MLP(nn.Module):
    """A network of fully connected layers.

    Parameters
    ----------
    widths
        n₀, n₁, ..., n_L: numbers of inputs, of units in each hidden layer, and of outputs; at least two.
    activation
        σ: "relu", "tanh", "sigmoid" or "identity".
    generator
        Draws the weights, uniform in ±1/√(inputs of the layer) (torch's own law); torch's global generator if
        left out.

    Attributes
    ----------
    layers : ModuleList of Linear
        ``layers[k].weight`` is Wᵏ⁺¹ of shape ``(n_{k+1}, n_k)``.

    Raises
    ------
    ValueError
        If `widths` are not at least two whole numbers from 1, or `activation` is unknown.

    Examples
    --------
    >>> f = MLP([3, 8, 2], "tanh", generator=torch.Generator().manual_seed(0))
    >>> f(torch.zeros(5, 3)).shape, f.hidden(torch.zeros(5, 3)).shape
    (torch.Size([5, 2]), torch.Size([5, 8]))
    >>> sum(p.numel() for p in f.parameters())  # 3·8 + 8 + 8·2 + 2
    50
    """

    def __init__(
        self, widths: Sequence[int], activation: str = "relu", *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if isinstance(widths, str) or not isinstance(widths, Sequence) or len(widths) < 2:
            raise ValueError(f"widths must name at least inputs and outputs, got {widths!r}")
        self.widths = [whole(f"widths[{k}]", width) for k, width in enumerate(widths)]
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}")
        self.activation = activation
        with undisturbed(generator):
            self.layers = nn.ModuleList(map(nn.Linear, self.widths[:-1], self.widths[1:]))
        draw_weights(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n₀)`` to ``(B, n_L)``; ValueError if the last size of `x` is another."""
        return self.layers[-1](self.hidden(x))

    def hidden(self, x: Tensor) -> Tensor:
        """The activations before the last layer, hᴸ⁻¹: ``(B, n_{L−1})``."""
        if x.shape[-1:] != (self.widths[0],):
            raise ValueError(f"x must have shape (B, {self.widths[0]}), got {tuple(x.shape)}")
        for layer in list(self.layers)[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        return x

    def extra_repr(self) -> str:
        """Widths and σ, for printing."""
        return f"widths={self.widths}, activation={self.activation!r}"


@contextmanager
def undisturbed(generator: torch.Generator | None) -> Iterator[None]:
    """Build layers without moving torch's global generator, if `generator` is to draw their weights.

    torch's constructors always draw; what they take from the global generator is given back.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with undisturbed(torch.Generator()):
    ...     layer = nn.Linear(4, 2)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    with torch.random.fork_rng(devices=[], enabled=generator is not None):
        yield


def draw_weights(module: nn.Module, generator: torch.Generator | None) -> None:
    """Draw every linear and convolutional weight anew: uniform in ±1/√(inputs of a unit), torch's own law.

    torch's constructors take no generator, so the weights are drawn a second time here, unless `generator` is
    None.

    Examples
    --------
    >>> layer = nn.Linear(4, 2)
    >>> draw_weights(layer, torch.Generator().manual_seed(0))
    >>> bool((layer.weight.abs() <= 0.5).all())
    True
    """
    if generator is None:
        return
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Conv2d):
                bound = 1 / math.sqrt(part.weight[0].numel())
                for parameter in (part.weight, part.bias):
                    if parameter is not None:
                        parameter.uniform_(-bound, bound, generator=generator)
