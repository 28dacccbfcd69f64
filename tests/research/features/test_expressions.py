"""What holds of every feature: the same bits in every engine and group, and none sees the future."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cift
from cift.indicators import Microprice, Spread
from cift.research import features as ft
from tests.research.features.rows import LEVELS, bits, market

EVERY = {
    "spread": ft.spread(),
    "spread in ticks": ft.spread(tick="0.01"),
    "mid": ft.mid(),
    "relative spread": ft.relative_spread(),
    "microprice": ft.microprice(),
    "imbalance": ft.imbalance(),
    "depth imbalance": ft.depth_imbalance(LEVELS),
    "bid slope": ft.depth_slope("bid", LEVELS),
    "ask slope": ft.depth_slope("ask", LEVELS),
    "order flow": ft.order_flow_imbalance(3, lot=1),
    "tick rule": ft.tick_rule(),
    "Lee and Ready": ft.trade_sign(tick="0.01"),
    "aggressor": ft.trade_sign("aggressor"),
    "signed size": ft.signed_size(ft.trade_sign("tick")),
    "trade flow": ft.trade_flow(4, sign=ft.trade_sign("aggressor")),
    "trade flow in lots": ft.trade_flow(4, sign=ft.trade_sign("aggressor"), lot=1),
    "vwap": ft.vwap(5),
    "vwap in steps": ft.vwap(5, tick="0.01", lot=1),
    "volatility": ft.realised_volatility(5, price="price"),
    "simple volatility": ft.realised_volatility(5, price=ft.mid(), returns="simple"),
    "roll": ft.roll_spread(6),
    "roll in ticks": ft.roll_spread(6, tick="0.01"),
    "lag": ft.lagged("price", [2])[0],
    "lag in time": ft.lagged("price", ["1h"])[0],
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return market(400, seed=3)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_lazy_frame_in_pieces_gives_the_bits_of_an_eager_one(name: str, engine: Any, frame: pl.DataFrame) -> None:
    eager = frame.select(x=EVERY[name])["x"]
    pieces = pl.concat(list(frame.iter_slices(83)), rechunk=False)
    lazy = pieces.lazy().select("symbol", x=EVERY[name])
    assert lazy.collect_schema()["x"] == eager.dtype
    assert bits(lazy.collect(engine=engine)["x"]) == bits(eager)
    assert bits(lazy.filter(pl.col("symbol") == "S1").collect(engine=engine)["x"]) == bits(
        eager.filter(frame["symbol"] == "S1")
    )


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_groups_are_computed_each_by_itself(name: str, engine: Any, frame: pl.DataFrame) -> None:
    over = frame.lazy().select("symbol", x=EVERY[name].over("symbol")).collect(engine=engine)
    grouped = frame.lazy().group_by("symbol").agg(x=EVERY[name]).collect(engine=engine)
    for symbol in ("S0", "S1"):
        alone = frame.filter(pl.col("symbol") == symbol).select(x=EVERY[name])["x"]
        assert bits(over.filter(pl.col("symbol") == symbol)["x"]) == bits(alone)
        assert bits(grouped.filter(pl.col("symbol") == symbol)["x"].item()) == bits(alone)


@pytest.mark.parametrize("name", EVERY)
def test_no_feature_sees_the_future(name: str, frame: pl.DataFrame) -> None:
    assert ft.check_lookahead(lambda rows: rows.select(x=EVERY[name]), frame, tolerance=0) == []


@given(seed=st.integers(0, 2**32), cut=st.integers(1, 59), data=st.data())
def test_rows_up_to_a_cut_do_not_change_with_the_rows_behind_it(seed: int, cut: int, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(EVERY)))
    frame = market(60, seed)
    other = pl.concat([frame.head(cut), market(60, seed + 1).slice(cut).with_columns(pl.col("ts_event").dt.offset_by("9d"))])
    before, after = frame.select(x=EVERY[name])["x"], other.select(x=EVERY[name])["x"]
    assert bits(before.head(cut)) == bits(after.head(cut))


@given(seed=st.integers(0, 2**32))
def test_a_plain_expression_has_the_bits_of_the_indicator_of_its_name(seed: int) -> None:
    frame = market(50, seed)
    made = frame.select(ft.spread(), ft.microprice(), ticks=ft.spread(tick="0.01"))
    assert bits(made["spread"].fill_null(np.nan)) == bits(Spread()(frame))
    assert bits(made["ticks"]) == bits(Spread()(frame, tick="0.01"))
    assert bits(made["microprice"].fill_null(np.nan)) == bits(Microprice()(frame))


@given(bid=st.floats(0.01, 1e6), ask=st.floats(0.01, 1e6), sizes=st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)))
def test_whatever_the_floats(bid: float, ask: float, sizes: tuple[float, float]) -> None:
    frame = pl.DataFrame({"bid_price": [bid], "bid_size": sizes[:1], "ask_price": [ask], "ask_size": sizes[1:]})
    assert bits(frame.select(ft.microprice()).to_series()) == bits(Microprice()(frame))
    assert bits(frame.select(ft.spread()).to_series()) == bits(Spread()(frame))


def test_the_front_page_has_them() -> None:
    assert cift.features is ft
    assert "features" in dir(cift)
    assert all(hasattr(ft, name) for name in ft.__all__)
