"""A column divided by one number, each quotient rounded once.

Polars multiplies by the reciprocal instead: `pl.Series([10010.0]) / 100` is 100.10000000000001 (polars 2.1), while a column
divided by a column is divided. Whole ticks become prices here, so the difference would be everywhere.
"""

from __future__ import annotations

import numpy as np
import polars as pl


def divided(values: pl.Series, by: float) -> pl.Series:
    """Each value divided by one number, as Float64; null stays null.

    Example:
        >>> import polars as pl
        >>> divided(pl.Series([10010]), 100).item() == 100.1
        True
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = pl.Series(values.name, values.cast(pl.Float64).to_numpy() / by)
    return quotients.set(values.is_null(), None) if values.null_count() else quotients
