"""Questions that the server answers itself: bars, last records, trades with their quotes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cift.data.questdb.tables import column_types, has_tables
from cift.data.questdb.texts import KnownSymbol, identifier, is_one_of, known_symbol, literal, span
from cift.data.questdb.transport import Transport
from cift.domain.duration import Duration, duration_ns
from cift.domain.schemas import check_schema
from cift.errors import InvalidParameter, UnknownSymbol

if TYPE_CHECKING:
    import polars as pl


def frame(
    transport: Transport, schema: str, symbol: str, start_ns: int | None, end_ns: int | None, columns: Sequence[str] | None
) -> pl.DataFrame:
    """See `QuestDB.frame`."""
    kind = check_schema(schema)
    known = column_types(kind)
    names = [identifier(name, known, "column") for name in (known if columns is None else columns)]
    if not names:
        raise InvalidParameter(f"columns= names none of {', '.join(known)}")
    where = _where(_known(transport, kind, symbol), start_ns, end_ns)
    return _polars(transport.export(f'select {", ".join(names)} from "{kind}" where {where}'))


def ohlcv(transport: Transport, symbol: str, start_ns: int | None, end_ns: int | None, every: Duration) -> pl.DataFrame:
    """See `QuestDB.ohlcv`."""
    import polars as pl

    step = span(every)
    where = _where(_known(transport, "trades", symbol), start_ns, end_ns)
    frame = _polars(
        transport.export(
            "select ts_event ts_open, first(price) open, max(price) high, min(price) low, last(price) close, "
            "sum(size) volume, count() count, sum(price * size) / sum(size) vwap "
            f'from "trades" where {where} sample by {step} align to calendar'
        )
    )
    ends = pl.col("ts_open") + pl.duration(nanoseconds=duration_ns(every, "every"))
    return frame.select("ts_open", ends.alias("ts_event"), pl.exclude("ts_open"))


def latest(transport: Transport, symbols: Sequence[str] | None, schema: str) -> pl.DataFrame:
    """See `QuestDB.latest`."""
    kind = check_schema(schema)
    condition = ""
    if symbols is not None:
        condition = f"where {is_one_of('symbol', [_known(transport, kind, symbol) for symbol in symbols])} "
    elif not has_tables(transport):
        raise UnknownSymbol("the server holds no symbol: nothing was loaded yet; call load() first")
    return _polars(transport.export(f'select * from "{kind}" {condition}latest on ts_event partition by symbol')).sort("symbol")


def asof(transport: Transport, symbol: str, start_ns: int | None, end_ns: int | None) -> pl.DataFrame:
    """See `QuestDB.asof`."""
    prints, quotes = _known(transport, "trades", symbol), _known(transport, "quotes", symbol)
    return _polars(
        transport.export(
            "select t.ts_event, t.price, t.size, t.aggressor, t.trade_id, t.sequence, "
            "q.bid_price, q.bid_size, q.ask_price, q.ask_size, q.ts_event ts_quote "
            f'from (select * from "trades" where {_where(prints, start_ns, end_ns)}) t '
            f'asof join (select * from "quotes" where {_where(quotes, None, end_ns)}) q'
        )
    )


def _known(transport: Transport, table: str, symbol: str) -> KnownSymbol:
    if not has_tables(transport):
        raise UnknownSymbol(f"{symbol} is not on the server: nothing was loaded yet; call load() first")
    return known_symbol(transport, f'"{table}"', '"symbol"', symbol)


def _where(known: KnownSymbol, start_ns: int | None, end_ns: int | None) -> str:
    condition = is_one_of("symbol", [known])
    if start_ns is not None:
        condition += f" and ts_event >= {literal(start_ns)}"
    if end_ns is not None:
        condition += f" and ts_event < {literal(end_ns)}"
    return condition


def _polars(table: Any) -> pl.DataFrame:
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
