"""Hashes of row values, which do not depend on files, chunks or compression; and the sums that guard each row group."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cift.data.columns import RawColumns, stored_columns
from cift.domain.chunk import SchemaName

Array = np.ndarray[Any, Any]
DIGEST_BYTES = 32


def blake2(data: bytes = b"") -> hashlib.blake2b:
    """A BLAKE2b of 32 bytes, as used for every hash of the catalog."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)


class ContentHash:
    """Hash of the values of one day's rows, fed in pieces of any length.

    Each column has its own BLAKE2b over its values as little-endian words (words as raw codes, missing values as their
    sentinels); the digest is the hash of the schema's name, the number of rows, the first row's sequence and the columns'
    digests in order. `sequence` counts up from the first row's, so it is not hashed again.
    """

    def __init__(self, schema: SchemaName) -> None:
        self.schema = schema
        self.rows = 0
        self.first_sequence = 0
        self._columns = {name: blake2() for name in stored_columns(schema) if name != "sequence"}

    def update(self, columns: Mapping[str, Array]) -> None:
        """Adds the next rows."""
        rows = len(columns["ts_event"])
        if rows and not self.rows:
            self.first_sequence = int(columns["sequence"][0])
        self.rows += rows
        for name, state in self._columns.items():
            array = np.ascontiguousarray(columns[name])
            state.update(array.astype(array.dtype.newbyteorder("<"), copy=False).view(np.uint8).data)

    def hexdigest(self) -> str:
        """The hash of all rows so far, as 64 hex digits."""
        total = blake2(f"cift rows 1 {self.schema} {self.rows} {self.first_sequence}".encode())
        for name, state in self._columns.items():
            total.update(name.encode() + b"\0" + state.digest())
        return total.hexdigest()


def selection_hash(schema: SchemaName, days: Iterable[tuple[str, str]]) -> str:
    """Hash of a selection: its days in order, each with the `ContentHash` of the rows selected in it."""
    total = blake2(f"cift selection 1 {schema}".encode())
    for date, content_hash in days:
        total.update(f"\n{date} {content_hash}".encode())
    return total.hexdigest()


def word_sum(array: Array) -> int:
    """Sum modulo 2**64 of an array's bytes taken as little-endian words of eight (the last one padded with zeros).

    Page checksums guard the bodies of pages, not their headers: a flipped bit there can make a reader take sound bytes for
    other values. This sum over the decoded values sees that, at about a nanosecond per value.
    """
    data = np.ascontiguousarray(array)
    if data.dtype.itemsize == 8:
        return int(data.view(np.uint64).sum(dtype=np.uint64))
    raw = data.view(np.uint8)
    whole = len(raw) // 8 * 8
    tail = int.from_bytes(raw[whole:].tobytes(), "little")
    return (int(raw[:whole].view("<u8").sum(dtype=np.uint64)) + tail) % 2**64


def group_sums(schema: SchemaName, columns: RawColumns) -> dict[str, int]:
    """`word_sum` of each stored column but `sequence`, which readers count themselves."""
    return {name: word_sum(columns[name]) for name in stored_columns(schema) if name != "sequence"}
