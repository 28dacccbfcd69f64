"""The works that benchmarks do, on generated input: W1 and W4 of the comparison with other frameworks.

Not a benchmark itself. The streams are those that the comparison used, to the last number, so that figures stand beside it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# ---------------------------------------------------------------------------------------------------- W1

START_NS = 1_700_000_000_000_000_000
TICK = 0.01
FAST, SLOW = 20, 100
W1_TICKS = 1_000_000
W1_ORDERS = 14_571
"""Sign changes of EMA(20) - EMA(100) of W1's mid, both begun with the first mid: the orders that every engine must send."""


def w1_ticks(ticks: int = W1_TICKS, seed: int = 7) -> dict[str, Array]:
    """Ticks of a quote (two ticks wide) and a print at the touch each, on a grid of 0.01, 1 ms apart in the mean."""
    random = np.random.default_rng(seed)
    mid = 1_000_000 + np.cumsum(random.integers(-1, 2, ticks))
    side = random.integers(0, 2, ticks).astype(np.int8)
    ts = START_NS + np.cumsum(random.integers(1, 2_000_000, ticks))
    bid, ask = mid - 1, mid + 1
    return {
        "ts": ts,
        "bid": bid,
        "ask": ask,
        "side": side,
        "price": np.where(side == 1, ask, bid),
        "size": random.integers(1, 11, ticks),
        "bid_size": random.integers(1, 101, ticks),
        "ask_size": random.integers(1, 101, ticks),
    }


def w1_view(ticks: int = W1_TICKS) -> Any:
    """W1's quotes and prints as a data view."""
    import polars as pl

    import cift

    d = w1_ticks(ticks)
    quotes = pl.DataFrame(
        {
            "ts_event": d["ts"],
            "bid_price": d["bid"] / 100,
            "bid_size": d["bid_size"].astype(np.float64),
            "ask_price": d["ask"] / 100,
            "ask_size": d["ask_size"].astype(np.float64),
        }
    )
    trades = pl.DataFrame(
        {
            "ts_event": d["ts"],
            "price": d["price"] / 100,
            "size": d["size"].astype(np.float64),
            "aggressor": np.where(d["side"] == 1, "buy", "sell"),
        }
    )
    return cift.quotes(quotes, trades=trades, symbol="W1.SIM", tick_size="0.01", lot_size=1)


class BareCross:
    """The floor under any engine that calls Python once a tick: W1 as a bound method, two floats in, no engine."""

    __slots__ = ("cash", "fast", "fast_weight", "orders", "position", "slow", "slow_weight")

    def __init__(self) -> None:
        self.fast: float | None = None
        self.slow = 0.0
        self.fast_weight, self.slow_weight = 2 / (FAST + 1), 2 / (SLOW + 1)
        self.position, self.orders, self.cash = 0, 0, 0.0

    def on_quote(self, bid: int, ask: int) -> None:
        """One tick; prices in ticks."""
        x = (bid + ask) * 0.005
        if self.fast is None:
            self.fast = self.slow = x
        self.fast = fast = self.fast + self.fast_weight * (x - self.fast)
        self.slow = slow = self.slow + self.slow_weight * (x - self.slow)
        want = 1 if fast > slow else (-1 if fast < slow else self.position)
        if want != self.position:
            size = want - self.position
            self.cash -= size * (ask if size > 0 else bid) * TICK
            self.position = want
            self.orders += 1


# ---------------------------------------------------------------------------------------------------- W4

ADD, CANCEL, MARKET = 0, 1, 2
W4_FILLS = 273_933
"""Fills of the whole stream of a million commands after 5,000 adds."""
_MASK = (1 << 64) - 1


def w4_commands(commands: int = 1_000_000, prefill: int = 5_000) -> tuple[list[tuple[int, int, bool, int, int]], int]:
    """`prefill` adds, then 60 % adds, 35 % cancels of live orders and 5 % market orders: (kind, id, is buy, price, size).

    Returns:
        The commands, prices in ticks and sizes in lots, and the number of fills that they must lead to.
    """
    state = 42

    def below(n: int) -> int:
        nonlocal state
        state = (state + 0x9E37_79B9_7F4A_7C15) & _MASK
        z = ((state ^ (state >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
        return (((z ^ (z >> 31)) >> 32) * n) >> 32

    lowest, highest = 50_000, 149_999
    levels: dict[int, deque[int]] = {}
    count: dict[int, int] = {}
    left: dict[int, int] = {}
    place: dict[int, int] = {}
    best = {True: lowest, False: highest}
    live: list[int] = []
    made: list[tuple[int, int, bool, int, int]] = []
    number = fills = 0

    def remove(order: int) -> None:
        price = place[order]
        del left[order]
        count[price] -= 1
        if count[price] == 0:
            while best[True] > lowest and not count.get(best[True]):
                best[True] -= 1
            while best[False] < highest and not count.get(best[False]):
                best[False] += 1

    while len(made) < commands + prefill:
        u = below(100)
        if len(made) < prefill or u < 60:
            buy = below(2) == 0
            distance = 1 + below(40) * below(40) // 40
            bid = 99_999 if best[True] == lowest else best[True]
            ask = 100_001 if best[False] == highest else best[False]
            price = ask - distance if buy else bid + distance
            size = 1 + below(10)
            live.append(number)
            levels.setdefault(price, deque()).append(number)
            count[price] = count.get(price, 0) + 1
            left[number], place[number] = size, price
            best[buy] = max(best[buy], price) if buy else min(best[buy], price)
            made.append((ADD, number, buy, price, size))
            number += 1
        elif u < 95:
            hit = None
            while hit is None and live:
                at = below(len(live))
                candidate = live[at]
                live[at] = live[-1]
                live.pop()
                hit = candidate if candidate in left else None
            if hit is None:
                continue
            remove(hit)
            made.append((CANCEL, hit, False, 0, 0))
        else:
            buy, size = below(2) == 0, 1 + below(50)
            made.append((MARKET, number, buy, 0, size))
            number += 1
            while size:
                queue = levels.get(best[not buy])
                while queue and queue[0] not in left:
                    queue.popleft()
                if not queue:
                    break
                maker = queue[0]
                part = min(size, left[maker])
                size -= part
                fills += 1
                if part == left[maker]:
                    queue.popleft()
                    remove(maker)
                else:
                    left[maker] -= part
    return made, fills
