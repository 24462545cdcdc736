"""Gradients changed on their way: against torch and by hand, in order, by name, taken off again."""

import copy
import math

import pytest
import torch
from torch import nn

from kexue_lite.gradients import (
    Gradients,
    centralise,
    clip_adaptive,
    clip_norm,
    freeze,
    multiply,
    only,
    scale_learning_rate,
    transform_gradients,
    zero,
)


def network():
    torch.manual_seed(0)
    parts = {"embedding": nn.Linear(4, 3), "act": nn.Tanh(), "head": nn.Linear(3, 2)}
    net = nn.Sequential()
    for name, part in parts.items():
        net.add_module(name, part)
    return net.double()


def backward(net, step=0):
    x = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
    for p in net.parameters():
        p.grad = None
    (net(x) ** 2).sum().backward()


def values(net):
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def gradients(net):
    return Gradients({n: p.grad.clone() for n, p in net.named_parameters()}, dict(net.named_parameters()))


@pytest.fixture
def net():
    net = network()
    backward(net)
    return net


@pytest.mark.parametrize("order", [1, 2, 3, math.inf])
@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clipping_is_torchs(net, order, limit):
    ours = clip_norm(limit, order=order)(gradients(net))
    nn.utils.clip_grad_norm_(net.parameters(), limit, norm_type=order)
    for name, p in net.named_parameters():
        torch.testing.assert_close(ours[name], p.grad, rtol=1e-5, atol=0)  # torch adds 1e-6 to the norm
    total = torch.cat([g.flatten() for g in ours.values()])
    if limit < 1:
        assert float(torch.linalg.vector_norm(total, order)) == pytest.approx(limit, rel=1e-12)


def test_clipping_begins_at_the_limit_itself(net):
    total = float(torch.cat([p.grad.flatten() for p in net.parameters()]).norm())
    for share in (0.75, 0.999, 1.001):
        ours = clip_norm(share * total)(gradients(net))
        size = float(torch.cat([g.flatten() for g in ours.values()]).norm())
        assert size == pytest.approx(min(share, 1) * total, rel=1e-12)


def test_clipping_keeps_the_direction_and_has_one_norm_for_all(net):
    before, after = gradients(net).values, clip_norm(0.5)(gradients(net))
    shares = [after[n] / before[n] for n in before]
    for share in shares:
        torch.testing.assert_close(share, torch.full_like(share, float(shares[0].flatten()[0])))


def test_adaptive_clipping_by_hand(net):
    got = clip_adaptive(0.3)(gradients(net))
    changed = 0
    for name, p in net.named_parameters():
        rows = [slice(None)] if p.ndim < 2 else range(len(p))
        for i in rows:
            allowed = 0.3 * max(float(p[i].detach().norm()), 1e-3)
            size = float(p.grad[i].norm())
            changed += size > allowed
            torch.testing.assert_close(got[name][i], p.grad[i] * min(1, allowed / size), rtol=1e-12, atol=0)
    assert changed > 0


def test_adaptive_clipping_of_filters_and_of_zero_weights():
    weight, g = torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)
    weight[0] = 1.0
    got = clip_adaptive(0.01)(Gradients({"w": g}, {"w": weight}))["w"]
    torch.testing.assert_close(got[0].norm(), 0.01 * weight[0].norm())
    torch.testing.assert_close(
        got[1].norm(), torch.tensor(1e-5), rtol=1e-5, atol=0
    )  # or zeros could never leave zero
    assert torch.equal(clip_adaptive(0.01)(Gradients({"w": 0 * g}, {"w": weight}))["w"], torch.zeros_like(g))


def test_centralised_rows_sum_to_zero_and_so_the_sums_of_weights_stay(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    before = values(net)
    with transform_gradients(optimizer, centralise(), names=net):
        for step in range(5):
            backward(net, step)
            optimizer.step()
    for name, p in net.named_parameters():
        if p.ndim == 2:
            torch.testing.assert_close(p.detach().sum(1), before[name].sum(1), rtol=0, atol=1e-14)
        assert not torch.allclose(p, before[name])
    filters = centralise()(Gradients({"w": torch.arange(24.0).reshape(2, 3, 2, 2)}, {}))["w"]
    torch.testing.assert_close(filters.sum((1, 2, 3)), torch.zeros(2))


def test_multiply_is_the_rate_of_sgd_and_nothing_to_adam():
    for make, same in (
        (lambda p: torch.optim.SGD(p, lr=0.1), False),
        (lambda p: torch.optim.Adam(p, eps=0), True),
    ):
        slow, plain = network(), network()
        start = values(slow)
        ours, theirs = make(slow.parameters()), make(plain.parameters())
        transform_gradients(ours, multiply({"embedding.*": 0.1}), names=slow)
        for net, optimizer in ((slow, ours), (plain, theirs)):
            backward(net)
            optimizer.step()
        for name in start:
            moved = [dict(net.named_parameters())[name].detach() - start[name] for net in (slow, plain)]
            share = 0.1 if name.startswith("embedding") and not same else 1.0
            torch.testing.assert_close(moved[0], share * moved[1], rtol=1e-9, atol=1e-13)


def test_the_first_pattern_counts():
    rules = {"a.bias": 3.0, "a.*": 2.0, "*": 0.5}
    g = {n: torch.ones(1) for n in ("a.bias", "a.weight", "b.weight")}
    got = multiply(rules)(Gradients(g, {}))
    assert [float(v) for v in got.values()] == [3.0, 2.0, 0.5]


def test_only_leaves_the_others_and_the_order_of_names(net):
    got = only("head.*", zero())(gradients(net))
    assert list(got) == [n for n, _ in net.named_parameters()]
    for name, p in net.named_parameters():
        assert torch.equal(got[name], 0 * p.grad if name.startswith("head") else p.grad)
    clipped = only("head.*", clip_norm(0.1))(gradients(net))
    part = torch.cat([clipped["head.weight"].flatten(), clipped["head.bias"]])
    assert float(part.norm()) == pytest.approx(0.1)
    assert list(only("head.*", freeze("*"))(gradients(net))) == ["embedding.weight", "embedding.bias"]


def test_they_act_in_the_order_given(net):
    seen = []

    def add_one(gradients):
        seen.append("add")
        return gradients.each(lambda n, g: g + 1)

    def double(gradients):
        seen.append("double")
        return gradients.each(lambda n, g: 2 * g)

    before = gradients(net).values
    for chain, expected in (
        ((add_one, double), lambda g: 2 * (g + 1)),
        ((double, add_one), lambda g: 2 * g + 1),
    ):
        backward(net)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        with transform_gradients(optimizer, *chain):
            optimizer.step()
        for name, p in net.named_parameters():
            torch.testing.assert_close(p.grad, expected(before[name]))
    assert seen == ["add", "double", "double", "add"]


def test_the_prank_stops_sgd_and_what_momentum_remembers_goes_on(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    before = values(net)
    prank = transform_gradients(optimizer, zero())
    for step in range(3):
        backward(net, step)
        optimizer.step()
    assert all(torch.equal(p, before[n]) for n, p in net.named_parameters())
    prank.remove()
    backward(net)
    optimizer.step()
    after = values(net)
    assert not torch.equal(after["head.bias"], before["head.bias"])
    with transform_gradients(optimizer, zero()):
        backward(net)
        optimizer.step()
    assert not torch.equal(net.head.bias, after["head.bias"])


def test_freezing_rests_momentum_and_decay_too_and_ends_on_time():
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    chain = transform_gradients(optimizer, freeze("embedding.*", until=3), names=net)
    start = values(net)
    for step in range(4):
        backward(net, step)
        optimizer.step()
        moved = not torch.equal(net.embedding.weight, start["embedding.weight"])
        assert moved == (step >= 3)
        assert not torch.equal(net.head.weight, start["head.weight"])
    assert chain.step == 4
    every_other = freeze("*", when=lambda step: step % 2 == 0)
    g = {"w": torch.ones(1)}
    assert [len(every_other(Gradients(g, {}, k))) for k in range(4)] == [0, 1, 0, 1]
    assert freeze("*")(Gradients(g, {}, 10**6)) == {}


def test_taken_off_it_leaves_nothing(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    other = copy.deepcopy(net)
    theirs = torch.optim.SGD(other.parameters(), lr=0.1)
    handle = transform_gradients(optimizer, zero())
    handle.remove()
    with pytest.raises(ValueError, match="removed before"):
        handle.remove()
    with pytest.raises(KeyError), transform_gradients(optimizer, zero()):
        raise KeyError
    for model, opt in ((net, optimizer), (other, theirs)):
        backward(model)
        opt.step()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_two_chains_on_one_optimizer_act_one_after_the_other(net):
    before = gradients(net).values
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    with (
        transform_gradients(optimizer, multiply({"*": 3.0})),
        transform_gradients(optimizer, lambda g: g.each(lambda n, v: v + 1)),
    ):
        optimizer.step()
    torch.testing.assert_close(net.head.bias.grad, 3 * before["head.bias"] + 1)


def test_a_parameter_without_gradient_is_left_out_and_groups_are_all_seen():
    net = network()
    groups = [{"params": net.embedding.parameters()}, {"params": net.head.parameters(), "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    seen = []
    transform_gradients(optimizer, lambda g: (seen.append(list(g.values)), g.values)[1], names=net)
    backward(net)
    net.head.bias.grad = None
    optimizer.step()
    optimizer.zero_grad()
    optimizer.step()
    assert seen == [["embedding.weight", "embedding.bias", "head.weight"], []]
    assert net.head.bias.grad is None


def test_names_come_from_the_optimizer_the_module_or_the_place():
    def names(optimizer, **given):
        seen = []
        with transform_gradients(optimizer, lambda g: (seen.extend(g.parameters), g.values)[1], **given):
            optimizer.step()
        return seen

    net = network()
    named = [n for n, _ in net.named_parameters()]
    assert names(torch.optim.SGD(net.parameters(), lr=1)) == [f"parameter {i}" for i in range(4)]
    assert names(torch.optim.SGD(net.named_parameters(), lr=1)) == named
    assert names(torch.optim.SGD(net.parameters(), lr=1), names=net) == named
    with scale_learning_rate(net, 0.1, exponent=2):
        assert sorted(names(torch.optim.SGD(net.parameters(), lr=1), names=net)) == sorted(named)


def test_a_sparse_gradient_is_refused():
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    transform_gradients(optimizer, zero(), names=table)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="gradient of weight is sparse"):
        optimizer.step()


def test_a_closure_is_refused(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    transform_gradients(optimizer, zero())
    for call in (lambda f: optimizer.step(f), lambda f: optimizer.step(closure=f)):
        with pytest.raises(ValueError, match="closure computes the gradients after"):
            call(lambda: 0.0)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda g: None, "must return a dict"),
        (lambda g: {"elsewhere": torch.ones(1)}, "names that it was given"),
        (lambda g: g.each(lambda n, v: v.flatten()[:1]), r"returned \(1,\) for"),
        (lambda g: dict.fromkeys(g.values, 0.0), "returned float for"),
    ],
)
def test_a_transform_that_returns_something_else(net, wrong, words):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    transform_gradients(optimizer, wrong, names=net)
    with pytest.raises(ValueError, match=words):
        optimizer.step()


def sgd():
    return torch.optim.SGD(network().parameters(), lr=0.1)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: transform_gradients(sgd()), ValueError, "at least one"),
        (lambda: transform_gradients(network(), zero()), TypeError, "got Sequential"),
        (lambda: transform_gradients(sgd(), 0.1), TypeError, "must be a function"),
        (lambda: transform_gradients(sgd(), zero(), names="a"), TypeError, "names must be"),
        (
            lambda: transform_gradients(torch.optim.LBFGS(network().parameters()), zero()),
            ValueError,
            "LBFGS",
        ),
        (lambda: clip_norm(0), ValueError, "limit must be positive, got 0"),
        (lambda: clip_norm(math.nan), ValueError, "limit must be finite"),
        (lambda: clip_norm(True), TypeError, "got bool"),
        (lambda: clip_norm(1, order=0.5), ValueError, "order must be at least 1"),
        (lambda: clip_norm(1, order=math.nan), ValueError, "order must be at least 1"),
        (lambda: clip_adaptive(-1), ValueError, "limit must be positive"),
        (lambda: clip_adaptive(smallest=0), ValueError, "smallest must be positive"),
        (lambda: multiply({"*": math.inf}), ValueError, "rules must be finite"),
        (lambda: multiply({"*": "x"}), TypeError, "rules must be a real number"),
        (lambda: multiply([1, 2]), TypeError, "rules must map patterns to factors, got list"),
        (lambda: multiply({0: 1.0}), TypeError, "rules must name parameters by a pattern"),
        (lambda: only(3, zero()), TypeError, "pattern must name parameters by a pattern"),
        (lambda: only("*", None), TypeError, "transform must be a function"),
        (lambda: freeze(None), TypeError, "pattern must name parameters by a pattern"),
        (lambda: freeze("*", when=3), TypeError, "when must be a function of the step"),
        (lambda: freeze("*", until=-1), ValueError, "until must be"),
        (lambda: freeze("*", until=1.5), ValueError, "until must be"),
        (lambda: freeze("*", until=1, when=bool), ValueError, "two ways"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()
