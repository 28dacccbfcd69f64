"""What a run's digest depends on: data, code, parameters, venue, seed and engine. Same fingerprint, same digest."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from cift import _sim

_INSTALLED = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def digest_of(parts: Mapping[str, Any]) -> str:
    """BLAKE2b of plain values in one encoding (sorted JSON), in hex."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def code_hash(strategy_class: type, class_source: str) -> str:
    """Hash of the code that decides: the class, its module, and all that these import outside the installed packages.

    A class of a notebook or of the prompt has no module file: its own text counts, and the text of the functions and classes
    of that place which it names.
    """
    module = sys.modules.get(strategy_class.__module__)
    texts = {f"class {strategy_class.__qualname__}": class_source}
    if module is None or _own_file(module) is None:
        texts.update(_named_here(strategy_class, class_source))
    else:
        texts.update(_module_texts(module))
    for base in strategy_class.__mro__[1:]:
        if base.__module__.split(".")[0] not in ("cift", "builtins", "abc", "typing"):
            texts[f"class {base.__qualname__}"] = _text_of(base)
    return digest_of(texts)


def engine_hash() -> str:
    """Hash of the sources of the compiled core."""
    return str(_sim.ENGINE_HASH)


def _text_of(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return repr(thing)


def _own_file(module: ModuleType) -> Path | None:
    """The file of a module that is the user's own, not an installed one."""
    name = getattr(module, "__file__", None)
    if name is None or module.__name__.split(".")[0] == "cift":
        return None
    path = Path(name).resolve()
    if path.suffix != ".py" or str(path).startswith(_INSTALLED):
        return None
    return path


def _module_texts(module: ModuleType) -> dict[str, str]:
    """The text of a module and of all it imports, as far as they are the user's own."""
    texts: dict[str, str] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        path = _own_file(current)
        if path is None or current.__name__ in texts:
            continue
        text = path.read_text(encoding="utf-8")
        texts[current.__name__] = text
        waiting += [sys.modules[name] for name in _imported(text, current) if name in sys.modules]
    return texts


def _imported(text: str, module: ModuleType) -> Iterator[str]:
    """Names of the modules that a text imports."""
    package = module.__package__ or ""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                root = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{root}.{base}".rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _named_here(strategy_class: type, class_source: str) -> dict[str, str]:
    """The text of functions, classes and plain values of the same place that a class names, and that those name in turn."""
    module = sys.modules.get(strategy_class.__module__)
    place: Mapping[str, Any] = vars(module) if module is not None else {}
    texts: dict[str, str] = {}
    waiting = list(_names(class_source))
    while waiting:
        name = waiting.pop()
        if name in texts or name not in place or place[name] is strategy_class:
            continue
        value = place[name]
        if getattr(value, "__module__", None) == strategy_class.__module__ and (
            inspect.isfunction(value) or inspect.isclass(value)
        ):
            texts[name] = _text_of(value)
            waiting += _names(texts[name])
        elif isinstance(value, (int, float, str, bytes, bool, tuple, frozenset)):
            texts[name] = repr(value)
    return texts


def _names(text: str) -> Iterable[str]:
    try:
        tree = ast.parse(inspect.cleandoc("\n" + text) if text.startswith((" ", "\t")) else text)
    except SyntaxError:
        return []
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
