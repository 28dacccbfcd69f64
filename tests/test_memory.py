"""A run holds a few chunks in memory, whatever the length of its data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GIB_KB = 1 << 20

LONG_RUN = """
import sys
import cift
from cift import _sim
from cift.data.view import Ticks
from cift.domain.chunk import Chunk
from cift.domain.instrument import Instrument

EVENTS = int(sys.argv[1])
DAY = 86_400 * 10**9

class Generated:
    symbol, schema, content_hash = "DEMO.SIM", "mbo", "generated"
    instrument = Instrument("DEMO.SIM", tick_size="0.01", lot_size=1)

    def chunks(self, rows):
        market = _sim.Market(seed=5, events=EVENTS, start_ns=0, end_ns=30 * DAY, price_ticks=10_000, tick=(1, 100), lot=(1, 1))
        while (columns := market.chunk(rows)) is not None:
            yield Chunk("mbo", columns, len(columns["ts_event"]))

class Idle(cift.Strategy):
    pass

view = Ticks((Generated(),), ("DEMO.SIM",), level="L3")
result = cift.Backtest(view, Idle, equity_every="1m").run(progress=False)
rows = sum(result.record.rows.values())
assert rows >= EVENTS, rows
# Not getrusage: that figure still holds what the parent had when it forked.
status = open('/proc/self/status').read()
print(next(line.split()[1] for line in status.splitlines() if line.startswith('VmHWM')))
"""


def peak_kb(events: int) -> int:
    """Peak resident memory of a process that runs over that many generated events."""
    done = subprocess.run(
        [sys.executable, "-c", LONG_RUN, str(events)], cwd=ROOT, capture_output=True, text=True, timeout=1_800, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_four_times_the_data_takes_the_same_memory(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = peak_kb(500_000), peak_kb(2_000_000)
    with capsys.disabled():
        print(f"\npeak memory: {small / 1024:.0f} MiB at 0.5 M events, {large / 1024:.0f} MiB at 2 M")
    assert large < small + 32 * 1024, "memory grows with the data"
    assert large < GIB_KB


@pytest.mark.nightly
def test_a_hundred_million_events_stay_under_a_gibibyte(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = peak_kb(10_000_000), peak_kb(100_000_000)
    with capsys.disabled():
        print(f"\npeak memory: {small / 1024:.0f} MiB at 10 M events, {large / 1024:.0f} MiB at 100 M")
    assert large < small + 32 * 1024, "memory grows with the data"
    assert large < GIB_KB
