"""The documentation corpus: the quick scan against `ast`, the cache and what can happen to it, the split."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from pathlib import Path

import pytest

from kexue_lite.data import Corpus, documentation_corpus
from kexue_lite.data import documentation as room
from kexue_lite.data.documentation import LIBRARIES, tokenise
from kexue_lite.data.scan import docstrings


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """A cache of its own, and a build that returns a small corpus and counts how often it is asked to."""
    built: list[int] = []

    def build() -> Corpus:
        built.append(1)
        return Corpus([["one", "two"], ["três"]], ["numpy", "torch"])

    monkeypatch.setenv("KEXUE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(room, "build_corpus", build)
    return built


def by_ast(source: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_scan_finds_what_the_parser_finds(library: str) -> None:
    expected: Counter[str] = Counter()
    scanned: Counter[str] = Counter()
    for path in room._sources(library)[::15]:
        source = path.read_bytes().decode("utf-8", errors="replace")
        try:
            parsed = by_ast(source)
        except (SyntaxError, ValueError):
            continue
        if (
            "add_newdoc" not in source and "add_docstr" not in source
        ):  # those strings are no docstrings to ast
            expected.update(parsed)
            scanned.update(docstrings(source))
    assert expected.total() > 100
    assert (expected & scanned).total() >= 0.99 * max(expected.total(), scanned.total())


@pytest.mark.parametrize(
    "source",
    [
        '"""Module."""\nx = 1\n"""no"""\n',
        '# comment\n\n"""Module\nof two lines."""\n',
        "'Module.'\n",
        "def f(a,\n      b=(1, 2),  # comment: with a colon\n      ) -> dict[str, int]:\n    '''Doc.'''\n",
        'class A:\n    r"""Raw \\alpha."""\n    x = """no"""\n    def f(self):\n        "Short."\n',
        'def f():\n    """Say \\"\\"\\" and \\\\"""\n',
        'def f():\n    # comment\n\n    """Late."""\n',
        'async def f():\n    """Async."""\n    if x:\n        """no"""\n',
        'def f():\n    x = """not\n    def g():\n        \'no\'\n    """\n',
        'def f():\n    """A.\n\n    >>> def g():\n    ...     \'inner\'\n    """\n',
        "def f():\n    pass\n",
        "",
    ],
)
def test_each_form_of_docstring(source: str) -> None:
    assert sorted(docstrings(source)) == sorted(by_ast(source))


def test_strings_added_to_compiled_functions_count() -> None:
    source = "add_newdoc('numpy', 'a', '''First.''')\nadd_docstr_all('b', r'''Second.''')\nx = '''no'''\n"
    assert docstrings(source) == ["First.", "Second."]
    from importlib.util import find_spec

    torch_docs = Path(find_spec("torch").submodule_search_locations[0]) / "_torch_docs.py"  # type: ignore
    assert len(docstrings(torch_docs.read_text(encoding="utf-8"))) > 300


@pytest.mark.parametrize("source", ['"""never closed', "'''", "def f(:\n'", "\\", "\0"])
def test_text_that_is_no_python_is_survived(source: str) -> None:
    docstrings(source)


def test_words() -> None:
    assert tokenise("It's Schrödinger's n_fft=512, 'quoted'.") == [
        "it's",
        "schrödinger's",
        "n",
        "fft",
        "quoted",
    ]


def test_the_corpus_has_its_size_and_no_duplicates() -> None:
    corpus = documentation_corpus()
    assert 40_000 < len(corpus) < 60_000 and 3_000_000 < corpus.words < 4_000_000
    assert set(corpus.libraries) == set(LIBRARIES)
    assert all(corpus.documents) and len({" ".join(d) for d in corpus.documents}) == len(corpus)


def test_the_cache_is_used(small: list[int]) -> None:
    first, second = documentation_corpus(), documentation_corpus()
    assert first == second and len(small) == 1


@pytest.mark.parametrize("damage", [b"", b"no gzip", None])
def test_a_damaged_cache_is_built_again(small: list[int], tmp_path: Path, damage: bytes | None) -> None:
    whole = documentation_corpus()
    (path,) = (tmp_path / "cache").glob("documentation-*")
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    with pytest.warns(UserWarning, match="damaged"):
        assert documentation_corpus() == whole
    assert documentation_corpus() == whole and len(small) == 2


def test_a_cache_of_other_versions_is_not_used(small: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    documentation_corpus()
    monkeypatch.setattr(room.importlib.metadata, "version", lambda name: "0.0")
    documentation_corpus()
    assert len(small) == 2


def test_a_cache_that_cannot_be_written_costs_a_warning(
    small: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KEXUE_CACHE", str(tmp_path / "file" / "below"))
    with pytest.warns(UserWarning, match="KEXUE_CACHE"):
        assert len(documentation_corpus()) == 2


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        room._key()


def test_the_split_is_a_seeded_partition() -> None:
    corpus = Corpus([[str(i)] for i in range(100)], ["a", "b"] * 50)
    train, held_out = corpus.split(0.2)
    assert len(train) == 80 and len(held_out) == 20
    assert sorted(train.documents + held_out.documents) == sorted(corpus.documents)
    assert corpus.split(0.2) == (train, held_out) and corpus.split(0.2, seed=1) != (train, held_out)
    for part in (train, held_out):
        assert part.libraries == [corpus.libraries[int(words[0])] for words in part.documents]


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan"), 0.001])
def test_a_split_without_sense_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="held_out"):
        Corpus([["a"]] * 10, ["x"] * 10).split(share)


def test_a_corpus_needs_a_library_for_each_document() -> None:
    with pytest.raises(ValueError, match="libraries"):
        Corpus([["a"]], [])
