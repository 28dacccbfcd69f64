"""Indicators of the best quote and of how it changes."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cift.indicators.kernel import Indicator, Plan, whole_number
from cift.indicators.sources import Quote
from cift.indicators.windows import empty_window, scale_of, slid


class Nothing(NamedTuple):
    """The state of an indicator that reads the present row only."""


def microprice(state: Nothing, quote: Quote) -> tuple[Nothing, float]:
    """Each price weighted by the size on the other side."""
    weighted = quote.bid_price * quote.ask_size + quote.ask_price * quote.bid_size
    return state, weighted / (quote.bid_size + quote.ask_size)


class Microprice(Indicator):
    """The mid weighted by size: nearer the ask when more stands at the bid. In currency; NaN where both sizes are zero.

    (bid_price * ask_size + ask_price * bid_size) / (bid_size + ask_size), of this row alone. It is the simple weighted
    mid with which the source begins, not its fixed point.

    Raises:
        ShapeMismatch: from the column form, where the four columns differ in length.

    Source: S. Stoikov (2018), "The micro-price: a high-frequency estimator of future prices", Quantitative Finance
    18(12).
    """

    update = staticmethod(microprice)

    def __init__(self) -> None:
        self.on = "quote"
        self._arguments = ()
        self.lookback = 0
        self.memory = 0

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (products of prices and sizes: floats)
        """See `Indicator.plan`."""
        return Plan(Nothing(), (), (None, None, None, None))


def spread(state: Nothing, quote: Quote, numerator: float, denominator: float) -> tuple[Nothing, float]:
    """Ask minus bid, as a price by one division."""
    return state, (quote.ask_price - quote.bid_price) * numerator / denominator


class Spread(Indicator):
    """Best ask minus best bid, in currency; negative in a crossed market.

    With `tick=` (a strategy passes it) the difference is taken in whole ticks, so that 0.01 is 0.01 and compares equal
    to it.

    Raises:
        ShapeMismatch: from the column form, where the four columns differ in length.
        OffTickPrice: where a price does not lie on the tick given.

    Source: the definition.
    """

    update = staticmethod(spread)

    def __init__(self) -> None:
        self.on = "quote"
        self._arguments = ()
        self.lookback = 0
        self.memory = 0

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (sizes are not read)
        """See `Indicator.plan`: both prices in whole ticks, where the tick is known."""
        return Plan(Nothing(), scale_of(tick, 1), (tick, None, tick, None))


class FlowState(NamedTuple):
    """The quote before, the last contributions (in lots, where sizes have some), where the next one goes, and their sum."""

    bid_price: float
    bid_size: int | float
    ask_price: float
    ask_size: int | float
    block: NDArray[np.int64] | NDArray[np.float64]
    position: int
    total: int | float


def order_flow_imbalance(state: FlowState, quote: Quote, numerator: float, denominator: float) -> tuple[FlowState, float]:
    """Flow since the row before, summed over the window. The first row compares with NaN prices and so adds nothing."""
    bid = quote.bid_size * (quote.bid_price >= state.bid_price) - state.bid_size * (quote.bid_price <= state.bid_price)
    ask = quote.ask_size * (quote.ask_price <= state.ask_price) - state.ask_size * (quote.ask_price >= state.ask_price)
    position, total, window = slid(state.block, state.position, state.total, bid - ask)
    after = FlowState(quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size, state.block, position, total)
    return after, window * numerator / denominator


class OrderFlowImbalance(Indicator):
    """Net size that joined the best quotes over the last `window` changes, in units.

    Positive when buyers press: the bid rises or grows, or the ask backs away or shrinks. The first value is at row
    `window`: a change needs the row before it. A row with a missing side is no observation; the next full quote is
    compared with the last full one. With `lot=` (a strategy passes it) sizes are summed as whole lots.

    Args:
        window: number of changes, at least 1.

    Raises:
        InvalidParameter: where `window` is no whole number of at least 1.
        ShapeMismatch: from the column form, where the four columns differ in length.
        OffTickPrice: where a size does not lie on the lot given.

    Source: Cont, Kukanov and Stoikov (2014), "The Price Impact of Order Book Events", J. Financial Econometrics 12(1).
    """

    update = staticmethod(order_flow_imbalance)

    def __init__(self, window: int = 1) -> None:
        self.window = whole_number("OrderFlowImbalance", "window", window, low=1)
        self.on = "quote"
        self._arguments = (self.window,)
        self.lookback = self.window
        self.memory = self.window

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (prices are only compared)
        """See `Indicator.plan`: both sizes in whole lots, where the lot is known."""
        block, total = empty_window(self.window, exact=lot is not None)
        start = FlowState(np.nan, total, np.nan, total, block, 0, total)
        return Plan(start, scale_of(lot, 1), (None, lot, None, lot))
