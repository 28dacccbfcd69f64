"""The texts of functions and classes, as written or as compiled, and the names that they use."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from functools import cached_property, lru_cache
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from cift.sim.content import Content
from cift.sim.modules import is_installed, module_of


class ClassText(NamedTuple):
    """The text of a class, and where it stands."""

    node: ast.ClassDef
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
                return ClassText(node, textwrap.dedent("".join(lines[first - 1 : last])), code.co_filename, first, last)
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
        return compiled_text(code)
    # Of several lambdas in one line the text does not say which.
    return text + compiled_text(code) if code.co_name == "<lambda>" and text.count("lambda") > 1 else text


def compiled_text(code: CodeType) -> str:
    """Compiled code as text without addresses or places, so that equal code has equal text."""
    constants = [compiled_text(value) if isinstance(value, CodeType) else Content(value).text for value in code.co_consts]
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
    return function.__code__.co_filename.startswith("<string>") or home is None or is_installed(home)


def inner_of(thing: Any) -> Any:
    """What a function was made around, None where it was not: Numba's compiler and decorators such as `lru_cache` keep it.

    Looked up without running code of the object: one that answers to every name would never come to an end.
    """
    found = (inspect.getattr_static(thing, name, None) for name in ("py_func", "__wrapped__"))
    return next((inner for inner in found if inner is not None), None)


def innermost(thing: Any) -> Any:
    """What a function was made around in the end; itself where it was not."""
    while (inner := inner_of(thing)) is not None:
        thing = inner
    return thing


class Names(NamedTuple):
    """What code names: the globals that it reads, all its names of attributes and globals, and the modules that it imports."""

    read: frozenset[str]
    attributes: frozenset[str] = frozenset()
    imported: frozenset[str] = frozenset()


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> Names:
    """The names in compiled code and in the functions inside it. Kept, because taking code apart costs more than a short run."""
    read, imported = set(), set()
    constants: list[Any] = [None, None]
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            read.add(name)
        elif instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants = [constants[-1], name]
        elif instruction.opname == "IMPORT_NAME":
            level, parts = constants
            imported |= set() if level else {name, *(f"{name}.{part}" for part in parts or ())}
    inside = [names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return Names(
        frozenset(read).union(*(names.read for names in inside)),
        frozenset(code.co_names).union(*(names.attributes for names in inside)),
        frozenset(imported).union(*(names.imported for names in inside)),
    )


@lru_cache(maxsize=256)
def names_at_class_level(node: ast.ClassDef) -> Names:
    """The names that a class reads while it is made, in bases, decorators, defaults, annotations and body, but for its own."""
    read: set[str] = set()
    bound: set[str] = set()
    waiting: list[ast.AST] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Name):
            (read if isinstance(part.ctx, ast.Load) else bound).add(part.id)
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            bound.add(part.name)
            waiting += [*part.decorator_list, part.args, *([part.returns] if part.returns is not None else [])]
        elif isinstance(part, ast.Lambda):
            waiting.append(part.args)
        else:
            waiting += ast.iter_child_nodes(part)
    return Names(frozenset(read - bound))
