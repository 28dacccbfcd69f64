"""Features of the best quote: of one row each, so plain arithmetic that stays in the engine of polars.

The columns are those of the schema `quotes` unless others are named. A missing side is null, and so is what is made of it.
"""

from __future__ import annotations

import polars as pl

from cift.domain.instrument import Number
from cift.indicators import Spread

Column = str | pl.Expr


def column(given: Column) -> pl.Expr:
    """A column by its name, or the expression itself."""
    return pl.col(given) if isinstance(given, str) else given


def spread(bid: Column = "bid_price", ask: Column = "ask_price", *, tick: Number | None = None) -> pl.Expr:
    """Best ask minus best bid, in currency; negative in a crossed market.

    Args:
        bid: column of bid prices. ask: column of ask prices.
        tick: the step on which both lie. With it the difference is taken in whole ticks, so that 0.01 is 0.01 and compares
            equal to it; it then goes through the kernel of `cift.indicators.Spread`, and a missing side gives NaN.

    Raises:
        OffTickPrice: when it is computed, where a price does not lie on the tick given.

    Example:
        >>> import polars as pl
        >>> quote = pl.DataFrame({"bid_price": [100.01], "ask_price": [100.02]})
        >>> quote.select(spread()).item() == 0.01, quote.select(spread(tick="0.01")).item() == 0.01
        (False, True)
    """
    bid, ask = column(bid), column(ask)
    if tick is None:
        return (ask - bid).alias("spread")
    # It reads the columns of a quote, and nothing of the sizes.
    expression: pl.Expr = Spread().expr(bid, bid, ask, ask, tick=tick)
    return expression.alias("spread")


def mid(bid: Column = "bid_price", ask: Column = "ask_price") -> pl.Expr:
    """The mean of the best bid and the best ask, in currency."""
    return ((column(bid) + column(ask)) / 2).alias("mid")


def relative_spread(bid: Column = "bid_price", ask: Column = "ask_price") -> pl.Expr:
    """The spread as a part of the mid, in basis points."""
    return ((column(ask) - column(bid)) / mid(bid, ask) * 10_000).alias("relative_spread_bps")


def microprice(
    bid: Column = "bid_price",
    bid_size: Column = "bid_size",
    ask: Column = "ask_price",
    ask_size: Column = "ask_size",
) -> pl.Expr:
    """The mid weighted by size, nearer the ask when more stands at the bid: `cift.indicators.Microprice` in one expression.

    In currency; NaN where both sizes are zero.

    Source: S. Stoikov (2018), "The micro-price: a high-frequency estimator of future prices", Quantitative Finance 18(12).
    """
    bid, bid_size, ask, ask_size = (column(one) for one in (bid, bid_size, ask, ask_size))
    return ((bid * ask_size + ask * bid_size) / (bid_size + ask_size)).alias("microprice")


def imbalance(bid_size: Column = "bid_size", ask_size: Column = "ask_size") -> pl.Expr:
    """How much more stands at the best bid than at the best ask, as a part of both: -1 to 1; NaN where both are zero.

    Source: the definition; as a predictor, Gould and Bonart (2016), "Queue imbalance as a one-tick-ahead price predictor in
    a limit order book", Market Microstructure and Liquidity 2(2).
    """
    bid_size, ask_size = column(bid_size), column(ask_size)
    return ((bid_size - ask_size) / (bid_size + ask_size)).alias("imbalance")
