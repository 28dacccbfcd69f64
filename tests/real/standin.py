"""Takes one order out of a record and sends it as ours instead: the simulated venue must give it the fills of history.

The order's add, its cancels and the records that name it as maker leave the record; its executions stay as prints that name
no maker. Our order is submitted where the add stood, and cancelled or made smaller where its owner did so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cift import _sim

ADD, CANCEL, FILL, TRADE = (np.uint8(ord(letter)) for letter in "ACFT")
BID = np.uint8(ord("B"))
LAST, SNAPSHOT = np.uint8(128), np.uint8(32)

Columns = Mapping[str, np.ndarray[Any, Any]]
Fill = tuple[int, float, float]
"""Time in nanoseconds, price, size."""


@dataclass(frozen=True)
class Life:
    """One order of the record: the rows that speak of it."""

    order_id: int
    add: int
    fills: np.ndarray[Any, Any]
    """Rows that name it as maker."""
    reductions: np.ndarray[Any, Any]
    """Rows that take it out after an execution."""
    cancels: np.ndarray[Any, Any]
    """Rows by which its owner takes size away."""


def lives(columns: Columns) -> list[Life]:
    """Every order that the record adds, in the order of its adds."""
    action, order_id = columns["action"], columns["order_id"]
    named = np.flatnonzero(((action == ADD) | (action == CANCEL) | (action == FILL)) & (columns["flags"] & SNAPSHOT == 0))
    ranks = named[np.argsort(order_id[named], kind="stable")]
    ids, starts = np.unique(order_id[ranks], return_index=True)
    found = []
    for rows in np.split(ranks, starts[1:]):
        adds = rows[action[rows] == ADD]
        if len(adds) != 1 or rows[0] != adds[0]:
            continue
        fills = rows[action[rows] == FILL]
        cancels = rows[action[rows] == CANCEL]
        after_fill = np.isin(cancels, fills + 1)
        found.append(Life(int(order_id[rows[0]]), int(adds[0]), fills, cancels[after_fill], cancels[~after_fill]))
    assert len(ids) >= len(found)
    return sorted(found, key=lambda life: life.add)


def recorded_fills(columns: Columns, life: Life) -> list[Fill]:
    """What history gave the order."""
    rows = life.fills
    return list(
        zip(columns["ts_event"][rows].tolist(), columns["price"][rows].tolist(), columns["size"][rows].tolist(), strict=True)
    )


def stand_in(columns: Columns, life: Life, tick: float) -> list[Fill]:
    """What our order gets in its place, without latency."""
    side = _sim.Side.BUY if columns["side"][life.add] == BID else _sim.Side.SELL
    limit = round(float(columns["price"][life.add]) / tick)
    total = int(columns["size"][life.add])
    steps: list[tuple[int, str, int]] = [(life.add, "submit", total)]
    left = total - int(columns["size"][life.fills].sum())
    for row in life.cancels:
        taken = int(columns["size"][row])
        total -= taken
        left -= taken
        steps.append((int(row), "modify" if left > 0 or np.any(life.fills > row) else "cancel", total))
    gone = np.sort(np.concatenate([[life.add], life.fills, life.reductions, life.cancels]))
    end = int(gone[-1]) + 1
    while end < len(columns["action"]) and not columns["flags"][end - 1] & LAST:
        end += 1
    kept = np.ones(end, dtype=bool)
    kept[gone] = False
    flags = columns["flags"][:end].copy()
    # The trade in front of a fill that is gone ends its event now, unless other fills of the same trade follow.
    for row in life.fills:
        if columns["action"][row - 1] == TRADE and flags[row + 1] & LAST:
            flags[row - 1] |= LAST
    rows = [at - int(np.searchsorted(gone, at)) for at, _, _ in steps]
    run = _sim.Run(
        instruments=[("STANDIN", (1, round(1 / tick)), (1, 1), 1, 10**18 // round(1 / tick), 0)],
        sources=[(0, 0, 0)],
        latency=(0, 0, 0),
        fees=(0, 0, 0, 0),
        cash=[0],
        refill_next_event=False,
        equity_every_ns=86_400 * 10**9,
        header="{}",
    )
    run.look_at([])
    run.set_script([(0, row, kind, 1, side, limit, size) for row, (_, kind, size) in zip(rows, steps, strict=True)])
    assert run.advance() == 0
    names = ("ts_event", "ts_recv", "action", "side", "price", "size", "order_id")
    run.push_mbo(0, *(columns[name][:end][kept] for name in names), flags[kept])
    # A step behind the last row has nothing to stand before: a record of no consequence carries it.
    last_ts = int(columns["ts_event"][end - 1])
    nothing = {"action": [TRADE], "side": [ord("N")], "price": [limit * tick], "size": [1.0]}
    if rows[-1] >= int(kept.sum()):
        run.push_mbo(
            0,
            np.array([last_ts]),
            np.array([np.iinfo(np.int64).min]),
            np.array(nothing["action"], dtype=np.uint8),
            np.array(nothing["side"], dtype=np.uint8),
            np.array([1e6]),
            np.array(nothing["size"]),
            np.array([0], dtype=np.uint64),
            np.array([0], dtype=np.uint8),
        )
    run.end_source(0)
    assert run.advance() is None
    fills = run.fills()
    return list(zip(fills["ts"].tolist(), fills["price"].tolist(), fills["size"].tolist(), strict=True))
