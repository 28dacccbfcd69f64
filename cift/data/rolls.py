"""Which contract of a future is the front one, day by day, from what was known before the day.

| rule | the front moves on |
|---|---|
| "volume" | with the day after one on which a later contract traded more |
| "open_interest" | with the second day after one that a later contract ended with more: a figure is published during the next day |
| "expiry-5d" | with the first day that begins five times 24 hours before the expiry, or later |
| a table of dates | on its dates |

A day is a session of the exchange's calendar, from its opening to the next one's, or a UTC day of a market that never closes. The
front never moves back, and always before the day on which it expires.
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from cift.data.columns import RawColumns
from cift.domain.calendar import ALWAYS_OPEN, sessions
from cift.domain.instrument import Instrument
from cift.domain.moment import DAY_NS, EPOCH, time_ns
from cift.domain.schemas import ACTION_CODES
from cift.errors import DataError, InvalidParameter, UnknownSymbol

MONTHS = "FGHJKMNQUVXZ"
"""Letters of the delivery months, January to December."""
CONTRACT = re.compile(rf"(?P<root>.+)(?P<month>[{MONTHS}])(?P<year>\d{{1,4}})\.(?P<venue>.+)")
RULES = ("volume", "open_interest", "expiry-<n>d")

NEXT_WITHIN_NS = 31 * DAY_NS
"""A market opens again within so long; where its calendar ends before that, the last day ends with its close."""


@dataclass(frozen=True)
class Day:
    """One trading day: from its beginning to that of the next."""

    date: dt.date
    start_ns: int
    end_ns: int


def trading_days(calendar: str, first_ns: int, last_ns: int) -> list[Day]:
    """The days that a period touches, without gaps.

    Raises:
        InvalidParameter: where the calendar does not reach there.
    """
    if calendar == ALWAYS_OPEN:
        starts = list(range(first_ns // DAY_NS * DAY_NS, last_ns + 1, DAY_NS))
        labels, end = [_date(start) for start in starts], starts[-1] + DAY_NS
    else:
        # The last day ends with the next opening, whether or not anything is stored of what follows.
        found = sessions(calendar, first_ns, last_ns + NEXT_WITHIN_NS) or sessions(calendar, first_ns, last_ns + 1)
        if found is None:
            raise InvalidParameter(f"the calendar {calendar} does not reach to these days; use instruments of '24/7'")
        begun = int(np.searchsorted(found.opens_ns, last_ns, side="right"))
        starts, closes = found.opens_ns[:begun].tolist(), found.closes_ns[:begun].tolist()
        labels = [_date(close) for close in closes]
        end = max([last_ns + 1, *closes, *found.opens_ns[begun : begun + 1].tolist()])
        if starts:
            starts[0] = min(starts[0], first_ns)  # what came before the first opening belongs to that day
        else:
            starts, labels = [first_ns], [_date(first_ns)]
    ends = [*starts[1:], end]
    return [Day(date, start, end) for date, start, end in zip(labels, starts, ends, strict=True)]


def _date(ts_ns: int) -> dt.date:
    return (EPOCH + dt.timedelta(microseconds=ts_ns // 1_000)).date()


def contracts_of(root: str, instruments: Mapping[str, Instrument], firsts: Mapping[str, int]) -> list[Instrument]:
    """The contracts of a root that have rows, the first to expire first.

    Args:
        root: "ES", or "ES.XCME" where several venues list it.
        firsts: the time of the first row of each symbol that has some.

    Raises:
        UnknownSymbol: there are none. InvalidParameter: they are of several venues.
    """
    name, _, venue = root.partition(".")
    found: list[tuple[tuple[int, int], Instrument]] = []
    venues = set()
    for symbol, first_ns in firsts.items():
        match = CONTRACT.fullmatch(symbol)
        if match is None or match["root"] != name or (venue and match["venue"] != venue):
            continue
        venues.add(match["venue"])
        found.append((_delivery(match["month"], match["year"], first_ns), instruments[symbol]))
    if not found:
        raise UnknownSymbol(
            f"the catalog holds no contracts of {root}, such as {name}H6 or {name}Z2026 with a venue; pass contracts="
        )
    if len(venues) > 1:
        listing = ", ".join(f"{name}.{each}" for each in sorted(venues))
        raise InvalidParameter(f"contracts of {root} are listed at several venues; ask for one of {listing}")
    found.sort(key=lambda one: (one[0], one[1].symbol))
    return [instrument for _, instrument in found]


def _delivery(month: str, year: str, first_ns: int) -> tuple[int, int]:
    """Year and month of delivery; of an abbreviated year, the first that is not before the first row."""
    first = _date(first_ns)
    number = MONTHS.index(month) + 1
    whole, period = int(year), 10 ** len(year)
    if len(year) < 4:
        whole += (first.year - whole) // period * period
        while (whole, number) < (first.year, first.month):
            whole += period
    return whole, number


def lots_by_day(instrument: Instrument, pieces: Iterator[RawColumns], days: Sequence[Day]) -> list[int]:
    """What was printed of an instrument on each day, in lots."""
    starts = np.array([day.start_ns for day in days], dtype=np.int64)
    sums = np.zeros(len(days), dtype=np.int64)
    n, d = instrument.lot_fraction
    for piece in pieces:
        counts = np.ones(len(piece["ts_event"]), dtype=bool)
        if "action" in piece:
            counts = piece["action"] == ACTION_CODES["trade"]
        at = np.searchsorted(starts, piece["ts_event"][counts], side="right") - 1
        lots = np.rint(piece["size"][counts] * (10**d / n)).astype(np.int64)
        np.add.at(sums, at[at >= 0], lots[at >= 0])
    return [int(total) for total in sums]


def daily_figures(frame: Any, name: str, symbols: Sequence[str], days: Sequence[Day]) -> dict[str, list[Decimal | None]]:
    """A column of a frame of `date, symbol` and figures, by symbol and day; None where there is none.

    Raises:
        DataError: a column is missing.
    """
    from cift.data.frames import read_frame

    table = read_frame(frame)
    missing = [column for column in ("date", "symbol", name) if column not in table.column_names]
    if missing:
        raise DataError(f"daily= needs the columns date, symbol and {name}; {missing[0]} is missing")
    told: dict[tuple[dt.date, str], Decimal] = {}
    for row in table.select(["date", "symbol", name]).to_pylist():
        if row[name] is not None:
            told[_date(time_ns(row["date"], "date")[0]), row["symbol"]] = Decimal(str(row[name]))
    return {symbol: [told.get((day.date, symbol)) for day in days] for symbol in symbols}


def fronts_by_table(table: Any, contracts: Sequence[Instrument], days: Sequence[Day]) -> list[int]:
    """The front contract of each day, from a mapping or frame of dates and symbols.

    Raises:
        InvalidParameter: a symbol that is not among the contracts, or a first date after the first day.
    """
    entries = dict(table) if isinstance(table, Mapping) else _entries(table)
    dated = sorted((_date(time_ns(date, "a date of roll")[0]), symbol) for date, symbol in entries.items())
    place = {contract.symbol: at for at, contract in enumerate(contracts)}
    unknown = [symbol for _, symbol in dated if symbol not in place]
    if unknown or not dated:
        raise InvalidParameter(f"the table of roll names {unknown[:1] or 'nothing'}; the contracts are {', '.join(place)}")
    if dated[0][0] > days[0].date:
        raise InvalidParameter(
            f"the table of roll begins on {dated[0][0]}, after the first day {days[0].date}; say which contract is the front there"
        )
    dates = [date for date, _ in dated]
    return [place[dated[bisect_right(dates, day.date) - 1][1]] for day in days]


def _entries(table: Any) -> dict[Any, str]:
    from cift.data.frames import read_frame

    read = read_frame(table)
    if not {"date", "symbol"} <= set(read.column_names):
        raise DataError(f"a table of roll needs the columns date and symbol, not {', '.join(read.column_names)}")
    return {row["date"]: row["symbol"] for row in read.select(["date", "symbol"]).to_pylist()}


def fronts_by_expiry(days_before: int, contracts: Sequence[Instrument], days: Sequence[Day]) -> list[int]:
    """The front contract of each day, by the time to its expiry.

    Raises:
        InvalidParameter: where an expiry is not known.
    """
    unknown = [contract.symbol for contract in contracts[:-1] if contract.expiry is None]
    if unknown:
        raise InvalidParameter(f"the expiry of {', '.join(unknown)} is not known; import definitions, or roll by another rule")
    fronts, at = [], 0
    for day in days:
        while at + 1 < len(contracts) and day.start_ns >= (contracts[at].expiry or 0) - days_before * DAY_NS:
            at += 1
        fronts.append(_live(at, contracts, day))
        at = fronts[-1]
    return fronts


def fronts_by_figures(
    figures: Mapping[str, Sequence[int | Decimal | None]], lag: int, contracts: Sequence[Instrument], days: Sequence[Day]
) -> list[int]:
    """The front contract of each day: the one with the most on the day `lag` days before, among those not before the last front.

    Equal figures leave the front where it is, and so does one that is missing: nothing is known then of which is more. A contract
    whose figures have ended, while those of another go on, has none any more. On the first days it is the first contract that has
    not expired.
    """
    figures = {symbol: _ended(told) for symbol, told in figures.items()}
    fronts, at = [], 0
    for number, day in enumerate(days):
        at = _live(at, contracts, day)
        if number >= lag:
            for later in range(at + 1, len(contracts)):
                front, other = (figures[contracts[each].symbol][number - lag] for each in (at, later))
                if front is not None and other is not None and other > front:
                    at = later
        fronts.append(at)
    return fronts


def _ended(figures: Sequence[int | Decimal | None]) -> list[int | Decimal | None]:
    """The figures of a contract with 0 behind its last one; of a contract without any, as they are."""
    last = max((at for at, figure in enumerate(figures) if figure is not None), default=len(figures))
    return [0 if at > last else figure for at, figure in enumerate(figures)]


def _live(at: int, contracts: Sequence[Instrument], day: Day) -> int:
    """The first contract from `at` on that does not expire before the day is over; the last one at any rate."""
    while at + 1 < len(contracts):
        expiry = contracts[at].expiry
        if expiry is None or expiry >= day.end_ns:
            break
        at += 1
    return at


def parse_expiry_rule(rule: str) -> int:
    """The days of "expiry-5d".

    Raises:
        InvalidParameter: where it is none.
    """
    match = re.fullmatch(r"expiry(?:-(\d{1,3})d)?", rule)
    if match is None:
        raise InvalidParameter(f"roll={rule!r} is not known; choose {', '.join(RULES)}, or give a table of dates and symbols")
    return int(match[1] or 0)
