"""Rows as Parquet, CSV and JSON lines, with the columns of the stored schema and `symbol`."""

from __future__ import annotations

from typing import IO, Any, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cift.data.columns import RawColumns, length, to_arrow
from cift.data.csv_files import as_text, write_rows
from cift.domain.chunk import SchemaName
from cift.domain.schemas import arrow_schema


class Writer(Protocol):
    """Takes rows in order and writes them to a file that it does not own."""

    def write(self, columns: RawColumns) -> None:
        """The next rows."""

    def finish(self) -> tuple[str, ...]:
        """Writes what ends the file; sentences about what the format could not hold."""


class ParquetRows:
    """A Parquet file as any tool reads it: zstd, page checksums, words as text."""

    def __init__(self, stream: IO[bytes] | Any, schema: SchemaName, symbol: str) -> None:
        self._schema, self._symbol = schema, symbol
        fields = [*arrow_schema(schema), pa.field("symbol", pa.string(), nullable=False)]
        self._target = pa.schema(fields)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(stream, mode="w"), self._target, compression="zstd", write_page_checksum=True
        )

    def write(self, columns: RawColumns) -> None:
        """The next rows, as a row group."""
        table = to_arrow(self._schema, columns)
        symbol = pa.repeat(pa.scalar(self._symbol, pa.string()), length(columns))
        self._writer.write_table(pa.Table.from_arrays([*table.columns, symbol], schema=self._target))

    def finish(self) -> tuple[str, ...]:
        """Writes the footer."""
        self._writer.close()
        return ()


class CsvRows:
    """CSV with a header; see `cift.data.csv_files` for how values are written."""

    def __init__(self, stream: IO[bytes] | Any, schema: SchemaName, symbol: str) -> None:
        self._stream, self._schema, self._symbol = stream, schema, symbol
        self._begun = False

    def write(self, columns: RawColumns) -> None:
        """The next rows."""
        write_rows(as_text(frame_of(self._schema, columns, self._symbol)), self._stream, header=not self._begun)
        self._begun = True

    def finish(self) -> tuple[str, ...]:
        """Nothing is left to write."""
        return ()


class JsonRows:
    """One JSON object a line; times as ISO text in UTC with nanoseconds, null where a value is missing."""

    def __init__(self, stream: IO[bytes] | Any, schema: SchemaName, symbol: str) -> None:
        self._stream, self._schema, self._symbol = stream, schema, symbol

    def write(self, columns: RawColumns) -> None:
        """The next rows."""
        self._stream.write(as_text(frame_of(self._schema, columns, self._symbol)).write_ndjson().encode())

    def finish(self) -> tuple[str, ...]:
        """Nothing is left to write."""
        return ()


def frame_of(schema: SchemaName, columns: RawColumns, symbol: str) -> pl.DataFrame:
    """Raw columns as a frame of the stored schema with `symbol`."""
    frame = pl.DataFrame(to_arrow(schema, columns))
    words = [name for name, kind in frame.schema.items() if kind == pl.Categorical or isinstance(kind, pl.Enum)]
    return frame.with_columns(pl.col(words).cast(pl.String), symbol=pl.lit(symbol))
