"""`cift run`: one strategy over a catalog or a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from cift.backtest import Backtest, Result
from cift.cli.output import print_json, result_json
from cift.cli.strategies import load_strategy, parse_parameters
from cift.errors import CatalogError, InvalidParameter
from cift.sim.venue import Fees, Venue

if TYPE_CHECKING:
    from cift.data.catalog import Catalog
    from cift.data.questdb import QuestDB
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
    """The view that CATALOG[:SYMBOL[,SYMBOL]] or questdb://HOST:PORT/SYMBOL[,SYMBOL] names; `demo` is the demo market.

    Raises:
        CatalogError: where there is no catalog, or it is not said which of its symbols.
        ServerDown: where the server cannot be reached.
    """
    from cift.data.catalog import Catalog
    from cift.data.demo import demo_catalog

    if text.startswith("questdb://"):
        return _of_server(text, start, end, level)
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
    return folder, _names(names, "CATALOG:SYMBOL")


def _names(text: str, form: str) -> list[str]:
    symbols = [name.strip() for name in text.split(",")]
    if not all(symbols):
        raise InvalidParameter(f"--data names an empty symbol; write {form} or {form},SYMBOL")
    return symbols


def _of_server(text: str, start: str | None, end: str | None, level: str | None) -> Ticks:
    """The symbols stand where an address has its path, so that they are read apart from the port; `%2C` is a comma in one."""
    from cift.data.questdb import QuestDB

    parts = urlsplit(text)
    server = QuestDB(urlunsplit(parts._replace(path="")))
    # What is shown of an address has no password.
    shown = str(server.server.address).partition("?")[0]
    path = parts.path.removeprefix("/")
    symbols = [unquote(name) for name in _names(path, f"{shown}/SYMBOL")] if path else [_only_symbol(server, shown, "/")]
    return server.ticks(symbols, start, end, level=level)


def _only_symbol(source: Catalog | QuestDB, where: str, mark: str = ":") -> str:
    symbols = source.symbols()
    if len(symbols) != 1:
        held = ", ".join(symbols) if symbols else "no data"
        raise CatalogError(f"{where} holds {held}; say which symbol, as in --data {where}{mark}{(symbols or ['SYMBOL'])[0]}")
    return symbols[0]
