"""What every chapter owes its reader, read off the stored notebooks; nbval proves the outputs fresh."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from kexue_lite import claims

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def outputs(path: Path) -> list[nbformat.NotebookNode]:
    return [output for cell in cells(path, "code") for output in cell.outputs]


def test_there_are_chapters() -> None:
    assert [path.stem for path in CHAPTERS] == [
        "01_extrema",
        "02_classifiers",
        "03_networks",
        "04_svd_word2vec",
        "05_gradients",
        "06_ogan",
        "07_ddpm",
        "08_vq_attention",
    ]


@each_chapter
def test_it_was_run_from_top_to_bottom_without_error_or_warning(path: Path) -> None:
    code = cells(path, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    bad = [o for o in outputs(path) if o.output_type == "error" or o.get("name") == "stderr"]
    assert not bad


@each_chapter
def test_its_cells_are_short_and_its_length_is_right(path: Path) -> None:
    code = cells(path, "code")
    folded = [cell for cell in code if {"hide-input", "hide-cell"} & set(cell.metadata.get("tags", []))]
    answers = [cell for cell in code if cell not in folded and "exercises." in cell.source]
    assert 20 <= len(code) - len(folded) - len(answers) <= 40  # those that a reader reads in order
    assert max(len(cell.source.splitlines()) for cell in code) <= 25
    words = sum(len(re.findall(r"[A-Za-z]{2,}", prose(cell.source))) for cell in cells(path, "markdown"))
    assert 2500 <= words <= 6000


@each_chapter
def test_it_has_the_spine_of_the_book(path: Path) -> None:
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    number = int(path.stem[:2])
    assert re.search(rf"(?m)^# {number}\. ", text)
    sections = re.findall(rf"(?m)^## {number}\.(\d+) ", text)
    assert [int(s) for s in sections] == list(range(1, len(sections) + 1)) and len(sections) >= 7
    assert "Su Jianlin" in text and "kexue.fm/archives/" in text
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", text), "the date of the article"
    assert not re.search(r"(?m)^:::|^```\{|\{(ref|numref|eq|doc|cite|math)\}`", text), (
        "reads in plain JupyterLab"
    )
    assert not re.search(r"(?i)\b(obviously|simply|it is easy to see|trivially)\b", text)


@each_chapter
def test_its_claims_are_many_named_once_and_none_failed(path: Path) -> None:
    found = claims.from_notebook(path)
    assert len(found) >= 12
    assert len({claim.name for claim in found}) == len(found)
    assert {claim.verdict for claim in found} >= {"confirmed", "refuted"}
    assert all(claim.verdict != "failed" for claim in found)
    assert any("article" in claim.source for claim in found)
    tables = [o for o in outputs(path) if "kexue-claims" in o.get("data", {}).get("text/html", "")]
    assert len(tables) == 1 and tables[0].data["text/html"].count("<tr class=") == len(found)


@each_chapter
def test_its_figures_are_numbered_in_order_and_have_words(path: Path) -> None:
    numbers, pictures = [], 0
    for cell in cells(path, "code"):
        for output in cell.outputs:
            data = output.get("data", {})
            assert "image/png" not in data, "figures are drawn by kexue_lite.plotting"
            if "image/svg+xml" in data or "kexue-animation" in data.get("text/html", ""):
                pictures += 1
                assert output.metadata["alt"].strip()
            numbers += re.findall(r"^\*\*Figure (\d+\.\d+)\.\*\*", data.get("text/markdown", ""))
    chapter = int(path.stem[:2])
    assert numbers == [f"{chapter}.{k + 1}" for k in range(pictures)] and pictures >= 5


@each_chapter
def test_it_has_exercises_with_checkers(path: Path) -> None:
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    headings = re.findall(r"\*\*Exercise (\d+\.\d+)", text)
    checked = "\n".join(o.text for o in outputs(path) if o.get("name") == "stdout")
    asked = set(re.findall(r"Exercise (\d+\.\d+): no answer yet", checked))
    solved = set(re.findall(r"Exercise (\d+\.\d+): right", checked))
    assert len(headings) >= 6 and asked == set(headings)
    assert len(solved) >= 3 and solved <= asked
    assert not re.search(r"Exercise \d+\.\d+: not yet", checked)


@each_chapter
def test_it_seeds_in_one_visible_line_and_names_no_path_of_a_machine(path: Path) -> None:
    source = "\n".join(cell.source for cell in cells(path, "code"))
    assert source.count("seed_everything(") == 1
    assert not re.search(r"/(home|Users|root|tmp|work)/\w", path.read_text(encoding="utf-8"))


def prose(source: str) -> str:
    """Markdown without what only looks like a result: addresses, numbers of sections and equations."""
    source = re.sub(r"\]\([^)]*\)|https?://\S+|arXiv:\S+", "]", source)
    source = re.sub(r"(?m)^#+ [\d.]+", "", source)
    source = re.sub(r"\\tag\{[^}]*\}|\(\d+\.\d+[a-z]?\)", "", source)
    names = (
        r"[Ff]igures?|[Ee]xercises?|[Ss]ections?|[Ee]quations?|[Cc]hapters?|[Tt]ables?|Python|and|to|–|,|§"
    )
    return re.sub(rf"(?:{names})\s*\d+\.\d+[a-z]?\b(?=[\s.,;:)*'’]|$)", "", source)


def numbers(text: str) -> set[float]:
    text = re.sub(r"(?<=\d),(?=\d{3})|(?<=\d)\\,(?=\d{3})|(?<=\d)\{,\}(?=\d{3})", "", text)
    found = {float(n) for n in re.findall(r"\d+\.?\d*(?:e[-+]?\d+)?", text)}
    return found | {x / 100 for x in found}  # 61.5 % and 0.615 are one number


def results(text: str) -> list[str]:
    """The numbers of the prose that only a measurement can give: decimals, and whole numbers above 200."""
    text = re.sub(r"(?<=\d)(?:,|\{,\}|\\,)(?=\d{3})", "", text)
    text = re.sub(r"\b(1[6-9]|20)\d\d(-\d\d){0,2}\b", "", text)  # years and dates
    whole = [n for n in re.findall(r"(?<![\d.])\d{3,}(?!\d|\.\d)", text) if int(n) > 200]
    return re.findall(r"(?<![\d.])\d+\.\d+(?!\d|\.\d)", text) + whole


def unsupported(path: Path) -> list[str]:
    known = set()
    for cell in cells(path, "code"):
        known |= numbers(cell.source)
        for output in cell.outputs:
            data = output.get("data", {})
            texts = [output.get("text", "")] + [v for k, v in data.items() if k.startswith("text/")]
            claim = data.get(claims.MIME, {})
            known |= numbers(
                " ".join([*texts, str(claim.get("measured", "")), str(claim.get("without", ""))])
            )
    missing = []
    for cell in cells(path, "markdown"):
        for number in results(prose(cell.source)):
            digits = len(number.partition(".")[2])
            near = 0.5000001 * 10**-digits
            scales = (1, 1e-3, 1e-6) if "." in number else (1,)
            if not any(abs(x * s - float(number)) <= near for x in known for s in scales):
                missing.append(number)
    return missing


@each_chapter
def test_every_number_in_the_prose_comes_from_a_cell(path: Path) -> None:
    assert unsupported(path) == []


def write(path: Path, *built: nbformat.NotebookNode) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=list(built)), path)
    return path


def test_an_invented_number_would_be_found(tmp_path: Path) -> None:
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    output = nbformat.v4.new_output("stream", text="the ratio is 1.18544, of 14712 words 61.46 %")
    book = write(
        tmp_path / "n.ipynb",
        markdown(
            "As section 1.2 and (1.3) say, it is 1.185 times, or $14{,}712$ words, 61.5 %, not 1.21 or 523."
        ),
        code("print(1)", outputs=[output]),
    )
    assert unsupported(book) == ["1.21", "523"]


def run_nbval(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    command += ["-c", str(ROOT / "pyproject.toml"), "--confcutdir", str(ROOT), "-p", "conftest"]
    command += [
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with",
        str(Path(__file__).with_name("sanitize.cfg")),
    ]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, cwd=ROOT)


CLAIM = "from kexue_lite.claims import check\ncheck('c', 'it is small', {measured}, at_most={bound})"


def executed(path: Path, source: str) -> nbformat.NotebookNode:
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", record_timing=False).execute()
    nbformat.write(notebook, path)
    return notebook


def test_a_stored_output_must_be_fresh_but_for_measured_digits(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    notebook = executed(path, CLAIM.format(measured=0.25, bound=1) + "\nprint('three words here')")
    assert run_nbval(path).returncode == 0
    fresh = nbformat.writes(notebook)
    for old, new, passes in [("0.25", "0.26", True), ("≤ 1", "≤ 2", False), ("three", "four", False)]:
        stale = nbformat.reads(fresh, as_version=4)
        stored = json.dumps(stale.cells[0].outputs, ensure_ascii=False)
        assert old in stored
        stale.cells[0].outputs = [nbformat.from_dict(o) for o in json.loads(stored.replace(old, new))]
        nbformat.write(stale, path)
        assert (run_nbval(path).returncode == 0) is passes, (old, new)


def test_a_failing_bound_fails_the_run(tmp_path: Path) -> None:
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match="claim 'c' failed"):
        executed(tmp_path / "n.ipynb", CLAIM.format(measured=2, bound=1))
    notebook = executed(tmp_path / "n.ipynb", CLAIM.format(measured=0.5, bound=1))
    notebook.cells[0].metadata["tags"] = ["nbval-ignore-output"]
    notebook.cells[0].source = CLAIM.format(measured=2, bound=1)
    nbformat.write(notebook, tmp_path / "n.ipynb")
    failed = run_nbval(tmp_path / "n.ipynb")
    assert failed.returncode == 1 and "claim 'c' failed" in failed.stdout
