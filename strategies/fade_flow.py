"""Fades order flow with resting orders: each of its fills has a place in a queue.

Run it:  cift run strategies/fade_flow.py:FadeFlow --data demo --latency 250us --maker-bps -0.1
"""

import cift
from cift.indicators import OrderFlowImbalance


class FadeFlow(cift.Strategy):
    """Sells into heavy buying and buys into heavy selling, one order at a time."""

    threshold: float = cift.param(500.0, low=10, high=5_000, help="net flow over 50 updates that counts as heavy, in units")

    def setup(self) -> None:
        """Follows the flow of orders at the best prices."""
        self.flow = self.indicator(OrderFlowImbalance(window=50), on="quote")

    def on_book(self, book) -> None:  # type: ignore[no-untyped-def]
        """Joins the queue that the flow runs into, if no order is out yet."""
        if self.open_orders or not self.flow.ready or abs(self.flow.value) < self.threshold:
            return
        if self.flow.value > 0 and self.position > -300:
            self.sell(100, limit=book.ask)
        elif self.flow.value < 0 and self.position < 300:
            self.buy(100, limit=book.bid)
