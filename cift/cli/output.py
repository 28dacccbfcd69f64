"""How results are printed: JSON with stable keys, or text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cift.data.times import iso
from cift.data.values import SavedValue
from cift.sim.fingerprint import digest_of

if TYPE_CHECKING:
    from cift.backtest import Result


def print_json(value: Mapping[str, Any]) -> None:
    """Prints one JSON object: times as ISO text in UTC, spans of time in seconds, what is missing as null, objects as text."""
    print(msgspec.json.format(msgspec.json.encode(_plain(value), enc_hook=str), indent=2).decode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, (Path, Enum, SavedValue)):
        return str(value)
    # A NumPy scalar is the Python number that it holds.
    return value.item() if isinstance(value, np.generic) else value


def result_json(result: Result, *, saved: Path | None = None, report: Path | None = None) -> dict[str, Any]:
    """The keys of `cift run --json`."""
    record = result.record
    return {
        "strategy": record.strategy,
        "parameters": record.parameters,
        "symbols": record.symbols,
        "level": record.level,
        "start": iso(record.start_ns),
        "end": iso(record.end_ns),
        "cash": record.cash,
        "currency": record.currency,
        "venue": record.venue,
        "rows": record.rows,
        "stats": result.stats.to_dict(),
        "notes": [*record.notes, *result.stats.notes],
        "digest": record.digest,
        "fingerprint": digest_of(record.fingerprint),
        "saved": saved,
        "report": report,
    }
