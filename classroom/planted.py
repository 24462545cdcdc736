"""Wrong answers that students really write: each assignment keeps some, to prove its checks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """A wrong answer, and the words with which it must be rejected.

    >>> Planted("mean", slip="sum", answer="def mean(x):\\n    return sum(x)", says="divide").question
    'mean'
    """

    question: str  # the grade_id of the answer's cell
    slip: str  # what is wrong, in a few words
    answer: str  # the source of the whole cell; {{names}} of the variant may stand in it
    says: str  # what the diagnosis must contain
