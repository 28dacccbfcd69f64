"""`cift data`: import, list, describe, verify, load and export."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.cli.output import print_json
from cift.errors import CatalogError, InvalidParameter

if TYPE_CHECKING:
    from cift.data.catalog import Catalog
    from cift.data.report import ImportReport


def opened(path: Path) -> Catalog:
    """The catalog in a folder that is there.

    Raises:
        CatalogError: where it is not.
    """
    from cift.data.catalog import Catalog

    if not path.expanduser().is_dir():
        raise CatalogError(f"there is no catalog at {path}; `cift data import` makes one")
    return Catalog(path)


def parse_pairs(texts: Sequence[str] | None, option: str, form: str, example: str) -> list[tuple[str, str]]:
    """What stands left and right of the = of an option that may be repeated.

    Raises:
        InvalidParameter: where one is written otherwise.
    """
    pairs = [text.partition("=") for text in texts or ()]
    wrong = [left for left, equals, right in pairs if not (left and equals and right)]
    if wrong:
        raise InvalidParameter(f"{option} {wrong[0]} is not {form}; write for example {option} {example}")
    return [(left, right) for left, _, right in pairs]


def parse_policies(texts: Sequence[str] | None) -> dict[str, str]:
    """The choices of `--policy KIND=POLICY`.

    Raises:
        InvalidParameter: where one is written otherwise.
    """
    return dict(parse_pairs(texts, "--policy", "KIND=POLICY", "duplicate=reject"))


def parse_columns(texts: Sequence[str] | None) -> dict[str, str]:
    """The columns of `--column OURS=THEIRS`.

    Raises:
        InvalidParameter: where one is written otherwise.
    """
    return dict(parse_pairs(texts, "--column", "OURS=THEIRS", "bid_price=BID"))


def parse_where(texts: Sequence[str] | None) -> dict[str, list[str]]:
    """The rows of `--where COLUMN=TEXT`; a column named again allows another text.

    Raises:
        InvalidParameter: where one is written otherwise.
    """
    where: dict[str, list[str]] = {}
    for column, text in parse_pairs(texts, "--where", "COLUMN=TEXT", "EX=N"):
        where.setdefault(column, []).append(text)
    return where


def imported(path: Path, import_into: Callable[[Catalog], ImportReport], as_json: bool) -> None:
    """Imports and prints what was met, kept and left aside."""
    from cift.data.catalog import Catalog

    report = import_into(Catalog(path))
    if as_json:
        print_json(_told(report))
    else:
        print(report)


def fetched(path: Path, fetch_into: Callable[[Catalog], list[ImportReport]], as_json: bool) -> None:
    """Fetches and prints what was met, kept and left aside of each day."""
    from cift.data.catalog import Catalog

    reports = fetch_into(Catalog(path))
    if as_json:
        print_json({"catalog": path, "days": [_told(report) for report in reports]})
    else:
        print("\n".join(map(repr, reports)))


def _told(report: ImportReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "symbol": report.symbol,
        "rows_read": report.rows_read,
        "rows_written": report.rows_written,
        "counts": report.counts,
        "elapsed_s": report.elapsed_s,
        "notes": report.notes,
        "quarantined": [row._asdict() for row in report.quarantine],
    }


def ls(path: Path, *, as_json: bool) -> None:
    """Prints one row per partition."""
    rows = opened(path).ls().to_dicts()
    if as_json:
        print_json({"catalog": path, "partitions": rows})
        return
    if not rows:
        print(f"{path} holds no data")
    wide = max((len(row["symbol"]) for row in rows), default=0)
    for row in rows:
        size = f"{row['bytes'] / 2**20:,.1f} MiB"
        schema = row["schema"] if row["spec"] is None else f"{row['schema']} {row['spec']}"
        print(f"{schema:<6}  {row['symbol']:<{wide}}  {row['date']}  {row['rows']:>12,} rows  {size:>12}")


def describe(path: Path, symbol: str | None, *, as_json: bool) -> None:
    """Prints what is stored of one symbol, or of all."""
    catalog = opened(path)
    names = [symbol] if symbol is not None else catalog.symbols()
    found = [catalog.describe(name) for name in names]
    if as_json:
        print_json({"catalog": path, "symbols": found})
        return
    if not found:
        print(f"{path} holds no data")
    for one in found:
        print("\n".join(_described(one)))


def _described(one: dict[str, Any]) -> list[str]:
    steps = ", ".join(f"{name} {value}" for name, value in one["instrument"].items() if name != "symbol" and value is not None)
    lines = [one["symbol"], f"  {steps}"]
    for schema, held in one["schemas"].items():
        lines.append(
            f"  {schema:<6}  {held['days']} day{'s' * (held['days'] != 1)}, {held['rows']:,} rows, "
            f"{held['first']} to {held['last']}, values {held['content_hash'][:16]}"
        )
    return lines


def actions(path: Path, add: Path | None, *, as_json: bool) -> None:
    """Stores corporate actions of a file, where one is given, and prints those that the catalog holds."""
    catalog = opened(path)
    if add is not None:
        catalog.write_actions(add)
    rows = catalog.actions().to_dicts()
    if as_json:
        print_json({"catalog": path, "actions": rows})
        return
    if not rows:
        print(f"{path} holds no corporate actions")
    for row in rows:
        what = f"split {row['ratio']}" if row["kind"] == "split" else f"dividend {row['amount']} {row['currency']}"
        print(f"{row['symbol']}  {row['ex_date']}  {what}")


def load(
    path: Path,
    to: str,
    symbols: Sequence[str] | None,
    start: str | None,
    end: str | None,
    *,
    by: str | None,
    resend: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Loads a catalog into a server and prints what was sent."""
    from cift.data.questdb import QuestDB

    report = QuestDB(to, timeout=timeout).load(opened(path), symbols or None, start, end, by=by, resend=resend)
    if as_json:
        print_json({"catalog": path, **asdict(report)})
    else:
        print(report)


def export(path: Path, to: str, *, as_json: bool, **choices: Any) -> None:
    """Writes rows of a catalog as one file and prints what was written."""
    report = opened(path).export(to, **choices)
    if as_json:
        print_json({"catalog": path, **asdict(report)})
    else:
        print(report)


def verify(path: Path, *, as_json: bool) -> bool:
    """Reads every file; whether all are what was written."""
    catalog = opened(path)
    count, damages = catalog.damages()
    if as_json:
        error = str(damages[0]) if damages else None
        print_json({"catalog": path, "ok": not damages, "partitions": count, "error": error, "damaged": [*map(str, damages)]})
    elif damages:
        for damage in damages:
            print(f"damaged: {damage}", file=sys.stderr)
        print(f"{path}: {len(damages)} of {count} partition{'s' * (count != 1)} damaged", file=sys.stderr)
    else:
        print(f"{path}: {count} partition{'s' * (count != 1)} read in full, every byte and value as written")
    return not damages
