"""Lags and targets beside a search row by row; the training frame; sessions."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.errors import DataError, InvalidParameter, NoData, TimeOrder, UnknownName
from cift.research import features as ft
from tests.research.features.rows import SECOND_NS, bits, market

Row = tuple[int, str, float | None]
ROWS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("AB"), st.one_of(st.none(), st.integers(1, 50).map(float))),
    min_size=1,
    max_size=30,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def frame_of(rows: list[Row]) -> pl.DataFrame:
    schema = {"ts_event": pl.Int64, "symbol": pl.String, "mid": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def in_force(rows: list[Row], at: int, symbol: str) -> tuple[bool, float | None]:
    """Whether it is known what a symbol's value is at a time, and which."""
    times = [time for time, name, _ in rows if name == symbol]
    before = [value for time, name, value in rows if name == symbol and time <= at]
    return bool(before) and at <= times[-1], before[-1] if before else None


# ------------------------------------------------------------------ targets and lags


@given(rows=ROWS, horizon=st.integers(1, 12))
def test_a_target_in_time_is_the_value_in_force_then(rows: list[Row], horizon: int) -> None:
    made = frame_of(rows).select(ft.target("mid", f"{horizon}ns", kind="value", by="symbol")).to_series().to_list()
    for (time, symbol, _), value in zip(rows, made, strict=True):
        known, expected = in_force(rows, time + horizon, symbol)
        assert value == (expected if known else None)


@given(rows=ROWS, lag=st.integers(1, 12))
def test_a_lag_in_time_is_the_value_in_force_then(rows: list[Row], lag: int) -> None:
    made = frame_of(rows).select(ft.lagged("mid", [f"{lag}ns"], by="symbol")).to_series().to_list()
    assert made == [in_force(rows, time - lag, symbol)[1] for time, symbol, _ in rows]


@given(rows=ROWS, distance=st.integers(1, 5))
def test_lags_and_targets_in_rows_count_those_of_the_symbol(rows: list[Row], distance: int) -> None:
    frame = frame_of(rows)
    made = frame.select(
        ft.target("mid", distance, kind="value", by="symbol"), *ft.lagged("mid", [distance], by="symbol"), pl.col("symbol")
    )
    for symbol in "AB":
        values = [value for _, name, value in rows if name == symbol]
        own = made.filter(pl.col("symbol") == symbol)
        assert own["target"].to_list() == [*values[distance:], *[None] * min(distance, len(values))]
        assert (
            own[f"mid_lag_{distance}"].to_list() == [*[None] * min(distance, len(values)), *values[:-distance]][: len(values)]
        )


@given(rows=ROWS, horizon=st.integers(1, 9), at=st.integers(0, 29), seed=st.integers(0, 99))
def test_a_target_reads_its_row_and_those_behind_alone(rows: list[Row], horizon: int, at: int, seed: int) -> None:
    at = at % len(rows)
    changed = [(time, symbol, float(seed + i)) for i, (time, symbol, _) in enumerate(rows[:at])] + rows[at:]
    for distance in (horizon, f"{horizon}ns"):
        expression = ft.target("mid", distance, by="symbol")
        one, other = (frame_of(each).select(expression).to_series() for each in (rows, changed))
        assert bits(one.slice(at)) == bits(other.slice(at))


def test_kinds_of_targets() -> None:
    frame = pl.DataFrame({"ts_event": [0, 1, 2], "mid": [100.0, 101.0, 99.0]})
    made = [frame.select(ft.target("mid", 1, kind=kind)).to_series().to_list() for kind in ("value", "change", "return")]
    assert made == [[101.0, 99.0, None], [1.0, -2.0, None], [101 / 100 - 1, 99 / 101 - 1, None]]
    assert frame.select(ft.target(pl.col("mid") * 2, 1, kind="change")).columns == ["target"]


def test_neither_lag_nor_target_crosses_from_day_to_day() -> None:
    hours = pl.Series([22, 23, 25, 26]) * 3_600 * SECOND_NS
    frame = pl.DataFrame({"ts_event": hours.cast(pl.Datetime("ns", "UTC")), "symbol": ["A"] * 4, "mid": [1.0, 2.0, 3.0, 4.0]})
    by = ["symbol", ft.session()]
    made = frame.select(
        *ft.lagged("mid", [1, "2h"], by=by),
        ft.target("mid", 1, kind="value", by=by),
        late=ft.target("mid", "1h", by=by, kind="value"),
    )
    assert made.rows() == [(None, None, 2.0, 2.0), (1.0, None, None, None), (None, None, 4.0, 4.0), (3.0, None, None, None)]


def test_lags_are_named_by_column_and_distance() -> None:
    frame = pl.DataFrame({"ts_event": [0, 1], "a": [1, 2], "b": ["x", "y"]})
    made = frame.select(ft.lagged(["a", pl.col("b").alias("c")], (n for n in (1, "1ns"))))
    assert made.to_dict(as_series=False) == {
        "a_lag_1": [None, 1], "a_lag_1ns": [None, 1], "c_lag_1": [None, "x"], "c_lag_1ns": [None, "x"],
    }  # fmt: skip


@pytest.mark.parametrize("distance", [0, -1, True, "0s", "-5s", "soon", 1.5])
def test_a_distance_must_lead_away(distance: Any) -> None:
    with pytest.raises(InvalidParameter):
        ft.target("mid", distance)
    with pytest.raises(InvalidParameter):
        ft.lagged("mid", [distance])


def test_times_must_be_times_in_order() -> None:
    with pytest.raises(TimeOrder, match="row 1"):
        pl.DataFrame({"ts_event": [2, 1], "mid": [1.0, 2.0]}).select(ft.target("mid", "1ns"))
    with pytest.raises(DataError, match="1 missing"):
        pl.DataFrame({"ts_event": [2, None], "mid": [1.0, 2.0]}).select(ft.target("mid", "1ns"))
    with pytest.raises(DataError, match="is String"):
        pl.DataFrame({"ts_event": ["2"], "mid": [1.0]}).select(ft.target("mid", "1ns"))
    with pytest.raises(InvalidParameter, match="kind"):
        ft.target("mid", 1, kind="log")  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_any_unit_are_read(unit: Any) -> None:
    times = pl.Series([0, 1_000, 3_000]).cast(pl.Datetime("ms")).dt.cast_time_unit(unit)
    frame = pl.DataFrame({"ts_event": times, "mid": [1.0, 2.0, 3.0]})
    assert frame.select(ft.target("mid", "2s", kind="value")).to_series().to_list() == [2.0, 3.0, None]


# ------------------------------------------------------------------ sessions


def test_days_begin_at_midnight() -> None:
    times = pl.Series("ts_event", [-1, 0, 86_400 * SECOND_NS - 1]).cast(pl.Datetime("ns", "UTC"))
    made = times.to_frame().select(ft.session()).to_series()
    assert made.dt.to_string("%Y-%m-%d %H:%M").to_list() == ["1969-12-31 00:00", "1970-01-01 00:00", "1970-01-01 00:00"]
    assert times.clear().to_frame().select(ft.session()).schema["session"] == pl.Datetime("ns", "UTC")


def test_sessions_of_an_exchange() -> None:
    texts = ["2026-01-05T14:29:59", "2026-01-05T14:30", "2026-01-05T20:59:59", "2026-01-05T21:00", "2026-01-06T15:00"]
    frame = pl.DataFrame({"ts_event": texts}).with_columns(pl.col("ts_event").str.to_datetime(time_unit="ns", time_zone="UTC"))
    made = frame.select(ft.session("XNYS")).to_series()
    assert made.dt.to_string("%d %H:%M").to_list() == [None, "05 14:30", "05 14:30", None, "06 14:30"]
    assert frame.head(1).select(ft.session("XNYS")).to_series().to_list() == [None]
    old = pl.DataFrame({"ts_event": [-(2**62)]}).select(ft.session("XKRX")).to_series()
    assert old.to_list() == [None]  # its calendar begins later
    with pytest.raises(UnknownName, match="XNYS"):
        frame.select(ft.session("XNYZ"))


# ------------------------------------------------------------------ the frame


@given(seed=st.integers(0, 2**32), horizon=st.sampled_from([2, "40m"]))
def test_a_training_frame_keeps_symbols_and_days_apart(seed: int, horizon: Any) -> None:
    frame = market(80, seed)
    features = [ft.spread(), *ft.lagged("price", [1]), ft.vwap(3)]
    try:
        made = ft.training_frame(frame, features=features, target="price", horizon=horizon, kind="change")
    except NoData:
        made = pl.DataFrame()
    expected = []
    for (symbol, _), group in frame.group_by("symbol", pl.col("ts_event").dt.date(), maintain_order=True):
        alone = group.select(
            "ts_event", pl.lit(symbol).alias("symbol"), *features, ft.target("price", horizon, kind="change"),
            pl.col("ts_event").shift(-2).alias("known_at")
            if horizon == 2
            else pl.col("ts_event").dt.offset_by("40m").alias("known_at"),
        ).fill_nan(None).drop_nulls()  # fmt: skip
        expected.append(alone)
    whole = pl.concat(expected).sort("ts_event", "symbol")
    assert made.height == whole.height
    if made.height:
        assert made.columns == ["ts_event", "symbol", "spread", "price_lag_1", "vwap", "target", "known_at"]
        assert made["ts_event"].is_sorted()
        assert made.sort("ts_event", "symbol").equals(whole)


def test_rows_without_a_value_are_left_out() -> None:
    frame = pl.DataFrame({"ts_event": [1, 2, 3, 4], "x": [1.0, math.nan, None, 2.0], "mid": [1.0, 2.0, 3.0, 4.0]})
    made = ft.training_frame(frame.lazy(), features=["x"], target="mid", horizon=1)
    assert made.to_dict(as_series=False) == {"ts_event": [1], "x": [1.0], "target": [1.0], "known_at": [2]}


def test_a_training_frame_says_what_is_wrong() -> None:
    frame = pl.DataFrame({"ts_event": [1, 2], "mid": [1.0, 2.0], "symbol": ["A", "A"]})
    good: dict[str, Any] = {"features": ["mid"], "target": "mid", "horizon": 1}
    assert ft.training_frame(frame, **good).height == 1
    with pytest.raises(NoData, match="shorter horizon"):
        ft.training_frame(frame, **{**good, "horizon": 2})
    with pytest.raises(InvalidParameter, match="two columns called 'mid'"):
        ft.training_frame(frame, **{**good, "features": ["mid", pl.col("mid")]})
    with pytest.raises(InvalidParameter, match="two columns called 'target'"):
        ft.training_frame(frame, **{**good, "features": [pl.col("mid").alias("target")]})
    with pytest.raises(InvalidParameter, match="empty"):
        ft.training_frame(frame, **{**good, "features": []})
    with pytest.raises(DataError, match="'isin' missing"):
        ft.training_frame(frame, **good, by="isin")
    with pytest.raises(TimeOrder, match="row 1"):
        ft.training_frame(frame.reverse(), **good)
    with pytest.raises(TimeOrder):
        ft.training_frame(frame.reverse().drop("symbol"), **good)


def test_symbols_may_stand_one_after_the_other() -> None:
    frame = pl.DataFrame({"ts_event": [1, 2, 1, 2], "mid": [1.0, 2.0, 3.0, 4.0], "symbol": ["A", "A", "B", "B"]})
    made = ft.training_frame(frame, features=["mid"], target="mid", horizon=1, kind="value")
    assert made.rows() == [(1, "A", 1.0, 2.0, 2), (1, "B", 3.0, 4.0, 2)]


def test_an_exchange_closes() -> None:
    times = [dt.datetime(2026, 1, 5, hour) for hour in (13, 15, 16, 22)] + [dt.datetime(2026, 1, 6, 15)]
    frame = pl.DataFrame({"ts_event": times, "mid": [1.0, 2.0, 3.0, 4.0, 5.0]})
    made = ft.training_frame(frame, features=["mid"], target="mid", horizon=1, kind="value", calendar="XNYS")
    assert made.select("mid", "target").rows() == [(2.0, 3.0)]


def test_nothing_in_the_features_of_a_training_frame_sees_the_future() -> None:
    frame = market(300, 5)
    features = [
        ft.microprice(),
        ft.order_flow_imbalance(2),
        *ft.lagged("price", [1, "5m"]),
        ft.realised_volatility(3, price="price"),
    ]
    leaks = ft.check_lookahead(lambda rows: rows.select(each.over("symbol", ft.session()) for each in features), frame)
    assert leaks == []


@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
@pytest.mark.parametrize(("horizon", "ahead"), [("2s", {"ns": 2 * 10**9}), ("1500001ns", {"us": 1_501_000, "ms": 2_000_000})])
def test_when_a_target_is_known_is_told_in_the_unit_of_the_times(unit: str, horizon: str, ahead: dict[str, int]) -> None:
    times = pl.Series(range(12)) * SECOND_NS + 1_704_189_600 * SECOND_NS
    kind = pl.Datetime(unit, "UTC")  # type: ignore[arg-type]
    frame = pl.DataFrame({"ts_event": times.cast(pl.Datetime("ns", "UTC")).cast(kind), "mid": [float(n) for n in range(1, 13)]})
    made = ft.training_frame(frame, features=["mid"], target="mid", horizon=horizon, kind="value")
    assert made.schema["known_at"] == kind
    exact_ns = 2 * SECOND_NS if horizon == "2s" else 1_500_001
    known = (made["known_at"] - made["ts_event"]).cast(pl.Duration("ns")).to_physical().unique().to_list()
    assert known == [ahead.get(unit, exact_ns)]  # never earlier than it is known
    nanoseconds = frame.with_columns(pl.col("ts_event").cast(pl.Datetime("ns", "UTC")))
    fine = ft.training_frame(nanoseconds, features=["mid"], target="mid", horizon=horizon, kind="value")
    for train in ("around", "before"):
        split = ft.PurgedSplit(2, train=train)  # type: ignore[arg-type]
        expected = [(one.tolist(), other.tolist()) for one, other in split.split(fine)]
        assert [(one.tolist(), other.tolist()) for one, other in split.split(made)] == expected
