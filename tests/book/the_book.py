"""The built book, and the browser that opens it: what the tests of this folder share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
QUIET = [  # nothing of the browser's own may stand in the network log
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-pings",
]
HOW = (
    "the tests of the book need a Chromium or Chrome. Install one (Debian: apt install chromium; macOS: "
    "brew install --cask chromium; else: python -m playwright install chromium) or name it in KEXUE_BROWSER"
)


@dataclass(frozen=True)
class Built:
    """A build of the book: its folder, exit status, output, and seconds of processor time."""

    folder: str
    status: int
    output: str
    seconds: float

    @property
    def html(self) -> Path:
        """The folder of the pages."""
        return Path(self.folder) / "_build" / "html"

    @property
    def pages(self) -> list[str]:
        """All pages, as paths below `html`; what the theme leaves among its static files is none."""
        found = (path.relative_to(self.html).as_posix() for path in self.html.rglob("*.html"))
        return sorted(name for name in found if not name.startswith("_static/"))


def build_into(folder: Path) -> Built:
    """Build as the Makefile does, but into another folder, so that nothing old can be taken for new."""
    command = [
        str(Path(sys.executable).with_name("jupyter-book")),
        "build",
        str(ROOT),
        "--path-output",
        str(folder),
    ]
    command += ["--config", str(ROOT / "_config.yml"), "--toc", str(ROOT / "_toc.yml")]
    command += ["--warningiserror", "--keep-going"]
    before = os.times()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return Built(str(folder), done.returncode, done.stdout + done.stderr, seconds)


def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def find_browser(tmp: Path) -> str | None:
    """A Chromium that is there, or Debian's, installed now if we may."""
    named = os.environ.get("KEXUE_BROWSER")
    places = [named] if named else [shutil.which(program) for program in _PROGRAMS] + [_MAC]
    found = next((place for place in places if place and Path(place).exists()), None)
    if found is None and not named:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
        found = own if Path(own).exists() else None
    if found is None and not named and shutil.which("apt-get") and getattr(os, "geteuid", lambda: 1)() == 0:
        with FileLock(tmp / "apt.lock", timeout=900):
            if not shutil.which("chromium"):
                subprocess.run(["apt-get", "update"], capture_output=True, timeout=600)
                subprocess.run(["apt-get", "install", "-y", "chromium"], capture_output=True, timeout=900)
        found = shutil.which("chromium")
    return found
