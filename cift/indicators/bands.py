"""Bands around a moving average."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cift.errors import InvalidParameter
from cift.indicators.kernel import Indicator, Plan, whole_number
from cift.indicators.windows import empty_window, slid

BANDS: Final = ("middle", "upper", "lower", "width", "percent")


class BandState(NamedTuple):
    """A sliding sum as in `SMA`, and the values of the window themselves."""

    block: NDArray[np.int64] | NDArray[np.float64]
    position: int
    total: int | float
    values: NDArray[np.int64] | NDArray[np.float64]


def bollinger(
    state: BandState, x: float, deviations: float, band: int, numerator: float, denominator: float
) -> tuple[BandState, float]:
    """Mean and population deviation of the window, oldest value first, and the band that was asked for."""
    values = state.values
    values[state.position] = x
    position, total, window = slid(state.block, state.position, state.total, x)
    n = values.shape[0]
    mean = window / n
    squares = 0.0
    for i in range(n):
        off = values[(position + i) % n] - mean
        squares += off * off
    half = deviations * math.sqrt(squares / n)
    if band == 0:
        value = window * numerator / (denominator * n)
    elif band == 1:
        value = (mean + half) * numerator / denominator
    elif band == 2:
        value = (mean - half) * numerator / denominator
    elif band == 3:
        value = 2.0 * half / mean
    else:
        value = (x - (mean - half)) / (2.0 * half)
    return BandState(state.block, position, total, values), value


class Bollinger(Indicator):
    """Bollinger bands: the mean of the last `n` values, and `k` population deviations above and below it.

    In the units of the column, but for "width" (upper less lower, by the middle) and "percent" (0 at the lower band, 1 at the
    upper; NaN where all values of the window are equal). With `tick=` (a strategy passes it) the mean is an exact sum divided
    once, as in `SMA`.

    Args:
        n: length, at least 1.
        k: deviations, at least 0.
        band: "middle", "upper", "lower", "width" or "percent".

    Raises:
        InvalidParameter: where one of them is none of these.
        OffTickPrice: from a column, where a value does not lie on the tick given.

    Source: J. Bollinger (2001), "Bollinger on Bollinger Bands"; warm-up as in TA-Lib's BBANDS.
    """

    update = staticmethod(bollinger)

    def __init__(
        self, n: int = 20, k: float = 2.0, band: Literal["middle", "upper", "lower", "width", "percent"] = "middle"
    ) -> None:
        self.n = whole_number("Bollinger", "n", n, low=1)
        if isinstance(k, bool) or not isinstance(k, int | float | np.number) or not math.isfinite(k) or k < 0:
            raise InvalidParameter(f"Bollinger: k must be a number of at least 0, not {k!r}")
        if band not in BANDS:
            raise InvalidParameter(f"Bollinger: band must be one of {', '.join(BANDS)}, not {band!r}")
        self.k, self.band = float(k), band
        self.on = "mid"
        self._arguments = (self.n, self.k, band)
        self.lookback = self.n - 1
        self.memory = self.n

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (one column, one step)
        """See `Indicator.plan`: the window in whole ticks, where the tick is known."""
        block, total = empty_window(self.n, exact=tick is not None)
        step = Fraction(1) if tick is None else tick
        start = BandState(block, 0, total, np.zeros_like(block))
        return Plan(start, (self.k, BANDS.index(self.band), float(step.numerator), float(step.denominator)), (tick,))
