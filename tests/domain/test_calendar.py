"""Sessions of exchanges, judged by hours written out by hand."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from exchange_calendars import calendar_utils as utils

from cift.domain import calendar
from cift.domain.calendar import ALIASES, ALWAYS_OPEN, CALENDARS, calendar_name, sessions, trading_days
from cift.errors import MissingExtra, UnknownName


def ns(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


def closes(name: str, start: str, end: str) -> list[str]:
    found = sessions(name, ns(start), ns(end))
    assert found is not None
    return [str(close) for close in found.closes_ns.astype("datetime64[ns]").astype("datetime64[m]")]


def test_the_names_are_those_of_the_library():
    assert set(utils.default_calendar_names) == set(CALENDARS)
    assert utils._default_calendar_aliases == ALIASES


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        # The day after Thanksgiving closes at 13:00 in New York, and Thanksgiving and the weekend not at all.
        (
            "2023-11-21T14:30",
            "2023-11-27T21:00",
            ["2023-11-21T21:00", "2023-11-22T21:00", "2023-11-24T18:00", "2023-11-27T21:00"],
        ),
        # Winter time begins on Sunday.
        ("2023-11-03T13:30", "2023-11-06T21:00", ["2023-11-03T20:00", "2023-11-06T21:00"]),
        # Long before the years that the library covers unasked.
        ("1998-11-25T14:30", "1998-11-27T18:00", ["1998-11-25T21:00", "1998-11-27T18:00"]),
        # A session that the period cuts counts; one that it only meets at its close or open does not.
        ("2023-11-21T20:59", "2023-11-22T14:31", ["2023-11-21T21:00", "2023-11-22T21:00"]),
        ("2023-11-21T21:00", "2023-11-24T14:30", ["2023-11-22T21:00"]),
        ("2023-11-25T00:00", "2023-11-26T00:00", []),
    ],
)
def test_sessions_of_new_york(start, end, expected):
    assert closes("XNYS", start, end) == expected


def test_sessions_that_span_midnight_end_in_the_afternoon_of_chicago():
    assert closes("CMES", "2024-03-03T23:30", "2024-03-05T12:00") == ["2024-03-04T23:00", "2024-03-05T23:00"]


@pytest.mark.parametrize(
    ("start", "end", "per_year"),
    [
        ("2023-03-01", "2023-06-01", 250),
        ("1998-03-01", "1998-06-01", 252),
        ("2023-12-01", "2024-01-01", (250 + 252) / 2),
        # Four days in September were without trading.
        ("2001-01-02", "2001-12-31", 248),
    ],
)
def test_a_year_has_the_sessions_that_its_calendar_counts(start, end, per_year):
    found = sessions("XNYS", ns(start), ns(end))
    assert found is not None
    assert found.per_year == per_year


@pytest.mark.parametrize(("name", "day"), [("XTKS", "1996-06-03"), ("XSHG", "2090-06-01")])
def test_years_that_a_calendar_does_not_know_give_none(name, day):
    assert sessions(name, ns(day), ns(day) + 30 * 86_400 * 10**9) is None


@pytest.mark.parametrize(("name", "canonical"), [("24/7", ALWAYS_OPEN), ("XNYS", "XNYS"), ("NASDAQ", "XNYS"), ("CME", "CMES")])
def test_a_name_stands_for_a_calendar(name, canonical):
    assert calendar_name(name) == canonical


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("XNSY", "'XNYS'"), ("xnys", "'XNYS'"), ("NASDQ", "'NASDAQ'"), ("24-7", "'24/7'"), ("US_FUTURE", "'us_futures'")],
)
def test_a_misspelt_calendar_gets_a_suggestion(wrong, near):
    with pytest.raises(UnknownName, match=f"did you mean {near}"):
        calendar_name(wrong)


@pytest.mark.parametrize("wrong", ["", "?", None, 247, ["XNYS"]])
def test_what_is_no_name_is_refused(wrong):
    with pytest.raises(UnknownName, match="Pass '24/7' or the code of an exchange"):
        calendar_name(wrong)
    with pytest.raises(UnknownName):
        sessions(wrong, 0, 1)


def test_names_are_checked_without_the_library():
    code = (
        "import sys\n"
        "from cift.domain.instrument import Instrument\n"
        "assert Instrument('A', '0.01', 1, calendar='XNAS').calendar == 'XNYS'\n"
        "assert not {'exchange_calendars', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_closes_are_whole_nanoseconds():
    found = sessions("XNYS", ns("2023-01-01"), ns("2023-02-01"))
    assert found is not None
    assert found.closes_ns.dtype == np.int64


@pytest.mark.parametrize("name", ["XNYS", "NASDAQ", "CMES", "XTKS", "24/5"])
def test_days_are_the_sessions_with_their_dates(name):
    start, end = ns("2025-12-01"), ns("2026-01-10")
    days = trading_days(name, start, end)
    found = sessions(name, start, end)
    assert days is not None
    assert found is not None
    at = np.searchsorted(days.opens_ns, found.opens_ns)
    assert days.opens_ns[at].tolist() == found.opens_ns.tolist()
    assert days.closes_ns[at].tolist() == found.closes_ns.tolist()
    # A session ends on its date, by the clock of its exchange; one that ends at midnight is that of the day before.
    ends = [datetime.fromtimestamp((close - 1) // 10**9, ZoneInfo(days.zone)).date() for close in days.closes_ns[at].tolist()]
    assert [date(1970, 1, 1) + timedelta(days=day) for day in days.days[at].tolist()] == ends


def test_days_before_a_calendar_knows_its_holidays_are_not_there():
    assert trading_days("XKRX", ns("1950-01-01"), ns("1950-02-01")) is None


def test_days_of_a_calendar_that_is_none_suggest_one():
    with pytest.raises(UnknownName, match="did you mean 'XNYS'"):
        trading_days("XNYC", ns("2026-01-05"), ns("2026-01-06"))


@pytest.mark.parametrize("ask", [lambda: sessions("XBSE", 0, 1), lambda: trading_days("XBSE", 0, 1)])
def test_a_calendar_that_the_library_cannot_compute_is_told(ask, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("holidays of Romania")

    monkeypatch.setattr(calendar, "_library", lambda: refuse)
    with pytest.raises(MissingExtra, match=r"XBSE cannot be computed .*holidays of Romania.* give the instrument another"):
        ask()
