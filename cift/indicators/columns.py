"""Columns of any kind in, the same kind out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cift.errors import InvalidParameter, ShapeMismatch

Floats = NDArray[np.float64]


def library_of(column: Any) -> str:
    """The package that a column's class comes from: "numpy", "polars", "pyarrow", "pandas", "builtins"."""
    return type(column).__module__.partition(".")[0]


def floats(column: Any, name: str = "column") -> Floats:
    """A column as contiguous float64; nulls become NaN. No copy where it is that already.

    Raises:
        ShapeMismatch: where it is not one-dimensional.
        InvalidParameter: where it does not hold numbers.
    """
    library = library_of(column)
    if library == "polars" and column.dtype.is_numeric():
        column = column.cast(sys.modules["polars"].Float64).to_numpy()
    elif library == "pyarrow":
        column = column.to_numpy() if hasattr(column, "num_chunks") else column.to_numpy(zero_copy_only=False)
    elif library == "pandas" and column.dtype.kind in "iuf":
        column = column.to_numpy(dtype=np.float64, na_value=np.nan)
    elif isinstance(column, list | tuple):
        column = [np.nan if value is None else value for value in column]
    try:
        array = np.asarray(column)
        if array.dtype.kind == "O" and not any(isinstance(value, str | bool) for value in array.flat):
            array = array.astype(np.float64)  # decimals, and None for a null
        if array.dtype.kind not in "iuf":
            raise TypeError(f"values of type {array.dtype}")
        if array.ndim == 1:
            return np.ascontiguousarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidParameter(f"{name} must hold numbers; it is a {type(column).__name__}: {error}") from None
    raise ShapeMismatch(f"{name} must have one dimension; it has shape {array.shape}")


def alike(values: Floats, column: Any) -> Any:
    """`values` as the kind of column that was given: NumPy, polars or pandas Series, pyarrow Array, list.

    A polars Series keeps its name, a pandas Series name and index.
    """
    library = library_of(column)
    if library == "polars":
        return sys.modules["polars"].Series(column.name, values)
    if library == "pandas":
        return type(column)(values, index=column.index, name=column.name)
    if library == "pyarrow":
        pyarrow = sys.modules["pyarrow"]
        array = pyarrow.array(values)
        return pyarrow.chunked_array([array]) if hasattr(column, "num_chunks") else array
    if isinstance(column, list | tuple):
        return values.tolist()
    return values


def taken(given: Sequence[Any], names: Sequence[str], owner: str) -> tuple[Any, ...]:
    """The columns of a call: as many as `names`, or one frame (polars, pandas, pyarrow) that holds them under these
    names.

    Raises:
        ShapeMismatch: where their number is another.
    """
    if len(given) == 1 and len(names) > 1 and hasattr(given[0], "columns"):
        frame = given[0]
        present = frame.column_names if library_of(frame) == "pyarrow" else frame.columns
        absent = [name for name in names if name not in list(present)]
        if absent:
            raise ShapeMismatch(f"{owner} reads the columns {list(names)}; the frame has no {absent}")
        return tuple(frame[name] for name in names)
    if len(given) != len(names):
        raise ShapeMismatch(f"{owner} reads {len(names)} columns ({', '.join(names)}); {len(given)} were given")
    return tuple(given)


def of_one_length(arrays: Sequence[Floats], names: Sequence[str], owner: str) -> None:
    """Check that columns belong together.

    Raises:
        ShapeMismatch: naming the lengths.
    """
    lengths = [array.shape[0] for array in arrays]
    if len(set(lengths)) > 1:
        told = ", ".join(f"{name} {length}" for name, length in zip(names, lengths, strict=True))
        raise ShapeMismatch(f"the columns of {owner} differ in length: {told}")
