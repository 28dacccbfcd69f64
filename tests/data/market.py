"""Small made-up records that the tests of the data layer share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from hypothesis import strategies as st

from cift.data.columns import RawColumns, join
from cift.data.storage import Disk
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import CHUNK_DTYPES, LAST, NO_TIME_NS, STORED_DTYPES

SYMBOL = "ABC.SIM"
ABC = Instrument(SYMBOL, tick_size="0.01", lot_size=1)
MONDAY_NS = 1_767_571_200_000_000_000
"""2026-01-05T00:00Z."""
HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS


class QuickDisk(Disk):
    """A disk that does not wait: for tests that write hundreds of small catalogs."""

    def sync(self, file: BinaryIO) -> None:
        """Nothing."""

    def sync_folder(self, path: Path) -> None:
        """Nothing."""


def make(schema: SchemaName, rows: int, seed: int = 0, start_ns: int = MONDAY_NS, gap_ns: int = 2_000_000_000) -> RawColumns:
    """`rows` random records in time order from `start_ns`, with all the oddities that are allowed."""
    rng = np.random.default_rng(seed)
    ts_event = start_ns + np.cumsum(rng.integers(0, gap_ns, rows))
    received = ts_event + rng.integers(1, 10**6, rows)
    cents = rng.integers(9_900, 10_100, (2, rows))
    size = rng.integers(1, 500, (2, rows)).astype(float)
    columns: dict[str, Any] = {
        "ts_event": ts_event,
        "ts_recv": np.where(rng.random(rows) < 0.1, NO_TIME_NS, received),
        "flags": np.full(rows, LAST, dtype=np.uint8),
        "venue_seq": np.where(rng.random(rows) < 0.2, NO_TIME_NS, np.arange(rows)),
        "price": cents[0] / 100,
        "size": size[0],
        "order_id": rng.integers(0, 2**63, rows).astype(np.uint64) * 2,
        "trade_id": np.arange(rows).astype(np.uint64),
        "aggressor": rng.choice(np.array([65, 66, 78], dtype=np.uint8), rows),
        "side": rng.choice(np.array([65, 66], dtype=np.uint8), rows),
        "action": rng.choice(np.array([65, 67, 77, 84, 70, 82], dtype=np.uint8), rows),
        "bid_price": np.minimum(*cents) / 100,
        "ask_price": (np.maximum(*cents) + 1) / 100,
        "bid_size": size[0],
        "ask_size": size[1],
    }
    if schema == "mbp":
        columns["action"] = rng.choice(np.array([83, 82], dtype=np.uint8), rows, p=[0.95, 0.05])
        columns["size"] = np.where(rng.random(rows) < 0.3, 0.0, columns["size"])
    if schema in ("mbo", "mbp"):
        columns["price"] = np.where(columns["action"] == 82, np.nan, columns["price"])
    if schema == "quotes":
        missing = rng.random(rows) < 0.1
        columns["bid_price"] = np.where(missing, np.nan, columns["bid_price"])
        columns["bid_size"] = np.where(missing, 0.0, columns["bid_size"])
    return {name: columns[name].astype(dtype) for name, dtype in STORED_DTYPES[schema].items() if name != "sequence"}


def take(columns: RawColumns, start: int, stop: int) -> RawColumns:
    return {name: array[start:stop] for name, array in columns.items()}


def read(feed: Any, rows: int | None) -> RawColumns:
    """All chunks of a feed put together."""
    pieces = [dict(chunk.columns) for chunk in feed.chunks(rows)]
    for chunk in feed.chunks(rows):
        assert set(chunk.columns) == set(CHUNK_DTYPES[feed.schema])
        assert all(len(array) == chunk.rows and array.flags.c_contiguous for array in chunk.columns.values())
    return join(pieces)


def same(left: RawColumns, right: RawColumns) -> bool:
    """Whether two sets of columns agree in every value that both have."""
    return all(
        np.array_equal(left[name], right[name], equal_nan=left[name].dtype.kind == "f") for name in left if name in right
    )


schemas = st.sampled_from(["mbo", "mbp", "quotes", "trades"])


@st.composite
def record_batches(draw: st.DrawFn, schema: SchemaName) -> list[RawColumns]:
    """Random records over at most three days, cut into random batches (empty ones too)."""
    rows = draw(st.integers(1, 400))
    columns = make(
        schema, rows, draw(st.integers(0, 2**32)), MONDAY_NS + 20 * HOUR_NS, draw(st.sampled_from([10, 10**9, 6 * 10**11]))
    )
    cuts = sorted(draw(st.lists(st.integers(0, rows), max_size=6)))
    return [take(columns, start, stop) for start, stop in zip([0, *cuts], [*cuts, rows], strict=True)]
