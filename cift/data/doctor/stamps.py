"""Rules about the two stamps of a row: units, order, and how far apart the two clocks are."""

from __future__ import annotations

from typing import Any

import numpy as np

from cift.data.columns import Array
from cift.data.doctor.casebook import Batch, Casebook
from cift.data.screen import EARLIEST_NS, LATEST_NS, UNITS_PER_NS
from cift.domain.schemas import NO_TIME_NS

SKEW_SAMPLE_MAX = 100_000
"""Delays kept to tell their quantiles: every row's while there are few, then every second's, every fourth's, and so on."""
DRIFT_SLICES = 20
DRIFT_LEAST_NS = 1_000_000
"""A drift below a millisecond over the whole period is none that a clock synchronised over a network can be blamed for."""
DRIFT_NOISE_RATIO = 5.0


class StampRules:
    """Looks at `ts_event` by itself: missing, of another age or unit, or before the row above."""

    def __init__(self, book: Casebook) -> None:
        self._book = book
        self._last_ns: int | None = None
        self.first_ns: int | None = None
        self.last_ns: int | None = None

    def look(self, batch: Batch) -> None:
        """Writes down what is wrong, and says in the batch which rows have a usable time."""
        ts_event = batch.columns["ts_event"]
        batch.timed = (ts_event >= EARLIEST_NS) & (ts_event < LATEST_NS)
        if not batch.timed.all():
            self._ages(batch, ts_event)
        times = ts_event if batch.timed.all() else ts_event[batch.timed]
        if not len(times):
            return
        before = np.empty_like(times)
        before[0] = times[0] if self._last_ns is None else self._last_ns
        before[1:] = times[:-1]
        back = times < before
        if back.any():
            self._book.add("time_back", np.flatnonzero(batch.timed)[back], batch)
        self._last_ns = int(times[-1])
        low, high = int(times.min()), int(times.max())
        self.first_ns = low if self.first_ns is None else min(low, self.first_ns)
        self.last_ns = high if self.last_ns is None else max(high, self.last_ns)

    def _ages(self, batch: Batch, ts_event: Array) -> None:
        missing = ts_event == NO_TIME_NS
        self._book.add("no_time", missing, batch)
        unit = np.zeros(len(ts_event), dtype=bool)
        for factor in UNITS_PER_NS.values():
            unit |= (ts_event >= EARLIEST_NS // factor) & (ts_event < LATEST_NS // factor)
        self._book.add("time_unit", unit, batch)
        self._book.add("year_1970", (ts_event < EARLIEST_NS) & ~unit & ~missing, batch)
        self._book.add("far_future", ts_event >= LATEST_NS, batch)


class SkewRules:
    """Looks at the delay from `ts_event` to `ts_recv`: rows received early, quantiles, and drift."""

    def __init__(self, book: Casebook) -> None:
        self._book = book
        self._known = self._early = 0
        self._least: int | None = None
        self._stride, self._skip = 1, 0
        self._times: list[Array] = []
        self._delays: list[Array] = []
        self._held = 0

    def look(self, batch: Batch) -> None:
        """Writes down what is wrong, and keeps a sample of the delays."""
        if "ts_recv" not in batch.columns:
            return  # bars
        received, ts_event = batch.columns["ts_recv"], batch.columns["ts_event"]
        stated = received != NO_TIME_NS
        if not stated.any():
            return
        bad = stated & ((received < EARLIEST_NS) | (received >= LATEST_NS))
        if bad.any():
            self._book.add("bad_ts_recv", bad, batch)
        known = stated & ~bad & batch.timed
        delays = (received - ts_event)[known]
        if not len(delays):
            return
        early = delays < 0
        if early.any():
            self._book.add("received_early", np.flatnonzero(known)[early], batch)
            self._early += int(early.sum())
        least = int(delays.min())
        self._least = least if self._least is None else min(least, self._least)
        self._known += len(delays)
        self._sample(ts_event[known], delays)

    def _sample(self, times: Array, delays: Array) -> None:
        taken = slice(self._skip, None, self._stride)
        self._times.append(times[taken].copy())
        self._delays.append(delays[taken].copy())
        self._skip = (self._skip - len(delays)) % self._stride
        self._held += len(self._delays[-1])
        while self._held > SKEW_SAMPLE_MAX:
            joined = np.concatenate(self._times)[::2], np.concatenate(self._delays)[::2]
            # Which row of the old stride comes next tells which of the new one does.
            self._skip += self._stride * (self._held % 2)
            self._stride *= 2
            self._times, self._delays = [joined[0]], [joined[1]]
            self._held = len(joined[0])

    def finish(self) -> dict[str, Any] | None:
        """The figures: delays in ns, None where no row states when it was received."""
        if not self._known or self._least is None:
            return None
        times, delays = np.concatenate(self._times), np.concatenate(self._delays)
        slope, noise, span_ns = _drift(times, delays)
        drift = slope * span_ns
        if abs(drift) > max(DRIFT_LEAST_NS, DRIFT_NOISE_RATIO * noise):
            self._book.add_span(
                "clock_drift",
                int(times.min()),
                int(times.max()),
                "the whole period",
                -1,
                f"the delay changes by {drift / 1e6:+,.3f} ms, {slope * 1e6:+,.3f} us a second",
            )
        return {
            "rows": self._known,
            "min_ns": self._least,
            "median_ns": int(np.median(delays)),
            "p99_ns": int(np.quantile(delays, 0.99)),
            "negative": self._early,
            "negative_share": self._early / self._known,
            "drift_ns": round(drift),
            "clock_offset_ns": max(0, -self._least),
            "sample": (times, delays),
        }


def _drift(times: Array, delays: Array) -> tuple[float, float, int]:
    """How the floor of the delay moves: ns a ns, the scatter about it in ns, and the span in ns.

    The tenth percentile of each of twenty slices of time is what a clock's error moves, whatever queues add on top; the line
    through them has the median of all pairs' slopes (Theil and Sen).
    """
    first, last = int(times.min()), int(times.max())
    if last == first or len(times) < 10 * DRIFT_SLICES:
        return 0.0, 0.0, last - first
    slices = ((times - first) * 1.0 / (last - first) * DRIFT_SLICES).astype(np.int64).clip(0, DRIFT_SLICES - 1)
    points = []
    for number in range(DRIFT_SLICES):
        inside = slices == number
        if inside.sum() >= 10:
            points.append((float(np.mean(times[inside] - first)), float(np.quantile(delays[inside], 0.1))))
    if len(points) < DRIFT_SLICES // 2:
        return 0.0, 0.0, last - first
    x, y = (np.array(values) for values in zip(*points, strict=True))
    left, right = np.triu_indices(len(x), 1)
    slope = float(np.median((y[right] - y[left]) / (x[right] - x[left])))
    residue = y - slope * x
    return slope, float(np.median(np.abs(residue - np.median(residue)))), last - first
