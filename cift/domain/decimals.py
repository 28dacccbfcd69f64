"""Numbers as users write them, exact."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from numbers import Integral, Real

from cift.errors import InvalidParameter

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
