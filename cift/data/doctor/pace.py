"""Rules about when rows come: bursts, silences, and what of the calendar's sessions is there.

A *silence* is a time without a row, longer than a minute, in which 50 rows or more were to be expected. What was to be
expected is the lower quartile of rows a minute over the 60 minutes with rows that lie nearest, so a lively minute does
not make the quiet one after it look like a halt; and at most the rows by the time that the 30 of either side take, so a
market that trades once in ten minutes is left alone for hours. The time between a session's opening and its first row, and
between its last row and its close, is judged likewise.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np

from cift.data.columns import Array
from cift.data.doctor.casebook import Batch, Casebook
from cift.data.reading import ALWAYS, Interval
from cift.data.screen import BURST_RATIO, SECOND_NS
from cift.data.times import DAY_NS, iso
from cift.domain.calendar import ALWAYS_OPEN, sessions
from cift.domain.schemas import SNAPSHOT
from cift.errors import MissingExtra

MINUTE_NS = 60 * SECOND_NS
SILENCE_LEAST_NS = MINUTE_NS
EXPECTED_ROWS_LEAST = 50
NEAR_MINUTES = 30
"""Minutes with rows on either side, whose lower quartile says how many rows are to be expected."""
MINUTES_LEAST = 10
"""Fewer minutes with rows tell nothing."""
BURST_ROWS_LEAST = 100
CLOSED_DAYS_LEAST = 2
CLOSED_SLACK_NS = 30 * MINUTE_NS


class Counts:
    """Rows by period of time, kept as arrays that grow with the periods that have rows and with nothing else."""

    def __init__(self, period_ns: int) -> None:
        self.period_ns = period_ns
        self._pieces: list[tuple[Array, Array]] = []
        self._held = 0

    def add(self, times: Array) -> None:
        """Counts rows; in order of time or not."""
        periods = times // self.period_ns
        if (np.diff(periods) < 0).any():
            periods = np.sort(periods)
        starts = np.flatnonzero(np.diff(periods, prepend=periods[0] - 1))
        self._pieces.append((periods[starts], np.diff(np.append(starts, len(periods)))))
        self._held += len(starts)
        if len(self._pieces) > 64 and self._held > 100_000:
            self._pieces = [self.totals()]
            self._held = len(self._pieces[0][0])

    def totals(self) -> tuple[Array, Array]:
        """The periods that have rows, ascending, and how many each has."""
        if not self._pieces:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        periods, inverse = np.unique(np.concatenate([piece for piece, _ in self._pieces]), return_inverse=True)
        counts = np.bincount(inverse, weights=np.concatenate([counts for _, counts in self._pieces]), minlength=len(periods))
        return periods, counts.astype(np.int64)


class PaceRules:
    """Counts rows by second and minute, and notes the long gaps between them.

    Args:
        calendar: whose sessions should be there.
        interval: the time that was asked for; None: from the session of the first row to that of the last.
    """

    def __init__(self, book: Casebook, calendar: str, interval: Interval | None = None) -> None:
        self._book, self._calendar = book, calendar
        self._from_ns, self._until_ns = interval or ALWAYS
        self._seconds, self._minutes = Counts(SECOND_NS), Counts(MINUTE_NS)
        self._lively_minutes = Counts(MINUTE_NS)
        """Without the rows of snapshots, which say nothing of how often rows come."""
        self._gaps: list[tuple[int, int, str, int]] = []
        self._last_ns: int | None = None
        self._first: tuple[int, str, int] | None = None
        self._end: tuple[str, int] = ("", -1)
        self._outside = 0

    def look(self, batch: Batch) -> None:
        """Takes the rows that have a time. A row that goes back neither begins nor ends a gap."""
        all_timed = batch.timed.all()
        times = batch.columns["ts_event"] if all_timed else batch.columns["ts_event"][batch.timed]
        if not len(times):
            return
        self._minutes.add(times)
        flags = batch.columns.get("flags")
        own = None if flags is None else (flags & SNAPSHOT) == 0
        lively = times if own is None or own.all() else batch.columns["ts_event"][batch.timed & own]
        if len(lively):
            self._seconds.add(lively)
            self._lively_minutes.add(lively)
        at = None if all_timed else np.flatnonzero(batch.timed)
        latest = np.maximum.accumulate(times if self._last_ns is None else np.append(self._last_ns, times))
        if self._last_ns is None:
            latest = np.append(times[0], latest)
            self._first = int(times[0]), batch.source, int(batch.numbers[0 if at is None else at[0]])
        for index in np.flatnonzero(np.diff(latest) > SILENCE_LEAST_NS).tolist():
            row = index if at is None else int(at[index])
            self._gaps.append((int(latest[index]), int(latest[index + 1]), batch.source, int(batch.numbers[row])))
        self._last_ns = int(latest[-1])
        self._end = batch.source, int(batch.numbers[-1 if at is None else at[-1]])
        self._look_outside(batch, times, at)

    def _look_outside(self, batch: Batch, times: Array, at: Array | None) -> None:
        if self._calendar == ALWAYS_OPEN:
            return
        open_ns, close_ns = self._sessions(int(times.min()), int(times.max()) + 1)
        if open_ns is None or close_ns is None:
            return
        session = np.searchsorted(open_ns, times, side="right") - 1
        outside = session < 0
        if len(open_ns):
            # A print of the closing auction has the time of the close, or a moment after it.
            outside |= times > close_ns[np.maximum(session, 0)] + MINUTE_NS
        self._book.add("outside_session", np.flatnonzero(outside) if at is None else at[outside], batch)

    def _sessions(self, start_ns: int, end_ns: int) -> tuple[Array | None, Array | None]:
        try:
            found = sessions(self._calendar, start_ns, end_ns)
        except MissingExtra as error:
            found = None
            why = str(error)
        else:
            why = f"the calendar {self._calendar} does not reach these days"
        if found is None:
            if why not in self._book.notes:
                self._book.notes.append(f"coverage was not looked at: {why}")
            return None, None
        return found.opens_ns, found.closes_ns

    @property
    def minutes(self) -> tuple[Array, Array]:
        """Starts of the minutes that have rows, ns since the epoch, and the number of rows."""
        minutes, counts = self._minutes.totals()
        return minutes * MINUTE_NS, counts

    def finish(self) -> None:
        """Judges the gaps and the bursts, which takes the whole."""
        self._bursts()
        if self._first is None or self._last_ns is None:
            return
        expected = _Expected(*self._lively_minutes.totals())
        if self._calendar == ALWAYS_OPEN:
            self._around_the_clock(expected)
        else:
            self._by_session(expected)

    def _bursts(self) -> None:
        seconds, counts = self._seconds.totals()
        if not len(seconds):
            return
        usual = float(np.quantile(counts, 0.99))
        for index in np.flatnonzero((counts >= BURST_ROWS_LEAST) & (counts > BURST_RATIO * usual)).tolist():
            start = int(seconds[index]) * SECOND_NS
            text = f"{int(counts[index]):,} rows in the second from {iso(start)}; 99 of 100 seconds have at most {usual:,.0f}"
            self._book.add_span("burst", start, start + SECOND_NS, "", -1, text)

    def _around_the_clock(self, expected: _Expected) -> None:
        silent = [gap for gap in self._gaps if expected.rows(gap[0], gap[1]) >= EXPECTED_ROWS_LEAST]
        nightly = [gap for gap in silent if gap[0] // DAY_NS != gap[1] // DAY_NS]
        closed = _recurring(nightly)
        for gap in closed:
            text = f"no row from {iso(gap[0])} to {iso(gap[1])}, as on other days"
            self._book.add_span("closed_hours", gap[0], gap[1], gap[2], gap[3], text)
        for gap in silent:
            if gap in closed:
                continue
            whole = [day * DAY_NS for day in range(-(-gap[0] // DAY_NS), gap[1] // DAY_NS)]
            for day_ns in whole:
                self._book.add_span("missing_session", day_ns, day_ns + DAY_NS, gap[2], gap[3], f"no row on {iso(day_ns)[:10]}")
            if not whole:
                self._silent(gap, gap[0], gap[1], expected)

    def _by_session(self, expected: _Expected) -> None:
        assert self._first is not None
        assert self._last_ns is not None
        first_ns, source, row = self._first
        asked_from = first_ns if self._from_ns == ALWAYS[0] else self._from_ns
        asked_until = self._last_ns + 1 if self._until_ns == ALWAYS[1] else self._until_ns
        opens, closes = self._sessions(min(first_ns, asked_from), max(self._last_ns + 1, asked_until))
        if opens is None or closes is None:
            return
        opens, closes = np.maximum(opens, self._from_ns), np.minimum(closes, self._until_ns)
        last = (self._last_ns, 2**63 - 1, *self._end)
        gaps = [(-(2**63), first_ns, source, row), *self._gaps, last]
        starts, ends = [gap[0] for gap in gaps], [gap[1] for gap in gaps]
        for open_ns, close_ns in zip(opens.tolist(), closes.tolist(), strict=True):
            for gap in gaps[bisect_right(ends, open_ns) : bisect_left(starts, close_ns)]:
                start, end = max(gap[0], open_ns), min(gap[1], close_ns)
                if end - start <= SILENCE_LEAST_NS:
                    continue
                if start == open_ns and end == close_ns:
                    text = f"no row in the session {iso(open_ns)} to {iso(close_ns)}"
                    self._book.add_span("missing_session", start, end, gap[2], gap[3], text)
                elif expected.rows(start, end) < EXPECTED_ROWS_LEAST:
                    continue
                elif start == open_ns:
                    text = f"first row at {iso(end)}, {_span(end - start)} after the opening at {iso(open_ns)}"
                    self._book.add_span("late_start", start, end, gap[2], gap[3], text)
                elif end == close_ns:
                    text = f"last row at {iso(start)}, {_span(end - start)} before the close at {iso(close_ns)}"
                    self._book.add_span("early_end", start, end, gap[2], gap[3], text)
                else:
                    self._silent(gap, start, end, expected)

    def _silent(self, gap: tuple[int, int, str, int], start_ns: int, end_ns: int, expected: _Expected) -> None:
        rows = expected.rows(start_ns, end_ns)
        text = f"no row for {_span(end_ns - start_ns)} from {iso(start_ns)}, where about {rows:,.0f} were to be expected"
        self._book.add_span("silence", start_ns, end_ns, gap[2], gap[3], text)


class _Expected:
    """How many rows a time should have, by the minutes with rows that lie around it."""

    def __init__(self, minutes: Array, counts: Array) -> None:
        self._minutes, self._counts = minutes, counts

    def rows(self, start_ns: int, end_ns: int) -> float:
        left = int(np.searchsorted(self._minutes, start_ns // MINUTE_NS, side="right"))
        right = int(np.searchsorted(self._minutes, end_ns // MINUTE_NS, side="left"))
        sides = slice(max(0, left - NEAR_MINUTES), left), slice(right, right + NEAR_MINUTES)
        near = np.concatenate([self._counts[side] for side in sides])
        if len(near) < MINUTES_LEAST:
            return 0.0
        # Where rows are rare, the minutes without any count too.
        dense = [
            float(self._counts[side].sum()) / float(self._minutes[side][-1] - self._minutes[side][0] + 1)
            for side in sides
            if len(self._counts[side])
        ]
        return min(float(np.quantile(near, 0.25)), *dense) * (end_ns - start_ns) / MINUTE_NS


def _recurring(gaps: list[tuple[int, int, str, int]]) -> list[tuple[int, int, str, int]]:
    """The gaps that begin and end at the same time of day as most of them do, where there are several."""
    if len(gaps) < CLOSED_DAYS_LEAST:
        return []
    starts = np.median([gap[0] % DAY_NS for gap in gaps])
    ends = np.median([gap[1] % DAY_NS for gap in gaps])
    alike = [
        gap for gap in gaps if abs(gap[0] % DAY_NS - starts) < CLOSED_SLACK_NS and abs(gap[1] % DAY_NS - ends) < CLOSED_SLACK_NS
    ]
    return alike if len(alike) >= CLOSED_DAYS_LEAST else []


def _span(ns: int) -> str:
    minutes = ns / MINUTE_NS
    return f"{minutes:,.1f} minutes" if minutes < 120 else f"{minutes / 60:,.1f} hours"
