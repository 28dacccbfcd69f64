"""`cift demo`: from a tick file to an explained result, on a market of our own."""

from __future__ import annotations

import time
from pathlib import Path

import cift
from cift.backtest import Backtest, Fees, Venue
from cift.cli.output import print_json, result_json
from cift.cli.words import explained_fill
from cift.data.demo import DEMO_DATE, DEMO_SYMBOL, demo_catalog
from cift.indicators import EMA


class EmaCross(cift.Strategy):
    """Long while the fast average of the mid price is above the slow one, short while it is below."""

    fast: int = cift.param(10, low=2, high=50, help="updates of the mid that the fast average remembers")
    slow: int = cift.param(50, low=10, high=200, help="updates that the slow one remembers")

    def setup(self) -> None:
        """Declares both averages and what their crossings call."""
        quick, calm = self.indicator(EMA(self.fast), on="mid"), self.indicator(EMA(self.slow), on="mid")
        self.when(quick.crosses_above(calm), self.go_long)
        self.when(quick.crosses_below(calm), self.go_short)

    def go_long(self) -> None:
        """Brings the position to +100 units."""
        self.target(+100)

    def go_short(self) -> None:
        """Brings the position to -100 units."""
        self.target(-100)


class OneRestingOrder(cift.Strategy):
    """Joins the queue at the best bid once, half an hour into the session, and waits."""

    def on_start(self) -> None:
        """Sets the timer that sends the order."""
        self.timer(after="30m")

    def on_timer(self, number: int) -> None:  # noqa: ARG002 (every timer is the one of on_start)
        """Buys 100 at the best bid."""
        self.buy(100, limit=self.book.bid)


def demo(out: Path, *, as_json: bool) -> None:
    """Runs the moving average cross on the demo market, explains fills, and writes the tear sheet."""
    began = time.perf_counter()
    ticks = demo_catalog().ticks(DEMO_SYMBOL, DEMO_DATE)
    venue = Venue(latency="250us", fees=Fees(taker_bps=0.5))
    result = Backtest(ticks, EmaCross, venue=venue).run(fast=10, slow=30, progress=False)
    resting = Backtest(ticks, OneRestingOrder, venue=venue).run(progress=False)
    told = [text for text in (explained_fill(result), explained_fill(resting)) if text is not None]
    report = result.tearsheet(out)
    if as_json:
        print_json({**result_json(result, report=report), "fills_explained": told})
        return
    print(result)
    print("\nA fill of it, explained:")
    print(told[0])
    if len(told) > 1:
        print("\nAnd one of an order that rests, explained by its queue:")
        print(told[1])
    print(f"\n{report} has the whole report; {time.perf_counter() - began:.1f} s")
