"""The screen that every row passes before it is stored or run: what is refused, set aside, flagged, or only counted.

`reject` raises an error naming source, row and value, and nothing is stored. `quarantine` leaves the row out and keeps it
in the report; where it ended an event, the row before ends it now. `flag` lets it pass with the flag SUSPECT. `pass` lets it
through. Everything but a reject is counted.

| kind | policy | what is looked at |
|---|---|---|
| nan | reject | a price or size that is not a number (a quote's side without price and size is missing, which is fine) |
| infinite | reject | a price or size that is infinite |
| negative_zero | pass | -0.0, stored as 0.0 |
| negative_price | reject (or pass) | a price below zero: spreads and power may have them |
| zero_price | reject (or pass) | a price of zero with a size; a quote's side of price 0 and size 0 is missing |
| zero_size | quarantine | a record or print of size 0; a quote's side or a level of size 0 is missing; a `modify` to 0 is rejected |
| negative_size | reject | a size below zero |
| crossed_quote | flag (or pass, quarantine, reject) | bid above ask |
| locked_quote | flag (or pass, quarantine, reject) | bid equal to ask |
| zero_quote | pass | bid and ask both 0: stored as two missing sides |
| off_tick | reject | an order, level or size off the grid; a print off it passes with the flag OFF_GRID |
| off_increment | reject | an order, level or quote off the grid of displayed orders in force at its price and time |
| price_jump | quarantine (or flag, pass, reject) | a price 1,000 times the last or a thousandth; in `mbo` flag (or pass, reject) |
| time_back | reject | `ts_event` before that of the row above |
| equal_times | pass | `ts_event` equal to that of the row above: the order of rows decides |
| far_future | reject | `ts_event` in 2100 or later |
| year_1970 | reject | `ts_event` before 1980: a clock or a number that was never set |
| time_unit | reject | `ts_event` that would be in our time, were it s, ms or us instead of ns |
| duplicate | quarantine (or flag, pass, reject) | a print equal to the one above, id included; an order announced twice |
| sequence_gap | pass (or flag) | `venue_seq` that skips or goes back; many venues count across instruments |
| outside_quote | flag (or pass) | a print outside the quote before it (seen in `cift.quotes(df, trades=...)`) |
| unknown_level | quarantine | a change to an order or level that was never announced (importers) |
| snapshot | pass | a snapshot or a clear after the first row |
| unknown_symbol | reject | rows of another symbol, or a symbol without an instrument |
| halt | quarantine | a message that trading is halted (importers): the schema has no status |
| day_step | pass | the first price of a day 20 % away from the last of the day before: a split, a dividend, or news |
| burst | pass | a second with ten times the median number of rows |
| bad_bar | reject (or quarantine) | a high below the low, an open, close or vwap outside, an end before the beginning |

Beside these: `ts_recv` out of our time gets the flag BAD_TS_RECV (`bad_ts_recv`), and rows received before they happened
are counted (`received_early`); `Backtest` decides about them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

import numpy as np

from cift.data.columns import Array, RawColumns, length, moved_ends
from cift.data.report import Tally
from cift.data.times import DAY_NS, iso
from cift.domain.chunk import SchemaName
from cift.domain.decimals import decimal_fraction
from cift.domain.instrument import GRID_TOLERANCE, Instrument
from cift.domain.schemas import (
    ACTION_CODES,
    ACTIONS,
    BAD_TS_RECV,
    LAST,
    NO_TIME_NS,
    OFF_GRID,
    PRICE_COLUMNS,
    SIDE_CODES,
    SIZE_COLUMNS,
    SNAPSHOT,
    SUSPECT,
)
from cift.domain.steps import StepTable
from cift.errors import DataError, InvalidParameter, OffLotSize, OffTickPrice, TimeOrder, UnknownName

Policy = Literal["reject", "quarantine", "flag", "pass"]

POLICIES: Final[dict[str, tuple[Policy, ...]]] = {
    "nan": ("reject",),
    "infinite": ("reject",),
    "negative_zero": ("pass",),
    "negative_price": ("reject", "pass"),
    "zero_price": ("reject", "pass"),
    "zero_size": ("quarantine",),
    "negative_size": ("reject",),
    "crossed_quote": ("flag", "pass", "quarantine", "reject"),
    "locked_quote": ("flag", "pass", "quarantine", "reject"),
    "zero_quote": ("pass",),
    "off_tick": ("reject",),
    "off_increment": ("reject",),
    "price_jump": ("quarantine", "flag", "pass", "reject"),
    "time_back": ("reject",),
    "equal_times": ("pass",),
    "far_future": ("reject",),
    "year_1970": ("reject",),
    "time_unit": ("reject",),
    "duplicate": ("quarantine", "flag", "pass", "reject"),
    "sequence_gap": ("pass", "flag"),
    "outside_quote": ("flag", "pass"),
    "unknown_level": ("quarantine",),
    "snapshot": ("pass",),
    "unknown_symbol": ("reject",),
    "halt": ("quarantine",),
    "day_step": ("pass",),
    "burst": ("pass",),
    "bad_bar": ("reject", "quarantine"),
}
"""Kinds of bad data -> the policies that may be chosen, the default first."""
MBO_POLICIES: Final[dict[str, tuple[Policy, ...]]] = {"price_jump": ("flag", "pass", "reject")}
"""Where order by order data differs: a print left out would be missing beside the fill that it belongs to."""

EARLIEST_NS: Final = 315_532_800_000_000_000
"""1980-01-01: no tick data is older, and numbers in other units land before it."""
LATEST_NS: Final = 4_102_444_800_000_000_000
"""2100-01-01."""
JUMP_RATIO: Final = 1_000.0
JUMPS_IN_A_ROW_MAX: Final = 100
DAY_STEP: Final = 0.2
BURST_RATIO: Final = 10
SECOND_NS: Final = 1_000_000_000
UNITS_PER_NS: Final = {"microseconds": 1_000, "milliseconds": 1_000_000, "seconds": SECOND_NS}

ADD, MODIFY, TRADE, CLEAR = (ACTION_CODES[word] for word in ("add", "modify", "trade", "clear"))


def allowed(kind: str, schema: SchemaName | None = None) -> tuple[Policy, ...]:
    """The policies that may be chosen for a kind, the default first."""
    return MBO_POLICIES.get(kind, POLICIES[kind]) if schema == "mbo" else POLICIES[kind]


def choose(policies: Mapping[str, str] | None, schema: SchemaName | None = None) -> dict[str, str]:
    """The policy of every kind, with the user's choices.

    Raises:
        UnknownName: where there is no such kind.
        InvalidParameter: where that kind does not allow that policy.
    """
    chosen: dict[str, str] = {kind: allowed(kind, schema)[0] for kind in POLICIES}
    for kind, policy in (policies or {}).items():
        if kind not in POLICIES:
            raise UnknownName(f"policies= names {kind!r}; the kinds are {', '.join(POLICIES)}")
        if policy not in allowed(kind, schema):
            raise InvalidParameter(f"{kind} may be {' or '.join(allowed(kind, schema))}, not {policy!r}")
        chosen[kind] = policy
    return chosen


class Screen:
    """Looks at the rows of one symbol and schema, batch by batch, in time order.

    Args:
        schema: which records.
        instrument: the grid of prices and sizes.
        source: the name that errors give, a file or "frame".
        tally: counts and quarantined rows.
        policies: choices other than the defaults, by kind.
        settled: kinds not to look for, since they mean nothing here or were dealt with before.
    """

    def __init__(
        self,
        schema: SchemaName,
        instrument: Instrument,
        source: str,
        tally: Tally,
        policies: Mapping[str, str] | None = None,
        *,
        settled: Collection[str] = (),
    ) -> None:
        self.schema, self.instrument, self.source, self.tally = schema, instrument, source, tally
        self.policies, self.settled = choose(policies, schema), settled
        self._rows_seen = 0
        self._numbers: Array | None = None
        self._last_ns: int | None = None
        self._last_price: float | None = None
        self._last_venue_seq: int | None = None
        self._last_row: dict[str, Any] = {"flags": 0}
        self._per_second: dict[int, int] = {}
        self._is_open = False

    def check(self, columns: RawColumns, row_numbers: Array | None = None) -> RawColumns:
        """The rows of a batch that pass, changed where the table says so.

        Args:
            columns: raw columns with `venue_seq`; they are not written to.
            row_numbers: the number of each row in the source; None: counted from 0 over all batches.

        Raises:
            DataError: a row is rejected.
            OffTickPrice, OffLotSize: a price or size off the grid.
            TimeOrder: a row goes back in time.
        """
        rows = length(columns)
        if not rows:
            return columns
        self._numbers = row_numbers
        columns = dict(columns)
        columns["flags"] = columns["flags"].copy()
        self._times(columns)
        if self.schema in ACTIONS:
            self._actions(columns)
        for name in (*PRICE_COLUMNS[self.schema], *SIZE_COLUMNS[self.schema]):
            self._plain_zero(columns, name)
        if self.schema == "quotes":
            self._missing_sides(columns)
        keep = np.ones(rows, dtype=bool)
        self._numbers_and_signs(columns, keep)
        self._grid(columns)
        self._duplicates(columns, keep)
        if self.schema == "quotes":
            self._quotes(columns, keep)
        self._jumps(columns, keep)
        self._sequence(columns, keep)
        if self.schema in ACTIONS:
            self._snapshots(columns)
        last = {name: array[-1].item() for name, array in columns.items()}
        if not keep.all():
            self._ends(columns, keep)
        # The event that is open is that of the rows that are kept.
        kept = np.flatnonzero(keep)
        self._is_open = not columns["flags"][kept[-1]] & LAST if len(kept) else self._is_open
        self._last_row = last
        self._rows_seen += rows
        return columns if keep.all() else {name: array[keep] for name, array in columns.items()}

    def finish(self) -> None:
        """Counts what only the whole shows."""
        if self._per_second:
            per_second = np.array(list(self._per_second.values()))
            self.tally.counts["burst"] += int((per_second > BURST_RATIO * max(1.0, float(np.median(per_second)))).sum())

    # ------------------------------------------------------------------ how a policy acts

    def _number(self, index: int) -> int:
        return self._rows_seen + index if self._numbers is None else int(self._numbers[index])

    def _where(self, index: int) -> str:
        return f"{self.source}, row {self._number(index)}"

    def _act(self, kind: str, bad: Array, columns: RawColumns, keep: Array, what: str) -> None:
        """Applies a kind's policy to the rows of a mask that are still kept."""
        hits = np.flatnonzero(bad & keep)
        if kind in self.settled or not len(hits):
            return
        policy = self.policies[kind]
        if policy == "reject":
            raise DataError(f"{self._where(hits[0])}: {what} ({self._show(columns, hits[0])})" + self._choices(kind))
        if policy == "quarantine":
            for index in hits:
                self.tally.keep_aside(self._number(int(index)), kind, self._show(columns, int(index)))
            keep[hits] = False
            return
        if policy == "flag":
            columns["flags"][hits] |= SUSPECT
        self.tally.counts[kind] += len(hits)

    def _ends(self, columns: RawColumns, keep: Array) -> None:
        """Hands the end of an event whose last row is left out to the row before.

        Rows of an earlier batch are gone by now: an event that would have ended there is counted.
        """
        before = columns["flags"][: int(np.argmax(keep)) if keep.any() else len(keep)]
        if self._is_open and (before & LAST).any():
            self.tally.counts["event_end_lost"] += 1
            self._is_open = False
        columns["flags"] = moved_ends(columns["flags"], keep)

    def _choices(self, kind: str) -> str:
        others = allowed(kind, self.schema)[1:]
        return f"; pass policies={{{kind!r}: {others[0]!r}}} if that is right" if others else ""

    def _show(self, columns: RawColumns, index: int) -> str:
        names = (*PRICE_COLUMNS[self.schema], *SIZE_COLUMNS[self.schema])
        values = ", ".join(f"{name} {columns[name][index].item()!r}" for name in names)
        return f"ts_event {iso(int(columns['ts_event'][index]))}, {values}"

    # ------------------------------------------------------------------ the kinds

    def _times(self, columns: RawColumns) -> None:
        ts_event, ts_recv = columns["ts_event"], columns["ts_recv"]
        last_ns = self._last_ns
        self._event_times(ts_event)
        # Records of one event share its time; what counts is an event that begins where another ended.
        ended = (columns["flags"] & LAST) > 0
        self.tally.counts["equal_times"] += int(((ts_event[1:] == ts_event[:-1]) & ended[:-1]).sum())
        self.tally.counts["equal_times"] += int(ts_event[0] == last_ns and bool(self._last_row["flags"] & LAST))
        known = ts_recv != NO_TIME_NS
        if known.any():
            bad = known & ((ts_recv < EARLIEST_NS) | (ts_recv >= LATEST_NS))
            columns["flags"][bad] |= BAD_TS_RECV
            self.tally.counts["bad_ts_recv"] += int(bad.sum())
            self.tally.counts["received_early"] += int((known & ~bad & (ts_recv < ts_event)).sum())

    def _event_times(self, ts_event: Array) -> None:
        """Sees that the times are of our time and in order, and counts them by the second."""
        if int(ts_event.min()) < EARLIEST_NS or int(ts_event.max()) >= LATEST_NS:
            index = int(np.flatnonzero((ts_event < EARLIEST_NS) | (ts_event >= LATEST_NS))[0])
            raise DataError(f"{self._where(index)}: {_time_fault(int(ts_event[index]))}")
        before = np.empty_like(ts_event)
        before[0] = ts_event[0] if self._last_ns is None else self._last_ns
        before[1:] = ts_event[:-1]
        back = ts_event < before
        if back.any():
            index = int(np.flatnonzero(back)[0])
            raise TimeOrder(
                f"{self._where(index)}: ts_event goes back in time from {iso(int(before[index]))} to "
                f"{iso(int(ts_event[index]))}; sort the rows, or pass sort=True where a frame is read"
            )
        self._last_ns = int(ts_event[-1])
        seconds = ts_event // SECOND_NS
        starts = np.flatnonzero(np.diff(seconds, prepend=seconds[0] - 1))
        for second, count in zip(seconds[starts].tolist(), np.diff(starts, append=len(seconds)).tolist(), strict=True):
            self._per_second[second] = self._per_second.get(second, 0) + count

    def _actions(self, columns: RawColumns) -> None:
        known = [ACTION_CODES[word] for word in ACTIONS[self.schema]]
        other = ~np.isin(columns["action"], known)
        if self.schema == "mbp":
            nowhere = (columns["side"] == SIDE_CODES["none"]) & (columns["action"] != CLEAR)
            self._refuse(nowhere, "a level must be of the bid or the ask side")
        words = {code: word for word, code in ACTION_CODES.items()}
        if other.any():
            word = words.get(int(columns["action"][other][0]), "?")
            self._refuse(other, f"action {word!r} is none of {self.schema}, which has {', '.join(ACTIONS[self.schema])}")

    def _refuse(self, bad: Array, what: str) -> None:
        if bad.any():
            raise DataError(f"{self._where(int(np.flatnonzero(bad)[0]))}: {what}")

    def _missing_sides(self, columns: RawColumns) -> None:
        """A side without a size, or of price 0 and size 0, is missing: price NaN, size 0."""
        zeros = []
        for side in ("bid", "ask"):
            price, size = columns[f"{side}_price"], columns[f"{side}_size"]
            nothing = np.isnan(price) & (np.isnan(size) | (size == 0))
            zero = (price == 0) & ((size == 0) | np.isnan(size))
            sizeless = (price != 0) & ~np.isnan(price) & (size == 0)
            zeros.append(zero)
            self.tally.counts["zero_size"] += int(sizeless.sum())
            missing = nothing | zero | sizeless
            if missing.any():
                columns[f"{side}_price"] = np.where(missing, np.nan, price)
                columns[f"{side}_size"] = np.where(missing, 0.0, size)
        self.tally.counts["zero_quote"] += int((zeros[0] & zeros[1]).sum())

    def _numbers_and_signs(self, columns: RawColumns, keep: Array) -> None:
        nothing = np.zeros(length(columns), dtype=bool)
        clear = columns["action"] == CLEAR if self.schema in ACTIONS else nothing
        for name in PRICE_COLUMNS[self.schema]:
            price = columns[name]
            may_lack = clear if self.schema != "quotes" else columns[name.replace("price", "size")] == 0
            self._act("nan", np.isnan(price) & ~may_lack, columns, keep, f"{name} is not a number")
            self._act("infinite", np.isinf(price), columns, keep, f"{name} is infinite")
            self._act("negative_price", (price < 0) & ~clear, columns, keep, f"{name} is negative")
            self._act("zero_price", (price == 0) & ~clear, columns, keep, f"{name} is zero")
            if clear.any():
                price = np.where(clear, np.nan, price)
                columns[name] = price
        for name in SIZE_COLUMNS[self.schema]:
            size = columns[name]
            self._act("nan", np.isnan(size), columns, keep, f"{name} is not a number")
            self._act("infinite", np.isinf(size), columns, keep, f"{name} is infinite")
            self._act("negative_size", size < 0, columns, keep, f"{name} is negative")
        if self.schema == "mbo":
            emptied = (columns["action"] == MODIFY) & (columns["size"] == 0)
            if emptied.any():
                index = int(np.flatnonzero(emptied)[0])
                raise DataError(f"{self._where(index)}: a modify to size 0; write a cancel of the whole instead")
        if self.schema not in ("quotes", "mbp"):  # a level of size 0 is gone
            self._act("zero_size", (columns["size"] == 0) & ~clear, columns, keep, "size is zero")

    def _plain_zero(self, columns: RawColumns, name: str) -> None:
        negative = (columns[name] == 0) & np.signbit(columns[name])
        if negative.any():
            self.tally.counts["negative_zero"] += int(negative.sum())
            columns[name] = np.where(negative, 0.0, columns[name])

    def _grid(self, columns: RawColumns) -> None:
        for name in PRICE_COLUMNS[self.schema]:
            off = off_grid(columns[name], *self.instrument.tick_fraction)
            if not off.any():
                continue
            is_print = columns["action"] == TRADE if self.schema == "mbo" else np.full(len(off), self.schema == "trades")
            index = np.flatnonzero(off & ~is_print)
            if len(index):
                raise OffTickPrice(
                    f"{self._where(index[0])}: {name} {columns[name][index[0]].item()!r} is not a whole number of ticks of "
                    f"{self.instrument.tick_size} ({self.instrument.symbol}); give the instrument a finer tick_size"
                )
            columns["flags"][off] |= OFF_GRID
            self.tally.counts["off_grid_prints"] += int(off.sum())
        self._increments(columns)
        self._whole_lots(columns)

    def _whole_lots(self, columns: RawColumns) -> None:
        for name in SIZE_COLUMNS[self.schema]:
            off = off_grid(columns[name], *self.instrument.lot_fraction)
            if off.any():
                index = np.flatnonzero(off)
                raise OffLotSize(
                    f"{self._where(index[0])}: {name} {columns[name][index[0]].item()!r} is not a whole number of lots of "
                    f"{self.instrument.lot_size} ({self.instrument.symbol}); give the instrument a finer lot_size"
                )

    def _increments(self, columns: RawColumns) -> None:
        """Displayed prices lie on the increment; prints need not."""
        if self.instrument.price_increment is None or self.schema not in ("mbo", "mbp", "quotes"):
            return
        shown = np.ones(length(columns), dtype=bool)
        if self.schema == "mbo":
            shown = (columns["action"] == ADD) | (columns["action"] == MODIFY)
        if self.schema == "mbp":
            shown = columns["action"] != CLEAR
        for name in PRICE_COLUMNS[self.schema]:
            index = np.flatnonzero(shown & off_steps(self.instrument.price_steps, columns["ts_event"], columns[name]))
            if len(index):
                price = columns[name][index[0]].item()
                step = self.instrument.increment_at(price, int(columns["ts_event"][index[0]]))
                raise OffTickPrice(
                    f"{self._where(index[0])}: {name} {price!r} is not on the price_increment {step} of {self.instrument.symbol} "
                    f"at {iso(int(columns['ts_event'][index[0]]))}; give the instrument the steps of that time"
                )

    def _duplicates(self, columns: RawColumns, keep: Array) -> None:
        if self.schema not in ("mbo", "trades"):
            return
        names = ("ts_event", "price", "size", "trade_id") if self.schema == "trades" else ("action", "order_id")
        same = np.ones(length(columns), dtype=bool)
        for name in names:
            array = columns[name]
            same[1:] &= array[1:] == array[:-1]
            same[0] &= array[0].item() == self._last_row.get(name)
        same &= columns["trade_id"] != 0 if self.schema == "trades" else columns["action"] == ADD
        self._act("duplicate", same, columns, keep, "the row repeats the one above")

    def _quotes(self, columns: RawColumns, keep: Array) -> None:
        bid, ask = columns["bid_price"], columns["ask_price"]
        self._act("crossed_quote", bid > ask, columns, keep, "the bid is above the ask")
        self._act("locked_quote", bid == ask, columns, keep, "the bid equals the ask")

    def _jumps(self, columns: RawColumns, keep: Array) -> None:
        price = self._price_of(columns)
        rows = np.flatnonzero((price > 0) & keep)
        if not len(rows):
            return
        values = price[rows]
        before = np.concatenate(([values[0] if self._last_price is None else self._last_price], values[:-1]))
        suspects = np.flatnonzero(np.maximum(values / before, before / values) > JUMP_RATIO)
        if len(suspects):
            jumped = self._jumped(values, float(before[0]), int(suspects[0]))
            bad = np.zeros(len(price), dtype=bool)
            bad[rows[jumped]] = True
            what = f"the price is {JUMP_RATIO:,.0f} times the last, or less than a thousandth"
            self._act("price_jump", bad, columns, keep, what)
            rows, values = rows[~jumped], values[~jumped]
            if not len(rows):
                return
            before = np.concatenate(([before[0]], values[:-1]))
        days = columns["ts_event"][rows] // DAY_NS
        first_of_day = np.flatnonzero(np.diff(days)) + 1
        stepped = [index for index in first_of_day.tolist() if abs(values[index] / values[index - 1] - 1) > DAY_STEP]
        self.tally.counts["day_step"] += len(stepped)
        self._last_price = float(values[-1])

    def _price_of(self, columns: RawColumns) -> Array:
        """The price at which the market stands after each row, NaN where the row does not tell."""
        if self.schema == "trades":
            return columns["price"]
        if self.schema == "mbo":
            return np.where(columns["action"] == TRADE, columns["price"], np.nan)
        if self.schema == "mbp":  # levels lie far from the last price, and mean it
            return np.full(length(columns), np.nan)
        bid, ask = columns["bid_price"], columns["ask_price"]
        return np.where(np.isnan(bid), ask, np.where(np.isnan(ask), bid, (bid + ask) / 2))

    def _jumped(self, values: Array, last: float, start: int) -> Array:
        """Which values lie a jump away from the last one that did not."""
        jumped = np.zeros(len(values), dtype=bool)
        if start:
            last = float(values[start - 1])
        in_a_row = 0
        for index in range(start, len(values)):
            value = float(values[index])
            if max(value / last, last / value) > JUMP_RATIO:
                jumped[index] = True
                in_a_row += 1
                if in_a_row > JUMPS_IN_A_ROW_MAX and self.policies["price_jump"] == allowed("price_jump", self.schema)[0]:
                    raise DataError(
                        f"{self.source}: more than {JUMPS_IN_A_ROW_MAX} prices in a row are {JUMP_RATIO:,.0f} times the price "
                        f"before them ({last!r}, then {value!r}); if the unit changed, import the parts separately, or pass "
                        "policies={'price_jump': 'pass'}"
                    )
            else:
                last, in_a_row = value, 0
        return jumped

    def _sequence(self, columns: RawColumns, keep: Array) -> None:
        venue_seq = columns["venue_seq"]
        rows = np.flatnonzero(venue_seq != NO_TIME_NS)
        if not len(rows):
            return
        values = venue_seq[rows]
        before = np.concatenate(([values[0] if self._last_venue_seq is None else self._last_venue_seq], values[:-1]))
        bad = np.zeros(len(venue_seq), dtype=bool)
        bad[rows[(values > before + 1) | (values < before)]] = True
        self._act("sequence_gap", bad, columns, keep, "venue_seq skips or goes back")
        self._last_venue_seq = int(values[-1])

    def _snapshots(self, columns: RawColumns) -> None:
        """Counts snapshots that begin after the first row: a clear, or a first record with SNAPSHOT."""
        action = columns["action"]
        part = ((columns["flags"] & SNAPSHOT) > 0) | (action == CLEAR)
        began = part.copy()
        began[1:] &= ~part[:-1]
        last = self._last_row
        began[0] &= self._rows_seen > 0 and not (last["flags"] & SNAPSHOT or last["action"] == CLEAR)
        self.tally.counts["snapshot"] += int(began.sum())


def _time_fault(ts_ns: int) -> str:
    for unit, factor in UNITS_PER_NS.items():
        if EARLIEST_NS <= ts_ns * factor < LATEST_NS:
            return f"ts_event {ts_ns} looks like {unit}; times are nanoseconds since the epoch, so convert the column first"
    if ts_ns < EARLIEST_NS:
        return f"ts_event {ts_ns} is {iso(ts_ns)}, before 1980: the time was not set, or is in another unit"
    return f"ts_event {ts_ns} is {iso(ts_ns)}, in 2100 or later: the time is wrong, or in another unit"


def off_grid(values: Array, n: int, d: int) -> Array:
    """Which values are not whole numbers of n / 10**d; NaN is on every grid.

    A value may be off by float noise: 1e-6 of a step, or four ulps.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.rint(values * (10**d / n))
        noise = np.maximum(GRID_TOLERANCE * n / 10**d, 4 * np.spacing(np.abs(values)))
        off: Array = np.abs(values - steps * n / 10**d) > noise
    return off | np.isinf(values)


def off_steps(table: StepTable, ts_event: Array, values: Array) -> Array:
    """Which values are not on the step that is in force at their time and distance from zero; NaN is on every grid."""
    off = np.zeros(len(values), dtype=bool)
    distance = np.abs(values)
    for since_ns, until_ns in table.eras():
        for end, band in table.cells(since_ns):
            rows = (ts_event >= since_ns) & (ts_event < until_ns) & (distance >= float(band.above))
            if end is not None:
                rows &= distance < float(end)
            if rows.any():
                off[rows] = off_grid(values[rows], *decimal_fraction(band.step))
    return off


def outside_quote(quotes: RawColumns, trades: RawColumns) -> Array:
    """Which prints lie outside the quote in force just before them; where there is none, or a side is missing, none does."""
    at = np.searchsorted(quotes["ts_event"], trades["ts_event"], side="left") - 1
    known = at >= 0
    at = np.maximum(at, 0)
    price = trades["price"]
    outside: Array = known & ((price < quotes["bid_price"][at]) | (price > quotes["ask_price"][at]))
    return outside
