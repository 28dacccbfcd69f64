"""Bitstamp's order feed of 2015: a log of order events, trades and pushed books of 20 levels.

Each line is a receive time in milliseconds, a kind, and JSON. `amount` of a change or delete is what is left of the order.
What becomes of each kind:

| kind | records |
|---|---|
| order_created | `add`; one that crosses the book: `trade`, `fill`, `cancel` for each maker, and an `add` of the rest |
| order_changed | nothing where the book has it already, else `cancel` |
| order_changed, to another price | `modify`; where it crosses there: a `cancel`, and then as a creation |
| order_deleted | `cancel` of what is left in the book |
| trade | nothing where a creation has printed it already, else a `trade` that names no maker |
| order_book | the cancels and adds, flagged SNAPSHOT, that bring the book to the pushed one, within its levels |

The feed announces a marketable order at its limit price and tells only afterwards what it matched, so the importer
matches it where it is created, by price and time, and takes the later messages as confirmation. A reduction that was not
foreseen is a plain `cancel`, and its print comes with the trade message: no volume is told twice.

Volume whose order is not known (182 orders rested before the sample begins) stands in the book as anonymous orders with
ids from 2**63 up, one per correction. `ts_event` is the receive time (the exchange's own stamp has whole seconds only);
`venue_seq` is the row of the log, counted from 1, which all records of one message share.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cift.data.importers.bad_rows import BadRows
from cift.data.importers.known import instrument_of
from cift.data.importers.records import (
    ADD,
    ASK,
    BID,
    CANCEL,
    CLEAR,
    FILL,
    MODIFY,
    NO_SIDE,
    OTHER_SIDE,
    SEED_ID_FIRST,
    TRADE,
    Records,
)
from cift.data.importers.text import lines
from cift.data.report import ImportReport, Tally
from cift.data.screen import EARLIEST_NS, LATEST_NS
from cift.domain.instrument import Instrument, Number
from cift.domain.schemas import LAST, SNAPSHOT
from cift.errors import DataError, NoData, OffTickPrice, TimeOrder

if TYPE_CHECKING:
    from cift.data.catalog import Catalog
    from cift.data.columns import RawColumns

NS_PER_MS = 1_000_000
DIGITS_MAX = 20
"""Prices and amounts have no more digits than this before or after the point."""
TRADE_WAIT_NS = 60 * 1_000_000_000
"""How long a print made at a creation waits for the trade message that confirms it."""
NEAR = 1_000
"""A trade message confirms a print whose size differs by less than one part in so many."""

Level = tuple[int, int]
"""Side (raw code) and price in ticks."""


class _Order(msgspec.Struct):
    price: Decimal
    amount: Decimal
    id: int
    order_type: int


class _Trade(msgspec.Struct):
    price: Decimal
    amount: Decimal
    id: int


class _PushedBook(msgspec.Struct):
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


_ORDER = msgspec.json.Decoder(_Order)
_TRADE = msgspec.json.Decoder(_Trade)
_PUSHED_BOOK = msgspec.json.Decoder(_PushedBook)
_SIDES = {0: BID, 1: ASK}
USUAL = {"tick_size": "0.01", "lot_size": "0.00000001"}


def import_bitstamp(
    catalog: Catalog,
    log_file: str | Path,
    *,
    symbol: str = "BTCUSD.BITSTAMP",
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports a log of the order feed as `mbo`; the file may end in .xz, .gz or .zst.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        log_file: the log.
        symbol: what to store it as.
        tick_size: the step of prices; None: what the catalog knows, or 0.01.
        lot_size: the step of amounts; None: what the catalog knows, or 0.00000001.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit: of "duplicate" (an order
            announced again; let in, it stands as announced last), "negative_price", "zero_price" and "price_jump".

    Returns:
        The report; `counts` has the messages by kind and every policy that acted; `books_reproduced` counts the pushed
        books that the events alone had led to.

    Raises:
        InvalidParameter: a policy that decides nothing in such a file.
        DataError: a row that is no message; the message names file, row and value. The catalog is as it was.
        OffTickPrice: a price or amount off the grid.
        TimeOrder: a row that goes back in time.
        NoData: an empty file.
    """
    started = time.perf_counter()
    path = Path(log_file)
    given = {"tick_size": tick_size, "lot_size": lot_size}
    instrument = instrument_of(symbol, catalog.instruments().get(symbol), given, USUAL)
    replay = _Replay(path.name, instrument, policies)
    with catalog.writer() as writer:
        screen = replay.bad_rows.screen(instrument)
        writer.add("mbo", symbol, (screen.check(batch, batch["venue_seq"]) for batch in replay.batches(lines(path))))
        screen.finish()
        if not writer.staged:
            raise NoData(f"{path.name} holds no messages; nothing was written")
        catalog.commit(writer, [instrument])
    return replay.tally.report(
        symbol, replay.row, replay.records.rows_taken, time.perf_counter() - started, tuple(replay.notes())
    )


@dataclass
class _Resting:
    side: int
    price: int
    size: int
    foreseen: int = field(default=0, compare=False)
    """Fills made at a creation that the order's own messages have still to confirm."""


@dataclass
class _Replay:
    """Turns messages into records, and keeps the book that they make; prices in ticks, sizes in lots."""

    source: str
    instrument: Instrument
    policies: Mapping[str, str] | None
    row: int = 0
    records: Records = field(default_factory=Records)
    resting: dict[int, _Resting] = field(default_factory=dict)
    levels: dict[Level, dict[int, None]] = field(default_factory=dict)  # ids in order of arrival
    gone: set[int] = field(default_factory=set)
    set_aside: dict[int, _Resting] = field(default_factory=dict)  # taken out by a pushed book, not by a message
    highest_id: int = 0
    anonymous: int = 0
    printed: deque[tuple[int, int, int]] = field(default_factory=deque)  # time, price, size of prints not confirmed yet
    last_ns: int | None = None
    mark: int = 0
    """A flag of all records of the current message."""

    def __post_init__(self) -> None:
        self.tally = Tally(self.source)
        self.bad_rows = BadRows(self.tally, self.policies)

    def batches(self, numbered: Iterator[tuple[int, str]]) -> Iterator[RawColumns]:
        """The records of all messages, in batches of raw columns."""
        for self.row, line in numbered:
            ts_event, kind, text = self._parse(line)
            if self.last_ns is None:
                self.records.add(ts_event, CLEAR, NO_SIDE, float("nan"), 0.0, 0, SNAPSHOT | LAST, 0)
            self.last_ns, self.mark = ts_event, 0
            self.tally.counts[kind] += 1
            try:
                self._apply(ts_event, kind, text, line)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise DataError(f"{self._where()}: {text[:80]!r} is no {kind}: {error}") from None
            if self.records.full():
                yield self.records.take()
        self.tally.counts["prints_without_trade"] += len(self.printed)
        yield self.records.take()

    def notes(self) -> Iterator[str]:
        """What the import assumed."""
        yield "ts_event is the receive time: the exchange's stamps have whole seconds only"
        books, reproduced = self.tally.counts["order_book"], self.tally.counts["books_reproduced"]
        if books:
            yield f"{reproduced:,} of {books:,} pushed books were reproduced by the events before them, the others put right"

    def _where(self) -> str:
        return f"{self.source}, row {self.row}"

    def _parse(self, line: str) -> tuple[int, str, str]:
        stamp, _, rest = line.partition(" ")
        kind, _, text = rest.partition(" ")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 16) or kind not in (
            "order_created",
            "order_changed",
            "order_deleted",
            "order_book",
            "trade",
        ):
            raise DataError(
                f"{self._where()}: {line[:80]!r} is not a message; milliseconds, a kind such as order_created, and JSON were "
                "expected"
            )
        ts_event = int(stamp) * NS_PER_MS
        if not EARLIEST_NS <= ts_event < LATEST_NS:
            raise DataError(f"{self._where()}: time {stamp} is not between 1980 and 2100 in milliseconds")
        if self.last_ns is not None and ts_event < self.last_ns:
            raise TimeOrder(f"{self._where()}: time {stamp} is before that of the row above")
        return ts_event, kind, text

    def _apply(self, ts_event: int, kind: str, text: str, line: str) -> None:
        if kind == "order_book":
            self._push(ts_event, _PUSHED_BOOK.decode(text), line)
        elif kind == "trade":
            trade = _TRADE.decode(text)
            self._confirm(ts_event, self._ticks(_rounded(trade.price)), self._lots(_rounded(trade.amount)))
        else:
            order = _ORDER.decode(text)
            side = _SIDES.get(order.order_type)
            if side is None or not 0 < order.id < SEED_ID_FIRST:
                raise DataError(
                    f"{self._where()}: order_type {order.order_type} of order {order.id}; 0 (bid) or 1 (ask) was expected"
                )
            price, size = self._ticks(order.price), self._lots(order.amount)
            if kind == "order_created":
                self._create(ts_event, order.id, side, price, size, line)
            elif kind == "order_changed":
                self._change(ts_event, order.id, side, price, size, line)
            else:
                self._delete(ts_event, order.id, side, price, size, line)

    def _ticks(self, price: Decimal) -> int:
        ticks = self._steps(price, "price", self.instrument.tick_fraction)
        if ticks <= 0:
            bad = "zero_price" if ticks == 0 else "negative_price"
            self.bad_rows.lets_in(bad, self.row, str(price), f"price {price}; a positive price was expected")
        return ticks

    def _lots(self, amount: Decimal) -> int:
        lots = self._steps(amount, "amount", self.instrument.lot_fraction)
        if lots < 0:
            raise DataError(f"{self._where()}: amount {amount} is negative")
        return lots

    def _steps(self, value: Decimal, what: str, step: tuple[int, int]) -> int:
        if not value.is_finite() or abs(value.adjusted()) > DIGITS_MAX or len(value.as_tuple().digits) > 2 * DIGITS_MAX:
            raise DataError(f"{self._where()}: {what} {str(value)[:40]} is out of range")
        n, d = step
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        scaled: int = int("".join(map(str, digits))) * 10 ** max(0, exponent + d)
        below: int = 10 ** max(0, -(exponent + d)) * n
        if scaled % below:
            raise OffTickPrice(f"{self._where()}: {what} {value} is not a whole number of steps of {n}/1e{d}")
        return (-1 if sign else 1) * (scaled // below)

    # ------------------------------------------------------------------ messages

    def _create(self, ts_event: int, order_id: int, side: int, price: int, size: int, line: str) -> None:
        if order_id in self.gone:
            self.tally.keep_aside(self.row, "deleted_before_created", line)
            return
        known = self.resting.get(order_id)
        if known is not None:
            again = f"order {order_id} is announced again: {line[:80]!r}"
            if not self.bad_rows.lets_in("duplicate", self.row, line, again):
                return
        self.highest_id = max(self.highest_id, order_id)
        if size == 0:
            self.tally.keep_aside(self.row, "zero_size", line)
            return
        if known is not None:
            self.mark = self.bad_rows.mark("duplicate")
            self._emit(ts_event, CANCEL, known.side, known.price, known.size, order_id, 0)
            self._reduce(order_id, known.size)
            self.gone.discard(order_id)
        self._arrive(ts_event, order_id, side, price, size)

    def _arrive(self, ts_event: int, order_id: int, side: int, price: int, size: int) -> None:
        """An order that is not in the book: what it meets, and an add of the rest."""
        makers = self._match(side, price, size)
        for maker_id, taken in makers:
            maker = self.resting[maker_id]
            size -= taken
            last = LAST if maker_id == makers[-1][0] and size == 0 else 0
            self._emit(ts_event, TRADE, side, maker.price, taken, order_id, 0)
            self._emit(ts_event, FILL, maker.side, maker.price, taken, maker_id, 0)
            self._emit(ts_event, CANCEL, maker.side, maker.price, taken, maker_id, last)
            self.printed.append((ts_event, maker.price, taken))
            maker.foreseen += 1
            self._reduce(maker_id, taken)
        if makers:
            self.tally.counts["crossing_orders"] += 1
        if size:
            self._emit(ts_event, ADD, side, price, size, order_id, LAST)
            self._rest(order_id, side, price, size)
            self.resting[order_id].foreseen = len(makers)
        else:
            self.gone.add(order_id)

    def _match(self, side: int, limit: int, size: int) -> list[tuple[int, int]]:
        """The makers that an order meets, with the size each gives, by price and time."""
        makers: list[tuple[int, int]] = []
        other = OTHER_SIDE[side]
        crossed = [
            price for held, price in self.levels if held == other and (price <= limit if side == BID else price >= limit)
        ]
        for price in sorted(crossed, reverse=side == ASK):
            for order_id in self.levels[other, price]:
                if size == 0:
                    return makers
                taken = min(size, self.resting[order_id].size)
                makers.append((order_id, taken))
                size -= taken
        return makers

    def _change(self, ts_event: int, order_id: int, side: int, price: int, left: int, line: str) -> None:
        order = self.resting.get(order_id)
        if order is None:
            if order_id not in self.gone and order_id not in self.set_aside:
                self.tally.keep_aside(self.row, "unknown_level", line)
            return
        if side != order.side:
            raise DataError(f"{self._where()}: order {order_id} changes sides")
        confirms = order.foreseen == 1
        order.foreseen = max(0, order.foreseen - 1)
        if left == 0:
            self.tally.keep_aside(self.row, "zero_size", line)
        elif confirms and left > order.size:
            # The last fill foreseen was smaller than that: a buyer's money had run out.
            self.tally.counts["fills_foreseen_too_large"] += 1
            self._emit(ts_event, MODIFY, side, price, left, order_id, LAST)
            order.size = left
        elif price != order.price:
            self.tally.counts["repriced_orders"] += 1
            size = min(left, order.size)
            crosses = bool(self._match(side, price, size))
            if crosses:
                self._emit(ts_event, CANCEL, side, order.price, order.size, order_id, 0)
                self._reduce(order_id, order.size)
                self._arrive(ts_event, order_id, side, price, size)
            else:
                self._emit(ts_event, MODIFY, side, price, size, order_id, LAST)
                self._reduce(order_id, order.size)
                self._rest(order_id, side, price, size)
        elif left < order.size:
            self.tally.counts["unforeseen_reductions"] += 1
            self._emit(ts_event, CANCEL, side, price, order.size - left, order_id, LAST)
            self._reduce(order_id, order.size - left)

    def _delete(self, ts_event: int, order_id: int, side: int, price: int, left: int, line: str) -> None:
        order = self.resting.get(order_id)
        if order is not None:
            if left == 0:
                self.tally.counts["unforeseen_reductions"] += 1
            self._emit(ts_event, CANCEL, order.side, order.price, order.size, order_id, LAST)
            self._reduce(order_id, order.size)
            return
        if order_id in self.gone and order_id not in self.set_aside:
            return
        if order_id > self.highest_id:
            # Its creation is still to come, and will be kept aside.
            self.gone.add(order_id)
            return
        if self.set_aside.pop(order_id, None) is None:
            self.tally.counts["unknown_order"] += 1
        self.gone.add(order_id)
        for anonymous in [key for key in self.levels.get((side, price), ()) if key >= SEED_ID_FIRST]:
            taken = min(left, self.resting[anonymous].size)
            left -= taken
            if taken:
                self._emit(ts_event, CANCEL, side, price, taken, anonymous, LAST)
                self._reduce(anonymous, taken)
        if left:
            self.tally.keep_aside(self.row, "unknown_level", line)

    def _confirm(self, ts_event: int, price: int, size: int) -> None:
        """A trade message: nothing if a creation has printed it, else a print that names no maker."""
        while self.printed and self.printed[0][0] < ts_event - TRADE_WAIT_NS:
            self.printed.popleft()
            self.tally.counts["prints_without_trade"] += 1
        near = [entry for entry in self.printed if entry[1] == price and abs(entry[2] - size) * NEAR <= size]
        if near:
            entry = min(near, key=lambda entry: (abs(entry[2] - size), entry[0]))
            self.printed.remove(entry)
            self.tally.counts["trades_foreseen"] += 1
            return
        if size:
            self.tally.counts["trades_unforeseen"] += 1
            self._emit(ts_event, TRADE, NO_SIDE, price, size, 0, LAST)

    def _push(self, ts_event: int, book: _PushedBook, line: str) -> None:
        wanted: dict[int, dict[int, int]] = {}
        for side, pairs in ((BID, book.bids), (ASK, book.asks)):
            wanted[side] = {self._ticks(price): self._lots(amount) for price, amount in pairs}
            if len(wanted[side]) != len(pairs) or not all(wanted[side].values()):
                raise DataError(f"{self._where()}: the pushed book names a price twice, or a size of zero")
        if wanted[BID] and wanted[ASK] and max(wanted[BID]) >= min(wanted[ASK]):
            self.tally.keep_aside(self.row, "crossed_book", line)
            return
        corrections: list[tuple[int, int, int, int, int]] = []  # action, side, price, size, order id
        for side in (BID, ASK):
            corrections += self._remove_excess(side, wanted[side], wanted[ASK if side == BID else BID])
        for side in (BID, ASK):
            corrections += self._add_missing(side, wanted[side])
        if not corrections:
            self.tally.counts["books_reproduced"] += 1
            return
        for index, (action, side, price, size, order_id) in enumerate(corrections):
            flags = SNAPSHOT | (LAST if index == len(corrections) - 1 else 0)
            self._emit(ts_event, action, side, price, size, order_id, flags)
        self.tally.counts["corrections"] += len(corrections)

    def _remove_excess(
        self, side: int, wanted: dict[int, int], opposite: dict[int, int]
    ) -> Iterator[tuple[int, int, int, int, int]]:
        """Cancels at levels within the pushed book, or crossing it, that hold more than it shows.

        Anonymous orders make way first, then the oldest.
        """
        edges = [min(wanted)] if wanted and side == BID else [max(wanted)] if wanted else []
        # A side that the pushed book leaves empty is not known, but cannot reach through the other one.
        edges += [min(opposite)] if opposite and side == BID else [max(opposite)] if opposite else []
        if not edges:
            return
        edge = min(edges) if side == BID else max(edges)
        inside = [price for held, price in self.levels if held == side and (price >= edge if side == BID else price <= edge)]
        for price in sorted(inside):
            excess = self._size(side, price) - wanted.get(price, 0)
            for order_id in self._to_remove(side, price, excess):
                taken = min(excess, self.resting[order_id].size)
                if taken <= 0:
                    break
                excess -= taken
                yield CANCEL, side, price, taken, order_id
                self._reduce(order_id, taken)
                if order_id not in self.resting and order_id < SEED_ID_FIRST:
                    self.set_aside[order_id] = _Resting(side, price, taken)

    def _to_remove(self, side: int, price: int, excess: int) -> list[int]:
        """Orders of a level in the order in which they make way: one of exactly that size, anonymous ones, the oldest."""
        held = self.levels[side, price]
        return sorted(held, key=lambda key: (self.resting[key].size != excess, key < SEED_ID_FIRST))

    def _add_missing(self, side: int, wanted: dict[int, int]) -> Iterator[tuple[int, int, int, int, int]]:
        """Adds at levels that hold less than the pushed book shows: an order set aside before, or an anonymous one."""
        for price, size in wanted.items():
            missing = size - self._size(side, price)
            if missing <= 0:
                continue
            order_id = next((key for key, order in self.set_aside.items() if order == _Resting(side, price, missing)), None)
            if order_id is None:
                order_id = SEED_ID_FIRST + self.anonymous
                self.anonymous += 1
            else:
                del self.set_aside[order_id]
                self.gone.discard(order_id)
            self._rest(order_id, side, price, missing)
            yield ADD, side, price, missing, order_id

    # ------------------------------------------------------------------ the book

    def _size(self, side: int, price: int) -> int:
        return sum(self.resting[order_id].size for order_id in self.levels.get((side, price), ()))

    def _rest(self, order_id: int, side: int, price: int, size: int) -> None:
        self.resting[order_id] = _Resting(side, price, size)
        self.levels.setdefault((side, price), {})[order_id] = None

    def _reduce(self, order_id: int, size: int) -> None:
        order = self.resting[order_id]
        order.size -= size
        if order.size == 0:
            del self.resting[order_id]
            self.gone.add(order_id)
            level = self.levels[order.side, order.price]
            del level[order_id]
            if not level:
                del self.levels[order.side, order.price]

    def _emit(self, ts_event: int, action: int, side: int, price: int, size: int, order_id: int, flags: int) -> None:
        self.records.add(
            ts_event,
            action,
            side,
            self.instrument.price(price),
            self.instrument.size(size),
            order_id,
            flags | self.mark,
            self.row,
        )


def _rounded(value: Decimal) -> Decimal:
    """A trade's price or amount, which the feed writes as a float, to the eight decimals that it meant."""
    return value if not value.is_finite() or abs(value.adjusted()) > DIGITS_MAX else round(value, 8)
