"""Saved runs: one file that holds a record whole, written atomically, read without running any code from it."""

from __future__ import annotations

import io
import json
import os
import platform
import tempfile
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.errors import CorruptData

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "cift run 1"
META = "record.json"
JOURNAL = "journal.bin"


@cache
def _environment() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    for name in ("cift-markets", "numpy", "numba", "polars", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def environment() -> dict[str, str]:
    """Interpreter, platform and versions of the libraries that a run uses, for `cift verify` to compare."""
    return dict(_environment())


def read_file(path: str) -> bytes:
    """The content of a file, for `Strategy.read`."""
    return Path(path).read_bytes()


def write_atomically(path: str | Path, content: bytes) -> Path:
    """Writes a file so that a reader sees the old content or the new one, never a part.

    Returns:
        The path written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def save_run(path: str | Path, meta: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]], journal: bytes) -> Path:
    """Writes a run: plain values as JSON, columns as Arrow files, and the journal.

    Args:
        meta: plain values. tables: for each table its columns (NumPy arrays or lists of text or None).
    """
    import pyarrow as pa

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(META, json.dumps({"format": FORMAT, **meta}, sort_keys=True, indent=1))
        for name, columns in tables.items():
            archive.writestr(f"{name}.arrow", _arrow(pa.table({key: _array(key, values) for key, values in columns.items()})))
        archive.writestr(JOURNAL, journal)
    return write_atomically(path, buffer.getvalue())


def load_run(path: str | Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]], bytes]:
    """What `save_run` wrote: plain values, tables of columns, and the journal.

    Raises:
        CorruptData: where the file is not a saved run, is cut off, or does not match its checksums.
    """
    import pyarrow as pa

    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read(META))
            if meta.pop("format", None) != FORMAT:
                raise CorruptData(f"{path} is a saved run of another format than {FORMAT!r}; save it again with this release")
            tables = {}
            for name in archive.namelist():
                if name.endswith(".arrow"):
                    table = pa.ipc.open_file(pa.BufferReader(archive.read(name))).read_all()
                    tables[name.removesuffix(".arrow")] = {
                        column: _values(table.column(column)) for column in table.column_names
                    }
            return meta, tables, archive.read(JOURNAL)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, pa.ArrowInvalid) as error:
        if isinstance(error, CorruptData):
            raise
        raise CorruptData(f"{path} is not a whole saved run: {error}; save it again") from error


TEXTS = frozenset({"symbol", "side", "kind", "tif", "status", "reason", "tag", "liquidity", "level", "message"})


def _array(name: str, values: Any) -> Any:
    import pyarrow as pa

    return pa.array(values, type=pa.string()) if name in TEXTS else pa.array(values)


def _values(column: Any) -> Any:
    import pyarrow as pa

    return column.to_pylist() if pa.types.is_string(column.type) else column.to_numpy()


def _arrow(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
