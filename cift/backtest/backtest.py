"""`Backtest` runs a strategy over a data view. No logic of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

from cift.backtest.progress import Bar, Progress, best_so_far
from cift.backtest.result import Result
from cift.domain.duration import Duration, duration_ns
from cift.domain.instrument import to_decimal
from cift.errors import InvalidParameter, NotSupported
from cift.sim.run import DEFAULT_CHUNK_ROWS, RunError, RunSpec, cash_units, run
from cift.sim.venue import Fees, Venue
from cift.strategy import Strategy

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from cift.data.runs import Spill
    from cift.data.view import Ticks
    from cift.research.sweep import Maximize, Sweep


class Backtest:
    """Runs a strategy over market data.

    Args:
        data: a view: `catalog.ticks(...)`, `cift.quotes(frame)`, `cift.trades(frame)`.
        strategy: the class, not an object of it.
        cash: starting cash.
        venue: latency, fees and queue rules; or, for short,
        commission: fraction of value that every fill costs.
        seed: of `Strategy.rng`.
        equity_every: how often equity is noted beside each fill.
        clock_offset: added to times of receipt, where the receiving clock is behind; "fit" takes the smallest that leaves
            no record received before it happened.
        chunk_rows: rows read at a time (None: all). It changes memory and speed, never a result.
    Raises:
        InvalidParameter, NotSupported: with what to write instead.
    """

    def __init__(
        self,
        data: Ticks,
        strategy: type[Strategy],
        *,
        cash: float = 1_000_000.0,
        venue: Venue | None = None,
        commission: float | None = None,
        spread: float | None = None,
        margin: float | None = None,
        seed: int = 0,
        equity_every: Duration = "1s",
        clock_offset: Duration | None = None,
        chunk_rows: int | None = DEFAULT_CHUNK_ROWS,
    ) -> None:
        if not (isinstance(strategy, type) and issubclass(strategy, Strategy)):
            raise InvalidParameter(f"strategy {strategy!r} is not a subclass of cift.Strategy; pass the class itself")
        if not hasattr(data, "feeds"):
            raise InvalidParameter(
                f"data of type {type(data).__name__} is not a data view; pass catalog.ticks(...), cift.quotes(frame) or "
                "cift.trades(frame). OHLCV frames and bars come with a later release"
            )
        if spread is not None or margin is not None:
            raise NotSupported(
                "spread= and margin= are not supported with ticks: the book has its own spread, and accounts are cash "
                "accounts that may go short. Leave them out"
            )
        if venue is not None and not isinstance(venue, Venue):
            raise InvalidParameter(f'venue {venue!r} is not a cift.Venue; write venue=cift.Venue(latency="250us")')
        if not _is_whole(seed) or seed < 0:
            raise InvalidParameter(f"seed {seed!r} is not a whole number from 0 on")
        if chunk_rows is not None and (not _is_whole(chunk_rows) or chunk_rows < 1):
            raise InvalidParameter(f"chunk_rows {chunk_rows!r} is not a whole number from 1 on, nor None for all rows at once")
        cash_units(cash)
        if venue is not None and commission is not None:
            raise InvalidParameter(
                "give commission= or venue=, not both; write venue=cift.Venue(fees=cift.Fees(taker_bps=...))"
            )
        if commission is not None:
            fraction = to_decimal(commission, "commission")
            if not 0 <= fraction < 1:
                raise InvalidParameter(
                    f"commission {commission!r} is not a fraction of value from 0 to below 1, such as 0.0005; rebates and charges "
                    "per unit are for venue=cift.Venue(fees=cift.Fees(...))"
                )
            bps = float(round(fraction * 10_000, 8))
            venue = Venue(fees=Fees(maker_bps=bps, taker_bps=bps))
        every_ns = duration_ns(equity_every, "equity_every")
        if every_ns <= 0:
            raise InvalidParameter(f"equity_every {equity_every!r} must be above 0")
        self._spec = RunSpec(
            ticks=data,
            strategy=strategy,
            venue=venue if venue is not None else Venue(),
            cash=cash,
            seed=int(seed),
            equity_every_ns=every_ns,
            chunk_rows=None if chunk_rows is None else int(chunk_rows),
            clock_offset_ns=_clock_offset(data, clock_offset),
            read=_read_file,
            origin=_origin(data, strategy),
        )
        self.partial: Result | None = None
        """What was recorded of the last run, where a handler raised or it was interrupted."""

    def run(self, *, progress: Progress = True, **parameters: Any) -> Result:
        """Runs once with the given parameters.

        Args:
            progress: a bar where the run takes longer than a second, none, or a function of the rows done so far.
        Raises:
            UnknownName, InvalidParameter: for parameters that the strategy does not take.
            NoData: where the view has no rows.
            Whatever a handler raises; `self.partial` then holds the Result up to there.
        """
        from dataclasses import replace

        self.partial = None
        with Bar(progress) as bar:
            spec = replace(self._spec, parameters=parameters, progress=bar, sink=_spill)
            try:
                return Result(run(spec))
            except RunError as ended:
                self.partial = Result(ended.record)
                cause = ended.__cause__
                if cause is None:
                    raise
                if isinstance(cause, Exception):
                    cause.add_note("The run ended here; what was recorded until then is in the Backtest's .partial")
                raise cause.with_traceback(cause.__traceback__) from None

    def check_lookahead(self) -> None:
        """Comes with a later release.

        Raises:
            NotSupported: always.
        """
        raise NotSupported(
            "check_lookahead() comes with a later release; until then compare a run of the whole view with one of a view that "
            "ends earlier: up to there their orders must be equal"
        )

    def sweep(
        self,
        *,
        executor: Executor | int | None = 1,
        constraint: Callable[[Any], bool] | None = None,
        progress: Progress = True,
        **grid: Iterable[Any] | Any,
    ) -> Sweep:
        """Runs all combinations of parameter values; as the last expression of a cell it shows the best of them.

        Args:
            executor: any `concurrent.futures.Executor`; a number of worker processes (1: serial, in this process); None: as
                many as processors. The results are the same.
            constraint: keeps the combinations for which it is true; called with an object that has them as attributes.
            progress: a bar where the sweep takes longer than a second, none, or a function of the trials done so far.
            grid: for each parameter the values to try.
        Raises:
            UnknownName, InvalidParameter: for what the strategy does not take; nothing has run then.
            What the first trial raised, where all trials failed; one that fails among others is a row with its error.
        """
        return self._trials(grid, executor, constraint, progress, None)

    def optimize(
        self,
        *,
        maximize: Maximize = "Equity Final [$]",
        executor: Executor | int | None = 1,
        constraint: Callable[[Any], bool] | None = None,
        progress: Progress = True,
        **grid: Iterable[Any] | Any,
    ) -> Result:
        """Runs all combinations and returns the Result of the best one; other arguments as in `sweep`.

        Args:
            maximize: a label of the statistics, or a function of them.
        Raises:
            NoData: where no combination has the figure.
        """
        trials = self._trials(grid, executor, constraint, progress, maximize)
        best = trials.best(maximize)
        if trials.record is not None:
            return Result(trials.record)
        return self.run(progress=False, **best)

    def _trials(
        self,
        grid: Mapping[str, Any],
        executor: Executor | int | None,
        constraint: Callable[[Any], bool] | None,
        progress: Progress,
        maximize: Maximize | None,
    ) -> Sweep:
        from cift.report.summary import table_html
        from cift.research.sweep import DEFAULT_MAXIMIZE, Sweep, score, sweep

        class ShownSweep(Sweep):
            """A sweep as a cell shows it."""

            def _repr_html_(self) -> str:
                headings, rows, caption = self.table()
                return table_html(headings, rows, caption=caption)

        asked = DEFAULT_MAXIMIZE if maximize is None else maximize
        with Bar(progress, unit=" trials") as bar:
            told = None if bar is None else best_so_far(bar, score(asked), asked)
            found = sweep(self._spec, grid, executor=executor, constraint=constraint, progress=told, maximize=maximize)
        return ShownSweep(found.trials, found.parameters, found.record)


def _is_whole(value: object) -> bool:
    """Whether a value is a whole number, one of NumPy's included."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _spill() -> Spill:
    from cift.data.runs import Spill

    return Spill()


def _read_file(path: str) -> bytes:
    from cift.data.runs import read_file

    return read_file(path)


def _clock_offset(data: Ticks, given: Duration | None) -> int:
    if given is None:
        return 0
    if given != "fit":
        return duration_ns(given, "clock_offset")
    from cift.data.view import smallest_clock_offset_ns

    return smallest_clock_offset_ns(data)


def _origin(data: Ticks, strategy: type[Strategy]) -> dict[str, Any]:
    """Where strategy and data were found, and with which versions: a saved run tells it, so that it can be run again."""
    import sys

    from cift.data.runs import environment
    from cift.data.selection import selection
    from cift.sim.modules import own_file

    module = sys.modules.get(strategy.__module__)
    file = None if module is None else own_file(module)
    return {
        "strategy": {
            "module": strategy.__module__,
            "class": strategy.__qualname__,
            "file": None if file is None else str(file),
        },
        "data": selection(data),
        "environment": environment(),
    }
