"""Chapter 4: counts, pointwise mutual information, singular vectors, word2vec as a matrix factorisation."""

from kexue_lite.embeddings.vectors import WordVectors

__all__ = ["WordVectors"]
