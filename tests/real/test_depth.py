"""Depth recordings: the book rebuilt from what was stored is what the venue itself said of its best levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cift
from cift.data.importers import import_binance
from cift.domain.schemas import LAST, SNAPSHOT, SUSPECT

MARKETS = {
    "usdm": (["usdm_btcusdt_20240808"], "BTCUSDT.BINANCE-FUTURES", 6_547, 66_089, 21_313),
    "cm": (["cm_btcusd_perp_20240808", "cm_btcusd_perp_20240809"], "BTCUSD_PERP.BINANCE-DELIVERY", 44_772, 48_355, 5_235),
    "spot": (["spot_ethusdt_20240808", "spot_ethusdt_20240809"], "ETHUSDT.BINANCE", 6_468, 58_758, 14_515),
}
"""Market -> files, symbol, depth events from the snapshot on (README of the data), and lines of bookTicker and of trade."""
CLOCK_OFFSET = "2s"
"""The recorder's clock is 1.2 s behind the exchange's."""
BEST = ["bid_price", "bid_size", "ask_price", "ask_size"]


def stored(catalog: cift.Catalog, schema: str) -> pl.DataFrame:
    return pl.scan_parquet(Path(catalog.path) / schema).sort("ts_event", "sequence").collect()


def book_after_each_event(catalog: cift.Catalog, symbol: str, **options: Any) -> pl.DataFrame:
    """The best levels that a strategy sees, beside the event that made them."""
    seen: list[Any] = []

    class Look(cift.Strategy):
        def on_book(self, book: Any) -> None:
            seen.append((book.bid, book.bid_size, book.ask, book.ask_size))

    cift.Backtest(catalog.ticks(symbol, level="L2"), Look, **options).run(progress=False)
    events = stored(catalog, "mbp").filter(pl.col("flags") & LAST > 0).select("venue_seq", "flags", "ts_event")
    assert len(seen) == len(events)
    return events.hstack(pl.DataFrame(seen, schema=BEST, orient="row"))


@pytest.mark.parametrize("market", MARKETS)
def test_binances_book_is_its_best_quotes(real_data: Path, tmp_path: Path, market: str) -> None:
    names, symbol, depth_events, tickers, trades = MARKETS[market]
    catalog = cift.Catalog(tmp_path)
    report = import_binance(catalog, [real_data / "binance" / f"{name}.gz" for name in names])
    assert report.symbol == symbol
    assert report.counts["snapshots"] == 1
    assert (report.counts["quotes"], report.counts["trades"]) == (tickers, trades)
    assert report.counts["received_early"] == report.rows_written, "the clock was behind all along"
    assert report.counts.keys().isdisjoint({"gaps", "old_events", "time_went_back", "quarantined"})
    book = book_after_each_event(catalog, symbol, clock_offset=CLOCK_OFFSET).filter(pl.col("flags") & SNAPSHOT == 0)
    quotes = stored(catalog, "quotes").select("venue_seq", *BEST)
    joined = book.join_asof(quotes, on="venue_seq", suffix="_told")
    equal = joined.filter(pl.all_horizontal(pl.col(name) == pl.col(f"{name}_told") for name in BEST))
    assert len(equal) == len(book) == depth_events


def test_a_day_of_levels_can_be_read_alone(real_data: Path, tmp_path: Path) -> None:
    names, symbol, *_ = MARKETS["spot"]
    catalog = cift.Catalog(tmp_path)
    report = import_binance(catalog, [real_data / "binance" / f"{name}.gz" for name in names])
    assert report.counts["books_carried"] == 1

    def tops(start: str, end: str) -> list[Any]:
        seen: list[Any] = []

        class Look(cift.Strategy):
            def on_book(self, book: Any) -> None:
                seen.append((self.now, book.depth("buy", 100), book.depth("sell", 100)))

        cift.Backtest(catalog.ticks(symbol, start, end), Look, clock_offset=CLOCK_OFFSET).run(progress=False)
        return seen

    # Received two seconds on, nothing of the day before is left to come.
    from_ns = 1_723_161_603_000_000_000
    alone = [book for book in tops("2024-08-09", "2024-08-10") if book[0] > from_ns]
    both = tops("2024-08-08", "2024-08-10")
    assert len(alone) > 2_000
    assert alone == both[-len(alone) :]


def test_a_continuation_without_its_snapshot_is_suspect(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_binance(catalog, real_data / "binance/spot_ethusdt_20240809.gz", symbol="ETHUSDT.BINANCE")
    assert "snapshots" not in report.counts
    assert report.counts["mbp"] == 165_950
    assert any("no snapshot" in note for note in report.notes)
    assert (stored(catalog, "mbp")["flags"] & SUSPECT > 0).all()


def test_a_strategy_trades_on_binances_levels(real_data: Path, tmp_path: Path) -> None:
    names, symbol, *_ = MARKETS["usdm"]
    catalog = cift.Catalog(tmp_path)
    import_binance(catalog, [real_data / "binance" / f"{name}.gz" for name in names])

    class Lean(cift.Strategy):
        """Holds what the heavier of the two best levels says."""

        def on_book(self, book: Any) -> None:
            if not self.open_orders and book.bid is not None:
                self.target(0.01 if book.bid_size > book.ask_size else -0.01)

    view = catalog.ticks(symbol)
    assert view.level == "L2"
    with pytest.raises(cift.errors.DataError, match="clock_offset"):
        cift.Backtest(view, Lean).run(progress=False)
    venue = cift.Venue(latency="1ms")
    result = cift.Backtest(view, Lean, cash=100_000, venue=venue, clock_offset=CLOCK_OFFSET).run(progress=False)
    assert len(result.fills) > 100
    again = cift.Backtest(view, Lean, cash=100_000, venue=venue, clock_offset=CLOCK_OFFSET, chunk_rows=10_000)
    assert again.run(progress=False).digest == result.digest
