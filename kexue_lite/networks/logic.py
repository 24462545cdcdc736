r"""Threshold units: the neuron of McCulloch and Pitts, and logic made of it (chapter 3, section 3.2).

    y = θ(Σᵢ wᵢ xᵢ − t),    θ(s) = 1 for s ≥ 0, else 0:

a unit fires when the weighted sum of its inputs reaches its threshold t. One layer of such units feeds the
next, y = θ(W² θ(W¹ x − t¹) − t²). Any truth table is two layers: one unit for each row whose outcome is 1 (it
fires on this row alone), and one that fires if any of them does: the disjunctive normal form.

Source: W. McCulloch, W. Pitts, "A logical calculus of the ideas immanent in nervous activity" (1943). Their
inhibition is absolute (one inhibiting input silences a unit); here, as in article 3331, it is a negative
weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from kexue_lite.networks.arguments import table, whole

Layer = tuple[Tensor, Tensor]  # weights (m, n), thresholds (m,)


def threshold_unit(x: Tensor, weights: Sequence[float] | Tensor, threshold: float) -> Tensor:
    """One unit: 1 where ``x @ weights`` reaches the threshold, else 0.

    Parameters
    ----------
    x
        ``(B, n)``, floating point.
    weights
        n numbers.
    threshold
        t; the unit fires *at* the threshold too.

    Returns
    -------
    Tensor
        ``(B,)`` of zeros and ones, in the type of `x`.

    Raises
    ------
    TypeError, ValueError
        If `x` is no finite ``(B, n)`` tensor of floating-point numbers, there are not n finite weights, or
        the threshold is no number.

    Examples
    --------
    >>> threshold_unit(truth_table_inputs(2), [1, 1], 2)  # AND
    tensor([0., 0., 0., 1.], dtype=torch.float64)
    """
    table("x", x)
    # In the type of x: a threshold of 0.1 rounded to float32 would lie above an x of 0.1 in float64.
    w, t = (torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in (weights, threshold))
    if t.numel() != 1:
        raise ValueError(f"threshold must be one number, got shape {tuple(t.shape)}")
    return threshold_network(x, [(w.reshape(1, -1), t.reshape(1))]).squeeze(1)


def threshold_network(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Layers of threshold units, each feeding the next: θ(W² θ(W¹ x − t¹) − t²) for two.

    Parameters
    ----------
    x
        ``(B, n)``, floating point.
    layers
        Pairs of weights ``(m, n)`` and thresholds ``(m,)``, tensors or lists; the m of one layer is the n of
        the next. They are taken in the type of `x`.

    Returns
    -------
    Tensor
        ``(B, m)`` of zeros and ones, m of the last layer, in the type of `x`.

    Raises
    ------
    TypeError, ValueError
        If `x` is no finite ``(B, n)`` tensor, there is no layer, two layers do not fit together, a weight is
        not finite, or a threshold is NaN.

    Examples
    --------
    >>> threshold_network(truth_table_inputs(2), GATES["XOR"]).squeeze(1)
    tensor([0., 1., 1., 0.], dtype=torch.float64)
    """
    signal = table("x", x)
    if not layers:
        raise ValueError("layers must hold at least one pair of weights and thresholds, got none")
    for number, (weights, thresholds) in enumerate(layers):
        w, t = (torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in (weights, thresholds))
        if w.ndim != 2 or w.shape[1] != signal.shape[1] or t.shape != w.shape[:1]:
            raise ValueError(
                f"layers[{number}] must be weights (m, {signal.shape[1]}) and thresholds (m,), "
                f"got {tuple(w.shape)} and {tuple(t.shape)}"
            )
        if w.isnan().any() or t.isnan().any():
            raise ValueError(f"layers[{number}] must hold numbers, got NaN")
        if not w.isfinite().all():  # times an input of 0 it would be NaN
            raise ValueError(f"layers[{number}] must hold finite weights, got an infinite one")
        signal = (signal @ w.T >= t).to(signal.dtype)
    return signal


def truth_table_inputs(n: int) -> Tensor:
    """All 2ⁿ inputs of n zeros and ones, in counting order; the first column is the highest bit.

    Returns
    -------
    Tensor
        ``(2**n, n)``, float64.

    Raises
    ------
    ValueError
        If `n` is no whole number from 1 to 16.

    Examples
    --------
    >>> truth_table_inputs(2)
    tensor([[0., 0.],
            [0., 1.],
            [1., 0.],
            [1., 1.]], dtype=torch.float64)
    """
    if whole("n", n) > 16:
        raise ValueError(f"n must be at most 16 (the table has 2**n rows), got {n}")
    numbers = torch.arange(2**n)
    return ((numbers[:, None] >> torch.arange(n - 1, -1, -1)) & 1).double()


def compile_truth_table(outputs: Sequence[int] | Tensor) -> list[Layer]:
    """Two layers of threshold units that compute a given truth table (disjunctive normal form).

    The unit of a row with inputs r has weights 2r − 1 and threshold Σr: its sum is Σr minus the number of
    inputs that differ from r, so it fires on r and nowhere else. The last unit fires if any of them does.

    Parameters
    ----------
    outputs
        2ⁿ zeros and ones, n from 1 to 16, in the order of `truth_table_inputs`.

    Returns
    -------
    list of two pairs
        Weights ``(rows, n)`` and thresholds ``(rows,)``, then ``(1, rows)`` and ``(1,)``; `rows` is the
        number of ones, but at least 1 (a table of zeros needs a unit that never fires).

    Raises
    ------
    ValueError
        If there are not 2ⁿ of them, or one is neither 0 nor 1.

    Examples
    --------
    >>> majority = [0, 0, 0, 1, 0, 1, 1, 1]
    >>> layers = compile_truth_table(majority)
    >>> threshold_network(truth_table_inputs(3), layers).squeeze(1).int().tolist() == majority
    True
    """
    wanted, n = _outputs(outputs)
    rows = truth_table_inputs(n)[wanted == 1]
    if not len(rows):  # n + 1 inputs of weight 1 would be needed
        return [
            (torch.ones(1, n).double(), torch.tensor([n + 1.0]).double()),
            (torch.ones(1, 1).double(), torch.ones(1).double()),
        ]
    return [(2 * rows - 1, rows.sum(1)), (torch.ones(1, len(rows)).double(), torch.ones(1).double())]


def linearly_separable(outputs: Sequence[int] | Tensor) -> tuple[Tensor, float] | None:
    """One unit that computes the truth table, if there is one; found or ruled out by linear programming.

    Sought are w and t with w·x − t ≥ 1 on the rows of ones and ≤ −1 on the others: solvable exactly if some
    hyperplane parts them.

    Parameters
    ----------
    outputs
        2ⁿ zeros and ones, as for `compile_truth_table`.

    Returns
    -------
    (weights, threshold) or None
        Weights ``(n,)``, float64, and t; None if no single unit can do it, as for XOR.

    Raises
    ------
    ValueError
        As for `compile_truth_table`.

    Examples
    --------
    >>> linearly_separable([0, 1, 1, 0]) is None  # XOR
    True
    >>> weights, t = linearly_separable([0, 1, 1, 1])  # OR
    >>> threshold_unit(truth_table_inputs(2), weights, t)
    tensor([0., 1., 1., 1.], dtype=torch.float64)
    """
    from scipy.optimize import linprog

    wanted, n = _outputs(outputs)
    sign = (2 * wanted - 1).double()[:, None]
    x = torch.cat([truth_table_inputs(n), -torch.ones(len(wanted), 1).double()], 1)
    # The sum of the sizes |w| + |t| is made small only to have one answer: w = u − v with u, v ≥ 0.
    rows = (-sign * x).numpy()
    solution = linprog(np.ones(2 * n + 2), A_ub=np.hstack([rows, -rows]), b_ub=-np.ones(len(wanted)))
    if solution.status == 2:  # infeasible
        return None
    if solution.status != 0 or solution.x is None:
        raise RuntimeError(f"the linear program was not solved: {solution.message}")
    w = torch.from_numpy(solution.x[: n + 1] - solution.x[n + 1 :])
    return w[:n], float(w[n])


def _outputs(outputs: Sequence[int] | Tensor) -> tuple[Tensor, int]:
    try:
        wanted = torch.as_tensor(outputs).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"outputs must be a list of zeros and ones, got {outputs!r}") from error
    n = len(wanted).bit_length() - 1 if wanted.ndim == 1 else 0
    if not 1 <= n <= 16 or len(wanted) != 2**n:
        raise ValueError(
            f"outputs must be 2**n zeros and ones with n from 1 to 16, got shape {tuple(wanted.shape)}"
        )
    if not ((wanted == 0) | (wanted == 1)).all():
        raise ValueError(f"outputs must be zeros and ones, got {wanted.tolist()}")
    return wanted.long(), n


def _layer(weights: list[list[float]], thresholds: list[float]) -> Layer:
    return torch.tensor(weights).double(), torch.tensor(thresholds).double()


# The gates of two inputs (NOT: of one), each as layers for `threshold_network`; XOR needs two.
GATES: Mapping[str, list[Layer]] = MappingProxyType(
    {
        "AND": [_layer([[1, 1]], [2])],
        "OR": [_layer([[1, 1]], [1])],
        "NAND": [_layer([[-1, -1]], [-1])],
        "NOR": [_layer([[-1, -1]], [0])],
        "NOT": [_layer([[-1]], [0])],
        # "at least one" and "not both"
        "XOR": [_layer([[1, 1], [-1, -1]], [1, -1]), _layer([[1, 1]], [2])],
    }
)
