"""A layer's learning rate by θ = λφ: against parameter groups, undone at any time, in files."""

import copy
import io
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from kexue_lite.gradients import plain_state_dict, scale_learning_rate, unscale_learning_rate
from kexue_lite.gradients.laws import LAWS
from kexue_lite.gradients.survey import shipped

STEPS = 200
RATIO = 0.13  # no power of two, nor its root


def network(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    # Smooth activations: no gradient is exactly zero, so that Adam with eps = 0 divides by none.
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 2)).to(dtype)


def batch(step):
    generator = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(16, 5, dtype=torch.float64, generator=generator)
    return x, torch.stack([x.sum(1).sin(), x[:, 0] * x[:, 1]], 1)


def step_once(net, optimizer, step):
    x, y = batch(step)
    optimizer.zero_grad()
    ((net(x) - y) ** 2).mean().backward()
    optimizer.step()


def groups(net, slow, ratio, lr):
    mine = list(net[slow].parameters())
    rest = [p for p in net.parameters() if not any(p is q for q in mine)]
    return [{"params": rest, "lr": lr}, {"params": mine, "lr": lr * ratio}]


def values(net):
    return torch.cat([v.detach().flatten() for _, v in sorted(plain_state_dict(net).items())])


def apart(a, b):
    return float((values(a) - values(b)).abs().max())


EXACT = {
    "SGD": (lambda p, lr: torch.optim.SGD(p, lr=lr), 0.05, 2),
    "momentum": (lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9), 0.02, 2),
    "nesterov": (lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True), 0.02, 2),
    "Adam": (lambda p, lr: torch.optim.Adam(p, lr=lr, eps=0), 0.003, 1),
    "amsgrad": (lambda p, lr: torch.optim.Adam(p, lr=lr, eps=0, amsgrad=True), 0.003, 1),
    "NAdam": (lambda p, lr: torch.optim.NAdam(p, lr=lr, eps=0), 0.003, 1),
    "Adamax": (lambda p, lr: torch.optim.Adamax(p, lr=lr, eps=0), 0.003, 1),
    "RMSprop": (lambda p, lr: torch.optim.RMSprop(p, lr=lr, eps=0, momentum=0.5, centered=False), 0.0005, 1),
    "Adagrad": (lambda p, lr: torch.optim.Adagrad(p, lr=lr, eps=0), 0.01, 1),
}


@pytest.mark.parametrize("ratio", [RATIO, 0.71, 3.3])
@pytest.mark.parametrize("name", EXACT)
def test_scaling_is_a_parameter_group_to_rounding(name, ratio):
    make, lr, p = EXACT[name]
    scaled, grouped = network(), network()
    scale_learning_rate(scaled[2], ratio, exponent=p)
    ours, theirs = make(scaled.parameters(), lr), make(groups(grouped, 2, ratio, lr), lr)
    for step in range(STEPS):
        step_once(scaled, ours, step)
        step_once(grouped, theirs, step)
    assert apart(scaled, grouped) <= 1e-12
    assert apart(grouped, network()) > 1e-2  # it went somewhere


def test_the_wrong_exponent_is_another_rate():
    scaled, grouped = network(), network()
    scale_learning_rate(scaled[2], RATIO, exponent=1)
    ours, theirs = (
        torch.optim.SGD(scaled.parameters(), 0.05),
        torch.optim.SGD(groups(grouped, 2, RATIO, 0.05)),
    )
    step_once(scaled, ours, 0)
    step_once(grouped, theirs, 0)
    assert apart(scaled, grouped) > 1e-5


@pytest.mark.parametrize("name", EXACT)
def test_put_on_and_taken_off_in_mid_training_it_is_a_group_whose_rate_changes(name):
    make, lr, p = EXACT[name]
    ours_net, theirs_net = network(), network()
    ours, theirs = make(ours_net.parameters(), lr), make(groups(theirs_net, 2, 1.0, lr), lr)
    handle = None
    for step in range(STEPS):
        if step == 60:
            handle = scale_learning_rate(ours_net[2], RATIO, exponent=p, optimizer=ours)
            theirs.param_groups[1]["lr"] = lr * RATIO
        if step == 130:
            handle.remove()
            theirs.param_groups[1]["lr"] = lr
        step_once(ours_net, ours, step)
        step_once(theirs_net, theirs, step)
    assert apart(ours_net, theirs_net) <= 1e-12


@pytest.mark.parametrize("name", ["SGD", "momentum", "Adam"])
def test_undone_for_a_group_of_that_rate_the_trajectory_goes_on_unchanged(name):
    make, lr, p = EXACT[name]
    left, undone = network(), network()
    handles = [scale_learning_rate(net[2], RATIO, exponent=p) for net in (left, undone)]
    optimizers = [make(groups(net, 2, 1.0, lr), lr) for net in (left, undone)]
    for step in range(STEPS):
        if step == 77:
            handles[1].remove(optimizer=optimizers[1])
            optimizers[1].param_groups[1]["lr"] *= RATIO
        step_once(left, optimizers[0], step)
        step_once(undone, optimizers[1], step)
    assert apart(left, undone) <= 1e-12


@pytest.mark.parametrize("name", ["momentum", "Adam"])
def test_without_its_optimizer_the_memory_has_the_wrong_size(name):
    make, lr, p = EXACT[name]
    ours_net, theirs_net = network(), network()
    ours, theirs = make(ours_net.parameters(), lr), make(groups(theirs_net, 2, 1.0, lr), lr)
    for step in range(30):
        if step == 20:
            scale_learning_rate(ours_net[2], RATIO, exponent=p)
            theirs.param_groups[1]["lr"] = lr * RATIO
        step_once(ours_net, ours, step)
        step_once(theirs_net, theirs, step)
    assert apart(ours_net, theirs_net) > 1e-6


def twin(name, dtype=torch.float64):
    """One matrix and an optimiser of a class that torch ships, which has made a few steps."""
    torch.manual_seed(1)
    layer = nn.Embedding(6, 4, sparse=name == "SparseAdam").to(dtype)
    extra = {
        "SGD": {"momentum": 0.9},
        "RMSprop": {"momentum": 0.5, "centered": True},
        "Adam": {"amsgrad": True},
    }
    small = {"Adafactor": {"eps": (0.0, 1e-3)}, "Muon": {"weight_decay": 0}, "ASGD": {"lambd": 0, "t0": 3}}
    eps = (
        {}
        if name in ("SGD", "ASGD", "Rprop", "Adafactor", "LBFGS", "Muon", "Adadelta", "SparseAdam")
        else {"eps": 0}
    )
    options = (
        extra.get(name, {}) | small.get(name, {}) | eps | ({"weight_decay": 0} if name == "AdamW" else {})
    )
    if name == "SparseAdam":
        options["eps"] = 1e-300
    optimizer = getattr(torch.optim, name)(layer.parameters(), lr=1e-3, **options)
    return layer, optimizer


def advance(layer, optimizer, steps, start=0):
    for step in range(start, start + steps):
        rows = torch.randperm(6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        (layer(rows) * torch.arange(1, 5)).sin().sum().backward()
        optimizer.step()


LAWFUL = [n for n in shipped() if LAWS[n].exponent not in (None, 0)]


@pytest.mark.parametrize("name", [n for n in LAWFUL if n != "Muon"])
def test_every_shipped_memory_is_converted(name):
    """A running optimiser whose λ and rate are changed together, λᵖ ratio = 1, does not notice."""
    p = LAWS[name].exponent
    plain, plain_optimizer = twin(name)
    scaled, scaled_optimizer = twin(name)
    advance(plain, plain_optimizer, 8)  # RAdam's first five steps have another exponent
    advance(scaled, scaled_optimizer, 8)
    scale_learning_rate(scaled, RATIO, exponent=p, optimizer=scaled_optimizer)
    if name == "Rprop":  # its step sizes are memory, and are themselves the rate
        for state in scaled_optimizer.state.values():
            state["step_size"] /= RATIO
    elif name == "ASGD":
        for state in scaled_optimizer.state.values():
            state["eta"] /= RATIO
    scaled_optimizer.param_groups[0]["lr"] /= RATIO
    advance(plain, plain_optimizer, 5, 8)
    advance(scaled, scaled_optimizer, 5, 8)
    slack = 1e-7 if name == "ASGD" else 1e-10  # torch keeps ASGD's rate in single precision
    torch.testing.assert_close(scaled.weight, plain.weight, rtol=slack, atol=1e-12)
    scaled_optimizer.param_groups[0]["lr"] *= RATIO
    unscale_learning_rate(scaled, optimizer=scaled_optimizer)
    before = {k: v for k, v in plain_optimizer.state[plain.weight].items() if k != "eta"}
    for key, value in before.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and key != "step_size":
            torch.testing.assert_close(
                scaled_optimizer.state[scaled.weight][key], value, rtol=slack, atol=1e-12
            )


@pytest.mark.parametrize("name", shipped())
def test_every_tensor_in_a_memory_is_named_or_known_to_stay(name):
    layer, optimizer = twin(name, torch.float32)
    if name == "LBFGS":
        pytest.skip("its memory is refused as a whole")
    advance(layer, optimizer, 2)
    stays = {"step", "mu_product", "eta", "mu", "step_size", "acc_delta", "momentum_buffer"}
    named = set(LAWS[name].state or ())
    assert set(optimizer.state[layer.weight]) <= named | stays
    if name in ("SGD", "Muon"):
        assert "momentum_buffer" in named


def test_values_and_parameter_objects_stay():
    net = network()
    before, objects = values(net), list(net.parameters())
    x = batch(0)[0]
    out = net(x)
    handle = scale_learning_rate(net, RATIO, exponent=2)
    assert {id(p) for p in net.parameters()} == {id(p) for p in objects}
    torch.testing.assert_close(net(x), out, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(net[0].parametrizations.weight.original * RATIO**0.5, net[0].weight)
    assert handle.factor == RATIO**0.5 and handle.active
    handle.remove()
    assert {id(p) for p in net.parameters()} == {id(p) for p in objects}
    torch.testing.assert_close(values(net), before, rtol=1e-15, atol=1e-16)
    assert type(net[0]) is nn.Linear and not net[0]._load_state_dict_pre_hooks
    assert list(net.state_dict()) == list(network().state_dict())


def test_a_waiting_gradient_goes_with_its_parameter():
    scaled, plain = network(), network()
    for net in (scaled, plain):
        x, y = batch(0)
        ((net(x) - y) ** 2).mean().backward()
    ours = torch.optim.SGD(scaled.parameters(), 0.1)
    theirs = torch.optim.SGD(groups(plain, 2, RATIO, 0.1))
    scale_learning_rate(scaled[2], RATIO, exponent=2, optimizer=ours)
    ours.step(), theirs.step()
    assert apart(scaled, plain) <= 1e-15


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_scaled_twice_the_ratios_multiply_and_are_undone_in_any_order(order):
    twice, once = network(), network()
    handles = [scale_learning_rate(twice[2], r, exponent=2) for r in (0.3, 0.7)]
    scale_learning_rate(once[2], 0.21, exponent=2)
    for net in (twice, once):
        optimizer = torch.optim.SGD(net.parameters(), 0.05)
        for step in range(5):
            step_once(net, optimizer, step)
    assert apart(twice, once) <= 1e-14
    before = values(twice)
    handles[order[0]].remove()
    left = (0.3, 0.7)[order[1]]
    torch.testing.assert_close(
        twice[2].weight / twice[2].parametrizations.weight.original, torch.full((6, 7), left**0.5).double()
    )
    handles[order[1]].remove()
    torch.testing.assert_close(values(twice), before, rtol=1e-14, atol=1e-15)
    assert not parametrize.is_parametrized(twice[2])
    with pytest.raises(ValueError, match="removed before"):
        handles[0].remove()


def test_a_part_and_the_whole_multiply():
    net = network()
    part = scale_learning_rate(net[2], 0.5, exponent=1)
    whole = scale_learning_rate(net, 0.1, exponent=1)

    def factor(k):
        return float((net[k].weight / net[k].parametrizations.weight.original).detach().mean())

    assert factor(0) == pytest.approx(0.1) and factor(2) == pytest.approx(0.05)
    part.remove()
    assert factor(2) == pytest.approx(0.1)
    whole.remove()
    assert apart(net, network()) <= 1e-15


def test_as_a_block_it_is_undone_at_the_end_and_after_an_error():
    net = network()
    with pytest.raises(RuntimeError), scale_learning_rate(net, 0.1, exponent=1) as handle:
        raise RuntimeError
    assert not handle.active and not parametrize.is_parametrized(net[0])
    with scale_learning_rate(net, 0.1, exponent=1) as handle:
        handle.remove()
    assert "removed" in repr(handle)


def test_tied_weights_inside_are_scaled_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 3)
            self.head = nn.Linear(3, 5, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x):
            return self.head(self.embed(x))

    tied = Tied().double()
    before = tied(torch.arange(5)).detach()
    handle = scale_learning_rate(tied, 0.1, exponent=2)
    torch.testing.assert_close(tied(torch.arange(5)), before, rtol=1e-14, atol=1e-15)
    assert len(list(tied.parameters())) == 1
    tied.load_state_dict(plain_state_dict(tied))
    torch.testing.assert_close(tied(torch.arange(5)), before, rtol=1e-14, atol=1e-15)
    clone = copy.deepcopy(tied)
    handle.remove()
    assert tied.head.weight is tied.embed.weight
    torch.testing.assert_close(tied(torch.arange(5)), before, rtol=1e-14, atol=1e-15)
    unscale_learning_rate(clone)
    assert clone.head.weight is clone.embed.weight
    with pytest.raises(ValueError, match=r"outside of it \(there called weight\)"):
        scale_learning_rate(tied.embed, 0.1, exponent=2)
    torch.testing.assert_close(tied(torch.arange(5)), before, rtol=1e-14, atol=1e-15)


def test_a_module_with_a_parametrisation_of_its_own():
    class Double(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("two", torch.tensor(2.0).double())  # has a number of its own in a file

        def forward(self, x):
            return self.two * x

        def right_inverse(self, x):
            return x / self.two

    def build():
        net = network()
        parametrize.register_parametrization(net[2], "weight", Double())
        return net

    scaled, grouped = build(), build()
    before = {k: v.clone() for k, v in scaled.state_dict().items()}
    handle = scale_learning_rate(scaled[2], RATIO, exponent=2)
    torch.testing.assert_close(scaled[2].weight, grouped[2].weight)
    ours, theirs = (
        torch.optim.SGD(scaled.parameters(), 0.05),
        torch.optim.SGD(groups(grouped, 2, RATIO, 0.05)),
    )
    for step in range(20):
        step_once(scaled, ours, step)
        step_once(grouped, theirs, step)
    torch.testing.assert_close(scaled[2].weight, grouped[2].weight, rtol=1e-12, atol=1e-13)
    scaled.load_state_dict(before)
    torch.testing.assert_close(plain_state_dict(scaled), before)
    handle.remove()
    assert len(scaled[2].parametrizations.weight) == 1
    torch.testing.assert_close(dict(scaled.state_dict()), before)


def test_weight_norm_has_two_tensors_and_is_refused():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"several tensors.*use parameter groups"):
        scale_learning_rate(layer, 0.1, exponent=1)


@pytest.mark.parametrize("kind", ["lstm", "attention", "embedding", "batchnorm"])
def test_modules_of_every_kind_give_the_same_output(kind):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4)
    module, call = {
        "lstm": (nn.LSTM(4, 4, batch_first=True), lambda m: m(x)[0]),
        "attention": (nn.MultiheadAttention(4, 2, batch_first=True), lambda m: m(x, x, x)[0]),
        "embedding": (nn.Embedding(5, 4, padding_idx=0), lambda m: m(torch.tensor([[0, 3]]))),
        "batchnorm": (nn.BatchNorm1d(3), lambda m: m(x)),
    }[kind]
    before = call(module).detach()
    handle = scale_learning_rate(module, 0.1, exponent=2)
    torch.testing.assert_close(call(module), before, rtol=1e-5, atol=1e-6)
    handle.remove()
    torch.testing.assert_close(call(module), before, rtol=1e-5, atol=1e-6)


def test_weights_loaded_after_scaling_are_divided():
    pretrained, net = network(3), network()
    scale_learning_rate(net[2], RATIO, exponent=2)
    assert net.load_state_dict(pretrained.state_dict()).missing_keys == []
    torch.testing.assert_close(values(net), values(pretrained), rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(net[2].parametrizations.weight.original, pretrained[2].weight / RATIO**0.5)
    assert list(pretrained.state_dict()) == list(network().state_dict())  # the file is left as it was


def test_a_file_of_a_scaled_module_carries_its_factor():
    source, same, other, plain = (network(k) for k in range(4))
    for net, ratio in ((source, RATIO), (same, RATIO), (other, 2.5)):
        scale_learning_rate(net[2], ratio, exponent=1)
    buffer = io.BytesIO()
    torch.save(source.state_dict(), buffer)
    buffer.seek(0)
    file = torch.load(buffer, weights_only=True)
    same.load_state_dict(file)
    for a, b in zip(same.parameters(), source.parameters(), strict=True):
        assert torch.equal(a, b)  # no bit is changed: a training resumes exactly
    other.load_state_dict(file)
    torch.testing.assert_close(values(other), values(source), rtol=1e-14, atol=1e-15)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        plain.load_state_dict(file)
    plain.load_state_dict(plain_state_dict(source))
    torch.testing.assert_close(values(plain), values(source), rtol=0, atol=0)
    assert set(plain_state_dict(plain)) == set(plain.state_dict())


def test_weights_can_be_assigned_and_moved():
    def found(net):
        return float((net[0].weight / net[0].parametrizations.weight.original).detach()[0, 0])

    net = network(dtype=torch.float32)
    scale_learning_rate(net, 0.013, exponent=2)
    net[0].weight = torch.full((7, 5), 0.25)
    torch.testing.assert_close(net[0].weight, torch.full((7, 5), 0.25))
    precise = copy.deepcopy(net).double()
    assert precise[0].weight.dtype == torch.float64
    assert found(precise) == pytest.approx(0.013**0.5, rel=1e-14)
    halved = copy.deepcopy(net).to(torch.bfloat16).double()  # λ itself is not rounded
    assert found(halved) == pytest.approx(0.013**0.5, rel=1e-14)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_it_moves_to_a_gpu():
    net = network()
    handle = scale_learning_rate(net, 0.1, exponent=2)
    before = values(net)
    net.cuda()
    torch.testing.assert_close(values(net).cpu(), before)
    handle.remove()
    torch.testing.assert_close(values(net).cpu(), before)


def test_a_deep_copy_is_its_own():
    net = network()
    handle = scale_learning_rate(net, 0.1, exponent=2)
    clone = copy.deepcopy(net)
    unscale_learning_rate(clone)
    x = batch(0)[0]
    torch.testing.assert_close(net(x), clone(x), rtol=1e-14, atol=1e-15)
    assert apart(clone, net) <= 1e-15 and parametrize.is_parametrized(net[0]) and handle.active
    assert not parametrize.is_parametrized(clone[0])
    unscale_learning_rate(clone)  # nothing to do
    again = copy.deepcopy(net)
    again.load_state_dict(network(5).state_dict())  # the loading hook was copied too
    assert apart(again, network(5)) <= 1e-15 and apart(net, network()) <= 1e-15


def test_pickling_is_refused_by_torch_until_it_is_undone():
    net = network()
    with scale_learning_rate(net, 0.1, exponent=2), pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(net)
    assert apart(pickle.loads(pickle.dumps(net)), network()) <= 1e-15


def test_removed_by_torch_values_stay_and_the_handle_knows():
    net, before = network(), values(network())
    objects = list(net.parameters())
    handle = scale_learning_rate(net, 0.13, exponent=2)
    parametrize.remove_parametrizations(net[0], "weight")
    torch.testing.assert_close(values(net), before, rtol=1e-14, atol=1e-15)
    assert handle.active and net[0].weight is objects[0]
    handle.remove()  # what is left of it
    torch.testing.assert_close(values(net), before, rtol=1e-14, atol=1e-15)
    assert not handle.active and [type(m) for m in net] == [type(m) for m in network()]
    with scale_learning_rate(net[2], 0.13, exponent=2) as handle:
        for name in ("weight", "bias"):
            parametrize.remove_parametrizations(net[2], name)
        assert not handle.active
    again = scale_learning_rate(net[2], 0.13, exponent=2)  # the handle of before has no hold on it
    with pytest.raises(ValueError, match="removed before"):
        handle.remove()
    again.remove()
    torch.testing.assert_close(values(net), before, rtol=1e-14, atol=1e-15)


def test_a_shared_parameter_removed_by_torch_at_one_place_is_not_multiplied_again():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    handle = scale_learning_rate(net, 0.1, exponent=1)
    parametrize.remove_parametrizations(net[0], "weight")
    before = net[0].weight.detach().clone()
    with pytest.raises(ValueError, match="one of the places of a shared parameter"):
        handle.remove()
    assert torch.equal(net[0].weight, before)


def test_a_deep_copy_is_undone_by_torch_without_the_other():
    net = network()
    scale_learning_rate(net, 0.1, exponent=2)
    clone = copy.deepcopy(net)
    for name in ("weight", "bias"):
        parametrize.remove_parametrizations(clone[0], name)
    x = batch(0)[0]
    torch.testing.assert_close(net(x), clone(x), rtol=1e-14, atol=1e-15)
    assert parametrize.is_parametrized(net[0]) and type(clone[0]) is nn.Linear


@pytest.mark.parametrize("build", [
    lambda: nn.TransformerEncoderLayer(4, 2), lambda: nn.LSTM(3, 4, 2, bidirectional=True),
    lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
])  # fmt: skip
def test_parameters_come_in_the_same_order_as_before(build):
    """Files of optimisers go by the order."""
    module = build()
    objects, names = list(module.parameters()), [n for n, _ in module.named_parameters()]
    handle = scale_learning_rate(module, 0.1, exponent=1)
    assert [id(p) for p in module.parameters()] == [id(p) for p in objects]
    handle.remove()
    assert [id(p) for p in module.parameters()] == [id(p) for p in objects]
    assert [n for n, _ in module.named_parameters()] == names


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_layer_trains_like_a_group_and_can_be_copied_after_it_ran(kind):
    torch.manual_seed(0)
    grouped = kind(3, 4, 2, batch_first=True, bidirectional=True).double()
    scaled = copy.deepcopy(grouped)
    handle = scale_learning_rate(scaled, RATIO, exponent=2)
    ours = torch.optim.SGD(scaled.parameters(), 0.1)
    theirs = torch.optim.SGD(grouped.parameters(), 0.1 * RATIO)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    for _ in range(20):
        for net, optimizer in ((scaled, ours), (grouped, theirs)):
            optimizer.zero_grad()
            net(x)[0].pow(2).sum().backward()
            optimizer.step()
    end = grouped(x)[0]
    torch.testing.assert_close(scaled(x)[0], end, rtol=1e-12, atol=1e-13)
    clone = copy.deepcopy(scaled)
    clone = copy.deepcopy(clone)  # a copy of a copy, before it runs
    torch.testing.assert_close(clone(x)[0], end, rtol=1e-12, atol=1e-13)
    unscale_learning_rate(clone)
    torch.testing.assert_close(clone(x)[0], end, rtol=1e-12, atol=1e-13)
    handle.remove()
    assert all(a is b for a, b in zip(scaled._flat_weights, scaled.parameters(), strict=True))
    torch.testing.assert_close(copy.deepcopy(scaled)(x)[0], end, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("ratio", [1e-7, 1e7])
def test_a_number_type_without_room_is_refused_before_anything_changes(ratio):
    layer = nn.Linear(4, 4).half()
    before = layer.weight.detach().clone()
    with pytest.raises(ValueError, match=r"Linear\.weight leaves the range of torch\.float16"):
        scale_learning_rate(layer, ratio, exponent=1)
    assert torch.equal(layer.weight, before) and type(layer) is nn.Linear


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_values_and_type_stay_in_every_precision(dtype):
    torch.manual_seed(0)
    layer = nn.BatchNorm1d(4).to(dtype)
    layer.weight.data.normal_()
    layer.weight.data[0] = math.nan  # is not our doing
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    with scale_learning_rate(layer, 0.013, exponent=2):
        assert layer.weight.dtype == dtype and layer.num_batches_tracked.dtype == torch.int64
        close = {"rtol": 2 * torch.finfo(dtype).eps, "atol": 0, "equal_nan": True}
        torch.testing.assert_close(plain_state_dict(layer), before, **close)
    torch.testing.assert_close(dict(layer.state_dict()), before, **close)


def test_what_would_silently_compute_something_else_is_refused():
    class Chain(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(2, 2))
            self.gain = nn.Parameter(torch.ones(2))

    for module, words in (
        (nn.Embedding(5, 3, max_norm=1.0), r"shortened in place whenever it is used \(max_norm\)"),
        (nn.EmbeddingBag(5, 3, max_norm=1.0), "shortened in place"),
        (Chain(), "Chain has the parameter gain of its own"),
    ):
        names = [n for n, _ in module.named_parameters()]
        with pytest.raises(ValueError, match=words):
            scale_learning_rate(module, 0.1, exponent=2)
        assert [n for n, _ in module.named_parameters()] == names


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_an_embedding_trains_like_a_group(kind, sparse):
    torch.manual_seed(0)
    grouped = kind(5, 3, sparse=sparse, padding_idx=1).double()
    scaled = copy.deepcopy(grouped)
    scale_learning_rate(scaled, RATIO, exponent=2)
    ours = torch.optim.SGD(scaled.parameters(), 0.5)
    theirs = torch.optim.SGD(grouped.parameters(), 0.5 * RATIO)
    for _ in range(20):
        for table, optimizer in ((scaled, ours), (grouped, theirs)):
            optimizer.zero_grad()
            (table(torch.tensor([[0, 1, 2, 2]])).sin() * torch.arange(1, 4)).sum().backward()
            assert next(table.parameters()).grad.is_sparse == sparse
            optimizer.step()
    torch.testing.assert_close(scaled.weight, grouped.weight, rtol=1e-13, atol=1e-14)
    scale_learning_rate(scaled, 0.5, exponent=2)  # a waiting sparse gradient goes with its parameter
    torch.testing.assert_close(scaled.weight, grouped.weight, rtol=1e-13, atol=1e-14)


def test_second_derivatives_and_functional_calls_and_compilation():
    layer = network()[0]
    x, theta = batch(0)[0], network()[0].weight.detach()
    scale_learning_rate(layer, RATIO, exponent=1)
    phi = layer.parametrizations.weight.original

    def curvature(weight, at):
        (g,) = torch.autograd.grad((x @ weight.T).pow(3).sum(), at, create_graph=True)
        return torch.autograd.grad(g.pow(2).sum(), at)[0]

    own = theta.clone().requires_grad_()
    torch.testing.assert_close(curvature(layer.weight, phi), RATIO**3 * curvature(own, own))
    held = {n: p.detach() for n, p in layer.named_parameters()}
    g = torch.func.grad(lambda p: torch.func.functional_call(layer, p, (x,)).sum())(held)
    torch.testing.assert_close(g["parametrizations.bias.original"], torch.full((7,), 16 * RATIO).double())
    compiled = torch.compile(layer, backend="eager")
    torch.testing.assert_close(compiled(x), layer(x))
    second = scale_learning_rate(layer, 0.5, exponent=1)  # what was compiled notices
    torch.testing.assert_close(compiled(x), layer(x))
    second.remove()
    torch.testing.assert_close(compiled(x), layer(x))


BAD = [
    ({"ratio": 0}, ValueError, "ratio must be positive and finite, got 0; to stop"),
    ({"ratio": -0.1}, ValueError, "ratio must be positive and finite, got -0.1"),
    ({"ratio": math.nan}, ValueError, "ratio .* got nan"),
    ({"ratio": math.inf}, ValueError, "ratio .* got inf"),
    ({"ratio": True}, TypeError, "ratio must be a real number, got bool"),
    ({"ratio": "0.1"}, TypeError, "ratio must be a real number, got str"),
    ({"ratio": 10**400}, ValueError, "ratio must be positive and finite, got inf"),
    ({"ratio": -(10**400)}, ValueError, "ratio must be positive and finite, got -inf"),
    ({"exponent": 10**400}, ValueError, "exponent must be positive and finite, got inf"),
    ({"exponent": 0}, ValueError, "exponent must not be 0.*Adafactor"),
    ({"exponent": -1}, ValueError, "exponent must be positive"),
    ({"exponent": math.nan}, ValueError, "exponent must be positive and finite"),
    ({"exponent": True}, TypeError, "exponent must be a real number, got bool"),
    ({"exponent": 1e-3}, ValueError, "must lie within"),
    ({"ratio": 1e10, "exponent": 1e-2}, ValueError, "must lie within"),
    ({"module": nn.Tanh()}, ValueError, "module must have at least one parameter, Tanh has none"),
    ({"module": torch.ones(2)}, TypeError, "module must be a torch.nn.Module, got Tensor"),
    ({"module": nn.LazyLinear(3)}, ValueError, r"LazyLinear\.weight has no values yet"),
    ({"optimizer": 3}, TypeError, "optimizer must be a torch.optim.Optimizer, got int"),
]


@pytest.mark.parametrize("change, error, words", BAD)
def test_a_bad_argument_is_refused_with_its_name_and_nothing_changes(change, error, words):
    net = network()
    given = {"module": net, "ratio": 0.1, "exponent": 1} | change
    with pytest.raises(error, match=words):
        scale_learning_rate(
            given["module"], given["ratio"], exponent=given["exponent"], optimizer=given.get("optimizer")
        )
    assert torch.equal(values(net), values(network())) and not parametrize.is_parametrized(net[0])


def test_a_tensor_of_inference_mode_is_refused_before_anything_changes():
    with torch.inference_mode():
        layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"Linear\.weight was made under torch\.inference_mode"):
        scale_learning_rate(layer, 0.1, exponent=1)
    assert type(layer) is nn.Linear


def test_complex_frozen_and_meta_parameters():
    layer = nn.Linear(3, 3, dtype=torch.complex128)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    layer.bias.requires_grad_(False)
    with scale_learning_rate(layer, RATIO, exponent=2):
        torch.testing.assert_close(plain_state_dict(layer), before)
        assert [p.requires_grad for p in layer.parameters()] == [True, False]
        assert not layer.bias.requires_grad
    torch.testing.assert_close(dict(layer.state_dict()), before)
    ghost = nn.Linear(3, 2, device="meta")
    with scale_learning_rate(ghost, RATIO, exponent=2):
        assert ghost(torch.ones(1, 3, device="meta")).shape == (1, 2) and ghost.weight.is_meta


def test_a_part_of_a_scaled_whole_that_shares_with_the_rest_is_refused_too():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    scale_learning_rate(net, 0.1, exponent=1)
    before = net[1].weight.detach().clone()
    with pytest.raises(ValueError, match="outside of it"):
        scale_learning_rate(net[0], 0.1, exponent=1)
    assert torch.equal(net[1].weight, before)


def test_the_exponent_must_be_given_by_name():
    with pytest.raises(TypeError, match="exponent"):
        scale_learning_rate(network(), 0.1)
    with pytest.raises(TypeError):
        scale_learning_rate(network(), 0.1, 2)


def test_an_optimizer_that_does_not_fit_is_refused_before_anything_changes():
    net, other = network(), network()
    adam, stranger = torch.optim.Adam(net.parameters()), torch.optim.Adam(other.parameters())
    lbfgs = torch.optim.LBFGS(net.parameters())
    for optimizer, exponent, words in (
        (adam, 2, "exponent must be that of the optimizer: Adam has 1, got 2"),
        (stranger, 1, "holds none of the module's parameters"),
    ):
        with pytest.raises(ValueError, match=words):
            scale_learning_rate(net[2], 0.1, exponent=exponent, optimizer=optimizer)
    with scale_learning_rate(net[2], 0.1, exponent=1, optimizer=lbfgs):
        pass  # no memory yet
    x, y = batch(0)

    def closure():
        lbfgs.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        return loss

    lbfgs.step(closure)
    before = values(net)
    with pytest.raises(ValueError, match="LBFGS mixes all parameters"):
        scale_learning_rate(net[2], 0.1, exponent=1, optimizer=lbfgs)
    assert torch.equal(values(net), before) and not parametrize.is_parametrized(net[2])
