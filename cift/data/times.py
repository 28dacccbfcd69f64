"""Ranges of time and sessions, from what users write; a single moment is read in `cift.domain.moment`."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cift.domain.moment import DAY_NS as DAY_NS
from cift.domain.moment import EPOCH
from cift.domain.moment import TimeLike as TimeLike
from cift.domain.moment import datetime_ns as datetime_ns
from cift.domain.moment import iso as iso
from cift.domain.moment import time_ns as time_ns
from cift.errors import InvalidParameter

Session = tuple[str, str, str]
"""Opening time, closing time ("09:30", "16:00") and time zone ("America/New_York"); an end at or before the start is
next day's.
"""


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
