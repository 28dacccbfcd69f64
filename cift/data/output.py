"""Files for others: whole or not there, and never in place of another by accident."""

from __future__ import annotations

import contextlib
import gzip
import io
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from cift.data.storage import Disk, StagedFile
from cift.errors import InvalidParameter

COMPRESSIONS = (".gz", ".zst")


@contextlib.contextmanager
def output(path: Path, *, overwrite: bool, disk: Disk | None = None) -> Iterator[StagedFile]:
    """A file to be written under a temporary name beside `path`; synced and renamed at the end, removed after an error.

    Raises:
        InvalidParameter: something stands there and `overwrite` is false, or its folder does not exist.
        OSError: the disk refuses.
    """
    path = path.expanduser().absolute()
    disk = disk or Disk()
    if not path.parent.is_dir():
        raise InvalidParameter(f"there is no folder {path.parent} to write {path.name} to; make it first")
    _check_free(path, overwrite)
    staged = StagedFile(disk, path.with_name(f".{path.name}.{secrets.token_hex(4)}.part"))
    try:
        yield staged
        staged.finish()
        _check_free(path, overwrite)
        disk.rename(staged.path, path)
        disk.sync_folder(path.parent)
    except BaseException:
        staged.close()
        with contextlib.suppress(OSError):
            disk.remove(staged.path)
        raise


def _check_free(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise InvalidParameter(f"{path} is a folder; name a file in it")
    if path.exists() and not overwrite:
        raise InvalidParameter(f"{path} exists; pass overwrite=True (--overwrite) to replace it, or choose another name")


@contextlib.contextmanager
def compressed(file: StagedFile, suffix: str) -> Iterator[IO[bytes] | Any]:
    """What is written to `file` as the suffix of a name asks for: gzip (.gz), zstd (.zst), or as it is.

    The same rows give the same bytes: gzip's header carries neither name nor time.
    """
    if suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as stream:
            yield stream
    elif suffix == ".zst":
        with pa.CompressedOutputStream(pa.PythonFile(_Lent(file), mode="w"), "zstd") as stream:
            yield stream
    else:
        yield file


class _Lent(io.RawIOBase):
    """A file that whoever it is lent to may close, without closing it."""

    def __init__(self, file: StagedFile) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._file.write(data)
