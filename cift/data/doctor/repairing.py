"""`repair`: a mended copy beside data that is never touched, with every change written down.

The steps, in this order, so that mending what was mended changes nothing more:

1. rows that no catalog takes (`IMPOSSIBLE`) go into quarantine; a quote's side of size 0, or of price 0 and size 0, becomes a
   missing one; -0.0 becomes 0.0; a `ts_recv` out of our age is flagged BAD_TS_RECV;
2. rows that go back in time are sorted to their place; rows of one time stay in the order in which they came;
3. price jumps go into quarantine (of orders they are flagged, since a print left out would be missing beside its fill);
4. rows that repeat the one above go;
5. crossed and locked quotes, outliers, and prints outside the quote (where the catalog holds the quotes) are flagged SUSPECT.

Where a row that ended an event is left out, the row before ends it.

A series of one symbol and schema is held in memory.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cift.data.columns import Array, RawColumns, join, length, moved_ends, to_arrow
from cift.data.doctor.casebook import Batch, moment
from cift.data.doctor.checking import opened
from cift.data.doctor.examination import Examination
from cift.data.doctor.kinds import IMPOSSIBLE
from cift.data.doctor.sources import Origin, Reading, Trouble
from cift.data.frames import number_rows
from cift.data.importers.tables import Times, Where
from cift.data.screen import EARLIEST_NS, LATEST_NS, choose
from cift.data.times import TimeLike
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument, Number
from cift.domain.schemas import (
    BAD_TS_RECV,
    NO_TIME_NS,
    PRICE_COLUMNS,
    SIZE_COLUMNS,
    SUSPECT,
    TIME_COLUMNS,
    WORD_CODES,
    arrow_schema,
)
from cift.errors import CatalogError, CorruptData, InvalidParameter, NoData

if TYPE_CHECKING:
    import datetime as dt

    import polars as pl

    from cift.data.catalog import Catalog

MARKED = ("crossed_quote", "locked_quote", "outlier", "outside_quote")
_LETTING_PASS = {"price_jump": "pass", "duplicate": "pass", "crossed_quote": "pass", "locked_quote": "pass"}
"""What the screen is told where the repaired rows are stored: these kinds were dealt with."""


@dataclass(frozen=True, eq=False)
class Repaired:
    """What a repair did.

    Args:
        path: the mended copy: a catalog's folder, or a Parquet file.
        quarantine_path, repairs_path: Parquet files beside it, of the rows left out and of all changes; None where there are none.
        rows_read, rows_written: how many rows came in and went out.
        counts: changes by kind.
        repairs: every change: symbol, schema, source, row (as the source counts), kind, action (left_out, moved, changed,
            flagged), before, after.
    """

    path: Path
    quarantine_path: Path | None
    repairs_path: Path | None
    rows_read: int
    rows_written: int
    counts: Mapping[str, int]
    repairs: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the frame of changes."""
        names = ("path", "quarantine_path", "repairs_path", "rows_read", "rows_written")
        return {name: getattr(self, name) for name in names} | {"counts": dict(self.counts)}

    def __repr__(self) -> str:
        lines = [f"repaired: {self.path}, {self.rows_written:,} of {self.rows_read:,} rows"]
        lines += [f"  {kind:<16} {count:>12,}" for kind, count in self.counts.items()]
        lines += [f"  {path}" for path in (self.quarantine_path, self.repairs_path) if path is not None]
        return "\n".join(lines)


def repair(
    source: Any,
    to: str | Path | None = None,
    symbol: str | None = None,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    *,
    schema: str | None = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str = "ns",
    timezone: str = "UTC",
    date: str | dt.date | None = None,
    names: Sequence[str] | None = None,
    delimiter: str = ",",
    where: Where | None = None,
    instrument: Instrument | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    calendar: str | None = None,
    policies: Mapping[str, str] | None = None,
) -> Repaired:
    """Writes a mended copy of a catalog or a file. The original is never touched.

    Args:
        source: as of `check`: a catalog or its folder, or one file.
        to: where the copy goes; nothing may be there yet. None: beside a file, `x.repaired.parquet`. A catalog needs one, and so
            does a file in it, whose copy lies outside.

    The copy of a catalog has its instruments and corporate actions too (with `symbol`, those of this one).

    The other arguments are those of `check`. A file's copy is Parquet with the columns of its schema, also where the file is one of
    a catalog; columns that the schema does not have are left out.

    Raises:
        InvalidParameter: `to` is missing, exists, or lies in the original.
        CorruptData: the original is damaged; restore it first. NoData: no row is left.
        DataError: as `check`.

    Example:
        >>> from cift.data.doctor import repair
        >>> repair("ticks.parquet")  # doctest: +SKIP
    """
    passed = {kind for kind, policy in choose(policies).items() if policy == "pass" and kind in (policies or {})}
    times = Times(time_unit, timezone, date)
    reading = Reading(schema, symbol, columns, times, names, delimiter, where, tick_size, lot_size, calendar, instrument)
    name, origins, troubles = opened(source, symbol, start, end, reading)
    if troubles:
        raise CorruptData(f"{troubles[0].source}: {troubles[0].text}; what cannot be read cannot be repaired")
    folder = origins[0].folder if origins else None
    is_catalog = folder is not None and not (isinstance(source, (str, Path)) and Path(source).expanduser().is_file())
    if not is_catalog and len(origins) > 1:
        raise InvalidParameter("one file is repaired at a time; import several into a catalog and repair that")
    target = _target(name, folder, to, is_catalog=is_catalog)
    ledger = _Ledger()
    mended = _mended(origins, passed, ledger)
    if folder is not None and is_catalog:
        written = _write_catalog(target, mended, passed, folder, symbol)
    else:
        written = _write_file(target, next(mended))
    return ledger.finish(target, written)


def _target(name: str, folder: Path | None, to: str | Path | None, *, is_catalog: bool) -> Path:
    """Where the copy goes.

    Args:
        folder: of the catalog that is repaired, or of which one file is.
    Raises:
        InvalidParameter: where something lies there, or it is inside of what is read.
    """
    if to is None:
        if folder is not None or name == "frame":
            raise InvalidParameter("say where the repaired copy goes: to= (on the command line --to NEW)")
        source = Path(name).expanduser()
        stem = source.name.removesuffix(".parquet").partition(".csv")[0]
        to = source.with_name(f"{stem}.repaired.parquet")
    target = Path(to).expanduser().absolute()
    if target.exists() or target.is_symlink():
        raise InvalidParameter(f"{target} exists; a repair writes a new version and replaces nothing, so name another place")
    if not is_catalog and target.suffix != ".parquet":
        raise InvalidParameter(f"the repaired copy of a file is Parquet; call it {target.with_suffix('.parquet').name}")
    if folder is not None and target.resolve().is_relative_to(folder.resolve()):
        raise InvalidParameter(f"{target} lies in the catalog that is repaired; name a place outside of it")
    for beside in _beside(target):
        if beside.exists() or beside.is_symlink():
            raise InvalidParameter(f"{beside} exists; it would hold what this repair leaves out or changes, so move it away")
    return target


def _beside(target: Path) -> tuple[Path, Path]:
    stem = target.name.removesuffix(".parquet")
    return target.with_name(f"{stem}.quarantine.parquet"), target.with_name(f"{stem}.repairs.parquet")


# ---------------------------------------------------------------------- what is changed


@dataclass
class _Series:
    """The rows of one symbol and schema on their way to being mended."""

    origin: Origin
    columns: RawColumns
    sources: Array
    numbers: Array

    def take(self, which: Array) -> _Series:
        return _Series(
            self.origin,
            {name: array[which] for name, array in self.columns.items()},
            self.sources[which],
            self.numbers[which],
        )

    def found(self, passed: set[str], quotes: RawColumns | None = None) -> Examination:
        """What the doctor finds in the rows as they are now, with the place of each."""
        origin = self.origin
        stream = None if quotes is None else iter([Batch("", np.arange(length(quotes)), quotes)])
        examination = Examination(
            origin.symbol, origin.schema, origin.instrument, passed=passed, quotes=stream, every_row=True, examples=0
        )
        if length(self.columns):
            examination.look(Batch("", np.arange(length(self.columns)), self.columns))
        examination.finish()
        return examination


def _mended(origins: Sequence[Origin], passed: set[str], ledger: _Ledger) -> Iterator[_Series]:
    """Each series, mended; quotes first, for prints to be compared with."""
    quotes: dict[str, RawColumns] = {}
    for origin in sorted(origins, key=lambda origin: origin.schema != "quotes"):
        series = _read(origin)
        ledger.rows_read += length(series.columns)
        if origin.grid_inferred:
            # A guess condemns no row.
            origin.instrument = None
        _normalise(series, ledger)
        examination = series.found(passed)
        bad = {kind: examination.book.places(kind) for kind in IMPOSSIBLE}
        if origin.schema == "quotes":
            bad.pop("zero_size")  # a missing side by now
        series = _leave_out(series, bad, ledger)
        series = _sorted(series, ledger)
        jumps = series.found(passed).book.places("price_jump")
        if origin.schema == "mbo":
            _flag(series, "price_jump", jumps, ledger)
        else:
            series = _leave_out(series, {"price_jump": jumps}, ledger)
        series = _leave_out(series, {"duplicate": series.found(passed).book.places("duplicate")}, ledger)
        held = quotes.get(origin.symbol) if origin.schema == "trades" and origin.folder is not None else None
        last = series.found(passed, held).book
        for kind in MARKED:
            if kind not in passed:
                _flag(series, kind, last.places(kind), ledger)
        if origin.schema == "quotes" and origin.folder is not None:
            quotes[origin.symbol] = series.columns
        yield series


def _read(origin: Origin) -> _Series:
    pieces, sources, numbers = [], [], []
    for item in origin.read():
        if isinstance(item, Trouble):
            raise CorruptData(f"{item.source}: {item.text}; what cannot be read cannot be repaired")
        pieces.append(item.columns)
        sources.append(np.full(item.rows, item.source, dtype=object))
        numbers.append(item.numbers)
    if not pieces:
        raise NoData(f"there are no {origin.schema} of {origin.symbol} to repair")
    columns = {name: np.array(array) for name, array in join(pieces).items()}
    return _Series(origin, columns, np.concatenate(sources), np.concatenate(numbers))


def _normalise(series: _Series, ledger: _Ledger) -> None:
    columns, schema = series.columns, series.origin.schema
    received = columns.get("ts_recv", np.full(length(columns), NO_TIME_NS))
    bad = (received != NO_TIME_NS) & ((received < EARLIEST_NS) | (received >= LATEST_NS))
    _flag(series, "bad_ts_recv", np.flatnonzero(bad), ledger, BAD_TS_RECV)
    for name in (*PRICE_COLUMNS[schema], *SIZE_COLUMNS[schema]):
        negative = (columns[name] == 0) & np.signbit(columns[name])
        _change(series, "negative_zero", {name: (negative, 0.0)}, ledger)
    if schema != "quotes":
        return
    sides = {}
    for side in ("bid", "ask"):
        price, size = columns[f"{side}_price"], columns[f"{side}_size"]
        zero = (price == 0) & ((size == 0) | np.isnan(size))
        sides[side] = zero, (size == 0) & (price != 0) & ~np.isnan(price), np.isnan(price) & np.isnan(size)
    both = sides["bid"][0] & sides["ask"][0]
    for side, (zero, sizeless, nothing) in sides.items():
        for kind, hits in (("zero_quote", zero & both), ("zero_size", sizeless | (zero & ~both)), ("missing_side", nothing)):
            _change(series, kind, {f"{side}_price": (hits, np.nan), f"{side}_size": (hits, 0.0)}, ledger)


def _change(series: _Series, kind: str, values: Mapping[str, tuple[Array, float]], ledger: _Ledger) -> None:
    for name, (hits, value) in values.items():
        old = series.columns[name]
        at = np.flatnonzero(
            hits & ~((old == value) & (np.signbit(old) == np.signbit(value))) & ~(np.isnan(old) & np.isnan(value))
        )
        if len(at):
            before = [f"{name} {old[index].item()!r}" for index in at.tolist()]
            ledger.add(series, at, kind, "changed", before, [f"{name} {value!r}"] * len(at))
            old[at] = value


def _flag(series: _Series, kind: str, at: Array, ledger: _Ledger, bit: int = SUSPECT) -> None:
    if "flags" not in series.columns:
        return  # bars have none
    flags = series.columns["flags"]
    at = at[(flags[at] & bit) == 0]
    if len(at):
        before = [f"flags {value}" for value in flags[at].tolist()]
        flags[at] |= bit
        ledger.add(series, at, kind, "flagged", before, [f"flags {value}" for value in flags[at].tolist()])


def _leave_out(series: _Series, found: Mapping[str, Array], ledger: _Ledger) -> _Series:
    keep = np.ones(length(series.columns), dtype=bool)
    for kind, places in found.items():
        at = places[keep[places]]
        if len(at):
            keep[at] = False
            ledger.leave_out(series, at, kind)
    if keep.all():
        return series
    if "flags" in series.columns:
        _hand_on_ends(series, keep, ledger)
    return series.take(keep)


def _hand_on_ends(series: _Series, keep: Array, ledger: _Ledger) -> None:
    """Lets the row before end the event of a row that is left out."""
    flags = series.columns["flags"]
    moved = moved_ends(flags, keep)
    at = np.flatnonzero(keep & (moved != flags))
    if len(at):
        told = [[f"flags {value}" for value in values[at].tolist()] for values in (flags, moved)]
        ledger.add(series, at, "open_event", "changed", *told)
        series.columns["flags"] = moved


def _sorted(series: _Series, ledger: _Ledger) -> _Series:
    times = series.columns["ts_event"]
    if not len(times):
        return series
    late = np.flatnonzero(times < np.maximum.accumulate(times))
    if not len(late):
        return series
    order = np.argsort(times, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    said = [f"behind {moment(int(value))}" for value in np.maximum.accumulate(times)[late].tolist()]
    ledger.add(series, late, "time_back", "moved", said, [f"to place {value} by time" for value in place[late].tolist()])
    return series.take(order)


@dataclass
class _Ledger:
    """Every change, and every row left out."""

    rows_read: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _changes: list[dict[str, Any]] = field(default_factory=list)
    _out: dict[SchemaName, list[tuple[str, Array, Array, str, RawColumns]]] = field(default_factory=dict)

    def add(self, series: _Series, at: Array, kind: str, action: str, before: Sequence[str], after: Sequence[str]) -> None:
        self.counts[kind] += len(at)
        rows = len(at)
        self._changes.append(
            {
                "symbol": [series.origin.symbol] * rows,
                "schema": [series.origin.schema] * rows,
                "source": series.sources[at].tolist(),
                "row": series.numbers[at].tolist(),
                "kind": [kind] * rows,
                "action": [action] * rows,
                "before": list(before),
                "after": list(after),
            }
        )

    def leave_out(self, series: _Series, at: Array, kind: str) -> None:
        self.add(series, at, kind, "left_out", ["as in the quarantine"] * len(at), [""] * len(at))
        columns = {name: array[at] for name, array in series.columns.items()}
        held = self._out.setdefault(series.origin.schema, [])
        held.append((series.origin.symbol, series.sources[at], series.numbers[at], kind, columns))

    def finish(self, target: Path, rows_written: int) -> Repaired:
        """Writes the two files beside the copy."""
        import polars as pl

        names = ("symbol", "schema", "source", "row", "kind", "action", "before", "after")
        frames = [pl.DataFrame(change) for change in self._changes]
        types = {name: pl.Int64 if name == "row" else pl.String for name in names}
        repairs = pl.concat(frames) if frames else pl.DataFrame(schema=types)
        quarantine_path, repairs_path = _beside(target)
        quarantine = self._quarantine()
        if quarantine is not None:
            pq.write_table(quarantine, quarantine_path, compression="zstd", write_page_checksum=True)
        if repairs.height:
            pq.write_table(repairs.to_arrow(), repairs_path, compression="zstd", write_page_checksum=True)
        return Repaired(
            path=target,
            quarantine_path=None if quarantine is None else quarantine_path,
            repairs_path=repairs_path if repairs.height else None,
            rows_read=self.rows_read,
            rows_written=rows_written,
            counts=dict(sorted(self.counts.items())),
            repairs=repairs,
        )

    def _quarantine(self) -> pa.Table | None:
        tables = []
        for schema, pieces in self._out.items():
            for symbol, sources, numbers, kind, columns in pieces:
                rows = length(columns)
                table = _as_they_were(schema, columns)
                for name, values in (
                    ("kind", [kind] * rows),
                    ("row", numbers),
                    ("source", sources.tolist()),
                    ("schema", [schema] * rows),
                    ("symbol", [symbol] * rows),
                ):
                    table = table.add_column(0, name, pa.array(values))
                tables.append(table)
        return pa.concat_tables(tables, promote_options="default") if tables else None


def _as_they_were(schema: SchemaName, columns: RawColumns) -> pa.Table:
    """Rows that the stored schema may not allow, in its columns, each of which may be null."""
    arrays, names = [], []
    for each in arrow_schema(schema):
        raw = columns[each.name]
        if each.name in WORD_CODES:
            words = {code: word for word, code in WORD_CODES[each.name].items()}
            arrays.append(pa.array([words.get(code) for code in raw.tolist()], pa.string()))
        elif each.name in TIME_COLUMNS:
            arrays.append(pa.array(raw, mask=raw == NO_TIME_NS).cast(each.type))
        else:
            missing = raw == NO_TIME_NS if each.name in ("venue_seq", "count") else np.zeros(len(raw), dtype=bool)
            arrays.append(pa.array(raw, mask=missing))
        names.append(each.name)
    return pa.Table.from_arrays(arrays, names=names)


# ---------------------------------------------------------------------- what is written


def _write_catalog(target: Path, mended: Iterator[_Series], passed: set[str], source: Path, symbol: str | None) -> int:
    from cift.data.catalog import Catalog

    original = Catalog(source)
    try:
        catalog = Catalog(target)
        # Those without rows too: a future to come, or an index that others are told by.
        catalog.write_instruments(one for name, one in original.instruments().items() if symbol in (None, name))
        # Not by way of a frame, whose figures are floats: these are exact.
        actions = [action for action in original._actions() if symbol in (None, action.symbol)]
        if actions:
            catalog.write_actions(actions)
        return _fill(catalog, mended, {**_LETTING_PASS, **dict.fromkeys(passed, "pass")})
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)  # it was not there before
        raise


def _fill(catalog: Catalog, mended: Iterator[_Series], policies: dict[str, str]) -> int:
    rows = 0
    for series in mended:
        if not length(series.columns):
            continue
        origin = series.origin
        if origin.instrument is None:
            raise CatalogError(f"the catalog does not know the instrument of {origin.symbol}; restore instruments.json")
        report = catalog.write(
            origin.schema, origin.symbol, series.columns, origin.instrument, policies=policies, spec=_spec_of(origin)
        )
        rows += report.rows_written
    if not rows:
        raise NoData("no row passed the repair; nothing was written")
    return rows


def _spec_of(origin: Origin) -> str | None:
    _, of_bars, spec = (origin.name or "").partition("/spec=")
    return unquote(spec) if of_bars else None


def _write_file(target: Path, series: _Series) -> int:
    schema, columns = series.origin.schema, number_rows(series.columns)
    if not length(columns):
        raise NoData("no row passed the repair; nothing was written")
    metadata = {"cift.schema": schema, "cift.symbol": series.origin.symbol}
    table = to_arrow(schema, columns).replace_schema_metadata(metadata)
    part = target.with_name(f"{target.name}.part")
    pq.write_table(table, part, compression="zstd", write_page_checksum=True)
    part.rename(target)
    return length(columns)
