"""What a value holds, as text: two values share it when they are equal in kind and content."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Number
from typing import Any

_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, range, Decimal, datetime, date, timedelta)
"""Whose `repr` is their content. A kind stands before the one that it derives from."""

_FIXED = (*(kind for kind in _PLAIN if kind is not bytearray), Number, Enum)

_CONTAINERS = (list, tuple, set, frozenset, dict)


def is_fixed(value: Any) -> bool:
    """Whether a value is one that cannot change: a number, a text, a time, a member of an enum, a tuple of such."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_fixed, value))
    return isinstance(value, _FIXED)


class Content:
    """The text of a value, None where it cannot be told, and the classes whose methods the value brings along."""

    def __init__(self, value: Any) -> None:
        self._kinds: dict[type, None] = {}
        try:
            self.text = self._told(value)
        except RecursionError:  # it contains itself
            self.text = None

    @property
    def kinds(self) -> list[type]:
        """In an order that no hash decides."""
        return sorted(self._kinds, key=lambda kind: (kind.__module__, kind.__qualname__))

    def _told(self, value: Any) -> str | None:
        kind = type(value)
        if inspect.isclass(value):
            return None
        if kind in _PLAIN or value is Ellipsis or kind.__module__ == "typing":
            return repr(value)
        self._kinds[kind] = None
        if isinstance(value, Enum):
            own = {name: held for name, held in vars(value).items() if not name.startswith("_")}
            return _joined(f"{kind.__qualname__}.{value.name}", [self._told(value.value), self._told(own)])
        if not (is_dataclass(value) or isinstance(value, (*_PLAIN, *_CONTAINERS))):
            library = f"{kind.__module__.split('.')[0]}.{kind.__name__}"
            if library == "polars.DataFrame":
                return _joined(library, [self._column(column) for column in value.get_columns()])
            return self._column(value) if library == "polars.Series" else _of_numpy(library, value)
        told_by = {field.name for field in fields(value)} if is_dataclass(value) else set()
        if not told_by.issuperset(_attributes(value)):
            return None
        if isinstance(value, _PLAIN):
            return f"{kind.__qualname__}({_plain(value)})"
        if isinstance(value, (list, tuple)):
            return self._all(kind.__qualname__, value)
        if isinstance(value, (set, frozenset)):
            return _joined(kind.__qualname__, sorted((self._told(item) for item in value), key=str))
        if isinstance(value, dict):
            made_by = getattr(value, "default_factory", None)
            return (
                None if made_by is not None else self._all(kind.__qualname__, (part for pair in value.items() for part in pair))
            )
        return self._all(kind.__qualname__, (getattr(value, name) for name in sorted(told_by)))

    def _all(self, kind: str, items: Iterable[Any]) -> str | None:
        return _joined(kind, [self._told(item) for item in items])

    def _column(self, column: Any) -> str | None:
        """The rows of a Polars column: in how many pieces and by what steps it was put together is no part of it."""
        kind = f"{column.name!r} {column.dtype!r}"
        dtype = column.dtype
        if (
            dtype.is_float()
            or dtype.is_temporal()
            or (dtype.is_integer() and "128" not in str(dtype))
            or str(dtype) == "Boolean"
        ):
            rows = hashlib.blake2b(column.is_null().to_numpy().tobytes(), digest_size=32)
            rows.update(column.to_physical().fill_null(False if str(dtype) == "Boolean" else 0).to_numpy().tobytes())
            return f"{kind} {rows.hexdigest()}"
        return _joined(kind, [self._told(column.to_list())])


def _attributes(value: Any) -> set[str]:
    """The names of what an object holds in attributes and slots."""
    slots = {
        name
        for base in type(value).__mro__
        for name, slot in vars(base).items()
        if inspect.ismemberdescriptor(slot)
        and base.__module__ not in ("builtins", "datetime", "decimal")
        and hasattr(value, name)
    }
    return slots | set(getattr(value, "__dict__", ()))


def _plain(value: Any) -> str:
    """A number or string of a derived class: as the library's class writes it, or else as the plain class does."""
    kind = type(value)
    if kind.__module__.split(".")[0] in ("numpy", "pandas"):
        return repr(value)
    base: Any = next(base for base in kind.__mro__ if base in _PLAIN)
    return str(base.__repr__(value))


def _of_numpy(kind: str, value: Any) -> str | None:
    """Known without an import of the library: who holds one has imported it."""
    if kind == "numpy.ndarray" and not value.dtype.hasobject:
        digest = hashlib.blake2b(value.tobytes(), digest_size=32).hexdigest()
        return f"array {value.dtype.descr} {value.shape} {digest}"
    if kind == "numpy.ufunc" or (kind.startswith("numpy.") and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0):
        return repr(value)
    return None


def _joined(kind: str, items: list[str | None]) -> str | None:
    known = [item for item in items if item is not None]
    return f"{kind}({','.join(known)})" if len(known) == len(items) else None
