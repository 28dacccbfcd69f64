"""Exports a small and a large catalog in every format, and prints the peak memory in KiB after either."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from cift.data.catalog import Catalog
from cift.data.exporters import FORMATS
from tests.data.corruption_child import peak_kib
from tests.data.market import ABC, MONDAY_NS, SYMBOL, QuickDisk, make

ROWS = 131_072


def filled(folder: Path, groups: int) -> Catalog:
    catalog = Catalog(folder, disk=QuickDisk())
    one = make("quotes", ROWS, start_ns=MONDAY_NS, gap_ns=2_000)
    span = int(one["ts_event"][-1]) - MONDAY_NS + 1
    moved = ({**one, "ts_event": one["ts_event"] + n * span, "ts_recv": np.full(ROWS, -(2**63))} for n in range(groups))
    catalog.write("quotes", SYMBOL, moved, ABC)
    return catalog


def main(folder: Path) -> None:
    small, large = filled(folder / "small", 8), filled(folder / "large", 40)
    for catalog in (small, large):
        for name in FORMATS:
            catalog.export(folder / "out", format=name, overwrite=True)
        print(peak_kib(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
