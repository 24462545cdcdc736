"""A small class that hostile students hand in to, and the walls without which nothing can be tested."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock

from classroom.assignment import Assignment, leaks
from classroom.course import Course
from classroom.release import generate

ROOT = Path(__file__).resolve().parents[2]
NAME = "00_tiny"
HOW = (
    "the tests of the walls need bubblewrap, and a system that allows namespaces. Debian and Ubuntu: apt install "
    "bubblewrap; Fedora: dnf install bubblewrap; on other systems they cannot be run"
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


def open_class(tiny: Assignment, root: Path) -> Course:
    """A class in which the small assignment was handed out (that it grades rightly has its own test)."""
    course = Course(root)
    course.prepare()
    master = tiny.fill(course.key)
    course.master(NAME).parent.mkdir(parents=True)
    nbformat.write(master, course.master(NAME))
    released = generate(NAME, course)
    assert not leaks(master, nbformat.read(released, as_version=4))
    return course
