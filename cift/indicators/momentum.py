"""How fast a price has been moving."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, Literal, NamedTuple

from cift.errors import InvalidParameter
from cift.indicators.averages import EMA
from cift.indicators.kernel import Indicator, Plan, whole_number

LINES: Final = ("macd", "signal", "histogram")


class RsiState(NamedTuple):
    """The value before, the averages of rises and falls (their sums, until there are `n` of them), and the rows so far."""

    last: float
    rise: float
    fall: float
    seen: int


def rsi(state: RsiState, x: float, n: int) -> tuple[RsiState, float]:
    """The share of rises in all moves, both smoothed by Wilder's average."""
    seen = state.seen
    if seen == 0:
        return RsiState(x, 0.0, 0.0, 1), 0.0
    change = x - state.last
    up = change if change > 0.0 else 0.0
    down = -change if change < 0.0 else 0.0
    if seen <= n:
        rise, fall = state.rise + up, state.fall + down
        if seen == n:
            rise, fall = rise / n, fall / n
        seen += 1
    else:
        rise, fall = (state.rise * (n - 1) + up) / n, (state.fall * (n - 1) + down) / n
    moves = rise + fall
    value = 100.0 * (rise / moves) if moves > 0.0 else 0.0
    return RsiState(x, rise, fall, seen), value


class RSI(Indicator):
    """Relative strength index: 100 times the share of rises in all moves, each smoothed with weight 1 / n.

    Between 0 and 100; 0 where nothing has moved, as TA-Lib has it. The first value, at row `n`, is made of the plain means of the
    first `n` changes.

    Args:
        n: length, at least 1.

    Raises:
        InvalidParameter: where `n` is no whole number of at least 1.

    Source: J. W. Wilder (1978), "New Concepts in Technical Trading Systems"; warm-up and the flat case as in TA-Lib's RSI.
    """

    update = staticmethod(rsi)

    def __init__(self, n: int = 14) -> None:
        self.n = whole_number("RSI", "n", n, low=1)
        self.on = "mid"
        self._arguments = (self.n,)
        self.lookback = self.n
        # (1 - 1 / n) ** m < exp(-m / n) <= 1e-10 from m = 23.03 n on: one digit more than asked, for the quotient.
        self.memory = self.lookback + -(-self.n * 2_303 // 100)

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (floats, whatever the grid)
        """See `Indicator.plan`."""
        return Plan(RsiState(0.0, 0.0, 0.0, 0), (self.n,), (None,))


class MacdState(NamedTuple):
    """The two averages and that of their difference (sums, while they are seeded), and the rows so far."""

    quick: float
    calm: float
    signal: float
    seen: int


def macd(
    state: MacdState, x: float, lengths: int, line: int, quick: float, calm: float, weight: float
) -> tuple[MacdState, float]:
    """The averages of this row. `lengths` holds fast, slow and signal, each in 20 bits; a signal of 0 seeds with the first."""
    fast, slow, seeds = lengths & 0xFFFFF, lengths >> 20 & 0xFFFFF, lengths >> 40
    seen = state.seen + 1
    if seeds == 0:
        fast_mean = x if seen == 1 else state.quick + quick * (x - state.quick)
        slow_mean = x if seen == 1 else state.calm + calm * (x - state.calm)
        seeds = 1
    else:
        # Both begin in one row: the fast one is seeded with the last values before it.
        if seen > slow:
            fast_mean = state.quick + quick * (x - state.quick)
            slow_mean = state.calm + calm * (x - state.calm)
        else:
            fast_mean = state.quick + x if seen > slow - fast else 0.0
            slow_mean = state.calm + x
            if seen == slow:
                fast_mean, slow_mean = fast_mean / fast, slow_mean / slow
    difference = fast_mean - slow_mean
    known = seen - slow + 1
    signal = 0.0
    if known > seeds:
        signal = state.signal + weight * (difference - state.signal)
    elif known >= 1:
        signal = state.signal + difference
        if known == seeds:
            signal = signal / seeds
    value = difference if line == 0 else signal if line == 1 else difference - signal
    # No more rows are counted than the lengths need.
    return MacdState(fast_mean, slow_mean, signal, min(seen, slow + seeds)), value


class MACD(Indicator):
    """Moving average convergence and divergence: a fast EMA less a slow one, its own EMA, and the difference of the two.

    In the units of the column.

    Args:
        fast, slow: lengths of the averages, fast below slow.
        signal: length of the average of their difference.
        line: "macd", "signal" or "histogram".
        seed: "sma": as TA-Lib's MACD, all lines from row slow + signal - 2 on; "first": averages from the first value and lines
            from row slow - 1 on (Tulip, for lengths other than 12 and 26).

    Raises:
        InvalidParameter: where one of them is none of these.

    Source: G. Appel (1979), "The Moving Average Convergence-Divergence Trading Method"; seeding as in TA-Lib's MACD.
    """

    update = staticmethod(macd)

    def __init__(
        self,
        fast: int = 12,
        slow: int = 26,
        signal: int = 9,
        line: Literal["macd", "signal", "histogram"] = "macd",
        seed: Literal["sma", "first"] = "sma",
    ) -> None:
        self.fast, self.slow, self.signal = (
            whole_number("MACD", name, value, low=1) for name, value in (("fast", fast), ("slow", slow), ("signal", signal))
        )
        if self.fast >= self.slow:
            raise InvalidParameter(f"MACD: fast must be below slow, not {fast!r} and {slow!r}")
        if max(self.slow, self.signal) >= 1 << 20:
            raise InvalidParameter(f"MACD: lengths must be below {1 << 20:,}, not {max(self.slow, self.signal):,}")
        if line not in LINES:
            raise InvalidParameter(f"MACD: line must be one of {', '.join(LINES)}, not {line!r}")
        if seed not in ("sma", "first"):
            raise InvalidParameter(f"MACD: seed must be 'sma' or 'first', not {seed!r}")
        self.line, self.seed = line, seed
        self.on = "mid"
        self._arguments = (self.fast, self.slow, self.signal, line, seed)
        self.lookback = self.slow - 1 + (self.signal - 1 if seed == "sma" else 0)
        # What the slow average has forgotten, the signal has still to forget; twice, since the difference may be small.
        self.memory = 2 * ((EMA(self.slow, "first").memory or 0) + (EMA(self.signal, "first").memory or 0))

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (floats, whatever the grid)
        """See `Indicator.plan`."""
        lengths = self.fast | self.slow << 20 | (self.signal if self.seed == "sma" else 0) << 40
        weights = (2.0 / (length + 1) for length in (self.fast, self.slow, self.signal))
        return Plan(MacdState(0.0, 0.0, 0.0, 0), (lengths, LINES.index(self.line), *weights), (None,))
