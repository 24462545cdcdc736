"""Chapter 4: counts, pointwise mutual information, singular vectors, word2vec as a matrix factorisation."""

from kexue_lite.embeddings.counts import Cooccurrence, cooccurrence, cooccurrence_by_loop, pmi
from kexue_lite.embeddings.evaluation import Evaluation, Score, inflection_analogies
from kexue_lite.embeddings.factorize import factorize_sgns
from kexue_lite.embeddings.sgns import sgns_dense, sgns_gradient, sgns_loss
from kexue_lite.embeddings.skipgram import cbow, skip_gram
from kexue_lite.embeddings.svd import TruncatedSVD, linear_autoencoder, svd_vectors, truncated_svd
from kexue_lite.embeddings.vectors import UnknownWordError, WordVectors

__all__ = [
    "Cooccurrence",
    "Evaluation",
    "Score",
    "TruncatedSVD",
    "UnknownWordError",
    "WordVectors",
    "cbow",
    "cooccurrence",
    "cooccurrence_by_loop",
    "factorize_sgns",
    "inflection_analogies",
    "linear_autoencoder",
    "pmi",
    "sgns_dense",
    "sgns_gradient",
    "sgns_loss",
    "skip_gram",
    "svd_vectors",
    "truncated_svd",
]
