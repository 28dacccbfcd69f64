"""Three works of a research day in pandas 2.2, pandas 3.1, bare polars and here, in turns: the table of docs/processing.md.

    python asv_bench/pandas_ratios.py --envs FOLDER

Each pandas gets an environment of its own below FOLDER (venv and pip, made once). Input is generated and seeded; all four answer
each work with the same numbers, which is checked. A round runs every side in a fresh process that does each work twice and
takes the second time; the table has the medians over the rounds, and what they are divided by each other.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PANDAS = {"pandas 2.2": "pandas==2.2.*", "pandas 3.1": "pandas==3.1.*"}
CLAIMS = {"group": 15, "join": 12, "backtest": 10}
"""What the first sketch of the project said it would be faster than pandas by."""
PRINTS, QUOTES, BARS = 10_000_000, 2_000_000, 1_000_000
FAST, SLOW, FEE = 10, 50, 0.0001
MINUTE_NS = 60 * 10**9
START_NS = 1_700_000_000 * 10**9
WORKS = {
    "group": f"open, high, low, close, volume of each minute of {PRINTS:,} prints",
    "join": f"{PRINTS:,} prints, each with the last of {QUOTES:,} quotes before it",
    "backtest": f"SMA({FAST}) over SMA({SLOW}) on {BARS:,} closes in columns: position, fees, profit",
}


def generate(folder: Path) -> None:
    """Prints, quotes and closes, on cents."""
    draw = np.random.default_rng(1)
    columns = {
        "prints_ts": START_NS + np.sort(draw.integers(0, 10**14, PRINTS)),
        "prints_price": (1_000_000 + np.cumsum(draw.integers(-1, 2, PRINTS))) / 100,
        "prints_size": draw.integers(1, 500, PRINTS).astype(np.float64),
        "quotes_ts": START_NS + np.sort(draw.integers(0, 10**14, QUOTES)),
        "quotes_bid": (1_000_000 + np.cumsum(draw.integers(-1, 2, QUOTES))) / 100,
        "quotes_size": draw.integers(1, 500, QUOTES).astype(np.float64),
        "close": np.round(100 * np.exp(np.cumsum(draw.normal(0, 0.0005, BARS))), 2),
    }
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)


Work = Callable[[], list[float]]


def of_pandas(data: dict[str, np.ndarray[Any, Any]]) -> dict[str, Work]:
    """The works as users of pandas write them."""
    import pandas as pd

    times = pd.DatetimeIndex(data["prints_ts"].view("M8[ns]"))
    prints = pd.DataFrame({"ts": times, "price": data["prints_price"], "size": data["prints_size"]})
    quotes = pd.DataFrame({"ts": data["quotes_ts"].view("M8[ns]"), "bid": data["quotes_bid"], "bid_size": data["quotes_size"]})
    close = pd.Series(data["close"])

    def group() -> list[float]:
        minutes = prints.groupby(prints["ts"].dt.floor("min"))
        bars = minutes["price"].agg(["first", "max", "min", "last"])
        bars["volume"] = minutes["size"].sum()
        return [len(bars), float(bars["max"].sum()), float(bars["last"].sum()), float(bars["volume"].sum())]

    def join() -> list[float]:
        joined = pd.merge_asof(prints, quotes, on="ts", allow_exact_matches=False)
        return [len(joined), float(joined["bid"].sum()), float(joined["bid_size"].sum())]

    def backtest() -> list[float]:
        position = (close.rolling(FAST).mean() > close.rolling(SLOW).mean()).astype("int8")
        traded = position.diff().fillna(0)
        profit = (position.shift(1) * close.diff()).sum() - (traded.abs() * close * FEE).sum()
        return [float((traded != 0).sum()), float(profit)]

    return {"group": group, "join": join, "backtest": backtest}


def of_polars(data: dict[str, np.ndarray[Any, Any]]) -> dict[str, Work]:
    """The works in bare polars."""
    import polars as pl

    prints, quotes = polars_frames(data)
    closes = pl.DataFrame({"close": data["close"]})

    def group() -> list[float]:
        price = pl.col("price")
        bars = prints.group_by_dynamic("ts", every="1m").agg(
            price.first().alias("first"), price.max().alias("max"), price.min().alias("min"), price.last().alias("last"),
            pl.col("size").sum().alias("volume"),
        )  # fmt: skip
        return [bars.height, bars["max"].sum(), bars["last"].sum(), bars["volume"].sum()]

    def join() -> list[float]:
        joined = prints.join_asof(quotes, on="ts", allow_exact_matches=False)
        return [joined.height, joined["bid"].sum(), joined["bid_size"].sum()]

    def backtest() -> list[float]:
        close = pl.col("close")
        return crossed(closes, close.rolling_mean(FAST), close.rolling_mean(SLOW))

    return {"group": group, "join": join, "backtest": backtest}


def of_cift(data: dict[str, np.ndarray[Any, Any]]) -> dict[str, Work]:
    """The works as this package does them: bars by the core, the join that looks at the order, exact moving averages."""
    import polars as pl

    from cift import features as ft
    from cift.indicators import SMA

    prints, quotes = (frame.rename({"ts": "ts_event"}) for frame in polars_frames(data))
    closes = pl.DataFrame({"close": data["close"]})

    def group() -> list[float]:
        bars = ft.ohlcv(prints, "1m", tick="0.01", lot=1)
        return [bars.height, *(bars[name].sum() for name in ("high", "close", "volume"))]

    def join() -> list[float]:
        joined = ft.join_asof(prints, quotes)
        return [joined.height, joined["bid"].sum(), joined["bid_size"].sum()]

    def backtest() -> list[float]:
        return crossed(closes, SMA(FAST).expr("close", tick="0.01"), SMA(SLOW).expr("close", tick="0.01"))

    return {"group": group, "join": join, "backtest": backtest}


def polars_frames(data: dict[str, np.ndarray[Any, Any]]) -> tuple[Any, Any]:
    """Prints and quotes."""
    import polars as pl

    time_of = pl.Datetime("ns")
    prints = pl.DataFrame({"ts": data["prints_ts"], "price": data["prints_price"], "size": data["prints_size"]})
    quotes = pl.DataFrame({"ts": data["quotes_ts"], "bid": data["quotes_bid"], "bid_size": data["quotes_size"]})
    # Marked as sorted, so that polars need not look.
    return tuple(frame.with_columns(pl.col("ts").cast(time_of).set_sorted()) for frame in (prints, quotes))  # type: ignore[return-value]


def crossed(closes: Any, quick: Any, calm: Any) -> list[float]:
    """Trades and profit of holding one unit while one average is above the other."""
    import polars as pl

    close, position = pl.col("close"), pl.col("position")
    held = closes.lazy().with_columns(position=(quick > calm).fill_null(False).cast(pl.Int8))
    profit = (position.shift(1) * close.diff()).sum() - (position.diff().abs() * close * FEE).sum()
    made = held.select(trades=(position.diff() != 0).sum(), profit=profit).collect()
    return [float(value) for value in made.row(0)]


SIDES = {"pandas": of_pandas, "polars": of_polars, "cift": of_cift}


def work(side: str, folder: Path) -> None:
    """What a process of one side does: prints seconds and answers."""
    data = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    told = {}
    for name, run in SIDES[side](data).items():
        run()
        gc.collect()
        began = time.perf_counter()
        answer = run()
        told[name] = (time.perf_counter() - began, answer)
    print(json.dumps(told))


def environment(folder: Path, requirement: str) -> str:
    """The interpreter of an environment with one pandas; made where it is not there yet."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement], check=True)
    return str(python)


def measure(envs: Path, rounds: int) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Median seconds by side and work, and the version of each side.

    Raises:
        AssertionError: two sides give other numbers.
    """
    pythons = {name: environment(envs / name.replace(" ", "-"), requirement) for name, requirement in PANDAS.items()}
    runs = {name: ("pandas", python) for name, python in pythons.items()}
    runs |= {"polars": ("polars", sys.executable), "here": ("cift", sys.executable)}
    versions = {
        name: output([python, "-c", f"import {module}; print({module}.__version__)"])
        for name, module, python in [
            *((name, "pandas", python) for name, python in pythons.items()),
            ("polars", "polars", sys.executable),
        ]
    }
    seconds: dict[str, dict[str, list[float]]] = {name: {each: [] for each in WORKS} for name in runs}
    with tempfile.TemporaryDirectory() as temporary:
        generate(Path(temporary))
        for _ in range(rounds):
            answers: dict[str, dict[str, list[float]]] = {}
            for name, (side, python) in runs.items():
                told = json.loads(output([python, __file__, "--side", side, "--data", temporary]))
                for each, (taken, answer) in told.items():
                    seconds[name][each].append(taken)
                    answers.setdefault(each, {})[name] = answer
            for each, by_side in answers.items():
                check(each, by_side)
    return {
        name: {each: statistics.median(times) for each, times in works.items()} for name, works in seconds.items()
    }, versions


def check(name: str, answers: dict[str, list[float]]) -> None:
    """That all sides agree. Floats summed in another order decide some exact ties of two averages otherwise."""
    first = answers["here"]
    for side, answer in answers.items():
        near = 1e-2 if name == "backtest" else 1e-9
        agree = all(math.isclose(a, b, rel_tol=near) for a, b in zip(first, answer, strict=True))
        assert agree, f"{name}: here {first}, {side} {answer}"


def output(command: list[str]) -> str:
    """What a process printed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def table(seconds: dict[str, dict[str, float]]) -> str:
    """Markdown: seconds of every side, and how many times faster than either pandas."""
    head = ["work", *seconds, *(f"{side} / here" for side in PANDAS), *(f"{side} / polars" for side in PANDAS), "claimed"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in WORKS:
        times = [f"{seconds[side][name]:.3f} s" for side in seconds]
        ratios = [f"{seconds[old][name] / seconds[new][name]:.1f}x" for new in ("here", "polars") for old in PANDAS]
        lines.append("| " + " | ".join([name, *times, *ratios, f"{CLAIMS[name]}x"]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints the table, or does the work of one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=Path, help="folder of the environments with pandas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--make", action="store_true", help="make the environments and measure nothing")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side is not None:
        work(asked.side, asked.data)
        return
    if asked.envs is None:
        parser.error("--envs FOLDER says where the environments with pandas are, or are to be made")
    if asked.make:
        for name, requirement in PANDAS.items():
            print(environment(asked.envs / name.replace(" ", "-"), requirement))
        return
    before = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    seconds, versions = measure(asked.envs, asked.rounds)
    after = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    print(", ".join(f"{name}: {version}" for name, version in versions.items()))
    print(f"{os.cpu_count()} processors, load {before:.1f} before and {after:.1f} after, medians of {asked.rounds} rounds\n")
    for name, what in WORKS.items():
        print(f"- {name}: {what}")
    print(f"\n{table(seconds)}")


if __name__ == "__main__":
    main()
