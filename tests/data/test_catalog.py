from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import replace
from unittest import mock

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data import writing
from cift.data.catalog import Catalog
from cift.data.columns import join
from cift.data.frames import trades
from cift.data.manifest import seal
from cift.domain.chunk import Chunk
from cift.domain.instrument import Instrument
from cift.errors import (
    CatalogError,
    CorruptData,
    InvalidParameter,
    NoData,
    NotSupported,
    OffTickPrice,
    TimeOrder,
    UnknownName,
    UnknownSymbol,
)
from tests.data.market import (
    ABC,
    DAY_NS,
    HOUR_NS,
    MONDAY_NS,
    SYMBOL,
    QuickDisk,
    make,
    read,
    record_batches,
    same,
    schemas,
    take,
)


def small_groups(rows: int):
    return mock.patch.object(writing, "ROWS_PER_GROUP", rows)


@given(data=st.data(), schema=schemas, group=st.integers(1, 200))
def test_what_was_written_is_read_back_at_any_chunk_size(tmp_path_factory, data, schema, group):
    batches = data.draw(record_batches(schema))
    catalog = Catalog(tmp_path_factory.mktemp("catalog"), disk=QuickDisk())
    with small_groups(group):
        catalog.write(schema, SYMBOL, batches, ABC)
    (feed,) = catalog.ticks(SYMBOL).feeds
    whole = join([batch for batch in batches if len(batch["ts_event"])])
    for rows in (1, 7, 1_000, None):
        assert same(whole, read(feed, rows))
    assert [chunk.rows for chunk in feed.chunks(7)][:-1] == [7] * ((len(whole["ts_event"]) - 1) // 7)
    sequence, days = read(feed, 13)["sequence"], whole["ts_event"] // DAY_NS
    for day in np.unique(days):
        assert sequence[days == day].tolist() == list(range((days == day).sum()))


@given(data=st.data(), schema=schemas)
def test_the_content_hash_knows_values_and_nothing_of_files(tmp_path_factory, data, schema):
    batches = data.draw(record_batches(schema))
    whole = join([batch for batch in batches if len(batch["ts_event"])])
    hashes = set()
    for group, given_batches in ((131_072, [whole]), (17, batches), (1_000, whole)):
        catalog = Catalog(tmp_path_factory.mktemp("catalog"), disk=QuickDisk())
        with small_groups(group), mock.patch.object(writing, "COMPRESSION_LEVEL", 1 + group % 9):
            catalog.write(schema, SYMBOL, given_batches, ABC)
        hashes.add(catalog.ticks(SYMBOL).feeds[0].content_hash)
    assert len(hashes) == 1
    name = data.draw(st.sampled_from(sorted(set(whole) - {"action", "side", "aggressor", "ts_event"})))
    row = data.draw(st.integers(0, len(whole["ts_event"]) - 1))
    changed = {**whole, name: whole[name].copy()}
    changed[name][row] = {"flags": 8, "ts_recv": MONDAY_NS - 1, "venue_seq": 10**6}.get(name, 7)
    catalog = Catalog(tmp_path_factory.mktemp("catalog"), disk=QuickDisk())
    try:
        catalog.write(schema, SYMBOL, changed, ABC)
    except (ValueError, CatalogError):
        return  # a price beside a side without size, or the like: refused
    stored = read(catalog.ticks(SYMBOL).feeds[0], None)
    if name == "venue_seq" or not same(whole, stored):
        assert catalog.ticks(SYMBOL).feeds[0].content_hash not in hashes


def test_a_frame_and_a_catalog_of_the_same_rows_have_one_hash(tmp_path):
    columns = make("trades", 500, gap_ns=HOUR_NS)
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, columns, ABC)
    frame = pl.scan_parquet(tmp_path / "trades").sort("ts_event").collect()
    assert frame["date"].n_unique() > 5
    view = trades(frame, instrument=ABC)
    assert view.feeds[0].content_hash == catalog.ticks(SYMBOL).feeds[0].content_hash


def test_quotes_and_trades_are_cut_exactly_and_hashed_as_cut(tmp_path):
    columns = make("quotes", 3_000, gap_ns=60 * 10**9)
    catalog = Catalog(tmp_path)
    with small_groups(300):
        catalog.write("quotes", SYMBOL, columns, ABC)
    start, end = MONDAY_NS + 3 * HOUR_NS, MONDAY_NS + 5 * HOUR_NS + 1
    feed = catalog.ticks(SYMBOL, start, end).feeds[0]
    ts = columns["ts_event"]
    inside = np.flatnonzero((ts >= start) & (ts < end))
    wanted = take(columns, inside[0], inside[-1] + 1)
    assert same(wanted, read(feed, 100))
    other = Catalog(tmp_path / "other")
    other.write("quotes", SYMBOL, columns, ABC)
    assert other.ticks(SYMBOL, start, end).feeds[0].content_hash == feed.content_hash
    assert catalog.ticks(SYMBOL, start, end + HOUR_NS).feeds[0].content_hash != feed.content_hash


def test_an_order_book_feed_begins_with_its_day(tmp_path):
    columns = make("mbo", 2_000, gap_ns=60 * 10**9)
    catalog = Catalog(tmp_path)
    catalog.write("mbo", SYMBOL, columns, ABC)
    view = catalog.ticks(SYMBOL, "2026-01-05T06:00", "2026-01-05T07:00")
    assert (view.start_ns, view.end_ns) == (MONDAY_NS + 6 * HOUR_NS, MONDAY_NS + 7 * HOUR_NS)
    read_rows = read(view.feeds[0], None)
    stop = int(np.searchsorted(columns["ts_event"], view.end_ns))
    assert same(take(columns, 0, stop), read_rows)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-01-05", None, 24),
        (dt.date(2026, 1, 5), "2026-01-06", 24),
        ("2026-01-05T10:00", "2026-01-05T12:00", 2),
        ("2026-01-05T10:00+02:00", "2026-01-05T10:00Z", 2),
        (dt.datetime(2026, 1, 5, 10), dt.datetime(2026, 1, 5, 11, tzinfo=dt.UTC), 1),
        (np.datetime64("2026-01-05T10:00"), np.datetime64("2026-01-05T10:00:00.000000001"), 1 / HOUR_NS),
        (MONDAY_NS, MONDAY_NS + HOUR_NS, 1),
    ],
)
def test_times_are_read_as_people_write_them(tmp_path, start, end, hours):
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 20_000, gap_ns=10**10), ABC)
    try:
        view = catalog.ticks(SYMBOL, start, end)
    except NoData:
        assert hours < 1
        return
    assert view.end_ns - view.start_ns == hours * HOUR_NS


@pytest.mark.parametrize("start", ["yesterday", "2026-13-01", 3.5, True, "2026-01-05T10:00:00.1234567891"])
def test_a_time_that_cannot_be_read_is_refused(tmp_path, start):
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 10), ABC)
    with pytest.raises(InvalidParameter):
        catalog.ticks(SYMBOL, start, "2026-01-04")


def test_a_session_keeps_what_happened_within(tmp_path):
    columns = make("trades", 30_000, gap_ns=20 * 10**9)
    catalog = Catalog(tmp_path)
    with small_groups(1_000):
        catalog.write("trades", SYMBOL, columns, ABC)
    view = catalog.ticks(SYMBOL, session=("09:30", "16:00", "America/New_York"))
    opening = 14 * HOUR_NS + HOUR_NS // 2  # New York is five hours behind in January
    of_day = columns["ts_event"] % DAY_NS
    wanted = columns["ts_event"][(of_day >= opening) & (of_day < 21 * HOUR_NS)]
    assert len(np.unique(wanted // DAY_NS)) > 2
    assert np.array_equal(read(view.feeds[0], 999)["ts_event"], wanted)
    with pytest.raises(InvalidParameter, match="session"):
        catalog.ticks(SYMBOL, session=("9h30", "16:00", "America/New_York"))


def test_a_session_of_an_order_book_feed_sets_when_the_strategy_begins(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write("mbo", SYMBOL, make("mbo", 10_000, gap_ns=40 * 10**9), ABC)
    view = catalog.ticks(SYMBOL, "2026-01-05", session=("09:30", "16:00", "America/New_York"))
    assert view.start_ns == MONDAY_NS + 14 * HOUR_NS + HOUR_NS // 2
    assert read(view.feeds[0], None)["ts_event"][0] < MONDAY_NS + HOUR_NS
    with pytest.raises(NotSupported, match="one day at a time"):
        catalog.ticks(SYMBOL, session=("09:30", "16:00", "America/New_York"))


def test_an_empty_range_says_what_there_is(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 10), ABC)
    with pytest.raises(NoData, match=r"no data: ABC.SIM has no quotes or trades from 2025.*holds 1 day of it, from 2026-01-05"):
        catalog.ticks(SYMBOL, "2025-06-01")
    with pytest.raises(NoData, match="session"):
        catalog.ticks(SYMBOL, "2026-01-05", session=("09:30", "16:00", "America/New_York"))


def test_an_unknown_symbol_suggests_the_nearest(tmp_path):
    catalog = Catalog(tmp_path)
    with pytest.raises(UnknownSymbol, match="holds no data"):
        catalog.ticks("ABC")
    catalog.write("trades", SYMBOL, make("trades", 10), ABC)
    with pytest.raises(UnknownSymbol, match=r"did you mean ABC\.SIM\?"):
        catalog.ticks("ABC.SMI")
    with pytest.raises(UnknownSymbol, match=r"did you mean ABC\.SIM\?"):
        catalog.describe("abc")
    with pytest.raises(UnknownSymbol, match="pass instrument"):
        catalog.write("trades", "XYZ.SIM", make("trades", 10))
    with pytest.raises(UnknownName, match="mbo, mbp, quotes, trades, bars"):
        catalog.write("ohlcv", SYMBOL, make("trades", 10))


def test_the_richest_level_is_chosen_and_poorer_ones_are_not_derived(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write("mbo", SYMBOL, make("mbo", 100), ABC)
    assert catalog.ticks(SYMBOL).level == "L3"
    with pytest.raises(NotSupported, match=r"ABC\.SIM: L3"):
        catalog.ticks(SYMBOL, level="L1")
    with pytest.raises(NotSupported, match="L3 or L2 or L1"):
        catalog.ticks(SYMBOL, level="L4")
    with pytest.raises(NotSupported, match=r"level L2 is not stored .*ABC\.SIM: L3"):
        catalog.ticks(SYMBOL, level="L2")
    catalog.write("trades", SYMBOL, make("trades", 100))
    catalog.write("quotes", SYMBOL, make("quotes", 100))
    assert [feed.schema for feed in catalog.ticks(SYMBOL, level="L1").feeds] == ["quotes", "trades"]
    assert [feed.schema for feed in catalog.ticks(SYMBOL).feeds] == ["mbo"]
    catalog.write("mbp", SYMBOL, make("mbp", 100))
    assert [feed.schema for feed in catalog.ticks(SYMBOL, level="L2").feeds] == ["mbp", "trades"]
    catalog.write("trades", "B/C 100%.SIM", make("trades", 100), Instrument("B/C 100%.SIM", "0.01", 1))
    with pytest.raises(NotSupported, match="different levels"):
        catalog.ticks([SYMBOL, "B/C 100%.SIM"])
    view = catalog.ticks(["B/C 100%.SIM", SYMBOL], level="L1")
    assert [feed.symbol for feed in view.feeds] == ["B/C 100%.SIM", SYMBOL, SYMBOL]
    assert catalog.symbols() == [SYMBOL, "B/C 100%.SIM"]


def test_other_tools_read_the_folder(tmp_path):
    columns = make("mbo", 5_000, gap_ns=60 * 10**9)
    symbol = "B/C 100%.SIM"
    catalog = Catalog(tmp_path)
    catalog.write("mbo", symbol, columns, Instrument(symbol, "0.01", 1))
    by_polars = pl.scan_parquet(tmp_path / "mbo").sort("date", "sequence").collect()
    assert by_polars["symbol"].unique().to_list() == [symbol]
    assert by_polars["action"].cast(pl.String).unique().sort().to_list() == [
        "add",
        "cancel",
        "clear",
        "fill",
        "modify",
        "trade",
    ]
    assert np.array_equal(by_polars["size"].to_numpy(), columns["size"])
    assert pq.read_table(tmp_path / "mbo").num_rows == 5_000
    glob = f"{tmp_path}/mbo/**/*.parquet"
    source = f"read_parquet('{glob}', hive_partitioning = true)"
    query = f"select count(*), sum(size), count(distinct date), any_value(symbol) from {source}"
    rows, total, days, name = duckdb.sql(query).fetchall()[0]
    assert (rows, total, name) == (5_000, columns["size"].sum(), symbol)
    assert days == by_polars["date"].n_unique() > 1


def test_a_day_is_replaced_as_a_whole_and_an_older_view_says_so(tmp_path):
    catalog = Catalog(tmp_path)
    old, new = make("trades", 300, seed=1), make("trades", 200, seed=2)
    catalog.write("trades", SYMBOL, old, ABC)
    view = catalog.ticks(SYMBOL)
    catalog.write("trades", SYMBOL, new)
    assert same(new, read(catalog.ticks(SYMBOL).feeds[0], None))
    assert len(list(tmp_path.glob("trades/*/*/*.parquet"))) == 1
    with pytest.raises(CatalogError, match="call ticks"):
        next(view.feeds[0].chunks(None))


def test_the_same_rows_give_the_same_file(tmp_path):
    names = []
    for folder in ("a", "b"):
        catalog = Catalog(tmp_path / folder)
        catalog.write("mbo", SYMBOL, make("mbo", 300), ABC)
        names += [path.name for path in (tmp_path / folder).glob("mbo/*/*/*.parquet")]
    assert names[0] == names[1]
    catalog.write("mbo", SYMBOL, make("mbo", 300), ABC)
    assert same(make("mbo", 300), read(catalog.ticks(SYMBOL).feeds[0], None))


def test_a_bad_row_leaves_the_catalog_as_it_was(tmp_path):
    catalog = Catalog(tmp_path)
    old = make("trades", 300)
    catalog.write("trades", SYMBOL, old, ABC)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    bad = make("trades", 300, seed=5, gap_ns=HOUR_NS)
    bad["price"][250] = 100.005
    bad["size"][260] = -1
    with pytest.raises(Exception, match="row 260: size is negative"):
        catalog.write("trades", SYMBOL, [take(bad, 0, 200), take(bad, 200, 300)])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    with pytest.raises(TimeOrder, match="rows, row 200"):
        catalog.write("trades", SYMBOL, [take(old, 100, 300), take(old, 0, 100)])
    quotes = make("quotes", 10)
    quotes["ask_price"][3] = 1_000.005
    with pytest.raises(OffTickPrice, match=r"row 3: ask_price 1000\.005"):
        catalog.write("quotes", SYMBOL, quotes)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_rules_for_orders_may_be_told_later(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 10, 0), ABC)
    rows = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    known = replace(ABC, price_increment={0: "0.01", 1000: "0.05"}, min_quantity=2, expiry="2030-01-18T21:00Z", calendar="XNYS")
    catalog.write_instruments([known])
    assert catalog.instruments() == {SYMBOL: known}
    assert catalog.ticks(SYMBOL).instruments == (known,)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == rows
    with pytest.raises(CatalogError, match="holds for the instrument's life"):
        catalog.write_instruments([replace(known, multiplier=2)])
    # Rows that come with what was known before take nothing away, and what they bring replaces.
    catalog.write("quotes", SYMBOL, make("quotes", 10, 0), replace(ABC, min_quantity=3))
    assert catalog.instruments() == {SYMBOL: replace(known, min_quantity=3)}
    catalog.write_instruments([ABC])
    assert catalog.instruments() == {SYMBOL: ABC}


def test_rows_are_screened_by_the_rules_that_are_stored(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write_instruments([replace(ABC, price_increment="0.05")])
    quotes = {"ts_event": [MONDAY_NS], "bid_price": [100.02], "bid_size": [1.0], "ask_price": [100.05], "ask_size": [1.0]}
    # Whether they come with no instrument or with one that states no rules.
    for instrument in (None, ABC):
        with pytest.raises(OffTickPrice, match=r"bid_price 100\.02 is not on the price_increment 0\.05"):
            catalog.write("quotes", SYMBOL, pl.DataFrame(quotes), instrument)
    assert catalog.symbols() == []
    # One that states a rule brings its own.
    catalog.write("quotes", SYMBOL, pl.DataFrame(quotes), replace(ABC, price_increment="0.01"))
    assert catalog.instruments()[SYMBOL].price_increment == replace(ABC, price_increment="0.01").price_increment


def test_a_catalog_of_an_earlier_release_is_read(tmp_path):
    fields = {"symbol": SYMBOL, "tick_size": "0.01", "lot_size": "1", "price_increment": None, "multiplier": "1",
              "currency": "USD", "calendar": "24/7"}  # fmt: skip
    (tmp_path / "instruments.json").write_bytes(seal({SYMBOL: fields}))
    assert Catalog(tmp_path).instruments() == {SYMBOL: Instrument(SYMBOL, "0.01", 1)}


def test_an_instrument_holds_for_life(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 10), ABC)
    finer = Instrument(SYMBOL, "0.001", 1)
    with pytest.raises(CatalogError, match="delete its rows"):
        catalog.write("quotes", SYMBOL, make("quotes", 10), finer)
    with pytest.raises(InvalidParameter, match="cannot be stored"):
        catalog.write("quotes", "OTHER", make("quotes", 10), finer)
    assert catalog.delete(SYMBOL) == 1
    catalog.write("quotes", SYMBOL, make("quotes", 10), finer)
    assert catalog.instruments() == {SYMBOL: finer}


def test_days_can_be_deleted(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 500, gap_ns=HOUR_NS), ABC)
    days = catalog.ls()["date"].to_list()
    assert catalog.delete(SYMBOL, "2026-01-06") == 1
    assert catalog.delete(SYMBOL, "2026-01-08", "2026-01-10") == 2
    left = [day for day in days if day.day not in (6, 8, 9)]
    assert catalog.ls()["date"].to_list() == left
    assert not list(tmp_path.glob("trades/*/date=2026-01-06"))
    with pytest.raises(NoData):
        catalog.ticks(SYMBOL, "2026-01-06")
    assert catalog.delete(SYMBOL) == len(left)
    assert catalog.symbols() == []
    with pytest.raises(UnknownSymbol):
        catalog.delete(SYMBOL)


def test_the_catalog_describes_itself(tmp_path):
    catalog = Catalog(tmp_path)
    assert catalog.ls().height == 0
    assert repr(catalog).endswith("0 symbols>")
    report = catalog.write("trades", SYMBOL, make("trades", 500, gap_ns=HOUR_NS), ABC)
    assert (report.rows_read, report.rows_written) == (500, 500)
    listing = catalog.ls()
    assert listing["rows"].sum() == 500
    described = catalog.describe(SYMBOL)
    assert described["schemas"]["trades"]["rows"] == 500
    assert described["schemas"]["trades"]["days"] == listing.height
    assert described["instrument"]["tick_size"] == "0.01"
    assert catalog.verify() == listing.height


def test_verify_reads_every_byte(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 500), ABC)
    path = next(tmp_path.glob("trades/*/*/*.parquet"))
    data = bytearray(path.read_bytes())
    data[1] ^= 1  # the magic at the start, which nothing reads
    path.write_bytes(data)
    assert read(catalog.ticks(SYMBOL).feeds[0], None)
    with pytest.raises(CorruptData, match="bytes are not those"):
        catalog.verify()


def test_a_view_travels_to_another_process_as_a_selection(tmp_path):
    columns = make("mbo", 20_000)
    catalog = Catalog(tmp_path)
    with small_groups(1_000):
        catalog.write("mbo", SYMBOL, columns, ABC)
    view = catalog.ticks(SYMBOL)
    packed = pickle.dumps(view)
    assert len(packed) < 20_000
    again = pickle.loads(packed)
    assert again.feeds[0].content_hash == view.feeds[0].content_hash
    assert same(columns, read(again.feeds[0], 777))


def test_all_kinds_of_rows_can_be_written(tmp_path):
    columns = make("trades", 300)
    sources = Catalog(tmp_path / "0")
    sources.write("trades", SYMBOL, columns, ABC)
    table = pq.read_table(next((tmp_path / "0").glob("trades/*/*/*.parquet")), partitioning=None)
    chunk = Chunk(
        "trades", {name: array for name, array in columns.items() if name != "venue_seq"} | {"sequence": np.arange(300)}, 300
    )
    frame = pl.DataFrame(table)
    kinds = [
        table,
        table.to_reader(max_chunksize=7),
        frame,
        frame.lazy(),
        frame.to_pandas(),
        [frame[:100], frame[100:]],
        chunk,
        [chunk],
    ]
    for number, data in enumerate(kinds, start=1):
        catalog = Catalog(tmp_path / str(number))
        catalog.write("trades", SYMBOL, data, ABC)
        assert same({**columns, "venue_seq": columns["venue_seq"]}, read(catalog.ticks(SYMBOL).feeds[0], None)), type(data)
    with pytest.raises(InvalidParameter, match="chunk of trades"):
        Catalog(tmp_path / "x").write("quotes", SYMBOL, chunk, ABC)
    with pytest.raises(NoData):
        Catalog(tmp_path / "x").write("trades", SYMBOL, frame[:0], ABC)
    assert Catalog(tmp_path / "x").symbols() == []


@pytest.mark.parametrize("rows", [0, -1])
def test_a_chunk_has_at_least_one_row(tmp_path, rows):
    catalog = Catalog(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 3), ABC)
    with pytest.raises(InvalidParameter, match="at least 1"):
        catalog.ticks(SYMBOL).feeds[0].chunks(rows)
