"""The matching engine by itself, through `cift.core`: W4 command by command and in bulk, and the four functions."""

from __future__ import annotations

import statistics
import time
from typing import Any

from .measuring import one_call_us, seconds, unit
from .works import ADD, CANCEL, w4_commands

COMMANDS, PREFILL = 200_000, 5_000
Commands = tuple[list[tuple[int, int, bool, int, int]], int]


def calls(commands: list[tuple[int, int, bool, int, int]], engine: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Each command as a method of the engine and its arguments."""
    from cift.core import Side

    made: list[tuple[Any, dict[str, Any]]] = []
    for kind, number, buy, price, size in commands:
        if kind == CANCEL:
            made.append((engine.cancel, {"id": number}))
        else:
            side = Side.BUY if buy else Side.SELL
            limit = price if kind == ADD else None
            made.append((engine.submit, {"side": side, "price_ticks": limit, "qty_lots": size, "id": number}))
    return made


class W4:
    """60 % passive adds, 35 % cancels by id, 5 % market orders on a book that 5,000 adds began."""

    def setup_cache(self) -> Commands:
        """The commands, and the fills that a slow book of its own finds for them."""
        return w4_commands(COMMANDS, PREFILL)

    def setup(self, cached: Commands) -> None:
        """The same commands as calls, and without the cancels as one list of orders."""
        from cift.core import MatchingEngine, Order, Side

        commands, self.fills = cached
        engine = MatchingEngine()
        made = calls(commands, engine)
        for call, arguments in made[:PREFILL]:
            call(**arguments)
        self.calls = made[PREFILL:]
        self.orders = [
            Order(side=Side.BUY if buy else Side.SELL, price_ticks=price if kind == ADD else None, qty_lots=size, id=number)
            for kind, number, buy, price, size in commands
            if kind != CANCEL
        ]

    @unit("ns/order")
    def track_in_bulk(self, _cached: Commands) -> float:
        """One call with all adds and market orders in a list: the engine, and reading its arguments. No cancels."""
        from cift.core import build_order_book

        (taken,) = seconds(lambda: build_order_book(self.orders), clock=time.process_time)
        return taken / len(self.orders) * 1e9

    @unit("ns/order")
    def track_call_by_call(self, _cached: Commands) -> float:
        """A Python loop that calls the engine once a command: dominated by the call."""
        fills = 0
        start = time.process_time_ns()
        for call, arguments in self.calls:
            told = call(**arguments)
            if told.__class__ is not int:
                fills += len(told)
        taken = time.process_time_ns() - start
        assert fills == self.fills, f"{fills} fills, not {self.fills}"
        return taken / len(self.calls)

    @unit("ns")
    def track_single_call_p99(self, _cached: Commands) -> float:
        """The slowest in a hundred single calls from Python (p99), the clock taken off."""
        clock = time.perf_counter_ns
        itself = statistics.median(-(clock() - clock()) for _ in range(10_000))
        taken = []
        for call, arguments in self.calls:
            start = clock()
            call(**arguments)
            taken.append(clock() - start)
        taken.sort()
        return taken[len(taken) * 99 // 100] - itself


class Functions:
    """`match_order`, `build_order_book`, `calculate_position_stats` and `calculate_sharpe`: one call from Python, the median."""

    def setup(self) -> None:
        """A book of 1,000 levels a side, 1,000 orders, 1,000 fills in either direction, and ten years of daily returns."""
        import random

        import numpy as np

        from cift import core
        from cift.core import Fill, Fills, Order, Side, build_order_book

        self.core = core
        self.orders = [
            Order(
                side=Side.BUY if n % 2 else Side.SELL, price_ticks=10_000 + (-1 - n // 2 if n % 2 else 1 + n // 2), qty_lots=5
            )
            for n in range(1_000)
        ]
        self.levels = build_order_book(
            [
                Order(side=side, price_ticks=10_000 + sign * (1 + n), qty_lots=1_000_000_000)
                for n in range(1_000)
                for side, sign in ((Side.BUY, -1), (Side.SELL, 1))
            ]
        )
        self.taker = Order(side=Side.BUY, price_ticks=10_001, qty_lots=1, tif="IOC")
        draw = random.Random(1)
        self.fill_list = [
            Fill(side=draw.choice(("buy", "sell")), price_ticks=draw.randint(9_990, 10_010), qty_lots=draw.randint(1, 9))
            for _ in range(1_000)
        ]
        self.fills = Fills(self.fill_list)
        self.returns = np.random.default_rng(1).normal(0.0003, 0.01, 2_520)

    @unit("us")
    def track_match_order(self) -> float:
        """One order that trades, on a book of 1,000 levels a side."""
        match_order, levels, taker = self.core.match_order, self.levels, self.taker
        return one_call_us(lambda: match_order(levels, taker))

    @unit("us")
    def track_build_order_book(self) -> float:
        """1,000 orders."""
        return one_call_us(lambda: self.core.build_order_book(self.orders), 2_000)

    @unit("us")
    def track_calculate_position_stats(self) -> float:
        """1,000 fills as an engine returns them. Their sides are drawn: what cannot be foreseen is what takes time."""
        return one_call_us(lambda: self.core.calculate_position_stats(self.fills))

    @unit("us")
    def track_calculate_position_stats_of_a_list(self) -> float:
        """The same as a list of 1,000 `Fill`."""
        return one_call_us(lambda: self.core.calculate_position_stats(self.fill_list))

    @unit("us")
    def track_calculate_sharpe(self) -> float:
        """2,520 returns."""
        return one_call_us(lambda: self.core.calculate_sharpe(self.returns, 252))
