"""Rules about levels (`mbp`): what is taken away was there, and the book is not crossed where an event ends."""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from cift.data.columns import Array, RawColumns
from cift.domain.schemas import ACTION_CODES, LAST, SIDE_CODES

CLEAR = ACTION_CODES["clear"]
BID = SIDE_CODES["bid"]


class LevelBook:
    """The sizes of a book's levels while rows pass."""

    def __init__(self) -> None:
        self._levels: tuple[dict[float, float], dict[float, float]] = {}, {}
        self._heaps: tuple[list[float], list[float]] = [], []

    def look(self, columns: RawColumns, usable: Array | None = None) -> dict[str, Array]:
        """Row indices by kind: `unknown_level` (a size of 0 for a level that is not there) and `crossed_book`.

        Args:
            columns: action, side, price, size and flags, raw.
            usable: which rows the book takes; None: all.
        """
        unknown, crossed = [], []
        names = ("action", "side", "price", "size", "flags")
        fits = np.ones(len(columns["price"]), dtype=bool) if usable is None else usable
        rows = zip(*(columns[name].tolist() for name in names), fits.tolist(), strict=True)
        for row, (action, side, price, size, flag, fit) in enumerate(rows):
            if not fit:
                pass
            elif action == CLEAR:
                for levels, heap in zip(self._levels, self._heaps, strict=True):
                    levels.clear()
                    heap.clear()
            else:
                which = 0 if side == BID else 1
                levels = self._levels[which]
                if size > 0:
                    if price not in levels:
                        heappush(self._heaps[which], -price if which == 0 else price)
                    levels[price] = size
                elif levels.pop(price, None) is None:
                    unknown.append(row)
            if flag & LAST:
                bid, ask = self._best(0), self._best(1)
                if bid is not None and ask is not None and bid >= ask:
                    crossed.append(row)
        return {"unknown_level": np.array(unknown, dtype=np.int64), "crossed_book": np.array(crossed, dtype=np.int64)}

    def _best(self, which: int) -> float | None:
        # A level that went away stays in the heap until it comes to the top; one that came back may stand there twice.
        heap, levels = self._heaps[which], self._levels[which]
        while heap:
            price = -heap[0] if which == 0 else heap[0]
            if price in levels:
                return price
            heappop(heap)
        return None


def bar_faults(columns: RawColumns, last_close_ns: int | None = None) -> dict[str, Array]:
    """Which bars cannot be, by kind; NaN compares as nothing, and has a kind of its own.

    Args:
        columns: ts_open, ts_event, open, high, low, close and vwap, raw.
        last_close_ns: `ts_event` of the bar before the first.
    """
    opens_ns, closes_ns = columns["ts_open"], columns["ts_event"]
    low, high = columns["low"], columns["high"]
    sound = ~(high < low)
    before = np.append(opens_ns[:1] if last_close_ns is None else last_close_ns, closes_ns[:-1])
    noise = 1e-9 * np.abs(high)  # of a mean
    return {
        "high_below_low": ~sound,
        "open_outside": sound & ((columns["open"] < low) | (columns["open"] > high)),
        "close_outside": sound & ((columns["close"] < low) | (columns["close"] > high)),
        "vwap_outside": sound & ((columns["vwap"] < low - noise) | (columns["vwap"] > high + noise)),
        "no_span": opens_ns > closes_ns,
        "overlap": opens_ns < before,
    }
