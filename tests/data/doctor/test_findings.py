"""Each kind of fault, planted in clean rows, is found where it stands, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cift.data.catalog import Catalog
from cift.data.columns import RawColumns
from cift.data.demo import generate
from cift.data.doctor import KINDS, check, repair
from cift.data.doctor.books import LevelBook, bar_faults
from cift.data.doctor.casebook import Batch
from cift.data.doctor.examination import Examination
from cift.data.doctor.numbering import QuoteInForce
from cift.domain.instrument import Instrument
from cift.domain.schemas import ACTION_CODES, LAST, NO_TIME_NS, SIDE_CODES, SNAPSHOT
from tests.data.doctor.clean import SECOND_NS, START_NS, clean, examine, found
from tests.data.market import ABC, MONDAY_NS, SYMBOL, QuickDisk

SET = ACTION_CODES["set"]
NAN, INF = float("nan"), float("inf")
ROW = 700
HOUR_NS = 3_600 * SECOND_NS
Spoil = Callable[[RawColumns], None]


def put(column: str, value: float, *rows: int) -> Spoil:
    def spoil(columns: RawColumns) -> None:
        columns[column][list(rows or (ROW,))] = value

    return spoil


def times(column: str, factor: float, *rows: int) -> Spoil:
    def spoil(columns: RawColumns) -> None:
        at = list(rows or (ROW,))
        columns[column][at] = np.round(columns[column][at] * factor, 2)

    return spoil


def both_sides(factor: float) -> Spoil:
    def spoil(columns: RawColumns) -> None:
        for side in ("bid", "ask"):
            columns[f"{side}_price"][ROW] = np.round(columns[f"{side}_price"][ROW] * factor, 2)

    return spoil


def pennies(columns: RawColumns) -> None:
    columns["bid_price"][ROW], columns["ask_price"][ROW] = 0.01, 0.02


def one_event(columns: RawColumns) -> None:
    columns["flags"][ROW] = 0
    columns["ts_event"][ROW + 1] = columns["ts_event"][ROW]


def cross(by: float) -> Spoil:
    def spoil(columns: RawColumns) -> None:
        columns["bid_price"][ROW] = np.round(columns["ask_price"][ROW] + by, 2)

    return spoil


def repeat(columns: RawColumns) -> None:
    for array in columns.values():
        array[ROW] = array[ROW - 1]


def earlier(columns: RawColumns) -> None:
    columns["ts_event"][ROW] = columns["ts_event"][ROW - 3] - 1
    columns["ts_recv"][ROW] = columns["ts_event"][ROW] + 100_000


def in_unit(factor: int) -> Spoil:
    def spoil(columns: RawColumns) -> None:
        columns["ts_event"][ROW] //= factor
        columns["ts_recv"][ROW] = NO_TIME_NS

    return spoil


def stamp(ts_ns: int) -> Spoil:
    def spoil(columns: RawColumns) -> None:
        columns["ts_event"][ROW] = ts_ns
        columns["ts_recv"][ROW] = NO_TIME_NS

    return spoil


def quiet(ns: int) -> Spoil:
    def spoil(columns: RawColumns) -> None:
        columns["ts_event"][ROW:] += ns
        columns["ts_recv"][ROW:] += ns

    return spoil


def missing_zero(columns: RawColumns) -> None:
    for name in ("bid_price", "bid_size", "ask_price", "ask_size"):
        columns[name][ROW] = 0.0


def busy(columns: RawColumns) -> None:
    spread = np.arange(200)
    columns["ts_event"][ROW : ROW + 200] = columns["ts_event"][ROW] // SECOND_NS * SECOND_NS + SECOND_NS // 2 + spread * 1_000
    columns["ts_event"][ROW + 200 :] = columns["ts_event"][ROW + 199] + SECOND_NS * np.arange(1, 2_000 - ROW - 199) // 2
    columns["ts_recv"][:] = columns["ts_event"] + 100_000


CASES: list[tuple[str, str, Spoil, dict[str, list[int]]]] = [
    ("nan", "trades", put("price", NAN), {"nan": [ROW]}),
    ("nan size", "trades", put("size", NAN), {"nan": [ROW]}),
    ("nan side", "quotes", put("bid_price", NAN), {"nan": [ROW]}),
    ("nan size of a side", "quotes", put("ask_size", NAN), {"nan": [ROW]}),
    ("infinite", "trades", put("price", INF), {"infinite": [ROW]}),
    ("infinite size", "quotes", put("ask_size", -INF), {"infinite": [ROW]}),
    ("negative price", "trades", times("price", -1), {"negative_price": [ROW]}),
    ("zero price", "trades", put("price", 0.0), {"zero_price": [ROW]}),
    ("negative zero", "trades", put("price", -0.0), {"zero_price": [ROW], "negative_zero": [ROW]}),
    ("zero price of a side", "quotes", put("bid_price", 0.0), {"zero_price": [ROW]}),
    ("zero quote", "quotes", missing_zero, {"zero_quote": [ROW]}),
    ("negative size", "trades", put("size", -5.0), {"negative_size": [ROW]}),
    ("zero size", "trades", put("size", 0.0, ROW, ROW + 9), {"zero_size": [ROW, ROW + 9]}),
    ("zero size of a side", "quotes", put("bid_size", 0.0), {"zero_size": [ROW]}),
    ("off tick", "quotes", put("bid_price", 99.005), {"off_tick": [ROW]}),
    ("print off tick", "trades", put("price", 100.005), {"off_grid_prints": [ROW]}),
    ("off lot", "trades", put("size", 1.5), {"off_lot": [ROW]}),
    ("crossed", "quotes", cross(0.01), {"crossed_quote": [ROW]}),
    ("locked", "quotes", cross(0.0), {"locked_quote": [ROW]}),
    ("jump", "trades", times("price", 10_000), {"price_jump": [ROW]}),
    ("jump down", "quotes", pennies, {"price_jump": [ROW]}),
    ("jumps in a row", "trades", times("price", 10_000, *range(ROW, ROW + 90)), {"price_jump": list(range(ROW, ROW + 90))}),
    ("jump in the first row", "trades", times("price", 10_000, 0), {"price_jump": [0]}),
    ("jump in the last row", "trades", times("price", 10_000, 1_999), {"price_jump": [1_999]}),
    ("another unit", "trades", times("price", 10_000, *range(ROW, 2_000)), {"level_change": [ROW]}),
    ("outlier", "trades", times("price", 1.25), {"outlier": [ROW]}),
    ("outliers", "quotes", both_sides(0.9), {"outlier": [ROW]}),
    ("outlier in the first row", "trades", times("price", 1.25, 0), {"outlier": [0]}),
    ("outlier in the last row", "trades", times("price", 1.25, 1_999), {"outlier": [1_999]}),
    ("a move is no outlier", "trades", times("price", 1.25, *range(ROW, 2_000)), {}),
    ("duplicate", "trades", repeat, {"duplicate": [ROW], "own_sequence_gap": [ROW, ROW + 1], "sequence_gap": [ROW + 1]}),
    ("venue skips", "trades", put("venue_seq", 100 + ROW + 5, *range(ROW, ROW + 6)), {"sequence_gap": [ROW]}),
    ("venue goes back", "trades", put("venue_seq", 3), {"sequence_back": [ROW], "sequence_gap": [ROW + 1]}),
    ("an event that does not end", "trades", put("flags", 0), {"open_event": [ROW + 1]}),
    ("an event of two rows", "trades", one_event, {}),
    (
        "a snapshot of many times",
        "mbo",
        put("flags", SNAPSHOT, ROW, ROW + 1),
        {"open_event": [ROW + 2], "snapshot": [ROW], "sequence_gap": [ROW + 2]},
    ),
    ("our count", "trades", put("sequence", 0), {"own_sequence_gap": [ROW, ROW + 1]}),
    ("time goes back", "trades", earlier, {"time_back": [ROW]}),
    ("microseconds", "trades", in_unit(1_000), {"time_unit": [ROW]}),
    ("milliseconds", "trades", in_unit(10**6), {"time_unit": [ROW]}),
    ("seconds", "trades", in_unit(10**9), {"time_unit": [ROW]}),
    ("1970", "trades", stamp(5), {"year_1970": [ROW]}),
    ("1900", "trades", stamp(-2 * 10**18), {"year_1970": [ROW]}),
    ("2200", "trades", stamp(72 * 10**17), {"far_future": [ROW]}),
    ("no time", "trades", stamp(NO_TIME_NS), {"no_time": [ROW]}),
    ("received in 1970", "trades", put("ts_recv", 7), {"bad_ts_recv": [ROW]}),
    ("received early", "trades", put("ts_recv", START_NS), {"received_early": [ROW]}),
    ("silence", "trades", quiet(20 * 60 * SECOND_NS), {"silence": [ROW]}),
    ("a minute is no silence", "trades", quiet(15 * SECOND_NS), {}),
    ("burst", "trades", busy, {"burst": [-1]}),
    ("modify to 0", "mbo", lambda columns: _set(columns, "modify", size=0.0), {"modify_to_zero": [-1]}),
]  # fmt: skip


def judged(schema: str, columns: RawColumns, instrument: Instrument) -> list[int]:
    """Rows with a displayed price off the steps, asked of the instrument one by one and without floats."""
    off = []
    for row, ts_ns in enumerate(columns["ts_event"].tolist()):
        if "action" in columns and columns["action"][row] not in (ACTION_CODES["add"], ACTION_CODES["modify"], SET):
            continue
        names = ("bid_price", "ask_price") if schema == "quotes" else ("price",)
        prices = [Decimal(repr(columns[name][row].item())) for name in names if not np.isnan(columns[name][row])]
        off += [row] * any(price % instrument.increment_at(price, ts_ns) for price in prices)
    return off


STEP_TABLES = ["0.05", {0: "0.01", 100: "0.05"}, {"2026-01-05T15:04Z": {0: "0.02", 100: "0.1"}, "2026-01-05T15:08Z": "0.01"}]


@pytest.mark.parametrize("steps", STEP_TABLES, ids=["one step", "bands", "dated"])
@pytest.mark.parametrize("schema", ["mbo", "quotes", "trades", "mbp"])
def test_displayed_prices_off_the_steps_in_force_are_found_and_set_aside(tmp_path, schema, steps):
    """Steps may be told after the rows were stored. A run refuses such rows; what repair leaves passes the screen."""
    catalog = Catalog(tmp_path / "catalog", disk=QuickDisk())
    columns = levels_off(1_500) if schema == "mbp" else clean(schema, 1_500)
    if schema == "quotes":
        columns["ask_price"][10], columns["ask_size"][10] = NAN, 0.0
    catalog.write(schema, SYMBOL, columns, ABC)
    assert "off_increment" not in check(catalog).counts
    told = Instrument(SYMBOL, ABC.tick_size, ABC.lot_size, price_increment=steps)
    catalog.write_instruments([told])
    expected = [] if schema == "trades" else judged(schema, columns, told)
    assert len(expected) > 50 or schema == "trades"
    found_rows = check(catalog, examples=2_000).findings
    assert [example.row for each in found_rows if each.kind == "off_increment" for example in each.examples] == expected
    done = repair(catalog, tmp_path / "mended")
    out = done.repairs.filter(pl.col("kind") == "off_increment")
    assert (out["row"].to_list(), set(out["action"]) - {"left_out"}) == (expected, set())
    mended = Catalog(done.path)
    assert "off_increment" not in check(mended).counts
    # The screen by which a run, too, goes has nothing against the rows that are left.
    rows = pl.concat([pl.read_parquet(path) for path in sorted((done.path / schema).rglob("*.parquet"))])
    Catalog(tmp_path / "screened", disk=QuickDisk()).write(schema, SYMBOL, rows, told)


def levels_off(rows: int) -> RawColumns:
    """Levels on either side of 100 that come and change, on any tick."""
    rng = np.random.default_rng(3)
    trades = clean("trades", rows)
    side = rng.choice([SIDE_CODES["bid"], SIDE_CODES["ask"]], rows).astype(np.uint8)
    away = rng.integers(1, 300, rows)
    cents = 10_000 + np.where(side == SIDE_CODES["bid"], -away, away)
    action = np.full(rows, SET, dtype=np.uint8)
    return {**{name: trades[name] for name in ("ts_event", "ts_recv", "size", "flags", "sequence", "venue_seq")},
            "action": action, "side": side, "price": cents / 100}  # fmt: skip


def _set(columns: RawColumns, action: str, **values: float) -> int:
    """Spoils the first row of an action after row 700; its number."""
    row = ROW + int(np.flatnonzero(columns["action"][ROW:] == ACTION_CODES[action])[0])
    for name, value in values.items():
        columns[name][row] = value
    return row


@pytest.mark.parametrize(("name", "schema", "spoil", "expected"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES])
def test_a_planted_fault_is_found_exactly(name, schema, spoil, expected):
    columns = clean(schema)
    spoil(columns)
    if expected == {"modify_to_zero": [-1]}:
        modified = columns["action"] == ACTION_CODES["modify"]
        expected = {"modify_to_zero": np.flatnonzero((columns["size"] == 0) & modified).tolist()}
    part = examine(schema, columns)
    assert found(part) == expected
    for finding in part.findings:
        if finding.kind != "silence":
            assert finding.count == len(expected[finding.kind])
        assert (finding.meaning, finding.advice) == KINDS[finding.kind][1:]
    # Whatever batches the rows come in. The first price of all is judged by those that come with it.
    cuts = [150, 151, 400, ROW - 1, ROW, ROW + 1, ROW + 60]
    assert found(examine(schema, columns, cuts)) == expected


def test_the_documentation_lists_every_kind_as_the_doctor_does():
    page = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text(encoding="utf-8")
    table = [f"| {name} | {' | '.join(kind)} |" for name, kind in KINDS.items()]
    assert [line for line in page.splitlines() if line in table] == table


@given(schema=st.sampled_from(["mbo", "quotes", "trades"]), seed=st.integers(0, 10**6), rows=st.integers(1, 3_000))
@settings(max_examples=25)
def test_clean_rows_have_no_finding(schema, seed, rows):
    part = examine(schema, clean(schema, rows, seed))
    assert part.findings == ()
    assert part.rows == rows
    assert part.skew is not None
    assert part.skew["negative"] == 0


@given(seed=st.integers(0, 2**32), events=st.integers(0, 20_000))
@settings(max_examples=8)
def test_the_demo_market_has_no_finding(tmp_path_factory, seed, events):
    catalog = Catalog(tmp_path_factory.mktemp("demo"), disk=QuickDisk())
    generate(catalog, "DEMO.SIM", "2026-01-05", events, seed)
    diagnosis = check(catalog)
    assert diagnosis.findings == []
    assert (diagnosis.worst, len(diagnosis.parts)) == (None, len(catalog.ls()))


def test_several_demo_days_have_the_closed_hours_of_their_market_alone(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    for day in (5, 6, 7):
        generate(catalog, "DEMO.SIM", f"2026-01-0{day}", 20_000, seed=day, schemas=["trades", "mbo"])
    assert {(each.kind, each.count) for each in check(catalog).findings} == {("closed_hours", 2)}


@given(
    schema=st.sampled_from(["mbo", "quotes", "trades"]),
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(101, 1_999), max_size=12),
    faults=st.integers(1, 60),
)
@settings(max_examples=40)
def test_findings_do_not_depend_on_how_rows_come(schema, seed, cuts, faults):
    columns = clean(schema)
    rng = np.random.default_rng(seed)
    for row in rng.integers(101, 2_000, faults).tolist():
        name = str(rng.choice([name for name in columns if name != "sequence"]))
        if columns[name].dtype.kind == "f":
            columns[name][row] = rng.choice([NAN, INF, -1.0, 0.0, 1e9, columns[name][row] * 1.2, columns[name][row]])
        elif name in ("ts_event", "ts_recv", "venue_seq"):
            columns[name][row] = rng.choice([0, NO_TIME_NS, columns[name][row] - 10**9, columns[name][row - 1], 2**62])
        elif name in ("flags", "order_id", "trade_id"):
            columns[name][row] = columns[name][row - 1]
    whole, pieces = examine(schema, columns), examine(schema, columns, cuts)
    assert whole.findings == pieces.findings
    assert (whole.rows, whole.first_ns, whole.last_ns, whole.skew) == (
        pieces.rows,
        pieces.first_ns,
        pieces.last_ns,
        pieces.skew,
    )
    for one, other in zip(whole.prices.values(), pieces.prices.values(), strict=True):
        assert np.array_equal(one, other)


# ------------------------------------------------------------------ two clocks


def test_the_figures_of_the_delay_are_those_of_its_quantiles():
    columns = clean("trades", 20_000)
    rng = np.random.default_rng(3)
    delay = rng.integers(-5_000_000, 50_000_000, 20_000)
    columns["ts_recv"] = columns["ts_event"] + delay
    part = examine("trades", columns)
    assert part.skew is not None
    assert part.skew["min_ns"] == delay.min()
    assert part.skew["median_ns"] == int(np.median(delay))
    assert part.skew["p99_ns"] == int(np.quantile(delay, 0.99))
    assert part.skew["negative"] == (delay < 0).sum()
    assert part.skew["clock_offset_ns"] == -delay.min()
    (early,) = part.findings
    assert (early.kind, early.count) == ("received_early", (delay < 0).sum())


@pytest.mark.parametrize("us_a_second", [-5, 5, 200])
def test_a_clock_that_drifts_is_found_by_the_floor_of_the_delay(us_a_second):
    columns = clean("trades", 5_000)
    rng = np.random.default_rng(4)
    queue = (rng.exponential(2e6, 5_000)).astype(np.int64)  # what a network adds, 2 ms in the mean
    seconds = (columns["ts_event"] - columns["ts_event"][0]) // SECOND_NS
    columns["ts_recv"] = columns["ts_event"] + 10**9 + queue + seconds * us_a_second * 1_000
    part = examine("trades", columns)
    assert found(part) == {"clock_drift": [-1]}
    assert part.skew is not None
    expected = us_a_second * 1_000 * int(seconds[-1])
    assert abs(part.skew["drift_ns"] - expected) < 0.2 * abs(expected) + 300_000


def test_a_long_record_keeps_a_sample_of_its_delays_whatever_the_batches():
    rows = 350_000
    columns = clean("trades", rows)
    columns["ts_recv"] = columns["ts_event"] + np.arange(rows)
    one, other = (examine("trades", columns, cuts).delays for cuts in ([], [7, 100_000, 100_001, 250_003]))
    assert one is not None
    assert other is not None
    assert len(one[0]) <= 100_000
    assert np.array_equal(one[1], np.arange(0, rows, 4))
    assert np.array_equal(one[1], other[1])


# ------------------------------------------------------------------ the calendar

NEW_YORK = Instrument(SYMBOL, tick_size="0.01", lot_size=1, calendar="XNYS")
OPEN_NS, CLOSE_NS = MONDAY_NS + 14 * HOUR_NS + HOUR_NS // 2, MONDAY_NS + 21 * HOUR_NS
DAY_NS = 24 * HOUR_NS


def paced(*spans: tuple[int, int], every_ns: int = 2 * SECOND_NS) -> RawColumns:
    ts_event = np.concatenate([np.arange(start, end, every_ns) for start, end in spans])
    columns = clean("trades", len(ts_event))
    columns["ts_event"], columns["ts_recv"] = ts_event, ts_event + 100_000
    days = ts_event // DAY_NS
    columns["sequence"] = np.arange(len(days)) - np.searchsorted(days, days)
    return columns


def coverage(columns: RawColumns, instrument: Instrument = NEW_YORK) -> dict[str, int]:
    return {finding.kind: finding.count for finding in examine("trades", columns, instrument=instrument).findings}


def test_full_sessions_have_no_finding():
    week = [(OPEN_NS + day * DAY_NS, CLOSE_NS + day * DAY_NS) for day in range(5)]
    assert coverage(paced(*week)) == {}
    # The weekend is none of the calendar's sessions.
    assert coverage(paced(*week, *((start + 7 * DAY_NS, end + 7 * DAY_NS) for start, end in week))) == {}


def test_what_sessions_lack_is_found():
    late, early = OPEN_NS + HOUR_NS, CLOSE_NS - HOUR_NS
    assert coverage(paced((late, CLOSE_NS))) == {"late_start": 1}
    assert coverage(paced((OPEN_NS, early))) == {"early_end": 1}
    assert coverage(paced((OPEN_NS, late), (early, CLOSE_NS))) == {"silence": 1}
    third = OPEN_NS + 2 * DAY_NS, CLOSE_NS + 2 * DAY_NS
    assert coverage(paced((OPEN_NS, CLOSE_NS), third)) == {"missing_session": 1}
    assert coverage(paced((OPEN_NS, early), (third[0] + HOUR_NS, third[1]))) == {
        "early_end": 1, "missing_session": 1, "late_start": 1,
    }  # fmt: skip


def test_what_was_asked_for_should_be_there(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("trades", SYMBOL, paced(*((OPEN_NS + day * DAY_NS, CLOSE_NS + day * DAY_NS) for day in (1, 2))), NEW_YORK)

    def told(start, end=None):
        return {each.kind: each.count for each in check(catalog, SYMBOL, start, end).findings}

    assert told(None) == told("2026-01-06") == {}
    # A part of a session neither begins late nor ends early.
    assert told("2026-01-06T16:00", "2026-01-06T18:00") == {}
    # Monday, Thursday and Friday are sessions that were asked for.
    assert told("2026-01-05", "2026-01-10") == {"missing_session": 3}
    assert told("2026-01-07", "2026-01-09") == {"missing_session": 1}


def test_rows_outside_of_sessions_are_counted():
    before = 20 * 60 * SECOND_NS
    columns = paced((OPEN_NS - before, CLOSE_NS + 2 * 60 * SECOND_NS))
    # The minute after the close is the closing auction's.
    assert coverage(columns) == {"outside_session": before // (2 * SECOND_NS) + 29}


def test_a_quiet_market_is_left_alone_for_longer():
    assert coverage(paced((OPEN_NS, CLOSE_NS), every_ns=600 * SECOND_NS)) == {}
    rows = paced((OPEN_NS, OPEN_NS + HOUR_NS), (OPEN_NS + HOUR_NS + 90 * SECOND_NS, CLOSE_NS), every_ns=2 * SECOND_NS)
    assert coverage(rows) == {}  # 90 s lack 45 rows
    rows = paced((OPEN_NS, OPEN_NS + HOUR_NS), (OPEN_NS + HOUR_NS + 110 * SECOND_NS, CLOSE_NS), every_ns=2 * SECOND_NS)
    assert coverage(rows) == {"silence": 1}


def test_a_market_that_never_closes_lacks_whole_days():
    around = Instrument(SYMBOL, tick_size="0.01", lot_size=1)
    minute = 60 * SECOND_NS
    lacking = paced(
        (MONDAY_NS, MONDAY_NS + DAY_NS + HOUR_NS), (MONDAY_NS + 4 * DAY_NS, MONDAY_NS + 5 * DAY_NS), every_ns=minute
    )
    assert coverage(lacking, around) == {"missing_session": 2}
    nights = paced(*((OPEN_NS + day * DAY_NS, CLOSE_NS + day * DAY_NS) for day in range(4)), every_ns=minute)
    assert coverage(nights, around) == {"closed_hours": 3}


def test_a_step_between_days_is_found():
    columns = paced(*((OPEN_NS + day * DAY_NS, CLOSE_NS + day * DAY_NS) for day in range(3)))
    second = np.flatnonzero(columns["ts_event"] > CLOSE_NS)
    columns["price"][second] = np.round(columns["price"][second] / 2, 2)
    part = examine("trades", columns, instrument=NEW_YORK)
    assert found(part)["day_step"] == [second[0]]
    assert found(examine("trades", columns, [int(second[0])], instrument=NEW_YORK)) == found(part)


# ------------------------------------------------------------------ prints and quotes


def test_a_print_outside_the_quote_is_found():
    quotes, trades = clean("quotes"), clean("trades")
    trades["ts_event"][:] = quotes["ts_event"] + 1
    trades["ts_recv"][:] = trades["ts_event"] + 100_000
    assert found(examine("trades", trades, quotes=quotes)) == {}
    trades["price"][[ROW, ROW + 5]] += [0.05, -0.05]
    trades["price"] = np.round(trades["price"], 2)
    for cuts in ([], [ROW], [1, ROW + 1, ROW + 2]):
        assert found(examine("trades", trades, cuts, quotes=quotes)) == {"outside_quote": [ROW, ROW + 5]}
    # Those of one instant are one order's way through the levels: the first speaks for it.
    trades["ts_event"][ROW] = trades["ts_event"][ROW - 1]
    assert found(examine("trades", trades, quotes=quotes)) == {"outside_quote": [ROW + 5]}


def test_a_print_is_compared_with_the_quote_a_nanosecond_before_it():
    quotes, trades = clean("quotes"), clean("trades")
    for name in ("bid_price", "ask_price"):
        quotes[name] = np.round(quotes[name] + 0.05 * (np.arange(2_000) % 2), 2)
    trades["price"] = np.round((quotes["bid_price"] + quotes["ask_price"]) / 2, 2)
    trades["ts_event"] = quotes["ts_event"] + 1
    trades["ts_recv"] = trades["ts_event"] + 100_000
    assert found(examine("trades", trades, quotes=quotes)) == {}
    trades["ts_event"] -= 1
    # At the very time of a quote it is the one before that was in force.
    (finding,) = examine("trades", trades, quotes=quotes).findings
    assert (finding.kind, finding.count) == ("outside_quote", 1_999)


# ------------------------------------------------------------------ orders and levels


def mbo(*rows: tuple[str, str, float, float, int], flags: int = LAST) -> RawColumns:
    columns = clean("mbo", len(rows))
    for index, (action, side, price, size, order) in enumerate(rows):
        for name, value in (
            ("action", ACTION_CODES[action]), ("side", SIDE_CODES[side]), ("price", price), ("size", size), ("order_id", order),
        ):  # fmt: skip
            columns[name][index] = value
    columns["flags"][:] = flags
    return columns


ORDER_CASES = [
    ([("cancel", "bid", 99.0, 5, 1)], {"unknown_order": [0]}),
    ([("modify", "bid", 99.0, 5, 1), ("cancel", "bid", 99.0, 5, 1)], {"unknown_order": [0]}),
    ([("add", "bid", 99.0, 5, 1), ("cancel", "bid", 99.0, 5, 1), ("cancel", "bid", 99.0, 5, 1)], {"unknown_order": [2]}),
    ([("add", "bid", 99.0, 5, 1), ("add", "bid", 98.0, 5, 1)], {"add_of_live_order": [1]}),
    ([("add", "bid", 99.0, 5, 1), ("cancel", "bid", 99.0, 6, 1)], {"cancel_too_large": [1]}),
    ([("fill", "bid", 99.0, 5, 1)], {"fill_without_maker": [0]}),
    ([("add", "bid", 99.0, 5, 1), ("fill", "bid", 99.0, 6, 1)], {"fill_without_maker": [1]}),
    ([("add", "bid", 99.0, 5, 1), ("fill", "bid", 99.0, 5, 1), ("cancel", "bid", 99.0, 5, 1)], {}),
    ([("add", "bid", 99.0, 5, 1), ("add", "ask", 98.0, 5, 2), ("cancel", "bid", 99.0, 5, 1)], {"crossed_book": [1]}),
    ([("add", "bid", 99.0, 5, 1), ("add", "ask", 99.0, 5, 2)], {"crossed_book": [1]}),
    ([("add", "bid", 99.0, 5, 1), ("modify", "bid", 101.0, 5, 1), ("add", "ask", 100.0, 1, 2)], {"crossed_book": [2]}),
    (
        [("add", "bid", 99.0, 5, 1), ("clear", "none", NAN, 0, 0), ("cancel", "bid", 99.0, 5, 1)],
        {"snapshot": [1], "unknown_order": [2]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "expected"), ORDER_CASES)
def test_what_cannot_be_of_orders_is_found(rows, expected):
    columns = mbo(*rows)
    assert found(examine("mbo", columns)) == expected
    assert found(examine("mbo", columns, range(1, len(rows)))) == expected


def test_a_book_may_cross_inside_an_event():
    columns = mbo(("add", "bid", 99.0, 5, 1), ("add", "ask", 98.0, 5, 2), ("cancel", "bid", 99.0, 5, 1))
    columns["flags"][1] = 0
    columns["ts_event"][2] = columns["ts_event"][1]
    assert found(examine("mbo", columns)) == {}


def test_a_snapshot_at_the_start_is_none():
    rows = [("clear", "none", NAN, 0.0, 0), ("add", "bid", 99.0, 5.0, 1), ("add", "ask", 101.0, 5.0, 2)]
    columns = mbo(*rows, flags=LAST | SNAPSHOT)
    columns["venue_seq"][:] = [7, 3, 5]  # of a snapshot in the order of the book
    assert found(examine("mbo", columns)) == {}
    columns["flags"][:] = LAST
    assert found(examine("mbo", columns)) == {"sequence_back": [1]}


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_lost_orders_are_found_as_a_slow_replay_finds_them(seed):
    columns = clean("mbo", 600, seed)
    rng = np.random.default_rng(seed)
    keep = rng.random(600) > 0.05
    columns = {name: array[keep] for name, array in columns.items()}
    live: dict[int, float] = {}
    unknown = []
    for row in range(len(columns["ts_event"])):
        action, order, size = (columns[name][row] for name in ("action", "order_id", "size"))
        if action in (ACTION_CODES["cancel"], ACTION_CODES["modify"]) and order not in live:
            unknown.append(row)
        if action in (ACTION_CODES["add"], ACTION_CODES["modify"]):
            live[order] = size
        elif action == ACTION_CODES["cancel"] and order in live:
            live[order] -= size
            if live[order] <= 0:
                del live[order]
    assert found(examine("mbo", columns)).get("unknown_order", []) == unknown


def levels(*rows: tuple[int, str, float, float]) -> RawColumns:
    return {
        "action": np.array([row[0] for row in rows], dtype=np.uint8),
        "side": np.array([SIDE_CODES[row[1]] for row in rows], dtype=np.uint8),
        "price": np.array([row[2] for row in rows]),
        "size": np.array([row[3] for row in rows]),
        "flags": np.full(len(rows), LAST, dtype=np.uint8),
    }


def test_what_cannot_be_of_levels_is_found():
    clear = ACTION_CODES["clear"]
    columns = levels(
        (SET, "bid", 99.0, 5.0),
        (SET, "ask", 98.0, 5.0),  # crosses
        (SET, "bid", 99.0, 0.0),
        (SET, "bid", 99.0, 0.0),  # is gone already
        (SET, "bid", 97.0, 1.0),
        (SET, "bid", 98.0, 2.0),  # locks
        (SET, "bid", 98.0, 0.0),
        (clear, "none", NAN, 0.0),
        (SET, "ask", 98.0, 0.0),  # went with the clear
        (SET, "bid", 99.0, 1.0),
    )
    faults = {kind: rows.tolist() for kind, rows in LevelBook().look(columns).items()}
    assert faults == {"unknown_level": [3, 8], "crossed_book": [1, 5]}


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 300))
@settings(max_examples=30)
def test_the_book_of_levels_crosses_as_a_slow_one_does(seed, rows):
    rng = np.random.default_rng(seed)
    columns = levels(
        *((SET, str(rng.choice(["bid", "ask"])), float(rng.integers(95, 105)), float(rng.integers(0, 3))) for _ in range(rows))
    )
    book: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    crossed, unknown = [], []
    for row in range(rows):
        side = "bid" if columns["side"][row] == SIDE_CODES["bid"] else "ask"
        price, size = columns["price"][row], columns["size"][row]
        if size:
            book[side][price] = size
        elif book[side].pop(price, None) is None:
            unknown.append(row)
        if book["bid"] and book["ask"] and max(book["bid"]) >= min(book["ask"]):
            crossed.append(row)
    found_rows = {kind: hits.tolist() for kind, hits in LevelBook().look(columns).items()}
    assert found_rows == {"unknown_level": unknown, "crossed_book": crossed}


def bars(rows: int = 20) -> RawColumns:
    rng = np.random.default_rng(1)
    prices = 100 + rng.integers(-5, 6, (rows, 4))
    opens = START_NS + np.arange(rows) * 60 * SECOND_NS
    return {
        "ts_open": opens,
        "ts_event": opens + 60 * SECOND_NS,
        "open": prices[:, 0].astype(float),
        "close": prices[:, 1].astype(float),
        "low": prices.min(axis=1).astype(float),
        "high": prices.max(axis=1).astype(float),
        "vwap": prices.mean(axis=1),
    }


def test_levels_of_a_catalog_are_looked_at(tmp_path):
    rows = [(SET, "bid", 90.0 + n % 5, float(n % 4 + 1)) for n in range(40)] + [
        (SET, "ask", 101.0 + n % 7, 2.0) for n in range(60)
    ]
    columns: RawColumns = {
        **levels(*rows),
        "ts_event": START_NS + np.arange(100) * SECOND_NS,
        "ts_recv": START_NS + np.arange(100) * SECOND_NS + 5,
        "venue_seq": np.arange(100),
    }
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("mbp", SYMBOL, columns, ABC)
    assert check(catalog).findings == []
    columns["size"][50] = 0.0  # of the ask 104, which is not there yet
    columns["price"][50] = 104.0 + 40
    columns["side"][60], columns["price"][60] = SIDE_CODES["bid"], 103.0
    columns["price"][[90, 91]] = [101.0, 150.0]
    catalog.write("mbp", SYMBOL, columns, ABC)
    found_by = {each.kind: [example.row for example in each.examples] for each in check(catalog, examples=100).findings}
    assert found_by == {"unknown_level": [50], "crossed_book": list(range(60, 100))}


def test_bars_of_a_catalog_and_of_a_file_are_looked_at_and_mended(tmp_path):
    catalog = Catalog(tmp_path / "one", disk=QuickDisk())
    generate(catalog, "DEMO.SIM", "2026-01-05", 30_000, seed=2, schemas=["trades"])
    for spec in ("1m", "tick-50"):
        catalog.write("bars", "DEMO.SIM", catalog.ticks("DEMO.SIM").bars(spec), spec=spec)
    assert check(catalog).findings == []
    assert {part.schema for part in check(catalog, schema="bars").parts} == {"bars/spec=1m", "bars/spec=tick-50"}
    (path,) = catalog.path.glob("bars/spec=1m/*/*/*.parquet")
    assert [part.schema for part in check(path).parts] == ["bars/spec=1m"]
    done = repair(catalog, tmp_path / "two")
    assert dict(done.counts) == {}
    assert Catalog(tmp_path / "two").content_hash("DEMO.SIM") == catalog.content_hash("DEMO.SIM")
    assert catalog.consolidate().partitions == 0
    later = catalog.bars("DEMO.SIM", "1m").tail(1).with_columns(pl.col("ts_open", "ts_event") + pl.duration(hours=1))
    assert catalog.append("bars", "DEMO.SIM", later, spec="1m").rows_written == 1
    assert catalog.delete("DEMO.SIM", "2026-01-05T09:00", "2026-01-05T11:00") == 3

    frame = Catalog(tmp_path / "two").bars("DEMO.SIM", "1m")
    row = pl.int_range(pl.len())
    bad = frame.with_columns(
        high=pl.when(row == 3).then(1.0).otherwise("high"),
        open=pl.when(row == 5).then(pl.col("high") + 0.1).otherwise("open"),
        ts_open=pl.when(row == 9).then(pl.col("ts_open") - pl.duration(minutes=1)).otherwise("ts_open"),
        volume=pl.when(row == 11).then(-1.0).otherwise("volume"),
    )
    bad.write_parquet(tmp_path / "bars.parquet")
    steps = {"tick_size": "0.01", "lot_size": 1}
    told = {
        each.kind: [example.row for example in each.examples] for each in check(tmp_path / "bars.parquet", **steps).findings
    }
    assert told == {"high_below_low": [3], "open_outside": [5], "overlap": [9], "negative_size": [11]}
    mended = repair(tmp_path / "bars.parquet", **steps)
    assert sorted(mended.repairs.select("row", "kind").rows()) == [
        (3, "high_below_low"),
        (5, "open_outside"),
        (11, "negative_size"),
    ]
    assert check(mended.path, **steps).counts == {"overlap": 1}
    assert dict(repair(mended.path, **steps).counts) == {}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"high": 10.0}, {"high_below_low": [4]}),
        ({"open": 200.0}, {"open_outside": [4]}),
        ({"close": 1.0}, {"close_outside": [4]}),
        ({"vwap": 1.0}, {"vwap_outside": [4]}),
        ({"ts_open": START_NS + 10**15}, {"no_span": [4]}),
        ({"ts_open": START_NS}, {"overlap": [4]}),
    ],
)
def test_what_cannot_be_of_bars_is_found(values, expected):
    columns = bars()
    for name, value in values.items():
        columns[name][4] = value
    assert {kind: np.flatnonzero(hits).tolist() for kind, hits in bar_faults(columns).items() if hits.any()} == expected
    later = {name: array[4:] for name, array in columns.items()}
    found_later = bar_faults(later, int(columns["ts_event"][3]))
    assert {kind: (np.flatnonzero(hits) + 4).tolist() for kind, hits in found_later.items() if hits.any()} == expected


def test_quotes_of_one_side_repeat_too():
    columns = clean("quotes")
    columns["bid_price"][ROW - 1 : ROW + 1], columns["bid_size"][ROW - 1 : ROW + 1] = NAN, 0.0
    for name in ("ts_event", "ask_price", "ask_size", "venue_seq"):
        columns[name][ROW] = columns[name][ROW - 1]
    for cuts in ((), (ROW,)):
        assert found(examine("quotes", columns, cuts))["duplicate"] == [ROW]
    columns["bid_price"][ROW - 1], columns["bid_size"][ROW - 1] = columns["ask_price"][ROW] - 0.02, 1.0
    assert "duplicate" not in found(examine("quotes", columns))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_prints_are_compared_with_few_quotes_at_a_time(monkeypatch, size):
    quotes, trades = clean("quotes"), clean("trades", 40)
    trades["ts_event"] = np.sort(np.random.default_rng(size).choice(quotes["ts_event"], 40)) + np.arange(40) % 3
    trades["ts_recv"] = trades["ts_event"] + 100_000
    trades["ts_event"][20] = 2**62  # no usable time
    edges = range(0, len(quotes["ts_event"]), size)
    batches = [
        Batch("quotes", quotes["sequence"][at : at + size], {name: array[at : at + size] for name, array in quotes.items()})
        for at in edges
    ]
    held = []
    take = QuoteInForce.take

    def seen(self, batch):
        take(self, batch)
        held.append(len(self._times))

    monkeypatch.setattr(QuoteInForce, "take", seen)
    expected, first = [], set()
    for row, (time, price) in enumerate(zip(trades["ts_event"].tolist(), trades["price"].tolist(), strict=True)):
        at = int(np.searchsorted(quotes["ts_event"], time)) - 1
        outside = at >= 0 and not quotes["bid_price"][at] <= price <= quotes["ask_price"][at]
        if outside and time not in first and row != 20:
            expected.append(row)
        first.add(time)
    examination = Examination(SYMBOL, "trades", ABC, quotes=iter(batches), examples=1_000)
    examination.look(Batch("trades", np.arange(40), trades))
    assert found(examination.finish())["outside_quote"] == expected
    assert max(held) <= size + 1
