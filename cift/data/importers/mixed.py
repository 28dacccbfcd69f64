"""Rows of several kinds that stand mixed in a file: kept apart on disk while it is read, then stored kind by kind.

A file is so read once, whatever it holds, and what only its end shows (the finest step of prices, whether a snapshot ever came) is
known when the rows are stored. Little of it is in memory at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cift.data.columns import Array, RawColumns, length
from cift.data.importers.levels import CarriedBook, running_maximum
from cift.data.manifest import Manifest
from cift.data.report import Tally
from cift.data.screen import Screen
from cift.data.storage import TemporaryFile
from cift.data.times import iso
from cift.data.writing import PartitionWriter
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import SUSPECT
from cift.errors import InvalidParameter, TimeOrder

BACK_NS_MAX = 60 * 1_000_000_000
"""Times of a venue that go back by more than this are no matter of its own disorder."""

Batch = tuple[str, Array, RawColumns]
"""The name of a file, the numbers of some of its rows, and what they became, as raw columns."""


class MixedRows:
    """Batches by kind, a name of the importer's own, in the order in which they were put.

    Args:
        writer: whose temporary files hold them.
    """

    def __init__(self, writer: PartitionWriter) -> None:
        self._writer = writer
        self._files: dict[str, dict[str, TemporaryFile]] = {}
        self.rows: dict[str, int] = {}
        """Kind -> how many rows it has."""

    def put(self, kind: str, source: str, numbers: Array, columns: RawColumns) -> None:
        """Adds a batch, which is of one file."""
        files = self._files.setdefault(kind, {})
        # Where files overlap, their batches alternate.
        if source not in files:
            files[source] = self._writer.temporary(".rows")
        arrays = {"": numbers, **columns}
        dtypes = {name: array.dtype.str for name, array in arrays.items()}
        header = json.dumps([source, len(numbers), dtypes]).encode("ascii")
        file = next(reversed(files.values()))
        file.write(len(header).to_bytes(4, "little") + header)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)  # type: ignore[arg-type]
        self.rows[kind] = self.rows.get(kind, 0) + length(columns)

    def batches(self, kind: str) -> Iterator[Batch]:
        """What was put, once."""
        for file in self._files.pop(kind, {}).values():
            file.close()
            yield from _read(file.path)
            self._writer.disk.remove(file.path)

    def close(self) -> None:
        """Closes the files that were not asked for."""
        for files in self._files.values():
            for file in files.values():
                file.close()


def _read(path: Path) -> Iterator[Batch]:
    with path.open("rb") as file:
        while size := file.read(4):
            source, rows, dtypes = json.loads(file.read(int.from_bytes(size, "little")))
            columns = {name: np.fromfile(file, dtype, count=rows) for name, dtype in dtypes.items()}
            yield source, columns.pop(""), columns


@dataclass(frozen=True)
class Stored:
    """Some kinds of mixed rows that become one schema.

    Args:
        schema: which.
        kinds: in the order in which they are stored, one after the other.
        change: what is done to a batch before it is screened.
    """

    schema: SchemaName
    kinds: tuple[str, ...]
    change: Callable[[RawColumns], RawColumns] | None = None


def since_snapshot(
    mixed: MixedRows,
    tally: Tally,
    notes: list[str],
    *,
    started: bool,
    change: Callable[[RawColumns], RawColumns] = lambda columns: columns,
) -> Stored:
    """What is stored of a book whose rows are of the kinds "before" (its first snapshot) and "levels" (from then on).

    Only the latter, since a book that lacks levels shows a wrong best price; without any snapshot all of them, which are SUSPECT.

    Args:
        started: whether a snapshot came.
        change: what is done to a batch.
    """
    if started:
        tally.counts["before_snapshot"] = mixed.rows.get("before", 0)
        return Stored("mbp", ("levels",), change)
    if mixed.rows.get("before"):
        notes.append("no snapshot: the book lacks every level that no event has set, and its rows are SUSPECT")

    def suspect(columns: RawColumns) -> RawColumns:
        return change({**columns, "flags": columns["flags"] | np.uint8(SUSPECT)})

    return Stored("mbp", ("before",), suspect)


def store(
    writer: PartitionWriter,
    mixed: MixedRows,
    parts: Sequence[Stored],
    instrument: Instrument,
    tally: Tally,
    policies: Mapping[str, str] | None,
) -> None:
    """Stages the parts.

    Times that go back a little become the time of the row above, counted as `time_went_back`. A day of levels but the first
    begins with the book that the day before left (`books_carried`).

    Raises:
        DataError: a row is rejected; the message names file and row.
        TimeOrder: a time goes back by more than a minute.
        InvalidParameter: a policy of what is not asked here.
    """
    if "sequence_gap" in (policies or {}):
        raise InvalidParameter(
            "policies= names 'sequence_gap', which decides nothing here: gaps are seen by the venue's own ids"
        )
    name = tally.source
    for part in parts:
        # The importers look at the venues' numbers themselves.
        screen = Screen(part.schema, instrument, name, tally, policies, settled={"sequence_gap"})
        writer.add(part.schema, instrument.symbol, _screened(mixed, part, screen, tally))
        screen.finish()
    tally.source = name


def _screened(mixed: MixedRows, part: Stored, screen: Screen, tally: Tally) -> Iterator[RawColumns]:
    last_ns: int | None = None
    book = CarriedBook()
    for kind in part.kinds:
        for source, numbers, columns in mixed.batches(kind):
            screen.source = tally.source = source
            changed = columns if part.change is None else part.change(columns)
            times, back = running_maximum(changed["ts_event"], last_ns)
            if back:
                _look_back(source, numbers, changed["ts_event"], times)
                tally.counts["time_went_back"] += back
            last_ns = int(times[-1])
            batch = {**changed, "ts_event": times}
            if part.schema != "mbp":
                yield screen.check(batch, numbers)
                continue
            for rows, piece in book.follow(numbers, batch):
                yield screen.check(piece, rows)
    tally.counts["books_carried"] += book.carried


def _look_back(source: str, numbers: Array, told: Array, highest: Array) -> None:
    far = np.flatnonzero(highest - told > BACK_NS_MAX)
    if len(far):
        at = int(far[0])
        raise TimeOrder(
            f"{source}, row {numbers[at]}: ts_event goes back from {iso(int(highest[at]))} to {iso(int(told[at]))}, more than "
            f"{BACK_NS_MAX // 10**9} s; a stamp is wrong, or the files are not in the order of their times"
        )


def count_rows(tally: Tally, parts: Sequence[Stored], written: Sequence[Manifest]) -> int:
    """Counts the rows of each schema that were stored; all of them together."""
    for part in parts:
        tally.counts[part.schema] = sum(manifest.rows for manifest in written if manifest.schema == part.schema)
    return sum(manifest.rows for manifest in written)
