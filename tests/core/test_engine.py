"""The engine's public face: pictures of what orders and records do, and what comes back."""

from __future__ import annotations

import pickle
from typing import Literal

import numpy as np
import pytest

from cift.core import Fill, Fills, MatchingEngine, Order, OrderBook, Side, build_order_book, match_order
from cift.errors import InvalidParameter, OrderError, UnknownName, UnknownOrder


@pytest.fixture
def engine() -> MatchingEngine:
    """Sells of 5 at 101 (#1) and 5 at 102 (#2), a bid of 4 at 99 (#3)."""
    engine = MatchingEngine()
    engine.submit(side=Side.SELL, price_ticks=101, qty_lots=5, owner=1)
    engine.submit(side=Side.SELL, price_ticks=102, qty_lots=5, owner=2)
    engine.submit(side=Side.BUY, price_ticks=99, qty_lots=4, owner=3)
    return engine


def rows(fills: Fills) -> list[tuple[int, int, int | None]]:
    return [(fill.price_ticks, fill.qty_lots, fill.counter_id) for fill in fills]


def test_a_taker_stops_at_its_limit_and_rests(engine: MatchingEngine) -> None:
    fills = engine.submit(side="buy", price_ticks=101, qty_lots=8, ts_ns=7)
    assert rows(fills) == [(101, 5, 1)]
    assert (fills.order_id, fills.filled_lots, fills.resting_lots, fills.cancelled_lots) == (4, 5, 3, 0)
    assert fills[0] == fills[-1]
    assert (fills[0].side, fills[0].ts_ns, fills[0].reason, fills[0].counter) == (Side.BUY, 7, "took", "order")
    assert engine.book.best_bid == (101, 3)
    assert engine.book.best_ask == (102, 5)


def test_a_market_order_takes_what_there_is(engine: MatchingEngine) -> None:
    fills = engine.submit(side="buy", qty_lots=12)
    assert rows(fills) == [(101, 5, 1), (102, 5, 2)]
    assert (fills.cancelled_lots, fills.cancel_reason) == (2, "no liquidity")
    assert repr(fills) == "<2 fills of order #4: 10 lots, 2 cancelled (no liquidity)>"


@pytest.mark.parametrize(("tif", "filled", "reason"), [("IOC", 5, "immediate or cancel"), ("FOK", 0, "fill or kill")])
def test_an_order_that_may_not_rest_is_cancelled(
    engine: MatchingEngine, tif: Literal["IOC", "FOK"], filled: int, reason: str
) -> None:
    fills = engine.submit(side="buy", price_ticks=101, qty_lots=8, tif=tif)
    assert (fills.filled_lots, fills.cancelled_lots, fills.cancel_reason) == (filled, 8 - filled, reason)


def test_self_trade_prevention_says_whom_it_cancelled(engine: MatchingEngine) -> None:
    fills = engine.submit(side="buy", price_ticks=102, qty_lots=6, owner=1, self_trade="cancel_oldest")
    assert (fills.prevented, rows(fills), fills.resting_lots) == ([1], [(102, 5, 2)], 1)


def test_a_cancel_returns_what_was_open(engine: MatchingEngine) -> None:
    assert engine.cancel(3, owner=3) == 4
    assert engine.book.best_bid is None
    with pytest.raises(UnknownOrder, match="#3 was refused: unknown order"):
        engine.cancel(3, owner=3)
    with pytest.raises(UnknownOrder, match="another owner"):
        engine.cancel(1, owner=3)


def test_a_smaller_size_keeps_its_place_and_a_new_price_may_trade(engine: MatchingEngine) -> None:
    engine.submit(side="sell", price_ticks=101, qty_lots=2)
    engine.modify(1, price_ticks=101, qty_lots=1, owner=1)
    assert [order.id for order in engine.book.queue("sell", 101)] == [1, 4]
    engine.modify(1, price_ticks=101, qty_lots=3, owner=1)
    assert [order.id for order in engine.book.queue("sell", 101)] == [4, 1]
    assert engine.book.ahead_of(1) == 2
    fills = engine.modify(3, price_ticks=101, qty_lots=4, owner=3)
    assert rows(fills) == [(101, 2, 4), (101, 2, 1)]


def test_refusals_leave_the_book_as_it_was(engine: MatchingEngine) -> None:
    before = repr(engine.book)
    with pytest.raises(OrderError, match="an order of this id rests already"):
        engine.submit(side="buy", price_ticks=1, qty_lots=1, id=1)
    with pytest.raises(OrderError, match="post-only order would have traded"):
        engine.submit(side="buy", price_ticks=101, qty_lots=1, post_only=True)
    with pytest.raises(OrderError, match="post_only cannot go with"):
        engine.submit(side="buy", qty_lots=1, post_only=True)
    with pytest.raises(UnknownName, match="GTD"):
        engine.submit(side="buy", price_ticks=1, qty_lots=1, tif="GTD")  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match=r"qty_lots is out of range; pass a whole number from 1 to"):
        engine.submit(side="buy", price_ticks=1, qty_lots=0)
    with pytest.raises(InvalidParameter, match=r"price_ticks must be a whole number .* not of type float"):
        engine.submit(side="buy", price_ticks=1.5, qty_lots=1)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="side 'bid' is not one"):
        engine.submit(side="bid", price_ticks=1, qty_lots=1)  # type: ignore[arg-type]
    assert repr(engine.book) == before


def test_ids_are_counted_past_those_that_were_given() -> None:
    engine = MatchingEngine()
    assert engine.submit(side="buy", price_ticks=1, qty_lots=1, id=41).order_id == 41
    assert engine.submit(side="buy", price_ticks=1, qty_lots=1).order_id == 42
    assert engine.submit(side="buy", price_ticks=1, qty_lots=1, id=3).order_id == 3
    assert engine.submit(side="buy", price_ticks=1, qty_lots=1).order_id == 43
    assert engine.submit(side="buy", price_ticks=1, qty_lots=1, id=2**64 - 1).order_id == 2**64 - 1
    with pytest.raises(OrderError, match="duplicate id"):
        engine.submit(side="buy", price_ticks=1, qty_lots=1)


def test_history_is_replayed_with_an_order_of_ours_in_its_queue() -> None:
    engine = MatchingEngine()
    engine.record_add(11, side="buy", price_ticks=99, qty_lots=5)
    ours = engine.submit(side="buy", price_ticks=99, qty_lots=3)
    engine.record_add(12, side="buy", price_ticks=99, qty_lots=4)
    assert engine.book.ahead_of(1) == 5
    assert engine.book.ahead_of(12, record=True) == 8
    assert len(engine.record_execute(11, qty_lots=2)) == 0, "those who stand ahead of ours trade first"
    engine.record_reduce(11, qty_lots=3)
    fills = engine.record_execute(12, qty_lots=1, ts_ns=9)
    assert [(f.order_id, f.side, f.price_ticks, f.qty_lots, f.ts_ns, f.reason) for f in fills] == [
        (ours.order_id, Side.BUY, 99, 1, 9, "queue")
    ]
    assert (fills.order_id, fills[0].counter, fills[0].counter_id) == (None, "market", None)
    fills = engine.record_add(13, side="sell", price_ticks=98, qty_lots=9)
    assert [(f.qty_lots, f.reason, f.counter, f.counter_id) for f in fills] == [(2, "crossed", "record", 13)]
    assert engine.book.depth("sell") == [(98, 9, 1)], "what is recorded rests in full"


def test_prints_fill_better_prices_and_places_survive_a_clear() -> None:
    engine = MatchingEngine()
    engine.record_add(1, side="sell", price_ticks=101, qty_lots=5)
    engine.submit(side="sell", price_ticks=101, qty_lots=2)
    engine.record_clear()
    assert len(engine.book) == 1
    engine.record_add(1, side="sell", price_ticks=101, qty_lots=5, snapshot=True)
    assert engine.book.ahead_of(1) == 5
    assert len(engine.record_print(price_ticks=101, qty_lots=9, aggressor="buy")) == 0
    fills = engine.record_print(price_ticks=102, qty_lots=1, aggressor="buy")
    assert [(fill.price_ticks, fill.qty_lots, fill.reason) for fill in fills] == [(101, 1, "swept")]
    engine.record_modify(1, side="sell", price_ticks=103, qty_lots=6)
    assert engine.book.depth(Side.SELL) == [(101, 1, 1), (103, 6, 1)]


def test_records_that_do_not_fit_are_counted() -> None:
    engine = MatchingEngine()
    engine.record_execute(404, qty_lots=1)
    engine.record_add(1, side="buy", price_ticks=5, qty_lots=1)
    engine.record_reduce(1, qty_lots=9)
    assert engine.anomalies == {"unknown order": 1, "duplicate id": 0, "size too large": 1, "bad size": 0, "bad price": 0}


def test_the_book_moves_with_the_engine_and_a_copy_does_not(engine: MatchingEngine) -> None:
    book, copy = engine.book, engine.book.copy()
    engine.submit(side="buy", qty_lots=5)
    assert book is engine.book
    assert (book.best_ask, copy.best_ask) == ((102, 5), (101, 5))
    assert match_order(copy, Order(side="buy", qty_lots=1)).order_id == 4, "the copy counts ids on from where it was taken"
    assert (len(book), len(copy)) == (2, 3)
    with pytest.raises(UnknownOrder, match="no recorded order #1 rests"):
        book.ahead_of(1, record=True)


def test_match_order_changes_the_book_in_place() -> None:
    book = build_order_book([Order(side="sell", price_ticks=100 + n, qty_lots=2, id=n) for n in range(1, 6)])
    fills = match_order(book, Order(side="buy", price_ticks=102, qty_lots=3, ts_ns=4))
    assert rows(fills) == [(101, 2, 1), (102, 1, 2)]
    assert book.depth("sell", 2) == [(102, 1, 1), (103, 2, 1)]
    assert match_order(OrderBook(), Order(side="buy", qty_lots=1)).cancelled_lots == 1


def test_a_book_is_built_in_order_and_says_which_order_is_wrong() -> None:
    orders = [Order(side="buy", price_ticks=9, qty_lots=1), Order(side="sell", price_ticks=8, qty_lots=3)]
    assert build_order_book(orders).depth("sell") == [(8, 2, 1)], "orders that cross trade on their way in"
    assert len(build_order_book(iter(orders))) == 1
    with pytest.raises(OrderError, match=r"order #5, element 1 of the list, was refused: duplicate id"):
        build_order_book([Order(side="buy", price_ticks=1, qty_lots=1, id=5)] * 2)
    with pytest.raises(InvalidParameter, match="element 1 is not an Order"):
        build_order_book([orders[0], "buy"])  # type: ignore[list-item]


def test_fills_are_a_sequence_and_columns(engine: MatchingEngine) -> None:
    fills = engine.submit(side="buy", qty_lots=7, ts_ns=3)
    assert [fill.qty_lots for fill in fills] == [5, 2]
    assert list(fills[::-1]) == [fills[1], fills[0]]
    assert list(fills + fills[:1]) == [*fills, fills[0]]
    assert list(Fills(list(fills))) == list(fills)
    columns = fills.to_numpy()
    assert {name: column.dtype.name for name, column in columns.items()} == {
        "order_id": "uint64", "counter_id": "uint64", "sign": "int8", "price_ticks": "int64", "qty_lots": "int64", "ts_ns": "int64",
    }  # fmt: skip
    np.testing.assert_array_equal(columns["price_ticks"], [101, 102])
    with pytest.raises(IndexError, match="fill 2 of 2"):
        fills[2]
    with pytest.raises(IndexError):
        fills[-3]
    with pytest.raises(TypeError):
        fills["0"]  # type: ignore[call-overload]
    with pytest.raises(InvalidParameter, match="element 0 is not a Fill"):
        Fills([3])  # type: ignore[list-item]


def test_orders_are_values() -> None:
    order = Order(
        side="sell", price_ticks=-3, qty_lots=2, ts_ns=5, id=9, owner=4, tif="GTC", post_only=True, self_trade="cancel_both"
    )
    assert pickle.loads(pickle.dumps(order)) == order
    assert order == Order(
        side=Side.SELL, price_ticks=-3, qty_lots=2, ts_ns=5, id=9, owner=4, post_only=True, self_trade="cancel_both"
    )
    assert order != Order(side="buy", price_ticks=-3, qty_lots=2)
    assert len({order, order}) == 1
    assert repr(order) == "<order #9 sell 2 lots at -3 ticks GTC>"
    assert Fill(side="buy", price_ticks=1, qty_lots=2) == Fill(side=Side.BUY, price_ticks=1, qty_lots=2)
