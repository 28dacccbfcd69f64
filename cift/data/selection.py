"""What a view reads, as plain values that a saved run can hold, and the view again from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.domain.instrument import Instrument
from cift.errors import CatalogError, NoData, NotSupported

if TYPE_CHECKING:
    from cift.data.view import Feed, Ticks


def selection(ticks: Ticks) -> dict[str, Any]:
    """What a view reads: where (None for frames in memory), symbols, level, period, and each feed's intervals.

    Where is the catalog's folder, or the address of a server without name and password; of a table that CIFT did not make, its
    name and columns too.
    """
    folders: set[str | None] = set()
    feeds = []
    for feed in ticks.feeds:
        readers = getattr(feed, "readers", ())
        # <catalog>/<schema>/symbol=<S>/date=<D>/<file>
        folders.add(str(readers[0].path.parents[3]) if readers else getattr(feed, "address", None))
        intervals = [list(interval) for interval in getattr(feed, "intervals", ())]
        feeds.append({"symbol": feed.symbol, "schema": feed.schema, "intervals": intervals})
    adjusted = {feed.adjust for feed in ticks.feeds if hasattr(feed, "adjust")}
    tables = {str(told["table"]): dict(told) for feed in ticks.feeds if (told := getattr(feed, "told", None)) is not None}
    if len(tables) > 1:
        folders.add(None)
    return {
        **({"adjust": adjusted.pop()} if len(adjusted) == 1 else {}),
        "catalog": folders.pop() if len(folders) == 1 else None,
        "symbols": list(ticks.symbols),
        "level": ticks.level,
        "start_ns": ticks.start_ns,
        "end_ns": ticks.end_ns,
        "feeds": feeds,
        **({"of": tables.popitem()[1]} if len(tables) == 1 else {}),
    }


def reopen(selected: Mapping[str, Any], catalog: str | Path | None = None) -> Ticks:
    """The view that `selection` described, with what the catalog holds of it now.

    Args:
        catalog: where the data lies now, if not where it was: a folder, or `questdb://host:9000` (with name and password, if it
            asks for them: a saved run has none).
    Raises:
        CatalogError: where there is no catalog, or none was told.
        ServerDown: where it was read from a server that cannot be reached.
        NotSupported: prices were adjusted for corporate actions, and a server was told: it does not know them.
        UnknownSymbol, NoData: where it does not hold the symbols, or nothing of that period.
    """
    from cift.data.catalog import Catalog
    from cift.data.questdb import QuestDB

    folder = catalog if catalog is not None else selected["catalog"]
    if folder is None:
        raise CatalogError(
            "the run read frames that were in memory, or several tables, which nobody can find again; write them to a catalog and "
            "say where it is"
        )
    asked = (selected["symbols"], selected["start_ns"], selected["end_ns"])
    if str(folder).startswith("questdb://"):
        if selected.get("adjust") is not None:
            raise NotSupported(
                f"the run read prices adjusted for corporate actions (adjust={selected['adjust']!r}), which a server does not know; "
                "name the catalog that it was read from"
            )
        of = dict(selected.get("of", {}))
        if of.get("instrument") is not None:
            of["instrument"] = Instrument(**of["instrument"])
        view = QuestDB(str(folder)).ticks(*asked, level=selected["level"], **of)
    elif Path(folder).is_dir():
        view = Catalog(folder).ticks(*asked, level=selected["level"], adjust=selected.get("adjust"))
    else:
        raise CatalogError(f"there is no catalog at {folder}; say where the data lies now")
    wanted = {(feed["symbol"], feed["schema"]): feed["intervals"] for feed in selected["feeds"]}
    feeds: list[Feed] = []
    for found in view.feeds:
        feed: Any = found  # of a catalog: it has intervals
        intervals = wanted.get((feed.symbol, feed.schema))
        if intervals is None:
            continue
        cut = tuple((int(start), int(end)) for start, end in intervals)
        if not cut or cut == feed.intervals:
            feeds.append(feed)
        else:
            feeds.append(feed.cut(cut) if hasattr(feed, "cut") else replace(feed, intervals=cut))
    if not feeds:
        raise NoData(f"{folder} holds none of the records that the run read")
    return replace(view, feeds=tuple(feeds))
