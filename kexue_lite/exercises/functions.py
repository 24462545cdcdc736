"""What the checkers share that judge a reader's *function*: the call, the comparison, the cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from . import _say, judge

EXACT = 1e-9


def called(number: str, answer: Any, takes: str, *arguments: Tensor) -> Any:
    """What the reader's function returns: a tensor or several; None if it was said why there is none.

    Examples
    --------
    >>> called("0.1", lambda x: x[5], "f(x)", torch.ones(2))
    Exercise 0.1: it does not run: IndexError: index 5 is out of bounds for dimension 0 with size 2
    """
    if answer is ...:
        _say(number, "no answer yet. Replace the three dots.")
        return None
    if not callable(answer):
        _say(number, f"a function {takes} is expected.")
        return None
    try:  # a copy: what the function does to its arguments in place is its own affair
        given = answer(*(x if x.requires_grad else x.clone() for x in arguments))
    except Exception as error:  # the reader's own code: whatever it raises is told, not raised
        words = (str(error).splitlines() or ["no word of why"])[0]
        _say(number, f"it does not run: {type(error).__name__}: {words}")
        return None
    if not isinstance(given, Tensor | tuple | list):
        _say(number, f"a tensor is expected from the function, got {type(given).__name__}.")
        return None
    return given


def is_near(given: Any, right: Tensor, tolerance: float = EXACT) -> bool:
    """Whether a thing is a tensor of the right shape with the right numbers.

    Examples
    --------
    >>> is_near(torch.ones(2), torch.ones(2)), is_near(torch.ones(1), torch.ones(2))
    (True, False)
    """
    if not isinstance(given, Tensor) or given.shape != right.shape:
        return False
    return bool(((given.detach() - right.detach()).abs() <= tolerance).all())


def told(number: str, given: Any, right: Tensor, wrong: dict[str, Tensor], hint: str, name: str = "") -> bool:
    """Say what is wrong with a tensor that is not near the right one; False.

    `wrong` has for each hint the value that the slip gives, NaN included; `name` says which tensor it is.

    Examples
    --------
    >>> told("0.1", torch.zeros(1), torch.ones(1), {"That is nothing.": torch.zeros(1)}, "Think.", "x: ")
    Exercise 0.1: not yet. x: That is nothing.
    False
    """
    if not isinstance(given, Tensor):
        return _say(number, f"{name}a tensor is expected, got {type(given).__name__}.")
    for words, value in wrong.items():
        if torch.equal(given.isnan(), value.isnan()) and is_near(given.nan_to_num(0), value.nan_to_num(0)):
            return _say(number, f"not yet. {name}{words}")
    if is_near(given, right, 1e-4):
        return _say(
            number,
            f"not yet. {name}Right to some six digits: something on the way is in float32. Make new tensors "
            "of the arguments' type, as with dtype=q.dtype.",
        )
    return judge(number, given, right.detach().numpy(), tolerance=EXACT, hint=name + hint)


class _Counted(TorchFunctionMode):
    """Counts the numbers in all tensors that functions of torch return, views of others included."""

    total = 0

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, Tensor):
                self.total += one.numel()
        return made


def numbers_made(function: Callable[..., Any], *arguments: Tensor) -> int:
    """How many numbers stand in all the tensors that a function makes: a cost that no clock disturbs.

    Examples
    --------
    >>> x = torch.ones(100)
    >>> numbers_made(lambda x: x + 1, x), numbers_made(lambda x: (x[:, None] * x).sum(), x)
    (100, 10101)
    """
    with _Counted() as counted:
        function(*arguments)
    return max(counted.total, 1)
