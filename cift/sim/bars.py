"""Bars in a run: made ahead of the strategy of the rows that will reach it, and handed over at the row that ends each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from cift import _sim
from cift.data.bars import beyond_calendar, first_beyond, grid_of, price_of, sessions_of
from cift.data.view import Ticks
from cift.domain.bar import Bar, Bars
from cift.domain.bar_spec import BarSpec
from cift.domain.calendar import ALWAYS_OPEN
from cift.domain.chunk import Chunk
from cift.domain.instrument import Instrument


def bars_in(view: Ticks, spec: str | BarSpec, on: str | None, symbol: str) -> BarStream:
    """The bars of one symbol of a view, as columns of it would be made.

    Raises:
        InvalidParameter: a spec or an `on` that is none, or that the view has no records for.
    """
    parsed = BarSpec.parse(spec)
    parsed.of(grid_of(next(feed.instrument for feed in view.feeds if feed.symbol == symbol), on or "price"))
    return BarStream(symbol, parsed, price_of(view, symbol, on))


class BarStream(Bars):
    """The bars of one instrument by one spec, on their way to a strategy."""

    def __init__(self, symbol: str, spec: BarSpec, on: str) -> None:
        super().__init__(symbol, spec, on)
        self._coming: deque[Bar] = deque()
        self.end: CalendarEnd | None = None
        """Where its sessions end, once `builder` was called; None: the market never closes."""

    @property
    def clock(self) -> str:
        """Which rows move it: "trade" or "quote"."""
        return "trade" if self.on == "price" else "quote"

    def builder(self, view: Ticks) -> Any:
        """What makes the bars: the same as for columns.

        Raises:
            InvalidParameter: where the spec does not fit the instrument.
        """
        feeds = [feed for feed in view.feeds if feed.symbol == self.symbol]
        instrument = feeds[0].instrument
        sessions: list[tuple[int, int]] = []
        if instrument.calendar != ALWAYS_OPEN:
            first_ns = view.start_ns
            if first_ns is None:
                # Whichever feed begins first: prints may be there before quotes are.
                firsts = (chunk.columns["ts_event"] for feed in feeds for chunk in islice(feed.chunks(1), 1))
                first_ns = min(int(ts_event[0]) for ts_event in firsts)
            sessions, until_ns = sessions_of(instrument, first_ns, view.end_ns)
            self.end = CalendarEnd(instrument, until_ns)
        return _sim.BarBuilder(**self.spec.of(grid_of(instrument, self.on)), sessions=sessions)

    def expect(self, made: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Takes bars that will reach the strategy."""
        name, spec = self.symbol, self.spec.name
        fields = ("ts_open", "ts_event", "open", "high", "low", "close", "volume", "count")
        columns = [made[field].tolist() for field in fields]
        vwaps = [vwap if vwap == vwap else None for vwap in made["vwap"].tolist()]
        self._coming.extend(Bar(name, spec, *row) for row in zip(*columns, vwaps, strict=True))

    def hand_over(self, on_bar: Callable[[Bar], None] | None) -> Callable[[], None]:
        """What is called when the next bar has reached the strategy."""

        def deliver() -> None:
            self.last = bar = self._coming.popleft()
            if on_bar is not None:
                on_bar(bar)

        return deliver


class CalendarEnd:
    """Ends a run at the first row behind the sessions that were looked up for its bars, which would leave that row out.

    Args:
        instrument: whose calendar it is.
        until_ns: up to when its sessions were looked up.
    """

    def __init__(self, instrument: Instrument, until_ns: int | None) -> None:
        self._instrument, self._until_ns = instrument, until_ns
        self._late: dict[int, tuple[int, int]] = {}
        """Source -> number and time of its first row behind the end."""
        self._met_ns: int | None = None

    def look_at(self, source: int, first_row: int, chunk: Chunk) -> None:
        """Looks at rows of one of the instrument's sources, numbered from `first_row`."""
        ts = chunk.columns["ts_event"]
        late = first_beyond(ts, self._until_ns)
        if late is not None:
            self._late.setdefault(source, (first_row + late, int(ts[late])))

    def met(self, clock: Mapping[str, np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        """Source and number of the first such row among those that move the bars next; None where there is none, or was one.

        Args:
            clock: `source` and `row` of what will reach the strategy.
        """
        for source, (row, ts_ns) in self._late.items():
            at = np.flatnonzero((clock["source"] == source) & (clock["row"] >= row))[:1]
            if len(at) and self._met_ns is None:
                self._met_ns = ts_ns
                return clock["source"][at], clock["row"][at]
        return None

    def refuse(self) -> None:
        """What is called when that row has reached the strategy.

        Raises:
            InvalidParameter: as for bars of columns.
        """
        assert self._met_ns is not None
        raise beyond_calendar(self._instrument, self._until_ns, self._met_ns)
