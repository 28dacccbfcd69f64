"""The steps of the instruments of a DBN file: told by the caller, a file of definitions, the catalog, or the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

from cift.data.importers.databento.file import NO_PRICE, PRICE_DECIMALS, Source, package
from cift.data.importers.databento.symbols import Held
from cift.domain.instrument import Instrument, Number
from cift.errors import CorruptData, DataError, InvalidParameter


class Definition(NamedTuple):
    """What the vendor tells of one instrument."""

    tick: int
    """In 1e-9; 0: not told."""
    currency: str
    multiplier: int | None
    unit: str
    """What one contract is of, with its amount, where the vendor tells it."""


def definition_records(path: Path) -> tuple[str, Iterator[Any]]:
    """The venue of a file of definitions, and its records.

    Raises:
        InvalidParameter: a file of another schema. CorruptData: a damaged one, also while it is read.
    """
    dbn = package()
    source = Source(path)
    if source.schema != "definition":
        raise InvalidParameter(
            f"definitions= is {path.name}, which holds {source.schema}; a file of the schema definition was expected"
        )

    def records() -> Iterator[Any]:
        decoder = dbn.DBNDecoder()
        with source.open() as stream:
            while data := source.read(stream, 1 << 20, "in its definitions"):
                try:
                    decoded = decoder.write_and_decode(data)
                except dbn.DBNError as error:
                    raise CorruptData(f"{path.name} cannot be read: {error}") from None
                yield from (record for record in decoded if hasattr(record, "raw_symbol"))
        if decoder.buffer():
            raise CorruptData(f"{path.name} ends within a definition")

    return source.venue, records()


def definitions_of(path: Path, wanted: set[str]) -> dict[str, Definition]:
    """What a file of definitions says of some symbols; of several ticks of one symbol, the step that they share."""
    told: dict[str, Definition] = {}
    for record in definition_records(path)[1]:
        if record.raw_symbol in wanted:
            told[record.raw_symbol] = _definition(record, told.get(record.raw_symbol))
    missing = wanted - told.keys()
    if missing:
        raise DataError(f"{path.name} defines no {', '.join(sorted(missing)[:20])}; it must define what is imported")
    return told


def _definition(record: Any, before: Definition | None) -> Definition:
    tick, none = record.min_price_increment, 2**31 - 1
    tick = 0 if tick == NO_PRICE or tick < 0 else tick
    amount = record.unit_of_measure_qty
    unit = (
        ""
        if amount == NO_PRICE or not record.unit_of_measure
        else f"{(Decimal(amount) / 10**9).normalize():f} {record.unit_of_measure}"
    )
    multiplier = record.contract_multiplier if 0 < record.contract_multiplier < none else None
    return Definition(tick if before is None else gcd(tick, before.tick), record.currency or "USD", multiplier, unit)


@dataclass
class Steps:
    """Where the steps of instruments come from: the caller, the definitions, the catalog, the data."""

    tick_size: Number | None
    lot_size: Number | None
    multiplier: Number | None
    told: Mapping[str, Definition]
    known: Mapping[str, Instrument]

    def instrument(self, one: Held, notes: list[str]) -> Instrument:
        """The instrument of a symbol; what was assumed is added to the notes."""
        told, known = self.told.get(one.raw_symbol), self.known.get(one.symbol)
        given = {"tick_size": self.tick_size, "lot_size": self.lot_size, "multiplier": self.multiplier}
        steps: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if told is not None:
            steps["currency"] = told.currency
            if told.tick:
                steps.setdefault("tick_size", Decimal(told.tick).scaleb(-PRICE_DECIMALS))
            if told.multiplier is not None:
                steps.setdefault("multiplier", told.multiplier)
        if known is not None:
            for name in ("tick_size", "lot_size", "multiplier", "price_increment", "currency", "calendar"):
                steps.setdefault(name, getattr(known, name))
        if "tick_size" not in steps:
            steps["tick_size"] = Decimal(1).scaleb(-one.decimals)
            notes.append(
                f"tick size of {one.symbol} inferred from its prices: {steps['tick_size']}; pass definitions= or tick_size="
            )
        if told is not None and told.unit and "multiplier" not in steps:
            notes.append(f"a contract of {one.symbol} is {told.unit}; its money counts with multiplier 1, pass multiplier=")
        steps.setdefault("lot_size", 1)
        return Instrument(one.symbol, **steps)
