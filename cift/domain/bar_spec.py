"""What ends a bar, as users write it: "1m", "tick-500", "dollar-1000000", "volume-imbalance-5000", "renko-0.05"."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from cift.domain.duration import duration_ns, duration_text
from cift.domain.instrument import Instrument, to_decimal
from cift.errors import InvalidParameter

WEIGHTS: Final = {"tick": "count", "volume": "lots", "dollar": "value"}
"""What is counted: prints, size, or price times size in the instrument's currency."""
RULES: Final = {"": "sum", "imbalance": "imbalance", "runs": "runs"}
KINDS: Final = (*WEIGHTS, *(f"{weight}-{rule}" for weight in WEIGHTS for rule in RULES if rule), "renko")


@dataclass(frozen=True)
class BarSpec:
    """What ends a bar.

    Args:
        text: as it was written.
        kind: "time", one of `KINDS`.
        threshold: nanoseconds of a time bar; else prints, units, currency, or the height of a brick.

    Time bars take what happened in `[start, start + length)`. The bars of a weight end with the print that brings prints,
    size or value to the threshold. Imbalance bars end where what buyers took differs from what sellers took by the
    threshold, runs bars where either comes to it (Lopez de Prado 2018, "Advances in Financial Machine Learning", section
    2.3, with a threshold that is given instead of expected). Renko bars are bricks of one height; a turn takes two.
    """

    text: str
    kind: str
    threshold: Decimal

    @property
    def name(self) -> str:
        """One spelling of each spec: "60s" is "1m", and "volume-1e3" is "volume-1000"."""
        if self.kind != "time":
            return f"{self.kind}-{self.threshold.normalize():f}"
        return duration_text(int(self.threshold))

    @classmethod
    def parse(cls, text: str | BarSpec) -> BarSpec:
        """Reads a text.

        Raises:
            InvalidParameter: where it is none; the message says what can be written.
        """
        if isinstance(text, BarSpec):
            return text
        if not isinstance(text, str):
            raise InvalidParameter(f"spec {text!r} is no text; write it like '1m', 'tick-500' or 'dollar-1000000'")
        kind, dash, amount = text.strip().rpartition("-")
        if not dash:
            return cls(text.strip(), "time", Decimal(_length_ns(text)))
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean '{near[0]}-{amount}'? " if near else ""
            raise InvalidParameter(f"bars of {text!r} are not known; {hint}There are spans such as '1m', and {_kinds()}")
        threshold = to_decimal(amount, f"the number of {text!r}")
        if threshold <= 0:
            raise InvalidParameter(f"the number of {text!r} must be above 0")
        return cls(text.strip(), kind, threshold)

    def of(self, instrument: Instrument) -> dict[str, Any]:
        """The same in the steps of an instrument: arguments of the core's builder.

        Raises:
            InvalidParameter: where a number of prints or ticks is not whole.
        """
        weight, _, rule = self.kind.partition("-")
        scale = (0, 0)
        if self.kind == "time":
            rule, weight, threshold = "time", "count", Fraction(self.threshold)
        elif self.kind == "renko":
            rule, weight, threshold = "renko", "count", Fraction(self.threshold) / Fraction(instrument.tick_size)
            if threshold.denominator != 1:
                raise InvalidParameter(
                    f"bricks of {self.threshold} are not whole ticks of {instrument.symbol}, which are {instrument.tick_size}"
                )
        else:
            rule, threshold = RULES[rule], Fraction(self.threshold)
            if weight == "volume":
                threshold /= Fraction(instrument.lot_size)
            elif weight == "dollar":
                lot = Fraction(instrument.lot_size) * Fraction(instrument.multiplier)
                per_tick, per_nano = Fraction(instrument.tick_size) * lot, Fraction(1, 10**9) * lot
                common = math.lcm(per_tick.denominator, per_nano.denominator)
                scale = (int(per_tick * common), int(per_nano * common))
                threshold *= common
            weight = WEIGHTS[weight]
        return {
            "rule": rule,
            "weight": weight,
            "threshold": math.ceil(threshold),
            "scale": scale,
            "tick": _step(instrument.tick_fraction),
            "lot": _step(instrument.lot_fraction),
        }


def _step(fraction: tuple[int, int]) -> tuple[int, int]:
    n, d = fraction
    return n, 10**d


def _length_ns(text: str) -> int:
    try:
        length = duration_ns(text, "spec")
    except InvalidParameter:
        raise InvalidParameter(f"bars of {text!r} are not known; there are spans such as '1m', and {_kinds()}") from None
    if length <= 0:
        raise InvalidParameter(f"the length of bars must be above 0, not {text!r}")
    return length


def _kinds() -> str:
    return ", ".join(f"'{kind}-N'" for kind in KINDS)
