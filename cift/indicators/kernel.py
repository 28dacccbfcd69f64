"""What an indicator is: one function `update(state, x) -> (state, y)`, and the doors that are made from it.

Batch, polars expression, stream and the simulator's chunks all run the same compiled loop over `update`, so they agree
to the last bit wherever the column is cut.
"""

from __future__ import annotations

import ctypes
import inspect
import math
import operator
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import numpy as np

from cift.domain.instrument import Number, to_decimal
from cift.errors import InvalidParameter, OffTickPrice, ShapeMismatch
from cift.indicators.columns import Floats, alike, floats, of_one_length, taken
from cift.indicators.compiler import HEADER_SLOTS, Signature, compiled
from cift.indicators.sources import Quote, Source, checked_source

P = ParamSpec("P")
S = TypeVar("S", bound=tuple[Any, ...])
X = TypeVar("X", float, Quote)
Count = int | Callable[..., int]


@dataclass(frozen=True)
class Plan:
    """One indicator made ready to run.

    Args:
        start: the first state, a NamedTuple of numbers and buffers (1-D arrays of int64 or float64).
        params: what `update` takes after `x`, the same at every row.
        steps: for each column its grid, where `update` takes it as a whole number of steps; None: as it is.
    """

    start: tuple[Any, ...]
    params: tuple[int | float | bool, ...]
    steps: tuple[Fraction | None, ...]


class Indicator:
    """An indicator with its parameters; holds no state, so one object serves any number of columns and strategies.

    Attributes:
        on: what it is computed on unless told otherwise.
        lookback: the row of the first value, counted in rows that were observed; those before are NaN.
        memory: how many rows before a row decide its value; what lies further back changes it by less than 1e-9
            (relative).
            None: all of them.

    A row with NaN or null is no observation: its value is NaN and the state stands.
    """

    update: ClassVar[Callable[..., Any]]
    on: Source
    lookback: int
    memory: int | None
    _arguments: tuple[Any, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it reads: the four of a quote, or one."""
        return Quote._fields if self.on == "quote" else (self.on,)

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:
        """First state, parameters and grids, given the steps of prices and sizes where they are known."""
        raise NotImplementedError

    def source(self, on: str | None = None) -> Source:
        """What it is computed on, given what was asked for (None: its default).

        Raises:
            UnknownName: with a suggestion.
            InvalidParameter: where a quote is needed and one number per row is offered, or the other way round.
        """
        if on is None:
            return self.on
        source = checked_source(on)
        if (source == "quote") != (self.on == "quote"):
            needs, gives = ("four columns of a quote", "one") if self.on == "quote" else ("one column", "four")
            raise InvalidParameter(f"{self} reads {needs} and on={on!r} gives {gives}; leave out `on` for {self.on!r}")
        return source

    # ---------------------------------------------------------------- doors

    def __call__(self, *columns: Any, tick: Number | None = None, lot: Number | None = None) -> Any:
        """The value at each row, in the kind of column that was given (NumPy, polars, pyarrow, pandas, list).

        Args:
            columns: one column, or for a quote four of them (or a frame that holds them by name), in natural units.
            tick: the step on which the values lie (for sizes: `lot`). With it windowed sums are exact; without it they
                are float64 in a fixed order, and ties between two windows may fall either way.

        Raises:
            ShapeMismatch: where columns differ in length or number, or have two dimensions.
            InvalidParameter: where a column does not hold numbers.
            OffTickPrice: where a value does not lie on the step given.
        """
        given = taken(columns, self.inputs, str(self))
        arrays = tuple(floats(column, name) for column, name in zip(given, self.inputs, strict=True))
        answer = alike(self.runner(tick=tick, lot=lot).run(arrays), given[0])
        if len(given) > 1 and hasattr(answer, "rename"):
            answer = answer.rename(str(self))
        return answer

    def expr(self, *columns: Any, tick: Number | None = None, lot: Number | None = None) -> Any:
        """A polars expression of the value at each row, by column name or expression; the default of a quote is its
        names.

        It is never elementwise: each row depends on those before, in frames and within the groups of `.over(...)`.
        """
        import polars

        names = columns or (self.inputs if self.on == "quote" else ())
        read = taken(names, self.inputs, str(self))
        expressions = [polars.col(column) if isinstance(column, str) else column for column in read]
        expression = polars.map_batches(
            expressions, _OverSeries(self, tick, lot), return_dtype=polars.Float64, is_elementwise=False
        )
        return expression if len(expressions) == 1 else expression.alias(str(self))

    def stream(self, *, tick: Number | None = None, lot: Number | None = None) -> Stream:
        """The indicator fed value by value."""
        return Stream(self.runner(tick=tick, lot=lot))

    def runner(self, *, tick: Number | None = None, lot: Number | None = None) -> Runner:
        """The indicator fed chunk by chunk; chunks of any size give the bits of the whole column.

        Args:
            tick: the step in which prices move (`sources.step_of` tells it for a source; of a scalar source its only
                step).
            lot: the step in which the sizes of a quote move.
        """
        plan = self.plan(_step("tick", tick), _step("lot", lot))
        return Runner(self, plan)

    # ---------------------------------------------------------------- identity

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._arguments))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Indicator) and type(self) is type(other) and self._arguments == other._arguments

    def __hash__(self) -> int:
        return hash((type(self), self._arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments


class _OverSeries:
    """An indicator as the function that polars maps over series (a class, so that plans can be pickled)."""

    def __init__(self, indicator: Indicator, tick: Number | None, lot: Number | None) -> None:
        self._indicator, self._tick, self._lot = indicator, tick, lot

    def __call__(self, series: Sequence[Any]) -> Any:
        return self._indicator(*series, tick=self._tick, lot=self._lot)


class Runner:
    """An indicator in the course of a column: its state, and the loop that carries it over the next chunk."""

    __slots__ = ("_answer", "_call", "_error", "_head", "_kept", "_memory", "_real", "_tail", "indicator", "plan")

    def __init__(self, indicator: Indicator, plan: Plan) -> None:
        self.indicator = indicator
        self.plan = plan
        fields = tuple(
            (name, _kind_of(indicator, name, value))
            for name, value in zip(type(plan.start)._fields, plan.start, strict=True)  # type: ignore[attr-defined]
        )
        signature = Signature(
            fields=fields,
            params=tuple("bool" if isinstance(p, bool) else "int" if isinstance(p, int) else "float" for p in plan.params),
            inputs=tuple("float" if step is None else "int" for step in plan.steps),
        )
        loop = compiled(type(indicator).update, type(plan.start), signature)
        self._call = loop.call
        buffers = [np.asarray(v) for v, (_, kind) in zip(plan.start, fields, strict=True) if kind in ("ints", "floats")]
        slots = HEADER_SLOTS + len(fields) + sum(buffer.size for buffer in buffers)
        self._memory = np.zeros(slots, dtype=np.int64)
        self._real = self._memory.view(np.float64)
        self._real[1] = np.nan
        for slot, ((_, kind), value) in enumerate(zip(fields, plan.start, strict=True), start=HEADER_SLOTS):
            if kind == "float":
                self._real[slot] = value
            else:
                self._memory[slot] = value.size if kind in ("ints", "floats") else value
        end = HEADER_SLOTS + len(fields)
        for buffer in buffers:
            memory = self._real if buffer.dtype == np.float64 else self._memory
            memory[end : end + buffer.size] = buffer
            end += buffer.size
        params = np.zeros(max(1, len(plan.params)), dtype=np.int64)
        for i, value in enumerate(plan.params):
            (params.view(np.float64) if isinstance(value, float) else params)[i] = value
        grid = np.ones(2 * len(plan.steps))
        for i, step in enumerate(plan.steps):
            if step is not None:
                grid[2 * i], grid[2 * i + 1] = step.numerator, step.denominator
        self._answer, self._error = ctypes.c_int64(), ctypes.c_void_p()
        self._head = (
            ctypes.addressof(self._answer),
            ctypes.addressof(self._error),
            *(_address(array) for array in (self._memory, self._real, params, params, grid)),
        )
        self._tail = (indicator.lookback, slots)
        self._kept = (loop, params, grid)  # what the addresses above point into

    def run(self, columns: Sequence[Floats]) -> Floats:
        """The values of the next rows; NaN before the first value and where a column is NaN.

        Raises:
            ShapeMismatch: where the columns differ in length or number.
            OffTickPrice: where a value does not lie on its grid; the state is then as before the call.
        """
        names = self.indicator.inputs
        if len(columns) != len(names):
            raise ShapeMismatch(f"{self.indicator} reads {len(names)} columns ({', '.join(names)}); {len(columns)} were given")
        arrays = [floats(column, name) for column, name in zip(columns, names, strict=True)]
        of_one_length(arrays, names, str(self.indicator))
        rows = arrays[0].shape[0]
        values = np.empty(rows)
        status = self._call(*self._head, *map(_address, arrays), _address(values), rows, *self._tail)
        if status != 0 or self._answer.value >= 0:
            raise self._refusal(status, arrays)
        return values

    def _refusal(self, status: int, columns: Sequence[Any]) -> Exception:
        """Why the loop did not take these columns."""
        if status != 0:
            return InvalidParameter(f"the update of {self.indicator} raised an error; it may only compute")
        column, row = divmod(self._answer.value, len(columns[0]))
        name, value, step = (
            self.indicator.inputs[column],
            float(columns[column][row]),
            float(self.plan.steps[column] or 0),
        )
        return OffTickPrice(
            f"row {row}: {name} {value!r} is not a whole number of steps of {step}, on which {self.indicator} sums "
            "exactly; pass the step on which all values lie, or none"
        )

    @property
    def state(self) -> bytes:
        """The state as flat bytes; assigning what another runner of an equal indicator had continues from there.

        Raises:
            ShapeMismatch: on assignment of bytes that another indicator wrote.
        """
        return self._memory.tobytes()

    @state.setter
    def state(self, saved: bytes) -> None:
        if len(saved) != self._memory.nbytes:
            raise ShapeMismatch(
                f"the state of {self.indicator} has {self._memory.nbytes} bytes; the {len(saved)} given were saved by "
                "another indicator, or with other parameters or steps"
            )
        self._memory[:] = np.frombuffer(saved, dtype=np.int64)

    @property
    def value(self) -> float:
        """The value at the last row; NaN before the first value and where that row was no observation."""
        return float(self._real[1])

    @property
    def ready(self) -> bool:
        """Whether the first value has been reached."""
        return bool(self._memory[0] > self.indicator.lookback)


class Stream:
    """An indicator fed value by value, with the numbers that the column form gives.

    >>> ema = EMA(3).stream()
    >>> [ema.update(price) for price in (1.0, 2.0, 3.0, 5.0)]
    [nan, nan, 2.0, 3.5]
    """

    __slots__ = ("_answer", "_arguments", "_call", "_inputs", "_out", "_runner", "_width")

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._width = len(runner.indicator.inputs)
        self._inputs = [ctypes.c_double() for _ in range(self._width)]
        self._out = ctypes.c_double()
        columns = (ctypes.addressof(cell) for cell in self._inputs)
        self._call, self._answer = runner._call, runner._answer
        self._arguments = (*runner._head, *columns, ctypes.addressof(self._out), 1, *runner._tail)

    def update(self, x: float | Sequence[float | None] | None) -> float:
        """Take the next value (of a quote: its four numbers) and return the indicator's; None and NaN are no
        observation.

        Raises:
            ShapeMismatch: where a quote has another number of values.
            InvalidParameter: where a value is no number.
        """
        try:
            if self._width == 1:
                self._inputs[0].value = math.nan if x is None else x  # type: ignore[assignment]
            else:
                self._take((None,) * self._width if x is None else x)  # type: ignore[arg-type]
        except TypeError as error:
            raise InvalidParameter(f"{self._runner.indicator} takes {self._inputs_named} at each update: {error}") from None
        status = self._call(*self._arguments)
        if status != 0 or self._answer.value >= 0:
            raise self._runner._refusal(status, [[cell.value] for cell in self._inputs])
        return self._out.value

    def _take(self, row: Sequence[float | None]) -> None:
        if len(row) != self._width:
            raise ShapeMismatch(f"{self._runner.indicator} takes {self._inputs_named} at each update, not {row!r}")
        for cell, value in zip(self._inputs, row, strict=True):
            cell.value = math.nan if value is None else value

    @property
    def _inputs_named(self) -> str:
        return f"({', '.join(self._runner.indicator.inputs)})"

    @property
    def value(self) -> float:
        """What the last update returned; NaN before the first."""
        return self._runner.value

    @property
    def ready(self) -> bool:
        """Whether the first value has been reached."""
        return self._runner.ready


# ------------------------------------------------------------------ writing one


def kernel(
    *,
    on: Source,
    lookback: Count,
    memory: int | Callable[..., int | None] | None,
    start: Callable[..., Any] | None = None,
) -> Callable[[Callable[Concatenate[S, X, P], tuple[S, float]]], Callable[P, Indicator]]:
    """Make an indicator of a function `update(state, x, ...) -> (state, y)`.

    The first argument is the state, a NamedTuple of numbers and buffers that begins at its defaults (zero where there
    are none); the second is the row, a number or a `Quote`; those that follow are the indicator's parameters.

        class Seen(NamedTuple):
            value: float = 0.0

        @kernel(on="mid", lookback=0, memory=lambda speed: math.ceil(21 / speed))
        def Follow(state: Seen, x: float, speed: float = 0.1) -> tuple[Seen, float]:
            value = state.value + speed * (x - state.value)
            return Seen(value), value

        Follow(0.2)(column)

    Args:
        on: what it is computed on unless told otherwise, one of `sources.SOURCES`.
        lookback: the row of the first value, or a function of the parameters that gives it.
        memory: how many rows before a row decide its value to 1e-9, None for all of them, or a function of the
            parameters.
        start: a function of the parameters that returns the first state; needed where the state has buffers.

    Raises:
        UnknownName: where `on` does not exist.
        InvalidParameter: where the function does not have this shape.
    """
    source = checked_source(on)

    def decorate(update: Callable[Concatenate[S, X, P], tuple[S, float]]) -> Callable[P, Indicator]:
        function = getattr(update, "py_func", update)
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        if len(parameters) < 2:
            raise InvalidParameter(f"{function.__name__} must take (state, x, ...) and return (state, y)")
        hints = _hints(function)
        begin: Callable[..., Any]
        if start is None:
            first = _default_state(function.__name__, hints.get(parameters[0].name))

            def begin() -> tuple[Any, ...]:
                return first

        else:
            begin = start

        made = type(
            function.__name__,
            (_Made,),
            {
                "__doc__": function.__doc__,
                "__module__": function.__module__,
                "__qualname__": function.__qualname__,
                "__signature__": signature.replace(parameters=parameters[2:], return_annotation=inspect.Signature.empty),
                "update": staticmethod(update),
                "on": source,
                "_hints": {p.name: hints.get(p.name) for p in parameters[2:]},
                "_counts": (lookback, memory),
                "_begin": staticmethod(begin),
            },
        )
        return typing.cast("Callable[P, Indicator]", made)

    return decorate


class _Made(Indicator):
    """An indicator made by `kernel`: its parameters are those of the function after the row."""

    _hints: ClassVar[dict[str, Any]]
    _counts: ClassVar[tuple[Any, Any]]
    _begin: ClassVar[Callable[..., Any]]
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidParameter(f"{name}{self.__signature__}: {error}") from None
        bound.apply_defaults()
        values = {key: _checked(name, key, value, self._hints[key]) for key, value in bound.arguments.items()}
        self._arguments = tuple(values.values())
        self._values = values
        lookback, memory = self._counts
        self.lookback = whole_number(name, "lookback", _asked(lookback, values), low=0)
        memory = _asked(memory, values)
        self.memory = None if memory is None else whole_number(name, "memory", memory, low=0)

    def plan(self, tick: Fraction | None, lot: Fraction | None) -> Plan:  # noqa: ARG002 (floats, whatever the grid)
        """See `Indicator.plan`: the first state that `kernel` was given."""
        return Plan(_asked(self._begin, self._values), self._arguments, (None,) * len(self.inputs))


def whole_number(owner: str, name: str, value: Any, *, low: int) -> int:
    """`value` as an int of at least `low`.

    Raises:
        InvalidParameter: for another type (2.5, "10", True) or a smaller number.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if number < low or isinstance(value, bool):
        raise InvalidParameter(f"{owner}: {name} must be a whole number of at least {low}, not {value!r}")
    return number


def _step(name: str, value: Number | None) -> Fraction | None:
    if value is None:
        return None
    number = to_decimal(value, name)
    if number <= Decimal(0):
        raise InvalidParameter(f"{name} must be above zero, not {value!r}")
    return Fraction(number)


def _asked(count: Any, values: dict[str, Any]) -> Any:
    """A constant, or what a function of some of the parameters says."""
    if not callable(count):
        return count
    names = inspect.signature(count).parameters
    return count(**{name: value for name, value in values.items() if name in names})


def _checked(owner: str, name: str, value: Any, hint: Any) -> int | float | bool:
    """A parameter as the type its annotation names.

    Raises:
        InvalidParameter: where it is not a number of that type.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    expected = (hint,) if hint in (int, float, bool) else (int, float, bool)
    if type(value) not in expected:
        raise InvalidParameter(f"{owner}: {name} must be {' or '.join(t.__name__ for t in expected)}, not {value!r}")
    return typing.cast("int | float | bool", value)


def _kind_of(owner: object, name: str, value: Any) -> str:
    """How a field of a state is kept.

    Raises:
        InvalidParameter: where it is neither a number nor a buffer.
    """
    if isinstance(value, bool | np.bool_):
        return "bool"
    if isinstance(value, int | np.integer):
        return "int"
    if isinstance(value, float | np.floating):
        return "float"
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype in (np.dtype(np.int64), np.dtype(np.float64)):
        return "ints" if value.dtype == np.int64 else "floats"
    raise InvalidParameter(
        f"{owner}: the field {name} of its state must be an int, float, bool or a one-dimensional array of int64 or "
        f"float64, not {value!r}"
    )


def _address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function as types; those that cannot be resolved are left out."""
    closure = inspect.getclosurevars(function).nonlocals
    try:
        return typing.get_type_hints(function, localns=closure)
    except NameError:
        return {name: hint for name, hint in function.__annotations__.items() if not isinstance(hint, str)}


def _default_state(owner: str, state: Any) -> tuple[Any, ...]:
    """A NamedTuple at its defaults; numbers without one begin at zero.

    Raises:
        InvalidParameter: where the annotation is no NamedTuple, or a field is no number and has no default.
    """
    if not (isinstance(state, type) and issubclass(state, tuple) and hasattr(state, "_fields")):
        raise InvalidParameter(
            f"{owner}: annotate its first argument with the NamedTuple of its state, or pass start= with the first state"
        )
    zeros: dict[str, int | float | bool] = {"float": 0.0, "int": 0, "bool": False}
    kinds: dict[str, type] = {"float": float, "int": int, "bool": bool}
    values = []
    for name in state._fields:
        hint = state.__annotations__.get(name)
        text = str(getattr(hint, "__forward_arg__", getattr(hint, "__name__", hint)))
        default = state._field_defaults.get(name, zeros.get(text))  # type: ignore[attr-defined]
        if default is None:
            raise InvalidParameter(f"{owner}: the field {name} of its state is no number; give the first state with start=")
        values.append(kinds[text](default) if text in kinds else default)
    return state(*values)
