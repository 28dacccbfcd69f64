"""New bars among those that a catalog holds: a file of a day ends in the next one, whose bars it must not take along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from cift.data.columns import Array, RawColumns, length
from cift.data.manifest import Manifest, Partition, dataset_name
from cift.data.reading import ALWAYS, Interval, PartitionReader, interval_of
from cift.data.times import DAY_NS, time_ns
from cift.data.writing import date_of
from cift.errors import CorruptData

if TYPE_CHECKING:
    from cift.data.catalog import Catalog


class Among:
    """Bars of one symbol and spec on their way into a catalog.

    A partition is a UTC day of ends and is written as a whole, and the last bar of a day ends at the midnight after it. So what is
    stored of the first and the last day goes in again, but for what lies in the time of the new bars, which replace it.

    Attributes:
        kept: stored bars that went in again.
        seen: what was stored of these days when they were looked at, for `Catalog.commit`: what another writes there meanwhile
            would be lost.
    """

    def __init__(self, catalog: Catalog, symbol: str, spec: str) -> None:
        self._catalog, self._symbol, self._spec = catalog, symbol, spec
        self._readers: dict[int, PartitionReader | None] = {}
        self.kept = 0

    @property
    def seen(self) -> dict[Partition, Manifest | None]:
        """By partition; None: nothing was stored."""
        dataset = dataset_name("bars", self._spec)
        return {
            (dataset, self._symbol, date_of(day)): None if reader is None else reader.manifest
            for day, reader in self._readers.items()
        }

    def bars(self, batches: Iterator[RawColumns]) -> Iterator[RawColumns]:
        """The new bars, with the stored ones before and after them.

        Raises:
            CorruptData: a stored day is not what was written.
        """
        first_ns = last_ns = None
        for batch in batches:
            if not length(batch):
                continue
            if first_ns is None:
                first_ns = int(batch["ts_open"][0])
                day = int(batch["ts_event"][0]) // DAY_NS
                yield from self._stored(day, before_ns=first_ns)
            last_ns = int(batch["ts_event"][-1])
            yield batch
        if first_ns is not None and last_ns is not None:
            yield from self._stored(last_ns // DAY_NS, after_ns=last_ns)

    def _stored(self, day: int, *, before_ns: int | None = None, after_ns: int | None = None) -> Iterator[RawColumns]:
        reader = self._reader(day)
        if reader is None:
            return
        for columns in reader.groups((ALWAYS,), every_column=True):
            wanted = columns["ts_event"] <= before_ns if before_ns is not None else columns["ts_open"] >= after_ns
            if wanted.any():
                self.kept += int(np.count_nonzero(wanted))
                yield {name: array[wanted] for name, array in columns.items()}

    def _reader(self, day: int) -> PartitionReader | None:
        """The reader of a day as it was at the first look, so that what goes in before and behind is of one writing."""
        if day not in self._readers:
            dataset, date = dataset_name("bars", self._spec), date_of(day)
            there = date in self._catalog.days(dataset, self._symbol)
            self._readers[day] = self._catalog.reader(dataset, self._symbol, date) if there else None
        return self._readers[day]


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
