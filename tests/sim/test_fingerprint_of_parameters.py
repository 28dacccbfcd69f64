"""What the parameters of a run put into its fingerprint, and what a run says of what it cannot tell."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import polars as pl
import pytest

import cift
from cift.research.sweep import DEFAULT_MAXIMIZE


class Anything:
    """Whose content nobody can tell."""


class Takes(cift.Strategy):
    thing: Any = cift.param(None)

    def on_quote(self, quote: object) -> None:
        if isinstance(self.thing, list):
            self.thing.append(1)


def view() -> Any:
    times = pl.datetime_range(pl.datetime(2026, 1, 5), pl.datetime(2026, 1, 5, 0, 0, 9), "1s", eager=True, time_unit="ns")
    frame = pl.DataFrame({"ts_event": times, "bid_price": 100.0, "bid_size": 500.0, "ask_price": 100.02, "ask_size": 500.0})
    return cift.quotes(frame, symbol="ONE.SIM", tick_size="0.01", lot_size=1)


def run(thing: object) -> cift.Result:
    return cift.Backtest(view(), Takes).run(thing=thing)


def told(thing: object) -> object:
    return run(copy.deepcopy(thing)).fingerprint["parameters"]["thing"]


@pytest.mark.parametrize("plain", [None, True, 5, 0.5, "text", [1, [2.0, "x"]], (1, None)], ids=str)
def test_a_plain_parameter_stands_in_the_fingerprint_as_it_is(plain: object) -> None:
    assert told(plain) == plain
    assert type(told(plain)) is type(plain)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.DataFrame({"x": [0] * 100}), pl.DataFrame({"x": [0] * 50 + [1] + [0] * 49})),
        (np.zeros(5_000), np.r_[np.zeros(2_500), 1.0, np.zeros(2_499)]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([{"a": 1}], [{"a": 2}]),
    ],
    ids=["frames", "arrays", "dictionaries", "lists"],
)
def test_the_content_of_a_parameter_counts(one: object, other: object) -> None:
    assert told(one) == told(one)
    assert told(one) != told(other)


def test_a_parameter_that_cannot_be_told_is_named_and_has_no_address() -> None:
    result = run(Anything())
    assert result.fingerprint == run(Anything()).fingerprint
    assert any("Takes.thing" in note for note in result.record.notes)
    assert not any("Takes.thing" in note for note in run([1]).record.notes)


def test_the_parameters_are_those_before_the_run() -> None:
    result = run([5])
    assert result.record.parameters == result.fingerprint["parameters"] == {"thing": [5]}
    mapped = {"a": [5]}
    assert run(mapped).record.parameters == {"thing": {"a": [5]}}


def test_a_saved_run_has_its_parameters(tmp_path: Any) -> None:
    path = run({"a": 1}).save(tmp_path / "run.cift")
    assert cift.load(path).record.parameters == {"thing": {"a": 1}}


def test_a_trial_has_the_parameters_from_before_its_run() -> None:
    (trial,) = cift.Backtest(view(), Takes).sweep(thing=[[5]])
    assert trial.parameters == {"thing": [5]}


@pytest.mark.parametrize("executor", [1, 2])
def test_the_best_of_a_sweep_says_what_its_fingerprint_leaves_out(executor: int) -> None:
    unknown = Anything()

    class Closed(cift.Strategy):
        size: int = cift.param(1)

        def on_start(self) -> None:
            self.buy(self.size if unknown else 0)

    backtest = cift.Backtest(view(), Closed)
    (alone,) = [note for note in backtest.run(size=1).record.notes if "Closed.on_start unknown" in note]
    best = backtest.optimize(maximize=DEFAULT_MAXIMIZE, size=[1, 2], executor=executor)
    assert alone in best.record.notes
