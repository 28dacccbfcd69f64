"""Reads partitions: checked, a few row groups at a time, decoded by a thread that stays just ahead of the consumer."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cift.data.columns import RawColumns, cut, raw_column
from cift.data.hashing import ContentHash, blake2, word_sum
from cift.data.manifest import Manifest
from cift.data.writing import FOOTER_TAIL_BYTES
from cift.domain.schemas import CHUNK_DTYPES, NO_TIME_NS, STORED_DTYPES, arrow_schema
from cift.errors import CatalogError, CorruptData

S = TypeVar("S")
T = TypeVar("T")

GROUPS_AHEAD = 2
"""Row groups that may wait decoded: the simulator then finds one ready, and memory stays at a few of them."""

Interval = tuple[int, int]
"""Nanoseconds since the epoch: from, and up to but not including."""
ALWAYS: Interval = (-(2**63), 2**63 - 1)


def interval_of(start_ns: int | None, end_ns: int | None) -> Interval:
    """A period as an interval; where an end of it is None, it is open."""
    return ALWAYS[0] if start_ns is None else start_ns, ALWAYS[1] if end_ns is None else end_ns


@dataclass(frozen=True, slots=True)
class PartitionReader:
    """Reads one partition as its manifest describes it; anything else is CorruptData."""

    path: Path
    manifest: Manifest

    def groups(self, intervals: tuple[Interval, ...], *, every_column: bool = False) -> Iterator[RawColumns]:
        """Raw columns of the rows whose `ts_event` lies in one of the intervals, row group by row group, in order.

        Page checksums, the footer's hash and the sums of decoded values are checked on the way. `venue_seq` is read with
        `every_column` only; `sequence` is counted, as the writer numbered the rows from 0 without a gap.

        Raises:
            CorruptData: where the file is not what was written.
            CatalogError: where it is gone.
        """
        wanted = [
            (index, row)
            for index, row in enumerate(self._first_rows())
            if any(self._overlaps(index, interval) for interval in intervals)
        ]
        if not wanted:
            return
        with self._source() as source:
            parquet = self._open(source)
            for index, first_row in wanted:
                yield from self._cut(self._decode(parquet, index, first_row, every_column), intervals)

    def check_footer(self) -> None:
        """Sees that the file's end, which tells where everything else lies, is what was written.

        Raises: as `groups`.
        """
        with self._source() as source:
            self._open(source)

    def _first_rows(self) -> list[int]:
        return list(accumulate((group.rows for group in self.manifest.row_groups[:-1]), initial=0))

    def _overlaps(self, index: int, interval: Interval) -> bool:
        group = self.manifest.row_groups[index]
        return group.first_ns < interval[1] and group.last_ns >= interval[0]

    def _source(self) -> pa.NativeFile:
        try:
            return pa.OSFile(str(self.path), "rb")
        except FileNotFoundError:
            raise CatalogError(
                f"{self.path} is gone: the partition was replaced or deleted after this view was made; call ticks() again"
            ) from None

    def _open(self, source: pa.NativeFile) -> pq.ParquetFile:
        size = source.size()
        if size != self.manifest.file_bytes:
            raise self._corrupt(f"it has {size} bytes, {self.manifest.file_bytes} were written")
        source.seek(size - FOOTER_TAIL_BYTES)
        footer = int.from_bytes(source.read(4), "little") + FOOTER_TAIL_BYTES
        source.seek(max(0, size - footer))
        if footer > size or blake2(source.read(footer)).hexdigest() != self.manifest.footer_hash:
            raise self._corrupt("its footer does not match the manifest")
        source.seek(0)
        try:
            return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise self._corrupt(str(error)) from None

    def _decode(self, parquet: pq.ParquetFile, index: int, first_row: int, every_column: bool) -> RawColumns:
        schema, group = self.manifest.schema, self.manifest.row_groups[index]
        wanted = STORED_DTYPES if every_column else CHUNK_DTYPES
        names = [name for name in wanted[schema] if name != "sequence"]
        missing = self._all_missing(parquet, index)
        try:
            table = parquet.read_row_group(index, columns=[name for name in names if name not in missing], use_threads=False)
            expected = arrow_schema(schema)
            columns: RawColumns = {}
            for name in names:
                if name in missing:
                    columns[name] = np.full(group.rows, NO_TIME_NS, dtype=np.int64)
                    continue
                if table.schema.field(name).type != expected.field(name).type or table.num_rows != group.rows:
                    raise self._corrupt(f"row group {index} does not hold {group.rows} rows of {schema}")
                columns[name] = raw_column(name, table.column(name))
        except CorruptData:
            raise
        except Exception as error:  # whatever a decoder raises on damaged bytes, it is the file that is at fault
            raise self._corrupt(f"row group {index}: {error}") from None
        for name in names:
            if word_sum(columns[name]) != group.sums[name]:
                raise self._corrupt(f"the values of {name} in row group {index} are not those that were written")
        columns["sequence"] = np.arange(first_row, first_row + group.rows, dtype=np.int64)
        return columns

    def _all_missing(self, parquet: pq.ParquetFile, index: int) -> frozenset[str]:
        """Columns of which this row group holds only nulls, so that nothing need be decoded."""
        group = parquet.metadata.row_group(index)
        for number in range(group.num_columns):
            column = group.column(number)
            if column.path_in_schema == "ts_recv":
                statistics = column.statistics
                if statistics is not None and statistics.has_null_count and statistics.null_count == group.num_rows:
                    return frozenset(("ts_recv",))
        return frozenset()

    def _cut(self, columns: RawColumns, intervals: tuple[Interval, ...]) -> Iterator[RawColumns]:
        ts_event = columns["ts_event"]
        for start_ns, end_ns in intervals:
            if end_ns <= ts_event[0] or start_ns > ts_event[-1]:
                continue
            first = int(np.searchsorted(ts_event, start_ns, side="left"))
            stop = int(np.searchsorted(ts_event, end_ns, side="left"))
            if first < stop:
                yield cut(columns, first, stop)

    def content_hash(self, intervals: tuple[Interval, ...]) -> str | None:
        """Hash of the values of the selected rows, None where there are none.

        Taken from the manifest where the whole partition is selected; else the rows at the edges are read.
        """
        manifest = self.manifest
        if any(start <= manifest.first_ns and manifest.last_ns < end for start, end in intervals):
            return manifest.content_hash
        total = ContentHash(manifest.schema)
        for columns in self.groups(intervals, every_column=True):
            total.update(columns)
        return total.hexdigest() if total.rows else None

    def verify(self) -> None:
        """Reads the whole file and compares its bytes and its values with the manifest.

        Raises:
            CorruptData: at the first difference.
        """
        with self._source() as source:
            state = blake2()
            while block := source.read(1 << 20):
                state.update(block)
        if state.hexdigest() != self.manifest.file_hash:
            raise self._corrupt("its bytes are not those that were written")
        total = ContentHash(self.manifest.schema)
        everything = ((self.manifest.first_ns, self.manifest.last_ns + 1),)
        for columns in self.groups(everything, every_column=True):
            total.update(columns)
        if total.hexdigest() != self.manifest.content_hash:
            raise self._corrupt("its values are not those that were written")

    def _corrupt(self, what: str) -> CorruptData:
        return CorruptData(f"{self.path}: {what}; restore the file, or import the day again")


def prefetch(make: Callable[[], Iterator[T]], ahead: int = GROUPS_AHEAD) -> Iterator[T]:
    """The items of `make()`, produced by a thread that stays at most `ahead` items in front.

    An error in the thread is raised here, after the items in front of it. The thread ends when the iterator is exhausted,
    closed or dropped.
    """
    items: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def put(entry: tuple[T | None, BaseException | None, bool]) -> bool:
        while not stop.is_set():
            try:
                items.put(entry, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in make():
                if not put((item, None, False)):
                    return
            put((None, None, True))
        except BaseException as error:
            put((None, error, True))

    thread = threading.Thread(target=work, name="cift-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, last = items.get()
            if error is not None:
                raise error
            if last:
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        while not items.empty():
            items.get_nowait()
        thread.join()


def in_lanes(call: Callable[[S], T], items: Iterable[S], lanes: int) -> Iterator[T]:
    """The result of `call` for each item, in order; `lanes` calls are under way at a time, and one waits for a free lane.

    Items are taken by the thread that takes the results. An error of a call is raised here, after the results in front of it and
    when the calls under way have ended; those that wait are not begun.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(lanes, thread_name_prefix="cift-lane") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(call, item))
                if len(waiting) > lanes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def selected_rows(readers: tuple[PartitionReader, ...], intervals: tuple[Interval, ...]) -> Iterator[RawColumns]:
    """Raw columns of all selected rows of the partitions, in order; decoded ahead where more than one row group is read."""

    def read() -> Iterator[RawColumns]:
        for reader in readers:
            yield from reader.groups(intervals)

    if sum(len(reader.manifest.row_groups) for reader in readers) > 1:
        return prefetch(read)
    return read()
