"""What a run's digest depends on: data, code, parameters, venue, seed and engine. Same fingerprint, same digest."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from enum import Enum, EnumMeta
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from cift import _sim
from cift.domain.calendar import ALWAYS_OPEN
from cift.sim.code import (
    Names,
    class_text,
    code_text,
    compiled_text,
    inner_of,
    innermost,
    methods,
    names_at_class_level,
    names_in,
)
from cift.sim.content import Content, is_fixed
from cift.sim.modules import Place, imports_of, is_installed, is_package, module_of, own_file, places
from cift.sim.source_files import is_written, source_at, source_on_disk

_DECIDING = ("domain", "indicators", "sim")
"""Layers of the package whose code a digest depends on, beside the strategy's own base."""


def digest_of(parts: Mapping[str, Any]) -> str:
    """BLAKE2b of plain values as `encoded` writes them, in hex."""
    return hashlib.blake2b(encoded(parts).encode(), digest_size=32).hexdigest()


def encoded(parts: Mapping[str, Any]) -> str:
    """Plain values in the one encoding that hashes and journals use: sorted JSON."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))


class Code(NamedTuple):
    """What of a fingerprint is told by the code of a strategy."""

    hash: str
    packages: dict[str, str]
    left_out: tuple[str, ...]
    """Names that the code uses and whose content the hash does not tell, sorted."""
    notes: tuple[str, ...]
    """Sentences about files that do not say what runs."""


def code_of(strategy: type) -> Code:
    """The hash of the code that decides, the packages that it names, and what the hash leaves out."""
    found = _Found(strategy)
    return Code(digest_of(found.texts), _versions(found.packages), tuple(sorted(found.unknown)), tuple(sorted(found.notes)))


def code_hash(strategy: type) -> str:
    """Hash of the code that decides: the class, its module, and all that these import outside the installed packages.

    A class of a notebook or of the prompt has no module file: its own text counts, and the content of what it names there. The
    name under which its module was loaded does not count: a file has one hash, run as a script or imported.
    """
    return code_of(strategy).hash


def packages(strategy: type) -> dict[str, str]:
    """Versions of the installed packages that the code of a strategy imports or names, by the name of the import."""
    return code_of(strategy).packages


def calendar_packages(calendars: Iterable[str]) -> dict[str, str]:
    """The version of the library whose sessions end bars; none where no market of a run closes."""
    return {} if set(calendars) <= {ALWAYS_OPEN} else _versions({"exchange_calendars"})


def left_out(strategy: type) -> list[str]:
    """Names that a strategy uses and whose content `code_hash` cannot tell, sorted."""
    return list(code_of(strategy).left_out)


def parameter_told(value: Any) -> Any:
    """A parameter as the fingerprint has it: plain values as they are, of others what they hold, as text.

    What cannot be told is there by its class alone.
    """
    content = Content(value).text
    if content is None:
        return {"unknown": f"{type(value).__module__}.{type(value).__qualname__}"}
    return value if _is_plain(value) else {"content": content}


def _is_plain(value: Any) -> bool:
    """Whether JSON has a value as it is, but for lists and tuples, which it does not tell apart."""
    kind = type(value)
    return kind in (type(None), bool, int, float, str) or (kind in (list, tuple) and all(map(_is_plain, value)))


@cache
def engine_hash(package: Path = Path(__file__).parents[1]) -> str:
    """Hash of the sources that decide: the compiled core's, and the package's own from its numbers up to the strategy."""
    files = [package / "strategy.py", *(file for layer in _DECIDING for file in (package / layer).rglob("*.py"))]
    texts = {file.relative_to(package).as_posix(): file.read_text(encoding="utf-8") for file in files}
    return digest_of({"core": _sim.ENGINE_HASH, **texts})


def _versions(names: set[str]) -> dict[str, str]:
    return {name: _version(name) for name in sorted(names)}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        # Some are imported by another name than the one they are installed by.
        names = packages_distributions().get(package, ())
        return " ".join(f"{name} {version(name)}" for name in sorted(set(names))) or "unknown"


class _Found:
    """What decides beside the data: texts by what they are of, the names of what cannot be told, and packages.

    Of the user's own files the whole module counts as it was loaded, and what numbers and texts its classes and the globals that
    they name hold by now. What has no file (a notebook, the prompt) or is no longer what its file says counts by its text or
    compiled code, by what it carries and by the content of what it names. What was made inside a function may differ from one
    call to the next, and what it carries counts too. Of an installed thing its name counts, and its package's version.
    """

    def __init__(self, strategy: type) -> None:
        self.texts: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.packages: set[str] = set()
        self.notes: set[str] = set()
        self._keys: dict[int, str] = {}  # of classes and functions, by id
        self._read: set[tuple[int, str]] = set()  # globals, by the id of their place and their name
        self._looked_into: set[tuple[int, Names]] = set()  # modules, by id, for some names
        self._imported: set[str] = set()  # names
        self._modules: set[Path] = set()
        own = module_of(strategy)
        self._own_path = None if own is None else own_file(own)
        owners = _own_classes(strategy)
        for at, owner in enumerate(owners):
            # A base may have the name of the class that derives from it.
            self._value(owner.__name__ if at == 0 else f"{owner.__name__} (base {at})", owner)
        told = all(_is_told(owner) for owner in owners)
        for name, one in {**getattr(strategy, "parameters", {}), **getattr(strategy, "states", {})}.items():
            if not told or is_fixed(one.default):
                self._value(f"{strategy.__name__}.{name} declared", one.default)

    def _put(self, key: str, text: str) -> None:
        """Keeps a text under a key of its own: two modules may use one name."""
        same = sum(known == key or known.startswith(f"{key} #") for known in self.texts) if key in self.texts else 0
        self.texts[f"{key} #{same + 1}" if same else key] = text

    def _value(self, name: str, value: Any) -> None:
        """Whatever a name stands for."""
        if inspect.ismodule(value) or inspect.isclass(value):
            self._defined(name, value)
        elif inspect.ismethod(value):
            self._value(f"{name} self", value.__self__)
            self._value(name, value.__func__)
        elif (inspect.isroutine(value) and hasattr(value, "__qualname__")) or inner_of(value) is not None:
            self._defined(name, value)
        else:
            content = Content(value)
            if content.text is None:
                self.unknown.add(name)
            else:
                self._put(f"value {name}", content.text)
            for kind in content.kinds or [type(value)]:
                if kind.__module__ != "builtins":
                    self._defined(kind.__qualname__, kind)

    def _defined(self, name: str, thing: Any) -> None:
        """A module, class or function."""
        home = module_of(thing)
        if id(thing) in self._keys:
            self._put(f"name {name}", self._keys[id(thing)])
            return
        self._keys[id(thing)] = f"{name} (thing {len(self._keys)})"
        if home is not None and is_installed(home):
            if is_package(home.__name__) and getattr(home, "__file__", None) is not None:
                self.packages.add(home.__name__.split(".")[0])
            self._put(f"name {name}", _public_name(thing, home))
            self._wrapped(name, thing)
            return
        written = is_written(thing)
        if home is not None and written:
            self._module(home)
            self._put(f"name {name}", self._place(thing, home))
        elif home is not None and (path := own_file(home)) is not None:
            self._note(path)
        if inspect.isclass(thing):
            self._class(name, thing)
        elif inspect.ismodule(thing):
            if home is None or own_file(home) is None:
                self.unknown.add(name)
        elif written:
            self._carried(name, thing)
            function = innermost(thing)
            if isinstance(function, FunctionType):
                self._code(function, told=True)
        else:
            self._function(name, thing)

    def _note(self, path: Path) -> None:
        self.notes.add(
            f"{path.name} does not say what ran: it was edited or moved after it was loaded, or the class is from before a reload. "
            "The fingerprint is of the code that ran; reload the module, or start anew, to run what the file says"
        )

    def _module(self, home: ModuleType) -> None:
        """A module of the user's own and those that it imports. The strategy's own has no name: it may run as a script."""
        path = own_file(home)
        if path != self._own_path:
            self._import([home.__name__])
        elif path not in self._modules:
            self._import(self._file(Place(home.__name__, home.__package__ or "", path, home)))

    def _import(self, names: Iterable[str]) -> None:
        """What the imports of names load: modules of the user's own, all that these import, and packages."""
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in self._imported:
                continue
            self._imported.add(name)
            for place in places(name):
                if place.path is not None and place.path not in self._modules:
                    waiting += self._file(place)
                elif place.path is None and is_package(name):
                    self.packages.add(name.split(".")[0])

    def _file(self, place: Place) -> tuple[str, ...]:
        """A file of the user's own; the names that it imports."""
        assert place.path is not None
        self._modules.add(place.path)
        source = source_at(place)
        if source is None or source != source_on_disk(place.path):
            self._note(place.path)
        if source is None:
            held = {} if place.module is None else vars(place.module)
            self._named(Names(frozenset(held)), held, told=False)
            return ()
        self._put("own module" if place.path == self._own_path else f"module {place.name}", source.text)
        return imports_of(source.text, place.package)

    def _place(self, thing: Any, home: ModuleType) -> str:
        """Where in the user's own files a thing stands."""
        module = "" if own_file(home) == self._own_path else home.__name__
        code = getattr(thing, "__code__", None)
        if isinstance(code, CodeType):
            return f"{module}.{code.co_qualname} in line {code.co_firstlineno}"
        return f"{module}.{getattr(thing, '__qualname__', '')}"

    def _class(self, name: str, cls: type) -> None:
        told = _is_told(cls)
        home = module_of(cls)
        text = class_text(cls) if home is None or own_file(home) is None else None
        for attribute, function in methods(cls):
            its_home = module_of(function)
            if text is not None and text.holds(function.__code__):
                self._code(function, told=False)
            elif not told or (its_home is not home and (its_home is None or not is_installed(its_home))):
                self._value(f"{name}.{attribute}", function)
            elif its_home is home:
                self._code(function, told=True)
            self._carried(f"{name}.{attribute}", function)
        if text is not None:
            self._put(f"class {name}", text.text)
            self._named(names_at_class_level(text.node), {} if home is None else vars(home), told=False)
        if not told and type(cls) not in (type, EnumMeta):
            self._value(f"{name} class", type(cls))
        for attribute, value in _attributes(cls):
            if not told or is_fixed(value):
                self._value(f"{name}.{attribute}", value)

    def _function(self, name: str, function: Any) -> None:
        inner = inner_of(function)
        if isinstance(function, FunctionType):
            home = module_of(function)
            lost = home is not None and own_file(home) is not None
            self._put(f"function {name}", compiled_text(function.__code__) if lost else code_text(function.__code__))
            self._code(function, told=False)
            self._carried(name, function)
            for attribute, value in sorted(vars(function).items()):
                if attribute != "__wrapped__":
                    self._value(f"{name}.{attribute}", value)
        elif inner is not None:
            self._put(f"function {name}", type(function).__qualname__)
        else:
            self.unknown.add(name)
        if inner is not None:
            self._value(f"{name} inside", inner)

    def _wrapped(self, name: str, function: Any) -> None:
        """What of the user's own an installed function was made around, such as by a decorator."""
        for variable, value in _closed_over(function):
            home = module_of(value) if inspect.isroutine(value) or inspect.isclass(value) else None
            if home is not None and (own_file(home) is not None or not is_installed(home)):
                self._value(f"{name} {variable}", value)

    def _code(self, function: FunctionType, *, told: bool) -> None:
        """What the code of a function names. Where the text of a file tells it, so it does what it imports."""
        names = names_in(function.__code__)
        self._named(names, function.__globals__, told=told)
        if not told:
            self._import(sorted(names.imported))

    def _named(self, names: Names, place: Mapping[str, Any], *, told: bool) -> None:
        """The globals that code names, each once. Where a file tells how they began, those count that are set, not filled."""
        for name in sorted(names.read & place.keys()):
            value = place[name]
            if name.startswith("__") or (told and not (is_fixed(value) or _is_defined(value))):
                continue
            if (id(place), name) not in self._read:
                self._read.add((id(place), name))
                self._value(name, value)
            if inspect.ismodule(value) and own_file(value) is not None and (id(value), names) not in self._looked_into:
                self._looked_into.add((id(value), names))
                self._named(names._replace(read=names.attributes), vars(value), told=is_written(value))

    def _carried(self, name: str, function: Any) -> None:
        """What a function closes over; and its defaults, where no file tells them."""
        home = module_of(function)
        if not inspect.isfunction(function) or (home is not None and home.__name__.split(".")[0] == "cift"):
            return
        for variable, value in _closed_over(function):
            self._value(f"{name} {variable}", value)
        if not _is_told(function):
            for at, value in enumerate([*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]):
                self._value(f"{name} default {at}", value)


def _own_classes(strategy: type) -> list[type]:
    """A class and its bases, without those of the package and of Python."""
    own = [base for base in strategy.__mro__[1:] if base.__module__.split(".")[0] not in ("cift", "builtins", "abc", "typing")]
    return [strategy, *own]


def _is_told(thing: Any) -> bool:
    """Whether the text of a file tells all of a class or function: it says what runs, not as a part of a function."""
    return is_written(thing) and "<locals>" not in thing.__qualname__


def _is_defined(value: Any) -> bool:
    """Whether a value is a module, a class or a function."""
    return inspect.ismodule(value) or inspect.isclass(value) or isinstance(innermost(value), FunctionType)


def _public_name(thing: Any, home: ModuleType) -> str:
    """The name of an installed thing. Libraries move their own between private modules (`pathlib.Path`): these do not count."""
    module = ".".join(part for part in home.__name__.split(".") if not part.startswith("_")) or home.__name__.strip("_")
    code = getattr(thing, "__code__", None)
    inside = code.co_qualname if isinstance(code, CodeType) else getattr(thing, "__qualname__", "")
    return f"installed {module}.{inside}" if not inspect.ismodule(thing) else f"installed {module}"


def _attributes(cls: type) -> list[tuple[str, Any]]:
    """The values that a class holds, without its methods, what it declares, and what Python or the package put there."""
    if issubclass(cls, Enum):
        return [(member.name, member) for member in cls]
    if any(base.__module__.startswith("cift.indicators") for base in cls.__mro__):
        return []
    return _fields(cls) + [
        (name, value)
        for name, value in sorted(vars(cls).items())
        if not name.startswith("__")
        and name not in ("parameters", "states", "_abc_impl")
        and type(value).__module__ != "cift.strategy"
        and not isinstance(value, (FunctionType, property, classmethod, staticmethod, cached_property))
        and not (inspect.isdatadescriptor(value) and type(value).__module__ == "builtins")
        and type(value).__qualname__ != "_tuplegetter"
    ]


def _fields(cls: type) -> list[tuple[str, Any]]:
    """What of a dataclass no method of its own tells: the names and order of its fields, how they begin, what it was made for."""
    if "__dataclass_fields__" not in vars(cls):
        return []
    made: Any = vars(cls)["__dataclass_params__"]
    begin = [(field.name, field.default_factory) for field in fields(cls) if field.default_factory is not MISSING]
    how = (made.eq, made.order, made.frozen, tuple((field.name, field.init, field.compare) for field in fields(cls)))
    return [("fields", how), *begin]


def _closed_over(function: Any) -> list[tuple[str, Any]]:
    found = []
    code = getattr(function, "__code__", None)
    for variable, cell in zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=False):
        if variable != "__class__":
            try:
                found.append((variable, cell.cell_contents))
            except ValueError:  # not assigned yet
                continue
    return found
