"""Formgrader for a class: nbgrader's pages, by a Jupyter server that writes in the class's folder alone."""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from .course import Course


def command(course: Course, port: int = 8888, browser: bool = True) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of the server."""
    state = course.root.resolve() / ".jupyter"
    places = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }  # fmt: skip
    environment = os.environ | {name: str(state / folder) for name, folder in places.items()}
    news = state / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True, exist_ok=True)
    news.write_text('{"fetchNews": "false"}')  # no question, and no request
    words = [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={course.root.resolve()}",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
        "--LabApp.default_url=/formgrader/gradebook",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--ServerApp.jpserver_extensions={'jupyter_lsp': False}",  # it would write into the home folder
    ]  # fmt: skip
    if os.getuid() == 0:
        words.append("--ServerApp.allow_root=True")
    if not browser:
        words.append("--no-browser")
    return words, environment


def serve(course: Course, *, port: int = 8888, browser: bool = True) -> NoReturn:
    """Become the server, until it is stopped."""
    course.prepare()
    if not (course.root / "gradebook.db").exists():
        raise ValueError(f"{course.root} has no gradebook yet: run release first")
    port = free_port(port)
    words, environment = command(course, port, browser)
    print(
        f"Formgrader of {course.root}: http://127.0.0.1:{port}/formgrader/gradebook (token: below).\n"
        "Choose the assignment, then the notebook; what waits for a person is marked in the list.\n"
        "Stop it with Ctrl-C. After 'grade' start it anew: it keeps the gradebook as it was when it began.",
        flush=True,
    )
    os.chdir(course.root)
    os.execve(words[0], words, environment)


def free_port(port: int) -> int:
    """The port, or the next one that is free: another class's formgrader must not be taken for this one."""
    for candidate in range(port, min(port + 50, 65536)):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", candidate)):
                return candidate
    raise ValueError(f"no free port from {port} on")
