"""The columns of each market-data schema, on disk (Arrow, words as text) and in memory (NumPy, words as raw codes).

| schema | level | one row is |
|---|---|---|
| `mbo` | L3 | one thing that happened to one order: add, cancel, modify, trade, fill, clear |
| `mbp` | L2 | the whole size of one level: set (0: none stands there), or clear |
| `quotes` | L1 | the best bid and ask with their sizes |
| `trades` | prints | one print |
| `bars` | OHLCV | what was traded or quoted from `ts_open` to `ts_event`; stored apart for each spec, "1m" or "tick-500" |

`cancel` gives the size taken away, `modify` the new price and the new total size. `trade` (side of the aggressor) and `fill`
(id of the maker) leave the book alone: the cancel or modify after them moves it. Flag `LAST` ends an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from cift.domain.chunk import SchemaName
from cift.errors import UnknownName

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMAS: Final[tuple[SchemaName, ...]] = get_args(SchemaName)

# Bits of the `flags` column.
LAST: Final = 128
"""The last record of an event: venue, handlers and comparisons act here."""
SNAPSHOT: Final = 32
"""Part of a snapshot or of a correction, not something that happened at this time."""
OUT_OF_SIGHT: Final = 16
"""Of a level of size 0: it left what the feed shows, as the best ten; what stands there is not known."""
BAD_TS_RECV: Final = 8
"""`ts_recv` is known to be wrong."""
SUSPECT: Final = 4
"""Passed with a doubt (crossed, locked, far from the last price, after a gap): see `cift.data.screen`."""
OFF_GRID: Final = 2
"""A print whose price is not a whole number of ticks (a hidden midpoint); the price column holds it as printed."""
OWN: Final = 1
"""A record of an order of our own."""

NO_TIME_NS: Final = -(2**63)
"""Raw value of a missing time or venue sequence (NumPy's NaT)."""

ACTION_CODES: Final[dict[str, int]] = {"add": 65, "cancel": 67, "modify": 77, "trade": 84, "fill": 70, "clear": 82, "set": 83}
"""Words of `action` -> raw codes: the letters A, C, M, T, F and R that normalised feeds use, and S of levels."""
ACTIONS: Final[dict[SchemaName, tuple[str, ...]]] = {
    "mbo": ("add", "cancel", "modify", "trade", "fill", "clear"),
    "mbp": ("set", "clear"),
}
"""The actions that records of a schema may have."""
SIDE_CODES: Final[dict[str, int]] = {"bid": 66, "ask": 65, "none": 78}
"""Words of `side` -> raw codes: B, A and N."""
AGGRESSOR_CODES: Final[dict[str, int]] = {"buy": 66, "sell": 65, "none": 78}
"""Words of `aggressor` -> raw codes: a buyer lifts and carries the bid's letter."""
WORD_CODES: Final[dict[str, dict[str, int]]] = {
    "action": ACTION_CODES,
    "side": SIDE_CODES,
    "aggressor": AGGRESSOR_CODES,
}
"""Column of words -> its codes."""

CHUNK_DTYPES: Final[dict[SchemaName, dict[str, str]]] = {
    "mbo": {
        "ts_event": "int64",
        "ts_recv": "int64",
        "action": "uint8",
        "side": "uint8",
        "price": "float64",
        "size": "float64",
        "order_id": "uint64",
        "flags": "uint8",
        "sequence": "int64",
    },
    "mbp": {
        "ts_event": "int64",
        "ts_recv": "int64",
        "action": "uint8",
        "side": "uint8",
        "price": "float64",
        "size": "float64",
        "flags": "uint8",
        "sequence": "int64",
    },
    "quotes": {
        "ts_event": "int64",
        "ts_recv": "int64",
        "bid_price": "float64",
        "bid_size": "float64",
        "ask_price": "float64",
        "ask_size": "float64",
        "flags": "uint8",
        "sequence": "int64",
    },
    "trades": {
        "ts_event": "int64",
        "ts_recv": "int64",
        "price": "float64",
        "size": "float64",
        "aggressor": "uint8",
        "trade_id": "uint64",
        "flags": "uint8",
        "sequence": "int64",
    },
    "bars": {
        "ts_open": "int64",
        "ts_event": "int64",
        "open": "float64",
        "high": "float64",
        "low": "float64",
        "close": "float64",
        "volume": "float64",
        "count": "int64",
        "vwap": "float64",
        "sequence": "int64",
    },
}
"""Columns of a `Chunk` and their NumPy types, in order."""
STORED_DTYPES: Final[dict[SchemaName, dict[str, str]]] = {
    schema: columns if schema == "bars" else {**columns, "venue_seq": "int64"} for schema, columns in CHUNK_DTYPES.items()
}
"""Columns of a catalog's file and their NumPy types, in order: those of a chunk, and the venue's own number of a record."""

TIME_COLUMNS: Final = ("ts_open", "ts_event", "ts_recv")
NULLABLE: Final = frozenset({"ts_recv", "venue_seq", "price", "bid_price", "ask_price", "trade_id", "count", "vwap"})
"""Columns that may be null on disk; `price` only in `mbo` and `mbp`, for a clear."""
PRICE_COLUMNS: Final[dict[SchemaName, tuple[str, ...]]] = {
    "mbo": ("price",),
    "mbp": ("price",),
    "quotes": ("bid_price", "ask_price"),
    "trades": ("price",),
    "bars": ("open", "high", "low", "close"),
}
SIZE_COLUMNS: Final[dict[SchemaName, tuple[str, ...]]] = {
    "mbo": ("size",),
    "mbp": ("size",),
    "quotes": ("bid_size", "ask_size"),
    "trades": ("size",),
    "bars": ("volume",),
}


def check_schema(name: str) -> SchemaName:
    """The name itself, where it is a schema's.

    Raises:
        UnknownName: where it is none of them; the message lists them.
    """
    for known in SCHEMAS:
        if name == known:
            return known
    raise UnknownName(f"schema {name!r} is not known; choose one of {', '.join(SCHEMAS)}")


def is_nullable(schema: SchemaName, column: str) -> bool:
    """Whether a column may hold nulls on disk: a print always has a price, a clear has none."""
    return column in NULLABLE and not (schema == "trades" and column == "price")


def arrow_schema(name: str) -> pa.Schema:
    """The Arrow schema of one kind of record, as the catalog stores it (without the column `symbol` of its files).

    Raises:
        UnknownName: where there is no such schema.
    """
    import pyarrow as pa

    schema = check_schema(name)
    types: dict[str, Any] = {
        "int64": pa.int64(),
        "uint64": pa.uint64(),
        "uint8": pa.uint8(),
        "float64": pa.float64(),
    }
    time, word = pa.timestamp("ns", tz="UTC"), pa.dictionary(pa.int8(), pa.string())
    fields = []
    for column, dtype in STORED_DTYPES[schema].items():
        kind = time if column in TIME_COLUMNS else word if column in WORD_CODES else types[dtype]
        fields.append(pa.field(column, kind, nullable=is_nullable(schema, column)))
    return pa.schema(fields)


def mbo() -> pa.Schema:
    """The Arrow schema of `mbo` (market by order, L3)."""
    return arrow_schema("mbo")


def mbp() -> pa.Schema:
    """The Arrow schema of `mbp` (market by price, L2)."""
    return arrow_schema("mbp")


def quotes() -> pa.Schema:
    """The Arrow schema of `quotes` (best bid and ask, L1)."""
    return arrow_schema("quotes")


def trades() -> pa.Schema:
    """The Arrow schema of `trades` (prints)."""
    return arrow_schema("trades")


def bars() -> pa.Schema:
    """The Arrow schema of `bars` (OHLCV)."""
    return arrow_schema("bars")
