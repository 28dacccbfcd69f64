"""Messages of LOBSTER many at a time: the ordinary ones, which nearly all of a file are, become records as columns.

A message is ordinary where nothing has to be decided about it: it follows the grammar, its numbers are in range and on the
grid, and what it says of its order is what the messages before left of that order. All others are taken one by one, see
`cift.data.importers.lobster_replay`, and with them the other messages of the same orders. Orders do not depend on each
other, so both ways give the same records; where it is not so, as with phantoms, the whole block is taken one by one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from cift.data.columns import Array, RawColumns, cut, one_array
from cift.data.importers.records import ADD, ASK, BID, CANCEL, DTYPES, FILL, TRADE
from cift.domain.schemas import LAST

PRICE_UNITS_PER_DOLLAR: Final = 10_000
NO_LEVEL: Final = 9_999_999_999
"""Price of an empty level of an order book file (negative on the bid side)."""
PRICE_UNITS_MAX: Final = NO_LEVEL - 1
SIZE_MAX: Final = 2**31 - 1
SECONDS_PER_DAY: Final = 86_400
SUBMIT, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CROSS, HALT = range(1, 8)

Order = tuple[int, int, int]
"""What an order has in the book: side (raw code), price in 1e-4 dollars, size."""
NOWHERE: Final[Order] = (0, 0, 0)

BY_HAND_MAX: Final = 1 / 3
"""Where more of a block is not ordinary, nothing is won by keeping the two apart."""
STEP_MAX: Final = 10**6
"""Steps of prices and sizes with a larger numerator or denominator are left to whole numbers without an end."""

_COLUMNS: Final = {
    "time": "float64", "kind": "int8", "order_id": "int64", "size": "int64", "price": "int64", "direction": "int8"
}  # fmt: skip
_LINE: Final = r"[0-9]{1,6}(?:\.[0-9]{1,DECIMALS})?,[1-7],-?[0-9]{1,19},-?[0-9]{1,12},-?[0-9]{1,12},(?:-1|0|1)"
_SEVENTH: Final = r"(?:,[!-+\-.-~]{0,64})"
_LONG_TIME: Final = re.compile(rb"\n([0-9]+)\.([0-9]{9})([0-9])")

_RECORDS_OF: Final = np.zeros(8, dtype=np.int64)
_RECORDS_OF[[SUBMIT, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN]] = 1, 1, 1, 3, 1
_ACTION_OF: Final = np.zeros(8, dtype=np.uint8)
_ACTION_OF[[SUBMIT, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN]] = ADD, CANCEL, CANCEL, CANCEL, TRADE


class Message(NamedTuple):
    """One message: time in ns, price in 1e-4 dollars, side as raw code."""

    ts_event: int
    kind: int
    order_id: int
    size: int
    price: int
    side: int


class Messages(NamedTuple):
    """Messages as columns: time in ns since midnight and whether it was rounded, price in 1e-4 dollars, direction as in the file."""

    ns: Array
    rounded: Array
    kind: Array
    order_id: Array
    size: Array
    price: Array
    direction: Array


class Grid(NamedTuple):
    """Numerators and denominators of the steps: of prices, of displayed prices (None: it depends), in 1e-4 dollars, and sizes."""

    tick: tuple[int, int]
    increment: tuple[int, int] | None
    lot: tuple[int, int]

    @classmethod
    def of(cls, tick: Fraction, increment: Fraction | None, lot: Fraction) -> Grid | None:
        """The grid, where products of a price or size and a denominator fit into 64 bits."""
        if any(max(step.as_integer_ratio()) > STEP_MAX for step in (tick, increment, lot) if step is not None):
            return None
        ratio = None if increment is None else increment.as_integer_ratio()
        return cls(tick.as_integer_ratio(), ratio, lot.as_integer_ratio())


def read(block: bytes) -> Messages | None:
    """The messages of a block of lines; None where a line is not written as lines ordinarily are."""
    if not block.endswith(b"\n"):
        block += b"\n"
    columns = 1 + block.count(b",", 0, block.index(b"\n"))
    # What `pyarrow.csv` is trusted with: it would read much else, such as blanks around numbers, or zeros without an end.
    line = _LINE + (_SEVENTH if columns == 7 else "")
    is_short = _follows(block, line.replace("DECIMALS", "9"))
    if not is_short and not _follows(block, line.replace("DECIMALS", "18")):
        return None
    try:
        table = pacsv.read_csv(
            pa.py_buffer(block),
            pacsv.ReadOptions(use_threads=False, block_size=len(block), column_names=[*_COLUMNS, "more"][:columns]),
            pacsv.ParseOptions(quote_char=False),
            pacsv.ConvertOptions(
                column_types={name: pa.type_for_alias(dtype) for name, dtype in _COLUMNS.items()},
                include_columns=list(_COLUMNS),
                null_values=[],
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid:  # an order id of nineteen digits may be too large
        return None
    time, *numbers = (_values(table[name], np.dtype(dtype)) for name, dtype in _COLUMNS.items())
    # Six digits before the point and nine behind are fewer than a float holds: the nearest whole number is what was written.
    ns, rounded = np.rint(time * 1e9).astype(np.int64), np.zeros(len(time), dtype=bool)
    if not is_short:
        _round(block, ns, rounded)
    return Messages(ns, rounded, *numbers)


def _follows(block: bytes, line: str) -> bool:
    """Whether all lines follow a pattern."""
    ends = pa.py_buffer(np.array([0, len(block)], dtype=np.int32))
    text = pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(block)])
    return bool(pc.match_substring_regex(text, rf"\A(?:{line}\r?\n)*\z")[0].as_py())


def _round(block: bytes, ns: Array, rounded: Array) -> None:
    """Sets the times of more than nine decimals: the tenth decides."""
    block = b"\n" + block
    row = at = 0
    for found in _LONG_TIME.finditer(block):
        row += block.count(b"\n", at, found.start())
        at = found.start()
        ns[row] = int(found[1]) * 1_000_000_000 + int(found[2]) + (found[3] >= b"5")
        rounded[row] = True


def _values(column: pa.ChunkedArray, dtype: np.dtype[Any]) -> Array:
    array = one_array(column)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def _off(values: Array, step: tuple[int, int]) -> Array:
    off: Array = values * step[1] % step[0] != 0
    return off


T = TypeVar("T")


class Passing(Generic[T]):
    """Things that ordinary messages bring, in the order of the messages, handed out as the messages pass.

    Args:
        rows: the messages, counted from 0.
        things: what each brings.
    """

    def __init__(self, rows: list[int], things: list[T]) -> None:
        self._rows, self._things, self._at = rows, things, 0

    def until(self, row: int) -> list[T]:
        """What the messages before a row bring, since the last call."""
        start, self._at = self._at, bisect_left(self._rows, row, self._at)
        return self._things[start : self._at]


@dataclass(frozen=True)
class Block:
    """A block of messages of which most are ordinary.

    Args:
        before: how many rows of the file came before.
        rows: how many messages there are.
        by_hand: those that are not ordinary, counted from 0, and what they say; None: their lines tell.
        records: of all ordinary messages.
        starts: where the records of each message begin, and where those of the last one end.
        counts: ordinary messages by what is counted of them.
        met: the keys of `counts`, with the messages that bring them first.
        born: the orders that are in the book when the block ends, and were not before, as they are then.
        changed: orders that were in the book before, and what they have now.
        gone: orders that were in the book before.
        last_ns: time of the last message.
    """

    before: int
    rows: int
    by_hand: list[tuple[int, Message | None]]
    records: RawColumns
    starts: Array
    counts: dict[str, int]
    met: Passing[str]
    born: Passing[tuple[int, Order]]
    changed: dict[int, Order]
    gone: list[int]
    last_ns: int | None

    def size(self, start: int, stop: int) -> int:
        """How many records some messages have."""
        return int(self.starts[stop]) - int(self.starts[start])

    def stop(self, start: int, records: int) -> int:
        """Where messages from `start` on end that have as many records."""
        return int(np.searchsorted(self.starts, self.starts[start] + records))

    def records_of(self, start: int, stop: int) -> RawColumns:
        """The records of some messages."""
        return cut(self.records, int(self.starts[start]), int(self.starts[stop]))


def sort_out(
    messages: Messages, before: int, midnight_ns: int, last_ns: int | None, grid: Grid, resting: Mapping[int, Order]
) -> Block | None:
    """Tells ordinary messages from the others, and turns them into records.

    Args:
        messages: of a block.
        before: how many rows of the file came before.
        midnight_ns: what times are counted from.
        last_ns: time of the message before, None: these are the first, and what they say of the book is not ordinary.
        grid: the steps of prices and sizes.
        resting: the orders in the book, by id; they are not changed.

    Returns:
        None where a time goes back, or much is not ordinary.
    """
    ts_event = midnight_ns + messages.ns
    # Neither of these becomes a record, nor do their times count.
    timed = np.flatnonzero((messages.kind != HALT) & (messages.size != 0))
    if (np.diff(ts_event[timed]) < 0).any() or (last_ns is not None and len(timed) and ts_event[timed[0]] < last_ns):
        return None
    plain = _plain(messages, grid)
    if last_ns is None:
        plain[timed[:1]] = False
    lives = _Lives.of(messages, plain, resting)
    ordinary = plain.copy()
    ordinary[lives.rows[np.repeat(lives.odd, lives.lengths)]] = False
    others = np.flatnonzero(~ordinary)
    if len(others) > BY_HAND_MAX * len(plain):
        return None
    columns = (ts_event, messages.kind, messages.order_id, messages.size, messages.price, _side(messages.direction))
    said = map(Message._make, zip(*(column[others].tolist() for column in columns), strict=True))
    by_hand = [
        (row, message if is_plain else None)
        for row, message, is_plain in zip(others.tolist(), said, (plain & ~messages.rounded)[others].tolist(), strict=True)
    ]
    if len(timed):
        last_ns = int(ts_event[timed[-1]])
    records, starts = _records(messages, ts_event, ordinary, before)
    counts, met = _counts(messages, ordinary)
    born, changed, gone = lives.outcome(messages)
    return Block(before, len(plain), by_hand, records, starts, counts, met, born, changed, gone, last_ns)


def _side(direction: Array) -> Array:
    return np.where(direction == 1, np.uint8(BID), np.uint8(ASK))


def _counts(messages: Messages, ordinary: Array) -> tuple[dict[str, int], Passing[str]]:
    """See `Block`."""
    marks = {f"type_{kind}": ordinary & (messages.kind == kind) for kind in range(SUBMIT, CROSS)}
    marks["rounded_times"] = ordinary & messages.rounded
    counts = {name: count for name, mark in marks.items() if (count := int(np.count_nonzero(mark)))}
    # Sorting keeps what one message brings in order: first its type.
    first = sorted(((int(np.argmax(marks[name])), name) for name in counts), key=lambda pair: pair[0])
    return counts, Passing([row for row, _ in first], [name for _, name in first])


def _plain(messages: Messages, grid: Grid) -> Array:
    """Which messages ask for no decision, whatever their order is."""
    ns, _, kind, order_id, size, price, direction = messages
    plain: Array = (kind <= EXECUTE_HIDDEN) & (direction != 0) & (ns < SECONDS_PER_DAY * 10**9) & (order_id >= 0)
    plain &= (price > 0) & (price <= PRICE_UNITS_MAX) & (size > 0) & (size <= SIZE_MAX)
    plain &= ~_off(price, grid.tick)
    if grid.lot != (1, 1):
        plain &= ~_off(size, grid.lot)
    if grid.increment is None:
        plain &= kind != EXECUTE_HIDDEN
    elif grid.increment != grid.tick:
        plain &= (kind != EXECUTE_HIDDEN) | ~_off(price, grid.increment)
    return plain


@dataclass(frozen=True)
class _Lives:
    """The messages that name an order, by order.

    Args:
        rows: the messages, counted from 0, those of an order together and in the order of the file.
        first: where in `rows` those of each order begin.
        lengths: how many they are.
        added: whether each order is new.
        odd: whether anything about it is not ordinary.
        left: what is left of it at the end.
    """

    rows: Array
    first: Array
    lengths: Array
    added: Array
    odd: Array
    left: Array

    @classmethod
    def of(cls, messages: Messages, plain: Array, resting: Mapping[int, Order]) -> _Lives:
        rows = np.flatnonzero(messages.kind <= EXECUTE)
        rows = rows[np.argsort(messages.order_id[rows], kind="stable")]
        ids, kind = messages.order_id[rows], messages.kind[rows]
        begins = np.ones(len(rows), dtype=bool)
        begins[1:] = ids[1:] != ids[:-1]
        first = np.flatnonzero(begins)
        lengths = np.diff(first, append=len(rows))
        is_add = kind == SUBMIT
        added = is_add[first]
        odd = np.zeros(len(first), dtype=bool)
        new = ids[first[added]].tolist()
        if not resting.keys().isdisjoint(new):
            odd[added] = [order_id in resting for order_id in new]
        # Where an order comes from: its own announcement, or the messages before.
        direction, price, size = (column[rows] for column in (messages.direction, messages.price, messages.size))
        origin = [column[first].astype(np.int64) for column in (direction, price, size)]
        known = [resting.get(order_id, NOWHERE) for order_id in ids[first[~added]].tolist()]
        if known:
            for column, values in zip(origin, zip(*known, strict=True), strict=True):
                column[~added] = values
            side = origin[0][~added]
            origin[0][~added] = (side == BID).astype(np.int64) - (side == ASK)
        other = (direction != np.repeat(origin[0], lengths)) | (price != np.repeat(origin[1], lengths))
        taken = np.cumsum(np.where(is_add, 0, size))
        taken_before = np.concatenate(([0], taken))[first]
        left = np.repeat(origin[2] + taken_before, lengths) - taken
        # What goes on when nothing is left takes more than there is, or adds it again.
        bad = ~plain[rows] | other | (is_add & ~begins) | (left < 0) | ((kind == DELETE) & (left != 0))
        if len(first):
            odd |= np.logical_or.reduceat(bad, first)
        return cls(rows, first, lengths, added, odd, left[first + lengths - 1])

    def outcome(self, messages: Messages) -> tuple[Passing[tuple[int, Order]], dict[int, Order], list[int]]:
        """Of ordinary orders: see `Block`."""
        stays, fine = self.left > 0, ~self.odd
        born = np.flatnonzero(fine & self.added & stays)
        born = born[np.argsort(self.rows[self.first[born]])]
        changed = np.flatnonzero(fine & ~self.added & stays)
        gone = self.rows[self.first[fine & ~self.added & ~stays]]
        return (
            Passing(self.rows[self.first[born]].tolist(), self._orders(messages, born)),
            dict(self._orders(messages, changed)),
            messages.order_id[gone].tolist(),
        )

    def _orders(self, messages: Messages, which: Array) -> list[tuple[int, Order]]:
        rows = self.rows[self.first[which]]
        orders = zip(
            _side(messages.direction[rows]).tolist(), messages.price[rows].tolist(), self.left[which].tolist(), strict=True
        )
        return list(zip(messages.order_id[rows].tolist(), orders, strict=True))


def _records(messages: Messages, ts_event: Array, plain: Array, before: int) -> tuple[RawColumns, Array]:
    """The records of ordinary messages, and where those of each message begin."""
    kind = messages.kind
    starts = np.zeros(len(kind) + 1, dtype=np.int64)
    np.cumsum(np.where(plain, _RECORDS_OF[kind], 0), out=starts[1:])
    rows = np.repeat(np.arange(len(kind)), np.diff(starts))
    records = {
        "ts_event": ts_event[rows],
        "action": _ACTION_OF[kind[rows]],
        "side": _side(messages.direction)[rows],
        "price": (messages.price / PRICE_UNITS_PER_DOLLAR)[rows],
        "size": messages.size.astype(np.float64)[rows],
        "order_id": messages.order_id.view(np.uint64)[rows],
        "flags": np.full(len(rows), LAST, dtype=np.uint8),
        "venue_seq": rows + (before + 1),
    }
    executed = starts[:-1][plain & (kind == EXECUTE)]
    records["action"][executed] = TRADE
    records["action"][executed + 1] = FILL
    records["flags"][executed] = records["flags"][executed + 1] = 0
    # A print names the aggressor's side, and no order.
    prints = np.concatenate((executed, starts[:-1][plain & (kind == EXECUTE_HIDDEN)]))
    records["side"][prints] = (BID + ASK) - records["side"][prints]
    records["order_id"][prints] = 0
    assert {name: column.dtype for name, column in records.items()} == DTYPES
    return records, starts
