"""The rules of the house: who may stand on whom, and what an import may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kexue_lite

HOUSE = Path(kexue_lite.__file__).parent
GROUND = ["arguments", "device", "data", "claims", "plotting", "training"]
ROOMS = ["extrema", "classifiers", "networks", "embeddings", "gradients", "ogan", "ddpm", "vq_attention"]
SOURCES = sorted(p for p in HOUSE.rglob("*.py") if p.relative_to(HOUSE).parts != ("__init__.py",))


def imported(source: Path) -> set[str]:
    """The parts of the house that a file names in its imports, wherever in the file they stand."""
    names: set[str] = set()
    package = ("kexue_lite", *source.relative_to(HOUSE).parent.parts)
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module or ""]))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("kexue_lite.")}


def may_import(part: str, file: str) -> set[str]:
    if part in GROUND:
        return set(GROUND)
    if part in ROOMS:
        return set(GROUND) | set(ROOMS[: ROOMS.index(part) + 1])
    if part == "exercises":  # the checkers of a chapter stand where its notebook stands: on its room
        return {"exercises"} | (may_import(file, file) if file in ROOMS else set(GROUND))
    raise AssertionError(f"{part} is neither on the ground floor nor a room: give it a place in this test")


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_no_part_stands_on_a_later_one(source: Path) -> None:
    part = source.relative_to(HOUSE).parts[0].removesuffix(".py")
    assert imported(source) <= may_import(part, source.stem)


def test_the_rule_sees_imports_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "HOUSE", tmp_path)
    (tmp_path / "embeddings").mkdir()
    file = tmp_path / "embeddings" / "x.py"
    file.write_text(
        "import kexue_lite.ddpm\nfrom ..ogan import f\nfrom .. import data\n"
        "def g():\n    from kexue_lite import claims"
    )
    assert imported(file) == {"ddpm", "ogan", "data", "claims"}


WATCH = """
import sys
seen = []
def watch(event, arguments):
    if event == "socket.connect" or event == "socket.getaddrinfo":
        seen.append(f"network: {arguments}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"written: {arguments[0]}")
    if event in ("os.mkdir", "os.remove", "os.rename"):
        seen.append(f"{event}: {arguments[0]}")
sys.dont_write_bytecode = True
sys.addaudithook(watch)
"""


def run(code: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_alone_imports_none_of_its_parts(tmp_path: Path) -> None:
    code = "import sys, kexue_lite; print({m.split('.')[0] for m in sys.modules if m != 'kexue_lite'})"
    loaded = ast.literal_eval(run(code, tmp_path))
    assert not loaded & {"kexue_lite", "torch", "numpy", "scipy", "sympy", "matplotlib", "pooch"}


def test_importing_every_part_opens_no_connection_and_writes_no_file(tmp_path: Path) -> None:
    modules = [".".join(("kexue_lite", *p.relative_to(HOUSE).with_suffix("").parts)) for p in SOURCES]
    modules = [m.removesuffix(".__init__") for m in modules]
    before = "import numpy, torch, scipy, sympy, sklearn, pooch, matplotlib.figure, tqdm.auto\n"
    out = run(before + WATCH + f"import {', '.join(modules)}\nprint(seen)", tmp_path)
    assert out == "[]\n" and not list(tmp_path.iterdir())


def test_the_watch_would_see_it(tmp_path: Path) -> None:
    out = run(WATCH + "open('x', 'w').close()\nprint(len(seen))", tmp_path)
    assert out == "1\n"
