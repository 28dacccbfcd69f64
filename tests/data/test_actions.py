"""Splits and dividends are kept in the catalog, and applied as rows are read, never on disk."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cift
from cift.backtest import Backtest
from cift.cli import main
from cift.data.actions import ex_ns
from cift.data.catalog import Catalog
from cift.data.selection import reopen, selection
from cift.domain.action import Action
from cift.domain.instrument import Instrument
from cift.errors import CorruptData, DataError, InvalidParameter, NotSupported, UnknownSymbol
from tests.data.market import DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk, read

ABC = Instrument("ABC.SIM", "0.01", 1)
SYMBOL = ABC.symbol
DAYS = 5


def rows(prices: list[float], sizes: list[float] | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A quote and a print at each price, evenly over five days from Monday on."""
    gap = DAYS * DAY_NS // len(prices)
    ts = [MONDAY_NS + at * gap for at in range(len(prices))]
    sizes = [100.0] * len(prices) if sizes is None else sizes
    quotes = pl.DataFrame(
        {
            "ts_event": ts,
            "bid_price": prices,
            "bid_size": sizes,
            "ask_price": [round(price + 0.01, 2) for price in prices],
            "ask_size": sizes,
        }
    )
    return quotes, pl.DataFrame({"ts_event": ts, "price": prices, "size": sizes})


def catalog_of(folder, prices, actions=(), instrument=ABC, sizes=None) -> Catalog:
    catalog = Catalog(folder, disk=QuickDisk())
    quotes, trades = rows(prices, sizes)
    catalog.write("quotes", SYMBOL, quotes, instrument)
    catalog.write("trades", SYMBOL, trades, instrument)
    if actions:
        catalog.write_actions(list(actions))
    return catalog


def split(day: str, ratio="4:1") -> Action:
    return Action(SYMBOL, day, "split", ratio=ratio)


def dividend(day: str, amount="0.5", **more) -> Action:
    return Action(SYMBOL, day, "dividend", amount=amount, **more)


# ------------------------------------------------------------------ the table


def test_actions_are_stored_and_read_back(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write_actions(
        [dividend("2026-01-08", "0.10", close="99.5"), split("2026-01-07"), Action("X", "2026-01-07", "split", "1:3")]
    )
    told = catalog.actions()
    assert told.select("symbol", "kind", "ratio", "amount", "currency", "close").rows() == [
        (SYMBOL, "split", "4:1", None, None, None),
        (SYMBOL, "dividend", None, 0.1, "USD", 99.5),
        ("X", "split", "1:3", None, None, None),
    ]
    assert catalog.actions("X")["ex_date"].to_list() == [dt.date(2026, 1, 7)]
    # What is named is replaced, the rest stays; what was read can be written.
    catalog.write_actions(catalog.actions(SYMBOL).filter(pl.col("kind") == "split"))
    assert catalog.actions().height == 2
    catalog.verify()


def test_a_file_says_what_a_frame_says(tmp_path):
    file = tmp_path / "actions.csv"
    file.write_text(
        "symbol,ex_date,kind,ratio,amount,currency\nABC.SIM,2026-01-07,split,4:1,,\nABC.SIM,2026-01-08,dividend,,0.10,EUR\n"
    )
    for name in ("csv", "parquet"):
        catalog = Catalog(tmp_path / name, disk=QuickDisk())
        if name == "parquet":
            dates = pl.col("ex_date").str.to_date("%Y-%m-%d")
            pl.read_csv(file).with_columns(dates).write_parquet(tmp_path / "actions.parquet")
        catalog.write_actions(tmp_path / f"actions.{name}")
        assert catalog._actions() == [split("2026-01-07"), dividend("2026-01-08", "0.1", currency="EUR")]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"symbol": ["X"], "kind": ["split"]}, "column 'ex_date' is missing"),
        ({"symbol": ["X"], "ex_date": ["2026-01-07"], "kind": ["split"], "factor": [4]}, "column 'factor' is not known"),
        ({"symbol": ["X"], "ex_date": ["2026-01-07"], "kind": ["split"]}, "row 0 of the actions: .* has no ratio"),
        ({"symbol": ["X"], "ex_date": ["soon"], "kind": ["split"], "ratio": ["4:1"]}, "ex_date .* must be a date"),
        ({"symbol": ["X"], "ex_date": ["2026-01-07"], "kind": ["merger"], "ratio": ["4:1"]}, "must be split or dividend"),
        ({"symbol": ["X"], "ex_date": ["2026-01-07"], "kind": ["split"], "ratio": ["4:0"]}, "new shares for old ones"),
        ({"symbol": ["X"], "ex_date": ["2026-01-07"], "kind": ["split"], "ratio": ["-4"]}, "must be positive"),
        ({"symbol": ["X"], "ex_date": ["2026-01-07"], "kind": ["dividend"], "close": ["4"]}, "has no amount"),
        (
            {"symbol": ["X"], "ex_date": ["2026-01-07"], "kind": ["split"], "ratio": ["4"], "amount": [1]},
            "which a split has not",
        ),
        ({"symbol": ["X"], "ex_date": ["2026-01-07"], "kind": ["dividend"], "amount": ["2"], "close": ["2"]}, "not less than"),
        ({"symbol": ["X"] * 2, "ex_date": ["2026-01-07"] * 2, "kind": ["split"] * 2, "ratio": ["4"] * 2}, "add them up"),
    ],
)
def test_what_is_no_action_is_named_and_nothing_is_stored(tmp_path, given, told):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    with pytest.raises(DataError, match=told):
        catalog.write_actions(pl.DataFrame(given))
    assert catalog.actions().height == 0


def test_a_changed_table_is_noticed(tmp_path):
    catalog = catalog_of(tmp_path, [100.0] * 10, [split("2026-01-07")])
    file = tmp_path / "actions.json"
    file.write_bytes(file.read_bytes().replace(b"4:1", b"5:1"))
    for ask in (catalog.actions, catalog.verify, lambda: catalog.ticks(SYMBOL)):
        with pytest.raises(CorruptData, match="does not match its own hash"):
            ask()


def test_days_begin_at_midnight_of_the_exchange():
    day = dt.date(2026, 1, 7)
    assert ex_ns(day, "24/7") == MONDAY_NS + 2 * DAY_NS
    assert ex_ns(day, "XNYS") == MONDAY_NS + 2 * DAY_NS + 5 * HOUR_NS
    assert ex_ns(day, "XTKS") == MONDAY_NS + 2 * DAY_NS - 9 * HOUR_NS
    assert ex_ns(dt.date(2026, 7, 1), "XNYS") % DAY_NS == 4 * HOUR_NS


# ------------------------------------------------------------------ views


def test_a_split_four_for_one_is_exact(tmp_path):
    prices = [400.0, 401.02, 100.3, 100.31, 100.5]
    catalog = catalog_of(tmp_path, prices, [split("2026-01-07")])
    view = catalog.ticks(SYMBOL, adjust="splits")
    (instrument,) = view.instruments
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.0025"), 1)
    trades = read(view.feeds[1], None)
    assert trades["price"].tolist() == [100.0, 100.255, 100.3, 100.31, 100.5]
    assert trades["size"].tolist() == [400.0, 400.0, 100.0, 100.0, 100.0]
    quotes = read(view.feeds[0], 2)
    assert quotes["ask_price"].tolist() == [100.0025, 100.2575, 100.31, 100.32, 100.51]
    assert view.notes == ("ABC.SIM: prices and sizes before are adjusted for split 4:1 on 2026-01-07.",)
    assert view.bars("1d")["close"].to_list() == [100.0, 100.255, 100.3, 100.31, 100.5]


actions = st.lists(
    st.tuples(
        st.sampled_from(["2026-01-06", "2026-01-07", "2026-01-09"]),
        st.one_of(
            st.sampled_from(["4:1", "3:2", "3:1", "1:10", "7:5", "21:20"]).map(lambda ratio: ("split", {"ratio": ratio})),
            st.tuples(st.integers(1, 300), st.none() | st.integers(5_000, 9_000)).map(
                lambda told: ("dividend", {"amount": Decimal(told[0]) / 100, "close": told[1] and Decimal(told[1]) / 100})
            ),
        ),
    ),
    max_size=4,
    unique_by=lambda told: (told[0], told[1][0]),
)


@settings(max_examples=40, deadline=None)
@given(
    told=actions,
    cents=st.lists(st.integers(1_000, 20_000), min_size=5, max_size=25),
    mode=st.sampled_from(["splits", "all"]),
    chunk=st.sampled_from([1, 3, None]),
)
def test_every_price_and_size_is_the_fraction_rounded_once(tmp_path_factory, told, cents, mode, chunk):
    prices = [cent / 100 for cent in cents]
    given_actions = [Action(SYMBOL, day, kind, **more) for day, (kind, more) in told]
    catalog = catalog_of(tmp_path_factory.mktemp("c"), prices, given_actions)
    raw, view = catalog.ticks(SYMBOL, adjust="raw"), catalog.ticks(SYMBOL, adjust=mode)
    trades = read(raw.feeds[1], None)
    ts = trades["ts_event"].tolist()

    def judge(at: int) -> tuple[Fraction, Fraction]:
        price, size = Fraction(cents[at], 100), Fraction(100)
        for action in given_actions:
            begins = ex_ns(action.ex_date, "24/7")
            if ts[at] >= begins or begins <= ts[0] or begins > ts[-1]:
                continue
            if action.kind == "split":
                price, size = price / action.ratio, size * action.ratio
            elif mode == "all":
                last = [cents[i] for i in range(len(ts)) if ts[i] < begins][-1]
                close = Fraction(action.close) if action.close else Fraction(last, 100)
                same_day = [one.ratio for one in given_actions if one.kind == "split" and one.ex_date == action.ex_date]
                price *= 1 - Fraction(action.amount) * (same_day[0] if same_day else 1) / close
        return price, size

    grid = Fraction(view.instruments[0].tick_size), Fraction(view.instruments[0].lot_size)
    exact = [judge(at) for at in range(len(ts))]
    is_exact = [all(one[part] % grid[part] == 0 for one in exact) for part in (0, 1)]
    expected = [
        [float(one[part] if is_exact[part] else round(one[part] / grid[part]) * grid[part]) for one in exact] for part in (0, 1)
    ]
    adjusted = read(view.feeds[1], chunk)
    assert adjusted["price"].tolist() == expected[0]
    assert adjusted["size"].tolist() == expected[1]
    assert grid[0] <= Fraction(1, 100)
    assert adjusted["ts_event"].tolist() == ts
    # Every price lies on the grid of the view, so that bars and runs take it.
    assert view.bars("1d").height == 5
    # What was read raw is what was written.
    assert read(raw.feeds[1], chunk)["price"].tolist() == prices


def test_an_adjusted_return_is_the_return_with_the_dividend(tmp_path):
    catalog = catalog_of(tmp_path, [50.0, 51.0, 50.2, 50.4, 50.0], [dividend("2026-01-07", "1.02")])
    close = catalog.ticks(SYMBOL, adjust="all").bars("1d")["close"].to_list()
    assert close[2] / close[1] == pytest.approx(50.2 / (51.0 - 1.02), rel=1e-6)
    assert close[1:3] == [49.98, 50.2]
    assert catalog.ticks(SYMBOL, adjust="splits").bars("1d")["close"].to_list() == [50.0, 51.0, 50.2, 50.4, 50.0]


def test_the_close_is_that_of_the_session_before(tmp_path):
    new_york = replace(ABC, calendar="XNYS")
    # A print an hour: those of 14:30 to 21:00 UTC are the session's; the last of them on Tuesday is the 45th hour's.
    prices = [50.0 + at / 100 for at in range(120)]
    catalog = catalog_of(tmp_path, prices, [dividend("2026-01-07", "0.05")], new_york)
    view = catalog.ticks(SYMBOL, adjust="all")
    factor = view.feeds[0].scales[0].price
    # At 21:00 sharp the session is over.
    assert factor == 1 - Fraction("0.05") / Fraction(str(prices[44]))
    quotes, _ = rows(prices)
    only_quotes = Catalog(tmp_path / "quotes", disk=QuickDisk())
    only_quotes.write("quotes", SYMBOL, quotes, new_york)
    only_quotes.write_actions([dividend("2026-01-07", "0.05")])
    factor = only_quotes.ticks(SYMBOL, adjust="all").feeds[0].scales[0].price
    assert factor == 1 - Fraction("0.05") / (Fraction(str(prices[44])) + Fraction("0.005"))


def test_the_price_before_a_time_is_the_last_print(tmp_path):
    catalog = catalog_of(tmp_path, [100.0, 101.25, 102.0, 103.0, 104.0])
    assert catalog.price_before(SYMBOL, "2026-01-07") == Decimal("101.25")
    assert catalog.price_before(SYMBOL, "2026-01-19T23:00") == Decimal(104)
    for before in ("2026-01-05", "2026-01-20"):
        with pytest.raises(DataError, match="holds no trade and no two-sided quote"):
            catalog.price_before(SYMBOL, before)
    with pytest.raises(UnknownSymbol, match=r"ABD\.SIM is not in the catalog"):
        catalog.price_before("ABD.SIM", "2026-01-07")


def test_prints_at_the_closing_time_and_later_are_of_no_session(tmp_path):
    """As the documentation says: those of the closing auction and after hours are not told apart."""
    catalog, close_ns = Catalog(tmp_path, disk=QuickDisk()), MONDAY_NS + 21 * HOUR_NS
    times = [close_ns - 10**9, close_ns - 1, close_ns, close_ns + 350_000_000, close_ns + 3 * HOUR_NS - 1]
    prints = {"ts_event": times, "price": [100.0, 100.5, 101.0, 102.0, 103.0], "size": 1.0}
    catalog.write("trades", SYMBOL, pl.DataFrame(prints), replace(ABC, calendar="XNYS"))
    for before in ("2026-01-06", "2026-01-05T21:00", "2026-01-06T20:00"):
        assert catalog.price_before(SYMBOL, before) == Decimal("100.5")


@pytest.mark.parametrize("calendar", ["XNYS", "24/7"])
def test_a_print_of_days_ago_is_no_price_where_the_session_before_has_quotes(tmp_path, calendar):
    # Monday prints at 15:00 and has quotes; Tuesday and Wednesday have quotes alone; nothing from Thursday on.
    instrument = replace(ABC, calendar=calendar)
    hours = [15, 24 + 15, 48 + 15]
    ts = pl.Series([MONDAY_NS + hour * HOUR_NS for hour in hours])
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("trades", SYMBOL, pl.DataFrame({"ts_event": ts[:1], "price": [90.0], "size": [1.0]}), instrument)
    bids = [100.0, 101.0, 102.0]
    quotes = {"ts_event": ts, "bid_price": bids, "bid_size": 1.0, "ask_price": [bid + 0.02 for bid in bids], "ask_size": 1.0}
    catalog.write("quotes", SYMBOL, pl.DataFrame(quotes), instrument)
    told = [catalog.price_before(SYMBOL, f"2026-01-{day:02d}") for day in (6, 7, 8, 9, 13)]
    assert told == [Decimal(90), Decimal("101.01"), Decimal("102.01"), Decimal("102.01"), Decimal("102.01")]
    # Within a session, what it has up to then comes before any other.
    assert catalog.price_before(SYMBOL, "2026-01-06T15:00:00.000000001") == Decimal("101.01")
    assert catalog.price_before(SYMBOL, "2026-01-06T15:00") == Decimal(90)


def test_levels_are_no_price(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    row = {"ts_event": [MONDAY_NS], "action": ["set"], "side": ["bid"], "price": [100.0], "size": [1.0], "flags": [128]}
    catalog.write("mbp", SYMBOL, pl.DataFrame(row).with_columns(pl.col("flags").cast(pl.UInt8)), ABC)
    with pytest.raises(DataError, match=r"no trade and no two-sided quote of ABC\.SIM"):
        catalog.price_before(SYMBOL, "2026-01-06")


def test_what_nobody_decided_is_noted(tmp_path):
    catalog = catalog_of(tmp_path, [100.0] * 50, [split("2026-01-07"), dividend("2026-01-12")])
    note = (
        "ABC.SIM is read as traded over split 4:1 on 2026-01-07: its prices before are in other terms; "
        "pass adjust='splits', 'all' or 'raw' to ticks()"
    )
    view = catalog.ticks(SYMBOL)
    assert view.notes == (note,)
    assert note in Backtest(view, cift.Strategy).run().record.notes
    assert catalog.ticks(SYMBOL, adjust="raw").notes == ()
    # Where no action lies within, there is nothing to say or do.
    for start, end in (("2026-01-05", "2026-01-07"), ("2026-01-07", None)):
        for adjust in (None, "all"):
            part = catalog.ticks(SYMBOL, start, end, adjust=adjust)
            assert part.notes == ()
            assert part.instruments == (ABC,)
            assert part.feeds[0].content_hash == catalog.ticks(SYMBOL, start, end, adjust="raw").feeds[0].content_hash


def test_the_last_prices_are_as_traded_wherever_the_view_ends(tmp_path):
    catalog = catalog_of(tmp_path, [400.0, 400.0, 100.0, 50.0, 50.0], [split("2026-01-07"), split("2026-01-08", 2)])
    last = catalog.ticks(SYMBOL, adjust="splits").bars("1d")["close"].to_list()
    assert last == [50.0] * 5
    assert catalog.ticks(SYMBOL, "2026-01-05", "2026-01-08", adjust="splits").bars("1d")["close"].to_list() == [100.0] * 3


def test_nothing_on_disk_changes(tmp_path):
    catalog = catalog_of(tmp_path, [100.0] * 30)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    catalog.write_actions([split("2026-01-07", "3:1"), dividend("2026-01-08")])
    read(catalog.ticks(SYMBOL, adjust="all").feeds[0], 7)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {tmp_path / "actions.json"}
    assert all(after[path] == content for path, content in before.items())


def test_other_adjustments_are_other_data(tmp_path):
    catalog = catalog_of(tmp_path, [100.0] * 30, [split("2026-01-07"), dividend("2026-01-08")])
    hashes = [catalog.ticks(SYMBOL, adjust=adjust).feeds[0].content_hash for adjust in ("raw", "splits", "all")]
    catalog.write_actions([split("2026-01-07"), dividend("2026-01-08", "0.51")])
    hashes.append(catalog.ticks(SYMBOL, adjust="all").feeds[0].content_hash)
    assert len(set(hashes)) == 4
    assert catalog.ticks(SYMBOL).feeds[0].content_hash == hashes[0]


class Buys(cift.Strategy):
    def on_start(self):
        self.buy(7)


def test_a_run_on_an_adjusted_view_can_be_opened_again(tmp_path):
    catalog = catalog_of(tmp_path, [300.0, 300.0, 100.0, 101.0, 102.0], [split("2026-01-07", "3:1")])
    view = catalog.ticks(SYMBOL, "2026-01-06", "2026-01-09", adjust="splits")
    result = Backtest(view, Buys).run()
    assert result.fills["price"].to_list() == [100.003333]
    assert {Backtest(view, Buys, chunk_rows=rows).run().digest for rows in (1, 2, None)} == {result.digest}
    again = reopen(json.loads(json.dumps(selection(view))))
    assert [feed.content_hash for feed in again.feeds] == [feed.content_hash for feed in view.feeds]
    assert Backtest(again, Buys).run().digest == result.digest
    # A saved selection of a day that was cut is cut again.
    cut = {**selection(view), "start_ns": None, "end_ns": None}
    assert reopen(cut).feeds[0].content_hash == view.feeds[0].content_hash
    # A server knows no actions: its prices would be others.
    with pytest.raises(NotSupported, match=r"adjust='splits'.*a server does not know"):
        reopen(selection(view), "questdb://localhost:1")


def test_what_cannot_be_adjusted_is_refused(tmp_path):
    catalog = catalog_of(tmp_path, [100.0] * 30, [dividend("2026-01-07", currency="EUR")])
    with pytest.raises(NotSupported, match="is not in USD"):
        catalog.ticks(SYMBOL, adjust="all")
    with pytest.raises(InvalidParameter, match="adjust='split' is not known; choose 'raw', 'splits', 'all'"):
        catalog.ticks(SYMBOL, adjust="split")
    catalog.write_actions([dividend("2026-01-07", "100")])
    with pytest.raises(DataError, match="not less than the price before it, 100"):
        catalog.ticks(SYMBOL, adjust="all")
    fine = Instrument(SYMBOL, "1e-10", "1e-8")
    catalog = catalog_of(tmp_path / "fine", [100.0] * 30, [split("2026-01-07", "3:1")], fine)
    with pytest.raises(InvalidParameter, match=r"the adjusted view of ABC\.SIM is too fine"):
        catalog.ticks(SYMBOL, adjust="splits")


def test_orders_whose_sizes_would_be_rounded_are_refused(tmp_path):
    # Ten cancels of 10 take all of an order of 100; ten times a third of 10, rounded, leave some of a third of 100.
    orders = pl.DataFrame(
        {
            "ts_event": [MONDAY_NS + step * HOUR_NS for step in range(11)] + [MONDAY_NS + 2 * DAY_NS],
            "action": ["add", *["cancel"] * 10, "add"],
            "side": ["bid"] * 12,
            "price": [99.99] * 12,
            "size": [100.0, *[10.0] * 10, 33.0],
            "order_id": pl.Series([1] * 11 + [7], dtype=pl.UInt64),
        }
    )
    catalog = catalog_of(tmp_path, [100.0] * 50, [split("2026-01-07", "1:3")])
    catalog.write("mbo", SYMBOL, orders, ABC)
    with pytest.raises(NotSupported, match=r"orders of ABC\.SIM .* split 1:3 .*sizes would be rounded.*adjust='raw'"):
        catalog.ticks(SYMBOL, adjust="splits")
    assert catalog.ticks(SYMBOL, level="L1", adjust="splits").instruments[0].lot_size == Decimal("0.0001")
    # Sizes that a decimal grid holds are exact, and so is the book.
    catalog.write_actions([split("2026-01-07", "1:4")])
    sizes = read(catalog.ticks(SYMBOL, adjust="splits").feeds[0], None)["size"]
    assert sizes[0] == sizes[1:11].sum() == 25.0


def test_a_dividend_without_a_price_before_it_says_so(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    quotes, _ = rows([100.0] * 10)
    one_sided = quotes.with_columns(ask_price=float("nan"), ask_size=0.0)
    catalog.write("quotes", SYMBOL, one_sided, ABC)
    catalog.write_actions([dividend("2026-01-07")])
    with pytest.raises(
        DataError, match=r"holds no trade and no two-sided quote of ABC\.SIM in .* before 2026-01-07.*give it as `close`"
    ):
        catalog.ticks(SYMBOL, adjust="all")
    catalog.write_actions([dividend("2026-01-07", close=100)])
    assert read(catalog.ticks(SYMBOL, adjust="all").feeds[0], None)["bid_price"].tolist() == [99.5] * 4 + [100.0] * 6


def test_a_small_size_does_not_vanish(tmp_path):
    sizes = [1.0] * 5
    catalog = catalog_of(tmp_path, [1.0] * 5, [split("2026-01-07", "1:30000")], sizes=sizes)
    view = catalog.ticks(SYMBOL, adjust="splits")
    assert view.instruments[0].lot_size == Decimal("0.0001")
    assert read(view.feeds[1], None)["size"].tolist() == [0.0001, 0.0001, 1.0, 1.0, 1.0]
    assert read(view.feeds[1], None)["price"].tolist() == [30_000.0, 30_000.0, 1.0, 1.0, 1.0]


def test_missing_sides_stay_missing(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    quotes, _ = rows([100.0] * 10)
    catalog.write("quotes", SYMBOL, quotes.with_columns(ask_price=float("nan"), ask_size=0.0), ABC)
    catalog.write_actions([split("2026-01-07")])
    columns = read(catalog.ticks(SYMBOL, adjust="splits").feeds[0], 3)
    assert np.isnan(columns["ask_price"]).all()
    assert not columns["ask_size"].any()


def test_the_command_stores_and_lists(tmp_path, monkeypatch, capsys):
    catalog = catalog_of(tmp_path / "c", [100.0] * 5)
    file = tmp_path / "actions.csv"
    file.write_text("symbol,ex_date,kind,ratio\nABC.SIM,2026-01-07,split,4:1\n")

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["cift", "data", "actions", str(tmp_path / "c"), *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        return capsys.readouterr().out

    assert run() == f"{tmp_path / 'c'} holds no corporate actions\n"
    assert run("--add", str(file)) == "ABC.SIM  2026-01-07  split 4:1\n"
    assert json.loads(run("--json"))["actions"][0]["ratio"] == "4:1"
    assert catalog.actions().height == 1
