from __future__ import annotations

import gzip
import lzma
import os
import random
import subprocess
import sys
import zipfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from cift.data.catalog import Catalog
from cift.data.importers import import_csv, import_lean, import_parquet, import_taq, import_tardis, import_truefx, table_files
from cift.errors import (
    CorruptData,
    DataError,
    InvalidParameter,
    NoData,
    NotSupported,
    OffTickPrice,
    TimeOrder,
    UnknownName,
)
from tests.data.market import MONDAY_NS

CHILD = Path(__file__).with_name("tables_child.py")
ROOT = Path(__file__).parents[2]
MEMORY_KIB_MAX = 700_000
ABC = "ABC.SIM"
TRADES = "ts_event,price,size,aggressor\n2026-01-05T09:00:00Z,10.25,3,buy\n2026-01-05T09:00:00.5Z,10.2,1,S\n"
QUOTES = "time,BID,BSZ,ASK,ASZ\n1767571200000,10.25,3,10.50,1\n1767571200001,,,10.50,2\n"
COLUMNS = {"bid_price": "BID", "bid_size": "BSZ", "ask_price": "ASK", "ask_size": "ASZ"}


def write(path: Path, text: str) -> Path:
    data = text.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".xz":
        data = lzma.compress(data)
    elif path.suffix == ".zst":
        data = pa.Codec("zstd").compress(data, asbytes=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, data)
    else:
        path.write_bytes(data)
    return path


def imported(folder: Path, text: str, name: str = "x.csv", schema: str = "trades", symbol: str = ABC, **options):
    catalog = Catalog(folder / "catalog")
    return catalog, import_csv(catalog, write(folder / name, text), schema=schema, symbol=symbol, **options)


def rows(catalog: Catalog, schema: str = "trades") -> pl.DataFrame:
    return pl.scan_parquet(catalog.path / schema).sort("ts_event", "sequence").collect()


def times(catalog: Catalog, schema: str = "trades") -> list[int]:
    """Nanoseconds since Monday 2026-01-05, midnight UTC."""
    return (rows(catalog, schema)["ts_event"].to_physical() - MONDAY_NS).to_list()


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.zst", "x.csv.xz", "x.csv.zip"])
def test_trades_are_found_by_the_names_of_their_columns(tmp_path, name):
    catalog, report = imported(tmp_path, TRADES, name)
    found = rows(catalog).select("price", "size", pl.col("aggressor").cast(pl.String), "flags").rows()
    assert found == [(10.25, 3, "buy", 128), (10.2, 1, "sell", 128)]
    assert times(catalog) == [9 * 3_600 * 10**9, 9 * 3_600 * 10**9 + 500_000_000]
    assert (report.rows_read, report.rows_written) == (2, 2)
    assert catalog.instruments()[ABC].tick_size == Decimal("0.01")
    assert report.notes == (
        "tick size of ABC.SIM inferred from its prices: 0.01; pass tick_size= to state another",
        "lot size of ABC.SIM inferred from its sizes: 1; pass lot_size= to state another",
    )


def test_columns_of_other_names_and_a_missing_side(tmp_path):
    catalog, _ = imported(tmp_path, QUOTES, schema="quotes", columns=COLUMNS, time_unit="ms")
    found = rows(catalog, "quotes").select("bid_price", "bid_size", "ask_price", "ask_size").rows()
    assert found == [(10.25, 3, 10.5, 1), (None, 0, 10.5, 2)]
    assert times(catalog, "quotes") == [0, 1_000_000]


@pytest.mark.parametrize(
    ("text", "options", "after_midnight_ns"),
    [
        ("1767571200000000007", {}, 7),
        ("1767571200000007", {"time_unit": "us"}, 7_000),
        ("1767571200.000000007", {"time_unit": "s"}, 7),
        ("1767571200000.25", {"time_unit": "ms"}, 250_000),
        ("7.5", {"time_unit": "ms", "date": "2026-01-05"}, 7_500_000),
        ("7", {"time_unit": "ms", "date": "2026-01-05", "timezone": "America/New_York"}, 5 * 3_600 * 10**9 + 7_000_000),
        ("2026-01-05 00:00:00.000000007Z", {}, 7),
        ("2026-01-05T01:00:00.5+01:00", {}, 500_000_000),
        ("2026-01-05 09:30:00", {"timezone": "America/New_York"}, (14 * 60 + 30) * 60 * 10**9),
        ("20260105 00:00:00.295", {}, 295_000_000),
    ],
)
def test_times_are_read_exactly(tmp_path, text, options, after_midnight_ns):
    catalog, _ = imported(tmp_path, f"ts_event,price,size\n{text},1,1\n", **options)
    assert times(catalog) == [after_midnight_ns]


def test_a_file_without_a_header_and_with_another_delimiter(tmp_path):
    catalog, report = imported(
        tmp_path, "5;1767571200;10.5\n6;1767571201;10.75\n", names=["size", "ts", "price"], delimiter=";", time_unit="s"
    )
    assert rows(catalog)["size"].to_list() == [5, 6]
    assert report.rows_read == 2


def test_rows_of_something_else_are_left_out(tmp_path):
    text = "ts_event,EX,price,size\n" + "".join(
        f"2026-01-05 {hour}:00:00,{exchange},10,{hour}\n" for hour in (13, 15, 22) for exchange in "NPQ"
    )
    session = ("09:30", "16:00", "America/New_York")
    catalog, report = imported(tmp_path, text, where={"EX": ["N", "Q"]}, session=session)
    assert rows(catalog)["size"].to_list() == [15, 15]
    assert (report.rows_read, report.rows_written, report.counts["left_out"]) == (9, 2, 7)


SYMBOLS = "symbol,ts_event,price,size\nABC,2026-01-05,10,1\nXYZ,2026-01-05,20,2\n"


def test_several_symbols_need_a_choice(tmp_path):
    with pytest.raises(DataError, match=r"x\.csv, rows 2 to 3: the column 'symbol' holds ABC, XYZ; pick one"):
        imported(tmp_path, SYMBOLS)
    catalog, _ = imported(tmp_path, SYMBOLS, where={"symbol": "XYZ"}, symbol="XYZ.SIM")
    assert rows(catalog)["price"].to_list() == [20]


def test_quotes_without_sizes_get_the_stated_one(tmp_path):
    text = "time,bid_price,ask_price\n2026-01-05,1.5,1.75\n"
    with pytest.raises(DataError, match="column 'bid_size' missing"):
        imported(tmp_path, text, schema="quotes")
    catalog, report = imported(tmp_path, text, schema="quotes", size=1_000)
    assert rows(catalog, "quotes")["bid_size"].to_list() == [1_000]
    assert "states no sizes: each is taken to be 1000" in report.notes[0]
    with pytest.raises(InvalidParameter, match="for tables without sizes"):
        imported(tmp_path, TRADES, size=1)


def test_steps_of_a_known_symbol_are_kept(tmp_path):
    catalog, _ = imported(tmp_path, TRADES, tick_size="0.05", lot_size=1, calendar="XNYS")
    before = catalog.instruments()[ABC]
    report = import_csv(catalog, tmp_path / "x.csv", schema="trades", symbol=ABC)
    assert catalog.instruments()[ABC] == before
    assert report.notes == ()


def test_a_price_off_the_tick_names_the_line(tmp_path):
    text = QUOTES.replace("1,,,10.50,2", "1,10.30,1,10.50,2")
    with pytest.raises(OffTickPrice, match=r"x\.csv, row 3: bid_price 10\.3 "):
        imported(tmp_path, text, schema="quotes", columns=COLUMNS, time_unit="ms", tick_size="0.25")


def test_ids_that_are_no_numbers_are_left_out(tmp_path):
    catalog, report = imported(tmp_path, "ts_event,price,size,trade_id\n2026-01-05,1,1,ab-1\n")
    assert rows(catalog)["trade_id"].to_list() == [None]
    assert "ids of trades are left out: they are no whole numbers" in report.notes


@pytest.mark.parametrize("block", [64, 100, 1_000])
def test_blocks_change_nothing(tmp_path, monkeypatch, block):
    text = "ts_event,price,size\n" + "".join(f"{MONDAY_NS + n},10.{n % 4 * 25:02},{n + 1}\n" for n in range(200))
    catalog, _ = imported(tmp_path, text)
    monkeypatch.setattr(table_files, "BYTES_PER_BLOCK", block)
    other = Catalog(tmp_path / "other")
    import_csv(other, tmp_path / "x.csv", schema="trades", symbol=ABC)
    assert other.ticks(ABC).feeds[0].content_hash == catalog.ticks(ABC).feeds[0].content_hash


def test_parquet_gives_the_same_rows_as_csv(tmp_path):
    catalog, _ = imported(tmp_path, TRADES)
    path = tmp_path / "x.parquet"
    frame = pl.read_csv(tmp_path / "x.csv", try_parse_dates=True).with_columns(pl.col("ts_event").dt.cast_time_unit("ns"))
    frame.rename({"price": "px"}).write_parquet(path)
    other = Catalog(tmp_path / "other")
    import_parquet(other, path, schema="trades", symbol=ABC, columns={"price": "px"})
    assert other.ticks(ABC).feeds[0].content_hash == catalog.ticks(ABC).feeds[0].content_hash
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptData, match=r"x\.parquet cannot be read"):
        import_parquet(other, path, schema="trades", symbol=ABC)


@pytest.mark.parametrize(
    ("text", "options", "error", "what"),
    [
        ("", {}, NoData, r"x\.csv is empty"),
        ("ts_event,price,size\n", {}, NoData, "holds no rows"),
        ("ts_event,price\n2026-01-05,1\n", {}, DataError, "column 'size' missing"),
        ("ts_event,price,size\n2026-01-05,1\n", {}, DataError, "3 names for 2 columns"),
        ("ts_event,price,size\n2026-01-05,1,1\n2026-01-05,1\n", {}, DataError, "Expected 3 columns, got 2"),
        ("ts_event,price,size\n2026-01-05,1,1\n2026-01-05,x,1\n", {}, DataError, "Row #3: CSV conversion error"),
        ("ts_event,price,size\nyesterday,1,1\n", {}, DataError, r"x\.csv, rows 2 to 2: .*yesterday"),
        ("ts_event,price,size\n1767571200000,1,1\n", {}, DataError, "looks like milliseconds"),
        ("ts_event,price,size\n9999999999999999,1,1\n", {"time_unit": "s"}, DataError, "out of range; pass time_unit="),
        ("ts_event,price,size\n2026-01-05,1,1\n2026-01-04,1,1\n", {}, TimeOrder, r"x\.csv, row 3: ts_event goes back"),
        ("ts_event,price,size\n2026-11-01 01:30:00,1,1\n", {"timezone": "America/New_York"}, DataError, "ambiguous"),
        ("ts_event,ts_event,price,size\n1,1,1,1\n", {}, DataError, "'ts_event' twice"),
        ("ts_event,price,size\n2026-01-05,-1,1\n", {}, DataError, r"x\.csv, row 2: price is negative"),
        (TRADES, {"columns": {"price": "last"}}, UnknownName, "'last', which is not among"),
        (TRADES, {"where": {"EX": "N"}}, UnknownName, "where= names 'EX'"),
        (TRADES, {"time_unit": "h"}, InvalidParameter, "ns, us, ms, s"),
        (TRADES, {"timezone": "Mars"}, InvalidParameter, "timezone 'Mars'"),
        (TRADES, {"date": "today"}, InvalidParameter, "date must be a day"),
        (TRADES, {"session": ("9", "10")}, InvalidParameter, "session must be"),
        (TRADES, {"schema": "mbo"}, InvalidParameter, "quotes, trades, mbp or bars"),
        (TRADES, {"schema": "ohlcv"}, UnknownName, "schema 'ohlcv'"),
    ],
)
def test_what_cannot_be_read_is_a_typed_error(tmp_path, text, options, error, what):
    with pytest.raises(error, match=what):
        imported(tmp_path, text, **options)
    assert Catalog(tmp_path / "catalog").symbols() == []


def test_a_zip_of_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.csv", TRADES)
        archive.writestr("b.csv", TRADES)
    with pytest.raises(DataError, match="holds 2 files"):
        import_csv(Catalog(tmp_path / "catalog"), tmp_path / "x.zip", schema="trades", symbol=ABC)


def test_damaged_tables_end_in_a_typed_error_and_leave_the_catalog_alone(tmp_path):
    """Files cut, flipped and overwritten, and a line that unpacks to a quarter of a gigabyte, in a child process."""
    rng = random.Random(1)
    text = "ts_event,price,size,aggressor\n" + "".join(
        f"{MONDAY_NS + n},10.25,{rng.randrange(9) + 1},buy\n" for n in range(300)
    )
    for name in ("a.csv", "a.csv.gz", "a.csv.zst", "a.csv.xz", "a.csv.zip"):
        write(tmp_path / name, text)
    pl.read_csv(tmp_path / "a.csv").write_parquet(tmp_path / "a.parquet")
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"ts_event,price,size\n" + b"1" * (1 << 28), 1))
    child = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path), "200"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.returncode == 0, child.stderr
    lines = [line.split(" ", 1) for line in child.stdout.splitlines()]
    outcomes = Counter(outcome for name, outcome in lines if name not in ("memory", "bomb"))
    told = dict(line for line in lines if line[0] in ("memory", "bomb"))
    assert told["bomb"] == "DataError"
    assert int(told["memory"]) < MEMORY_KIB_MAX
    assert sum(outcomes.values()) == 200
    # Nothing protects a plain text: another digit may be taken for what was written.
    assert outcomes["CorruptData"] > 80
    assert outcomes["stored"] < 100


# ---------------------------------------------------------------------- vendors

TAQ_QUOTES = """\
ts_us,EX,SYMBOL,BID,BIDSIZ,OFR,OFRSIZ
1767623399999999,N,IBM,200.01,1,200.03,2
1767623400000000,N,IBM,200.02,1,200.03,2
1767623400000000,P,IBM,200.01,9,200.03,9
1767623400000001,N,MSFT,400.02,1,400.03,2
1767623400000002,N,IBM,200.02,1,0.0,0
"""
TAQ_TRADES = """\
ts_us,EX,SYMBOL,PRICE,SIZE,COND,CORR
1767623400000000,N,IBM,200.02,7,,0
1767623400000000,P,IBM,200.0255,8,F I,00
1767623400000001,N,IBM,200.03,9,TI,0
1767623400000002,N,IBM,200.04,1,,8
"""


def test_taq_quotes_of_one_exchange(tmp_path):
    file = write(tmp_path / "q.csv", TAQ_QUOTES)
    catalog = Catalog(tmp_path / "catalog")
    report = import_taq(catalog, file, symbol="IBM.XNYS", exchange="N")
    found = rows(catalog, "quotes").select("bid_price", "bid_size", "ask_price", "ask_size").rows()
    assert found == [(200.02, 100, 200.03, 200), (200.02, 100, None, 0)]
    assert report.counts["left_out"] == 3
    with pytest.raises(InvalidParameter, match="pass exchange="):
        import_taq(catalog, file, symbol="IBM.XNYS")
    report = import_taq(catalog, file, symbol="IBM.XNYS", exchange="N", session=None)
    assert report.rows_written == 3


def test_taq_trades_without_the_corrected(tmp_path):
    file = write(tmp_path / "t.csv.gz", TAQ_TRADES)
    catalog = Catalog(tmp_path / "catalog")
    report = import_taq(catalog, file, symbol="IBM.XNYS")
    assert rows(catalog).select("size", "flags").rows() == [(7, 128), (8, 130), (9, 128)]
    assert report.counts["off_grid_prints"] == 1
    assert import_taq(catalog, file, symbol="IBM.XNYS", exchange="N", skip_conditions="TZ").rows_written == 1
    with pytest.raises(DataError, match="quotes have ts_us, BID"):
        import_taq(catalog, write(tmp_path / "x.csv", TRADES), symbol="IBM.XNYS")


def test_tardis_trades_and_quotes(tmp_path):
    trades = write(
        tmp_path / "trades.csv.gz",
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        "bitmex,XBTUSD,1767571200000001,1767571200000005,7,sell,8531.5,21\n"
        "bitmex,XBTUSD,1767571200000002,1767571200000006,8,unknown,8531.5,1\n",
    )
    catalog = Catalog(tmp_path / "catalog")
    report = import_tardis(catalog, trades)
    assert report.symbol == "XBTUSD.BITMEX"
    found = rows(catalog).select(pl.col("aggressor").cast(pl.String), "trade_id", "size").rows()
    assert found == [("sell", 7, 21), ("none", 8, 1)]
    assert (rows(catalog)["ts_recv"] - rows(catalog)["ts_event"]).dt.total_nanoseconds().to_list() == [4_000, 4_000]
    quotes = write(
        tmp_path / "quotes.csv",
        "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
        "bitmex,XBTUSD,1767571200000001,1767571200000005,5,8532,8531.5,3\n"
        "bitmex,ETHUSD,1767571200000001,1767571200000005,5,8,7,3\n",
    )
    with pytest.raises(DataError, match="holds ETHUSD, XBTUSD"):
        import_tardis(catalog, quotes)
    assert import_tardis(catalog, quotes, symbol="XBTUSD.BITMEX").rows_written == 1
    others = write(tmp_path / "others.csv", "exchange,symbol,timestamp,local_timestamp,funding_rate\na,b,1,1,0.5\n")
    with pytest.raises(NotSupported, match="of another kind; quotes, trades"):
        import_tardis(catalog, others)


@pytest.mark.parametrize("name", ["20260105_eurusd_tick_quote.csv", "20260105_eurusd_tick_quote.csv.zip"])
def test_lean_ticks_are_dated_by_their_name(tmp_path, name):
    file = write(tmp_path / name, "1014,1.39248,1.39250\n1014.5,1.39251,1.39251\n1015,1.39252,1.39251\n")
    catalog = Catalog(tmp_path / "catalog")
    report = import_lean(catalog, file, symbol="EURUSD.FXCM")
    assert times(catalog, "quotes") == [1_014_000_000, 1_014_500_000, 1_015_000_000]
    assert rows(catalog, "quotes")["flags"].to_list() == [128, 132, 132]
    assert (report.counts["locked_quote"], report.counts["crossed_quote"]) == (1, 1)
    with pytest.raises(InvalidParameter, match="holds no date"):
        import_lean(catalog, write(tmp_path / "eurusd.csv", "1,1,1\n"), symbol="EURUSD.FXCM")


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,bid,ask\n2026-01-05 00:00:00.295000+00:00,86.655,86.728\n",
        "USD/JPY,20260105 00:00:00.295,86.655,86.728\n",
    ],
)
def test_truefx_with_and_without_a_header(tmp_path, text):
    catalog = Catalog(tmp_path / "catalog")
    import_truefx(catalog, write(tmp_path / "x.csv", text), symbol="USDJPY.TRUEFX")
    assert times(catalog, "quotes") == [295_000_000]
    assert rows(catalog, "quotes").select("bid_price", "bid_size", "ask_price").rows() == [(86.655, 1_000_000, 86.728)]
