"""Days of a catalog as one file for other tools."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cift.data.columns import length
from cift.data.exporters.databento import DbnCsvRows, DbnRows
from cift.data.exporters.tables import CsvRows, JsonRows, ParquetRows, Writer
from cift.data.hashing import selection_hash
from cift.data.levels import feed_intervals
from cift.data.output import COMPRESSIONS, compressed, output
from cift.data.reading import Interval, PartitionReader, interval_of
from cift.data.storage import Disk
from cift.data.stored_bars import begun, begun_hashes
from cift.data.times import TimeLike, time_range
from cift.domain.chunk import SchemaName
from cift.domain.schemas import check_schema
from cift.errors import InvalidParameter, NoData, UnknownName

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".dbn": "dbn"}
FORMATS = ("parquet", "csv", "jsonl", "dbn", "dbn-csv")


@dataclass(frozen=True)
class ExportReport:
    """The outcome of an export.

    Args:
        path: the file. format: what it holds.
        symbol, schema: of its rows.
        rows: how many. bytes: of the file.
        content_hash: of the rows' values, as a catalog that imports the file again tells it for whole days.
        elapsed_s: seconds that it took.
        notes: what the format has no place for, a sentence each.
    """

    path: Path
    format: str
    symbol: str
    schema: str
    rows: int
    bytes: int
    content_hash: str
    elapsed_s: float
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        told = f"{self.symbol} {self.schema} -> {self.path}: {self.rows:,} rows, {self.bytes:,} bytes of {self.format}"
        return "\n".join([f"{told}, {self.elapsed_s:.2f} s", *(f"  note: {note}" for note in self.notes)])


def export(
    catalog: Catalog,
    to: str | Path,
    *,
    symbol: str | None = None,
    schema: str | None = None,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    format: str | None = None,  # noqa: A002 (what everybody calls it)
    overwrite: bool = False,
    disk: Disk | None = None,
) -> ExportReport:
    """Writes rows of one symbol and schema as one file, a row group at a time; see `Catalog.export`."""
    started = time.perf_counter()
    path = Path(to)
    _refuse_server(to)
    kind, suffix = _format(path, format)
    symbol = _symbol(catalog, symbol)
    name, readers = _readers(catalog, symbol, schema, start, end)
    start_ns, end_ns = time_range(start, end)
    wanted = interval_of(start_ns, end_ns)
    (interval,) = feed_intervals(name, (wanted,))
    if name == "bars":
        pieces = begun(readers, start_ns, end_ns)
    else:
        readers = [
            reader for reader in readers if reader.manifest.last_ns >= interval[0] and reader.manifest.first_ns < interval[1]
        ]
        pieces = (columns for reader in readers for columns in reader.groups((interval,), every_column=True))
    rows = 0
    with output(path, overwrite=overwrite, disk=disk) as file, compressed(file, suffix) as stream:
        writer: Writer | None = None
        for columns in pieces:
            if writer is None:
                writer = _writer(kind, stream, name, symbol, (readers[0].manifest.first_ns, readers[-1].manifest.last_ns))
            writer.write(columns)
            rows += length(columns)
        if writer is None:
            raise NoData(f"no data: {symbol} has no {name} in this period; nothing was written")
        notes = writer.finish()
    hashes = begun_hashes(readers, wanted) if name == "bars" else _hashes(readers, interval)
    total = selection_hash(name, hashes)
    elapsed_s = time.perf_counter() - started
    return ExportReport(path, kind, symbol, name, rows, file.bytes_written, total, elapsed_s, notes)


def _hashes(readers: Sequence[PartitionReader], interval: Interval) -> list[tuple[str, str]]:
    hashes = [(reader.manifest.date, reader.content_hash((interval,))) for reader in readers]
    return [(date, value) for date, value in hashes if value is not None]


def _refuse_server(to: str | Path) -> None:
    if str(to).startswith("questdb:"):
        raise InvalidParameter(f"{to} is a server: `cift data load CATALOG --to {to}` (QuestDB.load) loads a catalog into it")


def _format(path: Path, asked: str | None) -> tuple[str, str]:
    """The format, and the suffix that names its compression."""
    suffix = path.suffix if path.suffix in COMPRESSIONS else ""
    stem = path.with_suffix("") if suffix else path
    if asked is not None and asked not in FORMATS:
        raise UnknownName(f"format {asked!r} is not known; choose one of {', '.join(FORMATS)}")
    kind = asked or SUFFIXES.get(stem.suffix)
    if kind is None:
        raise InvalidParameter(
            f"{path.name} does not say its format; name it .parquet, .csv, .jsonl or .dbn (.gz or .zst behind, but for Parquet), "
            f"or pass format= one of {', '.join(FORMATS)}"
        )
    if kind == "parquet" and suffix:
        raise InvalidParameter(f"{path.name}: Parquet is compressed inside; leave out {suffix}")
    if kind == "dbn" and suffix == ".gz":
        raise InvalidParameter(f"{path.name}: DBN is plain or .zst")
    return kind, suffix


def _symbol(catalog: Catalog, symbol: str | None) -> str:
    if symbol is not None:
        return symbol
    held = catalog.symbols()
    if len(held) != 1:
        told = f"it holds {', '.join(held[:8])}{', ...' if len(held) > 8 else ''}" if held else "it holds no data"
        raise InvalidParameter(f"say which symbol (symbol=, --symbol); {told}")
    return held[0]


def _readers(
    catalog: Catalog, symbol: str, schema: str | None, start: TimeLike | None, end: TimeLike | None
) -> tuple[SchemaName, list[PartitionReader]]:
    name, _, spec = (schema or "").partition("/")
    if schema is not None:
        check_schema(name)
    found = catalog.partitions(symbol, start, end)
    held = {_name(reader): reader.manifest.schema for reader in found}
    named = [one for one, kind in held.items() if schema in (None, one) or (kind == name and not spec)]
    if not named:
        raise NoData(f"no data: {symbol} has no {schema} in this period; it has {', '.join(held)}")
    if len(named) > 1:
        raise InvalidParameter(f"{symbol} has {', '.join(named)}, and a file holds one; pass schema= (--schema)")
    (wanted,) = named
    return held[wanted], [reader for reader in found if _name(reader) == wanted]


def _name(reader: PartitionReader) -> str:
    """What a partition's schema is called here: bars by what ended them, "bars/1m"."""
    manifest = reader.manifest
    return manifest.schema if manifest.spec is None else f"{manifest.schema}/{manifest.spec}"


def _writer(kind: str, stream: IO[bytes] | Any, schema: SchemaName, symbol: str, ends: Interval) -> Writer:
    if kind == "dbn":
        return DbnRows(stream, schema, symbol, *ends)
    rows: dict[str, Any] = {"parquet": ParquetRows, "csv": CsvRows, "jsonl": JsonRows, "dbn-csv": DbnCsvRows}
    writer: Writer = rows[kind](stream, schema, symbol)
    return writer
