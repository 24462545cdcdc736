"""Data sets: what is in installed packages, what is made by code, and what is downloaded and verified.

Nothing happens at import. What a chapter needs by default is in an installed package (`digits`,
`documentation_corpus`); the other loaders download a file the first time they are called, see `fetch`.
"""

from kexue_lite.data.documentation import Corpus, documentation_corpus
from kexue_lite.data.images import Images, digits, mnist_test
from kexue_lite.data.registry import REGISTRY, DataUnavailableError, fetch
from kexue_lite.data.texts import Texts, analogy_questions, chnsenticorp, sst2, tinyshakespeare, wordsim353

__all__ = [
    "REGISTRY",
    "Corpus",
    "DataUnavailableError",
    "Images",
    "Texts",
    "analogy_questions",
    "chnsenticorp",
    "digits",
    "documentation_corpus",
    "fetch",
    "mnist_test",
    "sst2",
    "tinyshakespeare",
    "wordsim353",
]
