"""No page asks another machine for anything: MathJax is a file of the book, foreign scripts are left out.

MathJax (one self-contained file that draws SVG and needs no font) comes out of the installed distribution
`sphinx-mathjax-offline`, whose own extension would copy fifteen megabytes of it.
"""

from __future__ import annotations

import shutil
import zlib
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_NAME = "tex-svg-full.js"
_DISTRIBUTION = "sphinx-mathjax-offline"


def find_mathjax() -> Path:
    """The file inside the installed distribution."""
    try:
        listed = files(_DISTRIBUTION) or []
    except PackageNotFoundError:
        listed = []
    for file in listed:
        if file.name == _NAME:
            return Path(str(file.locate()))
    raise ExtensionError(f"{_NAME} is needed from the distribution {_DISTRIBUTION}: install requirements.txt")


def _configure(app: Sphinx, config: Any) -> None:
    static = [path for folder in config.html_static_path for path in Path(app.srcdir, folder).rglob("*")]
    stamp = b"".join(path.read_bytes() for path in sorted(static) if path.is_file())
    config.kexue_static = zlib.crc32(stamp)
    config.mathjax_path = f"mathjax/{_NAME}"
    config.nb_ipywidgets_js = {}
    config.mathjax3_config = {
        "tex": {"tags": "none"},  # the chapters number by hand, with \tag
        "svg": {"fontCache": "local"},
        "options": {"enableMenu": False},  # its menu loads further files, which are not here
    }


def _copy_mathjax(app: Sphinx) -> None:
    if app.builder.format != "html":
        return
    source, target = find_mathjax(), Path(app.outdir) / "_static" / "mathjax" / _NAME
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _drop_foreign_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    def is_local(script: Any) -> bool:
        words = f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}".lower()
        return "thebe" not in words and "//" not in str(getattr(script, "filename", script) or "")

    context["script_files"] = [script for script in context["script_files"] if is_local(script)]


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    # A build with no page to write copies no style sheet either: a changed one must make pages out of date.
    app.add_config_value("kexue_static", 0, "html")
    app.connect("config-inited", _configure)
    app.connect("builder-inited", _copy_mathjax)
    app.connect("html-page-context", _drop_foreign_scripts, priority=900)
