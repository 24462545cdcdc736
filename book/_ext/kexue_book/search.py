"""A search language for a book in English with Chinese words in it.

English words are stemmed (Porter). Chinese is written without spaces, so it is indexed by its characters and
by each pair of neighbours: a query is found on the pages that hold all its pairs. Python indexes, JavaScript
splits the query; the two must split alike.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

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
    config.html_show_search_summary = False  # it is fetched page by page, which no browser allows for a file


def setup(app: Sphinx) -> None:
    """Connect to Sphinx."""
    app.add_search_language(BookSearch)
    app.connect("config-inited", _configure)
