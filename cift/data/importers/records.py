"""Collects `mbo` records one by one and hands them on as raw columns."""

from __future__ import annotations

import numpy as np

from cift.data.columns import RawColumns
from cift.domain.schemas import ACTION_CODES, CHUNK_DTYPES, NO_TIME_NS, SIDE_CODES

ADD, CANCEL, MODIFY = ACTION_CODES["add"], ACTION_CODES["cancel"], ACTION_CODES["modify"]
TRADE, FILL, CLEAR = ACTION_CODES["trade"], ACTION_CODES["fill"], ACTION_CODES["clear"]
BID, ASK, NO_SIDE = SIDE_CODES["bid"], SIDE_CODES["ask"], SIDE_CODES["none"]
OTHER_SIDE = {BID: ASK, ASK: BID, NO_SIDE: NO_SIDE}

ROWS_PER_BATCH = 65_536
SEED_ID_FIRST = 2**63
"""Synthetic order ids, of orders whose true id no message told, start here; venues' own ids are far below."""

Record = tuple[int, int, int, float, float, int, int, int]


class Records:
    """`mbo` records in the order in which they are added."""

    def __init__(self) -> None:
        self.rows_taken = 0
        self._records: list[Record] = []

    def add(
        self,
        ts_event: int,
        action: int,
        side: int,
        price: float,
        size: float,
        order_id: int,
        flags: int,
        venue_seq: int = NO_TIME_NS,
    ) -> None:
        """Adds one record: times in ns, action and side as raw codes, price (NaN: none) and size in natural units."""
        self._records.append((ts_event, action, side, price, size, order_id, flags, venue_seq))

    def full(self) -> bool:
        """Whether a batch is ready to be taken."""
        return len(self._records) >= ROWS_PER_BATCH

    def take(self) -> RawColumns:
        """All records added since the last call, as raw columns."""
        rows = len(self._records)
        names = ("ts_event", "action", "side", "price", "size", "order_id", "flags", "venue_seq")
        dtypes = {**CHUNK_DTYPES["mbo"], "venue_seq": "int64"}
        values = zip(*self._records, strict=True) if rows else ((),) * len(names)
        columns: RawColumns = {name: np.array(column, dtype=dtypes[name]) for name, column in zip(names, values, strict=True)}
        columns["ts_recv"] = np.full(rows, NO_TIME_NS, dtype=np.int64)
        columns["sequence"] = np.full(rows, NO_TIME_NS, dtype=np.int64)
        self._records = []
        self.rows_taken += rows
        return columns
