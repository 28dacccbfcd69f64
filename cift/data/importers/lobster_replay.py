"""Messages of LOBSTER become records, and the orders that they announce are followed.

What a message means is said here, message by message, see `cift.data.importers.lobster` for the table. A file is read a block
at a time: what is ordinary in it goes through `cift.data.importers.lobster_blocks`, to the same effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from cift.data.importers.bad_rows import BadRows
from cift.data.importers.lobster_blocks import (
    CROSS,
    DELETE,
    EXECUTE,
    EXECUTE_HIDDEN,
    HALT,
    PRICE_UNITS_MAX,
    PRICE_UNITS_PER_DOLLAR,
    REDUCE,
    SECONDS_PER_DAY,
    SIZE_MAX,
    SUBMIT,
    Block,
    Grid,
    Message,
    Order,
    read,
    sort_out,
)
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
from cift.data.importers.text import lines_of
from cift.data.report import Tally
from cift.domain.instrument import Instrument
from cift.domain.schemas import LAST, OFF_GRID, SNAPSHOT
from cift.errors import DataError, InvalidParameter, OffLotSize, OffTickPrice, TimeOrder

if TYPE_CHECKING:
    from cift.data.columns import RawColumns

SIDE_OF_DIRECTION = {"1": BID, "-1": ASK}

_MESSAGE = re.compile(r"(\d{1,6})(?:\.(\d{1,18}))?,([1-7]),(-?\d{1,19}),(-?\d{1,12}),(-?\d{1,12}),(-?1|0)(?:,[^,]{0,64})?")

Level = tuple[int, int]
"""Side (raw code) and price in 1e-4 dollars."""


@dataclass
class Replay:
    """Turns messages into records, and follows the orders that it announced."""

    source: str
    midnight_ns: int
    instrument: Instrument
    seed: dict[Level, int] | None
    phantoms: dict[int, list[tuple[int, int, int]]]
    policies: Mapping[str, str] | None
    row: int = 0
    records: Records = field(default_factory=Records)
    resting: dict[int, Order] = field(default_factory=dict)
    seed_ids: dict[Level, int] = field(default_factory=dict)
    last_ns: int | None = None

    def __post_init__(self) -> None:
        self.tally = Tally(self.source)
        self.bad_rows = BadRows(self.tally, self.policies)
        self._tick = Fraction(self.instrument.tick_size) * PRICE_UNITS_PER_DOLLAR
        self._increment: Fraction | None = Fraction(self.instrument.increment) * PRICE_UNITS_PER_DOLLAR
        if not self.instrument.price_steps.is_even:
            self._increment = None
        self._lot = Fraction(self.instrument.lot_size)
        self._grid = Grid.of(self._tick, self._increment, self._lot)

    def batches(self, blocks: Iterator[tuple[int, bytes]]) -> Iterator[RawColumns]:
        """The records of all messages, in batches of raw columns.

        Args:
            blocks: of lines, see `cift.data.importers.text.line_blocks`.
        """
        for self.row, lines in blocks:
            block = self._sorted_out(lines)
            if block is None:
                yield from self._one_by_one(lines_of(self.source, self.row, lines))
            else:
                yield from self._together(block, lines)
        yield self.records.take()

    def _sorted_out(self, lines: bytes) -> Block | None:
        messages = None if self._grid is None else read(lines)
        if messages is None or any(self.row < row <= self.row + len(messages.ns) for row in self.phantoms):
            return None
        assert self._grid is not None
        return sort_out(messages, self.row, self.midnight_ns, self.last_ns, self._grid, self.resting)

    def _together(self, block: Block, lines: bytes) -> Iterator[RawColumns]:
        """The records of a block: its ordinary messages all at once, the others by hand in their places between them."""
        self.records.seal()
        for order_id in block.gone:
            del self.resting[order_id]
        self.resting.update(block.changed)
        texts = lines.split(b"\n") if block.by_hand else []
        at = 0
        for row, message in [*block.by_hand, (block.rows, None)]:
            # What is met first is counted first; what is added first rests first, and phantoms are taken from the oldest.
            while block.size(at, row) >= self.records.room():
                stop = block.stop(at, self.records.room())
                self._pass(block, stop)
                self.records.merge(block.records_of(at, stop))
                at = stop
                yield self.records.take()
            self._pass(block, row)
            if row == block.rows:
                break
            self.row = block.before + row + 1
            line = texts[row].rstrip(b"\r").decode("ascii")
            if message is None:
                self._read(line)
            else:
                self.tally.counts[f"type_{message.kind}"] += 1
                self._apply(message, line)
            if block.size(at, row) >= self.records.room():
                self.records.merge(block.records_of(at, row))
                at = row
                yield self.records.take()
        self.records.merge(block.records_of(at, block.rows))
        self.tally.counts.update(block.counts)
        self.row, self.last_ns = block.before + block.rows, block.last_ns

    def _pass(self, block: Block, row: int) -> None:
        """What the ordinary messages before a row leave behind: keys of counts, and orders."""
        for name in block.met.until(row):
            self.tally.counts[name] += 0
        self.resting.update(block.born.until(row))

    def _one_by_one(self, numbered: Iterable[tuple[int, str]]) -> Iterator[RawColumns]:
        for self.row, line in numbered:
            self._read(line)
            if self.records.full():
                yield self.records.take()

    def _read(self, line: str) -> None:
        message = self._parse(line)
        if message is None:
            return
        if self.last_ns is not None and message.ts_event < self.last_ns:
            raise TimeOrder(f"{self._where()}: time {line.partition(',')[0]} is before that of the row above")
        if self.last_ns is None:
            self._snapshot(message)
        self.last_ns = message.ts_event
        for side, price, size in self.phantoms.pop(self.row, ()):
            self._drop_phantom(message.ts_event, side, price, size)
        self._apply(message, line)

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

    def _parse(self, line: str) -> Message | None:
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
        if int(seconds) >= SECONDS_PER_DAY:
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
        if _is_off(size, self._lot):
            raise OffLotSize(f"{self._where()}: size {size} is not a whole number of lots of {self.instrument.lot_size}")
        if kind in (SUBMIT, REDUCE, DELETE, EXECUTE) and _is_off(price, self._tick):
            raise OffTickPrice(
                f"{self._where()}: price {Decimal(price) / PRICE_UNITS_PER_DOLLAR} of an order is not on the tick "
                f"{self.instrument.tick_size}; pass a finer tick_size="
            )
        return Message(self._time_ns(int(seconds), decimals or ""), kind, order_id, size, price, side)

    def _time_ns(self, seconds: int, decimals: str) -> int:
        ns = int(decimals[:9].ljust(9, "0"))
        if len(decimals) > 9:
            # The digits beyond are what a float left behind.
            self.tally.counts["rounded_times"] += 1
            ns += Fraction(int(decimals[9:]), 10 ** len(decimals[9:])) >= Fraction(1, 2)
        return self.midnight_ns + seconds * 1_000_000_000 + ns

    def _snapshot(self, first: Message) -> None:
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
            if _is_off(price, self._tick) or _is_off(size, self._lot):
                raise OffTickPrice(
                    f"first row of the order book file: {size} at {Decimal(price) / PRICE_UNITS_PER_DOLLAR} is not on the "
                    f"tick {self.instrument.tick_size} and the lot {self.instrument.lot_size}"
                )
        ts, last = first.ts_event, len(levels) - 1
        self.records.add(ts, CLEAR, NO_SIDE, float("nan"), 0.0, 0, SNAPSHOT | (0 if levels else LAST), 0)
        ordered = sorted(levels.items(), key=lambda item: (item[0][0] != BID, item[0][1] * (1 if item[0][0] == ASK else -1)))
        for index, ((side, price), size) in enumerate(ordered):
            order_id = SEED_ID_FIRST + index
            self.resting[order_id] = (side, price, size)
            self.seed_ids[side, price] = order_id
            flags = SNAPSHOT | (LAST if index == last else 0)
            self.records.add(ts, ADD, side, price / PRICE_UNITS_PER_DOLLAR, float(size), order_id, flags, 0)
        self.tally.counts["seed_orders"] = len(levels)

    def _apply(self, message: Message, line: str) -> None:
        if message.kind == SUBMIT:
            self._submit(message, line)
        elif message.kind in (EXECUTE_HIDDEN, CROSS):
            self._print(message)
        else:
            self._take(message, line)

    def _submit(self, message: Message, line: str) -> None:
        order_id, mark = message.order_id, 0
        known = self.resting.get(order_id)
        if known is not None:
            if not self.bad_rows.lets_in("duplicate", self.row, line, f"order {order_id} is announced again: {line[:80]!r}"):
                return
            mark = self.bad_rows.mark("duplicate")
            side, price, size = known
            dollars = price / PRICE_UNITS_PER_DOLLAR
            self.records.add(message.ts_event, CANCEL, side, dollars, float(size), order_id, mark, self.row)
        self.resting[order_id] = (message.side, message.price, message.size)
        self._emit(message, ADD, message.side, order_id, message.size, LAST | mark)

    def _print(self, message: Message) -> None:
        flags = LAST
        if _is_off(message.price, self._tick):
            flags |= OFF_GRID
        increment = self._increment
        if increment is None:
            step = self.instrument.increment_at(Decimal(message.price) / PRICE_UNITS_PER_DOLLAR, message.ts_event)
            increment = Fraction(step) * PRICE_UNITS_PER_DOLLAR
        if _is_off(message.price, increment):
            self.tally.counts["off_increment_prints"] += 1
        side = NO_SIDE if message.kind == CROSS else OTHER_SIDE[message.side]
        self._emit(message, TRADE, side, 0, message.size, flags)

    def _take(self, message: Message, line: str) -> None:
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
            side, price, rests = order
            size = message.size
        else:
            side, price, rests = order
            if (side, price) != (message.side, message.price):
                raise DataError(
                    f"{self._where()}: order {order_id} rests at {price}, the message names {message.price} on the "
                    f"{'bid' if message.side == BID else 'ask'} side"
                )
            size = rests if message.kind == DELETE else message.size
            if message.kind == DELETE and message.size != rests:
                self.tally.counts["delete_of_another_size"] += 1
        if size > rests:
            self.tally.counts["more_than_rests"] += 1
            size = rests
        if message.kind == EXECUTE:
            self._emit(message, TRADE, OTHER_SIDE[message.side], 0, message.size, 0)
            self._emit(message, FILL, message.side, order_id, size, 0)
        self._emit(message, CANCEL, message.side, order_id, size, LAST)
        self._reduce(order_id, size)

    def _reduce(self, order_id: int, size: int) -> None:
        side, price, rests = self.resting[order_id]
        if size == rests:
            del self.resting[order_id]
        else:
            self.resting[order_id] = (side, price, rests - size)

    def _drop_phantom(self, ts_event: int, side: int, price: int, size: int) -> None:
        left = size
        for order_id in [key for key, order in self.resting.items() if order[:2] == (side, price)]:
            taken = min(left, self.resting[order_id][2])
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

    def _emit(self, message: Message, action: int, side: int, order_id: int, size: int, flags: int) -> None:
        price = message.price / PRICE_UNITS_PER_DOLLAR
        self.records.add(message.ts_event, action, side, price, float(size), order_id, flags, self.row)


def _is_off(value: int, step: Fraction) -> bool:
    # `value % step`, many times faster.
    return value * step.denominator % step.numerator != 0
