"""The trusted side of a student's process: it asks, waits no longer than it must, and believes nothing.

:class:`Student` is one submission's process (`inside.py`), however it was started; `sandbox.py` starts it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from . import values

GRACE = 1.0  # seconds between an interrupt and the kill
OUTPUT = 20_000  # characters of a cell's output that are kept
_TICK = 0.1  # seconds between two looks at the memory


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    >>> Limits().seconds
    30.0
    """

    seconds: float = 30.0  # of all its cells and calls together
    step: float = 10.0  # of one cell or call
    memory: int = 1_500 << 20  # bytes of data of one process
    together: int = 2_000 << 20  # bytes of all its processes
    file: int = 32 << 20  # bytes of a file, and of all files together
    processes: int = 48


class StudentError(Exception):
    """The student's code raised; the text says what."""


class ChangedInPlace(AssertionError):
    """A function changed its argument. The change never comes back: nobody's check is fooled by it."""


class Gone(Exception):
    """The student's process is no more; ``why`` is "timeout", "memory", "crashed" or "too large"."""

    def __init__(self, why: str) -> None:
        super().__init__(_GONE[why])
        self.why = why


_GONE = {
    "timeout": "It took longer than allowed and did not stop when it was interrupted.",
    "memory": "It took more memory than allowed.",
    "crashed": "The process ended in the middle of it.",
    "too large": "What came back was too large, or no answer at all.",
}


@dataclass
class Shown:
    """What a cell has shown."""

    text: str = ""
    pictures: list[str] = field(default_factory=list)  # PNG in base64


class Student:
    """The process of one submission.

    Parameters
    ----------
    channel, output
        Our ends of the socket and of the pipe that carries what is printed.
    limits
        How long and how much.
    end
        Called to end the process and all of its own, for good.
    """

    def __init__(
        self, channel: socket.socket, output: int, limits: Limits, end: Callable[[], None] = lambda: None
    ) -> None:
        self.channel, self.output, self.limits, self._end = channel, output, limits, end
        self.left = limits.seconds
        self.interrupted = False  # whether any step had to be interrupted
        self._printed = bytearray()
        self._lost = 0
        self._pid_handle = -1
        self._pid = 0
        os.set_blocking(output, False)
        channel.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)
        self._selector.register(output, selectors.EVENT_READ)
        self._meet()

    def _meet(self) -> None:
        """Wait for the process to say who it is."""
        until = time.monotonic() + 60
        while True:
            self._drain()
            try:
                said, handles, _, _ = socket.recv_fds(self.channel, 1, 1)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise OSError("the student's process did not start within a minute") from None
                self._selector.select(_TICK)
                continue
            if not said or not handles:
                time.sleep(0.05)
                self._drain()
                raise OSError(f"the student's process did not start: {self.shown().text or 'no word'}")
            self._pid_handle = handles[0]
            for line in Path(f"/proc/self/fdinfo/{self._pid_handle}").read_text().splitlines():
                if line.startswith("Pid:"):
                    self._pid = int(line.split()[1])
            self.shown()  # what libraries said while they were imported is not the student's
            return

    # -- what can be asked

    def run(self, source: str) -> list[str]:
        """Execute a cell; its pictures come back. StudentError if it raised, Gone if it was the end."""
        pictures = self._ask({"run": source}).get("pictures", [])
        return (
            [p for p in pictures[:6] if isinstance(p, str) and len(p) < 400_000]
            if isinstance(pictures, list)
            else []
        )

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the student's. ChangedInPlace if it changed what it was given."""
        said = [values.encode(argument) for argument in args]
        pairs = [[name, values.encode(value)] for name, value in kwargs.items()]
        answer = self._ask({"call": name, "args": said, "kwargs": pairs})
        if answer.get("changed"):
            raise ChangedInPlace(f"What {name} was given was changed in place: work on a copy.")
        return self._value(answer.get("value"))

    def get(self, name: str) -> Any:
        """A value that the notebook has defined."""
        return self._value(self._ask({"get": name}).get("value"))

    def picture(self, data: str) -> str:
        """A pasted picture, made small: a JPEG in base64, or whatever the process says it is."""
        return str(self._ask({"picture": data}).get("picture", ""))

    def shown(self) -> Shown:
        """What was printed since the last time, cut to what a person reads."""
        self._drain()
        text = self._printed.decode("utf-8", "replace")[:OUTPUT]
        if self._lost or len(self._printed) > OUTPUT:
            megabytes = (len(self._printed) + self._lost) / 1e6
            text += f"\n... ({megabytes:.1f} MB were printed; this is the beginning)"
        self._printed.clear()
        self._lost = 0
        return Shown(text.replace("\x00", ""))

    def end(self) -> None:
        """End the process and everything it started."""
        self._signal(signal.SIGKILL)
        self._end()
        with contextlib.suppress(OSError):
            self._selector.close()
            self.channel.close()
        for handle in (self.output, self._pid_handle):
            with contextlib.suppress(OSError):
                os.close(handle)
        self._pid_handle = -1

    # -- how it is asked

    def _ask(self, message: dict) -> dict:
        if self._pid_handle < 0:
            raise Gone("crashed")
        if self.left <= 0:
            self.end()
            raise Gone("timeout")
        begun = time.monotonic()
        try:
            text = self._exchange(
                values.to_bytes(message), begun + min(self.limits.step, max(self.left, 0.1))
            )
            answer = values.from_bytes(text)
        except ValueError:
            self.end()
            raise Gone("too large") from None
        finally:
            self.left -= time.monotonic() - begun
        if "error" in answer:
            parts = (str(answer.get(key, ""))[:1000] for key in ("error", "says", "trace"))
            name, says, trace = (part.encode("utf-8", "replace").decode() for part in parts)
            if self.interrupted and name == "KeyboardInterrupt":
                raise StudentError(f"It took longer than allowed ({self.limits.step:g} s for a step).", trace)
            raise StudentError(f"{name}: {says}" if says else name, trace)
        return answer

    def _exchange(self, text: bytes, until: float) -> bytes:
        """Send a message and wait for the answer; interrupt when it is late, kill when that does not help."""
        waiting, got, wanted = memoryview(text), bytearray(), -1
        kill_at = float("inf")
        look_at = time.monotonic() + 3 * _TICK
        while True:
            self._selector.modify(
                self.channel, selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting else 0)
            )
            ready = self._selector.select(_TICK)
            self._drain()
            try:
                if waiting and any(key.fileobj is self.channel for key, mask in ready if mask & 2):
                    waiting = waiting[self.channel.send(waiting[: 1 << 20]) :]
                for _ in range(64):  # then the clock is looked at
                    piece = self.channel.recv(1 << 20 if wanted < 0 else min(wanted - len(got), 1 << 20))
                    if not piece:
                        self.end()
                        raise Gone("crashed")
                    got += piece
                    if wanted < 0 and len(got) >= 8:
                        wanted = int.from_bytes(got[:8], "big")
                        del got[:8]
                        if wanted > values.LARGEST:
                            raise ValueError("too large")
                    if wanted >= 0 and len(got) >= wanted:
                        return bytes(got[:wanted])
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                self.end()
                raise Gone("crashed") from None
            now = time.monotonic()
            if now > look_at:
                look_at = now + 2 * _TICK
                if self._memory() > self.limits.together:
                    self.end()
                    raise Gone("memory")
            if now > kill_at:
                self.end()
                raise Gone("timeout")
            if now > until and kill_at == float("inf"):
                self.interrupted = True
                self._signal(signal.SIGINT)
                kill_at = now + GRACE

    def _value(self, said: Any) -> Any:
        try:
            return values.decode(said)
        except (ValueError, TypeError, OverflowError) as error:
            raise StudentError(f"the answer cannot be read: {error}") from None

    def _drain(self) -> None:
        """Take what was printed out of the pipe; keep its beginning."""
        with contextlib.suppress(OSError):
            for _ in range(64):
                piece = os.read(self.output, 1 << 20)
                if not piece:  # it prints no more
                    with contextlib.suppress(KeyError):
                        self._selector.unregister(self.output)
                    return
                room = max(4 * OUTPUT - len(self._printed), 0)
                self._printed += piece[:room]
                self._lost += max(len(piece) - room, 0)
        return

    def _signal(self, number: int) -> None:
        if self._pid_handle >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(self._pid_handle, number)

    def _memory(self) -> int:
        """Bytes that the process and its children hold."""
        total = 0
        with contextlib.suppress(psutil.Error):
            mother = psutil.Process(self._pid)
            for process in [mother, *mother.children(recursive=True)]:
                with contextlib.suppress(OSError, psutil.Error):
                    total += _held(process.pid)
        return total


def _held(pid: int) -> int:
    """Bytes of one process; what it shares with others counts in parts."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
    return (sizes.get("Pss_Anon", sizes["Pss"]) + sizes.get("Pss_Shmem", 0)) << 10
