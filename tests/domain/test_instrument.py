from __future__ import annotations

import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.domain.instrument import Instrument
from cift.errors import InvalidParameter, OffLotSize, OffTickPrice, UnknownName

CENTS = Instrument("ABC.SIM", tick_size="0.01", lot_size=1)


@pytest.mark.parametrize(
    ("price", "ticks"),
    [("100.50", 10_050), ("0", 0), ("-1.25", -125), (Decimal("0.07"), 7), (3, 300), (100.01, 10_001), (0.1 + 0.2, 30)],
)
def test_a_price_becomes_ticks(price, ticks):
    assert CENTS.to_ticks(price) == ticks


@pytest.mark.parametrize("price", ["100.505", 100.005, float("nan"), float("inf"), "x", None, Decimal("1e-9")])
def test_a_price_between_ticks_is_refused(price):
    with pytest.raises(OffTickPrice, match=r"ABC\.SIM"):
        CENTS.to_ticks(price)


def test_a_size_between_lots_is_refused():
    assert Instrument("X", "0.01", 100).to_lots(300) == 3
    with pytest.raises(OffLotSize, match="round it first"):
        Instrument("X", "0.01", 100).to_lots(150)


@pytest.mark.parametrize(
    ("tick", "fraction"),
    [("0.01", (1, 2)), ("0.25", (25, 2)), ("5", (5, 0)), ("100", (100, 0)), ("0.0050", (5, 3)), (0.1, (1, 1))],
)
def test_the_tick_is_a_fraction_of_a_power_of_ten(tick, fraction):
    assert Instrument("X", tick, 1).tick_fraction == fraction


@given(ticks=st.integers(-(10**12), 10**12), tick=st.sampled_from(["0.01", "0.25", "0.00000001", "5", "0.0005", "0.1"]))
def test_ticks_survive_the_way_to_a_float_and_back(ticks, tick):
    instrument = Instrument("X", tick, "0.001")
    price = instrument.price(ticks)
    assert instrument.to_ticks(price) == ticks
    # One division: the float nearest to the decimal.
    assert price == float(Decimal(ticks) * Decimal(tick))


@pytest.mark.parametrize(
    "wrong",
    [
        {"tick_size": 0},
        {"tick_size": "-0.01"},
        {"tick_size": "NaN"},
        {"tick_size": "cent"},
        {"lot_size": 0},
        {"multiplier": "Infinity"},
        {"price_increment": "0.015"},
        {"symbol": ""},
        {"symbol": "A\nB"},
        {"tick_size": "1e-10", "lot_size": "1e-9"},
    ],
)
def test_an_instrument_without_an_exact_grid_is_refused(wrong):
    with pytest.raises(InvalidParameter):
        Instrument(**{"symbol": "X", "tick_size": "0.01", "lot_size": 1, **wrong})


def test_money_may_be_as_fine_as_its_unit():
    assert Instrument("X", "1e-10", "1e-8").tick_size == Decimal("1e-10")


def test_an_instrument_survives_text_and_pickle():
    instrument = Instrument("ES.XCME", "0.25", 1, price_increment="0.50", multiplier=50, calendar="CMES")
    assert Instrument(**instrument.to_dict()) == instrument
    assert pickle.loads(pickle.dumps(instrument)) == instrument
    assert instrument.increment == Decimal("0.5")
    assert CENTS.increment == Decimal("0.01")


def test_an_instrument_knows_its_calendar_by_one_name():
    assert Instrument("AAPL.XNAS", "0.01", 1, calendar="NASDAQ") == Instrument("AAPL.XNAS", "0.01", 1, calendar="XNYS")
    with pytest.raises(UnknownName, match="'XNSY' is not known; did you mean 'XNYS'"):
        Instrument("AAPL.XNAS", "0.01", 1, calendar="XNSY")
