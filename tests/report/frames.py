"""Seeded runs, as the frames that a report draws."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

TIME = pl.Datetime("ns", "UTC")
START_NS = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * 1_000_000_000
DAY_S = 86_400
CASH = 1_000_000.0


def stamped(ns, **columns) -> pl.DataFrame:
    return pl.DataFrame({"ts": np.asarray(ns, np.int64), **columns}).with_columns(pl.col("ts").cast(TIME))


def run_frames(*, seconds: int, fills: int, prices: int = 20_000, symbol: str = "DEMO.SIM", seed: int = 1) -> dict:
    """Keyword arguments of `charts.plot`: a walk of prices, fills on it, and the equity that they give."""
    rng = np.random.default_rng(seed)
    at = START_NS + np.sort(rng.integers(0, seconds * 10**9, prices))
    price = np.round(100 + np.cumsum(rng.normal(0, 3 / np.sqrt(prices), prices)), 2)
    row = np.sort(rng.choice(prices, fills, replace=False))
    sign = rng.choice([1, -1], fills)
    size = rng.integers(1, 5, fills) * 10.0
    paid = price[row] + 0.01 * sign
    held = np.cumsum(sign * size)
    cash = CASH - np.cumsum(sign * size * paid + 0.005 * size)
    queued = rng.random(fills) < 0.6
    frame = stamped(
        at[row],
        symbol=pl.Series([symbol] * fills, dtype=pl.String),
        order_id=np.arange(fills),
        side=pl.Series(np.where(sign > 0, "buy", "sell").tolist(), dtype=pl.String),
        price=paid,
        size=size,
        fee=0.005 * size,
        liquidity=pl.Series(np.where(queued, "maker", "taker").tolist(), dtype=pl.String),
        reason=pl.Series(np.where(queued, "queue", "took").tolist(), dtype=pl.String),
        ahead=pl.Series(
            [float(x) if q else None for x, q in zip(rng.integers(0, 5_000, fills), queued, strict=True)], dtype=pl.Float64
        ),
        position=held,
    )
    seen = START_NS + np.linspace(0, seconds * 1e9, min(seconds, DAY_S) + 1)[1:].astype(np.int64)
    last = np.maximum(np.searchsorted(at, seen, side="right") - 1, 0)
    made = np.searchsorted(at[row], seen, side="right") - 1
    equity = np.where(made >= 0, np.r_[cash, CASH][made] + np.r_[held, 0][made] * price[last], CASH)
    return {
        "equity": stamped(seen, equity=equity),
        "fills": frame,
        "positions": frame.select("ts", "symbol", "position"),
        "prices": stamped(at, symbol=[symbol] * prices, price=price),
        "start_ns": START_NS,
        "end_ns": START_NS + seconds * 10**9,
        "initial_cash": CASH,
    }


def trade_frame(count: int, *, symbol: str = "DEMO.SIM", seed: int = 1, is_open: bool = False) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    entry = START_NS + np.sort(rng.integers(0, 3_600 * 10**9, count))
    price = 100 + np.round(rng.normal(0, 1, count), 2)
    pnl = rng.normal(0, 10, count).round(2)
    frame = pl.DataFrame(
        {
            "symbol": pl.Series([symbol] * count, dtype=pl.String),
            "size": np.full(count, 10.0),
            "entry_ts": entry,
            "exit_ts": entry + 10**9,
            "entry_price": price,
            "exit_price": price + pnl / 10,
            "pnl": pnl,
            "fees": np.full(count, 0.1),
            "return_pct": pnl / (10 * price) * 100,
            "is_open": [is_open] * count,
        }
    )
    return frame.with_columns(pl.col("entry_ts", "exit_ts").cast(TIME))
