"""Loads days of a catalog or a view into the tables of a server, so that a day is whole or known not to be.

Each day is sent in batches, in order. A batch whose fate nobody knows (the server was killed, the line broke) is sent again:
the tables drop what they hold already. When the server has answered that it holds every row of the day, the day counts as
loaded; until then readers refuse it. Of a day that begins with the rows that the server holds, those behind them are sent.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from cift.data.catalog import Catalog, CatalogFeed
from cift.data.columns import RawColumns, cut, join, length
from cift.data.frames import FrameFeed, by_day, raw_columns
from cift.data.hashing import ContentHash
from cift.data.questdb.tables import (
    LOADED,
    DayRecord,
    held_rows,
    make_tables,
    read_days,
    read_instruments,
    to_server,
    write_day,
    write_instrument,
)
from cift.data.questdb.transport import Transport
from cift.data.reading import PartitionReader, in_lanes, prefetch
from cift.data.times import DAY_NS, TimeLike, time_ns
from cift.data.view import Ticks
from cift.domain.instrument import Instrument
from cift.domain.schemas import WORD_CODES
from cift.errors import CatalogError, CorruptData, InvalidParameter, NoData, ServerDown, ServerError, UnknownName

if TYPE_CHECKING:
    pass

Way = Literal["ilp", "parquet"]
BATCH_ROWS = {"ilp": 262_144, "parquet": 524_288}
"""Rows of a transaction. Larger ones cost the server less, above all where a day holds other symbols, into which it merges each of
them; the client of the line protocol holds at most 100 MiB.
"""
LANES = 2
"""Batches that are under way at a time. The server takes one by one thread, so a single lane leaves the other cores idle."""
_WORDS = ["symbol", "spec", *WORD_CODES]
LOOK_EVERY_S = (0.002, 0.05)
"""Seconds between two looks at what the server shows: at first, and at most."""
RETRY_EVERY_S = 0.25


@dataclass(frozen=True)
class Day:
    """One day to be loaded: what is recorded of it, and its rows."""

    record: DayRecord
    batches: Callable[[], Iterator[RawColumns]]


@dataclass(frozen=True)
class LoadReport:
    """The outcome of a load.

    Args:
        server: where the rows went. way: "ilp" or "parquet".
        rows: of all days that were asked for; the server holds each of them once. rows_sent: how many were sent now.
        days: how many were asked for. days_there: how many of them the server held already.
        elapsed_s: seconds that it took, until the rows could be read.
    """

    server: str
    way: str
    rows: int
    rows_sent: int
    days: int
    days_there: int
    elapsed_s: float

    def __repr__(self) -> str:
        there = f", {self.days_there} of them there already" if self.days_there else ""
        return (
            f"{self.server}: {self.rows:,} rows of {self.days} day{'s' * (self.days != 1)}{there}; {self.rows_sent:,} rows sent by "
            f"{self.way} in {self.elapsed_s:.2f} s"
        )


def load(
    transport: Transport,
    server: str,
    source: Catalog | Ticks,
    symbols: str | Sequence[str] | None,
    start: TimeLike | None,
    end: TimeLike | None,
    *,
    by: str | None,
    resend: bool,
    patience_s: float,
) -> LoadReport:
    """See `QuestDB.load`."""
    started = time.perf_counter()
    if by is not None and by not in get_args(Way):
        raise UnknownName(f"by {by!r} is not known; choose ilp or parquet, or None")
    instruments, days = _days_of(source, symbols, start, end)
    make_tables(transport)
    _write_instruments(transport, instruments)
    known = {(day.symbol, day.dataset, day.day_ns): day for symbol in instruments for day in read_days(transport, symbol)}
    folder = _import_folder(transport) if by in (None, "parquet") else None
    if by == "parquet" and folder is None:
        raise ServerError("by='parquet' needs the server's import folder on this machine; load with by='ilp'")
    sender = _Sender(transport, folder, patience_s)
    sent = there = 0
    for day in days:
        record = day.record
        before = known.get((record.symbol, record.dataset, record.day_ns))
        held = _rows_there(transport, day, before)
        if held == record.rows and not resend:
            there += 1
            continue
        skip = 0 if resend else held
        sender.send_day(day, skip)
        sent += record.rows - skip
    sender.finish()
    rows = sum(day.record.rows for day in days)
    elapsed_s = time.perf_counter() - started
    return LoadReport(server, "ilp" if folder is None else "parquet", rows, sent, len(days), there, elapsed_s)


def _rows_there(transport: Transport, day: Day, before: DayRecord | None) -> int:
    """How many rows the server holds for certain, counted from the first of the day; all of them: it is there in full.

    Args:
        before: what was recorded when rows of that day were sent before.
    Raises:
        CatalogError: where it holds rows of that day that are not those of the source.
    """
    record = day.record
    held, first, last = held_rows(transport, record)
    if not held:
        return 0
    if before is None or (before.content_hash != record.content_hash and not _continues(day, before, last)):
        raise CatalogError(
            f"the server holds {held:,} rows of {record} that are not those of the source, and QuestDB does not delete the rows of "
            f"one symbol; drop the day with ALTER TABLE {record.schema} DROP PARTITION LIST '{record.date}' (all symbols), then "
            "load again"
        )
    return held if before.state == LOADED and (held, first, last) == (before.rows, 0, before.rows - 1) else 0


def _continues(day: Day, before: DayRecord, last: int) -> bool:
    """Whether a day begins with the rows that were sent before, and the server holds none behind them.

    The last bar of a day belongs to the next one, by its end, and whoever appends adds rows to a day.
    """
    if before.rows >= day.record.rows or last >= before.rows:
        return False
    begin = ContentHash(before.schema)
    for piece in day.batches():
        begin.update(cut(piece, 0, min(length(piece), before.rows - begin.rows)))
        if begin.rows == before.rows:
            break
    return begin.hexdigest() == before.content_hash


def _write_instruments(transport: Transport, instruments: dict[str, Instrument]) -> None:
    known = read_instruments(transport)
    for symbol, instrument in instruments.items():
        before = known.get(symbol)
        if before == instrument:
            continue
        if before is not None and not before.has_steps_of(instrument) and read_days(transport, symbol):
            raise CatalogError(
                f"{symbol} is on the server as {before}, which holds for the instrument's life; not as {instrument}"
            )
        write_instrument(transport, instrument)
        _until(lambda: read_instruments(transport).get(symbol) == instrument, f"the instrument {symbol}", 30.0)  # noqa: B023


def _until(is_so: Callable[[], bool], what: str, patience_s: float) -> None:
    """Waits for what was written to be seen."""
    deadline, pauses = time.monotonic() + patience_s, _pauses()
    while not is_so():
        if time.monotonic() > deadline:
            raise ServerDown(
                f"{what} was sent, and the server does not show it after {patience_s:g} s; look at its log, load again"
            )
        time.sleep(next(pauses))


def _pauses() -> Iterator[float]:
    """Seconds from one look to the next: most waits are of some milliseconds, few of seconds."""
    pause_s, most_s = LOOK_EVERY_S
    while True:
        yield pause_s
        pause_s = min(1.5 * pause_s, most_s)


class _Sender:
    """Sends days: by the line protocol, or through the server's import folder where there is one."""

    def __init__(self, transport: Transport, folder: Path | None, patience_s: float) -> None:
        self._transport = transport
        self._folder = folder
        self._patience_s = patience_s
        self._loaded: list[DayRecord] = []

    def send_day(self, day: Day, skip: int) -> None:
        """Sends one day but for its first `skip` rows, which the server holds, and waits until it holds the day."""
        record = day.record
        write_day(self._transport, record)
        # Seen before the first row is sent: who loads again after a crash then knows whose rows they are.
        self._until_recorded({record})
        total = ContentHash(record.schema)

        def batches() -> Iterator[RawColumns]:
            yield from _batches(unsent(), BATCH_ROWS["ilp" if self._folder is None else "parquet"])

        def unsent() -> Iterator[RawColumns]:
            for piece in day.batches():
                held = max(0, skip - total.rows)
                total.update(piece)
                if held < length(piece):
                    yield cut(piece, held, length(piece))

        def send(batch: RawColumns) -> None:
            self._send(record, to_server(record.schema, batch, record.symbol, record.spec))

        # The next batches are read while the server takes these.
        for _ in in_lanes(send, prefetch(batches, ahead=1), LANES):
            pass
        if total.rows != record.rows or total.hexdigest() != record.content_hash:
            raise CorruptData(
                f"the source's {record} changed while it was loaded; the day does not count as loaded, load it again"
            )
        self._until_held(record)
        loaded = replace(record, state=LOADED)
        write_day(self._transport, loaded)
        self._loaded.append(loaded)

    def finish(self) -> None:
        """Waits until the server shows that the days are loaded."""
        by_symbol: dict[str, set[DayRecord]] = {}
        for record in self._loaded:
            by_symbol.setdefault(record.symbol, set()).add(record)
        for records in by_symbol.values():
            self._until_recorded(records)

    def _until_recorded(self, records: set[DayRecord]) -> None:
        """Waits until the server shows the records of some days of one symbol."""
        symbol = next(iter(records)).symbol

        def are_recorded() -> bool:
            return records.issubset(read_days(self._transport, symbol))

        _until(are_recorded, f"the record of {symbol}'s days", self._patience_s)

    def _send(self, record: DayRecord, rows: Any) -> None:
        """Sends a batch until it has arrived, for as long as patience lasts."""
        deadline = time.monotonic() + self._patience_s
        encoded = None
        while True:
            try:
                if self._folder is not None:
                    self._import(self._folder, record, rows)
                else:
                    encoded = self._transport.encode(record.schema, rows) if encoded is None else encoded
                    self._transport.send(encoded)
            except ServerDown as error:
                if time.monotonic() > deadline:
                    raise ServerDown(
                        f"{record} is not loaded in full; load it again when the server is back: {error}"
                    ) from error
                time.sleep(RETRY_EVERY_S)
            else:
                return

    def _import(self, folder: Path, record: DayRecord, rows: Any) -> None:
        """Has the server read a file that lies in its import folder."""
        import pyarrow.parquet as pq

        name = f"cift-{secrets.token_hex(8)}.parquet"
        columns = ", ".join(f'"{column}"' for column in rows.column_names)
        try:
            pq.write_table(rows, folder / name, compression="none", use_dictionary=_WORDS, write_statistics=False)
            self._transport.ask(f"insert into \"{record.schema}\" ({columns}) select {columns} from read_parquet('{name}')")
        finally:
            (folder / name).unlink(missing_ok=True)

    def _until_held(self, record: DayRecord) -> None:
        """Waits until the server holds every row of the day, and no other."""
        deadline, most, pauses = time.monotonic() + self._patience_s, -1, _pauses()
        while True:
            try:
                held, first, last = held_rows(self._transport, record)
            except ServerDown:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_EVERY_S)
                continue
            if (held, first, last) == (record.rows, 0, record.rows - 1):
                return
            if held > record.rows:
                raise CatalogError(
                    f"the server holds {held:,} rows of {record}, the source {record.rows:,}; somebody else writes there"
                )
            if held > most:
                deadline, most = time.monotonic() + self._patience_s, held
            self._refuse_suspended(record.schema)
            if time.monotonic() > deadline:
                raise ServerDown(
                    f"{held:,} of {record.rows:,} rows of {record} can be read {self._patience_s:g} s after they were sent; the "
                    "day does not count as loaded, load it again"
                )
            time.sleep(next(pauses))

    def _refuse_suspended(self, table: str) -> None:
        rows = self._transport.ask("select errorMessage from wal_tables() where suspended = true and name = %s", (table,))
        if rows:
            raise ServerError(
                f"the server suspended its table {table} ({rows[0][0] or 'no reason told'}); see that it has space on its disk, then "
                f"ALTER TABLE {table} RESUME WAL and load again"
            )


def _batches(pieces: Iterator[RawColumns], rows: int) -> Iterator[RawColumns]:
    """The rows in batches of about `rows`, cut only where the time changes; small pieces are put together.

    Two batches are on their way at a time, and the server keeps rows of one nanosecond in the order in which they arrive.
    """
    waiting: list[RawColumns] = []
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += length(piece)
        if held < rows:
            continue
        batch = join(waiting)
        at = 0
        while held - at >= rows:
            ts = batch["ts_event"]
            stop = int(np.searchsorted(ts, ts[at + rows - 1], side="left"))
            if stop == at:  # more rows of one time than a batch has
                stop = int(np.searchsorted(ts, ts[at], side="right"))
            if stop == held:
                break  # more of this time may come
            yield cut(batch, at, stop)
            at = stop
        waiting, held = [cut(batch, at, held)], held - at
    if held:
        yield join(waiting)


def _import_folder(transport: Transport) -> Path | None:
    """The server's import folder, where it lies on this machine: a file put there is read back by the server."""
    told = _settings(transport)
    place = told.get("cairo.sql.copy.root") or ""
    # What is not absolute lies in the server's root, of which the folder of work files tells.
    folder = Path(told.get("cairo.sql.copy.work.root") or "").parent / place
    if not place or not folder.is_absolute() or not folder.is_dir():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    name, number = f"cift-{secrets.token_hex(8)}.parquet", secrets.randbelow(2**62)
    try:
        # From a buffer, as `pa.array` would import pandas, which takes a second.
        one = pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(number.to_bytes(8, sys.byteorder))])
        pq.write_table(pa.Table.from_arrays([one], ["number"]), folder / name)
        return folder if transport.ask(f"select number from read_parquet('{name}')") == [(number,)] else None
    except ServerDown:
        raise
    except (ServerError, OSError):
        return None
    finally:
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _settings(transport: Transport) -> dict[str, str]:
    names = "('cairo.sql.copy.root', 'cairo.sql.copy.work.root')"
    return {str(row[0]): str(row[2]) for row in transport.ask(f"(show parameters) where property_path in {names}")}


# ------------------------------------------------------------------ what is loaded


def _days_of(
    source: Catalog | Ticks, symbols: str | Sequence[str] | None, start: TimeLike | None, end: TimeLike | None
) -> tuple[dict[str, Instrument], list[Day]]:
    if isinstance(source, Catalog):
        names = [symbols] if isinstance(symbols, str) else source.symbols() if symbols is None else list(symbols)
        if not names:
            raise NoData(f"no data: {source.path} holds no symbol to load")
        instruments = source.instruments()
        days = [_stored(reader) for name in names for reader in source.partitions(name, start, end)]
        return {name: instruments[name] for name in names}, days
    if not isinstance(source, Ticks):
        raise InvalidParameter(
            f"a Catalog or a view (ticks(...), cift.quotes, cift.trades) was expected, not {type(source).__name__}"
        )
    if symbols is not None or start is not None or end is not None:
        raise InvalidParameter("a view says itself what it holds; leave out symbols, start and end")
    days = []
    for feed in source.feeds:
        if isinstance(feed, CatalogFeed):
            days += [_stored(reader) for reader in feed.readers]
        elif isinstance(feed, FrameFeed):
            days += _held(feed)
        else:
            raise InvalidParameter(f"a feed of {type(feed).__name__} cannot be loaded; write it to a catalog first")
    return {feed.symbol: feed.instrument for feed in source.feeds}, days


def _stored(reader: PartitionReader) -> Day:
    manifest = reader.manifest
    day_ns, _ = time_ns(manifest.date, "date")
    record = DayRecord(
        manifest.symbol,
        manifest.schema,
        day_ns,
        manifest.rows,
        manifest.first_ns,
        manifest.last_ns,
        manifest.content_hash,
        spec=manifest.spec,
    )
    everything = ((manifest.first_ns, manifest.last_ns + 1),)
    return Day(record, lambda: reader.groups(everything, every_column=True))


def _held(feed: FrameFeed) -> Iterator[Day]:
    for day, piece in by_day(raw_columns(feed.schema, feed.table)):
        total = ContentHash(feed.schema)
        total.update(piece)
        ts = piece["ts_event"]
        record = DayRecord(feed.symbol, feed.schema, day * DAY_NS, len(ts), int(ts[0]), int(ts[-1]), total.hexdigest())
        yield Day(record, lambda piece=piece: iter((piece,)))  # type: ignore[misc]
