"""Rules about rows and the row above: repeats, and numbers that should count up."""

from __future__ import annotations

from typing import Final

import numpy as np

from cift.data.columns import Array
from cift.data.doctor.casebook import Batch, Casebook
from cift.domain.schemas import ACTION_CODES, LAST, NO_TIME_NS, SNAPSHOT, STORED_DTYPES

SKIPPING_SHARE_MAX: Final = 0.05
"""Where more of the rows skip a number, the venue counts more than these rows, and what is missing cannot be told."""
_NOT_COMPARED: Final = ("sequence", "ts_recv", "flags")


class RepeatRules:
    """Looks for rows that repeat the one above: in all that the venue said of it. A print without an id may well occur twice."""

    def __init__(self, book: Casebook) -> None:
        self._book = book
        self._names = [name for name in STORED_DTYPES[book.schema] if name not in _NOT_COMPARED]
        self._last: dict[str, int] = {}

    def look(self, batch: Batch) -> None:
        """Writes down what repeats."""
        if self._book.schema not in ("mbo", "quotes", "trades"):
            return  # a level may be set to what it is, and bars that repeat overlap
        same = np.ones(batch.rows, dtype=bool)
        for name in self._names:
            array = _bits(batch.columns[name])
            same[1:] &= array[1:] == array[:-1]
            same[0] &= array[0].item() == self._last.get(name)
            if not same.any():
                break
        else:
            if self._book.schema == "trades":
                same &= (batch.columns["trade_id"] != 0) | (batch.columns["venue_seq"] != NO_TIME_NS)
            elif self._book.schema == "mbo":
                same &= batch.columns["action"] == ACTION_CODES["add"]
            self._book.add("duplicate", same, batch)
        self._last = {name: _bits(batch.columns[name])[-1].item() for name in self._names}


def _bits(array: Array) -> Array:
    """Values that equal themselves: a missing side's price is NaN, and repeats nevertheless."""
    if array.dtype.kind != "f":
        return array
    # One NaN and one zero of all.
    return (np.where(np.isnan(array), np.nan, array) + 0.0).view(np.int64)


class SequenceRules:
    """Looks at our own count of rows, where a file states one, and at the venue's, which may begin anew with each UTC day."""

    def __init__(self, book: Casebook, *, own: bool) -> None:
        self._book, self._own = book, own
        self._day: int | None = None
        self._last_own: tuple[int, int] | None = None
        self._last_venue: tuple[int, int] | None = None
        self._numbered = 0

    def look(self, batch: Batch) -> None:
        """Writes down what skips or goes back."""
        days = batch.days(self._day)
        self._day = int(days[-1])
        if self._own:
            self._ours(batch, days)
        if "venue_seq" not in batch.columns:
            return  # bars
        venue = batch.columns["venue_seq"]
        # Orders of a snapshot carry the numbers that they came with, in the order of the book.
        at = np.flatnonzero((venue != NO_TIME_NS) & ((batch.columns["flags"] & SNAPSHOT) == 0))
        if not len(at):
            return
        values, days = venue[at], days[at]
        last_day, last = self._last_venue or (int(days[0]), int(values[0]))
        before = np.append(last, values[:-1])
        within = days == np.append(last_day, days[:-1])
        # Compared, not subtracted: numbers of venues use all 64 bits.
        self._book.add("sequence_back", at[within & (values < before)], batch)
        self._book.add("sequence_gap", at[within & (values > before) & (values - 1 > before)], batch)
        self._last_venue = int(days[-1]), int(values[-1])
        self._numbered += len(at)

    def _ours(self, batch: Batch, days: Array) -> None:
        sequence = batch.columns["sequence"]
        goes_on = self._last_own is not None and self._last_own[0] == days[0]
        first = self._last_own[1] + 1 if goes_on and self._last_own is not None else 0
        expected = np.append(first, sequence[:-1] + 1)
        expected[1:][days[1:] != days[:-1]] = 0
        self._book.add("own_sequence_gap", sequence != expected, batch)
        self._last_own = int(days[-1]), int(sequence[-1])

    def finish(self) -> None:
        """A venue that counts more than these rows skips in most of them: that is said once, as a note."""
        skipping = self._book.counts["sequence_gap"]
        if skipping > SKIPPING_SHARE_MAX * self._numbered:
            self._book.drop("sequence_gap")
            self._book.notes.append(
                f"venue_seq skips in {skipping / self._numbered:.0%} of the rows, so it counts more than these: it tells no gaps"
            )


class EventRules:
    """Looks for events that do not end before time moves on. The rows of a snapshot may have times of their own."""

    def __init__(self, book: Casebook) -> None:
        self._book = book
        self._last: tuple[int, int] | None = None

    def look(self, batch: Batch) -> None:
        """Writes down the rows that come while an event of another time is open."""
        if "flags" not in batch.columns:
            return  # bars
        times, flags = batch.columns["ts_event"], batch.columns["flags"]
        last_ns, last_flags = self._last or (int(times[0]), LAST)
        flags_above = np.append(np.uint8(last_flags), flags[:-1])
        moved_on = (times != np.append(last_ns, times[:-1])) & ((flags_above & LAST) == 0)
        self._book.add("open_event", moved_on & ((flags_above & flags & SNAPSHOT) == 0), batch)
        self._last = int(times[-1]), int(flags[-1])


class QuoteInForce:
    """Which prints lie outside the quote before them; quotes are read alongside, as far as each print's time.

    An order that takes several levels prints at all of them in one instant, so the first print of an instant speaks for it.
    """

    def __init__(self, book: Casebook) -> None:
        self._book = book
        self._bids = self._asks = np.empty(0)
        self._times = np.empty(0, dtype=np.int64)
        self._last_ns = NO_TIME_NS
        self.until_ns = NO_TIME_NS
        """Time of the last quote taken."""

    def take(self, quotes: Batch) -> None:
        """Goes on to quotes of a later time than those before, of which the last remains: prints looked at later need no other.

        Rows whose sides cross or are bad put no print outside.
        """
        columns = quotes.columns
        bid = np.where(columns["bid_size"] > 0, columns["bid_price"], np.nan)
        ask = np.where(columns["ask_size"] > 0, columns["ask_price"], np.nan)
        sound = quotes.timed & ~(bid > ask)
        self._times = np.append(self._times[-1:], columns["ts_event"][sound])
        self._bids, self._asks = np.append(self._bids[-1:], bid[sound]), np.append(self._asks[-1:], ask[sound])
        self.until_ns = int(columns["ts_event"][-1]) if len(sound) else self.until_ns

    def look(self, trades: Batch, price: Array, rows: Array) -> None:
        """Writes down which of some rows lie outside; their quotes are among those taken last, or the one before these.

        Args:
            trades, price: all rows of the batch.
            rows: the ones to look at, by index; each row once, in their order.
        """
        times = trades.columns["ts_event"][rows]
        first = times != np.append(self._last_ns, times[:-1])
        if len(times):
            self._last_ns = int(times[-1])
        if not len(self._times):
            return
        at = np.searchsorted(self._times, times, side="left") - 1
        known, at = (at >= 0) & trades.timed[rows] & first, np.maximum(at, 0)
        outside = known & ((price[rows] < self._bids[at]) | (price[rows] > self._asks[at]))
        self._book.add("outside_quote", rows[outside], trades, price)
