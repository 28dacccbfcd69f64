"""`cift run`: one strategy over a catalog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cift.backtest import Backtest, Result
from cift.cli.output import print_json, result_json
from cift.cli.strategies import load_strategy, parse_parameters
from cift.errors import CatalogError, InvalidParameter
from cift.sim.venue import Fees, Venue

if TYPE_CHECKING:
    from cift.data.catalog import Catalog
    from cift.data.view import Ticks


@dataclass(frozen=True)
class Job:
    """What `cift run` was asked for, as it was typed."""

    strategy: str
    data: str
    start: str | None
    end: str | None
    level: str | None
    parameters: tuple[str, ...]
    cash: float
    latency: str
    maker_bps: float
    taker_bps: float
    seed: int
    clock_offset: str | None


def run_job(job: Job, *, save: Path | None, report: Path | None, as_json: bool) -> None:
    """Runs, saves and reports as asked, and prints the figures."""
    strategy = load_strategy(job.strategy)
    parameters = parse_parameters(strategy, job.parameters)
    strategy(**parameters)  # A misspelt parameter is told before any data is read.
    backtest = Backtest(
        open_data(job.data, job.start, job.end, job.level),
        strategy,
        cash=job.cash,
        venue=Venue(latency=job.latency, fees=Fees(maker_bps=job.maker_bps, taker_bps=job.taker_bps)),
        seed=job.seed,
        clock_offset=job.clock_offset,
    )
    result = backtest.run(**parameters)
    finish(result, save=save, report=report, as_json=as_json)


def finish(result: Result, *, save: Path | None, report: Path | None, as_json: bool) -> None:
    """Saves and reports as asked, and prints the figures."""
    if save is not None:
        result.save(save)
    if report is not None:
        result.tearsheet(report)
    if as_json:
        print_json(result_json(result, saved=save, report=report))
        return
    print(result)
    for what, path in (("saved", save), ("report", report)):
        if path is not None:
            print(f"{what} {path}")


def open_data(text: str, start: str | None, end: str | None, level: str | None) -> Ticks:
    """The view that CATALOG[:SYMBOL[,SYMBOL]] names; `demo` is the demo market.

    Raises:
        CatalogError: where there is no catalog, or it is not said which of its symbols.
    """
    from cift.data.catalog import Catalog
    from cift.data.demo import demo_catalog

    folder, symbols = _split(text)
    if folder == "demo" and not Path(folder).exists():
        catalog = demo_catalog()
    elif not Path(folder).expanduser().is_dir():
        raise CatalogError(f"there is no catalog at {folder}; `cift data import` makes one, and --data demo is there always")
    else:
        catalog = Catalog(folder)
    names = symbols or [_only_symbol(catalog, folder)]
    return catalog.ticks(names, start, end, level=level)


def _split(text: str) -> tuple[str, list[str]]:
    """Folder and symbols; the colon of a Windows drive is part of the folder."""
    folder, separator, names = text.rpartition(":")
    if not separator or len(folder) == 1 or "/" in names or "\\" in names:
        return text, []
    symbols = [name.strip() for name in names.split(",")]
    if not all(symbols):
        raise InvalidParameter(f"--data {text} names an empty symbol; write CATALOG:SYMBOL or CATALOG:SYMBOL,SYMBOL")
    return folder, symbols


def _only_symbol(catalog: Catalog, folder: str) -> str:
    symbols = catalog.symbols()
    if len(symbols) != 1:
        held = ", ".join(symbols) if symbols else "no data"
        raise CatalogError(f"{folder} holds {held}; say which symbol, as in --data {folder}:{(symbols or ['SYMBOL'])[0]}")
    return symbols[0]
