"""The catalog: a folder of Parquet that any tool can read, and that notices when it was tampered with or damaged."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cift.data.columns import RawColumns, chunks, length
from cift.data.frames import check_chunk_rows, conform, raw_columns, read_frame, symbol_of
from cift.data.hashing import selection_hash
from cift.data.manifest import Layout, Manifest, seal, unseal
from cift.data.reading import Interval, PartitionReader, selected_rows
from cift.data.report import ImportReport, Tally
from cift.data.screen import Screen
from cift.data.storage import Disk, Staging, locked
from cift.data.times import DAY_NS, Session, TimeLike, iso, session_intervals, time_ns, time_range
from cift.data.view import Ticks, common_calendar
from cift.data.writing import PartitionWriter
from cift.domain.chunk import Chunk, SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import CHUNK_DTYPES, NO_TIME_NS, SCHEMAS, check_schema
from cift.errors import CatalogError, CorruptData, InvalidParameter, NoData, NotSupported, UnknownSymbol

if TYPE_CHECKING:
    import polars as pl

    from cift.data.exporters import ExportReport

LEVELS: dict[str, tuple[SchemaName, ...]] = {"L3": ("mbo",), "L1": ("quotes", "trades")}
"""Levels of a view, richest first, and the schemas that make one up."""
FIRST_NS, END_NS = -(2**63), 2**63 - 1


@dataclass(frozen=True, eq=False)
class CatalogFeed:
    """A feed that reads a catalog: it travels as paths and a selection, and reads what was there when it was made."""

    symbol: str
    schema: SchemaName
    instrument: Instrument
    readers: tuple[PartitionReader, ...]
    intervals: tuple[Interval, ...]

    def chunks(self, rows: int | None) -> Iterator[Chunk]:
        """See `Feed.chunks`; a few row groups are in memory at a time, decoded by a thread ahead of the consumer.

        Raises:
            CorruptData: where a file is not what was written.
            CatalogError: where a partition was replaced or deleted since this feed was made.
        """
        check_chunk_rows(rows)
        return chunks(self.schema, selected_rows(self.readers, self.intervals), rows)

    @cached_property
    def content_hash(self) -> str:
        """See `Feed.content_hash`. From the manifests; where a day is cut, its selected rows are read."""
        days = ((reader.manifest.date, reader.content_hash(self.intervals)) for reader in self.readers)
        return selection_hash(self.schema, [(date, value) for date, value in days if value is not None])


class Catalog:
    """A folder of market data: `<schema>/symbol=<S>/date=<YYYY-MM-DD>/*.parquet`, with instruments and hashes beside it.

    Any tool that reads hive-partitioned Parquet reads it; only the catalog notices a flipped bit: page checksums at every
    read, the footer's hash at every open, the whole file by `verify`.

    Args:
        path: the folder. It is made at the first write; reading from one that does not exist says so.

    Example:
        >>> catalog = Catalog("ticks")
        >>> catalog.write("trades", "ABC.SIM", frame, Instrument("ABC.SIM", tick_size="0.01", lot_size=1))  # doctest: +SKIP
        >>> view = catalog.ticks("ABC.SIM", "2026-01-05")  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, *, disk: Disk | None = None) -> None:
        self.path = Path(path).expanduser().absolute()
        self._layout = Layout(self.path)
        self._disk = disk if disk is not None else Disk()

    # ------------------------------------------------------------------ writing

    def write(
        self,
        schema: str,
        symbol: str,
        data: Any,
        instrument: Instrument | None = None,
        *,
        policies: Mapping[str, str] | None = None,
        source: str = "rows",
    ) -> ImportReport:
        """Stores rows of one symbol. All days that the rows touch are replaced, and become visible together.

        Args:
            schema: "mbo", "quotes" or "trades".
            symbol: the symbol, with its venue: "AAPL.XNAS".
            data: a frame, an Arrow table or stream, a `Chunk`, a mapping of raw columns, or an iterable of these, in
                time order. `sequence` is counted anew, from 0 in each UTC day.
            instrument: its grid; may be left out for a symbol that the catalog knows.
            policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.
            source: the name that errors and the report give to the rows.

        Returns:
            What was met and stored.

        Raises:
            DataError: rows that cannot be used; the message names row and value. The catalog is as it was.
            CatalogError: the symbol is stored with another instrument.
            NoData: there are no rows.
        """
        started = time.perf_counter()
        kind = check_schema(schema)
        instrument = self._instrument_to_write(symbol, instrument)
        tally = Tally(source)
        screen = Screen(kind, instrument, source, tally, policies)
        rows_read = 0

        def screened() -> Iterator[RawColumns]:
            nonlocal rows_read
            for batch in raw_batches(kind, data, symbol):
                rows_read += length(batch)
                yield screen.check(batch)
            screen.finish()

        with self.writer() as writer:
            writer.add(kind, symbol, screened())
            if not writer.staged:
                raise NoData(f"no rows of {schema} were given for {symbol}; nothing was written")
            written = self.commit(writer, [instrument])
        rows_written = sum(manifest.rows for manifest in written)
        return tally.report(symbol, rows_read, rows_written, time.perf_counter() - started)

    def writer(self) -> PartitionWriter:
        """A writer for importers, to be used in a `with` block and finished by `commit`."""
        return PartitionWriter(self._layout, self._disk)

    def commit(self, writer: PartitionWriter, instruments: Sequence[Instrument]) -> list[Manifest]:
        """Makes what a writer staged visible, together with its instruments.

        Raises:
            CatalogError: a symbol is stored with another instrument.
        """

        def records() -> list[tuple[Path, bytes]]:
            known = self.instruments()
            for instrument in instruments:
                self._check_unchanged(instrument, known)
            merged = {**known, **{instrument.symbol: instrument for instrument in instruments}}
            if merged == known:
                return []
            return [(self._layout.instruments, _encode_instruments(merged))]

        return writer.commit(records)

    def _instrument_to_write(self, symbol: str, instrument: Instrument | None) -> Instrument:
        known = self.instruments()
        if instrument is None:
            if symbol not in known:
                raise UnknownSymbol(f"the catalog does not know {symbol}; pass instrument=Instrument({symbol!r}, ...) once")
            return known[symbol]
        if instrument.symbol != symbol:
            raise InvalidParameter(f"rows of {symbol} cannot be stored with the instrument of {instrument.symbol}")
        self._check_unchanged(instrument, known)
        return instrument

    def _check_unchanged(self, instrument: Instrument, known: Mapping[str, Instrument]) -> None:
        before = known.get(instrument.symbol)
        if before is not None and before != instrument and self._schemas_of(instrument.symbol):
            raise CatalogError(
                f"{instrument.symbol} is stored as {before}, which holds for the instrument's life; delete its rows before "
                f"storing it as {instrument}"
            )

    def delete(self, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None) -> int:
        """Removes the days of a symbol that lie between two dates (`end` excluded; a lone date is that day; none: all).

        Returns:
            The number of partitions removed.
        Raises:
            UnknownSymbol: where the catalog holds no rows of it.
        """
        schemas = self._schemas_of(symbol)
        if not schemas:
            raise self._unknown(symbol)
        start_ns, end_ns = time_range(start, end)
        removed = 0
        with locked(self._layout.lock):
            for schema in schemas:
                for date in self._layout.dates(schema, symbol):
                    day_ns, _ = time_ns(date, "date")
                    if (start_ns is not None and day_ns + DAY_NS <= start_ns) or (end_ns is not None and day_ns >= end_ns):
                        continue
                    place = self._layout.manifest(schema, symbol, date)
                    # Without its manifest the partition is gone; its file is then only space to free.
                    self._disk.remove(place)
                    self._disk.sync_folder(place.parent)
                    folder = self._layout.partition(schema, symbol, date)
                    for file in folder.glob("*.parquet"):
                        self._disk.remove(file)
                    folder.rmdir()
                    removed += 1
        return removed

    # ------------------------------------------------------------------ what there is

    def instruments(self) -> dict[str, Instrument]:
        """Every instrument that the catalog knows, by symbol.

        Raises:
            CorruptData: where the table was changed.
        """
        path = self._layout.instruments
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return {
                symbol: Instrument(**fields) for symbol, fields in sorted(unseal(data, dict[str, dict[str, Any]], path).items())
            }
        except (TypeError, InvalidParameter) as error:
            raise CorruptData(f"{path} holds an instrument that cannot be read: {error}") from None

    def symbols(self) -> list[str]:
        """Symbols that have rows, sorted."""
        return sorted({symbol for schema in SCHEMAS for symbol in self._layout.symbols(schema)})

    def ls(self) -> pl.DataFrame:
        """One row per partition: schema, symbol, date, rows, first and last time, bytes on disk."""
        import polars as pl

        found = [reader.manifest for reader in self._all_readers()]
        time = pl.Datetime("ns", "UTC")
        return pl.DataFrame(
            {
                "schema": [manifest.schema for manifest in found],
                "symbol": [manifest.symbol for manifest in found],
                "date": pl.Series([manifest.date for manifest in found], dtype=pl.String).str.to_date("%Y-%m-%d"),
                "rows": pl.Series([manifest.rows for manifest in found], dtype=pl.Int64),
                "first": pl.Series([manifest.first_ns for manifest in found], dtype=pl.Int64).cast(time),
                "last": pl.Series([manifest.last_ns for manifest in found], dtype=pl.Int64).cast(time),
                "bytes": pl.Series([manifest.file_bytes for manifest in found], dtype=pl.Int64),
            }
        )

    def describe(self, symbol: str) -> dict[str, Any]:
        """What is stored of a symbol: its instrument, and per schema the days, rows, bytes, first and last time.

        Raises:
            UnknownSymbol: where the catalog holds no rows of it.
        """
        schemas = self._schemas_of(symbol)
        if not schemas:
            raise self._unknown(symbol)
        described: dict[str, Any] = {
            "symbol": symbol,
            "instrument": self.instruments()[symbol].to_dict(),
            "schemas": {},
        }
        for schema in schemas:
            found = [reader.manifest for reader in self._readers(schema, symbol)]
            described["schemas"][schema] = {
                "days": len(found),
                "rows": sum(manifest.rows for manifest in found),
                "bytes": sum(manifest.file_bytes for manifest in found),
                "first": iso(found[0].first_ns),
                "last": iso(found[-1].last_ns),
                "content_hash": selection_hash(schema, [(manifest.date, manifest.content_hash) for manifest in found]),
            }
        return described

    def verify(self) -> int:
        """Reads every file in full and compares bytes and values with the manifests.

        Returns:
            The number of partitions read.
        Raises:
            CorruptData: at the first that differs; the message names the file.
        """
        self.instruments()
        count = 0
        for reader in self._all_readers():
            reader.verify()
            count += 1
        return count

    def partitions(self, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None) -> list[PartitionReader]:
        """Readers of the days of a symbol that lie between two dates, schema by schema (`end` excluded; a lone date is that day).

        Raises:
            UnknownSymbol: where the catalog holds no rows of it.
            NoData: where it holds none of that period.
        """
        schemas = self._schemas_of(symbol)
        if not schemas:
            raise self._unknown(symbol)
        start_ns, end_ns = time_range(start, end)
        found = [reader for schema in schemas for reader in self._readers(schema, symbol, start_ns, end_ns)]
        if not found:
            raise NoData(self._no_data(symbol, schemas, start_ns, end_ns, None))
        return found

    def sweep(self) -> None:
        """Removes what killed writers left behind; files that no manifest names are never read."""
        if not self._layout.private.exists():
            return
        with locked(self._layout.lock):
            Staging.sweep(self._layout.staging)
            for schema in SCHEMAS:
                for file in (self.path / schema).glob("symbol=*/date=*/*.parquet"):
                    if not self._is_named(schema, file):
                        self._disk.remove(file)

    def _is_named(self, schema: str, file: Path) -> bool:
        place = self._layout.manifests / schema / file.parent.parent.name / f"{file.parent.name}.json"
        if not place.exists():
            return False
        return unseal(place.read_bytes(), Manifest, place).file == file.name

    # ------------------------------------------------------------------ reading

    def ticks(
        self,
        symbols: str | Sequence[str],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        level: str | None = None,
        session: Session | None = None,
    ) -> Ticks:
        """A view of the symbols' records between two times.

        Args:
            symbols: one name or several.
            start: a date, an ISO text or a datetime, UTC unless it says otherwise; None: from the first record. A lone date
                (no `end`) is that day.
            end: excluded; None: to the last record.
            level: "L3" (order by order) or "L1" (quotes and trades); None: the richest stored.
            session: opening and closing time of day with their zone, ("09:30", "16:00", "America/New_York"): only what
                happened within. On L3 for one session at a time, which then sets start and end.

        Quotes and trades are cut exactly. An L3 feed always begins with the first record of the first UTC day, because the
        book before `start` has to be built; `start_ns` of the view says when the strategy begins.

        Raises:
            UnknownSymbol: a symbol that the catalog does not hold; the message suggests the nearest.
            NoData: the range holds no records of a symbol; the message says what the catalog does hold.
            NotSupported: a level that is not stored.
            InvalidParameter: a time, level or session that cannot be read.
        """
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        if not names or len(set(names)) != len(names):
            raise InvalidParameter(f"symbols must be one name or several different ones, not {symbols!r}")
        start_ns, end_ns = time_range(start, end)
        instruments = self.instruments()
        level = self._level(names, level)
        readers = {
            (name, schema): readers
            for name in names
            for schema in LEVELS[level]
            if (readers := tuple(self._readers(schema, name, start_ns, end_ns)))
        }
        spans = [(reader.manifest.first_ns, reader.manifest.last_ns) for group in readers.values() for reader in group]
        wanted = wanted_intervals(spans, start_ns, end_ns, session)
        if level == "L3" and session is not None and wanted:
            start_ns, end_ns = single_session(wanted)
        feeds = []
        for name in names:
            found = []
            for schema in LEVELS[level]:
                held = readers.get((name, schema), ())
                if not any(_holds(reader, wanted) for reader in held):
                    continue
                found.append(CatalogFeed(name, schema, instruments[name], held, feed_intervals(schema, wanted)))
            if not found:
                raise NoData(self._no_data(name, LEVELS[level], start_ns, end_ns, session))
            feeds += found
        return Ticks(tuple(feeds), names, start_ns, end_ns, level, common_calendar(tuple(feeds)))

    def sql(
        self, text: str, parameters: Sequence[Any] | Mapping[str, Any] = (), *, tables: Mapping[str, Any] | None = None
    ) -> pl.DataFrame:
        """The rows of a SELECT over the stored schemas, by DuckDB.

        Args:
            text: one SELECT. Tables are `mbo`, `quotes` and `trades`, as far as they are stored, with the columns of
                `cift.domain.schemas`, `symbol` and `date`.
            parameters: values of `?`, or of `$name` by name.
            tables: frames of polars or pandas, or Arrow tables, that the query may name too.

        Every page that is read is checked, as everywhere in the catalog. The query reads these tables and nothing else of this
        machine, and changes nothing.

        Raises:
            InvalidParameter: a text that is no SELECT, or that cannot be answered; the message says why.
            NoData: the catalog is empty. CorruptData: a file is not what was written.

        Example:
            >>> import cift
            >>> cift.demo_catalog().sql("select count(*) as prints from trades where symbol = ?", ["DEMO.SIM"]).item()
            6810
        """
        from cift.data.sql import query

        return query(self._all_readers(), text, parameters, tables or {})

    def export(
        self,
        to: str | Path,
        *,
        symbol: str | None = None,
        schema: str | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        format: str | None = None,  # noqa: A002 (what everybody calls it)
        overwrite: bool = False,
    ) -> ExportReport:
        """Writes rows of one symbol and schema as one file for other tools, a row group at a time.

        The file appears whole or not at all. Imported again, whole days have the content hash that the report tells.

        Args:
            to: a file whose name says its format: .parquet, .csv, .jsonl or .dbn (Databento's); all but Parquet may end in
                .zst, CSV and JSON lines in .gz.
            symbol: may be left out where the catalog holds one.
            schema: which kind of record; may be left out where the symbol has one.
            start, end: as for `ticks`; orders from the first of their day, because the book is built from there.
            format: where the name does not say it; "dbn-csv" is CSV with the columns and numbers of Databento's.
            overwrite: whether a file that is there is replaced.

        Raises:
            InvalidParameter: the file exists, or a choice is left open or not known. UnknownSymbol, NoData: there are no rows.
            CorruptData: a file of the catalog is not what was written. DataError: a value that the format cannot hold.
            MissingExtra: DBN without databento-dbn. OSError: the disk refuses.

        Example:
            >>> import cift
            >>> cift.demo_catalog().export("quotes.csv.gz", schema="quotes").rows  # doctest: +SKIP
            35505
        """
        from cift.data.exporters import export

        return export(
            self, to, symbol=symbol, schema=schema, start=start, end=end, format=format, overwrite=overwrite, disk=self._disk
        )

    def _level(self, names: Sequence[str], asked: str | None) -> str:
        stored: dict[str, list[str]] = {}
        for name in names:
            schemas = self._schemas_of(name)
            if not schemas:
                raise self._unknown(name)
            stored[name] = [level for level, parts in LEVELS.items() if any(schema in parts for schema in schemas)]
        return choose_level(stored, asked)

    def _no_data(
        self, symbol: str, schemas: Sequence[SchemaName], start_ns: int | None, end_ns: int | None, session: Session | None
    ) -> str:
        held = [reader.manifest for schema in schemas for reader in self._readers(schema, symbol)]
        first, last = min(part.first_ns for part in held), max(part.last_ns for part in held)
        since = "the beginning" if start_ns is None else iso(start_ns)
        until = "the end" if end_ns is None else iso(end_ns)
        days = len({part.date for part in held})
        return (
            f"no data: {symbol} has no {' or '.join(schemas)} from {since} to {until}"
            + (f" in the session {session}" if session else "")
            + f"; the catalog holds {days} day{'s' * (days != 1)} of it, from {iso(first)} to {iso(last)}"
        )

    def _unknown(self, symbol: str) -> UnknownSymbol:
        held = self.symbols()
        if not held:
            return UnknownSymbol(f"{symbol} is not in the catalog: {self.path} holds no data; import some first")
        return UnknownSymbol(f"{symbol} is not in the catalog; {nearest_symbol(symbol, held)}")

    def _schemas_of(self, symbol: str) -> list[SchemaName]:
        return [schema for schema in SCHEMAS if self._layout.dates(schema, symbol)]

    def _all_readers(self) -> Iterator[PartitionReader]:
        for schema in SCHEMAS:
            for symbol in self._layout.symbols(schema):
                yield from self._readers(schema, symbol)

    def _readers(
        self, schema: SchemaName, symbol: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[PartitionReader]:
        """Readers of the partitions whose day lies in the range, by date."""
        for date in self._layout.dates(schema, symbol):
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
                continue
            day_ns, _ = time_ns(date, "date")
            if (start_ns is not None and day_ns + DAY_NS <= start_ns) or (end_ns is not None and day_ns >= end_ns):
                continue
            manifest = self._layout.read(schema, symbol, date)
            if manifest is not None:
                yield PartitionReader(self._layout.partition(schema, symbol, date) / manifest.file, manifest)

    def __repr__(self) -> str:
        symbols = self.symbols()
        shown = ", ".join(symbols[:5]) + (", ..." if len(symbols) > 5 else "")
        return f"<Catalog {self.path}: {len(symbols)} symbol{'s' * (len(symbols) != 1)}{': ' * bool(symbols)}{shown}>"


def choose_level(stored: Mapping[str, Sequence[str]], asked: str | None) -> str:
    """The level of a view: the one asked for, or the richest that all symbols have.

    Args:
        stored: the levels of each symbol, richest first.
    Raises:
        NotSupported: where it is not stored for all of them, or they differ.
    """
    if asked is not None and asked not in LEVELS:
        raise NotSupported(f"level {asked!r} is not supported; choose {' or '.join(LEVELS)}, or None for the richest stored")
    if asked is None:
        richest = {levels[0] for levels in stored.values()}
        if len(richest) == 1:
            return richest.pop()
    elif all(asked in levels for levels in stored.values()):
        return asked
    listing = "; ".join(f"{name}: {', '.join(levels)}" for name, levels in stored.items())
    wanted = f"level {asked} is not stored for all symbols" if asked else "the symbols are stored at different levels"
    raise NotSupported(f"{wanted} ({listing}); one view has one level, and poorer levels are not derived from richer ones")


def nearest_symbol(symbol: str, held: Sequence[str]) -> str:
    """What a message about an unknown symbol ends with: the name that was meant, or some of those that there are."""
    near = difflib.get_close_matches(symbol, held, n=1, cutoff=0.5) or [
        name for name in held if name.partition(".")[0].lower() == symbol.partition(".")[0].lower()
    ]
    return f"did you mean {near[0]}?" if near else f"it holds {', '.join(held[:8])}{', ...' if len(held) > 8 else ''}"


def _encode_instruments(instruments: Mapping[str, Instrument]) -> bytes:
    return seal({symbol: instruments[symbol].to_dict() for symbol in sorted(instruments)})


def wanted_intervals(
    spans: Sequence[Interval], start_ns: int | None, end_ns: int | None, session: Session | None
) -> tuple[Interval, ...]:
    """The times that a view covers.

    Args:
        spans: first and last time of each day that is held.
    """
    first, end = FIRST_NS if start_ns is None else start_ns, END_NS if end_ns is None else end_ns
    if session is None:
        return ((first, end),)
    if not spans:
        return ()
    first = max(first, min(span[0] for span in spans))
    end = min(end, max(span[1] for span in spans) + 1)
    return session_intervals(session, first, end) if first < end else ()


def feed_intervals(schema: SchemaName, wanted: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """The times that a feed covers: those of the view, but a feed of `mbo` begins with its first day, to build the book."""
    if schema != "mbo":
        return wanted
    return ((wanted[0][0] // DAY_NS * DAY_NS if wanted[0][0] > FIRST_NS else FIRST_NS, wanted[-1][1]),)


def single_session(intervals: tuple[Interval, ...]) -> Interval:
    """The one session of a view of L3.

    Raises:
        NotSupported: where there are several.
    """
    if len(intervals) > 1:
        raise NotSupported(
            f"session= on L3 covers one session, the range holds {len(intervals)}: the book must be built through the nights; "
            "ask for one day at a time, or for level='L1' where it is stored"
        )
    return intervals[0]


def _holds(reader: PartitionReader, intervals: tuple[Interval, ...]) -> bool:
    """Whether any row of a partition lies in the intervals; rows are read only where the row groups' ends do not tell."""
    for group in reader.manifest.row_groups:
        for start_ns, end_ns in intervals:
            if start_ns <= group.first_ns < end_ns or start_ns <= group.last_ns < end_ns:
                return True
    return next(reader.groups(intervals), None) is not None


def raw_batches(schema: SchemaName, data: Any, symbol: str) -> Iterator[RawColumns]:
    """Anything that `Catalog.write` takes, as raw columns with `venue_seq`.

    Raises:
        DataError: where a piece is not a frame, lacks a column, or has rows of another symbol.
    """
    if isinstance(data, pa.RecordBatchReader):
        for batch in data:
            yield from raw_batches(schema, batch, symbol)
    elif isinstance(data, Chunk):
        if data.schema != schema:
            raise InvalidParameter(f"a chunk of {data.schema} was given where {schema} was expected")
        yield _complete(schema, data.columns)
    elif isinstance(data, Mapping):
        yield _complete(schema, data)
    elif isinstance(data, Iterable) and not _is_frame(data):
        for piece in data:
            yield from raw_batches(schema, piece, symbol)
    else:
        table = conform(read_frame(data), schema)
        symbol_of({schema: table}, symbol)
        yield raw_columns(schema, table)


def _is_frame(data: Any) -> bool:
    return isinstance(data, (str, Path, pa.Table, pa.RecordBatch)) or any(
        hasattr(data, name) for name in ("__arrow_c_stream__", "__arrow_c_array__", "columns", "__narwhals_dataframe__")
    )


def _complete(schema: SchemaName, columns: Mapping[str, Any]) -> RawColumns:
    """A mapping of raw arrays with the types of the schema; `sequence` and `venue_seq` may be missing."""
    rows = len(columns["ts_event"]) if "ts_event" in columns else 0
    complete: RawColumns = {}
    for name, dtype in (*CHUNK_DTYPES[schema].items(), ("venue_seq", "int64")):
        if name in columns:
            array = np.ascontiguousarray(columns[name])
            if array.dtype != np.dtype(dtype) or array.shape != (rows,):
                raise InvalidParameter(f"raw column {name} must be {dtype} of {rows} rows, not {array.dtype} {array.shape}")
            complete[name] = array
        elif name in ("sequence", "venue_seq", "ts_recv"):
            complete[name] = np.full(rows, NO_TIME_NS, dtype=np.int64)
        else:
            raise InvalidParameter(f"raw columns of {schema} lack {name}; given are {', '.join(columns)}")
    return complete
