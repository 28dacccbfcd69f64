"""Tardis' CSV files: quotes, trades and books of crypto exchanges.

All have the columns exchange, symbol, timestamp (the exchange's time) and local_timestamp (of receipt), in microseconds.
Quotes have ask_amount, ask_price, bid_price and bid_amount, trades id, side (of the aggressor), price and amount; books are the
matter of `cift.data.importers.tardis_books`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cift.data.importers.tables import CsvFile, Source, Times, run
from cift.data.importers.tardis_books import CHANGES, import_books, levels_shown
from cift.data.report import ImportReport
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Number
from cift.errors import DataError, NoData, NotSupported

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

_TIMES = {"ts_event": "timestamp", "ts_recv": "local_timestamp"}
COLUMNS: dict[SchemaName, dict[str, str]] = {
    "quotes": {
        **_TIMES,
        "bid_price": "bid_price",
        "bid_size": "bid_amount",
        "ask_price": "ask_price",
        "ask_size": "ask_amount",
    },
    "trades": {**_TIMES, "price": "price", "size": "amount", "aggressor": "side", "trade_id": "id"},
}


def import_tardis(
    catalog: Catalog,
    file: str | Path,
    *,
    symbol: str | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports a file of quotes, trades, changes of a book or pictures of its best levels; it may end in .gz, .zst, .xz or .zip.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the file.
        symbol: what to store it as, "XBTUSD.BITMEX"; of a file with several symbols, the rows of XBTUSD are kept. None: the
            file's one symbol with its exchange.
        tick_size: the finest step of prices; None: what the catalog knows, or inferred from the prices, with a note.
        lot_size: the finest step of sizes; None likewise.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Raises:
        NotSupported: a file of anything else, which the catalog has no schema for.
        DataError: a row that cannot be read; the message names file and row. The catalog is as it was.
        TimeOrder: a quote or trade goes back in time. Levels take the time of the row above then, which is counted.
        NoData: no rows.
    """
    table = CsvFile(Path(file), None)
    if not {"exchange", "symbol", "timestamp", "local_timestamp"} <= set(table.header):
        raise DataError(f"{table.path.name} has the columns {', '.join(table.header)[:300]}; it is no file of Tardis")
    schema = next((schema for schema, columns in COLUMNS.items() if set(columns.values()) <= set(table.header)), None)
    if schema is None and not set(table.header) >= CHANGES and not levels_shown(table.header):
        raise NotSupported(
            f"{table.path.name} is of another kind; quotes, trades, incremental_book_L2 and book_snapshot_N are supported"
        )
    if not table.first:
        raise NoData(f"{table.path.name} holds no rows to import; nothing was written")
    where = None
    if symbol is None:
        symbol = f"{table.value('symbol')}.{table.value('exchange').upper()}"
    else:
        where = {"symbol": symbol.rpartition(".")[0] or symbol}
    if schema is None:
        return import_books(catalog, table, symbol, where["symbol"] if where else None, tick_size, lot_size, policies)
    source = Source(table, schema, dict(COLUMNS[schema]), Times("us"), where=where)
    return run(catalog, source, symbol, tick_size, lot_size, None, policies)
