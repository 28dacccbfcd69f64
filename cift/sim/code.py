"""The texts of code: of functions and classes, of the user's own modules, and the names that they use."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import os
import struct
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from enum import Enum
from functools import cached_property, lru_cache
from importlib.util import MAGIC_NUMBER, decode_source
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


# ------------------------------------------------------------------ modules


def module_of(thing: Any) -> ModuleType | None:
    """The module that a class or function stands in; of a function the one whose globals it reads, whatever it wraps."""
    if inspect.ismodule(thing):
        return thing
    name = thing.__globals__.get("__name__") if inspect.isfunction(thing) else getattr(thing, "__module__", None)
    return sys.modules.get(name or "")


def own_file(module: ModuleType) -> Path | None:
    """The file of a module that is the user's own, not an installed one."""
    file = getattr(module, "__file__", None)
    return None if file is None or module.__name__.split(".")[0] == "cift" else _own_path(file)


@lru_cache(maxsize=1024)
def _own_path(file: str) -> Path | None:
    path = Path(file).resolve()
    if path.suffix != ".py" or str(path).startswith(_INSTALLED) or not _PACKAGE_FOLDERS.isdisjoint(path.parts):
        return None
    return path


def is_installed(module: ModuleType) -> bool:
    """Whether a module is the package's, Python's or an installed one."""
    if module.__name__ == "__main__" or own_file(module) is not None:
        return False
    return getattr(module, "__file__", None) is not None or module.__spec__ is not None


def is_package(name: str) -> bool:
    """Whether the module of a name, given that it is an installed one, came with a package: not with Python, not with this one."""
    top = name.split(".")[0]
    return top != "cift" and top not in sys.stdlib_module_names


# ------------------------------------------------------------------ what the user's own files say


class Source(NamedTuple):
    """What a file says, and the same as text."""

    content: bytes
    text: str


def source_on_disk(path: Path) -> Source | None:
    """What a file says now; None where it cannot be read."""
    try:
        content = path.read_bytes()
        return Source(content, _decoded(content))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=256)
def _decoded(content: bytes) -> str:
    return decode_source(content)


class _Load(NamedTuple):
    """One loading of a module: `importlib.reload` gives it another spec."""

    module: ModuleType
    spec: Any
    source: Source | None


_LOADS: dict[str, _Load] = {}
_LATER: set[str] = set()
"""Names of modules whose files were read before they were loaded."""


def source_of(module: ModuleType) -> Source | None:
    """What the file of a module of the user's own said when it was first asked for after it was loaded; an edit comes later."""
    path = own_file(module)
    if path is None:
        return None
    load = _LOADS.get(module.__name__)
    if load is None or load.module is not module or load.spec is not module.__spec__:
        source = None if _is_edited(module, path) else source_on_disk(path)
        load = _LOADS[module.__name__] = _Load(module, module.__spec__, source)
    return load.source


def _is_edited(module: ModuleType, path: Path) -> bool:
    """Whether a file was edited after it was loaded, as far as the compiled copy tells that Python then writes beside it.

    The copy begins with a magic number, flags, and the time and size of the file that it was made of.
    """
    copy = getattr(module.__spec__, "cached", None)
    if copy is None or sys.dont_write_bytecode or _compiler(module) is None:
        return False
    try:
        with Path(copy).open("rb") as file:
            head = file.read(16)
        now = path.stat()
    except OSError:
        return False
    if not os.access(Path(copy).parent, os.W_OK):
        return False  # an old copy stays there
    of_a_time = head[:8] == MAGIC_NUMBER + bytes(4)
    time_and_size = struct.pack("<II", int(now.st_mtime) & 0xFFFF_FFFF, now.st_size & 0xFFFF_FFFF)
    return of_a_time and head[8:] != time_and_size


def remember_loaded() -> None:
    """Reads the files of the modules that a run has loaded, before they are edited."""
    for name in [name for name in [*_LATER] if name in sys.modules]:
        source_of(sys.modules[name])
        _LATER.discard(name)


def is_written(thing: Any) -> bool:
    """Whether a module, class or function of the user's own is what its file says. It is not where that was edited after it was
    loaded, or where a class is older than the last reload.
    """
    home = module_of(thing)
    source = None if home is None else source_of(home)
    if home is None or source is None:
        return False
    if inspect.ismodule(thing):
        return True
    functions = [function for _, function in methods(thing)] if inspect.isclass(thing) else [innermost(thing)]
    return all(
        _is_in(source, home, function.__code__)
        for function in functions
        if isinstance(function, FunctionType) and module_of(function) is home
    )


def _is_in(source: Source, home: ModuleType, code: CodeType) -> bool:
    """Whether code was compiled from a text. What was made by a program follows from the text, and so does what a loader makes
    that does not say how it compiles.
    """
    compiler = _compiler(home)
    if compiler is None or code.co_filename.startswith("<"):
        return True
    return compiled_text(code) in _compiled_parts(compiler, source.content, str(home.__file__))


def _compiler(module: ModuleType) -> Any:
    """How a module was compiled: some loaders change what a text says. None where its loader does not tell."""
    return getattr(getattr(module, "__loader__", None), "source_to_code", None)


@lru_cache(maxsize=256)
def _compiled_parts(compiler: Callable[[bytes, str], CodeType], content: bytes, file: str) -> frozenset[str]:
    """All functions and classes of a text as compiled code; none where it is no Python."""
    try:
        waiting = [compiler(content, file)]
    except (SyntaxError, ValueError):
        return frozenset()
    parts = []
    while waiting:
        parts.append(waiting.pop())
        waiting += [constant for constant in parts[-1].co_consts if isinstance(constant, CodeType)]
    return frozenset(map(compiled_text, parts))


class Place(NamedTuple):
    """A module that an import leads to: where it is the user's own, with its file. It may not be loaded yet."""

    name: str
    package: str
    path: Path | None
    module: ModuleType | None

    def source(self) -> Source | None:
        """What its file said when it was loaded; or else what it says now."""
        if self.module is not None:
            return source_of(self.module)
        _LATER.add(self.name)
        return None if self.path is None else source_on_disk(self.path)


def places(name: str) -> Iterator[Place]:
    """The modules that the import of a dotted name leads to, as far as they have files; none is loaded to find out."""
    parts = name.split(".")
    inside: Any = None
    for end in range(1, len(parts) + 1):
        at = ".".join(parts[:end])
        module = sys.modules.get(at)
        if module is not None:
            file, inside = getattr(module, "__file__", None), getattr(module, "__path__", None)
        else:
            spec = _spec(at, inside)
            if spec is None:
                return
            file, inside = spec.origin if spec.has_location else None, spec.submodule_search_locations
        path = None if file is None or parts[0] == "cift" else _own_path(file)
        if file is not None:
            yield Place(at, at if inside is not None else at.rpartition(".")[0], path, module)
        if inside is None or (file is not None and path is None):
            return


def _spec(name: str, inside: Any) -> Any:
    """Where Python would find a module, asked as an import asks."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = None if find is None else find(name, inside)
        if spec is not None:
            return spec
    return None


@lru_cache(maxsize=256)
def imports_of(text: str, package: str) -> tuple[str, ...]:
    """Names of the modules that a text of a package imports. Kept, because parsing costs more than a short run."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ()
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                root = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{root}.{base}".rstrip(".")
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(name for name in dict.fromkeys(names) if all(name.split(".")))
