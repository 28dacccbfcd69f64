"""Each feature beside the same thing reckoned slowly, in fractions where it is exact."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.errors import InvalidParameter, OffTickPrice
from cift.indicators import OrderFlowImbalance
from cift.research import features as ft
from tests.research.features.rows import LEVELS, bits, market

PRICES = st.lists(st.integers(9_990, 10_010), min_size=1, max_size=40)
WINDOWS = st.integers(1, 6)


def one(frame: dict[str, list[Any]], expression: pl.Expr) -> list[Any]:
    return pl.DataFrame(frame).select(expression).to_series().to_list()


# ------------------------------------------------------------------ quotes and depth


def test_features_of_one_quote() -> None:
    quote = {"bid_price": [99.0], "bid_size": [30.0], "ask_price": [101.0], "ask_size": [10.0]}
    assert one(quote, ft.spread()) == [2.0]
    assert one(quote, ft.mid()) == [100.0]
    assert one(quote, ft.relative_spread()) == [200.0]
    assert one(quote, ft.microprice()) == [100.5]
    assert one(quote, ft.imbalance()) == [0.5]


def test_a_missing_side_is_null_and_an_empty_book_has_no_balance() -> None:
    quote = {"bid_price": [None, 1.0], "bid_size": [0.0, 0.0], "ask_price": [101.0, 2.0], "ask_size": [10.0, 0.0]}
    frame = pl.DataFrame(quote, schema_overrides={"bid_price": pl.Float64})
    made = frame.select(ft.spread(), ft.mid(), ft.relative_spread(), ft.microprice(), ft.imbalance())
    assert made.row(0) == (None, None, None, None, -1.0)
    assert math.isnan(made["imbalance"][1])
    assert math.isnan(made["microprice"][1])


def test_columns_of_another_name_are_read() -> None:
    quote = {"b": [99.0], "bs": [30.0], "a": [101.0], "as": [10.0]}
    assert one(quote, ft.microprice("b", "bs", "a", "as")) == [100.5]
    assert one(quote, ft.spread(pl.col("b") - 1, "a")) == [3.0]


def test_a_spread_off_its_tick_is_refused() -> None:
    with pytest.raises(OffTickPrice):
        one({"bid_price": [1.005], "ask_price": [1.01]}, ft.spread(tick="0.01"))


@given(seed=st.integers(0, 2**32), levels=st.integers(1, LEVELS))
def test_depth_is_what_a_loop_over_the_levels_gives(seed: int, levels: int) -> None:
    frame = market(8, seed, missing=0.3)
    made = frame.select(ft.depth_imbalance(levels), ft.depth_slope("bid", levels), ft.depth_slope("ask", levels))
    for row, answer in zip(frame.iter_rows(named=True), made.iter_rows(named=True), strict=True):
        held = {
            side: [
                (row[f"{side}_price_{level}"], row[f"{side}_size_{level}"])
                for level in range(levels)
                if row[f"{side}_price_{level}"] is not None
            ]
            for side in ("bid", "ask")
        }
        bids, asks = (sum(size for _, size in held[side]) for side in ("bid", "ask"))
        assert answer["depth_imbalance"] == pytest.approx((bids - asks) / (bids + asks), abs=1e-15)
        mid = (row["bid_price_0"] + row["ask_price_0"]) / 2
        for side in ("bid", "ask"):
            points, total = [], 0.0
            for price, size in held[side]:
                total += size
                points.append((abs(price - mid), total))
            slope = sum(x * y for x, y in points) / sum(x * x for x, _ in points)
            assert answer[f"{side}_slope"] == pytest.approx(slope, rel=1e-9)


def test_a_slope_without_a_mid_is_null() -> None:
    book = {"bid_price_0": [None], "bid_size_0": [None], "ask_price_0": [1.0], "ask_size_0": [2.0]}
    frame = pl.DataFrame(book, schema=dict.fromkeys(book, pl.Float64))
    assert frame.select(ft.depth_slope("ask", 1)).item() is None
    assert frame.select(ft.depth_imbalance(1)).item() == -1.0


# ------------------------------------------------------------------ flow


def test_order_flow_is_the_indicator() -> None:
    frame = market(60, 1)
    assert bits(frame.select(ft.order_flow_imbalance(4, lot=1)).to_series()) == bits(OrderFlowImbalance(4)(frame, lot=1))


def ticked(prices: list[int]) -> list[int | None]:
    """The tick rule, row by row."""
    signs: list[int | None] = []
    for row, price in enumerate(prices):
        others = [before for before in prices[:row] if before != price]
        moved = row > 0 and price != prices[row - 1]
        signs.append((1 if price > prices[row - 1] else -1) if moved else (signs[-1] if others else None))
    return signs


@given(prices=PRICES)
def test_the_tick_rule_remembers_the_last_move(prices: list[int]) -> None:
    assert one({"price": [price / 100 for price in prices]}, ft.tick_rule()) == ticked(prices)


@given(rows=st.lists(st.tuples(*[st.integers(9_995, 10_005)] * 3, st.booleans()), min_size=1, max_size=30))
def test_lee_and_ready_decide_by_the_mid_in_ticks(rows: list[tuple[int, int, int, bool]]) -> None:
    prices = [price for price, _, _, _ in rows]
    by_tick = ticked(prices)
    expected = []
    for (price, bid, ask, quoted), tick in zip(rows, by_tick, strict=True):
        side = Fraction(price) - Fraction(bid + ask, 2) if quoted else 0
        expected.append(1 if side > 0 else -1 if side < 0 else tick)
    frame = {
        "price": [price / 100 for price in prices],
        "bid_price": [bid / 100 if quoted else None for _, bid, _, quoted in rows],
        "ask_price": [ask / 100 for _, _, ask, _ in rows],
    }
    made = pl.DataFrame(frame, schema=dict.fromkeys(frame, pl.Float64)).select(ft.trade_sign("lee-ready", tick="0.01"))
    assert made.to_series().to_list() == expected
    assert made.schema["trade_sign"] == pl.Int8


def test_in_floats_a_print_at_the_mid_may_seem_to_lie_beside_it() -> None:
    frame = {"price": [1.0, 0.3], "bid_price": [0.5, 0.2], "ask_price": [1.5, 0.4]}
    assert one(frame, ft.trade_sign()) == [None, -1]
    assert one({**frame, "ask_price": [1.5, math.nan]}, ft.trade_sign())[1] == -1  # no quote: the tick rule


def test_the_feed_knows_best_who_took() -> None:
    frame = {"price": [1.0, 2.0, 3.0, 1.0], "aggressor": ["none", "sell", "none", "buy"], "size": [1.0, 2.0, 3.0, 4.0]}
    assert one(frame, ft.trade_sign("aggressor")) == [None, -1, 1, 1]
    assert one(frame, ft.signed_size(ft.trade_sign("aggressor"))) == [0.0, -2.0, 3.0, 4.0]
    assert one(frame, ft.trade_flow(2, sign=ft.trade_sign("aggressor")))[1:] == [-2.0, 1.0, 7.0]
    assert one(frame, ft.trade_flow(2, sign=ft.trade_sign("aggressor"), lot="0.5"))[1:] == [-2.0, 1.0, 7.0]


# ------------------------------------------------------------------ windows


@given(
    rows=st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**4)), min_size=1, max_size=40),
    window=WINDOWS,
    digits=st.tuples(st.integers(0, 4), st.integers(0, 3)),
)
def test_vwap_in_steps_is_value_by_volume(rows: list[tuple[int, int]], window: int, digits: tuple[int, int]) -> None:
    frame = {"price": [p / 10 ** digits[0] for p, _ in rows], "size": [s / 10 ** digits[1] for _, s in rows]}
    steps = {"tick": f"1e-{digits[0]}", "lot": f"1e-{digits[1]}"}
    expected = []
    for end in range(len(rows)):
        held = rows[max(0, end - window + 1) : end + 1]
        value = Fraction(sum(p * s for p, s in held), sum(s for _, s in held) * 10 ** digits[0])
        expected.append(float(value) if len(held) == window else math.nan)
    assert bits(one(frame, ft.vwap(window, **steps))) == bits(expected)
    assert one(frame, ft.vwap(window)) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_what_has_left_a_window_has_left_no_trace() -> None:
    huge = {"price": [1e300, 1.0, 1.0, 1.0], "size": [1.0, 0.1, 0.1, 0.1]}
    assert one(huge, ft.vwap(2))[2:] == [1.0, 1.0]
    infinite = {"price": [math.inf, 1.0, 1.0, 1.0], "size": [1.0] * 4}
    assert one(infinite, ft.vwap(2))[2:] == [1.0, 1.0]


@pytest.mark.parametrize("hole", [None, math.nan])
def test_windows_pass_over_a_missing_value(hole: float | None) -> None:
    frame = {"price": [1.0, hole, 3.0, 4.0, 5.0], "size": [1.0, 9.0, 3.0, 1.0, 1.0]}
    expected = bits([math.nan, math.nan, 2.5, 3.25, 4.5])
    assert bits(one(frame, ft.vwap(2))) == bits(one(frame, ft.vwap(2, tick=1, lot=1))) == expected
    no_size = {"price": [1.0, 2.0, 3.0], "size": [1.0, hole, 3.0]}
    assert bits(one(no_size, ft.vwap(2))) == bits(one(no_size, ft.vwap(2, tick=1, lot=1))) == bits([math.nan, math.nan, 2.5])
    made = one(frame, ft.realised_volatility(1, price="price", returns="simple"))
    assert bits(made) == bits([math.nan, math.nan, math.nan, 4 / 3 - 1, 0.25])
    holed = [100.0, 100.25, 100.0, hole, 100.25, 100.0, 100.25]
    for tick in (None, "0.25"):
        # One pair of changes before the hole and one behind it.
        assert one({"price": holed}, ft.roll_spread(2, tick=tick))[-1] == 0.5
        assert bits(one({"price": [1.0, 1.0, 1.0, 1.0]}, ft.roll_spread(2, tick=tick))[-1:]) == bits([0.0])


@given(prices=PRICES, window=WINDOWS)
def test_realised_volatility_is_the_root_of_summed_squares(prices: list[int], window: int) -> None:
    for kind in ("log", "simple"):
        change = [math.log(b / a) if kind == "log" else b / a - 1 for a, b in pairwise(prices)]
        expected = [math.sqrt(sum(c * c for c in change[end - window : end])) for end in range(window, len(prices))]
        made = one({"mid": [float(p) for p in prices]}, ft.realised_volatility(window, returns=kind))  # type: ignore[arg-type]
        assert all(map(math.isnan, made[:window]))
        assert made[window:] == pytest.approx(expected, rel=1e-9, abs=1e-15)


@given(prices=PRICES, window=st.integers(2, 6))
def test_the_spread_of_roll_is_reckoned_in_ticks(prices: list[int], window: int) -> None:
    change = [b - a for a, b in pairwise(prices)]
    made = one({"price": [p / 100 for p in prices]}, ft.roll_spread(window, tick="0.01"))
    floats = one({"price": [p / 100 for p in prices]}, ft.roll_spread(window))
    assert all(map(math.isnan, made[: window + 1]))
    for row in range(window + 1, len(prices)):
        now, before = change[row - window : row], change[row - window - 1 : row - 1]
        mean = [Fraction(sum(values), window) for values in ([a * b for a, b in zip(now, before, strict=True)], now, before)]
        covariance = mean[0] - mean[1] * mean[2]
        if covariance > 0:
            assert math.isnan(made[row])
        else:
            assert made[row] == pytest.approx(2 * math.sqrt(-covariance) / 100, rel=1e-12)
            # In floats the difference of two means loses digits, most where they are equal.
            assert floats[row] == pytest.approx(made[row], abs=1e-8) or math.isnan(floats[row])


def test_a_bounce_between_bid_and_ask_is_the_spread() -> None:
    bounce = [100.0, 100.25] * 20
    assert one({"price": bounce}, ft.roll_spread(20, tick="0.25"))[-1] == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: ft.vwap(0),
        lambda: ft.vwap(2.5),  # type: ignore[arg-type]
        lambda: ft.vwap(True),
        lambda: ft.vwap(2, tick="0.01"),
        lambda: ft.vwap(2, tick=-1, lot=1),
        lambda: ft.roll_spread(1),
        lambda: ft.realised_volatility(0),
        lambda: ft.realised_volatility(5, returns="squared"),  # type: ignore[arg-type]
        lambda: ft.trade_flow(0),
        lambda: ft.trade_sign("bulk"),  # type: ignore[arg-type]
        lambda: ft.order_flow_imbalance(0),
        lambda: ft.depth_imbalance(0),
        lambda: ft.depth_imbalance(True),
        lambda: ft.depth_slope("both", 2),  # type: ignore[arg-type]
        lambda: ft.depth_slope("bid", 0),
    ],
)
def test_an_argument_out_of_range_is_refused(make: Any) -> None:
    with pytest.raises(InvalidParameter):
        make()


def test_a_value_off_its_step_is_refused_with_its_row() -> None:
    with pytest.raises(OffTickPrice, match=r"row 1: \w+ 1\.005"):
        one({"price": [1.0, 1.005], "size": [1.0, 1.0]}, ft.vwap(1, tick="0.01", lot=1))
    with pytest.raises(OffTickPrice, match=r"row 0: \w+ 0\.5"):
        one({"trade_sign": [1], "size": [0.5]}, ft.trade_flow(1, lot=1))


@given(prices=st.lists(st.one_of(st.none(), st.just(math.nan), st.integers(9_999, 10_001).map(float)), min_size=1, max_size=20))
def test_the_tick_rule_passes_over_missing_prices(prices: list[float | None]) -> None:
    told = [price for price in prices if price is not None and price == price]
    known = iter(ticked([int(price) for price in told]))
    last, expected = None, []
    for price in prices:
        last = next(known) if price is not None and price == price else last
        expected.append(last)
    assert one({"price": pl.Series(prices, dtype=pl.Float64)}, ft.tick_rule()) == expected
    told = pl.Series([1, None, 2, 2, None, 1])
    for kind in (pl.Int64, pl.Float32, pl.Decimal(18, 2)):
        assert one({"price": told.cast(kind)}, ft.tick_rule()) == [None, None, 1, 1, 1, -1]
