"""A matching engine that is slow and obvious: one list in order of arrival, scanned for everything. The judge of the fast one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Text = Literal["buy", "sell"]


@dataclass
class Resting:
    id: int
    owner: int
    side: Text
    price: int
    qty: int
    post_only: bool
    self_trade: str | None
    recorded: bool = False
    taken: int = 0


@dataclass
class Outcome:
    """What an order led to: (price, qty, counter id, whether the counter was recorded) for each fill."""

    fills: list[tuple[int, int, int, bool]] = field(default_factory=list)
    resting: int = 0
    cancelled: int = 0
    prevented: list[int] = field(default_factory=list)


class RefusalError(Exception):
    """The engine would raise."""


@dataclass
class NaiveEngine:
    orders: list[Resting] = field(default_factory=list)

    def find(self, name: int, *, recorded: bool = False) -> Resting | None:
        return next((order for order in self.orders if order.id == name and order.recorded == recorded), None)

    def _makers(self, side: Text, limit: int | None) -> list[Resting]:
        """Orders that a taker of `side` may meet, best price first, then oldest."""
        against = [order for order in self.orders if order.side != side]
        if limit is not None:
            against = [order for order in against if (order.price <= limit if side == "buy" else order.price >= limit)]
        return sorted(against, key=lambda order: order.price if side == "buy" else -order.price)

    def _could_trade(self, side: Text, limit: int | None, owner: int, self_trade: str | None) -> int:
        total = 0
        for maker in self._makers(side, limit):
            if self_trade is not None and maker.owner == owner and not maker.recorded:
                if self_trade != "cancel_oldest":
                    break
                continue
            total += maker.qty - maker.taken
        return total

    def submit(
        self,
        name: int,
        side: Text,
        price: int | None,
        qty: int,
        *,
        owner: int = 0,
        tif: str = "GTC",
        post_only: bool = False,
        self_trade: str | None = None,
    ) -> Outcome:
        if self.find(name) is not None:
            raise RefusalError("duplicate id")
        available = self._could_trade(side, price, owner, self_trade)
        if post_only and available > 0:
            raise RefusalError("would trade")
        if tif == "FOK" and available < qty:
            return Outcome(cancelled=qty)
        return self._enter(Resting(name, owner, side, price or 0, qty, post_only, self_trade), price, rests=tif == "GTC")

    def _enter(self, order: Resting, limit: int | None, *, rests: bool) -> Outcome:
        outcome = Outcome()
        stopped = False
        for maker in self._makers(order.side, limit):
            if order.qty == 0:
                break
            if order.self_trade is not None and maker.owner == order.owner and not maker.recorded:
                if order.self_trade in ("cancel_oldest", "cancel_both"):
                    self.orders.remove(maker)
                    outcome.prevented.append(maker.id)
                if order.self_trade != "cancel_oldest":
                    stopped = True
                    break
                continue
            qty = min(order.qty, maker.qty - maker.taken)
            if qty == 0:
                continue
            order.qty -= qty
            if maker.recorded:
                maker.taken += qty
            else:
                maker.qty -= qty
                if maker.qty == 0:
                    self.orders.remove(maker)
            outcome.fills.append((maker.price, qty, maker.id, maker.recorded))
        if order.qty and rests and limit is not None and not stopped:
            self.orders.append(order)
            outcome.resting = order.qty
        else:
            outcome.cancelled = order.qty
        return outcome

    def cancel(self, name: int, owner: int) -> int:
        order = self.find(name)
        if order is None or order.owner != owner:
            raise RefusalError("unknown order")
        self.orders.remove(order)
        return order.qty

    def modify(self, name: int, owner: int, price: int, qty: int) -> Outcome:
        order = self.find(name)
        if order is None or order.owner != owner:
            raise RefusalError("unknown order")
        if price == order.price and qty < order.qty:
            order.qty = qty
            return Outcome(resting=qty)
        if order.post_only and self._could_trade(order.side, price, owner, order.self_trade) > 0:
            raise RefusalError("would trade")
        self.orders.remove(order)
        order.price, order.qty = price, qty
        return self._enter(order, price, rests=True)

    # ------------------------------------------------------------------ records

    def record_add(self, name: int, side: Text, price: int, qty: int) -> list[tuple[int, int, int]]:
        """Fills of ours as (order id, price, qty); the caller adds no id twice."""
        order = Resting(name, 0, side, price, qty, post_only=False, self_trade=None, recorded=True)
        fills = []
        for maker in self._makers(side, price):
            if maker.recorded or order.taken == qty:
                continue
            fills.append(self._fill(maker, qty - order.taken))
            order.taken += fills[-1][2]
        self.orders.append(order)
        return fills

    def record_reduce(self, name: int, qty: int) -> None:
        order = self.find(name, recorded=True)
        if order is None:
            return
        order.qty -= min(qty, order.qty)
        order.taken = min(order.taken, order.qty)
        if order.qty == 0:
            self.orders.remove(order)

    def record_execute(self, name: int, qty: int) -> list[tuple[int, int, int]]:
        recorded = self.find(name, recorded=True)
        if recorded is None:
            return []
        takes: Text = "sell" if recorded.side == "buy" else "buy"
        # More than the order has is taken as all of it.
        left, fills = min(qty, recorded.qty), []
        for maker in self._makers(takes, recorded.price):
            if maker is recorded or left == 0:
                break
            if not maker.recorded:
                fills.append(self._fill(maker, left))
                left -= fills[-1][2]
        self.record_reduce(name, qty)
        return fills

    def record_print(self, price: int, qty: int, aggressor: Text) -> list[tuple[int, int, int]]:
        left, fills = qty, []
        for maker in self._makers(aggressor, price):
            if left == 0 or (maker.recorded and maker.price == price):
                break
            if not maker.recorded:
                fills.append(self._fill(maker, left))
                left -= fills[-1][2]
        return fills

    def _fill(self, maker: Resting, most: int) -> tuple[int, int, int]:
        qty = min(most, maker.qty)
        maker.qty -= qty
        if maker.qty == 0:
            self.orders.remove(maker)
        return maker.id, maker.price, qty

    # ------------------------------------------------------------------ views

    def depth(self, side: Text) -> list[tuple[int, int, int]]:
        prices = sorted({order.price for order in self.orders if order.side == side}, reverse=side == "buy")
        levels = [[order.qty for order in self.orders if order.side == side and order.price == price] for price in prices]
        return [(price, sum(level), len(level)) for price, level in zip(prices, levels, strict=True)]

    def queue(self, side: Text, price: int) -> list[tuple[int, int, bool]]:
        return [(o.id, o.qty, o.recorded) for o in self.orders if o.side == side and o.price == price]
