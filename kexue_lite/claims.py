"""A checked statement: what was claimed, what was measured, the bound, the verdict.

A chapter calls `check` with the number just measured and the bound that it must meet. A line is shown; the
same as data (MIME type `MIME`) goes to the book's ledger; a bound that fails raises `ClaimError`.

==============  =======================================================================================
`check`         *confirmed*: the measured value meets the bound
`conditional`   *conditional*: it meets the bound under a stated condition **and fails it without**
`refuted`       *refuted*: the statement is somebody's, and the bound that is met is that of its negation
==============  =======================================================================================
"""

from __future__ import annotations

import html
import json
import math
import numbers
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

MIME = "application/vnd.kexue.claim+json"
Verdict = Literal["confirmed", "conditional", "refuted", "failed"]
Value = float | int | bool | str

_COLOUR = {"confirmed": "#1a7f37", "conditional": "#9a6700", "refuted": "#bc4c00", "failed": "#cf222e"}
_MARK = {"confirmed": "✓", "conditional": "◐", "refuted": "✗", "failed": "‼"}
_session: dict[str, Claim] = {}


class ClaimError(AssertionError):
    """A measured value that does not meet the bound of its claim."""


@dataclass(frozen=True)
class Claim:
    """One row of the ledger. `bound` is text such as ``≤ 1e-12``; `source` says whose claim it is."""

    name: str
    statement: str
    measured: Value
    bound: str
    verdict: Verdict
    source: str = "ours"
    condition: str = ""
    without: Value | None = None
    finding: str = ""

    @property
    def bound_in_words(self) -> str:
        """The bound in words: that of a refuted claim is the bound of its negation."""
        return f"refuted if {self.bound}" if self.verdict == "refuted" else self.bound

    def _text(self) -> str:
        measured, bound = format_value(self.measured), self.bound_in_words
        if self.verdict == "conditional":
            assert self.without is not None
            return f"{measured} ({bound}) if {self.condition}; {format_value(self.without)} otherwise"
        return f"{measured} ({bound})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        colour = _COLOUR[self.verdict]
        esc = marked_up
        measured = f'<span class="kexue-measured">{esc(format_value(self.measured))}</span>'
        bound = self.bound_in_words if self.verdict == "refuted" else f"bound {self.bound}"
        tail = f"measured <b>{measured}</b>, {esc(bound)}"
        if self.verdict == "conditional":
            assert self.without is not None
            without = f'<span class="kexue-measured">{esc(format_value(self.without))}</span>'
            tail += f" if {esc(self.condition)}; without that: <b>{without}</b>"
        if self.finding:
            tail += f". {esc(self.finding)}"
        line = (
            f'<div class="kexue-claim kexue-{self.verdict}" style="border-left: 4px solid {colour}; '
            f'padding: 0.3em 0.8em; margin: 0.3em 0">'
            f'<b style="color: {colour}">{_MARK[self.verdict]} {self.verdict}</b> '
            f'<span class="kexue-statement">{esc(self.statement)}</span><br>'
            f'<small>{tail} · <span class="kexue-source">{esc(self.source)}</span></small></div>'
        )
        plain = f"{_MARK[self.verdict]} {self.verdict}: {self.statement}\n  measured {self._text()}"
        return {MIME: asdict(self), "text/html": line, "text/plain": plain}


def check(
    name: str,
    statement: str,
    measured: Value,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    equals: Value | None = None,
    tolerance: float | None = None,
    source: str = "ours",
) -> None:
    """Show and record a claim that must hold: `measured` within the bound.

    Parameters
    ----------
    name
        A short name, unique in its chapter, such as ``"brachistochrone-time"``.
    statement
        The claim in one plain sentence.
    measured
        The number (Python, numpy, torch or sympy scalar), truth value or text that was measured.
    at_least, at_most
        Inclusive bounds; both together give an interval.
    equals, tolerance
        The exact value, and the largest absolute distance from it (0 if left out).
    source
        Whose claim it is: ``"article"``, ``"paper (Levy, Goldberg 2014)"``, ``"ours"``, ...

    Raises
    ------
    ClaimError
        If the measured value (NaN included) is out of bounds; the claim is shown as *failed* first.
    TypeError, ValueError
        If no bound is given, or the arguments do not fit each other.

    Examples
    --------
    >>> check("pi", "π is about 3.14", 3.14159, equals=3.14, tolerance=0.01)
    ✓ confirmed: π is about 3.14
      measured 3.142 (= 3.14 ± 0.01)
    >>> check("nan", "NaN is small", float("nan"), at_most=1)
    Traceback (most recent call last):
    ...
    kexue_lite.claims.ClaimError: claim 'nan' failed: NaN is small; measured nan, bound ≤ 1
    """
    bound = _Bound.of(at_least, at_most, equals, tolerance)
    _settle("confirmed", name, statement, measured, bound, source)


def conditional(
    name: str,
    statement: str,
    measured: Value,
    *,
    condition: str,
    without: Value,
    at_least: float | None = None,
    at_most: float | None = None,
    equals: Value | None = None,
    tolerance: float | None = None,
    source: str = "ours",
) -> None:
    """Show and record a claim that holds on a condition: it meets the bound with it, and not without.

    Parameters are those of `check`, and

    condition
        The condition in words, to be read after "if".
    without
        The same quantity measured where the condition does not hold: it must *miss* the bound, for
        otherwise the condition would not be needed.

    Raises
    ------
    ClaimError
        If the measured value misses the bound, or the value without the condition meets it.

    Examples
    --------
    >>> conditional("mean", "the mean is the centre", 0.0, at_most=0.1, condition="there is no outlier",
    ...             without=3.5)
    ◐ conditional: the mean is the centre
      measured 0 (≤ 0.1) if there is no outlier; 3.5 otherwise
    """
    bound = _Bound.of(at_least, at_most, equals, tolerance)
    _text("condition", condition)
    without = _scalar("without", without)
    if isinstance(without, float) and math.isnan(without):
        raise ValueError("without must be a number that misses the bound; NaN was not measured at all")
    if bound.met_by(without):
        raise ClaimError(
            f"claim {name!r} failed: it holds without its condition too ({condition}): {without} {bound}"
        )
    _settle("conditional", name, statement, measured, bound, source, condition=condition, without=without)


def refuted(
    name: str,
    statement: str,
    measured: Value,
    *,
    finding: str,
    at_least: float | None = None,
    at_most: float | None = None,
    equals: Value | None = None,
    tolerance: float | None = None,
    source: str,
) -> None:
    """Show and record that somebody's statement is false: the bound is its negation's, and it is met.

    Parameters are those of `check`, with `source` required, and

    finding
        What is true instead, in one plain sentence.

    Raises
    ------
    ClaimError
        If the negation does not hold.

    Examples
    --------
    >>> refuted("minimum", "f' = 0 is enough for a minimum", -6.0, at_most=-1,
    ...         finding="At a maximum f' is zero too.", source="folklore")
    ✗ refuted: f' = 0 is enough for a minimum
      measured -6 (refuted if ≤ -1)
    """
    bound = _Bound.of(at_least, at_most, equals, tolerance)
    _text("finding", finding)
    _settle("refuted", name, statement, measured, bound, source, finding=finding)


def recorded() -> list[Claim]:
    """All claims this process has checked, in order; a later one of the same name replaces the earlier."""
    return list(_session.values())


class Table:
    """The recorded claims as a table: what the last but one section of each chapter shows."""

    def __init__(self, claims: list[Claim] | None = None) -> None:
        self.claims = recorded() if claims is None else claims

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr class="kexue-{c.verdict}"><td><b style="color: {_COLOUR[c.verdict]}">{_MARK[c.verdict]} '
            f"{c.verdict}</b></td><td>{marked_up(c.statement)}"
            + (f"<br><small>{marked_up(c.finding)}</small>" if c.finding else "")
            + f'</td><td><span class="kexue-measured">{marked_up(c._text())}</span></td>'
            f"<td>{marked_up(c.source)}</td></tr>"
            for c in self.claims
        )
        head = "<tr><th>verdict</th><th>claim</th><th>measured (bound)</th><th>whose</th></tr>"
        return f'<table class="kexue-claims"><thead>{head}</thead><tbody>{rows}</tbody></table>'

    def __repr__(self) -> str:
        verdicts = [c.verdict for c in self.claims]
        return ", ".join(f"{verdicts.count(v)} {v}" for v in ("confirmed", "conditional", "refuted"))


def marked_up(words: str) -> str:
    """Words as HTML: what stands in backticks as code, what stands in asterisks emphasised.

    Examples
    --------
    >>> marked_up("`f` is *not* a < b, and 2 * 3 * 4 is 24")
    '<code>f</code> is <em>not</em> a &lt; b, and 2 * 3 * 4 is 24'
    """
    words = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words))
    return re.sub(r"(?<![\w*])\*(\w[^*]*)\*(?![\w*])", r"<em>\1</em>", words)


def format_value(value: Value) -> str:
    """A measured value as the reader sees it: four significant digits, a long whole number in full.

    Examples
    --------
    >>> format_value(3.14159265), format_value(48123), format_value(True), format_value(1.23456e-13)
    ('3.142', '48,123', 'yes', '1.235e-13')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value


@dataclass(frozen=True)
class _Bound:
    low: float = -math.inf
    high: float = math.inf
    exact: Value | None = None
    tolerance: float = 0.0

    @classmethod
    def of(cls, at_least: Any, at_most: Any, equals: Any, tolerance: Any) -> _Bound:
        if at_least is None and at_most is None and equals is None:
            raise TypeError("a claim needs a bound: at_least=, at_most= or equals=; got none of them")
        if equals is not None and (at_least is not None or at_most is not None):
            raise TypeError("equals= does not go with at_least= or at_most=: give one or the other")
        if tolerance is not None and equals is None:
            raise TypeError("tolerance= goes with equals= alone")
        numbers_ = [("at_least", at_least), ("at_most", at_most), ("tolerance", tolerance)]
        low, high, slack = (None if v is None else _number(k, v) for k, v in numbers_)
        if low is not None and high is not None and low > high:
            raise ValueError(f"at_least must not exceed at_most, got {at_least} and {at_most}")
        if any(v is not None and math.isinf(v) for v in (low, high, slack)):
            raise ValueError("a bound must be finite: an infinite one is met by every number")
        if slack is not None and slack < 0:
            raise ValueError(f"tolerance must be at least 0, got {tolerance}")
        exact = None if equals is None else _scalar("equals", equals)
        if isinstance(exact, bool | str) and slack is not None:
            raise TypeError("tolerance= needs a number in equals=")
        return cls(-math.inf if low is None else low, math.inf if high is None else high, exact, slack or 0.0)

    def met_by(self, value: Value) -> bool:
        if self.exact is None:
            if isinstance(value, bool | str):
                raise TypeError(f"at_least= and at_most= need a number to compare with, got {value!r}")
            return self.low <= value <= self.high  # false for NaN
        if isinstance(self.exact, bool | str) or isinstance(value, bool | str):
            return type(self.exact) is type(value) and self.exact == value
        return abs(value - self.exact) <= self.tolerance

    def __str__(self) -> str:
        if self.exact is not None:
            exact = f"{self.exact:.10g}" if isinstance(self.exact, float) else format_value(self.exact)
            return f"= {exact}" + (f" ± {self.tolerance:g}" if self.tolerance else "")
        if math.isinf(self.low):
            return f"≤ {self.high:.10g}"
        if math.isinf(self.high):
            return f"≥ {self.low:.10g}"
        return f"between {self.low:.10g} and {self.high:.10g}"


def _settle(
    verdict: Verdict, name: str, statement: str, measured: Any, bound: _Bound, source: str, **more: Any
) -> None:
    for argument, words in (("name", name), ("statement", statement), ("source", source)):
        _text(argument, words)
    value = _scalar("measured", measured)
    met = bound.met_by(value)
    claim = Claim(name, statement, value, str(bound), verdict if met else "failed", source, **more)
    _show(claim)
    if not met:
        raise ClaimError(f"claim {name!r} failed: {statement}; measured {format_value(value)}, bound {bound}")
    _session[name] = claim


def _show(claim: Claim) -> None:
    # Outside IPython `display` would print the object; there the plain line is what is wanted.
    from IPython.core.getipython import get_ipython

    if get_ipython() is None:
        print(claim._repr_mimebundle_()["text/plain"])
    else:
        from IPython.display import display

        display(claim)


def _text(argument: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{argument} must be a text that says something, got {value!r}")


def _number(argument: str, value: Any) -> float:
    scalar = _scalar(argument, value)
    if isinstance(scalar, bool | str) or math.isnan(scalar):
        raise TypeError(f"{argument} must be a number, got {value!r}")
    return float(scalar)


def _scalar(argument: str, value: Any) -> Value:
    if hasattr(value, "item"):  # numpy and torch scalars, and arrays of one element
        try:
            value = value.item()
        except (ValueError, RuntimeError) as error:
            shape = tuple(value.shape)
            raise TypeError(
                f"{argument} must be one number, not an array of shape {shape}: say which element or norm"
            ) from error
    if isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) or (hasattr(value, "is_real") and value.is_real):
        return float(value)
    if type(value).__name__ in ("BooleanTrue", "BooleanFalse"):  # sympy's
        return bool(value)
    raise TypeError(f"{argument} must be a number, a truth value or a text, got {type(value).__name__}")


def from_notebook(path: Any) -> list[Claim]:
    """The claims stored in the outputs of a notebook, in order.

    Parameters
    ----------
    path
        An ``.ipynb`` file (format 4).

    Raises
    ------
    ValueError
        If the file is no notebook, or one of its claims is incomplete.
    """
    try:
        with open(path, encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        found = [o["data"][MIME] for c in cells for o in c.get("outputs", []) if MIME in o.get("data", {})]
        return [Claim(**data) for data in found]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"path must be a notebook with complete claims; {path}: {error!r}") from error
