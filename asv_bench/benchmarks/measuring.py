"""How benchmarks take a time. Not a benchmark itself."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def unit(text: str) -> Callable[[Any], Any]:
    """Names the unit of a `track_` benchmark. Less must be better, or `make bench-compare` would take a gain for a loss."""

    def named(function: Any) -> Any:
        function.unit = text
        return function

    return named


def seconds(*works: Callable[[], object], repeat: int = 5, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Median seconds of each work. They take turns, so that what else the machine does falls on all of them.

    Args:
        works: what to time.
        repeat: how often each.
        clock: `time.process_time` for work of one thread: the same on an idle machine, and steadier on a busy one.
    """
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeat):
        for times, work in zip(taken, works, strict=True):
            gc.collect()
            start = clock()
            work()
            times.append(clock() - start)
    return [statistics.median(times) for times in taken]


def one_call_us(call: Callable[[], object], calls: int = 10_000) -> float:
    """Median microseconds of one call among many, the clock taken off: what a caller sees, not what a loop amortises."""
    clock = time.perf_counter_ns
    itself = statistics.median(-(clock() - clock()) for _ in range(10_000))
    for _ in range(calls // 10):
        call()
    taken = []
    for _ in range(calls):
        start = clock()
        call()
        taken.append(clock() - start)
    return (statistics.median(taken) - itself) / 1e3


def in_fresh_process(script: str, *arguments: str) -> list[float]:
    """The numbers that a script prints, in a process of its own."""
    process = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return [float(word) for word in process.stdout.split()]
