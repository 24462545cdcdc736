"""The Fermat point: exact values, the vertex, the line, symmetry, and scipy as the oracle."""

import numpy as np
import pytest
from scipy.optimize import minimize

from kexue_lite.extrema import fermat_point, fermat_residual

TRIANGLE = np.array([(0.0, 0.0), (4.0, 0.0), (0.0, 3.0)])


def total(point, points, weights=None):
    return float(
        (np.ones(len(points)) if weights is None else weights) @ np.linalg.norm(points - point, axis=1)
    )


def test_the_right_triangle():
    point = fermat_point(TRIANGLE)
    np.testing.assert_allclose(point, (0.695788534088, 0.751176106505), rtol=0, atol=1e-12)
    assert abs(total(point, TRIANGLE) - 6.7664325676) < 1e-10
    assert fermat_residual(point, TRIANGLE) < 1e-13
    away = TRIANGLE - point
    angles = [np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))
              for u, v in ((away[0], away[1]), (away[1], away[2]), (away[2], away[0]))]  # fmt: skip
    np.testing.assert_allclose(angles, 120, atol=1e-9)


def test_weights_fix_the_angles():
    """k₁² + k₂² + 2 k₁k₂ cos∠APB = k₃²."""
    k = np.array([1.0, 1.2, 0.9])
    a, b, c = TRIANGLE - fermat_point(TRIANGLE, k)
    for u, v, (i, j, r) in ((a, b, (0, 1, 2)), (b, c, (1, 2, 0)), (c, a, (2, 0, 1))):
        cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
        assert abs(k[i] ** 2 + k[j] ** 2 + 2 * k[i] * k[j] * cosine - k[r] ** 2) < 1e-12


@pytest.mark.parametrize("d", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(6))
def test_against_scipy(d, seed):
    random = np.random.default_rng(seed)
    points, weights = random.normal(size=(3 + seed, d)), random.uniform(0.2, 2, 3 + seed)
    point = fermat_point(points, weights)
    best = min(
        minimize(total, start, (points, weights), method="Nelder-Mead",
                 options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20000}).fun
        for start in [*points, points.mean(0)]
    )  # fmt: skip
    assert total(point, points, weights) <= best + 1e-9
    assert fermat_residual(point, points, weights) < 1e-10


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1.0, 1e12])
def test_scale_and_motion(scale):
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    moved = fermat_point(scale * (TRIANGLE @ turn.T + 3))
    np.testing.assert_allclose(moved, scale * (fermat_point(TRIANGLE) @ turn.T + 3), rtol=1e-12)


def test_weights_that_break_the_triangle_give_the_vertex_exactly():
    for i in range(3):
        k = np.ones(3)
        k[i] = 2.0  # equality: still the vertex
        assert (fermat_point(TRIANGLE, k) == TRIANGLE[i]).all()
    assert fermat_residual(TRIANGLE[1], TRIANGLE, [1, 2, 1]) == 0


def test_the_vertex_takes_over_at_120_degrees():
    def triangle(degrees):
        t = np.radians(degrees)
        return np.array([(0.1, 0.2), (1.1, 0.2), (0.1 + np.cos(t), 0.2 + np.sin(t))])

    for degrees in (120.0001, 150, 179.9):
        assert (fermat_point(triangle(degrees)) == triangle(degrees)[0]).all()
    for degrees in (119.9, 119, 60):
        point = fermat_point(triangle(degrees))
        assert (point != triangle(degrees)[0]).all()
        assert fermat_residual(point, triangle(degrees)) < 1e-11


def test_one_point_two_points_and_points_on_a_line():
    np.testing.assert_array_equal(fermat_point([(2, 3)]), (2, 3))
    np.testing.assert_allclose(fermat_point([(0, 0), (4, 2)]), (2, 1), atol=1e-15)
    np.testing.assert_array_equal(fermat_point([(0, 0), (4, 2)], [1, 2]), (4, 2))
    line = np.outer([0, 1, 5, 6, 20], (1, 2, -1))
    np.testing.assert_array_equal(fermat_point(line), line[2])
    np.testing.assert_allclose(fermat_point(line[:4]), (line[1] + line[2]) / 2, atol=1e-14)
    np.testing.assert_array_equal(fermat_point([[3.0], [1.0], [2.0]]), [2.0])


def test_equal_points_add_their_weights_and_zero_weights_vanish():
    twice = fermat_point([*TRIANGLE, TRIANGLE[1]])
    np.testing.assert_allclose(twice, fermat_point(TRIANGLE, [1, 2, 1]), atol=1e-13)
    np.testing.assert_allclose(fermat_point(TRIANGLE, [1, 0, 1]), (0, 1.5), atol=1e-15)
    np.testing.assert_array_equal(fermat_point([(1, 1)] * 5), (1, 1))


def test_input_is_left_alone():
    points = TRIANGLE.copy()
    fermat_point(points, [1, 1, 5])[:] = 7
    np.testing.assert_array_equal(points, TRIANGLE)


@pytest.mark.parametrize(
    ("points", "weights", "words"),
    [
        (np.zeros((0, 2)), None, "points must have shape"),
        ([1.0, 2.0], None, r"points must have shape \(n, d\)"),
        ([(0, 0), (np.nan, 1)], None, "points must be finite"),
        (TRIANGLE, [1, 1], r"weights must have shape \(3,\)"),
        (TRIANGLE, [1, -1, 1], "not negative"),
        (TRIANGLE, [1, np.inf, 1], "finite"),
        (TRIANGLE, [0, 0, 0], "at least one above 0"),
    ],
)
def test_bad_input(points, weights, words):
    with pytest.raises(ValueError, match=words):
        fermat_point(points, weights)
    with pytest.raises(ValueError, match=words):
        fermat_residual((0, 0), points, weights)


def test_residual_needs_a_point_of_the_same_dimension():
    with pytest.raises(ValueError, match="point must have shape"):
        fermat_residual((0, 0, 0), TRIANGLE)
