"""Rows of levels: events and their ends, pictures of a top, and days that can be read alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.columns import join, to_arrow
from cift.data.importers.known import FinestSteps
from cift.data.importers.levels import CarriedBook, LevelRows, TopOfBook, running_maximum
from cift.data.importers.mixed import MixedRows
from cift.data.manifest import Layout
from cift.data.times import DAY_NS
from cift.data.writing import PartitionWriter
from cift.domain.schemas import LAST, NO_TIME_NS, OUT_OF_SIGHT, SNAPSHOT, SUSPECT
from cift.errors import DataError
from tests.data.depth import apply, books
from tests.data.market import ABC, MONDAY_NS, QuickDisk

SIZES = st.integers(0, 3).map(float)
PRICES = st.integers(1, 6).map(float)
SIDES = st.dictionaries(PRICES, SIZES, max_size=4).map(lambda side: list(side.items()))
SHOWN = st.dictionaries(PRICES, st.integers(1, 3).map(float), max_size=5).map(lambda side: list(side.items()))


def frame(columns: Any) -> pl.DataFrame:
    return pl.DataFrame(to_arrow("mbp", columns))


@given(events=st.lists(st.tuples(SIDES, SIDES, st.booleans()), max_size=12))
def test_each_event_is_its_rows_and_ends_once(events):
    rows, expected, book, number = LevelRows(), [], ({}, {}), 0
    for number, (bids, asks, is_snapshot) in enumerate(events):
        rows.add(MONDAY_NS + number, NO_TIME_NS, number, bids, asks, number, snapshot=is_snapshot)
        if is_snapshot:
            book = ({}, {})
        for side, levels in enumerate((bids, asks)):
            for price, size in levels:
                apply(book, side, price, size)
        if bids or asks or is_snapshot:
            expected.append((number, LAST | (SNAPSHOT if is_snapshot else 0), dict(book[0]), dict(book[1])))
    columns, numbers = rows.take()
    assert books(frame(columns)) == expected
    assert numbers.tolist() == columns["venue_seq"].tolist()
    assert (columns["flags"] & LAST > 0).sum() == len(expected)
    assert len(rows.take()[1]) == 0


@given(pictures=st.lists(st.tuples(SHOWN, SHOWN), min_size=1, max_size=12))
def test_changes_lead_from_one_picture_to_the_next(pictures):
    top, book = TopOfBook(5), ({}, {})
    for bids, asks in pictures:
        *changes, _ = top.changes(bids, asks)
        for side, changed in enumerate(changes):
            before = dict(book[side])
            assert all(before.get(price, 0.0) != size for price, size in changed), "only what changes is told"
            for price, size in changed:
                apply(book, side, price, size)
        assert book == (dict(bids), dict(asks))


def test_a_level_that_is_pushed_out_is_not_one_that_is_empty():
    top, rows = TopOfBook(3), LevelRows()
    pictures = [
        ([(99, 1), (98, 2), (97, 3)], [(101, 1), (102, 2), (103, 3)]),
        ([(100, 9), (99, 1), (98, 2)], [(101, 1), (103, 3), (104, 4)]),  # 97 is pushed out, 102 is empty
        ([(100, 9), (99, 1)], [(104, 4)]),  # fewer than ever: all there are
    ]
    for at, (bids, asks) in enumerate(pictures):
        changed_bids, changed_asks, out_of_sight = top.changes(bids, asks)
        rows.add(MONDAY_NS + at, MONDAY_NS + at, at, changed_bids, changed_asks, at, out_of_sight=out_of_sight)
    columns, _ = rows.take()
    gone = columns["size"] == 0
    out = columns["flags"] & OUT_OF_SIGHT > 0
    assert columns["price"][gone & out].tolist() == [97]
    assert sorted(columns["price"][gone & ~out]) == [98, 101, 102, 103]
    assert not (out & ~gone).any()


@given(
    events=st.lists(st.tuples(SIDES, SIDES, st.booleans(), st.integers(0, DAY_NS)), min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_a_day_read_alone_has_the_book_of_all_days(events, cuts):
    rows, ts = LevelRows(), MONDAY_NS
    for number, (bids, asks, is_snapshot, step) in enumerate(events):
        ts += step
        rows.add(ts, ts + 5, number, bids, asks, number, SUSPECT * (number % 2), snapshot=is_snapshot)
    columns, numbers = rows.take()
    whole = {number: book for number, _, *book in books(frame(columns))}
    carried, pieces = CarriedBook(), []
    edges = sorted({0, len(numbers), *(min(cut, len(numbers)) for cut in cuts)})
    for start, stop in pairwise(edges):
        batch = {name: array[start:stop] for name, array in columns.items()}
        pieces += [piece for _, piece in carried.follow(numbers[start:stop], batch)]
    if not pieces:
        return
    told = frame(join(pieces))
    days = told.with_columns(day=pl.col("ts_event").dt.date()).partition_by("day", maintain_order=True)
    assert carried.carried <= len(days) - 1
    for day in days:
        for number, flags, *book in books(day):
            # A carried book is the one after the event whose number it has.
            assert whole[number] == book
            if number % 2:
                assert flags & SUSPECT
    # What was carried changes nothing where the days before were read.
    assert {number: book for number, _, *book in books(told)} == whole


@given(times=st.lists(st.integers(0, 20), max_size=20), last=st.none() | st.integers(0, 20))
def test_times_never_go_back(times, last):
    raised, back = running_maximum(np.array(times, dtype=np.int64), last)
    highest, expected, count = -1 if last is None else last, [], 0
    for one in times:
        count += one < highest
        highest = max(highest, one)
        expected.append(highest)
    assert raised.tolist() == expected
    assert back == count


def test_mixed_rows_come_back_kind_by_kind(tmp_path):
    writer = PartitionWriter(Layout(tmp_path), QuickDisk())
    mixed = MixedRows(writer)
    for at, (kind, source) in enumerate([("a", "x"), ("b", "x"), ("a", "x"), ("a", "y")]):
        array = np.arange(at, at + 3)
        mixed.put(kind, source, array, {"ts_event": array * 10, "price": array / 4})
    assert mixed.rows == {"a": 9, "b": 3}
    found = [(source, numbers.tolist(), columns["price"].tolist()) for source, numbers, columns in mixed.batches("a")]
    assert found == [("x", [0, 1, 2], [0, 0.25, 0.5]), ("x", [2, 3, 4], [0.5, 0.75, 1]), ("y", [3, 4, 5], [0.75, 1, 1.25])]
    assert list(mixed.batches("a")) == [], "once"
    assert list(mixed.batches("c")) == []
    assert len(list(tmp_path.rglob("*.rows"))) == 1, "what was read is off the disk"
    mixed.close()
    writer.close()
    assert not list(tmp_path.rglob("*.rows"))


def quotes(price: float, size: float) -> Any:
    names = ("bid_price", "ask_price", "bid_size", "ask_size")
    return {name: np.array([price if "price" in name else size, np.nan]) for name in names}


def test_the_finest_step_of_all_rows_counts():
    steps, notes = FinestSteps(None, 5), []
    for price in (10.5, 10.25, 11.0):
        steps.see("x", "quotes", quotes(price, 0.123456789012))
    instrument = steps.instrument("ABC.SIM", None, notes)
    assert (float(instrument.tick_size), instrument.lot_size) == (0.01, 5)
    assert notes == ["tick size of ABC.SIM inferred from its prices: 0.01; pass tick_size= to state another"]
    assert steps.instrument("ABC.SIM", ABC, notes).lot_size == 5
    assert steps.instrument("ABC.SIM", ABC, notes).tick_size == ABC.tick_size, "what the catalog knows comes before"


def test_values_on_no_step_are_told_only_where_one_is_needed():
    steps = FinestSteps(None, None)
    steps.see("x.gz", "quotes", quotes(10.5, 0.123456789012))
    with pytest.raises(DataError, match=r"x\.gz: sizes such as 0\.123456789012 lie on no decimal step.*pass lot_size="):
        steps.instrument("ABC.SIM", None, [])
    assert steps.instrument("ABC.SIM", ABC, []) == ABC
