"""Whatever is passed in, what comes out is an answer or a typed error (row U2)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from cift import core
from cift.errors import CiftError

CALLS = 10_000
ODD: list[Any] = [
    None, True, 0, 1, 2, 3, -1, 5, 100, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**64, -(10**400),
    10**400, 0.0, 1.0, 1.5, math.nan, math.inf, -math.inf, "", "buy", "sell", "GTC", "IOC", "FOK", "cancel_both", "\ud800", "x" * 9,
    b"buy", (), [], {}, object(), int, core.Side.BUY, core.Side.SELL, np.int64(4), np.uint64(2**64 - 1), np.float64("nan"),
    np.zeros(0), np.array([0.1, math.nan]), np.array(["a"]), slice(None), slice(5, -5, -2), 1j, NotImplemented, ...,
]  # fmt: skip
ORDER = ("side", "qty_lots", "price_ticks", "ts_ns", "id", "owner", "tif", "post_only", "self_trade")
LIKELY: dict[str, list[Any]] = {
    "side": ["buy", "sell", core.Side.BUY],
    "qty_lots": [1, 3, 2**53],
    "price_ticks": [1, 2, 3, -(2**53)],
    "ts_ns": [0, 2**63 - 1],
    "id": [1, 2, 3, 2**64 - 1],
    "owner": [0, 1],
    "tif": ["GTC", "IOC", "FOK"],
    "post_only": [True, False],
    "self_trade": [None, "cancel_both", "cancel_newest"],
    "aggressor": [None, "buy"],
    "snapshot": [True, False],
}


def test_ten_thousand_odd_calls_give_answers_or_typed_errors() -> None:
    chance = random.Random(20_260_105)
    engine = core.MatchingEngine()
    answered = refused = 0
    made: list[Any] = [engine, engine.book]

    def value(name: str | None = None) -> Any:
        if name is not None and chance.random() < 0.8:
            return chance.choice(LIKELY[name])
        return chance.choice(ODD + made[-6:])

    def keywords(*names: str) -> dict[str, Any]:
        given = {name: value(name) for name in names if chance.random() < 0.8}
        if chance.random() < 0.02:
            given["price"] = value()
        return given

    def some(*names: str) -> Callable[[Callable[..., Any]], Any]:
        return lambda function: function(**keywords(*names))

    def named(*names: str) -> Callable[[Callable[..., Any]], Any]:
        return lambda function: function(value("id"), **keywords(*names))

    def plain(count: int) -> Callable[[Callable[..., Any]], Any]:
        return lambda function: function(*(value() for _ in range(count)))

    fills = core.Fills([core.Fill(side="buy", price_ticks=1, qty_lots=1)] * 3)
    calls: list[tuple[Callable[..., Any], Callable[[Callable[..., Any]], Any]]] = [
        (core.Order, some(*ORDER)),
        (engine.submit, some(*ORDER)),
        (engine.cancel, named("ts_ns", "owner")),
        (engine.modify, named("price_ticks", "qty_lots", "ts_ns", "owner")),
        (engine.record_add, named("side", "price_ticks", "qty_lots", "ts_ns", "snapshot")),
        (engine.record_reduce, named("qty_lots", "ts_ns")),
        (engine.record_modify, named("side", "price_ticks", "qty_lots", "ts_ns")),
        (engine.record_execute, named("qty_lots", "ts_ns")),
        (engine.record_print, some("price_ticks", "qty_lots", "aggressor", "ts_ns")),
        (engine.record_clear, some("ts_ns")),
        (engine.book.depth, plain(2)),
        (engine.book.queue, plain(2)),
        (engine.book.ahead_of, plain(1)),
        (core.Fill, some("side", "price_ticks", "qty_lots", "ts_ns")),
        (core.Fills, lambda function: function(chance.choice([value(), [value()], made]))),
        (fills.__getitem__, plain(1)),
        (lambda other: fills + other, plain(1)),
        (core.match_order, lambda function: function(chance.choice([engine.book, value()]), value())),
        (core.build_order_book, lambda function: function(chance.choice([value(), [value()], made]))),
        (core.calculate_position_stats, lambda function: function(chance.choice([value(), [value()], fills]))),
        (
            core.calculate_sharpe,
            lambda function: function(chance.choice([value(), [value(), value()]]), chance.choice([252, value()])),
        ),
        (core.MatchingEngine, plain(1)),
        (core.OrderBook, plain(1)),
    ]
    for _ in range(CALLS):
        function, call = chance.choice(calls)
        before = len(engine.book)
        try:
            answer = call(function)
        except (CiftError, TypeError, IndexError):
            # TypeError is Python's own for missing, unknown and untyped arguments; IndexError ends an iteration.
            refused += 1
            if function in (engine.submit, engine.modify, engine.cancel):
                assert len(engine.book) == before, "a refusal leaves the book as it was"
        else:
            answered += 1
            if isinstance(answer, core.Order | core.Fill | core.Fills | core.OrderBook):
                made.append(answer)
    assert answered > CALLS // 10
    assert refused > CALLS // 10
