"""The kinds of findings: how grave each is, what it means, and what to do.

Kinds that `cift.data.screen` knows have its names. An `error` is what a catalog would refuse, or what was damaged; a `warning`
can be used and should be doubted; an `info` is worth knowing.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
"""Gravest first."""


class Kind(NamedTuple):
    """How grave a kind is, what it means, and what to do about it."""

    severity: Severity
    meaning: str
    advice: str


_DROPS: Final = "--repair sets these rows aside"

KINDS: Final[dict[str, Kind]] = {
    # ---- the file
    "damaged": Kind("error", "the stored bytes are not those that were written", "restore the file, or import the day again"),
    "unreadable": Kind(
        "error", "a block of rows cannot be read as this schema; what follows it was not looked at", "mend the file"
    ),
    "schema_drift": Kind(
        "error", "a file of the folder has other columns or types than the first", "convert the files to one form"
    ),
    # ---- time
    "no_time": Kind("error", "ts_event is missing", _DROPS),
    "year_1970": Kind("error", "ts_event lies before 1980: a clock or a number that was never set", _DROPS),
    "time_unit": Kind("error", "ts_event is in s, ms or us, not in ns", "state the unit (--time-unit); " + _DROPS),
    "far_future": Kind("error", "ts_event lies in 2100 or later", _DROPS),
    "time_back": Kind(
        "error", "ts_event goes back from the row above", "--repair sorts the rows by time, those of one time as they came"
    ),
    "bad_ts_recv": Kind("warning", "ts_recv lies before 1980 or in 2100 or later", "--repair flags them BAD_TS_RECV"),
    "received_early": Kind(
        "warning",
        "ts_recv lies before ts_event: the receiving clock is behind, and the row would show the future",
        "Backtest asks for clock_offset=; the least that will do stands under `skew`",
    ),
    "clock_drift": Kind(
        "warning",
        "the delay from ts_event to ts_recv creeps over the period: one of the clocks drifts",
        "correct ts_recv before measuring latency with it",
    ),
    "burst": Kind(
        "info",
        "a second with ten times the rows of the 99th percentile of seconds, and at least 100",
        "see whether a feed was replayed",
    ),
    # ---- coverage
    "silence": Kind(
        "warning",
        "no row for a time in which 50 or more were to be expected: a halt or an outage",
        "compare with the venue's notices; fetch what is missing",
    ),
    "missing_session": Kind(
        "warning", "a session of the calendar has no row at all", "fetch the day, or correct the instrument's calendar"
    ),
    "late_start": Kind(
        "warning",
        "the rows begin after the session does, by a time in which 50 or more were to be expected",
        "fetch the rest of the day",
    ),
    "early_end": Kind(
        "warning",
        "the rows end before the session does, by a time in which 50 or more were to be expected",
        "fetch the rest of the day",
    ),
    "outside_session": Kind(
        "info", "rows outside of the calendar's sessions", "pass session= where only regular hours are wanted"
    ),
    "closed_hours": Kind(
        "info", "the calendar is 24/7, yet the rows stop at the same time each day", "give the instrument its calendar"
    ),
    # ---- numbers
    "nan": Kind("error", "a price or size is not a number", _DROPS),
    "infinite": Kind("error", "a price or size is infinite", _DROPS),
    "negative_price": Kind(
        "error", "a price is below zero", _DROPS + "; spreads and power may have them: --policy negative_price=pass"
    ),
    "zero_price": Kind("error", "a price is zero and its size is not", _DROPS + ", or --policy zero_price=pass"),
    "negative_size": Kind("error", "a size is below zero", _DROPS),
    "zero_size": Kind("warning", "a record of size 0", "--repair sets the row aside; a quote's side becomes a missing one"),
    "negative_zero": Kind("info", "-0.0", "--repair makes it 0.0"),
    "zero_quote": Kind("info", "bid and ask are both 0", "--repair makes two missing sides of it"),
    "off_tick": Kind(
        "error", "a price of an order or a quote between two ticks", "give the instrument its true tick_size; " + _DROPS
    ),
    "off_lot": Kind("error", "a size between two lots", "give the instrument its true lot_size; " + _DROPS),
    "off_increment": Kind(
        "error",
        "a price of an order, a level or a quote that lies between two steps of the price_increment in force at its time",
        "give the instrument the steps of that time; " + _DROPS,
    ),
    "off_grid_prints": Kind(
        "info",
        "prints between two ticks: hidden midpoints, or sub-penny prices",
        "nothing: they are stored with the flag OFF_GRID",
    ),
    # ---- prices
    "price_jump": Kind(
        "warning",
        "a price 1,000 times the last one that was none, or a thousandth of it",
        "--repair sets these rows aside (orders are flagged SUSPECT)",
    ),
    "level_change": Kind(
        "error",
        "more than 100 prices in a row lie 1,000 times away from those before: the unit changed",
        "import the parts separately",
    ),
    "outlier": Kind(
        "warning",
        "a price far from the median of the 51 around it (10 median deviations, 10 ticks and 0.5 %)",
        "--repair flags them SUSPECT",
    ),
    "day_step": Kind(
        "info",
        "the first price of a day lies 20 % away from the last of the day before",
        "a split, a dividend, or news: see the instrument's corporate actions",
    ),
    "crossed_quote": Kind("warning", "the bid is above the ask", "--repair flags them SUSPECT"),
    "locked_quote": Kind("warning", "the bid equals the ask", "--repair flags them SUSPECT"),
    "outside_quote": Kind("warning", "a print outside the quote in force before it", "--repair flags them SUSPECT"),
    # ---- order of rows
    "duplicate": Kind("warning", "the row repeats the one above", "--repair drops it"),
    "own_sequence_gap": Kind(
        "warning",
        "the column `sequence` does not count up by one from 0 in each UTC day",
        "map a venue's number with --column venue_seq=sequence; --repair counts anew",
    ),
    "sequence_gap": Kind(
        "warning", "the venue's number skips: messages are missing", "fetch what is missing, or rebuild from the next snapshot"
    ),
    "sequence_back": Kind("warning", "the venue's number goes back", "see whether a feed restarted, or was merged from two"),
    "snapshot": Kind("info", "a snapshot or a clear after the first row of a day", "nothing: the book begins anew there"),
    "open_event": Kind(
        "warning",
        "time moves on while the event of the row above has not ended (no flag LAST): its last row is missing",
        "fetch what is missing; a book is looked at only where an event ends",
    ),
    # ---- order by order
    "unknown_order": Kind(
        "warning",
        "a cancel or modify of an order that was never added, or is gone",
        "begin with a snapshot, or fetch what is missing",
    ),
    "add_of_live_order": Kind("warning", "an order is added that is there already", "fetch what is missing between the two"),
    "cancel_too_large": Kind("warning", "a cancel takes more than is left of the order", "fetch what is missing"),
    "fill_without_maker": Kind(
        "warning", "a fill names an order that is not there, or is smaller", "begin with a snapshot, or fetch what is missing"
    ),
    "modify_to_zero": Kind("error", "a modify to size 0", "write a cancel of the whole instead; " + _DROPS),
    "crossed_book": Kind(
        "warning",
        "bid at or above ask where an event ends: a phantom order, or an auction",
        "find the order that was never cancelled; rebuild from a snapshot",
    ),
    # ---- levels
    "unknown_level": Kind(
        "warning", "a level is removed that was never set", "begin with a snapshot, or fetch what is missing"
    ),
    # ---- bars
    "high_below_low": Kind("error", "high is below low", "make the bars anew from ticks"),
    "open_outside": Kind("error", "open lies outside low to high", "make the bars anew from ticks"),
    "close_outside": Kind("error", "close lies outside low to high", "make the bars anew from ticks"),
    "vwap_outside": Kind("error", "vwap lies outside low to high", "make the bars anew from ticks"),
    "no_span": Kind("error", "a bar ends before it begins", "see which of its two times the file states (stamp=)"),
    "overlap": Kind("error", "a bar opens before the one above it closes", "see whether two lengths of bars were mixed"),
}
"""Every kind of finding."""

IMPOSSIBLE: Final = (
    "no_time", "year_1970", "time_unit", "far_future", "nan", "infinite", "negative_price", "zero_price", "negative_size",
    "zero_size", "off_tick", "off_lot", "off_increment", "modify_to_zero", "high_below_low", "open_outside", "close_outside",
    "vwap_outside", "no_span",
)  # fmt: skip
"""What no row of a catalog may have: repair sets these rows aside."""
