"""What `self.when` takes: expressions over indicators that are not computed until the columns are there.

    quick, calm = self.indicator(EMA(10)), self.indicator(EMA(50))
    self.when(quick.crosses_above(calm) & (calm > 100.0), self.go_long)

A condition has three outcomes at a row: true, false, and unknown where a number it needs is NaN. Only true fires. `~`
swaps true and false and leaves unknown as it is, so neither a condition nor its negation holds while an indicator is
warming up. `&` and `|` are Kleene's: false & unknown is false, true | unknown is true.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from cift.errors import InvalidParameter, ShapeMismatch

if TYPE_CHECKING:
    from cift.indicators.kernel import Indicator

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Carry = tuple[int, ...]
"""What is remembered between chunks: for each cross, in the order of the tree, how the two stood when last known."""

UNKNOWN: Final = 0
BEFORE: Final = 1
BEYOND: Final = 2


# ------------------------------------------------------------------ numbers


class LineMath:
    """The operators of a line: comparisons and crosses give a `Condition`, arithmetic another expression.

    A mixin without fields, so that a handle whose `value` lives in compiled code can inherit it: `class Line(Cell,
    LineMath)`. Identity is its hash and its equality; `==` compares handles, not values.
    """

    __slots__ = ()
    __array_ufunc__ = None  # NumPy numbers on the left leave the operator to us

    def __gt__(self, other: Any) -> Condition:
        return Comparison(">", self, operand(other))

    def __ge__(self, other: Any) -> Condition:
        return Comparison(">=", self, operand(other))

    def __lt__(self, other: Any) -> Condition:
        return Comparison("<", self, operand(other))

    def __le__(self, other: Any) -> Condition:
        return Comparison("<=", self, operand(other))

    def crosses_above(self, other: Any) -> Condition:
        """True where this is above `other`, if on the last row before, where both were numbers, it was not.

        Coming from equality counts; touching without passing does not. The first row on which both are numbers is no
        cross.
        """
        return Cross(self, operand(other), above=True)

    def crosses_below(self, other: Any) -> Condition:
        """True where this is below `other`, if on the last row before, where both were numbers, it was not."""
        return Cross(self, operand(other), above=False)

    def __add__(self, other: Any) -> Expression:
        return Arithmetic("+", self, operand(other))

    def __radd__(self, other: Any) -> Expression:
        return Arithmetic("+", operand(other), self)

    def __sub__(self, other: Any) -> Expression:
        return Arithmetic("-", self, operand(other))

    def __rsub__(self, other: Any) -> Expression:
        return Arithmetic("-", operand(other), self)

    def __mul__(self, other: Any) -> Expression:
        return Arithmetic("*", self, operand(other))

    def __rmul__(self, other: Any) -> Expression:
        return Arithmetic("*", operand(other), self)

    def __truediv__(self, other: Any) -> Expression:
        return Arithmetic("/", self, operand(other))

    def __rtruediv__(self, other: Any) -> Expression:
        return Arithmetic("/", operand(other), self)


class Line(LineMath):
    """An indicator in a strategy, as `self.indicator(...)` returns it.

    Attributes:
        name: how messages call it, "EMA(10) on mid".
        symbol: the instrument whose rows move it.
        on: what it is computed on.
        indicator: the indicator with its parameters.
        value: its value at the present row; NaN before the first one.
        ready: whether the first value has been reached.
    """

    __slots__ = ("indicator", "name", "on", "ready", "symbol", "value")

    def __init__(self, indicator: Indicator, *, symbol: str, on: str | None = None, name: str | None = None) -> None:
        self.indicator = indicator
        self.symbol = symbol
        self.on = indicator.source(on)
        self.name = f"{indicator} on {self.on}" if name is None else name
        self.value = float("nan")
        self.ready = False

    def __repr__(self) -> str:
        return self.name


class Expression(LineMath, ABC):
    """Numbers computed from lines, row by row."""

    __slots__ = ()

    @abstractmethod
    def parts(self) -> tuple[LineMath | float, ...]:
        """The operands."""

    @abstractmethod
    def compute(self, columns: Mapping[Any, Floats]) -> Floats | float:
        """The value at each row."""


class Arithmetic(Expression):
    """Two operands and one of + - * /; a division by zero gives infinity or NaN as IEEE 754 says, without a warning."""

    __slots__ = ("left", "right", "sign")

    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {
        "+": np.add,
        "-": np.subtract,
        "*": np.multiply,
        "/": np.divide,
    }

    def __init__(self, sign: str, left: LineMath | float, right: LineMath | float) -> None:
        self.sign, self.left, self.right = sign, left, right

    def parts(self) -> tuple[LineMath | float, ...]:
        """The two operands."""
        return self.left, self.right

    def compute(self, columns: Mapping[Any, Floats]) -> Floats | float:
        """The value at each row, in the operands' units."""
        with np.errstate(all="ignore"):
            answer: Floats | float = self.FUNCTIONS[self.sign](numbers(self.left, columns), numbers(self.right, columns))
        return answer

    def __repr__(self) -> str:
        return f"({self.left!r} {self.sign} {self.right!r})"


def operand(value: Any) -> LineMath | float:
    """A line, an expression or a number as an operand.

    Raises:
        InvalidParameter: for anything else; a condition reads columns and indicators only.
    """
    if isinstance(value, LineMath):
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise InvalidParameter(
            f"a condition compares indicators and numbers, not {value!r} ({type(value).__name__}); "
            "position, orders and other state of the strategy are tested in the handler"
        )
    return float(value)


def numbers(value: LineMath | float, columns: Mapping[Any, Floats]) -> Floats | float:
    """The values of an operand at each row.

    Raises:
        InvalidParameter: where the column of a line is not there.
    """
    if isinstance(value, float):
        return value
    if isinstance(value, Expression):
        return value.compute(columns)
    try:
        return columns[value]
    except KeyError:
        raise InvalidParameter(f"no column was given for {value!r}; a condition needs those of all its lines") from None


# ------------------------------------------------------------------ conditions


class Condition(ABC):
    """Something that is true, false or unknown at each row; combine with `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: Condition) -> Condition:
        return Both(self, checked(other))

    def __or__(self, other: Condition) -> Condition:
        return Either(self, checked(other))

    @abstractmethod
    def __invert__(self) -> Condition:
        """What is true where this is false, and unknown where this is unknown."""

    def __bool__(self) -> bool:
        raise InvalidParameter(
            f"{self!r} is not true or false until it has columns: in setup combine conditions with &, | and ~ instead "
            "of and, or and not, and put comparisons in parentheses; in a handler compare the .value of lines"
        )

    @property
    def lines(self) -> tuple[Any, ...]:
        """The distinct lines that it reads, in the order in which they appear."""
        return tuple(dict.fromkeys(self._lines()))

    @property
    def start(self) -> Carry:
        """What to carry into the first chunk."""
        return (UNKNOWN,) * self._crosses()

    def evaluate(self, columns: Mapping[Any, Floats], carry: Carry | None = None) -> tuple[Bools, Carry]:
        """Whether it is true at each row of a chunk.

        Args:
            columns: for each of `lines` its values, all of one length.
            carry: what the chunk before returned; None at the start.

        Returns:
            The truth at each row (unknown counts as not true), and what to carry on. Chunks of any size give the same
            rows.

        Raises:
            InvalidParameter: where the column of a line is missing.
            ShapeMismatch: where columns differ in length, or the carry is another condition's.
        """
        carry = self.start if carry is None else carry
        if len(carry) != self._crosses():
            raise ShapeMismatch(f"{self!r} carries {self._crosses()} numbers; {len(carry)} were given")
        lengths = {len(numbers(line, columns)) for line in self.lines}  # type: ignore[arg-type]
        if len(lengths) != 1:
            raise ShapeMismatch(f"the columns of {self!r} differ in length: {sorted(lengths)}")
        after: list[int] = []
        values = self._truth(columns, iter(carry), after)
        return values, tuple(after)

    def edges(self, values: Bools, last: bool) -> NDArray[np.int64]:
        """The rows at which it turns true: those where `when` fires.

        Args:
            values: what `evaluate` returned for this chunk.
            last: whether it was true at the last row before it; False at the start.
        """
        if values.shape[0] == 0:
            return np.empty(0, dtype=np.int64)
        turned = np.empty_like(values)
        turned[0] = values[0] and not last
        np.greater(values[1:], values[:-1], out=turned[1:])
        return np.flatnonzero(turned).astype(np.int64, copy=False)

    @abstractmethod
    def _truth(self, columns: Mapping[Any, Floats], carry: Iterator[int], after: list[int]) -> Bools:
        """The rows where it is true; each cross takes one number of `carry` and appends one to `after`."""

    @abstractmethod
    def _lines(self) -> Iterator[Any]:
        """The lines that it reads, repeated where they are."""

    @abstractmethod
    def _crosses(self) -> int:
        """How many crosses are in it."""


def checked(condition: Any) -> Condition:
    """`condition`, if it is one.

    Raises:
        InvalidParameter: for a bool or anything else; the usual cause is `a > b & c > d` without parentheses.
    """
    if isinstance(condition, Condition):
        return condition
    raise InvalidParameter(f"& and | combine conditions, not {condition!r}; put each comparison in parentheses")


class Comparison(Condition):
    """One of > >= < <= between two operands; unknown where either is NaN."""

    __slots__ = ("left", "right", "sign")

    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {
        ">": np.greater,
        ">=": np.greater_equal,
        "<": np.less,
        "<=": np.less_equal,
    }
    OPPOSITES: ClassVar[dict[str, str]] = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}

    def __init__(self, sign: str, left: LineMath, right: LineMath | float) -> None:
        self.sign, self.left, self.right = sign, left, right

    def __invert__(self) -> Condition:
        return Comparison(self.OPPOSITES[self.sign], self.left, self.right)  # NaN makes both false

    def _truth(self, columns: Mapping[Any, Floats], _carry: Iterator[int], _after: list[int]) -> Bools:
        truth: Bools = self.FUNCTIONS[self.sign](numbers(self.left, columns), numbers(self.right, columns))
        return truth

    def _lines(self) -> Iterator[Any]:
        yield from lines_of(self.left)
        yield from lines_of(self.right)

    def _crosses(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"({self.left!r} {self.sign} {self.right!r})"


class Cross(Condition):
    """The row at which one operand passes the other; unknown where either is NaN, which does not end its memory."""

    __slots__ = ("above", "left", "negated", "right")

    def __init__(self, left: LineMath, right: LineMath | float, *, above: bool, negated: bool = False) -> None:
        self.left, self.right, self.above, self.negated = left, right, above, negated

    def __invert__(self) -> Condition:
        return Cross(self.left, self.right, above=self.above, negated=not self.negated)

    def _truth(self, columns: Mapping[Any, Floats], carry: Iterator[int], after: list[int]) -> Bools:
        left, right = numbers(self.left, columns), numbers(self.right, columns)
        beyond: Bools = np.greater(left, right) if self.above else np.less(left, right)
        before: Bools = np.less_equal(left, right) if self.above else np.greater_equal(left, right)
        known = beyond | before
        last = next(carry)
        crossed = np.zeros_like(beyond)
        rows: slice | NDArray[np.int64] = slice(int(known.argmax()) if known.shape[0] else 0, None)
        if not known[rows].all():  # gaps besides the warm-up
            rows = np.flatnonzero(known)
        now = beyond[rows]
        if now.shape[0]:
            passed = np.empty_like(now)
            passed[0] = now[0] and last == BEFORE
            np.greater(now[1:], now[:-1], out=passed[1:])
            crossed[rows] = passed
            last = BEYOND if now[-1] else BEFORE
        after.append(last)
        return known & ~crossed if self.negated else crossed

    def _lines(self) -> Iterator[Any]:
        yield from lines_of(self.left)
        yield from lines_of(self.right)

    def _crosses(self) -> int:
        return 1

    def __repr__(self) -> str:
        text = f"({self.left!r} crosses {'above' if self.above else 'below'} {self.right!r})"
        return f"~{text}" if self.negated else text


class Both(Condition):
    """True where both are."""

    __slots__ = ("left", "right")

    def __init__(self, left: Condition, right: Condition) -> None:
        self.left, self.right = left, right

    def __invert__(self) -> Condition:
        return Either(~self.left, ~self.right)

    def _truth(self, columns: Mapping[Any, Floats], carry: Iterator[int], after: list[int]) -> Bools:
        return self.left._truth(columns, carry, after) & self.right._truth(columns, carry, after)

    def _lines(self) -> Iterator[Any]:
        yield from self.left._lines()
        yield from self.right._lines()

    def _crosses(self) -> int:
        return self.left._crosses() + self.right._crosses()

    def __repr__(self) -> str:
        return f"({self.left!r} & {self.right!r})"


class Either(Both):
    """True where one of the two is, or both."""

    __slots__ = ()

    def __invert__(self) -> Condition:
        return Both(~self.left, ~self.right)

    def _truth(self, columns: Mapping[Any, Floats], carry: Iterator[int], after: list[int]) -> Bools:
        return self.left._truth(columns, carry, after) | self.right._truth(columns, carry, after)

    def __repr__(self) -> str:
        return f"({self.left!r} | {self.right!r})"


def lines_of(value: LineMath | float) -> Iterator[Any]:
    """The lines in an operand."""
    if isinstance(value, Expression):
        for part in value.parts():
            yield from lines_of(part)
    elif isinstance(value, LineMath):
        yield value
