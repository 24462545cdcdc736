"""Values that cross between the student's process and the trusted one: JSON, and nothing but JSON.

Numbers, strings, booleans, None, lists, tuples, dictionaries, sets, numpy arrays and torch tensors. No
pickle: what comes out of :func:`decode` is of these types alone, whatever the other side wrote. This file
stands alone, because the student's process has it, too.
"""

import base64
import json
import math
import sys
from collections.abc import Callable
from typing import Any

LARGEST = 64 << 20  # bytes of a message: an answer over 64 MB costs its author that answer
PARTS = (
    2_000_000  # elements of lists and dictionaries in one message: they take 30 times their text in memory
)
TEXT = 1_000_000  # letters of one text
KEYS = 10_000  # of a set or a dictionary: keys that were chosen to collide cost their square
DEPTH = 50  # of lists in lists

_TORCH_BY_BITS = {"bfloat16": "int16"}  # numpy does not know it: its bits travel


class NotPlain(TypeError):
    """A value that is none of those which may cross."""


def encode(value: Any, depth: int = DEPTH) -> Any:
    """What JSON says of a value.

    >>> encode((1, 2.5))
    {'tuple': [1, 2.5]}
    >>> decode(encode({"a": [True, None, 1j]}))
    {'a': [True, None, 1j]}
    >>> encode(len)  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    NotPlain: a value of type builtin_function_or_method cannot be handed in: numbers, text, ... can
    """
    if depth < 0:
        raise NotPlain(f"lists may lie at most {DEPTH} deep in one another")
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is list:
        return [encode(part, depth - 1) for part in value]
    if kind in (tuple, set, frozenset):
        return {"tuple" if kind is tuple else "set": [encode(part, depth - 1) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(k, depth - 1), encode(v, depth - 1)] for k, v in value.items()]}
    numpy, torch, sympy = (sys.modules.get(name) for name in ("numpy", "torch", "sympy"))
    if torch is not None and isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        name = str(tensor.dtype).removeprefix("torch.")
        if name in _TORCH_BY_BITS:
            tensor = tensor.view(getattr(torch, _TORCH_BY_BITS[name]))
        return {"torch": name, **_array(tensor.numpy())}
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return {"numpy": value.dtype.str, **_array(numpy.asarray(value))}
    if sympy is not None and isinstance(value, sympy.Basic):
        return str(value)  # a formula is handed in as its text
    raise NotPlain(
        f"a value of type {kind.__name__} cannot be handed in: numbers, text, lists and arrays can"
    )


def _array(array: Any) -> dict:
    if array.dtype.kind not in "biufc":
        raise NotPlain(f"an array of {array.dtype} cannot be handed in: numbers can")
    if array.nbytes > LARGEST:
        raise NotPlain(f"an array of {array.nbytes >> 20} MB is too large: {LARGEST >> 20} MB are allowed")
    return {"shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


def decode(said: Any) -> Any:
    """The value of which JSON says this.

    Raises ValueError for anything that :func:`encode` does not write.

    >>> decode({"numpy": "<f8", "shape": [2], "data": "AAAAAAAA8D8AAAAAAAAAQA=="})
    array([1., 2.])
    >>> decode({"numpy": "O", "shape": [1], "data": ""})
    Traceback (most recent call last):
    ValueError: no array of numbers: 'O'
    """
    try:
        return _decoded(said)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no value: {error}") from None


def _decoded(said: Any) -> Any:
    if said is None or isinstance(said, bool | int | float):
        return said
    if isinstance(said, str):
        if len(said) > TEXT:
            raise ValueError(f"a text of {len(said):,} letters")
        return said.encode(
            "utf-8", "replace"
        ).decode()  # half a letter would stop whoever writes it to a file
    if isinstance(said, list):
        return [_decoded(part) for part in said]
    if isinstance(said, dict):
        match said:
            case {"complex": [float() | int() as real, float() | int() as imag]}:
                return complex(real, imag)
            case {"tuple": list() as parts}:
                return tuple(_decoded(part) for part in parts)
            case {"set": list() as parts}:
                return _hashed(set, [_decoded(part) for part in parts])
            case {"dict": list() as pairs} if all(isinstance(p, list) and len(p) == 2 for p in pairs):
                return _hashed(dict, [(_decoded(k), _decoded(v)) for k, v in pairs])
            case {"numpy": str() as dtype, "shape": list() as shape, "data": str() as data}:
                return _as_array(dtype, shape, data)
            case {"torch": str() as name, "shape": list() as shape, "data": str() as data}:
                return _as_tensor(name, shape, data)
    raise ValueError(f"no value: {str(said)[:60]}")


def _hashed(kind: Callable[[list], Any], parts: list) -> Any:
    if len(parts) > KEYS:
        raise ValueError(f"more than {KEYS:,} keys")
    try:
        return kind(parts)
    except TypeError:
        raise ValueError("a list cannot be a key") from None


def _as_array(dtype: str, shape: list, data: str) -> Any:
    import numpy as np

    if dtype[:1] not in "<>|=" or dtype[1:] not in {
        "b1",
        "i1",
        "i2",
        "i4",
        "i8",
        "u1",
        "u2",
        "u4",
        "u8",
        "f2",
        "f4",
        "f8",
        "c8",
        "c16",
    }:
        raise ValueError(f"no array of numbers: {dtype!r}")
    if not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 32:
        raise ValueError(f"no shape: {str(shape)[:60]}")
    kind, raw = np.dtype(dtype), base64.b64decode(data)
    if math.prod(shape) * kind.itemsize != len(raw):
        raise ValueError(f"an array of shape {str(shape)[:60]} has another number of bytes")
    array = np.frombuffer(raw, dtype=np.uint8 if kind.kind == "b" else kind).reshape(shape).astype(kind)
    return array if shape else array[()]


def _as_tensor(name: str, shape: list, data: str) -> Any:
    import torch

    bits = _TORCH_BY_BITS.get(name, name)
    if bits not in {"bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
                    "complex64", "complex128"}:  # fmt: skip
        raise ValueError(f"no tensor of numbers: {name!r}")
    code = {"bool": "|b1", "uint8": "|u1", "int8": "|i1"}.get(bits)
    if code is None:
        letter = {"i": "i", "f": "f", "c": "c"}[bits[0]]
        code = f"<{letter}{int(''.join(filter(str.isdigit, bits))) // 8}"
    tensor = torch.as_tensor(_as_array(code, shape, data))
    return tensor.view(getattr(torch, name)) if name in _TORCH_BY_BITS else tensor


def to_bytes(message: dict) -> bytes:
    """A message, its length before it.

    >>> to_bytes({"ok": True})
    b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x0c{"ok": true}'
    """
    text = json.dumps(message).encode()
    if len(text) > LARGEST:
        raise NotPlain(f"{len(text) >> 20} MB are too much for one answer: {LARGEST >> 20} MB are allowed")
    return len(text).to_bytes(8, "big") + text


def from_bytes(text: bytes) -> dict:
    """The message that a text holds; ValueError if it holds none, or one that would fill the memory.

    >>> from_bytes(b'{"ok": true}')
    {'ok': True}
    """
    if text.count(b",") + text.count(b"[") + text.count(b"{") > PARTS:
        raise ValueError(f"more than {PARTS:,} elements")
    try:
        message = json.loads(text)
    except RecursionError:
        raise ValueError("lists too deep in one another") from None
    if not isinstance(message, dict):
        raise ValueError("no message")
    return message
