"""Sums over the last n values, exact over integers and without drift over floats.

A running sum that adds the new value and subtracts the old one keeps the rounding of all that ever passed through it,
and one infinity makes it NaN for ever. Here the column is cut into blocks of n values. A window is the end of one block
and the beginning of the next: the sums of all ends of the last block are kept, the beginning is summed as it comes. Two
additions a row, no subtraction, and a value that has left the window has left no trace.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Buffer = NDArray[np.int64] | NDArray[np.float64]


def empty_window(n: int, *, exact: bool) -> tuple[Buffer, int | float]:
    """Buffer and running total of a window of `n` values, integers where it is exact."""
    return (np.zeros(n, dtype=np.int64), 0) if exact else (np.zeros(n, dtype=np.float64), 0.0)


def scale_of(step: Fraction | None, divisor: int) -> tuple[float, float]:
    """Numerator and denominator that turn a sum of steps into natural units and divide it by `divisor`."""
    step = Fraction(1) if step is None else step
    return float(step.numerator), float(step.denominator * divisor)


def slid(block: Any, position: int, total: Any, x: Any) -> tuple[int, Any, Any]:
    """Take `x` into a window; returns (position, total of the present block, sum of the window).

    `block` holds this block's values up to `position`, and from there on the sums of the ends of the block before: its
    last value, its last two, and so on, each where the window needs it. Compiled into the updates that call it.

    Source: the two-stack queue; for windows, van Herk (1992) and Gil and Werman (1993).
    """
    n = block.shape[0]
    block[position] = x
    total += x
    window = total
    position += 1
    if position < n:
        window += block[position]
    else:
        for i in range(n - 2, -1, -1):
            block[i] += block[i + 1]
        position = 0
        total = 0
    return position, total, window
