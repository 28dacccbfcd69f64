from __future__ import annotations

import datetime as dt
import io
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from cift.data.catalog import Catalog
from cift.data.importers import import_databento
from cift.data.importers.databento import file as dbn_file
from cift.errors import (
    CatalogError,
    CorruptData,
    DataError,
    InvalidParameter,
    MissingExtra,
    NoData,
    NotSupported,
    OffTickPrice,
    TimeOrder,
    UnknownName,
)
from tests.data.dbn import definition, header, mbo, mbp1, mbp10, ohlcv, sampled, trade, write
from tests.data.market import DAY_NS, MONDAY_NS

CHILD = Path(__file__).with_name("databento_child.py")
ROOT = Path(__file__).parents[2]
MEMORY_KIB_MAX = 600_000
ES = "ESH6.GLBX"


def imported(folder: Path, *parts: bytes, name: str = "x.dbn", **options):
    catalog = Catalog(folder / "catalog")
    return catalog, import_databento(catalog, write(folder / name, *parts), **options)


def rows(catalog: Catalog, schema: str) -> pl.DataFrame:
    return pl.scan_parquet(catalog.path / schema).sort("ts_event", "sequence").collect()


def letters(flags: int) -> str:
    return "".join(letter for bit, letter in ((128, "L"), (32, "S"), (8, "r"), (4, "?"), (2, "g")) if flags & bit)


def story(catalog: Catalog) -> list[str]:
    """Each `mbo` record as `venue_seq: action side size@price #id flags`."""
    return [
        f"{row['venue_seq']}: {row['action']} {row['side']} {row['size']:g}@{row['price']} #{row['order_id']} "
        f"{letters(row['flags'])}".rstrip()
        for row in rows(catalog, "mbo").iter_rows(named=True)
    ]


DAY = (
    mbo("R N 0@- 8", ms=0),
    mbo("A B 5@100.25 40", 11, ms=0, sequence=1),
    mbo("A A 7@100.50 168", 12, ms=0, sequence=1),
    mbo("T B 2@100.50 0", 13, ms=5, sequence=2),
    mbo("F A 2@100.50 0", 12, ms=5, sequence=2),
    mbo("M A 5@100.50 130", 12, ms=5, sequence=3),
    mbo("C B 5@100.25 130", 11, ms=6, sequence=4),
)


def test_records_of_orders_keep_their_words_flags_and_numbers(tmp_path):
    catalog, report = imported(tmp_path, header(), *DAY)
    assert story(catalog) == [
        "0: clear none 0@None #0 r",
        "1: add bid 5@100.25 #11 Sr",
        "1: add ask 7@100.5 #12 LSr",
        "2: trade bid 2@100.5 #13",
        "2: fill ask 2@100.5 #12",
        "3: modify ask 5@100.5 #12 L",
        "4: cancel bid 5@100.25 #11 L",
    ]
    assert (report.symbol, report.rows_read, report.rows_written) == (ES, 7, 7)
    assert report.counts["mbo"] == 7
    frame = rows(catalog, "mbo")
    assert (frame["ts_recv"] - frame["ts_event"]).dt.total_microseconds().to_list() == [100] * 7
    instrument = catalog.instruments()[ES]
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.01"), 1)
    assert report.notes == ("tick size of ESH6.GLBX inferred from its prices: 0.01; pass definitions= or tick_size=",)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("name", ["x.dbn", "x.dbn.zst", "x.zst"])
def test_every_version_is_read_plain_or_compressed(tmp_path, version, name):
    catalog, report = imported(tmp_path, header(version=version), *DAY, name=name)
    assert report.rows_written == 7
    assert catalog.verify() == 1


def test_compression_is_known_by_the_content_not_the_name(tmp_path):
    path = write(tmp_path / "x.zst", header(), *DAY).rename(tmp_path / "x.bin")
    assert import_databento(Catalog(tmp_path / "catalog"), path).rows_written == 7


def test_the_time_of_sending_may_stand_behind_each_record(tmp_path):
    parts = [record[:1].replace(b"\x0e", b"\x10") + record[1:] + (MONDAY_NS).to_bytes(8, "little") for record in DAY]
    _, report = imported(tmp_path, header(ts_out=True), *parts)
    assert report.rows_written == 7


def test_a_record_without_an_action_hands_its_end_to_the_one_before(tmp_path):
    catalog, report = imported(tmp_path, header(), mbo("A B 5@100.25 0", 1, ms=1), mbo("N N 0@- 128", ms=1), *DAY[5:])
    assert story(catalog)[0] == "0: add bid 5@100.25 #1 L"
    assert (report.rows_read, report.rows_written, report.counts["no_action"]) == (4, 3, 1)


def test_a_doubtful_book_is_suspect_and_the_vendors_own_bits_are_dropped(tmp_path):
    catalog, report = imported(tmp_path, header(), mbo("A B 5@100.25 135", 1), mbo("A B 5@100.25 208", 2))
    assert [letters(flags) for flags in rows(catalog, "mbo")["flags"]] == ["L?", "L"]
    assert report.counts["maybe_bad_book"] == 1


def test_quotes_and_trades_of_mbp_1(tmp_path):
    catalog, report = imported(
        tmp_path,
        header("mbp-1"),
        mbp1("A B 5@100.25 128", "5@100.25", "0@-", ms=1, sequence=1),
        mbp1("T A 2@100.25 0", "5@100.25", "4@100.50", ms=2, sequence=2),
        mbp1("C B 2@100.25 128", "3@100.25", "4@100.50", ms=2, sequence=2),
        mbp1("A A 1@100.50 0", "3@100.25", "5@100.50", ms=3, sequence=3),
        mbp1("T N 1@100.375 128", "3@100.25", "5@100.50", ms=3, sequence=4),
        mbp1("R N 0@- 128", "0@-", "0@-", ms=4, sequence=5),
        tick_size="0.25",
    )
    quotes = rows(catalog, "quotes").select("bid_price", "bid_size", "ask_price", "ask_size", "venue_seq").rows()
    assert quotes == [(100.25, 5, None, 0, 1), (100.25, 3, 100.5, 4, 2), (100.25, 3, 100.5, 5, 3), (None, 0, None, 0, 5)]
    # The end of the third event, which only a print carries, is that of its quote too.
    assert [letters(flags) for flags in rows(catalog, "quotes")["flags"]] == ["L"] * 4
    trades = rows(catalog, "trades")
    assert trades.select("price", "size", pl.col("aggressor").cast(pl.String), "trade_id").rows() == [
        (100.25, 2, "sell", None),
        (100.375, 1, "none", None),
    ]
    assert [letters(flags) for flags in trades["flags"]] == ["L", "Lg"]
    assert (report.counts["quotes"], report.counts["trades"], report.rows_read) == (4, 2, 6)


def test_tbbo_gives_the_quote_before_each_trade(tmp_path):
    catalog, report = imported(tmp_path, header("tbbo"), mbp1("T B 2@100.50 130", "5@100.25", "4@100.50", ms=2))
    assert rows(catalog, "quotes")["ask_size"].to_list() == [4]
    assert rows(catalog, "trades")["size"].to_list() == [2]
    assert (report.rows_read, report.rows_written) == (1, 2)


def test_trades_alone(tmp_path):
    catalog, _ = imported(tmp_path, header("trades"), trade("T B 2@100.50 0", sequence=9), trade("T A 1@100.25 0", ms=1))
    frame = rows(catalog, "trades").select(pl.col("aggressor").cast(pl.String), "price", "flags", "venue_seq")
    assert frame.rows() == [("buy", 100.5, 128, 9), ("sell", 100.25, 128, 0)]


# ---------------------------------------------------------------------- time


def test_a_snapshot_stands_at_the_beginning_of_the_day_on_which_it_was_received(tmp_path):
    before = MONDAY_NS - 3 * DAY_NS
    catalog, report = imported(
        tmp_path,
        header(),
        mbo("R N 0@- 40", ts_event=before, ts_recv=MONDAY_NS),
        mbo("A B 5@100.25 168", 1, ts_event=before + 1, ts_recv=MONDAY_NS),
        mbo("A B 6@100.25 128", 2, ts_event=MONDAY_NS - 20_000, ts_recv=MONDAY_NS + 70_000),
        mbo("A B 7@100.25 128", 3, ms=1),
    )
    assert catalog.ls()["date"].to_list() == [dt.date(2026, 1, 5)]
    frame = rows(catalog, "mbo")
    assert (frame["ts_event"].to_physical() - MONDAY_NS).to_list() == [0, 0, 0, 1_000_000]
    assert frame["ts_recv"].to_physical()[2] - MONDAY_NS == 70_000
    assert report.counts["moved_in_time"] == 3
    assert report.notes[-1] == "moved in time, to the snapshot or the midnight after: 3 records"


def test_a_later_snapshot_begins_its_day(tmp_path):
    tuesday = MONDAY_NS + DAY_NS
    catalog, _ = imported(
        tmp_path,
        header(),
        mbo("A B 5@100.25 128", 1, ms=1),
        mbo("R N 0@- 40", ts_event=MONDAY_NS, ts_recv=tuesday),
        mbo("A B 5@100.25 168", 1, ts_event=MONDAY_NS + 1_000_000, ts_recv=tuesday),
        mbo("A B 6@100.25 128", 2, ts_event=tuesday - 5, ts_recv=tuesday + 5),
    )
    assert catalog.ls()["rows"].to_list() == [1, 3]
    assert catalog.ls()["first"].to_physical().to_list() == [MONDAY_NS + 1_000_000, tuesday]


def test_a_print_keeps_its_own_minute(tmp_path):
    tuesday = MONDAY_NS + DAY_NS
    catalog, _ = imported(
        tmp_path,
        header("trades"),
        trade("T B 2@100.50 0", ts_event=tuesday - 9, ts_recv=tuesday - 5),
        trade("T B 1@100.50 0", ts_event=tuesday - 5, ts_recv=tuesday + 5),
    )
    assert catalog.ls()["rows"].to_list() == [2]


def test_a_days_file_leaves_the_day_before_as_it_was(tmp_path):
    catalog, _ = imported(tmp_path, header("trades"), trade("T B 2@100.50 0", ms=1))
    tuesday = MONDAY_NS + DAY_NS
    late = trade("T B 3@100.50 0", ts_event=tuesday - 5, ts_recv=tuesday + 5)
    import_databento(catalog, write(tmp_path / "tuesday.dbn", header("trades"), late))
    assert rows(catalog, "trades")["size"].to_list() == [2, 3]
    assert catalog.ls()["rows"].to_list() == [1, 1]


@pytest.mark.parametrize("back_ns", [5, 3_600_000_000_000])
def test_a_record_that_goes_back_in_time_is_refused(tmp_path, back_ns):
    second = trade("T B 1@100.50 0", ts_event=MONDAY_NS + 1_000_000 - back_ns, ts_recv=MONDAY_NS + 2_000_000)
    with pytest.raises(TimeOrder, match=r"x\.dbn, (row|record) 2: ts_event "):
        imported(tmp_path, header("trades"), trade("T B 2@100.50 0", ms=1), second)


# ---------------------------------------------------------------------- symbols and instruments

TWO = {"ESH6": 5, "NQH6": 6}
BOTH = (
    trade("T B 2@100.50 0", ms=1),
    trade("T A 1@200.75 0", ms=1, instrument_id=6),
    trade("T B 3@100.25 0", ms=2),
)


def test_several_symbols_of_one_file(tmp_path):
    catalog, report = imported(tmp_path, header("trades", TWO), *BOTH)
    assert catalog.symbols() == [ES, "NQH6.GLBX"]
    assert report.symbol == "ESH6.GLBX, NQH6.GLBX"
    assert (report.rows_read, report.rows_written) == (3, 3)
    assert rows(catalog, "trades").filter(pl.col("symbol") == ES)["size"].to_list() == [2, 3]


@pytest.mark.parametrize("symbol", ["NQH6", "NQH6.GLBX"])
def test_one_symbol_is_picked(tmp_path, symbol):
    catalog, report = imported(tmp_path, header("trades", TWO), *BOTH, symbol=symbol)
    assert catalog.symbols() == ["NQH6.GLBX"]
    assert report.rows_read == 1


def test_a_symbol_that_is_not_there_is_an_error_naming_those_that_are(tmp_path):
    with pytest.raises(UnknownName, match=r"no ESH7; it holds ESH6\.GLBX, NQH6\.GLBX; did you mean ESH6\.GLBX"):
        imported(tmp_path, header("trades", TWO), *BOTH, symbol="ESH7")


def test_an_instrument_id_belongs_to_a_symbol_for_some_days(tmp_path):
    days = [dt.date(2026, 1, day) for day in (5, 6, 7)]
    symbols = {"AAPL": [(days[0], days[1], 5), (days[1], days[2], 6)], "MSFT": [(days[0], days[1], 6)]}
    tuesday = MONDAY_NS + DAY_NS
    catalog, _ = imported(
        tmp_path,
        header("trades", symbols, dataset="XNAS.ITCH"),
        trade("T B 1@10 0", ms=1),
        trade("T B 2@20 0", ms=1, instrument_id=6),
        trade("T B 3@10 0", ts_event=tuesday, instrument_id=6),
        trade("T B 4@30 0", ts_event=tuesday, instrument_id=7),
    )
    found = rows(catalog, "trades").sort("size").select("symbol").to_series().to_list()
    assert found == ["AAPL.XNAS", "MSFT.XNAS", "AAPL.XNAS", "7.XNAS"]


def test_a_file_asked_for_by_id_has_the_symbols_that_belong_to_them(tmp_path):
    catalog, _ = imported(tmp_path, header("trades", TWO, by_id=True), *BOTH)
    assert catalog.symbols() == [ES, "NQH6.GLBX"]


def test_a_definition_gives_tick_currency_and_multiplier(tmp_path):
    told = write(tmp_path / "d.dbn", header("definition"), definition(currency="EUR", contract_multiplier=100))
    catalog, report = imported(tmp_path, header(), *DAY, definitions=told)
    instrument = catalog.instruments()[ES]
    assert (instrument.tick_size, instrument.currency, instrument.multiplier) == (Decimal("0.25"), "EUR", 100)
    assert report.notes == ()


def test_a_contract_without_a_stated_multiplier_is_a_note(tmp_path):
    told = definition(unit_of_measure_qty=50 * 10**9, unit_of_measure="IPNT")
    told = write(tmp_path / "d.dbn.zst", header("definition"), told)
    catalog, report = imported(tmp_path, header(), *DAY, definitions=told)
    assert report.notes == ("a contract of ESH6.GLBX is 50 IPNT; its money counts with multiplier 1, pass multiplier=",)
    catalog.delete(ES)
    report = import_databento(catalog, tmp_path / "x.dbn", definitions=told, multiplier=50)
    assert report.notes == ()
    assert catalog.instruments()[ES].multiplier == 50


def test_what_the_catalog_knows_is_not_inferred_again(tmp_path):
    catalog, _ = imported(tmp_path, header(), *DAY, tick_size="0.25", multiplier=50)
    before = catalog.instruments()[ES]
    report = import_databento(
        catalog, write(tmp_path / "next.dbn", header(), mbo("A B 1@100 128", 1, ts_event=MONDAY_NS + DAY_NS))
    )
    assert report.notes == ()
    assert catalog.instruments()[ES] == before
    with pytest.raises(CatalogError, match="is stored as"):
        import_databento(catalog, tmp_path / "next.dbn", tick_size="0.5")


def test_a_price_off_the_tick_is_refused(tmp_path):
    with pytest.raises(OffTickPrice, match=r"x\.dbn, row 3: price 100\.5 is not a whole number of ticks of 0\.2 "):
        imported(
            tmp_path, header(), mbo("A B 5@100.2 0", 1), mbo("A B 5@100.4 0", 2), mbo("A B 5@100.5 128", 3), tick_size="0.2"
        )


@pytest.mark.parametrize(
    ("units", "price"),
    [
        (1, 1e-9),
        (100_250_000_000, 100.25),
        (-1_250_000_000, -1.25),
        (2**63 - 2, float("9223372036.854775806")),
        (2**53 + 1, 9007199.254740993),
    ],
)
def test_a_price_is_the_float_nearest_to_its_decimal(units, price):
    assert dbn_file.prices(np.array([units, 2**63 - 1])).tolist()[0] == price
    assert np.isnan(dbn_file.prices(np.array([2**63 - 1]))[0])


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize("rows_per_read", [1, 2, 3, 5, 100])
def test_batches_change_nothing(tmp_path, monkeypatch, rows_per_read):
    monkeypatch.setattr(dbn_file, "ROWS_PER_READ", rows_per_read)
    parts = [
        part
        for ms in range(1, 20)
        for part in (
            mbp1("A B 1@100.25 0", f"{ms}@100.25", "9@100.50", ms=ms, sequence=ms),
            mbp1("A B 1@200.25 128", f"{ms}@200.25", "9@200.50", ms=ms, sequence=ms, instrument_id=6),
            mbp1("T B 1@100.50 128", f"{ms}@100.25", "9@100.50", ms=ms, sequence=ms),
        )
    ]
    catalog, report = imported(tmp_path, header("mbp-1", TWO), *parts)
    assert (report.counts["quotes"], report.counts["trades"]) == (38, 19)
    quotes = rows(catalog, "quotes")
    assert quotes["flags"].to_list() == [128] * 38
    hashes = [feed.content_hash for symbol in (ES, "NQH6.GLBX") for feed in catalog.ticks(symbol).feeds]
    monkeypatch.undo()
    whole = Catalog(tmp_path / "whole")
    import_databento(whole, tmp_path / "x.dbn")
    assert hashes == [feed.content_hash for symbol in (ES, "NQH6.GLBX") for feed in whole.ticks(symbol).feeds]


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        ("statistics", "holds statistics; supported are mbo, mbp-1, mbp-10, tbbo, trades, bbo-1s, "),
        ("status", "holds status; "),
        ("imbalance", "holds imbalance; "),
        ("ohlcv-eod", "holds ohlcv-eod; .*ohlcv-1d"),
    ],
)
def test_other_schemas_are_refused_by_name(tmp_path, schema, what):
    with pytest.raises(NotSupported, match=what):
        imported(tmp_path, header(schema))


def test_a_live_recording_of_several_schemas_is_refused(tmp_path):
    with pytest.raises(NotSupported, match="several schemas"):
        imported(tmp_path, header(None))


def test_several_publishers_of_one_symbol_are_several_books(tmp_path):
    parts = (mbo("A B 5@100 128", 1), mbo("A B 5@100 128", 1, publisher_id=2))
    with pytest.raises(NotSupported, match="2 publishers"):
        imported(tmp_path, header(), *parts)


def test_a_file_without_records_is_no_data(tmp_path):
    with pytest.raises(NoData, match="holds no records"):
        imported(tmp_path, header())


@pytest.mark.parametrize(
    ("content", "error", "what"),
    [
        (b"", CorruptData, "begins with b''"),
        (b"PK\x03\x04 and so on", CorruptData, "begins with b'PK"),
        (b"DBN\x04\x00\x00\x00\x00", NotSupported, "version 4"),
        (b"DBN\x03\xff\xff\xff\xff", CorruptData, "announces metadata of"),
        (b"DBN\x03\xff\x00\x00\x00" + bytes(20), CorruptData, "after 20 of 255"),
        (b"DBN\x03\x10\x00\x00\x00" + bytes(16), CorruptData, "metadata of x.dbn"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), CorruptData, "cannot be read"),
        (header() + DAY[0] + DAY[1][:30], CorruptData, "ends within record 2"),
        (header() + DAY[0] + trade("T B 1@100 0") + DAY[1][:8], CorruptData, "record 2: length 48 and type 0"),
        (header() + mbo("A B 1@100 0").replace(b"AB", b"XB"), CorruptData, "record 1: action 'X'"),
    ],
)
def test_what_is_no_dbn_file_is_a_typed_error(tmp_path, content, error, what):
    with pytest.raises(error, match=what):
        imported(tmp_path, content)
    assert Catalog(tmp_path / "catalog").symbols() == []


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        import_databento(Catalog(tmp_path), tmp_path / "none.dbn")


def test_definitions_must_be_definitions_of_what_is_imported(tmp_path):
    with pytest.raises(InvalidParameter, match="holds mbo; a file of the schema definition"):
        imported(tmp_path, header(), *DAY, definitions=write(tmp_path / "d.dbn", header(), *DAY))
    with pytest.raises(DataError, match="defines no ESH6"):
        imported(tmp_path, header(), *DAY, definitions=write(tmp_path / "d.dbn", header("definition"), definition("NQH6")))
    with pytest.raises(CorruptData, match="ends within a definition"):
        imported(tmp_path, header(), *DAY, definitions=write(tmp_path / "d.dbn", header("definition"), definition()[:-9]))


def test_a_missing_package_is_told_with_the_line_that_installs_it(tmp_path, monkeypatch):
    path = write(tmp_path / "x.dbn", header(), *DAY)
    monkeypatch.setitem(sys.modules, "databento_dbn", None)
    with pytest.raises(MissingExtra, match=r'pip install "cift-markets\[databento\]"'):
        import_databento(Catalog(tmp_path / "catalog"), path)


TEN = [(100.25 - n / 4, 5) for n in range(10)]
RECORDS = {
    "mbp-1": lambda n: mbp1("T B 1@100.50 128", f"{n}@100.25", "9@100.50", ms=n),
    "mbp-10": lambda n: mbp10("A B 1@100.50 128", [(100.5, n), *TEN[: n % 9]], [(101.0, 3)], ms=n),
    "ohlcv-1m": lambda n: ohlcv(MONDAY_NS + n * 60 * 10**9, (100.5, 101, 100, 100.25), n),
    "bbo-1s": lambda n: sampled("A B 5@100.25 128", f"{n}@100.25", "6@100.50", ts_recv=MONDAY_NS + n * 10**9),
}


@pytest.mark.parametrize(("schema", "count"), [("mbp-1", 300), ("mbp-10", 120), ("ohlcv-1m", 120), ("bbo-1s", 120)])
def test_damaged_files_end_in_a_typed_error_and_leave_the_catalog_alone(tmp_path, schema, count):
    """Files cut, flipped and overwritten, and one that unpacks to a gigabyte, read in a child process."""
    parts = (header(schema), *(RECORDS[schema](n) for n in range(1, 30)))
    for name in ("a.dbn", "b.dbn.zst"):
        write(tmp_path / name, *parts)
    (tmp_path / "bomb.dbn").write_bytes(bomb(header()))
    child = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path), str(count)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.returncode == 0, child.stderr
    lines = [line.split(" ", 1) for line in child.stdout.splitlines()]
    outcomes = Counter(outcome for name, outcome in lines if name not in ("memory", "bomb"))
    told = dict(line for line in lines if line[0] in ("memory", "bomb"))
    assert told["bomb"] == "CorruptData"
    assert int(told["memory"]) < MEMORY_KIB_MAX
    assert sum(outcomes.values()) == count
    assert outcomes["CorruptData"] > count / 3
    # Nothing protects the bytes of an uncompressed record: another size or time may be taken for what was recorded.
    assert set(outcomes) <= {
        "CorruptData",
        "NotSupported",
        "DataError",
        "TimeOrder",
        "OffTickPrice",
        "OffLotSize",
        "NoData",
        "stored",
    }


def bomb(start: bytes) -> bytes:
    """A header and a gigabyte of zeros, compressed to some kilobytes."""
    sink = io.BytesIO()
    with pa.CompressedOutputStream(pa.PythonFile(sink, mode="w"), "zstd") as stream:
        stream.write(start)
        zeros = bytes(1 << 20)
        for _ in range(1 << 10):
            stream.write(zeros)
        stream.flush()
        return sink.getvalue()
