"""Sweeps: the same results wherever they run (row U5), errors as rows, and the best of them."""

from __future__ import annotations

import math
import multiprocessing
import pickle
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import polars as pl
import pytest

import cift
from cift.backtest import Backtest, Fees, Venue
from cift.data.demo import generate
from cift.errors import CiftError, InvalidParameter, NoData, NotSupported, UnknownFigure, UnknownName
from cift.indicators import EMA
from cift.research import sweep as sweeps
from cift.research.sweep import Sweep, Trial

GRID = {"fast": [3, 5], "slow": [20, 40]}


class Cross(cift.Strategy):
    fast: int = cift.param(10, low=2, high=50)
    slow: int = cift.param(50, low=10, high=200)
    size: float = cift.param(100.0)

    def setup(self):
        quick, calm = self.indicator(EMA(self.fast), on="mid"), self.indicator(EMA(self.slow), on="mid")
        self.when(quick.crosses_above(calm), self.go_long)
        self.when(quick.crosses_below(calm), self.go_short)

    def go_long(self):
        self.target(self.size)

    def go_short(self):
        self.target(-self.size)


class Fragile(cift.Strategy):
    """Raises where it is told to."""

    limit: int = cift.param(10)

    def setup(self):
        if self.limit == 0:
            raise ZeroDivisionError("limit is 0")

    def on_trade(self, trade):
        if self.limit < 0:
            raise RuntimeError(f"limit {self.limit}")


@pytest.fixture(scope="module")
def ticks(tmp_path_factory):
    catalog = cift.Catalog(tmp_path_factory.mktemp("catalog"))
    generate(catalog, "TEST.SIM", "2026-01-05", 4_000, seed=5)
    return catalog.ticks("TEST.SIM", "2026-01-05")


@pytest.fixture(scope="module")
def backtest(ticks):
    return Backtest(ticks, Cross, venue=Venue(latency="250us", fees=Fees(taker_bps=0.5)))


@pytest.fixture(scope="module")
def serial(backtest):
    return backtest.sweep(**GRID)


def same(one: Sweep, other: Sweep) -> bool:
    def plain(found):
        return [(t.parameters, t.stats, t.digest, t.fingerprint, t.error, t.returns_arrow) for t in found]

    return plain(one) == plain(other)


# ------------------------------------------------------------------ the same everywhere


def test_a_trial_is_a_run_of_its_own(backtest, serial):
    assert [(t.parameters["fast"], t.parameters["slow"]) for t in serial] == [(3, 20), (3, 40), (5, 20), (5, 40)]
    for trial in serial:
        result = backtest.run(**trial.parameters)
        assert trial.digest == result.digest
        assert trial.stats == dict(result.stats)
        assert trial.returns.equals(result.stats.returns)
    assert len({trial.digest for trial in serial}) == 4


def test_spawned_workers_give_what_a_serial_sweep_gives(backtest, serial):
    # The class cannot be imported in the workers: pytest loaded this file under a name of its own.
    assert same(backtest.sweep(executor=2, **GRID), serial)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_the_callers_gives_what_a_serial_sweep_gives_and_stays_open(backtest, serial, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform does not {method}")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert same(backtest.sweep(executor=pool, **GRID), serial)
        assert pool.submit(math.sqrt, 4.0).result() == 2.0


def test_threads_give_what_a_serial_sweep_gives(backtest, serial):
    with ThreadPoolExecutor(2) as pool:
        assert same(backtest.sweep(executor=pool, **GRID), serial)


def test_frames_in_memory_reach_workers():
    times = pl.datetime_range(pl.datetime(2026, 1, 5), pl.datetime(2026, 1, 5, 0, 10), "1s", eager=True, time_unit="ns")
    mid = 100 + (pl.Series(range(len(times))) * 7 % 11) / 100
    frame = pl.DataFrame(
        {"ts_event": times, "bid_price": mid.round(2), "bid_size": 500.0, "ask_price": (mid + 0.02).round(2), "ask_size": 500.0}
    )
    backtest = Backtest(cift.quotes(frame, tick_size="0.01", lot_size=1), Cross)
    with AnyExecutor() as anywhere:
        found = backtest.sweep(fast=[2, 3], slow=10, executor=anywhere)
    assert same(found, backtest.sweep(fast=[2, 3], slow=10))
    assert any(trial.stats["# Fills"] for trial in found)


class AnyExecutor(Executor):
    """An executor that sends everything through pickle, as one on another machine would, and does not say its size."""

    def __init__(self):
        self.tasks = []

    def submit(self, fn, /, *args, **kwargs):
        call, given = pickle.loads(pickle.dumps((fn, args)))
        self.tasks.append(len(given[-1]))
        future = Future()
        future.set_result(pickle.loads(pickle.dumps(call(*given, **kwargs))))
        return future


class TwoAtATime(AnyExecutor):
    _max_workers = 1


def test_short_trials_are_sent_together(ticks):
    pool = TwoAtATime()
    found = Backtest(ticks, Cross).sweep(fast=range(2, 32), slow=60, executor=pool)
    assert len(found) == 30
    assert pool.tasks[:2] == [1, 1]
    assert max(pool.tasks) > 1
    assert sum(pool.tasks) == 30


# ------------------------------------------------------------------ what is tried


@pytest.mark.parametrize(
    ("grid", "error", "words"),
    [
        ({"fats": [1]}, UnknownName, "did you mean 'fast'"),
        ({"fast": [1]}, InvalidParameter, "outside its range"),
        ({"fast": ["a"]}, InvalidParameter, "takes int"),
        ({"fast": []}, InvalidParameter, "no values to try for 'fast'"),
        ({}, InvalidParameter, "fast, slow, size"),
    ],
)
def test_a_grid_is_checked_before_anything_runs(backtest, monkeypatch, grid, error, words):
    monkeypatch.setattr(sweeps, "run", lambda spec: pytest.fail("a trial ran"))
    with pytest.raises(error, match=words):
        backtest.sweep(**grid)


def test_a_constraint_sees_every_parameter(backtest):
    found = backtest.sweep(fast=[5, 20, 30], slow=[20, 40], constraint=lambda p: p.fast < p.slow and p.size == 100.0)
    assert [(t.parameters["fast"], t.parameters["slow"]) for t in found] == [(5, 20), (5, 40), (20, 40), (30, 40)]
    with pytest.raises(InvalidParameter, match="keeps none"):
        backtest.sweep(fast=[5], constraint=lambda p: False)


@pytest.mark.parametrize("executor", [0, -2, True, "four"])
def test_an_executor_that_is_none_is_refused(backtest, executor):
    with pytest.raises(InvalidParameter, match="worker processes"):
        backtest.sweep(fast=5, executor=executor)


def test_what_cannot_travel_is_named(ticks):
    class Holds(cift.Strategy):
        size: int = cift.param(1)
        lock = threading.Lock()

    with pytest.raises(NotSupported, match=r"Holds cannot travel.*lock.*executor=1"):
        Backtest(ticks, Holds).sweep(size=[1, 2], executor=2)
    assert len(Backtest(ticks, Holds).sweep(size=[1, 2])) == 2


# ------------------------------------------------------------------ errors and interrupts


@pytest.mark.parametrize("executor", [1, "threads"])
def test_a_trial_that_raises_is_a_row(ticks, executor):
    with ThreadPoolExecutor(2) as pool:
        found = Backtest(ticks, Fragile).sweep(limit=[-1, 0, 1], executor=pool if executor == "threads" else executor)
    assert [trial.error for trial in found] == ["RuntimeError: limit -1", "ZeroDivisionError: limit is 0", None]
    assert found.frame["error"].to_list() == [trial.error for trial in found]
    assert found.frame["digest"].null_count() == 2
    assert found.best() == {"limit": 1}
    assert "2 failed" in repr(found)


@pytest.mark.parametrize("executor", [1, 2])
def test_where_all_raise_the_first_is_raised(ticks, executor):
    with pytest.raises(RuntimeError, match="limit -1") as raised:
        Backtest(ticks, Fragile).sweep(limit=[-1, -2], executor=executor)
    assert any("All 2 trials" in note for note in raised.value.__notes__)
    assert any(entry.name == "on_trade" for entry in raised.traceback)


def test_no_data_is_raised_not_listed(tmp_path):
    frame = pl.DataFrame(schema={"ts_event": pl.Datetime("ns", "UTC")} | dict.fromkeys(["price", "size"], pl.Float64))
    with pytest.raises(NoData):
        Backtest(cift.trades(frame, tick_size="0.01", lot_size=1), Fragile).sweep(limit=[1, 2])


def test_an_interrupt_ends_a_serial_sweep(ticks):
    class Interrupted(cift.Strategy):
        at: int = cift.param(1)

        def on_trade(self, trade):
            if self.at == 2:
                raise KeyboardInterrupt

    done = []
    with pytest.raises(KeyboardInterrupt):
        Backtest(ticks, Interrupted).sweep(at=[1, 2, 3], progress=done.append)
    assert done == [1]


def test_an_interrupt_cancels_what_has_not_begun(backtest):
    submitted = []

    class Slow(Executor):
        _max_workers = 2

        def submit(self, fn, /, *args, **kwargs):
            submitted.append(Future())
            if len(submitted) == 1:
                submitted[0].set_exception(KeyboardInterrupt())
            return submitted[-1]

    with pytest.raises(KeyboardInterrupt):
        backtest.sweep(executor=Slow(), **GRID)
    assert len(submitted) == 4
    assert all(future.cancelled() for future in submitted[1:])


# ------------------------------------------------------------------ the object


def trial(value, **stats):
    return Trial({"x": value}, {"Sharpe Ratio": None, "# Trades": 1, **stats}, "d", "f", None, 0.1)


def test_the_best_has_the_highest_figure_and_none_never_wins():
    figures = {"a": None, "b": -2.0, "c": math.nan, "d": -1.0, "e": -1.0}
    found = Sweep([trial(name, **{"Sharpe Ratio": value}) for name, value in figures.items()], ["x"])
    assert found.best("Sharpe Ratio") == {"x": "d"}
    assert found.best(lambda stats: None if stats["Sharpe Ratio"] is None else -stats["Sharpe Ratio"]) == {"x": "b"}
    with pytest.raises(UnknownFigure, match="did you mean 'Sharpe Ratio'"):
        found.best("Sharp Ratio")
    with pytest.raises(InvalidParameter, match="not a number"):
        Sweep([trial("a", Period="hourly")], ["x"]).best("Period")


def test_without_the_figure_there_is_no_best(serial):
    with pytest.raises(NoData, match="'Sharpe Ratio'"):
        serial.best("Sharpe Ratio")


def test_the_frame_has_parameters_figures_and_identity(serial):
    frame = serial.frame
    assert frame.columns[:3] == ["fast", "slow", "size"]
    assert frame.columns[-3:] == ["digest", "fingerprint", "error"]
    assert set(serial[0].stats) <= set(frame.columns)
    assert frame["fast"].to_list() == [3, 3, 5, 5]
    assert frame["Return [%]"].dtype == pl.Float64
    assert frame["# Fills"].dtype == pl.Int64
    assert isinstance(frame["Start"].dtype, pl.Datetime)
    assert isinstance(frame["Duration"].dtype, pl.Duration)
    assert len(serial) == 4
    assert [t.digest for t in serial] == frame["digest"].to_list()


def test_a_cell_shows_a_small_table(serial):
    html = serial._repr_html_()
    assert html.count("<tr") == 5
    assert len(html) < 100_000
    assert "4 trials" in repr(serial)


def test_optimize_gives_the_run_of_the_best_and_keeps_it_where_it_can(backtest, serial, monkeypatch):
    best = serial.best("P&L [$]")
    assert backtest.optimize(maximize="P&L [$]", executor=2, **GRID).digest == backtest.run(**best).digest
    monkeypatch.setattr(Backtest, "run", lambda self, **_: pytest.fail("the best was run again"))
    result = backtest.optimize(maximize="P&L [$]", **GRID)
    assert dict(result.record.parameters) == best
    assert result.fills.height == result["# Fills"]
    with pytest.raises(UnknownFigure):
        backtest.optimize(maximize="Sharpness", **GRID)


def test_progress_counts_trials(backtest):
    done = []
    backtest.sweep(progress=done.append, **GRID)
    assert done == [1, 2, 3, 4]


def test_a_dead_worker_is_explained(ticks, monkeypatch):
    monkeypatch.setattr(sweeps, "_begin_worker", _die)
    with pytest.raises(CiftError, match="__main__"):
        Backtest(ticks, Fragile).sweep(limit=[1, 2], executor=2)


def _die(payload, stop):
    raise SystemExit(3)
