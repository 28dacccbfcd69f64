"""A moment in time, as users write it and as the package counts it: nanoseconds since the epoch, UTC."""

from __future__ import annotations

import datetime as dt
from numbers import Integral
from typing import TYPE_CHECKING, TypeAlias

from cift.errors import InvalidParameter

if TYPE_CHECKING:
    import numpy as np

DAY_NS = 86_400_000_000_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

TimeLike: TypeAlias = "str | int | dt.date | dt.datetime | np.datetime64"


def datetime_ns(value: dt.datetime) -> int:
    """A datetime as nanoseconds since the epoch; a naive one counts as UTC."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
    # pandas' Timestamp is a datetime with nanoseconds beside.
    return (aware - EPOCH) // dt.timedelta(microseconds=1) * 1_000 + int(getattr(value, "nanosecond", 0))


def time_ns(value: TimeLike, name: str) -> tuple[int, bool]:
    """A time given by a user, as nanoseconds since the epoch, and whether it was a lone date.

    Takes dates, ISO texts (up to nanoseconds; an offset or Z is heeded), datetimes, NumPy's datetime64, and whole numbers of
    nanoseconds. What names no zone is UTC.

    Raises:
        InvalidParameter: where it is none of these.
    """
    if isinstance(value, dt.datetime):
        return datetime_ns(value), False
    if isinstance(value, dt.date):
        return datetime_ns(dt.datetime(value.year, value.month, value.day)), True
    if isinstance(value, str):
        return _text_ns(value.strip(), name)
    if isinstance(value, Integral) and not isinstance(value, bool):  # NumPy's among them
        return int(value), False
    import numpy as np

    if isinstance(value, np.datetime64) and not np.isnat(value):
        return int(value.astype("datetime64[ns]").astype(np.int64)), value.dtype == np.dtype("datetime64[D]")
    raise InvalidParameter(f"{name} must be a date, an ISO text such as '2026-01-05T14:30', or a datetime, not {value!r}")


def _text_ns(text: str, name: str) -> tuple[int, bool]:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return time_ns(day, name)
    whole, _, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        if len(digits) > 9:
            raise ValueError
        moment = dt.datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError:
        raise InvalidParameter(
            f"{name} {text!r} is not a date or time; write it as '2026-01-05' or '2026-01-05T14:30:00.5+00:00'"
        ) from None
    return datetime_ns(moment) + int(digits.ljust(9, "0")), False


def iso(ns: int) -> str:
    """Nanoseconds since the epoch as ISO text, UTC."""
    import numpy as np

    return f"{np.datetime64(ns, 'ns')}Z"


def short_iso(ns: int) -> str:
    """The same without zeros: a lone date where it is midnight, else the time with as many digits as it needs."""
    import numpy as np

    text = str(np.datetime_as_string(np.datetime64(ns, "ns"), unit="auto"))
    return f"{text}Z" if "T" in text else text
