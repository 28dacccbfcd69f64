"""Lines of text files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.data.importers import text
from cift.data.importers.text import byte_lines, line_blocks
from cift.errors import CiftError, CorruptData


@given(
    data=st.binary(max_size=60).map(lambda data: data.translate(bytes(b"ab\r\n\n"[byte % 5] for byte in range(256)))),
    bytes_per_read=st.integers(1, 20),
    bytes_min=st.integers(1, 30),
)
def test_blocks_are_whole_lines_and_together_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, bytes_per_read: int, bytes_min: int
) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BYTES_PER_READ", bytes_per_read)
        blocks = list(line_blocks(path, bytes_min))
        lines = list(byte_lines(path))
    assert b"".join(block for _, block in blocks) == data
    assert [before for before, _ in blocks] == [
        sum(block.count(b"\n") for _, block in blocks[:index]) for index in range(len(blocks))
    ]
    last_is_whole = data.endswith(b"\n") or not data
    whole = blocks if last_is_whole else blocks[:-1]
    assert all(block.endswith(b"\n") for _, block in whole)
    assert all(len(block) >= bytes_min for _, block in whole[:-1])
    pieces = data.split(b"\n")
    rest = pieces.pop()
    expected = [(row, piece.rstrip(b"\r"), True) for row, piece in enumerate(pieces, start=1)]
    assert lines == expected + ([(len(pieces) + 1, rest.rstrip(b"\r"), False)] if rest else [])


def read_until_error(path: Path, bytes_min: int) -> tuple[list[tuple[int, bytes]], CiftError]:
    blocks = line_blocks(path, bytes_min)
    seen: list[tuple[int, bytes]] = []
    try:
        seen.extend(blocks)
    except CiftError as error:
        return seen, error
    raise AssertionError("no error came")


@pytest.mark.parametrize("bytes_min", [1, 1 << 30])
def test_what_can_be_read_of_a_damaged_file_comes_before_the_error(tmp_path: Path, bytes_min: int) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"".join(b"%d\n" % row for row in range(200_000)))[:-10_000])
    blocks, error = read_until_error(path, bytes_min)
    rows = sum(block.count(b"\n") for _, block in blocks)
    assert rows > 50_000
    assert isinstance(error, CorruptData)
    assert str(error).startswith(f"a.txt.gz cannot be read after row {rows}: ")


@pytest.mark.parametrize("bytes_min", [1, 1 << 30])
def test_a_line_without_an_end_is_refused_where_it_begins(tmp_path: Path, bytes_min: int) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\n" + b"x" * (3 << 20))
    blocks, error = read_until_error(path, bytes_min)
    assert blocks == [(0, b"one\ntwo\n")]
    assert str(error) == "a.txt, row 3: a line of more than 1048576 bytes"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    blocks, error = read_until_error(tmp_path / "b.txt", 1)
    assert blocks == []
    assert str(error) == f"{tmp_path / 'b.txt'} does not exist"
