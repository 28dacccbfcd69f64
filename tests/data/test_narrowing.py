"""A narrow frame is the frame: widened, it has every bit, type and name again."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import cift
from cift.data.narrowing import bytes_of, narrow, widen
from cift.errors import DataError

FLOATS = st.one_of(
    st.floats(width=64),
    st.floats(width=32),
    st.integers(-(10**6), 10**6).map(lambda ticks: ticks / 100),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 2.0**53, 2.0**53 + 2, 5e-324, 0.1 + 0.2]),
)
NS = st.integers(-(2**62), 2**62)
COLUMNS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "prices": (st.integers(9_900, 10_100).map(lambda ticks: ticks / 100), pl.Float64),
    "floats": (FLOATS, pl.Float64),
    "singles": (st.floats(width=32), pl.Float32),
    "ids": (st.integers(2**60, 2**60 + 500), pl.UInt64),
    "any": (st.integers(-(2**63), 2**63 - 1), pl.Int64),
    "large": (st.integers(0, 2**64 - 1), pl.UInt64),
    "small": (st.integers(-128, 127), pl.Int16),
    "below": (st.integers(-1_000_000, -999_900), pl.Int64),
    "times": (st.integers(0, 10**9), pl.Datetime("ns", "UTC")),
    "received": (NS, pl.Datetime("ns", "Asia/Tokyo")),
    "coarse": (st.integers(-(10**12), 10**12), pl.Datetime("us")),
    "days": (st.dates(dt.date(1970, 1, 1), dt.date(2100, 1, 1)), pl.Date),
    "spans": (st.integers(-(10**9), 10**9), pl.Duration("ns")),
    "words": (st.sampled_from(["buy", "sell", "", "ä"]), pl.String),
    "texts": (st.text(max_size=4), pl.String),
    "categories": (st.sampled_from(["x", "y"]), pl.Categorical),
    "enum": (st.sampled_from(["b", "a"]), pl.Enum(["b", "unused", "a"])),
    "flags": (st.booleans(), pl.Boolean),
    "lists": (st.lists(st.integers(0, 9), max_size=2), pl.List(pl.Int64)),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(0, 25))
    made = {}
    for name in draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=6, unique=True)):
        values, kind = COLUMNS[name]
        holes = draw(st.sampled_from([st.nothing(), st.none(), st.none()]))
        column = draw(st.lists(st.one_of(holes, values), min_size=rows, max_size=rows))
        raw = pl.Int64 if isinstance(kind, (pl.Datetime, pl.Duration)) else kind
        made[name] = pl.Series(name, column, dtype=raw, strict=False).cast(kind)
    return pl.DataFrame(made)


def same(one: pl.DataFrame, other: pl.DataFrame) -> None:
    """To the last bit: NaN may have a payload, and 0.0 is not -0.0."""
    assert_frame_equal(one, other, check_exact=True, categorical_as_str=True)
    for name, kind in other.schema.items():
        if kind.is_float():
            whole = pl.UInt64 if kind == pl.Float64 else pl.UInt32
            assert one[name].fill_null(1.5).reinterpret(dtype=whole).equals(other[name].fill_null(1.5).reinterpret(dtype=whole))


@given(frame=frames(), offsets=st.booleans())
def test_widened_it_is_the_frame_to_the_last_bit(frame: pl.DataFrame, offsets: bool) -> None:
    small, report = narrow(frame, offsets=offsets)
    same(widen(small, report), frame)
    assert small.height == frame.height
    assert report.narrow_bytes <= report.bytes
    assert [column.narrow_name for column in report.columns] == small.columns
    assert [column.narrow_dtype for column in report.columns] == small.dtypes
    if not offsets:
        assert not [name for name in small.columns if "_minus_" in name]


@given(frame=frames(), data=st.data())
def test_some_of_its_rows_widen_to_these_rows(frame: pl.DataFrame, data: st.DataObject) -> None:
    small, report = narrow(frame)
    rows = data.draw(st.lists(st.integers(0, max(0, frame.height - 1)), max_size=9)) if frame.height else []
    same(widen(small[rows], report), frame[rows])


@pytest.mark.parametrize(
    ("values", "kind", "name", "narrow_kind"),
    [
        ([1, 255], pl.Int64, "x", pl.UInt8),
        ([0, 256], pl.Int64, "x", pl.UInt16),
        ([-128, 127], pl.Int64, "x", pl.Int8),
        ([-129, 127], pl.Int64, "x", pl.Int16),
        ([None, 70_000], pl.Int64, "x_minus_70000", pl.UInt8),
        ([2**40, 2**40 + 3], pl.UInt64, f"x_minus_{2**40}", pl.UInt8),
        ([-(2**63), 2**63 - 1], pl.Int64, "x", pl.Int64),
        ([None, None], pl.Float64, "x", pl.Null),
        ([100.25, 99.5], pl.Float64, "x_x100", pl.UInt16),
        ([100.0, 99.0], pl.Float64, "x", pl.UInt8),
        ([0.1, -0.1, None], pl.Float64, "x_x10", pl.Int8),
        ([0.5, -0.0], pl.Float64, "x", pl.Float32),
        ([0.5, math.nan, math.inf], pl.Float64, "x", pl.Float32),
        ([0.1, math.nan], pl.Float64, "x", pl.Float64),
        ([0.1 + 0.2], pl.Float64, "x", pl.Float64),
        ([1e-9, 1.0], pl.Float64, "x_x1000000000", pl.UInt32),
        ([1e300], pl.Float64, "x", pl.Float64),
        ([2.0**80], pl.Float64, "x", pl.Float32),
        (["a", "a", None], pl.String, "x", pl.Enum(["a"])),
        (["a", "b"], pl.String, "x", pl.String),
        (["b", "b", "a", "b"], pl.Categorical, "x", pl.Enum(["a", "b"])),
    ],
)
def test_each_kind_of_column_takes_its_narrowest_type(values: list[Any], kind: Any, name: str, narrow_kind: Any) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=kind)})
    small, report = narrow(frame)
    assert dict(small.schema) == {name: narrow_kind}
    same(widen(small, report), frame)


def test_a_second_time_becomes_its_distance_from_the_first() -> None:
    frame = pl.DataFrame({"a": [10**18, 10**18], "b": [10**18 + 5, None]}).cast(pl.Datetime("ns"))
    small, report = narrow(frame)
    assert small.schema == {"a": pl.Datetime("ns"), "b_minus_a": pl.UInt8}
    same(widen(small, report), frame)
    assert narrow(frame, offsets=False)[0].schema == frame.schema
    early = frame.with_columns(pl.Series("b", [10**18 - 5, None]).cast(pl.Datetime("ns")))
    assert narrow(early)[0].schema["b_minus_a"] == pl.Int8


def test_a_name_that_is_taken_is_not_taken_twice() -> None:
    frame = pl.DataFrame({"p": [1.25, 1.5], "p_x100": [7.25, 7.5]})
    small, report = narrow(frame)
    assert small.columns == ["p", "p_x100_x100"]
    same(widen(small, report), frame)


def test_the_report_says_what_was_saved() -> None:
    frame = cift.demo_catalog().sql("select * exclude (symbol, date) from quotes")
    small, report = narrow(frame)
    assert report.rows == frame.height
    assert report.bytes == frame.estimated_size()  # there are no texts in it
    assert report.narrow_bytes == small.estimated_size()
    assert report.saved == 1 - small.estimated_size() / frame.estimated_size()
    text = repr(report)
    assert "bid_price_x100: Float64 -> UInt16, in 1e-2" in text
    assert text.startswith(f"{frame.height:,} rows: ")
    assert narrow(pl.DataFrame({"x": []}))[1].saved == 0
    texts = pl.Series(["a", "b", None, "longer than twelve"] * 4)
    assert bytes_of(texts) == 16 * 16 + 4 * 18 + 2
    assert "Enum of 2" in repr(narrow(pl.DataFrame({"x": ["a", "b"] * 5}))[1])


@pytest.mark.parametrize("schema", ["quotes", "trades", "mbo"])
def test_tick_frames_are_half_as_large_or_less(schema: str) -> None:
    """The demo market, by the columns of the schema and its symbol."""
    frame = cift.demo_catalog().sql(f"select * exclude date from {schema}")
    small, report = narrow(frame)
    same(widen(small, report), frame)
    assert 0.5 <= report.saved <= 0.7


def test_what_was_changed_since_is_told() -> None:
    frame = pl.DataFrame({"a": [1.25, 1.5], "t": [1, 2], "u": [2, 3]}).cast({"t": pl.Datetime("ns"), "u": pl.Datetime("ns")})
    small, report = narrow(frame)
    with pytest.raises(DataError, match="'a_x100' missing, which 'a' is made of"):
        widen(small.drop("a_x100"), report)
    with pytest.raises(DataError, match="'t' missing"):
        widen(small.drop("t"), report)
    with pytest.raises(DataError, match="is Float64; it was UInt8"):
        widen(small.with_columns(pl.col("a_x100") / 3), report)
    with pytest.raises(DataError, match="has a column 'a' of its own"):
        widen(small.with_columns(a=1), report)
    assert widen(small.with_columns(mine=1), report).columns == ["a", "t", "u", "mine"]


def test_a_hundred_thousand_prints_come_back() -> None:
    rng = np.random.default_rng(0)
    ticks = 58_000 + rng.integers(-2, 3, 100_000).cumsum()
    frame = pl.DataFrame({"price": ticks / 100, "fine": ticks / 100_000, "size": rng.integers(1, 500, 100_000) / 1_000})
    small, report = narrow(frame)
    same(widen(small, report), frame)
    assert small.columns == ["price_x100", "fine_x100000", "size_x1000"]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("a", [1.5, -0.0, None], dtype=pl.Float16),
        pl.Series("a", [2**100, 2**100 + 1], dtype=pl.Int128),
        pl.Series("a", [-(2**100), -(2**100) + 1], dtype=pl.Int128),
        pl.Series("a", [2**127, 2**127 + 1], dtype=pl.UInt128),
        pl.Series("", [1.25, 2.5]),
        pl.Series("a", [object(), object()], dtype=pl.Object),
    ],
)
def test_what_cannot_be_narrowed_passes_as_it_is(column):
    small, report = narrow(pl.DataFrame({column.name: column}))
    assert small.schema == {column.name: column.dtype}
    assert widen(small, report)[column.name].to_list() == column.to_list()
