"""Frames in less memory, with nothing lost.

Each column is brought to the narrowest type that holds it, brought back, and compared with what it was, bit for bit; one
that does not come back so stays as it is. What is tried:

| column | becomes | where |
|---|---|---|
| whole numbers | the narrowest integers, signed only where negative | always |
| whole numbers | their distance from the smallest, `order_id_minus_14058630` | that takes less (`offsets=True`) |
| times | their distance from the first column of times, `ts_recv_minus_ts_event` | the same |
| floats | whole numbers of 10**-d, called `price_x100` for d = 2 | all values lie on such a grid, d <= 9 |
| floats | Float32 | it gives each one back, NaN and -0.0 included |
| texts, categories | Enum of the values that there are | fewer than half of the rows differ |
| all null | Null | always |

Times keep their nanoseconds. A column of other values has another name, so that nobody takes 10025 for a price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from cift.data.division import divided
from cift.errors import DataError

DECIMALS_MAX = 9
EXACT_MAX = 2**53
"""Whole numbers up to here are floats."""
_UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_SIGNED = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)


@dataclass(frozen=True)
class NarrowedColumn:
    """What became of one column.

    Args:
        name: as it was. narrow_name: as it is now.
        dtype, narrow_dtype: its types.
        decimals: where its values are whole numbers of 10**-decimals now.
        base: where they are distances now: from this number, or from the column of this name.
        bytes, narrow_bytes: what it took and takes.
    """

    name: str
    narrow_name: str
    dtype: pl.DataType
    narrow_dtype: pl.DataType
    decimals: int | None
    base: int | str | None
    bytes: int
    narrow_bytes: int


@dataclass(frozen=True)
class NarrowReport:
    """What `narrow` did, column by column; `widen` needs it to give the frame back.

    Args:
        columns: in the order of the frame.
        rows: of the frame.
    """

    columns: tuple[NarrowedColumn, ...]
    rows: int

    @property
    def bytes(self) -> int:
        """Of the frame as it was."""
        return sum(column.bytes for column in self.columns)

    @property
    def narrow_bytes(self) -> int:
        """Of the narrow frame."""
        return sum(column.narrow_bytes for column in self.columns)

    @property
    def saved(self) -> float:
        """The part of the memory that was saved, 0 to 1."""
        return 1 - self.narrow_bytes / self.bytes if self.bytes else 0.0

    def __repr__(self) -> str:
        lines = [f"{self.rows:,} rows: {self.bytes:,} bytes -> {self.narrow_bytes:,}, {self.saved:.0%} smaller"]
        for column in self.columns:
            scale = "" if column.decimals is None else f", in 1e-{column.decimals}"
            kind = (
                f"{column.dtype} -> {_told(column.narrow_dtype)}" if column.dtype != column.narrow_dtype else str(column.dtype)
            )
            lines.append(f"  {column.narrow_name}: {kind}{scale}")
        return "\n".join(lines)


def _told(kind: pl.DataType) -> str:
    return f"Enum of {len(kind.categories)}" if isinstance(kind, pl.Enum) else str(kind)


def narrow(frame: pl.DataFrame, *, offsets: bool = True) -> tuple[pl.DataFrame, NarrowReport]:
    """The frame in the narrowest types that give it back bit for bit, and what was done.

    Args:
        frame: of any columns; lists, structs, decimals, dates, durations, Float16, Python objects, whole numbers of more than 64 bits
            and a column without a name stay as they are.
        offsets: whether large numbers and second times may become distances. Without it ids and times can be compared with
            those of other frames.

    Returns:
        The narrow frame and the report. `widen(narrowed, report)` is the frame again, with its types and the order of its
        columns.

    Example:
        >>> import polars as pl
        >>> small, report = narrow(pl.DataFrame({"price": [100.25, 100.5], "side": ["bid", "bid"]}))
        >>> small.schema["price_x100"], widen(small, report)["price"].to_list()
        (UInt16, [100.25, 100.5])
    """
    taken = set(frame.columns)
    anchor = next((one for one in frame.get_columns() if one.dtype == pl.Datetime and not one.null_count()), None)
    made, told = [], []
    for before in frame.get_columns():
        for column, change in _candidates(before, anchor if offsets else None, offsets):
            name = change.name(before.name)
            if name != before.name and name in taken:
                continue
            if column is before or _identical(change.undone(column, before.name, before.dtype, anchor), before):
                break
        else:
            raise AssertionError("a column is always identical with itself")
        taken.add(name)
        made.append(column.alias(name))
        told.append(
            NarrowedColumn(
                before.name,
                name,
                before.dtype,
                column.dtype,
                change.decimals,
                change.base,
                bytes_of(before),
                bytes_of(column),
            )
        )
    # Of a list of columns polars renames those without a name.
    return pl.DataFrame({one.name: one for one in made}), NarrowReport(tuple(told), frame.height)


def widen(frame: pl.DataFrame, report: NarrowReport) -> pl.DataFrame:
    """The frame that `narrow` was given, or the rows of it that `frame` still has.

    Args:
        frame: the narrow frame, or some of its rows (filtered, sliced, sorted). Columns beside its own stay at the end.
        report: what `narrow` gave with it.

    Raises:
        DataError: a column of the report is missing, or has another type by now; or a new one has a name that is to be given
            back.
    """
    wide = []
    for column in report.columns:
        anchor = column.base if isinstance(column.base, str) else None
        for needed in (column.narrow_name, anchor):
            if needed is not None and needed not in frame.columns:
                raise DataError(
                    f"column {needed!r} missing, which {column.name!r} is made of; found {', '.join(frame.columns)}"
                )
        narrow_column = frame[column.narrow_name]
        if narrow_column.dtype != column.narrow_dtype:
            raise DataError(
                f"column {column.narrow_name!r} is {narrow_column.dtype}; it was {column.narrow_dtype} when it was narrowed"
            )
        change = Change(column.decimals, column.base)
        wide.append(change.undone(narrow_column, column.name, column.dtype, None if anchor is None else frame[anchor]))
    own = {column.narrow_name for column in report.columns}
    others = [column for column in frame.get_columns() if column.name not in own]
    double = sorted({column.name for column in wide} & {column.name for column in others})
    if double:
        raise DataError(f"the narrow frame has a column {double[0]!r} of its own, which is to be given back; rename it")
    return pl.DataFrame({one.name: one for one in (*wide, *others)})


@dataclass(frozen=True)
class Change:
    """How a column's values were changed, beside their type; see `NarrowedColumn`."""

    decimals: int | None = None
    base: int | str | None = None

    def name(self, before: str) -> str:
        """What the changed column is called."""
        if self.base is not None:
            return f"{before}_minus_{self.base}"
        return before if self.decimals is None else f"{before}_x{10**self.decimals}"

    def undone(self, column: pl.Series, name: str, dtype: pl.DataType, anchor: pl.Series | None) -> pl.Series:
        """The column as it was."""
        if self.decimals is not None:
            # One division gives the float nearest to the decimal; a product with 0.01 often gives another.
            column = divided(column, 10.0**self.decimals)
        elif isinstance(self.base, str):
            assert anchor is not None
            column = anchor.to_physical() + column.cast(pl.Int64)
        elif self.base is not None:
            column = column.cast(pl.Int64 if self.base < 0 else dtype) + self.base
        return (column if column.dtype == dtype else column.cast(dtype)).alias(name)


def bytes_of(column: pl.Series) -> int:
    """What a column takes in memory, without what its type takes (the categories of an Enum).

    `estimated_size` of polars, but for texts, of which it counts the characters alone: each is 16 bytes, and what is longer
    than 12 characters stands beside.
    """
    if column.dtype != pl.String:
        return int(column.estimated_size())
    lengths = column.str.len_bytes()
    return 16 * len(column) + int(lengths.filter(lengths > 12).sum()) + (len(column) + 7) // 8 * bool(column.null_count())


def _identical(one: pl.Series, other: pl.Series) -> bool:
    """Whether two columns have the same type, nulls and bits: NaN equals itself, and 0.0 is not -0.0."""
    if one.dtype != other.dtype or not (one.is_null() == other.is_null()).all():
        return False
    if one.dtype.is_float():
        bits = pl.UInt64 if one.dtype == pl.Float64 else pl.UInt32
        one, other = (column.fill_null(0.0).reinterpret(dtype=bits) for column in (one, other))
    return one.equals(other)


Candidate = tuple[pl.Series, Change]
AS_IT_IS = Change()


def _candidates(column: pl.Series, anchor: pl.Series | None, offsets: bool) -> Iterator[Candidate]:
    """What a column may become, narrowest first; at last itself."""
    made: list[Candidate] = []
    if not column.name or column.dtype in (pl.Object, pl.Float16) or _is_beyond(column):
        yield column, AS_IT_IS
        return
    if len(column) and column.null_count() == len(column):
        made.append((pl.Series(column.name, [None] * len(column), dtype=pl.Null), AS_IT_IS))
    elif column.dtype.is_integer():
        made += _of_integers(column, offsets)
    elif column.dtype.is_float():
        made += _of_floats(column)
    elif column.dtype in (pl.String, pl.Categorical, pl.Enum):
        made += _of_texts(column)
    elif anchor is not None and column.dtype == pl.Datetime and column.name != anchor.name:
        made += _of_times(column, anchor)
    size = bytes_of(column)
    # Of two of one size the one before, which changes less.
    yield from sorted((one for one in made if bytes_of(one[0]) < size), key=lambda one: bytes_of(one[0]))
    yield column, AS_IT_IS


def _is_beyond(column: pl.Series) -> bool:
    """Whether a column has whole numbers of which 64 bits, one of them for the sign, do not hold the distances."""
    if column.dtype not in (pl.Int128, pl.UInt128):
        return False
    low, high = column.min(), column.max()
    return isinstance(low, int) and isinstance(high, int) and not (low >= -(2**63) and high < 2**63)


def _narrowest(column: pl.Series) -> pl.Series:
    low = column.min()
    if low is None:
        return column
    for kind in _UNSIGNED if int(low) >= 0 else _SIGNED:  # type: ignore[arg-type]
        # What does not fit becomes null.
        cast = column.cast(kind, strict=False)
        if cast.null_count() == column.null_count():
            return cast
    return column


def _of_integers(column: pl.Series, offsets: bool) -> Iterator[Candidate]:
    yield _narrowest(column), AS_IT_IS
    low, high = column.min(), column.max()
    if offsets and isinstance(low, int) and isinstance(high, int) and low != 0 and high - low < 2**63:
        distance = column - low if low > 0 else column.cast(pl.Int64) - low
        yield _narrowest(distance), Change(base=low)


def _of_floats(column: pl.Series) -> Iterator[Candidate]:
    if column.dtype != pl.Float64:
        return
    if column.is_finite().all():
        for decimals in range(DECIMALS_MAX + 1):
            steps = (column * 10.0**decimals).round()
            if not (steps.abs() <= EXACT_MAX).all():
                break
            if (divided(steps, 10.0**decimals) == column).all():
                yield _narrowest(steps.cast(pl.Int64)), Change(decimals=decimals or None)
                break
    yield column.cast(pl.Float32), AS_IT_IS


def _of_times(column: pl.Series, anchor: pl.Series) -> Iterator[Candidate]:
    if column.dtype.time_unit == anchor.dtype.time_unit:  # type: ignore[attr-defined]
        distance = column.to_physical() - anchor.to_physical()
        yield _narrowest(distance), Change(base=anchor.name)


def _of_texts(column: pl.Series) -> Iterator[Candidate]:
    texts = column.cast(pl.String)
    values = texts.drop_nulls().unique().sort()
    if 0 < len(values) <= max(1, len(column) // 2):
        yield texts.cast(pl.Enum(values)), AS_IT_IS
