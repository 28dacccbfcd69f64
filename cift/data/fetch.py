"""Fetches days of market data that exchanges give away, and imports them."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cift.config import cache_folder
from cift.data.download import Patience, download, file_sha256, text
from cift.data.importers.binance import import_binance
from cift.data.importers.binance_csv import MICROSECONDS_FROM
from cift.data.importers.table_files import first_lines
from cift.data.report import ImportReport
from cift.data.storage import locked
from cift.data.times import DAY_NS, TimeLike, iso, time_ns
from cift.domain.instrument import Number
from cift.errors import CorruptData, DataError, InvalidParameter, NoData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

BINANCE: Final = "https://data.binance.vision"
BINANCE_ENVIRONMENT: Final = "CIFT_BINANCE_URL"
"""An environment variable with the address of a copy of the archive."""
RATIO_MAX: Final = 200
"""Text of trades shrinks to a tenth or a twentieth; what unpacks to more than this many times its size is no market data."""
INTERVALS: Final = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
"""Of klines. (Those of 1mo have no fixed length.)"""
TIME_COLUMN: Final = {"trades": 4, "aggTrades": 5, "bookTicker": 5, "klines": 0}
"""Kind of file -> which of its columns, from 0, is the time."""
_SYMBOL = re.compile(r"[A-Z0-9]{2,40}(_[A-Z0-9]{2,10})?")
_CHECKSUM = re.compile(r"([0-9a-f]{64})[ *]+(\S+)\s*")


MARKETS: Final = {
    "spot": ("spot", "BINANCE"),
    "um": ("futures/um", "BINANCE-FUTURES"),
    "cm": ("futures/cm", "BINANCE-DELIVERY"),
}
"""Spot, USD-M futures, COIN-M futures: where each lies in the archive, and the venue that its symbols get."""


def fetch_binance(
    catalog: Catalog,
    symbol: str,
    start: TimeLike,
    end: TimeLike | None = None,
    *,
    kind: str = "trades",
    market: str = "spot",
    interval: str = "1m",
    base_url: str | None = None,
    keep: str | Path | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    policies: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> list[ImportReport]:
    """Downloads days of Binance's public archive, checks them against its checksums, and imports them, a day at a time.

    A download that broke off goes on where it ended, at the next call too. A day is visible in the catalog once all of it is.

    Args:
        catalog: where to.
        symbol: as Binance calls it: "BTCUSDT", "BTCUSD_PERP". It is stored as `BTCUSDT.BINANCE`, futures with the venue
            BINANCE-FUTURES (USD-M) or BINANCE-DELIVERY (COIN-M).
        start: the first day, UTC.
        end: excluded; None: the one day.
        kind: "trades", "aggTrades", "bookTicker" (futures, best quotes) or "klines".
        market: "spot", "um" (USD-M futures) or "cm" (COIN-M futures).
        interval: of klines: "1m", "1h", "1d".
        base_url: of a copy of the archive; None: the variable CIFT_BINANCE_URL, or Binance's own.
        keep: a folder in which the files stay, and are not fetched again; None: they are removed once imported.
        tick_size: the finest step of prices; None: what the catalog knows, or inferred from the first day's prices, with a note.
        lot_size: the finest step of sizes; None likewise.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.
        patience: timeout and attempts.

    Returns:
        A report for each day.

    Raises:
        NoData: the archive has no such file; the message says what may be wrong.
        CorruptData: a checksum that does not match, or a .zip that is none; nothing of the file is kept.
        ServerDown: the archive cannot be reached, breaks off or is too slow, after all attempts. ServerError: it refuses.
        InvalidParameter: a symbol, day, kind, market or interval that is none.
        DataError: a row that cannot be read; the days before it are stored.

    Example:
        >>> fetch_binance(catalog, "BTCUSDT", "2024-08-08")  # doctest: +SKIP
    """
    _check(symbol, kind, market, interval)
    place, venue = MARKETS[market]
    base = (base_url or os.environ.get(BINANCE_ENVIRONMENT) or BINANCE).rstrip("/")
    folder = cache_folder() / "binance" if keep is None else Path(keep)
    reports = []
    for day in _days(start, end):
        part = interval if kind == "klines" else kind
        name = f"{symbol}-{part}-{day}.zip"
        parts = [base, "data", place, "daily", kind, symbol, *([interval] if kind == "klines" else []), name]
        file = folder.joinpath(market, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file.with_name(f"{name}.lock")):
            try:
                _bring("/".join(parts), file, patience or Patience())
            except NoData as missing:
                raise NoData(f"{missing}; {_what_may_be_wrong(symbol, kind, market)}") from None
            _check_zip(file)
            _check_day(file, kind, day)
            steps: dict[str, Any] = {"tick_size": tick_size, "lot_size": lot_size, "policies": policies}
            report = import_binance(catalog, file, symbol=f"{symbol}.{venue}", **steps)
            if keep is None:
                file.unlink()
        reports.append(report)
    return reports


def _check(symbol: str, kind: str, market: str, interval: str) -> None:
    if market not in MARKETS:
        raise InvalidParameter(f"market must be one of {', '.join(MARKETS)}, not {market!r}")
    if kind not in TIME_COLUMN:
        raise InvalidParameter(f"kind must be one of {', '.join(TIME_COLUMN)}, not {kind!r}")
    if kind == "bookTicker" and market == "spot":
        raise InvalidParameter("the archive has bookTicker of futures only; pass market='um' or 'cm', or kind='trades'")
    if kind == "klines" and interval not in INTERVALS:
        raise InvalidParameter(f"interval must be one of {', '.join(INTERVALS)}, not {interval!r}")
    if not _SYMBOL.fullmatch(symbol):
        raise InvalidParameter(f"symbol {symbol!r} is none of Binance's; write it as BTCUSDT or BTCUSD_PERP, without a venue")


def _days(start: TimeLike, end: TimeLike | None) -> Iterator[str]:
    first_ns = time_ns(start, "start")[0]
    end_ns = first_ns + DAY_NS if end is None else time_ns(end, "end")[0]
    if first_ns % DAY_NS or end_ns % DAY_NS or end_ns <= first_ns:
        raise InvalidParameter(f"start and end must be days, the end after the start, not {start!r} and {end!r}")
    return (iso(ns)[:10] for ns in range(first_ns, end_ns, DAY_NS))


def _bring(url: str, file: Path, patience: Patience) -> None:
    """Downloads a file that is not there yet, by the checksum that lies beside it."""
    stated = text(f"{url}.CHECKSUM", patience)
    found = _CHECKSUM.fullmatch(stated)
    if found is None or found[2] != file.name:
        raise CorruptData(f"{url}.CHECKSUM says {stated[:100]!r}; a SHA-256 and the name {file.name} were expected")
    if not file.exists() or file_sha256(file) != found[1]:
        download(url, file, found[1], patience)


def _check_zip(file: Path) -> None:
    """Refuses an archive that holds anything but the one table, or that unpacks to a flood."""
    wanted = f"{file.stem}.csv"
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        file.unlink()
        raise CorruptData(f"{file.name} is no .zip, whatever its checksum says: {error}; nothing of it was kept") from None
    names = [member.filename for member in members]
    if names != [wanted]:
        file.unlink()
        raise CorruptData(
            f"{file.name} holds {', '.join(map(repr, names[:5]))}; only {wanted} was expected; nothing of it was kept"
        )
    unpacked = members[0].file_size
    if unpacked > RATIO_MAX * max(file.stat().st_size, 1 << 16):
        size = file.stat().st_size
        file.unlink()
        raise CorruptData(
            f"{file.name} unpacks from {size:,} to {unpacked:,} bytes, which no table does; nothing of it was kept"
        )


def _check_day(file: Path, kind: str, day: str) -> None:
    """Refuses a table whose first row is of another day than its name says; of a header, and of rubbish, the importer tells."""
    for cells in first_lines(file, 2):
        text = cells[TIME_COLUMN[kind]].strip() if len(cells) > TIME_COLUMN[kind] else ""
        if text.isdecimal() and len(text) < 18:
            ms = int(text) // (1_000 if int(text) >= MICROSECONDS_FROM else 1)
            if (told := iso(ms * 1_000_000)[:10]) != day:
                raise DataError(f"{file.name}: its first time is of {told}, and its name says {day}")
            return


def _what_may_be_wrong(symbol: str, kind: str, market: str) -> str:
    others = ", ".join(name for name in MARKETS if name != market)
    hints = [
        f"check that {symbol} was traded that day on the market {market!r} (others are {others})",
        "a day is published on the one after it",
    ]
    if kind == "bookTicker":
        hints.append("bookTicker is not there for every day")
    return "; ".join(hints)
