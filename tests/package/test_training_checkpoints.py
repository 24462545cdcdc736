"""Checkpoints: taken up bit for bit, refused when damaged or foreign, and never lost to a full disk."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kexue_lite.training import Checkpoint, Run, Watch, minibatches, train
from kexue_lite.training import checkpoints as file_format

X = torch.randn(23, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True).sin()


def squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (model(x) - y).square().squeeze(1)


class Stop(Exception):
    pass


def go(
    path: Path | None = None, *, loss: Any = squared, width: int = 8, lr: float = 0.05, **options: Any
) -> Run:
    """A run with all that has a state: momentum, a schedule, dropout, an average, a watch, accumulation."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.3), nn.Tanh(), nn.Linear(width, 1)).double()
    optimizer = options.pop("optimizer", torch.optim.AdamW)(model.parameters(), lr=lr)
    settings: dict[str, Any] = {
        "steps": 20,
        "optimizer": optimizer,
        "schedule": torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 9]),
        "accumulate": 2,
        "average": 0.7,
        "watch": Watch(lambda m: float(squared(m, X, Y).mean() + torch.rand(1)), 4),
        "checkpoint": None if path is None else Checkpoint(path, 3),
        "progress": False,
    }
    batches = options.pop("batches", minibatches(X, Y, batch_size=5, seed=2))
    return train(model, loss, batches, **{**settings, **options})


def stopping(step: int, error: type[BaseException]) -> Callable[[int], tuple[Tensor, ...]]:
    batches = minibatches(X, Y, batch_size=5, seed=2)

    def until(k: int) -> tuple[Tensor, ...]:
        if k == step:
            raise error
        return batches(k)

    return until


def outcome(run: Run) -> tuple[list[Tensor], list[dict[str, float]], int]:
    tensors = [
        *run.model.state_dict().values(),
        *(run.averaged.state_dict().values() if run.averaged else []),
    ]
    records = [{k: v for k, v in r.items() if k != "seconds"} for r in run.records]
    return tensors, records, run.steps


def equal(one: Run, other: Run) -> bool:
    a, b = outcome(one), outcome(other)
    return all(torch.equal(p, q) for p, q in zip(a[0], b[0], strict=True)) and a[1:] == b[1:]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ckpt"


# -- taken up


@pytest.mark.parametrize("step", [1, 3, 4, 8, 13, 19])
def test_a_broken_run_ends_as_an_undisturbed_one(path: Path, step: int) -> None:
    with pytest.raises(Stop):
        go(path, batches=stopping(step, Stop))
    assert path.exists() == (step >= 3)
    again = go(path)
    assert equal(go(), again)
    seconds = [r["seconds"] for r in again.records]
    assert seconds == sorted(seconds)
    assert [p.name for p in path.parent.iterdir()] == ["run.ckpt"]


def test_it_does_go_on_and_not_begin_again(path: Path) -> None:
    with pytest.raises(Stop):
        go(path, batches=stopping(13, Stop))
    asked: list[int] = []
    batches = minibatches(X, Y, batch_size=5, seed=2)
    go(path, batches=lambda k: (asked.append(k), batches(k))[1])
    assert asked == [0, *range(12, 20)]  # batch 0 to see that the data are the same
    asked.clear()
    file = path.stat().st_ino
    again = go(path, batches=lambda k: (asked.append(k), batches(k))[1])
    assert asked == [0] and equal(go(), again)  # a finished run is not run again
    assert path.stat().st_ino == file  # nor written again


def test_a_run_can_be_made_longer_but_not_shorter(path: Path) -> None:
    short = go(path, steps=8)
    assert equal(go(path), go()) and short.steps == 8
    with pytest.raises(ValueError, match=r"has gone 20 steps, steps = 8 is fewer"):
        go(path, steps=8)


def test_the_patience_goes_on_counting(path: Path) -> None:
    scores = {4: 1.0, 8: 2.0, 12: 3.0, 16: 4.0, 20: 5.0}
    step = [0]

    def batches(k: int) -> tuple[Tensor, ...]:
        step[0] = k + 1
        if k == stop[0]:
            raise Stop
        return X, Y

    watch = Watch(lambda m: scores[step[0]], 4, patience=3)
    for where in ([99], [6], [11]):
        stop = where
        if where != [99]:
            with pytest.raises(Stop):
                go(path, batches=batches, watch=watch)
            stop = [99]
        run = go(path, batches=batches, watch=watch)
        assert run.stopped_early and run.steps == 16
        assert equal(run, go(path, batches=batches, watch=watch))  # stopped once, stopped for good
        path.unlink()


def test_several_optimizers_are_taken_up(path: Path) -> None:
    def pair(batches: Any, checkpoint: Checkpoint | None) -> Run:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        optimizers = [
            torch.optim.Adam(model[0].parameters()),
            torch.optim.SGD(model[2].parameters(), 0.1, 0.9),
        ]
        schedules = [torch.optim.lr_scheduler.StepLR(o, 4) for o in optimizers]
        losses = [squared, lambda m, x, y: -squared(m, x, y)]
        return train(
            model,
            losses,
            batches,
            optimizer=optimizers,
            schedule=schedules,
            steps=12,
            checkpoint=checkpoint,
            progress=False,
        )

    with pytest.raises(Stop):
        pair(stopping(7, Stop), Checkpoint(path, 2))
    good = minibatches(X, Y, batch_size=5, seed=2)
    assert equal(pair(good, Checkpoint(path, 2)), pair(good, None))


def test_a_checkpoint_of_a_compiled_model_is_that_of_the_model(path: Path) -> None:
    def run(compiled: bool, batches: Any) -> Run:
        torch.manual_seed(1)
        model = nn.Linear(4, 1).double()
        wrapped = torch.compile(model, backend="eager") if compiled else model
        optimizer = torch.optim.Adam(model.parameters())
        checkpoint = Checkpoint(path, 2)
        train(wrapped, squared, batches, optimizer=optimizer, steps=9, checkpoint=checkpoint, progress=False)
        return Run(model, None, [], 9, False)

    with pytest.raises(Stop):
        run(True, stopping(5, Stop))
    resumed = run(False, minibatches(X, Y, batch_size=5, seed=2))
    path.unlink()
    assert equal(resumed, run(False, minibatches(X, Y, batch_size=5, seed=2)))


# -- Ctrl-C


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as Python sets it up. In a job that a shell put into the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_written_and_passed_on(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(path, batches=stopping(8, KeyboardInterrupt))
    assert torch.load(io.BytesIO(path.read_bytes().split(b"\n", 1)[1]), weights_only=True)["step"] == 8
    assert equal(go(path), go())


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("where", ["loss", "score", "second"])
def test_ctrl_c_at_any_place_loses_nothing(path: Path, where: str) -> None:
    calls = {"loss": 0, "score": 0}

    def press(name: str, times: int = 1) -> None:
        calls[name] += 1
        if name == (where if where in calls else "loss") and calls[name] == (2 if name == "score" else 21):
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        value = squared(model, x, y)  # the dropout has been drawn
        press("loss", 2 if where == "second" else 1)
        return value

    def score(model: nn.Module) -> float:
        value = float(squared(model, X, Y).mean() + torch.rand(1))
        press("score")
        return value

    with pytest.raises(KeyboardInterrupt):
        go(path, loss=loss if where != "score" else squared, watch=Watch(score, 4))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    state = file_format.unpack(path.read_bytes(), path)
    # The first Ctrl-C waits for the end of the step, the second leaves at once, with the state before.
    assert state["step"] == {"loss": 11, "score": 8, "second": 10}[where]
    assert equal(go(path), go())


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_without_a_checkpoint_passes_on_at_once() -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("too late")

    with pytest.raises(KeyboardInterrupt):
        go(loss=loss)


def test_a_half_made_step_is_not_written(path: Path) -> None:
    class Torn(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            super().step()
            if torn[0] == 0:
                raise KeyboardInterrupt
            torn[0] -= 1

    torn = [7]
    with pytest.raises(KeyboardInterrupt):
        go(path, optimizer=Torn)
    assert file_format.unpack(path.read_bytes(), path)["step"] == 6
    torn = [99]
    assert equal(go(path, optimizer=Torn), go(optimizer=Torn))


def test_buffers_changed_before_an_interrupt_are_not_written(path: Path) -> None:
    def run(checkpoint: Checkpoint | None, stop: int) -> Run:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)).double()
        calls = [0]

        def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            value = squared(model, x, y)  # the running means have moved
            calls[0] += 1
            if calls[0] == stop:
                raise KeyboardInterrupt
            return value

        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        batches = minibatches(X, Y, batch_size=6, seed=2)
        return train(
            model, loss, batches, optimizer=optimizer, steps=12, checkpoint=checkpoint, progress=False
        )

    with pytest.raises(KeyboardInterrupt):
        run(Checkpoint(path, 4), 7)
    assert equal(run(Checkpoint(path, 4), 99), run(None, 99))


# -- not finite


def test_the_last_good_checkpoint_stays(path: Path) -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        calls[0] += 1
        return squared(model, x, y) * (float("nan") if calls[0] == 15 else 1.0)

    calls = [0]
    with pytest.raises(FloatingPointError, match="nan at step 8"):
        go(path, loss=loss)
    assert file_format.unpack(path.read_bytes(), path)["step"] == 6
    assert equal(go(path), go())


def test_weights_that_are_not_finite_never_replace_good_ones(path: Path) -> None:
    class Bad(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            super().step()
            calls[0] += 1
            if calls[0] == 9:
                self.param_groups[0]["params"][0].data[0, 0] = float("inf")

    calls = [0]
    with pytest.raises(FloatingPointError, match=r"'0.weight' is no longer finite after step 9"):
        go(path, optimizer=Bad)
    assert file_format.unpack(path.read_bytes(), path)["step"] == 6


# -- damaged


def test_damage_is_told_and_never_overwritten(path: Path) -> None:
    go(path, steps=4)
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    flipped = [0, 30, head - 5, head, head + 100, len(whole) // 2, len(whole) - 1]
    damaged = [whole[:n] for n in (0, 1, 20, head - 1, head, head + 1, len(whole) - 1)]
    damaged += [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in flipped]
    damaged += [
        whole + b"x",
        b"hello",
        b"\x00" * 5000,
        whole[head:],
        whole.replace(b"checkpoint 1", b"checkpoint 2"),
    ]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(ValueError, match="Remove the file") as caught:
            go(path, steps=4)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == data
    path.write_bytes(whole)
    assert go(path, steps=4).steps == 4


class Evil:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.target),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("own_format", [True, False])
def test_a_malicious_file_runs_nothing(path: Path, own_format: bool) -> None:
    mark = path.with_name("owned")
    stream = io.BytesIO()
    if own_format:
        torch.save({"identity": {}, "step": Evil(str(mark))}, stream)
    else:
        pickle.dump(Evil(str(mark)), stream)
    payload = stream.getvalue()
    head = f"{file_format.MAGIC} {len(payload)} {hashlib.sha256(payload).hexdigest()}\n".encode()
    for data in (head + payload, payload):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="Remove the file"):
            go(path)
        assert not mark.exists()
    pickle.loads(stream.getvalue()) if not own_format else torch.load(io.BytesIO(payload), weights_only=False)
    assert mark.exists()  # the poison is real


def test_a_checkpoint_that_holds_no_run_is_refused(path: Path) -> None:
    path.write_bytes(file_format.pack({"weights": torch.zeros(3)}))
    with pytest.raises(ValueError, match="it holds no run"):
        go(path)


def test_a_state_that_could_not_be_loaded_is_refused_at_the_first_write(path: Path) -> None:
    class Odd(torch.optim.SGD):
        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "odd": Evil("x")}

    with pytest.raises(TypeError, match="more than tensors and numbers"):
        go(path, optimizer=Odd)
    assert not list(path.parent.iterdir())


# -- of another run


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"width": 9},
            r"parameter '0.weight' is torch.float64 \(9, 4\) here and torch.float64 \(8, 4\) there",
        ),
        ({"optimizer": torch.optim.Adam}, "class is Adam here and AdamW there"),
        ({"lr": 0.01}, "group 0: lr is 0.01.* here and 0.05.* there"),
        ({"accumulate": 3}, "accumulate is 3 here and 2 there"),
        ({"average": None}, "average is None here and 0.7 there"),
        ({"average": 0.8}, "average is 0.8 here and 0.7 there"),
        ({"watch": None}, "watch.every is None here and 4 there"),
        ({"schedule": None}, "number of schedules is 0 here and 1 there"),
        (
            {"batches": minibatches(X, Y, batch_size=6, seed=2)},
            r"batches\(0\) is .*\(6, 4\).* here and .*\(5, 4\)",
        ),
        ({"batches": minibatches(X, Y, batch_size=5, seed=3)}, r"batches\(0\) is"),
        ({"batches": minibatches(X, Y + 1, batch_size=5, seed=2)}, r"batches\(0\) is"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(path: Path, change: dict[str, Any], words: str) -> None:
    go(path, steps=4)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="checkpoint of another run: .*" + words):
        go(path, **{"steps": 4, **change})
    assert path.read_bytes() == before


def one(path: Path, model: nn.Module, schedule: Any = None, **settings: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), **{"lr": 0.1, **settings})
    plan = None if schedule is None else schedule(optimizer)
    train(
        model,
        squared,
        minibatches(X, Y, batch_size=5, seed=2),
        optimizer=optimizer,
        schedule=plan,
        steps=3,
        checkpoint=Checkpoint(path, 1),
        progress=False,
    )


def test_names_buffers_and_settings_tell_runs_apart(path: Path) -> None:
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR
    one(path, nn.Sequential(nn.Linear(4, 1).double()), lambda o: cosine(o, 10), momentum=0.9)
    named = nn.Sequential()
    named.add_module("last", nn.Linear(4, 1).double())
    buffered = nn.Sequential(nn.Linear(4, 1).double())
    buffered.register_buffer("extra", torch.zeros(2))
    plain = nn.Sequential(nn.Linear(4, 1).double())
    cases: list[tuple[nn.Module, Any, dict[str, Any], str]] = [
        (
            named,
            lambda o: cosine(o, 10),
            {"momentum": 0.9},
            "parameter 'last.weight' is .* here and missing there",
        ),
        (buffered, lambda o: cosine(o, 10), {"momentum": 0.9}, "buffer 'extra' is .* here and missing there"),
        (plain, lambda o: cosine(o, 10), {"momentum": 0.8}, "momentum is 0.8 here and 0.9 there"),
        (plain, lambda o: cosine(o, 20), {"momentum": 0.9}, "the schedule: T_max is 20 here and 10 there"),
        (
            plain,
            lambda o: torch.optim.lr_scheduler.ConstantLR(o),
            {"momentum": 0.9},
            "class is ConstantLR here",
        ),
    ]
    for model, schedule, settings, words in cases:
        with pytest.raises(ValueError, match=words):
            one(path, model, schedule, **settings)
    one(path, nn.Sequential(nn.Linear(4, 1).double()), lambda o: cosine(o, 10), momentum=0.9, foreach=False)
    path.unlink()
    buffered = nn.Sequential(nn.Linear(4, 1).double())
    buffered.register_buffer("extra", torch.zeros(2))
    one(path, buffered)
    with pytest.raises(ValueError, match=r"buffer 'extra' is missing here and torch.float32"):
        one(path, nn.Sequential(nn.Linear(4, 1).double()))


def test_every_schedule_of_torch_that_needs_no_metric_can_be_kept(path: Path) -> None:
    plans = torch.optim.lr_scheduler
    chain = lambda o: plans.SequentialLR(  # noqa: E731
        o, [plans.LinearLR(o, 0.1, total_iters=2), plans.CosineAnnealingLR(o, 9)], [2]
    )
    makers: list[Any] = [
        lambda o: plans.LambdaLR(o, lambda k: 0.9**k),
        lambda o: plans.MultiplicativeLR(o, lambda k: 0.9),
        lambda o: plans.StepLR(o, 2),
        lambda o: plans.MultiStepLR(o, [1, 2]),
        lambda o: plans.PolynomialLR(o, 9),
        lambda o: plans.CyclicLR(o, 0.01, 0.1, step_size_up=2),
        lambda o: plans.OneCycleLR(o, 0.1, total_steps=9),
        lambda o: plans.CosineAnnealingWarmRestarts(o, 2),
        lambda o: plans.ChainedScheduler([plans.ConstantLR(o), plans.ExponentialLR(o, 0.9)]),
        chain,
    ]
    for maker in makers:
        one(path, nn.Linear(4, 1).double(), maker, momentum=0.9)
        one(path, nn.Linear(4, 1).double(), maker, momentum=0.9)
        path.unlink()


# -- places where no file can be written


def test_bad_places_are_refused_before_the_first_step(tmp_path: Path) -> None:
    asked = lambda m, x, y: pytest.fail("a step was taken")  # noqa: E731
    with pytest.raises(IsADirectoryError, match="is a folder"):
        go(tmp_path, loss=asked)
    with pytest.raises(FileNotFoundError, match=r"folder does not exist.*nowhere"):
        go(tmp_path / "nowhere" / "run.ckpt", loss=asked)
    with pytest.raises(TypeError, match="path must be a str or a path"):
        Checkpoint(3, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every must be at least 1"):
        Checkpoint("x", 0)


def in_a_child(action: Callable[[], None]) -> None:
    """Run `action` in a forked process, which may give up rights that this one needs."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_permission_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    go(folder / "run.ckpt", steps=4)
    before = (folder / "run.ckpt").read_bytes()
    folder.chmod(0o555)

    def action() -> None:
        if os.getuid() == 0:
            for parent in [tmp_path, *tmp_path.parents]:
                if "pytest" in str(parent):
                    parent.chmod(0o755)
            os.setuid(65534)
        for name in ("run.ckpt", "other.ckpt"):
            with pytest.raises(PermissionError, match="no permission"):
                Checkpoint(folder / name, 1).place()

    try:
        in_a_child(action)
        assert (folder / "run.ckpt").read_bytes() == before
    finally:
        folder.chmod(0o755)


# -- a full disk


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_a_full_disk_costs_nothing_but_the_new_checkpoint(
    path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stop):
        go(path, batches=stopping(5, Stop))
    before = path.read_bytes()

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FullFile(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[: len(data) // 2]) if len(data) > 100 else full()

    with monkeypatch.context() as patch:
        if fails == "write":
            patch.setattr(file_format, "open", lambda p, mode, buffering: FullFile(p, mode), raising=False)
        else:
            patch.setattr(file_format.os, fails, full)
        with pytest.raises(
            OSError, match=r"could not be written .No space left.* the one before is untouched"
        ) as caught:
            go(path)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["run.ckpt"]
    assert equal(go(path), go())


def test_a_real_limit_on_the_file_size(path: Path) -> None:
    with pytest.raises(Stop):
        go(path, batches=stopping(5, Stop))
    before = path.read_bytes()

    def action() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, len(before) // 2))
        with pytest.raises(OSError, match=r"could not be written \(File too large.* untouched"):
            go(path)

    in_a_child(action)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["run.ckpt"]


def test_a_write_in_small_pieces_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[:1000])

    monkeypatch.setattr(file_format, "open", lambda p, mode, buffering: Slow(p, mode), raising=False)
    assert equal(go(path), go(path))


def test_an_interrupt_on_a_full_disk_is_still_an_interrupt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(file_format.os, "fsync", full)
    with pytest.raises(KeyboardInterrupt) as caught:
        go(path, batches=stopping(2, KeyboardInterrupt))
    assert "no checkpoint was written" in caught.value.__notes__[0] and not list(path.parent.iterdir())


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "run.ckpt"
    link.symlink_to(tmp_path / "far" / "real.ckpt")
    go(link, steps=4)
    assert link.is_symlink() and [p.name for p in (tmp_path / "far").iterdir()] == ["real.ckpt"]
    assert go(link, steps=4).steps == 4
