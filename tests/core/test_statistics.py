"""Statistics of fills and returns against slow sums."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.core import Fill, Fills, MatchingEngine, calculate_position_stats, calculate_sharpe
from cift.errors import InvalidParameter, MoneyError, ShapeMismatch

TRADES = st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(-500, 500), st.integers(1, 60)), max_size=80)


@given(trades=TRADES)
def test_fills_add_up(trades: list[tuple[Literal["buy", "sell"], int, int]]) -> None:
    fills = [Fill(side=side, price_ticks=price, qty_lots=qty) for side, price, qty in trades]
    stats = calculate_position_stats(fills)
    assert calculate_position_stats(Fills(fills)) == stats == calculate_position_stats(tuple(fills))
    position, cost, realised, path = 0, 0, 0, [0]
    for side, price, qty in trades:
        signed = qty if side == "buy" else -qty
        closing = min(qty, abs(position)) if position * signed < 0 else 0
        if closing:
            # `round` of a fraction is half to even.
            share = round(Fraction(cost * closing, abs(position)))
            realised += int(math.copysign(closing, position)) * price - share
            cost -= share
        cost += (signed - int(math.copysign(closing, signed))) * price
        position += signed
        path.append(position)
    assert (stats.position_lots, stats.realised_ticks_lots, stats.fills) == (position, realised, len(trades))
    assert (stats.longest_lots, stats.shortest_lots) == (max(path), min(path))
    assert stats.average_price_ticks == (cost / position if position else None)
    for side, lots, average in (
        ("buy", stats.bought_lots, stats.average_buy_ticks),
        ("sell", stats.sold_lots, stats.average_sell_ticks),
    ):
        value = sum(price * qty for of, price, qty in trades if of == side)
        assert lots == sum(qty for of, _, qty in trades if of == side)
        assert average == (value / lots if lots else None)


def test_the_fills_of_an_engine_need_no_objects() -> None:
    engine = MatchingEngine()
    engine.submit(side="sell", price_ticks=100, qty_lots=2)
    engine.submit(side="sell", price_ticks=103, qty_lots=2)
    stats = calculate_position_stats(engine.submit(side="buy", qty_lots=4))
    assert (stats.position_lots, stats.average_price_ticks, stats.realised_ticks_lots) == (4, 101.5, 0)


def test_what_64_bits_cannot_hold_is_an_error() -> None:
    large = Fill(side="buy", price_ticks=2**53, qty_lots=2**53)
    assert calculate_position_stats([large]).average_price_ticks == 2.0**53
    with pytest.raises(MoneyError):
        calculate_position_stats([large] * 1025)
    with pytest.raises(MoneyError):
        calculate_position_stats([large, Fill(side="sell", price_ticks=-(2**53), qty_lots=2**53)])
    with pytest.raises(InvalidParameter, match="element 1 is not a Fill"):
        calculate_position_stats([large, (1, 2)])  # type: ignore[list-item]


@given(returns=st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=400))
def test_sharpe_is_mean_over_deviation(returns: list[float]) -> None:
    column = np.array(returns)
    found = calculate_sharpe(column, 252)
    if column.min() == column.max():
        assert found is None
        return
    deviation = column.std(ddof=1)
    if found is None:
        assert deviation <= abs(column.mean()) * 1e-13
    else:
        assert found == pytest.approx(column.mean() / deviation * math.sqrt(252), rel=1e-6, abs=1e-9)


def test_sharpe_takes_what_numpy_takes_and_skips_nan() -> None:
    returns = [0.01, -0.02, 0.03, 0.0, 0.01]
    expected = calculate_sharpe(returns, 252)
    assert expected == pytest.approx(0.006 / np.std(returns, ddof=1) * math.sqrt(252))
    wide = np.repeat(np.array(returns), 2)
    for same in (
        np.array(returns),
        wide[::2],
        tuple(returns),
        pl.Series(returns),
        [*returns, math.nan],
        np.array(returns).astype(">f8"),
    ):
        assert calculate_sharpe(same, 252) == expected
    assert calculate_sharpe([], 252) is None
    assert calculate_sharpe([0.1], 252) is None
    assert calculate_sharpe([0.1] * 30, 252) is None


def test_sharpe_refuses_what_is_no_series() -> None:
    with pytest.raises(ShapeMismatch, match="one dimension"):
        calculate_sharpe(np.zeros((3, 3)), 252)
    with pytest.raises(InvalidParameter, match="returns must be numbers"):
        calculate_sharpe(["a", "b"], 252)
    for periods in (0, -252, math.nan, math.inf, None, "252"):
        with pytest.raises(InvalidParameter, match="periods_per_year"):
            calculate_sharpe([0.1, 0.2], periods)  # type: ignore[arg-type]
