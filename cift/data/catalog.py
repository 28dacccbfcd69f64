"""The catalog: a folder of Parquet that any tool can read, and that notices when it was tampered with or damaged."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cift.data.actions import actions_frame, decode_actions, encode_actions, read_actions, replaced
from cift.data.adjusted import adjusted_view, expiry_noted
from cift.data.bar_screen import screen_of
from cift.data.closes import SOURCES, close_before
from cift.data.columns import RawColumns, chunks, join, length
from cift.data.frames import check_chunk_rows
from cift.data.hashing import selection_hash
from cift.data.levels import (
    LEVELS,
    choose_level,
    feed_intervals,
    single_session,
    stored_levels,
    wanted_intervals,
)
from cift.data.manifest import Layout, Manifest, Partition, dataset_name, seal, unseal
from cift.data.reading import ALWAYS, Interval, PartitionReader, interval_of, selected_rows
from cift.data.report import ImportReport, Tally
from cift.data.rows import raw_batches
from cift.data.storage import Disk, Staging, locked
from cift.data.stored_bars import Among, begun, begun_hashes, days_of_begun
from cift.data.times import DAY_NS, Session, TimeLike, iso, time_ns, time_range
from cift.data.upkeep import (
    Consolidated,
    check_unchanged,
    consolidated,
    damaged_files,
    delete_rows,
    seen_in,
    unnamed_files,
    with_first,
)
from cift.data.view import Ticks, common_calendar
from cift.data.writing import PartitionWriter
from cift.domain.action import Action
from cift.domain.bar_spec import BarSpec
from cift.domain.chunk import Chunk, SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import check_schema
from cift.errors import CatalogError, CorruptData, InvalidParameter, NoData, TimeOrder, UnknownSymbol

if TYPE_CHECKING:
    import polars as pl

    from cift.data.continuous import Continuous
    from cift.data.doctor import Diagnosis
    from cift.data.exporters import ExportReport

CLOSE_WITHIN_NS = 10 * DAY_NS
"""How far back the price before a dividend, or a roll, is looked for."""


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
        spec: str | BarSpec | None = None,
        policies: Mapping[str, str] | None = None,
        source: str = "rows",
    ) -> ImportReport:
        """Stores rows of one symbol. All days that the rows touch are replaced, and become visible together.

        Of bars, what is stored in front of the first and behind the last one stays, and a day on which none of them ends keeps the
        bars that none of them overlaps.

        Args:
            schema: "mbo", "mbp", "quotes", "trades" or "bars".
            symbol: the symbol, with its venue: "AAPL.XNAS".
            data: a frame, an Arrow table or stream, a `Chunk`, a mapping of raw columns, or an iterable of these, in
                time order. `sequence` is counted anew, from 0 in each UTC day.
            instrument: its grid; may be left out for a symbol that the catalog knows.
            spec: of bars, what ended them: "1m" or "tick-500", see `BarSpec`. Each spec is stored apart.
            policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.
            source: the name that errors and the report give to the rows.

        Returns:
            What was met and stored.

        Raises:
            DataError: rows that cannot be used; the message names row and value. The catalog is as it was.
            CatalogError: the symbol is stored with another instrument, or another wrote bars of its first or last day meanwhile.
            NoData: there are no rows.
        """
        return self._write(schema, symbol, data, instrument, policies, source, spec, append=False)

    def append(
        self,
        schema: str,
        symbol: str,
        data: Any,
        instrument: Instrument | None = None,
        *,
        policies: Mapping[str, str] | None = None,
        source: str = "rows",
        spec: str | BarSpec | None = None,
    ) -> ImportReport:
        """Stores rows behind those of the same symbol: what is stored of their first day stays, in front of them.

        Arguments, report and errors are those of `write`. The catalog then holds what one `write` of all rows would have
        stored, with the same hash; only the screen does not see the old rows beside the new ones.

        Raises:
            TimeOrder: rows are stored that are later than the first one given; bars that ended after the first one given began.
            CatalogError: another wrote to one of its days meanwhile; nothing is stored.
        """
        return self._write(schema, symbol, data, instrument, policies, source, spec, append=True)

    def _write(
        self,
        schema: str,
        symbol: str,
        data: Any,
        instrument: Instrument | None,
        policies: Mapping[str, str] | None,
        source: str,
        spec: str | BarSpec | None,
        *,
        append: bool,
    ) -> ImportReport:
        started = time.perf_counter()
        kind = check_schema(schema)
        spec_text = _spec_to_write(kind, spec)
        instrument = self._instrument_to_write(symbol, instrument)
        tally = Tally(source)
        screen = screen_of(kind, instrument, source, tally, policies)
        rows_read = 0

        def screened() -> Iterator[RawColumns]:
            nonlocal rows_read
            for batch in raw_batches(kind, data, symbol):
                rows_read += length(batch)
                yield screen.check(batch)
            screen.finish()

        first, rows = with_first(screened())
        into = dataset_name(kind, spec_text)
        held: list[PartitionReader] = []
        if append and first is not None:
            # The first bar may have begun on the day before that of its end.
            began_ns = int(first["ts_event" if spec_text is None else "ts_open"][0])
            held = self._held_before(into, symbol, began_ns, int(first["ts_event"][0]))
        among = None if spec_text is None or append else Among(self, symbol, spec_text)
        with self.writer() as writer:
            stored = (columns for reader in held for columns in reader.groups((ALWAYS,), every_column=True))
            writer.add(kind, symbol, chain(stored, rows if among is None else among.bars(rows)), spec_text)
            if first is None:
                raise NoData(f"no rows of {schema} were given for {symbol}; nothing was written")
            seen = {} if among is None else among.seen
            if append:
                seen = {**{staged.manifest.partition: None for staged in writer.staged}, **seen_in(held)}
            written = self.commit(writer, [instrument], seen)
        rows_written = sum(manifest.rows for manifest in written) - sum(reader.manifest.rows for reader in held)
        if among is not None:
            rows_written -= among.kept
            tally.counts["kept_beside"] = among.kept
        return tally.report(symbol, rows_read, rows_written, time.perf_counter() - started)

    def writer(self) -> PartitionWriter:
        """A writer for importers, to be used in a `with` block and finished by `commit`."""
        return PartitionWriter(self._layout, self._disk)

    def _held_before(self, dataset: str, symbol: str, first_ns: int, stamp_ns: int) -> list[PartitionReader]:
        """The day of a row, where it is stored and ends before the row begins.

        Args:
            first_ns: when the row begins; stamp_ns: its `ts_event`, by which it belongs to a day.
        Raises:
            TimeOrder: where something later is stored.
        """
        later = [day for day in self.days(dataset, symbol) if time_ns(day, "date")[0] + DAY_NS > first_ns]
        held = [self.reader(dataset, symbol, day) for day in later]
        last_ns = max((reader.manifest.last_ns for reader in held), default=first_ns)
        if last_ns > first_ns:
            raise TimeOrder(
                f"{dataset} of {symbol} are stored up to {iso(last_ns)}, and the first row given is of {iso(first_ns)}; append() "
                "adds behind what is stored, write() replaces the days that it touches"
            )
        return [reader for reader in held if time_ns(reader.manifest.date, "date")[0] + DAY_NS > stamp_ns]

    def commit(
        self,
        writer: PartitionWriter,
        instruments: Sequence[Instrument],
        seen: Mapping[Partition, Manifest | None] = MappingProxyType({}),
        *,
        replace_rules: bool = False,
    ) -> list[Manifest]:
        """Makes what a writer staged visible, together with its instruments.

        Args:
            seen: partitions that the staged ones were made from, as they were then (None: not there); one of which nothing is staged
                has no row left, and is removed. What is stored of other staged days is replaced, whatever it is.
            replace_rules: whether rules for orders, calendar and expiry that the catalog knows are forgotten where an instrument
                states none.
        Raises:
            CatalogError: a symbol is stored with another instrument, or another wrote one of `seen` meanwhile.
        """

        def records() -> list[tuple[Path, bytes]]:
            check_unchanged(self._layout, seen)
            known = self.instruments()
            for instrument in instruments:
                self._check_unchanged(instrument, known)
            new = {instrument.symbol: instrument for instrument in instruments}
            if not replace_rules:
                new = {symbol: one.filled_from(known[symbol]) if symbol in known else one for symbol, one in new.items()}
            merged = {**known, **new}
            if merged == known:
                return []
            return [(self._layout.instruments, _encode_instruments(merged))]

        staged = {each.manifest.partition for each in writer.staged}
        gone = [partition for partition, manifest in seen.items() if manifest is not None and partition not in staged]
        return writer.commit(records, gone)

    def write_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Stores instruments without rows, or new rules for orders, another calendar or an expiry of those that have some.

        Raises:
            CatalogError: a symbol is stored with another tick, lot, multiplier or currency.
        """
        with self.writer() as writer:
            self.commit(writer, list(instruments), replace_rules=True)

    def _instrument_to_write(self, symbol: str, instrument: Instrument | None) -> Instrument:
        known = self.instruments()
        if instrument is None:
            if symbol not in known:
                raise UnknownSymbol(f"the catalog does not know {symbol}; pass instrument=Instrument({symbol!r}, ...) once")
            return known[symbol]
        if instrument.symbol != symbol:
            raise InvalidParameter(f"rows of {symbol} cannot be stored with the instrument of {instrument.symbol}")
        self._check_unchanged(instrument, known)
        # The rows are screened by the rules that will be stored, whoever told them.
        return instrument.filled_from(known[symbol]) if symbol in known else instrument

    def _check_unchanged(self, instrument: Instrument, known: Mapping[str, Instrument]) -> None:
        """Steps, multiplier and currency hold for life; rules for orders, calendar and expiry may be told later, or change."""
        before = known.get(instrument.symbol)
        if before is None or not self.datasets(instrument.symbol):
            return
        if not before.has_steps_of(instrument):
            raise CatalogError(
                f"{instrument.symbol} is stored as {before}, which holds for the instrument's life; delete its rows before "
                f"storing it as {instrument}"
            )

    def delete(self, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None) -> int:
        """Removes the rows of a symbol between two times (`end` excluded; a lone date is that day; none: all).

        Bars go by the time when they began, as `bars` shows them. A day that the period cuts is written anew with the rows that are
        left, `sequence` counted from 0; its hash is then another.
        Each day goes in one step. What is left of a day of `mbo` whose beginning was removed is a book without a start.

        Returns:
            The number of partitions that were removed or cut.
        Raises:
            UnknownSymbol: where the catalog holds no rows of it.
            CorruptData: a day that the period cuts is not what was written. Days are removed whole without being read. The first bar
                of a day may have begun on the day before: a damaged day of bars goes with the bars in front of it.
            CatalogError: another wrote to a day that the period cuts meanwhile; it is as the other left it.
        """
        self._held(symbol)
        start_ns, end_ns = time_range(start, end)
        period = interval_of(start_ns, end_ns)
        return delete_rows(self, self._layout, self._disk, symbol, period)

    def consolidate(self, symbol: str | None = None) -> Consolidated:
        """Writes partitions that have more row groups than they need anew, and removes what killed writers left.

        Rows and hashes stay what they are. Files that others put into the catalog's folders are named and let be.

        Args:
            symbol: only this one; None: all.
        Raises:
            UnknownSymbol: where the catalog holds no rows of it. CorruptData: a partition is not what was written.
        """
        if symbol is not None:
            self._held(symbol)
        return consolidated(self, self._layout, [*self._all_readers()] if symbol is None else self.partitions(symbol))

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

    def write_actions(self, actions: Any) -> None:
        """Stores splits and dividends; of each symbol that is named, those stored before are forgotten. Rows stay as they are.

        Args:
            actions: a list of `Action`, a frame, or a CSV or Parquet file, with the columns `symbol, ex_date, kind` ("split" or
                "dividend") and `ratio` ("4:1") or `amount`, and `currency` and `close` (the price before it) where known.

        Raises:
            DataError: a row is no action, or a symbol has two of one kind on one day. The catalog is as it was.

        Example:
            >>> import cift, tempfile
            >>> from cift.domain.action import Action
            >>> catalog = cift.Catalog(tempfile.mkdtemp())
            >>> catalog.write_actions([Action("AAPL.XNAS", "2020-08-31", "split", ratio="4:1")])
            >>> catalog.actions().row(0)[:4]
            ('AAPL.XNAS', datetime.date(2020, 8, 31), 'split', '4:1')
        """
        given = read_actions(actions)
        with self.writer() as writer:
            writer.commit(lambda: [(self._layout.actions, encode_actions(replaced(self._actions(), given)))])

    def actions(self, symbol: str | None = None) -> pl.DataFrame:
        """The corporate actions that are stored, by symbol and day: symbol, ex_date, kind, ratio, amount, currency, close.

        Raises:
            CorruptData: where the table was changed.
        """
        return actions_frame([action for action in self._actions() if symbol in (None, action.symbol)])

    def _actions(self) -> list[Action]:
        try:
            data = self._layout.actions.read_bytes()
        except FileNotFoundError:
            return []
        return decode_actions(data, self._layout.actions)

    def price_before(self, symbol: str, before: TimeLike) -> Decimal:
        """The last price of a symbol before a time, exact: of the last session before it that has one, at most ten days back.

        The session's last print from its opening to before its closing time, or the mid of its last quote where nothing printed in
        it. A print at or behind the closing time is of no session: neither one after hours, which nothing tells apart, nor that of
        the closing auction, which venues stamp some instants later. Where the official price is wanted, give it yourself (`close` of
        an `Action`). Levels (`mbp`) are not read.

        Raises:
            UnknownSymbol: the catalog does not know it. DataError: there is none.
        """
        known = self.instruments()
        if symbol not in known:
            raise self._unknown(symbol)
        before_ns, _ = time_ns(before, "before")
        readers = {schema: list(self._readers(schema, symbol, before_ns - CLOSE_WITHIN_NS, before_ns)) for schema, _ in SOURCES}
        return close_before(known[symbol], readers, before_ns)

    def symbols(self) -> list[str]:
        """Symbols that have rows, sorted."""
        return sorted({symbol for dataset in self._layout.datasets() for symbol in self._layout.symbols(dataset)})

    def ls(self) -> pl.DataFrame:
        """One row per partition: schema, spec (of bars), symbol, date, rows, first and last time, bytes on disk."""
        import polars as pl

        found = [reader.manifest for reader in self._all_readers()]
        time = pl.Datetime("ns", "UTC")
        return pl.DataFrame(
            {
                "schema": [manifest.schema for manifest in found],
                "spec": pl.Series([manifest.spec for manifest in found], dtype=pl.String),
                "symbol": [manifest.symbol for manifest in found],
                "date": pl.Series([manifest.date for manifest in found], dtype=pl.String).str.to_date("%Y-%m-%d"),
                "rows": pl.Series([manifest.rows for manifest in found], dtype=pl.Int64),
                "first": pl.Series([manifest.first_ns for manifest in found], dtype=pl.Int64).cast(time),
                "last": pl.Series([manifest.last_ns for manifest in found], dtype=pl.Int64).cast(time),
                "bytes": pl.Series([manifest.file_bytes for manifest in found], dtype=pl.Int64),
            }
        )

    def describe(self, symbol: str) -> dict[str, Any]:
        """What is stored of a symbol: its instrument, and per schema (`bars/spec=1m` for bars) the days, rows, bytes, first and
        last time.

        Raises:
            UnknownSymbol: where the catalog holds no rows of it.
        """
        datasets = self._held(symbol)
        described: dict[str, Any] = {
            "symbol": symbol,
            "instrument": self.instruments()[symbol].to_dict(),
            "schemas": {},
        }
        for dataset in datasets:
            found = [reader.manifest for reader in self._readers(dataset, symbol)]
            described["schemas"][dataset] = {
                "days": len(found),
                "rows": sum(manifest.rows for manifest in found),
                "bytes": sum(manifest.file_bytes for manifest in found),
                "first": iso(found[0].first_ns),
                "last": iso(found[-1].last_ns),
                "content_hash": selection_hash(found[0].schema, [(manifest.date, manifest.content_hash) for manifest in found]),
            }
        return described

    def verify(self) -> int:
        """Reads every file in full and compares bytes and values with the manifests.

        Returns:
            The number of partitions read.
        Raises:
            CorruptData: where any differs; the message names each file that does.
        """
        self._actions()
        count, damages = self.damages()
        if damages:
            raise CorruptData("; and ".join(map(str, damages)))
        return count

    def damages(self) -> tuple[int, list[CorruptData | CatalogError]]:
        """Reads every file in full, as `verify`, and goes on after one that is damaged.

        Returns:
            The number of partitions, and what is wrong with those that are not what was written.
        """
        return damaged_files(self, self._layout)

    def content_hash(self, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None) -> dict[str, str]:
        """The hash of the values of a symbol's rows between two times, schema by schema (`bars/spec=1m` for bars).

        It is the hash that a run's fingerprint has for a feed of these rows, whatever files they lie in. (A feed of `mbo` begins
        with the first row of its first day, so give days there.)

        Args:
            start, end: as of `ticks`; of bars, as of `bars`.
        Raises:
            UnknownSymbol: where the catalog holds no rows of it. NoData: where it holds none of that period.
        """
        start_ns, end_ns = time_range(start, end)
        interval = interval_of(start_ns, end_ns)
        found: dict[str, list[PartitionReader]] = {}
        for reader in self.partitions(symbol, start_ns, end_ns):
            found.setdefault(reader.manifest.dataset, []).append(reader)
        hashes: dict[str, str] = {
            name: selection_hash("bars", days)
            for name, readers in found.items()
            if name.startswith("bars/") and (days := begun_hashes(readers, interval))
        }
        hashes |= {
            name: CatalogFeed(
                symbol, readers[0].manifest.schema, self.instruments()[symbol], tuple(readers), (interval,)
            ).content_hash
            for name, readers in found.items()
            if not name.startswith("bars/") and any(_holds(reader, (interval,)) for reader in readers)
        }
        if not hashes:
            raise NoData(self._no_data(symbol, [*found], start_ns, end_ns, None))
        return hashes

    def check(
        self, symbol: str | None = None, start: TimeLike | None = None, end: TimeLike | None = None, **options: Any
    ) -> Diagnosis:
        """Looks at what is stored of a symbol, or of all, and reports all that is wrong with it; see `cift.data.doctor.check`."""
        from cift.data.doctor import check

        return check(self, symbol, start, end, **options)

    def partitions(self, symbol: str, start: TimeLike | None = None, end: TimeLike | None = None) -> list[PartitionReader]:
        """Readers of the days of a symbol that lie between two dates, schema by schema (`end` excluded; a lone date is that day).

        Of bars also the day behind, where it holds bars that began before `end`: a bar belongs to the day of its end.

        Raises:
            UnknownSymbol: where the catalog holds no rows of it.
            NoData: where it holds none of that period.
        """
        datasets = self._held(symbol)
        start_ns, end_ns = time_range(start, end)
        found: list[PartitionReader] = []
        for dataset in datasets:
            if dataset.startswith("bars/"):
                found += days_of_begun(self._readers(dataset, symbol, start_ns), end_ns)
            else:
                found += self._readers(dataset, symbol, start_ns, end_ns)
        if not found:
            raise NoData(self._no_data(symbol, datasets, start_ns, end_ns, None))
        return found

    def datasets(self, symbol: str) -> list[str]:
        """The schemas that are stored of a symbol; bars with their spec, `bars/spec=1m`."""
        return [dataset for dataset in self._layout.datasets() if self._layout.dates(dataset, symbol)]

    def days(self, dataset: str, symbol: str) -> list[str]:
        """The days of a symbol that are stored in one schema (see `datasets`), "2026-01-05", sorted."""
        return [day for day in self._layout.dates(dataset, symbol) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", day)]

    def reader(self, dataset: str, symbol: str, date: str) -> PartitionReader:
        """The reader of one day.

        Raises:
            CorruptData: its manifest was changed. CatalogError: there is no such day.
        """
        manifest = self._layout.read(dataset, symbol, date)
        if manifest is None:
            raise CatalogError(f"{self.path} holds no {dataset} of {symbol} on {date}")
        return PartitionReader(self._layout.partition(dataset, symbol, date) / manifest.file, manifest)

    def sweep(self) -> list[Path]:
        """Removes what killed writers left behind; files that no manifest names are never read.

        Returns:
            The files removed. What others put into the catalog's folders is let be.
        """
        if not self._layout.private.exists():
            return []
        with locked(self._layout.lock):
            Staging.sweep(self._layout.staging)
            left, _ = unnamed_files(self._layout)
            for file in left:
                self._disk.remove(file)
        return left

    # ------------------------------------------------------------------ reading

    def ticks(
        self,
        symbols: str | Sequence[str],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        level: str | None = None,
        session: Session | None = None,
        adjust: str | None = None,
    ) -> Ticks:
        """A view of the symbols' records between two times.

        Args:
            symbols: one name or several.
            start: a date, an ISO text or a datetime, UTC unless it says otherwise; None: from the first record. A lone date
                (no `end`) is that day.
            end: excluded; None: to the last record.
            level: "L3" (order by order), "L2" (levels and trades) or "L1" (quotes and trades); None: the richest stored.
            session: opening and closing time of day with their zone, ("09:30", "16:00", "America/New_York"): only what
                happened within. On L3 and L2 for one session at a time, which then sets start and end.
            adjust: what becomes of prices and sizes before a corporate action of `write_actions` that lies within the view:
                "splits" or "all" (dividends too) makes them comparable with the last ones, as they are read (`cift.data.adjusted`);
                "raw" leaves them as traded; None: the same, and the view's notes say so.

        Quotes and trades are cut exactly. A feed of orders or levels always begins with the first record of the first UTC day,
        because the book before `start` has to be built; `start_ns` of the view says when the strategy begins.

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
        if level != "L1" and session is not None and wanted:
            start_ns, end_ns = single_session(wanted, level)
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
        view = Ticks(tuple(feeds), names, start_ns, end_ns, level, common_calendar(tuple(feeds)))
        actions = [action for action in self._actions() if action.symbol in names]
        return adjusted_view(expiry_noted(view), actions, adjust, self.price_before)

    def continuous(
        self,
        root: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        roll: Any = "volume",
        adjust: str | None = None,
        contracts: Sequence[str] | None = None,
        daily: Any = None,
    ) -> Continuous:
        """A future as one series over its stored contracts: a table of rolls, bars, and a view of quotes and trades.

        Which contract is the front on a day is decided by what was known before it; the contracts stay what is traded.

        Args:
            root: "ES" of ESH6.XCME, ESM6.XCME, ...; "ES.XCME" where several venues list it.
            start, end: as of `ticks`.
            roll: "volume", "open_interest", "expiry-5d", or a table of dates and symbols, a mapping or a frame (`cift.data.rolls`).
            adjust: what becomes of prices before a roll: "difference" adds the gap between the two contracts, "ratio" multiplies
                by their ratio, None leaves them.
            contracts: the symbols, first to last; None: all of the root, by month of delivery.
            daily: a frame of `date, symbol` and `volume` or `open_interest`, where these are not to be counted from prints.

        Raises:
            UnknownSymbol: there are no contracts of that root. NoData: nor rows of that period.
            InvalidParameter: a rule or table that is none, or an expiry that is not known.
            NotSupported: contracts that differ in tick, lot, multiplier, currency or calendar.
            DataError: a gap is asked for, and the catalog has no price of a contract before a roll.
        """
        from cift.data.continuous import continuous

        return continuous(self, root, start, end, roll, adjust, contracts, daily)

    def bars(
        self, symbol: str, spec: str | BarSpec, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Stored bars of one symbol, as the columns of `Ticks.bars` give them.

        Args:
            symbol: which one.
            spec: what ended them, as they were stored: "1m".
            start: bars that began at this time or later; None: from the first. A lone date (no `end`) is that day.
            end: bars that began before it; None: to the last.

        Raises:
            UnknownSymbol: where the catalog does not hold it.
            NoData: no such bars; the message says which there are.
            CorruptData: a file is not what was written.
        """
        from cift.data.bars import stored_frame

        wanted = dataset_name("bars", BarSpec.parse(spec).name)
        held = self._held(symbol)
        start_ns, end_ns = time_range(start, end)
        if wanted not in held:
            others = [name.partition("=")[2] for name in held if name.startswith("bars/")]
            raise NoData(
                f"no data: {symbol} has no stored bars of {BarSpec.parse(spec).name}"
                + (f", but of {', '.join(others)}" if others else "")
                + ("; `ticks(...).bars(spec)` makes them of records" if any("bars/" not in name for name in held) else "")
            )
        pieces = list(begun(self._readers(wanted, symbol, start_ns), start_ns, end_ns))
        if not pieces:
            raise NoData(self._no_data(symbol, [wanted], start_ns, end_ns, None))
        return stored_frame(join(pieces))

    def sql(
        self, text: str, parameters: Sequence[Any] | Mapping[str, Any] = (), *, tables: Mapping[str, Any] | None = None
    ) -> pl.DataFrame:
        """The rows of a SELECT over the stored schemas, by DuckDB.

        Args:
            text: one SELECT. Tables are `mbo`, `mbp`, `quotes`, `trades` and `bars`, as far as they are stored, with the columns
                of `cift.domain.schemas`, `symbol` and `date`, and for bars `spec`.
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
            schema: which kind of record, "trades", or "bars/1m"; may be left out where the symbol has one.
            start, end: as for `ticks`; orders from the first of their day, because the book is built from there; bars by the time
                when they began, as in `bars`.
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
        return choose_level({name: stored_levels(self._held(name)) for name in names}, asked)

    def _no_data(
        self, symbol: str, datasets: Sequence[str], start_ns: int | None, end_ns: int | None, session: Session | None
    ) -> str:
        held = [reader.manifest for dataset in datasets for reader in self._readers(dataset, symbol)]
        first, last = min(part.first_ns for part in held), max(part.last_ns for part in held)
        since = "the beginning" if start_ns is None else iso(start_ns)
        until = "the end" if end_ns is None else iso(end_ns)
        days = len({part.date for part in held})
        return (
            f"no data: {symbol} has no {' or '.join(datasets)} from {since} to {until}"
            + (f" in the session {session}" if session else "")
            + f"; the catalog holds {days} day{'s' * (days != 1)} of it, from {iso(first)} to {iso(last)}"
        )

    def _unknown(self, symbol: str) -> UnknownSymbol:
        held = self.symbols()
        if not held:
            return UnknownSymbol(f"{symbol} is not in the catalog: {self.path} holds no data; import some first")
        return UnknownSymbol(f"{symbol} is not in the catalog; {nearest_symbol(symbol, held)}")

    def _held(self, symbol: str) -> list[str]:
        """The datasets that have rows of a symbol.

        Raises:
            UnknownSymbol: where there is none.
        """
        datasets = self.datasets(symbol)
        if not datasets:
            raise self._unknown(symbol)
        return datasets

    def _all_readers(self) -> Iterator[PartitionReader]:
        for dataset in self._layout.datasets():
            for symbol in self._layout.symbols(dataset):
                yield from self._readers(dataset, symbol)

    def _readers(
        self, dataset: str, symbol: str, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[PartitionReader]:
        """Readers of the partitions whose day lies in the range, by date."""
        for date in self._layout.dates(dataset, symbol):
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
                continue
            day_ns, _ = time_ns(date, "date")
            if (start_ns is not None and day_ns + DAY_NS <= start_ns) or (end_ns is not None and day_ns >= end_ns):
                continue
            manifest = self._layout.read(dataset, symbol, date)
            if manifest is not None:
                yield PartitionReader(self._layout.partition(dataset, symbol, date) / manifest.file, manifest)

    def __repr__(self) -> str:
        symbols = self.symbols()
        shown = ", ".join(symbols[:5]) + (", ..." if len(symbols) > 5 else "")
        return f"<Catalog {self.path}: {len(symbols)} symbol{'s' * (len(symbols) != 1)}{': ' * bool(symbols)}{shown}>"


def nearest_symbol(symbol: str, held: Sequence[str]) -> str:
    """What a message about an unknown symbol ends with: the name that was meant, or some of those that there are."""
    near = difflib.get_close_matches(symbol, held, n=1, cutoff=0.5) or [
        name for name in held if name.partition(".")[0].lower() == symbol.partition(".")[0].lower()
    ]
    return f"did you mean {near[0]}?" if near else f"it holds {', '.join(held[:8])}{', ...' if len(held) > 8 else ''}"


def _spec_to_write(schema: SchemaName, spec: str | BarSpec | None) -> str | None:
    if (schema == "bars") != (spec is not None):
        raise InvalidParameter(
            "bars are stored by what ended them; pass spec= such as '1m'"
            if spec is None
            else f"spec= is for bars, not for {schema}"
        )
    return None if spec is None else BarSpec.parse(spec).name


def _encode_instruments(instruments: Mapping[str, Instrument]) -> bytes:
    return seal({symbol: instruments[symbol].to_dict() for symbol in sorted(instruments)})


def _holds(reader: PartitionReader, intervals: tuple[Interval, ...]) -> bool:
    """Whether any row of a partition lies in the intervals; rows are read only where the row groups' ends do not tell."""
    for group in reader.manifest.row_groups:
        for start_ns, end_ns in intervals:
            if start_ns <= group.first_ns < end_ns or start_ns <= group.last_ns < end_ns:
                return True
    return next(reader.groups(intervals), None) is not None
