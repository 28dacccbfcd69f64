"""Values that a saved run carries."""

from __future__ import annotations

import datetime as dt
import json
import math
from enum import Enum, IntEnum
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.values import SavedValue, heard, saved_values, told


class Mode(Enum):
    A = 1
    B = "b"


class Level(IntEnum):
    LOW = 1


def back(value: object) -> object:
    return heard(json.loads(json.dumps(told(value))))


def same(one: object, other: object) -> bool:
    return repr(one) == repr(other) and type(one) is type(other)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.times(timezones=st.none() | st.just(ZoneInfo("Asia/Tokyo")))
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.just(ZoneInfo("America/New_York")))
    | st.timedeltas()
    | st.sampled_from([*Mode, *Level]),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=6,
)


@given(value=plain)
def test_a_plain_value_comes_back_as_it_was(value: object) -> None:
    assert same(back(value), value)
    assert list(saved_values(back(value))) == []


@pytest.mark.parametrize(
    "value",
    [{"$kind": "tuple"}, {1: 2, "1": 3}, {(1, 2): [3]}, {"b": 1, "a": 2}, frozenset({1}), {4}, 1 + 2j, -0.0, math.inf, ((),)],
)
def test_what_json_would_mix_up_comes_back_as_it_was(value: object) -> None:
    assert same(back(value), value)


class Breaks:
    def __str__(self) -> str:
        raise ValueError("no text")


class Odd(dt.tzinfo):
    """A zone that nobody knows."""


@pytest.mark.parametrize(
    "value", [np.array([1, 2]), SimpleNamespace(a=1), Breaks(), np.float64(1.0), Mode, len, dt.time(tzinfo=Odd())]
)
def test_what_cannot_be_carried_leaves_a_text(value: object) -> None:
    (lost,) = saved_values(back({"x": (value, 1)}))
    assert lost.name == type(value).__qualname__
    assert lost.text
    assert same(back(back(value)), back(value))


def test_a_member_of_an_enum_that_is_not_loaded_keeps_its_name() -> None:
    content = told(Mode.A)
    assert heard(content, lambda _: None) == SavedValue(__name__, "Mode", "Mode.A", "A")
    assert told(heard(content, lambda _: None)) == content
    assert heard(content, lambda _: SimpleNamespace(Mode=int)) == heard(content, lambda _: None)  # type: ignore[arg-type,return-value]
    assert heard(content | {"member": "C"}) == SavedValue(__name__, "Mode", "Mode.A", "C")
