"""Binance's public archive (data.binance.vision): trades, aggregated trades, best quotes and klines, as CSV in a .zip.

| file | columns | becomes |
|---|---|---|
| BTCUSDT-trades-2024-08-08.zip | id, price, qty, quote_qty, time, is_buyer_maker, is_best_match | `trades` |
| BTCUSDT-aggTrades-2024-08-08.zip | agg_trade_id, price, quantity, first_trade_id, last_trade_id, transact_time, is_buyer_maker, is_best_match | `trades` |
| BTCUSDT-bookTicker-2024-08-08.zip | update_id, best_bid_price, best_bid_qty, best_ask_price, best_ask_qty, transaction_time, event_time | `quotes` |
| BTCUSDT-1m-2024-08-08.zip | open_time, open, high, low, close, volume, close_time, quote_volume, count, taker_buy_volume, taker_buy_quote_volume, ignore | `bars` |

Futures have no is_best_match. Older files have no header. Times are in milliseconds; spot has microseconds since 2025: which of them
is seen by their size. A buyer that was the maker means that the seller took.
"""  # noqa: E501 - rows of the table

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cift.data.importers.bar_tables import Stamps
from cift.data.importers.table_files import CsvFile, first_lines
from cift.data.importers.table_times import WHOLE, Times
from cift.data.importers.tables import Source, run
from cift.data.report import ImportReport
from cift.domain.bar_spec import BarSpec
from cift.domain.calendar import ALWAYS_OPEN
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Number
from cift.errors import DataError, InvalidParameter, NoData, NotSupported

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

INTERVALS: Final = {
    **{name: name for name in ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d")},
    "1w": "7d",
}
"""Interval of klines -> what ended the bars. (1mo has no fixed length.)"""
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "trades": ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"),
    "aggTrades": (
        "agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker", "is_best_match",
    ),
    "bookTicker": (
        "update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time",
    ),
    "klines": (
        "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker_buy_volume",
        "taker_buy_quote_volume", "ignore",
    ),
}  # fmt: skip
"""Kind of file -> its columns; the last of trades is missing for futures."""
OURS: Final[dict[str, tuple[SchemaName, dict[str, str]]]] = {
    "trades": (
        "trades",
        {"ts_event": "time", "price": "price", "size": "qty", "aggressor": "is_buyer_maker", "trade_id": "id"},
    ),
    "aggTrades": (
        "trades",
        {
            "ts_event": "transact_time",
            "price": "price",
            "size": "quantity",
            "aggressor": "is_buyer_maker",
            "trade_id": "agg_trade_id",
        },
    ),
    "bookTicker": (
        "quotes",
        {
            "ts_event": "transaction_time",
            "bid_price": "best_bid_price",
            "bid_size": "best_bid_qty",
            "ask_price": "best_ask_price",
            "ask_size": "best_ask_qty",
            "venue_seq": "update_id",
        },
    ),
    "klines": ("bars", {"ts_event": "open_time"}),
}
"""Kind of file -> the schema that it becomes, and which column is which."""
TAKER: Final = {"true": "sell", "false": "buy"}
FIRST_MICROSECONDS: Final = 10**14
"""No time in milliseconds is as large for the next 3,000 years, and none in microseconds as small since 1973."""
_NAME = re.compile(r"(?P<symbol>\w+)-(?P<kind>\w+)-(?P<date>\d{4}-\d{2}(-\d{2})?)\.(zip|csv)")


def import_binance_public(
    catalog: Catalog,
    file: str | Path,
    *,
    symbol: str | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> ImportReport:
    """Imports a file of Binance's public archive; what it holds is said by its name, as the archive gives it.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the .zip, or the .csv in it.
        symbol: what to store it as; None: the name's symbol with the venue BINANCE, which is the spot market.
        tick_size: the finest step of prices; None: what the catalog knows, or inferred from the prices, with a note.
        lot_size: the finest step of sizes; None likewise. Sizes of COIN-M futures are contracts.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.
        notes: what the report says beside what was assumed here.

    Raises:
        InvalidParameter: a name that is not of the archive. NotSupported: a kind of file that is not read.
        DataError: a row that cannot be read, or of another day than the name says; the catalog is as it was.
        CorruptData: the .zip is damaged.
        TimeOrder: a row goes back in time.
        NoData: no rows.
    """
    path = Path(file)
    parts = _NAME.fullmatch(path.name)
    if parts is None:
        raise InvalidParameter(
            f"{path.name} is no name of the archive, such as BTCUSDT-trades-2024-08-08.zip or BTCUSDT-1m-..."
        )
    kind = "klines" if parts["kind"] in INTERVALS else parts["kind"]
    if kind not in COLUMNS:
        raise NotSupported(f"{path.name} holds {kind}; supported are {', '.join(COLUMNS)} of {', '.join(INTERVALS)}")
    table = _table(path, COLUMNS[kind])
    schema, columns = OURS[kind]
    stamp = table.value(columns["ts_event"])
    if not WHOLE.fullmatch(stamp):
        raise DataError(f"{path.name}, row {table.first_row}: {columns['ts_event']} is {stamp!r}, which is no whole number")
    unit = "us" if int(stamp) >= FIRST_MICROSECONDS else "ms"
    _check_day(path, table, int(stamp) // (10**6 if unit == "us" else 10**3), parts["date"])
    source = Source(
        table,
        schema,
        dict(columns),
        Times(unit),
        bars=Stamps(BarSpec.parse(INTERVALS[parts["kind"]]), known=True) if kind == "klines" else None,
        words={"aggressor": TAKER} if schema == "trades" else {},
        notes=list(notes),
    )
    return run(catalog, source, symbol or f"{parts['symbol']}.BINANCE", tick_size, lot_size, ALWAYS_OPEN, policies)


def _table(path: Path, columns: tuple[str, ...]) -> CsvFile:
    """The file with the names of its columns, which older ones do not give."""
    first = next(iter(first_lines(path, 1)), [])
    if not first:
        raise NoData(f"{path.name} holds no rows to import; nothing was written")
    table = CsvFile(path, columns[: len(first)] if WHOLE.fullmatch(first[0].strip()) else None)
    if not table.first:
        raise NoData(f"{path.name} holds no rows to import; nothing was written")
    lacking = [name for name in columns if name not in table.header and name not in ("is_best_match", "quote_qty")]
    if lacking:
        raise DataError(f"{path.name} has the columns {', '.join(first[:20])}; the archive's are {', '.join(columns)}")
    return table


def _check_day(path: Path, table: CsvFile, second: int, date: str) -> None:
    try:
        day = dt.datetime.fromtimestamp(second, dt.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        day = "out of range"
    if not day.startswith(date):
        raise DataError(f"{path.name}, row {table.first_row}: its time is {day}, and the name of the file says {date}")
