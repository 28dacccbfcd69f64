"""Depth recordings: the book rebuilt from what was stored is what the venue itself said of its best levels."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cift
from cift.data.importers import import_binance, import_bybit, import_hyperliquid, import_tardis
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


def test_bybits_book_is_the_one_of_a_slow_reader(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "other/bybit_xrpusdt_ob500.data.zip"
    catalog = cift.Catalog(tmp_path)
    report = import_bybit(catalog, file)
    with zipfile.ZipFile(file) as archive:
        messages = [json.loads(line) for line in archive.read(archive.namelist()[0]).splitlines()]
    assert report.rows_read == len(messages) == 50
    rows, expected, book = 0, [], ({}, {})
    for message in messages:
        if message["type"] == "snapshot":
            book, rows = ({}, {}), rows + 1
        for side, name in enumerate("ba"):
            for price, size in message["data"][name]:
                rows += 1
                if float(size):
                    book[side][float(price)] = float(size)
                else:
                    del book[side][float(price)]
            assert len(book[side]) == 500
        bid, ask = max(book[0]), min(book[1])
        assert bid < ask
        expected.append((message["data"]["u"], bid, book[0][bid], ask, book[1][ask], message["cts"] * 1_000_000))
    assert report.rows_written == rows
    assert report.counts["snapshots"] == 1
    assert "gaps" not in report.counts
    found = book_after_each_event(catalog, "XRPUSDT.BYBIT")
    assert found.select("venue_seq", *BEST, pl.col("ts_event").to_physical()).rows() == expected


def test_hyperliquids_book_is_each_of_its_pictures(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "other/hyperliquid_btcusd_20250126.gz"
    catalog = cift.Catalog(tmp_path)
    report = import_hyperliquid(catalog, file)
    lines = [line.split(b" ", 1) for line in gzip.decompress(file.read_bytes()).splitlines()]
    messages = [(int(stamp), json.loads(body)) for stamp, body in lines]
    pictures = [
        (
            stamp,
            message["data"]["time"],
            [[(float(level["px"]), float(level["sz"])) for level in side] for side in message["data"]["levels"]],
        )
        for stamp, message in messages
        if message["channel"] == "l2Book"
    ]
    assert (len(messages), len(pictures)) == (report.rows_read, 46)
    trades = [trade for _, message in messages if message["channel"] == "trades" for trade in message["data"]]
    assert report.counts["trades"] == len({trade["tid"] for trade in trades}) == len(trades)
    changed = [one for at, one in enumerate(pictures) if not at or one[2] != pictures[at - 1][2]]
    assert len(pictures) - len(changed) == report.counts["unchanged_books"]
    seen: list[Any] = []

    class Look(cift.Strategy):
        def on_book(self, book: Any) -> None:
            seen.append([[level[:2] for level in book.depth(side, 100)] for side in ("buy", "sell")])

    cift.Backtest(catalog.ticks("BTC.HYPERLIQUID"), Look).run(progress=False)
    assert seen == [sides for *_, sides in changed]
    ends = stored(catalog, "mbp").filter(pl.col("flags") & LAST > 0)
    times = ends.select(pl.col("ts_recv", "ts_event").to_physical()).rows()
    assert times == [(stamp, told * 1_000_000) for stamp, told, _ in changed]


@pytest.mark.parametrize("levels", [5, 25])
def test_tardis_pictures_are_the_book(real_data: Path, tmp_path: Path, levels: int) -> None:
    file = real_data / f"tardis/binance-futures_book_snapshot_{levels}_BTCUSDT.csv"
    catalog = cift.Catalog(tmp_path)
    report = import_tardis(catalog, file)
    assert (report.rows_read, report.symbol) == (10, "BTCUSDT.BINANCE-FUTURES")
    raw = pl.read_csv(file)
    seen: list[Any] = []

    class Look(cift.Strategy):
        def on_book(self, book: Any) -> None:
            seen.append([level[:2] for side in ("buy", "sell") for level in book.depth(side, 100)])

    cift.Backtest(catalog.ticks(report.symbol), Look).run(progress=False)
    assert seen == [
        [(row[f"{side}[{at}].price"], row[f"{side}[{at}].amount"]) for side in ("bids", "asks") for at in range(levels)]
        for row in raw.iter_rows(named=True)
    ]


def test_tardis_changes_of_deribit(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "tardis/deribit_incremental_book_L2_BTC-PERPETUAL.csv"
    catalog = cift.Catalog(tmp_path)
    report = import_tardis(catalog, file, tick_size="0.5")
    assert (report.rows_read, report.rows_written, report.symbol) == (15, 16, "BTC-PERPETUAL.DERIBIT")
    raw = pl.read_csv(file)
    levels = stored(catalog, "mbp")
    assert levels["action"].to_list() == ["clear"] + ["set"] * 15
    assert levels["price"].to_list() == [None, *raw["price"]]
    assert levels["size"].to_list() == [0, *raw["amount"]]
    assert levels["flags"].to_list() == [SNAPSHOT] * 15 + [SNAPSHOT | LAST]
    assert (levels["ts_recv"].to_physical() == raw["local_timestamp"][0] * 1_000).all()


def test_binances_older_depth_files_are_joined_by_their_ids(real_data: Path, tmp_path: Path) -> None:
    files = [real_data / f"other/binance_btcusdt_depth_{kind}.csv" for kind in ("snap", "update")]
    catalog = cift.Catalog(tmp_path)
    report = import_binance(catalog, files)
    assert (report.rows_read, report.rows_written, report.symbol) == (200, 201, "BTCUSDT.BINANCE-FUTURES")
    # Ten minutes lie between the snapshot and the first update.
    assert (report.counts["snapshots"], report.counts["gaps"]) == (1, 1)
    snap, update = (pl.read_csv(file) for file in files)
    book = book_after_each_event(catalog, report.symbol)
    assert book["venue_seq"].to_list() == [snap["last_update_id"][0], update["last_update_id"][0]]
    assert (book["flags"] & SUSPECT > 0).to_list() == [False, True]
    best = snap.sort("price")[-1]
    assert book.select("bid_price", "bid_size").row(0) == best.select("price", "qty").row(0)
