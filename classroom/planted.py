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


def changed(source: str, *pairs: str) -> str:
    """A right answer with each first text of a pair replaced by the second; ValueError if it is not there.

    >>> changed("x + 1", "+", "-")
    'x - 1\\n'
    """
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        if old not in source:
            raise ValueError(f"{old!r} is not in the answer")
        source = source.replace(old, new)
    return source.strip() + "\n"


def planted(question: str, source: str, *wrong: tuple[str, str, tuple[str, ...]]) -> list[Planted]:
    """Slips in one right answer: for each its name, what must be said, and what is changed in the source."""
    return [Planted(question, slip, changed(source, *pairs), says) for slip, says, pairs in wrong]


def slip(source: str, name: str, says: str, *changes: tuple[str, str]) -> Planted:
    """One slip in the right answer to the question whose function the source defines.

    >>> slip("def f(x):\\n    return x + 1", "sign", "the sign", ("+", "-")).question
    'f'
    """
    answer = changed(source, *(text for pair in changes for text in pair)).rstrip("\n")
    return Planted(source.split("def ")[1].split("(")[0], slip=name, answer=answer, says=says)


def whole(question: str, name: str, says: str, answer: str) -> Planted:
    """A wrong answer that is no slip in the right one."""
    return Planted(question, slip=name, answer=answer.strip(), says=says)
