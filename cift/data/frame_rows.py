"""Rows on their way into a view of a frame, a block at a time, so that they are held once.

A Parquet file is read into arrays of the size that it declares; the screen changes them in place, and where it leaves rows out, the
gap is closed. Beside the rows there is only a block, and what the decoder holds of a row group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cift.data.columns import Array, RawColumns, cut, length
from cift.data.parquet_footer import check_footer
from cift.domain.chunk import SchemaName
from cift.domain.schemas import LAST, STORED_DTYPES
from cift.errors import CorruptData, DataError

ROWS_PER_BLOCK = 65_536
BYTES_BUFFERED = 1 << 16
"""Of each column of a file; without a bound, and with pyarrow's `pre_buffer`, all of the file's bytes come to be in memory."""


class ParquetRows:
    """A Parquet file, to be read once.

    Raises:
        DataError: where it cannot be read. CorruptData: its footer contradicts itself.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False, buffer_size=BYTES_BUFFERED)
            check_footer(self._file, Path(path))
            self.names = list(self._file.schema_arrow.names)
        except CorruptData:
            raise
        except Exception as error:  # whatever a decoder raises on damaged bytes, it is the file that is at fault
            raise self._unreadable(error) from None
        self.rows: int = self._file.metadata.num_rows

    def blocks(self, names: Iterable[str]) -> Iterator[tuple[int, pa.Table]]:
        """Some of its columns, with the number of the first row.

        Raises:
            DataError: where they cannot be read.
        """
        first_row = 0
        try:
            for batch in self._file.iter_batches(ROWS_PER_BLOCK, columns=list(names), use_threads=False):
                batch.validate(full=True)  # text that is none, places beyond an end
                yield first_row, pa.Table.from_batches([batch])
                first_row += batch.num_rows
        except (GeneratorExit, DataError):
            raise
        except Exception as error:
            raise self._unreadable(error) from None

    def gather(self, schema: SchemaName, pieces: Iterable[RawColumns]) -> RawColumns:
        """Pieces that together have as many rows as the file declares, as one; `sequence` is left out.

        Raises:
            DataError: where they have not, or are too many for this machine's memory.
        """
        try:
            whole = {name: np.empty(self.rows, dtype) for name, dtype in STORED_DTYPES[schema].items() if name != "sequence"}
        except (MemoryError, ValueError):
            raise self._unreadable(f"it declares {self.rows:,} rows, too many to hold; import it, or read part of it") from None
        at = 0
        for piece in pieces:
            stop = at + length(piece)
            if stop <= self.rows:
                for name, array in whole.items():
                    array[at:stop] = piece[name]
            at = stop
        if at != self.rows:
            raise self._unreadable(f"it declares {self.rows:,} rows and holds {at:,}")
        return whole

    def _unreadable(self, error: object) -> DataError:
        return DataError(f"{self.path} cannot be read as Parquet: {error}")


def in_blocks(check: Callable[[RawColumns], RawColumns], columns: RawColumns, *, owned: bool) -> RawColumns:
    """The rows that pass a screen, which sees them block by block, cut where an event ends.

    Args:
        check: the screen; what it leaves as it is, it gives back as it came.
        columns: arrays of the caller's; with `owned` they are written to, else copied where something changes.
    """
    kept = dict(columns)
    own = set(columns) if owned else set()
    at = 0
    for start, stop in _cuts(columns["flags"]):
        piece = cut(columns, start, stop)
        passed = check(piece)
        rows = length(passed)
        for name, array in passed.items():
            if at == start and array is piece[name]:
                continue
            if name not in own:
                kept[name] = kept[name].copy()
                own.add(name)
            kept[name][at : at + rows] = array
        at += rows
    return cut(kept, 0, at)


def _cuts(flags: Array) -> Iterator[tuple[int, int]]:
    """Blocks that end with an event: the first row of each, and the one behind it."""
    start = 0
    while start < len(flags):
        stop = start + ROWS_PER_BLOCK
        while stop < len(flags):
            ends = np.flatnonzero(flags[stop - 1 : stop - 1 + ROWS_PER_BLOCK] & LAST)
            if len(ends):
                stop += int(ends[0])
                break
            stop += ROWS_PER_BLOCK
        stop = min(stop, len(flags))
        yield start, stop
        start = stop
