"""How the checks of an assignment speak: what was expected, what came, and which slip it looks like.

This file is copied into every assignment that is handed out, so that a student needs nothing else. It must
stand alone, stay short, and know no answer.
"""

import ast
import re

import numpy as np


def expect(given, right, within=1e-9, slips=None, what="the answer", hint="Compare with the section named."):
    """Raise an AssertionError in plain words unless ``given`` is ``right`` to ``within`` (absolute).

    ``slips`` maps a sentence to the wrong value that it explains.

    >>> expect([1.0, 2.0], [1.0, 2.0])
    >>> expect(0.5, 2.0, slips={"It is upside down.": 0.5})
    Traceback (most recent call last):
    AssertionError: the answer is not right yet. It is upside down.
    """
    right = _numbers(right, what)
    if given is None:
        raise AssertionError(
            f"{what}: nothing came back. Is there a return, and are the three dots replaced?"
        )
    given = _numbers(given, what)
    if given.shape != right.shape:
        raise AssertionError(f"{what}: shape {right.shape} is expected, got {given.shape}.")
    if not np.isfinite(given).all():
        raise AssertionError(f"{what} has NaN or infinity in it. Find the first step that makes it.")
    if np.abs(given - right).max(initial=0) <= within:
        return
    for sentence, wrong in (slips or {}).items():
        wrong = _numbers(wrong, what)
        if wrong.shape == given.shape and np.abs(given - wrong).max(initial=0) <= max(within, 1e-9):
            raise AssertionError(f"{what} is not right yet. {sentence}")
    if np.abs(given - right).max() <= 1e-3 * max(1, np.abs(right).max()):
        hint = f"It is very near: is something rounded, or an approximation? {hint}"
    raise AssertionError(f"{what} is not right yet. {hint}")


def need(true, sentence):
    """Raise an AssertionError with the sentence unless it is true.

    >>> need(2 > 1, "Two is more than one.")
    """
    if not bool(true):
        raise AssertionError(sentence)


def several(given, *names):
    """The parts of an answer that has several, a sequence or an array with as many rows as names.

    >>> several((1, 2), "the slope", "the height")
    (1, 2)
    >>> len(several(np.eye(2), "the slope", "the height"))
    2
    >>> several(3, "the slope", "the height")
    Traceback (most recent call last):
    AssertionError: 2 things are to be returned, in this order: the slope, the height.
    """
    row = isinstance(given, tuple | list) or getattr(given, "ndim", 0) > 0
    true = row and len(given) == len(names)
    need(true, f"{len(names)} things are to be returned, in this order: {', '.join(names)}.")
    return given


def unchanged(now, before, what="the input"):
    """Raise an AssertionError if a function has changed what it was given.

    >>> unchanged(np.ones(2), np.ones(2))
    """
    same = np.array_equal(_numbers(now, what), _numbers(before, what), equal_nan=True)
    need(same, f"{what} was changed in place: work on a copy, the caller still needs it.")


def formula(text, names, what="the formula"):
    """The sympy expression of a text that holds numbers, ``names``, + - * / ** and a few functions alone.

    >>> formula("2*x**2 + sin(x)", "x")
    2*x**2 + sin(x)
    >>> formula("open('secret')", "x")
    Traceback (most recent call last):
    AssertionError: the formula may hold numbers, x, + - * / ** and exp, log, sqrt, ... alone; 'open' is
    none of them.
    """
    import sympy

    known = {name: sympy.Symbol(name) for name in names.split()} | {"pi": sympy.pi}
    functions = {name: getattr(sympy, name) for name in _FUNCTIONS}
    operations = {
        ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
        ast.Div: lambda a, b: a / b, ast.Pow: lambda a, b: a**b,
    }  # fmt: skip

    def refuse(part):
        allowed = f"numbers, {', '.join(names.split())}, + - * / ** and exp, log, sqrt, ..."
        raise AssertionError(f"{what} may hold {allowed} alone; {part!r} is none of them.")

    def read(node):
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return sympy.nsimplify(number) if abs(number) < 1e9 else refuse("a number that large")
            case ast.Name(id=name):
                return known[name] if name in known else refuse(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -read(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return read(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in operations:
                left, right = read(left), read(right)
                if isinstance(op, ast.Pow) and right.is_number:
                    bits = int(abs(left.p * left.q)).bit_length() if left.is_Rational else 1
                    if abs(right) > 20 or abs(right) * bits > 2000:
                        refuse("a power that high")
                return operations[type(op)](left, right)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in functions:
                return functions[name](read(argument))
            case ast.Call(func=ast.Name(id=name)):
                return refuse(name)
        return refuse(ast.unparse(node)[:40])

    if not isinstance(text, str) or len(text) > 1000:
        raise AssertionError(f"{what} must be a text of at most 1000 letters, got {type(text).__name__}.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise AssertionError(f"{what} cannot be read as a formula: {text[:80]!r}.") from None
    return read(tree)


_FUNCTIONS = re.findall(r"\w+", "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp log sqrt")


def _has_text(value):
    return isinstance(value, str) or (isinstance(value, list | tuple) and any(map(_has_text, value)))


def _numbers(value, what):
    """An array of what was given, or an AssertionError in plain words."""
    value = value.detach().cpu().double().numpy() if hasattr(value, "detach") else value
    if _has_text(value):
        raise AssertionError(f"{what}: numbers are expected, got text.")
    try:
        value = np.asarray(value)
    except ValueError:
        raise AssertionError(f"{what}: the rows have different lengths.") from None
    if value.dtype.kind not in "biufc":
        raise AssertionError(f"{what}: numbers are expected, got {type(value.tolist()).__name__}.")
    return value.astype(complex if value.dtype.kind == "c" else float)
