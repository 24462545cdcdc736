"""Chapter 6, exact: decomposition, correlation, losses and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from torch import Tensor, nn

from kexue_lite.ogan import (
    OGAN,
    decompose,
    distance_penalty,
    encoder_loss,
    generator_loss,
    joint_loss,
    match_loss,
    normalize,
    pearson,
)
from kexue_lite.ogan.decomposition import correlation
from kexue_lite.ogan.losses import MATCHES

DOUBLE = torch.float64


def codes(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE).to(dtype)


# -- decomposition


def test_a_code_is_its_average_deviation_and_direction() -> None:
    z = codes(4, 5, 7)
    average, deviation, direction = decompose(z)
    assert average.shape == deviation.shape == (4, 5) and direction.shape == (4, 5, 7)
    assert torch.allclose(average, z.mean(-1), rtol=0, atol=1e-15)
    assert torch.allclose(deviation, z.std(-1, correction=0), rtol=1e-14)
    assert torch.allclose(average[..., None] + deviation[..., None] * direction, z, rtol=0, atol=1e-14)
    assert direction.mean(-1).abs().max() < 1e-15
    assert (direction.square().mean(-1) - 1).abs().max() < 1e-14
    assert torch.equal(normalize(z), direction)


def test_the_direction_feels_neither_shift_nor_scale_and_turns_with_the_sign() -> None:
    z = codes(6, 9)
    assert torch.allclose(normalize(3.7 * z - 11), normalize(z), atol=1e-13)
    assert torch.allclose(normalize(-z), -normalize(z), atol=1e-15)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(normalize(z[:, order]), normalize(z)[:, order], atol=1e-14)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_squares_that_would_vanish_or_overflow_do_not(scale: float) -> None:
    z = codes(3, 8)
    assert torch.allclose(normalize(scale * z), normalize(z), atol=1e-13)
    assert torch.allclose(decompose(scale * z)[1] / scale, decompose(z)[1], rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, DOUBLE])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e4])
def test_a_constant_code_has_deviation_zero_and_no_direction(value: float, dtype: torch.dtype) -> None:
    z = torch.full((2, 13), value, dtype=dtype, requires_grad=True)
    average, deviation, direction = decompose(z)
    assert torch.equal(deviation, torch.zeros(2, dtype=dtype))
    assert torch.equal(direction, torch.zeros(2, 13, dtype=dtype))
    assert average.dtype == dtype
    other = codes(2, 13, dtype=dtype)
    rho = pearson(z, other)
    assert torch.equal(rho, torch.zeros(2, dtype=dtype))
    (rho.sum() + deviation.sum() + direction.sum()).backward()
    assert z.grad is not None and torch.isfinite(z.grad).all()


def test_a_row_that_is_constant_leaves_the_others_alone() -> None:
    z = codes(3, 5)
    z[1] = 2.0
    z.requires_grad_()
    direction = decompose(z)[2]
    assert torch.allclose(direction[[0, 2]], normalize(z[[0, 2]]))
    direction[:, 0].sum().backward()
    assert z.grad is not None and torch.equal(z.grad[1], torch.zeros(5, dtype=DOUBLE))
    assert (z.grad[0].abs() > 0).any()


# -- correlation


def test_pearson_is_that_of_scipy() -> None:
    z, other = codes(20, 16), codes(20, 16, seed=1)
    wanted = [pearsonr(a, b).statistic for a, b in zip(z.numpy(), other.numpy(), strict=True)]
    assert np.allclose(pearson(z, other), wanted, rtol=0, atol=1e-14)


def test_a_squared_distance_of_directions_is_twice_n_times_one_minus_rho() -> None:
    a, b = codes(50, 16), codes(50, 16, seed=1)
    distance = (normalize(a) - normalize(b)).square().sum(-1)
    assert (distance - 2 * 16 * (1 - pearson(a, b))).abs().max() < 1e-12


def test_the_gradient_of_rho_leaves_average_and_deviation_free() -> None:
    z, z_hat = codes(50, 16), codes(50, 16, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(pearson(z, z_hat).sum(), z_hat)
    centred = z_hat.detach() - z_hat.detach().mean(-1, keepdim=True)
    assert gradient.norm(dim=-1).min() > 1e-3
    assert gradient.sum(-1).abs().max() < 1e-15
    assert (gradient * centred).sum(-1).abs().max() < 1e-14


def test_the_gradient_of_rho_is_its_formula_and_that_of_finite_differences() -> None:
    z, z_hat = codes(5, 6), codes(5, 6, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(pearson(z, z_hat).sum(), z_hat)
    _, deviation, direction = decompose(z_hat.detach())
    rho = pearson(z, z_hat.detach())
    formula = (normalize(z) - rho[:, None] * direction) / (6 * deviation[:, None])
    assert torch.allclose(gradient, formula, atol=1e-14)
    assert torch.autograd.gradcheck(pearson, (z.requires_grad_(), z_hat))
    assert torch.autograd.gradcheck(lambda v: decompose(v), (z_hat,))


def test_the_fast_correlation_is_its_readable_twin_in_value_and_gradient() -> None:
    z, z_hat = codes(40, 16).requires_grad_(), codes(40, 16, seed=1)
    z_hat[3] = 0.7  # constant
    z_hat.requires_grad_()
    pull = codes(40, seed=2)
    values, pulls = [], []
    for function in (pearson, correlation):
        rho = function(z, z_hat)
        values.append(rho.detach())
        pulls.append(torch.cat(torch.autograd.grad((pull * rho).sum(), (z, z_hat))))
    assert torch.allclose(*values, rtol=0, atol=1e-15) and torch.allclose(*pulls, rtol=0, atol=1e-14)
    assert torch.equal(pulls[1][43], torch.zeros(16, dtype=DOUBLE))
    with pytest.raises(RuntimeError, match="does not require grad"):
        (first,) = torch.autograd.grad(correlation(z, z_hat).sum(), z_hat, create_graph=True)
        first.sum().backward()


def test_rho_is_symmetric_bounded_and_one_on_itself() -> None:
    a, b = codes(200, 3), codes(200, 3, seed=1)
    assert torch.equal(pearson(a, b), pearson(b, a))
    assert pearson(a, b).abs().max() <= 1 + 1e-15
    assert torch.allclose(pearson(a, a), torch.ones(200, dtype=DOUBLE), atol=1e-14)
    assert torch.allclose(pearson(a, -2 * a + 5), -torch.ones(200, dtype=DOUBLE), atol=1e-13)


def test_numpy_is_taken_and_one_code_needs_no_batch() -> None:
    assert float(pearson(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0]))) == pytest.approx(1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (torch.tensor([[1, 2, 3]]), TypeError, "floating-point"),
        (torch.zeros(2, 3, dtype=torch.complex64), TypeError, "floating-point"),
        (torch.zeros(4, 2), ValueError, "at least 3"),
        (torch.tensor(1.0), ValueError, "at least 3"),
        (torch.zeros(0, 5), ValueError, "empty"),
        (torch.tensor([[1.0, float("nan"), 3.0]]), ValueError, "finite"),
        (torch.tensor([[1.0, float("inf"), 3.0]]), ValueError, "finite"),
        ("code", TypeError, "tensor"),
        (None, TypeError, "tensor"),
    ],
)
def test_what_is_no_code_is_refused_by_name(value: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        decompose(value)  # type: ignore[arg-type]
    with pytest.raises(error, match=f"z_hat.*{words}"):
        pearson(codes(1, 3), value)  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [codes(3, 5), codes(2, 4), codes(3, 4, dtype=torch.float32), codes(4)])
def test_codes_that_do_not_fit_are_refused(other: Tensor) -> None:
    with pytest.raises(ValueError, match="one shape, type and device"):
        pearson(codes(3, 4), other)


# -- losses


def pair(match: str = "pearson") -> tuple[OGAN, Tensor, Tensor, dict]:
    model = OGAN(8, 6, hidden=(12, 10), generator=torch.Generator().manual_seed(0)).double()
    x = torch.rand(9, 8, 8, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    return model, x, codes(9, 6, seed=2), {"weight": 0.7, "match": match}


def gradients(loss: Tensor, network: nn.Module) -> Tensor:
    parts = torch.autograd.grad(loss.mean(), list(network.parameters()), retain_graph=True)
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("match", MATCHES)
def test_the_one_loss_has_the_gradients_of_the_two(match: str) -> None:
    model, x, z, ties = pair(match)
    fake = model.generate(z)
    joint = joint_loss(model.encode, x, fake, z, penalty=0.3, **ties)
    of_encoder = encoder_loss(model.encode, x, fake.detach(), z, penalty=0.3, **ties)
    of_generator = generator_loss(model.encode, fake, z, **ties)
    assert torch.allclose(joint, of_encoder, rtol=0, atol=1e-15)
    for network, separate in ((model.E, of_encoder), (model.G, of_generator)):
        ours, theirs = gradients(joint, network), gradients(separate, network)
        assert theirs.norm() > 1e-3
        assert (ours - theirs).norm() <= 1e-13 * theirs.norm()


def test_the_naive_sum_of_the_two_losses_has_other_gradients() -> None:
    model, x, z, ties = pair()
    fake = model.generate(z)
    naive = encoder_loss(model.encode, x, fake, z, **ties) + generator_loss(model.encode, fake, z, **ties)
    right = generator_loss(model.encode, fake, z, **ties)
    assert (gradients(naive, model.G) - gradients(right, model.G)).norm() > 0.1 * gradients(
        right, model.G
    ).norm()


def test_the_losses_are_their_formulas() -> None:
    model, x, z, _ = pair()
    fake = model.generate(z).detach()
    real, made = model.encode(x), model.encode(fake)
    apart = (x - fake).square().mean((1, 2))
    R = (real.mean(1) - made.mean(1)).square() / apart
    rho = torch.tensor([pearsonr(a, b).statistic for a, b in zip(z, made.detach(), strict=True)])
    wanted = real.mean(1) - made.mean(1) + 0.25 * R - 0.5 * rho
    assert torch.allclose(encoder_loss(model.encode, x, fake, z), wanted, atol=1e-12)
    assert torch.allclose(generator_loss(model.encode, fake, z), made.mean(1) - 0.5 * rho, atol=1e-12)
    assert torch.allclose(distance_penalty(real.mean(1), made.mean(1), x, fake), R, rtol=1e-12)


def test_gan_qp_at_its_best_score_measures_the_distance() -> None:
    """For two fixed pictures d apart the best D makes a difference of d/2λ and reaches the loss −d/4λ."""
    apart, penalty = 0.09, 0.25
    difference = torch.linspace(-1, 1, 20001, dtype=DOUBLE)
    x, fake = torch.zeros(1, 1, dtype=DOUBLE), torch.full((1, 1), math.sqrt(apart), dtype=DOUBLE)
    n = len(difference)
    R = distance_penalty(difference, torch.zeros(n, dtype=DOUBLE), x.expand(n, 1), fake.expand(n, 1))
    loss = difference + penalty * R
    assert float(difference[loss.argmin()]) == pytest.approx(-apart / (2 * penalty), abs=1e-4)
    assert float(loss.min()) == pytest.approx(-apart / (4 * penalty), abs=1e-7)


def test_equal_pictures_divide_nothing_by_zero() -> None:
    x = torch.rand(4, 8, 8)
    score = torch.ones(4, requires_grad=True)
    R = distance_penalty(score, torch.ones(4), x, x.clone())
    assert torch.equal(R, torch.zeros(4))
    R.sum().backward()
    assert score.grad is not None and torch.isfinite(score.grad).all()


@pytest.mark.parametrize(("apart", "counted"), [(1e-2, 1e-4), (2e-3, 4e-6), (5e-4, 1e-6), (0.0, 1e-6)])
def test_pairs_closer_than_a_mean_square_of_a_millionth_count_as_that_close(
    apart: float, counted: float
) -> None:
    x = torch.zeros(2, 4, 4, dtype=DOUBLE)
    R = distance_penalty(torch.full((2,), 3.0, dtype=DOUBLE), torch.ones(2, dtype=DOUBLE), x, x + apart)
    assert torch.allclose(R, torch.full((2,), 4 / counted, dtype=DOUBLE), rtol=1e-9)


def test_each_match_is_its_formula() -> None:
    z, code = codes(7, 5), codes(7, 5, seed=1)
    assert torch.allclose(match_loss(z, code), -pearson(z, code))
    assert torch.allclose(match_loss(z, code, "mse"), (z - code).square().mean(1))
    assert torch.equal(match_loss(z, code, "none"), torch.zeros(7, dtype=DOUBLE))


def test_the_mean_squared_error_pulls_at_the_average_and_rho_does_not() -> None:
    z, code = codes(7, 5), codes(7, 5, seed=1).requires_grad_()
    for match, pulls in (("pearson", False), ("mse", True)):
        (gradient,) = torch.autograd.grad(match_loss(z, code, match).sum(), code)
        assert bool(gradient.sum(1).abs().max() > 1e-3) is pulls


def test_bad_arguments_of_the_losses_are_named() -> None:
    model, x, z, _ = pair()
    fake = model.generate(z).detach()
    with pytest.raises(ValueError, match="match must be one of pearson, mse, none"):
        match_loss(z, z, "cosine")
    with pytest.raises(ValueError, match="z and code must have one shape"):
        match_loss(z, z[:, :4])
    with pytest.raises(ValueError, match="weight"):
        encoder_loss(model.encode, x, fake, z, weight=-1)
    with pytest.raises(ValueError, match="penalty"):
        joint_loss(model.encode, x, fake, z, penalty=float("nan"))
    with pytest.raises(ValueError, match="x and fake must have one shape"):
        distance_penalty(torch.zeros(2), torch.zeros(2), torch.zeros(2, 8, 8), torch.zeros(2, 7, 7))
    with pytest.raises(ValueError, match=r"encoder must give codes of the shape \(9, 6\).*got \(9, 64\)"):
        generator_loss(lambda image: image.flatten(1), fake, z)


def test_nan_goes_through_a_loss_to_be_found_by_the_loop() -> None:
    model, x, z, _ = pair()
    x[0, 0, 0] = float("nan")
    fake = model.generate(z).detach()
    loss = encoder_loss(model.encode, x, fake, z)
    assert loss[0].isnan() and not loss[1:].isnan().any()
