from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.screen import off_steps
from cift.domain.instrument import Instrument
from cift.domain.moment import time_ns
from cift.domain.steps import StepTable
from cift.errors import InvalidParameter

DAYS = ("2025-01-06", "2025-06-02", "2026-11-02")
NASDAQ = {0: "0.0001", 1: "0.01"}


@st.composite
def tables(draw):
    """A mapping as users write it: each step divides the next, and bands begin on multiples of both."""

    def bands():
        step, above, found = Decimal("0.0001"), Decimal(0), {}
        for _ in range(draw(st.integers(1, 4))):
            step *= draw(st.sampled_from([1, 2, 5, 10]))
            found[draw(st.sampled_from([str, Decimal]))(above)] = step
            above = (above // (10 * step) + draw(st.integers(1, 9))) * 10 * step
        return found

    if draw(st.booleans()):
        return bands()
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
    return {day: bands() if draw(st.booleans()) else Decimal("0.005") for day in days}


def judge(table, ts_ns, price):
    """The step of a mapping, read as a human reads it."""
    if all(not str(key).startswith("202") for key in table):
        table = {"1700-01-01": table}
    begun = [day for day in sorted(table) if time_ns(day, "day")[0] <= ts_ns]
    if not begun:
        return None
    bands = table[begun[-1]]
    if not isinstance(bands, dict):
        return bands
    return [bands[above] for above in sorted(bands, key=Decimal) if abs(price) >= Decimal(above)][-1]


moments = st.sampled_from([time_ns(day, "day")[0] + late for day in DAYS for late in (-1, 0, 10**15)])
prices = st.integers(-5_000_000, 5_000_000).map(lambda ticks: Decimal(ticks) / 10_000)


@given(table=tables(), ts_ns=moments, price=prices)
def test_a_table_says_what_reading_it_says_and_survives_text(table, ts_ns, price):
    steps = StepTable.of(table, "steps")
    assert steps.at(ts_ns, price) == judge(table, ts_ns, price)
    assert StepTable.of(str(steps), "steps") == steps
    instrument = Instrument("X", "0.0001", 1, price_increment=table)
    assert Instrument(**instrument.to_dict()) == instrument
    assert instrument.increment_at(price, ts_ns) == (judge(table, ts_ns, price) or instrument.tick_size)


@given(table=tables(), rows=st.lists(st.tuples(moments, prices), min_size=1, max_size=30))
def test_columns_are_held_to_the_table_row_by_row(table, rows):
    off = off_steps(
        StepTable.of(table, "steps"), np.array([ts for ts, _ in rows]), np.array([float(price) for _, price in rows])
    )
    assert off.tolist() == [bool(price % (judge(table, ts, price) or Decimal("0.0001"))) for ts, price in rows]


def test_rows_of_the_core_are_whole_steps():
    table = StepTable.of({"2025-01-06": NASDAQ}, "steps")
    assert table.rows(Decimal("0.0001")) == [(time_ns("2025-01-06", "")[0], 0, 1), (time_ns("2025-01-06", "")[0], 10_000, 100)]


def test_a_table_of_one_step_is_that_step():
    assert Instrument("X", "0.01", 1, price_increment={0: "0.05"}) == Instrument("X", "0.01", 1, price_increment="0.05")
    assert Instrument("X", "0.01", 1, price_increment={"2025-01-06": "0.05"}).price_steps.is_dated


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ({}, "must be a number or a mapping"),
        ({1: "0.01"}, "must begin at 0, not at 1"),
        ({"2025-01-06": {}}, "must begin at 0, not at nothing"),
        ({0: "0.01", "2025-01-06": "0.01"}, "mixes prices and dates"),
        ({"2025-01-06": "0.01", "2025-01-06T00:00Z": "0.02"}, "names one date twice"),
        ({0: "0.01", "0.0": "0.02"}, "two bands from one price on: 0, 0.0"),
        ({0: "0.01", "1.005": "0.05"}, "begins between two steps"),
        ({0: "0.02", "0.05": "0.05"}, "begins between two steps"),
        ({0: "-0.01"}, "must be positive"),
        ({0: "0.005"}, "not a whole number of the tick_size 0.01"),
        ({0: "0.01", "1e17": "1"}, "more than 2[*][*]53 times"),
        ({"in May": "0.01"}, "is not a date or time"),
        ("{0: 1}", "cannot be read as a table"),
        ("{}", "must be a number or a mapping"),
    ],
)
def test_a_table_that_means_nothing_is_refused(steps, told):
    with pytest.raises(InvalidParameter, match=told):
        Instrument("X", "0.01", 1, price_increment=steps)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"size_increment": {0: 1, 100: 10}}, "may depend on the date, not on the price"),
        ({"size_increment": "0.5"}, "not a whole number of the lot_size 1"),
        ({"min_quantity": "1.5"}, "min_quantity 1.5 of X is not a whole number of lots"),
        ({"min_quantity": 5, "max_quantity": 4}, "min_quantity 5 of X is above max_quantity 4"),
        ({"min_notional": "1e-19"}, "whole number of 1e-18"),
        ({"min_notional": "1e30"}, "at most"),
        ({"max_quantity": 0}, "must be positive"),
        ({"expiry": "2026-03-20"}, "give the time of day too"),
        ({"expiry": "2026-03-20T13:30Z", "activation": "2026-03-20T13:30Z"}, "must be later than its activation"),
        ({"expiry": "soon"}, "is not a date or time"),
    ],
)
def test_rules_that_mean_nothing_are_refused(wrong, told):
    with pytest.raises(InvalidParameter, match=told):
        Instrument("X", "0.01", 1, **wrong)


def test_the_rules_survive_text():
    future = Instrument(
        "ESH6.XCME", "0.25", 1, multiplier=50, size_increment={"2025-01-06": 1, "2025-06-02": 2}, min_quantity=1,
        max_quantity=3_000, min_notional="5.5", activation="2024-12-20T14:30Z", expiry="2026-03-20T08:30:00-05:00",
    )  # fmt: skip
    assert Instrument(**future.to_dict()) == future
    assert future.to_dict()["expiry"] == "2026-03-20T13:30Z"
    assert not future.is_live("2026-03-20T13:30Z")
    assert future.is_live("2026-03-20T13:29Z")
    assert not future.is_live("2024-12-20T14:29Z")
    midnight = Instrument("X", 1, 1, expiry="2026-03-20T00:00Z")
    assert Instrument(**midnight.to_dict()) == midnight


def test_an_instrument_without_rules_is_told_as_before():
    assert list(Instrument("X", "0.01", 1).to_dict()) == [
        "symbol", "tick_size", "lot_size", "price_increment", "multiplier", "currency", "calendar"
    ]  # fmt: skip
