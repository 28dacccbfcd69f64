"""The rows of one symbol and schema on their way past every rule."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cift.data.columns import Array
from cift.data.doctor.books import CLEAR, LevelBook, bar_faults
from cift.data.doctor.casebook import Batch, Casebook, Finding
from cift.data.doctor.numbering import EventRules, QuoteInForce, RepeatRules, SequenceRules
from cift.data.doctor.numbers import NumberRules
from cift.data.doctor.orders import OrderRules
from cift.data.doctor.pace import PaceRules
from cift.data.doctor.prices import PriceRules, price_of
from cift.data.doctor.series import PriceSeries
from cift.data.doctor.stamps import SkewRules, StampRules
from cift.data.reading import Interval
from cift.domain.calendar import ALWAYS_OPEN
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import NO_TIME_NS


@dataclass(frozen=True, eq=False)
class Part:
    """What was found in the rows of one symbol and schema.

    Args:
        symbol, schema: whose rows.
        rows: how many were looked at.
        first_ns, last_ns: their first and last time of our age, ns since the epoch; None where no row has one.
        findings: the gravest first.
        notes: what was assumed, or could not be looked at; a sentence each.
        skew: figures of the delay from `ts_event` to `ts_recv` in ns, None where no row states when it was received.
        prices: `ts`, `low`, `high`, `last` of at most 1,500 periods.
        minutes: start of each minute with rows, and their number.
        marks: of each kind, rows to draw: time, price (NaN: none), how many the mark stands for.
        spans: kind, start and end of each time that a finding is about.
        delays: a sample of (`ts_event`, delay), ns.
    """

    symbol: str
    schema: str
    rows: int
    first_ns: int | None
    last_ns: int | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    skew: dict[str, Any] | None
    prices: dict[str, Array]
    minutes: tuple[Array, Array]
    marks: dict[str, list[tuple[int, float, int]]]
    spans: tuple[tuple[str, int, int], ...]
    delays: tuple[Array, Array] | None


class Examination:
    """Takes the batches of one symbol and schema in the order of the rows.

    Args:
        symbol, schema: whose rows.
        instrument: its grid and calendar; None: neither is looked at.
        passed: kinds that are as they should be here.
        own_sequence: the source states our own count of rows.
        quotes: batches of the quotes that prints are compared with, in time order.
        interval: the time that was asked for.
        name: what findings call the schema.
        examples: how many rows of a kind are shown in full.
        every_row: keep the place of each row found.
    """

    def __init__(
        self,
        symbol: str,
        schema: SchemaName,
        instrument: Instrument | None,
        *,
        passed: Collection[str] = (),
        own_sequence: bool = False,
        quotes: Iterator[Batch] | None = None,
        interval: Interval | None = None,
        name: str | None = None,
        examples: int = 5,
        every_row: bool = False,
    ) -> None:
        self.book = Casebook(symbol, schema, name=name, examples=examples, every_row=every_row)
        book = self.book
        self._stamps, self._skew = StampRules(book), SkewRules(book)
        self._numbers = NumberRules(book, instrument, passed)
        self._prices = PriceRules(book, None if instrument is None else float(instrument.tick_size))
        self._pace = PaceRules(book, ALWAYS_OPEN if instrument is None else instrument.calendar, interval)
        self._repeats, self._sequence = RepeatRules(book), SequenceRules(book, own=own_sequence)
        self._events = EventRules(book)
        self._orders = OrderRules(book, instrument) if schema == "mbo" and instrument is not None else None
        self._levels = LevelBook() if schema == "mbp" else None
        self._last_close_ns: int | None = None
        self._series = PriceSeries()
        self._quotes, self._in_force = quotes, QuoteInForce(book) if quotes is not None else None

    def look(self, batch: Batch) -> None:
        """Looks at the next rows."""
        if not batch.rows:
            return
        batch.first = self.book.rows
        self.book.rows += batch.rows
        self._stamps.look(batch)
        self._skew.look(batch)
        good = self._numbers.look(batch)
        price = price_of(self.book.schema, batch.columns, good)
        self._prices.look(batch, price)
        self._pace.look(batch)
        self._repeats.look(batch)
        self._sequence.look(batch)
        self._events.look(batch)
        if self._orders is not None:
            self._orders.look(batch, good)
        if self._levels is not None:
            cleared = batch.columns["action"] == CLEAR
            for kind, hits in self._levels.look(batch.columns, good | cleared).items():
                self.book.add(kind, hits, batch, batch.columns["price"])
        if self.book.schema == "bars":
            self._bars(batch, good)
        if self._in_force is not None:
            self._compare(batch, price, self._in_force)
        times = batch.columns["ts_event"]
        if batch.timed.all():
            self._series.take(times, price)
        else:
            self._series.take(times[batch.timed], price[batch.timed])

    def _bars(self, batch: Batch, good: Array) -> None:
        for kind, hits in bar_faults(batch.columns, self._last_close_ns).items():
            self.book.add(kind, hits & (good | (kind in ("no_span", "overlap"))), batch, batch.columns["close"])
        self._last_close_ns = int(batch.columns["ts_event"][-1])

    def _compare(self, trades: Batch, price: Array, in_force: QuoteInForce) -> None:
        assert self._quotes is not None
        times, at = trades.columns["ts_event"], 0
        # A print without a usable time must not run through all quotes.
        highest = np.maximum.accumulate(np.where(trades.timed, times, NO_TIME_NS))
        while at < len(times):
            # Prints up to the last quote taken know theirs; a later one needs the quotes to come, if there are any.
            end = int(np.searchsorted(highest, in_force.until_ns, side="right"))
            quotes = next(self._quotes, None) if end < len(times) else None
            if quotes is None:
                end = len(times)
            in_force.look(trades, price, np.arange(at, end))
            at = max(at, end)
            if quotes is not None:
                quotes.timed = np.ones(quotes.rows, dtype=bool)
                in_force.take(quotes)

    def finish(self) -> Part:
        """What was found."""
        book = self.book
        self._prices.finish()
        self._pace.finish()
        self._sequence.finish()
        skew = self._skew.finish()
        delays = skew.pop("sample") if skew is not None else None
        return Part(
            symbol=book.symbol,
            schema=book.name,
            rows=book.rows,
            first_ns=self._stamps.first_ns,
            last_ns=self._stamps.last_ns,
            findings=tuple(book.findings()),
            notes=tuple(book.notes),
            skew=skew,
            prices=self._series.columns(),
            minutes=self._pace.minutes,
            marks={kind: sorted(marks.values()) for kind, marks in book.marks.items()},
            spans=tuple(book.spans),
            delays=delays,
        )
