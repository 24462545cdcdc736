"""Wrong answers of the small assignment."""

from classroom.planted import Planted

_MIX, _CENTRED, _FOLD, _SLOPE = "def mix(a, b):\n", "def centred(x):\n", "def fold(t):\n", "def slope():\n"
PLANTED = [
    Planted("mix", "no ratio", f"{_MIX}    return a + b", "belongs to a"),
    Planted("mix", "ratio at b", f"{_MIX}    return a + RATIO * b", "belongs to a"),
    Planted("mix", "constant", f"{_MIX}    return RATIO", "random numbers"),
    Planted("centred", "rows", f"{_CENTRED}    return x - x.mean(axis=1, keepdims=True)", "each row"),
    Planted("centred", "in place", f"{_CENTRED}    x -= x.mean(axis=0)\n    return x", "in place"),
    Planted("centred", "one mean", f"{_CENTRED}    return x - x.mean()", "not right"),
    Planted("fold", "forwards", f"{_FOLD}    return t + RATIO * t", "backwards"),
    Planted("fold", "first axis", f"{_FOLD}    return t + RATIO * t.flip(0)", "not right"),
    Planted("fold", "no ratio", f"{_FOLD}    return t + t.flip(-1)", "not right"),
    Planted("largest", "smallest", "largest = float(TABLE.min())", "not right"),
    Planted("largest", "a row", "largest = TABLE.max(axis=0)", "a number"),
    Planted("largest", "constant", "largest = 0.5", "not right"),
    Planted("slope", "not derived", f'{_SLOPE}    return f"{{RATIO}} * x**3"', "not right"),
    Planted("slope", "no number", f'{_SLOPE}    return "x**2"', "not right"),
    Planted("slope", "a caret", f'{_SLOPE}    return f"{{3 * RATIO}} * x^2"', "alone"),
]
