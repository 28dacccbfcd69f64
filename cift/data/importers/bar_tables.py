"""Tables of bars (OHLCV): their columns by the names that vendors give them, and both times of a bar from its one stamp.

| column | found under, in any case |
|---|---|
| the stamp | ts_event, ts, timestamp, datetime, time, date, t, ts_open, open_time |
| open, high, low, close | their name, or o, h, l, c |
| volume | volume, vol, v |
| count | count, trade_count, trades, number_of_trades, n |
| vwap | vwap, vw |

A close adjusted for splits or dividends ("Adj Close") is left out: prices are stored as they were paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cift.data.column_names import ours_to_theirs
from cift.data.columns import Array
from cift.data.times import DAY_NS, iso
from cift.domain.bar_spec import BarSpec
from cift.domain.calendar import ALWAYS_OPEN, trading_days
from cift.errors import DataError, InvalidParameter, UnknownName

STAMP = "ts_event"
"""Under this name the one stamp of a table is kept."""
NAMES: Final[dict[str, tuple[str, ...]]] = {
    STAMP: ("ts_event", "ts", "timestamp", "datetime", "time", "date", "t", "ts_open", "open_time"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v"),
    "count": ("count", "trade_count", "trades", "number_of_trades", "n"),
    "vwap": ("vwap", "vw"),
    "symbol": ("symbol",),
}
MAY_LACK: Final = frozenset({"volume", "count", "vwap", "symbol"})


def bar_columns(header: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Which columns of a table hold what of its bars: our name -> theirs; `ts_open` only where there are two stamps.

    Raises:
        DataError: one is missing, or two could be the stamp; the message shows what was found.
        UnknownName: `columns` names what is not there.
    """
    known = ("ts_open", *NAMES)
    read = ours_to_theirs(columns, known, header)
    given = dict(columns) if read is None else read
    for ours, theirs in given.items():
        if ours not in known:
            raise UnknownName(f"columns= names {ours!r}; bars have {', '.join(known)}")
        if theirs not in header:
            raise UnknownName(f"columns= says {ours!r} is {theirs!r}, which is not among {', '.join(header)}")
    found = dict(given)
    lowered: dict[str, str] = {}
    for name in header:
        lowered.setdefault(name.strip().lower().replace(" ", "_"), name)
    if not {"ts_open", STAMP} & found.keys():
        if {"ts_open", STAMP} <= lowered.keys():
            found["ts_open"], found[STAMP] = lowered["ts_open"], lowered[STAMP]
        elif {"date", "time"} <= lowered.keys():
            raise DataError(f"{lowered['date']!r} and {lowered['time']!r} are a stamp in two columns; put them into one")
    elif STAMP not in found:
        found[STAMP] = found.pop("ts_open")
    for ours, spellings in NAMES.items():
        for spelling in spellings:
            if ours not in found and spelling in lowered:
                found[ours] = lowered[spelling]
        if ours not in found and ours not in MAY_LACK:
            shown = ", ".join(repr(name) for name in header)
            raise DataError(f"column {ours!r} missing; found {shown}; pass columns={{{ours!r}: '...'}}")
    return found


@dataclass
class Stamps:
    """How a table stamps its bars.

    Args:
        spec: what ended them.
        stamp: "open" or "close", which end of a bar its stamp is.
        zone: whose midnight begins a date that names no zone.
        calendar: the instrument's; a bar of "1d" is a session of an exchange.

    Raises:
        InvalidParameter: a spec or stamp that is none.
    """

    spec: BarSpec
    stamp: str = "open"
    zone: str = "UTC"
    calendar: str = ALWAYS_OPEN

    def __post_init__(self) -> None:
        if self.stamp not in ("open", "close"):
            raise InvalidParameter(f"stamp must be 'open' or 'close', the end of the bar that its time is, not {self.stamp!r}")

    @property
    def _by_session(self) -> bool:
        return self.spec.name == "1d" and self.calendar != ALWAYS_OPEN

    @property
    def note(self) -> str:
        """What was assumed, for the report."""
        if self._by_session:
            return f"each bar is that of the session of its date, by the calendar {self.calendar}"
        if self.stamp == "open":
            return "each stamp is taken as the beginning of its bar; where it is the end, pass stamp='close', or all is one bar late"
        return "each stamp is taken as the end of its bar, as stamp='close' says"

    def check(self) -> None:
        """Refuses a spec whose bars have no length that the other time could be computed from.

        Raises:
            InvalidParameter: it is no span of time.
        """
        if self.spec.kind != "time":
            raise InvalidParameter(
                f"bars of {self.spec.name} have no fixed length, so one stamp does not tell when they began; name both columns: "
                "columns={'ts_open': '...', 'ts_event': '...'}"
            )

    def both(self, stamps: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
        """When each bar began and ended.

        Args:
            stamps: timestamps, UTC.
        Raises:
            DataError: a stamp is missing, or a bar is of a day without a session.
        """
        if stamps.null_count:
            raise DataError("a bar has no stamp; its time must be known in every row")
        ns = np.asarray(stamps.cast(pa.int64()))
        if self._by_session and len(ns):
            opened, closed = self._sessions(ns)
        elif self.stamp == "open":
            opened, closed = ns, ns + int(self.spec.threshold)
        else:
            opened, closed = ns - int(self.spec.threshold), ns
        kind = pa.timestamp("ns", tz="UTC")
        return pa.array(opened).cast(kind), pa.array(closed).cast(kind)

    def _sessions(self, ns: Array) -> tuple[Array, Array]:
        found = trading_days(self.calendar, int(ns.min()), int(ns.max()))
        if found is None:
            raise DataError(f"the calendar {self.calendar} does not reach to these days; pass calendar='24/7'")
        # Midnight as the table's zone counts it is a date; any other instant has the date that it has at the exchange.
        here, there = local_ns(ns, self.zone), local_ns(ns, found.zone)
        days = np.where(here % DAY_NS == 0, here, there) // DAY_NS
        at = np.minimum(np.searchsorted(found.days, days), len(found.days) - 1)
        missing = np.flatnonzero(found.days[at] != days)
        if len(missing):
            shown = iso(int(days[missing[0]]) * DAY_NS)[:10]
            raise DataError(f"{self.calendar} has no session on {shown}; pass calendar='24/7' if such bars are meant")
        return found.opens_ns[at], found.closes_ns[at]


def local_ns(ns: Array, zone: str) -> Array:
    """Times of a zone's clock, in ns since its own 1970, for instants in UTC."""
    ZoneInfo(zone)
    local = pc.local_timestamp(pa.array(ns).cast(pa.timestamp("ns", tz=zone)))
    return np.asarray(local.cast(pa.int64()))
