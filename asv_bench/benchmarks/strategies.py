"""W1: a million quotes with a print each, EMA(20) against EMA(100), 14,571 market orders; in Python, and through `when`.

Times are those of the processor. Ratios are measured in turns in one process, so that they hold on a busy machine too.
"""

from __future__ import annotations

from time import process_time
from typing import Any

from .measuring import seconds, unit
from .works import FAST, SLOW, W1_ORDERS, W1_TICKS, BareCross, w1_ticks, w1_view


def classes() -> tuple[Any, Any]:
    """The strategies. Defined here, because a benchmark's module is imported to be listed, without the package."""
    import cift
    from cift.indicators import EMA

    class InPython(cift.Strategy):
        """Asks two averages at every quote."""

        trades: bool = cift.param(True)
        slow: int = cift.param(SLOW)
        want: int = cift.state(0)

        def setup(self) -> None:
            self.quick = self.indicator(EMA(FAST, seed="first"), on="mid")
            self.calm = self.indicator(EMA(self.slow, seed="first"), on="mid")

        def on_quote(self, _quote: Any) -> None:
            quick, calm = self.quick.value, self.calm.value
            want = 1 if quick > calm else -1 if quick < calm else self.want
            if want != self.want:
                if self.trades:
                    if want > 0:
                        self.buy(want - self.want)
                    else:
                        self.sell(self.want - want)
                self.want = want

    class ByWhen(cift.Strategy):
        """Is woken where the averages cross."""

        trades: bool = cift.param(True)
        want: int = cift.state(0)

        def setup(self) -> None:
            quick = self.indicator(EMA(FAST, seed="first"), on="mid")
            calm = self.indicator(EMA(SLOW, seed="first"), on="mid")
            self.when(quick > calm, self.up)
            self.when(quick < calm, self.down)

        def up(self) -> None:
            if self.trades:
                self.buy(1 - self.want)
            self.want = 1

        def down(self) -> None:
            if self.trades:
                self.sell(1 + self.want)
            self.want = -1

    return InPython, ByWhen


class W1:
    """Two million rows, a fee of 1 bp, no latency."""

    timeout = 300

    def setup_cache(self) -> Any:
        """The data view: it is stored as Arrow."""
        return w1_view()

    def setup(self, view: Any) -> None:
        """Backtests, and the floor over plain lists. What is compiled is compiled here."""
        import cift

        venue = cift.Venue(fees=cift.Fees(maker_bps=1.0, taker_bps=1.0))
        in_python, by_when = classes()
        self.in_python = cift.Backtest(view, in_python, venue=venue)
        self.by_when = cift.Backtest(view, by_when, venue=venue)
        data = w1_ticks()
        self.prices = list(zip(data["bid"].tolist(), data["ask"].tolist(), strict=True))
        for backtest in (self.in_python, self.by_when):
            sent = len(backtest.run(progress=False).record.columns["orders"]["order_id"])
            assert sent == W1_ORDERS, f"{sent} orders, not {W1_ORDERS}"

    def floor(self) -> None:
        """A bound method a tick, and nothing else."""
        bare = BareCross()
        on_quote = bare.on_quote
        for bid, ask in self.prices:
            on_quote(bid, ask)
        assert bare.orders == W1_ORDERS

    def run_in_python(self, **parameters: Any) -> None:
        """One run of the handler."""
        self.in_python.run(progress=False, **parameters)

    def run_by_when(self, **parameters: Any) -> None:
        """One run of the conditions."""
        self.by_when.run(progress=False, **parameters)

    @unit("ns/tick")
    def track_floor(self, _view: Any) -> float:
        """Bare Python: no engine with a Python call a tick is faster."""
        (taken,) = seconds(self.floor, clock=process_time)
        return taken / W1_TICKS * 1e9

    @unit("ns/tick")
    def track_handler(self, _view: Any) -> float:
        """`on_quote` at every tick, with the orders."""
        (taken,) = seconds(self.run_in_python, clock=process_time)
        return taken / W1_TICKS * 1e9

    @unit("ns/tick")
    def track_handler_without_orders(self, _view: Any) -> float:
        """`on_quote` at every tick, nothing sent."""
        (taken,) = seconds(lambda: self.run_in_python(trades=False), clock=process_time)
        return taken / W1_TICKS * 1e9

    @unit("times the floor")
    def track_handler_over_floor(self, _view: Any) -> float:
        """Handler with orders, over bare Python."""
        floor, taken = seconds(self.floor, self.run_in_python, clock=process_time)
        return taken / floor

    @unit("us/order")
    def track_order(self, _view: Any) -> float:
        """What an order costs: the run with orders less the run without, over 14,571."""
        without, taken = seconds(lambda: self.run_in_python(trades=False), self.run_in_python, clock=process_time)
        return (taken - without) / W1_ORDERS * 1e6

    @unit("us/order")
    def track_order_of_many(self, _view: Any) -> float:
        """The same with averages that cross more often: it stays flat in the number of orders."""
        slow = FAST + 5
        without, taken = seconds(
            lambda: self.run_in_python(trades=False, slow=slow), lambda: self.run_in_python(slow=slow), clock=process_time
        )
        orders = len(self.in_python.run(progress=False, slow=slow).record.columns["orders"]["order_id"])
        assert orders > 1.9 * W1_ORDERS, f"{orders} orders are not many"
        return (taken - without) / orders * 1e6

    @unit("ns/tick")
    def track_when(self, _view: Any) -> float:
        """The same orders through `when`. 100 ns are 10 million ticks a second."""
        (taken,) = seconds(self.run_by_when, clock=process_time)
        return taken / W1_TICKS * 1e9

    @unit("ns/tick")
    def track_when_without_orders(self, _view: Any) -> float:
        """`when` wakes Python 14,571 times and nothing is sent."""
        (taken,) = seconds(lambda: self.run_by_when(trades=False), clock=process_time)
        return taken / W1_TICKS * 1e9

    @unit("times the floor")
    def track_when_over_floor(self, _view: Any) -> float:
        """`when` with orders, over bare Python."""
        floor, taken = seconds(self.floor, self.run_by_when, clock=process_time)
        return taken / floor
