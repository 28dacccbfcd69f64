"""Recordings that overlap: what is remembered of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cift.data.importers.overlap import KEPT_MIN, Met, Numbers

S = 10**9


def test_what_was_met_is_remembered_for_a_minute_however_much_comes():
    met, count = Met(), 4 * KEPT_MIN
    assert not any(met.again(at, at * 60 * S // count) for at in range(count))
    assert all(met.again(at, 60 * S) for at in range(count))


def test_the_last_that_were_met_are_remembered_however_long_ago():
    met = Met()
    assert not any(met.again(at, at * 3_600 * S) for at in range(KEPT_MIN))
    assert all(met.again(at, KEPT_MIN * 3_600 * S) for at in range(KEPT_MIN))


def test_what_was_met_long_ago_is_forgotten():
    met = Met()
    for at in range(4 * KEPT_MIN):
        met.again(at, at * S)
    assert len(met) < 3 * KEPT_MIN


@given(numbers=st.lists(st.integers(5, 40), max_size=60), first=st.just(5))
def test_numbers_that_never_came_are_counted(numbers, first):
    followed, met = Numbers(), set()
    for number in (first, *numbers):
        assert followed.again(number, 0) == (number in met)
        met.add(number)
    absent = [number for number in range(first, max(met)) if number not in met]
    places = sum(number - 1 not in absent for number in absent)
    assert followed.missing() == (len(absent), places)


def test_holes_beyond_those_that_are_kept_are_counted_too():
    followed = Numbers()
    for number in range(0, 4 * KEPT_MIN, 2):
        followed.again(number, 0)
    assert followed.missing() == (2 * KEPT_MIN - 1, 2 * KEPT_MIN - 1)
