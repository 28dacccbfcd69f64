"""What the doctor writes down while rows pass: of each kind how many, from when to when, and a few of them in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cift.data.columns import Array, RawColumns, length
from cift.data.doctor.kinds import KINDS, SEVERITIES, Severity
from cift.data.times import DAY_NS, iso
from cift.domain.chunk import SchemaName
from cift.domain.schemas import NO_TIME_NS, WORD_CODES

MARK_BUCKETS = 400
"""Buckets of time in which one row of each kind is kept for the picture."""
_WORDS = {column: {code: word for word, code in codes.items()} for column, codes in WORD_CODES.items()}


class Example(NamedTuple):
    """One row of a finding: the file or day it stands in, its number there (as the source counts), and what it says."""

    source: str
    row: int
    text: str


@dataclass(frozen=True)
class Finding:
    """One kind of fault in the rows of one symbol and schema.

    Args:
        symbol, schema: whose rows.
        kind: a key of `cift.data.doctor.kinds.KINDS`.
        severity: "error", "warning" or "info".
        count: how many rows, or seconds, spans and sessions where the kind is about these.
        share: `count` by the rows looked at; None where it does not count rows.
        first_ns, last_ns: `ts_event` of the first and the last of them in time, ns since the epoch; None where it has none.
        examples: the first ones in full.
        meaning, advice: a sentence each: what it means, and what to do.
    """

    symbol: str
    schema: str
    kind: str
    severity: Severity
    count: int
    share: float | None
    first_ns: int | None
    last_ns: int | None
    examples: tuple[Example, ...]
    meaning: str
    advice: str

    @property
    def rank(self) -> tuple[int, int, str, str, str]:
        """Sorts the gravest first, and of these the most frequent."""
        return SEVERITIES.index(self.severity), -self.count, self.kind, self.symbol, self.schema


@dataclass
class Batch:
    """Some rows of one source, one after the other.

    Args:
        source: the file or day, as findings name it.
        numbers: the number of each row in it.
        columns: raw columns with `venue_seq`, and `sequence` where the source states one.
        first: how many rows of the symbol and schema came before, over all sources.
        timed: which rows have a time of our age. The others are reported, and left out of every rule about time.
    """

    source: str
    numbers: Array
    columns: RawColumns
    first: int = 0
    timed: Array = field(default_factory=lambda: np.empty(0, dtype=bool))

    @property
    def rows(self) -> int:
        """How many."""
        return length(self.columns)

    def days(self, last_day: int | None) -> Array:
        """The UTC day of each row, in days since the epoch; a row without a usable time is of the day of the row above.

        Args:
            last_day: of the row above the first; None where there is none.
        """
        days = self.columns["ts_event"] // DAY_NS
        if self.timed.all() or not self.timed.any():
            return days if self.timed.any() else np.full_like(days, last_day or 0)
        above = np.maximum.accumulate(np.where(self.timed, np.arange(len(days)), -1))
        first = int(days[self.timed][0]) if last_day is None else last_day
        filled: Array = np.where(above < 0, first, days[np.maximum(above, 0)])
        return filled

    def take(self, hits: Array, value: Array | None = None) -> Rows:
        """Some of the rows, by their index in the batch, to be written down now or later."""
        values = np.full(len(hits), np.nan) if value is None else value
        return Rows([self.source] * len(hits), self.numbers[hits], hits + self.first, self.columns["ts_event"][hits], values)


@dataclass
class Rows:
    """Rows that are waiting for a verdict: source, number in it, number of all, time, and the price in question."""

    sources: list[str]
    numbers: Array
    places: Array
    ts_event: Array
    values: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, which: Array) -> Rows:
        at = np.flatnonzero(which) if which.dtype == bool else which
        named = [self.sources[index] for index in at.tolist()]
        return Rows(named, self.numbers[at], self.places[at], self.ts_event[at], self.values[at])

    def __add__(self, other: Rows) -> Rows:
        return Rows(
            self.sources + other.sources,
            np.concatenate((self.numbers, other.numbers)),
            np.concatenate((self.places, other.places)),
            np.concatenate((self.ts_event, other.ts_event)),
            np.concatenate((self.values, other.values)),
        )

    @classmethod
    def none(cls) -> Rows:
        """No rows."""
        whole = np.empty(0, dtype=np.int64)
        return cls([], whole, whole, whole, np.empty(0))


@dataclass
class _Case:
    count: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    examples: list[Example] = field(default_factory=list)
    places: list[Array] = field(default_factory=list)


class Casebook:
    """Findings of one symbol and schema while its rows pass.

    Args:
        symbol, schema: whose rows.
        name: what findings call the schema; of bars the spec too.
        examples: how many rows of a kind are kept in full.
        every_row: keep the place of every row found, as `places`; for repair.
    """

    def __init__(
        self, symbol: str, schema: SchemaName, *, name: str | None = None, examples: int = 5, every_row: bool = False
    ) -> None:
        self.symbol, self.schema = symbol, schema
        self.name = schema if name is None else name
        self.rows = 0
        self.notes: list[str] = []
        self.marks: dict[str, dict[int, tuple[int, float, int]]] = {}
        """Of each kind and bucket of time: the first row's time and price, and how many."""
        self.mark_width_ns = 1_000_000_000
        self.spans: list[tuple[str, int, int]] = []
        """Kind, start and end of each time without rows."""
        self._examples, self._every_row = examples, every_row
        self._cases: dict[str, _Case] = {}
        self._severities: dict[str, Severity] = {}
        self._countless: set[str] = set()

    def add(self, kind: str, hits: Array, batch: Batch, price: Array | None = None) -> None:
        """Writes down rows of a batch, by mask or by index."""
        if hits.dtype == bool:
            hits = np.flatnonzero(hits)
        if not len(hits):
            return
        case = self._case(kind)
        for index in hits[: max(0, self._examples - len(case.examples))].tolist():
            text = shown(batch.columns, index)
            case.examples.append(Example(batch.source, int(batch.numbers[index]), text))
        values = None if price is None else price[hits]
        self._note(kind, case, batch.columns["ts_event"][hits], hits + batch.first, values)

    def add_rows(self, kind: str, rows: Rows) -> None:
        """Writes down rows that had to wait for a verdict."""
        if not len(rows):
            return
        case = self._case(kind)
        for index in range(min(len(rows), max(0, self._examples - len(case.examples)))):
            text = f"ts_event {moment(int(rows.ts_event[index]))}, price {float(rows.values[index])!r}"
            case.examples.append(Example(rows.sources[index], int(rows.numbers[index]), text))
        self._note(kind, case, rows.ts_event, rows.places, rows.values)

    def add_span(self, kind: str, start_ns: int, end_ns: int, source: str, row: int, text: str) -> None:
        """Writes down a time, such as one without rows; `row` is the one that ends it."""
        case = self._case(kind)
        self._countless.add(kind)
        self.spans.append((kind, start_ns, end_ns))
        if len(case.examples) < self._examples:
            case.examples.append(Example(source, row, text))
        self._note(kind, case, np.array([start_ns]), np.empty(0, dtype=np.int64), None)
        case.last_ns = max(end_ns, case.last_ns or end_ns)

    def add_text(self, kind: str, source: str, text: str, *, row: int = -1) -> None:
        """Writes down what is said about a file or about the whole."""
        case = self._case(kind)
        self._countless.add(kind)
        case.count += 1
        if len(case.examples) < self._examples:
            case.examples.append(Example(source, row, text))

    def soften(self, kind: str, severity: Severity) -> None:
        """Gives a kind another severity here than it has by itself."""
        self._severities[kind] = severity

    def places(self, *kinds: str) -> Array:
        """Places of all rows of some kinds, ascending; only with `every_row`."""
        found = [piece for kind in kinds if kind in self._cases for piece in self._cases[kind].places]
        return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    @property
    def counts(self) -> Counter[str]:
        """How often each kind was met."""
        return Counter({kind: case.count for kind, case in self._cases.items()})

    def drop(self, kind: str) -> None:
        """Takes a kind back: the whole showed that it is none."""
        self._cases.pop(kind, None)
        self.marks.pop(kind, None)

    def findings(self) -> list[Finding]:
        """The gravest first."""
        found = [
            Finding(
                symbol=self.symbol,
                schema=self.name,
                kind=kind,
                severity=self._severities.get(kind, KINDS[kind].severity),
                count=case.count,
                share=None if kind in self._countless or not self.rows else case.count / self.rows,
                first_ns=case.first_ns,
                last_ns=case.last_ns,
                examples=tuple(case.examples),
                meaning=KINDS[kind].meaning,
                advice=KINDS[kind].advice,
            )
            for kind, case in self._cases.items()
        ]
        return sorted(found, key=lambda finding: finding.rank)

    def _case(self, kind: str) -> _Case:
        return self._cases.setdefault(kind, _Case())

    def _note(self, kind: str, case: _Case, ts_event: Array, places: Array, values: Array | None) -> None:
        case.count += len(ts_event)
        if self._every_row:
            case.places.append(places)
        known = ts_event[ts_event != NO_TIME_NS]
        if not len(known):
            return
        first, last = int(known.min()), int(known.max())
        case.first_ns = first if case.first_ns is None else min(first, case.first_ns)
        case.last_ns = last if case.last_ns is None else max(last, case.last_ns)
        self._mark(kind, ts_event, values)

    def _mark(self, kind: str, ts_event: Array, values: Array | None) -> None:
        buckets, at, counts = np.unique(ts_event // self.mark_width_ns, return_index=True, return_counts=True)
        while len(buckets) > MARK_BUCKETS:
            self._widen()
            buckets, at, counts = np.unique(ts_event // self.mark_width_ns, return_index=True, return_counts=True)
        marks = self.marks.setdefault(kind, {})
        for bucket, index, count in zip(buckets.tolist(), at.tolist(), counts.tolist(), strict=True):
            value = float("nan") if values is None else float(values[index])
            before = marks.get(bucket)
            marks[bucket] = (int(ts_event[index]), value, count) if before is None else (*before[:2], before[2] + count)
        while len(self.marks[kind]) > MARK_BUCKETS:
            self._widen()

    def _widen(self) -> None:
        self.mark_width_ns *= 2
        for name in self.marks:
            self.marks[name] = _wider(self.marks[name], self.mark_width_ns)


def _wider(marks: Mapping[int, tuple[int, float, int]], width_ns: int) -> dict[int, tuple[int, float, int]]:
    wider: dict[int, tuple[int, float, int]] = {}
    for ts_ns, value, count in marks.values():
        before = wider.get(ts_ns // width_ns)
        wider[ts_ns // width_ns] = (ts_ns, value, count) if before is None else (*before[:2], before[2] + count)
    return wider


def moment(ts_ns: int) -> str:
    """A time as ISO text."""
    return "missing" if ts_ns == NO_TIME_NS else iso(ts_ns)


def shown(columns: Mapping[str, Any], index: int) -> str:
    """A row in words: every column but our own count and what is missing."""
    parts = []
    for name, array in columns.items():
        value = array[index].item()
        if name in ("ts_event", "ts_recv", "ts_open"):
            if name == "ts_event" or value != NO_TIME_NS:
                parts.append(f"{name} {moment(value)}")
        elif name in _WORDS:
            parts.append(f"{name} {_WORDS[name].get(value, value)}")
        elif name not in ("sequence", "flags") and value != NO_TIME_NS:
            parts.append(f"{name} {value!r}")
    return ", ".join(parts)
