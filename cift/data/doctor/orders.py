"""Rules about orders (`mbo`): each is added before it changes, and the book that they make is not crossed where an event ends."""

from __future__ import annotations

import numpy as np

from cift._sim import MatchingEngine, Side
from cift.data.columns import Array
from cift.data.doctor.casebook import Batch, Casebook
from cift.data.screen import off_grid
from cift.domain.instrument import Instrument
from cift.domain.schemas import ACTION_CODES, LAST, SIDE_CODES, SNAPSHOT

ADD, CANCEL, MODIFY, FILL, CLEAR = (ACTION_CODES[word] for word in ("add", "cancel", "modify", "fill", "clear"))
BID = SIDE_CODES["bid"]


class OrderRules:
    """Rebuilds the book with the matching engine's records, and keeps the open size of each order beside it.

    Orders that rested before the first row are unknown: each is reported when it is named, once, since its cancel is
    the last that is heard of it. Rows with bad numbers, or off the grid, are left out of the book.
    """

    def __init__(self, book: Casebook, instrument: Instrument) -> None:
        self._book, self._instrument = book, instrument
        self._engine = MatchingEngine()
        self._ladder = self._engine.book
        self._open: dict[int, int] = {}
        self._day: int | None = None
        self._in_snapshot = False

    def look(self, batch: Batch, good: Array) -> None:
        """Applies the rows of a batch, in order."""
        columns, instrument = batch.columns, self._instrument
        (tick, tick_digits), (lot, lot_digits) = instrument.tick_fraction, instrument.lot_fraction
        clear = columns["action"] == CLEAR
        usable = (good & ~off_grid(columns["price"], tick, tick_digits) & ~off_grid(columns["size"], lot, lot_digits)) | clear
        with np.errstate(invalid="ignore"):
            ticks = np.where(usable & ~clear, np.rint(columns["price"] * (10**tick_digits / tick)), 0)
            lots = np.where(usable & ~clear, np.rint(columns["size"] * (10**lot_digits / lot)), 0)
        usable &= (np.abs(ticks) < 2**62) & (lots < 2**62)
        days = batch.days(self._day)
        fresh = days != np.append(days[0] - 1 if self._day is None else self._day, days[:-1])
        self._day = int(days[-1])
        found = self._apply(
            fresh.tolist(),
            columns["action"].tolist(),
            (columns["side"] == BID).tolist(),
            np.where(usable, ticks, 0).astype(np.int64).tolist(),
            np.where(usable, lots, 0).astype(np.int64).tolist(),
            columns["order_id"].tolist(),
            columns["flags"].tolist(),
            usable.tolist(),
        )
        for kind, rows in found.items():
            self._book.add(kind, np.array(rows, dtype=np.int64), batch, columns["price"])

    def _apply(
        self,
        fresh: list[bool],
        actions: list[int],
        bids: list[bool],
        ticks: list[int],
        lots: list[int],
        ids: list[int],
        flags: list[int],
        usable: list[bool],
    ) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {
            kind: []
            for kind in (
                "unknown_order",
                "add_of_live_order",
                "cancel_too_large",
                "fill_without_maker",
                "snapshot",
                "crossed_book",
            )
        }
        engine, ladder, open_lots = self._engine, self._ladder, self._open
        buy, sell = Side.BUY, Side.SELL
        in_snapshot = self._in_snapshot
        for row, (first_of_day, action, is_bid, price, size, order, flag, fit) in enumerate(
            zip(fresh, actions, bids, ticks, lots, ids, flags, usable, strict=True)
        ):
            part = bool(flag & SNAPSHOT) or action == CLEAR
            if part and not in_snapshot and not first_of_day:
                found["snapshot"].append(row)
            in_snapshot = part
            if not fit:
                pass
            elif action == ADD:
                if order in open_lots:
                    found["add_of_live_order"].append(row)
                    engine.record_reduce(order, qty_lots=open_lots[order])
                engine.record_add(order, side=buy if is_bid else sell, price_ticks=price, qty_lots=size)
                open_lots[order] = size
            elif action == CANCEL:
                left = open_lots.get(order)
                if left is None:
                    found["unknown_order"].append(row)
                else:
                    if size > left:
                        found["cancel_too_large"].append(row)
                    engine.record_reduce(order, qty_lots=min(size, left))
                    if size >= left:
                        del open_lots[order]
                    else:
                        open_lots[order] = left - size
            elif action == MODIFY:
                if order not in open_lots:
                    found["unknown_order"].append(row)
                engine.record_modify(order, side=buy if is_bid else sell, price_ticks=price, qty_lots=size)
                open_lots[order] = size
            elif action == FILL:
                if open_lots.get(order, 0) < size:
                    found["fill_without_maker"].append(row)
            elif action == CLEAR:
                engine.record_clear()
                open_lots.clear()
            if flag & LAST:
                bid, ask = ladder.best_bid, ladder.best_ask
                if bid is not None and ask is not None and bid[0] >= ask[0]:
                    found["crossed_book"].append(row)
        self._in_snapshot = in_snapshot
        return found
