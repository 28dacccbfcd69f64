"""Made-up rows that have all the columns a feature reads, and how two columns are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

SECOND_NS = 10**9
MONDAY_NS = 1_767_571_200 * SECOND_NS
LEVELS = 3


def market(rows: int, seed: int = 0, symbols: int = 2, missing: float = 0.1) -> pl.DataFrame:
    """Quotes, prints and books on ticks of a cent, of several symbols in one order of time, over about two days."""
    rng = np.random.default_rng(seed)
    bid = 10_000 + rng.integers(-3, 4, rows).cumsum()
    columns: dict[str, Any] = {
        "ts_event": MONDAY_NS + rng.integers(0, 2 * 86_400 * SECOND_NS, rows, endpoint=True),
        "symbol": rng.choice([f"S{n}" for n in range(symbols)], rows),
        "bid_price": bid / 100,
        "bid_size": rng.integers(0, 9, rows) * 1.0,
        "ask_price": (bid + rng.integers(0, 4, rows)) / 100,
        "ask_size": rng.integers(0, 9, rows) * 1.0,
        "price": (bid + rng.integers(-1, 5, rows)) / 100,
        "size": rng.integers(1, 9, rows) * 1.0,
        "aggressor": rng.choice(["buy", "sell", "none"], rows),
    }
    for level in range(LEVELS):
        for side, step in (("bid", -1), ("ask", 1)):
            columns[f"{side}_price_{level}"] = (bid + step * (level * 2 + rng.integers(0, 2, rows) + (step > 0))) / 100
            columns[f"{side}_size_{level}"] = rng.integers(1, 9, rows) * 1.0
    frame = pl.DataFrame(columns).with_columns(pl.col("ts_event").sort().cast(pl.Datetime("ns", "UTC")))
    gone = pl.Series(rng.random(rows) < missing)
    last = pl.Series(rng.random(rows) < missing)
    deep = [f"{side}_{what}_{LEVELS - 1}" for side in ("bid", "ask") for what in ("price", "size")]
    return frame.with_columns(
        pl.when(~gone).then(pl.col("bid_price")),
        pl.when(gone).then(0.0).otherwise(pl.col("bid_size")).alias("bid_size"),
        *(pl.when(~last).then(pl.col(name)) for name in deep),
    )


def bits(column: Any) -> list[int | None]:
    """The bits of floats, one NaN for all and null as it is."""
    series = pl.Series(column).cast(pl.Float64)
    values = series.to_numpy().copy()
    values[np.isnan(values)] = np.nan
    told = values.view(np.uint64).tolist()
    return [None if missing else bit for bit, missing in zip(told, series.is_null().to_list(), strict=True)]
