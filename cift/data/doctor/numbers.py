"""Rules about the numbers of one row: not a number, of the wrong sign, off the grid; quotes that cross or lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from cift.data.columns import Array, RawColumns, length
from cift.data.doctor.casebook import Batch, Casebook
from cift.data.screen import off_grid, off_steps
from cift.domain.chunk import SchemaName
from cift.domain.instrument import Instrument
from cift.domain.schemas import ACTION_CODES, ACTIONS, PRICE_COLUMNS, SIZE_COLUMNS

ADD, MODIFY, TRADE, CLEAR = (ACTION_CODES[word] for word in ("add", "modify", "trade", "clear"))


class NumberRules:
    """Looks at the prices and sizes of each row by itself, as the screen does.

    Args:
        instrument: its grid; None: prices and sizes lie on none.
        passed: kinds that are as they should be here (negative prices of a spread).
    """

    def __init__(self, book: Casebook, instrument: Instrument | None, passed: Collection[str] = ()) -> None:
        self._book, self._instrument, self._passed = book, instrument, passed

    def look(self, batch: Batch) -> Array:
        """Writes down what is wrong; which rows have prices and sizes that can be reckoned with."""
        schema, columns = self._book.schema, batch.columns
        good = np.ones(batch.rows, dtype=bool)
        clear = columns["action"] == CLEAR if schema in ACTIONS else None
        lacking: dict[str, Array] = {}
        if schema == "quotes":
            lacking = self._sides(batch)
        elif clear is not None and clear.any():
            lacking["price"] = clear
        prices, sizes = PRICE_COLUMNS[schema], SIZE_COLUMNS[schema]
        # A row has one kind at most, the first: what is not a number has no sign.
        if any(not (np.isfinite(columns[name]) & (columns[name] > 0)).all() for name in (*prices, *sizes)):
            lacks = {name: (clear if schema in ACTIONS else lacking.get(name)) for name in (*prices, *sizes)}
            self._told("nan", _any(np.isnan, columns, lacks, (*prices, *sizes)), batch, good)
            self._told("infinite", _any(np.isinf, columns, lacks, (*prices, *sizes)), batch, good)
            self._told("negative_price", _any(_negative, columns, lacks, prices), batch, good)
            self._told("negative_size", _any(_negative, columns, lacks, sizes), batch, good)
            self._told("zero_price", _any(_zero, columns, lacks, prices), batch, good)
            self._book.add("negative_zero", _any(_negative_zero, columns, lacks, (*prices, *sizes)), batch)
            if schema in ("mbo", "trades"):  # a level of size 0 is gone, and a bar of quotes has no volume
                emptied = _any(_zero, columns, lacks, sizes)
                if schema == "mbo":
                    self._told("modify_to_zero", emptied & (columns["action"] == MODIFY), batch, good)
                self._told("zero_size", emptied, batch, good)
        if self._instrument is not None:
            self._grid(batch, self._instrument, lacking, clear, good)
        if schema == "quotes":
            bid, ask = columns["bid_price"], columns["ask_price"]
            both = good & ~lacking["bid_price"] & ~lacking["ask_price"]
            self._book.add("crossed_quote", both & (bid > ask), batch, bid)
            self._book.add("locked_quote", both & (bid == ask), batch, bid)
        return good

    def _sides(self, batch: Batch) -> dict[str, Array]:
        """Which sides of quotes are missing; those with a price and no size are written down."""
        lacking: dict[str, Array] = {}
        zeros: list[Array] = []
        sizelesses: list[Array] = []
        for side in ("bid", "ask"):
            price, size = batch.columns[f"{side}_price"], batch.columns[f"{side}_size"]
            empty = (size == 0) | np.isnan(size)
            zero = (price == 0) & empty
            sizeless = (size == 0) & (price != 0) & ~np.isnan(price)
            zeros.append(zero)
            sizelesses.append(sizeless)
            lacking[f"{side}_price"] = lacking[f"{side}_size"] = (np.isnan(price) & empty) | zero | sizeless
        self._book.add("zero_size", sizelesses[0] | sizelesses[1], batch)
        self._book.add("zero_quote", zeros[0] & zeros[1], batch)
        return lacking

    def _told(self, kind: str, hits: Array, batch: Batch, good: Array) -> None:
        hits = hits & good
        if kind in self._passed or not hits.any():
            return
        self._book.add(kind, hits, batch)
        good[hits] = False

    def _grid(self, batch: Batch, instrument: Instrument, lacking: dict[str, Array], clear: Array | None, good: Array) -> None:
        schema, columns = self._book.schema, batch.columns
        off = _off_any(columns, PRICE_COLUMNS[schema], *instrument.tick_fraction, lacking, good)
        if off is not None:
            printed = columns["action"] == TRADE if schema == "mbo" else np.full(len(off), schema in ("trades", "bars"))
            self._book.add("off_grid_prints", off & printed, batch, columns[PRICE_COLUMNS[schema][0]])
            self._told("off_tick", off & ~printed, batch, good)
        off = _off_any(columns, SIZE_COLUMNS[schema], *instrument.lot_fraction, lacking, good)
        if off is not None:
            self._told("off_lot", off if clear is None else off & ~clear, batch, good)
        if instrument.price_increment is not None and schema in ("mbo", "mbp", "quotes"):
            self._told("off_increment", _off_increment(schema, columns, instrument, lacking), batch, good)


def _off_increment(schema: SchemaName, columns: RawColumns, instrument: Instrument, lacking: Mapping[str, Array]) -> Array:
    """Which rows display a price that is not on the steps in force at its time; prints need not be."""
    displayed = np.ones(length(columns), dtype=bool)
    if schema == "mbo":
        displayed = (columns["action"] == ADD) | (columns["action"] == MODIFY)
    hits = np.zeros(length(columns), dtype=bool)
    for name in PRICE_COLUMNS[schema]:
        off = off_steps(instrument.price_steps, columns["ts_event"], columns[name])
        hits |= off if name not in lacking else off & ~lacking[name]
    return hits & displayed


def _negative(values: Array) -> Array:
    with np.errstate(invalid="ignore"):
        negative: Array = (values < 0) & np.isfinite(values)
    return negative


def _zero(values: Array) -> Array:
    zero: Array = values == 0
    return zero


def _negative_zero(values: Array) -> Array:
    zero: Array = (values == 0) & np.signbit(values)
    return zero


def _any(
    test: Callable[[Array], Array], columns: RawColumns, lacks: Mapping[str, Array | None], names: tuple[str, ...]
) -> Array:
    """Which rows pass a test in any of some columns where they should have a number."""
    hits = np.zeros(length(columns), dtype=bool)
    for name in names:
        missing = lacks[name]
        hits |= test(columns[name]) if missing is None else test(columns[name]) & ~missing
    return hits


def _off_any(
    columns: RawColumns, names: tuple[str, ...], n: int, d: int, lacking: Mapping[str, Array], good: Array
) -> Array | None:
    """Which good rows are off the grid in any of some columns; None where none is."""
    hits: Array | None = None
    for name in names:
        off = _off(columns[name], n, d)
        if off.any():
            off &= good if name not in lacking else good & ~lacking[name]
            hits = off if hits is None else hits | off
    return hits


def _off(values: Array, n: int, d: int) -> Array:
    """`off_grid`, asked only of the values that are not the very float of their step."""
    with np.errstate(invalid="ignore", over="ignore"):
        close = np.rint(values * (10**d / n)) * n / 10**d == values
    if close.all():
        none: Array = ~close
        return none
    off: Array = ~close
    off[off] = off_grid(values[off], n, d)
    return off
