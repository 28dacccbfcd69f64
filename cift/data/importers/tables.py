"""Tables of quotes or trades: CSV and Parquet with whatever columns they have.

A table is read a block at a time: its columns are found by name (`cift.data.frames` says which names), its times brought to
UTC, rows left out that are of something else, and the rest passes the screen. One column of each quote or trade is a time:

| the column holds | read as |
|---|---|
| whole or decimal numbers | `time_unit` since 1970, or since midnight of `date` in `timezone` |
| `2013-01-01T22:00:00.295+00:00`, `2013-01-01 22:00:00Z` | that instant |
| `2013-01-01 22:00:00.295`, `20130101 22:00:00.295` | that time of day in `timezone` |
| timestamps (Parquet) | the same: with a zone an instant, without one a time of day in `timezone` |
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from cift.data.columns import Array, RawColumns, length
from cift.data.frames import conform, find_columns, infer_step, raw_columns
from cift.data.importers.text import LINE_BYTES_MAX, UNREADABLE, open_bytes
from cift.data.report import ImportReport, Tally
from cift.data.screen import Screen
from cift.data.times import Session, datetime_ns, session_intervals
from cift.domain.calendar import ALWAYS_OPEN
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument, Number, to_decimal
from cift.domain.schemas import PRICE_COLUMNS, SIZE_COLUMNS, TIME_COLUMNS, WORD_CODES, check_schema
from cift.errors import CiftError, CorruptData, DataError, InvalidParameter, NoData, UnknownName

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

BYTES_PER_BLOCK = 1 << 22
ROWS_PER_BATCH = 65_536
NS_PER_UNIT = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
TIME_DECIMALS = pa.decimal128(27, 9)
"""Times with a fraction are read as decimals: a float would lose the nanoseconds."""
INT64_MAX = 2**63 - 1
SHOWN_MAX = 300
"""Characters that an error tells of what a file holds."""
_WHOLE, _FRACTION = re.compile(r"-?\d+"), re.compile(r"-?\d+\.\d*")
_COMPACT_DATE = r"^(\d{4})(\d{2})(\d{2})[ T]"
_HAS_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")

Where = Mapping[str, str | Collection[str]]
"""Column of the file -> the text, or texts, that its rows must have there."""


def import_csv(
    catalog: Catalog,
    file: str | Path,
    *,
    schema: str,
    symbol: str,
    columns: Mapping[str, str] | None = None,
    time_unit: str = "ns",
    timezone: str = "UTC",
    date: str | dt.date | None = None,
    names: Sequence[str] | None = None,
    delimiter: str = ",",
    where: Where | None = None,
    session: Session | None = None,
    size: Number | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    calendar: str = ALWAYS_OPEN,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports a CSV file of quotes or trades; it may end in .gz, .zst, .xz or .zip.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the file, in time order.
        schema: "quotes" or "trades".
        symbol: what to store it as, with its venue: "AAPL.XNAS".
        columns: our name of a column -> the file's, `{"bid_price": "BID"}`, or the other way round. Columns that are called as
            ours are found.
        time_unit: of numbers: "ns", "us", "ms" or "s".
        timezone: of times that name no zone.
        date: the day, where times are counted from its midnight.
        names: the columns of a file without a header line.
        delimiter: what stands between two columns.
        where: rows to keep, by column of the file: `{"EX": "N"}`. A file with a column `symbol` of several symbols needs one.
        session: opening and closing time of day with their zone; rows outside are left out.
        size: the size of each side of quotes that state none.
        tick_size: the finest step of prices; None: what the catalog knows, or the finest decimal step of the prices, for
            which the file is read twice; a note says which.
        lot_size: the finest step of sizes; None likewise.
        calendar: the instrument's calendar.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Returns:
        The report; `counts["left_out"]` has the rows that `where` and `session` left out.

    Raises:
        DataError: a column is missing, or a row cannot be read; the message names file and row. The catalog is as it was.
        CorruptData: the compressed data is damaged.
        TimeOrder: a row goes back in time.
        NoData: no row is left.
        UnknownName: `columns`, `where` or `schema` name what is not there.

    Example:
        >>> import_csv(catalog, "abc.csv.gz", schema="trades", symbol="ABC.XNAS",
        ...            columns={"ts_event": "t", "price": "p", "size": "q"}, time_unit="ms")  # doctest: +SKIP
    """
    table = CsvFile(Path(file), tuple(names) if names is not None else None, delimiter)
    times = Times(time_unit, timezone, date)
    source = Source(table, _of_tables(schema), dict(columns or {}), times, where=where, session=session, size=size)
    return run(catalog, source, symbol, tick_size, lot_size, calendar, policies)


def import_parquet(
    catalog: Catalog,
    file: str | Path,
    *,
    schema: str,
    symbol: str,
    columns: Mapping[str, str] | None = None,
    time_unit: str = "ns",
    timezone: str = "UTC",
    date: str | dt.date | None = None,
    where: Where | None = None,
    session: Session | None = None,
    size: Number | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    calendar: str = ALWAYS_OPEN,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports a Parquet file of quotes or trades; arguments, report and errors are those of `import_csv`."""
    times = Times(time_unit, timezone, date)
    table = ParquetFile(Path(file))
    source = Source(table, _of_tables(schema), dict(columns or {}), times, where=where, session=session, size=size)
    return run(catalog, source, symbol, tick_size, lot_size, calendar, policies)


def _of_tables(schema: str) -> SchemaName:
    if check_schema(schema) == "mbo":
        raise InvalidParameter("a table is imported as quotes or trades; orders have importers of their own")
    return check_schema(schema)


# ---------------------------------------------------------------------- files


@dataclass
class CsvFile:
    """A CSV file. Its first lines are read once, to know its columns and what they hold."""

    path: Path
    names: tuple[str, ...] | None
    delimiter: str = ","

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1:
            raise InvalidParameter(f"delimiter must be one character, not {self.delimiter!r}")
        lines = self._first_lines(1 if self.names is not None else 2)
        header = list(self.names) if self.names is not None else lines.pop(0) if lines else []
        self.first = lines[0] if lines else []
        doubled = [name for name, count in Counter(header).items() if count > 1]
        if doubled:
            raise DataError(
                f"{self.path.name} has {doubled[0][:80]!r} twice in its header; pass names= for columns without one"
            )
        if self.first and len(self.first) != len(header):
            raise DataError(f"{self.path.name} has {len(header)} names for {len(self.first)} columns")
        self.header = header
        self.first_row = 1 if self.names is not None else 2
        """Number of the first line of data."""

    def _first_lines(self, count: int) -> list[list[str]]:
        try:
            with open_bytes(self.path) as stream:
                start = b""
                while start.count(b"\n") < count and len(start) < LINE_BYTES_MAX and (piece := stream.read(1 << 16)):
                    start += piece
        except FileNotFoundError:
            raise DataError(f"{self.path} does not exist") from None
        except UNREADABLE as error:
            raise CorruptData(f"{self.path.name} cannot be read: {error}") from None
        try:
            text = start.decode("utf-8-sig", "strict" if len(start) < 1 << 16 else "ignore")
            # A name or number with a line break in it is nothing that a table of ticks has.
            return list(csv.reader([line for line in text.splitlines() if line][:count], delimiter=self.delimiter))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.path.name} is no CSV file: {error}") from None

    def value(self, name: str) -> str:
        """What the first row has in a column."""
        return self.first[self.header.index(name)].strip() if self.first else ""

    def batches(self, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        """Some columns, as the given types.

        Raises:
            DataError: a row has another number of columns, or a value of another kind.
            CorruptData: the compressed data is damaged.
        """
        read = pacsv.ReadOptions(use_threads=False, block_size=BYTES_PER_BLOCK, column_names=self.names)
        convert = pacsv.ConvertOptions(column_types=dict(types), include_columns=list(types), strings_can_be_null=True)
        parse = pacsv.ParseOptions(delimiter=self.delimiter)
        try:
            with open_bytes(self.path) as stream:
                native = stream if isinstance(stream, pa.NativeFile) else pa.PythonFile(stream, mode="r")
                yield from pacsv.open_csv(native, read, parse, convert)
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise DataError(f"{self.path.name}: {str(error)[:SHOWN_MAX]}") from None
        except UNREADABLE as error:
            raise CorruptData(f"{self.path.name} cannot be read: {error}") from None


@dataclass
class ParquetFile:
    """A Parquet file."""

    path: Path

    def __post_init__(self) -> None:
        try:
            self._file = pq.ParquetFile(self.path, page_checksum_verification=True)
            self.header = list(self._file.schema_arrow.names)
        except FileNotFoundError:
            raise DataError(f"{self.path} does not exist") from None
        except Exception as error:  # whatever a decoder raises on damaged bytes, it is the file that is at fault
            raise CorruptData(f"{self.path.name} cannot be read as Parquet: {error}") from None
        self.first_row = 0

    def value(self, name: str) -> str:
        """What the first row has in a column: its types say it all."""
        kind = self._file.schema_arrow.field(name).type
        return "0" if pa.types.is_integer(kind) else ""

    def batches(self, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        """Some columns, as they are.

        Raises:
            CorruptData: the file is damaged.
        """
        try:
            for batch in self._file.iter_batches(ROWS_PER_BATCH, columns=list(types), use_threads=False):
                batch.validate(full=True)  # text that is none, places beyond an end
                yield batch
        except Exception as error:
            raise CorruptData(f"{self.path.name} cannot be read: {error}") from None


# ---------------------------------------------------------------------- times


@dataclass(frozen=True)
class Times:
    """How a table writes times, see the head of this file.

    Raises:
        InvalidParameter: a unit, zone or date that there is not.
    """

    unit: str = "ns"
    zone: str = "UTC"
    date: str | dt.date | None = None

    def __post_init__(self) -> None:
        if self.unit not in NS_PER_UNIT:
            raise InvalidParameter(f"time_unit must be one of {', '.join(NS_PER_UNIT)}, not {self.unit!r}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, TypeError):
            raise InvalidParameter(f"timezone {self.zone!r} is not known; write it as 'America/New_York'") from None
        self.midnight_ns  # noqa: B018

    @cached_property
    def midnight_ns(self) -> int:
        """What numbers are counted from."""
        if self.date is None:
            return 0
        try:
            day = dt.date.fromisoformat(self.date) if isinstance(self.date, str) else self.date
            return datetime_ns(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)))
        except (ValueError, AttributeError):
            raise InvalidParameter(f"date must be a day such as '2012-06-21', not {self.date!r}") from None

    def kind(self, value: str) -> pa.DataType:
        """What a column of a text file is read as, by its first value."""
        if _WHOLE.fullmatch(value) and self.unit in ("ns", "us"):
            return pa.int64()
        # Of seconds and milliseconds the first may be whole and others not.
        return TIME_DECIMALS if _WHOLE.fullmatch(value) or _FRACTION.fullmatch(value) else pa.string()

    def read(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column of times as timestamps, UTC.

        Raises:
            DataError: where a value is no time.
        """
        kind = column.type
        target = pa.timestamp("ns", tz="UTC")
        if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
            return self._since_midnight(column).cast(target)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            text = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), _COMPACT_DATE, r"\1-\2-\3 ")
            shown = next((value.as_py() for value in text if value.is_valid), "")
            column = text.cast(target if _HAS_ZONE.search(shown[10:]) else pa.timestamp("ns"))
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            column = pc.assume_timezone(column.cast(pa.timestamp("ns")), self.zone)
        if not pa.types.is_timestamp(column.type):
            raise DataError(f"times must be texts, whole numbers or timestamps, not {kind}")
        return column.cast(target)

    def _since_midnight(self, numbers: pa.ChunkedArray) -> pa.ChunkedArray:
        factor = NS_PER_UNIT[self.unit]
        for end in pc.min_max(numbers).as_py().values():
            if end is not None and abs(end * factor + self.midnight_ns) > INT64_MAX:
                raise DataError(f"time {end} {self.unit} is out of range; pass time_unit= as it is")
        if pa.types.is_decimal(numbers.type):
            # Exact: what lies beyond the nanosecond is no whole number of them, and an error.
            return pc.add(pc.multiply(numbers, pa.scalar(Decimal(factor))).cast(pa.int64()), self.midnight_ns)
        return pc.add(pc.multiply(numbers.cast(pa.int64()), factor), self.midnight_ns)


# ---------------------------------------------------------------------- rows


@dataclass
class Source:
    """Rows of one symbol and schema in a table.

    Args:
        table: the file.
        schema: what its rows are.
        columns: the file's name of a column, by our name.
        times: how it writes times.
        where: rows to keep, by column of the file.
        session: times of day to keep.
        size: the size of quotes that state none.
        size_unit: what one of its sizes stands for (round lots: 100).
        skip: letters of a column of the file, any of which leaves a row out.
    """

    table: CsvFile | ParquetFile
    schema: SchemaName
    columns: dict[str, str]
    times: Times = field(default_factory=Times)
    where: Where | None = None
    session: Session | None = None
    size: Number | None = None
    size_unit: int = 1
    skip: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.table.path.name
        self.rows_read = 0
        header = self.table.header
        if not header:
            raise NoData(f"{self.name} is empty")
        sizes = SIZE_COLUMNS[self.schema]
        self._stated_size: float | None = None
        if self.size is not None:
            if any(name in header or name in self.columns for name in sizes):
                raise InvalidParameter(f"size= is for tables without sizes; {self.name} has some")
            self._stated_size = float(to_decimal(self.size, "size"))
            self.notes.append(f"{self.name} states no sizes: each is taken to be {self.size}")
        pretended = [*header, *sizes] if self.size is not None else header
        self.found = find_columns(pretended, self.schema, self.columns)
        self._symbol = self.found.pop("symbol", None)
        self.found = {ours: theirs for ours, theirs in self.found.items() if theirs in header and ours != "sequence"}
        self._where = {name: [texts] if isinstance(texts, str) else list(texts) for name, texts in (self.where or {}).items()}
        for name in self._where:
            if name not in header:
                raise UnknownName(f"where= names {name!r}; {self.name} has {', '.join(header)}")
        if self._symbol in self._where:
            self._symbol = None
        if "trade_id" in self.found and not _WHOLE.fullmatch(self.table.value(self.found["trade_id"]) or "0"):
            del self.found["trade_id"]
            self.notes.append("ids of trades are left out: they are no whole numbers")
        if self.session is not None:
            session_intervals(self.session, 0, 0)
        self._seen_symbols: set[str] = set()

    def _types(self) -> dict[str, pa.DataType]:
        types: dict[str, pa.DataType] = {}
        for ours, theirs in self.found.items():
            if ours in TIME_COLUMNS:
                types[theirs] = self.times.kind(self.table.value(theirs))
            elif ours in WORD_CODES:
                types[theirs] = pa.string()
            elif ours in ("venue_seq", "trade_id", "flags"):
                types[theirs] = {"venue_seq": pa.int64(), "trade_id": pa.uint64(), "flags": pa.uint8()}[ours]
            else:
                types[theirs] = pa.float64()
        others = [*self._where, *([self._symbol] if self._symbol else []), *([self.skip[0]] if self.skip else [])]
        return {**types, **{name: pa.string() for name in others}}

    def batches(self) -> Iterator[tuple[Array, RawColumns]]:
        """The rows that are kept, with their numbers in the file.

        Raises:
            DataError, CorruptData: see `import_csv`.
        """
        types = self._types()
        self.rows_read, row = 0, self.table.first_row
        for batch in self.table.batches(types):
            table = pa.Table.from_batches([batch])
            rows = np.arange(row, row + table.num_rows)
            row += table.num_rows
            self.rows_read += table.num_rows
            try:
                keep = self._kept(table)
                if not keep.all():
                    table, rows = table.filter(pa.array(keep)), rows[keep]
                if not len(rows):
                    continue
                self._one_symbol(table)
                columns = self._columns(table)
            except (CiftError, pa.ArrowException) as error:
                kind = type(error) if isinstance(error, CiftError) else DataError
                raise kind(f"{self.name}, rows {int(rows[0])} to {int(rows[-1])}: {error}") from None
            inside = self._inside(columns["ts_event"])
            yield (rows, columns) if inside.all() else (rows[inside], {name: array[inside] for name, array in columns.items()})

    def _kept(self, table: pa.Table) -> Array:
        keep = np.ones(table.num_rows, dtype=bool)
        for name, texts in self._where.items():
            there = pc.is_in(pc.utf8_trim_whitespace(table[name].cast(pa.string())), value_set=pa.array(texts, pa.string()))
            keep &= np.asarray(there)
        if self.skip is not None:
            name, letters = self.skip
            text = pc.fill_null(table[name].cast(pa.string()), "")
            for letter in letters:
                keep &= ~np.asarray(pc.match_substring(text, letter))
        return keep

    def _one_symbol(self, table: pa.Table) -> None:
        if self._symbol is not None:
            self._seen_symbols.update(str(value) for value in pc.unique(table[self._symbol]).to_pylist())
            if len(self._seen_symbols) > 1:
                listing = ", ".join(sorted(self._seen_symbols)[:20])
                raise DataError(
                    f"the column {self._symbol!r} holds {listing}; pick one, such as where={{{self._symbol!r}: ...}}"
                )

    def _columns(self, table: pa.Table) -> RawColumns:
        ours = {
            name: self.times.read(table[theirs]) if name in TIME_COLUMNS else table[theirs]
            for name, theirs in self.found.items()
        }
        if self._stated_size is not None:
            stated = pa.array(np.full(table.num_rows, self._stated_size))
            ours |= dict.fromkeys(SIZE_COLUMNS[self.schema], stated)
        columns = raw_columns(self.schema, conform(pa.table(ours), self.schema))
        if self.size_unit != 1:
            columns |= {name: columns[name] * self.size_unit for name in SIZE_COLUMNS[self.schema]}
        return columns

    def _inside(self, ts_event: Array) -> Array:
        inside = np.ones(len(ts_event), dtype=bool)
        if self.session is None:
            return inside
        inside[:] = False
        for start_ns, end_ns in session_intervals(self.session, int(ts_event.min()), int(ts_event.max()) + 1):
            inside |= (ts_event >= start_ns) & (ts_event < end_ns)
        return inside


def _steps(
    catalog: Catalog, source: Source, symbol: str, tick_size: Number | None, lot_size: Number | None, calendar: str
) -> Instrument:
    """The instrument: as given, as the catalog knows it, or inferred by reading the file."""
    known = catalog.instruments().get(symbol)
    if known is not None:
        given = {"tick_size": tick_size, "lot_size": lot_size, "calendar": None if calendar == ALWAYS_OPEN else calendar}
        fields: dict[str, Any] = {**known.to_dict(), **{name: value for name, value in given.items() if value is not None}}
        return Instrument(**fields)
    steps: dict[str, Any] = {"tick_size": tick_size, "lot_size": lot_size}
    wanted = {"tick_size": ("price", PRICE_COLUMNS), "lot_size": ("size", SIZE_COLUMNS)}
    missing = [name for name, value in steps.items() if value is None]
    found: dict[str, Decimal] = {}
    if missing:
        for _, columns in source.batches():
            if not length(columns):
                continue
            for name in missing:
                what, of_schema = wanted[name]
                values = [columns[column] for column in of_schema[source.schema]]
                if name not in found or not all(_lies_on(array, found[name]) for array in values):
                    step = infer_step(values, what)
                    found[name] = min(step, found.get(name, step))
        if not found:
            raise NoData(f"{source.name} holds no rows to import; nothing was written")
    for name, step in found.items():
        steps[name] = step
        words, what = name.replace("_", " "), wanted[name][0]
        source.notes.append(f"{words} of {symbol} inferred from its {what}s: {step}; pass {name}= to state another")
    return Instrument(symbol, calendar=calendar, **steps)


def _lies_on(values: Array, step: Decimal) -> bool:
    """Whether all values are whole numbers of a decimal step, which is quicker to say than what their step is."""
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int)
    return bool(((np.round(values, -exponent) == values) | np.isnan(values)).all())


def run(
    catalog: Catalog,
    source: Source,
    symbol: str,
    tick_size: Number | None,
    lot_size: Number | None,
    calendar: str,
    policies: Mapping[str, str] | None,
) -> ImportReport:
    """Imports a source; for importers of tables that know their columns.

    Raises:
        DataError, CorruptData, NoData: see `import_csv`.
    """
    started = time.perf_counter()
    instrument = _steps(catalog, source, symbol, tick_size, lot_size, calendar)
    tally = Tally(source.name)
    screen = Screen(source.schema, instrument, source.name, tally, policies)
    kept = 0

    def screened() -> Iterator[RawColumns]:
        nonlocal kept
        for rows, columns in source.batches():
            kept += len(rows)
            yield screen.check(columns, rows)
        screen.finish()

    with catalog.writer() as writer:
        writer.add(source.schema, symbol, screened())
        if not writer.staged:
            raise NoData(f"{source.name} holds no rows to import; nothing was written")
        written = catalog.commit(writer, [instrument])
    tally.counts["left_out"] = source.rows_read - kept
    rows_written = sum(manifest.rows for manifest in written)
    return tally.report(symbol, source.rows_read, rows_written, time.perf_counter() - started, tuple(source.notes))
