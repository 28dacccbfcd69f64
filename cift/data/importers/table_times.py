"""How a table writes times: numbers, texts and timestamps, brought to UTC."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

from cift.data.times import datetime_ns
from cift.errors import DataError, InvalidParameter

NS_PER_UNIT = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
TIME_DECIMALS = pa.decimal128(27, 9)
"""Times with a fraction are read as decimals: a float would lose the nanoseconds."""
INT64_MAX = 2**63 - 1
WHOLE, _FRACTION = re.compile(r"-?\d+"), re.compile(r"-?\d+\.\d*")
_COMPACT_DATE = r"^(\d{4})(\d{2})(\d{2})[ T]"
_HAS_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")


@dataclass(frozen=True)
class Times:
    """How a table writes times, see the head of `cift.data.importers.tables`.

    Raises:
        InvalidParameter: a unit, zone or date that there is not.
    """

    unit: str = "ns"
    zone: str = "UTC"
    date: str | dt.date | None = None

    def __post_init__(self) -> None:
        if self.unit not in NS_PER_UNIT:
            raise InvalidParameter(f"time_unit must be one of {', '.join(NS_PER_UNIT)}, not {self.unit!r}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, TypeError):
            raise InvalidParameter(f"timezone {self.zone!r} is not known; write it as 'America/New_York'") from None
        self.midnight_ns  # noqa: B018

    @cached_property
    def midnight_ns(self) -> int:
        """What numbers are counted from."""
        if self.date is None:
            return 0
        try:
            day = dt.date.fromisoformat(self.date) if isinstance(self.date, str) else self.date
            return datetime_ns(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)))
        except (ValueError, AttributeError):
            raise InvalidParameter(f"date must be a day such as '2012-06-21', not {self.date!r}") from None

    def kind(self, value: str) -> pa.DataType:
        """What a column of a text file is read as, by its first value."""
        if WHOLE.fullmatch(value) and self.unit in ("ns", "us"):
            return pa.int64()
        # Of seconds and milliseconds the first may be whole and others not.
        return TIME_DECIMALS if WHOLE.fullmatch(value) or _FRACTION.fullmatch(value) else pa.string()

    def read(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column of times as timestamps, UTC.

        Raises:
            DataError: where a value is no time.
        """
        kind = column.type
        target = pa.timestamp("ns", tz="UTC")
        if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
            return self._since_midnight(column).cast(target)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            try:
                column = _parsed(column)
            except pa.ArrowInvalid:
                # Blanks around a time and dates without dashes are rare, and taking them out is dear.
                text = pc.utf8_trim_whitespace(column)
                column = _parsed(pc.replace_substring_regex(text, _COMPACT_DATE, r"\1-\2-\3 "))
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            column = pc.assume_timezone(column.cast(pa.timestamp("ns")), self.zone)
        if not pa.types.is_timestamp(column.type):
            raise DataError(f"times must be texts, whole numbers or timestamps, not {kind}")
        return column.cast(target)

    def _since_midnight(self, numbers: pa.ChunkedArray) -> pa.ChunkedArray:
        factor = NS_PER_UNIT[self.unit]
        for end in pc.min_max(numbers).as_py().values():
            if end is not None and abs(end * factor + self.midnight_ns) > INT64_MAX:
                raise DataError(f"time {end} {self.unit} is out of range; pass time_unit= as it is")
        if pa.types.is_decimal(numbers.type):
            # Exact: what lies beyond the nanosecond is no whole number of them, and an error.
            return pc.add(pc.multiply(numbers, pa.scalar(Decimal(factor))).cast(pa.int64()), self.midnight_ns)
        return pc.add(pc.multiply(numbers.cast(pa.int64()), factor), self.midnight_ns)


def _parsed(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO times as timestamps: UTC where the first of them names a zone."""
    told = text.drop_null()
    zoned = len(told) and _HAS_ZONE.search(told[0].as_py()[10:])
    return text.cast(pa.timestamp("ns", tz="UTC" if zoned else None))
