"""The compiled run takes what `simulator` gives it, and refuses what would break it or pass unnoticed with a typed error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cift import _sim
from cift.errors import CiftError, InvalidParameter, JournalError, ShapeMismatch, UnknownName

CENT = ("A.SIM", (1, 100), (1, 1), 1, 10**16, 0)
NO_TIME = np.iinfo(np.int64).min
WRONG_NUMBERS = (-1, 2, 65_535, 65_536, 2**31, 2**64 - 1, 2**64, -(2**127), 10**40)


def spec(**changes: Any) -> dict[str, Any]:
    """Quotes and trades of one instrument."""
    return {
        "instruments": [CENT],
        "sources": [(0, 1, 0), (0, 2, 0)],
        "latency": (0, 0, 0),
        "fees": (0, 0, 0, 0),
        "cash": [10**24],
        "refill_next_event": False,
        "equity_every_ns": 10**9,
        "header": "{}",
    } | changes


def quotes(rows: int = 3) -> tuple[Any, ...]:
    ones = np.ones(rows)
    return np.arange(rows) * 10**9, np.full(rows, NO_TIME), 100 * ones, ones, 101 * ones, ones


def trades(rows: int = 3) -> tuple[Any, ...]:
    ones = np.ones(rows)
    return np.arange(rows) * 10**9, np.full(rows, NO_TIME), 100 * ones, ones, np.full(rows, ord("B"), dtype=np.uint8)


def orders(rows: int = 3) -> tuple[Any, ...]:
    ones, letters = np.ones(rows), np.full(rows, ord("A"), dtype=np.uint8)
    ids, flags = np.arange(rows, dtype=np.uint64), np.full(rows, 128, dtype=np.uint8)
    return np.arange(rows) * 10**9, np.full(rows, NO_TIME), letters, letters, 100 * ones, ones, ids, flags


def with_strategy(run: Any, lines: list[Any] | None = None) -> Any:
    """A run whose strategy has one condition and one indicator."""
    run.set_strategy({}, [lambda: None], [(_sim.Cell(), 0, False)] if lines is None else lines, run.handles())
    return run


def run_out(run: Any) -> Any:
    """Gives a run its data, and ends it."""
    run.push_quotes(0, *quotes())
    run.push_trades(1, *trades())
    for source in (0, 1):
        run.end_source(source)
    while run.advance() is not None:
        pass
    run.finish()
    return run


def to_the_end(run: Any) -> Any:
    """The run after its data, where it still works."""
    run_out(run)
    assert run.rows_delivered() == [3, 3]
    assert list(run.equity()["equity"]) == [1e6] * len(run.equity()["ts"])
    return run


def test_what_the_package_passes_runs() -> None:
    run = with_strategy(_sim.Run(**spec()))
    run.set_values(0, np.zeros(3))
    run.add_edges(0, np.array([0, 0, 2], dtype=np.uint64), np.zeros(3, dtype=np.uint32))
    to_the_end(run)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        *[({"sources": [(number, 1, 0)]}, "instrument .* does not exist: the run has 1") for number in (1, *WRONG_NUMBERS)],
        *[
            ({"sources": [(0, code, 0)]}, "schema code .* is not known; pass 0 for mbo")
            for code in (4, 255, *WRONG_NUMBERS[2:])
        ],
        ({"sources": [(0, 1, 0)] * 65_536}, "65536 is too many for one run; pass at most 65535 of sources"),
        ({"instruments": [CENT] * 65_536}, "65536 is too many for one run; pass at most 65535 of instruments"),
        ({"latency": (-1, 0, 0)}, "feed latency must be 0 ns or more, not -1"),
        ({"latency": (0, -2, 0)}, "entry latency must be 0 ns or more, not -2"),
        ({"latency": (0, 0, -(2**63))}, "response latency must be 0 ns or more, not -9223372036854775808"),
        ({"equity_every_ns": 0}, "equity_every_ns must be above 0, not 0"),
        ({"equity_every_ns": -(10**9)}, "equity_every_ns must be above 0, not -1000000000"),
        ({"cash": []}, "currency of A.SIM: 0 does not exist: the run has 0"),
        ({"instruments": [(*CENT[:5], 1)]}, "currency of A.SIM: 1 does not exist: the run has 1"),
        ({"instruments": [("A.SIM", (0, 100), *CENT[2:])]}, "numerator of the tick of A.SIM must be above 0, not 0"),
        ({"instruments": [("A.SIM", (1, 0), *CENT[2:])]}, "denominator of the tick of A.SIM must be above 0, not 0"),
        ({"instruments": [(*CENT[:2], (-1, 1), *CENT[3:])]}, "numerator of the lot of A.SIM must be above 0, not -1"),
        ({"instruments": [(*CENT[:2], (1, -1), *CENT[3:])]}, "denominator of the lot of A.SIM must be above 0, not -1"),
        ({"instruments": [(*CENT[:3], 0, *CENT[4:])]}, "price increment in ticks of A.SIM must be above 0, not 0"),
        ({"instruments": [(*CENT[:4], 0, 0)]}, "money units of one tick of one lot of A.SIM must be above 0, not 0"),
    ],
)
def test_a_run_is_not_made_of_what_would_break_it(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidParameter, match=told):
        _sim.Run(**spec(**changes))
    to_the_end(_sim.Run(**spec()))


SOURCE_CALLS: dict[str, Callable[[Any, int], Any]] = {
    "push_quotes": lambda run, number: run.push_quotes(number, *quotes()),
    "push_trades": lambda run, number: run.push_trades(number, *trades()),
    "push_mbo": lambda run, number: run.push_mbo(number, *orders()),
    "end_source": lambda run, number: run.end_source(number),
    "add_edges": lambda run, number: run.add_edges(number, np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint32)),
    "set_script": lambda run, number: run.set_script([(number, 0, "submit", 1, _sim.Side.BUY, None, 1)]),
}


@pytest.mark.parametrize("number", WRONG_NUMBERS)
@pytest.mark.parametrize("call", SOURCE_CALLS)
def test_a_source_that_is_not_there_is_refused(call: str, number: int) -> None:
    run = with_strategy(_sim.Run(**spec()))
    with pytest.raises(InvalidParameter, match=r"source -?[0-9]+ does not exist: the run has 2, numbered from 0"):
        SOURCE_CALLS[call](run, number)
    to_the_end(run)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        *[
            (lambda run, n=number: run.set_values(n, np.zeros(3)), InvalidParameter, "line .* does not exist: the run has 1")
            for number in (1, *WRONG_NUMBERS)
        ],
        (
            lambda run: run.add_edges(0, np.zeros(1, dtype=np.uint64), np.ones(1, dtype=np.uint32)),
            InvalidParameter,
            "condition 1 does not exist: the run has 1",
        ),
        (
            lambda run: run.add_edges(0, np.array([4, 3], dtype=np.uint64), np.zeros(2, dtype=np.uint32)),
            InvalidParameter,
            "row 3 comes after row 4; pass rows in order",
        ),
        (
            lambda run: run.add_edges(0, np.zeros(2, dtype=np.uint64), np.zeros(1, dtype=np.uint32)),
            ShapeMismatch,
            "2 rows were given with 1 conditions",
        ),
        (lambda run: run.look_at([(1, False, ["mid"])]), InvalidParameter, "instrument 1 does not exist: the run has 1"),
        (lambda run: run.look_at([(0, False, ["middle"])]), UnknownName, "middle"),
        (
            lambda run: with_strategy(run, [(_sim.Cell(), 1, True)]),
            InvalidParameter,
            "instrument 1 does not exist: the run has 1",
        ),
        (lambda run: run.set_strategy({}, [], [], []), ShapeMismatch, "0 handles were given for 1 instruments"),
        (lambda run: run.set_strategy({}, [], [], run.handles() * 2), ShapeMismatch, "2 handles were given for 1 instruments"),
        (lambda run: run.push_mbo(0, *orders()), ShapeMismatch, "do not fit its schema"),
        (lambda run: run.push_quotes(1, *quotes()), ShapeMismatch, "do not fit its schema"),
        (lambda run: run.push_trades(1, *trades()[:-1], np.zeros(1, dtype=np.uint8)), ShapeMismatch, "differ in length"),
        (lambda run: run.set_script([(0, 0, "sell", 1, _sim.Side.BUY, None, 1)]), UnknownName, "sell"),
        (lambda run: run.set_replay(b"no journal"), JournalError, "this is not a journal"),
    ],
)
def test_what_fits_nothing_is_refused(call: Callable[[Any], Any], error: type[CiftError], told: str) -> None:
    run = with_strategy(_sim.Run(**spec()))
    with pytest.raises(error, match=told):
        call(run)
    to_the_end(run)


def test_values_without_a_strategy_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="line 0 does not exist: the run has 0"):
        _sim.Run(**spec()).set_values(0, np.zeros(3))


def test_the_commands_of_a_journal_alone_give_the_same_run_again() -> None:
    first = _sim.Run(**spec())
    handle = first.handles()[0]
    first.set_strategy({"on_start": lambda: handle.buy(1)}, [], [], first.handles())
    run_out(first)
    again = _sim.Run(**spec())
    again.set_replay(first.journal())
    run_out(again)
    assert len(first.fills()["ts"]) == 1
    assert again.digest == first.digest
    assert again.journal() == first.journal()
    assert run_out(_sim.Run(**spec())).digest != first.digest


def test_a_journal_of_more_instruments_is_refused() -> None:
    two = _sim.Run(**spec(instruments=[CENT, ("B.SIM", *CENT[1:])], sources=[(0, 1, 0), (1, 1, 0)]))
    handle = two.handles()[1]
    two.set_strategy({"on_start": lambda: handle.buy(1)}, [], [], two.handles())
    for source in (0, 1):
        two.push_quotes(source, *quotes())
        two.end_source(source)
    while two.advance() is not None:
        pass
    two.finish()
    with pytest.raises(JournalError, match="the journal names instrument 1, of another run: this has 1"):
        _sim.Run(**spec()).set_replay(two.journal())


def test_a_finished_run_does_not_go_on() -> None:
    run = to_the_end(with_strategy(_sim.Run(**spec())))
    for call in (run.advance, lambda: run.set_values(0, np.zeros(3))):
        with pytest.raises(CiftError, match="the run is finished"):
            call()
    assert run.finish() is None
