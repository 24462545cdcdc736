"""The training loop at its edges: odd numbers, odd tensors, odd files, and two runs that want one file."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kexue_lite.training import Checkpoint, Run, Watch, generator_for, minibatches, moves, processes, train
from kexue_lite.training import checkpoints as file_format

X = torch.randn(23, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True).sin()
PLANS = torch.optim.lr_scheduler


def squared(model: nn.Module, x: Tensor, y: Tensor, *_: Any) -> Tensor:
    return (model(x) - y).square().squeeze(1)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def go(
    path: Path | None = None, *, model: nn.Module | None = None, loss: Any = squared, **options: Any
) -> Run:
    model = network() if model is None else model
    make = options.pop("optimizer", lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.5))
    optimizer = make(model.parameters())
    plan = options.pop("schedule", None)
    settings: dict[str, Any] = {
        "steps": 6,
        "progress": False,
        "schedule": None if plan is None else plan(optimizer),
        "checkpoint": None if path is None else Checkpoint(path, 2),
    }
    batches = options.pop("batches", minibatches(X, Y, batch_size=5, seed=2))
    return train(model, loss, batches, optimizer=optimizer, **{**settings, **options})


def same(one: Run, other: Run) -> bool:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return [r["loss"] for r in one.records] == [r["loss"] for r in other.records] and all(
        torch.equal(a, b) for a, b in pairs
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ckpt"


# -- numbers


def test_pairs_of_seed_and_step_have_generators_of_their_own() -> None:
    edge = 2**32 - 1
    pairs = [(a, b) for a in (0, 1, 2, 7, edge - 1, edge) for b in (0, 1, 2, 7, edge - 1, edge)]
    assert len({generator_for(*pair).initial_seed() for pair in pairs}) == len(pairs)
    assert generator_for(5 + 2**32, 0).initial_seed() == generator_for(5, 1).initial_seed()  # as is said


def test_numbers_of_numpy_are_numbers(path: Path) -> None:
    def settings(real: Any, whole: Any) -> dict[str, Any]:
        return {
            "optimizer": lambda p: torch.optim.SGD(p, lr=real(0.1), weight_decay=real(0.01)),
            "schedule": lambda o: PLANS.SequentialLR(
                o,
                [PLANS.LambdaLR(o, lambda k: np.cos(k / 9)), PLANS.StepLR(o, whole(2), real(0.5))],
                [whole(3)],
            ),
            "accumulate": whole(2),
            "average": real(0.5),
            "watch": Watch(lambda m: real(1.0), whole(3)),
        }

    numpys, pythons = settings(np.float64, np.int64), settings(float, int)
    go(path, **numpys, steps=4)
    assert same(go(path, **pythons), go(**pythons))  # another program, the same run
    path.unlink()
    go(path, **pythons, steps=4)
    assert same(go(path, **numpys), go(**numpys))


@pytest.mark.parametrize("score", ["0.5", None, 1j, torch.ones(2), np.ones(1), [1.0]])
def test_a_score_that_is_no_number_is_named(score: Any) -> None:
    with pytest.raises(
        TypeError, match=f"score must return one number, got {type(score).__name__} after step 2"
    ):
        go(watch=Watch(lambda m: score, 2))


def test_scores_of_one_number_are_taken_also_when_they_are_infinite() -> None:
    scores = iter([torch.tensor(np.inf), torch.tensor([3.0]), np.float32(4.0), -np.inf])
    run = go(watch=Watch(lambda m: next(scores), 1), steps=4)
    assert [r["score"] for r in run.records] == [np.inf, 3.0, 4.0, -np.inf]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_average_of_sixteen_bits_is_refused(dtype: torch.dtype) -> None:
    def average(share: float | None) -> Run:
        rows = (X.to(dtype), Y.to(dtype))
        return go(model=network().to(dtype), batches=lambda k: rows, average=share, steps=2)

    with pytest.raises(ValueError, match="average needs parameters of 32 bits"):
        average(0.99)
    assert average(None).steps == 2


# -- optimisers and tensors


def test_an_optimizer_of_one_s_own_needs_no_closure() -> None:
    class Descent(torch.optim.Optimizer):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, {"lr": 0.1})

        @torch.no_grad()
        def step(self) -> None:  # type: ignore[override]
            for parameter in self.param_groups[0]["params"]:
                parameter -= 0.1 * parameter.grad

    plain = go(optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    own = go(optimizer=Descent)
    for a, b in zip(plain.model.parameters(), own.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


COMPLEX = torch.complex(X, 2 * X)
ODD = {
    "conjugate": COMPLEX.conj(),
    "negative view": COMPLEX.conj().imag,
    "no columns": X[:, :0],
    "expanded": torch.ones(1, 3, dtype=torch.bool).expand(23, 3),
    "transposed": torch.arange(46).view(2, 23).T,
    "half": X.bfloat16(),
    "with a gradient": X.clone().requires_grad_(),
}


@pytest.mark.parametrize("name", ODD)
def test_any_dense_batch_can_be_recognised(path: Path, name: str) -> None:
    go(path, batches=lambda k: (X, Y, ODD[name]), steps=2)
    assert go(path, batches=lambda k: (X, Y, ODD[name])).steps == 6
    if ODD[name].numel():
        path.unlink()
        go(path, batches=lambda k: (X, Y, ODD[name]), steps=2)
        other = ODD[name].detach().clone()
        other[-1, -1] = 99 if name == "transposed" else 0
        with pytest.raises(ValueError, match=r"batches\(0\) is"):
            go(path, batches=lambda k: (X, Y, other))


def test_a_sparse_batch_is_refused() -> None:
    with pytest.raises(TypeError, match=r"batches\(0\): tensors must be dense, got .*sparse_coo"):
        go(batches=lambda k: (X.to_sparse(), Y))


# -- what user code may have changed before an interrupt


class Restless(nn.Module):
    """A module that changes itself as it runs: a buffer by a new one, or a parameter in place."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.linear = kind, network()
        self.register_buffer("mean", torch.zeros(4, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "replaced":
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        else:
            with torch.no_grad():
                self.linear[0].weight.mul_(0.99)
        return self.linear(x - self.mean)


@pytest.mark.parametrize("kind", ["replaced", "in place"])
def test_a_model_that_has_changed_is_not_written(path: Path, kind: str) -> None:
    calls = [0]

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        value = squared(model, x, y)
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return value

    with pytest.raises(KeyboardInterrupt):
        go(path, model=Restless(kind), loss=loss)
    assert file_format.unpack(path.read_bytes(), path)["step"] == 2
    assert same(go(path, model=Restless(kind)), go(model=Restless(kind)))


def test_an_interrupt_while_losses_are_fetched_loses_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, add, calls = moves.Loop.__init__, processes.Processes.sum, [0]

    def lazy(self: moves.Loop, *arguments: Any, **options: Any) -> None:
        start(self, *arguments, **options)
        self.prompt = False

    def interrupted(self: processes.Processes, value: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return add(self, value)

    monkeypatch.setattr(moves.Loop, "__init__", lazy)
    monkeypatch.setattr(processes.Processes, "sum", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(path)
    assert file_format.unpack(path.read_bytes(), path)["step"] == 4
    assert same(go(path), go())


def test_a_score_that_is_half_entered_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn(list[Any]):
        def append(self, entry: Any) -> None:
            if len(self) == 1:
                raise KeyboardInterrupt
            super().append(entry)

    start = moves.Loop.__init__

    def torn(self: moves.Loop, *arguments: Any, **options: Any) -> None:
        start(self, *arguments, **options)
        self.scores = Torn()

    score = lambda m: float(squared(m, X, Y).mean())  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(moves.Loop, "__init__", torn)
        with pytest.raises(KeyboardInterrupt):
            go(path, watch=Watch(score, 3, 2), checkpoint=Checkpoint(path, 4), steps=9)
    assert file_format.unpack(path.read_bytes(), path)["step"] == 4  # not 6, where the score was half entered
    watch = Watch(score, 3, 2)
    assert same(go(path, watch=watch, checkpoint=Checkpoint(path, 4), steps=9), go(watch=watch, steps=9))


def test_a_process_that_joins_draws_numbers_of_its_own() -> None:
    mine = processes.Processes(network(), None)
    before = mine.random_state()
    drawn = []
    try:
        for rank in (0, 1, 2, 1):
            mine.rank = rank
            torch.manual_seed(99)
            mine.restore_random_state([before])
            drawn.append(torch.rand(3))
    finally:
        mine.rank = 0
        mine.restore_random_state([before])
    assert torch.equal(drawn[0], torch.rand(3)) and torch.equal(drawn[1], drawn[3])
    assert not any(torch.equal(drawn[i], drawn[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


# -- files


def test_every_truncation_and_every_flipped_byte_is_seen(path: Path) -> None:
    go(path, model=nn.Linear(4, 1).double(), steps=2)
    whole = path.read_bytes()
    chance = torch.randint(8, (len(whole),), generator=torch.Generator().manual_seed(0)).tolist()
    advice = "(?s)(damaged|empty|no checkpoint|another version).*Remove the file"
    for place, bit in enumerate(chance):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        for data in (whole[:place], bytes(flipped)):
            with pytest.raises(ValueError, match=advice):
                file_format.unpack(data, path)
    assert file_format.unpack(whole, path)["step"] == 2


FORGED: dict[str, Any] = {
    "identity": [1], "step": [None, -5, 2.5], "model": {}, "averaged": 3, "optimizers": [[], [{}]],
    "schedules": [[{}]], "best": 3, "misses": "x", "values": torch.zeros(2, 1), "seconds": torch.zeros(9),
    "scores": None, "random": [[], [{"cpu": torch.zeros(3, dtype=torch.uint8)}]],
}  # fmt: skip


@pytest.mark.parametrize("key", FORGED)
def test_a_forged_state_is_a_clear_error(path: Path, key: str) -> None:
    """The checksum fits and nothing of it is code: only somebody who meant to can have made it."""
    go(path, steps=4)
    state = file_format.unpack(path.read_bytes(), path)
    values = FORGED[key] if isinstance(FORGED[key], list) and key != "identity" else [FORGED[key]]
    forged = [{**state, key: value} for value in values] + [{k: v for k, v in state.items() if k != key}]
    for one in forged:
        path.write_bytes(data := file_format.pack(one))
        with pytest.raises(ValueError, match=r"holds no run|cannot be taken up") as caught:
            go(path)
        assert str(path) in str(caught.value) and path.read_bytes() == data


def test_a_newer_format_is_told_from_damage(path: Path) -> None:
    go(path, steps=4)
    data = path.read_bytes().replace(b"checkpoint 1 ", b"checkpoint 2 ", 1)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="another version of kexue_lite: it has format 2, this one reads 1"):
        go(path)
    assert path.read_bytes() == data


def test_what_a_safe_load_refuses_is_named_and_no_unsafe_load_advised(path: Path) -> None:
    path.write_bytes(file_format.pack({"identity": {}, "step": np.float64(1.0)}))
    with pytest.raises(ValueError, match=r"cannot be loaded safely \(it names numpy") as caught:
        go(path)
    assert "weights_only" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_checkpoint_of_a_gpu_is_read_without_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:  # tensors are written as if they lay on a GPU
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        go(path, steps=4)
    assert b"cuda:0" in path.read_bytes()
    assert same(go(path), go())


def test_a_pipe_is_no_place_for_a_checkpoint(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match="is a device or a pipe"):
        go(path)
    assert path.is_fifo()


# -- two runs


def forked(action: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return child


def test_a_second_run_on_the_same_file_is_refused_until_the_first_is_gone(path: Path) -> None:
    hear, say = os.pipe()

    def batches(step: int) -> tuple[Tensor, ...]:
        if step == 5:
            os.write(say, b"x")
            signal.pause()
        return X[:5], Y[:5]

    go(path, batches=lambda k: (X[:5], Y[:5]), steps=2)
    child = forked(lambda: [go(path, batches=batches)])
    assert os.read(hear, 1) == b"x"
    try:
        before = path.read_bytes()
        with pytest.raises(OSError, match=f"another run is at work with the checkpoint {path}"):
            go(path, batches=lambda k: (X[:5], Y[:5]))
        assert path.read_bytes() == before
        assert go(path.with_name("other.ckpt")).steps == 6  # another file of the same folder is free
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    resumed = go(path, batches=lambda k: (X[:5], Y[:5]))
    assert same(resumed, go(batches=lambda k: (X[:5], Y[:5])))
    assert sorted(p.name for p in path.parent.iterdir()) == ["other.ckpt", "run.ckpt"]


def test_a_run_that_fails_lets_go_of_its_file(path: Path) -> None:
    go(path, steps=4)
    for options in ({"steps": 2}, {"accumulate": 2}, {"batches": lambda k: (X, Y) if k < 5 else None}):
        with pytest.raises((ValueError, TypeError)):
            go(path, **options)
        assert [p.name for p in path.parent.iterdir()] == ["run.ckpt"]
    assert same(go(path), go())


def test_litter_of_a_killed_write_goes_also_when_nothing_is_left_to_do(path: Path) -> None:
    go(path)
    path.with_name("run.ckpt.part").write_bytes(b"half")
    go(path)
    assert [p.name for p in path.parent.iterdir()] == ["run.ckpt"]


# -- half precision


def test_a_score_is_taken_in_the_precision_of_the_run_and_a_run_resumed_in_it(path: Path) -> None:
    from lightning_fabric import Fabric

    kinds: list[torch.dtype] = []

    def score(model: nn.Module) -> float:
        kinds.append(model(X.float()).dtype)
        return 0.0

    def run(precision: Any) -> None:
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        rows = minibatches(X.float(), Y.float(), batch_size=5, seed=2)
        go(path, model=network().float(), fabric=fabric, batches=rows, watch=Watch(score, 3))

    run("bf16-mixed")
    assert kinds == [torch.bfloat16] * 2
    with pytest.raises(
        ValueError, match=r"precision is 'that of the parameters' here and 'bf16-mixed' there"
    ):
        run("32-true")


def test_the_mean_of_a_half_loss_is_taken_in_full() -> None:
    rest = torch.tensor([256.0, 1, 1, 1]).bfloat16()  # their sum, 259, has more digits than bfloat16 keeps
    rows = (X[:4].bfloat16(),)
    run = go(
        model=nn.Linear(4, 1).bfloat16(),
        loss=lambda m, x: rest + 0 * m(x)[:, 0],
        batches=lambda k: rows,
        steps=1,
    )
    assert run.records[0]["loss"] == 64.75
