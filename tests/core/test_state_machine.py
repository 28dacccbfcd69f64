"""The engine in Python against the naive one, over random histories (row M4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cift.core import Fills, MatchingEngine
from cift.errors import OrderError, UnknownOrder
from tests.core.naive import NaiveEngine, Outcome, RefusalError

SIDES = st.sampled_from(["buy", "sell"])
PRICES = st.integers(-3, 6)
SIZES = st.integers(1, 12)
OWNERS = st.integers(0, 2)
SELF_TRADE = st.sampled_from([None, None, "cancel_newest", "cancel_oldest", "cancel_both"])


def of_record(fills: Fills) -> list[tuple[int, int, int]]:
    return [(fill.order_id, fill.price_ticks, fill.qty_lots) for fill in fills]


class EngineAgainstNaive(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.engine = MatchingEngine()
        self.naive = NaiveEngine()
        self.now = 0
        self.sent = 0
        self.recorded: list[int] = []

    def both(self, fast: Callable[[], Fills], slow: Callable[[], Outcome]) -> None:
        """The same outcome, or both refuse."""
        try:
            expected = slow()
        except RefusalError:
            with pytest.raises(OrderError):
                fast()
            return
        fills = fast()
        assert [(f.price_ticks, f.qty_lots, f.counter_id, f.counter == "record") for f in fills] == expected.fills
        assert (fills.resting_lots, fills.cancelled_lots) == (expected.resting, expected.cancelled)
        assert (fills.cancel_reason is None) == (expected.cancelled == 0)
        assert fills.prevented == expected.prevented
        assert all(fill.ts_ns == self.now for fill in fills)
        assert fills.filled_lots == sum(qty for _, qty, _, _ in expected.fills)

    def tick(self) -> dict[str, Any]:
        self.now += 1
        return {"ts_ns": self.now}

    @rule(side=SIDES, price=st.none() | PRICES, qty=SIZES, owner=OWNERS, tif=st.sampled_from(["GTC", "GTC", "IOC", "FOK"]),
          post_only=st.booleans(), self_trade=SELF_TRADE, again=st.booleans())  # fmt: skip
    def submit(
        self, side: Any, price: int | None, qty: int, owner: int, tif: str, post_only: bool, self_trade: Any, again: bool
    ) -> None:
        post_only = post_only and price is not None and tif == "GTC"
        name = max(1, self.sent) if again else self.sent + 1
        self.sent = max(self.sent, name)
        order = {"owner": owner, "tif": tif, "post_only": post_only, "self_trade": self_trade}
        stamp = self.tick()
        self.both(
            lambda: self.engine.submit(id=name, side=side, price_ticks=price, qty_lots=qty, **order, **stamp),
            lambda: self.naive.submit(name, side, price, qty, **order),
        )

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(0, 10**6), owner=OWNERS)
    def cancel(self, pick: int, owner: int) -> None:
        name = 1 + pick % self.sent
        resting = self.naive.find(name)
        try:
            expected = self.naive.cancel(name, owner)
        except RefusalError:
            with pytest.raises(UnknownOrder):
                self.engine.cancel(name, owner=owner)
            assert resting is None or self.naive.find(name) is resting
            return
        assert self.engine.cancel(name, owner=owner) == expected

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(0, 10**6), price=PRICES, qty=SIZES, owner=OWNERS)
    def modify(self, pick: int, price: int, qty: int, owner: int) -> None:
        name = 1 + pick % self.sent
        stamp = self.tick()
        self.both(
            lambda: self.engine.modify(name, price_ticks=price, qty_lots=qty, owner=owner, **stamp),
            lambda: self.naive.modify(name, owner, price, qty),
        )

    @rule(side=SIDES, price=PRICES, qty=SIZES)
    def record_add(self, side: Any, price: int, qty: int) -> None:
        name = len(self.recorded) + 1
        self.recorded.append(name)
        fills = self.engine.record_add(name, side=side, price_ticks=price, qty_lots=qty, **self.tick())
        assert of_record(fills) == self.naive.record_add(name, side, price, qty)

    @precondition(lambda self: self.recorded)
    @rule(pick=st.integers(0, 10**6), qty=SIZES)
    def record_reduce(self, pick: int, qty: int) -> None:
        name = self.recorded[pick % len(self.recorded)]
        assert len(self.engine.record_reduce(name, qty_lots=qty, **self.tick())) == 0
        self.naive.record_reduce(name, qty)

    @precondition(lambda self: self.recorded)
    @rule(pick=st.integers(0, 10**6), qty=SIZES)
    def record_execute(self, pick: int, qty: int) -> None:
        name = self.recorded[pick % len(self.recorded)]
        fills = self.engine.record_execute(name, qty_lots=qty, **self.tick())
        assert of_record(fills) == self.naive.record_execute(name, qty)

    @rule(price=PRICES, qty=SIZES, aggressor=SIDES)
    def record_print(self, price: int, qty: int, aggressor: Any) -> None:
        fills = self.engine.record_print(price_ticks=price, qty_lots=qty, aggressor=aggressor, **self.tick())
        assert of_record(fills) == self.naive.record_print(price, qty, aggressor)

    @invariant()
    def the_books_are_equal(self) -> None:
        book = self.engine.book
        assert len(book) == len(self.naive.orders)
        for side in ("buy", "sell"):
            levels = self.naive.depth(side)
            assert book.depth(side, 10**9) == levels
            for price, _, _ in levels:
                queue = book.queue(side, price)
                assert [(order.id, order.qty_lots, order.is_record) for order in queue] == self.naive.queue(side, price)
                ahead = 0
                for order in queue:
                    assert book.ahead_of(order.id, record=order.is_record) == ahead
                    ahead += order.qty_lots
        assert book.best_bid == next(((p, q) for p, q, _ in self.naive.depth("buy")), None)
        assert book.best_ask == next(((p, q) for p, q, _ in self.naive.depth("sell")), None)


def test_the_engine_is_the_naive_one() -> None:
    run_state_machine_as_test(EngineAgainstNaive, settings=settings(max_examples=100, stateful_step_count=50, deadline=None))


@pytest.mark.nightly
def test_the_engine_is_the_naive_one_for_longer() -> None:
    run_state_machine_as_test(EngineAgainstNaive, settings=settings(max_examples=5_000, stateful_step_count=200, deadline=None))
