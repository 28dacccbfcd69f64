"""Tables of quotes, trades, levels or bars: CSV and Parquet with whatever columns they have.

A table is read a block at a time: its columns are found by name (`cift.data.frames` says which names), its times brought to
UTC, rows left out that are of something else, and the rest passes the screen. One column of each row is a time:

| the column holds | read as |
|---|---|
| whole or decimal numbers | `time_unit` since 1970, or since midnight of `date` in `timezone` |
| `2013-01-01T22:00:00.295+00:00`, `2013-01-01 22:00:00Z` | that instant |
| `2013-01-01 22:00:00.295`, `20130101 22:00:00.295` | that time of day in `timezone` |
| timestamps (Parquet) | the same: with a zone an instant, without one a time of day in `timezone` |
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cift.data.bar_screen import screen_of
from cift.data.columns import Array, RawColumns, length
from cift.data.frames import conform, find_columns, raw_columns
from cift.data.importers.bar_tables import Stamps, bar_columns
from cift.data.importers.known import FinestSteps
from cift.data.importers.table_files import CsvFile, ParquetFile
from cift.data.importers.table_times import INT64_MAX, NS_PER_UNIT, WHOLE, Times
from cift.data.report import ImportReport, Tally
from cift.data.stored_bars import Among
from cift.data.times import Session, session_intervals
from cift.domain.bar_spec import BarSpec
from cift.domain.calendar import ALWAYS_OPEN
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument, Number, to_decimal
from cift.domain.schemas import SIZE_COLUMNS, TIME_COLUMNS, WORD_CODES, check_schema
from cift.errors import CiftError, DataError, InvalidParameter, NoData, UnknownName

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

__all__ = [
    "INT64_MAX", "NS_PER_UNIT", "CsvFile", "ParquetFile", "Source", "Times", "Where", "import_csv", "import_parquet", "run",
]  # fmt: skip


Where = Mapping[str, str | Collection[str]]
"""Column of the file -> the text, or texts, that its rows must have there."""
_WHOLE_TYPES = {"venue_seq": pa.int64(), "trade_id": pa.uint64(), "flags": pa.uint8(), "count": pa.int64()}


def import_csv(
    catalog: Catalog,
    file: str | Path,
    *,
    schema: str,
    symbol: str,
    spec: str | BarSpec | None = None,
    stamp: str = "open",
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
    """Imports a CSV file of quotes, trades, levels or bars; it may end in .gz, .zst, .xz or .zip.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the file, in time order.
        schema: "quotes", "trades", "mbp" (a level a row: action, side, price, size) or "bars".
        symbol: what to store it as, with its venue: "AAPL.XNAS".
        spec: of bars, what ended them: "1m", "1d".
        stamp: of bars with one time, which end of a bar it is: "open" or "close". "open" is the safe reading: where it is wrong, a
            bar is known one bar late, never early; the report says which was used. A bar of "1d" of an instrument with an
            exchange's calendar is the session of its date.
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
    kind, stamps = _of_tables(schema), _stamps(schema, spec, stamp, timezone)
    source = Source(table, kind, dict(columns or {}), times, where=where, session=session, size=size, bars=stamps)
    return run(catalog, source, symbol, tick_size, lot_size, calendar, policies)


def import_parquet(
    catalog: Catalog,
    file: str | Path,
    *,
    schema: str,
    symbol: str,
    spec: str | BarSpec | None = None,
    stamp: str = "open",
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
    """Imports a Parquet file of quotes, trades, levels or bars; arguments, report and errors are those of `import_csv`."""
    times = Times(time_unit, timezone, date)
    table = ParquetFile(Path(file))
    kind, stamps = _of_tables(schema), _stamps(schema, spec, stamp, timezone)
    source = Source(table, kind, dict(columns or {}), times, where=where, session=session, size=size, bars=stamps)
    return run(catalog, source, symbol, tick_size, lot_size, calendar, policies)


def _of_tables(schema: str) -> SchemaName:
    if check_schema(schema) == "mbo":
        raise InvalidParameter("a table is imported as quotes, trades, mbp or bars; orders have importers of their own")
    return check_schema(schema)


def _stamps(schema: str, spec: str | BarSpec | None, stamp: str, zone: str) -> Stamps | None:
    if schema != "bars":
        if spec is not None:
            raise InvalidParameter(f"spec= is for bars, not for {schema}")
        return None
    if spec is None:
        raise InvalidParameter("bars are stored by what ended them; pass spec= such as '1m'")
    return Stamps(BarSpec.parse(spec), stamp, zone)


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
        bars: of bars, how they are stamped.
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
    bars: Stamps | None = None
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
        self.found = self._bar_columns() if self.bars is not None else find_columns(pretended, self.schema, self.columns)
        self._symbol = self.found.pop("symbol", None)
        self.found = {ours: theirs for ours, theirs in self.found.items() if theirs in header and ours != "sequence"}
        self._where = {name: [texts] if isinstance(texts, str) else list(texts) for name, texts in (self.where or {}).items()}
        for name in self._where:
            if name not in header:
                raise UnknownName(f"where= names {name!r}; {self.name} has {', '.join(header)}")
        if self._symbol in self._where:
            self._symbol = None
        if "trade_id" in self.found and not WHOLE.fullmatch(self.table.value(self.found["trade_id"]) or "0"):
            del self.found["trade_id"]
            self.notes.append("ids of trades are left out: they are no whole numbers")
        if self.session is not None:
            session_intervals(self.session, 0, 0)
        self._seen_symbols: set[str] = set()

    def _bar_columns(self) -> dict[str, str]:
        assert self.bars is not None
        found = bar_columns(self.table.header, self.columns)
        if "ts_open" not in found:
            self.bars.check()
        if "volume" in found and self._stated_size is not None:
            raise InvalidParameter(f"size= is for bars without a volume; {self.name} has {found['volume']!r}")
        if "volume" not in found and self._stated_size is None:
            self._stated_size = 0.0
            self.notes.append(f"{self.name} states no volume: each bar has 0")
        return found

    def _types(self) -> dict[str, pa.DataType]:
        types: dict[str, pa.DataType] = {}
        for ours, theirs in self.found.items():
            if ours in TIME_COLUMNS:
                types[theirs] = self.times.kind(self.table.value(theirs))
            elif ours in WORD_CODES:
                types[theirs] = pa.string()
            elif ours in _WHOLE_TYPES:
                types[theirs] = _WHOLE_TYPES[ours]
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
        if self.bars is not None and "ts_open" not in ours:
            ours["ts_open"], ours["ts_event"] = self.bars.both(ours["ts_event"])
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


def _instrument(catalog: Catalog, source: Source, symbol: str, steps: FinestSteps) -> Instrument:
    """The instrument: as given, as the catalog knows it, or inferred by reading the file."""
    known = catalog.instruments().get(symbol)
    if known is None and not steps.are_told:
        rows = 0
        for _, columns in source.batches():
            if length(columns):
                steps.see(source.name, source.schema, columns)
                rows += length(columns)
        if not rows:
            raise NoData(f"{source.name} holds no rows to import; nothing was written")
    return steps.instrument(symbol, known, source.notes)


def run(
    catalog: Catalog,
    source: Source,
    symbol: str,
    tick_size: Number | None,
    lot_size: Number | None,
    calendar: str | None,
    policies: Mapping[str, str] | None,
    usual: Mapping[str, Any] | None = None,
) -> ImportReport:
    """Imports a source; for importers of tables that know their columns.

    Args:
        tick_size, lot_size, calendar: of the instrument, where the caller gives them; the calendar of "24/7" says nothing.
        usual: what they are where neither the caller nor the catalog says; None: steps are inferred.
    Raises:
        DataError, CorruptData, NoData: see `import_csv`.
    """
    started = time.perf_counter()
    if source.bars is not None:
        known = catalog.instruments().get(symbol)
        told = calendar or ALWAYS_OPEN
        source.bars.calendar = known.calendar if known is not None and told == ALWAYS_OPEN else told
        if "ts_open" not in source.found:
            source.notes.insert(0, source.bars.note)
    steps = FinestSteps(tick_size, lot_size, {"calendar": calendar}, usual)
    instrument = _instrument(catalog, source, symbol, steps)
    tally = Tally(source.name)
    screen = screen_of(source.schema, instrument, source.name, tally, policies)
    kept = 0

    def screened() -> Iterator[RawColumns]:
        nonlocal kept
        for rows, columns in source.batches():
            kept += len(rows)
            yield screen.check(columns, rows)
        screen.finish()

    spec = None if source.bars is None else source.bars.spec.name
    among = None if spec is None else Among(catalog, symbol, spec)
    with catalog.writer() as writer:
        writer.add(source.schema, symbol, screened() if among is None else among.bars(screened()), spec)
        if not writer.staged:
            raise NoData(f"{source.name} holds no rows to import; nothing was written")
        written = catalog.commit(writer, [instrument], {} if among is None else among.seen)
    tally.counts["left_out"] = source.rows_read - kept
    tally.counts["kept_beside"] = 0 if among is None else among.kept
    rows_written = sum(manifest.rows for manifest in written) - tally.counts["kept_beside"]
    return tally.report(symbol, source.rows_read, rows_written, time.perf_counter() - started, tuple(source.notes))
