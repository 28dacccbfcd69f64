"""Collects `mbo` records one by one and hands them on as raw columns."""

from __future__ import annotations

import numpy as np

from cift.data.columns import RawColumns, join, length
from cift.domain.schemas import ACTION_CODES, CHUNK_DTYPES, NO_TIME_NS, SIDE_CODES

ADD, CANCEL, MODIFY = ACTION_CODES["add"], ACTION_CODES["cancel"], ACTION_CODES["modify"]
TRADE, FILL, CLEAR = ACTION_CODES["trade"], ACTION_CODES["fill"], ACTION_CODES["clear"]
BID, ASK, NO_SIDE = SIDE_CODES["bid"], SIDE_CODES["ask"], SIDE_CODES["none"]
OTHER_SIDE = {BID: ASK, ASK: BID, NO_SIDE: NO_SIDE}

ROWS_PER_BATCH = 65_536
SEED_ID_FIRST = 2**63
"""Synthetic order ids, of orders whose true id no message told, start here; venues' own ids are far below."""

DTYPES = {name: dtype for name, dtype in CHUNK_DTYPES["mbo"].items() if name not in ("ts_recv", "sequence")}
DTYPES["venue_seq"] = "int64"
"""The columns that records are added with, in the order of `Records.add`, and their NumPy types."""
Record = tuple[int, int, int, float, float, int, int, int]


class Records:
    """`mbo` records in the order in which they are added."""

    def __init__(self) -> None:
        self.rows_taken = 0
        self._records: list[Record] = []
        self._pieces: list[RawColumns] = []
        self._rows_in_pieces = 0

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

    def seal(self) -> None:
        """Leaves the records added so far where they are, whatever is merged later."""
        if self._records:
            self._pieces.append(_columns(self._records))
            self._rows_in_pieces += len(self._records)
            self._records = []

    def merge(self, columns: RawColumns) -> None:
        """Adds the rows of some columns, those of `add` by name, and sorts them with the records since `seal` by `venue_seq`."""
        if self._records:
            columns = join([_columns(self._records), columns])
            order = np.argsort(columns["venue_seq"], kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
            self._records = []
        self._pieces.append(columns)
        self._rows_in_pieces += length(columns)

    def room(self) -> int:
        """How many records may come until a batch is ready; 0 or less: it is."""
        return ROWS_PER_BATCH - self._rows_in_pieces - len(self._records)

    def full(self) -> bool:
        """Whether a batch is ready to be taken."""
        return self.room() <= 0

    def take(self) -> RawColumns:
        """All records added since the last call, as raw columns."""
        self.seal()
        columns = join(self._pieces or [_columns([])])
        rows = length(columns)
        columns["ts_recv"] = np.full(rows, NO_TIME_NS, dtype=np.int64)
        columns["sequence"] = np.full(rows, NO_TIME_NS, dtype=np.int64)
        self._pieces, self._rows_in_pieces = [], 0
        self.rows_taken += rows
        return columns


def _columns(records: list[Record]) -> RawColumns:
    values = zip(*records, strict=True) if records else ((),) * len(DTYPES)
    return {name: np.array(column, dtype=DTYPES[name]) for name, column in zip(DTYPES, values, strict=True)}
