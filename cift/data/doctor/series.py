"""What the picture of a diagnosis is drawn from: prices by moment, kept small however long the data."""

from __future__ import annotations

import numpy as np

from cift.data.columns import Array

BUCKETS_MAX = 1_500
FIRST_WIDTH_NS = 1_000_000_000


class PriceSeries:
    """The lowest, highest and last price of each of at most 1,500 periods, which grow as the data does."""

    def __init__(self) -> None:
        self.width_ns = FIRST_WIDTH_NS
        self._held: tuple[Array, Array, Array, Array] = tuple(np.empty(0) for _ in range(4))  # type: ignore[assignment]

    def take(self, times: Array, prices: Array) -> None:
        """Adds prices in the order of their rows."""
        known = ~np.isnan(prices)
        if not known.all():
            times, prices = times[known], prices[known]
        if not len(times):
            return
        self._merge(times // self.width_ns, prices, prices, prices)
        while len(self._held[0]) > BUCKETS_MAX:
            self.width_ns *= 2
            periods, low, high, last = self._held
            self._held = tuple(np.empty(0) for _ in range(4))  # type: ignore[assignment]
            self._merge(periods // 2, low, high, last)

    def _merge(self, periods: Array, low: Array, high: Array, last: Array) -> None:
        if len(self._held[0]):
            periods = np.append(self._held[0], periods)
            low, high, last = (np.append(old, new) for old, new in zip(self._held[1:], (low, high, last), strict=True))
        if (np.diff(periods) < 0).any():
            order = np.argsort(periods, kind="stable")
            periods, low, high, last = periods[order], low[order], high[order], last[order]
        starts = np.flatnonzero(np.diff(periods, prepend=periods[0] - 1))
        ends = np.append(starts[1:], len(periods)) - 1
        self._held = periods[starts], np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts), last[ends]

    def columns(self) -> dict[str, Array]:
        """`ts` (start of the period, ns since the epoch), `low`, `high`, `last`."""
        periods, low, high, last = self._held
        return {"ts": periods.astype(np.int64) * self.width_ns, "low": low, "high": high, "last": last}
