"""Views of prices that corporate actions, or the rolls of a future, have made comparable; made as rows are read.

A row before an action has its price multiplied, and its size divided, by what the action did:

| action | price | size |
|---|---|---|
| split of `a` new shares for `b` old | x b/a | x a/b |
| dividend of D, the close before it C | x (1 - D / C) | as it is |

and by all that came after it within the view: the last prices are as traded. Factors are exact fractions, multiplied as such, and
each price is rounded once. Source: CRSP, *Data Definitions* (factor to adjust prices); the dividend's factor is that of Yahoo
Finance's adjusted close.

Where the fractions are decimals (4:1, 3:2) the view has a tick, or lot, fine enough to hold every value exactly; where they are
not (3:1, any dividend) it has a ten thousandth of the instrument's, and values are rounded to it, half to even.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cift.data.actions import ex_ns
from cift.data.columns import Array
from cift.data.hashing import blake2
from cift.domain.action import Action
from cift.domain.chunk import Chunk, SchemaName
from cift.domain.instrument import Instrument
from cift.domain.moment import short_iso
from cift.domain.schemas import PRICE_COLUMNS, SIZE_COLUMNS
from cift.errors import DataError, InvalidParameter, NotSupported

if TYPE_CHECKING:
    from cift.data.view import Feed, Ticks

Adjust = Literal["raw", "splits", "all"]
ADJUSTMENTS: tuple[Adjust, ...] = ("raw", "splits", "all")
FINER = 10_000
"""How much finer the grid of a view is where its values are no decimals."""
DECIMALS_MAX = 12
ONE = Fraction(1)


@dataclass(frozen=True)
class Scale:
    """What becomes of the rows before a time: price x `price` + `shift`, size x `size`."""

    until_ns: int
    price: Fraction = ONE
    shift: Fraction = Fraction(0)
    size: Fraction = ONE

    @property
    def is_none(self) -> bool:
        """Whether it changes nothing."""
        return self.price == 1 and not self.shift and self.size == 1


@dataclass(frozen=True)
class Grid:
    """The steps of an adjusted view, and whether values are rounded to them."""

    tick: Fraction
    lot: Fraction
    rounds_prices: bool
    rounds_sizes: bool

    @classmethod
    def of(cls, instrument: Instrument, scales: Sequence[Scale]) -> Grid:
        """The finest steps that hold every value, or a ten thousandth of the instrument's."""
        tick, lot = Fraction(instrument.tick_size), Fraction(instrument.lot_size)
        shifts = [abs(scale.shift) for scale in scales if scale.shift]
        ticks, rounds_prices = _common([tick, *(tick * scale.price for scale in scales), *shifts], tick)
        lots, rounds_sizes = _common([lot, *(lot * scale.size for scale in scales)], lot)
        return cls(ticks, lots, rounds_prices, rounds_sizes)

    def instrument(self, instrument: Instrument, symbol: str | None = None) -> Instrument:
        """The instrument on these steps; what orders must keep to is in terms of the day, and left out.

        Raises:
            InvalidParameter: where money could not be counted exactly on them.
        """
        symbol = instrument.symbol if symbol is None else symbol
        try:
            return Instrument(
                symbol,
                tick_size=_decimal(self.tick),
                lot_size=_decimal(self.lot),
                multiplier=instrument.multiplier,
                currency=instrument.currency,
                calendar=instrument.calendar,
            )
        except InvalidParameter as error:
            raise InvalidParameter(f"the adjusted view of {symbol} is too fine: {error}; read it raw") from None


def _common(steps: Sequence[Fraction], step: Fraction) -> tuple[Fraction, bool]:
    """The largest step that all are whole numbers of, and False; or a finer one than `step`, and True, where it is no decimal."""
    denominator = lcm(*(one.denominator for one in steps))
    shared = Fraction(gcd(*(int(one * denominator) for one in steps)), denominator)
    if 10**DECIMALS_MAX % shared.denominator == 0:
        return shared, False
    return step / FINER, True


def _decimal(value: Fraction) -> Decimal:
    """A fraction whose denominator divides a power of ten, exact."""
    return Decimal(int(value * 10**24)).scaleb(-24)


@dataclass(frozen=True, eq=False)
class AdjustedFeed:
    """A feed whose prices and sizes are scaled as they are read; what lies on the disk is not touched.

    Args:
        feed: the feed as recorded.
        instrument: on the grid of the adjusted values.
        scales: ascending; each holds for the rows before its time and from the time of the one before.
        adjust: what `Catalog.ticks` was asked for.
    """

    feed: Feed
    instrument: Instrument
    scales: tuple[Scale, ...]
    grid: Grid
    adjust: str

    @property
    def symbol(self) -> str:
        """See `Feed.symbol`."""
        return self.instrument.symbol

    @property
    def schema(self) -> SchemaName:
        """See `Feed.schema`."""
        return self.feed.schema

    @property
    def readers(self) -> tuple[Any, ...]:
        """The partitions that are read."""
        return getattr(self.feed, "readers", ())

    @property
    def intervals(self) -> tuple[Any, ...]:
        """The times that are read."""
        return getattr(self.feed, "intervals", ())

    def cut(self, intervals: tuple[Any, ...]) -> AdjustedFeed:
        """The same of other times."""
        inner: Any = self.feed
        return replace(self, feed=replace(inner, intervals=intervals))

    @cached_property
    def content_hash(self) -> str:
        """See `Feed.content_hash`: of the rows as recorded, and of what is made of them."""
        total = blake2(f"cift adjusted 1 {self.symbol} {self.feed.content_hash} {self.grid}".encode())
        for scale in self.scales:
            total.update(f"\n{scale.until_ns} {scale.price} {scale.shift} {scale.size}".encode())
        return total.hexdigest()

    def chunks(self, rows: int | None) -> Iterator[Chunk]:
        """See `Feed.chunks`."""
        ends = np.array([scale.until_ns for scale in self.scales], dtype=np.int64)
        for chunk in self.feed.chunks(rows):
            at = np.searchsorted(ends, chunk.columns["ts_event"], side="right")
            columns = dict(chunk.columns)
            for index in np.unique(at).tolist():
                if index < len(self.scales) and not self.scales[index].is_none:
                    self._scale(columns, at == index, self.scales[index])
            yield Chunk(chunk.schema, columns, chunk.rows)

    def _scale(self, columns: dict[str, Array], rows: Array, scale: Scale) -> None:
        for name in PRICE_COLUMNS[self.schema]:
            step = self.grid.tick if self.grid.rounds_prices else None
            columns[name] = _scaled(columns[name], rows, scale.price, scale.shift, step)
        for name in SIZE_COLUMNS[self.schema]:
            step = self.grid.lot if self.grid.rounds_sizes else None
            columns[name] = _scaled(columns[name], rows, scale.size, Fraction(0), step, at_least=step)


def _scaled(
    values: Array, rows: Array, factor: Fraction, shift: Fraction, step: Fraction | None, at_least: Fraction | None = None
) -> Array:
    """Some values times a factor, plus a shift, each the float nearest to the exact decimal that it is or is rounded to."""
    if factor == 1 and not shift:
        return values
    known, places = np.unique(values[rows], return_inverse=True)
    made = np.empty(len(known))
    for at, value in enumerate(known.tolist()):
        if value != value or (value == 0 and not shift):
            made[at] = value
            continue
        exact = Fraction(repr(value)) * factor + shift  # repr: the shortest decimal that is this float
        if step is not None:
            exact = round(exact / step) * step
            if at_least is not None:
                exact = max(exact, at_least)
        made[at] = float(exact)
    result = values.copy()
    result[rows] = made[places]
    return result


def expiry_noted(view: Ticks) -> Ticks:
    """A view of a catalog, with a note about each instrument of which it holds records from after the expiry."""
    notes = []
    for symbol, instrument in zip(view.symbols, view.instruments, strict=True):
        _, last = _span([feed for feed in view.feeds if feed.symbol == symbol])
        if instrument.expiry is not None and instrument.expiry <= last:
            notes.append(f"{symbol} expired at {short_iso(instrument.expiry)}; the view holds later records")
    return replace(view, notes=(*view.notes, *notes))


def _span(feeds: Sequence[Any]) -> tuple[int, int]:
    """First and last time of a symbol's rows in feeds of a catalog; of a day that is cut, the cut."""
    first = min(max(reader.manifest.first_ns, feed.intervals[0][0]) for feed in feeds for reader in feed.readers)
    last = max(min(reader.manifest.last_ns, feed.intervals[-1][1] - 1) for feed in feeds for reader in feed.readers)
    return first, last


def adjusted_view(
    view: Ticks,
    actions: Sequence[Action],
    adjust: str | None,
    close_before: Callable[[str, int], Decimal],
) -> Ticks:
    """A view with the actions that lie within it applied; or as it is, with a note about them where nobody said what to do.

    Args:
        close_before: the price of a symbol before an ex-date that begins at a time.
    """
    if adjust not in (None, *ADJUSTMENTS):
        raise InvalidParameter(f"adjust={adjust!r} is not known; choose {', '.join(map(repr, ADJUSTMENTS))}")
    notes = list(view.notes)
    feeds: list[Feed] = []
    for symbol in view.symbols:
        mine = [feed for feed in view.feeds if feed.symbol == symbol]
        instrument = mine[0].instrument
        first, last = _span(mine)
        within = [
            (begins, action)
            for action in actions
            if action.symbol == symbol and first < (begins := ex_ns(action.ex_date, instrument.calendar)) <= last
        ]
        if adjust == "splits":
            within = [(begins, action) for begins, action in within if action.kind == "split"]
        listing = "; ".join(str(action) for _, action in within)
        if adjust is None and within:
            notes.append(
                f"{symbol} is read as traded over {listing}: its prices before are in other terms; "
                "pass adjust='splits', 'all' or 'raw' to ticks()"
            )
        if adjust in (None, "raw") or not within:
            feeds += mine
            continue
        scales = _scales(within, instrument, close_before)
        grid = Grid.of(instrument, scales)
        if grid.rounds_sizes and any(feed.schema == "mbo" for feed in mine):
            # Ten cancels of a third each are not what a third of ten makes, so an order that is gone would stay in the book.
            raise NotSupported(
                f"orders of {symbol} cannot be adjusted for {listing}: their sizes would be rounded, and what is left of an order "
                "would no longer be what was taken from it; read adjust='raw', or level='L1' where it is stored"
            )
        on_grid = grid.instrument(instrument)
        feeds += [AdjustedFeed(feed, on_grid, scales, grid, str(adjust)) for feed in mine]
        rounded = f", rounded to {_decimal(grid.tick).normalize():f}" if grid.rounds_prices else ""
        notes.append(f"{symbol}: prices and sizes before are adjusted for {listing}{rounded}.")
    return replace(view, feeds=tuple(feeds), notes=tuple(notes))


def _scales(
    within: Sequence[tuple[int, Action]], instrument: Instrument, close_before: Callable[[str, int], Decimal]
) -> tuple[Scale, ...]:
    """What becomes of the rows before each ex-date: that action, and all later ones."""
    price = size = ONE
    scales: list[Scale] = []
    for begins in sorted({begins for begins, _ in within}, reverse=True):
        split = dividend = ONE
        for action in (action for at, action in within if at == begins):
            if action.ratio is not None:
                split = action.ratio
        for action in (action for at, action in within if at == begins and action.amount is not None):
            dividend = _dividend_factor(action, instrument, split, close_before, begins)
        price, size = price * dividend / split, size * split
        scales.append(Scale(begins, price, Fraction(0), size))
    return tuple(reversed(scales))


def _dividend_factor(
    action: Action, instrument: Instrument, split: Fraction, close_before: Callable[[str, int], Decimal], begins: int
) -> Fraction:
    assert action.amount is not None
    if action.currency != instrument.currency:
        raise NotSupported(
            f"the {action} of {action.symbol} is not in {instrument.currency}; give its amount in the currency of the prices"
        )
    close = Fraction(action.close if action.close is not None else close_before(action.symbol, begins))
    factor = 1 - Fraction(action.amount) * split / close
    if factor <= 0:
        raise DataError(f"the {action} of {action.symbol} is not less than the price before it, {float(close)}")
    return factor
