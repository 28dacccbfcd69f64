"""A Parquet file is read and screened by blocks, and is what a frame of the same rows is, to the last flag and word."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cift
from cift.data import frame_rows, frames
from cift.data.columns import to_arrow
from cift.data.frame_rows import ParquetRows
from cift.domain.chunk import SchemaName
from cift.errors import CiftError, DataError, NoData, TimeOrder
from tests.data.market import make

ROWS = 80
OPEN = {"trades": cift.trades, "quotes": cift.quotes}


def spoilt(schema: SchemaName, seed: int) -> pa.Table:
    """Rows with faults that are set aside, flagged or refused, events of several rows, and at times a symbol."""
    rng = np.random.default_rng(seed)
    columns = {**make(schema, ROWS, seed % 1_000, gap_ns=10**9), "sequence": np.arange(ROWS)}
    columns["flags"] = rng.choice([0, 128], ROWS, p=[0.7, 0.3]).astype(np.uint8)
    prices = [name for name in columns if name.endswith("price")]
    sizes = [name for name in columns if name.endswith("size")]
    for name in (*prices, *sizes):
        columns[name][rng.integers(0, ROWS, 3)] = rng.choice([0.0, -0.0, 100.0, 1e9, 0.001])
    if rng.random() < 0.2:
        columns["ts_event"] = rng.permuted(columns["ts_event"])
    table = to_arrow(schema, columns)
    if rng.random() < 0.3:
        table = table.append_column("symbol", pa.array(["ABC.SIM"] * (ROWS - 1) + [rng.choice(["ABC.SIM", "XYZ.SIM"])]))
    if rng.random() < 0.3:
        table = table.drop_columns([rng.choice(["flags", "ts_recv", "venue_seq"])])
    if rng.random() < 0.1:
        column = table.schema.names.index(sizes[0])
        table = table.set_column(column, sizes[0], pa.array([None if n == 60 else 1.0 for n in range(ROWS)]))
    return table


def outcome(read, source, **options) -> tuple[object, ...]:
    try:
        view = read(source, **options)
    except CiftError:
        # Which of several faults is told may depend on the blocks: all of one kind are looked for before those of another.
        return ("refused",)
    return view.feeds[0].content_hash, sorted(view.notes), view.symbols, view.feeds[0].table.num_rows


@given(
    schema=st.sampled_from(["trades", "quotes"]),
    seed=st.integers(0, 2**32),
    block=st.sampled_from([1, 7, 33]),
    sort=st.booleans(),
    stated=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_file_is_what_a_frame_of_its_rows_is(tmp_path_factory, schema, seed, block, sort, stated):
    table = spoilt(schema, seed)
    path = tmp_path_factory.mktemp("frames") / "x.parquet"
    pq.write_table(table, path, row_group_size=50)
    options = {
        "sort": sort,
        "policies": {"zero_price": "pass"},
        **({"tick_size": "0.001", "lot_size": "0.001"} if stated else {}),
    }
    whole = outcome(OPEN[schema], table, **options)
    with mock.patch.object(frame_rows, "ROWS_PER_BLOCK", block), mock.patch.object(frames, "ROWS_PER_BLOCK", block):
        assert outcome(OPEN[schema], path, **options) == whole
        assert outcome(OPEN[schema], table, **options) == whole


def test_rows_of_the_caller_are_not_written_to(tmp_path):
    columns = {**make("trades", ROWS), "sequence": np.arange(ROWS)}
    columns["size"][10] = 0.0
    columns["price"][20] = -0.0
    columns["price"][30] = 1e9
    table = pa.table({name: columns[name] for name in ("ts_event", "price", "size", "flags")})
    before = {name: table[name].to_numpy().copy() for name in table.column_names}
    with mock.patch.object(frame_rows, "ROWS_PER_BLOCK", 8):
        view = cift.trades(table, policies={"zero_price": "pass", "price_jump": "quarantine"})
    assert view.feeds[0].table.num_rows == ROWS - 2
    assert all(np.array_equal(table[name].to_numpy(), before[name]) for name in before)
    assert np.array_equal(np.signbit(table["price"].to_numpy()), np.signbit(before["price"]))


def test_errors_number_the_rows_of_the_file(tmp_path):
    words = ["buy"] * 70 + ["bogus"] + ["buy"] * 9
    sides = pa.table({"ts_event": np.arange(80) + 10**18, "price": 1.0 + np.zeros(80), "size": np.ones(80), "aggressor": words})
    pq.write_table(sides, tmp_path / "sides.parquet")
    pq.write_table(
        pa.table({"ts_event": [10**18 + n for n in (*range(50), 7)], "price": [1.0] * 51, "size": [1.0] * 51}),
        tmp_path / "back.parquet",
    )
    holes = sides.set_column(1, "price", pa.array([None if n == 66 else 1.0 for n in range(80)]))
    pq.write_table(holes, tmp_path / "holes.parquet")
    with mock.patch.object(frame_rows, "ROWS_PER_BLOCK", 16):
        with pytest.raises(DataError, match="aggressor of row 70 is 'bogus'"):
            cift.trades(tmp_path / "sides.parquet")
        with pytest.raises(DataError, match="column 'price' is null at row 66"):
            cift.trades(tmp_path / "holes.parquet")
        with pytest.raises(TimeOrder, match="trades, row 50: ts_event goes back in time"):
            cift.trades(tmp_path / "back.parquet")


def test_only_the_columns_that_count_are_read(tmp_path):
    table = pa.table({"time": np.arange(10) + 10**18, "price": np.ones(10), "size": np.ones(10), "a.b": [{"c": 1}] * 10})
    pq.write_table(table, tmp_path / "x.parquet")
    assert cift.trades(tmp_path / "x.parquet").feeds[0].table.num_rows == 10
    dotted = table.rename_columns(["time", "last.price", "size", "other"])
    pq.write_table(dotted, tmp_path / "dotted.parquet")
    assert cift.trades(tmp_path / "dotted.parquet", columns={"price": "last.price"}).feeds[0].table.num_rows == 10


def test_a_folder_of_files_is_read_as_one_frame(tmp_path):
    table = pa.table({"ts_event": np.arange(10) + 10**18, "price": np.ones(10), "size": np.ones(10)})
    for name in "ab":
        pq.write_table(table, tmp_path / f"{name}.parquet")
    assert cift.trades(tmp_path, sort=True).feeds[0].table.num_rows == 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    table = pa.table({"ts_event": np.arange(10) + 10**18, "price": np.ones(10), "size": np.ones(10)})
    pq.write_table(table, tmp_path / "x.parquet")
    return tmp_path / "x.parquet"


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (10**14, r"declares 100,000,000,000,000 rows, too many to hold"),
        (11, "declares 11 rows and holds 10"),
        (9, "declares 9 rows and holds 10"),
    ],
)
def test_a_file_that_declares_other_rows_than_it_holds_is_refused(path, declared, told):
    real = ParquetRows.__init__

    def lying(self, given):
        real(self, given)
        self.rows = declared

    with mock.patch.object(ParquetRows, "__init__", lying), pytest.raises(DataError, match=told):
        cift.trades(path)


def test_a_file_without_rows_or_without_a_page_says_so(path, tmp_path):
    pq.write_table(pq.read_table(path).slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(NoData, match="the frame of trades has no rows"):
        cift.trades(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("not one")
    for name in ("text.parquet", "missing.parquet"):
        with pytest.raises(DataError, match=f"{name} cannot be read as Parquet"):
            cift.trades(tmp_path / name)
    data = bytearray(path.read_bytes())
    data[4:40] = bytes(36)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.parquet cannot be read as Parquet"):
        cift.trades(path)
