"""Indicators and conditions of a run: they go ahead over each chunk in the order of arrival, whatever the strategy does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cift import _sim
from cift.data.view import Ticks
from cift.domain.chunk import Chunk
from cift.domain.instrument import Instrument
from cift.indicators.conditions import Condition, LineMath
from cift.indicators.kernel import Indicator
from cift.indicators.sources import step_of
from cift.sim.bars import BarStream
from cift.sim.run import feeds_in_order

Clock = tuple[int, str]
"""An instrument's number, and what moves: "quote" or "trade"."""

ON_PRINTS = frozenset({"price", "size"})
TOUCH = ("bid_price", "bid_size", "ask_price", "ask_size")
COLUMNS = {"quote": TOUCH, "microprice": TOUCH}
"""What an indicator reads, where that is more than the column it is named after."""


class Line(_sim.Cell, LineMath):
    """An indicator in a running strategy: `.value` at the present row, `.ready`, and the operators of conditions."""

    def __init__(self, indicator: Indicator, on: str, symbol: str, bars: BarStream | None = None) -> None:
        self.indicator = indicator
        self.on = on
        self.symbol = symbol
        self.bars = bars
        self.name = f"{indicator} on {on}" + ("" if bars is None else f" of {bars.spec.name}")

    def __repr__(self) -> str:
        return f"<{self.name}: {self.value}>"


def clock_of_line(line: Line) -> str:
    """What moves a line: "quote" or "trade"."""
    if line.bars is not None:
        return line.bars.clock
    return "trade" if line.on in ON_PRINTS else "quote"


def columns_of(clock: Mapping[str, Any], on: str) -> tuple[np.ndarray[Any, Any], ...]:
    """The columns that an indicator reads, from what the simulator looked ahead to."""
    if on == "quote":
        return tuple(clock[name] for name in TOUCH)
    if on == "microprice":
        bid, bid_size, ask, ask_size = columns_of(clock, "quote")
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((bid * ask_size + ask * bid_size) / (bid_size + ask_size),)
    return (clock[on],)


class LookAhead:
    """Carries the indicators and conditions of one run over what will arrive next."""

    def __init__(
        self,
        run: Any,
        lines: Sequence[Line],
        conditions: Sequence[tuple[Condition, Callable[[], None]]],
        streams: Sequence[BarStream],
        instruments: Mapping[str, Instrument],
        view: Ticks,
    ) -> None:
        self._run = run
        self._lines, self._streams = list(lines), list(streams)
        symbols = list(instruments)
        self._clocks: list[Clock] = [(symbols.index(line.symbol), clock_of_line(line)) for line in self._lines]
        needed: dict[Clock, dict[str, None]] = {}
        for line, clock in zip(self._lines, self._clocks, strict=True):
            wanted = () if line.bars is not None else COLUMNS.get(line.on, (line.on,))
            needed.setdefault(clock, {}).update(dict.fromkeys(wanted))
        for stream in self._streams:
            needed.setdefault((symbols.index(stream.symbol), stream.clock), {})
            run.add_bars(symbols.index(stream.symbol), stream.on, stream.builder(view), view.start_ns)
        # What each stream's calendar knows of, the sources that may reach beyond, and how many rows each has brought.
        self._ends = [(stream, stream.end) for stream in self._streams if stream.end is not None]
        self._symbol_of = [feed.symbol for feed in feeds_in_order(view)]
        self._pushed = [0] * len(self._symbol_of)
        self._symbols = symbols
        self._seen = list(needed)
        run.look_at(
            [(instrument, clock == "trade", list(columns)) for (instrument, clock), columns in needed.items()],
            places=bool(conditions or streams),
            order=bool(conditions) and len(needed) > 1,
        )
        self._runners = [_runner(line, instruments[line.symbol]) for line in self._lines]
        self._conditions = [condition for condition, _ in conditions]
        clock_of = dict(zip(self._lines, self._clocks, strict=True))
        self._reads: list[dict[Line, Clock]] = [
            {line: clock_of[line] for line in condition.lines} for condition in self._conditions
        ]
        self._carries: list[Any] = [condition.start for condition in self._conditions]
        self._truths = [False] * len(self._conditions)
        self._last_values: dict[Line, float] = dict.fromkeys(self._lines, float("nan"))

    @property
    def clocks(self) -> list[Clock]:
        """The clock of each line, in order."""
        return self._clocks

    @property
    def refusals(self) -> list[Callable[[], None]]:
        """What is to be called behind all bars and conditions, where `advance` says so."""
        return [end.refuse for _, end in self._ends]

    def advance(self, source: int, chunk: Chunk | None) -> None:
        """Computes what is settled by the rows pushed so far, and hands values and edges to the simulator.

        Args:
            source: which one had the last turn. chunk: what it brought; None: nothing, it has ended.
        """
        if chunk is not None:
            for stream, end in self._ends:
                if stream.symbol == self._symbol_of[source]:
                    end.look_at(source, self._pushed[source], chunk)
            self._pushed[source] += chunk.rows
        clocks: dict[Clock, Mapping[str, Any]] = dict(zip(self._seen, self._run.look_ahead(), strict=True))
        if not any(len(column) for clock in clocks.values() for column in clock.values()):
            return
        made: dict[BarStream, Mapping[str, Any]] = dict(zip(self._streams, self._run.look_ahead_bars(), strict=True))
        values: dict[Line, np.ndarray[Any, Any]] = {}
        for at, (line, clock, runner) in enumerate(zip(self._lines, self._clocks, self._runners, strict=True)):
            if line.bars is not None:
                bars = made[line.bars]
                values[line] = _held(runner.run((bars[line.on],)), bars["place"], bars["rows"], self._last_values[line])
            else:
                values[line] = runner.run(columns_of(clocks[clock], line.on))
            self._run.set_values(at, values[line])
        edges: list[tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        for number, (stream, bars) in enumerate(made.items()):
            stream.expect(bars)
            edges.append((number, bars["source"], bars["row"]))
        for number, condition in enumerate(self._conditions):
            edges += [(len(made) + number, *at) for at in self._edges(number, condition, clocks, values)]
        for number, (stream, end) in enumerate(self._ends):
            met = end.met(clocks[self._symbols.index(stream.symbol), stream.clock])
            if met is not None:
                edges.append((len(made) + len(self._conditions) + number, *met))
        self._register(edges)
        for line in self._lines:
            if len(values[line]):
                self._last_values[line] = float(values[line][-1])

    def _edges(
        self,
        number: int,
        condition: Condition,
        clocks: Mapping[Clock, Mapping[str, Any]],
        values: Mapping[Line, np.ndarray[Any, Any]],
    ) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Sources and rows at which a condition turns true."""
        reads = self._reads[number]
        needed = sorted(set(reads.values()))
        if len(needed) == 1:
            clock = clocks[needed[0]]
            source, row = clock["source"], clock["row"]
            aligned = {line: values[line] for line in reads}
        else:
            order = np.concatenate([clocks[name]["order"] for name in needed])
            ranks = np.argsort(order, kind="stable")
            source = np.concatenate([clocks[name]["source"] for name in needed])[ranks]
            row = np.concatenate([clocks[name]["row"] for name in needed])[ranks]
            merged = order[ranks]
            aligned = {
                line: _forward(clocks[clock]["order"], values[line], merged, self._last_values[line])
                for line, clock in reads.items()
            }
        if len(row) == 0:
            return []
        truth, self._carries[number] = condition.evaluate(aligned, self._carries[number])
        at = condition.edges(truth, self._truths[number])
        self._truths[number] = bool(truth[-1])
        return [(source[at], row[at])] if len(at) else []

    def _register(self, edges: Sequence[tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any]]]) -> None:
        if not edges:
            return
        conditions = np.concatenate([np.full(len(row), number, dtype=np.uint32) for number, _, row in edges])
        sources = np.concatenate([source for _, source, _ in edges])
        rows = np.concatenate([row for _, _, row in edges])
        ranks = np.lexsort((conditions, rows, sources))
        conditions, sources, rows = conditions[ranks], sources[ranks], rows[ranks]
        for source in np.unique(sources):
            mine = sources == source
            self._run.add_edges(int(source), np.ascontiguousarray(rows[mine]), np.ascontiguousarray(conditions[mine]))


def _held(values: np.ndarray[Any, Any], places: np.ndarray[Any, Any], rows: int, before: float) -> np.ndarray[Any, Any]:
    """Values of bars at each row of their clock: that of the bar which ended last."""
    at = np.searchsorted(places, np.arange(rows), side="right")
    return np.concatenate(([before], values))[at]


def _runner(line: Line, instrument: Instrument) -> Any:
    if line.bars is not None:
        # Bars of prints may lie between two ticks; those of mids lie on half ticks.
        on = line.bars.on
        exact = None if on == "price" else step_of("mid" if on == "mid" else "close", instrument.tick_size, instrument.lot_size)
        return line.indicator.runner(tick=exact, lot=instrument.lot_size)
    tick = step_of(line.on, instrument.tick_size, instrument.lot_size) if line.on != "quote" else instrument.tick_size  # type: ignore[arg-type]
    if line.on == "price":
        # Prints may lie between two ticks (hidden midpoints): windows over them are summed as floats.
        tick = None
    return line.indicator.runner(tick=tick, lot=instrument.lot_size)


def _forward(
    order: np.ndarray[Any, Any], values: np.ndarray[Any, Any], merged: np.ndarray[Any, Any], before: float
) -> np.ndarray[Any, Any]:
    """The last value known at each place of a common order."""
    at = np.searchsorted(order, merged, side="right") - 1
    known = values[np.maximum(at, 0)] if len(values) else np.full(len(merged), before)
    return np.where(at >= 0, known, before)
