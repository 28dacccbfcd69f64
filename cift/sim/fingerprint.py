"""What a run's digest depends on: data, code, parameters, venue, seed and engine. Same fingerprint, same digest."""

from __future__ import annotations

import ast
import dis
import hashlib
import inspect
import json
import linecache
import pickle
import sys
import sysconfig
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache, cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from cift import _sim

_INSTALLED = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

_DECIDING = ("domain", "indicators", "sim")
"""Layers of the package whose code a digest depends on, beside the strategy's own base."""

_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""Packages may be borrowed from another environment: what lies in such a folder is installed, whoever's it is."""


def digest_of(parts: Mapping[str, Any]) -> str:
    """BLAKE2b of plain values in one encoding (sorted JSON), in hex."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


class Code(NamedTuple):
    """What of a fingerprint is told by the code of a strategy."""

    hash: str
    packages: dict[str, str]


def code_of(strategy: type) -> Code:
    """The hash of the code that decides, and the packages that it names."""
    return Code(code_hash(strategy), packages(strategy))


def code_hash(strategy: type) -> str:
    """Hash of the code that decides: the class, its module, and all that these import outside the installed packages.

    A class of a notebook or of the prompt has no module file: its own text counts, and the content of what it names there. The
    name under which its module was loaded does not count: a file has one hash, run as a script or imported.
    """
    module = sys.modules.get(strategy.__module__)
    found = _Found(strategy)
    texts = {f"class {strategy.__qualname__}": class_text(strategy), **found.texts}
    if module is not None and own_file(module) is not None:
        own = _module_texts(module)
        texts["module"] = own.pop(module.__name__)
        texts.update(own)
    for base in _own_classes(strategy)[1:]:
        texts[f"class {base.__qualname__}"] = class_text(base)
    return digest_of(texts)


def left_out(strategy: type) -> list[str]:
    """Names that a strategy uses and whose content `code_hash` cannot tell, sorted."""
    return sorted(_Found(strategy).unknown)


def class_text(cls: type) -> str:
    """The text of a class, from its module or its notebook cell; where neither is left, its compiled code."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return _cell_text(cls) or "\n".join(_compiled(name, code) for name, code in _codes(cls))


@cache
def engine_hash(package: Path = Path(__file__).parents[1]) -> str:
    """Hash of the sources that decide: the compiled core's, and the package's own from its numbers up to the strategy."""
    files = [package / "strategy.py", *(file for layer in _DECIDING for file in (package / layer).rglob("*.py"))]
    texts = {file.relative_to(package).as_posix(): file.read_text(encoding="utf-8") for file in files}
    return digest_of({"core": _sim.ENGINE_HASH, **texts})


def packages(strategy: type) -> dict[str, str]:
    """Versions of the installed packages that the code of a strategy imports or names, by the name of the import."""
    found = _Found(strategy).packages
    module = sys.modules.get(strategy.__module__)
    if module is not None and own_file(module) is not None:
        found |= _module_packages(module)
    return {name: _version(name) for name in sorted(found)}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        # Some are imported by another name than the one they are installed by.
        names = packages_distributions().get(package, ())
        return " ".join(f"{name} {version(name)}" for name in sorted(set(names))) or "unknown"


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """The functions that are a class's own methods, by name."""
    for name, value in sorted(vars(cls).items()):
        function = getattr(value, "__func__", getattr(value, "fget", getattr(value, "func", value)))
        if hasattr(function, "__code__") and getattr(function, "__module__", None) == cls.__module__:
            yield name, function


def _codes(cls: type) -> Iterator[tuple[str, CodeType]]:
    """The compiled code of a class's own methods, by name."""
    for name, function in _methods(cls):
        yield name, function.__code__


def _cell_text(cls: type) -> str | None:
    """The text of a class of a notebook cell: a kernel keeps the lines of each cell for tracebacks."""
    for _, code in _codes(cls):
        lines = linecache.getlines(code.co_filename)
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                last = node.end_lineno or node.lineno
                if first <= code.co_firstlineno <= last:
                    return textwrap.dedent("".join(lines[first - 1 : last]))
    return None


def _compiled(name: str, code: CodeType) -> str:
    """Compiled code as text without addresses or places, so that equal code has equal text."""
    nested = [_compiled(name, value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return f"{name}:{code.co_code.hex()}:{nested!r}:{code.co_names!r}:{code.co_varnames!r}"


def _text_of(thing: Any) -> str:
    if inspect.isclass(thing):
        return class_text(thing)
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        code = getattr(thing, "__code__", None)
        return repr(thing) if code is None else _compiled(thing.__name__, code)


def own_file(module: ModuleType) -> Path | None:
    """The file of a module that is the user's own, not an installed one."""
    name = getattr(module, "__file__", None)
    if name is None or module.__name__.split(".")[0] == "cift":
        return None
    path = Path(name).resolve()
    if path.suffix != ".py" or str(path).startswith(_INSTALLED) or not _PACKAGE_FOLDERS.isdisjoint(path.parts):
        return None
    return path


def _module_texts(module: ModuleType) -> dict[str, str]:
    """The text of a module and of all it imports, as far as they are the user's own."""
    return {own.__name__: text for own, text in _own_modules(module)}


def _module_packages(module: ModuleType) -> set[str]:
    """The installed packages that a module or another of the user's own behind it imports."""
    names = {name for own, text in _own_modules(module) for name in _imported(text, own.__package__ or "")}
    return {name.split(".")[0] for name in names if name in sys.modules and _is_package(sys.modules[name])}


def _own_modules(module: ModuleType) -> Iterator[tuple[ModuleType, str]]:
    """A module and all that it imports, as far as they are the user's own, with their texts."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        path = own_file(current)
        if path is None or current.__name__ in seen:
            continue
        seen.add(current.__name__)
        text = path.read_text(encoding="utf-8")
        yield current, text
        waiting += [sys.modules[name] for name in _imported(text, current.__package__ or "") if name in sys.modules]


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


class _Found:
    """What a class carries or names that no module file tells: texts by name, the names of what cannot be told, and packages.

    Functions and classes without a file count by their text, values by their content; of the user's own modules the whole
    module counts. What a function closes over counts wherever the function stands.
    """

    def __init__(self, strategy: type) -> None:
        self.texts: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.packages: set[str] = set()
        self._seen = {id(strategy)}
        for owner in _own_classes(strategy):
            self._class(owner, owner.__name__)

    def _value(self, name: str, value: Any) -> None:
        if id(value) in self._seen or name in self.texts:
            return
        if inspect.ismodule(value) or inspect.isclass(value):
            self._defined(name, value, value if inspect.ismodule(value) else sys.modules.get(value.__module__))
        elif inspect.ismethod(value):
            self._value(f"{name} self", value.__self__)
            self._value(name, value.__func__)
        elif inspect.isroutine(value) or hasattr(value, "py_func"):
            self._defined(name, value, sys.modules.get(getattr(value, "__module__", None) or ""))
        else:
            content = _content(value)
            if content is not None:
                self.texts[name] = content
            else:
                self.unknown.add(name)
            self._value(type(value).__qualname__, type(value))

    def _defined(self, name: str, thing: Any, home: ModuleType | None) -> None:
        """A module, class or function: of the user's own files the whole module, of a notebook what it is."""
        if home is not None and own_file(home) is not None:
            self.texts.update(_module_texts(home))
            self.packages |= _module_packages(home)
            if inspect.isroutine(thing):
                self._carried(name, thing)
        elif home is None or not _is_installed(home):
            self._seen.add(id(thing))
            if inspect.isclass(thing):
                self._class(thing, name)
            elif not inspect.ismodule(thing):
                self._function(thing, name)
        elif _is_package(home):
            self.packages.add(home.__name__.split(".")[0])

    def _class(self, cls: type, name: str) -> None:
        module = sys.modules.get(cls.__module__)
        functions = [function for _, function in _methods(cls)]
        if module is None or own_file(module) is None:
            text = class_text(cls)
            self.texts[name] = text
            self._named(text, functions, {} if module is None else vars(module))
            for attribute, value in vars(cls).items():
                if _is_plain(attribute, value) and not _is_indicator(cls):
                    self._value(f"{name}.{attribute}", value)
        for function in functions:
            self._carried(f"{name}.{function.__name__}", function)

    def _function(self, function: Any, name: str) -> None:
        inner = getattr(function, "py_func", None) or inspect.unwrap(function)
        if not hasattr(inner, "__code__"):
            self.unknown.add(name)
            return
        self.texts[name] = _text_of(inner)
        self._named(self.texts[name], [inner], inner.__globals__)
        self._carried(name, inner)
        if function is not inner:
            self._carried(f"{name} around", function)

    def _named(self, text: str, functions: Iterable[Any], place: Mapping[str, Any]) -> None:
        """The globals that a text names, or where the text is lost, its compiled code."""
        names = {*_names(text), *(name for function in functions for name in _global_names(function.__code__))}
        for name in sorted(names & place.keys()):
            self._value(name, place[name])

    def _carried(self, name: str, function: Any) -> None:
        """What a function closes over; and its defaults, where no text has them."""
        if not inspect.isfunction(function) or str(function.__globals__.get("__name__")).split(".")[0] == "cift":
            return
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            if variable != "__class__":
                try:
                    self._value(f"{name} {variable}", cell.cell_contents)
                except ValueError:  # not assigned yet
                    continue
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        if defaults and not _has_text(function):
            for at, value in enumerate(defaults):
                self._value(f"{name} default {at}", value)


def _own_classes(strategy: type) -> list[type]:
    """A class and its bases, without those of the package and of Python."""
    own = [base for base in strategy.__mro__[1:] if base.__module__.split(".")[0] not in ("cift", "builtins", "abc", "typing")]
    return [strategy, *own]


def _is_plain(name: str, value: Any) -> bool:
    """Whether an attribute of a class is a value of its own: no method, no parameter or state, nothing that Python put there."""
    if name.startswith("__") or name in ("parameters", "states", "_abc_impl") or type(value).__module__ == "cift.strategy":
        return False
    return not (inspect.isroutine(value) or isinstance(value, (property, classmethod, staticmethod, cached_property)))


def _is_indicator(cls: type) -> bool:
    """Whether the attributes of a class are what the package makes of its text."""
    return any(base.__module__.startswith("cift.indicators") for base in cls.__mro__)


def _is_installed(module: ModuleType) -> bool:
    """Whether a module is the package's, Python's or an installed one; neither the user's own nor a notebook."""
    return module.__name__ != "__main__" and (getattr(module, "__file__", None) is not None or module.__spec__ is not None)


def _is_package(module: ModuleType) -> bool:
    """Whether a module is one that was installed: not Python's, not this package, not the user's own."""
    top = module.__name__.split(".")[0]
    has_file = getattr(module, "__file__", None) is not None
    return (
        has_file and _is_installed(module) and own_file(module) is None and top != "cift" and top not in sys.stdlib_module_names
    )


def _has_text(function: Any) -> bool:
    try:
        return bool(inspect.getsource(function))
    except (OSError, TypeError):
        return False


def _global_names(code: CodeType) -> Iterator[str]:
    """The globals that compiled code reads."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _content(value: Any) -> str | None:
    """A text that two values share when they are equal in kind and content; None where that cannot be told."""
    try:
        return _told(value)
    except RecursionError:  # it contains itself
        return None


def _told(value: Any) -> str | None:
    if isinstance(value, Enum):
        return _joined(f"{type(value).__qualname__}.{value.name}", [_told(value.value)])
    if value is None or isinstance(value, (int, float, complex, str, bytes, bytearray, range, Decimal, date, timedelta)):
        return repr(value)
    if inspect.isclass(value):
        return None
    kind = type(value).__name__
    if isinstance(value, (list, tuple)):
        return _joined(kind, [_told(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return _joined(kind, sorted((_told(item) for item in value), key=str))
    if isinstance(value, dict):
        made_by = getattr(value, "default_factory", None)
        return None if made_by is not None else _joined(kind, [_told(item) for pair in value.items() for item in pair])
    if is_dataclass(value):
        return _joined(type(value).__qualname__, [_told(getattr(value, field.name)) for field in fields(value)])
    # Known without an import of the library: who holds one has imported it.
    kind = f"{type(value).__module__.split('.')[0]}.{kind}"
    if kind == "numpy.ndarray" and not value.dtype.hasobject:
        digest = hashlib.blake2b(value.tobytes(), digest_size=32).hexdigest()
        return f"array {value.dtype.descr} {value.shape} {digest}"
    if kind == "numpy.ufunc" or (kind.startswith("numpy.") and hasattr(value, "dtype") and value.ndim == 0):
        return repr(value)
    if kind in ("polars.DataFrame", "polars.Series"):
        return f"{kind} {hashlib.blake2b(pickle.dumps(value), digest_size=32).hexdigest()}"
    return None


def _joined(kind: str, items: list[str | None]) -> str | None:
    known = [item for item in items if item is not None]
    return f"{kind}({','.join(known)})" if len(known) == len(items) else None


def _names(text: str) -> Iterable[str]:
    try:
        tree = ast.parse(inspect.cleandoc("\n" + text) if text.startswith((" ", "\t")) else text)
    except SyntaxError:
        return []
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
