"""The texts of code: of functions and classes, of the user's own modules, and the names that they use."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from functools import cached_property, lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from cift.sim.content import Content

_INSTALLED = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""Packages may be borrowed from another environment: what lies in such a folder is installed, whoever's it is."""


# ------------------------------------------------------------------ functions and classes


class ClassText(NamedTuple):
    """The text of a class, and where it stands."""

    text: str
    file: str
    first_line: int
    last_line: int

    def holds(self, code: CodeType) -> bool:
        """Whether compiled code was made of a part of this text."""
        return code.co_filename == self.file and self.first_line <= code.co_firstlineno <= self.last_line


def class_text(cls: type) -> ClassText | None:
    """The text of a class, found by its methods: a kernel keeps the lines of each cell for tracebacks."""
    for _, function in methods(cls):
        code = function.__code__
        lines = linecache.getlines(code.co_filename)
        for node in _classes("".join(lines)):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            last = node.end_lineno or node.lineno
            if node.name == cls.__name__ and first <= code.co_firstlineno <= last:
                return ClassText(textwrap.dedent("".join(lines[first - 1 : last])), code.co_filename, first, last)
    return None


@lru_cache(maxsize=64)
def _classes(text: str) -> list[ast.ClassDef]:
    """The classes that a cell defines. Kept, because parsing costs more than a short run."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def code_text(code: CodeType) -> str:
    """The text that code was compiled from; where that is lost, the compiled code."""
    try:
        text = inspect.getsource(code)
    except (OSError, TypeError):
        return _compiled(code)
    # Of several lambdas in one line the text does not say which.
    return text + _compiled(code) if code.co_name == "<lambda>" and text.count("lambda") > 1 else text


def _compiled(code: CodeType) -> str:
    """Compiled code as text without addresses or places, so that equal code has equal text."""
    constants = [_compiled(value) if isinstance(value, CodeType) else Content(value).text for value in code.co_consts]
    takes = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"{code.co_name}:{code.co_code.hex()}:{code.co_exceptiontable.hex()}:{takes}:{constants!r}:{names!r}"


def methods(cls: type) -> Iterator[tuple[str, FunctionType]]:
    """The functions that stand in a class, by the name of their attribute."""
    for name, value in sorted(vars(cls).items()):
        for function in _functions(value):
            if isinstance(function, FunctionType) and not _is_generated(cls, name, function):
                yield name, function


def _functions(value: Any) -> tuple[Any, ...]:
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    if isinstance(value, (staticmethod, classmethod)):
        return (value.__func__,)
    return (value.func,) if isinstance(value, cached_property) else (value,)


def _is_generated(cls: type, name: str, function: FunctionType) -> bool:
    """Whether Python made a method for a dataclass, enum or named tuple: it follows from their fields and members."""
    if not name.startswith("_") or not (is_dataclass(cls) or issubclass(cls, (Enum, tuple))):
        return False
    home = module_of(function)
    return (
        function.__code__.co_filename.startswith("<string>") or home is None or (is_installed(home) and own_file(home) is None)
    )


def names_of(text: str, code: list[CodeType]) -> set[str]:
    """The names that a text uses; where the text is lost, the globals that its compiled code reads."""
    return {*_names(text), *(name for part in code for name in _global_names(part))}


def _names(text: str) -> set[str]:
    try:
        tree = ast.parse(textwrap.dedent(text))
    except SyntaxError:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


# ------------------------------------------------------------------ modules


def module_of(thing: Any) -> ModuleType | None:
    """The module that a class or function stands in; of a function the one whose globals it reads, whatever it wraps."""
    if inspect.ismodule(thing):
        return thing
    name = thing.__globals__.get("__name__") if inspect.isfunction(thing) else getattr(thing, "__module__", None)
    return sys.modules.get(name or "")


def own_file(module: ModuleType) -> Path | None:
    """The file of a module that is the user's own, not an installed one."""
    name = getattr(module, "__file__", None)
    if name is None or module.__name__.split(".")[0] == "cift":
        return None
    path = Path(name).resolve()
    if path.suffix != ".py" or str(path).startswith(_INSTALLED) or not _PACKAGE_FOLDERS.isdisjoint(path.parts):
        return None
    return path


def is_installed(module: ModuleType) -> bool:
    """Whether a module is the package's, Python's or an installed one, given that it is no file of the user's own."""
    return module.__name__ != "__main__" and (getattr(module, "__file__", None) is not None or module.__spec__ is not None)


def is_package(module: ModuleType) -> bool:
    """Whether a module is one that was installed: not Python's, not this package, not the user's own."""
    top = module.__name__.split(".")[0]
    has_file = getattr(module, "__file__", None) is not None
    return (
        has_file and is_installed(module) and own_file(module) is None and top != "cift" and top not in sys.stdlib_module_names
    )


def own_modules(module: ModuleType) -> Iterator[tuple[ModuleType, Path, str]]:
    """A module and all that it imports, as far as they are the user's own, with their files and texts."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        path = own_file(current)
        if path is None or current.__name__ in seen:
            continue
        seen.add(current.__name__)
        text = path.read_text(encoding="utf-8")
        yield current, path, text
        waiting += [sys.modules[name] for name in _imported(text, current.__package__ or "") if name in sys.modules]


def packages_in(text: str, package: str) -> set[str]:
    """The installed packages that a text of a package imports."""
    names = _imported(text, package)
    return {name.split(".")[0] for name in names if name in sys.modules and is_package(sys.modules[name])}


@lru_cache(maxsize=256)
def _imported(text: str, package: str) -> tuple[str, ...]:
    """Names of the modules that a text of a package imports. Kept, because parsing costs more than a short run."""
    names: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                root = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{root}.{base}".rstrip(".")
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)
