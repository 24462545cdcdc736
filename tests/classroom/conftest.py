"""A small class that hostile students hand in to, and the walls without which nothing can be tested."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from the_class import NAME, Here, open_class

from classroom import grade as grading
from classroom.assignment import Assignment
from classroom.course import Course
from classroom.sandbox import Sandbox

HOW = (
    "the tests of the walls need bubblewrap, and a system that allows namespaces. Debian and Ubuntu: "
    "apt install bubblewrap; Fedora: dnf install bubblewrap; on other systems they cannot be run"
)


@pytest.fixture(scope="session")
def bubblewrap(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program bwrap, installed now if we may. Without it: a failure under CI, a skip on a desk."""
    lock = Path(tmp_path_factory.getbasetemp().parent) / "bubblewrap.lock"
    with FileLock(lock, timeout=900):
        if not shutil.which("bwrap") and shutil.which("apt-get") and os.geteuid() == 0:
            subprocess.run(["apt-get", "update"], capture_output=True, timeout=600)
            subprocess.run(["apt-get", "install", "-y", "bubblewrap"], capture_output=True, timeout=600)
    found = shutil.which("bwrap")
    walls = [str(found), "--unshare-all", "--ro-bind", "/", "/", "true"]
    if found is None or subprocess.run(walls, capture_output=True, timeout=60).returncode:
        if os.environ.get("CI"):
            pytest.fail(HOW)
        pytest.skip(HOW)
    return found


@pytest.fixture(scope="session")
def tiny() -> Assignment:
    """The small assignment."""
    return Assignment(NAME, Path(__file__).parent / "assignments")


@pytest.fixture(scope="module")
def course(tiny: Assignment, bubblewrap: str, tmp_path_factory: pytest.TempPathFactory) -> Course:
    return open_class(tiny, tmp_path_factory.mktemp("grade") / "class")


@pytest.fixture(scope="module")
def walls(bubblewrap: str) -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


@pytest.fixture
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, walls: Sandbox) -> None:
    """Without new processes for each class, but where a test is about them."""
    if request.node.get_closest_marker("processes") is None:
        Here.sandbox = walls
        monkeypatch.setattr(grading, "ProcessPoolExecutor", Here)


@pytest.fixture
def own(course: Course, tmp_path: Path) -> Course:
    """A class of its own for each test."""
    shutil.copytree(course.root, tmp_path / "class")
    return Course(tmp_path / "class")
