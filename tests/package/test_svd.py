"""Truncated SVD against scipy and LAPACK, SVD vectors, the linear autoencoder, bad input."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import svds

from kexue_lite.embeddings import Cooccurrence, linear_autoencoder, pmi, svd_vectors, truncated_svd


def some_sparse(m: int = 900, n: int = 700, seed: int = 0) -> sparse.csr_array:
    generator = np.random.default_rng(seed)
    dense = generator.standard_normal((m, n)) * (generator.random((m, n)) < 0.02)
    return sparse.csr_array(dense + 0.3 * np.outer(generator.random(m), generator.random(n)))


@pytest.mark.parametrize("rank", [1, 12, 60])
def test_it_agrees_with_scipy(rank: int) -> None:
    A = some_sparse()
    u, s, vt = svds(A, k=rank, random_state=0)
    found = truncated_svd(A, rank)
    np.testing.assert_allclose(found.s.numpy(), s[::-1], rtol=1e-9)
    theirs = (u * s) @ vt
    assert np.linalg.norm(((found.U * found.s) @ found.Vt).numpy() - theirs) <= 1e-6 * np.linalg.norm(theirs)
    assert found.residual <= 1e-9


@pytest.mark.parametrize("shape", [(900, 350), (350, 900), (20, 30), (1, 5), (5, 1)])
def test_every_shape(shape: tuple[int, int]) -> None:
    A = np.random.default_rng(0).standard_normal(shape)
    rank = min(10, *shape)
    found = truncated_svd(A, rank)
    np.testing.assert_allclose(found.s.numpy(), np.linalg.svd(A, compute_uv=False)[:rank], rtol=1e-9)
    identity = torch.eye(rank, dtype=torch.float64)
    torch.testing.assert_close(found.U.T @ found.U, identity, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.Vt @ found.Vt.T, identity, rtol=0, atol=1e-9)


def test_full_rank_returns_the_matrix() -> None:
    A = np.random.default_rng(0).standard_normal((30, 30))
    found = truncated_svd(A, 30)
    np.testing.assert_allclose(((found.U * found.s) @ found.Vt).numpy(), A, atol=1e-12)


def test_a_rank_beyond_that_of_the_matrix_gives_zeros() -> None:
    generator = np.random.default_rng(0)
    A = generator.standard_normal((600, 5)) @ generator.standard_normal((5, 500))
    found = truncated_svd(A, 20)
    np.testing.assert_allclose(found.s[:5].numpy(), np.linalg.svd(A, compute_uv=False)[:5], rtol=1e-10)
    assert found.s[5:].max() <= 1e-10 * found.s[0]
    identity = torch.eye(20, dtype=torch.float64)
    torch.testing.assert_close(found.U.T @ found.U, identity, rtol=0, atol=1e-8)
    assert truncated_svd(np.zeros((400, 400)), 3).s.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "copies",
    [
        2,
        12,  # as many as the block has columns
        pytest.param(
            40,
            marks=pytest.mark.xfail(
                strict=False,
                reason="of more copies than the block has columns rounding decides, and so the processor",
            ),
        ),
    ],
)
def test_equal_singular_values_are_all_found(copies: int) -> None:
    s = np.r_[np.full(copies, 3.0), np.linspace(1, 0.1, 400 - copies)]
    generator = np.random.default_rng(0)
    Q, _ = np.linalg.qr(generator.standard_normal((400, 400)))
    found = truncated_svd(Q * s, copies + 2).s[: copies + 1].numpy()
    np.testing.assert_allclose(found, s[: copies + 1], rtol=1e-8)


def test_every_kind_of_matrix_gives_the_same() -> None:
    A = some_sparse(400, 400)
    dense = torch.from_numpy(A.toarray())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds: list[Any] = [A, A.tocoo(), A.toarray(), dense, dense.to_sparse_csr(), dense.to_sparse()]
    first = truncated_svd(A, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in kinds[:4]:
            torch.testing.assert_close(truncated_svd(kind, 8).U, first.U, rtol=0, atol=1e-7)
    for kind in kinds[4:]:
        torch.testing.assert_close(truncated_svd(kind, 8).s, first.s)


def test_the_start_does_not_matter_and_signs_are_fixed() -> None:
    A = some_sparse(400, 400)
    first, second = (truncated_svd(A, 5, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    torch.testing.assert_close(first.U, second.U, rtol=0, atol=1e-7)
    assert (first.U.gather(0, first.U.abs().argmax(0)[None]) > 0).all()


def test_a_smaller_tolerance_is_met() -> None:
    A = some_sparse(1200, 1200)
    for tolerance in (1e-2, 1e-6, 1e-12):
        assert truncated_svd(A, 10, tolerance=tolerance).residual <= tolerance


@pytest.mark.parametrize("bad", [0, -1, 6, 2.0, True, None])
def test_a_bad_rank_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="rank must be a whole number from 1 to 5"):
        truncated_svd(np.ones((5, 9)), bad)


@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        (np.array([[1.0, np.nan]]), ValueError),
        (np.array([[1.0, np.inf]]), ValueError),
        (sparse.csr_array(np.array([[1.0, np.nan]])), ValueError),
        (np.zeros((0, 3)), ValueError),
        (np.zeros(3), ValueError),
        (np.zeros((2, 2, 2)), ValueError),
        (np.array([["a"]]), TypeError),
        (np.array([[1j]]), TypeError),
        (torch.zeros(2, 2, dtype=torch.complex64), TypeError),
    ],
)
def test_a_bad_matrix_is_refused(matrix: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="matrix must"):
        truncated_svd(matrix, 1)


@pytest.mark.parametrize("tolerance", [0, -1, float("nan"), 1e-20])
def test_a_bad_tolerance_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        truncated_svd(np.ones((5, 5)), 1, tolerance=tolerance)


@pytest.fixture
def pairs() -> Cooccurrence:
    counts = np.random.default_rng(0).poisson(1.5, (40, 40))
    return Cooccurrence(counts + counts.T, [f"w{i}" for i in range(40)])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_vectors_multiply_to_the_best_approximation(pairs: Cooccurrence, power: float) -> None:
    table = svd_vectors(pairs, dimensions=7, power=power)
    M = pmi(pairs, exponent=0.75, positive=True).toarray()
    u, s, vt = np.linalg.svd(M)
    assert table.contexts is not None
    np.testing.assert_allclose(table.vectors @ table.contexts.T, (u[:, :7] * s[:7]) @ vt[:7], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(table.vectors, axis=0), s[:7] ** power, rtol=1e-5)


def test_at_full_dimensions_they_multiply_to_the_matrix(pairs: Cooccurrence) -> None:
    table = svd_vectors(pairs, dimensions=40, shift=2, exponent=1.0)
    M = pmi(pairs, shift=2, positive=True).toarray()
    assert table.contexts is not None and len(table) == 40
    np.testing.assert_allclose(table.vectors @ table.contexts.T, M, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"dimensions": 0},
        {"dimensions": 41},
        {"dimensions": 2.5},
        {"power": -0.1},
        {"power": 1.1},
        {"power": float("nan")},
        {"shift": 0},
        {"shift": 1e9},
        {"exponent": float("nan")},
    ],
)
def test_bad_options_are_refused(pairs: Cooccurrence, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        svd_vectors(pairs, **{"dimensions": 5, **options})


def test_a_matrix_is_no_cooccurrence() -> None:
    with pytest.raises(TypeError, match="Cooccurrence"):
        svd_vectors(np.ones((3, 3)))  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [1, 4, 30])
def test_the_autoencoder_finds_the_truncated_svd(width: int) -> None:
    M = np.random.default_rng(0).standard_normal((50, 30)) * np.linspace(1, 0.1, 30)
    E, D, losses = linear_autoencoder(M, width, steps=2000)
    u, s, vt = np.linalg.svd(M, full_matrices=False)
    best = (u[:, :width] * s[:width]) @ vt[:width]
    assert E.shape == (30, width) and D.shape == (width, 30)
    restored = torch.from_numpy(M) @ E @ D
    assert np.linalg.norm(restored.numpy() - best) <= 1e-6 * np.linalg.norm(M)
    assert losses[-1] == pytest.approx((s[width:] ** 2).sum(), rel=1e-9, abs=1e-20)
    assert all(later <= earlier * (1 + 1e-12) + 1e-20 for earlier, later in itertools.pairwise(losses))


@pytest.mark.parametrize("options", [{"width": 0}, {"width": 6}, {"width": 1.5}, {"width": 2, "steps": 0}])
def test_a_bad_autoencoder_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="steps" if "steps" in options else "width"):
        linear_autoencoder(np.ones((5, 5)), **options)
