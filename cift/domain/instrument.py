"""What is traded, and the grid its prices and sizes lie on."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from numbers import Integral, Real

from cift.domain.calendar import ALWAYS_OPEN, calendar_name
from cift.errors import InvalidParameter, OffLotSize, OffTickPrice

MONEY_UNITS_PER_ONE = 10**18
"""Money is counted in units of 1e-18 of a currency."""

MONEY_UNITS_MAX = 2**127 - 1
MONEY_MAX = float(MONEY_UNITS_MAX // MONEY_UNITS_PER_ONE)
"""The largest amount that can be given: what 128 bits hold, 1.7e20 of a currency."""

GRID_TOLERANCE = 1e-6
"""How far from a whole number of steps a float may lie, in steps; float arithmetic such as `bid + 0.01` stays far within."""

Number = Decimal | int | float | str


EXPONENT_MAX = 60
"""Far beyond what money, prices and sizes can be, and far within what decimals can be reckoned with."""


def to_decimal(value: Number, name: str) -> Decimal:
    """`value` as an exact decimal; a float counts as the shortest decimal that prints it (0.1 is one tenth).

    Raises:
        InvalidParameter: where it is not a finite number.
    """
    if isinstance(value, (bool, tuple, list)):  # Decimal would take them
        raise InvalidParameter(f"{name} must be a number such as '0.01', not {value!r}")
    try:
        if isinstance(value, Integral):  # NumPy's among them
            number = Decimal(int(value))
        else:
            number = Decimal(str(value)) if isinstance(value, Real) else Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        raise InvalidParameter(f"{name} must be a number such as '0.01', not {value!r}") from None
    if not number.is_finite():
        raise InvalidParameter(f"{name} must be finite, not {value!r}")
    if number and abs(number.adjusted()) > EXPONENT_MAX:
        raise InvalidParameter(
            f"{name} {number:.3e} is out of range; it must lie between 1e-{EXPONENT_MAX} and 1e+{EXPONENT_MAX}"
        )
    return number


def decimal_fraction(step: Decimal) -> tuple[int, int]:
    """`(n, d)` such that `step` is n / 10**d, with the smallest d that is not negative."""
    exponent = step.normalize().as_tuple().exponent
    d = max(0, -int(exponent))
    return int(step.scaleb(d)), d


@dataclass(frozen=True)
class Instrument:
    """One tradable thing. Prices are in `currency` per unit, sizes in units.

    Args:
        symbol: the name with its venue, `AAPL.XNAS`.
        tick_size: the finest price step that any order or displayed level takes; fixed for the instrument's life.
        lot_size: the finest size step.
        price_increment: the grid of displayed orders, a whole number of ticks; None: the tick itself.
        multiplier: currency per unit and point of price (a contract's multiplier).
        currency: what prices and money are in.
        calendar: when it trades: "24/7" or an exchange's calendar, "XNYS"; another name for it ("NASDAQ", "XNAS") becomes that one.

    Steps may be given as Decimal, text, int or float (a float counts as the decimal that prints it).

    Raises:
        InvalidParameter: where a step is not positive, the increment is not on the tick, or one tick of one lot is not a
            whole number of 1e-18 of the currency, so that money could not be counted exactly.
        UnknownName: where the calendar does not exist; the message suggests the nearest one.

    Example:
        >>> apple = Instrument("AAPL.XNAS", tick_size="0.01", lot_size=1)
        >>> apple.to_ticks("585.33"), apple.price(58533)
        (58533, 585.33)
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    price_increment: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    currency: str = "USD"
    calendar: str = ALWAYS_OPEN

    def __post_init__(self) -> None:
        object.__setattr__(self, "calendar", calendar_name(self.calendar))
        if not isinstance(self.symbol, str) or not self.symbol or len(self.symbol) > 100 or not self.symbol.isprintable():
            raise InvalidParameter(
                f"symbol must be a printable name of 1 to 100 characters such as 'AAPL.XNAS', not {self.symbol!r}"
            )
        for name in ("tick_size", "lot_size", "price_increment", "multiplier"):
            given = getattr(self, name)
            if given is None and name == "price_increment":
                continue
            value = to_decimal(given, f"{name} of {self.symbol}")
            if value <= 0:
                raise InvalidParameter(f"{name} of {self.symbol} must be positive, not {given}")
            object.__setattr__(self, name, value.normalize() if value != value.to_integral() else Decimal(int(value)))
        if self.price_increment is not None and Fraction(self.price_increment) % Fraction(self.tick_size):
            raise InvalidParameter(
                f"price_increment {self.price_increment} of {self.symbol} is not a whole number of ticks of "
                f"{self.tick_size}; tick_size is the finest step of all, so make it smaller"
            )
        step = Fraction(self.tick_size) * Fraction(self.lot_size) * Fraction(self.multiplier) * MONEY_UNITS_PER_ONE
        if step.denominator != 1:
            raise InvalidParameter(
                f"tick_size {self.tick_size} x lot_size {self.lot_size} x multiplier {self.multiplier} of {self.symbol} is "
                "not a whole number of 1e-18: money could not be counted exactly; use coarser steps"
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
    def increment(self) -> Decimal:
        """The grid of displayed orders: `price_increment`, or the tick."""
        return self.tick_size if self.price_increment is None else self.price_increment

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
        """All fields as text, exact; `Instrument(**d)` gives the same instrument back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: format(value, "f") if isinstance(value, Decimal) else value for name, value in values.items()}


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
