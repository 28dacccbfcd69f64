"""Spans of time, as users write them."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from numbers import Integral

from cift.errors import InvalidParameter

NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9}
SPAN_NS_MAX = 2**63 - 1
_TEXT = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h|d)\s*")

Duration = str | timedelta | int


def duration_ns(value: Duration, name: str = "duration") -> int:
    """A span of time in nanoseconds.

    Args:
        value: text such as "250us", "1.5s" or "10m" (ns, us, ms, s, m, h, d), a timedelta, or whole nanoseconds.
    Raises:
        InvalidParameter: where it is none of these, not whole nanoseconds, or longer than 292 years.
    """
    span_ns = _duration_ns(value, name)
    if abs(span_ns) > SPAN_NS_MAX:
        raise InvalidParameter(f"{name} {value!r} is longer than 292 years, which is what 64 bits of nanoseconds hold")
    return span_ns


def _duration_ns(value: Duration, name: str) -> int:
    if isinstance(value, timedelta):
        return ((value.days * 86_400 + value.seconds) * 10**6 + value.microseconds) * 1_000
    # NumPy calls its spans of time whole numbers; they are of any unit.
    if isinstance(value, Integral) and not isinstance(value, bool) and type(value).__name__ != "timedelta64":
        return int(value)
    matched = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        raise InvalidParameter(f"{name} {value!r} is not a span of time; write it like '250us', '1.5s' or '10m'")
    number, unit = matched.groups()
    exact = Decimal(number) * NANOSECONDS[unit.replace("µ", "u")]
    if exact != exact.to_integral_value():
        raise InvalidParameter(f"{name} {value!r} is not a whole number of nanoseconds")
    return int(exact)


def duration_text(span_ns: int) -> str:
    """The shortest text of a span: in the largest unit of which it is a whole number."""
    unit = next(unit for unit, unit_ns in reversed(NANOSECONDS.items()) if span_ns % unit_ns == 0)
    return f"{span_ns // NANOSECONDS[unit]}{unit}"
