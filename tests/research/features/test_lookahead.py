"""A planted look ahead is found and named; what looks back alone is not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import polars as pl
import pytest

from cift.errors import DataError, InvalidParameter, NoData
from cift.research import features as ft
from tests.research.features.rows import market

FRAME = market(200, 7)
price = pl.col("price")

PLANTED: dict[str, pl.Expr] = {
    "the next row": price.shift(-1),
    "the next row, or this one at the end": price.shift(-1).fill_null(price),
    "a mean of everything": price - price.mean(),
    "a rank": price.rank(),
    "a fill from behind": pl.col("bid_price").fill_null(strategy="backward"),
    "a window around the row": price.rolling_mean(5, center=True),
    "a window of time with its whole last nanosecond": price.rolling_mean_by(pl.col("ts_event").dt.truncate("1h"), "2h"),
    "how much of the day is left": pl.len() - pl.int_range(pl.len()),
    "the last of the symbol": price.last().over("symbol"),
    "a text of later": pl.col("aggressor").shift(-3),
    "a time of later": pl.col("ts_event").shift(-1),
    "a target": ft.target("price", "1h", by="symbol"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_look_ahead_is_named(name: str) -> None:
    (leak,) = ft.check_lookahead(lambda rows: rows.select(fine=price.shift(1), peeks=PLANTED[name]), FRAME)
    assert leak.column == "peeks"
    assert str(leak).startswith(f"peeks sees the future: row {leak.row} is ")


@pytest.mark.parametrize("column", ["price", "aggressor", "ts_event"])
def test_a_look_that_only_changed_values_betray_is_found(column: str) -> None:
    def peeks_where_there_is_something(rows: pl.DataFrame) -> pl.DataFrame:
        # Of its own beginning it gives what it gave of the whole: it knows how many rows there are.
        ahead = pl.col(column).shift(-1) if rows.height == FRAME.height else pl.lit(None).cast(FRAME.schema[column])
        looked = rows.select(pl.coalesce(ahead, pl.col(column)).alias("peeks"))
        return (
            looked if rows.height == FRAME.height else FRAME.select(pl.col(column).shift(-1).alias("peeks")).head(rows.height)
        )

    (leak,) = ft.check_lookahead(peeks_where_there_is_something, FRAME)
    assert (leak.column, leak.how) == ("peeks", "poisoned")
    assert "changed" in str(leak)


def test_rows_that_depend_on_the_future_are_named() -> None:
    def before_the_last_of_the_day(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(price < price.max()).select("price")

    (leak,) = ft.check_lookahead(before_the_last_of_the_day, pl.DataFrame({"price": [2.0, 1.0, 3.0]}))
    assert leak.column == "price"
    shrinking = ft.check_lookahead(lambda rows: rows.head(10 - rows.height), pl.DataFrame({"price": [1.0] * 8}))
    assert [leak.column for leak in shrinking] == ["(rows)"]
    poison = ft.check_lookahead(lambda rows: rows.head(0 if price_doubled(rows) else 8), pl.DataFrame({"price": [1.0] * 8}))
    assert [(leak.column, leak.how) for leak in poison] == [("(rows)", "poisoned")]


def price_doubled(rows: pl.DataFrame) -> bool:
    return bool((rows["price"] == 2.0).any())


def test_what_leaves_rows_out_by_what_is_known_passes() -> None:
    def of_buyers(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("aggressor") == "buy").select("price", n=pl.int_range(pl.len()))

    assert ft.check_lookahead(of_buyers, FRAME) == []
    assert ft.check_lookahead(lambda rows: rows.lazy().select(price.cum_max()), FRAME) == []  # type: ignore[arg-type, return-value]


def test_targets_may_look_forward() -> None:
    made: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows.select(ft.target("price", 1), y=price.shift(-1))  # noqa: E731
    assert [leak.column for leak in ft.check_lookahead(made, FRAME)] == ["y"]
    assert [leak.column for leak in ft.check_lookahead(made, FRAME, targets=["y"])] == ["target"]
    assert ft.check_lookahead(made, FRAME, targets=["y", "target"]) == []


def test_a_difference_within_the_tolerance_is_none() -> None:
    made: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows.select(x=price + rows.height * 1e-12)  # noqa: E731
    assert ft.check_lookahead(made, FRAME) == []
    assert [leak.column for leak in ft.check_lookahead(made, FRAME, tolerance=0)] == ["x"]


def test_what_cannot_be_checked_is_refused() -> None:
    counter = itertools.count()
    with pytest.raises(NoData, match="1 row"):
        ft.check_lookahead(lambda rows: rows, FRAME.head(1))
    with pytest.raises(InvalidParameter, match="cuts"):
        ft.check_lookahead(lambda rows: rows, FRAME, cuts=0)
    with pytest.raises(InvalidParameter, match="tolerance"):
        ft.check_lookahead(lambda rows: rows, FRAME, tolerance=1)
    with pytest.raises(InvalidParameter, match="not list"):
        ft.check_lookahead(lambda rows: [1], FRAME)  # type: ignore[arg-type, return-value]
    with pytest.raises(DataError, match="seed it"):
        ft.check_lookahead(lambda rows: rows.select(n=pl.lit(next(counter))), FRAME)
    with pytest.raises(DataError, match="of its beginning"):
        ft.check_lookahead(lambda rows: rows if rows.height == FRAME.height else rows.select("price"), FRAME)


@pytest.mark.parametrize("cuts", [1, 2, 3, 50])
def test_any_number_of_cuts_will_do(cuts: int) -> None:
    assert len(ft.check_lookahead(lambda rows: rows.select(x=price.mean()), FRAME, cuts=cuts)) == 1
    assert len(ft.check_lookahead(lambda rows: rows.select(x=price.shift(-1)), FRAME.head(2), cuts=cuts)) == 1


@pytest.mark.parametrize("marked", [math.inf, -math.inf, math.nan])
def test_a_look_that_shows_in_what_is_finite_is_found(marked: float) -> None:
    def peeks(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(peeks=pl.when(price.shift(-1) > price).then(marked).otherwise(1.0), same=pl.lit(marked))

    assert [leak.column for leak in ft.check_lookahead(peeks, FRAME)] == ["peeks"]


def trained(rows: pl.DataFrame, *more: pl.Expr) -> pl.DataFrame:
    made = [price.alias("now"), *ft.lagged("price", [1]), *more]
    return ft.training_frame(rows, features=made, target="price", horizon="1h")


def test_a_training_frame_of_several_symbols_is_compared_row_by_row() -> None:
    keys = ["ts_event", "symbol"]
    for cuts in (8, 60):
        assert ft.check_lookahead(trained, FRAME, keys=keys, cuts=cuts) == []
    peeks = (price - price.mean()).alias("peeks")
    assert [leak.column for leak in ft.check_lookahead(lambda rows: trained(rows, peeks), FRAME, keys=keys)] == ["peeks"]
    assert ft.check_lookahead(trained, FRAME) != [], "rows that each symbol lacks at its end move the others"


def test_rows_are_told_apart_by_keys_and_their_number() -> None:
    # Row 0 comes last where there is something behind it; among rows of one key the first is missing then.
    def turned(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select("key", "x").sort("x", descending=rows.height == 4)

    frame = pl.DataFrame({"key": ["a", None, "b", "b"], "x": [1.0, 2.0, 3.0, 4.0]})
    found = ft.check_lookahead(turned, frame, keys=["key"], cuts=20)
    assert {leak.column for leak in found} == {"x"}
    assert ft.check_lookahead(turned, frame.head(3), keys=["key"], cuts=20, targets=[]) == []

    def more(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("key").ne_missing("b")) if rows.height == 4 and rows["x"][3] == 4.0 else rows

    (leak,) = ft.check_lookahead(more, frame, keys=["key"], cuts=20)
    assert (leak.column, leak.how, leak.cut) == ("(rows)", "cut", 3)
    with pytest.raises(InvalidParameter, match="keys names 'who'; the function gives key, x"):
        ft.check_lookahead(more, frame, keys=["who"])


@pytest.mark.parametrize(
    ("keep", "how"),
    [
        (price < price.reverse().cum_max().reverse().shift(-1).over("symbol"), "poisoned"),
        (price < price.mean(), "poisoned"),
        (pl.col("ts_event") < pl.col("ts_event").max() - pl.duration(hours=1) * (pl.len() % 7), "cut"),
    ],
)
def test_rows_that_are_chosen_by_the_future_are_seen_by_their_keys(keep: pl.Expr, how: str) -> None:
    found = ft.check_lookahead(lambda rows: rows.filter(keep), FRAME, keys=["ts_event", "symbol"], cuts=30)
    assert [(leak.column, leak.how) for leak in found] == [("(rows)", how)]


def test_a_series_may_lack_its_end_and_nothing_before() -> None:
    frame = FRAME.select("ts_event", "symbol", "price")

    def lacks(rows: pl.DataFrame, behind: int) -> pl.DataFrame:
        """Without the second row of each symbol, until `behind` others of it are known."""
        number, count = pl.int_range(pl.len()).over("symbol"), pl.len().over("symbol")
        return rows.filter((number != 1) | (count > behind))

    keys = ["ts_event", "symbol"]
    (leak,) = ft.check_lookahead(lambda rows: lacks(rows, 9), frame, keys=keys, cuts=199)
    assert (leak.column, leak.with_future, leak.without) == ("(rows)", "there", "left out")
    assert (
        ft.check_lookahead(lambda rows: lacks(rows.sort("price"), 0).sort("ts_event", descending=True), frame, keys=keys) == []
    )


def test_no_data_of_the_whole_frame_is_said() -> None:
    with pytest.raises(NoData, match="none of the 200 rows"):
        ft.check_lookahead(lambda rows: ft.training_frame(rows, features=["price"], target="price", horizon="99d"), FRAME)
