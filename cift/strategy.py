"""What strategy authors subclass: parameters, handlers, verbs and views.

A strategy declares what it needs and acts through its own verbs. It never touches a venue, a clock or a file, so that one
class serves notebook, sweep and live.
"""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from cift.domain.duration import Duration, duration_ns
from cift.errors import CiftError, InvalidParameter, UnknownName

if TYPE_CHECKING:
    import numpy as np

    from cift import _sim
    from cift.domain.bar import Bars
    from cift.domain.bar_spec import BarSpec
    from cift.indicators.conditions import Condition, Line
    from cift.indicators.kernel import Indicator

T = TypeVar("T")

HANDLERS = (
    "on_start",
    "on_trade",
    "on_quote",
    "on_book",
    "on_bar",
    "on_order",
    "on_fill",
    "on_timer",
    "on_stop",
)
"""The handlers that this release calls, beside `setup`."""
VERBS = ("buy", "sell", "target", "close", "cancel", "modify")
"""The verbs of one instrument, which its handle has under the same names."""
LATER_HANDLERS = ("on_restore",)
"""Handlers of the design that come with live runs."""
TAKEN = frozenset({"self", "progress", "executor", "constraint", "maximize", "_bench"})
"""Arguments of `run`, `sweep` and `optimize`, which take parameters by name beside them, and what a strategy itself holds."""


class Param:
    """A declared parameter: its default, and the values that it accepts."""

    __slots__ = ("choices", "default", "help", "high", "kind", "low", "name")

    def __init__(
        self,
        default: Any,
        low: float | None,
        high: float | None,
        choices: tuple[Any, ...] | None,
        help: str,  # noqa: A002
    ) -> None:
        self.default = _plain(default)
        self.low = low
        self.high = high
        self.choices = choices
        self.help = help
        self.name = ""
        self.kind: type = type(self.default)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def checked(self, value: Any, owner: str) -> Any:
        """`value` as this parameter takes it, copied.

        Raises:
            InvalidParameter: where its type or range is wrong.
        """
        value = _plain(value)
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self.kind is not type(None) and type(value) is not self.kind:
            raise InvalidParameter(
                f"{owner}.{self.name} takes {self.kind.__name__}, not {value!r} of type {type(value).__name__}"
            )
        if self.choices is not None and value not in self.choices:
            raise InvalidParameter(f"{owner}.{self.name} is {value!r}; choose one of {', '.join(map(repr, self.choices))}")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            low = "-inf" if self.low is None else self.low
            high = "inf" if self.high is None else self.high
            raise InvalidParameter(f"{owner}.{self.name} is {value!r}, outside its range [{low}, {high}]")
        if isinstance(value, float) and value != value:
            raise InvalidParameter(f"{owner}.{self.name} is NaN; pass a number")
        return _copy(value)


class State:
    """A declared piece of memory: what a strategy changes after `setup`."""

    __slots__ = ("default", "name")

    def __init__(self, default: Any) -> None:
        self.default = default
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def fresh(self) -> Any:
        """A value of its own for one strategy object."""
        return copy.deepcopy(self.default)


def param(
    default: T,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Iterable[T] | None = None,
    help: str = "",  # noqa: A002 (the word that users of argparse and typer know)
) -> T:
    """Declares a parameter of a strategy: `fast: int = cift.param(10, low=2, high=50)`.

    Args:
        default: used where a run gives no value; its type is the parameter's type (an int is taken for a float). Each
            run begins with a copy of it.
        low, high: the range that is accepted, ends included.
        choices: the values that are accepted.
        help: one line for whoever runs the strategy.
    """
    return cast("T", Param(default, low, high, None if choices is None else tuple(choices), help))


def state(default: T) -> T:
    """Declares what a strategy changes after `setup`: `entries: int = cift.state(0)`. Each run begins with a copy of it."""
    return cast("T", State(default))


def _plain(value: Any) -> Any:
    """NumPy's scalars as the Python values that they hold, also within a tuple, list or dict."""
    import numpy as np

    kind = type(value)
    if kind in (tuple, list):
        return kind(_plain(item) for item in value)
    if kind is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (np.datetime64, np.timedelta64)):
        # Python counts microseconds: a time that is finer has no equal there and stays as it is.
        is_finer = np.datetime_data(value.dtype)[0] in ("ns", "ps", "fs", "as")
        coarser = value.astype(f"{value.dtype.kind}8[us]") if is_finer else value
        return coarser.item() if coarser == value else value
    if isinstance(value, np.floating):
        return float(value)
    return value.item() if isinstance(value, np.generic) else value


def _copy(value: Any) -> Any:
    """A value of a strategy's own, so that no run sees what another one did to it; what cannot be copied is shared."""
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever the value's own class raises
        return value


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else "."


class Strategy:
    """Base of all strategies. Subclass it, declare parameters with `cift.param`, and write the handlers you need.

    Handlers, all optional:
        setup(): declares indicators and conditions, once, before the first event.
        on_start(), on_stop(): before the first and after the last event.
        on_trade(trade): a print of the market. on_quote(quote): a change of best price or size, or a row of a quote feed.
        on_book(book): an event of the book has ended.
        on_bar(bar): a bar of `self.bars(...)` is known: the first row behind it has arrived.
        on_order(order): an order of this strategy changed. on_fill(fill): one traded.
        on_timer(number): a timer set with `timer` is due.

    Verbs (`buy, sell, target, cancel, modify, close, timer, log`) take effect in call order when the handler returns. Views
    (`position, cash, equity, book, open_orders, now, rng`) show what has reached the strategy. With several instruments,
    `self["MSFT.XNAS"]` is the handle of one, with the same verbs and views.
    """

    parameters: ClassVar[Mapping[str, Param]] = {}
    states: ClassVar[Mapping[str, State]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        for name, value in own.items():
            if isinstance(value, (Param, State)) and (name in TAKEN or name in HANDLERS or hasattr(Strategy, name)):
                raise InvalidParameter(
                    f"{cls.__name__}.{name} cannot be declared: cift.Strategy or Backtest uses that name; choose another"
                )
        declared = {
            name: v for base in reversed(cls.__mro__) for name, v in vars(base).items() if isinstance(v, (Param, State))
        }
        for name, declaration in declared.items():
            found = inspect.getattr_static(cls, name)
            if found is not declaration:
                word = "param" if isinstance(declaration, Param) else "state"
                raise InvalidParameter(
                    f"{cls.__name__}.{name} is declared with cift.{word} by a base class, so the plain {found!r} would be "
                    f"ignored; write `{name} = cift.{word}({found!r})`"
                )
        cls.parameters = {name: v for name, v in declared.items() if isinstance(v, Param)}
        cls.states = {name: v for name, v in declared.items() if isinstance(v, State)}
        for name, value in own.items():
            if callable(value) and name.replace("_", "").lower() == "setup" and name != "setup":
                raise UnknownName(f"{cls.__name__}.{name} would never be called; did you mean 'setup'?")
            if not name.startswith("on_") or not callable(value) or name in HANDLERS:
                continue
            if name in LATER_HANDLERS:
                raise UnknownName(
                    f"{cls.__name__}.{name} would never be called: this release has no live runs. Handlers are "
                    f"{', '.join(HANDLERS)}"
                )
            raise UnknownName(
                f"{cls.__name__}.{name} is not a handler{_nearest(name, HANDLERS)} Handlers are {', '.join(HANDLERS)}; "
                "a helper of your own needs another prefix than on_"
            )

    def __init__(self, **parameters: Any) -> None:
        """Takes the declared parameters by name.

        Raises:
            UnknownName: for a name that is not declared, with the nearest one.
            InvalidParameter: for a value of the wrong type or out of range.
        """
        owner = type(self).__name__
        for name in parameters:
            if name not in self.parameters:
                declared = ", ".join(self.parameters) or "none"
                raise UnknownName(
                    f"{owner} has no parameter {name!r}{_nearest(name, self.parameters)} Declared are: {declared}"
                )
        for name, declared_param in self.parameters.items():
            value = parameters.get(name, declared_param.default)
            setattr(self, name, declared_param.checked(value, owner))
        for name, declared_state in self.states.items():
            setattr(self, name, declared_state.fresh())
        self._bench: Bench | None = None

    # ---------------------------------------------------------------- for the simulator

    def take_seat(
        self,
        handles: Mapping[str, _sim.Handle],
        make_line: Callable[[Indicator, str, str, Bars | None], Line],
        make_bars: Callable[[str | BarSpec, str | None, str], Bars],
        seed: int,
        read: Callable[[str], bytes],
    ) -> Bench:
        """Joins a run, before `setup`; called once, by the simulator."""
        self._bench = bench = Bench(handles, make_line=make_line, make_bars=make_bars, seed=seed, read=read)
        self._any = bench.any
        if len(handles) == 1:
            # With one instrument the verbs are those of its handle: no Python stands between a handler and the core.
            self._handle = bench.only
            for verb in VERBS:
                if getattr(type(self), verb) is getattr(Strategy, verb):
                    setattr(self, verb, getattr(bench.only, verb))
        return bench

    def handlers(self) -> dict[str, Callable[..., None]]:
        """The handlers that this strategy has, bound, by name."""
        return {name: getattr(self, name) for name in HANDLERS if callable(getattr(type(self), name, None))}

    def setup(self) -> None:
        """Declares indicators and conditions. Nothing has happened yet: verbs and views do not work here."""

    # ---------------------------------------------------------------- what setup declares

    def bars(self, spec: str | BarSpec, on: str | None = None, *, symbol: str | None = None) -> Bars:
        """Makes bars of the market as it reaches this strategy; each goes to `on_bar` once the first row behind it has arrived.

        They are those of `Ticks.bars`, to the last bit. A bar that nothing ended is not handed over.

        Args:
            spec: a span such as "1m", or "tick-500", "volume-10000", "renko-0.05": see `BarSpec`.
            on: "price" of the prints, or "bid", "ask" or "mid" of the best prices. Default: "price" where there are prints.
            symbol: which instrument, where there are several.
        Returns:
            The stream: its `.last` is the bar that came last, and `self.indicator(EMA(10), on=stream)` follows its closes.
        Raises:
            InvalidParameter: a spec or an `on` that is none, or that the data view has no records for.
            CiftError: outside `setup`.
        """
        return self._seated.add_bars(spec, on, symbol)

    def indicator(self, indicator: Indicator, on: str | Bars | None = None, *, symbol: str | None = None) -> Line:
        """Follows an indicator of the market as it reaches this strategy; read its `.value` and `.ready`.

        Args:
            indicator: with its parameters, `EMA(10)`.
            on: what it is computed on ("mid", "quote", "spread", "microprice", "price", "size"), or bars of `self.bars(...)`, whose
                closes it follows; its own default otherwise.
            symbol: which instrument, where there are several.
        Raises:
            UnknownName: for an `on` or a symbol that does not exist.
            CiftError: outside `setup`.
        """
        return self._seated.add_line(indicator, on, symbol)

    def when(self, condition: Condition, call: Callable[[], None]) -> None:
        """Calls `call()` each time that a condition over indicators turns from false to true.

        Raises:
            InvalidParameter: where `condition` is not one, or reads something else than this strategy's indicators.
            CiftError: outside `setup`.
        """
        self._seated.add_condition(condition, call)

    # ---------------------------------------------------------------- handles

    @property
    def _seated(self) -> Bench:
        if self._bench is None:
            raise CiftError(
                f"this {type(self).__name__} is not in a run: indicators, verbs and views work inside setup and handlers"
            )
        return self._bench

    @cached_property
    def _handle(self) -> _sim.Handle:
        return self._seated.only

    @cached_property
    def _any(self) -> _sim.Handle:
        return self._seated.any

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of this run, in the order of the data view."""
        return tuple(self._seated.handles)

    def __getitem__(self, symbol: str) -> _sim.Handle:
        """The handle of one instrument: the same verbs and views, for that symbol."""
        return self._seated.handle(symbol)

    # ---------------------------------------------------------------- verbs

    def buy(self, size: float | None = None, **order: Any) -> int:
        """Sends a buy order and returns its id.

        Args:
            size: in units; or `value=` in currency, or `fraction=` of equity.
            limit: worst price accepted; without it the order is a market order.
            tif: "GTC" (rest; the default of a limit order), "IOC" or "FOK".
            post_only: refuse the order rather than let it trade on arrival.
            self_trade: None, "cancel_newest", "cancel_oldest" or "cancel_both".
            rounding: "down", "up" or "nearest" for a limit off the price increment; without it that is an error.
            tag: a label that the orders frame shows.
        Raises:
            OffTickPrice, OffLotSize, OrderError: with what to do.
        """
        return self._handle.buy(size, **order)

    def sell(self, size: float | None = None, **order: Any) -> int:
        """Sends a sell order and returns its id; arguments as in `buy`."""
        return self._handle.sell(size, **order)

    def target(self, size: float, *, tag: str | None = None) -> int | None:
        """Sends the market order that brings position and open orders together to `size` units; None if nothing is missing."""
        return self._handle.target(size, tag=tag)

    def close(self, *, tag: str | None = None) -> int | None:
        """Cancels all open orders, then sends the market order that makes the position flat; None if it is."""
        return self._handle.close(tag=tag)

    def cancel(self, order: int) -> None:
        """Cancels an order by its id.

        Raises:
            UnknownOrder: where it is not open.
        """
        self._any.cancel(order)

    def modify(self, order: int, *, price: float | None = None, size: float | None = None, rounding: str | None = None) -> None:
        """Changes an order: a new limit, a new total size (filled part included), or both.

        A smaller size at the same price keeps its place in the queue; anything else loses it.
        """
        self._seated.owner_of(order).modify(order, price=price, size=size, rounding=rounding)

    def timer(self, *, after: Duration | None = None, at_ns: int | None = None) -> int:
        """Asks for `on_timer(number)` after a span of time, or at a time in nanoseconds, and returns the number."""
        if (after is None) == (at_ns is None):
            raise InvalidParameter("a timer takes exactly one of after= (a span such as '1s') and at_ns=")
        handle = self._any
        return handle.set_timer(handle.now + duration_ns(cast("Duration", after), "after") if at_ns is None else at_ns)

    def log(self, message: str, level: str = "info") -> None:
        """Adds a line to the run's log."""
        bench = self._seated
        bench.log.append((bench.any.now, level, str(message)))

    def read(self, path: str) -> bytes:
        """The content of a file. Its hash becomes part of the run's fingerprint."""
        return self._seated.read(path)

    # ---------------------------------------------------------------- views

    @property
    def position(self) -> float:
        """Position as answers have told it, in units; negative when short."""
        return self._handle.position

    @property
    def cash(self) -> float:
        """Cash as answers have told it."""
        return self._any.cash

    @property
    def equity(self) -> float:
        """Cash plus all positions at the mid."""
        return self._any.equity

    @property
    def book(self) -> _sim.Book:
        """The book as it arrived, without this strategy's own orders."""
        return self._handle.book

    @property
    def open_orders(self) -> list[_sim.OrderUpdate]:
        """Orders of all instruments that are not closed, oldest first; those sent and unanswered included."""
        handles = self._seated.handles.values()
        if len(handles) == 1:
            return self._handle.open_orders
        return sorted((order for handle in handles for order in handle.open_orders), key=lambda order: order.id)

    @property
    def now(self) -> int:
        """Time in nanoseconds since the epoch, UTC."""
        return self._any.now

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers that depend on the run's seed alone."""
        return self._seated.rng


class Bench:
    """What one run gives a strategy: handles, and what its `setup` declares."""

    def __init__(
        self,
        handles: Mapping[str, _sim.Handle],
        *,
        make_line: Callable[[Indicator, str, str, Bars | None], Line],
        make_bars: Callable[[str | BarSpec, str | None, str], Bars],
        seed: int,
        read: Callable[[str], bytes],
    ) -> None:
        self.handles = dict(handles)
        self.lines: list[Line] = []
        self.bars: list[Bars] = []
        self.conditions: list[tuple[Condition, Callable[[], None]]] = []
        self.log: list[tuple[int, str, str]] = []
        self.read = read
        self.in_setup = False
        self._make_line = make_line
        self._make_bars = make_bars
        self._seed = seed
        self._rng: np.random.Generator | None = None
        self.any = next(iter(self.handles.values()))

    @property
    def only(self) -> _sim.Handle:
        """The handle, where there is one."""
        if len(self.handles) > 1:
            names = ", ".join(self.handles)
            raise InvalidParameter(f"this run has several instruments ({names}): say which, as in self[{self.any.symbol!r}]")
        return self.any

    def handle(self, symbol: str) -> _sim.Handle:
        """The handle of a symbol."""
        try:
            return self.handles[symbol]
        except KeyError:
            raise UnknownName(
                f"{symbol!r} is not in this run{_nearest(symbol, self.handles)} Its symbols are: {', '.join(self.handles)}"
            ) from None

    def owner_of(self, order: int) -> _sim.Handle:
        """The handle of the instrument that an open order is for; prices and sizes are counted in its steps."""
        for handle in self.handles.values():
            if len(self.handles) == 1 or any(open_order.id == order for open_order in handle.open_orders):
                return handle
        return self.any

    @property
    def rng(self) -> np.random.Generator:
        """The run's random numbers."""
        if self._rng is None:
            import numpy as np

            self._rng = np.random.Generator(np.random.PCG64(self._seed))
        return self._rng

    def add_bars(self, spec: str | BarSpec, on: str | None, symbol: str | None) -> Bars:
        """Declares bars."""
        self._only_in_setup("bars")
        stream = self._make_bars(spec, on, self._name(symbol))
        self.bars.append(stream)
        return stream

    def _name(self, symbol: str | None) -> str:
        return self.only.symbol if symbol is None else self.handle(symbol).symbol

    def add_line(self, indicator: Indicator, on: str | Bars | None, symbol: str | None) -> Line:
        """Declares an indicator."""
        self._only_in_setup("indicator")
        if isinstance(indicator, type) or not hasattr(indicator, "runner"):
            name = indicator.__name__ if isinstance(indicator, type) and hasattr(indicator, "runner") else "EMA"
            raise InvalidParameter(f"{indicator!r} is not an indicator; pass one with its parameters, such as {name}(10)")
        if on is None or isinstance(on, str):
            source = indicator.source(on)
            if source == "close":
                raise InvalidParameter(f"{indicator} on 'close' needs bars: pass on=self.bars('1m')")
            line = self._make_line(indicator, source, self._name(symbol), None)
        else:
            if not any(on is mine for mine in self.bars):
                raise InvalidParameter(f"on= takes a name such as 'mid', or bars that self.bars(...) gave, not {on!r}")
            if symbol not in (None, on.symbol):
                raise InvalidParameter(f"these bars are of {on.symbol}, not of {symbol}; leave symbol= out")
            line = self._make_line(indicator, indicator.source("close"), on.symbol, on)
        self.lines.append(line)
        return line

    def add_condition(self, condition: Condition, call: Callable[[], None]) -> None:
        """Declares a condition."""
        self._only_in_setup("when")
        lines = getattr(condition, "lines", None)
        if lines is None:
            raise InvalidParameter(
                f"when() takes a condition over indicators, such as quick > calm, not {condition!r}; own position and orders "
                "cannot be part of one: test them in the handler"
            )
        if not callable(call):
            raise InvalidParameter(f"when() takes a function to call, such as self.go_long, not {call!r}")
        strangers = [line for line in lines if not any(line is mine for mine in self.lines)]
        if strangers or not lines:
            raise InvalidParameter("a condition reads indicators that this strategy declared with self.indicator(...)")
        self.conditions.append((condition, call))

    def _only_in_setup(self, verb: str) -> None:
        if not self.in_setup:
            raise CiftError(f"self.{verb}(...) works in setup only: indicators must be known before the first event")
