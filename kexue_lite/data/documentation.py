"""The documentation corpus: what the scientific libraries of this very environment say about themselves.

Real English text that needs no download: the docstrings of Python's standard library, numpy, scipy,
scikit-learn, sympy, matplotlib and torch. Source files are read as text (see `scan`), nothing is imported.

A *word* is a run of letters, lower-cased, with an inner apostrophe kept ("don't"). Numbers, punctuation and
the underscores of names are boundaries, so ``n_components`` is two words: names are made of words that mean
the same in prose. Format placeholders such as ``{input}`` are dropped. A *document* is one docstring; those
that are equal as lists of words are kept once, so that a held-out docstring is never a copy of one that was
trained on.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.util
import platform
import re
import sysconfig
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kexue_lite.data import scan
from kexue_lite.data.cache import cache_folder, write_whole

# Import name and, where it differs, the name under which the distribution is installed.
LIBRARIES = ("python", "numpy", "scipy", "sklearn", "sympy", "matplotlib", "torch")
_DISTRIBUTION = {"sklearn": "scikit-learn"}
# Parts of the standard library that many systems leave out or package apart.
_OPTIONAL = {"site-packages", "dist-packages", "test", "idlelib", "turtledemo", "ensurepip"}
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_PLACEHOLDER = re.compile(r"\{\w*\}")


@dataclass(frozen=True)
class Corpus:
    """Documents as lists of words, and which library each is from.

    Attributes
    ----------
    documents
        N lists of words, none empty.
    libraries
        N import names.

    Examples
    --------
    >>> corpus = Corpus([["a", "plot"], ["an", "array"], ["a", "tensor"]], ["matplotlib", "numpy", "torch"])
    >>> train, held_out = corpus.split(0.34)
    >>> len(train), len(held_out), corpus.words
    (2, 1, 6)
    """

    documents: list[list[str]]
    libraries: list[str]

    def __post_init__(self) -> None:
        if len(self.documents) != len(self.libraries):
            raise ValueError(
                f"libraries must name one library for each of the {len(self.documents)} documents, "
                f"got {len(self.libraries)}"
            )

    def __len__(self) -> int:
        return len(self.documents)

    def __repr__(self) -> str:
        return f"Corpus({len(self):,} documents, {self.words:,} words, {len(set(self.libraries))} libraries)"

    @property
    def words(self) -> int:
        """Number of running words."""
        return sum(map(len, self.documents))

    def split(self, held_out: float = 0.1, *, seed: int = 0) -> tuple[Corpus, Corpus]:
        """Two corpora, the second with the share `held_out` of the documents, drawn with a seed.

        Both keep the order of the documents. Whole documents are drawn: no document is in both.

        Raises
        ------
        ValueError
            If `held_out` does not lie strictly between 0 and 1, or a part would be empty.
        """
        if not 0 < held_out < 1:
            raise ValueError(f"held_out must lie strictly between 0 and 1, got {held_out}")
        count = round(held_out * len(self))
        if not 0 < count < len(self):
            raise ValueError(f"held_out={held_out} leaves a part of the {len(self)} documents empty")
        drawn = np.zeros(len(self), bool)
        drawn[np.random.default_rng(seed).permutation(len(self))[:count]] = True
        return self._part(~drawn), self._part(drawn)

    def _part(self, keep: np.ndarray) -> Corpus:
        rows = np.flatnonzero(keep)
        return Corpus([self.documents[i] for i in rows], [self.libraries[i] for i in rows])


def documentation_corpus() -> Corpus:
    """The docstrings of the installed scientific libraries: about 49,000 documents, 3.4 million words.

    Built in seconds on first use, then read from the cache (`KEXUE_CACHE`). The cache is keyed on the
    versions of the libraries and on the code that reads them; a damaged file is built anew; a cache that
    cannot be written costs a warning and the time to build again. The same environment gives the same
    corpus everywhere. See chapter 4, section 4.1.

    Returns
    -------
    Corpus
        Documents in the order of `LIBRARIES`, then of file names, then of the text.

    Raises
    ------
    ModuleNotFoundError
        If one of the libraries is not installed; the message names it.

    Examples
    --------
    >>> corpus = documentation_corpus()
    >>> len(corpus) > 40_000 and corpus.words > 3_000_000
    True
    >>> sorted(set(corpus.libraries)) == sorted(LIBRARIES)
    True
    """
    path = cache_folder() / f"documentation-{_key()}.txt.gz"
    try:
        return _decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, EOFError, zlib.error, ValueError) as error:
        warnings.warn(f"the cached corpus {path} is damaged ({error}) and is built again", stacklevel=2)
    corpus = build_corpus()
    try:
        write_whole(path, _encode(corpus))
    except OSError as error:
        warnings.warn(
            f"the corpus could not be cached in {path} ({error}): set KEXUE_CACHE to a writable folder",
            stacklevel=2,
        )
    return corpus


def tokenise(text: str) -> list[str]:
    """Words of a text: runs of letters in lower case, inner apostrophes kept.

    Examples
    --------
    >>> tokenise("Don't sort `n_components` of the 3-D array; see {input}.")
    ["don't", 'sort', 'n', 'components', 'of', 'the', 'd', 'array', 'see']
    """
    if "{" in text:
        text = _PLACEHOLDER.sub(" ", text)
    return _WORD.findall(text.lower())


def build_corpus() -> Corpus:
    """`documentation_corpus` without the cache."""
    from tqdm import tqdm

    files = [(library, path) for library in LIBRARIES for path in _sources(library)]
    documents: list[list[str]] = []
    libraries: list[str] = []
    seen: set[str] = set()
    same: dict[str, str] = {}  # one object for each word: 3.4 million references instead of strings
    # disable=None: a bar in a terminal, silence in a notebook or a log.
    for library, path in tqdm(files, desc="reading docstrings", unit="file", delay=1, disable=None):
        try:
            source = path.read_bytes().decode("utf-8", errors="replace")
        except OSError:
            continue  # a file that vanished or cannot be read is no reason to give up the other 7,000
        for docstring in scan.docstrings(source):
            words = [same.setdefault(word, word) for word in tokenise(docstring)]
            text = " ".join(words)
            if words and text not in seen:
                seen.add(text)
                documents.append(words)
                libraries.append(library)
    return Corpus(documents, libraries)


def _root(library: str) -> Path:
    if library == "python":
        return Path(sysconfig.get_paths()["stdlib"])
    spec = importlib.util.find_spec(library)  # of a top-level package: finds without importing
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"the documentation corpus needs {library}, which is not installed: pip install "
            f"{_DISTRIBUTION.get(library, library)}"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _sources(library: str) -> list[Path]:
    root = _root(library)
    files = root.rglob("*.py")
    if library == "python":
        files = (path for path in files if _OPTIONAL.isdisjoint(path.relative_to(root).parts))
    return sorted(files, key=lambda path: path.relative_to(root).as_posix())


def _key() -> str:
    versions = [platform.python_version()]
    for library in LIBRARIES[1:]:
        _root(library)
        versions.append(importlib.metadata.version(_DISTRIBUTION.get(library, library)))
    code = b"".join(Path(file).read_bytes() for file in (__file__, scan.__file__))
    return hashlib.sha256(" ".join(versions).encode() + code).hexdigest()[:16]


def _encode(corpus: Corpus) -> bytes:
    """Text, one document a line, with the number of documents at the head; gzip adds a checksum."""
    lines = [f"{lib}\t{' '.join(doc)}" for lib, doc in zip(corpus.libraries, corpus.documents, strict=True)]
    return gzip.compress("\n".join([str(len(corpus)), *lines]).encode(), compresslevel=1, mtime=0)


def _decode(content: bytes) -> Corpus:
    count, *lines = gzip.decompress(content).decode().split("\n")
    if int(count) != len(lines):
        raise ValueError(f"{len(lines)} documents instead of {count}")
    documents, libraries = [], []
    same: dict[str, str] = {}
    for line in lines:
        library, _, text = line.partition("\t")
        documents.append([same.setdefault(word, word) for word in text.split(" ")])
        libraries.append(same.setdefault(library, library))
    return Corpus(documents, libraries)
