"""An hour of AAPL's order flow through the engine that trades: the book is the record, and ours stand truly in its queues."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cift
from cift.data.importers import import_lobster, lobster_replay
from cift.sim.run import RunSpec, push, simulator
from tests.real import standin

MESSAGES = "lobster/AAPL_2012-06-21_34200_37800_message_50.csv.zst"
FIRST_ROWS = "lobster/AAPL_2012-06-21_first672_orderbook_50.csv.zst"
LEVEL_1 = "lobster/AAPL_2012-06-21_34200_37800_orderbook_level1.csv.zst"
PHANTOM = (54_607, "bid", "584.21", 100)
"""An order that left the file's window of 50 levels and was cancelled out there."""


def imported(real_data: Path, folder: Path, **options: Any) -> cift.Catalog:
    """The messages, and of the order book file its first row alone."""
    catalog = cift.Catalog(folder)
    import_lobster(catalog, real_data / MESSAGES, real_data / FIRST_ROWS, symbol="AAPL.XNAS", **options)
    return catalog


@pytest.fixture(scope="module")
def catalog(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> cift.Catalog:
    return imported(real_data, tmp_path_factory.mktemp("lobster"))


def table(path: Path) -> np.ndarray[Any, Any]:
    """A headerless CSV file of whole numbers."""
    import polars as pl
    import pyarrow as pa

    with pa.input_stream(str(path), compression="zstd") as stream:
        return pl.read_csv(stream.read(), has_header=False).to_numpy()


def message_of_rows(catalog: cift.Catalog) -> np.ndarray[Any, Any]:
    """The message that each record comes from, counted from 1; 0 for the opening book."""
    import polars as pl

    frame = pl.read_parquet(Path(catalog.path) / "mbo" / "**" / "*.parquet").sort("sequence")
    return frame["venue_seq"].fill_null(0).to_numpy()


class Idle(cift.Strategy):
    """Watches."""


def touches(catalog: cift.Catalog) -> np.ndarray[Any, Any]:
    """Best ask, size, best bid, size after each message, in LOBSTER's units, from the engine."""
    view = catalog.ticks("AAPL.XNAS", "2012-06-21")
    run = simulator(RunSpec(view, Idle))
    run.look_at([(0, False, ["bid_price", "bid_size", "ask_price", "ask_size"])], places=True)
    for chunk in view.feeds[0].chunks(None):
        push(run, 0, chunk)
    run.end_source(0)
    seen = run.look_ahead()[0]
    messages = message_of_rows(catalog)
    last_row = np.searchsorted(messages, np.arange(1, 91_998), side="right") - 1
    at = np.searchsorted(seen["row"], last_row, side="right") - 1
    columns = [seen["ask_price"] * 10_000, seen["ask_size"], seen["bid_price"] * 10_000, seen["bid_size"]]
    return np.column_stack([np.rint(column[at]).astype(np.int64) for column in columns])


def test_level_1_is_the_record(catalog: cift.Catalog, real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = table(real_data / LEVEL_1)
    equal = int((touches(catalog) == expected).all(axis=1).sum())
    with capsys.disabled():
        print(f"\nLOBSTER level 1: {equal:,} of {len(expected):,} rows equal")
    assert len(expected) == 91_997
    assert equal >= 91_907


def test_one_phantom_explains_the_rest(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = table(real_data / LEVEL_1)
    equal = int((touches(imported(real_data, tmp_path, phantoms=[PHANTOM])) == expected).all(axis=1).sum())
    with capsys.disabled():
        print(f"\nLOBSTER level 1, the phantom named: {equal:,} of {len(expected):,} rows equal")
    assert equal >= 91_996


def test_message_by_message_it_is_the_same(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = []
    for way in ("together", "one by one"):
        if way == "one by one":
            monkeypatch.setattr(lobster_replay, "read", lambda block: None)
        catalog = cift.Catalog(tmp_path / way)
        report = import_lobster(
            catalog,
            real_data / MESSAGES,
            real_data / FIRST_ROWS,
            symbol="AAPL.XNAS",
            phantoms=[PHANTOM],
            price_increment="0.01",
        )
        told = list(report.counts.items()), report.notes, report.quarantine, report.rows_read, report.rows_written
        outcomes.append((catalog.ticks("AAPL.XNAS").feeds[0].content_hash, *told))
    assert outcomes[0] == outcomes[1]


def test_fifty_levels_while_they_are_announced(
    catalog: cift.Catalog, real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = table(real_data / FIRST_ROWS)
    messages = message_of_rows(catalog)
    view = catalog.ticks("AAPL.XNAS", "2012-06-21")
    chunk = next(view.feeds[0].chunks(None))
    ends = messages[np.flatnonzero(chunk.columns["flags"] & 128)]
    books: dict[int, tuple[list[Any], list[Any]]] = {}

    class Watch(cift.Strategy):
        events: int = cift.state(0)

        def on_book(self, book: Any) -> None:
            if self.events < len(ends) and ends[self.events] <= len(expected):
                books[int(ends[self.events])] = (book.depth("sell", 50), book.depth("buy", 50))
            self.events += 1

    cift.Backtest(view, Watch).run(progress=False)

    def side(levels: list[Any], most: int, empty: int) -> list[int]:
        flat = [n for price, size, _ in levels[:most] for n in (round(price * 10_000), round(size))]
        return flat + [empty, 0] * (most - len(flat) // 2)

    def row(message: int, most: int) -> list[int]:
        asks, bids = books[message]
        pairs = zip(
            np.reshape(side(asks, most, 9_999_999_999), (-1, 2)),
            np.reshape(side(bids, most, -9_999_999_999), (-1, 2)),
            strict=True,
        )
        return [int(n) for ask, bid in pairs for n in (*ask, *bid)]

    counts = {
        most: sum(row(n, most) == expected[n - 1, : 4 * most].tolist() for n in range(1, len(expected) + 1) if n in books)
        for most in (1, 10, 50)
    }
    with capsys.disabled():
        print(f"\nLOBSTER depth, of {len(expected)} rows: " + ", ".join(f"{n} equal at {most}" for most, n in counts.items()))
    assert counts[10] == 672
    assert counts[50] >= 664


@pytest.fixture(scope="module")
def columns(catalog: cift.Catalog) -> standin.Columns:
    return next(catalog.ticks("AAPL.XNAS", "2012-06-21").feeds[0].chunks(None)).columns


def test_our_order_in_an_orders_place_gets_its_fills(columns: standin.Columns, capsys: pytest.CaptureFixture[str]) -> None:
    """Each order that the record adds and executes, one per run, sent by us instead."""
    executed = [life for life in standin.lives(columns) if len(life.fills)]
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda life: standin.stand_in(columns, life, 0.01), executed))
    others = [life for life, fills in zip(executed, got, strict=True) if fills != standin.recorded_fills(columns, life)]
    with capsys.disabled():
        print(
            f"\nstand-in: {len(executed):,} orders, {sum(bool(len(life.cancels)) for life in executed)} with cancels of their "
            f"own; {len(executed) - len(others):,} with the record's fills. Others: {[life.order_id for life in others]}"
        )
    assert len(executed) == 3_091
    assert len(executed) - len(others) >= 3_066


def test_our_order_in_the_place_of_one_that_never_traded_does_not_trade(
    columns: standin.Columns, capsys: pytest.CaptureFixture[str]
) -> None:
    unfilled = [life for life in standin.lives(columns) if not len(life.fills) and len(life.cancels)]
    drawn = random.Random(20120621).sample(unfilled, 2_000)
    with ThreadPoolExecutor(2) as pool:
        filled = sum(bool(fills) for fills in pool.map(lambda life: standin.stand_in(columns, life, 0.01), drawn))
    with capsys.disabled():
        print(f"\nstand-in: of {len(drawn):,} drawn from {len(unfilled):,} orders cancelled unfilled, {filled} fill")
    assert filled == 0
