"""LOBSTER files: NASDAQ order by order, as a message file and an order book file.

A message file has no header and six columns: seconds after midnight (New York), type, order id, size, price in 1e-4
dollars, and direction, which is the side of the resting order. What becomes of each type:

| type | meaning | records |
|---|---|---|
| 1 | a new limit order | `add` |
| 2 | part of an order is cancelled | `cancel` of that size |
| 3 | an order is deleted | `cancel` of all that is left |
| 4 | a visible order is executed | `trade` (side of the aggressor), `fill` (the maker), `cancel`; LAST on the last |
| 5 | a hidden order is executed | `trade` that names no maker; the book stays as it is |
| 6 | a cross (auction) | `trade` without a side |
| 7 | a trading halt | no record: kept aside and counted, the schema has no status |

`venue_seq` is the row of the message (counted from 1; 0 for the snapshot), so all records of one message share it.

**The book before the first message.** Orders that rested before the file begins have no type 1. Their volume is taken
from the first row of the order book file, which already contains message 1: a `clear` and one order per level, with ids
from 2**63 up and the flag SNAPSHOT, so that the book equals the row after message 1. A message that names an order never
added takes from the order standing in for its level; where that holds less, the rest is kept aside. Only the first row
of the order book file is read.

**Phantoms.** Only events within the file's levels are in the message file: an order that leaves them and is cancelled
out there stays in the book for ever. One that is known can be named, see `Phantom`.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from cift.data.importers.known import instrument_of
from cift.data.importers.lobster_blocks import NO_LEVEL, PRICE_UNITS_MAX, PRICE_UNITS_PER_DOLLAR, SIZE_MAX
from cift.data.importers.lobster_replay import Level, Replay
from cift.data.importers.records import ASK, BID
from cift.data.importers.text import line_blocks, lines
from cift.data.report import ImportReport
from cift.data.times import datetime_ns
from cift.domain.instrument import Number, to_decimal
from cift.errors import DataError, InvalidParameter, NoData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

ZONE = "America/New_York"
BYTES_PER_BLOCK = 1 << 20

_DATE = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")


USUAL = {"tick_size": "0.01", "lot_size": 1, "calendar": "XNYS"}


class Phantom(NamedTuple):
    """An order of the record that is known to be gone.

    Args:
        row: row of the message file, from 1; the cancel joins that message's event, in front of its own records.
        side: "bid" or "ask".
        price: in dollars, exact ("584.21").
        size: in shares; taken from the oldest orders at that price.
    """

    row: int
    side: str
    price: Number
    size: int


def import_lobster(
    catalog: Catalog,
    message_file: str | Path,
    orderbook_file: str | Path | None = None,
    *,
    symbol: str,
    date: str | dt.date | None = None,
    tick_size: Number | None = None,
    price_increment: Number | None = None,
    lot_size: Number | None = None,
    calendar: str | None = None,
    phantoms: Iterable[Phantom | tuple[int, str, Number, int]] = (),
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports one day of LOBSTER messages as `mbo`; files may end in .zst, .gz or .xz.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        message_file: the messages.
        orderbook_file: its first row seeds the book, at as many levels as it has; None: the book starts empty.
        symbol: with its venue, "AAPL.XNAS".
        date: the day in New York; None: from the file's name.
        tick_size: the finest step of orders; None: what the catalog knows, or 0.01. A print off it (a hidden midpoint) passes with
            the flag OFF_GRID.
        price_increment: the grid of displayed orders, where it is coarser than the tick; prints off it are counted.
        lot_size: the finest step of sizes; None: what the catalog knows, or 1.
        calendar: the instrument's calendar; None: what the catalog knows, or XNYS.
        phantoms: orders known to be gone, see `Phantom`.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit: of "duplicate" (an order
            announced again; let in, it stands as announced last), "negative_price", "zero_price" and "price_jump".

    Returns:
        The report; `counts` has the messages by type and every policy that acted.

    Raises:
        InvalidParameter: a policy that decides nothing in such a file.
        DataError: a row that is no message; the message names file, row and value. The catalog is as it was.
        OffTickPrice: an order off the tick.
        TimeOrder: a row that goes back in time.
        NoData: an empty file.
    """
    started = time.perf_counter()
    path = Path(message_file)
    given = {"tick_size": tick_size, "lot_size": lot_size, "price_increment": price_increment, "calendar": calendar}
    instrument = instrument_of(symbol, catalog.instruments().get(symbol), given, USUAL)
    seed = None if orderbook_file is None else _first_row(Path(orderbook_file))
    replay = Replay(path.name, _midnight_ns(path, date), instrument, seed, _by_row(phantoms), policies)
    with catalog.writer() as writer:
        screen = replay.bad_rows.screen(instrument)
        writer.add(
            "mbo",
            symbol,
            (screen.check(batch, batch["venue_seq"]) for batch in replay.batches(line_blocks(path, BYTES_PER_BLOCK))),
        )
        screen.finish()
        if not writer.staged:
            raise NoData(f"{path.name} holds no messages; nothing was written")
        if replay.phantoms:
            raise InvalidParameter(f"{path.name} has {replay.row} rows, a phantom was named at row {min(replay.phantoms)}")
        catalog.commit(writer, [instrument])
    return replay.tally.report(
        symbol, replay.row, replay.records.rows_taken, time.perf_counter() - started, tuple(replay.notes())
    )


def _midnight_ns(path: Path, date: str | dt.date | None) -> int:
    if date is None:
        found = _DATE.search(path.name)
        if found is None:
            raise InvalidParameter(f"the name {path.name} holds no date such as 2012-06-21; pass date=")
        date = found.group(1)
    try:
        day = dt.date.fromisoformat(date) if isinstance(date, str) else date
        return datetime_ns(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE)))
    except (ValueError, AttributeError):
        raise InvalidParameter(f"date must be a day such as '2012-06-21', not {date!r}") from None


def _by_row(phantoms: Iterable[Phantom | tuple[int, str, Number, int]]) -> dict[int, list[tuple[int, int, int]]]:
    by_row: dict[int, list[tuple[int, int, int]]] = {}
    for row, side, price, size in phantoms:
        units = to_decimal(price, "price of a phantom") * PRICE_UNITS_PER_DOLLAR
        if side not in ("bid", "ask") or units != int(units) or row < 1 or size < 1:
            raise InvalidParameter(
                f"a phantom is (row, 'bid' or 'ask', price in dollars, size), not {(row, side, price, size)}"
            )
        by_row.setdefault(row, []).append((BID if side == "bid" else ASK, int(units), size))
    return by_row


def _first_row(path: Path) -> dict[Level, int]:
    """Size of each level in the first row of an order book file, best ask first, best bid second, and so on down."""
    _, line = next(lines(path), (0, ""))
    where = f"{path.name}, row 1"
    try:
        values = [int(text) for text in line.split(",")]
    except ValueError:
        raise DataError(f"{where}: {line[:60]!r} is not a row of whole numbers; is this an order book file?") from None
    if len(values) % 4:
        raise DataError(f"{where}: {len(values)} columns; ask price, ask size, bid price, bid size of each level were expected")
    levels: dict[Level, int] = {}
    for side, offset, better in ((ASK, 0, 1), (BID, 2, -1)):
        last = None
        for price, size in zip(values[offset::4], values[offset + 1 :: 4], strict=True):
            if abs(price) == NO_LEVEL and size == 0:
                continue
            if not (0 < price <= PRICE_UNITS_MAX and 0 < size <= SIZE_MAX):
                raise DataError(f"{where}: a level of {size} at {price}; prices and sizes must be positive")
            if last is not None and (price - last) * better <= 0:
                raise DataError(f"{where}: level {price} after {last}; levels must go from the best price outwards")
            last = price
            levels[side, price] = size
    asks, bids = ([price for side, price in levels if side == wanted] for wanted in (ASK, BID))
    if asks and bids and min(asks) <= max(bids):
        raise DataError(f"{where}: the best ask {min(asks)} is not above the best bid {max(bids)}")
    return levels
