"""The exponent of every optimiser that torch ships: predicted, measured, and where there is none."""

import math

import pytest
import torch

from kexue_lite.gradients import (
    LAWS,
    cases,
    learning_rate_exponent,
    measure_case,
    measure_exponent,
    shipped,
    survey,
)
from kexue_lite.gradients.laws import law_of
from kexue_lite.gradients.survey import Case

KNOWN = {"SGD": 2, "ASGD": 2, "Adafactor": 0, "Adam": 1, "AdamW": 1, "RMSprop": 1, "Muon": 1, "Rprop": 1}
EXACT = 0.005  # of an exponent; Muon computes in bfloat16, whose eight bits show, and LBFGS' steps are long
LOOSE = {"Muon": 0.03, "LBFGS": 0.03}


def weights(*shape):
    return [torch.nn.Parameter(torch.ones(*(shape or (2, 2))))]


def test_torch_ships_nothing_that_was_not_predicted():
    assert set(shipped()) == set(LAWS)
    assert {case.name for case in cases()} == set(shipped())


def test_a_new_optimizer_would_be_noticed(monkeypatch):
    new = type("Newcomer", (torch.optim.Optimizer,), {})
    monkeypatch.setattr(torch.optim, "Newcomer", new, raising=False)
    assert "Newcomer" in shipped()
    with pytest.raises(KeyError, match="Newcomer has no prediction yet"):
        cases()


@pytest.mark.parametrize("case", cases(), ids=lambda c: c.label)
def test_the_measured_exponent_is_the_predicted_one(case):
    measured = measure_case(case, steps=9, seeds=(0, 1, 121))
    slack = LOOSE.get(case.name, EXACT)
    assert measured.exponents.shape == (3, 9)
    assert (measured.exponents[:, 0] - case.first).abs().max() <= slack
    assert (measured.exponents[:, -1] - case.later).abs().max() <= slack
    assert measured.misfit <= 0.05


@pytest.mark.parametrize("name", KNOWN)
def test_known_exponents_of_class_and_instance(name):
    kind = getattr(torch.optim, name)
    assert learning_rate_exponent(kind) == KNOWN[name]
    assert learning_rate_exponent(kind(weights(), lr=0.1)) == KNOWN[name]
    assert type(learning_rate_exponent(kind)) is int


def test_options_that_leave_it():
    assert learning_rate_exponent(torch.optim.SGD(weights(), lr=1, momentum=0.9, nesterov=True)) == 2
    assert learning_rate_exponent(torch.optim.Adam(weights(), amsgrad=True, eps=1e-3)) == 1


@pytest.mark.parametrize("name, words", [("Adadelta", "compared with g²"), ("LBFGS", "curvature")])
def test_an_optimizer_without_a_law_says_why(name, words):
    with pytest.raises(ValueError, match=f"{name} has no exponent.*{words}"):
        learning_rate_exponent(getattr(torch.optim, name))


def test_one_layer_alone_has_the_same_exponent_but_under_lbfgs():
    for name, p in KNOWN.items():
        found = measure_case(Case(name, p, p), steps=3, alone=True).exponents
        assert (found - p).abs().max() <= LOOSE.get(name, EXACT), name
    lbfgs = next(case for case in cases() if case.label == "LBFGS, |g|₁ < 1")
    assert measure_case(lbfgs, alone=True).exponents[:, -1].abs().min() > 0.1  # it mixes the layers
    assert measure_case(lbfgs).exponents[:, -1].abs().max() <= LOOSE["LBFGS"]


def test_radam_with_a_short_memory_is_sgd_for_ever():
    def radam(*beta2):
        groups = [{"params": weights(), "betas": (0.9, b)} for b in beta2]
        return torch.optim.RAdam(groups)

    assert [learning_rate_exponent(radam(b)) for b in (0.6, 2 / 3, 0.7, 0.999)] == [2, 2, 1, 1]
    with pytest.raises(ValueError, match="both sides of 2/3"):
        learning_rate_exponent(radam(0.6, 0.9))
    for beta2, p in ((0.6, 2), (0.7, 1)):
        measured = measure_exponent(
            lambda q, b=beta2: torch.optim.RAdam(q, lr=1e-6, betas=(0.9, b)), steps=40, seeds=[0]
        )
        assert float(measured.exponents[0, -1]) == pytest.approx(p, abs=EXACT)


def test_a_heir_has_its_parents_law_unless_it_steps_otherwise():
    class Renamed(torch.optim.Adam):
        pass

    class Other(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    assert learning_rate_exponent(Renamed) == 1
    assert learning_rate_exponent(Renamed(weights())) == 1  # torch has wrapped step by now
    assert learning_rate_exponent(Renamed) == 1 and learning_rate_exponent(torch.optim.AdamW) == 1
    for given in (Other, Other(weights(), lr=1)):
        with pytest.raises(ValueError, match="got Other: measure its exponent"):
            learning_rate_exponent(given)


@pytest.mark.parametrize(
    "given, error, words",
    [
        (3, TypeError, "got int: 3"),
        ("Adam", TypeError, "got str"),
        (torch.nn.Linear, TypeError, "got Linear"),
        (None, TypeError, "NoneType"),
        (torch.optim.Optimizer, ValueError, "base class"),
    ],
)
def test_what_is_no_optimizer(given, error, words):
    with pytest.raises(error, match=words):
        learning_rate_exponent(given)


def test_the_slope_is_that_of_a_known_power():
    """An optimiser of our own whose step is g³ has p = 4; one whose step is g/(1 + |g|) lies between."""

    class Cube(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        @torch.no_grad()
        def step(self, closure):
            torch.enable_grad()(closure)()
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(1e-9 * p.grad**3)

    measured = measure_exponent(Cube, steps=2)
    assert (measured.exponents - 4).abs().max() < 1e-4 and measured.misfit < 1e-3
    torch.testing.assert_close(
        measured.steps[0, :, 0].log().diff() / measured.factors.log().diff(),
        torch.full((6,), 4.0).double(),
        rtol=1e-3,
        atol=0,
    )


@pytest.mark.parametrize("eps", [1e-3, 1.0])
def test_eps_moves_adams_exponent_as_predicted(eps):
    """First step g/(|g| + eps) with |g| the same everywhere: p = 1 + eps/(|λg| + eps)."""
    steps = []
    for factor in (0.99, 1.01):
        phi = torch.tensor([0.5 / factor], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([phi], lr=1e-6, eps=eps)
        (0.02 * factor * phi).sum().backward()
        before = phi.detach().clone()
        optimizer.step()
        steps.append(factor * float((phi.detach() - before).abs()))
    slope = math.log(steps[1] / steps[0]) / math.log(1.01 / 0.99)
    assert slope == pytest.approx(1 + eps / (0.02 + eps), abs=1e-4)


def test_decay_alone_does_not_depend_on_the_scale():
    steps = []
    for factor in (0.3, 3.0):
        phi = torch.tensor([0.5 / factor], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([phi], lr=0.1, weight_decay=0.01)
        phi.grad = torch.zeros_like(phi)
        before = phi.detach().clone()
        optimizer.step()
        steps.append(factor * float((phi.detach() - before).abs()))
    assert steps[0] == pytest.approx(steps[1], rel=1e-12)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"steps": 0}, "steps must be"),
        ({"steps": True}, "steps must be"),
        ({"factors": [1.0]}, "factors must be at least two"),
        ({"factors": [1.0, -1.0]}, "factors must be at least two"),
        ({"factors": [1.0, math.nan]}, "factors must be at least two"),
        ({"seeds": []}, "seeds must hold"),
        ({"optimizer": lambda p: torch.optim.SGD(p, lr=0.0)}, "moved nothing"),
    ],
)
def test_bad_measurements(change, words):
    given = {"optimizer": lambda p: torch.optim.SGD(p, lr=1e-6), "steps": 1} | change
    optimizer = given.pop("optimizer")
    with pytest.raises(ValueError, match=words):
        measure_exponent(optimizer, **given)


def test_law_of_names_the_memory():
    assert law_of(torch.optim.Adam).state == {"exp_avg": 1, "exp_avg_sq": 2, "max_exp_avg_sq": 2}
    assert survey.Case("SGD", 2, 2).label == "SGD" and Case("A", 1, 1, "b").label == "A, b"
