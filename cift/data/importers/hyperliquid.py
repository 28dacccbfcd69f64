"""Recordings of Hyperliquid's websocket: pictures of the book's best 20 levels, and trades.

| channel | becomes |
|---|---|
| `l2Book` | `mbp`: the first picture a snapshot, each other one what changed since |
| `trades` | `trades`, whose `side` is that of the taker: B bought, A sold |

The numbers of orders of a level (`n`) are not kept. `ts_event` is the time that a picture or trade tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from cift.data.importers.known import FinestSteps
from cift.data.importers.levels import TopOfBook
from cift.data.importers.mixed import MixedRows, Stored
from cift.data.importers.overlap import About, Message, Met
from cift.data.importers.recording import Id, Recording, Stamp, decoder, import_recording, paths_of, stamp_ns
from cift.data.report import ImportReport, Tally
from cift.domain.instrument import Number
from cift.domain.schemas import AGGRESSOR_CODES, NO_TIME_NS

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

SIDES = {"B": AGGRESSOR_CODES["buy"], "A": AGGRESSOR_CODES["sell"]}
LEVELS = 20
"""Of each side, which a picture shows at most."""


class _Message(msgspec.Struct, gc=False):
    """What tells of any message what it is."""

    channel: str = ""


class _Level(msgspec.Struct, gc=False):
    px: float
    sz: float


class _Book(msgspec.Struct, gc=False):
    coin: str
    time: Stamp
    levels: tuple[list[_Level], list[_Level]]


class _BookMessage(msgspec.Struct, gc=False):
    data: _Book


class _Trade(msgspec.Struct, gc=False):
    coin: str
    side: Literal["A", "B"]
    px: float
    sz: float
    time: Stamp
    tid: Id


class _TradeMessage(msgspec.Struct, gc=False):
    data: list[_Trade]


def import_hyperliquid(
    catalog: Catalog,
    files: str | Path | Sequence[str | Path],
    *,
    symbol: str | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports recordings of Hyperliquid; files may end in .gz, .zst, .xz or .zip.

    Args:
        catalog: where to. Nothing is visible in it before all files have been read.
        files: one, or several in the order of their times.
        symbol: what to store it as, "BTC.HYPERLIQUID"; of files with several coins, the messages of BTC are kept. None: their
            one coin.
        tick_size: the finest step of prices; None: what the catalog knows, or inferred from the prices, with a note.
        lot_size: the finest step of sizes; None likewise.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Returns:
        The report; `counts` has `unchanged_books`, pictures that showed nothing new, and `old_books`, those that were
        older than the book.

    Raises:
        DataError: a line that is no message, or a row that is rejected; the message names file and row. The catalog is as it was.
        CorruptData: the compressed data is damaged.
        NoData: nothing of that coin.

    Example:
        >>> import_hyperliquid(catalog, "btc_20250126.gz")  # doctest: +SKIP
    """
    return import_recording(catalog, paths_of(files), HyperliquidRecording, symbol, tick_size, lot_size, policies)


class HyperliquidRecording(Recording):
    """What the messages of Hyperliquid become."""

    def __init__(self, mixed: MixedRows, steps: FinestSteps, tally: Tally, wanted: str | None) -> None:
        super().__init__(mixed, steps, tally, wanted)
        self._levels = self.levels("levels")
        self._trades = self.plain("trades", "trades").rows
        self._top: TopOfBook | None = None
        self._met = Met()
        self._picture_ns = NO_TIME_NS
        """The time of the last picture."""
        self._look, self._book, self._prints = decoder(_Message), decoder(_BookMessage), decoder(_TradeMessage)

    def message(self, body: bytes, ts_recv: int) -> None:
        """Takes one message."""
        channel = self._look(body).channel
        if channel == "l2Book":
            self.each_key_once(channel, body)
            self._picture(self._book(body).data, ts_recv)
        elif channel == "trades":
            self.each_key_once(channel, body)
            trades = self._prints(body).data
            self.fresh = False
            # No matter of order: a new connection tells the last trades once more, however old they are.
            self.follow(max((stamp_ns(trade.time) for trade in trades if trade.coin == self.wanted), default=NO_TIME_NS))
            for trade in trades:
                self._trade(trade, ts_recv)
        else:
            self.tally.counts["other_messages"] += 1

    def about(self, body: bytes) -> About:
        """What a message is, which is not taken yet."""
        channel = self._look(body).channel
        if channel == "l2Book":
            book = self._book(body).data
            return About(stamp_ns(book.time), ((channel, book.coin, book.time),), channel, book.time)
        if channel != "trades":
            return About(None)
        trades = self._prints(body).data
        # The first message of a connection tells of times before it.
        ts_ns = None if self.fresh else max((stamp_ns(trade.time) for trade in trades), default=None)
        self.fresh = False
        return About(ts_ns, tuple((channel, trade.coin, trade.tid) for trade in trades), channel)

    def leave_out(self, message: Message) -> None:
        """Counts a message that an earlier file told already."""
        for kind, coin, number in message.about.names:
            if coin != self.wanted:
                self.tally.counts["other_symbols"] += 1
            elif kind == "l2Book":
                self.tally.counts["old_books"] += 1
            else:
                self.tally.keep_aside(message.row, "duplicate", f"trade {number}")

    def _picture(self, book: _Book, ts_recv: int) -> None:
        if not self.is_wanted(book.coin):
            return
        ts_event = self.told(book.time)
        if ts_event < self._picture_ns:
            self.tally.counts["old_books"] += 1
            return
        self._picture_ns = ts_event
        bids, asks = ([(level.px, level.sz) for level in side] for side in book.levels)
        first = self._top is None
        if self._top is None:
            self._top = TopOfBook(LEVELS)
        changed_bids, changed_asks, out = self._top.changes(bids, asks)
        if not first and not changed_bids and not changed_asks:
            self.tally.counts["unchanged_books"] += 1
            return
        self._levels.add(ts_event, ts_recv, NO_TIME_NS, changed_bids, changed_asks, self.row, snapshot=first, out_of_sight=out)

    def _trade(self, trade: _Trade, ts_recv: int) -> None:
        if not self.is_wanted(trade.coin):
            return
        if self._met.again(trade.tid, self.clock):
            self.tally.keep_aside(self.row, "duplicate", f"trade {trade.tid} of {trade.sz!r} at {trade.px!r}")
            return
        side = SIDES[trade.side]
        self._trades.append((stamp_ns(trade.time), ts_recv, trade.px, trade.sz, side, trade.tid, NO_TIME_NS, self.row))

    def venue(self) -> str:
        """Hyperliquid is one venue."""
        return "HYPERLIQUID"

    def parts(self) -> list[Stored]:
        """Levels and trades."""
        if self.tally.counts["old_books"]:
            self.notes.append(f"pictures that were older than the book were left out: {self.tally.counts['old_books']:,}")
        return super().parts()
