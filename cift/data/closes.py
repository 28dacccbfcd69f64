"""The price before a moment: the last print of the session before it, or the mid of the last quote where nothing printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import numpy as np

from cift.data.columns import Array, RawColumns
from cift.data.reading import Interval, PartitionReader, selected_rows
from cift.data.times import iso
from cift.domain.calendar import ALWAYS_OPEN, sessions
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import ACTION_CODES
from cift.errors import DataError

FIRST_NS = -(2**63)
PRINTS: tuple[SchemaName, ...] = ("trades", "mbo")


def close_before(instrument: Instrument, readers: Mapping[SchemaName, Sequence[PartitionReader]], before_ns: int) -> Decimal:
    """The last price before a time, exact.

    Args:
        readers: the partitions to look in, by schema and ascending by day.

    Raises:
        DataError: where none of them has a price.
    """
    interval = _session_before(instrument, readers, before_ns)
    for schema in PRINTS:
        for reader in reversed(readers.get(schema, ())):
            price = _last(reader, interval, _prints)
            if price is not None:
                return price
    for reader in reversed(readers.get("quotes", ())):
        price = _last(reader, interval, _mids)
        if price is not None:
            return price
    raise DataError(
        f"the catalog holds no price of {instrument.symbol} in the days before {iso(before_ns)}; give it as `close`, or import them"
    )


def _session_before(
    instrument: Instrument, readers: Mapping[SchemaName, Sequence[PartitionReader]], before_ns: int
) -> Interval:
    """The last session that began before a time and has rows; all of the time before it where the market never closes."""
    firsts = [part[0].manifest.first_ns for part in readers.values() if part]
    if instrument.calendar == ALWAYS_OPEN or not firsts:
        return FIRST_NS, before_ns
    found = sessions(instrument.calendar, min(firsts), before_ns)
    if found is None or not len(found.opens_ns):
        return FIRST_NS, before_ns
    return int(found.opens_ns[0]), min(before_ns, int(found.closes_ns[-1]))


def _last(reader: PartitionReader, interval: Interval, prices: Callable[[RawColumns], list[Decimal]]) -> Decimal | None:
    last = None
    for piece in selected_rows((reader,), (interval,)):
        found = prices(piece)
        if len(found):
            last = found[-1]
    return last


def _prints(rows: RawColumns) -> list[Decimal]:
    price: Array = rows["price"]
    if "action" in rows:
        price = price[rows["action"] == ACTION_CODES["trade"]]
    return [Decimal(repr(value)) for value in price[-1:].tolist()]


def _mids(rows: RawColumns) -> list[Decimal]:
    both = np.flatnonzero((rows["bid_size"] > 0) & (rows["ask_size"] > 0))[-1:]
    return [
        (Decimal(repr(rows["bid_price"][at].item())) + Decimal(repr(rows["ask_price"][at].item()))) / 2 for at in both.tolist()
    ]
