"""The `cift` command: its subcommands, and how errors leave it."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from cift.errors import CiftError, InvalidParameter

FINE, NOT_SO, WRONG_USE = 0, 1, 2
"""The exit codes: fine; the thing asked about is not so, or the strategy raised; wrong use, or data that cannot be used."""

app = typer.Typer(
    name="cift",
    help="Backtest strategies on a real matching engine, and check what was saved.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(
    help="Import market data into a catalog, look after it, load it into a server, export it.", no_args_is_help=True
)
import_app = typer.Typer(help="Import a vendor's files.", no_args_is_help=True)
fetch_app = typer.Typer(help="Download market data that exchanges give away, and import it.", no_args_is_help=True)
app.add_typer(data_app, name="data")
data_app.add_typer(fetch_app, name="fetch")
data_app.add_typer(import_app, name="import")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object with documented keys (docs/cli.md).")]
CatalogPath = Annotated[Path, typer.Argument(metavar="CATALOG", help="Folder of the catalog.")]
Policies = Annotated[
    list[str] | None, typer.Option(metavar="KIND=POLICY", help="What becomes of one kind of bad row: duplicate=reject.")
]
Symbol = Annotated[str, typer.Option(help="What to store it as, with its venue: AAPL.XNAS.")]
TickSize = Annotated[str | None, typer.Option(help="The finest step of prices; default: as stored, or inferred.")]
LotSize = Annotated[str | None, typer.Option(help="The finest step of sizes; default: as stored, or inferred.")]
Size = Annotated[str | None, typer.Option(help="The size of each side of quotes that state none.")]
To = Annotated[Path, typer.Option("--to", metavar="CATALOG", help="Folder of the catalog; it is made if need be.")]


def _version(asked: bool) -> None:
    if asked:
        from cift import __version__

        typer.echo(f"cift {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Backtest strategies on a real matching engine, and check what was saved."""


@app.command("run")
def run_command(
    strategy: Annotated[str, typer.Argument(metavar="FILE.py:Class", help="The strategy.")],
    data: Annotated[
        str,
        typer.Option(
            help="CATALOG[:SYMBOL[,SYMBOL]], demo, or questdb://HOST:PORT/SYMBOL[,SYMBOL].", metavar="CATALOG[:SYMBOL]"
        ),
    ],
    start: Annotated[str | None, typer.Option(help="Date or ISO time, UTC; a lone date is that day.")] = None,
    end: Annotated[str | None, typer.Option(help="Date or ISO time, excluded.")] = None,
    level: Annotated[str | None, typer.Option(help="L3, L2 or L1; default: the richest stored.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ] = None,
    cash: Annotated[float, typer.Option(help="Starting cash.")] = 1_000_000.0,
    latency: Annotated[str, typer.Option(help="Order entry and response, such as 250us.")] = "0ns",
    maker_bps: Annotated[float, typer.Option(help="Fee of fills that rested, in basis points.")] = 0.0,
    taker_bps: Annotated[float, typer.Option(help="Fee of fills that took, in basis points.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the strategy's random numbers.")] = 0,
    clock_offset: Annotated[str | None, typer.Option(help="Added to times of receipt; a span of time, or fit.")] = None,
    save: Annotated[Path | None, typer.Option(help="Save the run, for `cift verify`.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the tear sheet, one HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Run a strategy over a catalog and print its figures."""
    from cift.cli.run import Job, run_job

    job = Job(
        strategy=strategy,
        data=data,
        start=start,
        end=end,
        level=level,
        parameters=tuple(parameter or ()),
        cash=cash,
        latency=latency,
        maker_bps=maker_bps,
        taker_bps=taker_bps,
        seed=seed,
        clock_offset=clock_offset,
    )
    run_job(job, save=save, report=report, as_json=as_json)


@app.command("verify")
def verify_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A saved run.")],
    strategy: Annotated[
        str | None, typer.Option(metavar="FILE.py:Class", help="Where the strategy is now, if not where it was.")
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="CATALOG", help="Where the data is now, if not where it was.")] = None,
    as_json: Json = False,
) -> None:
    """Run a saved run again and compare the digest; exit code 0 where it is equal, 1 where it differs."""
    from cift.cli.verify import verify

    raise typer.Exit(FINE if verify(run, strategy=strategy, data=data, as_json=as_json) else NOT_SO)


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Where to write the tear sheet.")] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Trade a moving average cross over a day of a synthetic market, explain a fill, and write a report."""
    from cift.cli.demo import demo

    demo(out, as_json=as_json)


@app.command("bench")
def bench_command(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rows and repeats.")] = False,
    only: Annotated[str | None, typer.Option(help="Only the rows whose name contains this.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the kernels of daily work on this machine: claim, figure and ratio."""
    from cift.cli.bench import bench

    bench(quick=quick, only=only, as_json=as_json)


@data_app.command("ls")
def data_ls(catalog: CatalogPath, as_json: Json = False) -> None:
    """List the partitions of a catalog."""
    from cift.cli.data import ls

    ls(catalog, as_json=as_json)


@data_app.command("describe")
def data_describe(
    catalog: CatalogPath,
    symbol: Annotated[str | None, typer.Argument(help="One symbol; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Say what is stored of a symbol: instrument, days, rows, times, hashes."""
    from cift.cli.data import describe

    describe(catalog, symbol, as_json=as_json)


@data_app.command("actions")
def data_actions(
    catalog: CatalogPath,
    *,
    add: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet: symbol, ex_date, kind, ratio or amount; stored first.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List splits and dividends; those of a symbol in FILE replace what was stored of it."""
    from cift.cli.data import actions

    actions(catalog, add, as_json=as_json)


@data_app.command("verify")
def data_verify(catalog: CatalogPath, as_json: Json = False) -> None:
    """Read every file in full and compare it with the manifests; exit code 1 at a difference."""
    from cift.cli.data import verify

    raise typer.Exit(FINE if verify(catalog, as_json=as_json) else NOT_SO)


@data_app.command("check")
def data_check(
    source: Annotated[str, typer.Argument(metavar="PATH|SYMBOL", help="A catalog, a file, a folder of files; or a symbol.")],
    *,
    catalog: Annotated[Path | None, typer.Option(metavar="CATALOG", help="Where the symbol is stored.")] = None,
    symbol: Annotated[
        str | None, typer.Option(help="Of a catalog: only this one. Of a file: what its rows are called.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Of a catalog: date or ISO time; alone it is that day.")] = None,
    end: Annotated[str | None, typer.Option(help="Of a catalog: date or ISO time, excluded.")] = None,
    schema: Annotated[
        str | None, typer.Option(help="mbo, mbp, quotes, trades or bars; default: what the columns tell.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS", help="The file's name of a column: bid_price=BID.")
    ] = None,
    time_unit: Annotated[str, typer.Option(help="Of times that are numbers: ns, us, ms or s.")] = "ns",
    timezone: Annotated[str, typer.Option(help="Of times that name no zone.")] = "UTC",
    date: Annotated[str | None, typer.Option(help="The day, where times are counted from midnight.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="COLUMN=TEXT", help="Rows to look at: EX=N.")] = None,
    names: Annotated[str | None, typer.Option(metavar="A,B,C", help="The columns of a CSV file without a header.")] = None,
    delimiter: Annotated[str, typer.Option(help="What stands between two columns of CSV.")] = ",",
    tick_size: Annotated[str | None, typer.Option(help="Of a file: the finest step of prices; default: a guess.")] = None,
    lot_size: Annotated[str | None, typer.Option(help="Of a file: the finest step of sizes; default: a guess.")] = None,
    calendar: Annotated[str | None, typer.Option(help="Of a file: when it trades, such as XNYS; default: 24/7.")] = None,
    policy: Annotated[
        list[str] | None, typer.Option(metavar="KIND=pass", help="A kind that is as it should be: negative_price=pass.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report with its picture, one HTML file.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Write a mended copy; the original is never touched.")] = False,
    to: Annotated[Path | None, typer.Option("--to", metavar="NEW", help="Where the mended copy goes.")] = None,
    as_json: Json = False,
) -> None:
    """Look at data and report all that is wrong with it; exit code 1 at warnings, 2 at errors."""
    from cift.cli.data import parse_columns, parse_policies, parse_where
    from cift.cli.doctor import check

    reading: dict[str, Any] = {"symbol": symbol, "start": start, "end": end, "schema": schema, "delimiter": delimiter}
    reading |= {"columns": parse_columns(column) or None, "time_unit": time_unit, "timezone": timezone, "date": date}
    reading |= {"where": parse_where(where) or None, "names": None if names is None else names.split(",")}
    reading |= {"tick_size": tick_size, "lot_size": lot_size, "calendar": calendar, "policies": parse_policies(policy)}
    raise typer.Exit(check(source, catalog, reading, html=html, repair=repair, to=to, as_json=as_json))


@data_app.command("hash")
def data_hash(
    catalog: CatalogPath,
    symbol: Annotated[str, typer.Argument(help="Whose rows.")],
    start: Annotated[str | None, typer.Option(help="Date or ISO time; alone it is that day.")] = None,
    end: Annotated[str | None, typer.Option(help="Date or ISO time, excluded.")] = None,
    as_json: Json = False,
) -> None:
    """Print the hash of the values of any selection, schema by schema: equal rows have equal hashes."""
    from cift.cli.doctor import content_hash

    content_hash(catalog, symbol, start, end, as_json=as_json)


@data_app.command("delete")
def data_delete(
    catalog: CatalogPath,
    symbol: Annotated[str, typer.Argument(help="Whose rows.")],
    start: Annotated[str | None, typer.Option(help="Date or ISO time; alone it is that day; neither: all.")] = None,
    end: Annotated[str | None, typer.Option(help="Date or ISO time, excluded.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete the rows of a symbol in a period; days that it cuts are written anew without them."""
    from cift.cli.doctor import delete

    raise typer.Exit(FINE if delete(catalog, symbol, start, end, yes=yes, as_json=as_json) else NOT_SO)


@data_app.command("consolidate")
def data_consolidate(
    catalog: CatalogPath,
    symbol: Annotated[str | None, typer.Option(help="Only this one; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Write days of many small row groups anew, remove what killed writers left, and name files that are not the catalog's."""
    from cift.cli.doctor import consolidate

    consolidate(catalog, symbol, as_json=as_json)


@data_app.command("load")
def data_load(
    catalog: CatalogPath,
    *,
    to: Annotated[str, typer.Option("--to", metavar="questdb://HOST:PORT", help="The server; ?pg=PORT where it is not 8812.")],
    symbol: Annotated[list[str] | None, typer.Option(help="May be repeated; default: all.")] = None,
    start: Annotated[str | None, typer.Option(help="First day; alone it is that day.")] = None,
    end: Annotated[str | None, typer.Option(help="The day after the last.")] = None,
    by: Annotated[str | None, typer.Option(help="ilp or parquet; default: the faster one that works.")] = None,
    resend: Annotated[bool, typer.Option("--resend", help="Send days that the server holds, too.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a server that is slow or away.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Load days of a catalog into QuestDB; it may be broken off and called again, no row is ever there twice."""
    from cift.cli.data import load

    load(catalog, to, symbol, start, end, by=by, resend=resend, timeout=timeout, as_json=as_json)


@fetch_app.command("binance")
def fetch_binance_command(
    symbol: Annotated[str, typer.Argument(help="As Binance calls it: BTCUSDT.")],
    start: Annotated[str, typer.Argument(metavar="DAY", help="The day, or the first of several.")],
    *,
    to: To,
    end: Annotated[str | None, typer.Option(help="The day after the last.")] = None,
    kind: Annotated[str, typer.Option(help="trades, aggTrades, bookTicker (futures) or klines.")] = "trades",
    market: Annotated[str, typer.Option(help="spot, um (USD-M futures) or cm (COIN-M futures).")] = "spot",
    interval: Annotated[str, typer.Option(help="Of klines: 1m, 1h, 1d.")] = "1m",
    keep: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep the downloaded files here.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="A copy of the archive; default: CIFT_BINANCE_URL, or Binance's.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a server that is slow or away.")] = 30.0,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Download days of Binance's public archive, check and import them."""
    from cift.cli.data import fetched, parse_policies
    from cift.data.download import Patience
    from cift.data.fetch import fetch_binance

    options: dict[str, Any] = {"kind": kind, "market": market, "interval": interval, "keep": keep, "base_url": base_url}
    options |= {"tick_size": tick_size, "lot_size": lot_size, "policies": parse_policies(policy)}
    options["patience"] = Patience(timeout_s=timeout)
    fetched(to, lambda catalog: fetch_binance(catalog, symbol, start, end, **options), as_json)


@data_app.command("export")
def export_command(
    catalog: CatalogPath,
    *,
    to: Annotated[str, typer.Option(metavar="FILE", help=".parquet, .csv, .jsonl or .dbn; then .gz or .zst.")],
    symbol: Annotated[str | None, typer.Option(help="May be left out where the catalog holds one.")] = None,
    schema: Annotated[
        str | None, typer.Option(help="mbo, mbp, quotes, trades or bars/1m; may be left out where there is one.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Date or ISO time, UTC; a lone date is that day.")] = None,
    end: Annotated[str | None, typer.Option(help="Date or ISO time, excluded.")] = None,
    format: Annotated[  # noqa: A002 (the name of the option)
        str | None, typer.Option(help="parquet, csv, jsonl, dbn or dbn-csv, where the name does not say it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write rows of one symbol as a file for other tools."""
    from cift.cli.data import export

    choices: dict[str, Any] = {"symbol": symbol, "schema": schema, "start": start, "end": end, "format": format}
    export(catalog, to, as_json=as_json, overwrite=overwrite, **choices)


@import_app.command("lobster")
def import_lobster_command(
    messages: Annotated[Path, typer.Argument(help="The message file; may end in .zst, .gz or .xz.")],
    orderbook: Annotated[Path | None, typer.Argument(help="The order book file, whose first row seeds the book.")] = None,
    *,
    to: To,
    symbol: Annotated[str, typer.Option(help="With its venue: AAPL.XNAS.")],
    date: Annotated[str | None, typer.Option(help="The day in New York; default: from the file's name.")] = None,
    tick_size: Annotated[str | None, typer.Option(help="The finest step of orders; default: as stored, or 0.01.")] = None,
    price_increment: Annotated[str | None, typer.Option(help="The grid of displayed orders, where coarser.")] = None,
    lot_size: Annotated[str | None, typer.Option(help="The finest step of sizes; default: as stored, or 1.")] = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import one day of LOBSTER messages."""
    from cift.cli.data import imported, parse_policies
    from cift.data.importers import import_lobster

    steps: dict[str, Any] = {"tick_size": tick_size, "price_increment": price_increment, "lot_size": lot_size}
    steps["policies"] = parse_policies(policy)
    imported(to, lambda catalog: import_lobster(catalog, messages, orderbook, symbol=symbol, date=date, **steps), as_json)


@import_app.command("bitstamp")
def import_bitstamp_command(
    log: Annotated[Path, typer.Argument(help="The log of the order feed; may end in .xz, .gz or .zst.")],
    *,
    to: To,
    symbol: Annotated[str, typer.Option(help="What to store it as.")] = "BTCUSD.BITSTAMP",
    tick_size: Annotated[str | None, typer.Option(help="The step of prices; default: as stored, or 0.01.")] = None,
    lot_size: Annotated[str | None, typer.Option(help="The step of amounts; default: as stored, or 0.00000001.")] = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import a log of Bitstamp's order feed."""
    from cift.cli.data import imported, parse_policies
    from cift.data.importers import import_bitstamp

    steps: dict[str, Any] = {"tick_size": tick_size, "lot_size": lot_size, "policies": parse_policies(policy)}
    imported(to, lambda catalog: import_bitstamp(catalog, log, symbol=symbol, **steps), as_json)


@import_app.command("databento")
def import_databento_command(
    file: Annotated[Path, typer.Argument(help="A DBN file of orders, levels, quotes, trades, bars or definitions.")],
    *,
    to: To,
    symbol: Annotated[str | None, typer.Option(help="One of the file's symbols; default: all.")] = None,
    definitions: Annotated[Path | None, typer.Option(help="A DBN file of definitions, for the ticks.")] = None,
    tick_size: Annotated[str | None, typer.Option(help="The finest step of prices.")] = None,
    lot_size: Annotated[str | None, typer.Option(help="The finest step of sizes.")] = None,
    multiplier: Annotated[str | None, typer.Option(help="Currency per point of price and contract.")] = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import a file of Databento."""
    from cift.cli.data import imported, parse_policies
    from cift.data.importers import import_databento

    steps: dict[str, Any] = {"tick_size": tick_size, "lot_size": lot_size, "multiplier": multiplier}
    steps |= {"definitions": definitions, "policies": parse_policies(policy)}
    imported(to, lambda catalog: import_databento(catalog, file, symbol=symbol, **steps), as_json)


@import_app.command("table")
def import_table_command(
    file: Annotated[Path, typer.Argument(help="A Parquet file (.parquet), or CSV; that may end in .gz, .zst, .xz or .zip.")],
    *,
    to: To,
    schema: Annotated[str, typer.Option(help="quotes, trades, mbp or bars.")],
    symbol: Symbol,
    spec: Annotated[str | None, typer.Option(help="Of bars, what ended them: 1m, 1d.")] = None,
    stamp: Annotated[str, typer.Option(help="Of bars with one time, which end it is: open or close.")] = "open",
    calendar: Annotated[str, typer.Option(help="Of the instrument: XNYS; its daily bars are sessions.")] = "24/7",
    column: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS", help="The file's name of a column: bid_price=BID.")
    ] = None,
    time_unit: Annotated[str, typer.Option(help="Of times that are numbers: ns, us, ms or s.")] = "ns",
    timezone: Annotated[str, typer.Option(help="Of times that name no zone.")] = "UTC",
    date: Annotated[str | None, typer.Option(help="The day, where times are counted from midnight.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="COLUMN=TEXT", help="Rows to keep: EX=N.")] = None,
    names: Annotated[str | None, typer.Option(metavar="A,B,C", help="The columns of a CSV file without a header.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="What stands between two columns of CSV.")] = None,
    size: Size = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import a CSV or Parquet file of quotes, trades, levels or bars, by the names of its columns."""
    from cift.cli.data import imported, parse_columns, parse_policies, parse_where
    from cift.data.importers import import_csv, import_parquet

    steps: dict[str, Any] = {"tick_size": tick_size, "lot_size": lot_size, "size": size, "policies": parse_policies(policy)}
    steps |= {"columns": parse_columns(column), "time_unit": time_unit, "timezone": timezone, "date": date}
    steps |= {"schema": schema, "symbol": symbol, "where": parse_where(where)}
    steps |= {"spec": spec, "stamp": stamp, "calendar": calendar}
    if file.suffix == ".parquet":
        if names is not None or delimiter is not None:
            raise InvalidParameter("--names and --delimiter are for CSV; Parquet names its columns")
        imported(to, lambda catalog: import_parquet(catalog, file, **steps), as_json)
        return
    steps |= {"names": None if names is None else names.split(","), "delimiter": delimiter or ","}
    imported(to, lambda catalog: import_csv(catalog, file, **steps), as_json)


@import_app.command("taq")
def import_taq_command(
    file: Annotated[Path, typer.Argument(help="TAQ quotes or trades as CSV; may end in .gz, .zst, .xz or .zip.")],
    *,
    to: To,
    symbol: Symbol,
    exchange: Annotated[str | None, typer.Option(help="The letter of one exchange; quotes need it.")] = None,
    all_hours: Annotated[bool, typer.Option("--all-hours", help="Keep what is outside 09:30 to 16:00 in New York.")] = False,
    skip_conditions: Annotated[str, typer.Option(help="Letters of sale conditions to leave out.")] = "",
    tick_size: Annotated[str | None, typer.Option(help="The finest step of quotes; default: as stored, or 0.01.")] = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import TAQ quotes of one exchange, or trades."""
    from cift.cli.data import imported, parse_policies
    from cift.data.importers import import_taq

    options: dict[str, Any] = {"exchange": exchange, "skip_conditions": skip_conditions, "tick_size": tick_size}
    options |= {"policies": parse_policies(policy)} | ({"session": None} if all_hours else {})
    imported(to, lambda catalog: import_taq(catalog, file, symbol=symbol, **options), as_json)


@import_app.command("tardis")
def import_tardis_command(
    file: Annotated[Path, typer.Argument(help="Quotes, trades or books; may end in .gz, .zst, .xz or .zip.")],
    *,
    to: To,
    symbol: Annotated[str | None, typer.Option(help="What to store it as; default: the file's own with its exchange.")] = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import quotes, trades or books of Tardis."""
    from cift.cli.data import imported, parse_policies
    from cift.data.importers import import_tardis

    steps: dict[str, Any] = {"tick_size": tick_size, "lot_size": lot_size, "policies": parse_policies(policy)}
    imported(to, lambda catalog: import_tardis(catalog, file, symbol=symbol, **steps), as_json)


def _recordings(to: Path, importer: str, files: list[Path], as_json: bool, **options: Any) -> None:
    from cift.cli.data import imported, parse_policies
    from cift.data import importers

    options["policies"] = parse_policies(options.pop("policy"))
    imported(to, lambda catalog: getattr(importers, importer)(catalog, files, **options), as_json)


@import_app.command("binance")
def import_binance_command(
    files: Annotated[list[Path], typer.Argument(help="Recordings of websockets or CSV files, in the order of their times.")],
    *,
    to: To,
    symbol: Annotated[str | None, typer.Option(help="What to store it as; most CSV files do not tell it.")] = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import depth, best quotes and trades of Binance, or CSV files of its archive."""
    _recordings(to, "import_binance", files, as_json, symbol=symbol, tick_size=tick_size, lot_size=lot_size, policy=policy)


@import_app.command("bybit")
def import_bybit_command(
    files: Annotated[list[Path], typer.Argument(help="History files or recordings, in the order of their times.")],
    *,
    to: To,
    symbol: Annotated[str | None, typer.Option(help="What to store it as; default: the file's own with BYBIT.")] = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import order books and trades of Bybit."""
    _recordings(to, "import_bybit", files, as_json, symbol=symbol, tick_size=tick_size, lot_size=lot_size, policy=policy)


@import_app.command("hyperliquid")
def import_hyperliquid_command(
    files: Annotated[list[Path], typer.Argument(help="Recordings of websockets, in the order of their times.")],
    *,
    to: To,
    symbol: Annotated[str | None, typer.Option(help="What to store it as; default: the file's coin with HYPERLIQUID.")] = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import books and trades of Hyperliquid."""
    _recordings(to, "import_hyperliquid", files, as_json, symbol=symbol, tick_size=tick_size, lot_size=lot_size, policy=policy)


@import_app.command("lean")
def import_lean_command(
    file: Annotated[Path, typer.Argument(help="A day of ticks of currencies, .zip or .csv.")],
    *,
    to: To,
    symbol: Symbol,
    date: Annotated[str | None, typer.Option(help="The day; default: from the file's name.")] = None,
    timezone: Annotated[str, typer.Option(help="Whose midnight the times are counted from.")] = "UTC",
    size: Size = None,
    tick_size: TickSize = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import a day of LEAN's ticks of currencies."""
    from cift.cli.data import imported, parse_policies
    from cift.data.importers import import_lean

    options: dict[str, Any] = {"tick_size": tick_size, "policies": parse_policies(policy), "timezone": timezone, "date": date}
    options |= {} if size is None else {"size": size}
    imported(to, lambda catalog: import_lean(catalog, file, symbol=symbol, **options), as_json)


@import_app.command("truefx")
def import_truefx_command(
    file: Annotated[Path, typer.Argument(help="Ticks of one pair; may end in .gz, .zst, .xz or .zip.")],
    *,
    to: To,
    symbol: Symbol,
    size: Size = None,
    tick_size: TickSize = None,
    policy: Policies = None,
    as_json: Json = False,
) -> None:
    """Import ticks of TrueFX."""
    from cift.cli.data import imported, parse_policies
    from cift.data.importers import import_truefx

    options: dict[str, Any] = {"tick_size": tick_size, "policies": parse_policies(policy)}
    options |= {} if size is None else {"size": size}
    imported(to, lambda catalog: import_truefx(catalog, file, symbol=symbol, **options), as_json)


def main() -> None:
    """Runs the command and leaves with its exit code; an error is one sentence, with a traceback only where that helps."""
    if os.environ.get("CIFT_DEBUG") == "1":
        app()
        return
    try:
        app()
    except Exception as error:
        sys.exit(_tell(error))


def _tell(error: Exception) -> int:
    """Prints an error and returns the exit code."""
    from cift.cli.strategies import is_users_file

    frames = traceback.extract_tb(error.__traceback__)
    users = [at for at, frame in enumerate(frames) if is_users_file(frame.filename)]
    if users:
        # The frames of the package in front of the strategy's own say nothing about the strategy.
        print("Traceback (most recent call last):", file=sys.stderr)
        print("".join(traceback.format_list(frames[users[0] :])), end="", file=sys.stderr)
        print("".join(traceback.format_exception_only(error)).split("\nThe run ended here")[0].rstrip(), file=sys.stderr)
        return NOT_SO
    if isinstance(error, (CiftError, OSError)):
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    kind = type(error).__name__
    print(f"error: {kind}: {error}; this is a defect of cift, CIFT_DEBUG=1 shows where", file=sys.stderr)
    return WRONG_USE
