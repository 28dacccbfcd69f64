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

from cift.errors import CorruptData, DataError

UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, pa.ArrowException)
"""What a damaged file raises while it is read."""
LINE_BYTES_MAX = 1 << 20
"""No line of any format read here comes near this; a longer one is damage, or a decompression bomb."""


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
    for row, line, _ in byte_lines(path):
        try:
            yield row, line.decode("ascii")
        except UnicodeDecodeError:
            raise DataError(f"{path.name}, row {row}: {line[:60]!r} is not text; is this the right file?") from None


def byte_lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Each line of a file as bytes: its number, counted from 1, the line without its end, and whether it had one.

    Raises:
        DataError: the file is not there, or a line is longer than 1 MiB; the message names file and row.
        CorruptData: the compressed data is damaged.
    """
    row = 0
    try:
        with open_bytes(path) as stream:
            rest = b""
            while block := stream.read(1 << 18):
                pieces = (rest + block).split(b"\n")
                rest = pieces.pop()
                for piece in pieces:
                    row += 1
                    yield row, piece.rstrip(b"\r"), True
                if len(rest) > LINE_BYTES_MAX:
                    raise DataError(f"{path.name}, row {row + 1}: a line of more than {LINE_BYTES_MAX} bytes")
            if rest:
                row += 1
                yield row, rest.rstrip(b"\r"), False
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UNREADABLE as error:
        raise CorruptData(f"{path.name} cannot be read after row {row}: {error}") from None
