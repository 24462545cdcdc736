"""The extension on a book of three pages, built again and again while its chapter changes."""

from __future__ import annotations

import io
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils
from the_book import ROOT

from kexue_lite.claims import MIME

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "kexue_book"]
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
suppress_warnings = ["mystnb.unknown_mime_type"]
html_theme = "sphinx_book_theme"
"""
SVG = '<svg role="img" aria-label="A dot." viewBox="0 0 9 9"><path id="dot" style="fill: #0072b2"/></svg>'
CLAIM = {
    "name": "a-dot",
    "statement": "there is a dot",
    "measured": 1,
    "bound": "= 1",
    "verdict": "confirmed",
    "source": "ours",
    "condition": "",
    "without": None,
    "finding": "",
}


def picture(svg: str = SVG) -> nbformat.NotebookNode:
    return new_output("display_data", {"image/svg+xml": svg, "text/plain": "Figure: A dot."})


def caption(text: str) -> nbformat.NotebookNode:
    return new_output("display_data", {"text/markdown": text, "text/plain": "caption"})


def claim() -> nbformat.NotebookNode:
    html = '<div class="kexue-claim kexue-confirmed"><b>confirmed</b> there is a `dot`</div>'
    return new_output("display_data", {MIME: CLAIM, "text/html": html, "text/plain": "confirmed"})


class Mini:
    """The small book: `write` its chapter, `build` it, look at a `page`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.html = folder / "source", folder / "html"
        self.folder.mkdir()
        folder = self.folder
        (folder / "conf.py").write_text(CONF)
        (folder / "index.md").write_text(
            "# Mini\n\n```{toctree}\n01_one\napi\n```\n\n{claim}`the dot <a-dot>`\n"
        )
        (folder / "api.md").write_text(
            "# API\n\n```{eval-rst}\n.. automodule:: kexue_lite.claims\n   :members:\n```\n"
        )

    def write(self, text: str, outputs: list[nbformat.NotebookNode]) -> None:
        cells = [new_markdown_cell(text), new_code_cell("1", outputs=outputs)]
        for number, cell in enumerate(cells):
            cell["id"] = f"cell-{number}"
        language = {"name": "python", "pygments_lexer": "ipython3"}
        notebook = new_notebook(cells=cells, metadata={"language_info": language})
        nbformat.write(notebook, self.folder / "01_one.ipynb")

    def build(self) -> str:
        words = io.StringIO()
        folder, html = str(self.folder), str(self.html)
        with (
            patch_docutils(folder),
            docutils_namespace(),
        ):  # as the command does; in this process it is faster
            Sphinx(folder, folder, html, f"{html}/.doctrees", "html", status=words, warning=words).build()
        return words.getvalue()

    def page(self, name: str) -> BeautifulSoup:
        return BeautifulSoup((self.html / name).read_text(), "html.parser")

    def ways_back(self, name: str) -> list[str]:
        entry = self.page("api.html").find(id=f"kexue_lite.claims.{name}")
        assert isinstance(entry, Tag)
        line = entry.find_parent("dl").find(class_="kexue-way-back")  # type: ignore[union-attr]
        return [a.get_text() for a in line.find_all("a")] if isinstance(line, Tag) else []


TEXT = r"""# 1. One

## 1.1 First

Turn `check` and see Figure 1.1. By (1.2) nothing follows from (9.9).

$$ \begin{aligned} a &= b \\ &= c \end{aligned} \tag{1.2} $$

## 1.2 Second

`KEXUE_SCALE`, `nothing_of_ours`. See section 1.1."""


@pytest.fixture
def mini(tmp_path: Path) -> Mini:
    mini = Mini(tmp_path)
    mini.write(TEXT, [picture(), caption("**Figure 1.1.** A *dot*, $r = 4$."), claim()])
    return mini


def test_names_numbers_figures_and_claims_become_places_and_links(mini: Mini) -> None:
    assert "WARNING" not in mini.build()
    page = mini.page("01_one.html")
    links = {a.get_text(): a["href"] for a in page.select("a.kexue-link")}
    assert links == {
        "check": "api.html#kexue_lite.claims.check",
        "Figure 1.1": "#figure-1-1",
        "(1.2)": "#equation-1-2",
        "section 1.1": "#first",
    }
    figure = page.select_one("figure#figure-1-1")
    assert figure is not None and figure.find("img") is None
    assert "var(--kexue-blue" in str(figure.svg) and figure.find(id="figure-1-1-dot")
    assert figure.figcaption is not None and figure.figcaption.get_text().strip().startswith("Figure 1.1.")
    equation = page.find(id="equation-1-2")
    assert (
        equation is not None and r"\begin{split}" not in equation.get_text()
    )  # MathJax has no \tag in split
    assert page.select_one("#claim-a-dot code").get_text() == "dot"  # type: ignore[union-attr]
    assert mini.page("index.html").select_one("a.kexue-link")["href"] == "01_one.html#claim-a-dot"  # type: ignore[index]
    assert mini.ways_back("check") == ["1.1 First"]


def test_pages_that_point_to_a_changed_chapter_are_written_anew(mini: Mini) -> None:
    mini.build()
    moved = TEXT.replace("`check`", "something").replace("`nothing_of_ours`", "`refuted()`")
    mini.write(moved, [picture(), caption("**Figure 1.1.** A dot."), claim()])
    mini.build()
    assert mini.ways_back("check") == []
    assert mini.ways_back("refuted") == ["1.2 Second"]


@pytest.mark.parametrize(
    ("outputs", "warning"),
    [
        ([picture(), claim()], "a figure without a caption"),
        ([picture(), caption("A dot."), claim()], "a figure without a caption"),
        ([picture(), caption("**Figure 1.1.** A dot.")], "there is no claim a-dot"),
    ],
)
def test_what_a_chapter_forgets_is_a_warning(
    mini: Mini, outputs: list[nbformat.NotebookNode], warning: str
) -> None:
    mini.write(TEXT, outputs)
    assert warning in mini.build()
