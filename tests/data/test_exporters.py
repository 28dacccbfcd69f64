"""What is exported is imported again with the same content hash, and a file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cift.data.catalog import Catalog
from cift.data.csv_files import read_csv
from cift.data.exporters import FORMATS, databento
from cift.data.importers import import_csv, import_databento, import_parquet
from cift.domain.instrument import Instrument
from cift.domain.schemas import BAD_TS_RECV, NO_TIME_NS
from cift.errors import CorruptData, DataError, InvalidParameter, MissingExtra, NoData, NotSupported, UnknownName, UnknownSymbol
from tests.data.market import ABC, DAY_NS, HOUR_NS, MONDAY_NS, SYMBOL, QuickDisk, make, schemas
from tests.data.test_disk_faults import FaultyDisk

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("export_child.py")
NAMES = ("x.parquet", "x.csv", "x.csv.gz", "x.csv.zst", "x.jsonl", "x.ndjson.gz", "x.jsonl.zst", "x.dbn", "x.dbn.zst")
# What the screens would leave out of made-up rows is no matter here.
LENIENT = {"duplicate": "pass"}


def for_dbn(schema: str, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns with what DBN can hold: no ids of trades, and a venue sequence in every row."""
    changed = {**columns, "venue_seq": np.arange(len(columns["ts_event"]))}
    if schema == "trades":
        changed["trade_id"] = np.zeros_like(columns["trade_id"])
    return changed


def stored(folder: Path, schema: Any, columns: dict[str, Any]) -> Catalog:
    catalog = Catalog(folder, disk=QuickDisk())
    catalog.write(schema, SYMBOL, columns, ABC)
    return catalog


def hash_of(catalog: Catalog, schema: str) -> str:
    return str(catalog.describe(SYMBOL)["schemas"][schema]["content_hash"])


def imported(folder: Path, file: Path, schema: Any) -> Catalog:
    """A new catalog with what the file holds."""
    catalog = Catalog(folder, disk=QuickDisk())
    steps: dict[str, Any] = {"tick_size": ABC.tick_size, "lot_size": ABC.lot_size}
    if ".dbn" in file.suffixes:
        import_databento(catalog, file, **steps)
    elif {".jsonl", ".ndjson"} & set(file.suffixes):
        rows = pl.read_ndjson(file, infer_schema_length=None)
        times = [
            pl.col(name).cast(pl.String).str.to_datetime(time_unit="ns", time_zone="UTC") for name in ("ts_event", "ts_recv")
        ]
        catalog.write(schema, SYMBOL, rows.with_columns(*times), ABC)
    elif schema in ("mbo", "mbp"):
        catalog.write(schema, SYMBOL, file if file.suffix == ".parquet" else read_csv(file, schema), ABC)
    elif file.suffix == ".parquet":
        import_parquet(catalog, file, schema=schema, symbol=SYMBOL, **steps)
    else:
        import_csv(catalog, file, schema=schema, symbol=SYMBOL, **steps)
    return catalog


@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(schema=schemas, seed=st.integers(0, 2**32), gap_ns=st.sampled_from([10**9, 10**12]))
def test_an_export_is_imported_with_the_same_content(
    name: str, schema: Any, seed: int, gap_ns: int, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("export")
    columns = make(schema, 200, seed, MONDAY_NS + HOUR_NS, gap_ns)
    if schema == "mbo":  # orders that are announced and traded, as a book has them
        columns |= {"action": np.full(200, ord("A"), np.uint8), "order_id": np.arange(1, 201, dtype=np.uint64) << np.uint64(40)}
        columns["price"] = np.round(np.nan_to_num(columns["price"], nan=100.0), 2)
    if schema == "mbp":
        assume(".dbn" not in name)
        columns["price"] = np.round(columns["price"], 2)
    if ".dbn" in name:
        columns = for_dbn(schema, columns)
    catalog = stored(folder / "a", schema, columns)
    report = catalog.export(folder / name)
    assert report.content_hash == hash_of(catalog, schema)
    assert (report.rows, report.bytes, report.notes) == (200, (folder / name).stat().st_size, ())
    assert hash_of(imported(folder / "b", folder / name, schema), schema) == report.content_hash


def test_each_format_holds_what_it_says(tmp_path: Path) -> None:
    catalog = stored(tmp_path / "a", "trades", make("trades", 50))
    frame = catalog.sql("select * exclude date from trades")
    catalog.export(tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet").cast({"aggressor": pl.String}).equals(frame)
    assert pq.ParquetFile(tmp_path / "x.parquet", page_checksum_verification=True).read().num_rows == 50
    catalog.export(tmp_path / "x.csv")
    assert read_csv(tmp_path / "x.csv", "trades").equals(frame)
    catalog.export(tmp_path / "x.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [row["price"] for row in rows] == frame["price"].to_list()
    assert [row["trade_id"] for row in rows] == frame["trade_id"].to_list()
    assert [row["ts_recv"] is None for row in rows] == frame["ts_recv"].is_null().to_list()
    assert rows[0]["ts_event"] == frame["ts_event"].dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ")[0]
    assert set(rows[0]) == set(frame.columns)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    catalog = stored(tmp_path / "a", "quotes", make("quotes", 50))
    for name in NAMES:
        catalog.export(tmp_path / name)
        before = (tmp_path / name).read_bytes()
        catalog.export(tmp_path / name, overwrite=True)
        assert (tmp_path / name).read_bytes() == before


# ------------------------------------------------------------------ Databento's form


@pytest.mark.parametrize(("schema", "record"), [("mbo", dbn.MBOMsg), ("quotes", dbn.MBP1Msg), ("trades", dbn.TradeMsg)])
def test_records_and_columns_are_those_of_the_vendor(schema: Any, record: Any) -> None:
    _, _, fields = databento.RECORDS[schema]
    assert [(name, "u1" if kind == "S1" else kind) for name, kind in record._dtypes] == fields
    assert databento.csv_columns(schema) == (*record._ordered_fields, "symbol")


@pytest.mark.parametrize("schema", ["mbo", "quotes", "trades"])
def test_the_vendors_own_reader_reads_it(schema: Any, tmp_path: Path) -> None:
    columns = make(schema, 40)
    catalog = stored(tmp_path / "a", schema, columns)
    held = catalog.sql(f"select * from {schema}")
    catalog.export(tmp_path / "x.dbn")
    catalog.export(tmp_path / "x.csv", format="dbn-csv")
    decoder = dbn.DBNDecoder()
    metadata, *records = decoder.write_and_decode((tmp_path / "x.dbn").read_bytes())
    assert decoder.buffer() == b""
    assert (metadata.dataset, metadata.symbols) == ("SIM.CIFT", ["ABC"])
    assert str(metadata.schema) == {"quotes": "mbp-1"}.get(schema, schema)
    assert len(records) == 40
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text())))
    for record, row, ours in zip(records, rows, held.iter_rows(named=True), strict=True):
        for name in databento.csv_columns(schema)[:-1]:
            told = record.levels[0] if name[-2:] == "00" else record
            value = getattr(told, name[:-3] if name[-2:] == "00" else name)
            assert row[name] == str(getattr(value, "value", value)), name
        assert row["symbol"] == "ABC"
        price = ours["bid_price" if schema == "quotes" else "price"]
        units = record.levels[0].bid_px if schema == "quotes" else record.price
        assert units == (dbn.UNDEF_PRICE if price is None else round(price * 100) * 10**7)
        assert record.ts_recv == (dbn.UNDEF_TIMESTAMP if ours["ts_recv"] is None else record.ts_recv)


def test_what_dbn_has_no_place_for_is_told(tmp_path: Path) -> None:
    columns = make("trades", 30)
    columns["venue_seq"] = np.where(np.arange(30) < 3, [NO_TIME_NS, 2**32, -1] * 10, 7)
    columns["trade_id"] = np.where(np.arange(30) < 4, 9, 0).astype(np.uint64)
    catalog = stored(tmp_path / "a", "trades", columns)
    for report in (catalog.export(tmp_path / "x.dbn"), catalog.export(tmp_path / "x.csv", format="dbn-csv")):
        assert report.notes == (
            "4 ids of trades are left out: DBN has no place for them",
            "3 venue sequences are missing or longer than 32 bits; they are 0 in the file",
        )
        assert "note: 4 ids" in repr(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0.5}, r"row 7: size 0\.5 is no whole number below 2\*\*32"),
        ({"size": 2.0**32}, "row 7: size 4294967296"),
        ({"price": 1e-10}, "row 7: price 1e-10 is no whole number of 1e-9"),
        ({"price": 1e10}, r"row 7: price 10000000000\.0 is no"),
        ({"ts_event": -5}, "row 7: ts_event lies before 1970"),
    ],
)
def test_a_value_that_a_record_cannot_hold_is_an_error(change: dict[str, Any], message: str) -> None:
    columns = make("trades", 10)
    for name, value in change.items():
        columns[name] = columns[name].copy()
        columns[name][7] = value
    with pytest.raises(DataError, match=message):
        databento.Records("trades").of(columns)


@given(units=st.lists(st.integers(-(2**63) + 1, 2**63 - 2), min_size=1))
def test_every_price_of_theirs_is_written_as_a_price_that_reads_the_same(units: list[int]) -> None:
    values = databento.prices(np.array(units, dtype=np.int64))
    columns = make("trades", len(units)) | {"price": values}
    try:
        made = databento.Records("trades").of(columns)["price"]
    except DataError:
        assert np.abs(values).max() >= 2.0**63 / 1e9  # the float nearest to the largest is beyond it
        return
    assert np.array_equal(databento.prices(made), values)


def test_a_schema_without_a_form_of_theirs_is_refused() -> None:
    with pytest.raises(NotSupported, match="bars has no form"):
        databento.Records("bars")  # type: ignore[arg-type]


def test_a_symbol_needs_a_venue_that_a_dataset_can_be_called_by(tmp_path: Path) -> None:
    columns = make("trades", 10)
    for symbol in ("ABC", "ABC.A-VENUE", "ABC.HYPERLIQUID", "ABC.BÖRSE"):
        catalog = Catalog(tmp_path / symbol, disk=QuickDisk())
        catalog.write("trades", symbol, columns, Instrument(symbol, tick_size="0.01", lot_size=1))
        with pytest.raises(DataError, match=r"names no venue that DBN can hold: .* at most 10, .*; the format dbn-csv"):
            catalog.export(tmp_path / "x.dbn")
        catalog.export(tmp_path / f"{symbol}.csv", format="dbn-csv")
    assert not (tmp_path / "x.dbn").exists()
    longest = Catalog(tmp_path / "longest", disk=QuickDisk())
    longest.write("trades", "ABC.ABCDEFGHIJ", columns, Instrument("ABC.ABCDEFGHIJ", tick_size="0.01", lot_size=1))
    longest.export(tmp_path / "longest.dbn")
    assert import_databento(Catalog(tmp_path / "again", disk=QuickDisk()), tmp_path / "longest.dbn").symbol == "ABC.ABCDEFGHIJ"
    long_name = f"{'A' * 80}.SIM"
    long_symbol = Catalog(tmp_path / "long", disk=QuickDisk())
    long_symbol.write("trades", long_name, columns, Instrument(long_name, tick_size="0.01", lot_size=1))
    with pytest.raises(DataError, match=r"cannot be named in DBN's metadata: .*; export as dbn-csv"):
        long_symbol.export(tmp_path / "x.dbn")


def test_without_the_vendors_package_there_is_still_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = stored(tmp_path / "a", "trades", make("trades", 10))
    monkeypatch.setitem(sys.modules, "databento_dbn", None)
    with pytest.raises(MissingExtra, match=r"cift-markets\[databento\]"):
        catalog.export(tmp_path / "x.dbn")
    assert catalog.export(tmp_path / "x.csv", format="dbn-csv").rows == 10


# ------------------------------------------------------------------ what is selected


def test_a_period_is_cut_exactly_but_orders_begin_with_their_day(tmp_path: Path) -> None:
    for schema in ("quotes", "mbo"):
        columns = make(schema, 300, gap_ns=HOUR_NS // 2)
        catalog = stored(tmp_path / schema, schema, columns)
        start, end = MONDAY_NS + DAY_NS + 5 * HOUR_NS, MONDAY_NS + 2 * DAY_NS + HOUR_NS
        report = catalog.export(tmp_path / f"{schema}.parquet", start=start, end=end)
        times = pl.read_parquet(tmp_path / f"{schema}.parquet")["ts_event"].to_physical()
        begin = start if schema == "quotes" else MONDAY_NS + DAY_NS
        expected = [time for time in columns["ts_event"] if begin <= time < end]
        assert times.to_list() == expected
        assert report.rows == len(expected)


def test_what_is_not_there_writes_no_file(tmp_path: Path) -> None:
    catalog = stored(tmp_path / "a", "quotes", make("quotes", 20))
    target = tmp_path / "x.csv"
    with pytest.raises(UnknownSymbol, match="did you mean"):
        catalog.export(target, symbol="ABD.SIM")
    with pytest.raises(NoData, match=r"no quotes from 2027"):
        catalog.export(target, start="2027-01-01")
    with pytest.raises(NoData, match="in this period; nothing was written"):
        catalog.export(target, start="2026-01-05T23:00", end="2026-01-05T23:01")
    with pytest.raises(NoData, match="has no trades in this period; it has quotes"):
        catalog.export(target, schema="trades")
    with pytest.raises(UnknownName, match="schema 'ticks'"):
        catalog.export(target, schema="ticks")
    with pytest.raises(InvalidParameter, match="it holds no data"):
        Catalog(tmp_path / "empty").export(target)
    catalog.write("trades", SYMBOL, make("trades", 20))
    with pytest.raises(InvalidParameter, match=r"ABC\.SIM has quotes, trades, and a file holds one; pass schema="):
        catalog.export(target)
    catalog.write("trades", "B.SIM", make("trades", 20), Instrument("B.SIM", tick_size="0.01", lot_size=1))
    with pytest.raises(InvalidParameter, match=r"say which symbol .*; it holds ABC\.SIM, B\.SIM"):
        catalog.export(target)
    assert catalog.export(target, symbol="B.SIM").symbol == "B.SIM"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "x.csv"]


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("x", None, "does not say its format"),
        ("x.txt", None, "does not say its format"),
        ("x.gz", None, "does not say its format"),
        ("x.parquet.gz", None, r"compressed inside; leave out \.gz"),
        ("x.dbn.gz", None, r"DBN is plain or \.zst"),
        ("x.csv", "arrow", "format 'arrow' is not known; choose one of parquet, csv, jsonl, dbn, dbn-csv"),
        ("questdb://localhost:9000", None, "cift data load CATALOG --to questdb://localhost:9000"),
        ("none/x.csv", None, "there is no folder"),
        ("folder", "csv", "is a folder"),
    ],
)
def test_a_file_that_cannot_be_is_refused(name: str, asked: Any, message: str, tmp_path: Path) -> None:
    catalog = stored(tmp_path / "a", "quotes", make("quotes", 20))
    (tmp_path / "folder").mkdir()
    with pytest.raises((InvalidParameter, UnknownName), match=message):
        catalog.export(name if ":" in name else tmp_path / name, format=asked)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_format_may_be_named_for_any_file(format_name: str, tmp_path: Path) -> None:
    catalog = stored(tmp_path / "a", "quotes", make("quotes", 20))
    report = catalog.export(tmp_path / "ticks", format=format_name)
    assert (report.format, report.rows) == (format_name, 20)


# ------------------------------------------------------------------ whole or not at all


def test_a_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    catalog = stored(tmp_path / "a", "quotes", make("quotes", 20))
    target = tmp_path / "x.csv"
    target.write_text("mine")
    with pytest.raises(InvalidParameter, match="exists; pass overwrite=True"):
        catalog.export(target)
    assert target.read_text() == "mine"
    catalog.export(target, overwrite=True)
    assert target.read_text().startswith("ts_event,")


@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_disk_refuses_the_old_file_stands(name: str, tmp_path: Path) -> None:
    catalog, target = stored(tmp_path / "a", "quotes", make("quotes", 400)), tmp_path / name
    catalog.export(target)
    whole, refused = target.read_bytes(), 0
    while True:
        target.write_text("old")
        disk = FaultyDisk(refused + 1, forever=False)
        try:
            Catalog(tmp_path / "a", disk=disk).export(target, overwrite=True)
        except OSError:
            refused += 1
            # The folder's entry is synced last; the file is whole by then.
            assert target.read_bytes() in (b"old", whole)
            assert sorted(path.name for path in tmp_path.iterdir()) == ["a", name]
            continue
        break
    assert refused >= 5  # create, write, sync, rename, sync of the folder
    assert target.read_bytes() == whole


def test_a_damaged_day_leaves_no_file(tmp_path: Path) -> None:
    catalog = stored(tmp_path / "a", "quotes", make("quotes", 400))
    (file,) = (tmp_path / "a").glob("quotes/*/*/*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 8
    file.write_bytes(data)
    for name in NAMES:
        with pytest.raises(CorruptData):
            catalog.export(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Eight row groups, and then forty of them, in a process of its own."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.data.export_child", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    small_kib, large_kib = map(int, process.stdout.split())
    assert large_kib - small_kib < 60_000


def test_a_time_of_receipt_that_dbn_cannot_hold_is_undefined_there(tmp_path: Path) -> None:
    columns = for_dbn("trades", make("trades", 30))
    columns["ts_recv"][[3, 4]] = -5, NO_TIME_NS
    catalog = stored(tmp_path / "a", "trades", columns)
    report = catalog.export(tmp_path / "x.dbn")
    assert any(note.startswith("1 times of receipt lie before 1970") for note in report.notes)
    _, *records = dbn.DBNDecoder().write_and_decode((tmp_path / "x.dbn").read_bytes())
    assert [records[row].ts_recv for row in (3, 4)] == [dbn.UNDEF_TIMESTAMP] * 2
    assert [records[row].flags & BAD_TS_RECV for row in (3, 4)] == [BAD_TS_RECV, 0]
