"""What the simulated venue is like: latency, fees and queue rules. Parameters of the venue, never of the strategy."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cift.domain.duration import Duration, duration_ns
from cift.domain.instrument import MONEY_MAX, MONEY_UNITS_MAX, MONEY_UNITS_PER_ONE, to_decimal
from cift.errors import InvalidParameter, NotSupported

RATE_UNITS_PER_BP = 10**8
"""Fee rates are counted in 1e-12 of value; a basis point is 1e-4."""
RATE_MAX = 10_000 * RATE_UNITS_PER_BP
"""All of the value."""


@dataclass(frozen=True)
class Fees:
    """What the venue charges. A negative rate is a rebate.

    Args:
        maker_bps: of the value of a fill whose order rested, in basis points (1e-4).
        taker_bps: of the value of a fill whose order took.
        per_unit: for each unit of size, in currency.
        per_fill: for each fill, in currency.
    """

    maker_bps: float = 0.0
    taker_bps: float = 0.0
    per_unit: float = 0.0
    per_fill: float = 0.0

    def __post_init__(self) -> None:
        self.rates()
        self.charges(Decimal(1))

    def rates(self) -> tuple[int, int]:
        """Maker and taker rate in 1e-12 of value.

        Raises:
            InvalidParameter: where a rate is no number, or finer than 1e-8 basis points.
        """
        return _whole(self.maker_bps, RATE_UNITS_PER_BP, "maker_bps"), _whole(self.taker_bps, RATE_UNITS_PER_BP, "taker_bps")

    def charges(self, lot_size: Decimal) -> tuple[int, int]:
        """Charge per lot and per fill in 1e-18 of the currency."""
        per_lot = to_decimal(self.per_unit, "per_unit") * lot_size
        return _whole(per_lot, MONEY_UNITS_PER_ONE, "per_unit"), _whole(self.per_fill, MONEY_UNITS_PER_ONE, "per_fill")


def _whole(value: float | Decimal, scale: int, name: str) -> int:
    units = to_decimal(value, name) * scale
    if abs(units) > (RATE_MAX if scale == RATE_UNITS_PER_BP else MONEY_UNITS_MAX):
        raise InvalidParameter(f"{name} {value} is too large: a rate is at most 10,000 basis points, an amount {MONEY_MAX:.1e}")
    if units != units.to_integral_value():
        raise InvalidParameter(f"{name} {value} is too fine: money is counted in 1e-18, rates in 1e-12 of value")
    return int(units)


@dataclass(frozen=True)
class Latency:
    """How long messages travel.

    Args:
        feed: from the venue's record to the strategy, where the record has no time of receipt.
        entry: from the strategy's decision to the venue.
        response: from the venue's answer to the strategy.
    """

    feed: Duration = 0
    entry: Duration = 0
    response: Duration = 0

    def legs_ns(self) -> tuple[int, int, int]:
        """The three legs in nanoseconds.

        Raises:
            InvalidParameter: where one is negative: a message cannot arrive before it is sent.
        """
        legs = tuple(duration_ns(getattr(self, name), name) for name in ("feed", "entry", "response"))
        if min(legs) < 0:
            raise InvalidParameter(f"latency {self} is negative; a message cannot arrive before it is sent")
        return legs[0], legs[1], legs[2]


@dataclass(frozen=True)
class Venue:
    """A simulated venue.

    Args:
        latency: one span of time ("250us"), which sets order entry and response, or a `Latency` of three legs.
        fees: what fills cost.
        refill: when a displayed size that one of ours took is there again: "never" (until the record changes that order) or
            "next event".
    """

    latency: Duration | Latency = 0
    fees: Fees = field(default_factory=Fees)
    refill: str = "never"

    def __post_init__(self) -> None:
        if not isinstance(self.fees, Fees):
            raise InvalidParameter(f"fees {self.fees!r} are not cift.Fees; write fees=cift.Fees(taker_bps=0.5)")
        if self.refill not in ("never", "next event"):
            raise NotSupported(f'refill {self.refill!r} is not supported; there are "never" and "next event"')
        self.legs.legs_ns()

    @property
    def legs(self) -> Latency:
        """The three legs."""
        if isinstance(self.latency, Latency):
            return self.latency
        span_ns = duration_ns(self.latency, "latency")
        if span_ns < 0:
            raise InvalidParameter(f"latency {self.latency!r} is negative; a message cannot arrive before it is sent")
        return Latency(entry=span_ns, response=span_ns)

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values; they enter the run's fingerprint."""
        feed_ns, entry_ns, response_ns = self.legs.legs_ns()
        maker, taker = self.fees.rates()
        return {
            "feed_ns": feed_ns,
            "entry_ns": entry_ns,
            "response_ns": response_ns,
            "maker_rate": maker,
            "taker_rate": taker,
            "per_unit": str(to_decimal(self.fees.per_unit, "per_unit")),
            "per_fill": str(to_decimal(self.fees.per_fill, "per_fill")),
            "refill": self.refill,
        }

    def describe(self) -> str:
        """The venue in words."""
        feed_ns, entry_ns, response_ns = self.legs.legs_ns()
        fees = self.fees
        charges = [f"maker {fees.maker_bps} bp, taker {fees.taker_bps} bp"]
        charges += [f"{fees.per_unit} a unit"] if fees.per_unit else []
        charges += [f"{fees.per_fill} a fill"] if fees.per_fill else []
        return (
            f"latency {feed_ns / 1e3:g} us feed, {entry_ns / 1e3:g} us entry, {response_ns / 1e3:g} us response; "
            f"fees {', '.join(charges)}; taken sizes come back: {self.refill}"
        )
