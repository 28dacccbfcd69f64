"""Ten levels of a side as changes of single levels: what differs between the books after two records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cift.data.columns import Array, RawColumns
from cift.data.importers.databento.file import LEVELS, NO_PRICE, prices
from cift.data.importers.databento.records import KEPT_FLAGS, NO_ACTION, Reader, moved_ends, venue_numbers
from cift.data.times import DAY_NS
from cift.domain.schemas import ACTION_CODES, LAST, NO_TIME_NS, OUT_OF_SIGHT, SIDE_CODES, SNAPSHOT

CLEAR, SET = ACTION_CODES["clear"], ACTION_CODES["set"]
_CLEARED = ord("R")


class Side(NamedTuple):
    """Levels of one side after some records, a row each: prices in 1e-9 (NO_PRICE: none) and sizes."""

    price: Array
    size: Array

    def change_from(self, before: Side) -> tuple[Array, Array]:
        """Which levels of `before` are gone, and which of these are new or of another size."""
        gone = np.zeros(self.price.shape, dtype=bool)
        put: Array = (self.size != before.size) & (self.price != NO_PRICE)
        # Mostly a size changes where the prices stay; only where they moved, each is looked for among all ten.
        moved = np.flatnonzero((self.price != before.price).any(axis=1))
        price, size = self.price[moved], self.size[moved]
        same = (price[:, :, None] == before.price[moved][:, None, :]) & (price != NO_PRICE)[:, :, None]
        gone[moved] = (before.price[moved] != NO_PRICE) & ~same.any(axis=1)
        size_before = np.where(same, before.size[moved][:, None, :], 0).sum(axis=2)
        put[moved] = (price != NO_PRICE) & (~same.any(axis=2) | (size_before != size))
        return gone, put

    def shifted(self, first: Side, fresh: Array) -> Side:
        """What stood before each row: the row above, `first` before the first, nothing where `fresh`."""
        price = np.concatenate((first.price, self.price[:-1]))
        size = np.concatenate((first.size, self.size[:-1]))
        price[fresh] = NO_PRICE
        return Side(price, size)


def _nothing() -> Side:
    return Side(np.full((1, LEVELS), NO_PRICE, dtype=np.int64), np.zeros((1, LEVELS), dtype=np.int64))


def side_of(records: Array, side: str) -> Side:
    """The ten levels of one side."""
    price = np.stack([records[f"{side}_px_{n:02}"] for n in range(LEVELS)], axis=1)
    size = np.stack([records[f"{side}_sz_{n:02}"] for n in range(LEVELS)], axis=1).astype(np.int64)
    return Side(np.where(size == 0, NO_PRICE, price), size)


@dataclass
class LevelReader(Reader):
    """Records of mbp-10 as rows of `mbp`: each tells ten levels a side, and what changed of them becomes rows.

    A level that is pushed out behind the ten is set to 0 with the flag OUT_OF_SIGHT, since nothing is known of it from then on. The
    first record of a UTC day, and each that clears the book, begins with a `clear` and sets all its levels, so every day builds its
    own book.
    """

    bids: Side = field(default_factory=_nothing)
    asks: Side = field(default_factory=_nothing)
    day: int | None = None

    def batches(self) -> Iterator[tuple[Array, RawColumns]]:
        """Batches of columns, with the number of the record that each row is of."""
        for rows, records in self.whole_events():
            self.check_letters(rows, records)
            keep = self.keep(records)
            flags = records["flags"] & KEPT_FLAGS
            self.tally.counts["no_action"] += int(np.count_nonzero(records["action"] == NO_ACTION))
            times = self.times(rows, records, flags, keep)
            if keep.any():
                kept, times = (records, times) if keep.all() else (records[keep], times[keep])
                changes = self._changes(kept, times)
                changed = np.zeros(len(records), dtype=bool)
                changed[keep] = changes[0].any(axis=1)
                flags = moved_ends(flags, changed)
                yield self._rows(rows[keep], kept, times, flags[keep], *changes)

    def _changes(self, records: Array, times: Array) -> tuple[Array, Array, Array, Array]:
        """What each record leaves: which of 41 rows (a clear, levels gone and levels set, bids first), their prices and sizes,
        and whether the record begins a day."""
        days = times // DAY_NS
        begins = np.diff(days, prepend=days[0] - 1 if self.day is None else self.day) != 0
        fresh = begins | (records["action"] == _CLEARED)
        self.day = int(days[-1])
        now = [side_of(records, "bid"), side_of(records, "ask")]
        before = [side.shifted(first, fresh) for side, first in zip(now, (self.bids, self.asks), strict=True)]
        self.bids, self.asks = (Side(side.price[-1:], side.size[-1:]) for side in now)
        gone, put = zip(*(side.change_from(old) for side, old in zip(now, before, strict=True)), strict=True)
        nothing = np.full((len(records), 1), NO_PRICE)
        there = np.concatenate((fresh[:, None], *gone, *put), axis=1)
        price = np.concatenate((nothing, *(side.price for side in before), *(side.price for side in now)), axis=1)
        size = np.concatenate((np.zeros((len(records), 1 + 2 * LEVELS)), *(side.size for side in now)), axis=1)
        return there, price, size, begins

    def _rows(
        self, rows: Array, records: Array, times: Array, flags: Array, there: Array, price: Array, size: Array, begins: Array
    ) -> tuple[Array, RawColumns]:
        of, column = np.nonzero(there)
        ends = np.append(of[1:] != of[:-1], True)[: len(of)]
        row_flags = np.where(ends, flags[of], flags[of] & np.uint8(255 - LAST))
        row_flags = np.where(begins[of], row_flags | np.uint8(SNAPSHOT), row_flags).astype(np.uint8)
        # Gone, and behind the last of ten that are shown: pushed out rather than emptied.
        last_bid, last_ask = price[of, 3 * LEVELS], price[of, 4 * LEVELS]
        bid_out = (column >= 1) & (column <= LEVELS) & (last_bid != NO_PRICE) & (price[there] < last_bid)
        ask_out = (column > LEVELS) & (column <= 2 * LEVELS) & (last_ask != NO_PRICE) & (price[there] > last_ask)
        row_flags[bid_out | ask_out] |= OUT_OF_SIGHT
        sides = np.repeat(np.array([SIDE_CODES["bid"], SIDE_CODES["ask"]] * 2, dtype=np.uint8), LEVELS)
        sides = np.append(np.uint8(SIDE_CODES["none"]), sides)
        received = records["ts_recv"].view("i8")
        return rows[of], {
            "ts_event": times[of],
            "ts_recv": np.where(received == -1, NO_TIME_NS, received)[of],
            "action": np.where(column == 0, CLEAR, SET).astype(np.uint8),
            "side": sides[column],
            "price": prices(price[there]),
            "size": size[there],
            "flags": row_flags,
            "sequence": np.full(len(of), NO_TIME_NS, dtype=np.int64),
            "venue_seq": venue_numbers(records)[of],
        }
