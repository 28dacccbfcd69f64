"""A data view: the time-ordered feeds that a run reads. `Catalog.ticks`, `cift.quotes` and `cift.trades` return one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cift.domain.calendar import ALWAYS_OPEN
from cift.domain.instrument import Instrument
from cift.errors import InvalidParameter

if TYPE_CHECKING:
    import polars as pl

    from cift.domain.bar_spec import BarSpec
    from cift.domain.chunk import Chunk, SchemaName


@runtime_checkable
class Feed(Protocol):
    """One time-ordered stream of records of one symbol. Picklable: it travels to sweep workers."""

    @property
    def symbol(self) -> str:
        """The symbol, with its venue."""

    @property
    def schema(self) -> SchemaName:
        """Which kind of record: "mbo", "mbp", "quotes" or "trades"."""

    @property
    def instrument(self) -> Instrument:
        """The grid that prices and sizes lie on."""

    @property
    def content_hash(self) -> str:
        """Hash of the values of the selected rows, in hex; it enters the run's fingerprint."""

    def chunks(self, rows: int | None) -> Iterator[Chunk]:
        """The rows from the start, `rows` at a time (None: all in one chunk). A fresh iterator at each call."""


@dataclass(frozen=True, eq=False)
class Ticks:
    """What a run reads: feeds in a fixed order, and the time it covers.

    Args:
        feeds: in the order of `symbols`; within a symbol `mbo`, or `mbp` or `quotes` and then `trades`.
        symbols: as asked for.
        start_ns: nanoseconds since the epoch at which the strategy starts; None: with the first record. A feed of `mbo` or `mbp`
            begins with the first record of that UTC day, because the book must be built from there.
        end_ns: where the feeds end, excluded; None: with the last record.
        level: "L3" (`mbo`), "L2" (`mbp`, `trades`) or "L1" (`quotes`, `trades`).
        calendar: when the instruments trade; "24/7" where they differ.
        notes: what was assumed about the data, a sentence each.
    """

    feeds: tuple[Feed, ...]
    symbols: tuple[str, ...]
    start_ns: int | None = None
    end_ns: int | None = None
    level: str = "L1"
    calendar: str = ALWAYS_OPEN
    notes: tuple[str, ...] = ()

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The instrument of each symbol, in the order of `symbols`."""
        by_symbol = {feed.symbol: feed.instrument for feed in self.feeds}
        return tuple(by_symbol[symbol] for symbol in self.symbols)

    def bars(
        self, spec: str | BarSpec, *, symbol: str | None = None, on: str | None = None, unfinished: bool | None = None
    ) -> pl.DataFrame:
        """Bars of the view's prints or quotes.

        Args:
            spec: a span such as "1m", or "tick-500", "volume-10000", "dollar-1000000", "volume-imbalance-5000",
                "tick-runs-50", "renko-0.05": see `BarSpec`.
            symbol: which one, where the view has several.
            on: "price" of the prints, or "bid", "ask" or "mid" of the quotes (of a size 0). Default: "price" where there are
                prints, else "mid".
            unfinished: whether the last bar is there though nothing ended it. Default: of time bars only.

        Returns:
            Columns `ts_open, ts_event` (the end), `open, high, low, close, volume, count, vwap`, one row a bar, ascending. A time
            bar is stamped with its period, others with their first and last row. A period without a row has no bar. Where the
            instrument has an exchange's calendar, periods begin with the session, no bar spans two, and what happened outside
            is left out.

        Raises:
            InvalidParameter: a spec, symbol or `on` that is none. NoData: there is nothing to make bars of.

        Example:
            >>> import cift
            >>> cift.demo_catalog().ticks("DEMO.SIM", "2026-01-05").bars("30m").height
            13
        """
        from cift.data.bars import bars_of

        return bars_of(self, spec, symbol=symbol, on=on, unfinished=unfinished)

    @staticmethod
    def merge(*views: Ticks) -> Ticks:
        """Several views as one, feeds in the order given.

        Raises:
            InvalidParameter: where there is none, the levels or times differ, or a symbol has two feeds of one schema or two
                instruments.
        """
        if not views:
            raise InvalidParameter("Ticks.merge needs at least one view")
        levels = sorted({view.level for view in views})
        if len(levels) > 1:
            raise InvalidParameter(f"views of different levels cannot be merged: {', '.join(levels)}; ask for one level")
        if len({(view.start_ns, view.end_ns) for view in views}) > 1:
            raise InvalidParameter("views of different times cannot be merged; give all the same start and end")
        symbols = tuple(dict.fromkeys(symbol for view in views for symbol in view.symbols))
        order = {symbol: rank for rank, symbol in enumerate(symbols)}
        feeds = tuple(
            sorted((feed for view in views for feed in view.feeds), key=lambda feed: (order[feed.symbol], feed.schema))
        )
        seen: dict[tuple[str, str], Feed] = {}
        for feed in feeds:
            if (feed.symbol, feed.schema) in seen:
                raise InvalidParameter(f"{feed.symbol} has two feeds of {feed.schema}; put them into one frame first")
            seen[feed.symbol, feed.schema] = feed
        for symbol in symbols:
            if len({feed.instrument for feed in feeds if feed.symbol == symbol}) > 1:
                raise InvalidParameter(f"the feeds of {symbol} disagree on its tick or lot size; pass tick_size= and lot_size=")
        notes = tuple(dict.fromkeys(note for view in views for note in view.notes))
        return Ticks(feeds, symbols, views[0].start_ns, views[0].end_ns, levels[0], common_calendar(feeds), notes)

    def __repr__(self) -> str:
        feeds = ", ".join(f"{feed.symbol} {feed.schema}" for feed in self.feeds)
        return f"<Ticks {self.level}: {feeds}>" + "".join(f"\n  note: {note}" for note in self.notes)


def common_calendar(feeds: tuple[Feed, ...]) -> str:
    """The calendar of all instruments, or "24/7" where they differ."""
    calendars = {feed.instrument.calendar for feed in feeds}
    return calendars.pop() if len(calendars) == 1 else ALWAYS_OPEN


def smallest_clock_offset_ns(ticks: Ticks) -> int:
    """The smallest offset of the receiving clock, in ns, with which no record was received before it happened.

    0 where the clock was never behind. Reads the whole view once.
    """
    import numpy as np

    offset = 0
    for feed in ticks.feeds:
        for chunk in feed.chunks(65_536):
            event, received = chunk.columns["ts_event"], chunk.columns["ts_recv"]
            known = received != np.iinfo(np.int64).min
            if known.any():
                offset = max(offset, int((event[known] - received[known]).max()))
    return offset
