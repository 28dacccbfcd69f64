"""Bars in the catalog: one dataset for each spec, the same frames out as in, and nothing impossible stored."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cift.data.catalog import Catalog
from cift.data.times import iso
from cift.errors import (
    CatalogError,
    CorruptData,
    DataError,
    InvalidParameter,
    NoData,
    NotSupported,
    OffLotSize,
    TimeOrder,
    UnknownSymbol,
)
from tests.data.market import ABC, DAY_NS, HOUR_NS, MONDAY_NS, SYMBOL, QuickDisk, make

MINUTE_NS = 60 * 10**9
TIME = pl.Datetime("ns", "UTC")


def bars(rows: int, start_ns: int = MONDAY_NS, length_ns: int = MINUTE_NS, seed: int = 0) -> pl.DataFrame:
    """Bars that follow each other, some without a mean price or a count."""
    rng = np.random.default_rng(seed)
    cents = np.sort(rng.integers(9_900, 10_100, (4, rows)), axis=0)
    inner = rng.permuted(cents[1:3], axis=0)
    opened = start_ns + length_ns * np.arange(rows)
    return pl.DataFrame(
        {
            "ts_open": opened,
            "ts_event": opened + length_ns,
            "open": inner[0] / 100,
            "high": cents[3] / 100,
            "low": cents[0] / 100,
            "close": inner[1] / 100,
            "volume": rng.integers(0, 900, rows).astype(float),
            "count": pl.Series([None if n % 7 == 3 else n for n in range(rows)], dtype=pl.Int64),
            "vwap": pl.Series([None if n % 5 == 2 else float(inner[0][n]) / 100 for n in range(rows)], dtype=pl.Float64),
        }
    ).with_columns(pl.col("ts_open", "ts_event").cast(TIME))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog", disk=QuickDisk())


def test_bars_come_out_as_they_went_in_and_each_spec_stands_apart(catalog):
    minutes, hours = bars(3_000), bars(60, length_ns=HOUR_NS, seed=1)
    assert catalog.write("bars", SYMBOL, minutes, ABC, spec="60s").rows_written == 3_000
    catalog.write("bars", SYMBOL, hours, spec="1h")
    assert_frame_equal(catalog.bars(SYMBOL, "1m"), minutes)
    assert_frame_equal(catalog.bars(SYMBOL, "60m"), hours)
    day = catalog.bars(SYMBOL, "1m", "2026-01-06")
    assert_frame_equal(day, minutes.filter(pl.col("ts_open").dt.date() == pl.date(2026, 1, 6)))
    part = catalog.bars(SYMBOL, "1m", "2026-01-05T23:58", "2026-01-06T00:02")
    assert part["ts_open"].dt.strftime("%H:%M").to_list() == ["23:58", "23:59", "00:00", "00:01"]
    assert catalog.ls().group_by("schema", "spec").len().sort("spec").rows() == [("bars", "1h", 3), ("bars", "1m", 3)]
    assert set(catalog.describe(SYMBOL)["schemas"]) == {"bars/spec=1h", "bars/spec=1m"}
    assert catalog.describe(SYMBOL)["schemas"]["bars/spec=1m"]["rows"] == 3_000
    assert catalog.verify() == 6
    assert catalog.symbols() == [SYMBOL]


def test_any_reader_of_hive_folders_reads_them(catalog):
    catalog.write("bars", SYMBOL, bars(10), ABC, spec="1m")
    (file,) = catalog.path.glob("bars/spec=1m/symbol=ABC.SIM/date=2026-01-05/*.parquet")
    assert pl.read_parquet(file)["close"].to_list() == bars(10)["close"].to_list()


def test_sql_knows_them_by_spec(catalog):
    catalog.write("bars", SYMBOL, bars(100), ABC, spec="1m")
    catalog.write("bars", SYMBOL, bars(5, length_ns=HOUR_NS), spec="1h")
    catalog.write("trades", SYMBOL, make("trades", 10))
    found = catalog.sql("select spec, count(*) as bars from bars where symbol = ? group by spec order by spec", [SYMBOL])
    assert found.rows() == [("1h", 5), ("1m", 100)]


def test_bars_that_are_written_again_replace_those_of_their_time(catalog):
    catalog.write("bars", SYMBOL, bars(100), ABC, spec="1m")
    report = catalog.write("bars", SYMBOL, bars(40, seed=2), spec="1m")
    assert (report.rows_written, report.counts["kept_beside"]) == (40, 60)
    assert_frame_equal(catalog.bars(SYMBOL, "1m"), pl.concat([bars(40, seed=2), bars(100)[40:]]))
    assert catalog.delete(SYMBOL) == 1
    with pytest.raises(UnknownSymbol):
        catalog.bars(SYMBOL, "1m")


def test_days_are_written_one_by_one_in_any_order_and_lose_no_bar_at_midnight(catalog):
    hours = bars(72, length_ns=HOUR_NS)
    days = [hours[:24], hours[24:48], hours[48:]]
    for day in (days[1], days[0], days[2], days[0], days[1]):
        catalog.write("bars", SYMBOL, day, ABC, spec="1h")
    assert_frame_equal(catalog.bars(SYMBOL, "1h"), hours)
    assert_frame_equal(catalog.bars(SYMBOL, "1h", "2026-01-06"), days[1])


Span = tuple[int, int]
QUARTER_NS = HOUR_NS // 4


def of_spans(spans: list[Span], volume: float) -> pl.DataFrame:
    """Bars of some beginnings and ends; the volume tells of which writing they are."""
    none = pl.lit(None)
    return pl.DataFrame(
        {
            "ts_open": pl.Series([opened for opened, _ in spans], dtype=pl.Int64).cast(TIME),
            "ts_event": pl.Series([ended for _, ended in spans], dtype=pl.Int64).cast(TIME),
        }
    ).with_columns(
        open=10.0, high=10.0, low=10.0, close=10.0, volume=volume, count=none.cast(pl.Int64), vwap=none.cast(pl.Float64)
    )


def stays(bar: Span, new: list[Span]) -> bool:
    """Whether a stored bar is there after a writing, asked bar by bar."""
    opened, ended = bar
    if bar != new[0] and ended <= new[0][0]:
        return True
    if bar != new[-1] and opened >= new[-1][1]:
        return True
    if ended // DAY_NS in {end // DAY_NS for _, end in new}:
        return False
    return all(ended <= begin or opened >= end for begin, end in new)


@st.composite
def writings(draw: st.DrawFn) -> list[list[Span]]:
    """Bars that do not overlap each other, written one set after the other over some days: of any length, none too."""
    made = []
    for _ in range(draw(st.integers(2, 5))):
        at, spans = draw(st.integers(0, 600)), []
        for pause, lasts in draw(st.lists(st.tuples(STEPS, STEPS), min_size=1, max_size=12)):
            spans.append((MONDAY_NS + (at + pause) * QUARTER_NS, MONDAY_NS + (at + pause + lasts) * QUARTER_NS))
            at += pause + lasts
        made.append(spans)
    return made


STEPS = st.one_of(st.integers(0, 3), st.integers(0, 30), st.integers(90, 300))


@given(writings(), st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_written_bars_take_the_place_of_what_they_overlap_and_of_nothing_else(tmp_path_factory, made, batch):
    catalog = Catalog(tmp_path_factory.mktemp("bars"), disk=QuickDisk())
    model: list[tuple[int, int, float]] = []
    for number, new in enumerate(made):
        frame = of_spans(new, float(number))
        pieces = [frame[at : at + batch] for at in range(0, frame.height, batch)]
        report = catalog.write("bars", SYMBOL, pieces, ABC, spec="tick-5")
        model = [bar for bar in model if stays(bar[:2], new)]
        front, behind = [bar for bar in model if bar[1] <= new[0][0]], [bar for bar in model if bar[0] >= new[-1][1]]
        inner = [bar for bar in model if bar not in front and bar not in behind]
        model = [*front, *sorted([*inner, *((*span, float(number)) for span in new)]), *behind]
        stored = catalog.bars(SYMBOL, "tick-5")
        assert stored.select(pl.col("ts_open", "ts_event").to_physical(), "volume").rows() == model
        assert all(before[1] <= after[0] for before, after in pairwise(model))
        assert report.rows_written == len(new)
        assert catalog.days(DATASET, SYMBOL) == sorted({str(day) for day in stored["ts_event"].dt.date()})
        assert {path.parent.name[5:] for path in catalog.path.rglob("part-*.parquet")} == set(catalog.days(DATASET, SYMBOL))
    assert catalog.verify() == len(catalog.days(DATASET, SYMBOL))


DATASET = "bars/spec=tick-5"


@given(writings(), st.integers(0, 900), st.one_of(st.none(), st.integers(1, 400)))
@settings(max_examples=60, deadline=None)
def test_a_period_means_the_same_bars_in_a_frame_in_a_file_and_in_a_hash(tmp_path_factory, made, first, lasts):
    """Those that began within it. A file of them, written to another catalog, has the hash that was told."""
    folder = tmp_path_factory.mktemp("bars")
    catalog = Catalog(folder / "one", disk=QuickDisk())
    for number, new in enumerate(made):
        catalog.write("bars", SYMBOL, of_spans(new, float(number)), ABC, spec="tick-5")
    start_ns = MONDAY_NS + first * QUARTER_NS
    end_ns = None if lasts is None else start_ns + lasts * QUARTER_NS
    period = iso(start_ns), None if end_ns is None else iso(end_ns)
    every = catalog.bars(SYMBOL, "tick-5")
    begun = every["ts_open"].to_physical()
    expected = every.filter((begun >= start_ns) & ((begun < end_ns) if end_ns is not None else True))
    if expected.is_empty():
        for ask in (lambda: catalog.export(folder / "x.parquet", start=period[0], end=period[1]),
                    lambda: catalog.content_hash(SYMBOL, *period)):  # fmt: skip
            with pytest.raises(NoData):
                ask()
        assert not (folder / "x.parquet").exists()
        return
    report = catalog.export(folder / "x.parquet", start=period[0], end=period[1], schema="bars")
    assert_frame_equal(pl.read_parquet(folder / "x.parquet").select(expected.columns), expected, check_dtypes=False)
    copy = Catalog(folder / "two", disk=QuickDisk())
    copy.write("bars", SYMBOL, folder / "x.parquet", ABC, spec="tick-5")
    assert copy.describe(SYMBOL)["schemas"][DATASET]["content_hash"] == report.content_hash
    assert catalog.content_hash(SYMBOL, *period) == copy.content_hash(SYMBOL) == {DATASET: report.content_hash}
    # The days that hold them, as another store takes them.
    days = [reader.manifest.date for reader in catalog.partitions(SYMBOL, *period)]
    assert {str(day) for day in expected["ts_event"].dt.date()} <= set(days)


def test_bars_of_one_print_replace_themselves(catalog):
    """They begin and end in one moment, so what is written again begins where the stored ones end."""
    prints = [(MONDAY_NS + at, MONDAY_NS + at) for at in (0, 0, 5, 9, 9)]
    for _ in range(2):
        catalog.write("bars", SYMBOL, of_spans(prints, 1.0), ABC, spec="tick-1")
        assert catalog.bars(SYMBOL, "tick-1").height == 5


def test_a_day_that_another_writes_while_a_bar_passes_over_it_is_not_lost(catalog, monkeypatch):
    catalog.write("bars", SYMBOL, of_spans([(MONDAY_NS, MONDAY_NS + 9)], 1.0), ABC, spec="tick-5")
    commit, tuesday = Catalog.commit, MONDAY_NS + DAY_NS

    def slow(self, *given, **named):
        monkeypatch.setattr(Catalog, "commit", commit)
        Catalog(catalog.path).write("bars", SYMBOL, of_spans([(tuesday, tuesday + 9)], 2.0), spec="tick-5")
        return commit(self, *given, **named)

    monkeypatch.setattr(Catalog, "commit", slow)
    with pytest.raises(CatalogError, match="2026-01-06 was written by another"):
        catalog.write("bars", SYMBOL, of_spans([(MONDAY_NS + 20, tuesday + DAY_NS + 5)], 3.0), spec="tick-5")
    assert catalog.bars(SYMBOL, "tick-5")["volume"].to_list() == [1.0, 2.0]


def test_what_is_added_begins_where_the_stored_bars_end(catalog):
    hours = bars(48, length_ns=HOUR_NS)
    catalog.write("bars", SYMBOL, hours, ABC, spec="1h")
    end = MONDAY_NS + 48 * HOUR_NS
    with pytest.raises(TimeOrder, match="stored up to 2026-01-07"):
        catalog.append("bars", SYMBOL, of_spans([(end - 1, end + HOUR_NS)], 3.0), spec="1h")
    assert_frame_equal(catalog.bars(SYMBOL, "1h"), hours)
    # A bar of two days: that of its beginning stays as it is.
    catalog.append("bars", SYMBOL, of_spans([(end, end + 2 * DAY_NS)], 3.0), spec="1h")
    assert catalog.bars(SYMBOL, "1h")["volume"].to_list() == [*hours["volume"], 3.0]


def test_bars_made_of_records_are_stored_as_they_are(catalog):
    columns = make("trades", 5_000, gap_ns=10**9)
    catalog.write("trades", SYMBOL, columns, ABC)
    made = catalog.ticks(SYMBOL).bars("1m")
    catalog.write("bars", SYMBOL, made, spec="1m")
    assert_frame_equal(catalog.bars(SYMBOL, "1m"), made)


def test_what_is_not_stored_says_what_is(catalog):
    catalog.write("bars", SYMBOL, bars(10), ABC, spec="1m")
    with pytest.raises(NoData, match=r"no stored bars of 5m, but of 1m$"):
        catalog.bars(SYMBOL, "5m")
    with pytest.raises(NoData, match="no bars/spec=1m from 2027"):
        catalog.bars(SYMBOL, "1m", "2027-01-01")
    with pytest.raises(UnknownSymbol, match=r"did you mean ABC\.SIM"):
        catalog.bars("ABC.SIN", "1m")
    catalog.write("trades", "XYZ.SIM", make("trades", 10), type(ABC)("XYZ.SIM", tick_size="0.01", lot_size=1))
    with pytest.raises(NoData, match=r"`ticks\(\.\.\.\)\.bars\(spec\)` makes them"):
        catalog.bars("XYZ.SIM", "1m")
    with pytest.raises(InvalidParameter, match="pass spec="):
        catalog.write("bars", SYMBOL, bars(10))
    with pytest.raises(InvalidParameter, match="spec= is for bars, not for trades"):
        catalog.write("trades", SYMBOL, make("trades", 10), spec="1m")
    with pytest.raises(InvalidParameter, match="bars of 'tock-5' are not known"):
        catalog.write("bars", SYMBOL, bars(10), spec="tock-5")


def wrong(column: str, value: object) -> pl.DataFrame:
    """Ten bars, the sixth of which has another value in one column."""
    frame = bars(10)
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 5).then(pl.lit(value).cast(frame.schema[column])).otherwise(column).alias(column)
    )


@pytest.mark.parametrize(
    ("frame", "kind", "told"),
    [
        (wrong("high", 1.0), DataError, "row 5: the high is below the low"),
        (wrong("open", 90.0), DataError, "open or close lies outside"),
        (wrong("close", 150.0), DataError, "open or close lies outside"),
        (wrong("close", float("nan")), DataError, "close is not a number"),
        (wrong("open", float("inf")), DataError, "open is infinite"),
        (wrong("low", -1.0), DataError, "low is negative"),
        (wrong("low", 0.0), DataError, "low is zero"),
        (wrong("volume", -3.0), DataError, "volume is negative"),
        (wrong("count", -3), DataError, "count is negative"),
        (wrong("vwap", 400.0), DataError, "vwap lies outside low and high"),
        (wrong("volume", 0.5), OffLotSize, "volume 0.5 is not a whole number of lots"),
        (wrong("ts_open", MONDAY_NS + DAY_NS), DataError, "it ends before it begins"),
        (wrong("ts_open", 0), DataError, "ts_open is before 1980"),
        (wrong("ts_event", MONDAY_NS), TimeOrder, "goes back in time"),
    ],
)
def test_a_bar_that_cannot_be_is_refused_with_its_row(catalog, frame, kind, told):
    with pytest.raises(kind, match=told):
        catalog.write("bars", SYMBOL, frame, ABC, spec="1m")
    assert catalog.symbols() == []


def test_an_impossible_bar_may_be_set_aside(catalog):
    report = catalog.write("bars", SYMBOL, wrong("high", 1.0), ABC, spec="1m", policies={"bad_bar": "quarantine"})
    assert (report.rows_read, report.rows_written, report.counts["bad_bar"]) == (10, 9, 1)
    assert report.quarantined["row"].to_list() == [5]


def test_prices_between_ticks_are_counted(catalog):
    frame = bars(10).with_columns(open="low", close="low", low=pl.col("low") - 0.005, vwap=pl.lit(None, pl.Float64))
    assert catalog.write("bars", SYMBOL, frame, ABC, spec="1m").counts["off_grid_prints"] == 10


def test_a_flipped_bit_is_seen(catalog):
    catalog.write("bars", SYMBOL, bars(1_000), ABC, spec="1m")
    (file,) = catalog.path.glob("bars/spec=1m/symbol=*/date=2026-01-05/*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 8
    file.write_bytes(data)
    with pytest.raises(CorruptData):
        catalog.bars(SYMBOL, "1m")


def test_bars_are_no_view_to_run(catalog):
    catalog.write("bars", SYMBOL, bars(10), ABC, spec="1m")
    with pytest.raises(NoData, match=r"ABC\.SIM is stored as bars only"):
        catalog.ticks(SYMBOL)


def test_bars_are_exported_by_what_ended_them(catalog, tmp_path):
    minutes = bars(100)
    catalog.write("bars", SYMBOL, minutes, ABC, spec="1m")
    report = catalog.export(tmp_path / "minutes.parquet", schema="bars")
    assert (report.schema, report.rows) == ("bars", 100)
    catalog.write("bars", SYMBOL, bars(5, length_ns=HOUR_NS), spec="1h")
    with pytest.raises(InvalidParameter, match="has bars/1h, bars/1m, and a file holds one"):
        catalog.export(tmp_path / "bars.csv", schema="bars")
    with pytest.raises(NoData, match="has no bars/5m in this period; it has bars/1h, bars/1m"):
        catalog.export(tmp_path / "bars.csv", schema="bars/5m")
    catalog.export(tmp_path / "bars.csv", schema="bars/1m")
    again = pl.read_csv(tmp_path / "bars.csv")
    assert again["close"].to_list() == minutes["close"].to_list()
    assert pl.read_parquet(tmp_path / "minutes.parquet")["count"].to_list() == minutes["count"].to_list()
    with pytest.raises(NotSupported, match="bars has no form"):
        catalog.export(tmp_path / "bars.dbn", schema="bars/1m")
