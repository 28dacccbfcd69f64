"""Every shipped indicator as a polars expression: the bits of its column form in every engine and group."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from cift.indicators import EMA, MACD, RSI, SMA, Bollinger, Indicator, Microprice, OrderFlowImbalance, Spread
from cift.indicators.bands import BANDS

SHIPPED: list[Indicator] = [
    EMA(10),
    EMA(10, "first"),
    SMA(7),
    RSI(9),
    *(Bollinger(8, 2.0, band) for band in BANDS),
    *(MACD(5, 11, 4, line) for line in ("macd", "signal", "histogram")),
    Microprice(),
    Spread(),
    OrderFlowImbalance(5),
]  # fmt: skip
ROWS = 3_000


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(4)
    bid = 10_000 + rng.integers(-2, 3, ROWS).cumsum()
    columns: dict[str, Any] = {
        "symbol": rng.choice(["A", "B", "C"], ROWS),
        "bid_price": bid / 100,
        "bid_size": rng.integers(1, 50, ROWS) * 1.0,
        "ask_price": (bid + rng.integers(1, 4, ROWS)) / 100,
        "ask_size": rng.integers(1, 50, ROWS) * 1.0,
    }
    gone = pl.Series(rng.random(ROWS) < 0.05)
    return pl.DataFrame(columns).with_columns(
        pl.when(~gone).then(pl.col("bid_price")).alias("bid_price"), mid=(pl.col("bid_price") + pl.col("ask_price")) / 2
    )


def bits(values: pl.Series) -> list[int]:
    floats = values.to_numpy().copy()
    floats[np.isnan(floats)] = math.nan
    return floats.view(np.uint64).tolist()


def expression(indicator: Indicator) -> pl.Expr:
    made: pl.Expr = indicator.expr() if indicator.on == "quote" else indicator.expr("mid")
    return made


def column(indicator: Indicator, frame: pl.DataFrame) -> pl.Series:
    made: pl.Series = indicator(frame) if indicator.on == "quote" else indicator(frame["mid"])
    return made


@pytest.mark.parametrize("indicator", SHIPPED, ids=repr)
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_eager_and_lazy_in_one_piece_or_many(indicator: Indicator, engine: Any, frame: pl.DataFrame) -> None:
    expected = bits(column(indicator, frame))
    assert bits(frame.select(x=expression(indicator))["x"]) == expected
    pieces = pl.concat(list(frame.iter_slices(701)), rechunk=False)
    assert bits(pieces.lazy().select(x=expression(indicator)).collect(engine=engine)["x"]) == expected


@pytest.mark.parametrize("indicator", SHIPPED, ids=repr)
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_over_and_group_by(indicator: Indicator, engine: Any, frame: pl.DataFrame) -> None:
    over = frame.lazy().select("symbol", x=expression(indicator).over("symbol")).collect(engine=engine)
    grouped = frame.lazy().group_by("symbol").agg(x=expression(indicator)).collect(engine=engine)
    for symbol in "ABC":
        expected = bits(column(indicator, frame.filter(pl.col("symbol") == symbol)))
        assert bits(over.filter(pl.col("symbol") == symbol)["x"]) == expected
        assert bits(grouped.filter(pl.col("symbol") == symbol)["x"].item()) == expected


def test_every_shipped_indicator_is_here() -> None:
    from cift import indicators

    shipped = {
        made
        for name in indicators.__all__
        if isinstance(made := getattr(indicators, name), type) and issubclass(made, Indicator) and made is not Indicator
    }
    assert {type(one) for one in SHIPPED} == shipped
