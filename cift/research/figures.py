"""Figures of returns, equity and trades, each a function of plain arrays."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cift.core import calculate_sharpe

Floats: TypeAlias = NDArray[np.float64]
Times: TypeAlias = NDArray[np.int64]


def sharpe(returns: Floats, periods_per_year: float) -> float | None:
    """Mean return over its standard deviation (ddof=1), times the square root of the periods in a year.

    The risk-free rate is 0. NaN is no observation. None below two observations and where all returns are equal.

    Source: Sharpe (1994), "The Sharpe Ratio", J. Portfolio Management 21(1); equal to quantstats and empyrical.
    """
    return calculate_sharpe(returns, periods_per_year)


def geometric_mean(returns: Floats) -> float | None:
    """The constant return a period that compounds to the same total; None without returns or after a loss of 100 %."""
    if len(returns) == 0 or returns.min() <= -1:
        return None
    return float(np.exp(np.log1p(returns).sum() / len(returns)) - 1)


def annualised_return(returns: Floats, periods_per_year: float) -> float | None:
    """Compounded return a year, as a fraction: (1 + geometric mean) ** periods - 1."""
    mean = geometric_mean(returns)
    return None if mean is None else float((1 + mean) ** periods_per_year - 1)


def annualised_volatility(returns: Floats, periods_per_year: float) -> float | None:
    """Standard deviation of a year's compounded return, as a fraction.

    sqrt((variance + (1 + g)^2)^n - (1 + g)^(2 n)), with g the geometric mean, n the periods and the variance at ddof=1.

    Source: Tobin (1965) as used by backtesting.py; see https://dx.doi.org/10.2139/ssrn.3054517.
    """
    mean = geometric_mean(returns)
    if mean is None or len(returns) < 2:
        return None
    growth = (1 + mean) ** 2
    variance = float(returns.var(ddof=1))
    return math.sqrt(max((variance + growth) ** periods_per_year - growth**periods_per_year, 0.0))


def downside_deviation(returns: Floats, periods_per_year: float) -> float | None:
    """Root mean square of the losing periods (winners count as 0), annualised; None where nothing was lost."""
    if len(returns) == 0 or returns.min() >= 0:
        return None
    return float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2)) * math.sqrt(periods_per_year))


def beta(returns: Floats, market_returns: Floats) -> float | None:
    """Slope of the returns on the market's; None below two pairs and where the market stood still."""
    if len(returns) < 2 or market_returns.min() == market_returns.max():
        return None
    return float(np.cov(returns, market_returns)[0, 1] / market_returns.var(ddof=1))


class Drawdowns(NamedTuple):
    """Episodes below an earlier peak, in order: depth as a positive fraction of the peak, and length in ns."""

    depth: Floats
    duration_ns: Times


def drawdowns(ts_ns: Times, equity: Floats) -> Drawdowns:
    """Every stretch of rows below the running peak, from the peak's row to the row that reaches it again.

    The last episode ends with the last row if it has not recovered by then. Rows whose running peak is not positive
    belong to no episode: a share of nothing is not a number.
    """
    peak = np.maximum.accumulate(equity)
    depth = np.divide(peak - equity, peak, out=np.zeros_like(equity), where=peak > 0)
    below = np.concatenate(([False], depth > 0, [False]))
    edges = np.flatnonzero(below[1:] != below[:-1])
    first, after = edges[::2], edges[1::2]
    if len(first) == 0:
        return Drawdowns(np.empty(0), np.empty(0, np.int64))
    # A run of zeros between two episodes would join the earlier one here, and adds nothing to its maximum.
    deepest = np.maximum.reduceat(depth, first)
    return Drawdowns(deepest, ts_ns[np.minimum(after, len(ts_ns) - 1)] - ts_ns[first - 1])


def mean_and_error(clusters: Floats, counts: Floats) -> tuple[float, float | None]:
    """Mean an item and its standard error, from sums over clusters of items that are not independent.

    With one item in each cluster this is the usual deviation / sqrt(n). The error is None below two clusters.

    Args:
        clusters: sum over the items of each cluster.
        counts: number of items in each cluster.

    Source: Cochran (1977), "Sampling Techniques", 3rd ed., section 6.3 (the ratio estimator).
    """
    total = counts.sum()
    mean = float(clusters.sum() / total)
    n = len(clusters)
    if n < 2:
        return mean, None
    residual = clusters - mean * counts
    return mean, float(math.sqrt((residual @ residual) * n / (n - 1)) / total)
