"""Every literal and every name that goes into the text of a query; all other values are bound.

Results of many rows come by HTTP, which binds nothing. So their queries are put together here, from three things only: whole
numbers, symbols that the server has been asked about before, by a bound value, and names that are on the server's own lists.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cift.data.catalog import nearest_symbol
from cift.data.questdb.transport import Transport
from cift.domain.duration import Duration, duration_ns
from cift.errors import InvalidParameter, NotSupported, ServerError, UnknownName, UnknownSymbol

SYMBOLS_LISTED_MAX = 10_000
"""Symbols among which the nearest to an unknown one is looked for."""
_UNITS = {"d": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "T": 10**6, "U": 10**3, "n": 1}
"""QuestDB's letters for spans of time, in nanoseconds."""


@dataclass(frozen=True)
class KnownSymbol:
    """A symbol that a table of the server holds; `known_symbol` makes them, and nothing else."""

    text: str


def literal(value: int | KnownSymbol) -> str:
    """The only way of a value into a query.

    Raises:
        TypeError: where it is neither a whole number nor a known symbol.
    """
    if type(value) is int and -(2**63) <= value < 2**63:
        return str(value)
    if type(value) is KnownSymbol:
        return "'" + value.text.replace("'", "''") + "'"
    raise TypeError(f"no literal is made of {value!r}")


def is_one_of(column: str, symbols: Sequence[KnownSymbol]) -> str:
    """The condition that a column of symbols holds one of some.

    Where the server looks a symbol up (in an index, for LATEST ON) it takes a doubled quote for two, and finds nothing
    (seen in 9.3.4); a symbol with a quote is compared as text instead.
    """
    if any("'" in symbol.text for symbol in symbols):
        column += "::varchar"
    if len(symbols) == 1:
        return f"{column} = {literal(symbols[0])}"
    return f"{column} in ({', '.join(literal(symbol) for symbol in symbols)})"


def of_kind(symbol: KnownSymbol, spec: str | None) -> str:
    """The condition that a record is of a symbol, and of bars with a spec that the server told (None: it has none)."""
    condition = is_one_of("symbol", [symbol])
    return condition if spec is None else f"{condition} and {is_one_of('spec', [KnownSymbol(spec)])}"


def identifier(name: str, known: Collection[str], what: str = "table") -> str:
    """A name of a table or column in double quotes.

    Args:
        known: the server's own list.
    Raises:
        UnknownName: where it is not on the list; the message suggests the nearest.
    """
    if not isinstance(name, str) or name not in known or '"' in name:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known)[:20]) or 'none'}"
        raise UnknownName(f"the server has no {what} {name!r}; {hint}")
    return f'"{name}"'


def known_symbol(transport: Transport, table: str, column: str, symbol: str) -> KnownSymbol:
    """A symbol that a table holds.

    Args:
        table, column: as `identifier` gives them.
    Raises:
        UnknownSymbol: where it does not; the message suggests the nearest.
    """
    if not isinstance(symbol, str) or not symbol or not symbol.isprintable():
        raise UnknownSymbol(f"{symbol!r} is no name of a symbol; write it like 'AAPL.XNAS'")
    found = transport.ask(f"select {column} from {table} where {column} = %s limit 1", (symbol,))
    if found and found[0][0] == symbol:
        return KnownSymbol(symbol)
    held = symbols_held(transport, table, column)
    raise UnknownSymbol(f"{symbol} is not in table {table}; " + (nearest_symbol(symbol, held) if held else "it holds no rows"))


def symbols_held(transport: Transport, table: str, column: str) -> list[str]:
    """The symbols of a table, sorted."""
    listed = literal(SYMBOLS_LISTED_MAX)
    rows = transport.ask(f"select distinct {column} from {table} limit {listed}")
    return sorted(str(row[0]) for row in rows if row[0] is not None)


def span(every: Duration) -> str:
    """A span of time as SAMPLE BY takes it: `1m`.

    Raises:
        InvalidParameter: where it is not a span of time, or not positive.
    """
    ns = duration_ns(every, "every")
    if ns <= 0:
        raise InvalidParameter(f"every {every!r} must be longer than nothing; write it like '1m'")
    unit = next(unit for unit, size in _UNITS.items() if ns % size == 0)
    count = ns // _UNITS[unit]
    if count >= 2**31:
        raise NotSupported(f"every {every!r} is more than QuestDB counts; use a coarser unit")
    return literal(count) + unit


def tables(transport: Transport) -> list[str]:
    """The names of the server's tables."""
    return [str(row[0]) for row in transport.ask("select table_name from tables()")]


def one_number(rows: list[tuple[object, ...]]) -> int:
    """The one number of an answer."""
    value = rows[0][0] if rows else None
    if not isinstance(value, int):
        raise ServerError(f"a whole number was expected from the server, not {value!r}")
    return value
