"""What the tests of depth importers share: messages made by hand, and a slow book that reads what was stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from cift.data.catalog import Catalog
from cift.domain.schemas import LAST

MONDAY_MS = 1_767_571_200_000
"""2026-01-05T00:00Z."""
Side = dict[float, float]


def stored(catalog: Catalog, schema: str = "mbp") -> pl.DataFrame:
    return pl.scan_parquet(Path(catalog.path) / schema).sort("ts_event", "sequence").collect()


def apply(book: tuple[Side, Side], side: int, price: float, size: float) -> None:
    """Sets one level."""
    if size:
        book[side][price] = size
    else:
        book[side].pop(price, None)


def books(levels: pl.DataFrame) -> list[tuple[int | None, int, Side, Side]]:
    """venue_seq, flags of the last row, bids and asks after each event of some stored rows, row by row."""
    book: tuple[Side, Side] = ({}, {})
    found = []
    for row in levels.iter_rows(named=True):
        if row["action"] == "clear":
            book = ({}, {})
        else:
            apply(book, ("bid", "ask").index(row["side"]), row["price"], row["size"])
        if row["flags"] & LAST:
            found.append((row["venue_seq"], row["flags"], dict(book[0]), dict(book[1])))
    return found


def line(message: Any, ms: int = 0, *, stream: str | None = None) -> str:
    """A line of a recording, received `ms` milliseconds after Monday's midnight."""
    whole = message if stream is None else {"stream": stream, "data": message}
    return f"{(MONDAY_MS + ms) * 1_000_000} {json.dumps(whole, separators=(',', ':'))}\n"


def pairs(side: Side) -> list[list[str]]:
    return [[f"{price:.2f}", f"{size:.3f}"] for price, size in side.items()]


def diff(
    first: int, last: int, bids: Side, asks: Side, *, ms: int = 0, previous: int | None = None, symbol: str = "BTCUSDT"
) -> str:
    """A line of Binance's diff depth; with `previous`, one of futures."""
    data: dict[str, Any] = {"e": "depthUpdate", "E": MONDAY_MS + ms, "s": symbol, "U": first, "u": last}
    if previous is not None:
        data |= {"T": MONDAY_MS + ms - 1, "pu": previous}
    return line(data | {"b": pairs(bids), "a": pairs(asks)}, ms, stream=f"{symbol.lower()}@depth@100ms")


def snapshot(last: int, bids: Side, asks: Side, *, ms: int = 0) -> str:
    """A line of Binance's REST answer."""
    return line({"lastUpdateId": last, "bids": pairs(bids), "asks": pairs(asks)}, ms)


def ticker(number: int, bid: float, ask: float, *, ms: int = 0, stamped: bool = False) -> str:
    data: dict[str, Any] = {"u": number, "s": "BTCUSDT", "b": f"{bid:.2f}", "B": "1.000", "a": f"{ask:.2f}", "A": "2.000"}
    if stamped:
        data |= {"T": MONDAY_MS + ms - 1, "E": MONDAY_MS + ms}
    return line(data, ms, stream="btcusdt@bookTicker")


def trade(number: int, price: float, *, ms: int = 0, sold: bool = False, **others: Any) -> str:
    data = {"e": "trade", "E": MONDAY_MS + ms, "T": MONDAY_MS + ms - 2, "s": "BTCUSDT", "t": number, "p": f"{price:.2f}"}
    return line(data | {"q": "0.500", "m": sold} | others, ms, stream="btcusdt@trade")
