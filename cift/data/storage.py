"""Files that appear whole or not at all.

Everything the catalog writes goes through a `Disk`, so that a test can make any single operation fail. A file is written
under a temporary name, synced, and renamed; the folder is synced after the rename.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from cift.data.hashing import blake2


class Disk:
    """The operations that change a disk. Each raises OSError where the disk refuses."""

    def create(self, path: Path) -> BinaryIO:
        """Opens a new file for writing, unbuffered."""
        return path.open("xb", buffering=0)

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Writes all of `data`."""
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

    def sync(self, file: BinaryIO) -> None:
        """Waits until the file's bytes are on the disk."""
        os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Puts `source` in the place of `target` in one step."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Removes a file, if it is there."""
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Makes a folder and those above it, and syncs their entries; one that exists is fine."""
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in reversed(missing):
            self.sync_folder(folder.parent)

    def sync_folder(self, path: Path) -> None:
        """Waits until the folder's entries are on the disk (a no-op where folders cannot be opened, as on Windows)."""
        if sys.platform == "win32":
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class TemporaryFile(io.RawIOBase):
    """A file being written for this process alone; counts what passes."""

    def __init__(self, disk: Disk, path: Path) -> None:
        super().__init__()
        self.path = path
        self.bytes_written = 0
        self._disk = disk
        self._file = disk.create(path)

    def writable(self) -> bool:
        """Yes: it is only written."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self.bytes_written

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Writes all of `data`; its number of bytes.

        Raises:
            OSError: where the disk does not take it.
        """
        view = memoryview(data).cast("B")
        self._disk.write(self._file, view)  # type: ignore[arg-type]
        self.bytes_written += len(view)
        return len(view)

    def close(self) -> None:
        """Closes the file as it stands."""
        if not self.closed:
            self._file.close()
        super().close()


class StagedFile(TemporaryFile):
    """A file that is to be visible once `finish` has made it whole; hashes what passes."""

    def __init__(self, disk: Disk, path: Path) -> None:
        super().__init__(disk, path)
        self._hash = blake2()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """See `TemporaryFile.write`."""
        written = super().write(data)
        self._hash.update(data)
        return written

    def finish(self) -> str:
        """Syncs and closes the file; its hash in hex."""
        self._disk.sync(self._file)
        self.close()
        return self._hash.hexdigest()


class Staging:
    """A writer's own folder for files that are not visible yet; goes away with the writer.

    It is locked while its writer lives, so that `sweep` can tell what a killed writer left behind.
    """

    def __init__(self, disk: Disk, parent: Path) -> None:
        disk.make_folder(parent)
        self.disk = disk
        self.folder = parent / secrets.token_hex(8)
        self._count = 0
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(locked(self.folder.with_suffix(".lock")))
        try:
            disk.make_folder(self.folder)
        except BaseException:
            self.close()
            raise

    def path(self, suffix: str) -> Path:
        """A new temporary path."""
        self._count += 1
        return self.folder / f"{self._count}{suffix}"

    def put(self, data: bytes, suffix: str) -> Path:
        """Writes and syncs a small file."""
        file = StagedFile(self.disk, self.path(suffix))
        try:
            file.write(data)
            file.finish()
        finally:
            file.close()
        return file.path

    def close(self) -> None:
        """Removes the folder and what is left in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()
        with contextlib.suppress(OSError):
            self.folder.with_suffix(".lock").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @staticmethod
    def sweep(parent: Path) -> None:
        """Removes the folders of writers that no longer live."""
        for lock in parent.glob("*.lock"):
            with contextlib.suppress(OSError), locked(lock, wait=False):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock on a file, against other processes and threads; released when the process dies.

    Raises:
        BlockingIOError: with `wait=False`, where another holds it (PermissionError on Windows).
    """
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
