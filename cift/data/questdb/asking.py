"""Questions that the server answers itself: bars, last records, trades with their quotes.

They see the rows that `QuestDB.ticks` sees: those of days that were loaded in full. A day that is half there is refused, and so
is one of which the server holds more or fewer rows than were loaded; rows on days that nobody loaded are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cift.data.questdb.feeds import between, check_rows, slices
from cift.data.questdb.tables import (
    BY_SPEC,
    DayRecord,
    column_types,
    has_tables,
    last_days,
    not_those,
    read_days,
    refuse_partial,
)
from cift.data.questdb.texts import KnownSymbol, identifier, is_one_of, known_symbol, literal, of_kind, span
from cift.data.questdb.transport import Transport
from cift.data.times import DAY_NS
from cift.domain.chunk import SchemaName
from cift.domain.duration import Duration, duration_ns
from cift.domain.schemas import check_schema
from cift.errors import InvalidParameter, NotSupported, UnknownSymbol

if TYPE_CHECKING:
    import polars as pl

FRAME_SLICE_ROWS = 524_288
"""Rows of a part of a frame: all of it is kept, so larger parts than a feed's save the server some work."""


def frame(
    transport: Transport,
    schema: str,
    symbol: str,
    start_ns: int | None,
    end_ns: int | None,
    columns: Sequence[str] | None,
    spec: str | None,
) -> pl.DataFrame:
    """See `QuestDB.frame`."""
    import polars as pl
    import pyarrow as pa

    kind = check_schema(schema)
    types = column_types(kind)
    names = list(types if columns is None else columns)
    quoted = [identifier(name, types, "column") for name in names if name != "symbol"]
    if not names:
        raise InvalidParameter(f"columns= names none of {', '.join(types)}")
    if (kind in BY_SPEC) != (spec is not None):
        raise InvalidParameter(f"spec= says which bars, such as '1m'; {kind} {'need it' if kind in BY_SPEC else 'have none'}")
    held = _held(transport, kind, symbol, start_ns, end_ns, spec=spec)
    # Bars go by when they began; the server keeps them by when they ended.
    ends = ((">=", start_ns), ("<", end_ns)) if kind in BY_SPEC else ()
    begun = [f"ts_open {sign} {literal(time_ns)}" for sign, time_ns in ends if time_ns is not None]
    # The symbol is known: asking for it would be a fifth of the server's work.
    asked = ", ".join(quoted or ["sequence"])
    parts = slices(transport, held.known, held.days, held.intervals, asked, FRAME_SLICE_ROWS, begun)
    tables = [table for _, table in parts]
    if not tables:
        tables = [transport.export(f'select {asked} from "{kind}" where false')]
    found = _polars(pa.concat_tables(tables, promote_options="none"))
    return found.select(pl.lit(symbol).alias(name) if name == "symbol" else pl.col(name) for name in names)


def ohlcv(transport: Transport, symbol: str, start_ns: int | None, end_ns: int | None, every: Duration) -> pl.DataFrame:
    """See `QuestDB.ohlcv`."""
    import polars as pl

    step = span(every)
    held = _held(transport, "trades", symbol, start_ns, end_ns)
    frame = _polars(
        transport.export(
            "select ts_event ts_open, first(price) open, max(price) high, min(price) low, last(price) close, "
            "sum(size) volume, count() count, sum(price * size) / sum(size) vwap "
            f'from "trades" where {held.condition} sample by {step} align to calendar'
        )
    )
    ends = pl.col("ts_open") + pl.duration(nanoseconds=duration_ns(every, "every"))
    return frame.select("ts_open", ends.alias("ts_event"), pl.exclude("ts_open"))


def latest(transport: Transport, symbols: Sequence[str] | None, schema: str) -> pl.DataFrame:
    """See `QuestDB.latest`."""
    import polars as pl

    kind = check_schema(schema)
    if kind in BY_SPEC:
        raise NotSupported(f"the latest of {kind} is not asked for by schema alone; take the last row of frame({kind!r}, ...)")
    if not has_tables(transport):
        raise UnknownSymbol("the server holds no symbol: nothing was loaded yet; call load() first")
    if symbols is None:
        days = last_days(transport, kind)
    else:
        days = [_days(transport, kind, symbol)[1][-1] for symbol in dict.fromkeys(symbols)]
    refuse_partial(days)
    by_day: dict[int, dict[str, DayRecord]] = {}
    for day in days:
        by_day.setdefault(day.day_ns, {})[day.symbol] = day
    frames = []
    for day_ns, records in by_day.items():
        # The names are the server's own, or it was asked about them.
        condition = f"{is_one_of('symbol', [KnownSymbol(name) for name in records])} and {between(day_ns, day_ns + DAY_NS)}"
        frame = _polars(transport.export(f'select * from "{kind}" where {condition} latest on ts_event partition by symbol'))
        found = dict(zip(frame["symbol"], frame["sequence"], strict=True))
        for name, day in records.items():
            if found.get(name) != day.rows - 1:
                raise not_those(day, f"the last sequence is {found.get(name)}, {day.rows - 1} was loaded")
        frames.append(frame)
    if not frames:
        raise UnknownSymbol(f"the server holds no {kind}: load some first")
    return pl.concat(frames).sort("symbol")


def asof(transport: Transport, symbol: str, start_ns: int | None, end_ns: int | None) -> pl.DataFrame:
    """See `QuestDB.asof`."""
    prints = _held(transport, "trades", symbol, start_ns, end_ns)
    # The quote that stood at the start may be of any day before it.
    quotes = _held(transport, "quotes", symbol, start_ns, end_ns, and_before=True)
    # A quote of the print's own nanosecond may be what the print left behind: LT JOIN takes none of them, ASOF JOIN would. Of quotes
    # of one time it takes the last that it comes to, and the server may keep those in another order than they were sent in.
    found = transport.export(
        "select t.ts_event, t.price, t.size, t.aggressor, t.trade_id, t.sequence, "
        "q.bid_price, q.bid_size, q.ask_price, q.ask_size, q.ts_event ts_quote "
        f'from (select * from "trades" where {prints.condition}) t '
        f'lt join ((select * from "quotes" where {quotes.condition} order by ts_event, sequence) timestamp(ts_event)) q'
    )
    return _polars(found).sort("ts_event", "sequence")


# ------------------------------------------------------------------ what was loaded


@dataclass(frozen=True)
class _Held:
    """Days of one symbol and schema that are there in full, and the time that is asked about."""

    known: KnownSymbol
    days: tuple[DayRecord, ...]
    intervals: tuple[tuple[int, int], ...]

    @property
    def condition(self) -> str:
        """The condition that selects the rows."""
        if not self.intervals:
            return "false"
        # Of these two bounds the server makes a range of its index; of alternatives it does not.
        condition = f"{of_kind(self.known, self.days[0].spec)} and {between(self.intervals[0][0], self.intervals[-1][1])}"
        if len(self.intervals) > 1:
            condition += " and (" + " or ".join(f"({between(*interval)})" for interval in self.intervals) + ")"
        return condition


def _held(
    transport: Transport,
    kind: SchemaName,
    symbol: str,
    start_ns: int | None,
    end_ns: int | None,
    *,
    and_before: bool = False,
    spec: str | None = None,
) -> _Held:
    """The days of a symbol that have time from start to end; `and_before` adds the last one in front of them, whole. Of bars they are
    whole, and the one behind is among them.

    Raises:
        UnknownSymbol: where none was ever loaded.
        CatalogError: one of them is not loaded in full.
        CorruptData: the server holds more or fewer rows of one than were loaded.
    """
    known, every = _days(transport, kind, symbol, spec)
    days = [day for day in every if day.touches(start_ns, end_ns)]
    if kind in BY_SPEC and end_ns is not None:
        # The last bar may have ended on any day behind.
        days += [day for day in every if day.day_ns >= end_ns][:1]
        end_ns = None
    if and_before and start_ns is not None:
        days = [day for day in every if day.day_ns + DAY_NS <= start_ns][-1:] + days
        start_ns = None
    refuse_partial(days)
    check_rows(transport, known, days)
    intervals: list[tuple[int, int]] = []
    for day in days:
        begin = day.day_ns if start_ns is None else max(start_ns, day.day_ns)
        end = day.day_ns + DAY_NS if end_ns is None else min(end_ns, day.day_ns + DAY_NS)
        if intervals and intervals[-1][1] == begin:
            begin = intervals.pop()[0]
        intervals.append((begin, end))
    return _Held(known, tuple(days), tuple(intervals))


def _days(transport: Transport, kind: SchemaName, symbol: str, spec: str | None = None) -> tuple[KnownSymbol, list[DayRecord]]:
    if not has_tables(transport):
        raise UnknownSymbol(f"{symbol} is not on the server: nothing was loaded yet; call load() first")
    known = known_symbol(transport, '"days"', '"symbol"', symbol)
    held = read_days(transport, symbol)
    days = [day for day in held if (day.schema, day.spec) == (kind, spec)]
    if not days:
        there = ", ".join(dict.fromkeys(day.dataset for day in held))
        wanted = kind if spec is None else f"{kind}/{spec}"
        raise UnknownSymbol(f"the server holds no {wanted} of {symbol}, only {there}; load them first")
    return known, days


def _polars(table: Any) -> pl.DataFrame:
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
