"""Rows without a fault, as a market might have them; each test spoils some."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from cift.data.columns import RawColumns
from cift.data.doctor import Part
from cift.data.doctor.casebook import Batch
from cift.data.doctor.examination import Examination
from cift.domain.instrument import Instrument
from cift.domain.schemas import ACTION_CODES, CHUNK_DTYPES, LAST, SIDE_CODES
from tests.data.market import ABC, MONDAY_NS, SYMBOL

START_NS = MONDAY_NS + 15 * 3_600 * 10**9
"""10:00 in New York."""
SECOND_NS = 10**9


def clean(schema: str, rows: int = 2_000, seed: int = 0, start_ns: int = START_NS) -> RawColumns:
    """A price that wanders by a cent, rows half a second apart, received a tenth of a millisecond later, numbered by the venue."""
    if schema == "mbo":
        return orders(rows, seed, start_ns)
    rng = np.random.default_rng(seed)
    cents = 10_000 + np.cumsum(rng.integers(-1, 2, rows))
    ts_event = start_ns + np.cumsum(rng.integers(1, SECOND_NS, rows))
    columns: dict[str, Any] = {
        "ts_event": ts_event,
        "ts_recv": ts_event + rng.integers(90_000, 110_000, rows),
        "bid_price": (cents - 1) / 100,
        "bid_size": rng.integers(1, 500, rows),
        "ask_price": (cents + 1) / 100,
        "ask_size": rng.integers(1, 500, rows),
        "price": cents / 100,
        "size": rng.integers(1, 500, rows),
        "aggressor": rng.choice([65, 66], rows),
        "trade_id": np.arange(1, rows + 1),
        "flags": np.full(rows, LAST),
        "sequence": np.arange(rows),
        "venue_seq": np.arange(100, 100 + rows),
    }
    return {name: columns[name].astype(dtype) for name, dtype in {**CHUNK_DTYPES[schema], "venue_seq": "int64"}.items()}


def orders(rows: int, seed: int = 0, start_ns: int = START_NS) -> RawColumns:
    """Orders that are added on either side of 100, grow or shrink, trade, and leave; every row is an event of its own."""
    rng = np.random.default_rng(seed)
    live: dict[int, tuple[str, int, int]] = {}
    records: list[tuple[str, str, int, int, int]] = []
    waiting: list[tuple[str, str, int, int, int]] = []
    for number in range(rows):
        if waiting:
            records.append(waiting.pop(0))
            continue
        choice = rng.random()
        if len(live) < 20 or choice < 0.5:
            side = "bid" if rng.random() < 0.5 else "ask"
            price = 10_000 + int(rng.integers(1, 30)) * (-1 if side == "bid" else 1)
            live[number + 1] = side, price, int(rng.integers(2, 100))
            records.append(("add", side, price, live[number + 1][2], number + 1))
            continue
        order = int(rng.choice(list(live)))
        side, price, size = live.pop(order)
        if choice < 0.6:
            live[order] = side, price, size + 1
            records.append(("modify", side, price, size + 1, order))
        elif choice < 0.7 and rows - number >= 3:
            live[order] = side, price, size - 1
            records.append(("trade", "ask" if side == "bid" else "bid", price, 1, 0))
            waiting = [("fill", side, price, 1, order), ("cancel", side, price, 1, order)]
            if size == 1:
                del live[order]
        else:
            records.append(("cancel", side, price, size, order))
    ts_event = start_ns + np.cumsum(rng.integers(1, SECOND_NS, rows))
    columns: dict[str, Any] = {
        "ts_event": ts_event,
        "ts_recv": ts_event + rng.integers(90_000, 110_000, rows),
        "action": np.array([ACTION_CODES[record[0]] for record in records]),
        "side": np.array([SIDE_CODES[record[1]] for record in records]),
        "price": np.array([record[2] / 100 for record in records]),
        "size": np.array([record[3] for record in records]),
        "order_id": np.array([record[4] for record in records]),
        "flags": np.full(rows, LAST),
        "sequence": np.arange(rows),
        "venue_seq": np.arange(100, 100 + rows),
    }
    return {name: columns[name].astype(dtype) for name, dtype in {**CHUNK_DTYPES["mbo"], "venue_seq": "int64"}.items()}


def examine(
    schema: str,
    columns: RawColumns,
    cuts: Sequence[int] = (),
    *,
    instrument: Instrument | None = ABC,
    quotes: RawColumns | None = None,
    **options: Any,
) -> Part:
    """What the doctor finds in rows that come in batches, cut before the given rows."""
    stream = iter([Batch("quotes", quotes["sequence"], quotes)]) if quotes is not None else None
    examination = Examination(SYMBOL, schema, instrument, own_sequence=True, quotes=stream, **{"examples": 1_000, **options})
    rows = len(columns["ts_event"])
    edges = [0, *sorted(cuts), rows]
    for start, stop in itertools.pairwise(edges):
        piece = {name: array[start:stop] for name, array in columns.items()}
        examination.look(Batch("rows", np.arange(start, stop), piece))
    return examination.finish()


def found(part: Part) -> dict[str, list[int]]:
    """The rows of each kind of finding."""
    return {finding.kind: [example.row for example in finding.examples] for finding in part.findings}
