"""When exchanges trade: the sessions of a calendar, by its name.

The rules are those of exchange_calendars. It takes a second and pandas to import, so it is loaded only where sessions are
asked for; names are checked against the lists below, which a test compares with the library's.
"""

from __future__ import annotations

import difflib
import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cift.errors import MissingExtra, UnknownName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALWAYS_OPEN = "24/7"
"""The calendar of a market that never closes; its days end at UTC midnight."""

CALENDARS = (
    ALWAYS_OPEN, "24/5", "AIXK", "ASEX", "BVMF", "CMES", "IEPA", "XAMS", "XASX", "XBDA", "XBEL", "XBKK", "XBOG", "XBOM", "XBRA",
    "XBRU", "XBSE", "XBUD", "XBUE", "XCBF", "XCSE", "XCYS", "XDUB", "XDUS", "XEEE", "XETR", "XEUR", "XFRA", "XHAM", "XHEL",
    "XHKG", "XICE", "XIDX", "XIST", "XJSE", "XKAR", "XKLS", "XKRX", "XLIM", "XLIS", "XLIT", "XLJU", "XLON", "XLUX", "XMAD",
    "XMEX", "XMIL", "XMOS", "XNYS", "XNZE", "XOSL", "XPAR", "XPHS", "XPRA", "XRIS", "XSAU", "XSES", "XSGO", "XSHG", "XSTO",
    "XSTU", "XSWX", "XTAE", "XTAI", "XTAL", "XTKS", "XTSE", "XWAR", "XWBO", "XZAG", "us_futures",
)  # fmt: skip
"""The calendars that there are."""

ALIASES = {
    "ARCX": "XNYS", "BATS": "XNYS", "NASDAQ": "XNYS", "NYSE": "XNYS", "OOTC": "XNYS", "XASE": "XNYS", "XNAS": "XNYS",
    "CBOT": "CMES", "CME": "CMES", "COMEX": "CMES", "NYMEX": "CMES", "ICE": "IEPA", "ICEUS": "IEPA", "NYFE": "IEPA",
    "ASX": "XASX", "BMF": "BVMF", "BSE": "XBOM", "BVB": "XBSE", "CFE": "XCBF", "FWB": "XFRA", "HKEX": "XHKG", "JKT": "XIDX",
    "JPX": "XTKS", "LSE": "XLON", "LUXSE": "XLUX", "OSE": "XOSL", "SIX": "XSWX", "SSE": "XSHG", "TASE": "XTAE", "TSX": "XTSE",
    "XTSX": "XTSE",
}  # fmt: skip
"""Other names, and the calendar that each stands for."""


def calendar_name(name: str) -> str:
    """The calendar that a name stands for: "NASDAQ" and "XNAS" are "XNYS", whose sessions they share.

    Raises:
        UnknownName: with the nearest name as a suggestion.
    """
    if name in CALENDARS:
        return name
    if isinstance(name, str) and name in ALIASES:
        return ALIASES[name]
    known = {each.upper(): each for each in (*CALENDARS, *ALIASES)}
    near = difflib.get_close_matches(str(name).upper(), known, n=1)
    hint = f"; did you mean {known[near[0]]!r}?" if near else "."
    raise UnknownName(f"calendar {name!r} is not known{hint} Pass '24/7' or the code of an exchange such as 'XNYS'")


def time_zone(calendar: str) -> str:
    """The name of the zone whose midnights part the days of a calendar.

    Raises:
        UnknownName: with the nearest calendar as a suggestion.
        MissingExtra: where the library of calendars is not installed, or cannot compute this one.
    """
    name = calendar_name(calendar)
    if name == ALWAYS_OPEN:
        return "UTC"
    return _zone_of(name)


@lru_cache
def _zone_of(name: str) -> str:
    return str(_years(name, 2024, 2024).tz)  # any year has the zone


def _library() -> Any:
    """The library's `get_calendar`."""
    try:
        from exchange_calendars import get_calendar
    except ImportError as error:
        raise MissingExtra(
            'sessions and zones of exchanges need exchange_calendars: pip install "cift-markets[calendars]"'
        ) from error
    return get_calendar


@dataclass(frozen=True)
class Sessions:
    """The sessions of a calendar that a period touches.

    Attributes:
        opens_ns: when each begins, ns since the epoch, ascending: those that opened before the period's end and close after its
            start.
        closes_ns: when each of them ends.
        per_year: sessions of a year: their mean number over the calendar years that the period touches.
    """

    opens_ns: NDArray[np.int64]
    closes_ns: NDArray[np.int64]
    per_year: float


def sessions(calendar: str, start_ns: int, end_ns: int) -> Sessions | None:
    """The sessions of an exchange's calendar in a period given in ns since the epoch.

    None where the calendar does not reach: some know their holidays from or up to a certain year only.

    Raises:
        UnknownName: with the nearest calendar as a suggestion.
        MissingExtra: where the library of calendars is not installed, or cannot compute this one.
    """
    first, last = _day(start_ns).year, _day(end_ns).year
    # Whole years, to count them. A session has the date of its exchange: one that opens on the evening of 31 December (UTC)
    # and is dated in January is missing from a period that ends on that evening.
    found = _years(calendar, first, last)
    if found is None:
        return None
    closes, opens = found.closes_nanos, found.opens_nanos
    touched = (closes > start_ns) & (opens < end_ns)
    return Sessions(opens[touched], closes[touched], len(closes) / (last - first + 1))


def _years(calendar: str, first: int, last: int) -> Any:
    """The library's calendar of some whole years, or None where it does not reach.

    Raises: as `sessions`.
    """
    get_calendar, name = _library(), calendar_name(calendar)
    try:
        with warnings.catch_warnings():
            # What pandas tells the library's authors is nothing that our users could act on.
            warnings.simplefilter("ignore", DeprecationWarning)
            return get_calendar(name, start=date(first, 1, 1), end=date(last, 12, 31))
    except ValueError:
        return None
    except NotImplementedError as error:  # exchange_calendars 4.13 with pandas 3.1, of four exchanges
        raise MissingExtra(
            f"the calendar {name} cannot be computed by the exchange_calendars and pandas that are installed ({error}); try other "
            "versions of them, or give the instrument another calendar"
        ) from None


def _day(ts_ns: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_ns // 1_000)).date()


@dataclass(frozen=True)
class TradingDays:
    """The sessions of a calendar by the date that its exchange gives them.

    Attributes:
        days: days since the epoch, ascending.
        opens_ns: when the session of each begins, ns since the epoch.
        closes_ns: when it ends.
        zone: the exchange's time zone.
    """

    days: NDArray[np.int64]
    opens_ns: NDArray[np.int64]
    closes_ns: NDArray[np.int64]
    zone: str


def trading_days(calendar: str, start_ns: int, end_ns: int) -> TradingDays | None:
    """The sessions of the years that a period touches; None where the calendar does not reach.

    Raises:
        UnknownName: with the nearest calendar as a suggestion.
        MissingExtra: where the library of calendars is not installed, or cannot compute this one.
    """
    import numpy as np

    # A date may differ by a day from that in UTC.
    first, last = (_day(ts_ns) + timedelta(days=step) for ts_ns, step in ((start_ns, -1), (end_ns, 1)))
    found = _years(calendar, first.year, last.year)
    if found is None:
        return None
    days = np.asarray(found.sessions, dtype="datetime64[D]").astype(np.int64)
    return TradingDays(days, found.opens_nanos, found.closes_nanos, str(found.tz))
