"""The catalog's table of corporate actions: read from frames and files, kept as sealed JSON beside the instruments."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from cift.data.frames import read_frame
from cift.data.manifest import seal, unseal
from cift.domain.action import Action
from cift.domain.calendar import time_zone
from cift.domain.moment import datetime_ns
from cift.errors import CorruptData, DataError, InvalidParameter

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("symbol", "ex_date", "kind", "ratio", "amount", "currency", "close")
NEEDED = COLUMNS[:3]


def read_actions(given: Any) -> list[Action]:
    """Actions from a frame or a CSV or Parquet file with the columns `symbol, ex_date, kind` and `ratio` or `amount`, and
    `currency` and `close` where known; or from `Action`s, which are handed back.

    Raises:
        DataError: a column is missing or unknown, or a row is no action; the message names the row.
    """
    if isinstance(given, (list, tuple)) and all(isinstance(one, Action) for one in given):
        return list(given)
    table = _csv(Path(given)) if isinstance(given, (str, Path)) and Path(given).suffix != ".parquet" else read_frame(given)
    unknown = [name for name in table.column_names if name not in COLUMNS]
    missing = [name for name in NEEDED if name not in table.column_names]
    if unknown or missing:
        what = f"column {missing[0]!r} is missing" if missing else f"column {unknown[0]!r} is not known"
        raise DataError(f"{what}; actions have {', '.join(COLUMNS)}, and given are {', '.join(table.column_names)}")
    found = []
    for number, row in enumerate(table.to_pylist()):
        told = {name: value for name, value in row.items() if value is not None and value != ""}
        try:
            found.append(Action(**told))
        except (InvalidParameter, TypeError) as error:
            raise DataError(f"row {number} of the actions: {error}") from None
    return found


def _csv(path: Path) -> Any:
    """A CSV file with every column as text: 0.10 stays 0.10."""
    import pyarrow as pa
    from pyarrow import csv

    try:
        options = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=True)
        return csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from None


def replaced(known: Sequence[Action], given: Sequence[Action]) -> list[Action]:
    """What is known with the actions given; of a symbol that is given, those known before are forgotten.

    Raises:
        DataError: two splits, or two dividends, of a symbol on one day.
    """
    symbols = {action.symbol for action in given}
    merged = sorted(
        [*(action for action in known if action.symbol not in symbols), *given],
        key=lambda action: (action.symbol, action.ex_date, action.kind != "split"),
    )
    for one, other in pairwise(merged):
        if (one.symbol, one.ex_date, one.kind) == (other.symbol, other.ex_date, other.kind):
            raise DataError(f"{one.symbol} has two actions of one kind on one day: {one} and {other}; add them up")
    return merged


def encode_actions(actions: Sequence[Action]) -> bytes:
    """The table as the catalog keeps it."""
    return seal([action.to_dict() for action in actions])


def decode_actions(data: bytes, path: Path) -> list[Action]:
    """Reads what `encode_actions` wrote.

    Raises:
        CorruptData: where it was changed.
    """
    try:
        return [Action(**told) for told in unseal(data, list[dict[str, Any]], path)]
    except (TypeError, InvalidParameter) as error:
        raise CorruptData(f"{path} holds an action that cannot be read: {error}") from None


def actions_frame(actions: Sequence[Action]) -> pl.DataFrame:
    """One row per action, by symbol and day: symbol, ex_date, kind, ratio (as text, "4:1"), amount, currency, close."""
    import polars as pl

    rows = [{name: action.to_dict().get(name) for name in COLUMNS} for action in actions]
    texts = {name: pl.Series([row[name] for row in rows], dtype=pl.String) for name in COLUMNS}
    numbers = {name: texts[name].cast(pl.Float64) for name in ("amount", "close")}
    return pl.DataFrame({**texts, "ex_date": texts["ex_date"].str.to_date("%Y-%m-%d"), **numbers})


def ex_ns(ex_date: dt.date, calendar: str) -> int:
    """When a day begins at an exchange: local midnight, UTC of a market that never closes."""
    return datetime_ns(dt.datetime(ex_date.year, ex_date.month, ex_date.day, tzinfo=ZoneInfo(time_zone(calendar))))
