"""The steps of the instruments of a DBN file: told by the caller, a file of definitions, the catalog, or the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from cift.data.importers.databento.file import Source, package
from cift.data.importers.databento.symbols import Held
from cift.data.importers.definitions import Definition, check_is_definitions, definition_of
from cift.data.importers.known import instrument_of
from cift.domain.instrument import Instrument, Number
from cift.errors import CorruptData, DataError


def definition_records(path: Path) -> tuple[str, Iterator[Any]]:
    """The venue of a file of definitions, and its records.

    Raises:
        InvalidParameter: a file of another schema. CorruptData: a damaged one, also while it is read.
    """
    dbn = package()
    source = Source(path)
    check_is_definitions(path.name, source.schema)

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
    """What a file of definitions says of some symbols."""
    told: dict[str, Definition] = {}
    for record in definition_records(path)[1]:
        if record.raw_symbol in wanted:
            told[record.raw_symbol] = definition_of(record, told.get(record.raw_symbol))
    missing = wanted - told.keys()
    if missing:
        raise DataError(f"{path.name} defines no {', '.join(sorted(missing)[:20])}; it must define what is imported")
    return told


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
        fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if told is not None:
            fields = {**told.known(), **fields}
        usual: dict[str, Any] = {"lot_size": 1}
        if "tick_size" not in fields and known is None:
            usual["tick_size"] = Decimal(1).scaleb(-one.decimals)
            notes.append(
                f"tick size of {one.symbol} inferred from its prices: {usual['tick_size']}; pass definitions= or tick_size="
            )
        if told is not None and told.unit and "multiplier" not in fields and known is None:
            notes.append(f"a contract of {one.symbol} is {told.unit}; its money counts with multiplier 1, pass multiplier=")
        return instrument_of(one.symbol, known, fields, usual)
