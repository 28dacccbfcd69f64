"""What a run's digest depends on: data, code, parameters, venue, seed and engine. Same fingerprint, same digest."""

from __future__ import annotations

import ast
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
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from cift import _sim

_INSTALLED = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
"""Packages may be borrowed from another environment: what lies in such a folder is installed, whoever's it is."""


def digest_of(parts: Mapping[str, Any]) -> str:
    """BLAKE2b of plain values in one encoding (sorted JSON), in hex."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def code_hash(strategy: type) -> str:
    """Hash of the code that decides: the class, its module, and all that these import outside the installed packages.

    A class of a notebook or of the prompt has no module file: its own text counts, and the text of what it names there. The
    name under which its module was loaded does not count: a file has one hash, run as a script or imported.
    """
    module = sys.modules.get(strategy.__module__)
    texts = {f"class {strategy.__qualname__}": class_text(strategy)}
    if module is None or own_file(module) is None:
        texts.update(_named_here(strategy, texts[f"class {strategy.__qualname__}"])[0])
    else:
        own = _module_texts(module)
        texts["module"] = own.pop(module.__name__)
        texts.update(own)
    for base in strategy.__mro__[1:]:
        if base.__module__.split(".")[0] not in ("cift", "builtins", "abc", "typing"):
            texts[f"class {base.__qualname__}"] = class_text(base)
    return digest_of(texts)


def left_out(strategy: type) -> list[str]:
    """Names that a class of a notebook uses and whose content `code_hash` cannot tell, sorted."""
    module = sys.modules.get(strategy.__module__)
    if module is not None and own_file(module) is not None:
        return []
    return sorted(_named_here(strategy, class_text(strategy))[1])


def class_text(cls: type) -> str:
    """The text of a class, from its module or its notebook cell; where neither is left, its compiled code."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return _cell_text(cls) or "\n".join(_compiled(name, code) for name, code in _codes(cls))


def engine_hash() -> str:
    """Hash of the sources of the compiled core."""
    return str(_sim.ENGINE_HASH)


def _codes(cls: type) -> Iterator[tuple[str, CodeType]]:
    """The compiled code of a class's own methods, by name."""
    for name, value in sorted(vars(cls).items()):
        function = getattr(value, "__func__", getattr(value, "fget", value))
        code = getattr(function, "__code__", None)
        if code is not None and getattr(function, "__module__", None) == cls.__module__:
            yield name, code


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
    texts: dict[str, str] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        path = own_file(current)
        if path is None or current.__name__ in texts:
            continue
        text = path.read_text(encoding="utf-8")
        texts[current.__name__] = text
        waiting += [sys.modules[name] for name in _imported(text, current.__package__ or "") if name in sys.modules]
    return texts


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


def _named_here(strategy: type, text: str) -> tuple[dict[str, str], set[str]]:
    """What a class without a module file names, and what that names in turn; and the names of what cannot be told.

    Functions and classes of the same place count by their text, values by their content; of the user's own modules the whole
    module counts.
    """
    module = sys.modules.get(strategy.__module__)
    place: Mapping[str, Any] = vars(module) if module is not None else {}
    texts: dict[str, str] = {}
    unknown: set[str] = set()
    waiting = list(_names(text))
    while waiting:
        name = waiting.pop()
        if name in texts or name not in place or place[name] is strategy:
            continue
        value = place[name]
        home = value if inspect.ismodule(value) else sys.modules.get(getattr(value, "__module__", None) or "")
        content = None if inspect.ismodule(value) or inspect.isclass(value) else _content(value)
        if content is not None:
            texts[name] = content
        elif home is module and (inspect.isfunction(value) or inspect.isclass(value)):
            texts[name] = _text_of(value)
            waiting += _names(texts[name])
        elif home is not None and home is not module and own_file(home) is not None:
            texts.update(_module_texts(home))
        elif not (inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)):
            unknown.add(name)
    return texts, unknown


def _content(value: Any) -> str | None:
    """A text that two values share when they are equal in kind and content; None where that cannot be told."""
    if value is None or isinstance(value, (int, float, complex, str, bytes, Decimal, date, timedelta, Enum)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return _joined(type(value).__name__, [_content(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return _joined(type(value).__name__, sorted((_content(item) for item in value), key=str))
    if isinstance(value, dict):
        return _joined("dict", [_content(item) for pair in value.items() for item in pair])
    if is_dataclass(value):
        return _joined(type(value).__qualname__, [_content(getattr(value, field.name)) for field in fields(value)])
    # Known without an import of the library: who holds one has imported it.
    kind = f"{type(value).__module__.split('.')[0]}.{type(value).__name__}"
    if kind == "numpy.ndarray" and not value.dtype.hasobject:
        digest = hashlib.blake2b(value.tobytes(), digest_size=32).hexdigest()
        return f"array {value.dtype.str} {value.shape} {digest}"
    if kind.startswith("numpy.") and hasattr(value, "dtype") and value.ndim == 0:
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
