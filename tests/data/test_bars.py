"""Bars against a slow reference in whole fractions, and the texts that name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cift
from cift.data.bars import bars_of_bars, ohlcv
from cift.domain.bar_spec import BarSpec
from cift.domain.instrument import Instrument
from cift.errors import DataError, InvalidParameter, NoData, TimeOrder

START_NS = 1_700_000_000 * 10**9 // (3_600 * 10**9) * 3_600 * 10**9
SECOND_NS = 10**9
COIN = Instrument("COIN.SIM", tick_size="0.05", lot_size="0.001", multiplier=2)

Print = tuple[int, int, int, str]
"""Nanoseconds since the print before, ticks, lots, who took."""

prints_of_a_day = st.lists(
    st.tuples(
        st.sampled_from([0, 1, SECOND_NS // 2, SECOND_NS, 7 * SECOND_NS]),
        st.integers(990, 1_010),
        st.integers(1, 50),
        st.sampled_from(["buy", "sell", "none"]),
    ),
    min_size=1,
    max_size=120,
)


def frame_of(prints: list[Print]) -> pl.DataFrame:
    ts, rows = START_NS, []
    for gap, ticks, lots, side in prints:
        ts += gap
        rows.append((ts, ticks * 5 / 100, lots / 1_000, side))
    return pl.DataFrame(rows, schema=["ts_event", "price", "size", "aggressor"], orient="row")


def view_of(prints: list[Print]) -> Any:
    return cift.trades(frame_of(prints), instrument=COIN)


class Reference:
    """Bars by the definition, one list of prints each; prices and sizes as fractions."""

    def __init__(self, prints: list[Print]) -> None:
        ts, sign, before = START_NS, 0, None
        self.rows = []
        for gap, ticks, lots, side in prints:
            ts += gap
            price, size = Fraction(ticks) * Fraction(COIN.tick_size), Fraction(lots) * Fraction(COIN.lot_size)
            if before is not None and price != before:
                sign = 1 if price > before else -1
            before = price
            took = {"buy": 1, "sell": -1}.get(side, sign)
            self.rows.append((ts, price, size, took))

    def time(self, length_ns: int) -> list[list[Any]]:
        groups: dict[int, list[Any]] = {}
        for row in self.rows:
            groups.setdefault(row[0] // length_ns, []).append(row)
        return list(groups.values())

    def until(self, reached: Callable[[list[Any]], bool]) -> list[list[Any]]:
        bars, bar = [], []
        for row in self.rows:
            bar.append(row)
            if reached(bar):
                bars.append(bar)
                bar = []
        return [*bars, bar] if bar else bars


def weight(kind: str, row: Any) -> Fraction:
    _, price, size, _ = row
    return {"tick": Fraction(1), "volume": size, "dollar": price * size * Fraction(COIN.multiplier)}[kind]


def told(bars: list[list[Any]]) -> list[tuple[Any, ...]]:
    rows = []
    for bar in bars:
        prices = [price for _, price, _, _ in bar]
        volume = sum((size for _, _, size, _ in bar), Fraction(0))
        value = sum((price * size for _, price, size, _ in bar), Fraction(0))
        numbers = (prices[0], max(prices), min(prices), prices[-1], volume)
        rows.append((*map(float, numbers), len(bar), float(value / volume)))
    return rows


def made(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.select("open", "high", "low", "close", "volume", "count", "vwap").rows()


@given(prints=prints_of_a_day, seconds=st.sampled_from([1, 5, 60]))
def test_time_bars_are_those_of_the_definition(prints: list[Print], seconds: int) -> None:
    bars = Reference(prints).time(seconds * SECOND_NS)
    frame = view_of(prints).bars(f"{seconds}s")
    assert made(frame) == told(bars)
    starts = [bar[0][0] // (seconds * SECOND_NS) * seconds * SECOND_NS for bar in bars]
    assert frame["ts_open"].cast(pl.Int64).to_list() == starts
    assert frame["ts_event"].cast(pl.Int64).to_list() == [start + seconds * SECOND_NS for start in starts]


@given(prints=prints_of_a_day, kind=st.sampled_from(["tick", "volume", "dollar"]), share=st.integers(1, 200))
def test_sums_end_with_the_print_that_reaches_the_threshold(prints: list[Print], kind: str, share: int) -> None:
    threshold = {"tick": Fraction(share), "volume": Fraction(share, 1_000), "dollar": Fraction(share, 7)}[kind]
    written = f"{kind}-{float(threshold)!r}" if kind != "tick" else f"tick-{share}"
    exact = Fraction(written.partition("-")[2])
    bars = Reference(prints).until(lambda bar: sum(weight(kind, row) for row in bar) >= exact)
    frame = view_of(prints).bars(written, unfinished=True)
    assert made(frame) == told(bars)
    assert frame["ts_open"].cast(pl.Int64).to_list() == [bar[0][0] for bar in bars]
    assert frame["ts_event"].cast(pl.Int64).to_list() == [bar[-1][0] for bar in bars]


@given(
    prints=prints_of_a_day,
    kind=st.sampled_from(["tick", "volume", "dollar"]),
    rule=st.sampled_from(["imbalance", "runs"]),
    share=st.integers(1, 40),
)
def test_imbalances_and_runs_weigh_who_took(prints: list[Print], kind: str, rule: str, share: int) -> None:
    threshold = {"tick": Fraction(share), "volume": Fraction(share, 1_000), "dollar": Fraction(share)}[kind]

    def reached(bar: list[Any]) -> bool:
        bought = sum(weight(kind, row) for row in bar if row[3] > 0)
        sold = sum(weight(kind, row) for row in bar if row[3] < 0)
        return (abs(bought - sold) if rule == "imbalance" else max(bought, sold)) >= threshold

    text = f"{kind}-{rule}-{float(threshold)!r}" if kind == "volume" else f"{kind}-{rule}-{share}"
    assert made(view_of(prints).bars(text, unfinished=True)) == told(Reference(prints).until(reached))


@given(prints=prints_of_a_day)
def test_bars_of_bars_are_the_bars_of_their_prints(prints: list[Print]) -> None:
    view = view_of(prints)
    assert bars_of_bars(view.bars("5s"), "1m", COIN).equals(view.bars("1m"))


def test_the_last_bar_of_a_threshold_is_there_only_if_asked_for() -> None:
    view = view_of([(0, 1_000, 1, "buy")] * 5)
    assert view.bars("tick-2").height == 2
    assert view.bars("tick-2", unfinished=True).height == 3
    assert view.bars("1m").height == 1
    assert view.bars("1m", unfinished=False).height == 0


def test_quotes_have_bars_of_each_price_and_no_volume() -> None:
    at = [START_NS, START_NS + 1, START_NS + 90 * SECOND_NS]
    quotes = pl.DataFrame(
        {"ts": at, "bid_price": [9.9, 9.8, 9.9], "bid_size": 1.0, "ask_price": [10.0, 10.0, 10.1], "ask_size": 1.0}
    )
    view = cift.quotes(quotes)
    assert view.bars("1m")["close"].to_list() == [9.9, 10.0]
    assert view.bars("1m", on="bid")["low"].to_list() == [9.8, 9.9]
    assert view.bars("1m", on="ask")["high"].to_list() == [10.0, 10.1]
    assert view.bars("1m")["volume"].to_list() == [0.0, 0.0]
    assert view.bars("1m")["vwap"].to_list() == [None, None]


def test_a_print_between_two_ticks_keeps_its_price() -> None:
    frame = pl.DataFrame({"ts": [START_NS, START_NS + 1], "price": [10.05, 10.075], "size": [1.0, 1.0]})
    (bar,) = made(cift.trades(frame, instrument=COIN).bars("1m"))
    assert bar == (10.05, 10.075, 10.05, 10.075, 2.0, 2, 10.0625)


def test_periods_begin_with_the_session_and_leave_out_what_is_outside() -> None:
    stock = Instrument("STOCK.XNYS", tick_size="0.01", lot_size=1, calendar="XNYS")
    at = [
        datetime(2026, 1, 5, 14, 0, tzinfo=UTC),  # before the open at 14:30
        datetime(2026, 1, 5, 14, 31, tzinfo=UTC),
        datetime(2026, 1, 5, 20, 59, tzinfo=UTC),
        datetime(2026, 1, 5, 21, 30, tzinfo=UTC),  # after the close at 21:00
        datetime(2026, 1, 6, 14, 30, tzinfo=UTC),
    ]
    frame = pl.DataFrame({"ts": at, "price": [1.0, 2.0, 3.0, 4.0, 5.0], "size": 1.0})
    bars = cift.trades(frame, instrument=stock).bars("2h")
    assert bars["close"].to_list() == [2.0, 3.0, 5.0]
    assert bars["ts_open"].dt.strftime("%d %H:%M").to_list() == ["05 14:30", "05 20:30", "06 14:30"]
    assert bars["ts_event"].dt.strftime("%d %H:%M").to_list() == ["05 16:30", "05 21:00", "06 16:30"]


def test_bricks_are_whole_ticks() -> None:
    view = view_of([(0, 1_000, 1, "buy"), (1, 1_005, 1, "buy")])
    assert made(view.bars("renko-0.1"))[0][:4] == (50.0, 50.1, 50.0, 50.1)
    with pytest.raises(InvalidParameter, match=r"bricks of 0\.07 are not whole ticks of COIN\.SIM, which are 0\.05"):
        view.bars("renko-0.07")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ticks-5", "did you mean 'tick-5'"),
        ("5 parsecs", "there are spans such as '1m', and 'tick-N'"),
        ("0s", "must be above 0"),
        ("-1m", "not known"),
        ("tick-0", "must be above 0"),
        ("dollar-nan", "must be finite"),
        (5, "is no text"),
    ],
)
def test_a_spec_that_is_none_says_what_can_be_written(text: Any, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        BarSpec.parse(text)


def test_what_cannot_be_made_bars_of_is_named() -> None:
    view = view_of([(0, 1_000, 1, "buy")])
    with pytest.raises(InvalidParameter, match=r"bars by 'mid' need quotes or mbo or mbp of COIN\.SIM; the view has trades"):
        view.bars("1m", on="mid")
    with pytest.raises(InvalidParameter, match="on='close' is not one of price, bid, ask, mid"):
        view.bars("1m", on="close")
    with pytest.raises(InvalidParameter, match=r"the view has no 'OTHER'; it has COIN\.SIM"):
        view.bars("1m", symbol="OTHER")


def test_an_empty_side_makes_no_bar() -> None:
    quotes = pl.DataFrame({"ts": [START_NS], "bid_price": [9.9], "bid_size": 1.0, "ask_price": [np.nan], "ask_size": 0.0})
    with pytest.raises(NoData, match="nothing to make bars of by 'ask'"):
        cift.quotes(quotes).bars("1m", on="ask")


@pytest.mark.parametrize("calendar", ["XSHG", "XBOM", "XSES", "XNYS"])
def test_a_view_without_an_end_has_bars_as_far_as_its_calendar_reaches(calendar):
    # Some calendars know a few years ahead only, and a view of a frame has no end.
    day = np.datetime64("2026-01-05", "ns").astype(np.int64).item()
    times = [day + (hours * 60 + minute) * 60 * 10**9 for hours in (4, 6, 15) for minute in range(40, 45)]
    abc = Instrument("X.SIM", "0.01", 1, calendar=calendar)
    trades = pl.DataFrame({"ts_event": times, "price": 100.0, "size": 1.0})
    assert 0 < cift.trades(trades, instrument=abc).bars("1m").height < len(times)


def test_a_calendar_that_does_not_know_a_time_says_so():
    abc = Instrument("X.SIM", "0.01", 1, calendar="XSAU")
    times = pl.Series(["2015-01-05T10:00:00"]).str.to_datetime(time_unit="ns")
    view = cift.trades(pl.DataFrame({"ts_event": times, "price": 100.0, "size": 1.0}), instrument=abc)
    with pytest.raises(
        InvalidParameter, match=r"XSAU does not know the sessions from 2015-01-05T10:00.*; ask for another period"
    ):
        view.bars("1m")


@pytest.mark.parametrize(("calendar", "late"), [("XSHG", "2027-03-01"), ("XNYS", "2038-01-05")])
def test_records_after_all_sessions_that_were_looked_up_are_not_left_out(calendar, late):
    times = pl.Series([f"{day}T06:00:00" for day in ("2026-01-05", "2026-12-31", late)]).str.to_datetime(time_unit="ns")
    trades = pl.DataFrame({"ts_event": times, "price": 100.0, "size": 1.0})
    abc = Instrument("X.SIM", "0.01", 1, calendar=calendar)
    with pytest.raises(
        InvalidParameter, match=rf"sessions of {calendar}, .* there are records of {late}T06:00:00.*pass start="
    ):
        cift.trades(trades, instrument=abc).bars("1m")
    cift.trades(trades[:2], instrument=abc).bars("1m")


@given(
    prints_of_a_day,
    st.sampled_from(["1s", "1m", "tick-7", "volume-0.02", "volume-imbalance-0.02", "tick-runs-3", "renko-0.1"]),
    st.sampled_from([None, True, False]),
)
def test_a_plain_frame_has_the_bars_of_its_view(prints: list[Print], spec: str, unfinished: bool | None) -> None:
    frame, steps = frame_of(prints), {"tick": COIN.tick_size, "lot": COIN.lot_size}
    expected = view_of(prints).bars(spec, unfinished=unfinished)
    assert ohlcv(frame, spec, **steps, unfinished=unfinished).equals(expected)
    stamped = frame.with_columns(pl.col("ts_event").cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Tokyo"))
    assert ohlcv(stamped.lazy(), spec, **steps, unfinished=unfinished).equals(expected)


OPEN_NS, CLOSE_NS = 1_700_058_600 * SECOND_NS, 1_700_082_000 * SECOND_NS
"""A session in New York: Wednesday, 2023-11-15."""


@pytest.mark.parametrize(
    ("start_ns", "hours", "counts"), [(CLOSE_NS, 12, []), (CLOSE_NS - 3_600 * SECOND_NS, 12, [1]), (OPEN_NS, 3, [4])]
)
def test_what_comes_while_the_exchange_is_closed_is_in_no_bar(start_ns: int, hours: int, counts: list[int]) -> None:
    pytest.importorskip("exchange_calendars")
    listed = Instrument("COIN.SIM", tick_size="0.05", lot_size="0.001", calendar="XNYS")
    times = [start_ns + hour * 3_600 * SECOND_NS for hour in range(hours + 1)]
    frame = pl.DataFrame({"ts_event": times, "price": 50.0, "size": 0.001})
    made = ohlcv(frame, "1d", tick="0.05", lot="0.001", calendar="XNYS")
    assert made["count"].to_list() == counts
    view = cift.trades(frame, instrument=listed)
    assert made.equals(view.bars("1d"))
    cut = dataclasses.replace(view, end_ns=times[-1] + 1)
    assert made.equals(cut.bars("1d"))


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"price": None}, DataError, "column 'price' is missing"),
        ({"price": [1.0, None]}, DataError, "row 1, column 'price': NaN"),
        ({"size": ["a", "b"]}, DataError, "column 'size' is String"),
        ({"size": [1.0, -1.0]}, DataError, "row 1, column 'size': -1"),
        ({"ts_event": [2, 1]}, TimeOrder, "sort the rows by time"),
        ({"ts_event": [1, None]}, DataError, "'ts_event' is null at row 1"),
        ({"ts_event": ["a", "b"]}, DataError, "'ts_event' is String"),
        ({"aggressor": ["buy", "bought"]}, DataError, "aggressor is 'bought'"),
        ({"symbol": ["A", "B"]}, DataError, "several symbols"),
    ],
)
def test_a_plain_frame_that_cannot_be_counted_is_refused(change: dict[str, Any], kind: type[Exception], told: str) -> None:
    columns = {"ts_event": [1, 2], "price": [1.0, 2.0], "size": [1.0, 1.0], **change}
    frame = pl.DataFrame({name: values for name, values in columns.items() if values is not None})
    with pytest.raises(kind, match=told):
        ohlcv(frame, "1s", tick=1, lot=1)


def test_a_plain_frame_without_rows_has_no_bars() -> None:
    with pytest.raises(NoData, match="no rows"):
        ohlcv(frame_of([(0, 1_000, 5, "none")]).clear(), "1s", tick=1, lot=1)
