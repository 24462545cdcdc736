"""Direct minimisation and the exact curves: the chapter's numbers, order of convergence, and bad input."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_bvp
from scipy.optimize import minimize

from kexue_lite.extrema import brachistochrone, catenary, catenoid, minimize_path, polygon, tridiagonal


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors: two threads that wait for each other on busy cores cost more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def descent(x, y, dy):
    return torch.sqrt((1 + dy**2) / (2 * y))


def length(x, y, dy):
    return torch.sqrt(1 + dy**2)


def potential(x, y, dy):
    return y * length(x, y, dy)


# -- the exact curves --


def test_brachistochrone_numbers():
    assert abs(brachistochrone(math.pi, 2).time - math.pi) < 1e-14
    assert abs(brachistochrone(1, 1).time - 1.825682189) < 5e-10
    line = math.sqrt(2 * (math.pi**2 + 4) / 2)  # T√g of a straight slope: L √(2/drop)
    assert abs(line / math.pi - 1.1854471) < 5e-8


@pytest.mark.parametrize("end", [(1, 1), (0.01, 1), (3, 0), (50, 1), (1, 1e3)])
def test_the_cycloid_ends_where_it_should_and_takes_the_time_it_says(end):
    curve = brachistochrone(*end)
    np.testing.assert_allclose(curve.point(curve.angle), end, rtol=1e-9, atol=1e-9)

    def dt(t):
        return curve.radius * math.sqrt(2 - 2 * math.cos(t)) / math.sqrt(2 * curve.radius * (1 - math.cos(t)))

    assert abs(quad(dt, 0, curve.angle)[0] - curve.time) < 1e-9 * curve.time
    np.testing.assert_allclose(curve.height(curve.point(1.0)[0]), curve.point(1.0)[1], rtol=1e-10)


def test_catenary_numbers():
    chain = catenary(2, 3)
    assert abs(chain.a - 0.6164729395) < 5e-11
    assert abs(quad(lambda x: math.cosh(x / chain.a), -1, 1)[0] - 3) < 1e-12
    energy = quad(lambda x: float(chain.height(x)) * math.cosh(x / chain.a), -1, 1)[0]
    assert abs(energy - chain.energy) < 1e-12
    with pytest.raises(ValueError, match="cannot reach"):
        catenary(2, 2)


def test_catenoid_numbers():
    film = catenoid(0.5)
    np.testing.assert_allclose(film.necks, (0.8483379381, 0.2350949902), atol=5e-11)
    assert film.areas[0] < film.areas[1]
    assert len(catenoid(0.6627434193).necks) == 2 and catenoid(0.6627434194).necks == ()
    below, above = catenoid(0.5276973969), catenoid(0.5276973971)
    assert below.areas[0] < below.discs and above.areas[0] > above.discs
    np.testing.assert_allclose(catenoid(1.0, radius=2.0).necks, 2 * np.array(film.necks), rtol=1e-12)
    area = quad(lambda x: 2 * math.pi * film.necks[0] * math.cosh(x / film.necks[0]) ** 2, -0.5, 0.5)[0]
    assert abs(area - film.areas[0]) < 1e-12


@pytest.mark.parametrize(
    "call",
    [lambda: brachistochrone(0, 1), lambda: brachistochrone(1, -1), lambda: brachistochrone(math.nan, 1),
     lambda: catenary(-1, 2), lambda: catenary(1, math.inf), lambda: catenoid(0),
     lambda: catenoid(1, radius=-1)],
)  # fmt: skip
def test_curves_refuse_bad_numbers(call):
    with pytest.raises(ValueError, match="must be"):
        call()


# -- the parts --


def test_tridiagonal_solve_is_torchs():
    generator = torch.Generator().manual_seed(0)
    d = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    e = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    b = torch.randn(9, 4, 2, generator=generator, dtype=torch.float64)
    matrix = torch.stack(
        [torch.diag(d[:, i]) + torch.diag(e[:, i], 1) + torch.diag(e[:, i], -1) for i in range(4)]
    )
    pivots, rows = tridiagonal.factor(d, e)
    wanted = torch.linalg.solve(matrix, b.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(tridiagonal.solve(pivots, rows, b), wanted, rtol=1e-9, atol=1e-9)
    assert torch.equal((pivots < 0).sum(0), (torch.linalg.eigvalsh(matrix) < 0).sum(1))


@pytest.mark.parametrize("singular", [(False, False), (True, False), (False, True), (True, True)])
def test_grids_integrate_exactly_and_derivatives_are_autograds(singular):
    start, end = (
        torch.tensor([[0.0, 0.5]], dtype=torch.float64),
        torch.tensor([[2.0, 1.0]], dtype=torch.float64),
    )
    grid = polygon.Grid.of(12, singular, start)
    assert abs(float(sum(b.weights.sum() for b in grid.blocks)) - 1) < 1e-14
    span = polygon.Span(start[:, :1], (end - start)[:, :1])
    y = 0.5 + 0.5 * grid.nodes[None] + 0.1 * torch.sin(7 * grid.nodes)[None]
    F = lambda x, y, dy: x * y + dy**2 * y + torch.exp(-y)  # noqa: E731
    value, gradient, diagonal, off = polygon.derivatives(F, grid, span, y)

    def readable(inner):
        return sum(
            polygon.segment_values(F, b, span, p[:, b.first : b.last], p[:, b.first + 1 : b.last + 1]).sum()
            for p in [torch.cat([y[0, :1], inner, y[0, -1:]])[None]]
            for b in grid.blocks
        )

    inner = y[0, 1:-1].clone()
    assert abs(float(value) - float(readable(inner))) < 1e-13
    torch.testing.assert_close(gradient[0], torch.autograd.functional.jacobian(readable, inner))
    hessian = torch.autograd.functional.hessian(readable, inner)
    torch.testing.assert_close(torch.diag(hessian), diagonal[0])
    torch.testing.assert_close(torch.diag(hessian, 1), off[0])
    assert torch.triu(hessian, 2).abs().max() == 0


# -- the brachistochrone --


@pytest.mark.parametrize("end", [(math.pi, 2), (1, 1), (0.3, 1), (2, 0.5), (0.02, 1)])
def test_brachistochrone_within_1e_4(end):
    path = minimize_path(descent, (0, 0), end, nodes=200)
    exact = brachistochrone(*end)
    assert path.x.shape == path.y.shape == (200,) and path.value.shape == ()
    assert -1e-9 < float(path.value) - exact.time < 1e-4  # an upper bound, as a real path's time must be
    assert bool(path.converged) and float(path.residual) < 1e-12
    np.testing.assert_allclose(path.y, exact.height(path.x), atol=2e-3 * max(end))


@pytest.mark.parametrize("end", [(math.pi, 2), (1, 1)])
def test_the_value_is_that_of_the_polygon(end):
    """The oracle: the exact time along each straight segment, 2 length / (v₀ + v₁)."""
    path = minimize_path(descent, (0, 0), end)
    x, y = path.x.numpy(), path.y.numpy()
    v = np.sqrt(2 * y)
    assert abs((2 * np.hypot(np.diff(x), np.diff(y)) / (v[1:] + v[:-1])).sum() - float(path.value)) < 1e-7


def test_error_falls_with_the_square_of_the_nodes():
    errors = [float(minimize_path(descent, (0, 0), (1, 1), nodes=n).value) - brachistochrone(1, 1).time
              for n in (51, 101, 201)]  # fmt: skip
    assert 3.5 < errors[0] / errors[1] < 4.6 and 3.5 < errors[1] / errors[2] < 4.6


def test_ends_as_lists_arrays_and_tensors_turned_and_mirrored():
    wanted = minimize_path(descent, (0, 0), (1, 1))
    for start, end in (
        ([0, 0], [1, 1]),
        (np.zeros(2), np.ones(2)),
        (torch.zeros(2), torch.ones(2)),
        ((0, 0), (-1, 1)),
        ((1, 1), (0, 0)),
    ):
        path = minimize_path(descent, start, end)
        assert abs(float(path.value - wanted.value)) < 1e-9
        assert path.y.dtype == torch.float64
        assert [float(path.x[0]), float(path.y[0])] == list(map(float, start))
        assert [float(path.x[-1]), float(path.y[-1])] == list(map(float, end))
    upward = minimize_path(lambda x, y, dy: torch.sqrt((1 + dy**2) / (2 * (1 - y))), (0, 1), (1, 0))
    np.testing.assert_allclose(upward.y, 1 - wanted.y, atol=1e-8)


def test_ends_at_rest_on_both_sides():
    path = minimize_path(descent, (0, 0), (2 * math.pi, 0))
    assert abs(float(path.value) - 2 * math.pi) < 1e-4


def test_a_batch_is_its_problems_one_by_one():
    ends = torch.rand(7, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.2
    together = minimize_path(descent, (0, 0), ends, nodes=60)
    assert together.y.shape == together.x.shape == (7, 60) and together.value.shape == (7,)
    for i, end in enumerate(ends):
        alone = minimize_path(descent, (0, 0), end, nodes=60)
        assert abs(float(alone.value - together.value[i])) < 1e-12
        torch.testing.assert_close(alone.y, together.y[i], atol=1e-8, rtol=0)


def test_a_thousand_problems_at_once():
    ends = torch.rand(1000, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2 + 0.5
    path = minimize_path(descent, torch.zeros(1000, 2), ends)
    exact = np.array([brachistochrone(*end).time for end in ends.tolist()])
    assert path.y.shape == (1000, 200) and bool(path.converged.all())
    assert np.abs(path.value.numpy() - exact).max() < 1e-4


def test_parameters_of_shape_batch_by_one():
    g = torch.tensor([[1.0], [4.0]])
    path = minimize_path(
        lambda x, y, dy: descent(x, y, dy) / torch.sqrt(g), torch.zeros(2, 2), torch.ones(2, 2)
    )
    assert abs(float(path.value[0] / path.value[1]) - 2) < 1e-12


# -- other functionals --


@pytest.mark.parametrize(("start", "end"), [((0, 0), (1, 1)), ((2, 5), (-1, -40)), ((0, 3), (1e-3, 0))])
def test_straight_lines(start, end):
    path = minimize_path(length, start, end)
    assert abs(float(path.value) - math.dist(start, end)) < 1e-12 * math.dist(start, end) + 1e-14


def test_half_plane_sphere_cylinder_and_cone():
    half = minimize_path(lambda x, y, dy: torch.sqrt(1 + dy**2) / y, (0, 1), (1, 1))
    assert abs(float(half.value) - math.acosh(1.5)) < 2e-6 and abs(math.acosh(1.5) - 0.9624237) < 5e-8
    sphere = minimize_path(lambda x, y, dy: torch.sqrt(dy**2 + torch.sin(y) ** 2), (0, 1), (2, 2), nodes=400)
    arc = math.acos(math.cos(1) * math.cos(2) + math.sin(1) * math.sin(2) * math.cos(2))
    assert abs(float(sphere.value) - arc) < 1e-5
    cylinder = minimize_path(lambda x, y, dy: torch.sqrt(4 + dy**2), (0, 0), (1.5, 1))
    assert abs(float(cylinder.value) - math.hypot(3, 1)) < 1e-12
    sine = 0.4  # of half the opening angle; unrolled, the cone is a sector
    cone = minimize_path(lambda x, y, dy: torch.sqrt(dy**2 + (sine * y) ** 2), (0, 1), (2, 2), nodes=400)
    assert abs(float(cone.value) - math.sqrt(1 + 4 - 4 * math.cos(2 * sine))) < 1e-5


def test_catenoid_by_descent():
    path = minimize_path(lambda x, y, dy: 2 * math.pi * y * torch.sqrt(1 + dy**2), (-0.5, 1), (0.5, 1))
    assert abs(float(path.value) - catenoid(0.5).areas[0]) < 1e-4
    assert abs(float(path.y.min()) - 0.8483379381) < 1e-5


def test_snell():
    """Refraction is a kink: with a node on the surface, the two straight pieces are found."""
    time = lambda x: math.hypot(x[0], 1) + 1.5 * math.hypot(1 - x[0], 1)  # noqa: E731
    cross = minimize(time, [0.5], tol=1e-14).x[0]
    assert abs(cross - 0.6231998) < 1e-6
    # Here the height is the independent variable, so the path is x(height).
    path = minimize_path(
        lambda h, x, dx: torch.where(h > 0, 1.0, 1.5) * torch.sqrt(1 + dx**2), (1, 0), (-1, 1), nodes=201
    )
    assert abs(float(path.y[100]) - 0.6231998) < 1e-6


def test_against_scipys_boundary_value_solver():
    """y'' = y³ + x from F = y'²/2 + y⁴/4 + xy."""
    path = minimize_path(lambda x, y, dy: dy**2 / 2 + y**4 / 4 + x * y, (0, 1), (2, -1), nodes=400)
    grid = np.linspace(0, 2, 50)
    oracle = solve_bvp(
        lambda x, u: np.vstack([u[1], u[0] ** 3 + x]),
        lambda a, b: np.array([a[0] - 1, b[0] + 1]),
        grid,
        np.vstack([1 - grid, -np.ones(50)]),
        tol=1e-10,
    )
    np.testing.assert_allclose(path.y, oracle.sol(path.x.numpy())[0], atol=1e-5)


def test_without_a_derivative_each_point_is_minimised_by_itself():
    path = minimize_path(lambda x, y, dy: (y - x) ** 2, (0, 0), (1, 1))
    np.testing.assert_allclose(path.y, path.x, atol=1e-12)


def test_a_saddle_is_left():
    """Beyond half a period y = 0 is stationary for the oscillator, and no minimum."""
    oscillator = lambda x, y, dy: dy**2 / 2 - y**2 / 2  # noqa: E731
    inside = minimize_path(oscillator, (0, 0), (3.1, 0))
    assert bool(inside.converged) and float(inside.value) == 0
    with pytest.warns(RuntimeWarning, match="1 of 1 problems did not converge"):
        beyond = minimize_path(oscillator, (0, 0), (3.2, 0))
    assert not bool(beyond.converged) and float(beyond.value) < -1e6
    # y' = ±1 is best here, and the straight line of slope 0 is a maximum with gradient zero.
    tent = minimize_path(lambda x, y, dy: (dy**2 - 1) ** 2, (0, 0), (1, 0), nodes=51)
    assert bool(tent.converged) and float(tent.value) < 0.01


# -- constraints --


def test_catenary_by_descent():
    path, exact = minimize_path(potential, (-1, 0), (1, 0), constraints=[(length, 3.0)]), catenary(2, 3)
    np.testing.assert_allclose(path.y, exact.height(path.x), atol=2e-5)
    assert abs(float(path.value) - exact.energy) < 5e-5 and bool(path.converged)
    # (y + λ)√(1+y'²) is the free problem of a chain lifted by λ: its axis lies a cosh(1/a) under the nails.
    assert abs(float(path.multipliers[0]) - exact.a * math.cosh(1 / exact.a)) < 5e-5


def test_chains_of_many_lengths_at_once():
    lengths = torch.tensor([2.1, 2.5, 3.0, 4.0, 6.0])
    path = minimize_path(
        potential,
        torch.tensor([-1.0, 0]),
        torch.tensor([[1.0, 0]] * 5),
        constraints=[(length, lengths)],
        nodes=100,
    )
    assert bool(path.converged.all())
    for i, L in enumerate(lengths.tolist()):
        assert abs(float(path.value[i]) / catenary(2, L).energy - 1) < 1e-3


@pytest.mark.parametrize("half_angle", [0.5, 1.2])
def test_dido(half_angle):
    R = 1 / math.sin(half_angle)
    path = minimize_path(lambda x, y, dy: -y, (-1, 0), (1, 0), constraints=[(length, 2 * R * half_angle)])
    area = R**2 * (half_angle - math.sin(half_angle) * math.cos(half_angle))
    assert abs(float(path.value) + area) < 1e-4
    np.testing.assert_allclose(torch.hypot(path.x, path.y + R * math.cos(half_angle)), R, atol=1e-4)


def test_two_constraints_meet_their_values():
    bounds = [(lambda x, y, dy: y, 1.0), (lambda x, y, dy: x * y, 0.6)]
    path = minimize_path(lambda x, y, dy: dy**2, (0, 0), (1, 0), constraints=bounds, nodes=400)
    assert path.multipliers.shape == (2,)
    # 2y'' = λ₁ + λ₂x: y is a cubic; its two coefficients follow from the two integrals.
    x = path.x.numpy()
    A = np.array([[-1 / 6, -1 / 4], [-1 / 12, -2 / 15]])  # of ∫y, ∫xy for y = a(x²−x) + b(x³−x)
    a, b = np.linalg.solve(A, [1.0, 0.6])
    np.testing.assert_allclose(path.y, a * (x**2 - x) + b * (x**3 - x), atol=1e-4)


def test_smallest_eigenvalue_as_a_constrained_problem():
    path = minimize_path(lambda x, y, dy: dy**2, (0, 0), (1, 0), constraints=[(lambda x, y, dy: y**2, 1.0)])
    assert abs(float(path.value) - math.pi**2) < 5e-4


@pytest.mark.parametrize("asked", [0.5, 1.99, 2.0])
def test_a_chain_no_longer_than_the_span_is_refused(asked):
    with pytest.raises(ValueError, match="shorter than the distance of its ends"):
        minimize_path(potential, (-1, 0), (1, 0), constraints=[(length, asked)])


# -- bad input --


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((length, (0, 0), (0, 0)), {}, ValueError, "different x.*of the point itself"),
        ((length, (0, 0), (0, 1)), {}, ValueError, "different x.*swap the roles"),
        ((length, [[0, 0], [1, 0]], [[1, 1], [1, 3]]), {}, ValueError, "problem 1"),
        ((length, (0, math.nan), (1, 1)), {}, ValueError, "start must be finite"),
        ((length, (0, 0), (math.inf, 1)), {}, ValueError, "end must be finite"),
        ((length, (0, 0, 0), (1, 1)), {}, ValueError, "start must have shape"),
        ((length, np.zeros((0, 2)), (1, 1)), {}, ValueError, "start must have shape"),
        ((length, np.zeros((3, 2)), np.ones((2, 2))), {}, ValueError, "same batch"),
        ((length, "ab", (1, 1)), {}, TypeError, "start must be numbers"),
        ((length, (0, 0), (1, 1)), {"nodes": 2}, ValueError, "nodes must be"),
        ((length, (0, 0), (1, 1)), {"nodes": 20.0}, ValueError, "nodes must be"),
        ((length, (0, 0), (1, 1)), {"max_iterations": 0}, ValueError, "max_iterations"),
        ((length, (0, 0), (1, 1)), {"initial": [0.0, 1.0]}, ValueError, "initial must have shape"),
        ((length, (0, 0), (1, 1)), {"constraints": length}, TypeError, "sequence of pairs"),
        ((length, (0, 0), (1, 1)), {"constraints": [length]}, TypeError, "must be a pair"),
        ((length, (0, 0), (1, 1)), {"constraints": [(length, math.nan)]}, ValueError, "finite number"),
        ((length, (0, 0), (1, 1)), {"constraints": [(length, [1.0, 2.0])]}, ValueError, "one for each"),
        (("y", (0, 0), (1, 1)), {}, TypeError, "callable"),
        ((lambda x, y, dy: 1.0, (0, 0), (1, 1)), {}, TypeError, "torch tensor"),
        ((lambda x, y, dy: x**2, (0, 0), (1, 1)), {}, ValueError, "depend on y"),
        ((lambda x, y, dy: y[:, :3] * 1, (0, 0), (1, 1)), {}, ValueError, "one number for each point"),
        ((lambda x, y, dy: torch.log(y - 9), (0, 0), (1, 1)), {}, ValueError,
         r"not finite.*at x = .*y = .*problem 0"),
        ((descent, (0, 0), (1, -1)), {}, ValueError, "not finite on the path to start from"),
        ((length, (0, 0), (1, 1)), {"constraints": [(lambda x, y, dy: 1 / (y * 0), 1.0)]}, ValueError,
         r"constraints\[0\] is not finite"),
    ],
)  # fmt: skip
def test_bad_input(arguments, options, error, words):
    with pytest.raises(error, match=words):
        minimize_path(*arguments, **options)


def test_a_functional_without_minimum_is_not_called_converged():
    with pytest.warns(RuntimeWarning, match="falls without bound"):
        path = minimize_path(lambda x, y, dy: y + 0 * dy, (0, 0), (1, 1))
    assert not bool(path.converged)


def test_initial_path_opens_a_domain():
    ring = lambda x, y, dy: torch.sqrt(y - 3) * 0 + dy**2 + (y - 4) ** 2 + 1e-3 / (y - 3)  # noqa: E731
    inner = np.concatenate([[3.5], np.full(48, 4.0), [3.5]])
    path = minimize_path(ring, (0, 3.5), (1, 3.5), nodes=50, initial=inner)
    assert bool(path.converged) and float(path.y.min()) == 3.5


def test_nothing_is_warned_about_when_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minimize_path(descent, (0, 0), (1, 1))
