"""The front page: `Backtest` runs a strategy over a data view, `Result` is what comes back. No logic of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cift.domain.duration import Duration, duration_ns
from cift.errors import InvalidParameter, NotSupported
from cift.sim.fingerprint import digest_of
from cift.sim.record import RunRecord
from cift.sim.run import DEFAULT_CHUNK_ROWS, RunError, RunSpec, cash_units, run
from cift.sim.venue import Fees, Latency, Venue
from cift.strategy import Strategy

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import altair as alt
    import polars as pl

    from cift.data.runs import Spill
    from cift.data.view import Ticks
    from cift.research.sweep import Maximize, Sweep, SweepProgress, Trial
    from cift.research.table import Figure, Statistics

__all__ = ["Backtest", "Fees", "Latency", "Result", "Venue", "load"]

Progress = bool | Callable[[int], None]


class Result(Mapping[str, Any]):
    """One finished run. As the last expression of a cell it shows its figures and a small chart.

    It is also a mapping of the statistics: `result["Sharpe Ratio"]`.
    """

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    # ---------------------------------------------------------------- figures

    @cached_property
    def stats(self) -> Statistics:
        """The figures of the run, under the labels of backtesting.py, and then our own."""
        from cift.research.statistics import statistics_of

        return statistics_of(self.record)

    def __getitem__(self, label: str) -> Figure:
        return self.stats[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.stats)

    def __len__(self) -> int:
        return len(self.stats)

    # ---------------------------------------------------------------- frames

    @property
    def fills(self) -> pl.DataFrame:
        """One row per fill: when, at what price, what it cost, why it happened, and what stood ahead in the queue."""
        return self.record.fills

    @property
    def orders(self) -> pl.DataFrame:
        """One row per order, with its status and, where it ended unfilled, the reason."""
        return self.record.orders

    @property
    def trades(self) -> pl.DataFrame:
        """Entries and exits paired first in, first out; an open position is marked at the end."""
        return self.record.trades

    @property
    def positions(self) -> pl.DataFrame:
        """Position, average price and realised profit after each fill."""
        return self.record.positions

    @property
    def equity(self) -> pl.DataFrame:
        """Equity, cash and open profit: at each fill and once per `equity_every`."""
        return self.record.equity

    @property
    def log(self) -> pl.DataFrame:
        """What the strategy logged."""
        return self.record.log

    _trades = trades
    _equity_curve = equity

    # ---------------------------------------------------------------- identity

    @property
    def digest(self) -> str:
        """BLAKE3 over commands, order events, fills and accounts: equal digests mean equal runs, to the last bit."""
        return self.record.digest

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What the digest depends on: data, code, parameters, venue, seed and engine."""
        return self.record.fingerprint

    def save(self, path: str | Path) -> Path:
        """Writes the run to one file; `cift.load(path)` gives it back."""
        from cift.data.runs import save_run

        record = self.record
        meta = {name: getattr(record, name) for name in PLAIN_FIELDS}
        return save_run(path, meta, record.columns, record.journal)

    # ---------------------------------------------------------------- pictures

    def plot(self, *, symbol: str | None = None, width: int = 720) -> alt.VConcatChart:
        """Price with fills, position, equity and drawdown, stacked over one time axis in UTC."""
        from cift.report.charts import plot

        record = self.record
        return plot(
            equity=record.equity,
            fills=record.fills,
            positions=record.positions,
            prices=record.marks,
            start_ns=record.start_ns,
            end_ns=record.end_ns,
            initial_cash=record.cash,
            currency=record.currency,
            symbol=symbol,
            title=self._title,
            width=width,
        )

    def tearsheet(self, path: str | Path) -> Path:
        """Writes the whole report into one HTML file that needs nothing else, and returns its path."""
        from cift.data.runs import write_atomically
        from cift.report.tearsheet import tearsheet_html

        record = self.record
        html = tearsheet_html(
            strategy=record.strategy,
            parameters=record.parameters,
            symbols=record.symbols,
            venue=record.venue_text,
            digest=record.digest,
            fingerprint=digest_of(record.fingerprint),
            leading=self.stats.leading,
            rows=self.stats.rows,
            notes=[*record.notes, *self.stats.notes],
            equity=record.equity,
            trades=record.trades,
            fills=record.fills,
            positions=record.positions,
            prices=record.marks,
            start_ns=record.start_ns,
            end_ns=record.end_ns,
            initial_cash=record.cash,
            currency=record.currency,
        )
        return write_atomically(path, html.encode())

    @property
    def _title(self) -> str:
        parameters = ", ".join(f"{name}={value}" for name, value in self.record.parameters.items())
        return f"{self.record.strategy}({parameters})"

    def __repr__(self) -> str:
        lines = [f"{self._title} on {', '.join(self.record.symbols)}", repr(self.stats), f"digest {self.digest}"]
        return "\n".join([*lines, *self.record.notes])

    def _repr_html_(self) -> str:
        from cift.report.summary import html

        record = self.record
        return html(
            title=self._title,
            subtitle=f"{', '.join(record.symbols)}; {record.venue_text}",
            leading=self.stats.leading,
            equity=record.equity,
            initial_cash=record.cash,
            currency=record.currency,
            start_ns=record.start_ns,
            end_ns=record.end_ns,
            notes=[*record.notes, *self.stats.notes, f"digest {record.digest[:16]}"],
        )


PLAIN_FIELDS = (
    "strategy", "parameters", "symbols", "level", "start_ns", "end_ns", "calendar", "currency", "cash", "venue", "venue_text",
    "digest", "fingerprint", "inputs", "rows", "anomalies", "notes", "error", "origin",
)  # fmt: skip
"""The fields of a record that are saved as JSON."""


def load(path: str | Path) -> Result:
    """A run that `Result.save` wrote.

    Raises:
        CorruptData: where the file is not a whole saved run.
    """
    from cift.data.runs import load_run

    meta, tables, journal = load_run(path)
    meta["symbols"], meta["notes"] = tuple(meta["symbols"]), tuple(meta["notes"])
    return Result(RunRecord(**meta, columns=tables, journal=journal))


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
            is_number = isinstance(commission, (Real, Decimal)) and not isinstance(commission, bool)
            if not is_number or not 0 <= float(commission) < 1:
                raise InvalidParameter(
                    f"commission {commission!r} is not a fraction of value from 0 to below 1, such as 0.0005; rebates and charges "
                    "per unit are for venue=cift.Venue(fees=cift.Fees(...))"
                )
            bps = round(float(commission) * 1e4, 8)
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
        with _Bar(progress) as bar:
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
        with _Bar(progress, unit=" trials") as bar:
            told = None if bar is None else _best_so_far(bar, score(asked), asked)
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
    from cift.sim.fingerprint import own_file

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


def _best_so_far(bar: _Advance, score_of: Callable[[Trial], float | None], maximize: Maximize) -> SweepProgress:
    """Tells a bar of each trial, and of the best figure until then."""
    label = maximize if isinstance(maximize, str) else "score"
    best: float | None = None

    def told(done: int, total: int, trial: Trial) -> None:
        nonlocal best
        value = score_of(trial)
        if value is not None and (best is None or value > best):
            best = value
        bar(done, total, "" if best is None else f"best {label} {best:,.6g}")

    return told


class _Advance(Protocol):
    """Moves a bar: what is done, of how much, and what stands behind it."""

    def __call__(self, done: int, total: int | None = None, beside: str = "") -> None: ...


class _Bar:
    """A progress bar that shows itself only where the work takes longer than a second and somebody can see it."""

    def __init__(self, progress: Progress, unit: str = " rows") -> None:
        self._call = progress if callable(progress) else None
        self._shown = progress is True
        self._unit = unit
        self._bar: Any = None
        self._began = 0.0

    def __enter__(self) -> _Advance | None:
        self._began = time.monotonic()
        if self._call is not None:
            return self._tell
        return self._advance if self._shown else None

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _tell(self, done: int, total: int | None = None, beside: str = "") -> None:  # noqa: ARG002
        if self._call is not None:
            self._call(done)

    def _advance(self, done: int, total: int | None = None, beside: str = "") -> None:
        if self._bar is None:
            if time.monotonic() - self._began < 1.0:
                return
            if not _can_be_seen():
                self._shown = False
                return
            self._bar = _tqdm()(unit=self._unit, unit_scale=total is None, total=total, leave=False)
        if beside:
            self._bar.set_postfix_str(beside, refresh=False)
        self._bar.update(done - self._bar.n)


def _can_be_seen() -> bool:
    """Whether a bar has an eye on it: a terminal, or a notebook."""
    import sys

    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _tqdm() -> Any:
    import warnings

    with warnings.catch_warnings():
        # Without ipywidgets it falls back to text, and warns.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm
