"""Tables on disk, a block at a time: CSV, plain or compressed, and Parquet."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from cift.data.frame_rows import BYTES_BUFFERED
from cift.data.importers.text import LINE_BYTES_MAX, UNREADABLE, open_bytes
from cift.data.parquet_footer import check_footer
from cift.errors import CorruptData, DataError, InvalidParameter

BYTES_PER_BLOCK = 1 << 20
"""With 4 MiB an import takes 346 MiB of memory instead of 218, and is 5 % faster (2.6 million trades a second of one core)."""
ROWS_PER_BATCH = 65_536
SHOWN_MAX = 300
"""Characters that an error tells of what a file holds."""


def first_lines(path: Path, count: int, delimiter: str = ",") -> list[list[str]]:
    """The cells of the first lines of a CSV file; fewer where it is shorter.

    Raises:
        DataError: it is not there, or no text. CorruptData: the compressed data is damaged.
    """
    try:
        with open_bytes(path) as stream:
            start = b""
            while start.count(b"\n") < count and len(start) < LINE_BYTES_MAX and (piece := stream.read(1 << 16)):
                start += piece
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UNREADABLE as error:
        raise CorruptData(f"{path.name} cannot be read: {error}") from None
    try:
        text = start.decode("utf-8-sig", "strict" if len(start) < 1 << 16 else "ignore")
        # A name or number with a line break in it is nothing that a table of ticks has.
        return list(csv.reader([line for line in text.splitlines() if line][:count], delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} is no CSV file: {error}") from None


@dataclass
class CsvFile:
    """A CSV file. Its first lines are read once, to know its columns and what they hold."""

    path: Path
    names: tuple[str, ...] | None
    delimiter: str = ","

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1:
            raise InvalidParameter(f"delimiter must be one character, not {self.delimiter!r}")
        lines = first_lines(self.path, 1 if self.names is not None else 2, self.delimiter)
        header = list(self.names) if self.names is not None else lines.pop(0) if lines else []
        self.first = lines[0] if lines else []
        doubled = [name for name, count in Counter(header).items() if count > 1]
        if doubled:
            raise DataError(
                f"{self.path.name} has {doubled[0][:80]!r} twice in its first line, which is no header of a table; pass names= where "
                "it has none"
            )
        if self.first and len(self.first) != len(header):
            raise DataError(f"{self.path.name} has {len(header)} names for {len(self.first)} columns")
        self.header = header
        self.first_row = 1 if self.names is not None else 2
        """Number of the first line of data."""

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
            self._file = pq.ParquetFile(
                self.path, page_checksum_verification=True, pre_buffer=False, buffer_size=BYTES_BUFFERED
            )
            check_footer(self._file, self.path)
            self.header = list(self._file.schema_arrow.names)
        except FileNotFoundError:
            raise DataError(f"{self.path} does not exist") from None
        except CorruptData:
            raise
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
