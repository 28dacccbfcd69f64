"""A finished bar, and a stream of them, as a strategy sees them."""

from __future__ import annotations

from dataclasses import dataclass

from cift.domain.bar_spec import BarSpec


@dataclass(frozen=True, slots=True)
class Bar:
    """Open, high, low and close in currency, volume in units; times in nanoseconds since the epoch, UTC.

    `ts_event` is when it ended. `vwap` is None where nothing traded, as in bars of quotes; `count` is the number of prints or
    quotes in it.
    """

    symbol: str
    spec: str
    ts_open: int
    ts_event: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    count: int
    vwap: float | None


class Bars:
    """The bars of one instrument by one spec, as `self.bars(...)` returns them in a strategy's `setup`.

    Attributes:
        symbol: the instrument.
        spec: what ends a bar.
        on: the price that they are made of: "price", "bid", "ask" or "mid".
        last: the bar that reached the strategy last; None before the first.
    """

    def __init__(self, symbol: str, spec: BarSpec, on: str) -> None:
        self.symbol, self.spec, self.on = symbol, spec, on
        self.last: Bar | None = None

    def __repr__(self) -> str:
        return f"<bars {self.spec.name} of {self.symbol} by {self.on}: {self.last}>"
