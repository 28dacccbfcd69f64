"""Lines of text files, plain or compressed, read a little at a time."""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from cift.errors import CiftError, CorruptData, DataError

UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, pa.ArrowException)
"""What a damaged file raises while it is read."""
LINE_BYTES_MAX = 1 << 20
"""No line of any format read here comes near this; a longer one is damage, or a decompression bomb."""
BYTES_PER_READ = 1 << 18


def open_bytes(path: Path) -> IO[bytes] | Any:
    """Opens a file for reading, decompressing what ends in .zst, .gz, .xz or .zip (of one file).

    Raises:
        DataError: a .zip of several files.
    """
    match path.suffix:
        case ".zst":
            return pa.input_stream(str(path), compression="zstd")
        case ".gz":
            return gzip.open(path, "rb")
        case ".xz":
            return lzma.open(path, "rb")
        case ".zip":
            return zipped(path)[1]
        case _:
            return path.open("rb")


def zipped(path: Path) -> tuple[str, IO[bytes]]:
    """The name of the one file in a .zip, and its bytes.

    Raises:
        DataError: where it holds several, or one with a password.
    """
    with zipfile.ZipFile(path) as archive:
        names = [member.filename for member in archive.infolist() if not member.is_dir()]
        if len(names) != 1:
            raise DataError(f"{path.name} holds {len(names)} files; unpack it and import them one by one")
        try:
            return names[0], archive.open(names[0])
        except (RuntimeError, NotImplementedError) as error:
            raise DataError(f"{path.name} cannot be unpacked: {error}") from None


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each line of a file with its number, counted from 1, without its end.

    Raises:
        DataError: the file is not there, a line is not ASCII text or longer than 1 MiB; the message names file and row.
        CorruptData: the compressed data is damaged.
    """
    for before, block in line_blocks(path):
        yield from lines_of(path.name, before, block)


def lines_of(source: str, before: int, block: bytes) -> Iterator[tuple[int, str]]:
    """The lines of a block of `line_blocks`, as `lines` has them.

    Raises:
        DataError: a line is not ASCII text; the message names source and row.
    """
    for row, line, _ in _cut(before, block):
        try:
            yield row, line.decode("ascii")
        except UnicodeDecodeError:
            raise DataError(f"{source}, row {row}: {line[:60]!r} is not text; is this the right file?") from None


def byte_lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Each line of a file as bytes: its number, counted from 1, the line without its end, and whether it had one.

    Raises:
        DataError: the file is not there, or a line is longer than 1 MiB; the message names file and row.
        CorruptData: the compressed data is damaged.
    """
    for before, block in line_blocks(path):
        yield from _cut(before, block)


def _cut(before: int, block: bytes) -> Iterator[tuple[int, bytes, bool]]:
    pieces = block.split(b"\n")
    rest = pieces.pop()
    row = before
    for row, piece in enumerate(pieces, start=before + 1):
        yield row, piece.rstrip(b"\r"), True
    if rest:
        yield row + 1, rest.rstrip(b"\r"), False


def line_blocks(path: Path, bytes_min: int = 1) -> Iterator[tuple[int, bytes]]:
    """Whole lines of a file, many at a time: how many lines came before, and the lines with their ends.

    Only the file's very last line may lack its end; it is a block of its own then. What can be read of a damaged file is
    handed on before the error is raised.

    Args:
        path: the file.
        bytes_min: a block has as many bytes at least, but for the last.

    Raises:
        DataError: the file is not there, or a line is longer than 1 MiB; the message names file and row.
        CorruptData: the compressed data is damaged.
    """
    row, held, rest = 0, b"", b""
    fault: CiftError | None = None
    try:
        with open_bytes(path) as stream:
            while fault is None and (piece := stream.read(BYTES_PER_READ)):
                piece = rest + piece
                end = piece.rfind(b"\n") + 1
                held, rest = held + piece[:end], piece[end:]
                if len(held) >= bytes_min:
                    yield row, held
                    row, held = row + held.count(b"\n"), b""
                if len(rest) > LINE_BYTES_MAX:
                    number = row + held.count(b"\n") + 1
                    fault = DataError(f"{path.name}, row {number}: a line of more than {LINE_BYTES_MAX} bytes")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UNREADABLE as error:
        number = row + held.count(b"\n")
        fault = CorruptData(f"{path.name} cannot be read after row {number}: {error}")
    if held:
        yield row, held
        row += held.count(b"\n")
    if fault is not None:
        raise fault
    if rest:
        yield row, rest
