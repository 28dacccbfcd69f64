"""A moving average cross: the strategy of the front page.

Run it:  cift run strategies/ema_cross.py:EmaCross --data demo -p fast=10 -p slow=30 --latency 250us --taker-bps 0.5
"""

import cift
from cift.indicators import EMA


class EmaCross(cift.Strategy):
    """Long while the fast average of the mid price is above the slow one, short while it is below."""

    fast: int = cift.param(10, low=2, high=50, help="updates of the mid that the fast average remembers")
    slow: int = cift.param(50, low=10, high=200, help="updates that the slow one remembers")

    def setup(self) -> None:
        """Declares both averages and what their crossings call."""
        quick, calm = self.indicator(EMA(self.fast), on="mid"), self.indicator(EMA(self.slow), on="mid")
        self.when(quick.crosses_above(calm), self.go_long)
        self.when(quick.crosses_below(calm), self.go_short)

    def go_long(self) -> None:
        """Brings the position to +100 units."""
        self.target(+100)

    def go_short(self) -> None:
        """Brings the position to -100 units."""
        self.target(-100)
