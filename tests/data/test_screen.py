"""Table T: every kind of bad data has a policy, and each acts, is counted, and leaves the rest alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data import screen
from cift.data.catalog import Catalog
from cift.data.columns import RawColumns
from cift.data.frames import quotes as quotes_view
from cift.data.report import Tally
from cift.data.screen import POLICIES, Screen, choose, off_grid
from cift.domain.instrument import Instrument
from cift.domain.schemas import BAD_TS_RECV, CHUNK_DTYPES, LAST, NO_TIME_NS, OFF_GRID, SNAPSHOT, SUSPECT
from cift.errors import CiftError, DataError, InvalidParameter, OffLotSize, OffTickPrice, TimeOrder, UnknownName
from tests.data.market import ABC, DAY_NS, MONDAY_NS, SYMBOL, make, take

START_NS = MONDAY_NS + 15 * 3_600_000_000_000
ROWS = 10
ROW = 4
"""The row that each case spoils."""


def clean(schema: str) -> RawColumns:
    """Ten good rows, a second apart."""
    columns = {
        "ts_event": START_NS + np.arange(ROWS) * 10**9,
        "ts_recv": np.full(ROWS, NO_TIME_NS),
        "action": np.full(ROWS, 65),
        "side": np.full(ROWS, 66),
        "price": np.full(ROWS, 100.0),
        "size": np.full(ROWS, 5.0),
        "order_id": np.arange(ROWS),
        "trade_id": np.arange(ROWS) + 1,
        "aggressor": np.full(ROWS, 66),
        "bid_price": np.full(ROWS, 99.99),
        "bid_size": np.full(ROWS, 7.0),
        "ask_price": np.full(ROWS, 100.01),
        "ask_size": np.full(ROWS, 8.0),
        "flags": np.full(ROWS, LAST),
        "venue_seq": np.arange(ROWS),
    }
    dtypes = {**CHUNK_DTYPES[schema], "venue_seq": "int64"}
    return {name: columns[name].astype(dtype) for name, dtype in dtypes.items() if name != "sequence"}


def spoil(schema: str, **values: float) -> RawColumns:
    columns = clean(schema)
    for name, value in values.items():
        columns[name][ROW] = value
    return columns


def screened(schema: str, columns: RawColumns, **policies: str) -> tuple[RawColumns, Tally]:
    tally = Tally("ticks.csv")
    screen = Screen(schema, ABC, "ticks.csv", tally, policies)
    kept = screen.check(columns)
    screen.finish()
    return kept, tally


NAN, INF = float("nan"), float("inf")

REJECTED = [
    ("nan", "trades", {"price": NAN}, DataError, "ticks.csv, row 4: price is not a number"),
    ("nan", "mbo", {"price": NAN}, DataError, "price is not a number"),
    ("nan", "quotes", {"bid_price": NAN}, DataError, "bid_price is not a number"),
    ("nan", "quotes", {"bid_size": NAN}, DataError, "bid_size is not a number"),
    ("infinite", "trades", {"price": INF}, DataError, "price is infinite"),
    ("infinite", "quotes", {"ask_size": -INF}, DataError, "ask_size is infinite"),
    ("negative_price", "trades", {"price": -1.0}, DataError, "price is negative.*-1.0.*pass policies="),
    ("negative_price", "quotes", {"bid_price": -1.0}, DataError, "bid_price is negative"),
    ("zero_price", "mbo", {"price": 0.0}, DataError, "price is zero"),
    ("zero_price", "quotes", {"bid_price": 0.0}, DataError, "bid_price is zero"),
    ("negative_size", "trades", {"size": -5.0}, DataError, "size is negative.*size -5.0"),
    ("negative_size", "mbo", {"size": -5.0}, DataError, "size is negative"),
    ("zero_size", "mbo", {"size": 0.0, "action": 77}, DataError, "modify to size 0"),
    ("off_tick", "mbo", {"price": 100.005}, OffTickPrice, "row 4: price 100.005"),
    ("off_tick", "quotes", {"ask_price": 100.015}, OffTickPrice, "row 4: ask_price 100.015"),
    ("off_tick", "trades", {"size": 1.5}, OffLotSize, "row 4: size 1.5"),
    ("time_back", "trades", {"ts_event": START_NS}, TimeOrder, "row 4: ts_event goes back in time"),
    ("far_future", "trades", {"ts_event": 2**63 - 1}, DataError, "row 4: .*2262.*in 2100 or later"),
    ("year_1970", "trades", {"ts_event": 0}, DataError, "row 4: .*1970.*before 1980"),
    ("time_unit", "trades", {"ts_event": START_NS // 1_000}, DataError, "row 4: .*looks like microseconds"),
    ("time_unit", "trades", {"ts_event": START_NS // 10**6}, DataError, "looks like milliseconds"),
    ("time_unit", "trades", {"ts_event": START_NS // 10**9}, DataError, "looks like seconds"),
]


def test_the_documentation_lists_every_kind_as_the_screen_does():
    page = (Path(__file__).parents[2] / "docs" / "data-integrity.md").read_text(encoding="utf-8")
    table = [line for line in (screen.__doc__ or "").splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0][2:] for line in table[1:] if "---" not in line] == [*POLICIES]
    assert "\n".join(line for line in page.splitlines() if line.startswith("| ") and line in table) == "\n".join(table)


@pytest.mark.parametrize(("kind", "schema", "values", "error", "message"), REJECTED)
def test_a_rejected_row_is_named_and_nothing_is_stored(tmp_path, kind, schema, values, error, message):
    assert POLICIES[kind][0] in ("reject", "quarantine")
    with pytest.raises(error, match=message):
        screened(schema, spoil(schema, **values))
    catalog = Catalog(tmp_path)
    catalog.write(schema, SYMBOL, clean(schema), ABC)
    before = catalog.ticks(SYMBOL).feeds[0].content_hash
    with pytest.raises(error):
        catalog.write(schema, SYMBOL, spoil(schema, **values))
    assert catalog.ticks(SYMBOL).feeds[0].content_hash == before


QUARANTINED = [
    ("zero_size", "trades", {"size": 0.0}),
    ("zero_size", "mbo", {"size": 0.0}),
    ("price_jump", "trades", {"price": 100_001.0}),
    ("price_jump", "trades", {"price": 0.09}),
    ("price_jump", "quotes", {"bid_price": 900_000.0, "ask_price": 900_000.01}),
    ("duplicate", "trades", {"ts_event": START_NS + (ROW - 1) * 10**9, "trade_id": ROW}),
    ("duplicate", "mbo", {"order_id": ROW - 1}),
]


@pytest.mark.parametrize(("kind", "schema", "values"), QUARANTINED)
def test_a_quarantined_row_is_left_out_kept_aside_and_counted(kind, schema, values):
    assert POLICIES[kind][0] == "quarantine"
    kept, tally = screened(schema, spoil(schema, **values))
    rest = [row for row in range(ROWS) if row != ROW]
    assert kept["ts_event"].tolist() == clean(schema)["ts_event"][rest].tolist()
    assert tally.counts[kind] == tally.counts["quarantined"] == 1
    (aside,) = tally.quarantine
    assert (aside.source, aside.row, aside.reason) == ("ticks.csv", ROW, kind)
    assert "size" in aside.text


FLAGGED = [
    ("crossed_quote", "quotes", {"bid_price": 100.02}),
    ("locked_quote", "quotes", {"bid_price": 100.01}),
]


@pytest.mark.parametrize(("kind", "schema", "values"), FLAGGED)
def test_a_flagged_row_passes_with_its_flag(kind, schema, values):
    assert POLICIES[kind][0] == "flag"
    kept, tally = screened(schema, spoil(schema, **values))
    assert kept["flags"].tolist() == [LAST | (SUSPECT if row == ROW else 0) for row in range(ROWS)]
    assert tally.counts[kind] == 1
    passed, _ = screened(schema, spoil(schema, **values), **{kind: "pass"})
    assert passed["flags"].tolist() == [LAST] * ROWS
    left, _ = screened(schema, spoil(schema, **values), **{kind: "quarantine"})
    assert len(left["flags"]) == ROWS - 1
    with pytest.raises(DataError, match="row 4"):
        screened(schema, spoil(schema, **values), **{kind: "reject"})


PASSED: list[tuple[str, str, Callable[[], RawColumns], int]] = [
    ("negative_zero", "quotes", lambda: spoil("quotes", bid_size=-0.0, bid_price=NAN), 1),
    ("zero_quote", "quotes", lambda: spoil("quotes", bid_size=0, bid_price=0, ask_size=0, ask_price=0), 1),
    ("equal_times", "trades", lambda: spoil("trades", ts_event=START_NS + 3 * 10**9), 1),
    ("sequence_gap", "trades", lambda: spoil("trades", venue_seq=900), 2),
    ("snapshot", "mbo", lambda: spoil("mbo", flags=LAST | SNAPSHOT), 1),
    ("snapshot", "mbo", lambda: spoil("mbo", action=82, price=NAN, size=0), 1),
    ("day_step", "trades", lambda: next_day(50.0), 1),
    ("day_step", "trades", lambda: next_day(85.0), 0),
    ("burst", "trades", lambda: burst(), 1),
]


def next_day(price: float) -> RawColumns:
    columns = clean("trades")
    columns["ts_event"][ROW:] += DAY_NS
    columns["price"][ROW:] = price
    return columns


def burst() -> RawColumns:
    quiet = make("trades", 30, gap_ns=2 * 10**9)
    columns = {name: np.concatenate([array, np.repeat(array[-1:], 30)]) for name, array in quiet.items()}
    columns["trade_id"] = np.arange(60).astype(np.uint64)
    return columns


@pytest.mark.parametrize(("kind", "schema", "rows", "count"), PASSED)
def test_what_passes_is_counted(kind, schema, rows, count):
    assert POLICIES[kind][0] == "pass"
    given_rows = rows()
    kept, tally = screened(schema, given_rows)
    assert len(kept["ts_event"]) == len(given_rows["ts_event"])
    assert tally.counts[kind] == count
    assert not (kept["flags"] & SUSPECT).any()


def test_a_missing_side_is_a_price_of_nan_and_a_size_of_zero():
    for values in ({"bid_price": 0, "bid_size": 0}, {"bid_price": 99.0, "bid_size": 0}, {"bid_price": NAN, "bid_size": NAN}):
        kept, _ = screened("quotes", spoil("quotes", **values))
        assert np.isnan(kept["bid_price"][ROW])
        assert kept["bid_size"][ROW] == 0
        assert kept["ask_price"][ROW] == 100.01


def test_minus_zero_becomes_zero():
    kept, tally = screened("trades", spoil("trades", price=-0.0), zero_price="pass")
    assert not np.signbit(kept["price"][ROW])
    assert tally.counts["negative_zero"] == 1


def test_a_print_off_the_tick_passes_with_its_flag():
    for schema, values in (("trades", {"price": 100.005}), ("mbo", {"price": 100.005, "action": 84})):
        kept, tally = screened(schema, spoil(schema, **values))
        assert kept["flags"][ROW] == LAST | OFF_GRID
        assert kept["price"][ROW] == 100.005
        assert tally.counts["off_grid_prints"] == 1


def test_a_jump_in_an_order_book_is_flagged_for_the_book_needs_every_record():
    columns = spoil("mbo", price=1e6, action=84)
    columns["action"][0] = 84
    kept, tally = screened("mbo", columns)
    assert kept["flags"][ROW] == LAST | SUSPECT
    assert tally.counts["price_jump"] == 1


def test_a_change_of_unit_is_not_quarantined_for_ever():
    columns = {name: np.repeat(array, 100) for name, array in clean("trades").items()}
    columns["trade_id"] = np.arange(1_000).astype(np.uint64)
    columns["price"][400:] = 1e6
    with pytest.raises(DataError, match="more than 100 prices in a row"):
        screened("trades", columns)
    kept, tally = screened("trades", columns, price_jump="pass")
    assert len(kept["price"]) == 1_000
    assert tally.counts["price_jump"] == 600


def test_prints_outside_the_quote_are_flagged_where_quotes_are_at_hand():
    def frame(schema: str, **values: float) -> object:
        import pyarrow as pa

        columns = spoil(schema, **values)
        columns.pop("aggressor", None)
        return pa.table({name: array for name, array in columns.items() if name not in ("ts_recv", "flags", "venue_seq")})

    later = clean("trades")["ts_event"] + 1
    outside = frame("trades", price=100.02).set_column(0, "ts_event", [later])
    view = quotes_view(frame("quotes"), trades=outside, tick_size="0.01", lot_size=1)
    flags = next(view.feeds[1].chunks(None)).columns["flags"]
    assert flags.tolist() == [LAST | (SUSPECT if row == ROW else 0) for row in range(ROWS)]
    assert "trades: 1 x outside_quote" in repr(view)
    view = quotes_view(frame("quotes"), trades=outside, tick_size="0.01", lot_size=1, policies={"outside_quote": "pass"})
    assert (next(view.feeds[1].chunks(None)).columns["flags"] == LAST).all()


def test_a_receive_time_out_of_our_time_is_flagged():
    kept, tally = screened("trades", spoil("trades", ts_recv=5))
    assert kept["flags"][ROW] == LAST | BAD_TS_RECV
    assert tally.counts["bad_ts_recv"] == 1
    _, tally = screened("trades", spoil("trades", ts_recv=START_NS))
    assert tally.counts["received_early"] == 1


def test_every_kind_of_table_t_is_known_and_tested_somewhere():
    assert len(POLICIES) == 26 + len({"bad_bar", "off_increment"})
    here = {case[0] for case in (*REJECTED, *QUARANTINED, *FLAGGED, *PASSED)}
    # These are tested in this file on their own, and with catalogs, frames and importers.
    elsewhere = {"off_increment", "outside_quote", "unknown_level", "unknown_symbol", "halt", "bad_bar"}
    assert here | elsewhere == set(POLICIES)


def test_displayed_prices_lie_on_the_increment_of_their_time_and_others_need_not():
    nickels = Instrument("ABC.SIM", "0.01", 1, price_increment={"2020-01-01": "0.05", "2090-01-01": "0.01"})
    for action, is_displayed in [("A", True), ("M", True), ("C", False), ("T", False), ("F", False)]:
        screen = Screen("mbo", nickels, "ticks.csv", Tally("ticks.csv"))
        columns = spoil("mbo", price=100.01, action=ord(action))
        if is_displayed:
            with pytest.raises(OffTickPrice, match=r"ticks\.csv, row 4: price 100\.01 is not on the price_increment 0\.05 of"):
                screen.check(columns)
        else:
            assert screen.check(columns)["price"][ROW] == 100.01
    columns = {**clean("quotes"), "bid_price": np.full(ROWS, 99.95)}
    with pytest.raises(OffTickPrice, match=r"row 0: ask_price 100\.01 is not on the price_increment 0\.05"):
        Screen("quotes", nickels, "q", Tally("q")).check(columns)
    assert Screen("trades", nickels, "t", Tally("t")).check(spoil("trades", price=100.01))["price"][ROW] == 100.01


def test_rows_of_another_symbol_are_rejected(tmp_path):
    import polars as pl

    frame = pl.DataFrame({name: array for name, array in clean("trades").items() if name not in ("aggressor", "flags")})
    with pytest.raises(DataError, match=r"holds XYZ\.SIM"):
        Catalog(tmp_path).write("trades", SYMBOL, frame.with_columns(symbol=pl.lit("XYZ.SIM")), ABC)


def test_policies_are_chosen_among_those_that_make_sense():
    assert choose({"zero_price": "pass"})["zero_price"] == "pass"
    with pytest.raises(UnknownName, match="nan, infinite"):
        choose({"weird": "pass"})
    with pytest.raises(InvalidParameter, match="nan may be reject"):
        choose({"nan": "pass"})
    kept, _ = screened("trades", spoil("trades", price=-5.0), negative_price="pass")
    assert kept["price"][ROW] == -5.0


@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    schema=st.sampled_from(["mbo", "quotes", "trades"]),
)
def test_the_screen_does_not_depend_on_batches(seed, cuts, schema):
    rng = np.random.default_rng(seed)
    columns = make(schema, 60, seed % 1_000, gap_ns=10**9)
    for name in columns:
        if name in ("price", "size", "bid_price", "bid_size") and schema != "mbo":
            columns[name][rng.integers(0, 60, 2)] = rng.choice([0.0, -0.0, 1e9, 100.0], 2)
    outcomes = []
    for edges in ([0, 60], [0, *sorted(cuts), 60]):
        tally = Tally("x")
        screen = Screen(schema, ABC, "x", tally, {"zero_price": "pass"} if schema == "trades" else None)
        try:
            kept = [screen.check(take(columns, start, stop)) for start, stop in itertools.pairwise(edges) if stop > start]
            screen.finish()
            joined = {name: np.concatenate([piece[name] for piece in kept]) for name in columns}
            outcomes.append(
                ({name: array.tobytes() for name, array in joined.items()}, +tally.counts, sorted(tally.quarantine))
            )
        except CiftError as error:
            outcomes.append(type(error).__name__)
    assert outcomes[0] == outcomes[1]


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=20),
    tick=st.sampled_from(["0.01", "0.25", "1", "0.00000001"]),
)
def test_no_float_upsets_the_grid_check(values, tick):
    instrument = Instrument("X", tick, 1)
    off = off_grid(np.array(values), *instrument.tick_fraction)
    for value, is_off in zip(values, off.tolist(), strict=True):
        if np.isnan(value):
            assert not is_off
        elif np.isinf(value):
            assert is_off
        elif not is_off and abs(value) < 1e15:
            assert instrument.price(instrument.to_ticks(value)) == pytest.approx(value, abs=1e-5 * float(tick))


@given(
    ends=st.lists(st.booleans(), min_size=ROWS, max_size=ROWS),
    bad=st.sets(st.integers(0, ROWS - 1), max_size=ROWS - 1),
    cut=st.integers(0, ROWS),
)
def test_an_event_whose_end_is_quarantined_ends_with_the_row_before(ends, bad, cut):
    columns = clean("trades")
    columns["flags"] = np.where(ends, LAST, 0).astype(np.uint8)
    columns["size"][list(bad)] = 0.0
    tally = Tally("ticks.csv")
    screen = Screen("trades", ABC, "ticks.csv", tally)
    batches = [{name: array[start:stop] for name, array in columns.items()} for start, stop in ((0, cut), (cut, ROWS))]
    flags = np.concatenate([screen.check(batch)["flags"] for batch in batches]).tolist()
    expected: list[int] = []
    lost = 0
    for row in range(ROWS):
        if row not in bad:
            expected.append(int(ends[row]) * LAST)
        elif ends[row] and expected and expected[-1] == 0:
            # Rows of an earlier batch were handed on before.
            earlier = row >= cut and len(expected) == sum(each not in bad for each in range(cut))
            lost += earlier and not any(ends[each] for each in range(cut, row))
            if not earlier:
                expected[-1] = LAST
    assert flags == expected
    assert tally.counts["event_end_lost"] == lost
    assert columns["flags"].tolist() == [int(end) * LAST for end in ends]
