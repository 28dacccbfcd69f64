"""Binance's websocket feeds as recorders write them: diff depth, best quotes and trades, of spot, USD-M and COIN-M.

| message | becomes |
|---|---|
| `depthUpdate` (streams `depth`, `depth@100ms`, `depth@0ms` ...) | `mbp`: one event, `venue_seq` is its `u` |
| the answer of REST `depth` (`lastUpdateId`, `bids`, `asks`) | `mbp`: a snapshot |
| `bookTicker` | `quotes`, `venue_seq` is its `u` |
| `trade` | `trades`, by `m` sold (the buyer was the maker) or bought |
| `aggTrade` | `trades`, where the files hold no `trade` |

Messages may be of a combined stream (`{"stream": ..., "data": ...}`) or bare.

**Files that overlap** are put into one order, see `cift.data.importers.overlap`. A trade whose number was met is a `duplicate`, kept
aside in the report; such a best quote, or one older than one above it, is counted in `old_quotes`. Trades are numbered one by
one, so missing ones are seen: each place counts in `trade_gaps`, and a note tells how many there are.

**Times.** `ts_event` is the time of the transaction (`T`), or that of the message (`E`) where there is none. Best quotes and
snapshots of spot have neither: they get the latest time of the exchange that a message before them told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from cift.data.importers.binance_csv import CONTRACTS, import_tables, is_coin_margined, old_quotes_note, venue_of
from cift.data.importers.book_chain import BookChain, BookEvent
from cift.data.importers.known import FinestSteps
from cift.data.importers.mixed import MixedRows, Stored
from cift.data.importers.overlap import About, Message, Met, Numbers
from cift.data.importers.recording import (
    Id,
    Levels,
    Recording,
    Stamp,
    decoder,
    import_recording,
    is_recording,
    paths_of,
    stamp_ns,
)
from cift.data.report import ImportReport, Tally
from cift.domain.instrument import Number
from cift.domain.schemas import AGGRESSOR_CODES, NO_TIME_NS
from cift.errors import DataError

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

BUY, SELL = AGGRESSOR_CODES["buy"], AGGRESSOR_CODES["sell"]
_DIFF_DEPTH = re.compile(r"depth(@\d+ms)?")
_PARTIAL_DEPTH = re.compile(r"depth\d+(@\d+ms)?")

SHOWN_MAX = 40

Data = TypeVar("Data")


class _Depth(msgspec.Struct, gc=False):
    s: str
    U: Id
    u: Id
    b: Levels
    a: Levels
    E: Stamp | None = None
    T: Stamp | None = None
    pu: Id | None = None


class _Ticker(msgspec.Struct, gc=False):
    s: str
    u: Id
    b: float
    B: float
    a: float
    A: float
    E: Stamp | None = None
    T: Stamp | None = None


class _Trade(msgspec.Struct, gc=False):
    s: str
    t: Id
    p: float
    q: float
    m: bool
    E: Stamp | None = None
    T: Stamp | None = None
    X: str = "MARKET"
    M: bool | None = None


class _AggTrade(msgspec.Struct, gc=False):
    s: str
    a: Id
    p: float
    q: float
    m: bool
    E: Stamp | None = None
    T: Stamp | None = None
    M: bool | None = None


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: Id  # noqa: N815
    bids: Levels
    asks: Levels
    E: Stamp | None = None
    T: Stamp | None = None
    symbol: str | None = None


SHAPES: Final[dict[str, type]] = {
    "depthUpdate": _Depth,
    "bookTicker": _Ticker,
    "trade": _Trade,
    "aggTrade": _AggTrade,
    "snapshot": _Snapshot,
}
LEFT_OUT: Final[dict[type, str]] = {_Depth: "old_events", _Ticker: "old_quotes", _Snapshot: "old_snapshots"}
"""What messages count as that an earlier file told already; trades are duplicates."""


class _OfStream(msgspec.Struct, Generic[Data], gc=False):
    data: Data


class _Unknown(msgspec.Struct, gc=False):
    """What tells of any message what it is."""

    stream: str = ""
    e: str | None = None
    lastUpdateId: int | None = None  # noqa: N815
    B: str | float | None = None


def import_binance(
    catalog: Catalog,
    files: str | Path | Sequence[str | Path],
    *,
    symbol: str | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports recordings of Binance's websocket feeds, or CSV files of its archive; they may end in .gz, .zst, .xz or .zip.

    What the CSV files may hold is the matter of `cift.data.importers.binance_csv`.

    Args:
        catalog: where to. Nothing is visible in it before all files have been read.
        files: one, or several in the order of their times, the later ones continuing the first.
        symbol: what to store it as, "BTCUSDT.BINANCE"; of files with several symbols, the messages of BTCUSDT are kept. None:
            their one symbol, with `BINANCE` (spot), `BINANCE-FUTURES` (USD-M) or `BINANCE-DELIVERY` (COIN-M). Most CSV files do not
            tell it.
        tick_size: the finest step of prices; None: what the catalog knows, or inferred from the prices, with a note.
        lot_size: the finest step of sizes; None likewise.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Returns:
        The report. `counts` has `snapshots`; `before_snapshot`, rows of events that came before the first and were left out;
        `gaps` between events; `old_events`, left out because the book contained them; `old_quotes` and `duplicate` (trades),
        left out because they came before; `trade_gaps`, places where trades are missing by their numbers.

    Raises:
        DataError: a line that is no message, or a row that is rejected; the message names file and row. The catalog is as it was.
        CorruptData: the compressed data is damaged.
        NoData: nothing of that symbol.
        InvalidParameter: a CSV file that does not tell its symbol, and none was given.

    Example:
        >>> import_binance(catalog, ["btcusdt_20240808.gz", "btcusdt_20240809.gz"])  # doctest: +SKIP
    """
    paths = paths_of(files)
    if not is_recording(paths[0]):
        return import_tables(catalog, paths, symbol, tick_size, lot_size, policies)
    return import_recording(catalog, paths, BinanceRecording, symbol, tick_size, lot_size, policies)


class BinanceRecording(Recording):
    """What the messages of Binance become."""

    def __init__(self, mixed: MixedRows, steps: FinestSteps, tally: Tally, wanted: str | None) -> None:
        super().__init__(mixed, steps, tally, wanted)
        self._chain = BookChain(self.levels("before"), self.levels("levels"), tally, in_order=False)
        self._quotes = self.plain("quotes", "quotes").rows
        self._trades = self.plain("trades", "trades").rows
        self._aggregated = self.plain("aggregated", "trades").rows
        self._quotes_met, self._trade_numbers, self._aggregated_numbers = Met(), Numbers(), Numbers()
        self._last_quote = (-1, -1, NO_TIME_NS)
        """The first number of best quotes since their count began; number and time of the last one."""
        self._futures: bool | None = None
        self._nameless_snapshot = False
        self._partial: set[str] = set()
        self._streams: dict[bytes, Callable[[bytes], Any]] = {}
        self._takers: dict[type, Callable[[Any, int], None]] = {
            _Depth: self._depth,
            _Ticker: self._ticker,
            _Trade: self._trade,
            _AggTrade: self._agg_trade,
            _Snapshot: self._snapshot,
        }
        self._bare = {kind: decoder(shape) for kind, shape in SHAPES.items()}
        self._look = decoder(_Unknown)

    def message(self, body: bytes, ts_recv: int) -> None:
        """Takes one message."""
        data = self._data(body)
        if data is None:
            self.tally.counts["other_messages"] += 1
            return
        self._takers[type(data)](data, ts_recv)

    def about(self, body: bytes) -> About:
        """What a message is, which is not taken yet."""
        data = self._data(body)
        if data is None:
            return About(None)
        stamp, ordered = data.E if getattr(data, "T", None) is None else data.T, 0
        match data:
            case _Depth(s=symbol, u=number):
                stream, ordered = "book", 2 * number
            case _Snapshot(symbol=symbol, lastUpdateId=number):
                # Behind the event with which it ends.
                stream, ordered = "book", 2 * number + 1
            case _Ticker(s=symbol, u=number):
                stream, ordered = "quotes", number
            case _Trade(s=symbol, t=number):
                stream, ordered = "trades", number
            case _AggTrade(s=symbol, a=number):
                stream, ordered = "aggregated", number
        return About(None if stamp is None else stamp_ns(stamp), ((type(data), symbol, number),), stream, ordered)

    def leave_out(self, message: Message) -> None:
        """Counts a message that an earlier file told already."""
        kind, symbol, number = message.about.names[0]
        if symbol not in (self.wanted, None):
            self.tally.counts["other_symbols"] += 1
        elif kind in LEFT_OUT:
            self.tally.counts[LEFT_OUT[kind]] += 1
        else:
            self.tally.keep_aside(message.row, "duplicate", f"trade {number}")

    def _data(self, body: bytes) -> Any:
        """What a message holds; None: it is of no kind that is read."""
        if body.startswith(b'{"stream":"'):
            stream = body[11 : body.find(b'"', 11)]
            found = self._streams.get(stream)
            if found is None:
                # Streams that are read are few; others are looked up each time.
                found = self._of_stream(stream.decode("ascii").partition("@")[2])
                if found is None:
                    return None
                self._streams[stream] = found
            self.each_key_once(stream, body)
            return found(body).data
        return self._slowly(body)

    def _of_stream(self, stream: str) -> Callable[[bytes], Any] | None:
        """How the messages of a combined stream are read; None: not at all."""
        kind = "depthUpdate" if _DIFF_DEPTH.fullmatch(stream) else stream
        if _PARTIAL_DEPTH.fullmatch(stream):
            self._partial.add(stream[:SHOWN_MAX])
        if kind not in SHAPES:
            return None
        return decoder(_OfStream[SHAPES[kind]])  # type: ignore[valid-type]

    def _slowly(self, body: bytes) -> Any:
        """What is in a message that does not begin as those of combined streams do."""
        told = self._look(body)
        if told.stream:
            found = self._of_stream(told.stream.partition("@")[2])
            if found is None:
                return None
            self.each_key_once(told.stream, body)
            return found(body).data
        # Best quotes of spot do not say what they are.
        kind = told.e or ("snapshot" if told.lastUpdateId is not None else "bookTicker" if told.B is not None else "")
        if kind not in self._bare:
            return None
        self.each_key_once(kind, body)
        return self._bare[kind](body)

    # ------------------------------------------------------------------ messages

    def _depth(self, data: _Depth, ts_recv: int) -> None:
        if not self.is_wanted(data.s):
            return
        if self._futures is None:
            self._futures = data.pu is not None
        ts_event = self.told(data.E if data.T is None else data.T)
        self._chain.event(BookEvent(data.U, data.u, data.pu, data.b, data.a, ts_event, ts_recv, self.row))

    def _snapshot(self, data: _Snapshot, ts_recv: int) -> None:
        if data.symbol is None:
            self._nameless_snapshot = True
        elif not self.is_wanted(data.symbol):
            return
        stamp, number = data.E if data.T is None else data.T, data.lastUpdateId
        ts_event = self.told(stamp)
        if stamp is None:
            self.tally.counts["time_of_message_before"] += 1
        self._chain.snapshot(BookEvent(number, number, None, data.bids, data.asks, ts_event, ts_recv, self.row))

    def _ticker(self, data: _Ticker, ts_recv: int) -> None:
        if not self.is_wanted(data.s):
            return
        if self._futures is None:
            self._futures = data.T is not None
        stamp = data.E if data.T is None else data.T
        ts_event = self.told(stamp)
        first, last, last_ns = self._last_quote
        # A lower number that is later begins the count anew; where no time tells, one below all of them does.
        late = data.u < last and (data.u >= first if stamp is None else ts_event <= last_ns)
        if self._quotes_met.again(data.u, self.clock) or late:
            self.tally.counts["old_quotes"] += 1
            return
        self._last_quote = (data.u if data.u < last or last < 0 else first, data.u, ts_event)
        if stamp is None:
            self.tally.counts["time_of_message_before"] += 1
        self._quotes.append((ts_event, ts_recv, data.b, data.B, data.a, data.A, data.u, self.row))

    def _trade(self, data: _Trade, ts_recv: int) -> None:
        if not self.is_wanted(data.s):
            return
        if self._futures is None:
            self._futures = data.M is None
        ts_event = self.told(data.E if data.T is None else data.T)
        if self._is_again(self._trade_numbers, data.t):
            return
        if data.X != "MARKET":
            self.tally.keep_aside(self.row, "off_book", f"trade {data.t} of {data.q!r} at {data.p!r}, {data.X}")
            return
        side = SELL if data.m else BUY
        self._trades.append((ts_event, ts_recv, data.p, data.q, side, data.t, NO_TIME_NS, self.row))

    def _agg_trade(self, data: _AggTrade, ts_recv: int) -> None:
        if not self.is_wanted(data.s):
            return
        if self._futures is None:
            self._futures = data.M is None
        ts_event = self.told(data.E if data.T is None else data.T)
        if self._is_again(self._aggregated_numbers, data.a):
            return
        side = SELL if data.m else BUY
        self._aggregated.append((ts_event, ts_recv, data.p, data.q, side, data.a, NO_TIME_NS, self.row))

    def _is_again(self, numbers: Numbers, number: int) -> bool:
        """Whether a trade was met before, by the numbers that the venue gives them one by one."""
        if not numbers.again(number, self.clock):
            return False
        self.tally.keep_aside(self.row, "duplicate", f"trade {number}")
        return True

    # ------------------------------------------------------------------ what is stored

    def venue(self) -> str:
        """By the market that the messages are of."""
        return venue_of(self.wanted or "", futures=bool(self._futures))

    def parts(self) -> list[Stored]:
        """Levels from the first snapshot on, quotes, and trades.

        Raises:
            DataError: a snapshot that names no symbol, beside messages of several.
        """
        if self._nameless_snapshot and self.others:
            others = ", ".join(sorted(self.others)[:20])
            raise DataError(
                f"{self.tally.source} holds messages of {self.wanted} and {others}, and a snapshot that does not say of which; "
                "record each symbol in a file of its own"
            )
        counts, rows = self.tally.counts, self.mixed.rows
        prints = "trades" if rows.get("trades") else "aggregated"
        if prints == "trades" and rows.get("aggregated"):
            self.notes.append(f"aggregated trades are left out beside the trades themselves: {rows['aggregated']:,} messages")
        missing, places = (self._trade_numbers if prints == "trades" else self._aggregated_numbers).missing()
        if missing:
            counts["trade_gaps"] = places
            self.notes.append(f"{missing:,} trades are missing, in {places:,} places, by their numbers")
        if counts["old_quotes"]:
            self.notes.append(old_quotes_note(self.tally))
        for stream in sorted(self._partial):
            self.notes.append(f"the stream {stream}, pictures of the best levels, is left out: the book is kept by diff depth")
        if counts["time_of_message_before"]:
            self.notes.append(
                "messages without a time of the exchange have the latest that a message before them told: "
                f"{counts['time_of_message_before']:,}"
            )
        if is_coin_margined(self.wanted or ""):
            self.notes.append(CONTRACTS)
        return [
            self.book_part(self._chain),
            Stored("quotes", ("quotes",), self.told_time),
            Stored("trades", (prints,), self.told_time),
        ]
