"""The front page: `Backtest` runs a strategy over a data view, `Result` is what comes back."""

from cift.backtest.backtest import Backtest
from cift.backtest.result import Result, load
from cift.sim.venue import Fees, Latency, Venue

__all__ = ["Backtest", "Fees", "Latency", "Result", "Venue", "load"]
