"""TAQ files of US equities as CSV: quotes and trades of all exchanges in one table.

Quotes have the columns EX, SYMBOL, BID, BIDSIZ, OFR and OFRSIZ, trades EX, SYMBOL, PRICE, SIZE, COND and CORR, both a time in
microseconds since 1970 (`ts_us`); which of them a file holds is seen by its columns. Sizes of quotes are in round lots. Each
exchange has its own best quote, so a file of quotes makes sense for one exchange at a time. CORR 0 is a regular trade;
corrected and cancelled ones are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cift.data.importers.tables import CsvFile, Source, Times, run
from cift.data.report import ImportReport
from cift.data.times import Session
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Number
from cift.errors import DataError, InvalidParameter

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

TIME = "ts_us"
COLUMNS: dict[SchemaName, dict[str, str]] = {
    "quotes": {"ts_event": TIME, "bid_price": "BID", "bid_size": "BIDSIZ", "ask_price": "OFR", "ask_size": "OFRSIZ"},
    "trades": {"ts_event": TIME, "price": "PRICE", "size": "SIZE"},
}
USUAL = {"tick_size": "0.01", "lot_size": 1, "calendar": "XNYS"}
REGULAR = ("0", "00")
REGULAR_HOURS: Session = ("09:30", "16:00", "America/New_York")


def import_taq(
    catalog: Catalog,
    file: str | Path,
    *,
    symbol: str,
    exchange: str | None = None,
    session: Session | None = REGULAR_HOURS,
    skip_conditions: str = "",
    round_lot: int = 100,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    calendar: str | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports TAQ quotes or trades of one symbol; the file may end in .gz, .zst, .xz or .zip.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the file.
        symbol: what to store it as, "IBM.XNYS"; the rows of IBM are kept.
        exchange: the letter of one exchange, "N"; None: all of them, for trades.
        session: times of day to keep, by default the regular hours; None: all.
        skip_conditions: letters of sale conditions; a print with any of them is left out.
        round_lot: shares in one unit of a quote's size.
        tick_size: the finest step of quotes; None: what the catalog knows, or 0.01. A print off it passes with the flag OFF_GRID.
        lot_size: the finest step of sizes; None: what the catalog knows, or 1.
        calendar: the instrument's calendar; None: what the catalog knows, or XNYS.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Raises:
        InvalidParameter: quotes without an exchange.
        DataError: neither quotes nor trades, or a row that cannot be read; the catalog is as it was.
        TimeOrder: a row goes back in time.
        NoData: no row is left.
    """
    table = CsvFile(Path(file), None)
    schema = next((schema for schema, columns in COLUMNS.items() if set(columns.values()) <= set(table.header)), None)
    if schema is None:
        raise DataError(
            f"{table.path.name} has the columns {', '.join(table.header[:20])}; quotes have {', '.join(COLUMNS['quotes'].values())}, "
            f"trades have {', '.join(COLUMNS['trades'].values())}"
        )
    if schema == "quotes" and exchange is None:
        raise InvalidParameter("each exchange of a TAQ file has its own best quote; pass exchange=, such as 'N'")
    where: dict[str, str | tuple[str, ...]] = {"SYMBOL": symbol.rpartition(".")[0] or symbol}
    if exchange is not None:
        where["EX"] = exchange
    if schema == "trades":
        where["CORR"] = REGULAR
    source = Source(
        table,
        schema,
        dict(COLUMNS[schema]),
        Times("us"),
        where=where,
        session=session,
        size_unit=round_lot if schema == "quotes" else 1,
        skip=("COND", skip_conditions) if schema == "trades" and skip_conditions else None,
    )
    return run(catalog, source, symbol, tick_size, lot_size, calendar, policies, USUAL)
