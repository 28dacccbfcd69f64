"""A fill in words: what was decided, where it queued, and why it traded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from cift.backtest import Result

WHY = {
    "queue": "what stood ahead of it had traded or been cancelled, and the next execution at its price reached it",
    "crossed": "an order of the record came in through its price and traded with it",
    "swept": "an execution at a worse price passed it",
}


def explained_fill(result: Result) -> str | None:
    """The fill of a run that its queue explains best, in a few sentences; None where there are no fills.

    Of the fills of resting orders it is the one that had the most ahead; of a run that only took, the first one.
    """
    fills = result.fills
    if fills.height == 0:
        return None
    resting = fills.filter(fills["reason"] == "queue")
    if resting.height == 0:
        resting = fills.filter(fills["liquidity"] == "maker")
    chosen = resting.sort("ahead", descending=True, maintain_order=True) if resting.height else fills
    fill = chosen.row(0, named=True)
    order = result.orders.filter(result.orders["order_id"] == fill["order_id"]).row(0, named=True)
    return _resting(fill, order) if fill["liquidity"] == "maker" else _taking(fill, order, fills)


def _resting(fill: dict[str, Any], order: dict[str, Any]) -> str:
    ahead = "nothing ahead of it" if not fill["ahead"] else f"{fill['ahead']:,g} ahead of it"
    return (
        f"Order {order['order_id']}, {order['side']} {order['size']:,g} {order['symbol']} at {order['price']:,.10g}, was sent at "
        f"{_clock(order['ts_submitted'])} and reached the venue {_span(order['ts_submitted'], order['ts_accepted'])} later. It "
        f"joined the queue at its price with {ahead}. {_span(order['ts_accepted'], fill['ts'])} after that, at "
        f"{_clock(fill['ts'])}, {WHY[fill['reason']]}: {fill['size']:,g} {_past(fill['side'])} at {fill['price']:,.10g}, "
        f"{_against_mid(fill)}, fee {fill['fee']:,.4f}."
    )


def _taking(fill: dict[str, Any], order: dict[str, Any], fills: pl.DataFrame) -> str:
    pieces = fills.filter(fills["order_id"] == fill["order_id"])
    prices = ", ".join(f"{size:,g} at {price:,.10g}" for size, price in pieces.select("size", "price").iter_rows())
    limit = "at market" if order["price"] is None else f"with limit {order['price']:,.10g}"
    return (
        f"Order {order['order_id']}, {order['side']} {order['size']:,g} {order['symbol']} {limit}, was decided at "
        f"{_clock(order['ts_submitted'])} and reached the venue {_span(order['ts_submitted'], fill['ts'])} later. It took from "
        f"the front of the {'ask' if fill['side'] == 'buy' else 'bid'} queues what stood there then: {prices}. The first piece "
        f"was {_against_mid(fill)}; fees {pieces['fee'].sum():,.4f} in all."
    )


def _past(side: str) -> str:
    return "bought" if side == "buy" else "sold"


def _against_mid(fill: dict[str, Any]) -> str:
    if fill["mid"] is None:
        return "with no mid to compare with"
    better = (fill["mid"] - fill["price"]) * (1 if fill["side"] == "buy" else -1)
    if abs(better) < 1e-12:
        return "at the mid"
    return f"{abs(better):,.6g} {'better' if better > 0 else 'worse'} than the mid"


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S.%f") + " UTC"


def _span(earlier: datetime, later: datetime) -> str:
    seconds = (later - earlier).total_seconds()
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:,.1f} s"
