"""`cift data check`, `hash`, `delete` and `consolidate`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cift.cli.data import opened
from cift.cli.output import print_json
from cift.errors import CatalogError, InvalidParameter

if TYPE_CHECKING:
    from cift.data.doctor import Diagnosis

EXIT_CODES = {None: 0, "info": 0, "warning": 1, "error": 2}
"""By the gravest finding: as elsewhere, 1 is "not so", and 2 is data that cannot be used."""


def check(
    source: str,
    catalog: Path | None,
    reading: Mapping[str, Any],
    *,
    html: Path | None,
    repair: bool,
    to: Path | None,
    as_json: bool,
) -> int:
    """Looks at data, prints what was found, and mends a copy where asked to; the exit code.

    Raises:
        InvalidParameter: options that do not go together. CatalogError: there is no such file, folder or catalog.
    """
    from cift.data.doctor import check as check_data

    given: Any = source
    options = dict(reading)
    if catalog is not None:
        if options["symbol"] not in (None, source):
            raise InvalidParameter(f"the symbol was named twice: {source} and --symbol {options['symbol']}")
        given, options["symbol"] = opened(catalog).path, source
    elif not Path(source).expanduser().exists():
        raise CatalogError(f"there is neither a file nor a folder at {source}; for a symbol say --catalog CATALOG")
    if to is not None and not repair:
        raise InvalidParameter("--to is where --repair writes; pass both")
    diagnosis = check_data(given, **options)
    if html is not None:
        _write_page(diagnosis, html)
    code = EXIT_CODES[diagnosis.worst]
    printed = {**diagnosis.to_dict(), "exit_code": code, "html": html}
    mended = None
    if repair:
        from cift.data.doctor import repair as mend

        mended = mend(given, to, **options)
        printed |= {"repair": mended.to_dict()}
    if as_json:
        print_json(printed)
        return code
    print(diagnosis)
    if mended is not None:
        print(mended)
    if html is not None:
        print(f"report: {html}")
    return code


def _write_page(diagnosis: Diagnosis, path: Path) -> None:
    from cift.report.diagnosis import diagnosis_html

    path.write_text(diagnosis_html(diagnosis.to_dict(), diagnosis.pictures()), encoding="utf-8")


def content_hash(path: Path, symbol: str, start: str | None, end: str | None, *, as_json: bool) -> None:
    """Prints the hash of a selection, schema by schema."""
    hashes = opened(path).content_hash(symbol, start, end)
    if as_json:
        print_json({"catalog": path, "symbol": symbol, "start": start, "end": end, "content_hash": hashes})
        return
    for schema, value in hashes.items():
        print(f"{schema:<6}  {value}")


def delete(path: Path, symbol: str, start: str | None, end: str | None, *, yes: bool, as_json: bool) -> bool:
    """Deletes rows, after asking; whether it was done.

    Raises:
        InvalidParameter: without --yes where nobody can be asked.
    """
    catalog = opened(path)
    before = {schema: held["rows"] for schema, held in catalog.describe(symbol)["schemas"].items()}
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise InvalidParameter("deleting cannot be undone and nobody can be asked here; pass --yes")
        period = "all rows" if start is None and end is None else f"the rows from {start or 'the first'} to {end or 'its end'}"
        if not typer.confirm(f"delete {period} of {symbol} from {path}?"):
            print("nothing was deleted")
            return False
    partitions = catalog.delete(symbol, start, end)
    held = catalog.describe(symbol)["schemas"] if symbol in catalog.symbols() else {}
    after = {schema: held[schema]["rows"] if schema in held else 0 for schema in before}
    rows = sum(before.values()) - sum(after.values())
    if as_json:
        print_json(
            {"catalog": path, "symbol": symbol, "rows": rows, "partitions": partitions, "rows_left": sum(after.values())}
        )
    else:
        print(
            f"{symbol}: {rows:,} rows deleted, {partitions} partition{'s' * (partitions != 1)} touched; {sum(after.values()):,} left"
        )
    return True


def consolidate(path: Path, symbol: str | None, *, as_json: bool) -> None:
    """Prints what was written anew and what was found beside."""
    done = opened(path).consolidate(symbol)
    if as_json:
        print_json({"catalog": path, **done.to_dict()})
    else:
        print(done)
