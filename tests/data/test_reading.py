from __future__ import annotations

import gc
import itertools
import threading
import time
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest

from cift.data import reading, writing
from cift.data.catalog import Catalog
from cift.data.columns import raw_column
from cift.data.hashing import word_sum
from cift.data.reading import in_lanes, prefetch
from cift.errors import CorruptData
from tests.data.market import ABC, SYMBOL, make, read


def readers_alive() -> int:
    return sum(thread.name == "cift-read-ahead" for thread in threading.enumerate())


def until_no_reader_is_alive() -> None:
    for _ in range(200):
        if not readers_alive():
            return
        time.sleep(0.01)
    raise AssertionError("the thread that reads ahead is still alive")


def test_items_come_in_order_and_the_thread_ends_with_them():
    assert list(prefetch(lambda: iter(range(1_000)))) == list(range(1_000))
    assert list(prefetch(lambda: iter(()))) == []
    until_no_reader_is_alive()


def test_no_more_is_read_ahead_than_asked_for():
    made = []

    def make_items():
        for number in range(100):
            made.append(number)
            yield number

    items = prefetch(make_items, ahead=2)
    assert next(items) == 0
    time.sleep(0.2)
    assert len(made) <= 4  # one with the consumer, two waiting, one in the hand of the thread
    items.close()
    until_no_reader_is_alive()


def test_an_error_is_raised_where_it_happened_and_not_before():
    def fail_at_three():
        yield from (1, 2)
        raise CorruptData("page 3")

    items = prefetch(fail_at_three)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(CorruptData, match="page 3"):
        next(items)
    until_no_reader_is_alive()


def test_a_dropped_iterator_stops_its_thread():
    items = prefetch(itertools.count)
    next(items)
    assert readers_alive() == 1
    del items
    gc.collect()
    until_no_reader_is_alive()


@pytest.fixture
def feed(tmp_path):
    with mock.patch.object(writing, "ROWS_PER_GROUP", 100):
        Catalog(tmp_path).write("mbo", SYMBOL, make("mbo", 5_000), ABC)
    return Catalog(tmp_path).ticks(SYMBOL).feeds[0]


def test_a_run_that_stops_early_stops_the_reader(feed):
    chunks = feed.chunks(10)
    next(chunks)
    chunks.close()
    until_no_reader_is_alive()


def test_a_run_holds_a_few_row_groups_and_not_the_file(feed):
    decoded = []
    decode = reading.PartitionReader._decode

    def counting(self, parquet, index, *rest):
        decoded.append(index)
        return decode(self, parquet, index, *rest)

    with mock.patch.object(reading.PartitionReader, "_decode", counting):
        chunks = feed.chunks(10)
        for _ in range(25):  # rows 0 to 250: groups 0 to 2
            next(chunks)
        time.sleep(0.2)
        assert max(decoded) <= 2 + reading.GROUPS_AHEAD + 1
        chunks.close()


def test_columns_are_views_of_what_was_decoded(feed):
    chunk = next(feed.chunks(10))
    assert all(not array.flags.owndata for name, array in chunk.columns.items())


def test_a_wrong_value_behind_a_sound_checksum_is_seen(feed):
    """The sums guard what page checksums do not: here the decoder itself is made to lie."""

    def lying(name, column):
        raw = raw_column(name, column)
        if name == "size" and len(raw) == 100:
            raw = raw.copy()
            raw[50] += 1
        return raw

    with mock.patch.object(reading, "raw_column", lying), pytest.raises(CorruptData, match="values of size in row group 0"):
        read(feed, None)


def test_the_files_have_page_checksums(feed):
    metadata = pq.ParquetFile(feed.readers[0].path).metadata
    assert metadata.num_row_groups == 50
    data = bytearray(feed.readers[0].path.read_bytes())
    column = metadata.row_group(3).column(5)
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 4
    feed.readers[0].path.write_bytes(data)
    with pytest.raises(CorruptData, match="row group 3"):
        read(feed, None)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64", "uint8"])
def test_the_sum_of_a_column_sees_a_change_anywhere(dtype):
    array = np.arange(1, 21).astype(dtype)
    before = word_sum(array)
    for index in range(20):
        changed = array.copy()
        changed[index] += 1
        assert word_sum(changed) != before
    assert word_sum(array[:0]) == 0


def test_lanes_work_side_by_side_and_give_their_results_in_order():
    barrier = threading.Barrier(2, timeout=10)
    assert list(in_lanes(lambda _: barrier.wait() >= 0, range(4), 2)) == [True] * 4  # each waits for another
    slow_first = in_lanes(lambda number: time.sleep(0.02 * (number == 0)) or number, range(20), 3)
    assert list(slow_first) == list(range(20))


def test_lanes_take_no_more_than_they_work_on():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = in_lanes(lambda number: number, items(), 2)
    for number in range(10):
        assert next(results) == number
        assert len(taken) <= number + 3  # the one given, and two more lanes' worth
    results.close()
    assert len(taken) <= 12


def test_an_error_in_a_lane_comes_in_its_place_and_ends_it_all():
    begun = []

    def call(number):
        begun.append(number)
        if number == 3:
            raise CorruptData("slice 3")
        return number

    results = in_lanes(call, range(100), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CorruptData, match="slice 3"):
        next(results)
    assert len(begun) <= 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cift-lane")]
