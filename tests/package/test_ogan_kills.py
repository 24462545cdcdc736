"""A training of chapter 6 that is killed again and again, in its last lesson too, ends with the same bits.

This file is also the program that is killed: it warms up once and forks, which costs a hundredth of a start.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from kexue_lite.ogan import OGAN, Recipe, train_ogan, trainer
from kexue_lite.training import Checkpoint

X = torch.rand(40, 8, 8, generator=torch.Generator().manual_seed(0))
RECIPE = Recipe(code_size=5, hidden=(12, 10), steps=45, batch_size=8, average=0.9, lesson=45)
SEED, EVERY, LEAST = 3, 2, 10
KINDS = {"one": RECIPE, "two": Recipe(**{**RECIPE.__dict__, "twin": True})}


def child(kind: str, folder: Path, kill: int, wire: int) -> None:
    """The forked process: train, and say by one line where it is when the blow may fall."""
    calls, fatal = [0], random.Random(f"{kind} {kill}").randint(4, 14)
    drawn = trainer.generator_for

    def counted(seed: int, step: int, **more: Any) -> torch.Generator:
        calls[0] += 1
        if calls[0] == fatal:
            phase = "lesson" if seed >= 4 * trainer.APART else "training"
            os.write(wire, f"{phase} {step}".encode())
        return drawn(seed, step, **more)

    trainer.generator_for = counted
    finish(kind, folder, "killed", Checkpoint(folder / f"{kind}.ckpt", EVERY))


def finish(kind: str, folder: Path, name: str, checkpoint: Checkpoint | None) -> None:
    model = train_ogan(X, recipe=KINDS[kind], seed=SEED, checkpoint=checkpoint)
    torch.save(model.state_dict(), folder / f"{kind}.{name}")


def main(folder: Path) -> None:
    """Kill each kind of run until one gets through; write where it was struck, and what came out."""
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1)])  # the first optimiser imports for seconds
    chance = random.Random(0)
    for kind in KINDS:
        if os.fork() == 0:
            finish(kind, folder, "alone", None)
            os._exit(0)
        assert os.wait()[1] == 0
        struck: list[str] = []
        for kill in range(100):
            hear, say = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(hear)
                try:
                    child(kind, folder, kill, say)
                except BaseException as error:
                    print(repr(error), file=sys.stderr)
                    os._exit(3)
                os._exit(0)
            os.close(say)
            where = os.read(hear, 100).decode()  # empty when the run ends before its hour
            if where:
                time.sleep(chance.uniform(0, 0.01))  # anywhere within the next few steps
                os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.close(hear)
            assert status in (0, -signal.SIGKILL), status
            if status == 0:
                break
            struck.append(where)
        (folder / f"{kind}.struck").write_text("\n".join(struck))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ogan_kills")
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_kills_change_no_bit(folder: Path, kind: str) -> None:
    struck = (folder / f"{kind}.struck").read_text().split("\n")
    assert len(struck) >= LEAST
    for phase in ("training", "lesson"):  # and each of them at several places
        assert len({line for line in struck if line.startswith(phase)}) >= 3, struck
    alone, killed = (torch.load(folder / f"{kind}.{how}", weights_only=True) for how in ("alone", "killed"))
    assert list(alone) == list(killed)
    for name in alone:
        assert torch.equal(alone[name], killed[name]), name
    left = sorted(path.name for path in folder.glob(f"{kind}.ckpt*"))
    assert left == [f"{kind}.ckpt", f"{kind}.ckpt.lesson"]  # no .part, no .lock


def test_the_lesson_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    short = Recipe(**{**RECIPE.__dict__, "steps": 3, "lesson": 2})
    train_ogan(X, recipe=short, checkpoint=Checkpoint(path, 1))
    path.unlink()  # its lesson is forgotten there
    with pytest.raises(ValueError, match=r"run\.ckpt\.lesson"):
        train_ogan(X, recipe=short, seed=1, checkpoint=Checkpoint(path, 1))
    path.with_suffix(".ckpt.lesson").unlink()
    again = train_ogan(X, recipe=short, seed=1, checkpoint=Checkpoint(path, 1))
    assert isinstance(again, OGAN)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
