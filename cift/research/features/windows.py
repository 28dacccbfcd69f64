"""Features over the last n rows.

Sums are those of the kernel of `cift.indicators.SMA`: added in the order that the same window has inside a strategy,
whichever engine of polars runs, and with nothing left of what has left the window (the running sum of polars keeps some of its
rounding). Where a step is known, sums are taken of whole steps, which any order gives alike.

As everywhere in the indicators, a row with null or NaN is no observation: it is NaN, and windows pass over it; so are the
rows before the first full window.

Windows count rows. A window of time by `rolling(...)` of polars holds *all* rows of its last nanosecond, also those that stand
behind the row: it would see the future wherever two rows share a time.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Literal

import polars as pl

from cift.data.division import divided
from cift.domain.instrument import Number, to_decimal
from cift.errors import InvalidParameter
from cift.indicators import SMA
from cift.indicators.kernel import Plan
from cift.research.features.quotes import Column, column


class StepSum(SMA):
    """The sum of the last `n` values, in whole steps where a step is given; exact below 2**53 of them."""

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:
        """See `Indicator.plan`: the window of a mean, not divided."""
        made = super().plan(tick, lot)
        return Plan(made.start, (1.0, 1.0), made.steps)


def checked_window(window: int, low: int = 1) -> int:
    """`window` itself.

    Raises:
        InvalidParameter: where it is no whole number of at least `low`.
    """
    if isinstance(window, bool) or not isinstance(window, int) or window < low:
        raise InvalidParameter(f"window must be a whole number of rows of at least {low}, not {window!r}")
    return window


def summed(expression: pl.Expr, window: int, step: Number | None = None) -> pl.Expr:
    """The sum of the last `window` values, in steps where there are some."""
    made: pl.Expr = StepSum(window).expr(expression, tick=step)
    return made


def in_steps(expression: pl.Expr, step: Number) -> pl.Expr:
    """Values as whole numbers of a step, still floats; each is checked to be one."""
    return summed(expression, 1, step)


def fraction_of(name: str, step: Number) -> Fraction:
    """A step as a fraction.

    Raises:
        InvalidParameter: where it is not a positive number.
    """
    fraction = Fraction(to_decimal(step, name))
    if fraction <= 0:
        raise InvalidParameter(f"{name} must be positive, not {step!r}")
    return fraction


def quotient(expression: pl.Expr, by: float) -> pl.Expr:
    """A column divided by one number, each quotient rounded once; see `cift.data.division`."""
    return expression.map_batches(partial(divided, by=by), return_dtype=pl.Float64, is_elementwise=True)


def in_units(steps: pl.Expr, step: Fraction) -> pl.Expr:
    """Whole steps in natural units, by one division."""
    return quotient(steps * float(step.numerator), float(step.denominator))


def rolling_sum(expression: pl.Expr, window: int, step: Number | None) -> pl.Expr:
    """The sum of the last `window` rows in natural units."""
    total = summed(expression, checked_window(window), step)
    return total if step is None else in_units(total, fraction_of("lot", step))


def vwap(
    window: int,
    *,
    price: Column = "price",
    size: Column = "size",
    tick: Number | None = None,
    lot: Number | None = None,
) -> pl.Expr:
    """Mean price of the last `window` prints by their size, in currency; NaN of size 0.

    Args:
        window: number of prints, at least 1.
        price, size: columns.
        tick, lot: the steps on which they lie. With both, value and volume are summed in whole steps and divided once;
            without, they are summed as float64 in a fixed order.

    Raises:
        InvalidParameter: where `window` is no whole number of at least 1, or one step is given without the other.
        OffTickPrice: when it is computed, where a value does not lie on its step.
    """
    price, size = column(price), column(size)
    window = checked_window(window)
    if (tick is None) != (lot is None):
        raise InvalidParameter("vwap takes tick= and lot= together: value is exact where both are whole numbers")
    if tick is not None and lot is not None:
        price, size = in_steps(price, tick), in_steps(size, lot)
    value = price * size
    # Both windows pass over the same rows.
    size = pl.when(value.is_not_nan()).then(size)
    values, sizes = (summed(one, window, None if tick is None else 1) for one in (value, size))
    if tick is not None:
        step = fraction_of("tick", tick)
        values, sizes = values * float(step.numerator), sizes * float(step.denominator)
    return (values / sizes).alias("vwap")


def realised_volatility(window: int, *, price: Column = "mid", returns: Literal["log", "simple"] = "log") -> pl.Expr:
    """Root of the sum of squared returns over the last `window` changes from row to row; not annualised.

    Args:
        window: number of returns, at least 1; the first value is at row `window`.
        price: column of prices.
        returns: "log", as the source has it; the logarithm is the platform's, whose last bit may differ between machines.
            "simple": p / p_before - 1, the same bits everywhere.

    Raises:
        InvalidParameter: where an argument is none of these.

    Source: Andersen, Bollerslev, Diebold and Labys (2003), "Modeling and forecasting realized volatility", Econometrica
    71(2).
    """
    if returns not in ("log", "simple"):
        raise InvalidParameter(f"returns must be 'log' or 'simple', not {returns!r}")
    ratio = column(price) / column(price).shift(1)
    change = ratio.log() if returns == "log" else ratio - 1.0
    return summed(change.pow(2), checked_window(window)).sqrt().alias("realised_volatility")


def roll_spread(window: int, *, price: Column = "price", tick: Number | None = None) -> pl.Expr:
    """The spread that the bounce of prints between bid and ask implies, in currency, over the last `window` pairs of changes.

    2 * sqrt(-cov(change, change before)), the covariance over n; NaN where that is positive (a trend outweighs the bounce).

    Args:
        window: number of pairs of successive changes, at least 2; the first value is at row `window` + 1.
        price: column of prints.
        tick: the step on which prices lie; with it the covariance is exact.

    Raises:
        InvalidParameter: where `window` is no whole number of at least 2.
        OffTickPrice: when it is computed, where a price does not lie on the tick given.

    Source: R. Roll (1984), "A simple implicit measure of the effective bid-ask spread in an efficient market", J. Finance
    39(4).
    """
    window = checked_window(window, low=2)
    step = Fraction(1) if tick is None else fraction_of("tick", tick)
    change = (column(price) if tick is None else in_steps(column(price), tick)).diff()
    before = change.shift(1)
    product = change * before
    both = product.is_not_nan()
    terms = (product, pl.when(both).then(change), pl.when(both).then(before))
    sums = [summed(term, window, None if tick is None else 1) for term in terms]
    covariance = sums[0] * float(window) - sums[1] * sums[2]  # times window squared
    # No covariance is a spread of 0, not of -0.0.
    root = pl.when(covariance == 0).then(0.0).otherwise(-covariance).sqrt()
    return in_units(quotient(root * 2.0, float(window)), step).alias("roll_spread")
