"""The networks room at its edges: wrong answers in silence, and files that only a forger can have made."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from kexue_lite.exercises.networks import exercise_3_8
from kexue_lite.networks import (
    MLP,
    Accuracy,
    DigitClassifier,
    RandomFeatures,
    accuracy,
    compile_truth_table,
    double_descent,
    judge,
    least_squares,
    letters_on_background,
    linear_pieces,
    pca_error,
    principal_autoencoder,
    save_judge,
    tent,
    threshold_network,
    threshold_unit,
    truth_table_inputs,
)

# -- digits that must not be lost


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_given_as_lists_keeps_the_digits_of_its_input(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.1, 0.2, 0.7]], dtype=dtype)
    units = [([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [0.1, 0.2, 0.7])]
    assert threshold_network(x, units).tolist() == [[1, 1, 1]]  # at the threshold, in every type


def test_the_checker_of_the_parity_counts_in_the_reader_s_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    tenths = [
        [0.1] * 4
    ] * 4  # 0.1 + 0.1 + 0.1 is more than 0.3 in float64, as the reader sees it; less in float32
    answer = [(tenths, [0.1, 0.2, 0.3, 0.4]), ([[1.0, -1, 1, -1]], [1.0])]
    assert exercise_3_8(answer), capsys.readouterr().out


@pytest.mark.parametrize("k", [1, 5, 9])
def test_a_large_mean_takes_no_digits_of_the_least_error(k: int) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(500, 10, generator=draw) * torch.logspace(0, -2, 10) + 1e4
    singular = np.linalg.svd(x.double().numpy() - x.double().numpy().mean(0), compute_uv=False)
    assert pca_error(x, k) == pytest.approx((singular[k:] ** 2).sum() / 5000, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_linear_optimum_has_the_type_of_its_data(dtype: torch.dtype) -> None:
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    model = principal_autoencoder(x, 5)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert float((model(x) - x).detach().abs().max()) < 30 * torch.finfo(dtype).eps


# -- what is no number must not become one


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_random_features_of_no_number_are_refused(bad: float) -> None:
    x, fine = np.array([[1.0, bad], [0.0, 1.0]]), np.ones((2, 2))
    phi = RandomFeatures(2, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="x must be finite"):
        phi(x)
    for old, fresh in ((x, fine), (fine, x)):
        with pytest.raises(ValueError, match="must be finite"):
            double_descent(old, np.ones(2), fresh, np.ones(2), widths=[2], generator=torch.Generator())


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="must be real"):
        least_squares(np.array([[1.0 + 1j]]), np.array([1.0]))
    with pytest.raises(ValueError, match="must be real"):
        least_squares(np.array([[1.0]]), np.array([1j]))
    for x in (np.array([0.5 + 0j]), torch.tensor([0.5 + 0j]), np.array(["0.5"])):
        with pytest.raises(TypeError, match="x must hold real numbers"):
            tent(x)
    with pytest.raises(ValueError, match="predicted must be whole numbers"):
        accuracy(torch.tensor([1 + 1j]), [1])


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan, 0.5])
def test_classes_are_finite_whole_numbers(bad: float) -> None:
    with pytest.raises(ValueError, match="predicted must"):
        accuracy([1.0, bad], [1, 1])
    with pytest.raises(ValueError, match="labels must be whole numbers"):
        accuracy([1, 1], [1.0, bad])
    with pytest.raises(ValueError, match="right must"):
        Accuracy(bad, 2)  # type: ignore[arg-type]
    assert accuracy([1.0, 2.0], [1, 3.0]) == Accuracy(1, 2)


def test_infinite_weights_are_refused_and_infinite_thresholds_never_or_always_met() -> None:
    x = truth_table_inputs(1)
    with pytest.raises(ValueError, match="finite weights"):
        threshold_network(x, [([[math.inf]], [0.0])])
    assert threshold_network(x, [([[1.0], [1.0]], [math.inf, -math.inf])]).tolist() == [[0, 1], [0, 1]]
    with pytest.raises(ValueError, match=r"threshold must be one number, got shape \(2,\)"):
        threshold_unit(x, [1.0], [1.0, 2.0])  # type: ignore[arg-type]


@pytest.mark.parametrize("outputs", ["0110", None, object()])
def test_a_table_that_is_none_is_named(outputs: Any) -> None:
    with pytest.raises(TypeError, match="outputs must be a list of zeros and ones"):
        compile_truth_table(outputs)


def test_numbers_of_numpy_are_bounds_and_a_list_is_no_string() -> None:
    model = MLP([1, 5, 1], generator=torch.Generator().manual_seed(0))
    pieces = linear_pieces(model, np.float32(-1), np.int64(1))  # type: ignore[arg-type]
    assert pieces.count == linear_pieces(model, -1, 1).count > 1
    with pytest.raises(TypeError, match="letters must be one string, got list"):
        letters_on_background(["A", "B"])  # type: ignore[arg-type]


# -- files of a judge


SHAPE = {"size": 8, "channels": [4, 4], "features": 6, "classes": 10}


def forged(path: Path, change: dict[str, Any] | str, **states: Any) -> Path:
    """A judge's file whose hash fits."""
    module = importlib.import_module("kexue_lite.networks.judge")
    model = DigitClassifier(**SHAPE, generator=torch.Generator().manual_seed(0))
    state: dict[str, Tensor] = {**model.state_dict(), **states}
    shape = change if isinstance(change, str) else json.dumps({**SHAPE, **change})
    about = {"version": "1", "shape": shape, "trained_on": "", "command": ""}
    about["sha256"] = module._digest(state, shape)
    path.write_bytes(save(state, about))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("{", "its shape cannot be read"),
        ("[1]", "holds no judge"),
        ({"colour": 3}, "holds no judge"),
        ({"channels": [4, 5]}, "holds no judge"),
        ({"size": -1}, "holds no judge"),
        ({"features": 7}, "holds no judge"),
    ],
)
def test_a_file_that_describes_no_classifier_is_refused(
    tmp_path: Path, change: dict[str, Any] | str, words: str
) -> None:
    path = forged(tmp_path / "judge", change)
    with pytest.raises(ValueError, match=words) as caught:
        judge(path=path)
    assert str(path) in str(caught.value)
    assert judge(path=forged(tmp_path / "fine", {})).about["trained_on"] == ""


def test_weights_that_would_be_rounded_or_are_no_numbers_are_refused(tmp_path: Path) -> None:
    bias = torch.zeros(10)
    for values, words in (
        (bias.double(), "not float32"),
        (bias.half(), "not float32"),
        (bias / 0, "NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=words):
            judge(path=forged(tmp_path / "judge", {}, **{"head.bias": values}))
    with pytest.raises(ValueError, match=r"float32 weights, got torch.float64 in body.0.weight"):
        save_judge(DigitClassifier(**SHAPE).double(), tmp_path / "double", trained_on="", command="")
    assert not (tmp_path / "double").exists()
