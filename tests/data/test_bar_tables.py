"""Tables of bars: vendors' headers, the one stamp that they have, and days of exchanges."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.catalog import Catalog
from cift.data.importers import import_csv, import_parquet
from cift.data.importers.bar_tables import Stamps
from cift.domain.bar_spec import BarSpec
from cift.domain.calendar import sessions
from cift.errors import DataError, InvalidParameter, OffLotSize, UnknownName
from tests.data.market import DAY_NS, HOUR_NS, MONDAY_NS, QuickDisk

ABC = "ABC.XNYS"
MINUTE_NS = 60 * 10**9
YAHOO = """\
Date,Open,High,Low,Close,Adj Close,Volume
2026-01-05,100.5,101.25,100,101,50.5,1000
2026-01-06,101,102,100.75,101.5,50.75,2000
"""
ALPACA = """\
timestamp,open,high,low,close,volume,trade_count,vwap
2026-01-05T14:30:00Z,100.5,101.25,100,101,1000,12,100.75
2026-01-05T14:31:00Z,101,102,100.75,101.5,2000,,
"""


def imported(folder: Path, text: str, spec: str = "1d", name: str = "x.csv", **options):
    (folder / name).write_text(text)
    catalog = Catalog(folder / "catalog", disk=QuickDisk())
    return catalog, import_csv(catalog, folder / name, schema="bars", spec=spec, symbol=ABC, **options)


def spans(catalog: Catalog, spec: str = "1d") -> list[tuple[str, str]]:
    """Beginning and end of each bar, UTC."""
    frame = catalog.bars(ABC, spec)
    return [(f"{a:%m-%d %H:%M}", f"{b:%m-%d %H:%M}") for a, b in frame.select("ts_open", "ts_event").iter_rows()]


# ---------------------------------------------------------------------- names


def test_daily_bars_as_yahoo_and_stooq_head_them(tmp_path):
    catalog, report = imported(tmp_path, YAHOO)
    assert spans(catalog) == [("01-05 00:00", "01-06 00:00"), ("01-06 00:00", "01-07 00:00")]
    assert catalog.bars(ABC, "1d").row(0)[2:] == (100.5, 101.25, 100.0, 101.0, 1000.0, None, None)
    assert report.notes[0].startswith(
        "each stamp is taken as the beginning of its bar; where it is the end, pass stamp='close'"
    )
    assert (report.rows_read, report.rows_written) == (2, 2)


def test_minutes_as_alpaca_heads_them_with_count_and_mean_price(tmp_path):
    catalog, _ = imported(tmp_path, ALPACA, "1m")
    assert spans(catalog, "1m") == [("01-05 14:30", "01-05 14:31"), ("01-05 14:31", "01-05 14:32")]
    assert catalog.bars(ABC, "60s").select("volume", "count", "vwap").rows() == [(1000.0, 12, 100.75), (2000.0, None, None)]


def test_short_names_and_a_file_of_parquet(tmp_path):
    frame = pl.DataFrame({"t": [MONDAY_NS // 1000], "o": [1.5], "h": [1.75], "l": [1.25], "c": [1.5], "v": [0.125], "n": [3]})
    frame.write_parquet(tmp_path / "x.parquet")
    catalog = Catalog(tmp_path / "catalog")
    import_parquet(catalog, tmp_path / "x.parquet", schema="bars", spec="1h", symbol=ABC, time_unit="us")
    assert catalog.bars(ABC, "1h").row(0)[2:] == (1.5, 1.75, 1.25, 1.5, 0.125, 3, None)


def test_columns_of_other_names(tmp_path):
    text = "when;first;top;bottom;last;amount\n2026-01-05;1;2;1;2;7\n"
    columns = {"ts_open": "when", "open": "first", "high": "top", "low": "bottom", "close": "last", "volume": "amount"}
    for one_way in (columns, {theirs: ours for ours, theirs in columns.items()}):
        catalog, _ = imported(tmp_path, text, columns=one_way, delimiter=";")
        assert catalog.bars(ABC, "1d")["volume"].to_list() == [7]


def test_our_own_export_comes_back_as_it_was(tmp_path):
    catalog, _ = imported(tmp_path, ALPACA, "1m")
    before = catalog.bars(ABC, "1m")
    before.write_parquet(tmp_path / "x.parquet")
    other = Catalog(tmp_path / "other")
    report = import_parquet(other, tmp_path / "x.parquet", schema="bars", spec="1m", symbol=ABC, stamp="close")
    assert other.bars(ABC, "1m").equals(before)
    assert not any("stamp" in note for note in report.notes)


def test_bars_without_a_volume_have_none(tmp_path):
    catalog, report = imported(tmp_path, "Date,Open,High,Low,Close\n2026-01-05,1,2,1,2\n")
    assert catalog.bars(ABC, "1d")["volume"].to_list() == [0]
    assert "x.csv states no volume: each bar has 0" in report.notes


# ---------------------------------------------------------------------- stamps


@given(
    starts=st.lists(st.integers(0, 10_000), min_size=1, max_size=20, unique=True).map(sorted),
    spec=st.sampled_from(["1s", "90s", "1m", "5m", "1h", "1d", "7d"]),
)
def test_whichever_end_a_table_stamps_the_bars_are_the_same(starts, spec):
    """A vendor stamps the same bars with their beginning or their end; told which, they come out equal, wrongly told never early."""
    length_ns = int(BarSpec.parse(spec).threshold)
    opened = MONDAY_NS + length_ns * np.array(starts)

    def column(ns):
        return pa.chunked_array([pa.array(ns).cast(pa.timestamp("ns", tz="UTC"))])

    ends = {"open": column(opened), "close": column(opened + length_ns)}
    right = {stamp: Stamps(BarSpec.parse(spec), stamp).both(column) for stamp, column in ends.items()}
    for both in right.values():
        assert np.array_equal(np.asarray(both[0].cast(pa.int64())), opened)
        assert np.array_equal(np.asarray(both[1].cast(pa.int64())), opened + length_ns)
    assert (np.asarray(Stamps(BarSpec.parse(spec)).both(ends["close"])[1].cast(pa.int64())) > opened).all()


def test_a_stamp_at_the_end_is_told(tmp_path):
    catalog, report = imported(tmp_path, ALPACA, "1m", stamp="close")
    assert spans(catalog, "1m") == [("01-05 14:29", "01-05 14:30"), ("01-05 14:30", "01-05 14:31")]
    assert report.notes[0] == "each stamp is taken as the end of its bar, as stamp='close' says"


def test_bars_of_no_fixed_length_need_both_times(tmp_path):
    with pytest.raises(InvalidParameter, match=r"tick-500 have no fixed length.*'ts_open'"):
        imported(tmp_path, ALPACA, "tick-500")
    text = "began,ended,open,high,low,close,volume\n2026-01-05T01:00:00,2026-01-05T01:00:07,1,1,1,1,5\n"
    catalog, _ = imported(tmp_path, text, "tick-500", columns={"ts_open": "began", "ts_event": "ended"})
    assert catalog.bars(ABC, "tick-500").row(0)[1] == dt.datetime(2026, 1, 5, 1, 0, 7, tzinfo=dt.UTC)


# ---------------------------------------------------------------------- days of exchanges


@pytest.mark.parametrize(
    ("stamps", "options"),
    [
        (("2026-01-05", "2026-01-06"), {}),
        (("2026-01-05 00:00:00-05:00", "2026-01-06 00:00:00-05:00"), {}),
        (("2026-01-05T05:00:00Z", "2026-01-06T05:00:00Z"), {}),
        (("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"), {}),
        (("2026-01-05 16:00", "2026-01-06 16:00"), {"timezone": "America/New_York", "stamp": "close"}),
        (("2026-01-05", "2026-01-06"), {"timezone": "America/New_York"}),
        (("2026-01-05", "2026-01-06"), {"timezone": "Europe/Berlin"}),
    ],
)
def test_a_day_of_an_exchange_is_the_session_of_its_date(tmp_path, stamps, options):
    text = "Date,Open,High,Low,Close,Volume\n" + "".join(f"{stamp},1,2,1,2,5\n" for stamp in stamps)
    catalog, report = imported(tmp_path, text, calendar="XNYS", **options)
    assert spans(catalog) == [("01-05 14:30", "01-05 21:00"), ("01-06 14:30", "01-06 21:00")]
    assert report.notes[0] == "each bar is that of the session of its date, by the calendar XNYS"


def test_a_session_that_begins_the_evening_before_has_the_date_of_its_end(tmp_path):
    catalog, _ = imported(tmp_path, YAHOO, calendar="CMES")
    assert spans(catalog) == [("01-04 23:00", "01-05 23:00"), ("01-05 23:00", "01-06 23:00")]


def test_every_day_of_a_year_is_its_session(tmp_path):
    """Days of a whole year, through half days and the changes of the clock, against the calendar asked for all its sessions."""
    held = sessions("XNYS", 1_735_689_600 * 10**9, 1_767_225_600 * 10**9)
    dates = [dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).date() for ns in held.closes_ns.tolist()]
    text = "Date,Open,High,Low,Close,Volume\n" + "".join(f"{date},1,2,1,2,5\n" for date in dates)
    catalog, _ = imported(tmp_path, text, calendar="XNYS")
    frame = catalog.bars(ABC, "1d")
    assert frame["ts_open"].to_physical().to_list() == held.opens_ns.tolist()
    assert frame["ts_event"].to_physical().to_list() == held.closes_ns.tolist()
    assert len(dates) == 250


def test_a_date_without_a_session_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"rows 2 to 2: XNYS has no session on 2026-01-04; pass calendar='24/7'"):
        imported(tmp_path, "Date,Open,High,Low,Close,Volume\n2026-01-04,1,2,1,2,5\n", calendar="XNYS")
    with pytest.raises(DataError, match="does not reach"):
        imported(tmp_path, "Date,Open,High,Low,Close,Volume\n2095-01-04,1,2,1,2,5\n", calendar="XKRX")


def test_what_the_catalog_knows_of_the_calendar_counts(tmp_path):
    catalog, _ = imported(tmp_path, YAHOO, calendar="XNYS")
    later = YAHOO.replace("2026-01-0", "2026-01-1").replace("2026-01-15", "2026-01-14").replace("2026-01-16", "2026-01-15")
    imported(tmp_path, later)
    assert spans(catalog)[2:] == [("01-14 14:30", "01-14 21:00"), ("01-15 14:30", "01-15 21:00")]


# ---------------------------------------------------------------------- among what is stored


def test_files_of_days_join(tmp_path):
    for day in (1, 0):
        text = "time,open,high,low,close,volume\n" + "".join(
            f"{MONDAY_NS + day * DAY_NS + n * HOUR_NS},1,1,1,1,{24 * day + n + 1}\n" for n in range(24)
        )
        catalog, report = imported(tmp_path, text, "1h")
        assert report.rows_written == 24
    assert catalog.bars(ABC, "1h")["volume"].to_list() == list(range(1, 49))
    assert report.counts["kept_beside"] == 23


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "options", "error", "what"),
    [
        (YAHOO, {"spec": None}, InvalidParameter, "pass spec= such as '1m'"),
        (YAHOO, {"spec": "1x"}, InvalidParameter, "bars of '1x' are not known"),
        (YAHOO, {"stamp": "middle"}, InvalidParameter, "'open' or 'close'"),
        (YAHOO, {"columns": {"price": "Open"}}, UnknownName, "columns= names 'price'; bars have ts_open"),
        (YAHOO, {"columns": {"open": "First"}}, UnknownName, "'First', which is not among"),
        (YAHOO, {"size": 3}, InvalidParameter, "bars without a volume; x.csv has 'Volume'"),
        (YAHOO, {"lot_size": 3000}, OffLotSize, "row 2: volume 1000.0"),
        (YAHOO.replace("101.25", "100.25"), {}, DataError, r"x\.csv, row 2: open or close lies outside"),
        (YAHOO.replace("Close,Adj", "Last,Adj"), {}, DataError, "column 'close' missing; found 'Date'"),
        (YAHOO.replace("2026-01-06", ""), {}, DataError, "a bar has no stamp"),
        ("Date,Time,Open,High,Low,Close\n2026-01-05,09:30,1,1,1,1\n", {}, DataError, "'Date' and 'Time' are a stamp in two"),
        (YAHOO.replace("100.5,", "100.123456789012,"), {}, DataError, "pass tick_size="),
    ],
)
def test_what_cannot_be_read_is_a_typed_error(tmp_path, text, options, error, what):
    with pytest.raises(error, match=what):
        imported(tmp_path, text, **options)
    assert Catalog(tmp_path / "catalog").symbols() == []


def test_a_spec_is_for_bars(tmp_path):
    (tmp_path / "x.csv").write_text("ts,price,size\n2026-01-05,1,1\n")
    with pytest.raises(InvalidParameter, match="spec= is for bars, not for trades"):
        import_csv(Catalog(tmp_path), tmp_path / "x.csv", schema="trades", spec="1m", symbol=ABC)


# ---------------------------------------------------------------------- levels


def test_a_table_of_levels(tmp_path):
    (tmp_path / "x.csv").write_text(
        "ts,action,side,price,size\n2026-01-05,clear,,,0\n2026-01-05,set,bid,10.25,5\n2026-01-05,set,sell,10.5,7\n"
        "2026-01-05T00:00:01,set,B,10.25,0\n"
    )
    catalog = Catalog(tmp_path / "catalog")
    report = import_csv(catalog, tmp_path / "x.csv", schema="mbp", symbol=ABC)
    frame = pl.scan_parquet(catalog.path / "mbp").sort("ts_event", "sequence").collect()
    assert frame.select(pl.col("action", "side").cast(pl.String), "price", "size").rows() == [
        ("clear", "none", None, 0),
        ("set", "bid", 10.25, 5),
        ("set", "ask", 10.5, 7),
        ("set", "bid", 10.25, 0),
    ]
    assert report.rows_written == 4
    assert catalog.ticks(ABC).level == "L2"
