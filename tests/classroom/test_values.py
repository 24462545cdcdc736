"""What may cross between the student's process and the trusted one, and what no message can do."""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from classroom import values


def made(rng: random.Random, depth: int = 3) -> Any:
    """A random value of those that may cross."""
    plain = [None, True, False, rng.randint(-(2**70), 2**70), rng.uniform(-1e300, 1e300), math.inf, -0.0, "",
             "北京\n\x00", 1j, np.float32(1.5), np.int64(7), np.bool_(True)]  # fmt: skip
    shape = tuple(rng.randint(0, 3) for _ in range(rng.randint(0, 3)))
    kind = rng.choice(
        ["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex64", "complex128"]
    )
    array = (np.random.default_rng(rng.randint(0, 9)).normal(size=shape) * 9).astype(kind)
    choices: list[Callable[[], Any]] = [lambda: rng.choice(plain), lambda: np.asarray(array)]
    if kind != "uint16":
        choices.append(lambda: torch.as_tensor(np.asarray(array)))
        choices.append(lambda: torch.randn(shape).to(torch.bfloat16))
    if depth:
        choices += [lambda: [made(rng, depth - 1) for _ in range(rng.randint(0, 3))],
                    lambda: tuple(made(rng, depth - 1) for _ in range(rng.randint(0, 3))),
                    lambda: {rng.choice(["a", 1, (2, 3), None]): made(rng, depth - 1) for _ in range(3)},
                    lambda: {rng.randint(0, 5) for _ in range(3)}]  # fmt: skip
    return rng.choice(choices)()


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal, kinds and all."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, np.ndarray | np.generic):
        return (
            np.asarray(a).dtype == np.asarray(b).dtype
            and np.shape(a) == np.shape(b)
            and np.array_equal(a, b, equal_nan=True)
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_what_crosses_comes_back_the_same() -> None:
    rng = random.Random(0)
    for _ in range(1500):
        value = made(rng)
        crossed = values.from_bytes(values.to_bytes({"v": values.encode(value)})[8:])["v"]
        assert same(value, values.decode(crossed)), value


def malformed(rng: random.Random, depth: int = 4) -> Any:
    """JSON that an attacker might write."""
    text = ["", "|O", "<f8", ">f8", "xf8", "<U9", "|V8", "|b1", "<f8,<f8", "(2,)f8", "float64", "bfloat16",
            "quint8", "AAAA", "AAAAAAAAAAA=", "####", "\ud800", "é", "a" * 50]  # fmt: skip
    whole = [0, 1, 2, -1, 2**31, 2**62, 2**63, 2**64, 10**40, True, 1.5, math.nan, math.inf, None]
    leaf: list[Callable[[], Any]] = [lambda: rng.choice(text), lambda: rng.choice(whole)]
    few = range(rng.randint(0, 3))
    if not depth:
        return rng.choice(leaf)()
    return rng.choice([
        *leaf,
        lambda: [malformed(rng, depth - 1) for _ in few],
        lambda: {rng.choice(NAMES): malformed(rng, depth - 1)},
        lambda: {"dict": [[malformed(rng, depth - 1) for _ in "ab"] for _ in few]},
        lambda: {rng.choice(["numpy", "torch"]): rng.choice(text), "shape": [rng.choice(whole) for _ in few],
                 "data": rng.choice(text)},
    ])()  # fmt: skip


NAMES = ["tuple", "set", "dict", "complex", "numpy", "torch", "x"]
KINDS = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    list,
    tuple,
    dict,
    set,
    np.ndarray,
    np.generic,
    torch.Tensor,
)


def kinds(value: Any) -> bool:
    """Whether a value and all in it are of the kinds that may cross."""
    inside: list = []
    if isinstance(value, dict):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        inside = list(value)
    numbers = not isinstance(value, np.ndarray | np.generic) or value.dtype.kind in "biufc"
    return isinstance(value, KINDS) and numbers and all(map(kinds, inside))


def test_a_malformed_message_is_a_value_or_a_value_error() -> None:
    rng, refused = random.Random(1), 0
    for _ in range(6000):
        said = malformed(rng)
        try:
            assert kinds(values.decode(said))
        except ValueError:
            refused += 1
    assert 1000 < refused < 5900


NO_MESSAGE = [b"", b"{", b"[]", b"1", b"null", b"\xff\xfe", b"[" * 3_000_000, b'{"a":' * 100_000, b"9" * 5000,
              b"\x80\x04N.", b'{"a":' + b"[" * 900_000 + b"]" * 900_000 + b"}", b'{"a":1}x']  # fmt: skip


@pytest.mark.parametrize("text", NO_MESSAGE, ids=range(len(NO_MESSAGE)))
def test_bytes_that_are_no_message_are_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        values.from_bytes(text)


def test_depth_is_a_value_error() -> None:
    for depth in (400, 990, 5000):
        said: Any = 0
        for _ in range(depth):
            said = {"tuple": [said]}
        with contextlib.suppress(ValueError):
            values.decode(said)


def test_chosen_keys_cost_no_time() -> None:
    keys = [k * (2**61 - 1) for k in range(200_000)]
    for said in ({"set": keys}, {"dict": [[k, 0] for k in keys]}, {"set": [{"tuple": [k]} for k in keys]}):
        with pytest.raises(ValueError, match="more than 10,000 keys"):  # refused before they are hashed
            values.decode(said)


def test_a_boolean_is_true_or_false() -> None:
    for kind in ({"numpy": "|b1"}, {"torch": "bool"}):
        odd = values.decode({**kind, "shape": [2], "data": "AgA="})
        assert np.asarray(odd).tobytes() == b"\x01\x00"
        assert (odd == values.decode({**kind, "shape": [2], "data": "AQA="})).all()


def test_what_is_not_plain_does_not_cross() -> None:
    class Number(float):
        pass

    for value in (
        print,
        object(),
        Number(1),
        np.array([object()]),
        np.array(["a"]),
        np.datetime64("2020"),
        b"bytes",
        iter([]),
    ):
        with pytest.raises(values.NotPlain):
            values.encode(value)
    deep: Any = []
    for _ in range(values.DEPTH + 5):
        deep = [deep]
    with pytest.raises(values.NotPlain):
        values.encode(deep)


def test_half_a_letter_can_be_written_to_a_file() -> None:
    for said in ("\ud800", ["\udfff"], {"dict": [["\ud800", "\ud801"]]}):
        json.dumps(str(values.decode(said)), ensure_ascii=False).encode()
