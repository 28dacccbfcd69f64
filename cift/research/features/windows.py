"""Features over the last n rows.

Floats are summed by the kernel of `cift.indicators.SMA`: in the order that the same window has inside a strategy, whichever
engine of polars runs, and with nothing left of what has left the window (the running sum of polars keeps some of its rounding).
Where a step is known, sums are taken of whole steps, which any order gives alike.

Windows count rows. A window of time by `rolling(...)` of polars holds *all* rows of its last nanosecond, also those that stand
behind the row: it would see the future wherever two rows share a time.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Literal

import numpy as np
import polars as pl

from cift.data.division import divided
from cift.domain.instrument import GRID_TOLERANCE, Number, to_decimal
from cift.errors import InvalidParameter, OffTickPrice
from cift.indicators import SMA
from cift.research.features.quotes import Column, column

ULPS_MAX = 8.9e-16
"""Four units in the last place: what a float may be off its step by, where that is more than a millionth of a step."""


def whole_steps(step: Fraction, name: str) -> Callable[[pl.Series], pl.Series]:
    """A function that turns a column into whole numbers of `step`; null and NaN become null.

    Raises (the function):
        OffTickPrice: naming the first row that does not lie on the step.
    """

    def counted(values: pl.Series) -> pl.Series:
        floats = values.cast(pl.Float64).to_numpy()
        exact = floats * float(step.denominator) / float(step.numerator)
        steps = np.rint(exact)
        # NaN is not beyond anything, so a missing value passes.
        off = np.abs(exact - steps) > np.maximum(GRID_TOLERANCE, ULPS_MAX * np.abs(exact))
        if off.any():
            row = int(np.flatnonzero(off)[0])
            raise OffTickPrice(
                f"row {row}: {name} {float(floats[row])!r} is not a whole number of steps of {float(step)}; pass the step on "
                "which all values lie, or none"
            )
        return pl.Series(values.name, steps, nan_to_null=True).cast(pl.Int64)

    return counted


def in_steps(expression: pl.Expr, step: Fraction, name: str) -> pl.Expr:
    """A column as whole numbers of a step, Int64."""
    return expression.map_batches(whole_steps(step, name), return_dtype=pl.Int64, is_elementwise=True)


def _step(name: str, value: Number) -> Fraction:
    step = Fraction(to_decimal(value, name))
    if step <= 0:
        raise InvalidParameter(f"{name} must be positive, not {value!r}")
    return step


def checked_window(window: int) -> int:
    """`window` itself.

    Raises:
        InvalidParameter: where it is no whole number of at least 1.
    """
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise InvalidParameter(f"window must be a whole number of rows of at least 1, not {window!r}")
    return window


def quotient(expression: pl.Expr, by: float) -> pl.Expr:
    """A column divided by one number, each quotient rounded once; see `cift.data.division`."""
    return expression.map_batches(partial(divided, by=by), return_dtype=pl.Float64, is_elementwise=True)


def scaled(steps: pl.Expr, step: Fraction) -> pl.Expr:
    """Whole steps in natural units, by one division."""
    return quotient(steps * float(step.numerator), float(step.denominator))


def rolling_sum(expression: pl.Expr, window: int, step: Number | None) -> pl.Expr:
    """The sum of the last `window` rows; null before the first full window, and where the window holds a missing value."""
    window = checked_window(window)
    if step is None:
        return _float_sum(expression, window)
    fraction = _step("lot", step)
    return scaled(in_steps(expression, fraction, "size").rolling_sum(window), fraction)


def _float_sum(expression: pl.Expr, window: int) -> pl.Expr:
    """By the kernel of SMA, which passes over missing values; here they make their windows null, as in whole steps."""
    known = expression.cast(pl.Float64).fill_nan(None)
    mean: pl.Expr = SMA(window).expr(known.fill_null(0.0))
    full = known.is_not_null().cast(pl.Int64).rolling_sum(window) == window
    return pl.when(full).then(mean * float(window))


def vwap(
    window: int,
    *,
    price: Column = "price",
    size: Column = "size",
    tick: Number | None = None,
    lot: Number | None = None,
) -> pl.Expr:
    """Mean price of the last `window` prints by their size, in currency; null before the first full window, NaN of size 0.

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
    if (tick is None) != (lot is None):
        raise InvalidParameter("vwap takes tick= and lot= together: value is exact where both are whole numbers")
    if tick is None or lot is None:
        checked_window(window)
        return (_float_sum(price * size, window) / _float_sum(size, window)).alias("vwap")
    step = _step("tick", tick)
    ticks, lots = in_steps(price, step, "price"), in_steps(size, _step("lot", lot), "size")
    value, volume = (ticks * lots).rolling_sum(checked_window(window)), lots.rolling_sum(window)
    return (value * float(step.numerator) / (volume * float(step.denominator))).alias("vwap")


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
    return _float_sum(change * change, checked_window(window)).sqrt().alias("realised_volatility")


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
    if checked_window(window) < 2:
        raise InvalidParameter("roll_spread needs a window of at least 2 pairs of changes, not 1")
    price = column(price)
    if tick is None:
        change = price.diff()
        before = change.shift(1)
        # Both means over the same pairs: those of which both changes are there.
        paired = pl.when(before.is_not_null()).then(change)
        mean = [quotient(_float_sum(one, window), window) for one in (change * before, paired, before)]
        return (2 * (mean[1] * mean[2] - mean[0]).sqrt()).alias("roll_spread")
    step = _step("tick", tick)
    change = in_steps(price, step, "price").diff()
    before = change.shift(1)
    paired = pl.when(before.is_not_null()).then(change)
    sums = [one.rolling_sum(window) for one in (change * before, paired, before)]
    covariance = sums[0] * window - sums[1] * sums[2]  # times window squared, exactly
    return scaled(quotient(2 * (-covariance).cast(pl.Float64).sqrt(), window), step).alias("roll_spread")
