"""Values as JSON that tells their kinds, so that a saved run gives back what it was given, without running any code.

Text, numbers, true, false, none, lists, and dicts with text as keys stand for themselves. Any other value is an object whose
key "$kind" names what it is; one of a class that is not known here leaves a text only.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, EnumMeta
from functools import reduce
from types import ModuleType
from typing import Any, Final
from zoneinfo import ZoneInfo

KIND: Final = "$kind"
TEXT_CHARS_MAX: Final = 1_000
"""What a text of a value is cut to."""

_AS_THEY_ARE = (type(None), bool, int, float, str)
_GROUPS: Final[dict[str, type]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_TEXTS: Final[dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "decimal": (Decimal, str, Decimal),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "time": (dt.time, lambda value: _told_clock(value), lambda told: _heard_clock(dt.time, *told)),
    "datetime": (dt.datetime, lambda value: _told_clock(value), lambda told: _heard_clock(dt.datetime, *told)),
    "timedelta": (
        dt.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda told: dt.timedelta(*told),
    ),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "complex": (complex, repr, complex),
}
"""Kind -> its class, what makes it JSON, and what makes it of JSON."""


@dataclass(frozen=True)
class SavedValue:
    """What a saved run tells of a value that it could not carry.

    Args:
        module, name: of its class.
        text: what `str` gave, cut.
        member: where it is a member of an Enum whose class is not loaded: the member's name.
    """

    module: str
    name: str
    text: str
    member: str | None = None

    def __str__(self) -> str:
        return self.text


def told(value: Any) -> Any:
    """A value as JSON; one that cannot be carried as a text of it."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is list:
        return [told(item) for item in value]
    if kind is dict:
        if KIND not in value and all(type(key) is str for key in value):
            return {key: told(item) for key, item in value.items()}
        return {KIND: "dict", "value": [[told(key), told(item)] for key, item in value.items()]}
    for word, group in _GROUPS.items():
        if kind is group:
            return {KIND: word, "value": [told(item) for item in value]}
    for word, (plain, tell, _) in _TEXTS.items():
        if kind is plain and (content := tell(value)) is not None:
            return {KIND: word, "value": content}
    if kind is not SavedValue:
        member = value.name if isinstance(value, Enum) and value.name in kind.__members__ else None
        value = SavedValue(kind.__module__, kind.__qualname__, _text(value), member)
    return {KIND: "object", "module": value.module, "class": value.name, "text": value.text, "member": value.member}


def heard(content: Any, module: Callable[[str], ModuleType | None] = sys.modules.get) -> Any:
    """The value that `told` told.

    Args:
        content: as `json.loads` gives it.
        module: finds the loaded module of an Enum by its name; without it a member stays a `SavedValue`.
    Raises:
        KeyError, ValueError, TypeError, ArithmeticError: where `content` is not of `told`.
    """
    if isinstance(content, list):
        return [heard(item, module) for item in content]
    if not isinstance(content, dict):
        return content
    if KIND not in content:
        return {key: heard(item, module) for key, item in content.items()}
    word = content[KIND]
    if word == "dict":
        return {heard(key, module): heard(item, module) for key, item in content["value"]}
    if word in _GROUPS:
        return _GROUPS[word](heard(item, module) for item in content["value"])
    if word in _TEXTS:
        return _TEXTS[word][2](content["value"])
    saved = SavedValue(content["module"], content["class"], content["text"], content["member"])
    return _member(saved, module(saved.module))


def saved_values(value: Any) -> Iterator[SavedValue]:
    """What was not carried of a value that was heard, within tuples, lists, sets and dicts too."""
    if isinstance(value, SavedValue):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from saved_values(pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from saved_values(item)


def _member(saved: SavedValue, home: ModuleType | None) -> Any:
    """The member of a loaded Enum, where there is one."""
    found = reduce(lambda place, name: getattr(place, name, None), saved.name.split("."), home)
    if saved.member is None or not isinstance(found, EnumMeta):
        return saved
    return found.__members__.get(saved.member, saved)


def _text(value: Any) -> str:
    try:
        return str(value)[:TEXT_CHARS_MAX]
    except Exception:  # whatever the value's own class raises
        return object.__repr__(value)


def _told_clock(value: dt.datetime | dt.time) -> list[Any] | None:
    """What the clock showed, in which zone, and whether for the second time that night; None for a zone of the user's own."""
    zone = value.tzinfo
    if isinstance(zone, ZoneInfo) and zone.key is not None:
        return [value.replace(tzinfo=None).isoformat(), zone.key, value.fold]
    return [value.isoformat(), None, value.fold] if zone is None or isinstance(zone, dt.timezone) else None


def _heard_clock(kind: type[Any], text: str, zone: str | None, fold: int) -> Any:
    value = kind.fromisoformat(text).replace(fold=fold)
    return value if zone is None else value.replace(tzinfo=ZoneInfo(zone))
