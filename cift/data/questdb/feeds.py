"""Feeds that read a server slice by slice, a thread ahead of the consumer, so that no range is ever held whole.

A slice is the time between two rows that stand a fixed number of rows apart, so it holds about that many however they crowd;
rows of one time are never parted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cift.data.columns import Array, RawColumns, chunks, cut, length, stored_columns
from cift.data.frames import by_day, check_chunk_rows, conform, raw_columns
from cift.data.hashing import ContentHash, selection_hash
from cift.data.questdb.tables import DayRecord, from_server, not_those
from cift.data.questdb.texts import KnownSymbol, literal, of_kind
from cift.data.questdb.transport import Address, OpenTransport, Transport
from cift.data.reading import Interval, in_lanes, prefetch
from cift.data.report import Tally
from cift.data.screen import Screen
from cift.data.times import DAY_NS
from cift.domain.chunk import Chunk, SchemaName
from cift.domain.instrument import Instrument
from cift.errors import NoData

if TYPE_CHECKING:
    import pyarrow as pa

SLICE_ROWS = 131_072
"""Rows of a slice of a feed, of which about seven are in memory: waiting at both ends, in the lanes, and with the consumer."""
LANES = 2
"""Slices that are asked for at a time: a result is the work of one thread of the server, which is two thirds of the wait."""


@dataclass(frozen=True)
class Server:
    """A server that can be reached, as a value: it travels to sweep workers and opens nothing by itself."""

    address: Address
    timeout_s: float

    def open(self) -> Transport:
        """The way to speak to it; to be used in a `with` block."""
        return OpenTransport(self.address, self.timeout_s)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a day's selected time that is asked for at once, and whether it begins and ends what is selected there."""

    day: DayRecord
    start_ns: int
    stop_ns: int
    is_first: bool
    is_last: bool


def slices(
    transport: Transport,
    known: KnownSymbol,
    days: Sequence[DayRecord],
    intervals: Sequence[Interval],
    columns: str,
    rows: int,
    conditions: Sequence[str] = (),
) -> Iterator[tuple[Slice, pa.Table]]:
    """Columns of some days' rows within the intervals, about `rows` at a time in the order of time; up to three parts are held.

    Args:
        conditions: which of these rows; each is made of whole numbers and names of columns alone.
    """

    def here(piece: Slice) -> str:
        condition = f"{of_kind(known, piece.day.spec)} and ts_event >= {literal(piece.start_ns)}"
        return f'from "{piece.day.schema}" where {condition} and ts_event < {literal(piece.stop_ns)}'

    def cut_up() -> Iterator[Slice]:
        for day in days:
            for start_ns, end_ns in intervals:
                whole = Slice(day, max(start_ns, day.first_ns), min(end_ns, day.last_ns + 1), is_first=True, is_last=True)
                if whole.start_ns >= whole.stop_ns:
                    continue
                if day.rows <= rows:
                    yield whole
                    continue
                every = f"sequence % {literal(rows)} = 0"
                stops = _int64(transport.export(f"select ts_event {here(whole)} and {every}").column(0))
                for start, stop in _cuts(stops, whole.start_ns, whole.stop_ns):
                    yield Slice(day, start, stop, is_first=start == whole.start_ns, is_last=stop == whole.stop_ns)

    def ask(piece: Slice) -> tuple[Slice, pa.Table]:
        return piece, transport.export(" and ".join((f"select {columns} {here(piece)}", *conditions)))

    return in_lanes(ask, cut_up(), LANES)


def check_rows(transport: Transport, known: KnownSymbol, days: Sequence[DayRecord]) -> None:
    """Sees that the server holds of some days of one schema the rows that were loaded; it counts them.

    Raises:
        CorruptData: where there are more or fewer.
    """
    if not days:
        return
    condition = f"{of_kind(known, days[0].spec)} and {between(days[0].day_ns, days[-1].day_ns + DAY_NS)}"
    counted = transport.export(
        f"select timestamp_floor('d', ts_event) at, count() rows_there, min(sequence) low, max(sequence) high "
        f'from "{days[0].schema}" where {condition}'
    )
    columns = [counted.column(name) for name in ("rows_there", "low", "high")]
    there = {
        at.value: tuple(value.as_py() for value in values) for at, *values in zip(counted.column("at"), *columns, strict=True)
    }
    for day in days:
        rows = there.get(day.day_ns, (0, None, None))
        if rows != (day.rows, 0, day.rows - 1):
            raise not_those(day, f"{day.rows:,} were loaded, {rows[0]:,} are there")


def between(start_ns: int, end_ns: int) -> str:
    """The condition that a record's time lies in an interval, the end excluded."""
    return f"ts_event >= {literal(start_ns)} and ts_event < {literal(end_ns)}"


class _Hashed:
    """What both kinds of feed derive from their rows."""

    schema: SchemaName

    def _rows(self, *, every_column: bool) -> Iterator[RawColumns]:
        raise NotImplementedError

    def chunks(self, rows: int | None) -> Iterator[Chunk]:
        """See `Feed.chunks`; a few slices are in memory at a time, asked for by a thread ahead of the consumer.

        Raises:
            ServerError: where the server refuses; ServerDown where it is gone or too slow.
            CorruptData: where rows are missing.
        """
        check_chunk_rows(rows)
        return chunks(self.schema, prefetch(lambda: self._rows(every_column=False)), rows)

    @cached_property
    def content_hash(self) -> str:
        """See `Feed.content_hash`; all selected rows are read once."""
        found: list[tuple[int, ContentHash]] = []
        for columns in prefetch(lambda: self._rows(every_column=True)):
            for day, piece in by_day(columns):
                if not found or found[-1][0] != day:
                    found.append((day, ContentHash(self.schema)))
                found[-1][1].update(piece)
        return selection_hash(self.schema, [(str(np.datetime64(day, "D")), total.hexdigest()) for day, total in found])


@dataclass(frozen=True, eq=False)
class LoadedFeed(_Hashed):
    """A feed of days that `QuestDB.load` stored: every day is read only if it is whole.

    Args:
        days: those that the intervals touch, in order.
    """

    server: Server
    known: KnownSymbol
    schema: SchemaName
    instrument: Instrument
    days: tuple[DayRecord, ...]
    intervals: tuple[Interval, ...]

    @property
    def symbol(self) -> str:
        """The symbol, with its venue."""
        return self.known.text

    @property
    def address(self) -> str:
        """The server, without name and password: where a saved run is read from again."""
        return str(self.server.address)

    def _rows(self, *, every_column: bool) -> Iterator[RawColumns]:
        names = [name for name in stored_columns(self.schema) if every_column or name != "venue_seq"]
        columns = ", ".join(f'"{name}"' for name in names)
        with self.server.open() as transport:
            # Of a day that is read in part, the rows that are read do not tell whether some are gone.
            check_rows(transport, self.known, [day for day in self.days if not self._reads_all(day)])
            expected: int | None = None
            for piece, table in slices(transport, self.known, self.days, self.intervals, columns, SLICE_ROWS):
                day = piece.day
                if piece.is_first:
                    expected = 0 if piece.start_ns == day.first_ns else None
                rows = _in_order(from_server(self.schema, table))
                if length(rows):
                    expected = self._check(day, rows, expected)
                    yield rows
                if piece.is_last and piece.stop_ns == day.last_ns + 1 and expected is not None and expected != day.rows:
                    raise not_those(day, f"{day.rows:,} were loaded, {expected:,} are there")

    def _reads_all(self, day: DayRecord) -> bool:
        return any(start_ns <= day.first_ns and day.last_ns < end_ns for start_ns, end_ns in self.intervals)

    def _check(self, day: DayRecord, piece: RawColumns, expected: int | None) -> int:
        sequence, ts_event = piece["sequence"], piece["ts_event"]
        if expected is not None and sequence[0] != expected:
            raise not_those(day, f"after sequence {expected - 1} comes {sequence[0]}")
        wrong = np.flatnonzero(np.diff(sequence) != 1)
        if len(wrong):
            raise not_those(day, f"after sequence {sequence[wrong[0]]} comes {sequence[wrong[0] + 1]}")
        if (np.diff(ts_event) < 0).any():
            raise not_those(day, "rows are not in the order of their time")
        return int(sequence[-1]) + 1


@dataclass(frozen=True, eq=False)
class TableFeed(_Hashed):
    """A feed of a table that somebody else filled.

    Its rows pass the screen and are numbered from 0 within each UTC day, as they would be in a catalog.

    Args:
        table, time: the table and its designated timestamp, as `texts.identifier` gives them. per_ns: nanoseconds per unit of it.
        columns: our column -> the table's.
        where: the condition that selects the symbol, or "true".
        span: first time, and the one after the last.
        told: table, columns and instrument as plain values, from which a saved run finds the table again.
    """

    server: Server
    symbol: str
    schema: SchemaName
    instrument: Instrument
    table: str
    time: str
    per_ns: int
    columns: Mapping[str, str]
    where: str
    span: Interval
    intervals: tuple[Interval, ...]
    told: Mapping[str, Any]
    policies: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The server, without name and password: where a saved run is read from again."""
        return str(self.server.address)

    def _rows(self, *, every_column: bool) -> Iterator[RawColumns]:  # noqa: ARG002
        # What stands before the first interval on its day is read too: it decides the numbers of the rows.
        begin = max(self.span[0], self.intervals[0][0] // DAY_NS * DAY_NS)
        end = min(self.span[1], self.intervals[-1][1])
        source = f"table {self.table}"
        screen = Screen(self.schema, self.instrument, source, Tally(source), self.policies)
        day, count = None, 0
        with self.server.open() as transport:
            for table in self._tables(transport, begin, end):
                screened = screen.check(raw_columns(self.schema, self._ordered(table)))
                for today, piece in by_day(screened):
                    if today != day:
                        day, count = today, 0
                    rows = length(piece)
                    numbered = {**piece, "sequence": np.arange(count, count + rows, dtype=np.int64)}
                    count += rows
                    for interval in self.intervals:
                        selected = _between(numbered, interval)
                        if length(selected):
                            yield selected
        screen.finish()

    def _ordered(self, table: pa.Table) -> pa.Table:
        """Rows of one time in the order of the table's own sequence, if it has one; else as the table has them."""
        conformed = conform(table, self.schema, {name: name for name in self.columns})
        if "sequence" not in self.columns:
            return conformed
        order = np.lexsort((_int64(conformed.column("sequence")), _int64(conformed.column("ts_event"))))
        return conformed.take(order)

    def _tables(self, transport: Transport, begin: int, end: int) -> Iterator[pa.Table]:
        first, last = (-(-time // self.per_ns) for time in (begin, end))
        since = f"from {self.table} where {self.where} and {self.time} >= "
        rows = f"select {self.time} at, row_number() over () nth {since}{literal(first)} and {self.time} < {literal(last)}"
        stops = transport.export(f"select at from ({rows}) where nth % {literal(SLICE_ROWS)} = 0")
        listed = ", ".join(f'{theirs} as "{ours}"' for ours, theirs in self.columns.items())
        queries = (
            f"select {listed} {since}{literal(start)} and {self.time} < {literal(stop)}"
            for start, stop in _cuts(_int64(stops.column(0)), first, last)
        )
        for table in in_lanes(transport.export, queries, LANES):
            if table.num_rows:
                yield table


def _int64(column: Any) -> Array:
    """A column of whole numbers or times as NumPy sees its memory."""
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.int64())
    if not len(array):
        return np.empty(0, dtype=np.int64)
    return np.frombuffer(array.buffers()[1], dtype=np.int64, count=len(array), offset=array.offset * 8)


def _cuts(stops: Array, begin: int, end: int) -> Iterator[Interval]:
    """The time from `begin` to `end`, cut at the stops."""
    cuts = [begin, *(int(stop) for stop in np.unique(stops) if begin < stop < end), end]
    return pairwise(cuts)


def _in_order(columns: RawColumns) -> RawColumns:
    """The rows of a slice by sequence; the server may give those of one time in another order."""
    sequence = columns["sequence"]
    if not (np.diff(sequence) < 0).any():
        return columns
    order = np.argsort(sequence, kind="stable")
    return {name: array[order] for name, array in columns.items()}


def _between(columns: RawColumns, interval: Interval) -> RawColumns:
    first, stop = np.searchsorted(columns["ts_event"], interval, side="left")
    return cut(columns, int(first), int(stop))


def no_rows(table: str, symbol: str) -> NoData:
    """The error of a selection without rows."""
    return NoData(f"no data: table {table} has no rows of {symbol} in that time; check symbol and dates")
