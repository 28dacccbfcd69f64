from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.times import DAY_NS, datetime_ns, iso, session_intervals, time_ns, time_range
from cift.errors import InvalidParameter

NEW_YORK = ("09:30", "16:00", "America/New_York")


def ns(text: str) -> int:
    return time_ns(text, "time")[0]


@given(value=st.integers(-(2**60), 2**62))
def test_a_time_survives_its_text(value):
    assert ns(iso(value)) == value


@given(moment=st.datetimes(timezones=st.sampled_from([dt.UTC, ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")])))
def test_an_aware_datetime_is_an_instant(moment):
    assert datetime_ns(moment) == datetime_ns(moment.astimezone(dt.UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05", 1_767_571_200_000_000_000),
        ("2026-01-05T00:00:00.000000001", 1_767_571_200_000_000_001),
        ("2026-01-05 01:00:00.5+01:00", 1_767_571_200_500_000_000),
        ("2026-01-05T00:00Z", 1_767_571_200_000_000_000),
    ],
)
def test_texts_are_read_to_the_nanosecond(text, expected):
    assert ns(text) == expected


def test_a_lone_date_is_that_day_and_the_end_is_excluded():
    assert time_range("2026-01-05", None) == (ns("2026-01-05"), ns("2026-01-06"))
    assert time_range("2026-01-05T00:00", None) == (ns("2026-01-05"), None)
    assert time_range(None, "2026-01-06") == (None, ns("2026-01-06"))
    assert time_range(None, None) == (None, None)
    with pytest.raises(InvalidParameter, match="later than start"):
        time_range("2026-01-06", "2026-01-06")


def test_a_session_follows_the_clocks_of_its_zone():
    # New York puts its clocks forward on 8 March 2026.
    found = session_intervals(NEW_YORK, ns("2026-03-07"), ns("2026-03-09"))
    assert [iso(start)[:16] for start, _ in found] == ["2026-03-07T14:30", "2026-03-08T13:30"]
    assert {end - start for start, end in found} == {int(6.5 * 3_600) * 10**9}


def test_a_session_may_span_midnight():
    found = session_intervals(("18:00", "17:00", "America/Chicago"), ns("2026-01-05"), ns("2026-01-06"))
    assert [(iso(start)[:16], iso(end)[:16]) for start, end in found] == [
        ("2026-01-05T00:00", "2026-01-05T23:00"),
    ]
    found = session_intervals(("22:00", "02:00", "UTC"), ns("2026-01-05"), ns("2026-01-06"))
    assert [(iso(start)[:16], iso(end)[:16]) for start, end in found] == [
        ("2026-01-05T00:00", "2026-01-05T02:00"),
        ("2026-01-05T22:00", "2026-01-06T00:00"),
    ]


@given(start=st.integers(0, 10**18), length=st.integers(1, 20 * DAY_NS), opens=st.times(), closes=st.times())
def test_sessions_lie_in_order_within_the_range(start, length, opens, closes):
    session = (opens.isoformat(), closes.isoformat(), "Europe/London")
    found = session_intervals(session, start, start + length)
    edges = [edge for interval in found for edge in interval]
    assert edges == sorted(edges)
    assert all(first < stop for first, stop in found)
    assert not edges or (edges[0] >= start and edges[-1] <= start + length)


@pytest.mark.parametrize(
    "session", [("09:30",), ("a", "b", "UTC"), ("09:30", "16:00", "Mars/Base"), "0930", ("09:30Z", "16:00", "UTC")]
)
def test_a_session_that_cannot_be_read_is_refused(session):
    with pytest.raises(InvalidParameter, match="two times of day and a zone"):
        session_intervals(session, 0, DAY_NS)
