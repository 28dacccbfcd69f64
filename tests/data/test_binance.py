"""Recordings of Binance: what each message becomes, at what time, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cift
from cift.data.catalog import Catalog
from cift.data.importers import import_binance
from cift.data.importers.recording import decoder
from cift.domain.schemas import SNAPSHOT, SUSPECT
from cift.errors import CorruptData, DataError, InvalidParameter, NoData, TimeOrder
from tests.data.depth import MONDAY_MS, books, diff, line, snapshot, stored, ticker, trade
from tests.data.market import DAY_NS, MONDAY_NS
from tests.data.test_disk_faults import FaultyDisk

BIDS, ASKS = {10.0: 1.0, 9.99: 2.5}, {10.02: 3.0}
SPOT = (
    ticker(99, 10.0, 10.02)
    + diff(95, 100, {9.0: 1.0}, {}, ms=5)
    + snapshot(102, BIDS, ASKS, ms=10)
    + diff(101, 103, {10.0: 0.0}, {10.01: 0.5}, ms=20)
    + ticker(103, 9.99, 10.01, ms=25)
    + trade(7, 10.01, ms=30, M=True)
    + trade(8, 9.99, ms=31, sold=True, M=True)
    + diff(104, 104, {}, {10.01: 0.125}, ms=40)
)


def write(path: Path, *texts: str) -> Path:
    data = "".join(texts).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def imported(folder: Path, *texts: str, name: str = "x.log", **options):
    catalog = Catalog(folder / "catalog")
    return catalog, import_binance(catalog, write(folder / name, *texts), **options)


def ms_of(frame: pl.DataFrame, column: str = "ts_event") -> list[float]:
    """Milliseconds since Monday's midnight."""
    return ((frame[column].to_physical() - MONDAY_NS) / 1e6).to_list()


@pytest.mark.parametrize("name", ["x.log", "x.log.gz"])
def test_one_reading_gives_levels_quotes_and_trades(tmp_path, name):
    catalog, report = imported(tmp_path, SPOT, name=name)
    assert (report.symbol, report.rows_read) == ("BTCUSDT.BINANCE", 8)
    assert report.counts["before_snapshot"] == 1
    assert [report.counts[schema] for schema in ("mbp", "quotes", "trades")] == [7, 2, 2]
    assert [(number, bids, asks) for number, _, bids, asks in books(stored(catalog))] == [
        (102, BIDS, ASKS),
        (103, {9.99: 2.5}, {10.02: 3.0, 10.01: 0.5}),
        (104, {9.99: 2.5}, {10.02: 3.0, 10.01: 0.125}),
    ]
    trades = stored(catalog, "trades").select(pl.col("aggressor").cast(pl.String), "price", "size", "trade_id").rows()
    assert trades == [("buy", 10.01, 0.5, 7), ("sell", 9.99, 0.5, 8)]
    quotes = stored(catalog, "quotes").select("venue_seq", "bid_price", "bid_size", "ask_price", "ask_size").rows()
    assert quotes == [(99, 10.0, 1.0, 10.02, 2.0), (103, 9.99, 1.0, 10.01, 2.0)]
    instrument = catalog.instruments()["BTCUSDT.BINANCE"]
    assert (str(instrument.tick_size), str(instrument.lot_size)) == ("0.01", "0.001")


def test_what_tells_no_time_has_the_latest_of_the_exchange(tmp_path):
    catalog, report = imported(tmp_path, SPOT)
    # The first best quote came before any stamp; the second has that of the depth event before it.
    assert ms_of(stored(catalog, "quotes")) == [0, 20]
    assert ms_of(stored(catalog, "quotes"), "ts_recv") == [0, 25]
    assert ms_of(stored(catalog).unique("venue_seq", maintain_order=True)) == [5, 20, 40]
    assert ms_of(stored(catalog, "trades")) == [28, 29], "the time of the trade, not of the message"
    assert report.counts["time_of_message_before"] == 3
    assert "received_early" not in report.counts
    assert any("the latest that a message before them told: 3" in note for note in report.notes)


def test_before_the_first_stamp_it_counts_where_the_receiving_clock_is_ahead(tmp_path):
    catalog, _ = imported(
        tmp_path,
        ticker(1, 10, 11, ms=900),
        trade(1, 10, ms=7).replace(str(MONDAY_NS + 7_000_000), str(MONDAY_NS + 901_000_000)),
    )
    assert ms_of(stored(catalog, "quotes")) == [5]
    assert ms_of(stored(catalog, "quotes"), "ts_recv") == [900]


def test_without_any_stamp_the_time_of_receipt_counts(tmp_path):
    catalog, _ = imported(tmp_path, ticker(1, 10, 11, ms=3), ticker(2, 10, 12, ms=4))
    assert ms_of(stored(catalog, "quotes")) == [3, 4]


def test_futures_chain_by_the_id_before_and_have_times_of_their_own(tmp_path):
    catalog, report = imported(
        tmp_path,
        diff(1, 5, {9.0: 1.0}, {}, ms=1, previous=0),
        # Received before the snapshot, happened after it.
        diff(8, 12, {10.0: 4.0}, {}, ms=2, previous=5),
        snapshot(9, BIDS, ASKS, ms=7),
        diff(20, 21, {}, {10.02: 1.0}, ms=8, previous=12),
        ticker(21, 10.0, 10.02, ms=9, stamped=True),
    )
    assert report.symbol == "BTCUSDT.BINANCE-FUTURES"
    assert report.counts["events_after_their_snapshot"] == 1
    levels = stored(catalog)
    assert [(number, bids, asks) for number, _, bids, asks in books(levels)] == [
        (9, BIDS, ASKS),
        (12, {**BIDS, 10.0: 4.0}, ASKS),
        (21, {**BIDS, 10.0: 4.0}, {10.02: 1.0}),
    ]
    last = levels.unique("venue_seq", keep="last", maintain_order=True)
    assert ms_of(last) == [1, 1, 7]
    assert ms_of(last, "ts_recv") == [7, 7, 8], "an event that comes again comes with its snapshot"
    assert ms_of(stored(catalog, "quotes")) == [8]


def test_a_gap_is_counted_and_marks_what_follows(tmp_path):
    catalog, report = imported(
        tmp_path,
        snapshot(1, BIDS, ASKS, ms=1),
        diff(2, 3, {10.0: 2.0}, {}, ms=2),
        diff(6, 7, {10.0: 3.0}, {}, ms=3),
        snapshot(8, BIDS, ASKS, ms=4),
        diff(9, 9, {10.0: 5.0}, {}, ms=5),
    )
    assert report.counts["gaps"] == 1
    assert [(number, flags & (SUSPECT | SNAPSHOT)) for number, flags, *_ in books(stored(catalog))] == [
        (1, SNAPSHOT),
        (3, 0),
        (7, SUSPECT),
        (8, SNAPSHOT),
        (9, 0),
    ]


def test_files_continue_one_another_and_days_stand_alone(tmp_path):
    day_ms = DAY_NS // 10**6
    first = write(tmp_path / "a.log", snapshot(1, BIDS, ASKS, ms=1), diff(2, 2, {10.0: 2.0}, {}, ms=2))
    second = write(tmp_path / "b.log", diff(3, 3, {9.98: 1.0}, {}, ms=day_ms))
    catalog = Catalog(tmp_path / "catalog")
    report = import_binance(catalog, [first, second])
    assert report.source == "a.log, b.log"
    assert report.counts["books_carried"] == 1
    seen = []

    class Look(cift.Strategy):
        def on_book(self, book):
            seen.append([price for price, *_ in book.depth("buy")])

    cift.Backtest(catalog.ticks("BTCUSDT.BINANCE", "2026-01-06"), Look).run(progress=False)
    assert seen == [[10.0, 9.99], [10.0, 9.99, 9.98]]
    with pytest.raises(TimeOrder, match=r"a\.log, row 2: the time of the venue goes back .* not in the order of their times"):
        import_binance(Catalog(tmp_path / "wrong"), [second, first])


def test_aggregated_trades_count_only_where_there_are_no_others(tmp_path):
    data = {
        "e": "aggTrade",
        "E": MONDAY_MS,
        "s": "BTCUSDT",
        "a": 5,
        "p": "10.01",
        "q": "2",
        "f": 1,
        "l": 2,
        "T": MONDAY_MS,
        "m": True,
    }
    both = line(data, stream="btcusdt@aggTrade") + trade(7, 10.01)
    catalog, report = imported(tmp_path, both)
    assert stored(catalog, "trades")["trade_id"].to_list() == [7]
    assert any("aggregated trades are left out" in note for note in report.notes)
    alone, report = imported(tmp_path / "alone", line(data)) if (tmp_path / "alone").mkdir() is None else None
    assert stored(alone, "trades").select("trade_id", "size", pl.col("aggressor").cast(pl.String)).rows() == [(5, 2.0, "sell")]
    assert report.symbol == "BTCUSDT.BINANCE-FUTURES"


@pytest.mark.parametrize("spaced", [False, True])
def test_messages_may_be_bare_or_written_otherwise(tmp_path, spaced):
    lines = []
    for one in SPOT.splitlines():
        stamp, _, body = one.partition(" ")
        message = json.loads(body)
        if spaced:
            lines.append(f"{stamp} {json.dumps(dict(reversed(message.items())))}\n")
        else:
            lines.append(f"{stamp} {json.dumps(message.get('data', message))}\n")
    catalog, report = imported(tmp_path, *lines)
    (tmp_path / "other").mkdir()
    expected, told = imported(tmp_path / "other", SPOT)
    for schema in ("mbp", "quotes", "trades"):
        assert stored(catalog, schema).equals(stored(expected, schema))
    assert report.counts == told.counts


def test_without_times_of_receipt_there_are_none(tmp_path):
    catalog, _ = imported(tmp_path, *(one.partition(" ")[2] + "\n" for one in SPOT.splitlines()))
    assert stored(catalog)["ts_recv"].is_null().all()
    assert ms_of(stored(catalog, "trades")) == [28, 29]


def test_microseconds_are_seen_by_their_number(tmp_path):
    us = SPOT.replace('"E":1767571200', '"E":1767571200000').replace('"T":1767571200', '"T":1767571200000')
    catalog, _ = imported(tmp_path, us)
    assert (stored(catalog, "trades")["ts_event"].to_physical() - MONDAY_NS).to_list() == [28_000, 29_000]


def test_times_that_go_back_wait(tmp_path):
    catalog, report = imported(tmp_path, trade(1, 10, ms=9), trade(2, 10, ms=5), trade(3, 10, ms=20))
    assert ms_of(stored(catalog, "trades")) == [7, 7, 18]
    assert report.counts["time_went_back"] == 1


def test_what_happened_off_the_book_is_left_out(tmp_path):
    catalog, report = imported(tmp_path, trade(1, 10, X="MARKET"), trade(2, 10, X="INSURANCE_FUND"), trade(3, 0, X="NA"))
    assert stored(catalog, "trades")["trade_id"].to_list() == [1]
    assert [(row.row, row.reason) for row in report.quarantine] == [(2, "off_book"), (3, "off_book")]


def test_other_streams_are_counted_and_pictures_left_out(tmp_path):
    others = line({"result": None, "id": 1}) + line({"e": "markPriceUpdate"}, stream="btcusdt@markPrice")
    picture = line({"lastUpdateId": 5, "bids": [], "asks": []}, stream="btcusdt@depth20@100ms")
    _, report = imported(tmp_path, SPOT, others, picture, picture)
    assert report.counts["other_messages"] == 4
    assert any("depth20@100ms" in note for note in report.notes)
    assert report.counts["snapshots"] == 1


def test_one_symbol_of_several_is_asked_for(tmp_path):
    both = diff(1, 1, BIDS, ASKS) + diff(2, 2, BIDS, ASKS, symbol="ETHUSDT")
    with pytest.raises(DataError, match=r"x\.log, row 2: a message of ETHUSDT after some of BTCUSDT; pick one by symbol="):
        imported(tmp_path, both)
    catalog, report = imported(tmp_path, both, symbol="ETHUSDT.BINANCE")
    assert catalog.symbols() == ["ETHUSDT.BINANCE"]
    assert report.counts["other_symbols"] == 1
    with pytest.raises(NoData, match="it has messages of BTCUSDT, ETHUSDT"):
        imported(tmp_path, both, symbol="XRPUSDT.BINANCE")
    with pytest.raises(DataError, match="a snapshot that does not say of which"):
        imported(tmp_path, both, snapshot(3, BIDS, ASKS), symbol="ETHUSDT.BINANCE")


def test_coin_margined_sizes_are_contracts(tmp_path):
    catalog, report = imported(tmp_path, diff(1, 1, BIDS, ASKS, symbol="BTCUSD_PERP", previous=0))
    assert catalog.symbols() == ["BTCUSD_PERP.BINANCE-DELIVERY"]
    assert any("contracts" in note for note in report.notes)


def test_a_last_line_that_was_cut_off_is_noted(tmp_path):
    catalog, report = imported(tmp_path, SPOT, trade(9, 10)[:-20])
    assert report.counts["cut_last_line"] == 1
    assert any("the last line of x.log is cut off" in note for note in report.notes)
    assert stored(catalog, "trades")["trade_id"].to_list() == [7, 8]


BAD = {
    "cut in the middle": (trade(9, 10)[:-20] + "\n", "row 9: "),
    "not JSON": ("1767571200000000000 {no}\n", "row 9: JSON is malformed"),
    "no message": ("hello\n", "row 9: neither a time of receipt in ns nor a message"),
    "a time of 20 digits": ("9" * 20 + " {}\n", "row 9: neither a time"),
    "a key twice": (trade(9, 10, M=True).replace('"t":9', '"t":9,"t":10'), "row 9: the key 't' stands there twice"),
    "NaN": (trade(9, 10).replace('"10.00"', "NaN"), "row 9: JSON is malformed"),
    "NaN as text": (trade(9, 10).replace('"10.00"', '"NaN"'), "row 9: price is not a number"),
    "Infinity": (trade(9, 10).replace('"10.00"', '"Infinity"'), "row 9: price is infinite"),
    "too huge for a float": (trade(9, 10).replace('"10.00"', '"1e400"'), "row 9: Number out of range"),
    "an id out of range": (trade(9, 10).replace('"t":9', '"t":99999999999999999999'), "row 9: "),
    "a negative id": (diff(105, -5, {}, {}), "row 9: Expected `int` >= 0"),
    "a negative size": (diff(105, 105, {10.0: -1.0}, {}), "row 9: size is negative"),
    "a price of zero": (diff(105, 105, {0.0: 1.0}, {}), "row 9: price is zero"),
    "no price": (diff(105, 105, {10.0: 1.0}, {}).replace('"10.00"', "null"), "row 9: Expected `float`, got `null`"),
    "three numbers": (diff(105, 105, {10.0: 1.0}, {}).replace('"10.00"', '"10.00","1"'), "row 9: "),
    "deep brackets": ("1767571200000000000 " + '{"stream":"btcusdt@trade","data":' + "[" * 100_000 + "\n", "row 9: "),
    "deep nonsense": ("1767571200000000000 " + '{"a":' * 100_000 + "\n", "row 9: "),
    "a time in another unit": (
        trade(9, 10).replace(f'"T":{MONDAY_MS - 2}', '"T":1767571200'),
        "row 9: the time of the venue goes back",
    ),
    "a time far off": (trade(9, 10).replace(f'"T":{MONDAY_MS - 2}', f'"T":{10**18}'), "row 9: Expected `int` <= "),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_an_error_with_its_row(tmp_path, name):
    text, told = BAD[name]
    with pytest.raises(DataError, match=f"x.log, {told}") as caught:
        imported(tmp_path, SPOT, text)
    assert len(str(caught.value)) < 500
    assert Catalog(tmp_path / "catalog").symbols() == []


def test_bytes_that_are_no_text_are_an_error_with_their_row(tmp_path):
    path = tmp_path / "x.log"
    path.write_bytes(SPOT.encode() + b'1767571200000000000 {"stream":"btcusdt@tra\xffde"}\n')
    with pytest.raises(DataError, match=r"x\.log, row 9: "):
        import_binance(Catalog(tmp_path / "catalog"), path)


def test_files_that_are_none(tmp_path):
    catalog = Catalog(tmp_path / "catalog")
    with pytest.raises(DataError, match="does not exist"):
        import_binance(catalog, tmp_path / "none.gz")
    with pytest.raises(NoData, match="is empty"):
        import_binance(catalog, write(tmp_path / "empty.log", ""))
    with pytest.raises(NoData, match="holds nothing to import"):
        import_binance(catalog, write(tmp_path / "other.log", line({"result": None})))
    with pytest.raises(InvalidParameter, match="one or several different ones"):
        import_binance(catalog, [])
    with pytest.raises(InvalidParameter, match="one or several different ones"):
        import_binance(catalog, [tmp_path / "x", tmp_path / "x"])
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(SPOT.encode())[:-20])
    with pytest.raises(CorruptData, match=r"cut\.gz cannot be read"):
        import_binance(catalog, cut)
    assert catalog.symbols() == []


def test_policies_decide_and_one_that_cannot_is_refused(tmp_path):
    zero = diff(105, 105, {0.0: 1.0}, {})
    catalog, report = imported(tmp_path, SPOT, zero, policies={"zero_price": "pass"})
    assert report.counts["zero_price"] == 1
    with pytest.raises(InvalidParameter, match=r"sequence_gap.*decides nothing here"):
        imported(tmp_path, SPOT, policies={"sequence_gap": "flag"})
    with pytest.raises(cift.errors.UnknownName, match="the kinds are"):
        imported(tmp_path, SPOT, policies={"nonsense": "flag"})
    assert len(stored(catalog)) == 8, "as it was"


def test_what_the_catalog_knows_of_steps_counts(tmp_path):
    imported(tmp_path, SPOT, tick_size="0.01", lot_size="0.001")
    with pytest.raises(cift.errors.OffTickPrice, match="tick_size"):
        imported(tmp_path, SPOT.replace("10.01", "10.015"))
    with pytest.raises(cift.errors.CatalogError, match="delete its rows before"):
        imported(tmp_path, SPOT, tick_size="0.001")


def test_whatever_the_disk_refuses_the_catalog_is_as_it_was(tmp_path):
    path, refused = write(tmp_path / "x.log", SPOT), 0
    for fail_at in range(1, 1_000):
        folder = tmp_path / str(fail_at)
        disk = FaultyDisk(fail_at, forever=False)
        try:
            import_binance(Catalog(folder, disk=disk), path)
        except OSError:
            refused += 1
            assert Catalog(folder).symbols() == []
            continue
        if disk.operations < fail_at:
            break
    assert refused > 30
    assert Catalog(folder).symbols() == ["BTCUSDT.BINANCE"]
    assert not list(folder.rglob("*.rows"))


@given(value=st.decimals(0, 10**9, allow_nan=False) | st.decimals(0, 10**6, places=8), text=st.booleans())
def test_a_number_is_the_float_nearest_to_its_decimal(value, text):
    told = f'"{value}"' if text else f"{value}"
    assert decoder(list[float])(f"[{told}]".encode()) == [float(value)]


def aggregated(number: int, price: float, *, ms: int = 0) -> str:
    data = {"e": "aggTrade", "E": MONDAY_MS + ms, "T": MONDAY_MS + ms - 2, "s": "BTCUSDT", "a": number, "p": f"{price:.2f}"}
    return line(data | {"q": "0.500", "m": False, "f": number, "l": number}, ms, stream="btcusdt@aggTrade")


@pytest.mark.parametrize("made", [trade, aggregated])
def test_files_that_overlap_give_each_trade_and_quote_once(tmp_path, made):
    texts = [(ticker(n * 10, 10 + n, 11 + n, ms=n * 10, stamped=True) + made(n, 10 + n, ms=n * 10)) for n in range(1, 9)]
    catalog = Catalog(tmp_path / "catalog")
    files = [write(tmp_path / "a.log", *texts[:5]), write(tmp_path / "b.log", *texts[3:])]
    report = import_binance(catalog, files)
    assert stored(catalog, "trades")["trade_id"].to_list() == [*range(1, 9)]
    assert stored(catalog, "quotes")["venue_seq"].to_list() == [*range(10, 90, 10)]
    assert (report.counts["duplicate"], report.counts["old_quotes"]) == (2, 2)
    assert [(row.source, row.row, row.reason) for row in report.quarantine] == [("b.log", n, "duplicate") for n in (2, 4)]
    assert "trade_gaps" not in report.counts


@pytest.mark.parametrize("made", [trade, aggregated])
def test_trades_that_are_missing_are_counted(tmp_path, made):
    _, report = imported(tmp_path, *(made(n, 10, ms=n) for n in (3, 4, 7, 8, 10)))
    assert (report.counts["trade_gaps"], report.counts["trades"]) == (2, 5)
    assert "3 trades are missing, in 2 places, by their numbers" in report.notes
    assert "duplicate" not in report.counts


def test_numbers_of_trades_and_of_aggregated_ones_are_two_things(tmp_path):
    _, report = imported(tmp_path, trade(100, 10, ms=1), aggregated(5, 10, ms=2), trade(101, 10, ms=3), aggregated(7, 10, ms=4))
    assert report.counts["trades"] == 2
    assert not {"duplicate", "trade_gaps"} & {*report.counts}


def test_recordings_in_the_wrong_order_are_an_error_whatever_they_hold(tmp_path):
    day_ms = DAY_NS // 10**6
    for at, made in enumerate((lambda n, ms: ticker(n, 10, 11, ms=ms, stamped=True), lambda n, ms: trade(n, 10, ms=ms))):
        folder = tmp_path / str(at)
        folder.mkdir()
        files = [write(folder / name, made(n, (n - 1) * day_ms)) for n, name in ((2, "b.log"), (1, "a.log"))]
        with pytest.raises(
            TimeOrder, match=r"a\.log, row 1: the time of the venue goes back .* not in the order of their times"
        ):
            import_binance(Catalog(folder / "catalog"), files)


def test_numbers_that_begin_anew_are_no_duplicates(tmp_path):
    numbers = [*range(10**9, 10**9 + 5), *range(1, 9)]
    texts = [ticker(n, 10, 11, ms=ms, stamped=True) + trade(n, 10, ms=ms) for ms, n in enumerate(numbers)]
    catalog, report = imported(tmp_path, *texts)
    assert stored(catalog, "trades")["trade_id"].to_list() == numbers
    assert stored(catalog, "quotes")["venue_seq"].to_list() == numbers
    assert not {"duplicate", "old_quotes", "trade_gaps"} & {*report.counts}


def test_best_quotes_without_a_time_begin_anew_below_all_of_them(tmp_path):
    numbers = [50, 51, 53, 52, 1, 2, 3]
    catalog, report = imported(tmp_path, diff(1, 1, {}, {}), *(ticker(n, 10, 11, ms=ms) for ms, n in enumerate(numbers)))
    assert stored(catalog, "quotes")["venue_seq"].to_list() == [50, 51, 53, 1, 2, 3]
    assert any("were left out: 1" in note for note in report.notes)


def test_trades_that_come_late_are_no_duplicates_and_fill_their_gap(tmp_path):
    catalog, report = imported(tmp_path, *(trade(n, 10, ms=ms) for ms, n in enumerate([1, 2, 6, 4, 7, 4])))
    assert stored(catalog, "trades")["trade_id"].to_list() == [1, 2, 6, 4, 7]
    assert (report.counts["duplicate"], report.counts["trade_gaps"]) == (1, 2)
    assert "2 trades are missing, in 2 places, by their numbers" in report.notes
