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
    assert tally.counts["snapshots"] + tally.counts["old_snapshots"] == len(snapshots)
    assert tally.counts["gaps"] == 0
    assert after
    for last_id, flags, bids, asks in after:
        assert (bids, asks) == venue.states[last_id]
        assert not flags & SUSPECT
    assert after[-1][0] == max(venue.states) or after[-1][1] & SNAPSHOT
    ids = [number for number, *_ in after]
    assert ids == sorted(set(ids)), "the book never goes back"


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


@pytest.mark.parametrize(
    ("in_order", "later_s", "anew"), [(False, 59, False), (False, 61, True), (True, 0, False), (True, 1, True)]
)
def test_ids_begin_anew_with_a_snapshot_that_is_lower_and_later(in_order, later_s, anew):
    venue = Venue(4, 20, futures=False)
    restart = venue.snapshot(0)._replace(ts_event=MONDAY_NS + max(venue.states) + later_s * 10**9)
    messages = [("snapshot", venue.snapshot(10)), *(("event", event) for event in venue.events if event.first_id > 10)]
    _, after, tally = chained([*messages, ("snapshot", restart)], in_order=in_order)
    assert (tally.counts["snapshots"], tally.counts["old_snapshots"]) == ((2, 0) if anew else (1, 1))
    assert not in_order or (after[-1][0] == 0) == anew


@pytest.mark.parametrize("later_s", [59, 61])
def test_events_that_are_lower_and_later_begin_anew_as_a_gap(later_s):
    venue = Venue(5, 20, futures=False)
    again = [event._replace(ts_event=event.ts_event + later_s * 10**9) for event in venue.events]
    events = [("event", event) for event in (*venue.events, *again)]
    _, after, tally = chained([("snapshot", venue.snapshot(0)), *events])
    told = len(venue.events)
    assert (tally.counts["old_events"], tally.counts["gaps"]) == ((told, 0) if later_s == 59 else (0, 1))
    assert [flags & SUSPECT > 0 for _, flags, *_ in after[told + 1 :]] == [True] * (0 if later_s == 59 else told)


@given(seed=st.integers(0, 10**6), futures=st.booleans(), lost=st.integers(2, 6), late=st.integers(0, 25))
def test_a_snapshot_mends_a_gap_that_it_contains_and_never_goes_back(seed, futures, lost, late):
    venue = Venue(seed, 60, futures=futures)
    events, hole = venue.events[:20], venue.events[lost]
    told = events[-1].last_id
    book = venue.snapshot(max(0, told - late))
    received = [("event", event) for event in events if event is not hole]
    _, after, tally = chained([("snapshot", venue.snapshot(0)), *received, ("snapshot", book)])
    mends = book.last_id >= hole.last_id
    assert (tally.counts["snapshots"], tally.counts["old_snapshots"]) == ((2, 0) if mends else (1, 1))
    assert [number for number, *_ in after] == [0, *(event.last_id for _, event in received), *([told] if mends else [])]
    if mends:
        assert after[-1][1] & SUSPECT == 0
        assert after[-1][2:] == venue.states[told], "as it is now, not on its way there"


def test_two_stretches_that_overlap_give_what_one_gives():
    venue = Venue(6, 90, futures=True)
    events = [("event", event) for event in venue.events]
    whole = chained([("snapshot", venue.snapshot(0)), *events])[1]
    again = ("snapshot", venue.snapshot(venue.events[11].last_id))
    _, after, tally = chained([("snapshot", venue.snapshot(0)), *events[:20], events[10], again, *events[11:]])
    assert after == whole
    assert (tally.counts["old_snapshots"], tally.counts["old_events"]) == (1, 10)
