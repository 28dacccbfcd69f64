"""The levels of a view: which schemas make one up, which is chosen, and from when its feeds are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cift.data.reading import ALWAYS, Interval, interval_of
from cift.data.times import DAY_NS, Session, session_intervals
from cift.domain.chunk import SchemaName
from cift.errors import NoData, NotSupported

LEVELS: dict[str, tuple[SchemaName, ...]] = {"L3": ("mbo",), "L2": ("mbp", "trades"), "L1": ("quotes", "trades")}
"""Levels of a view, richest first, and the schemas that make one up."""
BOOKS: tuple[SchemaName, ...] = ("mbo", "mbp")
"""Schemas whose records build a book: they are read from the beginning of a day."""


def stored_levels(datasets: Sequence[str]) -> list[str]:
    """The levels that some datasets make up, richest first. Prints alone are L1."""
    return [level for level, parts in LEVELS.items() if parts[0] in datasets or (level == "L1" and "trades" in datasets)]


def choose_level(stored: Mapping[str, Sequence[str]], asked: str | None) -> str:
    """The level of a view: the one asked for, or the richest that all symbols have.

    Args:
        stored: the levels of each symbol, richest first.
    Raises:
        NotSupported: where it is not stored for all of them, or they differ.
        NoData: a symbol of which there are bars alone.
    """
    for name, levels in stored.items():
        if not levels:
            raise NoData(f"no data: {name} is stored as bars only, which come as a frame: `Catalog.bars`, or `QuestDB.frame`")
    if asked is not None and asked not in LEVELS:
        raise NotSupported(f"level {asked!r} is not supported; choose {' or '.join(LEVELS)}, or None for the richest stored")
    if asked is None:
        richest = {levels[0] for levels in stored.values()}
        if len(richest) == 1:
            return richest.pop()
    elif all(asked in levels for levels in stored.values()):
        return asked
    listing = "; ".join(f"{name}: {', '.join(levels)}" for name, levels in stored.items())
    wanted = f"level {asked} is not stored for all symbols" if asked else "the symbols are stored at different levels"
    raise NotSupported(f"{wanted} ({listing}); one view has one level, and poorer levels are not derived from richer ones")


def wanted_intervals(
    spans: Sequence[Interval], start_ns: int | None, end_ns: int | None, session: Session | None
) -> tuple[Interval, ...]:
    """The times that a view covers.

    Args:
        spans: first and last time of each day that is held.
    """
    first, end = interval_of(start_ns, end_ns)
    if session is None:
        return ((first, end),)
    if not spans:
        return ()
    first = max(first, min(span[0] for span in spans))
    end = min(end, max(span[1] for span in spans) + 1)
    return session_intervals(session, first, end) if first < end else ()


def feed_intervals(schema: SchemaName, wanted: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """The times that a feed covers: those of the view, but one that builds a book begins with its first day."""
    if schema not in BOOKS:
        return wanted
    return ((wanted[0][0] // DAY_NS * DAY_NS if wanted[0][0] > ALWAYS[0] else ALWAYS[0], wanted[-1][1]),)


def single_session(intervals: tuple[Interval, ...], level: str) -> Interval:
    """The one session of a view that builds a book.

    Raises:
        NotSupported: where there are several.
    """
    if len(intervals) > 1:
        raise NotSupported(
            f"session= on {level} covers one session, the range holds {len(intervals)}: the book must be built through the nights; "
            "ask for one day at a time, or for level='L1' where it is stored"
        )
    return intervals[0]
