"""A future as one series: which contract is the front at each time, and a view that follows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cift.data.adjusted import AdjustedFeed, Grid, Scale
from cift.data.columns import RawColumns, chunks
from cift.data.hashing import blake2
from cift.data.reading import ALWAYS, selected_rows
from cift.data.rolls import (
    Day,
    contracts_of,
    daily_figures,
    fronts_by_expiry,
    fronts_by_figures,
    fronts_by_table,
    lots_by_day,
    parse_expiry_rule,
    trading_days,
)
from cift.data.times import TimeLike, iso, time_ns, time_range
from cift.data.view import Ticks
from cift.domain.chunk import Chunk, SchemaName
from cift.domain.instrument import Instrument
from cift.domain.moment import DAY_NS
from cift.errors import DataError, InvalidParameter, NoData, NotSupported, UnknownSymbol

if TYPE_CHECKING:
    import polars as pl

    from cift.data.catalog import Catalog
    from cift.domain.bar_spec import BarSpec

RollAdjust = Literal["difference", "ratio"]
PRINTS: tuple[SchemaName, ...] = ("trades", "mbo")
VIEWED: tuple[SchemaName, ...] = ("quotes", "trades")
FIRST_NS, END_NS = ALWAYS


@dataclass(frozen=True)
class Roll:
    """The front moves from one contract to another at the beginning of a day; prices are the last ones before."""

    ts_ns: int
    day: Day
    old: str
    new: str
    old_price: Decimal | None
    new_price: Decimal | None


@dataclass(frozen=True)
class Segment:
    """A contract is the front from a time to before another."""

    symbol: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, eq=False)
class Continuous:
    """A future as one series; `Catalog.continuous` makes it.

    Args:
        root: of the contracts' symbols.
        segments: the front contracts, one after the other.
        moves: the rolls between them.
        adjust: what becomes of the prices before a roll: None, "difference" or "ratio".
    """

    catalog: Catalog
    root: str
    segments: tuple[Segment, ...]
    moves: tuple[Roll, ...]
    adjust: RollAdjust | None

    @property
    def symbol(self) -> str:
        """What the series is called in views and frames; it can be researched, not traded."""
        return f"{self.root}.CONTINUOUS"

    @property
    def rolls(self) -> pl.DataFrame:
        """One row per roll: `ts` (from when on), `date`, `from`, `to`, the last price of each before it, `gap` and `ratio`.

        Prices are null where the catalog has none of that contract before the roll.
        """
        import polars as pl

        both = [None not in (move.old_price, move.new_price) for move in self.moves]
        gaps = [float(_gap(move)) if known else None for move, known in zip(self.moves, both, strict=True)]
        ratios = [float(_ratio(move)) if known else None for move, known in zip(self.moves, both, strict=True)]
        return pl.DataFrame(
            {
                "ts": pl.Series([move.ts_ns for move in self.moves], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC")),
                "date": pl.Series([move.day.date for move in self.moves], dtype=pl.Date),
                "from": pl.Series([move.old for move in self.moves], dtype=pl.String),
                "to": pl.Series([move.new for move in self.moves], dtype=pl.String),
                "from_price": pl.Series([_float(move.old_price) for move in self.moves], dtype=pl.Float64),
                "to_price": pl.Series([_float(move.new_price) for move in self.moves], dtype=pl.Float64),
                "gap": pl.Series(gaps, dtype=pl.Float64),
                "ratio": pl.Series(ratios, dtype=pl.Float64),
            }
        )

    def front(self, at: TimeLike) -> str:
        """The contract that is the front at a time.

        Raises:
            NoData: the time lies outside of the series.
        """
        ts_ns, _ = time_ns(at, "at")
        for segment in self.segments:
            if segment.start_ns <= ts_ns < segment.end_ns:
                return segment.symbol
        first, last = self.segments[0].start_ns, self.segments[-1].end_ns
        raise NoData(f"no data: {self.symbol} covers {iso(first)} to {iso(last)}, not {iso(ts_ns)}")

    def ticks(self) -> Ticks:
        """The quotes and trades of the front contracts as one view, prices before each roll adjusted as was asked for.

        With "difference" the gaps of all later rolls are added to a price, with "ratio" it is multiplied by their ratios; exact,
        on a grid that holds the values, or rounded once (`cift.data.adjusted`). Adjusted prices of the past depend on later
        gaps, as in every back-adjusted series: compare changes, not levels.

        Raises:
            NotSupported: only orders are stored, and a book of two contracts is none.
        """
        known = self.catalog.instruments()
        contracts = [known[segment.symbol] for segment in self.segments]
        scales = self._scales()
        grid = Grid.of(contracts[-1], scales)
        instrument = grid.instrument(contracts[-1], self.symbol)
        parts: dict[SchemaName, list[AdjustedFeed]] = {}
        for segment, scale in zip(self.segments, scales, strict=True):
            try:
                view = self.catalog.ticks(segment.symbol, segment.start_ns, segment.end_ns, level="L1", adjust="raw")
            except NoData:
                continue
            for feed in view.feeds:
                parts.setdefault(feed.schema, []).append(AdjustedFeed(feed, instrument, (scale,), grid, str(self.adjust)))
        if not parts:
            raise NoData(f"no data: the front contracts of {self.root} have no quotes or trades while they are the front")
        feeds = tuple(ContinuousFeed(instrument, schema, tuple(parts[schema])) for schema in VIEWED if schema in parts)
        how = "as traded" if self.adjust is None else f"adjusted by {self.adjust}"
        note = f"{self.symbol} is made of {', '.join(segment.symbol for segment in self.segments)}, prices {how}; it is no contract."
        return Ticks(feeds, (self.symbol,), None, None, "L1", instrument.calendar, (note,))

    def bars(self, spec: str | BarSpec, *, on: str | None = None, unfinished: bool | None = None) -> pl.DataFrame:
        """Bars of the view, see `Ticks.bars`, with `contract`, the front at the beginning of each."""
        import polars as pl

        bars = self.ticks().bars(spec, on=on, unfinished=unfinished)
        starts = [segment.start_ns for segment in self.segments]
        at = np.searchsorted(starts, bars["ts_open"].cast(pl.Int64).to_numpy(), side="right") - 1
        names = [self.segments[max(index, 0)].symbol for index in at.tolist()]
        return bars.with_columns(contract=pl.Series(names, dtype=pl.String))

    def _scales(self) -> tuple[Scale, ...]:
        """What becomes of each segment's prices."""
        scales = [Scale(END_NS)]
        for move in reversed(self.moves):
            after = scales[-1]
            if self.adjust is None:
                scales.append(after)
            elif None in (move.old_price, move.new_price):
                raise DataError(
                    f"the catalog holds no price of {move.old} or {move.new} before the roll on {move.day.date}, so the gap is not "
                    "known; import earlier days of both, roll later, or pass adjust=None"
                )
            elif self.adjust == "difference":
                scales.append(Scale(END_NS, shift=after.shift + _gap(move)))
            else:
                scales.append(Scale(END_NS, price=after.price * _ratio(move)))
        return tuple(reversed(scales))


def _float(price: Decimal | None) -> float | None:
    return None if price is None else float(price)


def _gap(move: Roll) -> Fraction:
    assert move.old_price is not None
    assert move.new_price is not None
    return Fraction(move.new_price) - Fraction(move.old_price)


def _ratio(move: Roll) -> Fraction:
    assert move.old_price is not None
    assert move.new_price is not None
    if move.old_price <= 0 or move.new_price <= 0:
        raise DataError(f"the prices of the roll on {move.day.date} are not positive: adjust by difference instead")
    return Fraction(move.new_price) / Fraction(move.old_price)


@dataclass(frozen=True, eq=False)
class ContinuousFeed:
    """The feeds of contracts one after the other, under one name; rows are numbered anew within each UTC day."""

    instrument: Instrument
    schema: SchemaName
    parts: tuple[AdjustedFeed, ...]

    @property
    def symbol(self) -> str:
        """See `Feed.symbol`."""
        return self.instrument.symbol

    @cached_property
    def content_hash(self) -> str:
        """See `Feed.content_hash`."""
        parts = "\n".join(part.content_hash for part in self.parts)
        return blake2(f"cift continuous 1 {self.schema} {self.symbol}\n{parts}".encode()).hexdigest()

    def chunks(self, rows: int | None) -> Iterator[Chunk]:
        """See `Feed.chunks`."""
        return chunks(self.schema, self._pieces(rows), rows)

    def _pieces(self, rows: int | None) -> Iterator[RawColumns]:
        day, count = None, 0
        for part in self.parts:
            for chunk in part.chunks(rows):
                days = chunk.columns["ts_event"] // DAY_NS
                sequence = np.empty(chunk.rows, dtype=np.int64)
                for this in np.unique(days).tolist():
                    if this != day:
                        day, count = this, 0
                    mine = np.flatnonzero(days == this)
                    sequence[mine] = count + np.arange(len(mine))
                    count += len(mine)
                yield {**chunk.columns, "sequence": sequence}


def continuous(
    catalog: Catalog,
    root: str,
    start: TimeLike | None,
    end: TimeLike | None,
    roll: Any,
    adjust: str | None,
    contracts: Sequence[str] | None,
    daily: Any,
) -> Continuous:
    """See `Catalog.continuous`."""
    if adjust not in (None, "difference", "ratio"):
        raise InvalidParameter(f"adjust={adjust!r} is not known; choose 'difference', 'ratio' or None")
    start_ns, end_ns = time_range(start, end)
    chain = _chain(catalog, root, contracts)
    spans = {contract.symbol: _span(catalog, contract.symbol) for contract in chain}
    first, last = min(span[0] for span in spans.values()), max(span[1] for span in spans.values())
    if end_ns is not None:
        last = min(last, end_ns - 1)
    if last < first or (start_ns is not None and start_ns > last):
        raise NoData(
            f"no data: the contracts of {root} have rows from {iso(first)} to {iso(max(first, last))}, none of that period"
        )
    days = trading_days(chain[0].calendar, first, last)
    fronts = _fronts(catalog, chain, days, roll, daily)
    marks = [(days[0].start_ns, fronts[0])]
    marks += [(day.start_ns, front) for (before, front), day in zip(pairwise(fronts), days[1:], strict=True) if before != front]
    begin, stop = days[0].start_ns if start_ns is None else start_ns, days[-1].end_ns if end_ns is None else end_ns
    segments: list[Segment] = []
    moves: list[Roll] = []
    for (from_ns, front), (until_ns, _) in pairwise([*marks, (END_NS, -1)]):
        cut = Segment(chain[front].symbol, max(from_ns, begin), min(until_ns, stop))
        if cut.start_ns >= cut.end_ns:
            continue
        if segments:
            day = next(day for day in days if day.start_ns == from_ns)
            prices = [_price(catalog, symbol, from_ns) for symbol in (segments[-1].symbol, cut.symbol)]
            moves.append(Roll(from_ns, day, segments[-1].symbol, cut.symbol, *prices))
        segments.append(cut)
    made = Continuous(catalog, root, tuple(segments), tuple(moves), adjust)  # type: ignore[arg-type]
    if adjust is not None:
        made._scales()  # a gap that is not known is told here, not when rows are read
    return made


def _chain(catalog: Catalog, root: str, contracts: Sequence[str] | None) -> list[Instrument]:
    known = catalog.instruments()
    held = catalog.symbols()
    if contracts is None:
        chain = contracts_of(root, known, {symbol: _span(catalog, symbol)[0] for symbol in held})
    else:
        missing = [symbol for symbol in contracts if symbol not in held]
        if missing or not contracts:
            raise UnknownSymbol(f"{', '.join(missing) or 'no contract'} is not in the catalog; it holds {', '.join(held[:8])}")
        chain = [known[symbol] for symbol in contracts]
    for contract in chain[1:]:
        if not contract.has_steps_of(chain[0]) or contract.calendar != chain[0].calendar:
            raise NotSupported(
                f"{contract.symbol} differs from {chain[0].symbol} in tick, lot, multiplier, currency or calendar"
            )
    return chain


def _span(catalog: Catalog, symbol: str) -> tuple[int, int]:
    held = [reader.manifest for reader in catalog.partitions(symbol)]
    return min(manifest.first_ns for manifest in held), max(manifest.last_ns for manifest in held)


def _fronts(catalog: Catalog, chain: Sequence[Instrument], days: Sequence[Day], roll: Any, daily: Any) -> list[int]:
    if not isinstance(roll, str):
        return fronts_by_table(roll, chain, days)
    symbols = [contract.symbol for contract in chain]
    if roll == "open_interest":
        if daily is None:
            raise InvalidParameter(
                "the catalog holds no open interest; pass daily= with the columns date, symbol, open_interest"
            )
        return fronts_by_figures(daily_figures(daily, "open_interest", symbols, days), 2, chain, days)
    if roll != "volume":
        return fronts_by_expiry(parse_expiry_rule(roll), chain, days)
    if daily is not None:
        return fronts_by_figures(daily_figures(daily, "volume", symbols, days), 1, chain, days)
    return fronts_by_figures({one.symbol: _lots(catalog, one, days) for one in chain}, 1, chain, days)


def _lots(catalog: Catalog, contract: Instrument, days: Sequence[Day]) -> list[int]:
    held = catalog.partitions(contract.symbol)
    readers = next((found for schema in PRINTS if (found := [one for one in held if one.manifest.schema == schema])), [])
    if not readers:
        raise NotSupported(
            f"{contract.symbol} has no trades to count; pass daily= with date, symbol, volume, or roll by another rule"
        )
    return lots_by_day(contract, selected_rows(tuple(readers), ((FIRST_NS, days[-1].end_ns),)), days)


def _price(catalog: Catalog, symbol: str, before_ns: int) -> Decimal | None:
    try:
        return catalog.price_before(symbol, before_ns)
    except DataError:
        return None
