"""Data sets: what is in installed packages, what is made by code, and what is downloaded and verified.

Nothing happens at import. Whatever a chapter needs by default is in an installed package.
"""

from kexue_lite.data.documentation import Corpus, documentation_corpus

__all__ = ["Corpus", "documentation_corpus"]
