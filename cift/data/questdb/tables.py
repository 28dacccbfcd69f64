"""The tables of QuestDB: those of the catalog under the same names, instruments, and which days were loaded in full.

| column | type | note |
|---|---|---|
| `ts_event` | TIMESTAMP_NS, designated | other times are TIMESTAMP_NS too |
| `symbol`, words (`action`, `side`, `aggressor`), `spec` of bars | SYMBOL | |
| prices, sizes | DOUBLE | null where a record has none |
| `order_id`, `trade_id` | LONG | the same 64 bits: an id of 2**63 or more shows as a negative number; no trade id is 0 |
| `flags` | SHORT | |
| `sequence`, `venue_seq`, counts | LONG | |

A row that is sent again takes the place of itself: duplicates are told by (ts_event, symbol, sequence), of bars by `spec` too.
`sequence` is ours, without a gap from 0 within a day. `days` has one row per symbol, schema (and spec) and UTC day, which says
`loading` before the first of its rows is sent and `loaded` when the server has answered that it holds them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from cift.data.columns import RawColumns, length, raw_column, text_array, to_arrow
from cift.data.questdb.texts import literal, one_number
from cift.data.times import DAY_NS
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import SCHEMAS, arrow_schema, check_schema
from cift.errors import CatalogError, CorruptData, InvalidParameter

if TYPE_CHECKING:
    import pyarrow as pa

    from cift.data.questdb.transport import Transport

BY_SPEC = frozenset({"bars"})
"""Schemas of which a symbol may have several kinds of record on a day, told apart by a text: bars of "1m" and of "tick-500"."""
FIRST_FIELDS = ("tick_size", "lot_size", "price_increment", "multiplier", "currency", "calendar")
INSTRUMENT_FIELDS = tuple(field.name for field in fields(Instrument) if field.name != "symbol")
"""Columns of the table of instruments; one that an earlier release made has the first of them."""
LOADING, LOADED = "loading", "loaded"
_BESIDE = {
    "instruments": {"since", "symbol", *INSTRUMENT_FIELDS},
    "days": {"day", "symbol", "record", "state", "rows", "first_ns", "last_ns", "content_hash"},
}
"""Columns of the tables beside those of the schemas."""


def column_types(schema: SchemaName) -> dict[str, str]:
    """Column -> type of the table of a schema, in order."""
    types = {"ts_event": "timestamp_ns", "symbol": "symbol"}
    if schema in BY_SPEC:
        types["spec"] = "symbol"
    return types | {field.name: _type(field.type) for field in arrow_schema(schema)}


def _type(kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return "timestamp_ns"
    if pa.types.is_dictionary(kind):
        return "symbol"
    return {pa.float64(): "double", pa.uint8(): "short", pa.int64(): "long", pa.uint64(): "long"}[kind]


def _definitions() -> dict[str, str]:
    """Table -> the statement that makes it, where it is not there."""
    made: dict[str, str] = {}
    for schema in SCHEMAS:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in column_types(schema).items())
        made[schema] = (
            f'create table if not exists "{schema}" ({columns}) timestamp(ts_event) partition by day wal '
            f"dedup upsert keys(ts_event, symbol, {'spec, ' * (schema in BY_SPEC)}sequence)"
        )
    texts = ", ".join(f'"{name}" varchar' for name in INSTRUMENT_FIELDS)
    made["instruments"] = (
        f"create table if not exists instruments (since timestamp, symbol symbol, {texts}) timestamp(since) "
        "partition by year wal dedup upsert keys(since, symbol)"
    )
    made["days"] = (
        'create table if not exists days ("day" timestamp_ns, symbol symbol, record symbol, state symbol, "rows" long, '
        "first_ns long, last_ns long, content_hash varchar) "
        'timestamp("day") partition by year wal dedup upsert keys("day", symbol, record)'
    )
    return made


def make_tables(transport: Transport) -> None:
    """Makes the tables that are missing.

    Raises:
        CatalogError: where a table of one of these names is of another form.
    """
    for name, statement in _definitions().items():
        transport.ask(statement)
        held = {row[0] for row in transport.ask(f"select \"column\" from table_columns('{name}')")}
        told = transport.ask(f"select designatedTimestamp, dedup from tables() where table_name = '{name}'")
        if name == "instruments" and held == {"since", "symbol", *FIRST_FIELDS}:
            held |= _add_later_columns(transport)
        expected = _BESIDE.get(name) or set(column_types(check_schema(name)))
        if held != expected or (name in SCHEMAS and told != [("ts_event", True)]):
            raise CatalogError(
                f"the server's table {name} is not the one that CIFT makes (it has {', '.join(sorted(held))}); rename it, or read "
                f"it as it is with ticks(..., table={name!r})"
            )


def _add_later_columns(transport: Transport) -> set[str]:
    later = set(INSTRUMENT_FIELDS) - set(FIRST_FIELDS)
    for name in sorted(later):
        transport.ask(f'alter table instruments add column if not exists "{name}" varchar')
    return later


def has_tables(transport: Transport) -> bool:
    """Whether anything was ever loaded."""
    return one_number(transport.ask("select count() from tables() where table_name in ('days', 'instruments')")) == 2


# ------------------------------------------------------------------ rows


def to_server(schema: SchemaName, columns: RawColumns, symbol: str, spec: str | None = None) -> Any:
    """Raw columns as an Arrow table with the server's columns.

    Whole numbers come without nulls: the smallest int64, which says "missing" among raw columns, is the server's null, and
    pandas would make floats of a column with nulls. Columns that are null in every row are left out, which the server takes
    for nulls; sent, they would cost it a tenth of its time.
    """
    import pyarrow as pa

    rows = length(columns)
    arrays: dict[str, pa.Array] = {}
    for name, column in zip(arrow_schema(schema).names, to_arrow(schema, columns).columns, strict=True):
        if column.type == pa.uint64() or (column.type == pa.int64() and column.null_count != rows):
            bits = pa.py_buffer(np.ascontiguousarray(columns[name]).view(np.int64))
            arrays[name] = pa.Array.from_buffers(pa.int64(), rows, [None, bits])
        elif column.null_count != rows:
            arrays[name] = column.cast(pa.int16()) if column.type == pa.uint8() else column
    for name, text in (("symbol", symbol), ("spec", spec)):
        if text is not None:
            indices = pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(np.zeros(rows, np.int8))])
            arrays[name] = pa.DictionaryArray.from_arrays(indices, text_array([text]))
    return pa.table(arrays)


def from_server(schema: SchemaName, table: Any) -> RawColumns:
    """The server's columns as raw columns; those that were not asked for are left out.

    Raises:
        CorruptData: where a value is none that the package stores.
    """
    import pyarrow as pa

    columns: RawColumns = {}
    for field in arrow_schema(schema):
        name = field.name
        if name not in table.column_names:
            continue
        column = table.column(name)
        try:
            if field.type == pa.uint64():
                columns[name] = raw_column("sequence", column).view(np.uint64)
            elif pa.types.is_dictionary(field.type):
                columns[name] = raw_column(name, column.dictionary_encode())
            elif field.type == pa.uint8():
                columns[name] = raw_column(name, column.cast(pa.uint8()))
            else:
                columns[name] = raw_column(name, column)
        except (pa.ArrowInvalid, ValueError) as error:
            raise CorruptData(f"column {name} of the server's table {schema} holds what was never loaded: {error}") from None
    return columns


# ------------------------------------------------------------------ instruments


def read_instruments(transport: Transport) -> dict[str, Instrument]:
    """Every instrument that the server knows, by symbol.

    Raises:
        CorruptData: where a row is no instrument.
    """
    held = {row[0] for row in transport.ask("select \"column\" from table_columns('instruments')")}
    names = [name for name in INSTRUMENT_FIELDS if name in held]
    listed = ", ".join(f'"{name}"' for name in names)
    found = {}
    for symbol, *values in transport.ask(f"select symbol, {listed} from instruments order by symbol"):
        found[symbol] = _instrument(symbol, dict(zip(names, values, strict=True)))
    return found


def _instrument(symbol: str, values: Mapping[str, str]) -> Instrument:
    try:
        return Instrument(symbol, **values)  # type: ignore[arg-type]
    except (TypeError, InvalidParameter) as error:
        raise CorruptData(f"the server's instrument {symbol} cannot be read: {error}") from None


def write_instrument(transport: Transport, instrument: Instrument) -> None:
    """Stores an instrument; one of that symbol is replaced."""
    given = instrument.to_dict()
    names = [name for name in INSTRUMENT_FIELDS if given.get(name) is not None]
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join("%s" for _ in names)
    binds = [instrument.symbol, *(str(given[name]) for name in names)]
    transport.ask(f"insert into instruments (since, symbol, {columns}) values (0, %s, {marks})", binds)


# ------------------------------------------------------------------ days


@dataclass(frozen=True)
class DayRecord:
    """What `days` says of one UTC day of one symbol and schema."""

    symbol: str
    schema: SchemaName
    day_ns: int
    rows: int
    first_ns: int
    last_ns: int
    content_hash: str
    state: str = LOADING
    spec: str | None = None
    """Of bars: what ends one, "1m"."""

    @property
    def dataset(self) -> str:
        """What kind of record: the schema, and for bars the spec too, `bars/1m`."""
        return self.schema if self.spec is None else f"{self.schema}/{self.spec}"

    @property
    def date(self) -> str:
        """The day as YYYY-MM-DD."""
        return str(np.datetime64(self.day_ns // DAY_NS, "D"))

    def __str__(self) -> str:
        return f"{self.dataset} of {self.symbol} on {self.date}"

    def touches(self, start_ns: int | None, end_ns: int | None) -> bool:
        """Whether the UTC day has time from `start_ns` to before `end_ns` (None: no end)."""
        return (start_ns is None or self.day_ns + DAY_NS > start_ns) and (end_ns is None or self.day_ns < end_ns)


def refuse_partial(days: Sequence[DayRecord]) -> None:
    """Sees that all of some days were loaded in full.

    Raises:
        CatalogError: at the first that was not.
    """
    partial = [day for day in days if day.state != LOADED]
    if partial:
        raise CatalogError(f"{partial[0]} is not loaded in full: a load of it was broken off, or goes on; load the day again")


def not_those(day: DayRecord, what: str) -> CorruptData:
    """The error of a day of which the server holds other rows than were loaded."""
    return CorruptData(f"the server's rows of {day} are not those that were loaded: {what}; load the day again")


_DAY_FIELDS = 'record, "day"::long, "rows", first_ns, last_ns, content_hash, state'


def _day(symbol: str, row: Sequence[Any]) -> DayRecord:
    record, day, count, first, last, content, state = row
    schema, _, spec = str(record).partition("/")
    return DayRecord(symbol, check_schema(schema), int(day), int(count), int(first), int(last), content, state, spec or None)


def read_days(transport: Transport, symbol: str) -> list[DayRecord]:
    """All days of a symbol, in order of schema and time."""
    rows = transport.ask(f"select {_DAY_FIELDS} from days where symbol = %s", (symbol,))
    return sorted((_day(symbol, row) for row in rows), key=lambda day: (SCHEMAS.index(day.schema), day.dataset, day.day_ns))


def last_days(transport: Transport, schema: SchemaName) -> list[DayRecord]:
    """The last day of each symbol of a schema, by symbol."""
    asked = f'select symbol, {_DAY_FIELDS} from days where record = %s latest on "day" partition by symbol'
    return sorted((_day(symbol, row) for symbol, *row in transport.ask(asked, (schema,))), key=lambda day: day.symbol)


def write_day(transport: Transport, day: DayRecord) -> None:
    """Stores what is known of a day; what was known is replaced."""
    numbers = ", ".join(literal(number) for number in (day.rows, day.first_ns, day.last_ns))
    transport.ask(
        'insert into days ("day", symbol, record, state, "rows", first_ns, last_ns, content_hash) '
        f"values ({literal(day.day_ns)}, %s, %s, %s, {numbers}, %s)",
        (day.symbol, day.dataset, day.state, day.content_hash),
    )


def held_rows(transport: Transport, day: DayRecord) -> tuple[int, int, int]:
    """How many rows of a day the server holds, and their first and last sequence (-1 where there are none)."""
    ((count, first, last),) = transport.ask(
        f'select count(), min(sequence), max(sequence) from "{day.schema}" where symbol = %s '
        f"and ts_event >= {literal(day.day_ns)} and ts_event < {literal(day.day_ns + DAY_NS)}"
        + " and spec = %s"
        * (day.spec is not None),
        (day.symbol, *([] if day.spec is None else [day.spec])),
    )
    return int(count), -1 if first is None else int(first), -1 if last is None else int(last)
