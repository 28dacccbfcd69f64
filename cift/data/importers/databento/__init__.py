"""Databento's files (DBN, versions 1 to 3, plain or zstd): orders, levels, best quotes, trades and bars.

What becomes of each schema:

| schema | records |
|---|---|
| mbo | `mbo`, row by row; the actions have the same letters. N ("no action") leaves no record |
| mbp-10 | each trade: `trades`; of each other record what it changed of ten levels a side: `mbp` |
| mbp-1, cmbp-1 | each trade: `trades`; each other record: `quotes` with both best levels |
| tbbo, tcbbo | each trade: `trades`, and `quotes` with the best levels just before it |
| bbo-1s, bbo-1m, cbbo-1s, cbbo-1m | `quotes`, as they were at the end of each second or minute; the last sale is left out |
| trades | `trades` |
| ohlcv-1s, -1m, -1h, -1d | `bars` of that spec: `ts_open` is the vendor's stamp, `ts_event` a length later |
| definition | instruments, see `cift.data.importers.definitions` |

Prices are whole numbers of 1e-9, divided once. Flags 128 (LAST), 32 (SNAPSHOT) and 8 (BAD_TS_RECV) are ours, 4 (the book may be
wrong after a gap) becomes SUSPECT, the vendor's other bits are dropped. LAST moves to the last record that an event leaves in
a schema; each print stands alone and carries it. `venue_seq` is the record's sequence; DBN has no trade ids.

**Times.** `ts_event` and `ts_recv` are kept, with two exceptions. A snapshot lists orders with the times at which they were
placed, perhaps days before: its records stand at the beginning of the day on which it was received, or at their own time
where that is later, and what was on its way meanwhile stands with them. Nothing stands before the day on which the file
begins. So a day's file is a day of the catalog, and replaces none before it. A sampled quote stands at the end of its second or
minute: the vendor gives it the time of the last trade, when it was not yet so.

**Symbols** are the file's own, with the venue of its dataset: ESM4 of GLBX.MDP3 is `ESM4.GLBX`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.data.bar_screen import screen_of
from cift.data.columns import Array, RawColumns
from cift.data.importers.databento.bars import bar_batches
from cift.data.importers.databento.file import KINDS, Source
from cift.data.importers.databento.instruments import Steps, definition_records, definitions_of
from cift.data.importers.databento.levels import LevelReader
from cift.data.importers.databento.records import Reader, SampledReader
from cift.data.importers.databento.symbols import Held, pick, survey
from cift.data.importers.definitions import import_definitions
from cift.data.manifest import Manifest, Partition
from cift.data.report import ImportReport, Tally
from cift.data.screen import Screen
from cift.data.stored_bars import Among
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument, Number
from cift.errors import InvalidParameter, NoData, NotSupported

if TYPE_CHECKING:
    from cift.data.catalog import Catalog
    from cift.data.writing import PartitionWriter

__all__ = ["definition_records", "import_databento"]


def import_databento(
    catalog: Catalog,
    file: str | Path,
    *,
    symbol: str | None = None,
    tick_size: Number | None = None,
    lot_size: Number | None = None,
    multiplier: Number | None = None,
    definitions: str | Path | None = None,
    policies: Mapping[str, str] | None = None,
) -> ImportReport:
    """Imports a DBN file of market data, and of one of definitions the instruments.

    The head of the module says which schemas there are and what they become.

    A file is read once to see what it holds, and once for each symbol and kind of record, a little at a time.

    Args:
        catalog: where to. Nothing is visible in it before the whole file has been read.
        file: the file; zstd is recognised by its content.
        symbol: one of the file's symbols, with or without its venue; None: all of them.
        tick_size: the finest step of prices; None: what the definitions say, what the catalog knows, or else the finest
            decimal step of the file's own prices, with a note.
        lot_size: the finest step of sizes; None: what the catalog knows, or 1.
        multiplier: currency per point of price and contract; None: what the definitions say, what the catalog knows, or 1.
        definitions: a DBN file of the schema definition, for ticks, currencies and multipliers.
        policies: what becomes of bad rows, where the defaults of `cift.data.screen` do not suit.

    Returns:
        The report; `counts` has every policy that acted, and the rows of each schema written.

    Raises:
        MissingExtra: without databento-dbn.
        NotSupported: a schema that holds no market data of ours (statistics, status, imbalance), or a later version of DBN.
        CorruptData: no DBN file, or a damaged one; the message names file and record. The catalog is as it was.
        DataError: a record that is rejected.
        UnknownName: the file does not hold `symbol`; the message lists what it holds.
        NoData: no records.
    """
    started = time.perf_counter()
    source = Source(Path(file))
    if source.schema == "definition":
        return _only_definitions(catalog, file, symbol, (tick_size, lot_size, multiplier, definitions, policies))
    if source.kind is None:
        raise NotSupported(_refusal(source))
    held = survey(source)
    if not held:
        raise NoData(f"{source.name} holds no records; nothing was written")
    wanted = pick(source, held, symbol)
    told = {} if definitions is None else definitions_of(Path(definitions), {one.raw_symbol for one in wanted})
    steps = Steps(tick_size, lot_size, multiplier, told, catalog.instruments())
    notes: list[str] = []
    tally = Tally(source.name)
    with catalog.writer() as writer:
        instruments = []
        seen: dict[Partition, Manifest | None] = {}
        for one in wanted:
            instrument = steps.instrument(one, notes)
            instruments.append(instrument)
            for schema in source.kind.schemas:
                screen = screen_of(schema, instrument, source.name, tally, policies)
                if schema == "bars":
                    seen |= _write_bars(catalog, writer, source, one, instrument, screen)
                else:
                    batches = _reader(source, one, schema, tally).batches()
                    writer.add(schema, instrument.symbol, _screened(screen, batches))
        if not writer.staged:
            raise NoData(f"no record of {source.name} passed; nothing was written")
        written = catalog.commit(writer, instruments, seen)
    for schema in source.kind.schemas:
        tally.counts[schema] = sum(manifest.rows for manifest in written if manifest.schema == schema)
    tally.counts["bars"] -= tally.counts["kept_beside"]
    names = [one.symbol for one in wanted]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    notes += _notes(source, tally)
    rows_read, rows_written = sum(one.rows for one in wanted), sum(manifest.rows for manifest in written)
    rows_written -= tally.counts["kept_beside"]
    return tally.report(shown, rows_read, rows_written, time.perf_counter() - started, tuple(notes))


def _only_definitions(catalog: Catalog, file: str | Path, symbol: str | None, others: tuple[Any, ...]) -> ImportReport:
    if any(other is not None and other != {} for other in others):
        raise InvalidParameter(
            f"{Path(file).name} holds definitions, which say themselves what a tick and a contract are; pass it with symbol= alone, "
            "or as definitions= beside a file of market data"
        )
    return import_definitions(catalog, file, symbol=symbol)


def _reader(source: Source, held: Held, schema: SchemaName, tally: Tally) -> Reader:
    assert source.kind is not None
    kind = LevelReader if schema == "mbp" else SampledReader if source.kind.sampled else Reader
    return kind(source, held, schema, tally)


def _screened(screen: Screen, batches: Iterator[tuple[Array, RawColumns]]) -> Iterator[RawColumns]:
    for rows, batch in batches:
        yield screen.check(batch, rows)
    screen.finish()


def _write_bars(
    catalog: Catalog, writer: PartitionWriter, source: Source, held: Held, instrument: Instrument, screen: Screen
) -> dict[Partition, Manifest | None]:
    """Stages the bars of one symbol among those that are stored; what was stored when they were looked at."""
    assert source.kind is not None
    assert source.kind.spec is not None
    among = Among(catalog, instrument.symbol, source.kind.spec)
    writer.add("bars", instrument.symbol, among.bars(_screened(screen, bar_batches(source, held))), source.kind.spec)
    screen.tally.counts["kept_beside"] += among.kept
    return among.seen


def _notes(source: Source, tally: Tally) -> list[str]:
    assert source.kind is not None
    notes = []
    if tally.counts["moved_in_time"]:
        notes.append(f"moved in time, to the snapshot or the midnight after: {tally.counts['moved_in_time']:,} records")
    if source.kind.sampled:
        notes.append(f"quotes as they were at the end of each {source.kind.sampled}; what stood between is not in the file")
    return notes


def _refusal(source: Source) -> str:
    return (
        f"{source.name} holds {source.schema or 'records of several schemas'}; supported are {', '.join(KINDS)}: "
        "the catalog has no schema for the others"
    )
