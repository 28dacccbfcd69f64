"""Recordings that overlap: what was met before.

Times of a venue may go back by `BACK_NS_MAX`, so what was met is remembered for as long, however much came since.
"""

from __future__ import annotations

from cift.data.importers.mixed import BACK_NS_MAX
from cift.domain.schemas import NO_TIME_NS

KEPT_MIN = 4_096
"""Of a quiet market the last trades, told again by each new connection, may be older than a minute."""


class Met:
    """Remembers what was met within the last minute of the venue's time, and at least the last 4,096."""

    def __init__(self) -> None:
        # Two generations, of which the older one goes as a whole once the younger one is old enough itself.
        self._young: set[int | str] = set()
        self._old: set[int | str] = set()
        self._until_ns = NO_TIME_NS

    def __len__(self) -> int:
        """How many things are remembered."""
        return len(self._young) + len(self._old)

    def again(self, name: int | str, ts_ns: int) -> bool:
        """Whether a thing was met before; from now on it was.

        Args:
            name: what tells it from all others.
            ts_ns: the latest time of the venue.
        """
        if ts_ns > self._until_ns:
            if len(self._young) >= KEPT_MIN:
                self._old, self._young = self._young, set()
            self._until_ns = ts_ns + BACK_NS_MAX
        if name in self._young or name in self._old:
            return True
        self._young.add(name)
        return False


class Numbers:
    """Follows numbers that ascend one by one, and counts those that never came."""

    def __init__(self) -> None:
        self._met = Met()
        self._first = self._last = -1
        self._holes: dict[int, int] = {}
        """The last number of a hole by its first."""
        self._closed = [0, 0]
        """Numbers and places of holes that are too old to be filled."""

    def again(self, number: int, ts_ns: int) -> bool:
        """Whether a number was met before; see `Met.again`.

        One that comes late fills its place. One below all of them begins the count anew.
        """
        if self._met.again(number, ts_ns):
            return True
        if number == self._last + 1:
            self._last = number
        elif number < self._first or self._last < 0:
            self._first = self._last = number
        elif number > self._last:
            self._holes[self._last + 1] = number - 1
            self._last = number
            if len(self._holes) > KEPT_MIN:
                first = next(iter(self._holes))
                self._closed = [self._closed[0] + self._holes.pop(first) - first + 1, self._closed[1] + 1]
        else:
            self._fill(number)
        return False

    def _fill(self, number: int) -> None:
        for first, last in reversed(self._holes.items()):
            if first <= number <= last:
                del self._holes[first]
                if first < number:
                    self._holes[first] = number - 1
                if number < last:
                    self._holes[number + 1] = last
                return

    def missing(self) -> tuple[int, int]:
        """How many numbers never came, and in how many places."""
        numbers, places = self._closed
        return numbers + sum(last - first + 1 for first, last in self._holes.items()), places + len(self._holes)
