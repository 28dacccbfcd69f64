"""The code that a strategy of a notebook cell depends on: what its cell and its globals say."""

from __future__ import annotations

import importlib
import linecache
import os
import shutil
import subprocess
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
from cift.domain.instrument import Instrument
from cift.sim.fingerprint import code_hash, engine_hash, left_out, packages

CELL = """
import cift

class Sized(cift.Strategy):
    def on_start(self):
        self.buy(AMOUNT[0])
"""


def of_a_cell(text: str, *, kept: bool = True, **globals_: object) -> type:
    """The class that a cell ends with."""
    return of_cells([text], kept=kept, **globals_)


def of_cells(texts: list[str], *, kept: bool = True, **globals_: object) -> type:
    """The class that some cells end with, in a module without a file, as a kernel has it.

    A kernel keeps the lines of a cell under the name that it compiles it with; the prompt of Python does not.
    """
    module = types.ModuleType("cell_of_a_notebook")
    sys.modules[module.__name__] = module
    vars(module).update(globals_)
    for number, text in enumerate(texts, 1):
        name = f"<cell {number}>"
        linecache.cache.pop(name, None)
        if kept:
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(module))
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


TOLD_APART = {
    "an alias of Python's": ("pick = max", "pick = min", "pick(1, 2)"),
    "an alias of the package's": (
        "from cift.indicators import EMA as A",
        "from cift.indicators import SMA as A",
        "A(10).lookback",
    ),
    "an alias of a module": ("import math as m", "import numpy as m", "m.sqrt(4)"),
    "an alias of a function": (
        "def f(): return 1\ndef g(): return 2\npick = f",
        "def f(): return 1\ndef g(): return 2\npick = g",
        "pick() + f() + g()",
    ),
    "a function handed on": (
        "def with_(f): return lambda: f(1, 2)\na = with_(max)",
        "def with_(f): return lambda: f(1, 2)\na = with_(min)",
        "a()",
    ),
    "an old default": ("N = 5\ndef amount(n=N): return n\nN = 6", "N = 6\ndef amount(n=N): return n", "amount()"),
    "an old default of a keyword": (
        "N = 5\ndef amount(*, n=N): return n\nN = 6",
        "N = 6\ndef amount(*, n=N): return n",
        "amount()",
    ),
    "an attribute of a function": ("def f(): return f.n\nf.n = 5", "def f(): return f.n\nf.n = 6", "f()"),
    "the class of an item": (
        "@dataclass\nclass Rule:\n    n: int\n    def size(self): return self.n * 2\nR = [Rule(5)]",
        "@dataclass\nclass Rule:\n    n: int\n    def size(self): return self.n * 3\nR = [Rule(5)]",
        "R[0].size()",
    ),
    "the class of a class": (
        "class Made(type): n = 5\nclass C(metaclass=Made): pass",
        "class Made(type): n = 6\nclass C(metaclass=Made): pass",
        "C.n",
    ),
    "how a field begins": (
        "N = 5\n@dataclass\nclass Rule:\n    n: list = field(default_factory=lambda: [N])",
        "N = 6\n@dataclass\nclass Rule:\n    n: list = field(default_factory=lambda: [N])",
        "Rule().n[0]",
    ),
    "a module and a value of one name": ("config = {'a': 5}\nimport json", "config = {'a': 6}\nimport json", "config['a']"),
    "a guarded call": (
        "def f():\n    try: a(); b()\n    except KeyError: return 1",
        "def f():\n    a()\n    try: b()\n    except KeyError: return 1",
        "f()",
    ),
}


@pytest.mark.parametrize("kept", [True, False], ids=["cell", "prompt"])
@pytest.mark.parametrize(("one", "other", "amount"), TOLD_APART.values(), ids=TOLD_APART)
def test_what_a_name_stands_for_counts(one: str, other: str, amount: str, kept: bool) -> None:
    def hashed(before: str) -> str:
        head = "from dataclasses import dataclass, field\nfrom cift import Strategy\n"
        body = f"class Sized(Strategy):\n    def on_start(self): self.buy({amount})\n"
        return code_hash(of_cells([head, before + "\n", body], kept=kept))

    assert hashed(one) == hashed(one)
    assert hashed(one) != hashed(other)


CLASSES = {
    "a class over its base": ["class Sized(Strategy): pass\n", "class Sized(Sized):\n    def on_start(self): self.buy(N)\n"],
    "a base under its class": ["class Sized(Strategy):\n    def on_start(self): self.buy(N)\n", "class Sized(Sized): pass\n"],
    "a method set later": [
        "class Sized(Strategy):\n    def on_stop(self): pass\n",
        "def on_start(self): self.buy(N)\nSized.on_start = on_start\n",
    ],
    "a state": ["class Sized(Strategy):\n    n: int = state(N)\n    def on_start(self): self.buy(self.n)\n"],
    "a state in a class without methods": [
        "class Base(Strategy):\n    n: int = state(5)\n    def on_start(self): self.buy(self.n)\n",
        "class Sized(Base):\n    n: int = state(N)\n",
    ],
    "an old default of a method": ["class Sized(Strategy):\n    def on_start(self, n=N): self.buy(n)\n"],
    "a setter": [
        "class Sized(Strategy):\n    @property\n    def x(self): return 1\n    @x.setter\n    def x(self, v): self.buy(N)\n"
        "    def on_start(self): self.x = 1\n"
    ],
}


@pytest.mark.parametrize("late", [True, False], ids=["written", "changed later"])
@pytest.mark.parametrize("kept", [True, False], ids=["cell", "prompt"])
@pytest.mark.parametrize("cells", CLASSES.values(), ids=CLASSES)
def test_what_a_class_is_counts(cells: list[str], kept: bool, late: bool) -> None:
    def hashed(n: int) -> str:
        head = "from cift import Strategy, state\n"
        written = cells if late else [cell.replace("N", str(n)) for cell in cells]
        return code_hash(of_cells([head, *written], kept=kept, N=n))

    assert hashed(5) == hashed(5)
    assert hashed(5) != hashed(6)


def test_a_default_is_the_value_of_its_time() -> None:
    cell = (
        "from cift import Strategy, state\nclass Sized(Strategy):\n    n: int = state(N)\n    def on_start(self, m=N): pass\n"
    )
    old = of_cells([cell, "N = 6\n"], N=5)
    new = of_cells([cell], N=6)
    assert code_hash(old) != code_hash(new)


def test_what_an_object_holds_beside_its_content_cannot_be_told() -> None:
    class Listed(list[int]):
        pass

    listed, settings = Listed([5]), Settings(5)
    assert left_out(sized(listed)) == left_out(sized(settings)) == []
    listed.more = settings.more = 5  # type: ignore[attr-defined]
    assert left_out(sized(listed)) == left_out(sized([settings])) == ["AMOUNT"]


def test_a_value_with_the_name_of_a_module_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_values.py").write_text("def load(n): return n\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    cell = "from of_values import load\nof_values = load(N)\n" + CELL.replace("AMOUNT[0]", "load(of_values)")
    assert code_hash(of_a_cell(cell, N=5)) != code_hash(of_a_cell(cell, N=6))


@pytest.mark.parametrize("kept", [True, False], ids=["cell", "prompt"])
def test_what_a_method_of_a_cell_imports_counts(kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    cell = CELL.replace("self.buy(AMOUNT[0])", "import of_later, numpy as n\n        self.buy(of_later.N)")

    def hashed(n: int) -> str:
        (tmp_path / "of_later.py").write_text(f"N = {n}\n")
        return code_hash(of_a_cell(cell, kept=kept))

    assert hashed(5) == hashed(5)
    assert hashed(5) != hashed(6)
    assert packages(of_a_cell(cell, kept=kept)) == {"numpy": version("numpy")}


LOCALS = {
    "a local": "    def on_start(self):\n        N = 1\n        self.buy(N)\n",
    "an argument": "    def size(self, N=1): return N\n    def on_start(self): self.buy(self.size())\n",
    "a comprehension": "    sizes = [N for N in (1, 2)]\n    def on_start(self): self.buy(self.sizes[0])\n",
    "a name of the class": "    N = 1\n    sizes = (N,)\n    def on_start(self): self.buy(self.sizes[0])\n",
}


@pytest.mark.parametrize("kept", [True, False], ids=["cell", "prompt"])
@pytest.mark.parametrize("body", LOCALS.values(), ids=LOCALS)
def test_a_global_with_the_name_of_a_local_does_not_count(body: str, kept: bool) -> None:
    cell = "import cift\nclass Sized(cift.Strategy):\n" + body
    assert code_hash(of_a_cell(cell, kept=kept, N=5)) == code_hash(of_a_cell(cell, kept=kept, N=6))
    assert left_out(of_a_cell(cell, kept=kept, N=iter([5]))) == []


def test_a_file_has_one_hash_as_a_script_and_imported(tmp_path: Path) -> None:
    (tmp_path / "around_it.py").write_text("import of_one_hash\ndef twice(f):\n    return lambda self: f(self)\n")
    (tmp_path / "of_one_hash.py").write_text(
        "import around_it\nimport cift\nfrom cift.sim.fingerprint import code_hash\n"
        "def twice(f):\n    return lambda self: f(self)\n"
        "class Sized(cift.Strategy):\n    @twice\n    def on_start(self): self.buy(5)\n"
        "print(code_hash(Sized))\n"
    )
    runs = [
        subprocess.run([sys.executable, *how], cwd=tmp_path, env=_environment(), check=True, capture_output=True, text=True)
        for how in (["of_one_hash.py"], ["-c", "import of_one_hash"])
    ]
    hashes = {line for run in runs for line in run.stdout.split()}
    assert len(hashes) == 1


@pytest.mark.parametrize("kept", [True, False], ids=["cell", "prompt"])
def test_a_hash_does_not_follow_the_hash_seed(kept: bool) -> None:
    program = (
        "import linecache, sys, types\n"
        "text = 'from cift import Strategy\\nS = {chr(97 + n) for n in range(9)}\\nclass Sized(Strategy):\\n'\\\n"
        "    \"    def on_start(self):\\n        if 'a' in {'a', 'b', 'c', 'd'}: self.buy(len(S))\\n\"\n"
        f"if {kept}: linecache.cache['<cell>'] = (len(text), None, text.splitlines(keepends=True), '<cell>')\n"
        "cell = sys.modules['cell'] = types.ModuleType('cell')\n"
        "exec(compile(text, '<cell>', 'exec'), vars(cell))\n"
        "from cift.sim.fingerprint import code_hash\nprint(code_hash(cell.Sized))\n"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program], env=_environment(PYTHONHASHSEED=seed), check=True, capture_output=True, text=True
        ).stdout
        for seed in "123"
    }
    assert len(hashes) == 1


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(cift.__file__).parents[1]), **more}


def test_a_column_counts_by_its_rows_however_it_was_put_together() -> None:
    whole = pl.Series(["a", "b", None, "of more than twelve letters"])
    pieces = pl.concat([whole[:2], whole[2:]], rechunk=False)
    assert code_hash(sized(pieces)) == code_hash(sized(whole))
    assert code_hash(sized(pieces.to_frame())) == code_hash(sized(whole.to_frame()))
    numbers = pl.concat([pl.Series([1, None])[:1], pl.Series([2])], rechunk=False)
    assert code_hash(sized(numbers)) == code_hash(sized(pl.Series([1, 2])))
    assert code_hash(sized(pl.Series([0, 2]))) != code_hash(sized(pl.Series([None, 2])))


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


def test_the_library_of_calendars_is_told_where_a_market_closes() -> None:
    class Idle(cift.Strategy):
        pass

    def told(calendar: str) -> dict[str, str]:
        abc = Instrument("ABC.SIM", "0.01", 1, calendar=calendar)
        trades = pl.DataFrame({"ts_event": [1_767_625_200_000_000_000], "price": [100.0], "size": [1.0]})
        return dict(cift.Backtest(cift.trades(trades, instrument=abc), Idle).run().record.fingerprint["packages"])

    always = told("24/7")
    assert "exchange_calendars" not in always
    assert told("XNYS") == {**always, "exchange_calendars": version("exchange_calendars")}
