"""Whatever is imported, the rules that the catalog holds of a symbol screen its rows and stay, and what is given goes before them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cift.data.catalog import Catalog
from cift.data.importers import (
    import_binance,
    import_bitstamp,
    import_bybit,
    import_csv,
    import_databento,
    import_hyperliquid,
    import_lean,
    import_lobster,
    import_parquet,
    import_taq,
    import_tardis,
    import_truefx,
)
from cift.data.importers.known import instrument_of
from cift.domain.instrument import Instrument
from cift.errors import CatalogError, InvalidParameter, OffLotSize, OffTickPrice
from tests.data.dbn import header, ohlcv, trade, write
from tests.data.depth import MONDAY_MS
from tests.data.market import MONDAY_NS, QuickDisk
from tests.data.test_bitstamp import log_of, order

SYMBOL = "ABC.SIM"
MONDAY_US = MONDAY_NS // 1_000
OPEN_US = MONDAY_US + 15 * 3_600 * 10**6
"""10:00 in New York."""

Import = Callable[..., object]
IMPORTS: dict[str, Import] = {}


def importer(run: Import) -> Import:
    """One way to bring prints, quotes, levels, orders or bars of prices such as 10.5 and sizes such as 2 into a catalog."""
    IMPORTS[run.__name__] = run
    return run


def text_file(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


@importer
def csv(catalog: Catalog, folder: Path, **given: object) -> None:
    path = text_file(folder, "x.csv", f"ts_event,price,size\n{MONDAY_NS},10.5,2\n{MONDAY_NS + 5},10.25,3\n")
    import_csv(catalog, path, schema="trades", symbol=SYMBOL, **given)


@importer
def csv_of_bars(catalog: Catalog, folder: Path, **given: object) -> None:
    path = text_file(folder, "b.csv", f"time,open,high,low,close,volume\n{MONDAY_NS + 15 * 3_600 * 10**9},10.5,11,10,10.25,7\n")
    import_csv(catalog, path, schema="bars", spec="1m", symbol=SYMBOL, **given)


@importer
def parquet(catalog: Catalog, folder: Path, **given: object) -> None:
    pq.write_table(pa.table({"ts_event": [MONDAY_NS], "price": [10.5], "size": [2.0]}), folder / "x.parquet")
    import_parquet(catalog, folder / "x.parquet", schema="trades", symbol=SYMBOL, **given)


@importer
def taq(catalog: Catalog, folder: Path, **given: object) -> None:
    text = f"ts_us,EX,SYMBOL,BID,BIDSIZ,OFR,OFRSIZ\n{OPEN_US},N,ABC,10.5,2,10.75,3\n"
    import_taq(catalog, text_file(folder, "q.csv", text), symbol=SYMBOL, exchange="N", round_lot=1, **given)


@importer
def lean(catalog: Catalog, folder: Path, **given: object) -> None:
    import_lean(catalog, text_file(folder, "20260105_q.csv", "1,10.5,10.75\n"), symbol=SYMBOL, size=2, **given)


@importer
def truefx(catalog: Catalog, folder: Path, **given: object) -> None:
    path = text_file(folder, "t.csv", "ABC,20260105 22:00:00.295,10.5,10.75\n")
    import_truefx(catalog, path, symbol=SYMBOL, size=2, **given)


@importer
def tardis(catalog: Catalog, folder: Path, **given: object) -> None:
    text = f"exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nsim,ABC,{MONDAY_US},{MONDAY_US + 7},1,buy,10.5,2\n"
    import_tardis(catalog, text_file(folder, "t.csv", text), symbol=SYMBOL, **given)


@importer
def tardis_book(catalog: Catalog, folder: Path, **given: object) -> None:
    head = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
    text = f"{head}sim,ABC,{MONDAY_US},{MONDAY_US + 7},true,bid,10.5,2\n"
    import_tardis(catalog, text_file(folder, "b.csv", text), symbol=SYMBOL, **given)


@importer
def binance_trades(catalog: Catalog, folder: Path, **given: object) -> None:
    text = f"7,10.50,2,21,{MONDAY_MS},True,True\n8,10.25,3,30.75,{MONDAY_MS + 250},False,True\n"
    import_binance(catalog, text_file(folder, "t.csv", text), symbol=SYMBOL, **given)


@importer
def binance_klines(catalog: Catalog, folder: Path, **given: object) -> None:
    text = f"{MONDAY_MS},10.5,11,10,10.25,2,{MONDAY_MS + 59_999},21,4,1,10,0\n"
    import_binance(catalog, text_file(folder, "k.csv", text), symbol=SYMBOL, **given)


@importer
def binance_recording(catalog: Catalog, folder: Path, **given: object) -> None:
    data = {"e": "trade", "E": MONDAY_MS, "s": "ABC", "t": 7, "p": "10.5", "q": "2", "T": MONDAY_MS, "m": False, "M": True}
    text = f"{MONDAY_NS} {json.dumps({'stream': 'abc@trade', 'data': data})}\n"
    import_binance(catalog, text_file(folder, "x.log", text), symbol=SYMBOL, **given)


@importer
def bybit(catalog: Catalog, folder: Path, **given: object) -> None:
    data = [{"T": MONDAY_MS, "s": "ABC", "S": "Buy", "v": "2", "p": "10.5", "i": "a-b"}]
    text = json.dumps({"topic": "publicTrade.ABC", "type": "snapshot", "ts": MONDAY_MS + 9, "data": data}) + "\n"
    import_bybit(catalog, text_file(folder, "x.data", text), symbol=SYMBOL, **given)


@importer
def hyperliquid(catalog: Catalog, folder: Path, **given: object) -> None:
    data = [{"coin": "ABC", "side": "B", "px": "10.5", "sz": "2", "time": MONDAY_MS, "tid": 7, "hash": "0x0"}]
    text = f"{MONDAY_NS} {json.dumps({'channel': 'trades', 'data': data})}\n"
    import_hyperliquid(catalog, text_file(folder, "h.log", text), symbol=SYMBOL, **given)


@importer
def lobster(catalog: Catalog, folder: Path, **given: object) -> None:
    path = text_file(folder, "ABC_2026-01-05_message.csv", "36000.1,1,7,2,105000,1\n36000.2,1,8,3,107500,-1\n")
    import_lobster(catalog, path, symbol=SYMBOL, **given)


@importer
def bitstamp(catalog: Catalog, folder: Path, **given: object) -> None:
    path = text_file(folder, "2015.log", log_of(order("created", 1, "bid", "10.50", "2.00000000")))
    import_bitstamp(catalog, path, symbol=SYMBOL, **given)


@importer
def databento(catalog: Catalog, folder: Path, **given: object) -> None:
    path = write(folder / "x.dbn", header("trades", {"ABC": 5}, dataset="SIM"), trade("T B 2@10.50 128", ms=1))
    import_databento(catalog, path, **given)


@importer
def databento_bars(catalog: Catalog, folder: Path, **given: object) -> None:
    path = write(folder / "b.dbn", header("ohlcv-1m", {"ABC": 5}, dataset="SIM"), ohlcv(MONDAY_NS, (10.5, 11, 10, 10.25), 2))
    import_databento(catalog, path, **given)


RULES = {
    "multiplier": "5",
    "currency": "EUR",
    "calendar": "CMES",
    "min_quantity": 2,
    "min_notional": "10",
    "activation": "2015-01-01T00:00Z",
    "expiry": "2027-01-01T00:00Z",
}
FINE = Instrument(SYMBOL, "0.0005", "0.00000001", {0: "0.0005", 5: "0.05"}, **RULES)
"""Finer than the rows of the files show, and than is usual."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog", disk=QuickDisk())


@pytest.mark.parametrize("run", IMPORTS.values(), ids=IMPORTS)
def test_an_import_forgets_no_rule_that_is_stored(catalog, tmp_path, run):
    catalog.write_instruments([FINE])
    for _ in range(2):
        run(catalog, tmp_path)
        assert catalog.symbols() == [SYMBOL]
        assert catalog.instruments() == {SYMBOL: FINE}


@pytest.mark.parametrize("run", IMPORTS.values(), ids=IMPORTS)
def test_rows_are_screened_by_the_rules_that_are_stored(catalog, tmp_path, run):
    coarse = Instrument(SYMBOL, "0.25", 1_000, **{**RULES, "min_quantity": None})
    catalog.write_instruments([coarse])
    with pytest.raises((OffLotSize, OffTickPrice), match=r"not a whole number of (lots of 1000|steps of 1000/1e0)"):
        run(catalog, tmp_path)
    assert catalog.symbols() == []
    assert catalog.instruments() == {SYMBOL: coarse}


SHOWN = ("taq", "lean", "truefx", "tardis_book", "lobster", "bitstamp")


@pytest.mark.parametrize("name", SHOWN)
def test_displayed_prices_are_screened_by_the_stored_increments(catalog, tmp_path, name):
    steps = Instrument(SYMBOL, "0.01", "0.00000001", {0: "0.01", 8: "4"}, **RULES)
    catalog.write_instruments([steps])
    with pytest.raises(OffTickPrice, match=r"not on the price_increment 4"):
        IMPORTS[name](catalog, tmp_path)
    assert catalog.instruments() == {SYMBOL: steps}


@pytest.mark.parametrize("run", IMPORTS.values(), ids=IMPORTS)
def test_what_is_given_goes_before_what_is_stored(catalog, tmp_path, run):
    catalog.write_instruments([FINE])
    run(catalog, tmp_path, tick_size="0.00025", lot_size="0.5")
    stored = catalog.instruments()[SYMBOL]
    told = {"tick_size": "0.00025", "lot_size": "0.5"}
    assert stored == Instrument(**{**FINE.to_dict(), **told})
    # Now that rows are stored, the steps hold for life.
    with pytest.raises(CatalogError, match="holds for the instrument's life"):
        run(catalog, tmp_path, tick_size="0.0005")
    run(catalog, tmp_path)
    assert catalog.instruments() == {SYMBOL: stored}


@pytest.mark.parametrize("run", IMPORTS.values(), ids=IMPORTS)
def test_an_instrument_that_nobody_knows_is_inferred_or_usual(catalog, tmp_path, run):
    run(catalog, tmp_path)
    made = catalog.instruments()[SYMBOL]
    assert float(made.tick_size) in (0.01, 0.1)
    assert (made.multiplier, made.currency, made.price_increment, made.expiry) == (1, "USD", None, None)
    assert made.calendar == ("XNYS" if run in (taq, lobster) else "24/7")


def test_three_who_may_tell_are_heard_in_their_order():
    usual = {"tick_size": "0.01", "lot_size": 1, "calendar": "XNYS"}
    assert instrument_of(SYMBOL, None, {"tick_size": None}, usual) == Instrument(SYMBOL, "0.01", 1, calendar="XNYS")
    open_always = Instrument(SYMBOL, "0.05", 2, currency="EUR")
    made = instrument_of(SYMBOL, open_always, {"multiplier": 3}, usual)
    assert made == Instrument(SYMBOL, "0.05", 2, multiplier=3, currency="EUR", calendar="XNYS")
    assert instrument_of(SYMBOL, FINE, {"calendar": "XLON"}, usual).calendar == "XLON"
    assert instrument_of(SYMBOL, FINE, {}, usual) == FINE
    with pytest.raises(InvalidParameter, match="price_increment"):
        instrument_of(SYMBOL, FINE, {"tick_size": "0.02"}, usual)
