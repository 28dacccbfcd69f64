"""Bars in a run: the same as those of columns, handed over when they are known, and indicators that follow them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import cift
from cift.data.bars import bars_of
from cift.data.catalog import Catalog
from cift.domain.bar import Bar
from cift.domain.bar_spec import BarSpec
from cift.domain.instrument import Instrument
from cift.errors import CiftError, InvalidParameter, UnknownName
from cift.indicators import EMA, SMA
from tests.data.market import MONDAY_NS, make

SPECS = (
    "1s",
    "7s",
    "1m",
    "tick-3",
    "tick-50",
    "volume-700",
    "dollar-20000",
    "volume-imbalance-900",
    "tick-runs-9",
    "renko-0.25",
)
COLUMNS = ("ts_open", "ts_event", "open", "high", "low", "close", "volume", "count", "vwap")
TIME = pl.Datetime("ns", "UTC")


def frame_of(bars: list[Bar]) -> pl.DataFrame:
    """Bars as columns, with the types of `Ticks.bars`."""
    kinds: dict[str, Any] = dict.fromkeys(COLUMNS, pl.Float64) | {"ts_open": pl.Int64, "ts_event": pl.Int64, "count": pl.Int64}
    frame = pl.DataFrame([asdict(bar) for bar in bars], schema={"symbol": pl.String, "spec": pl.String, **kinds})
    return frame.select(COLUMNS).with_columns(pl.col("ts_open", "ts_event").cast(TIME))


def run(view: Any, *specs: tuple[str, str | None], **options: Any) -> tuple[list[list[Bar]], Any]:
    """The bars that each stream handed to a strategy."""
    got: dict[str, list[Bar]] = {}

    class Watch(cift.Strategy):
        def setup(self) -> None:
            self.streams = [self.bars(spec, on=on) for spec, on in specs]

        def on_bar(self, bar: Bar) -> None:
            got.setdefault(bar.spec, []).append(bar)
            assert any(stream.last is bar for stream in self.streams)
            assert bar.ts_event <= self.now

    result = cift.Backtest(view, Watch, cash=1_000, **options).run()
    names = [BarSpec.parse(spec).name for spec, _ in specs]
    return [got.get(name, []) for name in names], result


def in_order(columns: dict[str, Any]) -> dict[str, Any]:
    """The columns without times of receipt: what happened is seen at once."""
    return {**columns, "ts_recv": np.full(len(columns["ts_event"]), -(2**63))}


def with_words(columns: dict[str, Any]) -> pl.DataFrame:
    """Prints whose aggressor is a word, as frames have it."""
    words = {65: "sell", 66: "buy", 78: "none"}
    return pl.DataFrame(columns | {"aggressor": [words[letter] for letter in columns["aggressor"]]})


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 600),
    seed=st.integers(0, 2**32),
    spec=st.sampled_from(SPECS),
    gap_ns=st.sampled_from([10**7, 10**9, 10**10]),
    chunk_rows=st.sampled_from([1, 13, 100, None]),
)
def test_a_run_makes_the_bars_of_columns_to_the_last_bit(rows, seed, spec, gap_ns, chunk_rows):
    columns = in_order(make("trades", rows, seed, gap_ns=gap_ns))
    view = cift.trades(with_words(columns), tick_size="0.01", lot_size=1)
    (got,), _ = run(view, (spec, None), chunk_rows=chunk_rows)
    assert_frame_equal(frame_of(got), bars_of(view, spec, unfinished=False), check_exact=True)


@pytest.mark.parametrize("on", ["bid", "ask", "mid"])
@pytest.mark.parametrize("spec", ["7s", "tick-20", "renko-0.5"])
def test_bars_of_quotes_are_those_of_columns(on, spec):
    columns = in_order(make("quotes", 3_000, gap_ns=10**9))
    view = cift.quotes(pl.DataFrame(columns), tick_size="0.01", lot_size=1)
    (got,), _ = run(view, (spec, on))
    assert len(got) > 10
    assert_frame_equal(frame_of(got), bars_of(view, spec, on=on, unfinished=False), check_exact=True)


def test_late_records_are_in_the_bar_in_which_they_happened():
    columns = make("trades", 2_000, gap_ns=10**9)
    columns["ts_recv"] = columns["ts_event"] + np.random.default_rng(1).integers(0, 3 * 10**9, 2_000)
    view = cift.trades(with_words(columns), tick_size="0.01", lot_size=1)
    (got,), _ = run(view, ("5s", None))
    assert_frame_equal(frame_of(got), bars_of(view, "5s", unfinished=False), check_exact=True)


def test_several_streams_side_by_side_do_not_disturb_each_other(tmp_path):
    catalog = cift.demo_catalog()
    view = catalog.ticks("DEMO.SIM", "2026-01-05", level="L1")
    (minutes, ticks, mids), _ = run(view, ("1m", None), ("tick-100", None), ("5m", "mid"))
    assert_frame_equal(frame_of(minutes), view.bars("1m", unfinished=False), check_exact=True)
    assert_frame_equal(frame_of(ticks), view.bars("tick-100"), check_exact=True)
    assert_frame_equal(frame_of(mids), view.bars("5m", on="mid", unfinished=False), check_exact=True)


def test_an_order_feed_has_the_bars_of_its_prints():
    catalog = cift.demo_catalog()
    deep = catalog.ticks("DEMO.SIM", "2026-01-05", level="L3")
    (got,), _ = run(deep, ("1m", "price"))
    assert_frame_equal(frame_of(got), deep.bars("1m", unfinished=False), check_exact=True)


def test_a_later_start_begins_with_what_happens_then():
    view = cift.demo_catalog().ticks("DEMO.SIM", "2026-01-05T11:00:30", "2026-01-05T12:00", level="L3")
    (got,), _ = run(view, ("1m", None))
    assert got[0].ts_open == MONDAY_NS + 11 * 3_600 * 10**9
    assert_frame_equal(frame_of(got), view.bars("1m", unfinished=False), check_exact=True)


def test_sessions_are_kept_apart(tmp_path):
    columns = make("trades", 3_000, start_ns=MONDAY_NS, gap_ns=120 * 10**9)
    catalog = Catalog(tmp_path)
    catalog.write("trades", "ABC.XNYS", in_order(columns), Instrument("ABC.XNYS", "0.01", 1, calendar="XNYS"))
    view = catalog.ticks("ABC.XNYS")
    (got,), _ = run(view, ("1h", None))
    expected = view.bars("1h", unfinished=False)
    assert len(expected) > 7
    assert_frame_equal(frame_of(got), expected, check_exact=True)
    assert {bar.ts_open % (3_600 * 10**9) for bar in got} == {1_800 * 10**9}, "from 09:30 on"


def test_sessions_begin_with_whichever_feed_is_first(tmp_path):
    # Prints of two sessions, quotes of the second one alone: the bars of the first are there all the same.
    day_ns, minute_ns = 86_400 * 10**9, 60 * 10**9
    open_ns = MONDAY_NS + 15 * 60 * minute_ns
    ts = [open_ns, open_ns + minute_ns, open_ns + 2 * minute_ns, open_ns + day_ns, open_ns + day_ns + minute_ns]
    abc = Instrument("ABC.XNYS", "0.01", 1, calendar="XNYS")
    prints = pl.DataFrame({"ts_event": ts, "price": [100.0, 101.0, 102.0, 103.0, 104.0], "size": 1.0})
    quotes = {"ts_event": [ts[3] - minute_ns, ts[4] + minute_ns], "bid_price": 100.0, "ask_price": 100.02}
    view = cift.quotes(pl.DataFrame({**quotes, "bid_size": 1.0, "ask_size": 1.0}), trades=prints, instrument=abc)
    (got,), _ = run(view, ("1m", "price"))
    assert [bar.close for bar in got] == [100.0, 101.0, 102.0, 103.0]
    assert_frame_equal(frame_of(got), view.bars("1m", unfinished=False)[:4], check_exact=True)


def test_a_bar_arrives_with_the_first_row_behind_it_and_before_nothing_else_is_known():
    seconds = [0, 10, 59, 61, 180]
    view = cift.trades(
        pl.DataFrame({"ts_event": [MONDAY_NS + s * 10**9 for s in seconds], "price": [1.0, 2.0, 3.0, 4.0, 5.0], "size": 1.0})
    )
    told: list[Any] = []

    class Watch(cift.Strategy):
        def setup(self) -> None:
            self.minute = self.bars("1m")

        def on_trade(self, trade: Any) -> None:
            told.append(trade.price)

        def on_bar(self, bar: Bar) -> None:
            told.append((bar.open, bar.close, bar.count))

        def on_stop(self) -> None:
            told.append(self.minute.last.close)

    cift.Backtest(view, Watch, cash=1_000).run()
    assert told == [1.0, 2.0, 3.0, 4.0, (1.0, 3.0, 3), 5.0, (4.0, 4.0, 1), 4.0]


@pytest.mark.parametrize("chunk_rows", [1, 17, None])
def test_an_indicator_follows_the_closes(chunk_rows):
    view = cift.demo_catalog().ticks("DEMO.SIM", "2026-01-05", level="L1")
    seen: list[tuple[float, float]] = []
    crossed: list[int] = []

    class Follow(cift.Strategy):
        def setup(self) -> None:
            self.minute = self.bars("1m")
            self.fast = self.indicator(EMA(3), on=self.minute)
            self.slow = self.indicator(SMA(10), on=self.minute)
            self.when(self.fast.crosses_above(self.slow), self.up)

        def on_bar(self, bar: Bar) -> None:
            seen.append((self.fast.value, self.slow.value))

        def up(self) -> None:
            crossed.append(self.minute.last.ts_event)

    cift.Backtest(view, Follow, cash=1_000, chunk_rows=chunk_rows).run()
    bars = view.bars("1m", unfinished=False)
    fast, slow = EMA(3)(bars["close"].to_numpy()), SMA(10)(bars["close"].to_numpy())
    assert np.array_equal(np.array(seen), np.column_stack([fast, slow]), equal_nan=True)
    above = fast > slow
    known = ~np.isnan(slow)
    turns = [i for i in range(1, len(bars)) if known[i - 1] and above[i] and not above[i - 1]]
    assert crossed == bars["ts_event"].cast(pl.Int64).gather(turns).to_list()
    assert len(crossed) > 3


def test_a_value_stands_between_two_bars():
    view = cift.demo_catalog().ticks("DEMO.SIM", "2026-01-05", level="L1")
    values: list[tuple[float, float]] = []

    class Follow(cift.Strategy):
        def setup(self) -> None:
            self.minute = self.bars("1m")
            self.line = self.indicator(EMA(1), on=self.minute)

        def on_trade(self, trade: Any) -> None:
            if self.minute.last is not None:
                values.append((self.line.value, self.minute.last.close))

    cift.Backtest(view, Follow, cash=1_000, chunk_rows=1_000).run()
    # At the row that ends a bar, its close is known to the indicator before `on_bar` is called.
    behind = sum(value != close for value, close in values)
    assert 0 < behind < 400
    assert len(values) > 5_000


def test_one_digest_for_every_chunk_size():
    view = cift.demo_catalog().ticks("DEMO.SIM", "2026-01-05")

    class Swing(cift.Strategy):
        def setup(self) -> None:
            self.bars("30s")

        def on_bar(self, bar: Bar) -> None:
            self.target(100 if bar.close > bar.open else -100)

    digests = {cift.Backtest(view, Swing, cash=10**6, chunk_rows=rows).run().digest for rows in (97, 5_000, None)}
    assert len(digests) == 1


class Deaf(cift.Strategy):
    def on_bar(self, bar: Bar) -> None: ...


class Late(cift.Strategy):
    def on_start(self) -> None:
        self.bars("1m")


def declares(*arguments: Any, **named: Any) -> type[cift.Strategy]:
    return type("Declares", (cift.Strategy,), {"setup": lambda self: self.bars(*arguments, **named)})


class Strange(cift.Strategy):
    def setup(self) -> None:
        self.indicator(EMA(3), on=object())  # type: ignore[arg-type]


class Close(cift.Strategy):
    def setup(self) -> None:
        self.indicator(EMA(3), on="close")


@pytest.mark.parametrize(
    ("strategy", "error", "told"),
    [
        (Deaf, UnknownName, r"on_bar would never be called: declare bars in setup, such as self\.bars\('1m'\)"),
        (Late, CiftError, r"self\.bars\(\.\.\.\) works in setup only"),
        (declares("1 fortnight"), InvalidParameter, "bars of '1 fortnight' are not known"),
        (declares("1m", on="last"), InvalidParameter, "on='last' is not one of price, bid, ask, mid"),
        (declares("renko-0.0001"), InvalidParameter, "are not whole ticks"),
        (declares("1m", symbol="NO.SIM"), UnknownName, "'NO.SIM' is not in this run"),
        (Strange, InvalidParameter, r"or bars that self\.bars\(\.\.\.\) gave"),
        (Close, InvalidParameter, r"on 'close' needs bars: pass on=self\.bars\('1m'\)"),
    ],
)
def test_wrong_use_is_said_at_once(strategy, error, told):
    view = cift.demo_catalog().ticks("DEMO.SIM", "2026-01-05", level="L1")
    with pytest.raises(error, match=told):
        cift.Backtest(view, strategy, cash=1_000).run()


def test_quotes_alone_have_no_prints_to_make_bars_of(tmp_path: Path):
    view = cift.quotes(pl.DataFrame(make("quotes", 50)), tick_size="0.01", lot_size=1)
    with pytest.raises(InvalidParameter, match="bars by 'price' need trades or mbo"):
        cift.Backtest(view, declares("1m", on="price"), cash=1_000).run()


def test_more_bricks_than_any_market_has_end_the_run():
    view = cift.trades(
        pl.DataFrame({"ts_event": [MONDAY_NS, MONDAY_NS + 1], "price": [1.0, 900.0], "size": 1.0}),
        tick_size="0.001",
        lot_size=1,
    )
    with pytest.raises(CiftError, match="bricks at once; choose larger bricks"):
        cift.Backtest(view, declares("renko-0.001"), cash=1_000).run()


def at(*times: str) -> list[int]:
    return [np.datetime64(time, "ns").astype(np.int64).item() for time in times]


@pytest.mark.parametrize(("calendar", "late"), [("XSHG", "2027-01-04"), ("XSHG", "2027-03-01"), ("XNYS", "2038-01-05")])
@pytest.mark.parametrize("chunk_rows", [1, 2, 3, None])
def test_a_run_ends_at_the_first_row_behind_its_calendar(calendar, late, chunk_rows):
    times = at("2026-01-05T06:00", "2026-01-05T06:01", "2026-12-31T06:00", "2026-12-31T06:05", f"{late}T06:00", f"{late}T06:09")
    abc = Instrument("X.SIM", "0.01", 1, calendar=calendar)
    frame = pl.DataFrame({"ts_event": times, "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "size": 1.0})
    view = cift.trades(frame, instrument=abc)
    told: list[float] = []
    bars: list[Bar] = []

    class Watch(cift.Strategy):
        def setup(self) -> None:
            self.minute = self.bars("1m")

        def on_trade(self, trade: Any) -> None:
            told.append(trade.price)

        def on_bar(self, bar: Bar) -> None:
            bars.append(bar)

    text = rf"bars of X\.SIM need the sessions of {calendar}, .* there are records of {late}T06:00:00.*pass start= and end="
    with pytest.raises(InvalidParameter, match=text):
        cift.Backtest(view, Watch, cash=1_000, chunk_rows=chunk_rows).run()
    with pytest.raises(InvalidParameter, match=text):
        view.bars("1m")
    assert told == [1.0, 2.0, 3.0, 4.0, 5.0], "all up to that row was seen"
    known = cift.trades(frame[:4], instrument=abc).bars("1m")
    assert_frame_equal(frame_of(bars), known, check_exact=True)


@pytest.mark.parametrize("on", ["price", "mid"])
def test_only_the_rows_that_bars_are_made_of_must_have_sessions(on):
    early, late = at("2026-01-05T06:00", "2026-01-05T06:02"), at("2027-03-01T06:00", "2027-03-01T06:02")
    abc = Instrument("X.SIM", "0.01", 1, calendar="XSHG")
    prints = pl.DataFrame({"ts_event": early if on == "mid" else early + late, "price": 100.0, "size": 1.0})
    quotes = {"ts_event": early if on == "price" else early + late, "bid_price": 100.0, "ask_price": 100.02}
    view = cift.quotes(pl.DataFrame({**quotes, "bid_size": 1.0, "ask_size": 1.0}), trades=prints, instrument=abc)
    other = "price" if on == "mid" else "mid"
    with pytest.raises(InvalidParameter, match="the sessions of XSHG"):
        run(view, ("1m", on))
    with pytest.raises(InvalidParameter, match="the sessions of XSHG"):
        run(view, ("1m", other), ("5m", on))
    (got,), _ = run(view, ("1m", other))
    assert_frame_equal(frame_of(got), view.bars("1m", on=other, unfinished=False), check_exact=True)


def test_a_period_that_the_calendar_does_not_know_is_refused_before_the_run(tmp_path):
    abc = Instrument("X.SIM", "0.01", 1, calendar="XSHG")
    catalog = Catalog(tmp_path)
    columns = in_order(make("trades", 100, gap_ns=10**9))
    catalog.write("trades", "X.SIM", columns, abc)
    with pytest.raises(InvalidParameter, match=r"the calendar XSHG does not know the sessions from 2026-01-05.* to 2031-01-01"):
        run(catalog.ticks("X.SIM", "2026-01-05", "2031-01-01"), ("1m", None))


def test_a_view_with_a_deeper_feed_ends_there_too(tmp_path):
    abc = Instrument("X.SIM", "0.01", 1, calendar="XSHG")
    columns = in_order(make("mbo", 400, gap_ns=10**9))
    columns["action"] = np.where(np.arange(400) % 4 == 3, 84, 65).astype(np.uint8)
    columns["price"] = np.full(400, 100.0)
    columns["side"] = np.where(columns["action"] == 84, 78, 66).astype(np.uint8)
    columns["order_id"] = np.arange(400).astype(np.uint64) + 1
    columns["ts_event"][250:] += 500 * 86_400 * 10**9
    catalog = Catalog(tmp_path)
    catalog.write("mbo", "X.SIM", columns, abc)
    view = catalog.ticks("X.SIM", level="L3")
    for chunk_rows in (7, None):
        with pytest.raises(InvalidParameter, match=r"the sessions of XSHG, .* there are records of 2027-0"):
            run(view, ("1m", "price"), chunk_rows=chunk_rows)
    with pytest.raises(InvalidParameter, match=r"the sessions of XSHG, .* there are records of 2027-0"):
        view.bars("1m", on="price")
