"""Finds the strategy that FILE.py:Class names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from cift.errors import InvalidParameter, UnknownName
from cift.strategy import Param, Strategy

_LOADED: dict[Path, ModuleType] = {}


def is_users_file(filename: str) -> bool:
    """Whether a file is that of a strategy, or lies beside it."""
    path = Path(filename)
    return any(loaded == path or loaded.parent == path.parent for loaded in _LOADED)


def load_strategy(text: str) -> type[Strategy]:
    """The class that FILE.py:Class names; the file is run as a script would be, with its folder in reach of its imports.

    Raises:
        InvalidParameter: where the text is not of that form, the file is not there or cannot be imported, or the class is no
            strategy.
        UnknownName: where the file has no such class.
    """
    file, separator, name = text.rpartition(":")
    if not separator or not name.isidentifier():
        file, name = text, ""
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise InvalidParameter(f"{file} is not a file; the strategy is given as FILE.py:Class")
    module = _LOADED.get(path) or _import(path)
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__
    }
    if not name and len(found) == 1:
        return next(iter(found.values()))
    if not name:
        raise InvalidParameter(f"{path.name} has {_listing(found)}; say which, as in {path.name}:{next(iter(found), 'Class')}")
    if name not in found:
        raise UnknownName(f"{path.name} has no strategy {name!r}; it has {_listing(found)}")
    return found[name]


def _listing(found: dict[str, type[Strategy]]) -> str:
    return "the strategies " + ", ".join(found) if found else "no subclass of cift.Strategy"


def _import(path: Path) -> ModuleType:
    name = path.stem if path.stem not in sys.modules else f"strategy_{path.stem}_{len(_LOADED)}"
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidParameter(f"{path} is not a Python file; the strategy is given as FILE.py:Class")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InvalidParameter(f"{path.name} cannot be imported: {type(error).__name__}: {error}") from error
    _LOADED[path] = module
    return module


def parse_parameters(strategy: type[Strategy], texts: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE texts as values of the declared types; a name that is not declared passes, for the strategy to refuse.

    Raises:
        InvalidParameter: where a text is not of that form, or not of the parameter's type.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise InvalidParameter(f"-p {text} is not NAME=VALUE, as in -p fast=10")
        if name in values:
            raise InvalidParameter(f"-p {name} is given twice")
        declared = strategy.parameters.get(name)
        values[name] = value if declared is None else _parsed(declared, value, strategy.__name__)
    return values


def _parsed(declared: Param, text: str, owner: str) -> Any:
    if declared.kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() in words:
            return words[text.lower()]
    elif declared.kind in (int, float):
        try:
            return declared.kind(text)
        except ValueError:
            pass
    else:
        return text
    raise InvalidParameter(f"{owner}.{declared.name} takes {declared.kind.__name__}, not {text!r}")
