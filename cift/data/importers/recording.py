"""Recordings of websockets: each line is a message in JSON as it came, usually with its time of receipt before it.

    1723161255088169167 {"stream":"btcusdt@bookTicker","data":{...}}

The time is in nanoseconds; where a line begins with the message itself, there is none. What a message means is the venue's
affair: each has a class that takes them one by one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np

from cift.data.columns import Array, RawColumns
from cift.data.importers.book_chain import BookChain
from cift.data.importers.known import FinestSteps
from cift.data.importers.levels import LevelRows
from cift.data.importers.mixed import BACK_NS_MAX, MixedRows, Stored, count_rows, since_snapshot, store
from cift.data.importers.overlap import LATE_NS, NEVER_NS, About, Message, Overlap
from cift.data.importers.text import byte_lines
from cift.data.report import ImportReport, Tally
from cift.data.times import iso
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Number
from cift.domain.schemas import LAST, NO_TIME_NS, STORED_DTYPES
from cift.errors import CiftError, DataError, InvalidParameter, NoData, TimeOrder

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

BYTES_PER_BATCH = 1 << 22
"""Of text, after which what was built is put down."""
INT64_MAX: Final = 2**63 - 1
TIME_DIGITS_MAX = 19
LINES_LOOKED_AT = 10_000
"""Of a file, for its first time."""
SHOWN_BYTES = 80

Id = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]
"""A venue's number of something."""
Stamp = Annotated[int, msgspec.Meta(ge=0, le=4_102_444_800_000_000)]
"""A venue's time in milliseconds or microseconds, up to 2100."""
Levels = list[tuple[float, float]]
"""Price and size, which the messages write as texts: each becomes the float nearest to its decimal."""

_FIELDS: Final[dict[SchemaName, tuple[str, ...]]] = {
    "quotes": ("ts_event", "ts_recv", "bid_price", "bid_size", "ask_price", "ask_size", "venue_seq"),
    "trades": ("ts_event", "ts_recv", "price", "size", "aggressor", "trade_id", "venue_seq"),
}


def decoder(kind: Any) -> Callable[[bytes], Any]:
    """What reads messages of a class; numbers may be texts."""
    return msgspec.json.Decoder(kind, strict=False).decode


def stamp_ns(stamp: int) -> int:
    """A venue's time, in milliseconds or, as some of them are since 2025, microseconds, in nanoseconds."""
    return stamp * (1_000_000 if stamp < 100_000_000_000_000 else 1_000)


class Reached(Exception):  # noqa: N818
    """A time that the next file tells too; a signal between methods of `Recording`, which no caller meets."""


class PlainRows:
    """Quotes or trades, collected until they are taken as raw columns.

    Args:
        schema: "quotes" or "trades".
    """

    def __init__(self, schema: SchemaName) -> None:
        self._schema: SchemaName = schema
        kinds = [(name, STORED_DTYPES[schema][name]) for name in _FIELDS[schema]]
        self._dtype = np.dtype([*kinds, ("row", "int64")])
        self.rows: list[tuple[Any, ...]] = []
        """The values of `_FIELDS`, and the number of the row in the file."""

    def take(self) -> tuple[RawColumns, Array]:
        """The raw columns of what was added since the last call, and the number of each row in the file."""
        table = np.array(self.rows, dtype=self._dtype)
        self.rows.clear()
        columns: RawColumns = {name: np.ascontiguousarray(table[name]) for name in _FIELDS[self._schema]}
        columns["flags"] = np.full(len(table), LAST, dtype=np.uint8)
        columns["sequence"] = np.full(len(table), NO_TIME_NS, dtype=np.int64)
        return {name: columns[name] for name in STORED_DTYPES[self._schema]}, np.ascontiguousarray(table["row"])


class Recording:
    """Reads files of one venue into mixed rows; the classes of venues say what a message becomes.

    Args:
        mixed: where the rows wait.
        steps: sees each of them.
        tally: counts, and messages left out.
        wanted: the venue's name of the symbol; None: the only one there is.
    """

    def __init__(self, mixed: MixedRows, steps: FinestSteps, tally: Tally, wanted: str | None) -> None:
        self.mixed, self.steps, self.tally = mixed, steps, tally
        self.wanted, self._asked = wanted, wanted is not None
        self.notes: list[str] = []
        self.lines, self.row = 0, 0
        self.others: set[str] = set()
        """Other symbols met."""
        self.first_stamp: int | None = None
        self.clock = NO_TIME_NS
        """The latest time of the venue told so far, in ns."""
        self.fresh = True
        """Whether a file has just begun: some venues tell their last trades once more then."""
        self._overlap = Overlap(self._take, self.leave_out)
        self._until_ns = NEVER_NS
        """The first time of the files to come."""
        self._builders: dict[str, tuple[SchemaName, LevelRows | PlainRows]] = {}
        self._key_counts: set[tuple[Any, int]] = set()

    # ------------------------------------------------------------------ what a venue says

    def message(self, body: bytes, ts_recv: int) -> None:
        """Takes one message; `self.row` is its line."""
        raise NotImplementedError

    def about(self, body: bytes) -> About:
        """What a message is, which is not taken yet."""
        raise NotImplementedError

    def leave_out(self, message: Message) -> None:
        """Counts a message that an earlier file told already."""
        raise NotImplementedError

    def venue(self) -> str:
        """The name of the venue, for symbols."""
        raise NotImplementedError

    def parts(self) -> list[Stored]:
        """What is stored, once all is read."""
        return [Stored(schema, (kind,), self.told_time) for kind, (schema, _) in self._builders.items()]

    # ------------------------------------------------------------------ what venues need

    def levels(self, kind: str) -> LevelRows:
        """A builder of levels, whose rows wait under a name."""
        rows = LevelRows()
        self._builders[kind] = ("mbp", rows)
        return rows

    def plain(self, kind: str, schema: SchemaName) -> PlainRows:
        """A builder of quotes or trades, whose rows wait under a name."""
        rows = PlainRows(schema)
        self._builders[kind] = (schema, rows)
        return rows

    def is_wanted(self, symbol: str) -> bool:
        """Whether a message is of the symbol that is imported.

        Raises:
            DataError: a second symbol, where none was asked for.
        """
        if symbol == self.wanted:
            return True
        if self.wanted is None:
            self.wanted = symbol
            return True
        if not self._asked:
            raise DataError(f"{self.where()}: a message of {symbol[:80]} after some of {self.wanted[:80]}; pick one by symbol=")
        self.others.add(symbol)
        self.tally.counts["other_symbols"] += 1
        return False

    def told(self, stamp: int | None) -> int:
        """A stamp of the venue in ns, which the clock follows; without one, what the clock shows.

        The clock is NO_TIME_NS before the first stamp; `told_time` puts that one in its place.

        Raises:
            TimeOrder: a stamp more than a minute before the clock.
        """
        if stamp is None:
            return self.clock
        ts_ns = stamp_ns(stamp)
        if ts_ns > self.clock:
            self.follow(ts_ns)
        elif ts_ns < self.clock - BACK_NS_MAX:
            raise TimeOrder(
                f"{self.where()}: the time of the venue goes back from {iso(self.clock)} to {iso(ts_ns)}, more than "
                f"{BACK_NS_MAX // 10**9} s; a stamp is wrong, or the files are not in the order of their times"
            )
        return ts_ns

    def follow(self, ts_ns: int) -> None:
        """Lets the clock follow a time, before anything is done with the message that tells it.

        Raises:
            Reached: at the times of the next file.
        """
        if ts_ns > self.clock:
            if ts_ns >= self._until_ns:
                raise Reached
            if self.first_stamp is None:
                self.first_stamp = ts_ns
            self.clock = ts_ns

    def told_time(self, columns: RawColumns) -> RawColumns:
        """Rows from before the venue's first stamp, with that one, or with the time of receipt where it is earlier."""
        unknown = columns["ts_event"] == NO_TIME_NS
        if not unknown.any():
            return columns
        instead = columns["ts_recv"]
        if self.first_stamp is not None:
            instead = np.where(instead == NO_TIME_NS, self.first_stamp, np.minimum(instead, self.first_stamp))
        return {**columns, "ts_event": np.where(unknown, instead, columns["ts_event"])}

    def each_key_once(self, kind: Any, body: bytes) -> None:
        """Sees that no object of a message names a key twice, of which JSON readers take the last.

        Only a message with a number of keys that no message of its kind had before is looked at closely: one that names a key
        twice and lacks another passes.
        """
        count = (kind, body.count(b'":'))
        if count not in self._key_counts:
            json.loads(body, object_pairs_hook=_each_once)
            self._key_counts.add(count)

    def where(self) -> str:
        """File and row, for errors."""
        return f"{self.tally.source}, row {self.row}"

    def book_part(self, chain: BookChain) -> Stored:
        """What is stored of a book whose builders are named "before" and "levels"."""
        counts = self.tally.counts
        if counts["old_events"]:
            self.notes.append(
                f"events that the book contained already were left out: {counts['old_events']:,}; many of them mean files in the "
                "wrong order"
            )
        if counts["old_snapshots"]:
            self.notes.append(f"snapshots that were not newer than the book were left out: {counts['old_snapshots']:,}")
        return since_snapshot(self.mixed, self.tally, self.notes, started=chain.started, change=self.told_time)

    # ------------------------------------------------------------------ reading

    def read_all(self, paths: Sequence[Path]) -> None:
        """Reads files in the order of their times, of which each may overlap those before it."""
        begin_ns = [self._first_ns(path) for path in paths[1:]]
        for at, path in enumerate(paths):
            later = [ts_ns for ts_ns in begin_ns[at:] if ts_ns is not None]
            # What tells no time may be of that one already a little before.
            self.read(path, min(later) - LATE_NS if later else NEVER_NS)

    def _first_ns(self, path: Path) -> int | None:
        """The first time that a file tells, if it does so early; what is wrong with it is told once it is read."""
        self.fresh = True
        try:
            for _, line, _ in islice(byte_lines(path), LINES_LOOKED_AT):
                if line and (ts_ns := self.about(_split(line)[0]).ts_ns) is not None:
                    return ts_ns
        except (ValueError, RecursionError):
            return None
        return None

    def read(self, path: Path, until_ns: int = NEVER_NS) -> None:
        """Reads one file.

        Args:
            until_ns: from when on what it tells may stand in the files to come.
        Raises:
            DataError: a line that is no message; the last one, where it was cut off, is only noted.
        """
        self.tally.source, self.fresh, self._until_ns = path.name, True, until_ns
        message, waiting, straight = self.message, 0, self._overlap.begin(until_ns)
        for self.row, line, ended in byte_lines(path):
            self.lines += 1
            if not line:
                continue
            try:
                body, ts_recv = _split(line)
                if straight:
                    try:
                        message(body, ts_recv)
                    except Reached:
                        straight = self._put(body, ts_recv)
                else:
                    straight = self._put(body, ts_recv)
            except CiftError:
                raise
            except (ValueError, RecursionError) as error:
                if not ended:
                    self.tally.counts["cut_last_line"] += 1
                    self.notes.append(f"the last line of {path.name} is cut off and was left out")
                    break
                raise DataError(f"{self.where()}: {str(error)[:200]} in {_shown(line)}") from None
            waiting += len(line)
            if waiting > BYTES_PER_BATCH:
                self.flush()
                waiting = 0
        self._overlap.end()
        self.flush()

    def _put(self, body: bytes, ts_recv: int) -> bool:
        return self._overlap.put(Message(self.tally.source, self.row, body, ts_recv, self.about(body), self.clock))

    def _take(self, messages: Sequence[Message]) -> None:
        """Takes messages that waited."""
        here, self._until_ns = (self.tally.source, self.row), NEVER_NS
        for source, self.row, body, ts_recv, *_ in messages:
            if source != self.tally.source:
                self.flush()
                self.tally.source = source
            self.message(body, ts_recv)
        self.flush()
        (self.tally.source, self.row), self._until_ns = here, self._overlap.until_ns

    def flush(self) -> None:
        """Puts down what was built."""
        for kind, (schema, rows) in self._builders.items():
            columns, numbers = rows.take()
            if len(numbers):
                self.steps.see(self.tally.source, schema, columns)
                self.mixed.put(kind, self.tally.source, numbers, columns)


def _split(line: bytes) -> tuple[bytes, int]:
    """The message of a line, and the time of receipt before it."""
    if line.startswith(b"{"):
        return line, NO_TIME_NS
    stamp, _, body = line.partition(b" ")
    return body, _received(stamp)


def _received(stamp: bytes) -> int:
    """The time of receipt that begins a line.

    Raises:
        ValueError: where it is none.
    """
    if not stamp.isdigit() or len(stamp) > TIME_DIGITS_MAX or (ts_recv := int(stamp)) > INT64_MAX:
        raise ValueError("neither a time of receipt in ns nor a message begins the line")
    return ts_recv


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the key {name[:20]!r} stands there twice")


def _shown(line: bytes) -> str:
    return repr(line[:SHOWN_BYTES])[1:] + ("..." if len(line) > SHOWN_BYTES else "")


def is_recording(path: Path) -> bool:
    """Whether a file begins as a recording does: with a message, or a time and a message."""
    first = next((line for _, line, _ in byte_lines(path) if line), b"")
    return first.partition(b" ")[2].startswith(b"{") or first.startswith(b"{")


def paths_of(files: str | Path | Sequence[str | Path]) -> list[Path]:
    """One file or several.

    Raises:
        InvalidParameter: none, or one twice.
    """
    paths = [Path(files)] if isinstance(files, (str, Path)) else [Path(file) for file in files]
    if not paths or len(set(paths)) < len(paths):
        raise InvalidParameter("files must be one or several different ones, in the order of their times")
    return paths


def import_recording(
    catalog: Catalog,
    paths: Sequence[Path],
    kind: type[Recording],
    symbol: str | None,
    tick_size: Number | None,
    lot_size: Number | None,
    policies: Mapping[str, str] | None,
) -> ImportReport:
    """Imports files of a venue; for importers that know which class reads them.

    Raises:
        DataError, CorruptData, NoData: see the importers. The catalog is as it was.
    """
    started = time.perf_counter()
    tally = Tally(", ".join(path.name for path in paths))
    name = tally.source
    steps = FinestSteps(tick_size, lot_size)
    with catalog.writer() as writer:
        mixed = MixedRows(writer)
        try:
            recording = kind(mixed, steps, tally, None if symbol is None else symbol.rpartition(".")[0] or symbol)
            recording.read_all(paths)
            tally.source = name
            parts = [part for part in recording.parts() if any(mixed.rows.get(kind) for kind in part.kinds)]
            if not parts:
                met = f"; it has messages of {', '.join(sorted(recording.others)[:20])}" if recording.others else ""
                raise NoData(f"{name} holds nothing to import{met}; nothing was written")
            stored_as = symbol if symbol is not None else f"{recording.wanted}.{recording.venue()}"
            notes = recording.notes
            instrument = steps.instrument(stored_as, catalog.instruments().get(stored_as), notes)
            store(writer, mixed, parts, instrument, tally, policies)
            if not writer.staged:
                raise NoData(f"no record of {name} passed; nothing was written")
            written = catalog.commit(writer, [instrument])
        finally:
            mixed.close()
    rows_written = count_rows(tally, parts, written)
    return tally.report(stored_as, recording.lines, rows_written, time.perf_counter() - started, tuple(notes))
