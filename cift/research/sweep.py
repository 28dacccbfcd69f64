"""Sweeps: one strategy over many combinations of parameters, in this process or in others, with the same results.

A trial is one run. What comes back of it is small: its figures, digest, fingerprint and return series; the best one is run
again, or kept, by whoever wants its frames. A class that was defined in a notebook cell travels to workers by value.
"""

from __future__ import annotations

import difflib
import itertools
import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import blake2b
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from cift.errors import CiftError, InvalidParameter, NoData, NotSupported, UnknownFigure, UnknownName
from cift.research.statistics import statistics_of
from cift.research.table import LABELS, OWN_LABELS, Figure, figure_text
from cift.sim.fingerprint import code_of, digest_of
from cift.sim.modules import own_file
from cift.sim.record import RunRecord
from cift.sim.run import RunError, RunSpec, run

if TYPE_CHECKING:
    import polars as pl

Parameters: TypeAlias = dict[str, Any]
Maximize: TypeAlias = str | Callable[[Mapping[str, Figure]], float | None]
"""A label of the statistics, or a function of them."""
SweepProgress: TypeAlias = Callable[[int, int, "Trial"], None]
"""Called after each trial with the trials done, their total, and the trial."""

DEFAULT_MAXIMIZE = "Equity Final [$]"
TASK_SECONDS = 0.1
"""A task sent to a worker takes at least this long, where there are trials enough for it."""
TASKS_PER_WORKER = 2
"""Tasks in flight: one running and one waiting, so that no worker idles and few are lost to an interrupt."""
SHOWN_LABELS = ("P&L [$]", "Return [%]", "Sharpe Ratio", "Max. Drawdown [%]", "# Fills")
SHOWN_ROWS = 20

_LOADED_IN = os.getpid()


@dataclass(frozen=True, eq=False)
class Trial:
    """One run of a sweep.

    Attributes:
        parameters: all parameters of the strategy, those that kept their default included.
        stats: the figures, by label; empty where the run raised.
        digest: of the run; None where it raised. fingerprint: hash of its fingerprint.
        error: what a handler raised, as text; None where the run went through.
        elapsed_s: seconds of wall time.
        returns_arrow: the return series as an Arrow stream: `ts`, `return`.
    """

    parameters: Mapping[str, Any]
    stats: Mapping[str, Figure]
    digest: str | None
    fingerprint: str | None
    error: str | None
    elapsed_s: float
    returns_arrow: bytes = b""

    @property
    def returns(self) -> pl.DataFrame:
        """The return series behind the figures: `ts` (end of the period, UTC) and `return` (a fraction)."""
        import polars as pl

        if not self.returns_arrow:
            return pl.DataFrame(schema={"ts": pl.Datetime("ns", "UTC"), "return": pl.Float64})
        return pl.read_ipc_stream(self.returns_arrow)


class Sweep(Sequence[Trial]):
    """The trials of a sweep, in the order of the grid.

    Args:
        trials: the trials.
        parameters: names of the parameters that were varied.
        record: of the best trial, where the sweep was told what to maximize and ran in this process.
    """

    def __init__(self, trials: Sequence[Trial], parameters: Sequence[str], record: RunRecord | None = None) -> None:
        self.trials = tuple(trials)
        self.parameters = tuple(parameters)
        self.record = record

    def __len__(self) -> int:
        return len(self.trials)

    def __getitem__(self, index: Any) -> Any:
        return self.trials[index]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One row per trial: parameters, all figures under their labels, `digest`, `fingerprint` and `error`."""
        import polars as pl

        names = list(self.trials[0].parameters) if self.trials else list(self.parameters)
        columns = [_series(name, [trial.parameters[name] for trial in self.trials]) for name in names]
        columns += [_series(label, [trial.stats.get(label) for trial in self.trials]) for label in (*LABELS, *OWN_LABELS)]
        columns += [
            pl.Series(name, [getattr(trial, name) for trial in self.trials], dtype=pl.String)
            for name in ("digest", "fingerprint", "error")
        ]
        return pl.DataFrame(columns)

    def best(self, maximize: Maximize = DEFAULT_MAXIMIZE) -> Parameters:
        """The parameters of the best trial; the first of the grid where several are.

        Args:
            maximize: a label of the statistics, or a function of them that returns a number or None.
        Raises:
            UnknownFigure: for a label that does not exist. InvalidParameter: for one that is not a number.
            NoData: where no trial has the figure.
        """
        found = self.best_trial(maximize)
        if found is None:
            what = repr(maximize) if isinstance(maximize, str) else "the function to maximize"
            raise NoData(f"none of the {len(self)} trials has a value of {what}; the sweep's .frame shows what they have")
        return dict(found.parameters)

    def best_trial(self, maximize: Maximize = DEFAULT_MAXIMIZE) -> Trial | None:
        """The best trial, None where no trial has the figure; see `best`."""
        score_of = score(maximize)
        best, highest = None, -math.inf
        for trial in self.trials:
            value = score_of(trial)
            if value is not None and (best is None or value > highest):
                best, highest = trial, value
        return best

    def table(self) -> tuple[list[str], list[list[str]], str]:
        """Headings, rows as text (best final equity first, failed trials last) and a caption."""
        labels = [label for label in SHOWN_LABELS if any(trial.stats.get(label) is not None for trial in self.trials)]
        failed = sum(trial.error is not None for trial in self.trials)
        score_of = score(DEFAULT_MAXIMIZE)
        values = {id(trial): score_of(trial) for trial in self.trials}
        ranked = sorted(self.trials, key=lambda trial: -v if (v := values[id(trial)]) is not None else math.inf)
        headings = [*self.parameters, *labels, *(["error"] if failed else [])]
        rows = [
            [str(trial.parameters[name]) for name in self.parameters]
            + [figure_text(trial.stats.get(label)) for label in labels]
            + ([_short(trial.error or "")] if failed else [])
            for trial in ranked
        ]
        caption = f"{len(self):,} trial{'s' * (len(self) != 1)}, best final equity first"
        return headings, rows, caption + (f"; {failed:,} failed" if failed else "")

    def __repr__(self) -> str:
        headings, rows, caption = self.table()
        few = rows[:SHOWN_ROWS]
        widths = [max(len(row[at]) for row in [headings, *few]) for at in range(len(headings))]
        lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in [headings, *few]]
        more = [f"... and {len(rows) - len(few):,} more"] if len(rows) > len(few) else []
        return "\n".join([caption, *lines, *more])


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _series(name: str, values: list[Any]) -> pl.Series:
    """A column of figures; integers beside floats become floats, and what no type holds becomes text."""
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if not kinds or (float in kinds and kinds <= {int, float}):
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    if len(kinds) > 1 or (not kinds & {int, str, bool} and "datetime" not in {kind.__module__ for kind in kinds}):
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
    return pl.Series(name, values)


def score(maximize: Maximize) -> Callable[[Trial], float | None]:
    """What a trial is worth: a number, or None where it has none (NaN is none).

    Raises:
        UnknownFigure: for a label that does not exist.
    """
    if isinstance(maximize, str):
        label = maximize
        known = (*LABELS, *OWN_LABELS)
        if label not in known:
            near = difflib.get_close_matches(label, known, n=1, cutoff=0.4)
            raise UnknownFigure(f"no figure {label!r}" + (f"; did you mean {near[0]!r}?" if near else "; stats has the labels"))
        return lambda trial: _number(trial.stats.get(label), label)
    if not callable(maximize):
        raise InvalidParameter(f"maximize is a label such as 'Sharpe Ratio', or a function of the statistics, not {maximize!r}")
    return lambda trial: _number(maximize(trial.stats), "the function to maximize") if trial.stats else None


def _number(value: Any, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        if not hasattr(value, "__float__"):
            raise InvalidParameter(f"{what} gives {value!r}, which is not a number; maximize something that is")
        value = float(value)
    return None if math.isnan(value) else value


# ------------------------------------------------------------------ what is tried


def combinations(spec: RunSpec, grid: Mapping[str, Any], constraint: Callable[[Any], bool] | None = None) -> list[Parameters]:
    """All combinations of a grid that the constraint keeps, each with all parameters of the strategy, checked.

    Args:
        grid: for each name the values to try; a lone value counts as one.
        constraint: called with an object that has every parameter as an attribute.
    Raises:
        UnknownName: for a name that the strategy does not declare.
        InvalidParameter: for a value that it does not accept, and where nothing is left to try.
    """
    strategy: Any = spec.strategy
    values = {name: _values(given) for name, given in grid.items()}
    if not values:
        declared = ", ".join(strategy.parameters) or "none"
        raise InvalidParameter(f"a sweep needs values to try, as in fast=[5, 10]; {strategy.__name__} declares: {declared}")
    for name, tried in values.items():
        if not tried:
            raise InvalidParameter(f"no values to try for {name!r}; an empty range? Give at least one")
    if constraint is not None and not callable(constraint):
        raise InvalidParameter(f"constraint {constraint!r} is not a function; write constraint=lambda p: p.fast < p.slow")
    defaults = {name: declared.default for name, declared in strategy.parameters.items()}
    found = []
    for combination in itertools.product(*values.values()):
        given = {**spec.parameters, **dict(zip(values, combination, strict=True))}
        if constraint is not None:
            try:
                if not constraint(SimpleNamespace(**{**defaults, **given})):
                    continue
            except AttributeError as error:
                if not isinstance(error.obj, SimpleNamespace):
                    raise
                raise UnknownName(
                    f"the constraint reads {error.name!r}, which is no parameter of {strategy.__name__}; there are "
                    f"{', '.join(defaults)}"
                ) from error
        built = strategy(**given)
        found.append({name: getattr(built, name) for name in strategy.parameters})
    if not found:
        raise InvalidParameter("the constraint keeps none of the combinations; nothing was run")
    return found


def _values(given: Any) -> list[Any]:
    return [given] if isinstance(given, (str, bytes)) or not isinstance(given, Iterable) else list(given)


# ------------------------------------------------------------------ one trial


@dataclass(frozen=True)
class _Outcome:
    """What one run gave: its record, or the error that ended it."""

    parameters: Parameters
    record: RunRecord | None
    error: str | None
    elapsed_s: float

    def trial(self) -> Trial:
        if self.record is None:
            return Trial(self.parameters, {}, None, None, self.error, self.elapsed_s)
        stats = statistics_of(self.record)
        # Plain numbers, no NumPy scalars: they travel small, and a column of them has one type.
        figures: dict[str, Any] = {**stats}
        figures = {label: value.item() if hasattr(value, "item") else value for label, value in figures.items()}
        identity = digest_of(self.record.fingerprint)
        returns = stats.returns.write_ipc_stream(None).getvalue()
        # The record has the parameters from before the run, which a handler may have changed.
        return Trial(self.record.parameters, figures, self.record.digest, identity, None, self.elapsed_s, returns)


def _attempt(spec: RunSpec, parameters: Parameters) -> _Outcome:
    """Runs once. What a handler raises becomes text; an interrupt is raised, for it is not the trial's."""
    began = time.perf_counter()
    record, text = None, None
    try:
        record = run(replace(spec, parameters=parameters))
    except RunError as ended:
        cause = ended.__cause__
        if cause is not None and not isinstance(cause, Exception):
            raise cause from None
        text = ended.record.error
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    return _Outcome(parameters, record, text, time.perf_counter() - began)


def _attempts(spec: RunSpec, part: Sequence[Parameters]) -> list[Trial | _Outcome]:
    """A task of a worker. A forked child leaves the figures to its parent: polars cannot work in one."""
    outcomes = [_attempt(spec, parameters) for parameters in part]
    if os.getpid() == _LOADED_IN:
        return [outcome.trial() for outcome in outcomes]
    return [replace(outcome, record=outcome.record and replace(outcome.record, journal=b"")) for outcome in outcomes]


# ------------------------------------------------------------------ workers of our own


class _Stopped(BaseException):
    """The sweep was interrupted; runs end at their next chunk."""


def _stop_if(asked: Callable[[], bool], _rows: int) -> None:
    if asked():
        raise _Stopped


_WORKER: dict[str, Any] = {}


def _begin_worker(payload: bytes, stop: Any) -> None:
    """Prepares a worker process: an interrupt is its parent's to handle, and what it runs is unpacked at its first task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _WORKER.update(payload=payload, stop=stop)


def _work(part: Sequence[Parameters]) -> list[Trial | _Outcome]:
    if "spec" not in _WORKER:
        spec: RunSpec = pickle.loads(_WORKER["payload"])
        _WORKER["spec"] = replace(spec, progress=partial(_stop_if, _WORKER["stop"].is_set))
    return _attempts(_WORKER["spec"], part)


_UNPACKED: dict[str, RunSpec] = {}


def _work_anywhere(key: str, payload: bytes, part: Sequence[Parameters]) -> list[Trial | _Outcome]:
    """A task of somebody else's worker, which may live anywhere: the spec comes along, and is unpacked once."""
    spec = _UNPACKED.get(key)
    if spec is None:
        spec = pickle.loads(payload)
        _UNPACKED.clear()
        _UNPACKED[key] = spec
    return _attempts(spec, part)


def pack(spec: RunSpec) -> bytes:
    """A spec as bytes that a worker can unpack although it never saw the strategy's cell or file.

    Raises:
        NotSupported: where something in it cannot travel.
    """
    cloudpickle: Any = import_module("cloudpickle")
    registered = cloudpickle.list_registry_pickle_by_value()
    homes = {base.__module__: sys.modules.get(base.__module__) for base in spec.strategy.__mro__}
    own = [
        module
        for name, module in homes.items()
        if module is not None and name not in ("__main__", *registered) and own_file(module) is not None
    ]
    try:
        for module in own:
            cloudpickle.register_pickle_by_value(module)
        return bytes(cloudpickle.dumps(replace(spec, progress=None)))
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise NotSupported(
            f"{spec.strategy.__name__} cannot travel to another process: {error}. Make what it names at run time in setup, or "
            "use executor=1 or a ThreadPoolExecutor"
        ) from error
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


# ------------------------------------------------------------------ the sweep


def sweep(
    spec: RunSpec,
    grid: Mapping[str, Any],
    *,
    executor: Executor | int | None = 1,
    constraint: Callable[[Any], bool] | None = None,
    progress: SweepProgress | None = None,
    maximize: Maximize | None = None,
) -> Sweep:
    """Runs all combinations of parameter values. The results do not depend on where they run.

    Args:
        spec: what all trials share.
        grid: for each parameter the values to try.
        executor: any `concurrent.futures.Executor`, which stays open; a number of spawned worker processes (1: serial, in this
            process); None: as many as processors.
        constraint: keeps the combinations for which it is true; called with an object that has them as attributes.
        progress: called after each trial.
        maximize: where given, and the trials run in this process, the record of the best one is kept.
    Raises:
        UnknownName, InvalidParameter: for what the strategy does not take; nothing has run then.
        NotSupported: where strategy or data cannot travel to a worker.
        Whatever a handler raised, where it did so in all trials.
    """
    tried = combinations(spec, grid, constraint)
    score_of = None if maximize is None else score(maximize)
    spec = replace(spec, progress=None, code=spec.code if spec.code is not None else code_of(spec.strategy))
    trials: dict[int, Trial] = {}
    kept: RunRecord | None = None
    highest = -math.inf
    outcomes = _run_all(spec, tried, executor)
    try:
        for at, outcome in outcomes:
            trial = outcome.trial() if isinstance(outcome, _Outcome) else outcome
            trials[at] = trial
            if score_of is not None and executor == 1 and isinstance(outcome, _Outcome):
                value = score_of(trial)
                if value is not None and (kept is None or value > highest):
                    kept, highest = outcome.record, value
            if progress is not None:
                progress(len(trials), len(tried), trial)
    finally:
        outcomes.close()
    found = Sweep([trials[at] for at in range(len(tried))], list(grid), kept)
    if all(trial.error is not None for trial in found):
        _raise_first(spec, found)
    return found


def _raise_first(spec: RunSpec, found: Sweep) -> None:
    """Runs the first trial again, here, for the error and traceback that it ended with."""
    try:
        run(replace(spec, parameters=dict(found[0].parameters)))
    except RunError as ended:
        if ended.__cause__ is None:
            raise
        ended.__cause__.add_note(f"All {len(found)} trials of the sweep failed; this is the first")
        raise ended.__cause__ from None
    raise CiftError(f"all {len(found)} trials failed in their workers, though the first one runs here: {found[0].error}")


Outcomes: TypeAlias = Iterator[tuple[int, Trial | _Outcome]]


def _run_all(spec: RunSpec, tried: Sequence[Parameters], executor: Executor | int | None) -> Any:
    """Yields (place in the grid, outcome) as they come."""
    if executor is None:
        executor = os.cpu_count() or 1
    if isinstance(executor, bool) or (not isinstance(executor, (int, Executor)) and not hasattr(executor, "submit")):
        raise InvalidParameter(
            f"executor {executor!r} is neither a concurrent.futures.Executor nor a number of worker processes"
        )
    if isinstance(executor, int):
        if executor < 1:
            raise InvalidParameter(f"executor={executor}: a number of worker processes of at least 1 was expected, or None")
        if executor == 1:
            return ((at, _attempt(spec, parameters)) for at, parameters in enumerate(tried))
        return _in_processes(spec, tried, min(executor, len(tried)))
    # Hashed here once: what was computed travels along.
    for feed in spec.ticks.feeds:
        _ = feed.content_hash
    if isinstance(executor, ThreadPoolExecutor):
        return _in_threads(spec, tried, executor)
    payload = pack(spec)
    key = blake2b(payload, digest_size=16).hexdigest()
    return _scheduled(lambda part: executor.submit(_work_anywhere, key, payload, part), _workers_of(executor), tried)


def _workers_of(executor: Executor) -> int:
    """How many workers an executor has, as far as it tells."""
    count = getattr(executor, "_max_workers", None)
    return count if isinstance(count, int) and count > 0 else max(os.cpu_count() or 1, 32)


def _in_threads(spec: RunSpec, tried: Sequence[Parameters], executor: Executor) -> Any:
    stop = threading.Event()
    stoppable = replace(spec, progress=partial(_stop_if, stop.is_set))
    try:
        yield from _scheduled(lambda part: executor.submit(_attempts, stoppable, part), _workers_of(executor), tried)
    except BaseException:
        stop.set()
        raise


def _in_processes(spec: RunSpec, tried: Sequence[Parameters], count: int) -> Any:
    for feed in spec.ticks.feeds:
        _ = feed.content_hash
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker, initargs=(pack(spec), stop))
    try:
        yield from _scheduled(lambda part: pool.submit(_work, part), count, tried)
    except BrokenExecutor as error:
        raise CiftError(
            "a worker process ended before it answered. In a script, call the sweep under `if __name__ == '__main__':`; "
            "where memory was short, use fewer workers; executor=1 runs all trials in this process"
        ) from error
    except BaseException:
        # Not waited for: each worker ends by itself at its run's next chunk.
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _scheduled(submit: Callable[[Sequence[Parameters]], Future[Any]], workers: int, tried: Sequence[Parameters]) -> Any:
    """Sends trials in tasks that grow to `TASK_SECONDS`, a few at a time, and cancels what has not begun when interrupted."""
    waiting = deque(enumerate(tried))
    running: dict[Future[Any], list[int]] = {}
    fastest_s = math.inf
    try:
        while waiting or running:
            while waiting and len(running) < TASKS_PER_WORKER * workers:
                wanted = 1 if fastest_s == math.inf else math.ceil(TASK_SECONDS / max(fastest_s, 1e-6))
                size = max(1, min(wanted, -(-len(waiting) // workers)))
                part = [waiting.popleft() for _ in range(size)]
                running[submit([parameters for _, parameters in part])] = [at for at, _ in part]
            # A bounded wait: an unbounded one cannot be interrupted on every platform.
            done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                places = running.pop(future)
                outcomes = future.result()
                fastest_s = min(fastest_s, *(outcome.elapsed_s for outcome in outcomes))
                yield from zip(places, outcomes, strict=True)
    finally:
        for future in running:
            future.cancel()
