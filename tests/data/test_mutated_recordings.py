"""Recordings and books that are damaged end in a typed error, or in what is still whole; a long one in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

CHILD = Path(__file__).with_name("recordings_child.py")
ROOT = Path(__file__).parents[2]
MUTATIONS = 400
BYTES_PER_ROW = 66
"""Of levels as raw columns, with their row numbers."""


def test_damage_is_told_and_memory_is_bounded(tmp_path):
    child = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path), str(MUTATIONS)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.returncode == 0, child.stdout[-300:] + child.stderr
    lines = [line.split(" ", 1) for line in child.stdout.splitlines()]
    told = {name: int(value) for name, value in lines if name in ("bytes", "rows", "grew")}
    outcomes = Counter(outcome for name, outcome in lines if name not in told)
    assert sum(outcomes.values()) == MUTATIONS
    # Nothing protects a plain text: another digit may be taken for what was written.
    assert 50 < outcomes.pop("stored") < MUTATIONS // 2
    assert outcomes.keys() <= {
        "DataError",
        "CorruptData",
        "NoData",
        "TimeOrder",
        "OffTickPrice",
        "NotSupported",
        "InvalidParameter",
    }
    assert told["rows"] == 2_200_001
    # It is about 60 MB for any number of rows.
    assert told["grew"] * 1024 < told["rows"] * BYTES_PER_ROW * 2 / 3
