"""Binance's CSV files: those of data.binance.vision, and the older archive of order books.

| file | columns | becomes |
|---|---|---|
| trades | id, price, qty, quote_qty, time, is_buyer_maker | `trades` |
| aggTrades | agg_trade_id, price, quantity, first_trade_id, last_trade_id, transact_time, is_buyer_maker | `trades` |
| bookTicker | update_id, best_bid_price, best_bid_qty, best_ask_price, best_ask_qty, transaction_time, event_time | `quotes` |
| klines | open_time, open, high, low, close, volume, close_time, quote_volume, count, ... | `bars` |
| depth, snap and update | symbol, timestamp, first_update_id, last_update_id, side, update_type, price, qty, pu | `mbp` |

Files without a header line, as those of spot, are recognised by their number of columns. Times are in milliseconds, since 2025
on spot in microseconds: the first one of a file tells. None of them tells a time of receipt.
"""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cift.data.bar_screen import screen_of
from cift.data.columns import Array, RawColumns, one_array
from cift.data.importers.book_chain import BookChain, BookEvent
from cift.data.importers.known import FinestSteps
from cift.data.importers.levels import LevelRows
from cift.data.importers.mixed import BACK_NS_MAX, MixedRows, Stored, count_rows, since_snapshot, store
from cift.data.importers.tables import NS_PER_UNIT, CsvFile, Source, Times
from cift.data.importers.text import lines
from cift.data.report import ImportReport, Tally
from cift.data.screen import LATEST_NS
from cift.data.stored_bars import Among
from cift.domain.bar_spec import BarSpec
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Number
from cift.domain.schemas import NO_TIME_NS
from cift.errors import DataError, InvalidParameter, NoData, NotSupported

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

CONTRACTS = "sizes are contracts, whose worth is in dollars; the instrument counts them as units"
"""What is noted of COIN-M."""
MAKER = "is_buyer_maker"
TRADES = ("id", "price", "qty", "quote_qty", "time", MAKER)
AGGREGATED = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", MAKER)
TICKER = ("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time")
KLINES = ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", *"xyz")
DEPTH = ("symbol", "timestamp", "first_update_id", "last_update_id", "side", "update_type", "price", "qty", "pu")

_MAPS: dict[tuple[str, ...], tuple[SchemaName, dict[str, str]]] = {
    TRADES: ("trades", {"ts_event": "time", "price": "price", "size": "qty", "aggressor": MAKER, "trade_id": "id"}),
    AGGREGATED: (
        "trades",
        {"ts_event": "transact_time", "price": "price", "size": "quantity", "aggressor": MAKER, "trade_id": "agg_trade_id"},
    ),
    TICKER: (
        "quotes",
        {
            "ts_event": "transaction_time",
            "bid_price": "best_bid_price",
            "bid_size": "best_bid_qty",
            "ask_price": "best_ask_price",
            "ask_size": "best_ask_qty",
            "venue_seq": "update_id",
        },
    ),
}
_COIN_MARGINED = re.compile(r"USD_(PERP|\d{6})$")
_TRUTHS = ("true", "false")
MICROSECONDS_FROM = 100_000_000_000_000
"""Times from this number on are microseconds: as milliseconds it is the year 5138."""


def is_coin_margined(name: str) -> bool:
    """Whether a symbol of Binance is one of COIN-M: BTCUSD_PERP, BTCUSD_240927."""
    return _COIN_MARGINED.search(name) is not None


def venue_of(name: str, *, futures: bool) -> str:
    """The venue of a symbol of Binance, which trades BTCUSDT on two markets."""
    return "BINANCE" if not futures else "BINANCE-DELIVERY" if is_coin_margined(name) else "BINANCE-FUTURES"


def import_tables(
    catalog: Catalog,
    paths: Sequence[Path],
    symbol: str | None,
    tick_size: Number | None,
    lot_size: Number | None,
    policies: Mapping[str, str] | None,
) -> ImportReport:
    """Imports CSV files of one kind, in the order of their times; for `import_binance`, which says what is raised."""
    tables = [_table(path) for path in paths]
    kinds = [_kind(table) for table in tables]
    for path, kind in zip(paths, kinds, strict=True):
        if kind != kinds[0]:
            raise DataError(f"{path.name} is of another kind than {paths[0].name}; import them one after the other")
    if symbol is None:
        if kinds[0] != DEPTH:
            raise InvalidParameter(
                f"{paths[0].name} does not tell its symbol and market; pass symbol= such as 'BTCUSDT.BINANCE' (spot), "
                "'BTCUSDT.BINANCE-FUTURES' or 'BTCUSD_PERP.BINANCE-DELIVERY'"
            )
        name = tables[0].value("symbol")
        symbol = f"{name}.{venue_of(name, futures=tables[0].value('pu') != '')}"
    job = _Job(catalog, paths, symbol, FinestSteps(tick_size, lot_size), policies)
    if kinds[0] == KLINES:
        return job.bars(tables)
    return job.depth(tables) if kinds[0] == DEPTH else job.rows(tables, *_MAPS[kinds[0]])


def _table(path: Path) -> CsvFile:
    """A file with its columns named, by its header or by their number.

    Raises:
        NoData: it is empty. DataError: it is no file of Binance.
    """
    line = next((line for _, line in lines(path) if line), "")
    if not line:
        raise NoData(f"{path.name} is empty; nothing was written")
    first = line.split(",")
    if not first[0].strip().isdecimal():
        return CsvFile(path, None)
    truth = [cell.strip().lower() in _TRUTHS for cell in first]
    names: tuple[str, ...] = ()
    match len(first):
        case 6 | 7 if truth[5]:
            names = TRADES
        case 7 | 8 if truth[6]:
            names = AGGREGATED
        case 7:
            names = TICKER
        case 12:
            names = KLINES
    if not names:
        raise DataError(f"{path.name} begins with {','.join(first)[:80]}; that is no trade, best quote or kline of Binance")
    return CsvFile(path, (*names, *(f"more_{at}" for at in range(len(first) - len(names)))))


def _kind(table: CsvFile) -> tuple[str, ...]:
    header = set(table.header)
    for kind in (*_MAPS, KLINES[:9], DEPTH):
        if header >= set(kind):
            return KLINES if kind == KLINES[:9] else kind
    raise DataError(
        f"{table.path.name} has the columns {', '.join(table.header)[:300]}; trades, aggTrades, bookTicker, klines and depth of "
        "Binance are known"
    )


def _unit(table: CsvFile, column: str) -> str:
    value = table.value(column)
    return "us" if value.isdecimal() and int(value) >= MICROSECONDS_FROM else "ms"


class _TradesFile(CsvFile):
    """A file of trades whose buyers' makers are told as the taker's side."""

    def batches(self, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        """See `CsvFile.batches`."""
        if MAKER not in types:
            yield from super().batches(types)
            return
        for batch in super().batches({**types, MAKER: pa.bool_()}):
            at = batch.schema.get_field_index(MAKER)
            yield batch.set_column(at, MAKER, pc.if_else(batch.column(at), "sell", "buy"))


def old_quotes_note(tally: Tally) -> str:
    """What is told of best quotes that were left out."""
    return f"best quotes that were met before, or are older than one above them, were left out: {tally.counts['old_quotes']:,}"


class _Told:
    """Leaves out of tables what was told before, by the venue's numbers, of the last minute.

    Args:
        schema: "trades", which are kept aside, or "quotes", which are counted; a quote older than those above is left out too.
    """

    def __init__(self, schema: SchemaName, tally: Tally) -> None:
        self._tally, self._quotes = tally, schema == "quotes"
        self._ids = self._times = np.empty(0, dtype=np.int64)
        """Of the rows of the last minute."""

    def without_again(self, source: str, numbers: Array, columns: RawColumns) -> tuple[Array, RawColumns]:
        """A batch, its rows' numbers in the file first, without those rows."""
        ids, times = columns["venue_seq" if self._quotes else "trade_id"].astype(np.int64), columns["ts_event"]
        highest = int(self._ids.max(initial=-1))
        fresh = np.ones(len(ids), dtype=bool)
        if len(ids) and (ids[0] <= highest or (np.diff(ids) <= 0).any()):
            fresh[:] = False
            fresh[np.unique(ids, return_index=True)[1]] = True
            fresh &= ~np.isin(ids, self._ids)
            # None is no number.
            fresh |= ids <= 0
            if self._quotes and len(self._ids):
                fresh &= (ids > highest) | (times > self._times.max())
        self._tally.source = source
        for at in np.flatnonzero(~fresh).tolist():
            if self._quotes:
                self._tally.counts["old_quotes"] += 1
            else:
                self._tally.keep_aside(int(numbers[at]), "duplicate", f"trade {ids[at]}")
        self._ids, self._times = np.concatenate([self._ids, ids]), np.concatenate([self._times, times])
        near = self._times > self._times.max(initial=0) - BACK_NS_MAX
        self._ids, self._times = self._ids[near], self._times[near]
        return numbers[fresh], {name: array[fresh] for name, array in columns.items()}


class _Job:
    """One import of tables."""

    def __init__(
        self,
        catalog: Catalog,
        paths: Sequence[Path],
        symbol: str,
        steps: FinestSteps,
        policies: Mapping[str, str] | None,
    ) -> None:
        self.catalog, self.symbol, self.steps, self.policies = catalog, symbol, steps, policies
        self.raw_symbol = symbol.rpartition(".")[0] or symbol
        self.started = time.perf_counter()
        self.name = ", ".join(path.name for path in paths)
        self.tally = Tally(self.name)
        self.rows_read = 0
        self.notes = [CONTRACTS] if is_coin_margined(self.raw_symbol) else []

    def rows(self, tables: Sequence[CsvFile], schema: SchemaName, columns: Mapping[str, str]) -> ImportReport:
        """Trades or best quotes."""
        with self.catalog.writer() as writer:
            mixed, told = MixedRows(writer), _Told(schema, self.tally)
            try:
                for table in tables:
                    file = _TradesFile(table.path, table.names) if schema == "trades" else table
                    source = Source(file, schema, dict(columns), Times(_unit(file, columns["ts_event"])))
                    for of_file, rows in source.batches():
                        numbers, batch = told.without_again(source.name, of_file, rows)
                        if len(numbers):
                            self.steps.see(source.name, schema, batch)
                            mixed.put(schema, source.name, numbers, batch)
                    self.rows_read += source.rows_read
                self.tally.source = self.name
                if self.tally.counts["old_quotes"]:
                    self.notes.append(old_quotes_note(self.tally))
                return self._stored(writer, mixed, [Stored(schema, (schema,))])
            finally:
                mixed.close()

    def depth(self, tables: Sequence[CsvFile]) -> ImportReport:
        """Snapshots and events of a book, brought into the order of their ids."""
        with self.catalog.writer() as writer:
            mixed = MixedRows(writer)
            before, after = LevelRows(), LevelRows()
            book = BookChain(before, after, self.tally, in_order=True)
            # Files given in another order than that of their ids would lose their events as old ones.
            ordered = sorted(tables, key=_first_id)
            snapshots = [table for table in ordered if table.value("update_type") == "snap"]
            updates = [table for table in ordered if table not in snapshots]

            def put(source: str) -> None:
                for kind, rows in (("before", before), ("levels", after)):
                    columns, numbers = rows.take()
                    if len(numbers):
                        self.steps.see(source, "mbp", columns)
                        mixed.put(kind, source, numbers, columns)

            try:
                streams = [chain.from_iterable(self._events(table) for table in group) for group in (updates, snapshots)]
                # A snapshot stands behind the event that it contains last.
                source = ""
                for event, is_snapshot, told_by in heapq.merge(*streams, key=lambda told: (told[0].last_id, told[1])):
                    if told_by != source or before.full() or after.full():
                        put(source)
                        source = told_by
                    (book.snapshot if is_snapshot else book.event)(event)
                put(source)
                part = since_snapshot(mixed, self.tally, self.notes, started=book.started)
                return self._stored(writer, mixed, [part])
            finally:
                mixed.close()

    def _events(self, table: CsvFile) -> Iterator[tuple[BookEvent, bool, str]]:
        """The events of a file, whether they are snapshots, and the file's name.

        Raises:
            DataError: a row of another kind, or of another symbol.
        """
        ints = ("timestamp", "first_update_id", "last_update_id", "pu")
        texts = ("symbol", "side", "update_type")
        types = {**dict.fromkeys(ints, pa.int64()), **dict.fromkeys(texts, pa.string())}
        row, name = table.first_row, table.path.name
        key: tuple[Any, ...] | None = None
        sides: dict[str, list[tuple[float, float]]] = {"b": [], "a": []}
        first_row = row

        def event() -> tuple[BookEvent, bool, str]:
            assert key is not None
            stamp, first, last, previous, kind = key
            told = BookEvent(
                first,
                last,
                previous if previous >= 0 else None,
                sides["b"],
                sides["a"],
                stamp * 1_000_000,
                NO_TIME_NS,
                first_row,
            )
            return told, kind == "snap", name

        for batch in table.batches({**types, "price": pa.float64(), "qty": pa.float64()}):
            self.rows_read += batch.num_rows
            columns = [batch.column(at).to_pylist() for at in range(batch.num_columns)]
            by_name = dict(zip(batch.schema.names, columns, strict=True))
            rows = zip(*(by_name[column] for column in (*ints, *texts, "price", "qty")), strict=True)
            for stamp, first, last, previous, symbol, side, kind, price, size in rows:
                if None in (stamp, first, last, previous, price, size) or side not in sides or kind not in ("snap", "set"):
                    raise DataError(
                        f"{name}, row {row}: side {str(side)[:80]}, update_type {str(kind)[:80]}; a level of Binance was expected"
                    )
                if not 0 < stamp * 1_000_000 < LATEST_NS:
                    raise DataError(f"{name}, row {row}: timestamp {stamp} is not in milliseconds")
                if symbol != self.raw_symbol:
                    raise DataError(
                        f"{name}, row {row}: a level of {str(symbol)[:80]} where {self.raw_symbol[:80]} was expected"
                    )
                if key != (stamp, first, last, previous, kind):
                    if key is not None:
                        yield event()
                    key, first_row, sides = (stamp, first, last, previous, kind), row, {"b": [], "a": []}
                sides[side].append((price, size))
                row += 1
        if key is not None:
            yield event()

    def _stored(self, writer: Any, mixed: MixedRows, parts: Sequence[Stored]) -> ImportReport:
        if not mixed.rows:
            raise NoData(f"{self.name} holds no rows to import; nothing was written")
        instrument = self.steps.instrument(self.symbol, self.catalog.instruments().get(self.symbol), self.notes)
        store(writer, mixed, parts, instrument, self.tally, self.policies)
        if not writer.staged:
            raise NoData(f"no row of {self.name} passed; nothing was written")
        written = self.catalog.commit(writer, [instrument])
        rows_written = count_rows(self.tally, parts, written)
        elapsed = time.perf_counter() - self.started
        return self.tally.report(self.symbol, self.rows_read, rows_written, elapsed, tuple(self.notes))

    # ------------------------------------------------------------------ klines

    def bars(self, tables: Sequence[CsvFile]) -> ImportReport:
        """Klines, all of one length."""
        spec, length_ns = _spec(tables[0])
        for table in tables:
            for _, columns in self._klines(table, length_ns):
                self.steps.see(table.path.name, "bars", columns)
        if not self.rows_read:
            raise NoData(f"{self.name} holds no rows to import; nothing was written")
        self.rows_read = 0
        instrument = self.steps.instrument(self.symbol, self.catalog.instruments().get(self.symbol), self.notes)
        screen = screen_of("bars", instrument, self.name, self.tally, self.policies)

        def screened() -> Iterator[RawColumns]:
            for table in tables:
                screen.source = self.tally.source = table.path.name
                for numbers, columns in self._klines(table, length_ns):
                    yield screen.check(columns, numbers)
            self.tally.source = self.name
            screen.finish()

        # The last kline of a day ends at the midnight after it, and takes nothing of that day along.
        among = Among(self.catalog, self.symbol, spec)
        with self.catalog.writer() as writer:
            writer.add("bars", self.symbol, among.bars(screened()), spec)
            if not writer.staged:
                raise NoData(f"no row of {self.name} passed; nothing was written")
            written = self.catalog.commit(writer, [instrument], among.seen)
        self.notes.append(f"klines of {spec}")
        self.tally.counts["kept_beside"] = among.kept
        rows_written, elapsed = sum(manifest.rows for manifest in written) - among.kept, time.perf_counter() - self.started
        return self.tally.report(self.symbol, self.rows_read, rows_written, elapsed, tuple(self.notes))

    def _klines(self, table: CsvFile, length_ns: int) -> Iterator[tuple[Array, RawColumns]]:
        factor, row = NS_PER_UNIT[_unit(table, "open_time")], table.first_row
        floats = ("open", "high", "low", "close", "volume", "quote_volume")
        types = {name: pa.float64() for name in floats} | {name: pa.int64() for name in ("open_time", "close_time", "count")}
        for batch in table.batches(types):
            if not batch.num_rows:
                continue
            cells = {name: one_array(batch.column(name)).to_numpy(zero_copy_only=False) for name in batch.schema.names}
            numbers = np.arange(row, row + batch.num_rows)
            row += batch.num_rows
            self.rows_read += batch.num_rows
            for name in ("open_time", "close_time", "count"):
                if batch.column(name).null_count:
                    empty = numbers[np.asarray(batch.column(name).is_null())][0]
                    raise DataError(f"{table.path.name}, row {empty}: no {name}")
            opened, closed = cells["open_time"], cells["close_time"]
            off = np.flatnonzero((opened < 0) | (opened >= LATEST_NS // factor) | ((closed - opened + 1) * factor != length_ns))
            if len(off):
                raise DataError(
                    f"{table.path.name}, row {numbers[off[0]]}: a kline from {opened[off[0]]} to {closed[off[0]]}; the first of "
                    f"{self.name} lasts {length_ns // 10**9} s"
                )
            yield numbers, self._bars(cells, opened * factor, length_ns)

    def _bars(self, cells: Mapping[str, Array], opened_ns: Array, length_ns: int) -> RawColumns:
        rows, volume = len(opened_ns), cells["volume"]
        vwap = np.full(rows, np.nan)
        if not is_coin_margined(self.raw_symbol):
            # By one division of two decimals it may come out an ulp beside the low or high.
            np.divide(cells["quote_volume"], volume, out=vwap, where=volume > 0)
            near = np.clip(vwap, cells["low"], cells["high"])
            vwap = np.where(np.abs(vwap - near) <= 1e-9 * np.abs(near), near, vwap)
        return {
            "ts_open": opened_ns,
            "ts_event": opened_ns + length_ns,
            **{name: cells[name] for name in ("open", "high", "low", "close", "volume")},
            "count": cells["count"],
            "vwap": vwap,
            "sequence": np.full(rows, NO_TIME_NS),
        }


def _spec(table: CsvFile) -> tuple[str, int]:
    """The spec of klines, and how long one lasts in ns, by the first.

    Raises:
        DataError: times that are none. NotSupported: no whole number of seconds, or longer than a week.
    """
    try:
        opened, closed = int(table.value("open_time")), int(table.value("close_time"))
    except ValueError:
        raise DataError(f"{table.path.name}, row {table.first_row}: a kline needs its open_time and close_time") from None
    length_ns = (closed - opened + 1) * NS_PER_UNIT[_unit(table, "open_time")]
    seconds, rest = divmod(length_ns, 10**9)
    if rest or not 0 < seconds <= 7 * 86_400:
        raise NotSupported(f"{table.path.name} has klines of {length_ns / 1e9:g} s; whole seconds up to a week are supported")
    return BarSpec.parse(f"{seconds}s").name, length_ns


def _first_id(table: CsvFile) -> int:
    """The update id with which a file of levels begins; what is no number is refused when the rows are read."""
    told = table.value("first_update_id")
    return int(told) if told.isdecimal() else 0
