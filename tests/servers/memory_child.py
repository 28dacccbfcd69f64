"""Runs a strategy over a table of a server and prints the rows that it saw and by how much memory grew: `memory_child.py URL SYMBOL`.

The same run over a few rows comes first, so that what imports and first calls take is not counted.
"""

from __future__ import annotations

import resource
import sys

import cift


class Waits(cift.Strategy):
    """Sees every print pass and does nothing: what grows is what was read."""


def peak_bytes() -> int:
    """The most memory that the process held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(url: str, symbol: str) -> None:
    server = cift.QuestDB(url)
    few = server.ticks(symbol, "2026-01-05T00:00", "2026-01-05T00:10")
    cift.Backtest(few, Waits, equity_every="1h").run()
    before = peak_bytes()
    result = cift.Backtest(server.ticks(symbol), Waits, equity_every="1h").run()
    print(
        sum(result.record.rows.values()) if isinstance(result.record.rows, dict) else result.record.rows, peak_bytes() - before
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
