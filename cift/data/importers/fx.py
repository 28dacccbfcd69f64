"""Quotes of currencies without sizes: ticks as LEAN stores them, and TrueFX.

| format | one row |
|---|---|
| LEAN, a .zip or .csv for each day, named by it | milliseconds since midnight, bid, ask; no header |
| TrueFX | pair, `20130101 22:00:00.295` (UTC), bid, ask, without a header; or timestamp, bid, ask below one |

They state no sizes, and a quote without a size is none: each side gets the size passed as `size=`. Many of these quotes are
locked (a quarter of LEAN's sample of FXCM): by default they pass with the flag SUSPECT.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cift.data.importers.table_files import first_lines
from cift.data.importers.tables import CsvFile, Source, Times, run
from cift.data.importers.text import zipped
from cift.data.report import ImportReport
from cift.domain.instrument import Number
from cift.errors import CorruptData, DataError, InvalidParameter, NotSupported

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

SIZE = 1_000_000
USUAL = {"lot_size": 1}
"""What a quote of currencies is commonly good for, in units of the first of them."""
BAR_COLUMNS = 11
"""Of a bar LEAN gives the time, and open, high, low, close and size of bid and of ask."""
_DAY = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?!\d)")


def import_lean(
    catalog: Catalog,
    file: str | Path,
    *,
    symbol: str,
    date: str | dt.date | None = None,
    timezone: str = "UTC",
    size: Number = SIZE,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports one day of ticks of currencies in LEAN's form.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the file.
        symbol: what to store it as, "EURUSD.FXCM".
        date: the day; None: from the name of the file, or of the file in the .zip.
        timezone: whose midnight the milliseconds are counted from.
        size: the size of each side of each quote.
        tick_size: the finest step of prices; None: what the catalog knows, or inferred from the prices, with a note.
        lot_size: the finest step of sizes; None: what the catalog knows, or 1.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Raises:
        DataError: a row that cannot be read; the message names file and row. The catalog is as it was.
        CorruptData: the .zip is damaged.
        InvalidParameter: no date was given, and no name has one.
        NotSupported: a file of bars; the message says how to import it.
        TimeOrder: a row goes back in time.
        NoData: no rows.
    """
    path = Path(file)
    if len(next(iter(first_lines(path, 1)), [])) == BAR_COLUMNS:
        raise NotSupported(
            f"{path.name} holds bars of bid and ask; import one side with import_csv(schema='bars', spec='1m', time_unit='ms', "
            "date=..., names=[...]), or cift data import table"
        )
    times = Times("ms", timezone, date if date is not None else _date(path))
    table = CsvFile(path, ("ts_event", "bid_price", "ask_price"))
    source = Source(table, "quotes", {}, times, size=size)
    return run(catalog, source, symbol, tick_size, lot_size, None, policies, USUAL)


def _date(path: Path) -> dt.date:
    names = [path.name]
    if path.suffix == ".zip":
        try:
            name, stream = zipped(path)
            stream.close()
        except FileNotFoundError:
            raise DataError(f"{path} does not exist") from None
        except (OSError, zipfile.BadZipFile) as error:
            raise CorruptData(f"{path.name} cannot be read: {error}") from None
        names.append(name)
    for name in names:
        for found in _DAY.finditer(name):
            try:
                return dt.date(*map(int, found.groups()))
            except ValueError:
                continue
    raise InvalidParameter(f"the name {path.name} holds no date such as 20140507; pass date=")


def import_truefx(
    catalog: Catalog,
    file: str | Path,
    *,
    symbol: str,
    size: Number = SIZE,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports a file of TrueFX, with or without a header; it may end in .gz, .zst, .xz or .zip.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the file.
        symbol: what to store it as, "USDJPY.TRUEFX".
        size: the size of each side of each quote.
        tick_size: the finest step of prices; None: what the catalog knows, or inferred from the prices, with a note.
        lot_size: the finest step of sizes; None: what the catalog knows, or 1.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Raises:
        DataError: a row that cannot be read, or another pair of currencies; the catalog is as it was.
        CorruptData: the compressed data is damaged.
        TimeOrder: a row goes back in time.
        NoData: no rows.
    """
    path = Path(file)
    table = CsvFile(path, None)
    if "bid" not in [name.strip().lower() for name in table.header]:
        table = CsvFile(path, ("symbol", "ts_event", "bid", "ask"))
    columns = {ours: name for name in table.header for ours in ("bid_price", "ask_price") if name.strip().lower() == ours[:3]}
    source = Source(table, "quotes", columns, size=size)
    return run(catalog, source, symbol, tick_size, lot_size, None, policies, USUAL)
