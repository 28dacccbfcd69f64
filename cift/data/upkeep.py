"""Upkeep of a catalog: what is rewritten, how, and what is said of it. `Catalog` has the methods that people call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.data.columns import RawColumns
from cift.data.manifest import OWN_FILE, Layout, Manifest, Partition
from cift.data.reading import ALWAYS, Interval, PartitionReader
from cift.data.storage import Disk, locked
from cift.data.stored_bars import bars_touched
from cift.data.times import DAY_NS, time_ns
from cift.data.writing import ROWS_PER_GROUP, PartitionWriter, clear_folder
from cift.domain.schemas import SCHEMAS
from cift.errors import CatalogError, CorruptData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog


@dataclass(frozen=True)
class Consolidated:
    """What `Catalog.consolidate` did.

    Args:
        partitions: how many were written anew; their rows and their hash are what they were.
        row_groups_before, row_groups_after, bytes_before, bytes_after: of these partitions.
        removed: files that killed writers had left.
        foreign: Parquet files in the catalog's folders that it did not write. They are let be, and never read by the catalog;
            other tools that read the folder take them for rows of it.
    """

    partitions: int
    row_groups_before: int
    row_groups_after: int
    bytes_before: int
    bytes_after: int
    removed: tuple[Path, ...]
    foreign: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "removed": [*map(str, self.removed)], "foreign": [*map(str, self.foreign)]}

    def __repr__(self) -> str:
        lines = [
            f"{self.partitions} partition{'s' * (self.partitions != 1)} written anew: {self.row_groups_before:,} row groups are "
            f"{self.row_groups_after:,}, {self.bytes_before:,} bytes are {self.bytes_after:,}",
            f"{len(self.removed)} file{'s' * (len(self.removed) != 1)} of killed writers removed",
        ]
        lines += [f"not of this catalog, let be: {path}" for path in self.foreign]
        return "\n".join(lines)


def delete_rows(catalog: Catalog, layout: Layout, disk: Disk, symbol: str, period: Interval) -> int:
    """Removes the rows of a symbol in a period, see `Catalog.delete`; how many partitions were removed or cut."""
    whole: list[tuple[str, str]] = []
    cut: list[PartitionReader] = []
    emptied: list[PartitionReader] = []
    with catalog.writer() as writer:
        for dataset in catalog.datasets(symbol):
            touched = bars_touched if dataset.startswith("bars/") else _rows_touched
            for date, reader, left in touched(catalog, dataset, symbol, period):
                if reader is None:
                    whole.append((dataset, date))
                    continue
                gone = rewrite(writer, reader, left)
                if gone == reader.manifest.rows:
                    emptied.append(reader)
                elif gone:
                    cut.append(reader)
        if cut or emptied:
            # Those of which nothing is left go with it; rows that came since they were read are not in the period.
            catalog.commit(writer, [], seen_in([*cut, *emptied]))
    with locked(layout.lock):
        removed = [_remove(layout, disk, dataset, symbol, date) for dataset, date in whole]
    return sum(removed) + len(cut) + len(emptied)


def _rows_touched(
    catalog: Catalog, dataset: str, symbol: str, period: Interval
) -> Iterator[tuple[str, PartitionReader | None, Iterable[RawColumns]]]:
    """The days of records that a period touches: date, reader (None: the whole day goes, unread) and the rows that are to be left."""
    first, stop = period
    for date in catalog.days(dataset, symbol):
        day_ns, _ = time_ns(date, "date")
        if day_ns + DAY_NS <= first or day_ns >= stop:
            continue
        if first <= day_ns and day_ns + DAY_NS <= stop:
            yield date, None, ()
            continue
        reader = catalog.reader(dataset, symbol, date)
        yield date, reader, reader.groups(((ALWAYS[0], first), (stop, ALWAYS[1])), every_column=True)


def _remove(layout: Layout, disk: Disk, dataset: str, symbol: str, date: str) -> bool:
    """Removes a partition, and nothing that others put into its folder; False where another has removed it."""
    place = layout.manifest(dataset, symbol, date)
    if not place.exists():
        return False
    # Without its manifest the partition is gone; its file is then only space to free.
    disk.remove(place)
    disk.sync_folder(place.parent)
    clear_folder(layout, disk, dataset, symbol, date)
    return True


def consolidated(catalog: Catalog, layout: Layout, readers: Sequence[PartitionReader]) -> Consolidated:
    """Writes those partitions anew that have more row groups than they need, and sweeps; see `Catalog.consolidate`."""
    scattered = [reader for reader in readers if is_scattered(reader.manifest)]
    written: list[Manifest] = []
    for reader in scattered:
        with catalog.writer() as writer:
            rewrite(writer, reader)
            written += catalog.commit(writer, [], seen_in([reader]))
    removed = catalog.sweep()
    return Consolidated(
        partitions=len(scattered),
        row_groups_before=sum(len(reader.manifest.row_groups) for reader in scattered),
        row_groups_after=sum(len(manifest.row_groups) for manifest in written),
        bytes_before=sum(reader.manifest.file_bytes for reader in scattered),
        bytes_after=sum(manifest.file_bytes for manifest in written),
        removed=tuple(removed),
        foreign=tuple(unnamed_files(layout)[1]),
    )


def damaged_files(catalog: Catalog, layout: Layout) -> tuple[int, list[CorruptData | CatalogError]]:
    """How many partitions there are, and what is wrong with those that are not what was written; see `Catalog.damages`."""
    damages: list[CorruptData | CatalogError] = []
    try:
        catalog.instruments()
    except CorruptData as error:
        damages.append(error)
    count = 0
    for dataset in layout.datasets():
        for symbol in layout.symbols(dataset):
            for date in layout.dates(dataset, symbol):
                count += 1
                try:
                    catalog.reader(dataset, symbol, date).verify()
                except (CorruptData, CatalogError) as error:
                    damages.append(error)
    return count, damages


def is_scattered(manifest: Manifest) -> bool:
    """Whether a partition has more row groups than its rows need."""
    return len(manifest.row_groups) > -(-manifest.rows // ROWS_PER_GROUP)


def unnamed_files(layout: Layout) -> tuple[list[Path], list[Path]]:
    """Parquet files in the data folders that no manifest names: the catalog's own, and those of others.

    Raises:
        CorruptData: a manifest was changed.
    """
    own: list[Path] = []
    foreign: list[Path] = []
    named = {
        layout.partition(dataset, symbol, date) / manifest.file
        for dataset in layout.datasets()
        for symbol in layout.symbols(dataset)
        for date in layout.dates(dataset, symbol)
        if (manifest := layout.read(dataset, symbol, date)) is not None
    }
    for schema in SCHEMAS:
        for path in sorted((layout.root / schema).rglob("*.parquet")):
            if path not in named:
                (own if OWN_FILE.fullmatch(path.name) else foreign).append(path)
    return own, foreign


def rewrite(writer: PartitionWriter, reader: PartitionReader, rows: Iterable[RawColumns] | None = None) -> int:
    """Stages a partition anew with those of its rows that are to be left (None: all), `sequence` counted from 0; how many are gone.

    Where none is gone though some were to go, or none is left, nothing is staged.

    Raises:
        CorruptData: the partition is not what was written; nothing is staged then.
    """
    manifest = reader.manifest
    before = len(writer.staged)
    kept = reader.groups((ALWAYS,), every_column=True) if rows is None else rows
    writer.add(manifest.schema, manifest.symbol, kept, manifest.spec)
    staged = writer.staged[before:]
    left = sum(each.manifest.rows for each in staged)
    if rows is None:
        if [each.manifest.content_hash for each in staged] != [manifest.content_hash]:
            raise CorruptData(
                f"{reader.path}: its values are not those that were written; restore the file, or import the day again"
            )
    elif left == manifest.rows:
        del writer.staged[before:]
    return manifest.rows - left


def check_unchanged(layout: Layout, seen: Mapping[Partition, Manifest | None]) -> None:
    """Sees, under the catalog's lock, that partitions are still what they were when they were looked at; None: not there.

    Raises:
        CatalogError: where another writer was faster.
    """
    for (dataset, symbol, date), manifest in seen.items():
        if layout.read(dataset, symbol, date) != manifest:
            raise CatalogError(f"{dataset} of {symbol} on {date} was written by another while it was read; call again")


def seen_in(readers: Iterable[PartitionReader]) -> dict[Partition, Manifest | None]:
    """What readers read, for `check_unchanged`."""
    return {reader.manifest.partition: reader.manifest for reader in readers}


def with_first(batches: Iterator[RawColumns]) -> tuple[RawColumns | None, Iterator[RawColumns]]:
    """The first batch that has rows (None: there is none), and all that has rows, the first included."""
    filled = (batch for batch in batches if len(batch["ts_event"]))
    first = next(filled, None)

    def chained() -> Iterator[RawColumns]:
        if first is not None:
            yield first
        yield from filled

    return first, chained()
