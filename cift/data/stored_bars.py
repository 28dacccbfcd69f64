"""New bars among those that a catalog holds: a file of a day ends in the next one, whose bars it must not take along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cift.data.columns import Array, RawColumns, cut, length
from cift.data.hashing import ContentHash
from cift.data.manifest import Manifest, Partition, dataset_name
from cift.data.reading import ALWAYS, Interval, PartitionReader, interval_of
from cift.data.times import DAY_NS, time_ns
from cift.data.writing import date_of
from cift.errors import CorruptData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog


class Among:
    """Bars of one symbol and spec on their way into a catalog.

    A partition is a UTC day of ends and is written as a whole, and a bar may have begun on any day before. So what is stored in
    front of the first new bar and behind the last one goes in again, on the days of these two and on every day that has a bar
    which a new one overlaps. A day on which no new bar ends keeps the bars that none overlaps.

    Attributes:
        kept: stored bars that went in again.
        seen: what was stored of these days when they were looked at, for `Catalog.commit`: what another writes there meanwhile
            would be lost. A day that is among them and not written has no bar left.
    """

    def __init__(self, catalog: Catalog, symbol: str, spec: str) -> None:
        self._catalog, self._symbol = catalog, symbol
        self._dataset = dataset_name("bars", spec)
        self._stored: list[int] = []
        """Days of which something is stored, ascending."""
        self._readers: dict[int, PartitionReader | None] = {}
        self.kept = 0

    @property
    def seen(self) -> dict[Partition, Manifest | None]:
        """By partition; None: nothing was stored."""
        return {
            (self._dataset, self._symbol, date_of(day)): None if reader is None else reader.manifest
            for day, reader in self._readers.items()
        }

    def bars(self, batches: Iterator[RawColumns]) -> Iterator[RawColumns]:
        """The new bars, with the stored ones before, between and after them.

        Raises:
            CorruptData: a stored day is not what was written.
        """
        last: _Bar | None = None
        for batch in batches:
            if not length(batch):
                continue
            if last is None:
                dates = self._catalog.days(self._dataset, self._symbol)
                self._stored = [time_ns(date, "date")[0] // DAY_NS for date in dates]
                yield from self._between(None, _Bar.of(batch, 0))
            days = batch["ts_event"] // DAY_NS
            at = 0
            # A batch is cut in front of a bar that ends two days or more after the one before it.
            for row in np.flatnonzero(np.diff(days, prepend=days[0] if last is None else last.day) > 1).tolist():
                if row > at:
                    yield cut(batch, at, row)
                    last = _Bar.of(batch, row - 1)
                yield from self._between(last, _Bar.of(batch, row))
                at = row
            yield cut(batch, at, len(days))
            last = _Bar.of(batch, len(days) - 1)
        if last is not None:
            yield from self._between(last, None)

    def _between(self, before: _Bar | None, after: _Bar | None) -> Iterator[RawColumns]:
        """The stored bars that go in again between two new ones that follow each other (None: there is none)."""
        if before is not None:
            if after is None:
                yield from self._again(before.day, before, after)
            for day in self._stored:
                # A stored bar that was under way when a new one ended. Those of the days behind it began later still.
                if before.day < day and (after is None or day < after.first_day):
                    if all(_apart(columns, before, after).all() for columns in self._rows(self._open(day))):
                        break
                    yield from self._again(day, before, after)
        if after is not None:
            # On the days when a new bar was under way, whatever is stored: so nobody else can put a bar there meanwhile.
            first = after.first_day if before is None else max(after.first_day, before.day + 1)
            for day in range(first, after.day + (before is None)):
                yield from self._again(day, before, after)

    def _again(self, day: int, before: _Bar | None, after: _Bar | None) -> Iterator[RawColumns]:
        """The stored bars of a day that lie apart from two new ones."""
        if day not in self._readers:
            # As it was at the first look, so that what goes in before and behind is of one writing.
            self._readers[day] = self._open(day) if day in self._stored else None
        reader = self._readers[day]
        for columns in () if reader is None else self._rows(reader):
            wanted = _apart(columns, before, after)
            if wanted.any():
                self.kept += int(np.count_nonzero(wanted))
                yield {name: array[wanted] for name, array in columns.items()}

    def _open(self, day: int) -> PartitionReader:
        return self._catalog.reader(self._dataset, self._symbol, date_of(day))

    @staticmethod
    def _rows(reader: PartitionReader) -> Iterator[RawColumns]:
        return reader.groups((ALWAYS,), every_column=True)


@dataclass(frozen=True, slots=True)
class _Bar:
    """When a bar began and ended, ns since the epoch."""

    opened_ns: int
    ended_ns: int

    @classmethod
    def of(cls, columns: RawColumns, row: int) -> _Bar:
        return cls(int(columns["ts_open"][row]), int(columns["ts_event"][row]))

    @property
    def first_day(self) -> int:
        """The UTC day on which it began."""
        return self.opened_ns // DAY_NS

    @property
    def day(self) -> int:
        """The UTC day of its end, to which it belongs."""
        return self.ended_ns // DAY_NS

    @property
    def is_instant(self) -> bool:
        """Whether it has no length: one print of "tick-1"."""
        return self.opened_ns == self.ended_ns


def _apart(columns: RawColumns, before: _Bar | None, after: _Bar | None) -> Array:
    """Which stored bars lie behind one new bar and in front of another; bars without length replace those of their moment."""
    opened, ended = columns["ts_open"], columns["ts_event"]
    apart = np.ones(length(columns), dtype=bool)
    if before is not None:
        apart &= (opened >= before.ended_ns) & ((ended > before.ended_ns) | (not before.is_instant))
    if after is not None:
        apart &= (ended <= after.opened_ns) & ((opened < after.opened_ns) | (not after.is_instant))
    return apart


def begun(readers: Iterable[PartitionReader], start_ns: int | None, end_ns: int | None) -> Iterator[RawColumns]:
    """The stored bars that began within a period, `end_ns` excluded. The last of a day ended in the next one, or later.

    Args:
        readers: of the days from that of `start_ns` on, ascending; none is opened behind the first bar that began too late.
    """
    period = interval_of(start_ns, end_ns)
    for reader in readers:
        for columns, inside in by_begin(reader, period):
            if inside.any():
                yield {name: array[inside] for name, array in columns.items()}
            if columns["ts_open"][-1] >= period[1]:
                return


def days_of_begun(readers: Iterable[PartitionReader], end_ns: int | None) -> Iterator[PartitionReader]:
    """The days in which bars that began before a time ended: those before it, and later ones that hold such a bar.

    Args:
        readers: of the days from the first wanted one on, ascending; none is opened behind the first that holds no such bar.
    """
    for reader in readers:
        day_ns, _ = time_ns(reader.manifest.date, "date")
        behind = end_ns is not None and day_ns >= end_ns
        if behind and not any(inside.any() for _, inside in by_begin(reader, interval_of(None, end_ns))):
            return
        yield reader


def begun_hashes(readers: Iterable[PartitionReader], period: Interval) -> list[tuple[str, str]]:
    """By day, the hash of the stored bars that began within a period, counted from 0: that of a day that holds no others.

    Days without one are left out.
    """
    hashes = []
    for reader in readers:
        total = ContentHash(reader.manifest.schema)
        for columns, inside in by_begin(reader, period):
            if inside.any():
                picked = {name: array[inside] for name, array in columns.items()}
                total.update({**picked, "sequence": np.arange(total.rows, total.rows + length(picked))})
        if total.rows:
            hashes.append((reader.manifest.date, total.hexdigest()))
    return hashes


def by_begin(reader: PartitionReader, period: Interval) -> Iterator[tuple[RawColumns, Array]]:
    """The bars of a day, row group by row group, and which of them began within a period."""
    first, stop = period
    for columns in reader.groups((ALWAYS,), every_column=True):
        yield columns, (columns["ts_open"] >= first) & (columns["ts_open"] < stop)


def bars_touched(
    catalog: Catalog, dataset: str, symbol: str, period: Interval
) -> Iterator[tuple[str, PartitionReader | None, Iterable[RawColumns]]]:
    """The days in which bars that began within a period may have ended: date, reader and the other bars, which are to be left.

    There is no reader where the whole day goes unread: where the period has no beginning, or where the file is damaged and the bars
    in front of it ended within the period, which its own then began in.

    Raises:
        CorruptData: another day is not what was written. None is opened behind the first bar that began too late.
    """
    first, stop = period
    ended_ns = ALWAYS[0]
    """When the bars of the day before ended."""
    for date in catalog.days(dataset, symbol):
        day_ns, _ = time_ns(date, "date")
        if day_ns + DAY_NS <= first:
            continue
        if first == ALWAYS[0] and day_ns + DAY_NS <= stop:
            yield date, None, ()
            continue
        reader = catalog.reader(dataset, symbol, date)
        begins: list[tuple[RawColumns, Array]] = []
        try:
            begins += by_begin(reader, period)
        except CorruptData:
            if ended_ns < first or reader.manifest.last_ns >= stop:
                raise
            yield date, None, ()
        else:
            yield date, reader, [{name: array[~inside] for name, array in columns.items()} for columns, inside in begins]
            if begins[-1][0]["ts_open"][-1] >= stop:
                return
        ended_ns = reader.manifest.last_ns
