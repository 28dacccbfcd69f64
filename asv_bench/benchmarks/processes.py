"""Fresh processes and old ones: how long until the first event, and what a process holds after many runs."""

from __future__ import annotations

import statistics
import sys
import time

from .measuring import in_fresh_process, unit

COMMON = """
import sys, time
import cift
from cift.indicators import EMA

class EmaCross(cift.Strategy):
    fast: int = cift.param(10)
    slow: int = cift.param(30)

    def setup(self):
        quick, calm = self.indicator(EMA(self.fast), on="mid"), self.indicator(EMA(self.slow), on="mid")
        self.when(quick.crosses_above(calm), self.go_long)
        self.when(quick.crosses_below(calm), self.go_short)

    def on_start(self):
        # Called at the first event. The clock is that of the process which started this one.
        if not starts:
            starts.append(time.time() - float(sys.argv[1]))

    def go_long(self):
        self.target(+100)

    def go_short(self):
        self.target(-100)

starts = []
backtest = cift.Backtest(cift.Catalog("catalog").ticks("BENCH.SIM", "2026-01-05"), EmaCross)
"""
FIRST_RUN = (
    COMMON
    + """
result = backtest.run(progress=False)
result.stats
print(starts[0], time.time() - float(sys.argv[1]))
"""
)
MANY_RUNS = (
    COMMON
    + """
import os

for _ in range(int(sys.argv[2])):
    backtest.run(progress=False)
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
"""
)
EVENTS = 20_000


class Process:
    """The front page on a day of 20,000 events; compiled indicators are in the cache of the machine."""

    def setup_cache(self) -> None:
        """Makes the market, and fills the cache of compiled code."""
        import cift
        from cift.data.demo import generate

        generate(cift.Catalog("catalog"), "BENCH.SIM", "2026-01-05", EVENTS, seed=6)
        in_fresh_process(FIRST_RUN, str(time.time()))

    def _first_runs(self) -> list[list[float]]:
        return [in_fresh_process(FIRST_RUN, str(time.time())) for _ in range(5)]

    @unit("s")
    def track_until_first_event(self) -> float:
        """From the start of the interpreter to the first event, median of five processes."""
        return statistics.median(first for first, _ in self._first_runs())

    @unit("s")
    def track_until_figures(self) -> float:
        """From the start of the interpreter to the figures of the run."""
        return statistics.median(figures for _, figures in self._first_runs())


class Runs:
    """One process that runs again and again."""

    params = (50, 250)
    param_names = ("runs",)

    def setup_cache(self) -> None:
        """Makes the market."""
        Process.setup_cache(Process())

    @unit("bytes")
    def track_resident_memory(self, runs: int) -> float:
        """Resident memory after so many runs: the second figure is to be the first."""
        if not sys.platform.startswith("linux"):
            raise NotImplementedError("resident memory is read from /proc")
        (resident,) = in_fresh_process(MANY_RUNS, str(time.time()), str(runs))
        return resident
