"""The code that a strategy of a file depends on: the text that was loaded, what it imports, and what was set since."""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cift
from cift.sim.fingerprint import code_hash, code_of, left_out, packages

HEAD = "import cift\n"
STRATEGY = (
    HEAD
    + "N = 5\nCACHE = {}\nclass Sized(cift.Strategy):\n    size = 1\n    def on_start(self): self.buy(N * self.size + len(CACHE))\n"
)
NUMBERS = itertools.count()

Folder = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """Writes files of one folder in reach of imports, and imports the last of them afresh."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def forget() -> None:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
                del sys.modules[name]

    def load(**texts: str) -> Any:
        forget()
        for name, text in texts.items():
            write(tmp_path / f"{name}.py", text)
        return importlib.import_module(name)

    yield load
    forget()


def write(path: Path, text: str) -> None:
    """Writes a file as an editor does, some time after the last time."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    at = 1_800_000_000 + next(NUMBERS)
    os.utime(path, (at, at))
    importlib.invalidate_caches()


def edit(module: Any, old: str, new: str) -> None:
    path = Path(module.__file__)
    assert old in path.read_text()
    write(path, path.read_text().replace(old, new))


def view() -> Any:
    times = pl.datetime_range(pl.datetime(2026, 1, 5), pl.datetime(2026, 1, 5, 0, 0, 9), "1s", eager=True, time_unit="ns")
    frame = pl.DataFrame({"ts_event": times, "bid_price": 100.0, "bid_size": 500.0, "ask_price": 100.02, "ask_size": 500.0})
    return cift.quotes(frame, symbol="ONE.SIM", tick_size="0.01", lot_size=1)


LATE = {
    "import": "import helps; self.buy(helps.N)",
    "from": "from helps import N; self.buy(N)",
    "of a package": "import pack.helps; self.buy(pack.helps.N)",
    "from a package": "from pack import helps; self.buy(helps.N)",
}


@pytest.mark.parametrize("body", LATE.values(), ids=LATE)
def test_what_a_function_imports_counts_before_it_is_loaded(folder: Folder, body: str) -> None:
    def loaded(n: int) -> Any:
        text = f"{HEAD}class Sized(cift.Strategy):\n    def on_start(self):\n        {body}\n"
        return folder(**{"helps": f"N = {n}\n", "pack/helps": f"N = {n}\n", "pack/__init__": "", "mine": text})

    module = loaded(5)
    five = code_hash(module.Sized)
    assert not {"helps", "pack", "pack.helps"} & sys.modules.keys()
    importlib.import_module("helps")
    importlib.import_module("pack.helps")
    assert code_hash(module.Sized) == five
    assert code_hash(loaded(6).Sized) != five


def test_finders_of_others_are_asked_as_an_import_asks(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Finder:
        """Finds nothing, and has no default for what an import always gives."""

        def find_spec(self, fullname: str, path: Any, target: Any) -> None:
            asked.append((fullname, path, target))

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    text = HEAD + "class Sized(cift.Strategy):\n    def on_start(self):\n        import helps\n"
    code_hash(folder(helps="N = 5\n", mine=text).Sized)
    assert ("helps", None, None) in asked


def test_what_an_unloaded_module_imports_counts(folder: Folder) -> None:
    def hashed(n: int) -> str:
        text = HEAD + "class Sized(cift.Strategy):\n    def on_start(self):\n        import helps\n"
        return code_hash(folder(further=f"N = {n}\n", helps="from further import N\n", mine=text).Sized)

    assert hashed(5) == hashed(5)
    assert hashed(5) != hashed(6)


def test_a_package_on_the_way_to_a_module_counts(folder: Folder) -> None:
    def hashed(n: int) -> str:
        return code_hash(
            folder(**{"pack/__init__": f"N = {n}\n", "pack/sub": "", "mine": "import pack.sub\n" + STRATEGY}).Sized
        )

    assert hashed(5) == hashed(5)
    assert hashed(5) != hashed(6)


def test_a_package_that_is_loaded_late_is_told_with_its_version(tmp_path: Path) -> None:
    text = HEAD + "class Sized(cift.Strategy):\n    def on_start(self):\n        import altair.vegalite\n"
    (tmp_path / "mine.py").write_text(text)
    program = (
        "import sys, mine\nfrom cift.sim.fingerprint import packages\nprint(packages(mine.Sized))\n"
        "assert 'altair' not in sys.modules\nimport altair\nprint(packages(mine.Sized))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(cift.__file__).parents[1]}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == 2 * f"{ {'altair': version('altair')} }\n"


SET = {
    "an attribute of the class": lambda module: setattr(module.Sized, "size", 4),
    "a global": lambda module: setattr(module, "N", 9),
    "a global of a helper": lambda module: setattr(module.helps, "M", 9),
    "a global that is a tuple": lambda module: setattr(module.helps, "T", (9,)),
    "a global that a helper's function reads": lambda module: setattr(module.helps, "F", 9),
    "a function": lambda module: setattr(module.helps, "f", lambda: 9),
}


@pytest.mark.parametrize("change", SET.values(), ids=SET)
def test_what_was_set_after_the_import_counts(folder: Folder, change: Callable[[Any], None]) -> None:
    body = "self.buy(N * self.size * helps.M * helps.T[0] * helps.f())"
    text = f"{HEAD}import helps\nN = 5\nclass Sized(cift.Strategy):\n    size = 1\n    def on_start(self): {body}\n"
    module = folder(helps="M = 1\nT = (1,)\nF = 1\ndef f(): return F\n", mine=text)
    before = code_hash(module.Sized)
    change(module)
    assert code_hash(module.Sized) != before
    assert left_out(module.Sized) == []


def test_what_a_module_keeps_for_itself_does_not_count(folder: Folder) -> None:
    module = folder(mine=STRATEGY + "UNUSED = 1\n")
    before = code_hash(module.Sized)
    module.CACHE[1] = 2
    module.UNUSED = 2
    module.result = object()
    assert code_hash(module.Sized) == before
    assert left_out(module.Sized) == []


def test_a_file_that_was_edited_and_not_loaded_again_counts_as_it_ran(folder: Folder) -> None:
    module = folder(mine=STRATEGY)
    before = code_of(module.Sized)
    assert before.notes == ()
    edit(module, "N = 5", "N = 6")
    after = code_of(module.Sized)
    assert after.hash == before.hash
    (note,) = after.notes
    assert "mine.py" in note
    assert "reload" in note
    importlib.reload(module)
    assert code_of(module.Sized).notes == ()
    assert code_of(module.Sized).hash == code_hash(folder(mine=STRATEGY.replace("5", "6")).Sized) != before.hash


@pytest.mark.parametrize("copies", [True, False], ids=["compiled copies", "none"])
@pytest.mark.parametrize(
    ("old", "new"),
    [("N * self.size", "N + self.size"), ("self.buy(N", "self.buy((N"), (None, None)],
    ids=["other", "half typed", "deleted"],
)
def test_a_file_that_no_longer_says_what_runs_is_told_by_what_runs(
    folder: Folder, old: str, new: str, copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", not copies)

    def hashed(text: str, *, spoilt: bool = True) -> Any:
        module = folder(mine=text)
        if old is None and spoilt:
            Path(module.__file__).unlink()
        elif spoilt:
            edit(module, old, new)
        return code_of(module.Sized)

    sure, gone = hashed(STRATEGY, spoilt=False), hashed(STRATEGY)
    assert gone.hash != sure.hash
    assert gone == hashed(STRATEGY)
    assert gone.hash != hashed(STRATEGY.replace("N = 5", "N = 6")).hash
    assert gone.hash != hashed(STRATEGY.replace("on_start(self):", "on_start(self): self.sell(1);")).hash
    assert gone.hash != hashed(STRATEGY.replace("CACHE = {}", "CACHE = {1: 2}")).hash
    (note,) = gone.notes
    assert "mine.py" in note


def test_a_file_that_was_edited_outside_of_its_functions_is_told_by_what_it_holds(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def hashed(table: str) -> Any:
        text = HEAD + "from helps import TABLE\nclass Sized(cift.Strategy):\n    def on_start(self): self.buy(TABLE[0])\n"
        module = folder(helps=f"TABLE = {table}\n", mine=text)
        edit(sys.modules["helps"], table, "[7]")
        return code_of(module.Sized)

    five = hashed("[5]")
    assert five == hashed("[5]")
    assert five.hash not in (hashed("[6]").hash, hashed("[7]").hash)
    assert "helps.py" in five.notes[0]


def test_a_run_of_an_edited_file_goes_on_and_says_so(folder: Folder) -> None:
    module = folder(mine=STRATEGY.replace("size = 1", "size: int = cift.param(1)"))
    edit(module, "self.buy(N", "self.buy((N")
    backtest = cift.Backtest(view(), module.Sized)
    for result in (backtest.run(), backtest.optimize(maximize=lambda stats: 1.0, size=[1, 2])):
        assert [note for note in result.record.notes if "mine.py" in note]


def test_a_class_from_before_a_reload_is_told_by_what_runs(folder: Folder) -> None:
    module = folder(mine=STRATEGY)
    old = module.Sized
    before = code_hash(old)
    edit(module, "N * self.size", "N + self.size")
    importlib.reload(module)
    assert code_hash(module.Sized) != before
    assert code_hash(old) not in (before, code_hash(module.Sized))
    assert code_of(old).notes != ()
    assert code_of(module.Sized).notes == ()


def test_a_module_that_a_run_loads_counts_as_it_was_loaded(folder: Folder) -> None:
    text = HEAD + "class Sized(cift.Strategy):\n    def on_start(self):\n        import helps\n        self.buy(helps.N)\n"
    module = folder(helps="N = 5\n", mine=text)
    backtest = cift.Backtest(view(), module.Sized)
    first = backtest.run()
    edit(sys.modules["helps"], "5", "6")
    again = backtest.run()
    assert (again.fingerprint, again.digest) == (first.fingerprint, first.digest)
    assert [note for note in again.record.notes if "helps.py" in note]


def test_a_file_counts_in_any_encoding(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(("# -*- coding: latin-1 -*-\n# caf\u00e9\n" + STRATEGY).encode("latin-1"))
    found = code_of(importlib.import_module("mine").Sized)
    assert found.notes == ()
    (tmp_path / "mine.py").write_bytes(b"\xff")
    assert code_of(sys.modules["mine"].Sized).hash == found.hash


def test_the_packages_of_what_is_not_loaded_are_only_those_there_are(folder: Folder) -> None:
    text = HEAD + "try:\n    import not_there.at_all\nexcept ImportError: pass\nclass Sized(cift.Strategy):\n    x = 1\n"
    assert packages(folder(mine=text).Sized) == {}


def test_modules_that_import_each_other_and_a_stand_in_have_an_end(folder: Folder) -> None:
    texts = {
        "one": "import two\nN = 1\ndef f(): return two.g()\n",
        "two": "import one\ndef g(): return one.N\n",
        "mine": HEAD + "import one\nfrom unittest.mock import MagicMock\nM = MagicMock()\n"
        "class Sized(cift.Strategy):\n    def on_start(self): self.buy(one.f() if M else 0)\n",
    }  # fmt: skip
    module = folder(**texts)
    before = code_of(module.Sized)
    assert (before.left_out, before.notes) == ((), ())
    module.one.N = 2
    assert code_hash(module.Sized) != before.hash


def test_an_installed_decorator_around_a_function_of_a_file_counts_what_is_inside(folder: Folder) -> None:
    text = (
        "import cift\nfrom functools import lru_cache\nN = 5\n@lru_cache\ndef amount(): return N\n"
        "class Sized(cift.Strategy):\n    def on_start(self): self.buy(amount())\n"
    )
    module = folder(mine=text)
    before = code_hash(module.Sized)
    module.N = 6
    assert code_hash(module.Sized) != before


def test_a_lazy_import_from_folders_without_init_is_followed(folder: Folder, tmp_path: Path) -> None:
    inner = tmp_path / "apart" / "inner"
    inner.mkdir(parents=True)
    write(inner / "sizes.py", "N = 7\n")
    lazy = (
        HEAD
        + "class Lazy(cift.Strategy):\n    def on_start(self):\n        from apart.inner.sizes import N\n        self.buy(N)\n"
    )
    before = code_hash(folder(lazy=lazy).Lazy)
    assert "apart" not in sys.modules
    write(inner / "sizes.py", "N = 8\n")
    assert code_hash(folder(lazy=lazy).Lazy) != before
