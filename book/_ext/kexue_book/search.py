"""A search language for a book in English with Chinese words in it.

English words are stemmed (Porter). Chinese is written without spaces, so it is indexed by its characters and
by each pair of neighbours: a query is found on the pages that hold all its pairs. Python indexes, JavaScript
splits the query; the two must split alike.

Under each hit stands the passage that it found. Sphinx would fetch the page for it, which no browser allows
when the book is opened as a file; so the words of all pages lie in a script that the search page alone loads.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

_CHINESE = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"


class BookSearch(SearchEnglish):
    """English and Chinese.

    Examples
    --------
    >>> BookSearch({}).split("word vectors 词向量")
    ['word', 'vectors', '词', '向', '量', '词向', '向量']
    """

    lang = "kexue"
    language_name = "English and Chinese"
    js_splitter_code = r"""
function splitQuery(query) {
  const chinese = /[RANGE]/, words = [];
  for (const run of query.match(/[RANGE]+|(?:(?![RANGE])[\p{L}\p{N}_])+/gu) || []) {
    if (!chinese.test(run) || run.length === 1) words.push(run);
    else for (let i = 0; i + 1 < run.length; i++) words.push(run.slice(i, i + 2));
  }
  return words;
}
""".replace("RANGE", _CHINESE)

    _runs = re.compile(rf"[{_CHINESE}]+|[^\W{_CHINESE}]+")

    def split(self, input: str) -> list[str]:
        """The words, and of each Chinese run the characters and the pairs."""
        words: list[str] = []
        for run in self._runs.findall(input):
            if re.match(rf"[{_CHINESE}]", run):
                words.extend(run)
                words.extend(a + b for a, b in itertools.pairwise(run))
            else:
                words.append(run)
        return words


def _configure(app: Sphinx, config: Any) -> None:
    config.html_search_language = BookSearch.lang
    config.html_show_search_summary = False


def words_of(doctree: nodes.document) -> str:
    """The running text of a page: neither code nor mathematics nor what is put in as HTML."""
    left_out = (
        nodes.literal_block,
        nodes.doctest_block,
        nodes.raw,
        nodes.math,
        nodes.math_block,
        nodes.comment,
    )
    words: list[str] = []
    block = None
    for text in doctree.findall(nodes.Text):
        around = [text.parent]
        while around[-1].parent is not None:
            around.append(around[-1].parent)
        if not any(isinstance(node, left_out) for node in around):
            holder = next(node for node in around if not isinstance(node, nodes.Inline))
            words.append(text.astext() if holder is block else f" {text.astext()}")
            block = holder
    return re.sub(r"\s+", " ", "".join(words))


def _write_texts(app: Sphinx, failure: Exception | None) -> None:
    if failure is not None or app.builder.format != "html":
        return
    script = Path(app.outdir) / "_static" / "pages.js"
    trees = [Path(app.doctreedir) / f"{docname}.doctree" for docname in app.env.found_docs]
    if script.exists() and all(
        tree.stat().st_mtime < script.stat().st_mtime for tree in trees if tree.exists()
    ):
        return
    texts = {docname: words_of(app.env.get_doctree(docname)) for docname in sorted(app.env.found_docs)}
    script.write_text(f"const KEXUE_PAGES = {json.dumps(texts, ensure_ascii=False)};\n", encoding="utf-8")


def _load_texts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    if page == "search":
        app.add_js_file("pages.js")
        app.add_js_file("search_passages.js")


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.add_search_language(BookSearch)
    app.connect("config-inited", _configure)
    app.connect("html-page-context", _load_texts)
    app.connect("build-finished", _write_texts)
