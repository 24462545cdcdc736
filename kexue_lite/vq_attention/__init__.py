"""Attention in linear time, by keys that are quantised: the room of chapter 8.

With K̂ = ΔC, one row of Δ being the one-hot assignment of one key to one of the S rows of the codebook C,

    exp(Q K̂ᵀ) V = exp(Q Cᵀ) (Δᵀ V),

and ΔᵀV is a sum that runs: T tokens cost T·S instead of T².

=========================  ===============================================================================
`vq_attention`             the fast form: two near blocks key by key, all before them code by code
`quadratic_vq_attention`   its readable twin, with the full T × T matrix of scores
`nearest_codes`            Δ, as the number of the nearest code of each key
`VectorQuantizer`          C as a moving average of the keys, with k-means as its start
`VQState`                  token by token, with a state of fixed size
`LanguageModel`            of characters: full, quantised or windowed attention; `LanguageSettings` say which
`train_language`           trains one; `nats_per_character` scores it
`start_from_full`          from a trained model with full attention to quantised keys, by k-means alone
`write`                    goes on with a text, with states of fixed size
`RecallTask`               planted pairs, asked for at the end of a stream: a task that needs a long memory
`train_recall`             a `RecallModel` for it, from random weights; `recall_score` asks it
=========================  ===============================================================================

The source is Su Jianlin, article 9844 of kexue.fm (2023), on Transformer-VQ (Lingle, arXiv:2309.16354).
"""

from .attention import quadratic_vq_attention, vq_attention
from .characters import Characters, documentation_text
from .language import LanguageModel, start_from_full
from .mixers import LanguageSettings, full_attention, window_attention
from .quantizer import COMMITMENT, Quantized, VectorQuantizer, nearest_codes
from .reading import LanguageRecipe, TrainedLanguage, nats_per_character, train_language
from .recall import RecallTask, Stream
from .recall_model import (
    RecallModel,
    RecallRecipe,
    RecallScore,
    TrainedRecall,
    memory_bytes,
    recall_score,
    train_recall,
)
from .state import VQState
from .writing import Writer, write

__all__ = [
    "COMMITMENT",
    "Characters",
    "LanguageModel",
    "LanguageRecipe",
    "LanguageSettings",
    "Quantized",
    "RecallModel",
    "RecallRecipe",
    "RecallScore",
    "RecallTask",
    "Stream",
    "TrainedLanguage",
    "TrainedRecall",
    "VQState",
    "VectorQuantizer",
    "Writer",
    "documentation_text",
    "full_attention",
    "memory_bytes",
    "nats_per_character",
    "nearest_codes",
    "quadratic_vq_attention",
    "recall_score",
    "start_from_full",
    "train_language",
    "train_recall",
    "vq_attention",
    "window_attention",
    "write",
]
