"""Tables of steps: a price or size increment that depends on the price, on the date, or on both.

| market | table |
|---|---|
| Nasdaq below and from a dollar | `{0: "0.0001", 1: "0.01"}` |
| one step, and another from a date on | `{"2007-01-29": "0.01", "2026-11-02": "0.005"}` |
| bands that change on a date | `{"2018-01-03": {0: "0.0001", 1: "0.0002"}, "2026-07-01": {0: "0.0001", 1: "0.0005"}}` |

A band begins with its price, goes by the distance from zero, and holds up to the next one. Dates are UTC midnights; a text or
datetime with a zone says another moment. Before the first date of a table every tick will do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import pairwise
from numbers import Real
from typing import Any

from cift.domain.decimals import to_decimal
from cift.domain.moment import short_iso, time_ns
from cift.errors import InvalidParameter

FIRST_NS, END_NS = -(2**63), 2**63 - 1


@dataclass(frozen=True, order=True)
class Band:
    """One step, from a moment and a distance from zero on."""

    since_ns: int
    above: Decimal
    step: Decimal


@dataclass(frozen=True)
class StepTable:
    """Bands, ascending by time and then by price.

    Example:
        >>> table = StepTable.of({0: "0.0001", 1: "0.01"}, "price_increment")
        >>> str(table.at(0, Decimal("0.5"))), str(table.at(0, Decimal("-17.31")))
        ('0.0001', '0.01')
    """

    bands: tuple[Band, ...]

    @classmethod
    def of(cls, given: Any, name: str) -> StepTable:
        """A table from a mapping of prices, or of dates, or of dates to mappings of prices; or from the text of one.

        Raises:
            InvalidParameter: a key or step that cannot be read, bands that do not begin at 0, or a band that begins between two
                steps of its own or of the band below it.
        """
        if isinstance(given, StepTable):
            return given
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except json.JSONDecodeError as error:
                raise InvalidParameter(f"{name} cannot be read as a table: {error}") from None
        if not isinstance(given, Mapping) or not given:
            raise InvalidParameter(f"{name} must be a number or a mapping such as {{0: '0.0001', 1: '0.01'}}, not {given!r}")
        dated = [key for key in given if not _is_number(key)]
        if len(dated) not in (0, len(given)):
            raise InvalidParameter(
                f"{name} mixes prices and dates: {', '.join(map(str, given))}; write {{date: {{price: step}}}}"
            )
        eras = {FIRST_NS: given} if not dated else {_moment(key, name): steps for key, steps in given.items()}
        if len(eras) < (len(dated) or 1):
            raise InvalidParameter(f"{name} names one date twice: {', '.join(map(str, given))}")
        bands = [band for since in sorted(eras) for band in _bands(since, eras[since], name)]
        return cls(tuple(bands))

    @property
    def is_dated(self) -> bool:
        """Whether it depends on the date."""
        return self.bands[0].since_ns != FIRST_NS or len({band.since_ns for band in self.bands}) > 1

    @property
    def is_even(self) -> bool:
        """Whether it is one step, whatever the price and the date."""
        return len(self.bands) == 1 and not self.is_dated

    @property
    def is_banded(self) -> bool:
        """Whether it depends on the price."""
        return any(band.above for band in self.bands)

    def at(self, ts_ns: int, price: Decimal) -> Decimal | None:
        """The step in force; None before the first date."""
        found = [band.step for _, band in self.cells(ts_ns) if abs(price) >= band.above]
        return found[-1] if found else None

    def cells(self, ts_ns: int) -> Iterator[tuple[Decimal | None, Band]]:
        """The bands in force at a moment, each with the price at which the next one begins."""
        begun = [band.since_ns for band in self.bands if band.since_ns <= ts_ns]
        in_force = [band for band in self.bands if begun and band.since_ns == begun[-1]]
        ends = [band.above for band in in_force[1:]]
        yield from zip([*ends, None][: len(in_force)], in_force, strict=True)

    def eras(self) -> Iterator[tuple[int, int]]:
        """The periods in which the steps stay the same, in ns since the epoch, the end excluded."""
        starts = sorted({band.since_ns for band in self.bands})
        yield from pairwise([*starts, END_NS])

    def rows(self, unit: Decimal) -> list[tuple[int, int, int]]:
        """The bands as (since in ns, from, step), both in a unit that all of them are whole numbers of."""
        return [(band.since_ns, int(band.above / unit), int(band.step / unit)) for band in self.bands]

    def check_on(self, unit: Decimal, name: str, unit_name: str) -> None:
        """That every step is a whole number of a unit.

        Raises:
            InvalidParameter: where one is not.
        """
        for band in self.bands:
            if Fraction(band.step) % Fraction(unit) or Fraction(band.above) % Fraction(unit):
                raise InvalidParameter(
                    f"{name}: the step {band.step} from {band.above} on is not a whole number of the {unit_name} {unit}, which is "
                    "the finest step of all; make that smaller"
                )
            if max(band.above, band.step) / unit > 2**53:
                raise InvalidParameter(f"{name}: {max(band.above, band.step)} is more than 2**53 times the {unit_name} {unit}")

    def __str__(self) -> str:
        """The table as JSON text, exact; `StepTable.of` reads it again."""
        eras: dict[str, Any] = {}
        for since, _ in self.eras():
            steps = {format(band.above, "f"): format(band.step, "f") for band in self.bands if band.since_ns == since}
            if not self.is_dated:
                return json.dumps(steps)
            eras[short_iso(since)] = steps["0"] if len(steps) == 1 else steps
        return json.dumps(eras)


def _is_number(key: Any) -> bool:
    if not isinstance(key, str):
        return isinstance(key, (Real, Decimal))
    try:
        return Decimal(key).is_finite()
    except InvalidOperation:
        return False


def _moment(key: Any, name: str) -> int:
    return time_ns(key, f"a date of {name}")[0]


def _bands(since_ns: int, given: Any, name: str) -> list[Band]:
    steps = given if isinstance(given, Mapping) else {0: given}
    read = sorted((_plain(to_decimal(above, name)), _plain(to_decimal(step, name))) for above, step in steps.items())
    if not read or read[0][0] != 0:
        raise InvalidParameter(f"the first band of {name} must begin at 0, not at {read[0][0] if read else 'nothing'}")
    if len({above for above, _ in read}) < len(read):
        raise InvalidParameter(f"{name} has two bands from one price on: {', '.join(map(str, steps))}")
    for (_, below), (above, step) in pairwise([(Decimal(0), read[0][1]), *read]):
        if step <= 0:
            raise InvalidParameter(f"{name} must be positive, not {step} from {above} on")
        # So that a price that is rounded up to the end of a band is on the next one too.
        if Fraction(above) % Fraction(step) or Fraction(above) % Fraction(below):
            raise InvalidParameter(
                f"{name}: the band from {above} on begins between two steps of {step}, or of {below} below it; let it begin on both"
            )
    return [Band(since_ns, above, step) for above, step in read]


def _plain(value: Decimal) -> Decimal:
    return value.normalize() if value != value.to_integral() else Decimal(int(value))
