"""Builds `mbp` rows: levels of a book, event by event, and the changes between pictures of its top.

Each event is one message of the venue: its last row carries the flag LAST. A snapshot is one event that begins with a clear;
all its rows carry SNAPSHOT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np

from cift.data.columns import Array, RawColumns, cut, length
from cift.data.times import DAY_NS
from cift.domain.schemas import ACTION_CODES, LAST, NO_TIME_NS, OUT_OF_SIGHT, SIDE_CODES, SNAPSHOT, SUSPECT

SET, CLEAR = ACTION_CODES["set"], ACTION_CODES["clear"]
BID, ASK, NO_SIDE = SIDE_CODES["bid"], SIDE_CODES["ask"], SIDE_CODES["none"]

ROWS_PER_BATCH = 65_536

Pairs = Sequence[tuple[float, float]]
"""Levels of one side: price and size; size 0: none stands there."""


class LevelRows:
    """Events in the order in which they are added, until they are taken as raw columns."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._pairs: list[tuple[float, float]] = []
        self._lengths: list[int] = []
        """For each event: its rows of clear, of bids and of asks."""
        self._events: list[tuple[int, int, int, int, int]] = []
        """For each event: ts_event, ts_recv, venue_seq, flags, number of the row in the file."""
        self._out: list[int] = []
        """Rows of levels that went out of sight."""

    def add(
        self,
        ts_event: int,
        ts_recv: int,
        venue_seq: int,
        bids: Pairs,
        asks: Pairs,
        row: int,
        flags: int = 0,
        *,
        snapshot: bool = False,
        out_of_sight: tuple[int, int] = (0, 0),
    ) -> None:
        """Adds one event; one that changes nothing leaves no row.

        Args:
            ts_event, ts_recv: in ns; NO_TIME_NS where there is none.
            venue_seq: the venue's number of the event, or NO_TIME_NS.
            bids, asks: the levels that it sets.
            row: its line in the file.
            flags: of all its rows, beside LAST and SNAPSHOT.
            snapshot: the levels are the whole book.
            out_of_sight: how many of the first bids and asks left what the feed shows, of which nothing is known then.
        """
        bid_rows, ask_rows = len(bids), len(asks)
        if snapshot:
            flags |= SNAPSHOT
            self._pairs.append((np.nan, 0.0))
        elif not bid_rows and not ask_rows:
            return
        for levels, out in ((bids, out_of_sight[0]), (asks, out_of_sight[1])):
            self._out += range(len(self._pairs), len(self._pairs) + out)
            self._pairs += levels
        self._lengths += (snapshot, bid_rows, ask_rows)
        self._events.append((ts_event, ts_recv, venue_seq, flags, row))

    def full(self) -> bool:
        """Whether a batch is ready to be taken."""
        return len(self._pairs) >= ROWS_PER_BATCH

    def take(self) -> tuple[RawColumns, Array]:
        """The raw columns of all events added since the last call, and the number of each row in the file."""
        rows, events = len(self._pairs), len(self._events)
        values = np.fromiter(chain.from_iterable(self._pairs), np.float64, 2 * rows)
        lengths = np.array(self._lengths, dtype=np.int64)
        told = np.array(self._events, dtype=np.int64).reshape(events, 5)
        per_event = lengths.reshape(events, 3).sum(axis=1)
        ts_event, ts_recv, venue_seq, numbers = (np.repeat(told[:, at], per_event) for at in (0, 1, 2, 4))
        flags = np.repeat(told[:, 3].astype(np.uint8), per_event)
        flags[np.cumsum(per_event) - 1] |= LAST
        flags[self._out] |= OUT_OF_SIGHT
        columns: RawColumns = {
            "ts_event": ts_event,
            "ts_recv": ts_recv,
            "action": np.repeat(np.tile(np.array([CLEAR, SET, SET], dtype=np.uint8), events), lengths),
            "side": np.repeat(np.tile(np.array([NO_SIDE, BID, ASK], dtype=np.uint8), events), lengths),
            "price": values[::2].copy(),
            "size": values[1::2].copy(),
            "flags": flags,
            "sequence": np.full(rows, NO_TIME_NS, dtype=np.int64),
            "venue_seq": venue_seq,
        }
        self._start()
        return columns, numbers


class TopOfBook:
    """What changes from one picture of a book's top levels to the next.

    A feed of the best N levels says nothing of deeper ones, so the book is those N. A level that is gone from among them is set to
    0; one that was pushed out behind them is set to 0 with the flag OUT_OF_SIGHT, since nothing is known of it until it comes back.

    Args:
        depth: how many levels of a side the feed shows at most: where it shows fewer, there are no more.
    """

    def __init__(self, depth: int) -> None:
        self._sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
        self._depth = depth

    def changes(self, bids: Pairs, asks: Pairs) -> tuple[Pairs, Pairs, tuple[int, int]]:
        """The levels to set so that the picture before becomes this one: first those that went out of sight, and how many these
        are of each side.
        """
        now = (dict(bids), dict(asks))
        self._depth = max(self._depth, *map(len, now))
        bounds = [self._bound(side, last) for side, last in zip(now, (min, max), strict=True)]
        changed_bids, bids_out = _changes(self._sides[0], now[0], lambda price: price < bounds[0])
        changed_asks, asks_out = _changes(self._sides[1], now[1], lambda price: price > bounds[1])
        self._sides = now
        return changed_bids, changed_asks, (bids_out, asks_out)

    def _bound(self, side: dict[float, float], last: Callable[[Iterable[float]], float]) -> float:
        """The last price shown, behind which others may stand; NaN, which nothing is behind, where all of them are shown."""
        return last(side) if side and len(side) == self._depth else np.nan


def _changes(before: dict[float, float], after: dict[float, float], is_behind: Callable[[float], bool]) -> tuple[Pairs, int]:
    """What is set of one side, first what `is_behind` the levels shown and may still stand, and how many these are."""
    gone = sorted(before.keys() - after.keys())
    out = [price for price in gone if is_behind(price)]
    empty = [price for price in gone if not is_behind(price)]
    return [(price, 0.0) for price in out + empty] + sorted(after.items() - before.items()), len(out)


class CarriedBook:
    """Puts the book of the day before in front of each UTC day but the first, so that a day can be read alone.

    It comes as levels set with the first event of the day, as an event of its own with the flag SNAPSHOT: where the days before
    were read, it changes nothing.
    """

    def __init__(self) -> None:
        self.carried = 0
        """How many days were given one."""
        self._day: int | None = None
        nothing = np.empty(0)
        self._sides: dict[int, tuple[Array, Array]] = {BID: (nothing, nothing), ASK: (nothing, nothing)}
        """Prices, sorted, and sizes of the levels that stand."""
        self._last = (NO_TIME_NS, 0)
        """venue_seq and flags of the row before."""

    def follow(self, numbers: Array, columns: RawColumns) -> Iterator[tuple[Array, RawColumns]]:
        """The rows of a batch, day by day, with the books between them; the last event need not be whole.

        Args:
            numbers: of the rows in the file.
            columns: levels in the order of time.
        """
        days = columns["ts_event"] // DAY_NS
        edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        for start, stop in pairwise(edges):
            piece = cut(columns, start, stop)
            if self._day is not None and days[start] != self._day:
                book = self._book(piece)
                if length(book):
                    self.carried += 1
                    yield np.full(length(book), numbers[start]), book
            self._day = int(days[start])
            self._fold(piece)
            yield numbers[start:stop], piece

    def _fold(self, columns: RawColumns) -> None:
        action = columns["action"]
        clears = np.flatnonzero(action == CLEAR)
        since = int(clears[-1]) + 1 if len(clears) else 0
        for side in (BID, ASK):
            prices, sizes = self._sides[side]
            if len(clears):
                prices, sizes = prices[:0], sizes[:0]
            of_side = columns["side"][since:] == side
            # The newest first: of each price the first is what holds.
            newest = np.concatenate([columns["price"][since:][of_side][::-1], prices])
            told = np.concatenate([columns["size"][since:][of_side][::-1], sizes])
            prices, first = np.unique(newest, return_index=True)
            sizes = told[first]
            stands = sizes != 0
            self._sides[side] = (prices[stands], sizes[stands])
        self._last = (int(columns["venue_seq"][-1]), int(columns["flags"][-1]))

    def _book(self, day: RawColumns) -> RawColumns:
        (bids, bid_sizes), (asks, ask_sizes) = self._sides[BID], self._sides[ASK]
        rows = len(bids) + len(asks)
        venue_seq, flags = self._last
        marked = np.full(rows, SNAPSHOT | (flags & SUSPECT), dtype=np.uint8)
        marked[-1:] |= LAST
        return {
            "ts_event": np.full(rows, day["ts_event"][0]),
            "ts_recv": np.full(rows, day["ts_recv"][0]),
            "action": np.full(rows, SET, dtype=np.uint8),
            "side": np.repeat(np.array([BID, ASK], dtype=np.uint8), [len(bids), len(asks)]),
            "price": np.concatenate([bids, asks]),
            "size": np.concatenate([bid_sizes, ask_sizes]),
            "flags": marked,
            "sequence": np.full(rows, NO_TIME_NS, dtype=np.int64),
            "venue_seq": np.full(rows, venue_seq),
        }


def running_maximum(ts_event: Array, last_ns: int | None) -> tuple[Array, int]:
    """Times that never go back, from `last_ns` on, and how many rows stood before one above them."""
    if not len(ts_event):
        return ts_event, 0
    start = ts_event[0] if last_ns is None else max(int(ts_event[0]), last_ns)
    highest = np.maximum.accumulate(np.maximum(ts_event, start))
    return highest, int((highest != ts_event).sum())
