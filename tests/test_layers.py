"""Imports point down the layers of the design: never up, never sideways, and never through the package's own front.

Every import counts, wherever it stands: at the top of a module, inside a function, under `TYPE_CHECKING`, and
`import_module("cift....")` with its name written out. A type that comes from above makes a module as hard to read alone as a
value does. Only `cift/__init__.py` is free: it names what a first notebook needs, and only the top row, which is a user
of the package like any other, may import it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cift"

# From the top down. Names of one row do not import each other.
LAYERS = (
    ("api", "cli"),
    ("backtest",),
    ("live", "research", "report", "analytics"),
    ("sim", "strategy"),
    ("data", "indicators"),
    ("domain", "core"),
    ("errors", "config"),
    ("_sim",),
)
HEIGHT = {name: len(LAYERS) - row for row, names in enumerate(LAYERS) for name in names}


def imported_modules(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of all imports in `tree`, a module of the package of that dotted name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = module or ""
                if level:
                    above = package.split(".")[: len(package.split(".")) - level + 1]
                    base = ".".join([*above, *([module] if module else [])])
                # `from cift import report` may name a module, `from cift.report import charts` stays within one.
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(name)), *_]):
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield node.lineno, name


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What the imports of `source`, the text of the dotted `module`, break: one sentence each, with its line."""
    own = module.split(".")[1]
    if own not in HEIGHT:
        return [f"{module}: `{own}` has no place in the layers; give it one in the design and in this test"]
    found = []
    package = module if is_package else module.rpartition(".")[0]
    for line, name in imported_modules(ast.parse(source), package):
        parts = name.split(".")
        if parts[0] != "cift":
            continue
        if len(parts) == 1 or parts[1] not in HEIGHT:
            if own not in LAYERS[0]:
                found.append(f"{module}:{line} imports {name} from the front of the package; import its defining module")
        elif parts[1] == own:
            continue
        elif HEIGHT[parts[1]] > HEIGHT[own]:
            found.append(f"{module}:{line} imports {name}, which stands above `{own}`")
        elif HEIGHT[parts[1]] == HEIGHT[own]:
            found.append(f"{module}:{line} imports {name}, which stands beside `{own}`")
    return found


def package_modules() -> list[tuple[Path, str, bool]]:
    """(file, dotted name, whether it is an __init__) of all modules except the front, stubs included."""
    modules = []
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        if name != "cift":
            modules.append((path, name, is_package))
    return modules


def test_imports_point_down_the_layers() -> None:
    modules = package_modules()
    assert modules, f"no modules found under {PACKAGE}"
    found = [
        sentence
        for path, name, is_package in modules
        for sentence in violations(path.read_text(encoding="utf-8"), name, is_package=is_package)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source", "told"),
    [
        ("cift.data.catalog", "from cift.sim.run import run", "above"),
        ("cift.data.catalog", "import cift.backtest", "above"),
        ("cift.data.catalog", "def f():\n    from cift.report import charts", "above"),
        ("cift.data.catalog", "if TYPE_CHECKING:\n    from cift.strategy import Strategy", "above"),
        ("cift.data.catalog", "import importlib\nimportlib.import_module('cift.cli')", "above"),
        ("cift.data.catalog", "from importlib import import_module\nimport_module('cift.cli')", "above"),
        ("cift.data.importers.lobster", "from ...sim import run", "above"),
        ("cift.domain.order", "from cift.data.view import Ticks", "above"),
        ("cift.errors", "from cift import core", "above"),
        ("cift.data.catalog", "from cift.indicators import EMA", "beside"),
        ("cift.report.charts", "from cift.research import statistics", "beside"),
        ("cift.sim.run", "from cift import strategy", "beside"),
        ("cift.domain.order", "from cift.core import Side", "beside"),
        ("cift.sim.run", "import cift", "front"),
        ("cift.sim.run", "from cift import Strategy", "front"),
        ("cift.helpers", "import os", "no place"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str, told: str) -> None:
    (sentence,) = violations(source, module)
    assert told in sentence


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cift.backtest", "from cift.sim.run import run\nfrom cift.research import sweep"),
        ("cift.sim.run", "from cift import _sim\nfrom cift.indicators.kernel import compile"),
        ("cift.data.catalog", "from cift.data.view import Ticks\nfrom . import hashing\nfrom ..domain import chunk"),
        ("cift.domain.order", "import cift.errors\nimport os.path"),
        ("cift.cli.main", "from cift.backtest import Backtest\nfrom cift import __version__\nimport cift"),
    ],
)
def test_what_points_down_passes(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_a_relative_import_counts_from_its_package() -> None:
    assert violations("from .kernel import EMA", "cift.indicators", is_package=True) == []
    assert len(violations("from ..sim import run", "cift.indicators", is_package=True)) == 1
