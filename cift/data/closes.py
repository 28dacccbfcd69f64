"""The price before a moment: the last print of the session before it, or the mid of the last quote where nothing printed.

What is stamped with the closing time or later is left out, the print of the closing auction too: rows do not say which trades were
made in an auction, and those after hours are as a rule no price of the day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import numpy as np

from cift.data.columns import Array, RawColumns
from cift.data.reading import Interval, PartitionReader, selected_rows
from cift.data.times import DAY_NS, iso
from cift.domain.calendar import ALWAYS_OPEN, sessions
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import ACTION_CODES
from cift.errors import DataError


def close_before(instrument: Instrument, readers: Mapping[SchemaName, Sequence[PartitionReader]], before_ns: int) -> Decimal:
    """The last price before a time, exact: of the last session that has one.

    Args:
        readers: the partitions to look in, by schema and ascending by day.

    Raises:
        DataError: where none of them has a price.
    """
    held = [reader.manifest for part in readers.values() for reader in part]
    first_ns = min((manifest.first_ns for manifest in held), default=before_ns)
    for interval in _sessions_back(instrument.calendar, first_ns, before_ns):
        # A print of an earlier session is no price of this one: its quotes come first.
        for schema, prices in SOURCES:
            for reader in reversed(readers.get(schema, ())):
                price = _last(reader, interval, prices)
                if price is not None:
                    return price
    raise DataError(
        f"the catalog holds no trade and no two-sided quote of {instrument.symbol} in the sessions of the ten days before "
        f"{iso(before_ns)}; give it as `close`, or import them"
    )


def _sessions_back(calendar: str, first_ns: int, before_ns: int) -> list[Interval]:
    """The sessions between two times, the last first, cut to them; UTC days where the market never closes, or nothing tells."""
    found = None if calendar == ALWAYS_OPEN or first_ns >= before_ns else sessions(calendar, first_ns, before_ns)
    if found is None:
        days = range(first_ns // DAY_NS * DAY_NS, before_ns, DAY_NS)
        return [(day, min(day + DAY_NS, before_ns)) for day in reversed(days)]
    ends = zip(found.opens_ns.tolist(), found.closes_ns.tolist(), strict=True)
    return [(opens, min(closes, before_ns)) for opens, closes in reversed(list(ends))]


def _last(reader: PartitionReader, interval: Interval, prices: Callable[[RawColumns], list[Decimal]]) -> Decimal | None:
    manifest = reader.manifest
    if manifest.last_ns < interval[0] or manifest.first_ns >= interval[1]:
        return None
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


SOURCES: tuple[tuple[SchemaName, Callable[[RawColumns], list[Decimal]]], ...] = (
    ("trades", _prints),
    ("mbo", _prints),
    ("quotes", _mids),
)
"""The records in whose order a price is looked for, and what is read of each; `mbp` is not: its levels would have to be built."""
