"""The screen of bars, which have no flags: what is wrong with one is refused or set aside, the rest is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cift.data.columns import Array, RawColumns, length
from cift.data.report import Tally
from cift.data.screen import EARLIEST_NS, Screen, off_grid
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import NO_TIME_NS, PRICE_COLUMNS

PRICES = PRICE_COLUMNS["bars"]


class BarScreen(Screen):
    """Looks at the bars of one symbol and spec, batch by batch, in the order in which they ended.

    Prices may lie between ticks, as mids and hidden prints do; they are counted as `off_grid_prints`.
    """

    def check(self, columns: RawColumns, row_numbers: Array | None = None) -> RawColumns:
        """See `Screen.check`."""
        rows = length(columns)
        if not rows:
            return columns
        self._numbers = row_numbers
        columns = dict(columns)
        last_ns = self._last_ns
        self._event_times(columns["ts_event"])
        before = np.concatenate(([NO_TIME_NS if last_ns is None else last_ns], columns["ts_event"][:-1]))
        self.tally.counts["equal_times"] += int((columns["ts_event"] == before).sum())
        for name in (*PRICES, "volume"):
            self._plain_zero(columns, name)
        keep = np.ones(rows, dtype=bool)
        self._numbers_and_signs(columns, keep)
        self._shape(columns, keep)
        self._vwap(columns, keep)
        self._grid(columns)
        self._jumps(columns, keep)
        self._rows_seen += rows
        return columns if keep.all() else {name: array[keep] for name, array in columns.items()}

    def _numbers_and_signs(self, columns: RawColumns, keep: Array) -> None:
        for name in (*PRICES, "volume"):
            values = columns[name]
            self._act("nan", np.isnan(values), columns, keep, f"{name} is not a number")
            self._act("infinite", np.isinf(values), columns, keep, f"{name} is infinite")
        for name in PRICES:
            self._act("negative_price", columns[name] < 0, columns, keep, f"{name} is negative")
            self._act("zero_price", columns[name] == 0, columns, keep, f"{name} is zero")
        self._act("negative_size", columns["volume"] < 0, columns, keep, "volume is negative")
        counted = columns["count"] != NO_TIME_NS
        self._act("negative_size", counted & (columns["count"] < 0), columns, keep, "count is negative")

    def _vwap(self, columns: RawColumns, keep: Array) -> None:
        """A bar without volume has no mean price; one that is given must be a number within the bar, but for float noise."""
        vwap = columns["vwap"]
        self._act("infinite", np.isinf(vwap), columns, keep, "vwap is infinite")
        noise = 1e-9 * np.abs(vwap)
        outside = (vwap < columns["low"] - noise) | (vwap > columns["high"] + noise)
        self._act("bad_bar", outside, columns, keep, "vwap lies outside low and high")

    def _shape(self, columns: RawColumns, keep: Array) -> None:
        opened, high, low, closed = (columns[name] for name in PRICES)
        self._act("bad_bar", high < low, columns, keep, "the high is below the low")
        outside = (opened < low) | (opened > high) | (closed < low) | (closed > high)
        self._act("bad_bar", outside, columns, keep, "open or close lies outside low and high")
        ts_open = columns["ts_open"]
        self._act("bad_bar", ts_open > columns["ts_event"], columns, keep, "it ends before it begins")
        self._act("bad_bar", ts_open < EARLIEST_NS, columns, keep, "ts_open is before 1980")

    def _grid(self, columns: RawColumns) -> None:
        off = np.zeros(length(columns), dtype=bool)
        for name in PRICES:
            off |= off_grid(columns[name], *self.instrument.tick_fraction)
        self.tally.counts["off_grid_prints"] += int(off.sum())
        self._whole_lots(columns)

    def _price_of(self, columns: RawColumns) -> Array:
        return columns["close"]


def screen_of(
    schema: SchemaName,
    instrument: Instrument,
    source: str,
    tally: Tally,
    policies: Mapping[str, str] | None = None,
    **others: Any,
) -> Screen:
    """The screen of a schema; the arguments are those of `Screen`."""
    kind = BarScreen if schema == "bars" else Screen
    return kind(schema, instrument, source, tally, policies, **others)
