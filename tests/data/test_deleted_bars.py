"""Bars that are deleted for a period are those that are shown for it, also across midnights."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cift.data.catalog import Catalog
from cift.data.times import iso
from cift.errors import CatalogError, CorruptData, NoData, UnknownSymbol
from tests.data.market import ABC, DAY_NS, HOUR_NS, MONDAY_NS, SYMBOL, QuickDisk

QUARTER_NS = HOUR_NS // 4


def frame(spans: list[tuple[int, int]]) -> pl.DataFrame:
    """Bars of some beginnings and ends; the volume tells which is which."""
    time = pl.Datetime("ns", "UTC")
    return pl.DataFrame(
        {
            "ts_open": pl.Series([opened for opened, _ in spans], dtype=pl.Int64).cast(time),
            "ts_event": pl.Series([ended for _, ended in spans], dtype=pl.Int64).cast(time),
            **{name: [10.0] * len(spans) for name in ("open", "high", "low", "close")},
            "volume": [float(n) for n in range(len(spans))],
            "count": pl.Series([None] * len(spans), dtype=pl.Int64),
            "vwap": pl.Series([None] * len(spans), dtype=pl.Float64),
        }
    )


def shown(catalog: Catalog, *period: object) -> list[float]:
    try:
        return catalog.bars(SYMBOL, "tick-5", *period)["volume"].to_list()
    except (NoData, UnknownSymbol):
        return []


def hours(count: int, start_ns: int = MONDAY_NS) -> list[tuple[int, int]]:
    return [(start_ns + n * HOUR_NS, start_ns + (n + 1) * HOUR_NS) for n in range(count)]


@st.composite
def bars_and_period(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int, int | None]:
    """Bars of any length, none too, some with a pause between them, some that overlap; and a period."""
    steps = st.integers(0, 120)
    opened = ended = 0
    spans = []
    for step, length in draw(st.lists(st.tuples(steps, steps), min_size=1, max_size=25)):
        opened = opened + step
        ended = max(ended, opened + length)
        spans.append((MONDAY_NS + opened * QUARTER_NS, MONDAY_NS + ended * QUARTER_NS))
    ends = [time for span in spans for time in span]
    moments = st.one_of(st.sampled_from(ends), st.integers(0, 1_000).map(lambda n: MONDAY_NS + n * QUARTER_NS))
    start = draw(moments)
    end = draw(st.one_of(st.none(), moments.filter(lambda end: end > start)))
    return spans, start, end


@given(bars_and_period())
@settings(max_examples=60, deadline=None)
def test_what_is_shown_for_a_period_is_what_is_deleted_for_it(tmp_path_factory, drawn):
    spans, start, end = drawn
    catalog = Catalog(tmp_path_factory.mktemp("bars"), disk=QuickDisk())
    catalog.write("bars", SYMBOL, frame(spans), ABC, spec="tick-5")
    inside = [start <= opened and (end is None or opened < end) for opened, _ in spans]
    period = (iso(start), None if end is None else iso(end))
    assert shown(catalog, *period) == [float(n) for n, gone in enumerate(inside) if gone]
    touched = catalog.delete(SYMBOL, *period)
    days = {ended // DAY_NS for (_, ended), gone in zip(spans, inside, strict=True) if gone}
    assert touched == len(days)
    assert shown(catalog) == [float(n) for n, gone in enumerate(inside) if not gone]
    assert shown(catalog, *period) == []
    assert catalog.verify() == len({ended // DAY_NS for (_, ended), gone in zip(spans, inside, strict=True) if not gone})


def test_a_day_goes_with_its_last_bar_and_not_with_that_of_the_day_before(tmp_path):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("bars", SYMBOL, frame(hours(72)), ABC, spec="1h")
    assert catalog.delete(SYMBOL, "2026-01-06") == 2
    left = [*hours(72)[:24], *hours(72)[48:]]
    assert catalog.bars(SYMBOL, "1h")["ts_open"].to_physical().to_list() == [opened for opened, _ in left]
    catalog.write("bars", SYMBOL, frame(hours(72))[24:48], spec="1h")
    assert_frame_equal(catalog.bars(SYMBOL, "1h"), frame(hours(72)))


@pytest.fixture
def damaged(tmp_path):
    """Four days of hours; the file of the third is damaged, in which those of Tuesday's last hour and of Wednesday lie."""
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("bars", SYMBOL, frame(hours(96)), ABC, spec="1h")
    (path,) = tmp_path.glob("bars/spec=1h/*/date=2026-01-07/*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    return catalog


def test_a_damaged_day_of_bars_goes_with_the_bars_in_front_of_it(damaged):
    for period in (("2026-01-07",), ("2026-01-06T22:00", "2026-01-07T12:00")):
        with pytest.raises(CorruptData):
            damaged.delete(SYMBOL, *period)
    assert damaged.delete(SYMBOL, "2026-01-06T22:00", "2026-01-08") == 3
    left = [*hours(96)[:46], *hours(96)[72:]]
    assert damaged.bars(SYMBOL, "1h")["ts_open"].to_physical().to_list() == [opened for opened, _ in left]


def test_what_is_behind_a_period_is_not_opened(damaged):
    assert damaged.delete(SYMBOL, "2026-01-05") == 2
    assert damaged.delete(SYMBOL, None, "2026-01-08") == 3
    assert damaged.bars(SYMBOL, "1h")["ts_open"].to_physical().to_list() == [opened for opened, _ in hours(96)[72:]]
    assert damaged.delete(SYMBOL) == 2


def test_bars_that_came_while_a_day_was_cut_are_not_deleted(tmp_path, monkeypatch):
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("bars", SYMBOL, frame(hours(12)), ABC, spec="1h")
    commit = Catalog.commit

    def slow(self, *given, **named):
        monkeypatch.setattr(Catalog, "commit", commit)
        Catalog(tmp_path).write("bars", SYMBOL, frame(hours(14))[12:], spec="1h")
        return commit(self, *given, **named)

    monkeypatch.setattr(Catalog, "commit", slow)
    with pytest.raises(CatalogError, match="written by another"):
        catalog.delete(SYMBOL, "2026-01-05T06:00", "2026-01-05T09:00")
    assert catalog.bars(SYMBOL, "1h").height == 14
