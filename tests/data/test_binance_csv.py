"""CSV files of Binance: recognised by their columns, brought to the schemas, refused with their row."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cift.data.catalog import Catalog
from cift.data.importers import import_binance
from cift.domain.schemas import SNAPSHOT, SUSPECT
from cift.errors import DataError, InvalidParameter, NoData, NotSupported, TimeOrder
from tests.data.depth import MONDAY_MS, books, stored
from tests.data.market import MONDAY_NS

SPOT = "BTCUSDT.BINANCE"
A, B = MONDAY_MS, MONDAY_MS + 250
HEADERS = {
    "trades": "id,price,qty,quote_qty,time,is_buyer_maker",
    "aggTrades": "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
}
FILES = {
    "trades of spot": f"7,10.50,0.5,5.25,{A},True,True\n8,10.25,1.5,15.375,{B},False,True\n",
    "trades of futures": f"{HEADERS['trades']}\n7,10.50,0.5,5.25,{A},true\n8,10.25,1.5,15.375,{B},false\n",
    "older trades of futures": f"7,10.50,0.5,5.25,{A},true\n8,10.25,1.5,15.375,{B},false\n",
    "aggTrades of spot": f"7,10.50,0.5,1,2,{A},True,True\n8,10.25,1.5,3,3,{B},False,True\n",
    "aggTrades of futures": f"{HEADERS['aggTrades']}\n7,10.50,0.5,1,2,{A},true\n8,10.25,1.5,3,3,{B},false\n",
    "older aggTrades of futures": f"7,10.50,0.5,1,2,{A},true\n8,10.25,1.5,3,3,{B},false\n",
    "trades in microseconds": f"7,10.50,0.5,5.25,{A}000,True,True\n8,10.25,1.5,15.375,{B}000,False,True\n",
}


def imported(folder: Path, *texts: str, symbol: str | None = SPOT, **options: Any) -> Any:
    paths = []
    for at, text in enumerate(texts):
        paths.append(folder / f"x{at}.csv")
        paths[-1].write_text(text)
    catalog = Catalog(folder / "catalog")
    return catalog, import_binance(catalog, paths, symbol=symbol, **options)


def ms_of(frame: pl.DataFrame, column: str = "ts_event") -> list[float]:
    return ((frame[column].to_physical() - MONDAY_NS) / 1e6).to_list()


@pytest.mark.parametrize("name", FILES)
def test_trades_are_recognised_by_their_columns(tmp_path, name):
    catalog, report = imported(tmp_path, FILES[name])
    trades = stored(catalog, "trades")
    found = trades.select("trade_id", "price", "size", pl.col("aggressor").cast(pl.String)).rows()
    assert found == [(7, 10.5, 0.5, "sell"), (8, 10.25, 1.5, "buy")], "the buyer was the maker: a sale"
    assert ms_of(trades) == [0, 250]
    assert trades["ts_recv"].is_null().all()
    assert (report.rows_read, report.counts["trades"]) == (2, 2)


def test_a_zip_and_several_days(tmp_path):
    day = 86_400_000
    for at in range(2):
        with zipfile.ZipFile(tmp_path / f"{at}.zip", "w") as archive:
            archive.writestr(f"{at}.csv", f"{at},10.5,0.5,5.25,{A + at * day},True,True\n")
    catalog = Catalog(tmp_path / "catalog")
    import_binance(catalog, [tmp_path / "0.zip", tmp_path / "1.zip"], symbol=SPOT)
    assert ms_of(stored(catalog, "trades")) == [0, day]


def test_best_quotes_wait_where_their_times_go_back(tmp_path):
    header = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
    rows = f"5,10,1,10.5,2,{B},{B}\n6,10.1,1,10.5,3,{A},{B}\n"
    for text in (header + rows, rows):
        catalog, report = imported(tmp_path, text, symbol="BTCUSDT.BINANCE-FUTURES")
        quotes = stored(catalog, "quotes")
        names = ("venue_seq", "bid_price", "bid_size", "ask_price", "ask_size")
        assert quotes.select(names).rows() == [(5, 10, 1, 10.5, 2), (6, 10.1, 1, 10.5, 3)]
        assert ms_of(quotes) == [250, 250]
        assert report.counts["time_went_back"] == 1


def kline(opened: int, *prices: str, volume: str = "3", quote: str = "31.5", count: int = 4, length: int = 60_000) -> str:
    return f"{opened},{','.join(prices)},{volume},{opened + length - 1},{quote},{count},1,10,0\n"


KLINES = kline(A, "10", "11", "9", "10.5") + kline(A + 60_000, "10.5", "10.5", "10.5", "10.5", volume="0", quote="0", count=0)


def test_klines_are_bars_that_end_after_they_open(tmp_path):
    catalog, report = imported(tmp_path, KLINES)
    assert "klines of 1m" in report.notes
    bars = catalog.bars(SPOT, "1m")
    names = ("open", "high", "low", "close", "volume", "count", "vwap")
    assert bars.select(names).rows() == [(10, 11, 9, 10.5, 3, 4, 10.5), (10.5, 10.5, 10.5, 10.5, 0, 0, None)]
    table = stored(catalog, "bars")
    assert (ms_of(table, "ts_open"), ms_of(table)) == ([0, 60_000], [60_000, 120_000])


def test_the_mean_price_of_coin_margined_klines_is_left_out(tmp_path):
    catalog, report = imported(tmp_path, KLINES, symbol="BTCUSD_PERP.BINANCE-DELIVERY")
    assert stored(catalog, "bars")["vwap"].is_null().all()
    assert any("contracts" in note for note in report.notes)


def test_a_mean_price_an_ulp_beside_the_only_price_is_that_price(tmp_path):
    catalog, _ = imported(tmp_path, kline(A, *["0.01"] * 4, volume="0.9", quote="0.009", count=1))
    assert 0.009 / 0.9 != 0.01
    assert stored(catalog, "bars")["vwap"].to_list() == [0.01]


DEPTH = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n"


def level(number: int, side: str, price: str, size: str, *, ms: int = 0, previous: int = -1, first: int | None = None) -> str:
    kind = "snap" if previous < 0 else "set"
    return f"BTCUSDT,{A + ms},{first or number},{number},{side},{kind},{price},{size},{previous}\n"


SNAPS = DEPTH + level(5, "b", "10", "1") + level(5, "a", "11", "2") + level(9, "b", "10", "7", ms=9)
UPDATES = (
    DEPTH
    + level(4, "b", "9", "9", ms=1, previous=3)
    + level(7, "b", "9", "1", ms=2, previous=4, first=5)
    + level(7, "a", "11", "0", ms=2, previous=4, first=5)
    + level(7, "b", "10", "3", ms=2, previous=4, first=5)
    + level(10, "b", "9.5", "1", ms=10, previous=9)
    + level(14, "b", "9.5", "2", ms=11, previous=13)
)


@pytest.mark.parametrize("turned", [False, True])
def test_snapshots_and_updates_are_joined_by_their_ids(tmp_path, turned):
    files = (UPDATES, SNAPS) if turned else (SNAPS, UPDATES)
    catalog, report = imported(tmp_path, *files, symbol=None)
    assert report.symbol == "BTCUSDT.BINANCE-FUTURES"
    found = [(number, flags & (SNAPSHOT | SUSPECT), bids, asks) for number, flags, bids, asks in books(stored(catalog))]
    assert found == [
        (5, SNAPSHOT, {10: 1}, {11: 2}),
        (7, 0, {9: 1, 10: 3}, {}),
        (9, SNAPSHOT, {10: 7}, {}),
        (10, 0, {10: 7, 9.5: 1}, {}),
        (14, SUSPECT, {10: 7, 9.5: 2}, {}),
    ]
    assert (report.rows_read, report.counts["before_snapshot"], report.counts["gaps"]) == (9, 1, 1)
    assert ms_of(stored(catalog).unique("venue_seq", maintain_order=True)) == [0, 2, 9, 10, 11]


def test_updates_alone_are_suspect(tmp_path):
    catalog, report = imported(tmp_path, UPDATES, symbol=None)
    assert (stored(catalog)["flags"] & SUSPECT > 0).all()
    assert any("no snapshot" in note for note in report.notes)


BAD = {
    "no symbol told": (FILES["trades of spot"], InvalidParameter, "does not tell its symbol and market"),
    "an empty file": ("", NoData, "x0.csv is empty"),
    "a header alone": (HEADERS["trades"] + "\n", NoData, "holds no rows"),
    "another table": ("a,b\n1,2\n", DataError, "has the columns a, b; trades, aggTrades"),
    "numbers of something else": ("1,2,3\n", DataError, "begins with 1,2,3; that is no trade"),
    "a truth that is none": (FILES["trades of futures"].replace("true", "maybe"), DataError, "x0.csv: .*maybe"),
    "a price that is none": (FILES["trades of futures"].replace("10.50", "ten"), DataError, "x0.csv: .*ten"),
    "a negative size": (FILES["trades of spot"].replace("1.5,", "-1.5,"), DataError, "x0.csv, row 2: size is negative"),
    "a row too short": (FILES["trades of futures"] + "9,10\n", DataError, "x0.csv: "),
    "a price of no number": (
        FILES["trades of futures"].replace("10.50", "nan"),
        DataError,
        "x0.csv, rows 2 to 3: .*price must be known",
    ),
    "klines of two lengths": (KLINES + kline(A + 120_000, *["10"] * 4, length=1_000), DataError, "x0.csv, row 3: a kline from"),
    "a kline without its time": (KLINES.replace(str(A), ""), DataError, "x0.csv"),
    "a kline without its count": (
        kline(A, *["10"] * 4) + kline(A + 60_000, *["10"] * 4, count=""),
        DataError,
        "row 2: no count",
    ),
    "a kline below its low": (kline(A, "8", "11", "9", "10"), DataError, "x0.csv, row 1: "),
    "klines of a month": (kline(A, *["10"] * 4, length=31 * 86_400_000), NotSupported, "klines of 2.6784e"),
    "klines of half a second": (kline(A, *["10"] * 4, length=500), NotSupported, "klines of 0.5 s"),
    "a level of no side": (SNAPS.replace(",a,", ",x,"), DataError, "x0.csv, row 3: side x"),
    "a level of another kind": (SNAPS.replace("snap", "trim"), DataError, "x0.csv, row 2: side b, update_type trim"),
    "a level of another symbol": (
        SNAPS + level(9, "b", "1", "1").replace("BTC", "ETH"),
        DataError,
        "row 5: a level of ETHUSDT",
    ),
    "a level without a price": (SNAPS.replace(",11,", ",,"), DataError, "x0.csv, row 3: "),
    "a level in microseconds": (SNAPS.replace(str(A), f"{A}000"), DataError, "row 2: timestamp .* is not in milliseconds"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_told(tmp_path, name):
    text, kind, told = BAD[name]
    with pytest.raises(kind, match=told):
        imported(tmp_path, text, symbol=None if "told" in name or "level" in name else SPOT)
    assert Catalog(tmp_path / "catalog").symbols() == []


def test_files_of_two_kinds_are_imported_apart(tmp_path):
    with pytest.raises(DataError, match=r"x1\.csv is of another kind than x0\.csv"):
        imported(tmp_path, FILES["trades of spot"], KLINES)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
def test_files_of_levels_may_be_told_in_any_order(tmp_path, order):
    texts = [
        SNAPS.removesuffix(level(9, "b", "10", "7", ms=9)),
        DEPTH + "".join(level(n, "b", "9", str(n), ms=n, previous=n - 1) for n in range(6, 100)),
        DEPTH + "".join(level(n, "b", "9", str(n), ms=n, previous=n - 1) for n in range(100, 120)),
    ]
    catalog, report = imported(tmp_path, *(texts[at] for at in order), symbol=None)
    assert [number for number, *_ in books(stored(catalog))] == [*range(5, 120)]
    assert not {"old_events", "gaps"} & {*report.counts}


def trades_of(*ids: int, start: int = 0) -> str:
    return HEADERS["trades"] + "\n" + "".join(f"{n},10.5,1,10.5,{A + (start + n) * 1_000},true\n" for n in ids)


def quotes_of(*ids: int) -> str:
    rows = (f"{n},10,1,10.5,{n},{A + n * 1_000},{A + n * 1_000}\n" for n in ids)
    return "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n" + "".join(rows)


def test_files_that_overlap_give_each_trade_and_quote_once(tmp_path):
    catalog, report = imported(tmp_path, trades_of(*range(1, 50)), trades_of(*range(40, 90)), trades_of(*range(85, 120), 119))
    assert stored(catalog, "trades")["trade_id"].to_list() == [*range(1, 120)]
    assert (report.counts["duplicate"], report.rows_read) == (16, 49 + 50 + 36)
    assert [(row.source, row.row, row.reason) for row in report.quarantine[:2]] == [("x1.csv", n, "duplicate") for n in (2, 3)]
    quotes = (quotes_of(*range(1, 50)), quotes_of(*range(40, 90)))
    catalog, report = imported(tmp_path, *quotes, symbol="BTCUSDT.BINANCE-FUTURES")
    assert stored(catalog, "quotes")["venue_seq"].to_list() == [*range(1, 90)]
    assert report.counts["old_quotes"] == 10
    assert any("were left out: 10" in note for note in report.notes)


def test_a_trade_that_only_the_later_file_has_is_no_duplicate(tmp_path):
    catalog, report = imported(tmp_path, trades_of(1, 2, 3, 8, 9), trades_of(*range(3, 11)))
    assert sorted(stored(catalog, "trades")["trade_id"]) == [*range(1, 11)]
    assert (report.counts["duplicate"], report.counts["time_went_back"]) == (3, 4)
    quotes = (quotes_of(1, 2, 3, 8, 9), quotes_of(*range(3, 11)))
    catalog, report = imported(tmp_path, *quotes, symbol="BTCUSDT.BINANCE-FUTURES")
    assert stored(catalog, "quotes")["venue_seq"].to_list() == [1, 2, 3, 8, 9, 10], "an old quote is no quote of now"


def test_numbers_that_begin_anew_or_are_none_are_no_duplicates(tmp_path):
    catalog, report = imported(tmp_path, trades_of(80, 81), trades_of(1, 2, start=90), trades_of(0, 0, start=93))
    assert stored(catalog, "trades").height == 6
    assert "duplicate" not in report.counts
    with pytest.raises(TimeOrder):
        imported(tmp_path, trades_of(*range(100, 150)), trades_of(*range(30)))
