"""Bybit's order books and trades: its history files (`2024-12-01_XRPUSDT_ob500.data.zip`) and recordings of its websocket.

| message | becomes |
|---|---|
| topic `orderbook.N.SYMBOL`, type `snapshot` | `mbp`: a snapshot, `venue_seq` is its `u` |
| topic `orderbook.N.SYMBOL`, type `delta` | `mbp`: one event |
| topic `publicTrade.SYMBOL` | `trades`, whose `S` is the side of the taker |

`ts_event` is the time of the matching engine (`cts`), or that of the message (`ts`) where there is none. History files tell no
time of receipt. A trade whose id `i` was met within the last minute is a `duplicate`, kept aside.
Block trades (`BT`), agreed on outside of the book, are kept aside as `off_book`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from cift.data.importers.book_chain import BookChain, BookEvent
from cift.data.importers.known import FinestSteps
from cift.data.importers.mixed import MixedRows, Stored
from cift.data.importers.overlap import About, Message, Met
from cift.data.importers.recording import Id, Levels, Recording, Stamp, decoder, import_recording, paths_of, stamp_ns
from cift.data.report import ImportReport, Tally
from cift.domain.instrument import Number
from cift.domain.schemas import AGGRESSOR_CODES, NO_TIME_NS

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

SIDES = {"Buy": AGGRESSOR_CODES["buy"], "Sell": AGGRESSOR_CODES["sell"]}


class _Message(msgspec.Struct, gc=False):
    """What tells of any message what it is."""

    topic: str = ""


class _Book(msgspec.Struct, gc=False):
    s: str
    b: Levels
    a: Levels
    u: Id


class _BookMessage(msgspec.Struct, gc=False):
    type: Literal["snapshot", "delta"]
    ts: Stamp
    data: _Book
    cts: Stamp | None = None


class _Trade(msgspec.Struct, gc=False):
    T: Stamp
    s: str
    S: Literal["Buy", "Sell"]
    v: float
    p: float
    i: str = ""
    BT: bool = False


class _TradeMessage(msgspec.Struct, gc=False):
    data: list[_Trade]


def import_bybit(
    catalog: Catalog,
    files: str | Path | Sequence[str | Path],
    *,
    symbol: str | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports order books and trades of Bybit; files may end in .zip (of one file), .gz, .zst or .xz.

    Args:
        catalog: where to. Nothing is visible in it before all files have been read.
        files: one, or several in the order of their times.
        symbol: what to store it as, "XRPUSDT.BYBIT"; of files with several symbols, the messages of XRPUSDT are kept. None:
            their one symbol.
        tick_size: the finest step of prices; None: what the catalog knows, or inferred from the prices, with a note.
        lot_size: the finest step of sizes; None likewise.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Returns:
        The report; its `counts` are those of `import_binance`.

    Raises:
        DataError: a line that is no message, or a row that is rejected; the message names file and row. The catalog is as it was.
        CorruptData: the compressed data is damaged.
        NoData: nothing of that symbol.

    Example:
        >>> import_bybit(catalog, "2024-12-01_XRPUSDT_ob500.data.zip")  # doctest: +SKIP
    """
    return import_recording(catalog, paths_of(files), BybitRecording, symbol, tick_size, lot_size, policies)


class BybitRecording(Recording):
    """What the messages of Bybit become."""

    def __init__(self, mixed: MixedRows, steps: FinestSteps, tally: Tally, wanted: str | None) -> None:
        super().__init__(mixed, steps, tally, wanted)
        self._chain = BookChain(self.levels("before"), self.levels("levels"), tally, in_order=True)
        self._trades = self.plain("trades", "trades").rows
        self._look, self._book, self._prints = decoder(_Message), decoder(_BookMessage), decoder(_TradeMessage)
        self._met = Met()
        self._depth: str | None = None
        """How many levels the book that is kept has, by its topic."""

    def message(self, body: bytes, ts_recv: int) -> None:
        """Takes one message."""
        kind, _, rest = self._look(body).topic.partition(".")
        if kind == "publicTrade":
            self.each_key_once(kind, body)
            trades = [trade for trade in self._prints(body).data if self.is_wanted(trade.s)]
            # A block trade is told late; its time is none of the book's.
            for ts_event, trade in [(NO_TIME_NS if trade.BT else self.told(trade.T), trade) for trade in trades]:
                if self._is_print(trade):
                    self._trades.append((ts_event, ts_recv, trade.p, trade.v, SIDES[trade.S], 0, NO_TIME_NS, self.row))
            return
        if kind != "orderbook":
            self.tally.counts["other_messages"] += 1
            return
        self.each_key_once(kind, body)
        self._take_book(self._book(body), rest.partition(".")[0], ts_recv)

    def about(self, body: bytes) -> About:
        """What a message is, which is not taken yet."""
        topic = self._look(body).topic
        kind = topic.partition(".")[0]
        if kind == "publicTrade":
            trades = self._prints(body).data
            # Without ids nothing tells them apart.
            names = tuple((kind, trade.s, trade.i) for trade in trades) if all(trade.i for trade in trades) else ()
            return About(max((stamp_ns(trade.T) for trade in trades), default=None), names, kind)
        if kind != "orderbook":
            return About(None)
        told = self._book(body)
        number = told.data.u
        # Behind the change with which it ends.
        ordered = 2 * number + (told.type == "snapshot")
        ts_ns = stamp_ns(told.ts if told.cts is None else told.cts)
        return About(ts_ns, ((told.type, topic, number, told.cts),), kind, ordered)

    def leave_out(self, message: Message) -> None:
        """Counts a message that an earlier file told already."""
        for kind, symbol, *number in message.about.names:
            if kind != "publicTrade":
                self.tally.counts["old_snapshots" if kind == "snapshot" else "old_events"] += 1
            elif symbol == self.wanted:
                self.tally.keep_aside(message.row, "duplicate", f"trade {number[0]}")

    def _is_print(self, trade: _Trade) -> bool:
        """Whether a trade is one of the book that was not met before."""
        if trade.BT:
            self.tally.keep_aside(self.row, "off_book", f"block trade {trade.i} of {trade.v!r} at {trade.p!r}")
            return False
        if not trade.i:
            return True
        if self._met.again(trade.i, self.clock):
            self.tally.keep_aside(self.row, "duplicate", f"trade {trade.i} of {trade.v!r} at {trade.p!r}")
            return False
        return True

    def _take_book(self, message: _BookMessage, depth: str, ts_recv: int) -> None:
        data = message.data
        if not self.is_wanted(data.s):
            return
        if self._depth is None:
            self._depth = depth
        elif depth != self._depth:
            self.tally.counts["other_depths"] += 1
            return
        ts_event = self.told(message.ts if message.cts is None else message.cts)
        event = BookEvent(data.u, data.u, None, data.b, data.a, ts_event, ts_recv, self.row)
        if message.type == "snapshot":
            self._chain.snapshot(event)
        else:
            self._chain.event(event)

    def venue(self) -> str:
        """The one name of all its markets, which the messages do not tell apart."""
        return "BYBIT"

    def parts(self) -> list[Stored]:
        """Levels from the first snapshot on, and trades."""
        if self.tally.counts["other_depths"]:
            self.notes.append(f"books of other depths than {self._depth} are left out")
        return [self.book_part(self._chain), Stored("trades", ("trades",))]
