"""Who writes and reads the checkpoint of a run, also when somebody presses Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from .checkpoints import Checkpoint, compare, fingerprint, identity, pack, part_of, unpack, write
from .checks import check_batch
from .moves import Loop


class Keeper:
    """Writes and reads the checkpoint of a loop; does nothing where there is none."""

    def __init__(self, checkpoint: Checkpoint | None, loop: Loop, settings: dict[str, Any]) -> None:
        self.checkpoint, self.loop = checkpoint, loop
        self.saved: tuple[int, int] | None = None
        self.proved = self.interrupted = False
        if checkpoint is None:
            return
        processes = loop.processes
        self.path: Path = self.everywhere(checkpoint.place)
        first = loop.batches(0)
        check_batch(first, 0)
        settings = {**settings, "batches(0)": fingerprint(tuple(first))}
        self.identity = identity(loop.bare, loop.optimizers, loop.schedules, settings)
        data = self.everywhere(lambda: self.path.read_bytes() if self.path.exists() else None)
        if data is not None:
            state = unpack(data, self.path)
            compare(self.identity, state["identity"], self.path)
            loop.load(state)
            self.saved = (loop.step, len(loop.scores))
        if processes.rank == 0:
            part_of(self.path).unlink(missing_ok=True)

    def everywhere(self, action: Callable[[], Any]) -> Any:
        """What `action` gives, or raises, in process 0: given or raised in every process."""
        processes = self.loop.processes
        outcome: tuple[Any, Exception | None] = (None, None)
        if processes.rank == 0:
            try:
                outcome = (action(), None)
            except (OSError, ValueError, TypeError) as error:
                if processes.size == 1:
                    raise
                outcome = (None, error)
        result, failure = processes.tell(outcome)
        if failure is not None:
            raise failure
        return result

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
        if self.checkpoint is None or loop.processes.size > 1 or loop.updating or loop.mark is None:
            return
        random, versions = loop.mark
        if versions == [buffer._version for buffer in loop.bare.buffers()]:
            self.save([random])
