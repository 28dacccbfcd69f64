"""What an indicator can be computed on, and the grid on which each of these moves."""

from __future__ import annotations

import difflib
from decimal import Decimal
from typing import Final, Literal, NamedTuple, get_args

from cift.domain.instrument import Number, to_decimal
from cift.errors import UnknownName

Source = Literal["quote", "mid", "spread", "microprice", "price", "size", "close"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)
"""`quote`, `mid`, `spread` and `microprice` move at each change of the best price or size, `price` and `size` at each
print,
`close` at each bar."""


class Quote(NamedTuple):
    """One row of `on="quote"`: best prices in currency, their sizes in units."""

    bid_price: float
    bid_size: float
    ask_price: float
    ask_size: float


def checked_source(name: str) -> Source:
    """`name` as a source.

    Raises:
        UnknownName: with the nearest source as a suggestion.
    """
    for source in SOURCES:
        if name == source:
            return source
    near = difflib.get_close_matches(str(name), SOURCES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UnknownName(f"on={name!r} is not something an indicator can be computed on{hint} Expected one of {list(SOURCES)}")


def step_of(on: Source, tick_size: Number, lot_size: Number) -> Decimal | None:
    """The step in which the values of a source move: what `Indicator.runner` takes as `tick`.

    A mid lies on half ticks and sizes on lots. A microprice lies on no grid: None, and windows over it are summed as
    floats. A print may lie off the tick (hidden midpoint, sub-penny): where the record holds such prints, pass a finer
    step or None for `on="price"`, because an exact window refuses a value off its grid.
    """
    if on == "microprice":
        return None
    if on == "size":
        return to_decimal(lot_size, "lot_size")
    tick = to_decimal(tick_size, "tick_size")
    return tick / 2 if on == "mid" else tick
