"""`check`: looks at data and reports all that is wrong with it, where an import would refuse at the first."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.data.doctor.diagnosis import Diagnosis
from cift.data.doctor.examination import Examination, Part
from cift.data.doctor.sources import Origin, Reading, Trouble, files_below, is_catalog, of_catalog, of_tables, partition_of
from cift.data.importers.tables import Times, Where
from cift.data.reading import interval_of
from cift.data.screen import choose
from cift.data.times import TimeLike, time_range
from cift.domain.instrument import Instrument, Number
from cift.errors import CatalogError, InvalidParameter, NoData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog


def check(
    source: Any,
    symbol: str | None = None,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    *,
    schema: str | None = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str = "ns",
    timezone: str = "UTC",
    date: str | dt.date | None = None,
    names: Sequence[str] | None = None,
    delimiter: str = ",",
    where: Where | None = None,
    instrument: Instrument | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    calendar: str | None = None,
    policies: Mapping[str, str] | None = None,
    examples: int = 5,
) -> Diagnosis:
    """Looks at data and reports all that is wrong with it. Nothing is refused and nothing is changed.

    Rows are read a block at a time, so the data may be larger than memory.

    Args:
        source: a catalog, its folder, or a Parquet file in it; a Parquet or CSV file of quotes, trades or orders, a list of such
            files or a folder of them; or a frame.
        symbol: of a catalog: the one to look at, default all. Of files: what their rows are called.
        start, end: of a catalog: the period, `end` excluded; a lone date is that day.
        schema: "mbo", "mbp", "quotes", "trades" or "bars" (in a catalog of one spec `bars/spec=1m`); None: of a catalog all, of a
            file what its columns tell.
        columns, time_unit, timezone, date, names, delimiter, where: how a file is read, see `cift.data.importers.import_csv`.
        instrument: of files: grid and calendar; or tick_size=, lot_size= and calendar=. Without these the grid is the one that
            999 of 1,000 prices of the first block lie on, and a note says which.
        policies: kinds of `cift.data.screen` that are as they should be: `{"negative_price": "pass"}`.
        examples: how many rows of each kind are shown in full.

    Raises:
        DataError: a file's columns tell no schema, or one is missing. CatalogError: there is no such folder or file.
        UnknownSymbol: where the catalog does not hold the symbol.
        InvalidParameter: an argument that does not fit the source.

    Example:
        >>> import cift
        >>> from cift.data.doctor import check
        >>> check(cift.demo_catalog(), "DEMO.SIM").findings
        []
    """
    started = time.perf_counter()
    passed = {kind for kind, policy in choose(policies).items() if policy == "pass" and kind in (policies or {})}
    times = Times(time_unit, timezone, date)
    reading = Reading(schema, symbol, columns, times, names, delimiter, where, tick_size, lot_size, calendar, instrument)
    name, origins, troubles = opened(source, symbol, start, end, reading)
    quotes = {origin.symbol: origin for origin in origins if origin.schema == "quotes" and origin.folder is not None}
    parts = [
        examined(
            origin, quotes=quotes.get(origin.symbol) if origin.schema == "trades" else None, passed=passed, examples=examples
        )
        for origin in origins
    ]
    if troubles:
        parts = _with_troubles(parts, troubles, examples)
    return Diagnosis(name, tuple(parts), time.perf_counter() - started)


def opened(
    source: Any, symbol: str | None, start: TimeLike | None, end: TimeLike | None, reading: Reading
) -> tuple[str, list[Origin], list[Trouble]]:
    """A source by name, its series of rows, and what of it cannot be opened.

    Raises: as `check`.
    """
    start_ns, end_ns = time_range(start, end)
    interval = interval_of(start_ns, end_ns)
    catalog, only, schema = _catalog_of(source), None, reading.schema
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser().absolute()
        place = partition_of(path)
        if not path.exists():
            raise CatalogError(f"there is neither a file nor a folder at {source}")
        if place is not None:
            from cift.data.catalog import Catalog

            catalog, schema, symbol, only = Catalog(place[0]), *place[1:]
            assert only is not None
            if symbol not in catalog.symbols() or only not in catalog.days(place[1], str(symbol)):
                catalog, symbol = None, reading.symbol  # a foreign file that lies in a catalog's folder
            elif catalog.reader(place[1], str(symbol), only).path.name != path.name:
                catalog, symbol = None, reading.symbol
    if catalog is not None:
        origins, troubles = of_catalog(catalog, symbol, schema, interval, only=only)
        if not origins:
            what = f" of {schema}" if schema else ""
            raise NoData(f"{catalog.path} holds no rows{what}" + (f" of {symbol}" if symbol else ""))
        return str(source if isinstance(source, (str, Path)) else catalog.path), origins, troubles
    if start is not None or end is not None:
        raise InvalidParameter("start and end are for catalogs; a file is looked at as a whole")
    given, name = _files_of(source)
    origins, troubles = of_tables(given, reading)
    return name, origins, troubles


def _catalog_of(source: Any) -> Catalog | None:
    from cift.data.catalog import Catalog

    if isinstance(source, Catalog):
        return source
    if isinstance(source, (str, Path)) and is_catalog(Path(source).expanduser()):
        return Catalog(source)
    return None


def _files_of(source: Any) -> tuple[list[Any], str]:
    if isinstance(source, (list, tuple)):
        if not source:
            raise InvalidParameter("no files were given")
        return list(source), ", ".join(Path(each).name for each in source[:3]) + (", ..." if len(source) > 3 else "")
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        return (list(files_below(path)), str(source)) if path.is_dir() else ([path], str(source))
    return [source], "frame"


def examined(origin: Origin, *, quotes: Origin | None = None, passed: set[str] | None = None, examples: int = 5) -> Part:
    """All that is wrong with one series of rows."""
    examination = Examination(
        origin.symbol,
        origin.schema,
        origin.instrument,
        passed=passed or (),
        own_sequence=origin.own_sequence,
        quotes=None if quotes is None else quotes.batches(),
        interval=origin.interval,
        name=origin.name,
        examples=examples,
    )
    examination.book.notes += origin.notes
    if origin.grid_inferred:
        examination.book.soften("off_tick", "warning")
        examination.book.soften("off_lot", "warning")
    for item in origin.read():
        if isinstance(item, Trouble):
            examination.book.add_text(item.kind, item.source, item.text)
        else:
            examination.look(item)
    return examination.finish()


def _with_troubles(parts: list[Part], troubles: list[Trouble], examples: int) -> list[Part]:
    """The parts with what was found about files before any row was read, as a part of its own."""
    from cift.data.frames import DEFAULT_SYMBOL

    schema = parts[0].schema if parts else "trades"
    examination = Examination(parts[0].symbol if parts else DEFAULT_SYMBOL, schema, None, examples=examples)  # type: ignore[arg-type]
    for trouble in troubles:
        examination.book.add_text(trouble.kind, trouble.source, trouble.text)
    return [*parts, examination.finish()]
