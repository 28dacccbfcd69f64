"""The example strategies over real order flow: they trade, every fill is explained, and the run repeats exactly."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import cift
from cift.data.importers import import_bitstamp, import_lobster

LOBSTER = ("lobster/AAPL_2012-06-21_34200_37800_message_50.csv.zst", "lobster/AAPL_2012-06-21_first672_orderbook_50.csv.zst")


class Join(cift.Strategy):
    """Keeps one order at the best bid while flat, and one at the best ask while long."""

    size: float = cift.param(100.0, low=0.0)

    def on_book(self, book: cift.Strategy) -> None:
        if self.open_orders or book.bid is None or book.ask is None:
            return
        if self.position > 0:
            self.sell(self.position, limit=book.ask, post_only=True)
        else:
            self.buy(self.size, limit=book.bid, post_only=True)


def lobster(real_data: Path, folder: Path) -> cift.Catalog:
    catalog = cift.Catalog(folder)
    import_lobster(catalog, *(real_data / name for name in LOBSTER), symbol="AAPL.XNAS")
    return catalog


def bitstamp(real_data: Path, folder: Path) -> cift.Catalog:
    catalog = cift.Catalog(folder)
    import_bitstamp(catalog, real_data / "bitstamp2015/2015-05-01.log.xz", symbol="BTCUSD.BITSTAMP")
    return catalog


@pytest.mark.parametrize(
    ("importer", "symbol", "date", "size"),
    [(lobster, "AAPL.XNAS", "2012-06-21", 100.0), (bitstamp, "BTCUSD.BITSTAMP", "2015-05-01", 0.5)],
)
def test_a_strategy_trades_real_order_flow(importer, symbol, date, size, real_data, tmp_path) -> None:
    ticks = importer(real_data, tmp_path / "catalog").ticks(symbol, date)
    venue = cift.Venue(latency="250us", fees=cift.Fees(maker_bps=-0.1, taker_bps=0.5))
    backtest = cift.Backtest(ticks, Join, venue=venue)
    result = backtest.run(size=size, progress=False)

    fills = result.fills
    assert len(fills) > 5
    makers = fills.filter(pl.col("liquidity") == "maker")
    assert makers["ahead"].null_count() == 0
    assert set(fills["reason"]) <= {"took", "queue", "crossed", "swept"}
    assert backtest.run(size=size, progress=False).digest == result.digest
    # Bought less sold is what is held, and cash is what that leaves, to the last unit of display.
    signed = fills.with_columns(s=pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0) * pl.col("size"))
    assert signed["s"].sum() == pytest.approx(fills["position"][-1], abs=1e-9)
    spent = (signed["s"] * signed["price"]).sum() + signed["fee"].sum()
    assert fills["cash"][-1] == pytest.approx(1_000_000 - spent, abs=1e-6)
