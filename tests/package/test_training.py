"""The training loop against loops written by hand, against its own law, and against bad input."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kexue_lite.training import Run, Watch, generator_for, minibatches, train

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
X = torch.randn(23, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = (X @ torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)).sin()[:, None]


def network(*extra: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), *extra, nn.Tanh(), nn.Linear(8, 1)).double()


def squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (model(x) - y).square().squeeze(1)


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def distance(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


def go(model: nn.Module, loss: Any = squared, batches: Any = None, **options: Any) -> Run:
    """A short run of SGD with momentum, in silence."""
    if "optimizer" not in options:
        options["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    options = {"steps": 12, "progress": False, **options}
    return train(model, loss, batches or minibatches(X, Y, batch_size=5, seed=3), **options)


# -- batches


def test_an_epoch_holds_every_row_once_and_the_next_has_another_order() -> None:
    rows = torch.arange(23)
    batches = minibatches(rows, rows * 2, batch_size=5, seed=0)
    epochs = [torch.cat([batches(5 * epoch + k)[0] for k in range(5)]) for epoch in range(3)]
    assert [len(batches(k)[0]) for k in range(5)] == [5, 5, 5, 5, 3]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, rows)
    assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[1], epochs[2])
    assert all(torch.equal(b, 2 * a) for a, b in (batches(k) for k in range(15)))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first, second = (minibatches(X, batch_size=5, seed=4) for _ in range(2))
    forwards = [first(k)[0] for k in range(12)]
    torch.manual_seed(99)
    backwards = [second(k)[0] for k in reversed(range(12))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not torch.equal(minibatches(X, batch_size=5, seed=5)(0)[0], forwards[0])


def test_generators_of_neighbours_are_unrelated() -> None:
    drawn = torch.stack(
        [torch.randn(2000, generator=generator_for(s, k)) for s in range(4) for k in range(4)]
    )
    assert float(torch.corrcoef(drawn).fill_diagonal_(0).abs().max()) < 0.12  # 5 standard errors
    assert not torch.equal(drawn[1], drawn[4])  # (0, 1) and (1, 0)
    before = torch.get_rng_state()
    generator_for(0, 0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (((), {"batch_size": 1, "seed": 0}), ValueError, "at least one tensor"),
        (((X, Y[:3]), {"batch_size": 1, "seed": 0}), ValueError, "equally many rows"),
        (((X[:0],), {"batch_size": 1, "seed": 0}), ValueError, "at least one"),
        (((torch.tensor(1.0),), {"batch_size": 1, "seed": 0}), ValueError, "first dimension"),
        ((([1, 2],), {"batch_size": 1, "seed": 0}), TypeError, "torch.Tensor"),
        (((X,), {"batch_size": 0, "seed": 0}), ValueError, "batch_size must be at least 1"),
        (((X,), {"batch_size": 24, "seed": 0}), ValueError, "batch_size must be at most"),
        (((X,), {"batch_size": 2.0, "seed": 0}), TypeError, "batch_size must be an int"),
        (((X,), {"batch_size": 2, "seed": -1}), ValueError, "seed must be at least 0"),
        (((X,), {"batch_size": 2, "seed": True}), TypeError, "seed must be an int"),
    ],
)
def test_bad_batches_are_refused(arguments: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        minibatches(*arguments[0], **arguments[1])
    with pytest.raises(ValueError, match="step must be at least 0"):
        generator_for(0, -1)


# -- the law


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
@pytest.mark.parametrize("device", DEVICES)
def test_it_is_the_loop_one_would_write(kind: type[torch.optim.Optimizer], device: str) -> None:
    model, hand = network(nn.Dropout(0.2)).to(device), network(nn.Dropout(0.2)).to(device)
    batches = minibatches(X, Y, batch_size=5, seed=3)
    optimizer, by_hand = (kind(m.parameters(), lr=0.01) for m in (model, hand))
    schedule, schedule_by_hand = (
        torch.optim.lr_scheduler.CosineAnnealingLR(o, 20) for o in (optimizer, by_hand)
    )
    torch.manual_seed(7)
    losses = []
    for step in range(20):
        x, y = (t.to(device) for t in batches(step))
        by_hand.zero_grad()
        loss = squared(hand, x, y).mean()
        loss.backward()
        by_hand.step()
        schedule_by_hand.step()
        losses.append(loss.item())
    torch.manual_seed(7)
    run = go(model, batches=batches, optimizer=optimizer, schedule=schedule, steps=20)
    assert same(run.model, hand) and run.model is model
    assert [r["loss"] for r in run.records] == losses
    assert [r["step"] for r in run.records] == list(range(1, 21))
    seconds = [r["seconds"] for r in run.records]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert schedule.get_last_lr() == schedule_by_hand.get_last_lr() != [0.01]
    assert (run.steps, run.stopped_early, run.averaged) == (20, False, None)
    assert not run.model.training and all(p.grad is None for p in model.parameters())


def test_losses_per_row_and_their_mean_are_the_same_run() -> None:
    runs = [go(network(), loss) for loss in (squared, lambda m, x, y: squared(m, x, y).mean())]
    assert same(runs[0].model, runs[1].model)


@pytest.mark.parametrize("per_row", [True, False])
@pytest.mark.parametrize("parts", [2, 3, 5, 9])  # of batches of 5 and, at the end of an epoch, 3 rows
def test_accumulation_equals_the_whole_batch(parts: int, per_row: bool) -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        assert len(x) <= math.ceil(5 / parts)  # otherwise nothing was split
        return squared(model, x, y) if per_row else squared(model, x, y).mean()

    whole, run = go(network(), steps=25), go(network(), loss, steps=25, accumulate=parts)
    assert 0 < distance(whole.model, run.model) < 1e-12
    for a, b in zip(whole.records, run.records, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-12)


def test_batch_norm_is_the_exception() -> None:
    batches = minibatches(X[:20], Y[:20], batch_size=10, seed=0)
    runs = [go(network(nn.BatchNorm1d(8)), batches=batches, accumulate=parts) for parts in (1, 2)]
    assert distance(runs[0].model, runs[1].model) > 1e-3


def test_the_average_is_the_recursion() -> None:
    model = network(nn.BatchNorm1d(8))
    weights: list[dict[str, Tensor]] = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        weights.append(copy.deepcopy(dict(model.named_parameters())))
        return squared(model, x, y)

    run = go(model, loss, average=0.8)
    weights = [*weights[1:], dict(run.model.named_parameters())]  # after steps 1, 2, ...
    expected = dict(weights[0])
    for later in weights[1:]:
        expected = {k: 0.8 * expected[k] + 0.2 * later[k] for k in expected}
    assert run.averaged is not None and run.averaged is not run.model
    for name, value in run.averaged.named_parameters():
        torch.testing.assert_close(value, expected[name], rtol=1e-13, atol=1e-13, check_device=False)
    for a, b in zip(run.averaged.buffers(), run.model.buffers(), strict=True):
        assert torch.equal(a, b)  # the running means are the model's own
    assert not run.averaged.training and not any(p.requires_grad for p in run.averaged.parameters())
    assert same(go(network(nn.BatchNorm1d(8))).model, run.model)  # watching it from outside


def test_hooks_of_the_optimizer_see_the_gradient_of_the_whole_batch() -> None:
    batches = minibatches(X, Y, batch_size=5, seed=3)
    model, seen = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        step = len(seen)
        expected = torch.autograd.grad(squared(model, *batches(step)).mean(), list(model.parameters()))
        seen.append(
            max(float((p.grad - g).abs().max()) for p, g in zip(model.parameters(), expected, strict=True))
        )
        for p in model.parameters():
            p.grad.clamp_(-1e-3, 1e-3)

    optimizer.register_step_pre_hook(look)
    before = copy.deepcopy(model)
    run = go(model, batches=batches, optimizer=optimizer, steps=6, accumulate=3)
    assert len(seen) == 6 and max(seen) < 1e-14
    assert (
        0 < distance(before, run.model) <= 6 * 0.05e-3 * (1 + 1e-9)
    )  # what the hook did is what was stepped


# -- several optimisers


class Pair(nn.Module):
    """A player u and a player v: two numbers that pull at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
        self.v = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))


def test_optimizers_step_in_turn_each_on_its_own_parameters() -> None:
    def first(model: Pair, x: Tensor) -> Tensor:
        return (model.u * model.v * x).squeeze(1)

    def second(model: Pair, x: Tensor) -> Tensor:
        return -(model.u * model.v * x).squeeze(1)

    kept: list[Tensor] = []
    model, u, v = Pair(), 1.0, 2.0
    optimizers = [torch.optim.SGD([p], lr=0.1) for p in (model.u, model.v)]
    optimizers[0].register_step_pre_hook(lambda *_: kept.append(model.u.grad.clone()))
    optimizers[1].register_step_pre_hook(lambda *_: kept.append(model.u.grad.clone()))
    schedules = [torch.optim.lr_scheduler.ExponentialLR(optimizers[1], 0.5)]
    data = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    run = train(
        model,
        [first, second],
        lambda k: (data,),
        optimizer=optimizers,
        schedule=schedules,
        steps=4,
        progress=False,
    )
    expected, rate = [], 0.1
    for _ in range(4):
        losses = [2 * u * v]
        u -= 0.1 * 2 * v
        losses.append(-2 * u * v)  # the second player sees the first one's move
        v += rate * 2 * u
        rate *= 0.5
        expected.append(losses)
    assert (model.u.item(), model.v.item()) == pytest.approx((u, v), rel=1e-14)
    assert [[r["loss_1"], r["loss_2"]] for r in run.records] == [
        pytest.approx(e, rel=1e-14) for e in expected
    ]
    assert "loss" not in run.records[0]
    assert all(
        torch.equal(a, b) for a, b in zip(kept[::2], kept[1::2], strict=True)
    )  # the second adds nothing to it


def test_no_gradient_is_left_where_nothing_is_stepped() -> None:
    model = network()
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    before = copy.deepcopy(model[0])
    optimizer.register_step_pre_hook(lambda *_: seen.append([p.grad is None for p in model.parameters()]))
    seen: list[list[bool]] = []
    go(model, optimizer=optimizer, steps=3)
    assert seen == [[True, True, False, False]] * 3 and same(before, model[0])


# -- the watch


def watched(scores: list[float], **options: Any) -> tuple[Run, list[nn.Module], list[nn.Module]]:
    """A run whose scores are given; the models that the score saw, and the weights at each score."""
    seen: list[nn.Module] = []
    copies: list[nn.Module] = []

    def score(model: nn.Module) -> float:
        seen.append(model)
        copies.append(copy.deepcopy(model))
        assert not model.training and not torch.is_grad_enabled()
        return scores[len(seen) - 1]

    patience = options.pop("patience", None)
    return go(network(), watch=Watch(score, 3, patience), steps=18, **options), seen, copies


def test_the_best_weights_come_back() -> None:
    run, seen, copies = watched([5, 4, 4.5, 3, 7, 6])
    assert same(run.model, copies[3]) and not same(run.model, copies[5])
    assert all(model is run.model for model in seen)
    assert {r["step"]: r["score"] for r in run.records if "score" in r} == dict(
        zip(range(3, 19, 3), [5, 4, 4.5, 3, 7, 6], strict=True)
    )
    assert (run.steps, run.stopped_early, len(run.records)) == (18, False, 18)


def test_it_stops_when_the_patience_is_out() -> None:
    run, _, copies = watched([5, 4, 4, 4.5, 3, 2], patience=2)  # as good as the best is no better
    assert (run.steps, run.stopped_early, len(run.records), len(copies)) == (12, True, 12, 4)
    assert same(run.model, copies[1])
    assert not watched([5, 6, 4, 5, 3, 4], patience=2)[0].stopped_early  # not in a row


def test_with_an_average_the_average_is_scored_and_both_come_back() -> None:
    run, seen, copies = watched([3, 1, 2, 2, 2, 2], average=0.5)
    plain = go(network(), steps=6)
    assert run.averaged is not None and all(model is run.averaged for model in seen)
    assert same(run.averaged, copies[1]) and same(run.model, plain.model)


def test_a_score_changes_no_mode_and_frozen_modules_stay_frozen() -> None:
    model, modes = network(nn.BatchNorm1d(8)), []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        modes.append((model.training, model[1].training))
        return squared(model, x, y)

    model[1].eval()
    go(model, loss, watch=Watch(lambda m: 0.0, 2))
    assert set(modes) == {(True, False)}
    modes.clear()
    go(model, loss, watch=Watch(lambda m: 0.0, 2))  # it came back in evaluation mode as a whole
    assert set(modes) == {(True, True)}


# -- devices, precision, compilation


def test_a_compiled_model_is_trained() -> None:
    model = network()
    compiled = torch.compile(model, backend="eager")
    run = go(compiled, average=0.5, watch=Watch(lambda m: 0.0, 6))
    assert run.model is compiled and list(run.averaged.state_dict()) == list(model.state_dict())
    assert same(go(network(), watch=Watch(lambda m: 0.0, 6)).model, model)


@pytest.mark.parametrize(
    ("precision", "kept"), [("bf16-mixed", torch.float32), ("bf16-true", torch.bfloat16)]
)
def test_half_precision_through_fabric(precision: str, kept: torch.dtype) -> None:
    from lightning_fabric import Fabric

    model, kinds = network().float(), set()

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        out = model(x)
        kinds.add(out.dtype)
        return (out - y).square().squeeze(1)

    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    batches = minibatches(X.float(), Y.float(), batch_size=5, seed=3)
    run = go(model, loss, batches, fabric=fabric)
    assert kinds == {torch.bfloat16} and {p.dtype for p in model.parameters()} == {kept}
    exact = [r["loss"] for r in go(network()).records]
    rounded = [r["loss"] for r in run.records]
    assert rounded == pytest.approx(exact, abs=0.03) and rounded != pytest.approx(exact, abs=1e-5)


def test_losses_that_wait_on_a_device_are_the_same_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, rehearsed on the CPU: losses are fetched every 32 steps and when they are needed."""
    from kexue_lite.training import moves

    prompt = go(network(), steps=75, watch=Watch(lambda m: 1.0, 50))
    start = moves.Loop.__init__
    loops: list[moves.Loop] = []

    def lazy(self: moves.Loop, *arguments: Any, **options: Any) -> None:
        start(self, *arguments, **options)
        self.prompt = False
        loops.append(self)

    monkeypatch.setattr(moves.Loop, "__init__", lazy)
    waiting = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        waiting.append(len(loops[0].waiting))
        return squared(model, x, y)

    run = go(network(), loss, steps=75, watch=Watch(lambda m: 1.0, 50))
    assert [r["loss"] for r in run.records] == [r["loss"] for r in prompt.records] and same(
        run.model, prompt.model
    )
    assert waiting == [*range(32), *range(18), *range(25)]
    loops.clear()
    with pytest.raises(FloatingPointError, match="nan at step 40"):
        go(network(), poisoned(40), steps=75)


# -- what is shown


def test_a_bar_or_silence(capfd: pytest.CaptureFixture[str]) -> None:
    go(network(), steps=3)
    assert capfd.readouterr() == ("", "")
    go(network(), steps=3, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "3/3" in err


# -- what is refused


def poisoned(step: int, value: float = math.nan) -> Callable[..., Tensor]:
    calls: list[None] = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        calls.append(None)
        return squared(model, x, y) * (value if len(calls) == step else 1.0)

    return loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_before_it_does_harm(value: float) -> None:
    model, good = network(), go(network(), steps=6).model
    with pytest.raises(FloatingPointError, match=f"{value} at step 7"):
        go(model, poisoned(7, value))
    assert same(model, good)


def test_weights_that_are_not_finite_are_named() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def spoil(*_: Any) -> None:
        model[2].bias.grad.fill_(math.inf)

    optimizer.register_step_pre_hook(spoil)
    with pytest.raises(FloatingPointError, match=r"'2.bias' is no longer finite after step 1"):
        go(model, optimizer=optimizer, steps=1)
    with pytest.raises(FloatingPointError, match="score is nan after step 4"):
        go(network(), watch=Watch(lambda m: math.nan, 4))


def refuse(kind: type[Exception], words: str, *arguments: Any, **options: Any) -> None:
    model = options.pop("model", None) or network()
    with pytest.raises(kind, match=words):
        go(model, *arguments, **options)


def test_bad_arguments_are_refused() -> None:
    model, other = network(), network()
    sgd = torch.optim.SGD
    refuse(TypeError, "model must be a torch.nn.Module", model=squared, optimizer=sgd(model.parameters()))
    refuse(ValueError, "no parameter that requires", model=nn.Tanh(), optimizer=sgd(model.parameters()))
    refuse(ValueError, "do not call fabric.setup", model=wrapped(model), optimizer=sgd(model.parameters()))
    refuse(ValueError, "not the model's", model=model, optimizer=sgd(other.parameters()))
    refuse(TypeError, "optimizer must be", model=model, optimizer="SGD")
    refuse(TypeError, "closure", model=model, optimizer=torch.optim.LBFGS(model.parameters()))
    refuse(
        ValueError, "as many losses as", [squared, squared], model=model, optimizer=sgd(model.parameters())
    )
    refuse(ValueError, "as many losses as", [], model=model, optimizer=[])
    refuse(
        ValueError, "one optimizer only", [squared] * 2, model=model, optimizer=[sgd(model.parameters())] * 2
    )
    refuse(TypeError, "loss must be a function", "squared")
    refuse(TypeError, "batches must be a function", squared, [(X, Y)])
    frozen = network()
    frozen[0].requires_grad_(False)
    refuse(
        ValueError, "holds no parameter that requires", model=frozen, optimizer=sgd(frozen[0].parameters())
    )


def wrapped(model: nn.Module) -> nn.Module:
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1).setup(model)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"steps": 2.0}, TypeError, "steps must be an int"),
        ({"accumulate": 0}, ValueError, "accumulate must be at least 1"),
        ({"accumulate": True}, TypeError, "accumulate must be an int"),
        ({"average": 0.0}, ValueError, "average must lie between"),
        ({"average": 1}, ValueError, "average must lie between"),
        ({"average": math.nan}, ValueError, "average must lie between"),
        ({"average": "0.9"}, TypeError, "average must be a float"),
        ({"watch": lambda m: 0.0}, TypeError, "watch must be a Watch"),
        ({"watch": Watch(lambda m: 0.0, 13)}, ValueError, "no score would be taken"),
        ({"checkpoint": "run.ckpt"}, TypeError, "checkpoint must be a Checkpoint"),
        ({"fabric": "cpu"}, TypeError, "fabric must be a lightning_fabric.Fabric"),
        ({"schedule": 0.1}, TypeError, "schedule must be a torch LRScheduler"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    refuse(kind, words, **options)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="score must be a function"):
        Watch(3.0, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every must be at least 1"):
        Watch(lambda m: 0.0, 0)
    with pytest.raises(ValueError, match="patience must be at least 1"):
        Watch(lambda m: 0.0, 1, 0)
    model, other = network(), network()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, other)]
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizers[1])
    refuse(
        ValueError, "belongs to an optimizer that", model=model, optimizer=optimizers[0], schedule=schedule
    )
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizers[0])
    refuse(TypeError, "needs no metric", model=model, optimizer=optimizers[0], schedule=plateau)


def test_a_fabric_that_cannot_do_it_is_refused() -> None:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import FSDPStrategy

    refuse(
        ValueError,
        "precision must be one of",
        fabric=Fabric(accelerator="cpu", devices=1, precision="16-true"),
    )
    refuse(ValueError, r"call fabric.launch\(\)", fabric=Fabric(accelerator="cpu", devices=2, strategy="ddp"))
    sharded = Fabric(accelerator="cpu", devices=1)
    sharded._strategy = FSDPStrategy()  # Fabric itself allows it on GPUs only
    refuse(ValueError, "whole model on each device", fabric=sharded)


@pytest.mark.parametrize(
    ("batch", "kind", "words"),
    [
        ((X[:0], Y[:0]), ValueError, "is empty"),
        ((X[:3], Y[:2]), ValueError, r"equally many rows, got \[3, 2\]"),
        ((X[:3], torch.tensor(1.0)), ValueError, "first dimension"),
        ((X[:3], [1, 2, 3]), TypeError, "tuple of tensors"),
        (X[:3], TypeError, "tuple of tensors"),
        ((), TypeError, "at least one"),
    ],
)
def test_bad_batches_name_their_step(batch: Any, kind: type[Exception], words: str) -> None:
    good = minibatches(X, Y, batch_size=5, seed=0)
    refuse(kind, words, squared, lambda step: batch if step == 4 else good(step))
    refuse(kind, r"batches\(4\)", squared, lambda step: batch if step == 4 else good(step))


@pytest.mark.parametrize(
    ("loss", "kind", "words"),
    [
        (lambda m, x, y: (m(x) - y).square(), ValueError, r"shape \(5,\).*got shape \(5, 1\) at step 1"),
        (lambda m, x, y: (m(x) - y).square()[:2, 0], ValueError, r"got shape \(2,\)"),
        (lambda m, x, y: m(x) - y.squeeze(1), ValueError, r"got shape \(5, 5\)"),
        (lambda m, x, y: 1.0, TypeError, "must return a tensor, got float"),
        (lambda m, x, y: y.sum().long(), TypeError, "floating-point"),
        (lambda m, x, y: y.sum(), ValueError, "does not depend on any parameter"),
        (lambda m, x, y: squared(m, x, y).detach(), ValueError, "does not depend on any parameter"),
        (
            lambda m, x, y: (y * y.clone().requires_grad_()).sum(),
            ValueError,
            "any parameter of the optimizer",
        ),
    ],
)
def test_bad_losses_are_refused(loss: Any, kind: type[Exception], words: str) -> None:
    refuse(kind, words, loss)


def test_a_loss_blind_to_its_optimizer_is_refused() -> None:
    model = network()
    optimizers = [torch.optim.SGD(model[k].parameters(), lr=0.1) for k in (0, 2)]
    blind = lambda m, x, y: (m[0](x.detach()) ** 2).sum(1)  # noqa: E731
    refuse(ValueError, "any parameter of optimizer 1", [squared, blind], model=model, optimizer=optimizers)
