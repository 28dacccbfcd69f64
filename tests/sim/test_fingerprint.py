"""The code that a strategy of a notebook cell depends on: what its cell and its globals say."""

from __future__ import annotations

import linecache
import sys
import types

import numpy as np
import polars as pl
import pytest

from cift.sim.fingerprint import code_hash, left_out

CELL = """
import cift

class Sized(cift.Strategy):
    def on_start(self):
        self.buy(AMOUNT[0])
"""


def sized(amount: object, name: str = "AMOUNT") -> type:
    """The class of a cell whose global has a value, in a module without a file, as a kernel has it."""
    module = types.ModuleType("cell_of_a_notebook")
    sys.modules[module.__name__] = module
    vars(module)[name] = amount
    # A kernel keeps the lines of a cell under the name that it compiles it with.
    linecache.cache["<cell 1>"] = (len(CELL), None, CELL.splitlines(keepends=True), "<cell 1>")
    exec(compile(CELL, "<cell 1>", "exec"), vars(module))
    strategy = vars(module)["Sized"]
    assert isinstance(strategy, type)
    return strategy


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([5], [6]),
        ((5,), [5]),
        ({0: 5}, {0: 6}),
        ({0: [1, {2}]}, {0: [1, {3}]}),
        (np.array([5]), np.array([6])),
        (np.array([5]), np.array([5.0])),
        (np.float64(5.0), np.float64(6.0)),
        (pl.Series([5]), pl.Series([6])),
        (None, 0),
    ],
    ids=str,
)
def test_the_content_of_a_global_counts(one: object, other: object) -> None:
    assert code_hash(sized(one)) == code_hash(sized(one))
    assert code_hash(sized(one)) != code_hash(sized(other))
    assert left_out(sized(one)) == []


def test_a_set_has_one_hash_whatever_its_order() -> None:
    assert code_hash(sized({"a", "b", "c"})) == code_hash(sized({"c", "b", "a"}))


def test_what_cannot_be_told_is_named() -> None:
    assert left_out(sized(iter([5]))) == ["AMOUNT"]
    assert left_out(sized([object()])) == ["AMOUNT"]
    assert left_out(sized([5], name="unused")) == []
