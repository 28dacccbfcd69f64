"""What `Catalog.write` takes as rows: frames, streams, chunks and raw columns, all brought to raw columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cift.data.columns import RawColumns
from cift.data.frames import conform, raw_columns, read_frame, symbol_of
from cift.domain.chunk import Chunk, SchemaName
from cift.domain.schemas import NO_TIME_NS, STORED_DTYPES
from cift.errors import InvalidParameter


def raw_batches(schema: SchemaName, data: Any, symbol: str) -> Iterator[RawColumns]:
    """Anything that `Catalog.write` takes, as raw columns with `venue_seq`.

    Raises:
        DataError: where a piece is not a frame, lacks a column, or has rows of another symbol.
    """
    if isinstance(data, pa.RecordBatchReader):
        for batch in data:
            yield from raw_batches(schema, batch, symbol)
    elif isinstance(data, Chunk):
        if data.schema != schema:
            raise InvalidParameter(f"a chunk of {data.schema} was given where {schema} was expected")
        yield _complete(schema, data.columns)
    elif isinstance(data, Mapping):
        yield _complete(schema, data)
    elif isinstance(data, Iterable) and not _is_frame(data):
        for piece in data:
            yield from raw_batches(schema, piece, symbol)
    else:
        table = conform(read_frame(data), schema)
        symbol_of(table, symbol)
        yield raw_columns(schema, table)


def _is_frame(data: Any) -> bool:
    return isinstance(data, (str, Path, pa.Table, pa.RecordBatch)) or any(
        hasattr(data, name) for name in ("__arrow_c_stream__", "__arrow_c_array__", "columns", "__narwhals_dataframe__")
    )


def _complete(schema: SchemaName, columns: Mapping[str, Any]) -> RawColumns:
    """A mapping of raw arrays with the types of the schema; `sequence` and `venue_seq` may be missing."""
    rows = len(columns["ts_event"]) if "ts_event" in columns else 0
    complete: RawColumns = {}
    for name, dtype in STORED_DTYPES[schema].items():
        if name in columns:
            array = np.ascontiguousarray(columns[name])
            if array.dtype != np.dtype(dtype) or array.shape != (rows,):
                raise InvalidParameter(f"raw column {name} must be {dtype} of {rows} rows, not {array.dtype} {array.shape}")
            complete[name] = array
        elif name in ("sequence", "venue_seq", "ts_recv", "count"):
            complete[name] = np.full(rows, NO_TIME_NS, dtype=np.int64)
        else:
            raise InvalidParameter(f"raw columns of {schema} lack {name}; given are {', '.join(columns)}")
    return complete
