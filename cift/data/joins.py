"""Joins as of: each row with what was known beside it at that time, and nothing later."""

from __future__ import annotations

from typing import Literal, get_args

import polars as pl

from cift.domain.duration import Duration, duration_ns
from cift.errors import DataError, InvalidParameter, TimeOrder

Clock = Literal["event", "arrival"]
Ties = Literal["before", "at"]
ARRIVAL = "ts_arrival"


def join_asof(
    left: pl.DataFrame | pl.LazyFrame,
    right: pl.DataFrame | pl.LazyFrame,
    *,
    by: str | None = None,
    clock: Clock = "event",
    ties: Ties = "before",
    tolerance: Duration | None = None,
    stale_after: Duration | None = None,
    age: bool = False,
    suffix: str = "_right",
) -> pl.DataFrame:
    """Each row of `left` with the last row of `right` that came before it: trades with the quote in force, for one.

    A row is never matched with a later one. Of rows of `right` of one time the last is taken.

    Args:
        left: rows in order of time (within each symbol at least), as are those of `right`; lazy frames are collected.
        by: the column of symbols; None: "symbol", where both frames have it.
        clock: "event": by `ts_event`, the order at the venue. "arrival": by when a row was known here, which is `ts_recv`,
            or `ts_event` where that is null, and never before the row in front of it; a column `ts_arrival` is added.
        ties: what a row of the very same nanosecond counts as. "before": not yet known, so only what came strictly before is
            matched. "at": known.
        tolerance: matches that are older are no matches (null).
        stale_after: adds a column `stale`: whether the match is older than that; null without a match.
        age: adds the time of the match (`ts_event_right`) and `age`, how old it was; so does `stale_after`.
        suffix: of columns of `right` whose name `left` has too.

    Returns:
        The rows of `left` in their order, with its columns and those of `right`.

    Raises:
        DataError: a column is missing, is no time, or misses a time that is needed.
        TimeOrder: times go back within a symbol.
        InvalidParameter: an argument is none of these.

    Example:
        >>> import polars as pl
        >>> trades = pl.DataFrame({"ts_event": [20, 30], "price": [5.0, 6.0]})
        >>> quotes = pl.DataFrame({"ts_event": [10, 30], "bid_price": [4.0, 4.5]})
        >>> join_asof(trades, quotes).rows()
        [(20, 5.0, 4.0), (30, 6.0, 4.0)]
        >>> join_asof(trades, quotes, ties="at")["bid_price"].to_list()
        [4.0, 4.5]
    """
    for name, value, known in (("clock", clock, Clock), ("ties", ties, Ties)):
        if value not in get_args(known):
            raise InvalidParameter(f"{name} must be one of {', '.join(get_args(known))}, not {value!r}")
    spans = {"tolerance": tolerance, "stale_after": stale_after}
    spans_ns = {name: None if span is None else duration_ns(span, name) for name, span in spans.items()}
    for name, span_ns in spans_ns.items():
        if span_ns is not None and span_ns < 0:
            raise InvalidParameter(f"{name} must not be negative, not {spans[name]!r}")
    left, right = left.lazy().collect(), right.lazy().collect()
    if by is None and "symbol" in left.columns and "symbol" in right.columns:
        by = "symbol"
    time = "ts_event" if clock == "event" else ARRIVAL
    if clock == "arrival":
        left, right = _with_arrival(left, "left", by), _with_arrival(right, "right", by)
    for frame, side in ((left, "left"), (right, "right")):
        _check(frame, side, time, by)
    if left.schema[time] != right.schema[time]:
        raise DataError(f"{time} is {left.schema[time]} on the left and {right.schema[time]} on the right; cast one of them")
    aged = age or stale_after is not None
    taken = set(left.columns)
    renamed = {name: f"{name}{suffix}" for name in right.columns if name in taken and name not in (time, by)}
    matched_time = f"{time}{suffix}"
    added = [matched_time, "age"] * aged + ["stale"] * (stale_after is not None)
    clash = sorted({*renamed.values(), *added} & {*taken, *(set(right.columns) - renamed.keys())})
    if clash:
        raise InvalidParameter(f"a column {clash[0]!r} is made, and there is one already; choose another suffix, or rename it")
    right = right.rename(renamed)
    # A time on both sides is told once; gathered a second time only where its age is asked for.
    right = right.with_columns(pl.col(time).alias(matched_time)) if aged else right
    joined = left.join_asof(
        right,
        on=time,
        by=by,
        strategy="backward",
        allow_exact_matches=ties == "at",
        tolerance=_tolerance(spans_ns["tolerance"], left.schema[time]),
        check_sortedness=False,  # done above, within symbols too
    )
    if not aged:
        return joined
    joined = joined.with_columns((pl.col(time) - pl.col(matched_time)).alias("age"))
    after_ns = spans_ns["stale_after"]
    if after_ns is None:
        return joined
    told = pl.col("age") if left.schema[time].is_integer() else pl.col("age").dt.total_nanoseconds()
    return joined.with_columns((told > after_ns).alias("stale"))


def _tolerance(span_ns: int | None, kind: pl.DataType) -> str | int | None:
    return span_ns if span_ns is None or kind.is_integer() else f"{span_ns}ns"


def _with_arrival(frame: pl.DataFrame, side: str, by: str | None) -> pl.DataFrame:
    """The frame with the time at which each row was known."""
    for name in ("ts_event", "ts_recv"):
        if name not in frame.columns:
            raise DataError(f"column {name!r} missing on the {side}; clock='arrival' reads ts_recv and ts_event")
    arrival = pl.coalesce("ts_recv", "ts_event").cum_max()
    return frame.with_columns((arrival if by is None else arrival.over(by)).alias(ARRIVAL))


def _check(frame: pl.DataFrame, side: str, time: str, by: str | None) -> None:
    """That a frame can be joined by time.

    Raises:
        DataError, TimeOrder: where it cannot.
    """
    for name in (time, by):
        if name is not None and name not in frame.columns:
            raise DataError(f"column {name!r} missing on the {side}; found {', '.join(frame.columns)}")
    kind = frame.schema[time]
    if not (kind.is_integer() or kind == pl.Datetime):
        raise DataError(f"{time} is {kind} on the {side}; datetimes or whole nanoseconds were expected")
    if frame[time].null_count():
        raise DataError(f"{time} has {frame[time].null_count()} missing times on the {side}; fill or drop them first")
    if frame[time].is_sorted():
        return
    back = pl.col(time).diff().cast(pl.Int64) < 0
    rows = frame.select((back if by is None else back.over(by)).fill_null(False).arg_true()).to_series()
    if len(rows):
        row = int(rows[0])
        raise TimeOrder(f"{time} goes back at row {row} of the {side}, to {frame[time][row]}; sort by {time}, stably")
