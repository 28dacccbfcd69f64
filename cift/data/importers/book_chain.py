"""A book kept by a snapshot and by events that continue it and one another by their update ids.

An event covers the ids `first_id` to `last_id`, and begins with the id after the event before it, or names that one's last id as
`previous_id`. A snapshot is the book after its `last_id`. Where it comes by another way than the events (Binance: by REST), some
of those that came before it happened after it, and the other way round. Source: "How to manage a local order book correctly",
developers.binance.com; "Orderbook", bybit-exchange.github.io/docs/v5.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from cift.data.importers.levels import LevelRows, Pairs
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


class BookChain:
    """Joins events and snapshots.

    What came before the first snapshot goes to `before`, the rest to `after`. An event that the book already contains is left
    out (`old_events`). Where ids are missing between two (`gaps`), what follows is SUSPECT until the next snapshot.

    Args:
        before, after: take the rows.
        tally: counts.
        in_order: snapshots stand among the events in the order in which both happened.
    """

    def __init__(self, before: LevelRows, after: LevelRows, tally: Tally, *, in_order: bool) -> None:
        self._before, self._after, self._tally = before, after, tally
        self._recent: deque[BookEvent] = deque(maxlen=0 if in_order else EVENTS_KEPT)
        self._last_id: int | None = None
        self._mark = 0
        self.started = False
        """Whether a snapshot has come."""

    def event(self, event: BookEvent) -> None:
        """Takes one event, in the order of receipt."""
        # One that the book contains may be missing in the next snapshot, which need not be younger.
        self._recent.append(event)
        self._apply(event)

    def _apply(self, event: BookEvent) -> None:
        if self._last_id is not None:
            if event.last_id <= self._last_id:
                self._tally.counts["old_events"] += 1
                return
            covered_from = event.first_id - 1 if event.previous_id is None else event.previous_id
            if covered_from > self._last_id:
                self._tally.counts["gaps"] += 1
                self._mark = SUSPECT
        self._last_id = event.last_id
        rows = self._after if self.started else self._before
        rows.add(event.ts_event, event.ts_recv, event.last_id, event.bids, event.asks, event.row, self._mark)

    def snapshot(self, book: BookEvent) -> None:
        """Takes a snapshot; events that came before it and happened after it come again, received with it."""
        later = [event for event in self._recent if event.last_id > book.last_id]
        self._tally.counts["snapshots"] += 1
        self._tally.counts["events_after_their_snapshot"] += len(later)
        self._mark, self._last_id, self.started = 0, book.last_id, True
        self._after.add(book.ts_event, book.ts_recv, book.last_id, book.bids, book.asks, book.row, snapshot=True)
        for event in later:
            self._apply(event._replace(ts_recv=book.ts_recv))
