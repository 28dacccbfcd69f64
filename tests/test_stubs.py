"""`cift/_sim.pyi` says what the compiled module holds: each public name, class, member, signature and docstring, both ways."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cift import _sim

STUB = Path(__file__).parents[1] / "cift" / "_sim.pyi"

NEW = ("__new__", "__init__")
# Special methods that a reader must know of. The rest (comparison, hash, repr) every class has.
TOLD = frozenset((
    "__len__", "__getitem__", "__setitem__", "__delitem__", "__contains__", "__iter__", "__next__", "__call__", "__enter__",
    "__exit__", "__int__", "__index__", "__float__", "__bool__", "__add__", "__sub__", "__mul__", "__neg__",
    "__arrow_c_stream__", "__arrow_c_array__",
))  # fmt: skip
FUNCTIONS = (
    "builtin_function_or_method", "method_descriptor", "classmethod_descriptor", "wrapper_descriptor", "function",
    "staticmethod", "classmethod",
)  # fmt: skip
PROPERTIES = ("getset_descriptor", "member_descriptor", "property")


def is_public(name: str) -> bool:
    return not name.startswith("_") or name in TOLD


def is_alias(node: ast.stmt) -> bool:
    """Whether a line of a stub names a type for other lines of it: such a name need not exist in the module."""
    match node:
        case ast.Assign():
            return True
        case ast.AnnAssign(annotation=annotation):
            return ast.unparse(annotation).endswith("TypeAlias")
        case _:
            return False


def decorators(node: ast.FunctionDef) -> set[str]:
    return {ast.unparse(decorator) for decorator in node.decorator_list}


def stub_members(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Names that the body of a stub module or class declares; a property's setter and overloads count once."""
    members: dict[str, ast.stmt] = {}
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                members.setdefault(name, node)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                members.setdefault(name, node)
    return members


def stub_parameters(node: ast.FunctionDef, *, bound: bool) -> list[tuple[str, str, str | None]]:
    """(kind, name, default as text or None) of each parameter; the first one of a `bound` function is left out."""
    a = node.args
    positional = [*a.posonlyargs, *a.args]
    defaults: list[ast.expr | None] = [*[None] * (len(positional) - len(a.defaults)), *a.defaults]
    told = [
        ("positional only" if i < len(a.posonlyargs) else "positional", arg.arg, ast.unparse(default) if default else None)
        for i, (arg, default) in enumerate(zip(positional, defaults, strict=True))
    ][1 if bound else 0 :]
    if a.vararg:
        told.append(("*", a.vararg.arg, None))
    told += [
        ("keyword", arg.arg, ast.unparse(default) if default else None)
        for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True)
    ]
    if a.kwarg:
        told.append(("**", a.kwarg.arg, None))
    return told


KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def real_parameters(function: Any, *, bound: bool) -> list[tuple[str, str, str | None]]:
    """The same of the compiled function, from its text signature."""
    parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    return [
        (KINDS[p.kind], p.name, None if p.default is p.empty else "..." if p.default is ... else repr(p.default))
        for p in parameters
    ]


def same(stub: list[tuple[str, str, str | None]], real: list[tuple[str, str, str | None]]) -> bool:
    """Whether kinds, names and defaults agree; `...` on either side is a default that is not spelt out."""
    return len(stub) == len(real) and all(
        s[:2] == r[:2] and (s[2] == r[2] or ("..." in (s[2], r[2]) and None not in (s[2], r[2])))
        for s, r in zip(stub, real, strict=True)
    )


def show(parameters: list[tuple[str, str, str | None]]) -> str:
    return "(" + ", ".join(f"{k} {n}" + (f"={d}" if d is not None else "") for k, n, d in parameters) + ")"


def compare_function(where: str, node: ast.FunctionDef, real: Any, *, bound: bool) -> list[str]:
    if isinstance(real, staticmethod | classmethod):
        real = real.__func__
    try:
        actual = real_parameters(real, bound=bound)
    except (TypeError, ValueError):
        return [f"{where}: the module gives no signature; add #[pyo3(signature = ...)]"]
    declared = stub_parameters(node, bound=bound)
    return [] if same(declared, actual) else [f"{where}: the stub says {show(declared)}, the module {show(actual)}"]


def compare_docs(where: str, in_stub: str | None, in_module: str | None) -> list[str]:
    lacking = [name for name, text in (("stub", in_stub), ("module", in_module)) if not (text or "").strip()]
    return [f"{where}: no docstring in the {name}" for name in lacking]


def compare_member(where: str, node: ast.stmt, real: Any) -> list[str]:
    """One attribute of a class against its line in the stub."""
    kind = type(real).__name__
    if kind in PROPERTIES:
        if isinstance(node, ast.FunctionDef) and "property" in decorators(node):
            return compare_docs(where, ast.get_docstring(node), real.__doc__)
        return [f"{where}: a property in the module; the stub must say @property with a docstring"]
    if kind in FUNCTIONS:
        if not isinstance(node, ast.FunctionDef) or "property" in decorators(node):
            return [f"{where}: a method in the module, not in the stub"]
        is_static = isinstance(real, staticmethod)
        is_class = kind in ("classmethod", "classmethod_descriptor")
        if is_static != ("staticmethod" in decorators(node)) or is_class != ("classmethod" in decorators(node)):
            return [f"{where}: the stub's @staticmethod or @classmethod is not the module's"]
        told = compare_function(where, node, real, bound=kind != "classmethod_descriptor" and not is_static)
        special = node.name.startswith("__")
        return told if special else told + compare_docs(where, ast.get_docstring(node), real.__doc__)
    if isinstance(node, ast.AnnAssign | ast.Assign):
        return []
    return [f"{where}: a constant in the module, not in the stub"]


def compare_class(where: str, node: ast.ClassDef, real: type) -> list[str]:
    found = compare_docs(where, ast.get_docstring(node), real.__doc__)
    declared = stub_members(node.body)
    actual = vars(real)
    constructor = next((declared[name] for name in NEW if name in declared), None)
    constructible = any(name in actual for name in NEW)
    if constructible and constructor is None:
        found.append(f"{where}: can be constructed, and the stub has neither __init__ nor __new__")
    elif constructor is not None and not constructible:
        found.append(f"{where}: the stub has a constructor, the module none")
    elif isinstance(constructor, ast.FunctionDef):
        found += compare_function(f"{where}()", constructor, _constructor(real), bound=True)
    for name in sorted({name for name in (*declared, *actual) if is_public(name)}):
        if name not in declared:
            found.append(f"{where}.{name}: not in the stub")
        elif name not in actual:
            found.append(f"{where}.{name}: not in the module")
        else:
            found += compare_member(f"{where}.{name}", declared[name], actual[name])
    return found


def _constructor(real: type) -> Any:
    """A function with the signature of `real`'s constructor and a first parameter for the object."""

    def construct() -> None: ...

    signature = inspect.signature(real)
    own = inspect.Parameter("self_", inspect.Parameter.POSITIONAL_ONLY)
    taken = [p.replace(kind=p.kind) for p in signature.parameters.values()]
    construct.__signature__ = inspect.Signature([own, *taken])  # type: ignore[attr-defined]
    return construct


def differences(stub: str, module: ModuleType) -> list[str]:
    """What the text of a stub and a module disagree on, one sentence each; empty where they agree."""
    declared = stub_members(ast.parse(stub).body)
    actual = vars(module)
    found = []
    for name in sorted({name for name in (*declared, *actual) if is_public(name)}):
        if name not in declared:
            found.append(f"{name}: not in the stub")
            continue
        if name not in actual:
            if not is_alias(declared[name]):
                found.append(f"{name}: not in the module")
            continue
        node, real = declared[name], actual[name]
        if isinstance(real, type):
            found += compare_class(name, node, real) if isinstance(node, ast.ClassDef) else [f"{name}: is a class"]
        elif type(real).__name__ in FUNCTIONS:
            if isinstance(node, ast.FunctionDef):
                found += compare_function(name, node, real, bound=False)
                found += compare_docs(name, ast.get_docstring(node), real.__doc__)
            else:
                found.append(f"{name}: is a function")
        elif not isinstance(node, ast.AnnAssign | ast.Assign):
            found.append(f"{name}: is a value")
    return found


def test_the_stub_and_the_module_agree() -> None:
    assert STUB.is_file(), f"{STUB.name} is missing: {sum(map(is_public, vars(_sim)))} public names have no stub"
    found = differences(STUB.read_text(encoding="utf-8"), _sim)
    assert not found, "\n".join(found)


def test_the_module_names_its_public_names() -> None:
    assert sorted(vars(_sim)["__all__"]) == sorted(name for name in vars(_sim) if is_public(name))


GOOD_STUB = '''
SideName: TypeAlias = Literal["buy", "sell"]
Size = int | float
LIMIT: int
def count(rows: int, *, side: str = ...) -> int:
    """Rows of a side."""
class Book:
    """A book."""
    def __init__(self, tick: float) -> None: ...
    @property
    def mid(self) -> float:
        """Middle."""
    def depth(self, side: str, most: int = 10) -> list[float]:
        """Levels."""
    @staticmethod
    def empty() -> Book:
        """No orders."""
    def __len__(self) -> int: ...
'''
GOOD_MODULE = '''
LIMIT = 3
_private = 1
def count(rows, *, side="buy"):
    """Rows of a side."""
class Book:
    """A book."""
    def __init__(self, tick): ...
    @property
    def mid(self):
        """Middle."""
    def depth(self, side, most=10):
        """Levels."""
    @staticmethod
    def empty():
        """No orders."""
    def __len__(self): return 0
    def __repr__(self): return "Book"
'''


def module_of(source: str) -> ModuleType:
    module = ModuleType("planted")
    exec(source, vars(module))
    return module


def test_a_true_stub_passes() -> None:
    assert differences(GOOD_STUB, module_of(GOOD_MODULE)) == []


@pytest.mark.parametrize(
    ("which", "old", "new", "told"),
    [
        ("stub", "LIMIT: int", "", "LIMIT: not in the stub"),
        ("module", "LIMIT = 3", "", "LIMIT: not in the module"),
        ("module", "LIMIT = 3", "def LIMIT(): 'Doc.'", "LIMIT: is a function"),
        ("module", "rows, *", "count, *", "count: the stub says"),
        ("module", "rows, *, side", "rows, side", "count: the stub says"),
        ("stub", '    """Rows of a side."""', "    ...", "count: no docstring in the stub"),
        ("module", '"""Rows of a side."""', "...", "count: no docstring in the module"),
        ("stub", '"""A book."""', "", "Book: no docstring in the stub"),
        ("module", '"""Middle."""', "...", "Book.mid: no docstring in the module"),
        ("stub", "most: int = 10", "most: int = 11", "Book.depth: the stub says"),
        ("stub", "most: int = 10", "most: int", "Book.depth: the stub says"),
        ("stub", "    @property\n", "", "Book.mid: a property in the module"),
        ("stub", "    @staticmethod\n    def empty()", "    def empty(self)", "Book.empty: the stub's @staticmethod"),
        ("stub", "tick: float", "lot: float", "Book(): the stub says"),
        ("stub", "    def __init__(self, tick: float) -> None: ...\n", "", "Book: can be constructed"),
        ("module", "    def __init__(self, tick): ...\n", "", "Book: the stub has a constructor"),
        ("stub", "    def __len__(self) -> int: ...\n", "", "Book.__len__: not in the stub"),
        ("module", "    def __len__(self): return 0\n", "", "Book.__len__: not in the module"),
    ],
)
def test_a_planted_difference_is_found(which: str, old: str, new: str, told: str) -> None:
    stub, module = GOOD_STUB, GOOD_MODULE
    assert old in (stub if which == "stub" else module)
    if which == "stub":
        stub = stub.replace(old, new)
    else:
        module = module.replace(old, new)
    (sentence,) = differences(stub, module_of(module))
    assert sentence.startswith(told)
