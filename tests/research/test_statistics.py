"""The figures against backtesting.py and quantstats (row U8), hand-written formulas, and published cases."""

import copy
import json
import math
import pickle
import sys
import warnings
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

import cift
from cift.domain.calendar import sessions
from cift.domain.instrument import Instrument
from cift.errors import InvalidParameter, UnknownFigure, UnknownName
from cift.research import figures as formulas
from cift.research.figures import sharpe
from cift.research.statistics import _days, statistics
from cift.research.table import ANNUALISED, LABELS, OWN_LABELS, Statistics, figure_text

DAY, HALF_HOUR, SECOND = timedelta(days=1), timedelta(minutes=30), timedelta(seconds=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
TIME = pl.Datetime("ns", "UTC")
FILLS = {
    "ts": TIME,
    "symbol": pl.String,
    "side": pl.String,
    "price": pl.Float64,
    "size": pl.Float64,
    "fee": pl.Float64,
}
TRADES = {
    "entry_ts": TIME,
    "exit_ts": TIME,
    "pnl": pl.Float64,
    "return_pct": pl.Float64,
    "is_open": pl.Boolean,
}
ORDERS = {"size": pl.Float64, "filled": pl.Float64, "status": pl.String, "reason": pl.String}


def ns(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


def equity_frame(times, values) -> pl.DataFrame:
    return pl.DataFrame({"ts": list(times), "equity": np.asarray(values, float)}, schema={"ts": TIME, "equity": float})


def mid_frame(times, values) -> pl.DataFrame:
    return pl.DataFrame({"ts": list(times), "mid": np.asarray(values, float)}, schema={"ts": TIME, "mid": float})


def fill_frame(*rows) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=FILLS, orient="row")


def trade_frame(*rows) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=TRADES, orient="row")


def order_frame(*rows) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=ORDERS, orient="row")


ONE_FILL = fill_frame((START + timedelta(seconds=1), "A", "buy", 100.0, 1.0, 0.0))


def of_equity(values, *, step=DAY, fills=ONE_FILL, cash=None, **options) -> Statistics:
    """Figures of a run that is known by its equity alone, one value each `step` from the start."""
    times = [START + step * i for i in range(len(values))]
    defaults = {"trades": trade_frame(), "orders": order_frame(), "start_ns": ns(times[0]), "end_ns": ns(times[-1])}
    return statistics(equity=equity_frame(times, values), fills=fills, initial_cash=cash or values[0], **(defaults | options))


# ------------------------------------------------------------------ backtesting.py and quantstats (U8)


def ohlc(days: int, seed: int, business: bool):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0.0004, 0.015, days)))
    opened = close * np.exp(rng.normal(0, 0.004, days))
    frame = pandas.DataFrame(
        {
            "Open": opened,
            "High": np.maximum(opened, close) * (1 + rng.uniform(0, 0.01, days)),
            "Low": np.minimum(opened, close) * (1 - rng.uniform(0, 0.01, days)),
            "Close": close,
            "Volume": rng.integers(1_000, 9_000, days),
        }
    )
    frame.index = pandas.date_range("2021-01-04", periods=days, freq="B" if business else "D")
    return frame


def backtest(frame, *, finalize: bool, warmup: bool = False):
    backtesting = pytest.importorskip("backtesting")

    def thirty_day_mean(close):
        return np.r_[np.full(29, np.nan), np.convolve(close, np.ones(30) / 30, "valid")]

    class Swing(backtesting.Strategy):
        def init(self):
            if warmup:
                self.mean = self.I(thirty_day_mean, self.data.Close)

        def next(self):
            close = self.data.Close
            if len(close) < 12 or len(close) % 7:
                return
            if close[-1] > close[-10]:
                self.position.close()
                self.buy(size=20)
            else:
                self.position.close()
                self.sell(size=15)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return backtesting.Backtest(frame, Swing, cash=10_000, commission=0.002, finalize_trades=finalize).run()


def ours(theirs, frame, calendar: str) -> Statistics:
    """The equity curve and the trades of a backtesting.py run, in the frames that our runs yield."""
    index = [moment.to_pydatetime().replace(tzinfo=UTC) for moment in frame.index]
    rows = theirs["_trades"]
    entries = [moment.to_pydatetime().replace(tzinfo=UTC) for moment in rows["EntryTime"]]
    exits = [moment.to_pydatetime().replace(tzinfo=UTC) for moment in rows["ExitTime"]]
    trades, fills = [], []
    for entry, leave, row in zip(entries, exits, rows.itertuples(), strict=True):
        trades.append((entry, leave, row.PnL, row.ReturnPct * 100, False))
        side, back, size = ("buy", "sell", row.Size) if row.Size > 0 else ("sell", "buy", -row.Size)
        fills.append((entry, "A", side, row.EntryPrice, size, row.Commission / 2))
        fills.append((leave, "A", back, row.ExitPrice, size, row.Commission / 2))
    fills.sort(key=lambda fill: fill[0])
    return statistics(
        equity=equity_frame(index, theirs["_equity_curve"]["Equity"]),
        trades=trade_frame(*trades),
        fills=fill_frame(*fills),
        orders=order_frame(*[(fill[4], fill[4], "filled", None) for fill in fills]),
        start_ns=ns(index[0]),
        end_ns=ns(index[-1]),
        initial_cash=10_000,
        calendar=calendar,
        # Its bars are stamped at midnight, know no holidays, and have 252 to a year.
        **({} if calendar == "24/7" else {"session_closes_ns": np.array([ns(at) for at in index]), "periods_per_year": 252}),
        mids=mid_frame(index, frame["Close"]),
    )


ROUNDED_UP = ("Max. Drawdown Duration", "Avg. Drawdown Duration", "Max. Trade Duration", "Avg. Trade Duration")
NOT_EQUAL = ("Exposure Time [%]", *ROUNDED_UP)


@pytest.mark.parametrize(("calendar", "business"), [("24/7", False), ("XNYS", True)])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("days", [60, 700])
def test_daily_figures_equal_those_of_backtesting_py(calendar, business, seed, days):
    frame = ohlc(days, seed, business)
    theirs = backtest(frame, finalize=True)
    figures = ours(theirs, frame, calendar)
    labels = [label for label in theirs.index if not label.startswith("_")]
    assert list(figures)[: len(labels)] == labels
    compared = 0
    for label in labels:
        if label in NOT_EQUAL:
            continue
        given, expected = figures[label], theirs[label]
        if isinstance(given, datetime):
            assert given == expected.to_pydatetime().replace(tzinfo=UTC), label
        elif isinstance(given, timedelta):
            assert given == expected.to_pytimedelta(), label
        else:
            assert given == pytest.approx(expected, rel=1e-9, abs=1e-9), label
        compared += 1
    assert compared == len(LABELS) - len(NOT_EQUAL)


@pytest.mark.parametrize(("calendar", "business"), [("24/7", False), ("XNYS", True)])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("days", [60, 700])
def test_daily_figures_equal_those_of_quantstats(calendar, business, seed, days):
    pandas = pytest.importorskip("pandas")
    judge = pytest.importorskip("quantstats.stats")
    frame = ohlc(days, seed, business)
    run = backtest(frame, finalize=True)
    figures = ours(run, frame, calendar)
    returns = run["_equity_curve"]["Equity"].pct_change().dropna()
    market = frame["Close"].pct_change().dropna()
    year = 365 if calendar == "24/7" else 252
    logs = np.log1p(pandas.DataFrame({"ours": returns, "market": market}))
    expected = {
        "Return [%]": judge.comp(returns) * 100,
        # Its growth rate is by periods, ours by periods too under this label, and by the calendar under "CAGR".
        "Return (Ann.) [%]": judge.cagr(returns, periods=year) * 100,
        "Max. Drawdown [%]": judge.max_drawdown(returns) * 100,
        "Calmar Ratio": judge.calmar(returns, periods=year),
        "Sharpe Ratio (arithmetic)": judge.sharpe(returns, periods=year),
        # Its numerator is the mean return times the periods, ours the compounded return of a year.
        "Sortino Ratio": judge.sortino(returns, periods=year) * figures["Return (Ann.) [%]"] / 100 / (returns.mean() * year),
        # It takes plain returns.
        "Beta": judge.greeks(logs["ours"], logs["market"], periods=year, prepare_returns=False)["beta"],
    }
    for label, figure in expected.items():
        assert figures[label] == pytest.approx(figure, rel=1e-9, abs=1e-9), label
    # The deviation is the same; ours compounds it (see docs/statistics.md).
    deviation = judge.volatility(returns, periods=year) / math.sqrt(year)
    growth = 1 + figures["Return (Ann.) [%]"] / 100
    compounded = math.sqrt((deviation**2 + growth ** (2 / year)) ** year - growth**2)
    assert figures["Volatility (Ann.) [%]"] == pytest.approx(compounded * 100, rel=1e-9)


def test_durations_are_exact_where_backtesting_py_rounds_up_to_whole_bars():
    pandas = pytest.importorskip("pandas")
    frame = ohlc(700, 4, business=False)
    theirs = backtest(frame, finalize=True)
    figures = ours(theirs, frame, "24/7")
    for label in ROUNDED_UP:
        given = figures[label]
        assert isinstance(given, timedelta)
        assert pandas.Timedelta(given).ceil("D") == theirs[label], label


def test_exposure_is_a_share_of_time_where_backtesting_py_counts_bars():
    frame = ohlc(700, 5, business=False)
    theirs = backtest(frame, finalize=True)
    held = np.zeros(len(frame), bool)
    for row in theirs["_trades"].itertuples():
        held[row.EntryBar : row.ExitBar] = True
    assert ours(theirs, frame, "24/7")["Exposure Time [%]"] == pytest.approx(100 * held.sum() / (len(frame) - 1))
    bars = np.zeros(len(frame), bool)
    for row in theirs["_trades"].itertuples():
        bars[row.EntryBar : row.ExitBar + 1] = True
    assert theirs["Exposure Time [%]"] == pytest.approx(100 * bars.mean())


def test_buy_and_hold_starts_with_the_record_where_backtesting_py_skips_the_warm_up():
    frame = ohlc(300, 6, business=False)
    theirs = backtest(frame, finalize=True, warmup=True)
    figures, close = ours(theirs, frame, "24/7"), frame["Close"].to_numpy()
    assert figures["Buy & Hold Return [%]"] == pytest.approx((close[-1] / close[0] - 1) * 100, rel=1e-9)
    assert theirs["Buy & Hold Return [%]"] == pytest.approx((close[-1] / close[29] - 1) * 100, rel=1e-9)
    assert figures["Beta"] == pytest.approx(theirs["Beta"], rel=1e-9)


# ------------------------------------------------------------------ published cases


@pytest.fixture
def cases(real_data):
    return json.loads((real_data / "performance" / "return_stats_cases.json").read_text())


def published(cases, function: str):
    """(returns, case) of each published case of a function that needs no second series."""
    for case in cases["cases"]:
        if case["fn"] == function and not isinstance(case.get("risk_free", 0.0), dict):
            yield np.array(cases["series"][case["returns"]["series"]]["returns"], float), case


def test_sharpe_equals_the_published_cases(cases):
    seen = 0
    for returns, case in published(cases, "sharpe_ratio"):
        expected = float(case["expected"])
        given = sharpe(returns, 252)
        if math.isfinite(expected):
            assert given == pytest.approx(expected, rel=1e-9)
        else:
            assert given is None
        seen += 1
    assert seen == 6


def test_annualised_return_equals_the_published_cases(cases):
    periods = {"daily": 252, "weekly": 52, "monthly": 12}
    seen = 0
    for returns, case in published(cases, "annual_return"):
        given = formulas.annualised_return(np.nan_to_num(returns), periods[case["period"]])
        assert given == pytest.approx(case["expected"], rel=1e-9)
        seen += 1
    assert seen == 3


def test_the_deepest_drawdown_equals_the_published_cases(cases):
    seen = 0
    for returns, case in published(cases, "max_drawdown"):
        equity = np.cumprod(np.concatenate(([1.0], 1 + np.nan_to_num(returns))))
        depth = formulas.drawdowns(np.arange(len(equity)), equity).depth
        expected = float(case["expected"])
        assert -depth.max(initial=0.0) == pytest.approx(0.0 if math.isnan(expected) else expected, abs=1e-12)
        seen += 1
    assert seen == 5


def test_alpha_over_two_published_years(real_data):
    rows = pl.read_csv(real_data / "performance" / "portfolio_bacon.csv")
    fund, market = rows[:, 1].to_numpy(), rows[:, 2].to_numpy()
    expected = json.loads((real_data / "performance" / "portfolio_bacon.expected.json").read_text())["expected"]
    slope, earned, held = formulas.beta(fund, market), *(formulas.annualised_return(x, 12) for x in (fund, market))
    assert earned - slope * held == pytest.approx(expected["jensen_alpha"], abs=5e-4)  # given to three decimals


# ------------------------------------------------------------------ hand-written formulas


def test_sharpe_is_mean_over_deviation_at_one_degree_of_freedom():
    returns = np.random.default_rng(1).normal(0.001, 0.01, 500)
    mean = sum(returns) / 500
    deviation = math.sqrt(sum((x - mean) ** 2 for x in returns) / 499)
    assert sharpe(returns, 252) == pytest.approx(mean / deviation * math.sqrt(252), rel=1e-12)


@pytest.mark.parametrize("returns", [[], [0.01], [0.01] * 9, [math.nan, 0.01]])
def test_sharpe_of_returns_that_say_nothing_is_none(returns):
    assert sharpe(np.array(returns, float), 252) is None


def test_the_arithmetic_sharpe_ratio_is_that_of_the_daily_returns():
    values = 100 * np.cumprod(1 + np.random.default_rng(2).normal(0.001, 0.01, 40))
    figures = of_equity(values)
    returns = values[1:] / values[:-1] - 1
    assert figures["Sharpe Ratio (arithmetic)"] == pytest.approx(sharpe(returns, 365), rel=1e-12)
    assert figures.returns["return"].to_list() == pytest.approx(returns)


def test_the_error_of_the_mean_fill_is_the_usual_one_when_fills_stand_alone():
    pieces = np.array([3.0, -1.0, 4.0, 1.0, -5.0])
    mean, error = formulas.mean_and_error(pieces, np.ones(5))
    assert mean == pytest.approx(pieces.mean())
    assert error == pytest.approx(pieces.std(ddof=1) / math.sqrt(5))


def test_fills_of_one_instant_are_one_observation():
    mean, error = formulas.mean_and_error(np.array([4.0, -2.0]), np.array([2.0, 1.0]))
    assert mean == pytest.approx(2 / 3)
    # Residuals 4 - 4/3 and -2 - 2/3, both 8/3 in size.
    assert error == pytest.approx(math.sqrt(2 * (8 / 3) ** 2 * 2) / 3)


def test_p_and_l_per_fill_follows_equity_from_fill_to_fill():
    at = [START + timedelta(minutes=i) for i in range(5)]
    fills = fill_frame(*[(at[i], "A", "buy", 100.0, 1.0, 0.25) for i in (1, 2, 3)])
    figures = of_equity([1000.0, 1001.0, 999.0, 1002.0, 1006.0], step=timedelta(minutes=1), fills=fills)
    pieces = np.array([1.0, -2.0, 7.0])
    assert figures["P&L [$]"] == pytest.approx(6.0)
    assert figures["P&L per Fill [$]"] == pytest.approx(2.0)
    assert figures["P&L per Fill SE [$]"] == pytest.approx(pieces.std(ddof=1) / math.sqrt(3))
    assert figures["Fees [$]"] == figures["Commissions [$]"] == pytest.approx(0.75)


def test_markouts_are_signed_by_side_and_weighted_by_value():
    at = [START + timedelta(seconds=i) for i in range(100)]
    mids = mid_frame(at, [100.0 + 0.01 * i for i in range(100)])
    fills = fill_frame((at[0], "A", "buy", 100.0, 3.0, 0.0), (at[10], "A", "sell", 100.1, 1.0, 0.0))
    figures = of_equity([1000.0, 1000.0], step=timedelta(seconds=99), fills=fills, mids=mids)
    value = 3 * 100 + 100.1
    for seconds in (1, 10, 60):
        expected = (3 * 0.01 * seconds - 0.01 * seconds) / value * 1e4
        assert figures[f"Mark-out {seconds} s [bps]"] == pytest.approx(expected, rel=1e-6)


def test_a_fill_too_near_the_end_is_left_out_of_the_markout_and_counted():
    at = [START + timedelta(seconds=i) for i in range(30)]
    fills = fill_frame((at[0], "A", "buy", 100.0, 1.0, 0.0), (at[25], "A", "buy", 100.0, 1.0, 0.0))
    mids = mid_frame(at, [101.0] * 30)
    figures = of_equity([1000.0, 1000.0], step=timedelta(seconds=29), fills=fills, mids=mids)
    assert figures["Mark-out 1 s [bps]"] == pytest.approx(100.0)
    assert figures["Mark-out 10 s [bps]"] == pytest.approx(100.0)
    assert figures["Mark-out 60 s [bps]"] is None
    assert any("2 of 2 fills have no mid in the 60 s after them" in note for note in figures.notes)


def test_a_mid_from_before_the_fill_is_no_markout():
    at = [START, START + timedelta(seconds=100), START + timedelta(seconds=200)]
    fills = fill_frame((START + timedelta(seconds=95), "A", "buy", 100.0, 1.0, 0.0))
    mids = mid_frame(at, [90.0, 101.0, 101.0])
    figures = of_equity([1000.0, 1000.0], step=timedelta(seconds=200), fills=fills, mids=mids)
    assert figures["Mark-out 1 s [bps]"] is None
    assert figures["Mark-out 10 s [bps]"] == pytest.approx(100.0)
    assert "1 of 1 fills have no mid in the 1 s after them and are left out of that mark-out" in " ".join(figures.notes)
    assert "in the 10 s" not in " ".join(figures.notes)


@pytest.mark.parametrize(
    ("cash", "final", "pnl"),
    [
        (1_000_000.0, 995_958.940404, -4041.059596),
        (1e9, 1e9 + 0.1, 0.1),
        (1.0, 1.000000000002, 2e-12),
    ],
)
def test_money_is_shown_as_the_decimal_that_the_account_holds(cash, final, pnl):
    at = [START + timedelta(seconds=second) for second in range(10)]
    fills = fill_frame(*((ts, "A", "buy", 100.0, 1.0, 0.1) for ts in at))
    figures = of_equity([cash, final], fills=fills)
    assert figures["P&L [$]"] == pnl
    assert figures["Fees [$]"] == figures["Commissions [$]"] == 1.0


def test_markouts_use_the_mids_of_their_own_symbol():
    at = [START + timedelta(seconds=i) for i in range(5)]
    rows = [(t, symbol, price) for t in at for symbol, price in (("A", 100.0), ("B", 51.0))]
    mids = pl.DataFrame(rows, schema={"ts": TIME, "symbol": pl.String, "mid": float}, orient="row")
    fills = fill_frame((at[0], "B", "buy", 50.0, 2.0, 0.0))
    figures = of_equity([1000.0, 1000.0], step=timedelta(seconds=4), fills=fills, mids=mids)
    assert figures["Mark-out 1 s [bps]"] == pytest.approx(200.0)


def test_buy_and_hold_of_several_symbols_puts_the_same_into_each():
    at = [START, START + DAY]
    rows = [(at[0], "A", 100.0), (at[0], "B", 10.0), (at[1], "A", 110.0), (at[1], "B", 13.0)]
    mids = pl.DataFrame(rows, schema={"ts": TIME, "symbol": pl.String, "mid": float}, orient="row")
    assert of_equity([1000.0, 1000.0], mids=mids)["Buy & Hold Return [%]"] == pytest.approx(20.0)


def test_fill_rate_is_the_mean_share_of_each_accepted_order():
    orders = order_frame(
        (10.0, 10.0, "filled", None),
        (100.0, 50.0, "cancelled", None),
        (5.0, 0.0, "open", None),
        (7.0, 0.0, "rejected", "limits"),
    )
    assert of_equity([1000.0, 1000.0], orders=orders)["Fill Rate [%]"] == pytest.approx(50.0)


def test_overlapping_trades_count_their_time_once():
    hour = timedelta(hours=1)
    trades = trade_frame(
        (START, START + 6 * hour, 1.0, 0.1, False),
        (START + 3 * hour, START + 9 * hour, 1.0, 0.1, False),
        (START + 4 * hour, START + 5 * hour, 1.0, 0.1, False),
        (START + 18 * hour, None, 1.0, 0.1, True),
    )
    figures = of_equity([1000.0, 1001.0], trades=trades)
    assert figures["Exposure Time [%]"] == pytest.approx(100 * 15 / 24)
    assert figures["# Trades"] == 3
    assert any("1 trade is still open" in note for note in figures.notes)


def test_drawdowns_end_at_recovery_or_with_the_record():
    equity = np.array([10.0, 12.0, 9.0, 11.0, 12.0, 13.0, 13.0, 11.7])
    falls = formulas.drawdowns(np.arange(8) * 5, equity)
    assert falls.depth == pytest.approx([0.25, 0.1])
    # From the peak's row to the row that reaches it again; the last one ends where the record does.
    assert falls.duration_ns.tolist() == [15, 5]


@pytest.mark.parametrize("seed", range(20))
def test_drawdowns_equal_a_slow_walk(seed):
    equity = 100 + np.cumsum(np.random.default_rng(seed).integers(-3, 4, 200)).astype(float)
    expected, peak_row, depth = [], 0, 0.0
    for row in range(1, 200):
        if equity[row] >= equity[peak_row]:
            if depth > 0:
                expected.append((depth, row - peak_row))
            peak_row, depth = row, 0.0
        else:
            depth = max(depth, 1 - equity[row] / equity[peak_row])
    if depth > 0:
        expected.append((depth, 199 - peak_row))
    falls = formulas.drawdowns(np.arange(200), equity)
    assert falls.depth == pytest.approx([depth for depth, _ in expected])
    assert falls.duration_ns.tolist() == [length for _, length in expected]


# ------------------------------------------------------------------ periods


@pytest.mark.parametrize(("days", "period"), [(19, "hourly"), (20, "daily")])
def test_below_twenty_days_nothing_is_annualised(days, period):
    figures = of_equity(1000 + np.arange(days + 1.0) % 3)
    assert figures.period == period
    annualised = [figures[label] for label in ANNUALISED if label not in ("Calmar Ratio",)]
    assert all((value is None) == (period == "hourly") for value in annualised)
    assert ("# Trades" in dict.fromkeys(x for x, _, _ in figures.leading)) == (period == "daily")
    assert figures.basis("Sharpe Ratio") == ("hourly, not annualised" if period == "hourly" else "daily, 365 a year")
    assert any("below 20" in note for note in figures.notes) == (period == "hourly")


def test_a_short_run_leads_with_p_and_l_and_its_error():
    labels = [label for label, _, _ in of_equity([1000.0, 1001.0]).leading]
    assert labels[:4] == ["P&L [$]", "P&L per Fill [$]", "Fees [$]", "Fill Rate [%]"]
    assert 6 <= len(labels) <= 10


def test_hourly_returns_take_the_last_equity_of_each_hour():
    values = [1000.0, 1010.0, 1005.0, 1020.0, 990.0]
    figures = of_equity(values, step=timedelta(minutes=30))
    assert figures.returns["return"].to_list() == pytest.approx([1005 / 1000 - 1, 990 / 1005 - 1])


def test_the_first_return_counts_from_the_cash_at_the_start():
    figures = of_equity([1100.0 + i for i in range(30)], cash=1000.0, start_ns=ns(START - DAY / 2))
    assert figures.returns["return"][0] == pytest.approx(0.1)


def test_sessions_end_where_their_closes_are():
    half_day = timedelta(hours=12)
    values = [1000.0 + i for i in range(61)]
    closes = np.array([ns(START + DAY * i + timedelta(hours=13)) for i in range(30)])
    figures = of_equity(values, step=half_day, calendar="XNYS", session_closes_ns=closes)
    ends = figures.returns["ts"].to_list()
    assert ends[:2] == [START + timedelta(hours=13), START + timedelta(hours=37)]
    # Rows at 00:00 and 12:00: the close at 13:00 sees the row of 12:00, the second and fourth of the list.
    assert figures.returns["return"][1] == pytest.approx(1003 / 1001 - 1)
    # The row after the last close belongs to its session.
    assert len(ends) == 30
    assert (1 + figures.returns["return"]).product() == pytest.approx(values[-1] / values[0])
    assert figures.periods_per_year == 252


NEW_YORK = ZoneInfo("America/New_York")


def new_york_sessions(first: date, last: date, closed: date, short: date) -> list[tuple[datetime, datetime]]:
    """Open and close of the weekdays from `first` to `last`, written out from the exchange's hours."""
    days = [first + DAY * i for i in range((last - first).days + 1)]
    return [
        (datetime.combine(day, clock(9, 30), NEW_YORK), datetime.combine(day, clock(13 if day == short else 16), NEW_YORK))
        for day in days
        if day.weekday() < 5 and day != closed
    ]


def quotes_in(hours: list[tuple[datetime, datetime]]) -> pl.DataFrame:
    """A quote every half hour of each session, the last one second before its close, at prices that rise."""
    times = [
        at.astimezone(UTC)
        for start, end in hours
        for at in (*(start + i * HALF_HOUR for i in range(20)), end - SECOND)
        if at < end
    ]
    times = sorted(set(times))
    bid = 100 + np.cumsum(np.random.default_rng(7).choice([0.01, 0.02], len(times)))
    frame = {"ts_event": times, "bid_price": bid.round(2), "ask_price": (bid + 0.01).round(2), "bid_size": 100, "ask_size": 100}
    return pl.DataFrame(frame, schema_overrides={"ts_event": TIME, "bid_size": float, "ask_size": float})


class Hold(cift.Strategy):
    def on_start(self):
        self.buy(100)


THANKSGIVINGS = [
    (date(2023, 10, 30), date(2023, 12, 5), date(2023, 11, 23), 250),
    # Before the years that the library of calendars covers unasked.
    (date(1998, 10, 19), date(1998, 12, 4), date(1998, 11, 26), 252),
]


@pytest.mark.parametrize(("first", "last", "thanksgiving", "per_year"), THANKSGIVINGS)
@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=2)], ids=["to the close", "after hours"])
def test_a_run_has_one_return_for_each_session_of_its_exchange(first, last, thanksgiving, per_year, late):
    hours = new_york_sessions(first, last, thanksgiving, thanksgiving + DAY)
    instrument = Instrument("A.XNYS", "0.01", 1, calendar="NYSE")
    view = cift.quotes(quotes_in([(start, end + late) for start, end in hours]), instrument=instrument)
    result = cift.Backtest(view, Hold).run()
    figures = result.stats

    closes = [end.astimezone(UTC) for _, end in hours]
    assert figures.returns["ts"].to_list() == closes
    assert {close.hour for close in closes} == {18, 20, 21}
    # What is after the last close belongs to the last session.
    equity = [result.equity.filter(pl.col("ts") <= close)["equity"][-1] for close in closes[:-1]] + [
        result.equity["equity"][-1]
    ]
    assert figures.returns["return"].to_list() == pytest.approx(np.diff(equity, prepend=1e6) / [1e6, *equity[:-1]], abs=1e-15)
    assert (figures.returns["return"] != 0).all()
    assert figures.periods_per_year == per_year
    assert figures["Period"] == f"daily returns, {per_year} a year"


def test_the_same_run_around_the_clock_ends_its_days_at_midnight():
    first, last, thanksgiving, _ = THANKSGIVINGS[0]
    hours = new_york_sessions(first, last, thanksgiving, thanksgiving + DAY)
    figures = cift.Backtest(cift.quotes(quotes_in(hours), instrument=Instrument("A.SIM", "0.01", 1)), Hold).run().stats
    midnights = [datetime.combine(end.date() + DAY, clock(), UTC) for _, end in hours]
    assert figures.returns["ts"].to_list() == midnights
    assert figures.periods_per_year == 365


def test_years_that_the_calendar_does_not_know_are_not_annualised():
    start = datetime(1996, 6, 3, tzinfo=UTC)
    times = [start + DAY * i for i in range(40)]
    figures = statistics(
        equity=equity_frame(times, 1000 + np.arange(40.0) % 5),
        trades=trade_frame(), fills=ONE_FILL, orders=order_frame(),
        start_ns=ns(times[0]), end_ns=ns(times[-1]), initial_cash=1000, calendar="XTKS",
    )  # fmt: skip
    assert (figures.period, figures.periods_per_year, figures["Sharpe Ratio"]) == ("daily", None, None)
    assert any("XTKS does not know all years" in note for note in figures.notes)


@pytest.mark.parametrize("days", range(14, 40))
def test_a_short_period_is_hourly_whether_the_calendar_is_asked_or_not(days):
    """The calendar is left alone below some length; that must not change which returns are computed."""
    start = datetime(2024, 1, 2, 15, tzinfo=UTC)
    times = [start + timedelta(hours=i) for i in range(24 * days + 1)]
    given = {"start_ns": ns(times[0]), "end_ns": ns(times[-1]), "equity": equity_frame(times, 1000 + np.arange(len(times)) % 7)}
    rest = {"trades": trade_frame(), "fills": ONE_FILL, "orders": order_frame(), "initial_cash": 1000}
    for calendar in ("XNYS", "24/5", "CMES"):
        closes = sessions(calendar, given["start_ns"], given["end_ns"]).closes_ns
        told, asked = (statistics(**given, **rest, calendar=calendar, **more) for more in ({"session_closes_ns": closes}, {}))
        assert told.returns.equals(asked.returns)


def test_weekly_equity_is_not_annualised_as_if_it_were_daily():
    figures = of_equity(1000 + np.arange(40.0) % 5, step=7 * DAY)
    assert figures["Sharpe Ratio"] is None
    assert any("once per 7 days" in note for note in figures.notes)


# ------------------------------------------------------------------ nothing to say


def test_a_run_without_orders_says_so_and_shows_no_zero():
    figures = of_equity([1000.0] * 40, fills=fill_frame())
    assert figures["Return [%]"] is None
    assert figures["P&L [$]"] is None
    assert figures["Win Rate [%]"] is None
    assert figures["Sharpe Ratio"] is None
    assert figures["Equity Final [$]"] == 1000.0
    assert figures["# Trades"] == 0
    assert any("sent no order" in note for note in figures.notes)


def test_a_run_whose_orders_were_refused_names_the_reason():
    refused = [(1.0, 0.0, "rejected", "not enough cash")] * 3 + [(1.0, 0.0, "rejected", "late")]
    figures = of_equity([1000.0] * 3, fills=fill_frame(), orders=order_frame(*refused))
    assert any("none of 4 orders" in note and "not enough cash" in note for note in figures.notes)


def test_a_run_without_equity_has_no_figures():
    figures = statistics(
        equity=equity_frame([], []),
        trades=trade_frame(),
        fills=fill_frame(),
        orders=order_frame(),
        start_ns=0,
        end_ns=10,
        initial_cash=1000.0,
    )
    counts = {"# Trades": 0, "# Fills": 0, "# Orders": 0}
    spoken = {label: value for label, value in figures.items() if value is not None}
    assert set(spoken) == {"Start", "End", "Duration", "Period", *counts}
    assert {label: spoken[label] for label in counts} == counts
    assert figures.notes[0].startswith("No data")


def test_ruin_leaves_compounded_figures_out():
    figures = of_equity([1000.0, 500.0, -20.0, *[-20.0] * 40])
    assert figures["Return (Ann.) [%]"] is None
    assert figures["CAGR [%]"] is None
    assert figures["Return [%]"] == pytest.approx(-102.0)
    assert figures["Max. Drawdown [%]"] == pytest.approx(-102.0)
    assert any("fell to 0 or below" in note for note in figures.notes)


def test_no_losing_trade_leaves_ratios_of_winners_to_losers_out():
    trades = trade_frame(*[(START, START + DAY, 5.0, 1.0 + i, False) for i in range(3)])
    figures = of_equity([1000.0, 1015.0], trades=trades)
    assert figures["Win Rate [%]"] == 100.0
    assert figures["Profit Factor"] is None
    assert figures["Kelly Criterion"] is None
    assert figures["SQN"] is None
    assert any("No trade lost" in note for note in figures.notes)


def test_a_trade_entered_at_a_price_of_zero_has_no_return():
    trades = trade_frame(
        (START, START + DAY, 5.0, None, False), (START, START + DAY, 3.0, 2.0, False), (START, START + DAY, -1.0, -1.0, False)
    )
    figures = of_equity([1000.0, 1007.0], trades=trades)
    assert figures["# Trades"] == 3
    assert figures["Win Rate [%]"] == pytest.approx(100 * 2 / 3)
    assert figures["Expectancy [%]"] == pytest.approx(0.5)
    alone = of_equity([1000.0, 1005.0], trades=trades.head(1))
    assert alone["Best Trade [%]"] is None
    assert alone["Avg. Trade [%]"] is None


# ------------------------------------------------------------------ the object


def test_figures_survive_pickle_and_copy():
    figures = of_equity(1000 + np.arange(30.0))
    for again in (pickle.loads(pickle.dumps(figures)), copy.deepcopy(figures), copy.copy(figures)):
        assert again == figures
        assert again.notes == figures.notes
        assert again.returns.equals(figures.returns)
        assert repr(again) == repr(figures)


def test_a_misspelt_label_is_named_with_its_neighbour():
    figures = of_equity([1000.0, 1001.0])
    with pytest.raises(UnknownFigure, match="did you mean 'Sharpe Ratio'"):
        figures["sharpe ratio"]
    assert figures.get("nothing like it") is None
    assert "Return [%]" in figures


def test_another_currency_than_the_label_is_named():
    assert "Labels in [$] are in EUR." in of_equity([1000.0, 1001.0], currency="EUR").notes
    assert not any("[$]" in note for note in of_equity([1000.0, 1001.0]).notes)


def test_to_dict_gives_a_copy():
    figures = of_equity([1000.0, 1001.0])
    figures.to_dict()["Return [%]"] = 7.0
    assert figures["Return [%]"] == pytest.approx(0.1)


def test_print_is_aligned_and_shows_what_is_missing():
    lines = repr(of_equity([1000.0, 1001.0])).splitlines()
    figures = [line for line in lines if not line.startswith("Note:")]
    assert len(figures) == len(LABELS) + len(OWN_LABELS)
    ratio = next(line for line in figures if line.startswith("Sharpe Ratio "))
    assert ratio.endswith("--  hourly, not annualised")
    beginning = next(line for line in figures if line.startswith("Start"))
    assert beginning.endswith("2024-01-01 00:00:00 UTC")
    # The values end in one column.
    assert ratio.index("--") + 2 == len(beginning)


def test_html_escapes_and_is_small():
    refused = order_frame((1.0, 0.0, "rejected", "<script>alert(1)</script>"))
    page = of_equity([1000.0] * 3, fills=fill_frame(), orders=refused)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert len(page) < 20_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "--"),
        (0.0, "0.0000"),
        (-1234567.891, "-1,234,567.89"),
        (0.00002134, "2.13e-05"),
        (12_000, "12,000"),
        (timedelta(days=2, hours=3), "2 days 3:00:00"),
        (timedelta(days=1), "1 day"),
        (timedelta(minutes=61, seconds=2), "01:01:02"),
        (timedelta(microseconds=1500), "1.5 ms"),
        (timedelta(seconds=2.5), "2.5 s"),
        (datetime(2026, 1, 5, 9, 30, 0, 250_000, tzinfo=UTC), "2026-01-05 09:30:00 UTC"),
        (datetime(2026, 1, 5, tzinfo=UTC), "2026-01-05 00:00:00 UTC"),
    ],
)
def test_a_figure_as_text(value, text):
    assert figure_text(value) == text


@pytest.mark.parametrize(("cash", "end", "message"), [(0.0, 10, "above 0"), (1.0, -1, "before it starts")])
def test_an_impossible_account_or_period_is_refused(cash, end, message):
    with pytest.raises(InvalidParameter, match=message):
        statistics(
            equity=equity_frame([], []),
            trades=trade_frame(),
            fills=fill_frame(),
            orders=order_frame(),
            start_ns=0,
            end_ns=end,
            initial_cash=cash,
        )


def test_a_missing_column_is_named():
    with pytest.raises(UnknownName, match="fills frame has no column 'fee'"):
        of_equity([1000.0, 1001.0], fills=ONE_FILL.drop("fee"))


def test_without_the_library_of_calendars_days_end_at_midnight_and_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    notes: list[str] = []
    days = _days("XNYS", 0, 40 * 86_400 * 10**9, notes)
    assert days.closes_ns is None
    assert 'pip install "cift-markets[calendars]"' in notes[0]
