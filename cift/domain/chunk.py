"""A run of market events as columns: what a reader yields and the simulator eats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

SchemaName = Literal["mbo", "mbp", "quotes", "trades", "bars"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """`rows` consecutive events of one schema, one array per column.

    Every array is one-dimensional, C-contiguous and `rows` long; `cift.domain.schemas.CHUNK_DTYPES` names the columns and
    their types. Times are int64 nanoseconds since the epoch, UTC (no time: the smallest int64, NumPy's NaT); words are raw
    codes (`cift.domain.schemas.ACTION_CODES` and its neighbours); prices and sizes are natural units, NaN where a record
    has no price. The arrays may be read-only views of a decoded file: copy before writing to them.
    """

    schema: SchemaName
    columns: Mapping[str, np.ndarray[Any, Any]]
    rows: int
