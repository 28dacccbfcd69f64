# ruff: noqa: A002 (argument names are those of the module)
"""The compiled core: matching engine, simulated venue, kernel, and the seeded market.

`cift.core` is the public face of the engine; the rest serves `cift.sim` and `cift.data`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SideLike: TypeAlias = Side | Literal["buy", "sell"]
_Tif: TypeAlias = Literal["GTC", "IOC", "FOK"]
_SelfTrade: TypeAlias = Literal["cancel_newest", "cancel_oldest", "cancel_both"]
_Reason: TypeAlias = Literal["took", "queue", "crossed", "swept"]

ENGINE_HASH: Final[str]

@final
class BarBuilder:
    """Makes bars of rows that are pushed in order of time.

    Args:
        rule: "time", "sum", "imbalance", "runs" or "renko".
        weight: what a sum, an imbalance or a run is of: "count", "lots" or "value".
        threshold: length in ns, ticks of a brick, or what the weight is compared with.
        scale: what one tick-lot, and 1e-9 of the currency times one lot, weigh where the weight is "value".
        tick: the price step as (numerator, denominator), (1, 100) for a cent.
        lot: the size step likewise.
        sessions: pairs of open and close in ns, in order; empty: the market never closes.

    Raises:
        InvalidParameter: where one of them is out of range.
    """

    def __new__(
        cls,
        *,
        rule: str,
        weight: str,
        threshold: int,
        scale: tuple[int, int],
        tick: tuple[int, int],
        lot: tuple[int, int],
        sessions: list[tuple[int, int]],
    ) -> Self: ...
    def push_points(
        self, ts: NDArray[np.int64], price: NDArray[np.float64], size: NDArray[np.float64], aggressor: NDArray[np.uint8]
    ) -> dict[str, Any]:
        """Takes prints, or quotes of one price with sizes of 0, and returns the bars that they end, as columns.

        Raises:
            DataError: for a price or size that is none. ShapeMismatch: where the columns differ in length.
            TimeOrder: where time goes back. MoneyError: where a bar holds more than can be counted.
        """

    def push_bars(
        self,
        ts_open: NDArray[np.int64],
        ts_event: NDArray[np.int64],
        open: NDArray[np.float64],
        high: NDArray[np.float64],
        low: NDArray[np.float64],
        close: NDArray[np.float64],
        volume: NDArray[np.float64],
        count: NDArray[np.int64],
        vwap: NDArray[np.float64],
    ) -> dict[str, Any]:
        """Takes smaller bars, whose value is that of their vwap times their volume, and returns the bars that they end.

        Raises: as `push_points`.
        """

    def unfinished(self) -> dict[str, Any]:
        """The bar that is not finished yet, as columns of one row or none."""

    @property
    def outside(self) -> int:
        """Rows that came while the market was closed, and are in no bar."""

@final
class Book:
    """The book of one instrument as it arrived, without the strategy's own orders."""

    @property
    def ask(self) -> float | None:
        """Best ask price; None where the side is empty."""
    @property
    def ask_size(self) -> float | None:
        """Size at the best ask; None where the side is empty."""
    @property
    def bid(self) -> float | None:
        """Best bid price; None where the side is empty."""
    @property
    def bid_size(self) -> float | None:
        """Size at the best bid; None where the side is empty."""
    def depth(self, side: _SideLike, most: int = 10) -> list[tuple[float, float, int]]:
        """The levels of a side, best first: a list of (price, size, orders). Where the feed names no orders, they count as one."""
    @property
    def mid(self) -> float | None:
        """Half way between best bid and best ask; None where a side is empty."""
    def queue(self, side: _SideLike, price: float) -> list[tuple[int, float]]:
        """The orders at a price, oldest first: a list of (order id, size). Empty where the feed names no orders."""
    @property
    def spread(self) -> float | None:
        """Best ask less best bid; None where a side is empty."""
    @property
    def symbol(self) -> str:
        """The symbol."""
    def __repr__(self) -> str: ...

class Cell:
    """A float that the kernel sets and a handler reads."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    @property
    def ready(self) -> bool:
        """Whether the indicator has seen enough rows to have a value."""
    @property
    def value(self) -> float:
        """The value at the present row; NaN until the indicator is ready."""

@final
class Fill:
    """One fill of an order, in whole ticks and lots.

    Args:
        side: which way the order trades.
        price_ticks: price in ticks.
        qty_lots: size in lots, at least 1.
        ts_ns: when, ns since the epoch.
        order_id: the order that was filled.

    Raises:
        InvalidParameter: a number out of range or not whole, or an unknown side.
    """

    def __new__(cls, *, side: _SideLike, price_ticks: int, qty_lots: int, ts_ns: int = 0, order_id: int = 0) -> Self: ...
    @property
    def counter(self) -> Literal["order", "record", "market"]:
        """Who stood on the other side: "order" (one that the engine matches), "record" (a recorded one) or "market" (history
        that names nobody).
        """
    @property
    def counter_id(self) -> int | None:
        """The id of the order on the other side; None where the record names nobody."""
    @property
    def order_id(self) -> int:
        """The order that was filled."""
    @property
    def price_ticks(self) -> int:
        """Price in ticks."""
    @property
    def qty_lots(self) -> int:
        """Size in lots."""
    @property
    def reason(self) -> _Reason:
        """ "took" (it arrived and took), "queue" (an execution reached its place), "crossed" (a recorded order came through its
        price) or "swept" (an execution at a worse price went through it).
        """
    @property
    def side(self) -> Side:
        """Which way that order trades."""
    @property
    def ts_ns(self) -> int:
        """When, ns since the epoch."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self) -> str: ...

@final
class FillUpdate:
    """A fill of an order of the strategy, in natural units."""

    @property
    def ahead(self) -> float | None:
        """Size that stood ahead when the order joined its queue; None for a taker."""
    @property
    def cash(self) -> float:
        """Cash after it."""
    @property
    def fee(self) -> float:
        """Fee in currency; negative for a rebate."""
    @property
    def liquidity(self) -> Literal["maker", "taker"]:
        """ "maker" or "taker"."""
    @property
    def order_id(self) -> int:
        """The order."""
    @property
    def position(self) -> float:
        """Position after it, in units."""
    @property
    def price(self) -> float:
        """Price in currency."""
    @property
    def reason(self) -> _Reason:
        """took, queue, crossed or swept."""
    @property
    def side(self) -> Side:
        """Side."""
    @property
    def size(self) -> float:
        """Size in units."""
    @property
    def symbol(self) -> str:
        """Symbol."""
    @property
    def ts(self) -> int:
        """When it happened at the venue, nanoseconds since the epoch."""
    def __repr__(self) -> str: ...

@final
class Fills:
    """The fills that one input led to, oldest first, and what became of the order that was sent.

    A sequence of `Fill`: it has a length, takes indices and slices, and adds to another. The rows stay in the engine's own
    form until they are looked at, so statistics over many fills make no Python objects.

    Args:
        fills: any iterable of `Fill`.

    Raises:
        InvalidParameter: where one of them is not a `Fill`.
    """

    def __new__(cls, fills: Iterable[Fill]) -> Self: ...
    @property
    def cancel_reason(self) -> str | None:
        """Why it was cancelled; None where nothing was."""
    @property
    def cancelled_lots(self) -> int:
        """What of that order was cancelled instead of traded, in lots."""
    @property
    def filled_lots(self) -> int:
        """The sum of all sizes, in lots."""
    @property
    def order_id(self) -> int | None:
        """The order that was sent or changed; None where the fills come from a record, or from several inputs."""
    @property
    def prevented(self) -> list[int]:
        """Ids of resting orders that self-trade prevention cancelled on the way."""
    @property
    def resting_lots(self) -> int:
        """What of that order rests in the book now, in lots."""
    def to_numpy(self) -> dict[str, Any]:
        """The fills as columns: a dict of NumPy arrays of one length: `order_id`, `counter_id` (uint64, 0 for none), `sign` (int8,
        +1 for a buy), `price_ticks`, `qty_lots` and `ts_ns` (int64).
        """
    def __len__(self) -> int: ...
    def __repr__(self) -> str: ...
    def __iter__(self) -> Iterator[Fill]: ...
    @overload
    def __getitem__(self, key: int, /) -> Fill: ...
    @overload
    def __getitem__(self, key: slice, /) -> Fills: ...
    def __add__(self, value: Fills, /) -> Fills: ...

@final
class Handle:
    """The verbs and views of one instrument."""

    @property
    def average_price(self) -> float | None:
        """Mean price of the open position; None when flat."""
    @property
    def book(self) -> Book:
        """The book as it arrived."""
    def buy(
        self,
        size: float | None = None,
        *,
        limit: float | None = None,
        value: float | None = None,
        fraction: float | None = None,
        tif: _Tif | None = None,
        post_only: bool = False,
        self_trade: _SelfTrade | None = None,
        rounding: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Sends a buy order and returns its id."""
    def cancel(self, order: int) -> None:
        """Cancels an order."""
    @property
    def cash(self) -> float:
        """Cash in the instrument's currency, as answers have told it."""
    def close(self, *, tag: str | None = None) -> int | None:
        """Cancels every open order, then sends the market order that closes the position; None where it is flat, or will be by
        market orders that are on their way.
        """
    @property
    def equity(self) -> float:
        """Cash plus all positions at the mid, or at the last print where a side of the book is empty."""
    def modify(self, order: int, *, price: float | None = None, size: float | None = None, rounding: str | None = None) -> None:
        """Changes an order: `size` is its new total size, filled part included."""
    @property
    def now(self) -> int:
        """Kernel time in nanoseconds since the epoch."""
    @property
    def open_orders(self) -> list[OrderUpdate]:
        """Open orders, oldest first; those sent and unanswered included."""
    @property
    def position(self) -> float:
        """The position as answers have told it, in units; negative when short."""
    def sell(
        self,
        size: float | None = None,
        *,
        limit: float | None = None,
        value: float | None = None,
        fraction: float | None = None,
        tif: _Tif | None = None,
        post_only: bool = False,
        self_trade: _SelfTrade | None = None,
        rounding: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Sends a sell order and returns its id."""
    def set_timer(self, at_ns: int) -> int:
        """Asks for `on_timer` at a time in nanoseconds since the epoch, and returns the timer's number."""
    @property
    def symbol(self) -> str:
        """The symbol."""
    def target(self, size: float, *, tag: str | None = None) -> int | None:
        """Sends the market order that brings position and open orders together to `size`; None where nothing is missing."""

@final
class Market:
    """A seeded synthetic market, made while it is read.

    Args:
        seed: equal seeds give equal markets, on every machine.
        events: records of `mbo` after those of the opening book.
        start_ns: time of the opening book, ns since the epoch, UTC.
        end_ns: end of the session; every event is before it.
        price_ticks: about where the price opens, in ticks, at least 1000.
        tick: the price step as (numerator, denominator), (1, 100) for a cent.
        lot: the size step likewise.

    Raises:
        InvalidParameter: where one of them is out of range.
    """

    def __new__(
        cls,
        *,
        seed: int,
        events: int,
        start_ns: int,
        end_ns: int,
        price_ticks: int,
        tick: tuple[int, int],
        lot: tuple[int, int],
    ) -> Self: ...
    def chunk(self, rows: int) -> dict[str, Any] | None:
        """The next whole events as columns of `mbo` with `venue_seq`: at least `rows` rows unless the market ends first, and at
        most one event more. None after the end.

        Raises:
            InvalidParameter: where `rows` is 0.
        """
    def quotes(self) -> dict[str, Any]:
        """The columns of `quotes` for the events of the last chunk; empty at a second call."""
    def resting(self) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """The book after the last chunk: for each side, best first, then oldest first, (price in ticks, size in lots, id)."""
    @property
    def touch_ticks(self) -> tuple[int | None, int | None]:
        """The best bid and ask after the last chunk, in ticks; None where a side is empty."""
    def trades(self) -> dict[str, Any]:
        """The columns of `trades` for the events of the last chunk; empty at a second call."""

@final
class MatchingEngine:
    """Matches orders by price, then time. Prices are ticks, sizes lots, times ns since the epoch.

    Two families of input share the book. *Orders* (`submit`, `modify`, `cancel`) are matched. *Records* (`record_add` and
    the other `record_` methods) are history, done as told and never matched against each other: with orders of your own in
    the same queues, a recorded execution fills those that stand before the recorded maker, and a recorded order that
    crosses them fills them up to its size. Ids of the two families are separate.

    An input that is refused raises and leaves the book as it was; what an input leads to is in the `Fills` it returns. A
    record that does not fit the book is applied as far as it makes sense, and counted in `anomalies`.
    """

    def __new__(cls) -> Self: ...
    @property
    def anomalies(self) -> dict[str, int]:
        """Records that did not fit the book, by kind: "unknown order", "duplicate id", "size too large", "bad size", "bad price"."""
    @property
    def book(self) -> OrderBook:
        """The book that this engine works on: not a copy, it moves with every input."""
    def cancel(self, id: int, *, ts_ns: int = 0, owner: int = 0) -> int:
        """Takes an order out of the book and returns the size that was open, in lots.

        Raises:
            UnknownOrder: where no order of this id and owner rests.
        """
    def modify(self, id: int, *, price_ticks: int, qty_lots: int, ts_ns: int = 0, owner: int = 0) -> Fills:
        """Changes an order. `qty_lots` is what shall be open from now on. A smaller size at the same price keeps its place in the
        queue; anything else goes to the back, and may trade on its way there.

        Raises:
            UnknownOrder: where no order of this id and owner rests.
            OrderError: where it is post-only and would trade, or the size at its price would overflow.
        """
    def record_add(
        self, id: int, *, side: _SideLike, price_ticks: int, qty_lots: int, ts_ns: int = 0, snapshot: bool = False
    ) -> Fills:
        """A recorded order came to rest. `snapshot`: it is announced again after a clear, rather than new.

        Returns:
            Fills of orders whose prices it crosses, up to its size; it still rests in full.
        """
    def record_clear(self, *, ts_ns: int = 0) -> Fills:
        """All recorded orders are void; those announced again with `snapshot=True` keep their place. Orders stay."""
    def record_execute(self, id: int, *, qty_lots: int, ts_ns: int = 0) -> Fills:
        """A recorded order was executed and shrinks by that size. Orders at better prices, and those ahead of it at its price,
        are filled first, at most by the same size.
        """
    def record_modify(self, id: int, *, side: _SideLike, price_ticks: int, qty_lots: int, ts_ns: int = 0) -> Fills:
        """A recorded order got a new price and total size. `side` serves where it was never announced: it is then taken as new."""
    def record_print(self, *, price_ticks: int, qty_lots: int, aggressor: _SideLike | None = None, ts_ns: int = 0) -> Fills:
        """A trade that names no maker: hidden, or of a feed without orders. It fills orders at better prices, and at its own
        price only where nothing recorded stands ahead. `aggressor` is the side that took; None where the record does not say.
        """
    def record_reduce(self, id: int, *, qty_lots: int, ts_ns: int = 0) -> Fills:
        """A size of a recorded order, or all of it, left without trading."""
    def submit(
        self,
        *,
        side: _SideLike,
        qty_lots: int,
        price_ticks: int | None = None,
        ts_ns: int = 0,
        id: int | None = None,
        owner: int = 0,
        tif: _Tif = "GTC",
        post_only: bool = False,
        self_trade: _SelfTrade | None = None,
    ) -> Fills:
        """Sends an order: it trades as far as it can, and then rests or is cancelled as `tif` says. The arguments are those of
        `Order`.

        Returns:
            Its fills, with `order_id`, `resting_lots` and `cancelled_lots` of the order.

        Raises:
            InvalidParameter, UnknownName: an argument that no order can have.
            OrderError: the engine refuses it: the id is in use, it is post-only and would trade, post-only conflicts with the
                order type, or the size at its price would overflow.
        """
    def __repr__(self) -> str: ...

@final
class Order:
    """An order to be matched, in whole ticks and lots. It is a value: the engine keeps its own copy.

    Args:
        side: `Side.BUY` or `Side.SELL`, or their texts "buy" and "sell".
        qty_lots: size, at least 1.
        price_ticks: the worst price it accepts; None for a market order.
        ts_ns: when it reaches the engine, ns since the epoch; it stamps the fills and decides nothing.
        id: its name, not in use by an order that rests; None lets the engine count one.
        owner: who sends it; self-trade prevention compares owners.
        tif: "GTC" (what does not trade rests), "IOC" (is cancelled) or "FOK" (all of it trades at once, or nothing).
        post_only: refuse the order rather than let it trade on arrival.
        self_trade: what happens where it meets an order of its owner: None (they trade), "cancel_newest", "cancel_oldest"
            or "cancel_both".

    Raises:
        InvalidParameter: a number out of range or not whole, or an unknown side.
        UnknownName: an unknown `tif` or `self_trade`.
        OrderError: post-only with a market order, IOC or FOK.
    """

    def __new__(
        cls,
        *,
        side: _SideLike,
        qty_lots: int,
        price_ticks: int | None = None,
        ts_ns: int = 0,
        id: int | None = None,
        owner: int = 0,
        tif: _Tif = "GTC",
        post_only: bool = False,
        self_trade: _SelfTrade | None = None,
    ) -> Self: ...
    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Any]]: ...
    @property
    def id(self) -> int | None:
        """Its name; None where the engine shall count one."""
    @property
    def owner(self) -> int:
        """Who sends it."""
    @property
    def post_only(self) -> bool:
        """Whether it is refused rather than let trade on arrival."""
    @property
    def price_ticks(self) -> int | None:
        """The worst price it accepts, in ticks; None for a market order."""
    @property
    def qty_lots(self) -> int:
        """Its size in lots."""
    @property
    def self_trade(self) -> _SelfTrade | None:
        """What happens where it meets an order of its owner; None: they trade."""
    @property
    def side(self) -> Side:
        """Which way it trades."""
    @property
    def tif(self) -> _Tif:
        """ "GTC", "IOC" or "FOK"."""
    @property
    def ts_ns(self) -> int:
        """When it reaches the engine, ns since the epoch."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self) -> str: ...

@final
class OrderBook:
    """The order book of one instrument: every order at its price, in the order of arrival. Prices are ticks, sizes lots.

    An empty book; `MatchingEngine.book` and `build_order_book` give others. `len(book)` counts the orders that rest.
    """

    def __new__(cls) -> Self: ...
    def ahead_of(self, id: int, *, record: bool = False) -> int:
        """The size that stands ahead of an order at its price, in lots: what must trade or leave before it is reached. `record`
        names a recorded order, whose ids are a space of their own.

        Raises:
            UnknownOrder: where no such order rests.
        """
    @property
    def best_ask(self) -> tuple[int, int] | None:
        """The lowest ask as (price_ticks, qty_lots); None where nobody asks."""
    @property
    def best_bid(self) -> tuple[int, int] | None:
        """The highest bid as (price_ticks, qty_lots); None where nobody bids."""
    def copy(self) -> OrderBook:
        """A book of its own with the same orders."""
    def depth(self, side: _SideLike, most: int = 10) -> list[tuple[int, int, int]]:
        """The levels of a side, best first: a list of at most `most` tuples (price_ticks, qty_lots, number of orders)."""
    def queue(self, side: _SideLike, price_ticks: int) -> list[RestingOrder]:
        """The orders at a price, oldest first."""
    def __len__(self) -> int: ...
    def __repr__(self) -> str: ...

@final
class OrderUpdate:
    """An order of the strategy as answers have told it, in natural units."""

    @property
    def ahead(self) -> float | None:
        """Size that stood ahead when it joined its queue; None while it is not known."""
    @property
    def filled(self) -> float:
        """Size that has traded."""
    @property
    def id(self) -> int:
        """Its id: the count of the strategy's orders."""
    @property
    def is_closed(self) -> bool:
        """Whether nothing more can happen to it."""
    @property
    def left(self) -> float:
        """Size still open."""
    @property
    def price(self) -> float | None:
        """Limit price in currency; None for a market order."""
    @property
    def reason(self) -> str | None:
        """Why it was cancelled or rejected."""
    @property
    def side(self) -> Side:
        """Side."""
    @property
    def size(self) -> float:
        """Total size in units."""
    @property
    def status(self) -> str:
        """sent, open, partially filled, replace sent, cancel sent, filled, cancelled or rejected."""
    @property
    def symbol(self) -> str:
        """Symbol."""
    @property
    def tag(self) -> str | None:
        """The label it was sent with."""
    @property
    def ts_submitted(self) -> int:
        """When it was sent, nanoseconds since the epoch."""
    def __repr__(self) -> str: ...

@final
class PositionStats:
    """What a list of fills adds up to, in ticks and lots."""

    @property
    def average_buy_ticks(self) -> float | None:
        """Mean price of all purchases, in ticks; None without any."""
    @property
    def average_price_ticks(self) -> float | None:
        """Mean price of what is open, in ticks; None when flat."""
    @property
    def average_sell_ticks(self) -> float | None:
        """Mean price of all sales, in ticks; None without any."""
    @property
    def bought_lots(self) -> int:
        """Size bought, in lots."""
    @property
    def fills(self) -> int:
        """Fills counted."""
    @property
    def longest_lots(self) -> int:
        """The largest long position on the way, in lots."""
    @property
    def position_lots(self) -> int:
        """Net size in lots; negative when short."""
    @property
    def realised_ticks_lots(self) -> int:
        """Profit of what is closed, in ticks times lots, at average cost, before fees."""
    @property
    def shortest_lots(self) -> int:
        """The largest short position on the way, in lots: negative."""
    @property
    def sold_lots(self) -> int:
        """Size sold, in lots."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self) -> str: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Quote:
    """Best bid and ask at one moment, in natural units. A missing side has price NaN and size 0."""

    @property
    def ask_price(self) -> float:
        """Best ask in currency."""
    @property
    def ask_size(self) -> float:
        """Size there in units."""
    @property
    def bid_price(self) -> float:
        """Best bid in currency."""
    @property
    def bid_size(self) -> float:
        """Size there in units."""
    @property
    def mid(self) -> float:
        """Half way between bid and ask."""
    @property
    def symbol(self) -> str:
        """Symbol."""
    @property
    def ts(self) -> int:
        """When it arrived, nanoseconds since the epoch."""
    def __repr__(self) -> str: ...

@final
class RestingOrder:
    """An order that rests in a book."""

    @property
    def id(self) -> int:
        """Its name, within its family."""
    @property
    def is_record(self) -> bool:
        """Whether it belongs to recorded history, which is not matched against itself."""
    @property
    def owner(self) -> int:
        """Who sent it."""
    @property
    def price_ticks(self) -> int:
        """Its price in ticks."""
    @property
    def qty_lots(self) -> int:
        """What is left of it, in lots."""
    @property
    def side(self) -> Side:
        """Which way it trades."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self) -> str: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class Run:
    """One simulated run."""

    def __new__(
        cls,
        *,
        instruments: Sequence[tuple[str, tuple[int, int], tuple[int, int], int, int, int]],
        sources: Sequence[tuple[int, int, int]],
        latency: tuple[int, int, int],
        fees: tuple[int, int, int, int],
        cash: Sequence[int],
        refill_next_event: bool,
        equity_every_ns: int,
        start_ns: int | None = None,
        rules: Sequence[
            tuple[int, Sequence[tuple[int, int, int]], Sequence[tuple[int, int, int]], tuple[int, int], int, tuple[int, int]]
        ]
        | None = None,
        header: str,
    ) -> Self: ...
    def add_edges(self, source: int, rows: NDArray[np.uint64], conditions: NDArray[np.uint32]) -> None:
        """Registers the rows of a source at which conditions turn true, in order."""
    def advance(self) -> int | None:
        """Runs until a source needs rows, and returns its number; None when the run is over. `on_start` is woken when the first
        row or timer is due, at its time. Signals are looked at every
        few milliseconds; the interpreter is released where no handler runs at nearly every row.
        """
    def anomalies(self) -> list[int]:
        """Records that did not fit the book, summed over instruments: unknown order, duplicate id, too large, bad size,
        bad price.
        """
    @property
    def digest(self) -> str:
        """BLAKE3 over all commands, order events, fills and accounts, in hex."""
    def end_source(self, source: int) -> None:
        """Says that no more rows come from a source."""
    def equity(self) -> dict[str, Any]:
        """Equity, cash and open profit over time, as columns."""
    def fills(self) -> dict[str, Any]:
        """All fills that were not taken, as columns."""
    def finish(self) -> None:
        """Ends the run: the journal is closed, and views work on what the strategy saw last."""
    def handles(self) -> list[Handle]:
        """Makes the handle of each instrument and returns them in order."""
    @property
    def inputs(self) -> int:
        """Inputs taken so far."""
    def held(self) -> tuple[int, int, int]:
        """How much is held that `take_fills`, `take_orders` and `take_journal` would give: fills, closed orders, bytes."""
    def journal(self) -> bytes:
        """The journal, but for what was taken."""
    @property
    def has_begun(self) -> bool:
        """Whether something reached the strategy: a row or a timer, at its start or later."""
    def look_ahead(self) -> list[dict[str, Any]]:
        """What will reach the strategy, as far as the rows pushed so far settle it: for each clock of `look_at` a dict of
        columns. `source` and `row` are there with `places`, `order` with `order`.
        """
    def add_bars(self, instrument: int, on: str, builder: BarBuilder, start_ns: int | None = None) -> None:
        """Makes bars of what reaches the strategy; called before `look_at`.

        Args:
            instrument: its number.
            on: "price" of prints, or "bid", "ask" or "mid" of best prices.
            builder: a builder that has taken nothing; for "mid" its tick is half the instrument's.
            start_ns: what happened before is in no bar.
        """
    def look_ahead_bars(self) -> list[dict[str, Any]]:
        """The bars that the rows which `look_ahead` told last have ended: for each stream of `add_bars` a dict of columns. `source`
        and `row` say at which row's arrival a bar was known, `place` how many rows of its kind were told before; `rows` is how
        many were told in all.

        Raises:
            MoneyError: where a bar holds more than can be counted. DataError: a move of too many bricks.
        """
    def look_at(self, clocks: Sequence[tuple[int, bool, Sequence[str]]], *, places: bool = False, order: bool = False) -> None:
        """Says what indicators read: for each clock its instrument, whether it moves on prints (else on best prices), and
        the names of its columns. With `places` the rows tell where they stand in their source, with `order` also where in
        the common order of arrivals. Rows that no clock reads are dropped as soon as they are delivered.
        """
    def marks(self) -> dict[str, Any]:
        """What each instrument was marked at, once per period and at the end, as columns."""
    def off_tick_prints(self) -> int:
        """Prints whose price lies between two ticks."""
    def orders(self) -> dict[str, Any]:
        """All orders that were not taken, in the order of their ids, as columns."""
    def push_levels(
        self,
        source: int,
        ts_event: NDArray[np.int64],
        ts_recv: NDArray[np.int64],
        action: NDArray[np.uint8],
        side: NDArray[np.uint8],
        price: NDArray[np.float64],
        size: NDArray[np.float64],
        flags: NDArray[np.uint8],
    ) -> None:
        """Appends a chunk of levels to a source."""
    def push_mbo(
        self,
        source: int,
        ts_event: NDArray[np.int64],
        ts_recv: NDArray[np.int64],
        action: NDArray[np.uint8],
        side: NDArray[np.uint8],
        price: NDArray[np.float64],
        size: NDArray[np.float64],
        order_id: NDArray[np.uint64],
        flags: NDArray[np.uint8],
    ) -> None:
        """Appends a chunk of an order feed to a source."""
    def push_quotes(
        self,
        source: int,
        ts_event: NDArray[np.int64],
        ts_recv: NDArray[np.int64],
        bid_price: NDArray[np.float64],
        bid_size: NDArray[np.float64],
        ask_price: NDArray[np.float64],
        ask_size: NDArray[np.float64],
    ) -> None:
        """Appends a chunk of quotes to a source."""
    def push_trades(
        self,
        source: int,
        ts_event: NDArray[np.int64],
        ts_recv: NDArray[np.int64],
        price: NDArray[np.float64],
        size: NDArray[np.float64],
        aggressor: NDArray[np.uint8],
    ) -> None:
        """Appends a chunk of prints to a source."""
    def rows_delivered(self) -> list[int]:
        """Rows delivered so far, per source."""
    def set_replay(self, bytes: bytes) -> None:
        """Repeats the commands of a journal instead of asking a strategy."""
    def set_script(self, steps: Sequence[tuple[int, int, str, int, Side, int | None, int]]) -> None:
        """Sends orders when the venue comes to given rows, before those rows act and without latency. Each step is
        (source, row, kind, order, side, limit in ticks or None, lots): kind "submit", "cancel" or "modify" (new total
        size at an unchanged price).
        """
    def set_strategy(
        self,
        handlers: Mapping[str, Callable[..., object]],
        conditions: Sequence[Callable[[], object]],
        lines: Sequence[tuple[Cell, int, bool]],
        handles: Sequence[Handle],
    ) -> None:
        """Gives the decisions to a Python strategy: its handlers by name, the callbacks of its conditions, and its
        indicators as (cell, instrument, whether it moves on prints).
        """
    def set_values(self, line: int, values: NDArray[np.float64]) -> None:
        """Appends values of an indicator for the rows that `look_ahead` told last."""
    def take_fills(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Hands over the fills so far and the entries and exits that they closed, as columns, and forgets them."""
    def take_journal(self) -> bytes:
        """Hands over the journal so far, and forgets it."""
    def take_orders(self) -> dict[str, Any]:
        """Hands over the orders that are closed, in the order of their ends, as columns, and forgets them."""
    def trades(self) -> dict[str, Any]:
        """Entries and exits paired first in, first out, as columns, but for those that were taken. Open positions have no exit
        and come last.
        """

@final
class Side:
    """Which way an order trades. Equal to its text: `Side.BUY == "buy"`."""

    BUY: ClassVar[Side]
    SELL: ClassVar[Side]
    def __reduce__(self) -> tuple[Any, ...]:
        """Helper for pickle."""
    @property
    def opposite(self) -> Side:
        """The other side."""
    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __int__(self) -> int: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self) -> str: ...
    def __str__(self) -> str: ...

@final
class TradeTick:
    """A print of the market, in natural units."""

    @property
    def aggressor(self) -> Side | None:
        """Who took; None where the record does not say."""
    @property
    def price(self) -> float:
        """Price in currency."""
    @property
    def size(self) -> float:
        """Size in units."""
    @property
    def symbol(self) -> str:
        """Symbol."""
    @property
    def ts(self) -> int:
        """When it arrived, nanoseconds since the epoch."""
    def __repr__(self) -> str: ...

def build_order_book(orders: Iterable[Order]) -> OrderBook:
    """Builds a book from orders, sent one after the other. Orders that cross trade on their way in, as at a venue.

    Args:
        orders: a list of `Order`.

    Raises:
        InvalidParameter: an element is not an `Order`.
        OrderError: the engine refuses one; the message says which.
    """

def calculate_position_stats(fills: Iterable[Fill]) -> PositionStats:
    """Adds up fills: net position, mean prices and realised profit at average cost.

    The cost share of a partial close is rounded half to even to whole ticks times lots; the remainder stays with the
    position, so nothing is lost.

    Args:
        fills: `Fills`, or a list of `Fill`, oldest first.

    Raises:
        InvalidParameter: an element is not a `Fill`.
        MoneyError: a sum that 64 bits cannot hold.
    """

def calculate_sharpe(returns: ArrayLike, periods_per_year: float) -> float | None:
    """The Sharpe ratio of periodic returns over a riskless rate of zero, annualised.

    Mean over standard deviation of the sample (n - 1), times the square root of the periods in a year. NaN is no
    observation. The sums run in a fixed order, so every machine gives the same number.

    Args:
        returns: returns as fractions: a one-dimensional float64 array (read in place), or anything that NumPy makes one of.
        periods_per_year: how many of these periods make a year: 252 for trading days, 365 for days.

    Returns:
        The ratio; None with fewer than two observations, or where all are equal.

    Raises:
        InvalidParameter: returns that are not numbers, or periods that are not positive.
        ShapeMismatch: returns of more than one dimension.

    Source: Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1).
    """

def match_order(book: OrderBook, order: Order) -> Fills:
    """Sends an order into a book: it trades by price, then time, and what is left rests or is cancelled as its `tif` says.

    The book changes in place; `book.copy()` gives one to try things on.

    Args:
        book: the book.
        order: the order.

    Returns:
        Its fills, with `order_id`, `resting_lots` and `cancelled_lots` of the order.

    Raises:
        OrderError: the engine refuses it: the id is in use, it is post-only and would trade, or the size at its price would
            overflow. The book is as it was.
    """
