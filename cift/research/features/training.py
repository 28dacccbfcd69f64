"""Lagged features and targets, each within one symbol and session, and the frame that a model is trained on.

What a row may know is what stands in it and in the rows before; its target is made of it and of the rows behind. Neither
crosses from one symbol or session to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cift.domain.calendar import ALWAYS_OPEN, sessions
from cift.domain.duration import Duration, duration_ns
from cift.errors import DataError, InvalidParameter, NoData, TimeOrder
from cift.research.features.quotes import Column, column

Kind = Literal["return", "change", "value"]
Keys = str | pl.Expr | Sequence[str | pl.Expr]
TIME = pl.Datetime("ns", "UTC")
DAY_NS = 86_400_000_000_000
NS_OF_UNIT = {"ns": 1, "us": 1_000, "ms": 1_000_000}
KNOWN_AT = "known_at"


def times_ns(times: pl.Series) -> NDArray[np.int64]:
    """A column of times as nanoseconds since the epoch; whole numbers are that already.

    Raises:
        DataError: where it is no column of times, or one is missing.
    """
    if times.dtype == pl.Datetime:
        times = times.dt.cast_time_unit("ns").to_physical()
    if not times.dtype.is_integer():
        raise DataError(
            f"{times.name or 'time'} is {times.dtype}; datetimes or whole nanoseconds since the epoch were expected"
        )
    if times.null_count():
        raise DataError(f"{times.name or 'time'} has {times.null_count()} missing times; fill or drop them first")
    return times.cast(pl.Int64).to_numpy()


def _ascending(times: NDArray[np.int64]) -> None:
    back = np.flatnonzero(times[1:] < times[:-1])
    if len(back):
        row = int(back[0]) + 1
        raise TimeOrder(f"times go back at row {row} of its group, from {times[row - 1]} to {times[row]}; sort by time first")


def _over(expression: pl.Expr, by: Keys | None) -> pl.Expr:
    if by is None or (isinstance(by, Sequence) and not by):
        return expression
    return expression.over(by)


def _name(given: Column) -> str:
    return given if isinstance(given, str) else given.meta.output_name()


def session(calendar: str = ALWAYS_OPEN, *, time: str = "ts_event") -> pl.Expr:
    """When the session of a row began, as a key to group by: UTC midnight, or the opening of an exchange.

    Null outside of the sessions of an exchange, and where its calendar does not reach.

    Args:
        calendar: "24/7", or an exchange's calendar such as "XNYS".
        time: column of times.

    Raises:
        UnknownName: when it is computed, a calendar that there is not.
        MissingExtra: when it is computed, without exchange_calendars.
    """

    def began(times: pl.Series) -> pl.Series:
        ns = times_ns(times)
        if not len(ns):
            return pl.Series(times.name, [], dtype=TIME)
        if calendar == ALWAYS_OPEN:
            return pl.Series(times.name, ns // DAY_NS * DAY_NS).cast(TIME)
        found = sessions(calendar, int(ns.min()), int(ns.max()) + 1)
        if found is None or not len(found.opens_ns):
            return pl.Series(times.name, [None] * len(ns), dtype=TIME)
        index = np.searchsorted(found.opens_ns, ns, side="right") - 1
        inside = (index >= 0) & (ns < found.closes_ns[np.maximum(index, 0)])
        opened = pl.Series(times.name, found.opens_ns[np.maximum(index, 0)]).cast(TIME)
        return pl.select(pl.when(pl.Series(inside)).then(opened)).to_series().alias(times.name)

    return pl.col(time).map_batches(began, return_dtype=TIME, is_elementwise=True).alias("session")


def _in_force(offset_ns: int) -> Callable[[Sequence[pl.Series]], pl.Series]:
    """The value in force at the time of each row plus an offset: that of the last row at or before it.

    Null before the first row; and after the last one, because nobody knows what came then.
    """

    def found(columns: Sequence[pl.Series]) -> pl.Series:
        values, times = columns
        ns = times_ns(times)
        _ascending(ns)
        if not len(ns):
            return values
        asked = ns + offset_ns
        known = int(np.searchsorted(asked, ns[-1], side="right"))
        held = pl.DataFrame([pl.Series("at", ns), values.alias("value")])
        looked = pl.DataFrame({"at": asked[:known]}).join_asof(held, on="at", check_sortedness=False)["value"]
        return looked.extend_constant(None, len(ns) - known).alias(values.name)

    return found


def _shifted(given: Column, by_rows: int | None, offset_ns: int, time: str, by: Keys | None) -> pl.Expr:
    """A column some rows, or a span of time, away; positive is later."""
    value = column(given)
    if by_rows is not None:
        return _over(value.shift(-by_rows), by)
    moved = pl.map_batches([value, pl.col(time)], _in_force(offset_ns), return_dtype=pl.self_dtype(), is_elementwise=False)
    return _over(moved, by)


def _distance(value: int | Duration, name: str) -> tuple[int | None, int]:
    """Rows, or nanoseconds; both positive.

    Raises:
        InvalidParameter: where it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise InvalidParameter(f"{name} must be at least 1 row, not {value}; lags look back, targets look forward")
        return value, 0
    span_ns = duration_ns(value, name)
    if span_ns <= 0:
        raise InvalidParameter(f"{name} must be longer than nothing, not {value!r}; lags look back, targets look forward")
    return None, span_ns


def lagged(
    columns: Column | Sequence[Column], lags: Iterable[int | str], *, time: str = "ts_event", by: Keys | None = None
) -> list[pl.Expr]:
    """Columns as they stood some rows or some time ago.

    Args:
        columns: names or expressions.
        lags: rows back (1 is the row before), or spans of time such as "5s": the value in force then, which is that of the
            last row at or before it.
        time: column of times, ascending within each group of `by`.
        by: columns that no lag crosses: "symbol", or `["symbol", session()]`.

    Returns:
        Expressions called `mid_lag_1`, `mid_lag_5s`.

    Raises:
        InvalidParameter: a lag that does not look back. TimeOrder, DataError: when it is computed, times that go back or are
            missing.

    Example:
        >>> import polars as pl
        >>> pl.DataFrame({"mid": [1.0, 2.0, 4.0]}).select(lagged("mid", [1, 2])).rows()
        [(None, None), (1.0, None), (2.0, 1.0)]
    """
    given = [columns] if isinstance(columns, str | pl.Expr) else list(columns)
    made = []
    for one in given:
        for lag in lags if isinstance(lags, Sequence) else (lags := list(lags)):
            rows, span_ns = _distance(lag, "lag")
            shifted = _shifted(one, None if rows is None else -rows, -span_ns, time, by)
            made.append(shifted.alias(f"{_name(one)}_lag_{lag}"))
    return made


def target(
    of: Column,
    horizon: int | Duration,
    *,
    kind: Kind = "return",
    time: str = "ts_event",
    by: Keys | None = None,
) -> pl.Expr:
    """What a column comes to after some rows or some time: the only expression here that looks forward.

    Args:
        of: name or expression, such as "mid".
        horizon: rows, or a span of time h: the value in force at t + h, which is that of the last row at or before it. Rows
            of the nanosecond t + h itself count; where nothing moved within h, it is the value of now.
        kind: "return" (later / now - 1), "change" (later - now) or "value" (later).
        time: column of times, ascending within each group of `by`.
        by: columns that no target crosses: "symbol", or `["symbol", session()]`.

    Returns:
        An expression called "target"; null where the group ends before t + h.

    Raises:
        InvalidParameter: a horizon that does not look forward, or a kind that is none. TimeOrder, DataError: when it is
            computed, times that go back or are missing.
    """
    if kind not in get_args(Kind):
        raise InvalidParameter(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r}")
    rows, span_ns = _distance(horizon, "horizon")
    later, now = _shifted(of, rows, span_ns, time, by), column(of)
    if kind == "value":
        return later.alias("target")
    return (later - now if kind == "change" else later / now - 1).alias("target")


def known_at(horizon: int | Duration, *, time: str = "ts_event", by: Keys | None = None) -> pl.Expr:
    """When the target of a row is known: the time of the row `horizon` rows on, or t + h; null with the target.

    It is of the type of `time`. Where that counts in coarser steps than t + h falls on, it is the next step, never an earlier.

    Raises:
        InvalidParameter: a horizon that does not look forward.
    """
    rows, span_ns = _distance(horizon, "horizon")
    if rows is not None:
        return _over(pl.col(time).shift(-rows), by).alias(KNOWN_AT)

    def ends(times: pl.Series) -> pl.Series:
        ns = times_ns(times)
        until = ns + span_ns
        step = NS_OF_UNIT[times.dtype.time_unit] if isinstance(times.dtype, pl.Datetime) else 1
        ended = pl.Series(times.name, -(-until // step)).set(pl.Series(until > (ns[-1] if len(ns) else 0)), None)
        return ended.cast(times.dtype)

    ended = pl.col(time).map_batches(ends, return_dtype=pl.self_dtype(), is_elementwise=False)
    return _over(ended, by).alias(KNOWN_AT)


def training_frame(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    features: Sequence[Column],
    target: Column,
    horizon: int | Duration,
    kind: Kind = "return",
    time: str = "ts_event",
    by: str | Sequence[str] | None = None,
    calendar: str = ALWAYS_OPEN,
) -> pl.DataFrame:
    """Features and target of each row of which all are known, in order of time.

    Features and target are computed within each symbol and session. Rows without one of them are left out: those of the
    warm-up, of the end of a session, those outside of all sessions, those with a missing or undefined value.

    Args:
        frame: rows in order of time, within each symbol at least.
        features: names, or expressions that read this row and those before, without `.over` of their own.
        target: what to foresee, such as `mid()`.
        horizon, kind: see `target`.
        time: column of times.
        by: columns that hold a series each; None: "symbol", where there is that column.
        calendar: whose sessions: "24/7" (UTC days), or an exchange's such as "XNYS".

    Returns:
        Columns: `time`, those of `by`, the features, "target", and "known_at": when the target is known, which `PurgedSplit`
        asks for.

    Raises:
        TimeOrder: times go back within a symbol. DataError: a time is missing. NoData: no row is left.
        InvalidParameter: see `target`; two features of one name.
    """
    names = [_name(feature) for feature in features]
    doubled = sorted({name for name in [*names, "target", KNOWN_AT] if [*names, "target", KNOWN_AT].count(name) > 1})
    if not names or doubled:
        raise InvalidParameter(
            f"features has two columns called {doubled[0]!r}; give one an .alias" if doubled else "features is empty; name some"
        )
    whole = frame.lazy().collect()
    given = ["symbol"] if by is None and "symbol" in whole.columns else by or []
    keys = [given] if isinstance(given, str) else list(given)
    _check_times(whole, time, keys)
    opened = "_session_of_row"
    whole = whole.with_columns(session(calendar, time=time).alias(opened)).filter(pl.col(opened).is_not_null())
    groups: Keys = [*keys, opened]
    looked = _target(target, horizon, kind=kind, time=time, by=groups)
    made = whole.select(
        pl.col(time),
        *(pl.col(key) for key in keys),
        *(column(feature).over(groups).alias(name) for feature, name in zip(features, names, strict=True)),
        looked,
        known_at(horizon, time=time, by=groups),
    )
    wanted: list[Any] = [*names, "target", KNOWN_AT]
    floats = [name for name in wanted if made.schema[name].is_float()]
    kept = made.with_columns(pl.col(floats).fill_nan(None)).drop_nulls(wanted)
    if not kept.height:
        raise NoData(
            f"no data: none of the {whole.height} rows has all of {', '.join(names)} and a target {horizon} ahead within its "
            "session; take a shorter horizon or warm-up"
        )
    return kept.sort(time, maintain_order=True)


_target = target


def _check_times(frame: pl.DataFrame, time: str, keys: list[str]) -> None:
    """That times ascend within each group.

    Raises:
        DataError, TimeOrder: where they are missing or go back.
    """
    absent = [name for name in (time, *keys) if name not in frame.columns]
    if absent:
        raise DataError(f"column {absent[0]!r} missing; found {', '.join(frame.columns)}")
    ns = pl.Series("ns", times_ns(frame[time]))
    if ns.is_sorted():
        return
    if not keys:
        _ascending(ns.to_numpy())
    for _, group in frame.select(*(pl.col(key) for key in keys), ns).group_by(keys):
        _ascending(group["ns"].to_numpy())
