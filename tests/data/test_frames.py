from __future__ import annotations

import datetime as dt
import pickle
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.frames import infer_step, quotes, trades
from cift.data.view import Feed, Ticks
from cift.domain.instrument import Instrument
from cift.errors import DataError, InvalidParameter, NoData, TimeOrder, UnknownName
from tests.data.market import read, same

TIMES = [dt.datetime(2026, 1, 5, 14, 30, second) for second in range(4)]
TIMES_NS = [1_767_623_400_000_000_000 + second * 10**9 for second in range(4)]
QUOTES = pl.DataFrame(
    {
        "ts_event": TIMES,
        "bid_price": [100.0, 100.25, None, 100.0],
        "bid_size": [10, 20, None, 5],
        "ask_price": [100.5, 100.75, 100.75, 100.5],
        "ask_size": [1, 2, 3, 4],
    }
)
TRADES = pl.DataFrame(
    {"ts": TIMES, "Price": [100.5, 100.5, 100.0, 100.25], "SIZE": [1.5, 2, 3, 1], "aggressor": ["Buy", "s", None, "none"]}
)


class Capsule:
    """A frame of which only the Arrow stream is known."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class ArrayCapsule:
    """A frame of which only one Arrow array of structs is known."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self.batch.__arrow_c_array__(requested_schema)


FORMS = {
    "polars": lambda frame: frame,
    "lazy": lambda frame: frame.lazy(),
    "pandas": lambda frame: frame.to_pandas(),
    "pandas by time": lambda frame: frame.to_pandas().set_index(frame.columns[0]),
    "pandas by nameless time": lambda frame: frame.to_pandas().set_index(frame.columns[0]).rename_axis(None),
    "arrow": lambda frame: frame.to_arrow(),
    "pandas of Arrow": lambda frame: frame.to_pandas(use_pyarrow_extension_array=True),
    "pandas with nulls": lambda frame: frame.to_pandas().convert_dtypes(),
    "record batch": lambda frame: frame.to_arrow().combine_chunks().to_batches()[0],
    "record batch reader": lambda frame: frame.to_arrow().to_reader(),
    "DuckDB": lambda frame: duckdb.from_arrow(frame.to_arrow()),
    "capsule": lambda frame: Capsule(frame.to_arrow()),
    "capsule of an array": lambda frame: ArrayCapsule(frame.to_arrow().combine_chunks().to_batches()[0]),
    "capitals": lambda frame: frame.rename(str.upper),
    "aware": lambda frame: frame.with_columns(pl.first().dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")),
    "nanoseconds": lambda frame: frame.with_columns(pl.first().dt.timestamp("ns")),
    "milliseconds": lambda frame: frame.with_columns(pl.first().cast(pl.Datetime("ms"))),
    "decimals": lambda frame: frame.with_columns(pl.nth(1).cast(pl.Decimal(12, 2))),
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_of_all_kinds_give_the_same_rows(form):
    view = quotes(FORMS[form](QUOTES), symbol="ABC.SIM")
    (feed,) = view.feeds
    assert isinstance(feed, Feed)
    found = read(feed, 3)
    assert found["ts_event"].tolist() == TIMES_NS
    assert found["sequence"].tolist() == [0, 1, 2, 3]
    assert found["bid_size"].tolist() == [10, 20, 0, 5]
    assert np.isnan(found["bid_price"][2])
    assert feed.content_hash == quotes(QUOTES, symbol="ABC.SIM").feeds[0].content_hash


@pytest.mark.parametrize("form", FORMS)
def test_trades_of_all_kinds_give_the_same_rows(form):
    found = read(trades(FORMS[form](TRADES)).feeds[0], None)
    assert found["ts_event"].tolist() == TIMES_NS
    assert found["price"].tolist() == [100.5, 100.5, 100.0, 100.25]
    assert found["aggressor"].tolist() == [66, 65, 78, 78]
    assert found["trade_id"].tolist() == [0, 0, 0, 0]


def test_steps_are_inferred_and_named():
    view = quotes(QUOTES, trades=TRADES, symbol="ABC.SIM")
    assert [feed.schema for feed in view.feeds] == ["quotes", "trades"]
    assert view.instruments == (Instrument("ABC.SIM", "0.01", "0.1"),)
    assert "tick size of ABC.SIM inferred from its prices: 0.01" in repr(view)
    assert "lot size of ABC.SIM inferred from its sizes: 0.1" in repr(view)
    stated = quotes(QUOTES, trades=TRADES, tick_size="0.25", lot_size="0.5")
    assert stated.instruments[0].tick_size == Decimal("0.25")
    assert stated.symbols == ("DATA",)
    assert not any("inferred" in note for note in stated.notes)


@given(decimals=st.integers(0, 9), steps=st.lists(st.integers(-(10**6), 10**6), min_size=1))
def test_the_inferred_step_divides_every_value_and_no_coarser_decimal_step_does(decimals, steps):
    values = np.array([float(Decimal(step).scaleb(-decimals)) for step in steps])
    step = infer_step([values], "price")
    assert all(Decimal(repr(value)) % step == 0 for value in values.tolist())
    assert step == 1 or any(Decimal(repr(value)) % (step * 10) for value in values.tolist())


def test_a_price_on_no_decimal_grid_asks_for_the_tick():
    with pytest.raises(DataError, match=r"0\.333.*pass tick_size="):
        trades(TRADES.with_columns(Price=1 / 3))


def test_two_frames_make_one_view_and_merge_makes_one_of_several():
    both = quotes(QUOTES, trades=TRADES, symbol="A", tick_size="0.01", lot_size="0.1")
    apart = Ticks.merge(
        trades(TRADES, symbol="A", tick_size="0.01", lot_size="0.1"),
        quotes(QUOTES, symbol="A", tick_size="0.01", lot_size="0.1"),
    )
    assert [(feed.symbol, feed.schema, feed.content_hash) for feed in apart.feeds] == [
        (feed.symbol, feed.schema, feed.content_hash) for feed in both.feeds if feed.schema == "quotes"
    ] + [(feed.symbol, feed.schema, feed.content_hash) for feed in apart.feeds[1:]]
    two = Ticks.merge(quotes(QUOTES, symbol="B"), trades(TRADES, symbol="A"))
    assert two.symbols == ("B", "A")
    with pytest.raises(InvalidParameter, match="two feeds of quotes"):
        Ticks.merge(quotes(QUOTES, symbol="B"), quotes(QUOTES, symbol="B"))
    with pytest.raises(InvalidParameter, match="disagree"):
        Ticks.merge(quotes(QUOTES, symbol="B"), trades(TRADES, symbol="B"))
    with pytest.raises(InvalidParameter, match="at least one"):
        Ticks.merge()


def test_a_missing_column_is_explained():
    with pytest.raises(
        DataError, match=r"column 'bid_price' missing; found 'ts_event', 'best_bid'.*pass columns=\{'bid_price': '\.\.\.'\}"
    ):
        quotes(QUOTES.rename({"bid_price": "best_bid"}))
    view = quotes(QUOTES.rename({"bid_price": "best_bid"}), columns={"bid_price": "best_bid"})
    assert view.feeds[0].content_hash == quotes(QUOTES).feeds[0].content_hash
    with pytest.raises(UnknownName, match="not among"):
        quotes(QUOTES, columns={"bid_price": "nothing"})
    with pytest.raises(UnknownName, match="names 'bid'"):
        quotes(QUOTES, columns={"bid": "bid_price"})


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (QUOTES[::-1], TimeOrder, "quotes, row 1: ts_event goes back in time"),
        (QUOTES[:0], NoData, "no rows"),
        (QUOTES.with_columns(ts_event=pl.lit("monday")), DataError, "times must be datetimes"),
        (QUOTES.with_columns(ask_price=pl.lit("high")), DataError, "cannot be read as ask_price"),
        (
            QUOTES.with_columns(ts_event=pl.when(pl.col("ask_size") == 2).then(None).otherwise("ts_event")),
            DataError,
            "null at row 1",
        ),
        (QUOTES.with_columns(symbol=pl.Series(["A", "B", "A", "B"])), DataError, "A, B.*filter it to one symbol"),
        (QUOTES.with_columns(ask_price=float("nan")), DataError, "ask_price is not a number"),
        ({"a": 1}, DataError, "a frame"),
        ("nowhere.parquet", DataError, "cannot be read as Parquet"),
    ],
)
def test_frames_that_cannot_be_used_are_refused(frame, error, message):
    with pytest.raises(error, match=message):
        quotes(frame)


def test_an_unknown_word_is_named_with_its_row():
    with pytest.raises(DataError, match="aggressor of row 1 is 'maybe'"):
        trades(TRADES.with_columns(aggressor=pl.Series(["buy", "maybe", "buy", "buy"])))


def test_sorting_keeps_the_order_of_equal_times():
    frame = pl.DataFrame({"ts": [TIMES[1], TIMES[0], TIMES[1], TIMES[0]], "price": [1, 2, 3, 4], "size": [1, 1, 1, 1]})
    assert read(trades(frame, sort=True).feeds[0], None)["price"].tolist() == [2, 4, 1, 3]


def test_the_symbol_comes_from_the_frame_or_is_stated():
    frame = QUOTES.with_columns(symbol=pl.lit("XYZ.SIM"))
    assert quotes(frame).symbols == ("XYZ.SIM",)
    with pytest.raises(DataError, match="'ABC' was asked for"):
        quotes(frame, symbol="ABC")
    with pytest.raises(InvalidParameter, match="not both"):
        quotes(QUOTES, symbol="A", instrument=Instrument("A", "0.01", 1))


def test_a_parquet_path_is_a_frame(tmp_path):
    pq.write_table(QUOTES.to_arrow(), tmp_path / "q.parquet")
    assert quotes(tmp_path / "q.parquet").feeds[0].content_hash == quotes(QUOTES).feeds[0].content_hash


def test_a_frame_view_travels_to_another_process():
    view = quotes(QUOTES, trades=TRADES)
    again = pickle.loads(pickle.dumps(view))
    for mine, theirs in zip(view.feeds, again.feeds, strict=True):
        assert same(read(mine, 2), read(theirs, None))
        assert mine.content_hash == theirs.content_hash


def test_bad_rows_are_named_on_the_view():
    frame = pl.DataFrame({"ts": TIMES, "price": [100.0, 100.0, 1e9, 100.0], "size": [1, 0, 1, 1]})
    view = trades(frame)
    assert read(view.feeds[0], None)["price"].tolist() == [100.0, 100.0]
    assert "trades: 1 x zero_size" in repr(view)
    assert "trades: 1 x price_jump" in repr(view)
    with pytest.raises(DataError, match="row 2: the price is 1,000 times"):
        trades(frame, policies={"price_jump": "reject"})


def test_pandas_nanoseconds_survive():
    index = pd.DatetimeIndex([pd.Timestamp("2026-01-05T14:30:00.123456789", tz="America/New_York")], name="ts")
    frame = pd.DataFrame({"price": [1.0], "size": [1.0]}, index=index)
    assert read(trades(frame).feeds[0], None)["ts_event"].tolist() == [1_767_641_400_123_456_789]


def test_a_size_that_is_missing_beside_a_price_is_refused() -> None:

    frame = pd.DataFrame(
        {
            "ts_event": pd.date_range("2026-01-05", periods=3, freq="s"),
            "bid_price": [100.0, 100.0, np.nan],
            "bid_size": [5.0, np.nan, np.nan],
            "ask_price": 100.01,
            "ask_size": 5.0,
        }
    )
    with pytest.raises(DataError, match="bid_size is not a number"):
        quotes(frame, tick_size="0.01", lot_size="1")
    assert quotes(frame.drop(1), tick_size="0.01", lot_size="1").feeds


def test_an_empty_frame_of_any_kind_has_no_data() -> None:

    with pytest.raises(NoData, match="no data: the frame of quotes has no rows"):
        quotes(pd.DataFrame({name: [] for name in ("ts_event", "bid_price", "bid_size", "ask_price", "ask_size")}))


def test_columns_are_named_in_either_direction():
    frame = QUOTES.rename({"bid_price": "best_bid", "bid_size": "depth"})
    ours = {"bid_price": "best_bid", "bid_size": "depth"}
    theirs = {"best_bid": "bid_price", "depth": "bid_size"}
    expected = quotes(QUOTES).feeds[0].content_hash
    assert quotes(frame, columns=ours).feeds[0].content_hash == expected
    assert quotes(frame, columns=theirs).feeds[0].content_hash == expected
    with pytest.raises(UnknownName):  # half of it in each direction
        quotes(frame, columns={"bid_price": "best_bid", "depth": "bid_size"})
    # One map for both frames, in both directions.
    prints = TRADES.rename({"Price": "last"})
    for columns in (ours | {"price": "last"}, theirs | {"last": "price"}):
        assert len(quotes(frame, trades=prints, columns=columns).feeds) == 2


def test_a_map_that_can_be_read_both_ways_is_refused():
    frame = TRADES.rename({"Price": "price", "SIZE": "size"}).with_columns(size=pl.col("size") * 2)
    with pytest.raises(InvalidParameter, match="can be read both ways"):
        trades(frame, columns={"price": "size"})
    swapped = trades(frame.rename({"price": "size", "size": "price"}), columns={"price": "size", "size": "price"})
    assert swapped.feeds[0].content_hash == trades(frame).feeds[0].content_hash
    assert trades(frame, columns={"price": "price"}).feeds[0].content_hash == trades(frame).feeds[0].content_hash
