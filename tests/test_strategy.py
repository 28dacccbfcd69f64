"""What authors subclass: how parameters and state are declared, checked and given to each run."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

import cift
from cift.errors import InvalidParameter


class Base(cift.Strategy):
    n: int = cift.param(10, low=1)
    seen: int = cift.state(0)


@pytest.mark.parametrize(("name", "told"), [("n", r"`n = cift.param\(20\)`"), ("seen", r"`seen = cift.state\(20\)`")])
def test_a_plain_value_may_not_hide_what_a_base_class_declares(name: str, told: str) -> None:
    with pytest.raises(InvalidParameter, match=f"Hides.{name} is declared with .* would be ignored; write {told}"):
        type("Hides", (Base,), {name: 20})
    mixin = type("Mixin", (), {name: 20})
    with pytest.raises(InvalidParameter, match=told):
        type("Hides", (mixin, Base), {})


def test_a_base_class_may_be_overridden_by_another_declaration() -> None:
    class Wider(Base):
        n: int = cift.param(20)

    class Other(cift.Strategy):
        m: int = cift.param(1)

    class Both(Other, Wider):
        pass

    assert Wider().n == 20
    assert (Both().n, Both().m, Both().seen) == (20, 1, 0)
    turned = type("Turned", (Base,), {"n": cift.state(3)})
    assert dict(turned.parameters) == {}
    assert turned().n == 3


@pytest.mark.parametrize(
    ("default", "given", "expected"),
    [
        (True, np.False_, False),
        (1, np.int8(7), 7),
        (1.0, np.float16(0.5), 0.5),
        (1.0, np.longdouble(0.5), 0.5),
        (1.0, np.int64(2), 2.0),
        ("a", np.str_("b"), "b"),
        (b"a", np.bytes_(b"b"), b"b"),
        (1j, np.complex64(2j), 2j),
        (date(2026, 1, 5), np.datetime64("2026-01-06"), date(2026, 1, 6)),
        (datetime(2026, 1, 5), np.datetime64("2026-01-06T00:00:01", "ns"), datetime(2026, 1, 6, 0, 0, 1)),
        (timedelta(1), np.timedelta64(1_500_000, "ns"), timedelta(milliseconds=1.5)),
        ((1, 2), (np.int64(3), np.int64(4)), (3, 4)),
    ],
)
def test_a_scalar_of_numpy_is_the_value_that_it_holds(default: Any, given: Any, expected: Any) -> None:
    class Takes(cift.Strategy):
        value: Any = cift.param(default)

    taken = Takes(value=given).value
    assert taken == expected
    assert type(taken) is type(expected)
    if isinstance(taken, tuple):
        assert [type(item) for item in taken] == [int, int]

    # As a default too.
    class Begins(cift.Strategy):
        value: Any = cift.param(given)

    assert Begins().value == Begins(value=given).value == (given if default == 1.0 and given == 2 else expected)


def test_nanoseconds_that_python_cannot_hold_are_refused() -> None:
    class Waits(cift.Strategy):
        span: timedelta = cift.param(timedelta(1))

    with pytest.raises(InvalidParameter, match=r"Waits\.span takes timedelta, not np\.timedelta64"):
        Waits(span=np.timedelta64(1, "ns"))


@pytest.mark.parametrize("default", [[1], {"a": [1]}, np.array([1.0])])
def test_each_run_begins_with_a_copy_of_a_mutable_parameter(default: Any) -> None:
    class Holds(cift.Strategy):
        value: Any = cift.param(default)

    text = str(default)
    given = [[1], {"a": [1]}, np.array([1.0])][[list, dict, np.ndarray].index(type(default))]
    for parameters in ({}, {"value": given}):
        first = Holds(**parameters).value
        if isinstance(first, list):
            first.append(2)
        elif isinstance(first, dict):
            first["a"].append(2)
        else:
            first[0] = 2.0
        assert str(Holds(**parameters).value) == text


def test_what_cannot_be_copied_is_shared() -> None:
    class Lock:
        def __deepcopy__(self, memo: object) -> object:
            raise TypeError("cannot be copied")

    one = Lock()

    class Guards(cift.Strategy):
        lock: Any = cift.param(one)

    assert Guards().lock is one
