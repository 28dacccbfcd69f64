"""`cift bench`: the kernels of daily work, measured here, beside what was claimed of them.

Each row times what the package uses for a job and, where the claim is a ratio, a baseline in plain Python (lists, dicts and
loops, no NumPy and no pandas). Both compute the same number, which is compared before anything is timed.
"""

from __future__ import annotations

import csv
import gc
import io
import itertools
import json
import math
import os
import platform
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cift.cli.output import print_json
from cift.errors import CiftError

ROWS, QUICK_ROWS = 1_000_000, 20_000
SYMBOLS = 50
WINDOW = 20
MESSAGES = 20_000
SEED = 7


@dataclass(frozen=True)
class Case:
    """One row of the suite.

    Attributes:
        name: what is measured. subject: with what. baseline: against what, None where the claim is a time.
        run, run_baseline: do it once and return a number that both agree on.
        calls: how often one `run` does it. items: rows of one `run`.
        claim_ratio, claim_us: what was claimed, at least or at most.
    """

    name: str
    subject: str
    run: Callable[[], float]
    items: int
    baseline: str | None = None
    run_baseline: Callable[[], float] | None = None
    calls: int = 1
    claim_ratio: float | None = None
    claim_us: float | None = None


@dataclass(frozen=True)
class Figure:
    """A measured row; seconds are medians."""

    case: Case
    seconds: float
    baseline_seconds: float | None

    @property
    def ratio(self) -> float | None:
        """How many times faster than its baseline, or than its claim."""
        if self.baseline_seconds is not None:
            return self.baseline_seconds / self.seconds
        return None if self.case.claim_us is None else self.case.claim_us * 1e-6 / self.seconds

    @property
    def claim(self) -> str:
        """The claim as text."""
        case = self.case
        if case.claim_ratio is not None:
            return f"{case.claim_ratio:g}x"
        return "--" if case.claim_us is None else f"{case.claim_us:g} us"

    @property
    def met(self) -> bool | None:
        """Whether the claim holds here; None where there is none."""
        if self.case.claim_ratio is not None and self.ratio is not None:
            return self.ratio >= self.case.claim_ratio
        return None if self.case.claim_us is None else self.seconds * 1e6 <= self.case.claim_us


def bench(*, quick: bool, only: str | None, as_json: bool) -> None:
    """Measures and prints the suite."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    machine = {
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": None if load is None else [round(value, 2) for value in load],
    }
    found = [case for case in cases(QUICK_ROWS if quick else ROWS) if only is None or only.lower() in case.name.lower()]
    if not found:
        raise CiftError(f"no row of the suite has {only!r} in its name; leave --only out to see them")
    if not as_json:
        busy = "unknown" if load is None else ", ".join(f"{value:.2f}" for value in load)
        print(
            f"{machine['processors']} processors, {machine['system']}, Python {machine['python']}, load {busy} (1, 5, 15 min)"
        )
        print(f"{'':<22} {'claim':>8} {'figure':>12} {'ratio':>9}")
    figures = []
    for case in found:
        figure = measured(case, repeats=3 if quick else 7)
        figures.append(figure)
        if not as_json:
            print(_line(figure), flush=True)
    if as_json:
        print_json({"machine": machine, "rows": [_plain(figure) for figure in figures]})


def measured(case: Case, repeats: int) -> Figure:
    """Warms up, checks that subject and baseline agree, and times both.

    Raises:
        CiftError: where they do not.
    """
    value = case.run()
    baseline_s = None
    if case.run_baseline is not None:
        expected = case.run_baseline()
        if not math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-9):
            raise CiftError(
                f"bench {case.name}: {case.subject} gives {value!r}, {case.baseline} {expected!r}; a defect of cift"
            )
        baseline_s = _median_seconds(case.run_baseline, min(repeats, 3))
    return Figure(case, _median_seconds(case.run, repeats) / case.calls, baseline_s)


def _median_seconds(call: Callable[[], float], repeats: int) -> float:
    times = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    finally:
        gc.enable()
    return statistics.median(times)


def _line(figure: Figure) -> str:
    ratio = "--" if figure.ratio is None else f"{figure.ratio:,.1f}x"
    verdict = {True: "met", False: "NOT MET", None: ""}[figure.met]
    against = f"against {figure.case.baseline}" if figure.case.baseline else "against the claim" if figure.case.claim_us else ""
    behind = f"{verdict:<8} {figure.case.subject}, {figure.case.items:,} rows {against}".rstrip()
    return f"{figure.case.name:<22} {figure.claim:>8} {_time(figure.seconds):>12} {ratio:>9}  {behind}"


def _plain(figure: Figure) -> dict[str, Any]:
    case = figure.case
    return {
        "name": case.name,
        "subject": case.subject,
        "baseline": case.baseline,
        "items": case.items,
        "claim": None if figure.claim == "--" else figure.claim,
        "seconds": figure.seconds,
        "baseline_seconds": figure.baseline_seconds,
        "ratio": figure.ratio,
        "met": figure.met,
    }


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


# ------------------------------------------------------------------ the suite


def cases(rows: int) -> list[Case]:
    """All rows of the suite; those of a part that this build lacks are left out."""
    market = _Market(rows)
    return [*_indicators(market), *_tables(market), *_sums(market), *_files(market), *_messages(), *_core()]


class _Market:
    """One synthetic table, as a polars frame and as lists."""

    def __init__(self, rows: int) -> None:
        import numpy as np
        import polars as pl

        rng = np.random.Generator(np.random.PCG64(SEED))
        self.rows = rows
        mid = 100 + np.cumsum(rng.integers(-1, 2, rows)) * 0.01
        self.columns: dict[str, Any] = {
            "price": np.round(mid, 2),
            "size": rng.integers(1, 100, rows).astype(np.float64),
            "symbol": rng.integers(0, SYMBOLS, rows),
            "bid_price": np.round(mid - 0.01, 2),
            "bid_size": rng.integers(1, 100, rows).astype(np.float64),
            "ask_price": np.round(mid + 0.01, 2),
            "ask_size": rng.integers(1, 100, rows).astype(np.float64),
        }
        self.frame = pl.DataFrame(self.columns)
        self.lists = {name: values.tolist() for name, values in self.columns.items()}


def _indicators(market: _Market) -> Iterator[Case]:
    import polars as pl

    from cift.indicators import OrderFlowImbalance

    frame, lists, rows = market.frame, market.lists, market.rows
    price, size = pl.col("price"), pl.col("size")

    def last(expression: pl.Expr) -> Callable[[], float]:
        return lambda: float(frame.select(expression).to_series()[-1])

    def vwap() -> float:
        value = volume = 0.0
        out: list[float] = []
        for p, q in zip(lists["price"], lists["size"], strict=True):
            value += p * q
            volume += q
            out.append(value / volume)
        return out[-1]

    yield Case("VWAP", "polars", last((price * size).cum_sum() / size.cum_sum()), rows, "plain Python", vwap)

    ofi = OrderFlowImbalance(WINDOW)
    touch = [market.columns[name] for name in ("bid_price", "bid_size", "ask_price", "ask_size")]

    def flow() -> float:
        window: deque[float] = deque(maxlen=WINDOW)
        out = []
        quotes = zip(*(lists[name] for name in ("bid_price", "bid_size", "ask_price", "ask_size")), strict=True)
        bp, bq, ap, aq = next(quotes)
        for bid, bid_size, ask, ask_size in quotes:
            gained = bid_size * (bid >= bp) - bq * (bid <= bp)
            window.append(gained - (ask_size * (ask <= ap) - aq * (ask >= ap)))
            bp, bq, ap, aq = bid, bid_size, ask, ask_size
            out.append(sum(window))
        return out[-1]

    yield Case("OFI", "cift.indicators", lambda: float(ofi(*touch)[-1]), rows, "plain Python", flow)

    change = price.diff().slice(1)
    gain, loss = (part.clip(lower_bound=0).ewm_mean(alpha=1 / 14, adjust=False) for part in (change, -change))

    def rsi() -> float:
        prices = lists["price"]
        up = max(prices[1] - prices[0], 0.0)
        down = max(prices[0] - prices[1], 0.0)
        out = []
        for before, now in itertools.pairwise(prices[1:]):
            up += (max(now - before, 0.0) - up) / 14
            down += (max(before - now, 0.0) - down) / 14
            out.append(100 * up / (up + down) if up + down else 50.0)
        return out[-1]

    yield Case("RSI", "polars", last(100 * gain / (gain + loss)), rows, "plain Python", rsi)

    upper = price.rolling_mean(WINDOW) + 2 * price.rolling_std(WINDOW)

    def bollinger() -> float:
        window: deque[float] = deque(maxlen=WINDOW)
        out = []
        for p in lists["price"]:
            window.append(p)
            if len(window) == WINDOW:
                mean = sum(window) / WINDOW
                out.append(mean + 2 * math.sqrt(sum((x - mean) ** 2 for x in window) / (WINDOW - 1)))
        return out[-1]

    yield Case("Bollinger", "polars", last(upper), rows, "plain Python", bollinger)


def _tables(market: _Market) -> Iterator[Case]:
    import polars as pl

    frame, lists, rows = market.frame, market.lists, market.rows
    names = pl.DataFrame({"symbol": list(range(SYMBOLS)), "weight": [float(at) for at in range(SYMBOLS)]})
    weight: dict[int, float] = dict(names.iter_rows())

    def group() -> float:
        found: dict[int, list[float]] = {}
        for symbol, price, size in zip(lists["symbol"], lists["price"], lists["size"], strict=True):
            sums = found.get(symbol)
            if sums is None:
                found[symbol] = [size, price, price, 1]
                continue
            sums[0] += size
            sums[1] += price
            sums[3] += 1
            if price > sums[2]:
                sums[2] = price
        return float(sum(size + price / count + high for size, price, high, count in found.values()))

    def grouped() -> float:
        found = frame.group_by("symbol").agg(pl.col("size").sum(), mean=pl.col("price").mean(), high=pl.col("price").max())
        return _float(found.select(pl.sum_horizontal("size", "mean", "high").sum()).item())

    def join() -> float:
        joined = [(symbol, size, weight[symbol]) for symbol, size in zip(lists["symbol"], lists["size"], strict=True)]
        return sum([row[2] for row in joined])

    def joined() -> float:
        return _float(frame.select("symbol", "size").join(names, on="symbol")["weight"].sum())

    def rolling() -> float:
        total = 0.0
        window: deque[float] = deque()
        out: list[float] = []
        for size in lists["size"]:
            window.append(size)
            total += size
            if len(window) > WINDOW:
                total -= window.popleft()
            out.append(total / len(window))
        return out[-1]

    yield Case("group", "polars", grouped, rows, "plain Python", group, claim_ratio=15)
    yield Case("join", "polars", joined, rows, "plain Python", join, claim_ratio=12)
    yield Case(
        "filter", "polars", lambda: float(frame.filter(pl.col("size") > 50).height), rows,
        "plain Python", lambda: float(len([row for row in zip(*lists.values(), strict=True) if row[1] > 50])),
    )  # fmt: skip
    yield Case(
        "rolling", "polars", lambda: float(frame.select(pl.col("size").rolling_mean(WINDOW)).to_series()[-1]), rows,
        "plain Python", rolling,
    )  # fmt: skip


def _sums(market: _Market) -> Iterator[Case]:
    column, values, rows = market.frame["price"], market.lists["price"], market.rows

    def deviation() -> float:
        mean = sum(values) / len(values)
        return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))

    for name, plain in (
        ("mean", lambda: sum(values) / len(values)),
        ("median", lambda: statistics.median(values)),
        ("std", deviation),
        ("min", lambda: min(values)),
        ("max", lambda: max(values)),
    ):
        yield Case(name, "polars", lambda name=name: _float(getattr(column, name)()), rows, "plain Python", plain)  # type: ignore[misc]


def _files(market: _Market) -> Iterator[Case]:
    import polars as pl

    frame = market.frame.select("price", "size", "symbol")
    as_csv, as_parquet = io.BytesIO(), io.BytesIO()
    frame.write_csv(as_csv)
    frame.write_parquet(as_parquet, compression="zstd")
    text, packed = as_csv.getvalue(), as_parquet.getvalue()

    def plain() -> float:
        reader = csv.reader(io.StringIO(text.decode()))
        next(reader)
        return sum([float(row[1]) for row in reader])

    def from_csv() -> float:
        return _float(pl.read_csv(text)["size"].sum())

    yield Case("CSV", "polars", from_csv, frame.height, "Python's csv", plain)
    yield Case(
        "Parquet", "polars", lambda: _float(pl.read_parquet(packed)["size"].sum()), frame.height, "the same as CSV", from_csv
    )


def _messages() -> Iterator[Case]:
    import msgspec

    draw = random.Random(SEED)
    rows = [
        {"ts": 10**18 + at, "symbol": "DEMO.SIM", "side": "buy", "price": round(draw.uniform(99, 101), 2), "size": float(at)}
        for at in range(MESSAGES)
    ]
    record = msgspec.defstruct("Fill", [("ts", int), ("symbol", str), ("side", str), ("price", float), ("size", float)])
    typed = [record(**row) for row in rows]

    def round_trip(encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> Callable[[], float]:
        return lambda: sum(fill.size for fill in decode(encode(typed)))

    kind: Any = list[record]  # type: ignore[valid-type]
    as_json = round_trip(msgspec.json.Encoder().encode, msgspec.json.Decoder(kind).decode)
    packed = round_trip(msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(kind).decode)
    yield Case("MessagePack", "msgspec", packed, MESSAGES, "JSON by msgspec", as_json)
    yield Case(
        "JSON", "msgspec", as_json, MESSAGES, "Python's json", lambda: sum(row["size"] for row in json.loads(json.dumps(rows)))
    )


def _core() -> Iterator[Case]:
    import numpy as np

    from cift.core import (
        Fill,
        Order,
        Side,
        build_order_book,
        calculate_position_stats,
        calculate_sharpe,
        match_order,
    )

    levels, calls = 1_000, 1_000
    deep = [Order(side=Side.SELL, price_ticks=10_000 + at, qty_lots=10**9) for at in range(levels)]
    book = build_order_book(deep)
    taker = Order(side=Side.BUY, price_ticks=10_000, qty_lots=1)

    def match() -> float:
        for _ in range(calls):
            match_order(book, taker)
        return float(len(book))

    yield Case("match_order", f"cift.core, book of {levels:,} levels", match, 1, calls=calls, claim_us=10)

    draw = random.Random(SEED)
    orders = [
        Order(
            side=side, price_ticks=draw.randint(9_900, 9_999) if side is Side.BUY else draw.randint(10_000, 10_099), qty_lots=5
        )
        for side in (draw.choice((Side.BUY, Side.SELL)) for _ in range(1_000))
    ]
    yield Case("build_order_book", "cift.core", lambda: float(len(build_order_book(orders))), 1_000, claim_us=100)

    fills = [
        Fill(side=draw.choice((Side.BUY, Side.SELL)), price_ticks=draw.randint(9_990, 10_010), qty_lots=draw.randint(1, 9))
        for _ in range(1_000)
    ]

    def positions() -> float:
        calculate_position_stats(fills)
        return 0.0

    yield Case("position statistics", "cift.core", positions, 1_000, claim_us=50)

    returns = np.random.Generator(np.random.PCG64(SEED)).normal(0.0005, 0.01, 2_520)
    yield Case("Sharpe", "cift.core", lambda: _float(calculate_sharpe(returns, 252)), 2_520, claim_us=100)


def _float(value: Any) -> float:
    return float(value)
