r"""A task that needs a long memory: pairs planted in a stream of filler, and asked for at its end.

A stream of T tokens holds P pairs "name value" at random places among filler words. At its end stand the
questions "? name", and after each the value has to be said. Pairs may lie anywhere, so nearly all of them lie
farther back than any window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from kexue_lite.arguments import whole


class Stream(NamedTuple):
    """What `RecallTask.draw` returns.

    Attributes
    ----------
    tokens
        ``(B, T)``.
    asked
        ``(B, Q)``, the places of the asked names, where the answer is wanted.
    answers
        ``(B, Q)``, numbers of values, 0, ..., M − 1.
    planted
        ``(B, Q)``, the place of the value of the asked pair; of the last one, if there are several.
    rivals
        ``(B, Q, R − 1)``, the other values that were planted with the name.
    """

    tokens: Tensor
    asked: Tensor
    answers: Tensor
    planted: Tensor
    rivals: Tensor


@dataclass(frozen=True)
class RecallTask:
    """The words of the stream: `names`, `values` and `filler` words, and one mark for a question.

    Their tokens are 0, 1, ... in this order. No word of one kind is ever used as one of another.

    Raises
    ------
    ValueError
        For a number below 1.

    Examples
    --------
    >>> task = RecallTask(names=4, values=3, filler=2)
    >>> task.vocabulary
    10
    >>> stream = task.draw(1, 12, pairs=2, questions=1, generator=torch.Generator().manual_seed(3))
    >>> print(task.words(stream.tokens[0]), "->", stream.answers.item())
    . . n2 v0 n0 v2 . , , , ? n0 -> 2
    """

    names: int = 32
    values: int = 32
    filler: int = 16

    def __post_init__(self) -> None:
        for name in ("names", "values", "filler"):
            whole(name, getattr(self, name))

    @property
    def vocabulary(self) -> int:
        """How many different tokens there are."""
        return self.names + self.values + self.filler + 1

    def draw(
        self,
        batch: int,
        length: int,
        *,
        pairs: int = 32,
        questions: int = 32,
        gap: int = 0,
        votes: Sequence[int] = (1,),
        generator: torch.Generator | None = None,
    ) -> Stream:
        """Streams of `length` tokens, `questions` of whose `pairs` names are asked at the end, each once.

        Parameters
        ----------
        gap
            So many tokens before the questions hold filler alone.
        votes
            Each name is planted with so many different values, each value so many times; the first one is the
            answer.

        Raises
        ------
        ValueError
            If there are fewer names than pairs, fewer pairs than questions, fewer values than votes, or too
            little room.
        """
        B, T, P, Q = (
            whole(n, v)
            for n, v in (("batch", batch), ("length", length), ("pairs", pairs), ("questions", questions))
        )
        times = [whole("votes", n) for n in votes]
        R, each = len(times), sum(times)
        for more, name, most, of in ((P, "pairs", self.names, "names"), (Q, "questions", P, "pairs")):
            if more > most:
                raise ValueError(f"{name} must be at most {of} = {most}, got {more}")
        if not 1 <= R <= self.values:
            raise ValueError(f"votes must hold 1 to values = {self.values} numbers, got {R}")
        room = (T - 2 * Q - whole("gap", gap, 0)) // 2
        if room < P * each:
            least = 2 * (P * each + Q) + gap
            raise ValueError(
                f"length must be at least {least}, the tokens of pairs, gap and questions; got {T}"
            )

        def chosen(n: int, k: int) -> Tensor:  # k of 0, ..., n − 1 in random order, (B, k)
            return torch.rand(B, n, generator=generator).argsort(1)[:, :k]

        first = self.names + self.values
        tokens = first + torch.randint(self.filler, (B, T), generator=generator)
        names = chosen(self.names, P)
        values = torch.rand(B, P, self.values, generator=generator).argsort(-1)[..., :R]
        places = 2 * chosen(room, P * each)
        tokens.scatter_(1, places, names.repeat_interleave(each, 1))
        said = values.repeat_interleave(torch.tensor(times), 2).flatten(1)
        tokens.scatter_(1, places + 1, self.names + said)
        which = chosen(P, Q)
        asked = (T - 2 * Q + 1 + 2 * torch.arange(Q)).repeat(B, 1)
        tokens.scatter_(1, asked - 1, torch.full_like(asked, self.vocabulary - 1))
        tokens.scatter_(1, asked, names.gather(1, which))
        planted = (places + 1).view(B, P, each).amax(-1).gather(1, which)
        values = values.gather(1, which[..., None].expand(-1, -1, R))
        return Stream(tokens, asked, values[..., 0], planted, values[..., 1:])

    def words(self, tokens: Tensor) -> str:
        """Tokens ``(T,)`` for the eye: n0, n1, ...; v0, v1, ...; filler is points and commas."""
        signs = [f"n{i}" for i in range(self.names)] + [f"v{i}" for i in range(self.values)]
        signs += [".,"[i % 2] for i in range(self.filler)] + ["?"]
        return " ".join(signs[int(token)] for token in tokens)
