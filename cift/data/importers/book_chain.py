"""A book kept by a snapshot and by events that continue it and one another by their update ids.

An event covers the ids `first_id` to `last_id`, and begins with the id after the event before it, or names that one's last id as
`previous_id`. A snapshot is the book after its `last_id`. Where it comes by another way than the events (Binance: by REST), some
of those that came before it happened after it, and the other way round. Source: "How to manage a local order book correctly",
developers.binance.com; "Orderbook", bybit-exchange.github.io/docs/v5.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from cift.data.importers.levels import LevelRows, Pairs
from cift.data.importers.mixed import BACK_NS_MAX
from cift.data.report import Tally
from cift.domain.schemas import SUSPECT

EVENTS_KEPT = 512
"""Events that may have come before a snapshot and happened after it: five seconds and more of the busiest feed."""


class BookEvent(NamedTuple):
    """One event of the book, or a snapshot.

    Args:
        first_id, last_id: the update ids that it covers (Binance: `U` and `u`).
        previous_id: the last id of the event before it (`pu`); None where ids have no holes.
        bids, asks: the levels that it sets.
        ts_event, ts_recv: in ns.
        row: its line in the file.
    """

    first_id: int
    last_id: int
    previous_id: int | None
    bids: Pairs
    asks: Pairs
    ts_event: int
    ts_recv: int
    row: int

    def covered_from(self) -> int:
        """The last id before it."""
        return self.first_id - 1 if self.previous_id is None else self.previous_id


class BookChain:
    """Joins events and snapshots.

    What came before the first snapshot goes to `before`, the rest to `after`. An event that the book already contains is left
    out (`old_events`), and so is a snapshot that is not newer than a sound book (`old_snapshots`): it would take the book back.
    Where ids are missing between two events (`gaps`), what follows is SUSPECT until a snapshot that contains what is missing;
    the events that happened after it are part of it then.

    Args:
        before, after: take the rows.
        tally: counts.
        in_order: snapshots stand among the events in the order in which both happened.
    """

    def __init__(self, before: LevelRows, after: LevelRows, tally: Tally, *, in_order: bool) -> None:
        self._before, self._after, self._tally = before, after, tally
        self._recent: deque[BookEvent] = deque(maxlen=0 if in_order else EVENTS_KEPT)
        self._last_id: int | None = None
        self._last_ns = 0
        self._in_order = in_order
        self._mark = 0
        self._hole_ends = 0
        """The last id that is missing, where the book is SUSPECT."""
        self.started = False
        """Whether a snapshot has come."""

    def event(self, event: BookEvent) -> None:
        """Takes one event, in the order of receipt."""
        # One that the book contains may be missing in the next snapshot, which need not be younger.
        self._recent.append(event)
        self._apply(event)

    def _apply(self, event: BookEvent) -> None:
        if self._last_id is not None:
            # Ids that began anew are lower and yet later than the disorder of times explains.
            if event.last_id <= self._last_id and event.ts_event <= self._last_ns + BACK_NS_MAX:
                self._tally.counts["old_events"] += 1
                return
            covered_from = event.covered_from()
            if covered_from > self._last_id or event.last_id <= self._last_id:
                self._tally.counts["gaps"] += 1
                self._mark, self._hole_ends = SUSPECT, covered_from
        self._last_id, self._last_ns = event.last_id, event.ts_event
        rows = self._after if self.started else self._before
        rows.add(event.ts_event, event.ts_recv, event.last_id, event.bids, event.asks, event.row, self._mark)

    def snapshot(self, book: BookEvent) -> None:
        """Takes a snapshot; events that came before it and happened after it come again, received with it."""
        if self._is_old(book):
            self._tally.counts["old_snapshots"] += 1
            return
        later = [event for event in self._recent if event.last_id > book.last_id]
        self._tally.counts["snapshots"] += 1
        self._tally.counts["events_after_their_snapshot"] += len(later)
        if self.started and later:
            # The book has been where they lead to: it is not shown on its way there once more.
            book, later = _after(book, later), []
        self._mark, self._last_id, self._last_ns, self.started = 0, book.last_id, book.ts_event, True
        self._after.add(book.ts_event, book.ts_recv, book.last_id, book.bids, book.asks, book.row, snapshot=True)
        for event in later:
            self._apply(event._replace(ts_recv=book.ts_recv))

    def _is_old(self, book: BookEvent) -> bool:
        if not self.started or self._last_id is None or book.last_id > self._last_id:
            return False
        # Ids that began anew are lower and later; the same id is the same book, whenever it is told.
        if book.last_id < self._last_id and book.ts_event > self._last_ns + (0 if self._in_order else BACK_NS_MAX):
            return False
        if not self._mark:
            return True
        # It mends the book where it has what is missing, and what happened after it is kept.
        kept_from = self._recent[0].covered_from() if self._recent else self._last_id
        return book.last_id < max(self._hole_ends, kept_from)


def _after(book: BookEvent, later: Sequence[BookEvent]) -> BookEvent:
    """A snapshot with events that happened after it."""
    bids, asks, last_id, ts_event = dict(book.bids), dict(book.asks), book.last_id, book.ts_event
    for event in later:
        if event.last_id > last_id:
            bids.update(event.bids)
            asks.update(event.asks)
            last_id, ts_event = event.last_id, max(ts_event, event.ts_event)
    told = [[(price, size) for price, size in side.items() if size] for side in (bids, asks)]
    return book._replace(last_id=last_id, bids=told[0], asks=told[1], ts_event=ts_event)
