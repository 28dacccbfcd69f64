"""Features of several levels of a book.

A row holds the book from then on, level by level, in numbered columns: `bid_price_0, bid_size_0, ask_price_0, ask_size_0`
the best, `bid_price_1` the next, and so on. (Plain columns, because polars, Parquet and DuckDB read some of them without the
others, which lists do not allow.) A level that is not there is null and counts as empty.
"""

from __future__ import annotations

from typing import Literal, get_args

import polars as pl

from cift.errors import InvalidParameter

Side = Literal["bid", "ask"]
SIDES: tuple[str, ...] = get_args(Side)


def _levels(levels: int) -> int:
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
        raise InvalidParameter(f"levels must be a whole number of at least 1, not {levels!r}")
    return levels


def _sizes(side: str, levels: int) -> list[pl.Expr]:
    return [pl.col(f"{side}_size_{level}").fill_null(0.0) for level in range(levels)]


def _sum(terms: list[pl.Expr]) -> pl.Expr:
    """The sum from the first to the last, in this order: floats then give one answer on every machine."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def depth_imbalance(levels: int = 5) -> pl.Expr:
    """How much more stands on the first `levels` bids than on as many asks, as a part of both: -1 to 1.

    NaN where nothing stands on either side.

    Args:
        levels: how many, at least 1.

    Raises:
        InvalidParameter: where `levels` is no whole number of at least 1.

    Source: the definition; Cao, Hansch and Wang (2009), "The information content of an open limit-order book", J. Futures
    Markets 29(1).
    """
    bids, asks = (_sum(_sizes(side, _levels(levels))) for side in SIDES)
    return ((bids - asks) / (bids + asks)).alias("depth_imbalance")


def depth_slope(side: Side, levels: int = 5) -> pl.Expr:
    """How fast size adds up away from the mid, in units per unit of currency: a steep book resists.

    Over the first `levels` levels of one side, the least-squares line through the origin of the size up to a level (that
    level's included) against the distance of its price from the mid: sum(distance * size) / sum(distance ** 2). NaN where
    no level is there or all lie at the mid; null where one of the best prices is missing.

    Args:
        side: "bid" or "ask".
        levels: how many, at least 1.

    Raises:
        InvalidParameter: where an argument is none of these.

    Source: the definition; the slope of a book as a feature, Naes and Skjeltorp (2006), "Order book characteristics and the
    volume-volatility relation", J. Financial Markets 9(4), who regress on relative distance.
    """
    if side not in SIDES:
        raise InvalidParameter(f"side must be 'bid' or 'ask', not {side!r}")
    mid = (pl.col("bid_price_0") + pl.col("ask_price_0")) / 2
    cumulative = pl.lit(0.0)
    products, squares = [], []
    for level, size in enumerate(_sizes(side, _levels(levels))):
        price = pl.col(f"{side}_price_{level}")
        distance = mid - price if side == "bid" else price - mid
        cumulative = cumulative + size
        # A level that is not there is no point of the line; one whose mid is unknown leaves no line.
        there = price.is_not_null() | mid.is_null()
        products.append(pl.when(there).then(distance * cumulative).otherwise(0.0))
        squares.append(pl.when(there).then(distance * distance).otherwise(0.0))
    return (_sum(products) / _sum(squares)).alias(f"{side}_slope")
