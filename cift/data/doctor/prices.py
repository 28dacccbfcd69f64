"""Rules about prices beside each other: jumps, another unit, outliers, steps between days.

Two measures, since they see different things. A *jump* is a price 1,000 times the last one that was none, or a thousandth of it,
as `cift.data.screen` has it: a lost decimal point. An *outlier* lies far from the median of the 51 prices around it: 10 times
their median absolute deviation, where that is at least 0.05 % of the price and one tick. The median moves with a market that
goes to another level within a row or two and stays there, so a move is no outlier and a spike that comes back is one
(Brownlees and Gallo (2006), "Financial econometric analysis at ultra-high frequency", Computational Statistics and Data
Analysis 51(4), with the median in the place of the trimmed mean).
"""

from __future__ import annotations

import numpy as np

from cift.data.columns import Array
from cift.data.doctor.casebook import Batch, Casebook, Rows
from cift.data.screen import DAY_STEP, JUMP_RATIO, JUMPS_IN_A_ROW_MAX
from cift.data.times import DAY_NS
from cift.domain.schemas import ACTION_CODES

WINDOW = 51
"""Prices around one, itself among them, whose median it is compared with."""
HALF = WINDOW // 2
DEVIATIONS = 10.0
DEVIATION_LEAST = 5e-4
"""The least that a median absolute deviation counts as, by the price: most quotes repeat the last, and that is no calm to trust."""
BLOCK = 64


def price_of(schema: str, columns: dict[str, Array], good: Array) -> Array:
    """The one price of each row, NaN where it has none: the mid (or the one side) of a quote, the price of a print.

    Of orders, those of prints: an order may lie far away.
    """
    if schema == "quotes":
        bid = np.where(columns["bid_size"] > 0, columns["bid_price"], np.nan)
        ask = np.where(columns["ask_size"] > 0, columns["ask_price"], np.nan)
        price = np.where(np.isnan(bid), ask, np.where(np.isnan(ask), bid, (bid + ask) / 2))
    elif schema == "mbp":  # levels lie far from the last price, and mean it
        price = np.full(len(columns["price"]), np.nan)
    elif schema == "mbo":
        price = np.where(columns["action"] == ACTION_CODES["trade"], columns["price"], np.nan)
    else:
        price = columns["close" if schema == "bars" else "price"]
    return price if good.all() else np.where(good, price, np.nan)


class PriceRules:
    """Looks at the prices of a symbol one after the other, whatever batches they come in."""

    def __init__(self, book: Casebook, tick: float | None) -> None:
        self._book = book
        self._last: float | None = None
        self._jumped = Rows.none()
        self._outliers = Outliers(book, tick)
        self._day_price: tuple[int, float] | None = None

    def look(self, batch: Batch, price: Array) -> None:
        """Takes the rows of a batch that have a time and a price."""
        at = np.flatnonzero(batch.timed & (price > 0) & (price < np.inf))
        if len(at):
            if self._last is None:
                # Not the first price, which may be the one that is wrong.
                self._last = float(np.median(price[at[:JUMPS_IN_A_ROW_MAX]]))
            self._jumps(batch.take(at, price[at]))

    def finish(self) -> None:
        """Decides about the rows that waited for those behind them."""
        self._book.add_rows("price_jump", self._jumped)
        self._jumped = Rows.none()
        self._outliers.finish()

    def _jumps(self, rows: Rows) -> None:
        assert self._last is not None
        values = rows.values
        before = np.append(self._last, values[:-1])
        with np.errstate(over="ignore"):  # of damaged prices
            calm = bool((np.maximum(values / before, before / values) <= JUMP_RATIO).all())
        if calm and not len(self._jumped):
            self._settled(rows)
            return
        # Rare: one by one from here to the end of the batch.
        last = self._last
        settled = np.ones(len(rows), dtype=bool)
        run: list[int] = []
        for index, value in enumerate(values.tolist()):
            if max(value / last, last / value) <= JUMP_RATIO:
                if run or len(self._jumped):
                    self._book.add_rows("price_jump", self._jumped + rows[np.array(run, dtype=np.int64)])
                    self._jumped, run = Rows.none(), []
                last = value
                continue
            run.append(index)
            settled[index] = False
            if len(self._jumped) + len(run) > JUMPS_IN_A_ROW_MAX:
                waiting = self._jumped + rows[np.array(run, dtype=np.int64)]
                self._book.add_rows("level_change", waiting[np.array([0])])
                settled[run] = True
                # Those of earlier batches are let go: they are sound, and at most 100.
                self._jumped, run, last = Rows.none(), [], value
        self._jumped = self._jumped + rows[np.array(run, dtype=np.int64)]
        self._last = last
        if settled.any():
            self._settled(rows[settled])

    def _settled(self, rows: Rows) -> None:
        self._last = float(rows.values[-1])
        self._steps(rows)
        self._outliers.take(rows)

    def _steps(self, rows: Rows) -> None:
        days = rows.ts_event // DAY_NS
        firsts = np.flatnonzero(np.diff(days) > 0) + 1
        if self._day_price is not None and int(days[0]) > self._day_price[0]:
            firsts = np.concatenate(([0], firsts))
        for index in firsts.tolist():
            before = float(rows.values[index - 1]) if index else self._day_price[1] if self._day_price else 0.0
            if before and abs(rows.values[index] / before - 1) > DAY_STEP:
                self._book.add_rows("day_step", rows[np.array([index])])
        self._day_price = int(days[-1]), float(rows.values[-1])


class Outliers:
    """Looks for prices far from the median of those around them.

    Most prices are told to be none without a median: where all prices of three blocks of 64 lie within the least
    distance that counts, none of the middle block is one.
    """

    def __init__(self, book: Casebook, tick: float | None) -> None:
        self._book, self._tick = book, tick or 0.0
        self._held = Rows.none()
        self._decided = 0
        """How many of the held rows are there as neighbours only."""

    def take(self, rows: Rows) -> None:
        """Decides about all rows but the last ones, which wait for their neighbours."""
        self._held = self._held + rows
        if len(self._held) >= WINDOW + HALF:
            self._decide(len(self._held) - HALF)

    def finish(self) -> None:
        """Decides about the last ones, by the last 51; of fewer than 51 prices none is told."""
        if len(self._held) >= WINDOW:
            self._decide(len(self._held))
        self._held, self._decided = Rows.none(), 0

    def _decide(self, stop: int) -> None:
        values = self._held.values
        candidates = np.arange(self._decided, stop)
        candidates = candidates[self._suspicious(values)[candidates]]
        if len(candidates):
            starts = np.clip(candidates - HALF, 0, len(values) - WINDOW)
            for piece in np.array_split(np.arange(len(candidates)), max(1, len(candidates) // 8_192)):
                windows = values[starts[piece][:, None] + np.arange(WINDOW)]
                medians = np.median(windows, axis=1)
                deviations = np.median(np.abs(windows - medians[:, None]), axis=1)
                far = np.abs(values[candidates[piece]] - medians) > DEVIATIONS * np.maximum(deviations, self._least(medians))
                self._book.add_rows("outlier", self._held[candidates[piece][far]])
        # The last 51 stay: they are the window of the last rows of all.
        keep = max(0, stop - HALF - 1)
        self._held = self._held[np.arange(keep, len(values))]
        self._decided = stop - keep

    def _least(self, prices: Array) -> Array:
        least: Array = np.maximum(DEVIATION_LEAST * np.abs(prices), self._tick)
        return least

    def _suspicious(self, values: Array) -> Array:
        """Which rows may be outliers: those with a price in reach that lies as far away as an outlier must."""
        blocks = -(-len(values) // BLOCK)
        padded = np.concatenate((values, np.full(blocks * BLOCK - len(values), values[-1]))).reshape(blocks, BLOCK)
        low, high = padded.min(axis=1), padded.max(axis=1)
        low = np.minimum(low, np.minimum(np.append(low[1:], low[-1]), np.append(low[0], low[:-1])))
        high = np.maximum(high, np.maximum(np.append(high[1:], high[-1]), np.append(high[0], high[:-1])))
        smallest = np.where(np.sign(low) == np.sign(high), np.minimum(np.abs(low), np.abs(high)), 0.0)
        reach = DEVIATIONS * np.maximum(DEVIATION_LEAST * smallest, self._tick)
        low, high, reach = (np.repeat(each, BLOCK)[: len(values)] for each in (low, high, reach))
        suspicious: Array = (values - low > reach) | (high - values > reach)
        return suspicious
