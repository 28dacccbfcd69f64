"""Recordings that overlap: what was met before, and two stretches of one market joined into the one that it was.

Times of a venue may go back by `BACK_NS_MAX`, so what was met is remembered for as long, however much came since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cift.data.importers.mixed import BACK_NS_MAX
from cift.domain.schemas import NO_TIME_NS

NEVER_NS = 2**63 - 1
KEPT_MIN = 4_096
"""Of a quiet market the last trades, told again by each new connection, may be older than a minute."""
KEPT_MAX = 1 << 18
"""Of a stream without times; no market has so many trades in a minute."""
Name = tuple[Any, ...]
"""What tells a thing of a market from all others, in whichever recording it is."""
SKEW_NS = 1_000_000_000
"""The times of one stream may be behind those of another one of the venue by less."""
LATE_NS = 10_000_000_000
"""After the last time that a file tells, by which messages without a time may still follow in it."""


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
        if len(self._young) >= KEPT_MAX:
            self._old, self._young = self._young, set()
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


class About(NamedTuple):
    """What a message is.

    Args:
        ts_ns: the venue's time that it tells, if it does.
        names: of each thing that it tells, which another recording of the market gives it too.
        stream: those of one stream are ordered among themselves.
        number: ascends in a stream, where the venue numbers its messages.
    """

    ts_ns: int | None
    names: tuple[Name, ...] = ()
    stream: str = ""
    number: int | None = None


class Message(NamedTuple):
    """A message that waits: its file and line, what it is, and the latest time that its file has told."""

    source: str
    row: int
    body: bytes
    ts_recv: int
    about: About
    clock: int


class Overlap:
    """Brings the messages of files that overlap into the order in which one recording of it all had them.

    Where the next file begins, what the one before it still tells waits until that file is past its end.

    Args:
        take: is given each message, in order.
        leave_out: is given those that an earlier file told already.
    """

    def __init__(self, take: Callable[[Sequence[Message]], None], leave_out: Callable[[Message], None]) -> None:
        self._take, self._leave_out = take, leave_out
        self._held: list[Message] = []
        self._head: list[Message] = []
        """Of this file, what may stand in the files before it too."""
        self._joins = False
        self._ends_ns = self._clock = NO_TIME_NS
        self.until_ns = NEVER_NS
        """The first time of the files to come."""

    def begin(self, until_ns: int) -> bool:
        """Begins a file; whether its messages may be taken as they come."""
        self.until_ns, self._clock, self._joins = until_ns, NO_TIME_NS, bool(self._held)
        self._ends_ns = max((message.clock for message in self._held), default=NO_TIME_NS)
        return not self._joins

    def put(self, message: Message) -> bool:
        """Takes a message that may stand in two files; whether those after it may be taken as they come.

        Args:
            message: with the time before it as its clock.
        """
        self._clock = max(self._clock, message.clock, NO_TIME_NS if message.about.ts_ns is None else message.about.ts_ns)
        message = message._replace(clock=self._clock)
        if self._joins:
            self._head.append(message)
            if self._clock > self._ends_ns + LATE_NS:
                self._join()
        else:
            self._held.append(message)
            if self._clock > self.until_ns + LATE_NS + BACK_NS_MAX:
                # The next file does not follow this one: its times will be refused, or it is of other times altogether.
                self.until_ns = NEVER_NS
                self._hand_on(self._held)
        return not self._held

    def end(self) -> None:
        """Ends a file."""
        if self._joins:
            self._join()

    def _join(self) -> None:
        self._joins = False
        # What came before the file's first time has that one.
        told = next((at for at, message in enumerate(self._head) if message.about.ts_ns is not None), 0)
        head = [message._replace(clock=self._head[told].clock) for message in self._head[:told]] + self._head[told:]
        messages, again = joined(self._held, head)
        self._head = []
        for message in again:
            self._leave_out(message)
        self._hand_on(messages)

    def _hand_on(self, messages: list[Message]) -> None:
        ready = next((at for at, message in enumerate(messages) if message.clock >= self.until_ns), len(messages))
        self._held = messages[ready:]
        self._take(messages[:ready])


def joined(first: Sequence[Message], second: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """Two recordings of one market as one, and the messages of the second that the first has.

    What both have joins them; what one of them lacks stands in its place between, by time and then by number.
    """
    places = {name: at for at, message in enumerate(first) for name in message.about.names}
    if not any(name in places for message in second for name in message.about.names):
        return [*first, *second], []  # they follow one another
    of_second = {name for message in second for name in message.about.names}
    told: list[Message] = []
    again: list[Message] = []
    at = 0
    for message in second:
        known = [places[name] for name in message.about.names if name in places]
        ends = max(known) + 1 if known else _place(first, at, message, of_second)
        told += first[at:ends]
        at = max(at, ends)
        (again if known and len(known) == len(message.about.names) else told).append(message)
    return [*told, *first[at:]], again


def _place(first: Sequence[Message], at: int, message: Message, of_second: set[Name]) -> int:
    """Behind which of the first's own messages, from `at` on, one stands that it lacks."""
    place = at
    for index in range(at, len(first)):
        other = first[index]
        if other.clock > message.clock + SKEW_NS or not of_second.isdisjoint(other.about.names):
            break
        if other.about.stream == message.about.stream:
            if not _is_before(other.about, message.about):
                break
            place = index + 1
        elif other.clock < message.clock:
            place = index + 1
    return place


def _is_before(one: About, other: About) -> bool:
    """Whether a message of a stream stands before another one of it."""
    if one.number is not None and other.number is not None:
        return one.number <= other.number
    return one.ts_ns is not None and other.ts_ns is not None and one.ts_ns < other.ts_ns
