"""Frames as CSV and back, to the last bit.

CSV holds texts alone, so the reader must be told the types. Floats are written as the shortest decimal that reads back as the
same float, times as ISO text with their nanoseconds in UTC, durations as whole numbers of their unit. Null is nothing between
two commas, the empty text is `""`, NaN is `NaN` (all NaN are one).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa

from cift.data.importers.text import UNREADABLE, open_bytes
from cift.data.output import compressed, output
from cift.domain.schemas import arrow_schema, check_schema
from cift.errors import CorruptData, DataError, InvalidParameter

Schema = str | Mapping[str, Any]
_DIGITS = {"ms": 3, "us": 6, "ns": 9}
_PLAIN = (pl.String, pl.Boolean, pl.Categorical, pl.Enum)


def write_csv(frame: pl.DataFrame, path: str | Path, *, overwrite: bool = False) -> None:
    """Writes a frame as CSV, gzipped where the name ends in .gz, by zstd where it ends in .zst.

    The file appears whole or not at all.

    Raises:
        InvalidParameter: the file exists and `overwrite` is false, or a column is of a type that CSV cannot hold.
        OSError: the disk refuses.

    Example:
        >>> write_csv(frame, "ticks.csv.gz")  # doctest: +SKIP
        >>> read_csv("ticks.csv.gz", frame.schema).equals(frame)  # doctest: +SKIP
        True
    """
    texts = as_text(frame)
    with output(Path(path), overwrite=overwrite) as file, compressed(file, Path(path).suffix) as stream:
        write_rows(texts, stream, header=True)


def read_csv(path: str | Path, schema: Schema) -> pl.DataFrame:
    """Reads what `write_csv` or an export wrote.

    Args:
        path: the file; what ends in .gz, .zst, .xz or .zip (of one file) is unpacked.
        schema: the types by column, such as `frame.schema`; or "mbo", "mbp", "quotes", "trades" or "bars", with the columns of an
            export.

    Raises:
        DataError: the file is not there, has other columns, or a value of another type; the message names it.
        CorruptData: the compressed data is damaged.
    """
    path, types = Path(path), _types(schema)
    try:
        with open_bytes(path) as stream:
            data = stream.read()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UNREADABLE as error:
        raise CorruptData(f"{path.name} cannot be read: {error}") from None
    try:
        found = pl.read_csv(io.BytesIO(data), n_rows=0, infer_schema=False).columns
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path.name} is no CSV file: {error}") from None
    # polars leaves a quote within a name doubled, as it stands in the file.
    header = [name.replace('""', '"') for name in found]
    if isinstance(schema, str) and "symbol" not in header:
        del types["symbol"]
    if header != list(types):
        raise DataError(f"{path.name} has the columns {', '.join(header)}; {', '.join(types)} were expected")
    plain = (kind if kind.is_integer() or kind.is_float() else pl.String() for kind in types.values())
    raw = dict(zip(found, plain, strict=True))
    try:
        texts = pl.read_csv(io.BytesIO(data), schema=raw).rename(dict(zip(found, header, strict=True)))
        return texts.with_columns(_typed(texts[name], kind) for name, kind in types.items())
    except (pl.exceptions.PolarsError, pa.ArrowInvalid) as error:
        raise DataError(f"{path.name}: {error}") from None


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with texts in place of times, such as `write_rows` takes.

    Raises:
        InvalidParameter: a column is of a type that CSV cannot hold.
    """
    return frame.with_columns(
        _text(name, kind) for name, kind in frame.schema.items() if kind.is_temporal() or not _is_plain(kind)
    )


def write_rows(texts: pl.DataFrame, stream: IO[bytes] | Any, *, header: bool) -> None:
    """Appends rows to a file."""
    stream.write(texts.write_csv(include_header=header).encode())


def _is_plain(kind: pl.DataType) -> bool:
    return kind.is_integer() or kind.is_float() or kind in _PLAIN


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        if kind.time_zone is not None:
            column = column.dt.convert_time_zone("UTC")
        return column.dt.strftime(f"%Y-%m-%dT%H:%M:%S%.{_DIGITS[kind.time_unit]}f" + "Z" * (kind.time_zone is not None))
    if isinstance(kind, pl.Duration):
        return column.to_physical()
    if kind in (pl.Date, pl.Time):
        return column.dt.strftime("%Y-%m-%d" if kind == pl.Date else "%H:%M:%S%.9f")
    raise InvalidParameter(f"column {name!r} is {kind}, which CSV cannot hold; write Parquet, or take it out")


def _typed(column: pl.Series, kind: pl.DataType) -> pl.Series:
    if isinstance(kind, pl.Datetime):
        # Arrow reads these texts ten times as fast as polars does.
        times = column.to_arrow().cast(pa.timestamp(kind.time_unit, tz=None if kind.time_zone is None else "UTC"))
        read = pl.Series(column.name, times)
        return read if kind.time_zone is None else read.dt.convert_time_zone(kind.time_zone)
    if isinstance(kind, pl.Duration):
        return column.cast(pl.Int64).cast(kind)
    if kind == pl.Date:
        return column.str.strptime(pl.Date, "%Y-%m-%d", strict=True)
    if kind == pl.Time:
        return column.str.strptime(pl.Time, "%H:%M:%S%.f", strict=True)
    if kind == pl.Boolean:
        strange = column.filter(~column.is_in(["true", "false"]))
        if len(strange):
            raise DataError(f"column {column.name!r} holds {strange[0]!r}; true or false were expected")
        return column == "true"
    return column.cast(kind)


def _types(schema: Schema) -> dict[str, pl.DataType]:
    if not isinstance(schema, str):
        return dict(pl.Schema(schema))
    stored = pl.DataFrame(arrow_schema(check_schema(schema)).empty_table()).schema
    words = {
        name: pl.String() if kind == pl.Categorical or isinstance(kind, pl.Enum) else kind for name, kind in stored.items()
    }
    return {**words, "symbol": pl.String()}
