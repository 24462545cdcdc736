"""Threshold units and gates, exactly: over every truth table of up to three inputs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from kexue_lite.networks import (
    GATES,
    compile_truth_table,
    linearly_separable,
    threshold_network,
    threshold_unit,
    truth_table_inputs,
)

TRUTH = {
    "AND": lambda a, b: a and b,
    "OR": lambda a, b: a or b,
    "NAND": lambda a, b: not (a and b),
    "NOR": lambda a, b: not (a or b),
    "XOR": lambda a, b: a != b,
    "NOT": lambda a: not a,
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def tables(n: int) -> list[list[int]]:
    return [list(table) for table in product([0, 1], repeat=2**n)]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_inputs_are_counted_through(n: int) -> None:
    rows = truth_table_inputs(n)
    assert [tuple(row) for row in rows.int().tolist()] == list(product([0, 1], repeat=n))


@pytest.mark.parametrize("name", GATES)
def test_gates_are_python_s_own_logic(name: str) -> None:
    x = truth_table_inputs(1 if name == "NOT" else 2)
    wanted = [int(TRUTH[name](*map(bool, row))) for row in x.int().tolist()]
    assert threshold_network(x, GATES[name]).int().squeeze(1).tolist() == wanted
    assert len(GATES[name]) == (2 if name == "XOR" else 1)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_truth_table_is_two_layers(n: int) -> None:
    x = truth_table_inputs(n)
    for table in tables(n):
        layers = compile_truth_table(table)
        assert len(layers) == 2 and len(layers[0][1]) == max(1, sum(table))
        assert threshold_network(x, layers).int().squeeze(1).tolist() == table


def test_a_unit_of_the_first_layer_fires_on_its_row_alone() -> None:
    x = truth_table_inputs(3)
    (weights, thresholds), _ = compile_truth_table([1] * 8)
    assert torch.equal(threshold_network(x, [(weights, thresholds)]), torch.eye(8).double())


@pytest.mark.parametrize(
    ("n", "count"), [(1, 4), (2, 14), (3, 104)]
)  # the known numbers of threshold functions
def test_one_unit_is_enough_for_the_known_number_of_tables(n: int, count: int) -> None:
    found = 0
    for table in tables(n):
        unit = linearly_separable(table)
        if unit is not None:
            found += 1
            assert threshold_unit(truth_table_inputs(n), *unit).int().tolist() == table
    assert found == count


def test_an_unsolved_program_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    import scipy.optimize

    broken = SimpleNamespace(status=1, x=None, message="too many iterations")
    monkeypatch.setattr(scipy.optimize, "linprog", lambda *_, **__: broken)
    with pytest.raises(RuntimeError, match="too many iterations"):
        linearly_separable([0, 1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_type_and_device_are_the_input_s(device: str, dtype: torch.dtype) -> None:
    x = truth_table_inputs(2).to(device, dtype)
    for out in (threshold_network(x, GATES["XOR"]).squeeze(1), threshold_unit(x, [1, 1], 2)):
        assert out.dtype == dtype and out.device == x.device
    assert threshold_unit(x, [1, 1], 2).tolist() == [0, 0, 0, 1]


def test_a_unit_fires_at_its_threshold() -> None:
    x = torch.tensor([[0.5], [np.nextafter(0.5, 0)], [np.nextafter(0.5, 1)]]).double()
    assert threshold_unit(x, [1], 0.5).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("x", "layers", "error", "message"),
    [
        ([[0.0]], GATES["NOT"], TypeError, "x must be a torch tensor, got list"),
        (torch.zeros(2, 1, dtype=torch.int64), GATES["NOT"], TypeError, "floating-point"),
        (torch.zeros(2), GATES["NOT"], ValueError, r"x must have shape \(N, D\)"),
        (torch.zeros(0, 2), GATES["AND"], ValueError, r"got \(0, 2\)"),
        (torch.tensor([[np.nan, 0]]), GATES["AND"], ValueError, "NaN"),
        (torch.zeros(2, 2), [], ValueError, "at least one pair"),
        (torch.zeros(2, 3), GATES["AND"], ValueError, r"layers\[0\] must be weights \(m, 3\)"),
        (
            torch.zeros(2, 2),
            [*GATES["AND"], *GATES["AND"]],
            ValueError,
            r"layers\[1\] must be weights \(m, 1\)",
        ),
        (torch.zeros(2, 2), [(torch.ones(1, 2), torch.ones(2))], ValueError, r"layers\[0\]"),
    ],
)
def test_a_bad_network_is_refused(x: object, layers: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        threshold_network(x, layers)  # type: ignore[arg-type]


@pytest.mark.parametrize("outputs", [[0], [0, 1, 1], [], [[0, 1], [1, 0]], 1])
@pytest.mark.parametrize("function", [compile_truth_table, linearly_separable])
def test_a_table_of_another_length_is_refused(function: object, outputs: object) -> None:
    with pytest.raises(ValueError, match=r"outputs must be 2\*\*n zeros and ones"):
        function(outputs)  # type: ignore[operator]


def test_other_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"zeros and ones, got \[0, 2\]"):
        compile_truth_table([0, 2])
    for n in (0, 1.5, True, 17):
        with pytest.raises(ValueError, match="n must be"):
            truth_table_inputs(n)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 1 / 3, 16777217.0])
def test_a_unit_fires_at_its_threshold_in_every_type(dtype: torch.dtype, threshold: float) -> None:
    x = torch.tensor([[threshold]], dtype=dtype)
    below = torch.nextafter(x, torch.zeros_like(x))
    fired = threshold_unit(torch.cat([x, below]), [1.0], threshold)
    assert fired.tolist() == [1, 0] and fired.dtype == dtype


def test_nan_and_lists_are_refused() -> None:
    nan = float("nan")
    for weights, threshold in (([nan, 1], 0), ([1, 1], nan)):
        with pytest.raises(ValueError, match=r"layers\[0\] must hold numbers, got NaN"):
            threshold_unit(torch.ones(1, 2), weights, threshold)
    with pytest.raises(TypeError, match="x must be a torch tensor, got list"):
        threshold_unit([[1.0, 0.0]], [1, 1], 2)  # type: ignore[arg-type]
