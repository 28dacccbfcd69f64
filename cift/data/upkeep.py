"""Upkeep of a catalog: what is rewritten, how, and what is said of it. `Catalog` has the methods that people call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.data.columns import RawColumns
from cift.data.manifest import Layout, Manifest
from cift.data.reading import Interval, PartitionReader
from cift.data.storage import Disk, locked
from cift.data.times import DAY_NS, time_ns
from cift.data.writing import ROWS_PER_GROUP, PartitionWriter
from cift.domain.schemas import SCHEMAS
from cift.errors import CatalogError, CorruptData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

OWN_FILE = re.compile(r"part-[0-9a-f]{16}\.parquet")
"""Names that the catalog gives to its files; one of these that no manifest names was left by a killed writer."""
ALWAYS: Interval = (-(2**63), 2**63 - 1)


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
    first, stop = period
    whole: list[tuple[str, str]] = []
    cut: list[PartitionReader] = []
    with catalog.writer() as writer:
        for dataset in catalog.datasets(symbol):
            for date in layout.dates(dataset, symbol):
                day_ns, _ = time_ns(date, "date")
                if day_ns + DAY_NS <= first or day_ns >= stop:
                    continue
                if first <= day_ns and day_ns + DAY_NS <= stop:
                    whole.append((dataset, date))
                    continue
                reader = catalog.reader(dataset, symbol, date)
                gone = rewrite(writer, reader, ((ALWAYS[0], first), (stop, ALWAYS[1])))
                if gone == reader.manifest.rows:
                    whole.append((dataset, date))
                elif gone:
                    cut.append(reader)
        if cut:
            catalog.commit(writer, [], cut)
    with locked(layout.lock):
        for dataset, date in whole:
            _remove(layout, disk, dataset, symbol, date)
    return len(whole) + len(cut)


def _remove(layout: Layout, disk: Disk, dataset: str, symbol: str, date: str) -> None:
    place = layout.manifest(dataset, symbol, date)
    # Without its manifest the partition is gone; its file is then only space to free.
    disk.remove(place)
    disk.sync_folder(place.parent)
    folder = layout.partition(dataset, symbol, date)
    for file in folder.glob("*.parquet"):
        disk.remove(file)
    folder.rmdir()


def consolidated(catalog: Catalog, layout: Layout, readers: Sequence[PartitionReader]) -> Consolidated:
    """Writes those partitions anew that have more row groups than they need, and sweeps; see `Catalog.consolidate`."""
    scattered = [reader for reader in readers if is_scattered(reader.manifest)]
    written: list[Manifest] = []
    for reader in scattered:
        with catalog.writer() as writer:
            rewrite(writer, reader)
            written += catalog.commit(writer, [], [reader])
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


def rewrite(writer: PartitionWriter, reader: PartitionReader, intervals: tuple[Interval, ...] = (ALWAYS,)) -> int:
    """Stages a partition anew with the rows of some intervals, `sequence` counted from 0; how many rows are gone.

    Where none is gone though some were to go, or none is left, nothing is staged.

    Raises:
        CorruptData: the partition is not what was written; nothing is staged then.
    """
    manifest = reader.manifest
    before = len(writer.staged)
    writer.add(manifest.schema, manifest.symbol, reader.groups(intervals, every_column=True), manifest.spec)
    staged = writer.staged[before:]
    left = sum(each.manifest.rows for each in staged)
    if intervals == (ALWAYS,):
        if [each.manifest.content_hash for each in staged] != [manifest.content_hash]:
            raise CorruptData(
                f"{reader.path}: its values are not those that were written; restore the file, or import the day again"
            )
    elif left == manifest.rows:
        del writer.staged[before:]
    return manifest.rows - left


def check_unchanged(layout: Layout, readers: Sequence[PartitionReader]) -> None:
    """Sees, under the catalog's lock, that partitions are still those that were read.

    Raises:
        CatalogError: where another writer was faster.
    """
    for reader in readers:
        was = reader.manifest
        if layout.read(was.dataset, was.symbol, was.date) != was:
            raise CatalogError(
                f"{was.schema} of {was.symbol} on {was.date} was written by another while it was read; call again"
            )


def with_first(batches: Iterator[RawColumns]) -> tuple[RawColumns | None, Iterator[RawColumns]]:
    """The first batch that has rows (None: there is none), and all that has rows, the first included."""
    filled = (batch for batch in batches if len(batch["ts_event"]))
    first = next(filled, None)

    def chained() -> Iterator[RawColumns]:
        if first is not None:
            yield first
        yield from filled

    return first, chained()
