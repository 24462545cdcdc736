"""Formgrader for a class: nbgrader's pages, by a Jupyter server that writes in the class's folder alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
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


def serve(course: Course, *, port: int = 8888, browser: bool = True) -> int:
    """Serve until it is stopped; its exit status."""
    course.prepare()
    if not (course.root / "gradebook.db").exists():
        raise ValueError(f"{course.root} has no gradebook yet: run release first")
    words, environment = command(course, port, browser)
    print(
        f"Formgrader: http://127.0.0.1:{port}/formgrader/gradebook (with its token: below).\n"
        "Choose the assignment, then the notebook; what waits for a person is marked in the list.\n"
        "Stop it with Ctrl-C. After 'grade' start it anew: it keeps the gradebook as it was when it began."
    )
    try:
        return subprocess.call(words, env=environment, cwd=course.root)
    except KeyboardInterrupt:
        return 0
