"""Rows in the form of Databento's files: DBN (version 3), and CSV with the columns of theirs.

| ours | theirs |
|---|---|
| `mbo` | mbo, row by row: the same letters and flags |
| `quotes` | mbp-1: each quote a record of action M (modify) and side N (none) with both best levels; no counts of orders |
| `trades` | trades |

Prices are whole numbers of 1e-9, 2**63 - 1 where there is none. `ts_recv` is 2**64 - 1 where it is missing, `ts_in_delta` is
0. All records are of instrument 1 and publisher 0 (none), under the symbol without its venue; the venue begins the name of
the dataset, `XNAS.CIFT`, and so is of letters and digits, at most 10. What the format has no place for is told: ids of trades,
and venue sequences that are missing or longer than 32 bits (they become 0). A price finer than 1e-9 or a size that is no whole
number below 2**32 is an error.
"""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from types import SimpleNamespace
from typing import IO, Any, Final

import numpy as np
import polars as pl

from cift.data.columns import Array, RawColumns, length
from cift.data.importers.databento.file import NO_PRICE, PRICE_DECIMALS, prices
from cift.data.importers.databento.records import KEPT_FLAGS
from cift.data.times import DAY_NS
from cift.domain.chunk import SchemaName
from cift.domain.schemas import NO_TIME_NS
from cift.errors import DataError, MissingExtra, NotSupported

NO_TIME: Final = 2**64 - 1
INSTRUMENT_ID, PUBLISHER_ID = 1, 0
SIZE_END = 2**32
DATASET_END = ".CIFT"
VENUE_LENGTH_MAX = 15 - len(DATASET_END)
"""A dataset's name has 15 characters, and a zero behind them."""
_HEADER: Final = [("length", "u1"), ("rtype", "u1"), ("publisher_id", "u2"), ("instrument_id", "u4"), ("ts_event", "u8")]
_TRADE: Final = [
    *_HEADER, ("price", "i8"), ("size", "u4"), ("action", "u1"), ("side", "u1"), ("flags", "u1"), ("depth", "u1"),
    ("ts_recv", "u8"), ("ts_in_delta", "i4"), ("sequence", "u4"),
]  # fmt: skip
RECORDS: Final[dict[SchemaName, tuple[str, int, list[tuple[str, str]]]]] = {
    "mbo": (
        "mbo",
        0xA0,
        [
            *_HEADER, ("order_id", "u8"), ("price", "i8"), ("size", "u4"), ("flags", "u1"), ("channel_id", "u1"),
            ("action", "u1"), ("side", "u1"), ("ts_recv", "u8"), ("ts_in_delta", "i4"), ("sequence", "u4"),
        ],
    ),
    "quotes": (
        "mbp-1",
        0x01,
        [
            *_TRADE, ("bid_px_00", "i8"), ("ask_px_00", "i8"), ("bid_sz_00", "u4"), ("ask_sz_00", "u4"),
            ("bid_ct_00", "u4"), ("ask_ct_00", "u4"),
        ],
    ),
    "trades": ("trades", 0x00, _TRADE),
}  # fmt: skip
"""Our schema -> theirs, the type number of its records, and their fields as they lie in the file."""
_FIRST = ("ts_recv", "ts_event", "rtype", "publisher_id", "instrument_id", "action", "side", "depth", "price", "size")
_LAST = ("channel_id", "order_id", "flags", "ts_in_delta", "sequence")


def csv_columns(schema: SchemaName) -> tuple[str, ...]:
    """The columns of their CSV, in their order."""
    held = [name for name, _ in RECORDS[schema][2] if name != "length"]
    levels = [name for name in held if name[-2:].isdecimal()]
    return (*(name for name in (*_FIRST, *_LAST) if name in held), *levels, "symbol")


class Records:
    """Makes records of raw columns, and remembers what they could not hold."""

    def __init__(self, schema: SchemaName) -> None:
        if schema not in RECORDS:
            raise NotSupported(f"{schema} has no form of Databento's here; these have: {', '.join(RECORDS)}")
        self.schema = schema
        self.name, self.rtype, fields = RECORDS[schema]
        self.dtype = np.dtype(fields)
        self.rows = self.lost_sequences = self.lost_ids = self.early_receipts = 0

    def of(self, columns: RawColumns) -> Array:
        """The next rows as records.

        Raises:
            DataError: a price or size that a record cannot hold; the message names row and value.
        """
        rows = length(columns)
        made = np.zeros(rows, dtype=self.dtype)
        made["length"], made["rtype"] = self.dtype.itemsize // 4, self.rtype
        made["publisher_id"], made["instrument_id"] = PUBLISHER_ID, INSTRUMENT_ID
        self._times(made, columns)
        venue_seq = columns["venue_seq"]
        fits = (venue_seq >= 0) & (venue_seq < 2**32)
        made["sequence"] = np.where(fits, venue_seq, 0)
        self.lost_sequences += rows - int(fits.sum())
        made["flags"] = columns["flags"] & KEPT_FLAGS
        if self.schema == "quotes":
            made["action"], made["side"], made["price"] = ord("M"), ord("N"), NO_PRICE
            for side in ("bid", "ask"):
                made[f"{side}_px_00"] = self._units(columns, f"{side}_price")
                made[f"{side}_sz_00"] = self._whole(columns, f"{side}_size")
        else:
            made["price"], made["size"] = self._units(columns, "price"), self._whole(columns, "size")
        if self.schema == "trades":
            made["action"], made["side"] = ord("T"), columns["aggressor"]
            self.lost_ids += int(np.count_nonzero(columns["trade_id"]))
        elif self.schema == "mbo":
            made["action"], made["side"], made["order_id"] = columns["action"], columns["side"], columns["order_id"]
        self.rows += rows
        return made

    def notes(self) -> tuple[str, ...]:
        """What was lost, a sentence each."""
        said = []
        if self.lost_ids:
            said.append(f"{self.lost_ids:,} ids of trades are left out: DBN has no place for them")
        if self.lost_sequences:
            said.append(f"{self.lost_sequences:,} venue sequences are missing or longer than 32 bits; they are 0 in the file")
        if self.early_receipts:
            said.append(
                f"{self.early_receipts:,} times of receipt lie before 1970, where DBN's times begin; they are undefined in the file, "
                "and keep the flag BAD_TS_RECV"
            )
        return tuple(said)

    def _times(self, made: Array, columns: RawColumns) -> None:
        early = np.flatnonzero(columns["ts_event"] < 0)
        if len(early):
            raise DataError(f"row {self.rows + int(early[0])}: ts_event lies before 1970, where DBN's times begin")
        made["ts_event"] = columns["ts_event"].astype("u8")
        received = columns["ts_recv"]
        early = (received < 0) & (received != NO_TIME_NS)
        self.early_receipts += int(np.count_nonzero(early))
        made["ts_recv"] = np.where(received < 0, np.uint64(NO_TIME), received.astype("u8"))

    def _units(self, columns: RawColumns, name: str) -> Array:
        """Prices in 1e-9, each of which is the float that it came from."""
        values = columns[name]
        missing = np.isnan(values)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.rint(np.where(missing, 0.0, values) * 10**PRICE_DECIMALS)
        large = np.abs(scaled) >= 2.0**63
        units: Array = np.where(large, 0, scaled).astype(np.int64)
        # Beyond 2**53 the product is rounded: the nearest decimal of nine places may lie a few units beside.
        for row in np.flatnonzero((np.abs(scaled) > 2**53) & ~large & ~missing):
            units[row] = round(Fraction(float(values[row])) * 10**PRICE_DECIMALS)
        off = np.flatnonzero((prices(units) != values) & ~missing | large)
        if len(off):
            raise DataError(
                f"row {self.rows + int(off[0])}: {name} {float(values[off[0]])!r} is no whole number of 1e-{PRICE_DECIMALS}, "
                "which is how DBN holds prices; export to Parquet or CSV"
            )
        return np.where(missing, NO_PRICE, units)

    def _whole(self, columns: RawColumns, name: str) -> Array:
        values = columns[name]
        off = np.flatnonzero((values != np.rint(values)) | (values < 0) | (values >= SIZE_END))
        if len(off):
            raise DataError(
                f"row {self.rows + int(off[0])}: {name} {float(values[off[0]])!r} is no whole number below 2**32, which is how "
                "DBN holds sizes; export to Parquet or CSV"
            )
        return values.astype(np.uint32)


class DbnCsvRows:
    """CSV with the columns, numbers and letters of Databento's, and `symbol` at the end."""

    def __init__(self, stream: IO[bytes] | Any, schema: SchemaName, symbol: str) -> None:
        self._stream, self._records, self._begun = stream, Records(schema), False
        self._symbol = symbol.rpartition(".")[0] or symbol
        self._columns = csv_columns(schema)

    def write(self, columns: RawColumns) -> None:
        """The next rows."""
        records = self._records.of(columns)
        made: dict[str, Any] = {name: np.ascontiguousarray(records[name]) for name in self._columns[:-1]}
        letters = {code: chr(code) for code in range(65, 91)}
        frame = pl.DataFrame(made).with_columns(
            *(pl.col(name).replace_strict(letters, return_dtype=pl.String) for name in ("action", "side")),
            pl.lit(self._symbol).alias("symbol"),
        )
        self._stream.write(frame.write_csv(include_header=not self._begun).encode())
        self._begun = True

    def finish(self) -> tuple[str, ...]:
        """Nothing is left to write."""
        return self._records.notes()


class DbnRows:
    """A DBN file. Its metadata stand at the beginning and name the days, so these are asked for first."""

    def __init__(self, stream: IO[bytes] | Any, schema: SchemaName, symbol: str, first_ns: int, last_ns: int) -> None:
        self._stream, self._records = stream, Records(schema)
        stream.write(_metadata(self._records.name, symbol, first_ns, last_ns))

    def write(self, columns: RawColumns) -> None:
        """The next rows."""
        self._stream.write(self._records.of(columns).tobytes())

    def finish(self) -> tuple[str, ...]:
        """Nothing is left to write."""
        return self._records.notes()


def _metadata(schema: str, symbol: str, first_ns: int, last_ns: int) -> bytes:
    try:
        import databento_dbn as dbn
    except ImportError as error:
        raise MissingExtra(
            'DBN files need databento-dbn: pip install "cift-markets[databento]"; the format dbn-csv needs nothing'
        ) from error
    raw_symbol, _, venue = symbol.rpartition(".")
    if not raw_symbol or not (venue.isascii() and venue.isalnum()) or len(venue) > VENUE_LENGTH_MAX:
        raise DataError(
            f"{symbol} names no venue that DBN can hold: letters and digits were expected, at most {VENUE_LENGTH_MAX}, as in "
            "ESM4.GLBX; the format dbn-csv has no place for a venue, and takes every symbol"
        )
    epoch, day = dt.date(1970, 1, 1), dt.timedelta(days=1)
    # A day more at either end: records belong to a day by the clock of receipt, which may be off.
    start = epoch + dt.timedelta(days=first_ns // DAY_NS) - day
    end = epoch + dt.timedelta(days=last_ns // DAY_NS) + 2 * day
    interval = SimpleNamespace(start_date=start, end_date=end, symbol=str(INSTRUMENT_ID))
    fields: Any = {
        "dataset": venue + DATASET_END,
        "start": first_ns,
        "stype_in": dbn.SType.RAW_SYMBOL,
        "stype_out": dbn.SType.INSTRUMENT_ID,
        "schema": dbn.Schema.from_str(schema),
        "symbols": [raw_symbol],
        "mappings": [SimpleNamespace(raw_symbol=raw_symbol, intervals=[interval])],
    }
    try:
        return bytes(dbn.Metadata(**fields).encode())
    except (dbn.DBNError, ValueError, OverflowError) as error:
        raise DataError(f"{symbol} cannot be named in DBN's metadata: {error}; export as dbn-csv") from None
