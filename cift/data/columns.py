"""Market-data columns: from Arrow to NumPy with raw codes, and back.

*Raw columns* are a dict of one-dimensional arrays of one length: the columns of a catalog's file (`STORED_DTYPES`). A missing
time, count or venue sequence is `NO_TIME_NS`, a missing price NaN, a missing trade id 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cift.domain.chunk import Chunk, SchemaName
from cift.domain.schemas import CHUNK_DTYPES, LAST, NO_TIME_NS, STORED_DTYPES, WORD_CODES, arrow_schema, is_nullable
from cift.errors import DataError

Array = np.ndarray[Any, Any]
RawColumns = dict[str, Array]


def text_array(words: Sequence[str]) -> pa.Array:
    """Some words as an Arrow array of text; made from buffers because `pa.array` imports pandas where it is installed."""
    encoded = [word.encode() for word in words]
    offsets = np.cumsum([0, *(len(word) for word in encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(words), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


_WORDS: dict[str, pa.Array] = {column: text_array(list(codes)) for column, codes in WORD_CODES.items()}
_INDEX_OF_CODE: dict[str, Array] = {}
for _column, _codes in WORD_CODES.items():
    _lookup = np.full(256, -1, dtype=np.int8)
    for _index, _code in enumerate(_codes.values()):
        _lookup[_code] = _index
    _INDEX_OF_CODE[_column] = _lookup


DTYPE_OF: dict[str, str] = {name: dtype for columns in STORED_DTYPES.values() for name, dtype in columns.items()}
"""NumPy type of each column, whatever its schema."""


def stored_columns(schema: SchemaName) -> tuple[str, ...]:
    """All columns that a catalog file holds, in order."""
    return tuple(STORED_DTYPES[schema])


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one contiguous Arrow array; copies only where it came in several pieces."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks == 0:
        return pa.array([], type=column.type)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return pa.concat_arrays(column.chunks)


def raw_column(name: str, column: pa.ChunkedArray | pa.Array) -> Array:
    """One Arrow column of a stored schema as a raw NumPy array, without a copy where Arrow allows it.

    Raises:
        DataError: where a word is not one of the column's words.
    """
    array = one_array(column)
    if name in WORD_CODES:
        return _word_codes(name, array)
    raw = _values(array, DTYPE_OF[name])
    if array.null_count:
        present = _is_present(array)
        missing = np.nan if raw.dtype.kind == "f" else 0 if name == "trade_id" else NO_TIME_NS
        raw = np.where(present, raw, raw.dtype.type(missing))
    return raw


def _values(array: pa.Array, dtype: str) -> Array:
    """The values buffer of an Arrow array, as NumPy sees it; where a row is null, its value means nothing.

    (`Array.to_numpy` imports pandas where it is installed, as `pa.array` does, which takes most of a second.)
    """
    kind = np.dtype(dtype)
    if not len(array):
        return np.empty(0, dtype=kind)
    return np.frombuffer(array.buffers()[1], dtype=kind, count=len(array), offset=array.offset * kind.itemsize)


def _is_present(array: pa.Array) -> Array:
    bits = np.frombuffer(array.buffers()[0], dtype=np.uint8)
    return np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :].astype(bool)


def _arrow_array(raw: Array, kind: pa.DataType, missing: Array | None = None) -> pa.Array:
    """A NumPy array as an Arrow array over the same memory; `missing` rows are null."""
    bits = None
    if missing is not None and missing.any():
        bits = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(kind, len(raw), [bits, pa.py_buffer(np.ascontiguousarray(raw))])


def _word_codes(name: str, array: pa.Array) -> Array:
    codes = WORD_CODES[name]
    dictionary = array.dictionary.to_pylist()
    lookup = np.zeros(max(1, len(dictionary)), dtype=np.uint8)
    for index, word in enumerate(dictionary):
        lookup[index] = codes.get(word, 0)
    if array.indices.null_count:
        row = int(np.flatnonzero(~_is_present(array.indices))[0])
        raise DataError(f"{name} of row {row} is null; it must be one of {', '.join(codes)}")
    raw: Array = lookup.take(_values(array.indices, str(array.indices.type)))
    if not lookup.all() and not raw.all():
        row = int(np.flatnonzero(raw == 0)[0])
        raise DataError(f"{name} of row {row} is {array[row].as_py()!r}; it must be one of {', '.join(codes)}")
    return raw


def to_arrow(schema: SchemaName, columns: Mapping[str, Array]) -> pa.Table:
    """Raw columns as an Arrow table of the stored schema: words as text, sentinels as nulls."""
    target = arrow_schema(schema)
    arrays = []
    for field in target:
        raw = columns[field.name]
        if field.name in WORD_CODES:
            indices = _arrow_array(_INDEX_OF_CODE[field.name][raw], pa.int8())
            arrays.append(pa.DictionaryArray.from_arrays(indices, _WORDS[field.name]))
            continue
        missing = None
        if is_nullable(schema, field.name):
            sentinel = 0 if field.name == "trade_id" else NO_TIME_NS
            missing = np.isnan(raw) if raw.dtype.kind == "f" else raw == sentinel
        arrays.append(_arrow_array(raw, field.type, missing))
    return pa.Table.from_arrays(arrays, schema=target)


def length(columns: Mapping[str, Array]) -> int:
    """Number of rows of raw columns."""
    return len(columns["ts_event"])


def cut(columns: Mapping[str, Array], start: int, stop: int) -> RawColumns:
    """Rows `start` to `stop` of raw columns, as views."""
    return {name: array[start:stop] for name, array in columns.items()}


def join(pieces: Sequence[Mapping[str, Array]]) -> RawColumns:
    """Raw columns one after the other; a copy unless there is one piece only."""
    if len(pieces) == 1:
        return dict(pieces[0])
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def moved_ends(flags: Array, keep: Array) -> Array:
    """The flags with LAST on the last kept row of each event; an event of which nothing is kept leaves the one before as it is."""
    if keep.all():
        return flags
    ended = np.cumsum((flags & LAST) > 0)
    kept = np.flatnonzero(keep)
    if not len(kept):
        return flags
    before = np.concatenate(([0], ended))[kept]
    until = np.concatenate((ended[kept[1:] - 1], ended[-1:]))
    moved: Array = flags & np.uint8(255 - LAST)
    moved[kept] |= np.where(until > before, np.uint8(LAST), np.uint8(0))
    return moved


def chunks(schema: SchemaName, pieces: Iterator[RawColumns], rows: int | None) -> Iterator[Chunk]:
    """Cuts a stream of raw columns into chunks of exactly `rows` rows (the last may be shorter; None: one chunk of all).

    The rows are the same for every `rows`. Only rows at the seam of two pieces are copied; at most one piece and one chunk
    are held.
    """
    names = tuple(CHUNK_DTYPES[schema])
    waiting: list[RawColumns] = []
    held = 0
    for whole in pieces:
        piece = {name: whole[name] for name in names}
        at, end = 0, length(piece)
        while at < end:
            take = end - at if rows is None else min(rows - held, end - at)
            waiting.append(cut(piece, at, at + take))
            held += take
            at += take
            if held == rows:
                yield Chunk(schema, join(waiting), held)
                waiting, held = [], 0
    if held:
        yield Chunk(schema, join(waiting), held)
