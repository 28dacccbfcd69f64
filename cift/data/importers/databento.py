"""Databento's files (DBN, versions 1 to 3, plain or zstd): order by order, best quotes, and trades.

What becomes of each schema:

| schema | records |
|---|---|
| mbo | `mbo`, row by row; the actions have the same letters. N ("no action") leaves no record |
| mbp-1 | each trade: `trades`; each other record: `quotes` with both best levels |
| tbbo | each trade: `trades`, and `quotes` with the best levels just before it |
| trades | `trades` |

Prices are whole numbers of 1e-9, divided once. Flags 128 (LAST), 32 (SNAPSHOT) and 8 (BAD_TS_RECV) are ours, 4 (the book may be
wrong after a gap) becomes SUSPECT, the vendor's other bits are dropped. LAST moves to the last record that an event leaves in
a schema; each print stands alone and carries it. `venue_seq` is the record's sequence; DBN has no trade ids.

**Times.** `ts_event` and `ts_recv` are kept, with one exception. A snapshot lists orders with the times at which they were
placed, perhaps days before: its records stand at the beginning of the day on which it was received, or at their own time
where that is later, and what was on its way meanwhile stands with them. Nothing stands before the day on which the file
begins. So a day's file is a day of the catalog, and replaces none before it.

**Symbols** are the file's own, with the venue of its dataset: ESM4 of GLBX.MDP3 is `ESM4.GLBX`.
"""

from __future__ import annotations

import datetime as dt
import difflib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from cift.data.columns import Array, RawColumns
from cift.data.importers.definitions import Definition, check_is_definitions, definition_of, import_definitions
from cift.data.report import ImportReport, Tally
from cift.data.screen import Screen
from cift.data.times import DAY_NS, datetime_ns, iso
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument, Number
from cift.domain.schemas import BAD_TS_RECV, LAST, NO_TIME_NS, SNAPSHOT, SUSPECT
from cift.errors import CorruptData, DataError, InvalidParameter, MissingExtra, NoData, NotSupported, TimeOrder, UnknownName

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

ROWS_PER_READ = 65_536
ROWS_HELD_MAX = 4 * ROWS_PER_READ
"""An event of more rows than this is cut; a snapshot is one event."""
LATE_NS = 60 * 1_000_000_000
"""What happened before midnight and was received after it did so by less than this."""
MAGIC, ZSTD_MAGIC = b"DBN", b"\x28\xb5\x2f\xfd"
VERSIONS = (1, 2, 3)
HEADER_BYTES_MAX = 1 << 26
SYMBOL_LENGTH_MAX = 80
NO_PRICE = 2**63 - 1
PRICE_DECIMALS = 9
EXACT_MAX = 2**53
"""Whole numbers up to here are floats."""
KEPT_FLAGS = LAST | SNAPSHOT | BAD_TS_RECV | SUSPECT

_KINDS: dict[str, tuple[str, int, tuple[SchemaName, ...]]] = {
    "mbo": ("MBOMsg", 0xA0, ("mbo",)),
    "mbp-1": ("MBP1Msg", 0x01, ("quotes", "trades")),
    "tbbo": ("MBP1Msg", 0x01, ("quotes", "trades")),
    "trades": ("TradeMsg", 0x00, ("trades",)),
}
"""Schema of a file -> the class and the type number of its records, and what they become."""
_LETTERS = {"action": b"ACMRTFN", "side": b"ABN"}
_TRADE, _NO_ACTION = ord("T"), ord("N")


def import_databento(
    catalog: Catalog,
    file: str | Path,
    *,
    symbol: str | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    multiplier: Number | None = None,
    definitions: str | Path | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports a DBN file of the schema mbo, mbp-1, tbbo or trades; of one of definitions, the instruments.

    A file is read once to see what it holds, and once for each symbol and kind of record, a little at a time.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the file; zstd is recognised by its content.
        symbol: one of the file's symbols, with or without its venue; None: all of them.
        tick_size: the finest step of prices; None: what the definitions say, what the catalog knows, or else the finest
            decimal step of the file's own prices, with a note.
        lot_size: the finest step of sizes; None: what the catalog knows, or 1.
        multiplier: currency per point of price and contract; None: what the definitions say, what the catalog knows, or 1.
        definitions: a DBN file of the schema definition, for ticks, currencies and multipliers.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Returns:
        The report; `counts` has every policy that acted, and the rows of each schema written.

    Raises:
        MissingExtra: without databento-dbn.
        NotSupported: a schema that the catalog cannot hold yet, or a later version of DBN.
        CorruptData: no DBN file, or a damaged one; the message names file and record. The catalog is as it was.
        DataError: a record that is rejected.
        UnknownName: the file does not hold `symbol`; the message lists what it holds.
        NoData: no records.
    """
    started = time.perf_counter()
    source = _Source(Path(file))
    if source.schema == "definition":
        return _only_definitions(catalog, file, symbol, (tick_size, lot_size, multiplier, definitions, policies))
    if source.kind is None:
        raise NotSupported(_refusal(source))
    held = _survey(source)
    if not held:
        raise NoData(f"{source.name} holds no records; nothing was written")
    wanted = _pick(source, held, symbol)
    told = {} if definitions is None else _definitions(Path(definitions), {one.raw_symbol for one in wanted})
    steps = _Steps(tick_size, lot_size, multiplier, told, catalog.instruments())
    notes: list[str] = []
    tally = Tally(source.name)
    with catalog.writer() as writer:
        instruments = []
        for one in wanted:
            instrument = steps.instrument(one, notes)
            instruments.append(instrument)
            for schema in source.kind[2]:
                screen = Screen(
                    schema,
                    instrument,
                    source.name,
                    tally,
                    policies,
                )
                reader = _Reader(source, one, schema, tally)
                writer.add(schema, instrument.symbol, (screen.check(batch, rows) for rows, batch in reader.batches()))
                screen.finish()
        if not writer.staged:
            raise NoData(f"no record of {source.name} passed; nothing was written")
        written = catalog.commit(writer, instruments)
    for schema in source.kind[2]:
        tally.counts[schema] = sum(manifest.rows for manifest in written if manifest.schema == schema)
    names = [one.symbol for one in wanted]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    if tally.counts["moved_in_time"]:
        notes.append(f"moved in time, to the snapshot or the midnight after: {tally.counts['moved_in_time']:,} records")
    rows_read, rows_written = sum(one.rows for one in wanted), sum(manifest.rows for manifest in written)
    return tally.report(shown, rows_read, rows_written, time.perf_counter() - started, tuple(notes))


def _only_definitions(catalog: Catalog, file: str | Path, symbol: str | None, others: tuple[Any, ...]) -> ImportReport:
    if any(other is not None and other != {} for other in others):
        raise InvalidParameter(
            f"{Path(file).name} holds definitions, which say themselves what a tick and a contract are; pass it with symbol= alone, "
            "or as definitions= beside a file of market data"
        )
    return import_definitions(catalog, file, symbol=symbol)


def _package() -> Any:
    try:
        import databento_dbn
    except ImportError as error:
        raise MissingExtra('DBN files need databento-dbn: pip install "cift-markets[databento]"') from error
    return databento_dbn


def _refusal(source: _Source) -> str:
    return (
        f"{source.name} holds {source.schema or 'records of several schemas'}; supported are {', '.join(_KINDS)}: "
        "the catalog has no schema for the others"
    )


class _Interval(NamedTuple):
    """An instrument id has a symbol from one time to another, by the time of receipt."""

    instrument_id: int
    start_ns: int
    end_ns: int
    raw_symbol: str


class _Source:
    """A DBN file: its metadata, and its records as often as they are asked for.

    Raises:
        CorruptData: it is no DBN file, or its metadata is damaged.
        NotSupported: a later version of DBN.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        dbn = _package()
        with self._open() as stream:
            self.version, header = self._header(stream)
        metadata = self._decoded(dbn, header)
        self.schema: str | None = None if metadata.schema is None else str(metadata.schema)
        self.kind = _KINDS.get(self.schema or "")
        self.venue = str(metadata.dataset).partition(".")[0]
        if not self.venue.isalnum():
            raise CorruptData(f"the metadata of {self.name} names {metadata.dataset!r}, which is no dataset")
        self.intervals = self._intervals(metadata)
        self._header_bytes = len(header)
        self.dtype = np.dtype([])
        if self.kind is not None:
            fields = getattr(dbn, self.kind[0])._dtypes
            # As the vendor's own client makes arrays of records; letters as numbers, because they are compared, never printed.
            self.dtype = np.dtype([(name, "u1" if kind == "S1" else kind) for name, kind in fields])
            if metadata.ts_out:
                self.dtype = np.dtype([*self.dtype.descr, ("ts_out", "u8")])

    def _open(self) -> IO[bytes] | Any:
        try:
            with self.path.open("rb") as file:
                start = file.read(4)
            if start == ZSTD_MAGIC:
                return pa.input_stream(str(self.path), compression="zstd")
            if start[:3] == MAGIC:
                return self.path.open("rb")
        except FileNotFoundError:
            raise DataError(f"{self.path} does not exist") from None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from None
        raise CorruptData(f"{self.name} begins with {start!r}; a DBN file begins with {MAGIC!r}, or with zstd's {ZSTD_MAGIC!r}")

    def _read(self, stream: IO[bytes] | Any, size: int, where: str) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""
        pieces, left = [], size
        try:
            while left and (piece := stream.read(min(left, 1 << 23))):
                pieces.append(piece)
                left -= len(piece)
        except (OSError, EOFError, pa.ArrowException) as error:
            raise CorruptData(f"{self.name} cannot be read {where}: {error}") from None
        return b"".join(pieces)

    def _header(self, stream: IO[bytes] | Any) -> tuple[int, bytes]:
        start = self._read(stream, 8, "at its beginning")
        if len(start) < 8 or start[:3] != MAGIC:
            raise CorruptData(f"{self.name} is no DBN file: it begins with {start!r}")
        version, size = start[3], int.from_bytes(start[4:], "little")
        if version not in VERSIONS:
            raise NotSupported(
                f"{self.name} is DBN of version {version}; versions {', '.join(map(str, VERSIONS))} are supported"
            )
        if size > HEADER_BYTES_MAX:
            raise CorruptData(f"{self.name} announces metadata of {size} bytes")
        rest = self._read(stream, size, "in its metadata")
        if len(rest) < size:
            raise CorruptData(f"{self.name} ends in its metadata, after {len(rest)} of {size} bytes")
        return version, start + rest

    def _decoded(self, dbn: Any, header: bytes) -> Any:
        try:
            return dbn.Metadata.decode(header, dbn.VersionUpgradePolicy.AS_IS)
        except (dbn.DBNError, ValueError, OverflowError) as error:
            raise CorruptData(f"the metadata of {self.name} cannot be read: {error}") from None

    def _intervals(self, metadata: Any) -> list[_Interval]:
        found = []
        ids_are_keys = str(metadata.stype_in) == "instrument_id"
        try:
            for key, spans in metadata.mappings.items():
                for span in spans:
                    number, name = (key, span["symbol"]) if ids_are_keys else (span["symbol"], key)
                    if not number.isdecimal() or not name:
                        continue  # a symbol that was not resolved in this span
                    start, end = (datetime_ns(dt.datetime(*span[at].timetuple()[:3])) for at in ("start_date", "end_date"))
                    if not name.isprintable() or len(name) > SYMBOL_LENGTH_MAX:
                        raise ValueError(f"{name[:80]!r} is no symbol")
                    found.append(_Interval(int(number), start, end, name))
        except (ValueError, OverflowError, TypeError) as error:
            raise CorruptData(f"the symbols of {self.name} cannot be read: {error}") from None
        return sorted(found)  # the vendor's library gives them in the order of a hash map

    def records(self) -> Iterator[tuple[int, Array]]:
        """The records in batches, with the number of the first of each, counted from 1.

        Raises:
            CorruptData: the file is cut off or damaged, or holds records of another type.
        """
        assert self.kind is not None
        row, size = 1, self.dtype.itemsize
        with self._open() as stream:
            self._read(stream, self._header_bytes, "in its metadata")
            while data := self._read(stream, ROWS_PER_READ * size, f"after record {row - 1}"):
                whole = len(data) // size
                records = np.frombuffer(data, self.dtype, count=whole)
                bad = np.flatnonzero((records["length"] != size // 4) | (records["rtype"] != self.kind[1]))
                if len(bad):
                    raise CorruptData(
                        f"{self.name}, record {row + int(bad[0])}: length {int(records['length'][bad[0]]) * 4} and type "
                        f"{int(records['rtype'][bad[0]])}; {self.schema} has {size} bytes and type {self.kind[1]}"
                    )
                if whole:
                    yield row, records
                row += whole
                if len(data) % size:
                    raise CorruptData(f"{self.name} ends within record {row}")


@dataclass
class _Held:
    """What a file holds of one symbol."""

    raw_symbol: str
    symbol: str
    rows: int = 0
    decimals: int = 0
    """The decimals that its prices need."""
    publishers: set[int] = field(default_factory=set)


def _times_of_receipt(records: Array) -> Array:
    """`ts_recv`, by which files are ordered and cut, or `ts_event` where there is none."""
    received = records["ts_recv"].view("i8")
    return np.where(received == -1, records["ts_event"].view("i8"), received)


def _by_symbol(source: _Source, records: Array) -> Iterator[tuple[str, Array]]:
    """The raw symbols of some records, each with the mask of its rows; an id without a symbol is its own."""
    ids, times = records["instrument_id"], _times_of_receipt(records)
    first, last = int(times.min()), int(times.max())
    one = int(ids[0]) if ids.min() == ids.max() else None
    left = np.ones(len(records), dtype=bool)
    masks: dict[str, Array] = {}
    for span in source.intervals:
        if span.start_ns > last or span.end_ns <= first or one not in (None, span.instrument_id):
            continue
        mask = left & (ids == span.instrument_id) & (times >= span.start_ns) & (times < span.end_ns)
        if mask.any():
            left &= ~mask
            masks[span.raw_symbol] = masks[span.raw_symbol] | mask if span.raw_symbol in masks else mask
    for number in np.unique(ids[left]):
        masks[str(number)] = left & (ids == number)
    yield from masks.items()


def _survey(source: _Source) -> dict[str, _Held]:
    """Reads a file to see what it holds, by raw symbol, sorted."""
    held: dict[str, _Held] = {}
    levels = [name for name in ("price", "bid_px_00", "ask_px_00") if name in (source.dtype.names or ())]
    for _, records in source.records():
        for raw_symbol, mask in _by_symbol(source, records):
            one = held.setdefault(raw_symbol, _Held(raw_symbol, f"{raw_symbol}.{source.venue}"))
            rows = records if mask.all() else records[mask]
            one.rows += len(rows)
            one.publishers.update(np.unique(rows["publisher_id"]).tolist())
            for name in levels:
                prices = rows[name][rows[name] != NO_PRICE]
                while one.decimals < PRICE_DECIMALS and (prices % 10 ** (PRICE_DECIMALS - one.decimals)).any():
                    one.decimals += 1
    return dict(sorted(held.items()))


def _pick(source: _Source, held: Mapping[str, _Held], symbol: str | None) -> list[_Held]:
    picked = [one for one in held.values() if symbol in (None, one.raw_symbol, one.symbol)]
    if not picked:
        names = [one.symbol for one in held.values()]
        near = difflib.get_close_matches(str(symbol), names, n=1) or names[:1]
        listing = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise UnknownName(f"{source.name} holds no {symbol}; it holds {listing}; did you mean {near[0]}?")
    for one in picked:
        if len(one.publishers) > 1 and source.schema != "trades":
            raise NotSupported(
                f"{source.name} holds {one.symbol} of {len(one.publishers)} publishers, a book each; ask the vendor for one venue"
            )
    return picked


# ---------------------------------------------------------------------- instruments


def definition_records(path: Path) -> tuple[str, Iterator[Any]]:
    """The venue of a file of definitions, and its records.

    Raises:
        InvalidParameter: a file of another schema. CorruptData: a damaged one, also while it is read.
    """
    dbn = _package()
    source = _Source(path)
    check_is_definitions(path.name, source.schema)

    def records() -> Iterator[Any]:
        decoder = dbn.DBNDecoder()
        with source._open() as stream:
            while data := source._read(stream, 1 << 20, "in its definitions"):
                try:
                    decoded = decoder.write_and_decode(data)
                except dbn.DBNError as error:
                    raise CorruptData(f"{path.name} cannot be read: {error}") from None
                yield from (record for record in decoded if hasattr(record, "raw_symbol"))
        if decoder.buffer():
            raise CorruptData(f"{path.name} ends within a definition")

    return source.venue, records()


def _definitions(path: Path, wanted: set[str]) -> dict[str, Definition]:
    """What a file of definitions says of some symbols."""
    told: dict[str, Definition] = {}
    for record in definition_records(path)[1]:
        if record.raw_symbol in wanted:
            told[record.raw_symbol] = definition_of(record, told.get(record.raw_symbol))
    missing = wanted - told.keys()
    if missing:
        raise DataError(f"{path.name} defines no {', '.join(sorted(missing)[:20])}; it must define what is imported")
    return told


@dataclass
class _Steps:
    """Where the steps of instruments come from: the caller, the definitions, the catalog, the data."""

    tick_size: Number | None
    lot_size: Number | None
    multiplier: Number | None
    told: Mapping[str, Definition]
    known: Mapping[str, Instrument]

    def instrument(self, one: _Held, notes: list[str]) -> Instrument:
        """The instrument of a symbol; what was assumed is added to the notes."""
        told, known = self.told.get(one.raw_symbol), self.known.get(one.symbol)
        given = {"tick_size": self.tick_size, "lot_size": self.lot_size, "multiplier": self.multiplier}
        steps: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if told is not None:
            steps = {**told.known(), **steps}
        if known is not None:
            for name in ("tick_size", "lot_size", "multiplier", "currency"):
                steps.setdefault(name, getattr(known, name))
        if "tick_size" not in steps:
            steps["tick_size"] = Decimal(1).scaleb(-one.decimals)
            notes.append(
                f"tick size of {one.symbol} inferred from its prices: {steps['tick_size']}; pass definitions= or tick_size="
            )
        if told is not None and told.unit and "multiplier" not in steps:
            notes.append(f"a contract of {one.symbol} is {told.unit}; its money counts with multiplier 1, pass multiplier=")
        steps.setdefault("lot_size", 1)
        instrument = Instrument(one.symbol, **steps)
        return instrument if known is None else instrument.filled_from(known)


# ---------------------------------------------------------------------- records


@dataclass
class _Reader:
    """The records of one symbol as raw columns of one schema."""

    source: _Source
    held: _Held
    schema: SchemaName
    tally: Tally
    first_day_ns: int | None = None
    floor_ns: int = NO_TIME_NS

    def batches(self) -> Iterator[tuple[Array, RawColumns]]:
        """Batches of columns, with the number of each row in the file."""
        for rows, records in self._whole_events():
            self._check_letters(rows, records)
            keep = self._keep(records)
            flags = _moved_ends(records["flags"] & KEPT_FLAGS, keep)
            if self.schema == "trades":
                flags |= LAST
            else:
                self.tally.counts["no_action"] += int(np.count_nonzero(records["action"] == _NO_ACTION))
            times = self._times(rows, records, flags, keep)
            kept = records if keep.all() else records[keep]
            if len(kept):
                yield rows[keep], {"ts_event": times[keep], "flags": flags[keep], **self._columns(kept)}

    def _whole_events(self) -> Iterator[tuple[Array, Array]]:
        """The symbol's records in batches that end where an event does, so that LAST can move within it."""
        waiting: list[tuple[Array, Array]] = []
        held = 0
        for first_row, records in self.source.records():
            mask = dict(_by_symbol(self.source, records)).get(self.held.raw_symbol)
            if mask is None:
                continue
            rows = np.arange(first_row, first_row + len(records))
            if not mask.all():
                rows, records = rows[mask], records[mask]
            ends = np.flatnonzero(records["flags"] & LAST)
            cut = int(ends[-1]) + 1 if len(ends) else 0
            if self.schema == "trades" or held + len(records) > ROWS_HELD_MAX:
                cut = len(records)
            waiting.append((rows[:cut], records[:cut]))
            held += cut
            if cut:
                yield _joined(waiting)
                waiting, held = [], 0
            waiting.append((rows[cut:], records[cut:]))
            held += len(records) - cut
        if held:
            yield _joined(waiting)

    def _keep(self, records: Array) -> Array:
        """Which records leave a row in the schema."""
        action = records["action"]
        keep: Array = action != _NO_ACTION
        if self.schema == "trades":
            keep = action == _TRADE
        elif self.schema == "quotes" and self.source.schema == "mbp-1":
            keep &= action != _TRADE
        return keep

    def _check_letters(self, rows: Array, records: Array) -> None:
        for name, letters in _LETTERS.items():
            bad = np.flatnonzero(~np.isin(records[name], np.frombuffer(letters, np.uint8)))
            if len(bad):
                raise CorruptData(
                    f"{self.source.name}, record {int(rows[bad[0]])}: {name} {chr(int(records[name][bad[0]]))!r}; "
                    f"one of {', '.join(letters.decode())} was expected"
                )

    def _columns(self, records: Array) -> RawColumns:
        """What each record says beside its time and flags."""
        received = records["ts_recv"].view("i8")
        columns: RawColumns = {
            "ts_recv": np.where(received == -1, NO_TIME_NS, received),
            "sequence": np.full(len(records), NO_TIME_NS, dtype=np.int64),
            "venue_seq": records["sequence"].astype(np.int64),
        }
        if self.schema == "quotes":
            for side in ("bid", "ask"):
                columns[f"{side}_price"] = prices(records[f"{side}_px_00"])
                columns[f"{side}_size"] = records[f"{side}_sz_00"].astype(np.float64)
            return columns
        columns["price"], columns["size"] = prices(records["price"]), records["size"].astype(np.float64)
        if self.schema == "trades":
            columns["aggressor"] = np.ascontiguousarray(records["side"])
            columns["trade_id"] = np.zeros(len(records), dtype=np.uint64)
        else:
            columns["action"], columns["side"] = (np.ascontiguousarray(records[name]) for name in ("action", "side"))
            columns["order_id"] = np.ascontiguousarray(records["order_id"])
        return columns

    def _times(self, rows: Array, records: Array, flags: Array, keep: Array) -> Array:
        """When each record stands in the catalog, see the head of this file."""
        told, received = records["ts_event"].view("i8"), _times_of_receipt(records)
        of_snapshot = ((flags & SNAPSHOT) > 0) & (self.schema != "trades")
        midnights = received // DAY_NS * DAY_NS
        if self.first_day_ns is None:
            self.first_day_ns = int(midnights[0])
        late = (told < self.first_day_ns) & (told > self.first_day_ns - LATE_NS)
        times = np.where(late, self.first_day_ns, told)
        times = np.where(of_snapshot, np.maximum(times, midnights), times)
        floors = np.maximum.accumulate(np.where(of_snapshot, times, self.floor_ns))
        self.floor_ns = int(floors[-1])
        after = (times < floors) & (times > floors - LATE_NS)
        times = np.where(after, floors, times)
        early = np.flatnonzero(times < self.first_day_ns)
        if len(early):
            raise TimeOrder(
                f"{self.source.name}, record {int(rows[early[0]])}: ts_event {iso(int(told[early[0]]))} lies before the day on "
                f"which the file begins, {iso(self.first_day_ns)}"
            )
        self.tally.counts["moved_in_time"] += int(np.count_nonzero((times != told) & keep))
        self.tally.counts["maybe_bad_book"] += int(np.count_nonzero((flags & SUSPECT > 0) & keep))
        return times


def _joined(pieces: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    pieces = [piece for piece in pieces if len(piece[0])]
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate([rows for rows, _ in pieces]), np.concatenate([records for _, records in pieces])


def _moved_ends(flags: Array, keep: Array) -> Array:
    """The flags with LAST on the last kept record of each event."""
    if keep.all():
        return flags
    ended = np.cumsum((flags & LAST) > 0)
    kept = np.flatnonzero(keep)
    if not len(kept):
        return flags
    before = np.concatenate(([0], ended))[kept]
    until = np.concatenate((ended[kept[1:] - 1], ended[-1:]))
    moved: Array = flags & np.uint8(255 - LAST)
    moved[kept] |= np.where(until > before, np.uint8(LAST), np.uint8(0))
    return moved


def prices(units: Array) -> Array:
    """Prices in 1e-9 as floats, each the nearest to its decimal; NaN where there is none."""
    result: Array = units / 10**PRICE_DECIMALS
    large = np.abs(units) > EXACT_MAX
    if large.any():
        result[units == NO_PRICE] = np.nan
        for index in np.flatnonzero(large & (units != NO_PRICE)):
            # Division of Python's integers rounds once, whatever their size.
            result[index] = int(units[index]) / 10**PRICE_DECIMALS
    return result
