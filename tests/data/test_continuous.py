"""Rolls of a future: which contract is the front, what the gap was, and that nothing of the future decides it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cift
from cift.backtest import Backtest
from cift.data.catalog import Catalog
from cift.data.rolls import trading_days
from cift.domain.instrument import Instrument
from cift.domain.moment import time_ns
from cift.errors import DataError, InvalidParameter, NoData, NotSupported, UnknownSymbol
from tests.data.market import DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk, read

NAMES = ("ESH6.SIM", "ESM6.SIM", "ESU6.SIM")
MONDAY = dt.date(2026, 1, 5)
DAYS = 6


def future(symbol: str, expiry_day: int | None = None, **more) -> Instrument:
    expiry = None if expiry_day is None else MONDAY_NS + expiry_day * DAY_NS + 13 * HOUR_NS
    return Instrument(symbol, "0.25", 1, multiplier=50, expiry=expiry, **more)


def write(catalog: Catalog, contract: Instrument, prints: list[tuple[int, float, int]]) -> None:
    """Prints as (day and hour in hours from Monday, price, size), with a quote a tick around each."""
    if not prints:
        return
    ts = [MONDAY_NS + hours * HOUR_NS for hours, _, _ in prints]
    prices, sizes = [price for _, price, _ in prints], [float(size) for _, _, size in prints]
    quotes = {
        "ts_event": ts,
        "bid_price": [price - 0.25 for price in prices],
        "bid_size": sizes,
        "ask_price": [price + 0.25 for price in prices],
        "ask_size": sizes,
    }
    catalog.write("quotes", contract.symbol, pl.DataFrame(quotes), contract)
    catalog.write("trades", contract.symbol, pl.DataFrame({"ts_event": ts, "price": prices, "size": sizes}), contract)


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    """Two contracts: the second trades more from Wednesday on; gaps of 10.25 before Thursday."""
    catalog = Catalog(tmp_path, disk=QuickDisk())
    write(catalog, future(NAMES[0], 11), [(day * 24 + 12, 100.0 + day, 90 - 20 * day) for day in range(5)])
    write(catalog, future(NAMES[1], 100), [(day * 24 + 12, 110.25 + day, 10 + 25 * day) for day in range(DAYS)])
    return catalog


def test_the_front_moves_with_the_day_after_the_volume_did(catalog):
    es = catalog.continuous("ES", adjust="difference")
    assert es.rolls.rows() == [
        (dt.datetime(2026, 1, 8, tzinfo=dt.UTC), dt.date(2026, 1, 8), *NAMES[:2], 102.0, 112.25, 10.25, 112.25 / 102)
    ]
    assert [es.front(day) for day in ("2026-01-05", "2026-01-07T23:59:59.999", "2026-01-08")] == [NAMES[0], NAMES[0], NAMES[1]]
    bars = es.bars("1d")
    assert bars["contract"].to_list() == [NAMES[0]] * 3 + [NAMES[1]] * 3
    assert bars["close"].to_list() == [110.25, 111.25, 112.25, 113.25, 114.25, 115.25]
    assert bars["volume"].to_list() == [90.0, 70.0, 50.0, 85.0, 110.0, 135.0]
    assert es.bars("1d", on="bid")["close"].to_list() == [110.0, 111.0, 112.0, 113.0, 114.0, 115.0]


def test_prices_may_stay_as_traded_or_move_by_ratio(catalog):
    raw = catalog.continuous("ES")
    assert raw.bars("1d")["close"].to_list() == [100.0, 101.0, 102.0, 113.25, 114.25, 115.25]
    by_ratio = catalog.continuous("ES", adjust="ratio")
    (instrument,) = by_ratio.ticks().instruments
    step = Fraction(instrument.tick_size)
    ratio = Fraction(11225, 10200)
    expected = [float(round(Fraction(price) * ratio / step) * step) for price in (100, 101, 102)]
    assert step == Fraction(1, 40_000)
    assert by_ratio.bars("1d")["close"].to_list() == [*expected, 113.25, 114.25, 115.25]
    hashes = {catalog.continuous("ES", adjust=how).ticks().feeds[1].content_hash for how in (None, "ratio", "difference")}
    assert len(hashes) == 3


def test_a_view_is_one_series_at_any_chunk_size(catalog):
    view = catalog.continuous("ES", adjust="difference").ticks()
    assert view.symbols == ("ES.CONTINUOUS",)
    assert view.notes == ("ES.CONTINUOUS is made of ESH6.SIM, ESM6.SIM, prices adjusted by difference; it is no contract.",)
    for rows in (1, 2, 5, None):
        trades = read(view.feeds[1], rows)
        assert trades["price"].tolist() == [110.25, 111.25, 112.25, 113.25, 114.25, 115.25]
        assert trades["sequence"].tolist() == [0] * 6
        assert (trades["ts_event"][1:] > trades["ts_event"][:-1]).all()

    class Buys(cift.Strategy):
        def on_start(self):
            self.buy(2)

    result = Backtest(view, Buys).run()
    assert result.fills["price"].to_list() == [110.5]
    assert {Backtest(view, Buys, chunk_rows=rows).run().digest for rows in (1, 4, None)} == {result.digest}


def test_a_period_is_cut(catalog):
    es = catalog.continuous("ES", "2026-01-06", "2026-01-09T12:00", adjust="difference")
    assert es.bars("1d")["close"].to_list() == [111.25, 112.25, 113.25]
    assert es.rolls.height == 1
    later = catalog.continuous("ES", "2026-01-09", adjust="difference")
    assert later.rolls.height == 0
    assert later.front("2026-01-09T12:00") == NAMES[1]
    with pytest.raises(NoData, match=r"ES\.CONTINUOUS covers 2026-01-09"):
        later.front("2026-01-08")
    with pytest.raises(NoData, match="none of that period"):
        catalog.continuous("ES", "2027-01-05")


def test_other_rules(catalog):
    def day(**options) -> list[dt.date]:
        return catalog.continuous("ES", **options).rolls["date"].to_list()

    # It expires on Friday of the next week, at 13:00: ten days before that are over with Wednesday's beginning.
    assert day(roll="expiry-10d") == [dt.date(2026, 1, 7)]
    assert day(roll="expiry-12d") == []  # it is past from the first day on
    assert catalog.continuous("ES", roll="expiry-12d").front("2026-01-05") == NAMES[1]
    assert day(roll="expiry") == []
    table = {"2026-01-05": NAMES[0], "2026-01-09": NAMES[1]}
    assert day(roll=table) == [dt.date(2026, 1, 9)]
    assert day(roll=pl.DataFrame({"date": list(table), "symbol": list(table.values())})) == [dt.date(2026, 1, 9)]
    daily = pl.DataFrame(
        {
            "date": [dt.date(2026, 1, 6)] * 2,
            "symbol": list(NAMES[:2]),
            "volume": [5, 6],
            "open_interest": [100, 101],
        }
    )
    assert day(roll="volume", daily=daily) == [dt.date(2026, 1, 7)]
    # A day's open interest is published during the next.
    assert day(roll="open_interest", daily=daily) == [dt.date(2026, 1, 8)]
    assert day(contracts=[NAMES[1]]) == []


@pytest.mark.parametrize("missing", NAMES[:2])
def test_a_missing_figure_is_not_zero_and_rolls_nothing(catalog, missing):
    days = [MONDAY + dt.timedelta(days=day) for day in range(DAYS)]
    rows = [(day, symbol, size) for day in days for symbol, size in zip(NAMES[:2], (2_000_000, 1_000), strict=True)]
    schema = ["date", "symbol", "open_interest"]
    complete = pl.DataFrame(rows, schema=schema, orient="row")
    hole = (pl.col("date") == days[1]) & (pl.col("symbol") == missing)
    for daily in (
        complete.filter(~hole),
        complete.with_columns(pl.when(~hole).then("open_interest").alias("open_interest")),
    ):
        assert catalog.continuous("ES", roll="open_interest", daily=daily).rolls.is_empty()
    # A zero that is told is one.
    told = complete.with_columns(pl.when(hole).then(0).otherwise("open_interest").alias("open_interest"))
    rolls = catalog.continuous("ES", roll="open_interest", daily=told).rolls
    assert rolls["date"].to_list() == ([days[3]] if missing == NAMES[0] else [])


@pytest.mark.parametrize("roll", ["volume", "open_interest"])
def test_a_front_whose_figures_have_ended_is_left(tmp_path, roll):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    write(catalog, future(NAMES[0], None), [(day * 24 + 12, 100.0, 100) for day in range(3)])
    write(catalog, future(NAMES[1], None), [(day * 24 + 12, 110.0, 50) for day in range(8)])
    rows = [(MONDAY + dt.timedelta(days=day), NAMES[0], 100) for day in range(3)]
    rows += [(MONDAY + dt.timedelta(days=day), NAMES[1], 50) for day in range(8)]
    daily = pl.DataFrame(rows, schema=["date", "symbol", roll], orient="row")
    rolls = catalog.continuous("ES", roll=roll, daily=daily).rolls
    assert rolls["date"].to_list() == [MONDAY + dt.timedelta(days=3 + (1 if roll == "volume" else 2))]


def test_a_contract_is_left_before_it_expires(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    write(catalog, future(NAMES[0], 2), [(day * 24 + 12, 100.0, 50) for day in range(3)])
    write(catalog, future(NAMES[1], 3), [(12, 110.0, 1)])
    write(catalog, future(NAMES[2]), [(day * 24 + 12, 120.0, 1) for day in range(5)])
    for roll in ("volume", "expiry"):
        es = catalog.continuous("ES", roll=roll, contracts=[NAMES[0], NAMES[2]])
        assert es.rolls["date"].to_list() == [dt.date(2026, 1, 7)]
    # Nothing trades the second contract any more when the first one is left.
    assert catalog.continuous("ES").rolls.select("date", "to").rows() == [(dt.date(2026, 1, 7), NAMES[2])]
    assert catalog.continuous("ES", roll="expiry").rolls.select("date", "to").rows() == [
        (dt.date(2026, 1, 7), NAMES[1]),
        (dt.date(2026, 1, 8), NAMES[2]),
    ]


def test_days_are_sessions_of_the_exchange(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    # The session of Tuesday begins on Monday at 23:00 UTC, and there the volume of Tuesday's session counts.
    write(catalog, future(NAMES[0], 11, calendar="CMES"), [(20, 100.0, 9), (24, 101.0, 5), (44, 102.0, 5), (50, 103.0, 1)])
    write(catalog, future(NAMES[1], 99, calendar="CMES"), [(20, 110.0, 8), (24, 111.0, 9), (44, 112.0, 9), (50, 113.0, 9)])
    es = catalog.continuous("ES", adjust="difference")
    assert es.rolls.select("ts", "date", "from_price", "to_price").rows() == [
        (dt.datetime(2026, 1, 6, 23, tzinfo=dt.UTC), dt.date(2026, 1, 7), 102.0, 112.0)
    ]
    assert es.bars("1d")["contract"].to_list() == [NAMES[0], NAMES[0], NAMES[1]]


def test_contracts_are_in_order_of_delivery(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    for symbol in ("ESH7.SIM", "ESZ26.SIM", "ESU6.SIM", "ESF2027.SIM", "NQH6.SIM", "ES.SIM"):
        write(catalog, future(symbol), [(12, 100.0, 1)])
    es = catalog.continuous("ES", roll={"2026-01-05": "ESU6.SIM"})
    assert es.front("2026-01-05T12:00") == "ESU6.SIM"
    order = catalog.continuous("ES", roll="volume", daily=pl.DataFrame({"date": [MONDAY], "symbol": ["X"], "volume": [1]}))
    assert order.front("2026-01-05T12:00") == "ESU6.SIM"
    from cift.data.rolls import contracts_of

    found = contracts_of("ES", catalog.instruments(), dict.fromkeys(catalog.symbols(), MONDAY_NS))
    assert [one.symbol for one in found] == ["ESU6.SIM", "ESZ26.SIM", "ESF2027.SIM", "ESH7.SIM"]
    # A year of one digit is the next such year: H5 of 2026 is delivered in 2035.
    write(catalog, future("ESH5.SIM"), [(12, 100.0, 1)])
    found = contracts_of("ES", catalog.instruments(), dict.fromkeys(catalog.symbols(), MONDAY_NS))
    assert [one.symbol for one in found][-1] == "ESH5.SIM"
    write(catalog, future("ESH6.EUR"), [(12, 100.0, 1)])
    with pytest.raises(InvalidParameter, match=r"several venues; ask for one of ES\.EUR, ES\.SIM"):
        catalog.continuous("ES")
    assert catalog.continuous("ES.EUR").segments[0].symbol == "ESH6.EUR"


def test_a_gap_nobody_can_know_is_refused(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    write(catalog, future(NAMES[0]), [(12, 100.0, 5), (36, 100.0, 5)])
    write(catalog, future(NAMES[1]), [(36, 110.0, 9), (60, 110.0, 9)])
    table = {"2026-01-05": NAMES[0], "2026-01-06": NAMES[1]}
    assert catalog.continuous("ES", roll=table).rolls.select("from_price", "to_price", "gap").row(0) == (100.0, None, None)
    with pytest.raises(DataError, match=r"no price of ESH6\.SIM or ESM6\.SIM before the roll on 2026-01-06"):
        catalog.continuous("ES", roll=table, adjust="difference")
    assert catalog.continuous("ES", adjust="difference").rolls["gap"].to_list() == [10.0]


def test_a_ratio_of_prices_below_zero_is_refused(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    for symbol, price in zip(NAMES[:2], (-37.5, 20.0), strict=True):
        ts = [MONDAY_NS + HOUR_NS, MONDAY_NS + DAY_NS]
        frame = pl.DataFrame({"ts_event": ts, "price": [price] * 2, "size": [1.0] * 2})
        catalog.write("trades", symbol, frame, future(symbol), policies={"negative_price": "pass"})
    table = {"2026-01-05": NAMES[0], "2026-01-06": NAMES[1]}
    assert catalog.continuous("ES", roll=table, adjust="difference").bars("1d")["close"].to_list() == [20.0, 20.0]
    with pytest.raises(DataError, match="adjust by difference instead"):
        catalog.continuous("ES", roll=table, adjust="ratio")


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"root": "NQ"}, UnknownSymbol, "holds no contracts of NQ, such as NQH6"),
        ({"contracts": ["X.SIM"]}, UnknownSymbol, r"X\.SIM is not in the catalog"),
        ({"contracts": []}, UnknownSymbol, "no contract is not in the catalog"),
        ({"roll": "moon"}, InvalidParameter, "roll='moon' is not known; choose volume, open_interest, expiry-<n>d"),
        ({"roll": "open_interest"}, InvalidParameter, "holds no open interest; pass daily="),
        ({"roll": {}}, InvalidParameter, "names nothing"),
        ({"roll": {"2026-01-05": "X"}}, InvalidParameter, "names .'X'.; the contracts are ESH6"),
        ({"roll": {"2026-01-06": NAMES[0]}}, InvalidParameter, "begins on 2026-01-06, after the first day 2026-01-05"),
        ({"roll": pl.DataFrame({"date": [], "to": []})}, DataError, "needs the columns date and symbol"),
        ({"daily": pl.DataFrame({"date": [MONDAY]})}, DataError, "symbol is missing"),
        ({"adjust": "both"}, InvalidParameter, "choose 'difference', 'ratio' or None"),
    ],
)
def test_what_cannot_be_rolled_is_told(catalog, options, error, told):
    with pytest.raises(error, match=told):
        catalog.continuous(**{"root": "ES", **options})


def test_contracts_must_be_alike_and_expiries_known(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    write(catalog, future(NAMES[0]), [(12, 100.0, 1)])
    write(catalog, replace(future(NAMES[1]), multiplier=5), [(12, 100.0, 1)])
    with pytest.raises(NotSupported, match=r"ESM6\.SIM differs from ESH6\.SIM in tick, lot, multiplier"):
        catalog.continuous("ES")
    with pytest.raises(InvalidParameter, match=r"the expiry of ESH6\.SIM is not known"):
        catalog.continuous("ES", contracts=[NAMES[0], NAMES[0]], roll="expiry-5d")


def test_days_have_no_gaps():
    first, last = time_ns("2025-12-30", "")[0] + 5, time_ns("2026-01-06T12:00", "")[0]
    for calendar in ("24/7", "CMES", "XNYS"):
        days = trading_days(calendar, first, last)
        assert days[0].start_ns <= first
        assert days[-1].end_ns > last
        assert all(day.end_ns == after.start_ns for day, after in pairwise(days))
        assert [day.date for day in days] == sorted({day.date for day in days})
    weekend = time_ns("2026-01-03T12:00", "")[0]
    assert [day.date for day in trading_days("XNYS", weekend, weekend + HOUR_NS)] == [dt.date(2026, 1, 3)]
    with pytest.raises(InvalidParameter, match="does not reach"):
        trading_days("XKRX", time_ns("1950-01-01", "")[0], time_ns("1950-01-03", "")[0])


@pytest.mark.parametrize("calendar", ["24/7", "XNYS", "CMES"])
def test_days_do_not_depend_on_what_follows(calendar):
    # Friday to Tuesday after a holiday on Monday: each day ends with the next opening, stored or not.
    first, last = time_ns("2026-01-14T15:00", "")[0], time_ns("2026-01-20T15:00", "")[0]
    whole = trading_days(calendar, first, last)
    for until in range(first, last, 5 * HOUR_NS):
        days = trading_days(calendar, first, until)
        assert days == whole[: len(days)]


def test_the_front_of_the_last_day_is_that_of_later_data(tmp_path):
    # The first contract expires an hour after the close of Friday the 16th, before Tuesday's opening: Friday is the second's.
    catalog = Catalog(tmp_path, disk=QuickDisk())
    days = [9, 10, 11]
    write(
        catalog, replace(future(NAMES[0], calendar="XNYS"), expiry="2026-01-16T22:00Z"), [(d * 24 + 15, 100.0, 9) for d in days]
    )
    write(catalog, future(NAMES[1], 150, calendar="XNYS"), [(d * 24 + 15, 110.0, 9) for d in days])
    before = catalog.continuous("ES").front("2026-01-16T15:00")
    write(catalog, future(NAMES[1], 150, calendar="XNYS"), [(15 * 24 + 15, 110.0, 9)])
    assert before == catalog.continuous("ES").front("2026-01-16T15:00") == NAMES[1]


# ------------------------------------------------------------------ laws

prints = st.lists(
    st.tuples(st.integers(0, DAYS * 24 - 1), st.integers(400, 440), st.integers(1, 9)),
    min_size=1,
    max_size=12,
    unique_by=lambda told: told[0],
).map(lambda told: [(hours, quarters / 4, size) for hours, quarters, size in sorted(told)])
chains = st.lists(prints, min_size=2, max_size=3)


def judge(chain, expiries) -> list[tuple[int, int, int, float | None, float | None]]:
    """Rolls as (day, from, to, price, price), by a plain reading of the rule."""
    first = min(hours for one in chain for hours, _, _ in one) // 24
    last = max(hours for one in chain for hours, _, _ in one) // 24
    rolls, front = [], None
    for day in range(first, last + 1):
        before = [sum(size for hours, _, size in one if hours // 24 == day - 1) for one in chain]
        at = 0 if front is None else front
        while at + 1 < len(chain) and expiries[at] * 24 + 13 < (day + 1) * 24:
            at += 1
        if front is not None:
            best = max(range(at, len(chain)), key=lambda one: (before[one], -one))
            at = best if before[best] > before[at] else at
        if front is not None and at != front:
            known = [[price for hours, price, _ in chain[one] if hours < day * 24] for one in (front, at)]
            rolls.append((day, front, at, *(prices[-1] if prices else None for prices in known)))
        front = at
    return rolls


def stored(folder, chain, expiries) -> Catalog:
    catalog = Catalog(folder, disk=QuickDisk())
    for symbol, one, expiry in zip(NAMES, chain, expiries, strict=False):
        write(catalog, future(symbol, expiry), one)
    return catalog


@settings(max_examples=25, deadline=None)
@given(chain=chains, early=st.integers(2, 8))
def test_rolls_are_those_of_a_plain_reading_of_the_rule(tmp_path_factory, chain, early):
    expiries = (early, early + 2, 100)
    rolls = stored(tmp_path_factory.mktemp("c"), chain, expiries).continuous("ES").rolls
    told = [
        ((date - MONDAY).days, NAMES.index(old), NAMES.index(new), *prices)
        for date, old, new, *prices in rolls.select("date", "from", "to", "from_price", "to_price").rows()
    ]
    assert told == judge(chain, expiries)


@settings(max_examples=25, deadline=None)
@given(chain=chains, poison=chains, day=st.integers(1, DAYS - 1))
def test_what_comes_later_decides_nothing_before(tmp_path_factory, chain, poison, day):
    """Rows from a day on are replaced by others; the rolls up to and with that day's beginning stay."""
    # A print on each side of the cut keeps the number of days the same.
    chain = [one if any(hours < 24 for hours, _, _ in one) else [(0, 101.0, 1), *one] for one in chain]
    size = min(len(chain), len(poison))
    poisoned = [
        [row for row in one if row[0] < day * 24] + [row for row in other if row[0] >= day * 24]
        for one, other in zip(chain[:size], poison[:size], strict=True)
    ]
    expiries = (100, 200, 300)
    told = []
    for number, one in enumerate((chain[:size], poisoned)):
        rolls = stored(tmp_path_factory.mktemp(f"c{number}"), one, expiries).continuous("ES").rolls
        told.append(rolls.filter(pl.col("date") <= MONDAY + dt.timedelta(days=day)).rows())
        last = max(hours for rows in one for hours, _, _ in rows) // 24
        if last < day:
            return  # nothing is there at that day's beginning to move to
    assert told[0] == told[1]


@settings(max_examples=20, deadline=None)
@given(chain=chains, how=st.sampled_from(["difference", "ratio"]))
def test_adjusted_prices_are_the_fractions_of_all_later_rolls(tmp_path_factory, chain, how):
    chain = [[(0, 100.0 + at, 3 - at), *(row for row in one if row[0])] for at, one in enumerate(chain)]
    catalog = stored(tmp_path_factory.mktemp("c"), chain, (100, 200, 300))
    es = catalog.continuous("ES", adjust=how)
    view = es.ticks()
    step = Fraction(view.instruments[0].tick_size)
    raw, adjusted = (read(v.feeds[1], None) for v in (catalog.continuous("ES").ticks(), view))
    rolls = es.rolls.select(pl.col("ts").cast(pl.Int64), "from_price", "to_price").rows()
    for ts, price, made in zip(raw["ts_event"].tolist(), raw["price"].tolist(), adjusted["price"].tolist(), strict=True):
        exact = Fraction(price)
        for when, old, new in rolls:
            if ts < when:
                exact = exact + Fraction(new) - Fraction(old) if how == "difference" else exact * Fraction(new) / Fraction(old)
        assert made == float(exact if exact % step == 0 else round(exact / step) * step)
    assert how == "ratio" or step == Fraction(1, 4)
