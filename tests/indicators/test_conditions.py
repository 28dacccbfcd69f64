"""Conditions against a slow reference that looks at one row at a time and knows three outcomes."""

from __future__ import annotations

import math
import operator
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.errors import InvalidParameter, ShapeMismatch
from cift.indicators import EMA, Microprice
from cift.indicators.conditions import Line, LineMath

A, B = (Line(EMA(n), symbol="DEMO.SIM", name=name) for n, name in ((10, "A"), (50, "B")))
Row = dict[Line, float]
Outcome = bool | None  # None: unknown


def columns(a: Sequence[float], b: Sequence[float] | None = None) -> dict[Line, np.ndarray[Any, Any]]:
    return {A: np.array(a, dtype=np.float64), B: np.array(b if b is not None else [0.0] * len(a), dtype=np.float64)}


def truth(condition: Any, a: Sequence[float], b: Sequence[float] | None = None) -> list[bool]:
    values, _ = condition.evaluate(columns(a, b))
    return [bool(value) for value in values]


# ------------------------------------------------------------------ the slow reference


class SlowCross:
    """A cross with a memory of one row."""

    def __init__(self, left: Any, right: Any, sign: int) -> None:
        self.left, self.right, self.sign, self.beyond = left, right, sign, True

    def __call__(self, row: Row) -> Outcome:
        left, right = self.left(row), self.right(row)
        if math.isnan(left) or math.isnan(right):
            return None
        beyond = (left - right) * self.sign > 0
        crossed = beyond and not self.beyond
        self.beyond = beyond
        return crossed


def slow_comparison(compare: Callable[[float, float], bool], left: Any, right: Any) -> Callable[[Row], Outcome]:
    def outcome(row: Row) -> Outcome:
        x, y = left(row), right(row)
        return None if math.isnan(x) or math.isnan(y) else compare(x, y)

    return outcome


def slow_not(inner: Callable[[Row], Outcome]) -> Callable[[Row], Outcome]:
    def outcome(row: Row) -> Outcome:
        value = inner(row)
        return None if value is None else not value

    return outcome


def slow_both(one: Any, other: Any) -> Callable[[Row], Outcome]:
    def outcome(row: Row) -> Outcome:
        values = (one(row), other(row))
        return False if False in values else None if None in values else True

    return outcome


def slow_either(one: Any, other: Any) -> Callable[[Row], Outcome]:
    return slow_not(slow_both(slow_not(one), slow_not(other)))


Pair = tuple[Any, Any]  # the expression, and a function that makes its slow twin


@st.composite
def operands(draw: st.DrawFn, depth: int = 2) -> Pair:
    if depth and draw(st.booleans()):
        sign = draw(st.sampled_from([operator.add, operator.sub, operator.mul, operator.truediv]))
        left, right = draw(operands(depth - 1)), draw(st.one_of(operands(depth - 1), st.sampled_from([0.5, 2])))
        if not isinstance(right, tuple):
            right = (right, lambda value=right: lambda _row: float(value))

        def slow(sign: Any = sign, left: Any = left[1], right: Any = right[1]) -> Any:
            one, other = left(), right()

            def value(row: Row) -> float:
                with np.errstate(all="ignore"):
                    return float(sign(np.float64(one(row)), np.float64(other(row))))

            return value

        return sign(left[0], right[0]), slow
    line = draw(st.sampled_from([A, B]))
    return line, lambda: lambda row: row[line]


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> Pair:
    kind = draw(st.sampled_from(["compare", "cross", "both", "either", "not"] if depth else ["compare", "cross"]))
    if kind == "not":
        inner, slow = draw(conditions(depth - 1))
        return ~inner, lambda: slow_not(slow())
    if kind in ("both", "either"):
        (one, slow_one), (other, slow_other) = draw(conditions(depth - 1)), draw(conditions(depth - 1))
        if kind == "both":
            return one & other, lambda: slow_both(slow_one(), slow_other())
        return one | other, lambda: slow_either(slow_one(), slow_other())
    (left, slow_left), (right, slow_right) = draw(operands()), draw(operands())
    if kind == "compare":
        compare = draw(st.sampled_from([operator.gt, operator.ge, operator.lt, operator.le]))
        return compare(left, right), lambda: slow_comparison(compare, slow_left(), slow_right())
    if draw(st.booleans()):
        return left.crosses_above(right), lambda: SlowCross(slow_left(), slow_right(), 1)
    return left.crosses_below(right), lambda: SlowCross(slow_left(), slow_right(), -1)


VALUES = st.sampled_from([-1.0, 0.0, 1.0, 2.0, math.nan])


@given(pair=conditions(), rows=st.lists(st.tuples(VALUES, VALUES), max_size=40), data=st.data())
def test_any_condition_in_any_chunks_is_its_slow_twin(pair: Pair, rows: list[tuple[float, float]], data: Any) -> None:
    condition, make_slow = pair
    slow = make_slow()
    expected = [slow({A: a, B: b}) is True for a, b in rows]
    turned = [row for row, value in enumerate(expected) if value and not (row and expected[row - 1])]

    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    values: list[bool] = []
    fired: list[int] = []
    carry, last = None, False
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        chunk, carry = condition.evaluate(columns([a for a, _ in rows[start:end]], [b for _, b in rows[start:end]]), carry)
        assert chunk.dtype == np.bool_
        fired += [start + int(row) for row in condition.edges(chunk, last)]
        values += chunk.tolist()
        last = values[-1] if values else False
        carry = pickle.loads(pickle.dumps(carry))
    assert values == expected
    assert fired == turned


# ------------------------------------------------------------------ cases to read


def test_a_cross_is_seen_once_and_not_at_the_first_row() -> None:
    assert truth(A.crosses_above(0.0), [1, 2, -1, 1, 2]) == [False, False, False, True, False]
    assert truth(A.crosses_below(0.0), [-1, -2, 1, -1, -2]) == [False, False, False, True, False]


def test_coming_from_equality_is_a_cross_and_touching_is_not() -> None:
    assert truth(A.crosses_above(B), [0, 1, 0, -1, 0, -1], [0] * 6) == [False, True, False, False, False, False]
    assert truth(A.crosses_above(B), [1, 0, 1], [0] * 3) == [False, False, True]


def test_a_gap_does_not_hide_a_cross() -> None:
    assert truth(A.crosses_above(0.0), [-1, math.nan, math.nan, 1]) == [False, False, False, True]
    assert truth(A.crosses_above(0.0), [math.nan, math.nan, 1, 2]) == [False] * 4


def test_neither_a_comparison_nor_its_negation_holds_while_warming_up() -> None:
    column = [math.nan, 1, -1]
    for condition in (A > 0.0, A.crosses_above(0.0), (A > 0.0) & (A < 5.0), (A >= 0.0) | (A <= -3.0)):
        assert not truth(condition, column)[0]
        assert not truth(~condition, column)[0]
    assert truth(~(A > 0.0), column) == [False, False, True]
    assert truth(~~(A > 0.0), column) == [False, True, False]


def test_what_is_known_decides_where_it_can() -> None:
    a, b = [math.nan, math.nan], [1, -1]
    assert truth((A > 0.0) | (B > 0.0), a, b) == [True, False]
    assert truth(~((A > 0.0) & (B > 0.0)), a, b) == [False, True]


def test_numbers_may_stand_on_either_side() -> None:
    column = [1.0, 3.0]
    assert truth(2 < A, column) == truth(np.float64(2) < A, column) == [False, True]  # noqa: SIM300
    assert truth(10 - A * 2 > 5, column) == [True, False]
    assert truth(np.float64(6) / A >= 6, column) == [True, False]
    assert truth(1 + A > 3, column) == [False, True]
    assert truth(3 * A >= 9, column) == [False, True]


def test_when_fires_where_a_condition_turns_true() -> None:
    condition = A > 0.0
    values = np.array([True, True, False, True, True, False])
    assert condition.edges(values, False).tolist() == [0, 3]
    assert condition.edges(values, True).tolist() == [3]
    assert condition.edges(values[:0], False).tolist() == []
    assert condition.edges(values, False).dtype == np.int64


def test_a_condition_knows_its_lines_once_each_and_reads_like_a_sentence() -> None:
    condition = A.crosses_above(B) & ~((A - B) * 2 > 0.5)
    assert condition.lines == (A, B)
    assert repr(condition) == "((A crosses above B) & (((A - B) * 2.0) <= 0.5))"
    assert repr(~A.crosses_below(1)) == "~(A crosses below 1.0)"


# ------------------------------------------------------------------ misuse


@pytest.mark.parametrize(
    "use",
    [
        lambda: bool(A > B),
        lambda: (A > 0) and (B > 0),
        lambda: not (A > 0),
        lambda: 0 < A < 1,
        lambda: A > 0 & B > 0,  # type: ignore[operator]
        lambda: (A > 0) & True,  # type: ignore[operator]
        lambda: A > "1",
        lambda: A > True,
        lambda: A > None,
        lambda: A + np.ones(2),
    ],
)
def test_misuse_is_answered_with_what_to_do(use: Any) -> None:
    with pytest.raises((InvalidParameter, TypeError)):
        use()


def test_the_truth_of_a_condition_names_the_operators() -> None:
    with pytest.raises(InvalidParameter, match=r"use|combine conditions with &, \| and ~ instead of and, or and not"):
        bool(A > B)


def test_columns_must_be_there_and_of_one_length() -> None:
    with pytest.raises(InvalidParameter, match="no column was given for B"):
        (A > B).evaluate({A: np.zeros(2)})
    with pytest.raises(ShapeMismatch, match="differ in length"):
        (A > B).evaluate({A: np.zeros(2), B: np.zeros(3)})
    with pytest.raises(ShapeMismatch, match="carries 1 numbers"):
        A.crosses_above(B).evaluate(columns([1.0]), ())


# ------------------------------------------------------------------ lines


def test_a_line_tells_what_it_is() -> None:
    line = Line(EMA(10), symbol="DEMO.SIM")
    assert (line.name, line.symbol, line.on, line.indicator) == ("EMA(10) on mid", "DEMO.SIM", "mid", EMA(10))
    assert math.isnan(line.value)
    assert not line.ready
    assert Line(Microprice(), symbol="X").on == "quote"
    assert line != Line(EMA(10), symbol="DEMO.SIM")
    assert len({line, line, A}) == 2


def test_a_handle_whose_value_lives_elsewhere_can_inherit_the_operators() -> None:
    class Cell:
        __slots__ = ("value",)
        value: float

    class Handle(Cell, LineMath):
        __slots__ = ()

    handle = Handle()
    handle.value = 2.0
    values, _ = (handle > 1).evaluate({handle: np.array([0.0, 2.0])})
    assert values.tolist() == [False, True]
    assert not hasattr(handle, "__dict__")
