"""LOBSTER files: NASDAQ order by order, as a message file and an order book file.

A message file has no header and six columns: seconds after midnight (New York), type, order id, size, price in 1e-4
dollars, and direction, which is the side of the resting order. What becomes of each type:

| type | meaning | records |
|---|---|---|
| 1 | a new limit order | `add` |
| 2 | part of an order is cancelled | `cancel` of that size |
| 3 | an order is deleted | `cancel` of all that is left |
| 4 | a visible order is executed | `trade` (side of the aggressor), `fill` (the maker), `cancel`; LAST on the last |
| 5 | a hidden order is executed | `trade` that names no maker; the book stays as it is |
| 6 | a cross (auction) | `trade` without a side |
| 7 | a trading halt | no record: kept aside and counted, the schema has no status |

`venue_seq` is the row of the message (counted from 1; 0 for the snapshot), so all records of one message share it.

**The book before the first message.** Orders that rested before the file begins have no type 1. Their volume is taken
from the first row of the order book file, which already contains message 1: a `clear` and one order per level, with ids
from 2**63 up and the flag SNAPSHOT, so that the book equals the row after message 1. A message that names an order never
added takes from the order standing in for its level; where that holds less, the rest is kept aside. Only the first row
of the order book file is read.

**Phantoms.** Only events within the file's levels are in the message file: an order that leaves them and is cancelled
out there stays in the book for ever. One that is known can be named, see `Phantom`.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from cift.data.importers.bad_rows import BadRows
from cift.data.importers.records import (
    ADD,
    ASK,
    BID,
    CANCEL,
    CLEAR,
    FILL,
    NO_SIDE,
    OTHER_SIDE,
    SEED_ID_FIRST,
    TRADE,
    Records,
)
from cift.data.importers.text import lines
from cift.data.report import ImportReport, Tally
from cift.data.times import datetime_ns
from cift.domain.instrument import Instrument, Number, to_decimal
from cift.domain.schemas import LAST, OFF_GRID, SNAPSHOT
from cift.errors import DataError, InvalidParameter, NoData, OffTickPrice, TimeOrder

if TYPE_CHECKING:
    from cift.data.catalog import Catalog
    from cift.data.columns import RawColumns

PRICE_UNITS_PER_DOLLAR = 10_000
NO_LEVEL = 9_999_999_999
"""Price of an empty level of an order book file (negative on the bid side)."""
PRICE_UNITS_MAX = NO_LEVEL - 1
SIZE_MAX = 2**31 - 1
ZONE = "America/New_York"
SUBMIT, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CROSS, HALT = range(1, 8)
SIDE_OF_DIRECTION = {"1": BID, "-1": ASK}

_MESSAGE = re.compile(r"(\d{1,6})(?:\.(\d{1,18}))?,([1-7]),(-?\d{1,19}),(-?\d{1,12}),(-?\d{1,12}),(-?1|0)(?:,[^,]{0,64})?")
_DATE = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")


class Phantom(NamedTuple):
    """An order of the record that is known to be gone.

    Args:
        row: row of the message file, from 1; the cancel joins that message's event, in front of its own records.
        side: "bid" or "ask".
        price: in dollars, exact ("584.21").
        size: in shares; taken from the oldest orders at that price.
    """

    row: int
    side: str
    price: Number
    size: int


def import_lobster(
    catalog: Catalog,
    message_file: str | Path,
    orderbook_file: str | Path | None = None,
    *,
    symbol: str,
    date: str | dt.date | None = None,
    tick_size: Number = "0.01",
    price_increment: Number | None = None,
    lot_size: Number = 1,
    calendar: str = "XNYS",
    phantoms: Iterable[Phantom | tuple[int, str, Number, int]] = (),
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports one day of LOBSTER messages as `mbo`; files may end in .zst, .gz or .xz.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        message_file: the messages.
        orderbook_file: its first row seeds the book, at as many levels as it has; None: the book starts empty.
        symbol: with its venue, "AAPL.XNAS".
        date: the day in New York; None: from the file's name.
        tick_size: the finest step of orders. A print off it (a hidden midpoint) passes with the flag OFF_GRID.
        price_increment: the grid of displayed orders, where it is coarser than the tick; prints off it are counted.
        lot_size: the finest step of sizes.
        calendar: the instrument's calendar.
        phantoms: orders known to be gone, see `Phantom`.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit: of "duplicate" (an order
            announced again; let in, it stands as announced last), "negative_price", "zero_price" and "price_jump".

    Returns:
        The report; `counts` has the messages by type and every policy that acted.

    Raises:
        InvalidParameter: a policy that decides nothing in such a file.
        DataError: a row that is no message; the message names file, row and value. The catalog is as it was.
        OffTickPrice: an order off the tick.
        TimeOrder: a row that goes back in time.
        NoData: an empty file.
    """
    started = time.perf_counter()
    path = Path(message_file)
    steps = {"tick_size": tick_size, "lot_size": lot_size, "price_increment": price_increment}
    instrument = Instrument(symbol, calendar=calendar, **steps)  # type: ignore[arg-type]
    seed = None if orderbook_file is None else _first_row(Path(orderbook_file))
    replay = _Replay(path.name, _midnight_ns(path, date), instrument, seed, _by_row(phantoms), policies)
    with catalog.writer() as writer:
        screen = replay.bad_rows.screen(instrument)
        writer.add("mbo", symbol, (screen.check(batch, batch["venue_seq"]) for batch in replay.batches(lines(path))))
        screen.finish()
        if not writer.staged:
            raise NoData(f"{path.name} holds no messages; nothing was written")
        if replay.phantoms:
            raise InvalidParameter(f"{path.name} has {replay.row} rows, a phantom was named at row {min(replay.phantoms)}")
        catalog.commit(writer, [instrument])
    return replay.tally.report(
        symbol, replay.row, replay.records.rows_taken, time.perf_counter() - started, tuple(replay.notes())
    )


def _midnight_ns(path: Path, date: str | dt.date | None) -> int:
    if date is None:
        found = _DATE.search(path.name)
        if found is None:
            raise InvalidParameter(f"the name {path.name} holds no date such as 2012-06-21; pass date=")
        date = found.group(1)
    try:
        day = dt.date.fromisoformat(date) if isinstance(date, str) else date
        return datetime_ns(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE)))
    except (ValueError, AttributeError):
        raise InvalidParameter(f"date must be a day such as '2012-06-21', not {date!r}") from None


def _by_row(phantoms: Iterable[Phantom | tuple[int, str, Number, int]]) -> dict[int, list[tuple[int, int, int]]]:
    by_row: dict[int, list[tuple[int, int, int]]] = {}
    for row, side, price, size in phantoms:
        units = to_decimal(price, "price of a phantom") * PRICE_UNITS_PER_DOLLAR
        if side not in ("bid", "ask") or units != int(units) or row < 1 or size < 1:
            raise InvalidParameter(
                f"a phantom is (row, 'bid' or 'ask', price in dollars, size), not {(row, side, price, size)}"
            )
        by_row.setdefault(row, []).append((BID if side == "bid" else ASK, int(units), size))
    return by_row


Level = tuple[int, int]
"""Side (raw code) and price in 1e-4 dollars."""


def _first_row(path: Path) -> dict[Level, int]:
    """Size of each level in the first row of an order book file, best ask first, best bid second, and so on down."""
    _, line = next(lines(path), (0, ""))
    where = f"{path.name}, row 1"
    try:
        values = [int(text) for text in line.split(",")]
    except ValueError:
        raise DataError(f"{where}: {line[:60]!r} is not a row of whole numbers; is this an order book file?") from None
    if len(values) % 4:
        raise DataError(f"{where}: {len(values)} columns; ask price, ask size, bid price, bid size of each level were expected")
    levels: dict[Level, int] = {}
    for side, offset, better in ((ASK, 0, 1), (BID, 2, -1)):
        last = None
        for price, size in zip(values[offset::4], values[offset + 1 :: 4], strict=True):
            if abs(price) == NO_LEVEL and size == 0:
                continue
            if not (0 < price <= PRICE_UNITS_MAX and 0 < size <= SIZE_MAX):
                raise DataError(f"{where}: a level of {size} at {price}; prices and sizes must be positive")
            if last is not None and (price - last) * better <= 0:
                raise DataError(f"{where}: level {price} after {last}; levels must go from the best price outwards")
            last = price
            levels[side, price] = size
    asks, bids = ([price for side, price in levels if side == wanted] for wanted in (ASK, BID))
    if asks and bids and min(asks) <= max(bids):
        raise DataError(f"{where}: the best ask {min(asks)} is not above the best bid {max(bids)}")
    return levels


@dataclass(frozen=True, slots=True)
class _Message:
    ts_event: int
    kind: int
    order_id: int
    size: int
    price: int
    side: int


@dataclass
class _Resting:
    """An order that the messages so far leave in the book; price in 1e-4 dollars."""

    side: int
    price: int
    size: int


@dataclass
class _Replay:
    """Turns messages into records, and follows the orders that it announced."""

    source: str
    midnight_ns: int
    instrument: Instrument
    seed: dict[Level, int] | None
    phantoms: dict[int, list[tuple[int, int, int]]]
    policies: Mapping[str, str] | None
    row: int = 0
    records: Records = field(default_factory=Records)
    resting: dict[int, _Resting] = field(default_factory=dict)
    seed_ids: dict[Level, int] = field(default_factory=dict)
    last_ns: int = -(2**63)

    def __post_init__(self) -> None:
        self.tally = Tally(self.source)
        self.bad_rows = BadRows(self.tally, self.policies)
        self._tick = Fraction(self.instrument.tick_size) * PRICE_UNITS_PER_DOLLAR
        self._increment: Fraction | None = Fraction(self.instrument.increment) * PRICE_UNITS_PER_DOLLAR
        if not self.instrument.price_steps.is_even:
            self._increment = None
        self._lot = Fraction(self.instrument.lot_size)

    def batches(self, numbered: Iterator[tuple[int, str]]) -> Iterator[RawColumns]:
        """The records of all messages, in batches of raw columns."""
        for self.row, line in numbered:
            message = self._parse(line)
            if message is None:
                continue
            if message.ts_event < self.last_ns:
                raise TimeOrder(f"{self._where()}: time {line.partition(',')[0]} is before that of the row above")
            if self.last_ns == -(2**63):
                self._snapshot(message)
            self.last_ns = message.ts_event
            for side, price, size in self.phantoms.pop(self.row, ()):
                self._drop_phantom(message.ts_event, side, price, size)
            self._apply(message, line)
            if self.records.full():
                yield self.records.take()
        yield self.records.take()

    def notes(self) -> Iterator[str]:
        """What the import assumed."""
        if self.seed is None:
            yield "no order book file was given: the book starts empty, and orders that rested before are unknown"
        else:
            yield f"the book starts with {len(self.seed_ids)} levels of the order book file's first row, one order each"
        if self.tally.counts["unknown_order"]:
            yield f"{self.tally.counts['unknown_order']} messages name orders that rested before the file begins"
        if self.tally.counts["rounded_times"]:
            yield "times with more than nine decimals are rounded to the nanosecond"

    def _where(self) -> str:
        return f"{self.source}, row {self.row}"

    def _parse(self, line: str) -> _Message | None:
        found = _MESSAGE.fullmatch(line)
        if found is None:
            raise DataError(
                f"{self._where()}: {line[:80]!r} is not a message; time, type 1 to 7, order id, size, price in 1e-4 dollars "
                "and direction were expected"
            )
        seconds, decimals, kind_text, id_text, size_text, price_text, direction = found.groups()
        kind, order_id, size, price = int(kind_text), int(id_text), int(size_text), int(price_text)
        self.tally.counts[f"type_{kind}"] += 1
        if kind == HALT:
            self.tally.keep_aside(self.row, "halt", line)
            return None
        if int(seconds) >= 86_400:
            raise DataError(f"{self._where()}: time {seconds} is past midnight; seconds of one day were expected")
        if kind == CROSS and order_id < 0:
            order_id = 0
        side = SIDE_OF_DIRECTION.get(direction, NO_SIDE)
        if side == NO_SIDE and kind != CROSS:
            raise DataError(f"{self._where()}: direction {direction}; 1 (bid) or -1 (ask) was expected")
        if abs(price) > PRICE_UNITS_MAX:
            raise DataError(f"{self._where()}: price {price}; at most {PRICE_UNITS_MAX} of 1e-4 dollars was expected")
        if price <= 0:
            bad = "zero_price" if price == 0 else "negative_price"
            self.bad_rows.lets_in(bad, self.row, line, f"price {price}; a positive number of 1e-4 dollars was expected")
        if not 0 <= order_id < SEED_ID_FIRST:
            raise DataError(f"{self._where()}: order id {order_id}; a number from 0 to 2**63 - 1 was expected")
        if not 0 <= size <= SIZE_MAX:
            raise DataError(f"{self._where()}: size {size}; a positive number of shares was expected")
        if size == 0:
            self.tally.keep_aside(self.row, "zero_size", line)
            return None
        if size % self._lot:
            raise DataError(f"{self._where()}: size {size} is not a whole number of lots of {self.instrument.lot_size}")
        if kind in (SUBMIT, REDUCE, DELETE, EXECUTE) and price % self._tick:
            raise OffTickPrice(
                f"{self._where()}: price {Decimal(price) / PRICE_UNITS_PER_DOLLAR} of an order is not on the tick "
                f"{self.instrument.tick_size}; pass a finer tick_size="
            )
        return _Message(self._time_ns(int(seconds), decimals or ""), kind, order_id, size, price, side)

    def _time_ns(self, seconds: int, decimals: str) -> int:
        ns = int(decimals[:9].ljust(9, "0"))
        if len(decimals) > 9:
            # The digits beyond are what a float left behind.
            self.tally.counts["rounded_times"] += 1
            ns += Fraction(int(decimals[9:]), 10 ** len(decimals[9:])) >= Fraction(1, 2)
        return self.midnight_ns + seconds * 1_000_000_000 + ns

    def _snapshot(self, first: _Message) -> None:
        """The book as it was before the first message, whose effect the order book file's first row already has."""
        levels = dict(self.seed or {})
        level = (first.side, first.price)
        if first.kind == SUBMIT and self.seed is not None:
            levels[level] = levels.get(level, 0) - first.size
            if levels[level] < 0:
                raise DataError(
                    f"{self._where()}: adds {first.size} where the first book row shows less; wrong order book file?"
                )
        elif first.kind in (REDUCE, DELETE, EXECUTE) and self.seed is not None:
            levels[level] = levels.get(level, 0) + first.size
        levels = {level: size for level, size in levels.items() if size}
        for (_, price), size in levels.items():
            if price % self._tick or size % self._lot:
                raise OffTickPrice(
                    f"first row of the order book file: {size} at {Decimal(price) / PRICE_UNITS_PER_DOLLAR} is not on the "
                    f"tick {self.instrument.tick_size} and the lot {self.instrument.lot_size}"
                )
        ts, last = first.ts_event, len(levels) - 1
        self.records.add(ts, CLEAR, NO_SIDE, float("nan"), 0.0, 0, SNAPSHOT | (0 if levels else LAST), 0)
        ordered = sorted(levels.items(), key=lambda item: (item[0][0] != BID, item[0][1] * (1 if item[0][0] == ASK else -1)))
        for index, ((side, price), size) in enumerate(ordered):
            order_id = SEED_ID_FIRST + index
            self.resting[order_id] = _Resting(side, price, size)
            self.seed_ids[side, price] = order_id
            flags = SNAPSHOT | (LAST if index == last else 0)
            self.records.add(ts, ADD, side, price / PRICE_UNITS_PER_DOLLAR, float(size), order_id, flags, 0)
        self.tally.counts["seed_orders"] = len(levels)

    def _apply(self, message: _Message, line: str) -> None:
        if message.kind == SUBMIT:
            self._submit(message, line)
        elif message.kind in (EXECUTE_HIDDEN, CROSS):
            self._print(message)
        else:
            self._take(message, line)

    def _submit(self, message: _Message, line: str) -> None:
        order_id, mark = message.order_id, 0
        known = self.resting.get(order_id)
        if known is not None:
            if not self.bad_rows.lets_in("duplicate", self.row, line, f"order {order_id} is announced again: {line[:80]!r}"):
                return
            mark = self.bad_rows.mark("duplicate")
            dollars = known.price / PRICE_UNITS_PER_DOLLAR
            self.records.add(message.ts_event, CANCEL, known.side, dollars, float(known.size), order_id, mark, self.row)
        self.resting[order_id] = _Resting(message.side, message.price, message.size)
        self._emit(message, ADD, message.side, order_id, message.size, LAST | mark)

    def _print(self, message: _Message) -> None:
        flags = LAST
        if message.price % self._tick:
            flags |= OFF_GRID
        increment = self._increment
        if increment is None:
            step = self.instrument.increment_at(Decimal(message.price) / PRICE_UNITS_PER_DOLLAR, message.ts_event)
            increment = Fraction(step) * PRICE_UNITS_PER_DOLLAR
        if message.price % increment:
            self.tally.counts["off_increment_prints"] += 1
        side = NO_SIDE if message.kind == CROSS else OTHER_SIDE[message.side]
        self._emit(message, TRADE, side, 0, message.size, flags)

    def _take(self, message: _Message, line: str) -> None:
        """Types 2, 3 and 4: what an order loses."""
        order_id = message.order_id
        order = self.resting.get(order_id)
        if order is None:
            self.tally.counts["unknown_order"] += 1
            order_id = self.seed_ids.get((message.side, message.price), 0)
            order = self.resting.get(order_id)
            if order is None:
                # Its level was outside the levels of the first row: nothing in the book stands for it.
                self.tally.keep_aside(self.row, "unknown_level", line)
                if message.kind == EXECUTE:
                    self._emit(message, TRADE, OTHER_SIDE[message.side], 0, message.size, LAST)
                return
            size = message.size
        else:
            if (order.side, order.price) != (message.side, message.price):
                raise DataError(
                    f"{self._where()}: order {order_id} rests at {order.price}, the message names {message.price} on the "
                    f"{'bid' if message.side == BID else 'ask'} side"
                )
            size = order.size if message.kind == DELETE else message.size
            if message.kind == DELETE and message.size != order.size:
                self.tally.counts["delete_of_another_size"] += 1
        if size > order.size:
            self.tally.counts["more_than_rests"] += 1
            size = order.size
        if message.kind == EXECUTE:
            self._emit(message, TRADE, OTHER_SIDE[message.side], 0, message.size, 0)
            self._emit(message, FILL, message.side, order_id, size, 0)
        self._emit(message, CANCEL, message.side, order_id, size, LAST)
        self._reduce(order_id, size)

    def _reduce(self, order_id: int, size: int) -> None:
        order = self.resting[order_id]
        order.size -= size
        if order.size == 0:
            del self.resting[order_id]

    def _drop_phantom(self, ts_event: int, side: int, price: int, size: int) -> None:
        left = size
        for order_id in [key for key, order in self.resting.items() if (order.side, order.price) == (side, price)]:
            taken = min(left, self.resting[order_id].size)
            if taken:
                dollars = price / PRICE_UNITS_PER_DOLLAR
                self.records.add(ts_event, CANCEL, side, dollars, float(taken), order_id, SNAPSHOT, self.row)
                self._reduce(order_id, taken)
                self.tally.counts["phantom_cancels"] += 1
            left -= taken
        if left:
            raise InvalidParameter(
                f"{self._where()}: a phantom of {size} at {Decimal(price) / PRICE_UNITS_PER_DOLLAR} was named, "
                f"where {size - left} rest"
            )

    def _emit(self, message: _Message, action: int, side: int, order_id: int, size: int, flags: int) -> None:
        price = message.price / PRICE_UNITS_PER_DOLLAR
        self.records.add(message.ts_event, action, side, price, float(size), order_id, flags, self.row)
