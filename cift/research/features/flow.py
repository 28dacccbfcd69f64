"""Features of who pressed: how the best quote changed, and which side took."""

from __future__ import annotations

from typing import Literal, get_args

import polars as pl

from cift.domain.instrument import Number
from cift.errors import InvalidParameter
from cift.indicators import OrderFlowImbalance
from cift.research.features.quotes import Column, column
from cift.research.features.windows import in_steps, rolling_sum

Rule = Literal["aggressor", "tick", "lee-ready"]


def order_flow_imbalance(window: int = 1, *, lot: Number | None = None) -> pl.Expr:
    """Net size that joined the best quotes over the last `window` changes: `cift.indicators.OrderFlowImbalance`.

    It has a state (a quote with a missing side is passed over and the next one compared with the last full one), so it is
    that indicator's kernel. With `lot=` sizes are summed as whole lots.

    Raises:
        InvalidParameter: where `window` is no whole number of at least 1.
        OffTickPrice: when it is computed, where a size does not lie on the lot given.
    """
    expression: pl.Expr = OrderFlowImbalance(window).expr(lot=lot)
    return expression.alias("order_flow_imbalance")


def tick_rule(price: Column = "price") -> pl.Expr:
    """1 for a print above the last other price, -1 for one below, as Int8; null until a price has changed.

    A missing price (null or NaN) is passed over: the print after it is compared with the one before it.

    Source: Lee and Ready (1991), "Inferring trade direction from intraday data", J. Finance 46(2).
    """
    return _sign(column(price).cast(pl.Float64).fill_nan(None).forward_fill().diff()).forward_fill().alias("tick_rule")


def _sign(number: pl.Expr) -> pl.Expr:
    """1 or -1, as Int8; null for 0, NaN and null."""
    above, below = (pl.lit(sign, dtype=pl.Int8) for sign in (1, -1))
    # To polars, NaN is above every number.
    return pl.when((number > 0) & number.is_not_nan()).then(above).when(number < 0).then(below)


def trade_sign(
    rule: Rule = "lee-ready",
    *,
    price: Column = "price",
    bid: Column = "bid_price",
    ask: Column = "ask_price",
    tick: Number | None = None,
) -> pl.Expr:
    """Who took: 1 a buyer, -1 a seller, null where the rule does not tell; Int8.

    Args:
        rule: "aggressor": what the feed says in the column `aggressor`, and where it says "none" the tick rule.
            "tick": the tick rule alone. "lee-ready": above the mid of the quote beside the print a buyer, below it a
            seller, at the mid or without a quote the tick rule. The quote must be the one in force *before* the print: see
            `join_asof`.
        price: column of prints. bid, ask: columns of the quote beside them.
        tick: the step on which all three lie; with it the price is compared with the mid in half ticks, without it in
            floats, where a print exactly at the mid may seem to lie beside it.

    Raises:
        InvalidParameter: a rule that is none.
        OffTickPrice: when it is computed, where a price does not lie on the tick given.

    Source: Lee and Ready (1991), "Inferring trade direction from intraday data", J. Finance 46(2); without their delay of
    five seconds, which was for quotes that arrived late on paper.
    """
    if rule not in get_args(Rule):
        raise InvalidParameter(f"rule must be one of {', '.join(get_args(Rule))}, not {rule!r}")
    by_tick = tick_rule(price)
    if rule == "tick":
        return by_tick.alias("trade_sign")
    if rule == "aggressor":
        said = pl.col("aggressor").cast(pl.String)
        told = pl.when(said == "buy").then(pl.lit(1)).when(said == "sell").then(pl.lit(-1)).cast(pl.Int8)
        return pl.coalesce(told, by_tick).alias("trade_sign")
    price, bid, ask = (column(one).cast(pl.Float64) for one in (price, bid, ask))
    if tick is not None:
        price, bid, ask = (in_steps(one, tick) for one in (price, bid, ask))
    # Twice the price beside twice the mid: in ticks both are whole.
    return pl.coalesce(_sign(price * 2 - (bid + ask)), by_tick).alias("trade_sign")


def signed_size(sign: Column = "trade_sign", size: Column = "size") -> pl.Expr:
    """Size with the sign of who took: 0 where that is not known."""
    return (column(sign).fill_null(0) * column(size)).alias("signed_size")


def trade_flow(window: int, *, sign: Column = "trade_sign", size: Column = "size", lot: Number | None = None) -> pl.Expr:
    """What buyers took less what sellers took over the last `window` prints, in units; NaN before the first full window.

    Args:
        window: number of prints, at least 1.
        sign: 1, -1 or null (not known: counts as 0), as `trade_sign` gives it.
        size: column of sizes.
        lot: the step on which sizes lie; with it the sum is exact, without it float64 in a fixed order.

    Raises:
        InvalidParameter: where `window` is no whole number of at least 1.
        OffTickPrice: when it is computed, where a size does not lie on the lot given.
    """
    return rolling_sum(signed_size(sign, size), window, lot).alias("trade_flow")
