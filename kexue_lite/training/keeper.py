"""Who writes and reads the checkpoint of a run, also when somebody presses Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .checkpoints import Checkpoint, compare, fingerprint, identity, lock_of, pack, part_of, unpack, write
from .checks import check_batch
from .moves import Loop

if TYPE_CHECKING:
    from filelock import FileLock


class Keeper:
    """Writes and reads the checkpoint of a loop; does nothing where there is none."""

    def __init__(self, checkpoint: Checkpoint | None, loop: Loop, settings: dict[str, Any]) -> None:
        self.checkpoint, self.loop = checkpoint, loop
        self.saved: tuple[int, int] | None = None
        self.proved = self.interrupted = False
        if checkpoint is None:
            return
        self.everywhere = loop.processes.everywhere
        self.path: Path = self.everywhere(checkpoint.place)
        first = loop.batches(0)
        check_batch(first, 0)
        settings = {**settings, "batches(0)": fingerprint(tuple(first))}
        self.identity = identity(loop.bare, loop.optimizers, loop.schedules, settings)

    @contextmanager
    def alone(self, steps: int) -> Iterator[None]:
        """Keep other runs from the file, and take up what it holds; a run that is killed lets go of it."""
        if self.checkpoint is None:
            yield
            return
        from filelock import FileLock

        lock = FileLock(lock_of(self.path), timeout=0)
        self.everywhere(lambda: self.take(lock))
        try:
            self.take_up(steps)
            yield
        finally:
            if lock.is_locked:
                lock_of(self.path).unlink(missing_ok=True)
                lock.release()

    def take(self, lock: FileLock) -> None:
        try:
            lock.acquire()
        except TimeoutError:
            raise OSError(
                f"another run is at work with the checkpoint {self.path}: wait until it ends, or give another"
            ) from None

    def read(self) -> bytes | None:
        part_of(self.path).unlink(missing_ok=True)  # what a killed run had not finished
        return self.path.read_bytes() if self.path.exists() else None

    def take_up(self, steps: int) -> None:
        """Go on from the file, if there is one."""
        data = self.everywhere(self.read)
        if data is None:
            return
        state, loop = unpack(data, self.path), self.loop
        compare(self.identity, state["identity"], self.path)
        if state["step"] > steps:
            raise ValueError(
                f"the checkpoint {self.path} has gone {state['step']} steps, steps = {steps} is fewer"
            )
        try:
            loop.load(state)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(
                f"{self.path} cannot be taken up ({error!r}): its checksum fits, but this program writes "
                "otherwise. Make the model anew, it may be changed; give another path, or remove the file."
            ) from error
        self.saved = (loop.step, len(loop.scores))

    def save(self, random: list[dict[str, Tensor]] | None = None) -> None:
        now = (self.loop.step, len(self.loop.scores))
        if self.checkpoint is None or self.saved == now:
            return
        state = {"identity": self.identity, **self.loop.state()}
        if random is not None:
            state["random"] = random
        self.everywhere(lambda: self.put(state))
        self.saved = now

    def put(self, state: dict[str, Any]) -> None:
        data = pack(state)
        if not self.proved:  # better now than when somebody wants to resume
            try:
                unpack(data, self.path)
            except ValueError as error:
                raise TypeError(
                    f"the state of this run holds more than tensors and numbers: {error}"
                ) from error
            self.proved = True
        write(self.path, data)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The first Ctrl-C waits for the end of the step, when the state is whole; the second does not."""
        ours = (
            self.checkpoint is not None
            and self.loop.processes.size == 1
            and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )

        def hear(number: int, frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        if ours:
            signal.signal(signal.SIGINT, hear)
        try:
            yield
        except KeyboardInterrupt as interrupt:
            try:
                self.rescue()
            except (OSError, FloatingPointError) as error:
                interrupt.add_note(f"no checkpoint was written: {error}")
            raise
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.interrupted:
            raise KeyboardInterrupt

    def rescue(self) -> None:
        """Write the state before the move that was broken off, if it still stands."""
        loop = self.loop
        if self.checkpoint is not None and loop.processes.size == 1 and loop.mark and loop.untouched():
            self.save([loop.mark[0]])
