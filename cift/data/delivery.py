"""A raw delivery as a vendor might send it: one day of quotes and trades as CSV, with the faults that such files have.

The market is the synthetic one of `cift.data.demo`; the faults are planted at places that the seed decides. The same files come
out at every run and on every machine.

| fault | file | what was done |
|---|---|---|
| duplicate | trades | a print is there twice |
| price_jump | trades | a price is in cents, ten thousand times too large |
| zero_size | trades | a size is 0 |
| time_back | trades | a print stands ten lines too late |
| crossed_quote | quotes | bid and ask are swapped |
| locked_quote | quotes | the ask is at the bid |
| silence | both | twenty minutes are missing |
"""

from __future__ import annotations

import gzip
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from cift.data.catalog import Catalog
from cift.data.demo import generate
from cift.data.runs import write_atomically

SYMBOL, DATE = "ACME.SIM", "2026-01-05"
EVENTS, SEED = 60_000, 7
SILENCE = ("13:10", "13:30")
TRADE_FAULTS = {"duplicate": 12, "price_jump": 2, "zero_size": 3, "time_back": 4}
QUOTE_FAULTS = {"crossed_quote": 9, "locked_quote": 15}


@dataclass(frozen=True)
class Delivery:
    """The files, and the lines of each fault (the header is line 1) in the file that the table above names."""

    quotes: Path
    trades: Path
    planted: dict[str, list[int]]


def deliver(out: str | Path, events: int = EVENTS, seed: int = SEED) -> Delivery:
    """Writes `quotes.csv.gz` and `trades.csv.gz` into a folder.

    Args:
        out: the folder; it is made.
        events: of the market; about one in thirty is a print.
        seed: of market and faults.
    """
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog(folder)
        generate(catalog, SYMBOL, DATE, events, seed, schemas=("quotes", "trades"))
        quotes = _without_silence(catalog.sql("select * from quotes order by sequence"))
        trades = _without_silence(catalog.sql("select * from trades order by sequence"))
    rng = np.random.default_rng(seed)
    trades, planted = _spoilt_trades(trades, rng)
    quotes, more = _spoilt_quotes(quotes, rng)
    planted |= more
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _write(quotes.select("TIME", "BID", "BIDSIZ", "ASK", "ASKSIZ"), out / "quotes.csv.gz")
    _write(trades.select("TIME", "PRICE", "SIZE", "SIDE", "ID"), out / "trades.csv.gz")
    return Delivery(out / "quotes.csv.gz", out / "trades.csv.gz", planted)


def _without_silence(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows outside of the twenty minutes, with the vendor's names; times are microseconds since 1970."""
    clock = pl.col("ts_event").dt.strftime("%H:%M")
    names = {
        "bid_price": "BID", "bid_size": "BIDSIZ", "ask_price": "ASK", "ask_size": "ASKSIZ",
        "price": "PRICE", "size": "SIZE", "aggressor": "SIDE", "trade_id": "ID",
    }  # fmt: skip
    kept = frame.filter((clock < SILENCE[0]) | (clock >= SILENCE[1]))
    return kept.with_columns(TIME=pl.col("ts_event").dt.epoch("us")).rename(names, strict=False)


def _places(rng: np.random.Generator, rows: int, faults: dict[str, int]) -> dict[str, list[int]]:
    """Rows for each fault, none within twenty rows of another."""
    slots = rng.permutation(np.arange(100, rows - 100, 20))
    ends = np.cumsum(list(faults.values()))
    return {name: sorted(part.tolist()) for name, part in zip(faults, np.split(slots[: ends[-1]], ends[:-1]), strict=True)}


def _spoilt_trades(trades: pl.DataFrame, rng: np.random.Generator) -> tuple[pl.DataFrame, dict[str, list[int]]]:
    places = _places(rng, trades.height, TRADE_FAULTS)
    row = pl.int_range(pl.len())
    trades = trades.with_columns(
        PRICE=pl.when(row.is_in(places["price_jump"])).then(pl.col("PRICE") * 10_000).otherwise("PRICE"),
        SIZE=pl.when(row.is_in(places["zero_size"])).then(0.0).otherwise("SIZE"),
    )
    order = list(range(trades.height))
    for late in places["time_back"]:
        order.insert(late + 10, order.pop(late))
    for place in reversed(places["duplicate"]):
        order.insert(place + 1, order[place])
    spoilt = trades[order]
    at = np.asarray(order)
    lines = {name: [int(np.flatnonzero(at == row)[-1]) + 2 for row in rows] for name, rows in places.items()}
    # Of a print that stands too late, it is the print itself that goes back in time.
    return spoilt, lines


def _spoilt_quotes(quotes: pl.DataFrame, rng: np.random.Generator) -> tuple[pl.DataFrame, dict[str, list[int]]]:
    places = _places(rng, quotes.height, QUOTE_FAULTS)
    row = pl.int_range(pl.len())
    crossed, locked = row.is_in(places["crossed_quote"]), row.is_in(places["locked_quote"])
    quotes = quotes.with_columns(
        BID=pl.when(crossed).then("ASK").otherwise("BID"),
        ASK=pl.when(crossed | locked).then("BID").otherwise("ASK"),
    )
    return quotes, {name: [row + 2 for row in rows] for name, rows in places.items()}


def _write(frame: pl.DataFrame, path: Path) -> None:
    """The frame as compressed CSV; no time stamp goes into the file, so that its bytes are the same each time."""
    text = io.BytesIO()
    frame.write_csv(text)
    write_atomically(path, gzip.compress(text.getvalue(), mtime=0))
