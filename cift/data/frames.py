"""Frames as market data: polars, pandas, pyarrow, DuckDB relations and whatever else narwhals or an Arrow capsule takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cift.data.column_names import ours_to_theirs
from cift.data.columns import Array, RawColumns, chunks, cut, length, raw_column, stored_columns, to_arrow
from cift.data.frame_rows import ROWS_PER_BLOCK, ParquetRows, in_blocks
from cift.data.hashing import ContentHash, selection_hash
from cift.data.parquet_footer import check_footer
from cift.data.report import Tally
from cift.data.screen import Screen, outside_quote
from cift.data.times import DAY_NS
from cift.data.view import Ticks
from cift.domain.chunk import Chunk, SchemaName
from cift.domain.instrument import Instrument, Number
from cift.domain.schemas import (
    LAST,
    PRICE_COLUMNS,
    SCHEMAS,
    SIZE_COLUMNS,
    SUSPECT,
    TIME_COLUMNS,
    WORD_CODES,
    arrow_schema,
)
from cift.errors import CorruptData, DataError, InvalidParameter, NoData, UnknownName

DEFAULT_SYMBOL = "DATA"
TIME_NAMES = ("ts_event", "ts", "timestamp", "datetime", "time")
"""Names under which a frame's event time is found, in this order."""
OPTIONAL = frozenset({"ts_recv", "flags", "sequence", "venue_seq", "aggressor", "trade_id", "count", "vwap"})
GRID_DECIMALS_MAX = 9
"""The finest step that is inferred from a column of prices or sizes is 1e-9."""

_WORD_SPELLINGS = {
    "action": {},
    "side": {"b": "bid", "buy": "bid", "a": "ask", "s": "ask", "sell": "ask", "n": "none"},
    "aggressor": {"b": "buy", "bid": "buy", "s": "sell", "a": "sell", "ask": "sell", "n": "none", "unknown": "none"},
}


def quotes(
    frame: Any,
    *,
    symbol: str | None = None,
    trades: Any = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    instrument: Instrument | None = None,
    columns: Mapping[str, str] | None = None,
    policies: Mapping[str, str] | None = None,
    sort: bool = False,
) -> Ticks:
    """A frame of quotes as a data view, with a frame of trades beside it if given.

    Args:
        frame: columns `ts_event, bid_price, bid_size, ask_price, ask_size` in any case, and `ts_recv, flags, venue_seq` where
            known; a row is the best bid and ask from then on. Times are datetimes (naive ones count as UTC) or whole
            nanoseconds since the epoch. A path reads a Parquet file.
        symbol: default: the frame's column `symbol`, else "DATA".
        trades: a frame as `cift.trades` takes it, of the same symbol.
        tick_size: the finest price step; None: the finest decimal step of the prices, named in the view's notes.
        lot_size: the finest size step; None likewise.
        instrument: instead of symbol, tick_size and lot_size.
        columns: our name of a column -> the frame's, `{"bid_price": "best_bid"}`, or the other way round; all in one direction.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.
        sort: sort by time first (rows of one time keep their order); otherwise a row that goes back in time is an error.

    Raises:
        DataError: a column is missing or cannot be read, a price or size is not usable; the message names row and value.
        TimeOrder: the rows go back in time.
        NoData: the frame has no rows.
    """
    given: dict[SchemaName, _Rows] = {"quotes": _rows(frame, "quotes", columns)}
    if trades is not None:
        given["trades"] = _rows(trades, "trades", columns)
    return _view(given, symbol, tick_size, lot_size, instrument, policies, sort=sort)


def trades(
    frame: Any,
    *,
    symbol: str | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    instrument: Instrument | None = None,
    columns: Mapping[str, str] | None = None,
    policies: Mapping[str, str] | None = None,
    sort: bool = False,
) -> Ticks:
    """A frame of prints as a data view.

    Args:
        frame: columns `ts_event, price, size` in any case, and `aggressor` (buy, sell, none), `trade_id, ts_recv, flags,
            venue_seq` where known.

    The other arguments and the errors are those of `cift.quotes`.
    """
    given: dict[SchemaName, _Rows] = {"trades": _rows(frame, "trades", columns)}
    return _view(given, symbol, tick_size, lot_size, instrument, policies, sort=sort)


@dataclass(frozen=True, eq=False)
class FrameFeed:
    """A feed held in memory as an Arrow table of the stored schema."""

    symbol: str
    schema: SchemaName
    instrument: Instrument
    table: pa.Table

    def chunks(self, rows: int | None) -> Iterator[Chunk]:
        """See `Feed.chunks`."""
        check_chunk_rows(rows)
        return chunks(self.schema, iter((raw_columns(self.schema, self.table),)), rows)

    @cached_property
    def content_hash(self) -> str:
        """See `Feed.content_hash`: the same as for the same rows in a catalog."""
        columns = raw_columns(self.schema, self.table)
        days = []
        for day, piece in by_day(columns):
            total = ContentHash(self.schema)
            total.update(piece)
            days.append((str(np.datetime64(day, "D")), total.hexdigest()))
        return selection_hash(self.schema, days)


def check_chunk_rows(rows: int | None) -> None:
    """Refuses a chunk size that is not positive.

    Raises:
        InvalidParameter: where it is not.
    """
    if rows is not None and rows < 1:
        raise InvalidParameter(f"rows of a chunk must be at least 1, or None for all at once, not {rows}")


def raw_columns(schema: SchemaName, table: pa.Table) -> RawColumns:
    """All stored columns of an Arrow table as raw arrays."""
    return {name: raw_column(name, table.column(name)) for name in stored_columns(schema)}


def by_day(columns: RawColumns) -> Iterator[tuple[int, RawColumns]]:
    """Splits rows in time order by UTC day (days since the epoch)."""
    ts_event, at = columns["ts_event"], 0
    while at < len(ts_event):
        day = int(ts_event[at]) // DAY_NS
        last = (day + 1) * DAY_NS > np.iinfo(np.int64).max
        stop = len(ts_event) if last else at + int(np.searchsorted(ts_event[at:], (day + 1) * DAY_NS, side="left"))
        yield day, cut(columns, at, stop)
        at = stop


def number_rows(columns: RawColumns) -> RawColumns:
    """The rows with `sequence` counted from 0 within each UTC day."""
    sequence, at = np.arange(length(columns), dtype=np.int64), 0
    for _, piece in by_day(columns):
        sequence[at : at + length(piece)] -= at
        at += length(piece)
    return {**columns, "sequence": sequence}


def read_frame(frame: Any) -> pa.Table:
    """Any frame as an Arrow table.

    Raises:
        DataError: where it is nothing that can be read as a frame.
    """
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if isinstance(frame, (str, Path)):
        try:
            read = pq.read_table(frame, partitioning=None, page_checksum_verification=True)
            for file in [Path(frame)] if Path(frame).is_file() else Path(frame).rglob("*.parquet"):
                check_footer(pq.ParquetFile(file), file)
            read.validate(full=True)  # text that is none, places beyond an end
            read.column_names  # noqa: B018
        except CorruptData:
            raise
        except Exception as error:  # whatever a decoder raises on damaged bytes, it is the file that is at fault
            raise DataError(f"{frame} cannot be read as Parquet: {error}") from None
        return read
    index = getattr(frame, "index", None)
    if hasattr(frame, "reset_index") and index is not None and type(index).__name__ != "RangeIndex":
        frame = frame.reset_index(names="ts_event") if index.name is None and index.nlevels == 1 else frame.reset_index()
    import narwhals as nw

    try:
        native: Any = nw.from_native(frame)
    except TypeError:
        if hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__"):
            return pa.table(frame)
        raise DataError(
            f"a frame (polars, pandas, pyarrow, DuckDB, an Arrow stream) or a Parquet path was expected, not "
            f"{type(frame).__name__}"
        ) from None
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    table: pa.Table = native.to_arrow()
    return table


@dataclass
class _Rows:
    """Rows of one schema before they are screened.

    Args:
        columns: the raw columns.
        symbols: what their column `symbol` holds; empty where there is none.
        owned: whether the arrays are nobody else's, and may be written to.
    """

    columns: RawColumns
    symbols: set[Any]
    owned: bool

    def sort(self) -> None:
        """Brings them into the order of their times."""
        order = np.argsort(self.columns["ts_event"], kind="stable")
        for name in list(self.columns):
            self.columns[name] = self.columns[name][order]
        self.owned = True


def _rows(frame: Any, schema: SchemaName, columns: Mapping[str, str] | None) -> _Rows:
    symbols: set[Any] = set()
    if isinstance(frame, (str, Path)) and Path(frame).is_file():
        file = ParquetRows(frame)
        _some(file.rows, schema)
        found = find_columns(file.names, schema, columns)

        def pieces() -> Iterator[RawColumns]:
            for first_row, block in file.blocks(dict.fromkeys(found.values())):
                table = _conformed(block, schema, found, first_row)
                symbols.update(_symbols(table))
                yield raw_columns(schema, table)

        return _Rows(file.gather(schema, pieces()), symbols, owned=True)
    table = read_frame(frame)
    # Before the kinds of its columns: an empty frame has those that its library gives to nothing.
    _some(table.num_rows, schema)
    table = conform(table, schema, columns)
    return _Rows(raw_columns(schema, table), _symbols(table), owned=False)


def _some(rows: int, schema: SchemaName) -> None:
    if not rows:
        raise NoData(f"no data: the frame of {schema} has no rows")


def conform(table: pa.Table, schema: SchemaName, columns: Mapping[str, str] | None = None) -> pa.Table:
    """A table with the columns and types of a stored schema (`symbol` is kept, if there is one); rows as they were.

    Raises:
        DataError: where a column is missing or has values of another kind; the message shows what was found.
        UnknownName: where `columns` names a column that the schema or the table does not have.
    """
    return _conformed(table, schema, find_columns(table.column_names, schema, columns))


def _conformed(table: pa.Table, schema: SchemaName, found: Mapping[str, str], first_row: int = 0) -> pa.Table:
    """The same where the columns are found; errors number the rows from `first_row`."""
    target = arrow_schema(schema)
    arrays = []
    for field in target:
        source = found.get(field.name)
        if source is None:
            arrays.append(_default(field, table.num_rows))
        else:
            arrays.append(_cast(table.column(source), field, schema, source, first_row))
    conformed = pa.Table.from_arrays(arrays, schema=target)
    if "symbol" in found:
        conformed = conformed.append_column("symbol", table.column(found["symbol"]).cast(pa.string()))
    return conformed


def find_columns(names: Sequence[str], schema: SchemaName, columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """Which of the columns `names` hold a schema's columns, and `symbol`: our name -> theirs.

    Raises:
        DataError: where one is missing that must be there; the message shows what was found.
        UnknownName: where `columns` names a column that the schema or the table does not have.
    """
    known = (*stored_columns(schema), "symbol")
    every = {name for other in SCHEMAS for name in stored_columns(other)}
    read = ours_to_theirs(columns or {}, known, names, elsewhere=every)  # one map may serve a frame of quotes and one of trades
    given = dict(columns or {}) if read is None else read
    for ours, theirs in list(given.items()):
        if ours not in known:
            # One map may serve a frame of quotes and one of trades.
            if any(ours in stored_columns(other) for other in SCHEMAS):
                del given[ours]
                continue
            raise UnknownName(f"columns= names {ours!r}; {schema} has {', '.join(known)}")
        if theirs not in names:
            raise UnknownName(f"columns= says {ours!r} is {theirs!r}, which is not among {', '.join(names)}")
    found = dict(given)
    lowered: dict[str, str] = {}
    for name in names:
        lowered.setdefault(str(name).strip().lower(), name)
    for ours in known:
        spellings = TIME_NAMES if ours == "ts_event" else (ours,)
        for spelling in spellings:
            if ours not in found and spelling in lowered:
                found[ours] = lowered[spelling]
    for ours in stored_columns(schema):
        if ours not in found and ours not in OPTIONAL:
            raise DataError(
                f"column {ours!r} missing; found {', '.join(repr(name) for name in names)}; pass columns={{{ours!r}: '...'}}"
            )
    return found


def _default(field: pa.Field, rows: int) -> pa.Array:
    if field.name == "flags":
        return pa.array(np.full(rows, LAST, dtype=np.uint8))
    if field.name == "sequence":
        return pa.array(np.arange(rows, dtype=np.int64))
    if field.name in WORD_CODES:
        nobody = np.full(rows, list(WORD_CODES[field.name]).index("none"), dtype=np.int8)
        return pa.DictionaryArray.from_arrays(pa.array(nobody), pa.array(list(WORD_CODES[field.name])))
    return pa.nulls(rows, field.type)


def _cast(column: pa.ChunkedArray, field: pa.Field, schema: SchemaName, source: str, first_row: int) -> pa.ChunkedArray:
    kind = column.type
    try:
        if field.name in WORD_CODES:
            return _words(column, field, first_row)
        if field.name in TIME_COLUMNS:
            if pa.types.is_timestamp(kind):
                # A cast from a naive timestamp keeps the wall time as UTC; from another zone it keeps the instant.
                result = column.cast(field.type)
            elif pa.types.is_date(kind):
                result = column.cast(pa.timestamp("ns")).cast(field.type)
            elif pa.types.is_integer(kind):
                result = column.cast(pa.int64()).cast(field.type)
            else:
                raise DataError(f"column {source!r} is {kind}; times must be datetimes or whole nanoseconds since the epoch")
        else:
            result = column.cast(field.type)
    except pa.ArrowInvalid as error:
        raise DataError(f"column {source!r} ({kind}) cannot be read as {field.name} ({field.type}): {error}") from None
    except pa.ArrowNotImplementedError:
        raise DataError(f"column {source!r} is {kind}; {field.name} must be {field.type}") from None
    if result.null_count and not field.nullable:
        if field.name in SIZE_COLUMNS[schema] and schema == "quotes":
            return pc.fill_null(result, float("nan"))  # with a price that is none either, the side is missing
        if field.name == "flags":
            return pc.fill_null(result, LAST)
        row = first_row + int(np.flatnonzero(np.asarray(pc.is_null(result)))[0])
        raise DataError(f"column {source!r} is null at row {row}; {field.name} must be known in every row")
    return result


def _words(column: pa.ChunkedArray, field: pa.Field, first_row: int) -> pa.ChunkedArray:
    words = pc.fill_null(column.cast(pa.string()), "none")
    encoded = words.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    spellings = _WORD_SPELLINGS[field.name]
    allowed = WORD_CODES[field.name]
    names = []
    for index, word in enumerate(encoded.dictionary.to_pylist()):
        name = spellings.get(word.strip().lower(), word.strip().lower())
        if name not in allowed:
            row = first_row + int(np.flatnonzero(encoded.indices.to_numpy() == index)[0])
            raise DataError(f"{field.name} of row {row} is {word!r}; it must be one of {', '.join(allowed)}")
        names.append(name)
    order = {word: index for index, word in enumerate(allowed)}
    lookup = np.array([order[name] for name in names] or [0], dtype=np.int8)
    indices = lookup.take(encoded.indices.to_numpy().astype(np.int64))
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(allowed)))


def infer_step(columns: list[Array], what: str) -> Decimal:
    """The finest decimal step of some columns: 1, 0.1, 0.01 ... of which every value is a whole number.

    Raises:
        DataError: where no step down to 1e-9 will do.
    """
    decimals = 0
    for column in columns:
        for start in range(0, len(column), ROWS_PER_BLOCK):
            values = column[start : start + ROWS_PER_BLOCK]
            values = values[np.isfinite(values)]
            while len(off := values[np.round(values, decimals) != values]):
                if decimals == GRID_DECIMALS_MAX:
                    raise DataError(
                        f"{what}s such as {float(off.min())!r} lie on no decimal step down to 1e-9; pass {what_argument(what)}="
                    )
                decimals += 1
    return Decimal(1).scaleb(-decimals)


def what_argument(what: str) -> str:
    """The argument that states the step of prices or sizes."""
    return "tick_size" if what == "price" else "lot_size"


def _view(
    given: Mapping[SchemaName, _Rows],
    symbol: str | None,
    tick_size: Number | None,
    lot_size: Number | None,
    instrument: Instrument | None,
    policies: Mapping[str, str] | None,
    *,
    sort: bool,
) -> Ticks:
    if instrument is not None and (symbol is not None or tick_size is not None or lot_size is not None):
        raise InvalidParameter("pass instrument=, or symbol=, tick_size= and lot_size=, not both")
    held = set().union(*(rows.symbols for rows in given.values()))
    symbol = _one_symbol(held, symbol if instrument is None else instrument.symbol)
    if sort:
        for rows in given.values():
            rows.sort()
    raw = {schema: rows.columns for schema, rows in given.items()}
    notes: list[str] = []
    if instrument is None:
        if tick_size is None:
            tick_size = infer_step([raw[s][name] for s in raw for name in PRICE_COLUMNS[s]], "price")
            notes.append(f"tick size of {symbol} inferred from its prices: {tick_size}; pass tick_size= to state another")
        if lot_size is None:
            lot_size = infer_step([raw[s][name] for s in raw for name in SIZE_COLUMNS[s]], "size")
            notes.append(f"lot size of {symbol} inferred from its sizes: {lot_size}; pass lot_size= to state another")
        instrument = Instrument(symbol, tick_size=tick_size, lot_size=lot_size)  # type: ignore[arg-type]
    for schema, rows in given.items():
        tally = Tally(schema)
        screen = Screen(schema, instrument, schema, tally, policies)
        raw[schema] = in_blocks(screen.check, rows.columns, owned=rows.owned)
        screen.finish()
        if schema == "trades" and "quotes" in raw:
            _count_outside(raw, tally, screen.policies["outside_quote"])
        notes += [f"{schema}: {count:,} x {kind}, see cift.data.screen" for kind, count in tally.counts.items() if count]
        if not length(raw[schema]):
            raise NoData(f"no row of {schema} of {symbol} passed: {', '.join(notes)}")
    feeds = tuple(
        FrameFeed(symbol, schema, instrument, to_arrow(schema, number_rows(columns))) for schema, columns in raw.items()
    )
    return Ticks(feeds, (symbol,), None, None, "L1", instrument.calendar, tuple(notes))


def _count_outside(raw: dict[SchemaName, RawColumns], tally: Tally, policy: str) -> None:
    outside = outside_quote(raw["quotes"], raw["trades"])
    tally.counts["outside_quote"] += int(outside.sum())
    if policy == "flag":
        flags = np.where(outside, raw["trades"]["flags"] | SUSPECT, raw["trades"]["flags"]).astype(np.uint8)
        raw["trades"] = {**raw["trades"], "flags": flags}


def symbol_of(table: pa.Table, asked: str | None) -> str:
    """The one symbol of a table: what was asked for, what its column `symbol` says, or "DATA".

    Raises:
        DataError: where it holds several, or another than was asked for.
    """
    return _one_symbol(_symbols(table), asked)


def _symbols(table: pa.Table) -> set[Any]:
    return set(pc.unique(table["symbol"]).to_pylist()) if "symbol" in table.column_names else set()


def _one_symbol(found: Set[Any], asked: str | None) -> str:
    held = sorted(found, key=str)
    if len(held) > 1 or (asked is not None and held not in ([], [asked])):
        raise DataError(
            f"the frame holds {', '.join(str(name) for name in held)} in its column 'symbol'; filter it to one symbol"
            + (f", {asked!r} was asked for" if asked is not None else "")
        )
    return asked if asked is not None else held[0] if held else DEFAULT_SYMBOL
