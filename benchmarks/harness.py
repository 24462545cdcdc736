"""Two programs side by side: in turns, on one machine, as often as it takes; the ratio is what counts.

A machine is never quite idle, and what disturbs it comes and goes. So the contenders run A B A B ..., the
ratio is taken within each pair, and its median is given with its smallest and largest value.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one measurement."""
        if not values:
            raise ValueError("values must hold at least one measurement, got none")
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 2) -> str:
        """``median (low to high)``."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True)
class Paired:
    """Seconds of two contenders, measured in turns; `ratio` is theirs over ours, pair by pair."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> Spread:
        """How many times sooner ours was done."""
        return Spread.of([b / a for a, b in zip(self.ours, self.theirs, strict=True)])


def in_turns(
    ours: Callable[[], Any], theirs: Callable[[], Any], *, repeat: int = 5, warm: bool = True
) -> Paired:
    """Wall time of both, ours theirs ours theirs ..., `repeat` times, after one run each that is not counted.

    Examples
    --------
    >>> in_turns(lambda: None, lambda: time.sleep(0.01), repeat=3).ratio.median > 1
    True
    """
    if repeat < 1:
        raise ValueError(f"repeat must be at least 1, got {repeat}")
    if warm:
        ours(), theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeat):
        for run, into in zip((ours, theirs), seconds, strict=True):
            begin = time.perf_counter()
            run()
            into.append(time.perf_counter() - begin)
    return Paired(*seconds)


class Peak:
    """Bytes of this process in memory, at most, while the block runs, looked at every so many seconds.

    Examples
    --------
    >>> with Peak() as peak:
    ...     _ = bytearray(1 << 20)
    >>> peak.largest > 0
    True
    """

    def __init__(self, every: float = 0.05) -> None:
        self.every = every

    def __enter__(self) -> Peak:
        self.largest, self._done = resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(self.every):
            self.largest = max(self.largest, resident())

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self.largest = max(self.largest, resident())


def resident() -> int:
    """Bytes of this process that are in memory now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def circumstances(
    *, code: Sequence[ModuleType], packages: Sequence[str], where: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Machine, versions, date, load, and the hash of the code that was measured, on which device."""
    machine: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }
    if torch.device(where).type == "cuda":
        machine["accelerator"] = torch.cuda.get_device_name(where)
    return {
        "machine": machine,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "date": datetime.now(UTC).date().isoformat(),
        "load_before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "code": fingerprint(code),
    }


def fingerprint(code: Sequence[ModuleType]) -> str:
    """Hash of the source of these modules: a stored result whose code has changed since is stale."""
    sources = sorted(Path(str(module.__file__)).read_bytes() for module in code)
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


def short_hash(text: str) -> str:
    """Eight digits that tell one text from another: for the names of files.

    Examples
    --------
    >>> short_hash("a"), short_hash("b")
    ('ca978112', '3e23e816')
    """
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def store(name: str, result: dict[str, Any], *, folder: Path = RESULTS) -> Path:
    """Write ``name.json`` in one step; the book makes a table of each list of rows in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = folder / f"{name}.json", folder / f".{name}.part"
    partial.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table.

    Examples
    --------
    >>> print(markdown([{"name": "a", "seconds": 1.25}, {"name": "b", "seconds": 3}]))
    | name | seconds |
    |---|---|
    | a | 1.25 |
    | b | 3 |
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        cells = (row.get(name, "") for name in names)
        lines.append("| " + " | ".join(f"{c:.4g}" if isinstance(c, float) else str(c) for c in cells) + " |")
    return "\n".join(lines)
