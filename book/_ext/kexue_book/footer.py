"""At the foot of each page: which version of the book this is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import kexue_lite


def build_line(root: Path) -> str:
    """Version, commit and its date; in a copy without git, such as an unpacked archive, "unknown commit".

    Examples
    --------
    >>> build_line(Path("/"))
    'kexue_lite 0.1.0 · unknown commit'
    """
    words = f"kexue_lite {kexue_lite.__version__}"
    commit = _git(root, "log", "-1", "--format=%h of %cs")
    # A folder that lies inside somebody else's repository is not a commit of this book.
    if not commit or Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root.resolve():
        return f"{words} · unknown commit"
    changed = " with later changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
    return f"{words} · commit {commit}{changed}"


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _configure(app: Sphinx, config: Any) -> None:
    # A changed line is a changed option, for which Sphinx writes all pages anew without reading them again.
    line = f'<p class="kexue-build">{build_line(Path(app.srcdir))}</p>'
    config.html_theme_options = {**config.html_theme_options, "extra_footer": line}


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.connect("config-inited", _configure)
