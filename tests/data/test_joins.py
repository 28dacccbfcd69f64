"""Joins as of beside a search through all rows before."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cift
from cift.data.joins import join_asof
from cift.errors import DataError, InvalidParameter, TimeOrder

NS = st.integers(0, 40)
SYMBOLS = st.sampled_from("ABC")
ROWS = st.lists(st.tuples(NS, st.one_of(st.none(), NS), SYMBOLS), max_size=25).map(
    lambda rows: sorted(rows, key=lambda row: row[0])
)
SPAN = st.one_of(st.none(), st.integers(0, 20))
Row = tuple[int, int | None, str]


def frame_of(rows: list[Row], *, times: bool) -> pl.DataFrame:
    schema = {"ts_event": pl.Int64, "ts_recv": pl.Int64, "symbol": pl.String}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(n=pl.int_range(pl.len()))
    return frame.with_columns(pl.col("ts_event", "ts_recv").cast(pl.Datetime("ns", "UTC"))) if times else frame


@given(
    left=ROWS,
    right=ROWS,
    clock=st.sampled_from(["event", "arrival"]),
    ties=st.sampled_from(["before", "at"]),
    tolerance=SPAN,
    stale=SPAN,
    by_symbol=st.booleans(),
    times=st.booleans(),
    age_told=st.booleans(),
)
def test_each_row_has_the_last_one_before_it(
    left: list[Row],
    right: list[Row],
    clock: Any,
    ties: Any,
    tolerance: int | None,
    stale: int | None,
    by_symbol: bool,
    times: bool,
    age_told: bool,
) -> None:
    """By symbol rows may stand symbol by symbol; otherwise there is one series."""
    if by_symbol:
        left, right = (sorted(rows, key=lambda row: row[2]) for rows in (left, right))
    else:
        left, right = ([(event, received, "A") for event, received, _ in rows] for rows in (left, right))
    when_left, when_right = arrivals(left, clock), arrivals(right, clock)
    made = join_asof(
        frame_of(left, times=times), frame_of(right, times=times),
        clock=clock, ties=ties, tolerance=tolerance, stale_after=stale, age=age_told, by="symbol",
    )  # fmt: skip
    assert made["n"].to_list() == list(range(len(left)))
    for row, (_, _, symbol) in enumerate(left):
        before = [
            n
            for n, (_, _, other) in enumerate(right)
            if other == symbol and (when_right[n] < when_left[row] or (ties == "at" and when_right[n] == when_left[row]))
        ]
        match = before[-1] if before else None
        age = None if match is None else when_left[row] - when_right[match]
        if tolerance is not None and age is not None and age > tolerance:
            match = age = None
        told = made.row(row, named=True)
        assert told["n_right"] == match
        if age_told or stale is not None:
            assert ns(made["age"])[row] == age
            matched = "ts_event_right" if clock == "event" else "ts_arrival_right"
            assert (told[matched] is None) == (match is None)
        if stale is not None:
            assert told["stale"] == (None if age is None else age > stale)
    assert ("stale" in made.columns) == (stale is not None)
    assert ("age" in made.columns) == (stale is not None or age_told)


def ns(column: pl.Series) -> list[int | None]:
    return column.to_physical().to_list()


def arrivals(rows: list[Row], clock: str) -> list[int]:
    """When each row counts: by its event, or when it was known, never before the one of its symbol in front of it."""
    latest: dict[str, int] = {}
    counted = []
    for event, received, symbol in rows:
        known = event if received is None else received
        latest[symbol] = max(latest.get(symbol, known), known)
        counted.append(event if clock == "event" else latest[symbol])
    return counted


def test_a_frame_without_symbols_is_one_series() -> None:
    left = pl.DataFrame({"ts_event": [5], "a": [1]})
    right = pl.DataFrame({"ts_event": [1, 4, 5], "b": [1, 2, 3]})
    assert join_asof(left, right).rows() == [(5, 1, 2)]
    assert join_asof(left, right, age=True).rows() == [(5, 1, 2, 4, 1)]
    assert join_asof(left.with_columns(symbol=pl.lit("A")), right)["b"].to_list() == [2]
    assert join_asof(left.lazy(), right.lazy()).rows() == [(5, 1, 2)]
    assert join_asof(left, right.clear()).rows() == [(5, 1, None)]
    assert join_asof(left.clear(), right).columns == ["ts_event", "a", "b"]


def test_what_was_received_late_was_not_known() -> None:
    catalog = cift.demo_catalog()
    trades, quotes = (
        catalog.sql(f"select * exclude (date, venue_seq) from {schema} order by ts_event, sequence")
        for schema in ("trades", "quotes")
    )
    late = quotes.with_columns(pl.col("ts_recv").dt.offset_by("1s"))
    by_event = join_asof(trades, late, suffix="_quote")
    known = join_asof(trades, late, clock="arrival", suffix="_quote", age=True)
    assert by_event.height == known.height == trades.height
    assert (by_event["sequence_quote"] > known["sequence_quote"]).any()
    assert (known["ts_recv_quote"] < known["ts_recv"]).all()
    assert known["age"].min() > pl.Series([0]).cast(pl.Duration("ns")).item()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ties": "after"}, InvalidParameter, "ties must be one of before, at"),
        ({"clock": "wall"}, InvalidParameter, "clock must be one of event, arrival"),
        ({"tolerance": -1}, InvalidParameter, "tolerance must not be negative"),
        ({"stale_after": "soon"}, InvalidParameter, "stale_after 'soon' is not a span"),
        ({"suffix": ""}, InvalidParameter, "there is one already"),
        ({"by": "isin"}, DataError, "'isin' missing on the left"),
        ({"clock": "arrival"}, DataError, "'ts_recv' missing on the left"),
    ],
)
def test_a_choice_that_is_none_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    frame = pl.DataFrame({"ts_event": [1], "x": [2]})
    with pytest.raises(error, match=message):
        join_asof(frame, frame, **change)


def test_frames_that_cannot_be_joined_are_refused() -> None:
    good = pl.DataFrame({"ts_event": [1, 2], "symbol": ["A", "A"]})
    with pytest.raises(TimeOrder, match="goes back at row 1 of the right, to 1; sort"):
        join_asof(good, good.reverse())
    with pytest.raises(TimeOrder, match="of the left"):
        join_asof(good.reverse().drop("symbol"), good)
    with pytest.raises(DataError, match="1 missing times on the right"):
        join_asof(good, good.with_columns(ts_event=pl.Series([None, 1])))
    with pytest.raises(DataError, match="is String on the left"):
        join_asof(good.cast({"ts_event": pl.String}), good)
    with pytest.raises(DataError, match="cast one of them"):
        join_asof(good, good.cast({"ts_event": pl.Datetime("ns")}))
    with pytest.raises(DataError, match="'ts_event' missing on the right"):
        join_asof(good, good.drop("ts_event"))
