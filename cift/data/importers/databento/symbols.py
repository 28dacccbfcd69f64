"""Whose records a DBN file holds: instrument ids and the symbols that they stand for, from day to day."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from cift.data.columns import Array
from cift.data.importers.databento.file import NO_PRICE, PRICE_DECIMALS, Source
from cift.errors import NotSupported, UnknownName


@dataclass
class Held:
    """What a file holds of one symbol."""

    raw_symbol: str
    symbol: str
    rows: int = 0
    decimals: int = 0
    """The decimals that its prices need."""
    publishers: set[int] = field(default_factory=set)


def times_of_receipt(records: Array) -> Array:
    """`ts_recv`, by which files are ordered and cut, or `ts_event` where there is none."""
    if "ts_recv" not in (records.dtype.names or ()):
        return records["ts_event"].view("i8")
    received = records["ts_recv"].view("i8")
    return np.where(received == -1, records["ts_event"].view("i8"), received)


def by_symbol(source: Source, records: Array) -> Iterator[tuple[str, Array]]:
    """The raw symbols of some records, each with the mask of its rows; an id without a symbol is its own."""
    ids, times = records["instrument_id"], times_of_receipt(records)
    first, last = int(times.min()), int(times.max())
    one = int(ids[0]) if ids.min() == ids.max() else None
    left = np.ones(len(records), dtype=bool)
    masks: dict[str, Array] = {}
    for span in source.intervals:
        if span.start_ns > last or span.end_ns <= first or one not in (None, span.instrument_id):
            continue
        mask = left & (ids == span.instrument_id) & (times >= span.start_ns) & (times < span.end_ns)
        if mask.any():
            left &= ~mask
            masks[span.raw_symbol] = masks[span.raw_symbol] | mask if span.raw_symbol in masks else mask
    for number in np.unique(ids[left]):
        masks[str(number)] = left & (ids == number)
    yield from masks.items()


def survey(source: Source) -> dict[str, Held]:
    """Reads a file to see what it holds, by raw symbol, sorted."""
    held: dict[str, Held] = {}
    assert source.kind is not None
    for _, records in source.records():
        for raw_symbol, mask in by_symbol(source, records):
            one = held.setdefault(raw_symbol, Held(raw_symbol, f"{raw_symbol}.{source.venue}"))
            rows = records if mask.all() else records[mask]
            one.rows += len(rows)
            one.publishers.update(np.unique(rows["publisher_id"]).tolist())
            for name in source.kind.prices:
                prices = rows[name][rows[name] != NO_PRICE]
                while one.decimals < PRICE_DECIMALS and (prices % 10 ** (PRICE_DECIMALS - one.decimals)).any():
                    one.decimals += 1
    return dict(sorted(held.items()))


def pick(source: Source, held: Mapping[str, Held], symbol: str | None) -> list[Held]:
    """The symbols to import.

    Raises:
        UnknownName: `symbol` is none of them. NotSupported: one has several books.
    """
    picked = [one for one in held.values() if symbol in (None, one.raw_symbol, one.symbol)]
    if not picked:
        names = [one.symbol for one in held.values()]
        near = difflib.get_close_matches(str(symbol), names, n=1) or names[:1]
        listing = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise UnknownName(f"{source.name} holds no {symbol}; it holds {listing}; did you mean {near[0]}?")
    if source.schema == "trades" or (source.kind is not None and source.kind.consolidated):
        return picked
    for one in picked:
        if len(one.publishers) > 1:
            raise NotSupported(
                f"{source.name} holds {one.symbol} of {len(one.publishers)} publishers, a book each; ask the vendor for one venue"
            )
    return picked
