"""The importers on real recordings, judged by a slow and obvious replay of the records that they emitted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from cift.data.catalog import Catalog
from cift.data.importers import ImportReport, Phantom, import_bitstamp, import_lobster
from cift.data.importers.text import lines
from cift.domain.schemas import LAST, OFF_GRID, SNAPSHOT

AAPL = "AAPL.XNAS"
PRICE_UNITS = 10_000
NO_LEVEL = 9_999_999_999
PHANTOM = Phantom(row=54_607, side="bid", price="584.21", size=100)


class NaiveBook:
    """Orders by id in one dictionary, sizes by level in another; every record is applied as the schema says."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[str, float, float]] = {}
        self.levels: dict[str, dict[float, float]] = {"bid": defaultdict(float), "ask": defaultdict(float)}

    def apply(self, record: dict) -> None:
        action, order_id = record["action"], record["order_id"]
        if action == "clear":
            self.__init__()
        elif action == "add":
            assert order_id not in self.orders
            self.orders[order_id] = (record["side"], record["price"], record["size"])
            self.levels[record["side"]][record["price"]] += record["size"]
        elif action == "cancel":
            side, price, size = self.orders.pop(order_id)
            left = round(size - record["size"], 8)
            assert left >= 0
            assert (side, price) == (record["side"], record["price"])
            if left:
                self.orders[order_id] = (side, price, left)
            self.levels[side][price] = round(self.levels[side][price] - record["size"], 8)
            if self.levels[side][price] == 0:
                del self.levels[side][price]
        elif action == "modify":
            side, _, size = self.orders[order_id]
            self.apply({**record, "action": "cancel", "size": size, "price": self.orders[order_id][1]})
            self.apply({**record, "action": "add"})
        elif action == "fill":
            assert self.orders[order_id][2] >= record["size"]
        else:
            assert action == "trade"

    def top(self, depth: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The best levels of both sides: (price, size), best first."""
        bids = sorted(self.levels["bid"].items(), reverse=True)[:depth]
        return bids, sorted(self.levels["ask"].items())[:depth]


def records_by_message(catalog: Catalog) -> Iterator[tuple[int, list[dict]]]:
    """The records of each message (0: the snapshot), in order."""
    frame = pl.scan_parquet(catalog.path / "mbo").sort("sequence").collect()
    assert frame["sequence"].to_list() == list(range(len(frame)))
    frame = frame.with_columns(pl.col("action", "side").cast(pl.String))
    message, held = 0, []
    for record in frame.select("venue_seq", "action", "side", "price", "size", "order_id", "flags").iter_rows(named=True):
        if record["venue_seq"] != message:
            yield message, held
            message, held = record["venue_seq"], []
        held.append(record)
    yield message, held


def judge_rows(path: Path) -> list[list[int]]:
    return [[int(value) for value in line.split(",")] for _, line in lines(path)]


def expected_top(row: list[int], depth: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    def side(offset: int) -> list[tuple[float, float]]:
        pairs = zip(row[offset : 4 * depth : 4], row[offset + 1 : 4 * depth : 4], strict=True)
        return [(price / PRICE_UNITS, float(size)) for price, size in pairs if abs(price) != NO_LEVEL]

    return side(2), side(0)


def import_aapl(real_data: Path, folder: Path, phantoms: list[Phantom]) -> tuple[Catalog, ImportReport]:
    catalog = Catalog(folder)
    report = import_lobster(
        catalog,
        real_data / "lobster/AAPL_2012-06-21_34200_37800_message_50.csv.zst",
        real_data / "lobster/AAPL_2012-06-21_first672_orderbook_50.csv.zst",
        symbol=AAPL,
        phantoms=phantoms,
    )
    return catalog, report


@pytest.mark.parametrize(("phantoms", "equal_tops"), [([], 91_907), ([PHANTOM], 91_997)])
def test_the_lobster_records_rebuild_the_book_that_lobster_shows(
    real_data: Path, tmp_path: Path, phantoms: list[Phantom], equal_tops: int
) -> None:
    catalog, _ = import_aapl(real_data, tmp_path, phantoms)
    tops = judge_rows(real_data / "lobster/AAPL_2012-06-21_34200_37800_orderbook_level1.csv.zst")
    deep = judge_rows(real_data / "lobster/AAPL_2012-06-21_first672_orderbook_50.csv.zst")
    book = NaiveBook()
    equal = {1: 0, 10: 0, 50: 0}
    held = dict(records_by_message(catalog))
    for message in range(len(tops) + 1):
        for record in held.get(message, []):
            book.apply(record)
        if message == 0:
            continue
        equal[1] += book.top(1) == expected_top(tops[message - 1], 1)
        if message <= len(deep):
            for depth in (10, 50):
                equal[depth] += book.top(depth) == expected_top(deep[message - 1], depth)
    assert equal == {1: equal_tops, 10: 672, 50: 664}


def test_the_lobster_report_counts_what_the_sample_is_known_to_hold(real_data: Path, tmp_path: Path) -> None:
    catalog, report = import_aapl(real_data, tmp_path, [])
    assert report.rows_read == 91_997
    assert report.counts["type_5"] == 2_201
    assert report.counts["unknown_order"] == 84
    frame = pl.scan_parquet(catalog.path / "mbo").with_columns(pl.col("action").cast(pl.String)).collect()
    assert len(frame) == report.rows_written
    by_action = dict(frame.group_by("action").len().iter_rows())
    assert by_action["add"] == report.counts["type_1"] + report.counts["seed_orders"]
    assert by_action["trade"] == report.counts["type_4"] + report.counts["type_5"]
    assert frame.filter((pl.col("flags") & OFF_GRID) > 0).height == report.counts["off_grid_prints"] == 19
    assert frame.filter((pl.col("flags") & SNAPSHOT) > 0).height == report.counts["seed_orders"] + 1
    # One event for the snapshot, one for each message but those that left nothing.
    assert frame.filter((pl.col("flags") & LAST) > 0).height == 1 + 91_997 - report.counts["unknown_level"] + sum(
        1 for row in report.quarantine if row.text.split(",")[1] == "4"
    )
    assert frame["ts_event"].is_sorted()
    assert frame["ts_event"].to_physical()[0] == 1_340_285_400_004_241_176  # 09:30:00.004241176 in New York


def pushed_levels(text: str) -> dict[str, list[tuple[float, float]]]:
    book = json.loads(text)
    return {
        side: [(float(price), float(size)) for price, size in book[name]] for side, name in (("bid", "bids"), ("ask", "asks"))
    }


def displayed(book: NaiveBook, side: str, depth: int) -> list[tuple[float, float]]:
    """The best levels; sizes to 8 decimals, as sums of floats carry noise."""
    levels = sorted(book.levels[side].items(), reverse=side == "bid")[:depth]
    return [(price, round(size, 8)) for price, size in levels]


def test_the_bitstamp_records_reproduce_the_pushed_books(real_data: Path, tmp_path: Path) -> None:
    log = real_data / "bitstamp2015/2015-05-01.log.xz"
    catalog = Catalog(tmp_path)
    report = import_bitstamp(catalog, log)
    held = dict(records_by_message(catalog))
    book = NaiveBook()
    before = {1: 0, 20: 0}
    after = pushes = trades = 0
    for row, line in lines(log):
        _, kind, text = line.split(" ", 2)
        trades += kind == "trade"
        records = held.get(row, []) + (held[0] if row == 1 else [])
        if kind != "order_book":
            for record in sorted(records, key=lambda record: record["action"] != "clear"):
                book.apply(record)
            continue
        pushes += 1
        wanted = pushed_levels(text)
        for depth in before:
            before[depth] += all(displayed(book, side, depth) == wanted[side][:depth] for side in wanted)
        assert all(record["flags"] & SNAPSHOT for record in records)
        for record in records:
            book.apply(record)
        after += all(displayed(book, side, 20) == wanted[side] for side in wanted)
    print(f"pushed books {pushes}: reproduced {before[20]} at 20 levels, {before[1]} at level 1; put right {after}")
    assert pushes == 5_011
    assert after == pushes
    assert before[20] == report.counts["books_reproduced"] == 4_889  # 97.57 %
    assert before[1] == 5_001  # 99.80 %; the least demanded is 99.72 %
    assert trades == report.counts["trade"] == 575
    assert report.counts["trades_foreseen"] + report.counts["trades_unforeseen"] == trades
    assert report.counts["deleted_before_created"] == 5
    assert report.counts["unknown_order"] == 182
