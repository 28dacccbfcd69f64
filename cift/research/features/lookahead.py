"""Finds features that see the future: what is computed of a row must not change when the rows behind it do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cift.errors import DataError, InvalidParameter, NoData

ROWS = "(rows)"
"""Stands for a column where it is the number of rows that depends on the future."""
THERE = ("there", "left out")
DAY_NS = 86_400_000_000_000


@dataclass(frozen=True)
class Leak:
    """One column that saw the future.

    Args:
        column: its name; "(rows)" where which rows come out depends on rows behind them.
        row: the first row of the result that differs; of rows that are there too many, its number where they are.
        cut: how many rows of the frame were left, or left as they were.
        how: "cut": the rows behind were taken away. "poisoned": they were changed.
        with_future, without: its value in either case.
    """

    column: str
    row: int
    cut: int
    how: str
    with_future: Any
    without: Any

    def __str__(self) -> str:
        return (
            f"{self.column} sees the future: row {self.row} is {self.with_future!r}, and {self.without!r} when the rows from "
            f"{self.cut} on are {'taken away' if self.how == 'cut' else 'changed'}"
        )


def check_lookahead(
    function: Callable[[pl.DataFrame], pl.DataFrame],
    frame: pl.DataFrame,
    *,
    targets: Sequence[str] = ("target", "known_at"),
    keys: Sequence[str] = (),
    cuts: int = 8,
    seed: int = 0,
    tolerance: float = 1e-9,
) -> list[Leak]:
    """Computes features on a frame, on its beginnings, and on the frame with other rows behind them, and compares.

    The comparison is a test, not a proof: it finds what shows at the rows that were tried. Half of the cuts lie at row 1 to n
    - 1 evenly, half at random.

    Args:
        function: makes features of a frame, the same for the same frame. It may leave rows out; that a beginning lacks some
            at its end (the target is not known yet) is no leak, nor is `NoData` of a short one.
        frame: rows in the order in which they are known.
        targets: columns of the result that are meant to look forward; they are not looked at.
        keys: columns of the result that tell its rows apart, such as `["ts_event", "symbol"]`; rows of the same keys are
            counted. Empty: rows are compared by their place, which is right only where all that is left out of a beginning
            stands at its end. `training_frame` of several symbols leaves out the end of each: with keys, each series (the keys
            that are no times) may lack its end, or be missing as a whole. So where a whole symbol is chosen by what becomes of it,
            only the comparison by place is sure to see it. (`training_frame` leaves out each row until its target is known, so
            a feature that looks no further ahead than the target goes unseen: check features without it.)
        cuts: how often to cut, at least 1.
        seed: of the random cuts.
        tolerance: how far two floats may differ, as a part of the larger, before they count as different. 0: to the last bit,
            which functions that sum in another order for another number of rows do not keep.

    Returns:
        The first leak of each column, empty where there is none.

    Raises:
        NoData: fewer than two rows. InvalidParameter: `cuts` or `tolerance` is out of range, the function gives no frame, or
            none with `keys`.
        DataError: the function gives something else for the same frame.

    Example:
        >>> import polars as pl
        >>> frame = pl.DataFrame({"mid": [1.0, 2.0, 4.0, 3.0]})
        >>> leaks = check_lookahead(lambda df: df.select(
        ...     fine=pl.col("mid").shift(1), peeks=pl.col("mid") - pl.col("mid").mean()), frame)
        >>> [leak.column for leak in leaks]
        ['peeks']
    """
    if frame.height < 2:
        raise NoData(f"a look ahead shows where there is something behind; the frame has {frame.height} row(s)")
    if isinstance(cuts, bool) or not isinstance(cuts, int) or cuts < 1:
        raise InvalidParameter(f"cuts must be a whole number of at least 1, not {cuts!r}")
    if not 0 <= tolerance < 1:
        raise InvalidParameter(f"tolerance must lie between 0 and 1, not {tolerance!r}")
    whole = _made(function, frame)
    again = _made(function, frame)
    if whole.schema != again.schema or not _same(whole, again):
        raise DataError("the function gives something else each time for the same frame; take out what is random, or seed it")
    absent = [name for name in keys if name not in whole.columns]
    if absent:
        raise InvalidParameter(f"keys names {absent[0]!r}; the function gives {', '.join(whole.columns)}")
    leaks: dict[str, Leak] = {}
    for cut in _cuts(frame.height, cuts, seed):
        short = _made(function, frame.head(cut), whole)
        if short.columns != whole.columns:
            raise DataError(f"the function gives columns {whole.columns} of the frame and {short.columns} of its beginning")
        rows, places = _beside(whole, short, keys)
        if len(places) < short.height:
            leaks.setdefault(ROWS, Leak(ROWS, _first_other(places), cut, "cut", len(places), short.height))
        gap = _first_gap(whole, rows, keys)
        if gap is not None:
            leaks.setdefault(ROWS, Leak(ROWS, gap, cut, "cut", *THERE))
        _compare(leaks, whole[rows], short[places], rows, (cut, "cut"), (*targets, *keys), tolerance)
        poisoned = _made(function, _poisoned(frame, cut), whole)
        known = whole[rows]
        among, places = _beside(known, poisoned, keys)
        if len(places) < known.height:
            leaks.setdefault(ROWS, Leak(ROWS, int(rows[_first_other(among)]), cut, "poisoned", known.height, len(places)))
        extra = _first_extra(whole, poisoned, frame.head(cut), keys)
        if extra is not None:
            leaks.setdefault(ROWS, Leak(ROWS, extra, cut, "poisoned", *THERE[::-1]))
        _compare(leaks, known[among], poisoned[places], rows[among], (cut, "poisoned"), (*targets, *keys), tolerance)
    return list(leaks.values())


def _compare(
    leaks: dict[str, Leak],
    one: pl.DataFrame,
    other: pl.DataFrame,
    rows: NDArray[np.int64],
    cut: tuple[int, str],
    left_out: Sequence[str],
    tolerance: float,
) -> None:
    """Writes down the first difference of each column of two frames whose rows are the same; `rows` are their numbers."""
    for name in one.columns:
        if name in left_out or name in leaks:
            continue
        row = _first_difference(one[name], other[name], tolerance)
        if row is not None:
            leaks[name] = Leak(name, int(rows[row]), *cut, one[name][row], other[name][row])


def _beside(one: pl.DataFrame, other: pl.DataFrame, keys: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows that stand in both frames, by their numbers in either: by their keys, or without any by their place."""
    if not keys:
        places = np.arange(min(one.height, other.height))
        return places, places
    row, number = "_row_of_lookahead", "_number_of_lookahead"
    numbered = [
        frame.select(*keys).with_row_index(row).with_columns(pl.int_range(pl.len()).over(*keys).alias(number))
        for frame in (one, other)
    ]
    both = numbered[0].join(numbered[1], on=[*keys, number], how="inner", nulls_equal=True, maintain_order="left")
    return both[row].cast(pl.Int64).to_numpy(), both[f"{row}_right"].cast(pl.Int64).to_numpy()


def _is_time(name: str, kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Datetime | pl.Date) or (name.startswith("ts_") and kind.is_integer())


def _first_gap(whole: pl.DataFrame, there: NDArray[np.int64], keys: Sequence[str]) -> int | None:
    """The first row that a beginning lacks, though it has a later one of its series: of the same keys, but for the times."""
    times = [name for name in keys if _is_time(name, whole.schema[name])]
    series = [name for name in keys if name not in times]
    if not times or not len(there):
        return None
    row, at, has = "_row_of_lookahead", "_place_of_lookahead", "_has_of_lookahead"
    numbered = whole.select(*keys).with_row_index(row).with_columns(pl.col(row).is_in(there.tolist()).alias(has))
    placed = numbered.sort(times, maintain_order=True).with_row_index(at)
    last = pl.col(at).filter(pl.col(has)).max()
    lacking = placed.filter(~pl.col(has) & (pl.col(at) < (last.over(series) if series else last)))
    return int(lacking[row][0]) if lacking.height else None


def _first_extra(whole: pl.DataFrame, poisoned: pl.DataFrame, beginning: pl.DataFrame, keys: Sequence[str]) -> int | None:
    """The first row that is made of the beginning only where other rows stand behind it, told by its keys."""
    if not keys or not set(keys) <= set(beginning.columns):
        return None
    row = "_row_of_lookahead"
    made = poisoned.select(*keys).with_row_index(row)
    old = made.join(beginning, on=list(keys), how="semi", nulls_equal=True)
    extra = old.join(whole, on=list(keys), how="anti", nulls_equal=True)
    return int(extra[row].min()) if extra.height else None  # type: ignore[arg-type]


def _first_other(places: NDArray[np.int64]) -> int:
    """The first number that is missing."""
    return int(np.setdiff1d(np.arange(len(places) + 1), places)[0])


def _made(
    function: Callable[[pl.DataFrame], pl.DataFrame], frame: pl.DataFrame, whole: pl.DataFrame | None = None
) -> pl.DataFrame:
    """What the function makes; where there is too little for it, nothing of the form of `whole`."""
    try:
        made: Any = function(frame)
    except NoData:
        if whole is None:
            raise
        return whole.clear()
    if isinstance(made, pl.LazyFrame):
        made = made.collect()
    if not isinstance(made, pl.DataFrame):
        raise InvalidParameter(f"the function must give a polars frame, not {type(made).__name__}")
    return made


def _same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    return one.height == other.height and all(_first_difference(one[name], other[name], 0.0) is None for name in one.columns)


def _cuts(rows: int, cuts: int, seed: int) -> list[int]:
    """Where to cut: between 1 and rows - 1, the last row always alone once."""
    even = np.linspace(1, rows - 1, (cuts + 1) // 2).astype(int) if cuts > 1 else np.array([rows - 1])
    drawn = np.random.default_rng(seed).integers(1, rows, cuts // 2)
    return sorted({*even.tolist(), *drawn.tolist()}, reverse=True)


def _poisoned(frame: pl.DataFrame, cut: int) -> pl.DataFrame:
    """The frame with other values from row `cut` on, such as could be: rows in reverse, floats doubled, times a day later.

    Doubled, a price stays on its tick. Times keep their order, each time column by itself.
    """
    future = frame.slice(cut)
    changed = []
    for values in future.get_columns():
        kind = values.dtype
        if isinstance(kind, pl.Datetime):
            day = DAY_NS // {"ns": 1, "us": 10**3, "ms": 10**6}[kind.time_unit]
            changed.append((values.to_physical() + day).cast(kind))
        elif kind == pl.Date:
            changed.append((values.to_physical() + 1).cast(kind))
        elif values.name.startswith("ts_") and kind.is_integer():
            changed.append(values + DAY_NS)
        elif kind.is_float():
            changed.append(values.reverse() * 2)
        else:
            changed.append(values.reverse())
    return pl.concat([frame.head(cut), future.select(changed)])


def _first_difference(one: pl.Series, other: pl.Series, tolerance: float) -> int | None:
    """The first row at which two columns of one length differ; NaN and null each equal themselves."""
    if one.dtype.is_float() and other.dtype.is_float() and tolerance:
        near = (one - other).abs() <= tolerance * pl.select(pl.max_horizontal(one.abs(), other.abs())).to_series()
        # A part of infinity is infinity, and everything would be near it.
        near &= one.is_finite() & other.is_finite()
        equal = one.eq_missing(other) | near.fill_null(False)
    else:
        equal = one.eq_missing(other)
    different = (~equal).arg_true()
    return int(different[0]) if len(different) else None
