"""Databento's files of CME futures: books through the engine that trades, and minutes beside the vendor's own bars."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import polars as pl
import pytest

import cift
from cift.data.importers import import_databento
from cift.data.view import Ticks
from cift.errors import NoData, NotSupported

SNAPSHOT = "databento/esh4-glbx-mdp3-20231224.mbo.dbn.zst"
MBO = "databento/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst"
MBP_1 = "databento/futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
TRADES = "databento/futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
BARS = "databento/futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10.dbn.zst"
MBO_DEFINITION = "databento/orderbooks_definition.dbn.zst"
FUTURES_DEFINITION = "databento/futures_definition.dbn.zst"


class Chase(cift.Strategy):
    """Takes what is offered, lot by lot, and gives it back."""

    def on_trade(self, trade: Any) -> None:
        if not self.open_orders:
            self.target(1 if self.position <= 0 else -1)


def last_book(view: Ticks) -> tuple[list[Any], list[Any]]:
    """All levels of both sides after the last event, best first: (price, size, orders), from the engine's book."""
    seen: dict[str, Any] = {}

    class Last(cift.Strategy):
        def on_book(self, book: Any) -> None:
            seen["bids"], seen["asks"] = book.depth("buy", 5_000), book.depth("sell", 5_000)

    cift.Backtest(view, Last).run(progress=False)
    return seen["bids"], seen["asks"]


@pytest.mark.parametrize(
    ("file", "symbol", "rows", "bid", "ask", "levels"),
    [
        (SNAPSHOT, "ESH4.GLBX", 8_725, (4799.00, 16, 4), (4799.50, 23, 4), (892, 559)),
        (MBO, "ESM4.GLBX", 13_796, (5214.00, 28, 22), (5214.25, 17, 11), (976, 571)),
    ],
)
def test_the_book_is_the_vendors(
    real_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    symbol: str,
    rows: int,
    bid: tuple[float, int, int],
    ask: tuple[float, int, int],
    levels: tuple[int, int],
) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_databento(catalog, real_data / file, tick_size="0.25")
    assert (report.symbol, report.rows_read, report.rows_written) == (symbol, rows, rows)
    bids, asks = last_book(catalog.ticks(symbol))
    with capsys.disabled():
        print(f"\n{symbol}: {len(bids)} bid and {len(asks)} ask levels, best {bids[0]} and {asks[0]}")
    assert (len(bids), len(asks)) == levels
    assert (bids[0], asks[0]) == (bid, ask)


def test_one_day_of_the_catalog_holds_the_snapshot_and_what_follows(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_databento(catalog, real_data / MBO, definitions=real_data / MBO_DEFINITION)
    instrument = catalog.instruments()["ESM4.GLBX"]
    assert (instrument.tick_size, instrument.currency) == (Decimal("0.25"), "USD")
    assert (instrument.multiplier, instrument.to_dict()["expiry"]) == (50, "2024-06-21T13:30Z")
    assert catalog.ls()["rows"].to_list() == [13_796]
    assert report.counts["moved_in_time"] == 13_601
    bids, asks = last_book(catalog.ticks("ESM4.GLBX", "2024-05-08"))
    assert (len(bids), len(asks)) == (976, 571)


def records(path: Path) -> list[Any]:
    return dbn.DBNDecoder(compression=dbn.Compression.ZSTD).write_and_decode(path.read_bytes())[1:]


@pytest.mark.parametrize("file", [TRADES, MBP_1])
def test_the_vendors_bars_in_the_catalog_are_those_made_of_its_trades(real_data: Path, tmp_path: Path, file: str) -> None:
    catalog = cift.Catalog(tmp_path)
    import_databento(catalog, real_data / file, definitions=real_data / FUTURES_DEFINITION)
    report = import_databento(catalog, real_data / BARS, definitions=real_data / FUTURES_DEFINITION)
    assert (report.rows_written, report.symbol) == (60, "ESU4.GLBX, NQU4.GLBX")
    made = catalog.ticks("ESU4.GLBX").bars("1m")
    told = catalog.bars("ESU4.GLBX", "1m")
    assert made.height == 4
    assert told.height == 30
    columns = ["ts_open", "ts_event", "open", "high", "low", "close", "volume"]
    assert told.join(made, on="ts_open", how="semi").select(columns).equals(made.select(columns))


@pytest.mark.parametrize("file", [TRADES, MBP_1])
def test_minutes_of_the_trades_are_the_vendors_bars(real_data: Path, tmp_path: Path, file: str) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_databento(catalog, real_data / file, definitions=real_data / FUTURES_DEFINITION)
    assert report.counts["trades"] == 120
    trades = pl.scan_parquet(tmp_path / "trades").sort("ts_event", "sequence").collect()
    price = pl.col("price")
    minutes = trades.group_by_dynamic("ts_event", every="1m").agg(
        price.first().alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.last().alias("close"),
        pl.col("size").sum().alias("volume"),
    )
    built = [
        (start, *row) for start, row in zip(minutes["ts_event"].to_physical(), minutes.drop("ts_event").rows(), strict=True)
    ]
    vendor = [
        (bar.ts_event, *(getattr(bar, name) / 10**9 for name in ("open", "high", "low", "close")), bar.volume)
        for bar in records(real_data / BARS)
        if bar.instrument_id == 118 and built[0][0] <= bar.ts_event <= built[-1][0]
    ]
    assert len(built) == 4
    assert built == vendor


def test_each_record_of_mbp_1_is_a_trade_or_a_quote(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_databento(catalog, real_data / MBP_1)
    assert (report.rows_read, report.counts["quotes"], report.counts["trades"]) == (2_288, 2_168, 120)
    quotes = pl.scan_parquet(tmp_path / "quotes").sort("ts_event", "sequence").collect()
    told = [record.levels[0] for record in records(real_data / MBP_1) if record.action != dbn.Action.TRADE]
    expected = [(one.bid_px / 10**9, one.bid_sz, one.ask_px / 10**9, one.ask_sz) for one in told]
    assert quotes.select("bid_price", "bid_size", "ask_price", "ask_size").rows() == expected


@pytest.mark.parametrize(("file", "level"), [(MBO, "L3"), (MBP_1, "L1")])
def test_a_strategy_trades_over_an_imported_file(real_data: Path, tmp_path: Path, file: str, level: str) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_databento(catalog, real_data / file, tick_size="0.25", multiplier=50)
    view = catalog.ticks(report.symbol)
    assert view.level == level
    first, second = (cift.Backtest(view, Chase, venue=cift.Venue(latency="50us")).run(progress=False) for _ in range(2))
    assert len(first.fills) > 2
    assert first.digest == second.digest


FIXTURES: dict[str, dict[str, int] | type[Exception]] = {
    "bbo-1m.dbn.zst": {"quotes": 4},
    "bbo-1s.dbn.zst": {"quotes": 4},
    "cbbo-1s.dbn.zst": {"quotes": 2},
    "cmbp-1.dbn.zst": {"quotes": 2},
    "imbalance.dbn.zst": NotSupported,
    "mbo.dbn": {"mbo": 2},
    "mbo.dbn.zst": {"mbo": 2},
    "mbp-1.dbn.zst": {"quotes": 2},
    "mbp-10.dbn.zst": {"mbp": 22},
    "ohlcv-1d.dbn.zst": NoData,
    "ohlcv-1h.dbn.zst": {"bars": 2},
    "ohlcv-1m.dbn.zst": {"bars": 2},
    "ohlcv-1s.dbn.zst": {"bars": 2},
    "statistics.dbn.zst": NotSupported,
    "status.dbn.zst": NotSupported,
    "tbbo.dbn.zst": {"quotes": 2, "trades": 2},
    "trades.dbn.zst": {"trades": 2},
}
"""Every fixture of the vendor, and the rows of each schema that it leaves, or how it is refused. (ohlcv-1d holds no records,
and those of definitions are read by tests/real/test_definitions.py.)"""


def test_no_fixture_is_forgotten(real_data: Path) -> None:
    names = sorted(path.name.removeprefix("test_data.") for path in (real_data / "databento/fixtures").glob("*.dbn*"))
    definitions = [name for name in names if name.startswith("definition.")]
    assert len(definitions) == 5
    assert [name for name in names if name not in definitions] == sorted(FIXTURES)


@pytest.mark.parametrize("name", FIXTURES)
def test_every_fixture_is_read_or_refused_by_name(real_data: Path, tmp_path: Path, name: str) -> None:
    path, expected = real_data / f"databento/fixtures/test_data.{name}", FIXTURES[name]
    catalog = cift.Catalog(tmp_path)
    if isinstance(expected, dict):
        report = import_databento(catalog, path)
        assert {schema: report.counts[schema] for schema in expected} == expected
        assert report.rows_written == sum(expected.values())
        assert catalog.symbols() == ["ESH1.GLBX"]
        return
    with pytest.raises(expected, match=name.split(".")[0] if expected is NotSupported else "holds no records"):
        import_databento(catalog, path)
    assert catalog.symbols() == []


def test_ten_levels_are_those_of_each_record(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "databento/fixtures/test_data.mbp-10.dbn.zst"
    catalog = cift.Catalog(tmp_path)
    import_databento(catalog, path)
    frame = (
        pl.scan_parquet(tmp_path / "mbp").sort("ts_event", "sequence").collect().with_columns(pl.col("side").cast(pl.String))
    )
    for record in records(path):
        book: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
        for side, price, size in (
            frame.filter((pl.col("venue_seq") <= record.sequence) & (pl.col("side") != "none"))
            .select("side", "price", "size")
            .iter_rows()
        ):
            book[side][price] = size
        bids = sorted(((price, size) for price, size in book["bid"].items() if size), reverse=True)
        asks = sorted((price, size) for price, size in book["ask"].items() if size)
        assert bids == [(level.bid_px / 10**9, level.bid_sz) for level in record.levels]
        assert asks == [(level.ask_px / 10**9, level.ask_sz) for level in record.levels]
