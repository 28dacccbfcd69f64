"""What is traded, and the grid its prices and sizes lie on."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from cift.domain.calendar import ALWAYS_OPEN, calendar_name
from cift.domain.decimals import Number as Number
from cift.domain.decimals import decimal_fraction as decimal_fraction
from cift.domain.decimals import to_decimal as to_decimal
from cift.domain.moment import iso, short_iso, time_ns
from cift.domain.steps import StepTable
from cift.errors import InvalidParameter, OffLotSize, OffTickPrice

MONEY_UNITS_PER_ONE = 10**18
"""Money is counted in units of 1e-18 of a currency."""

MONEY_UNITS_MAX = 2**127 - 1
MONEY_MAX = float(MONEY_UNITS_MAX // MONEY_UNITS_PER_ONE)
"""The largest amount that can be given: what 128 bits hold, 1.7e20 of a currency."""

FOR_LIFE = ("tick_size", "lot_size", "multiplier", "currency")
"""Fields that hold for an instrument's life, once rows of it are stored."""

GRID_TOLERANCE = 1e-6
"""How far from a whole number of steps a float may lie, in steps; float arithmetic such as `bid + 0.01` stays far within."""


@dataclass(frozen=True)
class Instrument:
    """One tradable thing. Prices are in `currency` per unit, sizes in units.

    Args:
        symbol: the name with its venue, `AAPL.XNAS`.
        tick_size: the finest price step that any order or displayed level takes; fixed for the instrument's life.
        lot_size: the finest size step.
        price_increment: the grid of displayed orders, a whole number of ticks, or a table of steps by price, by date or by
            both (`cift.domain.steps`); None: the tick itself.
        multiplier: currency per unit and point of price (a contract's multiplier).
        currency: what prices and money are in.
        calendar: when it trades: "24/7" or an exchange's calendar, "XNYS"; another name for it ("NASDAQ", "XNAS") becomes that one.
        size_increment: the grid of order sizes, a whole number of lots, or a table by date; None: the lot itself.
        min_quantity: the smallest order; None: one lot.
        max_quantity: the largest order; None: no limit of the instrument.
        min_notional: the least that an order may be worth, price times size times multiplier, in `currency`; an order at the
            market counts at the price it would trade at. None: no limit.
        activation: when trading begins, and expiry: when it has ended, each a moment with a time of day, UTC unless it says
            otherwise, kept in nanoseconds since the epoch; None: it always did, it never will.

    The four limits and the size increment are rules for orders that are sent; recorded orders need not keep to them, since what is
    left of one may be of any number of lots.

    Steps may be given as Decimal, text, int or float (a float counts as the decimal that prints it).

    Raises:
        InvalidParameter: where a step is not positive, an increment is not on the tick or lot, one tick of one lot is not a
            whole number of 1e-18 of the currency, so that money could not be counted exactly, or a limit or moment means nothing.
        UnknownName: where the calendar does not exist; the message suggests the nearest one.

    Example:
        >>> apple = Instrument("AAPL.XNAS", tick_size="0.01", lot_size=1)
        >>> apple.to_ticks("585.33"), apple.price(58533)
        (58533, 585.33)
        >>> nasdaq = Instrument("AAPL.XNAS", tick_size="0.0001", lot_size=1, price_increment={0: "0.0001", 1: "0.01"})
        >>> nasdaq.increment_at("0.57"), nasdaq.increment_at("585.33")
        (Decimal('0.0001'), Decimal('0.01'))
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    price_increment: Decimal | StepTable | None = None
    multiplier: Decimal = Decimal(1)
    currency: str = "USD"
    calendar: str = ALWAYS_OPEN
    size_increment: Decimal | StepTable | None = None
    min_quantity: Decimal | None = None
    max_quantity: Decimal | None = None
    min_notional: Decimal | None = None
    activation: int | None = None
    expiry: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "calendar", calendar_name(self.calendar))
        if not isinstance(self.symbol, str) or not self.symbol or len(self.symbol) > 100 or not self.symbol.isprintable():
            raise InvalidParameter(
                f"symbol must be a printable name of 1 to 100 characters such as 'AAPL.XNAS', not {self.symbol!r}"
            )
        for name in ("tick_size", "lot_size", "multiplier", *_LIMITS):
            self._read(name, getattr(self, name))
        for name, unit_name in (("price_increment", "tick_size"), ("size_increment", "lot_size")):
            given = getattr(self, name)
            if not isinstance(given, (dict, StepTable)) and not str(given).startswith("{"):
                self._read(name, given)
                given = getattr(self, name)
                if given is None:
                    continue
                given = {0: given}
            self._read_table(name, StepTable.of(given, f"{name} of {self.symbol}"), unit_name)
        self._check_limits()
        for name in ("activation", "expiry"):
            object.__setattr__(self, name, _moment(getattr(self, name), f"{name} of {self.symbol}"))
        if self.activation is not None and self.expiry is not None and self.activation >= self.expiry:
            raise InvalidParameter(
                f"{self.symbol} expires at {iso(self.expiry)}, which must be later than its activation {iso(self.activation)}"
            )
        step = Fraction(self.tick_size) * Fraction(self.lot_size) * Fraction(self.multiplier) * MONEY_UNITS_PER_ONE
        if step.denominator != 1:
            raise InvalidParameter(
                f"tick_size {self.tick_size} x lot_size {self.lot_size} x multiplier {self.multiplier} of {self.symbol} is "
                "not a whole number of 1e-18: money could not be counted exactly; use coarser steps"
            )

    def _read(self, name: str, given: Any) -> None:
        if given is None and name not in ("tick_size", "lot_size", "multiplier"):
            return
        value = to_decimal(given, f"{name} of {self.symbol}")
        if value <= 0:
            raise InvalidParameter(f"{name} of {self.symbol} must be positive, not {given}")
        object.__setattr__(self, name, value.normalize() if value != value.to_integral() else Decimal(int(value)))

    def _read_table(self, name: str, table: StepTable, unit_name: str) -> None:
        """Keeps a table, or the one step that it comes to."""
        if name == "size_increment" and table.is_banded:
            raise InvalidParameter(f"size_increment of {self.symbol} may depend on the date, not on the price: {table}")
        table.check_on(getattr(self, unit_name), f"{name} of {self.symbol}", unit_name)
        object.__setattr__(self, name, table.bands[0].step if table.is_even else table)

    def _check_limits(self) -> None:
        for name in ("min_quantity", "max_quantity"):
            value = getattr(self, name)
            if value is not None and Fraction(value) % Fraction(self.lot_size):
                raise InvalidParameter(f"{name} {value} of {self.symbol} is not a whole number of lots of {self.lot_size}")
        if self.min_quantity is not None and self.max_quantity is not None and self.min_quantity > self.max_quantity:
            raise InvalidParameter(
                f"min_quantity {self.min_quantity} of {self.symbol} is above max_quantity {self.max_quantity}"
            )
        if self.min_notional is not None:
            units = Fraction(self.min_notional) * MONEY_UNITS_PER_ONE
            if units.denominator != 1 or units > MONEY_UNITS_MAX:
                raise InvalidParameter(
                    f"min_notional {self.min_notional} of {self.symbol} must be a whole number of 1e-18 and at most {MONEY_MAX:.1e}"
                )

    @cached_property
    def tick_fraction(self) -> tuple[int, int]:
        """`(n, d)`: tick_size is n / 10**d."""
        return decimal_fraction(self.tick_size)

    @cached_property
    def lot_fraction(self) -> tuple[int, int]:
        """`(n, d)`: lot_size is n / 10**d."""
        return decimal_fraction(self.lot_size)

    @property
    def price_steps(self) -> StepTable:
        """The grid of displayed orders as a table, of one band where it is even."""
        return StepTable.of(
            {0: self.tick_size} if self.price_increment is None else _table(self.price_increment), "price_increment"
        )

    @property
    def size_steps(self) -> StepTable:
        """The grid of order sizes as a table."""
        return StepTable.of(
            {0: self.lot_size} if self.size_increment is None else _table(self.size_increment), "size_increment"
        )

    @property
    def increment(self) -> Decimal:
        """The grid that every displayed order lies on: `price_increment`, or the tick where that is a table or None."""
        return self.price_increment if isinstance(self.price_increment, Decimal) else self.tick_size

    def increment_at(self, price: Number, at: Any = None) -> Decimal:
        """The grid of displayed orders at a price.

        Args:
            at: a date, ISO text, datetime or nanoseconds since the epoch; None: as the table's last date says.
        """
        ts_ns = 2**63 - 1 if at is None else time_ns(at, "at")[0]
        return self.price_steps.at(ts_ns, to_decimal(price, "price")) or self.tick_size

    def has_steps_of(self, other: Instrument) -> bool:
        """Whether what holds for an instrument's life is the same: tick, lot, multiplier and currency."""
        return all(getattr(self, name) == getattr(other, name) for name in FOR_LIFE)

    def filled_from(self, known: Instrument) -> Instrument:
        """The same with the rules for orders, the calendar and the expiry of another, where this states none."""
        told = {name: getattr(known, name) for name, nothing in _RULES.items() if getattr(self, name) == nothing}
        return replace(self, **told)

    def is_live(self, at: Any) -> bool:
        """Whether it trades at a moment: from its activation on, until its expiry."""
        ts_ns = time_ns(at, "at")[0]
        return (self.activation is None or ts_ns >= self.activation) and (self.expiry is None or ts_ns < self.expiry)

    def to_ticks(self, price: Number) -> int:
        """A price as a whole number of ticks. A float may be off by float noise: 1e-6 of a tick, or four ulps.

        Raises:
            OffTickPrice: where the price lies between two ticks, or is not finite.
        """
        ticks = _whole_steps(price, *self.tick_fraction)
        if ticks is None:
            raise OffTickPrice(
                f"price {price} of {self.symbol} is not a whole number of ticks of {self.tick_size}; round it first"
            )
        return ticks

    def price(self, ticks: int) -> float:
        """A number of ticks as a price: the float nearest to the decimal, by one division."""
        n, d = self.tick_fraction
        return float(ticks * n / 10**d)

    def to_lots(self, size: Number) -> int:
        """A size as a whole number of lots; floats as in `to_ticks`.

        Raises:
            OffLotSize: where the size lies between two lots, or is not finite.
        """
        lots = _whole_steps(size, *self.lot_fraction)
        if lots is None:
            raise OffLotSize(f"size {size} of {self.symbol} is not a whole number of lots of {self.lot_size}; round it first")
        return lots

    def size(self, lots: int) -> float:
        """A number of lots as a size: the float nearest to the decimal, by one division."""
        n, d = self.lot_fraction
        return float(lots * n / 10**d)

    def to_dict(self) -> dict[str, str | None]:
        """The fields as text, exact, those left out that came later and are not set; `Instrument(**d)` gives the same back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _text(value) for name, value in values.items() if value is not None or name not in _LATER}


_LIMITS = ("min_quantity", "max_quantity", "min_notional")
_RULES = {"price_increment": None, "size_increment": None, **dict.fromkeys(_LIMITS), "calendar": ALWAYS_OPEN,
          "activation": None, "expiry": None}  # fmt: skip
"""What may be told later than the first rows, and what it is where nothing is told."""
_LATER = frozenset({"size_increment", *_LIMITS, "activation", "expiry"})


def _text(value: Any) -> str | None:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        text = short_iso(value)
        return text if "T" in text else f"{text}T00:00Z"
    return None if value is None else str(value)


def _table(step: Decimal | StepTable) -> dict[int, Decimal] | StepTable:
    return {0: step} if isinstance(step, Decimal) else step


def _moment(given: Any, name: str) -> int | None:
    if given is None:
        return None
    ts_ns, is_date = time_ns(given, name)
    if is_date:
        raise InvalidParameter(f"{name} is {given}; give the time of day too, with its zone: '2026-03-20T13:30Z'")
    return ts_ns


def _whole_steps(value: Number, n: int, d: int) -> int | None:
    """`value` in steps of n / 10**d, or None where it is not a whole number of them."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        steps = round(Fraction(value) * 10**d / n)
        noise = max(GRID_TOLERANCE * n / 10**d, 4 * math.ulp(value))
        return steps if abs(Fraction(value) - Fraction(steps * n, 10**d)) <= noise else None
    try:
        exact = Fraction(to_decimal(value, "price or size")) * 10**d / n
    except InvalidParameter:
        return None
    return int(exact) if exact.denominator == 1 else None
