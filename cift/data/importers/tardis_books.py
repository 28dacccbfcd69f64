"""Tardis' CSV files of books: every change of a level (`incremental_book_L2`), and pictures of the best N (`book_snapshot_N`).

| file | becomes |
|---|---|
| `incremental_book_L2` | `mbp`, row by row; rows of one message (same timestamp and local_timestamp) are an event |
| `book_snapshot_5`, `book_snapshot_25` | `mbp`: the first row a snapshot, each other one what changed since |

Rows of `is_snapshot` after others that are not one begin with a clear. Source: "Downloadable CSV files", docs.tardis.dev.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cift.data.columns import Array, RawColumns, cut, join, one_array
from cift.data.importers.known import FinestSteps
from cift.data.importers.levels import ASK, BID, CLEAR, NO_SIDE, SET, LevelRows, TopOfBook
from cift.data.importers.mixed import MixedRows, count_rows, since_snapshot, store
from cift.data.importers.tables import INT64_MAX, CsvFile
from cift.data.report import ImportReport, Tally
from cift.domain.instrument import Number
from cift.domain.schemas import LAST, NO_TIME_NS, SNAPSHOT
from cift.errors import DataError, NoData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

CHANGES = frozenset(("timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount"))
"""Columns of a file of changes."""
TIMES = ("timestamp", "local_timestamp")
NS_PER_US = 1_000
_LEVEL = re.compile(r"asks\[(\d+)\]\.price")
_SIDES = pa.array(["bid", "ask"])


def levels_shown(header: list[str]) -> int:
    """How many levels of each side a file of pictures has; 0: it is none."""
    shown = {int(found[1]) for name in header if (found := _LEVEL.fullmatch(name))}
    count = len(shown)
    complete = {f"{side}[{at}].{what}" for side in ("asks", "bids") for at in range(count) for what in ("price", "amount")}
    return count if complete <= set(header) else 0


def import_books(
    catalog: Catalog,
    table: CsvFile,
    symbol: str,
    asked: str | None,
    tick_size: Number | None,
    lot_size: Number | None,
    policies: Mapping[str, str] | None,
) -> ImportReport:
    """Imports a file of one symbol, or the rows of the one `asked` for; for `import_tardis`, which says what is raised."""
    started = time.perf_counter()
    tally, steps, notes = Tally(table.path.name), FinestSteps(tick_size, lot_size), list[str]()
    reader = _Pictures(table, asked, tally) if levels_shown(table.header) else _Changes(table, asked, tally)
    with catalog.writer() as writer:
        mixed = MixedRows(writer)
        try:
            for kind, numbers, columns in reader.batches():
                steps.see(table.path.name, "mbp", columns)
                mixed.put(kind, table.path.name, numbers, columns)
            if not mixed.rows:
                raise NoData(f"{table.path.name} holds no rows of {asked}; nothing was written")
            part = since_snapshot(mixed, tally, notes, started="levels" in mixed.rows)
            instrument = steps.instrument(symbol, catalog.instruments().get(symbol), notes)
            store(writer, mixed, [part], instrument, tally, policies)
            written = catalog.commit(writer, [instrument])
        finally:
            mixed.close()
    rows_written = count_rows(tally, [part], written)
    return tally.report(symbol, reader.rows_read, rows_written, time.perf_counter() - started, tuple(notes))


class _Books:
    """What both kinds of files share."""

    def __init__(self, table: CsvFile, asked: str | None, tally: Tally) -> None:
        self.table, self.asked, self.tally = table, asked, tally
        self._symbol = table.value("symbol") if asked is None else asked
        self.rows_read = 0
        self._row = table.first_row

    def batches(self) -> Iterator[tuple[str, Array, RawColumns]]:
        """Batches of levels: the kind of mixed rows that they are, row numbers and raw columns."""
        raise NotImplementedError

    def _tables(self, types: Mapping[str, pa.DataType]) -> Iterator[tuple[Array, pa.Table]]:
        """The rows of the symbol, with their numbers.

        Raises:
            DataError: an empty cell where none may be, or a second symbol where none was asked for.
        """
        columns = {**dict.fromkeys(TIMES, pa.int64()), "symbol": pa.string(), **types}
        for batch in self.table.batches(columns):
            table = pa.Table.from_batches([batch])
            numbers = np.arange(self._row, self._row + table.num_rows)
            self._row += table.num_rows
            self.rows_read += table.num_rows
            keep = np.asarray(pc.fill_null(pc.equal(table["symbol"], self._symbol), False))
            if self.asked is None and not keep.all():
                at = int(np.flatnonzero(~keep)[0])
                other = table["symbol"][at].as_py()
                raise DataError(
                    f"{self.table.path.name}, row {numbers[at]}: {str(other)[:80]} after {self._symbol[:80]}; pick one by symbol="
                )
            self.tally.counts["other_symbols"] += int((~keep).sum())
            if not keep.all():
                table, numbers = table.filter(pa.array(keep)), numbers[keep]
            if not table.num_rows:
                continue
            for name in (*TIMES, *(name for name in ("is_snapshot", "side") if name in types)):
                if table[name].null_count:
                    row = numbers[np.asarray(table[name].is_null())][0]
                    raise DataError(f"{self.table.path.name}, row {row}: no {name}")
            yield numbers, table

    def _ns(self, table: pa.Table, name: str, numbers: Array) -> Array:
        times: Array = one_array(table[name]).to_numpy()
        off = np.flatnonzero(np.abs(times) > INT64_MAX // NS_PER_US)
        if len(off):
            raise DataError(f"{self.table.path.name}, row {numbers[off[0]]}: {name} {times[off[0]]} is out of range")
        return times * NS_PER_US


class _Changes(_Books):
    """`incremental_book_L2`."""

    _started = False
    """Whether a snapshot has come."""
    _in_snapshot = False
    """Whether the row before was of one."""

    def batches(self) -> Iterator[tuple[str, Array, RawColumns]]:
        """See `_Books.batches`."""
        types = {"is_snapshot": pa.bool_(), "side": pa.string(), "price": pa.float64(), "amount": pa.float64()}
        held: list[tuple[Array, RawColumns]] = []
        for numbers, table in self._tables(types):
            # Whether the last row ends its event is seen by the row after it.
            held.append((numbers, self._columns(numbers, table)))
            numbers, columns = np.concatenate([one for one, _ in held]), join([one for _, one in held])
            end = len(numbers) - 1
            yield from self._finished(numbers, columns, end)
            held = [(numbers[end:], cut(columns, end, end + 1))]
        for numbers, columns in held:
            yield from self._finished(numbers, columns, 1)

    def _columns(self, numbers: Array, table: pa.Table) -> RawColumns:
        at = np.asarray(pc.fill_null(pc.index_in(table["side"], _SIDES), -1))
        if (at < 0).any():
            first = int(np.flatnonzero(at < 0)[0])
            raise DataError(
                f"{self.table.path.name}, row {numbers[first]}: side {table['side'][first].as_py()[:80]!r} is not bid or ask"
            )
        rows = len(numbers)
        snapshot = np.asarray(one_array(table["is_snapshot"]).to_numpy(zero_copy_only=False))
        return {
            "ts_event": self._ns(table, "timestamp", numbers),
            "ts_recv": self._ns(table, "local_timestamp", numbers),
            "action": np.full(rows, SET, dtype=np.uint8),
            "side": np.array([BID, ASK], dtype=np.uint8)[at],
            "price": np.asarray(one_array(table["price"]).to_numpy(zero_copy_only=False)),
            "size": np.asarray(one_array(table["amount"]).to_numpy(zero_copy_only=False)),
            "flags": np.where(snapshot, SNAPSHOT, 0).astype(np.uint8),
            "sequence": np.full(rows, NO_TIME_NS),
            "venue_seq": np.full(rows, NO_TIME_NS),
        }

    def _finished(self, numbers: Array, columns: RawColumns, rows: int) -> Iterator[tuple[str, Array, RawColumns]]:
        """The first rows, of which one more may be there to see what comes, with the clears that they need."""
        if not rows:
            return
        flags = columns["flags"]
        differs = np.ones(rows, dtype=bool)
        seen = len(flags) - 1 if len(flags) > rows else rows - 1
        differs[:seen] = False
        for name in ("ts_event", "ts_recv", "flags"):
            differs[:seen] |= columns[name][1 : seen + 1] != columns[name][:seen]
        of_snapshot = flags[:rows] == SNAPSHOT
        begins = of_snapshot & ~np.concatenate(([self._in_snapshot], of_snapshot[:-1]))
        self._in_snapshot = bool(of_snapshot[-1])
        numbers, columns = (
            numbers[:rows],
            {**cut(columns, 0, rows), "flags": np.where(differs, flags[:rows] | LAST, flags[:rows])},
        )
        starts = np.flatnonzero(begins)
        self.tally.counts["snapshots"] += len(starts)
        if not self._started:
            before = int(starts[0]) if len(starts) else rows
            if before:
                yield "before", numbers[:before], cut(columns, 0, before)
            self._started = before < rows
            numbers, columns, starts = numbers[before:], cut(columns, before, rows), starts - before
        if len(starts):
            numbers, columns = np.insert(numbers, starts, numbers[starts]), _with_clears(columns, starts)
        if len(numbers):
            yield "levels", numbers, columns


def _with_clears(columns: RawColumns, starts: Array) -> RawColumns:
    """Some levels with a clear in front of each of the rows `starts`."""
    clear = {"action": CLEAR, "side": NO_SIDE, "price": np.nan, "size": 0.0, "flags": SNAPSHOT}
    return {name: np.insert(array, starts, clear.get(name, array[starts])) for name, array in columns.items()}


class _Pictures(_Books):
    """`book_snapshot_N`."""

    def batches(self) -> Iterator[tuple[str, Array, RawColumns]]:
        """See `_Books.batches`."""
        shown = levels_shown(self.table.header)
        names = {
            side: [f"{side}[{at}].{what}" for at in range(shown) for what in ("price", "amount")] for side in ("bids", "asks")
        }
        top, rows, first = TopOfBook(shown), LevelRows(), True
        for numbers, table in self._tables(dict.fromkeys([*names["bids"], *names["asks"]], pa.float64())):
            times = [self._ns(table, name, numbers).tolist() for name in TIMES]
            sides = [_pictures(table, names[side]) for side in ("bids", "asks")]
            for number, ts_event, ts_recv, bids, asks in zip(numbers.tolist(), *times, *sides, strict=True):
                changed_bids, changed_asks, out = top.changes(bids, asks)
                if not first and not changed_bids and not changed_asks:
                    self.tally.counts["unchanged_books"] += 1
                    continue
                rows.add(ts_event, ts_recv, NO_TIME_NS, changed_bids, changed_asks, number, snapshot=first, out_of_sight=out)
                first = False
            columns, of_rows = rows.take()
            if len(of_rows):
                yield "levels", of_rows, columns


def _pictures(table: pa.Table, names: list[str]) -> Iterator[list[tuple[float, float]]]:
    """The levels of one side, row by row; an empty cell is no level."""
    cells = np.column_stack([one_array(table[name]).to_numpy(zero_copy_only=False) for name in names])
    for row in cells.tolist():
        prices = row[::2]
        # A price that is NaN is not equal to itself.
        yield [(price, size) for price, size in zip(prices, row[1::2], strict=True) if price == price]
