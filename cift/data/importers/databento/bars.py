"""Bars of a DBN file (ohlcv-1s, 1m, 1h, 1d)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cift.data.columns import Array, RawColumns
from cift.data.importers.databento.file import Source, prices
from cift.data.importers.databento.symbols import Held, by_symbol
from cift.domain.bar_spec import BarSpec
from cift.domain.schemas import NO_TIME_NS, PRICE_COLUMNS


def bar_batches(source: Source, held: Held) -> Iterator[tuple[Array, RawColumns]]:
    """Batches of one symbol's bars, with the number of each in the file.

    The vendor stamps a bar with its beginning; ours is known at its end, a length later. It tells neither a count nor a mean price.
    """
    assert source.kind is not None
    assert source.kind.spec is not None
    length_ns = int(BarSpec.parse(source.kind.spec).threshold)
    for first_row, records in source.records():
        mask = dict(by_symbol(source, records)).get(held.raw_symbol)
        if mask is None:
            continue
        rows, records = np.flatnonzero(mask) + first_row, records[mask]
        opened = records["ts_event"].view("i8")
        nothing = np.full(len(records), NO_TIME_NS, dtype=np.int64)
        columns: RawColumns = {"ts_open": opened.copy(), "ts_event": opened + length_ns, "sequence": nothing, "count": nothing}
        columns |= {name: prices(records[name]) for name in PRICE_COLUMNS["bars"]}
        columns["volume"] = records["volume"].astype(np.float64)
        columns["vwap"] = np.full(len(records), np.nan)
        yield rows, columns
