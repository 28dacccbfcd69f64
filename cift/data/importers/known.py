"""The instrument of a file's rows: as the caller gives it, as the catalog knows it, or as the rows show.

Every importer asks here, so that rows are screened by the rules that are stored, and an import never forgets one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from cift.data.columns import Array, RawColumns
from cift.data.frames import infer_step
from cift.domain.chunk import SchemaName
from cift.domain.instrument import FOR_LIFE, Instrument, Number
from cift.domain.schemas import PRICE_COLUMNS, SIZE_COLUMNS
from cift.errors import DataError


def instrument_of(
    symbol: str, known: Instrument | None, given: Mapping[str, Any], usual: Mapping[str, Any] | None = None
) -> Instrument:
    """What is given goes before what the catalog knows, and that before what is usual in files of the kind.

    Args:
        known: what the catalog says of the symbol; None: nothing.
        given: fields of the instrument that the caller, or a file of definitions, tells; None: it does not.
        usual: fields where neither tells any.
    Raises:
        InvalidParameter: where the fields do not go together, such as a tick and the stored increments.
    """
    told = {name: value for name, value in given.items() if value is not None}
    usual = usual or {}
    if known is None:
        return Instrument(symbol, **{**usual, **told})
    steps = {name: getattr(known, name) for name in FOR_LIFE}
    one = Instrument(symbol, **{**steps, **told}).filled_from(known)
    return one.filled_from(replace(one, **{name: value for name, value in usual.items() if name not in steps}))


class FinestSteps:
    """The tick and lot of an instrument: as given, as the catalog knows it, or seen in the rows that pass.

    Args:
        tick_size, lot_size: as the caller gave them.
        others: further fields of the instrument that the caller gave.
        usual: fields where nobody tells any.
    """

    def __init__(
        self,
        tick_size: Number | None,
        lot_size: Number | None,
        others: Mapping[str, Any] | None = None,
        usual: Mapping[str, Any] | None = None,
    ) -> None:
        steps = {"tick_size": tick_size, "lot_size": lot_size}
        self._given = {name: value for name, value in {**steps, **(others or {})}.items() if value is not None}
        self._usual = usual or {}
        self._seen: dict[str, Decimal] = {}
        self._none: dict[str, DataError] = {}
        """Step -> why there is none."""

    @property
    def are_told(self) -> bool:
        """Whether no row need be seen, though the catalog may not know the symbol."""
        return {"tick_size", "lot_size"} <= {*self._given, *self._usual}

    def see(self, source: str, schema: SchemaName, columns: RawColumns) -> None:
        """Looks at some rows, which are of the file `source`."""
        for name, what, of_schema in (("tick_size", "price", PRICE_COLUMNS), ("lot_size", "size", SIZE_COLUMNS)):
            if name in self._given or name in self._usual or name in self._none:
                continue
            values = [columns[column] for column in of_schema[schema]]
            step = self._seen.get(name)
            if step is not None and all(_lies_on(array, step) for array in values):
                continue
            try:
                finest = infer_step(values, what)
            except DataError as error:
                self._none[name] = DataError(f"{source}: {error}")
                continue
            self._seen[name] = finest if step is None else min(step, finest)

    def instrument(self, symbol: str, known: Instrument | None, notes: list[str]) -> Instrument:
        """The instrument, after all rows were seen; what was inferred is noted.

        Args:
            known: what the catalog says of the symbol.
        Raises:
            DataError: where a step is neither told nor to be inferred.
        """
        if known is None:
            for error in self._none.values():
                raise error
            for name, step in self._seen.items():
                what = "prices" if name == "tick_size" else "sizes"
                notes.append(
                    f"{name.replace('_', ' ')} of {symbol} inferred from its {what}: {step}; pass {name}= to state another"
                )
        return instrument_of(symbol, known, self._given, {**self._usual, **self._seen})


def _lies_on(values: Array, step: Decimal) -> bool:
    """Whether all values are whole numbers of a decimal step, which is quicker to say than what their step is."""
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int)
    return bool(((np.round(values, -exponent) == values) | np.isnan(values)).all())
