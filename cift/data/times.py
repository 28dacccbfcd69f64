"""Dates, texts and datetimes as nanoseconds since the epoch, UTC."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from cift.errors import InvalidParameter

DAY_NS = 86_400_000_000_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

TimeLike = str | int | dt.date | dt.datetime | np.datetime64
Session = tuple[str, str, str]
"""Opening time, closing time ("09:30", "16:00") and time zone ("America/New_York"); an end at or before the start is
next day's.
"""


def datetime_ns(value: dt.datetime) -> int:
    """A datetime as nanoseconds since the epoch; a naive one counts as UTC."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
    # pandas' Timestamp is a datetime with nanoseconds beside.
    return (aware - EPOCH) // dt.timedelta(microseconds=1) * 1_000 + int(getattr(value, "nanosecond", 0))


def time_ns(value: TimeLike, name: str) -> tuple[int, bool]:
    """A time given by a user, as nanoseconds since the epoch, and whether it was a lone date.

    Takes dates, ISO texts (up to nanoseconds; an offset or Z is heeded), datetimes, NumPy's datetime64, and whole numbers of
    nanoseconds. What names no zone is UTC.

    Raises:
        InvalidParameter: where it is none of these.
    """
    if isinstance(value, dt.datetime):
        return datetime_ns(value), False
    if isinstance(value, dt.date):
        return datetime_ns(dt.datetime(value.year, value.month, value.day)), True
    if isinstance(value, np.datetime64) and not np.isnat(value):
        return int(value.astype("datetime64[ns]").astype(np.int64)), value.dtype == np.dtype("datetime64[D]")
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value), False
    if isinstance(value, str):
        return _text_ns(value.strip(), name)
    raise InvalidParameter(f"{name} must be a date, an ISO text such as '2026-01-05T14:30', or a datetime, not {value!r}")


def _text_ns(text: str, name: str) -> tuple[int, bool]:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return time_ns(day, name)
    whole, _, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        if len(digits) > 9:
            raise ValueError
        moment = dt.datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError:
        raise InvalidParameter(
            f"{name} {text!r} is not a date or time; write it as '2026-01-05' or '2026-01-05T14:30:00.5+00:00'"
        ) from None
    return datetime_ns(moment) + int(digits.ljust(9, "0")), False


def time_range(start: TimeLike | None, end: TimeLike | None) -> tuple[int | None, int | None]:
    """Start and end (excluded) in nanoseconds; a lone date as the only bound is that day.

    Raises:
        InvalidParameter: where a time cannot be read, or the end is not after the start.
    """
    start_ns, lone = (None, False) if start is None else time_ns(start, "start")
    if end is None:
        return start_ns, start_ns + DAY_NS if lone and start_ns is not None else None
    end_ns, _ = time_ns(end, "end")
    if start_ns is not None and end_ns <= start_ns:
        raise InvalidParameter(f"end {end} must be later than start {start} (the end is excluded; leave it out for one day)")
    return start_ns, end_ns


def iso(ns: int) -> str:
    """Nanoseconds since the epoch as ISO text, UTC."""
    return f"{np.datetime64(ns, 'ns')}Z"


def session_intervals(session: Session, start_ns: int, end_ns: int) -> tuple[tuple[int, int], ...]:
    """The session of each local day between two times, cut to them, in order.

    Raises:
        InvalidParameter: where the session is not two times of day and a zone.
    """
    try:
        opens, closes = (dt.time.fromisoformat(text) for text in session[:2])
        zone = ZoneInfo(session[2])
        if len(session) != 3 or opens.tzinfo is not None or closes.tzinfo is not None:
            raise ValueError
    except (ValueError, TypeError, IndexError, AttributeError, ZoneInfoNotFoundError):
        raise InvalidParameter(
            f"session must be two times of day and a zone, ('09:30', '16:00', 'America/New_York'), not {session!r}"
        ) from None
    intervals: list[tuple[int, int]] = []
    day = (EPOCH + dt.timedelta(microseconds=start_ns // 1_000)).date() - dt.timedelta(days=2)
    last = (EPOCH + dt.timedelta(microseconds=end_ns // 1_000)).date() + dt.timedelta(days=1)
    while day <= last:
        closing_day = day if closes > opens else day + dt.timedelta(days=1)
        opening = datetime_ns(dt.datetime.combine(day, opens, zone))
        closing = datetime_ns(dt.datetime.combine(closing_day, closes, zone))
        first, stop = max(opening, start_ns), min(closing, end_ns)
        if intervals and first < intervals[-1][1]:
            first = intervals[-1][1]
        if first < stop:
            intervals.append((first, stop))
        day += dt.timedelta(days=1)
    return tuple(intervals)
