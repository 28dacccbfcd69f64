"""Bars of a view's prints or quotes, of a plain frame of prints, and of smaller bars. The core makes them, in ticks and lots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from cift import _sim
from cift.data.columns import Array, RawColumns
from cift.domain.bar_spec import BarSpec
from cift.domain.calendar import ALWAYS_OPEN, sessions
from cift.domain.instrument import Instrument, Number, to_decimal
from cift.domain.moment import iso
from cift.domain.schemas import ACTION_CODES, AGGRESSOR_CODES, NO_TIME_NS, SIDE_CODES
from cift.errors import DataError, InvalidParameter, NoData

if TYPE_CHECKING:
    from cift.data.view import Feed, Ticks
    from cift.domain.chunk import Chunk

PRICES: Final = ("price", "bid", "ask", "mid")
ROWS: Final = 65_536
LONGEST_YEARS: Final = 10
"""Sessions are looked up for so long where a view has no end, or as far as the calendar knows them."""
COLUMNS: Final = ("ts_open", "ts_event", "open", "high", "low", "close", "volume", "count", "vwap")
_WHOLE = frozenset({"ts_open", "ts_event", "count"})
_NOBODY = SIDE_CODES["none"]


def bars_of(
    view: Ticks, spec: str | BarSpec, *, symbol: str | None = None, on: str | None = None, unfinished: bool | None = None
) -> pl.DataFrame:
    """Bars of one symbol of a view; see `Ticks.bars`."""
    spec = BarSpec.parse(spec)
    feed, on = _feed(view, symbol, on)
    instrument = grid_of(feed.instrument, on)
    builder: Any = None
    until_ns: int | None = None
    pieces: list[dict[str, Any]] = []
    for chunk in feed.chunks(ROWS):
        ts, price, size, aggressor = _points(chunk, on, view.start_ns)
        if len(ts) == 0:
            continue
        if builder is None:
            sessions, until_ns = sessions_of(feed.instrument, int(ts[0]), view.end_ns)
            builder = _sim.BarBuilder(**spec.of(instrument), sessions=sessions)
        if (late := first_beyond(ts, until_ns)) is not None:
            raise beyond_calendar(feed.instrument, until_ns, int(ts[late]))
        pieces.append(builder.push_points(ts, price, size, aggressor))
    if builder is None:
        raise NoData(f"no data: {feed.symbol} has nothing to make bars of by {on!r}; choose another of {', '.join(PRICES)}")
    if _keeps_last(spec, unfinished):
        pieces.append(builder.unfinished())
    return _frame(pieces)


def ohlcv(
    prints: pl.DataFrame | pl.LazyFrame,
    spec: str | BarSpec = "1m",
    *,
    tick: Number,
    lot: Number,
    calendar: str = ALWAYS_OPEN,
    unfinished: bool | None = None,
) -> pl.DataFrame:
    """Bars of a plain frame of prints: those that `Ticks.bars` makes of the same prints as a data view.

    Nothing is screened but what the sums need, so it takes a frame as fast as it can be counted; for data that nobody has looked
    at yet there are `cift.trades` and the doctor.

    Args:
        prints: columns `ts_event` (datetimes, or nanoseconds since the epoch; naive ones are UTC), `price` and `size`, in order of
            time, of one symbol; `aggressor` (buy, sell, none) where imbalances or runs should go by it. A lazy frame is collected.
        spec: what ends a bar: "1m", "tick-500", "volume-10000" and the others of `Ticks.bars`.
        tick, lot: the steps that prices and sizes are counted in.
        calendar: whose sessions no bar spans; "24/7": none.
        unfinished: whether the last bar is there though nothing ended it. Default: of time bars only.

    Returns:
        `ts_open, ts_event, open, high, low, close, volume, count, vwap`, a row per bar.

    Raises:
        DataError: a column is missing or has no such values. TimeOrder: time goes back. NoData: no rows.
        InvalidParameter: a spec, step or calendar that is none.

    Example:
        >>> import polars as pl
        >>> prints = pl.DataFrame({"ts_event": [0, 10**9, 61 * 10**9], "price": [5.0, 5.5, 5.25], "size": [2, 1, 3]})
        >>> ohlcv(prints, "1m", tick="0.25", lot=1)["open", "high", "low", "close", "volume"].rows()
        [(5.0, 5.5, 5.0, 5.5, 3.0), (5.25, 5.25, 5.25, 5.25, 3.0)]
    """
    spec, frame = BarSpec.parse(spec), prints.lazy().collect()
    steps = to_decimal(tick, "tick"), to_decimal(lot, "lot")
    instrument = Instrument("PRINTS", tick_size=steps[0], lot_size=steps[1], calendar=calendar)
    columns = _printed(frame)
    ts = columns[0]
    if not len(ts):
        raise NoData("no data: the frame of prints has no rows")
    builder = _sim.BarBuilder(**spec.of(instrument), sessions=sessions_of(instrument, int(ts[0]), int(ts[-1]))[0])
    pieces = [builder.push_points(*columns)]
    if _keeps_last(spec, unfinished):
        pieces.append(builder.unfinished())
    return _frame(pieces)


def _printed(frame: pl.DataFrame) -> tuple[Array, Array, Array, Array]:
    """Times, prices, sizes and aggressors of a frame of prints.

    Raises:
        DataError: a column is missing or has no such values.
    """
    missing = [name for name in ("ts_event", "price", "size") if name not in frame.columns]
    if missing:
        raise DataError(f"column {missing[0]!r} is missing; prints have ts_event, price and size, given are {frame.columns}")
    if "symbol" in frame.columns and frame["symbol"].n_unique() > 1:
        raise DataError("the frame has several symbols; make bars of each: .filter(pl.col('symbol') == ...)")
    times = frame["ts_event"]
    if not times.dtype.is_integer() and times.dtype != pl.Datetime:
        raise DataError(f"column 'ts_event' is {times.dtype}; times must be datetimes or whole nanoseconds since the epoch")
    times = times.cast(pl.Int64) if times.dtype.is_integer() else times.dt.cast_time_unit("ns").to_physical()
    if times.null_count():
        raise DataError(f"column 'ts_event' is null at row {times.is_null().arg_max()}; every print has a time")
    price, size = (_floats(frame, name) for name in ("price", "size"))
    side = np.full(len(times), _NOBODY, dtype=np.uint8)
    if "aggressor" in frame.columns:
        words = frame["aggressor"].cast(pl.String).fill_null("none")
        codes = words.replace_strict(AGGRESSOR_CODES, default=None, return_dtype=pl.UInt8)
        if codes.null_count():
            word = words.filter(codes.is_null())[0]
            raise DataError(f"aggressor is {word!r} in some row; it must be one of {', '.join(AGGRESSOR_CODES)}")
        side = codes.to_numpy()
    return times.to_numpy(), price, size, side


def _floats(frame: pl.DataFrame, name: str) -> Array:
    if not frame.schema[name].is_numeric():
        raise DataError(f"column {name!r} is {frame.schema[name]}; numbers were expected")
    return frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def bars_of_bars(
    frame: pl.DataFrame, spec: str | BarSpec, instrument: Instrument, *, unfinished: bool | None = None
) -> pl.DataFrame:
    """Larger bars of smaller ones.

    Args:
        frame: as `Ticks.bars` gives it, ascending.
        spec: what ends a bar; of smaller bars, the threshold is looked at where one of them ends.
        instrument: whose ticks and lots they are in.
        unfinished: whether the last bar is there though nothing ended it. Default: of time bars only.

    Raises:
        DataError: a column is missing, or a price or volume is not usable. TimeOrder: the bars go back in time.
        InvalidParameter: a spec that is none.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(
            f"column {missing[0]!r} is missing; bars have {', '.join(COLUMNS)}, and given are {', '.join(frame.columns)}"
        )
    spec = BarSpec.parse(spec)
    columns = {name: frame[name].cast(pl.Int64 if name in _WHOLE else pl.Float64) for name in COLUMNS}
    span = (0, 0) if frame.is_empty() else (int(columns["ts_open"][0]), int(columns["ts_event"][-1]))
    builder = _sim.BarBuilder(**spec.of(instrument), sessions=sessions_of(instrument, *span)[0])
    columns["vwap"] = columns["vwap"].fill_null(float("nan"))
    pieces = [builder.push_bars(**{name: column.to_numpy() for name, column in columns.items()})]
    if _keeps_last(spec, unfinished):
        pieces.append(builder.unfinished())
    return _frame(pieces)


def _keeps_last(spec: BarSpec, unfinished: bool | None) -> bool:
    return spec.kind == "time" if unfinished is None else unfinished


def price_of(view: Ticks, symbol: str, on: str | None) -> str:
    """Which price bars of a run are made of: `on`, or that of prints where the view has some, else the mid.

    Raises:
        InvalidParameter: where there is no such price, or the view has no records that show it.
    """
    schemas = {feed.schema for feed in view.feeds if feed.symbol == symbol}
    if on is None:
        on = "price" if schemas & {"mbo", "trades"} else "mid"
    if on not in PRICES:
        raise InvalidParameter(f"on={on!r} is not one of {', '.join(PRICES)}")
    wanted = ("trades", "mbo") if on == "price" else ("quotes", "mbo", "mbp")
    if not schemas.intersection(wanted):
        raise InvalidParameter(
            f"bars by {on!r} need {' or '.join(wanted)} of {symbol}; the view has {', '.join(sorted(schemas))}"
        )
    return on


def _feed(view: Ticks, symbol: str | None, on: str | None) -> tuple[Feed, str]:
    """The feed that bars are made of, and which of its prices."""
    if symbol is None:
        if len(view.symbols) != 1:
            raise InvalidParameter(f"the view has several symbols; pass symbol= with one of {', '.join(view.symbols)}")
        (symbol,) = view.symbols
    feeds: dict[str, Feed] = {feed.schema: feed for feed in view.feeds if feed.symbol == symbol}
    if not feeds:
        raise InvalidParameter(f"the view has no {symbol!r}; it has {', '.join(view.symbols)}")
    on = price_of(view, symbol, on)
    schema = ("trades" if "trades" in feeds else "mbo") if on == "price" else "quotes"
    if schema not in feeds:
        raise InvalidParameter(
            f"bars by {on!r} need quotes of {symbol}; the view has {', '.join(feeds)}, of which a run makes them: "
            "self.bars(...) in a strategy"
        )
    return feeds[schema], on


def grid_of(instrument: Instrument, on: str) -> Instrument:
    """The instrument with the steps that bars by a price are counted in: mids lie on half ticks."""
    if on != "mid":
        return instrument
    return Instrument(
        instrument.symbol, tick_size=instrument.tick_size / 2, lot_size=instrument.lot_size, multiplier=instrument.multiplier
    )


def _points(chunk: Chunk, on: str, start_ns: int | None) -> tuple[Array, Array, Array, Array]:
    """Times, prices, sizes and aggressors of the rows that count."""
    columns = chunk.columns
    ts = columns["ts_event"]
    keep = np.ones(len(ts), dtype=bool) if start_ns is None else ts >= start_ns
    if on == "price":
        if chunk.schema == "mbo":
            keep &= columns["action"] == ACTION_CODES["trade"]
        side = columns["side" if chunk.schema == "mbo" else "aggressor"]
        if keep.all():
            return ts, columns["price"], columns["size"], side
        return ts[keep], columns["price"][keep], columns["size"][keep], side[keep]
    sides = ("bid", "ask") if on == "mid" else (on,)
    for name in sides:
        keep &= columns[f"{name}_size"] > 0
    price = np.mean([columns[f"{name}_price"][keep] for name in sides], axis=0)
    return ts[keep], price, np.zeros(len(price)), np.full(len(price), _NOBODY, dtype=np.uint8)


def sessions_of(instrument: Instrument, start_ns: int, end_ns: int | None) -> tuple[list[tuple[int, int]], int | None]:
    """Open and close of the sessions that bars must not span, in order, and up to when they were looked up.

    What happens later is in no session of these: see `beyond_calendar`. Where the market never closes there are none, and no end.

    Raises:
        InvalidParameter: where the calendar does not reach to these days.
    """
    if instrument.calendar == ALWAYS_OPEN:
        return [], None
    ends = _year_ends(start_ns) if end_ns is None else [end_ns]
    tried = ((sessions(instrument.calendar, start_ns, each), each) for each in ends)
    found, until_ns = next(((one, each) for one, each in tried if one is not None), (None, None))
    if found is None:
        until = "" if end_ns is None else f" to {iso(end_ns)}"
        raise InvalidParameter(
            f"the calendar {instrument.calendar} does not know the sessions from {iso(start_ns)}{until}; "
            "ask for another period, or use an instrument of '24/7'"
        )
    # No session at all would be a market that never closes; one that is over leaves out what came while it was closed.
    return list(zip(found.opens_ns.tolist(), found.closes_ns.tolist(), strict=True)) or [(start_ns - 2, start_ns - 1)], until_ns


def first_beyond(ts: Array, until_ns: int | None) -> int | None:
    """The first of some times, which ascend, that lies behind the end of `sessions_of`; None where none does."""
    if until_ns is None or not len(ts) or ts[-1] <= until_ns:
        return None
    return int(np.searchsorted(ts, until_ns, side="right"))


def beyond_calendar(instrument: Instrument, until_ns: int | None, ts_ns: int) -> InvalidParameter:
    """What is raised for a record of a time of which no session was looked up: left out, nobody would know."""
    assert until_ns is not None
    return InvalidParameter(
        f"bars of {instrument.symbol} need the sessions of {instrument.calendar}, which were looked up to {iso(until_ns)}, and "
        f"there are records of {iso(ts_ns)}; pass start= and end=, or use an instrument of '24/7' where the calendar ends"
    )


def _year_ends(start_ns: int) -> list[int]:
    """Ends of the years in which sessions may be looked up from a time on, the furthest first: calendars end with a year."""
    first = np.datetime64(start_ns, "ns").astype("datetime64[Y]")
    return [int((first + years).astype("datetime64[ns]").astype(np.int64)) - 1 for years in range(LONGEST_YEARS + 1, 0, -1)]


def _frame(pieces: list[dict[str, Any]]) -> pl.DataFrame:
    return stored_frame({name: np.concatenate([piece[name] for piece in pieces]) for name in COLUMNS})


def stored_frame(columns: RawColumns) -> pl.DataFrame:
    """Raw columns of bars as the frame that `Ticks.bars` and `Catalog.bars` give."""
    frame = pl.DataFrame({name: columns[name] for name in COLUMNS})
    time, missing = pl.Datetime("ns", "UTC"), pl.col("count") == NO_TIME_NS
    return frame.with_columns(
        pl.col("ts_open", "ts_event").cast(time), pl.col("vwap").fill_nan(None), count=pl.when(~missing).then("count")
    )
