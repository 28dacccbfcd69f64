"""Saved runs: one file that holds a record whole, written atomically, read without running any code from it.

Long runs: what they leave behind goes to disk while they run.
"""

from __future__ import annotations

import errno
import io
import json
import mmap
import os
import platform
import tempfile
import zipfile
import zlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.config import cache_folder
from cift.data.values import heard, told
from cift.errors import CiftError, CorruptData, NotSupported

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    import pyarrow as pa

FORMAT = "cift run 3"
META = "record.json"
JOURNAL = "journal.bin"
DAMAGE = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, ArithmeticError, EOFError, RuntimeError)
"""What reading a damaged archive raises."""


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


class Spill:
    """Takes tables and the journal of a long run out of memory, into a folder of their own below the cache folder.

    The files are mapped into memory when they are read, and deleted at once where the system allows it, else with the process.
    """

    def __init__(self) -> None:
        parent = cache_folder() / "spill"
        parent.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True)
        self._writers: dict[str, Any] = {}

    def add(self, table: str, columns: Mapping[str, Any]) -> None:
        """Appends rows to a table: for each column a NumPy array, or a list of text or None."""
        import pyarrow as pa

        rows = _table(columns)
        if table not in self._writers:
            self._writers[table] = pa.ipc.new_file(self._path(f"{table}.arrow"), rows.schema)
        self._writers[table].write_table(rows)

    def add_journal(self, content: bytes) -> None:
        """Appends to the journal."""
        with Path(self._path(JOURNAL)).open("ab") as file:
            file.write(content)

    def holds(self, table: str) -> bool:
        """Whether rows of a table were added."""
        return table in self._writers

    def frame(self, table: str, last: Mapping[str, Any]) -> pl.DataFrame:
        """The whole table, with its last rows, mapped from disk. No rows can be added afterwards."""
        import polars as pl
        import pyarrow as pa

        self.add(table, last)
        self._writers[table].close()
        frame = pl.from_arrow(pa.ipc.open_file(pa.memory_map(self._path(f"{table}.arrow"))).read_all(), rechunk=False)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def journal(self, last: bytes) -> mmap.mmap:
        """The whole journal, with its last bytes, mapped from disk."""
        self.add_journal(last)
        with Path(self._path(JOURNAL)).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """Deletes the files; what was mapped stays readable."""
        self._folder.cleanup()

    def _path(self, name: str) -> str:
        return str(Path(self._folder.name) / name)


def save_run(
    path: str | Path,
    meta: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Any] | pl.DataFrame],
    journal: bytes | mmap.mmap,
) -> Path:
    """Writes a run: values as JSON that tells their kinds, columns as Arrow files, and the journal.

    Args:
        meta: values; of one that is not plain a text is kept.
        tables: for each table its columns (NumPy arrays or lists of text or None), or a frame of them.
    """
    import pyarrow as pa

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(META, json.dumps(told({"format": FORMAT, "tables": [*tables], **meta}), indent=1))
        for name, columns in tables.items():
            with archive.open(f"{name}.arrow", "w", force_zip64=True) as file:
                table = _table(columns)
                with pa.ipc.new_file(file, table.schema) as writer:
                    writer.write_table(table)
        archive.writestr(JOURNAL, journal)
    return write_atomically(path, buffer.getvalue())


def load_run(path: str | Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]], bytes]:
    """What `save_run` wrote: values, tables of columns, and the journal.

    Raises:
        CorruptData: where the file is not a saved run, is cut off, or does not match its checksums.
        NotSupported: where another release wrote it, in another format.
    """
    import pyarrow as pa

    # Opened before: that there is no such file is not damage.
    with Path(path).open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                meta = heard(json.loads(archive.read(META)))
                if not isinstance(meta, dict):
                    raise ValueError(f"{META} holds no fields")
                written = meta.pop("format")
                if written != FORMAT:
                    raise NotSupported(
                        f"{path} is a saved run of the format {written!r}, and this release reads {FORMAT!r}; run it again, or "
                        "load it with the release that wrote it"
                    )
                tables = {}
                for name in meta.pop("tables"):
                    table = pa.ipc.open_file(pa.BufferReader(archive.read(f"{name}.arrow"))).read_all()
                    tables[name] = {column: _values(table.column(column)) for column in table.column_names}
                return meta, tables, archive.read(JOURNAL)
        except CiftError:
            raise
        except (*DAMAGE, OSError, pa.ArrowException) as error:
            # A damaged table of contents may point to before the file's beginning; any other error of a file is its own.
            if type(error) is OSError and error.errno != errno.EINVAL:
                raise
            raise CorruptData(f"{path} is not a whole saved run: {error}; save it or run it again") from error


TEXTS = frozenset({"symbol", "side", "kind", "tif", "status", "reason", "tag", "liquidity", "level", "message"})
"""Columns of a run\'s tables that hold text, also where all their values are None."""


def _table(columns: Mapping[str, Any] | pl.DataFrame) -> pa.Table:
    import pyarrow as pa

    if not hasattr(columns, "items"):
        return columns.to_arrow()
    arrays = {name: pa.array(values, type=pa.string_view() if name in TEXTS else None) for name, values in columns.items()}
    return pa.table(arrays)


def _values(column: Any) -> Any:
    import pyarrow as pa

    is_text = pa.types.is_string_view(column.type) or pa.types.is_large_string(column.type)
    return column.to_pylist() if is_text else column.to_numpy()
