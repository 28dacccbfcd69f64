"""Records of a DBN file as raw columns of one schema: orders, best quotes and prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cift.data.columns import Array, RawColumns
from cift.data.columns import moved_ends as moved_ends
from cift.data.importers.databento.file import ROWS_PER_READ, Source, prices
from cift.data.importers.databento.symbols import Held, by_symbol, times_of_receipt
from cift.data.report import Tally
from cift.data.times import DAY_NS, iso
from cift.domain.chunk import SchemaName
from cift.domain.schemas import BAD_TS_RECV, LAST, NO_TIME_NS, SNAPSHOT, SUSPECT
from cift.errors import CorruptData, TimeOrder

ROWS_HELD_MAX = 4 * ROWS_PER_READ
"""An event of more rows than this is cut; a snapshot is one event."""
LATE_NS = 60 * 1_000_000_000
"""What happened before midnight and was received after it did so by less than this."""
KEPT_FLAGS = LAST | SNAPSHOT | BAD_TS_RECV | SUSPECT
TRADE, NO_ACTION = ord("T"), ord("N")
_LETTERS = {"action": b"ACMRTFN", "side": b"ABN"}


@dataclass
class Reader:
    """The records of one symbol as raw columns of one schema."""

    source: Source
    held: Held
    schema: SchemaName
    tally: Tally
    first_day_ns: int | None = None
    floor_ns: int = NO_TIME_NS

    def batches(self) -> Iterator[tuple[Array, RawColumns]]:
        """Batches of columns, with the number of each row in the file."""
        for rows, records in self.whole_events():
            self.check_letters(rows, records)
            keep = self.keep(records)
            flags = moved_ends(records["flags"] & KEPT_FLAGS, keep)
            if self.schema == "trades":
                flags |= LAST
            else:
                self.tally.counts["no_action"] += int(np.count_nonzero(records["action"] == NO_ACTION))
            times = self.times(rows, records, flags, keep)
            kept = records if keep.all() else records[keep]
            if len(kept):
                yield rows[keep], {"ts_event": times[keep], "flags": flags[keep], **self._columns(kept)}

    def whole_events(self) -> Iterator[tuple[Array, Array]]:
        """The symbol's records in batches that end where an event does, so that LAST can move within it."""
        waiting: list[tuple[Array, Array]] = []
        held = 0
        for first_row, records in self.source.records():
            mask = dict(by_symbol(self.source, records)).get(self.held.raw_symbol)
            if mask is None:
                continue
            rows = np.arange(first_row, first_row + len(records))
            if not mask.all():
                rows, records = rows[mask], records[mask]
            ends = np.flatnonzero(records["flags"] & LAST)
            cut = int(ends[-1]) + 1 if len(ends) else 0
            if self.schema == "trades" or held + len(records) > ROWS_HELD_MAX:
                cut = len(records)
            waiting.append((rows[:cut], records[:cut]))
            held += cut
            if cut:
                yield joined(waiting)
                waiting, held = [], 0
            waiting.append((rows[cut:], records[cut:]))
            held += len(records) - cut
        if held:
            yield joined(waiting)

    def keep(self, records: Array) -> Array:
        """Which records leave a row in the schema."""
        action = records["action"]
        keep: Array = action != NO_ACTION
        if self.schema == "trades":
            keep = action == TRADE
        elif self.schema == "mbp" or self.source.schema in ("mbp-1", "cmbp-1"):
            keep &= action != TRADE
        return keep

    def check_letters(self, rows: Array, records: Array) -> None:
        """Refuses an unknown action or side, by the record's number."""
        for name, letters in _LETTERS.items():
            bad = np.flatnonzero(~np.isin(records[name], np.frombuffer(letters, np.uint8)))
            if len(bad):
                raise CorruptData(
                    f"{self.source.name}, record {int(rows[bad[0]])}: {name} {chr(int(records[name][bad[0]]))!r}; "
                    f"one of {', '.join(letters.decode())} was expected"
                )

    def _columns(self, records: Array) -> RawColumns:
        """What each record says beside its time and flags."""
        received = records["ts_recv"].view("i8")
        columns: RawColumns = {
            "ts_recv": np.where(received == -1, NO_TIME_NS, received),
            "sequence": np.full(len(records), NO_TIME_NS, dtype=np.int64),
            "venue_seq": venue_numbers(records),
        }
        if self.schema == "quotes":
            return {**columns, **best_levels(records)}
        columns["price"], columns["size"] = prices(records["price"]), records["size"].astype(np.float64)
        if self.schema == "trades":
            columns["aggressor"] = np.ascontiguousarray(records["side"])
            columns["trade_id"] = np.zeros(len(records), dtype=np.uint64)
        else:
            columns["action"], columns["side"] = (np.ascontiguousarray(records[name]) for name in ("action", "side"))
            columns["order_id"] = np.ascontiguousarray(records["order_id"])
        return columns

    def times(self, rows: Array, records: Array, flags: Array, keep: Array) -> Array:
        """When each record stands in the catalog, see `cift.data.importers.databento`."""
        told, received = records["ts_event"].view("i8"), times_of_receipt(records)
        of_snapshot = ((flags & SNAPSHOT) > 0) & (self.schema != "trades")
        midnights = received // DAY_NS * DAY_NS
        if self.first_day_ns is None:
            self.first_day_ns = int(midnights[0])
        late = (told < self.first_day_ns) & (told > self.first_day_ns - LATE_NS)
        times = np.where(late, self.first_day_ns, told)
        times = np.where(of_snapshot, np.maximum(times, midnights), times)
        floors = np.maximum.accumulate(np.where(of_snapshot, times, self.floor_ns))
        self.floor_ns = int(floors[-1])
        after = (times < floors) & (times > floors - LATE_NS)
        times = np.where(after, floors, times)
        early = np.flatnonzero(times < self.first_day_ns)
        if len(early):
            raise TimeOrder(
                f"{self.source.name}, record {int(rows[early[0]])}: ts_event {iso(int(told[early[0]]))} lies before the day on "
                f"which the file begins, {iso(self.first_day_ns)}"
            )
        self.tally.counts["moved_in_time"] += int(np.count_nonzero((times != told) & keep))
        self.tally.counts["maybe_bad_book"] += int(np.count_nonzero((flags & SUSPECT > 0) & keep))
        return times


@dataclass
class SampledReader(Reader):
    """Best quotes looked at once a second or minute: each stands at the end of its span, when it was seen to be so.

    The vendor's `ts_event` is the time of the last trade, at which the quote was another one.
    """

    def batches(self) -> Iterator[tuple[Array, RawColumns]]:
        """Batches of columns, with the number of each row in the file."""
        for first_row, records in self.source.records():
            mask = dict(by_symbol(self.source, records)).get(self.held.raw_symbol)
            if mask is None:
                continue
            rows, records = np.flatnonzero(mask) + first_row, records[mask]
            nothing = np.full(len(records), NO_TIME_NS, dtype=np.int64)
            flags = (records["flags"] & (KEPT_FLAGS & ~BAD_TS_RECV)) | LAST
            self.tally.counts["maybe_bad_book"] += int(np.count_nonzero(flags & SUSPECT))
            times = {"ts_event": records["ts_recv"].view("i8"), "ts_recv": nothing, "sequence": nothing}
            yield rows, {**times, "flags": flags, "venue_seq": venue_numbers(records), **best_levels(records)}


def best_levels(records: Array) -> RawColumns:
    """The first level of each side."""
    columns: RawColumns = {}
    for side in ("bid", "ask"):
        columns[f"{side}_price"] = prices(records[f"{side}_px_00"])
        columns[f"{side}_size"] = records[f"{side}_sz_00"].astype(np.float64)
    return columns


def venue_numbers(records: Array) -> Array:
    """The venue's own number of each record; a market of several venues has none."""
    if "sequence" in (records.dtype.names or ()):
        return records["sequence"].astype(np.int64)
    return np.full(len(records), NO_TIME_NS, dtype=np.int64)


def joined(pieces: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Numbers and records of several pieces as one."""
    pieces = [piece for piece in pieces if len(piece[0])]
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate([rows for rows, _ in pieces]), np.concatenate([records for _, records in pieces])
