"""A book of events and snapshots is the venue's, however late the snapshots come."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.columns import to_arrow
from cift.data.importers.book_chain import EVENTS_KEPT, BookChain, BookEvent
from cift.data.importers.levels import LevelRows
from cift.data.report import Tally
from cift.domain.schemas import SNAPSHOT, SUSPECT
from tests.data.depth import apply, books
from tests.data.market import MONDAY_NS


class Venue:
    """A random book by the naive way: its state after each update id, and the events that tell of it."""

    def __init__(self, seed: int, updates: int, *, futures: bool) -> None:
        rng = random.Random(seed)
        book: tuple[dict[float, float], dict[float, float]] = ({}, {})
        self.states = {0: ({}, {})}
        self.events: list[BookEvent] = []
        at, previous = 0, 0
        while at < updates:
            # On futures ids are shared with other symbols, so some belong to no event.
            first = at + 1 + (rng.randrange(4) if futures else 0)
            last = first + rng.randrange(3)
            for idle in range(at + 1, first):
                self.states[idle] = (dict(book[0]), dict(book[1]))
            sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
            for one in range(first, last + 1):
                side, price, size = rng.randrange(2), float(rng.randrange(1, 8)), float(rng.randrange(4))
                apply(book, side, price, size)
                sides[side][price] = size
                self.states[one] = (dict(book[0]), dict(book[1]))
            told = (list(sides[0].items()), list(sides[1].items()))
            self.events.append(BookEvent(first, last, previous if futures else None, *told, MONDAY_NS + last, MONDAY_NS, last))
            at = previous = last

    def snapshot(self, last_id: int) -> BookEvent:
        bids, asks = self.states[last_id]
        return BookEvent(last_id, last_id, None, list(bids.items()), list(asks.items()), MONDAY_NS + last_id, MONDAY_NS, 0)


def chained(messages: list[tuple[str, BookEvent]], *, in_order: bool = False) -> tuple[list, list, Tally]:
    """The books of what came before the first snapshot, and from then on."""
    before, after, tally = LevelRows(), LevelRows(), Tally("x")
    chain = BookChain(before, after, tally, in_order=in_order)
    for kind, event in messages:
        (chain.snapshot if kind == "snapshot" else chain.event)(event)
    found = [books(pl.DataFrame(to_arrow("mbp", rows.take()[0]))) for rows in (before, after)]
    assert chain.started == bool(found[1])
    return found[0], found[1], tally


@given(
    seed=st.integers(0, 10**6),
    futures=st.booleans(),
    snapshots=st.lists(st.tuples(st.floats(0, 1), st.integers(-8, 8)), min_size=1, max_size=3),
)
def test_after_each_event_the_book_is_the_venues(seed, futures, snapshots):
    venue = Venue(seed, 60, futures=futures)
    messages = [("event", event) for event in venue.events]
    for place, late in sorted(snapshots, reverse=True):
        index = int(place * len(venue.events))
        here = venue.events[index - 1].last_id if index else 0
        # Taken up to eight ids before or after what the stream told last.
        messages.insert(index, ("snapshot", venue.snapshot(min(max(0, here + late), max(venue.states)))))
    _, after, tally = chained(messages)
    assert tally.counts["snapshots"] == len(snapshots)
    assert tally.counts["gaps"] == 0
    assert after
    for last_id, flags, bids, asks in after:
        assert (bids, asks) == venue.states[last_id]
        assert not flags & SUSPECT
    assert after[-1][0] == max(venue.states) or after[-1][1] & SNAPSHOT


@given(seed=st.integers(0, 10**6), futures=st.booleans(), lost=st.integers(1, 4))
def test_a_lost_event_makes_suspect_what_follows_until_a_snapshot(seed, futures, lost):
    venue = Venue(seed, 60, futures=futures)
    cut = len(venue.events) * 2 // 3
    messages = [("snapshot", venue.snapshot(0)), *(("event", event) for event in venue.events)]
    del messages[lost]
    messages.insert(cut, ("snapshot", venue.snapshot(venue.events[cut - 1].last_id)))
    _, after, tally = chained(messages)
    assert tally.counts["gaps"] == 1
    healed = venue.events[cut - 1].last_id
    lost_id = venue.events[lost - 1].last_id
    for last_id, flags, bids, asks in after:
        assert bool(flags & SUSPECT) == (lost_id < last_id <= healed and not flags & SNAPSHOT)
        if not flags & SUSPECT:
            assert (bids, asks) == venue.states[last_id]


def test_an_event_twice_is_left_out():
    venue = Venue(1, 30, futures=True)
    messages = [("snapshot", venue.snapshot(0)), *(("event", event) for event in venue.events for _ in range(2))]
    _, after, tally = chained(messages)
    assert tally.counts["old_events"] == len(venue.events)
    assert len(after) == 1 + len(venue.events)


def test_without_a_snapshot_all_is_before():
    venue = Venue(2, 30, futures=False)
    before, after, _ = chained([("event", event) for event in venue.events])
    assert (len(before), after) == (len(venue.events), [])


def test_a_snapshot_too_late_for_what_is_kept_is_a_gap():
    venue = Venue(3, 4 * EVENTS_KEPT, futures=False)
    messages = [("event", event) for event in venue.events]
    _, after, tally = chained([*messages, ("snapshot", venue.snapshot(1))])
    assert tally.counts["events_after_their_snapshot"] == EVENTS_KEPT
    assert tally.counts["gaps"] == 1
    assert after[-1][1] & SUSPECT


@pytest.mark.parametrize("in_order", [False, True])
def test_a_snapshot_in_order_may_begin_anew(in_order):
    """After a restart of the venue its ids begin again; where snapshots come in order, nothing before one happened after it."""
    venue = Venue(4, 20, futures=False)
    messages = [("snapshot", venue.snapshot(10)), *(("event", event) for event in venue.events if event.first_id > 10)]
    _, after, tally = chained([*messages, ("snapshot", venue.snapshot(0))], in_order=in_order)
    assert (after[-1][0] == 0) == in_order
    assert (tally.counts["events_after_their_snapshot"] == 0) == in_order
