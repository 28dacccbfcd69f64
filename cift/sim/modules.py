"""Where code stands: the modules of things, the user's own and installed ones, and where imports lead without importing."""

from __future__ import annotations

import ast
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

_INSTALLED = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""Packages may be borrowed from another environment: what lies in such a folder is installed, whoever's it is."""


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


class Place(NamedTuple):
    """A module that an import leads to: where it is the user's own, with its file. It may not be loaded yet."""

    name: str
    package: str
    path: Path | None
    module: ModuleType | None


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
        if find is None:
            continue
        try:
            spec = find(name, inside, None)
        except KeyError:
            # Of a folder without __init__.py in another, Python asks the other one for its path, which is not loaded; the last
            # part of the name is enough to find it there.
            spec = find(name.rpartition(".")[2], inside, None)
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
