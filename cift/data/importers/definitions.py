"""Databento's definitions of instruments (DBN, schema definition): tick, multiplier, currency, expiry, limits, calendar.

| field of an instrument | from |
|---|---|
| tick_size | `min_price_increment`; of several days, the step that they share |
| multiplier | `contract_multiplier` where it is told; else the money of a tick by the tick, `min_price_increment_amount / display_factor / min_price_increment`; else 1, with a note of what a contract is of |
| currency | `currency`; USD where it is not told |
| activation, expiry | `activation` and `expiration` of the last record |
| min_quantity, max_quantity | `min_trade_vol` (where above 1) and `max_trade_vol` |
| calendar | that of the `exchange`: CMES of CME Group's four, or what exchange_calendars calls it; 24/7 where it knows none |

The vendor scales every price by the venue's display factor, and the money of a tick with them, though that is no price: 12.50 dollars
of ES come as 0.125 with the factor 0.01. Dividing by it gives back what the venue said. Source: CME Globex Security Definition,
tags 969, 1146 and 9787; https://databento.com/docs/schemas-and-data-formats/instrument-definitions.
"""  # noqa: E501 - a row of the table

from __future__ import annotations

import time
from decimal import Decimal
from fractions import Fraction
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cift.data.report import ImportReport, Tally
from cift.domain.calendar import ALIASES, ALWAYS_OPEN, CALENDARS
from cift.domain.instrument import Instrument
from cift.errors import InvalidParameter, NoData, UnknownName

if TYPE_CHECKING:
    from cift.data.catalog import Catalog

NO_PRICE, NO_COUNT, NO_VOLUME, NO_TIME = 2**63 - 1, 2**31 - 1, 2**32 - 1, 2**64 - 1
"""What says "not told" in prices, counts, volumes and times."""
PRICE_DECIMALS = 9
GLOBEX = frozenset({"XCME", "XCBT", "XNYM", "XCEC"})


class Definition(NamedTuple):
    """What the vendor tells of one instrument."""

    tick: int
    """In 1e-9; 0: not told."""
    currency: str
    multiplier: Decimal | None
    unit: str
    """What one contract is of, with its amount, where the vendor tells it."""
    rules: dict[str, Any]
    """Calendar, activation, expiry and limits, as far as they are told."""

    def known(self) -> dict[str, Any]:
        """What an `Instrument` takes of it; tick_size and multiplier only where they are told."""
        told: dict[str, Any] = {"currency": self.currency, **self.rules}
        if self.tick:
            told["tick_size"] = Decimal(self.tick).scaleb(-PRICE_DECIMALS)
        if self.multiplier is not None:
            told["multiplier"] = self.multiplier
        return told


def definition_of(record: Any, before: Definition | None) -> Definition:
    """What a record says, with the tick that it shares with the one before it of the same symbol."""
    tick = record.min_price_increment
    tick = 0 if tick == NO_PRICE or tick < 0 else tick
    amount = record.unit_of_measure_qty
    unit = ""
    if amount != NO_PRICE and record.unit_of_measure:
        unit = f"{(Decimal(amount) / 10**9).normalize():f} {record.unit_of_measure}"
    rules: dict[str, Any] = {"calendar": _calendar(str(record.exchange))}
    for name, ns in (("activation", record.activation), ("expiry", record.expiration)):
        if ns != NO_TIME:
            rules[name] = int(ns)
    volumes = (("min_quantity", record.min_trade_vol, 1), ("max_quantity", record.max_trade_vol, 0))
    rules |= {name: volume for name, volume, nothing in volumes if nothing < volume < NO_VOLUME}
    shared = tick if before is None else gcd(tick, before.tick)
    return Definition(shared, record.currency or "USD", _multiplier(record), unit, rules)


def _multiplier(record: Any) -> Decimal | None:
    if 0 < record.contract_multiplier < NO_COUNT:
        return Decimal(record.contract_multiplier)
    tick, amount, factor = record.min_price_increment, record.min_price_increment_amount, record.display_factor
    if NO_PRICE in (tick, amount, factor) or min(tick, amount, factor) <= 0:
        return None
    told = Fraction(amount, factor) / Fraction(tick, 10**PRICE_DECIMALS)
    value = Decimal(told.numerator) / Decimal(told.denominator)
    return value if Fraction(value) == told else None


def _calendar(exchange: str) -> str:
    if exchange in GLOBEX:
        return "CMES"
    return ALIASES.get(exchange, exchange if exchange in CALENDARS else ALWAYS_OPEN)


def import_definitions(catalog: Catalog, file: str | Path, *, symbol: str | None = None) -> ImportReport:
    """Stores the instruments that a DBN file of the schema definition defines; no rows are needed, or touched.

    Args:
        catalog: where to. What it knows of an instrument is replaced, but for its steps where it holds rows.
        symbol: one of the file's symbols, with or without its venue; None: all.

    Returns:
        The report: records read, instruments written, and how many were left out because no tick is told (options, shares).

    Raises:
        MissingExtra: without databento-dbn.
        CorruptData: no DBN file, or a damaged one. InvalidParameter: a file of another schema.
        NoData: no definition with a tick. UnknownName: `symbol` is not defined.
        CatalogError: the catalog holds rows of a symbol at another tick, multiplier or currency.
    """
    from cift.data.importers.databento import definition_records

    started = time.perf_counter()
    path = Path(file)
    venue, records = definition_records(path)
    tally = Tally(path.name)
    told: dict[str, Definition] = {}
    rows = 0
    for record in records:
        rows += 1
        name = record.raw_symbol
        if symbol in (None, name, f"{name}.{venue}"):
            told[name] = definition_of(record, told.get(name))
    if symbol is not None and not told:
        raise UnknownName(f"{path.name} defines no {symbol}")
    found, notes = [], []
    for name, one in sorted(told.items()):
        if not one.tick:
            tally.counts["without_tick"] += 1
            continue
        if one.multiplier is None and one.unit:
            notes.append(f"a contract of {name}.{venue} is {one.unit}; its money counts with multiplier 1")
        found.append(Instrument(f"{name}.{venue}", lot_size=1, **one.known()))  # type: ignore[arg-type]
    if not found:
        raise NoData(f"{path.name} defines nothing with a tick; nothing was written")
    catalog.write_instruments(found)
    tally.counts["instruments"] = len(found)
    names = [instrument.symbol for instrument in found]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    if len(notes) > 5:
        notes = [*notes[:5], f"so are {len(notes) - 5} more"]
    return tally.report(shown, rows, len(found), time.perf_counter() - started, tuple(notes))


def check_is_definitions(name: str, schema: str | None) -> None:
    """That a file holds definitions.

    Raises:
        InvalidParameter: where it does not.
    """
    if schema != "definition":
        raise InvalidParameter(f"definitions= is {name}, which holds {schema}; a file of the schema definition was expected")
