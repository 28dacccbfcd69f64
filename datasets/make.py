"""Makes the data sets of the notebooks and benchmarks: three synthetic symbols over two days, a million events each.

    python datasets/make.py [--out FOLDER] [--events N] [--symbols ALFA.SIM BRAVO.SIM ...]

The same rows come out at every run and on every machine; the hash of the values of each day is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from cift.data.catalog import Catalog
from cift.data.demo import generate

DATES = ("2026-01-05", "2026-01-06")
EVENTS = 1_000_000


@dataclass(frozen=True)
class Recipe:
    """One symbol: the seed of its first day, its first opening price and its grid."""

    seed: int
    price: str
    tick_size: str
    lot_size: str


RECIPES = {
    "ALFA.SIM": Recipe(seed=11, price="100.00", tick_size="0.01", lot_size="1"),
    "BRAVO.SIM": Recipe(seed=22, price="2450.50", tick_size="0.25", lot_size="1"),
    "COIN.SIM": Recipe(seed=33, price="640.0", tick_size="0.1", lot_size="0.001"),
}


def make(out: Path, events: int, symbols: Sequence[str]) -> list[tuple[str, str, str, int, str]]:
    """Makes the days of the symbols in the catalog `out`; each day opens about where the one before closed.

    Returns:
        Symbol, date, schema, rows and hash of the row values, one of each partition.
    """
    catalog = Catalog(out)
    made: list[tuple[str, str, str, int, str]] = []
    for symbol in symbols:
        recipe = RECIPES[symbol]
        tick = Decimal(recipe.tick_size)
        price = Decimal(recipe.price)
        for number, date in enumerate(DATES):
            day = generate(
                catalog,
                symbol,
                date,
                events,
                recipe.seed + number,
                price=price,
                tick_size=tick,
                lot_size=recipe.lot_size,
            )
            price = round(Decimal(repr(day.close)) / tick) * tick
            made += [(symbol, date, part.schema, part.rows, part.content_hash) for part in day.manifests]
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line, makes the data sets and prints what was made."""
    parser = argparse.ArgumentParser(description="Make the synthetic data sets.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data", help="folder of the catalog")
    parser.add_argument("--events", type=int, default=EVENTS, help="events per symbol and day")
    parser.add_argument("--symbols", nargs="+", choices=list(RECIPES), default=list(RECIPES), metavar="SYMBOL")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    for symbol, date, schema, rows, content_hash in make(options.out, options.events, options.symbols):
        print(f"{symbol:10} {date}  {schema:6} {rows:>11,}  {content_hash[:16]}")
    print(f"{options.out}: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
