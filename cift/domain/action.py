"""Corporate actions: what a share becomes, or pays, on the day from which it trades without it."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from cift.domain.decimals import to_decimal
from cift.errors import InvalidParameter

Kind = Literal["split", "dividend"]
KINDS: tuple[Kind, ...] = ("split", "dividend")


@dataclass(frozen=True)
class Action:
    """One split or cash dividend.

    Args:
        symbol: the symbol, with its venue.
        ex_date: the first day on which it trades at the new terms, as the exchange dates it.
        kind: "split" or "dividend".
        ratio: of a split: new shares for old ones, "4:1" or 4; a consolidation is "1:10". A stock dividend of 5 % is "21:20".
        amount: of a dividend: cash per share, of the shares that there are after a split of the same day.
        currency: of the amount.
        close: of a dividend: the price before the ex-date that its factor is reckoned with; None: the last print of the
            session before, as the catalog holds it, which is not that of the closing auction (`Catalog.price_before`).

    Raises:
        InvalidParameter: where it is none of these, or a figure is missing, not positive, or of the other kind.

    Example:
        >>> Action("AAPL.XNAS", "2020-08-31", "split", ratio="4:1").ratio
        Fraction(4, 1)
    """

    symbol: str
    ex_date: dt.date
    kind: Kind
    ratio: Fraction | None = None
    amount: Decimal | None = None
    currency: str = "USD"
    close: Decimal | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.symbol, str) or not self.symbol:
            raise InvalidParameter(f"an action needs the symbol that it is of, such as 'AAPL.XNAS', not {self.symbol!r}")
        object.__setattr__(self, "ex_date", _day(self.ex_date, self.symbol))
        if self.kind not in KINDS:
            raise InvalidParameter(f"the kind of {self._name()} must be {' or '.join(KINDS)}, not {self.kind!r}")
        needed, unused = ("ratio", ("amount", "close")) if self.kind == "split" else ("amount", ("ratio",))
        for name in ("ratio", "amount", "close"):
            given = getattr(self, name)
            if given is None and name == needed:
                raise InvalidParameter(f"{self._name()} has no {name}")
            if given is not None and name in unused:
                raise InvalidParameter(f"{self._name()} has a {name}, {given}, which a {self.kind} has not")
            if given is not None:
                object.__setattr__(self, name, self._figure(name, given))
        if self.close is not None and self.amount is not None and self.amount >= self.close:
            raise InvalidParameter(f"{self._name()} pays {self.amount}, not less than the close before it, {self.close}")

    def _name(self) -> str:
        return f"the {self.kind} of {self.symbol} on {self.ex_date}"

    def _figure(self, name: str, given: Any) -> Fraction | Decimal:
        what = f"{name} of {self._name()}"
        value: Fraction | Decimal
        if name == "ratio" and isinstance(given, Fraction):
            value = given
        elif name == "ratio" and isinstance(given, str) and (mark := next((mark for mark in ":/" if mark in given), "")):
            new, _, old = given.partition(mark)
            shares = to_decimal(new, what), to_decimal(old, what)
            if shares[1] <= 0:
                raise InvalidParameter(f"{what} must be new shares for old ones, such as '4:1', not {given!r}")
            value = Fraction(shares[0]) / Fraction(shares[1])
        else:
            value = to_decimal(given, what)
        if value <= 0:
            raise InvalidParameter(f"{what} must be positive, not {given}")
        return Fraction(value) if name == "ratio" else value

    def to_dict(self) -> dict[str, str]:
        """The fields that are set, as text, exact; `Action(**d)` gives the same back."""
        told = {"symbol": self.symbol, "ex_date": self.ex_date.isoformat(), "kind": self.kind}
        if self.ratio is not None:
            return told | {"ratio": f"{self.ratio.numerator}:{self.ratio.denominator}"}
        told |= {"amount": format(self.amount, "f"), "currency": self.currency}
        return told if self.close is None else told | {"close": format(self.close, "f")}

    def __str__(self) -> str:
        what = f"split {self.to_dict()['ratio']}" if self.ratio is not None else f"dividend {self.amount} {self.currency}"
        return f"{what} on {self.ex_date}"


def _day(given: Any, symbol: str) -> dt.date:
    if isinstance(given, dt.datetime):
        given = given.date()
    if isinstance(given, str):
        with suppress(ValueError):
            given = dt.date.fromisoformat(given.strip())
    if not isinstance(given, dt.date):
        raise InvalidParameter(f"the ex_date of an action of {symbol} must be a date such as '2020-08-31', not {given!r}")
    return given
