"""What the user's own files said when they were loaded, and whether what runs is what they say."""

from __future__ import annotations

import inspect
import os
import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.util import MAGIC_NUMBER, decode_source
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from cift.sim.code import compiled_text, innermost, methods
from cift.sim.modules import Place, module_of, own_file


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


def source_at(place: Place) -> Source | None:
    """What the file of a module said when it was loaded; or else what it says now."""
    if place.module is not None:
        return source_of(place.module)
    _LATER.add(place.name)
    return None if place.path is None else source_on_disk(place.path)
