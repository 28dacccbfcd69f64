"""Moving averages."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cift.errors import InvalidParameter
from cift.indicators.kernel import Indicator, Plan, whole_number
from cift.indicators.windows import empty_window, scale_of, slid


class EmaState(NamedTuple):
    """The average so far; the sum, while `seen` values are fewer than its seeds."""

    value: float
    seen: int


def ema(state: EmaState, x: float, seeds: int, weight: float) -> tuple[EmaState, float]:
    """The sum of the first `seeds` values until it becomes their mean, then the recursion from that mean."""
    seen = state.seen
    if seen >= seeds:
        value = state.value + weight * (x - state.value)
    else:
        seen += 1
        value = state.value + x
        if seen == seeds:
            value = value / seeds
    return EmaState(value, seen), value


class EMA(Indicator):
    """Exponential moving average with weight 2 / (n + 1), in the units of its column.

    On a constant column it is exactly that constant once it has reached it. Each value reads this row and those before.

    Args:
        n: length, at least 1.
        seed: "sma" begins with the mean of the first `n` values, at row n - 1 (TA-Lib); "first" with the first value,
            at row 0 (pandas `ewm(adjust=False)`, Tulip).

    Raises:
        InvalidParameter: where `n` is no whole number of at least 1, or `seed` is something else.

    Source: J. S. Hunter (1986), "The Exponentially Weighted Moving Average", J. Quality Technology 18(4); seeding and
    form of the recursion as in TA-Lib's EMA.
    """

    update = staticmethod(ema)

    def __init__(self, n: int, seed: Literal["sma", "first"] = "sma") -> None:
        self.n = whole_number("EMA", "n", n, low=1)
        if seed not in ("sma", "first"):
            raise InvalidParameter(f"EMA: seed must be 'sma' or 'first', not {seed!r}")
        self.seed = seed
        self.on = "mid"
        self._arguments = (self.n,) if seed == "sma" else (self.n, seed)
        self.lookback = self.n - 1 if seed == "sma" else 0
        # (1 - 2 / (n + 1)) ** m < exp(-2 m / (n + 1)) <= 1e-9 from m = (n + 1) * ln(1e9) / 2 on; ln(1e9) / 2 < 10.3617.
        self.memory = self.lookback + -(-(self.n + 1) * 103_617 // 10_000)

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (floats, whatever the grid)
        """See `Indicator.plan`."""
        seeds = self.n if self.seed == "sma" else 1
        return Plan(EmaState(0.0, 0), (seeds, 2.0 / (self.n + 1)), (None,))


class SmaState(NamedTuple):
    """The last values (in ticks, where they have some), where the next one goes, and their sum."""

    block: NDArray[np.int64] | NDArray[np.float64]
    position: int
    total: int | float


def sma(state: SmaState, x: float, numerator: float, denominator: float) -> tuple[SmaState, float]:
    """The sum of the window, as a price by one division."""
    position, total, window = slid(state.block, state.position, state.total, x)
    return SmaState(state.block, position, total), window * numerator / denominator


class SMA(Indicator):
    """Mean of the last `n` values, in the units of its column; TA-Lib's first row, n - 1.

    With `tick=` (a strategy passes it) the sum is an exact integer and two averages that are equal compare equal.
    Without it the sum is float64 in a fixed order that forgets what has left the window, and ties may fall either way.

    Args:
        n: length, at least 1.

    Raises:
        InvalidParameter: where `n` is no whole number of at least 1.
        OffTickPrice: from a column, where a value does not lie on the tick given.

    Source: the definition; warm-up as in TA-Lib's SMA.
    """

    update = staticmethod(sma)

    def __init__(self, n: int) -> None:
        self.n = whole_number("SMA", "n", n, low=1)
        self.on = "mid"
        self._arguments = (self.n,)
        self.lookback = self.n - 1
        self.memory = self.n

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (one column, one step)
        """See `Indicator.plan`: the window in whole ticks, where the tick is known."""
        block, total = empty_window(self.n, exact=tick is not None)
        return Plan(SmaState(block, 0, total), scale_of(tick, self.n), (tick,))
