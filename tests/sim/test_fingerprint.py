"""The code that a strategy of a notebook cell depends on: what its cell and its globals say."""

from __future__ import annotations

import importlib
import linecache
import shutil
import sys
import types
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cift
from cift.sim.fingerprint import code_hash, engine_hash, left_out, packages

CELL = """
import cift

class Sized(cift.Strategy):
    def on_start(self):
        self.buy(AMOUNT[0])
"""


def of_a_cell(text: str, *, kept: bool = True, **globals_: object) -> type:
    """The class that a cell ends with, in a module without a file, as a kernel has it.

    A kernel keeps the lines of a cell under the name that it compiles it with; the prompt of Python does not.
    """
    module = types.ModuleType("cell_of_a_notebook")
    sys.modules[module.__name__] = module
    vars(module).update(globals_)
    linecache.cache.pop("<cell 1>", None)
    if kept:
        linecache.cache["<cell 1>"] = (len(text), None, text.splitlines(keepends=True), "<cell 1>")
    exec(compile(text, "<cell 1>", "exec"), vars(module))
    strategy = vars(module)["Sized"]
    assert isinstance(strategy, type)
    return strategy


def sized(amount: object, name: str = "AMOUNT", *, kept: bool = True) -> type:
    """The class of a cell whose global has a value."""
    return of_a_cell(CELL, kept=kept, **{name: amount})


class Mode(Enum):
    """Of a module with a file."""

    SLOW = 1
    FAST = 2


@dataclass
class Settings:
    """Of a module with a file."""

    size: int


class Plain:
    """Whose content nobody can tell."""


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
        (Mode.SLOW, Mode.FAST),
        (Settings(5), Settings(6)),
        (range(5), range(6)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.zeros(1, dtype=[("a", "i8")]), np.zeros(1, dtype=[("b", "i8")])),
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
    endless: list[object] = []
    endless.append(endless)
    for unknown in (iter([5]), [object()], [Settings], Plain(), endless, {"made": lambda: 5}):
        assert left_out(sized(unknown)) == ["AMOUNT"]
    assert left_out(sized(np.random.default_rng(5).random)) == ["AMOUNT self"]
    assert left_out(sized([5], name="unused")) == []


CELLS = {
    "a function": "def amount(): return N\nclass Sized(Strategy):\n    def on_start(self): self.buy(amount())",
    "a default": "def amount(n=N): return n\nclass Sized(Strategy):\n    def on_start(self): self.buy(amount())",
    "a cached function": "@lru_cache\ndef amount(): return N\nclass Sized(Strategy):\n    def on_start(self): self.buy(amount())",
    "a base class": "class Base(Strategy):\n    def on_start(self): self.buy(N)\nclass Sized(Base): pass",
    "an attribute": "class Sized(Strategy):\n    sizes = [N]\n    def on_start(self): self.buy(self.sizes[0])\nN = 0",
    "an attribute set later": "class Sized(Strategy):\n    def on_start(self): self.buy(self.n)\nSized.n = N",
    "another class": "class C: pass\nC.n = N\nclass Sized(Strategy):\n    def on_start(self): self.buy(C.n)",
    "a closure": (
        "def make(n):\n    class Sized(Strategy):\n        def on_start(self): self.buy(n)\n    return Sized\nSized = make(N)"
    ),
    "a decorator": (
        "def times(n):\n    def around(f):\n        return lambda: n * f()\n    return around\ntwice = times(N)\n"
        "@twice\ndef amount(): return 1\nclass Sized(Strategy):\n    def on_start(self): self.buy(amount())"
    ),
}


@pytest.mark.parametrize("kept", [True, False], ids=["cell", "prompt"])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_what_a_class_reaches_counts(cell: str, kept: bool) -> None:
    def hashed(n: int) -> str:
        return code_hash(of_a_cell("from functools import lru_cache\nfrom cift import Strategy\n" + cell, kept=kept, N=n))

    assert hashed(5) == hashed(5)
    assert hashed(5) != hashed(6)


def test_what_a_class_of_a_file_closes_over_counts() -> None:
    def made(size: object) -> type:
        class Closed(cift.Strategy):
            def on_start(self) -> None:
                self.buy(size)  # type: ignore[arg-type]

        return Closed

    assert code_hash(made(5)) == code_hash(made(5))
    assert code_hash(made(5)) != code_hash(made(6))
    assert left_out(made(5)) == []
    assert left_out(made(Plain())) == ["Closed.on_start size"]


def test_the_packages_that_the_code_names_are_told_with_their_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = CELL.replace("AMOUNT[0]", "float(np.exp(LATER))")
    assert packages(of_a_cell(cell, np=np, LATER=1, pl=pl)) == {"numpy": version("numpy")}
    assert packages(sized([5])) == {}
    # Through a module of the user's own; the ones of Python and the user's folders are no packages.
    (tmp_path / "of_mine").mkdir()
    (tmp_path / "of_mine" / "sizes.py").write_text("import json\nimport polars.selectors\nAMOUNT = [5]\n")
    (tmp_path / "mine_by_file.py").write_text("from of_mine.sizes import AMOUNT\n" + CELL)
    monkeypatch.syspath_prepend(str(tmp_path))
    strategy = importlib.import_module("mine_by_file").Sized
    assert packages(strategy) == {"polars": version("polars")}


def test_the_engine_is_the_core_and_what_decides_above_it(tmp_path: Path) -> None:
    package = tmp_path / "cift"
    shutil.copytree(Path(cift.__file__).parent, package, ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    same = engine_hash(package)
    assert same == engine_hash()
    for name, decides in (("report/tearsheet.py", False), ("indicators/averages.py", True), ("strategy.py", True)):
        copy = tmp_path / name.replace("/", "_")
        shutil.copytree(package, copy)
        with (copy / name).open("a") as file:
            file.write("# another word\n")
        assert (engine_hash(copy) != same) == decides, name
