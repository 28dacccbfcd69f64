"""A DBN file: which schema it is of, its symbols, and its records as NumPy arrays."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa

from cift.data.columns import Array
from cift.data.times import datetime_ns
from cift.domain.chunk import SchemaName
from cift.errors import CorruptData, DataError, MissingExtra, NotSupported

ROWS_PER_READ = 65_536
BYTES_PER_READ = 1 << 23
"""Fewer rows are read at once where they are long, as those with ten levels are."""
MAGIC, ZSTD_MAGIC = b"DBN", b"\x28\xb5\x2f\xfd"
VERSIONS = (1, 2, 3)
HEADER_BYTES_MAX = 1 << 26
SYMBOL_LENGTH_MAX = 80
NO_PRICE = 2**63 - 1
PRICE_DECIMALS = 9
EXACT_MAX = 2**53
"""Whole numbers up to here are floats."""


@dataclass(frozen=True)
class Kind:
    """What the records of a schema are, and what becomes of them.

    Args:
        record: the vendor's class of a record.
        number: its type, as records tell it.
        schemas: ours that it is brought to.
        prices: its columns of prices.
        sampled: how often the best quote was looked at, where it was not recorded at each change.
        spec: of bars, what ended them.
        consolidated: whether the best of several venues stands in each record: its publishers are one market.
    """

    record: str
    number: int
    schemas: tuple[SchemaName, ...]
    prices: tuple[str, ...] = ("price", "bid_px_00", "ask_px_00")
    sampled: str = ""
    spec: str | None = None
    consolidated: bool = False


_QUOTES_AND_TRADES: tuple[SchemaName, ...] = ("quotes", "trades")
_OHLC = ("open", "high", "low", "close")
LEVELS = 10
KINDS: dict[str, Kind] = {
    "mbo": Kind("MBOMsg", 0xA0, ("mbo",), ("price",)),
    "mbp-1": Kind("MBP1Msg", 0x01, _QUOTES_AND_TRADES),
    "mbp-10": Kind(
        "MBP10Msg", 0x0A, ("mbp", "trades"), ("price", *(f"{side}_px_{n:02}" for n in range(LEVELS) for side in ("bid", "ask")))
    ),
    "tbbo": Kind("MBP1Msg", 0x01, _QUOTES_AND_TRADES),
    "trades": Kind("TradeMsg", 0x00, ("trades",), ("price",)),
    "bbo-1s": Kind("BBOMsg", 0xC3, ("quotes",), sampled="second"),
    "bbo-1m": Kind("BBOMsg", 0xC4, ("quotes",), sampled="minute"),
    "cmbp-1": Kind("CMBP1Msg", 0xB1, _QUOTES_AND_TRADES, consolidated=True),
    "cbbo-1s": Kind("CBBOMsg", 0xC0, ("quotes",), sampled="second", consolidated=True),
    "cbbo-1m": Kind("CBBOMsg", 0xC1, ("quotes",), sampled="minute", consolidated=True),
    "tcbbo": Kind("CMBP1Msg", 0xC2, _QUOTES_AND_TRADES, consolidated=True),
    "ohlcv-1s": Kind("OHLCVMsg", 0x20, ("bars",), _OHLC, spec="1s"),
    "ohlcv-1m": Kind("OHLCVMsg", 0x21, ("bars",), _OHLC, spec="1m"),
    "ohlcv-1h": Kind("OHLCVMsg", 0x22, ("bars",), _OHLC, spec="1h"),
    "ohlcv-1d": Kind("OHLCVMsg", 0x23, ("bars",), _OHLC, spec="1d"),
}
"""The schemas of files that are read."""


def package() -> Any:
    """The vendor's decoder.

    Raises:
        MissingExtra: where it is not installed.
    """
    try:
        import databento_dbn
    except ImportError as error:
        raise MissingExtra('DBN files need databento-dbn: pip install "cift-markets[databento]"') from error
    return databento_dbn


class Interval(NamedTuple):
    """An instrument id has a symbol from one time to another, by the time of receipt."""

    instrument_id: int
    start_ns: int
    end_ns: int
    raw_symbol: str


class Source:
    """A DBN file: its metadata, and its records as often as they are asked for.

    Raises:
        CorruptData: it is no DBN file, or its metadata is damaged.
        NotSupported: a later version of DBN.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        dbn = package()
        with self.open() as stream:
            self.version, header = self._header(stream)
        metadata = self._decoded(dbn, header)
        self.schema: str | None = None if metadata.schema is None else str(metadata.schema)
        self.kind = KINDS.get(self.schema or "")
        self.venue = str(metadata.dataset).partition(".")[0]
        if not self.venue.isalnum():
            raise CorruptData(f"the metadata of {self.name} names {metadata.dataset!r}, which is no dataset")
        self.intervals = self._intervals(metadata)
        self._header_bytes = len(header)
        self.dtype = np.dtype([])
        if self.kind is not None:
            fields = getattr(dbn, self.kind.record)._dtypes
            # As the vendor's own client makes arrays of records; letters as numbers, because they are compared, never printed.
            self.dtype = np.dtype([(name, "u1" if kind == "S1" else kind) for name, kind in fields])
            if metadata.ts_out:
                self.dtype = np.dtype([*self.dtype.descr, ("ts_out", "u8")])

    def open(self) -> IO[bytes] | Any:
        """The file's bytes, decompressed.

        Raises:
            DataError: it cannot be read. CorruptData: it begins with something else.
        """
        try:
            with self.path.open("rb") as file:
                start = file.read(4)
            if start == ZSTD_MAGIC:
                return pa.input_stream(str(self.path), compression="zstd")
            if start[:3] == MAGIC:
                return self.path.open("rb")
        except FileNotFoundError:
            raise DataError(f"{self.path} does not exist") from None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from None
        raise CorruptData(f"{self.name} begins with {start!r}; a DBN file begins with {MAGIC!r}, or with zstd's {ZSTD_MAGIC!r}")

    def read(self, stream: IO[bytes] | Any, size: int, where: str) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""
        pieces, left = [], size
        try:
            while left and (piece := stream.read(min(left, 1 << 23))):
                pieces.append(piece)
                left -= len(piece)
        except (OSError, EOFError, pa.ArrowException) as error:
            raise CorruptData(f"{self.name} cannot be read {where}: {error}") from None
        return b"".join(pieces)

    def _header(self, stream: IO[bytes] | Any) -> tuple[int, bytes]:
        start = self.read(stream, 8, "at its beginning")
        if len(start) < 8 or start[:3] != MAGIC:
            raise CorruptData(f"{self.name} is no DBN file: it begins with {start!r}")
        version, size = start[3], int.from_bytes(start[4:], "little")
        if version not in VERSIONS:
            raise NotSupported(
                f"{self.name} is DBN of version {version}; versions {', '.join(map(str, VERSIONS))} are supported"
            )
        if size > HEADER_BYTES_MAX:
            raise CorruptData(f"{self.name} announces metadata of {size} bytes")
        rest = self.read(stream, size, "in its metadata")
        if len(rest) < size:
            raise CorruptData(f"{self.name} ends in its metadata, after {len(rest)} of {size} bytes")
        return version, start + rest

    def _decoded(self, dbn: Any, header: bytes) -> Any:
        try:
            return dbn.Metadata.decode(header, dbn.VersionUpgradePolicy.AS_IS)
        except (dbn.DBNError, ValueError, OverflowError) as error:
            raise CorruptData(f"the metadata of {self.name} cannot be read: {error}") from None

    def _intervals(self, metadata: Any) -> list[Interval]:
        found = []
        ids_are_keys = str(metadata.stype_in) == "instrument_id"
        try:
            for key, spans in metadata.mappings.items():
                for span in spans:
                    number, name = (key, span["symbol"]) if ids_are_keys else (span["symbol"], key)
                    if not number.isdecimal() or not name:
                        continue  # a symbol that was not resolved in this span
                    start, end = (datetime_ns(dt.datetime(*span[at].timetuple()[:3])) for at in ("start_date", "end_date"))
                    if not name.isprintable() or len(name) > SYMBOL_LENGTH_MAX:
                        raise ValueError(f"{name[:80]!r} is no symbol")
                    found.append(Interval(int(number), start, end, name))
        except (ValueError, OverflowError, TypeError) as error:
            raise CorruptData(f"the symbols of {self.name} cannot be read: {error}") from None
        return sorted(found)  # the vendor's library gives them in the order of a hash map

    def records(self) -> Iterator[tuple[int, Array]]:
        """The records in batches, with the number of the first of each, counted from 1.

        Raises:
            CorruptData: the file is cut off or damaged, or holds records of another type.
        """
        assert self.kind is not None
        row, size = 1, self.dtype.itemsize
        at_once = max(1, min(ROWS_PER_READ, BYTES_PER_READ // size))
        with self.open() as stream:
            self.read(stream, self._header_bytes, "in its metadata")
            while data := self.read(stream, at_once * size, f"after record {row - 1}"):
                whole = len(data) // size
                records = np.frombuffer(data, self.dtype, count=whole)
                bad = np.flatnonzero((records["length"] != size // 4) | (records["rtype"] != self.kind.number))
                if len(bad):
                    raise CorruptData(
                        f"{self.name}, record {row + int(bad[0])}: length {int(records['length'][bad[0]]) * 4} and type "
                        f"{int(records['rtype'][bad[0]])}; {self.schema} has {size} bytes and type {self.kind.number}"
                    )
                if whole:
                    yield row, records
                row += whole
                if len(data) % size:
                    raise CorruptData(f"{self.name} ends within record {row}")


def prices(units: Array) -> Array:
    """Prices in 1e-9 as floats, each the nearest to its decimal; NaN where there is none."""
    result: Array = units / 10**PRICE_DECIMALS
    large = np.abs(units) > EXACT_MAX
    if large.any():
        result[units == NO_PRICE] = np.nan
        for index in np.flatnonzero(large & (units != NO_PRICE)):
            # Division of Python's integers rounds once, whatever their size.
            result[index] = int(units[index]) / 10**PRICE_DECIMALS
    return result
