"""Runs one strategy over a small generated market and prints its digest: what every process must agree on.

python one_run.py CATALOG LEVEL CHUNK_ROWS THREADS
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import cift
from cift.indicators import EMA, SMA, Microprice, OrderFlowImbalance, Spread


class Busy(cift.Strategy):
    """Uses every kind of indicator, order and handler."""

    entries: int = cift.state(0)
    quoted: int = cift.state(0)

    def setup(self) -> None:
        quick, calm = self.indicator(EMA(10)), self.indicator(EMA(50))
        mean = self.indicator(SMA(30), on="mid")
        self.flow = self.indicator(OrderFlowImbalance(20))
        fair, spread, prints = self.indicator(Microprice()), self.indicator(Spread()), self.indicator(EMA(5), on="price")
        self.when(quick.crosses_above(calm), self.go_long)
        self.when(quick.crosses_below(calm) & (spread < 0.05), self.go_short)
        self.when((fair > mean) & (prints > mean), self.quote_bid)

    def on_start(self) -> None:
        self.timer(after="5m")

    def go_long(self) -> None:
        self.target(+30)

    def go_short(self) -> None:
        self.target(-30)

    def quote_bid(self) -> None:
        bid = self.book.bid
        if bid is not None and len(self.open_orders) < 3:
            self.buy(int(self.rng.integers(1, 9)), limit=bid, tag="bid")
            self.quoted += 1

    def on_fill(self, fill: Any) -> None:
        self.entries += 1
        if self.entries % 5 == 0 and abs(self.flow.value) > 1:
            self.close()

    def on_order(self, order: Any) -> None:
        if order.status == "open" and order.price is not None and order.id % 4 == 0 and order.size < 12:
            self.modify(order.id, size=order.size + 1)

    def on_timer(self, _number: int) -> None:
        for order in self.open_orders:
            self.cancel(order.id)
        self.timer(after="5m")


def digest(catalog: str, level: str, chunk_rows: int | None) -> str:
    """The digest of one run."""
    view = cift.Catalog(catalog).ticks("DEMO.SIM", "2026-01-05", level=level)
    venue = cift.Venue(latency=cift.Latency(feed="80us", entry="120us", response="90us"), fees=cift.Fees(0.2, 0.5))
    result = cift.Backtest(view, Busy, venue=venue, seed=7, chunk_rows=chunk_rows).run(progress=False)
    assert len(result.fills) > 50, "a run with next to no fills shows nothing"
    return result.digest


if __name__ == "__main__":
    path, level, rows, threads = sys.argv[1:]
    found: list[str] = []
    workers = [
        threading.Thread(target=lambda: found.append(digest(path, level, None if rows == "all" else int(rows))))
        for _ in range(int(threads))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == int(threads), "a thread failed"
    print("\n".join(sorted(set(found))))
