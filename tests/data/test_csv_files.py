"""Frames to CSV and Parquet and back, to the last bit."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cift
from cift.data.csv_files import read_csv, write_csv
from cift.data.narrowing import narrow, widen
from cift.errors import CorruptData, DataError, InvalidParameter
from tests.data.test_narrowing import same

YEARS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
COLUMNS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "floats": (st.floats(), pl.Float64),
    "singles": (st.floats(width=32), pl.Float32),
    "wholes": (st.integers(-(2**63), 2**63 - 1), pl.Int64),
    "ids": (st.integers(0, 2**64 - 1), pl.UInt64),
    "bytes": (st.integers(0, 255), pl.UInt8),
    "ns": (st.integers(-(2**62), 2**62), pl.Datetime("ns", "UTC")),
    "tokyo": (st.integers(-(2**62), 2**62), pl.Datetime("ns", "Asia/Tokyo")),
    "naive": (st.integers(-(10**15), 10**15), pl.Datetime("us")),
    "coarse": (st.integers(-(10**12), 10**12), pl.Datetime("ms", "UTC")),
    "days": (st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)), pl.Date),
    "clock": (st.integers(0, 86_400 * 10**9 - 1), pl.Time),
    "spans": (st.integers(-(2**62), 2**62), pl.Duration("ns")),
    "texts": (TEXTS, pl.String),
    "words": (st.sampled_from(["buy", "sell"]), pl.Categorical),
    "enum": (st.sampled_from(["b", "a"]), pl.Enum(["b", "a"])),
    "flags": (st.booleans(), pl.Boolean),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(0, 20))
    made = {}
    for name in draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=6, unique=True)):
        values, kind = COLUMNS[name]
        holes = draw(st.sampled_from([st.nothing(), st.none()]))
        column = draw(st.lists(st.one_of(holes, values), min_size=rows, max_size=rows))
        raw = pl.Int64 if kind.is_temporal() and kind != pl.Date else kind
        made[name] = pl.Series(name, column, dtype=raw).cast(kind)
    return pl.DataFrame(made)


def one_nan(frame: pl.DataFrame) -> pl.DataFrame:
    """CSV has one NaN, whatever bits it had."""
    floats = [name for name, kind in frame.schema.items() if kind.is_float()]
    return frame.with_columns(
        pl.when(pl.col(name).is_nan()).then(math.nan).otherwise(pl.col(name)).cast(frame.schema[name]).alias(name)
        for name in floats
    )


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.zst"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames())
def test_csv_gives_back_every_bit(frame: pl.DataFrame, name: str, tmp_path: Path) -> None:
    write_csv(frame, tmp_path / name, overwrite=True)
    same(read_csv(tmp_path / name, frame.schema), one_nan(frame))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(frame=frames())
def test_parquet_gives_back_every_bit_of_a_frame_and_of_a_narrow_one(frame: pl.DataFrame, tmp_path: Path) -> None:
    frame.write_parquet(tmp_path / "x.parquet")
    same(pl.read_parquet(tmp_path / "x.parquet"), frame)
    small, report = narrow(frame)
    small.write_parquet(tmp_path / "x.parquet")
    same(widen(pl.read_parquet(tmp_path / "x.parquet"), report), frame)


def test_values_are_written_as_they_are_told(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"price": [100.1, None, math.nan], "at": [0, 1_500_000_000, None], "word": ["", None, "a,b"], "on": [True, False, None]}
    ).cast({"at": pl.Datetime("ns", "UTC")})
    write_csv(frame, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        "price,at,word,on",
        '100.1,1970-01-01T00:00:00.000000000Z,"",true',
        ",1970-01-01T00:00:01.500000000Z,,false",
        'NaN,,"a,b",',
    ]


@pytest.mark.parametrize("schema", ["mbo", "quotes", "trades"])
def test_ticks_come_back(schema: str, tmp_path: Path) -> None:
    frame = cift.demo_catalog().sql(f"select * exclude date from {schema}").head(20_000)
    write_csv(frame, tmp_path / "x.csv.zst")
    same(read_csv(tmp_path / "x.csv.zst", schema), frame)
    write_csv(frame.drop("symbol"), tmp_path / "y.csv")
    same(read_csv(tmp_path / "y.csv", schema), frame.drop("symbol"))


def test_a_file_is_not_replaced_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_csv(pl.DataFrame({"a": [1]}), path)
    with pytest.raises(InvalidParameter, match="exists; pass overwrite=True"):
        write_csv(pl.DataFrame({"a": [2]}), path)
    assert path.read_text() == "a\n1\n"
    write_csv(pl.DataFrame({"a": [2]}), path, overwrite=True)
    assert path.read_text() == "a\n2\n"
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]


def test_what_csv_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"column 'a' is List\(Int64\), which CSV cannot hold"):
        write_csv(pl.DataFrame({"a": [[1]]}), tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "schema", "message"),
    [
        ("a,b\n1,2\n", {"a": pl.Int64}, "has the columns a, b; a were expected"),
        ("a\nx\n", {"a": pl.Int64}, "x"),
        ("a\n300\n", {"a": pl.UInt8}, "300"),
        ("a\n2026-13-01T00:00:00Z\n", {"a": pl.Datetime("ns", "UTC")}, "2026-13-01"),
        ("a\nmaybe\n", {"a": pl.Boolean}, "maybe"),
        ("a\nc\n", {"a": pl.Enum(["a"])}, "c"),
        ("a\n2026-02-30\n", {"a": pl.Date}, "2026-02-30"),
        ("a\n25:00:00\n", {"a": pl.Time}, "25:00:00"),
        ("a\nsoon\n", {"a": pl.Duration("ns")}, "soon"),
        ("price\n1\n", "trades", "ts_event, ts_recv"),
        ("", {"a": pl.Int64}, "no CSV file"),
    ],
)
def test_what_does_not_fit_the_types_is_refused(text: str, schema: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_csv(tmp_path / "x.csv", schema)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_csv(tmp_path / "x.csv", {"a": pl.Int64})
    (tmp_path / "x.csv.gz").write_bytes(b"a\n1\n")
    with pytest.raises(CorruptData, match=r"x\.csv\.gz cannot be read"):
        read_csv(tmp_path / "x.csv.gz", {"a": pl.Int64})


def test_names_with_quotes_come_back(tmp_path):
    frame = pl.DataFrame({'c"d': [1, 2], '""': ["x", 'y"'], "a,b": [0.5, None]})
    write_csv(frame, tmp_path / "x.csv")
    assert read_csv(tmp_path / "x.csv", frame.schema).equals(frame)
